//! /v1/webhooks: endpoints that are told of events, the log of calls, tests and replays.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::extract::{Path, Query};
use super::narrow::narrowed;
use super::problem::Problem;
use crate::auth;
use crate::fetch::Url;
use crate::model::*;
use crate::store::{CallRow, Secret, StoreError, WebhookChange, WebhookRow, WebhookSettings};
use crate::webhooks::{self, SECRET_OVERLAP, WEBHOOKS_MAX, Webhooks};

const NAME_CHARS_MAX: usize = 64;
const CALLS_USUAL: u32 = 50;
const CALLS_MAX: u32 = 500;

/// An endpoint and how it fares.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookView {
    pub id: WebhookId,
    pub organization: OrganizationId,
    pub name: String,
    pub url: String,
    /// Event kinds; empty for all.
    pub kinds: Vec<EventKind>,
    pub format: WebhookFormat,
    pub enabled: bool,
    /// Why the daemon switched it off.
    pub disabled_reason: Option<String>,
    pub created_at: Timestamp,
    /// Since when no call has succeeded; null while all is well.
    pub failing_since: Option<Timestamp>,
    pub succeeded_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
    /// What it answered last.
    pub last_text: String,
}

impl From<WebhookRow> for WebhookView {
    fn from(row: WebhookRow) -> WebhookView {
        WebhookView {
            id: row.id,
            organization: row.organization,
            name: row.name,
            url: row.url,
            kinds: row.kinds,
            format: row.format,
            enabled: row.enabled,
            disabled_reason: row.disabled_reason,
            created_at: row.created_at,
            failing_since: row.failing_since,
            succeeded_at: row.succeeded_at,
            failed_at: row.failed_at,
            last_text: row.last_text,
        }
    }
}

/// One call, with its tries.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct CallView {
    pub id: WebhookCallId,
    pub webhook: WebhookId,
    /// Ids of the events told; empty for a test.
    pub events: Vec<EventId>,
    pub state: CallState,
    pub tries: u32,
    /// Of a waiting call: the next try.
    pub due_at: Timestamp,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// HTTP status of the last answer; null when there was none.
    pub status: Option<u16>,
    /// The beginning of the last answer, or why there was none.
    pub text: String,
    pub milliseconds: u64,
}

impl From<CallRow> for CallView {
    fn from(row: CallRow) -> CallView {
        CallView {
            id: row.id,
            webhook: row.webhook,
            events: row.events,
            state: row.state,
            tries: row.tries,
            due_at: row.due_at,
            created_at: row.created_at,
            ended_at: row.ended_at,
            status: row.status,
            text: row.text,
            milliseconds: row.milliseconds,
        }
    }
}

/// The only answer that ever holds the secret.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct MadeWebhook {
    pub webhook: WebhookView,
    /// What calls are signed with (Standard Webhooks: `whsec_…`).
    pub secret: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    name: String,
    url: String,
    /// Event kinds; empty or missing for all.
    #[serde(default)]
    kinds: Vec<EventKind>,
    #[serde(default = "own_format")]
    format: WebhookFormat,
    #[serde(default)]
    organization: Option<OrganizationId>,
}

fn own_format() -> WebhookFormat {
    WebhookFormat::Postroad
}

/// What changes; what is missing stays.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookPatch {
    name: Option<String>,
    url: Option<String>,
    kinds: Option<Vec<EventKind>>,
    format: Option<WebhookFormat>,
    /// True also takes back that the daemon switched it off.
    enabled: Option<bool>,
}

/// List endpoints and how they fare.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks",
    responses((status = 200, body = Page<WebhookView>)), security(("key" = ["webhooks_read"])))]
pub(super) async fn list(
    call: Call<needs::WebhooksRead>,
) -> Result<axum::Json<Page<WebhookView>>, Problem> {
    let mut rows = call.store.webhooks().await?;
    rows.retain(|row| call.scope().covers(row.organization));
    Ok(Page::whole(rows.into_iter().map(WebhookView::from).collect()))
}

/// Tell an endpoint of events from now on; its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks",
    responses((status = 200, body = MadeWebhook)), security(("key" = ["webhooks_write"])))]
