//! Limits: what may be sent where, by whom, in which time, and who said so.
//!
//! Every limit whose scope covers an attempt applies; the smallest wins. There is no order of
//! overrides: to undo a limit, delete its row.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::*;
use super::state::words;
use super::time::Timestamp;

words! {
    /// The two kinds of streams: who waits for whom.
    StreamClass { Transactional = "transactional", Marketing = "marketing", }
}

words! {
    /// What a limit counts.
    Metric {
        /// Open at one time.
        Connections = "connections",
        /// Begun in the window.
        NewConnections = "new_connections",
        /// Recipients offered in the window.
        Messages = "messages",
        MessagesPerConnection = "messages_per_connection",
        RecipientsPerMessage = "recipients_per_message",
    }
}

words! {
    /// Who wrote a limit.
    Origin {
        /// Shipped with this version, each with its public source.
        Pack = "pack",
        Admin = "admin",
        /// A send limit of an organization or a campaign's throttle.
        Quota = "quota",
        WarmUp = "warm_up",
        Adaptive = "adaptive",
    }
}

/// How the count of a window of an hour or more may be used up within it. A shorter window is
/// always even: each unit has its own share of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// From one boundary to the next, at any moment of it. A day begins at the day boundary of the
    /// installation's zone, and shorter windows are counted from there.
    #[default]
    Fixed,
    /// In any span as long as the window.
    Sliding,
    /// As fixed, but the count grows evenly from `begins` to `ends` after the boundary.
    Spread { begins: Duration, ends: Duration },
}

/// From where: installation ⊃ pool ⊃ source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromScope {
    Installation,
    Pool(PoolId),
    Source(SourceId),
    /// Each source for itself: the row stands for as many limits as there are sources.
    EachSource,
}

/// Whereto: anywhere ⊃ operator ⊃ site ⊃ recipient domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToScope {
    Anywhere,
    Operator(OperatorId),
    Site(SiteId),
    Domain(super::Domain),
    /// Each site for itself.
    EachSite,
}

/// For whom: everybody ⊃ organization ⊃ stream ⊃ campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhoScope {
    Everybody,
    Organization(OrganizationId),
    Stream(StreamId),
    Campaign(CampaignId),
    /// The sending domain (warm-up of a new one, signals about one).
    SendingDomain(DomainId),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LimitScope {
    pub from: FromScope,
    pub to: ToScope,
    pub who: WhoScope,
    /// Binds only this class; None binds both. Warm-up rows bind marketing, and transactional mail
    /// overdraws them, which is recorded.
    pub class: Option<StreamClass>,
}

/// One row of the table `limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub id: LimitId,
    pub scope: LimitScope,
    pub metric: Metric,
    /// How many; 0 stops the scope.
    pub value: u64,
    /// The time that `value` is for; None for what is counted at one moment.
    pub window: Option<Duration>,
    pub pace: Pace,
    pub origin: Origin,
    /// For people: why it is there, with the public source of a shipped one.
    pub reason: String,
    pub expires_at: Option<Timestamp>,
    /// No rule may change or remove it.
    pub pinned: bool,
}

/// What wants to be sent, as far as limits can see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    pub source: SourceId,
    pub operator: OperatorId,
    pub site: SiteId,
    pub domain: super::Domain,
    pub organization: OrganizationId,
    pub stream: StreamId,
    pub class: StreamClass,
    pub campaign: Option<CampaignId>,
    pub sending_domain: Option<DomainId>,
}

/// Why an attempt may not be made now: which limit, whom it stops, until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    pub limit: LimitId,
    pub scope: LimitScope,
    pub metric: Metric,
    pub value: u64,
    pub origin: Origin,
    pub reason: String,
    /// When it opens; None when only a release opens it (a connection that closes, a person).
    pub until: Option<Timestamp>,
}
