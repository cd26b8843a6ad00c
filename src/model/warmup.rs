//! Warm-up and decisions: the words that store, rules, API and commands share.

use serde::{Deserialize, Serialize};

use super::ids::*;
use super::limit::{LimitScope, Metric};
use super::state::words;
use super::time::Timestamp;

words! {
    /// Where a warm-up stands.
    WarmupState {
        Running = "running",
        /// By a person; its day limit stays as it is.
        Paused = "paused",
        /// By a gate, with an alarm: nothing but transactional mail until it thaws or is resumed.
        Frozen = "frozen",
        /// The target was reached and held.
        Finished = "finished",
        /// By a person; no limit is left.
        Stopped = "stopped",
    }
}

words! {
    /// What a send-day's results came to.
    WarmupVerdict {
        Advance = "advance",
        Hold = "hold",
        StepBack = "step_back",
        Freeze = "freeze",
    }
}

words! {
    /// Which rule decided.
    DecisionRule {
        WarmupDay = "warmup_day",
        /// A gate closed in the middle of a day.
        WarmupStop = "warmup_stop",
        WarmupFreeze = "warmup_freeze",
        /// A freeze is over by itself.
        WarmupThaw = "warmup_thaw",
        /// A pair that slept, or a warm source that lost its standing.
        Rewarm = "rewarm",
        Connections = "connections",
        Pace = "pace",
        /// Nothing but a probe until then.
        Block = "block",
        CampaignContent = "campaign_content",
        SendingDomain = "sending_domain",
        /// A campaign or sending domain is surely complained of, or bounces too often.
        Health = "health",
    }
}

words! {
    DecisionState {
        Active = "active",
        /// Its time was over, or a later decision of its rule took its place.
        Past = "past",
        Undone = "undone",
    }
}

/// What is warmed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmSubject {
    Source(SourceId),
    Domain(DomainId),
}

/// What was learnt at one operator in some time. Counts add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Marks {
    /// Recipients offered: all that was answered.
    pub offered: u64,
    pub accepted: u64,
    /// Of the class transactional, within `offered`.
    pub transactional: u64,
    /// Put off for reputation.
    pub deferred: u64,
    /// Refused for reputation.
    pub blocked: u64,
    /// Put off for pace; harmless.
    pub slowed: u64,
    pub invalid: u64,
    pub complaints: u64,
}

impl Marks {
    pub fn add(&mut self, more: &Marks) {
        self.offered += more.offered;
        self.accepted += more.accepted;
        self.transactional += more.transactional;
        self.deferred += more.deferred;
        self.blocked += more.blocked;
        self.slowed += more.slowed;
        self.invalid += more.invalid;
        self.complaints += more.complaints;
    }

    /// Put off or refused for reputation.
    pub const fn unwelcome(&self) -> u64 {
        self.deferred + self.blocked
    }
}

/// One automatic change: a row of the table `decisions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub id: DecisionId,
    pub at: Timestamp,
    pub rule: DecisionRule,
    /// For people.
    pub cause: String,
    /// What was answered, at most three.
    pub samples: Vec<String>,
    pub scope: LimitScope,
    pub metric: Metric,
    /// The limit's value; None where there was, or is, none.
    pub before: Option<u64>,
    pub after: Option<u64>,
    pub expires_at: Option<Timestamp>,
    pub state: DecisionState,
    /// Stays until a person releases it.
    pub pinned: bool,
    /// The row that carries it out.
    pub limit: Option<LimitId>,
}

pub const DECISION_SAMPLES_MAX: usize = 3;
