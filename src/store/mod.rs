//! The ledger: every row there is, in SQLite or in PostgreSQL, behind one batching writer.
//!
//! Owns:       all SQL, the migrations, the ids, the lock on the data directory.
//! Promises:   when a write returns, its transaction is on stable storage; a delivery's new state
//!             and the event that tells of it are in the same transaction.
//! Knows not:  rules. It keeps what it is told and says what it keeps.

mod jobs;
mod rows;

pub use jobs::*;
pub use rows::*;

use std::path::PathBuf;

use crate::clock::Clock;
use crate::model::*;

/// Where the ledger lies.
#[derive(Clone, Debug)]
pub enum Location {
    /// `ledger.sqlite` in this directory; one daemon at a time.
    Sqlite(PathBuf),
    /// A `postgres://` URL. The directory still holds spool and outcome log.
    Postgres(String),
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another daemon holds the data directory.
    #[error("{0}")]
    Taken(String),
    /// Not now: gone, locked, disk full, too slow. Trying again can help.
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    /// This row or statement can never work; trying again cannot help.
    #[error("the database refused: {0}")]
    Refused(String),
    /// A uniqueness constraint, by its name.
    #[error("there is one already: {0}")]
    Duplicate(String),
}

impl StoreError {
    pub const fn is_transient(&self) -> bool {
        matches!(self, StoreError::Unavailable(_))
    }
}

pub type Result<T> = std::result::Result<T, StoreError>;

/// A cheap handle; all clones share one writer.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Takes the directory's lock, runs the migrations, starts the writer.
    pub async fn open(location: &Location, node: i64, clock: Clock) -> Result<Store> {
        todo!()
    }
    /// Reads only, beside a running daemon: no lock, no migration, no writer.
    pub async fn open_to_read(location: &Location) -> Result<Store> {
        todo!()
    }
    /// Waits for all that was handed in, then closes. Later writes answer `Unavailable`.
    pub async fn close(&self) {
        todo!()
    }
    /// One round trip; what `/health` asks.
    pub async fn ping(&self) -> Result<()> {
        todo!()
    }

    // Ids, from blocks reserved in the database; no await in the usual case.
    pub async fn message_id(&self) -> Result<MessageId> {
        todo!()
    }
    /// `count` consecutive ids; the first is returned.
    pub async fn delivery_ids(&self, count: usize) -> Result<DeliveryId> {
        todo!()
    }

    // The writer's jobs, by class: accept > settle > control.
    pub async fn enqueue(&self, job: Enqueue) -> Result<()> {
        todo!()
    }
    /// The message a key was used for within this credential's organization, if it was.
    pub async fn message_by_idempotency_key(
        &self,
        organization: OrganizationId,
        key: &str,
    ) -> Result<Option<MessageId>> {
        todo!()
    }
    pub async fn settle(&self, group: SettleGroup) -> Result<Vec<Settled>> {
        todo!()
    }
    /// Returns the rows changed; call again while it equals the limit.
    pub async fn steer(&self, job: Steer) -> Result<u64> {
        todo!()
    }
    /// Gives waiting deliveries of a recipient domain their site.
    pub async fn assign_site(&self, domain: &Domain, from: SiteId, to: SiteId) -> Result<u64> {
        todo!()
    }

    // The queue's reads.
    /// Waiting deliveries of a site that are due, oldest rank and due time first, without those in
    /// `taken`. On PostgreSQL they are leased to this node in the same statement.
    pub async fn claim(
        &self,
        site: SiteId,
        now: Timestamp,
        limit: usize,
        taken: &[DeliveryId],
    ) -> Result<Vec<ClaimedDelivery>> {
        todo!()
    }
    /// Every site with waiting mail, and when its first is due. By index, not by scan.
    pub async fn backlogs(&self) -> Result<Vec<Backlog>> {
        todo!()
    }
    /// The earliest due time of a site's waiting mail, without those in `taken`.
    pub async fn next_due(&self, site: SiteId, taken: &[DeliveryId]) -> Result<Option<Timestamp>> {
        todo!()
    }
    /// Claims are rows of the ledger (PostgreSQL), not only in memory (SQLite).
    pub fn leases_claims(&self) -> bool {
        todo!()
    }
    /// Gives back what this node's earlier lives had leased (PostgreSQL; nothing on SQLite).
    pub async fn free_own_leases(&self) -> Result<u64> {
        todo!()
    }
    /// Deliveries by id, whatever their state; for replaying the outcome log.
    pub async fn deliveries_by_id(
        &self,
        ids: &[DeliveryId],
    ) -> Result<Vec<(State, ClaimedDelivery)>> {
        todo!()
    }

    // Lists for people.
    pub async fn count_deliveries(&self, filter: &DeliveryFilter) -> Result<u64> {
        todo!()
    }
    /// Newest first, at most `limit`.
    pub async fn list_deliveries(
        &self,
        filter: &DeliveryFilter,
        limit: u32,
    ) -> Result<Vec<DeliveryView>> {
        todo!()
    }
    pub async fn message(&self, id: MessageId) -> Result<Option<MessageRow>> {
        todo!()
    }
    /// Oldest first.
    pub async fn events_of_message(&self, id: MessageId, limit: u32) -> Result<Vec<EventRow>> {
        todo!()
    }
    pub async fn census(&self) -> Result<Census> {
        todo!()
    }

    // Who may send what.
    pub async fn organizations(&self) -> Result<Vec<OrganizationRow>> {
        todo!()
    }
    pub async fn streams(&self) -> Result<Vec<StreamRow>> {
        todo!()
    }
    pub async fn domains(&self) -> Result<Vec<DomainRow>> {
        todo!()
    }
    pub async fn add_domain(
        &self,
        organization: OrganizationId,
        name: &Domain,
    ) -> Result<DomainRow> {
        todo!()
    }
    pub async fn credentials(&self) -> Result<Vec<CredentialRow>> {
        todo!()
    }
    pub async fn add_credential(
        &self,
        organization: OrganizationId,
        name: &str,
        secret_hash: &str,
        stream: StreamId,
    ) -> Result<CredentialRow> {
        todo!()
    }
    /// False when there is no such credential or it was revoked before.
    pub async fn revoke_credential(&self, name: &str) -> Result<bool> {
        todo!()
    }
    pub async fn dkim_keys(&self) -> Result<Vec<DkimKeyRow>> {
        todo!()
    }
    pub async fn add_dkim_key(&self, key: &DkimKeyRow) -> Result<()> {
        todo!()
    }

    // Sites and segments.
    /// The site with this key, made when there is none.
    pub async fn site(&self, key: &str) -> Result<SiteId> {
        todo!()
    }
    pub async fn sites(&self) -> Result<Vec<SiteRow>> {
        todo!()
    }
    pub async fn segments(&self) -> Result<Vec<SegmentRow>> {
        todo!()
    }
    /// Forgets a segment whose file is gone.
    pub async fn remove_segment(&self, id: SegmentId) -> Result<()> {
        todo!()
    }
    /// Bodies still owed in a segment, for `check`: every ref that some delivery needs.
    pub async fn owed_bodies(&self, segment: SegmentId) -> Result<Vec<(MessageId, BodyRef)>> {
        todo!()
    }
}
