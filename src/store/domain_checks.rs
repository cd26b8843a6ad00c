//! What checks of sending domains have found.
//!
//! Owns:       the columns that only checks write: when a domain was verified and looked at, and
//!             which keys were proved.
//! Promises:   a domain is verified once; a key is proved once.
//! Knows not:  DNS.

use std::collections::BTreeMap;

use crate::model::*;

use super::Store;
use super::changes::{Change, NewEvent, RowWrite};
use super::dialect::Statement;
use super::error::{Result, StoreError};
use super::rows::DomainRow;

pub static VERIFY_DOMAIN: Statement =
    Statement::new("UPDATE domains SET verified_at = $2 WHERE id = $1 AND verified_at IS NULL");

pub static NOTE_CHECK: Statement =
    Statement::new("UPDATE domains SET checked_at = $2, checked = $3 WHERE id = $1");

pub static PROVE_KEY: Statement = Statement::new(
    "UPDATE dkim_keys SET proved_at = $3 \
     WHERE domain = $1 AND selector = $2 AND proved_at IS NULL",
);

pub static DELETE_KEY: Statement =
    Statement::new("DELETE FROM dkim_keys WHERE domain = $1 AND selector = $2");

pub static DELETE_DOMAIN: Statement = Statement::new("DELETE FROM domains WHERE id = $1");

pub static DELETE_KEYS: Statement = Statement::new("DELETE FROM dkim_keys WHERE domain = $1");

/// Rare enough to walk what waits.
pub static IS_OWED: Statement = Statement::new(
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM deliveries WHERE state = 'waiting' AND domain = $1) \
     OR EXISTS (SELECT 1 FROM deliveries WHERE state = 'leased' AND domain = $1) \
     OR EXISTS (SELECT 1 FROM deliveries WHERE state = 'held' AND domain = $1)",
);

#[cfg(test)]
pub static ALL: &[&Statement] =
    &[&VERIFY_DOMAIN, &NOTE_CHECK, &PROVE_KEY, &DELETE_KEY, &DELETE_DOMAIN, &DELETE_KEYS, &IS_OWED];

impl Store {
    /// False when it was verified before.
    pub async fn verify_domain(&self, domain: DomainId) -> Result<bool> {
        let values = vec![domain.0.into(), self.now().0.into()];
        Ok(self.write(vec![RowWrite::new(&VERIFY_DOMAIN, values)]).await? > 0)
    }

    /// `news`: what the event tells, when it is not what was found before.
    pub async fn note_check(
        &self,
        row: &DomainRow,
        found: &BTreeMap<String, String>,
        news: Option<serde_json::Value>,
    ) -> Result<()> {
        let found = serde_json::to_string(found).map_err(StoreError::broken_row)?;
        let at = self.now();
        let values = vec![row.id.0.into(), at.0.into(), found.into()];
        let write = vec![RowWrite::new(&NOTE_CHECK, values)];
        let (organization, kind) = (row.organization, EventKind::DomainChecked);
        let change = match news {
            Some(fields) => {
                Change::Told(write, Box::new(NewEvent { at, kind, organization, fields }))
            }
            None => Change::Rows(write),
        };
        self.change(change).await?;
        Ok(())
    }

    /// False when it was proved before.
    pub async fn prove_key(&self, domain: &Domain, selector: &str) -> Result<bool> {
        let values = vec![domain.as_str().into(), selector.into(), self.now().0.into()];
        Ok(self.write(vec![RowWrite::new(&PROVE_KEY, values)]).await? > 0)
    }

    /// Mail from the domain is not over yet.
    pub async fn domain_is_owed(&self, domain: DomainId) -> Result<bool> {
        Ok(!self.read(&IS_OWED, vec![domain.0.into()]).await?.is_empty())
    }

    /// With its keys. False when there is no such domain.
    pub async fn remove_domain(&self, row: &DomainRow) -> Result<bool> {
        let writes = vec![
            RowWrite::new(&DELETE_DOMAIN, vec![row.id.0.into()]),
            RowWrite::new(&DELETE_KEYS, vec![row.name.as_str().into()]),
        ];
        Ok(self.write(writes).await? > 0)
    }

    pub async fn remove_dkim_key(&self, domain: &Domain, selector: &str) -> Result<bool> {
        let values = vec![domain.as_str().into(), selector.into()];
        Ok(self.write(vec![RowWrite::new(&DELETE_KEY, values)]).await? > 0)
    }
}
