//! /v1/campaigns: what is sent to many, planned, launched, steered and counted.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::campaign_looks::all_checks;
use super::campaign_mails::{VariantInput, attachable, own_domains, written};
use super::extract::{Path, Query};
use super::narrow::narrowed;
use super::problem::Problem;
use super::{ApiState, Page};
use crate::campaign::{Schema, plan};
use crate::compose::template::Weight;
use crate::model::*;
use crate::store::{CampaignChange, CampaignCounts, CampaignRow};

const LIST_MAX: u32 = 50;

/// A campaign, and where everybody of its audience is.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct CampaignView {
    #[serde(flatten)]
    pub campaign: CampaignRow,
    pub sums: plan::Sums,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    cursor: Option<CampaignId>,
    /// Stands somewhere in the name, in any case.
    find: Option<String>,
    state: Option<CampaignState>,
}

fn none() -> Problem {
    Problem::not_found("there is no such campaign")
}

pub(super) async fn found<N>(call: &Call<N>, id: CampaignId) -> Result<CampaignRow, Problem> {
    call.store.campaign(call.organization(), id).await?.ok_or_else(none)
}

/// A mail of an automation is changed and steered by its automation alone.
fn is_its_own(row: &CampaignRow) -> Result<(), Problem> {
    match row.automation {
        None => Ok(()),
        Some(id) => Err(Problem::conflict(format!("this is a mail of automation {id}"))),
    }
}

pub(super) async fn sums(api: &ApiState, campaign: &CampaignRow) -> Result<plan::Sums, Problem> {
    let (fed, states) = api.store.campaign_states(campaign.id).await?;
    Ok(plan::sums(campaign, fed, &states))
}

async fn view(api: &ApiState, campaign: CampaignRow) -> Result<CampaignView, Problem> {
    let sums = sums(api, &campaign).await?;
    Ok(CampaignView { campaign, sums })
}

/// List campaigns, newest first.
///
/// What has ended in the last seconds may still count as waiting.
#[utoipa::path(get, path = "/v1/campaigns", tag = "campaigns", params(Asked),
    responses((status = 200, body = Page<CampaignView>)),
    security(("key" = ["campaigns_read"])))]
pub(super) async fn list(
    call: Call<needs::CampaignsRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<CampaignView>>, Problem> {
    let before = asked.cursor.unwrap_or(CampaignId(0));
    let narrowed = narrowed(asked.find.as_deref(), asked.state.map(|state| state.word()))?;
    let rows = call.store.campaigns(call.organization(), before, LIST_MAX, &narrowed).await?;
    let full = rows.len() >= LIST_MAX as usize;
    let next = rows.last().filter(|_| full).map(|last| last.id.to_string());
    let ids: Vec<CampaignId> = rows.iter().map(|row| row.id).collect();
    let counts = call.store.campaign_counts(&ids).await?;
    let view = |campaign: CampaignRow| {
        let none = CampaignCounts::default();
        let counts = counts.get(&campaign.id).unwrap_or(&none);
        CampaignView { sums: plan::counted_sums(&campaign, counts), campaign }
    };
    Ok(axum::Json(Page { items: rows.into_iter().map(view).collect(), next }))
}

#[derive(Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CampaignInput {
    name: String,
    /// By its name; `marketing` when it is missing.
    #[serde(default)]
    stream: Option<String>,
    from: String,
    #[serde(default)]
    from_name: String,
    #[serde(default)]
    reply_to: Option<String>,
    /// One, or those of an A/B test.
    variants: Vec<VariantInput>,
    /// Files that each mail carries; at most ten, of 10 MiB in all.
    #[serde(default)]
    attachments: Vec<MediaId>,
    /// What templates name as `data.…`; at most 64 KiB.
    #[serde(default)]
    #[schema(value_type = Object)]
    data: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    settings: CampaignSettings,
}

/// The campaign as it would be.
async fn checked<N>(call: &Call<N>, input: CampaignInput) -> Result<CampaignRow, Problem> {
    let organization = call.organization();
    let name = plan::lawful_name(&input.name)?;
    let stream = input.stream.as_deref().unwrap_or("marketing");
    let streams = call.store.streams().await?;
    let is_it =
        |row: &&crate::store::StreamRow| row.organization == organization && row.name == stream;
    let no_stream = || Problem::of_field("stream", "there is no such stream");
    let stream = streams.iter().find(is_it).ok_or_else(no_stream)?.id;
    let schema = Schema::read(&call.store, organization).await?;
    let mut variants = Vec::new();
    for variant in input.variants {
        variants.push(written(call, variant, &schema.fields).await?);
    }
    let content = CampaignContent {
        from: input.from,
        from_name: input.from_name,
        reply_to: input.reply_to,
        variants,
        attachments: attachable(call, input.attachments).await?,
        data: input.data,
    };
    let domains = own_domains(call, organization).await?;
    plan::check_content(&content, &domains)?;
    let saved = call.store.saved_segments(organization).await?;
    let now = call.clock.now();
    let settings = input.settings;
    plan::check_settings(&settings, content.variants.len(), &schema, &saved, now)?;
    Ok(CampaignRow {
        id: CampaignId(0),
        organization,
        name,
        state: CampaignState::Draft,
        stream,
        revision: 1,
        settings,
        content,
        winner: None,
        audience: None,
        slices: None,
        trouble: None,
        created_at: now,
        updated_at: now,
        launched_at: None,
        ended_at: None,
        automation: None,
    })
}

