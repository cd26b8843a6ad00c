//! Postal's words: its names of events and states, and the body of a call in its format.
//!
//! `{"event", "timestamp", "payload", "uuid"}`, one event in a call. Postal's message is our
//! delivery: it has one for each recipient. An event that it has no name for is not told.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::payload::Facts;
use crate::model::*;
use crate::store::{EventRow, MessageRow};
use crate::token::base32;

const TOKEN_LETTERS: usize = 16;
/// Of a reply.
const OUTPUT_CHARS_MAX: usize = 512;

/// The name by which an endpoint in this format is told of it.
pub fn event_name(kind: EventKind) -> Option<&'static str> {
    Some(match kind {
        EventKind::Delivered => "MessageSent",
        EventKind::Deferred => "MessageDelayed",
        EventKind::Failed | EventKind::Expired | EventKind::Suppressed => "MessageDeliveryFailed",
        EventKind::Held => "MessageHeld",
        EventKind::Bounced => "MessageBounced",
        EventKind::DomainChecked => "DomainDNSError",
        EventKind::Opened => "MessageLoaded",
        EventKind::Clicked => "MessageLinkClicked",
        EventKind::LimitApproaching => "SendLimitApproaching",
        EventKind::LimitReached => "SendLimitExceeded",
        _ => return None,
    })
}

/// Postal tells of a domain only what is wrong with it.
pub fn is_told(event: &EventRow) -> bool {
    let is_right = event.fields.get("ready").and_then(Value::as_bool) == Some(true);
    event_name(event.kind).is_some() && !(event.kind == EventKind::DomainChecked && is_right)
}

/// Only who is told of everything is told of limits.
pub const fn is_for_all(kind: EventKind) -> bool {
    matches!(kind, EventKind::LimitApproaching | EventKind::LimitReached)
}

/// What a delivery's event is in a list of Postal's deliveries.
fn status_of(kind: EventKind) -> Option<&'static str> {
    Some(match kind {
        EventKind::Delivered => "Sent",
        EventKind::Deferred => "SoftFail",
        EventKind::Failed | EventKind::Expired | EventKind::Suppressed => "HardFail",
        EventKind::Held => "Held",
        EventKind::Cancelled => "HoldCancelled",
        _ => return None,
    })
}

/// Where a message of Postal's stands.
pub const fn status(state: State, tries: u32) -> &'static str {
    match state {
        State::Waiting | State::Leased if tries == 0 => "Pending",
        State::Waiting | State::Leased => "SoftFail",
        State::Held => "Held",
        State::Cancelled => "HoldCancelled",
        State::Delivered => "Sent",
        State::Expired | State::Failed | State::Suppressed => "HardFail",
    }
}

/// A host was asked.
pub const fn is_attempt(kind: EventKind) -> bool {
    matches!(kind, EventKind::Delivered | EventKind::Deferred | EventKind::Failed)
}

/// Its second name; the same wherever it is told.
pub fn token(delivery: DeliveryId, row: &MessageRow) -> String {
    let text = format!("{delivery} {} {}", row.accepted_at.0, row.message_id_header);
    let mut token = base32::encode(digest(&SHA256, text.as_bytes()).as_ref());
    token.truncate(TOKEN_LETTERS);
    token
}

pub fn seconds(at: Timestamp) -> f64 {
    at.0 as f64 / 1e6
}

/// As `messages/deliveries` lists it.
pub fn delivery(event: &EventRow) -> Option<Value> {
    let mut told = told(event)?;
    told["id"] = json!(event.id);
    told["log_id"] = event.fields.get("dialogue").cloned().unwrap_or_default();
    Some(told)
}

fn told(event: &EventRow) -> Option<Value> {
    let status = status_of(event.kind)?;
    let text = |name: &str| event.fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let code = event.fields.get("code").and_then(Value::as_i64).map(|code| code.to_string());
    let words = [code.as_deref().unwrap_or_default(), text("reply")];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let output: String = words.join(" ").chars().take(OUTPUT_CHARS_MAX).collect();
    let details = match (text("host"), text("reason")) {
        ("", reason) => reason.to_owned(),
        (host, "") if status == "Sent" => format!("taken by {host}"),
        (host, "") => format!("not taken by {host}"),
        (host, reason) => format!("{host}: {reason}"),
    };
    let milliseconds = event.fields.get("milliseconds").and_then(Value::as_f64);
    Some(json!({
        "status": status,
        "details": details,
        "output": output,
        "sent_with_ssl": event.fields.get("tls").is_some_and(|tls| !tls.is_null()),
        "timestamp": seconds(event.at),
        "time": milliseconds.map(|milliseconds| milliseconds / 1e3),
    }))
}

