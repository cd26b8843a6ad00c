//! From outcomes to rows: many at once, in a task of its own, so that no lane waits for a commit.
//!
//! Owns:       the channel of settlements and the order in which they reach the ledger.
//! Promises:   a settlement is tried until the ledger takes it or refuses it for good; only then
//!             its deliveries leave memory and its record leaves the outcome log.
//! Knows not:  what an outcome means.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Shared;
use super::custody::Claim;
use super::site::Site;
use crate::model::*;
use crate::queue::outcome_log::Ticket;
use crate::queue::{Claimed, Prepared, QueueError};
use crate::store::{
    AddressHash, NewSuppression, SUPPRESSIONS_PER_CHANGE_MAX, Settle, SettleGroup, Settled,
    SoftBounce,
};

/// Settlements under way; a lane that finds no place waits, so a dead ledger stops delivery.
pub const SETTLEMENTS_MAX: usize = 4096;
/// Rows of one transaction: it stays under 10 ms.
const ROWS_MAX: usize = 512;
/// How long outcomes of campaigns wait for company. Nobody is told of them by a mail, the outcome
/// log has them, and rows that were fed together lie on the same pages.
const COMPANY_WAIT: Duration = Duration::from_millis(200);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What one transaction, or one decision without an attempt, leaves to be written.
pub struct Settlement {
    site: Arc<Site>,
    settles: Vec<Settle>,
    claims: Vec<Claim>,
    /// When the earliest of those that wait again is due.
    waits_until: Option<Timestamp>,
    ticket: Option<Ticket>,
    report: Option<Prepared>,
    is_of_campaign: bool,
    lessons: Lessons,
}

/// What outcomes teach about addresses.
#[derive(Default)]
pub struct Lessons {
    /// Hosts called them lost.
    pub lost: Vec<NewSuppression>,
    /// They did not take a mail.
    pub soft: Vec<(OrganizationId, SoftBounce)>,
    /// They took one, while some address has soft bounces.
    pub taken: Vec<(OrganizationId, AddressHash)>,
}

impl Settlement {
    /// One of `settles` for each of `claimed`, whose rows stand at `site` from then on. `ticket`:
    /// where the outcome log holds it. `report`: enqueued in the same transaction.
    pub fn new(
        site: Arc<Site>,
        claimed: &[Claimed],
        mut settles: Vec<Settle>,
        ticket: Option<Ticket>,
        report: Option<Prepared>,
    ) -> Settlement {
        let claims = claimed.iter().map(Claim::of).collect();
        settles.iter_mut().for_each(|settle| settle.site = Some(site.id));
        let again = settles.iter().filter(|one| matches!(one.step, Step::Defer | Step::LoseLease));
        let waits_until = again.map(|settle| settle.due).min();
        let is_of_campaign = claimed.iter().all(|one| one.delivery.campaign.is_some());
        let lessons = Lessons::default();
        Settlement { site, settles, claims, waits_until, ticket, report, is_of_campaign, lessons }
    }

    fn is_of_campaign(&self) -> bool {
        self.is_of_campaign && self.report.is_none()
    }

    /// Entries and counts that follow from its outcomes.
    pub fn with_lessons(self, lessons: Lessons) -> Settlement {
        Settlement { lessons, ..self }
    }
}

/// Runs until all senders are gone, then returns: everything handed in is settled.
pub async fn run(shared: Arc<Shared>, mut settlements: mpsc::Receiver<Settlement>) {
    let mut pending = Vec::new();
    while settlements.recv_many(&mut pending, ROWS_MAX).await > 0 {
        gather(&mut pending, &mut settlements).await;
        let (plain, reports): (Vec<_>, Vec<_>) =
            pending.drain(..).partition(|settlement: &Settlement| settlement.report.is_none());
        if !plain.is_empty() {
            settle(&shared, plain).await;
        }
        // One transaction holds one report with what it reports on.
        for report in reports {
            settle(&shared, vec![report]).await;
        }
    }
}

/// Waits for more while all are of campaigns.
async fn gather(pending: &mut Vec<Settlement>, more: &mut mpsc::Receiver<Settlement>) {
    let mut wait = std::pin::pin!(tokio::time::sleep(COMPANY_WAIT));
    let mut looked_at = 0;
    while pending[looked_at..].iter().all(Settlement::is_of_campaign) && pending.len() < ROWS_MAX {
        looked_at = pending.len();
        tokio::select! {
            () = &mut wait => return,
            count = more.recv_many(pending, ROWS_MAX - looked_at) => if count == 0 { return },
        }
    }
}

