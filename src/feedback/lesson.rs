//! From a finding about a delivery to what follows from it. Pure.
//!
//! A bounce that names another address than we wrote to (a forward's) says nothing for good of
//! ours. What several deliveries share a token for is about the one that it names, or about nobody.

use serde_json::json;

use super::Verdict;
use crate::model::*;
use crate::store::{
    AddressHash, MessageRow, NewSuppression, ReturnSubject, Returned, SoftBounce, SoftBounceRule,
};
use crate::wire::report::{Finding, Report, address};

const TEXT_CHARS_MAX: usize = 500;

/// A delivery, and whether the report names its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About<'a> {
    pub subject: &'a ReturnSubject,
    pub is_named: bool,
}

/// Whom of the group a finding is about.
pub fn about<'a>(finding: &Finding, group: &'a [ReturnSubject]) -> Option<About<'a>> {
    let is_named = |subject: &&ReturnSubject| {
        let told = finding.recipient.as_deref();
        told.is_some_and(|told| address::same(told, &subject.recipient.to_string()))
    };
    if let Some(subject) = group.iter().find(is_named) {
        return Some(About { subject, is_named: true });
    }
    match group {
        [only] => Some(About { subject: only, is_named: finding.recipient.is_none() }),
        _ => None,
    }
}

/// The findings that are about one of the group, those that name an address of it first: of what a
/// mail says of one delivery the first counts, and the next is a repetition.
pub fn all_about<'a>(
    findings: &'a [Finding],
    group: &'a [ReturnSubject],
) -> Vec<(&'a Finding, About<'a>)> {
    let mut all: Vec<_> =
        findings.iter().filter_map(|one| Some((one, about(one, group)?))).collect();
    all.sort_by_key(|(_, about)| !about.is_named);
    all
}

/// What a report says of one delivery.
pub struct Told<'a> {
    pub report: &'a Report,
    pub finding: &'a Finding,
    pub verdict: Verdict,
    pub message: &'a MessageRow,
    pub about: About<'a>,
    /// Who brought it.
    pub peer: String,
    pub rule: SoftBounceRule,
    pub at: Timestamp,
}

impl Told<'_> {
    /// None for mail that is no report.
    pub fn lesson(&self) -> Option<Returned> {
        let kind = match self.finding.kind {
            ReportKind::Bounce => EventKind::Bounced,
            ReportKind::Delay => EventKind::Delayed,
            ReportKind::AutoReply => EventKind::AutoReplied,
            ReportKind::Complaint if self.is_opt_out() => EventKind::Unsubscribed,
            ReportKind::Complaint => EventKind::Complained,
            ReportKind::Delivered => EventKind::Confirmed,
            ReportKind::NotBounce => return None,
        };
        Some(Returned {
            organization: self.message.organization,
            message: self.message.id,
            delivery: self.about.subject.delivery,
            kind,
            fields: self.fields(kind),
            suppression: self.suppression(kind),
            soft: self.soft(kind),
            at: self.at,
        })
    }

    fn is_opt_out(&self) -> bool {
        self.report.feedback_type == Some(FeedbackType::OptOut)
    }

    /// The address itself is lost, as far as this report can say so.
    pub fn is_hard(&self) -> bool {
        self.verdict.is_hard() && self.about.is_named
    }

    fn fields(&self, kind: EventKind) -> serde_json::Value {
        let told = self.finding.texts.first().map(|text| clipped(text));
        let mut fields = json!({ "reported_by": self.peer });
        match kind {
            EventKind::Bounced | EventKind::Delayed => {
                fields["hard"] = json!(self.is_hard());
                fields["enhanced"] = json!(self.finding.status.map(|code| code.to_string()));
                fields["category"] = json!(self.verdict.category());
                fields["class"] = json!(self.verdict.class);
                fields["reason"] = json!(told);
            }
            EventKind::Complained => {
                fields["feedback_type"] = json!(self.report.feedback_type);
            }
            _ => {}
        }
        if let Some(recipient) = self.finding.recipient.as_ref().filter(|_| !self.about.is_named) {
            fields["named"] = json!(clipped(recipient));
        }
        fields
    }

    fn suppression(&self, kind: EventKind) -> Option<NewSuppression> {
        match kind {
            EventKind::Bounced if self.is_hard() => {
                let entry = self.entry(SuppressionReason::HardBounce);
                Some(entry.reaching(self.verdict.suppress?, self.message.stream))
            }
            EventKind::Complained => Some(self.entry(SuppressionReason::Complaint)),
            _ => None,
        }
    }

    fn entry(&self, reason: SuppressionReason) -> NewSuppression {
        let note = self.finding.texts.first().map(|text| clipped(text)).unwrap_or_default();
        let note = note.chars().take(200).collect();
        let recipient = &self.about.subject.recipient;
        entry(self.message, self.about.subject.delivery, recipient, reason, note, self.at)
    }

    fn soft(&self, kind: EventKind) -> Option<SoftBounce> {
        let class = self.verdict.class?;
        // A code of another subject (5.4.1, 5.7.1) may mean anything.
        let is_about = self.finding.status.is_none_or(|code| matches!(code.1, 1 | 2));
        let is_soft = kind == EventKind::Bounced && !self.is_hard();
        let counts = is_soft && is_about && class.is_of_mailbox();
        counts.then(|| SoftBounce {
            rule: self.rule,
            entry: self.entry(SuppressionReason::SoftBounces),
            was_delivered: true,
        })
    }
}

