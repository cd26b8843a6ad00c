//! Changes to organizations, their streams and credentials.
//!
//! Owns:       the writes of those tables that are rarer than making a credential.
//! Promises:   an organization begins with its two streams; of a credential at most two secrets
//!             are valid at once.
//! Knows not:  what follows from a suspension.

use crate::model::*;

use super::Store;
use super::changes::{Change, NewEvent, RowWrite};
use super::dialect::Statement;
use super::error::{Result, StoreError};
use super::rows::{OrganizationRow, StreamRow};

pub static INSERT_ORGANIZATION: Statement =
    Statement::new("INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3)");

pub static INSERT_STREAM: Statement = Statement::new(
    "INSERT INTO streams (id, organization, name, class, created_at) VALUES ($1, $2, $3, $4, $5)",
);

pub static RENAME_ORGANIZATION: Statement =
    Statement::new("UPDATE organizations SET name = $2 WHERE id = $1");

pub static SUSPEND: Statement = Statement::new(
    "UPDATE organizations SET suspended_at = $2, suspended_reason = $3 \
     WHERE id = $1 AND suspended_at IS NULL",
);

pub static RESUME: Statement = Statement::new(
    "UPDATE organizations SET suspended_at = NULL, suspended_reason = NULL \
     WHERE id = $1 AND suspended_at IS NOT NULL",
);

pub static HOLD_STREAM: Statement = Statement::new(
    "UPDATE streams SET held_at = $2, held_reason = $3 WHERE id = $1 AND held_at IS NULL",
);

pub static RELEASE_STREAM: Statement = Statement::new(
    "UPDATE streams SET held_at = NULL, held_reason = NULL \
     WHERE id = $1 AND held_at IS NOT NULL",
);

pub static CHANGE_ORGANIZATION: Statement = Statement::new(
    "UPDATE organizations SET name = $2, capture = $3, keep_days = $4, keep_bytes = $5 \
     WHERE id = $1",
);

pub static SET_ORGANIZATION_POOL: Statement =
    Statement::new("UPDATE organizations SET pool = $2 WHERE id = $1");

pub static ROTATE_CREDENTIAL: Statement = Statement::new(
    "UPDATE credentials SET secret_hash_before = secret_hash, secret_hash = $2 \
     WHERE id = $1 AND revoked_at IS NULL",
);

pub static DROP_SECRET_BEFORE: Statement = Statement::new(
    "UPDATE credentials SET secret_hash_before = NULL \
     WHERE id = $1 AND secret_hash_before IS NOT NULL",
);

pub static SET_CREDENTIAL_RULES: Statement =
    Statement::new("UPDATE credentials SET rules = $2 WHERE id = $1 AND revoked_at IS NULL");

pub static USE_CREDENTIAL_FIRST: Statement =
    Statement::new("UPDATE credentials SET used_at = $2 WHERE id = $1 AND used_at IS NULL");

pub static USE_CREDENTIAL: Statement = Statement::new(
    "UPDATE credentials SET used_at = $2 WHERE id = $1 AND (used_at IS NULL OR used_at < $2)",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &INSERT_ORGANIZATION,
    &INSERT_STREAM,
    &RENAME_ORGANIZATION,
    &SUSPEND,
    &RESUME,
    &HOLD_STREAM,
    &RELEASE_STREAM,
    &CHANGE_ORGANIZATION,
    &SET_ORGANIZATION_POOL,
    &ROTATE_CREDENTIAL,
    &DROP_SECRET_BEFORE,
    &SET_CREDENTIAL_RULES,
    &USE_CREDENTIAL_FIRST,
    &USE_CREDENTIAL,
];

/// How long mail that is over is listed; None for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    pub days: Option<u32>,
    /// Octets of mail, of which the oldest goes first.
    pub bytes: Option<u64>,
}

impl Store {
    /// `Duplicate("organizations_name")` when the name is taken.
    pub async fn add_organization(&self, name: &str) -> Result<OrganizationRow> {
        let id = self.reserve_id("organization").await?;
        let at = self.now();
        let values = vec![id.into(), name.into(), at.0.into()];
        let mut writes = vec![RowWrite::new(&INSERT_ORGANIZATION, values)];
        for class in StreamClass::ALL {
            let stream = self.reserve_id("stream").await?;
            let word = class.word();
            let values = vec![stream.into(), id.into(), word.into(), word.into(), at.0.into()];
            writes.push(RowWrite::new(&INSERT_STREAM, values));
        }
        self.write(writes).await?;
        Ok(OrganizationRow {
            id: OrganizationId(id),
            name: name.to_owned(),
            created_at: at,
            suspended_at: None,
            suspended_reason: None,
            capture: false,
            keep_days: None,
            keep_bytes: None,
            pool: None,
        })
    }

