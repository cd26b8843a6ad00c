//! Bodies, in append-only segments on disk.
//!
//! Owns:       `<data>/spool/`, one file a segment, and the thread that writes and syncs them.
//! Promises:   when `append` returns, the body is on stable storage, and so is its file's name; a
//!             damaged record is found by its checksum, set aside and reported, never half sent.
//! Knows not:  whose body it is, or whether anybody still owes it.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::model::{BodyRef, SegmentId};

#[derive(Debug, thiserror::Error)]
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

/// A cheap handle; all clones share one writing thread.
#[derive(Clone)]
pub struct Spool {}

impl Spool {
    /// Opens or makes the directory; checks the tail of the last segment only and seals it.
    pub fn open(directory: &Path, options: SpoolOptions) -> Result<Spool, SpoolError> {
        todo!()
    }
    /// For `check` beside a running daemon: reads only.
    pub fn open_to_read(directory: &Path) -> Result<Spool, SpoolError> {
        todo!()
    }
    /// Group commit: many appends share one write and one `fdatasync`.
    pub async fn append(&self, body: Bytes) -> Result<BodyRef, SpoolError> {
        todo!()
    }
    /// Verified by checksum.
    pub async fn read(&self, body: BodyRef) -> Result<Bytes, SpoolError> {
        todo!()
    }
    /// There is room for one more body of this size.
    pub fn has_room(&self, bytes: u64) -> bool {
        todo!()
    }
    /// Segments that are sealed, oldest first: candidates for removal once nothing in them is owed.
    pub fn sealed(&self) -> Vec<SegmentId> {
        todo!()
    }
    /// Unlinks a sealed segment and syncs the directory.
    pub async fn remove(&self, segment: SegmentId) -> Result<(), SpoolError> {
        todo!()
    }
    pub fn path_of(&self, segment: SegmentId) -> PathBuf {
        todo!()
    }
    /// Finishes what was handed in and ends the thread.
    pub async fn close(&self) {
        todo!()
    }
}
