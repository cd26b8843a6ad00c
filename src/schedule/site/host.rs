//! What a site's host does with connections: it greets, refuses one more, is not there.
//!
//! Owns:       the site's open connections, its block, how many lanes it bears.
//! Promises:   a block has an end, and several failures together count once.
//! Knows not:  mail.

use std::time::Duration;

use super::{Block, Site};
use crate::model::{SourceId, Timestamp};

/// How long a host that refuses one more connection is not asked for one.
const CAP_DURATION: Duration = Duration::from_secs(60);
pub(super) const BLOCK_FIRST: Duration = Duration::from_secs(30);
const BLOCK_MAX: Duration = Duration::from_secs(30 * 60);

impl Site {
    /// The host greets and speaks: what was held against it is forgotten.
    pub fn connected(&self, source: SourceId) {
        let mut held = self.state.lock();
        held.failures = 0;
        held.open += 1;
        *held.sources.entry(source).or_default() += 1;
    }

    /// A transaction has ended, with a word of the host or without one.
    pub fn answered(&self, answers: bool) {
        self.state.lock().answers = answers;
    }

    pub fn closed(&self, source: SourceId) {
        let mut held = self.state.lock();
        held.open = held.open.saturating_sub(1);
        if let Some(count) = held.sources.get_mut(&source) {
            *count -= 1;
        }
        held.sources.retain(|_, count| *count > 0);
    }

    /// A lane got no connection. While others are open the host bears no more of them for a while,
    /// and that is all.
    pub fn is_open_elsewhere(&self, now: Timestamp) -> bool {
        let mut held = self.state.lock();
        if held.open > 0 {
            held.lanes_cap = Some((held.open, now + CAP_DURATION));
        }
        held.open > 0
    }

    /// No connection at all: blocked for a time that doubles with each such failure in a row.
    /// Several lanes that fail together count once. Returns the end of the block.
    pub fn refused(&self, now: Timestamp, reason: &str) -> Timestamp {
        let mut held = self.state.lock();
        if let Some(block) = held.block.as_ref().filter(|block| block.until > now) {
            return block.until;
        }
        let doubled = BLOCK_FIRST.saturating_mul(2u32.saturating_pow(held.failures));
        held.failures = held.failures.saturating_add(1);
        let until = now + doubled.min(BLOCK_MAX);
        held.block = Some(Block { until, reason: reason.to_owned() });
        until
    }

    /// A person wants it tried now; how long it waits after the next failure is not forgotten.
    pub fn lift_block(&self) {
        self.state.lock().block = None;
    }

    pub fn block(&self) -> Option<Block> {
        self.state.lock().block.clone()
    }
}
