//! Who a contact is: values by the names of their fields, lists, tags.
//!
//! Owns:       the view of a contact that templates, exports and the API share.
//! Promises:   a field without a value is not there; nothing of another organization is read; the
//!             value of an encrypted field is named and not shown, unless it is asked to be.
//! Knows not:  who asks, campaigns, mail.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::*;
use crate::store::{ContactRow, Fared, Result, Store};
use crate::token::{SealError, SealedFor, Sealer};

/// A contact, with its values by the names of their fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Contact {
    pub id: ContactId,
    pub email: String,
    pub name: String,
    pub status: ContactStatus,
    pub language: Option<String>,
    pub time_zone: Option<String>,
    pub fields: Map<String, Value>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_open_at: Option<Timestamp>,
    pub last_click_at: Option<Timestamp>,
    /// How mail of campaigns to it fared last.
    #[serde(default)]
    pub fared: Fared,
    /// What the score is made of.
    #[serde(skip)]
    pub heat: Option<i64>,
    /// How warm it is, from 0 to 100: opens and clicks of the person, which lose half of their
    /// weight in thirty days.
    #[serde(default)]
    pub score: Option<i64>,
    #[serde(default)]
    pub lists: Vec<Membership>,
    #[serde(default)]
    pub tags: Vec<String>,
    /// Encrypted fields that have a value, which is not shown.
    #[serde(default)]
    pub sealed: Vec<String>,
}

impl Contact {
    /// With its score at this moment.
    pub fn scored(self, now: Timestamp) -> Contact {
        Contact { score: Some(engagement::score(self.heat, now)), ..self }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Membership {
    pub list: ListId,
    pub status: MembershipStatus,
    pub since: Timestamp,
}

/// Whose a sealed value is.
pub const fn whose(field: &Field) -> SealedFor {
    SealedFor { organization: field.organization, field: field.id }
}

/// A value as one text, which is what is sealed.
pub fn plain(value: &FieldValue) -> String {
    match value.stored() {
        Stored::Number(number) => number.to_string(),
        Stored::Text(text) => text,
        Stored::Json(value) => value.to_string(),
    }
}

/// From `plain`.
fn of_plain(kind: FieldKind, text: &str) -> Option<FieldValue> {
    let stored = match kind {
        FieldKind::Text | FieldKind::Url => Stored::Text(text.to_owned()),
        FieldKind::Json => Stored::Json(serde_json::from_str(text).ok()?),
        _ => Stored::Number(text.parse().ok()?),
    };
    FieldValue::from_stored(kind, stored)
}

/// A value as it is kept: sealed, if its field is encrypted.
///
/// # Errors
/// It must be sealed, and cannot be.
pub fn kept(
    field: &Field,
    value: &FieldValue,
    sealer: &Sealer,
) -> std::result::Result<Stored, SealError> {
    match field.encrypted {
        true => sealer.seal(whose(field), &plain(value)).map(Stored::Text),
        false => Ok(value.stored()),
    }
}

/// The sealed value of an encrypted field.
pub fn sealed<'a>(row: &'a ContactRow, field: &Field) -> Option<&'a str> {
    if !field.encrypted {
        return None;
    }
    row.more.get(&format!("f{}", field.id.0))?.as_str()
}

/// What a sealed value is.
pub fn opened(field: &Field, sealed: &str, sealer: &Sealer) -> Option<FieldValue> {
    let plain = sealer.opened(whose(field), sealed)?;
    of_plain(field.kind, &plain)
}

/// The value of one field, be it sealed or not.
pub fn open_value(row: &ContactRow, field: &Field, sealer: &Sealer) -> Option<FieldValue> {
    match sealed(row, field) {
        Some(sealed) => opened(field, sealed, sealer),
        None => value(row, field),
    }
}

/// The contact with its sealed values shown; what cannot be opened stays named.
pub fn shown(contact: Contact, row: &ContactRow, fields: &[Field], sealer: &Sealer) -> Contact {
    let mut contact = contact;
    for field in fields.iter().filter(|field| field.encrypted) {
        if let Some(value) = open_value(row, field, sealer) {
            contact.fields.insert(field.name.clone(), value.to_json(field));
            contact.sealed.retain(|name| *name != field.name);
        }
    }
    contact
}

/// The value of one field; None where there is none, one that is sealed, or one that is no longer
/// lawful.
pub fn value(row: &ContactRow, field: &Field) -> Option<FieldValue> {
    if field.encrypted {
        return None;
    }
    let stored = match field.slot {
        Some(slot) => row.slots.get(slot)?,
        None => match row.more.get(&format!("f{}", field.id.0))? {
            json if field.kind == FieldKind::Json => Stored::Json(json.clone()),
            Value::String(text) => Stored::Text(text.clone()),
            json => Stored::Number(json.as_i64()?),
        },
    };
    FieldValue::from_stored(field.kind, stored)
}

/// Without lists and tags.
pub fn named(row: &ContactRow, fields: &[Field]) -> Contact {
    let value = |field: &Field| Some((field.name.clone(), value(row, field)?.to_json(field)));
    let is_set = |field: &&Field| sealed(row, field).is_some();
    Contact {
        id: row.id,
        email: row.email.clone(),
        name: row.name.clone(),
        status: row.status,
        language: row.language.clone(),
        time_zone: row.time_zone.clone(),
        fields: fields.iter().filter_map(value).collect(),
        created_at: row.created_at,
        updated_at: row.updated_at,
        last_open_at: row.last_open_at,
        last_click_at: row.last_click_at,
        fared: row.fared.clone(),
        heat: row.heat,
        score: None,
        lists: Vec::new(),
        tags: Vec::new(),
        sealed: fields.iter().filter(is_set).map(|field| field.name.clone()).collect(),
    }
}

/// With lists and tags, in the order of the rows.
pub async fn whole(
    store: &Store,
    organization: OrganizationId,
    fields: &[Field],
    rows: &[ContactRow],
) -> Result<Vec<Contact>> {
    let ids: Vec<ContactId> = rows.iter().map(|row| row.id).collect();
    let mut lists: HashMap<ContactId, Vec<Membership>> = HashMap::new();
    for row in store.memberships(organization, &ids).await? {
        let membership = Membership { list: row.list, status: row.status, since: row.since };
        lists.entry(row.contact).or_default().push(membership);
    }
    let mut tags: HashMap<ContactId, Vec<String>> = HashMap::new();
    for (contact, tag) in store.tags_of(organization, &ids).await? {
        tags.entry(contact).or_default().push(tag);
    }
    let whole = |row: &ContactRow| Contact {
        lists: lists.remove(&row.id).unwrap_or_default(),
        tags: tags.remove(&row.id).unwrap_or_default(),
        ..named(row, fields)
    };
    Ok(rows.iter().map(whole).collect())
}
