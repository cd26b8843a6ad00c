//! The lock on the data directory: one daemon at a time.
//!
//! Owns:       `<data>/lock`, which holds the process id of its holder.
//! Promises:   the lock goes with the process, however it dies (flock).
//! Knows not:  what lies in the directory.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::error::{Result, StoreError};

/// A daemon that is just ending is waited for, and so is a child of this process that holds our old
/// handle between its fork and its exec.
const LOCK_TRIES_MAX: u32 = 25;
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// Makes the directory when there is none, readable by its owner alone.
pub fn lock(directory: &Path) -> Result<File> {
    let unusable = |error: std::io::Error| {
        let place = directory.display();
        StoreError::Unavailable(format!("the directory {place} cannot be used: {error}"))
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unusable)?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(directory.join("lock"))
        .map_err(unusable)?;
    for tries in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES_MAX => {
                std::thread::sleep(LOCK_WAIT)
            }
            Err(TryLockError::WouldBlock) => return Err(taken(directory, &mut file)),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()))
        .map_err(unusable)?;
    Ok(file)
}

fn taken(directory: &Path, file: &mut File) -> StoreError {
    let mut holder = String::new();
    let read = file.take(32).read_to_string(&mut holder);
    let holder = match (read, holder.trim()) {
        (Ok(_), process) if !process.is_empty() => format!(" (process {process})"),
        _ => String::new(),
    };
    let place = directory.display();
    StoreError::Taken(format!(
        "another postroad{holder} uses {place}: stop it first, or give this one a directory of \
         its own"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_to_lock_a_directory_is_told_who_holds_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().join("made/below");
        let first = lock(&place).expect("the first");
        let error = lock(&place).expect_err("the second").to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        lock(&place).expect("the next, once the first is gone");
    }
}
