//! What comes back after delivery: what it means for an address.
//!
//! Owns:       the class of a report's words, whether an address is lost by it, what is written
//!             down when one comes in.
//! Promises:   a delay or an auto-reply never loses an address; nothing follows from a report that
//!             does not carry a token of ours.
//! Knows not:  how a report is parsed (`wire::report`), SMTP.

mod content; // a mail as an application wants it
pub mod inbound; // mail from outside
mod judge;
pub mod leave; // who wants no more
mod lesson; // from a finding to what follows
mod meters;
mod named; // what a mail names
mod network; // how much a network may bring
pub mod pass; // mail that goes on
mod replies; // people who answer
pub mod return_domains; // does mail to return domains come here
pub mod routing; // what routes owe
pub mod sns; // what Amazon SES tells

pub use judge::{Judge, Verdict};
