//! From the words and codes of a report to a class, and to "hard": this address must not be
//! written to again.

use crate::model::{Category, Class, Enhanced};
use crate::wire::report::{Finding, ReportKind, phrases, status};

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub class: Option<Class>,
    /// The address is lost.
    pub hard: bool,
}

impl Verdict {
    pub fn category(self) -> Option<Category> {
        self.class.map(Class::category)
    }
}

/// Classes that say nothing about the address, whatever the text adds below.
const fn is_vague(class: Class) -> bool {
    matches!(class, Class::Unknown | Class::Policy | Class::System | Class::Network)
}

/// The class of what happened, and whether the address is lost by it.
pub fn judge(finding: &Finding) -> Verdict {
    match finding.kind {
        ReportKind::Bounce => {
            let class = class(finding);
            Verdict { class: Some(class), hard: is_lasting(finding) && is_lost(class) }
        }
        ReportKind::Delay => Verdict { class: Some(class(finding)), hard: false },
        _ => Verdict { class: None, hard: false },
    }
}

fn class(finding: &Finding) -> Class {
    let told = finding.status.filter(|code| !status::is_vague(*code));
    let coded = told.and_then(phrases::class_of_code);
    let mut first = None;
    for text in &finding.texts {
        // What the host itself said comes before what the reporter says around it.
        for words in [said(text), Some(text.as_str())].into_iter().flatten() {
            match phrases::class_of(words) {
                Some(class) if !is_vague(class) => return weighed(class, told),
                found => first = first.or(found),
            }
        }
        // A code that names its subject is worth more than the boilerplate further down.
        if let Some(coded) = coded.filter(|class| !is_vague(*class)) {
            return coded;
        }
    }
    first.filter(|class| *class != Class::Unknown).or(coded).unwrap_or(Class::Unknown)
}

/// The words of a host that are quoted in a report.
fn said(text: &str) -> Option<&str> {
    let marks = ["said:", "responded:", "responded as follows:", "returned:", "<<<"];
    let after = |mark: &&str| text.rfind(*mark).map(|at| &text[at + mark.len()..]);
    let quoted = marks.iter().find_map(after)?;
    (quoted.trim().len() > 8).then_some(quoted)
}

/// Words win over codes, but for the words that hosts use for everything.
fn weighed(class: Class, told: Option<Enhanced>) -> Class {
    match (class, told) {
        (Class::MailboxInvalid, Some(Enhanced(5, 2, 1))) => Class::MailboxInactive,
        _ => class,
    }
}

/// A host that said "later" to the end has not said that the address is gone.
fn is_lasting(finding: &Finding) -> bool {
    let first = finding.texts.first().map_or("", String::as_str);
    if first.to_lowercase().contains("temporar") {
        return false;
    }
    let reply = status::reply_in_text(first);
    match (finding.status, reply) {
        (_, Some(500..=599)) | (None, None) => true,
        (Some(Enhanced(4, ..)), _) | (None, Some(_)) => false,
        _ => true,
    }
}

const fn is_lost(class: Class) -> bool {
    matches!(class, Class::MailboxInvalid | Class::MailboxInactive | Class::DomainInvalid)
}
