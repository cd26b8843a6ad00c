//! What an attempt taught us, and how far the lesson reaches.

use serde::{Deserialize, Serialize};

use super::reply::Reply;
use super::state::words;

words! {
    /// Whose trouble it is, from the narrowest to the widest reach.
    Blame {
        Recipient = "recipient",
        Message = "message",
        FromDomain = "from_domain",
        Host = "host",
        Source = "source",
        Ourselves = "ourselves",
    }
}

/// The answer of one attempt for one recipient.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Delivered {
        reply: Reply,
    },
    /// To be tried again; `reason` says why when no reply does.
    Deferred {
        reply: Option<Reply>,
        blame: Blame,
        reason: String,
    },
    /// For good, with a reply or without (null MX, no such domain).
    Failed {
        reply: Option<Reply>,
        blame: Blame,
        reason: String,
    },
    /// The final dot was sent and no answer came: the next try may double the mail.
    AnswerNotSeen {
        reason: String,
    },
}

impl Outcome {
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Outcome::Delivered { reply } => Some(reply),
            Outcome::Deferred { reply, .. } | Outcome::Failed { reply, .. } => reply.as_ref(),
            Outcome::AnswerNotSeen { .. } => None,
        }
    }

    /// The reply's text, or the reason where there was no reply.
    pub fn text(&self) -> String {
        match self {
            Outcome::Delivered { reply } => reply.to_string(),
            Outcome::Deferred { reply, reason, .. } | Outcome::Failed { reply, reason, .. } => {
                reply.as_ref().map_or_else(|| reason.clone(), Reply::to_string)
            }
            Outcome::AnswerNotSeen { reason } => reason.clone(),
        }
    }
}
