//! What the daemon tells: log lines on standard error, numbers at `/metrics`.
//!
//! Owns:       the form of a log line, the table of metrics.
//! Promises:   the same field names in text and in JSON; one line an event, whatever characters a
//!             peer sent (B16); what a metric means and when it should wake somebody stands beside
//!             its name.
//! Knows not:  what happened and why.

mod line;
mod logs;
mod metrics;

pub use line::harmless;
pub use logs::{Format, Logs, start_logs};
pub use metrics::{Exposition, Kind, METRICS, Metric, metrics, names};

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("'{0}' is not a log level such as info or info,postroad::deliver=debug")]
    Level(String),
    #[error("logs or metrics were started before by another part of this process")]
    Taken,
}
