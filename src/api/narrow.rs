//! What a list is asked to be narrowed to.
//!
//! Owns:       how long that may be.
//! Knows not:  which texts of a row it is looked for in (`store`).

use super::problem::Problem;
use crate::store::Narrowed;

const FIND_BYTES_MAX: usize = 200;
const WORD_BYTES_MAX: usize = 50;

/// `find`: what the texts of a row must hold, in any case. `word`: by its own type, or `lawful`.
pub(super) fn narrowed(find: Option<&str>, word: Option<&str>) -> Result<Narrowed, Problem> {
    let find = find.unwrap_or_default().trim();
    if find.len() > FIND_BYTES_MAX || find.contains(char::is_control) {
        let detail = format!("must be a line of at most {FIND_BYTES_MAX} octets");
        return Err(Problem::of_field("find", detail));
    }
    Ok(Narrowed { find: find.to_owned(), word: word.unwrap_or_default().to_owned() })
}

/// The first part of a word that has several, as somebody typed it.
pub(super) fn lawful<'a>(field: &str, part: Option<&'a str>) -> Result<Option<&'a str>, Problem> {
    let is_part = |text: &&str| {
        (1..=WORD_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    match part {
        Some(text) if !is_part(&text) => {
            Err(Problem::of_field(field, "must be small letters and _"))
        }
        part => Ok(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_a_line_and_not_long() {
        let found = narrowed(Some(" Tea "), Some("draft")).expect("lawful");
        assert_eq!((found.find.as_str(), found.word.as_str()), ("Tea", "draft"));
        assert_eq!(narrowed(None, None).expect("lawful"), Narrowed::default());
        assert!(narrowed(Some(&"x".repeat(201)), None).is_err());
        assert!(narrowed(Some("a\nb"), None).is_err());
    }

    #[test]
    fn a_part_of_a_word_matches_nothing_but_itself() {
        assert_eq!(lawful("about", Some("user")).expect("lawful"), Some("user"));
        for wrong in ["", "User", "a.b", "%", "a b"] {
            assert!(lawful("about", Some(wrong)).is_err(), "{wrong}");
        }
    }
}
