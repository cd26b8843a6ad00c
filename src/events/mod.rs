//! The story of a message: events read back in order.
//!
//! Owns:       how events are read and told to people.
//! Promises:   events of one message come in the order in which they happened.
//! Knows not:  who reacts to them.

pub mod table;

use crate::model::{DeliveryId, MessageId};
use crate::store::{EventRow, Store, StoreError};

/// What happened to one delivery, oldest first: the events of its message that are about it or
/// about all of the message's deliveries.
pub async fn of_delivery(
    store: &Store,
    message: MessageId,
    delivery: DeliveryId,
    limit: u32,
) -> Result<Vec<EventRow>, StoreError> {
    let mut events = store.events_of_message(message, limit).await?;
    events.retain(|event| event.delivery.is_none_or(|about| about == delivery));
    Ok(events)
}

/// An event as a line of a story: `2026-11-22T07:07:23Z deferred host=mx.example reply=451 …`.
pub fn tell(event: &EventRow) -> String {
    let mut line = format!("{} {}", event.at, event.kind);
    let Some(fields) = event.fields.as_object() else { return line };
    for (name, value) in fields {
        let text = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        line.push_str(&format!(" {name}={text}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventId, EventKind, OrganizationId, Timestamp};

    #[test]
    fn an_event_is_told_with_its_fields() {
        let event = EventRow {
            id: EventId(1),
            at: Timestamp::from_seconds(0),
            kind: EventKind::Deferred,
            organization: OrganizationId::FIRST,
            message: None,
            delivery: None,
            fields: serde_json::json!({"host": "mx.example", "reply": "451 later", "tls": null}),
        };
        let told = "1970-01-01T00:00:00Z deferred host=mx.example reply=451 later";
        assert_eq!(tell(&event), told);
    }
}
