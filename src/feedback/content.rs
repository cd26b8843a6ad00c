//! A mail as an application wants it: who, what, the new words of a reply, attachments.
//!
//! Owns:       which part is the text, what of it is quoted, the shapes that routes post.
//! Promises:   linear time; parts beyond a maximum and attachments beyond the route's limit are
//!             left out and told of, never a reason to lose the mail.
//! Knows not:  where it is sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::model::*;
use crate::wire::decode;
use crate::wire::mime::{Mime, Part, parameter};

/// Of each of text and HTML.
const TEXT_BYTES_MAX: usize = 1 << 20;
const ATTACHMENTS_MAX: usize = 100;
const NAME_CHARS_MAX: usize = 255;

/// A file that came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    pub media: String,
    pub content: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub from: String,
    pub to: String,
    pub cc: String,
    pub reply_to: String,
    pub subject: String,
    pub date: String,
    pub message_id: String,
    pub in_reply_to: String,
    pub references: String,
    pub auto_submitted: String,
    pub text: String,
    pub html: String,
    pub attachments: Vec<Attachment>,
    /// Attachments that were too large in all, too many, or in parts too deep.
    pub left_out: usize,
    pub is_cut: bool,
}

impl Content {
    pub fn read(mail: &[u8], attachment_bytes_max: u64) -> Content {
        let mime = Mime::read(mail);
        let field = |name: &str| mime.fields.get(name).unwrap_or_default().trim().to_owned();
        let mut content = Content {
            from: field("from"),
            to: field("to"),
            cc: field("cc"),
            reply_to: field("reply-to"),
            subject: field("subject"),
            date: field("date"),
            message_id: field("message-id"),
            in_reply_to: field("in-reply-to"),
            references: field("references"),
            auto_submitted: field("auto-submitted"),
            is_cut: mime.is_cut,
            ..Content::default()
        };
        let mut room = usize::try_from(attachment_bytes_max).unwrap_or(usize::MAX);
        for part in &mime.parts {
            content.take(part, &mut room);
        }
        content
    }

    fn take(&mut self, part: &Part<'_>, room: &mut usize) {
        let disposition = part.fields.get("content-disposition").unwrap_or_default();
        let is_attached = disposition.trim_start().to_ascii_lowercase().starts_with("attachment");
        let words = match part.media.as_str() {
            "text/plain" => Some(&mut self.text),
            "text/html" => Some(&mut self.html),
            _ => None,
        };
        match words {
            Some(words) if !is_attached && words.is_empty() => *words = text_of(part),
            _ => self.attach(part, disposition, room),
        }
    }

    fn attach(&mut self, part: &Part<'_>, disposition: &str, room: &mut usize) {
        let encoding = part.fields.get("content-transfer-encoding").unwrap_or_default();
        // What is encoded takes more room than what it holds, so this never decodes in vain much.
        if part.raw.len() > room.saturating_mul(2) || self.attachments.len() >= ATTACHMENTS_MAX {
            self.left_out += 1;
            return;
        }
        let content = decoded(part.raw, encoding);
        if content.len() > *room {
            self.left_out += 1;
            return;
        }
        *room -= content.len();
        let kind = part.fields.get("content-type").unwrap_or_default();
        let name = parameter(disposition, "filename").or_else(|| parameter(kind, "name"));
        let name = name.unwrap_or_default();
        let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
        self.attachments.push(Attachment { name, media: part.media.clone(), content });
    }

    /// What its writer has added, without what he quotes.
    pub fn reply(&self) -> String {
        if self.text.is_empty() {
            return unquoted(&decode::html(&self.html));
        }
        unquoted(&self.text)
    }

    /// Our own shape.
    pub fn parsed(&self, route: &Envelopes<'_>) -> Value {
        let attachments: Vec<Value> = self
            .attachments
            .iter()
            .map(|one| {
                json!({
                    "name": one.name, "media": one.media, "bytes": one.content.len(),
                    "content": BASE64.encode(&one.content),
                })
            })
            .collect();
        json!({
            "sender": route.sender, "recipient": route.recipient, "from": self.from,
            "to": self.to, "cc": self.cc, "reply_to": self.reply_to, "subject": self.subject,
            "date": self.date, "message_id": self.message_id, "in_reply_to": self.in_reply_to,
            "references": self.references, "auto_submitted": self.auto_submitted,
            "text": self.text, "html": self.html, "reply": self.reply(),
            "attachments": attachments, "attachments_left_out": self.left_out,
            "is_cut": self.is_cut,
            "spf": route.spf, "dkim": route.dkim, "dmarc": route.dmarc, "bytes": route.bytes,
        })
    }

    /// The hash that Postal posts to an endpoint.
    pub fn postal(&self, route: &Envelopes<'_>) -> Value {
        let attachments: Vec<Value> = self
            .attachments
            .iter()
            .map(|one| {
                json!({
                    "filename": one.name, "content_type": one.media, "size": one.content.len(),
                    "data": BASE64.encode(&one.content),
                })
            })
            .collect();
        json!({
            "id": route.id, "rcpt_to": route.recipient, "mail_from": route.sender,
            "token": route.token, "subject": self.subject, "message_id": self.message_id,
            "timestamp": route.at.0 as f64 / 1e6, "size": route.bytes.to_string(),
            "spam_status": "NotChecked", "bounce": false, "received_with_ssl": route.with_tls,
            "to": self.to, "cc": self.cc, "from": self.from, "date": self.date,
            "in_reply_to": self.in_reply_to, "references": self.references,
            "html_body": self.html, "plain_body": self.text,
            "attachment_quantity": attachments.len(), "auto_submitted": self.auto_submitted,
            "reply_to": self.reply_to, "attachments": attachments,
        })
    }
}

