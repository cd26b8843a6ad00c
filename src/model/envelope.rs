//! What stands around a mail: who sends it, to whom, what they asked for (RFC 3461, 6152, 6531).

use serde::{Deserialize, Serialize};

use super::address::{Address, ReversePath};
use super::ids::SegmentId;
use super::state::words;

words! {
    /// RFC 3461 §4.3: how much of the mail a report should carry.
    DsnReturn { Full = "full", Headers = "headers", }
}

words! {
    /// What there is of a message's source.
    MailSource {
        /// As it was taken.
        Kept = "kept",
        /// Of a campaign: made again of what was pinned when a host first saw it.
        RenderedFromPin = "rendered_from_pin",
        /// Of a campaign: made of the template that was sent and the contact as it is now.
        RenderedAnew = "rendered_anew",
        /// The mail is over, and its source is no longer kept.
        Gone = "gone",
    }
}

/// RFC 3461 §4.1. The default asks for a report on failure alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    pub success: bool,
    pub failure: bool,
    pub delay: bool,
    /// The client named it; only then it is passed on to the next host.
    pub asked: bool,
}

impl Default for Notify {
    fn default() -> Notify {
        Notify { success: false, failure: true, delay: false, asked: false }
    }
}

impl Notify {
    pub const NEVER: Notify = Notify { success: false, failure: false, delay: false, asked: true };

    /// The bits as they stand in SQL: 1 success, 2 failure, 4 delay, 8 asked.
    pub const fn bits(self) -> i64 {
        self.success as i64
            | (self.failure as i64) << 1
            | (self.delay as i64) << 2
            | (self.asked as i64) << 3
    }

    pub const fn from_bits(bits: i64) -> Notify {
        Notify {
            success: bits & 1 != 0,
            failure: bits & 2 != 0,
            delay: bits & 4 != 0,
            asked: bits & 8 != 0,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    pub address: Address,
    pub notify: Notify,
    /// ORCPT as it was given, `rfc822;…` with its xtext kept (RFC 3461 §4.2).
    pub original: Option<String>,
}

impl Recipient {
    pub fn new(address: Address) -> Recipient {
        Recipient { address, notify: Notify::default(), original: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub sender: ReversePath,
    pub recipients: Vec<Recipient>,
    /// BODY=8BITMIME was declared, or the body holds octets above 127.
    pub eight_bit: bool,
    pub smtputf8: bool,
    pub dsn_return: Option<DsnReturn>,
    /// ENVID as it was given, in xtext.
    pub dsn_envelope_id: Option<String>,
}

/// Where a body lies in the spool. `length` counts the body's octets, not the record's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BodyRef {
    pub segment: SegmentId,
    pub offset: u64,
    pub length: u64,
}

impl BodyRef {
    /// Of mail that has no body yet: it is made for its recipient just before it is sent.
    pub const RECIPE: BodyRef = BodyRef { segment: SegmentId(0), offset: 0, length: 0 };

    pub fn is_recipe(self) -> bool {
        self.segment == BodyRef::RECIPE.segment
    }
}

/// A mail as it leaves: chunks that follow one another, CRLF lines only, not dot-stuffed.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    pub chunks: Vec<bytes::Bytes>,
}

impl Mail {
    pub fn length(&self) -> usize {
        self.chunks.iter().map(bytes::Bytes::len).sum()
    }
}
