//! What a host's words do to the pace at once: slower, probing, or not this campaign.
//!
//! Owns:       the rules between signals and limits of origin `adaptive`.
//! Promises:   connections and messages are cut apart; content and From domains stop themselves and
//!             never a source; bad recipients change nothing; every change has a cause, samples and
//!             an end.
//! Knows not:  warm-up (which takes reputation), rows, clocks, who sends.

mod content;
mod control;
mod lever;

pub use content::{Place, Stop, Stops};
pub use control::{Change, Control, Facts, What};
pub use lever::{HUSH, Lever};
