//! Bodies, in append-only segments on disk.
//!
//! Owns:       `<data>/spool/`, one file a segment, and the thread that writes and syncs them.
//! Promises:   when `append` returns, the body is on stable storage, and so is its file's name; a
//!             damaged record is found by its checksum, set aside and reported, never half sent.
//! Knows not:  whose body it is, or whether anybody still owes it.
//!
//! A segment's number is never used twice as long as anybody may ask for a body in it: numbers only
//! rise, a segment is named on disk before a body in it is answered for, and the newest segment is
//! never offered for removal.

mod inbox;
mod record;
mod room;
mod segment;
pub(crate) mod system;
mod writer;

use std::collections::{BTreeSet, HashMap};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot, watch};

use self::inbox::{Append, Inbox};
use self::room::{Reserve, Room};
use self::writer::Writer;
use crate::model::moment;
use crate::model::{BodyRef, SegmentId};

#[derive(Clone, Debug, thiserror::Error)]
pub enum SpoolError {
    /// Less room than the reserve, or the disk said so itself.
    #[error("no room in {0}: free some space; mail is taken again as soon as there is room")]
    Full(String),
    #[error("the spool cannot be written or read: {0}")]
    Io(String),
    /// The record is not what was written. `path` names where it lies.
    #[error("the body at {offset} of {path} is damaged: {why}")]
    Damaged { path: String, offset: u64, why: String },
}

#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// A segment is sealed at this size.
    pub segment_bytes: u64,
    /// `append` refuses while less than this is free on the disk.
    pub free_bytes_min: u64,
}

/// Bodies handed in and not yet on disk, of all callers together.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A disk that needs longer for one batch is as good as gone; the client is told to come again.
const APPEND_WAIT: Duration = Duration::from_secs(30);
/// Reads that may occupy a thread of the runtime's blocking pool at a time.
const BLOCKING_READS_MAX: usize = 16;
/// A longer body would hold an asynchronous thread too long even from the page cache.
const CACHED_READ_BYTES_MAX: u64 = 256 * 1024;
/// Segments kept open for reading.
const OPEN_FILES_MAX: usize = 64;
/// Another daemon that is just ending, or a handle of ours just dropped, is waited for.
const LOCK_TRIES_MAX: u32 = 100;
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// A cheap handle; all clones share one writing thread.
#[derive(Clone)]
pub struct Spool(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    /// None when opened to read.
    writing: Option<Writing>,
    files: Mutex<HashMap<SegmentId, Arc<File>>>,
    blocking_reads: Semaphore,
}

struct Writing {
    inbox: Arc<Inbox>,
    waiting_bytes: Arc<Semaphore>,
    /// Its sender lives as long as the thread.
    thread: watch::Receiver<()>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// What the handles and the writing thread both know.
struct Shared {
    directory: PathBuf,
    options: SpoolOptions,
    room: Room,
    segments: Mutex<Segments>,
}

impl Shared {
    fn full(&self) -> SpoolError {
        SpoolError::Full(self.directory.display().to_string())
    }
}

#[derive(Default)]
struct Segments {
    sealed: BTreeSet<SegmentId>,
    /// The segment with the highest number that is named on disk.
    newest: Option<SegmentId>,
}

impl Segments {
    fn seal(&mut self, segment: SegmentId) {
        self.sealed.insert(segment);
    }

    fn name(&mut self, segment: SegmentId) {
        self.newest = Some(segment);
    }
}

fn fault(error: &io::Error) -> SpoolError {
    SpoolError::Io(error.to_string())
}

impl Spool {
    /// Opens or makes the directory; checks the tail of the last segment only and seals it.
    pub fn open(directory: &Path, options: SpoolOptions) -> Result<Spool, SpoolError> {
        Spool::start(directory, options).map_err(|error| fault(&error))
    }

