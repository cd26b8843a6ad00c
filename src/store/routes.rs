//! Where mail that comes in goes on to, and what is owed of it.
//!
//! Owns:       the tables `inbound_routes`, `inbound_calls`.
//! Promises:   what is owed stays until it is done or given up; an address has one route.
//! Knows not:  HTTP, SMTP, who may have which address.

use serde::{Deserialize, Serialize};

use crate::model::*;

use super::changes::{Change, insert_with_id};
use super::database::{Connection, Row};
use super::dialect::Statement;
use super::error::{Result, StoreError};
use super::narrow::Narrowed;
use super::webhooks::Secret;
use super::{Store, collect};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundRouteRow {
    pub id: InboundRouteId,
    pub organization: OrganizationId,
    /// In lower case: an address, or `*@` and a domain.
    pub pattern: String,
    pub action: RouteAction,
    /// A URL, `host:port`, or addresses divided by spaces; empty where nothing is sent.
    pub target: String,
    pub format: RouteFormat,
    pub secret: Secret,
    pub attachment_bytes_max: u64,
    pub created_at: Timestamp,
}

/// A mail that a route owes to somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InboundCallRow {
    pub id: InboundCallId,
    pub route: InboundRouteId,
    pub organization: OrganizationId,
    pub state: InboundCallState,
    pub sender: String,
    pub recipient: String,
    /// What is sent: JSON, or the mail in base64; left out of lists.
    pub payload: String,
    pub tries: u32,
    pub due_at: Timestamp,
    pub created_at: Timestamp,
    /// The last answer.
    pub text: String,
}

#[derive(Clone, Debug)]
pub enum RouteChange {
    Add(Box<InboundRouteRow>),
    Remove {
        id: InboundRouteId,
        organization: Option<OrganizationId>,
    },
    Owe(Box<InboundCallRow>),
    Again {
        id: InboundCallId,
        due_at: Timestamp,
        text: String,
    },
    GiveUp {
        id: InboundCallId,
        text: String,
    },
    Done(InboundCallId),
    /// One that was given up, as if it had come now.
    Retry {
        id: InboundCallId,
        at: Timestamp,
    },
}

macro_rules! routes {
    ($tail:literal) => {
        Statement::new(concat!(
            "SELECT id, organization, pattern, action, target, format, secret, \
             attachment_bytes_max, created_at FROM inbound_routes ",
            $tail
        ))
    };
}

pub static ROUTES: Statement = routes!("ORDER BY id");
pub static ADD: Statement = Statement::new(
    "INSERT INTO inbound_routes (id, organization, pattern, action, target, format, secret, \
     attachment_bytes_max, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
);
pub static REMOVE: Statement =
    Statement::new("DELETE FROM inbound_routes WHERE id = $1 AND ($2 = 0 OR organization = $2)");
pub static OWE: Statement = Statement::new(
    "INSERT INTO inbound_calls (id, route, organization, state, sender, recipient, payload, tries, \
     due_at, created_at, text) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, '')",
);
pub static AGAIN: Statement = Statement::new(
    "UPDATE inbound_calls SET tries = tries + 1, due_at = $2, text = $3 \
     WHERE id = $1 AND state = 'waiting'",
);
pub static GIVE_UP: Statement = Statement::new(
    "UPDATE inbound_calls SET tries = tries + 1, state = 'failed', text = $2 \
     WHERE id = $1 AND state = 'waiting'",
);
pub static RETRY: Statement = Statement::new(
    "UPDATE inbound_calls SET tries = 0, due_at = $2, created_at = $2, state = 'waiting' \
     WHERE id = $1 AND state = 'failed'",
);
pub static DONE: Statement = Statement::new("DELETE FROM inbound_calls WHERE id = $1");
pub static DUE: Statement = Statement::new(
    "SELECT id, route, organization, state, sender, recipient, payload, tries, due_at, created_at, \
     text FROM inbound_calls WHERE state = 'waiting' AND due_at <= $1 ORDER BY due_at, id LIMIT $2",
);
pub static LIST: Statement = Statement::new(
    "SELECT id, route, organization, state, sender, recipient, '', tries, due_at, created_at, text \
     FROM inbound_calls WHERE id < $1 AND ($2 = 0 OR organization = $2) \
     AND LOWER(sender || ' ' || recipient) LIKE $4 ESCAPE '!' AND ($5 = '' OR state = $5) \
     ORDER BY id DESC LIMIT $3",
);
pub static ONE: Statement = Statement::new(
    "SELECT id, route, organization, state, sender, recipient, payload, tries, due_at, created_at, \
     text FROM inbound_calls WHERE id = $1",
);

#[cfg(test)]
pub static ALL: &[&Statement] =
    &[&ROUTES, &ADD, &REMOVE, &OWE, &AGAIN, &GIVE_UP, &RETRY, &DONE, &DUE, &LIST, &ONE];

