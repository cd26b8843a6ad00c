//! Pages for whoever wants no more mail, or another choice of it.
//!
//! Owns:       `/u/TOKEN` and `/p/TOKEN`, their forms.
//! Promises:   a GET changes nothing, so that a scanner that follows links does no harm; a mail
//!             program unsubscribes with one POST (RFC 8058).
//! Knows not:  what leaving means.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;

use super::access::{Call, Shared, needs};
use super::extract::Path;
use super::public::{escaped, field, fields, links, not_ours, trouble};
use super::public_person::{self, Right};
use super::public_words::{self, Words, filled};
use super::themes::page;
use crate::feedback::leave::{self, Asked, Choice, Offer, Wish};
use crate::store::StoreError;
use crate::token::Claim;

type Anybody = Call<needs::Anybody>;

/// A form has a few fields; some programs send the one of RFC 8058 as multipart.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// Boxes of one form.
const CHOICES_MAX: usize = 1000;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/u/{token}", get(leaving).post(left))
        .route("/p/{token}", get(preferences).post(preferred))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
}

fn claim_of(call: &Anybody, token: &str) -> Option<Claim> {
    links(call)?.leaving(token, call.clock.now())
}

async fn leaving(call: Anybody, Path(token): Path<String>) -> Response {
    match offered(&call, &token).await {
        Ok(offer) => {
            let words = words_for(&call, &offer);
            let content = (words.unsubscribe, &*question(&token, &offer, words));
            page(&call, offer.organization, words, content).await.into_response()
        }
        Err(refused) => *refused,
    }
}

async fn preferences(call: Anybody, Path(token): Path<String>) -> Response {
    match offered(&call, &token).await {
        Ok(offer) => {
            let words = words_for(&call, &offer);
            let content = (words.your_mail, &*choices(&offer, words));
            page(&call, offer.organization, words, content).await.into_response()
        }
        Err(refused) => *refused,
    }
}

fn words_for(call: &Anybody, offer: &Offer) -> &'static Words {
    public_words::of(offer.language.as_deref(), &call.origin().languages)
}

async fn offered(call: &Anybody, token: &str) -> Result<Offer, Box<Response>> {
    let Some(claim) = claim_of(call, token) else { return Err(Box::new(not_ours(call))) };
    match leave::offer(&call.store, claim).await {
        Ok(Some(offer)) => Ok(offer),
        Ok(None) => Err(Box::new(not_ours(call))),
        Err(error) => Err(Box::new(failed(call, &error))),
    }
}

async fn left(call: Anybody, Path(token): Path<String>, form: Bytes) -> Response {
    let form = String::from_utf8_lossy(&form);
    // RFC 8058 lets a mail service send it in either form of a form.
    let is_one_click = form.contains("List-Unsubscribe") && form.contains("One-Click");
    let form = fields(&form);
    let is_all = field(&form, "wish") == "all";
    let wish = if is_all { Wish::Everything } else { Wish::These };
    let by = if is_one_click { "one_click" } else { "page" };
    let reason = field(&form, "reason").to_owned();
    let said = |words: &'static Words| {
        let (token, choose) = (escaped(&token), words.choose);
        let link = format!("<p><a href=\"../p/{token}\">{choose}</a></p>");
        (words.unsubscribed, format!("<p>{}</p>{link}", words.no_more_of_this))
    };
    done(&call, &token, &wish, (by, reason), said).await
}

async fn preferred(call: Anybody, Path(token): Path<String>, form: Bytes) -> Response {
    let form = fields(&String::from_utf8_lossy(&form));
    if let Some(right) = Right::of(field(&form, "wish")) {
        return match offered(&call, &token).await {
            Ok(offer) => public_person::asked(&call, &offer, right).await,
            Err(refused) => *refused,
        };
    }
    let wish = if field(&form, "wish") == "all" {
        Wish::Everything
    } else {
        let (lists, streams) = (ids(&form, "list"), ids(&form, "stream"));
        Wish::Only { lists, streams, offered: ids(&form, "offered") }
    };
    let saved = |words: &'static Words| (words.saved, format!("<p>{}</p>", words.choice_saved));
    done(&call, &token, &wish, ("preferences", String::new()), saved).await
}

