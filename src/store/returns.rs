//! What came back for mail that had left.
//!
//! Owns:       the tables `return_domains`, `returns`, `soft_bounces`.
//! Promises:   of each kind a delivery learns once, and of a bounce once more when a later report
//!             says that the address is lost: the event, the entry among the suppressions and the
//!             count commit together or not at all.
//! Knows not:  how reports are read, which address may be believed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::*;

use super::changes::{Change, NewEvent, RowWrite, insert_with_id};
use super::database::Connection;
use super::dialect::{Rows, Statement};
use super::error::{Result, StoreError};
use super::event_ids::Events;
use super::ledger;
use super::suppressions::{self, AddressHash, NewSuppression};
use super::{Store, collect};

/// Marks a delivery whose address a report has called lost, beside its kinds.
const LOST: &str = "lost";
/// Deliveries that one token can stand for.
const GROUP_MAX: i64 = 1000;

/// A domain that bounces of an organization come back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReturnDomainRow {
    pub id: ReturnDomainId,
    pub organization: OrganizationId,
    pub name: Domain,
    pub created_at: Timestamp,
    /// When DNS was asked last.
    #[serde(default)]
    pub checked_at: Option<Timestamp>,
    #[serde(default)]
    pub standing: Option<ReturnStanding>,
    /// What was found, in words.
    #[serde(default)]
    pub found: String,
}

/// A delivery that something may have come back for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnSubject {
    pub delivery: DeliveryId,
    pub recipient: Address,
    pub state: State,
    pub notify: Notify,
    /// Who runs the hosts of its site, by name.
    pub operator: Option<String>,
}

/// When soft bounces are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftBounceRule {
    pub bounces: u32,
    /// From the first of them to the last, at least.
    pub span: Duration,
}

/// One soft bounce of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftBounce {
    pub rule: SoftBounceRule,
    /// The entry to be made when this one is one too many.
    pub entry: NewSuppression,
    /// The mail had been taken before it bounced, so it counts as delivered no more.
    pub was_delivered: bool,
}

/// What has come back for one delivery.
#[derive(Clone, Debug)]
pub struct Returned {
    pub organization: OrganizationId,
    pub message: MessageId,
    pub delivery: DeliveryId,
    pub kind: EventKind,
    /// Of the event.
    pub fields: serde_json::Value,
    pub suppression: Option<NewSuppression>,
    pub soft: Option<SoftBounce>,
    pub at: Timestamp,
}

impl Returned {
    /// It says that the address is lost, which an earlier bounce may not have said.
    fn is_lost(&self) -> bool {
        self.kind == EventKind::Bounced && self.fields["hard"] == true
    }
}

#[derive(Clone, Debug)]
pub enum ReturnChange {
    AddDomain {
        organization: OrganizationId,
        name: Domain,
        at: Timestamp,
    },
    RemoveDomain {
        id: ReturnDomainId,
        organization: Option<OrganizationId>,
    },
    Returned(Box<Returned>),
    /// Soft bounces that hosts told in the dialogue.
    Soft(Vec<(OrganizationId, SoftBounce)>),
    /// Mail that hosts took for addresses with soft bounces.
    Delivered(Vec<(OrganizationId, AddressHash)>),
}

pub static DOMAINS: Statement = Statement::new(
    "SELECT id, organization, name, created_at, checked_at, standing, found FROM return_domains \
     ORDER BY id",
);
pub static NOTE_DOMAIN: Statement = Statement::new(
    "UPDATE return_domains SET checked_at = $2, standing = $3, found = $4 WHERE id = $1",
);
pub static ADD_DOMAIN: Statement = Statement::new(
    "INSERT INTO return_domains (id, organization, name, created_at) VALUES ($1, $2, $3, $4)",
);
pub static REMOVE_DOMAIN: Statement =
    Statement::new("DELETE FROM return_domains WHERE id = $1 AND ($2 = 0 OR organization = $2)");

/// The deliveries of message $1 that may share a transaction with delivery $2.
pub static GROUP: Statement = Statement::new(
    "SELECT d.id, d.recipient, d.state, d.notify, o.name FROM messages m \
     JOIN deliveries f ON f.id = $2 AND f.message = m.id \
     JOIN deliveries d ON d.id BETWEEN m.delivery_first AND m.delivery_last \
     AND d.message = m.id AND d.recipient_domain = f.recipient_domain \
     LEFT JOIN sites s ON s.id = d.site LEFT JOIN operators o ON o.id = s.operator \
     WHERE m.id = $1 ORDER BY CASE WHEN d.id = $2 THEN 0 ELSE 1 END, d.id LIMIT $3",
);