impl Store {
    pub async fn inbound_routes(&self) -> Result<Vec<InboundRouteRow>> {
        collect(self.read(&ROUTES, vec![]).await?, |row| {
            Ok(InboundRouteRow {
                id: InboundRouteId(row.int(0)?),
                organization: OrganizationId(row.int(1)?),
                pattern: row.text(2)?,
                action: row.parsed(3)?,
                target: row.text(4)?,
                format: row.parsed(5)?,
                secret: Secret(row.text(6)?),
                attachment_bytes_max: row.unsigned(7)?,
                created_at: Timestamp(row.int(8)?),
            })
        })
    }

    /// The id is given here. `Duplicate("inbound_routes_pattern")` when the address has a route.
    pub async fn add_inbound_route(&self, row: InboundRouteRow) -> Result<InboundRouteId> {
        Ok(InboundRouteId(self.change_route(RouteChange::Add(Box::new(row))).await?))
    }

    /// False when there is none of this id (for this organization).
    pub async fn remove_inbound_route(
        &self,
        id: InboundRouteId,
        organization: Option<OrganizationId>,
    ) -> Result<bool> {
        Ok(self.change_route(RouteChange::Remove { id, organization }).await? > 0)
    }

    /// An id where one is made, else the number of rows.
    pub async fn change_route(&self, change: RouteChange) -> Result<i64> {
        self.change(Change::Route(change)).await
    }

    pub async fn inbound_calls_due(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<InboundCallRow>> {
        let values = vec![now.0.into(), i64::from(limit).into()];
        collect(self.read(&DUE, values).await?, call)
    }

    /// Newest first, without what is sent.
    pub async fn inbound_calls(
        &self,
        scope: Scope,
        before: Option<InboundCallId>,
        limit: u32,
        narrowed: &Narrowed,
    ) -> Result<Vec<InboundCallRow>> {
        let mut values = vec![
            before.map_or(i64::MAX, |id| id.0).into(),
            scope.organization().map_or(0, |id| id.0).into(),
            i64::from(limit).into(),
        ];
        narrowed.put_to(&mut values);
        collect(self.read(&LIST, values).await?, call)
    }

    pub async fn inbound_call(&self, id: InboundCallId) -> Result<Option<InboundCallRow>> {
        let rows = self.read(&ONE, vec![id.0.into()]).await?;
        rows.first().map(call).transpose()
    }
}

fn call(row: &Row) -> Result<InboundCallRow> {
    Ok(InboundCallRow {
        id: InboundCallId(row.int(0)?),
        route: InboundRouteId(row.int(1)?),
        organization: OrganizationId(row.int(2)?),
        state: row.parsed(3)?,
        sender: row.text(4)?,
        recipient: row.text(5)?,
        payload: row.text(6)?,
        tries: u32::try_from(row.int(7)?).map_err(StoreError::broken_row)?,
        due_at: Timestamp(row.int(8)?),
        created_at: Timestamp(row.int(9)?),
        text: row.text(10)?,
    })
}

pub(super) async fn write(connection: &mut Connection, change: &RouteChange) -> Result<i64> {
    let rows = match change {
        RouteChange::Add(row) => {
            let values = vec![
                row.organization.0.into(),
                row.pattern.as_str().into(),
                row.action.word().into(),
                row.target.as_str().into(),
                row.format.word().into(),
                row.secret.0.as_str().into(),
                i64::try_from(row.attachment_bytes_max).unwrap_or(i64::MAX).into(),
                row.created_at.0.into(),
            ];
            return insert_with_id(connection, "inbound_route", &ADD, values).await;
        }
        RouteChange::Remove { id, organization } => {
            let values = vec![id.0.into(), organization.map_or(0, |id| id.0).into()];
            connection.execute(&REMOVE, values).await?
        }
        RouteChange::Owe(row) => {
            let values = vec![
                row.route.0.into(),
                row.organization.0.into(),
                row.state.word().into(),
                row.sender.as_str().into(),
                row.recipient.as_str().into(),
                row.payload.as_str().into(),
                row.due_at.0.into(),
                row.created_at.0.into(),
            ];
            return insert_with_id(connection, "inbound_call", &OWE, values).await;
        }
        RouteChange::Again { id, due_at, text } => {
            let values = vec![id.0.into(), due_at.0.into(), text.as_str().into()];
            connection.execute(&AGAIN, values).await?
        }
        RouteChange::GiveUp { id, text } => {
            connection.execute(&GIVE_UP, vec![id.0.into(), text.as_str().into()]).await?
        }
        RouteChange::Retry { id, at } => {
            connection.execute(&RETRY, vec![id.0.into(), at.0.into()]).await?
        }
        RouteChange::Done(id) => connection.execute(&DONE, vec![id.0.into()]).await?,
    };
    Ok(i64::try_from(rows).unwrap_or(i64::MAX))
}
