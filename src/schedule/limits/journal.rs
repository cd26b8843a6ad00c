//! What was offered of the budgets since the ledger last heard of it.
//!
//! Owns:       `<data>/budgets/`: append-only files with a head and records of one length.
//! Promises:   a charge noted here survives kill -9 (written by `write(2)` before `note` returns);
//!             what the system itself may have lost is not taken for the truth.
//! Knows not:  limits, the ledger.
//!
//! Nothing here is synced. A file tells the truth as long as the machine has not been started anew
//! since it was written, so each bears the machine's boot id; after a power cut the ledger's
//! `reserved` counts instead. A record bears the whole count, not a difference: the last one of a
//! count is right, whatever of it the ledger has already.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};

use super::CellKey;
use crate::model::*;

const SUFFIX: &str = ".budgets";
const HEAD_BYTES: usize = 64;
const RECORD_BYTES: usize = 6 * 8 + 4;
/// A file is read whole; more than this was not written by us.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A count and the window of it.
pub type WindowKey = (CellKey, Timestamp);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    pub key: WindowKey,
    pub offered: u64,
    pub overdrawn: u64,
}

/// What earlier lives left.
#[derive(Debug, Default)]
pub struct Left {
    pub counts: HashMap<WindowKey, (u64, u64)>,
    /// Nothing that was noted can be missing.
    pub is_whole: bool,
}

pub struct Journal {
    directory: PathBuf,
    boot: String,
    state: Mutex<State>,
}

pub struct State {
    number: u64,
    file: File,
    /// A torn record would hide those after it: a file that has one is not written to any more.
    is_torn: bool,
    is_used: bool,
}

impl Journal {
    pub fn open(directory: &Path) -> io::Result<(Journal, Left)> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let boot = boot_id();
        let numbers = list(directory)?;
        let mut left = Left { is_whole: !numbers.is_empty(), ..Left::default() };
        for number in &numbers {
            let path = path_of(directory, *number);
            let is_whole = read(&path, &boot, &mut left.counts).unwrap_or_else(|error| {
                tracing::error!(path = %path.display(), reason = %error, "budgets cannot be read");
                false
            });
            left.is_whole &= is_whole;
        }
        let number = numbers.last().map_or(1, |last| last + 1);
        let file = make(directory, number, &boot)?;
        let state = Mutex::new(State { number, file, is_torn: false, is_used: false });
        Ok((Journal { directory: directory.to_owned(), boot, state }, left))
    }

    /// One at a time: the order of records is the order of the counts.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// As `turn`, but an empty file is gone on with.
    pub fn turn_if_used(&self) -> io::Result<u64> {
        let (number, is_used) = {
            let state = self.state.lock();
            (state.number, state.is_used)
        };
        if is_used { self.turn() } else { Ok(number.saturating_sub(1)) }
    }

    /// Goes on in a new file. What was noted before lies in the files up to the number returned.
    pub fn turn(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        let before = state.number;
        let file = make(&self.directory, before + 1, &self.boot)?;
        *state = State { number: before + 1, file, is_torn: false, is_used: false };
        Ok(before)
    }

    /// The ledger has all that was noted in the files up to this number.
    pub fn remove_through(&self, last: u64) -> io::Result<()> {
        for number in list(&self.directory)?.into_iter().filter(|number| *number <= last) {
            std::fs::remove_file(path_of(&self.directory, number))?;
        }
        Ok(())
    }

    /// An end in order: the ledger has all of it.
    pub fn remove_all(&self) -> io::Result<()> {
        let last = self.state.lock().number;
        self.remove_through(last)
    }
}

impl State {
    /// By one write(2).
    pub fn note(&mut self, records: &[Noted]) -> io::Result<()> {
        if self.is_torn {
            return Err(io::Error::other("a write to the journal of budgets has failed before"));
        }
        let mut octets = Vec::with_capacity(records.len() * RECORD_BYTES);
        records.iter().for_each(|record| encode(record, &mut octets));
        self.is_used = true;
        let written = self.file.write_all(&octets);
        self.is_torn = written.is_err();
        written
    }
}

fn make(directory: &Path, number: u64, boot: &str) -> io::Result<File> {
    let path = path_of(directory, number);
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
    let mut head = format!("postroad budgets 1 {boot}").into_bytes();
    head.resize(HEAD_BYTES, b'\n');
    file.write_all(&head)?;
    Ok(file)
}

