//! Mail that tells of mail: bounces, delays, receipts, auto-replies and complaints.
//!
//! Owns:       how each kind is known, whom it is about, which status and which words it gives.
//! Promises:   a pure function of the mail's octets with bounded time and memory; what cannot be
//!             understood is `NotBounce`, never an error. A delay or an auto-reply is never read as
//!             a bounce.
//! Knows not:  whether the mail is genuine, what class the words have, what follows from it.

pub mod address;
mod complaint;
mod delivery;
pub mod phrases;
mod signs;
pub mod status;
mod text;
mod view;

pub use self::complaint::feedback_type;
use crate::model::Enhanced;
pub use crate::model::{FeedbackType, ReportKind};

use self::delivery::{Action, Recipient};
use self::signs::Signs;
use self::text::Entry;
use self::view::View;
use super::mime::Mime;

/// Reports within mails within mails.
const DEPTH_MAX: usize = 3;

/// What the mail says about one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// As it was written; not every old gateway's is lawful.
    pub recipient: Option<String>,
    pub kind: ReportKind,
    pub status: Option<Enhanced>,
    /// Why, the most exact text first.
    pub texts: Vec<String>,
    /// Who refused, and who reports it, as far as they are named.
    pub hosts: Vec<String>,
}

/// A mail that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// At least one.
    pub findings: Vec<Finding>,
    pub original_message_id: Option<String>,
    pub feedback_type: Option<FeedbackType>,
    /// Of the mail that it returns, as anybody can have written it.
    pub feedback_id: Option<String>,
    /// Parts of it were too deep or too many to be read.
    pub is_cut: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Complaint {
    kind: FeedbackType,
    recipients: Vec<String>,
}

/// Reads a mail.
pub fn read(mail: &[u8]) -> Report {
    read_at(mail, 0)
}

fn read_at(mail: &[u8], depth: usize) -> Report {
    let mime = Mime::read(mail);
    let view = View::of(&mime);
    let report = read_view(&view);
    let is_nothing = report.findings.iter().all(|finding| finding.kind == ReportKind::NotBounce);
    let Some(attached) = view.attached.filter(|_| is_nothing && depth < DEPTH_MAX) else {
        return report;
    };
    if report.feedback_type.is_some() {
        return report;
    }
    // Somebody passed a report on as an attachment.
    let inner = read_at(&attached, depth + 1);
    let is_report = inner.findings.iter().any(|finding| {
        matches!(finding.kind, ReportKind::Bounce | ReportKind::Delay | ReportKind::Complaint)
    });
    if is_report { inner } else { report }
}

fn read_view(view: &View) -> Report {
    let mut report = Report {
        findings: Vec::new(),
        original_message_id: view.message_id(),
        feedback_type: None,
        feedback_id: view.original.get("feedback-id").map(str::to_owned),
        is_cut: view.is_cut,
    };
    if let Some(complaint) = complaint::read(view) {
        report.feedback_type = Some(complaint.kind);
        report.findings = complaints(complaint);
        return report;
    }
    if let Some(disposition) = &view.disposition {
        let (fields, _) = super::mime::Fields::read(disposition.trim_start().as_bytes());
        let id = fields.get("original-message-id").map(|id| id.trim_matches(['<', '>', ' ']));
        report.original_message_id = id.map(str::to_owned).or(report.original_message_id);
        let named = ["final-recipient", "original-recipient"];
        let named = named.iter().filter_map(|name| fields.get(name)).find_map(address::typed);
        report.findings = vec![simple(ReportKind::AutoReply, named.or_else(|| from(view)))];
        return report;
    }
    let recipients = delivery::recipients(&view.statuses);
    report.findings = if recipients.is_empty() { plain(view) } else { delivered(view, recipients) };
    report
}

fn from(view: &View) -> Option<String> {
    address::plain(&view.from)
}

const fn simple(kind: ReportKind, recipient: Option<String>) -> Finding {
    Finding { recipient, kind, status: None, texts: Vec::new(), hosts: Vec::new() }
}

fn complaints(complaint: Complaint) -> Vec<Finding> {
    let kind =
        if complaint.kind.is_complaint() { ReportKind::Complaint } else { ReportKind::NotBounce };
    if complaint.recipients.is_empty() {
        return vec![simple(kind, None)];
    }
    complaint.recipients.into_iter().map(|recipient| simple(kind, Some(recipient))).collect()
}

