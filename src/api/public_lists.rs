//! Pages of public lists: asking for mail, and confirming it from the mailbox.
//!
//! Owns:       `/s/ORGANIZATION/LIST`, which a form of another site may post to, what stands behind
//!             `/embed` in a frame of another site, and `/y/TOKEN`.
//! Promises:   looking at a link confirms nothing; the mail that asks holds no word of whoever
//!             typed the address; the answer does not tell whether an address is known.
//! Knows not:  what subscribing means.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::access::{Call, Shared, needs};
use super::extract::Path;
use super::problem::Problem;
use super::public::{
    Page, escaped, field, fields, framed, going_on, links, not_ours, trouble, words,
};
use super::public_form::{self, Given};
use super::public_mail::{self, Outgoing};
use super::public_words::{Words, filled};
use super::themes::page;
use crate::campaign::edit::ContactInput;
use crate::campaign::subscribe::{self, FormSeen, Next, SubscribeError};
use crate::compose::Confirmation;
use crate::compose::template::Rendered;
use crate::model::*;
use crate::store::{ListForm, ListRow, StoreError};

type Anybody = Call<needs::Anybody>;

const CONFIRM_WITHIN: Duration = Duration::from_secs(7 * 86_400);

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/s/{organization}/{list}", get(form).post(asked))
        .route("/s/{organization}/{list}/embed", get(embedded).post(asked_embedded))
        .route("/y/{token}", get(confirming).post(confirmed))
}

async fn form(call: Anybody, Path(named): Path<(OrganizationId, ListId)>) -> Response {
    match asking(&call, named).await {
        Ok(page) => page.into_response(),
        Err(refused) => *refused,
    }
}

/// The same, for a frame of another site.
async fn embedded(call: Anybody, Path(named): Path<(OrganizationId, ListId)>) -> Response {
    match asking(&call, named).await {
        Ok(page) => framed(page).into_response(),
        Err(refused) => *refused,
    }
}

/// The answer goes back to where the form stands.
async fn asking(call: &Anybody, named: (OrganizationId, ListId)) -> Result<Page, Box<Response>> {
    let open = opened(call, named).await?;
    let words = words(call);
    let body = format!(
        "<p>{}</p><form method=\"post\">{}</form>",
        escaped(&open.list.description),
        public_form::drawn(&open.form, &open.fields, words)
    );
    Ok(page(call, open.list.organization, words, (&open.list.name, &body)).await)
}

/// A public list, and what its form asks.
struct Open {
    list: ListRow,
    form: ListForm,
    version: u64,
    fields: Vec<Field>,
}

impl Open {
    fn seen(&self) -> FormSeen {
        FormSeen { wording: self.form.wording.clone(), version: self.version }
    }
}

async fn opened(
    call: &Anybody,
    (organization, list): (OrganizationId, ListId),
) -> Result<Open, Box<Response>> {
    let list = match subscribe::public_list(&call.store, organization, list).await {
        Ok(list) => list,
        Err(SubscribeError::NoList) => return Err(Box::new(not_ours(call))),
        Err(_) => return Err(Box::new(trouble(call))),
    };
    let read = async {
        let (form, version) = call.store.list_form(list.id).await?;
        let fields = call.store.fields(organization).await?;
        Ok::<_, StoreError>(Open { list, form, version, fields })
    };
    read.await.map_err(|error| {
        tracing::warn!(%error, "a form cannot be shown now");
        Box::new(trouble(call))
    })
}

async fn asked(
    call: Anybody,
    Path(named): Path<(OrganizationId, ListId)>,
    body: String,
) -> Response {
    match taken(&call, named, &body).await {
        Ok((status, page)) => (status, page).into_response(),
        Err(refused) => *refused,
    }
}

async fn asked_embedded(
    call: Anybody,
    Path(named): Path<(OrganizationId, ListId)>,
    body: String,
) -> Response {
    match taken(&call, named, &body).await {
        Ok((status, page)) => (status, framed(page)).into_response(),
        Err(refused) => *refused,
    }
}

