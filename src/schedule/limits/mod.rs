//! May this be sent now, and if not: why, and from when on?
//!
//! Owns:       the limits in memory and what has been used of each.
//! Promises:   every limit that covers an attempt applies, so the smallest wins; what is granted is
//!             counted at once and comes back by itself unless it was offered; a denial names the
//!             limit, whom it stops, and until when.
//! Knows not:  clocks (`now` is handed in), the ledger, who sends.

pub mod budgets; // long windows outlive the daemon
pub mod calendar; // where windows begin
pub mod count; // the arithmetic
mod journal; // what was offered since the ledger heard of it
pub mod pack; // shipped rows
mod permit; // what was granted
mod table; // which rows cover an attempt
mod waiting; // who waits for a connection to close

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;

use crate::model::*;
use crate::store::BudgetRow;
use calendar::Calendar;
use count::{Bucket, Count, Room, Rule};
use permit::Charge;
pub use permit::Permit;
use table::{Row, Table};
use waiting::Waiting;

/// One count: of a limit, and of the source and site that it counts apart (0 where it does not).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellKey {
    pub limit: LimitId,
    pub source: SourceId,
    pub site: SiteId,
}

pub struct Cell {
    pub key: CellKey,
    count: Mutex<Count>,
}

/// What a connection and a transaction may hold at most; None where nothing says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    pub messages_per_connection: Option<u64>,
    pub recipients_per_message: Option<u64>,
}

/// What is used of a limit in its present window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub used: u64,
    /// Of it, by mail that the limit does not bind, beyond its value.
    pub overdrawn: u64,
}

/// A cheap handle; all clones share one table.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    table: Table,
    cells: DashMap<CellKey, Arc<Cell>>,
    calendar: Calendar,
    waiting: Waiting,
}

/// What an attempt wants at this moment: to begin a connection, or to send over one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Connection,
    Messages,
}

impl Wish {
    fn is_for(self, metric: Metric) -> bool {
        match metric {
            Metric::Connections | Metric::NewConnections => self == Wish::Connection,
            Metric::Messages => self == Wish::Messages,
            Metric::MessagesPerConnection | Metric::RecipientsPerMessage => false,
        }
    }
}

impl Limits {
    pub fn new(calendar: Calendar) -> Limits {
        Limits(Arc::new(Inner {
            table: Table::default(),
            cells: DashMap::new(),
            calendar,
            waiting: Waiting::default(),
        }))
    }

    /// The same rows with what is used of them at this moment, but for connections, of which none
    /// is open: who asks the copy changes nothing here.
    #[must_use]
    pub fn copied(&self) -> Limits {
        let copy = Limits::new(self.0.calendar.clone());
        copy.set_pools(self.0.table.pools());
        self.all().into_iter().for_each(|limit| copy.put(limit));
        for cell in &self.0.cells {
            let count = cell.count.lock().with_none_open();
            *copy.0.cell_at(*cell.key()).count.lock() = count;
        }
        copy
    }

    /// A source that is to come stands in the pools of another one.
    pub fn stand_in(&self, new: SourceId, beside: SourceId) {
        let mut pools = self.0.table.pools();
        let own = pools.get(&beside).cloned().unwrap_or_default();
        pools.insert(new, own);
        self.0.table.set_pools(pools);
    }

    /// Takes a row in, or in the place of an older one of its id. What was used stays used as long
    /// as the row counts in the same way.
    pub fn put(&self, limit: Limit) {
        let rule = Rule::of(&limit);
        let inner = &self.0;
        let old = inner.table.get(limit.id);
        let counts_anew = old.is_some_and(|old| {
            let same = |a: Rule, b: Rule| match (a, b) {
                (Rule::Window { length: a, .. }, Rule::Window { length: b, .. }) => a == b,
                (a, b) => std::mem::discriminant(&a) == std::mem::discriminant(&b),
            };
            old.limit.scope != limit.scope || !old.rule.zip(rule).is_some_and(|(a, b)| same(a, b))
        });
        if counts_anew {
            inner.forget(limit.id);
        }
        let mut row = Row { limit, rule, cell: None };
        if row.rule.is_some() && !row.is_for_each() {
            row.cell = Some(inner.cell_at(inner.key_of(&row, None)));
        }
        inner.table.put(row);
    }

    pub fn remove(&self, id: LimitId) {
        if self.0.table.remove(id).is_some() {
            self.0.forget(id);
        }
    }

