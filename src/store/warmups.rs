//! Warm-ups, what their days came to, what operators answered, and what was decided.
//!
//! Owns:       the tables `warmups`, `warmup_days`, `source_hours` and `decisions`.
//! Promises:   what one look of the controller has changed is written whole or not at all.
//! Knows not:  plans and gates: a course is a text here.

use serde::{Deserialize, Serialize};

use crate::model::*;

use super::audit::AuditLine;
use super::changes::{Change, NewEvent, record};
use super::database::{Connection, Row};
use super::dialect::{Column, Rows, Statement, int, text};
use super::error::{Result, StoreError};
use super::event_ids::Events;
use super::{Store, collect};

/// Rows of one list.
const LIST_MAX: u32 = 500;

#[derive(Clone, Debug, PartialEq)]
pub struct WarmupRow {
    pub id: WarmupId,
    pub subject: WarmSubject,
    pub operator: OperatorId,
    pub plan: String,
    pub target: u64,
    pub state: WarmupState,
    pub limit: LimitId,
    /// JSON.
    pub course: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmupDayRow {
    pub warmup: WarmupId,
    /// Its beginning.
    pub day: Timestamp,
    pub volume: u64,
    pub next_volume: u64,
    pub marks: Marks,
    pub verdict: WarmupVerdict,
    pub cause: String,
}

/// What operators answered to a source in one hour.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceHour {
    pub source: SourceId,
    pub operator: OperatorId,
    /// Its beginning.
    pub hour: Timestamp,
    pub marks: Marks,
}

/// What a source has brought to an operator on its best day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePeak {
    pub source: SourceId,
    pub operator: OperatorId,
    pub accepted: u64,
    /// The last one in which something was offered.
    pub last_hour: Timestamp,
}

