//! /v1/lists/{id}/form: what the public form of a list asks beside the address.

use serde::Serialize;

use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::problem::Problem;
use super::public::escaped;
use super::{public_form, public_words};
use crate::model::{ListId, ListVisibility};
use crate::store::{ListForm, ListRow};

const FIELDS_MAX: usize = 20;
const WORDING_BYTES_MAX: usize = 1000;
const URL_BYTES_MAX: usize = 1000;

/// The form, and what a site puts into a page of its own to show it.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ListFormView {
    asks_name: bool,
    fields: Vec<String>,
    wording: String,
    asked_url: Option<String>,
    confirmed_url: Option<String>,
    /// Counts changes, and stands in consents; 0 while nobody has changed it.
    version: u64,
    /// Its page; null for a private list, and where `http.public_url` is not set.
    url: Option<String>,
    /// The form in HTML, in the language that was asked for (Accept-Language).
    html: Option<String>,
}

async fn found<N>(call: &Call<N>, id: ListId) -> Result<ListRow, Problem> {
    let lists = call.store.lists(call.organization()).await?;
    let found = lists.into_iter().find(|list| list.id == id);
    found.ok_or_else(|| Problem::not_found("there is no such list"))
}

async fn view<N>(call: &Call<N>, list: &ListRow) -> Result<ListFormView, Problem> {
    let (form, version) = call.store.list_form(list.id).await?;
    let fields = call.store.fields(list.organization).await?;
    let links = call.composer.as_ref().and_then(|composer| composer.links());
    let links = links.filter(|_| list.visibility == ListVisibility::Public);
    let base = links.map(|links| links.of(list.organization).base().to_owned());
    let url = base.map(|base| format!("{base}/s/{}/{}", list.organization, list.id));
    let words = public_words::of(None, &call.origin().languages);
    let drawn = public_form::drawn(&form, &fields, words);
    let html = url
        .as_deref()
        .map(|url| format!("<form method=\"post\" action=\"{}\">{drawn}</form>", escaped(url)));
    let ListForm { asks_name, fields, wording, asked_url, confirmed_url } = form;
    Ok(ListFormView { asks_name, fields, wording, asked_url, confirmed_url, version, url, html })
}

/// Show what the public form of a list asks.
#[utoipa::path(get, path = "/v1/lists/{id}/form", tag = "lists",
    params(("id" = ListId, Path)),
    responses((status = 200, body = ListFormView)), security(("key" = ["contacts_read"])))]
pub(super) async fn show(
    call: Call<needs::ContactsRead>,
    Path(id): Path<ListId>,
) -> Result<axum::Json<ListFormView>, Problem> {
    let list = found(&call, id).await?;
    Ok(axum::Json(view(&call, &list).await?))
}

/// Say what the public form of a list asks: all of it is given. What is typed into it is shown to
/// the owner of the mailbox, and holds once he confirms.
#[utoipa::path(put, path = "/v1/lists/{id}/form", tag = "lists",
    params(("id" = ListId, Path)),
    responses((status = 200, body = ListFormView)), security(("key" = ["contacts_write"])))]
pub(super) async fn set(
    call: Call<needs::ContactsWrite>,
    Path(id): Path<ListId>,
    Json(wanted): Json<ListForm>,
) -> Result<axum::Json<ListFormView>, Problem> {
    let list = found(&call, id).await?;
    let fields = call.store.fields(list.organization).await?;
    let is_known = |name: &String| {
        let found = fields.iter().find(|field| field.name == *name);
        found.is_some_and(public_form::may_ask)
    };
    if wanted.fields.len() > FIELDS_MAX {
        return Err(Problem::of_field("fields", format!("at most {FIELDS_MAX} are asked for")));
    }
    if let Some(name) = wanted.fields.iter().find(|name| !is_known(name)) {
        let why = format!("'{name}' is no field that a public form may ask for");
        return Err(Problem::of_field("fields", why));
    }
    let is_text = |c: char| !c.is_control() || c == '\n';
    if wanted.wording.len() > WORDING_BYTES_MAX || !wanted.wording.chars().all(is_text) {
        return Err(Problem::of_field("wording", "must be at most 1000 octets of text"));
    }
    for (name, url) in [("asked_url", &wanted.asked_url), ("confirmed_url", &wanted.confirmed_url)]
    {
        if url.as_deref().is_some_and(|url| !is_web(url)) {
            return Err(Problem::of_field(name, "must be an https:// or http:// URL"));
        }
    }
    let (before, _) = call.store.list_form(id).await?;
    let target = id.to_string();
    let action = ("list_form.set", target.as_str());
    let store = call.audited(Some(list.organization), action, Some(&before), Some(&wanted))?;
    store.set_list_form(id, &wanted, call.clock.now()).await?;
    Ok(axum::Json(view(&call, &list).await?))
}

fn is_web(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'<>;".contains(c);
    rest.is_some_and(|rest| !rest.is_empty() && rest.len() <= URL_BYTES_MAX)
        && url.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_on_to_the_web_alone() {
        assert!(is_web("https://shop.example/thanks?a=1&b=2") && is_web("http://shop.example"));
        let long = format!("https://{}", "x".repeat(1001));
        for wrong in
            ["javascript:alert(1)", "https://", "//x", "https://x/\" onx=", "data:x", &long]
        {
            assert!(!is_web(wrong), "{wrong}");
        }
    }
}
