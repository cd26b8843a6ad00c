//! Which variant of a test wins.
//!
//! Owns:       the rule by which one is called better than the others.
//! Promises:   a difference that chance could have made wins nothing.
//! Knows not:  campaigns, where counts come from.

/// Two-sided, for one chance in twenty.
const Z: f64 = 1.96;

/// Of one variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    pub delivered: u64,
    /// People who clicked.
    pub clicked: u64,
}

impl Trial {
    #[allow(clippy::cast_precision_loss, reason = "counts of people are below 2^53")]
    fn rate(self) -> f64 {
        self.clicked as f64 / self.delivered.max(1) as f64
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of people are below 2^53")]
    fn variance(self) -> f64 {
        self.rate() * (1.0 - self.rate()) / self.delivered.max(1) as f64
    }
}

/// The variant whose rate of clicks is above that of every other by more than the interval of their
/// difference; None when there is none, or one of them has too few mails to tell.
pub fn winner(trials: &[Trial], delivered_min: u64) -> Option<usize> {
    if trials.len() < 2 || trials.iter().any(|trial| trial.delivered < delivered_min.max(1)) {
        return None;
    }
    let best = (0..trials.len()).max_by(|a, b| trials[*a].rate().total_cmp(&trials[*b].rate()))?;
    let is_above = |other: &Trial| {
        let own = trials[best];
        let spread = (own.variance() + other.variance()).sqrt();
        own.rate() - other.rate() > Z * spread
    };
    let mut others = trials.iter().enumerate().filter(|(at, _)| *at != best);
    others.all(|(_, other)| is_above(other)).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_difference_that_is_no_chance_wins() {
        let trials = |counts: &[(u64, u64)]| -> Vec<Trial> {
            let trial = |(delivered, clicked): &(u64, u64)| Trial {
                delivered: *delivered,
                clicked: *clicked,
            };
            counts.iter().map(trial).collect()
        };
        for (counts, wins) in [
            (vec![(1000, 100), (1000, 50)], Some(0)),
            (vec![(1000, 50), (1000, 52)], None),
            (vec![(1000, 50), (1000, 100), (1000, 98)], None),
            (vec![(1000, 50), (1000, 60), (1000, 120)], Some(2)),
            (vec![(99, 50), (1000, 10)], None),
            (vec![(1000, 0), (1000, 0)], None),
            (vec![(1000, 500)], None),
            (vec![], None),
        ] {
            assert_eq!(winner(&trials(&counts), 100), wins, "{counts:?}");
        }
    }
}
