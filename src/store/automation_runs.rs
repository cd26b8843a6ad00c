//! Who is in which automation, and before which step.
//!
//! Owns:       the tables `automation_arrivals`, `automation_runs`, `automation_moves` and
//!             `automation_counts`.
//! Promises:   whoever comes in by the same key has one run; a cursor moves only from where its
//!             mover saw it, and in the transaction that says so.
//! Knows not:  steps, what is sent.

use crate::model::*;

use super::changes::{Change, rows};
use super::database::{Connection, Value};
use super::dialect::{Column, Rows, Statement, fixed, int, json, json_ids, text};
use super::error::{Result, StoreError};
use super::event_ids::Events;
use super::filter::Filter;
use super::{Store, collect, ids};

/// Somebody has come to an automation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub automation: AutomationId,
    pub contact: ContactId,
    pub key: String,
    pub at: Timestamp,
}

/// Whom to let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    pub arrival: Arrival,
    pub version: u64,
    /// By this key it is in at most once; the arrival's may be another one.
    pub key: String,
    /// Not while another run of the contact is under way.
    pub alone: bool,
}

/// A cursor whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueRun {
    pub id: RunId,
    pub contact: ContactId,
    pub version: u64,
    pub step: u32,
    pub visit: u32,
}

/// Where a cursor goes; it is let alone if it has been moved meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunMove {
    pub run: DueRun,
    /// None: its step is put off, and nothing was done.
    pub did: Option<StepDone>,
    pub step: u32,
    pub wake_at: Timestamp,
    pub end: Option<RunEnd>,
}

/// How a contact stands to an automation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunContact {
    pub id: ContactId,
    pub email: String,
    pub status: ContactStatus,
    /// In the automation's list, if it has one.
    pub membership: Option<MembershipStatus>,
    /// As in `model::engagement`.
    pub heat: Option<i64>,
}

#[derive(Clone, Debug)]
pub enum RunChange {
    /// An application tells of an event, or a person lets somebody in.
    Arrive(Vec<Arrival>),
    /// Arrivals become runs, or are forgotten where there is nothing to become.
    Begin {
        runs: Vec<NewRun>,
        handled: Vec<Arrival>,
    },
    Move {
        automation: AutomationId,
        moves: Vec<RunMove>,
        at: Timestamp,
    },
}

