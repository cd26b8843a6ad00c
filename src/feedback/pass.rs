//! Mail that came in and goes on: to who asked for bounces, to the postmaster, by a route.
//!
//! Owns:       what is enqueued or owed for it.
//! Promises:   it goes on under the null sender, so that nothing is sent back for it; the same mail
//!             brought again goes on once.
//! Knows not:  when it is tried.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use super::content::{Content, Envelopes};
use super::inbound::{Fate, Inbound, Inner, SUBJECT_CHARS_MAX, Seen, Trouble};
use crate::accept::Received;
use crate::model::*;
use crate::queue::{NewMessage, QueueError};
use crate::store::{
    InboundCallRow, InboundRouteRow, MessageRow, ReturnSubject, RouteChange, Store, StoreError,
};
use crate::wire::date::rfc5322;
use crate::wire::mime::Fields;

/// A mail on its way out again.
struct Onward {
    to: Vec<Address>,
    flow: (OrganizationId, StreamId),
    /// The same mail brought again has the same.
    key: String,
    eight_bit: bool,
    smtputf8: bool,
    body: Bytes,
}

/// Why a mail that was held does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error("the mail cannot be read any more")]
    Unreadable,
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Inbound {
    /// Sends a mail that a route held on to these addresses; the row goes.
    ///
    /// # Errors
    /// It is held still; what was enqueued before a failure is not enqueued twice.
    pub async fn release(
        &self,
        call: &InboundCallRow,
        to: Vec<Address>,
        store: &Store,
    ) -> Result<(), ReleaseError> {
        let inner = self.inner();
        let mail = BASE64.decode(&call.payload).map_err(|_| ReleaseError::Unreadable)?;
        let flow = inner.flow_of(call.organization).await?;
        let onward = Onward {
            flow,
            key: format!("released:{}", call.id),
            eight_bit: !mail.is_ascii(),
            smtputf8: to.iter().any(Address::needs_smtputf8),
            to,
            body: mail.into(),
        };
        let id = inner.queue.message_id().await?;
        inner.enqueue(id, onward).await?;
        store.change_route(RouteChange::Done(call.id)).await?;
        Ok(())
    }

    /// Tries a mail again that was given up, as if it had come in now.
    ///
    /// # Errors
    /// The ledger does not take it.
    pub async fn retry(&self, call: &InboundCallRow, store: &Store) -> Result<(), StoreError> {
        let inner = self.inner();
        let at = inner.clock.now();
        store.change_route(RouteChange::Retry { id: call.id, at }).await?;
        inner.owed.notify_one();
        Ok(())
    }
}

impl Inner {
    /// What a route makes of a mail.
    pub(super) async fn route(
        &self,
        received: &Received,
        seen: &Seen,
        route: &Arc<InboundRouteRow>,
        recipient: &Address,
        fate: &mut Fate,
    ) -> Result<(), Trouble> {
        fate.organization = fate.organization.or(Some(route.organization));
        if fate.fate == InboundFate::Unattributed {
            fate.fate = match route.action {
                RouteAction::Accept | RouteAction::Refuse => InboundFate::Kept,
                _ => InboundFate::Routed,
            };
            fate.text = route.action.word().to_owned();
        }
        match route.action {
            RouteAction::Accept | RouteAction::Refuse => {}
            RouteAction::Forward => {
                let to = route.target.split_whitespace();
                let to: Vec<Address> = to.filter_map(|one| Address::parse(one).ok()).collect();
                let flow = self.flow_of(route.organization).await?;
                self.send_on(received, to, flow, key_of(received, route.id.0)).await?;
            }
            RouteAction::Http | RouteAction::Smtp | RouteAction::Hold => {
                let payload = self.payload(received, seen, route, recipient).await?;
                self.owe(received, route, recipient, payload).await?;
            }
        }
        Ok(())
    }

    /// The organization's transactional stream.
    async fn flow_of(
        &self,
        organization: OrganizationId,
    ) -> Result<(OrganizationId, StreamId), StoreError> {
        let streams = self.store.streams().await?;
        let own = streams.iter().filter(|row| row.organization == organization);
        let first = own.min_by_key(|row| (row.class != StreamClass::Transactional.word(), row.id));
        Ok((organization, first.map_or(StreamId::FIRST, |row| row.id)))
    }

    /// What is posted, or the mail itself.
    async fn payload(
        &self,
        received: &Received,
        seen: &Seen,
        route: &Arc<InboundRouteRow>,
        recipient: &Address,
    ) -> Result<String, Trouble> {
        let is_parsed = route.action == RouteAction::Http && route.format != RouteFormat::Raw;
        if !is_parsed {
            return Ok(BASE64.encode(self.stamped(received, None)));
        }
        let (mail, route) = (received.mail.clone(), route.clone());
        let (sender, at) = (received.envelope.sender.to_string(), self.clock.now());
        let recipient = recipient.to_string();
        let (authenticity, with_tls) = (seen.authenticity.clone(), received.arrival.tls.is_some());
        let building = move || {
            let content = Content::read(&mail, route.attachment_bytes_max);
            let token = short_key(&mail);
            let envelopes = Envelopes {
                id: at.0,
                token: &token,
                sender: &sender,
                recipient: &recipient,
                bytes: mail.len(),
                with_tls,
                spf: authenticity.spf,
                dkim: authenticity.dkim,
                dmarc: authenticity.dmarc,
                at,
            };
            match route.format {
                RouteFormat::Postal => content.postal(&envelopes).to_string(),
                _ => content.parsed(&envelopes).to_string(),
            }
        };
        let built = tokio::task::spawn_blocking(building).await;
        built.map_err(|error| Trouble::Read(error.to_string()))
    }

