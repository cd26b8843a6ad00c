//! Sources, pools, and the rules that choose among the pools.
//!
//! Owns:       the tables `sources`, `pools`, `pool_sources`, `pool_rules`.
//! Promises:   a source keeps its id and pools however often it is declared; a source's state and
//!             the event that tells of it are in one transaction; with a source go its warm-ups,
//!             its limits and what was decided of it, and with a pool its limits.
//! Knows not:  which source carries what; secrets.

use crate::model::*;

use super::changes::{Change, NewEvent, record};
use super::database::{Connection, Row, Value};
use super::dialect::Statement;
use super::error::{Result, StoreError};
use super::event_ids::Events;
use super::{Store, collect, ids};

/// Everything of this page at one moment.
#[derive(Clone, Debug, Default)]
pub struct SourceTables {
    pub sources: Vec<SourceRow>,
    pub health: Vec<(SourceId, SourceHealth)>,
    pub pools: Vec<PoolRow>,
    pub members: Vec<PoolMember>,
    /// In the order in which they are asked.
    pub rules: Vec<PoolRule>,
    /// Organizations with a pool of their own.
    pub own: Vec<(OrganizationId, PoolId)>,
}

/// A source to be put in, or in the place of the one of its name.
#[derive(Clone, Debug)]
pub struct SourceGiven {
    pub name: String,
    pub origin: SourceOrigin,
    pub ehlo: String,
    pub kind: SourceKind,
    /// Where it stands from the beginning.
    pub pool: Option<PoolId>,
}

#[derive(Clone, Debug)]
pub enum SourceChange {
    Put(Box<SourceGiven>),
    Remove(SourceId),
    SetState(SourceId, SourceState),
    Override(SourceId, bool),
    /// `event`: when the source may send from now on, or may no longer.
    Health {
        source: SourceId,
        health: SourceHealth,
        event: Option<EventKind>,
    },
    AddPool(String),
    RemovePool(PoolId),
    PutMember(PoolMember),
    RemoveMember(PoolId, SourceId),
    /// At a position that is free, or instead of the rule that stands there.
    PutRule {
        position: i64,
        pool: PoolId,
        matches: Box<PoolMatch>,
    },
    RemoveRule(PoolRuleId),
}

pub static SOURCES: Statement = Statement::new(
    "SELECT id, name, origin, state, ehlo, definition, is_overridden, health, created_at \
     FROM sources ORDER BY id",
);
pub static SOURCE_BY_NAME: Statement = Statement::new("SELECT id FROM sources WHERE name = $1");
pub static INSERT_SOURCE: Statement = Statement::new(
    "INSERT INTO sources (id, name, origin, state, ehlo, definition, created_at) \
     VALUES ($1, $2, $3, 'active', $4, $5, $6)",
);
pub static UPDATE_SOURCE: Statement = Statement::new(
    "UPDATE sources SET origin = $2, ehlo = $3, definition = $4, \
     health = CASE WHEN ehlo = $3 AND definition = $4 THEN health END WHERE id = $1",
);
pub static DELETE_SOURCE: Statement = Statement::new("DELETE FROM sources WHERE id = $1");
/// Of the scope $1, which goes, and of the warm-ups of the source $2.
pub static END_DECISIONS_OF: Statement = Statement::new(
    "UPDATE decisions SET state = 'past', pinned = 0 WHERE state = 'active' AND (\
     limit_id IN (SELECT id FROM limits WHERE from_scope = $1) OR \
     limit_id IN (SELECT limit_id FROM warmups WHERE source = $2))",
);
pub static DELETE_DAYS_OF_SOURCE: Statement = Statement::new(
    "DELETE FROM warmup_days WHERE warmup IN (SELECT id FROM warmups WHERE source = $1)",
);
pub static DELETE_WARMUPS_OF_SOURCE: Statement =
    Statement::new("DELETE FROM warmups WHERE source = $1");
pub static DELETE_LIMITS_FROM: Statement =
    Statement::new("DELETE FROM limits WHERE from_scope = $1");
pub static SET_SOURCE_STATE: Statement =
    Statement::new("UPDATE sources SET state = $2 WHERE id = $1");
pub static OVERRIDE_SOURCE: Statement =
    Statement::new("UPDATE sources SET is_overridden = $2 WHERE id = $1");