/// What one look of the controller leaves to be written.
#[derive(Clone, Debug, Default)]
pub struct Learnt {
    pub warmups: Vec<WarmupRow>,
    pub removed: Vec<WarmupId>,
    pub days: Vec<WarmupDayRow>,
    /// Added to what is there.
    pub hours: Vec<SourceHour>,
    pub decisions: Vec<Decision>,
    /// Decisions whose state, pin or end changed.
    pub changed: Vec<DecisionChange>,
    /// What a person should look at now, a sentence each.
    pub alarms: Vec<String>,
    /// Of the audit log, for what a person has ordered.
    pub lines: Vec<AuditLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionChange {
    pub id: DecisionId,
    pub state: DecisionState,
    pub pinned: bool,
    pub expires_at: Option<Timestamp>,
}

impl Learnt {
    pub fn is_empty(&self) -> bool {
        self.warmups.is_empty()
            && self.removed.is_empty()
            && self.days.is_empty()
            && self.hours.is_empty()
            && self.decisions.is_empty()
            && self.changed.is_empty()
            && self.alarms.is_empty()
            && self.lines.is_empty()
    }
}

const WARMUP_COLUMNS: &[Column] = &[
    int("id"),
    int("source"),
    int("domain"),
    int("operator"),
    text("plan"),
    int("target"),
    text("state"),
    int("limit_id"),
    text("course"),
    int("at"),
];

pub static PUT_WARMUPS: Statement = Statement::with_rows(
    WARMUP_COLUMNS,
    "INSERT INTO warmups (id, source, domain, operator, plan, target, state, limit_id, course, \
     created_at, updated_at) SELECT id, source, domain, operator, plan, target, state, limit_id, \
     course, at, at FROM {rows} AS r WHERE 1 = 1 \
     ON CONFLICT (id) DO UPDATE SET plan = excluded.plan, target = excluded.target, \
     state = excluded.state, course = excluded.course, updated_at = excluded.updated_at",
);

pub static DELETE_WARMUPS: Statement =
    Statement::new("DELETE FROM warmups WHERE id IN (SELECT id FROM {ids:1} AS wanted)");

const DAY_COLUMNS: &[Column] = &[
    int("warmup"),
    int("day"),
    int("volume"),
    int("next_volume"),
    int("offered"),
    int("accepted"),
    int("transactional"),
    int("deferred"),
    int("blocked"),
    int("slowed"),
    int("invalid"),
    int("complaints"),
    text("verdict"),
    text("cause"),
];

pub static PUT_DAYS: Statement = Statement::with_rows(
    DAY_COLUMNS,
    "INSERT INTO warmup_days (warmup, day, volume, next_volume, offered, accepted, transactional, \
     deferred, blocked, slowed, invalid, complaints, verdict, cause) SELECT warmup, day, volume, \
     next_volume, offered, accepted, transactional, deferred, blocked, slowed, invalid, \
     complaints, verdict, cause FROM {rows} AS r WHERE 1 = 1 ON CONFLICT (warmup, day) DO NOTHING",
);

const HOUR_COLUMNS: &[Column] = &[
    int("source"),
    int("operator"),
    int("hour"),
    int("offered"),
    int("accepted"),
    int("transactional"),
    int("deferred"),
    int("blocked"),
    int("slowed"),
    int("invalid"),
    int("complaints"),
];

pub static ADD_HOURS: Statement = Statement::with_rows(
    HOUR_COLUMNS,
    "INSERT INTO source_hours (source, operator, hour, offered, accepted, transactional, \
     deferred, blocked, slowed, invalid, complaints) SELECT source, operator, hour, offered, \
     accepted, transactional, deferred, blocked, slowed, invalid, complaints \
     FROM {rows} AS r WHERE 1 = 1 ON CONFLICT (hour, source, operator) DO UPDATE SET \
     offered = source_hours.offered + excluded.offered, \
     accepted = source_hours.accepted + excluded.accepted, \
     transactional = source_hours.transactional + excluded.transactional, \
     deferred = source_hours.deferred + excluded.deferred, \
     blocked = source_hours.blocked + excluded.blocked, \
     slowed = source_hours.slowed + excluded.slowed, \
     invalid = source_hours.invalid + excluded.invalid, \
     complaints = source_hours.complaints + excluded.complaints",
);

const DECISION_COLUMNS: &[Column] = &[
    int("id"),
    int("at"),
    text("rule"),
    text("cause"),
    text("samples"),
    text("scope"),
    text("metric"),
    int("value_before"),
    int("value_after"),
    int("expires_at"),
    text("state"),
    int("pinned"),
    int("limit_id"),
];

pub static PUT_DECISIONS: Statement = Statement::with_rows(
    DECISION_COLUMNS,
    "INSERT INTO decisions (id, at, rule, cause, samples, scope, metric, value_before, \
     value_after, expires_at, state, pinned, limit_id) SELECT id, at, rule, cause, samples, \
     scope, metric, value_before, value_after, expires_at, state, pinned, limit_id \
     FROM {rows} AS r",
);

const CHANGE_COLUMNS: &[Column] = &[int("id"), text("state"), int("pinned"), int("expires_at")];

pub static CHANGE_DECISIONS: Statement = Statement::with_rows(
    CHANGE_COLUMNS,
    "UPDATE decisions SET state = r.state, pinned = r.pinned, expires_at = r.expires_at \
     FROM {rows} AS r WHERE decisions.id = r.id",
);

pub static WARMUPS: Statement = Statement::new(
    "SELECT id, source, domain, operator, plan, target, state, limit_id, course FROM warmups \
     ORDER BY id",
);

pub static WARMUP_DAYS: Statement = Statement::new(
    "SELECT warmup, day, volume, next_volume, verdict, cause, offered, accepted, transactional, \
     deferred, blocked, slowed, invalid, complaints FROM warmup_days WHERE warmup = $1 \
     ORDER BY day DESC LIMIT 400",
);

pub static HOURS_SINCE: Statement = Statement::new(
    "SELECT source, operator, hour, offered, accepted, transactional, deferred, blocked, slowed, \
     invalid, complaints FROM source_hours WHERE hour >= $1 ORDER BY hour, source, operator \
     LIMIT 200000",
);

/// By days of 24 hours: where clocks change one may reach an hour into the next.
pub static SOURCE_PEAKS: Statement = Statement::new(
    "SELECT source, operator, CAST(MAX(accepted) AS BIGINT), CAST(MAX(latest) AS BIGINT) FROM \
     (SELECT source, operator, SUM(accepted) AS accepted, MAX(hour) AS latest FROM source_hours \
     WHERE hour >= $1 AND offered > 0 \
     GROUP BY source, operator, (hour - $1) / 86400000000) AS days GROUP BY source, operator",
);

pub static DELETE_OLD_HOURS: Statement = Statement::new("DELETE FROM source_hours WHERE hour < $1");

pub static ACTIVE_DECISIONS: Statement = Statement::new(
    "SELECT id, at, rule, cause, samples, scope, metric, value_before, value_after, expires_at, \
     state, pinned, limit_id FROM decisions WHERE state = 'active' ORDER BY id",
);

pub static DECISIONS: Statement = Statement::new(
    "SELECT id, at, rule, cause, samples, scope, metric, value_before, value_after, expires_at, \
     state, pinned, limit_id FROM decisions WHERE id < $1 ORDER BY id DESC LIMIT $2",
);

/// Stops and blocks, which are longer where the last one is not long ago.
pub static STOPS_SINCE: Statement = Statement::new(
    "SELECT id, at, rule, cause, samples, scope, metric, value_before, value_after, expires_at, \
     state, pinned, limit_id FROM decisions WHERE at >= $1 AND state <> 'undone' \
     AND rule IN ('block', 'campaign_content', 'sending_domain') ORDER BY id DESC LIMIT 20000",
);

pub static DECISION: Statement = Statement::new(
    "SELECT id, at, rule, cause, samples, scope, metric, value_before, value_after, expires_at, \
     state, pinned, limit_id FROM decisions WHERE id = $1",
);

pub static WAITING_BY_OPERATOR: Statement = Statement::new(
    "SELECT COALESCE(s.operator, 1), COUNT(*) FROM deliveries d JOIN sites s ON s.id = d.site \
     WHERE d.state = 'waiting' GROUP BY COALESCE(s.operator, 1)",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &PUT_WARMUPS,
    &DELETE_WARMUPS,
    &PUT_DAYS,
    &ADD_HOURS,
    &PUT_DECISIONS,
    &CHANGE_DECISIONS,
    &WARMUPS,
    &WARMUP_DAYS,
    &HOURS_SINCE,
    &SOURCE_PEAKS,
    &DELETE_OLD_HOURS,
    &ACTIVE_DECISIONS,
    &DECISIONS,
    &STOPS_SINCE,
    &DECISION,
    &WAITING_BY_OPERATOR,
];

impl Store {
    pub async fn write_learnt(&self, learnt: Learnt) -> Result<()> {
        if !learnt.is_empty() {
            let at = self.now();
            self.change(Change::Learnt { learnt: Box::new(learnt), at }).await?;
        }
        Ok(())
    }