/// Somebody has typed an address.
async fn taken(
    call: &Anybody,
    named: (OrganizationId, ListId),
    body: &str,
) -> Result<(StatusCode, Page), Box<Response>> {
    let (address, now, words) = (call.origin().address, call.clock.now(), words(call));
    let organization = named.0;
    if !call.doorman().lets_in(address, now) {
        let body = format!("<p>{}</p>", words.too_many);
        let later = page(call, organization, words, (words.later, &body)).await;
        return Ok((StatusCode::TOO_MANY_REQUESTS, later));
    }
    let open = opened(call, named).await?;
    let pairs = fields(body);
    let given = match public_form::given(&open.form, &open.fields, &pairs, words) {
        Ok(given) => given,
        Err(label) => {
            let wrong = public_form::refused(&label, words);
            let wrong = page(call, organization, words, (&open.list.name, &wrong)).await;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, wrong));
        }
    };
    // A program is told the same as everybody.
    let next = match public_form::is_trapped(&pairs) {
        true => Ok(Next::Nothing),
        false => {
            let (email, asked) = (field(&pairs, "email"), (address, now));
            subscribe::ask(&call.store, &open.list, email, open.seen(), asked).await
        }
    };
    match next {
        Ok(Next::Confirm { contact, email }) => {
            if let Err(problem) = send(call, &open.list, (contact, given), &email).await {
                tracing::error!(why = problem.detail, "a confirmation could not be sent");
                return Err(Box::new(trouble(call)));
            }
        }
        Ok(Next::Nothing) => {}
        Err(SubscribeError::Unlawful(_)) => {
            let body = format!("<p>{}</p>", words.no_address);
            let wrong = page(call, organization, words, (words.address, &body)).await;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, wrong));
        }
        Err(_) => return Err(Box::new(trouble(call))),
    }
    let body = format!("<p>{}</p>", words.on_its_way);
    let told = page(call, organization, words, (words.almost_there, &body)).await;
    Ok((StatusCode::OK, led_on(told, words, open.form.asked_url.as_deref())))
}

fn led_on(page: Page, words: &Words, url: Option<&str>) -> Page {
    match url {
        Some(url) => going_on(page, words, url),
        None => page,
    }
}

async fn send(
    call: &Anybody,
    list: &ListRow,
    (contact, given): (ContactId, Option<Given>),
    email: &str,
) -> Result<(), Problem> {
    let organization = list.organization;
    let links = links(call).ok_or_else(|| Problem::unavailable("no public address"))?;
    let ends = call.clock.now() + CONFIRM_WITHIN;
    let given = given.map(|given| serde_json::json!(given).to_string()).unwrap_or_default();
    let asked = Confirmation { organization, contact, list: list.id, given };
    let url = links.of(organization).confirmation(&asked, ends);
    let outgoing = Outgoing {
        organization,
        from_name: &list.name,
        to: email,
        rendered: &rendered(words(call), &list.name, &url),
        attached: &[],
        tag: "confirmation",
        idempotency_key: None,
        ends,
    };
    public_mail::send(call, outgoing).await
}

/// No word of whoever typed the address is in it.
fn rendered(words: &Words, name: &str, url: &str) -> Rendered {
    let Words { yes, otherwise, .. } = words;
    let somebody = filled(words.somebody, name);
    Rendered {
        subject: filled(words.please_confirm, name),
        html: format!(
            "<p>{}</p><p><a href=\"{url}\">{yes}</a></p><p>{otherwise}</p>",
            escaped(&somebody)
        ),
        text: format!("{somebody}\n\n{yes}: {url}\n\n{otherwise}\n"),
    }
}

fn confirmation(call: &Anybody, token: &str) -> Result<(Confirmation, Given), Box<Response>> {
    let found = links(call).and_then(|links| links.confirmed(token, call.clock.now()));
    let Some(asked) = found else { return Err(Box::new(not_ours(call))) };
    // It is signed by us: what cannot be read is of another version.
    let given = serde_json::from_str(&asked.given).unwrap_or_default();
    Ok((asked, given))
}

async fn confirming(call: Anybody, Path(token): Path<String>) -> Response {
    match questioned(&call, &token).await {
        Ok(page) => page.into_response(),
        Err(refused) => *refused,
    }
}

async fn questioned(call: &Anybody, token: &str) -> Result<Page, Box<Response>> {
    let (asked, given) = confirmation(call, token)?;
    let open = opened(call, (asked.organization, asked.list)).await?;
    let words = words(call);
    let body = format!(
        "{}<form method=\"post\"><p><button>{}</button></p></form>",
        public_form::shown(&given, &open.fields, words),
        words.yes
    );
    Ok(page(call, asked.organization, words, (&open.list.name, &body)).await)
}

async fn confirmed(call: Anybody, Path(token): Path<String>) -> Response {
    match said_yes(&call, &token).await {
        Ok(page) => page.into_response(),
        Err(refused) => *refused,
    }
}

async fn said_yes(call: &Anybody, token: &str) -> Result<Page, Box<Response>> {
    let (asked, given) = confirmation(call, token)?;
    let open = opened(call, (asked.organization, asked.list)).await?;
    let by = (call.origin().address, call.clock.now());
    let Given { name, fields } = given;
    let given = ContactInput { name, fields, ..ContactInput::default() };
    let given = (&given, open.seen());
    match subscribe::confirm(&call.store, &open.list, asked.contact, given, by).await {
        Ok(true) => {
            let words = words(call);
            let body = format!("<p>{}</p>", words.you_are);
            let told = page(call, asked.organization, words, (words.subscribed, &body)).await;
            Ok(led_on(told, words, open.form.confirmed_url.as_deref()))
        }
        Ok(false) => Err(Box::new(not_ours(call))),
        Err(error) => {
            tracing::error!(%error, "somebody could not confirm");
            Err(Box::new(trouble(call)))
        }
    }
}