    /// Makes the table hold these rows and no others.
    pub fn replace(&self, limits: Vec<Limit>) {
        let keep: std::collections::HashSet<LimitId> =
            limits.iter().map(|limit| limit.id).collect();
        for row in self.0.table.all() {
            if !keep.contains(&row.limit.id) {
                self.remove(row.limit.id);
            }
        }
        for limit in limits {
            let known = self.0.table.get(limit.id);
            if known.is_none_or(|row| row.limit != limit) {
                self.put(limit);
            }
        }
    }

    /// In which pools each source stands.
    pub fn set_pools(&self, pools: HashMap<SourceId, Vec<PoolId>>) {
        self.0.table.set_pools(pools);
    }

    pub fn all(&self) -> Vec<Limit> {
        self.0.table.all().iter().map(|row| row.limit.clone()).collect()
    }

    pub fn get(&self, id: LimitId) -> Option<Limit> {
        self.0.table.get(id).map(|row| row.limit.clone())
    }

    /// Takes up to `recipients` of the messages that every limit still grants, and one at least.
    pub fn reserve(
        &self,
        attempt: &Attempt,
        recipients: u64,
        now: Timestamp,
    ) -> Result<Permit, Box<Denial>> {
        self.take(Wish::Messages, attempt, recipients.max(1), now)
    }

    /// Takes a connection: its place while it is open, its beginning for good.
    pub fn open(&self, attempt: &Attempt, now: Timestamp) -> Result<Permit, Box<Denial>> {
        self.take(Wish::Connection, attempt, 1, now)
    }

    /// Would one message be granted at this moment?
    pub fn would_grant(&self, attempt: &Attempt, now: Timestamp) -> Result<(), Box<Denial>> {
        self.ask(Wish::Messages, attempt, now)
    }

    /// Would one more connection be granted at this moment?
    pub fn would_open(&self, attempt: &Attempt, now: Timestamp) -> Result<(), Box<Denial>> {
        self.ask(Wish::Connection, attempt, now)
    }

    /// Every limit that stands in the way of one message, or of a connection for it.
    pub fn explain(&self, attempt: &Attempt, now: Timestamp) -> Vec<Denial> {
        let mut denials = Vec::new();
        self.0.each_bound(attempt, now, |row, rule| {
            if let Err(denial) = self.0.look(row, rule, attempt, now) {
                denials.push(*denial);
            }
            ControlFlow::<()>::Continue(())
        });
        denials
    }

    /// The smallest of each that cover the attempt.
    pub fn caps(&self, attempt: &Attempt, now: Timestamp) -> Caps {
        let mut caps = Caps::default();
        let smaller = |cap: &mut Option<u64>, value: u64| {
            *cap = Some(cap.map_or(value, |known| known.min(value)).max(1));
        };
        self.0.table.covering(attempt, |row| {
            let applies = row.binds(attempt.class) == Some(true) && !is_over(&row.limit, now);
            match row.limit.metric {
                Metric::MessagesPerConnection if applies => {
                    smaller(&mut caps.messages_per_connection, row.limit.value);
                }
                Metric::RecipientsPerMessage if applies => {
                    smaller(&mut caps.recipients_per_message, row.limit.value);
                }
                _ => {}
            }
            ControlFlow::<()>::Continue(())
        });
        caps
    }

    /// What each count of a limit has used: one, or one for each source and site met so far.
    pub fn usage(&self, id: LimitId, now: Timestamp) -> Vec<(CellKey, Usage)> {
        let Some(row) = self.0.table.get(id) else { return Vec::new() };
        let Some(rule) = row.rule else { return Vec::new() };
        let usage = |cell: &Arc<Cell>| {
            let (used, overdrawn) = cell.count.lock().usage(&rule, &self.0.calendar, now);
            (cell.key, Usage { used, overdrawn })
        };
        match &row.cell {
            Some(cell) => vec![usage(cell)],
            None => {
                let cells = self.0.cells.iter().filter(|cell| cell.key().limit == id);
                let mut all: Vec<_> = cells.map(|cell| usage(&cell)).collect();
                all.sort_by_key(|(key, _)| *key);
                all
            }
        }
    }

    pub fn calendar(&self) -> &Calendar {
        &self.0.calendar
    }

