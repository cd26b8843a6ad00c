//! What became of campaigns, read: counts, links, readers, recipients, and what is still owed.
//!
//! Owns:       no table: it reads what `tallies` counts, deliveries and slices.
//! Promises:   what grows with the audience is read in pages or as counts.
//! Knows not:  the names of operators, what a report looks like.

use crate::model::*;

use super::dialect::{Statement, json_ids};
use super::error::{Result, StoreError};
use super::{Store, collect};

pub static TALLIES: Statement = Statement::new(
    "SELECT variant, hour, kind, detail, operator, source, count FROM campaign_tallies \
     WHERE campaign = $1 ORDER BY variant, hour, kind, detail, operator, source LIMIT 200000",
);
pub static LINKS: Statement = Statement::new(
    "SELECT variant, place, target, clicks FROM campaign_links WHERE campaign = $1 \
     ORDER BY clicks DESC, variant, place, target LIMIT 1000",
);
pub static READERS: Statement = Statement::new(
    "SELECT variant, COUNT(first_open_at), COUNT(first_click_at), COUNT(*) \
     FROM campaign_readers WHERE campaign = $1 GROUP BY variant ORDER BY variant",
);
/// Why what waits was not taken, and when it is tried again.
pub static DEFERRED_NOW: Statement = Statement::new(
    "SELECT d.text, COALESCE(s.operator, 0), COUNT(*), MIN(d.due_at) FROM deliveries AS d \
     LEFT JOIN sites AS s ON s.id = d.site \
     WHERE d.campaign = $1 AND d.state = 'waiting' AND d.tries > 0 \
     GROUP BY d.text, COALESCE(s.operator, 0) ORDER BY COUNT(*) DESC, d.text LIMIT 100",
);
pub static RECIPIENTS: Statement = Statement::new(
    "SELECT d.id, d.recipient, d.tries, d.text, d.delivered_at, r.first_open_at, \
     r.first_click_at FROM deliveries AS d LEFT JOIN campaign_readers AS r \
     ON r.campaign = d.campaign AND r.delivery = d.id \
     WHERE d.campaign = $1 AND d.state = $2 AND d.id > $3 ORDER BY d.id LIMIT $4",
);
/// Owed by a campaign, by who runs the host; those not yet routed count to the tail.
pub static CAMPAIGN_WAITING: Statement = Statement::new(
    "SELECT COALESCE(s.operator, 1), COUNT(*) FROM deliveries AS d \
     LEFT JOIN sites AS s ON s.id = d.site \
     WHERE d.campaign = $1 AND d.state IN ('waiting', 'leased', 'held') \
     GROUP BY COALESCE(s.operator, 1)",
);
pub static CAMPAIGN_OWNER: Statement =
    Statement::new("SELECT organization FROM campaigns WHERE id = $1");
/// Ten slices of those not yet fed, from here and there.
pub static UNFED_SAMPLE: Statement = Statement::new(
    "SELECT s.contacts FROM campaign_slices AS s WHERE s.campaign = $1 AND NOT EXISTS (SELECT 1 \
     FROM campaign_fed AS f WHERE f.campaign = s.campaign AND f.slice = s.slice) \
     ORDER BY s.slice * 37 % 101, s.slice LIMIT 10",
);
pub static CONTACT_OPERATORS: Statement = Statement::new(
    "SELECT f.operator, c.email \
     FROM {ids:2} AS w CROSS JOIN contacts AS c CROSS JOIN contact_facts AS f \
     WHERE c.id = w.id AND c.organization = $1 \
     AND f.organization = c.organization AND f.contact = c.id",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &TALLIES,
    &LINKS,
    &READERS,
    &DEFERRED_NOW,
    &RECIPIENTS,
    &CAMPAIGN_WAITING,
    &CAMPAIGN_OWNER,
    &UNFED_SAMPLE,
    &CONTACT_OPERATORS,
];

