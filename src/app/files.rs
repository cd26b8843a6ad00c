//! How many files and sockets the process may have open.
//!
//! Owns:       the limit RLIMIT_NOFILE of this process.
//! Promises:   as many as the system lets us have; a limit below what the settings allow is told.
//! Knows not:  who opens them.

use crate::config::Settings;

/// Segments, ledger, logs, name servers, HTTP: what is open besides sessions and connections.
const OTHERS: u64 = 512;

/// Raises the soft limit to the hard one: the usual 1,024 would end a busy hour.
pub fn allow_for(settings: &Settings) {
    let wanted = settings.smtp.connections_max + settings.delivery.connections_max;
    let wanted = (wanted as u64).saturating_add(OTHERS);
    match raised() {
        Ok(limit) if limit < wanted => tracing::warn!(
            limit,
            wanted,
            "the settings allow more connections than the system allows open files: raise the \
             limit (LimitNOFILE=) or lower smtp.connections_max and delivery.connections_max"
        ),
        Ok(_) => {}
        Err(reason) => tracing::warn!(%reason, "the limit of open files cannot be raised"),
    }
}

/// The limit that holds from now on.
fn raised() -> std::io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes into the structure it is given and keeps no pointer to it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: setrlimit only reads the structure.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one_and_stays_there() {
        let limit = super::raised().expect("it is ours to raise");
        assert_eq!(super::raised().expect("again"), limit);
        assert!(limit >= 256, "{limit}");
    }
}
