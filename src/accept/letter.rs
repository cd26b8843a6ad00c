//! A mail given as fields: who, to whom, what; made into a mail as SMTP would bring it.
//!
//! Owns:       the fields of a letter, their maxima, the order of the header section.
//! Promises:   pure; no field can add a line to the header section: what holds a control
//!             character is refused by name, never repaired (A16).
//! Knows not:  who may send as whom, HTTP.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Field;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::mime::MimePart;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::request::Request;
use crate::model::limits::{BODY_BYTES_MAX, RECIPIENTS_MAX};
use crate::model::*;

const LINE_BYTES_MAX: usize = 998;
const SUBJECT_BYTES_MAX: usize = 4000;
const HEADERS_MAX: usize = 100;
const HEADER_VALUE_BYTES_MAX: usize = 4000;
const ATTACHMENTS_MAX: usize = 100;

/// Written by us, or by us alone: these are fields of the letter, or no business of a sender.
const OWN_HEADERS: [&str; 16] = [
    "from",
    "sender",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "received",
    "return-path",
    "mime-version",
    "dkim-signature",
    "resent-bcc",
    "resent-from",
    "resent-to",
];

/// `ann@example.com`, `Ann <ann@example.com>`, or the two in fields.
#[derive(Clone, Debug)]
pub struct Mailbox {
    pub email: String,
    pub name: Option<String>,
}

/// A header field that a letter cannot set by its name.
pub fn is_own_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    OWN_HEADERS.contains(&lower.as_str()) || lower.starts_with("content-")
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Fields(MailboxFields),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MailboxFields {
    email: String,
    #[serde(default)]
    name: Option<String>,
}

impl<'de> Deserialize<'de> for Mailbox {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mailbox, D::Error> {
        let text = match Written::deserialize(deserializer) {
            Ok(Written::Text(text)) => text,
            Ok(Written::Fields(MailboxFields { email, name })) => {
                return Ok(Mailbox { email, name });
            }
            Err(_) => {
                let form = "must be `ann@example.com`, `Ann <ann@example.com>`, or an object with \
                            `email` and `name`";
                return Err(serde::de::Error::custom(form));
            }
        };
        Ok(Mailbox::read(&text))
    }
}

impl Mailbox {
    /// As it is written in a header field, more or less; what is wrong with it is found later.
    pub fn read(text: &str) -> Mailbox {
        let text = text.trim();
        match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, email)) => {
                let name = name.trim().trim_matches('"').trim().to_owned();
                Mailbox { email: email.to_owned(), name: (!name.is_empty()).then_some(name) }
            }
            None => Mailbox { email: text.to_owned(), name: None },
        }
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    pub name: String,
    /// `application/pdf`, `text/plain; charset=utf-8`; what it is not told is taken as octets.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Base64.
    pub content: String,
    /// Shown within the HTML where it says `cid:` and this.
    #[serde(default)]
    pub content_id: Option<String>,
}

/// A mail as fields.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    #[schema(value_type = String)]
    pub from: Mailbox,
    /// The Sender field: who sends for the author.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub sender: Option<Mailbox>,
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub to: Vec<Mailbox>,
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub cc: Vec<Mailbox>,
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub bcc: Vec<Mailbox>,
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub reply_to: Vec<Mailbox>,
    #[serde(default)]
    pub subject: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub html: Option<String>,
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Further header fields by name.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Of the organization's streams; else the credential's own.
    #[serde(default)]
    pub stream: Option<String>,
    #[serde(default)]
    pub tag: Option<String>,
    /// An object of at most 4096 octets; it comes back in events.
    #[serde(default)]
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
    /// Not sent before.
    #[serde(default)]
    pub scheduled_at: Option<Timestamp>,
    /// Not tried any more after.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// The same key again, within the organization, is the same message.
    #[serde(default)]
    pub idempotency_key: Option<String>,
    /// What it tells of its readers; else as its stream, or else its domain, says.
    #[serde(default)]
    pub track: Option<Tracking>,
}

/// What is wrong with which field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {text}")]
pub struct FieldError {
    pub field: String,
    pub text: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, text: impl Into<String>) -> FieldError {
        FieldError { field: field.into(), text: text.into() }
    }
}

/// A letter as it is submitted.
#[derive(Debug)]
pub struct Built {
    pub from: Address,
    pub recipients: Vec<Address>,
    pub request: Request,
    pub mail: Bytes,
}

