//! /v1/events: what happened, by cursor and as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Page;
use super::access::{Call, needs};
use super::extract::Query;
use super::problem::Problem;
use crate::events::table::{Declared, EVENTS};
use crate::model::{DeliveryId, EventId, EventKind, MessageId, OrganizationId, Scope, Timestamp};
use crate::store::{EventRow, Store};

const LIST_MAX: u32 = 1000;
const LIST_USUAL: u32 = 100;
/// How often a stream looks for news.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A line that says nothing keeps proxies from closing a quiet stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Then the reader comes again with the last id he has seen.
const STREAM_LIFE: Duration = Duration::from_secs(3600);
const CHUNKS_AHEAD: usize = 4;

/// One event.
#[derive(Serialize, utoipa::ToSchema)]
pub struct EventView {
    id: EventId,
    at: Timestamp,
    kind: EventKind,
    /// Of the kind's fields.
    version: u32,
    organization: OrganizationId,
    message: Option<MessageId>,
    /// None: of all deliveries of the message.
    delivery: Option<DeliveryId>,
    #[schema(value_type = Object)]
    fields: serde_json::Value,
}

impl EventView {
    fn of(row: EventRow) -> EventView {
        let fields = match row.fields {
            serde_json::Value::Null => serde_json::json!({}),
            fields => fields,
        };
        EventView {
            id: row.id,
            at: row.at,
            kind: row.kind,
            version: Declared::of(row.kind).map_or(1, |declared| declared.version),
            organization: row.organization,
            message: row.message,
            delivery: row.delivery,
            fields,
        }
    }
}

/// Events, oldest first, and where to go on: also at the end, for who comes again.
#[derive(Serialize, utoipa::ToSchema)]
pub struct EventPage {
    items: Vec<EventView>,
    next: String,
    /// Whether there was more than this page.
    more: bool,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// `next` of the page before; without it from the first event on.
    cursor: Option<EventId>,
    /// Only of this kind; a page may then be empty and yet not the last.
    kind: Option<EventKind>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// List events, oldest first.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(Asked),
    responses((status = 200, body = EventPage)), security(("key" = ["messages_read"])))]
pub(super) async fn list(
    call: Call<needs::MessagesRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<EventPage>, Problem> {
    let limit = asked.limit.unwrap_or(LIST_USUAL);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(Problem::of_field("limit", format!("must be between 1 and {LIST_MAX}")));
    }
    let after = asked.cursor.unwrap_or(EventId(0));
    let rows = call.store.events_in(call.scope(), after, limit).await?;
    let more = rows.len() >= limit as usize;
    let next = rows.last().map_or(after, |last| last.id).to_string();
    let wanted = |row: &EventRow| asked.kind.is_none_or(|kind| kind == row.kind);
    let items = rows.into_iter().filter(wanted).map(EventView::of).collect();
    Ok(axum::Json(EventPage { items, next, more }))
}

/// List the kinds of events there are, with when they come and what they carry.
#[utoipa::path(get, path = "/v1/events/kinds", tag = "events",
    responses((status = 200, body = Page<Declared>)), security(("key" = ["messages_read"])))]
pub(super) async fn kinds(
    _: Call<needs::MessagesRead>,
) -> Result<axum::Json<Page<Declared>>, Problem> {
    Ok(Page::whole(EVENTS.to_vec()))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// The last event that was seen; without it the stream begins with what happens now. A
    /// browser that comes again says it in `Last-Event-ID`, which goes before.
    cursor: Option<EventId>,
}

/// Follow events as they happen (server-sent events); the stream ends after an hour.
#[utoipa::path(get, path = "/v1/events/stream", tag = "events", params(From),
    responses((status = 200, body = String, content_type = "text/event-stream")),
    security(("key" = ["messages_read"])))]
pub(super) async fn stream(
    call: Call<needs::MessagesRead>,
    Query(from): Query<From>,
) -> Result<Response, Problem> {
    let place = call.stream_places().clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::unavailable("too many follow events; try later"))?;
    let seen = call.origin().last_event_id.map(EventId).or(from.cursor);
    let after = match seen {
        Some(seen) => seen,
        None => call.store.last_event().await?,
    };
    let (chunks, reader) = mpsc::channel(CHUNKS_AHEAD);
    tokio::spawn(follow(call.store.clone(), call.scope(), after, chunks, place));
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    Ok((kind, Body::new(Chunks(reader))).into_response())
}

/// Until the reader goes or the stream has lived its time.
async fn follow(
    store: Store,
    scope: Scope,
    mut after: EventId,
    chunks: mpsc::Sender<Bytes>,
    _place: OwnedSemaphorePermit,
) {
    let mut quiet = KEEP_ALIVE;
    let mut lived = Duration::ZERO;
    while lived < STREAM_LIFE {
        let rows = match store.events_in(scope, after, LIST_MAX).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(reason = %error, "a stream of events ends");
                return;
            }
        };
        after = rows.last().map_or(after, |last| last.id);
        let is_full = rows.len() >= LIST_MAX as usize;
        let text: String = rows.into_iter().map(told).collect();
        quiet += LOOK_EVERY;
        let chunk = match text.is_empty() {
            false => text,
            true if quiet >= KEEP_ALIVE => ": still here\n\n".to_owned(),
            true => String::new(),
        };
        if !chunk.is_empty() {
            quiet = Duration::ZERO;
            let sent = tokio::time::timeout(KEEP_ALIVE, chunks.send(chunk.into())).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
        if !is_full {
            lived += LOOK_EVERY;
            tokio::select! {
                () = chunks.closed() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

fn told(row: EventRow) -> String {
    let view = EventView::of(row);
    // What was made of our own rows can always be written, and JSON has no line break in it.
    let data = serde_json::to_string(&view).unwrap_or_default();
    format!("id: {}\nevent: {}\ndata: {data}\n\n", view.id, view.kind)
}

/// A body that goes on for as long as somebody writes it.
struct Chunks(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}
