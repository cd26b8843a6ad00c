//! /v1/sealing: the keys of encrypted fields, and values sealed anew.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::problem::Problem;
use crate::contacts;
use crate::model::*;
use crate::store::filter::{Filter, Place, Test};
use crate::store::{ContactRow, Store};
use crate::token::{SealError, Sealer, sealed_by};

/// Contacts of one call, and of one transaction.
const CALL_MAX: u32 = 2000;
const BATCH: usize = 500;

/// Which key seals, and how many are known.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Sealing {
    /// Null before there is an encrypted field.
    pub newest: Option<u32>,
    pub since: Option<Timestamp>,
    pub keys: usize,
}

fn told(sealer: &Sealer) -> Sealing {
    let newest = sealer.newest();
    let (newest, since) = (newest.map(|(number, _)| number), newest.map(|(_, since)| since));
    Sealing { newest, since, keys: sealer.count() }
}

/// A key could not be made.
pub(super) fn not_made(error: SealError) -> Problem {
    match error {
        SealError::NoKey | SealError::TooMany => Problem::conflict(error.to_string()),
        other => Problem::ours(other),
    }
}

/// Show which key seals encrypted fields.
#[utoipa::path(get, path = "/v1/sealing", tag = "contact_fields",
    responses((status = 200, body = Sealing)), security(("key" = ["installation"])))]
pub(super) async fn show(call: Call<needs::Installation>) -> Result<axum::Json<Sealing>, Problem> {
    Ok(axum::Json(told(&call.store.sealer())))
}

/// Let a new key seal encrypted fields; those before go on opening what they sealed.
#[utoipa::path(post, path = "/v1/sealing/rotate", tag = "contact_fields",
    responses((status = 200, body = Sealing)), security(("key" = ["installation"])))]
pub(super) async fn rotate(
    call: Call<needs::Installation>,
) -> Result<axum::Json<Sealing>, Problem> {
    let sealer = call.store.sealer();
    let (made, at) = (sealer.clone(), call.clock.now());
    let making = tokio::task::spawn_blocking(move || made.rotate(at));
    making.await.map_err(Problem::ours)?.map_err(not_made)?;
    let now = told(&sealer);
    call.told(None, ("sealing.rotated", "field-keys"), &now).await?;
    Ok(axum::Json(now))
}

/// Whose values are sealed by the newest key.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resealing {
    organization: OrganizationId,
    /// Where an earlier call broke off.
    #[serde(default)]
    cursor: Option<ContactId>,
}

/// How many contacts were sealed anew by this call, and where the next one goes on.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Resealed {
    pub resealed: u64,
    /// Values whose key is not known any more.
    pub lost: u64,
    /// Null at the end.
    pub next: Option<ContactId>,
}

/// Seal an organization's values by the newest key: at most 2,000 contacts in one call, by id.
#[utoipa::path(post, path = "/v1/sealing/reseal", tag = "contact_fields",
    responses((status = 200, body = Resealed)), security(("key" = ["installation"])))]
pub(super) async fn reseal(
    call: Call<needs::Installation>,
    Json(wanted): Json<Resealing>,
) -> Result<axum::Json<Resealed>, Problem> {
    let organization = wanted.organization;
    let mut done = Resealed { resealed: 0, lost: 0, next: None };
    let mut fields = call.store.fields(organization).await?;
    fields.retain(|field| field.encrypted);
    if fields.is_empty() {
        return Ok(axum::Json(done));
    }
    let has_value = |field: &Field| {
        let place = Place::Beside { field: field.id, numeric: false };
        Filter::Not(Box::new(Filter::Test(Test::Empty { place })))
    };
    let filter = Filter::Any(fields.iter().map(has_value).collect());
    let after = wanted.cursor.unwrap_or(ContactId(0));
    let rows = call.store.contacts_after(organization, after, &filter, CALL_MAX).await?;
    let full = rows.len() >= CALL_MAX as usize;
    done.next = rows.last().filter(|_| full).map(|last| last.id);
    for part in rows.chunks(BATCH) {
        anew(&call.store, organization, &fields, part, &mut done).await?;
    }
    let target = organization.to_string();
    call.told(Some(organization), ("sealing.resealed", target.as_str()), &done).await?;
    Ok(axum::Json(done))
}

async fn anew(
    store: &Store,
    organization: OrganizationId,
    fields: &[Field],
    rows: &[ContactRow],
    done: &mut Resealed,
) -> Result<(), Problem> {
    let sealer = store.sealer();
    let Some((newest, _)) = sealer.newest() else { return Ok(()) };
    let mut changed = Vec::new();
    for row in rows {
        let mut more = row.more.clone();
        let mut is_changed = false;
        for field in fields {
            let Some(sealed) = contacts::sealed(row, field) else { continue };
            if sealed_by(sealed) == Some(newest) {
                continue;
            }
            let Some(plain) = sealer.opened(contacts::whose(field), sealed) else {
                done.lost += 1;
                continue;
            };
            let again = sealer.seal(contacts::whose(field), &plain).map_err(Problem::ours)?;
            more.insert(format!("f{}", field.id.0), again.into());
            is_changed = true;
        }
        if is_changed {
            changed.push((row.id, row.updated_at, more));
        }
    }
    done.resealed += changed.len() as u64;
    if !changed.is_empty() {
        store.reseal(organization, changed).await?;
    }
    Ok(())
}
