//! Who may send what: organizations, streams, domains, DKIM keys, credentials.
//!
//! Owns:       the reads and writes of those tables.
//! Promises:   names are unique by constraint; a secret is kept as its hash only.
//! Knows not:  how a secret is checked, or who may change what.

use crate::model::*;

use super::changes::Change;
use super::database::Row;
use super::dialect::Statement;
use super::error::{Result, StoreError};
use super::rows::{CredentialRow, DkimKeyRow, DomainRow, OrganizationRow, StreamRow};
use super::{Store, collect};

pub static ORGANIZATIONS: Statement = Statement::new(
    "SELECT id, name, created_at, suspended_at, suspended_reason, capture, keep_days, \
     keep_bytes, pool \
     FROM organizations ORDER BY id",
);

pub static STREAMS: Statement = Statement::new(
    "SELECT id, organization, name, class, held_at, held_reason FROM streams ORDER BY id",
);

pub static DOMAINS: Statement = Statement::new(
    "SELECT id, organization, name, created_at, verified_at, checked_at, checked FROM domains \
         ORDER BY id",
);

pub static CREDENTIALS: Statement = Statement::new(
    "SELECT id, organization, name, secret_hash, secret_hash_before, stream, rules, created_at, \
     revoked_at, used_at FROM credentials ORDER BY id",
);

pub static DKIM_KEYS: Statement = Statement::new(
    "SELECT domain, selector, algorithm, record, created_at, proved_at FROM dkim_keys \
     ORDER BY domain, selector",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&ORGANIZATIONS, &STREAMS, &DOMAINS, &CREDENTIALS, &DKIM_KEYS];

impl Store {
    pub async fn organizations(&self) -> Result<Vec<OrganizationRow>> {
        collect(self.read(&ORGANIZATIONS, vec![]).await?, |row| {
            Ok(OrganizationRow {
                id: OrganizationId(row.int(0)?),
                name: row.text(1)?,
                created_at: Timestamp(row.int(2)?),
                suspended_at: row.maybe_int(3)?.map(Timestamp),
                suspended_reason: row.maybe_text(4)?,
                capture: row.flag(5)?,
                keep_days: row
                    .maybe_int(6)?
                    .map(u32::try_from)
                    .transpose()
                    .map_err(StoreError::broken_row)?,
                keep_bytes: row.maybe_int(7)?.map(i64::unsigned_abs),
                pool: row.maybe_int(8)?.map(PoolId),
            })
        })
    }

    pub async fn streams(&self) -> Result<Vec<StreamRow>> {
        collect(self.read(&STREAMS, vec![]).await?, |row| {
            Ok(StreamRow {
                id: StreamId(row.int(0)?),
                organization: OrganizationId(row.int(1)?),
                name: row.text(2)?,
                class: row.text(3)?,
                held_at: row.maybe_int(4)?.map(Timestamp),
                held_reason: row.maybe_text(5)?,
            })
        })
    }

    pub async fn domains(&self) -> Result<Vec<DomainRow>> {
        collect(self.read(&DOMAINS, vec![]).await?, |row| {
            Ok(DomainRow {
                id: DomainId(row.int(0)?),
                organization: OrganizationId(row.int(1)?),
                name: row.parsed(2)?,
                created_at: Timestamp(row.int(3)?),
                verified_at: row.maybe_int(4)?.map(Timestamp),
                checked_at: row.maybe_int(5)?.map(Timestamp),
                checked: serde_json::from_str(&row.text(6)?).map_err(StoreError::broken_row)?,
            })
        })
    }

    /// A domain belongs to one organization; a second one is told `Duplicate("domains_name")`.
    pub async fn add_domain(
        &self,
        organization: OrganizationId,
        name: &Domain,
    ) -> Result<DomainRow> {
        self.add_domain_as(organization, name, true).await
    }

    /// As `add_domain`; nobody sends from it before it `is_verified`.
    pub async fn add_domain_as(
        &self,
        organization: OrganizationId,
        name: &Domain,
        is_verified: bool,
    ) -> Result<DomainRow> {
        let at = self.now();
        let (name, verified_at) = (name.clone(), is_verified.then_some(at));
        let change = Change::AddDomain { organization, name: name.clone(), verified_at, at };
        let id = DomainId(self.change(change).await?);
        Ok(DomainRow {
            id,
            organization,
            name,
            created_at: at,
            verified_at,
            checked_at: None,
            checked: Default::default(),
        })
    }

    pub async fn credentials(&self) -> Result<Vec<CredentialRow>> {
        collect(self.read(&CREDENTIALS, vec![]).await?, credential)
    }

    /// `Duplicate("credentials_name")` when the name is taken, also by a revoked one: a name in
    /// old logs must not come to mean somebody else.
    pub async fn add_credential(
        &self,
        organization: OrganizationId,
        name: &str,
        secret_hash: &str,
        stream: StreamId,
    ) -> Result<CredentialRow> {
        let rules = CredentialRules::default();
        self.add_credential_with(organization, name, secret_hash, stream, rules).await
    }

    /// As `add_credential`, with rules of its own.
    pub async fn add_credential_with(
        &self,
        organization: OrganizationId,
        name: &str,
        secret_hash: &str,
        stream: StreamId,
        rules: CredentialRules,
    ) -> Result<CredentialRow> {
        let at = self.now();
        let (name, secret_hash) = (name.to_owned(), secret_hash.to_owned());
        let change = Change::AddCredential {
            organization,
            name: name.clone(),
            secret_hash: secret_hash.clone(),
            stream,
            rules: serde_json::to_string(&rules).map_err(StoreError::broken_row)?,
            at,
        };
        let id = CredentialId(self.change(change).await?);
        Ok(CredentialRow {
            id,
            organization,
            name,
            secret_hash,
            secret_hash_before: None,
            stream,
            rules,
            created_at: at,
            revoked_at: None,
            used_at: None,
        })
    }

    /// False when there is no such credential or it was revoked before.
    pub async fn revoke_credential(&self, name: &str) -> Result<bool> {
        let change = Change::RevokeCredential { name: name.to_owned(), at: self.now() };
        Ok(self.change(change).await? > 0)
    }

    pub async fn dkim_keys(&self) -> Result<Vec<DkimKeyRow>> {
        collect(self.read(&DKIM_KEYS, vec![]).await?, |row| {
            Ok(DkimKeyRow {
                domain: row.parsed(0)?,
                selector: row.text(1)?,
                algorithm: row.text(2)?,
                record: row.text(3)?,
                created_at: Timestamp(row.int(4)?),
                proved_at: row.maybe_int(5)?.map(Timestamp),
            })
        })
    }

    /// `Duplicate("dkim_keys_selector")` when the domain has a key of this selector.
    pub async fn add_dkim_key(&self, key: &DkimKeyRow) -> Result<()> {
        self.change(Change::AddDkimKey(key.clone())).await?;
        Ok(())
    }
}

fn credential(row: &Row) -> Result<CredentialRow> {
    Ok(CredentialRow {
        id: CredentialId(row.int(0)?),
        organization: OrganizationId(row.int(1)?),
        name: row.text(2)?,
        secret_hash: row.text(3)?,
        secret_hash_before: row.maybe_text(4)?,
        stream: StreamId(row.int(5)?),
        rules: serde_json::from_str(&row.text(6)?).map_err(StoreError::broken_row)?,
        created_at: Timestamp(row.int(7)?),
        revoked_at: row.maybe_int(8)?.map(Timestamp),
        used_at: row.maybe_int(9)?.map(Timestamp),
    })
}
