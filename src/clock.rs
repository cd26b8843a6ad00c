//! Now, sleep and dice: the only file that asks the system for any of them.
//!
//! Owns:       the reading of time and of chance.
//! Promises:   a test moves time by hand; a demo runs it faster; nobody else notices.
//! Knows not:  what anybody waits for.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::Timestamp;

/// A handle on time. `now` is the clock of retry, warm-up and day boundary, which a demo speeds
/// up and a test moves; `wall` is what stands in Date, signatures and tokens.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    started_wall: Timestamp,
    started: Instant,
    speed: u32,
    /// Time added by hand, and taken back; both zero outside tests and the demo.
    moved: Mutex<(Duration, Duration)>,
    moving: Notify,
    stands: bool,
    dice: Mutex<Dice>,
}

impl Clock {
    pub fn system() -> Clock {
        Clock::with_speed(1)
    }

    /// Runs `speed` times as fast as the wall clock.
    pub fn with_speed(speed: u32) -> Clock {
        Clock::build(speed, false, None)
    }

    /// Stands still until `advance` moves it; its dice start from `seed`.
    pub fn standing(seed: u64) -> Clock {
        Clock::build(1, true, Some(seed))
    }

    fn build(speed: u32, stands: bool, seed: Option<u64>) -> Clock {
        let started_wall = system_now();
        let seed = seed.unwrap_or_else(system_seed);
        Clock(Arc::new(Inner {
            started_wall,
            started: Instant::now(),
            speed: speed.max(1),
            moved: Mutex::default(),
            moving: Notify::new(),
            stands,
            dice: Mutex::new(Dice(seed)),
        }))
    }

    /// The present moment of the product's own clock.
    pub fn now(&self) -> Timestamp {
        let inner = &self.0;
        let (forth, back) = *inner.moved.lock();
        let unmoved = if inner.stands {
            inner.started_wall
        } else if inner.speed == 1 {
            system_now()
        } else {
            inner.started_wall + inner.started.elapsed().saturating_mul(inner.speed)
        };
        unmoved + forth - back
    }

    /// The wall clock, whatever speed `now` runs at.
    pub fn wall(&self) -> Timestamp {
        system_now()
    }

    /// Moves `now` forward and wakes every sleeper whose moment has come.
    pub fn advance(&self, span: Duration) {
        self.0.moved.lock().0 += span;
        self.0.moving.notify_waiters();
    }

    /// Moves `now` back, as a person or a time server may do to a system's clock.
    pub fn set_back(&self, span: Duration) {
        self.0.moved.lock().1 += span;
        self.0.moving.notify_waiters();
    }

    /// Returns once `now` has reached `until`.
    pub async fn sleep_until(&self, until: Timestamp) {
        loop {
            let moving = self.0.moving.notified();
            tokio::pin!(moving);
            moving.as_mut().enable();
            let left = until.since(self.now());
            if left.is_zero() {
                return;
            }
            if self.0.stands {
                moving.await;
                continue;
            }
            // Steps of at most an hour notice a system clock that was set meanwhile.
            let real = (left / self.0.speed).clamp(STEP_MIN, STEP_MAX);
            tokio::select! {
                () = tokio::time::sleep(real) => {}
                () = moving => {}
            }
        }
    }

    pub async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now() + span).await;
    }

    /// An even number in `0.0..1.0`, for jitter; never for secrets.
    pub fn dice(&self) -> f64 {
        self.0.dice.lock().roll()
    }
}

const STEP_MIN: Duration = Duration::from_millis(1);
const STEP_MAX: Duration = Duration::from_secs(3600);

fn system_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(0) + since
}

fn system_seed() -> u64 {
    let mut bytes = [0u8; 8];
    // Jitter needs no secrecy: if the system has no randomness to give, the time will do.
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => system_now().0.unsigned_abs(),
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let z = z ^ (z >> 31);
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_standing_clock_wakes_sleepers_only_when_moved() {
        let clock = Clock::standing(1);
        let other = clock.clone();
        let sleeper = tokio::spawn(async move { other.sleep(Duration::from_secs(3600)).await });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(3599));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.expect("the sleeper wakes");
    }

    #[test]
    fn the_same_seed_throws_the_same_dice() {
        let (one, two) = (Clock::standing(7), Clock::standing(7));
        assert_eq!(one.dice().to_bits(), two.dice().to_bits());
    }
}
