//! How a transaction of a lane ends when it was not answered: without a connection, without a
//! host, by a fault of our own.

use std::time::Duration;

use super::super::answered::Answered;
use super::super::composed::NotComposed;
use super::super::settler::Settlement;
use super::super::verdict;
use super::{Ended, Lane};
use crate::deliver::{ConnectionFacts, OpenFailure};
use crate::dns::DnsFailure;
use crate::model::limits::PANICS_MAX;
use crate::model::*;
use crate::queue::Claimed;

impl Lane {
    pub(super) async fn not_open(&mut self, claimed: &[Claimed], failure: OpenFailure) -> Ended {
        let reason = failure.outcome.text();
        let now = self.shared.clock.now();
        if let Some(origin) = &self.origin {
            let failed = self.shared.source_failed(&self.site, &origin.source, claimed, &failure);
            if Box::pin(failed).await {
                return Ended::Untried;
            }
        }
        if self.site.is_open_elsewhere(now) {
            return Ended::Untried;
        }
        tracing::info!(site = %self.site.id, host = failure.facts.host, source = self.source_name(),
            reason, "no connection; the site waits");
        let until = self.site.refused(now, &reason);
        self.shared.empty(&self.site, until).await;
        let answer = Answered {
            outcomes: vec![failure.outcome; claimed.len()],
            facts: &failure.facts,
            dsn_passed_on: false,
            dialogue: failure.dialogue.lines,
            spent: Duration::ZERO,
            pin: None,
        };
        Ended::Settled(self.shared.conclude(&self.site, claimed, answer).await)
    }

    /// The relay's name leads nowhere: the next look finds another source, or says that there is
    /// none.
    pub(super) async fn no_relay(
        &self,
        id: SourceId,
        claimed: &[Claimed],
        failure: DnsFailure,
    ) -> Ended {
        let reason = failure.to_string();
        self.shared.sources.set_aside(id, None, self.shared.clock.now(), &reason);
        self.without_host(claimed, deferred(Blame::Source, reason)).await
    }

    /// The same outcome for all, without a host to blame it on.
    pub(super) async fn without_host(&self, claimed: &[Claimed], outcome: Outcome) -> Ended {
        let facts = ConnectionFacts { source: self.source_name(), ..Default::default() };
        let answer = Answered {
            outcomes: vec![outcome; claimed.len()],
            facts: &facts,
            dsn_passed_on: false,
            dialogue: Vec::new(),
            spent: Duration::ZERO,
            pin: None,
        };
        Ended::Settled(self.shared.conclude(&self.site, claimed, answer).await)
    }

    /// Our own fault: deferred, so that it can be mended (P7).
    pub(super) async fn ourselves(&self, claimed: &[Claimed], reason: &str) -> Ended {
        let message = claimed[0].delivery.message.id;
        tracing::error!(%message, reason, "a mail cannot be sent for a reason of our own");
        self.without_host(claimed, deferred(Blame::Ourselves, reason.to_owned())).await
    }

    pub(super) async fn not_composed(&self, claimed: &[Claimed], none: NotComposed) -> Ended {
        match none {
            NotComposed::Settled(settlement) => Ended::Settled(*settlement),
            NotComposed::Ourselves(why) => self.ourselves(claimed, &why).await,
        }
    }

    /// Trying again cannot help: held for a person.
    pub(super) fn set_aside(&self, claimed: &[Claimed], reason: &str) -> Ended {
        let message = claimed[0].delivery.message.id;
        tracing::error!(%message, reason, "a mail is held: look at it with postroad queue show");
        let now = self.shared.clock.now();
        let settles = claimed.iter().map(|one| verdict::hold(&one.delivery, reason, now));
        let site = self.site.clone();
        Ended::Settled(Settlement::new(site, claimed, settles.collect(), None, None))
    }

    pub(super) async fn panicked(&self, claimed: &[Claimed]) {
        self.shared.meters.panics.increment(1);
        let count = self.shared.count_panic(claimed[0].delivery.message.id);
        let reason = "a fault of our own ended the attempt";
        let ended = if count >= PANICS_MAX {
            self.set_aside(claimed, "three attempts ended in a fault of our own")
        } else {
            self.ourselves(claimed, reason).await
        };
        if let Ended::Settled(settlement) = ended {
            self.shared.settle(settlement).await;
        }
    }
}

pub(super) fn deferred(blame: Blame, reason: String) -> Outcome {
    Outcome::Deferred { reply: None, blame, reason }
}
