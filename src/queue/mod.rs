//! The durable queue: which delivery is owed, to whom, and when it is next due.
//!
//! Owns:       the order of writes (body, rows, outcome log), claims, the outcome log.
//! Promises:   what is enqueued is on disk; a delivery has one holder at a time.
//! Knows not:  SMTP, DNS, HTTP, campaigns.
//! After a crash a delivery may be tried twice; it is never lost. See `tests/crash`.

mod apart; // whose mail does not go the usual way
pub mod check; // is all that was accepted accounted for
mod compaction; // what is owed leaves segments that hold little else
pub mod dialogue_log;
mod feed; // mail that is made for each recipient
mod kept;
pub mod outcome_log;
mod places; // in memory, for fresh mail
pub mod retention; // old mail goes
pub mod suppression; // may this address be written to
mod sweep; // segments in which nothing is owed go

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use self::apart::{Apart, HeldPart};
use crate::clock::Clock;
use crate::model::*;
use crate::spool::{Spool, SpoolError};
use crate::store::{
    AuditLine, ClaimedDelivery, Enqueue, MessageRow, NewDelivery, SettleGroup, Settled, Store,
    StoreError,
};
use dialogue_log::{Dialogue, DialogueLog, DialogueRef};
pub use feed::{NewRecipes, RecipeFor};
use kept::Budget;
pub use kept::Kept;
use outcome_log::{OutcomeLog, Record, Ticket};
use places::Places;
use suppression::Suppressions;

#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the outcome log cannot be written or read: {0}")]
    OutcomeLog(#[from] std::io::Error),
}

impl QueueError {
    /// The same call may succeed later.
    pub const fn is_transient(&self) -> bool {
        match self {
            QueueError::Spool(SpoolError::Damaged { .. }) => false,
            QueueError::Spool(_) | QueueError::OutcomeLog(_) => true,
            QueueError::Store(error) => error.is_transient(),
        }
    }
}

/// Captured mail can be looked at for so long.
const CAPTURED_FOR: Duration = Duration::from_secs(14 * 24 * 3600);

/// A message that is to be owed; the queue gives it its body's place and its times.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub organization: OrganizationId,
    pub stream: StreamId,
    pub credential: Option<CredentialId>,
    pub domain: Option<DomainId>,
    pub envelope: Envelope,
    pub message_id_header: String,
    pub subject: String,
    pub tag: Option<String>,
    pub metadata: Option<String>,
    pub idempotency_key: Option<String>,
    /// 0 transactional, 1 marketing.
    pub rank: i64,
    /// What it tells of its readers.
    pub tracking: Option<Tracking>,
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
    /// Of the audit log, where a person ordered it.
    pub line: Option<AuditLine>,
    /// Header section and body as they will be sent but for signatures, CRLF lines only. The parts
    /// of it that need the message's id are made by the caller from `Queue::message_id`.
    pub body: Bytes,
}

/// A delivery in the hands of this node, with its body while that is still in memory.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub delivery: ClaimedDelivery,
    pub body: Option<Kept>,
}

/// Who is told of fresh mail: the schedule. Losing a `wake` costs a poll, nothing else.
pub trait Intake: Send + Sync {
    /// The site of a recipient domain, if routing knows it without asking anybody.
    fn site_of(&self, domain: &Domain) -> Option<SiteId>;
    /// Notes the deliveries, of one campaign or of none, as claimed by this node, if their site has
    /// room for them right now.
    fn reserve(
        &self,
        site: SiteId,
        of: (Flow, Option<CampaignId>),
        deliveries: &[DeliveryId],
    ) -> bool;
    /// They were not committed after all.
    fn unreserve(&self, site: SiteId, deliveries: &[DeliveryId]);
    /// What was reserved is committed.
    fn take(&self, site: SiteId, claimed: Vec<Claimed>);
    /// There is waiting mail of this flow for this site from `due` on.
    fn wake(&self, site: SiteId, flow: Flow, due: Timestamp);
}

#[derive(Clone, Debug)]
pub struct QueueOptions {
    pub node: i64,
    /// Bodies just accepted that may stay in memory for their first attempt, in octets.
    pub memory_bytes: u64,
    /// From acceptance to the end of trying.
    pub expire_after: Duration,
    /// A source can be read for so long after nothing is owed of it, while there is room.
    pub keep_bodies: Duration,
    pub keep_dialogues: Duration,
}

/// A cheap handle; all clones share one outcome log.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    store: Store,
    spool: Spool,
    outcomes: OutcomeLog,
    dialogues: DialogueLog,
    clock: Clock,
    options: QueueOptions,
    budget: Budget,
    intake: OnceLock<Arc<dyn Intake>>,
    /// Bodies on disk without rows yet, by segment: one that has any is not swept.
    uncommitted: Mutex<HashMap<SegmentId, usize>>,
    apart: Apart,
    suppressions: Arc<Suppressions>,
}

