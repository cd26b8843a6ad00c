//! What the sender is told: delivery status notifications (RFC 3464) for what failed or waits.
//!
//! Owns:       when a report is made and what mail of ours carries it.
//! Promises:   never for the null sender, so never a report on a report; a report that cannot be
//!             made does not hold up the outcome it tells of.
//! Knows not:  how a report is laid out.

use bytes::Bytes;

use super::Shared;
use super::verdict::Notice;
use crate::model::*;
use crate::queue::{Claimed, NewMessage, Prepared, QueueError};
use crate::wire::dsn::{Action, Fate, Report};

/// What is told of one delivery.
pub struct Told<'a> {
    pub notice: Notice,
    pub claimed: &'a Claimed,
    pub outcome: &'a Outcome,
    /// The host that answered; empty when none did.
    pub host: String,
    pub at: Timestamp,
}

impl Shared {
    /// One report on deliveries of one message; None when there is nothing to tell.
    pub(super) async fn report(&self, told: &[Told<'_>]) -> Option<Prepared> {
        let first = told.first()?;
        match self.make_report(first, told).await {
            Ok(report) => report,
            Err(error) => {
                let message = first.claimed.delivery.message.id;
                tracing::error!(%error, %message, "no report could be made for the sender");
                None
            }
        }
    }

    async fn make_report(
        &self,
        first: &Told<'_>,
        told: &[Told<'_>],
    ) -> Result<Option<Prepared>, QueueError> {
        let message = &first.claimed.delivery.message;
        let Some(sender) = &message.sender.0 else { return Ok(None) };
        let original = self.original(first).await;
        let id = self.queue.message_id().await?;
        let fates: Vec<Fate> = told.iter().map(fate_of).collect();
        let report = Report {
            id,
            host_name: &self.options.host_name,
            domain: self.options.own.domain.as_str(),
            recipient: sender,
            made_at: self.clock.wall(),
            message: message.id,
            arrived_at: message.accepted_at,
            envelope_id: message.dsn_envelope_id.as_deref(),
            wanted: message.dsn_return,
            smtputf8: message.smtputf8,
            original: &original,
            fates: &fates,
        };
        let mail = report.build();
        let recipient = Recipient { notify: Notify::NEVER, ..Recipient::new(sender.clone()) };
        let envelope = Envelope {
            sender: ReversePath::NULL,
            recipients: vec![recipient],
            eight_bit: mail.eight_bit,
            smtputf8: mail.smtputf8,
            dsn_return: None,
            dsn_envelope_id: None,
        };
        let new = NewMessage {
            organization: self.options.own.organization,
            stream: self.options.own.stream,
            credential: None,
            domain: None,
            envelope,
            message_id_header: mail.message_id_header,
            subject: mail.subject.into(),
            tag: None,
            metadata: None,
            idempotency_key: None,
            rank: 0,
            tracking: None,
            not_before: None,
            not_after: None,
            line: None,
            body: mail.mail.into(),
        };
        self.queue.prepare(id, new).await.map(Some)
    }

    /// A body that cannot be read costs the report its third part, not itself.
    async fn original(&self, told: &Told<'_>) -> Bytes {
        match self.queue.body(told.claimed).await {
            Ok(original) => original,
            Err(error) => {
                let message = told.claimed.delivery.message.id;
                tracing::warn!(%error, %message, "a report goes without its mail");
                Bytes::new()
            }
        }
    }
}

fn fate_of(told: &Told<'_>) -> Fate {
    let delivery = &told.claimed.delivery;
    let action = match told.notice {
        Notice::Failed => Action::Failed,
        Notice::Delayed => Action::Delayed,
        Notice::Relayed => Action::Relayed,
    };
    let reason = match told.outcome {
        Outcome::Failed { reason, .. } | Outcome::Deferred { reason, .. } => reason.clone(),
        Outcome::Delivered { .. } | Outcome::AnswerNotSeen { .. } => told.outcome.text(),
    };
    // Our reason stands above the host's: what expired did so whatever was answered last.
    let status = status_in(&reason);
    Fate {
        recipient: delivery.recipient.clone(),
        action,
        status,
        remote_host: (!told.host.is_empty()).then(|| told.host.clone()),
        reply: told.outcome.reply().cloned(),
        reason,
        attempted_at: Some(told.at),
        retry_until: (action == Action::Delayed).then_some(delivery.message.expires_at),
    }
}

/// Our own reasons begin with a code: `550 5.1.2 …` or `4.4.7 …`.
fn status_in(reason: &str) -> Option<Enhanced> {
    Enhanced::read(reason).or_else(|| Reply::read(reason).and_then(|reply| reply.enhanced()))
}
