//! Which source makes this attempt: the mail's pool, its sources, what speaks for one of them.
//!
//! Owns:       the way from a claimed mail to a source, and from a failed connection to another.
//! Promises:   a mail for which no source may send waits with the reasons, and is looked at again
//!             within minutes; a greylisted mail goes where it was greylisted.
//! Knows not:  the dialogue.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::grant::{Origin, Refusal};
use super::meaning::classified_in;
use super::park::{KEPT_FOR, Park, Reach};
use super::pick::{self, Candidate, NoSource, Wish};
use super::ready::line_of;
use super::settler::Settlement;
use super::site::Site;
use super::sources::Asked;
use super::verdict;
use super::warmup::overflow;
use crate::deliver::{OpenFailure, Source};
use crate::model::*;
use crate::queue::Claimed;
use crate::store::{ClaimedDelivery, Settle};

/// Before a mail without a source is looked at again, when nothing says until when.
const NO_SOURCE_WAIT: Duration = Duration::from_secs(5 * 60);
const NO_SOURCE_WAIT_MIN: Duration = Duration::from_secs(30);

/// Who makes an attempt, and whose mail it counts as.
pub struct Chosen {
    pub origin: Origin,
    pub pool: PoolId,
}

/// Why nobody makes an attempt now.
pub enum Unchosen {
    /// Limits say so.
    Denied(Refusal),
    /// Each source of the pool has another reason.
    NoSource(PoolId, NoSource),
}

impl Shared {
    /// The source for a transaction; `open` has a connection to the site. `attempt` is of that
    /// source from then on.
    pub(super) async fn choose(
        &self,
        claimed: &[Claimed],
        attempt: &mut Attempt,
        open: Option<SourceId>,
    ) -> Result<Chosen, Unchosen> {
        let first = &claimed[0].delivery;
        let asked = Asked { delivery: first, operator: attempt.operator };
        let pool = self.sources.pool_of(&asked);
        let now = self.clock.now();
        let candidates = self.candidates(pool, attempt, now);
        let last = match candidates.len() {
            0 | 1 => None,
            _ => self.last_source(first).await,
        };
        let wish = Wish { last, open, last_until: now + KEPT_FOR };
        let would_grant = |source| {
            if open == Some(source) {
                // What it may send over its connection is for `reserve` to say.
                return Ok(());
            }
            attempt.source = source;
            self.limits.would_grant(attempt, now)?;
            self.limits.would_open(attempt, now)
        };
        let none = match pick::pick(&candidates, wish, pick::window_end(now), would_grant) {
            Ok(id) => match self.sources.source(id) {
                Some(source) => {
                    attempt.source = id;
                    return Ok(Chosen { origin: Origin { id, source }, pool });
                }
                // Removed in this very moment.
                None => NoSource(Vec::new()),
            },
            Err(none) => none,
        };
        let denials = none.denials();
        if denials.is_empty() {
            return Err(Unchosen::NoSource(pool, none));
        }
        let is_for_last = last.is_some() && candidates.len() > denials.len();
        let mut refusal = Refusal::of_all(denials);
        // Another flow of the site may have another pool, which this denial does not stop; and
        // what only waits for its former source stops nobody else.
        refusal.is_mixed |= self.sources.has_pools() || is_for_last;
        Err(Unchosen::Denied(refusal))
    }

    /// The mail's pool, and whom of it would be picked.
    pub(super) fn would_pick(
        &self,
        claimed: &Claimed,
        attempt: &Attempt,
        would_grant: impl FnMut(SourceId) -> Result<(), Box<Denial>>,
    ) -> (PoolId, Result<SourceId, NoSource>) {
        let now = self.clock.now();
        let (pool, candidates) = self.candidates_for(claimed, attempt, now);
        let end = pick::window_end(now);
        (pool, pick::pick(&candidates, Wish::default(), end, would_grant))
    }