    /// The first of `count` ids in a row.
    pub async fn reserve_ids(&self, name: &'static str, count: i64) -> Result<i64> {
        self.change(Change::ReserveIds { name, count }).await
    }

    pub async fn warmups(&self) -> Result<Vec<WarmupRow>> {
        collect(self.read(&WARMUPS, vec![]).await?, |row| {
            let subject = match (row.maybe_int(1)?, row.maybe_int(2)?) {
                (Some(source), _) => WarmSubject::Source(SourceId(source)),
                (None, Some(domain)) => WarmSubject::Domain(DomainId(domain)),
                (None, None) => return Err(StoreError::broken_row("a warm-up of nothing")),
            };
            Ok(WarmupRow {
                id: WarmupId(row.int(0)?),
                subject,
                operator: OperatorId(row.int(3)?),
                plan: row.text(4)?,
                target: row.unsigned(5)?,
                state: row.parsed(6)?,
                limit: LimitId(row.int(7)?),
                course: row.text(8)?,
            })
        })
    }

    /// The last 400, newest first.
    pub async fn warmup_days(&self, warmup: WarmupId) -> Result<Vec<WarmupDayRow>> {
        collect(self.read(&WARMUP_DAYS, vec![warmup.0.into()]).await?, |row| {
            Ok(WarmupDayRow {
                warmup: WarmupId(row.int(0)?),
                day: Timestamp(row.int(1)?),
                volume: row.unsigned(2)?,
                next_volume: row.unsigned(3)?,
                verdict: row.parsed(4)?,
                cause: row.text(5)?,
                marks: marks(row, 6)?,
            })
        })
    }

