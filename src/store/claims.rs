//! What is due where: the queue's reads.
//!
//! Owns:       the walks over the index of waiting deliveries, and the leases on PostgreSQL.
//! Promises:   each read walks the index by its flows (organization, stream, rank of a site) and
//!             costs by the number of flows and of rows returned, never by the rows that wait.
//! Knows not:  fairness, time; `now` comes from the caller.

mod turns; // whose rows a claim takes

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
use super::steering::not_held;
use super::unreadable::Unreadable;
use super::{Store, collect};
use turns::Candidates;

const CLAIM_DEADLINE: std::time::Duration = std::time::Duration::from_secs(6);

/// The first row of the flow behind one, by one descent of the index for each key: a comparison of
/// whole rows would walk all that waits in the flow, since SQLite begins it at the equal ones.
macro_rules! next_flow {
    ($of_site:literal, $more:literal) => {
        concat!(
            "COALESCE((SELECT n.id FROM deliveries n WHERE n.state = 'waiting' AND ",
            $of_site,
            " AND n.organization = flow.organization AND n.stream = flow.stream \
               AND n.rank > flow.rank ORDER BY n.rank, n.due_at, n.id LIMIT 1), \
             (SELECT n.id FROM deliveries n WHERE n.state = 'waiting' AND ",
            $of_site,
            " AND n.organization = flow.organization AND n.stream > flow.stream \
               ORDER BY n.stream, n.rank, n.due_at, n.id LIMIT 1), \
             (SELECT n.id FROM deliveries n WHERE n.state = 'waiting' AND ",
            $of_site,
            " AND n.organization > flow.organization \
               ORDER BY n.organization, n.stream, n.rank, n.due_at, n.id LIMIT 1)",
            $more,
            ")"
        )
    };
}

/// Each flow of site $1 with its first due time, but for those of suspended organizations and held
/// streams.
pub static FLOWS: Statement = Statement::new(concat!(
    "WITH RECURSIVE flow (organization, stream, rank, due_at) AS (\
       SELECT * FROM (SELECT organization, stream, rank, due_at FROM deliveries \
         WHERE state = 'waiting' AND site = $1 \
         ORDER BY organization, stream, rank, due_at, id LIMIT 1) AS first \
       UNION ALL \
       SELECT d.organization, d.stream, d.rank, d.due_at \
       FROM flow JOIN deliveries d ON d.id = ",
    next_flow!("n.site = $1", ""),
    ") SELECT organization, stream, rank, due_at FROM flow \
     WHERE organization NOT IN (SELECT id FROM organizations WHERE suspended_at IS NOT NULL) \
     AND stream NOT IN (SELECT id FROM streams WHERE held_at IS NOT NULL) \
     ORDER BY rank, due_at LIMIT 10000",
));

/// As `FLOWS`, over all sites; and what is leased is due when its lease ends.
pub static BACKLOGS: Statement = Statement::new(concat!(
    "WITH RECURSIVE flow (site, organization, stream, rank, due_at) AS (\
       SELECT * FROM (SELECT site, organization, stream, rank, due_at FROM deliveries \
         WHERE state = 'waiting' \
         ORDER BY site, organization, stream, rank, due_at, id LIMIT 1) AS first \
       UNION ALL \
       SELECT d.site, d.organization, d.stream, d.rank, d.due_at \
       FROM flow JOIN deliveries d ON d.id = ",
    next_flow!(
        "n.site = flow.site",
        ", (SELECT n.id FROM deliveries n WHERE n.state = 'waiting' AND n.site > flow.site \
            ORDER BY n.site, n.organization, n.stream, n.rank, n.due_at, n.id LIMIT 1)"
    ),
    ") SELECT site, MIN(due_at) FROM (\
       SELECT site, due_at FROM flow WHERE organization NOT IN \
         (SELECT id FROM organizations WHERE suspended_at IS NOT NULL) \
         AND stream NOT IN (SELECT id FROM streams WHERE held_at IS NOT NULL) \
       UNION ALL SELECT site, MIN(lease_until) AS due_at FROM deliveries \
         WHERE state = 'leased' GROUP BY site) AS backlog \
     GROUP BY site ORDER BY 1",
));

/// The first of one flow that are due, but for what a rule holds; what is over ends nevertheless.
macro_rules! due_in_flow {
    ($end:literal) => {
        concat!(
            "SELECT id, due_at FROM deliveries WHERE state = 'waiting' AND site = $1 AND \
             organization = $2 AND stream = $3 AND rank = $4 AND due_at <= $5 AND \
             id NOT IN (SELECT id FROM {ids:6} AS taken) AND (expires_at <= $5 OR ",
            not_held!(),
            ") ORDER BY due_at, id LIMIT $7",
            $end
        )
    };
}
pub static DUE_IN_FLOW: Statement =
    Statement::pair(due_in_flow!(""), due_in_flow!(" FOR UPDATE SKIP LOCKED"));

