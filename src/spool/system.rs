//! The few calls to the kernel that std does not offer.
//!
//! Owns:       nothing; each function is one system call.
//! Promises:   safe signatures; errors as the kernel gave them.
//! Knows not:  segments and records.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Whether the file grows to the length set aside, or keeps the one it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    Grow,
    KeepLength,
}

/// fallocate(2): the blocks of the first `bytes` octets belong to the file from now on, so that a
/// later write into them cannot meet a full disk and a later sync has no length to record.
/// `Unsupported` where the file system cannot (NFS before 4.2, ZFS).
pub fn set_aside(file: &File, bytes: u64, growth: Growth) -> io::Result<()> {
    let length = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mode = match growth {
        Growth::Grow => 0,
        Growth::KeepLength => libc::FALLOC_FL_KEEP_SIZE,
    };
    for _ in 0..INTERRUPTS_MAX {
        // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
        if unsafe { libc::fallocate(file.as_raw_fd(), mode, 0, length) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

const INTERRUPTS_MAX: usize = 100;

/// Octets that a process without privileges may still write on the file system of `file`.
pub fn free_bytes(file: &File) -> io::Result<u64> {
    let mut answer = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the descriptor is open, and the kernel fills the struct when it answers 0.
    let answer = unsafe {
        if libc::fstatvfs(file.as_raw_fd(), answer.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        answer.assume_init()
    };
    Ok(answer.f_bavail.saturating_mul(answer.f_frsize))
}

/// preadv2(2) with RWF_NOWAIT: reads what the page cache holds and never waits for the disk.
/// Returns the octets read, which may be fewer than asked; `WouldBlock` when none are there.
pub fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: `part` describes `buffer`, which is borrowed mutably for the whole call.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &part, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}
