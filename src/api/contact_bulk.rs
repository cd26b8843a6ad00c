//! /v1/contacts/bulk: the same change to all contacts of a segment, part by part.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::problem::Problem;
use super::segments;
use crate::campaign::Schema;
use crate::campaign::edit::{self, ContactInput};
use crate::model::*;
use crate::store::{ContactBatch, ContactChange, ContactWrite, UpsertMode};

/// Contacts of one call, and of one transaction.
const CALL_MAX: u32 = 5000;
const BATCH: usize = 500;

/// What is done to everybody of a segment.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Bulk {
    /// An expression, as text or JSON tree.
    segment: String,
    /// As for one contact: tags, lists, status, fields.
    #[serde(default)]
    change: Option<ContactInput>,
    /// Instead of a change: they are removed with all their values.
    #[serde(default)]
    remove: bool,
    /// Where an earlier call broke off.
    #[serde(default)]
    cursor: Option<ContactId>,
}

/// How many were changed by this call, and where the next one goes on.
#[derive(Serialize, utoipa::ToSchema)]
pub struct BulkDone {
    changed: u64,
    /// Null at the end.
    next: Option<ContactId>,
}

/// Change or remove all contacts of a segment: at most 5,000 in one call, by id.
#[utoipa::path(post, path = "/v1/contacts/bulk", tag = "contacts",
    responses((status = 200, body = BulkDone)), security(("key" = ["contacts_write"])))]
pub(super) async fn bulk(
    call: Call<needs::ContactsWrite>,
    Json(bulk): Json<Bulk>,
) -> Result<axum::Json<BulkDone>, Problem> {
    let organization = call.organization();
    let change = match (&bulk.change, bulk.remove) {
        (Some(change), false) => Some(change),
        (None, true) => None,
        _ => return Err(Problem::of_field("change", "either a change or remove, not both")),
    };
    let mut schema = Schema::read(&call.store, organization).await?;
    if let Some(change) = change {
        for name in edit::new_tags(&schema, change)? {
            call.store.change_contacts(ContactChange::Tag { organization, name }).await?;
        }
        schema = Schema::read(&call.store, organization).await?;
    }
    let filter = segments::read(&bulk.segment, "segment", &schema, call.clock.now())?;
    let after = bulk.cursor.unwrap_or(ContactId(0));
    let rows = call.store.contacts_after(organization, after, &filter, CALL_MAX).await?;
    let full = rows.len() >= CALL_MAX as usize;
    let next = rows.last().filter(|_| full).map(|last| last.id);
    let mut changed = 0;
    for part in rows.chunks(BATCH) {
        let Some(change) = change else {
            let ids: Vec<ContactId> = part.iter().map(|row| row.id).collect();
            changed += ids.len() as u64;
            call.store.change_contacts(ContactChange::RemoveContacts { organization, ids }).await?;
            continue;
        };
        let write = |row: &crate::store::ContactRow| {
            edit::applied(&schema, ContactWrite::of(row.id, row.email.clone()), change)
        };
        let batch = ContactBatch {
            organization,
            at: call.clock.now(),
            mode: UpsertMode::Update,
            consent: edit::consent(change)?,
            resubscribe: change.consent.as_ref().is_some_and(|consent| consent.again),
            rows: part.iter().map(write).collect::<Result<_, _>>()?,
            progress: None,
        };
        changed += call.store.write_contacts(batch).await?.len() as u64;
    }
    let target = changed.to_string();
    call.told(Some(organization), ("contacts.bulk", target.as_str()), &bulk.segment).await?;
    (call.nudge)();
    Ok(axum::Json(BulkDone { changed, next }))
}
