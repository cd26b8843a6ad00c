//! Which source an attempt asks first: cold ones are warmed by marketing, and people who wait for
//! a password are not.
//!
//! Owns:       the tiers of the sources of a pool, by class.
//! Promises:   marketing goes to the next cold source, then to warm ones; transactional mail goes
//!             where it is surely taken, and never waits for a warm-up.
//! Knows not:  limits: what a source has no room for is refused when it is asked; weights, which
//!             divide the mail within a tier (`pick`).

use crate::model::{SourceId, StreamClass};
use crate::schedule::pick::Candidate;

/// How a source stands with one operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Of our own, and known.
    Warm,
    /// Being warmed up.
    Cold {
        /// Mails of marketing that today may still carry.
        left: u64,
        /// Mails within what it has held on earlier days.
        safe: u64,
    },
    /// Put off for reputation today.
    Strained,
    /// Another's service, with a quota: the last place for marketing, a good one for the rest.
    Relay,
}

impl Standing {
    pub const fn is_warming(&self) -> bool {
        matches!(self, Standing::Cold { .. } | Standing::Strained)
    }
}

/// Gives each its tier. While nothing of the pool is warmed up there, weights alone divide the
/// mail.
pub fn rank(
    class: StreamClass,
    candidates: &mut [Candidate],
    standing: impl Fn(SourceId) -> Standing,
) {
    if candidates.iter().any(|one| standing(one.source).is_warming()) {
        for one in candidates {
            one.tier = tier(class, standing(one.source));
        }
    }
}

/// Of so many mails, how many a source may be asked to take before its standing is looked at again.
pub fn part(class: StreamClass, standing: Standing, count: u64) -> u64 {
    match (class, standing) {
        (StreamClass::Transactional, Standing::Cold { safe: safe @ 1.., .. }) => count.min(safe),
        _ => count,
    }
}

/// Before which others a source is asked.
///
/// Marketing: cold sources with room, then warm ones, then relays; those without room stand last,
/// where their limit says so.
/// Transactional mail goes where it is surely taken: warm; cold within what it has held before;
/// relay; then whatever there is, for a mail that might be put off is better than one not tried.
pub const fn tier(class: StreamClass, standing: Standing) -> u8 {
    match (class, standing) {
        (StreamClass::Marketing, Standing::Cold { left: 0, .. } | Standing::Strained) => 3,
        (StreamClass::Marketing, Standing::Cold { .. }) => 0,
        (StreamClass::Marketing, Standing::Warm) => 1,
        (StreamClass::Marketing, Standing::Relay) => 2,
        (StreamClass::Transactional, Standing::Warm) => 0,
        (StreamClass::Transactional, Standing::Cold { safe: 1.., .. }) => 1,
        (StreamClass::Transactional, Standing::Relay) => 2,
        (StreamClass::Transactional, Standing::Cold { .. }) => 3,
        (StreamClass::Transactional, Standing::Strained) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDINGS: [Standing; 6] = [
        Standing::Relay,
        Standing::Cold { left: 10, safe: 0 },
        Standing::Strained,
        Standing::Warm,
        Standing::Cold { left: 400, safe: 50 },
        Standing::Cold { left: 0, safe: 90 },
    ];

    fn tiers(class: StreamClass, standings: &[Standing]) -> Vec<u8> {
        let candidate = |at| Candidate {
            source: SourceId(at),
            tier: 0,
            weight: 1,
            share_max: None,
            sent: 0,
            shared: 0,
            bar: None,
        };
        let mut pool: Vec<Candidate> = (0..).map(candidate).take(standings.len()).collect();
        rank(class, &mut pool, |source| standings[source.0 as usize]);
        pool.iter().map(|one| one.tier).collect()
    }

    #[test]
    fn marketing_warms_cold_sources_before_it_uses_warm_ones_and_asks_strained_ones_last() {
        assert_eq!(tiers(StreamClass::Marketing, &STANDINGS), [2, 0, 3, 1, 0, 3]);
    }

    #[test]
    fn transactional_mail_goes_where_it_is_surely_taken_and_always_somewhere() {
        assert_eq!(tiers(StreamClass::Transactional, &STANDINGS), [2, 3, 4, 0, 1, 1]);
        let cold = Standing::Cold { left: 9, safe: 3 };
        assert_eq!(part(StreamClass::Transactional, cold, 8), 3);
        assert_eq!(part(StreamClass::Marketing, cold, 8), 8);
        assert_eq!(part(StreamClass::Transactional, STANDINGS[1], 8), 8);
    }

    #[test]
    fn while_nothing_is_warmed_up_weights_alone_divide_the_mail() {
        let warm = [Standing::Warm, Standing::Relay, Standing::Warm];
        assert_eq!(tiers(StreamClass::Marketing, &warm), [0, 0, 0]);
    }
}
