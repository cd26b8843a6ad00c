//! Pure bytes: what stands on the wire and in a mail, without sockets or clocks.

pub mod command; // what an SMTP client says
pub mod data; // a body by DATA or BDAT
pub mod network; // CIDR networks
pub mod proxy; // the PROXY protocol