/// An entry of the organization that a delivery has taught.
fn entry(
    message: &MessageRow,
    delivery: DeliveryId,
    recipient: &Address,
    reason: SuppressionReason,
    note: String,
    at: Timestamp,
) -> NewSuppression {
    NewSuppression {
        scope: SuppressionScope::Organization,
        organization: Some(message.organization),
        stream: None,
        list: None,
        hash: AddressHash::of(recipient),
        address: Some(recipient.to_string()),
        reason,
        evidence: Some(delivery),
        note,
        expires_at: None,
        at,
    }
}

/// Who unsubscribes gets no more of the stream; other streams of the organization go on.
pub fn unsubscribed(
    message: &MessageRow,
    subject: &ReturnSubject,
    at: Timestamp,
) -> NewSuppression {
    let (delivery, recipient) = (subject.delivery, &subject.recipient);
    let reason = SuppressionReason::Unsubscribe;
    NewSuppression {
        scope: SuppressionScope::Stream,
        stream: Some(message.stream),
        ..entry(message, delivery, recipient, reason, String::new(), at)
    }
}

fn clipped(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::samples;

    const RULE: SoftBounceRule =
        SoftBounceRule { bounces: 5, span: std::time::Duration::from_secs(10 * 86_400) };

    pub fn subject(id: i64, recipient: &str) -> ReturnSubject {
        ReturnSubject {
            delivery: DeliveryId(id),
            recipient: Address::parse(recipient).expect("lawful"),
            state: State::Delivered,
            notify: Notify::default(),
            operator: None,
        }
    }

    pub fn message() -> MessageRow {
        MessageRow {
            id: MessageId(7),
            organization: OrganizationId(3),
            stream: StreamId(4),
            ..samples::message("ann@shop.example")
        }
    }

    fn finding(kind: ReportKind, recipient: Option<&str>) -> Finding {
        let recipient = recipient.map(str::to_owned);
        let texts = vec!["no such\n user".into()];
        Finding { recipient, kind, status: None, texts, hosts: Vec::new() }
    }

    fn learnt(
        kind: ReportKind,
        recipient: Option<&str>,
        verdict: Verdict,
        feedback_type: Option<FeedbackType>,
    ) -> Option<Returned> {
        let group = [subject(9, "bob@x.example")];
        let finding = finding(kind, recipient);
        let report = Report {
            findings: vec![finding.clone()],
            original_message_id: None,
            feedback_type,
            feedback_id: None,
            is_cut: false,
        };
        let message = message();
        let about = about(&finding, &group)?;
        let (finding, report, message) = (&finding, &report, &message);
        let (peer, at) = ("192.0.2.1".to_owned(), Timestamp(5));
        Told { report, finding, verdict, message, about, peer, rule: RULE, at }.lesson()
    }

    const LOST: Verdict =
        Verdict { class: Some(Class::MailboxInvalid), suppress: Class::MailboxInvalid.suppress() };
    const NOTHING: Verdict = Verdict { class: None, suppress: None };

    #[test]
    fn a_finding_is_about_the_address_it_names_or_about_the_only_one() {
        let group = [subject(1, "ann@x.example"), subject(2, "bob@x.example")];
        let of = |recipient, group: &[ReturnSubject]| {
            let finding = finding(ReportKind::Bounce, recipient);
            about(&finding, group).map(|about| (about.subject.delivery.0, about.is_named))
        };
        assert_eq!(of(Some("BOB@x.example"), &group), Some((2, true)));
        assert_eq!(of(Some("cid@x.example"), &group), None);
        assert_eq!(of(None, &group), None);
        assert_eq!(of(None, &group[..1]), Some((1, true)));
        assert_eq!(of(Some("forward@y.example"), &group[..1]), Some((1, false)));
    }

    #[test]
    fn what_a_report_says_of_our_own_address_goes_before_what_it_says_of_where_that_leads() {
        let findings = [Some("forward@y.example"), Some("ann@x.example")]
            .map(|recipient| finding(ReportKind::Bounce, recipient));
        let group = [subject(1, "ann@x.example")];
        let all = all_about(&findings, &group);
        let named = all.iter().map(|(one, about)| (one.recipient.as_deref(), about.is_named));
        let expected = [(Some("ann@x.example"), true), (Some("forward@y.example"), false)];
        assert_eq!(named.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_lost_mailbox_is_suppressed_only_under_the_address_that_we_wrote_to() {
        let own = learnt(ReportKind::Bounce, Some("bob@x.example"), LOST, None).expect("learnt");
        let entry = own.suppression.expect("an entry");
        assert_eq!((own.kind, entry.reason), (EventKind::Bounced, SuppressionReason::HardBounce));
        assert_eq!((entry.expires_at, entry.evidence), (None, Some(DeliveryId(9))));
        assert_eq!((&own.fields["hard"], own.soft), (&json!(true), None));
        let other = learnt(ReportKind::Bounce, Some("forward@y.example"), LOST, None);
        let other = other.expect("learnt");
        assert_eq!((other.suppression, &other.fields["hard"]), (None, &json!(false)));
        assert!(other.soft.is_some());
        assert_eq!(other.fields["named"], "forward@y.example");
    }

    #[test]
    fn an_entry_reaches_as_far_and_lasts_as_long_as_the_rule_says() {
        let entry = |scope, days| {
            let suppress = Some(Suppress { scope, days });
            let verdict = Verdict { class: Some(Class::Policy), suppress };
            let told = learnt(ReportKind::Bounce, Some("bob@x.example"), verdict, None);
            told.and_then(|told| told.suppression).expect("an entry")
        };
        let stream = entry(SuppressScope::Stream, Some(2));
        assert_eq!((stream.scope, stream.stream), (SuppressionScope::Stream, Some(StreamId(4))));
        let ends = Timestamp(5) + std::time::Duration::from_secs(2 * 86_400);
        assert_eq!((stream.organization, stream.expires_at), (Some(OrganizationId(3)), Some(ends)));
        let all = entry(SuppressScope::Installation, None);
        let place = (all.scope, all.organization, all.stream, all.expires_at);
        assert_eq!(place, (SuppressionScope::Installation, None, None, None));
    }

    #[test]
    fn a_full_mailbox_counts_softly_and_a_doubtful_refusal_not_at_all() {
        let of = |class| {
            let verdict = Verdict { class: Some(class), suppress: None };
            learnt(ReportKind::Bounce, None, verdict, None).expect("learnt")
        };
        let full = of(Class::MailboxFull);
        assert!(full.suppression.is_none() && full.soft.expect("counts").was_delivered);
        for class in [Class::Policy, Class::Content, Class::ReputationAddress, Class::Unknown] {
            let learnt = of(class);
            assert!(learnt.suppression.is_none() && learnt.soft.is_none(), "{class}");
        }
    }

    #[test]
    fn a_complaint_ends_all_mail_for_good_and_an_opt_out_its_stream() {
        let abuse = learnt(ReportKind::Complaint, None, NOTHING, Some(FeedbackType::Abuse));
        let abuse = abuse.expect("learnt");
        let entry = abuse.suppression.expect("an entry");
        assert_eq!(
            (abuse.kind, entry.scope),
            (EventKind::Complained, SuppressionScope::Organization)
        );
        assert_eq!((entry.reason, entry.expires_at), (SuppressionReason::Complaint, None));
        let left = learnt(ReportKind::Complaint, None, NOTHING, Some(FeedbackType::OptOut));
        let left = left.expect("learnt");
        assert_eq!(left.kind, EventKind::Unsubscribed);
        assert!(left.suppression.is_none(), "`leave` knows what is left");
    }

    #[test]
    fn a_delay_an_auto_reply_and_a_receipt_cost_no_address() {
        let suppress = Class::MailboxInvalid.suppress();
        let full = Verdict { class: Some(Class::MailboxFull), suppress };
        for kind in [ReportKind::Delay, ReportKind::AutoReply, ReportKind::Delivered] {
            let learnt = learnt(kind, None, full, None).expect("an event");
            assert!(learnt.suppression.is_none() && learnt.soft.is_none(), "{kind}");
        }
        assert!(learnt(ReportKind::NotBounce, None, full, None).is_none());
    }
}
