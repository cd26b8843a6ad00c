//! When a deferred delivery is tried again: pure rules.
//!
//! Owns:       the waits between tries, what a reply asks for, when a report on delay is due.
//! Promises:   waits grow to their maximum and never past the delivery's end.
//! Knows not:  clocks, dice, rows.

use std::time::Duration;

use crate::model::{Outcome, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    pub wait_first: Duration,
    pub wait_max: Duration,
}

/// A report on delay goes out, to who asked for one, when mail is this old.
pub const DELAY_REPORT_AFTER: Duration = Duration::from_secs(4 * 3600);

/// Of a jitter, as a part of the wait.
const STRETCH_MAX: f64 = 0.25;

/// Doubles from `wait_first` up to `wait_max`, then stretches by at most a quarter
/// so that a restart does not wake every lane at once. `tries` counts those before this one.
pub fn wait_after(policy: &RetryPolicy, tries: u32, stretch: f64) -> Duration {
    let doubled = policy.wait_first.saturating_mul(2u32.saturating_pow(tries));
    let base = doubled.min(policy.wait_max);
    base + base.mul_f64(stretch.clamp(0.0, 1.0) * STRETCH_MAX)
}

/// The moment at which it is decided, and the last that may come out.
#[derive(Clone, Copy, Debug)]
pub struct Clocked {
    pub now: Timestamp,
    pub expires_at: Timestamp,
    /// A dice throw in `0.0..1.0`.
    pub stretch: f64,
}

/// When the next try is due: as the reply asks, within `told_max`, else by the policy; at the end
/// of trying at the latest, so that an expiry is noticed when it comes.
pub fn due_after(
    policy: &RetryPolicy,
    told_max: Duration,
    outcome: &Outcome,
    tries: u32,
    clock: Clocked,
) -> Timestamp {
    let Clocked { now, expires_at, stretch } = clock;
    let told = outcome.reply().filter(|reply| reply.is_transient());
    let told = told.and_then(|reply| told_wait(&reply.text()));
    let wait = match told {
        // A little later than asked: hosts that count in whole minutes refuse the exact moment.
        Some(told) => told.min(told_max) + told.min(told_max).mul_f64(stretch * 0.1),
        None => wait_after(policy, tries, stretch),
    };
    (now + wait).min(expires_at.max(now))
}

/// Texts such as "Greylisted, try again in 5 minutes", "retry in 300 seconds", "please wait 1h".
/// None when the text names no wait, or one beyond a day.
pub fn told_wait(text: &str) -> Option<Duration> {
    const CUES: [&str; 8] = [
        "try again in",
        "retry in",
        "retry after",
        "try again after",
        "try later in",
        "come back in",
        "please wait",
        "wait for",
    ];
    let text = text.to_ascii_lowercase();
    CUES.iter().find_map(|cue| {
        let (_, rest) = text.split_once(cue)?;
        span_at_start(rest)
    })
}

/// `5 minutes`, ` 300`, `: 00:05:00`, `1h`; a bare number counts seconds.
fn span_at_start(text: &str) -> Option<Duration> {
    let text = text.trim_start_matches([' ', ':', '=', '(', '"']);
    let text = text.strip_prefix("about ").or(text.strip_prefix("at least ")).unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text[..end].parse().ok()?;
    let rest = &text[end..];
    if let Some(span) = clock_span(count, rest) {
        return within_a_day(span);
    }
    let unit = rest.trim_start_matches([' ', '-']);
    let seconds = match unit.chars().next() {
        Some('m') if !unit.starts_with("ms") && !unit.starts_with("mo") => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        Some('s') | None => 1,
        Some(c) if !c.is_alphanumeric() => 1,
        Some(_) => return None,
    };
    within_a_day(count.checked_mul(seconds)?)
}

/// `00:05:00` or `05:00`, of which `first` was read.
fn clock_span(first: u64, rest: &str) -> Option<u64> {
    let mut total = first;
    let mut parts = 0;
    let mut rest = rest;
    while let Some(next) = rest.strip_prefix(':') {
        let part: u64 = next.get(..2)?.parse().ok()?;
        total = total.checked_mul(60)?.checked_add(part)?;
        rest = &next[2..];
        parts += 1;
    }
    (1..=2).contains(&parts).then_some(total)
}

fn within_a_day(seconds: u64) -> Option<Duration> {
    (1..=86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Blame, Reply};

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(count * 60)
    }

    fn policy() -> RetryPolicy {
        RetryPolicy { wait_first: minutes(5), wait_max: minutes(240) }
    }

    #[test]
    fn waits_double_up_to_their_maximum() {
        let waits: Vec<Duration> = (0..8).map(|tries| wait_after(&policy(), tries, 0.0)).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 240, 240].map(minutes));
        assert_eq!(wait_after(&policy(), u32::MAX, 1.0), minutes(300));
    }

    #[test]
    fn a_wait_that_the_reply_names_is_kept() {
        for (text, seconds) in [
            ("4.7.1 Greylisted, please try again in 5 minutes", Some(300)),
            ("Try again in 90 seconds", Some(90)),
            ("greylisting in effect, retry in 00:04:30", Some(270)),
            ("please wait 1h before sending more", Some(3600)),
            ("Retry after: 120", Some(120)),
            ("retry in 2 months", None),
            ("try again in a while", None),
            ("try again in 99999999999999999999 seconds", None),
            ("try again later", None),
        ] {
            assert_eq!(told_wait(text), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn a_due_time_never_lies_behind_the_end_of_trying() {
        let now = Timestamp::from_seconds(1000);
        let outcome = Outcome::Deferred {
            reply: Reply::read("451 4.7.1 retry in 3600 seconds"),
            blame: Blame::Recipient,
            reason: String::new(),
        };
        let end = now + minutes(10);
        let due = |expires_at, stretch| {
            let clock = Clocked { now, expires_at, stretch };
            due_after(&policy(), minutes(240), &outcome, 0, clock)
        };
        assert_eq!(due(end, 0.5), end);
        assert_eq!(due(now + minutes(600), 0.0), now + minutes(60));
        assert_eq!(due(Timestamp(0), 0.0), now);
    }
}
