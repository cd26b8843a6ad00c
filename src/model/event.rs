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
        /// A reader's program has asked for the pixel of a mail.
        Opened = "opened",
        /// Somebody or something has followed a link of a mail.
        Clicked = "clicked",
        Unsubscribed = "unsubscribed",
        /// The checks of a source let it send, or say that it must not.
        SourceGreen = "source_green",
        SourceRed = "source_red",
    }
}
