//! Contacts as they are read: one, a page of them, all who match a filter.
//!
//! Owns:       the reads of contacts, memberships, tags and consents.
//! Promises:   every read is of one organization; a page is found by the key it goes on from.
//! Knows not:  what a field is called; it gives values by column.

use serde_json::{Map, Value as Json};

use crate::model::*;

use super::contact_facts::{Slots, contact_columns};
use super::database::{Row, Value};
use super::dialect::{Statement, fixed};
use super::error::{Result, StoreError};
use super::filter::Filter;
use super::{Store, collect};

/// A contact as its rows have it.
#[derive(Clone, Debug, PartialEq)]
pub struct ContactRow {
    pub id: ContactId,
    pub email: String,
    pub name: String,
    /// Values without a column, by `f` and the field's id.
    pub more: Map<String, Json>,
    pub updated_at: Timestamp,
    pub status: ContactStatus,
    pub created_at: Timestamp,
    pub last_open_at: Option<Timestamp>,
    pub last_click_at: Option<Timestamp>,
    pub language: Option<String>,
    pub time_zone: Option<String>,
    pub slots: Slots,
    /// As in `model::engagement`; None: nothing was done.
    pub heat: Option<i64>,
    pub fared: Fared,
}

/// How mail of campaigns to a contact fared last.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
pub struct Fared {
    pub delivered_at: Option<Timestamp>,
    pub deferred_at: Option<Timestamp>,
    pub bounced_at: Option<Timestamp>,
    /// Why it was refused.
    pub bounce_class: Option<String>,
    /// Who runs the host of its address.
    pub operator: Option<OperatorId>,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct MembershipRow {
    pub list: ListId,
    pub contact: ContactId,
    pub status: MembershipStatus,
    pub since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct ConsentRow {
    pub id: ConsentId,
    pub list: Option<ListId>,
    pub action: ConsentAction,
    pub at: Timestamp,
    pub source: String,
    pub address: Option<String>,
    pub wording: String,
}

macro_rules! contacts {
    ($where:literal) => {
        Statement::new(concat!(
            "SELECT ",
            contact_columns!(),
            " FROM contacts AS c JOIN contact_facts AS f \
             ON f.organization = c.organization AND f.contact = c.id WHERE ",
            $where
        ))
    };
}

pub static CONTACT_BY_ID: Statement = contacts!("c.organization = $1 AND c.id = $2");
pub static CONTACT_BY_EMAIL: Statement = contacts!("c.organization = $1 AND c.email = $2");
pub static CONTACTS_BY_IDS: Statement =
    contacts!("c.organization = $1 AND c.id IN (SELECT id FROM {ids:2} AS wanted)");

pub static MEMBERSHIPS: Statement = Statement::new(
    "SELECT m.list, m.contact, m.status, m.since FROM memberships AS m \
     JOIN lists AS l ON l.id = m.list AND l.organization = $1 \
     WHERE m.contact IN (SELECT id FROM {ids:2} AS wanted) ORDER BY m.contact, m.list",
);

pub static TAGS_OF: Statement = Statement::new(
    "SELECT t.contact, g.name FROM contact_tags AS t \
     JOIN tags AS g ON g.id = t.tag AND g.organization = $1 \
     WHERE t.contact IN (SELECT id FROM {ids:2} AS wanted) ORDER BY t.contact, g.name",
);

/// Those of the contact alone, and those of the imports and forms that its memberships name.
pub static CONSENTS: Statement = Statement::new(
    "SELECT id, list, action, at, source, address, wording FROM consents \
     WHERE organization = $1 AND (contact = $2 \
     OR (contact IS NULL AND id IN (SELECT consent FROM memberships WHERE contact = $2))) \
     ORDER BY id DESC LIMIT 200",
);

pub static LAST_CONTACT: Statement =
    Statement::new("SELECT COALESCE(MAX(contact), 0) FROM contact_facts WHERE organization = $1");

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &CONTACT_BY_ID,
    &CONTACT_BY_EMAIL,
    &CONTACTS_BY_IDS,
    &MEMBERSHIPS,
    &TAGS_OF,
    &CONSENTS,
    &LAST_CONTACT,
];

const COUNT_HEAD: &str = "SELECT COUNT(*) FROM contact_facts AS f WHERE f.organization = $1 AND ";
/// In this order of tables the walk follows the key of `contact_facts` on SQLite too.
const PAGE_HEAD: &str = concat!(
    "SELECT ",
    contact_columns!(),
    " FROM contact_facts AS f CROSS JOIN contacts AS c \
     WHERE c.id = f.contact AND f.organization = $1 AND f.contact > $2 AND "
);

impl Store {
    pub async fn contact(
        &self,
        organization: OrganizationId,
        id: ContactId,
    ) -> Result<Option<ContactRow>> {
        let values = vec![organization.0.into(), id.0.into()];
        self.read(&CONTACT_BY_ID, values).await?.first().map(contact).transpose()
    }

