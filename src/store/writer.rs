//! The one task that writes.
//!
//! Owns:       the writing connection, batches, the order of jobs (accept > settle > control >
//!             bulk).
//! Promises:   a caller is answered after the commit of his job; a job that cannot be written
//!             harms no other; when the database is gone every caller hears so within seconds, and
//!             the task comes back by itself.
//! Knows not:  what a row means; `plan` does.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Sleep, sleep};

use crate::clock::Clock;
use crate::model::Timestamp;
use crate::model::limits::LEASE_DURATION;

use super::audit::AuditLine;
use super::changes::{self, Change};
use super::checkpoint::{self, Growth};
use super::contact_batch::{self, ContactBatch, Written};
use super::database::{Connection, Database, within};
use super::error::{Result, StoreError};
use super::event_ids::Events;
use super::handle::{Bulk, Control, Handle, Reply, SteerRows};
use super::jobs::{Enqueue, SettleGroup, Settled};
use super::transaction;

/// Changes of one transaction.
const CHANGES_MAX: usize = 256;
/// Jobs that wait for the writer; beyond it callers wait for room.
const ACCEPTS_WAITING_MAX: usize = 1024;
const SETTLES_WAITING_MAX: usize = 8192;
const CONTROLS_WAITING_MAX: usize = 256;
const BULKS_WAITING_MAX: usize = 4;
/// Imports come when nobody else does, and once in this time even if somebody always does.
const BULK_PAUSE: Duration = Duration::from_millis(100);
/// A transaction stays below ten milliseconds: rows it may insert for accepted mail …
const ACCEPT_ROWS_MAX: usize = 800;
/// … the text it may carry (long subjects, metadata) …
const ACCEPT_BYTES_MAX: usize = 1024 * 1024;
/// … and the deliveries it may settle.
const SETTLEMENTS_MAX: usize = 1000;
/// Nobody waits for a settlement, so it waits for company, or for an accept that commits anyway.
const SETTLE_LINGER: Duration = Duration::from_millis(25);
const TRANSACTION_DEADLINE: Duration = Duration::from_secs(6);
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// What goes into one transaction with others of its kind.
#[derive(Debug)]
pub enum Job {
    Accept(Box<Enqueue>, Reply<()>),
    Settle(SettleGroup, Reply<Vec<Settled>>),
    Steer(SteerRows, Reply<u64>),
}

pub struct Writer {
    database: Database,
    connection: Option<Connection>,
    /// Why there is no connection.
    trouble: StoreError,
    backoff: Duration,
    clock: Clock,
    node: i64,
    epoch: i64,
    events: Events,
    log_growth: Growth,
    inbox: Inbox,
}

struct Inbox {
    accepts: mpsc::Receiver<(Box<Enqueue>, Reply<()>)>,
    settles: mpsc::Receiver<(SettleGroup, Reply<Vec<Settled>>)>,
    controls: mpsc::Receiver<Control>,
    bulks: mpsc::Receiver<Bulk>,
    bulk_pause: Pin<Box<Sleep>>,
    bulk_waits: bool,
    closing: watch::Receiver<bool>,
    is_closed: bool,
    lingering: Vec<Job>,
    linger: Pin<Box<Sleep>>,
    /// Taken from `controls` while changes were gathered, and next in turn.
    control_aside: Option<Control>,
    control_was_last: bool,
}

enum Work {
    Batch(Vec<Job>),
    /// In one transaction, since each is small and new sites come by the hundred.
    Changes(Vec<(Change, Reply<i64>)>),
    Bulk(Bulk),
}

