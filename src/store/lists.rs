//! Lists, counts and bulk changes by filter.
//!
//! Owns:       the compilation of a `DeliveryFilter`.
//! Promises:   what is open (waiting, leased, held) is found completely, by the partial indexes;
//!             of what is final a query looks at the newest million rows and no further.
//! Knows not:  who may see what: the caller sets the organization.

use crate::model::*;

use super::changes::RowWrite;
use super::database::{Row, Value};
use super::dialect::{Statement, json_ids};
use super::error::{Result, StoreError};
use super::handle::{Control, SteerRows};
use super::jobs::{DeliveryFilter, Steer, SteerAction};
use super::narrow::escaped;
use super::rows::DeliveryView;
use super::steering::REROUTE;
use super::{Store, collect};

/// Rows that one transaction steers.
const STEER_ROWS_MAX: usize = 500;
/// No pool has this id.
const NO_POOL: i64 = -1;
const RANGE_MAX: i64 = i64::MAX;
/// Ids of a walk, of its first part and of any.
const WALK_IDS_MAX: i64 = 2_000_000;
const WALK_IDS_FIRST: i64 = 2_000;
const WALK_IDS_RANGE_MAX: i64 = 500_000;

/// The filter's parameters: $1..$2 ids, $3 organization, $4 message, $5 state, $6 domain,
/// $7 sender, $8 pattern of the sender's domain.
macro_rules! filtered {
    ($columns:literal, $from:literal, $tail:literal) => {
        Statement::new(concat!(
            "SELECT ",
            $columns,
            " FROM (SELECT * FROM deliveries WHERE ",
            $from,
            ") AS d JOIN messages m ON m.id = d.message \
             WHERE (d.organization = $3 OR $3 IS NULL) AND (d.message = $4 OR $4 IS NULL) \
             AND (d.state = $5 OR $5 IS NULL) AND (d.recipient_domain = $6 OR $6 IS NULL) \
             AND (m.sender = $7 OR $7 IS NULL) \
             AND (m.sender LIKE $8 ESCAPE '!' OR $8 IS NULL) ",
            $tail
        ))
    };
}

/// The same query on each of four sources of rows. `id + 0` is no key, so that SQLite takes the
/// partial index of the state and sorts, instead of walking the whole table by id.
macro_rules! by_source {
    ($columns:literal, $tail:literal) => {
        BySource {
            any: filtered!($columns, "id BETWEEN $1 AND $2 ORDER BY id DESC LIMIT 1000000", $tail),
            waiting: filtered!($columns, "state = 'waiting' AND id + 0 BETWEEN $1 AND $2", $tail),
            leased: filtered!($columns, "state = 'leased' AND id + 0 BETWEEN $1 AND $2", $tail),
            held: filtered!($columns, "state = 'held' AND id + 0 BETWEEN $1 AND $2", $tail),
        }
    };
}

pub struct BySource {
    any: Statement,
    waiting: Statement,
    leased: Statement,
    held: Statement,
}

impl BySource {
    #[cfg(test)]
    pub const fn all(&'static self) -> [&'static Statement; 4] {
        [&self.any, &self.waiting, &self.leased, &self.held]
    }

    /// No index leads to what is asked for: the newest are looked at.
    fn is_walk(&self, filter: &DeliveryFilter) -> bool {
        let is_narrow = filter.message.is_some() || filter.delivery.is_some();
        !is_narrow && std::ptr::eq(self.source(filter), &self.any)
    }

    /// A message's deliveries are few and found by id; else an open state has an index of its own.
    fn source(&self, filter: &DeliveryFilter) -> &Statement {
        let is_narrow = filter.message.is_some() || filter.delivery.is_some();
        match filter.state {
            Some(State::Waiting) if !is_narrow => &self.waiting,
            Some(State::Leased) if !is_narrow => &self.leased,
            Some(State::Held) if !is_narrow => &self.held,
            _ => &self.any,
        }
    }
}

pub static COUNT: BySource = by_source!("COUNT(*)", "");

pub static LIST: BySource = by_source!(
    "d.id, d.message, d.organization, m.sender, d.recipient, d.state, d.tries, m.accepted_at, \
     d.due_at, d.expires_at, d.text, d.blame, m.subject, m.body_length, d.site",
    "ORDER BY d.id + 0 DESC LIMIT $9"
);

/// Due later than $10, so that what was made due already is not found again and again; at a site
/// from $11 on, since what is captured is never released; not by pool $12, where it is sent to.
pub static TO_STEER: BySource = by_source!(
    "d.id",
    "AND d.due_at > $10 AND d.site >= $11 AND COALESCE(d.pool, 0) <> $12 LIMIT $9"
);