    /// The sources of the mail's pool that nothing but limits can keep from sending it.
    pub(super) fn free_sources(&self, claimed: &Claimed, attempt: &Attempt) -> Vec<SourceId> {
        let (_, candidates) = self.candidates_for(claimed, attempt, self.clock.now());
        let free = candidates.into_iter().filter(|one| one.bar.is_none());
        free.map(|one| one.source).collect()
    }

    fn candidates_for(
        &self,
        claimed: &Claimed,
        attempt: &Attempt,
        now: Timestamp,
    ) -> (PoolId, Vec<Candidate>) {
        let asked = Asked { delivery: &claimed.delivery, operator: attempt.operator };
        let pool = self.sources.pool_of(&asked);
        (pool, self.candidates(pool, attempt, now))
    }

    /// The sources of a pool, in the warm-up's order for this class of mail.
    fn candidates(&self, pool: PoolId, attempt: &Attempt, now: Timestamp) -> Vec<Candidate> {
        let is_routed = self.router.is_static(&attempt.domain);
        let mut all = self.sources.candidates(pool, attempt.site, is_routed, now);
        pick::bind_by_share(attempt.class, &mut all);
        if self.controller.is_warming(attempt.operator) {
            let standing = |source| self.controller.standing(source, attempt.operator);
            overflow::rank(attempt.class, &mut all, standing);
        }
        all
    }

    /// Marketing goes to cold sources first, and they are judged by it.
    pub(super) fn take_order(&self, operator: OperatorId) -> TakeOrder {
        match self.controller.is_warming(operator) {
            true => TakeOrder::Engaged,
            false => TakeOrder::Due,
        }
    }

    /// What a person reads at a delivery for which no source may send.
    pub(super) fn reason_of(&self, pool: PoolId, none: &NoSource) -> String {
        let named = |(source, why): &(SourceId, pick::Refusal)| {
            format!("{}: {why}", self.sources.name_of(*source))
        };
        let each: Vec<String> = none.0.iter().map(named).collect();
        reason_text(&self.sources.pool_name(pool), &each)
    }

    /// Where a greylisted mail was greylisted, as the event of its last attempt says.
    async fn last_source(&self, delivery: &ClaimedDelivery) -> Option<SourceId> {
        // Another host's answer, or none, leaves the choice open.
        if delivery.tries == 0 || !delivery.last_text.starts_with('4') {
            return None;
        }
        let told = self.queue.store().last_deferral_of(delivery.message.id, delivery.id).await;
        match told {
            Ok(fields) => self.sources.by_name(greylisted_from(&fields?)?),
            Err(error) => {
                tracing::debug!(%error, "the source of the last attempt is not known now");
                None
            }
        }
    }

    /// A source got no connection. When that is its own trouble, and another one may send, it is
    /// left alone for a while, and true says that the other may be asked at once.
    pub(super) async fn source_failed(
        &self,
        site: &Site,
        source: &Source,
        claimed: &[Claimed],
        failure: &OpenFailure,
    ) -> bool {
        let Outcome::Deferred { blame, .. } = &failure.outcome else { return false };
        let (now, reason) = (self.clock.now(), failure.outcome.text());
        self.sources.connected(source.id, false, now);
        let is_own = matches!(blame, Blame::Source | Blame::Ourselves);
        let place = match (&source.relay, is_own) {
            // Signed in with a token that has been replaced: the new one may do.
            (Some(_), true) if self.sources.renew_secret(source.id) => return true,
            // A relay that does not answer answers for no site.
            (Some(_), _) => None,
            (None, true) => Some(site.id),
            (None, false) => return false,
        };
        self.sources.set_aside(source.id, place, now, &reason);
        let operator = self.router.known_operator(site.id).unwrap_or(OperatorId::TAIL);
        let mut attempt = self.attempt_of(&claimed[0], site.id, operator, source.id);
        // The system's own choice of an address is set aside by nobody: it may be chosen again.
        let chosen = self.choose(claimed, &mut attempt, None).await;
        let has_other = chosen.is_ok_and(|chosen| chosen.origin.source.id != source.id);
        if !has_other {
            // The only one: its site waits, as after any other failure.
            self.sources.take_back(source.id, place);
        }
        has_other
    }

