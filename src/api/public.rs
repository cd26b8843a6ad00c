//! What the world may ask without a name: pixels, links, and the pages that links in mails lead to.
//!
//! Owns:       paths of readers, how every page looks, forms.
//! Promises:   a link leads only where it was signed to lead, without waiting for the database;
//!             pages work without script, and nothing in them runs or comes from elsewhere; text of
//!             people is escaped; a link that is not ours says no more than that.
//! Knows not:  who is a person.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::access::{Call, Shared, needs};
use super::extract::Path;
use super::public_words::{self, Words};
use crate::campaign::reader::{self, Reader};
use crate::compose::Links;
use crate::model::*;
use crate::store::{Store, Tracked};
use crate::token::Claim;

const FORM_BYTES_MAX: usize = 8 * 1024;
const AGENT_BYTES_MAX: usize = 300;
/// No script, nothing from elsewhere; forms go back to us.
const POLICY: &str = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// As `POLICY`, on whatever site shows it within a page of its own.
const FRAMED_POLICY: &str = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; \
    form-action 'self'; base-uri 'none'";
/// A GIF of one transparent pixel.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\
    \x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

type Anybody = Call<needs::Anybody>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/o/{token}", get(open))
        .route("/c/{token}", get(click))
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
    let (at, store) = (call.clock.now(), call.store.clone());
    tokio::spawn(async move {
        if let Some(reader) = first_reader(&store, claim, (kind, at), &fields).await {
            fields["reader"] = reader.word().into();
        }
        let tracked = Tracked { message, delivery, kind, fields, at };
        if let Err(error) = store.track(vec![tracked]).await {
            tracing::warn!(%error, "a reader is not counted");
        }
        drop(place);
    });
}

/// Who it was, of submitted mail: as far as it can be told before it is known what comes beside.
async fn first_reader(
    store: &Store,
    claim: Claim,
    (kind, at): (EventKind, Timestamp),
    fields: &serde_json::Value,
) -> Option<Reader> {
    let delivered_at = match store.submitted_at(claim.message, claim.delivery).await {
        Ok(found) => found?,
        Err(error) => {
            tracing::debug!(%error, "who it was is told later");
            return None;
        }
    };
    Some(reader::judge(&reader::Request {
        is_click: kind == EventKind::Clicked,
        is_head: fields["method"] == "HEAD",
        agent: fields["agent"].as_str().unwrap_or_default(),
        since_delivery: delivered_at.map(|delivered_at| at.since(delivered_at)),
        links_beside: 0,
        machine_beside: false,
    }))
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
    let Some((claim, place, target)) = found else { return not_ours(&call) };
    let more = serde_json::json!({ "place": place, "link": target });
    note(&call, claim, EventKind::Clicked, &method, more);
    match HeaderValue::from_str(&encoded(&target)) {
        Ok(target) => (StatusCode::FOUND, [(header::LOCATION, target)]).into_response(),
        Err(_) => not_ours(&call),
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

/// In the language of whoever reads them, as far as the browser tells.
pub(super) fn words(call: &Anybody) -> &'static Words {
    public_words::of(None, &call.origin().languages)
}

pub(super) fn not_ours(call: &Anybody) -> Response {
    let words = words(call);
    let body = format!("<p>{}</p>", words.not_valid);
    (StatusCode::NOT_FOUND, page(words, words.link, &body)).into_response()
}

pub(super) fn trouble(call: &Anybody) -> Response {
    let words = words(call);
    let body = format!("<p>{}</p>", words.trouble);
    (StatusCode::SERVICE_UNAVAILABLE, page(words, words.later, &body)).into_response()
}

/// A page with what keeps it to itself.
pub(super) type Page = ([(HeaderName, &'static str); 4], Html<String>);

pub(super) fn page(words: &Words, title: &str, body: &str) -> Page {
    let title = escaped(title);
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let html = format!(
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><style>body{{font:16px/1.5 sans-serif;\
         max-width:34em;margin:3em auto;padding:0 1em;color:#222}}button{{font:inherit;\
         padding:.5em 1em}}label{{display:block;margin:.3em 0}}textarea{{width:100%}}</style>\
         </head><body><h1>{title}</h1>{body}</body></html>",
        words.language
    );
    (headers, Html(html))
}

/// Goes on to a page elsewhere by itself. An answer to a form may not lead there: browsers hold
/// `form-action` against that.
pub(super) fn going_on((headers, Html(html)): Page, words: &Words, url: &str) -> Page {
    let url = escaped(url);
    let head = format!("<meta http-equiv=\"refresh\" content=\"0;url={url}\"></head>");
    let link = format!("<p><a href=\"{url}\">{}</a></p></body>", words.go_on);
    let html = html.replacen("</head>", &head, 1).replacen("</body>", &link, 1);
    (headers, Html(html))
}

/// It may stand within pages of other sites.
pub(super) fn framed((mut headers, html): Page) -> Page {
    headers[0].1 = FRAMED_POLICY;
    (headers, html)
}

pub(super) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
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
