//! Automations, their versions, and what lets people in.
//!
//! Owns:       the tables `automations`, `automation_versions` and `automation_entries`.
//! Promises:   a version is written once, with the campaigns of its mails; a state changes only
//!             from the state that the caller saw.
//! Knows not:  what a step does, where runs stand (`automation_runs`).

use crate::model::*;

use super::campaign_changes::add;
use super::campaigns::CampaignRow;
use super::changes::{Change, insert_with_id, rows};
use super::database::{Connection, Row, Value};
use super::dialect::Statement;
use super::error::{Result, StoreError};
use super::narrow::Narrowed;
use super::{Store, collect};

/// An automation with its newest version.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct AutomationRow {
    pub id: AutomationId,
    pub organization: OrganizationId,
    pub name: String,
    pub state: AutomationState,
    /// Counted up each time its entry or its steps are changed. A run ends in the version that it
    /// began in.
    pub version: u64,
    pub definition: AutomationDefinition,
    /// Why it does not go on.
    pub trouble: Option<String>,
    /// Up to which day since 1970 its dates were looked at.
    #[serde(skip)]
    pub dated_until: Option<i64>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A new version: each mail that has no campaign yet gets one of these, in their order.
#[derive(Clone, Debug)]
pub struct NewVersion {
    pub definition: AutomationDefinition,
    pub campaigns: Vec<CampaignRow>,
}

#[derive(Clone, Debug)]
pub enum AutomationChange {
    Add {
        organization: OrganizationId,
        name: String,
        version: Box<NewVersion>,
        at: Timestamp,
    },
    /// `version` is missing when only the name is another one.
    Edit {
        id: AutomationId,
        name: String,
        version: Option<Box<NewVersion>>,
        /// What lets people in from now on; None while nobody may come in.
        target: Option<String>,
        was: AutomationState,
        at: Timestamp,
    },
    Step {
        id: AutomationId,
        from: AutomationState,
        to: AutomationState,
        /// What lets people in while it is active or paused.
        target: Option<String>,
        trouble: Option<String>,
        at: Timestamp,
    },
    Remove {
        organization: OrganizationId,
        id: AutomationId,
    },
    /// Its dates were looked at up to this day.
    Dated(AutomationId, i64),
}

macro_rules! automations {
    ($where:literal) => {
        Statement::new(concat!(
            "SELECT a.id, a.organization, a.name, a.state, a.version, v.definition, a.trouble, \
             a.dated_until, a.created_at, a.updated_at FROM automations AS a \
             JOIN automation_versions AS v ON v.automation = a.id AND v.version = a.version \
             WHERE ",
            $where
        ))
    };
}

pub static AUTOMATIONS: Statement = automations!(
    "a.organization = $1 AND (a.id < $2 OR $2 = 0) AND LOWER(a.name) LIKE $4 ESCAPE '!' \
         AND ($5 = '' OR a.state = $5) ORDER BY a.id DESC LIMIT $3"
);
pub static AUTOMATION_BY_ID: Statement = automations!("a.organization = $1 AND a.id = $2");
pub static AUTOMATION_OF_ANYBODY: Statement = automations!("a.id = $1");
/// Those whose dates are looked at.
pub static DATED: Statement = automations!(
    "a.state = 'active' AND a.id IN (SELECT e.automation FROM automation_entries AS e \
     WHERE e.kind = 'date') ORDER BY a.id LIMIT 1000"
);
/// Those with something to be done at $1. One that has ended lets go whom it still has.
pub static BUSY: Statement = automations!(
    "(a.state = 'active' AND EXISTS (SELECT 1 FROM automation_runs AS r \
       WHERE r.automation = a.id AND r.state = 'waiting' AND r.wake_at <= $1)) \
     OR (a.state = 'ended' AND EXISTS (SELECT 1 FROM automation_runs AS r \
       WHERE r.automation = a.id AND r.state = 'waiting')) ORDER BY a.id LIMIT 1000"
);
pub static VERSION: Statement = Statement::new(
    "SELECT definition FROM automation_versions WHERE automation = $1 AND version = $2",
);
pub static INSERT_AUTOMATION: Statement = Statement::new(
    "INSERT INTO automations (id, organization, name, state, version, created_at, updated_at) \
     VALUES ($1, $2, $3, 'draft', 1, $4, $4)",
);
pub static INSERT_VERSION: Statement = Statement::new(
    "INSERT INTO automation_versions (automation, version, definition, created_at) \
     SELECT id, version, $2, $3 FROM automations WHERE id = $1",
);
pub static UPDATE_AUTOMATION: Statement = Statement::new(
    "UPDATE automations SET name = $2, version = version + $3, updated_at = $4 \
     WHERE id = $1 AND state = $5",
);
pub static STEP_AUTOMATION: Statement = Statement::new(
    "UPDATE automations SET state = $3, trouble = $4, updated_at = $5 \
     WHERE id = $1 AND state = $2",
);
pub static DELETE_AUTOMATION: Statement = Statement::new(
    "DELETE FROM automations WHERE organization = $1 AND id = $2 AND state = 'draft'",
);
pub static DELETE_VERSIONS: Statement = Statement::new(
    "DELETE FROM automation_versions WHERE automation = $1 \
     AND NOT EXISTS (SELECT 1 FROM automations WHERE id = $1)",
);
pub static DELETE_ITS_REVISIONS: Statement = Statement::new(
    "DELETE FROM campaign_revisions WHERE campaign IN (SELECT id FROM campaigns \
     WHERE automation = $1) AND NOT EXISTS (SELECT 1 FROM automations WHERE id = $1)",
);
pub static DELETE_ITS_CAMPAIGNS: Statement = Statement::new(
    "DELETE FROM campaigns WHERE automation = $1 \
     AND NOT EXISTS (SELECT 1 FROM automations WHERE id = $1)",
);
pub static SET_DATED: Statement = Statement::new(
    "UPDATE automations SET dated_until = $2 WHERE id = $1 AND COALESCE(dated_until, -1) < $2",
);
/// Kind and target of the newest version; nothing while nobody may come in.
pub static CLEAR_ENTRY: Statement =
    Statement::new("DELETE FROM automation_entries WHERE automation = $1");