    /// Puts back what an earlier life offered in a window. False when no limit counts it any more.
    fn restore(&self, key: CellKey, begins: Timestamp, offered: u64, overdrawn: u64) -> bool {
        let durable = |row: &Arc<Row>| row.rule.as_ref().is_some_and(Rule::is_durable);
        if !self.0.table.get(key.limit).is_some_and(|row| durable(&row)) {
            return false;
        }
        let bucket = Bucket { used: offered, offered, overdrawn, ..Bucket::new(begins) };
        self.0.cell_at(key).count.lock().restore(bucket);
        true
    }

    fn durable_cells(&self) -> Vec<CellKey> {
        let durable = |row: &Arc<Row>| row.rule.as_ref().is_some_and(Rule::is_durable);
        let is_durable =
            |key: &CellKey| self.0.table.get(key.limit).is_some_and(|row| durable(&row));
        self.0.cells.iter().map(|cell| *cell.key()).filter(is_durable).collect()
    }

    /// The buckets of a count that the ledger does not know as they are, with the limit's value.
    fn unwritten(&self, key: CellKey, all: bool) -> Vec<(Bucket, u64)> {
        let Some(row) = self.0.table.get(key.limit) else { return Vec::new() };
        let Some(cell) = self.0.cells.get(&key).map(|cell| cell.clone()) else { return Vec::new() };
        let count = cell.count.lock();
        let is_due = |bucket: &&Bucket| {
            all || bucket.offered != bucket.written
                || bucket.offered.max(bucket.used) >= bucket.reserved
        };
        count.buckets.iter().filter(is_due).map(|bucket| (*bucket, row.limit.value)).collect()
    }

    fn written(&self, row: &BudgetRow) {
        let key = CellKey { limit: row.limit, source: row.source, site: row.site };
        let Some(cell) = self.0.cells.get(&key).map(|cell| cell.clone()) else { return };
        let mut count = cell.count.lock();
        let mut buckets = count.buckets.iter_mut();
        if let Some(bucket) = buckets.find(|bucket| bucket.begins == row.begins_at) {
            bucket.written = row.offered;
            bucket.reserved = row.reserved;
        }
    }

    /// Notes that a site waits for what only a release opens. False when it has opened meanwhile.
    pub fn wait_for_release(&self, attempt: &Attempt, denial: &Denial, now: Timestamp) -> bool {
        let Some(row) = self.0.table.get(denial.limit) else { return false };
        let is_urgent = attempt.class == StreamClass::Transactional;
        self.0.waiting.add(self.0.key_of(&row, Some(attempt)), attempt.site, is_urgent);
        let Some(rule) = row.rule else { return false };
        self.0.look(&row, &rule, attempt, now).is_err()
    }

    /// Sites for which a connection has become free. Waits until there is one.
    pub async fn released(&self) -> Vec<SiteId> {
        self.0.waiting.next().await
    }

    /// Forgets counts that hold nothing, and rows whose time is over. Returns the latter.
    pub fn sweep(&self, now: Timestamp) -> Vec<LimitId> {
        let rows = self.0.table.all();
        let over: Vec<LimitId> =
            rows.iter().filter(|row| is_over(&row.limit, now)).map(|row| row.limit.id).collect();
        over.iter().for_each(|id| self.remove(*id));
        self.0.cells.retain(|key, cell| {
            let Some(row) = self.0.table.get(key.limit) else { return false };
            let at_rest = |rule: &Rule| cell.count.lock().is_at_rest(rule, &self.0.calendar, now);
            // Whoever holds a clone may be charging it.
            let held = row.cell.is_some() || Arc::strong_count(cell) > 1;
            held || !row.rule.as_ref().is_some_and(at_rest)
        });
        over
    }

    fn take(
        &self,
        wish: Wish,
        attempt: &Attempt,
        n: u64,
        now: Timestamp,
    ) -> Result<Permit, Box<Denial>> {
        let mut permit = Permit::new(self.0.clone(), n);
        let denied = self.0.table.covering(attempt, |row| {
            let Some((rule, binds)) = self.0.applies(row, wish, attempt.class, now) else {
                return ControlFlow::Continue(());
            };
            let cell = self.0.cell_of(row, attempt);
            let mut count = cell.count.lock();
            let mut granted = permit.count;
            if binds {
                match count.room(&rule.for_class(attempt.class), &self.0.calendar, now) {
                    Room::Free(free) => granted = granted.min(free),
                    Room::Full(until) => return ControlFlow::Break(denial(row, until)),
                }
            }
            let at = count.charge(rule, &self.0.calendar, granted, now);
            drop(count);
            permit.count = granted;
            permit.charges.push(Charge { row: row.clone(), cell, n: granted, at });
            ControlFlow::Continue(())
        });
        match denied {
            // What was charged before goes back with the permit.
            Some(denial) => Err(denial),
            None => {
                permit.shrink(permit.count);
                Ok(permit)
            }
        }
    }