/// Of the first of one flow that are due, those with the highest score: so many are looked at,
/// whatever waits behind them.
macro_rules! engaged_first {
    () => {
        concat!(
            "(SELECT id, due_at, score FROM deliveries WHERE state = 'waiting' AND site = $1 \
             AND organization = $2 AND stream = $3 AND rank = $4 AND due_at <= $5 \
             AND id NOT IN (SELECT id FROM {ids:6} AS taken) AND (expires_at <= $5 OR ",
            not_held!(),
            ") ORDER BY due_at, id LIMIT 1000) AS first ORDER BY score DESC, due_at, id LIMIT $7"
        )
    };
}
pub static ENGAGED_IN_FLOW: Statement = Statement::pair(
    concat!("SELECT id, due_at FROM ", engaged_first!()),
    concat!(
        "SELECT id, due_at FROM deliveries WHERE state = 'waiting' AND id IN (SELECT id FROM ",
        engaged_first!(),
        ") ORDER BY score DESC, due_at, id FOR UPDATE SKIP LOCKED"
    ),
);

pub static NEXT_IN_FLOW: Statement = Statement::new(concat!(
    "SELECT due_at FROM deliveries WHERE state = 'waiting' AND site = $1 AND organization = $2 \
     AND stream = $3 AND rank = $4 AND id NOT IN (SELECT id FROM {ids:5} AS taken) AND ",
    not_held!(),
    " ORDER BY due_at, id LIMIT 1"
));

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
     d.original_recipient, d.delay_reported, d.text, d.campaign, d.pool, d.score \
     FROM {ids:1} AS wanted JOIN deliveries d ON d.id = wanted.id",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &FLOWS,
    &BACKLOGS,
    &DUE_IN_FLOW,
    &ENGAGED_IN_FLOW,
    &NEXT_IN_FLOW,
    &NEXT_LEASE_END,
    &FREE_STRAYS,
    &LEASE,
    &HELD_PAST,
    &DELIVERIES_BY_ID,
];

/// A flow of a site, and when its first mail is due.
struct FlowHead {
    flow: Flow,
    due_at: Timestamp,
}

impl FlowHead {
    fn read(row: &Row) -> Result<FlowHead> {
        let flow = Flow {
            organization: OrganizationId(row.int(0)?),
            stream: StreamId(row.int(1)?),
            rank: row.int(2)?,
        };
        Ok(FlowHead { flow, due_at: Timestamp(row.int(3)?) })
    }

    fn values(&self, site: SiteId) -> Vec<Value> {
        let Flow { organization, stream, rank } = self.flow;
        vec![site.0.into(), organization.0.into(), stream.0.into(), rank.into()]
    }
}

/// What a claim brought.
#[derive(Debug, Default)]
pub struct Claims {
    pub deliveries: Vec<ClaimedDelivery>,
    /// Flows of which more is due than was brought.
    pub behind: Vec<Flow>,
}

/// Of a site: which flows are passed over for now.
pub type Skip<'a> = &'a (dyn Fn(&Flow) -> bool + Sync);

/// Flows of one rank that one claim looks into; those whose mail is oldest come first.
const FLOWS_MAX: usize = 64;
impl Store {
    /// Waiting deliveries of a site that are due, without those in `taken` and the flows that are
    /// to be skipped: the flows of a rank in turns, transactional mail first but for a share of
    /// marketing; with `TakeOrder::Engaged` the most engaged of each flow's oldest. On PostgreSQL
    /// they are leased to this node, and `taken` must name all that this node holds of the site:
    /// what else it had leased is claimed anew.
    pub async fn claim(
        &self,
        site: SiteId,
        order: TakeOrder,
        (now, limit): (Timestamp, usize),
        taken: &[DeliveryId],
        skip: Skip<'_>,
    ) -> Result<Claims> {
        let taken = self.left_out().with(taken);
        let wanted = Wanted { site, order, now, limit, taken, skip };
        let (ids, behind) = match self.database() {
            Database::Sqlite { .. } => self.due(&wanted).await?,
            Database::Postgres { .. } => {
                within(CLAIM_DEADLINE, "claiming", self.lease_due(&wanted)).await?
            }
        };
        let read = self.deliveries_in(&ids).await?;
        self.set_aside(&read.unreadable).await;
        let is_claimable = |state: State| matches!(state, State::Waiting | State::Leased);
        let mut deliveries: Vec<ClaimedDelivery> = read
            .deliveries
            .into_iter()
            .filter(|(state, _)| is_claimable(*state))
            .map(|(_, delivery)| delivery)
            .collect();
        deliveries.sort_by_key(|delivery| (delivery.message.rank, delivery.due_at, delivery.id));
        Ok(Claims { deliveries, behind })
    }

