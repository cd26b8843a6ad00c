//! What a submitter asks for in `X-Postroad-…` fields, which never leave the house.
//!
//! Owns:       the names of these fields and the form of their values.
//! Promises:   a value that is not understood is refused with the field's name, never ignored.
//! Knows not:  streams of organizations, the queue.

use std::borrow::Cow;

use mail_parser::parsers::MessageStream;

use super::Refusal;
use super::letter::FieldError;
use crate::model::{Timestamp, Tracking};
use crate::store::AuditLine;
use crate::wire::date;
use crate::wire::header::Field;

/// All our fields begin with it; a name behind it that we do not know is refused, because it is a
/// mistake that would otherwise be found when the mail has gone out.
pub const PREFIX: &str = "X-Postroad-";
const NAMES: &str = "Stream, Tag, Metadata, Not-Before, Not-After, Idempotency-Key, Track";

const TAG_BYTES_MAX: usize = 128;
const STREAM_BYTES_MAX: usize = 128;
const METADATA_BYTES_MAX: usize = 4096;
const KEY_BYTES_MAX: usize = 255;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub stream: Option<String>,
    pub tag: Option<String>,
    pub metadata: Option<String>,
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
    pub idempotency_key: Option<String>,
    /// What it tells of its readers; None: as its stream and domain say.
    pub track: Option<Tracking>,
    /// Of the audit log, where a person ordered it.
    pub line: Option<AuditLine>,
}

/// What applications that were written for Postal say instead of X-Postroad-Tag.
const POSTAL_TAG: &str = "X-Postal-Tag";

pub fn is_request(name: &[u8]) -> bool {
    is_postal_tag(name)
        || name.get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

fn is_postal_tag(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(POSTAL_TAG.as_bytes())
}

impl Request {
    /// Takes in one field whose name begins with the prefix.
    ///
    /// # Errors
    /// 550 5.6.0 that names the field and what it may hold.
    pub fn take(&mut self, field: &Field<'_>) -> Result<(), Refusal> {
        let value = decoded(field);
        let value = value.trim();
        if is_postal_tag(field.name) {
            // Postal takes an empty one for none.
            return match value.is_empty() {
                true => Ok(()),
                false => once(&mut self.tag, "Tag", "at most 128 octets of text", tag_of(value)),
            };
        }
        let name = String::from_utf8_lossy(&field.name[PREFIX.len()..]).to_ascii_lowercase();
        match name.as_str() {
            "stream" => once(&mut self.stream, "Stream", "a stream's name", name_of(value)),
            "tag" => once(&mut self.tag, "Tag", "at most 128 octets of text", tag_of(value)),
            "metadata" => {
                let form = "a JSON object of at most 4096 octets";
                once(&mut self.metadata, "Metadata", form, object_of(value))
            }
            "not-before" => once(&mut self.not_before, "Not-Before", MOMENT, date::read(value)),
            "not-after" => once(&mut self.not_after, "Not-After", MOMENT, date::read(value)),
            "idempotency-key" => {
                let form = "1 to 255 visible ASCII characters";
                once(&mut self.idempotency_key, "Idempotency-Key", form, key_of(value))
            }
            "track" => {
                let form = "none, opens, clicks or both";
                once(&mut self.track, "Track", form, value.to_ascii_lowercase().parse().ok())
            }
            _ => Err(Refusal::content(format!("of the {PREFIX} fields only these exist: {NAMES}"))),
        }
    }

    /// From fields of their own, by the same rules.
    ///
    /// # Errors
    /// The field that is wrong, and what it may hold.
    pub fn of_fields(
        stream: Option<&str>,
        tag: Option<&str>,
        metadata: Option<&serde_json::Map<String, serde_json::Value>>,
        (not_before, not_after): (Option<Timestamp>, Option<Timestamp>),
        key: Option<&str>,
    ) -> Result<Request, FieldError> {
        let metadata = metadata.map(|object| serde_json::Value::from(object.clone()).to_string());
        Ok(Request {
            stream: given("stream", stream, "must be a stream's name", name_of)?,
            tag: given("tag", tag, "must be at most 128 octets of text", tag_of)?,
            metadata: given("metadata", metadata.as_deref(), "is too large", object_of)?,
            not_before,
            not_after,
            idempotency_key: given(
                "idempotency_key",
                key,
                "must be 1 to 255 visible ASCII characters",
                key_of,
            )?,
            track: None,
            line: None,
        })
    }

    /// The two moments must leave a time between them.
    pub fn check_times(&self, now: Timestamp) -> Result<(), Refusal> {
        match (self.not_before, self.not_after) {
            (_, Some(end)) if end <= now => {
                Err(Refusal::content(format!("{PREFIX}Not-After lies in the past")))
            }
            (Some(start), Some(end)) if end <= start => Err(Refusal::content(format!(
                "{PREFIX}Not-After must lie after {PREFIX}Not-Before"
            ))),
            _ => Ok(()),
        }
    }
}

const MOMENT: &str = "seconds since 1970, an RFC 3339 time or an RFC 5322 date";

fn given(
    field: &str,
    value: Option<&str>,
    form: &str,
    read: fn(&str) -> Option<String>,
) -> Result<Option<String>, FieldError> {
    let Some(value) = value else { return Ok(None) };
    read(value).map(Some).ok_or_else(|| FieldError::new(field, form))
}

fn once<T>(place: &mut Option<T>, name: &str, form: &str, value: Option<T>) -> Result<(), Refusal> {
    if place.is_some() {
        return Err(Refusal::content(format!("{PREFIX}{name} stands there twice")));
    }
    *place = value;
    if place.is_some() {
        return Ok(());
    }
    Err(Refusal::content(format!("{PREFIX}{name} must hold {form}")))
}

/// Some libraries write long or non-ASCII values as encoded words (RFC 2047).
pub fn decoded<'a>(field: &Field<'a>) -> Cow<'a, str> {
    let text = field.text();
    if !text.contains("=?") {
        return text;
    }
    let line = format!("{text}\n");
    let value = MessageStream::new(line.as_bytes()).parse_unstructured();
    value.into_text().map_or(text, |decoded| Cow::Owned(decoded.into_owned()))
}

fn plain(value: &str, bytes_max: usize) -> Option<String> {
    let lawful = (1..=bytes_max).contains(&value.len()) && !value.chars().any(char::is_control);
    lawful.then(|| value.to_owned())
}

fn name_of(value: &str) -> Option<String> {
    plain(value, STREAM_BYTES_MAX)
}

fn tag_of(value: &str) -> Option<String> {
    plain(value, TAG_BYTES_MAX)
}

fn object_of(value: &str) -> Option<String> {
    if value.len() > METADATA_BYTES_MAX {
        return None;
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(value).ok()?;
    serde_json::to_string(&object).ok()
}

fn key_of(value: &str) -> Option<String> {
    let visible = value.bytes().all(|b| b.is_ascii_graphic());
    (visible && (1..=KEY_BYTES_MAX).contains(&value.len())).then(|| value.to_owned())
}
