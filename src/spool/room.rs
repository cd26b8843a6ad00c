//! How much the disk still holds, and the reserve that lets deliveries finish when it is full.
//!
//! Owns:       the file `reserve` beside the segments.
//! Promises:   `allows` costs no system call; what it says is at most a tick of the writer old.
//! Knows not:  who fills the disk.
//!
//! Below `free_bytes_min` no mail is taken, and what is left serves the ledger and the outcome log.
//! Others may eat even that. Then the reserve's blocks are given back, so that what is under way
//! can be settled; the reserve is set aside anew once there is plenty of room.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::system::{self, Growth};

pub const RESERVE_NAME: &str = "reserve";
const RESERVE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How often an idle writer looks, with plenty of room and near the end of it.
const TICK_USUAL: Duration = Duration::from_secs(1);
const TICK_NEAR: Duration = Duration::from_millis(100);

pub struct Room {
    directory: File,
    bytes_min: u64,
    free: AtomicU64,
}

impl Room {
    pub fn open(directory: &Path, bytes_min: u64) -> io::Result<Room> {
        let room = Room { directory: File::open(directory)?, bytes_min, free: AtomicU64::new(0) };
        room.look()?;
        Ok(room)
    }

    pub fn directory(&self) -> &File {
        &self.directory
    }

    /// Asks the file system.
    pub fn look(&self) -> io::Result<u64> {
        let free = system::free_bytes(&self.directory)?;
        self.free.store(free, Ordering::Relaxed);
        Ok(free)
    }

    /// As of the last look, a record of `bytes` leaves the least that must stay free.
    pub fn allows(&self, bytes: u64) -> bool {
        self.spare() >= bytes && self.free.load(Ordering::Relaxed) >= self.bytes_min
    }

    /// Octets above the least, as of the last look.
    pub fn spare(&self) -> u64 {
        self.free.load(Ordering::Relaxed).saturating_sub(self.bytes_min)
    }

    /// After the disk itself said that it is full, whatever statvfs says.
    pub fn found_full(&self) {
        self.free.store(0, Ordering::Relaxed);
    }

    pub fn tick(&self) -> Duration {
        let near = self.free.load(Ordering::Relaxed) <= self.bytes_min.saturating_mul(2);
        if near { TICK_NEAR } else { TICK_USUAL }
    }
}

/// Blocks held back for bad times.
pub struct Reserve {
    file: File,
    bytes: u64,
    held: bool,
}

impl Reserve {
    pub fn open(directory: &Path, bytes_min: u64) -> io::Result<Reserve> {
        let bytes = (bytes_min / 8).min(RESERVE_BYTES_MAX);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join(RESERVE_NAME))?;
        let held = file.metadata()?.len() >= bytes;
        Ok(Reserve { file, bytes, held })
    }

    /// Gives the blocks back when `free` has all but ended, takes them again when there is plenty.
    pub fn keep(&mut self, free: u64, bytes_min: u64) {
        if self.held && free < self.bytes {
            self.release();
        } else if !self.held && free >= bytes_min.saturating_add(self.bytes.saturating_mul(2)) {
            match system::set_aside(&self.file, self.bytes, Growth::Grow) {
                Ok(()) => self.held = true,
                Err(error) => tracing::debug!(reason = %error, "no reserve could be set aside"),
            }
        }
    }

    pub fn release(&mut self) {
        if !self.held || self.bytes == 0 {
            return;
        }
        match self.file.set_len(0) {
            Ok(()) => {
                self.held = false;
                tracing::warn!(
                    bytes = self.bytes,
                    "the disk is full: the reserve is given back so that deliveries can finish"
                );
            }
            Err(error) => tracing::error!(reason = %error, "the reserve cannot be given back"),
        }
    }
}
