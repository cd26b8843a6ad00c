//! A lane's connection: opens, sends one transaction after another, ends when there is none.
//!
//! Owns:       one connection from one source to one site.
//! Promises:   each transaction it takes ends in the outcome log, goes back untried, or moves to
//!             the site where it belongs; a panic costs one try and is caught here.
//! Knows not:  rows, the order of mail.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use super::route::Routed;
use super::settler::Settlement;
use super::site::Site;
use super::verdict;
use crate::deliver::{Answer, Connection, ConnectionFacts, OpenFailure, Source, Transaction};
use crate::model::limits::PANICS_MAX;
use crate::model::*;
use crate::queue::Claimed;
use crate::queue::outcome_log::Record;
use crate::store::ClaimedDelivery;

type Sent = (Answer, ConnectionFacts);

/// How one transaction ended.
#[allow(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
enum Ended {
    Settled(Settlement),
    /// To the site where its domain belongs now.
    Moved(SiteId),
    /// The host bears no more connections: another lane sends it.
    Untried,
}

pub struct Lane {
    shared: Arc<Shared>,
    site: Arc<Site>,
    source: Arc<Source>,
    connection: Option<Connection>,
    sent: u32,
}

/// Runs until there is no work for as long as an idle connection is kept.
pub async fn run(shared: Arc<Shared>, site: Arc<Site>) {
    let seat = Seat { shared: shared.clone(), site: site.clone() };
    let Some(permit) = permit(&shared).await else { return };
    let source = shared.next_source();
    let mut lane = Lane { shared, site, source, connection: None, sent: 0 };
    while let Some(work) = lane.next_work().await {
        let claimed = lane.allowed(work).await;
        if claimed.is_empty() {
            continue;
        }
        // Pinned here and not moved into `caught`, which would keep it twice.
        let attempt = caught(pin!(lane.attempt(&claimed))).await;
        match attempt {
            Ok(Ended::Settled(settlement)) => lane.shared.settle(settlement).await,
            Ok(Ended::Moved(to)) => lane.shared.relocate(&lane.site, claimed, to).await,
            Ok(Ended::Untried) => {
                lane.site.untried(claimed);
                break;
            }
            Err(Panicked) => {
                // What the connection was in the middle of is unknown.
                lane.drop_connection();
                lane.panicked(&claimed).await;
            }
        }
    }
    if let Some(connection) = lane.take_connection() {
        connection.quit().await;
    }
    drop((permit, seat));
}

/// One of the connections that may be open in all. When there is none left, a lane that idles
/// somewhere gives up its own.
async fn permit(shared: &Arc<Shared>) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = shared.connections.clone().try_acquire_owned() {
        return Some(permit);
    }
    shared.wanting.fetch_add(1, Ordering::Relaxed);
    let _wanting = Wanting(shared);
    shared.wanted.notify_one();
    shared.connections.clone().acquire_owned().await.ok()
}

/// Counted among those who wait for a connection, until it is dropped.
struct Wanting<'a>(&'a Shared);

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.wanting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A lane's place at its site, given up however the lane ends.
struct Seat {
    shared: Arc<Shared>,
    site: Arc<Site>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.site.lane_ends();
        Shared::look(&self.shared, &self.site);
    }
}

struct Panicked;

