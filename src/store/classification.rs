//! The installation's own rules of classification, and the answers that no rule knew.
//!
//! Owns:       the tables `classification_rules` and `unclassified_replies`; refusals read back
//!             from the events.
//! Promises:   a group of answers is counted up, not doubled; no read or write is unbounded.
//! Knows not:  what a rule says.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::*;

use super::changes::Change;
use super::database::{Connection, Row};
use super::dialect::{Column, Rows, Statement, int, json_ids, text};
use super::error::{Result, StoreError};
use super::narrow::escaped;
use super::{Store, collect, ids};

/// Events that are looked through for refusals, from the newest on.
const EVENTS_MAX: i64 = 200_000;
/// Rows of one write.
const ROWS_MAX: usize = 500;

/// A rule as it was given, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredRule {
    pub name: String,
    pub rule: Json,
    pub created_at: Timestamp,
}

/// Answers of one kind at one operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UnclassifiedReply {
    pub id: UnclassifiedReplyId,
    /// Empty where the operator has no name.
    pub operator: String,
    /// What they have in common: words, with stand-ins for what changes.
    pub text: String,
    /// The last of them as it came.
    pub sample: String,
    pub count: u64,
    pub first_seen_at: Timestamp,
    pub last_seen_at: Timestamp,
}

/// One refusal of the past, as its event tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct PastReply {
    pub at: Timestamp,
    pub fields: Json,
}

pub static RULES: Statement = Statement::new(
    "SELECT name, rule, created_at FROM classification_rules ORDER BY created_at, name",
);

pub static INSERT_RULE: Statement =
    Statement::new("INSERT INTO classification_rules (name, rule, created_at) VALUES ($1, $2, $3)");

pub static DELETE_RULE: Statement =
    Statement::new("DELETE FROM classification_rules WHERE name = $1");

/// Most frequent first, after a place in that order.
pub static UNCLASSIFIED: Statement = Statement::new(
    "SELECT id, operator, text, sample, count, first_seen_at, last_seen_at \
     FROM unclassified_replies WHERE (count < $1 OR (count = $1 AND id > $2)) \
     AND LOWER(operator || ' ' || sample) LIKE $4 ESCAPE '!' \
     ORDER BY count DESC, id LIMIT $3",
);

const UNCLASSIFIED_COLUMNS: &[Column] = &[
    int("id"),
    text("operator"),
    text("text"),
    text("sample"),
    int("count"),
    int("first_seen_at"),
    int("last_seen_at"),
];

pub static PUT_UNCLASSIFIED: Statement = Statement::with_rows(
    UNCLASSIFIED_COLUMNS,
    "INSERT INTO unclassified_replies \
     (id, operator, text, sample, count, first_seen_at, last_seen_at) \
     SELECT id, operator, text, sample, count, first_seen_at, last_seen_at FROM {rows} AS r \
     WHERE true ON CONFLICT (operator, text) DO UPDATE SET sample = excluded.sample, \
     count = unclassified_replies.count + excluded.count, last_seen_at = excluded.last_seen_at",
);

pub static PRUNE_UNCLASSIFIED: Statement = Statement::new(
    "DELETE FROM unclassified_replies WHERE last_seen_at < $1 OR id NOT IN \
     (SELECT id FROM unclassified_replies ORDER BY last_seen_at DESC, id LIMIT $2)",
);

pub static FORGET_UNCLASSIFIED: Statement = Statement::new(
    "DELETE FROM unclassified_replies WHERE id IN (SELECT id FROM {ids:1} AS known)",
);

pub static PAST_REPLIES: Statement = Statement::new(
    "SELECT at, fields FROM events WHERE id > (SELECT COALESCE(MAX(id), 0) - $1 FROM events) \
     AND kind IN ('deferred', 'failed') AND at >= $2 ORDER BY id DESC LIMIT $3",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &RULES,
    &INSERT_RULE,
    &DELETE_RULE,
    &UNCLASSIFIED,
    &PUT_UNCLASSIFIED,
    &PRUNE_UNCLASSIFIED,
    &FORGET_UNCLASSIFIED,
    &PAST_REPLIES,
];

/// Writes of these tables, one transaction each.
#[derive(Clone, Debug)]
pub enum ClassificationChange {
    AddRule(StoredRule),
    RemoveRule(String),
    /// Counted up where the group is known.
    Unclassified(Vec<UnclassifiedReply>),
    /// Those last seen before the moment, and the oldest beyond the number.
    Prune {
        before: Timestamp,
        keep_max: u64,
    },
    Forget(Vec<UnclassifiedReplyId>),
}

