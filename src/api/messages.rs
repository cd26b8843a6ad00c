//! /v1/messages: a message with its deliveries and its story.

use serde::Serialize;

use super::access::{Call, needs};
use super::extract::Path;
use super::problem::Problem;
use crate::model::{MessageId, OrganizationId, ReversePath, StreamId, Timestamp};
use crate::store::{DeliveryFilter, DeliveryView, EventRow, MessageRow};

const DELIVERIES_MAX: u32 = 1000;
const EVENTS_MAX: u32 = 1000;

/// The body and what only concerns its storage stay inside.
#[derive(Serialize, utoipa::ToSchema)]
pub struct MessageView {
    id: MessageId,
    organization: OrganizationId,
    stream: StreamId,
    sender: ReversePath,
    subject: String,
    message_id_header: String,
    tag: Option<String>,
    metadata: Option<serde_json::Value>,
    bytes: u64,
    accepted_at: Timestamp,
    expires_at: Timestamp,
    deliveries: Vec<DeliveryView>,
    events: Vec<EventRow>,
}

/// A message with its deliveries and its story.
#[utoipa::path(get, path = "/v1/messages/{id}", tag = "messages",
    params(("id" = MessageId, Path, description = "What `queued as` named")),
    responses((status = 200, body = MessageView)), security(("key" = ["messages_read"])))]
pub(super) async fn show(
    call: Call<needs::MessagesRead>,
    Path(id): Path<MessageId>,
) -> Result<axum::Json<MessageView>, Problem> {
    let none = || Problem::not_found("there is no such message");
    let row = call.store.message(id).await?.ok_or_else(none)?;
    if !call.scope().covers(row.organization) {
        return Err(none());
    }
    let filter = DeliveryFilter { message: Some(id), ..DeliveryFilter::default() };
    let deliveries = call.store.list_deliveries(&filter, DELIVERIES_MAX).await?;
    let events = call.store.events_of_message(id, EVENTS_MAX).await?;
    Ok(axum::Json(view(row, deliveries, events)))
}

fn view(row: MessageRow, deliveries: Vec<DeliveryView>, events: Vec<EventRow>) -> MessageView {
    MessageView {
        id: row.id,
        organization: row.organization,
        stream: row.stream,
        sender: row.sender,
        subject: row.subject,
        message_id_header: row.message_id_header,
        tag: row.tag,
        // It was an object when it was accepted; a row that says otherwise shows as none.
        metadata: row.metadata.and_then(|text| serde_json::from_str(&text).ok()),
        bytes: row.body.length,
        accepted_at: row.accepted_at,
        expires_at: row.expires_at,
        deliveries,
        events,
    }
}
