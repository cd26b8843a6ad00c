//! The recorder's trace, read back.

use std::path::Path;

/// One entry, in the order in which it took effect. Paths are as the kernel names them.
#[derive(Clone, Debug)]
pub enum Entry {
    Open { fd: i32, path: String, flags: i32 },
    Close { fd: i32 },
    Write { fd: i32, offset: u64, octets: std::ops::Range<usize> },
    Truncate { fd: i32, length: u64 },
    Allocate { fd: i32, mode: i32, end: u64 },
    SyncBegin { fd: i32, serial: u64, data_only: bool },
    SyncEnd { serial: u64, failed: bool },
    Rename { from: String, to: String },
    Unlink { path: String },
    MakeDirectory { path: String },
    RemoveDirectory { path: String },
    Duplicate { fd: i32, to: i32 },
    Mark { name: String },
}

pub struct Trace {
    pub entries: Vec<Entry>,
    /// Where in the file each entry ends; `Recording::written` speaks in these.
    pub ends: Vec<u64>,
    octets: Vec<u8>,
}

const MAGIC: u32 = 0x5254_5250;
const HEADER_BYTES: usize = 48;

impl Trace {
    /// A kill may have cut the last entry; anything else that is not an entry is a panic, and so is
    /// an operation that the recorder says nobody can replay.
    pub fn read(path: &Path) -> Trace {
        let octets = std::fs::read(path).expect("the trace is there");
        let mut trace = Trace { entries: Vec::new(), ends: Vec::new(), octets };
        let mut at = 0;
        while let Some((entry, end)) = trace.entry_at(at) {
            trace.entries.push(entry);
            trace.ends.push(end as u64);
            at = end;
        }
        trace
    }

    pub fn octets(&self, range: std::ops::Range<usize>) -> &[u8] {
        &self.octets[range]
    }

    /// The marks, each with its index among the entries.
    pub fn marks(&self) -> impl Iterator<Item = (usize, &str)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match entry {
            Entry::Mark { name } => Some((index, name.as_str())),
            _ => None,
        })
    }

    /// The stamp (`Recording::written`) that the entries before `index` reach: what was seen from
    /// outside with this stamp or a smaller one was promised before a power cut there.
    pub fn stamp_before(&self, index: usize) -> u64 {
        index.checked_sub(1).map_or(0, |last| self.ends[last])
    }

    fn entry_at(&self, at: usize) -> Option<(Entry, usize)> {
        let header = self.octets.get(at..at + HEADER_BYTES)?;
        let short = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().expect("4"));
        let long = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().expect("8"));
        assert_eq!(short(0), MAGIC, "the trace is damaged at {at}");
        let (fd, a, b) = (short(8).cast_signed(), long(24), long(32));
        let first_end = at + HEADER_BYTES + short(12) as usize;
        let second_end = first_end + short(16) as usize;
        let end = second_end + long(40) as usize;
        self.octets.get(at..end)?;
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8(self.octets[range].to_vec()).expect("UTF-8 paths")
        };
        let path = text(at + HEADER_BYTES..first_end);
        let entry = match short(4) {
            1 => Entry::Open { fd, path, flags: a as i32 },
            2 => Entry::Close { fd },
            3 => Entry::Write { fd, offset: a, octets: second_end..end },
            4 => Entry::Truncate { fd, length: a },
            5 => Entry::Allocate { fd, mode: a as i32, end: b },
            6 => Entry::SyncBegin { fd, serial: a, data_only: b == 1 },
            7 => Entry::SyncEnd { serial: a, failed: b != 0 },
            8 => Entry::Rename { from: path, to: text(first_end..second_end) },
            9 => Entry::Unlink { path },
            10 => Entry::MakeDirectory { path },
            11 => Entry::RemoveDirectory { path },
            12 => Entry::Duplicate { fd, to: a as i32 },
            13 => Entry::Mark { name: path },
            other => panic!("operation {other} ({path}) cannot be replayed"),
        };
        Some((entry, end))
    }
}
