//! What an attempt brought.
//!
//! Owns:       the answers of one transaction on their way to the rows and the logs.
//! Promises:   a record holds all that a settlement after a crash needs.
//! Knows not:  what follows from it.

use std::time::Duration;

use super::verdict;
use crate::deliver::ConnectionFacts;
use crate::model::*;
use crate::queue::outcome_log::Record;
use crate::store::ClaimedDelivery;

/// What an attempt brought, for the rows and the log of dialogues.
pub struct Answered<'a> {
    /// One for each delivery, in order.
    pub outcomes: Vec<Outcome>,
    pub facts: &'a ConnectionFacts,
    pub dsn_passed_on: bool,
    pub dialogue: Vec<String>,
    pub spent: Duration,
    /// What the mail was made of, as JSON, of mail without a body.
    pub pin: Option<String>,
}

impl Answered<'_> {
    /// What the outcome log keeps of one delivery; `dialogue` is the place of its dialogue.
    pub fn record(
        &self,
        delivery: &ClaimedDelivery,
        outcome: &Outcome,
        dialogue: Option<&str>,
        at: Timestamp,
    ) -> Record {
        let milliseconds = u64::try_from(self.spent.as_millis()).unwrap_or(u64::MAX);
        let mut fields = verdict::fields(self.facts, outcome, delivery.tries, milliseconds);
        if let Some(map) = fields.as_object_mut() {
            if self.dsn_passed_on {
                map.insert("dsn_passed_on".into(), true.into());
            }
            if let Some(dialogue) = dialogue {
                map.insert("dialogue".into(), dialogue.into());
            }
        }
        Record {
            delivery: delivery.id,
            tries: delivery.tries,
            outcome: outcome.clone(),
            fields,
            pin: self.pin.clone().filter(|_| self.was_seen(outcome)),
            at,
        }
    }

    /// The host has read the mail, or may have.
    fn was_seen(&self, outcome: &Outcome) -> bool {
        let is_of_data = |line: &String| line.starts_with("< 354") || line.starts_with("> BDAT");
        match outcome {
            Outcome::Delivered { .. } | Outcome::AnswerNotSeen { .. } => true,
            _ => self.dialogue.iter().any(is_of_data),
        }
    }
}