async fn done(
    call: &Anybody,
    token: &str,
    wish: &Wish,
    (by, reason): (&'static str, String),
    said: impl FnOnce(&'static Words) -> (&'static str, String),
) -> Response {
    let Some(claim) = claim_of(call, token) else { return not_ours(call) };
    let address = Some(call.origin().address.to_string());
    let asked = Asked { by, address, reason };
    match leave::leave(&call.store, claim, wish, asked, call.clock.now()).await {
        Ok(Some(left)) => {
            let words = public_words::of(left.language.as_deref(), &call.origin().languages);
            let (title, body) = said(words);
            page(call, left.organization, words, (title, &body)).await.into_response()
        }
        Ok(None) => not_ours(call),
        Err(error) => failed(call, &error),
    }
}

fn failed(call: &Anybody, error: &StoreError) -> Response {
    tracing::error!(%error, "a page for whoever wants no more mail could not be made");
    trouble(call)
}

/// The numbers that a form gives for a name; what is no number is left out.
fn ids<Id: std::str::FromStr>(form: &[(String, String)], name: &str) -> Vec<Id> {
    let own = form.iter().filter(|(own, _)| own == name).take(CHOICES_MAX);
    own.filter_map(|(_, value)| value.trim().parse().ok()).collect()
}

fn question(token: &str, offer: &Offer, words: &Words) -> String {
    format!(
        "<p>{}</p><form method=\"post\"><label>{} \
         <textarea name=\"reason\" maxlength=\"500\"></textarea></label>\
         <p><button name=\"wish\" value=\"these\">{}</button> \
         <button name=\"wish\" value=\"all\">{}</button></p></form>\
         <p><a href=\"../p/{}\">{}</a></p>",
        escaped(&filled(words.gets_this, &offer.recipient)),
        words.why,
        words.unsubscribe,
        words.no_more,
        escaped(token),
        words.choose
    )
}

fn choices(offer: &Offer, words: &Words) -> String {
    let to = escaped(&filled(words.mail_to, &offer.recipient));
    let mut body = format!("<p>{to}</p><form method=\"post\">");
    for choice in &offer.lists {
        body.push_str(&checkbox("list", choice));
    }
    for choice in &offer.streams {
        body.push_str(&checkbox("stream", choice));
        body.push_str(&format!("<input type=\"hidden\" name=\"offered\" value=\"{}\">", choice.id));
    }
    body.push_str(&format!(
        "<p><button name=\"wish\" value=\"only\">{}</button> \
         <button name=\"wish\" value=\"all\">{}</button></p></form>",
        words.save, words.no_more
    ));
    if offer.contact.is_some() {
        body.push_str(&public_person::drawn(words));
    }
    body
}

fn checkbox<Id: std::fmt::Display>(name: &str, choice: &Choice<Id>) -> String {
    format!(
        "<label><input type=\"checkbox\" name=\"{name}\" value=\"{}\"{}> {} <small>{}</small>\
         </label>",
        choice.id,
        if choice.gets { " checked" } else { "" },
        escaped(&choice.name),
        escaped(&choice.description)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{OrganizationId, StreamId};

    #[test]
    fn what_is_chosen_is_read_from_the_form() {
        let chosen = |form: &str| ids::<StreamId>(&fields(form), "stream");
        assert_eq!(chosen("stream=1&x=2&stream=30"), [StreamId(1), StreamId(30)]);
        assert_eq!(chosen("stream=a&stream="), []);
    }

    #[test]
    fn what_people_have_named_is_shown_as_text() {
        let name = "<b>".to_owned();
        let choice = Choice { id: StreamId(4), name: name.clone(), description: name, gets: true };
        let organization = OrganizationId::FIRST;
        let offer = Offer {
            organization,
            recipient: "a&b@x".into(),
            contact: None,
            language: None,
            lists: vec![],
            streams: vec![choice],
        };
        let html = choices(&offer, &public_words::ENGLISH);
        assert!(html.contains("a&amp;b@x") && html.contains("value=\"4\" checked> &lt;b&gt;"));
        assert!(!html.contains("<b>"), "{html}");
    }
}
