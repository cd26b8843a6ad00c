//! Limits, and what was used of the budgets among them.
//!
//! Owns:       the tables `limits` and `budgets`.
//! Promises:   rows that are handed in together are written together; a budget's row is one for
//!             each node, count and window.
//! Knows not:  what a limit does.

use std::time::Duration;

use crate::model::*;

use super::changes::Change;
use super::database::{Connection, Row};
use super::dialect::{Column, Rows, Statement, int, json_ids, text};
use super::error::Result;
use super::{Store, StoreError, collect};

/// Rows of one transaction.
const ROWS_MAX: usize = 500;

/// A limit as its table keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRow {
    pub limit: Limit,
    /// Of a shipped one.
    pub name: Option<String>,
    pub created_at: Timestamp,
}

/// What was offered in one window of one count of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetRow {
    pub limit: LimitId,
    /// 0 where the limit has one count for all.
    pub source: SourceId,
    pub site: SiteId,
    pub begins_at: Timestamp,
    pub offered: u64,
    pub overdrawn: u64,
    /// May have been offered before the row is written again.
    pub reserved: u64,
}

pub static LIMITS: Statement = Statement::new(
    "SELECT id, name, from_scope, to_scope, who_scope, class, metric, value, window_length, pace, \
     origin, reason, created_at, expires_at, pinned FROM limits ORDER BY id",
);

const LIMIT_COLUMNS: &[Column] = &[
    int("id"),
    text("name"),
    text("from_scope"),
    text("to_scope"),
    text("who_scope"),
    text("class"),
    text("metric"),
    int("value"),
    int("window_length"),
    text("pace"),
    text("origin"),
    text("reason"),
    int("created_at"),
    int("expires_at"),
    int("pinned"),
];

pub static PUT_LIMITS: Statement = Statement::with_rows(
    LIMIT_COLUMNS,
    "INSERT INTO limits (id, name, from_scope, to_scope, who_scope, class, metric, value, \
     window_length, pace, origin, reason, created_at, expires_at, pinned) \
     SELECT id, name, from_scope, to_scope, who_scope, class, metric, value, \
     window_length, pace, origin, reason, created_at, expires_at, pinned FROM {rows} AS r \
     WHERE true ON CONFLICT (id) DO UPDATE SET from_scope = excluded.from_scope, \
     to_scope = excluded.to_scope, who_scope = excluded.who_scope, class = excluded.class, \
     metric = excluded.metric, value = excluded.value, window_length = excluded.window_length, \
     pace = excluded.pace, reason = excluded.reason, expires_at = excluded.expires_at, \
     pinned = excluded.pinned",
);

pub static DELETE_LIMITS: Statement =
    Statement::new("DELETE FROM limits WHERE id IN (SELECT id FROM {ids:1} AS gone)");

pub static BUDGETS: Statement = Statement::new(
    "SELECT limit_id, source, site, begins_at, offered, overdrawn, reserved FROM budgets \
     WHERE node = $1 ORDER BY limit_id, source, site, begins_at",
);

const BUDGET_COLUMNS: &[Column] = &[
    int("node"),
    int("limit_id"),
    int("source"),
    int("site"),
    int("begins_at"),
    int("offered"),
    int("overdrawn"),
    int("reserved"),
];

pub static PUT_BUDGETS: Statement = Statement::with_rows(
    BUDGET_COLUMNS,
    "INSERT INTO budgets (node, limit_id, source, site, begins_at, offered, overdrawn, reserved) \
     SELECT node, limit_id, source, site, begins_at, offered, overdrawn, reserved \
     FROM {rows} AS r WHERE true \
     ON CONFLICT (node, limit_id, source, site, begins_at) DO UPDATE SET \
     offered = excluded.offered, overdrawn = excluded.overdrawn, reserved = excluded.reserved",
);

/// A shipped row that a person has ended stays, or the next start would ship it anew.
pub static FORGET_LIMITS: Statement =
    Statement::new("DELETE FROM limits WHERE expires_at < $1 AND origin <> 'pack'");

pub static FORGET_BUDGETS: Statement = Statement::new(
    "DELETE FROM budgets WHERE node = $1 AND NOT EXISTS (SELECT 1 FROM limits l \
     WHERE l.id = budgets.limit_id AND begins_at + COALESCE(l.window_length, 0) >= $2)",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &LIMITS,
    &PUT_LIMITS,
    &DELETE_LIMITS,
    &FORGET_LIMITS,
    &BUDGETS,
    &PUT_BUDGETS,
    &FORGET_BUDGETS,
];

/// Writes of these tables, one transaction each.
#[derive(Clone, Debug)]
pub enum LimitChange {
    Put {
        rows: Vec<LimitRow>,
        gone: Vec<LimitId>,
    },
    Budgets(Vec<BudgetRow>),
    /// Windows that began before this moment, limits that ended before it, and what was counted of
    /// limits that are gone.
    Forget(Timestamp),
}

impl Store {
    pub async fn limits(&self) -> Result<Vec<LimitRow>> {
        collect(self.read(&LIMITS, vec![]).await?, limit)
    }