/// Starts the task with a connection that is open and migrated.
pub fn start(
    database: Database,
    connection: Connection,
    node: i64,
    epoch: i64,
    clock: Clock,
) -> Handle {
    let (accepts, accepts_inbox) = mpsc::channel(ACCEPTS_WAITING_MAX);
    let (settles, settles_inbox) = mpsc::channel(SETTLES_WAITING_MAX);
    let (controls, controls_inbox) = mpsc::channel(CONTROLS_WAITING_MAX);
    let (bulks, bulks_inbox) = mpsc::channel(BULKS_WAITING_MAX);
    let (closing, closing_inbox) = watch::channel(false);
    let (ending, ended) = watch::channel(false);
    let writer = Writer {
        log_growth: checkpoint::start(&database),
        database,
        connection: Some(connection),
        trouble: StoreError::Unavailable("not connected".to_owned()),
        backoff: BACKOFF_FIRST,
        clock,
        node,
        epoch,
        events: Events::default(),
        inbox: Inbox {
            accepts: accepts_inbox,
            settles: settles_inbox,
            controls: controls_inbox,
            bulks: bulks_inbox,
            bulk_pause: Box::pin(sleep(BULK_PAUSE)),
            bulk_waits: true,
            closing: closing_inbox,
            is_closed: false,
            lingering: Vec::new(),
            linger: Box::pin(sleep(Duration::ZERO)),
            control_aside: None,
            control_was_last: false,
        },
    };
    tokio::spawn(async move {
        writer.run().await;
        ending.send_replace(true);
    });
    Handle { accepts, settles, controls, bulks, closing, ended }
}

impl Inbox {
    /// The next work, or None when the store is closed and all is done.
    async fn next(&mut self) -> Option<Work> {
        loop {
            // One control job between two batches: a stream of mail must not starve it.
            if !self.control_was_last
                && let Some(control) = self.next_control()
            {
                self.control_was_last = true;
                return Some(self.work_of(control));
            }
            self.control_was_last = false;
            if !self.bulk_waits
                && let Ok(bulk) = self.bulks.try_recv()
            {
                return Some(self.bulk_of(bulk));
            }
            let is_lingering = !self.lingering.is_empty();
            tokio::select! {
                biased;
                () = &mut self.bulk_pause, if self.bulk_waits && !self.is_closed => {
                    self.bulk_waits = false;
                }
                Some((job, reply)) = self.accepts.recv() => {
                    return Some(Work::Batch(self.gather(Job::Accept(job, reply))));
                }
                () = &mut self.linger, if is_lingering => {
                    let mut batch = Vec::new();
                    self.add_settles(&mut batch);
                    return Some(Work::Batch(batch));
                }
                Some((group, reply)) = self.settles.recv(), if !is_lingering => {
                    self.lingering.push(Job::Settle(group, reply));
                    self.linger.set(sleep(SETTLE_LINGER));
                }
                Some(control) = self.controls.recv() => return Some(self.work_of(control)),
                Some(bulk) = self.bulks.recv() => return Some(self.bulk_of(bulk)),
                _ = self.closing.changed(), if !self.is_closed => self.close(),
                else => return None,
            }
        }
    }

    fn bulk_of(&mut self, bulk: Bulk) -> Work {
        self.bulk_pause.set(sleep(BULK_PAUSE));
        self.bulk_waits = true;
        Work::Bulk(bulk)
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.accepts.close();
        self.settles.close();
        self.controls.close();
        self.bulks.close();
    }

    /// The accepts that wait (under load many came while the batch before was written), and the
    /// settlements with them: the commit is paid for, and most pages that a settlement touches are
    /// written anyway.
    fn gather(&mut self, first: Job) -> Vec<Job> {
        let (mut rows, mut bytes) = first.weight();
        let mut batch = vec![first];
        while rows < ACCEPT_ROWS_MAX && bytes < ACCEPT_BYTES_MAX {
            let Ok((job, reply)) = self.accepts.try_recv() else { break };
            let job = Job::Accept(job, reply);
            let (more_rows, more_bytes) = job.weight();
            rows += more_rows;
            bytes += more_bytes;
            batch.push(job);
        }
        self.add_settles(&mut batch);
        batch
    }

    fn next_control(&mut self) -> Option<Control> {
        self.control_aside.take().or_else(|| self.controls.try_recv().ok())
    }

    /// A change takes the changes that wait behind it with it.
    fn work_of(&mut self, control: Control) -> Work {
        let mut changes = Vec::new();
        let mut next = Some(control);
        while let Some(control) = next {
            match control {
                Control::Change(change, reply) => changes.push((change, reply)),
                Control::Steer(rows, reply) if changes.is_empty() => {
                    return Work::Batch(vec![Job::Steer(rows, reply)]);
                }
                steer @ Control::Steer(..) => {
                    self.control_aside = Some(steer);
                    break;
                }
            }
            next = if changes.len() < CHANGES_MAX { self.controls.try_recv().ok() } else { None };
        }
        Work::Changes(changes)
    }

