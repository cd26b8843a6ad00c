//! What a host's answer means: category and class, and the signal that follows from a class.

use serde::{Deserialize, Serialize};

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
        TooBig = "too_big",
        Dns = "dns",
        Network = "network",
        Tls = "tls",
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
            | Class::Policy => Category::Policy,
            Class::Content | Class::ContentUrl | Class::Virus => Category::SpamContent,
            Class::TooBig => Category::TooBig,
            Class::Dns | Class::Network | Class::Tls | Class::Expired => Category::Network,
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
}
