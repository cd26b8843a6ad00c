//! Endpoints that are told of events, and the calls owed to them.
//!
//! Owns:       the tables `webhooks`, `webhook_calls`, `webhook_feed`.
//! Promises:   the calls made of events and the mark up to which events were read commit together,
//!             so that no event is told twice or left out by a crash.
//! Knows not:  HTTP, signatures, who may change what.

use crate::model::*;

use super::changes::Change;
use super::database::{Connection, Row, Value};
use super::dialect::{Column, Rows, Statement, int, json_ids, text};
use super::error::{Result, StoreError};
use super::ids;
use super::narrow::Narrowed;
use super::rows::EventRow;
use super::{Store, collect, messages};

/// An endpoint as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRow {
    pub id: WebhookId,
    pub organization: OrganizationId,
    pub name: String,
    pub url: String,
    /// Empty: all.
    pub kinds: Vec<EventKind>,
    pub format: WebhookFormat,
    pub secret: Secret,
    pub secret_before: Option<(Secret, Timestamp)>,
    pub enabled: bool,
    pub disabled_reason: Option<String>,
    pub created_at: Timestamp,
    pub failing_since: Option<Timestamp>,
    pub succeeded_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
    pub last_text: String,
    /// It is told of events after this one.
    pub event_after: EventId,
}

/// What must not show in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a person may set.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    pub name: String,
    pub url: String,
    pub kinds: Vec<EventKind>,
    pub format: WebhookFormat,
    pub enabled: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    pub id: WebhookCallId,
    pub webhook: WebhookId,
    pub organization: OrganizationId,
    /// Empty for a test.
    pub events: Vec<EventId>,
    pub state: CallState,
    pub tries: u32,
    pub due_at: Timestamp,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub status: Option<u16>,
    pub text: String,
    pub milliseconds: u64,
}

#[derive(Clone, Debug)]
pub struct NewCall {
    pub webhook: WebhookId,
    pub organization: OrganizationId,
    pub events: Vec<EventId>,
}

/// How a try of a call ended.
#[derive(Clone, Debug)]
pub struct CallEnd {
    pub call: WebhookCallId,
    pub webhook: WebhookId,
    /// `Waiting` with the next due time, or an end.
    pub state: CallState,
    pub due_at: Timestamp,
    pub status: Option<u16>,
    pub text: String,
    pub milliseconds: u64,
    pub at: Timestamp,
    /// The endpoint says that it is gone for good.
    pub disable: Option<String>,
}

#[derive(Clone, Debug)]
pub enum WebhookChange {
    Add {
        organization: OrganizationId,
        settings: WebhookSettings,
        secret: Secret,
        at: Timestamp,
    },
    Update {
        organization: OrganizationId,
        id: WebhookId,
        settings: WebhookSettings,
    },
    Remove {
        organization: OrganizationId,
        id: WebhookId,
    },
    Rotate {
        organization: OrganizationId,
        id: WebhookId,
        secret: Secret,
        before_until: Timestamp,
    },
    /// Makes calls due now; `read_to` moves the mark of the feed with them.
    Calls {
        calls: Vec<NewCall>,
        read_to: Option<EventId>,
        at: Timestamp,
    },
    End(CallEnd),
    /// Removes ended calls created before, at most so many.
    Forget {
        before: Timestamp,
        limit: u32,
    },
}

macro_rules! webhooks {
    ($tail:literal) => {
        Statement::new(concat!(
            "SELECT id, organization, name, url, kinds, format, secret, secret_before, \
             secret_before_until, enabled, disabled_reason, created_at, failing_since, \
             succeeded_at, failed_at, last_text, event_after FROM webhooks ",
            $tail
        ))
    };
}

macro_rules! calls {
    ($tail:literal) => {
        Statement::new(concat!(
            "SELECT id, webhook, organization, events, state, tries, due_at, created_at, \
             ended_at, status, text, milliseconds FROM webhook_calls ",
            $tail
        ))
    };
}

