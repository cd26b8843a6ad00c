//! `messages/message` and `messages/deliveries`: what became of a mail.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{MessageParser, MimeHeaders};
use serde_json::{Map, Value, json};

use super::super::access::{Call, needs};
use super::super::problem::Problem;
use super::{Answer, Failure, Fields};
use crate::events;
use crate::model::*;
use crate::store::{DeliveryFilter, DeliveryView, EventRow, MessageRow};
use crate::webhooks::postal;

const EVENTS_MAX: u32 = 1000;
/// What `_expansions` may name.
const EXPANSIONS: [&str; 9] = [
    "status",
    "details",
    "inspection",
    "plain_body",
    "html_body",
    "attachments",
    "headers",
    "raw_message",
    "activity_entries",
];
/// These need the mail itself.
const OF_THE_BODY: [&str; 5] = ["plain_body", "html_body", "attachments", "headers", "raw_message"];

/// One delivery of the caller's organization.
struct Found {
    delivery: DeliveryView,
    row: MessageRow,
    events: Vec<EventRow>,
}

async fn find(call: &Call<needs::MessagesRead>, fields: &Fields) -> Result<Found, Failure> {
    let id = match fields.get("id") {
        None | Some(Value::Null) => {
            return Err(Failure::Parameter("id is required but missing".to_owned()));
        }
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(other) => other.as_i64(),
    };
    let none = || {
        let given = fields.get("id").cloned().unwrap_or_default();
        Failure::code("MessageNotFound", "there is no message with this id").with("id", given)
    };
    let delivery = DeliveryId(id.ok_or_else(none)?);
    let organization = call.scope().organization();
    let filter =
        DeliveryFilter { organization, delivery: Some(delivery), ..DeliveryFilter::default() };
    let delivery = call.store.list_deliveries(&filter, 1).await?.pop().ok_or_else(none)?;
    let row = call.store.message(delivery.message).await?.ok_or_else(none)?;
    let events = events::of_delivery(&call.store, row.id, delivery.id, EVENTS_MAX).await?;
    Ok(Found { delivery, row, events })
}

pub async fn message(call: Call<needs::MessagesRead>, fields: Fields) -> Answer {
    let found = find(&call, &fields).await?;
    let wanted = expansions(fields.get("_expansions"))?;
    let token = postal::token(found.delivery.id, &found.row);
    let mut answer = Map::new();
    answer.insert("id".to_owned(), json!(found.delivery.id));
    answer.insert("token".to_owned(), token.into());
    let mail = match wanted.iter().any(|name| OF_THE_BODY.contains(name)) {
        true => body(&call, &found.row).await?,
        false => None,
    };
    for name in wanted {
        let value = match name {
            "status" => status(&found),
            "details" => details(&found),
            "inspection" => json!({ "inspected": false, "spam": false, "spam_score": 0.0,
                "threat": false, "threat_details": null }),
            "activity_entries" => json!({ "loads": [], "clicks": [] }),
            of_the_body => mail.as_deref().map_or(Value::Null, |mail| part(of_the_body, mail)),
        };
        answer.insert(name.to_owned(), value);
    }
    Ok(answer.into())
}

pub async fn deliveries(call: Call<needs::MessagesRead>, fields: Fields) -> Answer {
    let found = find(&call, &fields).await?;
    Ok(found.events.iter().filter_map(postal::delivery).collect())
}

fn expansions(asked: Option<&Value>) -> Result<Vec<&'static str>, Failure> {
    let wrong = || {
        let names = EXPANSIONS.join(", ");
        Failure::Parameter(format!("_expansions: must be true or an array of: {names}"))
    };
    match asked {
        None | Some(Value::Null | Value::Bool(false)) => Ok(Vec::new()),
        Some(Value::Bool(true)) => Ok(EXPANSIONS.to_vec()),
        Some(Value::Array(names)) => {
            let known = |name: &Value| {
                let name = name.as_str().ok_or_else(wrong)?;
                // Names it does not know are passed over, as all parameters are.
                Ok(EXPANSIONS.into_iter().find(|known| *known == name))
            };
            names.iter().map(known).filter_map(Result::transpose).collect()
        }
        Some(_) => Err(wrong()),
    }
}

