//! Outcomes between the remote host's answer and the ledger's commit.
//!
//! Owns:       `<data>/outcomes/`: append-only files, each record with length and checksum.
//! Promises:   an outcome appended here survives kill -9 (written by `write(2)` before it returns)
//!             and is found again by `replay`; a file goes once all in it is settled.
//! Knows not:  what an outcome means.
//!
//! Nothing here is synced: after a power cut the last outcomes may be missing, and their mails may
//! be sent once more, which is what `AnswerNotSeen` means. A sync for each answer would cost more
//! than all the rest of a delivery.
//!
//! A record is its length (4 octets, little endian), the CRC-32 of length and content (4), and the
//! content as JSON.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::model::*;
use crate::spool::system::{self, Growth};

/// What must be known to settle a delivery after a crash.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    pub delivery: DeliveryId,
    /// The tries of the row when it was claimed; the guard against applying it twice.
    pub tries: u32,
    pub outcome: Outcome,
    /// The event's fields as JSON.
    pub fields: serde_json::Value,
    /// What a mail without a body was made of, as JSON, when the host may have seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    pub at: Timestamp,
}

/// Given by `append`; hand it to `settled` once the ledger has committed.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub file: u64,
}

/// The log goes on in a new file at this size. What one outstanding outcome can keep on disk, and
/// what a replay reads in vain because of it, is this much.
const FILE_BYTES: u64 = 1024 * 1024;
/// A reply of 100 lines and its fields need far less; a longer length field is damage.
const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
const FRAME_BYTES: usize = 8;
const SUFFIX: &str = ".outcomes";
const NUMBER_MAX: u64 = 1 << 48;

pub struct OutcomeLog {
    directory: PathBuf,
    state: Mutex<State>,
}

struct State {
    current: Option<Current>,
    next: u64,
    /// Appends not yet settled, of each file of this life.
    outstanding: BTreeMap<u64, u64>,
    /// Files of earlier lives.
    earlier: Vec<u64>,
}

struct Current {
    number: u64,
    file: File,
    bytes: u64,
}

impl OutcomeLog {
    /// Opens the directory; returns what earlier lives appended and may not have settled, oldest
    /// first. Their files stay until `replayed` is called. Damage is reported and passed over.
    pub fn open(directory: &Path) -> io::Result<(OutcomeLog, Vec<Record>)> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let earlier = list(directory)?;
        let mut records = Vec::new();
        for number in &earlier {
            let path = path_of(directory, *number);
            if let Err(error) = replay(&path, &mut records) {
                tracing::error!(path = %path.display(), reason = %error, "outcomes cannot be read");
            }
        }
        let next = earlier.last().map_or(1, |last| last + 1);
        let outstanding = BTreeMap::new();
        let state = Mutex::new(State { current: None, next, outstanding, earlier });
        Ok((OutcomeLog { directory: directory.to_owned(), state }, records))
    }

    /// The records that `open` returned are in the ledger: their files go.
    pub fn replayed(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        while let Some(number) = state.earlier.last() {
            match std::fs::remove_file(path_of(&self.directory, *number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => state.earlier.pop(),
            };
        }
        Ok(())
    }

    /// Appends all records by one write(2). After an error none of them is in the log.
    pub fn append(&self, records: &[Record]) -> io::Result<Ticket> {
        let mut octets = Vec::with_capacity(records.len() * 512);
        for record in records {
            encode(record, &mut octets)?;
        }
        let mut state = self.state.lock();
        let mut current = match state.current.take() {
            Some(current) if current.bytes < FILE_BYTES => current,
            full => {
                if let Some(full) = full {
                    self.retire(&mut state, full.number);
                }
                self.make(&mut state)?
            }
        };
        if let Err(error) = current.file.write_all(&octets) {
            // A torn record would hide what follows it, so the file goes on only when it is cut.
            match current.file.set_len(current.bytes) {
                Ok(()) => state.current = Some(current),
                Err(_) => self.retire(&mut state, current.number),
            }
            return Err(error);
        }
        moment::reached(c"outcome_appended");
        current.bytes += octets.len() as u64;
        let number = current.number;
        state.current = Some(current);
        *state.outstanding.entry(number).or_default() += 1;
        Ok(Ticket { file: number })
    }

    /// All records of one `append` are in the ledger.
    pub fn settled(&self, ticket: Ticket) {
        let mut state = self.state.lock();
        let Some(count) = state.outstanding.get_mut(&ticket.file) else { return };
        *count = count.saturating_sub(1);
        let current = state.current.as_ref().is_some_and(|file| file.number == ticket.file);
        if !current {
            self.retire(&mut state, ticket.file);
        }
    }

    /// A file that is not written to any more goes once nothing in it is outstanding.
    fn retire(&self, state: &mut State, number: u64) {
        if state.outstanding.get(&number).is_some_and(|count| *count > 0) {
            return;
        }
        state.outstanding.remove(&number);
        let path = path_of(&self.directory, number);
        if let Err(error) = std::fs::remove_file(&path) {
            // It is replayed at the next start, where each row's tries show that it is settled.
            tracing::warn!(path = %path.display(), reason = %error, "settled outcomes stay");
        }
    }

    fn make(&self, state: &mut State) -> io::Result<Current> {
        let number = state.next;
        state.next += 1;
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path_of(&self.directory, number))?;
        // The blocks are ours before the disk is full, so that what is under way can be recorded.
        if let Err(error) = system::set_aside(&file, FILE_BYTES, Growth::KeepLength) {
            tracing::debug!(reason = %error, "no room could be set aside for outcomes");
        }
        Ok(Current { number, file, bytes: 0 })
    }
}