pub(super) async fn add(
    call: Call<needs::WebhooksWrite>,
    Json(new): Json<NewWebhook>,
) -> Result<axum::Json<MadeWebhook>, Problem> {
    let organization = call.organization_or(new.organization)?;
    let known = call.store.webhooks().await?;
    if known.iter().filter(|row| row.organization == organization).count() >= WEBHOOKS_MAX {
        let detail = format!("an organization has at most {WEBHOOKS_MAX} webhooks");
        return Err(Problem::conflict(detail));
    }
    let settings = WebhookSettings {
        name: new.name,
        url: new.url,
        kinds: new.kinds,
        format: new.format,
        enabled: true,
    };
    lawful(&settings)?;
    let secret = webhooks::secret_of(auth::random_octets());
    let change =
        WebhookChange::Add { organization, settings, secret: secret.clone(), at: call.clock.now() };
    let id = WebhookId(call.store.change_webhook(change).await.map_err(name_taken)?);
    tracing::info!(webhook = %id, %organization, "a webhook was added");
    let webhook = changed(&call, id).await?;
    Ok(axum::Json(MadeWebhook { webhook, secret: secret.0 }))
}

/// Show one endpoint.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "of the webhook")),
    responses((status = 200, body = WebhookView)), security(("key" = ["webhooks_read"])))]
pub(super) async fn show(
    call: Call<needs::WebhooksRead>,
    Path(id): Path<WebhookId>,
) -> Result<axum::Json<WebhookView>, Problem> {
    Ok(axum::Json(found(&call, id).await?.into()))
}

/// Change an endpoint; what waits for it goes to the new URL.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "of the webhook")),
    responses((status = 200, body = WebhookView)), security(("key" = ["webhooks_write"])))]
pub(super) async fn update(
    call: Call<needs::WebhooksWrite>,
    Path(id): Path<WebhookId>,
    Json(patch): Json<WebhookPatch>,
) -> Result<axum::Json<WebhookView>, Problem> {
    let row = found(&call, id).await?;
    let settings = WebhookSettings {
        name: patch.name.unwrap_or(row.name),
        url: patch.url.unwrap_or(row.url),
        kinds: patch.kinds.unwrap_or(row.kinds),
        format: patch.format.unwrap_or(row.format),
        enabled: patch.enabled.unwrap_or(row.enabled),
    };
    lawful(&settings)?;
    let change = WebhookChange::Update { organization: row.organization, id, settings };
    call.store.change_webhook(change).await.map_err(name_taken)?;
    tracing::info!(webhook = %id, "a webhook was changed");
    Ok(axum::Json(changed(&call, id).await?))
}

/// Remove an endpoint; calls that wait for it are given up.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "of the webhook")),
    responses((status = 200, body = WebhookView)), security(("key" = ["webhooks_write"])))]
pub(super) async fn remove(
    call: Call<needs::WebhooksWrite>,
    Path(id): Path<WebhookId>,
) -> Result<axum::Json<WebhookView>, Problem> {
    let row = found(&call, id).await?;
    let change = WebhookChange::Remove { organization: row.organization, id };
    call.store.change_webhook(change).await?;
    tracing::info!(webhook = %id, "a webhook was removed");
    if let Some(webhooks) = &call.webhooks {
        webhooks.changed();
    }
    Ok(axum::Json(row.into()))
}

/// Make a new secret; the one before signs beside it for a day.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "of the webhook")),
    responses((status = 200, body = MadeWebhook)), security(("key" = ["webhooks_write"])))]
pub(super) async fn rotate(
    call: Call<needs::WebhooksWrite>,
    Path(id): Path<WebhookId>,
) -> Result<axum::Json<MadeWebhook>, Problem> {
    let row = found(&call, id).await?;
    let Secret(secret) = webhooks::secret_of(auth::random_octets());
    let change = WebhookChange::Rotate {
        organization: row.organization,
        id,
        secret: Secret(secret.clone()),
        before_until: call.clock.now() + SECRET_OVERLAP,
    };
    call.store.change_webhook(change).await?;
    let webhook = changed(&call, id).await?;
    Ok(axum::Json(MadeWebhook { webhook, secret }))
}

/// Make a call without events; its end stands in the log of calls.
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "of the webhook")),
    responses((status = 200, body = CallView)), security(("key" = ["webhooks_write"])))]
