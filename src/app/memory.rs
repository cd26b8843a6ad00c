//! In which pages the process gets its memory, and which it gives back.
//!
//! Owns:       the process's flag against transparent huge pages; when freed memory goes back; the
//!             pages of its own file.
//! Promises:   what is resident is what is used: a page of 2 MiB for each of the allocator's many
//!             small areas doubled the memory of a busy daemon and saved no measurable time, what
//!             only the start executes is a third of the code, and what only the start allocates
//!             is two thirds of the heap.
//! Knows not:  who allocates.

use std::ffi::c_void;
use std::ops::Range;

/// `mi_option_purge_delay` in mimalloc.h, which the binding does not name: how long a freed area is
/// kept, in ms.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// For this process, from now on: pages of 4 KiB, and freed areas go back at once (a delay of one
/// second kept all that the start had used under load, and saved no measurable time). A kernel
/// without the flag keeps its own mind, and so does an administrator's `MIMALLOC_PURGE_DELAY`.
pub fn keep_little() {
    // SAFETY: sets one number of the allocator's.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, 0) };
    // SAFETY: this prctl takes plain numbers and no memory.
    let answer = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    if answer != 0 {
        let reason = std::io::Error::last_os_error();
        tracing::debug!(%reason, "huge pages cannot be declined");
    }
}

/// Lets go of what the start freed, executed and read of the program's file: what is used again
/// comes back from the page cache, in some microseconds for each 64 KiB.
pub fn leave_start() {
    // SAFETY: gives back what nobody holds.
    unsafe { libmimalloc_sys::mi_collect(true) };
    let maps = match std::fs::read_to_string("/proc/self/maps") {
        Ok(maps) => maps,
        Err(reason) => return tracing::debug!(%reason, "the memory's map cannot be read"),
    };
    for part in unchanged_parts(&maps, leave_start as *const () as usize) {
        // SAFETY: the range is one mapping of a file, and no page of it differs from the file, so
        // the kernel reads it again when it is next touched.
        let answer =
            unsafe { libc::madvise(part.start as *mut c_void, part.len(), libc::MADV_DONTNEED) };
        if answer != 0 {
            let reason = std::io::Error::last_os_error();
            tracing::debug!(%reason, "what the start read of the program stays in memory");
        }
    }
}

/// Of the file that is mapped at `place`, as `maps` has it (proc(5), `/proc/PID/maps`): its code,
/// and the constants and tables that stand before it. What stands after the code and can only be
/// read is not among them: the loader has written addresses into it.
fn unchanged_parts(maps: &str, place: usize) -> Vec<Range<usize>> {
    let all: Vec<Mapping<'_>> = maps.lines().filter_map(Mapping::read).collect();
    let is_code = |it: &&Mapping<'_>| it.rights == "r-xp" && it.range.contains(&place);
    let Some(code) = all.iter().find(is_code) else { return Vec::new() };
    let is_before = |it: &&Mapping<'_>| {
        it.rights == "r--p" && it.file == code.file && it.range.end <= code.range.start
    };
    all.iter().filter(is_before).chain([code]).map(|it| it.range.clone()).collect()
}

/// A mapping of a file.
struct Mapping<'a> {
    range: Range<usize>,
    rights: &'a str,
    file: &'a str,
}

impl<'a> Mapping<'a> {
    fn read(line: &'a str) -> Option<Mapping<'a>> {
        let mut words = line.split_ascii_whitespace();
        let (from, to) = words.next()?.split_once('-')?;
        let range = usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?;
        let rights = words.next()?;
        let file = words.nth(3).filter(|file| file.starts_with('/'))?;
        Some(Mapping { range, rights, file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_its_file_is_let_go() {
        let maps = "0800-1000 r--p 00000000 fe:00 8 /bin/other\n\
                    1000-3000 r--p 00000000 fe:00 7 /bin/it\n\
                    3000-9000 r-xp 00002000 fe:00 7 /bin/it\n\
                    9000-9800 r--p 00008000 fe:00 7 /bin/it\n\
                    9800-a000 rwxp 00008800 fe:00 7 /bin/it\n\
                    a000-b000 r-xp 00000000 00:00 0 \n\
                    b000-c000 r-xp 00000000 00:00 0 [vdso]\n";
        assert_eq!(unchanged_parts(maps, 0x3000), [0x1000..0x3000, 0x3000..0x9000]);
        for elsewhere in [0x1000, 0x9000, 0x9900, 0xa800, 0xb800, 0xc000] {
            assert!(unchanged_parts(maps, elsewhere).is_empty(), "{elsewhere:x}");
        }
    }

    #[test]
    fn code_that_was_let_go_runs_on() {
        leave_start();
        only_what_is_as_in_its_file_is_let_go();
    }

    #[test]
    fn the_flag_is_set() {
        super::keep_little();
        // SAFETY: as above.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) }, 1);
    }
}
