//! From the words and codes of a report to a class, and to "hard": this address must not be
//! written to again.
//!
//! The rules for hosts' answers (`classify`) come first, since most reports quote one. What a
//! gateway says in words of its own is looked up in `wire::report::phrases`, and a code alone
//! decides where neither knows the text.

use crate::classify::{
    Answer, Classifier, LiveClassifier, RuleError, UNCLASSIFIED, operator_named,
};
use crate::dns::operator_of_host;
use crate::model::{Category, Class, Classification, Enhanced, Suppress};
use crate::wire::report::{Finding, ReportKind, phrases, status};

/// Rules of codes alone begin so: they know nothing of the text.
const CODE_RULES: &str = "code.";
/// The rule of texts that refuse and give no reason.
const REFUSED_RULE: &str = "text.policy";

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub class: Option<Class>,
    /// The address is lost: for whom, and how long.
    pub suppress: Option<Suppress>,
}

impl Verdict {
    pub fn category(self) -> Option<Category> {
        self.class.map(Class::category)
    }

    pub const fn is_hard(self) -> bool {
        self.suppress.is_some()
    }
}

/// A class, and whether it takes the address with it when the refusal is for good.
#[derive(Clone, Copy)]
struct Found {
    class: Class,
    suppress: Option<Suppress>,
    /// It says nothing about the address, so what the text adds below may say more.
    is_vague: bool,
}

impl Found {
    const fn of(class: Class) -> Found {
        let is_vague =
            matches!(class, Class::Unknown | Class::Policy | Class::System | Class::Network);
        Found { class, suppress: class.suppress(), is_vague }
    }
}

/// Ready to judge, by the rules that hold at the moment.
pub struct Judge(LiveClassifier);

/// One finding with the rules that it is read by.
struct Reading<'a> {
    rules: &'a Classifier,
    operator: Option<&'static str>,
    finding: &'a Finding,
}

impl Judge {
    pub fn new(rules: LiveClassifier) -> Judge {
        Judge(rules)
    }

    /// # Errors
    /// The rules that ship cannot be meant.
    pub fn shipped() -> Result<Judge, RuleError> {
        Ok(Judge(LiveClassifier::new(Classifier::shipped()?)))
    }

    /// The class of what happened, and whether the address is lost by it. `operator`: whose hosts
    /// took the mail, where that is known; else the host that is named in the report tells it.
    pub fn judge(&self, operator: Option<&str>, finding: &Finding) -> Verdict {
        let rules = self.0.load();
        let named = || finding.hosts.iter().find_map(|host| rules_of_host(host));
        let operator = operator.and_then(operator_named).or_else(named);
        let reading = Reading { rules: &rules, operator, finding };
        match finding.kind {
            ReportKind::Bounce => {
                let found = reading.class();
                let suppress = found.suppress.filter(|_| is_lasting(found.class, finding));
                Verdict { class: Some(found.class), suppress }
            }
            ReportKind::Delay => Verdict { class: Some(reading.class().class), suppress: None },
            _ => Verdict { class: None, suppress: None },
        }
    }
}

/// The operator whose rules know what this host says.
fn rules_of_host(host: &str) -> Option<&'static str> {
    operator_named(operator_of_host(host).as_str())
}

