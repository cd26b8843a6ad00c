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
use super::public::{Page, escaped, field, fields, framed, links, not_ours, trouble};
use super::themes::page;
use crate::campaign::subscribe::{self, Next, SubscribeError};
use crate::compose::Letter;
use crate::compose::template::Rendered;
use crate::model::*;
use crate::queue::NewMessage;
use crate::store::{DomainRow, ListRow, StreamRow};

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
    let (organization, list) = named;
    match subscribe::public_list(&call.store, organization, list).await {
        Ok(list) => {
            let body = format!(
                "<p>{}</p><form method=\"post\"><label>Your address \
                 <input type=\"email\" name=\"email\" required></label>\
                 <p><button>Subscribe</button></p></form>",
                escaped(&list.description)
            );
            Ok(page(call, organization, &list.name, &body).await)
        }
        Err(SubscribeError::NoList) => Err(Box::new(not_ours())),
        Err(_) => Err(Box::new(trouble())),
    }
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
    (organization, list): (OrganizationId, ListId),
    body: &str,
) -> Result<(StatusCode, Page), Box<Response>> {
    let (address, now) = (call.origin().address, call.clock.now());
    if !call.doorman().lets_in(address, now) {
        let later = page(call, organization, "Later", "<p>Too many requests.</p>").await;
        return Ok((StatusCode::TOO_MANY_REQUESTS, later));
    }
    let form = fields(body);
    let asking = async {
        let list = subscribe::public_list(&call.store, organization, list).await?;
        let next = subscribe::ask(&call.store, &list, field(&form, "email"), address, now).await?;
        Ok::<_, SubscribeError>((list, next))
    };
    match asking.await {
        Ok((list, Next::Confirm { contact, email })) => {
            if let Err(problem) = send(call, &list, contact, &email).await {
                tracing::error!(why = problem.detail, "a confirmation could not be sent");
                return Err(Box::new(trouble()));
            }
        }
        Ok((_, Next::Nothing)) => {}
        Err(SubscribeError::Unlawful(_)) => {
            let body = "<p>This is no address that mail can be sent to.</p>";
            let wrong = page(call, organization, "Address", body).await;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, wrong));
        }
        Err(SubscribeError::NoList) => return Err(Box::new(not_ours())),
        Err(_) => return Err(Box::new(trouble())),
    }
    let body = "<p>If this address is not subscribed yet, a mail is on its way to it. \
        Please follow the link in it.</p>";
    Ok((StatusCode::OK, page(call, organization, "Almost there", body).await))
}

/// From the organization's first domain, as transactional mail.
async fn send(
    call: &Anybody,
    list: &ListRow,
    contact: ContactId,
    email: &str,
) -> Result<(), Problem> {
    let none = || Problem::unavailable("no domain, stream or public address to send from");
    let organization = list.organization;
    let (queue, links) = (call.queue.as_ref().ok_or_else(none)?, links(call).ok_or_else(none)?);
    let (domain, stream) = origin(call, organization).await?.ok_or_else(none)?;
    let ends = call.clock.now() + CONFIRM_WITHIN;
    let url = links.of(organization).confirmation(organization, contact, list.id, ends);
    let content = content(list, &domain);
    let rendered = rendered(&list.name, &url);
    let id = queue.message_id().await.map_err(Problem::ours)?;
    let letter = Letter {
        content: &content,
        to_name: "",
        to: email,
        rendered: &rendered,
        at: call.clock.wall(),
        id: &format!("confirm.{id}"),
        more: &[("Auto-Submitted", "auto-generated".to_owned())],
        attached: &[],
    };
    let to = Address::parse(email).map_err(Problem::ours)?;
    let smtputf8 = to.needs_smtputf8();
    let recipient = Recipient { notify: Notify::NEVER, ..Recipient::new(to) };
    let new = NewMessage {
        organization,
        stream,
        credential: None,
        domain: Some(domain.id),
        envelope: Envelope {
            sender: ReversePath::parse(&content.from).map_err(Problem::ours)?,
            recipients: vec![recipient],
            eight_bit: false,
            smtputf8,
            dsn_return: None,
            dsn_envelope_id: None,
        },
        message_id_header: letter.message_id(),
        subject: rendered.subject.clone(),
        tag: Some("confirmation".to_owned()),
        metadata: None,
        idempotency_key: None,
        rank: 0,
        tracking: None,
        not_before: None,
        not_after: Some(ends),
        line: None,
        body: letter.bytes(),
    };
    queue.enqueue(id, new).await.map_err(Problem::ours)?;
    Ok(())
}

fn content(list: &ListRow, domain: &DomainRow) -> CampaignContent {
    CampaignContent {
        attachments: Vec::new(),
        data: serde_json::Map::new(),
        from: format!("no-reply@{}", domain.name),
        from_name: list.name.clone(),
        reply_to: None,
        variants: Vec::new(),
    }
}

/// The first domain and the transactional stream.
async fn origin(
    call: &Anybody,
    organization: OrganizationId,
) -> Result<Option<(DomainRow, StreamId)>, Problem> {
    let mut domains = call.store.domains().await?.into_iter();
    let domain = domains.find(|row| row.organization == organization);
    let streams = call.store.streams().await?;
    let is_own = |row: &&StreamRow| {
        row.organization == organization && row.class == StreamClass::Transactional.word()
    };
    Ok(domain.zip(streams.iter().find(is_own).map(|row| row.id)))
}

fn rendered(name: &str, url: &str) -> Rendered {
    Rendered {
        subject: format!("Please confirm: {name}"),
        html: format!(
            "<p>Somebody, most likely you, asked for mail of \"{0}\".</p>\
             <p><a href=\"{url}\">Yes, subscribe me</a></p>\
             <p>Otherwise do nothing: no mail will come.</p>",
            escaped(name)
        ),
        text: format!(
            "Somebody, most likely you, asked for mail of \"{name}\".\n\n\
             Yes, subscribe me: {url}\n\nOtherwise do nothing: no mail will come.\n"
        ),
    }
}

async fn confirming(call: Anybody, Path(token): Path<String>) -> Response {
    let now = call.clock.now();
    let Some(found) = links(&call).and_then(|links| links.confirmed(&token, now)) else {
        return not_ours();
    };
    match subscribe::public_list(&call.store, found.0, found.2).await {
        Ok(list) => {
            let body = "<form method=\"post\"><p><button>Yes, subscribe me</button></p></form>";
            page(&call, found.0, &list.name, body).await.into_response()
        }
        Err(SubscribeError::NoList) => not_ours(),
        Err(_) => trouble(),
    }
}

async fn confirmed(call: Anybody, Path(token): Path<String>) -> Response {
    let (address, now) = (call.origin().address, call.clock.now());
    let Some(found) = links(&call).and_then(|links| links.confirmed(&token, now)) else {
        return not_ours();
    };
    let (organization, contact, list) = found;
    let asked = (address, now);
    match subscribe::confirm(&call.store, organization, contact, list, asked).await {
        Ok(true) => {
            let body = "<p>You are subscribed.</p>";
            page(&call, organization, "Subscribed", body).await.into_response()
        }
        Ok(false) | Err(SubscribeError::NoList) => not_ours(),
        Err(error) => {
            tracing::error!(%error, "somebody could not confirm");
            trouble()
        }
    }
}
