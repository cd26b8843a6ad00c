//! What comes back after delivery: what it means for an address.
//!
//! Owns:       the class of a report's words, and whether an address is lost by it.
//! Promises:   a delay or an auto-reply never loses an address.
//! Knows not:  how a report is parsed (`wire::report`), who reads the verdict.

mod judge;

pub use judge::{Judge, Verdict};
