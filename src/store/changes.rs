//! The writer's rare jobs: one small transaction each.
//!
//! Owns:       writes to organizations' things, sites, segments, ids and leases.
//! Promises:   a change is whole or not at all; a name that is taken is a `Duplicate`.
//! Knows not:  mail under way; `plan` moves that.

use std::collections::BTreeMap;

use crate::model::*;

use super::audit::{AuditLine, Lines};
use super::automation_runs::{self, RunChange};
use super::automations::{self, AutomationChange};
use super::campaign_changes::{self as campaigns, CampaignChange};
use super::classification::{self, ClassificationChange};
use super::compaction::{self, BodyMove};
use super::contact_definitions::{self, ContactChange};
use super::database::{Connection, Value};
use super::dialect::Statement;
use super::erasure::{self, Erasure};
use super::error::{Result, StoreError};
use super::event_ids::Events;
use super::health::{self, HealthChange};
use super::ids;
use super::imports::{self, ImportChange};
use super::inbound_mails::{self, InboundMailRow};
use super::ledger::{BEGIN, COMMIT};
use super::limits::{self, LimitChange};
use super::operators::{self, OperatorWish};
use super::redaction::{self, Person};
use super::returns::{self, ReturnChange};
use super::routes::{self, RouteChange};
use super::rows::DkimKeyRow;
use super::sources::{self, SourceChange};
use super::suppressions::{self, SuppressionChange};
use super::tallies::{self, Tally, Tracked};
use super::templates::{self, TemplateChange};
use super::warmups;
use super::webhooks::{self, WebhookChange};

#[derive(Clone, Debug)]
pub enum Change {
    ReserveIds {
        name: &'static str,
        count: i64,
    },
    AddDomain {
        organization: OrganizationId,
        name: Domain,
        verified_at: Option<Timestamp>,
        at: Timestamp,
    },
    AddCredential {
        organization: OrganizationId,
        name: String,
        secret_hash: String,
        stream: StreamId,
        rules: String,
        at: Timestamp,
    },
    RevokeCredential {
        name: String,
        at: Timestamp,
    },
    AddDkimKey(DkimKeyRow),
    /// Made when there is none; the answer is its id in both cases.
    Site {
        key: String,
        operator: OperatorWish,
    },
    /// Each made when there is none of its name.
    Operators {
        names: Vec<String>,
    },
    RemoveSegment(SegmentId),
    Classification(ClassificationChange),
    Sources(SourceChange, Timestamp),
    Limits(LimitChange),
    MoveBodies(Vec<BodyMove>),
    Suppressions(SuppressionChange),
    Return(ReturnChange),
    InboundMail(Box<InboundMailRow>),
    Route(RouteChange),
    /// Those of this node's earlier lives.
    FreeOwnLeases,
    Contacts(ContactChange),
    Import(ImportChange),
    Template(TemplateChange),
    Learnt {
        learnt: Box<warmups::Learnt>,
        at: Timestamp,
    },
    ForgetSourceHours {
        before: Timestamp,
    },
    Health(Box<HealthChange>),
    Webhook(Box<WebhookChange>),
    Campaign(CampaignChange),
    Automation(Box<AutomationChange>),
    Runs(Box<RunChange>),
    Erase(Box<Erasure>),
    ErasePerson(Box<Person>),
    Tracked(Vec<Tracked>),
    /// What was counted up to which event, and what is to be counted as well.
    Tally(i64, Box<Tally>),
    Event(Box<NewEvent>),
    /// Statements that belong together.
    Rows(Vec<RowWrite>),
    /// With the event that tells of it, which is recorded when anything was changed.
    Told(Vec<RowWrite>, Box<NewEvent>),
    /// With its line of the audit log, which is written when anything was changed.
    Audited(Box<Change>, AuditLine, Timestamp),
    /// A line of the audit log for what is no row of ours.
    Line(AuditLine, Timestamp),
}

impl Change {
    /// What a person orders, and not what it takes on the way there: ids, names of sites, news.
    pub fn is_ordered(&self) -> bool {
        !matches!(
            self,
            Change::ReserveIds { .. }
                | Change::Site { .. }
                | Change::Operators { .. }
                | Change::Event(_)
                | Change::Line(..)
        )
    }
}

/// Something that happened, about no mail.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub at: Timestamp,
    pub kind: EventKind,
    pub organization: OrganizationId,
    /// A JSON object.
    pub fields: serde_json::Value,
}

/// One statement with its values.
#[derive(Clone, Debug)]
pub struct RowWrite {
    statement: &'static Statement,
    values: Vec<Value>,
}

impl RowWrite {
    pub fn new(statement: &'static Statement, values: Vec<Value>) -> RowWrite {
        RowWrite { statement, values }
    }
}

pub static INSERT_DOMAIN: Statement = Statement::new(
    "INSERT INTO domains (id, organization, name, created_at, verified_at) \
     VALUES ($1, $2, $3, $4, $5)",
);

