//! What becomes of mail that comes in.

use serde::{Deserialize, Serialize};

use super::state::words;

words! {
    InboundFate {
        /// A delivery of ours has learnt from it.
        Attributed = "attributed",
        /// The same had come before: nothing changed.
        Repeated = "repeated",
        /// A report that names no delivery of ours, so that nothing follows from it.
        Unattributed = "unattributed",
        /// The recipient is written to no more.
        Unsubscribed = "unsubscribed",
        /// Passed on by a route.
        Routed = "routed",
        /// Kept in this list and passed on to nobody.
        Kept = "kept",
    }
}
