//! What limits have granted.
//!
//! Owns:       the charges of one transaction or one connection.
//! Promises:   dropped before it was offered, everything comes back; a connection's place comes
//!             back whenever it is dropped.
//! Knows not:  what is sent.

use std::sync::Arc;

use super::table::Row;
use super::{Cell, Inner};
use crate::model::{SiteId, Timestamp};

pub(super) struct Charge {
    pub row: Arc<Row>,
    pub cell: Arc<Cell>,
    pub n: u64,
    /// The bucket that was charged.
    pub at: Timestamp,
}

/// Given back by `Drop`, unless it was offered.
#[must_use]
pub struct Permit {
    limits: Arc<Inner>,
    pub(super) charges: Vec<Charge>,
    pub(super) count: u64,
    offered: bool,
}

impl Permit {
    pub(super) fn new(limits: Arc<Inner>, count: u64) -> Permit {
        Permit { limits, charges: Vec::new(), count, offered: false }
    }

    /// How many were granted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Gives back what is beyond `n`.
    pub fn shrink(&mut self, n: u64) {
        self.count = self.count.min(n);
        for charge in &mut self.charges {
            if charge.n > n && !self.offered {
                give_back(charge, charge.n - n);
                charge.n = n;
            }
        }
    }

    /// From now on it counts for good: the host is about to be told.
    pub fn offer(&mut self) {
        if !self.offered {
            self.offered = true;
            self.note_offered(1);
        }
    }

    /// After all nothing was offered: `Drop` gives it back.
    pub fn take_back(&mut self) {
        if self.offered {
            self.offered = false;
            self.note_offered(-1);
        }
    }

    pub(super) fn is_offered(&self) -> bool {
        self.offered
    }

    /// For who notes it himself.
    pub(super) fn set_offered(&mut self, offered: bool) {
        self.offered = offered;
    }

    /// Another site waits for this connection; if `urgently`, with transactional mail.
    pub fn is_wanted(&self, by_other_than: SiteId, urgently: bool) -> bool {
        self.charges.iter().any(|charge| {
            let is_gauge = charge.row.rule.as_ref().is_some_and(|rule| rule.is_gauge());
            is_gauge && self.limits.waiting.is_wanted(charge.cell.key, by_other_than, urgently)
        })
    }

    fn note_offered(&self, sign: i64) {
        for charge in &self.charges {
            let n = i64::try_from(charge.n).unwrap_or(i64::MAX);
            charge.cell.count.lock().offer(sign * n, charge.at);
        }
    }
}

fn give_back(charge: &Charge, n: u64) {
    if let Some(rule) = &charge.row.rule {
        charge.cell.count.lock().give_back(rule, n, charge.at);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        for charge in &self.charges {
            let is_gauge = charge.row.rule.as_ref().is_some_and(|rule| rule.is_gauge());
            if is_gauge || !self.offered {
                give_back(charge, charge.n);
            }
            if is_gauge {
                self.limits.waiting.release(charge.cell.key);
            }
        }
    }
}