    async fn due(&self, wanted: &Wanted<'_>) -> Result<(Vec<i64>, Vec<Flow>)> {
        let heads = wanted.heads(self.flows(wanted.site).await?);
        let limit = wanted.limit_of(&heads);
        let mut candidates = Candidates::default();
        for head in &heads.looked_into {
            let rows = self.read(wanted.statement(head), wanted.values(head, limit)?).await?;
            candidates.add(head.flow, rows, limit)?;
        }
        Ok(candidates.choose(wanted.limit, heads.left))
    }

    /// As `due`, in one transaction that leases what it finds. Rows that another node is claiming
    /// at this moment are skipped, not waited for.
    async fn lease_due(&self, wanted: &Wanted<'_>) -> Result<(Vec<i64>, Vec<Flow>)> {
        let Database::Postgres { pool, .. } = self.database() else {
            return Ok((Vec::new(), Vec::new()));
        };
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
        let heads = wanted.heads(collect(rows, FlowHead::read)?);
        let limit = wanted.limit_of(&heads);
        let mut candidates = Candidates::default();
        for head in &heads.looked_into {
            let values = wanted.values(head, limit)?;
            let rows = postgres_fetch(&mut transaction, wanted.statement(head), values).await?;
            candidates.add(head.flow, rows, limit)?;
        }
        let (ids, behind) = candidates.choose(wanted.limit, heads.left);
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
        Ok((ids, behind))
    }

    async fn flows(&self, site: SiteId) -> Result<Vec<FlowHead>> {
        collect(self.read(&FLOWS, vec![site.0.into()]).await?, FlowHead::read)
    }

    /// Every site with waiting mail, and when its first is due. By index, not by scan.
    pub async fn backlogs(&self) -> Result<Vec<Backlog>> {
        collect(self.read(&BACKLOGS, vec![]).await?, |row| {
            Ok(Backlog { site: SiteId(row.int(0)?), due_at: Timestamp(row.int(1)?) })
        })
    }

    /// The earliest due time of a site's waiting mail, without those in `taken` and the flows that
    /// are to be skipped.
    pub async fn next_due(
        &self,
        site: SiteId,
        taken: &[DeliveryId],
        skip: Skip<'_>,
    ) -> Result<Option<Timestamp>> {
        let taken = self.left_out().with(taken);
        let mut earliest: Option<Timestamp> = None;
        let mut consider = |rows: Vec<Row>| -> Result<()> {
            let due = rows.first().map(|row| row.int(0)).transpose()?.map(Timestamp);
            earliest = earliest.into_iter().chain(due).min();
            Ok(())
        };
        let heads = self.flows(site).await?;
        for head in heads.into_iter().filter(|head| !skip(&head.flow)) {
            let mut values = head.values(site);
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

struct Wanted<'a> {
    site: SiteId,
    order: TakeOrder,
    now: Timestamp,
    limit: usize,
    taken: String,
    skip: Skip<'a>,
}

/// The flows with due mail: those that this claim looks into, and those for the next one.
#[derive(Default)]
struct Heads {
    looked_into: Vec<FlowHead>,
    left: Vec<Flow>,
}

impl Wanted<'_> {
    fn statement(&self, head: &FlowHead) -> &'static Statement {
        match self.order {
            TakeOrder::Engaged if head.flow.class() == StreamClass::Marketing => &ENGAGED_IN_FLOW,
            _ => &DUE_IN_FLOW,
        }
    }

    fn values(&self, head: &FlowHead, limit: usize) -> Result<Vec<Value>> {
        let mut values = head.values(self.site);
        let limit = i64::try_from(limit).map_err(StoreError::broken_row)?;
        values.extend([self.now.0.into(), self.taken.as_str().into(), limit.into()]);
        Ok(values)
    }

    fn heads(&self, all: Vec<FlowHead>) -> Heads {
        let mut heads = Heads::default();
        let mut counts = [0usize; 2];
        for head in
            all.into_iter().filter(|head| head.due_at <= self.now && !(self.skip)(&head.flow))
        {
            let count = &mut counts[usize::from(head.flow.rank != 0)];
            *count += 1;
            if *count <= FLOWS_MAX {
                heads.looked_into.push(head);
            } else {
                heads.left.push(head.flow);
            }
        }
        heads
    }

    /// Rows of one flow: with many flows each has few.
    fn limit_of(&self, heads: &Heads) -> usize {
        let flows = heads.looked_into.len().max(1);
        (self.limit * 2 / flows).clamp(self.limit.min(4), self.limit.max(1))
    }
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
        campaign: row.maybe_int(11)?.map(CampaignId),
        pool: row.maybe_int(12)?.map(PoolId),
        site: SiteId(row.int(3)?),
        tries: u32::try_from(row.int(4)?).map_err(StoreError::broken_row)?,
        due_at: Timestamp(row.int(5)?),
        score: row.int(13)?,
        delay_reported: row.flag(9)?,
        last_text: row.text(10)?,
        message: Arc::clone(message),
    };
    Ok((row.parsed(1)?, delivery))
}