pub static MARK: Statement = Statement::new(
    "INSERT INTO returns (delivery, kind, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
);

pub static SOFT: Statement = Statement::new(
    "SELECT bounces, first_at, last_at, deliveries FROM soft_bounces \
     WHERE organization = $1 AND address_hash = $2",
);
pub static PUT_SOFT: Statement = Statement::new(
    "INSERT INTO soft_bounces (organization, address_hash, bounces, first_at, last_at, deliveries) \
     VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT (organization, address_hash) DO UPDATE SET \
     bounces = excluded.bounces, first_at = excluded.first_at, last_at = excluded.last_at, \
     deliveries = 0",
);
pub static END_SOFT: Statement =
    Statement::new("DELETE FROM soft_bounces WHERE organization = $1 AND address_hash = $2");
pub static COUNT_DELIVERY: Statement = Statement::new(
    "UPDATE soft_bounces SET deliveries = deliveries + 1 \
     WHERE organization = $1 AND address_hash = $2",
);
pub static ANY_SOFT: Statement = Statement::new("SELECT 1 FROM soft_bounces LIMIT 1");

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &DOMAINS,
    &NOTE_DOMAIN,
    &ADD_DOMAIN,
    &REMOVE_DOMAIN,
    &GROUP,
    &MARK,
    &SOFT,
    &PUT_SOFT,
    &END_SOFT,
    &COUNT_DELIVERY,
    &ANY_SOFT,
];

impl Store {
    pub async fn return_domains(&self) -> Result<Vec<ReturnDomainRow>> {
        collect(self.read(&DOMAINS, vec![]).await?, |row| {
            Ok(ReturnDomainRow {
                id: ReturnDomainId(row.int(0)?),
                organization: OrganizationId(row.int(1)?),
                name: Domain::parse(&row.text(2)?).map_err(StoreError::broken_row)?,
                created_at: Timestamp(row.int(3)?),
                checked_at: row.maybe_int(4)?.map(Timestamp),
                standing: row
                    .maybe_text(5)?
                    .map(|text| text.parse())
                    .transpose()
                    .map_err(|why: String| StoreError::broken_row(why))?,
                found: row.text(6)?,
            })
        })
    }

    /// `Duplicate("return_domains_organization")` when there is one already, or
    /// `Duplicate("return_domains_name")` when another organization has it.
    pub async fn add_return_domain(
        &self,
        organization: OrganizationId,
        name: &Domain,
    ) -> Result<ReturnDomainRow> {
        let (name, at) = (name.clone(), self.now());
        let change = ReturnChange::AddDomain { organization, name: name.clone(), at };
        let id = ReturnDomainId(self.change(Change::Return(change)).await?);
        Ok(ReturnDomainRow {
            id,
            organization,
            name,
            created_at: at,
            checked_at: None,
            standing: None,
            found: String::new(),
        })
    }

    /// What a look has found; `alarm` is what its event tells, when there is one.
    pub async fn note_return_domain(
        &self,
        row: &ReturnDomainRow,
        alarm: Option<serde_json::Value>,
    ) -> Result<()> {
        let values = vec![
            row.id.0.into(),
            row.checked_at.map(|at| at.0).into(),
            row.standing.map(|standing| standing.word().to_owned()).into(),
            row.found.as_str().into(),
        ];
        let write = vec![RowWrite::new(&NOTE_DOMAIN, values)];
        let (at, organization, kind) = (self.now(), row.organization, EventKind::Alarm);
        let change = match alarm {
            Some(fields) => {
                Change::Told(write, Box::new(NewEvent { at, kind, organization, fields }))
            }
            None => Change::Rows(write),
        };
        self.change(change).await?;
        Ok(())
    }

    /// False when there is none of this id (for this organization).
    pub async fn remove_return_domain(
        &self,
        id: ReturnDomainId,
        organization: Option<OrganizationId>,
    ) -> Result<bool> {
        let change = ReturnChange::RemoveDomain { id, organization };
        Ok(self.change(Change::Return(change)).await? > 0)
    }

