//! /v1/traces: recipients to whom everything that is said is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::problem::Problem;
use crate::model::*;

/// Of one organization, at a time; each is asked for every attempt.
const TRACES_MAX: usize = 20;
const HOUR: Duration = Duration::from_secs(3600);
const HOURS_MAX: u32 = 24 * 30;

/// List the recipients that are traced.
#[utoipa::path(get, path = "/v1/traces", tag = "traces",
    responses((status = 200, body = Page<Trace>)), security(("key" = ["messages_read"])))]
pub(super) async fn list(
    call: Call<needs::MessagesRead>,
) -> Result<axum::Json<Page<Trace>>, Problem> {
    let mut traces = call.store.traces().await?;
    traces.retain(|trace| call.scope().covers(trace.organization));
    Ok(Page::whole(traces))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTrace {
    /// An address, or a domain.
    #[schema(value_type = String)]
    recipient: Pattern,
    /// For so long, from now on.
    #[schema(minimum = 1, maximum = 720)]
    hours: u32,
    /// The caller's own, when it is missing.
    #[serde(default)]
    organization: Option<OrganizationId>,
}

/// Keep for a while what is said in every attempt to a recipient, whatever becomes of it.
#[utoipa::path(post, path = "/v1/traces", tag = "traces",
    responses((status = 200, body = Trace)), security(("key" = ["messages_steer"])))]
pub(super) async fn add(
    call: Call<needs::MessagesSteer>,
    Json(new): Json<NewTrace>,
) -> Result<axum::Json<Trace>, Problem> {
    let organization = call.organization_or(new.organization)?;
    if !(1..=HOURS_MAX).contains(&new.hours) {
        return Err(Problem::of_field("hours", format!("must be from 1 to {HOURS_MAX}")));
    }
    if !call.store.organizations().await?.iter().any(|row| row.id == organization) {
        return Err(Problem::of_field("organization", "there is no such organization"));
    }
    let known = call.store.traces().await?;
    if known.iter().filter(|one| one.organization == organization).count() >= TRACES_MAX {
        let detail = format!("{TRACES_MAX} recipients are traced; remove one first");
        return Err(Problem::conflict(detail));
    }
    let action = ("trace.added", new.recipient.as_str());
    let store = call.audited::<(), _>(Some(organization), action, None, Some(&new.hours))?;
    let end = call.clock.now() + HOUR * new.hours;
    let trace = store.add_trace(organization, new.recipient.clone(), end).await?;
    take_up(&call).await?;
    Ok(axum::Json(trace))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = TraceRemoved)]
pub struct Removed {
    pub removed: TraceId,
}

/// Trace a recipient no longer; what was kept stays.
#[utoipa::path(delete, path = "/v1/traces/{id}", tag = "traces",
    params(("id" = TraceId, Path, description = "The trace")),
    responses((status = 200, body = Removed)), security(("key" = ["messages_steer"])))]
pub(super) async fn remove(
    call: Call<needs::MessagesSteer>,
    Path(id): Path<TraceId>,
) -> Result<axum::Json<Removed>, Problem> {
    let none = || Problem::not_found("there is no such trace");
    let known = call.store.traces().await?;
    let own = known.into_iter().find(|one| one.id == id && call.scope().covers(one.organization));
    let trace = own.ok_or_else(none)?;
    let target = id.to_string();
    let action = ("trace.removed", target.as_str());
    let store = call.audited::<_, ()>(Some(trace.organization), action, Some(&trace), None)?;
    if !store.remove_trace(id).await? {
        return Err(none());
    }
    take_up(&call).await?;
    Ok(axum::Json(Removed { removed: id }))
}

/// From the next attempt on.
async fn take_up<N>(call: &Call<N>) -> Result<(), Problem> {
    match &call.queue {
        Some(queue) => queue.note_apart().await.map_err(Problem::ours),
        None => Ok(()),
    }
}