/// Make a campaign, as a draft.
#[utoipa::path(post, path = "/v1/campaigns", tag = "campaigns",
    responses((status = 200, body = CampaignView)), security(("key" = ["campaigns_write"])))]
pub(super) async fn add(
    call: Call<needs::CampaignsWrite>,
    Json(input): Json<CampaignInput>,
) -> Result<axum::Json<CampaignView>, Problem> {
    let row = checked(&call, input).await?;
    let id = call.store.change_campaign(CampaignChange::Add(Box::new(row))).await?;
    Ok(axum::Json(view(&call, found(&call, CampaignId(id)).await?).await?))
}

/// Show a campaign, and where everybody of its audience is.
#[utoipa::path(get, path = "/v1/campaigns/{id}", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignView)), security(("key" = ["campaigns_read"])))]
pub(super) async fn show(
    call: Call<needs::CampaignsRead>,
    Path(id): Path<CampaignId>,
) -> Result<axum::Json<CampaignView>, Problem> {
    Ok(axum::Json(view(&call, found(&call, id).await?).await?))
}

/// Change a campaign: all of it is given. Once it is launched its audience stays as it is;
/// everything else acts on what no host has seen yet.
#[utoipa::path(put, path = "/v1/campaigns/{id}", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignView)), security(("key" = ["campaigns_write"])))]
pub(super) async fn change(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<CampaignId>,
    Json(input): Json<CampaignInput>,
) -> Result<axum::Json<CampaignView>, Problem> {
    let old = found(&call, id).await?;
    is_its_own(&old)?;
    let new = checked(&call, input).await?;
    if old.state.is_over() || old.state == CampaignState::Preparing {
        return Err(Problem::conflict(format!("a campaign that is {} stays as it is", old.state)));
    }
    if !old.state.is_before_launch() {
        let fixed = |settings: &CampaignSettings| {
            let CampaignSettings { audience, starts_at, local_time, test, .. } = settings.clone();
            let left_out = (settings.sunset_days, settings.rest_days);
            (audience, starts_at, local_time, test, left_out)
        };
        if fixed(&old.settings) != fixed(&new.settings) {
            let why = "audience, start, local time and test are fixed by the launch";
            return Err(Problem::of_field("settings", why));
        }
        if old.content.variants.len() != new.content.variants.len() || old.stream != new.stream {
            let why = "the number of variants and the stream are fixed by the launch";
            return Err(Problem::of_field("variants", why));
        }
    }
    let content = (new.content != old.content).then(|| Box::new(new.content));
    let (name, stream, at) = (new.name, new.stream, call.clock.now());
    let settings = Box::new(new.settings);
    let edit = CampaignChange::Edit { id, name, stream, settings, content, was: old.state, at };
    if call.store.change_campaign(edit).await? == 0 {
        return Err(Problem::conflict("it has just moved on; read it again"));
    }
    (call.nudge)();
    Ok(axum::Json(view(&call, found(&call, id).await?).await?))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Copied {
    /// Only to those who got it and did not read it; without, to the same audience.
    #[param(inline)]
    again: Option<CampaignAgain>,
}

/// Make a draft that says what another campaign says, to the same audience or to those of it who
/// did not read it, without its times.
#[utoipa::path(post, path = "/v1/campaigns/{id}/copy", tag = "campaigns",
    params(("id" = CampaignId, Path), Copied),
    responses((status = 200, body = CampaignView)), security(("key" = ["campaigns_write"])))]
