//! A lane's connection: opens, sends one transaction after another, ends when there is none.
//!
//! Owns:       one connection from one source to one site.
//! Promises:   each transaction it takes ends in the outcome log, goes back untried, or moves to
//!             the site where it belongs; a panic costs one try and is caught here.
//! Knows not:  rows, the order of mail.

mod ends;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::answered::Answered;
use super::choose::Unchosen;
use super::composed::transaction_of;
use super::grant::{Origin, Refusal, Stop};
use super::limits::{Caps, Permit};
use super::park::Parks;
use super::ready::line_of;
use super::route::Routed;
use super::seat::{Panicked, Place, Seat, caught};
use super::settler::Settlement;
use super::site::Site;
use crate::deliver::{Answer, Connection, ConnectionFacts, Transaction};
use crate::model::*;
use crate::queue::Claimed;
use ends::deferred;

/// Before a ledger that did not answer is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

type Sent = (Answer, ConnectionFacts);

/// How one transaction ended.
#[allow(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
enum Ended {
    Settled(Settlement),
    /// To the site where its domain belongs now.
    Moved(SiteId),
    /// The host bears no more connections: another lane sends it.
    Untried,
    /// A limit allows no further connection.
    Refused(Box<Denial>),
}

pub struct Lane {
    shared: Arc<Shared>,
    site: Arc<Site>,
    operator: OperatorId,
    /// None until there is work to choose it for.
    origin: Option<Origin>,
    connection: Option<Connection>,
    /// Of the connection: its place among those that limits count.
    place: Option<Permit>,
    sent: u32,
    caps: Caps,
    /// What this lane's source may not send now.
    parks: Parks,
}

/// A transaction that limits have granted.
struct Granted {
    claimed: Vec<Claimed>,
    attempt: Attempt,
    /// None for what has expired: it is not sent.
    permit: Option<Permit>,
}

/// Runs until there is no work for as long as an idle connection is kept.
pub async fn run(shared: Arc<Shared>, site: Arc<Site>) {
    let seat = Seat { shared: shared.clone(), site: site.clone() };
    let Some(mut place) = Place::wait(&shared, &site).await else { return };
    let Some(mut lane) = Lane::at(shared, site).await else { return };
    while place.may_stay(&lane.shared, &lane.site)
        && let Some(work) = lane.next_work().await
    {
        let claimed = lane.allowed(work).await;
        if claimed.is_empty() {
            continue;
        }
        let Some(mut granted) = Box::pin(lane.granted(claimed)).await else {
            if lane.connection.is_none() {
                // Whether there is other mail to begin a lane for is the site's to see.
                break;
            }
            continue;
        };
        // Pinned here and not moved into `caught`, which would keep it twice.
        let attempt = caught(pin!(lane.attempt(&mut granted))).await;
        let Granted { claimed, attempt: of, permit } = granted;
        drop(permit);
        match attempt {
            Ok(Ended::Settled(settlement)) => lane.shared.settle(settlement).await,
            Ok(Ended::Moved(to)) => lane.shared.relocate(&lane.site, claimed, to).await,
            Ok(Ended::Untried) => {
                lane.site.untried(claimed);
                break;
            }
            Ok(Ended::Refused(denial)) => {
                let refusal = Refusal::of_one(denial);
                Box::pin(lane.shared.refuse(&lane.site, claimed, &of, &refusal)).await;
                break;
            }
            Err(Panicked) => {
                // What the connection was in the middle of is unknown.
                lane.drop_connection();
                lane.panicked(&claimed).await;
            }
        }
    }
    lane.quit().await;
    drop((place, seat));
}

impl Lane {
    /// None when the ledger does not say who runs the site; it is looked at again.
    async fn at(shared: Arc<Shared>, site: Arc<Site>) -> Option<Lane> {
        let operator = match shared.router.operator(site.id).await {
            Ok(operator) => operator,
            Err(error) => {
                tracing::warn!(%error, site = %site.id, "a site's operator cannot be read now");
                let again = shared.clock.now() + AGAIN_AFTER;
                let back = site.stop_opening(again, false);
                shared.give_back(&site, &back, again).await;
                return None;
            }
        };
        let (origin, connection, place) = (None, None, None);
        let (caps, parks) = (Caps::default(), Parks::default());
        Some(Lane { shared, site, operator, origin, connection, place, sent: 0, caps, parks })
    }

