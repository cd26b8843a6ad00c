//! Whose mail does not go the usual way: of organizations that are suspended, of streams that are
//! held, of organizations and credentials whose mail is captured.
//!
//! Owns:       the picture of them in memory.
//! Promises:   a lookup costs no read of the store.
//! Knows not:  who suspends, holds or captures, or why.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use super::{Queue, QueueError};
use crate::model::*;
use crate::store::{MessageRow, Store, StoreError};

#[derive(Default)]
pub struct Apart(Mutex<Sets>);

#[derive(Default)]
struct Sets {
    /// Their mail waits in the ledger, where a claim passes over it; with the reason.
    suspended: HashMap<OrganizationId, String>,
    held: HashMap<StreamId, String>,
    captured: HashSet<OrganizationId>,
    capturing: HashSet<CredentialId>,
}

impl Apart {
    pub async fn reread(&self, store: &Store) -> Result<(), StoreError> {
        let mut sets = Sets::default();
        for row in store.organizations().await? {
            if row.capture {
                sets.captured.insert(row.id);
            }
            if row.suspended_at.is_some() {
                sets.suspended.insert(row.id, row.suspended_reason.unwrap_or_default());
            }
        }
        for row in store.streams().await?.into_iter().filter(|row| row.held_at.is_some()) {
            sets.held.insert(row.id, row.held_reason.unwrap_or_default());
        }
        let credentials = store.credentials().await?;
        let capturing = credentials.iter().filter(|row| row.rules.capture);
        sets.capturing = capturing.map(|row| row.id).collect();
        *self.0.lock() = sets;
        Ok(())
    }

    /// Why the mail of a stream waits, if somebody holds it.
    pub fn holds(&self, organization: OrganizationId, stream: StreamId) -> Option<String> {
        let sets = self.0.lock();
        if let Some(reason) = sets.suspended.get(&organization) {
            return Some(format!("the organization is suspended: {reason}"));
        }
        sets.held.get(&stream).map(|reason| format!("the stream is held: {reason}"))
    }

    pub fn is_captured(
        &self,
        organization: OrganizationId,
        credential: Option<CredentialId>,
    ) -> bool {
        let sets = self.0.lock();
        sets.captured.contains(&organization)
            || credential.is_some_and(|id| sets.capturing.contains(&id))
    }
}

impl Queue {
    /// Fresh mail of suspended organizations and held streams is not handed over (what waits is
    /// left by the claim), captured mail is held. To be called at start and after such a change.
    pub async fn note_apart(&self) -> Result<(), QueueError> {
        Ok(self.0.apart.reread(&self.0.store).await?)
    }

    /// Why a suspension or a held stream keeps it waiting.
    pub fn held_by(&self, message: &MessageRow) -> Option<String> {
        self.0.apart.holds(message.organization, message.stream)
    }
}
