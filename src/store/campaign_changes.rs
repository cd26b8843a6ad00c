//! What may be changed of campaigns, and how it is written.
//!
//! Owns:       the writes of `campaigns`, `campaign_revisions` and `campaign_slices`.
//! Promises:   a state changes only from the state that the caller saw; a snapshot is whole before
//!             its campaign begins to send.
//! Knows not:  what may follow what (`model::campaign`), what a mail looks like.

use crate::model::*;

use super::campaigns::*;
use super::changes::{insert_with_id, rows};
use super::database::{Connection, Value};
use super::dialect::{Rows, json_ids};
use super::error::{Result, StoreError};
use super::event_ids::Events;

#[derive(Clone, Debug)]
pub enum CampaignChange {
    Add(Box<CampaignRow>),
    /// Name, stream and settings; content too, as a new revision, if it is given.
    Edit {
        id: CampaignId,
        name: String,
        stream: StreamId,
        settings: Box<CampaignSettings>,
        content: Option<Box<CampaignContent>>,
        was: CampaignState,
        at: Timestamp,
    },
    Remove {
        organization: OrganizationId,
        id: CampaignId,
    },
    Step {
        id: CampaignId,
        from: CampaignState,
        to: CampaignState,
        trouble: Option<String>,
        at: Timestamp,
    },
    Winner {
        id: CampaignId,
        variant: Option<u64>,
        trouble: Option<String>,
    },
    /// This node alone makes the snapshot, until that moment; nobody else is at it.
    Prepare {
        id: CampaignId,
        at: Timestamp,
        until: Timestamp,
    },
    /// An earlier attempt at a snapshot goes.
    ClearSlices(CampaignId),
    AddSlices(CampaignId, Vec<SliceRow>),
    /// Nobody of it is left.
    PassOver(super::jobs::SliceRef),
    /// The snapshot is whole: the campaign begins to send.
    Begin {
        id: CampaignId,
        audience: u64,
        slices: u64,
        at: Timestamp,
    },
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<Value> {
    Ok(serde_json::to_string(value).map_err(StoreError::broken_row)?.into())
}

fn signed(value: u64) -> Value {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}

pub async fn write(
    connection: &mut Connection,
    change: &CampaignChange,
    node: i64,
    events: &mut Events,
) -> Result<i64> {
    match change {
        CampaignChange::Prepare { id, at, until } => {
            let values = vec![id.0.into(), node.into(), at.0.into(), until.0.into()];
            rows(connection.execute(&PREPARE_CAMPAIGN, values).await?)
        }
        CampaignChange::Add(row) => add(connection, row).await,
        CampaignChange::Edit { .. } => edit(connection, change).await,
        CampaignChange::Remove { organization, id } => {
            let values = vec![organization.0.into(), id.0.into()];
            let gone = connection.execute(&DELETE_CAMPAIGN, values).await?;
            connection.execute(&DELETE_REVISIONS, vec![id.0.into()]).await?;
            rows(gone)
        }
        CampaignChange::Step { .. } | CampaignChange::Begin { .. } => {
            step(connection, change, node, events).await
        }
        CampaignChange::Winner { id, variant, trouble } => {
            let variant = variant.map(|variant| i64::try_from(variant).unwrap_or(0));
            let values = vec![id.0.into(), variant.into(), trouble.clone().into()];
            rows(connection.execute(&SET_WINNER, values).await?)
        }
        CampaignChange::ClearSlices(id) => {
            rows(connection.execute(&CLEAR_SLICES, vec![id.0.into(), node.into()]).await?)
        }
        CampaignChange::AddSlices(id, slices) => {
            let mut json = Rows::new(connection.dialect(), SLICE_COLUMNS);
            for slice in slices {
                let variant = slice.variant.map(|variant| i64::try_from(variant).unwrap_or(0));
                json.int(slice.slice).maybe_int(variant).int(slice.not_before.0);
                json.text(&json_ids(slice.contacts.iter().map(|id| id.0)));
                json.unsigned(slice.contacts.len() as u64);
            }
            let values = vec![json.finish().into(), id.0.into(), node.into()];
            rows(connection.execute(&INSERT_SLICES, values).await?)
        }
        CampaignChange::PassOver(slice) => {
            let values = vec![
                slice.campaign.0.into(),
                slice.slice.into(),
                slice.variant.into(),
                signed(slice.count),
            ];
            rows(connection.execute(&PASS_OVER, values).await?)
        }
    }
}

/// Moves of its state, and the event that tells of them.
async fn step(
    connection: &mut Connection,
    change: &CampaignChange,
    node: i64,
    events: &mut Events,
) -> Result<i64> {
    match change {
        CampaignChange::Step { id, from, to, trouble, at } => {
            let values = vec![
                id.0.into(),
                from.word().into(),
                to.word().into(),
                trouble.clone().into(),
                at.0.into(),
            ];
            let moved = connection.execute(&STEP_CAMPAIGN, values).await?;
            if moved > 0 && (from != to || trouble.is_some()) {
                tell(connection, *id, (*from, *to), trouble.as_deref(), *at, events).await?;
            }
            rows(moved)
        }
        CampaignChange::Begin { id, audience, slices, at } => {
            let (audience, slices) = (signed(*audience), signed(*slices));
            let values = vec![id.0.into(), audience, slices, at.0.into(), node.into()];
            let begun = connection.execute(&BEGIN_CAMPAIGN, values).await?;
            if begun > 0 {
                let states = (CampaignState::Preparing, CampaignState::Sending);
                tell(connection, *id, states, None, *at, events).await?;
            }
            rows(begun)
        }
        _ => Ok(0),
    }
}

/// The event of a new state, or of trouble in the one it has.
async fn tell(
    connection: &mut Connection,
    id: CampaignId,
    (from, to): (CampaignState, CampaignState),
    trouble: Option<&str>,
    at: Timestamp,
    events: &mut Events,
) -> Result<()> {
    let mut fields = serde_json::json!({ "campaign": id, "from": from, "state": to });
    if let Some(trouble) = trouble {
        fields["trouble"] = trouble.into();
    }
    let event = events.take(connection, 1).await?;
    let values = vec![event.into(), at.0.into(), fields.to_string().into(), id.0.into()];
    connection.execute(&TELL_STATE, values).await?;
    Ok(())
}

pub async fn add(connection: &mut Connection, row: &CampaignRow) -> Result<i64> {
    let values = vec![
        row.organization.0.into(),
        row.name.as_str().into(),
        row.stream.0.into(),
        to_json(&row.settings)?,
        row.created_at.0.into(),
    ];
    let id = insert_with_id(connection, "campaign", &INSERT_CAMPAIGN, values).await?;
    let values = vec![id.into(), to_json(&row.content)?, row.created_at.0.into()];
    connection.execute(&INSERT_REVISION, values).await?;
    Ok(id)
}

async fn edit(connection: &mut Connection, change: &CampaignChange) -> Result<i64> {
    let CampaignChange::Edit { id, name, stream, settings, content, was, at } = change else {
        return Ok(0);
    };
    let values = vec![
        id.0.into(),
        name.as_str().into(),
        stream.0.into(),
        to_json(settings)?,
        at.0.into(),
        i64::from(content.is_some()).into(),
        was.word().into(),
    ];
    let changed = connection.execute(&UPDATE_CAMPAIGN, values).await?;
    if let (Some(content), true) = (content, changed > 0) {
        let values = vec![id.0.into(), to_json(content)?, at.0.into()];
        connection.execute(&INSERT_REVISION, values).await?;
    }
    rows(changed)
}
