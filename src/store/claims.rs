//! What is due where: the queue's reads.
//!
//! Owns:       the walks over the index of waiting deliveries, and the leases on PostgreSQL.
//! Promises:   each read walks the index by its flows (organization, stream, rank of a site) and
//!             costs by the number of flows and of rows returned, never by the rows that wait.
//! Knows not:  fairness, time; `now` comes from the caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::limits::LEASE_DURATION;
use crate::model::*;

use super::changes::Change;
use super::database::{Database, Row, Value, postgres_execute, postgres_fetch};
use super::database::{unreachable, within};
use super::dialect::{Statement, json_ids};
use super::error::{Result, StoreError};
use super::messages::{self, MESSAGES_BY_ID};
use super::rows::{Backlog, ClaimedDelivery, MessageRow};
use super::unreadable::Unreadable;
use super::{Store, collect};

const CLAIM_DEADLINE: std::time::Duration = std::time::Duration::from_secs(6);

/// Each flow of site $1 with its first due time, but for those of suspended organizations: from one flow the next is found by one descent
/// of the index.
pub static FLOWS: Statement = Statement::new(
    "WITH RECURSIVE flow (organization, stream, rank, due_at) AS (\
       SELECT * FROM (SELECT organization, stream, rank, due_at FROM deliveries \
         WHERE state = 'waiting' AND site = $1 \
         ORDER BY organization, stream, rank, due_at, id LIMIT 1) AS first \
       UNION ALL \
       SELECT d.organization, d.stream, d.rank, d.due_at \
       FROM flow JOIN deliveries d ON d.id = (SELECT n.id FROM deliveries n \
         WHERE n.state = 'waiting' AND n.site = $1 \
         AND (n.organization, n.stream, n.rank) > (flow.organization, flow.stream, flow.rank) \
         ORDER BY n.organization, n.stream, n.rank, n.due_at, n.id LIMIT 1)\
     ) SELECT organization, stream, rank, due_at FROM flow \
     WHERE organization NOT IN (SELECT id FROM organizations WHERE suspended_at IS NOT NULL) \
     ORDER BY rank, due_at LIMIT 10000",
);

/// As `FLOWS`, over all sites; and what is leased is due when its lease ends.
pub static BACKLOGS: Statement = Statement::new(
    "WITH RECURSIVE flow (site, organization, stream, rank, due_at) AS (\
       SELECT * FROM (SELECT site, organization, stream, rank, due_at FROM deliveries \
         WHERE state = 'waiting' \
         ORDER BY site, organization, stream, rank, due_at, id LIMIT 1) AS first \
       UNION ALL \
       SELECT d.site, d.organization, d.stream, d.rank, d.due_at \
       FROM flow JOIN deliveries d ON d.id = (SELECT n.id FROM deliveries n \
         WHERE n.state = 'waiting' AND (n.site, n.organization, n.stream, n.rank) > \
           (flow.site, flow.organization, flow.stream, flow.rank) \
         ORDER BY n.site, n.organization, n.stream, n.rank, n.due_at, n.id LIMIT 1)\
     ) SELECT site, MIN(due_at) FROM (\
       SELECT site, due_at FROM flow WHERE organization NOT IN \
         (SELECT id FROM organizations WHERE suspended_at IS NOT NULL) \
       UNION ALL SELECT site, MIN(lease_until) AS due_at FROM deliveries \
         WHERE state = 'leased' GROUP BY site) AS backlog \
     GROUP BY site ORDER BY 1",
);

/// The first of one flow that are due.
pub static DUE_IN_FLOW: Statement = Statement::pair(
    "SELECT id, due_at FROM deliveries WHERE state = 'waiting' AND site = $1 \
     AND organization = $2 AND stream = $3 AND rank = $4 AND due_at <= $5 \
     AND id NOT IN (SELECT id FROM {ids:6} AS taken) ORDER BY due_at, id LIMIT $7",
    "SELECT id, due_at FROM deliveries WHERE state = 'waiting' AND site = $1 \
     AND organization = $2 AND stream = $3 AND rank = $4 AND due_at <= $5 \
     AND id NOT IN (SELECT id FROM {ids:6} AS taken) ORDER BY due_at, id LIMIT $7 \
     FOR UPDATE SKIP LOCKED",
);

pub static NEXT_IN_FLOW: Statement = Statement::new(
    "SELECT due_at FROM deliveries WHERE state = 'waiting' AND site = $1 \
     AND organization = $2 AND stream = $3 AND rank = $4 \
     AND id NOT IN (SELECT id FROM {ids:5} AS taken) ORDER BY due_at, id LIMIT 1",
);

