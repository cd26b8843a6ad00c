//! /v1/templates and /v1/layouts: what mails are made of, with preview and checks.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::contacts::whole;
use super::extract::{Path, Query};
use super::narrow::narrowed;
use super::problem::Problem;
use super::{ApiState, Page};
use crate::campaign::templates;
use crate::compose::template::document::Document;
use crate::compose::template::{Check, Rendered, Template, TemplateError, checks};
use crate::model::{ContactId, LayoutId, OrganizationId, TemplateId, TemplateKind, Timestamp};
use crate::store::{LayoutRow, SavedBlockRow, StoreError, TemplateChange, TemplateRow};

const NAME_BYTES_MAX: usize = 200;
const LIST_MAX: u32 = 20;

impl From<TemplateError> for Problem {
    fn from(error: TemplateError) -> Problem {
        let TemplateError { part, line, column, path, why } = error;
        if !path.is_empty() {
            return Problem::of_field(format!("document.{path}"), why);
        }
        Problem::of_field(part.word(), format!("line {line}, column {column}: {why}"))
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    cursor: Option<TemplateId>,
    /// Stands somewhere in name or subject, in any case.
    find: Option<String>,
    kind: Option<TemplateKind>,
}

/// List templates, twenty at a time.
#[utoipa::path(get, path = "/v1/templates", tag = "templates", params(Asked),
    responses((status = 200, body = Page<TemplateRow>)),
    security(("key" = ["campaigns_read"])))]
pub(super) async fn list(
    call: Call<needs::CampaignsRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<TemplateRow>>, Problem> {
    let after = asked.cursor.unwrap_or(TemplateId(0));
    let narrowed = narrowed(asked.find.as_deref(), asked.kind.map(|kind| kind.word()))?;
    let items = call.store.templates(call.organization(), after, LIST_MAX, &narrowed).await?;
    let full = items.len() >= LIST_MAX as usize;
    let next = items.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items, next }))
}

#[derive(Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TemplateInput {
    name: String,
    kind: TemplateKind,
    subject: String,
    /// Of a document: its JSON, unless `document` holds it.
    #[serde(default)]
    body: Option<String>,
    /// The body of a template of the kind `document`.
    #[serde(default)]
    #[schema(value_type = Option<Document>)]
    document: Option<serde_json::Value>,
    /// The text part; made from the body when it is missing.
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    layout: Option<LayoutId>,
    /// Of what is changed: the one that was read.
    #[serde(default)]
    revision: Option<u64>,
}

/// The row as it would be, looked at with the organization's fields and its layout.
async fn checked(
    api: &ApiState,
    organization: OrganizationId,
    input: TemplateInput,
) -> Result<(TemplateRow, Template), Problem> {
    let name = lawful_name(&input.name)?;
    let at = api.clock.now();
    let body = body(input.kind, input.body, input.document)?;
    let row = TemplateRow {
        id: TemplateId(0),
        organization,
        name,
        kind: input.kind,
        subject: input.subject,
        body,
        text: input.text,
        layout: input.layout,
        revision: input.revision.unwrap_or(1),
        created_at: at,
        updated_at: at,
    };
    let template = made(api, &row).await?;
    Ok((row, template))
}

/// A document is kept as it would be written by us, whatever its form when it came.
fn body(
    kind: TemplateKind,
    body: Option<String>,
    document: Option<serde_json::Value>,
) -> Result<String, Problem> {
    match (kind, body, document) {
        (TemplateKind::Document, Some(_), Some(_)) => {
            Err(Problem::of_field("body", "is given by 'document' already"))
        }
        (TemplateKind::Document, None, Some(document)) => {
            let document = Document::of_value(&document).map_err(TemplateError::from)?;
            Ok(document.to_text())
        }
        (TemplateKind::Document, Some(text), None) => Ok(Document::of_text(&text)?.to_text()),
        (_, _, Some(_)) => {
            Err(Problem::of_field("document", "is for templates of the kind document"))
        }
        (_, None, None) => Err(Problem::of_field("body", "is missing")),
        (_, Some(body), None) => Ok(body),
    }
}

pub(super) async fn made(api: &ApiState, row: &TemplateRow) -> Result<Template, Problem> {
    let fields = api.store.fields(row.organization).await?;
    let layout = match row.layout {
        None => None,
        Some(id) => {
            let layouts = api.store.layouts(row.organization).await?;
            let layout = layouts.into_iter().find(|layout| layout.id == id);
            Some(layout.ok_or_else(|| Problem::of_field("layout", "there is no such layout"))?)
        }
    };
    let saved = saved_for(api, row.organization, row.kind).await?;
    let row = row.clone();
    // Milliseconds of work: others are not kept waiting for them.
    let making = move || templates::made(&row, layout.as_ref(), &saved, &fields);
    Ok(tokio::task::spawn_blocking(making).await.map_err(Problem::ours)??)
}