/// Of these, what waits until $1 and no other moment.
pub static WAITING_UNTIL: Statement = Statement::new(
    "SELECT d.id FROM {ids:2} AS w CROSS JOIN deliveries AS d \
     WHERE d.id = w.id AND d.state = 'waiting' AND d.due_at = $1",
);
/// The newest of a campaign's that wait.
pub static WAITING_OF_CAMPAIGN: Statement = Statement::new(
    "SELECT id FROM deliveries WHERE campaign = $1 AND state = 'waiting' ORDER BY id DESC LIMIT $2",
);

pub static DELIVERIES_OF_MESSAGE: Statement =
    Statement::new("SELECT delivery_first, delivery_last FROM messages WHERE id = $1");

pub static LAST_DELIVERY: Statement = Statement::new("SELECT COALESCE(MAX(id), 0) FROM deliveries");

impl Store {
    /// Of final states the newest million is counted, so the answer may be a lower bound there.
    pub async fn count_deliveries(&self, filter: &DeliveryFilter) -> Result<u64> {
        let Some(values) = self.filter_values(filter).await? else { return Ok(0) };
        let rows = self.read(COUNT.source(filter), values).await?;
        rows.first().map_or(Ok(0), |row| row.unsigned(0))
    }

    /// Newest first, at most `limit`. Where no index leads, the newest two million ids are looked
    /// at, in ranges that grow: most pages are full after the first.
    pub async fn list_deliveries(
        &self,
        filter: &DeliveryFilter,
        limit: u32,
    ) -> Result<Vec<DeliveryView>> {
        let Some(values) = self.filter_values(filter).await? else { return Ok(Vec::new()) };
        if !LIST.is_walk(filter) {
            return self.listed(filter, values, limit).await;
        }
        let mut high = match filter.before {
            Some(before) => before.0.saturating_sub(1),
            None => self.last_delivery().await?,
        };
        let (lowest, mut range) = ((high.saturating_sub(WALK_IDS_MAX)).max(0), WALK_IDS_FIRST);
        let mut views = Vec::new();
        while high > lowest && views.len() < limit as usize {
            let low = (high - range + 1).max(0);
            let mut values = values.clone();
            (values[0], values[1]) = (low.into(), high.into());
            let wanted = limit - u32::try_from(views.len()).unwrap_or(limit);
            views.extend(self.listed(filter, values, wanted).await?);
            high = low - 1;
            range = (range * 4).min(WALK_IDS_RANGE_MAX);
        }
        Ok(views)
    }

    async fn last_delivery(&self) -> Result<i64> {
        let rows = self.read(&LAST_DELIVERY, vec![]).await?;
        rows.first().map_or(Ok(0), |row| row.int(0))
    }

    async fn listed(
        &self,
        filter: &DeliveryFilter,
        mut values: Vec<Value>,
        limit: u32,
    ) -> Result<Vec<DeliveryView>> {
        values.push(i64::from(limit).into());
        let mut views = Vec::new();
        for row in self.read(LIST.source(filter), values).await? {
            match view(&row) {
                Ok(view) => views.push(view),
                Err(error) => {
                    let delivery = row.int(0)?;
                    tracing::error!(delivery, reason = %error, "a delivery cannot be listed");
                }
            }
        }
        Ok(views)
    }

    /// The newest that wait, at most `limit`.
    pub async fn waiting_of_campaign(
        &self,
        campaign: CampaignId,
        limit: u32,
    ) -> Result<Vec<DeliveryId>> {
        let values = vec![campaign.0.into(), i64::from(limit).into()];
        let rows = self.read(&WAITING_OF_CAMPAIGN, values).await?;
        collect(rows, |row| Ok(DeliveryId(row.int(0)?)))
    }

    /// Those of the deliveries that wait until `due` are due at `at`. Returns how many.
    pub async fn hasten(
        &self,
        deliveries: &[DeliveryId],
        due: Timestamp,
        at: Timestamp,
    ) -> Result<u64> {
        let mut moved = 0;
        for part in deliveries.chunks(STEER_ROWS_MAX) {
            let ids = json_ids(part.iter().map(|id| id.0));
            let found = self.read(&WAITING_UNTIL, vec![due.0.into(), ids.into()]).await?;
            let found = collect(found, |row| Ok(DeliveryId(row.int(0)?)))?;
            if !found.is_empty() {
                moved += self.steer_these(found, SteerAction::Retry, "", at).await?;
            }
        }
        Ok(moved)
    }

    /// Returns the rows changed; call again while it equals the limit.
    ///
    /// The rows are looked for by a reader and changed in small transactions, where each is looked
    /// at again. On PostgreSQL what is under way is not held; cancelling it is allowed, and a
    /// `250` that comes in spite of it still counts.
    pub async fn steer(&self, job: Steer) -> Result<u64> {
        let states: &[State] = match job.action {
            SteerAction::Hold | SteerAction::Retry => &[State::Waiting],
            SteerAction::Release => &[State::Held],
            SteerAction::Cancel => &[State::Waiting, State::Held, State::Leased],
            SteerAction::Reroute(_) => &[State::Waiting, State::Held, State::Leased],
        };
        let mut changed = 0;
        for state in states {
            if job.filter.state.is_some_and(|wanted| wanted != *state) {
                continue;
            }
            changed += self.steer_state(&job, *state, u64::from(job.limit) - changed).await?;
        }
        Ok(changed)
    }

