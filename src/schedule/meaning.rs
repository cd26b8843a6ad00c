//! What an attempt's outcome means: its class, and what a class changes about it.
//!
//! Owns:       who is asked for the class, and how it stands in the event's fields.
//! Promises:   the class is decided once, at the attempt's end; a replay reads it from the record.
//! Knows not:  rules, rows.

use std::sync::Arc;

use serde_json::Value;

use super::Shared;
use crate::dns::{OperatorName, operator_of_host};
use crate::model::*;
use crate::queue::outcome_log::Record;

/// An outcome with what it means; a delivery needs no meaning.
pub struct Meaning {
    pub outcome: Outcome,
    classified: Option<(Arc<Classification>, Option<String>)>,
}

impl Shared {
    /// Classifies what a host said, or why none did. `host`: who answered, empty when nobody did.
    pub(super) fn meaning(&self, host: &str, outcome: &Outcome) -> Meaning {
        if matches!(outcome, Outcome::Delivered { .. }) {
            return Meaning { outcome: outcome.clone(), classified: None };
        }
        let operator = operator(host);
        let classified = self.classifier.load().classify_outcome(operator.as_deref(), outcome);
        self.meters.refused(classified.class);
        self.unknown.note(&classified, operator.as_deref(), outcome, self.clock.now());
        let outcome = disposed(outcome, classified.disposition);
        Meaning { outcome, classified: Some((classified, operator)) }
    }
}

impl Meaning {
    /// Puts the class, and what follows from it, among the fields of the attempt's event.
    pub fn tell(&self, record: &mut Record) {
        let Some((classified, operator)) = &self.classified else { return };
        let Some(fields) = record.fields.as_object_mut() else { return };
        if let Ok(Value::Object(told)) = serde_json::to_value(classified.as_ref()) {
            fields.extend(told);
        }
        if let Some(operator) = operator {
            fields.insert("operator".into(), operator.as_str().into());
        }
    }
}

fn operator(host: &str) -> Option<String> {
    if host.is_empty() {
        return None;
    }
    match operator_of_host(host) {
        OperatorName::Tail => None,
        name => Some(name.as_str().to_owned()),
    }
}

/// As the code says, unless the rule knows better.
fn disposed(outcome: &Outcome, disposition: Disposition) -> Outcome {
    match (disposition, outcome.clone()) {
        (Disposition::Retry, Outcome::Failed { reply: reply @ Some(_), blame, reason }) => {
            Outcome::Deferred { reply, blame, reason }
        }
        (Disposition::Fail, Outcome::Deferred { reply: reply @ Some(_), blame, reason }) => {
            Outcome::Failed { reply, blame, reason }
        }
        (_, outcome) => outcome,
    }
}

/// What an event's fields say of the class; None for what was delivered and for old events.
pub fn classified_in(fields: &Value) -> Option<Classification> {
    fields.get("class")?;
    serde_json::from_value(fields.clone()).ok()
}

/// Whose hosts answered, as an event's fields say.
pub fn operator_in(fields: &Value) -> Option<&str> {
    fields.get("operator").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Answer, Classifier};

    fn failed() -> Outcome {
        let reply = Reply::read("550 Ip frequency limited");
        Outcome::Failed { reply, blame: Blame::Host, reason: String::new() }
    }

    #[test]
    fn a_rule_may_have_a_refusal_tried_again_and_no_rule_changes_what_no_host_said() {
        let again = disposed(&failed(), Disposition::Retry);
        assert!(matches!(again, Outcome::Deferred { .. }));
        assert_eq!(disposed(&failed(), Disposition::ByCode), failed());
        let never = disposed(&again, Disposition::Fail);
        assert!(matches!(never, Outcome::Failed { .. }));
        let own = Outcome::Failed { reply: None, blame: Blame::Recipient, reason: "x".into() };
        assert_eq!(disposed(&own, Disposition::Retry), own);
    }

    #[test]
    fn the_fields_of_an_event_give_the_class_back() {
        let classifier = Classifier::shipped().expect("the shipped rules load");
        let told = classifier.classify(None, &Answer::read("550 5.1.1 user unknown"));
        let outcome = failed();
        let classified = Some((told.clone(), Some("google".to_owned())));
        let fields = serde_json::json!({"host": "mx.example", "try": 1});
        let at = Timestamp(0);
        let mut record = Record {
            delivery: DeliveryId(1),
            tries: 0,
            outcome: outcome.clone(),
            fields,
            pin: None,
            at,
        };
        Meaning { outcome, classified }.tell(&mut record);
        assert_eq!(record.fields["class"], "mailbox_invalid");
        assert_eq!(operator_in(&record.fields), Some("google"));
        assert_eq!(classified_in(&record.fields), Some((*told).clone()));
        assert_eq!(classified_in(&serde_json::json!({"host": "mx.example"})), None);
    }
}
