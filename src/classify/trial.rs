//! What other rules would have said of replies of the past.
//!
//! Owns:       the comparison of two classifiers over stored replies.
//! Promises:   pure; its answer is bounded whatever the replies.
//! Knows not:  where replies come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Answer, Classifier};
use crate::model::{Class, Suppress};

/// Kinds of change that are told.
const CHANGES_MAX: usize = 100;

/// A reply of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    pub operator: Option<String>,
    pub code: Option<u16>,
    pub text: String,
}

/// Replies that would have another class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Changed {
    pub from_rule: String,
    pub from_class: Class,
    pub to_class: Class,
    /// That such an address was not to be written to again, for whom and how long.
    pub from_suppress: Option<Suppress>,
    pub to_suppress: Option<Suppress>,
    pub count: u64,
    pub sample: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trial {
    /// Replies of the past that were looked at.
    pub looked_at: u64,
    /// Those that the rule would decide.
    pub matched: u64,
    /// Of these, what they were before, the most frequent first.
    pub changed: Vec<Changed>,
}

/// `id`: the rule that `with` has and `now` has not.
pub fn trial(now: &Classifier, with: &Classifier, id: &str, past: &[Past]) -> Trial {
    let mut trial = Trial { looked_at: past.len() as u64, ..Trial::default() };
    let mut changed: BTreeMap<(String, &str, bool), Changed> = BTreeMap::new();
    for reply in past {
        let answer = match reply.code {
            Some(code) => Answer::with_code(code, &reply.text),
            None => Answer::read(&reply.text),
        };
        let operator = reply.operator.as_deref();
        let then = with.classify(operator, &answer);
        if then.rule != id {
            continue;
        }
        trial.matched += 1;
        let was = now.classify(operator, &answer);
        let key = (was.rule.clone(), was.class.word(), then.hard);
        let one = changed.entry(key).or_insert_with(|| Changed {
            from_rule: was.rule.clone(),
            from_class: was.class,
            to_class: then.class,
            from_suppress: was.suppress,
            to_suppress: then.suppress,
            count: 0,
            sample: reply.text.clone(),
        });
        one.count += 1;
    }
    trial.changed = changed.into_values().collect();
    trial.changed.sort_by_key(|one| std::cmp::Reverse(one.count));
    trial.changed.truncate(CHANGES_MAX);
    trial
}
