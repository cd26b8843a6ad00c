//! /v1/automations: mail that a person gets by what has happened to him.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::campaign_mails::{VariantInput, attachable, own_domains, written};
use super::extract::{Path, Query};
use super::narrow::narrowed;
use super::problem::Problem;
use crate::campaign::automation::define;
use crate::campaign::{Schema, edit, plan};
use crate::model::*;
use crate::store::{
    AutomationChange, AutomationRow, CampaignRow, ContactChange, NewVersion, StepCount, StoreError,
};

const LIST_MAX: u32 = 50;

/// An automation, and where those stand who are in it.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct AutomationView {
    #[serde(flatten)]
    pub automation: AutomationRow,
    /// How many wait before which step.
    pub standing: Vec<AutomationStanding>,
    /// What each step has done so far.
    pub done: Vec<StepCount>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct AutomationStanding {
    pub version: u64,
    /// From 0.
    pub step: u32,
    pub count: u64,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    cursor: Option<AutomationId>,
    /// Stands somewhere in the name, in any case.
    find: Option<String>,
    state: Option<AutomationState>,
}

pub(super) async fn found<N>(call: &Call<N>, id: AutomationId) -> Result<AutomationRow, Problem> {
    let none = || Problem::not_found("there is no such automation");
    call.store.automation(call.organization(), id).await?.ok_or_else(none)
}

async fn view<N>(call: &Call<N>, automation: AutomationRow) -> Result<AutomationView, Problem> {
    let standing = call.store.runs_standing(automation.id).await?;
    let done = call.store.step_counts(automation.id).await?;
    let stand = |(version, step, count)| AutomationStanding { version, step, count };
    Ok(AutomationView { automation, standing: standing.into_iter().map(stand).collect(), done })
}

fn taken(error: StoreError) -> Problem {
    match error {
        StoreError::Duplicate(_) => {
            let problem = Problem::conflict("there is an automation of this name");
            Problem { field: Some("name".into()), ..problem }
        }
        other => other.into(),
    }
}

/// List automations, newest first.
#[utoipa::path(get, path = "/v1/automations", tag = "automations", params(Asked),
    responses((status = 200, body = Page<AutomationView>)),
    security(("key" = ["campaigns_read"])))]
pub(super) async fn list(
    call: Call<needs::CampaignsRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<AutomationView>>, Problem> {
    let before = asked.cursor.unwrap_or(AutomationId(0));
    let narrowed = narrowed(asked.find.as_deref(), asked.state.map(|state| state.word()))?;
    let rows = call.store.automations(call.organization(), before, LIST_MAX, &narrowed).await?;
    let full = rows.len() >= LIST_MAX as usize;
    let next = rows.last().filter(|_| full).map(|last| last.id.to_string());
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        items.push(view(&call, row).await?);
    }
    Ok(axum::Json(Page { items, next }))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AutomationInput {
    name: String,
    /// By its name; `marketing` when it is missing.
    #[serde(default)]
    stream: Option<String>,
    entry: AutomationEntry,
    /// Somebody who was in it may come in anew.
    #[serde(default)]
    again: bool,
    /// Who leaves this list leaves the automation. Of an entry by subscription it is that list
    /// when it is missing.
    #[serde(default)]
    list: Option<ListId>,
    #[serde(default)]
    tracking: CampaignTracking,
    /// A segment: who is in it has come to where the automation leads, and is let go before his
    /// next step.
    #[serde(default)]
    goal: Option<String>,
    steps: Vec<StepInput>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = AutomationStepInput)]
pub(super) enum StepInput {
    /// The next step comes so much later, and within these hours.
    Wait {
        seconds: u64,
        #[serde(default)]
        window: Option<SendingWindow>,
    },
    /// A mail: a template that is copied, or written here.
    Send {
        from: String,
        #[serde(default)]
        from_name: String,
        #[serde(default)]
        reply_to: Option<String>,
        mail: VariantInput,
        #[serde(default)]
        attachments: Vec<MediaId>,
    },
    /// Whoever is not in this segment passes over so many steps; without `skip` he is let go.
    Condition {
        expression: String,
        #[serde(default)]
        skip: Option<u16>,
    },
    /// Tags are put on, values are given to fields (null takes one away), lists are joined (those
    /// with double opt-in wait for a confirmation) and left.
    Change {
        #[serde(default)]
        tags: Vec<String>,
        #[serde(default)]
        #[schema(value_type = Object)]
        fields: serde_json::Map<String, serde_json::Value>,
        #[serde(default)]
        subscribe: Vec<ListId>,
        #[serde(default)]
        unsubscribe: Vec<ListId>,
    },
    /// The way ends here.
    // Without braces serde takes any field beside `kind`.
    Exit {},
}

