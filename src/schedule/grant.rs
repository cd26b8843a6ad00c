//! What may be sent, from where: limits are asked before anything is tried, and a denial stops
//! exactly whom it names.
//!
//! Owns:       the choice of a source, and what a denial does at a site.
//! Promises:   a denied mail goes back where it was and waits for a timer or a release; mail that a
//!             limit does not name goes on.
//! Knows not:  connections, outcomes.

use std::sync::Arc;

use super::Shared;
use super::park::{KEPT_FOR, Line, Park, Parks, Reach};
use super::ready::line_of;
use super::site::Site;
use super::sources::Asked;
use crate::deliver::Source;
use crate::model::*;
use crate::queue::Claimed;

/// Where mail may leave from.
#[derive(Clone)]
pub struct Origin {
    pub id: SourceId,
    pub source: Arc<Source>,
}

/// Whom a denial stops.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// Whatever source sends it.
    Site,
    /// This source; another one may send it.
    Source,
}

impl Shared {
    /// What limits see of a mail that this source would send.
    pub(super) fn attempt_of(
        &self,
        claimed: &Claimed,
        site: SiteId,
        operator: OperatorId,
        source: SourceId,
    ) -> Attempt {
        let message = &claimed.delivery.message;
        Attempt {
            source,
            operator,
            site,
            domain: claimed.delivery.recipient.address.domain().clone(),
            organization: message.organization,
            stream: message.stream,
            class: message.flow().class(),
            campaign: claimed.delivery.campaign,
            sending_domain: message.domain,
        }
    }

    /// Whether a denial for this source is one for all of its pool.
    pub(super) fn stop_of(&self, denial: &Denial, attempt: &Attempt, claimed: &Claimed) -> Stop {
        let of_source = matches!(
            denial.scope.from,
            FromScope::Source(_) | FromScope::EachSource | FromScope::Pool(_)
        );
        let now = self.clock.now();
        let mut other = attempt.clone();
        let mut others = self.free_sources(claimed, attempt).into_iter();
        let another = of_source
            && others.any(|source| {
                other.source = source;
                source != attempt.source
                    && self.limits.would_grant(&other, now).is_ok()
                    && self.limits.would_open(&other, now).is_ok()
            });
        if another { Stop::Source } else { Stop::Site }
    }

    /// Nobody may send this mail now: it goes back, and what the denial names waits.
    pub(super) async fn refuse(
        self: &Arc<Shared>,
        site: &Arc<Site>,
        claimed: Vec<Claimed>,
        attempt: &Attempt,
        refusal: &Refusal,
    ) {
        let now = self.clock.now();
        let denial = &*refusal.denial;
        let line = line_of(&claimed[0]);
        let mut park = Park::of(denial, line, now);
        if refusal.is_mixed {
            (park.reach, park.class) = (Reach::Line(line), None);
        }
        let is_connection = matches!(denial.metric, Metric::Connections | Metric::NewConnections);
        let waits_for_release = denial.until.is_none() && denial.value > 0 && is_connection;
        let pool = match refusal.is_mixed && !waits_for_release {
            true => self.dividing_pool(&claimed[0], attempt.operator),
            false => None,
        };
        site.untried(claimed);
        if let Some(pool) = pool {
            let is_same = |one: &Claimed| one.delivery.message.flow().class() == attempt.class;
            let why = (park.until, &*refusal.limits);
            self.put_off_pool(site, pool, attempt.operator, why, is_same).await;
            return Shared::look(self, site);
        }
        if waits_for_release {
            if !self.limits.wait_for_release(attempt, denial, now) {
                return Shared::look(self, site);
            }
            // Who idles with such a connection may give it up.
            self.crowded.notify_waiters();
        }
        if is_connection && park.reach == Reach::Everybody && park.class.is_none() {
            let back = site.stop_opening(park.until, park.is_open_ended);
            self.give_back(site, &back, park.until).await;
        } else {
            self.park(site, park, refusal).await;
        }
        Shared::look(self, site);
    }

    async fn park(self: &Arc<Shared>, site: &Arc<Site>, park: Park, refusal: &Refusal) {
        let (until, scope) = (park.until, &refusal.denial.scope);
        let keeps = until <= self.clock.now() + KEPT_FOR;
        if keeps || park.is_of_flows(scope) {
            let back = site.park(park, keeps);
            self.give_back(site, &back, until).await;
        } else {
            // The rows wait by themselves: whoever follows in the flow is not behind them.
            let back = site.drain_each(|claimed| is_within(scope, claimed));
            self.put_off(site, &back, until, &refusal.limits).await;
        }
    }

    /// The mail's pool, where a park of its flow would stop mail of other pools.
    pub(super) fn dividing_pool(&self, claimed: &Claimed, to: OperatorId) -> Option<PoolId> {
        let asked = Asked { delivery: &claimed.delivery, operator: to };
        self.sources.divides_flows().then(|| self.sources.pool_of(&asked))
    }

    /// The mail of one pool waits by its rows.
    pub(super) async fn put_off_pool(
        self: &Arc<Shared>,
        site: &Arc<Site>,
        pool: PoolId,
        operator: OperatorId,
        (until, because): (Timestamp, &[LimitId]),
        is_meant: impl Fn(&Claimed) -> bool,
    ) {
        let back = site.drain_each(|one| {
            let asked = Asked { delivery: &one.delivery, operator };
            is_meant(one) && self.sources.pool_of(&asked) == pool
        });
        self.put_off(site, &back, until, because).await;
    }

    /// For a lane alone: another source may send it.
    pub(super) fn park_for(&self, parks: &mut Parks, line: Line, denial: &Denial) {
        parks.add(Park::of(denial, line, self.clock.now()));
    }
}

/// Why no source may send.
#[derive(Debug)]
pub struct Refusal {
    pub denial: Box<Denial>,
    /// Of all the denials.
    pub limits: Vec<LimitId>,
    /// Each source has a reason of its own: no more than the mail that met them is stopped.
    pub is_mixed: bool,
}

impl Refusal {
    pub fn of_one(denial: Box<Denial>) -> Refusal {
        Refusal { limits: vec![denial.limit], denial, is_mixed: false }
    }

    /// Of the denials, the one that ends first; there is one at least.
    pub fn of_all(mut denials: Vec<Denial>) -> Refusal {
        denials.sort_by_key(|denial| denial.until.unwrap_or(Timestamp(i64::MAX)));
        let differs = |denial: &Denial| {
            let (own, first) = (&denial.scope, &denials[0].scope);
            own.who != first.who || own.class != first.class || own.to != first.to
        };
        let is_mixed = denials.iter().any(differs);
        let limits = denials.iter().map(|denial| denial.limit).collect();
        Refusal { denial: Box::new(denials.swap_remove(0)), limits, is_mixed }
    }
}

/// As far as the mail itself tells; where it goes and where it leaves from is the site's.
fn is_within(scope: &LimitScope, claimed: &Claimed) -> bool {
    let (delivery, message) = (&claimed.delivery, &claimed.delivery.message);
    let to = match &scope.to {
        ToScope::Domain(domain) => delivery.recipient.address.domain() == domain,
        _ => true,
    };
    let who = match scope.who {
        WhoScope::Everybody => true,
        WhoScope::Organization(organization) => message.organization == organization,
        WhoScope::Stream(stream) => message.stream == stream,
        WhoScope::Campaign(campaign) => delivery.campaign == Some(campaign),
        WhoScope::SendingDomain(domain) => message.domain == Some(domain),
    };
    to && who && scope.class.is_none_or(|class| message.flow().class() == class)
}
