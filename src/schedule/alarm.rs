//! One timer for all sites: who is to be looked at, and when.
//!
//! Owns:       a heap of moments.
//! Promises:   a site is named once its moment has come; a second, later moment does no harm.
//! Knows not:  what a site does when it is woken.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::model::{SiteId, Timestamp};

#[derive(Default)]
pub struct Alarm {
    moments: Mutex<Moments>,
    changed: Notify,
}

#[derive(Default)]
struct Moments {
    heap: BinaryHeap<Reverse<(Timestamp, SiteId)>>,
    /// The earliest moment of each site: entries of the heap that are later are passed over, so
    /// the heap holds at most one live entry a site.
    earliest: HashMap<SiteId, Timestamp>,
}

impl Alarm {
    pub fn set(&self, site: SiteId, at: Timestamp) {
        let mut moments = self.moments.lock();
        if moments.earliest.get(&site).is_some_and(|earliest| *earliest <= at) {
            return;
        }
        let first = moments.heap.peek().is_none_or(|Reverse((earliest, _))| at < *earliest);
        moments.earliest.insert(site, at);
        moments.heap.push(Reverse((at, site)));
        drop(moments);
        if first {
            self.changed.notify_one();
        }
    }

    /// Waits for the next moment and returns the sites whose time has come.
    pub async fn next(&self, clock: &Clock) -> Vec<SiteId> {
        loop {
            let due = self.take_due(clock.now());
            if !due.is_empty() {
                return due;
            }
            let first = self.moments.lock().heap.peek().map(|Reverse((at, _))| *at);
            match first {
                Some(at) => tokio::select! {
                    () = clock.sleep_until(at) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    fn take_due(&self, now: Timestamp) -> Vec<SiteId> {
        let mut moments = self.moments.lock();
        let mut due = Vec::new();
        while let Some(Reverse((at, site))) = moments.heap.peek().copied() {
            if at > now {
                break;
            }
            moments.heap.pop();
            if moments.earliest.get(&site) == Some(&at) {
                moments.earliest.remove(&site);
                due.push(site);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_site_is_named_once_at_its_earliest_moment() {
        let clock = Clock::standing(1);
        let alarm = Alarm::default();
        let start = clock.now();
        let seconds = |count| start + Duration::from_secs(count);
        alarm.set(SiteId(1), seconds(30));
        alarm.set(SiteId(1), seconds(10));
        alarm.set(SiteId(1), seconds(20));
        alarm.set(SiteId(2), seconds(10));
        clock.advance(Duration::from_secs(10));
        let mut due = alarm.next(&clock).await;
        due.sort();
        assert_eq!(due, [SiteId(1), SiteId(2)]);
        clock.advance(Duration::from_secs(60));
        alarm.set(SiteId(3), seconds(70));
        assert_eq!(alarm.next(&clock).await, [SiteId(3)]);
    }
}