impl Queue {
    /// Keeps its logs below `directory`. Also returns the outcomes that earlier lives may not have
    /// settled; `replayed` ends that.
    pub fn open(
        store: Store,
        spool: Spool,
        directory: &Path,
        options: QueueOptions,
        clock: Clock,
    ) -> Result<(Queue, Vec<Record>), QueueError> {
        let (outcomes, records) = OutcomeLog::open(&directory.join("outcomes"))?;
        let dialogues = DialogueLog::open(&directory.join("dialogues"), options.keep_dialogues)?;
        let budget = Budget::new(options.memory_bytes);
        let suppressions = Arc::new(Suppressions::new(store.clone(), clock.clone()));
        let inner = Inner {
            store,
            spool,
            outcomes,
            dialogues,
            clock,
            options,
            budget,
            intake: OnceLock::new(),
            uncommitted: Mutex::new(HashMap::new()),
            apart: Apart::default(),
            suppressions,
        };
        Ok((Queue(Arc::new(inner)), records))
    }

    /// From now on fresh mail is handed to `intake`; the first call wins.
    pub fn hand_to(&self, intake: Arc<dyn Intake>) {
        if self.0.intake.set(intake).is_err() {
            tracing::warn!("the queue has an intake already; the second is left out");
        }
    }

    /// Who is not written to.
    pub fn suppressions(&self) -> &Arc<Suppressions> {
        &self.0.suppressions
    }

    pub fn store(&self) -> &Store {
        &self.0.store
    }

    pub fn spool(&self) -> &Spool {
        &self.0.spool
    }

    /// The id for a message about to be enqueued (it stands in its Received field).
    pub async fn message_id(&self) -> Result<MessageId, QueueError> {
        Ok(self.0.store.message_id().await?)
    }

    /// There is room for a mail of this size now; the reply to MAIL FROM depends on it (P5).
    pub fn has_room(&self, bytes: u64) -> bool {
        self.0.spool.has_room(bytes)
    }

    /// Body on disk, then rows committed, then it returns: this is what a `250` stands for.
    /// The earlier message's id when the idempotency key was used before.
    pub async fn enqueue(&self, id: MessageId, new: NewMessage) -> Result<MessageId, QueueError> {
        if let Some(key) = &new.idempotency_key {
            let earlier = self.0.store.message_by_idempotency_key(new.organization, key).await?;
            if let Some(earlier) = earlier {
                return Ok(earlier);
            }
        }
        let ids = self.0.store.delivery_ids(new.envelope.recipients.len()).await?;
        let body = new.body.clone();
        let uncommitted = self.append(body.clone()).await?;
        let job = self.job(id, ids, uncommitted.body, new);
        let places = self.places(&job);
        let job = places.mark(job);
        let message = Arc::new(job.message.clone());
        let fresh = places.fresh(&job);
        let key = job.message.idempotency_key.clone();
        match self.0.store.enqueue(job).await {
            Ok(()) => {}
            // Two submissions with one key at the same time: the other one won.
            Err(StoreError::Duplicate(name)) if key.is_some() => {
                let key = key.unwrap_or_default();
                let organization = message.organization;
                let earlier = self.0.store.message_by_idempotency_key(organization, &key).await?;
                return earlier.ok_or(StoreError::Duplicate(name).into());
            }
            Err(StoreError::Unsure(why)) if !self.0.store.was_committed(id).await => {
                return Err(StoreError::Unavailable(why).into());
            }
            Err(StoreError::Unsure(_)) => {}
            Err(error) => return Err(error.into()),
        }
        places.fill(&message, fresh, || self.0.budget.keep(body));
        Ok(id)
    }