pub static PUT_ENTRY: Statement = Statement::new(
    "INSERT INTO automation_entries (automation, organization, kind, target) \
     SELECT a.id, a.organization, $2, $3 FROM automations AS a \
     WHERE a.id = $1 AND a.state IN ('active', 'paused')",
);
pub static CLEAR_ARRIVALS: Statement = Statement::new(
    "DELETE FROM automation_arrivals WHERE automation = $1 AND EXISTS (SELECT 1 \
     FROM automations AS a WHERE a.id = $1 AND a.state = 'ended')",
);
/// Mail of a paused automation that waits stands still, and goes on with it.
pub static STEP_ITS_CAMPAIGNS: Statement = Statement::new(
    "UPDATE campaigns SET state = $2, updated_at = $3, \
     ended_at = CASE WHEN $2 = 'cancelled' THEN $3 ELSE ended_at END \
     WHERE automation = $1 AND state NOT IN ('sent', 'cancelled')",
);
pub static OWN_CAMPAIGN: Statement =
    Statement::new("UPDATE campaigns SET automation = $2, state = $3 WHERE id = $1");

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &AUTOMATIONS,
    &AUTOMATION_BY_ID,
    &AUTOMATION_OF_ANYBODY,
    &DATED,
    &BUSY,
    &VERSION,
    &INSERT_AUTOMATION,
    &INSERT_VERSION,
    &UPDATE_AUTOMATION,
    &STEP_AUTOMATION,
    &DELETE_AUTOMATION,
    &DELETE_VERSIONS,
    &DELETE_ITS_REVISIONS,
    &DELETE_ITS_CAMPAIGNS,
    &SET_DATED,
    &CLEAR_ENTRY,
    &PUT_ENTRY,
    &CLEAR_ARRIVALS,
    &STEP_ITS_CAMPAIGNS,
    &OWN_CAMPAIGN,
];

impl Store {
    /// An id where one was made, else the number of rows changed.
    pub async fn change_automation(&self, change: AutomationChange) -> Result<i64> {
        self.change(Change::Automation(Box::new(change))).await
    }

    /// Newest first, older than `before` (0: all).
    pub async fn automations(
        &self,
        organization: OrganizationId,
        before: AutomationId,
        limit: u32,
        narrowed: &Narrowed,
    ) -> Result<Vec<AutomationRow>> {
        let mut values = vec![organization.0.into(), before.0.into(), i64::from(limit).into()];
        narrowed.put_to(&mut values);
        collect(self.read(&AUTOMATIONS, values).await?, automation)
    }

    pub async fn automation(
        &self,
        organization: OrganizationId,
        id: AutomationId,
    ) -> Result<Option<AutomationRow>> {
        let values = vec![organization.0.into(), id.0.into()];
        self.read(&AUTOMATION_BY_ID, values).await?.first().map(automation).transpose()
    }

    /// Of whichever organization: for those who let people in.
    pub async fn automation_of_anybody(&self, id: AutomationId) -> Result<Option<AutomationRow>> {
        let rows = self.read(&AUTOMATION_OF_ANYBODY, vec![id.0.into()]).await?;
        rows.first().map(automation).transpose()
    }

    /// Active ones that let people in by a date.
    pub async fn dated_automations(&self) -> Result<Vec<AutomationRow>> {
        collect(self.read(&DATED, vec![]).await?, automation)
    }

    /// Those that have somebody to move or to let go now.
    pub async fn busy_automations(&self, now: Timestamp) -> Result<Vec<AutomationRow>> {
        collect(self.read(&BUSY, vec![now.0.into()]).await?, automation)
    }

    pub async fn automation_version(
        &self,
        id: AutomationId,
        version: u64,
    ) -> Result<Option<AutomationDefinition>> {
        let version = i64::try_from(version).map_err(StoreError::broken_row)?;
        let rows = self.read(&VERSION, vec![id.0.into(), version.into()]).await?;
        rows.first().map(|row| definition(&row.text(0)?)).transpose()
    }
}

