//! What a host's answer means: reply text to class, by rules that are data.
//!
//! Owns:       the rule packs, their order, the search and its cache.
//! Promises:   the same answer gives the same record; bounded in time and memory whatever comes
//!             in; rules that cannot be meant do not load.
//! Knows not:  who asks, what becomes of the record, sockets, rows.
//!
//! Rules stand in tiers: the operator's own, then texts that mean the same everywhere, then codes
//! alone. Within a tier the first that matches decides. Rules of the installation come before all.

mod normal;
mod packs;
mod phrase;
mod read;
mod rule;
mod trial;

use std::collections::HashMap;
use std::sync::Arc;

pub use normal::normal;
pub use read::{Answer, said_by};
pub use rule::{OPERATORS, Rule, RuleError, operator_named};
pub use trial::{Changed, Past, Trial, trial};

use crate::model::*;
use phrase::{Phrases, Search};
use rule::{CodeTest, EnhancedTest};

/// Of an installation's own.
pub const OWN_RULES_MAX: usize = 1000;
/// Answers kept; most hosts say the same few things all day.
const CACHE_ENTRIES_MAX: u64 = 4096;
/// Below it a rule is too unsure to end writing to an address.
const HARD_CONFIDENCE_MIN: f64 = 0.8;
/// The rule of what no rule knows.
pub const UNCLASSIFIED: &str = "unclassified";

/// No text of a rule stands in the answer: its code decided, or nothing did.
pub fn is_unknown_text(told: &Classification) -> bool {
    told.rule == UNCLASSIFIED || told.rule.starts_with("code.")
}

/// The classifier that holds now: who changes the rules puts a new one in its place.
#[derive(Clone)]
pub struct LiveClassifier(Arc<arc_swap::ArcSwap<Classifier>>);

impl LiveClassifier {
    pub fn new(classifier: Classifier) -> LiveClassifier {
        LiveClassifier(Arc::new(arc_swap::ArcSwap::from_pointee(classifier)))
    }

    pub fn load(&self) -> Arc<Classifier> {
        self.0.load_full()
    }

    pub fn replace(&self, classifier: Classifier) {
        self.0.store(Arc::new(classifier));
    }
}

/// All rules, ready to answer.
pub struct Classifier {
    rules: Vec<Ready>,
    /// How many of the first are the installation's own.
    own: usize,
    search: Search,
    /// The rules that a phrase speaks for.
    speaks_for: Vec<Vec<usize>>,
    /// The rules without phrases, in order.
    by_code: Vec<usize>,
    cache: moka::sync::Cache<Asked, Arc<Classification>>,
}

/// What the answer depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    operator: Option<&'static str>,
    code: Option<u16>,
    enhanced: Option<Enhanced>,
    text: String,
}

struct Ready {
    rule: Rule,
    codes: Vec<CodeTest>,
    enhanced: Vec<EnhancedTest>,
    /// Phrases that must not stand there.
    without: Vec<usize>,
}

impl Classifier {
    /// The rules that ship with this version.
    pub fn shipped() -> Result<Classifier, RuleError> {
        Classifier::with_own(Vec::new())
    }

    /// The installation's own rules before those that ship.
    pub fn with_own(own: Vec<Rule>) -> Result<Classifier, RuleError> {
        if own.len() > OWN_RULES_MAX {
            return Err(RuleError::TooMany(OWN_RULES_MAX));
        }
        Classifier::of(own, packs::shipped()?)
    }

    fn of(own: Vec<Rule>, shipped: Vec<Rule>) -> Result<Classifier, RuleError> {
        let owned = own.len();
        let mut phrases = Phrases::default();
        let mut speaks_for = Vec::new();
        let mut rules = Vec::new();
        let mut by_code = Vec::new();
        let mut ids = HashMap::new();
        for (number, rule) in own.into_iter().chain(shipped).enumerate() {
            if ids.insert(rule.id.clone(), number).is_some() {
                return Err(RuleError::Twice(rule.id));
            }
            if rule.phrases.is_empty() {
                by_code.push(number);
            }
            rules.push(ready(rule, number, &mut phrases, &mut speaks_for)?);
        }
        let search = phrases.build().map_err(|why| RuleError::Form(why.to_string()))?;
        let cache = moka::sync::Cache::new(CACHE_ENTRIES_MAX);
        let classifier = Classifier { rules, own: owned, search, speaks_for, by_code, cache };
        classifier.check_samples()?;
        Ok(classifier)
    }

    /// Each rule's samples match it, and one of them reaches it. An own rule may well decide what a
    /// shipped one did.
    fn check_samples(&self) -> Result<(), RuleError> {
        for (number, ready) in self.rules.iter().enumerate() {
            let id = || ready.rule.id.clone();
            let operator = ready.rule.operator.as_deref().and_then(operator_named);
            let mut earlier = None;
            let mut reached = false;
            for sample in &ready.rule.samples {
                let asked = asked(operator, &Answer::read(sample));
                let found = self.search.find(&asked.text);
                if !self.matches(number, &asked, &found) {
                    return Err(RuleError::Sample { id: id(), sample: sample.clone() });
                }
                let winner = self.winner(&asked, &found);
                reached |= winner == Some(number);
                earlier = winner.or(earlier);
            }
            if !reached && (self.own == 0 || number < self.own) {
                let earlier = earlier.map(|at| self.rules[at].rule.id.clone()).unwrap_or_default();
                return Err(RuleError::Shadowed { id: id(), earlier });
            }
        }
        Ok(())
    }