/// Empty when the system does not tell: then nothing that is found is believed.
fn boot_id() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    read.trim().chars().take(36).collect()
}

/// False when a record may be missing.
fn read(path: &Path, boot: &str, counts: &mut HashMap<WindowKey, (u64, u64)>) -> io::Result<bool> {
    let mut octets = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut octets)?;
    let Some((head, records)) = octets.split_at_checked(HEAD_BYTES) else {
        // Killed while it was made: nothing was noted in it.
        return Ok(true);
    };
    let head = String::from_utf8_lossy(head);
    let of_this_boot = !boot.is_empty() && head.trim_end().ends_with(boot);
    for record in records.chunks(RECORD_BYTES) {
        let Some(noted) = decode(record) else {
            // Killed within the write: nobody was told that it had been noted.
            break;
        };
        counts.insert(noted.key, (noted.offered, noted.overdrawn));
    }
    Ok(of_this_boot)
}

fn encode(noted: &Noted, octets: &mut Vec<u8>) {
    let (key, begins) = noted.key;
    let start = octets.len();
    for number in [key.limit.0, key.source.0, key.site.0, begins.0] {
        octets.extend(number.to_le_bytes());
    }
    octets.extend(noted.offered.to_le_bytes());
    octets.extend(noted.overdrawn.to_le_bytes());
    let sum = crc32fast::hash(&octets[start..]);
    octets.extend(sum.to_le_bytes());
}

fn decode(record: &[u8]) -> Option<Noted> {
    let (body, sum) = record.split_last_chunk::<4>()?;
    if body.len() != RECORD_BYTES - 4 || crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut numbers = body.chunks_exact(8).filter_map(|octets| octets.try_into().ok());
    let mut next = || numbers.next().map(u64::from_le_bytes);
    let mut signed = || next().map(u64::cast_signed);
    let key =
        CellKey { limit: LimitId(signed()?), source: SourceId(signed()?), site: SiteId(signed()?) };
    let begins = Timestamp(signed()?);
    Some(Noted { key: (key, begins), offered: next()?, overdrawn: next()? })
}

fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}{SUFFIX}"))
}

fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in directory.read_dir()? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)?.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(limit: i64, offered: u64) -> Noted {
        let key = CellKey { limit: LimitId(limit), source: SourceId(2), site: SiteId(3) };
        Noted { key: (key, Timestamp(-7)), offered, overdrawn: 1 }
    }

    #[test]
    fn the_last_record_of_a_count_is_what_a_kill_leaves() {
        let directory = tempfile::tempdir().expect("a directory");
        let (journal, left) = Journal::open(directory.path()).expect("it opens");
        assert!(!left.is_whole, "without a file nothing is known");
        journal.lock().note(&[noted(1, 5), noted(2, 9)]).expect("it is written");
        let first = journal.turn().expect("it turns");
        journal.lock().note(&[noted(1, 6)]).expect("it is written");
        drop(journal);
        let (journal, left) = Journal::open(directory.path()).expect("it opens");
        assert!(left.is_whole);
        assert_eq!(left.counts[&noted(1, 0).key], (6, 1));
        assert_eq!(left.counts[&noted(2, 0).key], (9, 1));
        journal.remove_through(first).expect("it removes");
        drop(journal);
        let (journal, left) = Journal::open(directory.path()).expect("it opens");
        assert_eq!((left.counts.len(), left.is_whole), (1, true));
        journal.remove_all().expect("it removes");
        drop(journal);
        let (_, left) = Journal::open(directory.path()).expect("it opens");
        assert!(left.counts.is_empty() && !left.is_whole);
    }

    #[test]
    fn a_file_of_an_earlier_boot_is_not_believed_and_a_torn_record_hides_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let (journal, _) = Journal::open(directory.path()).expect("it opens");
        journal.lock().note(&[noted(1, 5), noted(2, 9)]).expect("it is written");
        let path = path_of(directory.path(), 1);
        let octets = std::fs::read(&path).expect("a file");
        std::fs::write(&path, &octets[..octets.len() - 3]).expect("it is cut");
        let (_, left) = Journal::open(directory.path()).expect("it opens");
        assert_eq!((left.counts.len(), left.is_whole), (1, true));
        let mut other = octets;
        other[30] ^= 1;
        std::fs::write(&path, other).expect("it is written");
        let (_, left) = Journal::open(directory.path()).expect("it opens");
        assert_eq!((left.counts.len(), left.is_whole), (2, false));
    }
}