pub static NEXT_LEASE_END: Statement = Statement::new(
    "SELECT lease_until FROM deliveries WHERE state = 'leased' AND site = $1 \
     AND id NOT IN (SELECT id FROM {ids:2} AS taken) ORDER BY lease_until LIMIT 1",
);

/// What comes back to where everybody looks: leases of nodes that died, and our own that are not in
/// our memory ($5). Those come from a claim or an enqueue that was committed while its answer was
/// lost, so nobody would try them before the lease ends.
pub static FREE_STRAYS: Statement = Statement::pair(
    "UPDATE deliveries SET state = 'waiting', lease_node = NULL, lease_epoch = NULL, \
     lease_until = NULL WHERE id IN (SELECT id FROM deliveries WHERE state = 'leased' \
     AND site = $1 AND (lease_until <= $2 OR lease_node = $3 AND lease_epoch = $4 \
       AND id NOT IN (SELECT id FROM {ids:5} AS taken)) ORDER BY lease_until LIMIT 1000)",
    "UPDATE deliveries SET state = 'waiting', lease_node = NULL, lease_epoch = NULL, \
     lease_until = NULL WHERE id IN (SELECT id FROM deliveries WHERE state = 'leased' \
     AND site = $1 AND (lease_until <= $2 OR lease_node = $3 AND lease_epoch = $4 \
       AND id NOT IN (SELECT id FROM {ids:5} AS taken)) ORDER BY lease_until LIMIT 1000 \
     FOR UPDATE SKIP LOCKED)",
);

pub static LEASE: Statement = Statement::new(
    "UPDATE deliveries SET state = 'leased', lease_node = $2, lease_epoch = $3, lease_until = $4 \
     WHERE id IN (SELECT id FROM {ids:1} AS wanted) AND state = 'waiting'",
);

/// Held, and their time is over.
pub static HELD_PAST: Statement = Statement::new(
    "SELECT id FROM deliveries WHERE state = 'held' AND expires_at <= $1 \
     ORDER BY expires_at, id LIMIT $2",
);

pub static DELIVERIES_BY_ID: Statement = Statement::new(
    "SELECT d.id, d.state, d.message, d.site, d.tries, d.due_at, d.recipient, d.notify, \
     d.original_recipient, d.delay_reported, d.text \
     FROM {ids:1} AS wanted JOIN deliveries d ON d.id = wanted.id",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &FLOWS,
    &BACKLOGS,
    &DUE_IN_FLOW,
    &NEXT_IN_FLOW,
    &NEXT_LEASE_END,
    &FREE_STRAYS,
    &LEASE,
    &HELD_PAST,
    &DELIVERIES_BY_ID,
];

struct Flow {
    organization: i64,
    stream: i64,
    rank: i64,
    due_at: Timestamp,
}

impl Flow {
    fn read(row: &Row) -> Result<Flow> {
        Ok(Flow {
            organization: row.int(0)?,
            stream: row.int(1)?,
            rank: row.int(2)?,
            due_at: Timestamp(row.int(3)?),
        })
    }

    fn values(&self, site: SiteId) -> Vec<Value> {
        vec![site.0.into(), self.organization.into(), self.stream.into(), self.rank.into()]
    }
}

/// Rank, due time, id: the order in which deliveries are claimed.
type Candidate = (i64, i64, i64);

impl Store {
    /// Waiting deliveries of a site that are due, smallest rank and earliest due time first,
    /// without those in `taken`. On PostgreSQL they are leased to this node, and `taken` must name
    /// all that this node holds of the site: what else it had leased is claimed anew.
    pub async fn claim(
        &self,
        site: SiteId,
        now: Timestamp,
        limit: usize,
        taken: &[DeliveryId],
    ) -> Result<Vec<ClaimedDelivery>> {
        let wanted = Wanted { site, now, limit, taken: self.left_out().with(taken) };
        let ids = match self.database() {
            Database::Sqlite { .. } => self.due(&wanted).await?,
            Database::Postgres { .. } => {
                within(CLAIM_DEADLINE, "claiming", self.lease_due(&wanted)).await?
            }
        };
        let read = self.deliveries_in(&ids).await?;
        self.set_aside(&read.unreadable).await;
        let is_claimable = |state: State| matches!(state, State::Waiting | State::Leased);
        let mut claimed: Vec<ClaimedDelivery> = read
            .deliveries
            .into_iter()
            .filter(|(state, _)| is_claimable(*state))
            .map(|(_, delivery)| delivery)
            .collect();
        claimed.sort_by_key(|delivery| (delivery.message.rank, delivery.due_at, delivery.id));
        Ok(claimed)
    }