pub static WEBHOOKS: Statement = webhooks!("ORDER BY id");
pub static CALLS_WAITING: Statement =
    calls!("WHERE webhook = $1 AND state = 'waiting' ORDER BY due_at, id LIMIT $2");
pub static CALL_BY_ID: Statement = calls!("WHERE id = $1");
pub static CALLS_OF_WEBHOOK: Statement = calls!(
    "WHERE webhook = $1 AND id < $2 AND LOWER(COALESCE(text, '')) LIKE $4 ESCAPE '!' \
         AND ($5 = '' OR state = $5) ORDER BY id DESC LIMIT $3"
);

pub static FEED: Statement = Statement::new("SELECT event FROM webhook_feed WHERE id = 1");
pub static EVENTS_AFTER: Statement = Statement::new(
    "SELECT id, at, kind, organization, message, delivery, fields FROM events \
     WHERE id > $1 AND id < $3 ORDER BY id LIMIT $2",
);
pub static EVENT_FROM: Statement =
    Statement::new("SELECT id, at FROM events WHERE id >= $1 ORDER BY id LIMIT 1");
pub static EVENTS_BY_ID: Statement = Statement::new(
    "SELECT e.id, e.at, e.kind, e.organization, e.message, e.delivery, e.fields \
     FROM {ids:1} AS wanted JOIN events e ON e.id = wanted.id ORDER BY e.id",
);
pub static RECIPIENTS_BY_ID: Statement = Statement::new(
    "SELECT d.id, d.recipient FROM {ids:1} AS wanted JOIN deliveries d ON d.id = wanted.id",
);

pub static INSERT_WEBHOOK: Statement = Statement::new(
    "INSERT INTO webhooks (id, organization, name, url, kinds, format, secret, enabled, \
     created_at, event_after) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, \
     (SELECT COALESCE(MAX(id), 0) FROM events))",
);
pub static UPDATE_WEBHOOK: Statement = Statement::new(
    "UPDATE webhooks SET name = $3, url = $4, kinds = $5, format = $6, enabled = $7, \
     disabled_reason = NULL, failing_since = NULL WHERE organization = $1 AND id = $2",
);
pub static DELETE_WEBHOOK: Statement =
    Statement::new("DELETE FROM webhooks WHERE organization = $1 AND id = $2");
pub static END_CALLS_OF_WEBHOOK: Statement = Statement::new(
    "UPDATE webhook_calls SET state = 'failed', text = 'the webhook was removed' \
     WHERE webhook = $1 AND state = 'waiting'",
);
pub static ROTATE_WEBHOOK: Statement = Statement::new(
    "UPDATE webhooks SET secret_before = secret, secret_before_until = $4, secret = $3 \
     WHERE organization = $1 AND id = $2",
);
const CALL_COLUMNS: &[Column] = &[
    int("id"),
    int("webhook"),
    int("organization"),
    text("events"),
    int("due_at"),
    int("created_at"),
];
pub static INSERT_CALLS: Statement = Statement::with_rows(
    CALL_COLUMNS,
    "INSERT INTO webhook_calls (id, webhook, organization, events, state, tries, due_at, \
     created_at, text, milliseconds) SELECT id, webhook, organization, events, 'waiting', 0, \
     due_at, created_at, '', 0 FROM {rows} AS given",
);
pub static MOVE_FEED: Statement =
    Statement::new("UPDATE webhook_feed SET event = $1 WHERE id = 1 AND event < $1");
pub static END_CALL: Statement = Statement::new(
    "UPDATE webhook_calls SET state = $2, tries = tries + 1, due_at = $3, ended_at = $4, \
     status = $5, text = $6, milliseconds = $7 WHERE id = $1 AND state = 'waiting'",
);
pub static NOTE_SUCCESS: Statement = Statement::new(
    "UPDATE webhooks SET succeeded_at = $2, failing_since = NULL, last_text = $3 WHERE id = $1",
);
pub static NOTE_FAILURE: Statement = Statement::new(
    "UPDATE webhooks SET failed_at = $2, failing_since = COALESCE(failing_since, $2), \
     last_text = $3 WHERE id = $1",
);
pub static DISABLE_WEBHOOK: Statement =
    Statement::new("UPDATE webhooks SET enabled = 0, disabled_reason = $2 WHERE id = $1");
