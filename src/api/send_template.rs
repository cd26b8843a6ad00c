//! /v1/messages/template: a saved template with an application's own values, as one mail.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::access::{Call, needs};
use super::body::Json;
use super::problem::Problem;
use super::send::{Accepted, Answer, Desk};
use super::templates::made;
use crate::accept::letter::Letter;
use crate::campaign::templates;
use crate::compose::template::{Template, TemplateError};
use crate::compose::{self, Person};
use crate::contacts::{self, Contact};
use crate::model::*;

/// What stands under `data` in the template.
const DATA_BYTES_MAX: usize = 64 * 1024;

/// A template, its values and the mail around it.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TemplateMail {
    template: TemplateId,
    /// What the template names as `data`: `{{ data.code }}`.
    #[serde(default)]
    data: Map<String, Value>,
    /// To one recipient. Subject, text and HTML are the template's; a subject that is given here
    /// goes before it.
    message: Letter,
}

/// Send one mail made of a template; it is on disk when this answers. Values of the recipient's
/// contact are there, if there is one.
#[utoipa::path(post, path = "/v1/messages/template", tag = "messages",
    responses((status = 202, body = Accepted)), security(("key" = ["send"])))]
pub(super) async fn send_template(
    call: Call<needs::Send>,
    Json(input): Json<TemplateMail>,
) -> Answer<Accepted> {
    let TemplateMail { template, data, mut message } = input;
    if message.text.is_some() || message.html.is_some() {
        return Err(Problem::of_field("message", "text and html are the template's"));
    }
    let [to] = message.to.as_slice() else {
        return Err(Problem::of_field("message.to", "a template is made for one recipient"));
    };
    if serde_json::to_string(&data).map_or(0, |text| text.len()) > DATA_BYTES_MAX {
        return Err(Problem::of_field("data", format!("at most {DATA_BYTES_MAX} octets")));
    }
    let desk = Desk::of(&call).await?;
    let organization = desk.organization();
    let values = values(&call, organization, &to.email, to.name.as_deref(), data).await?;
    let template = ready(&call, organization, template).await?;
    let rendering = tokio::task::spawn_blocking(move || template.render(&values));
    let rendered = rendering.await.map_err(Problem::ours)?;
    let rendered = rendered.map_err(|wrong: TemplateError| {
        Problem::of_field("data", format!("the template cannot be filled: {wrong}"))
    })?;
    if message.subject.is_empty() {
        message.subject = rendered.subject;
    }
    message.text = Some(rendered.text);
    message.html = Some(rendered.html);
    let accepted = desk.send(message).await?;
    Ok((StatusCode::ACCEPTED, desk.headers(), axum::Json(accepted)))
}

/// Made once for each revision of it and its layout.
async fn ready(
    call: &Call<needs::Send>,
    organization: OrganizationId,
    id: TemplateId,
) -> Result<Template, Problem> {
    let none = || Problem::of_field("template", "there is no such template");
    let row = call.store.template(organization, id).await?.ok_or_else(none)?;
    let layout_at = match row.layout {
        None => Timestamp::default(),
        Some(layout) => {
            let layouts = call.store.layouts(organization).await?;
            let found = layouts.iter().find(|one| one.id == layout);
            found.map_or(Timestamp::default(), |one| one.updated_at)
        }
    };
    let key = (id, row.revision, layout_at);
    if let Some(template) = call.made_templates().get(&key) {
        return Ok(template);
    }
    let template = made(call, &row).await?;
    call.made_templates().insert(key, template.clone());
    Ok(template)
}

/// What the template is filled with.
async fn values(
    call: &Call<needs::Send>,
    organization: OrganizationId,
    email: &str,
    name: Option<&str>,
    data: Map<String, Value>,
) -> Result<Value, Problem> {
    let row = call.store.contact_by_email(organization, email).await?;
    let mut contact = match row {
        None => Contact { email: email.to_owned(), ..templates::nobody() },
        Some(row) => {
            let fields = call.store.fields(organization).await?;
            let tags = call.store.tags_of(organization, &[row.id]).await?;
            let tags = tags.into_iter().map(|(_, tag)| tag).collect();
            Contact { tags, ..contacts::named(&row, &fields) }
        }
    };
    if let Some(name) = name {
        contact.name = name.to_owned();
    }
    let mut values = compose::values(&compose::person_of(contact), &Person::default());
    values["data"] = Value::Object(data);
    Ok(values)
}
