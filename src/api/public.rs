//! What the world may ask without a name: pixels, links, and the pages that links in mails lead to.
//!
//! Owns:       their paths and their HTML.
//! Promises:   a link leads only where it was signed to lead, without waiting for the database;
//!             pages work without script; text of people is escaped; a link that is not ours says
//!             no more than that.
//! Knows not:  what leaving means, who is a person.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::access::{Call, Shared, needs};
use super::extract::Path;
use crate::campaign::leave::{self, Asked, Wish};
use crate::compose::Links;
use crate::model::*;
use crate::store::Tracked;
use crate::token::Claim;

const FORM_BYTES_MAX: usize = 8 * 1024;
const AGENT_BYTES_MAX: usize = 300;
/// A GIF of one transparent pixel.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\
    \x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

type Anybody = Call<needs::Anybody>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/o/{token}", get(open))
        .route("/c/{token}", get(click))
        .route("/u/{token}", get(leaving).post(left))
        .route("/p/{token}", get(preferences).post(preferred))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
}

pub(super) fn links(call: &Anybody) -> Option<&Links> {
    call.composer.as_ref().and_then(|composer| composer.links())
}

/// Written down behind the answer: a reader does not wait for the database.
fn note(call: &Anybody, claim: Claim, kind: EventKind, method: &Method, more: serde_json::Value) {
    let Ok(place) = call.public_places().clone().try_acquire_owned() else {
        tracing::warn!("too many readers at once; one of them is not counted");
        return;
    };
    let origin = call.origin();
    let agent = &origin.agent[..origin.agent.floor_char_boundary(AGENT_BYTES_MAX)];
    let mut fields = serde_json::json!({
        "agent": agent, "address": origin.address.to_string(), "method": method.as_str(),
    });
    if let (Some(fields), serde_json::Value::Object(more)) = (fields.as_object_mut(), more) {
        fields.extend(more);
    }
    let (message, delivery) = (claim.message, claim.delivery);
    let tracked = Tracked { message, delivery, kind, fields, at: call.clock.now() };
    let store = call.store.clone();
    tokio::spawn(async move {
        if let Err(error) = store.track(vec![tracked]).await {
            tracing::warn!(%error, "a reader is not counted");
        }
        drop(place);
    });
}

async fn open(call: Anybody, Path(token): Path<String>, method: Method) -> Response {
    let token = token.strip_suffix(".gif").unwrap_or(&token);
    if let Some(claim) = links(&call).and_then(|links| links.opened(token)) {
        note(&call, claim, EventKind::Opened, &method, serde_json::Value::Null);
    }
    // Whoever guesses learns nothing.
    ([(header::CONTENT_TYPE, HeaderValue::from_static("image/gif"))], PIXEL).into_response()
}

async fn click(call: Anybody, Path(token): Path<String>, method: Method) -> Response {
    let found = links(&call).and_then(|links| links.clicked(&token));
    let Some((claim, place, target)) = found else { return not_ours() };
    let more = serde_json::json!({ "place": place, "link": target });
    note(&call, claim, EventKind::Clicked, &method, more);
    match HeaderValue::from_str(&encoded(&target)) {
        Ok(target) => (StatusCode::FOUND, [(header::LOCATION, target)]).into_response(),
        Err(_) => not_ours(),
    }
}

/// A header holds ASCII alone.
fn encoded(target: &str) -> String {
    let mut out = String::with_capacity(target.len());
    for octet in target.bytes() {
        match octet {
            0x21..=0x7e => out.push(char::from(octet)),
            _ => out.push_str(&format!("%{octet:02X}")),
        }
    }
    out
}

pub(super) fn not_ours() -> Response {
    let body = "<p>This link is not valid, or no longer.</p>";
    (StatusCode::NOT_FOUND, page("Link", body)).into_response()
}

pub(super) fn trouble() -> Response {
    let body = "<p>This cannot be done at this moment. Please try again in a minute.</p>";
    (StatusCode::SERVICE_UNAVAILABLE, page("Later", body)).into_response()
}

pub(super) fn page(title: &str, body: &str) -> Html<String> {
    let title = escaped(title);
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><style>body{{font:16px/1.5 sans-serif;\
         max-width:34em;margin:3em auto;padding:0 1em;color:#222}}button{{font:inherit;\
         padding:.5em 1em}}label{{display:block;margin:.3em 0}}textarea{{width:100%}}</style>\
         </head><body><h1>{title}</h1>{body}</body></html>"
    ))
}

pub(super) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

fn claim_of(call: &Anybody, token: &str) -> Option<Claim> {
    links(call)?.leaving(token, call.clock.now())
}

