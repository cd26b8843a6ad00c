//! What a host's answer means: category and class, and the signal that follows from a class.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::Blame;
use super::state::words;

words! {
    /// Coarse kinds of refusals, as reports and webhooks show them.
    Category {
        BadMailbox = "bad_mailbox",
        BadHost = "bad_host",
        MailboxFull = "mailbox_full",
        Inactive = "inactive",
        Policy = "policy",
        Rate = "rate",
        SpamContent = "spam_content",
        TooBig = "too_big",
        Network = "network",
        System = "system",
        Unknown = "unknown",
    }
}

words! {
    /// What exactly was refused, and so what follows: retry profile, suppression, signal.
    Class {
        MailboxInvalid = "mailbox_invalid",
        MailboxInactive = "mailbox_inactive",
        MailboxFull = "mailbox_full",
        /// No such domain, or one that takes no mail (null MX).
        DomainInvalid = "domain_invalid",
        /// The domain's MX or its own relaying is set up wrongly.
        HostMisconfigured = "host_misconfigured",
        Greylist = "greylist",
        RateConnections = "rate_connections",
        RateMessages = "rate_messages",
        /// The recipient gets too much mail at once, from whomever.
        RateRecipient = "rate_recipient",
        ReputationAddress = "reputation_address",
        ReputationDomain = "reputation_domain",
        /// A DNSBL names our address.
        Blocklisted = "blocklisted",
        /// SPF, DKIM, DMARC.
        Authentication = "authentication",
        /// PTR, EHLO name or TLS of ours is not as the host wants it.
        SourceMisconfigured = "source_misconfigured",
        /// The recipient or his domain refuses this sender or all but some.
        SenderRefused = "sender_refused",
        RelayDenied = "relay_denied",
        Policy = "policy",
        Content = "content",
        ContentUrl = "content_url",
        Virus = "virus",
        /// The mail or its headers are not as the RFCs or the host want them.
        Malformed = "malformed",
        TooBig = "too_big",
        Dns = "dns",
        Network = "network",
        Tls = "tls",
        /// The mail went round in a circle.
        Loop = "loop",
        Protocol = "protocol",
        System = "system",
        /// Tried until its time was over.
        Expired = "expired",
        Unknown = "unknown",
    }
}

words! {
    /// How far the lesson of a class reaches in shaping and warm-up.
    Signal {
        /// Nothing to learn for anybody but this delivery.
        None = "none",
        /// Fewer connections.
        Capacity = "capacity",
        /// Fewer messages in a time.
        Rate = "rate",
        /// The source at this operator: the warm-up decides.
        Reputation = "reputation",
        /// This campaign at this operator, never the next source.
        Content = "content",
        /// This From domain at this operator, never the next source.
        FromDomain = "from_domain",
        /// The address is bad: counts for the gate on invalid recipients.
        InvalidRecipient = "invalid_recipient",
    }
}

words! {
    /// After which waits a deferral of a class is tried again.
    RetryProfile {
        Default = "default",
        Greylist = "greylist",
        Rate = "rate",
        Reputation = "reputation",
        MailboxFull = "mailbox_full",
        Dns = "dns",
        Network = "network",
        Tls = "tls",
    }
}

words! {
    /// Whether trying again can help: as the code says, or as a rule knows better.
    Disposition {
        /// 4xx: again; 5xx: never.
        ByCode = "by_code",
        /// Again, although the code is 5xx.
        Retry = "retry",
        /// Never, although the code is 4xx.
        Fail = "fail",
    }
}

impl Default for Disposition {
    fn default() -> Disposition {
        Disposition::DEFAULT
    }
}

impl Disposition {
    const DEFAULT: Disposition = Disposition::ByCode;

    fn is_by_code(&self) -> bool {
        *self == Disposition::ByCode
    }
}

words! {
    /// For whom an address is no longer written to.
    SuppressScope {
        Installation = "installation",
        Organization = "organization",
        Stream = "stream",
    }
}

/// That an address is not to be written to again, for whom and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Suppress {
    pub scope: SuppressScope,
    /// None: until a person removes it.
    pub days: Option<u32>,
}

impl std::fmt::Display for Suppress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.days {
            Some(days) => write!(f, "{} for {days} days", self.scope),
            None => write!(f, "{} for good", self.scope),
        }
    }
}

impl Suppress {
    pub fn duration(self) -> Option<Duration> {
        self.days.map(|days| Duration::from_secs(u64::from(days) * 86_400))
    }
}