/// None once the mail is over and its source no longer kept.
async fn body(
    call: &Call<needs::MessagesRead>,
    row: &MessageRow,
) -> Result<Option<bytes::Bytes>, Failure> {
    let stopped = || Failure::Trouble(Problem::conflict("no daemon is running"));
    let queue = call.queue.as_ref().ok_or_else(stopped)?;
    Ok(match queue.spool().read(row.body).await {
        Ok(body) => Some(body),
        Err(error) => {
            tracing::debug!(message = %row.id, reason = %error, "a source cannot be read");
            None
        }
    })
}

fn status(found: &Found) -> Value {
    let mut attempts = found.events.iter().filter(|event| postal::is_attempt(event.kind));
    let state = found.delivery.state;
    json!({
        "status": match found.events.iter().any(|event| event.kind == EventKind::Bounced) {
            true => "Bounced",
            false => postal::status(state, found.delivery.tries),
        },
        "last_delivery_attempt": attempts.next_back().map(|event| postal::seconds(event.at)),
        "held": state == State::Held,
        "hold_expiry": (state == State::Held).then(|| postal::seconds(found.delivery.expires_at)),
    })
}

fn details(found: &Found) -> Value {
    json!({
        "rcpt_to": found.delivery.recipient,
        "mail_from": found.row.sender.to_string(),
        "subject": found.row.subject,
        "message_id": found.row.message_id_header,
        "timestamp": postal::seconds(found.row.accepted_at),
        "direction": "outgoing",
        "size": found.row.body.length,
        "bounce": found.row.sender.0.is_none(),
        "bounce_for_id": null,
        "tag": found.row.tag,
        "received_with_ssl": null,
    })
}

fn part(name: &str, mail: &[u8]) -> Value {
    if name == "raw_message" {
        return STANDARD.encode(mail).into();
    }
    let Some(read) = MessageParser::default().parse(mail) else { return Value::Null };
    match name {
        "plain_body" => json!(read.text_body.first().and(read.body_text(0))),
        "html_body" => json!(read.html_body.first().and(read.body_html(0))),
        "headers" => {
            let mut headers: Map<String, Value> = Map::new();
            for (name, value) in read.headers_raw() {
                let list = headers.entry(name.to_ascii_lowercase()).or_insert_with(|| json!([]));
                if let Value::Array(list) = list {
                    list.push(value.trim().into());
                }
            }
            headers.into()
        }
        _ => read
            .attachments()
            .map(|part| {
                let octets = part.contents();
                let kind = part.content_type().map(|kind| match kind.subtype() {
                    Some(subtype) => format!("{}/{subtype}", kind.ctype()),
                    None => kind.ctype().to_owned(),
                });
                json!({
                    "filename": part.attachment_name(),
                    "content_type": kind,
                    "data": STANDARD.encode(octets),
                    "size": octets.len(),
                    "hash": hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref()),
                })
            })
            .collect(),
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &[u8] = b"From: a@b.test\r\nX-A: 1\r\nX-A: 2\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Type: text/plain\r\n\r\nhi\r\n--b\r\n\
        Content-Type: text/csv; name=a.csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\
        \r\n1,2\r\n--b--\r\n";

    #[test]
    fn the_parts_of_a_mail_are_told_as_postal_does() {
        assert_eq!(part("plain_body", MAIL).as_str().map(str::trim), Some("hi"));
        assert_eq!(part("headers", MAIL)["x-a"], json!(["1", "2"]));
        let attachments = part("attachments", MAIL);
        assert_eq!(attachments[0]["filename"], "a.csv");
        assert_eq!(attachments[0]["content_type"], "text/csv");
        assert_eq!(attachments[0]["data"], STANDARD.encode("1,2"));
        assert_eq!(attachments[0]["hash"].as_str().map(str::len), Some(40));
        assert_eq!(part("raw_message", b"x"), "eA==");
    }

    #[test]
    fn expansions_are_all_or_those_that_are_named() {
        assert_eq!(expansions(Some(&json!(true))).expect("read").len(), EXPANSIONS.len());
        assert_eq!(expansions(Some(&json!(["status", "x"]))).expect("read"), ["status"]);
        assert!(expansions(None).expect("read").is_empty());
        assert!(expansions(Some(&json!("status"))).is_err());
    }
}
