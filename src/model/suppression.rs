//! Addresses that are not written to: for whom, and why.

use serde::{Deserialize, Serialize};

use super::state::words;

words! {
    /// How far an entry reaches.
    SuppressionScope {
        Installation = "installation",
        Organization = "organization",
        Stream = "stream",
        /// Campaigns to a list.
        List = "list",
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

impl SuppressionReason {
    /// Of two reasons for one entry the weightier stands: what the recipient himself has said
    /// before what a person, and that before what hosts and lists have said.
    pub const fn weight(self) -> i64 {
        match self {
            SuppressionReason::Imported => 0,
            SuppressionReason::SoftBounces => 1,
            SuppressionReason::HardBounce => 2,
            SuppressionReason::Manual => 3,
            SuppressionReason::Unsubscribe => 4,
            SuppressionReason::Complaint => 5,
        }
    }
}

words! {
    /// What becomes of mail that is submitted for a suppressed address.
    SuppressedPolicy {
        /// The submission is refused.
        Refuse = "refuse",
        /// It is taken, ends as suppressed, and its sender is told.
        Report = "report",
        /// It is taken and held for a person.
        Hold = "hold",
    }
}

words! {
    /// Whose sender gets a bounce that comes back by mail.
    BouncePolicy {
        /// Who asked for it (NOTIFY=FAILURE).
        Asked = "asked",
        Always = "always",
    }
}