    /// As much of the transaction as limits grant; the rest goes first again. None when they deny
    /// all of it, and it waits for them.
    async fn granted(&mut self, mut claimed: Vec<Claimed>) -> Option<Granted> {
        let shared = self.shared.clone();
        let now = shared.clock.now();
        let source = self.origin.as_ref().map_or(SourceId(0), |origin| origin.id);
        let mut attempt = shared.attempt_of(&claimed[0], self.site.id, self.operator, source);
        if now >= claimed[0].delivery.message.expires_at {
            return Some(Granted { claimed, attempt, permit: None });
        }
        let open = self.connection.as_ref().and(self.origin.as_ref()).map(|origin| origin.id);
        let pool = match shared.choose(&claimed, &mut attempt, open).await {
            Ok(chosen) => {
                self.leave_from(chosen.origin).await;
                chosen.pool
            }
            Err(Unchosen::Denied(refusal)) => {
                shared.refuse(&self.site, claimed, &attempt, &refusal).await;
                return None;
            }
            Err(Unchosen::NoSource(pool, none)) => {
                let why = (pool, &none);
                let waits = shared.wait_for_source(&self.site, claimed, self.operator, why);
                Box::pin(waits).await;
                return None;
            }
        };
        self.caps = shared.limits.caps(&attempt, now);
        let is_personal = shared.composer.is_personal(&claimed[0].delivery.message);
        let count_max = if is_personal { Some(1) } else { self.caps.recipients_per_message };
        self.keep(&mut claimed, count_max);
        let wanted = u64::try_from(claimed.len()).unwrap_or(u64::MAX);
        match shared.limits.reserve(&attempt, wanted, now) {
            Ok(permit) => {
                self.keep(&mut claimed, Some(permit.count()));
                let carried = (attempt.source, attempt.class);
                shared.sources.count(pool, carried, permit.count(), now);
                Some(Granted { claimed, attempt, permit: Some(permit) })
            }
            Err(denial) => {
                self.denied(claimed, &attempt, denial).await;
                None
            }
        }
    }

    /// The lane sends from there from now on; a connection from elsewhere, or of a source that was
    /// declared anew, ends.
    async fn leave_from(&mut self, origin: Origin) {
        let same =
            |own: &Origin| Arc::ptr_eq(&own.source, &origin.source) || own.source == origin.source;
        if !self.origin.as_ref().is_some_and(same) {
            self.quit().await;
            self.parks = Parks::default();
        }
        self.origin = Some(origin);
    }

    /// Gives back what is beyond `count`.
    fn keep(&self, claimed: &mut Vec<Claimed>, count: Option<u64>) {
        let count = count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
        if claimed.len() > count {
            self.site.untried(claimed.split_off(count));
            Shared::look(&self.shared, &self.site);
        }
    }

    async fn denied(&mut self, claimed: Vec<Claimed>, attempt: &Attempt, denial: Box<Denial>) {
        let shared = &self.shared;
        if shared.stop_of(&denial, attempt, &claimed[0]) == Stop::Site {
            let mut refusal = Refusal::of_one(denial);
            refusal.is_mixed |= shared.sources.has_pools();
            return shared.refuse(&self.site, claimed, attempt, &refusal).await;
        }
        shared.park_for(&mut self.parks, line_of(&claimed[0]), &denial);
        self.site.untried(claimed);
        if self.connection.is_none() {
            // Nothing is lost: the lane goes on from where it may.
            self.origin = None;
            self.parks = Parks::default();
        }
        Shared::look(shared, &self.site);
    }

    fn is_wanted(&self, urgently: bool) -> bool {
        self.place.as_ref().is_some_and(|place| place.is_wanted(self.site.id, urgently))
    }

    /// The host counts the connection until it has answered: so long nobody gets its place.
    async fn quit(&mut self) {
        let place = self.place.take();
        if let Some(connection) = self.take_connection() {
            connection.quit().await;
        }
        drop(place);
    }

