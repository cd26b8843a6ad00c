//! What is known of a person's mails, taken out of the ledger while counts stay as they are.
//!
//! Owns:       which columns of deliveries, messages, events and readers tell of a person.
//! Promises:   no row goes, so that sums and reports stay; what is left names nobody.
//! Knows not:  contacts, lists; bodies (retention ends them).

use serde_json::{Map, Value as Json};

use crate::model::*;

use super::changes::{Change, rows};
use super::database::Connection;
use super::dialect::{Column, Rows, Statement, int, json, json_ids};
use super::error::Result;
use super::rows::EventRow;
use super::{Store, collect};

/// What an event may go on saying once its person is erased.
const FIELDS_KEPT: [&str; 14] = [
    "source",
    "host",
    "tls",
    "try",
    "milliseconds",
    "code",
    "enhanced",
    "blame",
    "class",
    "category",
    "operator",
    "place",
    "method",
    "recipients",
];

/// Final deliveries of one person, with their messages and events.
#[derive(Clone, Debug)]
pub struct Erasure {
    pub organization: OrganizationId,
    pub deliveries: Vec<DeliveryId>,
    pub messages: Vec<MessageId>,
    pub events: Vec<EventRow>,
}

/// The domain stays: it counts to an operator.
pub static ERASE_DELIVERIES: Statement = Statement::new(
    "UPDATE deliveries SET recipient = 'erased@' || recipient_domain, original_recipient = NULL, \
     text = '', pin = NULL, contact = NULL WHERE organization = $1 \
     AND id IN (SELECT id FROM {ids:2} AS wanted) AND state NOT IN ('waiting', 'leased', 'held')",
);
pub static ERASE_MESSAGES: Statement = Statement::new(
    "UPDATE messages SET subject = '', metadata = NULL WHERE organization = $1 \
     AND id IN (SELECT id FROM {ids:2} AS wanted) AND delivery_first = delivery_last",
);
const EVENT_COLUMNS: &[Column] = &[int("id"), json("fields")];
pub static ERASE_EVENTS: Statement = Statement::with_rows(
    EVENT_COLUMNS,
    "UPDATE events SET fields = CAST(r.fields AS TEXT) FROM {rows} AS r \
     WHERE events.id = r.id AND +events.organization = $2",
);
pub static READ_OF: Statement = Statement::new(
    "SELECT d.campaign, d.id FROM {ids:2} AS w JOIN deliveries AS d ON d.id = w.id \
     WHERE d.organization = $1 AND d.campaign IS NOT NULL",
);
const READER_COLUMNS: &[Column] = &[int("campaign"), int("delivery")];
pub static ERASE_READERS: Statement = Statement::with_rows(
    READER_COLUMNS,
    "UPDATE campaign_readers SET contact = NULL FROM {rows} AS r \
     WHERE campaign_readers.campaign = r.campaign AND campaign_readers.delivery = r.delivery",
);

#[cfg(test)]
pub static ALL: &[&Statement] =
    &[&ERASE_DELIVERIES, &ERASE_MESSAGES, &ERASE_EVENTS, &READ_OF, &ERASE_READERS];

impl Store {
    /// Returns how many deliveries name nobody now.
    pub async fn erase_mails(&self, erasure: Erasure) -> Result<i64> {
        self.change(Change::Erase(Box::new(erasure))).await
    }
}

pub async fn write(connection: &mut Connection, erasure: &Erasure) -> Result<i64> {
    let Erasure { organization, deliveries, messages, events } = erasure;
    let of = |ids: String| vec![organization.0.into(), ids.into()];
    let ids = || json_ids(deliveries.iter().map(|id| id.0));
    let read = collect(connection.fetch(&READ_OF, of(ids())).await?, |row| {
        Ok((row.int(0)?, row.int(1)?))
    })?;
    let mut readers = Rows::new(connection.dialect(), READER_COLUMNS);
    for (campaign, delivery) in read {
        readers.int(campaign).int(delivery);
    }
    connection.execute(&ERASE_READERS, vec![readers.finish().into()]).await?;
    let mut told = Rows::new(connection.dialect(), EVENT_COLUMNS);
    for event in events {
        told.int(event.id.0).json(&Json::Object(kept(&event.fields)));
    }
    let values = vec![told.finish().into(), organization.0.into()];
    connection.execute(&ERASE_EVENTS, values).await?;
    let messages = json_ids(messages.iter().map(|id| id.0));
    connection.execute(&ERASE_MESSAGES, of(messages)).await?;
    rows(connection.execute(&ERASE_DELIVERIES, of(ids())).await?)
}

fn kept(fields: &Json) -> Map<String, Json> {
    let fields = fields.as_object().into_iter().flatten();
    let kept = fields.filter(|(name, _)| FIELDS_KEPT.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
