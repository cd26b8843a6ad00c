//! The threads that sign: an RSA signature takes some 300 µs, too long for an async worker.
//!
//! Owns:       a thread for each core, and the jobs that wait for one.
//! Promises:   a bounded number of jobs wait; a panic costs one job, not a thread; the threads end
//!             when the pool is dropped.
//! Knows not:  what is signed, and for whom.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Semaphore, oneshot};

use crate::dkim::{self, DkimError, Order, PrivateKey};
use crate::model::Timestamp;

/// Jobs in hand, each holding its mail in memory; whoever comes later waits outside.
const JOBS_MAX: usize = 256;
const THREADS_MAX: usize = 64;

pub struct Job {
    pub mail: Bytes,
    pub keys: Arc<[PrivateKey]>,
    pub at: Timestamp,
    pub marketing: bool,
}

type Answer = Result<Bytes, DkimError>;

struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<(Job, oneshot::Sender<Answer>)>,
    closed: bool,
}

pub struct SigningPool {
    shared: Arc<Shared>,
    room: Semaphore,
}

impl SigningPool {
    pub fn start() -> SigningPool {
        let shared = Arc::new(Shared { waiting: Mutex::default(), arrived: Condvar::new() });
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for number in 0..cores.min(THREADS_MAX) {
            let own = shared.clone();
            let started = std::thread::Builder::new()
                .name(format!("sign-{number}"))
                .spawn(move || own.work());
            if let Err(error) = started {
                tracing::error!(reason = %error, "a signing thread did not start");
            }
        }
        SigningPool { shared, room: Semaphore::new(JOBS_MAX) }
    }

    /// None when the job's thread failed or the pool is closed.
    pub async fn sign(&self, job: Job) -> Option<Answer> {
        let _room = self.room.acquire().await.ok()?;
        let (answer, answered) = oneshot::channel();
        self.shared.waiting.lock().jobs.push_back((job, answer));
        self.shared.arrived.notify_one();
        answered.await.ok()
    }
}

impl Drop for SigningPool {
    fn drop(&mut self) {
        self.shared.waiting.lock().closed = true;
        self.shared.arrived.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        while let Some((job, answer)) = self.next() {
            // Nobody waits any more: the attempt was given up.
            if answer.is_closed() {
                continue;
            }
            match catch_unwind(AssertUnwindSafe(|| sign(&job))) {
                Ok(signed) => {
                    if answer.send(signed).is_err() {
                        tracing::debug!("a signature came too late");
                    }
                }
                Err(_) => tracing::error!("signing panicked; the delivery is deferred"),
            }
        }
    }

    fn next(&self) -> Option<(Job, oneshot::Sender<Answer>)> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(next) = waiting.jobs.pop_front() {
                return Some(next);
            }
            if waiting.closed {
                return None;
            }
            self.arrived.wait(&mut waiting);
        }
    }
}

fn sign(job: &Job) -> Answer {
    let order = Order { mail: &job.mail, at: job.at, marketing: job.marketing };
    dkim::sign(order, job.keys.iter()).map(Bytes::from)
}
