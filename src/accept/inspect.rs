//! May this mail go out, as this sender, through this house?
//!
//! Owns:       the rules on sender, form, size and loops (A8, A9, A14, A16, A19).
//! Promises:   pure but for the directory of rights; the header section is read once.
//! Knows not:  the queue.
//!
//! The parts of the body are not looked at, so a bomb of nested parts costs nothing here (A14).
//!
//! Of RFC 6531: a mail needs SMTPUTF8 when its envelope or an address of its author does. Raw
//! UTF-8 elsewhere in the header section without SMTPUTF8 is not lawful but common; it passes as
//! 8-bit text, as Postfix lets it pass, since refusing it would stop old applications for a fault
//! that receivers bear. Where SMTPUTF8 was declared and nothing needs it, the mail goes out
//! without, so that it reaches hosts that do not know it.

use std::borrow::Cow;

use memchr::{memchr2_iter, memmem};

use super::request::{Request, is_request};
use super::{Refusal, Rights, Submission};
use crate::auth::Identity;
use crate::clock::Clock;
use crate::model::limits::{BODY_BYTES_MAX, RECEIVED_FIELDS_MAX, RECIPIENTS_MAX};
use crate::model::*;
use crate::wire::header::{Field, HeaderError, HeaderSection};
use crate::wire::mailbox::{self, MailboxError};

/// A mail that came through this house so often goes in a circle (A19). Some applications
/// legitimately send on what they received, so once or twice is no loop.
const OWN_PASSES_MAX: usize = 5;

/// What stands behind the host name in our own Received fields.
pub const MARK: &str = " (Postroad)";

/// What stamping needs to know of an inspected mail.
#[derive(Debug)]
pub struct Findings<'a> {
    pub section: HeaderSection<'a>,
    pub domain: DomainId,
    pub stream: StreamId,
    pub rank: i64,
    pub tracking: Tracking,
    pub request: Request,
    /// The first author's domain.
    pub from_domain: Domain,
    pub message_id: Option<Field<'a>>,
    pub date: bool,
    pub subject: Option<Field<'a>>,
    /// Merged: each address once.
    pub recipients: Vec<Recipient>,
    pub eight_bit: bool,
    pub smtputf8: bool,
}

/// What a field is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    From,
    Sender,
    Received,
    MessageId,
    Date,
    Subject,
    /// Taken out: blind copies, and what only the last host may write (RFC 5321 §4.4).
    Dropped,
    Request,
    Other,
}

const KINDS: [(&str, Kind); 9] = [
    ("From", Kind::From),
    ("Date", Kind::Date),
    ("Sender", Kind::Sender),
    ("Subject", Kind::Subject),
    ("Received", Kind::Received),
    ("Message-ID", Kind::MessageId),
    ("Bcc", Kind::Dropped),
    ("Resent-Bcc", Kind::Dropped),
    ("Return-Path", Kind::Dropped),
];

pub fn kind_of(field: &Field<'_>) -> Kind {
    match KINDS.iter().find(|(name, _)| field.is(name)) {
        Some((_, kind)) => *kind,
        None if is_request(field.name) => Kind::Request,
        None => Kind::Other,
    }
}

/// The fields that the rules ask about.
#[derive(Default)]
struct Seen<'a> {
    from: Option<Field<'a>>,
    sender: Option<Field<'a>>,
    message_id: Option<Field<'a>>,
    subject: Option<Field<'a>>,
    date: bool,
    received: usize,
    own_passes: usize,
    request: Request,
}