/// What one answer means and what follows from it: retries, suppression, shaping, warm-up,
/// webhooks and charts all read this one record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    pub category: Category,
    pub class: Class,
    /// This address must not be written to again; then `suppress` says for whom and how long.
    #[serde(default)]
    pub hard: bool,
    /// The rule that decided.
    pub rule: String,
    /// 0 to 1: how often a careful person would say the same.
    pub confidence: f64,
    pub signal: Signal,
    #[serde(rename = "retry_profile")]
    pub retry: RetryProfile,
    #[serde(default, skip_serializing_if = "Disposition::is_by_code")]
    pub disposition: Disposition,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppress: Option<Suppress>,
}

/// An inactive account may wake, and a domain may be bought again.
const INACTIVE_DAYS: u32 = 365;
const DOMAIN_DAYS: u32 = 90;

impl Class {
    pub const fn category(self) -> Category {
        match self {
            Class::MailboxInvalid => Category::BadMailbox,
            Class::MailboxInactive => Category::Inactive,
            Class::MailboxFull => Category::MailboxFull,
            Class::DomainInvalid | Class::HostMisconfigured => Category::BadHost,
            Class::Greylist
            | Class::RateConnections
            | Class::RateMessages
            | Class::RateRecipient => Category::Rate,
            Class::ReputationAddress
            | Class::ReputationDomain
            | Class::Blocklisted
            | Class::Authentication
            | Class::SourceMisconfigured
            | Class::SenderRefused
            | Class::RelayDenied
            | Class::Malformed
            | Class::Policy => Category::Policy,
            Class::Content | Class::ContentUrl | Class::Virus => Category::SpamContent,
            Class::TooBig => Category::TooBig,
            Class::Dns | Class::Network | Class::Tls | Class::Loop | Class::Expired => {
                Category::Network
            }
            Class::Protocol | Class::System => Category::System,
            Class::Unknown => Category::Unknown,
        }
    }

    pub const fn signal(self) -> Signal {
        match self {
            Class::MailboxInvalid | Class::DomainInvalid => Signal::InvalidRecipient,
            Class::RateConnections => Signal::Capacity,
            Class::RateMessages => Signal::Rate,
            Class::ReputationAddress | Class::Blocklisted => Signal::Reputation,
            Class::ReputationDomain | Class::Authentication => Signal::FromDomain,
            Class::Content | Class::ContentUrl | Class::Virus => Signal::Content,
            _ => Signal::None,
        }
    }

    pub const fn retry(self) -> RetryProfile {
        match self {
            Class::Greylist => RetryProfile::Greylist,
            Class::RateConnections | Class::RateMessages | Class::RateRecipient => {
                RetryProfile::Rate
            }
            Class::ReputationAddress | Class::ReputationDomain | Class::Blocklisted => {
                RetryProfile::Reputation
            }
            Class::MailboxFull => RetryProfile::MailboxFull,
            Class::Dns => RetryProfile::Dns,
            Class::Network => RetryProfile::Network,
            Class::Tls => RetryProfile::Tls,
            _ => RetryProfile::Default,
        }
    }

    /// What follows for the address when the host refuses it for good and the rule is sure.
    pub const fn suppress(self) -> Option<Suppress> {
        let days = match self {
            Class::MailboxInvalid => None,
            Class::MailboxInactive => Some(INACTIVE_DAYS),
            Class::DomainInvalid => Some(DOMAIN_DAYS),
            _ => return None,
        };
        Some(Suppress { scope: SuppressScope::Organization, days })
    }

    /// The mailbox itself could not take the mail. An ambiguous refusal
    /// (policy, reputation, content) never counts against an address.
    pub const fn is_of_mailbox(self) -> bool {
        matches!(
            self,
            Class::MailboxFull
                | Class::MailboxInvalid
                | Class::MailboxInactive
                | Class::DomainInvalid
        )
    }

    /// Whose trouble it is, where the class tells more than the stage of the dialogue does.
    pub const fn blame(self) -> Option<Blame> {
        Some(match self {
            Class::MailboxInvalid
            | Class::MailboxInactive
            | Class::MailboxFull
            | Class::RateRecipient
            | Class::DomainInvalid => Blame::Recipient,
            Class::Content
            | Class::ContentUrl
            | Class::Virus
            | Class::TooBig
            | Class::Malformed => Blame::Message,
            Class::ReputationDomain | Class::Authentication => Blame::FromDomain,
            Class::RateConnections
            | Class::RateMessages
            | Class::ReputationAddress
            | Class::Blocklisted
            | Class::SourceMisconfigured => Blame::Source,
            Class::HostMisconfigured | Class::System | Class::Network | Class::Loop => Blame::Host,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_with_the_address_itself_ends_writing_to_it() {
        let hard: Vec<Category> = Class::ALL
            .iter()
            .filter(|class| class.suppress().is_some())
            .map(|class| class.category())
            .collect();
        assert_eq!(hard, [Category::BadMailbox, Category::Inactive, Category::BadHost]);
    }
}
