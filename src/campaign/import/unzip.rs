//! The one file of contacts within a zip.
//!
//! Owns:       which of its files is meant, and every bound of what it may unpack to.
//! Promises:   no name within a zip becomes a path; memory grows neither with the zip nor with
//!             what is in it; a zip that unpacks to far more than it is ends at a maximum.
//! Knows not:  what the text holds.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zip::ZipArchive;
use zip::result::ZipError;

use super::ImportError;
use crate::campaign::Unlawful;

/// How a zip begins; the second is one without files.
const SIGNATURES: [[u8; 4]; 2] = [*b"PK\x03\x04", *b"PK\x05\x06"];
/// As many octets tell whether it is one.
pub const HEAD_BYTES: usize = 4;
/// Read at most to find out which files are there.
const DIRECTORY_BYTES_MAX: u64 = 4 << 20;
const FILES_MAX: usize = 1000;
const PIECE_BYTES: usize = 64 * 1024;
/// Names that an error tells.
const NAMES_TOLD_MAX: usize = 10;
const NAME_CHARS_TOLD_MAX: usize = 100;

/// How much may come of a zip.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub bytes_max: u64,
    /// Beyond `bytes_free` not more than so many octets of one octet of the zip: what people write
    /// shrinks to a tenth, a bomb to a thousandth.
    pub ratio_max: u64,
    pub bytes_free: u64,
}

pub fn is_zip(head: &[u8]) -> bool {
    SIGNATURES.iter().any(|signature| head.starts_with(signature))
}

/// Hands over the wanted file of contacts, or the only one, piece by piece.
pub fn unpack(
    path: &Path,
    wanted: Option<&str>,
    bounds: Bounds,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), ImportError> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let left = Arc::new(AtomicU64::new(DIRECTORY_BYTES_MAX));
    let source = Metered { source: BufReader::new(file), left: left.clone() };
    let mut zip = ZipArchive::new(source).map_err(unreadable)?;
    if zip.len() > FILES_MAX {
        return Err(of_file(format!("the zip has more than {FILES_MAX} files")));
    }
    left.store(u64::MAX, Ordering::Relaxed);
    let names = names(&mut zip)?;
    let chosen = chosen(&names, wanted)?;
    let mut entry = zip.by_index(chosen).map_err(unreadable)?;
    let by_ratio = entry.compressed_size().min(length).saturating_mul(bounds.ratio_max);
    let bytes_max = by_ratio.max(bounds.bytes_free).min(bounds.bytes_max);
    let mut piece = vec![0; PIECE_BYTES];
    let mut taken = 0;
    loop {
        let count = match entry.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            Err(why) => return Err(of_file(format!("the zip is broken: {why}"))),
        };
        taken += count as u64;
        if taken > bytes_max {
            let why = "the zip unpacks to more than is taken, or to far more than it is";
            return Err(of_file(why.to_owned()));
        }
        take(&piece[..count])?;
    }
}

/// In the order of the zip; directories are empty.
fn names<R: Read + Seek>(zip: &mut ZipArchive<R>) -> Result<Vec<String>, ImportError> {
    let mut names = Vec::with_capacity(zip.len());
    for place in 0..zip.len() {
        let entry = zip.by_index_raw(place).map_err(unreadable)?;
        let name = entry.name().map_err(unreadable)?.into_owned();
        names.push(if entry.is_dir() { String::new() } else { name });
    }
    Ok(names)
}

/// Which of them is meant. Pure.
fn chosen(names: &[String], wanted: Option<&str>) -> Result<usize, Unlawful> {
    let is_file = |name: &&String| {
        // What systems add of their own: resource forks, .DS_Store.
        !name.is_empty() && !name.starts_with("__MACOSX/") && !last(name).starts_with('.')
    };
    let files = || names.iter().filter(is_file);
    if let Some(wanted) = wanted {
        let exact = names.iter().position(|name| !name.is_empty() && name == wanted);
        let place = exact.or_else(|| names.iter().position(|name| last(name) == wanted));
        let none = || format!("the zip has no such file; it has: {}", told(files()));
        return place.ok_or_else(|| Unlawful::of("entry", none()));
    }
    if names.iter().any(|name| name == "[Content_Types].xml" || name == "content.xml") {
        let why = "this is a workbook: save it as CSV and upload that";
        return Err(Unlawful::of("file", why));
    }
    let is_text = |name: &String| {
        let end = last(name).rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
        end.is_none_or(|end| ["csv", "tsv", "tab", "txt"].contains(&end.as_str()))
    };
    let places =
        (0..names.len()).filter(|place| is_file(&&names[*place]) && is_text(&names[*place]));
    match places.collect::<Vec<usize>>()[..] {
        [place] => Ok(place),
        [] => {
            let has = format!("the zip has no .csv, .tsv or .txt file; it has: {}", told(files()));
            Err(Unlawful::of("file", has))
        }
        ref places => {
            let several = told(places.iter().map(|place| &names[*place]));
            let why = format!("the zip has several files: {several}; name one of them in 'entry'");
            Err(Unlawful::of("file", why))
        }
    }
}

fn last(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or_default()
}

/// As people may read them.
fn told<'a>(names: impl Iterator<Item = &'a String> + Clone) -> String {
    let shown = names.clone().take(NAMES_TOLD_MAX).map(|name| {
        let letters = name.chars().filter(|letter| !letter.is_control());
        letters.take(NAME_CHARS_TOLD_MAX).collect::<String>()
    });
    let mut shown = shown.collect::<Vec<String>>().join(", ");
    match names.count().saturating_sub(NAMES_TOLD_MAX) {
        0 if shown.is_empty() => "nothing".clone_into(&mut shown),
        0 => {}
        more => shown += &format!(" and {more} more"),
    }
    shown
}

