//! /v1/suppressions: addresses that are not written to.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::extract::{Path, Query};
use super::problem::Problem;
use crate::model::*;
use crate::store::{AddressHash, NewSuppression, StreamRow, SuppressionFilter, SuppressionRow};

const LIST_MAX: u32 = 1000;
const LIST_USUAL: u32 = 100;
/// Entries of one request; a longer list comes in several.
const ENTRIES_MAX: usize = 500;
const NOTE_BYTES_MAX: usize = 500;

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    organization: Option<OrganizationId>,
    /// One address; entries known by their hash alone are found too.
    #[param(value_type = Option<String>)]
    address: Option<Address>,
    /// Also those that were removed, or whose time is over.
    #[serde(default)]
    removed: bool,
    /// `next` of the page before.
    cursor: Option<SuppressionId>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// List addresses that are not written to, newest first.
#[utoipa::path(get, path = "/v1/suppressions", tag = "suppressions", params(Asked),
    responses((status = 200, body = Page<SuppressionRow>)),
    security(("key" = ["suppressions_read"])))]
pub(super) async fn list(
    call: Call<needs::SuppressionsRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<SuppressionRow>>, Problem> {
    let limit = asked.limit.unwrap_or(LIST_USUAL);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(Problem::of_field("limit", format!("must be between 1 and {LIST_MAX}")));
    }
    let filter = SuppressionFilter {
        organization: call.scope().organization().or(asked.organization),
        hash: asked.address.as_ref().map(AddressHash::of),
        removed: asked.removed,
        before: asked.cursor,
    };
    let items = call.store.suppressions(&filter, limit).await?;
    let full = items.len() >= limit as usize;
    let next = items.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items, next }))
}

/// An address, or the SHA-256 of one in lower case where it must not be told.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    address: Option<Address>,
    #[serde(default)]
    sha256: Option<AddressHash>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEntries {
    entries: Vec<Entry>,
    scope: SuppressionScope,
    /// The caller's own, when it is missing; nothing for the whole installation.
    #[serde(default)]
    organization: Option<OrganizationId>,
    /// For the scope `stream`.
    #[serde(default)]
    stream: Option<StreamId>,
    /// For the scope `list`.
    #[serde(default)]
    list: Option<ListId>,
    /// `manual`, when it is missing.
    #[serde(default)]
    reason: Option<SuppressionReason>,
    #[serde(default)]
    note: String,
    /// None for good.
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

/// What the audit log keeps of it: addresses stand in the entries.
#[derive(Serialize)]
struct Line<'a> {
    scope: SuppressionScope,
    entries: usize,
    note: &'a str,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Added {
    /// Entries that are new or were changed; the others stood there already.
    pub added: u64,
}

/// Write no more to these addresses.
#[utoipa::path(post, path = "/v1/suppressions", tag = "suppressions",
    responses((status = 200, body = Added)), security(("key" = ["suppressions_write"])))]
pub(super) async fn add(
    call: Call<needs::SuppressionsWrite>,
    Json(new): Json<NewEntries>,
) -> Result<axum::Json<Added>, Problem> {
    if new.entries.is_empty() || new.entries.len() > ENTRIES_MAX {
        let text = format!("must hold between 1 and {ENTRIES_MAX} addresses");
        return Err(Problem::of_field("entries", text));
    }
    check_note(&new.note)?;
    let at = call.clock.now();
    if new.expires_at.is_some_and(|end| end <= at) {
        return Err(Problem::of_field("expires_at", "must lie in the future"));
    }
    let organization = reach(&call, &new).await?;
    let line = Line { scope: new.scope, entries: new.entries.len(), note: &new.note };
    let target = new.stream.map(|id| id.to_string()).or(new.list.map(|id| id.to_string()));
    let target = target.unwrap_or_default();
    let action = ("suppressions.added", target.as_str());
    let store = call.audited::<(), _>(organization, action, None, Some(&line))?;
    let mut rows = Vec::with_capacity(new.entries.len());
    for entry in new.entries {
        let hash = match (&entry.address, entry.sha256) {
            (Some(address), None) => AddressHash::of(address),
            (None, Some(hash)) => hash,
            _ => return Err(Problem::of_field("entries", "each is an address or a sha256")),
        };
        rows.push(NewSuppression {
            scope: new.scope,
            organization,
            stream: new.stream,
            list: new.list,
            hash,
            address: entry.address.map(|address| address.to_string()),
            reason: new.reason.unwrap_or(SuppressionReason::Manual),
            evidence: None,
            note: new.note.clone(),
            expires_at: new.expires_at,
            at,
        });
    }
    Ok(axum::Json(Added { added: store.suppress(rows).await? }))
}

