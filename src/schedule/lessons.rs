//! From the answers of an attempt to lessons for the controller.
//!
//! Owns:       which outcome teaches what.
//! Promises:   only what a host said is a lesson; failures of our own or of the network are none.
//! Knows not:  what follows from a lesson.

use std::sync::Arc;
use std::time::Duration;

use super::answered::Answered;
use super::controller::Controller;
use super::governor::book::{self, Lesson};
use super::route::Routed;
use super::site::Site;
use super::{Schedule, Shared};
use crate::model::*;
use crate::queue::Claimed;

/// How long DNS may take to name an operator.
const OPERATOR_WAIT: Duration = Duration::from_secs(3);

impl Shared {
    /// Tells the controller what was answered.
    pub(super) fn learn(&self, site: &Site, claimed: &[Claimed], answered: &Answered<'_>) {
        let name = &answered.facts.source;
        let origin = self.sources.iter().find(|origin| origin.source.name == *name);
        let Some(source) = origin.map(|origin| origin.id) else { return };
        let operator = self.router.known_operator(site.id).unwrap_or(OperatorId::TAIL);
        for (one, outcome) in claimed.iter().zip(&answered.outcomes) {
            let Some(reply) = outcome.reply() else { continue };
            let message = &one.delivery.message;
            let text = reply.to_string();
            let accepted = matches!(outcome, Outcome::Delivered { .. });
            let answer = if accepted {
                book::Answered::Accepted
            } else {
                let signal = self.controller.signal_of(outcome);
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
                sample: (!accepted).then_some(text.as_str()),
            });
        }
    }
}

impl Shared {
    /// Every site asks its limits again.
    pub(super) fn unpark_all(self: &Arc<Shared>) {
        let sites: Vec<Arc<Site>> = self.sites.iter().map(|entry| entry.clone()).collect();
        for site in sites {
            site.unpark(self.clock.now());
            Shared::look(self, &site);
        }
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