    /// `Duplicate("streams_name")` when the organization has one of this name.
    pub async fn add_stream(
        &self,
        organization: OrganizationId,
        name: &str,
        class: StreamClass,
    ) -> Result<StreamRow> {
        let id = self.reserve_id("stream").await?;
        let values = vec![
            id.into(),
            organization.0.into(),
            name.into(),
            class.word().into(),
            self.now().0.into(),
        ];
        self.write(vec![RowWrite::new(&INSERT_STREAM, values)]).await?;
        let (name, class) = (name.to_owned(), class.word().to_owned());
        let (held_at, held_reason) = (None, None);
        Ok(StreamRow { id: StreamId(id), organization, name, class, held_at, held_reason })
    }

    /// `Duplicate("organizations_name")` when the name is taken.
    pub async fn rename_organization(
        &self,
        organization: OrganizationId,
        name: &str,
    ) -> Result<()> {
        let values = vec![organization.0.into(), name.into()];
        self.write(vec![RowWrite::new(&RENAME_ORGANIZATION, values)]).await.map(drop)
    }

    /// False when there is no such organization or it is suspended already.
    pub async fn suspend(&self, organization: OrganizationId, reason: &str) -> Result<bool> {
        let values = vec![organization.0.into(), self.now().0.into(), reason.into()];
        Ok(self.write(vec![RowWrite::new(&SUSPEND, values)]).await? > 0)
    }

    pub async fn resume(&self, organization: OrganizationId) -> Result<bool> {
        let values = vec![organization.0.into()];
        Ok(self.write(vec![RowWrite::new(&RESUME, values)]).await? > 0)
    }

    /// False when it is held already.
    pub async fn hold_stream(&self, stream: StreamId, reason: &str) -> Result<bool> {
        let values = vec![stream.0.into(), self.now().0.into(), reason.into()];
        Ok(self.write(vec![RowWrite::new(&HOLD_STREAM, values)]).await? > 0)
    }

    /// False when it is not held.
    pub async fn release_stream(&self, stream: StreamId) -> Result<bool> {
        Ok(self.write(vec![RowWrite::new(&RELEASE_STREAM, vec![stream.0.into()])]).await? > 0)
    }

    /// `Duplicate("organizations_name")` when the name is taken.
    pub async fn change_organization(
        &self,
        organization: OrganizationId,
        name: &str,
        capture: bool,
        keep: Keep,
    ) -> Result<bool> {
        let bytes = keep.bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        let values = vec![
            organization.0.into(),
            name.into(),
            i64::from(capture).into(),
            keep.days.map(i64::from).into(),
            bytes.into(),
        ];
        Ok(self.write(vec![RowWrite::new(&CHANGE_ORGANIZATION, values)]).await? > 0)
    }

    /// The pool of its mail that no rule speaks of; None: the default one.
    pub async fn set_organization_pool(
        &self,
        organization: OrganizationId,
        pool: Option<PoolId>,
    ) -> Result<bool> {
        let values = vec![organization.0.into(), pool.map(|pool| pool.0).into()];
        Ok(self.write(vec![RowWrite::new(&SET_ORGANIZATION_POOL, values)]).await? > 0)
    }

    /// The secret so far stays valid beside the new one until it is dropped; the one before it
    /// ends now.
    pub async fn rotate_credential(&self, id: CredentialId, secret_hash: &str) -> Result<bool> {
        let values = vec![id.0.into(), secret_hash.into()];
        Ok(self.write(vec![RowWrite::new(&ROTATE_CREDENTIAL, values)]).await? > 0)
    }

    pub async fn drop_secret_before(&self, id: CredentialId) -> Result<bool> {
        let values = vec![id.0.into()];
        Ok(self.write(vec![RowWrite::new(&DROP_SECRET_BEFORE, values)]).await? > 0)
    }

    pub async fn set_credential_rules(
        &self,
        id: CredentialId,
        rules: &CredentialRules,
    ) -> Result<bool> {
        let rules = serde_json::to_string(rules).map_err(StoreError::broken_row)?;
        let values = vec![id.0.into(), rules.into()];
        Ok(self.write(vec![RowWrite::new(&SET_CREDENTIAL_RULES, values)]).await? > 0)
    }

    /// Its first use, and the event that tells of it; false when it was used before.
    pub async fn use_credential_first(
        &self,
        id: CredentialId,
        organization: OrganizationId,
        fields: serde_json::Value,
    ) -> Result<bool> {
        let at = self.now();
        let write = RowWrite::new(&USE_CREDENTIAL_FIRST, vec![id.0.into(), at.0.into()]);
        let kind = EventKind::CredentialUsedFirst;
        let event = Box::new(NewEvent { at, kind, organization, fields });
        Ok(self.change(Change::Told(vec![write], event)).await? > 0)
    }

    /// Written down now and then, not for each use.
    pub async fn use_credential(&self, id: CredentialId) -> Result<()> {
        let values = vec![id.0.into(), self.now().0.into()];
        self.write(vec![RowWrite::new(&USE_CREDENTIAL, values)]).await?;
        Ok(())
    }
}
