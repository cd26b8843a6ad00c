//! A disk that keeps only what was synced, rebuilt from a trace.
//!
//! The model is as strict as POSIX lets a file system be: what was written to a file is on disk
//! once a sync of that file, begun after the write, has ended; a name is there, or gone,
//! once a sync of its directory, begun after the change, has ended. `Survivors` says what
//! becomes of the rest.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::trace::{Entry, Trace};

/// What was written and not synced when the power failed, or the process was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// Nothing of it arrived.
    None,
    /// Some of it did, by pages and in any order; of the names a beginning, as a journal keeps it.
    Some { seed: u64 },
    /// All of it: the process died, the machine did not.
    All,
}

/// A kind of sync: the path below the directory with each digit as `#`, and what it was for. A sync
/// that found nothing to do is of no kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SyncKind {
    pub path: String,
    pub of: &'static str,
}

type Id = usize;
const ROOT: Id = 0;
const PAGE_BYTES: u64 = 4096;
const OCTETS: usize = 0;
const NAME: usize = 1;
const NAME_GONE: usize = 2;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, octets: std::ops::Range<usize> },
    Length(u64),
    AtLeast(u64),
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(String, Id),
    Remove(String),
    /// Within one directory, all or nothing.
    Rename(String, String, Id),
}

enum Node {
    File { durable: Content, pending: Vec<(usize, Change)> },
    Directory { live: BTreeMap<String, Id>, durable: BTreeMap<String, Id>, pending: NameChanges },
}

type NameChanges = Vec<(usize, NameChange)>;

/// Octets, and zeros behind them up to the length.
#[derive(Clone, Default)]
struct Content {
    octets: Vec<u8>,
    length: u64,
}

impl Content {
    fn apply(&mut self, change: &Change, trace: &Trace) {
        match change {
            Change::Write { offset, octets } => self.write(*offset, trace.octets(octets.clone())),
            Change::Length(length) => {
                self.length = *length;
                self.octets.truncate(usize::try_from(*length).expect("fits"));
            }
            Change::AtLeast(length) => self.length = self.length.max(*length),
        }
    }

    fn write(&mut self, offset: u64, octets: &[u8]) {
        let start = usize::try_from(offset).expect("fits");
        let end = start + octets.len();
        if self.octets.len() < end {
            self.octets.resize(end, 0);
        }
        self.octets[start..end].copy_from_slice(octets);
        self.length = self.length.max(end as u64);
    }
}

/// The state of the disk at one point of the trace.
pub struct Disk<'a> {
    trace: &'a Trace,
    directory: String,
    nodes: Vec<Node>,
    open: HashMap<i32, (Id, String)>,
    syncs: HashMap<u64, (Id, usize)>,
    seen: BTreeMap<SyncKind, usize>,
    /// What changed since the last sync of a node, done or taken away: octets, names, names gone.
    unsynced: HashMap<Id, [bool; 3]>,
    /// This kind of sync does nothing.
    without: Option<SyncKind>,
    next: usize,
}