/// What the session knows of a mail.
#[derive(Clone, Copy, Debug)]
pub struct Envelopes<'a> {
    pub id: i64,
    pub token: &'a str,
    pub sender: &'a str,
    pub recipient: &'a str,
    pub bytes: usize,
    pub with_tls: bool,
    pub spf: &'a str,
    pub dkim: &'a str,
    pub dmarc: &'a str,
    pub at: Timestamp,
}

fn decoded(raw: &[u8], encoding: &str) -> Vec<u8> {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "base64" => decode::base64(raw),
        "quoted-printable" => decode::quoted_printable(raw),
        _ => raw.to_vec(),
    }
}

/// HTML stays HTML here.
fn text_of(part: &Part<'_>) -> String {
    let kind = part.fields.get("content-type").unwrap_or_default();
    let encoding = part.fields.get("content-transfer-encoding").unwrap_or_default();
    let window = &part.raw[..part.raw.len().min(TEXT_BYTES_MAX)];
    decode::text(&decoded(window, encoding), parameter(kind, "charset").as_deref())
}

/// Lines that mail programs write above what they quote.
const MARKS: &[&str] = &[
    "-----original message-----",
    "-------- original message --------",
    "________________________________",
    "begin forwarded message:",
    "-----ursprüngliche nachricht-----",
    "-----message d'origine-----",
    "-----mensaje original-----",
    "-----messaggio originale-----",
];
/// What `On Monday Ann wrote:` says in the languages of the large programs.
const WROTE: &[&str] = &[
    "wrote",
    "schrieb",
    "a écrit",
    "escribió",
    "ha scritto",
    "escreveu",
    "schreef",
    "skrev",
    "napisał",
    "написал",
    "写道",
];

/// It also names a day or an address: `as she wrote:` in the midst of a letter does not.
fn is_attribution(lower: &str) -> bool {
    lower.ends_with([':', '：'])
        && WROTE.iter().any(|word| lower.contains(word))
        && lower.contains(|c: char| c.is_ascii_digit() || c == '@')
}

/// The lines above the first mark, without those that begin with `>` and without a signature.
pub fn unquoted(text: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for line in text.lines() {
        let bare = line.trim();
        let lower = bare.to_lowercase();
        if line == "-- " || bare == "--" || MARKS.iter().any(|mark| lower.starts_with(mark)) {
            break;
        }
        if is_attribution(&lower) {
            drop_opening(&mut kept, &lower);
            break;
        }
        if !bare.starts_with('>') {
            kept.push(line);
        }
    }
    kept.join("\n").trim().to_owned()
}

/// A long `On … wrote:` is folded: its first line stands above.
fn drop_opening(kept: &mut Vec<&str>, last: &str) {
    let begins = |line: &str| {
        let lower = line.trim().to_lowercase();
        ["on ", "am ", "le ", "el ", "il ", "em ", "op "].iter().any(|word| lower.starts_with(word))
    };
    if !begins(last) && kept.last().is_some_and(|line| begins(line)) {
        kept.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "From: Ann <ann@far.test>\r\nTo: help@shop.test\r\n\
        Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Type: text/plain; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6n!\r\n\r\n\
        On Mon, 1 Jun 2026 Shop\r\n<shop@shop.test> wrote:\r\n> old\r\n\r\n--b\r\n\
        Content-Type: image/png; name=\"x.png\"\r\nContent-Disposition: attachment; \
        filename=\"../a.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n";

    #[test]
    fn a_mail_is_told_with_text_reply_and_files() {
        let content = Content::read(MAIL.as_bytes(), 100);
        assert_eq!(content.subject, "Grüße");
        assert!(content.text.starts_with("Schön!"));
        assert_eq!(content.reply(), "Schön!");
        let file = &content.attachments[0];
        assert_eq!((file.name.as_str(), file.content.as_slice()), ("a.png", &b"hello"[..]));
        let small = Content::read(MAIL.as_bytes(), 3);
        assert_eq!((small.attachments.len(), small.left_out), (0, 1));
    }

    #[test]
    fn what_is_quoted_is_left_out_in_many_tongues() {
        let cases = [
            ("Yes.\n\nAm 01.06.2026 um 10:00 schrieb Shop:\n> a", "Yes."),
            ("As she wrote:\nnothing", "As she wrote:\nnothing"),
            ("Oui\n\nLe lun. 1 juin 2026 à 10:00, Shop a écrit :\n> a", "Oui"),
            ("No\n\n-----Original Message-----\nFrom: a", "No"),
            ("Fine\n-- \nAnn", "Fine"),
            ("> old\nnew\n> old", "new"),
            ("> only old", ""),
            ("plain", "plain"),
        ];
        for (text, expected) in cases {
            assert_eq!(unquoted(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_shape_of_postal_has_its_keys() {
        let content = Content::read(MAIL.as_bytes(), 100);
        let envelopes = Envelopes {
            id: 5,
            token: "t",
            sender: "ann@far.test",
            recipient: "help@shop.test",
            bytes: 9,
            with_tls: true,
            spf: "pass",
            dkim: "none",
            dmarc: "none",
            at: Timestamp::from_seconds(7),
        };
        let value = content.postal(&envelopes);
        for key in ["id", "rcpt_to", "mail_from", "plain_body", "html_body", "attachments"] {
            assert!(value.get(key).is_some(), "{key}");
        }
        assert_eq!(value["attachments"][0]["data"], "aGVsbG8=");
        assert_eq!(content.parsed(&envelopes)["reply"], "Schön!");
    }
}
