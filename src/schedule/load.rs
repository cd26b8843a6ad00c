//! From the ledger into memory: a site's due mail, as much as fits.
//!
//! Owns:       the order of reading: claim, then when the next is due.
//! Promises:   what a failing ledger leaves is looked at again within seconds.
//! Knows not:  lanes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;
use super::park::Parks;
use super::site::Site;
use crate::model::limits::READY_MAX;
use crate::model::{DeliveryId, Flow, TakeOrder, Timestamp};
use crate::queue::Claimed;
use crate::store::StoreError;

/// Before a ledger that did not answer, or memory that was full, is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Sites that are read at the same time. When a thousand are due at once and a limit stops them
/// all, the first have left memory before the last are read into it.
pub const LOADS_MAX: usize = 16;

/// Ends the load that a look at the site has begun.
pub async fn load(shared: Arc<Shared>, site: Arc<Site>) {
    // It is never closed; and a load that began without its turn would only take more memory.
    let turn = shared.loads.acquire().await.ok();
    let (room, taken, parks) = site.to_load();
    let free = READY_MAX.saturating_sub(shared.held.load(Ordering::Relaxed));
    let room = room.min(free);
    let now = shared.clock.now();
    let nothing = || Read { backlog: Some(now + AGAIN_AFTER), ..Read::default() };
    let read = if room == 0 {
        nothing()
    } else {
        match read(&shared, &site, now, room, taken, &parks).await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, site = %site.id, "waiting mail cannot be read now");
                nothing()
            }
        }
    };
    let leased = shared.queue.store().leases_claims();
    let count = read.claimed.len();
    shared.held.fetch_add(count, Ordering::Relaxed);
    let unused = site.loaded(read.claimed, read.backlog, read.behind, leased);
    if leased {
        shared.give_back(&site, &unused, now).await;
    } else {
        shared.held.fetch_sub(unused.len(), Ordering::Relaxed);
    }
    drop(turn);
    Shared::look(&shared, &site);
}

#[derive(Default)]
struct Read {
    claimed: Vec<Claimed>,
    /// When the earliest of the rest is due.
    backlog: Option<Timestamp>,
    /// Flows of which more is due; None when the ledger did not answer.
    behind: Option<Vec<Flow>>,
}

async fn read(
    shared: &Shared,
    site: &Site,
    now: Timestamp,
    room: usize,
    mut taken: Vec<DeliveryId>,
    parks: &Parks,
) -> Result<Read, StoreError> {
    let store = shared.queue.store();
    let skip = |flow: &Flow| parks.cover_flow(flow);
    let operator = shared.router.known_operator(site.id);
    let order = operator.map_or(TakeOrder::Due, |operator| shared.take_order(operator));
    let claims = store.claim(site.id, order, (now, room), &taken, &skip).await?;
    let backlog = if claims.behind.is_empty() {
        taken.extend(claims.deliveries.iter().map(|row| row.id));
        store.next_due(site.id, &taken, &skip).await?
    } else {
        Some(now)
    };
    let claimed = claims.deliveries.into_iter();
    let claimed = claimed.map(|delivery| Claimed { delivery, body: None }).collect();
    Ok(Read { claimed, backlog, behind: Some(claims.behind) })
}
