//! How a source is, from what its checks found. Pure.
//!
//! Owns:       the rule by which findings make a source green, yellow or red.
//! Promises:   only what is definitely wrong for `RED_AFTER` makes a source red, and what is not
//!             known changes nothing but its colour between green and yellow.
//! Knows not:  DNS, sockets, rows.

use std::time::Duration;

use crate::model::*;

/// A record that is being changed, or a list that erred, is mended within this time.
pub const RED_AFTER: Duration = Duration::from_secs(2 * 3600);

/// What a check found, before it is compared with what was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub check: Check,
    pub verdict: Verdict,
    pub text: String,
}

pub fn judge(old: Option<&SourceHealth>, found: Vec<Found>, now: Timestamp) -> SourceHealth {
    let findings: Vec<Finding> = found.into_iter().map(|one| dated(old, one, now)).collect();
    let is_red = |one: &Finding| {
        let old_enough = one.bad_since.is_some_and(|since| now.since(since) >= RED_AFTER);
        // Nothing was learned: it stays red, and does not become so.
        let was_red = old.is_some_and(|old| old.state == HealthState::Red);
        old_enough && (one.verdict == Verdict::Bad || was_red)
    };
    let state = if findings.iter().any(is_red) {
        HealthState::Red
    } else if findings.iter().all(|one| one.verdict == Verdict::Fine) {
        HealthState::Green
    } else {
        HealthState::Yellow
    };
    let since = match old {
        Some(old) if old.state == state => old.since,
        _ => now,
    };
    SourceHealth { state, since, checked_at: now, findings }
}

fn dated(old: Option<&SourceHealth>, found: Found, now: Timestamp) -> Finding {
    let before = old.and_then(|old| old.findings.iter().find(|one| one.check == found.check));
    let bad_before = before.and_then(|one| one.bad_since);
    let bad_since = match found.verdict {
        Verdict::Bad => bad_before.or(Some(now)),
        Verdict::NotKnown => bad_before,
        Verdict::Fine | Verdict::Weak => None,
    };
    let Found { check, verdict, text } = found;
    Finding { check, verdict, text, bad_since }
}

/// The event that tells of a change, when it lets a source send or keeps it from sending.
pub fn event_of(old: Option<HealthState>, new: HealthState) -> Option<EventKind> {
    match (old, new) {
        (Some(HealthState::Red), HealthState::Red) => None,
        (_, HealthState::Red) => Some(EventKind::SourceRed),
        (Some(HealthState::Red), _) => Some(EventKind::SourceGreen),
        _ => None,
    }
}

/// The worst of several; their texts joined, the fine ones left out beside others.
pub fn worst(check: Check, all: Vec<(Verdict, String)>) -> Found {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Fine => 0,
        Verdict::NotKnown => 1,
        Verdict::Weak => 2,
        Verdict::Bad => 3,
    };
    let verdict = all.iter().map(|(verdict, _)| *verdict).max_by_key(rank);
    let verdict = verdict.unwrap_or(Verdict::Fine);
    let texts: Vec<String> =
        all.into_iter().filter(|(own, _)| *own == verdict).map(|(_, text)| text).collect();
    Found { check, verdict, text: texts.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(verdict: Verdict) -> Vec<Found> {
        let other = Found { check: Check::Plumbed, verdict: Verdict::Fine, text: String::new() };
        vec![other, Found { check: Check::Blocklists, verdict, text: "by a list".into() }]
    }

    /// The states at minutes, as verdicts come.
    fn story(verdicts: &[(i64, Verdict)]) -> Vec<HealthState> {
        let mut health: Option<SourceHealth> = None;
        let mut states = Vec::new();
        for (minute, verdict) in verdicts {
            let at = Timestamp::from_seconds(minute * 60);
            let new = judge(health.as_ref(), found(*verdict), at);
            states.push(new.state);
            health = Some(new);
        }
        states
    }

    #[test]
    fn only_what_is_definitely_wrong_for_two_hours_makes_a_source_red() {
        use HealthState::{Green, Red, Yellow};
        use Verdict::{Bad, Fine, NotKnown, Weak};
        type Row = (&'static [(i64, Verdict)], &'static [HealthState]);
        let table: [Row; 7] = [
            (&[(0, Fine)], &[Green]),
            (&[(0, Bad), (60, Bad), (119, Bad), (120, Bad)], &[Yellow, Yellow, Yellow, Red]),
            // An outage of DNS is yellow, however long.
            (&[(0, NotKnown), (600, NotKnown)], &[Yellow, Yellow]),
            (&[(0, Weak), (600, Weak)], &[Yellow, Yellow]),
            // It does not make red what was bad before, and does not make it good.
            (&[(0, Bad), (180, NotKnown), (240, Bad)], &[Yellow, Yellow, Red]),
            (&[(0, Bad), (120, Bad), (180, NotKnown), (240, Fine)], &[Yellow, Red, Red, Green]),
            // What was mended begins anew.
            (&[(0, Bad), (60, Fine), (120, Bad), (180, Bad)], &[Yellow, Green, Yellow, Yellow]),
        ];
        for (verdicts, states) in table {
            assert_eq!(story(verdicts), states, "{verdicts:?}");
        }
    }

    #[test]
    fn an_event_tells_when_a_source_may_send_again_or_no_longer() {
        let red = Some(HealthState::Red);
        assert_eq!(event_of(None, HealthState::Green), None);
        assert_eq!(event_of(None, HealthState::Red), Some(EventKind::SourceRed));
        assert_eq!(event_of(red, HealthState::Red), None);
        assert_eq!(event_of(red, HealthState::Yellow), Some(EventKind::SourceGreen));
        assert_eq!(event_of(Some(HealthState::Green), HealthState::Yellow), None);
    }

    #[test]
    fn a_check_of_several_things_is_as_bad_as_the_worst_of_them() {
        let all = vec![
            (Verdict::Fine, "a".to_owned()),
            (Verdict::Bad, "b".to_owned()),
            (Verdict::Bad, "c".to_owned()),
        ];
        let worst = worst(Check::Names, all);
        assert_eq!((worst.verdict, worst.text.as_str()), (Verdict::Bad, "b; c"));
    }
}