    fn start(directory: &Path, options: SpoolOptions) -> io::Result<Spool> {
        make_directory(directory)?;
        let lock = lock(directory)?;
        let (segments, strangers) = segment::list(directory)?;
        if strangers > 0 {
            let directory = directory.display();
            tracing::warn!(strangers, %directory, "names that are no segments");
        }
        if let Some(last) = segments.last() {
            recover(directory, *last);
        }
        let newest = segments.last().copied();
        let room = Room::open(directory, options.free_bytes_min)?;
        let mut reserve = Reserve::open(directory, options.free_bytes_min)?;
        reserve.keep(room.look()?, options.free_bytes_min);
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            room,
            segments: Mutex::new(Segments { sealed: segments.into_iter().collect(), newest }),
            options,
        });
        let inbox = Arc::new(Inbox::default());
        let next = newest.map_or(1, |newest| newest.0 + 1);
        let writer = Writer::new(shared.clone(), inbox.clone(), reserve, next);
        let (alive, thread) = watch::channel(());
        std::thread::Builder::new().name("spool".into()).spawn(move || {
            writer.run();
            drop(lock);
            drop(alive);
        })?;
        let waiting_bytes = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
        Ok(Spool::of(shared, Some(Writing { inbox, waiting_bytes, thread })))
    }

    /// For `check` beside a running daemon: reads only.
    pub fn open_to_read(directory: &Path) -> Result<Spool, SpoolError> {
        let open = || {
            let (segments, _) = segment::list(directory)?;
            let newest = segments.last().copied();
            Ok(Shared {
                directory: directory.to_owned(),
                options: SpoolOptions { segment_bytes: 0, free_bytes_min: 0 },
                room: Room::open(directory, 0)?,
                segments: Mutex::new(Segments { sealed: segments.into_iter().collect(), newest }),
            })
        };
        let shared = open().map_err(|error: io::Error| fault(&error))?;
        Ok(Spool::of(Arc::new(shared), None))
    }

    fn of(shared: Arc<Shared>, writing: Option<Writing>) -> Spool {
        Spool(Arc::new(Inner {
            shared,
            writing,
            files: Mutex::default(),
            blocking_reads: Semaphore::new(BLOCKING_READS_MAX),
        }))
    }

    /// Group commit: many appends share one write and one `fdatasync`. `Io` also when the disk has
    /// not answered within 30 s; whether the body is there is then not known, and nobody owes it.
    pub async fn append(&self, body: Bytes) -> Result<BodyRef, SpoolError> {
        let Some(writing) = &self.0.writing else {
            return Err(SpoolError::Io("it was opened to read only".into()));
        };
        let length = body.len() as u64;
        if length > record::BODY_BYTES_MAX {
            return Err(SpoolError::Io(format!("a body of {length} octets is too long")));
        }
        if !self.has_room(length) {
            return Err(self.0.shared.full());
        }
        let appended = tokio::time::timeout(APPEND_WAIT, writing.append(body)).await;
        appended.unwrap_or_else(|_| Err(SpoolError::Io("the disk does not answer".into())))
    }

    /// Verified by checksum.
    pub async fn read(&self, body: BodyRef) -> Result<Bytes, SpoolError> {
        if body.length > record::BODY_BYTES_MAX {
            return Err(self.damaged(body, "no body is as long as the row says"));
        }
        let record = match self.read_cached(body) {
            Some(record) => record,
            None => self.read_blocking(body).await?,
        };
        match record::check(body, &record) {
            Ok(()) => {
                let end = record.len() - record::END.len();
                Ok(Bytes::from(record).slice(record::HEADER_BYTES..end))
            }
            Err(why) => Err(self.damaged(body, why)),
        }
    }

    /// What the page cache holds is read without leaving this thread: a hop to the blocking pool
    /// and back costs more than the read. None says nothing about the body.
    fn read_cached(&self, body: BodyRef) -> Option<Vec<u8>> {
        if body.length > CACHED_READ_BYTES_MAX {
            return None;
        }
        let file = self.0.files.lock().get(&body.segment).cloned()?;
        let mut record = vec![0; usize::try_from(record::bytes_of(body.length)).ok()?];
        let read = system::read_cached(&file, &mut record, body.offset).ok()?;
        (read == record.len()).then_some(record)
    }

    async fn read_blocking(&self, body: BodyRef) -> Result<Vec<u8>, SpoolError> {
        // Never closed, so the only failure is one that cannot happen.
        let turn = self.0.blocking_reads.acquire().await;
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let file = this.file(body.segment)?;
            // Before memory is taken for it: the file holds as much as the row says.
            let size = file.metadata()?.len();
            let bytes = record::bytes_of(body.length);
            if body.offset.checked_add(bytes).is_none_or(|end| end > size) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut record = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
            file.read_exact_at(&mut record, body.offset)?;
            Ok(record)
        })
        .await;
        drop(turn);
        let read: io::Result<Vec<u8>> = read.unwrap_or_else(|gone| Err(io::Error::other(gone)));
        read.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.damaged(body, "the segment is missing"),
            io::ErrorKind::UnexpectedEof => self.damaged(body, "the segment ends before it"),
            _ => fault(&error),
        })
    }

    /// The segment, open for reading.
    fn file(&self, segment: SegmentId) -> io::Result<Arc<File>> {
        if let Some(file) = self.0.files.lock().get(&segment) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(self.path_of(segment))?);
        let mut files = self.0.files.lock();
        if files.len() >= OPEN_FILES_MAX {
            files.clear();
        }
        files.insert(segment, file.clone());
        Ok(file)
    }

    fn damaged(&self, body: BodyRef, why: &str) -> SpoolError {
        let path = self.path_of(body.segment).display().to_string();
        tracing::error!(%path, offset = body.offset, length = body.length, why, "a damaged body");
        SpoolError::Damaged { path, offset: body.offset, why: why.to_owned() }
    }

    /// There is room for one more body of this size.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.0.shared.room.allows(bytes.saturating_add(record::FRAME_BYTES))
    }

    /// Segments that are sealed, oldest first: candidates for removal once nothing in them is owed.
    /// The newest of all is never among them, so that its number is not given again.
    pub fn sealed(&self) -> Vec<SegmentId> {
        let segments = self.0.shared.segments.lock();
        let newest = segments.newest;
        segments.sealed.iter().copied().filter(|segment| Some(*segment) < newest).collect()
    }

    /// Octets of a segment's file.
    pub async fn size_of(&self, segment: SegmentId) -> Result<u64, SpoolError> {
        let size = tokio::fs::metadata(self.path_of(segment)).await;
        size.map(|file| file.len()).map_err(|error| fault(&error))
    }

    /// Unlinks a sealed segment and syncs the directory. One that is gone already is no error.
    pub async fn remove(&self, segment: SegmentId) -> Result<(), SpoolError> {
        let candidate = self.sealed().contains(&segment);
        if self.0.writing.is_none() || !candidate {
            return Err(SpoolError::Io(format!("segment {segment} is not one to be removed")));
        }
        let this = self.clone();
        let removed = tokio::task::spawn_blocking(move || {
            match std::fs::remove_file(this.path_of(segment)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => moment::reached(c"spool_segment_unlinked"),
            }
            this.0.files.lock().remove(&segment);
            this.0.shared.room.directory().sync_all()?;
            this.0.shared.segments.lock().sealed.remove(&segment);
            moment::reached(c"spool_segment_removed");
            Ok(())
        })
        .await;
        removed.unwrap_or_else(|gone| Err(io::Error::other(gone))).map_err(|error| fault(&error))
    }

    pub fn path_of(&self, segment: SegmentId) -> PathBuf {
        segment::path_of(&self.0.shared.directory, segment)
    }

    /// Finishes what was handed in and ends the thread.
    pub async fn close(&self) {
        if let Some(writing) = &self.0.writing {
            writing.inbox.close();
            self.ended().await;
        }
    }

    /// Returns once the writing thread is gone, be it by `close` or by a panic: the daemon cannot
    /// go on without it. Never returns where there is none.
    pub async fn ended(&self) {
        match &self.0.writing {
            None => std::future::pending().await,
            // Nothing is ever sent: an error is the end of the sender, and of the thread.
            Some(writing) => while writing.thread.clone().changed().await.is_ok() {},
        }
    }
}