impl From<Mailbox> for Letter {
    /// To nobody, with nothing to say yet.
    fn from(from: Mailbox) -> Letter {
        Letter {
            from,
            sender: None,
            to: Vec::new(),
            cc: Vec::new(),
            bcc: Vec::new(),
            reply_to: Vec::new(),
            subject: String::new(),
            text: None,
            html: None,
            attachments: Vec::new(),
            headers: BTreeMap::new(),
            stream: None,
            tag: None,
            metadata: None,
            scheduled_at: None,
            expires_at: None,
            idempotency_key: None,
            track: None,
        }
    }
}

impl Letter {
    /// As a mail. `message_id` is without angle brackets, `now` what Date says.
    ///
    /// # Errors
    /// The field that cannot stand in a mail, and why.
    pub fn build(self, message_id: &str, now: Timestamp) -> Result<Built, FieldError> {
        let request = Request::of_fields(
            self.stream.as_deref(),
            self.tag.as_deref(),
            self.metadata.as_ref(),
            (self.scheduled_at, self.expires_at),
            self.idempotency_key.as_deref(),
        )?;
        let request = Request { track: self.track, ..request };
        let from = address("from", &self.from)?;
        let recipients = self.recipients()?;
        let mut mail = MessageBuilder::new()
            .message_id(message_id)
            .date(Date::new(now.seconds()))
            .from(mailbox("from", &self.from)?)
            .subject(line("subject", &self.subject, SUBJECT_BYTES_MAX)?);
        if let Some(sender) = &self.sender {
            mail = mail.header("Sender", mailbox("sender", sender)?);
        }
        for (name, list) in [("To", &self.to), ("Cc", &self.cc), ("Reply-To", &self.reply_to)] {
            if !list.is_empty() {
                mail = mail.header(name, mailboxes(name, list)?);
            }
        }
        if self.headers.len() > HEADERS_MAX {
            return Err(FieldError::new("headers", format!("at most {HEADERS_MAX}")));
        }
        for (name, value) in &self.headers {
            mail = header(mail, name, value)?;
        }
        let mail = self.body(mail)?;
        let bytes = mail.write_to_vec().map_err(|why| FieldError::new("text", why.to_string()))?;
        if bytes.len() as u64 > BODY_BYTES_MAX {
            let text = format!("the mail is larger than {BODY_BYTES_MAX} octets");
            return Err(FieldError::new("attachments", text));
        }
        Ok(Built { from, recipients, request, mail: bytes.into() })
    }

    fn recipients(&self) -> Result<Vec<Address>, FieldError> {
        let mut recipients = Vec::new();
        for (field, list) in [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc)] {
            for mailbox in list {
                recipients.push(address(field, mailbox)?);
            }
        }
        match recipients.len() {
            0 => Err(FieldError::new("to", "names no recipient")),
            1..=RECIPIENTS_MAX => Ok(recipients),
            _ => Err(FieldError::new("to", format!("more than {RECIPIENTS_MAX} recipients"))),
        }
    }

    fn body<'a>(&'a self, mut mail: MessageBuilder<'a>) -> Result<MessageBuilder<'a>, FieldError> {
        if self.text.is_none() && self.html.is_none() && self.attachments.is_empty() {
            return Err(FieldError::new("text", "there is neither text nor html"));
        }
        for (field, text) in [("text", &self.text), ("html", &self.html)] {
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                return Err(FieldError::new(field, "must not hold NUL"));
            }
        }
        if let Some(text) = &self.text {
            mail = mail.text_body(text.as_str());
        }
        if let Some(html) = &self.html {
            mail = mail.html_body(html.as_str());
        }
        if self.attachments.len() > ATTACHMENTS_MAX {
            return Err(FieldError::new("attachments", format!("at most {ATTACHMENTS_MAX}")));
        }
        let parts: Result<Vec<_>, _> =
            self.attachments.iter().enumerate().map(|(place, one)| part(place, one)).collect();
        mail.attachments = Some(parts?).filter(|parts| !parts.is_empty());
        Ok(mail)
    }
}

