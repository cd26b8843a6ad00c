//! The only door: identity, size, loops, sender; the mail is stamped and enqueued.
//!
//! Owns:       the rules by which a submission becomes a message.
//! Promises:   accepted whole or not at all; when it answers with an id, the mail is on disk.
//! Knows not:  SMTP sessions, HTTP requests.

mod inspect; // may this mail go out?
pub mod letter; // a mail given as fields
mod request; // the X-Postroad fields
mod stamp; // what is put in and taken out

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use request::Request;

use crate::auth::{Auth, Identity};
use crate::clock::Clock;
use crate::model::*;
use crate::queue::{NewMessage, Queue, QueueError};
use crate::spool::SpoolError;

/// How the mail came in; for the Received field (RFC 5321 §4.4, RFC 3848).
#[derive(Clone, Debug)]
pub struct Arrival {
    pub peer: IpAddr,
    /// What the client called itself in EHLO or HELO.
    pub ehlo: String,
    /// ESMTPSA, ESMTPS, ESMTPA, ESMTP, UTF8SMTPSA …, HTTP.
    pub protocol: &'static str,
    /// `TLSv1.3 TLS13_AES_256_GCM_SHA384`.
    pub tls: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Submission {
    pub identity: Identity,
    pub envelope: Envelope,
    /// As received, dots unstuffed, CRLF lines only.
    pub mail: Bytes,
    pub arrival: Arrival,
}

/// A mail from outside, for addresses that we serve.
#[derive(Clone, Debug)]
pub struct Received {
    pub envelope: Envelope,
    /// As received, dots unstuffed, CRLF lines only.
    pub mail: Bytes,
    pub arrival: Arrival,
}

/// What a client is told; `Display` is `code enhanced text`. The text is one line of ASCII.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} {} {text}", enhanced)]
pub struct Refusal {
    pub code: u16,
    pub enhanced: Enhanced,
    pub text: String,
    /// When trying again can help, where that is known.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    pub fn new(code: u16, enhanced: Enhanced, text: impl Into<String>) -> Refusal {
        Refusal { code, enhanced, text: text.into(), retry_after: None }
    }

    /// The mail itself is not lawful; sending it again cannot help.
    fn content(text: impl Into<String>) -> Refusal {
        Refusal::new(550, Enhanced(5, 6, 0), text)
    }

    /// The identity may not send this.
    fn policy(text: impl Into<String>) -> Refusal {
        Refusal::new(550, Enhanced(5, 7, 1), text)
    }

    fn no_room() -> Refusal {
        Refusal::new(452, Enhanced(4, 3, 1), "no room for mail now; try again later")
    }
}

/// Where accepted mail is owed; the queue, or a fake of it in tests.
pub trait Ledger: Clone + Send + Sync {
    fn message_id(&self) -> impl Future<Output = Result<MessageId, QueueError>> + Send;
    fn enqueue(
        &self,
        id: MessageId,
        new: NewMessage,
    ) -> impl Future<Output = Result<MessageId, QueueError>> + Send;
    fn has_room(&self, bytes: u64) -> bool;
    /// Those of the recipients whose mail the stream refuses, since nobody writes to them.
    fn refused(
        &self,
        _organization: OrganizationId,
        _stream: StreamId,
        _recipients: &[Recipient],
    ) -> impl Future<Output = Result<Vec<Address>, QueueError>> + Send {
        std::future::ready(Ok(Vec::new()))
    }
}

impl Ledger for Queue {
    fn message_id(&self) -> impl Future<Output = Result<MessageId, QueueError>> + Send {
        Queue::message_id(self)
    }

    fn enqueue(
        &self,
        id: MessageId,
        new: NewMessage,
    ) -> impl Future<Output = Result<MessageId, QueueError>> + Send {
        Queue::enqueue(self, id, new)
    }

    fn has_room(&self, bytes: u64) -> bool {
        Queue::has_room(self, bytes)
    }

    async fn refused(
        &self,
        organization: OrganizationId,
        stream: StreamId,
        recipients: &[Recipient],
    ) -> Result<Vec<Address>, QueueError> {
        let suppressions = self.suppressions();
        if suppressions.policy(stream).suppressed != SuppressedPolicy::Refuse {
            return Ok(Vec::new());
        }
        let addresses: Vec<&Address> = recipients.iter().map(|one| &one.address).collect();
        let stops = suppressions.stops(organization, stream, &addresses).await?;
        let stopped = addresses.into_iter().zip(stops).filter(|(_, stop)| stop.is_some());
        Ok(stopped.map(|(address, _)| address.clone()).collect())
    }
}

/// Who owns which domain and stream; `Auth`, or a fake of it in tests.
pub trait Rights: Clone + Send + Sync {
    fn sending_domain(&self, organization: OrganizationId, domain: &Domain) -> Option<DomainId>;
    fn stream(&self, organization: OrganizationId, name: &str) -> Option<StreamId>;
    fn rank(&self, stream: StreamId) -> i64;
    /// What mail tells of its readers that does not say so itself.
    fn tracking(&self, _stream: StreamId, _domain: DomainId) -> Tracking {
        Tracking::None
    }
    /// Counts mails against the rate of a credential; else how long to wait.
    fn take(&self, identity: &Identity, mails: u32) -> Result<(), Duration>;
}