async fn leaving(call: Anybody, Path(token): Path<String>) -> Response {
    let Some(claim) = claim_of(&call, &token) else { return not_ours() };
    let found = match leave::person(&call.store, claim).await {
        Ok(found) => found,
        Err(_) => return trouble(),
    };
    let Some((_, contact)) = found else { return not_ours() };
    let body = format!(
        "<p>{} gets this mail.</p><form method=\"post\"><label>Why, if you like to say so: \
         <textarea name=\"reason\" maxlength=\"500\"></textarea></label>\
         <p><button name=\"wish\" value=\"these\">Unsubscribe</button> \
         <button name=\"wish\" value=\"all\">No more mail at all</button></p></form>\
         <p><a href=\"../p/{}\">Choose which mail you get</a></p>",
        escaped(&contact.email),
        escaped(&token)
    );
    page("Unsubscribe", &body).into_response()
}

/// The fields of a form, in their order (`application/x-www-form-urlencoded`).
pub(super) fn fields(form: &str) -> Vec<(String, String)> {
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let octets = text.as_bytes();
    let mut out = Vec::with_capacity(octets.len());
    let mut at = 0;
    while at < octets.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (octets[at], hex) {
            (b'%', Some(octet)) => {
                out.push(octet);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (octet, _) => out.push(octet),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    let found = fields.iter().find(|(own, _)| own == name);
    found.map_or("", |(_, value)| value.as_str())
}

async fn left(call: Anybody, Path(token): Path<String>, form: String) -> Response {
    let Some(claim) = claim_of(&call, &token) else { return not_ours() };
    // RFC 8058 lets a mail service send it in either form of a form.
    let is_one_click = form.contains("List-Unsubscribe") && form.contains("One-Click");
    let form = fields(&form);
    let is_all = field(&form, "wish") == "all";
    let wish = if is_all { Wish::Everything } else { Wish::TheseLists };
    let by = if is_one_click { "one_click" } else { "page" };
    let address = Some(call.origin().address.to_string());
    let asked = Asked { by, address, reason: field(&form, "reason").to_owned() };
    match leave::leave(&call.store, claim, &wish, asked, call.clock.now()).await {
        Ok(_) => page("Unsubscribed", "<p>You will get no more of this mail.</p>").into_response(),
        Err(error) => {
            tracing::error!(%error, "somebody could not unsubscribe");
            trouble()
        }
    }
}

async fn preferences(call: Anybody, Path(token): Path<String>) -> Response {
    let Some(claim) = claim_of(&call, &token) else { return not_ours() };
    let found = match leave::person(&call.store, claim).await {
        Ok(found) => found,
        Err(_) => return trouble(),
    };
    let Some((recipe, contact)) = found else { return not_ours() };
    let Ok(lists) = call.store.lists(recipe.organization).await else { return trouble() };
    let mut body = format!("<p>Mail to {}:</p><form method=\"post\">", escaped(&contact.email));
    for list in lists.iter().filter(|list| list.visibility == ListVisibility::Public) {
        let own = contact.lists.iter().find(|own| own.list == list.id);
        let is_in = own.is_some_and(|own| own.status == MembershipStatus::Subscribed);
        body.push_str(&format!(
            "<label><input type=\"checkbox\" name=\"list\" value=\"{}\"{}> {} <small>{}</small>\
             </label>",
            list.id,
            if is_in { " checked" } else { "" },
            escaped(&list.name),
            escaped(&list.description)
        ));
    }
    body.push_str(
        "<p><button name=\"wish\" value=\"only\">Save</button> \
         <button name=\"wish\" value=\"all\">No more mail at all</button></p></form>",
    );
    page("Your mail", &body).into_response()
}

async fn preferred(call: Anybody, Path(token): Path<String>, body: String) -> Response {
    let Some(claim) = claim_of(&call, &token) else { return not_ours() };
    let form = fields(&body);
    let wish = if field(&form, "wish") == "all" {
        Wish::Everything
    } else {
        let kept = form.iter().filter(|(name, _)| name == "list");
        Wish::Only(kept.filter_map(|(_, id)| id.parse().ok()).collect())
    };
    let address = Some(call.origin().address.to_string());
    let asked = Asked { by: "preferences", address, reason: String::new() };
    match leave::leave(&call.store, claim, &wish, asked, call.clock.now()).await {
        Ok(_) => page("Saved", "<p>Your choice is saved.</p>").into_response(),
        Err(error) => {
            tracing::error!(%error, "somebody could not choose");
            trouble()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_and_text_is_escaped() {
        let form = fields("wish=all&reason=too+much%21&list=3&list=4&broken=%zz");
        assert_eq!(field(&form, "reason"), "too much!");
        assert_eq!((field(&form, "broken"), field(&form, "none")), ("%zz", ""));
        assert_eq!(form.iter().filter(|(name, _)| name == "list").count(), 2);
        assert_eq!(escaped("<a href='x'>&"), "&lt;a href=&#39;x&#39;&gt;&amp;");
        assert_eq!(encoded("https://a.test/ü x"), "https://a.test/%C3%BC%20x");
    }
}