    /// Places for what of it can leave now.
    fn places(&self, job: &Enqueue) -> Places<'_> {
        let is_captured = job.deliveries.iter().any(|one| one.site == SiteId::CAPTURED);
        // Nothing of what is held for all can leave: who lets it go looks at the ledger. Of mail
        // that is held for some, the others' is found by a claim.
        let held = self.0.apart.part_held(&job.message);
        let is_left = is_captured || held == HeldPart::Everybodys;
        let intake = self.0.intake.get().filter(|_| !is_left);
        let may_keep = held == HeldPart::Nobodys && job.message.due_at <= self.0.clock.now();
        Places::reserve(intake, job, may_keep)
    }

    /// The rows of a message that the caller enqueues in a transaction of his own (a report).
    pub async fn prepare(&self, id: MessageId, new: NewMessage) -> Result<Prepared, QueueError> {
        let ids = self.0.store.delivery_ids(new.envelope.recipients.len()).await?;
        let uncommitted = self.append(new.body.clone()).await?;
        let job = self.job(id, ids, uncommitted.body, new);
        Ok(Prepared { job, _uncommitted: uncommitted })
    }

    async fn append(&self, body: Bytes) -> Result<Uncommitted, QueueError> {
        let body = self.0.spool.append(body).await?;
        *self.0.uncommitted.lock().entry(body.segment).or_default() += 1;
        Ok(Uncommitted { queue: self.clone(), body })
    }

    fn job(&self, id: MessageId, first: DeliveryId, body: BodyRef, new: NewMessage) -> Enqueue {
        let now = self.0.clock.now();
        let due_at = new.not_before.map_or(now, |moment| moment.max(now));
        let last = due_at + self.0.options.expire_after;
        let is_captured = self.0.apart.is_captured(new.organization, new.credential);
        let deliveries = new.envelope.recipients.into_iter().zip(first.0..);
        let deliveries = deliveries.map(|(recipient, id)| {
            let (site, notify) = match is_captured {
                // Its end is no news to anybody.
                true => (SiteId::CAPTURED, Notify::NEVER),
                false => (self.site_of(recipient.address.domain()), recipient.notify),
            };
            let recipient = Recipient { notify, ..recipient };
            NewDelivery::of(DeliveryId(id), recipient, site)
        });
        let deliveries = deliveries.collect();
        let message = MessageRow {
            id,
            organization: new.organization,
            stream: new.stream,
            credential: new.credential,
            domain: new.domain,
            sender: new.envelope.sender,
            eight_bit: new.envelope.eight_bit,
            smtputf8: new.envelope.smtputf8,
            dsn_return: new.envelope.dsn_return,
            dsn_envelope_id: new.envelope.dsn_envelope_id,
            message_id_header: new.message_id_header,
            subject: new.subject,
            tag: new.tag,
            metadata: new.metadata,
            idempotency_key: new.idempotency_key,
            body,
            body_node: self.0.options.node,
            accepted_at: now,
            due_at,
            expires_at: match is_captured {
                true => now + CAPTURED_FOR,
                false => new.not_after.map_or(last, |moment| moment.min(last)),
            },
            rank: new.rank,
            tracking: new.tracking,
        };
        Enqueue { message, deliveries, slice: None, line: new.line }
    }

    fn site_of(&self, domain: &Domain) -> SiteId {
        let intake = self.0.intake.get();
        intake.and_then(|intake| intake.site_of(domain)).unwrap_or(SiteId::UNROUTED)
    }

    /// Tells the schedule that mail of a flow waits for a site.
    pub fn wake(&self, site: SiteId, flow: Flow, due: Timestamp) {
        if let Some(intake) = self.0.intake.get() {
            intake.wake(site, flow, due);
        }
    }

    /// The body from memory or, verified, from the spool.
    pub async fn body(&self, claimed: &Claimed) -> Result<Bytes, QueueError> {
        if let Some(kept) = &claimed.body {
            return Ok(kept.bytes());
        }
        if claimed.delivery.message.body.is_recipe() {
            return Ok(Bytes::new());
        }
        let message = &claimed.delivery.message;
        match self.0.spool.read(message.body).await {
            Ok(body) => Ok(body),
            // It may have moved to another segment since the row was read.
            Err(error) => match self.0.store.message(message.id).await? {
                Some(now) if now.body != message.body => Ok(self.0.spool.read(now.body).await?),
                _ => Err(error.into()),
            },
        }
    }

    /// Outcomes are safe from kill -9 once this returns; `settle` takes them to the ledger.
    pub fn note(&self, records: &[Record]) -> Result<Ticket, QueueError> {
        Ok(self.0.outcomes.append(records)?)
    }

    pub async fn settle(&self, group: SettleGroup) -> Result<Vec<Settled>, QueueError> {
        Ok(self.0.store.settle(group).await?)
    }

    /// All records of one `note` are in the ledger.
    pub fn settled(&self, ticket: Ticket) {
        self.0.outcomes.settled(ticket);
    }

    /// Keeps what was said in an attempt.
    pub fn keep_dialogue(
        &self,
        at: Timestamp,
        lines: &[String],
    ) -> Result<DialogueRef, QueueError> {
        Ok(self.0.dialogues.append(at, lines)?)
    }

    /// None when it was removed for its age.
    pub async fn dialogue(&self, place: DialogueRef) -> Result<Option<Dialogue>, QueueError> {
        let queue = self.clone();
        let read =
            tokio::task::spawn_blocking(move || queue.0.dialogues.read(place, queue.0.clock.now()))
                .await;
        Ok(read.map_err(std::io::Error::other)??)
    }

    /// The outcomes that `open` returned are in the ledger.
    pub fn replayed(&self) -> Result<(), QueueError> {
        Ok(self.0.outcomes.replayed()?)
    }
}

/// A body on disk for which no row is committed yet; noted until it is dropped.
struct Uncommitted {
    queue: Queue,
    body: BodyRef,
}

impl Drop for Uncommitted {
    fn drop(&mut self) {
        let mut uncommitted = self.queue.0.uncommitted.lock();
        if let Some(count) = uncommitted.get_mut(&self.body.segment) {
            *count -= 1;
            if *count == 0 {
                uncommitted.remove(&self.body.segment);
            }
        }
    }
}

/// A message whose body is on disk; keep it until its rows are committed.
pub struct Prepared {
    pub job: Enqueue,
    _uncommitted: Uncommitted,
}