pub(super) async fn test(
    call: Call<needs::WebhooksWrite>,
    Path(id): Path<WebhookId>,
) -> Result<axum::Json<CallView>, Problem> {
    let row = found(&call, id).await?;
    if !row.enabled {
        return Err(Problem::conflict("this webhook is switched off; enable it first"));
    }
    let made = running(&call)?.test(&call.store, &row).await?;
    let made = call.store.webhook_call(made).await?;
    made.map(|row| axum::Json(row.into())).ok_or_else(|| Problem::ours("a call is not there"))
}

/// Of which calls.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedCalls {
    /// `next` of the page before.
    cursor: Option<WebhookCallId>,
    /// Stands somewhere in what was answered, in any case.
    find: Option<String>,
    state: Option<CallState>,
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// The log of calls, newest first; ended ones are kept for ten days.
#[utoipa::path(get, path = "/v1/webhooks/{id}/calls", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "of the webhook"), AskedCalls),
    responses((status = 200, body = Page<CallView>)), security(("key" = ["webhooks_read"])))]
pub(super) async fn calls(
    call: Call<needs::WebhooksRead>,
    Path(id): Path<WebhookId>,
    Query(asked): Query<AskedCalls>,
) -> Result<axum::Json<Page<CallView>>, Problem> {
    let limit = asked.limit.unwrap_or(CALLS_USUAL);
    if !(1..=CALLS_MAX).contains(&limit) {
        return Err(Problem::of_field("limit", format!("must be between 1 and {CALLS_MAX}")));
    }
    found(&call, id).await?;
    let narrowed = narrowed(asked.find.as_deref(), asked.state.map(|state| state.word()))?;
    let rows = call.store.calls_of_webhook(id, asked.cursor, limit, &narrowed).await?;
    let full = rows.len() >= limit as usize;
    let next = rows.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items: rows.into_iter().map(CallView::from).collect(), next }))
}

/// What is told again: everything that happened from `from` until before `to`.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    from: Timestamp,
    /// Now, when it is missing.
    #[serde(default)]
    to: Option<Timestamp>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Replayed {
    pub events: usize,
    /// There were more than may be told at once: ask again for the rest of the time.
    pub more: bool,
}

/// Tell events of a time once more.
#[utoipa::path(post, path = "/v1/webhooks/{id}/replay", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "of the webhook")),
    responses((status = 200, body = Replayed)), security(("key" = ["webhooks_write"])))]
pub(super) async fn replay(
    call: Call<needs::WebhooksWrite>,
    Path(id): Path<WebhookId>,
    Json(order): Json<Replay>,
) -> Result<axum::Json<Replayed>, Problem> {
    let row = found(&call, id).await?;
    let to = order.to.unwrap_or_else(|| call.clock.now());
    if order.from >= to {
        return Err(Problem::of_field("from", "must be before `to`, and in the past"));
    }
    let (events, more) = running(&call)?.replay(&call.store, &row, (order.from, to)).await?;
    tracing::info!(webhook = %id, events, "events are told once more");
    Ok(axum::Json(Replayed { events, more }))
}

/// An endpoint of the caller's own; another's is as if it were not.
async fn found<N>(call: &Call<N>, id: WebhookId) -> Result<WebhookRow, Problem> {
    let rows = call.store.webhooks().await?;
    let row = rows.into_iter().find(|row| row.id == id);
    row.filter(|row| call.scope().covers(row.organization))
        .ok_or_else(|| Problem::not_found("there is no such webhook"))
}

async fn changed<N>(call: &Call<N>, id: WebhookId) -> Result<WebhookView, Problem> {
    if let Some(webhooks) = &call.webhooks {
        webhooks.changed();
    }
    Ok(found(call, id).await?.into())
}

fn running<N>(call: &Call<N>) -> Result<&Webhooks, Problem> {
    call.webhooks.as_ref().ok_or_else(|| Problem::conflict("no daemon is running"))
}

fn name_taken(error: StoreError) -> Problem {
    match error {
        StoreError::Duplicate(_) => {
            let problem = Problem::conflict("a webhook has this name already");
            Problem { field: Some("name".into()), ..problem }
        }
        other => other.into(),
    }
}

fn lawful(settings: &WebhookSettings) -> Result<(), Problem> {
    let name = &settings.name;
    let length = name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&length) || name.chars().any(char::is_control) {
        let detail = format!("must be 1 to {NAME_CHARS_MAX} characters, none of them control");
        return Err(Problem::of_field("name", detail));
    }
    Url::parse(&settings.url).map_err(|error| Problem::of_field("url", error.to_string()))?;
    Ok(())
}
