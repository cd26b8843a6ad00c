//! `send/message` and `send/raw`: a mail as fields, or as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::super::access::{Call, needs};
use super::super::problem::Problem;
use super::super::send::{Desk, with_crlf};
use super::{Answer, Failure, Fields, is_true, text, texts};
use crate::accept::letter::{Attachment, Built, FieldError, Letter, Mailbox, is_own_header};
use crate::accept::{Refusal, Request};
use crate::model::limits::RECIPIENTS_MAX;
use crate::model::*;
use crate::store::DeliveryFilter;
use crate::webhooks::postal;

/// As in Postal.
const ADDRESSES_MAX: usize = 50;
/// The answer names each recipient's delivery.
const DELIVERIES_MAX: u32 = 1000;
const _: () = assert!(RECIPIENTS_MAX <= DELIVERIES_MAX as usize);

const UNAUTHENTICATED: &str = "UnauthenticatedFromAddress";

pub async fn message(call: Call<needs::Send>, fields: Fields) -> Answer {
    let letter = letter(&fields)?;
    let desk = Desk::of(&call).await?;
    let authors = [Some(&letter.from), letter.sender.as_ref()].into_iter().flatten();
    for author in authors {
        let address = Address::parse(author.email.trim())
            .map_err(|why| Failure::Parameter(format!("from: '{}': {why}", author.email)))?;
        desk.check_sender(&address).map_err(unauthenticated)?;
    }
    let Built { from, recipients, request, mail } = desk.build(letter).await?;
    let sender = if is_true(&fields, "bounce") { None } else { Some(from) };
    let id = desk.hand_in(ReversePath(sender), recipients, request, mail).await;
    told(&call, id.map_err(refused)?).await
}

pub async fn raw(call: Call<needs::Send>, fields: Fields) -> Answer {
    let missing = |name: &str| Failure::Parameter(format!("{name} is required but missing"));
    let from = text(&fields, "mail_from").ok_or_else(|| missing("mail_from"))?;
    let to = texts(&fields, "rcpt_to")?;
    if to.is_empty() {
        return Err(missing("rcpt_to"));
    }
    let data = text(&fields, "data").ok_or_else(|| missing("data"))?;
    if to.len() > RECIPIENTS_MAX {
        return Err(Failure::Parameter(format!("rcpt_to: more than {RECIPIENTS_MAX} addresses")));
    }
    let address = |field: &str, text: &str| {
        let bare = mailbox(text).email;
        Address::parse(bare.trim())
            .map_err(|why| Failure::Parameter(format!("{field}: '{text}': {why}")))
    };
    let from = address("mail_from", &from)?;
    let recipients: Result<Vec<_>, _> = to.iter().map(|one| address("rcpt_to", one)).collect();
    // Some clients break base64 into lines.
    let data: String = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let octets = STANDARD
        .decode(data)
        .map_err(|why| Failure::Parameter(format!("data: is not base64: {why}")))?;
    let desk = Desk::of(&call).await?;
    desk.check_sender(&from).map_err(unauthenticated)?;
    let sender = if is_true(&fields, "bounce") { None } else { Some(from) };
    let mail = with_crlf(octets);
    let id = desk.hand_in(ReversePath(sender), recipients?, Request::default(), mail).await;
    told(&call, id.map_err(refused)?).await
}

/// The codes come in the order in which Postal looks.
fn letter(fields: &Fields) -> Result<Letter, Failure> {
    let [to, cc, bcc] = ["to", "cc", "bcc"].map(|name| texts(fields, name));
    let (to, cc, bcc) = (to?, cc?, bcc?);
    if to.is_empty() && cc.is_empty() && bcc.is_empty() {
        return Err(Failure::code("NoRecipients", "there is no recipient"));
    }
    let lists =
        [(&to, "TooManyToAddresses"), (&cc, "TooManyCCAddresses"), (&bcc, "TooManyBCCAddresses")];
    for (list, code) in lists {
        if list.len() > ADDRESSES_MAX {
            return Err(Failure::code(code, format!("more than {ADDRESSES_MAX} addresses")));
        }
    }
    let (plain, html) = (text(fields, "plain_body"), text(fields, "html_body"));
    if plain.is_none() && html.is_none() {
        return Err(Failure::code("NoContent", "there is neither plain_body nor html_body"));
    }
    let from = text(fields, "from")
        .ok_or_else(|| Failure::code("FromAddressMissing", "there is no from address"))?;
    let mailboxes = |list: Vec<String>| list.iter().map(|one| mailbox(one)).collect();
    Ok(Letter {
        sender: text(fields, "sender").map(|sender| mailbox(&sender)),
        to: mailboxes(to),
        cc: mailboxes(cc),
        bcc: mailboxes(bcc),
        reply_to: text(fields, "reply_to").iter().map(|one| mailbox(one)).collect(),
        subject: text(fields, "subject").unwrap_or_default(),
        text: plain,
        html,
        attachments: attachments(fields)?,
        headers: headers(fields)?,
        tag: text(fields, "tag"),
        ..Letter::from(mailbox(&from))
    })
}

