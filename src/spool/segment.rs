//! Segment files: their names, their making, and what is whole in one that was never sealed.
//!
//! Owns:       the names in the directory; the scan of a tail.
//! Promises:   a scan reads each octet a bounded number of times and holds a bounded window of it;
//!             it never places the cut before a record that is whole.
//! Knows not:  batches, callers, room.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::record::{self, Claim, HEADER_BYTES};
use super::system::{self, Growth};
use crate::model::SegmentId;

const SUFFIX: &str = ".segment";
/// A file whose number is beyond this was not made by us, and would leave no numbers to count on.
const NUMBER_MAX: i64 = 1 << 48;

pub fn path_of(directory: &Path, segment: SegmentId) -> PathBuf {
    directory.join(format!("{:012}{SUFFIX}", segment.0))
}

/// The segments in the directory, oldest first, and how many other names were passed over.
pub fn list(directory: &Path) -> io::Result<(Vec<SegmentId>, usize)> {
    let mut segments = Vec::new();
    let mut strangers = 0;
    for entry in directory.read_dir()? {
        let name = entry?.file_name();
        match name.to_str().and_then(number_of) {
            Some(segment) => segments.push(segment),
            None if name == super::room::RESERVE_NAME => {}
            None => strangers += 1,
        }
    }
    segments.sort_unstable();
    Ok((segments, strangers))
}

fn number_of(name: &str) -> Option<SegmentId> {
    let segment = SegmentId(name.strip_suffix(SUFFIX)?.parse().ok()?);
    let lawful = (1..NUMBER_MAX).contains(&segment.0);
    // Only the exact spelling: `+1.segment` would name the same number twice.
    (lawful && path_of(Path::new(""), segment).to_str() == Some(name)).then_some(segment)
}

/// Makes the file with its room set aside. Its name is not on disk before the directory is synced.
pub fn make(directory: &Path, segment: SegmentId, capacity: u64) -> io::Result<File> {
    let path = path_of(directory, segment);
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    let prepared = match system::set_aside(&file, capacity, Growth::Grow) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => file.set_len(capacity),
        other => other,
    };
    match prepared {
        Ok(()) => Ok(file),
        Err(error) => {
            // An empty file left behind costs a name and no more: the first error is the news.
            if let Err(second) = std::fs::remove_file(&path) {
                tracing::warn!(segment = segment.0, reason = %second, "an empty segment stays");
            }
            Err(error)
        }
    }
}

/// What a scan found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    pub records: u64,
    /// Everything from here on holds no whole record.
    pub end: u64,
    /// Places before `end` where something else than a whole record lies.
    pub damaged: u64,
}

/// How many times the segment's size may be read for records that turn out not to be whole. Behind
/// that somebody plays with us: the scan ends, and nothing is cut.
const VAIN_FACTOR: u64 = 4;
const WINDOW_BYTES: usize = 256 * 1024;

/// Reads a segment of `size` octets from front to end. A damaged place is stepped over by looking
/// for the next whole record behind it: after a power cut the pages of an unsynced batch arrive in
/// any order, and a bit may rot before records that were acknowledged long ago.
pub fn scan(file: &File, segment: SegmentId, size: u64) -> io::Result<Scan> {
    let mut window = Window { file, size, start: 0, octets: Vec::new() };
    let mut found = Scan::default();
    let mut vain = 0;
    let mut at = 0;
    while at + record::FRAME_BYTES <= size {
        match window.record_at(segment, at)? {
            Found::Whole { next } => {
                found.damaged += u64::from(at != found.end);
                found.records += 1;
                found.end = next;
                at = next;
            }
            Found::Deceit { read } => {
                vain += read;
                if vain > size.saturating_mul(VAIN_FACTOR) {
                    return Ok(Scan { end: size, damaged: found.damaged + 1, ..found });
                }
                at = window.next_magic(at + 1)?;
            }
            Found::Nothing => at = window.next_magic(at + 1)?,
        }
    }
    Ok(found)
}

enum Found {
    Whole {
        next: u64,
    },
    /// A header that fits the place, and a record that is not whole; so much was read to know it.
    Deceit {
        read: u64,
    },
    Nothing,
}

/// A bounded piece of the file in memory.
struct Window<'a> {
    file: &'a File,
    size: u64,
    start: u64,
    octets: Vec<u8>,
}

impl Window<'_> {
    /// The octets from `at` on: at least one below the file's size, at most a window of them, and
    /// `wanted` of them where the file has so many.
    fn from(&mut self, at: u64, wanted: usize) -> io::Result<&[u8]> {
        let wanted = wanted.min(WINDOW_BYTES).min(clamped(self.size.saturating_sub(at)));
        let held = at >= self.start && at + wanted as u64 <= self.end();
        if !held {
            self.fill(at)?;
        }
        let skipped = clamped(at - self.start).min(self.octets.len());
        Ok(&self.octets[skipped..])
    }

    fn end(&self) -> u64 {
        self.start + self.octets.len() as u64
    }

    fn fill(&mut self, at: u64) -> io::Result<()> {
        let length = WINDOW_BYTES.min(clamped(self.size.saturating_sub(at)));
        self.start = at;
        self.octets.resize(length, 0);
        self.file.read_exact_at(&mut self.octets, at)
    }

    fn record_at(&mut self, segment: SegmentId, at: u64) -> io::Result<Found> {
        let size = self.size;
        let header = self.from(at, HEADER_BYTES)?;
        let Some(claim) = Claim::read(header) else { return Ok(Found::Nothing) };
        let place = claim.place;
        if place.segment != segment || place.offset != at {
            return Ok(Found::Nothing);
        }
        let mut sum = claim.start(header);
        let fits = place.length <= record::BODY_BYTES_MAX
            && record::bytes_of(place.length) <= size.saturating_sub(at);
        if !fits {
            return Ok(Found::Deceit { read: 0 });
        }
        let mut left = clamped(place.length);
        let mut from = at + HEADER_BYTES as u64;
        while left > 0 {
            let octets = self.from(from, left)?;
            let taken = octets.len().min(left);
            sum.update(&octets[..taken]);
            left -= taken;
            from += taken as u64;
        }
        let ended = self.from(from, record::END.len())?.starts_with(&record::END);
        let next = from + record::END.len() as u64;
        let whole = ended && claim.is_met(sum);
        Ok(if whole { Found::Whole { next } } else { Found::Deceit { read: place.length } })
    }

    /// Where the next header may start, at or behind `at`; the file's size when nowhere.
    fn next_magic(&mut self, mut at: u64) -> io::Result<u64> {
        while at + record::FRAME_BYTES <= self.size {
            let octets = self.from(at, record::MAGIC.len())?;
            if let Some(found) = memchr::memmem::find(octets, &record::MAGIC) {
                return Ok(at + found as u64);
            }
            // A magic cut by the window's end is seen whole in the next one.
            at += (octets.len() - (record::MAGIC.len() - 1)) as u64;
        }
        Ok(self.size)
    }
}

fn clamped(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