    /// Those that one token stands for: the deliveries of the message to the same domain.
    pub async fn return_group(
        &self,
        message: MessageId,
        first: DeliveryId,
    ) -> Result<Vec<ReturnSubject>> {
        let values = vec![message.0.into(), first.0.into(), GROUP_MAX.into()];
        collect(self.read(&GROUP, values).await?, |row| {
            Ok(ReturnSubject {
                delivery: DeliveryId(row.int(0)?),
                recipient: Address::parse(&row.text(1)?).map_err(StoreError::broken_row)?,
                state: row.parsed(2)?,
                notify: Notify::from_bits(row.int(3)?),
                operator: row.maybe_text(4)?,
            })
        })
    }

    /// Writes down what came back; false when this kind had come back before and nothing changed.
    pub async fn came_back(&self, returned: Returned) -> Result<bool> {
        if returned.soft.is_some() {
            self.0.has_soft_bounces.store(true, Ordering::Relaxed);
        }
        let change = ReturnChange::Returned(Box::new(returned));
        let changed = self.change(Change::Return(change)).await?;
        self.suppressions_changed();
        Ok(changed > 0)
    }

    pub async fn soft_bounced(&self, bounces: Vec<(OrganizationId, SoftBounce)>) -> Result<()> {
        self.0.has_soft_bounces.store(true, Ordering::Relaxed);
        self.change(Change::Return(ReturnChange::Soft(bounces))).await?;
        self.suppressions_changed();
        Ok(())
    }

    /// Whether any address has bounced softly, as far as this process knows.
    pub fn has_soft_bounces(&self) -> bool {
        self.0.has_soft_bounces.load(Ordering::Relaxed)
    }

    /// To be called at start.
    pub async fn look_for_soft_bounces(&self) -> Result<()> {
        let rows = self.read(&ANY_SOFT, vec![]).await?;
        self.0.has_soft_bounces.store(!rows.is_empty(), Ordering::Relaxed);
        Ok(())
    }

    /// A host took mail for these addresses.
    pub async fn was_delivered(&self, to: Vec<(OrganizationId, AddressHash)>) -> Result<()> {
        self.change(Change::Return(ReturnChange::Delivered(to))).await?;
        Ok(())
    }
}

pub(super) async fn write(
    connection: &mut Connection,
    change: &ReturnChange,
    events: &mut Events,
) -> Result<i64> {
    let rows = match change {
        ReturnChange::AddDomain { organization, name, at } => {
            let values = vec![organization.0.into(), name.as_str().into(), at.0.into()];
            return insert_with_id(connection, "return_domain", &ADD_DOMAIN, values).await;
        }
        ReturnChange::RemoveDomain { id, organization } => {
            let values = vec![id.0.into(), organization.map_or(0, |id| id.0).into()];
            connection.execute(&REMOVE_DOMAIN, values).await?
        }
        ReturnChange::Returned(returned) => return came_back(connection, returned, events).await,
        ReturnChange::Soft(bounces) => {
            for (organization, bounce) in bounces {
                soft_bounce(connection, *organization, bounce).await?;
            }
            bounces.len() as u64
        }
        ReturnChange::Delivered(deliveries) => {
            for (organization, hash) in deliveries {
                let values = vec![organization.0.into(), hash.as_str().into()];
                connection.execute(&COUNT_DELIVERY, values).await?;
            }
            deliveries.len() as u64
        }
    };
    Ok(i64::try_from(rows).unwrap_or(i64::MAX))
}

async fn came_back(
    connection: &mut Connection,
    returned: &Returned,
    events: &mut Events,
) -> Result<i64> {
    let (delivery, at) = (returned.delivery.0, returned.at.0);
    let marks = [Some(returned.kind.word()), returned.is_lost().then_some(LOST)];
    let mut is_new = [false; 2];
    for (word, is_new) in marks.into_iter().flatten().zip(&mut is_new) {
        let values = vec![delivery.into(), word.into(), at.into()];
        *is_new = connection.execute(&MARK, values).await? > 0;
    }
    let [is_first, is_worse] = is_new;
    if !is_first && !is_worse {
        return Ok(0);
    }
    let mut fields = returned.fields.clone();
    if !is_first && let Some(fields) = fields.as_object_mut() {
        fields.insert(event::AGAIN.into(), true.into());
    }
    let mut rows = Rows::new(connection.dialect(), ledger::EVENT_COLUMNS);
    rows.int(events.take(connection, 1).await?)
        .int(at)
        .text(returned.kind.word())
        .int(returned.organization.0)
        .int(returned.message.0)
        .int(delivery)
        .json(&fields);
    connection.execute(&ledger::INSERT_EVENTS, vec![rows.finish().into()]).await?;
    if let Some(entry) = &returned.suppression {
        suppressions::add(connection, std::slice::from_ref(entry)).await?;
    }
    if let Some(soft) = &returned.soft {
        soft_bounce(connection, returned.organization, soft).await?;
    }
    Ok(1)
}