impl Rights for Auth {
    fn sending_domain(&self, organization: OrganizationId, domain: &Domain) -> Option<DomainId> {
        Auth::sending_domain(self, organization, domain)
    }

    fn stream(&self, organization: OrganizationId, name: &str) -> Option<StreamId> {
        Auth::stream(self, organization, name)
    }

    fn rank(&self, stream: StreamId) -> i64 {
        Auth::rank(self, stream)
    }

    fn tracking(&self, stream: StreamId, domain: DomainId) -> Tracking {
        Auth::tracking(self, stream, domain)
    }

    fn take(&self, identity: &Identity, mails: u32) -> Result<(), Duration> {
        Auth::take(self, identity, mails)
    }
}

/// A cheap handle. `Acceptance` alone means the one over queue and auth.
#[derive(Clone)]
pub struct Acceptance<L = Queue, R = Auth> {
    ledger: L,
    rights: R,
    host_name: Arc<str>,
    clock: Clock,
}

impl<L: Ledger, R: Rights> Acceptance<L, R> {
    /// `host_name` stands in Received and marks the mail as having passed here.
    pub fn new(ledger: L, rights: R, host_name: &str, clock: Clock) -> Acceptance<L, R> {
        Acceptance { ledger, rights, host_name: host_name.into(), clock }
    }

    /// Before the body is taken: is there room for it, may this identity send as this envelope
    /// sender? (P5: 452 4.3.1 where it is known early.)
    ///
    /// # Errors
    /// 452 without room, 552 for a declared size beyond the limit, 550 5.7.1 for a foreign domain.
    pub fn check_sender(
        &self,
        identity: &Identity,
        sender: &ReversePath,
        declared_bytes: Option<u64>,
    ) -> Result<(), Refusal> {
        let bytes = declared_bytes.unwrap_or(0);
        may_send(identity)?;
        inspect::check_size(bytes)?;
        if let Some(address) = &sender.0 {
            inspect::check_domain(&self.rights, identity, address, "MAIL FROM")?;
        }
        if self.ledger.has_room(bytes) { Ok(()) } else { Err(Refusal::no_room()) }
    }

    /// Takes the mail whole: the id returned stands for a mail on disk, or for the one that the
    /// same idempotency key stood for before.
    ///
    /// # Errors
    /// 5xx when the mail can never be taken, 4xx when the store cannot take it now.
    pub async fn submit(&self, submission: Submission) -> Result<MessageId, Refusal> {
        self.submit_with(submission, Request::default()).await
    }

    /// As `submit`, with what the X-Postroad fields would ask for given beside the mail.
    pub async fn submit_with(
        &self,
        submission: Submission,
        request: Request,
    ) -> Result<MessageId, Refusal> {
        may_send(&submission.identity)?;
        let findings =
            inspect::inspect(&submission, request, &self.rights, &self.host_name, &self.clock)?;
        self.rights.take(&submission.identity, 1).map_err(too_much)?;
        let refused = |error| refuse(&error, &submission.identity);
        let organization = submission.identity.organization;
        let asking = self.ledger.refused(organization, findings.stream, &findings.recipients);
        if let Some(first) = asking.await.map_err(refused)?.first() {
            return Err(Refusal::policy(format!("nobody writes to <{first}> any more")));
        }
        let id = self.ledger.message_id().await.map_err(refused)?;
        let new = stamp::stamp(&submission, findings, id, &self.host_name, self.clock.wall());
        // The copy alone is held while the disk works.
        let Submission { identity, mail, .. } = submission;
        drop(mail);
        self.ledger.enqueue(id, new).await.map_err(|error| refuse(&error, &identity))
    }
}

fn may_send(identity: &Identity) -> Result<(), Refusal> {
    match identity.rules.permits(Permission::Send) {
        true => Ok(()),
        false => Err(Refusal::policy("this credential may not send mail")),
    }
}

/// Not refused for good: the client keeps the mail and tries again.
fn too_much(wait: Duration) -> Refusal {
    let text = format!("this credential has sent its share; try again in {} s", wait.as_secs() + 1);
    Refusal { retry_after: Some(wait), ..Refusal::new(450, Enhanced(4, 7, 1), text) }
}

/// Our own trouble is never the client's fault: he keeps the mail and tries again (P5).
fn refuse(error: &QueueError, identity: &Identity) -> Refusal {
    let (credential, organization) = (&identity.name, identity.organization);
    tracing::warn!(%credential, %organization, reason = %error, "a mail was not taken");
    match error {
        QueueError::Spool(SpoolError::Full(_)) => Refusal::no_room(),
        _ => Refusal::new(451, Enhanced(4, 3, 0), "the mail cannot be stored now; try again later"),
    }
}