    /// It waits, with the reasons, and is not said to have been tried; the rest of its flow, or of
    /// its pool, waits behind it.
    pub(super) async fn wait_for_source(
        self: &Arc<Shared>,
        site: &Arc<Site>,
        claimed: Vec<Claimed>,
        operator: OperatorId,
        (pool, none): (PoolId, &NoSource),
    ) {
        let now = self.clock.now();
        let reason = self.reason_of(pool, none);
        let wait = none.until().map_or(NO_SOURCE_WAIT, |until| until.since(now));
        let until = now + wait.clamp(NO_SOURCE_WAIT_MIN, NO_SOURCE_WAIT);
        let settles = claimed.iter().map(|one| Settle {
            step: Step::Defer,
            due: until.min(one.delivery.message.expires_at.max(now)),
            text: reason.clone(),
            blame: Some(Blame::Source),
            fields: serde_json::json!({ "reason": reason }),
            ..verdict::give_back(&one.delivery, site.id, now)
        });
        let settlement = Settlement::new(site.clone(), &claimed, settles.collect(), None, None);
        self.settle(settlement).await;
        let line = line_of(&claimed[0]);
        let of_line = |one: &Claimed| line_of(one) == line;
        if let Some(pool) = self.dividing_pool(&claimed[0], operator) {
            self.put_off_pool(site, pool, operator, (until, &[]), of_line).await;
        } else if line.campaign.is_some() {
            // The ledger cannot pass over a campaign: its rows wait by themselves.
            let back = site.drain_each(of_line);
            self.put_off(site, &back, until, &[]).await;
        } else {
            let reach = Reach::Line(line);
            let park = Park { reach, class: None, until, is_open_ended: false, limit: None };
            let back = site.park(park, false);
            self.give_back(site, &back, until).await;
        }
        Shared::look(self, site);
    }
}

/// `each`: a source of the pool, and why it may not send.
fn reason_text(pool: &str, each: &[String]) -> String {
    if each.is_empty() {
        return format!("the pool {pool} has no source; give it one: postroad pool add");
    }
    let text = format!("no source of the pool {pool} may send ({})", each.join("; "));
    verdict::clipped(text)
}

/// The source, by name, of an attempt that was greylisted.
fn greylisted_from(fields: &serde_json::Value) -> Option<&str> {
    let class = classified_in(fields)?.class;
    fields.get("source").filter(|_| class == Class::Greylist)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::{greylisted_from, reason_text};
    use crate::classify::{Answer, Classifier};

    #[test]
    fn only_a_greylisted_attempt_binds_its_source() {
        let classifier = Classifier::shipped().expect("the shipped rules load");
        let from = |text: &str| {
            let told = classifier.classify(None, &Answer::read(text));
            let mut fields = serde_json::to_value(told.as_ref()).expect("has fields");
            fields["source"] = "b".into();
            greylisted_from(&fields).map(str::to_owned)
        };
        let greylisted = "450 4.2.0 Recipient address rejected: Greylisted, try again";
        assert_eq!(from(greylisted).as_deref(), Some("b"));
        assert_eq!(from("452 4.2.2 mailbox full"), None);
        assert_eq!(greylisted_from(&serde_json::json!({ "source": "b" })), None);
    }

    #[test]
    fn the_reason_names_the_pool_and_every_source_of_it() {
        let each = ["a: suspended".to_owned(), "b: red: listed".to_owned()];
        let told = "no source of the pool news may send (a: suspended; b: red: listed)";
        assert_eq!(reason_text("news", &each), told);
        assert!(reason_text("news", &[]).contains("has no source"));
    }
}
