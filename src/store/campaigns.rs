//! Campaigns, their revisions, the snapshot of their audience and how far it has been fed.
//!
//! Owns:       the statements on `campaigns`, `campaign_revisions` and `campaign_slices`, and what
//!             is read of these and of `campaign_fed`.
//! Promises:   who is not fed yet, and how far a campaign is, tell of one moment.
//! Knows not:  what may follow what (`model::campaign`), what a mail looks like.

use crate::model::*;

use super::campaign_changes::CampaignChange;
use super::changes::Change;
use super::contact_facts::contact_columns;
use super::contacts::{ContactRow, contact};
use super::database::Row;
use super::dialect::{Column, Statement, fixed, int, json_ids, text};
use super::error::{Result, StoreError};
use super::filter::Filter;
use super::handle::{Control, SteerRows};
use super::jobs::SteerAction;
use super::narrow::Narrowed;
use super::{Store, collect};

/// Rows that one transaction steers.
const STEER_ROWS_MAX: i64 = 500;

/// A campaign with its newest revision.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct CampaignRow {
    pub id: CampaignId,
    pub organization: OrganizationId,
    pub name: String,
    pub state: CampaignState,
    pub stream: StreamId,
    /// Counted up each time its content is changed.
    pub revision: u64,
    pub settings: CampaignSettings,
    pub content: CampaignContent,
    /// Of an A/B test: the variant that the rest of the audience gets, from 0.
    pub winner: Option<u64>,
    /// How many contacts its audience had at the launch.
    pub audience: Option<u64>,
    #[serde(skip)]
    pub slices: Option<u64>,
    /// Why it does not go on.
    pub trouble: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub launched_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// It is a mail of this automation, whose steps say who gets it when.
    #[serde(default)]
    pub automation: Option<AutomationId>,
}

/// A part of the audience, in the order of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceRow {
    pub slice: i64,
    /// None: whichever has won.
    pub variant: Option<u64>,
    pub not_before: Timestamp,
    pub contacts: Vec<ContactId>,
}

/// What a mail is made of, as it stands just before it is sent.
#[derive(Clone, Debug)]
pub struct RecipeRow {
    pub campaign: CampaignId,
    pub organization: OrganizationId,
    pub state: CampaignState,
    pub revision: u64,
    pub settings: CampaignSettings,
    pub variant: u64,
    pub pin: Option<Pin>,
    /// None: it was erased.
    pub contact: Option<ContactRow>,
    pub memberships: Vec<(ListId, MembershipStatus)>,
    pub tags: Vec<String>,
}

macro_rules! campaigns {
    ($where:literal) => {
        Statement::new(concat!(
            "SELECT c.id, c.organization, c.name, c.state, c.stream, c.revision, c.settings, \
             r.content, c.winner, c.audience, c.slices, c.trouble, c.created_at, c.updated_at, \
             c.launched_at, c.ended_at, c.automation FROM campaigns AS c \
             JOIN campaign_revisions AS r ON r.campaign = c.id AND r.revision = c.revision WHERE ",
            $where
        ))
    };
}

pub static CAMPAIGNS: Statement = campaigns!(
    "c.organization = $1 AND c.automation IS NULL AND (c.id < $2 OR $2 = 0) \
     AND LOWER(c.name) LIKE $4 ESCAPE '!' AND ($5 = '' OR c.state = $5) \
     ORDER BY c.id DESC LIMIT $3"
);
pub static CAMPAIGN_BY_ID: Statement = campaigns!("c.organization = $1 AND c.id = $2");
/// Those of automations that send ask for nothing: their steps feed them.
pub static ACTIVE_CAMPAIGNS: Statement = campaigns!(
    "(c.automation IS NULL OR c.state IN ('paused', 'cancelled')) \
     AND c.state IN ('scheduled', 'preparing', 'sending', 'paused', 'cancelled') \
     AND (c.state <> 'cancelled' OR EXISTS (SELECT 1 FROM deliveries AS d \
       WHERE d.campaign = c.id AND d.state IN ('waiting', 'held', 'leased'))) \
     ORDER BY c.id LIMIT 1000"
);
pub static REVISION: Statement =
    Statement::new("SELECT content FROM campaign_revisions WHERE campaign = $1 AND revision = $2");