    async fn due(&self, wanted: &Wanted) -> Result<Vec<i64>> {
        let flows = self.flows(wanted.site).await?;
        let mut candidates: Vec<Candidate> = Vec::new();
        for (position, flow) in flows.iter().enumerate() {
            if flow.due_at <= wanted.now {
                let values = wanted.values(flow)?;
                add_candidates(&mut candidates, flow, self.read(&DUE_IN_FLOW, values).await?)?;
            }
            if wanted.is_met(&candidates, flow, flows.get(position + 1)) {
                break;
            }
        }
        Ok(first_of(candidates, wanted.limit))
    }

    /// As `due`, in one transaction that leases what it finds. Rows that another node is claiming
    /// at this moment are skipped, not waited for.
    async fn lease_due(&self, wanted: &Wanted) -> Result<Vec<i64>> {
        let Database::Postgres { pool, .. } = self.database() else { return Ok(Vec::new()) };
        let mut transaction = pool.begin().await.map_err(unreachable)?;
        let values = vec![
            wanted.site.0.into(),
            wanted.now.0.into(),
            self.node().into(),
            self.epoch().into(),
            wanted.taken.as_str().into(),
        ];
        postgres_execute(&mut transaction, &FREE_STRAYS, values).await?;
        let site = vec![wanted.site.0.into()];
        let rows = postgres_fetch(&mut transaction, &FLOWS, site).await?;
        let flows = collect(rows, Flow::read)?;
        let mut candidates: Vec<Candidate> = Vec::new();
        for (position, flow) in flows.iter().enumerate() {
            if flow.due_at <= wanted.now {
                let values = wanted.values(flow)?;
                let rows = postgres_fetch(&mut transaction, &DUE_IN_FLOW, values).await?;
                add_candidates(&mut candidates, flow, rows)?;
            }
            if wanted.is_met(&candidates, flow, flows.get(position + 1)) {
                break;
            }
        }
        let ids = first_of(candidates, wanted.limit);
        if !ids.is_empty() {
            let until = self.now() + LEASE_DURATION;
            let values = vec![
                json_ids(ids.iter().copied()).into(),
                self.node().into(),
                self.epoch().into(),
                until.0.into(),
            ];
            postgres_execute(&mut transaction, &LEASE, values).await?;
        }
        transaction.commit().await?;
        Ok(ids)
    }

    async fn flows(&self, site: SiteId) -> Result<Vec<Flow>> {
        collect(self.read(&FLOWS, vec![site.0.into()]).await?, Flow::read)
    }

    /// Every site with waiting mail, and when its first is due. By index, not by scan.
    pub async fn backlogs(&self) -> Result<Vec<Backlog>> {
        collect(self.read(&BACKLOGS, vec![]).await?, |row| {
            Ok(Backlog { site: SiteId(row.int(0)?), due_at: Timestamp(row.int(1)?) })
        })
    }

    /// The earliest due time of a site's waiting mail, without those in `taken`.
    pub async fn next_due(&self, site: SiteId, taken: &[DeliveryId]) -> Result<Option<Timestamp>> {
        let taken = self.left_out().with(taken);
        let mut earliest: Option<Timestamp> = None;
        let mut consider = |rows: Vec<Row>| -> Result<()> {
            let due = rows.first().map(|row| row.int(0)).transpose()?.map(Timestamp);
            earliest = earliest.into_iter().chain(due).min();
            Ok(())
        };
        for flow in self.flows(site).await? {
            let mut values = flow.values(site);
            values.push(taken.as_str().into());
            consider(self.read(&NEXT_IN_FLOW, values).await?)?;
        }
        let values = vec![site.0.into(), taken.as_str().into()];
        consider(self.read(&NEXT_LEASE_END, values).await?)?;
        Ok(earliest)
    }

    /// Gives back what this node's earlier lives had leased (PostgreSQL; nothing on SQLite).
    pub async fn free_own_leases(&self) -> Result<u64> {
        Ok(self.change(Change::FreeOwnLeases).await?.unsigned_abs())
    }

    /// Deliveries by id, whatever their state; for replaying the outcome log.
    pub async fn deliveries_by_id(
        &self,
        ids: &[DeliveryId],
    ) -> Result<Vec<(State, ClaimedDelivery)>> {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let read = self.deliveries_in(&ids).await?;
        for row in &read.unreadable {
            let (delivery, reason) = (row.delivery, &row.why);
            tracing::error!(%delivery, reason, "a delivery cannot be read");
        }
        Ok(read.deliveries)
    }

