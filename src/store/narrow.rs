//! What somebody narrows a list to: a part of its texts, a word such as a state.
//!
//! Owns:       how that stands among the values of a statement.
//! Promises:   where nothing is given everything passes; `%` and `_` stand for themselves.
//! Knows not:  which columns are meant.

use super::database::Value;

/// Of a list by pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// Stands somewhere in the texts of a row, in any case; empty: in all.
    pub find: String,
    /// A state or a kind by its word; empty: any.
    pub word: String,
}

impl Narrowed {
    /// For `LOWER(text) LIKE $4 ESCAPE '!' AND ($5 = '' OR state = $5)`.
    pub(super) fn put_to(&self, values: &mut Vec<Value>) {
        values.push(format!("%{}%", escaped(&self.find)).into());
        values.push(self.word.clone().into());
    }
}

/// For `LIKE … ESCAPE '!'`. Domains hold `_`, and a person may type `%`.
pub(super) fn escaped(text: &str) -> String {
    let text = text.to_lowercase();
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_stands_for_itself_and_nothing_for_everything() {
        assert_eq!(escaped("50 %_Off!"), "50 !%!_off!!");
        let mut values = Vec::new();
        Narrowed::default().put_to(&mut values);
        let texts = [Value::from("%%"), Value::from("")];
        assert_eq!(format!("{values:?}"), format!("{texts:?}"));
    }
}