/// A row of a campaign's report, before names are put to numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TallyRow {
    pub variant: u64,
    pub hour: i64,
    pub kind: String,
    pub detail: String,
    pub operator: OperatorId,
    pub source: String,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct LinkRow {
    pub variant: u64,
    /// Which link of the mail, from 0.
    pub place: u64,
    /// Without what stands behind `?`.
    pub target: String,
    /// By people, as far as can be told.
    pub clicks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderCounts {
    pub variant: u64,
    pub opened: u64,
    pub clicked: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeferredRow {
    pub text: String,
    pub operator: OperatorId,
    pub count: u64,
    pub due_at: Timestamp,
}

/// One person in a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientRow {
    pub delivery: DeliveryId,
    pub recipient: String,
    pub tries: u64,
    pub text: String,
    pub delivered_at: Option<Timestamp>,
    pub opened_at: Option<Timestamp>,
    pub clicked_at: Option<Timestamp>,
}

impl Store {
    pub async fn tallies(&self, campaign: CampaignId) -> Result<Vec<TallyRow>> {
        collect(self.read(&TALLIES, vec![campaign.0.into()]).await?, |row| {
            Ok(TallyRow {
                variant: row.unsigned(0)?,
                hour: row.int(1)?,
                kind: row.text(2)?,
                detail: row.text(3)?,
                operator: OperatorId(row.int(4)?),
                source: row.text(5)?,
                count: row.unsigned(6)?,
            })
        })
    }

    pub async fn campaign_links(&self, campaign: CampaignId) -> Result<Vec<LinkRow>> {
        collect(self.read(&LINKS, vec![campaign.0.into()]).await?, |row| {
            Ok(LinkRow {
                variant: row.unsigned(0)?,
                place: row.unsigned(1)?,
                target: row.text(2)?,
                clicks: row.unsigned(3)?,
            })
        })
    }

    pub async fn campaign_readers(&self, campaign: CampaignId) -> Result<Vec<ReaderCounts>> {
        collect(self.read(&READERS, vec![campaign.0.into()]).await?, |row| {
            Ok(ReaderCounts {
                variant: row.unsigned(0)?,
                // Who clicked has it open, pixel or not.
                opened: row.unsigned(3)?,
                clicked: row.unsigned(2)?,
            })
        })
    }

    pub async fn deferred_now(&self, campaign: CampaignId) -> Result<Vec<DeferredRow>> {
        collect(self.read(&DEFERRED_NOW, vec![campaign.0.into()]).await?, |row| {
            Ok(DeferredRow {
                text: row.text(0)?,
                operator: OperatorId(row.int(1)?),
                count: row.unsigned(2)?,
                due_at: Timestamp(row.int(3)?),
            })
        })
    }

    /// What a campaign owes, by operator.
    pub async fn campaign_waiting(&self, campaign: CampaignId) -> Result<Vec<(OperatorId, u64)>> {
        collect(self.read(&CAMPAIGN_WAITING, vec![campaign.0.into()]).await?, |row| {
            Ok((OperatorId(row.int(0)?), row.unsigned(1)?))
        })
    }

    /// Whose campaign it is; None where there is none.
    pub async fn campaign_owner(&self, campaign: CampaignId) -> Result<Option<OrganizationId>> {
        let rows = self.read(&CAMPAIGN_OWNER, vec![campaign.0.into()]).await?;
        rows.first().map(|row| row.int(0).map(OrganizationId)).transpose()
    }

    /// Some of those that are still planned.
    pub async fn unfed_sample(&self, campaign: CampaignId) -> Result<Vec<ContactId>> {
        let mut sample = Vec::new();
        for row in self.read(&UNFED_SAMPLE, vec![campaign.0.into()]).await? {
            let ids: Vec<i64> =
                serde_json::from_str(&row.text(0)?).map_err(StoreError::broken_row)?;
            sample.extend(ids.into_iter().map(ContactId));
        }
        Ok(sample)
    }

    /// Who runs the hosts of these contacts, as far as earlier mail has shown, and their addresses.
    pub async fn contact_operators(
        &self,
        organization: OrganizationId,
        contacts: &[ContactId],
    ) -> Result<Vec<(Option<OperatorId>, String)>> {
        let ids = json_ids(contacts.iter().map(|id| id.0));
        let values = vec![organization.0.into(), ids.into()];
        collect(self.read(&CONTACT_OPERATORS, values).await?, |row| {
            Ok((row.maybe_int(0)?.map(OperatorId), row.text(1)?))
        })
    }

    /// By id, those of one state behind `after`.
    pub async fn campaign_recipients(
        &self,
        campaign: CampaignId,
        state: State,
        after: DeliveryId,
        limit: u32,
    ) -> Result<Vec<RecipientRow>> {
        let values =
            vec![campaign.0.into(), state.word().into(), after.0.into(), i64::from(limit).into()];
        collect(self.read(&RECIPIENTS, values).await?, |row| {
            Ok(RecipientRow {
                delivery: DeliveryId(row.int(0)?),
                recipient: row.text(1)?,
                tries: row.unsigned(2)?,
                text: row.text(3)?,
                delivered_at: row.maybe_int(4)?.map(Timestamp),
                opened_at: row.maybe_int(5)?.map(Timestamp),
                clicked_at: row.maybe_int(6)?.map(Timestamp),
            })
        })
    }
}
