//! In which pages the process gets its memory.
//!
//! Owns:       the process's flag against transparent huge pages.
//! Promises:   what is resident is what is used: a page of 2 MiB for each of the allocator's many
//!             small areas doubled the memory of a busy daemon and saved no measurable time.
//! Knows not:  who allocates.

/// For this process, from now on. A kernel without the flag keeps its own mind.
pub fn small_pages() {
    // SAFETY: this prctl takes plain numbers and no memory.
    let answer = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    if answer != 0 {
        let reason = std::io::Error::last_os_error();
        tracing::debug!(%reason, "huge pages cannot be declined");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_flag_is_set() {
        super::small_pages();
        // SAFETY: as above.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) }, 1);
    }
}
