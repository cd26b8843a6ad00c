//! Mail that came in, and what became of it.
//!
//! Owns:       the table `inbound_mails`.
//! Promises:   a mail and the event that tells of it commit together.
//! Knows not:  how reports are read, which address may be believed.

use serde::{Deserialize, Serialize};

use crate::model::*;

use super::changes::{Change, INSERT_EVENT, RowWrite, insert_with_id};
use super::database::{Connection, Row};
use super::dialect::Statement;
use super::error::Result;
use super::event_ids::Events;
use super::narrow::Narrowed;
use super::{Store, collect};

/// A mail that came in, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InboundMailRow {
    pub id: InboundMailId,
    pub at: Timestamp,
    /// Null where the mail is the installation's.
    pub organization: Option<OrganizationId>,
    /// The address it came from.
    pub peer: String,
    pub ehlo: String,
    pub tls: Option<String>,
    pub sender: String,
    pub recipient: String,
    pub subject: String,
    pub bytes: u64,
    /// Of the From field.
    pub from_domain: String,
    pub spf: String,
    pub dkim: String,
    pub dmarc: String,
    pub kind: ReportKind,
    pub fate: InboundFate,
    /// Why, in words.
    pub text: String,
    pub message: Option<MessageId>,
    pub delivery: Option<DeliveryId>,
}

pub static NOTE_MAIL: Statement = Statement::new(
    "INSERT INTO inbound_mails (id, at, organization, peer, ehlo, tls, sender, recipient, subject, \
     bytes, from_domain, spf, dkim, dmarc, kind, fate, text, message, delivery) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
);
pub static FORGET_MAILS: Statement = Statement::new(
    "DELETE FROM inbound_mails WHERE id IN \
     (SELECT id FROM inbound_mails WHERE at < $1 ORDER BY at LIMIT 1000)",
);

macro_rules! mails {
    ($tail:literal) => {
        Statement::new(concat!(
            "SELECT id, at, organization, peer, ehlo, tls, sender, recipient, subject, bytes, \
             from_domain, spf, dkim, dmarc, kind, fate, text, message, delivery \
             FROM inbound_mails WHERE id < $1 \
             AND LOWER(sender || ' ' || recipient || ' ' || subject) LIKE $3 ESCAPE '!' \
             AND ($4 = '' OR kind = $4) ",
            $tail
        ))
    };
}

pub static MAILS: Statement = mails!("ORDER BY id DESC LIMIT $2");
pub static MAILS_OF: Statement = mails!("AND organization = $5 ORDER BY id DESC LIMIT $2");

#[cfg(test)]
pub static ALL: &[&Statement] = &[&NOTE_MAIL, &FORGET_MAILS, &MAILS, &MAILS_OF];

impl Store {
    /// The id of the row is given here.
    pub async fn note_inbound(&self, mail: InboundMailRow) -> Result<InboundMailId> {
        Ok(InboundMailId(self.change(Change::InboundMail(Box::new(mail))).await?))
    }

    /// Rows that went, at most a thousand.
    pub async fn forget_inbound(&self, before: Timestamp) -> Result<u64> {
        let write = RowWrite::new(&FORGET_MAILS, vec![before.0.into()]);
        Ok(self.write(vec![write]).await?.unsigned_abs())
    }

    /// Newest first, below the id `before`; the word is what it was taken for.
    pub async fn inbound_mails(
        &self,
        scope: Scope,
        before: Option<InboundMailId>,
        limit: u32,
        narrowed: &Narrowed,
    ) -> Result<Vec<InboundMailRow>> {
        let before = before.map_or(i64::MAX, |id| id.0);
        let mut values = vec![before.into(), i64::from(limit).into()];
        narrowed.put_to(&mut values);
        let rows = match scope.organization() {
            Some(organization) => {
                values.push(organization.0.into());
                self.read(&MAILS_OF, values).await?
            }
            None => self.read(&MAILS, values).await?,
        };
        collect(rows, mail)
    }
}

fn mail(row: &Row) -> Result<InboundMailRow> {
    Ok(InboundMailRow {
        id: InboundMailId(row.int(0)?),
        at: Timestamp(row.int(1)?),
        organization: row.maybe_int(2)?.map(OrganizationId),
        peer: row.text(3)?,
        ehlo: row.text(4)?,
        tls: row.maybe_text(5)?,
        sender: row.text(6)?,
        recipient: row.text(7)?,
        subject: row.text(8)?,
        bytes: row.unsigned(9)?,
        from_domain: row.text(10)?,
        spf: row.text(11)?,
        dkim: row.text(12)?,
        dmarc: row.text(13)?,
        kind: row.parsed(14)?,
        fate: row.parsed(15)?,
        text: row.text(16)?,
        message: row.maybe_int(17)?.map(MessageId),
        delivery: row.maybe_int(18)?.map(DeliveryId),
    })
}

/// The answer is its id.
pub async fn write(
    connection: &mut Connection,
    mail: &InboundMailRow,
    events: &mut Events,
) -> Result<i64> {
    let bytes = i64::try_from(mail.bytes).unwrap_or(i64::MAX);
    let values = vec![
        mail.at.0.into(),
        mail.organization.map(|id| id.0).into(),
        mail.peer.as_str().into(),
        mail.ehlo.as_str().into(),
        mail.tls.clone().into(),
        mail.sender.as_str().into(),
        mail.recipient.as_str().into(),
        mail.subject.as_str().into(),
        bytes.into(),
        mail.from_domain.as_str().into(),
        mail.spf.as_str().into(),
        mail.dkim.as_str().into(),
        mail.dmarc.as_str().into(),
        mail.kind.word().into(),
        mail.fate.word().into(),
        mail.text.as_str().into(),
        mail.message.map(|id| id.0).into(),
        mail.delivery.map(|id| id.0).into(),
    ];
    let id = insert_with_id(connection, "inbound_mail", &NOTE_MAIL, values).await?;
    let fields = serde_json::json!({
        "inbound": id, "sender": mail.sender, "recipient": mail.recipient,
        "subject": mail.subject, "bytes": mail.bytes, "kind": mail.kind, "fate": mail.fate,
        "spf": mail.spf, "dkim": mail.dkim, "dmarc": mail.dmarc,
        "message": mail.message, "delivery": mail.delivery,
    });
    let values = vec![
        events.take(connection, 1).await?.into(),
        mail.at.0.into(),
        EventKind::InboundReceived.word().into(),
        mail.organization.unwrap_or(OrganizationId::NOBODY).0.into(),
        fields.to_string().into(),
    ];
    connection.execute(&INSERT_EVENT, values).await?;
    Ok(id)
}
