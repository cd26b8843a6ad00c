//! Outcomes that an earlier life had logged and not settled: settled before anything is sent.
//!
//! Owns:       what happens at start between opening the outcome log and the first attempt.
//! Promises:   an outcome is applied once: a row whose tries have moved on is left alone.
//! Knows not:  lanes.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::report::Told;
use super::verdict::{self, Rules};
use super::{Shared, settler, suppressed};
use crate::model::*;
use crate::queue::outcome_log::Record;
use crate::queue::{Claimed, QueueError};
use crate::store::SettleGroup;

const CHUNK: usize = 500;

pub async fn replay(shared: &Arc<Shared>, records: Vec<Record>) -> Result<(), QueueError> {
    let (mut applied, mut refused) = (0, 0);
    for chunk in records.chunks(CHUNK) {
        for (delivery, settled) in settle_chunk(shared, chunk).await? {
            match settled {
                Ok(()) => applied += 1,
                Err(error) if error.is_transient() => return Err(error),
                // One damaged row must not keep the daemon from starting.
                Err(error) => {
                    refused += 1;
                    leave_out(shared, delivery, &error);
                }
            }
        }
    }
    if !records.is_empty() {
        tracing::info!(records = records.len(), applied, "outcomes of an earlier run are settled");
    }
    // What was refused is asked for again at the next start.
    if refused > 0 { Ok(()) } else { shared.queue.replayed() }
}

/// All at once, so that the ledger takes them in one transaction: one by one each would wait for a
/// commit of its own, and a start after a kill under load for thousands of them.
async fn settle_chunk(
    shared: &Arc<Shared>,
    chunk: &[Record],
) -> Result<Vec<(DeliveryId, Result<(), QueueError>)>, QueueError> {
    let ids: Vec<DeliveryId> = chunk.iter().map(|record| record.delivery).collect();
    let rows = shared.queue.store().deliveries_by_id(&ids).await?;
    let rows: HashMap<DeliveryId, (State, Claimed)> = rows
        .into_iter()
        .map(|(state, row)| (row.id, (state, Claimed { delivery: row, body: None })))
        .collect();
    let mut settling = JoinSet::new();
    for record in chunk {
        let Some((state, claimed)) = rows.get(&record.delivery) else { continue };
        if claimed.delivery.tries == record.tries && !is_settled(*state) {
            let (shared, claimed, record) = (shared.clone(), claimed.clone(), record.clone());
            settling
                .spawn(async move { (record.delivery, settle(&shared, &claimed, &record).await) });
        }
    }
    // A panic in one of them goes on in here.
    Ok(settling.join_all().await)
}

/// The mail is out and the ledger cannot be told: it must not be sent again.
fn leave_out(shared: &Shared, delivery: DeliveryId, error: &QueueError) {
    tracing::error!(%delivery, %error, "the ledger refuses the outcome of an earlier run; the \
        delivery is left alone: run postroad check");
    shared.queue.store().leave_out(delivery);
}

/// A late answer still counts for a row that a person has cancelled or time has expired.
const fn is_settled(state: State) -> bool {
    matches!(state, State::Delivered | State::Failed | State::Suppressed)
}

async fn settle(
    shared: &Arc<Shared>,
    claimed: &Claimed,
    record: &Record,
) -> Result<(), QueueError> {
    let now = shared.clock.now();
    let rules = Rules { retries: &shared.options.retries, now, stretch: shared.clock.dice() };
    let (settle, notice) = verdict::verdict(&rules, &claimed.delivery, record);
    let host = record.fields.get("host").and_then(|host| host.as_str()).unwrap_or_default();
    let told = notice.map(|notice| Told {
        notice,
        claimed,
        outcome: &record.outcome,
        host: host.to_owned(),
        at: record.at,
    });
    let report = shared.report(told.as_slice()).await;
    let lost = suppressed::lost(&claimed.delivery, record);
    settler::suppress(shared, lost.into_iter().collect()).await;
    let group = SettleGroup {
        settlements: vec![settle],
        report: report.as_ref().map(|report| Box::new(report.job.clone())),
    };
    shared.queue.settle(group).await?;
    Ok(())
}