    /// Repeats while rows that were found had moved on before they were changed.
    async fn steer_state(&self, job: &Steer, state: State, limit: u64) -> Result<u64> {
        let filter = DeliveryFilter { state: Some(state), ..job.filter.clone() };
        let due_after = match job.action {
            SteerAction::Retry => job.at.0,
            _ => i64::MIN,
        };
        let site_first = match job.action {
            SteerAction::Release => 0,
            _ => SiteId::CAPTURED.0,
        };
        let pool_not = match job.action {
            SteerAction::Reroute(pool) => pool.map_or(0, |pool| pool.0),
            _ => NO_POOL,
        };
        let mut changed = 0;
        while changed < limit {
            let Some(mut values) = self.filter_values(&filter).await? else { break };
            let wanted = i64::try_from(limit - changed).unwrap_or(RANGE_MAX);
            values.extend([wanted, due_after, site_first, pool_not].map(Value::from));
            let found = self.read(TO_STEER.source(&filter), values).await?;
            let found = collect(found, |row| Ok(DeliveryId(row.int(0)?)))?;
            let is_last = (found.len() as u64) < limit - changed;
            let mut moved = 0;
            for part in found.chunks(STEER_ROWS_MAX) {
                moved += self.steer_rows(job, part).await?;
            }
            changed += moved;
            if is_last || moved == 0 {
                break;
            }
        }
        Ok(changed)
    }

    async fn steer_rows(&self, job: &Steer, deliveries: &[DeliveryId]) -> Result<u64> {
        if let SteerAction::Reroute(pool) = job.action {
            let ids = json_ids(deliveries.iter().map(|id| id.0));
            let values = vec![ids.into(), pool.map(|pool| pool.0).into()];
            let changed = self.write(vec![RowWrite::new(&REROUTE, values)]).await?;
            return Ok(changed.unsigned_abs());
        }
        let rows = SteerRows {
            deliveries: deliveries.to_vec(),
            action: job.action,
            reason: job.reason.clone(),
            at: job.at,
            due: job.due,
            line: self.line(),
        };
        self.ask(&self.writer()?.controls, |reply| Control::Steer(rows, reply)).await
    }

    /// None when the filter names a message that there is not.
    async fn filter_values(&self, filter: &DeliveryFilter) -> Result<Option<Vec<Value>>> {
        let (mut first, mut last) = (0, RANGE_MAX);
        if let Some(id) = filter.message {
            let rows = self.read(&DELIVERIES_OF_MESSAGE, vec![id.0.into()]).await?;
            let Some(row) = rows.first() else { return Ok(None) };
            (first, last) = (row.int(0)?, row.int(1)?);
        }
        if let Some(id) = filter.delivery {
            (first, last) = (first.max(id.0), last.min(id.0));
        }
        if let Some(id) = filter.before {
            last = last.min(id.0.saturating_sub(1));
        }
        let (sender, sender_domain) = match &filter.sender {
            Some(text) if text.contains('@') => (Some(text.clone()), None),
            Some(text) => (None, Some(format!("%@{}", escaped(text)))),
            None => (None, None),
        };
        Ok(Some(vec![
            first.into(),
            last.into(),
            filter.organization.map(|id| id.0).into(),
            filter.message.map(|id| id.0).into(),
            filter.state.map(|state| state.word().to_owned()).into(),
            filter.domain.as_ref().map(|domain| domain.as_str().to_owned()).into(),
            sender.into(),
            sender_domain.into(),
        ]))
    }
}

fn view(row: &Row) -> Result<DeliveryView> {
    Ok(DeliveryView {
        id: DeliveryId(row.int(0)?),
        message: MessageId(row.int(1)?),
        organization: OrganizationId(row.int(2)?),
        sender: ReversePath::parse(&row.text(3)?).map_err(StoreError::broken_row)?,
        recipient: row.parsed(4)?,
        state: row.parsed(5)?,
        tries: u32::try_from(row.int(6)?).map_err(StoreError::broken_row)?,
        accepted_at: Timestamp(row.int(7)?),
        due_at: Timestamp(row.int(8)?),
        expires_at: Timestamp(row.int(9)?),
        text: row.text(10)?,
        blame: row.maybe_parsed(11)?,
        subject: row.text(12)?,
        bytes: row.unsigned(13)?,
        site: SiteId(row.int(14)?),
    })
}
