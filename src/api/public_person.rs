//! What a person may ask for about himself: all that is kept of him, and that it is erased.
//!
//! Owns:       `/x/TOKEN`, and the mails with what was asked for.
//! Promises:   only the mailbox gets what is kept, and only who reads it can have it erased: a mail
//!             that was passed on gives nobody else either; each is sent once a day.
//! Knows not:  what is kept, how it is erased.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::access::{Call, Shared, needs};
use super::contact_story::{self, PAGES_MAILED_MAX};
use super::contacts;
use super::extract::Path;
use super::problem::Problem;
use super::public::{escaped, links, not_ours, trouble, words};
use super::public_mail::{self, Outgoing};
use super::public_words::{self, Words, filled};
use super::themes::page;
use crate::compose::Attached;
use crate::compose::template::Rendered;
use crate::contacts::Contact;
use crate::feedback::leave::Offer;
use crate::model::*;

type Anybody = Call<needs::Anybody>;

const ERASE_WITHIN: Duration = Duration::from_secs(2 * 86_400);
const DAY_MICROSECONDS: i64 = 86_400_000_000;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/x/{token}", get(asking).post(erased))
}

/// What is asked for on the page of preferences.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    HandOver,
    Erase,
}

impl Right {
    pub fn of(wish: &str) -> Option<Right> {
        match wish {
            "hand_over" => Some(Right::HandOver),
            "erase" => Some(Right::Erase),
            _ => None,
        }
    }
}

/// The buttons for it.
pub(super) fn drawn(words: &Words) -> String {
    format!(
        "<hr><form method=\"post\"><p><button name=\"wish\" value=\"hand_over\">{}</button> \
         <button name=\"wish\" value=\"erase\">{}</button></p></form>",
        words.hand_over, words.erase
    )
}

/// Whatever it is, it goes to the mailbox.
pub(super) async fn asked(call: &Anybody, offer: &Offer, right: Right) -> Response {
    let organization = offer.organization;
    let words = public_words::of(offer.language.as_deref(), &call.origin().languages);
    let Some(contact) = offer.contact else { return not_ours(call) };
    if !call.doorman().lets_in(call.origin().address, call.clock.now()) {
        let body = format!("<p>{}</p>", words.too_many);
        let later = page(call, organization, words, (words.later, &body)).await;
        return (StatusCode::TOO_MANY_REQUESTS, later).into_response();
    }
    let sent = match contacts::one(call, organization, contact).await {
        Ok(contact) => send(call, contact, organization, right, words).await,
        Err(problem) => Err(problem),
    };
    if let Err(problem) = sent {
        tracing::error!(why = problem.detail, "what a person asked for could not be sent");
        return trouble(call);
    }
    let body = format!("<p>{}</p>", escaped(&filled(words.sent_to, &offer.recipient)));
    page(call, organization, words, (words.almost_there, &body)).await.into_response()
}

async fn send(
    call: &Anybody,
    contact: Contact,
    organization: OrganizationId,
    right: Right,
    words: &Words,
) -> Result<(), Problem> {
    let (id, to, now) = (contact.id, contact.email.clone(), call.clock.now());
    let organizations = call.store.organizations().await?;
    let own = organizations.into_iter().find(|row| row.id == organization);
    let from_name = own.map(|row| row.name).unwrap_or_default();
    let ends = now + ERASE_WITHIN;
    let (rendered, attached, tag) = match right {
        Right::HandOver => {
            let told = contact_story::told(call, organization, contact, PAGES_MAILED_MAX).await?;
            let octets = serde_json::to_vec_pretty(&told).map_err(Problem::ours)?;
            let file = Attached::of("person.json", "application/json", &octets);
            (letter(words.hand_over_subject, words.hand_over_text, None), vec![file], "hand-over")
        }
        Right::Erase => {
            let none = || Problem::unavailable("no public address");
            let links = links(call).ok_or_else(none)?.of(organization);
            let url = links.erasure(organization, id, ends);
            let link = Some((words.erase, url.as_str()));
            (letter(words.erase_subject, words.erase_text, link), Vec::new(), "erasure")
        }
    };
    let day = now.0.div_euclid(DAY_MICROSECONDS);
    let outgoing = Outgoing {
        organization,
        from_name: &from_name,
        to: &to,
        rendered: &rendered,
        attached: &attached,
        tag,
        idempotency_key: Some(format!("{tag} of contact {id} on day {day}")),
        ends,
    };
    public_mail::send(call, outgoing).await
}

fn letter(subject: &str, text: &str, link: Option<(&str, &str)>) -> Rendered {
    let (mut html, mut plain) = (format!("<p>{text}</p>"), format!("{text}\n"));
    if let Some((name, url)) = link {
        html += &format!("<p><a href=\"{url}\">{name}</a></p>");
        plain += &format!("\n{name}: {url}\n");
    }
    Rendered { subject: subject.to_owned(), html, text: plain }
}

fn person(call: &Anybody, token: &str) -> Option<(OrganizationId, ContactId)> {
    links(call)?.erasing(token, call.clock.now())
}

async fn asking(call: Anybody, Path(token): Path<String>) -> Response {
    let Some((organization, _)) = person(&call, &token) else { return not_ours(&call) };
    let words = words(&call);
    let body = format!(
        "<p>{}</p><form method=\"post\"><p><button>{}</button></p></form>",
        words.erase_means, words.erase
    );
    page(&call, organization, words, (words.erase_subject, &body)).await.into_response()
}

async fn erased(call: Anybody, Path(token): Path<String>) -> Response {
    let Some((organization, id)) = person(&call, &token) else { return not_ours(&call) };
    let words = words(&call);
    let found = match contacts::one(&call, organization, id).await {
        Ok(contact) => contact,
        Err(problem) if problem.status == StatusCode::NOT_FOUND.as_u16() => return not_ours(&call),
        Err(_) => return trouble(&call),
    };
    if let Err(problem) = contact_story::erase_all(&call, organization, &found).await {
        tracing::error!(why = problem.detail, "a person could not be erased");
        return trouble(&call);
    }
    let body = format!("<p>{}</p>", words.erased);
    page(&call, organization, words, (words.erase_subject, &body)).await.into_response()
}
