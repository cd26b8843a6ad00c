//! How many mails a credential may send in an hour.
//!
//! The generic cell rate algorithm: a mail costs its share of the hour, and an hour's worth may
//! come at once. Kept in memory: after a restart a credential begins with a whole hour's worth.

use std::time::Duration;

use moka::sync::Cache;

use crate::clock::Clock;
use crate::model::{CredentialId, Timestamp};

const HOUR: Duration = Duration::from_secs(3600);
const REMEMBERED_MAX: u64 = 100_000;

pub(super) struct Rates {
    /// When all that was taken will have been paid for.
    paid_at: Cache<CredentialId, Timestamp>,
    clock: Clock,
}

impl Rates {
    pub fn new(clock: Clock) -> Rates {
        let paid_at = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_idle(2 * HOUR).build();
        Rates { paid_at, clock }
    }

    pub fn allowance(&self, id: CredentialId, rate_hour: u32) -> Allowance {
        let now = self.clock.now();
        let whole_after = self.paid_at.get(&id).map_or(Duration::ZERO, |paid| paid.since(now));
        let free = HOUR.saturating_sub(whole_after).as_micros() * u128::from(rate_hour);
        let remaining = u32::try_from(free / HOUR.as_micros()).unwrap_or(rate_hour);
        Allowance { limit: rate_hour, remaining, whole_after }
    }

    /// All of them, or none and how long to wait for room.
    pub fn take(&self, id: CredentialId, rate_hour: u32, mails: u32) -> Result<(), Duration> {
        let now = self.clock.now();
        let mut wait = None;
        self.paid_at.entry(id).and_upsert_with(|old| {
            let paid = old.map_or(now, |old| old.into_value()).max(now);
            match after(paid, now, rate_hour, mails) {
                Ok(later) => later,
                Err(span) => {
                    wait = Some(span);
                    paid
                }
            }
        });
        wait.map_or(Ok(()), Err)
    }
}

/// What is left of an hour's worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub limit: u32,
    pub remaining: u32,
    /// When all of it will be there again.
    pub whole_after: Duration,
}

/// When what is taken now will have been paid for, or how long to wait until it may be taken.
fn after(
    paid: Timestamp,
    now: Timestamp,
    rate_hour: u32,
    mails: u32,
) -> Result<Timestamp, Duration> {
    if rate_hour == 0 {
        return Err(HOUR);
    }
    let later = paid + HOUR.saturating_mul(mails) / rate_hour;
    match later.since(now).checked_sub(HOUR) {
        None | Some(Duration::ZERO) => Ok(later),
        Some(wait) => Err(wait),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hours_worth_may_come_at_once_and_then_comes_evenly() {
        let clock = Clock::standing(1);
        let rates = Rates::new(clock.clone());
        let take = |mails| rates.take(CredentialId(1), 60, mails);
        assert_eq!(take(59), Ok(()));
        assert_eq!(take(2), Err(Duration::from_secs(60)));
        assert_eq!(take(1), Ok(()));
        assert_eq!(take(1), Err(Duration::from_secs(60)));
        clock.advance(Duration::from_secs(60));
        assert_eq!(take(1), Ok(()));
        let left = rates.allowance(CredentialId(1), 60);
        assert_eq!((left.remaining, left.whole_after), (0, HOUR));
        assert_eq!(rates.allowance(CredentialId(9), 60).remaining, 60);
        assert_eq!(rates.take(CredentialId(2), 60, 60), Ok(()), "another's is his own");
        assert!(rates.take(CredentialId(3), 0, 1).is_err());
    }
}
