//! A rule as it is written, and what makes it unlawful.
//!
//! Owns:       the form of a rule file, conditions on codes.
//! Promises:   an unknown name, an impossible condition or a rule without a sample is an error with
//!             the rule's id.
//! Knows not:  texts, other rules.

use serde::{Deserialize, Serialize};

pub use crate::model::operator::{OPERATORS, operator_named};
use crate::model::{Class, Disposition, Enhanced, RetryProfile, Signal, Suppress};

/// Of one rule.
pub const PHRASES_MAX: usize = 200;
const ID_BYTES_MAX: usize = 64;

/// One rule, as in a pack and in the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub id: String,
    pub class: Class,
    /// 0 to 1.
    pub confidence: f64,
    /// Whose rule it is; its texts are known at other hosts too unless `only` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// At this operator alone, since elsewhere the text means something else.
    #[serde(default)]
    pub only: bool,
    /// `550`, `5xx`, `none`; without any, every code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
    /// `5.1.1`, `*.7.*`; without any, every code and none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enhanced: Vec<String>,
    /// One of them must stand in the text; without any, codes alone decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phrases: Vec<String>,
    /// None of them may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Replies that it must match; at least one.
    pub samples: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryProfile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Disposition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// Otherwise as the class says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppress: Option<Suppress>,
    /// The address is not to be suppressed although the class says so.
    #[serde(default)]
    pub never_suppress: bool,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum RuleError {
    #[error("the rules cannot be read: {0}")]
    Form(String),
    #[error("rule '{0}': an id is 1 to {ID_BYTES_MAX} of a-z, 0-9, '.' and '_'")]
    Id(String),
    #[error("rule '{0}' stands there twice")]
    Twice(String),
    #[error("rule '{id}': operator '{operator}' is not known")]
    Operator { id: String, operator: String },
    #[error("rule '{0}': `only` needs an operator")]
    Only(String),
    #[error("rule '{0}': the confidence must be above 0 and at most 1")]
    Confidence(String),
    #[error("rule '{id}': '{text}' is no condition on a code")]
    Code { id: String, text: String },
    #[error("rule '{0}' has neither phrases nor codes, so it would match everything")]
    Everything(String),
    #[error("rule '{0}' has more than {PHRASES_MAX} phrases")]
    Phrases(String),
    #[error("rule '{id}': {why}")]
    Phrase { id: String, why: super::phrase::PhraseError },
    #[error("rule '{0}' needs a sample that it must match")]
    NoSample(String),
    #[error("rule '{id}' does not match its own sample: {sample}")]
    Sample { id: String, sample: String },
    #[error("rule '{id}' is never reached: rule '{earlier}' matches all its samples before it")]
    Shadowed { id: String, earlier: String },
    #[error("there may be at most {0} rules")]
    TooMany(usize),
    #[error("rule '{0}': a 4xx reply is no reason to suppress an address")]
    SoftSuppress(String),
}

impl Rule {
    /// What can be seen of its lawfulness without its neighbours.
    pub fn check(&self) -> Result<(), RuleError> {
        let id = || self.id.clone();
        let lawful = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_');
        if !(1..=ID_BYTES_MAX).contains(&self.id.len()) || !self.id.bytes().all(lawful) {
            return Err(RuleError::Id(id()));
        }
        if let Some(operator) = self.operator.as_ref().filter(|one| !is_operator(one)) {
            return Err(RuleError::Operator { id: id(), operator: operator.clone() });
        }
        if self.only && self.operator.is_none() {
            return Err(RuleError::Only(id()));
        }
        if !(self.confidence > 0.0 && self.confidence <= 1.0) {
            return Err(RuleError::Confidence(id()));
        }
        if self.phrases.is_empty() && self.codes.is_empty() && self.enhanced.is_empty() {
            return Err(RuleError::Everything(id()));
        }
        if self.phrases.len() + self.without.len() > PHRASES_MAX {
            return Err(RuleError::Phrases(id()));
        }
        if self.samples.is_empty() {
            return Err(RuleError::NoSample(id()));
        }
        let soft = !self.codes.is_empty() && self.codes.iter().all(|code| code.starts_with('4'));
        if self.suppress.is_some() && soft {
            return Err(RuleError::SoftSuppress(id()));
        }
        Ok(())
    }
}

fn is_operator(name: &str) -> bool {
    OPERATORS.iter().any(|(own, _)| *own == name)
}

/// `550`, `5xx` or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeTest {
    Is(u16),
    Hundreds(u16),
    None,
}

impl CodeTest {
    pub fn read(text: &str) -> Option<CodeTest> {
        if text == "none" {
            return Some(CodeTest::None);
        }
        if let Some(hundreds) = text.strip_suffix("xx") {
            let hundreds = hundreds.parse().ok()?;
            return matches!(hundreds, 4 | 5).then_some(CodeTest::Hundreds(hundreds));
        }
        let code = text.parse().ok()?;
        (400..=599).contains(&code).then_some(CodeTest::Is(code))
    }

    pub fn holds(self, code: Option<u16>) -> bool {
        match (self, code) {
            (CodeTest::Is(wanted), Some(code)) => wanted == code,
            (CodeTest::Hundreds(wanted), Some(code)) => wanted == code / 100,
            (CodeTest::None, None) => true,
            _ => false,
        }
    }
}

/// `5.1.1` with `*` for any part, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnhancedTest {
    None,
    Is([Option<u16>; 3]),
}

impl EnhancedTest {
    pub fn read(text: &str) -> Option<EnhancedTest> {
        if text == "none" {
            return Some(EnhancedTest::None);
        }
        let mut parts = [None; 3];
        let mut words = text.split('.');
        for part in &mut parts {
            let word = words.next()?;
            *part = if word == "*" { None } else { Some(word.parse().ok()?) };
        }
        words.next().is_none().then_some(EnhancedTest::Is(parts))
    }

    pub fn holds(self, code: Option<Enhanced>) -> bool {
        match (self, code) {
            (EnhancedTest::None, code) => code.is_none(),
            (EnhancedTest::Is(parts), Some(Enhanced(class, subject, detail))) => {
                let code = [u16::from(class), subject, detail];
                parts.iter().zip(code).all(|(part, own)| part.is_none_or(|part| part == own))
            }
            (EnhancedTest::Is(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_on_codes_are_read_or_refused() {
        assert!(CodeTest::read("5xx").is_some_and(|test| test.holds(Some(550))));
        assert!(CodeTest::read("none").is_some_and(|test| test.holds(None)));
        assert_eq!(CodeTest::read("250"), None);
        assert_eq!(CodeTest::read("6xx"), None);
        let any = EnhancedTest::read("*.7.*").expect("lawful");
        assert!(any.holds(Some(Enhanced(4, 7, 650))));
        assert!(!any.holds(Some(Enhanced(4, 1, 1))));
        assert_eq!(EnhancedTest::read("5.1"), None);
        assert_eq!(EnhancedTest::read("5.1.1.1"), None);
    }

    #[test]
    fn an_operator_is_known_by_the_names_people_use() {
        assert_eq!(operator_named("Gmail"), Some("google"));
        assert_eq!(operator_named("T-Online"), Some("tonline"));
        assert_eq!(operator_named("Microsoft consumer"), Some("microsoft"));
        assert_eq!(operator_named("nobody"), None);
        for (own, others) in OPERATORS {
            assert_eq!(operator_named(own), Some(own));
            others.iter().for_each(|other| assert_eq!(operator_named(other), Some(own), "{other}"));
        }
    }
}
