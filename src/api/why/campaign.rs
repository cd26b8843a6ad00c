//! Why a campaign's contacts have no mail yet: what the ledger does not hold, it cannot explain.
//!
//! Owns:       the reasons of those who are planned, and of a campaign that was not launched.
//! Promises:   a campaign that is not over and has somebody left has a reason.
//! Knows not:  what mail waits for that the ledger holds: the schedule says that.

use std::time::Duration;

use crate::campaign::launch::closed_until;
use crate::model::*;
use crate::schedule::why::{Reason, ReasonCount, ReasonKind};
use crate::store::CampaignRow;

/// `unfed`: those who wait for the winner of a test, and the others.
pub(super) fn reasons(
    campaign: &CampaignRow,
    (for_winner, others): (u64, u64),
    now: Timestamp,
) -> Vec<ReasonCount> {
    use CampaignState::*;
    let all = campaign.audience.unwrap_or(0);
    let mut reasons = match campaign.state {
        Draft => vec![count(all, ReasonKind::Held, "it is a draft: nobody has launched it", None)],
        Scheduled => {
            let starts_at = campaign.settings.starts_at;
            vec![count(all, ReasonKind::NotBefore, "the campaign is scheduled", starts_at)]
        }
        Preparing => {
            let text = "who is to get it is being looked up";
            vec![count(all, ReasonKind::UnderWay, text, None)]
        }
        Paused => {
            vec![count(for_winner + others, ReasonKind::Held, "the campaign is paused", None)]
        }
        Sending => of_planned(campaign, (for_winner, others), now),
        Cancelled | Sent => return Vec::new(),
    };
    if matches!(campaign.state, Paused | Sending) {
        reasons.retain(|one| one.deliveries > 0);
    }
    if let Some(trouble) = &campaign.trouble {
        reasons.push(count(for_winner + others, ReasonKind::Held, trouble.clone(), None));
    }
    reasons
}

fn of_planned(
    campaign: &CampaignRow,
    (for_winner, others): (u64, u64),
    now: Timestamp,
) -> Vec<ReasonCount> {
    let settings = &campaign.settings;
    let decided_at = settings
        .test
        .as_ref()
        .and_then(|test| Some(campaign.launched_at? + Duration::from_secs(test.decide_after?)));
    let text = "waits for the winner of the test";
    let mut reasons = vec![count(for_winner, ReasonKind::Held, text, decided_at)];
    let opens_at = settings.window.as_ref().and_then(|window| closed_until(window, now));
    reasons.push(match opens_at {
        Some(at) => {
            let text = "outside the campaign's sending window";
            count(others, ReasonKind::NotBefore, text, Some(at))
        }
        None => {
            let text =
                "planned: it becomes mail as the mail before it leaves, and by its own clock";
            count(others, ReasonKind::Turn, text, None)
        }
    });
    reasons
}

fn count(
    deliveries: u64,
    kind: ReasonKind,
    text: impl Into<String>,
    until: Option<Timestamp>,
) -> ReasonCount {
    let text = text.into();
    let reason = Reason { kind, text, limit: None, origin: None, source: None, until };
    ReasonCount { deliveries, reason }
}
