//! Addresses that are not written to: for whom, and why.

use serde::{Deserialize, Serialize};

use super::state::words;

words! {
    /// How far an entry reaches.
    SuppressionScope {
        Installation = "installation",
        Organization = "organization",
        Stream = "stream",
    }
}

words! {
    SuppressionReason {
        /// A host said that the address is lost.
        HardBounce = "hard_bounce",
        /// Several mails in a row could not be put into the mailbox.
        SoftBounces = "soft_bounces",
        /// The recipient complained.
        Complaint = "complaint",
        Unsubscribe = "unsubscribe",
        /// A person put it there.
        Manual = "manual",
        /// It came with a list from elsewhere.
        Imported = "imported",
    }
}
