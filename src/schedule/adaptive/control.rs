//! One source at one operator: connections, pace, and blocks with their probes.
//!
//! Owns:       when each of the three changes, and for how long.
//! Promises:   slow at once, fast again in steps; a block is probed, each time a little later.
//! Knows not:  rows, clocks, reputation of a warm-up.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lever::{HUSH, Lever, LeverRules};
use crate::model::*;

const CONNECTIONS: LeverRules =
    LeverRules { dwell: Duration::from_secs(30), clean: Duration::from_secs(300), floor: 1 };
const PACE: LeverRules =
    LeverRules { dwell: Duration::from_secs(60), clean: Duration::from_secs(300), floor: 1 };
/// A row that nobody renews is gone after it: a daemon that was off for a night starts free.
const ROW_LIVES: Duration = Duration::from_secs(4 * 3600);
/// Refusals for reputation, with nothing accepted between them, that are a block.
const BLOCK_WORDS: u64 = 3;
const BLOCK_FIRST: Duration = Duration::from_secs(15 * 60);
const BLOCK_MAX: Duration = Duration::from_secs(8 * 3600);
/// Clean time after which the next block is short again.
const BLOCK_FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// What a probe may send: messages a minute, over one connection.
const PROBE_PACE: u64 = 2;
/// Accepted mails are counted over it, for the pace that was held.
const MEASURE: Duration = Duration::from_secs(60);

/// What is true beside the signal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Connections open to the operator now.
    pub connections: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Connections,
    /// Messages a minute.
    Pace,
    /// Everything.
    Block,
}