fn part(place: usize, attachment: &Attachment) -> Result<MimePart<'_>, FieldError> {
    let field = |name: &str| format!("attachments[{place}].{name}");
    let name = line(&field("name"), &attachment.name, LINE_BYTES_MAX / 4)?;
    let kind = attachment.content_type.as_deref().unwrap_or("application/octet-stream");
    let kind = media_type(kind)
        .ok_or_else(|| FieldError::new(field("content_type"), "must be like application/pdf"))?;
    let octets = STANDARD
        .decode(&attachment.content)
        .map_err(|why| FieldError::new(field("content"), format!("is not base64: {why}")))?;
    let part = MimePart::new(kind, octets);
    Ok(match &attachment.content_id {
        None => part.attachment(name),
        Some(id) => {
            let lawful = (1..=200).contains(&id.len())
                && id.bytes().all(|octet| octet.is_ascii_graphic() && !b"<>".contains(&octet));
            if !lawful {
                return Err(FieldError::new(field("content_id"), "must be visible ASCII"));
            }
            // The name stands in the type alone: who shows it within the text needs no file.
            part.inline().cid(id.as_str())
        }
    })
}

/// `type/subtype`, for texts with their charset; another parameter would be a second way to name
/// the file.
fn media_type(text: &str) -> Option<ContentType<'_>> {
    let Some((kind, parameter)) = text.split_once(';') else {
        return is_media_type(text).then(|| ContentType::new(text));
    };
    let (name, value) = parameter.trim().split_once('=')?;
    let value = value.trim_matches('"');
    let lawful = is_media_type(kind)
        && name.eq_ignore_ascii_case("charset")
        && (1..=40).contains(&value.len())
        && value.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.:".contains(&octet));
    lawful.then(|| ContentType::new(kind).attribute("charset", value))
}

/// Of RFC 2045 tokens.
fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        (1..=127).contains(&part.len())
            && part
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&octet))
    };
    text.split_once('/').is_some_and(|(kind, sub)| {
        let nested = ["multipart", "message"].iter().any(|own| kind.eq_ignore_ascii_case(own));
        token(kind) && token(sub) && !nested
    })
}

fn address(field: &str, mailbox: &Mailbox) -> Result<Address, FieldError> {
    let text = mailbox.email.trim();
    Address::parse(text).map_err(|why| FieldError::new(field, format!("'{text}': {why}")))
}

fn mailbox(field: &str, mailbox: &Mailbox) -> Result<Field<'static>, FieldError> {
    let email = address(field, mailbox)?.to_string();
    let name = mailbox.name.as_deref().map(|name| line(field, name, LINE_BYTES_MAX));
    Ok(Field::new_address(name.transpose()?.map(str::to_owned), email))
}

fn mailboxes(header: &str, list: &[Mailbox]) -> Result<Field<'static>, FieldError> {
    let field = header.to_lowercase().replace('-', "_");
    if list.len() > RECIPIENTS_MAX {
        return Err(FieldError::new(field, format!("at most {RECIPIENTS_MAX}")));
    }
    let all: Result<Vec<_>, _> = list.iter().map(|one| mailbox(&field, one)).collect();
    Ok(Field::new_list(all?))
}

fn line<'a>(field: &str, text: &'a str, bytes_max: usize) -> Result<&'a str, FieldError> {
    if text.chars().any(char::is_control) {
        return Err(FieldError::new(field, "must be one line without control characters"));
    }
    if text.len() > bytes_max {
        return Err(FieldError::new(field, format!("must not be longer than {bytes_max} octets")));
    }
    Ok(text)
}

fn header<'a>(
    mail: MessageBuilder<'a>,
    name: &'a str,
    value: &'a str,
) -> Result<MessageBuilder<'a>, FieldError> {
    let field = format!("headers.{}", harmless(name));
    let token = (1..=100).contains(&name.len())
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
    if !token {
        return Err(FieldError::new(field, "is no name of a header field"));
    }
    let is_request = super::request::is_request(name.as_bytes());
    if is_own_header(name) || is_request {
        return Err(FieldError::new(field, "cannot be given here"));
    }
    let value = line(&field, value, HEADER_VALUE_BYTES_MAX)?;
    Ok(match value.is_ascii() {
        true => mail.header(name, Raw::new(value)),
        false => mail.header(name, Text::new(value)),
    })
}

