//! Who changed what, from what to what.
//!
//! Owns:       the table `audit`.
//! Promises:   a line of a change made through `audited` is written in its transaction, or not at
//!             all.
//! Knows not:  who may change what.

use std::sync::Arc;

use crate::model::*;

use super::changes::RowWrite;
use super::dialect::Statement;
use super::error::{Result, StoreError};
use super::narrow::escaped;
use super::rows::AuditRow;
use super::{Store, collect};

pub static INSERT_AUDIT: Statement = Statement::new(
    "INSERT INTO audit (id, at, organization, actor, action, target, was, becomes) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
);

pub static AUDIT: Statement = Statement::new(
    "SELECT id, at, organization, actor, action, target, was, becomes FROM audit \
     WHERE id < $1 AND LOWER(actor || ' ' || action || ' ' || target) LIKE $3 ESCAPE '!' \
     AND at >= $4 AND at < $5 ORDER BY id DESC LIMIT $2",
);

pub static AUDIT_OF: Statement = Statement::new(
    "SELECT id, at, organization, actor, action, target, was, becomes FROM audit \
     WHERE organization = $6 AND id < $1 \
     AND LOWER(actor || ' ' || action || ' ' || target) LIKE $3 ESCAPE '!' \
     AND at >= $4 AND at < $5 ORDER BY id DESC LIMIT $2",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&INSERT_AUDIT, &AUDIT, &AUDIT_OF];

/// The line of one change.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// None: it concerns the installation.
    pub organization: Option<OrganizationId>,
    /// `operator`, `user 3 ann@example.com`, `credential shop`.
    pub actor: String,
    /// `domain.added`, `user.role_changed`.
    pub action: String,
    /// What was changed; empty: the id that the change gives.
    pub target: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

/// Which lines: all that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only lines with an id below.
    pub before: Option<AuditId>,
    /// Stands somewhere in who, what was done or to what, in any case.
    pub find: String,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Store {
    /// The same store; what is changed through this handle is told in the audit log, in the same
    /// transaction.
    pub fn audited(&self, entry: AuditEntry) -> Store {
        Store(self.0.clone(), Some(Arc::new(entry)))
    }

    /// A line for what no row of ours tells.
    pub async fn note(&self, entry: AuditEntry) -> Result<()> {
        let id = self.reserve_id("audit").await?;
        let json = |value: Option<serde_json::Value>| value.map(|value| value.to_string());
        let values = vec![
            id.into(),
            self.now().0.into(),
            entry.organization.map(|id| id.0).into(),
            entry.actor.into(),
            entry.action.into(),
            entry.target.into(),
            json(entry.before).into(),
            json(entry.after).into(),
        ];
        self.write(vec![RowWrite::new(&INSERT_AUDIT, values)]).await?;
        Ok(())
    }

    /// Newest first.
    pub async fn audit(
        &self,
        scope: Scope,
        asked: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditRow>> {
        let mut values = vec![
            asked.before.map_or(i64::MAX, |id| id.0).into(),
            i64::from(limit).into(),
            format!("%{}%", escaped(&asked.find)).into(),
            asked.from.map_or(0, |at| at.0).into(),
            asked.until.map_or(i64::MAX, |at| at.0).into(),
        ];
        let rows = match scope.organization() {
            Some(organization) => {
                values.push(organization.0.into());
                self.read(&AUDIT_OF, values).await?
            }
            None => self.read(&AUDIT, values).await?,
        };
        let json = |text: Option<String>| {
            text.map(|text| serde_json::from_str(&text).map_err(StoreError::broken_row)).transpose()
        };
        collect(rows, |row| {
            Ok(AuditRow {
                id: AuditId(row.int(0)?),
                at: Timestamp(row.int(1)?),
                organization: row.maybe_int(2)?.map(OrganizationId),
                actor: row.text(3)?,
                action: row.text(4)?,
                target: row.text(5)?,
                before: json(row.maybe_text(6)?)?,
                after: json(row.maybe_text(7)?)?,
            })
        })
    }
}
