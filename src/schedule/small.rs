//! Who is too small to be an operator of his own: the tail.
//!
//! Owns:       which recipient domains were seen at hosts that are not in the table of operators.
//! Promises:   hosts that serve a few domains share the tail; bounded memory.
//! Knows not:  the ledger, which remembers who was once large enough.

use std::collections::hash_map::{DefaultHasher, HashMap};
use std::hash::{Hash, Hasher};

use parking_lot::Mutex;

use crate::dns::OperatorName;
use crate::model::Domain;

/// Hosts that take mail for so many recipient domains are an operator of their own.
const DOMAINS_MIN: usize = 10;
/// Names that are counted at the same time; beyond it the counts begin anew.
const NAMES_MAX: usize = 20_000;

#[derive(Default)]
pub struct Small(Mutex<HashMap<String, Vec<u64>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub is_small: bool,
    /// By this very domain.
    pub has_grown: bool,
}

impl Small {
    /// Counts the domain, and tells whether its operator is small.
    pub fn judge(&self, operator: &OperatorName, domain: &Domain) -> Size {
        let OperatorName::Domain(name) = operator else {
            return Size { is_small: false, has_grown: false };
        };
        let mut hasher = DefaultHasher::new();
        domain.hash(&mut hasher);
        let mark = hasher.finish();
        let mut seen = self.0.lock();
        if seen.len() >= NAMES_MAX && !seen.contains_key(name) {
            seen.clear();
        }
        if !seen.contains_key(name) {
            seen.insert(name.clone(), Vec::new());
        }
        let Some(domains) = seen.get_mut(name) else {
            return Size { is_small: true, has_grown: false };
        };
        let is_new = domains.len() < DOMAINS_MIN && !domains.contains(&mark);
        if is_new {
            domains.push(mark);
        }
        let is_small = domains.len() < DOMAINS_MIN;
        Size { is_small, has_grown: is_new && !is_small }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(number: usize) -> Domain {
        Domain::parse(&format!("d{number}.example")).expect("lawful")
    }

    #[test]
    fn the_tenth_recipient_domain_makes_an_operator_and_others_are_none_of_its_business() {
        let (small, hoster) = (Small::default(), OperatorName::Domain("hoster.example".into()));
        let tiny = OperatorName::Domain("tiny.example".into());
        for number in 1..DOMAINS_MIN {
            for _ in 0..2 {
                let size = small.judge(&hoster, &domain(number));
                assert_eq!(size, Size { is_small: true, has_grown: false }, "{number}");
            }
        }
        let tenth = small.judge(&hoster, &domain(DOMAINS_MIN));
        assert_eq!(tenth, Size { is_small: false, has_grown: true });
        let again = small.judge(&hoster, &domain(1));
        assert_eq!(again, Size { is_small: false, has_grown: false });
        assert!(small.judge(&tiny, &domain(1)).is_small);
        assert!(!small.judge(&OperatorName::Listed("google"), &domain(1)).is_small);
        assert!(!small.judge(&OperatorName::Tail, &domain(1)).is_small);
    }
}
