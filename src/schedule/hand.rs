//! How fresh mail reaches the schedule: the queue's side of the hand-over.
//!
//! Owns:       the answers to the queue's `Intake`.
//! Promises:   a delivery that is handed over was reserved first, so no read of the ledger brings
//!             it a second time.
//! Knows not:  lanes, outcomes.

use std::sync::Weak;
use std::sync::atomic::Ordering;

use super::Shared;
use super::custody::Claim;
use super::park::Line;
use crate::model::limits::READY_MAX;
use crate::model::*;
use crate::queue::{Claimed, Intake};

/// How the queue reaches the schedule; it does not keep it alive.
pub struct Hand(pub Weak<Shared>);

impl Intake for Hand {
    fn site_of(&self, domain: &Domain) -> Option<SiteId> {
        self.0.upgrade()?.router.known_site(domain)
    }

    fn reserve(
        &self,
        site: SiteId,
        (flow, campaign): (Flow, Option<CampaignId>),
        deliveries: &[DeliveryId],
    ) -> bool {
        let Some(shared) = self.0.upgrade() else { return false };
        // Campaigns leave room for what is submitted.
        let most = if campaign.is_some() { READY_MAX / 2 } else { READY_MAX };
        let full = shared.held.load(Ordering::Relaxed) + deliveries.len() > most;
        if shared.is_stopping() || full {
            return false;
        }
        let now = shared.clock.now();
        let leased = shared.queue.store().leases_claims();
        let line = Line { flow, campaign };
        let mut reserved = false;
        let held_at = shared.at_site(site, |site| {
            let answer = site.reserve(deliveries, &line, leased, now);
            reserved = answer == Some(true);
            answer.is_some()
        });
        if reserved && site != SiteId::UNROUTED && !hold_at_home(&shared, deliveries) {
            held_at.leave(deliveries, None);
            reserved = false;
        }
        if reserved {
            shared.held.fetch_add(deliveries.len(), Ordering::Relaxed);
        }
        reserved
    }

    fn unreserve(&self, site: SiteId, deliveries: &[DeliveryId]) {
        let Some(shared) = self.0.upgrade() else { return };
        // Whether the rows were committed is not known: a look at the ledger will tell.
        let claim = |delivery: &DeliveryId| Claim { delivery: *delivery, home: SiteId::UNROUTED };
        let claims: Vec<Claim> = deliveries.iter().map(claim).collect();
        shared.leave_home(&shared.site(site), &claims, shared.clock.now());
    }

    fn take(&self, site: SiteId, claimed: Vec<Claimed>) {
        let Some(shared) = self.0.upgrade() else { return };
        let site = shared.site(site);
        site.fill(claimed);
        Shared::look(&shared, &site);
    }

    fn wake(&self, site: SiteId, flow: Flow, due: Timestamp) {
        let Some(shared) = self.0.upgrade() else { return };
        let site = shared.at_site(site, |site| site.note_flow(due, flow));
        Shared::look(&shared, &site);
    }
}

/// What is taken into memory at its acceptance has its row among the unrouted.
fn hold_at_home(shared: &Shared, deliveries: &[DeliveryId]) -> bool {
    let leased = shared.queue.store().leases_claims();
    let mut held = false;
    shared.at_site(SiteId::UNROUTED, |home| {
        let answer = home.hold(deliveries, leased);
        held = answer == Some(true);
        answer.is_some()
    });
    held
}
