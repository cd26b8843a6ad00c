//! Automations: what lets a person in, the steps he goes through, the states of both.

use serde::{Deserialize, Serialize};

use super::campaign::{CampaignContent, CampaignTracking, SendingWindow};
use super::ids::{CampaignId, ListId, StreamId};
use super::state::words;

words! {
    AutomationState {
        /// Nobody comes in yet.
        Draft = "draft",
        Active = "active",
        /// Nobody moves on; who comes in waits for the way to open.
        Paused = "paused",
        /// Nobody comes in any more, and whoever was in it was let go.
        Ended = "ended",
    }
}

words! {
    AutomationStepping {
        Activate = "activate",
        Pause = "pause",
        End = "end",
    }
}

impl AutomationState {
    /// A pair that is missing here must not happen.
    pub const fn next(self, step: AutomationStepping) -> Option<AutomationState> {
        use AutomationState::*;
        use AutomationStepping as Step;
        Some(match (self, step) {
            (Draft | Paused, Step::Activate) => Active,
            (Active, Step::Pause) => Paused,
            (Active | Paused, Step::End) => Ended,
            _ => return None,
        })
    }
}

words! {
    RunState {
        /// Its cursor stands before a step until its time comes.
        Waiting = "waiting",
        Ended = "ended",
    }
}

words! {
    /// Why a run is over.
    RunEnd {
        /// It has gone through all steps.
        Finished = "finished",
        /// A step let it go.
        Exited = "exited",
        /// A condition did not hold.
        Condition = "condition",
        /// The person has come to where the automation leads.
        Goal = "goal",
        /// The person has left the list, or is blocked.
        Left = "left",
        /// The contact was removed.
        Gone = "gone",
        /// A person stopped it, or the whole automation.
        Stopped = "stopped",
    }
}

words! {
    /// What a step has done for a run.
    StepDone {
        Waited = "waited",
        Sent = "sent",
        Held = "held",
        NotHeld = "not_held",
        Changed = "changed",
        Exited = "exited",
    }
}

/// What is written, as one version: it is never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AutomationDefinition {
    pub entry: AutomationEntry,
    /// Somebody who was in it comes in anew; else everybody comes in once. By a date everybody
    /// comes in on each of its days.
    pub again: bool,
    /// Who leaves this list leaves the automation, and the mails' links leave this list.
    pub list: Option<ListId>,
    pub stream: StreamId,
    pub tracking: CampaignTracking,
    /// Who is in this segment has come to where it leads, and is let go before his next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    pub steps: Vec<AutomationStep>,
}

/// What lets somebody in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AutomationEntry {
    /// Somebody is subscribed to a list, by whatever way.
    Subscription { list: ListId },
    /// A tag is put on somebody.
    Tag { tag: String },
    /// A day that a field of dates or birthdays names.
    Date {
        /// The name of the field.
        field: String,
        /// So many days after it; before it, if negative.
        #[serde(default)]
        days: i64,
        /// On its day in each year, not in its own year alone. A birthday always is.
        #[serde(default)]
        every_year: bool,
        /// At this minute of the day.
        #[serde(default)]
        #[schema(maximum = 1439)]
        minute: u16,
        /// Of the clock of this zone, such as Europe/Berlin.
        zone: String,
    },
    /// An application tells of it.
    Event { event: String },
}

impl AutomationEntry {
    pub const fn kind(&self) -> EntryKind {
        match self {
            AutomationEntry::Subscription { .. } => EntryKind::Subscription,
            AutomationEntry::Tag { .. } => EntryKind::Tag,
            AutomationEntry::Date { .. } => EntryKind::Date,
            AutomationEntry::Event { .. } => EntryKind::Event,
        }
    }
}

words! {
    EntryKind {
        Subscription = "subscription",
        Tag = "tag",
        Date = "date",
        Event = "event",
    }
}

/// One step; a run goes through them in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AutomationStep {
    /// The next step comes so much later, and within these hours.
    Wait {
        seconds: u64,
        #[serde(default)]
        window: Option<SendingWindow>,
    },
    /// A mail; its report is that of this campaign.
    Send { campaign: CampaignId, content: Box<CampaignContent> },
    /// Whoever is not in this segment passes over the next steps, or is let go.
    Condition {
        expression: String,
        /// How many steps are passed over; without it the run ends.
        #[serde(default)]
        skip: Option<u16>,
    },
    /// Tags are put on, values are given to fields, lists are joined and left. No tag is taken off,
    /// so that two automations cannot send somebody round for ever.
    Change {
        #[serde(default)]
        tags: Vec<String>,
        /// By the names of the fields; null takes a value away.
        #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
        #[schema(value_type = Object)]
        fields: serde_json::Map<String, serde_json::Value>,
        #[serde(default)]
        subscribe: Vec<ListId>,
        #[serde(default)]
        unsubscribe: Vec<ListId>,
    },
    /// The run ends here.
    Exit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_automation_that_has_ended_stays_so() {
        use AutomationStepping as Step;
        for step in AutomationStepping::ALL {
            assert_eq!(AutomationState::Ended.next(*step), None, "{step}");
        }
        assert_eq!(AutomationState::Draft.next(Step::Activate), Some(AutomationState::Active));
        assert_eq!(AutomationState::Active.next(Step::Pause), Some(AutomationState::Paused));
        assert_eq!(AutomationState::Paused.next(Step::Activate), Some(AutomationState::Active));
        assert_eq!(AutomationState::Draft.next(Step::End), None, "a draft is removed");
    }
}
