//! In which pages the process gets its memory, and which it gives back.
//!
//! Owns:       the process's flag against transparent huge pages; the pages of its own code.
//! Promises:   what is resident is what is used: a page of 2 MiB for each of the allocator's many
//!             small areas doubled the memory of a busy daemon and saved no measurable time, and
//!             what only the start executes is a third of the code.
//! Knows not:  who allocates.

use std::ffi::c_void;
use std::ops::Range;

/// For this process, from now on. A kernel without the flag keeps its own mind.
pub fn small_pages() {
    // SAFETY: this prctl takes plain numbers and no memory.
    let answer = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    if answer != 0 {
        let reason = std::io::Error::last_os_error();
        tracing::debug!(%reason, "huge pages cannot be declined");
    }
}

/// Lets go of the code that was executed so far: whatever is executed again comes back from the
/// page cache, in some microseconds for each 64 KiB.
pub fn leave_start() {
    let maps = match std::fs::read_to_string("/proc/self/maps") {
        Ok(maps) => maps,
        Err(reason) => return tracing::debug!(%reason, "the memory's map cannot be read"),
    };
    let Some(code) = code_around(&maps, leave_start as *const () as usize) else { return };
    // SAFETY: the range is one mapping of a file, executable and not writable, so no page of it
    // differs from the file, and the kernel reads it again when it is next touched.
    let answer =
        unsafe { libc::madvise(code.start as *mut c_void, code.len(), libc::MADV_DONTNEED) };
    if answer != 0 {
        let reason = std::io::Error::last_os_error();
        tracing::debug!(%reason, "the code of the start stays in memory");
    }
}

/// The executable, read-only mapping of a file in `maps` (proc(5), `/proc/PID/maps`) that holds
/// `place`.
fn code_around(maps: &str, place: usize) -> Option<Range<usize>> {
    maps.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (from, to) = words.next()?.split_once('-')?;
        let range = usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?;
        let is_code = words.next()? == "r-xp" && words.nth(3).is_some_and(|it| it.starts_with('/'));
        (is_code && range.contains(&place)).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_that_is_as_in_its_file_is_found() {
        let maps = "1000-3000 r--p 00000000 fe:00 7 /bin/it\n\
                    3000-9000 r-xp 00002000 fe:00 7 /bin/it\n\
                    9000-a000 rwxp 00008000 fe:00 7 /bin/it\n\
                    a000-b000 r-xp 00000000 00:00 0 \n\
                    b000-c000 r-xp 00000000 00:00 0 [vdso]\n";
        assert_eq!(code_around(maps, 0x3000), Some(0x3000..0x9000));
        for elsewhere in [0x1000, 0x9000, 0xa800, 0xb800, 0xc000] {
            assert_eq!(code_around(maps, elsewhere), None, "{elsewhere:x}");
        }
    }

    #[test]
    fn code_that_was_let_go_runs_on() {
        leave_start();
        only_code_that_is_as_in_its_file_is_found();
    }

    #[test]
    fn the_flag_is_set() {
        super::small_pages();
        // SAFETY: as above.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) }, 1);
    }
}
