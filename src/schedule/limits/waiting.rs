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

#[derive(Default)]
struct State {
    sites: HashMap<CellKey, VecDeque<SiteId>>,
    free: Vec<SiteId>,
}

impl Waiting {
    pub fn add(&self, key: CellKey, site: SiteId) {
        let mut state = self.state.lock();
        let sites = state.sites.entry(key).or_default();
        if !sites.contains(&site) {
            sites.push_back(site);
        }
    }

    pub fn release(&self, key: CellKey) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(sites) = state.sites.get_mut(&key) else { return };
        state.free.extend(sites.drain(..sites.len().min(WAKES)));
        if sites.is_empty() {
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
