//! Old mail goes, a little at a time.
//!
//! Owns:       when a message is old enough, by its organization's `keep_days`.
//! Promises:   one part after another with a pause between rounds, so that no mail waits for it;
//!             what is owed stays however old it is.
//! Knows not:  rows.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::model::*;
use crate::store::{Store, StoreError};

const PAUSE: Duration = Duration::from_secs(60);
/// From the oldest on, after the end was reached: what was owed then may be over now.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);
const PART: u32 = 500;
/// Of one round: at most 1.2 million messages an hour.
const PARTS_MAX: usize = 40;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Until `stop` turns true.
pub async fn run(store: Store, clock: Clock, mut stop: watch::Receiver<bool>) {
    let mut walk = Walk { after: MessageId(0), begins_at: clock.now() };
    loop {
        tokio::select! {
            () = clock.sleep(PAUSE) => {}
            // An error says that the daemon is gone: then this ends too.
            _ = stop.wait_for(|stop| *stop) => return,
        }
        match walk.round(&store, clock.now()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "messages that were over and old were forgotten"),
            Err(error) => tracing::warn!(%error, "old messages could not be forgotten now"),
        }
    }
}

/// How far it has come.
struct Walk {
    after: MessageId,
    begins_at: Timestamp,
}

impl Walk {
    /// Returns how many went.
    async fn round(&mut self, store: &Store, now: Timestamp) -> Result<usize, StoreError> {
        if now < self.begins_at {
            return Ok(0);
        }
        let rows = store.organizations().await?;
        let limit = |row: crate::store::OrganizationRow| Some((row.id, now - DAY * row.keep_days?));
        let limits: HashMap<OrganizationId, Timestamp> =
            rows.into_iter().filter_map(limit).collect();
        let Some(newest) = limits.values().max().copied() else { return Ok(0) };
        let mut forgotten = 0;
        for _ in 0..PARTS_MAX {
            let part = store.messages_behind(self.after, PART).await?;
            let old = part.iter().filter(|one| {
                limits.get(&one.organization).is_some_and(|limit| one.accepted_at < *limit)
            });
            let old: Vec<MessageId> = old.map(|one| one.message).collect();
            forgotten += store.forget_messages(&old).await?;
            match part.last().filter(|last| last.accepted_at < newest) {
                Some(last) => self.after = last.message,
                None => {
                    *self = Walk { after: MessageId(0), begins_at: now + AGAIN_AFTER };
                    break;
                }
            }
        }
        Ok(forgotten)
    }
}
