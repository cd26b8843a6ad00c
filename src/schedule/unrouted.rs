//! Mail whose domain has no site yet: DNS is asked, and the mail moves to where it belongs.
//!
//! Owns:       the resolutions under way.
//! Promises:   each domain is asked for once, however many mails wait for it; a slow name server
//!             holds up its own domains alone.
//! Knows not:  connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Shared;
use super::answered::Answered;
use super::park::Parks;
use super::route::Routed;
use super::site::Site;
use crate::deliver::ConnectionFacts;
use crate::model::*;
use crate::queue::Claimed;

/// Domains that are asked for at the same time.
const RESOLUTIONS_MAX: usize = 512;

/// Routes all that is ready at the site of the unrouted; it is the lane of that site.
pub async fn run(shared: Arc<Shared>, site: Arc<Site>) {
    let mut under_way = JoinSet::new();
    // Idle throughout, so that each new mail wakes it while slow name servers are waited for.
    site.lane_idles(true, false);
    loop {
        for (domain, claimed) in by_domain(&site, shared.clock.now()) {
            while under_way.len() >= RESOLUTIONS_MAX {
                noticed(under_way.join_next().await);
            }
            under_way.spawn(route(shared.clone(), site.clone(), domain, claimed));
        }
        if under_way.is_empty() || shared.is_stopping() {
            break;
        }
        tokio::select! {
            ended = under_way.join_next() => noticed(ended),
            () = site.work.notified() => {}
        }
        Shared::look(&shared, &site);
    }
    while !under_way.is_empty() {
        noticed(under_way.join_next().await);
    }
    site.lane_idles(false, false);
    site.lane_ends();
    Shared::look(&shared, &site);
}

fn noticed(ended: Option<Result<(), tokio::task::JoinError>>) {
    if let Some(Err(error)) = ended {
        tracing::error!(%error, "routing a domain ended in a fault of our own; it is tried again");
    }
}

fn by_domain(site: &Site, now: Timestamp) -> HashMap<Domain, Vec<Claimed>> {
    let mut domains: HashMap<Domain, Vec<Claimed>> = HashMap::new();
    loop {
        let transaction = site.next(TakeOrder::Due, usize::MAX, &Parks::default(), now);
        let Some(first) = transaction.first() else { return domains };
        let domain = first.delivery.recipient.address.domain().clone();
        domains.entry(domain).or_default().extend(transaction);
    }
}

async fn route(shared: Arc<Shared>, site: Arc<Site>, domain: Domain, claimed: Vec<Claimed>) {
    let outcome = match shared.router.route(&domain).await {
        Ok(Routed::To { key, operator, .. }) => {
            match shared.router.site(&domain, &key, &operator).await {
                Ok(to) => return shared.relocate(&site, claimed, to).await,
                Err(error) => {
                    tracing::warn!(%error, %domain, "a site cannot be written now");
                    let later = shared.clock.now() + Duration::from_secs(5);
                    return shared.give_back(&site, &claimed, later).await;
                }
            }
        }
        Ok(Routed::Never(outcome)) => outcome,
        Err(failure) => {
            Outcome::Deferred { reply: None, blame: Blame::Host, reason: failure.to_string() }
        }
    };
    let now = shared.clock.now();
    // One settlement a message: a report tells of one message.
    let mut messages: HashMap<MessageId, Vec<Claimed>> = HashMap::new();
    for one in claimed {
        messages.entry(one.delivery.message.id).or_default().push(one);
    }
    for claimed in messages.into_values() {
        let expired = claimed.iter().all(|one| now >= one.delivery.message.expires_at);
        let settlement = if expired {
            shared.expire(&site, &claimed).await
        } else {
            let answered = Answered {
                outcomes: vec![outcome.clone(); claimed.len()],
                facts: &ConnectionFacts::default(),
                dsn_passed_on: false,
                dialogue: Vec::new(),
                spent: Duration::ZERO,
                pin: None,
            };
            shared.conclude(&site, &claimed, answered).await
        };
        shared.settle(settlement).await;
    }
}
