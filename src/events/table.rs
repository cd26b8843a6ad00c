//! Every kind of event there is: its name, version, when it comes and what it carries.
//!
//! Owns:       the one table from which the feed, the OpenAPI document and webhooks are made.
//! Promises:   a kind that is recorded is declared; a field is never given another meaning
//!             without another version.
//! Knows not:  who reads events.

use serde::Serialize;

use crate::model::EventKind;

/// One field of a kind.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct Field {
    pub name: &'static str,
    /// `string`, `integer`, `boolean`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub meaning: &'static str,
}

/// One kind.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct Declared {
    pub name: &'static str,
    pub version: u32,
    pub when: &'static str,
    pub fields: &'static [Field],
    /// This version of Postroad records it.
    pub exists: bool,
}

impl Declared {
    pub fn of(kind: EventKind) -> Option<&'static Declared> {
        EVENTS.iter().find(|declared| declared.name == kind.word())
    }
}

const fn field(name: &'static str, kind: &'static str, meaning: &'static str) -> Field {
    Field { name, kind, meaning }
}

const fn is(name: &'static str, when: &'static str, fields: &'static [Field]) -> Declared {
    Declared { name, version: 1, when, fields, exists: true }
}

/// Named already, so that nobody takes the name for something else.
const fn will_be(name: &'static str, when: &'static str) -> Declared {
    Declared { name, version: 1, when, fields: &[], exists: false }
}

const REASON: &[Field] = &[field("reason", "string", "why, in words")];

/// What an attempt has taught.
const ATTEMPT: &[Field] = &[
    field("source", "string", "the source it left from"),
    field("host", "string", "the MX host or relay"),
    field("address", "string", "the host's address"),
    field("local_address", "string", "our own address"),
    field("tls", "string", "version and cipher; missing without TLS"),
    field("try", "integer", "the how manieth try it was"),
    field("milliseconds", "integer", "how long it took"),
    field("code", "integer", "of the reply"),
    field("enhanced", "string", "the enhanced code of the reply"),
    field("reply", "string", "the reply's text"),
    field("reason", "string", "what happened, where no reply says it"),
    field("blame", "string", "whose trouble it is"),
    field("dialogue", "string", "where the dialogue of an attempt that failed is kept"),
];

/// What a reader's program says of itself.
const READER: &[Field] = &[
    field("agent", "string", "what the program calls itself"),
    field("address", "string", "where it asked from"),
    field("method", "string", "GET or HEAD"),
    field("place", "integer", "which link of the mail, from 0"),
    field("link", "string", "where the link leads"),
];

pub const EVENTS: &[Declared] = &[
    is(
        "accepted",
        "a message is on disk; one event for all its recipients",
        &[
            field("recipients", "integer", "deliveries that began"),
            field("bytes", "integer", "size of the mail"),
        ],
    ),
    is("delivered", "a host has taken the mail for a recipient", ATTEMPT),
    is("deferred", "an attempt failed and will be made again", ATTEMPT),
    is("failed", "a recipient was refused for good", ATTEMPT),
    is(
        "expired",
        "the time of a delivery was over before a host took it",
        &[
            field("tries", "integer", "attempts that were made"),
            field("reason", "string", "the last answer or reason"),
        ],
    ),
    is("held", "a delivery was set aside", REASON),
    is("released", "a held delivery goes on", REASON),
    is("cancelled", "a delivery was given up by a person or application", REASON),
    is("suppressed", "the recipient is no longer written to", REASON),
    will_be("queued", "a delivery waits for its first attempt"),
    will_be("bounced", "a report came back for a mail that was delivered"),
    will_be("complained", "the recipient called it spam"),
    is("opened", "the pixel of a mail was asked for, by whomever", READER),
    is("clicked", "a link of a mail was followed, by whomever", READER),
    is(
        "unsubscribed",
        "the recipient wants no more of it",
        &[
            field("by", "string", "one_click, page or preferences"),
            field("reason", "string", "in the recipient's words"),
        ],
    ),
    will_be("inbound_received", "a mail came in for one of our domains"),
    will_be("domain_checked", "a check of a sending domain found something else than before"),
    will_be("source_red", "a source is not used until it has recovered"),
    will_be("source_green", "a source is used again"),
    will_be("limit_reached", "a limit stops mail"),
    will_be("campaign_state", "a campaign began, paused, ended"),
    will_be("credential_used_first", "a credential was used for the first time"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_is_recorded_is_declared_and_no_other_is_said_to_exist() {
        for kind in EventKind::ALL {
            let declared = Declared::of(*kind);
            assert!(declared.is_some_and(|declared| declared.exists), "{kind}: say `is` in EVENTS");
        }
        for declared in EVENTS.iter().filter(|declared| declared.exists) {
            assert!(declared.name.parse::<EventKind>().is_ok(), "{}", declared.name);
        }
    }

    #[test]
    fn a_name_is_declared_once() {
        let mut names: Vec<_> = EVENTS.iter().map(|declared| declared.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EVENTS.len());
    }
}
