//! Deliveries whose rows are damaged: set aside, so that the others go on.
//!
//! Owns:       what this node leaves out of its claims because it cannot be read.
//! Promises:   a damaged row is held for a person and told in the log, costs no second reading, and
//!             harms no other mail.
//! Knows not:  how it was damaged.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use serde_json::json;

use crate::model::*;

use super::dialect::{Statement, json_ids};
use super::error::Result;
use super::jobs::{Settle, SettleGroup, Settled};
use super::{Store, collect};

/// A store with more damage than this needs a person, and reads what is damaged now and then.
const LEFT_OUT_MAX: usize = 10_000;
const PAGE: i64 = 1000;

/// All that is owed, by id.
pub static OWED_AFTER: Statement = Statement::new(
    "SELECT id FROM deliveries WHERE id > $1 AND state IN ('waiting', 'leased', 'held') \
     ORDER BY id LIMIT $2",
);

/// Rows in a state that there is not: nobody claims them, and no list of a state has them.
pub static STATELESS: Statement = Statement::new(
    "SELECT id, state FROM deliveries WHERE state NOT IN ('waiting', 'leased', 'held', \
     'delivered', 'failed', 'suppressed', 'cancelled', 'expired') ORDER BY id LIMIT $1",
);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub delivery: DeliveryId,
    pub why: String,
    /// As the row counts them; none when that is damaged too.
    pub(super) tries: Option<u32>,
}

/// What could not be held in the ledger either, for the life of this process.
#[derive(Debug, Default)]
pub struct LeftOut(Mutex<BTreeSet<DeliveryId>>);

impl LeftOut {
    /// `taken` and what is left out, as JSON for a statement.
    pub fn with(&self, taken: &[DeliveryId]) -> String {
        let left_out = self.0.lock();
        json_ids(taken.iter().chain(left_out.iter()).map(|id| id.0))
    }

    fn add(&self, delivery: DeliveryId) {
        let mut left_out = self.0.lock();
        if left_out.len() >= LEFT_OUT_MAX {
            left_out.clear();
        }
        left_out.insert(delivery);
    }
}

impl Store {
    /// Holds each by itself; what is too damaged even for that is left out of further claims.
    pub(super) async fn set_aside(&self, rows: &[Unreadable]) {
        for row in rows {
            let (delivery, reason) = (row.delivery, row.why.as_str());
            tracing::error!(%delivery, reason, "a delivery cannot be read and is set aside: look \
                at its row");
            let held = match row.tries {
                Some(tries) => self.settle(self.holding(row, tries)).await,
                None => Ok(Vec::new()),
            };
            if !matches!(held.as_deref(), Ok([Settled::Moved(_)])) {
                self.left_out().add(delivery);
            }
        }
    }

    fn holding(&self, row: &Unreadable, tries: u32) -> SettleGroup {
        let settle = Settle {
            delivery: row.delivery,
            site: None,
            step: Step::Hold,
            tries,
            counted: false,
            due: self.now(),
            text: row.why.clone(),
            blame: Some(Blame::Ourselves),
            answer_not_seen: false,
            delay_reported: false,
            fields: json!({ "reason": row.why }),
            pin: None,
            at: self.now(),
        };
        SettleGroup { settlements: vec![settle], report: None }
    }

    /// Not claimed any more by this process.
    pub fn leave_out(&self, delivery: DeliveryId) {
        self.left_out().add(delivery);
    }

    /// Every delivery that is owed, or may be, and cannot be read. Walks all rows.
    pub async fn unreadable(&self) -> Result<Vec<Unreadable>> {
        let rows = self.read(&STATELESS, vec![PAGE.into()]).await?;
        let mut unreadable = collect(rows, |row| {
            let why = format!("there is no state '{}'", row.text(1)?.escape_debug());
            Ok(Unreadable { delivery: DeliveryId(row.int(0)?), why, tries: None })
        })?;
        let mut after = 0;
        loop {
            let rows = self.read(&OWED_AFTER, vec![after.into(), PAGE.into()]).await?;
            let ids = collect(rows, |row| row.int(0))?;
            let Some(last) = ids.last() else { return Ok(unreadable) };
            after = *last;
            unreadable.extend(self.deliveries_in(&ids).await?.unreadable);
        }
    }
}
