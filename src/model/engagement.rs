//! How warm a person is: what he did with mails, and how long ago.
//!
//! Deeds lose half of their weight in `HALF_LIFE`. What is kept is the logarithm of their sum as if
//! it were seen from the year 1970, so that two people keep their order while time passes and no
//! row is touched by it; what decays is the score that is read from it.

use super::time::Timestamp;

/// Thousandths of a logarithm to the base of 2.
const STEPS: f64 = 1000.0;
/// Thirty days, in microseconds.
const HALF_LIFE: f64 = 30.0 * 86_400.0 * 1_000_000.0;
/// Deeds of this weight, done just now, are half of the full score.
const HALF_SCORE: f64 = 8.0;

pub const OPEN_WEIGHT: f64 = 1.0;
pub const CLICK_WEIGHT: f64 = 4.0;
pub const REPLY_WEIGHT: f64 = 8.0;
pub const SCORE_MAX: i64 = 100;

/// What the heat becomes by deeds of this weight at this moment.
pub fn heated(heat: Option<i64>, at: Timestamp, weight: f64) -> i64 {
    let added = weight.log2() + half_lives(at);
    let sum = match heat {
        None => added,
        Some(heat) => {
            let old = heat as f64 / STEPS;
            let (high, low) = (old.max(added), old.min(added));
            high + (1.0 + (low - high).exp2()).log2()
        }
    };
    (sum * STEPS).round() as i64
}

/// 0 for nobody that has done anything, towards 100 the more was done and the less long ago.
pub fn score(heat: Option<i64>, now: Timestamp) -> i64 {
    let Some(heat) = heat else { return 0 };
    // What was rounded when it was written must not take a point away.
    let deeds = ((heat as f64 + 0.5) / STEPS - half_lives(now)).exp2();
    (100.0 * deeds / (deeds + HALF_SCORE) + 1e-6).floor() as i64
}

/// The least heat whose score is at least this. Nobody's is below 0, nobody's is 100.
pub fn least_heat(score: i64, now: Timestamp) -> i64 {
    match score {
        ..=0 => i64::MIN,
        SCORE_MAX.. => i64::MAX,
        score => {
            let score = score as f64;
            let deeds = HALF_SCORE * score / (100.0 - score);
            ((deeds.log2() + half_lives(now)) * STEPS - 0.5).ceil() as i64
        }
    }
}

fn half_lives(at: Timestamp) -> f64 {
    at.0 as f64 / HALF_LIFE
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
    const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

    #[test]
    fn deeds_add_up_and_lose_half_in_thirty_days() {
        let heat = heated(None, NOW, 8.0);
        assert_eq!(score(Some(heat), NOW), 50);
        // 4 of 8 is left: a third.
        assert_eq!(score(Some(heat), NOW + DAY * 30), 33);
        let twice = heated(Some(heat), NOW, 8.0);
        assert_eq!(score(Some(twice), NOW), 66);
        let later = heated(Some(heat), NOW + DAY * 30, 4.0);
        assert_eq!(score(Some(later), NOW + DAY * 30), 50);
        // In whatever order they are told.
        let earlier = heated(Some(heated(None, NOW + DAY * 30, 4.0)), NOW, 8.0);
        assert!((later - earlier).abs() <= 1, "{later} {earlier}");
        assert_eq!(score(None, NOW), 0);
    }

    #[test]
    fn the_order_of_two_people_holds_while_time_passes() {
        let often = heated(Some(heated(None, NOW, 5.0)), NOW, 5.0);
        let once = heated(None, NOW, 5.0);
        for days in [0, 10, 100, 1000] {
            let then = NOW + DAY * days;
            assert!(score(Some(often), then) >= score(Some(once), then));
        }
    }

    #[test]
    fn a_score_asked_for_is_the_least_heat_that_has_it() {
        for wanted in 1..100 {
            let least = least_heat(wanted, NOW);
            assert!(score(Some(least), NOW) >= wanted - 1, "{wanted}");
            assert!(score(Some(least + 2), NOW) >= wanted, "{wanted}");
            assert!(score(Some(least - 2), NOW) < wanted, "{wanted}");
        }
        assert_eq!(least_heat(0, NOW), i64::MIN);
        assert_eq!(least_heat(100, NOW), i64::MAX);
    }
}
