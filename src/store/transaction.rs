//! One transaction of the writer, for many jobs.
//!
//! Owns:       the sequence read standings, plan, write, commit.
//! Promises:   all jobs are written or none.
//! Knows not:  who waits for them.

use std::collections::VecDeque;
use std::sync::OnceLock;

use sqlx::SqlStr;

use super::audit::Lines;
use super::database::Connection;
use super::dialect::{Dialect, Statement, fixed, json_ids};
use super::error::{Result, StoreError};
use super::event_ids::Events;
use super::jobs::Settled;
use super::ledger::{self, BATCH, BEGIN, COMMIT, ROLLBACK};
use super::plan::{self, Own, Plan};
use super::standings::Standings;
use super::writer::Job;
use crate::model::moment;

/// Where `Plan::parameters` and `BATCH` hold new messages, and deliveries that change their state.
const MESSAGES: usize = 0;
const MOVES: usize = 2;

/// What the jobs are answered, in their order.
#[derive(Debug, Default)]
pub struct Answers {
    pub settled: VecDeque<Vec<Settled>>,
    pub steered: VecDeque<u64>,
    /// Of rows, as they were written.
    pub octets: usize,
}

pub async fn write(
    connection: &mut Connection,
    jobs: &[Job],
    own: Own,
    events: &mut Events,
) -> Result<Answers> {
    let dialect = connection.dialect();
    events.begin(dialect);
    // Mail as it mostly comes is told by nobody: its transaction is one text on SQLite.
    let is_told = jobs.iter().any(|job| job.line().is_some());
    if dialect == Dialect::Postgres || is_told {
        connection.execute(&BEGIN, Vec::new()).await?;
    }
    let event_next = events.take(connection, events_max(jobs)).await?;
    let standings = read_standings(connection, jobs).await?;
    let mut plan = Plan::new(dialect, own, standings, event_next);
    let (mut answers, mut lines) = (Answers::default(), Lines::default());
    for job in jobs {
        let is_changed = plan_job(job, &mut plan, &mut answers);
        if let Some((line, at)) = job.line().filter(|_| is_changed) {
            lines.write(connection, line, (at, 0)).await?;
        }
    }
    let parameters = plan.parameters();
    answers.octets = parameters.iter().map(|(json, _)| json.len()).sum();
    let (accepts, moves) = (parameters[MESSAGES].1 > 0, parameters[MOVES].1 > 0);
    if accepts {
        moment::reached(c"rows_writing");
    }
    match dialect {
        // BEGIN, all statements and COMMIT in one text: one round trip to SQLite's thread. What
        // was read before it still holds, because nobody else writes.
        Dialect::Sqlite => {
            let values = plan::values(parameters);
            connection
                .execute_sql(if is_told { open_batch() } else { whole_batch() }, values)
                .await?;
            if is_told {
                connection.execute(&COMMIT, Vec::new()).await?;
            }
        }
        Dialect::Postgres => write_one_by_one(connection, parameters).await?,
    }
    lines.stand();
    if accepts {
        moment::reached(c"rows_committed");
    }
    if moves {
        moment::reached(c"settle_committed");
    }
    Ok(answers)
}

/// False when it changes nothing.
fn plan_job(job: &Job, plan: &mut Plan, answers: &mut Answers) -> bool {
    match job {
        Job::Accept(job, _) => plan.accept(job),
        Job::Settle(group, _) => answers.settled.push_back(plan.settle(group)),
        Job::Steer(rows, _) => {
            let steer = |id| plan.steer(id, rows.action, &rows.reason, (rows.at, rows.due));
            let steered = rows.deliveries.iter().copied().map(steer).filter(|is| *is).count();
            answers.steered.push_back(steered as u64);
            return steered > 0;
        }
    }
    true
}

async fn write_one_by_one(
    connection: &mut Connection,
    parameters: [(String, usize); ledger::BATCH_STATEMENTS],
) -> Result<()> {
    for (position, (json, rows)) in parameters.into_iter().enumerate() {
        let statement = BATCH[position];
        if rows == 0 {
            continue;
        }
        let written = connection.execute(statement, vec![json.into()]).await?;
        if written != rows as u64 {
            // The rows were locked when they were read, so another writer cannot have moved them.
            return Err(StoreError::Refused(format!("{written} of {rows} rows were written")));
        }
        if position == MOVES {
            moment::reached(c"deliveries_moving");
        }
    }
    connection.execute(&COMMIT, Vec::new()).await?;
    Ok(())
}

pub async fn roll_back(connection: &mut Connection) -> Result<()> {
    connection.execute(&ROLLBACK, Vec::new()).await?;
    Ok(())
}

pub fn whole_batch() -> SqlStr {
    static WHOLE: OnceLock<SqlStr> = OnceLock::new();
    let (begin, commit) = (BEGIN.render(Dialect::Sqlite, 1), COMMIT.render(Dialect::Sqlite, 1));
    let whole = || fixed([vec![begin], batch_texts(), vec![commit]].concat().join("; "));
    WHOLE.get_or_init(whole).clone()
}

/// In a transaction that is open already.
pub fn open_batch() -> SqlStr {
    static OPEN: OnceLock<SqlStr> = OnceLock::new();
    OPEN.get_or_init(|| fixed(batch_texts().join("; "))).clone()
}

fn batch_texts() -> Vec<String> {
    let text = |(position, statement): (usize, &&Statement)| {
        statement.render(Dialect::Sqlite, position + 1)
    };
    BATCH.iter().enumerate().map(text).collect()
}

async fn read_standings(connection: &mut Connection, jobs: &[Job]) -> Result<Standings> {
    let mut wanted = Vec::new();
    for job in jobs {
        match job {
            Job::Accept(..) => {}
            Job::Settle(group, _) => {
                wanted.extend(group.settlements.iter().map(|settle| settle.delivery.0));
            }
            Job::Steer(rows, _) => wanted.extend(rows.deliveries.iter().map(|id| id.0)),
        }
    }
    if wanted.is_empty() {
        return Ok(Standings::default());
    }
    wanted.sort_unstable();
    wanted.dedup();
    let ids = json_ids(wanted);
    let rows = connection.fetch(&ledger::STANDINGS, vec![ids.into()]).await?;
    let text = rows.first().map(|row| row.maybe_text(0)).transpose()?.flatten();
    Standings::read(&text.unwrap_or_default())
}

fn events_max(jobs: &[Job]) -> usize {
    let events = |job: &Job| match job {
        Job::Accept(job, _) => 1 + usize::from(job.message.is_scheduled()),
        Job::Settle(group, _) => group.settlements.len() + usize::from(group.report.is_some()),
        Job::Steer(rows, _) => rows.deliveries.len(),
    };
    jobs.iter().map(events).sum()
}
