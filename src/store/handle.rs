//! What the writer is asked, and the callers' side of asking.

use tokio::sync::{mpsc, oneshot, watch};

use crate::model::*;

use super::audit::AuditLine;
use super::changes::Change;
use super::contact_batch::{ContactBatch, Written};
use super::error::Result;
use super::jobs::{Enqueue, SettleGroup, Settled, SteerAction};

pub type Reply<T> = oneshot::Sender<Result<T>>;

/// Rows that a person's filter found; each is looked at again before it is changed.
#[derive(Clone, Debug)]
pub struct SteerRows {
    pub deliveries: Vec<DeliveryId>,
    pub action: SteerAction,
    pub reason: String,
    pub at: Timestamp,
    pub due: Timestamp,
    /// Of the audit log; it goes with them if any is changed.
    pub line: Option<AuditLine>,
}

#[derive(Debug)]
pub enum Control {
    Steer(SteerRows, Reply<u64>),
    Change(Change, Reply<i64>),
}

/// Rows of an import or of a person's hand; small enough for a transaction of ten milliseconds.
pub type Bulk = (Box<ContactBatch>, Option<AuditLine>, Reply<Vec<Written>>);

/// The callers' side; one channel a class.
#[derive(Debug)]
pub struct Handle {
    pub accepts: mpsc::Sender<(Box<Enqueue>, Reply<()>)>,
    pub settles: mpsc::Sender<(SettleGroup, Reply<Vec<Settled>>)>,
    pub controls: mpsc::Sender<Control>,
    pub bulks: mpsc::Sender<Bulk>,
    pub(super) closing: watch::Sender<bool>,
    pub(super) ended: watch::Receiver<bool>,
}

impl Handle {
    /// Returns once the task is gone, in order or not.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        if ended.wait_for(|ended| *ended).await.is_err() {
            tracing::error!("the ledger's writer ended by a fault of our own");
        }
    }

    /// Returns once all that was handed in has been written.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let mut ended = self.ended.clone();
        if ended.wait_for(|ended| *ended).await.is_err() {
            tracing::error!("the ledger's writer ended before it was asked to");
        }
    }
}