pub static SET_HEALTH: Statement = Statement::new("UPDATE sources SET health = $2 WHERE id = $1");

pub static POOLS: Statement = Statement::new("SELECT id, name, created_at FROM pools ORDER BY id");
pub static INSERT_POOL: Statement =
    Statement::new("INSERT INTO pools (id, name, created_at) VALUES ($1, $2, $3)");
pub static DELETE_POOL: Statement = Statement::new("DELETE FROM pools WHERE id = $1");

pub static MEMBERS: Statement = Statement::new(
    "SELECT pool, source, weight, share_max FROM pool_sources ORDER BY pool, source",
);
pub static PUT_MEMBER: Statement = Statement::new(
    "INSERT INTO pool_sources (pool, source, weight, share_max) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (pool, source) DO UPDATE SET weight = excluded.weight, \
     share_max = excluded.share_max",
);
pub static DELETE_MEMBER: Statement =
    Statement::new("DELETE FROM pool_sources WHERE pool = $1 AND source = $2");
pub static DELETE_MEMBERS_OF_SOURCE: Statement =
    Statement::new("DELETE FROM pool_sources WHERE source = $1");
pub static DELETE_MEMBERS_OF_POOL: Statement =
    Statement::new("DELETE FROM pool_sources WHERE pool = $1");

pub static RULES: Statement = Statement::new(
    "SELECT id, position, pool, organization, stream, sender, recipient_domain, operator, tag, \
     credential FROM pool_rules ORDER BY position",
);
pub static DELETE_RULE_AT: Statement = Statement::new("DELETE FROM pool_rules WHERE position = $1");
pub static INSERT_RULE: Statement = Statement::new(
    "INSERT INTO pool_rules (id, position, pool, organization, stream, sender, \
     recipient_domain, operator, tag, credential) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
);
pub static OWN_POOLS: Statement =
    Statement::new("SELECT id, pool FROM organizations WHERE pool IS NOT NULL ORDER BY id");
pub static FORGET_OWN_POOL: Statement =
    Statement::new("UPDATE organizations SET pool = NULL WHERE pool = $1");
pub static DELETE_RULE: Statement = Statement::new("DELETE FROM pool_rules WHERE id = $1");

/// The last attempts of a delivery, by the events of its message.
pub static LAST_ATTEMPT: Statement = Statement::new(
    "SELECT fields FROM events WHERE message = $1 AND delivery = $2 AND kind = 'deferred' \
     ORDER BY id DESC LIMIT 5",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &SOURCES,
    &SOURCE_BY_NAME,
    &INSERT_SOURCE,
    &UPDATE_SOURCE,
    &DELETE_SOURCE,
    &END_DECISIONS_OF,
    &DELETE_DAYS_OF_SOURCE,
    &DELETE_WARMUPS_OF_SOURCE,
    &DELETE_LIMITS_FROM,
    &SET_SOURCE_STATE,
    &OVERRIDE_SOURCE,
    &SET_HEALTH,
    &POOLS,
    &INSERT_POOL,
    &DELETE_POOL,
    &MEMBERS,
    &PUT_MEMBER,
    &DELETE_MEMBER,
    &DELETE_MEMBERS_OF_SOURCE,
    &DELETE_MEMBERS_OF_POOL,
    &RULES,
    &DELETE_RULE_AT,
    &INSERT_RULE,
    &DELETE_RULE,
    &OWN_POOLS,
    &FORGET_OWN_POOL,
    &LAST_ATTEMPT,
];

impl Store {
    pub async fn source_tables(&self) -> Result<SourceTables> {
        let mut tables = SourceTables::default();
        for row in self.read(&SOURCES, vec![]).await? {
            let source = source(&row)?;
            if let Some(health) = row.maybe_text(7)? {
                let health = serde_json::from_str(&health).map_err(StoreError::broken_row)?;
                tables.health.push((source.id, health));
            }
            tables.sources.push(source);
        }
        tables.pools = collect(self.read(&POOLS, vec![]).await?, |row| {
            let (id, name) = (PoolId(row.int(0)?), row.text(1)?);
            Ok(PoolRow { id, name, created_at: Timestamp(row.int(2)?) })
        })?;
        tables.members = collect(self.read(&MEMBERS, vec![]).await?, |row| {
            let small = |value: i64| u32::try_from(value).map_err(StoreError::broken_row);
            Ok(PoolMember {
                pool: PoolId(row.int(0)?),
                source: SourceId(row.int(1)?),
                weight: small(row.int(2)?)?,
                share_max: row.maybe_int(3)?.map(small).transpose()?,
            })
        })?;
        tables.rules = collect(self.read(&RULES, vec![]).await?, rule)?;
        tables.own = collect(self.read(&OWN_POOLS, vec![]).await?, |row| {
            Ok((OrganizationId(row.int(0)?), PoolId(row.int(1)?)))
        })?;
        Ok(tables)
    }

