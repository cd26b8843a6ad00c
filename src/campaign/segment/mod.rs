//! Segments: a question about contacts, written by a person or a program, becomes a filter.
//!
//! Owns:       the language (text and JSON tree), the names it knows, its errors.
//! Promises:   each mistake is told with its place; nothing of the text reaches SQL but as a bound
//!             value; the depth and the number of tests are bounded.
//! Knows not:  SQL; `store::filter` does.
//!
//! ```text
//! city = "Berlin" and (opened within last 90 days or tag "vip") and not list "News"
//! campaign 7 is delivered and not campaign 7 is opened
//! score top 10      score >= 40      delivered within last 30 days and operator = google
//! bounce_class = mailbox_invalid      bounced after 2026-01-01      deferred is not empty
//! birthday anniversary within next 7 days      size in (S, M)      company is empty
//! ```
//! A contact without a value answers no test but `is empty`; so `city != "Berlin"` and
//! `not city = "Berlin"` both hold for a contact without a city.

mod expression; // the tree, before its names were looked up
mod lexer;
mod parser; // text
mod resolve; // names and values become columns and numbers
mod tree; // JSON

pub use expression::{Expression, Literal, Operator, Question, Spot};

use super::Schema;
use crate::model::Timestamp;
use crate::store::filter::Filter;

/// Below this depth nothing is nested, …
const DEPTH_MAX: usize = 20;
/// … and a segment asks no more than this, …
const TESTS_MAX: usize = 200;
/// … nor compares with more values at once.
const VALUES_MAX: usize = 200;
pub const TEXT_BYTES_MAX: usize = 20_000;

/// Segments that everybody has: a name, and what it asks.
pub const READY: [(&str, &str); 3] = [
    ("top 10 %", "score top 10"),
    ("engaged in 90 days", "opened within last 90 days or clicked within last 90 days"),
    (
        "cold for 180 days",
        "not (opened within last 180 days or clicked within last 180 days \
         or created within last 180 days)",
    ),
];

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct SegmentError {
    /// `line 1, column 8` of a text, or the path in a JSON tree.
    pub place: String,
    pub why: String,
}

/// Reads a text or, when it begins with `{`, a JSON tree.
pub fn read(text: &str) -> Result<Expression, SegmentError> {
    if text.len() > TEXT_BYTES_MAX {
        let why = format!("a segment has at most {TEXT_BYTES_MAX} octets");
        return Err(SegmentError { place: "the text".to_owned(), why });
    }
    let expression = if text.trim_start().starts_with('{') {
        tree::read(text)
    } else {
        parser::read(text).map_err(|fault| fault.in_text(text))
    }?;
    Ok(expression)
}

/// The filter that an expression is for these names at this moment.
pub fn filter(text: &str, schema: &Schema, now: Timestamp) -> Result<Filter, SegmentError> {
    let expression = read(text)?;
    resolve::filter(&expression, schema, now).map_err(|fault| fault.in_text(text))
}

#[cfg(test)]
mod tests;