pub static FORGET_CALLS: Statement = Statement::new(
    "DELETE FROM webhook_calls WHERE id IN (SELECT id FROM webhook_calls \
     WHERE state <> 'waiting' AND created_at < $1 ORDER BY id LIMIT $2)",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &WEBHOOKS,
    &CALLS_WAITING,
    &CALL_BY_ID,
    &EVENT_FROM,
    &CALLS_OF_WEBHOOK,
    &FEED,
    &EVENTS_AFTER,
    &EVENTS_BY_ID,
    &RECIPIENTS_BY_ID,
    &INSERT_WEBHOOK,
    &UPDATE_WEBHOOK,
    &DELETE_WEBHOOK,
    &END_CALLS_OF_WEBHOOK,
    &ROTATE_WEBHOOK,
    &INSERT_CALLS,
    &MOVE_FEED,
    &END_CALL,
    &NOTE_SUCCESS,
    &NOTE_FAILURE,
    &DISABLE_WEBHOOK,
    &FORGET_CALLS,
];

impl Store {
    /// Of all organizations.
    pub async fn webhooks(&self) -> Result<Vec<WebhookRow>> {
        collect(self.read(&WEBHOOKS, vec![]).await?, webhook)
    }

    /// The id of a new endpoint, or the number of rows changed.
    /// `Duplicate("webhooks_name")` when the organization has one of that name.
    pub async fn change_webhook(&self, change: WebhookChange) -> Result<i64> {
        self.change(Change::Webhook(Box::new(change))).await
    }

    /// Calls of one endpoint that are not ended, the earliest due first.
    pub async fn calls_waiting(&self, id: WebhookId, limit: u32) -> Result<Vec<CallRow>> {
        let values = vec![id.0.into(), i64::from(limit).into()];
        collect(self.read(&CALLS_WAITING, values).await?, call)
    }

    pub async fn webhook_call(&self, id: WebhookCallId) -> Result<Option<CallRow>> {
        let rows = self.read(&CALL_BY_ID, vec![id.0.into()]).await?;
        rows.first().map(call).transpose()
    }

    /// The first event at or after a moment, found by halving: ids rise with time.
    pub async fn first_event_at(&self, at: Timestamp) -> Result<EventId> {
        let (mut low, mut high) = (0, self.last_event().await?.0 + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let rows = self.read(&EVENT_FROM, vec![middle.into()]).await?;
            let Some(row) = rows.first() else {
                high = middle;
                continue;
            };
            if row.int(1)? < at.0 {
                low = row.int(0)? + 1;
            } else {
                high = middle;
            }
        }
        Ok(EventId(low))
    }

    /// Newest first, those with an id below `before`.
    pub async fn calls_of_webhook(
        &self,
        id: WebhookId,
        before: Option<WebhookCallId>,
        limit: u32,
        narrowed: &Narrowed,
    ) -> Result<Vec<CallRow>> {
        let before = before.map_or(i64::MAX, |before| before.0);
        let mut values = vec![id.0.into(), before.into(), i64::from(limit).into()];
        narrowed.put_to(&mut values);
        collect(self.read(&CALLS_OF_WEBHOOK, values).await?, call)
    }

    /// Up to where events were turned into calls.
    pub async fn webhook_feed(&self) -> Result<EventId> {
        self.one_id(&FEED).await
    }

    async fn one_id(&self, statement: &Statement) -> Result<EventId> {
        let rows = self.read(statement, vec![]).await?;
        Ok(EventId(rows.first().map_or(Ok(0), |row| row.int(0))?))
    }