pub static INSERT_CAMPAIGN: Statement = Statement::new(
    "INSERT INTO campaigns (id, organization, name, state, stream, revision, settings, \
     created_at, updated_at) VALUES ($1, $2, $3, 'draft', $4, 1, $5, $6, $6)",
);
pub static INSERT_REVISION: Statement = Statement::new(
    "INSERT INTO campaign_revisions (campaign, revision, content, created_at) \
     SELECT id, revision, $2, $3 FROM campaigns WHERE id = $1",
);
pub static UPDATE_CAMPAIGN: Statement = Statement::new(
    "UPDATE campaigns SET name = $2, stream = $3, settings = $4, updated_at = $5, \
     revision = revision + $6 WHERE id = $1 AND state = $7",
);
pub static DELETE_CAMPAIGN: Statement = Statement::new(
    "DELETE FROM campaigns WHERE organization = $1 AND id = $2 AND state = 'draft' \
     AND NOT EXISTS (SELECT 1 FROM campaign_fed WHERE campaign = $2)",
);
pub static DELETE_REVISIONS: Statement = Statement::new(
    "DELETE FROM campaign_revisions WHERE campaign = $1 \
     AND NOT EXISTS (SELECT 1 FROM campaigns WHERE id = $1)",
);
pub static STEP_CAMPAIGN: Statement = Statement::new(
    "UPDATE campaigns SET state = $3, trouble = $4, updated_at = $5, \
     ended_at = CASE WHEN $3 IN ('sent', 'cancelled') THEN $5 ELSE ended_at END \
     WHERE id = $1 AND state = $2",
);
pub static TELL_STATE: Statement = Statement::new(
    "INSERT INTO events (id, at, kind, organization, fields) \
     SELECT $1, $2, 'campaign_state', organization, $3 FROM campaigns WHERE id = $4",
);
pub static SET_WINNER: Statement = Statement::new(
    "UPDATE campaigns SET winner = $2, trouble = $3 WHERE id = $1 AND winner IS NULL",
);
pub static PREPARE_CAMPAIGN: Statement = Statement::new(
    "UPDATE campaigns SET preparer = $2, prepared_until = $4 WHERE id = $1 \
     AND state = 'preparing' AND (preparer IS NULL OR preparer = $2 OR prepared_until < $3)",
);
pub static CLEAR_SLICES: Statement = Statement::new(
    "DELETE FROM campaign_slices WHERE campaign = $1 \
     AND EXISTS (SELECT 1 FROM campaigns WHERE id = $1 AND state = 'preparing' \
       AND preparer = $2)",
);
pub const SLICE_COLUMNS: &[Column] =
    &[int("slice"), int("variant"), int("not_before"), text("contacts"), int("count")];
