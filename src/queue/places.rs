//! Fresh mail goes from its acceptance into memory, where there is room for it.
//!
//! Owns:       the places that one message has reserved, and what is handed over after its commit.
//! Promises:   a place is filled or given back; what found none is woken for.
//! Knows not:  whether the message is one mail or a part of a campaign.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Claimed, Intake, Kept};
use crate::model::*;
use crate::store::{ClaimedDelivery, Enqueue, MessageRow, NewDelivery};

/// The places in memory that one message has reserved, given back unless they are filled.
pub struct Places<'a> {
    intake: Option<&'a Arc<dyn Intake>>,
    /// Each site with its deliveries, and whether there was room.
    sites: Vec<(SiteId, Vec<DeliveryId>, bool)>,
    campaign: Option<CampaignId>,
    due: Timestamp,
    filled: bool,
}

/// Of a delivery with a place, what the store will have taken away.
pub struct Fresh {
    site: SiteId,
    id: DeliveryId,
    recipient: Recipient,
    score: i64,
}

impl<'a> Places<'a> {
    pub fn reserve(
        intake: Option<&'a Arc<dyn Intake>>,
        job: &Enqueue,
        may_keep: bool,
    ) -> Places<'a> {
        let mut sites: Vec<(SiteId, Vec<DeliveryId>, bool)> = Vec::new();
        for delivery in &job.deliveries {
            match sites.iter_mut().find(|(site, ..)| *site == delivery.site) {
                Some((_, ids, _)) => ids.push(delivery.id),
                None => sites.push((delivery.site, vec![delivery.id], false)),
            }
        }
        let (due, campaign) = (job.message.due_at, job.slice.map(|slice| slice.campaign));
        if let (Some(intake), true) = (intake, may_keep) {
            for (site, ids, reserved) in &mut sites {
                *reserved = intake.reserve(*site, (job.message.flow(), campaign), ids);
            }
        }
        Places { intake, sites, campaign, due, filled: false }
    }

    fn is_reserved(&self, site: SiteId) -> bool {
        self.sites.iter().any(|(of, _, reserved)| *of == site && *reserved)
    }

    pub fn mark(&self, mut job: Enqueue) -> Enqueue {
        for delivery in &mut job.deliveries {
            delivery.claimed = self.is_reserved(delivery.site);
        }
        job
    }

    /// What `fill` needs of a job that was marked.
    pub fn fresh(&self, job: &Enqueue) -> Vec<Fresh> {
        let claimed = job.deliveries.iter().filter(|delivery| delivery.claimed);
        let one = |delivery: &NewDelivery| Fresh {
            site: delivery.site,
            id: delivery.id,
            recipient: delivery.recipient.clone(),
            score: delivery.score,
        };
        claimed.map(one).collect()
    }

    /// After the commit: hands over what has a place and wakes the sites of the rest.
    pub fn fill(
        mut self,
        message: &Arc<MessageRow>,
        fresh: Vec<Fresh>,
        keep: impl FnOnce() -> Option<Kept>,
    ) {
        self.filled = true;
        let Some(intake) = self.intake else { return };
        let body = if fresh.is_empty() { None } else { keep() };
        let mut of_site: HashMap<SiteId, Vec<Claimed>> = HashMap::new();
        for one in fresh {
            let delivery = ClaimedDelivery {
                id: one.id,
                recipient: one.recipient,
                campaign: self.campaign,
                pool: None,
                site: SiteId::UNROUTED,
                due_at: message.due_at,
                tries: 0,
                score: one.score,
                delay_reported: false,
                last_text: String::new(),
                message: message.clone(),
            };
            of_site.entry(one.site).or_default().push(Claimed { delivery, body: body.clone() });
        }
        for (site, _, reserved) in &self.sites {
            match of_site.remove(site) {
                Some(claimed) => intake.take(*site, claimed),
                None if !reserved => intake.wake(*site, message.flow(), self.due),
                None => {}
            }
        }
    }
}

impl Drop for Places<'_> {
    fn drop(&mut self) {
        let (false, Some(intake)) = (self.filled, self.intake) else { return };
        for (site, ids, reserved) in &self.sites {
            if *reserved {
                intake.unreserve(*site, ids);
            }
        }
    }
}
