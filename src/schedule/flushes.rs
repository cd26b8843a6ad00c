//! What is written down now and then: counts of long windows, news of send limits.
//!
//! Owns:       how often.
//! Promises:   what cannot be written is written a little later.
//! Knows not:  what is counted.

use std::sync::Arc;
use std::time::Duration;

use super::{Shared, quotas};

const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Flushes of budgets from one tidying to the next.
const TIDY_AFTER: u64 = 600;
/// Flushes from one look at send limits to the next.
const QUOTAS_AFTER: u64 = 2;

/// The ledger hears of budgets within a second; old counts and rows that are over go.
pub async fn run(shared: Arc<Shared>) {
    let mut seconds: u64 = 0;
    let mut quotas = quotas::Quotas::default();
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        seconds += 1;
        let mut done = shared.budgets.flush().await;
        if seconds.is_multiple_of(QUOTAS_AFTER) {
            shared.watch_quotas(&mut quotas).await;
        }
        if seconds.is_multiple_of(TIDY_AFTER) {
            let now = shared.clock.now();
            shared.limits.sweep(now);
            done = done.and(shared.budgets.forget_old(now).await);
        }
        if let Err(error) = done {
            tracing::warn!(%error, "budgets are written again in a second");
        }
    }
}