pub static INSERT_SLICES: Statement = Statement::with_rows(
    SLICE_COLUMNS,
    "INSERT INTO campaign_slices (campaign, slice, variant, not_before, contacts, count) \
     SELECT $2, slice, variant, not_before, contacts, count FROM {rows} AS r \
     WHERE EXISTS (SELECT 1 FROM campaigns AS c WHERE c.id = $2 AND c.state = 'preparing' \
       AND c.preparer = $3)",
);
pub static PASS_OVER: Statement = Statement::new(
    "INSERT INTO campaign_fed (campaign, slice, variant, count) VALUES ($1, $2, $3, $4)",
);
pub static BEGIN_CAMPAIGN: Statement = Statement::new(
    "UPDATE campaigns SET state = 'sending', audience = $2, slices = $3, launched_at = $4, \
     trouble = NULL, preparer = NULL WHERE id = $1 AND state = 'preparing' AND preparer = $5",
);
/// $3: whether those that wait for a winner may go.
pub static NEXT_SLICE: Statement = Statement::new(
    "SELECT s.slice, s.variant, s.not_before, s.contacts FROM campaign_slices AS s \
     WHERE s.campaign = $1 AND s.not_before <= $2 AND (s.variant IS NOT NULL OR $3 = 1) \
     AND NOT EXISTS (SELECT 1 FROM campaign_fed AS f \
       WHERE f.campaign = s.campaign AND f.slice = s.slice) \
     ORDER BY s.slice LIMIT 1",
);
/// Of those that are not fed: how many wait for a winner, and for how many the others stand.
pub static UNFED: Statement = Statement::new(
    "SELECT CAST(COALESCE(SUM(CASE WHEN s.variant IS NULL THEN s.count ELSE 0 END), 0) AS BIGINT), \
     CAST(COALESCE(SUM(CASE WHEN s.variant IS NULL THEN 0 ELSE s.count END), 0) AS BIGINT) \
     FROM campaign_slices AS s WHERE s.campaign = $1 AND NOT EXISTS (SELECT 1 \
       FROM campaign_fed AS f WHERE f.campaign = s.campaign AND f.slice = s.slice)",
);
/// In one statement, so that all of it tells of the same moment.
pub static CAMPAIGN_STATES: Statement = Statement::new(
    "SELECT '', CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM campaign_fed WHERE campaign = $1 \
     UNION ALL SELECT state, COUNT(*) FROM deliveries WHERE campaign = $1 GROUP BY state",
);
/// Never more than the feeder lets wait, however large the campaign.
pub static CAMPAIGN_OPEN: Statement = Statement::new(
    "SELECT COUNT(*) FROM deliveries \
     WHERE campaign = $1 AND state IN ('waiting', 'leased', 'held')",
);
pub static CAMPAIGN_DELIVERIES: Statement = Statement::new(
    "SELECT id FROM deliveries WHERE campaign = $1 AND state = $2 AND id > $3 \
     ORDER BY id LIMIT $4",
);
/// Those still open, of one state, due later than $3.
pub static CAMPAIGN_DUE_LATER: Statement = Statement::new(
    "SELECT id FROM deliveries WHERE campaign = $1 AND state = 'waiting' AND due_at > $2 \
     AND tries = 0 ORDER BY id LIMIT $3",
);
pub static EMAILS: Statement = Statement::new(
    "SELECT w.id, c.email, f.heat FROM {ids:2} AS w CROSS JOIN contacts AS c \
     CROSS JOIN contact_facts AS f WHERE c.id = w.id AND c.organization = $1 \
     AND f.organization = c.organization AND f.contact = c.id",
);
pub static RECIPE: Statement = Statement::new(concat!(
    "SELECT ",
    contact_columns!(),
    ", k.id, k.state, k.revision, k.settings, s.variant, d.pin, \
     (SELECT string_agg(CAST(m.list AS TEXT) || ' ' || m.status, ',') FROM memberships AS m \
       WHERE m.contact = d.contact), \
     (SELECT string_agg(g.name, '\n') FROM contact_tags AS t JOIN tags AS g ON g.id = t.tag \
       WHERE t.contact = d.contact), k.organization \
     FROM deliveries AS d JOIN campaigns AS k ON k.id = d.campaign \
     JOIN campaign_fed AS s ON s.message = d.message \
     LEFT JOIN contacts AS c ON c.id = d.contact AND c.organization = d.organization \
     LEFT JOIN contact_facts AS f ON f.organization = d.organization AND f.contact = d.contact \
     WHERE d.id = $1"
));

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &CAMPAIGNS,
    &CAMPAIGN_BY_ID,
    &ACTIVE_CAMPAIGNS,
    &REVISION,
    &INSERT_CAMPAIGN,
    &INSERT_REVISION,
    &UPDATE_CAMPAIGN,
    &DELETE_CAMPAIGN,
    &DELETE_REVISIONS,
    &STEP_CAMPAIGN,
    &TELL_STATE,
    &SET_WINNER,
    &PREPARE_CAMPAIGN,
    &CLEAR_SLICES,
    &INSERT_SLICES,
    &PASS_OVER,
    &BEGIN_CAMPAIGN,
    &NEXT_SLICE,
    &UNFED,
    &CAMPAIGN_STATES,
    &CAMPAIGN_OPEN,
    &CAMPAIGN_DELIVERIES,
    &CAMPAIGN_DUE_LATER,
    &EMAILS,
    &RECIPE,
];

/// In the order of sending: the warmest go first, then those who are new.
const AUDIENCE_HEAD: &str = "SELECT string_agg(line, ',') FROM (\
     SELECT CAST(f.contact AS TEXT) || ' ' || COALESCE(f.time_zone, '') AS line \
     FROM contact_facts AS f WHERE f.organization = $1 AND ";
const AUDIENCE_TAIL: &str =
    " ORDER BY COALESCE(f.heat, 0) DESC, f.created_at DESC, f.contact) AS audience";

impl Store {
    /// An id where one was made, else the number of rows changed.
    pub async fn change_campaign(&self, change: CampaignChange) -> Result<i64> {
        self.change(Change::Campaign(change)).await
    }

    /// Newest first, older than `before` (0: all).
    pub async fn campaigns(
        &self,
        organization: OrganizationId,
        before: CampaignId,
        limit: u32,
        narrowed: &Narrowed,
    ) -> Result<Vec<CampaignRow>> {
        let mut values = vec![organization.0.into(), before.0.into(), i64::from(limit).into()];
        narrowed.put_to(&mut values);
        collect(self.read(&CAMPAIGNS, values).await?, campaign)
    }

