//! Pure bytes: what stands on the wire and in a mail, without sockets or clocks.

pub mod network; // CIDR networks
