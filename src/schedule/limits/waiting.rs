//! Who waits for a connection of somebody else to close.
//!
//! Owns:       for each count of connections, the sites that found it full, first come first.
//! Promises:   a release names those who waited longest; nobody is named who did not ask.
//! Knows not:  what they do then.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::CellKey;
use crate::model::SiteId;

/// One free place wakes so many: a site that needs it no more does not keep it from the next.
const WAKES: usize = 2;

#[derive(Default)]
pub struct Waiting {
    state: Mutex<State>,
    changed: Notify,
}

/// Who has transactional mail comes first.
#[derive(Default)]
struct Queue {
    urgent: VecDeque<SiteId>,
    others: VecDeque<SiteId>,
}

#[derive(Default)]
struct State {
    sites: HashMap<CellKey, Queue>,
    free: Vec<SiteId>,
}

impl Waiting {
    pub fn add(&self, key: CellKey, site: SiteId, is_urgent: bool) {
        let mut state = self.state.lock();
        let queue = state.sites.entry(key).or_default();
        if queue.urgent.contains(&site) {
            return;
        }
        if is_urgent {
            queue.others.retain(|one| *one != site);
            queue.urgent.push_back(site);
        } else if !queue.others.contains(&site) {
            queue.others.push_back(site);
        }
    }

    /// Somebody else than this site waits, with transactional mail if `urgently`.
    pub fn is_wanted(&self, key: CellKey, by_other_than: SiteId, urgently: bool) -> bool {
        let state = self.state.lock();
        let Some(queue) = state.sites.get(&key) else { return false };
        let other = |site: &SiteId| *site != by_other_than;
        queue.urgent.iter().any(other) || (!urgently && queue.others.iter().any(other))
    }

    pub fn release(&self, key: CellKey) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(queue) = state.sites.get_mut(&key) else { return };
        for _ in 0..WAKES {
            state.free.extend(queue.urgent.pop_front().or_else(|| queue.others.pop_front()));
        }
        if queue.urgent.is_empty() && queue.others.is_empty() {
            state.sites.remove(&key);
        }
        self.changed.notify_one();
    }

    pub async fn next(&self) -> Vec<SiteId> {
        loop {
            let free = std::mem::take(&mut self.state.lock().free);
            if !free.is_empty() {
                return free;
            }
            self.changed.notified().await;
        }
    }
}
