//! What the schedule counts, by handles that are looked up once.
//!
//! Owns:       the counters of attempts, steps, connections and faults.
//! Promises:   a mail costs a few atomic additions, no look-up by name.
//! Knows not:  who reads them.

use metrics::{Counter, Gauge, Histogram};

use crate::model::{Class, Outcome, Step};
use crate::telemetry::names;

pub struct Meters {
    delivered: Counter,
    deferred: Counter,
    failed: Counter,
    answer_not_seen: Counter,
    /// One for each of `Step::ALL`.
    steps: Vec<(Step, Counter)>,
    /// One for each of `Class::ALL`, in its order.
    classes: Vec<Counter>,
    /// Wall time of a transaction, in seconds.
    pub attempt_seconds: Histogram,
    pub connections: Gauge,
    pub panics: Counter,
}

impl Meters {
    pub fn new() -> Meters {
        let attempts = |outcome| names::ATTEMPTS.counter(&[("outcome", outcome)]);
        let steps = Step::ALL.iter().copied();
        let counter = |step: Step| names::DELIVERY_STEPS.counter(&[("step", step.word())]);
        Meters {
            delivered: attempts("delivered"),
            deferred: attempts("deferred"),
            failed: attempts("failed"),
            answer_not_seen: attempts("answer_not_seen"),
            steps: steps.map(|step| (step, counter(step))).collect(),
            classes: Class::ALL.iter().map(|class| refusals(*class)).collect(),
            attempt_seconds: names::ATTEMPT_SECONDS.histogram(),
            connections: names::CONNECTIONS_OUT.gauge(&[]),
            panics: names::PANICS.counter(&[]),
        }
    }

    pub fn attempted(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Delivered { .. } => &self.delivered,
            Outcome::Deferred { .. } => &self.deferred,
            Outcome::Failed { .. } => &self.failed,
            Outcome::AnswerNotSeen { .. } => &self.answer_not_seen,
        };
        counter.increment(1);
    }

    /// An attempt that did not deliver, by what the answer means.
    pub fn refused(&self, class: Class) {
        if let Some(counter) = self.classes.get(class as usize) {
            counter.increment(1);
        }
    }

    pub fn stepped(&self, step: Step) {
        if let Some((_, counter)) = self.steps.iter().find(|(own, _)| *own == step) {
            counter.increment(1);
        }
    }
}

fn refusals(class: Class) -> Counter {
    names::REFUSALS.counter(&[("category", class.category().word()), ("class", class.word())])
}
