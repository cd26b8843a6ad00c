//! Words of webhooks: what is sent to whom of our customers' servers, and how far that is.

use serde::{Deserialize, Serialize};

use super::state::words;

words! {
    /// How the body of a call is written and signed.
    WebhookFormat {
        /// Ours: several events in one call, signed as the Standard Webhooks specification says.
        Postroad = "postroad",
        /// Postal's: one event in each call, with Postal's names and signatures.
        Postal = "postal",
    }
}

words! {
    /// Where a call stands.
    CallState { Waiting = "waiting", Delivered = "delivered", Failed = "failed", }
}
