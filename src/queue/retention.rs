//! Old mail goes, a little at a time.
//!
//! Owns:       when a message is old enough, by its organization's `keep_days`, or too much,
//!             by its `keep_bytes`.
//! Promises:   one part after another with a pause between rounds, so that no mail waits for it;
//!             what is owed stays however old it is.
//! Knows not:  rows.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::model::*;
use crate::store::{Aged, OrganizationRow, Store, StoreError};

const PAUSE: Duration = Duration::from_secs(60);
/// From the oldest on, after the end was reached: what was owed then may be over now.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);
const PART: u32 = 500;
/// Messages whose sizes are added up at a time.
const SIZES_PART: u32 = 20_000;
/// Of one round: at most 1.2 million messages an hour.
const PARTS_MAX: usize = 40;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Until `stop` turns true.
pub async fn run(store: Store, clock: Clock, mut stop: watch::Receiver<bool>) {
    let mut walk = Walk::from(clock.now());
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
    /// Octets that an organization has beyond what it keeps; None before they were added up.
    excess: Option<HashMap<OrganizationId, u64>>,
}

impl Walk {
    fn from(begins_at: Timestamp) -> Walk {
        Walk { after: MessageId(0), begins_at, excess: None }
    }

    /// Returns how many went.
    async fn round(&mut self, store: &Store, now: Timestamp) -> Result<usize, StoreError> {
        if now < self.begins_at {
            return Ok(0);
        }
        let rows = store.organizations().await?;
        let limit = |row: &OrganizationRow| Some((row.id, now - DAY.checked_mul(row.keep_days?)?));
        let limits: HashMap<OrganizationId, Timestamp> = rows.iter().filter_map(limit).collect();
        if self.excess.is_none() {
            self.excess = Some(excess(store, &rows).await?);
        }
        let mut excess = self.excess.take().unwrap_or_default();
        let newest = limits.values().max().copied();
        let mut forgotten = 0;
        for _ in 0..PARTS_MAX {
            if newest.is_none() && excess.is_empty() {
                *self = Walk::from(now + AGAIN_AFTER);
                return Ok(forgotten);
            }
            let part = store.messages_behind(self.after, PART).await?;
            let old: Vec<MessageId> = part
                .iter()
                .filter(|one| goes(one, &limits, &mut excess))
                .map(|one| one.message)
                .collect();
            forgotten += store.forget_messages(&old).await?;
            let is_far = |last: &Aged| {
                excess.is_empty() && newest.is_none_or(|newest| last.accepted_at >= newest)
            };
            match part.last().filter(|last| !is_far(last)) {
                Some(last) => self.after = last.message,
                None => {
                    *self = Walk::from(now + AGAIN_AFTER);
                    return Ok(forgotten);
                }
            }
        }
        self.excess = Some(excess);
        Ok(forgotten)
    }
}

/// By age, or because there is too much of its organization's; what is older goes first.
fn goes(
    one: &Aged,
    limits: &HashMap<OrganizationId, Timestamp>,
    excess: &mut HashMap<OrganizationId, u64>,
) -> bool {
    let is_old = limits.get(&one.organization).is_some_and(|limit| one.accepted_at < *limit);
    let Some(beyond) = excess.get_mut(&one.organization) else { return is_old };
    match beyond.checked_sub(one.bytes).filter(|left| *left > 0) {
        Some(left) => *beyond = left,
        None => drop(excess.remove(&one.organization)),
    }
    true
}

/// What each has beyond what it keeps, for those who keep less than all.
async fn excess(
    store: &Store,
    rows: &[OrganizationRow],
) -> Result<HashMap<OrganizationId, u64>, StoreError> {
    let kept: HashMap<OrganizationId, u64> =
        rows.iter().filter_map(|row| Some((row.id, row.keep_bytes?))).collect();
    let mut sizes: HashMap<OrganizationId, u64> = HashMap::new();
    let mut after = (!kept.is_empty()).then_some(MessageId(0));
    while let Some(from) = after {
        let (part, last) = store.sizes_behind(from, SIZES_PART).await?;
        for (organization, bytes) in part {
            *sizes.entry(organization).or_default() += bytes;
        }
        after = last;
    }
    let beyond = |(id, bytes): (OrganizationId, u64)| {
        let beyond = sizes.get(&id)?.checked_sub(bytes)?;
        (beyond > 0).then_some((id, beyond))
    };
    Ok(kept.into_iter().filter_map(beyond).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_goes_from_the_oldest_on_until_it_is_enough() {
        let one = |id: i64, bytes: u64| Aged {
            message: MessageId(id),
            organization: OrganizationId(1),
            accepted_at: Timestamp(id),
            bytes,
        };
        let mut excess = HashMap::from([(OrganizationId(1), 150)]);
        let limits = HashMap::new();
        let gone: Vec<bool> = (1..=4).map(|id| goes(&one(id, 100), &limits, &mut excess)).collect();
        assert_eq!(gone, [true, true, false, false]);
        let limits = HashMap::from([(OrganizationId(1), Timestamp(3))]);
        assert!(goes(&one(2, 100), &limits, &mut excess));
        assert!(!goes(&one(3, 100), &limits, &mut excess));
    }
}
