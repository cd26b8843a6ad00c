//! The one thread that writes bodies: batch, write, sync, answer.
//!
//! Owns:       the current segment and its end.
//! Promises:   nobody is answered before the batch, and for a new segment its name too, is synced;
//!             after a failed write or sync nothing is ever written behind that place again.
//! Knows not:  who reads.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use super::inbox::{Append, Inbox, Taken};
use super::record::{self, HEADER_BYTES};
use super::room::Reserve;
use super::{Shared, SpoolError, segment};
use crate::model::moment;
use crate::model::{BodyRef, SegmentId};

pub struct Writer {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    reserve: Reserve,
    current: Option<Current>,
    /// The number that the next segment gets; none is ever used twice.
    next: i64,
    /// Several callers came at once: more may be on their way.
    crowd: bool,
    /// A disk that fails at each batch is named in the log once, until it works again.
    failing: bool,
}

/// The segment that is written to. The file's own position is always `end`.
struct Current {
    segment: SegmentId,
    file: File,
    end: u64,
    capacity: u64,
    /// The directory was synced after the file was made.
    named: bool,
}

/// On every way out of the thread, also by panic, nobody is left waiting.
struct Farewell(Arc<Inbox>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Writer {
    pub fn new(shared: Arc<Shared>, inbox: Arc<Inbox>, reserve: Reserve, next: i64) -> Writer {
        Writer { shared, inbox, reserve, current: None, next, crowd: false, failing: false }
    }

    /// Returns once the inbox was closed and emptied.
    pub fn run(mut self) {
        let farewell = Farewell(self.inbox.clone());
        let mut batch = VecDeque::new();
        loop {
            match self.inbox.take(&mut batch, self.crowd, self.shared.room.tick()) {
                Taken::Closed => break,
                Taken::Nothing => self.look(),
                Taken::Some => {
                    self.look();
                    self.crowd = batch.len() > 1;
                    while !batch.is_empty() {
                        self.serve(&mut batch);
                    }
                }
            }
        }
        self.seal();
        drop(farewell);
    }

    fn look(&mut self) {
        match self.shared.room.look() {
            Ok(free) => self.reserve.keep(free, self.shared.options.free_bytes_min),
            Err(error) => tracing::error!(reason = %error, "the spool's disk does not answer"),
        }
    }

    /// Writes as many from the front of the batch as one segment takes, and answers them; at least
    /// one is answered.
    fn serve(&mut self, batch: &mut VecDeque<Append>) {
        let Some(first) = batch.front().map(|append| record::bytes_of(append.body.len() as u64))
        else {
            return;
        };
        if let Err(error) = self.prepare(first) {
            let refused = batch.pop_front();
            self.answer(refused.into_iter().map(|append| (append, Err(error.clone()))));
            return;
        }
        // `prepare` has just made sure of it.
        let Some(current) = self.current.as_mut() else { return };
        let mut places = Vec::with_capacity(batch.len());
        let mut end = current.end;
        for append in batch.iter() {
            let length = append.body.len() as u64;
            if end + record::bytes_of(length) > current.capacity {
                break;
            }
            places.push(BodyRef { segment: current.segment, offset: end, length });
            end += record::bytes_of(length);
        }
        let written = write(&mut current.file, &places, batch).and_then(|()| {
            moment::reached(c"spool_written");
            sync(current, &self.shared)
        });
        let answer = match written {
            Ok(()) => {
                current.end = end;
                self.failing = false;
                moment::reached(c"spool_synced");
                Ok(())
            }
            Err(error) => Err(self.abandon(&error)),
        };
        // Asked before anybody is answered, so that one caller alone is never taken for two.
        self.crowd |= !self.inbox.is_empty();
        let count = places.len();
        let answers = batch
            .drain(..count)
            .zip(places)
            .map(|(append, place)| (append, answer.clone().map(|()| place)));
        self.answer(answers);
    }

    fn answer(&self, answers: impl Iterator<Item = (Append, Result<BodyRef, SpoolError>)>) {
        for (append, answer) in answers {
            let Append { reply, held, .. } = append;
            drop(held);
            // A caller that went away meanwhile leaves a body that nobody owes: the sweep's work.
            if reply.send(answer).is_err() {
                tracing::debug!("nobody waits for a body any more");
            }
        }
    }

    /// Makes sure of a current segment that takes a record of `bytes`.
    fn prepare(&mut self, bytes: u64) -> Result<(), SpoolError> {
        if !self.shared.room.allows(0) {
            return Err(self.shared.full());
        }
        if let Some(current) = &self.current {
            if current.end + bytes <= current.capacity {
                return Ok(());
            }
            self.seal();
        }
        if !self.shared.room.allows(bytes) {
            return Err(self.shared.full());
        }
        // What is set aside for a segment must not itself be why the next mail is refused.
        let wanted = self.shared.options.segment_bytes.max(bytes);
        let capacity = wanted.min(self.shared.room.spare()).max(bytes);
        match self.make(capacity) {
            // The file system's own needs are not in what statvfs promises: ask for less.
            Err(error) if is_full(&error) && capacity > bytes => self.make(bytes),
            other => other,
        }
        .map_err(|error| self.fault(&error))
    }

    fn make(&mut self, capacity: u64) -> io::Result<()> {
        let segment = SegmentId(self.next);
        self.next += 1;
        let file = segment::make(&self.shared.directory, segment, capacity)?;
        moment::reached(c"spool_segment_made");
        self.current = Some(Current { segment, file, end: 0, capacity, named: false });
        Ok(())
    }

    /// Gives back what was set aside and not used. No sync: a tail of zeros does no harm.
    fn seal(&mut self) {
        let Some(current) = self.current.take() else { return };
        if current.end < current.capacity
            && let Err(error) = current.file.set_len(current.end)
        {
            tracing::warn!(segment = current.segment.0, reason = %error, "a tail stays");
        }
        if current.named {
            self.shared.segments.lock().seal(current.segment);
        } else {
            self.discard(current.segment);
        }
        moment::reached(c"spool_segment_sealed");
    }

    /// The segment was never named on disk, so nobody was ever told of a body in it.
    fn discard(&self, segment: SegmentId) {
        if let Err(error) = std::fs::remove_file(segment::path_of(&self.shared.directory, segment))
        {
            tracing::warn!(segment = segment.0, reason = %error, "an empty segment stays");
        }
    }

    /// A write or sync failed. The kernel may have marked the pages clean all the same, so a second
    /// sync would lie: what stands before this place is sealed, the next append gets a new file.
    fn abandon(&mut self, error: &io::Error) -> SpoolError {
        if !self.failing {
            let segment = self.current.as_ref().map(|current| current.segment.0);
            tracing::error!(segment, reason = %error, "bodies cannot be written; mail is refused");
        }
        self.seal();
        self.fault(error)
    }

    fn fault(&mut self, error: &io::Error) -> SpoolError {
        self.failing = true;
        if !is_full(error) {
            return SpoolError::Io(error.to_string());
        }
        self.reserve.release();
        self.shared.room.found_full();
        self.shared.full()
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// One writev(2) for all records; more only where the kernel takes a part.
fn write(file: &mut File, places: &[BodyRef], batch: &VecDeque<Append>) -> io::Result<()> {
    let headers: Vec<[u8; HEADER_BYTES]> = places
        .iter()
        .zip(batch)
        .map(|(place, append)| record::header(*place, &append.body))
        .collect();
    let mut slices = Vec::with_capacity(headers.len() * 3);
    for (header, append) in headers.iter().zip(batch) {
        slices.extend([
            IoSlice::new(header),
            IoSlice::new(&append.body),
            IoSlice::new(&record::END),
        ]);
    }
    let mut left = &mut slices[..];
    // Each turn that does not end the loop moves the file's end, so the loop ends.
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The data; for the first batch of a segment the whole inode and its name as well.
fn sync(current: &mut Current, shared: &Shared) -> io::Result<()> {
    if current.named {
        return current.file.sync_data();
    }
    current.file.sync_all()?;
    shared.room.directory().sync_all()?;
    current.named = true;
    shared.segments.lock().name(current.segment);
    Ok(())
}