    /// Those of the hours from this moment on.
    pub async fn source_hours(&self, since: Timestamp) -> Result<Vec<SourceHour>> {
        collect(self.read(&HOURS_SINCE, vec![since.0.into()]).await?, |row| {
            Ok(SourceHour {
                source: SourceId(row.int(0)?),
                operator: OperatorId(row.int(1)?),
                hour: Timestamp(row.int(2)?),
                marks: marks(row, 3)?,
            })
        })
    }

    /// Of each source at each operator, the best day of those that begin with this moment.
    pub async fn source_peaks(&self, since: Timestamp) -> Result<Vec<SourcePeak>> {
        collect(self.read(&SOURCE_PEAKS, vec![since.0.into()]).await?, |row| {
            Ok(SourcePeak {
                source: SourceId(row.int(0)?),
                operator: OperatorId(row.int(1)?),
                accepted: row.unsigned(2)?,
                last_hour: Timestamp(row.int(3)?),
            })
        })
    }

    /// Forgets hours before this moment.
    pub async fn forget_source_hours(&self, before: Timestamp) -> Result<()> {
        self.change(Change::ForgetSourceHours { before }).await?;
        Ok(())
    }

    /// Deliveries that wait, by who is to take them.
    pub async fn waiting_by_operator(&self) -> Result<Vec<(OperatorId, u64)>> {
        collect(self.read(&WAITING_BY_OPERATOR, vec![]).await?, |row| {
            Ok((OperatorId(row.int(0)?), row.unsigned(1)?))
        })
    }

    pub async fn active_decisions(&self) -> Result<Vec<Decision>> {
        collect(self.read(&ACTIVE_DECISIONS, vec![]).await?, decision)
    }

    /// From new to old, those with an id below `before`.
    pub async fn decisions(&self, before: Option<DecisionId>, limit: u32) -> Result<Vec<Decision>> {
        let before = before.map_or(i64::MAX, |id| id.0);
        let limit = i64::from(limit.min(LIST_MAX));
        collect(self.read(&DECISIONS, vec![before.into(), limit.into()]).await?, decision)
    }

    /// Stops and blocks from this moment on that nobody has undone, oldest first.
    pub async fn stops_since(&self, since: Timestamp) -> Result<Vec<Decision>> {
        let mut stops = collect(self.read(&STOPS_SINCE, vec![since.0.into()]).await?, decision)?;
        stops.reverse();
        Ok(stops)
    }