pub static INSERT_CREDENTIAL: Statement = Statement::new(
    "INSERT INTO credentials (id, organization, name, secret_hash, stream, created_at, rules) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)",
);

pub static REVOKE_CREDENTIAL: Statement =
    Statement::new("UPDATE credentials SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL");

pub static INSERT_DKIM_KEY: Statement = Statement::new(
    "INSERT INTO dkim_keys (domain, selector, algorithm, record, created_at, proved_at) \
     VALUES ($1, $2, $3, $4, $5, $6)",
);

/// Of an event that is about no mail.
pub static INSERT_EVENT: Statement = Statement::new(
    "INSERT INTO events (id, at, kind, organization, fields) VALUES ($1, $2, $3, $4, $5)",
);

pub static DELETE_SEGMENT: Statement =
    Statement::new("DELETE FROM segments WHERE node = $1 AND id = $2");

pub static FREE_OWN_LEASES: Statement = Statement::new(
    "UPDATE deliveries SET state = 'waiting', lease_node = NULL, lease_epoch = NULL, \
     lease_until = NULL WHERE state = 'leased' AND lease_node = $1 AND lease_epoch < $2",
);

pub static START_NODE: Statement = Statement::new(
    "INSERT INTO nodes (id, epoch, started_at) VALUES ($1, 1, $2) \
     ON CONFLICT (id) DO UPDATE SET epoch = nodes.epoch + 1, started_at = excluded.started_at \
     RETURNING epoch",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &INSERT_DOMAIN,
    &INSERT_CREDENTIAL,
    &REVOKE_CREDENTIAL,
    &INSERT_DKIM_KEY,
    &INSERT_EVENT,
    &DELETE_SEGMENT,
    &FREE_OWN_LEASES,
    &START_NODE,
    &ids::RESERVE,
];

/// Applies it and commits; `own` is the node and its epoch. The answer is an id where one was
/// asked for, else the number of rows changed.
pub async fn apply(
    connection: &mut Connection,
    changes: &[Change],
    own: (i64, i64),
    events: &mut Events,
) -> Result<Vec<i64>> {
    events.begin(connection.dialect());
    connection.execute(&BEGIN, Vec::new()).await?;
    let sites = operators::sites(connection, &wishes(changes)).await?;
    let mut lines = Lines::default();
    let mut answers = Vec::with_capacity(changes.len());
    for change in changes {
        let known = match change {
            Change::Site { key, .. } => sites.get(key.as_str()).copied(),
            _ => None,
        };
        let (change, line) = match change {
            Change::Audited(change, line, at) => (change.as_ref(), Some((line, *at))),
            change => (change, None),
        };
        let answer = match (known, change) {
            (Some(site), _) => site,
            (None, Change::Learnt { learnt, at }) => {
                for line in &learnt.lines {
                    lines.write(connection, line, (*at, 0)).await?;
                }
                write(connection, change, own, events).await?
            }
            (None, Change::Line(line, at)) => {
                lines.write(connection, line, (*at, 0)).await?;
                1
            }
            (None, change) => write(connection, change, own, events).await?,
        };
        if let Some((line, at)) = line.filter(|_| answer > 0) {
            lines.write(connection, line, (at, answer)).await?;
        }
        answers.push(answer);
    }
    connection.execute(&COMMIT, Vec::new()).await?;
    lines.stand();
    Ok(answers)
}