/// An end in order leaves nothing to replay.
impl Drop for OutcomeLog {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if let Some(current) = state.current.take() {
            self.retire(&mut state, current.number);
        }
    }
}

fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}{SUFFIX}"))
}

fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in directory.read_dir()? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)?.parse().ok());
        match number {
            Some(number)
                if number < NUMBER_MAX && path_of(Path::new(""), number).as_os_str() == name =>
            {
                numbers.push(number);
            }
            _ => tracing::warn!(name = %name.display(), "a stranger among the outcomes"),
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn encode(record: &Record, octets: &mut Vec<u8>) -> io::Result<()> {
    let start = octets.len();
    octets.extend([0; FRAME_BYTES]);
    serde_json::to_writer(&mut *octets, record)?;
    let length = octets.len() - start - FRAME_BYTES;
    let length = u32::try_from(length)
        .ok()
        .filter(|length| *length as usize <= RECORD_BYTES_MAX)
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_le_bytes();
    let sum = sum_of(length, &octets[start + FRAME_BYTES..]).to_le_bytes();
    octets[start..start + 4].copy_from_slice(&length);
    octets[start + 4..start + FRAME_BYTES].copy_from_slice(&sum);
    Ok(())
}

fn sum_of(length: [u8; 4], content: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&length);
    sum.update(content);
    sum.finalize()
}

/// Reads one file up to its end or its first damage; the size of it bounds the memory.
fn replay(path: &Path, records: &mut Vec<Record>) -> io::Result<()> {
    let mut octets = Vec::new();
    File::open(path)?.take(FILE_BYTES + RECORD_BYTES_MAX as u64).read_to_end(&mut octets)?;
    let mut left = &octets[..];
    while let Some((content, rest)) = next_record(left) {
        match serde_json::from_slice(content) {
            Ok(record) => records.push(record),
            Err(error) => {
                tracing::error!(path = %path.display(), reason = %error, "an outcome is not ours");
            }
        }
        left = rest;
    }
    if !left.is_empty() {
        tracing::warn!(path = %path.display(), octets = left.len(), "a torn end of the outcomes");
    }
    Ok(())
}

