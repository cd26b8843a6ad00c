//! What follows from an outcome: the step, the next due time, the report. Pure.
//!
//! Owns:       the rules between an attempt's end and the rows it changes.
//! Promises:   the same outcome at the same moment gives the same verdict, at the attempt's end
//!             and when the outcome log is replayed.
//! Knows not:  rows, clocks, who tried.

use serde_json::{Value, json};

use super::meaning::{classified_in, operator_in};
use super::profiles::RetryProfiles;
use super::retry::{Clocked, DELAY_REPORT_AFTER, due_after};
use crate::deliver::ConnectionFacts;
use crate::model::limits::REPLY_TEXT_BYTES_MAX;
use crate::model::*;
use crate::queue::outcome_log::Record;
use crate::store::{ClaimedDelivery, Settle};

/// RFC 3463 §3.5: X.4.7, delivery time expired.
pub const EXPIRED: &str = "4.4.7 tried until its time was over";
pub const EXPIRED_HELD: &str = "4.4.7 held until its time was over";

/// What the sender is told of a delivery (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    Failed,
    Delayed,
    /// Taken by a host that reports no success itself.
    Relayed,
}

/// The rules of one moment.
pub struct Rules<'a> {
    pub retries: &'a RetryProfiles,
    pub now: Timestamp,
    /// A dice throw in `0.0..1.0`.
    pub stretch: f64,
}

/// The row change and the notice that an outcome asks for.
pub fn verdict(
    rules: &Rules<'_>,
    delivery: &ClaimedDelivery,
    record: &Record,
) -> (Settle, Option<Notice>) {
    let outcome = &record.outcome;
    let message = &delivery.message;
    let classified = classified_in(&record.fields);
    // The stage of the dialogue says whose trouble it is, the class says it better.
    let own_blame = classified.as_ref().and_then(|told| told.class.blame());
    let mut settle = Settle {
        delivery: delivery.id,
        site: None,
        step: Step::Defer,
        tries: record.tries,
        counted: true,
        due: rules.now,
        text: clipped(outcome.text()),
        blame: None,
        answer_not_seen: matches!(outcome, Outcome::AnswerNotSeen { .. }),
        delay_reported: delivery.delay_reported,
        fields: record.fields.clone(),
        pin: record.pin.clone(),
        at: record.at,
    };
    let notify = delivery.recipient.notify;
    let notice = match outcome {
        Outcome::Delivered { .. } => {
            settle.step = Step::Deliver;
            let passed_on = record.fields.get("dsn_passed_on").is_some();
            (notify.success && !passed_on).then_some(Notice::Relayed)
        }
        Outcome::Failed { blame, .. } => {
            settle.step = Step::Fail;
            settle.blame = Some(own_blame.unwrap_or(*blame));
            notify.failure.then_some(Notice::Failed)
        }
        Outcome::Deferred { .. } | Outcome::AnswerNotSeen { .. } => {
            settle.blame = Some(own_blame.unwrap_or(blame_of(outcome)));
            let tries = record.tries;
            let end = message.expires_at;
            let profile = classified.map_or(RetryProfile::Default, |told| told.retry);
            let domain = delivery.recipient.address.domain();
            let policy = rules.retries.policy(profile, operator_in(&record.fields), domain);
            // What a host asks for may be longer than the waits of the class.
            let told_max = rules.retries.general.wait_max.max(policy.wait_max);
            let clock = Clocked { now: rules.now, expires_at: end, stretch: rules.stretch };
            settle.due = due_after(&policy, told_max, outcome, tries, clock);
            if let Some(fields) = settle.fields.as_object_mut() {
                fields.insert("next".into(), settle.due.0.into());
            }
            let old = rules.now.since(message.accepted_at) >= DELAY_REPORT_AFTER;
            let report = notify.delay && old && !delivery.delay_reported;
            settle.delay_reported |= report;
            report.then_some(Notice::Delayed)
        }
    };
    // RFC 5321 §6.1: nothing is ever reported to the null sender.
    (settle, notice.filter(|_| message.sender.0.is_some()))
}

const fn blame_of(outcome: &Outcome) -> Blame {
    match outcome {
        Outcome::Deferred { blame, .. } | Outcome::Failed { blame, .. } => *blame,
        Outcome::Delivered { .. } | Outcome::AnswerNotSeen { .. } => Blame::Host,
    }
}

