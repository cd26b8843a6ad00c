//! /v1/organizations, /v1/streams, /v1/audit: tenants, their streams, and what was changed.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::caller::Caller;
use super::credentials;
use super::extract::{Path, Query};
use super::narrow::narrowed;
use super::problem::Problem;
use super::users::taken;
use crate::model::{AuditId, OrganizationId, StreamClass, StreamId, Timestamp};
use crate::store::{AuditFilter, AuditRow, OrganizationRow, StreamRow};

const NAME_BYTES_MAX: usize = 100;
const REASON_BYTES_MAX: usize = 500;
const AUDIT_ROWS: u32 = 100;

/// A line that a person has typed.
pub(super) fn line(field: &str, text: &str, bytes_max: usize) -> Result<String, Problem> {
    let text = text.trim();
    let lawful = (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control);
    match lawful {
        true => Ok(text.to_owned()),
        false => {
            let detail = format!("must be a line of 1 to {bytes_max} octets");
            Err(Problem::of_field(field, detail))
        }
    }
}

/// List the organizations that the caller belongs to; for who stands above all of them, all.
#[utoipa::path(get, path = "/v1/organizations", tag = "organizations",
    responses((status = 200, body = Page<OrganizationRow>)), security(("key" = [])))]
pub(super) async fn list(
    call: Call<needs::SignedIn>,
) -> Result<axum::Json<Page<OrganizationRow>>, Problem> {
    let mut rows = call.store.organizations().await?;
    match call.caller() {
        Some(Caller::User(person)) if !person.user.installation_admin => {
            rows.retain(|row| person.role_in(row.id).is_some());
        }
        _ => rows.retain(|row| call.scope().covers(row.id)),
    }
    Ok(Page::whole(rows))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrganization {
    name: String,
}

/// Make an organization with its two streams.
#[utoipa::path(post, path = "/v1/organizations", tag = "organizations",
    responses((status = 200, body = OrganizationRow)), security(("key" = ["installation"])))]
pub(super) async fn add(
    call: Call<needs::Installation>,
    Json(new): Json<NewOrganization>,
) -> Result<axum::Json<OrganizationRow>, Problem> {
    let name = line("name", &new.name, NAME_BYTES_MAX)?;
    let action = ("organization.added", name.as_str());
    let store = call.audited::<(), _>(None, action, None, Some(&name))?;
    let row = store.add_organization(&name).await.map_err(|error| taken(error, "name"))?;
    credentials::reload(&call).await?;
    Ok(axum::Json(row))
}

#[derive(Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Suspension {
    /// Its people read it.
    reason: String,
}

async fn organization(
    call: &Call<needs::Installation>,
    id: OrganizationId,
) -> Result<OrganizationRow, Problem> {
    let rows = call.store.organizations().await?;
    let found = rows.into_iter().find(|row| row.id == id);
    found.ok_or_else(|| Problem::not_found("there is no such organization"))
}

/// The running daemon takes it up at once.
pub(super) async fn note<N>(call: &Call<N>) -> Result<(), Problem> {
    if let Some(queue) = &call.queue {
        queue.note_apart().await.map_err(Problem::ours)?;
    }
    (call.nudge)();
    Ok(())
}

/// Hold the mail of an organization until it is resumed; nothing of it is lost.
#[utoipa::path(post, path = "/v1/organizations/{id}/suspend", tag = "organizations",
    params(("id" = OrganizationId, Path, description = "The organization")),
    responses((status = 200, body = OrganizationRow)), security(("key" = ["installation"])))]
pub(super) async fn suspend(
    call: Call<needs::Installation>,
    Path(id): Path<OrganizationId>,
    Json(given): Json<Suspension>,
) -> Result<axum::Json<OrganizationRow>, Problem> {
    let reason = line("reason", &given.reason, REASON_BYTES_MAX)?;
    let before = organization(&call, id).await?;
    let target = id.to_string();
    let action = ("organization.suspended", target.as_str());
    let store = call.audited(Some(id), action, Some(&before), Some(&reason))?;
    if !store.suspend(id, &reason).await? {
        return Err(Problem::conflict("it is suspended already"));
    }
    tracing::warn!(organization = %id, reason, "an organization was suspended");
    note(&call).await?;
    Ok(axum::Json(organization(&call, id).await?))
}

/// Let the mail of a suspended organization go on.
#[utoipa::path(post, path = "/v1/organizations/{id}/resume", tag = "organizations",
    params(("id" = OrganizationId, Path, description = "The organization")),
    responses((status = 200, body = OrganizationRow)), security(("key" = ["installation"])))]
pub(super) async fn resume(
    call: Call<needs::Installation>,
    Path(id): Path<OrganizationId>,
) -> Result<axum::Json<OrganizationRow>, Problem> {
    let before = organization(&call, id).await?;
    let target = id.to_string();
    let action = ("organization.resumed", target.as_str());
    let store = call.audited::<_, ()>(Some(id), action, Some(&before), None)?;
    if !store.resume(id).await? {
        return Err(Problem::conflict("it is not suspended"));
    }
    tracing::info!(organization = %id, "an organization was resumed");
    note(&call).await?;
    Ok(axum::Json(organization(&call, id).await?))
}

