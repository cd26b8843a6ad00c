//! The names of what can happen, as they stand in the event table.

use super::state::words;
use serde::{Deserialize, Serialize};

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
        /// A report came back for a mail that a host had taken.
        Bounced = "bounced",
        /// A host tells that it goes on trying.
        Delayed = "delayed",
        AutoReplied = "auto_replied",
        Complained = "complained",
        Unsubscribed = "unsubscribed",
        /// The checks of a source let it send, or say that it must not.
        SourceGreen = "source_green",
        SourceRed = "source_red",
        /// A rule has acted in a way that a person should look at now.
        Alarm = "alarm",
    }
}
