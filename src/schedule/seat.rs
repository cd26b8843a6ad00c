//! A lane's place: among the connections of all, and at its site.
//!
//! Owns:       the wait for a connection, the seat, the catching of panics.
//! Promises:   what a lane holds is given up however it ends; transactional mail waits for no
//!             marketing that has all connections.
//! Knows not:  what a lane does.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::Shared;
use super::site::Site;
use crate::model::{StreamClass, Timestamp};

/// Of so many connections one is kept for transactional mail.
const KEPT_EVERY: usize = 10;
/// So long a lane keeps its connection while others wait for one.
const TURN: Duration = Duration::from_secs(10);

/// The connections that may be open in all.
pub struct Connections {
    any: Arc<Semaphore>,
    /// For sites with transactional mail, when the others are in use.
    kept: Arc<Semaphore>,
    /// Lanes that wait for one: who idles gives up his.
    wanting: AtomicUsize,
    pub wanted: Notify,
}

impl Connections {
    pub fn new(count: usize) -> Connections {
        let kept = count / KEPT_EVERY;
        Connections {
            any: Arc::new(Semaphore::new(count - kept)),
            kept: Arc::new(Semaphore::new(kept)),
            wanting: AtomicUsize::new(0),
            wanted: Notify::new(),
        }
    }

    pub fn are_wanted(&self) -> bool {
        self.wanting.load(Ordering::Relaxed) > 0
    }

    pub fn are_in_use(&self, class: StreamClass) -> bool {
        let is_urgent = class == StreamClass::Transactional;
        self.any.available_permits() == 0 && !(is_urgent && self.kept.available_permits() > 0)
    }
}

/// A lane's place among the connections of all.
pub struct Place {
    permit: OwnedSemaphorePermit,
    is_kept: bool,
    since: Timestamp,
}

impl Place {
    /// When there is none left, a lane that idles somewhere gives up its own, and one that has had
    /// its turn does.
    pub async fn wait(shared: &Shared, site: &Site) -> Option<Place> {
        let own = &shared.connections;
        let place = |permit, is_kept| Place { permit, is_kept, since: shared.clock.wall() };
        if let Ok(permit) = own.any.clone().try_acquire_owned() {
            return Some(place(permit, false));
        }
        own.wanting.fetch_add(1, Ordering::Relaxed);
        let _wanting = Wanting(own);
        own.wanted.notify_one();
        let mut any = pin!(own.any.clone().acquire_owned());
        loop {
            let is_urgent = site.has_urgent();
            let kept = own.kept.clone().acquire_owned();
            tokio::select! {
                permit = &mut any => return permit.ok().map(|permit| place(permit, false)),
                permit = kept, if is_urgent => return permit.ok().map(|permit| place(permit, true)),
                () = site.urgent.notified(), if !is_urgent => {}
            }
        }
    }

    /// A place that is kept for transactional mail is kept by no other; any place is given up after
    /// a turn when others wait.
    pub fn may_stay(&mut self, shared: &Shared, site: &Site) -> bool {
        let own = &shared.connections;
        if self.is_kept
            && let Ok(permit) = own.any.clone().try_acquire_owned()
        {
            (self.permit, self.is_kept) = (permit, false);
        }
        let has_turn = shared.clock.wall().since(self.since) < TURN || !own.are_wanted();
        has_turn && (!self.is_kept || site.has_urgent())
    }
}

/// Counted among those who wait for a connection, until it is dropped.
struct Wanting<'a>(&'a Connections);

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.wanting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A lane's place at its site, given up however the lane ends.
pub struct Seat {
    pub shared: Arc<Shared>,
    pub site: Arc<Site>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.site.lane_ends();
        Shared::look(&self.shared, &self.site);
    }
}

pub struct Panicked;

/// Runs a future and turns a panic in it into an error.
pub async fn caught<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panicked> {
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

#[cfg(test)]
mod tests {
    use std::pin::pin;

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