    fn add_settles(&mut self, batch: &mut Vec<Job>) {
        let mut settlements = 0;
        batch.append(&mut self.lingering);
        while settlements < SETTLEMENTS_MAX {
            let Ok((group, reply)) = self.settles.try_recv() else { break };
            settlements += group.settlements.len();
            batch.push(Job::Settle(group, reply));
        }
    }
}

impl Work {
    fn refuse(self, error: &StoreError) {
        match self {
            Work::Batch(jobs) => jobs.into_iter().for_each(|job| job.refuse(error.clone())),
            Work::Changes(changes) => {
                changes.into_iter().for_each(|(_, reply)| answer(reply, Err(error.clone())));
            }
            Work::Bulk((.., reply)) => answer(reply, Err(error.clone())),
        }
    }
}

/// A caller that no longer waits (a session was cut) has lost its interest, not its mail.
fn answer<T>(reply: Reply<T>, value: Result<T>) {
    if reply.send(value).is_err() {
        tracing::trace!("nobody waits for this answer of the ledger");
    }
}

impl Job {
    /// Rows to insert, and octets of text that only some mails have.
    fn weight(&self) -> (usize, usize) {
        let Job::Accept(job, _) = self else { return (1, 0) };
        let message = &job.message;
        let text = message.metadata.as_ref().map_or(0, String::len) + message.subject.len();
        (2 + job.deliveries.len(), 512 + text + 256 * job.deliveries.len())
    }

    /// Of the audit log, that goes with it.
    pub fn line(&self) -> Option<(&AuditLine, Timestamp)> {
        match self {
            Job::Accept(job, _) => Some((job.line.as_ref()?, job.message.accepted_at)),
            Job::Settle(..) => None,
            Job::Steer(rows, _) => Some((rows.line.as_ref()?, rows.at)),
        }
    }

    fn refuse(self, error: StoreError) {
        match self {
            Job::Accept(_, reply) => answer(reply, Err(error)),
            Job::Settle(_, reply) => answer(reply, Err(error)),
            Job::Steer(_, reply) => answer(reply, Err(error)),
        }
    }

    fn answer(self, answers: &mut transaction::Answers) {
        match self {
            Job::Accept(_, reply) => answer(reply, Ok(())),
            Job::Settle(_, reply) => {
                let settled = answers.settled.pop_front();
                answer(reply, settled.ok_or_else(|| StoreError::broken_row("no answer")));
            }
            Job::Steer(_, reply) => {
                let steered = answers.steered.pop_front();
                answer(reply, steered.ok_or_else(|| StoreError::broken_row("no answer")));
            }
        }
    }
}