/// A limit to be written, or to be taken away.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub what: What,
    pub before: Option<u64>,
    pub after: Option<u64>,
    pub expires_at: Option<Timestamp>,
    pub cause: String,
    pub samples: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Block {
    until: Option<Timestamp>,
    /// How often in a row.
    times: u32,
    ended_at: Timestamp,
    /// Refused since something was accepted.
    words: u64,
    hushed_until: Timestamp,
    pinned: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Control {
    pub connections: Lever,
    pub pace: Lever,
    block: Block,
    accepted: VecDeque<(Timestamp, u64)>,
}

impl Control {
    /// Takes in what was answered: `signal` came `count` times.
    pub fn note(
        &mut self,
        signal: Signal,
        count: u64,
        samples: &[String],
        facts: Facts,
        now: Timestamp,
    ) -> Option<Change> {
        let told = |change: Change| Change { samples: samples.to_vec(), ..change };
        match signal {
            Signal::Capacity => self.cut_connections(facts, now).map(told),
            Signal::Rate => self.cut_pace(now).map(told),
            Signal::Reputation => self.refused(count, now).map(told),
            Signal::None | Signal::Content | Signal::FromDomain | Signal::InvalidRecipient => None,
        }
    }

    /// Mail was taken.
    pub fn accepted(&mut self, count: u64, now: Timestamp) {
        if count > 0 {
            self.block.words = 0;
            self.accepted.push_back((now, count));
        }
        while self.accepted.front().is_some_and(|(at, _)| now.since(*at) > MEASURE) {
            self.accepted.pop_front();
        }
    }

    fn cut_connections(&mut self, facts: Facts, now: Timestamp) -> Option<Change> {
        let before = self.connections.value;
        let after = self.connections.cut(&CONNECTIONS, facts.connections.max(2), now)?;
        let cause = "the host says that there are too many connections".into();
        Some(change(What::Connections, before, Some(after), now, cause))
    }

    fn cut_pace(&mut self, now: Timestamp) -> Option<Change> {
        let held: u64 = self.accepted.iter().map(|(_, count)| count).sum();
        let before = self.pace.value;
        let after = self.pace.cut(&PACE, held.max(2), now)?;
        let cause = "the host says that mail comes too fast".into();
        Some(change(What::Pace, before, Some(after), now, cause))
    }

    fn refused(&mut self, count: u64, now: Timestamp) -> Option<Change> {
        let block = &mut self.block;
        if now < block.hushed_until {
            return None;
        }
        block.words += count;
        let is_blocked = block.until.is_some_and(|until| now < until);
        let probing = block.times > 0 && now.since(block.ended_at) < BLOCK_FORGOTTEN;
        let enough = block.words >= BLOCK_WORDS || probing;
        if is_blocked || block.pinned || !enough {
            return None;
        }
        block.times = if probing { block.times + 1 } else { 1 };
        let wait = BLOCK_FIRST.saturating_mul(2u32.saturating_pow(block.times - 1)).min(BLOCK_MAX);
        let until = now + wait;
        (block.until, block.ended_at, block.words) = (Some(until), until, 0);
        let cause = format!(
            "refused for reputation and nothing was accepted; probed in {} minutes",
            wait.as_secs() / 60
        );
        let change = change(What::Block, None, Some(0), now, cause);
        Some(Change { expires_at: Some(until), ..change })
    }

    /// Time went by.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.block.until.take_if(|until| *until <= now && !self.block.pinned).is_some() {
            let cause = || "a probe after the block".to_owned();
            changes.push(change(What::Block, Some(0), None, now, cause()));
            if self.connections.begin_at(1, 8, now) {
                changes.push(change(What::Connections, None, Some(1), now, cause()));
            }
            if self.pace.begin_at(PROBE_PACE, 60, now) {
                changes.push(change(What::Pace, None, Some(PROBE_PACE), now, cause()));
            }
            return changes;
        }
        let clean = || "five minutes without a complaint of the host".to_owned();
        let before = self.connections.value;
        if let Some(after) = self.connections.recover(&CONNECTIONS, now) {
            changes.push(change(What::Connections, before, after, now, clean()));
        }
        let before = self.pace.value;
        if let Some(after) = self.pace.recover(&PACE, now) {
            changes.push(change(What::Pace, before, after, now, clean()));
        }
        changes
    }

    /// Nothing is limited and nothing is remembered that would matter.
    pub fn is_at_rest(&self, now: Timestamp) -> bool {
        self.connections.is_at_rest(now)
            && self.pace.is_at_rest(now)
            && self.block.until.is_none()
            && self.block.hushed_until <= now
            && now.since(self.block.ended_at) > BLOCK_FORGOTTEN
            && self.accepted.is_empty()
    }

    pub fn undo(&mut self, what: What, now: Timestamp) {
        match what {
            What::Connections => self.connections.undo(now),
            What::Pace => self.pace.undo(now),
            What::Block => {
                self.block = Block { hushed_until: now + HUSH, ..Block::default() };
            }
        }
    }

    pub fn pin(&mut self, what: What, pinned: bool) {
        match what {
            What::Connections => self.connections.pinned = pinned,
            What::Pace => self.pace.pinned = pinned,
            What::Block => self.block.pinned = pinned,
        }
    }

    /// After a start: it was blocked at that moment, until then.
    pub fn recall_block(&mut self, at: Timestamp, until: Timestamp) {
        let block = &mut self.block;
        let again = block.times > 0 && at.since(block.ended_at) < BLOCK_FORGOTTEN;
        (block.times, block.ended_at) = (if again { block.times + 1 } else { 1 }, until);
    }

    /// After a start, from the decision that is in force.
    pub fn restore(&mut self, what: What, decision: &Decision) {
        let lever = |held: u64| Lever {
            value: decision.after,
            held: decision.before.unwrap_or(held),
            changed_at: decision.at,
            hushed_until: Timestamp(0),
            pinned: decision.pinned,
        };
        let twice = decision.after.unwrap_or(1).saturating_mul(2).max(8);
        match what {
            What::Connections => self.connections = lever(twice),
            What::Pace => self.pace = lever(twice),
            What::Block => {
                self.block.until = decision.expires_at;
                self.block.ended_at = decision.expires_at.unwrap_or(decision.at);
                self.block.times = self.block.times.max(1);
                self.block.pinned = decision.pinned;
            }
        }
    }
}