/// The first record's content, and what follows it; None at the end or when it is not whole.
fn next_record(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (content, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    // Zeros, which a power cut leaves where a length was saved and data was not, do not sum to 0.
    (sum_of(*length, content) == u32::from_le_bytes(*sum)).then_some((content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(delivery: i64) -> Record {
        Record {
            delivery: DeliveryId(delivery),
            tries: 3,
            outcome: Outcome::Deferred {
                reply: Some(Reply::new(451, "4.7.1 später")),
                blame: Blame::Host,
                reason: "greylisted".into(),
            },
            fields: serde_json::json!({"host": "mx.example.test", "lines": ["a", "b"]}),
            pin: None,
            at: Timestamp::from_seconds(1_700_000_000),
        }
    }

    fn records(range: std::ops::Range<i64>) -> Vec<Record> {
        range.map(record).collect()
    }

    /// As kill -9 leaves it: nothing of `Drop` runs.
    fn killed(log: OutcomeLog) {
        std::mem::forget(log);
    }

    fn files(directory: &Path) -> usize {
        directory.read_dir().expect("a directory").count()
    }

    #[test]
    fn outcomes_survive_a_kill_in_their_order_until_they_are_replayed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (log, found) = OutcomeLog::open(directory.path()).expect("opens");
        assert_eq!(found, []);
        let mut tickets = Vec::new();
        for at in 0..10 {
            tickets.push(log.append(&records(at * 10..at * 10 + 10)).expect("appends"));
        }
        killed(log);
        for _ in 0..2 {
            let (again, found) = OutcomeLog::open(directory.path()).expect("opens");
            assert_eq!(found, records(0..100));
            killed(again);
        }
        let (log, _) = OutcomeLog::open(directory.path()).expect("opens");
        let ticket = log.append(&records(200..201)).expect("appends");
        log.replayed().expect("removes");
        killed(log);
        let (log, found) = OutcomeLog::open(directory.path()).expect("opens");
        assert_eq!(found, records(200..201), "what came after stays: {ticket:?}");
        log.replayed().expect("removes");
        drop(log);
        assert_eq!(files(directory.path()), 0);
    }

    #[test]
    fn a_file_goes_once_it_is_full_and_all_in_it_is_settled() {
        let directory = tempfile::tempdir().expect("a directory");
        let (log, _) = OutcomeLog::open(directory.path()).expect("opens");
        let batch = records(0..1000);
        let tickets: Vec<_> = (0..40).map(|_| log.append(&batch).expect("appends")).collect();
        let made = files(directory.path());
        assert!(made > 5, "{made}");
        let mut last = None;
        for ticket in tickets {
            log.settled(ticket);
            last = Some(ticket);
        }
        assert_eq!(files(directory.path()), 1, "only the current one is left");
        log.settled(last.expect("a ticket"));
        drop(log);
        assert_eq!(files(directory.path()), 0, "an end in order leaves nothing");
    }

    #[test]
    fn strangers_and_unreadable_names_do_not_stop_the_start() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("readme"), "x").expect("writes");
        std::fs::write(directory.path().join("7.outcomes"), "x").expect("writes");
        std::fs::create_dir(path_of(directory.path(), 9)).expect("makes");
        let (log, found) = OutcomeLog::open(directory.path()).expect("opens");
        assert_eq!(found, []);
        assert_eq!(log.append(&records(0..1)).expect("appends"), Ticket { file: 10 });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_torn_or_damaged_file_yields_a_whole_beginning_of_what_was_written(
            count in 1i64..20, cut in any::<prop::sample::Index>(),
            flip in proptest::option::of(any::<prop::sample::Index>()),
            tail in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut octets = Vec::new();
            for record in records(0..count) {
                encode(&record, &mut octets).expect("fits");
            }
            octets.truncate(cut.index(octets.len() + 1));
            if let (Some(flip), false) = (flip, octets.is_empty()) {
                let bit = flip.index(octets.len() * 8);
                octets[bit / 8] ^= 1 << (bit % 8);
            }
            octets.extend(tail);
            let directory = tempfile::tempdir().expect("a directory");
            std::fs::write(path_of(directory.path(), 1), octets).expect("writes");
            let (_log, found) = OutcomeLog::open(directory.path()).expect("opens");
            prop_assert!(found.len() <= count as usize);
            prop_assert_eq!(&found, &records(0..found.len() as i64));
        }
    }
}
