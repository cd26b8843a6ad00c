//! How far a campaign is, at whom, and with each recipient.
//!
//! Owns:       no table: it reads `deliveries`, `campaign_tallies` and `campaign_readers`.
//! Promises:   each page is found by an index; what is open is counted anew, and there is never
//!             more of it than the feeder lets wait.
//! Knows not:  who may see what: the caller has looked at the campaign's organization.

use std::collections::BTreeMap;

use crate::model::*;

use super::database::Row;
use super::dialect::{Statement, json_ids};
use super::error::{Result, StoreError};
use super::{Store, collect};

pub const DAY: i64 = 86_400_000_000;

macro_rules! recipients {
    ($from:literal, $where:literal) => {
        Statement::new(concat!(
            "SELECT d.id, d.message, d.recipient, d.state, d.tries, d.text, d.due_at, \
             d.delivered_at, r.first_open_at, r.first_click_at FROM ",
            $from,
            " ON r.campaign = d.campaign AND r.delivery = d.id WHERE ",
            $where,
            " ORDER BY d.id LIMIT $4"
        ))
    };
}

pub static OF_STATE: Statement = recipients!(
    "deliveries AS d LEFT JOIN campaign_readers AS r",
    "d.campaign = $1 AND d.state = $2 AND d.id > $3"
);
/// Who has opened or clicked: $2 is 1 for clicks alone.
pub static OF_READERS: Statement = Statement::new(
    "SELECT d.id, d.message, d.recipient, d.state, d.tries, d.text, d.due_at, d.delivered_at, \
     r.first_open_at, r.first_click_at FROM campaign_readers AS r \
     JOIN deliveries AS d ON d.id = r.delivery \
     WHERE r.campaign = $1 AND r.delivery > $3 AND ($2 = 0 OR r.first_click_at IS NOT NULL) \
     ORDER BY r.delivery LIMIT $4",
);
pub static ENDS_BY_OPERATOR: Statement = Statement::new(
    "SELECT operator, kind, CAST(SUM(count) AS BIGINT) FROM campaign_tallies \
     WHERE campaign = $1 AND kind IN ('delivered', 'failed', 'bounced', 'complained') \
     GROUP BY operator, kind",
);
/// Mail that no host has been asked about yet has no site, and so no operator.
pub static OPEN_BY_OPERATOR: Statement = Statement::new(
    "SELECT COALESCE(s.operator, 0), d.state, COUNT(*), \
     CAST(SUM(CASE WHEN d.tries > 0 THEN 1 ELSE 0 END) AS BIGINT), MIN(d.due_at) \
     FROM deliveries AS d LEFT JOIN sites AS s ON s.id = d.site \
     WHERE d.campaign = $1 AND d.state IN ('waiting', 'leased', 'held') \
     GROUP BY COALESCE(s.operator, 0), d.state",
);
/// Of several campaigns, at one moment: whom they were fed, what is open, what has ended as far as
/// events are counted. A million mails that have ended are a few hundred rows of tallies.
pub static CAMPAIGN_COUNTS: Statement = Statement::new(
    "SELECT f.campaign, '', CAST(SUM(f.count) AS BIGINT) FROM {ids:1} AS w \
     CROSS JOIN campaign_fed AS f WHERE f.campaign = w.id GROUP BY f.campaign \
     UNION ALL SELECT d.campaign, d.state, COUNT(*) FROM {ids:1} AS w CROSS JOIN deliveries AS d \
     WHERE d.campaign = w.id AND d.state IN ('waiting', 'leased', 'held') \
     GROUP BY d.campaign, d.state \
     UNION ALL SELECT t.campaign, t.kind, CAST(SUM(t.count) AS BIGINT) FROM {ids:1} AS w \
     CROSS JOIN campaign_tallies AS t WHERE t.campaign = w.id \
     AND t.kind IN ('delivered', 'failed', 'expired', 'cancelled', 'suppressed') \
     GROUP BY t.campaign, t.kind",
);

#[cfg(test)]
pub static ALL: &[&Statement] =
    &[&OF_STATE, &OF_READERS, &ENDS_BY_OPERATOR, &OPEN_BY_OPERATOR, &CAMPAIGN_COUNTS];