/// What is told of a delivery whose time is over: the host's last reply when there was one, or the
/// last reason of our own beside the status.
pub fn outcome_of_expiry(delivery: &ClaimedDelivery, why: &str) -> Outcome {
    let last = &delivery.last_text;
    let reply = Reply::read(last).filter(|reply| reply.is_transient() || reply.is_permanent());
    let reason = match last.as_str() {
        "" => why.to_owned(),
        _ if reply.is_some() => why.to_owned(),
        last => format!("{why}; at last: {last}"),
    };
    Outcome::Failed { reply, blame: Blame::Host, reason }
}

/// The end of trying: expired; the row's text keeps what was answered last.
pub fn expiry(delivery: &ClaimedDelivery, why: &str, now: Timestamp) -> (Settle, Option<Notice>) {
    let text = match delivery.last_text.as_str() {
        "" => why.to_owned(),
        last => format!("{why}; at last: {last}"),
    };
    let settle = Settle {
        delivery: delivery.id,
        site: None,
        step: Step::Expire,
        tries: delivery.tries,
        counted: false,
        due: now,
        text: clipped(text),
        blame: None,
        answer_not_seen: false,
        delay_reported: delivery.delay_reported,
        fields: json!({ "tries": delivery.tries, "reason": delivery.last_text }),
        pin: None,
        at: now,
    };
    let reportable = delivery.message.sender.0.is_some() && delivery.recipient.notify.failure;
    (settle, reportable.then_some(Notice::Failed))
}

/// Taken and not tried: it waits again at this site, due as before. No event, not counted.
pub fn give_back(delivery: &ClaimedDelivery, site: SiteId, now: Timestamp) -> Settle {
    Settle {
        delivery: delivery.id,
        site: Some(site),
        step: Step::LoseLease,
        tries: delivery.tries,
        counted: false,
        due: delivery.due_at,
        text: String::new(),
        blame: None,
        answer_not_seen: false,
        delay_reported: delivery.delay_reported,
        fields: Value::Null,
        pin: None,
        at: now,
    }
}

/// Taken and not tried: a limit has it wait until `due`.
pub fn put_off(delivery: &ClaimedDelivery, site: SiteId, due: Timestamp, now: Timestamp) -> Settle {
    Settle { due, ..give_back(delivery, site, now) }
}

/// Set aside for a person, with the reason.
pub fn hold(delivery: &ClaimedDelivery, reason: &str, now: Timestamp) -> Settle {
    Settle {
        site: None,
        step: Step::Hold,
        text: clipped(reason.to_owned()),
        blame: Some(Blame::Ourselves),
        fields: json!({ "reason": reason }),
        ..give_back(delivery, delivery.site, now)
    }
}

/// What an event tells of an attempt.
pub fn fields(facts: &ConnectionFacts, outcome: &Outcome, tries: u32, milliseconds: u64) -> Value {
    let mut fields = json!({
        "source": facts.source,
        "host": facts.host,
        "try": tries + 1,
        "milliseconds": milliseconds,
    });
    let Some(map) = fields.as_object_mut() else { return fields };
    if let Some(address) = facts.address {
        map.insert("address".into(), address.to_string().into());
    }
    if let Some(local) = facts.local_address {
        map.insert("local_address".into(), local.to_string().into());
    }
    if let Some(tls) = &facts.tls {
        map.insert("tls".into(), tls.as_str().into());
    }
    match outcome.reply() {
        Some(reply) => {
            map.insert("code".into(), reply.code.into());
            if let Some(enhanced) = reply.enhanced() {
                map.insert("enhanced".into(), enhanced.to_string().into());
            }
            map.insert("reply".into(), clipped(reply.text()).into());
        }
        None => {
            map.insert("reason".into(), clipped(outcome.text()).into());
        }
    }
    if !matches!(outcome, Outcome::Delivered { .. }) {
        map.insert("blame".into(), blame_of(outcome).word().into());
    }
    fields
}

