//! Pure bytes: what stands on the wire and in a mail, without sockets or clocks.

pub mod network; // CIDR networks
pub mod reply; // replies of a remote host, read as they come
pub mod stuffing; // a mail as it stands after DATA or BDAT
