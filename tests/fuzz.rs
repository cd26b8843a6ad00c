//! Everything that reads a stranger's octets, under a storm of mutated input (G10).
//!
//! Each target begins with samples of what it reads and words of the trade. A round changes one
//! sample in a few ways; when what follows was not seen before, the changed one becomes a sample,
//! so the storm finds its way deeper by what it sees. The dice follow from the number of the round:
//! a failure names round and input, and comes again. `make nightly` runs a hundred times as many.

mod names;
mod octets;
mod reports;
mod sessions;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Of targets that take microseconds, and of those that take more.
pub const MANY: u64 = 5_000;
pub const SOME: u64 = 800;
const NIGHTLY_FACTOR: u64 = 100;
const SAMPLES_MAX: usize = 2_000;
/// No input of these targets is worth more; long ones have tests of their own.
const OCTETS_MAX: usize = 6_000;
const CHANGES_MAX: usize = 5;

/// Dice that fall the same way again (splitmix64).
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn of(round: u64) -> Dice {
        Dice(round.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, and 0 when there is nothing below it.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }

    pub fn octet(&mut self) -> u8 {
        self.next() as u8
    }

    pub fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    /// The octets in pieces of a few to some hundred octets.
    pub fn split<'a>(&mut self, mut rest: &'a [u8]) -> Vec<&'a [u8]> {
        let most = 1 << (1 + self.below(9));
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + self.below(most)).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

/// What a target starts from.
pub struct Ground {
    pub samples: Vec<Vec<u8>>,
    pub words: &'static [&'static [u8]],
}

impl Ground {
    pub fn new(samples: &[&str], words: &'static [&'static [u8]]) -> Ground {
        let samples = samples.iter().map(|sample| sample.as_bytes().to_vec()).collect();
        Ground { samples, words }
    }

    pub fn mutate(&self, dice: &mut Dice) -> Vec<u8> {
        let mut octets = self.samples[dice.below(self.samples.len())].clone();
        for _ in 0..=dice.below(CHANGES_MAX) {
            self.change(&mut octets, dice);
        }
        octets.truncate(OCTETS_MAX);
        octets
    }

    fn change(&self, octets: &mut Vec<u8>, dice: &mut Dice) {
        let at = dice.below(octets.len() + 1);
        let most = 1 << dice.below(8);
        let length = dice.below(most).min(octets.len() - at);
        match dice.below(9) {
            0 if at < octets.len() => octets[at] ^= 1 << dice.below(8),
            1 if at < octets.len() => octets[at] = dice.octet(),
            2 => drop(octets.drain(at..at + length)),
            3 => {
                let piece = octets[at..at + length].to_vec();
                let to = dice.below(octets.len() + 1);
                octets.splice(to..to, piece);
            }
            4 => {
                let times = 1 + dice.below(64);
                let piece = octets[at..at + length.min(16)].repeat(times);
                octets.splice(at..at, piece);
            }
            5 => octets.truncate(at),
            6 => {
                let other = &self.samples[dice.below(self.samples.len())];
                octets.truncate(at);
                octets.extend(&other[dice.below(other.len() + 1)..]);
            }
            _ => {
                let word = dice.one_of(self.words);
                octets.splice(at..at, word.iter().copied());
            }
        }
    }
}

pub fn hash_of(seen: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    seen.hash(&mut hasher);
    hasher.finish()
}

pub fn rounds(common: u64) -> u64 {
    common * if std::env::var_os("POSTROAD_NIGHTLY").is_some() { NIGHTLY_FACTOR } else { 1 }
}

/// `target` answers with a hash of what it saw; a panic of it is the failure.
pub fn storm(
    name: &str,
    common: u64,
    mut ground: Ground,
    target: impl Fn(&[u8], &mut Dice) -> u64,
) {
    let rounds = rounds(common);
    let mut seen = HashSet::new();
    let begun = ground.samples.clone();
    let mutated = (0..rounds).map(|round| (round, None));
    let given = begun.into_iter().map(|sample| (rounds, Some(sample)));
    for (round, sample) in given.chain(mutated) {
        let mut dice = Dice::of(round);
        let octets = sample.unwrap_or_else(|| ground.mutate(&mut dice));
        let ran = catch_unwind(AssertUnwindSafe(|| target(&octets, &mut dice)));
        match ran {
            Ok(what) if seen.insert(what) && ground.samples.len() < SAMPLES_MAX => {
                ground.samples.push(octets);
            }
            Ok(_) => {}
            Err(_) => panic!("{name}, round {round}: b\"{}\"", octets.escape_ascii()),
        }
    }
    println!("{name}: {rounds} rounds, {} kinds of answers", seen.len());
    assert!(seen.len() > 10, "{name}: the storm hits one spot only");
}
