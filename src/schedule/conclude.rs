//! The end of an attempt: outcomes to their log, then what follows from them to the settler.
//!
//! Owns:       the order outcome log, report, settlement.
//! Promises:   an outcome is safe from kill -9 before anything else is done with it.
//! Knows not:  connections.

use std::sync::Arc;

use super::answered::Answered;
use super::report::Told;
use super::settler::{Lessons, Settlement};
use super::site::Site;
use super::verdict::{self, Rules};
use super::{PANICS_KEPT_MAX, Shared, suppressed};
use crate::classify::Answer;
use crate::model::*;
use crate::queue::outcome_log::Record;
use crate::queue::{Claimed, Prepared};
use crate::store::{AddressHash, ClaimedDelivery, NewSuppression, Settle, SoftBounce};

impl Shared {
    /// Hands a settlement to the settler; waits while too many are under way.
    pub(super) async fn settle(&self, settlement: Settlement) {
        let sender = self.settlements.lock().clone();
        let Some(sender) = sender else {
            tracing::warn!("an outcome came after the end; the outcome log keeps it");
            return;
        };
        if sender.send(settlement).await.is_err() {
            tracing::error!("the settler has ended; the outcome log keeps the outcome");
        }
    }

    /// The end of an attempt: outcomes to their log, then what follows from them.
    pub(super) async fn conclude(
        &self,
        site: &Arc<Site>,
        claimed: &[Claimed],
        answered: Answered<'_>,
    ) -> Settlement {
        let at = self.clock.now();
        let dialogue = self.keep_dialogue(&answered, at);
        let records: Vec<Record> = claimed
            .iter()
            .zip(&answered.outcomes)
            .map(|(one, outcome)| {
                let meaning = self.meaning(&answered.facts.host, outcome);
                let dialogue = dialogue.as_deref();
                let mut record = answered.record(&one.delivery, &meaning.outcome, dialogue, at);
                meaning.tell(&mut record);
                record
            })
            .collect();
        let ticket = match self.queue.note(&records) {
            Ok(ticket) => Some(ticket),
            Err(error) => {
                tracing::error!(%error, "no log takes the outcome: a crash now sends it again");
                None
            }
        };
        records.iter().for_each(|record| self.meters.attempted(&record.outcome));
        self.learn(site, claimed, &answered.facts.source, &records);
        let rules = Rules { retries: &self.options.retries, now: at, stretch: self.clock.dice() };
        let mut settles = Vec::with_capacity(claimed.len());
        let mut notices = Vec::new();
        for (one, record) in claimed.iter().zip(&records) {
            let (settle, notice) = verdict::verdict(&rules, &one.delivery, record);
            let told = |notice| Told {
                notice,
                claimed: one,
                outcome: &record.outcome,
                host: answered.facts.host.clone(),
                at,
            };
            notices.extend(notice.map(told));
            settles.push(settle);
        }
        let report = self.report_on(&notices).await;
        let pairs = claimed.iter().zip(&records);
        let lost = pairs.filter_map(|(one, record)| suppressed::lost(&one.delivery, record));
        let lost = lost.collect();
        let lessons = self.lessons(claimed, &records, lost);
        Settlement::new(site.clone(), claimed, settles, ticket, report).with_lessons(lessons)
    }

    /// What outcomes teach about addresses.
    fn lessons(
        &self,
        claimed: &[Claimed],
        records: &[Record],
        lost: Vec<NewSuppression>,
    ) -> Lessons {
        let rule = self.options.soft_bounces;
        let pairs = || claimed.iter().zip(records);
        let soft =
            pairs().filter_map(|(one, record)| suppressed::soft(&one.delivery, record, rule));
        let soft = soft.collect();
        // Most installations have no such address for most of the time.
        let counts = self.queue.store().has_soft_bounces();
        let taken = pairs()
            .filter(|(_, record)| counts && matches!(record.outcome, Outcome::Delivered { .. }));
        let taken = taken.map(|(one, _)| {
            let delivery = &one.delivery;
            (delivery.message.organization, AddressHash::of(&delivery.recipient.address))
        });
        Lessons { lost, soft, taken: taken.collect() }
    }

    /// Most attempts have nothing to report, and their lanes are not to be larger for it.
    pub(super) async fn report_on(&self, notices: &[Told<'_>]) -> Option<Prepared> {
        if notices.is_empty() {
            return None;
        }
        Box::pin(self.report(notices)).await
    }

    /// The dialogue of an attempt that did not succeed, kept; its place.
    fn keep_dialogue(&self, answered: &Answered<'_>, at: Timestamp) -> Option<String> {
        let succeeded = |outcome: &Outcome| matches!(outcome, Outcome::Delivered { .. });
        if answered.dialogue.is_empty() || answered.outcomes.iter().all(succeeded) {
            return None;
        }
        match self.queue.keep_dialogue(at, &answered.dialogue) {
            Ok(place) => Some(place.to_string()),
            Err(error) => {
                tracing::warn!(%error, "a dialogue cannot be kept");
                None
            }
        }
    }

    /// The end of trying for what was not delivered in time.
    pub(super) async fn expire(&self, site: &Arc<Site>, claimed: &[Claimed]) -> Settlement {
        let (settles, report) = self.expiry_of(claimed, verdict::EXPIRED).await;
        let soft = claimed.iter().filter_map(|one| self.soft_at_last(&one.delivery)).collect();
        let lessons = Lessons { soft, ..Lessons::default() };
        Settlement::new(site.clone(), claimed, settles, None, report).with_lessons(lessons)
    }

    /// A mailbox that was full, or the like, until the time of its mail was over.
    fn soft_at_last(&self, delivery: &ClaimedDelivery) -> Option<(OrganizationId, SoftBounce)> {
        let (rule, at) = (self.options.soft_bounces, self.clock.now());
        let reply = Reply::read(&delivery.last_text)?;
        let told = self.classifier.load().classify(None, &Answer::read(&delivery.last_text));
        suppressed::soft_by(delivery, &reply, &told, (rule, at))
    }

    /// The end of deliveries of one message, and the report on it.
    pub(super) async fn expiry_of(
        &self,
        claimed: &[Claimed],
        why: &str,
    ) -> (Vec<Settle>, Option<Prepared>) {
        let now = self.clock.now();
        let mut settles = Vec::with_capacity(claimed.len());
        let mut notices = Vec::new();
        let outcomes: Vec<Outcome> =
            claimed.iter().map(|one| verdict::outcome_of_expiry(&one.delivery, why)).collect();
        for (one, outcome) in claimed.iter().zip(&outcomes) {
            let (settle, notice) = verdict::expiry(&one.delivery, why, now);
            let host = String::new();
            let told = |notice| Told { notice, claimed: one, outcome, host, at: now };
            notices.extend(notice.map(told));
            settles.push(settle);
        }
        let report = self.report_on(&notices).await;
        (settles, report)
    }

    /// How many attempts of a message have ended in a fault of our own.
    pub(super) fn count_panic(&self, message: MessageId) -> u32 {
        let mut panics = self.panics.lock();
        if panics.len() >= PANICS_KEPT_MAX {
            panics.clear();
        }
        let count = panics.entry(message).or_default();
        *count += 1;
        *count
    }
}
