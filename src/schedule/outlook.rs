//! What a look at a site says: what is to be done, or why nothing is.
//!
//! Owns:       two small words.
//! Promises:   a block has an end and a reason.
//! Knows not:  how a site comes to it.

use crate::model::Timestamp;

/// Nobody tries this site before `until`.
#[derive(Clone, Debug)]
pub struct Block {
    pub until: Timestamp,
    pub reason: String,
}

/// What a look at the site asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Rows are to be read from the ledger.
    pub load: bool,
    /// So many new lanes.
    pub lanes: usize,
    /// So many idle lanes are to be woken.
    pub wakes: usize,
    /// There is transactional mail, and a lane that waits for a connection.
    pub is_urgent: bool,
    /// Look again at this moment.
    pub look_at: Option<Timestamp>,
}