    /// An id where something was put in, else how many rows were changed.
    pub async fn change_sources(&self, change: SourceChange) -> Result<i64> {
        self.change(Change::Sources(change, self.now())).await
    }

    /// What the last attempt of a delivery told, if it was deferred; a wait without a source was
    /// none.
    pub async fn last_deferral_of(
        &self,
        message: MessageId,
        delivery: DeliveryId,
    ) -> Result<Option<serde_json::Value>> {
        let values = vec![message.0.into(), delivery.0.into()];
        for row in self.read(&LAST_ATTEMPT, values).await? {
            let fields: serde_json::Value =
                serde_json::from_str(&row.text(0)?).map_err(StoreError::broken_row)?;
            if fields.get("source").is_some() {
                return Ok(Some(fields));
            }
        }
        Ok(None)
    }
}

fn source(row: &Row) -> Result<SourceRow> {
    Ok(SourceRow {
        id: SourceId(row.int(0)?),
        name: row.text(1)?,
        origin: row.parsed(2)?,
        state: row.parsed(3)?,
        ehlo: row.text(4)?,
        kind: serde_json::from_str(&row.text(5)?).map_err(StoreError::broken_row)?,
        is_overridden: row.flag(6)?,
        created_at: Timestamp(row.int(8)?),
    })
}

fn rule(row: &Row) -> Result<PoolRule> {
    Ok(PoolRule {
        id: PoolRuleId(row.int(0)?),
        position: row.int(1)?,
        pool: PoolId(row.int(2)?),
        matches: PoolMatch {
            organization: row.maybe_int(3)?.map(OrganizationId),
            stream: row.maybe_int(4)?.map(StreamId),
            sender: row.maybe_text(5)?,
            recipient_domain: row.maybe_parsed(6)?,
            operator: row.maybe_int(7)?.map(OperatorId),
            tag: row.maybe_text(8)?,
            credential: row.maybe_int(9)?.map(CredentialId),
        },
    })
}

/// In the writer's transaction.
pub(super) async fn write(
    connection: &mut Connection,
    change: &SourceChange,
    now: Timestamp,
    events: &mut Events,
) -> Result<i64> {
    let (statement, values): (&Statement, Vec<Value>) = match change {
        SourceChange::Put(given) => return put(connection, given, now).await,
        SourceChange::Health { source, health, event } => {
            return set_health(connection, *source, health, *event, events).await;
        }
        SourceChange::AddPool(name) => {
            let id = ids::reserve(connection, "pool", 1).await?;
            let values = vec![id.into(), name.as_str().into(), now.0.into()];
            connection.execute(&INSERT_POOL, values).await?;
            return Ok(id);
        }
        SourceChange::PutRule { position, pool, matches } => {
            return put_rule(connection, *position, *pool, matches).await;
        }
        SourceChange::Remove(id) => {
            end_what_it_has(connection, *id).await?;
            connection.execute(&DELETE_MEMBERS_OF_SOURCE, vec![id.0.into()]).await?;
            (&DELETE_SOURCE, vec![id.0.into()])
        }
        SourceChange::RemovePool(id) => {
            let scope = FromScope::Pool(*id).to_string();
            connection.execute(&DELETE_LIMITS_FROM, vec![scope.into()]).await?;
            connection.execute(&DELETE_MEMBERS_OF_POOL, vec![id.0.into()]).await?;
            connection.execute(&FORGET_OWN_POOL, vec![id.0.into()]).await?;
            (&DELETE_POOL, vec![id.0.into()])
        }
        SourceChange::SetState(id, state) => {
            (&SET_SOURCE_STATE, vec![id.0.into(), state.word().into()])
        }
        SourceChange::Override(id, on) => {
            (&OVERRIDE_SOURCE, vec![id.0.into(), i64::from(*on).into()])
        }
        SourceChange::PutMember(one) => (
            &PUT_MEMBER,
            vec![
                one.pool.0.into(),
                one.source.0.into(),
                i64::from(one.weight).into(),
                one.share_max.map(i64::from).into(),
            ],
        ),
        SourceChange::RemoveMember(pool, source) => {
            (&DELETE_MEMBER, vec![pool.0.into(), source.0.into()])
        }
        SourceChange::RemoveRule(id) => (&DELETE_RULE, vec![id.0.into()]),
    };
    let changed = connection.execute(statement, values).await?;
    Ok(i64::try_from(changed).unwrap_or(i64::MAX))
}

