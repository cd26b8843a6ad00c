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
    /// `string`, `integer`, `number`, `boolean`, `object`, `array`.
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

const REASON: &[Field] = &[field("reason", "string", "why, in words")];

const REPORT: &[Field] = &[
    field("reported_by", "string", "the address that brought the report"),
    field("named", "string", "the recipient that the report names, if it is another"),
];

/// What a report of a mail host says.
const BOUNCE: &[Field] = &[
    field("hard", "boolean", "the address is lost"),
    field("enhanced", "string", "the enhanced code in the report"),
    field("category", "string", "what kind of refusal it is"),
    field("class", "string", "and exactly which"),
    field("reason", "string", "the host's words"),
    field("reported_by", "string", "the address that brought the report"),
    field("named", "string", "the recipient that the report names, if it is another"),
    field("again", "boolean", "an earlier report had not said that the address is lost"),
];

const ALARM: &[Field] = &[
    field("text", "string", "what happened, in a sentence"),
    field(
        "kind",
        "string",
        "of a health window: source, domain, organization, campaign, credential",
    ),
    field("id", "integer", "of the source, domain …"),
    field("operator", "string", "where, if not at all of them"),
    field("site", "integer", "which of the small hosts it is, in a stop's scope"),
    field("rate", "string", "bounce, complaint, deferral or block"),
    field("standing", "string", "warn or stop; of a return domain: missing or different"),
    field("domain", "string", "the return domain that does not lead here"),
    field("count", "integer", "how many"),
    field("of", "integer", "of how many"),
    field("share", "number", "the one by the other"),
    field("low", "number", "the share lies above it with 95 % confidence"),
    field("high", "number", "and below it"),
];

const INBOUND: &[Field] = &[
    field("inbound", "integer", "its id in /v1/inbound"),
    field("sender", "string", "of the envelope"),
    field("recipient", "string", "of the envelope"),
    field("subject", "string", "its subject, shortened"),
    field("bytes", "integer", "size of the mail"),
    field("kind", "string", "bounce, delay, auto_reply, delivered, complaint or not_bounce"),
    field("fate", "string", "what became of it"),
    field("spf", "string", "what SPF says"),
    field("dkim", "string", "what DKIM says"),
    field("dmarc", "string", "what DMARC says"),
    field("message", "integer", "the message that it is about, if it is about one of ours"),
    field("delivery", "integer", "and the delivery"),
];

const RUN: &[Field] = &[
    field("automation", "integer", "the automation"),
    field("run", "integer", "the contact's way through it"),
    field("contact", "integer", "the contact"),
];

const SOURCE: &[Field] = &[
    field("source", "integer", "the source"),
    field("findings", "array", "what its checks have found"),
];

const LIMIT: &[Field] = &[
    field("limit", "integer", "the limit"),
    field("reason", "string", "what it is for, in words"),
    field("value", "integer", "recipients that it allows"),
    field("used", "integer", "of them used"),
    field("seconds", "integer", "the span that it is for"),
];

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
    field("class", "string", "what the answer means, by the rules of classification"),
    field("operator", "string", "by whose rules the answer was read"),
    field("next", "integer", "when it is tried again, of a deferral"),
    field("dialogue", "string", "where the dialogue is kept, if it is"),
];

/// What a reader's program says of itself.
const READER: &[Field] = &[
    field("agent", "string", "what the program calls itself"),
    field("address", "string", "where it asked from"),
    field("method", "string", "GET or HEAD"),
    field("place", "integer", "which link of the mail, from 0"),
    field("link", "string", "where the link leads"),
    field("reader", "string", "of submitted mail: person, robot or proxy, final after ten seconds"),
];

pub const EVENTS: &[Declared] = &[
    is(
        "accepted",
        "a message is on disk; one event for all its recipients",
        &[
            field("recipients", "integer", "deliveries that began"),
            field("bytes", "integer", "size of the mail"),
            field("captured", "boolean", "it is kept here and sent nowhere"),
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
    is("bounced", "a report came back for a mail that a host had taken", BOUNCE),
    is("delayed", "a report came back: the host goes on trying", BOUNCE),
    is("confirmed", "a receipt or a relay tells that the mail has arrived", REPORT),
    is("auto_replied", "a machine of the recipient answered", REPORT),
    is(
        "replied",
        "the recipient has answered the mail of a campaign",
        &[field("campaign", "integer", "the campaign")],
    ),
    is(
        "complained",
        "the recipient called it spam; nothing is sent to the address any more",
        &[
            field("feedback_type", "string", "abuse, fraud or other (RFC 5965)"),
            field("reported_by", "string", "the address that brought the report"),
            field("named", "string", "the recipient that the report names, if it is another"),
        ],
    ),
    is(
        "unsubscribed",
        "the recipient wants no more mail of the stream",
        &[
            field("by", "string", "one_click, page, preferences, mail or feedback"),
            field("reason", "string", "in the recipient's words, if any"),
        ],
    ),
    is(
        "queued",
        "a message was taken whose first attempt waits for a moment that was asked for",
        &[field("until", "integer", "the moment")],
    ),
    is("opened", "the pixel of a mail was asked for, by whomever", READER),
    is("clicked", "a link of a mail was followed, by whomever", READER),
    is("inbound_received", "a mail came in for one of our addresses", INBOUND),
    is(
        "domain_checked",
        "a look at a sending domain's records found something else than the one before",
        &[
            field("domain", "string", "the domain"),
            field("ready", "boolean", "all records are right"),
            field("verified", "boolean", "it was shown to be the organization's"),
            field("records", "object", "each record, and what was found of it"),
            field("before", "object", "the same of the look before"),
        ],
    ),
    is("source_red", "the checks of a source say that it must not send", SOURCE),
    is("source_green", "the checks of a source let it send", SOURCE),
    is("alarm", "a rule has acted in a way that a person should look at now", ALARM),
    is("limit_approaching", "of a send limit nine tenths are used", LIMIT),
    is("limit_reached", "a send limit is used up; what is over it waits", LIMIT),
    is(
        "campaign_state",
        "a campaign was scheduled, began, paused, went on, or is over",
        &[
            field("campaign", "integer", "the campaign"),
            field("from", "string", "the state it was in"),
            field("state", "string", "the state it is in"),
            field("trouble", "string", "why it does not go on, if so"),
        ],
    ),
    is("automation_entered", "a contact came into an automation", RUN),
    is(
        "automation_ended",
        "a contact is no longer in an automation",
        &[
            field("automation", "integer", "the automation"),
            field("run", "integer", "the contact's way through it"),
            field("contact", "integer", "the contact"),
            field("reason", "string", "finished, exited, condition, left, gone or stopped"),
        ],
    ),
    is(
        "credential_used_first",
        "a credential was used for the first time",
        &[
            field("credential", "string", "its name"),
            field("address", "string", "where it was used from"),
        ],
    ),
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
