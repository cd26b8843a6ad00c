//! Pure bytes: what stands on the wire and in a mail, without sockets or clocks.

pub mod date; // RFC 5322 dates
pub mod dsn; // reports on delivery (RFC 3464)
pub mod header; // the header section of a mail
pub mod mailbox; // addresses in From and Sender
pub mod network; // CIDR networks