    pub async fn campaign(
        &self,
        organization: OrganizationId,
        id: CampaignId,
    ) -> Result<Option<CampaignRow>> {
        let values = vec![organization.0.into(), id.0.into()];
        self.read(&CAMPAIGN_BY_ID, values).await?.first().map(campaign).transpose()
    }

    /// Those with which something is to be done.
    pub async fn active_campaigns(&self) -> Result<Vec<CampaignRow>> {
        collect(self.read(&ACTIVE_CAMPAIGNS, vec![]).await?, campaign)
    }

    pub async fn campaign_content(
        &self,
        id: CampaignId,
        revision: u64,
    ) -> Result<Option<CampaignContent>> {
        let revision = i64::try_from(revision).map_err(StoreError::broken_row)?;
        let rows = self.read(&REVISION, vec![id.0.into(), revision.into()]).await?;
        rows.first().map(|row| from_json(&row.text(0)?)).transpose()
    }

    /// Who matches, with their time zones, in the order of sending.
    pub async fn audience(
        &self,
        organization: OrganizationId,
        filter: &Filter,
    ) -> Result<Vec<(ContactId, Option<String>)>> {
        let (sql, values) = filter.compile(self.database().dialect(), vec![organization.0.into()]);
        let sql = fixed(format!("{AUDIENCE_HEAD}{sql}{AUDIENCE_TAIL}"));
        let rows = self.database().fetch_text(sql, values).await?;
        let text = rows.first().map(|row| row.maybe_text(0)).transpose()?.flatten();
        let text = text.unwrap_or_default();
        let lines = text.split(',').filter(|line| !line.is_empty());
        lines
            .map(|line| {
                let (id, zone) = line.split_once(' ').unwrap_or((line, ""));
                let id = ContactId(id.parse().map_err(StoreError::broken_row)?);
                Ok((id, (!zone.is_empty()).then(|| zone.to_owned())))
            })
            .collect()
    }

    /// The next part that may go now; with `winner`, those that waited for it may, too.
    pub async fn next_slice(
        &self,
        id: CampaignId,
        now: Timestamp,
        winner: bool,
    ) -> Result<Option<SliceRow>> {
        let values = vec![id.0.into(), now.0.into(), i64::from(winner).into()];
        let rows = self.read(&NEXT_SLICE, values).await?;
        rows.first()
            .map(|row| {
                let contacts: Vec<i64> = from_json(&row.text(3)?)?;
                Ok(SliceRow {
                    slice: row.int(0)?,
                    variant: row.maybe_int(1)?.map(i64::unsigned_abs),
                    not_before: Timestamp(row.int(2)?),
                    contacts: contacts.into_iter().map(ContactId).collect(),
                })
            })
            .transpose()
    }

    /// Contacts not yet fed: those that wait for a winner, and the others.
    pub async fn unfed(&self, id: CampaignId) -> Result<(u64, u64)> {
        let row = self.database().fetch_one(&UNFED, vec![id.0.into()]).await?;
        Ok((row.unsigned(0)?, row.unsigned(1)?))
    }

    /// How many contacts have been fed, and how many of its deliveries are in which state.
    pub async fn campaign_states(&self, id: CampaignId) -> Result<(u64, Vec<(State, u64)>)> {
        let (mut fed, mut states) = (0, Vec::new());
        for row in self.read(&CAMPAIGN_STATES, vec![id.0.into()]).await? {
            let count = row.unsigned(1)?;
            match row.text(0)?.as_str() {
                "" => fed = count,
                state => states.push((state.parse().map_err(StoreError::broken_row)?, count)),
            }
        }
        Ok((fed, states))
    }

    /// How many of its deliveries are still owed.
    pub async fn campaign_open(&self, id: CampaignId) -> Result<u64> {
        self.database().fetch_one(&CAMPAIGN_OPEN, vec![id.0.into()]).await?.unsigned(0)
    }

    /// Cancels what is open of a campaign. Returns how many rows were changed.
    pub async fn cancel_campaign(&self, id: CampaignId, at: Timestamp) -> Result<u64> {
        let mut changed = 0;
        for state in [State::Waiting, State::Held, State::Leased] {
            let mut after = 0;
            loop {
                let values =
                    vec![id.0.into(), state.word().into(), after.into(), STEER_ROWS_MAX.into()];
                let found = self.read(&CAMPAIGN_DELIVERIES, values).await?;
                let found = collect(found, |row| Ok(DeliveryId(row.int(0)?)))?;
                let Some(last) = found.last() else { break };
                after = last.0;
                let reason = "the campaign was cancelled";
                changed += self.steer_these(found, SteerAction::Cancel, reason, at).await?;
            }
        }
        Ok(changed)
    }