/// A field of ours is written by us whatever stands here, as Postal writes its own.
fn headers(fields: &Fields) -> Result<std::collections::BTreeMap<String, String>, Failure> {
    let wrong = || Failure::Parameter("headers: must be an object of texts".to_owned());
    let given = match fields.get("headers") {
        None | Some(Value::Null) => return Ok(Default::default()),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(wrong()),
    };
    let kept = given.iter().filter(|(name, _)| !is_own_header(name));
    let read = kept.map(|(name, value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string())),
        _ => Err(wrong()),
    });
    read.collect()
}

fn attachments(fields: &Fields) -> Result<Vec<Attachment>, Failure> {
    let list = match fields.get("attachments") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Failure::Parameter("attachments: must be an array".to_owned())),
    };
    let read = |value: &Value| {
        let none = Map::new();
        let one = value.as_object().unwrap_or(&none);
        let name = text(one, "name")
            .ok_or_else(|| Failure::code("AttachmentMissingName", "an attachment has no name"))?;
        let data = text(one, "data")
            .ok_or_else(|| Failure::code("AttachmentMissingData", "an attachment has no data"))?;
        let content = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let content_type = text(one, "content_type");
        Ok(Attachment { name, content_type, content, content_id: None })
    };
    list.iter().map(read).collect()
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::read(text)
}

fn unauthenticated(problem: Problem) -> Failure {
    Failure::code(UNAUTHENTICATED, problem.detail)
}

impl From<FieldError> for Failure {
    fn from(error: FieldError) -> Failure {
        Failure::Parameter(error.to_string())
    }
}

/// The door speaks as SMTP does. 5.7.1 is its word for an author who is not the sender's own.
fn refused(refusal: Refusal) -> Failure {
    match (refusal.code, refusal.enhanced) {
        (500.., Enhanced(5, 7, 1)) => Failure::code(UNAUTHENTICATED, refusal.text),
        _ => super::super::send::refused(refusal).into(),
    }
}

/// Each recipient's delivery by his address.
async fn told(call: &Call<needs::Send>, id: MessageId) -> Answer {
    let row = call.store.message(id).await?;
    let row = row.ok_or_else(|| Problem::ours("a mail that was taken is not there"))?;
    let filter = DeliveryFilter { message: Some(id), ..DeliveryFilter::default() };
    let deliveries = call.store.list_deliveries(&filter, DELIVERIES_MAX).await?;
    let named = |delivery: &crate::store::DeliveryView| {
        let token = postal::token(delivery.id, &row);
        (delivery.recipient.to_string(), json!({ "id": delivery.id, "token": token }))
    };
    let messages: Map<String, Value> = deliveries.iter().map(named).collect();
    Ok(json!({ "message_id": row.message_id_header, "messages": messages }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mail_lacks_is_told_by_postals_codes_in_its_order() {
        let many: Vec<String> = (0..51).map(|n| format!("n{n}@x.test")).collect();
        let whole = json!({
            "to": ["bob@x.test"], "from": "ann@shop.test", "plain_body": "hi",
            "headers": {"X-A": "1", "Message-ID": "<forged@x.test>", "From": "eve@x.test"},
        });
        let with = |name: &str, value: Value| {
            let mut fields = whole.as_object().expect("an object").clone();
            fields.insert(name.to_owned(), value);
            letter(&fields)
        };
        let letter = with("tag", json!("welcome")).expect("lawful");
        assert_eq!(letter.headers.keys().collect::<Vec<_>>(), ["X-A"]);
        for (name, value, expected) in [
            ("to", json!([]), "NoRecipients"),
            ("to", json!(many), "TooManyToAddresses"),
            ("cc", json!(many), "TooManyCCAddresses"),
            ("bcc", json!(many), "TooManyBCCAddresses"),
            ("plain_body", json!("  "), "NoContent"),
            ("from", json!(""), "FromAddressMissing"),
            ("attachments", json!([{"data": "aGk="}]), "AttachmentMissingName"),
            ("attachments", json!([{"name": "a.txt"}]), "AttachmentMissingData"),
        ] {
            match with(name, value).expect_err(expected) {
                Failure::Error { code, .. } => assert_eq!(code, expected),
                other => panic!("{name}: {other:?}"),
            }
        }
        for (name, value) in [("to", json!(7)), ("headers", json!([])), ("attachments", json!(""))]
        {
            assert!(matches!(with(name, value), Err(Failure::Parameter(_))), "{name}");
        }
    }
}
