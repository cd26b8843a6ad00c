//! Where callers leave bodies for the writing thread.
//!
//! Owns:       the waiting appends and the thread's sleep.
//! Promises:   a lone append wakes the thread at once; appends that arrive while it lingers cost no
//!             wake-up each; after `close` what was left is still taken, and nothing new is.
//! Knows not:  files.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::SpoolError;
use crate::model::BodyRef;

/// One body on its way to the disk, and who waits for it.
pub struct Append {
    pub body: Bytes,
    pub reply: oneshot::Sender<Result<BodyRef, SpoolError>>,
    /// Its share of what may wait here, whether or not anybody still waits for the answer.
    pub held: OwnedSemaphorePermit,
}

/// One batch holds so much at most; what is beyond it waits for the next.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
pub const BATCH_APPENDS_MAX: usize = 256;
/// Where several callers come at once, waiting this long for more of them shares the price of a
/// write and a sync. Longer made the batches no larger: under load they grow by themselves while
/// the one before is synced.
const LINGER: Duration = Duration::from_micros(200);
/// So many that more would make none of them cheaper.
const LINGER_APPENDS: usize = 32;

#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    appends: VecDeque<Append>,
    bytes: usize,
    /// The number of appends that wakes the thread; none while it is awake.
    wakes_at: Option<usize>,
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Some,
    /// Nothing came within the tick.
    Nothing,
    /// Closed, and everything was taken before.
    Closed,
}

impl Inbox {
    /// Gives the append back when the inbox is closed.
    pub fn put(&self, append: Append) -> Result<(), Append> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(append);
        }
        waiting.bytes += append.body.len();
        waiting.appends.push_back(append);
        let count = waiting.appends.len();
        let full = waiting.bytes >= BATCH_BYTES_MAX;
        let wakes = waiting.wakes_at.is_some_and(|at| count >= at || full);
        if wakes {
            waiting.wakes_at = None;
        }
        drop(waiting);
        if wakes {
            self.arrived.notify_one();
        }
        Ok(())
    }

    pub fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Closes, and drops what waits: for a thread that ends before its time.
    pub fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.appends.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.lock().appends.is_empty()
    }

    /// Moves a batch into `batch`, waiting up to `tick` for the first of it, and where callers come
    /// in a `crowd` a little longer for more of them.
    pub fn take(&self, batch: &mut VecDeque<Append>, crowd: bool, tick: Duration) -> Taken {
        let mut waiting = self.waiting.lock();
        if waiting.appends.is_empty() && !waiting.closed {
            waiting.wakes_at = Some(1);
            self.arrived.wait_for(&mut waiting, tick);
        }
        let enough = waiting.appends.len() >= LINGER_APPENDS || waiting.bytes >= BATCH_BYTES_MAX;
        if crowd && !enough && !waiting.appends.is_empty() && !waiting.closed {
            waiting.wakes_at = Some(LINGER_APPENDS);
            self.arrived.wait_for(&mut waiting, LINGER);
        }
        waiting.wakes_at = None;
        if waiting.appends.is_empty() {
            return if waiting.closed { Taken::Closed } else { Taken::Nothing };
        }
        let mut bytes = 0;
        while batch.len() < BATCH_APPENDS_MAX && bytes < BATCH_BYTES_MAX {
            let Some(append) = waiting.appends.pop_front() else { break };
            bytes += append.body.len();
            batch.push_back(append);
        }
        waiting.bytes -= bytes;
        Taken::Some
    }
}
