//! What submitted mail of a stream or a domain tells of its readers: shown, or said.

use clap::ValueEnum;
use hyper::Method;
use serde_json::json;

use super::client::Desk;
use super::{CliError, screen};
use crate::api::tracking::TrackingSwitch;
use crate::model::Tracking;

#[derive(Clone, Copy, ValueEnum)]
pub enum Said {
    None,
    Opens,
    Clicks,
    Both,
    /// Nothing is said here: a stream leaves it to the domain, a domain tells nothing.
    Unsaid,
}

impl Said {
    const fn tracking(self) -> Option<Tracking> {
        match self {
            Said::None => Some(Tracking::None),
            Said::Opens => Some(Tracking::Opens),
            Said::Clicks => Some(Tracking::Clicks),
            Said::Both => Some(Tracking::Both),
            Said::Unsaid => None,
        }
    }
}

/// At the path of one of them.
pub async fn run(desk: &Desk, path: &str, said: Option<Said>, json: bool) -> Result<(), CliError> {
    let switch: TrackingSwitch = match said {
        None => desk.ask(Method::GET, path, None).await?,
        Some(said) => {
            let order = json!({ "tracking": said.tracking() });
            desk.ask(Method::PUT, path, Some(order)).await?
        }
    };
    if json {
        return screen::print_json(&switch);
    }
    screen::print(&format!("{}\n", about(switch.tracking)))
}

const fn about(tracking: Option<Tracking>) -> &'static str {
    match tracking {
        None => "unsaid: nothing is said here of readers",
        Some(Tracking::None) => "none: mail tells nothing of its readers",
        Some(Tracking::Opens) => "opens: mail tells when it is opened",
        Some(Tracking::Clicks) => "clicks: mail tells which links are followed",
        Some(Tracking::Both) => "both: mail tells when it is opened and which links are followed",
    }
}
