//! Leaving a stream, and choosing among streams.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;

use super::page::{page, text};
use crate::feedback::leave::{LeaveError, Leaving, Subscription};
use crate::model::StreamId;

/// RFC 8058 §3.2, as its one field is sent.
const ONE_CLICK: &[u8] = b"One-Click";

/// What a link shows: a button, and nothing has happened yet.
pub async fn show(State(leaving): State<Leaving>, Path(token): Path<String>) -> Response {
    match leaving.look(&token).await {
        Ok(Some(found)) => page(StatusCode::OK, "Unsubscribe", &question(&token, &found)),
        Ok(None) => unknown(),
        Err(error) => away(&error),
    }
}

/// The button, or a mail program for its user (RFC 8058).
pub async fn leave(
    State(leaving): State<Leaving>,
    Path(token): Path<String>,
    body: Bytes,
) -> Response {
    let is_program = body.windows(ONE_CLICK.len()).any(|window| window == ONE_CLICK);
    let by = if is_program { "one_click" } else { "page" };
    match leaving.leave(&token, by).await {
        Ok(true) => {
            let token = text(&token);
            let body = format!(
                "<p>You will get no more of this mail.</p>\
                 <p><a href=\"/p/{token}\">Choose what you get</a></p>"
            );
            page(StatusCode::OK, "Unsubscribed", &body)
        }
        Ok(false) => unknown(),
        Err(error) => away(&error),
    }
}

pub async fn choices(State(leaving): State<Leaving>, Path(token): Path<String>) -> Response {
    match leaving.look(&token).await {
        Ok(Some(found)) => page(StatusCode::OK, "What you get", &form(&token, &found)),
        Ok(None) => unknown(),
        Err(error) => away(&error),
    }
}

pub async fn choose(
    State(leaving): State<Leaving>,
    Path(token): Path<String>,
    body: Bytes,
) -> Response {
    match leaving.choose(&token, &wanted(&body)).await {
        Ok(true) => page(StatusCode::OK, "Saved", "<p>Your choice is saved.</p>"),
        Ok(false) => unknown(),
        Err(error) => away(&error),
    }
}

/// `stream=1&stream=2`: what is no number is no stream.
fn wanted(body: &[u8]) -> Vec<StreamId> {
    let body = String::from_utf8_lossy(body);
    let fields = body.split('&').filter_map(|field| field.strip_prefix("stream="));
    fields.filter_map(|value| value.trim().parse().ok()).take(1000).collect()
}

fn question(token: &str, found: &Subscription) -> String {
    let (token, stream) = (text(token), text(&found.stream_name));
    let (organization, recipient) = (text(&found.organization), text(&found.recipient));
    format!(
        "<p>Should <b>{recipient}</b> get no more mail of the stream <b>{stream}</b> from \
         <b>{organization}</b>?</p><form method=\"post\" action=\"/u/{token}\">\
         <button name=\"confirm\" value=\"yes\">Unsubscribe</button></form>\
         <p><a href=\"/p/{token}\">Choose what you get</a></p>"
    )
}

fn form(token: &str, found: &Subscription) -> String {
    let mut rows = String::new();
    for choice in &found.choices {
        let checked = if choice.gets { " checked" } else { "" };
        let (id, name) = (choice.stream, text(&choice.name));
        rows.push_str(&format!(
            "<label><input type=\"checkbox\" name=\"stream\" value=\"{id}\"{checked}> \
             {name}</label>"
        ));
    }
    let (token, organization) = (text(token), text(&found.organization));
    let recipient = text(&found.recipient);
    format!(
        "<p>Mail from <b>{organization}</b> to <b>{recipient}</b>:</p>\
         <form method=\"post\" action=\"/p/{token}\">{rows}\
         <p><button>Save</button></p></form>"
    )
}

fn unknown() -> Response {
    let body = "<p>This link is not one of ours, or its time is over. The newest mail that you \
                got has one that works.</p>";
    page(StatusCode::NOT_FOUND, "Nothing to be found", body)
}

fn away(error: &LeaveError) -> Response {
    tracing::warn!(%error, "a page for recipients could not be made");
    let body = "<p>This did not work, and nothing has changed. Try again in a moment.</p>";
    page(StatusCode::SERVICE_UNAVAILABLE, "Try again", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_read_from_the_form() {
        assert_eq!(wanted(b"stream=1&x=2&stream=30"), [StreamId(1), StreamId(30)]);
        assert_eq!(wanted(b"stream=a&stream="), []);
        assert_eq!(wanted(&[0xff, 0xfe]), []);
    }
}