/// Lines are `apply`'s, and one within another has nothing to add.
async fn write(
    connection: &mut Connection,
    change: &Change,
    own: (i64, i64),
    events: &mut Events,
) -> Result<i64> {
    match change {
        Change::ReserveIds { name, count } => ids::reserve(connection, name, *count).await,
        Change::AddDomain { organization, name, verified_at, at } => {
            let verified = verified_at.map(|at| at.0).into();
            let values = vec![organization.0.into(), name.as_str().into(), at.0.into(), verified];
            insert_with_id(connection, "domain", &INSERT_DOMAIN, values).await
        }
        Change::AddCredential { organization, name, secret_hash, stream, rules, at } => {
            let values = vec![
                organization.0.into(),
                name.as_str().into(),
                secret_hash.as_str().into(),
                stream.0.into(),
                at.0.into(),
                rules.as_str().into(),
            ];
            insert_with_id(connection, "credential", &INSERT_CREDENTIAL, values).await
        }
        Change::RevokeCredential { name, at } => revoke_credential(connection, name, *at).await,
        Change::AddDkimKey(key) => add_dkim_key(connection, key).await,
        Change::Site { key, .. } => {
            Err(StoreError::Refused(format!("no site could be made: {key}")))
        }
        Change::Operators { names } => operators::make(connection, names).await,
        Change::MoveBodies(moves) => compaction::apply(connection, own.0, moves).await,
        Change::RemoveSegment(segment) => remove_segment(connection, own.0, *segment).await,
        Change::Classification(change) => rows(classification::write(connection, change).await?),
        Change::Return(change) => returns::write(connection, change, events).await,
        Change::InboundMail(mail) => inbound_mails::write(connection, mail, events).await,
        Change::Route(change) => routes::write(connection, change).await,
        Change::Sources(change, at) => sources::write(connection, change, *at, events).await,
        Change::Suppressions(change) => rows(suppressions::write(connection, change).await?),
        Change::Limits(change) => rows(limits::write(connection, change, own.0).await?),
        Change::Learnt { learnt, at } => warmups::write(connection, learnt, *at, events).await,
        Change::ForgetSourceHours { before } => warmups::forget_hours(connection, *before).await,
        Change::Health(change) => health::write(connection, change, events).await,
        Change::FreeOwnLeases => free_own_leases(connection, own).await,
        Change::Contacts(change) => contact_definitions::write(connection, change).await,
        Change::Import(change) => imports::write(connection, change, own.0).await,
        Change::Template(change) => templates::write(connection, change).await,
        Change::Webhook(change) => webhooks::write(connection, change).await,
        Change::Campaign(change) => campaigns::write(connection, change, own.0, events).await,
        Change::Automation(change) => automations::write(connection, change).await,
        Change::Runs(change) => automation_runs::write(connection, change, events).await,
        Change::Erase(erasure) => erasure::write(connection, erasure).await,
        Change::ErasePerson(person) => redaction::write(connection, person).await,
        Change::Event(event) => record(connection, event, events).await,
        Change::Tracked(tracked) => tallies::write_tracked(connection, tracked, events).await,
        Change::Tally(from, tally) => tallies::write_tally(connection, *from, tally).await,
        Change::Rows(writes) => row_writes(connection, writes).await,
        Change::Told(writes, event) => told(connection, writes, event, events).await,
        Change::Audited(..) | Change::Line(..) => Ok(0),
    }
}

async fn revoke_credential(connection: &mut Connection, name: &str, at: Timestamp) -> Result<i64> {
    let values = vec![name.into(), at.0.into()];
    rows(connection.execute(&REVOKE_CREDENTIAL, values).await?)
}

async fn remove_segment(connection: &mut Connection, node: i64, id: SegmentId) -> Result<i64> {
    rows(connection.execute(&DELETE_SEGMENT, vec![node.into(), id.0.into()]).await?)
}

async fn free_own_leases(connection: &mut Connection, own: (i64, i64)) -> Result<i64> {
    let values = vec![own.0.into(), own.1.into()];
    rows(connection.execute(&FREE_OWN_LEASES, values).await?)
}

async fn add_dkim_key(connection: &mut Connection, key: &DkimKeyRow) -> Result<i64> {
    let values = vec![
        key.domain.as_str().into(),
        key.selector.as_str().into(),
        key.algorithm.as_str().into(),
        key.record.as_str().into(),
        key.created_at.0.into(),
        key.proved_at.map(|at| at.0).into(),
    ];
    rows(connection.execute(&INSERT_DKIM_KEY, values).await?)
}

async fn told(
    connection: &mut Connection,
    writes: &[RowWrite],
    event: &NewEvent,
    events: &mut Events,
) -> Result<i64> {
    let changed = row_writes(connection, writes).await?;
    if changed > 0 {
        record(connection, event, events).await?;
    }
    Ok(changed)
}

/// Of what happened about no mail: in the transaction that is open.
pub async fn record(
    connection: &mut Connection,
    event: &NewEvent,
    events: &mut Events,
) -> Result<i64> {
    let values = vec![
        events.take(connection, 1).await?.into(),
        event.at.0.into(),
        event.kind.word().into(),
        event.organization.0.into(),
        event.fields.to_string().into(),
    ];
    rows(connection.execute(&INSERT_EVENT, values).await?)
}

/// The answer is what the first changed; when that is nothing the others are left out.
async fn row_writes(connection: &mut Connection, writes: &[RowWrite]) -> Result<i64> {
    let mut first = None;
    for write in writes {
        let changed = connection.execute(write.statement, write.values.clone()).await?;
        if *first.get_or_insert(changed) == 0 {
            break;
        }
    }
    rows(first.unwrap_or(0))
}

pub async fn insert_with_id(
    connection: &mut Connection,
    name: &str,
    statement: &Statement,
    mut values: Vec<Value>,
) -> Result<i64> {
    let id = ids::reserve(connection, name, 1).await?;
    values.insert(0, id.into());
    connection.execute(statement, values).await?;
    Ok(id)
}

pub fn rows(changed: u64) -> Result<i64> {
    Ok(i64::try_from(changed).unwrap_or(i64::MAX))
}

/// Of all the sites that are asked for at once.
fn wishes(changes: &[Change]) -> BTreeMap<&str, &OperatorWish> {
    let mut wishes = BTreeMap::new();
    for change in changes {
        if let Change::Site { key, operator } = change {
            wishes.insert(key.as_str(), operator);
        }
    }
    wishes
}