fn change(
    what: What,
    before: Option<u64>,
    after: Option<u64>,
    now: Timestamp,
    cause: String,
) -> Change {
    let expires_at = after.map(|_| now + ROW_LIVES);
    Change { what, before, after, expires_at, cause, samples: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn note(control: &mut Control, signal: Signal, count: u64, seconds: i64) -> Option<Change> {
        let samples = ["421 4.7.0 too many".to_owned()];
        control.note(signal, count, &samples, Facts { connections: 10 }, at(seconds))
    }

    #[test]
    fn connections_and_pace_are_cut_apart_and_at_once() {
        let mut control = Control::default();
        let change = note(&mut control, Signal::Capacity, 1, 0).expect("a change");
        assert_eq!((change.what, change.before, change.after), (What::Connections, None, Some(5)));
        assert_eq!(change.samples, ["421 4.7.0 too many"]);
        assert_eq!(control.pace.value, None);
        for second in 0..60 {
            control.accepted(10, at(second));
        }
        let change = note(&mut control, Signal::Rate, 1, 60).expect("a change");
        assert_eq!((change.what, change.after), (What::Pace, Some(300)));
        assert_eq!(control.connections.value, Some(5));
    }

    #[test]
    fn bad_recipients_content_and_from_domains_change_nothing_of_a_source() {
        let mut control = Control::default();
        for signal in [Signal::InvalidRecipient, Signal::Content, Signal::FromDomain, Signal::None]
        {
            assert_eq!(note(&mut control, signal, 1000, 0), None);
        }
        assert!(control.is_at_rest(at(0)));
    }

    #[test]
    fn a_block_is_probed_and_each_failed_probe_waits_twice_as_long() {
        let mut control = Control::default();
        assert_eq!(note(&mut control, Signal::Reputation, 2, 0), None);
        let change = note(&mut control, Signal::Reputation, 1, 1).expect("a block");
        assert_eq!((change.what, change.after), (What::Block, Some(0)));
        assert_eq!(change.expires_at, Some(at(901)));
        assert_eq!(note(&mut control, Signal::Reputation, 9, 10), None);
        assert_eq!(control.tick(at(900)), []);
        let begun: Vec<_> = control.tick(at(901)).iter().map(|one| (one.what, one.after)).collect();
        assert_eq!(
            begun,
            [(What::Block, None), (What::Connections, Some(1)), (What::Pace, Some(2))]
        );
        let again = note(&mut control, Signal::Reputation, 1, 910).expect("a longer block");
        assert_eq!(again.expires_at, Some(at(910 + 1800)));
    }

    #[test]
    fn a_block_that_a_person_has_undone_does_not_come_back_within_the_hour() {
        let mut control = Control::default();
        note(&mut control, Signal::Reputation, 3, 0).expect("a block");
        control.undo(What::Block, at(10));
        assert_eq!(note(&mut control, Signal::Reputation, 50, 20), None);
        assert!(!control.is_at_rest(at(20)), "the hush is not forgotten");
        assert_eq!(note(&mut control, Signal::Reputation, 2, 3610), None);
        assert!(note(&mut control, Signal::Reputation, 1, 3611).is_some());
    }

    #[test]
    fn after_a_start_the_next_block_is_as_long_as_it_would_have_been() {
        let mut control = Control::default();
        control.recall_block(at(-9000), at(-8000));
        control.recall_block(at(-5000), at(-3200));
        let block = note(&mut control, Signal::Reputation, 1, 0).expect("the probe has failed");
        assert_eq!(block.expires_at, Some(at(3600)), "the third in a row");
    }

    #[test]
    fn a_probe_leaves_alone_what_a_person_holds() {
        let mut control = Control::default();
        note(&mut control, Signal::Rate, 1, 0);
        control.pin(What::Pace, true);
        note(&mut control, Signal::Reputation, 3, 1);
        let begun: Vec<_> = control.tick(at(901)).iter().map(|one| one.what).collect();
        assert_eq!(begun, [What::Block, What::Connections]);
        assert_eq!(control.pace.value, Some(1));
    }

    #[test]
    fn refusals_between_accepted_mails_are_no_block() {
        let mut control = Control::default();
        for second in 0..50 {
            control.accepted(5, at(second));
            assert_eq!(note(&mut control, Signal::Reputation, 2, second), None);
        }
    }

    #[test]
    fn a_probe_that_is_taken_leads_back_to_full_speed() {
        let mut control = Control::default();
        note(&mut control, Signal::Reputation, 3, 0);
        let mut now = 900;
        control.tick(at(now));
        while control.connections.value.is_some() || control.pace.value.is_some() {
            now += 300;
            control.accepted(10, at(now));
            control.tick(at(now));
            assert!(now < 4 * 3600, "{control:?}");
        }
    }
}
