//! How deliveries in memory change hands: to another site, back to the ledger, out of memory.
//!
//! Owns:       who notes a delivery as held: the site that sends it, and its home, where its row
//!             stands.
//! Promises:   a row is moved once at most on its way through memory, and not at all when its
//!             attempt settles it; a row whose delivery left memory is looked for where it stands.
//! Knows not:  connections, outcomes.
//!
//! The row of what was taken into memory at its acceptance stands among the unrouted (`SiteId`),
//! that of other mail at the site it was read from, and its domain may belong to a third one by
//! now. So each delivery is noted twice: at the site that sends it, and at home, lest a read of
//! the rows there bring it a second time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;
use super::put_off::{Changed, Late};
use super::site::Site;
use super::verdict;
use crate::model::*;
use crate::queue::Claimed;
use crate::store::SettleGroup;

/// Before a ledger that would not write a row's new site is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A delivery in memory, and the site where its row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub delivery: DeliveryId,
    pub home: SiteId,
}

impl Claim {
    pub fn of(claimed: &Claimed) -> Claim {
        Claim { delivery: claimed.delivery.id, home: claimed.delivery.site }
    }
}

impl Shared {
    /// Deliveries leave memory, their rows final or standing at `site`; `due` is when the earliest
    /// of them waits again.
    pub(super) fn leave(
        self: &Arc<Shared>,
        site: &Arc<Site>,
        claims: &[Claim],
        due: Option<Timestamp>,
    ) {
        self.held.fetch_sub(claims.len(), Ordering::Relaxed);
        self.leave_homes(site, claims, None);
        site.leave(&ids_of(claims), due);
        Shared::look(self, site);
    }

    /// Deliveries leave memory, their rows standing where they stood.
    pub(super) fn leave_home(
        self: &Arc<Shared>,
        site: &Arc<Site>,
        claims: &[Claim],
        due: Timestamp,
    ) {
        self.held.fetch_sub(claims.len(), Ordering::Relaxed);
        let own = claims.iter().any(|claim| claim.home == site.id);
        site.leave(&ids_of(claims), own.then_some(due));
        self.leave_homes(site, claims, Some(due));
        Shared::look(self, site);
    }

    /// At homes other than `site`.
    fn leave_homes(self: &Arc<Shared>, site: &Arc<Site>, claims: &[Claim], due: Option<Timestamp>) {
        let mut homes: HashMap<SiteId, Vec<DeliveryId>> = HashMap::new();
        for claim in claims.iter().filter(|claim| claim.home != site.id) {
            homes.entry(claim.home).or_default().push(claim.delivery);
        }
        for (home, ids) in homes {
            let home = self.site(home);
            home.leave(&ids, due);
            if due.is_some() {
                Shared::look(self, &home);
            }
        }
    }

    /// Claimed and not tried: back to the ledger, to be read again from `due` on.
    pub(super) async fn give_back(
        self: &Arc<Shared>,
        site: &Arc<Site>,
        back: &[Claimed],
        due: Timestamp,
    ) {
        let leased = self.queue.store().leases_claims();
        // At the end the next start finds the rows wherever they stand.
        let moves =
            |one: &&Claimed| leased || (one.delivery.site != site.id && !self.is_stopping());
        let (moved, stays): (Vec<&Claimed>, Vec<&Claimed>) = back.iter().partition(moves);
        if !stays.is_empty() {
            self.leave_home(site, &claims_of(&stays), due);
        }
        if moved.is_empty() {
            return;
        }
        if self.write_site(&moved, site.id).await {
            self.leave(site, &claims_of(&moved), Some(due));
        } else {
            self.leave_home(site, &claims_of(&moved), due);
        }
    }

    /// Gives back all that is ready at a site.
    pub(super) async fn empty(self: &Arc<Shared>, site: &Arc<Site>, due: Timestamp) {
        let ready = site.drain_ready();
        self.give_back(site, &ready, due).await;
    }