/// Nothing that names a source outlives it: an id is not given twice, so nobody would ever meet it.
async fn end_what_it_has(connection: &mut Connection, source: SourceId) -> Result<()> {
    let scope = FromScope::Source(source).to_string();
    let both = vec![scope.as_str().into(), source.0.into()];
    connection.execute(&END_DECISIONS_OF, both).await?;
    connection.execute(&DELETE_DAYS_OF_SOURCE, vec![source.0.into()]).await?;
    connection.execute(&DELETE_WARMUPS_OF_SOURCE, vec![source.0.into()]).await?;
    connection.execute(&DELETE_LIMITS_FROM, vec![scope.into()]).await?;
    Ok(())
}

/// The source of this name as it is given now, its id and its pools kept.
async fn put(connection: &mut Connection, given: &SourceGiven, now: Timestamp) -> Result<i64> {
    let definition = serde_json::to_string(&given.kind).map_err(StoreError::broken_row)?;
    let origin: Value = given.origin.word().into();
    let known = connection.fetch(&SOURCE_BY_NAME, vec![given.name.as_str().into()]).await?;
    if let Some(row) = known.first() {
        let id = row.int(0)?;
        let values =
            vec![id.into(), origin, given.ehlo.as_str().into(), definition.as_str().into()];
        connection.execute(&UPDATE_SOURCE, values).await?;
        return Ok(id);
    }
    let id = ids::reserve(connection, "source", 1).await?;
    let values = vec![
        id.into(),
        given.name.as_str().into(),
        origin,
        given.ehlo.as_str().into(),
        definition.as_str().into(),
        now.0.into(),
    ];
    connection.execute(&INSERT_SOURCE, values).await?;
    if let Some(pool) = given.pool {
        let values = vec![pool.0.into(), id.into(), 1.into(), None::<i64>.into()];
        connection.execute(&PUT_MEMBER, values).await?;
    }
    Ok(id)
}

async fn set_health(
    connection: &mut Connection,
    source: SourceId,
    health: &SourceHealth,
    event: Option<EventKind>,
    events: &mut Events,
) -> Result<i64> {
    let json = serde_json::to_string(health).map_err(StoreError::broken_row)?;
    let changed = connection.execute(&SET_HEALTH, vec![source.0.into(), json.into()]).await?;
    if let Some(kind) = event.filter(|_| changed > 0) {
        let fields = serde_json::json!({ "source": source, "findings": health.findings });
        let (at, organization) = (health.checked_at, OrganizationId::NOBODY);
        record(connection, &NewEvent { at, kind, organization, fields }, events).await?;
    }
    Ok(i64::try_from(changed).unwrap_or(i64::MAX))
}

async fn put_rule(
    connection: &mut Connection,
    position: i64,
    pool: PoolId,
    matches: &PoolMatch,
) -> Result<i64> {
    connection.execute(&DELETE_RULE_AT, vec![position.into()]).await?;
    let id = ids::reserve(connection, "pool_rule", 1).await?;
    let values = vec![
        id.into(),
        position.into(),
        pool.0.into(),
        matches.organization.map(|id| id.0).into(),
        matches.stream.map(|id| id.0).into(),
        matches.sender.clone().into(),
        matches.recipient_domain.as_ref().map(|domain| domain.as_str().to_owned()).into(),
        matches.operator.map(|id| id.0).into(),
        matches.tag.clone().into(),
        matches.credential.map(|id| id.0).into(),
    ];
    connection.execute(&INSERT_RULE, values).await?;
    Ok(id)
}
