//! Who opened and clicked what is forgotten after the days that an organization says.
//!
//! Owns:       the task that looks every hour.
//! Promises:   some hundred rows at a time; what is not counted yet stays.
//! Knows not:  rows, reports.

use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::model::*;
use crate::store::{Store, StoreError};

const PAUSE: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const PART: u32 = 500;
/// Of one organization in one hour.
const PARTS_MAX: usize = 2000;

/// Until `stop` turns true.
pub async fn run(store: Store, clock: Clock, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = clock.sleep(PAUSE) => {}
            // An error says that the daemon is gone: then this ends too.
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = look(&store, clock.now()).await {
            tracing::warn!(%error, "old readers could not be forgotten now");
        }
    }
}

async fn look(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    for (organization, days) in store.tracking_limits().await? {
        let before = now - DAY.saturating_mul(days);
        let mut after = EventId(0);
        for _ in 0..PARTS_MAX {
            match store.forget_readings(organization, after, before, PART).await? {
                Some(last) => after = last,
                None => break,
            }
        }
        let readers = store.forget_readers(organization, before).await?;
        if readers > 0 || after.0 > 0 {
            tracing::info!(%organization, readers, "who has opened and clicked was forgotten");
        }
    }
    Ok(())
}
