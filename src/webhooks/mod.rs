//! Events are told to customers' servers.
//!
//! Owns:       turning events into calls, making them, trying them again.
//! Promises:   each event that an endpoint chose is told at least once within 72 hours while the
//!             endpoint answers, also after a crash; one endpoint that fails delays no other.
//! Knows not:  what an event means, who may see an endpoint.

mod caller;
mod feed;
mod payload;
pub mod postal;
mod postal_key;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::fetch::Fetcher;
use crate::model::*;
use crate::store::{CallRow, NewCall, Store, StoreError, WebhookChange, WebhookRow};

pub use crate::fetch::sign::secret_of;
pub use feed::EVENTS_PER_CALL_MAX;
pub use payload::{Facts, told};
pub use postal_key::{PostalKeyError, PostalKeys};

/// Of one organization.
pub const WEBHOOKS_MAX: usize = 50;
/// How long the secret before signs beside a new one.
pub const SECRET_OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// Events of one replay.
pub const REPLAY_EVENTS_MAX: usize = 100_000;
/// How often the event table is read when nothing told of an event.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// Events read in one go.
const EVENTS_MAX: u32 = 1000;
/// Calls under way, of all endpoints and of one.
const CALLS_MAX: usize = 64;
const CALLS_PER_WEBHOOK_MAX: usize = 4;
/// Ended calls are kept so long.
const KEPT_FOR: Duration = Duration::from_secs(10 * 24 * 3600);
const FORGET_EVERY: Duration = Duration::from_secs(60);
const FORGET_ROWS_MAX: u32 = 500;
/// Attempts under way at a stop may end within this.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// A cheap handle.
#[derive(Clone)]
pub struct Webhooks(Arc<Shared>);

struct Shared {
    store: Store,
    fetcher: Fetcher,
    postal_keys: PostalKeys,
    clock: Clock,
    wake: Notify,
    /// Endpoints were changed: read them anew.
    is_stale: AtomicBool,
    seats: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    webhooks: Arc<Vec<WebhookRow>>,
    under_way: HashMap<WebhookId, HashSet<WebhookCallId>>,
    /// When an endpoint's calls are to be looked at; an endpoint without calls is not there.
    look_at: HashMap<WebhookId, Timestamp>,
}

impl Webhooks {
    /// Begins to tell; the task serves everybody and ends once `stopped` says so.
    pub fn start(
        store: Store,
        fetcher: Fetcher,
        postal_keys: PostalKeys,
        clock: Clock,
        stopped: watch::Receiver<bool>,
    ) -> (Webhooks, JoinHandle<()>) {
        let shared = Arc::new(Shared {
            store,
            fetcher,
            postal_keys,
            clock,
            wake: Notify::new(),
            is_stale: AtomicBool::new(true),
            seats: Arc::new(Semaphore::new(CALLS_MAX)),
            state: Mutex::default(),
        });
        let task = tokio::spawn(run(shared.clone(), stopped));
        (Webhooks(shared), task)
    }

    /// Endpoints or calls were changed by a person.
    pub fn changed(&self) {
        self.0.is_stale.store(true, Ordering::Relaxed);
        self.0.wake.notify_one();
    }

    /// What verifies calls in Postal's format, as a key set.
    pub async fn postal_keys(&self) -> Result<serde_json::Value, PostalKeyError> {
        Ok(self.0.postal_keys.key().await?.set())
    }

    /// Makes a call without events; its end stands in the log of calls. Through `store`, so that
    /// it stands in the audit log.
    pub async fn test(
        &self,
        store: &Store,
        webhook: &WebhookRow,
    ) -> Result<WebhookCallId, StoreError> {
        let call =
            NewCall { webhook: webhook.id, organization: webhook.organization, events: Vec::new() };
        let change =
            WebhookChange::Calls { calls: vec![call], read_to: None, at: self.0.clock.now() };
        let id = store.change_webhook(change).await?;
        self.changed();
        Ok(WebhookCallId(id))
    }