/// A name of a stranger's, as it may stand in an answer.
fn harmless(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;

    fn letter(text: &str) -> Letter {
        let base = r#"{"from": "Ann <ann@shop.example>", "to": ["bob@mx.example"], "text": "hi""#;
        serde_json::from_str(&format!("{base}{text}}}")).expect("a letter")
    }

    fn built(text: &str) -> Result<Built, FieldError> {
        letter(text).build("1@shop.example", Timestamp::from_seconds(1_700_000_000))
    }

    #[test]
    fn a_letter_reads_back_as_it_was_written() {
        let more = r#", "subject": "Grüße",
            "cc": [{"email": "eve@x.example", "name": "Eve \"E\""}],
            "bcc": ["hidden@x.example"], "html": "<p>hi", "headers": {"X-Shop": "7"},
            "attachments": [{"name": "ü.pdf", "content_type": "application/pdf",
                "content": "JVBERg=="}], "tag": "welcome""#;
        let built = built(more).expect("built");
        let to: Vec<_> = built.recipients.iter().map(ToString::to_string).collect();
        assert_eq!(to, ["bob@mx.example", "eve@x.example", "hidden@x.example"]);
        assert_eq!(built.request.tag.as_deref(), Some("welcome"));
        let text = String::from_utf8_lossy(&built.mail);
        assert!(!text.contains("hidden@"), "{text}");
        let read = MessageParser::default().parse(&built.mail[..]).expect("a mail");
        assert_eq!(read.subject(), Some("Grüße"));
        assert_eq!(read.body_text(0).as_deref().map(str::trim), Some("hi"));
        assert_eq!(read.body_html(0).as_deref().map(str::trim), Some("<p>hi"));
        assert_eq!(read.header_raw("X-Shop").map(str::trim), Some("7"));
        let attachment = read.attachment(0).expect("one");
        assert_eq!(attachment.contents(), b"%PDF");
    }

    #[test]
    fn no_field_can_add_a_line_to_the_header_section() {
        for (field, more) in [
            ("subject", r#", "subject": "a\r\nBcc: x@y.example""#),
            ("subject", r#", "subject": "a\u0000""#),
            ("headers.X-A", r#", "headers": {"X-A": "1\nX-B: 2"}"#),
            ("headers.X-A:", r#", "headers": {"X-A: b\r\nX-C": "1"}"#),
            ("headers.Bcc", r#", "headers": {"Bcc": "x@y.example"}"#),
            ("headers.Content-Type", r#", "headers": {"Content-Type": "text/html"}"#),
            ("headers.X-Postroad-Stream", r#", "headers": {"X-Postroad-Stream": "m"}"#),
            ("cc", r#", "cc": ["x@y.example\r\nX: y"]"#),
            ("cc", r#", "cc": [{"email": "x@y.example", "name": "a\r\nX: y"}]"#),
            ("reply_to", r#", "reply_to": ["a\nb <x@y.example>"]"#),
            ("tag", r#", "tag": "a\r\nb""#),
            ("stream", r#", "stream": "a\u0000b""#),
            ("idempotency_key", r#", "idempotency_key": "a b""#),
            ("attachments[0].name", r#", "attachments": [{"name": "a\r\n", "content": ""}]"#),
            (
                "attachments[0].content_type",
                r#", "attachments": [{"name": "a", "content": "", "content_type": "a/b\r\nX: y"}]"#,
            ),
            (
                "attachments[0].content_id",
                r#", "attachments": [{"name": "a", "content": "", "content_id": "a>\r\nX: y"}]"#,
            ),
            ("attachments[0].content", r#", "attachments": [{"name": "a", "content": "?"}]"#),
        ] {
            let field_of = built(more).map(|built| built.mail).map_err(|wrong| wrong.field);
            let field_of = field_of.expect_err(more).replace("X-A:b", "X-A:");
            assert!(field_of.starts_with(field), "{field}: {field_of}");
        }
    }

    #[test]
    fn a_letter_has_somebody_to_go_to_and_something_to_say() {
        let nobody = r#"{"from": "a@b.example", "text": "hi"}"#;
        let nothing = r#"{"from": "a@b.example", "to": ["c@d.example"]}"#;
        for (field, text) in [("to", nobody), ("text", nothing)] {
            let letter: Letter = serde_json::from_str(text).expect("a letter");
            let wrong = letter.build("1@b.example", Timestamp(0)).expect_err(field);
            assert_eq!(wrong.field, field);
        }
    }
}