impl Store {
    /// In the order in which they were added.
    pub async fn classification_rules(&self) -> Result<Vec<StoredRule>> {
        collect(self.read(&RULES, vec![]).await?, |row| {
            Ok(StoredRule {
                name: row.text(0)?,
                rule: serde_json::from_str(&row.text(1)?).map_err(StoreError::broken_row)?,
                created_at: Timestamp(row.int(2)?),
            })
        })
    }

    pub async fn add_classification_rule(&self, rule: StoredRule) -> Result<()> {
        self.classification(ClassificationChange::AddRule(rule)).await.map(|_| ())
    }

    /// False when there is none of this name.
    pub async fn remove_classification_rule(&self, name: &str) -> Result<bool> {
        let change = ClassificationChange::RemoveRule(name.to_owned());
        Ok(self.classification(change).await? > 0)
    }

    /// Most frequent first; `after` is count and id of the last one seen.
    pub async fn unclassified_replies(
        &self,
        after: Option<(u64, UnclassifiedReplyId)>,
        limit: u32,
        find: &str,
    ) -> Result<Vec<UnclassifiedReply>> {
        let (count, id) = after.map_or((i64::MAX, 0), |(count, id)| (as_int(count), id.0));
        let pattern = format!("%{}%", escaped(find));
        let values = vec![count.into(), id.into(), i64::from(limit).into(), pattern.into()];
        collect(self.read(&UNCLASSIFIED, values).await?, unclassified)
    }

    /// Adds to the groups; the ids of the rows given are not looked at.
    pub async fn note_unclassified(&self, rows: &[UnclassifiedReply]) -> Result<()> {
        for part in rows.chunks(ROWS_MAX) {
            self.classification(ClassificationChange::Unclassified(part.to_vec())).await?;
        }
        Ok(())
    }

    pub async fn prune_unclassified(&self, before: Timestamp, keep_max: u64) -> Result<()> {
        self.classification(ClassificationChange::Prune { before, keep_max }).await.map(|_| ())
    }

    pub async fn forget_unclassified(&self, known: Vec<UnclassifiedReplyId>) -> Result<()> {
        self.classification(ClassificationChange::Forget(known)).await.map(|_| ())
    }

    /// What was deferred or refused since then, newest first, within the newest events.
    pub async fn past_replies(&self, since: Timestamp, limit: u32) -> Result<Vec<PastReply>> {
        let values = vec![EVENTS_MAX.into(), since.0.into(), i64::from(limit).into()];
        collect(self.read(&PAST_REPLIES, values).await?, |row| {
            Ok(PastReply {
                at: Timestamp(row.int(0)?),
                fields: serde_json::from_str(&row.text(1)?).map_err(StoreError::broken_row)?,
            })
        })
    }

    async fn classification(&self, change: ClassificationChange) -> Result<i64> {
        self.change(Change::Classification(change)).await
    }
}

fn unclassified(row: &Row) -> Result<UnclassifiedReply> {
    Ok(UnclassifiedReply {
        id: UnclassifiedReplyId(row.int(0)?),
        operator: row.text(1)?,
        text: row.text(2)?,
        sample: row.text(3)?,
        count: u64::try_from(row.int(4)?).map_err(StoreError::broken_row)?,
        first_seen_at: Timestamp(row.int(5)?),
        last_seen_at: Timestamp(row.int(6)?),
    })
}

fn as_int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) async fn write(
    connection: &mut Connection,
    change: &ClassificationChange,
) -> Result<u64> {
    match change {
        ClassificationChange::AddRule(StoredRule { name, rule, created_at }) => {
            let values = vec![name.as_str().into(), rule.to_string().into(), created_at.0.into()];
            connection.execute(&INSERT_RULE, values).await
        }
        ClassificationChange::RemoveRule(name) => {
            connection.execute(&DELETE_RULE, vec![name.as_str().into()]).await
        }
        ClassificationChange::Unclassified(replies) => {
            let count = i64::try_from(replies.len()).map_err(StoreError::broken_row)?;
            let first = ids::reserve(connection, "unclassified_reply", count).await?;
            let mut rows = Rows::new(connection.dialect(), UNCLASSIFIED_COLUMNS);
            for (id, reply) in (first..).zip(replies) {
                rows.int(id).text(&reply.operator).text(&reply.text).text(&reply.sample);
                rows.int(as_int(reply.count)).int(reply.first_seen_at.0);
                rows.int(reply.last_seen_at.0);
            }
            connection.execute(&PUT_UNCLASSIFIED, vec![rows.finish().into()]).await
        }
        ClassificationChange::Prune { before, keep_max } => {
            let values = vec![before.0.into(), as_int(*keep_max).into()];
            connection.execute(&PRUNE_UNCLASSIFIED, values).await
        }
        ClassificationChange::Forget(known) => {
            let ids = json_ids(known.iter().map(|id| id.0));
            connection.execute(&FORGET_UNCLASSIFIED, vec![ids.into()]).await
        }
    }
}