/// One recipient of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct CampaignRecipient {
    pub delivery: DeliveryId,
    pub message: MessageId,
    pub recipient: String,
    pub state: State,
    pub tries: u64,
    /// The last answer.
    pub answer: String,
    /// When it is tried next, while it waits.
    pub due_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    /// First opened by a person, as far as can be told.
    pub opened_at: Option<Timestamp>,
    pub clicked_at: Option<Timestamp>,
}

/// Which of a campaign's recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    Of(State),
    Opened,
    Clicked,
}

/// How far a campaign is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CampaignCounts {
    /// Contacts of the slices that have become deliveries.
    pub fed: u64,
    /// What is open now, and what has ended as far as events are counted.
    pub states: Vec<(State, u64)>,
}

/// What has ended at an operator, by kind of event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndsRow {
    pub operator: OperatorId,
    pub kind: String,
    pub count: u64,
}

/// What is open at an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRow {
    pub operator: OperatorId,
    pub state: State,
    pub count: u64,
    /// Those of them that a host has put off.
    pub deferred: u64,
    pub due_at: Timestamp,
}

impl Store {
    /// By id, those behind `after`.
    pub async fn campaign_page(
        &self,
        campaign: CampaignId,
        which: Recipients,
        after: DeliveryId,
        limit: u32,
    ) -> Result<Vec<CampaignRecipient>> {
        let (statement, second) = match which {
            Recipients::Of(state) => (&OF_STATE, state.word().into()),
            Recipients::Opened => (&OF_READERS, 0_i64.into()),
            Recipients::Clicked => (&OF_READERS, 1_i64.into()),
        };
        let values = vec![campaign.0.into(), second, after.0.into(), i64::from(limit).into()];
        collect(self.read(statement, values).await?, recipient)
    }

    /// Of those that have any.
    pub async fn campaign_counts(
        &self,
        campaigns: &[CampaignId],
    ) -> Result<BTreeMap<CampaignId, CampaignCounts>> {
        let mut found: BTreeMap<CampaignId, CampaignCounts> = BTreeMap::new();
        let ids = json_ids(campaigns.iter().map(|id| id.0));
        for row in self.read(&CAMPAIGN_COUNTS, vec![ids.into()]).await? {
            let (of, count) = (found.entry(CampaignId(row.int(0)?)).or_default(), row.unsigned(2)?);
            match row.text(1)?.as_str() {
                "" => of.fed = count,
                state => of.states.push((state.parse().map_err(StoreError::broken_row)?, count)),
            }
        }
        Ok(found)
    }

    pub async fn ends_by_operator(&self, campaign: CampaignId) -> Result<Vec<EndsRow>> {
        collect(self.read(&ENDS_BY_OPERATOR, vec![campaign.0.into()]).await?, |row| {
            Ok(EndsRow {
                operator: OperatorId(row.int(0)?),
                kind: row.text(1)?,
                count: row.unsigned(2)?,
            })
        })
    }

    pub async fn open_by_operator(&self, campaign: CampaignId) -> Result<Vec<OpenRow>> {
        collect(self.read(&OPEN_BY_OPERATOR, vec![campaign.0.into()]).await?, |row| {
            Ok(OpenRow {
                operator: OperatorId(row.int(0)?),
                state: row.parsed(1)?,
                count: row.unsigned(2)?,
                deferred: row.unsigned(3)?,
                due_at: Timestamp(row.int(4)?),
            })
        })
    }
}

fn recipient(row: &Row) -> Result<CampaignRecipient> {
    let state: State = row.parsed(3)?;
    let due_at = (state == State::Waiting).then(|| row.int(6)).transpose()?;
    Ok(CampaignRecipient {
        delivery: DeliveryId(row.int(0)?),
        message: MessageId(row.int(1)?),
        recipient: row.text(2)?,
        state,
        tries: row.unsigned(4)?,
        answer: row.text(5)?,
        due_at: due_at.map(Timestamp),
        delivered_at: row.maybe_int(7)?.map(Timestamp),
        opened_at: row.maybe_int(8)?.map(Timestamp),
        clicked_at: row.maybe_int(9)?.map(Timestamp),
    })
}