const ARRIVAL_COLUMNS: &[Column] = &[int("automation"), int("contact"), text("key"), int("at")];
pub static INSERT_ARRIVALS: Statement = Statement::with_rows(
    ARRIVAL_COLUMNS,
    "INSERT INTO automation_arrivals (automation, contact, key, at) \
     SELECT automation, contact, key, at FROM {rows} AS r WHERE true \
     ON CONFLICT (automation, contact, key) DO NOTHING",
);
pub static DELETE_ARRIVALS: Statement = Statement::with_rows(
    ARRIVAL_COLUMNS,
    "DELETE FROM automation_arrivals WHERE (automation, contact, key) IN \
     (SELECT r.automation, r.contact, r.key FROM {rows} AS r)",
);
pub static ARRIVALS: Statement = Statement::new(
    "SELECT w.automation, w.contact, w.key, w.at FROM automation_arrivals AS w \
     JOIN automations AS a ON a.id = w.automation AND a.state = 'active' \
     ORDER BY w.automation, w.contact, w.key LIMIT $1",
);
const RUN_COLUMNS: &[Column] = &[
    int("id"),
    int("automation"),
    int("contact"),
    int("version"),
    text("key"),
    int("alone"),
    int("at"),
];
pub static INSERT_RUNS: Statement = Statement::with_rows(
    RUN_COLUMNS,
    "INSERT INTO automation_runs (id, automation, organization, contact, version, key, state, \
     step, visit, wake_at, started_at) \
     SELECT r.id, a.id, a.organization, c.id, r.version, r.key, 'waiting', 0, 1, r.at, r.at \
     FROM {rows} AS r JOIN automations AS a ON a.id = r.automation \
     JOIN contacts AS c ON c.id = r.contact AND c.organization = a.organization \
     WHERE r.alone = 0 OR NOT EXISTS (SELECT 1 FROM automation_runs AS o \
       WHERE o.automation = r.automation AND o.contact = r.contact AND o.state = 'waiting') \
     ON CONFLICT (automation, contact, key) DO NOTHING",
);
const TOLD_COLUMNS: &[Column] = &[int("event"), int("run"), json("fields")];
/// Of those that did come in: a row that was in the way has another id.
pub static TELL_ENTERED: Statement = Statement::with_rows(
    TOLD_COLUMNS,
    "INSERT INTO events (id, at, kind, organization, fields) \
     SELECT r.event, u.started_at, 'automation_entered', u.organization, \
     CAST(r.fields AS TEXT) FROM {rows} AS r JOIN automation_runs AS u ON u.id = r.run",
);
/// Of those that ended by this very move: another may have moved some of them meanwhile.
pub static TELL_ENDED: Statement = Statement::with_rows(
    TOLD_COLUMNS,
    "INSERT INTO events (id, at, kind, organization, fields) \
     SELECT r.event, u.ended_at, 'automation_ended', u.organization, \
     CAST(r.fields AS TEXT) FROM {rows} AS r JOIN automation_runs AS u ON u.id = r.run \
     AND u.ended_at = $2",
);
pub static DUE_RUNS: Statement = Statement::new(
    "SELECT id, contact, version, step, visit FROM automation_runs \
     WHERE automation = $1 AND state = 'waiting' AND wake_at <= $2 \
     ORDER BY wake_at, id LIMIT $3",
);
const MOVE_COLUMNS: &[Column] = &[
    int("run"),
    int("was"),
    int("visit"),
    int("version"),
    text("did"),
    int("step"),
    int("moved"),
    int("wake_at"),
    text("state"),
    text("reason"),
];
/// First, since it looks where the cursors stand.
pub static INSERT_MOVES: Statement = Statement::with_rows(
    MOVE_COLUMNS,
    "INSERT INTO automation_moves (run, step, visit, automation, version, did, at) \
     SELECT u.id, u.step, u.visit, u.automation, r.version, r.did, \
     CAST($2 AS BIGINT) FROM {rows} AS r JOIN automation_runs AS u \
     ON u.id = r.run AND u.step = r.was AND u.visit = r.visit \
     AND u.state = 'waiting' WHERE r.did IS NOT NULL",
);
pub static COUNT_MOVES: Statement = Statement::with_rows(
    MOVE_COLUMNS,
    "INSERT INTO automation_counts (automation, version, step, did, count) \
     SELECT u.automation, r.version, u.step, r.did, COUNT(*) FROM {rows} AS r \
     JOIN automation_runs AS u ON u.id = r.run AND u.step = r.was AND u.visit = r.visit \
     AND u.state = 'waiting' WHERE r.did IS NOT NULL \
     GROUP BY u.automation, r.version, u.step, r.did \
     ON CONFLICT (automation, version, step, did) \
     DO UPDATE SET count = automation_counts.count + excluded.count",
);
pub static MOVE_RUNS: Statement = Statement::with_rows(
    MOVE_COLUMNS,
    "UPDATE automation_runs SET step = r.step, visit = automation_runs.visit + r.moved, \
     wake_at = r.wake_at, state = r.state, reason = r.reason, \
     ended_at = CASE WHEN r.state = 'ended' THEN CAST($2 AS BIGINT) END FROM {rows} AS r \
     WHERE automation_runs.id = r.run AND automation_runs.step = r.was \
     AND automation_runs.visit = r.visit AND automation_runs.state = 'waiting'",
);
pub static RUN_CONTACTS: Statement = Statement::new(
    "SELECT c.id, c.email, f.status, m.status, f.heat \
     FROM {ids:2} AS w CROSS JOIN contacts AS c CROSS JOIN contact_facts AS f \
     LEFT JOIN memberships AS m ON m.list = $3 AND m.contact = c.id \
     WHERE c.id = w.id AND c.organization = $1 \
     AND f.organization = c.organization AND f.contact = c.id",
);
pub static RUN_BY_ID: Statement = Statement::new(
    "SELECT id, contact, version, step, visit FROM automation_runs \
     WHERE automation = $1 AND id = $2 AND state = 'waiting'",
);
pub static ENTRIES_OF_EVENT: Statement = Statement::new(
    "SELECT automation FROM automation_entries \
     WHERE organization = $1 AND kind = 'event' AND target = $2 ORDER BY automation",
);
pub static MATCHING_HEAD: Statement = Statement::new(
    "SELECT string_agg(CAST(f.contact AS TEXT), ',') FROM contact_facts AS f \
     WHERE f.organization = $1 AND f.contact IN (SELECT id FROM {ids:2} AS wanted)",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &INSERT_ARRIVALS,
    &DELETE_ARRIVALS,
    &ARRIVALS,
    &INSERT_RUNS,
    &TELL_ENTERED,
    &TELL_ENDED,
    &DUE_RUNS,
    &INSERT_MOVES,
    &COUNT_MOVES,
    &MOVE_RUNS,
    &RUN_CONTACTS,
    &RUN_BY_ID,
    &ENTRIES_OF_EVENT,
    &MATCHING_HEAD,
];