/// What is known of an address that bounces softly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tally {
    bounces: i64,
    first_at: Timestamp,
    last_at: Timestamp,
    deliveries: i64,
}

/// The tally with one more bounce: begun anew where a mail has arrived since the last.
fn after(known: Option<Tally>, was_delivered: bool, at: Timestamp) -> Tally {
    let arrived = |tally: &Tally| tally.deliveries - i64::from(was_delivered) > 0;
    match known.filter(|tally| !arrived(tally)) {
        Some(tally) => Tally { bounces: tally.bounces + 1, last_at: at, deliveries: 0, ..tally },
        None => Tally { bounces: 1, first_at: at, last_at: at, deliveries: 0 },
    }
}

fn is_too_much(tally: &Tally, rule: &SoftBounceRule) -> bool {
    tally.bounces >= i64::from(rule.bounces) && tally.last_at.since(tally.first_at) >= rule.span
}

async fn soft_bounce(
    connection: &mut Connection,
    organization: OrganizationId,
    bounce: &SoftBounce,
) -> Result<()> {
    let key = || vec![organization.0.into(), bounce.entry.hash.as_str().into()];
    let rows = connection.fetch(&SOFT, key()).await?;
    let known = rows.first().map(|row| -> Result<Tally> {
        Ok(Tally {
            bounces: row.int(0)?,
            first_at: Timestamp(row.int(1)?),
            last_at: Timestamp(row.int(2)?),
            deliveries: row.int(3)?,
        })
    });
    let tally = after(known.transpose()?, bounce.was_delivered, bounce.entry.at);
    if is_too_much(&tally, &bounce.rule) {
        suppressions::add(connection, std::slice::from_ref(&bounce.entry)).await?;
        connection.execute(&END_SOFT, key()).await?;
        return Ok(());
    }
    let mut values = key();
    values.extend([tally.bounces.into(), tally.first_at.0.into(), tally.last_at.0.into()]);
    connection.execute(&PUT_SOFT, values).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;
    const RULE: SoftBounceRule =
        SoftBounceRule { bounces: 5, span: Duration::from_secs(10 * 86_400) };

    /// Days on which it bounces; with `true` a mail was taken in between and did not bounce.
    fn last(days: &[(i64, bool)]) -> Tally {
        let mut tally = None;
        for (day, arrived) in days {
            if let (Some(known), true) = (&mut tally, arrived) {
                let known: &mut Tally = known;
                known.deliveries += 1;
            }
            tally = Some(after(tally, false, Timestamp(day * DAY)));
        }
        tally.expect("at least one day")
    }

    #[test]
    fn five_bounces_in_ten_days_without_a_delivery_are_too_much_and_nothing_less() {
        let days = |days: [i64; 5]| days.map(|day| (day, false));
        assert!(is_too_much(&last(&days([0, 1, 2, 3, 10])), &RULE));
        assert!(!is_too_much(&last(&days([0, 1, 2, 3, 9])), &RULE));
        assert!(!is_too_much(&last(&[(0, false), (5, false), (10, false), (20, false)]), &RULE));
        let mut arrived = days([0, 1, 2, 3, 10]);
        arrived[4].1 = true;
        assert_eq!(last(&arrived).bounces, 1);
    }

    #[test]
    fn a_mail_that_was_taken_and_bounced_later_is_no_delivery() {
        let known =
            Tally { bounces: 2, first_at: Timestamp(0), last_at: Timestamp(1), deliveries: 1 };
        assert_eq!(after(Some(known), true, Timestamp(5)).bounces, 3);
        assert_eq!(after(Some(known), false, Timestamp(5)).bounces, 1);
    }
}