/// All rules on one submission.
///
/// # Errors
/// What the client is told; always 5xx, as nothing but the mail is looked at.
pub fn inspect<'a, R: Rights>(
    submission: &'a Submission,
    asked: Request,
    rights: &R,
    host_name: &str,
    clock: &Clock,
) -> Result<Findings<'a>, Refusal> {
    let (mail, envelope) = (submission.mail.as_ref(), &submission.envelope);
    check_size(mail.len() as u64)?;
    check_lines(mail)?;
    if let Some(sender) = &envelope.sender.0 {
        check_domain(rights, &submission.identity, sender, "MAIL FROM")?;
    }
    let recipients = merged(&envelope.recipients)?;
    let section = HeaderSection::scan(mail).map_err(refuse_header)?;
    let seen = Seen::of(&section, host_name, asked)?;
    seen.check_loops()?;
    seen.request.check_times(clock.now())?;
    let authors = seen.authors()?;
    let domain = check_authors(rights, &submission.identity, &authors, "From")?;
    if let Some(sender) = &seen.sender {
        let addresses = read_addresses(sender, "Sender")?;
        check_authors(rights, &submission.identity, &addresses, "Sender")?;
    }
    let stream = seen.stream(rights, &submission.identity)?;
    let smtputf8 = check_utf8(envelope, &section, &authors)?;
    let asked = seen.request.track;
    Ok(Findings {
        domain,
        stream,
        rank: rights.rank(stream),
        tracking: asked.unwrap_or_else(|| rights.tracking(stream, domain)),
        from_domain: authors[0].domain().clone(),
        message_id: seen.message_id,
        date: seen.date,
        subject: seen.subject,
        request: seen.request,
        recipients,
        eight_bit: envelope.eight_bit || !mail.is_ascii(),
        smtputf8,
        section,
    })
}

pub fn check_size(bytes: u64) -> Result<(), Refusal> {
    if bytes <= BODY_BYTES_MAX {
        return Ok(());
    }
    let text = format!("a mail may have {BODY_BYTES_MAX} octets at most");
    Err(Refusal::new(552, Enhanced(5, 3, 4), text))
}

/// A2: whoever hands mail in, the wire to the next host carries CRLF alone.
fn check_lines(mail: &[u8]) -> Result<(), Refusal> {
    let mut lone = memchr2_iter(b'\r', b'\n', mail).filter(|at| match mail[*at] {
        b'\r' => mail.get(at + 1) != Some(&b'\n'),
        _ => *at == 0 || mail[at - 1] != b'\r',
    });
    match lone.next() {
        None => Ok(()),
        Some(_) => Err(Refusal::content("the mail holds a CR or LF that is not part of a CRLF")),
    }
}

fn refuse_header(error: HeaderError) -> Refusal {
    match error {
        HeaderError::TooLong | HeaderError::TooMany => {
            Refusal::new(552, Enhanced(5, 3, 4), error.to_string())
        }
        HeaderError::Nul => Refusal::content(error.to_string()),
    }
}

/// The owner of an address must be this organization. `place` says where the address stands.
pub fn check_domain<R: Rights>(
    rights: &R,
    identity: &Identity,
    address: &Address,
    place: &str,
) -> Result<DomainId, Refusal> {
    let domain = address.domain();
    if !identity.rules.may_send_as(address) {
        let text = format!("{place} names {address}, which this credential may not send as");
        return Err(Refusal::policy(text));
    }
    rights.sending_domain(identity.organization, domain).ok_or_else(|| {
        Refusal::policy(format!(
            "{place} names {domain}, which is not a domain of this account; \
             an administrator adds it with: postroad domain add {domain}"
        ))
    })
}

/// The domain of the first, once all are allowed.
fn check_authors<R: Rights>(
    rights: &R,
    identity: &Identity,
    addresses: &[Address],
    place: &str,
) -> Result<DomainId, Refusal> {
    let mut first = None;
    for address in addresses {
        let domain = check_domain(rights, identity, address, place)?;
        first.get_or_insert(domain);
    }
    first.ok_or_else(|| unreadable(place, MailboxError::Empty))
}

fn read_addresses(field: &Field<'_>, place: &str) -> Result<Vec<Address>, Refusal> {
    mailbox::addresses(&field.unfolded()).map_err(|error| unreadable(place, error))
}

fn unreadable(place: &str, error: MailboxError) -> Refusal {
    Refusal::content(format!("the {place} field cannot be accepted: {error}"))
}