/// A report with fields: one finding for each recipient in them.
fn delivered(view: &View, recipients: Vec<Recipient>) -> Vec<Finding> {
    let signs = Signs::of(&view.subject, &view.words);
    let is_single = recipients.len() == 1;
    let entries = text::entries(view);
    let mut findings: Vec<Finding> = Vec::new();
    for recipient in recipients {
        let kind = match recipient.action {
            Some(Action::Failed) => ReportKind::Bounce,
            Some(Action::Delayed) => ReportKind::Delay,
            Some(Action::Delivered) => ReportKind::Delivered,
            None => kind_without_action(&recipient, &signs),
        };
        let address = recipient.address.or_else(|| unnamed(view, &entries, is_single));
        let reason = match &address {
            Some(address) => text::reason_for(&entries, address),
            None => String::new(),
        };
        let mut texts = vec![recipient.diagnostic, reason];
        if is_single {
            texts.push(view.words.clone());
        }
        let hosts = recipient.hosts;
        let finding = Finding { hosts, ..finding(address, kind, recipient.status, texts) };
        let is_known = |known: &Finding| {
            known.kind == kind
                && match (&known.recipient, &finding.recipient) {
                    (Some(one), Some(other)) => address::same(one, other),
                    (one, other) => one == other,
                }
        };
        if !findings.iter().any(is_known) {
            findings.push(finding);
        }
    }
    findings
}

/// The recipient of fields that name none whom mail can be sent to.
fn unnamed(view: &View, entries: &[Entry], is_single: bool) -> Option<String> {
    if !is_single {
        return None;
    }
    let failed = text::failed_recipients(view);
    let first = entries.first().and_then(|entry| entry.recipient.clone());
    failed.into_iter().next().or(first)
}

fn kind_without_action(recipient: &Recipient, signs: &Signs) -> ReportKind {
    let is_delay = recipient.will_retry || (signs.is_delay && !signs.is_final);
    match recipient.status.map(|status| status.0) {
        Some(2) => ReportKind::Delivered,
        Some(4) if is_delay => ReportKind::Delay,
        None if is_delay => ReportKind::Delay,
        _ => ReportKind::Bounce,
    }
}

fn finding(
    recipient: Option<String>,
    kind: ReportKind,
    given: Option<Enhanced>,
    texts: Vec<String>,
) -> Finding {
    let texts: Vec<String> = texts.into_iter().filter(|text| !text.trim().is_empty()).collect();
    let views: Vec<&str> = texts.iter().map(String::as_str).collect();
    let status = match kind {
        ReportKind::Delivered => given,
        _ => status::refined(given, &views),
    };
    Finding { recipient, kind, status, texts, hosts: Vec::new() }
}

/// A mail without fields for machines.
fn plain(view: &View) -> Vec<Finding> {
    let signs = Signs::of(&view.subject, &view.words);
    let kind = kind_of_words(view, &signs);
    match kind {
        ReportKind::NotBounce | ReportKind::Complaint => vec![simple(kind, None)],
        ReportKind::AutoReply => vec![simple(kind, from(view))],
        _ => named(view, findings_of_words(view, kind)),
    }
}

/// Words alone are no bounce where no mail system wrote them and nobody is named: shops write of
/// deliveries too.
fn named(view: &View, findings: Vec<Finding>) -> Vec<Finding> {
    let is_nobody = findings.iter().all(|finding| finding.recipient.is_none());
    if is_nobody && !view.is_from_daemon() && view.original.is_empty() {
        return vec![simple(ReportKind::NotBounce, None)];
    }
    findings
}

fn findings_of_words(view: &View, kind: ReportKind) -> Vec<Finding> {
    let failed = text::failed_recipients(view);
    let named = text::entries(view);
    let mut entries = named.clone();
    // A field that names them is surer than words.
    if !failed.is_empty() {
        entries = failed
            .into_iter()
            .map(|recipient| Entry {
                reason: text::reason_for(&named, &recipient),
                recipient: Some(recipient),
            })
            .collect();
    }
    let is_single = entries.len() == 1;
    let found = entries.into_iter().map(|entry| {
        let mut texts = vec![entry.reason];
        if is_single || texts[0].trim().is_empty() {
            texts.push(view.words.clone());
        }
        finding(entry.recipient, kind, None, texts)
    });
    found.collect()
}

