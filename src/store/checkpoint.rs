//! SQLite's write-ahead log, copied home beside the writer instead of by it.
//!
//! Owns:       a connection of its own that does nothing but checkpoints.
//! Promises:   no accept waits for sixteen megabytes to be copied and synced. If this task should
//!             fall behind or fail, SQLite's own checkpoint at `LOG_PAGES_MAX` does the work.
//! Knows not:  what is in the log.

use std::time::Duration;

use tokio::sync::mpsc;

use super::database::{Database, within};
use super::dialect::Statement;
use super::error::Result;

/// Pages at which the writer checkpoints at its next commit, whatever else happened. By
/// then this task has copied nearly all of them, and the log begins anew.
pub const LOG_PAGES_MAX: u32 = 48_000;
/// About how much the log grows between two checkpoints, in octets.
const LOG_GROWTH: usize = 16 * 1024 * 1024;
/// What a commit adds besides its rows: pages of the trees it passes.
const COMMIT_GROWTH: usize = 12 * 1024;
/// How many octets of log one octet of rows makes.
const ROW_GROWTH: usize = 3;
const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Copies what it can without waiting for readers or the writer.
pub static CHECKPOINT: Statement =
    Statement::pair("PRAGMA wal_checkpoint(PASSIVE)", "SELECT 0, 0, 0");

/// The writer's estimate of the log's growth.
#[derive(Debug)]
pub struct Growth {
    octets: usize,
    enough: mpsc::Sender<()>,
}

impl Growth {
    /// After each commit: how many octets of rows it held.
    pub fn add(&mut self, octets: usize) {
        self.octets += COMMIT_GROWTH + ROW_GROWTH * octets;
        // A signal that finds one waiting has nothing to add to it.
        if self.octets >= LOG_GROWTH && self.enough.try_send(()).is_ok() {
            self.octets = 0;
        }
    }
}

/// Starts the task on SQLite; it ends when the estimate is dropped with the writer.
pub fn start(database: &Database) -> Growth {
    let (enough, signals) = mpsc::channel(1);
    if let Database::Sqlite { .. } = database {
        tokio::spawn(run(database.clone(), signals));
    }
    Growth { octets: 0, enough }
}

async fn run(database: Database, mut signals: mpsc::Receiver<()>) {
    while signals.recv().await.is_some() {
        if let Err(error) = checkpoint(&database).await {
            tracing::warn!(reason = %error, "the write-ahead log was not copied home");
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
}

/// A connection for each: it takes a millisecond in ten thousand mails, and holds neither memory
/// nor locks in between.
async fn checkpoint(database: &Database) -> Result<()> {
    let mut connection = database.connect().await?;
    within(DEADLINE, "copying the log", connection.fetch(&CHECKPOINT, vec![])).await?;
    connection.close().await;
    Ok(())
}