/// The body of a call about one event.
pub fn body(event: &EventRow, facts: &Facts) -> Vec<u8> {
    let payload = match event.kind {
        EventKind::DomainChecked => domain(event),
        EventKind::Bounced => bounced(event, facts),
        EventKind::Opened | EventKind::Clicked => read(event, facts),
        EventKind::LimitApproaching | EventKind::LimitReached => limit(event),
        _ => {
            let mut payload = told(event).unwrap_or_else(|| json!({}));
            payload["message"] = message(event, facts);
            payload
        }
    };
    envelope(event_name(event.kind).unwrap_or_default(), event.at, payload, event.id)
}

/// Beside the mail that was delivered the report that came back, of which no message is kept.
fn bounced(event: &EventRow, facts: &Facts) -> Value {
    let original = message(event, facts);
    let report = json!({
        "id": event.id, "token": null, "direction": "incoming", "message_id": null,
        "to": original["from"], "from": "", "subject": null, "timestamp": seconds(event.at),
        "spam_status": "NotChecked", "tag": null,
    });
    json!({ "original_message": original, "bounce": report })
}

/// A mail was opened, or a link of it followed.
fn read(event: &EventRow, facts: &Facts) -> Value {
    let field = |name: &str| event.fields.get(name).cloned().unwrap_or_default();
    let mut payload = json!({
        "message": message(event, facts),
        "ip_address": field("address"),
        "user_agent": field("agent"),
    });
    if event.kind == EventKind::Clicked {
        payload["url"] = field("link");
        // Postal gives each link a token; ours are told apart by their places.
        payload["token"] = field("place").to_string().into();
    }
    payload
}

fn limit(event: &EventRow) -> Value {
    let field = |name: &str| event.fields.get(name).cloned().unwrap_or_default();
    json!({ "server": server(event), "volume": field("used"), "limit": field("value") })
}

/// Postal's server is our organization.
fn server(event: &EventRow) -> Value {
    let organization = event.organization.to_string();
    json!({ "uuid": organization, "name": organization, "permalink": organization,
        "organization": organization })
}

/// Postal judges by four records.
fn domain(event: &EventRow) -> Value {
    let records = event.fields.get("records").and_then(Value::as_object);
    let judged = |purpose: &str| {
        let own = |(name, _): &(&String, &Value)| name.starts_with(purpose);
        let states = records.into_iter().flatten().filter(own);
        let states: Vec<&str> = states.filter_map(|(_, state)| state.as_str()).collect();
        match states.iter().find(|state| **state != "right") {
            None if states.is_empty() => (Value::Null, Value::Null),
            None => ("OK".into(), Value::Null),
            Some(&"missing") => ("Missing".into(), "the record is not there".into()),
            Some(state) => ("Invalid".into(), format!("the record is {state}").into()),
        }
    };
    let ((spf, spf_error), (dkim, dkim_error)) = (judged("spf "), judged("dkim "));
    let (returns, returns_error) = judged("return_path ");
    json!({
        "server": server(event),
        "domain": event.fields.get("domain"),
        "uuid": event.fields.get("domain"),
        "dns_checked_at": seconds(event.at),
        "spf_status": spf, "spf_error": spf_error,
        "dkim_status": dkim, "dkim_error": dkim_error,
        "mx_status": null, "mx_error": null,
        "return_path_status": returns, "return_path_error": returns_error,
    })
}

/// What a press of the test button sends.
pub fn test_body(name: &str, at: Timestamp) -> Vec<u8> {
    envelope("WebhookTest", at, json!({ "webhook": name }), EventId(0))
}

fn envelope(name: &str, at: Timestamp, payload: Value, id: EventId) -> Vec<u8> {
    let uuid = uuid(name, at, id);
    json!({ "event": name, "timestamp": seconds(at), "payload": payload, "uuid": uuid })
        .to_string()
        .into_bytes()
}

/// The same event has the same one, however often it is told (RFC 9562 §5.8).
fn uuid(name: &str, at: Timestamp, id: EventId) -> String {
    let hash = digest(&SHA256, format!("{name} {} {id}", at.0).as_bytes());
    let mut octets = [0; 16];
    octets.copy_from_slice(&hash.as_ref()[..16]);
    octets[6] = 0x80 | (octets[6] & 0x0f);
    octets[8] = 0x80 | (octets[8] & 0x3f);
    let digits: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let [a, b, c, d, e] =
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    format!("{a}-{b}-{c}-{d}-{e}")
}

