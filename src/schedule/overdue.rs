//! What a person holds does not wait for ever: at its end it expires like all other mail.
//!
//! Owns:       the end of held deliveries.
//! Promises:   their sender is told; one look costs by what has ended, not by what is held.
//! Knows not:  why they were held.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Shared, verdict};
use crate::model::MessageId;
use crate::queue::{Claimed, QueueError};
use crate::store::SettleGroup;

/// Of one look; the rest is the next one's.
const EXPIRED_MAX: usize = 500;

/// Returns how many have ended.
pub async fn expire_held(shared: &Arc<Shared>) -> Result<usize, QueueError> {
    let held = shared.queue.store().held_past(shared.clock.now(), EXPIRED_MAX).await?;
    let count = held.len();
    // One settlement a message: a report tells of one message.
    let mut messages: BTreeMap<MessageId, Vec<Claimed>> = BTreeMap::new();
    for delivery in held {
        let own = messages.entry(delivery.message.id).or_default();
        own.push(Claimed { delivery, body: None });
    }
    for claimed in messages.into_values() {
        let (settlements, report) = shared.expiry_of(&claimed, verdict::EXPIRED_HELD).await;
        let job = report.as_ref().map(|report| Box::new(report.job.clone()));
        shared.queue.settle(SettleGroup { settlements, report: job }).await?;
        if let Some(report) = &report {
            for delivery in &report.job.deliveries {
                let message = &report.job.message;
                shared.queue.wake(delivery.site, message.flow(), message.due_at);
            }
        }
    }
    Ok(count)
}