impl Reading<'_> {
    /// What an own rule of the installation knows is not looked up anywhere else.
    fn by_own_rule(&self) -> Option<Found> {
        let all = self.finding.texts.iter().flat_map(|text| {
            let quoted = said(text).or_else(|| status::from_reply(text));
            quoted.into_iter().chain([text.as_str()])
        });
        let known = all.map(Answer::read).find_map(|answer| {
            let enhanced = answer.enhanced.or(self.finding.status);
            self.rules.by_own_rule(self.operator, &Answer { enhanced, ..answer })
        })?;
        Some(Found { class: known.class, suppress: known.suppress, is_vague: false })
    }

    fn class(&self) -> Found {
        if let Some(own) = self.by_own_rule() {
            return own;
        }
        let finding = self.finding;
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
            let of_words = of_words.filter(|words| !(words.suppress.is_some() && is_refusal));
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
        let record = self.record(words);
        if record.rule == UNCLASSIFIED || record.rule.starts_with(CODE_RULES) {
            return None;
        }
        // Whether the refusal is for good is seen from the whole report.
        let is_open = !record.hard && !has_code(words);
        let suppress = record.suppress.or(record.class.suppress().filter(|_| is_open));
        let is_vague = match record.class {
            Class::Policy => record.rule == REFUSED_RULE,
            class => Found::of(class).is_vague,
        };
        Some(Found { class: record.class, suppress, is_vague })
    }

    /// By the code alone of a host's answer, where no rule knows its text.
    fn class_of_code(&self, words: &str) -> Option<Found> {
        let record = self.record(words);
        let is_code = record.rule.starts_with(CODE_RULES) && record.class != Class::Unknown;
        is_code.then(|| Found { suppress: record.suppress, ..Found::of(record.class) })
    }

    fn record(&self, words: &str) -> std::sync::Arc<Classification> {
        self.rules.classify(self.operator, &Answer::read(words))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Rule;
    use crate::model::SuppressScope;

    fn finding(hosts: &[&str], status: Enhanced, text: &str) -> Finding {
        Finding {
            recipient: None,
            kind: ReportKind::Bounce,
            status: Some(status),
            texts: vec![text.to_owned()],
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        }
    }

    fn judge(rules: &[serde_json::Value]) -> Judge {
        let own: Vec<Rule> = rules
            .iter()
            .map(|rule| serde_json::from_value(rule.clone()).expect("a rule"))
            .collect();
        Judge::new(LiveClassifier::new(Classifier::with_own(own).expect("they load")))
    }

    #[test]
    fn an_own_rule_decides_a_report_before_all_that_ships_and_says_how_far_it_reaches() {
        let told = finding(&[], Enhanced(5, 1, 1), "smtp; 550 5.1.1 user unknown to zork");
        let shipped = judge(&[]).judge(None, &told);
        assert_eq!(shipped.suppress, Class::MailboxInvalid.suppress());
        let soft = serde_json::json!({
            "id": "own.zork", "class": "policy", "confidence": 0.9, "phrases": ["to zork"],
            "samples": ["550 5.1.1 user unknown to zork"],
        });
        let told_so = judge(std::slice::from_ref(&soft)).judge(None, &told);
        assert_eq!(told_so, Verdict { class: Some(Class::Policy), suppress: None });
        let mut wide = soft;
        wide["suppress"] = serde_json::json!({"scope": "stream", "days": 3});
        let told_so = judge(&[wide]).judge(None, &told);
        let suppress = Suppress { scope: SuppressScope::Stream, days: Some(3) };
        assert_eq!(told_so.suppress, Some(suppress));
    }

    #[test]
    fn a_rule_of_one_operator_decides_what_its_hosts_report_and_nothing_else() {
        let rule = serde_json::json!({
            "id": "own.google", "class": "mailbox_full", "confidence": 0.9, "operator": "google",
            "only": true, "phrases": ["zork * today"], "samples": ["550 zork is out today"],
        });
        let judge = judge(&[rule]);
        let class = |operator, hosts: &[&str]| {
            let told = finding(hosts, Enhanced(5, 0, 0), "550 zork is out today");
            judge.judge(operator, &told).class
        };
        let full = Some(Class::MailboxFull);
        assert_eq!(class(Some("google"), &[]), full);
        assert_eq!(class(None, &["gmail-smtp-in.l.google.com", "mx.here.example"]), full);
        assert_eq!(class(Some("tail"), &["gmail-smtp-in.l.google.com"]), full);
        assert_ne!(class(Some("microsoft"), &["gmail-smtp-in.l.google.com"]), full);
        assert_ne!(class(None, &["mx.x.example"]), full);
    }
}
