//! Mail that the public pages write: to whoever's mailbox it is, and to nobody else.
//!
//! Owns:       from whom it comes, and that no program answers it.
//! Promises:   what is asked for twice by the same key is sent once.
//! Knows not:  what it says.

use super::access::{Call, needs};
use super::problem::Problem;
use crate::compose::template::Rendered;
use crate::compose::{Attached, Letter};
use crate::model::*;
use crate::queue::NewMessage;
use crate::store::{DomainRow, StreamRow};

type Anybody = Call<needs::Anybody>;

pub(super) struct Outgoing<'a> {
    pub organization: OrganizationId,
    /// Who writes, by name; the address is of the organization's first domain.
    pub from_name: &'a str,
    pub to: &'a str,
    pub rendered: &'a Rendered,
    pub attached: &'a [Attached],
    pub tag: &'static str,
    pub idempotency_key: Option<String>,
    /// It is of no use any more.
    pub ends: Timestamp,
}

/// As transactional mail.
pub(super) async fn send(call: &Anybody, mail: Outgoing<'_>) -> Result<(), Problem> {
    let none = || Problem::unavailable("no domain or stream to send from");
    let queue = call.queue.as_ref().ok_or_else(none)?;
    let (domain, stream) = origin(call, mail.organization).await?.ok_or_else(none)?;
    let content = content(mail.from_name, &domain);
    let id = queue.message_id().await.map_err(Problem::ours)?;
    let letter = Letter {
        content: &content,
        to_name: "",
        to: mail.to,
        rendered: mail.rendered,
        at: call.clock.wall(),
        id: &format!("{}.{id}", mail.tag),
        more: &[("Auto-Submitted", "auto-generated".to_owned())],
        attached: mail.attached,
    };
    let to = Address::parse(mail.to).map_err(Problem::ours)?;
    let smtputf8 = to.needs_smtputf8();
    let recipient = Recipient { notify: Notify::NEVER, ..Recipient::new(to) };
    let new = NewMessage {
        organization: mail.organization,
        stream,
        credential: None,
        domain: Some(domain.id),
        envelope: Envelope {
            sender: ReversePath::parse(&content.from).map_err(Problem::ours)?,
            recipients: vec![recipient],
            eight_bit: false,
            smtputf8,
            dsn_return: None,
            dsn_envelope_id: None,
        },
        message_id_header: letter.message_id(),
        subject: mail.rendered.subject.clone(),
        tag: Some(mail.tag.to_owned()),
        metadata: None,
        idempotency_key: mail.idempotency_key,
        rank: 0,
        tracking: None,
        not_before: None,
        not_after: Some(mail.ends),
        line: None,
        body: letter.bytes(),
    };
    queue.enqueue(id, new).await.map_err(Problem::ours)?;
    Ok(())
}

fn content(from_name: &str, domain: &DomainRow) -> CampaignContent {
    CampaignContent {
        attachments: Vec::new(),
        data: serde_json::Map::new(),
        from: format!("no-reply@{}", domain.name),
        from_name: from_name.to_owned(),
        reply_to: None,
        variants: Vec::new(),
    }
}

/// The first domain and the transactional stream.
async fn origin(
    call: &Anybody,
    organization: OrganizationId,
) -> Result<Option<(DomainRow, StreamId)>, Problem> {
    let mut domains = call.store.domains().await?.into_iter();
    let domain = domains.find(|row| row.organization == organization);
    let streams = call.store.streams().await?;
    let is_own = |row: &&StreamRow| {
        row.organization == organization && row.class == StreamClass::Transactional.word()
    };
    Ok(domain.zip(streams.iter().find(is_own).map(|row| row.id)))
}
