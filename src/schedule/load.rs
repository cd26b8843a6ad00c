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
use crate::model::{DeliveryId, Timestamp};
use crate::queue::Claimed;
use crate::store::StoreError;

/// Before a ledger that did not answer, or memory that was full, is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Ends the load that a look at the site has begun.
pub async fn load(shared: Arc<Shared>, site: Arc<Site>) {
    let (room, taken) = site.to_load();
    let free = READY_MAX.saturating_sub(shared.held.load(Ordering::Relaxed));
    let room = room.min(free);
    let now = shared.clock.now();
    let (claimed, backlog) = if room == 0 {
        (Vec::new(), Some(now + AGAIN_AFTER))
    } else {
        match read(&shared, &site, now, room, taken).await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, site = %site.id, "waiting mail cannot be read now");
                (Vec::new(), Some(now + AGAIN_AFTER))
            }
        }
    };
    let leased = shared.queue.store().leases_claims();
    let count = claimed.len();
    shared.held.fetch_add(count, Ordering::Relaxed);
    let unused = site.loaded(claimed, backlog, leased);
    if leased {
        shared.give_back(&site, &unused, now).await;
    } else {
        shared.held.fetch_sub(unused.len(), Ordering::Relaxed);
    }
    Shared::look(&shared, &site);
}

type Read = (Vec<Claimed>, Option<Timestamp>);

async fn read(
    shared: &Shared,
    site: &Site,
    now: Timestamp,
    room: usize,
    mut taken: Vec<DeliveryId>,
) -> Result<Read, StoreError> {
    let store = shared.queue.store();
    let rows = store.claim(site.id, now, room, &taken).await?;
    // A full load leaves more; a short one has read all that is due.
    let backlog = if rows.len() >= room {
        Some(now)
    } else {
        taken.extend(rows.iter().map(|row| row.id));
        store.next_due(site.id, &taken).await?
    };
    let claimed = rows.into_iter().map(|delivery| Claimed { delivery, body: None }).collect();
    Ok((claimed, backlog))
}
