//! From answers to lessons, and the task that has the controller look at them.
//!
//! Owns:       which outcome teaches what.
//! Promises:   only what a host said is a lesson; failures of our own or of the network are none.
//! Knows not:  what follows from a lesson.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::adaptive::Facts;
use super::controller::Controller;
use super::governor::book::{self, Lesson};
use super::meaning::classified_in;
use super::route::Routed;
use super::site::Site;
use super::{Schedule, Shared};
use crate::model::*;
use crate::queue::Claimed;
use crate::queue::outcome_log::Record;

/// How long DNS may take to name an operator.
const OPERATOR_WAIT: Duration = Duration::from_secs(3);

/// Between two looks, in wall time: the answer of a host slows the next connection down.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Shared {
    /// Tells the controller what was answered; `source` by name.
    pub(super) fn learn(&self, site: &Site, claimed: &[Claimed], source: &str, records: &[Record]) {
        let Some(source) = self.sources.by_name_or_system(source) else { return };
        let operator = self.router.known_operator(site.id).unwrap_or(OperatorId::TAIL);
        for (one, record) in claimed.iter().zip(records) {
            self.windows.note(source, operator, &one.delivery, record);
            let Some(reply) = record.outcome.reply() else { continue };
            let message = &one.delivery.message;
            let accepted = matches!(record.outcome, Outcome::Delivered { .. });
            let sample = (!accepted).then(|| reply.to_string());
            let answer = if accepted {
                book::Answered::Accepted
            } else {
                let signal = classified_in(&record.fields).map_or(Signal::None, |told| told.signal);
                book::Answered::Refused { signal, for_good: reply.is_permanent() }
            };
            self.controller.note(&Lesson {
                source,
                operator,
                class: message.flow().class(),
                campaign: one.delivery.campaign,
                sending_domain: message.domain,
                answer,
                count: 1,
                sample: sample.as_deref(),
            });
        }
    }

    /// Open connections, by source and operator.
    pub(super) fn connection_facts(&self) -> HashMap<(SourceId, OperatorId), Facts> {
        let mut facts: HashMap<(SourceId, OperatorId), Facts> = HashMap::new();
        for site in &self.sites {
            let operator = self.router.known_operator(site.id).unwrap_or(OperatorId::TAIL);
            for (source, count) in site.sources() {
                let own = facts.entry((source, operator)).or_default();
                own.connections += u64::try_from(count).unwrap_or(u64::MAX);
            }
        }
        facts
    }
}

impl Schedule {
    pub fn controller(&self) -> &Controller {
        &self.0.controller
    }

    /// The name of who takes a domain's mail; None where DNS does not say it in time.
    pub async fn operator_of(&self, domain: &Domain) -> Option<String> {
        let routed = tokio::time::timeout(OPERATOR_WAIT, self.0.router.route(domain)).await;
        match routed.ok()?.ok()? {
            Routed::To { operator, .. } => Some(operator.as_str().to_owned()),
            Routed::Never(_) => None,
        }
    }
}

/// Until the end of the daemon: what was learnt becomes limits, and who waited for them asks again.
pub async fn run(shared: Arc<Shared>) {
    // What lasts is told once.
    let mut is_failing = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        shared.controller.set_facts(shared.connection_facts()).await;
        match shared.controller.look().await {
            Ok(()) => is_failing = false,
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(%error, "what was learnt cannot be written now; tried again");
            }
            Err(_) => {}
        }
        if shared.controller.has_opened() {
            shared.unpark_all();
        }
    }
}