    /// At most so many held deliveries whose time is over. One that cannot be read is passed over:
    /// it is a person's.
    pub async fn held_past(&self, now: Timestamp, limit: usize) -> Result<Vec<ClaimedDelivery>> {
        let limit = i64::try_from(limit).map_err(StoreError::broken_row)?;
        let rows = self.read(&HELD_PAST, vec![now.0.into(), limit.into()]).await?;
        let read = self.deliveries_in(&collect(rows, |row| row.int(0))?).await?;
        let is_held = |(state, delivery)| (state == State::Held).then_some(delivery);
        Ok(read.deliveries.into_iter().filter_map(is_held).collect())
    }

    /// A row that cannot be read harms no other.
    pub(super) async fn deliveries_in(&self, ids: &[i64]) -> Result<ReadDeliveries> {
        let mut read = ReadDeliveries::default();
        if ids.is_empty() {
            return Ok(read);
        }
        let values = vec![json_ids(ids.iter().copied()).into()];
        let rows = self.read(&DELIVERIES_BY_ID, values).await?;
        let mut message_ids = Vec::with_capacity(rows.len());
        for row in &rows {
            message_ids.push(row.int(2)?);
        }
        message_ids.sort_unstable();
        message_ids.dedup();
        let messages = self.messages_by_id(&message_ids).await?;
        read.deliveries.reserve(rows.len());
        for row in &rows {
            match delivery(row, &messages) {
                Ok(delivery) => read.deliveries.push(delivery),
                Err(error) => read.unreadable.push(Unreadable {
                    delivery: DeliveryId(row.int(0)?),
                    why: error.to_string(),
                    tries: u32::try_from(row.int(4)?).ok(),
                }),
            }
        }
        Ok(read)
    }

    async fn messages_by_id(&self, ids: &[i64]) -> Result<BTreeMap<i64, Arc<MessageRow>>> {
        let values = vec![json_ids(ids.iter().copied()).into()];
        let mut messages = BTreeMap::new();
        for row in self.read(&MESSAGES_BY_ID, values).await? {
            match messages::message(&row) {
                Ok(message) => messages.insert(message.id.0, Arc::new(message)),
                Err(error) => {
                    let message = row.int(0)?;
                    tracing::error!(message, reason = %error, "a message cannot be read");
                    continue;
                }
            };
        }
        Ok(messages)
    }
}

#[derive(Default)]
pub(super) struct ReadDeliveries {
    pub deliveries: Vec<(State, ClaimedDelivery)>,
    pub unreadable: Vec<Unreadable>,
}

struct Wanted {
    site: SiteId,
    now: Timestamp,
    limit: usize,
    taken: String,
}

impl Wanted {
    fn values(&self, flow: &Flow) -> Result<Vec<Value>> {
        let mut values = flow.values(self.site);
        let limit = i64::try_from(self.limit).map_err(StoreError::broken_row)?;
        values.extend([self.now.0.into(), self.taken.as_str().into(), limit.into()]);
        Ok(values)
    }

    /// Flows come by rank: with enough of the smaller ranks, the larger need not be asked.
    fn is_met(&self, candidates: &[Candidate], flow: &Flow, next: Option<&Flow>) -> bool {
        candidates.len() >= self.limit && next.is_none_or(|next| next.rank > flow.rank)
    }
}

fn add_candidates(candidates: &mut Vec<Candidate>, flow: &Flow, rows: Vec<Row>) -> Result<()> {
    for row in rows {
        candidates.push((flow.rank, row.int(1)?, row.int(0)?));
    }
    Ok(())
}

fn first_of(mut candidates: Vec<Candidate>, limit: usize) -> Vec<i64> {
    candidates.sort_unstable();
    candidates.into_iter().take(limit).map(|(_, _, id)| id).collect()
}

fn delivery(
    row: &Row,
    messages: &BTreeMap<i64, Arc<MessageRow>>,
) -> Result<(State, ClaimedDelivery)> {
    let message = messages.get(&row.int(2)?);
    let message = message.ok_or_else(|| StoreError::broken_row("its message is missing"))?;
    let recipient = Recipient {
        address: row.parsed(6)?,
        notify: Notify::from_bits(row.int(7)?),
        original: row.maybe_text(8)?,
    };
    let delivery = ClaimedDelivery {
        id: DeliveryId(row.int(0)?),
        recipient,
        site: SiteId(row.int(3)?),
        tries: u32::try_from(row.int(4)?).map_err(StoreError::broken_row)?,
        due_at: Timestamp(row.int(5)?),
        delay_reported: row.flag(9)?,
        last_text: row.text(10)?,
        message: Arc::clone(message),
    };
    Ok((row.parsed(1)?, delivery))
}
