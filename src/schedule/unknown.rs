//! Answers that no text of a rule knew, gathered until they are written.
//!
//! Owns:       the groups in memory, when they are written, how many are kept and how long.
//! Promises:   bounded memory and rows, whatever hosts answer.
//! Knows not:  rules.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::Shared;
use crate::classify::{is_unknown_text, normal, said_by};
use crate::model::*;
use crate::store::UnclassifiedReply;

/// Groups in memory between two writes; what comes beyond is not counted.
const GROUPS_MAX: usize = 1000;
/// Groups in the ledger.
const KEPT_MAX: u64 = 10_000;
const KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
const SAMPLE_BYTES_MAX: usize = 1000;

#[derive(Default)]
pub struct Unknown(Mutex<Gathered>);

#[derive(Default)]
struct Gathered {
    groups: HashMap<(String, String), UnclassifiedReply>,
    pruned_at: Option<Timestamp>,
}

impl Unknown {
    pub fn note(
        &self,
        told: &Classification,
        operator: Option<&str>,
        outcome: &Outcome,
        now: Timestamp,
    ) {
        if !is_unknown_text(told) {
            return;
        }
        let (code, text) = said_by(outcome);
        let sample = code.map_or_else(|| text.clone(), |code| format!("{code} {text}"));
        let key = (operator.unwrap_or_default().to_owned(), normal(&text));
        let mut gathered = self.0.lock();
        if gathered.groups.len() >= GROUPS_MAX && !gathered.groups.contains_key(&key) {
            return;
        }
        let (operator, text) = key.clone();
        let group = gathered.groups.entry(key).or_insert_with(|| UnclassifiedReply {
            id: UnclassifiedReplyId(0),
            operator,
            text,
            sample: String::new(),
            count: 0,
            first_seen_at: now,
            last_seen_at: now,
        });
        group.count += 1;
        group.last_seen_at = now;
        group.sample = crate::model::clipped_to(sample, SAMPLE_BYTES_MAX);
    }

    fn take(&self) -> Vec<UnclassifiedReply> {
        std::mem::take(&mut self.0.lock().groups).into_values().collect()
    }

    /// True once an hour.
    fn is_to_prune(&self, now: Timestamp) -> bool {
        let mut gathered = self.0.lock();
        let due = gathered.pruned_at.is_none_or(|last| now.since(last) >= PRUNE_EVERY);
        if due {
            gathered.pruned_at = Some(now);
        }
        due
    }
}

impl Shared {
    /// Writes what was gathered. What cannot be written now is lost: it comes again.
    pub(super) async fn write_unknown(&self) {
        let groups = self.unknown.take();
        if groups.is_empty() {
            return;
        }
        let (store, now) = (self.queue.store(), self.clock.now());
        if let Err(error) = store.note_unclassified(&groups).await {
            tracing::warn!(%error, "answers that no rule knows cannot be written now");
            return;
        }
        if self.unknown.is_to_prune(now) {
            let before = Timestamp(now.0.saturating_sub(as_micros(KEPT_FOR)));
            if let Err(error) = store.prune_unclassified(before, KEPT_MAX).await {
                tracing::warn!(%error, "old answers that no rule knew cannot be removed now");
            }
        }
    }
}

fn as_micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Answer, Classifier};

    #[test]
    fn answers_alike_but_for_ids_are_one_group_and_known_ones_are_none() {
        let classifier = Classifier::shipped().expect("the shipped rules load");
        let unknown = Unknown::default();
        let note = |text: &str, at| {
            let told = classifier.classify(None, &Answer::read(text));
            let reply = Reply::read(text);
            let outcome = Outcome::Failed { reply, blame: Blame::Host, reason: String::new() };
            unknown.note(&told, None, &outcome, Timestamp(at));
        };
        note("550 zork for a@b.example qq8xy1kz9w22", 1);
        note("550 zork for c@d.example 9k2jx7wq1z55", 2);
        note("550 5.1.1 user unknown", 3);
        let groups = unknown.take();
        let [group] = groups.as_slice() else { panic!("one group: {groups:?}") };
        assert_eq!((group.count, group.last_seen_at), (2, Timestamp(2)));
        assert_eq!(group.text, "^ zork for <email> <id> $");
        assert!(group.sample.starts_with("550 zork for c@"));
        assert!(unknown.take().is_empty());
    }
}