fn message(event: &EventRow, facts: &Facts) -> Value {
    let row = event.message.and_then(|id| facts.messages.get(&id));
    let recipient = event.delivery.and_then(|id| facts.recipients.get(&id));
    let token = event.delivery.zip(row).map(|(delivery, row)| token(delivery, row));
    json!({
        "id": event.delivery,
        "token": token,
        "direction": "outgoing",
        "message_id": row.map(|row| &row.message_id_header),
        "to": recipient.map(Address::to_string),
        "from": row.map(|row| row.sender.to_string()),
        "subject": row.map(|row| &row.subject),
        "timestamp": row.map(|row| seconds(row.accepted_at)),
        "spam_status": "NotChecked",
        "tag": row.and_then(|row| row.tag.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::feed::tests::event;

    #[test]
    fn an_attempt_is_told_in_postals_words() {
        let mut one = event(7, 1, EventKind::Deferred);
        one.delivery = Some(DeliveryId(9));
        one.fields = json!({ "host": "mx.example", "code": 451,
            "reply": "4.7.1 later", "milliseconds": 1500, "tls": "TLSv1.3" });
        let facts = Facts::default();
        let body: Value = serde_json::from_slice(&body(&one, &facts)).expect("JSON");
        assert_eq!(body["event"], "MessageDelayed");
        assert_eq!(body["timestamp"], 7.0);
        let payload = &body["payload"];
        assert_eq!(payload["status"], "SoftFail");
        assert_eq!(payload["output"], "451 4.7.1 later");
        assert_eq!((&payload["time"], &payload["sent_with_ssl"]), (&json!(1.5), &json!(true)));
        assert_eq!(payload["message"]["id"], 9);
        let uuid = body["uuid"].as_str().expect("one");
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "8"));
    }

    #[test]
    fn a_bounce_stands_beside_the_mail_that_it_is_about() {
        let mut one = event(7, 1, EventKind::Bounced);
        one.delivery = Some(DeliveryId(9));
        let told: Value = serde_json::from_slice(&body(&one, &Facts::default())).expect("JSON");
        assert_eq!(told["event"], "MessageBounced");
        assert_eq!(told["payload"]["original_message"]["id"], 9);
        assert_eq!(told["payload"]["bounce"]["direction"], "incoming");
    }

    #[test]
    fn what_is_wrong_with_a_domain_is_told_by_postals_states() {
        let mut one = event(7, 1, EventKind::DomainChecked);
        one.fields = json!({ "domain": "a.test", "ready": false,
            "records": { "spf a.test": "right", "dkim s._domainkey.a.test": "missing" } });
        assert!(is_told(&one));
        let told: Value = serde_json::from_slice(&body(&one, &Facts::default())).expect("JSON");
        assert_eq!(
            (&told["event"], &told["payload"]["domain"]),
            (&json!("DomainDNSError"), &json!("a.test"))
        );
        assert_eq!(told["payload"]["spf_status"], "OK");
        assert_eq!(told["payload"]["dkim_status"], "Missing");
        one.fields["ready"] = json!(true);
        assert!(!is_told(&one));
    }

    #[test]
    fn readers_and_limits_are_told_in_postals_words() {
        let mut one = event(7, 3, EventKind::Clicked);
        one.delivery = Some(DeliveryId(9));
        one.fields = json!({ "agent": "A", "address": "192.0.2.1", "link": "https://a.test/",
            "place": 2 });
        let told = |one: &EventRow| -> Value {
            serde_json::from_slice(&body(one, &Facts::default())).expect("JSON")
        };
        let clicked = told(&one);
        assert_eq!(clicked["event"], "MessageLinkClicked");
        let payload = &clicked["payload"];
        assert_eq!(
            (&payload["url"], &payload["ip_address"], &payload["token"]),
            (&json!("https://a.test/"), &json!("192.0.2.1"), &json!("2"))
        );
        one.kind = EventKind::Opened;
        let opened = told(&one);
        assert_eq!(
            (&opened["event"], &opened["payload"]["user_agent"]),
            (&json!("MessageLoaded"), &json!("A"))
        );
        let mut limit = event(8, 3, EventKind::LimitReached);
        limit.fields = json!({ "used": 5, "value": 5 });
        let told = told(&limit);
        assert_eq!(told["event"], "SendLimitExceeded");
        let server = json!({ "uuid": "3", "name": "3", "permalink": "3", "organization": "3" });
        assert_eq!(told["payload"], json!({ "server": server, "volume": 5, "limit": 5 }));
    }

    #[test]
    fn every_state_has_a_word_of_postals() {
        let words = ["Pending", "SoftFail", "Held", "HoldCancelled", "Sent", "HardFail"];
        for state in State::ALL {
            assert!(words.contains(&status(*state, 1)), "{state}");
        }
        assert_eq!(status(State::Waiting, 0), "Pending");
    }

    #[test]
    fn what_postal_has_no_name_for_is_not_told() {
        assert_eq!(event_name(EventKind::Accepted), None);
        assert!(delivery(&event(1, 1, EventKind::Accepted)).is_none());
        assert!(delivery(&event(1, 1, EventKind::Expired)).is_some());
    }
}
