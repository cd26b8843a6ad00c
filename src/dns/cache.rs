//! What was looked up, for as long as it holds, and one lookup at a time for each question.
//!
//! Owns:       freshness, stale answers, and who is asking just now.
//! Promises:   bounded; many who ask for the same at once cost one lookup; a caller that gives up
//!             takes nobody with it.
//! Knows not:  DNS.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::DnsFailure;
use crate::clock::Clock;
use crate::model::Timestamp;

/// RFC 8767: an answer that has run out is better than none while its name server fails.
const STALE_FOR: Duration = Duration::from_secs(24 * 3600);
/// RFC 8767 §5, RFC 9520 §3.2: how long a failing name server is left alone.
const FAILURE_HOLDS: Duration = Duration::from_secs(30);
const FAILURE_HOLDS_WITHOUT_ANSWER: Duration = Duration::from_secs(5);

/// An answer and the time it holds.
#[derive(Clone, Debug)]
pub(super) struct Fresh<V> {
    pub value: V,
    pub holds: Duration,
}

#[derive(Clone)]
struct Entry<V> {
    answer: Result<V, DnsFailure>,
    until: Timestamp,
    /// When the answer ran out; later than `until` never, earlier for a stale one kept in use.
    ran_out: Timestamp,
}

type Flight<V> = Arc<OnceCell<Result<V, DnsFailure>>>;

pub(super) struct Cache<K, V> {
    entries: moka::sync::Cache<K, Entry<V>>,
    flights: Mutex<HashMap<K, Flight<V>>>,
    clock: Clock,
}

impl<K, V> Cache<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(entries_max: u64, clock: Clock) -> Cache<K, V> {
        let entries = moka::sync::Cache::new(entries_max);
        Cache { entries, flights: Mutex::new(HashMap::new()), clock }
    }

    /// An answer that still holds.
    pub(super) fn fresh(&self, key: &K) -> Option<V> {
        self.fresh_entry(key)?.ok()
    }

    fn fresh_entry(&self, key: &K) -> Option<Result<V, DnsFailure>> {
        let entry = self.entries.get(key)?;
        (self.clock.now() < entry.until).then_some(entry.answer)
    }

    /// From the cache, from somebody's lookup under way, or from `look_up`.
    pub(super) async fn get<F>(&self, key: &K, look_up: F) -> Result<V, DnsFailure>
    where
        F: Future<Output = Result<Fresh<V>, DnsFailure>>,
    {
        if let Some(answer) = self.fresh_entry(key) {
            return answer;
        }
        let flight = Asking::join(self, key);
        let answered = flight.cell.get_or_init(|| async {
            // Another flight may have landed between the look into the cache and the joining.
            match self.fresh_entry(key) {
                Some(answer) => answer,
                None => self.keep(key, look_up.await),
            }
        });
        answered.await.clone()
    }

    fn keep(&self, key: &K, found: Result<Fresh<V>, DnsFailure>) -> Result<V, DnsFailure> {
        let now = self.clock.now();
        let entry = match found {
            Ok(Fresh { value, holds }) => {
                let until = now + holds;
                Entry { answer: Ok(value), until, ran_out: until }
            }
            Err(failure) => self.stale_or(key, failure, now),
        };
        let answer = entry.answer.clone();
        self.entries.insert(key.clone(), entry);
        answer
    }

    fn stale_or(&self, key: &K, failure: DnsFailure, now: Timestamp) -> Entry<V> {
        let kept = self.entries.get(key);
        match kept.filter(|kept| kept.answer.is_ok() && now < kept.ran_out + STALE_FOR) {
            Some(kept) => Entry { until: now + FAILURE_HOLDS, ..kept },
            None => Entry {
                answer: Err(failure),
                until: now + FAILURE_HOLDS_WITHOUT_ANSWER,
                ran_out: now,
            },
        }
    }
}

/// One who asks; the last one to leave takes the flight off the list.
struct Asking<'a, K: Eq + Hash, V> {
    cache: &'a Mutex<HashMap<K, Flight<V>>>,
    key: K,
    cell: Flight<V>,
}

impl<'a, K: Clone + Eq + Hash, V> Asking<'a, K, V> {
    fn join(cache: &'a Cache<K, V>, key: &K) -> Asking<'a, K, V> {
        let cell = Arc::clone(cache.flights.lock().entry(key.clone()).or_default());
        Asking { cache: &cache.flights, key: key.clone(), cell }
    }
}

impl<K: Eq + Hash, V> Drop for Asking<'_, K, V> {
    fn drop(&mut self) {
        let mut flights = self.cache.lock();
        // Landed: who comes now finds the cache. Or nobody else waits for it.
        let is_ours = flights.get(&self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        if is_ours && (self.cell.initialized() || Arc::strong_count(&self.cell) <= 2) {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn cache() -> (Cache<&'static str, u32>, Clock) {
        let clock = Clock::standing(1);
        (Cache::new(10, clock.clone()), clock)
    }

    async fn found(value: u32, seconds: u64) -> Result<Fresh<u32>, DnsFailure> {
        Ok(Fresh { value, holds: Duration::from_secs(seconds) })
    }

    async fn failed() -> Result<Fresh<u32>, DnsFailure> {
        Err(DnsFailure("SERVFAIL".into()))
    }

    #[tokio::test]
    async fn an_answer_holds_for_its_time_and_is_then_looked_up_again() {
        let (cache, clock) = cache();
        assert_eq!(cache.get(&"a", found(1, 60)).await.ok(), Some(1));
        assert_eq!(cache.get(&"a", found(2, 60)).await.ok(), Some(1));
        clock.advance(Duration::from_secs(61));
        assert_eq!(cache.fresh(&"a"), None);
        assert_eq!(cache.get(&"a", found(2, 60)).await.ok(), Some(2));
    }

    #[tokio::test]
    async fn while_the_name_server_fails_the_last_answer_serves_for_a_day() {
        let (cache, clock) = cache();
        assert_eq!(cache.get(&"a", found(1, 60)).await.ok(), Some(1));
        clock.advance(Duration::from_secs(3600));
        assert_eq!(cache.get(&"a", failed()).await.ok(), Some(1));
        assert_eq!(cache.fresh(&"a"), Some(1));
        clock.advance(STALE_FOR);
        assert!(cache.get(&"a", failed()).await.is_err());
        assert_eq!(cache.fresh(&"a"), None);
        clock.advance(FAILURE_HOLDS_WITHOUT_ANSWER);
        assert_eq!(cache.get(&"a", found(2, 60)).await.ok(), Some(2));
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cost_one_lookup() {
        let (cache, _) = cache();
        let count = AtomicUsize::new(0);
        let look_up = || async {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            found(7, 60).await
        };
        let (a, b, c) = tokio::join!(
            cache.get(&"a", look_up()),
            cache.get(&"a", look_up()),
            cache.get(&"a", look_up())
        );
        assert_eq!([a.ok(), b.ok(), c.ok()], [Some(7); 3]);
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert!(cache.flights.lock().is_empty());
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_takes_nobody_with_it() {
        let (cache, _) = cache();
        let hanging = cache.get(&"a", std::future::pending());
        tokio::select! {
            biased;
            _ = hanging => unreachable!("it never ends"),
            () = tokio::task::yield_now() => {}
        }
        assert!(cache.flights.lock().is_empty());
        assert_eq!(cache.get(&"a", found(3, 60)).await.ok(), Some(3));
    }
}