/// At most `REPLY_TEXT_BYTES_MAX` octets, cut between characters.
pub fn clipped(text: String) -> String {
    clipped_to(text, REPLY_TEXT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MessageRow, samples};
    use std::sync::Arc;
    use std::time::Duration;

    use crate::schedule::retry::RetryPolicy;

    fn delivery(sender: &str, notify: Notify) -> ClaimedDelivery {
        let message = MessageRow {
            expires_at: Timestamp::from_seconds(4 * 86_400),
            ..samples::message(sender)
        };
        let mut recipient = Recipient::new(Address::parse("b@x.example").expect("lawful"));
        recipient.notify = notify;
        ClaimedDelivery {
            id: DeliveryId(1),
            recipient,
            campaign: None,
            pool: None,
            site: SiteId(1),
            tries: 2,
            due_at: Timestamp(0),
            score: 0,
            delay_reported: false,
            last_text: String::new(),
            message: Arc::new(message),
        }
    }

    fn judge(delivery: &ClaimedDelivery, outcome: Outcome, hours: i64) -> (Settle, Option<Notice>) {
        let policy = RetryPolicy {
            wait_first: Duration::from_secs(300),
            wait_max: Duration::from_secs(4 * 3600),
        };
        let now = Timestamp::from_seconds(hours * 3600);
        let retries = RetryProfiles::shipped(policy);
        let rules = Rules { retries: &retries, now, stretch: 0.0 };
        let fields = Value::Null;
        let record =
            Record { delivery: delivery.id, tries: 2, outcome, fields, pin: None, at: now };
        verdict(&rules, delivery, &record)
    }

    fn failed() -> Outcome {
        let reply = Reply::read("550 5.1.1 no such user");
        Outcome::Failed { reply, blame: Blame::Recipient, reason: String::new() }
    }

    fn deferred() -> Outcome {
        let reply = Reply::read("451 4.3.0 later");
        Outcome::Deferred { reply, blame: Blame::Host, reason: String::new() }
    }

    #[test]
    fn a_failure_is_reported_to_who_did_not_forbid_it_and_never_to_the_null_sender() {
        let (settle, notice) = judge(&delivery("a@y.example", Notify::default()), failed(), 0);
        assert_eq!((settle.step, notice), (Step::Fail, Some(Notice::Failed)));
        let (_, notice) = judge(&delivery("a@y.example", Notify::NEVER), failed(), 0);
        assert_eq!(notice, None);
        let (settle, notice) = judge(&delivery("", Notify::default()), failed(), 0);
        assert_eq!((settle.step, notice), (Step::Fail, None));
    }

    #[test]
    fn a_deferral_waits_longer_each_time_and_tells_of_delay_once_asked() {
        let asked = Notify { delay: true, ..Notify::default() };
        let (settle, notice) = judge(&delivery("a@y.example", asked), deferred(), 1);
        assert_eq!((settle.step, notice), (Step::Defer, None));
        assert_eq!(settle.due, Timestamp::from_seconds(3600 + 1200));
        let (settle, notice) = judge(&delivery("a@y.example", asked), deferred(), 5);
        assert_eq!(notice, Some(Notice::Delayed));
        assert!(settle.delay_reported);
        let (_, notice) = judge(&delivery("a@y.example", Notify::default()), deferred(), 5);
        assert_eq!(notice, None);
    }

    #[test]
    fn what_expires_keeps_the_last_answer_and_tells_it() {
        let mut expired = delivery("a@y.example", Notify::default());
        let outcome = |delivery: &ClaimedDelivery| outcome_of_expiry(delivery, EXPIRED).text();
        assert_eq!(outcome(&expired), EXPIRED);
        expired.last_text = "451 4.2.1 come back later".into();
        assert_eq!(outcome(&expired), "451 4.2.1 come back later");
        let (settle, _) = expiry(&expired, EXPIRED, Timestamp(0));
        assert_eq!(settle.text, format!("{EXPIRED}; at last: 451 4.2.1 come back later"));
        expired.last_text = "no connection".into();
        assert_eq!(outcome(&expired), format!("{EXPIRED}; at last: no connection"));
    }

    #[test]
    fn an_answer_that_was_not_seen_is_tried_again_and_marked() {
        let outcome = Outcome::AnswerNotSeen { reason: "closed after the final dot".into() };
        let (settle, _) = judge(&delivery("a@y.example", Notify::default()), outcome, 0);
        assert_eq!(settle.step, Step::Defer);
        assert!(settle.answer_not_seen);
    }
}