    async fn owe(
        &self,
        received: &Received,
        route: &InboundRouteRow,
        recipient: &Address,
        payload: String,
    ) -> Result<(), Trouble> {
        let now = self.clock.now();
        let state = match route.action {
            RouteAction::Hold => InboundCallState::Held,
            _ => InboundCallState::Waiting,
        };
        let row = InboundCallRow {
            id: InboundCallId(0),
            route: route.id,
            organization: route.organization,
            state,
            sender: received.envelope.sender.to_string(),
            recipient: recipient.to_string(),
            payload,
            tries: 0,
            due_at: now,
            created_at: now,
            text: String::new(),
        };
        self.store.change_route(RouteChange::Owe(Box::new(row))).await?;
        self.owed.notify_one();
        Ok(())
    }

    /// The bounce goes on to who submitted the mail and asked to be told (RFC 3461).
    pub(super) async fn return_to_sender(
        &self,
        received: &Received,
        message: &MessageRow,
        subject: &ReturnSubject,
    ) -> Result<(), Trouble> {
        let Some(sender) = &message.sender.0 else { return Ok(()) };
        let key = format!("bounce:{}", subject.delivery);
        let flow = (message.organization, message.stream);
        Ok(self.send_on(received, vec![sender.clone()], flow, key).await?)
    }

    pub(super) async fn pass_on(
        &self,
        received: &Received,
        fate: &mut Fate,
    ) -> Result<(), Trouble> {
        let Some(postmaster) = &self.options.postmaster else {
            fate.fate = InboundFate::Kept;
            fate.text = "inbound.postmaster names nobody".to_owned();
            return Ok(());
        };
        let (key, to) = (key_of(received, 0), vec![postmaster.clone()]);
        let flow = (OrganizationId::FIRST, StreamId::FIRST);
        self.send_on(received, to, flow, key).await?;
        fate.fate = InboundFate::Routed;
        fate.text = format!("to {postmaster}");
        Ok(())
    }

    /// The mail as it came, under the null sender: what comes back for it ends here.
    async fn send_on(
        &self,
        received: &Received,
        to: Vec<Address>,
        flow: (OrganizationId, StreamId),
        key: String,
    ) -> Result<(), QueueError> {
        let id = self.queue.message_id().await?;
        let body = self.stamped(received, Some(id));
        let (eight_bit, smtputf8) = (received.envelope.eight_bit, received.envelope.smtputf8);
        let onward = Onward { to, flow, key, eight_bit, smtputf8, body };
        self.enqueue(id, onward).await
    }

    async fn enqueue(&self, id: MessageId, onward: Onward) -> Result<(), QueueError> {
        let Onward { to, flow: (organization, stream), key, eight_bit, smtputf8, body } = onward;
        let quiet =
            |address| Recipient { notify: crate::model::Notify::NEVER, ..Recipient::new(address) };
        let (fields, _) = Fields::read(&body);
        let field = |name: &str| fields.get(name).unwrap_or_default().trim().to_owned();
        let envelope = Envelope {
            sender: ReversePath::NULL,
            recipients: to.into_iter().map(quiet).collect(),
            eight_bit,
            smtputf8,
            dsn_return: None,
            dsn_envelope_id: None,
        };
        let new = NewMessage {
            organization,
            stream,
            credential: None,
            domain: None,
            envelope,
            message_id_header: field("message-id").chars().take(255).collect(),
            subject: field("subject").chars().take(SUBJECT_CHARS_MAX).collect(),
            tag: None,
            metadata: None,
            idempotency_key: Some(key),
            rank: 0,
            tracking: None,
            not_before: None,
            not_after: None,
            line: None,
            body,
        };
        self.queue.enqueue(id, new).await?;
        Ok(())
    }

    /// With our own Received field; `id` where the mail has become a message of ours.
    fn stamped(&self, received: &Received, id: Option<MessageId>) -> Bytes {
        let arrival = &received.arrival;
        let lawful = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        let is_lawful = arrival.ehlo.bytes().all(lawful) && arrival.ehlo.len() <= 255;
        let ehlo = if is_lawful { arrival.ehlo.as_str() } else { "unknown" };
        let (peer, host, protocol) = (arrival.peer, &self.options.host_name, arrival.protocol);
        let id = id.map_or(String::new(), |id| format!(" id {id}"));
        let date = rfc5322(self.clock.wall());
        let head = format!(
            "Received: from {ehlo} ([{peer}])\r\n\tby {host} with {protocol}{id};\r\n\t{date}\r\n"
        );
        let mut mail = Vec::with_capacity(head.len() + received.mail.len());
        mail.extend_from_slice(head.as_bytes());
        mail.extend_from_slice(&received.mail);
        mail.into()
    }
}

fn short_key(mail: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, mail);
    digest.as_ref().iter().take(16).map(|octet| format!("{octet:02x}")).collect()
}

fn key_of(received: &Received, route: i64) -> String {
    format!("inbound:{route}:{}", short_key(&received.mail))
}