    /// What was put off while its campaign stood still is due now. Returns how many.
    pub async fn hasten_campaign(&self, id: CampaignId, at: Timestamp) -> Result<u64> {
        let mut changed = 0;
        loop {
            let values = vec![id.0.into(), at.0.into(), STEER_ROWS_MAX.into()];
            let found = self.read(&CAMPAIGN_DUE_LATER, values).await?;
            let found = collect(found, |row| Ok(DeliveryId(row.int(0)?)))?;
            if found.is_empty() {
                return Ok(changed);
            }
            let moved = self.steer_these(found, SteerAction::Retry, "", at).await?;
            changed += moved;
            if moved == 0 {
                return Ok(changed);
            }
        }
    }

    /// Each is looked at again; returns how many were changed.
    pub async fn steer_these(
        &self,
        deliveries: Vec<DeliveryId>,
        action: SteerAction,
        reason: &str,
        at: Timestamp,
    ) -> Result<u64> {
        let (reason, line) = (reason.to_owned(), self.line());
        let rows = SteerRows { deliveries, action, reason, at, due: at, line };
        self.ask(&self.writer()?.controls, |reply| Control::Steer(rows, reply)).await
    }

    /// Addresses and heat of those that there still are, in no order.
    pub async fn emails(
        &self,
        organization: OrganizationId,
        contacts: &[ContactId],
    ) -> Result<Vec<(ContactId, String, Option<i64>)>> {
        let ids = json_ids(contacts.iter().map(|id| id.0));
        collect(self.read(&EMAILS, vec![organization.0.into(), ids.into()]).await?, |row| {
            Ok((ContactId(row.int(0)?), row.text(1)?, row.maybe_int(2)?))
        })
    }

    /// None when the delivery is of no campaign.
    pub async fn recipe(&self, delivery: DeliveryId) -> Result<Option<RecipeRow>> {
        self.read(&RECIPE, vec![delivery.0.into()]).await?.first().map(recipe).transpose()
    }
}

/// Columns of a contact; the recipe's stand behind them.
const CONTACT_COLUMNS: usize = 45;

fn recipe(row: &Row) -> Result<RecipeRow> {
    let at = CONTACT_COLUMNS;
    let memberships = row.maybe_text(at + 6)?.unwrap_or_default();
    let membership = |line: &str| -> Result<(ListId, MembershipStatus)> {
        let (list, status) = line.split_once(' ').unwrap_or((line, ""));
        let list = ListId(list.parse().map_err(StoreError::broken_row)?);
        Ok((list, status.parse().map_err(StoreError::broken_row)?))
    };
    let lines = memberships.split(',').filter(|line| !line.is_empty());
    let tags = row.maybe_text(at + 7)?.unwrap_or_default();
    Ok(RecipeRow {
        campaign: CampaignId(row.int(at)?),
        organization: OrganizationId(row.int(at + 8)?),
        state: row.parsed(at + 1)?,
        revision: row.unsigned(at + 2)?,
        settings: from_json(&row.text(at + 3)?)?,
        variant: row.unsigned(at + 4)?,
        pin: row.maybe_text(at + 5)?.map(|pin| from_json(&pin)).transpose()?,
        contact: row.maybe_int(0)?.map(|_| contact(row)).transpose()?,
        memberships: lines.map(membership).collect::<Result<_>>()?,
        tags: tags.split('\n').filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
    })
}

fn campaign(row: &Row) -> Result<CampaignRow> {
    Ok(CampaignRow {
        id: CampaignId(row.int(0)?),
        organization: OrganizationId(row.int(1)?),
        name: row.text(2)?,
        state: row.parsed(3)?,
        stream: StreamId(row.int(4)?),
        revision: row.unsigned(5)?,
        settings: from_json(&row.text(6)?)?,
        content: from_json(&row.text(7)?)?,
        winner: row.maybe_int(8)?.map(i64::unsigned_abs),
        audience: row.maybe_int(9)?.map(i64::unsigned_abs),
        slices: row.maybe_int(10)?.map(i64::unsigned_abs),
        trouble: row.maybe_text(11)?,
        created_at: Timestamp(row.int(12)?),
        updated_at: Timestamp(row.int(13)?),
        launched_at: row.maybe_int(14)?.map(Timestamp),
        ended_at: row.maybe_int(15)?.map(Timestamp),
        automation: row.maybe_int(16)?.map(AutomationId),
    })
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(StoreError::broken_row)
}
