//! A lane's place: among the connections of all, and at its site.
//!
//! Owns:       the wait for a connection, the seat, the catching of panics.
//! Promises:   what a lane holds is given up however it ends.
//! Knows not:  what a lane does.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use super::site::Site;

/// One of the connections that may be open in all. When there is none left, a lane that idles
/// somewhere gives up its own.
pub async fn permit(shared: &Arc<Shared>) -> Option<OwnedSemaphorePermit> {
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