/// In one transaction; when the ledger refuses it, halves are tried until the culprit stands alone.
async fn settle(shared: &Arc<Shared>, mut settlements: Vec<Settlement>) {
    let mut all = Lessons::default();
    for settlement in &mut settlements {
        let Lessons { lost, soft, taken } = std::mem::take(&mut settlement.lessons);
        all.lost.extend(lost);
        all.soft.extend(soft);
        all.taken.extend(taken);
    }
    suppress(shared, all.lost).await;
    count_softly(shared, all.soft, all.taken).await;
    let mut parts = vec![settlements];
    while let Some(mut part) = parts.pop() {
        let mut group = group_of(&mut part);
        match commit(shared, &group).await {
            Ok(settled) => {
                count(shared, &group.settlements, &settled);
                part.into_iter().for_each(|settlement| finish(shared, settlement));
            }
            Err(error) if part.len() > 1 && !error.is_transient() => {
                for settlement in &mut part {
                    let own = settlement.claims.len();
                    settlement.settles = group.settlements.drain(..own).collect();
                }
                let second = part.split_off(part.len() / 2);
                parts.extend([second, part]);
            }
            Err(error) => {
                // Never sent again by this life: the row may be wrong, but the mail is out.
                tracing::error!(%error, count = group.settlements.len(),
                    "the ledger refuses outcomes; the outcome log keeps them: run postroad check");
            }
        }
    }
}

/// Before the outcomes that they follow from: after a crash in between the outcome log brings both
/// again, and the same entry twice is one.
pub(super) async fn suppress(shared: &Shared, mut lost: Vec<NewSuppression>) {
    while !lost.is_empty() {
        let rest = lost.split_off(lost.len().min(SUPPRESSIONS_PER_CHANGE_MAX));
        suppress_some(shared, lost).await;
        lost = rest;
    }
}

/// A count that a database's trouble swallows is no more than one bounce or delivery less.
async fn count_softly(
    shared: &Shared,
    soft: Vec<(OrganizationId, SoftBounce)>,
    taken: Vec<(OrganizationId, AddressHash)>,
) {
    let store = shared.queue.store();
    if !taken.is_empty()
        && let Err(error) = store.was_delivered(taken).await
    {
        tracing::warn!(%error, "deliveries to addresses with soft bounces were not counted");
    }
    if !soft.is_empty()
        && let Err(error) = store.soft_bounced(soft).await
    {
        tracing::warn!(%error, "soft bounces were not counted");
    }
}

async fn suppress_some(shared: &Shared, lost: Vec<NewSuppression>) {
    let mut pause = PAUSE_FIRST;
    loop {
        match shared.queue.store().suppress(lost.clone()).await {
            Err(error) if error.is_transient() && !shared.is_cut() => {
                tracing::warn!(%error, "suppressions cannot be written now; tried again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            Err(error) => {
                tracing::error!(%error, "addresses that hosts called lost were not suppressed");
                return;
            }
            Ok(_) => return,
        }
    }
}

fn group_of(settlements: &mut [Settlement]) -> SettleGroup {
    let mut group = SettleGroup::default();
    for settlement in settlements {
        let report = settlement.report.as_ref().map(|report| Box::new(report.job.clone()));
        group.report = report.or(group.report);
        group.settlements.append(&mut settlement.settles);
    }
    group
}

/// It is in the ledger.
fn finish(shared: &Arc<Shared>, settlement: Settlement) {
    shared.leave(&settlement.site, &settlement.claims, settlement.waits_until);
    if let Some(ticket) = settlement.ticket {
        shared.queue.settled(ticket);
    }
    if let Some(report) = &settlement.report {
        for delivery in &report.job.deliveries {
            let message = &report.job.message;
            shared.queue.wake(delivery.site, message.flow(), message.due_at);
        }
    }
}

/// Until the ledger answers; what it refuses for good is returned.
async fn commit(shared: &Shared, group: &SettleGroup) -> Result<Vec<Settled>, QueueError> {
    let mut pause = PAUSE_FIRST;
    loop {
        match shared.queue.settle(group.clone()).await {
            Err(error) if error.is_transient() && !shared.is_cut() => {
                tracing::warn!(%error, "outcomes cannot be written now; tried again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            answer => return answer,
        }
    }
}

fn count(shared: &Shared, settles: &[Settle], settled: &[Settled]) {
    for (settle, settled) in settles.iter().zip(settled) {
        match settled {
            Settled::Moved(_) if settle.step == Step::LoseLease => {}
            Settled::Moved(_) => shared.meters.stepped(settle.step),
            Settled::Stale => tracing::debug!(delivery = %settle.delivery, step = %settle.step,
                "the row had moved on already"),
        }
    }
}
