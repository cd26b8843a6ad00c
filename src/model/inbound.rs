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

words! {
    /// Whether mail to a return domain comes here.
    ReturnStanding {
        Right = "right",
        /// No record leads anywhere.
        Missing = "missing",
        /// Its mail goes elsewhere.
        Different = "different",
        /// The name servers did not answer yet.
        Unknown = "unknown",
    }
}

words! {
    /// What a route does with a mail.
    RouteAction {
        /// Posted to a URL.
        Http = "http",
        /// Brought to a host by SMTP.
        Smtp = "smtp",
        /// Sent on to other addresses.
        Forward = "forward",
        /// Taken, and that is all.
        Accept = "accept",
        /// Taken and kept for a person.
        Hold = "hold",
        Refuse = "refuse",
    }
}

words! {
    /// What is posted.
    RouteFormat {
        /// JSON of ours.
        Parsed = "parsed",
        /// The mail itself, as message/rfc822.
        Raw = "raw",
        /// JSON as Postal posts it.
        Postal = "postal",
    }
}

words! {
    /// Where a mail stands that a route owes.
    InboundCallState { Waiting = "waiting", Held = "held", Failed = "failed", }
}
