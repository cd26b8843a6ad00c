//! Which source an attempt asks first: cold ones are warmed by marketing, and people who wait for
//! a password are not.
//!
//! Owns:       the tiers of the sources of a pool, by class.
//! Promises:   marketing goes to the next cold source, then to warm ones; transactional mail goes
//!             where it is surely taken, and never waits for a warm-up.
//! Knows not:  limits: what a source has no room for is refused when it is asked.

use crate::model::{SourceId, StreamClass};

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub source: SourceId,
    pub standing: Standing,
}

/// The sources in the order in which they are to be asked: by tier, then the roomiest; among equals
/// the pool's own order holds.
pub fn order(class: StreamClass, candidates: &[Candidate]) -> Vec<SourceId> {
    let mut ranked: Vec<(u8, u64, SourceId)> = candidates
        .iter()
        .map(|one| {
            let room = match (class, one.standing) {
                (StreamClass::Marketing, Standing::Cold { left, .. }) => left,
                (StreamClass::Transactional, Standing::Cold { safe: 0, left }) => left,
                (StreamClass::Transactional, Standing::Cold { safe, .. }) => safe,
                _ => 0,
            };
            (tier(class, one.standing), u64::MAX - room, one.source)
        })
        .collect();
    ranked.sort_by_key(|(rank, room, _)| (*rank, *room));
    ranked.into_iter().map(|(_, _, source)| source).collect()
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

    fn pool() -> Vec<Candidate> {
        let standings = [
            Standing::Relay,
            Standing::Cold { left: 10, safe: 0 },
            Standing::Strained,
            Standing::Warm,
            Standing::Cold { left: 400, safe: 50 },
            Standing::Cold { left: 0, safe: 90 },
        ];
        let candidate = |(at, standing): (i64, &Standing)| Candidate {
            source: SourceId(at),
            standing: *standing,
        };
        (0..).zip(&standings).map(candidate).collect()
    }

    fn ids(class: StreamClass) -> Vec<i64> {
        order(class, &pool()).iter().map(|id| id.0).collect()
    }

    #[test]
    fn marketing_warms_cold_sources_before_it_uses_warm_ones_and_asks_strained_ones_last() {
        assert_eq!(ids(StreamClass::Marketing), [4, 1, 3, 0, 2, 5]);
    }

    #[test]
    fn transactional_mail_goes_where_it_is_surely_taken_and_always_somewhere() {
        assert_eq!(ids(StreamClass::Transactional), [3, 5, 4, 0, 1, 2]);
    }
}