    /// The next transaction; None when this lane should end.
    async fn next_work(&mut self) -> Option<Vec<Claimed>> {
        let shared = &self.shared;
        let recipients_max = shared.options.recipients_per_transaction_max;
        let mut waited = false;
        if self.is_wanted(true) {
            return None;
        }
        loop {
            if shared.is_stopping() {
                return None;
            }
            let work = self.take(recipients_max);
            if !work.is_empty() {
                Shared::look(shared, &self.site);
                return Some(work);
            }
            // Who is woken for his connection may find mail instead: the one that idles next is
            // asked by the count.
            let is_wanted = shared.connections.are_wanted() || self.is_wanted(false);
            if waited || is_wanted || self.connection.is_none() {
                return None;
            }
            let is_choosy = !self.parks.is_empty();
            self.site.lane_idles(true, is_choosy);
            // What came before this lane counted as idle has woken nobody.
            let work = self.take(recipients_max);
            if work.is_empty() {
                // The last look happens whatever ends the wait.
                waited = tokio::select! {
                    () = self.site.work.notified() => false,
                    () = shared.connections.wanted.notified() => true,
                    () = shared.crowded.notified() => false,
                    () = shared.sleep_until(self.parks.next_end()) => false,
                    () = tokio::time::sleep(shared.options.idle_wait) => true,
                };
            }
            self.site.lane_idles(false, is_choosy);
            self.parks.expire(shared.clock.now());
            if !work.is_empty() {
                Shared::look(shared, &self.site);
                return Some(work);
            }
        }
    }

    fn take(&self, recipients_max: usize) -> Vec<Claimed> {
        let order = self.shared.take_order(self.operator);
        self.site.next(order, recipients_max, &self.parks, self.shared.clock.now())
    }

    /// Without those whose addresses are not written to.
    async fn allowed(&self, work: Vec<Claimed>) -> Vec<Claimed> {
        if self.shared.suppressions.is_clear() {
            return work;
        }
        // On the heap while it runs: a lane that only sends is to stay small.
        match Box::pin(self.shared.without_suppressed(&self.site, work)).await {
            Ok(allowed) => allowed,
            Err((error, work)) => {
                let reason = format!("suppressions cannot be read: {error}");
                if let Ended::Settled(settlement) = Box::pin(self.ourselves(&work, &reason)).await {
                    self.shared.settle(settlement).await;
                }
                Vec::new()
            }
        }
    }

    async fn attempt(&mut self, granted: &mut Granted) -> Ended {
        let shared = self.shared.clone();
        let Granted { claimed, attempt, permit } = granted;
        let claimed = &claimed[..];
        let first = &claimed[0].delivery;
        let message = &first.message;
        let started = shared.clock.wall();
        moment::attempted(&message.subject);
        let Some(permit) = permit else {
            return Ended::Settled(Box::pin(shared.expire(&self.site, claimed)).await);
        };
        if let Err(ended) = self.open_for(attempt, claimed).await {
            return ended;
        }
        let body = match shared.queue.body(&claimed[0]).await {
            Ok(body) => body,
            Err(error) if error.is_transient() => {
                return Box::pin(self.ourselves(claimed, &error.to_string())).await;
            }
            Err(error) => return self.set_aside(claimed, &error.to_string()),
        };
        let (mail, pin) = match shared.composed(&self.site, &claimed[0], body).await {
            Ok(composed) => composed,
            Err(none) => return Box::pin(self.not_composed(claimed, none)).await,
        };
        let mail = shared.composer.marked(mail, message, first.id);
        let sender = shared.composer.sender(message, first.id);
        let transaction = transaction_of(claimed, sender, shared.is_recorded(claimed));
        if let Err(error) = shared.budgets.offer(permit).await {
            return Box::pin(self.ourselves(claimed, &error.to_string())).await;
        }
        let mut answer = match self.send(&transaction, &mail).await {
            Some(sent) => sent,
            None => return Box::pin(self.ourselves(claimed, "the connection is gone")).await,
        };
        if answer.0.untouched {
            // An old connection had ended unseen: a new one may try at once.
            self.drop_connection();
            if let Err(ended) = self.open_for(attempt, claimed).await {
                shared.budgets.take_back(permit);
                return ended;
            }
            if let Some(again) = self.send(&transaction, &mail).await {
                answer = again;
            }
        }
        let (answer, facts) = answer;
        self.site.answered(answer.outcomes.iter().any(|outcome| outcome.reply().is_some()));
        let spent = shared.clock.wall().since(started);
        shared.meters.attempt_seconds.record(spent.as_secs_f64());
        let answered = Answered {
            outcomes: answer.outcomes,
            facts: &facts,
            dsn_passed_on: answer.dsn_passed_on,
            dialogue: answer.dialogue.lines,
            spent,
            pin,
        };
        Ended::Settled(shared.conclude(&self.site, claimed, answered).await)
    }