impl<'a> Disk<'a> {
    /// Empty, before the first entry. `directory` is what the recorder was told.
    pub fn new(trace: &'a Trace, directory: &Path, without: Option<SyncKind>) -> Disk<'a> {
        let directory = directory.to_str().expect("UTF-8 paths").to_owned();
        Disk {
            trace,
            directory,
            nodes: vec![empty_directory()],
            open: HashMap::new(),
            syncs: HashMap::new(),
            seen: BTreeMap::new(),
            unsynced: HashMap::new(),
            without,
            next: 0,
        }
    }

    /// What lay in `image` before the recording began; it counts as synced.
    pub fn load(&mut self, image: &Path) {
        self.load_into(ROOT, image);
    }

    fn load_into(&mut self, into: Id, image: &Path) {
        for entry in std::fs::read_dir(image).expect("the image is there") {
            let entry = entry.expect("the image is readable");
            let name = entry.file_name().into_string().expect("UTF-8 paths");
            let id = self.nodes.len();
            if entry.path().is_dir() {
                self.nodes.push(empty_directory());
                self.load_into(id, &entry.path());
            } else {
                let octets = std::fs::read(entry.path()).expect("the image is readable");
                let durable = Content { length: octets.len() as u64, octets };
                self.nodes.push(Node::File { durable, pending: Vec::new() });
            }
            let (live, durable, _) = self.names(into);
            live.insert(name.clone(), id);
            durable.insert(name, id);
        }
    }

    /// Takes in the entries before `index`.
    pub fn advance(&mut self, index: usize) {
        while self.next < index {
            let trace = self.trace;
            self.step(self.next, &trace.entries[self.next]);
            self.next += 1;
        }
    }

    /// The kinds of sync that have ended so far, with how many of each.
    pub fn sync_kinds(&self) -> &BTreeMap<SyncKind, usize> {
        &self.seen
    }

    fn step(&mut self, at: usize, entry: &Entry) {
        match entry {
            Entry::Open { fd, path, flags } => self.opened(at, *fd, path, *flags),
            Entry::Close { fd } => drop(self.open.remove(fd)),
            Entry::Duplicate { fd, to } => {
                let same = self.open[fd].clone();
                self.open.insert(*to, same);
            }
            Entry::Write { fd, offset, octets } => {
                let change = Change::Write { offset: *offset, octets: octets.clone() };
                self.changed(at, *fd, change);
            }
            Entry::Truncate { fd, length } => self.changed(at, *fd, Change::Length(*length)),
            Entry::Allocate { fd, mode: 0, end } => self.changed(at, *fd, Change::AtLeast(*end)),
            // FALLOC_FL_KEEP_SIZE changes nothing that can be read.
            Entry::Allocate { mode: 1, .. } | Entry::Mark { .. } => {}
            Entry::Allocate { mode, .. } => panic!("fallocate mode {mode} cannot be replayed"),
            Entry::SyncBegin { fd, serial, data_only } => {
                self.sync_begun(at, *fd, *serial, *data_only)
            }
            Entry::SyncEnd { serial, failed } => self.sync_ended(*serial, *failed),
            Entry::Rename { from, to } => self.renamed(at, from, to),
            Entry::MakeDirectory { path } => {
                self.nodes.push(empty_directory());
                self.name(at, path, self.nodes.len() - 1);
            }
            Entry::Unlink { path } | Entry::RemoveDirectory { path } => {
                let (parent, name) = self.parent_of(path);
                let (live, _, pending) = self.names(parent);
                if live.remove(&name).is_none() {
                    // A socket, which is no file of ours and is made anew at each start.
                    return;
                }
                pending.push((at, NameChange::Remove(name)));
                self.touched(parent, NAME_GONE);
            }
        }
    }

    fn opened(&mut self, at: usize, fd: i32, path: &str, flags: i32) {
        let known = self.find(path);
        let id = known.unwrap_or_else(|| {
            assert!(flags & libc::O_CREAT != 0, "{path} was there before the recording: load it");
            self.nodes.push(Node::File { durable: Content::default(), pending: Vec::new() });
            self.name(at, path, self.nodes.len() - 1);
            self.nodes.len() - 1
        });
        self.open.insert(fd, (id, path.to_owned()));
        if flags & libc::O_TRUNC != 0 && known.is_some() {
            self.changed(at, fd, Change::Length(0));
        }
    }

    fn changed(&mut self, at: usize, fd: i32, change: Change) {
        let id = self.open[&fd].0;
        match &mut self.nodes[id] {
            Node::File { pending, .. } => pending.push((at, change)),
            Node::Directory { .. } => panic!("nobody writes to a directory"),
        }
        self.touched(id, OCTETS);
    }

    fn name(&mut self, at: usize, path: &str, id: Id) {
        let (parent, name) = self.parent_of(path);
        let (live, _, pending) = self.names(parent);
        live.insert(name.clone(), id);
        pending.push((at, NameChange::Add(name, id)));
        self.touched(parent, NAME);
    }

    fn touched(&mut self, id: Id, what: usize) {
        self.unsynced.entry(id).or_default()[what] = true;
    }

    fn renamed(&mut self, at: usize, from: &str, to: &str) {
        let (from_parent, from_name) = self.parent_of(from);
        let (to_parent, to_name) = self.parent_of(to);
        let (live, ..) = self.names(from_parent);
        let id = live.remove(&from_name).expect("only what is there is renamed");
        self.touched(from_parent, NAME_GONE);
        self.touched(to_parent, NAME);
        let (live, _, pending) = self.names(from_parent);
        if from_parent == to_parent {
            live.insert(to_name.clone(), id);
            pending.push((at, NameChange::Rename(from_name, to_name, id)));
            return;
        }
        pending.push((at, NameChange::Remove(from_name)));
        let (live, _, pending) = self.names(to_parent);
        live.insert(to_name.clone(), id);
        pending.push((at, NameChange::Add(to_name, id)));
    }

    fn sync_begun(&mut self, at: usize, fd: i32, serial: u64, data_only: bool) {
        let (id, path) = self.open[&fd].clone();
        let path = path[self.directory.len()..].trim_start_matches('/');
        let path = path.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        let of = match (self.unsynced.remove(&id).unwrap_or_default(), data_only) {
            ([false, false, false], _) => "",
            ([true, ..], true) => "data",
            ([true, ..], false) => "data and inode",
            ([_, true, true], _) => "names made and removed",
            ([_, true, false], _) => "names made",
            ([_, false, true], _) => "names removed",
        };
        let kind = SyncKind { path, of };
        if self.without.as_ref() != Some(&kind) {
            self.syncs.insert(serial, (id, at));
        }
        if !of.is_empty() {
            *self.seen.entry(kind).or_default() += 1;
        }
    }

    fn sync_ended(&mut self, serial: u64, failed: bool) {
        let Some((id, begun)) = self.syncs.remove(&serial) else { return };
        if failed {
            return;
        }
        let trace = self.trace;
        match &mut self.nodes[id] {
            Node::File { durable, pending } => {
                let count = pending.partition_point(|(at, _)| *at < begun);
                pending.drain(..count).for_each(|(_, change)| durable.apply(&change, trace));
            }
            Node::Directory { durable, pending, .. } => {
                let count = pending.partition_point(|(at, _)| *at < begun);
                pending.drain(..count).for_each(|(_, change)| apply_name(durable, &change));
            }
        }
    }

    fn names(
        &mut self,
        id: Id,
    ) -> (&mut BTreeMap<String, Id>, &mut BTreeMap<String, Id>, &mut NameChanges) {
        match &mut self.nodes[id] {
            Node::Directory { live, durable, pending } => (live, durable, pending),
            Node::File { .. } => panic!("a file holds no names"),
        }
    }

    fn find(&self, path: &str) -> Option<Id> {
        let below = path.strip_prefix(&self.directory).expect("only what is below is recorded");
        below.split('/').filter(|part| !part.is_empty()).try_fold(ROOT, |id, part| {
            match &self.nodes[id] {
                Node::Directory { live, .. } => live.get(part).copied(),
                Node::File { .. } => None,
            }
        })
    }

    fn parent_of(&self, path: &str) -> (Id, String) {
        let (parent, name) = path.rsplit_once('/').expect("an absolute path");
        (self.find(parent).expect("its directory is there"), name.to_owned())
    }

    /// Writes the directory as it would be found after the cut, into the empty directory `into`.
    pub fn rebuild(&self, into: &Path, survivors: Survivors) {
        let mut dice = Dice(match survivors {
            Survivors::Some { seed } => seed,
            Survivors::None | Survivors::All => 0,
        });
        self.rebuild_directory(ROOT, into, survivors, &mut dice);
    }

    fn rebuild_directory(&self, id: Id, into: &Path, survivors: Survivors, dice: &mut Dice) {
        let Node::Directory { durable, pending, .. } = &self.nodes[id] else {
            panic!("a file holds no names")
        };
        let mut names = durable.clone();
        let kept = match survivors {
            Survivors::None => 0,
            Survivors::All => pending.len(),
            Survivors::Some { .. } => dice.below(pending.len() as u64 + 1) as usize,
        };
        pending[..kept].iter().for_each(|(_, change)| apply_name(&mut names, change));
        for (name, id) in names {
            let path = into.join(name);
            match &self.nodes[id] {
                Node::Directory { .. } => {
                    std::fs::create_dir(&path).expect("makes");
                    self.rebuild_directory(id, &path, survivors, dice);
                }
                Node::File { durable, pending } => {
                    self.rebuild_file(durable, pending, &path, survivors, dice);
                }
            }
        }
    }

    fn rebuild_file(
        &self,
        durable: &Content,
        pending: &[(usize, Change)],
        path: &Path,
        survivors: Survivors,
        dice: &mut Dice,
    ) {
        let mut content = durable.clone();
        for (_, change) in pending {
            match survivors {
                Survivors::None => {}
                Survivors::All => content.apply(change, self.trace),
                Survivors::Some { .. } => self.apply_some(&mut content, change, dice),
            }
        }
        let file = std::fs::File::create_new(path).expect("makes");
        file.write_all_at(&content.octets, 0).expect("writes");
        file.set_len(content.length).expect("sets the length");
    }

    fn apply_some(&self, content: &mut Content, change: &Change, dice: &mut Dice) {
        let Change::Write { offset, octets } = change else {
            if dice.below(2) == 0 {
                content.apply(change, self.trace);
            }
            return;
        };
        let octets = self.trace.octets(octets.clone());
        let mut start = 0;
        while start < octets.len() {
            let at = offset + start as u64;
            let page_end = (at / PAGE_BYTES + 1) * PAGE_BYTES;
            let end = octets.len().min(start + (page_end - at) as usize);
            if dice.below(2) == 0 {
                content.write(at, &octets[start..end]);
            }
            start = end;
        }
    }
}

fn empty_directory() -> Node {
    Node::Directory { live: BTreeMap::new(), durable: BTreeMap::new(), pending: Vec::new() }
}

fn apply_name(names: &mut BTreeMap<String, Id>, change: &NameChange) {
    match change {
        NameChange::Add(name, id) => drop(names.insert(name.clone(), *id)),
        NameChange::Remove(name) => drop(names.remove(name)),
        NameChange::Rename(from, to, id) => {
            names.remove(from);
            names.insert(to.clone(), *id);
        }
    }
}

/// SplitMix64; the same seed rebuilds the same directory.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}
