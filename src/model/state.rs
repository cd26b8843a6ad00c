//! The life of a delivery: its states and the steps between them.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
            utoipa::ToSchema,
        )]
        $(#[$doc])*
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word that stands for it in SQL, JSON, logs and panel.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($name::$variant),)*
                    _ => Err(format!(
                        "'{text}' is none of: {}",
                        [$($word,)*].join(", ")
                    )),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Where a delivery stands. `planned` is a count, not a row, and so not here.
    State {
        Waiting = "waiting",
        Leased = "leased",
        Held = "held",
        Cancelled = "cancelled",
        Expired = "expired",
        Delivered = "delivered",
        Failed = "failed",
        Suppressed = "suppressed",
    }
}

words! {
    /// What can happen to a delivery.
    Step {
        Claim = "claim",
        Hold = "hold",
        Release = "release",
        Cancel = "cancel",
        Suppress = "suppress",
        Expire = "expire",
        Deliver = "deliver",
        /// A `250` that was given earlier and is only now known.
        DeliverLate = "deliver_late",
        Fail = "fail",
        Defer = "defer",
        LoseLease = "lose_lease",
    }
}

impl State {
    /// Nothing is owed any more: the body may go once all its deliveries are final.
    pub const fn is_final(self) -> bool {
        !matches!(self, State::Waiting | State::Leased | State::Held)
    }
}

/// The whole life of a delivery. A pair that is missing here must not happen.
pub fn next(state: State, step: Step) -> Option<State> {
    Some(match (state, step) {
        (State::Waiting, Step::Claim) => State::Leased,
        // Leased too: a mail that kills its task again and again is held by who tried it.
        (State::Waiting | State::Leased, Step::Hold) => State::Held,
        (State::Waiting | State::Leased | State::Held, Step::Cancel) => State::Cancelled,
        (State::Waiting | State::Leased, Step::Suppress) => State::Suppressed,
        (State::Waiting | State::Held, Step::Expire) => State::Expired,
        (State::Waiting, Step::DeliverLate) => State::Delivered,
        // Held too: on one node a claim lives in memory, so a person may hold what is under way.
        (State::Cancelled | State::Expired | State::Held, Step::DeliverLate) => State::Delivered,
        (State::Leased, Step::Deliver) => State::Delivered,
        (State::Leased, Step::Fail) => State::Failed,
        (State::Leased, Step::Defer | Step::LoseLease) => State::Waiting,
        (State::Held, Step::Release) => State::Waiting,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_state_is_left_only_by_an_answer_that_was_not_seen_before() {
        for state in State::ALL.iter().filter(|state| state.is_final()) {
            for step in Step::ALL {
                let left = next(*state, *step);
                let late = *step == Step::DeliverLate
                    && matches!(state, State::Cancelled | State::Expired);
                assert_eq!(left.is_some(), late, "{state} by {step}");
            }
        }
    }

    #[test]
    fn every_word_reads_back() {
        for state in State::ALL {
            assert_eq!(state.word().parse::<State>(), Ok(*state));
        }
    }
}