fn check_note(note: &str) -> Result<(), Problem> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(Problem::of_field("note", format!("has at most {NOTE_BYTES_MAX} octets")));
    }
    Ok(())
}

/// Whose mail the entries stop: what the scope needs must be there, and nothing else.
async fn reach<N>(call: &Call<N>, new: &NewEntries) -> Result<Option<OrganizationId>, Problem> {
    if new.scope != SuppressionScope::Stream && new.stream.is_some() {
        return Err(Problem::of_field("stream", "only the scope 'stream' has one"));
    }
    if new.scope != SuppressionScope::List && new.list.is_some() {
        return Err(Problem::of_field("list", "only the scope 'list' has one"));
    }
    if new.scope == SuppressionScope::Installation {
        if call.scope().organization().is_some() || new.organization.is_some() {
            let text = "only who sees the whole installation may stop all its mail";
            return Err(Problem::of_field("scope", text));
        }
        return Ok(None);
    }
    let organization = call.organization_or(new.organization)?;
    match new.scope {
        SuppressionScope::Stream => {
            let stream = new.stream.ok_or_else(|| Problem::of_field("stream", "is missing"))?;
            let streams = call.store.streams().await?;
            let is_own = |row: &StreamRow| row.id == stream && row.organization == organization;
            if !streams.iter().any(is_own) {
                return Err(Problem::of_field("stream", "there is no such stream"));
            }
        }
        SuppressionScope::List => {
            let list = new.list.ok_or_else(|| Problem::of_field("list", "is missing"))?;
            if !call.store.lists(organization).await?.iter().any(|row| row.id == list) {
                return Err(Problem::of_field("list", "there is no such list"));
            }
        }
        SuppressionScope::Organization | SuppressionScope::Installation => {}
    }
    Ok(Some(organization))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Removal {
    /// Why: it stays with the entry.
    note: String,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SuppressionRemoved)]
pub struct Removed {
    pub removed: SuppressionId,
}

/// Write to an address again; the entry stays readable, with the note.
#[utoipa::path(post, path = "/v1/suppressions/{id}/remove", tag = "suppressions",
    params(("id" = SuppressionId, Path, description = "The entry")),
    responses((status = 200, body = Removed)), security(("key" = ["suppressions_write"])))]
pub(super) async fn remove(
    call: Call<needs::SuppressionsWrite>,
    Path(id): Path<SuppressionId>,
    Json(removal): Json<Removal>,
) -> Result<axum::Json<Removed>, Problem> {
    check_note(&removal.note)?;
    if removal.note.trim().is_empty() {
        return Err(Problem::of_field("note", "must say why the address is written to again"));
    }
    let organization = call.scope().organization();
    let (target, note) = (id.to_string(), removal.note.trim());
    let action = ("suppressions.removed", target.as_str());
    let store = call.audited::<(), _>(organization, action, None, Some(&note))?;
    if !store.remove_suppression(id, organization, note).await? {
        return Err(Problem::not_found("there is no such entry, or it was removed before"));
    }
    tracing::info!(suppression = %id, "an address is written to again");
    Ok(axum::Json(Removed { removed: id }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Tested {
    #[param(value_type = String)]
    address: Address,
    organization: Option<OrganizationId>,
    stream: StreamId,
    /// Mail of a campaign to this list.
    list: Option<ListId>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Answer {
    pub suppressed: bool,
    pub suppression: Option<SuppressionId>,
    pub reason: Option<SuppressionReason>,
    pub scope: Option<SuppressionScope>,
}

/// Would mail of a stream to this address be stopped?
#[utoipa::path(get, path = "/v1/suppressions/test", tag = "suppressions", params(Tested),
    responses((status = 200, body = Answer)), security(("key" = ["suppressions_read"])))]
pub(super) async fn test(
    call: Call<needs::SuppressionsRead>,
    Query(asked): Query<Tested>,
) -> Result<axum::Json<Answer>, Problem> {
    let organization = call.organization_or(asked.organization)?;
    let hashes = [AddressHash::of(&asked.address)];
    let now = call.clock.now();
    let stops = call.store.stopping(organization, asked.stream, &hashes, now).await?;
    let mut stop = stops.into_iter().flatten().next();
    if let (None, Some(list)) = (&stop, asked.list) {
        let lists = call.store.stopped_lists(organization, &hashes[0], now).await?;
        stop = lists.into_iter().find(|(own, _)| *own == list).map(|(_, stop)| stop);
    }
    Ok(axum::Json(Answer {
        suppressed: stop.is_some(),
        suppression: stop.map(|stop| stop.suppression),
        reason: stop.map(|stop| stop.reason),
        scope: stop.map(|stop| stop.scope),
    }))
}
