//! The names of what can happen, as they stand in the event table.

use super::state::words;
use serde::{Deserialize, Serialize};

/// The field of a `bounced` event that tells of a delivery for the second time, since a later
/// report says that the address is lost: whoever counts deliveries counts it no more.
pub const AGAIN: &str = "again";

words! {
    /// One row each in `events`; a state and the event that tells of it commit together.
    EventKind {
        /// A message is on disk: all its recipients, in one event.
        Accepted = "accepted",
        Delivered = "delivered",
        Deferred = "deferred",
        Failed = "failed",
        Expired = "expired",
        Held = "held",
        Released = "released",
        Cancelled = "cancelled",
        Suppressed = "suppressed",
        /// A message was taken that is not to be sent yet.
        Queued = "queued",
        /// Of a send limit nine tenths are used.
        LimitApproaching = "limit_approaching",
        LimitReached = "limit_reached",
        /// A reader's program has asked for the pixel of a mail.
        Opened = "opened",
        /// Somebody or something has followed a link of a mail.
        Clicked = "clicked",
        /// A look at a sending domain's records found something else than the one before.
        DomainChecked = "domain_checked",
        CredentialUsedFirst = "credential_used_first",
        /// A report came back for a mail that a host had taken.
        Bounced = "bounced",
        /// A host tells that it goes on trying.
        Delayed = "delayed",
        AutoReplied = "auto_replied",
        /// A person has answered the mail of a campaign.
        Replied = "replied",
        /// A receipt came back, or a relay tells that the recipient's host has the mail.
        Confirmed = "confirmed",
        Complained = "complained",
        Unsubscribed = "unsubscribed",
        /// A mail came in for one of our addresses.
        InboundReceived = "inbound_received",
        /// The checks of a source let it send, or say that it must not.
        SourceGreen = "source_green",
        SourceRed = "source_red",
        /// A rule has acted in a way that a person should look at now.
        Alarm = "alarm",
        /// A contact came into an automation, or is no longer in it.
        AutomationEntered = "automation_entered",
        AutomationEnded = "automation_ended",
        /// A campaign was launched, paused, resumed, cancelled, or is done.
        CampaignState = "campaign_state",
    }
}