    /// One transaction over the open connection, which is dropped when it is worn out by it.
    async fn send(&mut self, transaction: &Transaction, mail: &Mail) -> Option<Sent> {
        let connection = self.connection.as_mut()?;
        let answer = connection.send(transaction, mail).await;
        let facts = connection.facts().clone();
        self.sent += 1;
        if !connection.is_usable() {
            self.drop_connection();
        }
        Some((answer, facts))
    }

    /// Makes sure that a connection to the domain's site is open.
    async fn open_for(&mut self, attempt: &Attempt, claimed: &[Claimed]) -> Result<(), Ended> {
        let known = self.shared.router.known_site(&attempt.domain) == Some(self.site.id);
        let sent = u64::from(self.sent);
        let worn = self.caps.messages_per_connection.is_some_and(|most| sent >= most);
        let usable = self.connection.as_ref().is_some_and(Connection::is_usable);
        if known && usable && !worn {
            return Ok(());
        }
        // On the heap while it runs: a lane that only sends is to stay small.
        Box::pin(self.open_anew(attempt, claimed, usable && !worn)).await
    }

    /// Asks where the domain's mail goes now, and connects unless the connection may stay.
    async fn open_anew(
        &mut self,
        attempt: &Attempt,
        claimed: &[Claimed],
        stays: bool,
    ) -> Result<(), Ended> {
        let domain = &attempt.domain;
        let (key, operator, target) = match self.shared.router.route(domain).await {
            Ok(Routed::To { key, operator, target }) => (key, operator, target),
            Ok(Routed::Never(outcome)) => return Err(self.without_host(claimed, outcome).await),
            Err(failure) => {
                let outcome = deferred(Blame::Host, failure.to_string());
                return Err(self.without_host(claimed, outcome).await);
            }
        };
        match self.shared.router.site(domain, &key, &operator).await {
            Ok(site) if site == self.site.id => {}
            Ok(site) => return Err(Ended::Moved(site)),
            Err(error) => return Err(self.ourselves(claimed, &error.to_string()).await),
        }
        if stays {
            return Ok(());
        }
        self.quit().await;
        let Some(origin) = self.origin.clone() else {
            return Err(self.ourselves(claimed, "a lane without a source").await);
        };
        let mut place = match self.shared.limits.open(attempt, self.shared.clock.now()) {
            Ok(place) => place,
            Err(denial) => return Err(Ended::Refused(denial)),
        };
        place.offer();
        let target = match self.shared.router.target_for(&origin.source, target).await {
            Ok(target) => target,
            Err(failure) => return Err(self.no_relay(origin.id, claimed, failure).await),
        };
        match self.shared.dialer.open(&target, &origin.source).await {
            Ok(connection) => {
                self.shared.sources.connected(origin.id, true, self.shared.clock.now());
                self.site.connected(origin.id);
                self.place = Some(place);
                self.shared.meters.connections.increment(1.0);
                self.connection = Some(connection);
                self.sent = 0;
                // It answers: mail that waits may open further connections.
                Shared::look(&self.shared, &self.site);
                Ok(())
            }
            Err(failure) => Err(self.not_open(claimed, failure).await),
        }
    }

    fn source_name(&self) -> String {
        self.origin.as_ref().map_or_else(String::new, |origin| origin.source.name.clone())
    }

    fn take_connection(&mut self) -> Option<Connection> {
        let connection = self.connection.take()?;
        if let Some(origin) = &self.origin {
            self.site.closed(origin.id);
        }
        self.place = None;
        self.shared.meters.connections.decrement(1.0);
        Some(connection)
    }

    fn drop_connection(&mut self) {
        drop(self.take_connection());
    }
}
