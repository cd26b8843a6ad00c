//! The daemon's own mail to people: invites, new passwords, alarms.
//!
//! Owns:       the form of such a mail, and who is written to.
//! Promises:   each goes through the queue as all mail does, from the daemon's own organization,
//!             stream and domain; its sender is null and it says Auto-Submitted, so that no
//!             machine answers it.
//! Knows not:  who asks for one, what becomes of it. What is over the limit of its stream waits.
//!
//! Who has an alarm to tell records an event `alarm` (`alarms.rs` mails it), or, above the queue,
//! calls `tell`.

mod alarms; // events that people must hear of

use std::sync::Arc;

pub use alarms::run as tell_alarms;

use crate::clock::Clock;
use crate::model::*;
use crate::queue::{NewMessage, Queue, QueueError};
use crate::store::{Store, StoreError};
use crate::wire::{date, encode};

const SUBJECT_BYTES_MAX: usize = 300;
const TEXT_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whom a notice is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whom {
    /// The installation's admins.
    Admins,
    /// The organization's owners; the installation's admins where it has none.
    Owners(OrganizationId),
}

/// A cheap handle.
#[derive(Clone)]
pub struct Notices(Arc<Inner>);

struct Inner {
    queue: Queue,
    own: Own,
    /// Where the panel is, for links.
    public_url: Option<String>,
    clock: Clock,
}

impl Notices {
    pub fn new(queue: Queue, own: Own, public_url: Option<String>, clock: Clock) -> Notices {
        Notices(Arc::new(Inner { queue, own, public_url, clock }))
    }

    fn store(&self) -> &Store {
        self.0.queue.store()
    }

    /// A page of the panel, such as `/invite?token=…`, where the settings say where that is.
    pub fn link(&self, path: &str) -> Option<String> {
        let base = self.0.public_url.as_ref()?;
        Some(format!("{}{path}", base.trim_end_matches('/')))
    }

    /// A mail to each of them. Returns to how many; none when nobody is there to be told.
    ///
    /// # Errors
    /// The mail cannot be enqueued now.
    pub async fn tell(&self, whom: Whom, subject: &str, text: &str) -> Result<usize, NoticeError> {
        let mut people = match whom {
            Whom::Owners(organization) => self.store().owner_emails(organization).await?,
            Whom::Admins => Vec::new(),
        };
        if people.is_empty() {
            people = self.store().admin_emails().await?;
        }
        let mut count = 0;
        for email in people {
            // It was checked when the account was made.
            let Ok(to) = Address::parse(&email) else { continue };
            self.send(&to, subject, text).await?;
            count += 1;
        }
        Ok(count)
    }

    /// A mail to one person.
    ///
    /// # Errors
    /// The mail cannot be enqueued now.
    pub async fn send(
        &self,
        to: &Address,
        subject: &str,
        text: &str,
    ) -> Result<MessageId, NoticeError> {
        let inner = &*self.0;
        let id = inner.queue.message_id().await?;
        let subject = one_line(subject);
        let message_id = format!("notice.{id}@{}", inner.own.domain);
        let mail = letter(&inner.own, to, (&subject, text), &message_id, inner.clock.wall());
        let recipient = Recipient { notify: Notify::NEVER, ..Recipient::new(to.clone()) };
        let envelope = Envelope {
            sender: ReversePath::NULL,
            recipients: vec![recipient],
            eight_bit: false,
            smtputf8: !to.to_string().is_ascii(),
            dsn_return: None,
            dsn_envelope_id: None,
        };
        let new = NewMessage {
            organization: inner.own.organization,
            stream: inner.own.stream,
            credential: None,
            domain: None,
            envelope,
            message_id_header: message_id,
            subject,
            tag: None,
            metadata: None,
            idempotency_key: None,
            rank: 0,
            tracking: None,
            not_before: None,
            not_after: None,
            line: None,
            body: mail.into(),
        };
        Ok(inner.queue.enqueue(id, new).await?)
    }
}

/// What a stranger has written may stand in a subject: it stays one line.
fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clipped_to(line, SUBJECT_BYTES_MAX)
}

fn letter(
    own: &Own,
    to: &Address,
    (subject, text): (&str, &str),
    message_id: &str,
    at: Timestamp,
) -> String {
    let text = clipped_to(text.to_owned(), TEXT_BYTES_MAX);
    format!(
        "Date: {}\r\nFrom: Postroad <postroad@{}>\r\nTo: <{to}>\r\nSubject: {}\r\n\
         Message-ID: <{message_id}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n{}",
        date::rfc5322(at),
        own.domain,
        encode::unstructured(subject),
        encode::quoted_printable(&text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_stranger_wrote_adds_a_field() {
        let own = Own {
            organization: OrganizationId::FIRST,
            stream: StreamId(1),
            domain: Domain::parse("mail.example").expect("lawful"),
        };
        let to = Address::parse("ann@example.com").expect("lawful");
        let subject = one_line("a\r\nBcc: eve@example.com");
        let told = ("x", "line\r\n.\r\nFrom: grün");
        let mail = letter(&own, &to, (&subject, told.1), "i@mail.example", Timestamp(0));
        let (head, body) = mail.split_once("\r\n\r\n").expect("two parts");
        assert!(!head.contains("\r\nBcc") && head.contains("Auto-Submitted: auto-generated"));
        assert!(head.is_ascii() && body.is_ascii() && body.ends_with("\r\n"));
        assert!(one_line(&"ü".repeat(400)).len() <= SUBJECT_BYTES_MAX);
    }
}