    /// Limits, or the want of a source, have these wait until `due`, and the ledger cannot tell
    /// them from others of their flow: their rows are due then, or when one of those is another.
    pub(super) async fn put_off(
        self: &Arc<Shared>,
        site: &Arc<Site>,
        claimed: &[Claimed],
        due: Timestamp,
        because: &[LimitId],
    ) {
        if claimed.is_empty() {
            return;
        }
        let now = self.clock.now();
        let limits: Vec<Limit> = because.iter().filter_map(|id| self.limits.get(*id)).collect();
        if limits.len() < because.len() {
            // One of them is gone already.
            return self.give_back(site, claimed, now).await;
        }
        let put_off = |one: &Claimed| verdict::put_off(&one.delivery, site.id, due, now);
        let group =
            SettleGroup { settlements: claimed.iter().map(put_off).collect(), report: None };
        match self.queue.settle(group).await {
            Ok(_) => {
                let claims: Vec<Claim> = claimed.iter().map(Claim::of).collect();
                self.leave(site, &claims, Some(due));
                let deliveries = claims.iter().map(|claim| claim.delivery).collect();
                let late = Late { site: site.id, deliveries, due, limits };
                let is_changed = !late.waits_for(&self.limits);
                self.put_off.add(late, now);
                if is_changed {
                    self.hasten(Changed::Limits).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, site = %site.id, "mail cannot be put off now");
                self.give_back(site, claimed, now + AGAIN_AFTER).await;
            }
        }
    }

    /// Mail whose domain belongs to another site: that one sends it, and no row is touched. Only
    /// what finds no place there is written.
    pub(super) async fn relocate(
        self: &Arc<Shared>,
        from: &Arc<Site>,
        claimed: Vec<Claimed>,
        to: SiteId,
    ) {
        let now = self.clock.now();
        let mut fits = Vec::new();
        let site = self.at_site(to, |site| {
            let adopted = site.adopt(&claimed, now);
            let is_fresh = adopted.is_some();
            fits = adopted.unwrap_or_default();
            is_fresh
        });
        let mut fits = fits.into_iter();
        let (adopted, rest): (Vec<Claimed>, Vec<Claimed>) =
            claimed.into_iter().partition(|_| fits.next() == Some(true));
        let strangers = adopted.iter().filter(|one| one.delivery.site != from.id);
        let strangers: Vec<DeliveryId> = strangers.map(|one| one.delivery.id).collect();
        from.leave(&strangers, None);
        site.fill(adopted);
        Shared::look(self, &site);
        self.move_rows(from, &rest, &site).await;
    }

    /// To a site that has no place in memory for them.
    async fn move_rows(self: &Arc<Shared>, from: &Arc<Site>, moved: &[Claimed], to: &Arc<Site>) {
        if moved.is_empty() {
            return;
        }
        let moved: Vec<&Claimed> = moved.iter().collect();
        let claims = claims_of(&moved);
        let now = self.clock.now();
        if self.write_site(&moved, to.id).await {
            self.leave(from, &claims, None);
            let to = self.at_site(to.id, |site| site.note(now));
            Shared::look(self, &to);
        } else {
            self.leave_home(from, &claims, now + AGAIN_AFTER);
        }
    }

    /// Their rows stand at this site from now on, and on PostgreSQL their leases have ended.
    async fn write_site(&self, claimed: &[&Claimed], site: SiteId) -> bool {
        let now = self.clock.now();
        let settlements = claimed.iter().map(|one| verdict::give_back(&one.delivery, site, now));
        let group = SettleGroup { settlements: settlements.collect(), report: None };
        match self.queue.settle(group).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, %site, "claims cannot be given back to this site now; they \
                    are read again where they were");
                false
            }
        }
    }
}

fn ids_of(claims: &[Claim]) -> Vec<DeliveryId> {
    claims.iter().map(|claim| claim.delivery).collect()
}

fn claims_of(claimed: &[&Claimed]) -> Vec<Claim> {
    claimed.iter().map(|one| Claim::of(one)).collect()
}