    pub async fn decision(&self, id: DecisionId) -> Result<Option<Decision>> {
        let rows = self.read(&DECISION, vec![id.0.into()]).await?;
        rows.first().map(decision).transpose()
    }
}

fn marks(row: &Row, first: usize) -> Result<Marks> {
    Ok(Marks {
        offered: row.unsigned(first)?,
        accepted: row.unsigned(first + 1)?,
        transactional: row.unsigned(first + 2)?,
        deferred: row.unsigned(first + 3)?,
        blocked: row.unsigned(first + 4)?,
        slowed: row.unsigned(first + 5)?,
        invalid: row.unsigned(first + 6)?,
        complaints: row.unsigned(first + 7)?,
    })
}

fn decision(row: &Row) -> Result<Decision> {
    let read = |text: String| serde_json::from_str(&text).map_err(StoreError::broken_row);
    let unsigned = |value: Option<i64>| value.map(|value| value.max(0).unsigned_abs());
    Ok(Decision {
        id: DecisionId(row.int(0)?),
        at: Timestamp(row.int(1)?),
        rule: row.parsed(2)?,
        cause: row.text(3)?,
        samples: serde_json::from_str(&row.text(4)?).map_err(StoreError::broken_row)?,
        scope: read(row.text(5)?)?,
        metric: row.parsed(6)?,
        before: unsigned(row.maybe_int(7)?),
        after: unsigned(row.maybe_int(8)?),
        expires_at: row.maybe_int(9)?.map(Timestamp),
        state: row.parsed(10)?,
        pinned: row.flag(11)?,
        limit: row.maybe_int(12)?.map(LimitId),
    })
}

pub(super) async fn write(
    connection: &mut Connection,
    learnt: &Learnt,
    at: Timestamp,
    events: &mut Events,
) -> Result<i64> {
    let dialect = connection.dialect();
    let mut batches: Vec<(&Statement, Rows)> = Vec::new();
    let mut warmups = Rows::new(dialect, WARMUP_COLUMNS);
    learnt.warmups.iter().for_each(|one| put_warmup(&mut warmups, one, at));
    batches.push((&PUT_WARMUPS, warmups));
    let mut days = Rows::new(dialect, DAY_COLUMNS);
    learnt.days.iter().for_each(|one| put_day(&mut days, one));
    batches.push((&PUT_DAYS, days));
    let mut hours = Rows::new(dialect, HOUR_COLUMNS);
    for one in &learnt.hours {
        hours.int(one.source.0).int(one.operator.0).int(one.hour.0);
        put_marks(&mut hours, &one.marks);
    }
    batches.push((&ADD_HOURS, hours));
    let mut decisions = Rows::new(dialect, DECISION_COLUMNS);
    learnt.decisions.iter().try_for_each(|one| put_decision(&mut decisions, one))?;
    batches.push((&PUT_DECISIONS, decisions));
    let mut changes = Rows::new(dialect, CHANGE_COLUMNS);
    for one in &learnt.changed {
        changes.int(one.id.0).text(one.state.word()).flag(one.pinned);
        changes.maybe_int(one.expires_at.map(|at| at.0));
    }
    batches.push((&CHANGE_DECISIONS, changes));
    if !learnt.removed.is_empty() {
        let ids = super::dialect::json_ids(learnt.removed.iter().map(|id| id.0));
        connection.execute(&DELETE_WARMUPS, vec![ids.into()]).await?;
    }
    for (statement, rows) in batches {
        if rows.count() > 0 {
            connection.execute(statement, vec![rows.finish().into()]).await?;
        }
    }
    for alarm in &learnt.alarms {
        let fields = serde_json::json!({ "text": alarm });
        let (kind, organization) = (EventKind::Alarm, OrganizationId::NOBODY);
        record(connection, &NewEvent { at, kind, organization, fields }, events).await?;
    }
    Ok(0)
}

pub(super) async fn forget_hours(connection: &mut Connection, before: Timestamp) -> Result<i64> {
    let changed = connection.execute(&DELETE_OLD_HOURS, vec![before.0.into()]).await?;
    Ok(i64::try_from(changed).unwrap_or(i64::MAX))
}

fn put_warmup(rows: &mut Rows, one: &WarmupRow, at: Timestamp) {
    let (source, domain) = match one.subject {
        WarmSubject::Source(source) => (Some(source.0), None),
        WarmSubject::Domain(domain) => (None, Some(domain.0)),
    };
    rows.int(one.id.0).maybe_int(source).maybe_int(domain).int(one.operator.0);
    rows.text(&one.plan).unsigned(one.target).text(one.state.word()).int(one.limit.0);
    rows.text(&one.course).int(at.0);
}

fn put_day(rows: &mut Rows, one: &WarmupDayRow) {
    rows.int(one.warmup.0).int(one.day.0).unsigned(one.volume).unsigned(one.next_volume);
    put_marks(rows, &one.marks);
    rows.text(one.verdict.word()).text(&one.cause);
}

fn put_marks(rows: &mut Rows, marks: &Marks) {
    rows.unsigned(marks.offered).unsigned(marks.accepted).unsigned(marks.transactional);
    rows.unsigned(marks.deferred).unsigned(marks.blocked).unsigned(marks.slowed);
    rows.unsigned(marks.invalid).unsigned(marks.complaints);
}

fn put_decision(rows: &mut Rows, one: &Decision) -> Result<()> {
    let value = |value: Option<u64>| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
    let samples = serde_json::to_string(&one.samples).map_err(StoreError::broken_row)?;
    let scope = serde_json::to_string(&one.scope).map_err(StoreError::broken_row)?;
    rows.int(one.id.0).int(one.at.0).text(one.rule.word()).text(&one.cause).text(&samples);
    rows.text(&scope).text(one.metric.word()).maybe_int(value(one.before));
    rows.maybe_int(value(one.after)).maybe_int(one.expires_at.map(|at| at.0));
    rows.text(one.state.word()).flag(one.pinned).maybe_int(one.limit.map(|id| id.0));
    Ok(())
}