/// The organization's saved blocks, which only a document may name.
pub(super) async fn saved_for(
    api: &ApiState,
    organization: OrganizationId,
    kind: TemplateKind,
) -> Result<Vec<SavedBlockRow>, Problem> {
    match kind {
        TemplateKind::Document => Ok(api.store.saved_blocks(organization).await?),
        _ => Ok(Vec::new()),
    }
}

pub(super) fn lawful_name(name: &str) -> Result<String, Problem> {
    let name = name.trim();
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || name.contains(char::is_control) {
        return Err(Problem::of_field("name", "must be 1 to 200 octets of text"));
    }
    Ok(name.to_owned())
}

pub(super) fn taken(error: StoreError) -> Problem {
    match error {
        StoreError::Duplicate(_) => {
            let problem = Problem::conflict("there is one of this name");
            Problem { field: Some("name".into()), ..problem }
        }
        other => other.into(),
    }
}

fn none() -> Problem {
    Problem::not_found("there is no such template")
}

/// Make a template. Mistakes are told with part, line and column.
#[utoipa::path(post, path = "/v1/templates", tag = "templates",
    responses((status = 200, body = TemplateRow)), security(("key" = ["campaigns_write"])))]
pub(super) async fn add(
    call: Call<needs::CampaignsWrite>,
    Json(input): Json<TemplateInput>,
) -> Result<axum::Json<TemplateRow>, Problem> {
    let (row, _) = checked(&call, call.organization(), input).await?;
    let made = call.store.change_template(TemplateChange::Add(row.clone())).await;
    let id = TemplateId(made.map_err(taken)?);
    Ok(axum::Json(TemplateRow { id, revision: 1, ..row }))
}

/// Show a template.
#[utoipa::path(get, path = "/v1/templates/{id}", tag = "templates",
    params(("id" = TemplateId, Path)),
    responses((status = 200, body = TemplateRow)), security(("key" = ["campaigns_read"])))]
pub(super) async fn show(
    call: Call<needs::CampaignsRead>,
    Path(id): Path<TemplateId>,
) -> Result<axum::Json<TemplateRow>, Problem> {
    let row = call.store.template(call.organization(), id).await?;
    row.map(axum::Json).ok_or_else(none)
}

/// Change a template: all of it is given, and the revision that was read.
#[utoipa::path(put, path = "/v1/templates/{id}", tag = "templates",
    params(("id" = TemplateId, Path)),
    responses((status = 200, body = TemplateRow)), security(("key" = ["campaigns_write"])))]
pub(super) async fn change(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<TemplateId>,
    Json(input): Json<TemplateInput>,
) -> Result<axum::Json<TemplateRow>, Problem> {
    let organization = call.organization();
    if input.revision.is_none() {
        return Err(Problem::of_field("revision", "name the revision that you read"));
    }
    let old = call.store.template(organization, id).await?.ok_or_else(none)?;
    let (row, _) = checked(&call, organization, input).await?;
    let row = TemplateRow { id, created_at: old.created_at, ..row };
    match call.store.change_template(TemplateChange::Change(row)).await.map_err(taken)? {
        0 => {
            let problem = Problem::conflict("somebody has changed it since you read it");
            Err(Problem { field: Some("revision".into()), ..problem })
        }
        _ => {
            let row = call.store.template(organization, id).await?;
            row.map(axum::Json).ok_or_else(none)
        }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = TemplateRemoved)]
pub(super) struct Removed {
    id: i64,
}

fn removed(id: i64, rows: i64, none: Problem) -> Result<axum::Json<Removed>, Problem> {
    if rows == 0 { Err(none) } else { Ok(axum::Json(Removed { id })) }
}

/// Remove a template.
#[utoipa::path(delete, path = "/v1/templates/{id}", tag = "templates",
    params(("id" = TemplateId, Path)),
    responses((status = 200, body = Removed)), security(("key" = ["campaigns_write"])))]
pub(super) async fn remove(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<TemplateId>,
) -> Result<axum::Json<Removed>, Problem> {
    let change = TemplateChange::Remove { organization: call.organization(), id };
    removed(id.0, call.store.change_template(change).await?, none())
}

/// What is to be seen, and as whom.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    template: TemplateInput,
    contact: ContactId,
}

/// A template as one contact would get it, and what should be known before a launch.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct TemplatePreview {
    #[serde(flatten)]
    pub rendered: Rendered,
    pub checks: Vec<Check>,
}

/// Show what a template, saved or not, becomes for a contact, with the checks before a launch.
#[utoipa::path(post, path = "/v1/templates/preview", tag = "templates",
    responses((status = 200, body = TemplatePreview)), security(("key" = ["campaigns_read"])))]
