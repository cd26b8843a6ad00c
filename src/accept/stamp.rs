//! What is put in and taken out: the one copy that is made of a mail.
//!
//! Owns:       our Received field (RFC 5321 §4.4), Message-ID and Date where missing.
//! Promises:   pure; nothing a client said can add a line to the header section (A16).
//! Knows not:  whether the mail may go out.

use bytes::Bytes;

use super::inspect::{Findings, Kind, MARK, kind_of, subject_text};
use super::{Arrival, Submission};
use crate::model::*;
use crate::queue::NewMessage;
use crate::wire::date::rfc5322;

/// Our own fields fit, whatever the client called itself.
const STAMP_BYTES: usize = 1024;
const EHLO_BYTES_MAX: usize = 255;
const TLS_BYTES_MAX: usize = 100;
const MESSAGE_ID_BYTES_MAX: usize = 255;

/// The message as it is enqueued. `wall` is what Received and Date say.
pub fn stamp(
    submission: &Submission,
    findings: Findings<'_>,
    id: MessageId,
    host_name: &str,
    wall: Timestamp,
) -> NewMessage {
    let date = rfc5322(wall);
    let own_id = match &findings.message_id {
        Some(_) => None,
        None => Some(format!("{id}.{:x}@{}", wall.0, findings.from_domain)),
    };
    let mut mail = Vec::with_capacity(submission.mail.len() + STAMP_BYTES);
    write_received(&mut mail, submission, &findings, id, host_name, &date);
    findings
        .section
        .copy_kept(&mut mail, |field| !matches!(kind_of(field), Kind::Dropped | Kind::Request));
    if let Some(own_id) = &own_id {
        mail.extend_from_slice(format!("Message-ID: <{own_id}>\r\n").as_bytes());
    }
    if !findings.date {
        mail.extend_from_slice(format!("Date: {date}\r\n").as_bytes());
    }
    mail.extend_from_slice(b"\r\n");
    mail.extend_from_slice(findings.section.body());
    let request = findings.request;
    NewMessage {
        organization: submission.identity.organization,
        stream: findings.stream,
        credential: submission.identity.credential,
        domain: Some(findings.domain),
        message_id_header: own_id.unwrap_or_else(|| {
            clipped_id(&findings.message_id.as_ref().map(|f| f.text()).unwrap_or_default())
        }),
        subject: findings.subject.as_ref().map(subject_text).unwrap_or_default(),
        tag: request.tag,
        metadata: request.metadata,
        idempotency_key: request.idempotency_key,
        rank: findings.rank,
        tracking: findings.tracking.told(),
        not_before: request.not_before,
        not_after: request.not_after,
        line: request.line,
        envelope: Envelope {
            sender: submission.envelope.sender.clone(),
            recipients: findings.recipients,
            eight_bit: findings.eight_bit,
            smtputf8: findings.smtputf8,
            dsn_return: submission.envelope.dsn_return,
            dsn_envelope_id: submission.envelope.dsn_envelope_id.clone(),
        },
        body: Bytes::from(mail),
    }
}

/// As the row keeps it: without angle brackets.
fn clipped_id(text: &str) -> String {
    let bare = text.trim();
    let bare = bare.strip_prefix('<').unwrap_or(bare);
    let bare = bare.strip_suffix('>').unwrap_or(bare);
    bare[..bare.floor_char_boundary(MESSAGE_ID_BYTES_MAX)].to_owned()
}

/// `for` only for a single recipient, or copies would tell of each other (RFC 5321 §7.2).
fn write_received(
    out: &mut Vec<u8>,
    submission: &Submission,
    findings: &Findings<'_>,
    id: MessageId,
    host_name: &str,
    date: &str,
) {
    let Arrival { peer, ehlo, protocol, tls } = &submission.arrival;
    let literal = match peer.to_canonical() {
        std::net::IpAddr::V4(v4) => format!("[{v4}]"),
        std::net::IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    };
    let mut text = format!("Received: from {} ({literal})\r\n", client_name(ehlo));
    if let Some(tls) = tls {
        text.push_str(&format!("\t(using {})\r\n", tls_text(tls)));
    }
    text.push_str(&format!("\tby {host_name}{MARK} with {protocol} id {id}"));
    if let [only] = findings.recipients.as_slice() {
        text.push_str(&format!("\r\n\tfor <{}>", only.address));
    }
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(format!(";\r\n\t{date}\r\n").as_bytes());
}

/// A domain or address literal as the client gave it; anything else is not repeated.
fn client_name(ehlo: &str) -> &str {
    let lawful = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    let fits = (1..=EHLO_BYTES_MAX).contains(&ehlo.len());
    if fits && ehlo.bytes().all(lawful) { ehlo } else { "unknown" }
}

fn tls_text(tls: &str) -> &str {
    let lawful = |b: u8| b.is_ascii_alphanumeric() || b"-._ ".contains(&b);
    if tls.len() <= TLS_BYTES_MAX && tls.bytes().all(lawful) { tls } else { "TLS" }
}
