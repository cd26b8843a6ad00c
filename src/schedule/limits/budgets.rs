//! Budgets outlive the daemon: the counts of long windows in the ledger, and what came since in
//! the journal.
//!
//! Owns:       when a count is written where.
//! Promises:   what is offered was noted before, so no kill forgets it; the ledger hears of it
//!             within a second; after a power cut a budget goes on behind all that may have been
//!             offered, which costs it half a hundredth, and one transaction at least.
//! Knows not:  who sends, which limits there are.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::journal::{Journal, Left, Noted};
use super::permit::{Charge, Permit};
use super::{CellKey, Limits};
use crate::model::*;
use crate::store::{BudgetRow, Store, StoreError};

/// Of a budget, the part that may be offered before the ledger is told again.
const RESERVED_PART: u64 = 200;
/// Windows are kept for this long after their end.
const KEPT: std::time::Duration = std::time::Duration::from_secs(40 * 24 * 3600);

#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    #[error("the journal of budgets cannot be read or written: {0}")]
    Journal(#[from] io::Error),
    #[error("budgets cannot be read or written: {0}")]
    Store(#[from] StoreError),
}

/// A cheap handle.
#[derive(Clone)]
pub struct Budgets(Arc<Inner>);

struct Inner {
    limits: Limits,
    store: Store,
    journal: Journal,
    /// Counts that the ledger has not heard of.
    changed: Mutex<HashSet<CellKey>>,
    /// One at a time.
    flushing: tokio::sync::Mutex<()>,
}

impl Budgets {
    /// Takes up the counts where earlier lives left them. The limits must be in `limits` already.
    pub async fn open(
        limits: Limits,
        store: Store,
        directory: &Path,
        now: Timestamp,
    ) -> Result<Budgets, BudgetError> {
        let (journal, left) = Journal::open(directory)?;
        store.forget_limits(now - KEPT).await?;
        let rows = store.budgets().await?;
        let changed = restore(&limits, &rows, left);
        let inner = Inner {
            limits,
            store,
            journal,
            changed: Mutex::new(changed),
            flushing: tokio::sync::Mutex::new(()),
        };
        let budgets = Budgets(Arc::new(inner));
        // What was taken for true after a power cut must not look like less after a kill.
        budgets.flush().await?;
        Ok(budgets)
    }

    /// From now on the permit's recipients count for good: call it just before the host is told.
    pub async fn offer(&self, permit: &mut Permit) -> Result<(), BudgetError> {
        if !permit.charges.iter().any(is_durable) {
            permit.offer();
            return Ok(());
        }
        loop {
            if self.note(permit, 1)? {
                permit.set_offered(true);
                return Ok(());
            }
            // Each write reserves for more than this permit wants.
            self.touch(permit);
            self.write(permit.count()).await?;
        }
    }

    /// After all nothing was offered.
    pub fn take_back(&self, permit: &mut Permit) {
        if !permit.charges.iter().any(is_durable) {
            return permit.take_back();
        }
        if !permit.is_offered() {
            return;
        }
        match self.note(permit, -1) {
            Ok(_) => permit.set_offered(false),
            // It stays charged, which is the safe side.
            Err(error) => tracing::warn!(%error, "recipients that were not offered stay counted"),
        }
    }

    /// A count that nobody has offered from is to be written, too.
    fn touch(&self, permit: &Permit) {
        let durable = permit.charges.iter().filter(|charge| is_durable(charge));
        self.0.changed.lock().extend(durable.map(|charge| charge.cell.key));
    }

    /// False when the ledger has not reserved for as many yet; then nothing was noted.
    fn note(&self, permit: &Permit, sign: i64) -> Result<bool, BudgetError> {
        let mut journal = self.0.journal.lock();
        let charges = || permit.charges.iter().filter(|charge| is_durable(charge));
        let is_reserved =
            |charge: &Charge| charge.cell.count.lock().is_reserved(charge.n, charge.at);
        if sign > 0 && !charges().all(is_reserved) {
            return Ok(false);
        }
        let mut noted = Vec::with_capacity(permit.charges.len());
        for charge in charges() {
            let n = i64::try_from(charge.n).unwrap_or(i64::MAX);
            let bucket = charge.cell.count.lock().offer(sign * n, charge.at);
            noted.extend(bucket.map(|bucket| Noted {
                key: (charge.cell.key, bucket.begins),
                offered: bucket.offered,
                overdrawn: bucket.overdrawn,
            }));
        }
        if let Err(error) = journal.note(&noted) {
            for charge in charges() {
                let n = i64::try_from(charge.n).unwrap_or(i64::MAX);
                charge.cell.count.lock().offer(-sign * n, charge.at);
            }
            // A new file, for the next who asks.
            drop(journal);
            self.0.journal.turn()?;
            return Err(error.into());
        }
        self.0.changed.lock().extend(charges().map(|charge| charge.cell.key));
        Ok(true)
    }

    /// Tells the ledger what it has not heard of.
    pub async fn flush(&self) -> Result<(), BudgetError> {
        self.write(0).await
    }

    async fn write(&self, wanted: u64) -> Result<(), BudgetError> {
        let _one = self.0.flushing.lock().await;
        let ahead = |value: u64| (value / RESERVED_PART).max(1).saturating_add(wanted);
        self.write_rows(false, |offered, value| offered.saturating_add(ahead(value))).await
    }

    /// An end in order: the ledger's numbers are exact, and the journal is not needed.
    pub async fn close(&self) -> Result<(), BudgetError> {
        let _one = self.0.flushing.lock().await;
        self.0.changed.lock().extend(self.0.limits.durable_cells());
        self.write_rows(true, |offered, _| offered).await?;
        Ok(self.0.journal.remove_all()?)
    }

    async fn write_rows(
        &self,
        all: bool,
        reserve: impl Fn(u64, u64) -> u64,
    ) -> Result<(), BudgetError> {
        let before = self.0.journal.turn_if_used()?;
        let changed = std::mem::take(&mut *self.0.changed.lock());
        let mut rows = Vec::new();
        for key in &changed {
            for (bucket, value) in self.0.limits.unwritten(*key, all) {
                rows.push(BudgetRow {
                    limit: key.limit,
                    source: key.source,
                    site: key.site,
                    begins_at: bucket.begins,
                    offered: bucket.offered,
                    overdrawn: bucket.overdrawn,
                    reserved: reserve(bucket.offered, value),
                });
            }
        }
        if let Err(error) = self.0.store.put_budgets(&rows).await {
            self.0.changed.lock().extend(changed);
            return Err(error.into());
        }
        rows.iter().for_each(|row| self.0.limits.written(row));
        Ok(self.0.journal.remove_through(before)?)
    }

    /// Windows of long ago, and of limits that are gone.
    pub async fn forget_old(&self, now: Timestamp) -> Result<(), BudgetError> {
        Ok(self.0.store.forget_limits(now - KEPT).await?)
    }
}

fn is_durable(charge: &Charge) -> bool {
    charge.row.rule.as_ref().is_some_and(super::count::Rule::is_durable)
}

/// Puts the counts of earlier lives back. Returns those of which the ledger knows less.
fn restore(limits: &Limits, rows: &[BudgetRow], left: Left) -> HashSet<CellKey> {
    let mut changed = HashSet::new();
    let mut counts = left.counts;
    for row in rows {
        let key = CellKey { limit: row.limit, source: row.source, site: row.site };
        let noted = counts.remove(&(key, row.begins_at));
        let (offered, overdrawn) = match noted {
            // The last record of a count is the count.
            Some(noted) if left.is_whole => noted,
            Some((offered, overdrawn)) => (offered.max(row.reserved), overdrawn),
            None if left.is_whole => (row.offered, row.overdrawn),
            None => (row.reserved, row.overdrawn),
        };
        if limits.restore(key, row.begins_at, offered, overdrawn) && offered != row.offered {
            changed.insert(key);
        }
    }
    // Killed before the ledger had its first row.
    for ((key, begins), (offered, overdrawn)) in counts {
        if limits.restore(key, begins, offered, overdrawn) {
            changed.insert(key);
        }
    }
    changed
}