/// The steps as they will be kept; mails have no campaign yet.
async fn steps<N>(
    call: &Call<N>,
    inputs: Vec<StepInput>,
    fields: &[Field],
) -> Result<Vec<AutomationStep>, Problem> {
    if inputs.len() > define::STEPS_MAX {
        let why = format!("there are 1 to {} steps", define::STEPS_MAX);
        return Err(Problem::of_field("steps", why));
    }
    let domains = own_domains(call, call.organization()).await?;
    let mut steps = Vec::with_capacity(inputs.len());
    for input in inputs {
        steps.push(match input {
            StepInput::Wait { seconds, window } => AutomationStep::Wait { seconds, window },
            StepInput::Condition { expression, skip } => {
                AutomationStep::Condition { expression, skip }
            }
            StepInput::Change { tags, fields, subscribe, unsubscribe } => {
                AutomationStep::Change { tags, fields, subscribe, unsubscribe }
            }
            StepInput::Exit {} => AutomationStep::Exit,
            StepInput::Send { from, from_name, reply_to, mail, attachments } => {
                let variants = vec![written(call, mail, fields).await?];
                let attachments = attachable(call, attachments).await?;
                let data = serde_json::Map::new();
                let content =
                    CampaignContent { from, from_name, reply_to, variants, attachments, data };
                plan::check_content(&content, &domains)?;
                AutomationStep::Send { campaign: CampaignId(0), content: Box::new(content) }
            }
        });
    }
    Ok(steps)
}

/// The definition that was asked for, without the campaigns of its mails.
async fn defined<N>(
    call: &Call<N>,
    input: AutomationInput,
) -> Result<(AutomationDefinition, Schema), Problem> {
    let organization = call.organization();
    let mut tags: Vec<String> = Vec::new();
    if let AutomationEntry::Tag { tag } = &input.entry {
        tags.push(edit::tag(tag)?);
    }
    for step in &input.steps {
        if let StepInput::Change { tags: named, .. } = step {
            for tag in named {
                tags.push(edit::tag(tag)?);
            }
        }
    }
    for name in tags {
        call.store.change_contacts(ContactChange::Tag { organization, name }).await?;
    }
    let schema = Schema::read(&call.store, organization).await?;
    let wanted = input.stream.as_deref().unwrap_or("marketing");
    let streams = call.store.streams().await?;
    let stream = streams.iter().find(|row| row.organization == organization && row.name == wanted);
    let stream = stream.ok_or_else(|| Problem::of_field("stream", "there is no such stream"))?.id;
    let own_list = match &input.entry {
        AutomationEntry::Subscription { list } => Some(*list),
        _ => None,
    };
    let definition = AutomationDefinition {
        steps: steps(call, input.steps, &schema.fields).await?,
        entry: input.entry,
        again: input.again,
        list: input.list.or(own_list),
        stream,
        tracking: input.tracking,
        goal: input.goal,
    };
    define::check(&definition, &schema, call.clock.now())?;
    Ok((definition, schema))
}

/// Mails that are in `old` as they are keep their campaigns, and with them their reports.
fn with_campaigns<N>(
    call: &Call<N>,
    name: &str,
    mut new: AutomationDefinition,
    old: Option<&AutomationDefinition>,
) -> NewVersion {
    let of = |definition: &AutomationDefinition| {
        (definition.list, definition.stream, definition.tracking.clone())
    };
    let mut kept: Vec<(CampaignId, CampaignContent)> = Vec::new();
    for step in old.filter(|old| of(old) == of(&new)).into_iter().flat_map(|old| &old.steps) {
        if let AutomationStep::Send { campaign, content } = step {
            kept.push((*campaign, (**content).clone()));
        }
    }
    let mut campaigns = Vec::new();
    let settings = CampaignSettings {
        audience: Audience { lists: new.list.into_iter().collect(), ..Audience::default() },
        tracking: new.tracking.clone(),
        ..CampaignSettings::default()
    };
    for (place, step) in new.steps.iter_mut().enumerate() {
        let AutomationStep::Send { campaign, content } = step else { continue };
        match kept.iter().position(|(_, one)| one == &**content) {
            Some(at) => *campaign = kept.swap_remove(at).0,
            None => campaigns.push(CampaignRow {
                id: CampaignId(0),
                organization: call.organization(),
                name: format!("{name}: step {}", place + 1),
                state: CampaignState::Draft,
                stream: new.stream,
                revision: 1,
                settings: settings.clone(),
                content: (**content).clone(),
                winner: None,
                audience: None,
                slices: None,
                trouble: None,
                created_at: call.clock.now(),
                updated_at: call.clock.now(),
                launched_at: None,
                ended_at: None,
                automation: None,
            }),
        }
    }
    NewVersion { definition: new, campaigns }
}

/// Make an automation, as a draft.
#[utoipa::path(post, path = "/v1/automations", tag = "automations",
    responses((status = 200, body = AutomationView)), security(("key" = ["campaigns_write"])))]
pub(super) async fn add(
    call: Call<needs::CampaignsWrite>,
    Json(input): Json<AutomationInput>,
) -> Result<axum::Json<AutomationView>, Problem> {
    let name = plan::lawful_name(&input.name)?;
    let (definition, _) = defined(&call, input).await?;
    let version = Box::new(with_campaigns(&call, &name, definition, None));
    let (organization, at) = (call.organization(), call.clock.now());
    let after = Some(&version.definition);
    let store = call.audited::<(), _>(Some(organization), ("automation.added", ""), None, after)?;
    let change = AutomationChange::Add { organization, name, version, at };
    let id = AutomationId(store.change_automation(change).await.map_err(taken)?);
    Ok(axum::Json(view(&call, found(&call, id).await?).await?))
}