    /// Events of all organizations in the order of their ids. One that cannot be read is left out
    /// and logged; the second value is the last id looked at, `after` when there were none. Nothing
    /// comes later between those that were read.
    pub async fn events_after(
        &self,
        after: EventId,
        limit: u32,
    ) -> Result<(Vec<EventRow>, EventId)> {
        let values =
            vec![after.0.into(), i64::from(limit).into(), self.settled_before().await?.into()];
        let (mut events, mut last) = (Vec::new(), after);
        for row in self.read(&EVENTS_AFTER, values).await? {
            last = EventId(row.int(0)?);
            match messages::event(&row) {
                Ok(event) => events.push(event),
                Err(error) => {
                    tracing::error!(event = last.0, reason = %error, "an event cannot be read");
                }
            }
        }
        Ok((events, last))
    }

    pub async fn events_by_id(&self, ids: &[EventId]) -> Result<Vec<EventRow>> {
        let ids = json_ids(ids.iter().map(|id| id.0));
        collect(self.read(&EVENTS_BY_ID, vec![ids.into()]).await?, messages::event)
    }

    pub async fn recipients_of(&self, ids: &[DeliveryId]) -> Result<Vec<(DeliveryId, Address)>> {
        let ids = json_ids(ids.iter().map(|id| id.0));
        let rows = self.read(&RECIPIENTS_BY_ID, vec![ids.into()]).await?;
        collect(rows, |row| Ok((DeliveryId(row.int(0)?), row.parsed(1)?)))
    }
}

pub async fn write(connection: &mut Connection, change: &WebhookChange) -> Result<i64> {
    match change {
        WebhookChange::Add { organization, settings, secret, at } => {
            add(connection, *organization, settings, secret, *at).await
        }
        WebhookChange::Update { organization, id, settings } => {
            let mut values = vec![organization.0.into(), id.0.into()];
            values.extend(values_of(settings));
            values.push(i64::from(settings.enabled).into());
            rows(connection.execute(&UPDATE_WEBHOOK, values).await?)
        }
        WebhookChange::Remove { organization, id } => {
            let values = vec![organization.0.into(), id.0.into()];
            let removed = connection.execute(&DELETE_WEBHOOK, values).await?;
            if removed > 0 {
                connection.execute(&END_CALLS_OF_WEBHOOK, vec![id.0.into()]).await?;
            }
            rows(removed)
        }
        WebhookChange::Rotate { organization, id, secret, before_until } => {
            let values = vec![
                organization.0.into(),
                id.0.into(),
                secret.0.as_str().into(),
                before_until.0.into(),
            ];
            rows(connection.execute(&ROTATE_WEBHOOK, values).await?)
        }
        WebhookChange::Calls { calls, read_to, at } => {
            make_calls(connection, calls, *read_to, *at).await
        }
        WebhookChange::End(end) => end_call(connection, end).await,
        WebhookChange::Forget { before, limit } => {
            let values = vec![before.0.into(), i64::from(*limit).into()];
            rows(connection.execute(&FORGET_CALLS, values).await?)
        }
    }
}

async fn add(
    connection: &mut Connection,
    organization: OrganizationId,
    settings: &WebhookSettings,
    secret: &Secret,
    at: Timestamp,
) -> Result<i64> {
    let id = ids::reserve(connection, "webhook", 1).await?;
    let mut values = vec![id.into(), organization.0.into()];
    values.extend(values_of(settings));
    values.extend([secret.0.as_str().into(), i64::from(settings.enabled).into(), at.0.into()]);
    connection.execute(&INSERT_WEBHOOK, values).await?;
    Ok(id)
}

/// Name, URL, kinds, format.
fn values_of(settings: &WebhookSettings) -> [Value; 4] {
    let kinds: Vec<&str> = settings.kinds.iter().map(|kind| kind.word()).collect();
    [
        settings.name.as_str().into(),
        settings.url.as_str().into(),
        serde_json::json!(kinds).to_string().into(),
        settings.format.word().into(),
    ]
}