/// Runs a future and turns a panic in it into an error.
async fn caught<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panicked> {
    std::future::poll_fn(|context| {
        let poll = AssertUnwindSafe(|| future.as_mut().poll(context));
        match std::panic::catch_unwind(poll) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

impl Lane {
    /// The next transaction; None when this lane should end.
    async fn next_work(&mut self) -> Option<Vec<Claimed>> {
        let shared = &self.shared;
        let recipients_max = shared.options.recipients_per_transaction_max;
        let mut waited = false;
        loop {
            if shared.is_stopping() {
                return None;
            }
            let work = self.site.next(recipients_max, shared.clock.now());
            if !work.is_empty() {
                Shared::look(shared, &self.site);
                return Some(work);
            }
            // Who is woken for his connection may find mail instead: the one that idles next is
            // asked by the count.
            let is_wanted = shared.wanting.load(Ordering::Relaxed) > 0;
            if waited || is_wanted || self.connection.is_none() {
                return None;
            }
            self.site.lane_idles(true);
            // What came before this lane counted as idle has woken nobody.
            let work = self.site.next(recipients_max, shared.clock.now());
            if work.is_empty() {
                // The last look happens whatever ends the wait.
                waited = tokio::select! {
                    () = self.site.work.notified() => false,
                    () = shared.wanted.notified() => true,
                    () = tokio::time::sleep(shared.options.idle_wait) => true,
                };
            }
            self.site.lane_idles(false);
            if !work.is_empty() {
                Shared::look(shared, &self.site);
                return Some(work);
            }
        }
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

    async fn attempt(&mut self, claimed: &[Claimed]) -> Ended {
        let shared = self.shared.clone();
        let first = &claimed[0].delivery;
        let message = &first.message;
        let started = shared.clock.wall();
        moment::attempted(&message.subject);
        if shared.clock.now() >= message.expires_at {
            return Ended::Settled(Box::pin(shared.expire(&self.site, claimed)).await);
        }
        if let Err(ended) = self.open_for(first.recipient.address.domain(), claimed).await {
            return ended;
        }
        let body = match shared.queue.body(&claimed[0]).await {
            Ok(body) => body,
            Err(error) if error.is_transient() => {
                return Box::pin(self.ourselves(claimed, &error.to_string())).await;
            }
            Err(error) => return self.set_aside(claimed, &error.to_string()),
        };
        let mail = match shared.composer.compose(message, body).await {
            Ok(mail) => mail,
            Err(error) => return Box::pin(self.ourselves(claimed, &error.to_string())).await,
        };
        let transaction = transaction_of(claimed);
        let mut answer = match self.send(&transaction, &mail).await {
            Some(sent) => sent,
            None => return Box::pin(self.ourselves(claimed, "the connection is gone")).await,
        };
        if answer.0.untouched {
            // An old connection had ended unseen: a new one may try at once.
            self.drop_connection();
            if let Err(ended) = self.open_for(first.recipient.address.domain(), claimed).await {
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
    async fn open_for(&mut self, domain: &Domain, claimed: &[Claimed]) -> Result<(), Ended> {
        let known = self.shared.router.known_site(domain) == Some(self.site.id);
        let worn = self.sent >= self.shared.options.messages_per_connection_max;
        let usable = self.connection.as_ref().is_some_and(Connection::is_usable);
        if known && usable && !worn {
            return Ok(());
        }
        // On the heap while it runs: a lane that only sends is to stay small.
        Box::pin(self.open_anew(domain, claimed, usable && !worn)).await
    }

    /// Asks where the domain's mail goes now, and connects unless the connection may stay.
    async fn open_anew(
        &mut self,
        domain: &Domain,
        claimed: &[Claimed],
        stays: bool,
    ) -> Result<(), Ended> {
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
        if let Some(old) = self.take_connection() {
            old.quit().await;
        }
        match self.shared.dialer.open(&target, &self.source).await {
            Ok(connection) => {
                self.site.connected();
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

    fn take_connection(&mut self) -> Option<Connection> {
        let connection = self.connection.take()?;
        self.site.closed();
        self.shared.meters.connections.decrement(1.0);
        Some(connection)
    }

    fn drop_connection(&mut self) {
        drop(self.take_connection());
    }

    async fn not_open(&mut self, claimed: &[Claimed], failure: OpenFailure) -> Ended {
        let reason = failure.outcome.text();
        let now = self.shared.clock.now();
        if self.site.is_open_elsewhere(now) {
            return Ended::Untried;
        }
        tracing::info!(site = %self.site.id, host = failure.facts.host, source = self.source.name,
            reason, "no connection; the site waits");
        let until = self.site.refused(now, &reason);
        self.shared.empty(&self.site, until).await;
        let answer = Answered {
            outcomes: vec![failure.outcome; claimed.len()],
            facts: &failure.facts,
            dsn_passed_on: false,
            dialogue: failure.dialogue.lines,
            spent: Duration::ZERO,
        };
        Ended::Settled(self.shared.conclude(&self.site, claimed, answer).await)
    }

    /// The same outcome for all, without a host to blame it on.
    async fn without_host(&self, claimed: &[Claimed], outcome: Outcome) -> Ended {
        let facts = ConnectionFacts { source: self.source.name.clone(), ..Default::default() };
        let answer = Answered {
            outcomes: vec![outcome; claimed.len()],
            facts: &facts,
            dsn_passed_on: false,
            dialogue: Vec::new(),
            spent: Duration::ZERO,
        };
        Ended::Settled(self.shared.conclude(&self.site, claimed, answer).await)
    }

    /// Our own fault: deferred, so that it can be mended (P7).
    async fn ourselves(&self, claimed: &[Claimed], reason: &str) -> Ended {
        let message = claimed[0].delivery.message.id;
        tracing::error!(%message, reason, "a mail cannot be sent for a reason of our own");
        self.without_host(claimed, deferred(Blame::Ourselves, reason.to_owned())).await
    }

    /// Trying again cannot help: held for a person.
    fn set_aside(&self, claimed: &[Claimed], reason: &str) -> Ended {
        let message = claimed[0].delivery.message.id;
        tracing::error!(%message, reason, "a mail is held: look at it with postroad queue show");
        let now = self.shared.clock.now();
        let settles = claimed.iter().map(|one| verdict::hold(&one.delivery, reason, now));
        let site = self.site.clone();
        Ended::Settled(Settlement::new(site, claimed, settles.collect(), None, None))
    }

    async fn panicked(&self, claimed: &[Claimed]) {
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

/// What an attempt brought, for the rows and the log of dialogues.
pub struct Answered<'a> {
    /// One for each delivery, in order.
    pub outcomes: Vec<Outcome>,
    pub facts: &'a ConnectionFacts,
    pub dsn_passed_on: bool,
    pub dialogue: Vec<String>,
    pub spent: Duration,
}

impl Answered<'_> {
    /// What the outcome log keeps of one delivery; `dialogue` is the place of its dialogue.
    pub fn record(
        &self,
        delivery: &ClaimedDelivery,
        outcome: &Outcome,
        dialogue: Option<&str>,
        at: Timestamp,
    ) -> Record {
        let milliseconds = u64::try_from(self.spent.as_millis()).unwrap_or(u64::MAX);
        let mut fields = verdict::fields(self.facts, outcome, delivery.tries, milliseconds);
        if let Some(map) = fields.as_object_mut() {
            if self.dsn_passed_on {
                map.insert("dsn_passed_on".into(), true.into());
            }
            if let Some(dialogue) = dialogue {
                map.insert("dialogue".into(), dialogue.into());
            }
        }
        Record {
            delivery: delivery.id,
            tries: delivery.tries,
            outcome: outcome.clone(),
            fields,
            at,
        }
    }
}

fn deferred(blame: Blame, reason: String) -> Outcome {
    Outcome::Deferred { reply: None, blame, reason }
}

/// Deliveries that the ready mail put together: one message, one recipient domain.
fn transaction_of(claimed: &[Claimed]) -> Transaction {
    let message = &claimed[0].delivery.message;
    Transaction {
        sender: message.sender.clone(),
        recipients: claimed.iter().map(|one| one.delivery.recipient.clone()).collect(),
        smtputf8: message.smtputf8,
        eight_bit: message.eight_bit,
        dsn_return: message.dsn_return,
        dsn_envelope_id: message.dsn_envelope_id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_an_attempt_is_an_error_and_not_the_end() {
        let faulty = async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "a fault");
        };
        assert!(caught(pin!(faulty)).await.is_err());
        assert!(caught(pin!(async { 1 })).await.is_ok());
    }
}
