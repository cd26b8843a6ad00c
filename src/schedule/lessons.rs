//! From answers, bounces and complaints to lessons, and the task that has them looked at.
//!
//! Owns:       which outcome teaches what.
//! Promises:   only what a host said is a lesson; failures of our own or of the network are none.
//! Knows not:  what follows from a lesson.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::adaptive::Facts;
use super::controller::Controller;
use super::governor::book::{self, Complained, Lesson};
use super::meaning::classified_in;
use super::put_off::Changed;
use super::route::Routed;
use super::site::Site;
use super::{Schedule, Shared};
use crate::model::*;
use crate::queue::Claimed;
use crate::queue::outcome_log::Record;
use crate::store::{LateBounce, StoreError};

/// How long DNS may take to name an operator.
const OPERATOR_WAIT: Duration = Duration::from_secs(3);

/// Between two looks, in wall time: the answer of a host slows the next connection down.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks from one reading of complaints and bounces to the next: they come long after the mail.
const HEAR_EVERY: u32 = 20;

/// The last events that were learnt from.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    complaint: EventId,
    bounce: EventId,
}

impl Shared {
    /// Tells the controller what was answered; `source` by name.
    pub(super) fn learn(&self, site: &Site, claimed: &[Claimed], source: &str, records: &[Record]) {
        let Some(source) = self.sources.by_name_or_system(source) else { return };
        let operator = self.router.known_operator(site.id).unwrap_or(OperatorId::TAIL);
        for (one, record) in claimed.iter().zip(records) {
            self.windows.note(source, (operator, site.id), &one.delivery, record);
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
                site: Some(site.id),
                class: message.flow().class(),
                campaign: one.delivery.campaign,
                sending_domain: message.domain,
                answer,
                count: 1,
                sample: sample.as_deref(),
            });
        }
    }

    /// Complaints and bounces count for the source that had brought the mail, and for whom it had
    /// brought it: those after the last that were heard; at first only those that are to come.
    async fn hear(&self) -> Result<(), StoreError> {
        let store = self.queue.store();
        let mut heard = self.heard.lock().await;
        let Some(heard) = &mut *heard else {
            let last = store.last_event().await?;
            *heard = Some(Heard { complaint: last, bounce: last });
            return Ok(());
        };
        for bounce in store.bounces_after(heard.bounce).await? {
            heard.bounce = bounce.event;
            self.hear_bounce(&bounce);
        }
        for complaint in store.complaints_after(heard.complaint).await? {
            heard.complaint = complaint.event;
            let source = complaint.source.as_deref();
            self.controller.complain(&Complained {
                source: source.and_then(|name| self.sources.by_name_or_system(name)),
                operator: complaint.operator,
                campaign: complaint.campaign,
                sending_domain: complaint.domain,
                count: 1,
            });
        }
        Ok(())
    }

    fn hear_bounce(&self, bounce: &LateBounce) {
        let source = bounce.source.as_deref();
        let Some(source) = source.and_then(|name| self.sources.by_name_or_system(name)) else {
            return;
        };
        let signal = bounce.told.map_or(Signal::None, Class::signal);
        self.controller.returned(&Lesson {
            source,
            operator: bounce.operator,
            site: None,
            class: bounce.class,
            campaign: bounce.campaign,
            sending_domain: bounce.domain,
            answer: book::Answered::Refused { signal, for_good: true },
            count: 1,
            sample: bounce.reason.as_deref(),
        });
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

    /// What the task does by itself now and then: complaints and bounces are read, what was
    /// answered is learnt from.
    pub async fn look(&self) -> Result<(), StoreError> {
        self.0.hear().await?;
        self.0.controller.look().await
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
    let mut looks = 0u32;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        shared.controller.set_facts(shared.connection_facts()).await;
        if looks.is_multiple_of(HEAR_EVERY)
            && let Err(error) = shared.hear().await
        {
            tracing::debug!(%error, "complaints and bounces are read again in a while");
        }
        looks = looks.wrapping_add(1);
        match shared.controller.look().await {
            Ok(()) => is_failing = false,
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(%error, "what was learnt cannot be written now; tried again");
            }
            Err(_) => {}
        }
        if shared.controller.has_opened() {
            shared.unpark_all(Changed::Limits).await;
        }
    }
}
