//! How many sessions there are, in all and of each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::auth::prefix;

/// Shared by all ports. Touched once a session, so one lock is as good as many.
#[derive(Default)]
pub(super) struct Places {
    taken: AtomicUsize,
    /// By client: an IPv4 address or an IPv6 /64. Who has no session is not in it.
    clients: Mutex<HashMap<u64, usize>>,
    emptied: Notify,
}

/// One session's place; given back when dropped.
pub(super) struct Place {
    places: Arc<Places>,
    client: Option<u64>,
}

impl Places {
    /// None when `taken_max` are taken.
    pub fn take(self: &Arc<Places>, taken_max: usize) -> Option<Place> {
        let taken = self.taken.fetch_add(1, Ordering::AcqRel);
        // Made before the comparison, so that its drop undoes the addition.
        let place = Place { places: self.clone(), client: None };
        (taken < taken_max).then_some(place)
    }

    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// Returns once no session is left.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.taken() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Place {
    /// Counts the session for its client, which is known only after a PROXY header; None when the
    /// client has `sessions_max` already.
    pub fn of_client(mut self, peer: IpAddr, sessions_max: usize) -> Option<Place> {
        let client = prefix(peer);
        let mut clients = self.places.clients.lock();
        let sessions = clients.entry(client).or_default();
        if *sessions >= sessions_max {
            if *sessions == 0 {
                clients.remove(&client);
            }
            return None;
        }
        *sessions += 1;
        drop(clients);
        self.client = Some(client);
        Some(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(client) = self.client {
            let mut clients = self.places.clients.lock();
            if let Some(sessions) = clients.get_mut(&client) {
                *sessions -= 1;
                if *sessions == 0 {
                    clients.remove(&client);
                }
            }
        }
        if self.places.taken.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.places.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_for_each_client_and_come_back() {
        let places = Arc::new(Places::default());
        let peer = |text: &str| text.parse().expect("an address");
        let one = places.take(3).and_then(|place| place.of_client(peer("2001:db8::1"), 1));
        assert!(one.is_some());
        let same = places.take(3).and_then(|place| place.of_client(peer("2001:db8::2"), 1));
        assert!(same.is_none());
        let other = places.take(3).and_then(|place| place.of_client(peer("192.0.2.1"), 1));
        assert!(other.is_some() && places.taken() == 2);
        let _third = places.take(3).expect("a third");
        assert!(places.take(3).is_none());
        drop(one);
        assert!(places.take(3).is_some());
        assert_eq!(places.clients.lock().len(), 1);
    }
}