fn of_file(why: String) -> ImportError {
    Unlawful::of("file", why).into()
}

fn unreadable(error: ZipError) -> ImportError {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => {
            of_file("the zip has a password: upload it without".to_owned())
        }
        ZipError::CompressionMethodNotSupported(_) => {
            of_file("the zip is packed in a way that is not read: pack it with deflate".to_owned())
        }
        other => of_file(format!("the zip cannot be read: {other}")),
    }
}

/// A source of which not more is read than is left.
struct Metered<R> {
    source: R,
    left: Arc<AtomicU64>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        if most == 0 && !piece.is_empty() {
            return Err(io::Error::other("the list of its files is too long"));
        }
        let count = self.source.read(&mut piece[..most])?;
        if left != u64::MAX {
            self.left.store(left - count as u64, Ordering::Relaxed);
        }
        Ok(count)
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    const WIDE: Bounds = Bounds { bytes_max: 1 << 30, ratio_max: 200, bytes_free: 1 << 20 };

    fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
        let how = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        for (name, text) in files {
            zip.start_file(*name, how).expect("begun");
            zip.write_all(text).expect("written");
        }
        zip.finish().expect("whole").into_inner()
    }

    fn unpacked(zip: &[u8], wanted: Option<&str>, bounds: Bounds) -> Result<Vec<u8>, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("zip");
        std::fs::write(&path, zip).expect("written");
        let mut text = Vec::new();
        let done = unpack(&path, wanted, bounds, |piece| {
            text.extend_from_slice(piece);
            Ok(())
        });
        assert_eq!(std::fs::read_dir(directory.path()).expect("read").count(), 1);
        done.map(|()| text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_only_file_of_contacts_is_taken_and_several_are_named() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let of = |all: &[&str], wanted| chosen(&names(all), wanted).map_err(|why| why.to_string());
        assert_eq!(of(&["", "__MACOSX/._a.csv", "x/.DS_Store", "x/a.CSV", "read.me"], None), Ok(3));
        assert_eq!(of(&["contacts"], None), Ok(0));
        assert_eq!(of(&["x/a.csv", "b.csv"], Some("a.csv")), Ok(0));
        assert_eq!(of(&["x/a.csv", "a.csv"], Some("a.csv")), Ok(1));
        for (all, wanted, expected) in [
            (&["b.csv", "a.tsv"][..], None, "several files: b.csv, a.tsv; name one"),
            (&["b.pdf", "c.png"][..], None, "no .csv, .tsv or .txt file; it has: b.pdf, c.png"),
            (&[][..], None, "it has: nothing"),
            (&["a.csv"][..], Some("../a.csv"), "no such file; it has: a.csv"),
            (&["a\n.csv", "b.csv"][..], None, "several files: a.csv, b.csv"),
            (&["[Content_Types].xml", "xl/workbook.xml"][..], None, "save it as CSV"),
        ] {
            let why = of(all, wanted).expect_err("refused");
            assert!(why.contains(expected), "{why}");
        }
        let many: Vec<String> = (0..30).map(|number| format!("{number}.csv")).collect();
        let why = chosen(&many, None).expect_err("several").to_string();
        assert!(why.contains("9.csv and 20 more"), "{why}");
    }

    #[test]
    fn what_was_packed_comes_out_whatever_its_name_is() {
        let zip = packed(&[("../../etc/contacts.csv", b"email\na@b.test\n"), ("x.png", b"?")]);
        assert!(is_zip(&zip) && is_zip(&packed(&[])) && !is_zip(b"email"));
        assert_eq!(unpacked(&zip, None, WIDE).expect("unpacked"), b"email\na@b.test\n");
        let broken = [&zip[..40], &[0; 40], &zip[80..]].concat();
        assert!(unpacked(&broken, None, WIDE).is_err());
        assert!(unpacked(&zip[..zip.len() - 30], None, WIDE).is_err(), "it was cut off");
    }

    #[test]
    fn a_zip_that_unpacks_to_far_more_than_it_is_ends_at_a_maximum() {
        let zeros = vec![b'x'; 3 << 20];
        let bomb = packed(&[("a.csv", &zeros)]);
        assert!(bomb.len() < 20_000);
        let why = unpacked(&bomb, None, WIDE).expect_err("a bomb");
        assert!(why.contains("far more than it is"), "{why}");
        let patient = Bounds { ratio_max: 5000, ..WIDE };
        assert_eq!(unpacked(&bomb, None, patient).expect("all of it").len(), zeros.len());
        assert!(unpacked(&bomb, None, Bounds { bytes_max: 1000, ..patient }).is_err());
    }

    #[test]
    fn a_zip_of_very_many_files_is_refused_before_they_are_read() {
        let names: Vec<String> = (0..1001).map(|number| format!("{number}.csv")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b""[..])).collect();
        let why = unpacked(&packed(&files), None, WIDE).expect_err("too many");
        assert!(why.contains("more than 1000 files"), "{why}");
        let names: Vec<String> =
            (0..100).map(|number| format!("{number:03}{}", "x".repeat(60_000))).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b""[..])).collect();
        let why = unpacked(&packed(&files), None, WIDE).expect_err("too long");
        assert!(why.contains("too long"), "{why}");
    }
}
