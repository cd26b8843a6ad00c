//! The tasks of the schedule that serve everybody.
//!
//! Owns:       their handles.
//! Promises:   the end of any of them is noticed, and named.
//! Knows not:  what they do.

use tokio::task::JoinHandle;

/// The tasks that serve everybody: when one ends before `stop`, the daemon must end too.
pub struct Tasks {
    pub alarm: JoinHandle<()>,
    pub polls: JoinHandle<()>,
    pub sweeps: JoinHandle<()>,
    pub settler: JoinHandle<()>,
    pub controller: JoinHandle<()>,
    pub releases: JoinHandle<()>,
    pub budgets: JoinHandle<()>,
    pub windows: JoinHandle<()>,
}

impl Tasks {
    /// Returns when one of them has ended, and says which.
    pub async fn died(&mut self) -> &'static str {
        let Tasks { alarm, polls, sweeps, settler, releases, budgets, controller, windows } = self;
        tokio::select! {
            _ = alarm => "the alarm of the schedule",
            _ = polls => "the poll of the ledger",
            _ = sweeps => "the sweep of the spool",
            _ = settler => "the writer of outcomes",
            _ = releases => "the hand-over of connections",
            _ = budgets => "the writer of budgets",
            _ = controller => "the controller of limits and warm-ups",
            _ = windows => "the judge of health windows",
        }
    }
}
