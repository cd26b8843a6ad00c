//! When a call is tried again, and when it is given up. Pure.

use std::time::Duration;

use super::{Answer, FetchError};
use crate::model::{CallState, Timestamp};

/// Between the tries of one call; the last gap repeats until `GIVE_UP_AFTER` is over.
const GAPS: [Duration; 10] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(4 * 3600),
    Duration::from_secs(8 * 3600),
    Duration::from_secs(12 * 3600),
];
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(72 * 3600);
/// The longest `Retry-After` that is waited for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Of what a server said, as it is kept.
const TEXT_CHARS_MAX: usize = 500;
const GONE: u16 = 410;

/// How a try ended, for the log and for what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub state: CallState,
    pub due_at: Timestamp,
    pub status: Option<u16>,
    pub text: String,
    /// The endpoint is gone for good, it says.
    pub disable: Option<String>,
}

/// One call, as far as its pace goes.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    pub created_at: Timestamp,
    /// Before this one.
    pub tries: u32,
    pub now: Timestamp,
    /// A dice throw in `0.0..1.0`.
    pub stretch: f64,
}

pub fn verdict(tried: &Tried, answer: &Result<Answer, FetchError>) -> Verdict {
    let (status, text) = match answer {
        Ok(answer) => (Some(answer.status), clipped(&answer.text())),
        Err(error) => (None, clipped(&error.to_string())),
    };
    let ended =
        |state, disable| Verdict { state, due_at: tried.now, status, text: text.clone(), disable };
    if answer.as_ref().is_ok_and(Answer::is_success) {
        return ended(CallState::Delivered, None);
    }
    if status == Some(GONE) {
        let reason = "the endpoint answered 410 Gone";
        return ended(CallState::Failed, Some(reason.to_owned()));
    }
    let asked = answer.as_ref().ok().and_then(retry_after);
    let due_at = tried.now + asked.unwrap_or_else(|| gap(tried.tries, tried.stretch));
    if due_at > tried.created_at + GIVE_UP_AFTER {
        return ended(CallState::Failed, None);
    }
    Verdict { due_at, ..ended(CallState::Waiting, None) }
}

/// Stretched by at most a quarter, so that what failed together does not come back together.
pub fn gap(tries: u32, stretch: f64) -> Duration {
    let nth = usize::try_from(tries).unwrap_or(usize::MAX).min(GAPS.len() - 1);
    GAPS[nth] + GAPS[nth].mul_f64(stretch.clamp(0.0, 1.0) * 0.25)
}

/// RFC 9110 §10.2.3, in seconds; a date is not waited for.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds: u64 = answer.header("retry-after")?.trim().parse().ok()?;
    let asked = matches!(answer.status, 429 | 503);
    asked.then(|| Duration::from_secs(seconds.max(1)).min(RETRY_AFTER_MAX))
}

fn clipped(text: &str) -> String {
    let text = text.trim();
    text.chars().take(TEXT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Result<Answer, FetchError> {
        let headers = headers.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        let body = bytes::Bytes::from_static(b"said\r\n\x1b[1m");
        let address = "127.0.0.1".parse().expect("an address");
        Ok(Answer { status, headers, body, is_cut: false, address })
    }

    fn tried(tries: u32, age: Duration) -> Tried {
        let created_at = Timestamp::from_seconds(1_000_000);
        Tried { created_at, tries, now: created_at + age, stretch: 0.0 }
    }

    #[test]
    fn the_gaps_grow_and_the_last_try_is_within_72_hours() {
        let mut age = Duration::ZERO;
        let mut tries = 0;
        loop {
            let tried = tried(tries, age);
            let verdict = verdict(&tried, &answer(500, &[]));
            if verdict.state == CallState::Failed {
                break;
            }
            age = verdict.due_at.since(tried.created_at);
            tries += 1;
        }
        assert_eq!(tries, 13);
        assert!(age <= GIVE_UP_AFTER && age > Duration::from_secs(60 * 3600), "{age:?}");
    }

    #[test]
    fn any_2xx_is_delivered_and_everything_else_is_tried_again() {
        for status in [200, 201, 202, 204, 299] {
            let verdict = verdict(&tried(0, Duration::ZERO), &answer(status, &[]));
            assert_eq!(verdict.state, CallState::Delivered, "{status}");
        }
        for status in [302, 400, 401, 404, 422, 429, 500, 503] {
            let verdict = verdict(&tried(0, Duration::ZERO), &answer(status, &[]));
            assert_eq!((verdict.state, verdict.disable), (CallState::Waiting, None), "{status}");
        }
        let error = Err(FetchError::NoAddress("a.example".into()));
        let verdict = verdict(&tried(0, Duration::ZERO), &error);
        assert_eq!((verdict.state, verdict.status), (CallState::Waiting, None));
        assert_eq!(verdict.text, "a.example has no address");
    }

    #[test]
    fn an_endpoint_that_is_gone_is_switched_off() {
        let verdict = verdict(&tried(0, Duration::ZERO), &answer(410, &[]));
        assert_eq!(verdict.state, CallState::Failed);
        assert!(verdict.disable.is_some());
    }

    #[test]
    fn retry_after_is_obeyed_within_an_hour() {
        let wait = |status, seconds: &str| {
            let tried = tried(0, Duration::ZERO);
            let answer = answer(status, &[("Retry-After", seconds)]);
            verdict(&tried, &answer).due_at.since(tried.now).as_secs()
        };
        assert_eq!([wait(429, "90"), wait(503, "999999"), wait(429, "soon")], [90, 3600, 5]);
        assert_eq!(wait(500, "90"), 5);
    }

    #[test]
    fn what_a_server_said_is_kept_harmless() {
        let verdict = verdict(&tried(0, Duration::ZERO), &answer(500, &[]));
        assert_eq!(verdict.text, "said   [1m");
    }
}
