//! Pure bytes: what stands on the wire and in a mail, without sockets or clocks.
//!
//! Owns:       grammars and encodings.
//! Promises:   plain functions of octets; hostile input costs bounded memory and never a panic.
//! Knows not:  who sent the octets, or where they go.

pub mod network; // CIDR networks
pub mod reply; // replies of a remote host, read as they come
pub mod stuffing; // a mail as it stands after DATA or BDAT