impl Store {
    /// The answer is the number of runs that began or moved.
    pub async fn change_runs(&self, change: RunChange) -> Result<i64> {
        self.change(Change::Runs(Box::new(change))).await
    }

    /// Those of active automations.
    pub async fn arrivals(&self, limit: u32) -> Result<Vec<Arrival>> {
        collect(self.read(&ARRIVALS, vec![i64::from(limit).into()]).await?, |row| {
            Ok(Arrival {
                automation: AutomationId(row.int(0)?),
                contact: ContactId(row.int(1)?),
                key: row.text(2)?,
                at: Timestamp(row.int(3)?),
            })
        })
    }

    /// Whose time has come, those that wait longest first.
    pub async fn due_runs(
        &self,
        automation: AutomationId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueRun>> {
        let values = vec![automation.0.into(), now.0.into(), i64::from(limit).into()];
        collect(self.read(&DUE_RUNS, values).await?, due_run)
    }

    /// None when there is none, or it is over.
    pub async fn open_run(&self, automation: AutomationId, id: RunId) -> Result<Option<DueRun>> {
        let values = vec![automation.0.into(), id.0.into()];
        self.read(&RUN_BY_ID, values).await?.first().map(due_run).transpose()
    }

    /// Those of them that there still are.
    pub async fn run_contacts(
        &self,
        organization: OrganizationId,
        contacts: &[ContactId],
        list: Option<ListId>,
    ) -> Result<Vec<RunContact>> {
        let ids = json_ids(contacts.iter().map(|id| id.0));
        let list = list.map_or(0, |list| list.0);
        let values = vec![organization.0.into(), ids.into(), list.into()];
        collect(self.read(&RUN_CONTACTS, values).await?, |row| {
            Ok(RunContact {
                id: ContactId(row.int(0)?),
                email: row.text(1)?,
                status: row.parsed(2)?,
                membership: row.maybe_parsed(3)?,
                heat: row.maybe_int(4)?,
            })
        })
    }

    /// Which of these contacts are in a segment.
    pub async fn matching(
        &self,
        organization: OrganizationId,
        contacts: &[ContactId],
        filter: &Filter,
    ) -> Result<Vec<ContactId>> {
        let dialect = self.database().dialect();
        let ids = json_ids(contacts.iter().map(|id| id.0));
        let values = vec![organization.0.into(), Value::Text(ids)];
        let (condition, values) = filter.compile(dialect, values);
        let sql = format!("{} AND {condition}", MATCHING_HEAD.render(dialect, 1));
        let rows = self.database().fetch_text(fixed(sql), values).await?;
        let text = rows.first().map(|row| row.maybe_text(0)).transpose()?.flatten();
        let text = text.unwrap_or_default();
        let parsed = text.split(',').filter(|id| !id.is_empty()).map(str::parse);
        parsed.map(|id| id.map_err(StoreError::broken_row)).collect()
    }

    /// Automations that an event lets people into.
    pub async fn entries_of_event(
        &self,
        organization: OrganizationId,
        event: &str,
    ) -> Result<Vec<AutomationId>> {
        let values = vec![organization.0.into(), event.into()];
        let found = self.read(&ENTRIES_OF_EVENT, values).await?;
        collect(found, |row| Ok(AutomationId(row.int(0)?)))
    }
}

pub fn small(value: i64) -> Result<u32> {
    u32::try_from(value).map_err(StoreError::broken_row)
}

fn due_run(row: &super::database::Row) -> Result<DueRun> {
    Ok(DueRun {
        id: RunId(row.int(0)?),
        contact: ContactId(row.int(1)?),
        version: row.unsigned(2)?,
        step: small(row.int(3)?)?,
        visit: small(row.int(4)?)?,
    })
}

pub async fn write(
    connection: &mut Connection,
    change: &RunChange,
    events: &mut Events,
) -> Result<i64> {
    match change {
        RunChange::Arrive(arrivals) => {
            let json = arrival_rows(connection, arrivals);
            rows(connection.execute(&INSERT_ARRIVALS, vec![json.into()]).await?)
        }
        RunChange::Begin { runs, handled } => {
            let begun = begin(connection, runs, events).await?;
            let json = arrival_rows(connection, handled);
            connection.execute(&DELETE_ARRIVALS, vec![json.into()]).await?;
            rows(begun)
        }
        RunChange::Move { automation, moves, at } => {
            move_on(connection, *automation, moves, *at, events).await
        }
    }
}

fn arrival_rows(connection: &Connection, arrivals: &[Arrival]) -> String {
    let mut rows = Rows::new(connection.dialect(), ARRIVAL_COLUMNS);
    for one in arrivals {
        rows.int(one.automation.0).int(one.contact.0).text(&one.key).int(one.at.0);
    }
    rows.finish()
}

async fn begin(connection: &mut Connection, runs: &[NewRun], events: &mut Events) -> Result<u64> {
    if runs.is_empty() {
        return Ok(0);
    }
    let count = i64::try_from(runs.len()).unwrap_or(i64::MAX);
    let first = ids::reserve(connection, "automation_run", count).await?;
    let event_first = events.take(connection, runs.len()).await?;
    let mut json = Rows::new(connection.dialect(), RUN_COLUMNS);
    let mut told = Rows::new(connection.dialect(), TOLD_COLUMNS);
    for (new, offset) in runs.iter().zip(0..) {
        let (id, arrival) = (first + offset, &new.arrival);
        json.int(id).int(arrival.automation.0).int(arrival.contact.0).unsigned(new.version);
        json.text(&new.key).flag(new.alone).int(arrival.at.0);
        let fields = serde_json::json!({ "automation": arrival.automation, "run": id,
            "contact": arrival.contact });
        told.int(event_first + offset).int(id).json(&fields);
    }
    let begun = connection.execute(&INSERT_RUNS, vec![json.finish().into()]).await?;
    connection.execute(&TELL_ENTERED, vec![told.finish().into()]).await?;
    Ok(begun)
}

async fn move_on(
    connection: &mut Connection,
    automation: AutomationId,
    moves: &[RunMove],
    at: Timestamp,
    events: &mut Events,
) -> Result<i64> {
    let mut moved = 0;
    for (statement, is_dated) in [(&INSERT_MOVES, true), (&COUNT_MOVES, false), (&MOVE_RUNS, true)]
    {
        let mut values: Vec<Value> = vec![move_rows(connection, moves).into()];
        if is_dated {
            values.push(at.0.into());
        }
        moved = connection.execute(statement, values).await?;
    }
    let ended: Vec<&RunMove> = moves.iter().filter(|one| one.end.is_some()).collect();
    if ended.is_empty() {
        return rows(moved);
    }
    let first = events.take(connection, ended.len()).await?;
    let mut told = Rows::new(connection.dialect(), TOLD_COLUMNS);
    for (one, event) in ended.iter().zip(first..) {
        let fields = serde_json::json!({ "automation": automation, "run": one.run.id,
            "contact": one.run.contact, "reason": one.end });
        told.int(event).int(one.run.id.0).json(&fields);
    }
    connection.execute(&TELL_ENDED, vec![told.finish().into(), at.0.into()]).await?;
    rows(moved)
}

fn move_rows(connection: &Connection, moves: &[RunMove]) -> String {
    let mut json = Rows::new(connection.dialect(), MOVE_COLUMNS);
    for one in moves {
        let state = if one.end.is_some() { RunState::Ended } else { RunState::Waiting };
        json.int(one.run.id.0).int(i64::from(one.run.step)).int(i64::from(one.run.visit));
        json.unsigned(one.run.version).maybe_text(one.did.map(StepDone::word));
        json.int(i64::from(one.step)).flag(one.did.is_some()).int(one.wake_at.0);
        json.text(state.word()).maybe_text(one.end.map(RunEnd::word));
    }
    json.finish()
}
