//! What mail tells of its readers: whether it was opened, which links were followed.

use serde::{Deserialize, Serialize};

use super::campaign::CampaignTracking;
use super::state::words;

words! {
    /// What a submitted mail tells of its readers.
    Tracking {
        None = "none",
        Opens = "opens",
        Clicks = "clicks",
        Both = "both",
    }
}

impl Tracking {
    /// As campaigns say it.
    pub const fn wanted(self) -> CampaignTracking {
        let (opens, clicks) = match self {
            Tracking::None => (false, false),
            Tracking::Opens => (true, false),
            Tracking::Clicks => (false, true),
            Tracking::Both => (true, true),
        };
        CampaignTracking { opens, clicks, anonymous: false, utm: None }
    }

    /// None where there is nothing to tell.
    pub fn told(self) -> Option<Tracking> {
        (self != Tracking::None).then_some(self)
    }
}
