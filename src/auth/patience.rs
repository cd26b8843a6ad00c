//! How often somebody may be wrong: by account, by address prefix, and by both together.
//!
//! Promises:   names that there are and names that there are not are treated alike (A11); who
//!             signed in from a prefix before is not locked out by strangers who guess.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use moka::sync::Cache;

use crate::clock::Clock;
use crate::model::Timestamp;

/// One wrong guess is forgiven after so long.
const FORGIVEN_AFTER: Duration = Duration::from_secs(20);
/// Wrong guesses in a row before nothing is looked at any more.
const GUESSES_OF_PREFIX_MAX: u32 = 10;
const GUESSES_OF_ACCOUNT_MAX: u32 = 30;
const GUESSES_OF_PAIR_MAX: u32 = 20;
/// The answer to a wrong guess comes after the first, doubled with each guess up to the last.
const DELAY_FIRST: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(4);
/// Every lock is reached only after the delay has stopped growing, so that it cannot be timed.
const _: () = assert!(DELAY_FIRST.as_millis() << GUESSES_OF_PREFIX_MAX > DELAY_MAX.as_millis());

const REMEMBERED_MAX: u64 = 100_000;
const FRIEND_FOR: Duration = Duration::from_secs(24 * 3600);

/// Wrong guesses, of which one is forgiven every `FORGIVEN_AFTER`.
#[derive(Clone, Copy, Default)]
struct Guesses {
    count: u32,
    since: Timestamp,
}

impl Guesses {
    fn at(self, now: Timestamp) -> Guesses {
        let forgiven = now.since(self.since).as_micros() / FORGIVEN_AFTER.as_micros();
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
        if forgiven >= self.count {
            return Guesses { count: 0, since: now };
        }
        Guesses {
            count: self.count - forgiven,
            since: self.since + FORGIVEN_AFTER.saturating_mul(forgiven),
        }
    }
}

/// Somebody who tries a name from an address, as keys that cannot be made to collide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor {
    account: u64,
    prefix: u64,
    pair: u64,
}

pub(super) struct Patience {
    guesses: Cache<u64, Guesses>,
    /// Pairs of account and prefix that have signed in.
    friends: Cache<u64, ()>,
    hasher: RandomState,
    clock: Clock,
}

impl Patience {
    pub fn new(clock: Clock) -> Patience {
        Patience {
            guesses: Cache::builder()
                .max_capacity(REMEMBERED_MAX)
                .time_to_idle(DELAY_MAX.max(FORGIVEN_AFTER) * GUESSES_OF_ACCOUNT_MAX)
                .build(),
            friends: Cache::builder().max_capacity(REMEMBERED_MAX).time_to_idle(FRIEND_FOR).build(),
            hasher: RandomState::new(),
            clock,
        }
    }

    pub fn visitor(&self, account: &str, peer: IpAddr) -> Visitor {
        let prefix = prefix(peer);
        Visitor {
            account: self.key(("account", account)),
            prefix: self.key(("prefix", prefix)),
            pair: self.key((account, prefix)),
        }
    }

    fn key(&self, what: impl Hash) -> u64 {
        self.hasher.hash_one(what)
    }

    /// Asked again too early: the secret is not even looked at.
    pub fn is_locked(&self, visitor: Visitor) -> bool {
        if self.friends.contains_key(&visitor.pair) {
            return self.count(visitor.pair) >= GUESSES_OF_PAIR_MAX;
        }
        self.count(visitor.prefix) >= GUESSES_OF_PREFIX_MAX
            || self.count(visitor.account) >= GUESSES_OF_ACCOUNT_MAX
    }

    fn count(&self, key: u64) -> u32 {
        self.guesses.get(&key).unwrap_or_default().at(self.clock.now()).count
    }

    /// Counts a wrong guess.
    pub fn wrong(&self, visitor: Visitor) {
        let now = self.clock.now();
        for key in [visitor.account, visitor.prefix, visitor.pair] {
            self.guesses.entry(key).and_upsert_with(|old| {
                let guesses = old.map_or_else(Guesses::default, |old| old.into_value()).at(now);
                Guesses { count: guesses.count.saturating_add(1), ..guesses }
            });
        }
    }

    pub fn welcome(&self, visitor: Visitor) {
        self.friends.insert(visitor.pair, ());
    }

    /// How long the answer to a wrong guess takes, counted from the question.
    pub fn delay(&self, visitor: Visitor) -> Duration {
        let guesses = self.count(visitor.prefix).max(self.count(visitor.account));
        let doublings = guesses.saturating_sub(1).min(16);
        DELAY_FIRST.saturating_mul(1 << doublings).min(DELAY_MAX)
    }
}

/// An IPv4 address, or the /64 that one customer gets of IPv6.
pub fn prefix(peer: IpAddr) -> u64 {
    match peer.to_canonical() {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        // The canonical form of ::/64 is never an IPv4 address, so nothing collides.
        IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64 | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> (Patience, Clock) {
        let clock = Clock::standing(1);
        (Patience::new(clock.clone()), clock)
    }

    fn visitor(patience: &Patience, account: &str, peer: &str) -> Visitor {
        patience.visitor(account, peer.parse().expect("an address"))
    }

    #[test]
    fn a_prefix_that_guesses_is_locked_and_forgiven_with_time() {
        let (patience, clock) = patience();
        for guess in 0..GUESSES_OF_PREFIX_MAX {
            let name = format!("name{guess}");
            let guesser = visitor(&patience, &name, "2001:db8::1");
            assert!(!patience.is_locked(guesser));
            patience.wrong(guesser);
        }
        let other = visitor(&patience, "fresh", "2001:db8::ffff");
        assert!(patience.is_locked(other), "the same /64");
        assert!(!patience.is_locked(visitor(&patience, "fresh", "2001:db8:0:1::1")));
        clock.advance(FORGIVEN_AFTER);
        assert!(!patience.is_locked(other));
    }

    #[test]
    fn strangers_cannot_lock_out_who_signed_in_before() {
        let (patience, _clock) = patience();
        let owner = visitor(&patience, "app", "192.0.2.1");
        patience.welcome(owner);
        for guess in 0..200 {
            patience.wrong(visitor(&patience, "app", &format!("198.51.100.{guess}")));
        }
        assert!(patience.is_locked(visitor(&patience, "app", "203.0.113.9")));
        assert!(!patience.is_locked(owner));
    }

    #[test]
    fn the_delay_doubles_to_its_end() {
        let (patience, _clock) = patience();
        let guesser = visitor(&patience, "app", "192.0.2.1");
        let mut delays = vec![];
        for _ in 0..7 {
            patience.wrong(guesser);
            delays.push(patience.delay(guesser).as_millis());
        }
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 4000, 4000]);
    }
}
