//! From replies to outcomes: one for each recipient, with its blame.
//!
//! Owns:       how far the lesson of a reply reaches, by the phase it came in.
//! Promises:   plain functions of what was heard; only a final answer from the host, or a limit it
//!             announced, fails a mail; an answer is called unseen only when all was sent.
//! Knows not:  sockets.

use super::line::Broken;
use crate::model::{Blame, Enhanced, Outcome, Reply};
use crate::wire::reply::clipped;

/// How much of the mail has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    #[default]
    Commands,
    /// Some of the mail, but not its end.
    Some,
    /// The final dot, or the last octet of the last chunk.
    All,
}

/// What the host answered in one transaction.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub reset: Option<Reply>,
    pub mail: Option<Reply>,
    /// In the order of RCPT.
    pub recipients: Vec<Reply>,
    pub data: Option<Reply>,
    pub end: Option<Reply>,
    pub reach: Reach,
}

impl Heard {
    /// Recipients that the host took, as long as it took the sender too.
    pub(super) fn accepts_some(&self) -> bool {
        self.mail.as_ref().is_some_and(Reply::is_positive)
            && self.recipients.iter().any(Reply::is_positive)
    }

    /// All was taken, in every step: nothing worth a record.
    pub(super) fn is_flawless(&self) -> bool {
        self.end.as_ref().is_some_and(Reply::is_positive)
            && self.mail.as_ref().is_some_and(Reply::is_positive)
            && self.recipients.iter().all(Reply::is_positive)
    }
}

/// Where in a transaction a reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Mail,
    Recipient,
    Data,
    End,
}

/// The outcome for the recipient with this number among those of the transaction.
pub(super) fn judge(heard: &Heard, number: usize, broken: Option<&Broken>) -> Outcome {
    if let Some(mail) = heard.mail.as_ref().filter(|reply| !reply.is_positive()) {
        return by_reply(Stage::Mail, mail);
    }
    let own = heard.recipients.get(number);
    if let Some(own) = own.filter(|reply| !reply.is_positive()) {
        return by_recipient_reply(heard, number, own);
    }
    if let Some(end) = &heard.end {
        return by_reply(Stage::End, end);
    }
    if let Some(data) = heard.data.as_ref().filter(|reply| !matches!(reply.code, 200..=399)) {
        return by_reply(Stage::Data, data);
    }
    match broken {
        Some(broken) => by_break(heard.reach, broken),
        // Not reached: without an answer there is a break. Trying again is the safe reading.
        None => deferred(None, Blame::Ourselves, "the transaction ended without an answer"),
    }
}

/// A break before the host had all of the mail teaches nothing about the mail.
pub(super) fn by_break(reach: Reach, broken: &Broken) -> Outcome {
    match broken {
        Broken::Goodbye(reply) => {
            let reply = clipped((**reply).clone());
            deferred(Some(reply), Blame::Host, "the host closed the connection")
        }
        _ if reach == Reach::All => Outcome::AnswerNotSeen {
            reason: format!("the mail was sent, but its answer was not seen: {broken}"),
        },
        Broken::OutOfPlace(reply) => {
            let reason = broken.to_string();
            deferred(Some(clipped((**reply).clone())), Blame::Host, &reason)
        }
        _ => deferred(None, Blame::Host, &broken.to_string()),
    }
}

pub(super) fn deferred(reply: Option<Reply>, blame: Blame, reason: &str) -> Outcome {
    Outcome::Deferred { reply, blame, reason: reason.to_owned() }
}

/// Too many recipients is said by 452, by old hosts by 552 (RFC 5321 §4.5.3.1.10). It is no lesson
/// about this recipient, who did nothing but come after others that were taken.
fn by_recipient_reply(heard: &Heard, number: usize, reply: &Reply) -> Outcome {
    let others_taken = heard.recipients[..number].iter().any(Reply::is_positive);
    let mailbox = matches!(reply.enhanced(), Some(Enhanced(_, 1 | 2 | 7, _)));
    if others_taken && !mailbox && matches!(reply.code, 452 | 552) {
        let reply = clipped(reply.clone());
        return deferred(Some(reply), Blame::Host, "too many recipients in one transaction");
    }
    by_reply(Stage::Recipient, reply)
}

fn by_reply(stage: Stage, reply: &Reply) -> Outcome {
    let blame = blame_of(stage, reply);
    let kept = clipped(reply.clone());
    match reply.code {
        200..=299 if stage == Stage::End => Outcome::Delivered { reply: kept },
        // "Unknown command" and "bad sequence" tell of a host that lost its thread.
        500 | 502 | 503 => deferred(Some(kept), Blame::Host, reason_at(stage)),
        500..=599 => {
            Outcome::Failed { reply: Some(kept), blame, reason: reason_at(stage).to_owned() }
        }
        400..=499 => deferred(Some(kept), blame, reason_at(stage)),
        _ => deferred(Some(kept), Blame::Host, "an answer without meaning at this point"),
    }
}

fn reason_at(stage: Stage) -> &'static str {
    match stage {
        Stage::Mail => "refused at MAIL",
        Stage::Recipient => "refused at RCPT",
        Stage::Data => "refused at DATA",
        Stage::End => "refused after the mail was sent",
    }
}