/// Show an automation, and where those stand who are in it.
#[utoipa::path(get, path = "/v1/automations/{id}", tag = "automations",
    params(("id" = AutomationId, Path)),
    responses((status = 200, body = AutomationView)), security(("key" = ["campaigns_read"])))]
pub(super) async fn show(
    call: Call<needs::CampaignsRead>,
    Path(id): Path<AutomationId>,
) -> Result<axum::Json<AutomationView>, Problem> {
    Ok(axum::Json(view(&call, found(&call, id).await?).await?))
}

/// Change an automation: all of it is given. What is changed is a new version, in which those
/// begin who come in from now on; whoever is in it ends in the version that he began in.
#[utoipa::path(put, path = "/v1/automations/{id}", tag = "automations",
    params(("id" = AutomationId, Path)),
    responses((status = 200, body = AutomationView)), security(("key" = ["campaigns_write"])))]
pub(super) async fn change(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<AutomationId>,
    Json(input): Json<AutomationInput>,
) -> Result<axum::Json<AutomationView>, Problem> {
    let old = found(&call, id).await?;
    if old.state == AutomationState::Ended {
        return Err(Problem::conflict("an automation that has ended stays as it is"));
    }
    let name = plan::lawful_name(&input.name)?;
    let (definition, schema) = defined(&call, input).await?;
    let target = define::target(&definition.entry, &schema);
    let version = with_campaigns(&call, &name, definition, Some(&old.definition));
    let is_new = version.definition != old.definition;
    let target_id = id.to_string();
    let action = ("automation.changed", target_id.as_str());
    let (before, after) = (Some(&old.definition), Some(&version.definition));
    let store = call.audited(Some(old.organization), action, before, after)?;
    let edit = AutomationChange::Edit {
        id,
        name,
        version: is_new.then(|| Box::new(version)),
        target,
        was: old.state,
        at: call.clock.now(),
    };
    if store.change_automation(edit).await.map_err(taken)? == 0 {
        return Err(Problem::conflict("it has just moved on; read it again"));
    }
    (call.nudge)();
    Ok(axum::Json(view(&call, found(&call, id).await?).await?))
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = AutomationRemoved)]
pub(super) struct Removed {
    id: AutomationId,
}

/// Remove a draft.
#[utoipa::path(delete, path = "/v1/automations/{id}", tag = "automations",
    params(("id" = AutomationId, Path)),
    responses((status = 200, body = Removed)), security(("key" = ["campaigns_write"])))]
pub(super) async fn remove(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<AutomationId>,
) -> Result<axum::Json<Removed>, Problem> {
    let old = found(&call, id).await?;
    let (organization, target) = (old.organization, id.to_string());
    let action = ("automation.removed", target.as_str());
    let store = call.audited::<_, ()>(Some(organization), action, Some(&old.definition), None)?;
    match store.change_automation(AutomationChange::Remove { organization, id }).await? {
        0 => Err(Problem::conflict("only a draft can be removed")),
        _ => Ok(axum::Json(Removed { id })),
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AutomationMove)]
pub(super) struct Move {
    step: AutomationStepping,
}

/// Activate, pause or end an automation. While it is paused nobody moves on, and who comes in
/// waits; one that is ended lets everybody go.
#[utoipa::path(post, path = "/v1/automations/{id}/step", tag = "automations",
    params(("id" = AutomationId, Path)),
    responses((status = 200, body = AutomationView)), security(("key" = ["campaigns_write"])))]
pub(super) async fn step(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<AutomationId>,
    Json(asked): Json<Move>,
) -> Result<axum::Json<AutomationView>, Problem> {
    let row = found(&call, id).await?;
    let Some(to) = row.state.next(asked.step) else {
        let why = format!("an automation that is {} does not {}", row.state, asked.step);
        return Err(Problem::conflict(why));
    };
    let schema = Schema::read(&call.store, call.organization()).await?;
    if to == AutomationState::Active {
        define::check(&row.definition, &schema, call.clock.now())?;
        if call.composer.as_ref().is_none_or(|composer| composer.links().is_none()) {
            let why = "http.public_url is not set, or no daemon runs: nobody could unsubscribe";
            return Err(Problem::conflict(why));
        }
    }
    let target = define::target(&row.definition.entry, &schema);
    let target = target.filter(|_| to != AutomationState::Ended);
    let (from, at) = (row.state, call.clock.now());
    let change = AutomationChange::Step { id, from, to, target, trouble: None, at };
    let named = id.to_string();
    let action = ("automation.moved", named.as_str());
    let store = call.audited(Some(row.organization), action, Some(&from), Some(&to))?;
    if store.change_automation(change).await? == 0 {
        return Err(Problem::conflict("it has just moved on; read it again"));
    }
    (call.nudge)();
    Ok(axum::Json(view(&call, found(&call, id).await?).await?))
}
