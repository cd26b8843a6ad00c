//! /v1/automations/{id}/runs and /v1/automation-events: who is in an automation, and what lets
//! people in.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::automations::found;
use super::body::Json;
use super::extract::{Path, Query};
use super::narrow::narrowed;
use super::problem::Problem;
use crate::campaign::automation::define;
use crate::campaign::edit;
use crate::model::*;
use crate::store::{Arrival, RunChange, RunMove, RunRow};

const RUNS_MAX: u32 = 100;
const STOP_TRIES: u32 = 5;
const KEY_BYTES_MAX: usize = 200;

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RunsAsked {
    cursor: Option<RunId>,
    /// Stands somewhere in the address, in any case.
    find: Option<String>,
    state: Option<RunState>,
}

/// List who is and was in an automation, newest first.
#[utoipa::path(get, path = "/v1/automations/{id}/runs", tag = "automations",
    params(("id" = AutomationId, Path), RunsAsked),
    responses((status = 200, body = Page<RunRow>)), security(("key" = ["campaigns_read"])))]
pub(super) async fn runs(
    call: Call<needs::CampaignsRead>,
    Path(id): Path<AutomationId>,
    Query(asked): Query<RunsAsked>,
) -> Result<axum::Json<Page<RunRow>>, Problem> {
    found(&call, id).await?;
    let before = asked.cursor.unwrap_or(RunId(0));
    let narrowed = narrowed(asked.find.as_deref(), asked.state.map(|state| state.word()))?;
    let items = call.store.runs(id, before, RUNS_MAX, &narrowed).await?;
    let full = items.len() >= RUNS_MAX as usize;
    let next = items.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items, next }))
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = AutomationRunStopped)]
pub(super) struct Stopped {
    run: RunId,
}

/// Let somebody go from an automation.
#[utoipa::path(delete, path = "/v1/automations/{id}/runs/{run}", tag = "automations",
    params(("id" = AutomationId, Path), ("run" = RunId, Path)),
    responses((status = 200, body = Stopped)), security(("key" = ["campaigns_write"])))]
pub(super) async fn stop_run(
    call: Call<needs::CampaignsWrite>,
    Path((id, run)): Path<(AutomationId, RunId)>,
) -> Result<axum::Json<Stopped>, Problem> {
    let organization = found(&call, id).await?.organization;
    let none = || Problem::not_found("there is no such run under way");
    let target = run.to_string();
    let action = ("automation.run_stopped", target.as_str());
    // It may take a step between the look and the change.
    for _ in 0..STOP_TRIES {
        let open = call.store.open_run(id, run).await?.ok_or_else(none)?;
        let at = call.clock.now();
        let end = Some(RunEnd::Stopped);
        let moved = RunMove { run: open, did: None, step: open.step, wake_at: at, end };
        let change = RunChange::Move { automation: id, moves: vec![moved], at };
        let store = call.audited::<(), ()>(Some(organization), action, None, None)?;
        if store.change_runs(change).await? > 0 {
            return Ok(axum::Json(Stopped { run }));
        }
    }
    Err(Problem::conflict("it moves on all the time; try again"))
}

/// Something has happened to a contact.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AutomationEventInput {
    /// The contact's address.
    email: String,
    event: String,
    /// What tells this event from others of its kind: told again with the same key it has no
    /// effect.
    #[serde(default)]
    key: Option<String>,
}

/// How many automations the contact has come to by it.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct AutomationEventTold {
    pub automations: u64,
}

/// Tell that something has happened to a contact: it comes to the automations that wait for it.
#[utoipa::path(post, path = "/v1/automation-events", tag = "automations",
    responses((status = 200, body = AutomationEventTold)),
    security(("key" = ["contacts_write"])))]
pub(super) async fn tell(
    call: Call<needs::ContactsWrite>,
    Json(input): Json<AutomationEventInput>,
) -> Result<axum::Json<AutomationEventTold>, Problem> {
    let (organization, at) = (call.organization(), call.clock.now());
    let email = edit::email(&input.email)?;
    define::event_name(&input.event)?;
    let key = input.key.unwrap_or_else(|| format!("at {}", at.0));
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) || key.contains(char::is_control) {
        return Err(Problem::of_field("key", "must be 1 to 200 octets of text"));
    }
    let none = || Problem::of_field("email", "there is no such contact");
    let contact = call.store.contact_by_email(organization, &email).await?.ok_or_else(none)?.id;
    let waiting = call.store.entries_of_event(organization, &input.event).await?;
    let arrival = |automation| Arrival { automation, contact, key: key.clone(), at };
    let arrivals: Vec<Arrival> = waiting.into_iter().map(arrival).collect();
    let automations = arrivals.len() as u64;
    if automations > 0 {
        call.store.change_runs(RunChange::Arrive(arrivals)).await?;
        (call.nudge)();
    }
    Ok(axum::Json(AutomationEventTold { automations }))
}
