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
            let body = question(&token, &offer);
            page(&call, offer.organization, "Unsubscribe", &body).await.into_response()
        }
        Err(refused) => *refused,
    }
}

async fn preferences(call: Anybody, Path(token): Path<String>) -> Response {
    match offered(&call, &token).await {
        Ok(offer) => {
            page(&call, offer.organization, "Your mail", &choices(&offer)).await.into_response()
        }
        Err(refused) => *refused,
    }
}

async fn offered(call: &Anybody, token: &str) -> Result<Offer, Box<Response>> {
    let Some(claim) = claim_of(call, token) else { return Err(Box::new(not_ours())) };
    match leave::offer(&call.store, claim).await {
        Ok(Some(offer)) => Ok(offer),
        Ok(None) => Err(Box::new(not_ours())),
        Err(error) => Err(Box::new(failed(&error))),
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
    let body = format!(
        "<p>You will get no more of this mail.</p>\
         <p><a href=\"../p/{}\">Choose which mail you get</a></p>",
        escaped(&token)
    );
    done(&call, &token, &wish, (by, reason), ("Unsubscribed", &body)).await
}

async fn preferred(call: Anybody, Path(token): Path<String>, form: Bytes) -> Response {
    let form = fields(&String::from_utf8_lossy(&form));
    let wish = if field(&form, "wish") == "all" {
        Wish::Everything
    } else {
        let (lists, streams) = (ids(&form, "list"), ids(&form, "stream"));
        Wish::Only { lists, streams, offered: ids(&form, "offered") }
    };
    let saved = ("Saved", "<p>Your choice is saved.</p>");
    done(&call, &token, &wish, ("preferences", String::new()), saved).await
}

async fn done(
    call: &Anybody,
    token: &str,
    wish: &Wish,
    (by, reason): (&'static str, String),
    (title, body): (&str, &str),
) -> Response {
    let Some(claim) = claim_of(call, token) else { return not_ours() };
    let address = Some(call.origin().address.to_string());
    let asked = Asked { by, address, reason };
    match leave::leave(&call.store, claim, wish, asked, call.clock.now()).await {
        Ok(Some(left)) => page(call, left.organization, title, body).await.into_response(),
        Ok(None) => not_ours(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &StoreError) -> Response {
    tracing::error!(%error, "a page for whoever wants no more mail could not be made");
    trouble()
}

/// The numbers that a form gives for a name; what is no number is left out.
fn ids<Id: std::str::FromStr>(form: &[(String, String)], name: &str) -> Vec<Id> {
    let own = form.iter().filter(|(own, _)| own == name).take(CHOICES_MAX);
    own.filter_map(|(_, value)| value.trim().parse().ok()).collect()
}

fn question(token: &str, offer: &Offer) -> String {
    format!(
        "<p>{} gets this mail.</p><form method=\"post\"><label>Why, if you like to say so: \
         <textarea name=\"reason\" maxlength=\"500\"></textarea></label>\
         <p><button name=\"wish\" value=\"these\">Unsubscribe</button> \
         <button name=\"wish\" value=\"all\">No more mail at all</button></p></form>\
         <p><a href=\"../p/{}\">Choose which mail you get</a></p>",
        escaped(&offer.recipient),
        escaped(token)
    )
}

fn choices(offer: &Offer) -> String {
    let mut body = format!("<p>Mail to {}:</p><form method=\"post\">", escaped(&offer.recipient));
    for choice in &offer.lists {
        body.push_str(&checkbox("list", choice));
    }
    for choice in &offer.streams {
        body.push_str(&checkbox("stream", choice));
        body.push_str(&format!("<input type=\"hidden\" name=\"offered\" value=\"{}\">", choice.id));
    }
    body.push_str(
        "<p><button name=\"wish\" value=\"only\">Save</button> \
         <button name=\"wish\" value=\"all\">No more mail at all</button></p></form>",
    );
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
        let offer =
            Offer { organization, recipient: "a&b@x".into(), lists: vec![], streams: vec![choice] };
        let html = choices(&offer);
        assert!(html.contains("a&amp;b@x") && html.contains("value=\"4\" checked> &lt;b&gt;"));
        assert!(!html.contains("<b>"), "{html}");
    }
}