    /// What an answer of a host of `operator` means.
    pub fn classify(&self, operator: Option<&str>, answer: &Answer<'_>) -> Arc<Classification> {
        let asked = asked(operator.and_then(operator_named), answer);
        if let Some(known) = self.cache.get(&asked) {
            return known;
        }
        let found = self.search.find(&asked.text);
        let winner = self.winner(&asked, &found);
        let record = Arc::new(record(winner.map(|at| &self.rules[at].rule), answer));
        self.cache.insert(asked, record.clone());
        record
    }

    /// What an own rule of the installation says of an answer; None where none of them knows it.
    pub fn by_own_rule(
        &self,
        operator: Option<&str>,
        answer: &Answer<'_>,
    ) -> Option<Arc<Classification>> {
        if self.own == 0 {
            return None;
        }
        let record = self.classify(operator, answer);
        let is_own = self.rules[..self.own].iter().any(|ready| ready.rule.id == record.rule);
        is_own.then_some(record)
    }

    /// What an outcome means: its reply, or our own reason where there was none.
    pub fn classify_outcome(
        &self,
        operator: Option<&str>,
        outcome: &Outcome,
    ) -> Arc<Classification> {
        let (code, text) = said_by(outcome);
        let answer = match code {
            Some(code) => Answer::with_code(code, &text),
            None => Answer::read(&text),
        };
        self.classify(operator, &answer)
    }

    /// The rules in their order, the installation's own first.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|ready| &ready.rule)
    }

    fn winner(&self, asked: &Asked, found: &[usize]) -> Option<usize> {
        let spoken = found.iter().flat_map(|phrase| &self.speaks_for[*phrase]);
        let mut numbers: Vec<usize> = spoken.chain(&self.by_code).copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.sort_by_key(|number| (self.tier(*number, asked.operator), *number));
        numbers.into_iter().find(|number| self.matches(*number, asked, found))
    }

    /// Own rules, the operator's, those for everybody, codes alone.
    fn tier(&self, number: usize, operator: Option<&str>) -> u8 {
        let rule = &self.rules[number].rule;
        if number < self.own {
            0
        } else if rule.operator.is_some() && rule.operator.as_deref() == operator {
            1
        } else if !rule.phrases.is_empty() {
            2
        } else {
            3
        }
    }

    fn matches(&self, number: usize, asked: &Asked, found: &[usize]) -> bool {
        let Ready { rule, codes, enhanced, without } = &self.rules[number];
        let stands = |phrase: &usize| found.binary_search(phrase).is_ok();
        let spoken = |phrase: &usize| self.speaks_for[*phrase].contains(&number);
        (!rule.only || rule.operator.as_deref() == asked.operator)
            && (codes.is_empty() || codes.iter().any(|test| test.holds(asked.code)))
            && (enhanced.is_empty() || enhanced.iter().any(|test| test.holds(asked.enhanced)))
            && (rule.phrases.is_empty() || found.iter().any(spoken))
            && !without.iter().any(stands)
    }
}

fn ready(
    rule: Rule,
    number: usize,
    phrases: &mut Phrases,
    speaks_for: &mut Vec<Vec<usize>>,
) -> Result<Ready, RuleError> {
    rule.check()?;
    let mut add = |phrase: &String, speaks: &[usize]| {
        let at =
            phrases.add(phrase).map_err(|why| RuleError::Phrase { id: rule.id.clone(), why })?;
        speaks_for.push(speaks.to_vec());
        Ok(at)
    };
    for phrase in &rule.phrases {
        add(phrase, &[number])?;
    }
    let without = rule.without.iter().map(|phrase| add(phrase, &[])).collect::<Result<_, _>>()?;
    let bad = |text: &String| RuleError::Code { id: rule.id.clone(), text: text.clone() };
    let code = |text: &String| CodeTest::read(text).ok_or_else(|| bad(text));
    let codes = rule.codes.iter().map(code).collect::<Result<_, _>>()?;
    let code = |text: &String| EnhancedTest::read(text).ok_or_else(|| bad(text));
    let enhanced = rule.enhanced.iter().map(code).collect::<Result<_, _>>()?;
    Ok(Ready { rule, codes, enhanced, without })
}

fn asked(operator: Option<&'static str>, answer: &Answer<'_>) -> Asked {
    let mut text = normal(answer.text);
    // Hosts repeat their codes on each line, between words that belong together.
    let codes = [answer.code.map(|it| it.to_string()), answer.enhanced.map(|it| it.to_string())];
    if codes.iter().flatten().any(|code| text.contains(code.as_str())) {
        let spoken = |word: &&str| !codes.iter().flatten().any(|code| code == word);
        text = text.split(' ').filter(spoken).collect::<Vec<_>>().join(" ");
    }
    Asked { operator, code: answer.code, enhanced: answer.enhanced, text }
}

fn record(rule: Option<&Rule>, answer: &Answer<'_>) -> Classification {
    let class = rule.map_or(Class::Unknown, |rule| rule.class);
    let confidence = rule.map_or(0.0, |rule| rule.confidence);
    let own = rule.and_then(|rule| rule.suppress);
    let of_class = class.suppress().filter(|_| !rule.is_some_and(|rule| rule.never_suppress));
    let sure = confidence >= HARD_CONFIDENCE_MIN && answer.is_permanent().unwrap_or(true);
    let suppress = own.or(of_class).filter(|_| sure);
    Classification {
        category: class.category(),
        class,
        hard: suppress.is_some(),
        rule: rule.map_or_else(|| UNCLASSIFIED.to_owned(), |rule| rule.id.clone()),
        confidence,
        signal: rule.and_then(|rule| rule.signal).unwrap_or(class.signal()),
        retry: rule.and_then(|rule| rule.retry).unwrap_or(class.retry()),
        disposition: rule.and_then(|rule| rule.disposition).unwrap_or(Disposition::ByCode),
        suppress,
    }
}

#[cfg(test)]
mod tests;
