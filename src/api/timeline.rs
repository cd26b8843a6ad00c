//! /v1/messages/{id}/timeline: what happened to a message, one entry after another.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::extract::{Path, Query};
use super::log::source_state;
use super::problem::Problem;
use crate::model::*;
use crate::queue::dialogue_log::Dialogue;
use crate::store::EventRow;

const LIST_MAX: u32 = 1000;
const LIST_USUAL: u32 = 200;
/// Dialogues of one page, each of at most 100 lines; of the others the place is told.
const DIALOGUES_MAX: usize = 50;

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// What concerns this recipient alone.
    delivery: Option<DeliveryId>,
    /// `next` of the page before.
    cursor: Option<EventId>,
    #[param(minimum = 1, maximum = 1000, default = 200)]
    limit: Option<u32>,
}

/// Oldest first: accepted, then attempts and events as they came.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Timeline {
    pub message: MessageId,
    /// What `/v1/messages/{id}/raw` has of it.
    pub source: MailSource,
    pub items: Vec<Moment>,
    /// To be given as `cursor` for what follows; null at the end.
    pub next: Option<String>,
}

/// One entry.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Moment {
    pub event: EventId,
    pub at: Timestamp,
    pub kind: EventKind,
    pub delivery: Option<DeliveryId>,
    pub recipient: Option<Address>,
    /// Of an attempt: whom it spoke with, and what was answered.
    pub attempt: Option<AttemptView>,
    /// What was said: of an attempt that did not succeed, of a sample or a traced recipient, as
    /// long as it is kept. AUTH is masked, the mail left out.
    pub dialogue: Option<Dialogue>,
    /// All that the event carries.
    pub fields: serde_json::Value,
}

/// What one attempt has taught.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttemptView {
    /// The how manieth try it was.
    #[serde(rename = "try")]
    pub number: u32,
    pub source: Option<String>,
    pub local_address: Option<String>,
    /// The MX host or relay.
    pub host: Option<String>,
    pub address: Option<String>,
    /// Version and cipher; null in the clear.
    pub tls: Option<String>,
    pub code: Option<u16>,
    pub enhanced: Option<String>,
    pub reply: Option<String>,
    /// Where no reply says it.
    pub reason: Option<String>,
    pub blame: Option<String>,
    /// What the answer means, by the rules of classification.
    pub class: Option<String>,
    pub operator: Option<String>,
    pub milliseconds: Option<u64>,
    /// When it is tried again.
    pub next: Option<Timestamp>,
}

/// A message's timeline, oldest first.
#[utoipa::path(get, path = "/v1/messages/{id}/timeline", tag = "messages",
    params(("id" = MessageId, Path, description = "The message"), Asked),
    responses((status = 200, body = Timeline)), security(("key" = ["messages_read"])))]
pub(super) async fn timeline(
    call: Call<needs::MessagesRead>,
    Path(id): Path<MessageId>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Timeline>, Problem> {
    let limit = asked.limit.unwrap_or(LIST_USUAL);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(Problem::of_field("limit", format!("must be between 1 and {LIST_MAX}")));
    }
    let none = || Problem::not_found("there is no such message");
    let row = call.store.message(id).await?.ok_or_else(none)?;
    if !call.scope().covers(row.organization) {
        return Err(none());
    }
    let after = asked.cursor.unwrap_or(EventId(0));
    let events = call.store.events_of_message_after(id, asked.delivery, after, limit).await?;
    let full = events.len() >= limit as usize;
    let next = events.last().filter(|_| full).map(|last| last.id.to_string());
    let source = source_state(&call, &row).await;
    let items = moments(&call, events).await?;
    Ok(axum::Json(Timeline { message: id, source, items, next }))
}

async fn moments(
    call: &Call<needs::MessagesRead>,
    events: Vec<EventRow>,
) -> Result<Vec<Moment>, Problem> {
    let mut ids: Vec<DeliveryId> = events.iter().filter_map(|event| event.delivery).collect();
    ids.sort_unstable();
    ids.dedup();
    let recipients: HashMap<DeliveryId, Address> =
        call.store.recipients_of(&ids).await?.into_iter().collect();
    let (mut moments, mut read) = (Vec::with_capacity(events.len()), 0);
    for event in events {
        let place = event.fields.get("dialogue").and_then(|place| place.as_str());
        let dialogue = match place.filter(|_| read < DIALOGUES_MAX) {
            Some(place) => dialogue(call, place).await,
            None => None,
        };
        read += usize::from(dialogue.is_some());
        moments.push(Moment {
            event: event.id,
            at: event.at,
            kind: event.kind,
            delivery: event.delivery,
            recipient: event.delivery.and_then(|id| recipients.get(&id).cloned()),
            attempt: attempt(&event),
            dialogue,
            fields: event.fields,
        });
    }
    Ok(moments)
}

/// None for what happened without one.
fn attempt(event: &EventRow) -> Option<AttemptView> {
    event.fields.get("try")?;
    serde_json::from_value(event.fields.clone()).ok()
}

/// One that is gone for its age, or cannot be read, is left out.
async fn dialogue(call: &Call<needs::MessagesRead>, place: &str) -> Option<Dialogue> {
    let wanted = place.parse().ok()?;
    match call.queue.as_ref()?.dialogue(wanted).await {
        Ok(dialogue) => dialogue,
        Err(error) => {
            tracing::warn!(%error, place, "a dialogue cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: EventKind, fields: serde_json::Value) -> EventRow {
        EventRow {
            id: EventId(1),
            at: Timestamp(0),
            kind,
            organization: OrganizationId::FIRST,
            message: Some(MessageId(1)),
            delivery: Some(DeliveryId(1)),
            fields,
        }
    }

    #[test]
    fn an_attempt_is_told_with_whom_it_spoke_and_when_it_comes_again() {
        let fields = json!({"source": "first", "host": "mx.a.example", "try": 2, "code": 451,
            "enhanced": "4.7.1", "reply": "later", "class": "greylist", "next": 77,
            "milliseconds": 5, "blame": "host", "dialogue": "1:0:9"});
        let told = attempt(&event(EventKind::Deferred, fields)).expect("an attempt");
        assert_eq!((told.number, told.code, told.next), (2, Some(451), Some(Timestamp(77))));
        assert_eq!(told.class.as_deref(), Some("greylist"));
        assert!(attempt(&event(EventKind::Held, json!({"reason": "x"}))).is_none());
    }
}