async fn make_calls(
    connection: &mut Connection,
    calls: &[NewCall],
    read_to: Option<EventId>,
    at: Timestamp,
) -> Result<i64> {
    let mut first = 0;
    if !calls.is_empty() {
        let count = i64::try_from(calls.len()).map_err(StoreError::broken_row)?;
        first = ids::reserve(connection, "webhook_call", count).await?;
        let mut given = Rows::new(connection.dialect(), CALL_COLUMNS);
        for (id, call) in (first..).zip(calls) {
            let events = json_ids(call.events.iter().map(|id| id.0));
            given
                .int(id)
                .int(call.webhook.0)
                .int(call.organization.0)
                .text(&events)
                .int(at.0)
                .int(at.0);
        }
        connection.execute(&INSERT_CALLS, vec![given.finish().into()]).await?;
    }
    if let Some(event) = read_to {
        connection.execute(&MOVE_FEED, vec![event.0.into()]).await?;
    }
    Ok(first)
}

async fn end_call(connection: &mut Connection, end: &CallEnd) -> Result<i64> {
    let ended = (end.state != CallState::Waiting).then_some(end.at.0);
    let values = vec![
        end.call.0.into(),
        end.state.word().into(),
        end.due_at.0.into(),
        ended.into(),
        end.status.map(i64::from).into(),
        end.text.as_str().into(),
        i64::try_from(end.milliseconds).unwrap_or(i64::MAX).into(),
    ];
    let changed = connection.execute(&END_CALL, values).await?;
    let note = if end.state == CallState::Delivered { &NOTE_SUCCESS } else { &NOTE_FAILURE };
    let values = vec![end.webhook.0.into(), end.at.0.into(), end.text.as_str().into()];
    connection.execute(note, values).await?;
    if let Some(reason) = &end.disable {
        let values = vec![end.webhook.0.into(), reason.as_str().into()];
        connection.execute(&DISABLE_WEBHOOK, values).await?;
    }
    rows(changed)
}

fn rows(changed: u64) -> Result<i64> {
    Ok(i64::try_from(changed).unwrap_or(i64::MAX))
}

fn webhook(row: &Row) -> Result<WebhookRow> {
    let before = row.maybe_text(7)?.zip(row.maybe_int(8)?);
    Ok(WebhookRow {
        id: WebhookId(row.int(0)?),
        organization: OrganizationId(row.int(1)?),
        name: row.text(2)?,
        url: row.text(3)?,
        kinds: serde_json::from_str(&row.text(4)?).map_err(StoreError::broken_row)?,
        format: row.parsed(5)?,
        secret: Secret(row.text(6)?),
        secret_before: before.map(|(secret, until)| (Secret(secret), Timestamp(until))),
        enabled: row.flag(9)?,
        disabled_reason: row.maybe_text(10)?,
        created_at: Timestamp(row.int(11)?),
        failing_since: row.maybe_int(12)?.map(Timestamp),
        succeeded_at: row.maybe_int(13)?.map(Timestamp),
        failed_at: row.maybe_int(14)?.map(Timestamp),
        last_text: row.text(15)?,
        event_after: EventId(row.int(16)?),
    })
}

fn call(row: &Row) -> Result<CallRow> {
    let ids: Vec<i64> = serde_json::from_str(&row.text(3)?).map_err(StoreError::broken_row)?;
    let status = row.maybe_int(9)?.map(u16::try_from).transpose();
    Ok(CallRow {
        id: WebhookCallId(row.int(0)?),
        webhook: WebhookId(row.int(1)?),
        organization: OrganizationId(row.int(2)?),
        events: ids.into_iter().map(EventId).collect(),
        state: row.parsed(4)?,
        tries: u32::try_from(row.int(5)?).map_err(StoreError::broken_row)?,
        due_at: Timestamp(row.int(6)?),
        created_at: Timestamp(row.int(7)?),
        ended_at: row.maybe_int(8)?.map(Timestamp),
        status: status.map_err(StoreError::broken_row)?,
        text: row.text(10)?,
        milliseconds: row.unsigned(11)?,
    })
}