    fn ask(&self, wish: Wish, attempt: &Attempt, now: Timestamp) -> Result<(), Box<Denial>> {
        let denied = self.0.each_bound(attempt, now, |row, rule| {
            if !wish.is_for(row.limit.metric) {
                return ControlFlow::Continue(());
            }
            match self.0.look(row, rule, attempt, now) {
                Ok(()) => ControlFlow::Continue(()),
                Err(denial) => ControlFlow::Break(denial),
            }
        });
        denied.map_or(Ok(()), Err)
    }
}

impl Inner {
    /// The rule of a row that covers this class now, and whether it may stop it.
    fn applies<'a>(
        &self,
        row: &'a Row,
        wish: Wish,
        class: StreamClass,
        now: Timestamp,
    ) -> Option<(&'a Rule, bool)> {
        if !wish.is_for(row.limit.metric) || is_over(&row.limit, now) {
            return None;
        }
        Some((row.rule.as_ref()?, row.binds(class)?))
    }

    /// The counting rows that may stop the attempt.
    fn each_bound<B>(
        &self,
        attempt: &Attempt,
        now: Timestamp,
        mut each: impl FnMut(&Arc<Row>, &Rule) -> ControlFlow<B>,
    ) -> Option<B> {
        self.table.covering(attempt, |row| match &row.rule {
            Some(rule) if row.binds(attempt.class) == Some(true) && !is_over(&row.limit, now) => {
                each(row, rule)
            }
            _ => ControlFlow::Continue(()),
        })
    }

    fn look(
        &self,
        row: &Arc<Row>,
        rule: &Rule,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<(), Box<Denial>> {
        let known = match &row.cell {
            Some(cell) => Some(cell.clone()),
            None => self.cells.get(&self.key_of(row, Some(attempt))).map(|cell| cell.clone()),
        };
        let rule = rule.for_class(attempt.class);
        let room = match known {
            Some(cell) => cell.count.lock().room(&rule, &self.calendar, now),
            None => Count::default().room(&rule, &self.calendar, now),
        };
        match room {
            Room::Free(_) => Ok(()),
            Room::Full(until) => Err(denial(row, until)),
        }
    }

    fn key_of(&self, row: &Row, attempt: Option<&Attempt>) -> CellKey {
        let scope = &row.limit.scope;
        let source = attempt.filter(|_| scope.from == FromScope::EachSource);
        let site = attempt.filter(|_| scope.to == ToScope::EachSite);
        CellKey {
            limit: row.limit.id,
            source: source.map_or(SourceId(0), |attempt| attempt.source),
            site: site.map_or(SiteId(0), |attempt| attempt.site),
        }
    }

    fn cell_of(&self, row: &Row, attempt: &Attempt) -> Arc<Cell> {
        match &row.cell {
            Some(cell) => cell.clone(),
            None => self.cell_at(self.key_of(row, Some(attempt))),
        }
    }

    fn cell_at(&self, key: CellKey) -> Arc<Cell> {
        if let Some(cell) = self.cells.get(&key) {
            return cell.clone();
        }
        let new = || Arc::new(Cell { key, count: Mutex::default() });
        self.cells.entry(key).or_insert_with(new).clone()
    }

    fn forget(&self, id: LimitId) {
        self.cells.retain(|key, _| key.limit != id);
    }
}

fn is_over(limit: &Limit, now: Timestamp) -> bool {
    limit.expires_at.is_some_and(|end| end <= now)
}

fn denial(row: &Row, until: Option<Timestamp>) -> Box<Denial> {
    let limit = &row.limit;
    let until = until.into_iter().chain(limit.expires_at).min();
    Box::new(Denial {
        limit: limit.id,
        scope: limit.scope.clone(),
        metric: limit.metric,
        value: limit.value,
        origin: limit.origin,
        reason: limit.reason.clone(),
        until,
    })
}

#[cfg(test)]
mod tests;