/// Openings and headings that only mail systems write.
const OPENINGS: &[&str] = &[
    "this is the qmail-send program",
    "this is the mail system at host",
    "this is the postfix program",
    "this message was created automatically by mail delivery software",
    "this message was created automatically by the mail",
    "the following addresses had permanent fatal errors",
    "the following addresses had transient non-fatal errors",
    "the following addresses had delivery problems",
    "transcript of session follows",
    "did not reach the following recipient",
    "your message was not delivered to the following recipients",
    "unable to deliver message to the following address",
    "delivery to the following recipient failed permanently",
    "delivery to the following recipients failed",
    "delivery to the following recipient has been delayed",
    "this is an automatically generated delivery status notification",
    "failed addresses follow",
    "this is the mail delivery agent at",
    "this is the mail delivery program",
    "message that you sent was undeliverable",
    "this report relates to a message you sent",
    "this is the james mail server",
];

fn kind_of_words(view: &View, signs: &Signs) -> ReportKind {
    let squeezed = phrases::squeezed(&view.words);
    let is_daemon = view.is_from_daemon();
    let is_opened = OPENINGS.iter().any(|opening| squeezed.contains(opening));
    let is_passed_on = signs.is_answer && !is_daemon;
    // TMDA asks for a confirmation with the opening of a bounce.
    let is_challenge = signs.is_challenge && !signs.is_failure_subject && !signs.is_delay_subject;
    let is_certain =
        (is_opened && !is_passed_on && !is_challenge) || view.fields.has("x-failed-recipients");
    let returned = if signs.is_delay && !signs.is_final {
        ReportKind::Delay
    } else if signs.is_success && !signs.is_failure {
        ReportKind::Delivered
    } else {
        ReportKind::Bounce
    };
    if is_certain {
        return returned;
    }
    let is_automatic = is_automatic(view);
    if signs.is_auto_subject || is_challenge {
        let is_known = is_automatic || signs.is_auto || signs.is_challenge || !signs.is_answer;
        return if is_known { ReportKind::AutoReply } else { ReportKind::NotBounce };
    }
    if !is_daemon && !signs.is_failure_subject && (is_automatic || signs.is_auto) {
        return if is_automatic { ReportKind::AutoReply } else { ReportKind::NotBounce };
    }
    if is_passed_on {
        return if is_automatic { ReportKind::AutoReply } else { ReportKind::NotBounce };
    }
    let points = u8::from(is_daemon) * 2
        + u8::from(signs.is_failure_subject || signs.is_delay_subject) * 2
        + u8::from(signs.is_failure || signs.is_delay) * 2
        + u8::from(!view.original.is_empty());
    match points {
        3.. if signs.is_failure || signs.is_delay || signs.is_failure_subject => returned,
        3.. if signs.is_success => ReportKind::Delivered,
        3.. if is_daemon && !view.original.is_empty() => returned,
        _ if is_automatic => ReportKind::AutoReply,
        _ => ReportKind::NotBounce,
    }
}

/// Header fields of answering machines (RFC 3834 and those before it).
fn is_automatic(view: &View) -> bool {
    const NAMES: &[&str] = &[
        "x-autoreply",
        "x-autorespond",
        "x-autoresponder",
        "x-auto-reply-from",
        "x-autoreply-from",
        "x-mail-autoreply",
        "x-autogenerated",
        "x-auto-generated",
        "x-vacation",
        "x-challenge",
        "x-away",
        "x-mailer-autoreply",
    ];
    let value = |name: &str| view.fields.get(name).unwrap_or_default().trim().to_ascii_lowercase();
    let submitted = value("auto-submitted");
    let precedence = value("precedence");
    let path = value("return-path");
    submitted.starts_with("auto-replied")
        || (submitted.starts_with("auto-generated") && path == "<>")
        || precedence.contains("auto_reply")
        || precedence.contains("auto-reply")
        || NAMES.iter().any(|name| view.fields.has(name))
}
