//! Kinds of mail that tells of mail.

use serde::{Deserialize, Serialize};

use super::state::words;

words! {
    /// What a mail that came back is.
    ReportKind {
        Bounce = "bounce",
        /// The host goes on trying.
        Delay = "delay",
        /// Vacation notes, challenges, receipts of readers.
        AutoReply = "auto_reply",
        Delivered = "delivered",
        Complaint = "complaint",
        NotBounce = "not_bounce",
    }
}

impl FeedbackType {
    /// A recipient said so himself; the rest is told by machines, or is praise.
    pub const fn is_complaint(self) -> bool {
        matches!(
            self,
            FeedbackType::Abuse | FeedbackType::Fraud | FeedbackType::OptOut | FeedbackType::Other
        )
    }
}

words! {
    /// RFC 5965 §7.3 and its registry.
    FeedbackType {
        Abuse = "abuse",
        Fraud = "fraud",
        OptOut = "opt-out",
        NotSpam = "not-spam",
        AuthFailure = "auth-failure",
        Virus = "virus",
        Other = "other",
    }
}