pub(super) async fn copy(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<CampaignId>,
    Query(copied): Query<Copied>,
) -> Result<axum::Json<CampaignView>, Problem> {
    let old = found(&call, id).await?;
    let name = format!("{} (copy)", old.name);
    let name = name[..name.floor_char_boundary(plan::NAME_BYTES_MAX)].to_owned();
    let mut settings = CampaignSettings { starts_at: None, deadline: None, ..old.settings };
    if let Some(again) = copied.again {
        let tracking = &settings.tracking;
        let is_known = tracking.clicks || (tracking.opens && again == CampaignAgain::Unopened);
        if old.state.is_before_launch() || !is_known || tracking.anonymous {
            return Err(Problem::of_field("again", "it is not known who has read this campaign"));
        }
        settings.audience = settings.audience.again(id, again);
    }
    let at = call.clock.now();
    let row = CampaignRow { name, settings, created_at: at, updated_at: at, ..old };
    let id = call.store.change_campaign(CampaignChange::Add(Box::new(row))).await?;
    Ok(axum::Json(view(&call, found(&call, CampaignId(id)).await?).await?))
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CampaignRemoved)]
pub(super) struct Removed {
    id: CampaignId,
}

/// Remove a draft.
#[utoipa::path(delete, path = "/v1/campaigns/{id}", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = Removed)), security(("key" = ["campaigns_write"])))]
pub(super) async fn remove(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<CampaignId>,
) -> Result<axum::Json<Removed>, Problem> {
    is_its_own(&found(&call, id).await?)?;
    let organization = call.organization();
    match call.store.change_campaign(CampaignChange::Remove { organization, id }).await? {
        0 => Err(Problem::conflict("only a draft can be removed")),
        _ => Ok(axum::Json(Removed { id })),
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignMove)]
pub(super) struct Move {
    step: Asking,
}

/// What a person may ask of a campaign.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CampaignAsking)]
pub(super) enum Asking {
    /// At the moment that its settings name.
    Schedule,
    Unschedule,
    /// Now.
    Launch,
    Pause,
    Resume,
    /// For good: what no host has taken yet is not sent.
    Cancel,
}

impl Asking {
    const fn step(self) -> CampaignStep {
        match self {
            Asking::Schedule => CampaignStep::Schedule,
            Asking::Unschedule => CampaignStep::Unschedule,
            Asking::Launch => CampaignStep::Launch,
            Asking::Pause => CampaignStep::Pause,
            Asking::Resume => CampaignStep::Resume,
            Asking::Cancel => CampaignStep::Cancel,
        }
    }
}

/// Launch, schedule, pause, resume or cancel a campaign. A launch is refused for what the checks
/// call wrong.
#[utoipa::path(post, path = "/v1/campaigns/{id}/step", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignView)), security(("key" = ["campaigns_write"])))]
pub(super) async fn step(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<CampaignId>,
    Json(asked): Json<Move>,
) -> Result<axum::Json<CampaignView>, Problem> {
    let row = found(&call, id).await?;
    is_its_own(&row)?;
    let step = asked.step.step();
    let Some(to) = row.state.next(step) else {
        return Err(Problem::conflict(format!("a campaign that is {} does not {step}", row.state)));
    };
    if matches!(step, CampaignStep::Schedule) && row.settings.starts_at.is_none() {
        return Err(Problem::of_field("settings.starts_at", "says when a campaign begins"));
    }
    if matches!(step, CampaignStep::Launch | CampaignStep::Schedule) {
        let checks = all_checks(&call, &row).await?.checks;
        if let Some(wrong) = checks.iter().find(|check| check.weight == Weight::Wrong) {
            return Err(Problem::conflict(wrong.why.clone()));
        }
    }
    let (from, at) = (row.state, call.clock.now());
    let change = CampaignChange::Step { id, from, to, trouble: None, at };
    if call.store.change_campaign(change).await? == 0 {
        return Err(Problem::conflict("it has just moved on; read it again"));
    }
    tracing::info!(campaign = %id, state = %to, "a person has moved a campaign on");
    if let Some(feeder) = &call.feeder {
        // Nothing that is not under way leaves after the answer.
        feeder.take_up().await.map_err(Problem::ours)?;
    }
    (call.nudge)();
    Ok(axum::Json(view(&call, found(&call, id).await?).await?))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignWinner)]
pub(super) struct Winner {
    /// From 0.
    variant: u64,
}

/// Choose the variant of a test that the rest of the audience gets. It is chosen once.
#[utoipa::path(post, path = "/v1/campaigns/{id}/winner", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignView)), security(("key" = ["campaigns_write"])))]
pub(super) async fn winner(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<CampaignId>,
    Json(winner): Json<Winner>,
) -> Result<axum::Json<CampaignView>, Problem> {
    let row = found(&call, id).await?;
    if row.settings.test.is_none() || winner.variant >= row.content.variants.len() as u64 {
        return Err(Problem::of_field("variant", "there is no such variant of a test"));
    }
    let variant = Some(winner.variant);
    let change = CampaignChange::Winner { id, variant, trouble: None };
    if call.store.change_campaign(change).await? == 0 {
        return Err(Problem::conflict("the winner is chosen already"));
    }
    (call.nudge)();
    Ok(axum::Json(view(&call, found(&call, id).await?).await?))
}
