//! What was said of mail after a host had taken it: complaints, and reports that it bounced.
//!
//! Owns:       the reads of such events, with the source that had brought the mail.
//! Promises:   each read goes on behind the last event that was read, by an index of few rows.
//! Knows not:  who learns from it.

use crate::model::*;

use super::Store;
use super::database::Row;
use super::dialect::Statement;
use super::error::{Result, StoreError};

/// Somebody complained of a mail: who runs his mailbox, which source had brought it, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub event: EventId,
    pub operator: OperatorId,
    /// By name; None where it is not known any more.
    pub source: Option<String>,
    pub campaign: Option<CampaignId>,
    pub domain: Option<DomainId>,
}

/// A mail that a host had taken came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateBounce {
    pub event: EventId,
    pub operator: OperatorId,
    /// By name; None where it is not known any more.
    pub source: Option<String>,
    /// What the report means; None where nobody could tell.
    pub told: Option<Class>,
    pub reason: Option<String>,
    pub class: StreamClass,
    pub campaign: Option<CampaignId>,
    pub domain: Option<DomainId>,
}

pub static COMPLAINTS_AFTER: Statement = Statement::new(
    "SELECT c.id, c.message, c.delivery, COALESCE(s.operator, 1), d.campaign, d.domain \
     FROM events c \
     JOIN deliveries d ON d.id = c.delivery LEFT JOIN sites s ON s.id = d.site \
     WHERE c.kind = 'complained' AND c.id > $1 AND c.id < $2 ORDER BY c.id LIMIT 1000",
);

pub static BOUNCES_AFTER: Statement = Statement::new(
    "SELECT c.id, c.message, c.delivery, COALESCE(s.operator, 1), c.fields, d.rank, d.campaign, \
     d.domain FROM events c \
     JOIN deliveries d ON d.id = c.delivery LEFT JOIN sites s ON s.id = d.site \
     WHERE c.kind = 'bounced' AND c.id > $1 AND c.id < $2 ORDER BY c.id LIMIT 1000",
);

/// How a delivery was taken at last, by the events of its message.
pub static TAKEN: Statement = Statement::new(
    "SELECT fields FROM events WHERE message = $1 AND delivery = $2 AND kind = 'delivered' \
     ORDER BY id DESC LIMIT 1",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&COMPLAINTS_AFTER, &BOUNCES_AFTER, &TAKEN];

impl Store {
    /// Complaints about mail that a host had taken, after that event; at most a thousand.
    pub async fn complaints_after(&self, after: EventId) -> Result<Vec<Complaint>> {
        let mut complaints = Vec::new();
        let values = vec![after.0.into(), self.settled_before().await?.into()];
        for row in self.read(&COMPLAINTS_AFTER, values).await? {
            complaints.push(Complaint {
                event: EventId(row.int(0)?),
                operator: OperatorId(row.int(3)?),
                source: self.who_brought(&row).await?,
                campaign: row.maybe_int(4)?.map(CampaignId),
                domain: row.maybe_int(5)?.map(DomainId),
            });
        }
        Ok(complaints)
    }

    /// Bounces of mail that a host had taken, after that event; at most a thousand.
    pub async fn bounces_after(&self, after: EventId) -> Result<Vec<LateBounce>> {
        let mut bounces = Vec::new();
        let values = vec![after.0.into(), self.settled_before().await?.into()];
        for row in self.read(&BOUNCES_AFTER, values).await? {
            let fields = json_of(&row, 4)?;
            let word = |name: &str| fields.get(name).and_then(|word| word.as_str());
            let is_urgent = row.int(5)? == 0;
            bounces.push(LateBounce {
                event: EventId(row.int(0)?),
                operator: OperatorId(row.int(3)?),
                source: self.who_brought(&row).await?,
                told: word("class").and_then(|class| class.parse().ok()),
                reason: word("reason").map(str::to_owned),
                class: match is_urgent {
                    true => StreamClass::Transactional,
                    false => StreamClass::Marketing,
                },
                campaign: row.maybe_int(6)?.map(CampaignId),
                domain: row.maybe_int(7)?.map(DomainId),
            });
        }
        Ok(bounces)
    }

    /// The source from which a host took the mail of an event (message and delivery in its columns
    /// 1 and 2).
    async fn who_brought(&self, event: &Row) -> Result<Option<String>> {
        let values = vec![event.int(1)?.into(), event.int(2)?.into()];
        let taken = self.read(&TAKEN, values).await?;
        let fields = taken.first().map(|row| json_of(row, 0)).transpose()?;
        let named = |fields: &serde_json::Value| {
            fields.get("source").and_then(|name| name.as_str()).map(str::to_owned)
        };
        Ok(fields.as_ref().and_then(named))
    }
}

fn json_of(row: &Row, column: usize) -> Result<serde_json::Value> {
    serde_json::from_str(&row.text(column)?).map_err(StoreError::broken_row)
}
