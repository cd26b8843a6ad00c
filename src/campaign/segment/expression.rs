//! What was asked, before its names were looked up.

use serde::{Deserialize, Serialize};

use super::SegmentError;
use crate::model::state::words;

/// Where in the text or tree something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    /// Octets from the beginning of the text.
    Offset(usize),
    Path(String),
}

/// A mistake, on its way to its line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub spot: Spot,
    pub why: String,
}

impl Fault {
    pub fn at(spot: &Spot, why: impl Into<String>) -> Fault {
        Fault { spot: spot.clone(), why: why.into() }
    }

    pub fn in_text(self, text: &str) -> SegmentError {
        let place = match self.spot {
            Spot::Path(path) => path,
            Spot::Offset(offset) => {
                let before = &text[..offset.min(text.len())];
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
                format!("line {line}, column {column}")
            }
        };
        SegmentError { place, why: self.why }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Test(Question),
}

/// One test: what is asked, how, and of which values.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub spot: Spot,
    /// A field, a word of ours, `tag` or `list`.
    pub name: String,
    pub operator: Operator,
    pub values: Vec<Literal>,
}

/// A value as it was written; its field says what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    pub spot: Spot,
    pub text: String,
}

words! {
    /// The same words in both forms of the language.
    Operator {
        Equals = "equals",
        Less = "less",
        AtMost = "at_most",
        Greater = "greater",
        AtLeast = "at_least",
        /// Two values, both included.
        Between = "between",
        In = "in",
        Contains = "contains",
        StartsWith = "starts_with",
        EndsWith = "ends_with",
        Empty = "empty",
        /// A number and a unit, back from now.
        WithinLast = "within_last",
        WithinNext = "within_next",
        /// The day of the year comes within this time, today included.
        AnniversaryWithinNext = "anniversary_within_next",
        /// Among the first so many in a hundred.
        Top = "top",
    }
}