    /// Tells once more what happened from `from` until before `to`; the answer is the number of
    /// events and whether there were more than may be told at once. Through `store`, as `test`.
    pub async fn replay(
        &self,
        store: &Store,
        webhook: &WebhookRow,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<(usize, bool), StoreError> {
        let mut after = EventId(store.first_event_at(from).await?.0 - 1);
        let mut told = 0;
        loop {
            let (events, last) = store.events_after(after, EVENTS_MAX).await?;
            let within: Vec<_> = events.iter().filter(|event| event.at < to).cloned().collect();
            let calls = feed::calls_of(&within, webhook);
            told += calls.iter().map(|call| call.events.len()).sum::<usize>();
            if !calls.is_empty() {
                let at = self.0.clock.now();
                let change = WebhookChange::Calls { calls, read_to: None, at };
                store.change_webhook(change).await?;
            }
            let is_end = last == after || events.last().is_some_and(|event| event.at >= to);
            if is_end || told >= REPLAY_EVENTS_MAX {
                self.changed();
                return Ok((told, !is_end));
            }
            after = last;
        }
    }
}

async fn run(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut forget_at = shared.clock.now();
    while !*stopped.borrow() {
        let is_more = match shared.round(&mut forget_at).await {
            Ok(is_more) => is_more,
            Err(error) => {
                tracing::warn!(%error, "webhooks wait for the ledger; tried again in a second");
                false
            }
        };
        if !is_more {
            // Losing a wake-up costs a poll, nothing else.
            tokio::select! {
                () = shared.wake.notified() => {}
                () = tokio::time::sleep(POLL_EVERY) => {}
                // An error says that the daemon is gone: then the loop ends too.
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
    }
    let seats = u32::try_from(CALLS_MAX).unwrap_or(u32::MAX);
    if tokio::time::timeout(STOP_WAIT, shared.seats.acquire_many(seats)).await.is_err() {
        tracing::warn!("calls to webhooks were cut off; they are made again");
    }
}

impl Shared {
    /// Reads endpoints, events and due calls; true when there is more to read at once.
    async fn round(self: &Arc<Shared>, forget_at: &mut Timestamp) -> Result<bool, StoreError> {
        if self.is_stale.swap(false, Ordering::Relaxed) {
            self.reread().await.inspect_err(|_| self.is_stale.store(true, Ordering::Relaxed))?;
        }
        let is_more = self.read_events().await?;
        self.begin_calls().await?;
        let now = self.clock.now();
        if now >= *forget_at {
            *forget_at = now + FORGET_EVERY;
            let change = WebhookChange::Forget { before: now - KEPT_FOR, limit: FORGET_ROWS_MAX };
            self.store.change_webhook(change).await?;
        }
        Ok(is_more)
    }

    async fn reread(&self) -> Result<(), StoreError> {
        let webhooks = self.store.webhooks().await?;
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.look_at = webhooks.iter().map(|webhook| (webhook.id, now)).collect();
        state.webhooks = Arc::new(webhooks);
        Ok(())
    }

    /// Turns the next events into calls. Without endpoints only the mark moves.
    async fn read_events(&self) -> Result<bool, StoreError> {
        let webhooks = self.state.lock().webhooks.clone();
        let at = self.store.webhook_feed().await?;
        if webhooks.is_empty() {
            let newest = self.store.last_event().await?;
            if newest > at {
                self.make_calls(Vec::new(), newest).await?;
            }
            return Ok(false);
        }
        let (events, last) = self.store.events_after(at, EVENTS_MAX).await?;
        if last == at {
            return Ok(false);
        }
        let calls = feed::calls_for(&events, &webhooks);
        self.make_calls(calls, last).await?;
        Ok(events.len() >= usize::try_from(EVENTS_MAX).unwrap_or(usize::MAX))
    }

    async fn make_calls(&self, calls: Vec<NewCall>, read_to: EventId) -> Result<(), StoreError> {
        let now = self.clock.now();
        let told: HashSet<WebhookId> = calls.iter().map(|call| call.webhook).collect();
        let change = WebhookChange::Calls { calls, read_to: Some(read_to), at: now };
        self.store.change_webhook(change).await?;
        let mut state = self.state.lock();
        state.look_at.extend(told.into_iter().map(|webhook| (webhook, now)));
        Ok(())
    }

    /// Begins what is due, of each endpoint a few.
    async fn begin_calls(self: &Arc<Shared>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let due: Vec<WebhookRow> = {
            let state = self.state.lock();
            let is_due = |one: &&WebhookRow| {
                one.enabled && state.look_at.get(&one.id).is_some_and(|at| *at <= now)
            };
            state.webhooks.iter().filter(is_due).cloned().collect()
        };
        for webhook in due {
            let limit = u32::try_from(2 * CALLS_PER_WEBHOOK_MAX).unwrap_or(u32::MAX);
            let waiting = self.store.calls_waiting(webhook.id, limit).await?;
            for call in self.take(&webhook, waiting, now) {
                let Ok(seat) = self.seats.clone().try_acquire_owned() else {
                    self.leave(call.webhook, call.id, now);
                    continue;
                };
                tokio::spawn(caller::call(self.clone(), webhook.clone(), call, seat));
            }
        }
        Ok(())
    }

    /// Which of the waiting calls begin now; notes when the endpoint is to be looked at again.
    fn take(&self, webhook: &WebhookRow, waiting: Vec<CallRow>, now: Timestamp) -> Vec<CallRow> {
        let mut state = self.state.lock();
        let under_way = state.under_way.entry(webhook.id).or_default();
        // One call finds out whether an endpoint that fails is back.
        let at_once = if webhook.failing_since.is_some() { 1 } else { CALLS_PER_WEBHOOK_MAX };
        let mut taken = Vec::new();
        let mut look_at = None;
        for call in waiting {
            if under_way.contains(&call.id) {
                continue;
            }
            if call.due_at > now || under_way.len() >= at_once {
                look_at.get_or_insert(call.due_at.max(now + POLL_EVERY));
                break;
            }
            under_way.insert(call.id);
            taken.push(call);
        }
        match look_at {
            Some(at) => state.look_at.insert(webhook.id, at),
            // The end of a call looks again.
            None => state.look_at.remove(&webhook.id),
        };
        taken
    }

    /// A call is no longer under way; its endpoint is looked at from `look_at` on.
    fn leave(&self, webhook: WebhookId, call: WebhookCallId, look_at: Timestamp) {
        let mut state = self.state.lock();
        if let Some(under_way) = state.under_way.get_mut(&webhook) {
            under_way.remove(&call);
            if under_way.is_empty() {
                state.under_way.remove(&webhook);
            }
        }
        state.look_at.insert(webhook, look_at);
        drop(state);
        self.wake.notify_one();
    }
}