    /// Writes these rows, each under its id, and removes those that are `gone`, in one transaction
    /// up to 500 rows. A row with the id 0 is new; it is returned with the id that it got.
    pub async fn put_limits(
        &self,
        mut rows: Vec<LimitRow>,
        gone: &[LimitId],
    ) -> Result<Vec<LimitRow>> {
        let new = rows.iter_mut().filter(|row| row.limit.id.0 == 0);
        let new: Vec<&mut LimitRow> = new.collect();
        if !new.is_empty() {
            let count = i64::try_from(new.len()).map_err(StoreError::broken_row)?;
            let first = self.change(Change::ReserveIds { name: "limit", count }).await?;
            for (row, id) in new.into_iter().zip(first..) {
                row.limit.id = LimitId(id);
            }
        }
        let mut gone = gone.to_vec();
        for part in rows.chunks(ROWS_MAX) {
            let gone = std::mem::take(&mut gone);
            self.change(Change::Limits(LimitChange::Put { rows: part.to_vec(), gone })).await?;
        }
        if !gone.is_empty() {
            self.change(Change::Limits(LimitChange::Put { rows: Vec::new(), gone })).await?;
        }
        Ok(rows)
    }

    /// Of this node.
    pub async fn budgets(&self) -> Result<Vec<BudgetRow>> {
        collect(self.read(&BUDGETS, vec![self.node().into()]).await?, budget)
    }

    pub async fn put_budgets(&self, rows: &[BudgetRow]) -> Result<()> {
        for part in rows.chunks(ROWS_MAX) {
            self.change(Change::Limits(LimitChange::Budgets(part.to_vec()))).await?;
        }
        Ok(())
    }

    /// What has ended that far back: windows, and limits.
    pub async fn forget_limits(&self, before: Timestamp) -> Result<()> {
        self.change(Change::Limits(LimitChange::Forget(before))).await?;
        Ok(())
    }
}

pub(super) async fn write(
    connection: &mut Connection,
    change: &LimitChange,
    node: i64,
) -> Result<u64> {
    match change {
        LimitChange::Put { rows, gone } => {
            let ids = json_ids(gone.iter().map(|id| id.0));
            let removed = connection.execute(&DELETE_LIMITS, vec![ids.into()]).await?;
            if rows.is_empty() {
                return Ok(removed);
            }
            let mut json = Rows::new(connection.dialect(), LIMIT_COLUMNS);
            rows.iter().for_each(|row| put_limit(&mut json, row));
            connection.execute(&PUT_LIMITS, vec![json.finish().into()]).await
        }
        LimitChange::Budgets(rows) => {
            let mut json = Rows::new(connection.dialect(), BUDGET_COLUMNS);
            for row in rows {
                json.int(node).int(row.limit.0).int(row.source.0).int(row.site.0);
                json.int(row.begins_at.0).unsigned(row.offered).unsigned(row.overdrawn);
                json.unsigned(row.reserved);
            }
            connection.execute(&PUT_BUDGETS, vec![json.finish().into()]).await
        }
        LimitChange::Forget(before) => {
            connection.execute(&FORGET_LIMITS, vec![before.0.into()]).await?;
            connection.execute(&FORGET_BUDGETS, vec![node.into(), before.0.into()]).await
        }
    }
}

fn put_limit(json: &mut Rows, row: &LimitRow) {
    let limit = &row.limit;
    let length = limit.window.map(|window| i64::try_from(window.as_micros()).unwrap_or(i64::MAX));
    json.int(limit.id.0).maybe_text(row.name.as_deref());
    json.text(&limit.scope.from.to_string()).text(&limit.scope.to.to_string());
    json.text(&limit.scope.who.to_string());
    json.maybe_text(limit.scope.class.map(|class| class.word()));
    json.text(limit.metric.word()).unsigned(limit.value).maybe_int(length);
    json.text(&limit.pace.to_string()).text(limit.origin.word()).text(&limit.reason);
    json.int(row.created_at.0).maybe_int(limit.expires_at.map(|end| end.0)).flag(limit.pinned);
}

fn limit(row: &Row) -> Result<LimitRow> {
    let class = row.maybe_text(5)?.map(|word| word.parse()).transpose();
    let unsigned = |value: i64| u64::try_from(value).map_err(StoreError::broken_row);
    let limit = Limit {
        id: LimitId(row.int(0)?),
        scope: LimitScope {
            from: row.parsed(2)?,
            to: row.parsed(3)?,
            who: row.parsed(4)?,
            class: class.map_err(StoreError::broken_row)?,
        },
        metric: row.parsed(6)?,
        value: unsigned(row.int(7)?)?,
        window: row.maybe_int(8)?.map(unsigned).transpose()?.map(Duration::from_micros),
        pace: row.parsed(9)?,
        origin: row.parsed(10)?,
        reason: row.text(11)?,
        expires_at: row.maybe_int(13)?.map(Timestamp),
        pinned: row.flag(14)?,
    };
    Ok(LimitRow { limit, name: row.maybe_text(1)?, created_at: Timestamp(row.int(12)?) })
}

fn budget(row: &Row) -> Result<BudgetRow> {
    let unsigned = |value: i64| u64::try_from(value).map_err(StoreError::broken_row);
    Ok(BudgetRow {
        limit: LimitId(row.int(0)?),
        source: SourceId(row.int(1)?),
        site: SiteId(row.int(2)?),
        begins_at: Timestamp(row.int(3)?),
        offered: unsigned(row.int(4)?)?,
        overdrawn: unsigned(row.int(5)?)?,
        reserved: unsigned(row.int(6)?)?,
    })
}
