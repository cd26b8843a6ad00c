//! Sources and pools: where mail leaves from, and which of them carries what.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ids::*;
use super::state::words;
use super::time::Timestamp;
use super::{RelayMechanism, TlsMode};

words! {
    /// Who declared a source: what stands in the settings is changed there.
    SourceOrigin { Config = "config", Admin = "admin", }
}

words! {
    SourceState {
        Active = "active",
        /// A person has stopped it.
        Suspended = "suspended",
    }
}

words! {
    /// What the checks of a source say of it.
    HealthState {
        /// Not checked yet: it does not send.
        Unknown = "unknown",
        Green = "green",
        /// Something is wrong, or could not be found out; it sends.
        Yellow = "yellow",
        /// It does not send, unless a person overrides that.
        Red = "red",
    }
}

words! {
    /// What is checked of a source.
    #[schema(as = SourceCheck)]
    Check {
        /// Its address is one of this host.
        Plumbed = "plumbed",
        /// PTR, EHLO name and A record agree.
        Names = "names",
        /// The SPF records of the sending domains cover its address.
        Spf = "spf",
        /// No DNSBL lists its address.
        Blocklists = "blocklists",
        /// It reaches port 25, or its relay.
        Reach = "reach",
    }
}

words! {
    /// What a check found.
    Verdict {
        Fine = "fine",
        /// Worth mending; no reason to stop.
        Weak = "weak",
        /// It is definitely not so.
        Bad = "bad",
        /// Nobody answered: nothing is known.
        NotKnown = "not_known",
    }
}

/// What a source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceKind {
    /// One of our addresses, or one of each family. Empty: whatever the system picks.
    Address {
        #[serde(default)]
        #[schema(value_type = Vec<String>)]
        bind: Vec<IpAddr>,
        /// What the world sees instead, behind NAT.
        #[serde(default)]
        #[schema(value_type = Vec<String>)]
        public: Vec<IpAddr>,
    },
    /// Another's service that takes mail from us.
    Relay(RelayKind),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RelayKind {
    pub host: String,
    pub port: u16,
    pub tls: TlsMode,
    #[serde(default)]
    pub mechanism: Option<RelayMechanism>,
    #[serde(default)]
    pub user: String,
    /// Where the password, or the token of XOAUTH2, is read from.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub secret_file: Option<PathBuf>,
}

impl SourceKind {
    pub const fn is_relay(&self) -> bool {
        matches!(self, SourceKind::Relay(_))
    }

    /// Ours, bound or seen: mail to a host of such an address would come back.
    pub fn own_addresses(&self) -> Vec<IpAddr> {
        match self {
            SourceKind::Address { bind, public } => bind.iter().chain(public).copied().collect(),
            SourceKind::Relay(_) => Vec::new(),
        }
    }

    /// The addresses that the world sees.
    pub fn seen_as(&self) -> &[IpAddr] {
        match self {
            SourceKind::Address { bind, public } if public.is_empty() => bind,
            SourceKind::Address { public, .. } => public,
            SourceKind::Relay(_) => &[],
        }
    }
}

/// A source as it is declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceRow {
    pub id: SourceId,
    pub name: String,
    pub origin: SourceOrigin,
    pub state: SourceState,
    pub ehlo: String,
    #[serde(flatten)]
    pub kind: SourceKind,
    /// It sends although it is red.
    pub is_overridden: bool,
    pub created_at: Timestamp,
}

/// One check of a source and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    pub check: Check,
    pub verdict: Verdict,
    pub text: String,
    /// Since when it has been bad without a break.
    #[serde(default)]
    pub bad_since: Option<Timestamp>,
}

/// How a source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceHealth {
    pub state: HealthState,
    /// Since when it has been in this state.
    pub since: Timestamp,
    pub checked_at: Timestamp,
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PoolRow {
    pub id: PoolId,
    pub name: String,
    pub created_at: Timestamp,
}

/// A source in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PoolMember {
    pub pool: PoolId,
    pub source: SourceId,
    /// Its part of the pool's mail beside the others' weights; 0: none but what is left over.
    pub weight: u32,
    /// Of a hundred marketing mails of the pool at most so many.
    pub share_max: Option<u32>,
}

/// Which mail goes by which pool; None matches all. The first rule that matches counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PoolRule {
    pub id: PoolRuleId,
    pub position: i64,
    pub pool: PoolId,
    #[serde(flatten)]
    pub matches: PoolMatch,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PoolMatch {
    #[serde(default)]
    pub organization: Option<OrganizationId>,
    #[serde(default)]
    pub stream: Option<StreamId>,
    /// An address, or a domain, of the envelope.
    #[serde(default)]
    pub sender: Option<String>,
    /// The same of the recipient.
    #[serde(default)]
    pub recipient: Option<String>,
    #[serde(default)]
    pub operator: Option<OperatorId>,
    #[serde(default)]
    pub tag: Option<String>,
    #[serde(default)]
    pub credential: Option<CredentialId>,
}