/// RFC 6531 §3.1; see the head of this file. True when the mail must go out as SMTPUTF8.
fn check_utf8(
    envelope: &Envelope,
    section: &HeaderSection<'_>,
    authors: &[Address],
) -> Result<bool, Refusal> {
    let in_sender = envelope.sender.0.as_ref().is_some_and(Address::needs_smtputf8);
    let needed = in_sender
        || authors.iter().any(Address::needs_smtputf8)
        || envelope.recipients.iter().any(|recipient| recipient.address.needs_smtputf8());
    if !envelope.smtputf8 {
        let text = "an address holds characters beyond ASCII: declare SMTPUTF8 in MAIL FROM";
        let refused = Refusal::new(550, Enhanced(5, 6, 7), text);
        return if needed { Err(refused) } else { Ok(false) };
    }
    if std::str::from_utf8(section.raw()).is_err() {
        return Err(Refusal::content("SMTPUTF8 was declared but the header section is not UTF-8"));
    }
    Ok(needed || !section.raw().is_ascii())
}

/// Each address once, in the order given; what the first of equals asked for counts.
fn merged(recipients: &[Recipient]) -> Result<Vec<Recipient>, Refusal> {
    if recipients.is_empty() {
        return Err(Refusal::new(554, Enhanced(5, 5, 1), "the mail has no recipient"));
    }
    if recipients.len() > RECIPIENTS_MAX {
        let text = format!("a mail may have {RECIPIENTS_MAX} recipients at most");
        return Err(Refusal::new(452, Enhanced(4, 5, 3), text));
    }
    if let [only] = recipients {
        return Ok(vec![only.clone()]);
    }
    let mut known = std::collections::HashSet::with_capacity(recipients.len());
    let kept = recipients.iter().filter(|recipient| known.insert(&recipient.address));
    Ok(kept.cloned().collect())
}

impl<'a> Seen<'a> {
    fn of(
        section: &HeaderSection<'a>,
        host_name: &str,
        asked: Request,
    ) -> Result<Seen<'a>, Refusal> {
        let mut seen = Seen { request: asked, ..Seen::default() };
        let mark = format!("by {host_name}{MARK}");
        for field in section.fields() {
            match kind_of(&field) {
                Kind::From => seen.take_from(field)?,
                Kind::Sender if seen.sender.is_some() => {
                    return Err(Refusal::policy("the mail has more than one Sender field"));
                }
                Kind::Sender => seen.sender = Some(field),
                Kind::Received => {
                    seen.received += 1;
                    let own = memmem::find(&field.unfolded(), mark.as_bytes()).is_some();
                    seen.own_passes += usize::from(own);
                }
                Kind::MessageId => seen.message_id = seen.message_id.or(Some(field)),
                Kind::Subject => seen.subject = seen.subject.or(Some(field)),
                Kind::Date => seen.date = true,
                Kind::Request => seen.request.take(&field)?,
                Kind::Dropped | Kind::Other => {}
            }
        }
        Ok(seen)
    }

    /// RFC 5322 §3.6 wants exactly one; with two, readers disagree on who wrote (A9).
    fn take_from(&mut self, field: Field<'a>) -> Result<(), Refusal> {
        match self.from.replace(field) {
            None => Ok(()),
            Some(_) => Err(Refusal::policy("the mail has more than one From field")),
        }
    }

    fn check_loops(&self) -> Result<(), Refusal> {
        if self.received <= RECEIVED_FIELDS_MAX && self.own_passes <= OWN_PASSES_MAX {
            return Ok(());
        }
        let text = "the mail goes in a circle: too many Received fields";
        Err(Refusal::new(554, Enhanced(5, 4, 6), text))
    }

    fn authors(&self) -> Result<Vec<Address>, Refusal> {
        match &self.from {
            Some(from) => read_addresses(from, "From"),
            None => Err(Refusal::content("the mail has no From field")),
        }
    }

    fn stream<R: Rights>(&self, rights: &R, identity: &Identity) -> Result<StreamId, Refusal> {
        let Some(name) = &self.request.stream else { return Ok(identity.stream) };
        rights.stream(identity.organization, name).ok_or_else(|| {
            Refusal::content("X-Postroad-Stream names a stream that this account does not have")
        })
    }
}

/// The subject as lists show it: decoded, on one line, clipped.
pub fn subject_text(field: &Field<'_>) -> String {
    let text = super::request::decoded(field);
    let text: Cow<'_, str> = if text.chars().any(char::is_control) {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    } else {
        text
    };
    match text.char_indices().nth(SUBJECT_CHARS_MAX) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.into_owned(),
    }
}

const SUBJECT_CHARS_MAX: usize = 255;
