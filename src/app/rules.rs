//! The classifier of the daemon: the shipped rules and the installation's own.
//!
//! Owns:       what happens at start to an own rule that no longer loads.
//! Promises:   a rule that cannot be meant any more is left out and told of; the rest holds.
//! Knows not:  what rules say.

use crate::classify::{Classifier, LiveClassifier, Rule, RuleError};
use crate::store::{Store, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub async fn classifier(store: &Store) -> Result<LiveClassifier, RulesError> {
    let mut own: Vec<Rule> = Vec::new();
    for row in store.classification_rules().await? {
        match serde_json::from_value(row.rule) {
            Ok(rule) => own.push(rule),
            Err(error) => tracing::error!(rule = %row.name, %error, "a rule of classification \
                cannot be read and is left out"),
        }
    }
    if let Ok(classifier) = Classifier::with_own(own.clone()) {
        return Ok(LiveClassifier::new(classifier));
    }
    Ok(LiveClassifier::new(without_broken(own)?))
}

/// One by one, so that only those are left out that cannot be meant.
fn without_broken(own: Vec<Rule>) -> Result<Classifier, RuleError> {
    let mut kept = Vec::new();
    let mut classifier = Classifier::shipped()?;
    for rule in own {
        let (id, mut tried) = (rule.id.clone(), kept.clone());
        tried.push(rule);
        match Classifier::with_own(tried.clone()) {
            Ok(with) => (classifier, kept) = (with, tried),
            Err(error) => {
                tracing::error!(rule = %id, %error, "a rule of classification is left out");
            }
        }
    }
    Ok(classifier)
}
