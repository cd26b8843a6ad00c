//! The body of a call in our own format.
//!
//! `{"events": [{"id", "kind", "version", "at", "organization", "message": {…}, "delivery": {…},
//! "fields": {…}}]}`: what the event table holds, with what a receiver needs of the message, so
//! that he has nothing to ask back.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::model::{Address, DeliveryId, MessageId};
use crate::store::{EventRow, MessageRow};

/// Of the shape below; raised when a field changes its meaning, never when one is added.
const VERSION: u32 = 1;

/// What the events of a call speak of.
#[derive(Default)]
pub struct Facts {
    pub messages: HashMap<MessageId, MessageRow>,
    pub recipients: HashMap<DeliveryId, Address>,
}

pub fn body(events: &[EventRow], facts: &Facts) -> Vec<u8> {
    let events: Vec<Value> = events.iter().map(|event| told(event, facts)).collect();
    json!({ "events": events }).to_string().into_bytes()
}

/// What a press of the test button sends.
pub fn test_body(name: &str) -> Vec<u8> {
    json!({ "events": [], "test": { "webhook": name } }).to_string().into_bytes()
}

/// One event; also what the event feed shows.
pub fn told(event: &EventRow, facts: &Facts) -> Value {
    let message = event.message.and_then(|id| facts.messages.get(&id));
    let delivery = event.delivery.map(|id| {
        let recipient = facts.recipients.get(&id).map(Address::to_string);
        json!({ "id": id, "recipient": recipient })
    });
    json!({
        "id": event.id,
        "kind": event.kind,
        "version": VERSION,
        "at": event.at,
        "organization": event.organization,
        "message": message.map(told_message),
        "delivery": delivery,
        "fields": event.fields,
    })
}

fn told_message(message: &MessageRow) -> Value {
    let metadata: Option<Value> =
        message.metadata.as_ref().and_then(|text| serde_json::from_str(text).ok());
    json!({
        "id": message.id,
        "message_id": message.message_id_header,
        "sender": message.sender.to_string(),
        "subject": message.subject,
        "stream": message.stream,
        "tag": message.tag,
        "metadata": metadata,
        "accepted_at": message.accepted_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventKind;
    use crate::webhooks::feed::tests::event;

    #[test]
    fn an_event_is_told_with_its_recipient() {
        let mut one = event(7, 1, EventKind::Delivered);
        one.delivery = Some(DeliveryId(9));
        one.fields = json!({ "code": 250 });
        let mut facts = Facts::default();
        let recipient = Address::parse("bob@b.example").expect("lawful");
        facts.recipients.insert(DeliveryId(9), recipient);
        let body: Value = serde_json::from_slice(&body(&[one], &facts)).expect("JSON");
        let told = &body["events"][0];
        assert_eq!(told["kind"], "delivered");
        assert_eq!(told["delivery"]["recipient"], "bob@b.example");
        assert_eq!(told["fields"]["code"], 250);
        assert_eq!(told["message"], Value::Null);
        assert_eq!(told["at"], 7_000_000);
    }
}
