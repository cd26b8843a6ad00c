//! Pure bytes: what stands on the wire and in a mail, without sockets or clocks.
//!
//! Owns:       grammars and encodings.
//! Promises:   plain functions of octets; hostile input costs bounded memory and never a panic.
//! Knows not:  who sent the octets, or where they go.

pub mod command; // what an SMTP client says
pub mod data; // a body by DATA or BDAT
pub mod date; // RFC 5322 dates
pub mod decode; // transfer encodings, charsets, HTML
pub mod dsn; // reports on delivery (RFC 3464)
pub mod encode; // text in seven bits
pub mod header; // the header section of a mail
pub mod mailbox; // addresses in From and Sender
pub mod mime; // the parts of a mail
pub mod network; // CIDR networks
pub mod proxy; // the PROXY protocol
pub mod reply; // replies of a remote host, read as they come
pub mod report; // mail that tells of mail: bounces, auto-replies, complaints
pub mod stuffing; // a mail as it stands after DATA or BDAT
