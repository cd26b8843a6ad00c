//! Outcomes between the remote host's answer and the ledger's commit.
//!
//! Owns:       `<data>/outcomes/`: append-only files, each record with length and checksum.
//! Promises:   an outcome appended here survives kill -9 (written by `write(2)` before it returns)
//!             and is found again by `replay`; a file goes once all in it is settled.
//! Knows not:  what an outcome means.

use std::path::Path;

use crate::model::*;

/// What must be known to settle a delivery after a crash.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    pub delivery: DeliveryId,
    /// The tries of the row when it was claimed; the guard against applying it twice.
    pub tries: u32,
    pub outcome: Outcome,
    /// The event's fields as JSON.
    pub fields: serde_json::Value,
    pub at: Timestamp,
}

/// Given by `append`; hand it to `settled` once the ledger has committed.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub file: u64,
}

pub struct OutcomeLog {}

impl OutcomeLog {
    /// Opens the directory; returns what earlier lives appended and may not have settled, oldest
    /// first. Their files stay until `replayed` is called.
    pub fn open(directory: &Path) -> std::io::Result<(OutcomeLog, Vec<Record>)> {
        todo!()
    }
    /// The records that `open` returned are in the ledger: their files go.
    pub fn replayed(&self) -> std::io::Result<()> {
        todo!()
    }
    pub fn append(&self, records: &[Record]) -> std::io::Result<Ticket> {
        todo!()
    }
    /// All records of one `append` are in the ledger.
    pub fn settled(&self, ticket: Ticket) {
        todo!()
    }
}