fn definition(json: &str) -> Result<AutomationDefinition> {
    serde_json::from_str(json).map_err(StoreError::broken_row)
}

fn automation(row: &Row) -> Result<AutomationRow> {
    Ok(AutomationRow {
        id: AutomationId(row.int(0)?),
        organization: OrganizationId(row.int(1)?),
        name: row.text(2)?,
        state: row.parsed(3)?,
        version: row.unsigned(4)?,
        definition: definition(&row.text(5)?)?,
        trouble: row.maybe_text(6)?,
        dated_until: row.maybe_int(7)?,
        created_at: Timestamp(row.int(8)?),
        updated_at: Timestamp(row.int(9)?),
    })
}

/// In which state the campaigns of an automation's mails are.
const fn campaign_state(state: AutomationState) -> CampaignState {
    match state {
        AutomationState::Draft => CampaignState::Draft,
        AutomationState::Paused => CampaignState::Paused,
        AutomationState::Active => CampaignState::Sending,
        AutomationState::Ended => CampaignState::Cancelled,
    }
}

pub async fn write(connection: &mut Connection, change: &AutomationChange) -> Result<i64> {
    match change {
        AutomationChange::Add { organization, name, version, at } => {
            let values = vec![organization.0.into(), name.as_str().into(), at.0.into()];
            let id = insert_with_id(connection, "automation", &INSERT_AUTOMATION, values).await?;
            put_version(connection, id, AutomationState::Draft, version, *at).await?;
            Ok(id)
        }
        AutomationChange::Edit { .. } => edit(connection, change).await,
        AutomationChange::Step { id, from, to, target, trouble, at } => {
            let values: Vec<Value> = vec![
                id.0.into(),
                from.word().into(),
                to.word().into(),
                trouble.clone().into(),
                at.0.into(),
            ];
            let moved = connection.execute(&STEP_AUTOMATION, values).await?;
            if moved > 0 {
                put_entry(connection, *id, target.as_deref()).await?;
                connection.execute(&CLEAR_ARRIVALS, vec![id.0.into()]).await?;
                let state = campaign_state(*to).word();
                let values = vec![id.0.into(), state.into(), at.0.into()];
                connection.execute(&STEP_ITS_CAMPAIGNS, values).await?;
            }
            rows(moved)
        }
        AutomationChange::Remove { organization, id } => {
            let values = vec![organization.0.into(), id.0.into()];
            let gone = connection.execute(&DELETE_AUTOMATION, values).await?;
            for statement in [&DELETE_VERSIONS, &DELETE_ITS_REVISIONS, &DELETE_ITS_CAMPAIGNS] {
                connection.execute(statement, vec![id.0.into()]).await?;
            }
            rows(gone)
        }
        AutomationChange::Dated(id, day) => {
            rows(connection.execute(&SET_DATED, vec![id.0.into(), (*day).into()]).await?)
        }
    }
}

async fn edit(connection: &mut Connection, change: &AutomationChange) -> Result<i64> {
    let AutomationChange::Edit { id, name, version, target, was, at } = change else {
        return Ok(0);
    };
    let values = vec![
        id.0.into(),
        name.as_str().into(),
        i64::from(version.is_some()).into(),
        at.0.into(),
        was.word().into(),
    ];
    let changed = connection.execute(&UPDATE_AUTOMATION, values).await?;
    if let (Some(version), true) = (version, changed > 0) {
        put_version(connection, id.0, *was, version, *at).await?;
        put_entry(connection, *id, target.as_deref()).await?;
    }
    rows(changed)
}

/// `target` is `kind` and what it is, with a blank between them.
async fn put_entry(
    connection: &mut Connection,
    id: AutomationId,
    target: Option<&str>,
) -> Result<()> {
    connection.execute(&CLEAR_ENTRY, vec![id.0.into()]).await?;
    if let Some((kind, target)) = target.and_then(|target| target.split_once(' ')) {
        let values = vec![id.0.into(), kind.into(), target.into()];
        connection.execute(&PUT_ENTRY, values).await?;
    }
    Ok(())
}

async fn put_version(
    connection: &mut Connection,
    id: i64,
    state: AutomationState,
    version: &NewVersion,
    at: Timestamp,
) -> Result<()> {
    let mut definition = version.definition.clone();
    let mut campaigns = version.campaigns.iter();
    for step in &mut definition.steps {
        let AutomationStep::Send { campaign, .. } = step else { continue };
        if campaign.0 != 0 {
            continue;
        }
        let row = campaigns.next();
        let row = row.ok_or_else(|| StoreError::broken_row("a mail without its campaign"))?;
        *campaign = CampaignId(add(connection, row).await?);
        let state = campaign_state(state).word();
        let values = vec![campaign.0.into(), id.into(), state.into()];
        connection.execute(&OWN_CAMPAIGN, values).await?;
    }
    let definition = serde_json::to_string(&definition).map_err(StoreError::broken_row)?;
    connection.execute(&INSERT_VERSION, vec![id.into(), definition.into(), at.0.into()]).await?;
    Ok(())
}