impl Writing {
    async fn append(&self, body: Bytes) -> Result<BodyRef, SpoolError> {
        let ended = || SpoolError::Io("the writing thread has ended".into());
        // A body longer than all that may wait takes the whole of it; a short one its overhead.
        let share = body.len().clamp(1024, WAITING_BYTES_MAX);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        let turn = self.waiting_bytes.clone().acquire_many_owned(share);
        let held = turn.await.map_err(|_| ended())?;
        let (reply, answer) = oneshot::channel();
        self.inbox.put(Append { body, reply, held }).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Makes the directory if it is missing, and each name that was made durable in the one above it.
fn make_directory(directory: &Path) -> io::Result<()> {
    let absolute = std::path::absolute(directory)?;
    let missing = absolute.ancestors().take_while(|path| !path.is_dir()).count();
    if missing == 0 {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(&absolute)?;
    for above in absolute.ancestors().skip(1).take(missing) {
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

/// One writer a directory, whatever the ledger is.
fn lock(directory: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).open(directory)?;
    for _ in 0..LOCK_TRIES_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_WAIT),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other(format!("another process writes to {}", directory.display())))
}

/// Cuts what a crash left behind the last whole record. Whatever is wrong with this one file is
/// reported and left: a start that fails would hurt all the other mail.
fn recover(directory: &Path, segment: SegmentId) {
    let scan = || {
        let path = segment::path_of(directory, segment);
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        let scan = segment::scan(&file, segment, size)?;
        if scan.end < size {
            file.set_len(scan.end)?;
        }
        io::Result::Ok(scan)
    };
    match scan() {
        Ok(scan) if scan.damaged == 0 => {
            tracing::info!(
                segment = segment.0,
                records = scan.records,
                "the last segment is whole"
            );
        }
        Ok(scan) => {
            tracing::error!(segment = segment.0, damaged = scan.damaged, "damage in a segment");
        }
        Err(error) => {
            tracing::error!(segment = segment.0, reason = %error, "a segment cannot be scanned");
        }
    }
}

#[cfg(test)]
mod tests;