    pub async fn contact_by_email(
        &self,
        organization: OrganizationId,
        email: &str,
    ) -> Result<Option<ContactRow>> {
        let values = vec![organization.0.into(), email.to_lowercase().into()];
        self.read(&CONTACT_BY_EMAIL, values).await?.first().map(contact).transpose()
    }

    /// Those of them that there are, in no order.
    pub async fn contacts_by_ids(
        &self,
        organization: OrganizationId,
        ids: &[ContactId],
    ) -> Result<Vec<ContactRow>> {
        collect(self.read(&CONTACTS_BY_IDS, of_ids(organization, ids)).await?, contact)
    }

    /// By id, those behind `after` that match.
    pub async fn contacts_after(
        &self,
        organization: OrganizationId,
        after: ContactId,
        filter: &Filter,
        limit: u32,
    ) -> Result<Vec<ContactRow>> {
        let values = vec![organization.0.into(), after.0.into(), i64::from(limit).into()];
        let (sql, values) = filter.compile(self.database().dialect(), values);
        let sql = format!("{PAGE_HEAD}{sql} ORDER BY f.contact LIMIT $3");
        collect(self.database().fetch_text(fixed(sql), values).await?, contact)
    }

    /// The highest id there is; 0 without any.
    pub async fn last_contact(&self, organization: OrganizationId) -> Result<ContactId> {
        let rows = self.read(&LAST_CONTACT, vec![organization.0.into()]).await?;
        rows.first().map_or(Ok(ContactId(0)), |row| Ok(ContactId(row.int(0)?)))
    }

    pub async fn count_contacts(
        &self,
        organization: OrganizationId,
        filter: &Filter,
    ) -> Result<u64> {
        let (sql, values) = filter.compile(self.database().dialect(), vec![organization.0.into()]);
        let rows = self.database().fetch_text(fixed(format!("{COUNT_HEAD}{sql}")), values).await?;
        rows.first().map_or(Ok(0), |row| row.unsigned(0))
    }

    pub async fn memberships(
        &self,
        organization: OrganizationId,
        contacts: &[ContactId],
    ) -> Result<Vec<MembershipRow>> {
        collect(self.read(&MEMBERSHIPS, of_ids(organization, contacts)).await?, |row| {
            Ok(MembershipRow {
                list: ListId(row.int(0)?),
                contact: ContactId(row.int(1)?),
                status: row.parsed(2)?,
                since: Timestamp(row.int(3)?),
            })
        })
    }

    pub async fn tags_of(
        &self,
        organization: OrganizationId,
        contacts: &[ContactId],
    ) -> Result<Vec<(ContactId, String)>> {
        collect(self.read(&TAGS_OF, of_ids(organization, contacts)).await?, |row| {
            Ok((ContactId(row.int(0)?), row.text(1)?))
        })
    }

    /// The newest two hundred, newest first.
    pub async fn consents(
        &self,
        organization: OrganizationId,
        contact: ContactId,
    ) -> Result<Vec<ConsentRow>> {
        let values = vec![organization.0.into(), contact.0.into()];
        collect(self.read(&CONSENTS, values).await?, |row| {
            Ok(ConsentRow {
                id: ConsentId(row.int(0)?),
                list: row.maybe_int(1)?.map(ListId),
                action: row.parsed(2)?,
                at: Timestamp(row.int(3)?),
                source: row.text(4)?,
                address: row.maybe_text(5)?,
                wording: row.text(6)?,
            })
        })
    }
}

fn of_ids(organization: OrganizationId, ids: &[ContactId]) -> Vec<Value> {
    let ids = super::dialect::json_ids(ids.iter().map(|id| id.0));
    vec![organization.0.into(), ids.into()]
}

pub fn contact(row: &Row) -> Result<ContactRow> {
    let more = row.text(3)?;
    Ok(ContactRow {
        id: ContactId(row.int(0)?),
        email: row.text(1)?,
        name: row.text(2)?,
        more: match more.as_str() {
            "{}" => Map::new(),
            text => serde_json::from_str(text).map_err(StoreError::broken_row)?,
        },
        updated_at: Timestamp(row.int(4)?),
        status: row.parsed(5)?,
        created_at: Timestamp(row.int(6)?),
        last_open_at: row.maybe_int(7)?.map(Timestamp),
        last_click_at: row.maybe_int(8)?.map(Timestamp),
        language: row.maybe_text(9)?,
        time_zone: row.maybe_text(10)?,
        slots: Slots::from_row(row, 11)?,
        heat: row.maybe_int(39)?,
        fared: Fared {
            delivered_at: row.maybe_int(40)?.map(Timestamp),
            deferred_at: row.maybe_int(41)?.map(Timestamp),
            bounced_at: row.maybe_int(42)?.map(Timestamp),
            bounce_class: row.maybe_text(43)?,
            operator: row.maybe_int(44)?.map(OperatorId),
        },
    })
}