pub(super) async fn preview(
    call: Call<needs::CampaignsRead>,
    Json(wanted): Json<Wanted>,
) -> Result<axum::Json<TemplatePreview>, Problem> {
    let organization = call.organization();
    let (_, template) = checked(&call, organization, wanted.template).await?;
    let no_contact = || Problem::of_field("contact", "there is no such contact");
    let row = call.store.contact(organization, wanted.contact).await?.ok_or_else(no_contact)?;
    let fields = call.store.fields(organization).await?;
    let sealer = call.sealer();
    let whole = whole(&call.store, organization, &fields, &[row], sealer.as_ref()).await?;
    let contact = whole.into_iter().next().ok_or_else(no_contact)?;
    let rendering = tokio::task::spawn_blocking(move || {
        let values = templates::preview_values(&contact, &serde_json::Map::new());
        let rendered = template.render(&values)?;
        let checks = checks(&template, &rendered);
        Ok::<_, TemplateError>(TemplatePreview { rendered, checks })
    });
    Ok(axum::Json(rendering.await.map_err(Problem::ours)??))
}

/// List the layouts.
#[utoipa::path(get, path = "/v1/layouts", tag = "templates",
    responses((status = 200, body = Page<LayoutRow>)), security(("key" = ["campaigns_read"])))]
pub(super) async fn layouts(
    call: Call<needs::CampaignsRead>,
) -> Result<axum::Json<Page<LayoutRow>>, Problem> {
    Ok(Page::whole(call.store.layouts(call.organization()).await?))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LayoutInput {
    name: String,
    /// HTML with `{{ content }}` where the body goes, once.
    body: String,
}

/// The layout, and every template that uses it, can be made ready.
async fn checked_layout<N>(
    call: &Call<N>,
    id: LayoutId,
    input: LayoutInput,
) -> Result<LayoutRow, Problem> {
    let organization = call.organization();
    let name = lawful_name(&input.name)?;
    let (body, updated_at) = (input.body, call.clock.now());
    let layout = LayoutRow { id, organization, name, body, updated_at };
    let mut users = call.store.templates_of_layout(organization, id).await?;
    users.push(TemplateRow {
        id: TemplateId(0),
        organization,
        name: "the layout alone".to_owned(),
        kind: TemplateKind::Html,
        subject: String::new(),
        body: String::new(),
        text: None,
        layout: Some(id),
        revision: 1,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
    });
    let fields = call.store.fields(organization).await?;
    let looking = tokio::task::spawn_blocking(move || {
        for user in users.iter().rev() {
            templates::made(user, Some(&layout), &[], &fields)?;
        }
        Ok::<_, TemplateError>(layout)
    });
    Ok(looking.await.map_err(Problem::ours)??)
}

/// Make a layout.
#[utoipa::path(post, path = "/v1/layouts", tag = "templates",
    responses((status = 200, body = LayoutRow)), security(("key" = ["campaigns_write"])))]
pub(super) async fn add_layout(
    call: Call<needs::CampaignsWrite>,
    Json(input): Json<LayoutInput>,
) -> Result<axum::Json<LayoutRow>, Problem> {
    let mut layout = checked_layout(&call, LayoutId(0), input).await?;
    let made = call.store.change_template(TemplateChange::AddLayout(layout.clone())).await;
    layout.id = LayoutId(made.map_err(taken)?);
    Ok(axum::Json(layout))
}

/// Change a layout, if all templates that use it can still be made ready.
#[utoipa::path(put, path = "/v1/layouts/{id}", tag = "templates",
    params(("id" = LayoutId, Path)),
    responses((status = 200, body = LayoutRow)), security(("key" = ["campaigns_write"])))]
pub(super) async fn change_layout(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<LayoutId>,
    Json(input): Json<LayoutInput>,
) -> Result<axum::Json<LayoutRow>, Problem> {
    let layout = checked_layout(&call, id, input).await?;
    let changed = call.store.change_template(TemplateChange::ChangeLayout(layout.clone())).await;
    match changed.map_err(taken)? {
        0 => Err(Problem::not_found("there is no such layout")),
        _ => Ok(axum::Json(layout)),
    }
}

/// Remove a layout that no template uses.
#[utoipa::path(delete, path = "/v1/layouts/{id}", tag = "templates",
    params(("id" = LayoutId, Path)),
    responses((status = 200, body = Removed)), security(("key" = ["campaigns_write"])))]
pub(super) async fn remove_layout(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<LayoutId>,
) -> Result<axum::Json<Removed>, Problem> {
    let organization = call.organization();
    let is_used = !call.store.templates_of_layout(organization, id).await?.is_empty();
    let change = TemplateChange::RemoveLayout { organization, id };
    let none = match is_used {
        true => Problem::conflict("templates use this layout"),
        false => Problem::not_found("there is no such layout"),
    };
    removed(id.0, call.store.change_template(change).await?, none)
}
