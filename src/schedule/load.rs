//! From the ledger into memory: a site's due mail, as much as fits.
//!
//! Owns:       the order of reading: claim, then when the next is due.
//! Promises:   what a failing ledger leaves is looked at again within seconds.
//! Knows not:  lanes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;
use super::site::Site;
use crate::model::limits::READY_MAX;
use crate::model::{DeliveryId, Flow, StreamClass, TakeOrder, Timestamp};
use crate::queue::Claimed;
use crate::store::StoreError;

/// Before a ledger that did not answer, or memory that was full, is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Sites that are read at the same time. When a thousand are due at once and a limit stops them
/// all, the first have left memory before the last are read into it.
pub const LOADS_MAX: usize = 16;
/// Of the places in memory, those that marketing leaves to transactional mail.
const KEPT: usize = READY_MAX / 8;

/// With so many in memory nothing more of a class comes there.
pub fn is_full_for(class: StreamClass, held: usize) -> bool {
    let kept = if class == StreamClass::Marketing { KEPT } else { 0 };
    held >= READY_MAX - kept
}

/// Ends the load that a look at the site has begun.
pub async fn load(shared: Arc<Shared>, site: Arc<Site>) {
    // It is never closed; and a load that began without its turn would only take more memory.
    let turn = shared.loads.acquire().await.ok();
    let (room, taken, parks) = site.to_load();
    let held = shared.held.load(Ordering::Relaxed);
    let free = READY_MAX.saturating_sub(held);
    let is_full = is_full_for(StreamClass::Marketing, held);
    let room = room.min(if is_full { free } else { free - KEPT });
    let now = shared.clock.now();
    let again = Some(now + AGAIN_AFTER);
    let nothing = || Read { backlog: again, ..Read::default() };
    let read = if room == 0 {
        nothing()
    } else {
        let skip = |flow: &Flow| {
            parks.cover_flow(flow) || (is_full && flow.class() == StreamClass::Marketing)
        };
        match read(&shared, &site, (now, room), taken, &skip).await {
            // What was passed over for want of room may be due.
            Ok(read) if is_full => Read { backlog: read.backlog.min(again).or(again), ..read },
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
    (now, room): (Timestamp, usize),
    mut taken: Vec<DeliveryId>,
    skip: &(impl Fn(&Flow) -> bool + Sync),
) -> Result<Read, StoreError> {
    let store = shared.queue.store();
    let operator = shared.router.known_operator(site.id);
    let order = operator.map_or(TakeOrder::Due, |operator| shared.take_order(operator));
    let claims = store.claim(site.id, order, (now, room), &taken, skip).await?;
    let backlog = if claims.behind.is_empty() {
        taken.extend(claims.deliveries.iter().map(|row| row.id));
        store.next_due(site.id, &taken, skip).await?
    } else {
        Some(now)
    };
    let claimed = claims.deliveries.into_iter();
    let claimed = claimed.map(|delivery| Claimed { delivery, body: None }).collect();
    Ok(Read { claimed, backlog, behind: Some(claims.behind) })
}