/// The phase decides, unless the enhanced code (RFC 3463) plainly speaks of something else. Rules
/// that know the texts of operators refine this later.
fn blame_of(stage: Stage, reply: &Reply) -> Blame {
    let subject = reply.enhanced().map(|code| (code.1, code.2));
    match (stage, subject) {
        (_, Some((3, 4))) => Blame::Message,
        (_, Some((3 | 4, _))) => Blame::Host,
        (Stage::Recipient, _) => Blame::Recipient,
        (_, Some((6, _))) => Blame::Message,
        (Stage::Mail, _) if reply.code == 552 => Blame::Message,
        (Stage::Mail, Some((1, _))) => Blame::FromDomain,
        (Stage::Mail, _) if reply.is_permanent() => Blame::FromDomain,
        // A 4xx at MAIL is mostly "too much from your address": nobody else is known by then.
        (Stage::Mail, Some((7, _))) => Blame::Source,
        (Stage::Mail, _) => Blame::Host,
        (Stage::Data, _) if reply.is_transient() => Blame::Host,
        (Stage::End, Some((2, _))) => Blame::Recipient,
        (Stage::Data | Stage::End, _) => Blame::Message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply::read(text).expect("a reply")
    }

    fn heard(mail: &str, recipients: &[&str], data: Option<&str>, end: Option<&str>) -> Heard {
        Heard {
            reset: None,
            mail: Some(reply(mail)),
            recipients: recipients.iter().map(|text| reply(text)).collect(),
            data: data.map(reply),
            end: end.map(reply),
            reach: if end.is_some() { Reach::All } else { Reach::Commands },
        }
    }

    fn word(outcome: &Outcome) -> (&'static str, Option<Blame>) {
        match outcome {
            Outcome::Delivered { .. } => ("delivered", None),
            Outcome::Deferred { blame, .. } => ("deferred", Some(*blame)),
            Outcome::Failed { blame, .. } => ("failed", Some(*blame)),
            Outcome::AnswerNotSeen { .. } => ("not seen", None),
        }
    }

    #[test]
    fn the_phase_of_a_refusal_decides_whom_it_blames() {
        use Blame::*;
        for (said, outcome) in [
            (heard("250 ok", &["250 ok"], Some("354 go"), Some("250 ok")), ("delivered", None)),
            (heard("550 no", &[], None, None), ("failed", Some(FromDomain))),
            (heard("451 4.7.1 slow down", &[], None, None), ("deferred", Some(Source))),
            (heard("451 busy", &[], None, None), ("deferred", Some(Host))),
            (heard("552 5.3.4 too big", &[], None, None), ("failed", Some(Message))),
            (heard("503 hm", &[], None, None), ("deferred", Some(Host))),
            (heard("250 ok", &["550 5.1.1 who"], None, None), ("failed", Some(Recipient))),
            (heard("250 ok", &["450 4.2.0 grey"], None, None), ("deferred", Some(Recipient))),
            (heard("250 ok", &["552 5.2.2 full"], None, None), ("failed", Some(Recipient))),
            (heard("250 ok", &["452 4.3.1 disk"], None, None), ("deferred", Some(Host))),
            (heard("250 ok", &["354 hm"], None, None), ("deferred", Some(Host))),
            (heard("250 ok", &["250 ok"], Some("451 no"), None), ("deferred", Some(Host))),
            (heard("250 ok", &["250 ok"], Some("554 no"), None), ("failed", Some(Message))),
            (
                heard("250 ok", &["250 ok"], Some("354 go"), Some("554 5.7.1 spam")),
                ("failed", Some(Message)),
            ),
            (
                heard("250 ok", &["250 ok"], Some("354 go"), Some("452 4.3.1 disk")),
                ("deferred", Some(Host)),
            ),
            (
                heard("250 ok", &["250 ok"], Some("354 go"), Some("552 5.2.2 full")),
                ("failed", Some(Recipient)),
            ),
        ] {
            assert_eq!(word(&judge(&said, 0, None)), outcome, "{said:?}");
        }
    }

    #[test]
    fn too_many_recipients_is_not_the_last_ones_fault() {
        let said = heard("250 ok", &["250 ok", "452 4.5.3 enough", "552 enough"], None, None);
        assert_eq!(word(&judge(&said, 1, None)), ("deferred", Some(Blame::Host)));
        assert_eq!(word(&judge(&said, 2, None)), ("deferred", Some(Blame::Host)));
        let first = heard("250 ok", &["552 full"], None, None);
        assert_eq!(word(&judge(&first, 0, None)), ("failed", Some(Blame::Recipient)));
    }

    #[test]
    fn an_answer_is_unseen_only_when_all_was_sent() {
        let mut said = heard("250 ok", &["250 ok"], Some("354 go"), None);
        said.reach = Reach::Some;
        assert_eq!(word(&judge(&said, 0, Some(&Broken::Closed))).0, "deferred");
        said.reach = Reach::All;
        assert_eq!(word(&judge(&said, 0, Some(&Broken::Closed))).0, "not seen");
        let goodbye = Broken::Goodbye(Box::new(reply("421 busy")));
        assert_eq!(word(&judge(&said, 0, Some(&goodbye))), ("deferred", Some(Blame::Host)));
    }
}