impl Writer {
    async fn run(mut self) {
        loop {
            if self.connection.is_none() {
                self.wait_and_connect().await;
            }
            let Some(work) = self.inbox.next().await else { break };
            match work {
                Work::Batch(jobs) => self.write(jobs).await,
                Work::Changes(changes) => self.change_all(changes).await,
                Work::Bulk((batch, line, reply)) => {
                    answer(reply, self.write_bulk(&batch, line.as_ref()).await);
                }
            }
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    /// While the database is gone, callers hear so at once instead of waiting for it.
    async fn wait_and_connect(&mut self) {
        let (database, pause) = (&self.database, self.backoff);
        let connecting = async {
            sleep(pause).await;
            database.connect().await
        };
        tokio::pin!(connecting);
        let connected = loop {
            tokio::select! {
                biased;
                connected = &mut connecting => break connected,
                work = self.inbox.next() => match work {
                    Some(work) => work.refuse(&self.trouble),
                    None => return,
                },
            }
        };
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        match connected {
            Ok(connection) => self.connection = Some(connection),
            Err(error) => self.trouble = error,
        }
    }

    /// Writes the jobs in one transaction. If one of them cannot be written, halves are tried
    /// until it stands alone; then only its caller hears of it.
    async fn write(&mut self, jobs: Vec<Job>) {
        let mut parts = vec![jobs];
        while let Some(mut part) = parts.pop() {
            match self.attempt(&part).await {
                Ok(mut answers) => {
                    self.log_growth.add(answers.octets);
                    part.into_iter().for_each(|job| job.answer(&mut answers));
                }
                Err(error) if error.is_transient() || part.len() <= 1 => {
                    let error = error.in_the_middle();
                    part.into_iter().for_each(|job| job.refuse(error.clone()));
                }
                Err(_) => {
                    let second = part.split_off(part.len() / 2);
                    parts.push(second);
                    parts.push(part);
                }
            }
        }
    }

    async fn attempt(&mut self, jobs: &[Job]) -> Result<transaction::Answers> {
        let own = super::plan::Own {
            node: self.node,
            epoch: self.epoch,
            lease_until: self.clock.now() + LEASE_DURATION,
        };
        let mut connection = self.connection.take().ok_or_else(|| self.trouble.clone())?;
        let writing = transaction::write(&mut connection, jobs, own, &mut self.events);
        let written = within(TRANSACTION_DEADLINE, "writing", writing).await;
        self.keep_or_drop(connection, written).await
    }

    /// Together, or each alone when one of them cannot be written.
    async fn change_all(&mut self, changes: Vec<(Change, Reply<i64>)>) {
        let (changes, replies): (Vec<Change>, Vec<Reply<i64>>) = changes.into_iter().unzip();
        match self.change(&changes).await {
            Ok(values) => {
                replies.into_iter().zip(values).for_each(|(reply, value)| answer(reply, Ok(value)));
            }
            Err(error) if error.is_transient() => {
                replies.into_iter().for_each(|reply| answer(reply, Err(error.clone())));
            }
            Err(_) => {
                for (change, reply) in changes.iter().zip(replies) {
                    let changed = self.change(std::slice::from_ref(change)).await;
                    let value = changed.map(|values| values.first().copied().unwrap_or_default());
                    answer(reply, value);
                }
            }
        }
    }

    async fn change(&mut self, changes: &[Change]) -> Result<Vec<i64>> {
        let mut connection = self.connection.take().ok_or_else(|| self.trouble.clone())?;
        let changing =
            changes::apply(&mut connection, changes, (self.node, self.epoch), &mut self.events);
        let changed = within(TRANSACTION_DEADLINE, "writing", changing).await;
        self.keep_or_drop(connection, changed).await
    }

    async fn write_bulk(
        &mut self,
        batch: &ContactBatch,
        line: Option<&AuditLine>,
    ) -> Result<Vec<Written>> {
        let mut connection = self.connection.take().ok_or_else(|| self.trouble.clone())?;
        let writing = contact_batch::write(&mut connection, batch, line);
        let written = within(TRANSACTION_DEADLINE, "writing", writing).await;
        let (octets, written) = self.keep_or_drop(connection, written).await?;
        self.log_growth.add(octets);
        Ok(written)
    }

    /// A connection is kept only when it is known to be outside any transaction.
    async fn keep_or_drop<T>(
        &mut self,
        mut connection: Connection,
        result: Result<T>,
    ) -> Result<T> {
        let error = match result {
            Ok(value) => {
                self.connection = Some(connection);
                if self.backoff > BACKOFF_FIRST {
                    self.backoff = BACKOFF_FIRST;
                    tracing::info!("the ledger can be written again");
                }
                return Ok(value);
            }
            Err(error) => error,
        };
        self.events.forget();
        let is_clean = !error.is_transient() && {
            let rolling_back = transaction::roll_back(&mut connection);
            within(TRANSACTION_DEADLINE, "rolling back", rolling_back).await.is_ok()
        };
        if is_clean {
            self.connection = Some(connection);
        } else {
            if self.backoff == BACKOFF_FIRST {
                tracing::error!(
                    reason = %error,
                    "the ledger cannot be written; mail is deferred until the database answers \
                     and has room"
                );
            }
            self.trouble = StoreError::Unavailable(error.to_string());
        }
        Err(error)
    }
}
