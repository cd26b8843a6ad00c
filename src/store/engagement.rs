//! How warm contacts are, and how mail to them fared: kept up as events are counted.
//!
//! Owns:       the columns of `contact_facts` that tell of it.
//! Promises:   written in the transaction that counts the events; an open and a click of a mail
//!             warm once.
//! Knows not:  who is a person; it is told.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::engagement::{CLICK_WEIGHT, OPEN_WEIGHT, REPLY_WEIGHT, heated};
use crate::model::*;

use super::contacts::Fared;
use super::database::Connection;
use super::dialect::{Column, Rows, Statement, int, json_ids, text};
use super::error::Result;
use super::tallies::Reading;

/// How mail to a contact fared; what is `None` stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaredOf {
    pub organization: OrganizationId,
    pub contact: ContactId,
    pub fared: Fared,
}

const READ_COLUMNS: &[Column] = &[int("campaign"), int("delivery")];
/// What was known of these mails' readers before.
pub static READ_BEFORE: Statement = Statement::with_rows(
    READ_COLUMNS,
    "SELECT c.delivery, CAST(CASE WHEN c.first_open_at IS NULL THEN 0 ELSE 1 END AS BIGINT), \
     CAST(CASE WHEN c.first_click_at IS NULL THEN 0 ELSE 1 END AS BIGINT) FROM {rows} AS r \
     JOIN campaign_readers AS c ON c.campaign = r.campaign AND c.delivery = r.delivery",
);
pub static HEATS: Statement = Statement::new(
    "SELECT contact, heat FROM contact_facts \
     WHERE organization = $1 AND contact IN (SELECT id FROM {ids:2} AS wanted)",
);
const HEAT_COLUMNS: &[Column] = &[int("organization"), int("contact"), int("heat")];
pub static SET_HEATS: Statement = Statement::with_rows(
    HEAT_COLUMNS,
    "UPDATE contact_facts SET heat = r.heat FROM {rows} AS r \
     WHERE contact_facts.organization = r.organization AND contact_facts.contact = r.contact",
);
const FARED_COLUMNS: &[Column] = &[
    int("organization"),
    int("contact"),
    int("delivered_at"),
    int("deferred_at"),
    int("bounced_at"),
    text("bounce_class"),
    int("operator"),
];
pub static SET_FARED: Statement = Statement::with_rows(
    FARED_COLUMNS,
    "UPDATE contact_facts SET \
     delivered_at = COALESCE(r.delivered_at, contact_facts.delivered_at), \
     deferred_at = COALESCE(r.deferred_at, contact_facts.deferred_at), \
     bounced_at = COALESCE(r.bounced_at, contact_facts.bounced_at), \
     bounce_class = CASE WHEN r.bounced_at IS NULL THEN contact_facts.bounce_class \
       ELSE r.bounce_class END, \
     operator = COALESCE(r.operator, contact_facts.operator) FROM {rows} AS r \
     WHERE contact_facts.organization = r.organization AND contact_facts.contact = r.contact",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&READ_BEFORE, &HEATS, &SET_HEATS, &SET_FARED];

/// Before the readings are written: what of them is news warms their contacts.
pub async fn warm(connection: &mut Connection, readings: &[Reading]) -> Result<()> {
    let mut json = Rows::new(connection.dialect(), READ_COLUMNS);
    for reading in readings {
        json.int(reading.campaign.0).int(reading.delivery.0);
    }
    let mut known: HashSet<(i64, bool)> = HashSet::new();
    for row in connection.fetch(&READ_BEFORE, vec![json.finish().into()]).await? {
        for (column, is_click) in [(1, false), (2, true)] {
            if row.flag(column)? {
                known.insert((row.int(0)?, is_click));
            }
        }
    }
    let mut deeds = Deeds::new();
    for reading in readings {
        let Some(contact) = reading.contact else { continue };
        for (at, is_click, weight) in
            [(reading.opened_at, false, OPEN_WEIGHT), (reading.clicked_at, true, CLICK_WEIGHT)]
        {
            let is_news = !known.contains(&(reading.delivery.0, is_click));
            if let (Some(at), true) = (at, is_news) {
                deeds.entry(reading.organization).or_default().push((contact, at, weight));
            }
        }
    }
    warm_all(connection, deeds).await
}

/// Who has answered a mail is warmed by each answer.
pub async fn warm_by_replies(
    connection: &mut Connection,
    replies: &[(OrganizationId, ContactId, Timestamp)],
) -> Result<()> {
    let mut deeds = Deeds::new();
    for (organization, contact, at) in replies {
        deeds.entry(*organization).or_default().push((*contact, *at, REPLY_WEIGHT));
    }
    warm_all(connection, deeds).await
}

/// When each contact did what of which weight.
type Deeds = BTreeMap<OrganizationId, Vec<(ContactId, Timestamp, f64)>>;

async fn warm_all(connection: &mut Connection, deeds: Deeds) -> Result<()> {
    for (organization, deeds) in deeds {
        warm_of(connection, organization, &deeds).await?;
    }
    Ok(())
}

async fn warm_of(
    connection: &mut Connection,
    organization: OrganizationId,
    deeds: &[(ContactId, Timestamp, f64)],
) -> Result<()> {
    let ids = json_ids(deeds.iter().map(|(contact, ..)| contact.0));
    let mut heats: HashMap<i64, Option<i64>> = HashMap::new();
    for row in connection.fetch(&HEATS, vec![organization.0.into(), ids.into()]).await? {
        heats.insert(row.int(0)?, row.maybe_int(1)?);
    }
    for (contact, at, weight) in deeds {
        // One that was removed meanwhile is not there.
        if let Some(heat) = heats.get_mut(&contact.0) {
            *heat = Some(heated(*heat, *at, *weight));
        }
    }
    let mut json = Rows::new(connection.dialect(), HEAT_COLUMNS);
    for (contact, heat) in heats {
        json.int(organization.0).int(contact).maybe_int(heat);
    }
    connection.execute(&SET_HEATS, vec![json.finish().into()]).await?;
    Ok(())
}

pub async fn note_fared(connection: &mut Connection, all: &[FaredOf]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let mut json = Rows::new(connection.dialect(), FARED_COLUMNS);
    for FaredOf { organization, contact, fared } in all {
        let moment = |at: Option<Timestamp>| at.map(|at| at.0);
        json.int(organization.0).int(contact.0).maybe_int(moment(fared.delivered_at));
        json.maybe_int(moment(fared.deferred_at)).maybe_int(moment(fared.bounced_at));
        json.maybe_text(fared.bounce_class.as_deref());
        json.maybe_int(fared.operator.map(|id| id.0));
    }
    connection.execute(&SET_FARED, vec![json.finish().into()]).await?;
    Ok(())
}