/// List the streams of the organization.
#[utoipa::path(get, path = "/v1/streams", tag = "streams",
    responses((status = 200, body = Page<StreamRow>)), security(("key" = ["settings_read"])))]
pub(super) async fn streams(
    call: Call<needs::SettingsRead>,
) -> Result<axum::Json<Page<StreamRow>>, Problem> {
    let mut rows = call.store.streams().await?;
    rows.retain(|row| call.scope().covers(row.organization));
    Ok(Page::whole(rows))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewStream {
    name: String,
    class: StreamClass,
}

/// Make a stream of the organization's own.
#[utoipa::path(post, path = "/v1/streams", tag = "streams",
    responses((status = 200, body = StreamRow)), security(("key" = ["settings_write"])))]
pub(super) async fn add_stream(
    call: Call<needs::SettingsWrite>,
    Json(new): Json<NewStream>,
) -> Result<axum::Json<StreamRow>, Problem> {
    let name = line("name", &new.name, NAME_BYTES_MAX)?;
    let organization = call.organization();
    let action = ("stream.added", name.as_str());
    let store = call.audited::<(), _>(Some(organization), action, None, Some(&new.class))?;
    let added = store.add_stream(organization, &name, new.class).await;
    let row = added.map_err(|error| taken(error, "name"))?;
    credentials::reload(&call).await?;
    Ok(axum::Json(row))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Before {
    /// `next` of the page before.
    cursor: Option<AuditId>,
    /// Stands somewhere in who, what was done or to what, in any case.
    find: Option<String>,
    /// Not before this moment.
    from: Option<Timestamp>,
    /// Before this moment.
    until: Option<Timestamp>,
}

/// List what was changed, by whom, from what to what; newest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(Before),
    responses((status = 200, body = Page<AuditRow>)), security(("key" = ["audit_read"])))]
pub(super) async fn audit(
    call: Call<needs::AuditRead>,
    Query(before): Query<Before>,
) -> Result<axum::Json<Page<AuditRow>>, Problem> {
    let Before { cursor, find, from, until } = before;
    let find = narrowed(find.as_deref(), None)?.find;
    let asked = AuditFilter { before: cursor, find, from, until };
    let items = call.store.audit(call.scope(), &asked, AUDIT_ROWS).await?;
    let full = items.len() >= AUDIT_ROWS as usize;
    let next = items.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items, next }))
}

/// A stream of the caller's own.
async fn stream(call: &Call<needs::SettingsWrite>, id: StreamId) -> Result<StreamRow, Problem> {
    let rows = call.store.streams().await?;
    let own = rows.into_iter().find(|row| row.id == id && call.scope().covers(row.organization));
    own.ok_or_else(|| Problem::not_found("there is no such stream"))
}

/// Hold the mail of a stream until it is released; nothing of it is lost.
#[utoipa::path(post, path = "/v1/streams/{id}/hold", tag = "streams",
    params(("id" = StreamId, Path, description = "The stream")),
    responses((status = 200, body = StreamRow)), security(("key" = ["settings_write"])))]
pub(super) async fn hold_stream(
    call: Call<needs::SettingsWrite>,
    Path(id): Path<StreamId>,
    Json(given): Json<Suspension>,
) -> Result<axum::Json<StreamRow>, Problem> {
    let reason = line("reason", &given.reason, REASON_BYTES_MAX)?;
    let before = stream(&call, id).await?;
    let target = id.to_string();
    let action = ("stream.held", target.as_str());
    let store = call.audited(Some(before.organization), action, Some(&before), Some(&reason))?;
    if !store.hold_stream(id, &reason).await? {
        return Err(Problem::conflict("it is held already"));
    }
    tracing::info!(stream = %id, reason, "a stream is held");
    note(&call).await?;
    Ok(axum::Json(stream(&call, id).await?))
}

/// Let the mail of a held stream go on.
#[utoipa::path(post, path = "/v1/streams/{id}/release", tag = "streams",
    params(("id" = StreamId, Path, description = "The stream")),
    responses((status = 200, body = StreamRow)), security(("key" = ["settings_write"])))]
pub(super) async fn release_stream(
    call: Call<needs::SettingsWrite>,
    Path(id): Path<StreamId>,
) -> Result<axum::Json<StreamRow>, Problem> {
    let before = stream(&call, id).await?;
    let target = id.to_string();
    let action = ("stream.released", target.as_str());
    let store = call.audited::<_, ()>(Some(before.organization), action, Some(&before), None)?;
    if !store.release_stream(id).await? {
        return Err(Problem::conflict("it is not held"));
    }
    tracing::info!(stream = %id, "a stream was released");
    note(&call).await?;
    Ok(axum::Json(stream(&call, id).await?))
}
