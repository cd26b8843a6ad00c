//! From the words and codes of a report to a class, and to "hard": this address must not be
//! written to again.
//!
//! The rules for hosts' answers (`classify`) come first, since most reports quote one. What a
//! gateway says in words of its own is looked up in `wire::report::phrases`, and a code alone
//! decides where neither knows the text.

use crate::classify::{Answer, Classifier, RuleError, UNCLASSIFIED};
use crate::model::{Category, Class, Enhanced};
use crate::wire::report::{Finding, ReportKind, phrases, status};

/// Rules of codes alone begin so: they know nothing of the text.
const CODE_RULES: &str = "code.";
/// The rule of texts that refuse and give no reason.
const REFUSED_RULE: &str = "text.policy";

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

/// A class, and whether it takes the address with it when the refusal is for good.
#[derive(Clone, Copy)]
struct Found {
    class: Class,
    is_lost: bool,
    /// It says nothing about the address, so what the text adds below may say more.
    is_vague: bool,
}

impl Found {
    const fn of(class: Class) -> Found {
        let is_vague =
            matches!(class, Class::Unknown | Class::Policy | Class::System | Class::Network);
        Found { class, is_lost: class.suppress().is_some(), is_vague }
    }
}

/// Ready to judge.
pub struct Judge(Classifier);

impl Judge {
    /// # Errors
    /// The rules that ship cannot be meant.
    pub fn shipped() -> Result<Judge, RuleError> {
        Ok(Judge(Classifier::shipped()?))
    }

    /// The class of what happened, and whether the address is lost by it.
    pub fn judge(&self, finding: &Finding) -> Verdict {
        match finding.kind {
            ReportKind::Bounce => {
                let found = self.class(finding);
                let hard = found.is_lost && is_lasting(found.class, finding);
                Verdict { class: Some(found.class), hard }
            }
            ReportKind::Delay => Verdict { class: Some(self.class(finding).class), hard: false },
            _ => Verdict { class: None, hard: false },
        }
    }

    fn class(&self, finding: &Finding) -> Found {
        let told = finding.status.filter(|code| !status::is_vague(*code));
        let coded = told.and_then(phrases::class_of_code).map(Found::of);
        let mut first: Option<Found> = None;
        let mut by_code: Option<Found> = None;
        for text in &finding.texts {
            // What the host itself said comes before what the reporter says around it.
            let quoted = said(text).or_else(|| status::from_reply(text));
            let of_host = quoted.and_then(|words| self.class_of_answer(words));
            by_code = by_code.or_else(|| quoted.and_then(|words| self.class_of_code(words)));
            // Who refuses for a reason of his own has not said that the address is gone.
            let is_refusal = of_host.is_some_and(|host| host.class == Class::Policy);
            let of_words = phrases::class_of(text).map(Found::of);
            let of_words = of_words.filter(|words| !(words.is_lost && is_refusal));
            let of_rest = || if quoted.is_none() { self.class_of_answer(text) } else { None };
            let of_text = of_words.or_else(of_rest);
            for found in [of_host, of_text].into_iter().flatten() {
                if !found.is_vague {
                    return found;
                }
                first = first.or(Some(found));
            }
            // A code that names its subject is worth more than the boilerplate further down.
            if let Some(coded) = coded.filter(|found| !found.is_vague) {
                return coded;
            }
        }
        let first = first.filter(|found| found.class != Class::Unknown);
        first.or(coded).or(by_code).unwrap_or(Found::of(Class::Unknown))
    }

    /// By the rules for answers, where one of them knows the text.
    fn class_of_answer(&self, words: &str) -> Option<Found> {
        let record = self.0.classify(None, &Answer::read(words));
        if record.rule == UNCLASSIFIED || record.rule.starts_with(CODE_RULES) {
            return None;
        }
        // Whether the refusal is for good is seen from the whole report.
        let is_lost = record.class.suppress().is_some() && (record.hard || !has_code(words));
        let is_vague = match record.class {
            Class::Policy => record.rule == REFUSED_RULE,
            class => Found::of(class).is_vague,
        };
        Some(Found { class: record.class, is_lost, is_vague })
    }

    /// By the code alone of a host's answer, where no rule knows its text.
    fn class_of_code(&self, words: &str) -> Option<Found> {
        let record = self.0.classify(None, &Answer::read(words));
        let is_code = record.rule.starts_with(CODE_RULES) && record.class != Class::Unknown;
        is_code.then(|| Found { is_lost: record.hard, ..Found::of(record.class) })
    }
}

fn has_code(words: &str) -> bool {
    status::reply_in_text(words).is_some() || status::in_text(words).is_some()
}

/// The words of a host that are quoted in a report.
fn said(text: &str) -> Option<&str> {
    let marks = ["said:", "responded:", "responded as follows:", "returned:", "<<<"];
    let after = |mark: &&str| text.rfind(*mark).map(|at| &text[at + mark.len()..]);
    let quoted = marks.iter().find_map(after)?;
    (quoted.trim().len() > 8).then_some(quoted)
}

/// A host that said "later" to the end has not said that the address is gone.
fn is_lasting(class: Class, finding: &Finding) -> bool {
    let first = finding.texts.first().map_or("", String::as_str);
    let is_temporary = |text: &str| text.to_lowercase().contains("temporar");
    // What was switched off for a while may say so above the line that names the address.
    let is_off = class == Class::MailboxInactive;
    let is_any = is_off && finding.texts.iter().any(|text| is_temporary(text));
    if is_any || is_temporary(first) {
        return false;
    }
    let reply = status::reply_in_text(first);
    match (finding.status, reply) {
        (_, Some(500..=599)) | (None, None) => true,
        (Some(Enhanced(4, ..)), _) | (None, Some(_)) => false,
        _ => true,
    }
}
