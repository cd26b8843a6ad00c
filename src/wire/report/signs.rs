//! Signs that tell failures, delays, auto-replies and challenges apart where no part of a mail
//! says it for machines.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::phrases::squeezed;

/// The lists of `signs.txt`, by the names of their sections.
struct Lists(HashMap<&'static str, Vec<&'static str>>);

static LISTS: LazyLock<Lists> = LazyLock::new(|| {
    let mut lists: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut section = "";
    for row in include_str!("signs.txt").lines().filter(|row| !row.is_empty()) {
        match row.strip_prefix('[').and_then(|row| row.strip_suffix(']')) {
            Some(name) => section = name,
            None if row.starts_with("# ") => {}
            None => lists.entry(section).or_default().push(row),
        }
    }
    Lists(lists)
});

impl Lists {
    fn find(&self, section: &str, text: &str) -> bool {
        self.0.get(section).is_some_and(|signs| any(text, signs))
    }
}

fn any(text: &str, signs: &[&str]) -> bool {
    signs.iter().any(|sign| text.contains(sign))
}

/// What the words of a mail say about its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    pub is_failure_subject: bool,
    pub is_failure: bool,
    pub is_delay: bool,
    pub is_delay_subject: bool,
    pub is_final: bool,
    pub is_auto_subject: bool,
    pub is_auto: bool,
    pub is_challenge: bool,
    pub is_success: bool,
    /// A person answered or passed on somebody else's bounce.
    pub is_answer: bool,
}

impl Signs {
    /// `words` is what stands above the returned mail.
    pub fn of(subject: &str, words: &str) -> Signs {
        let subject = squeezed(subject);
        let words = squeezed(words);
        let answers = ["re:", "fwd:", "fw:", "aw:", "wg:", "tr:", "rv:", "回复:", "答复:"];
        let is_subject = |section: &str| LISTS.find(section, &subject);
        let is_word = |section: &str| LISTS.find(section, &words);
        let is_success =
            ["(success", "successful mail delivery", "delivered:", "(relay", "relayed:"];
        Signs {
            is_failure_subject: is_subject("failure subjects"),
            is_failure: is_word("failures"),
            is_delay: is_word("delays"),
            is_delay_subject: is_subject("delays"),
            is_final: is_word("finals"),
            is_auto_subject: is_subject("auto subjects"),
            is_auto: is_word("auto texts"),
            is_challenge: is_subject("challenges") || is_word("challenges"),
            is_success: any(&subject, &is_success) && !any(&subject, &["undelivered:"]),
            is_answer: answers.iter().any(|prefix| subject.starts_with(prefix)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_has_signs() {
        let sections = [
            "failure subjects",
            "failures",
            "delays",
            "finals",
            "auto subjects",
            "auto texts",
            "challenges",
        ];
        assert!(sections.iter().all(|name| LISTS.0[name].len() > 10));
        assert_eq!(LISTS.0.len(), sections.len());
    }

    #[test]
    fn kinds_are_told_apart_by_their_words() {
        let fails = Signs::of("Undelivered Mail Returned to Sender", "could not be delivered");
        assert!(fails.is_failure_subject && fails.is_failure && !fails.is_delay);
        let delay = Signs::of(
            "Warning: could not send message for past 4 hours",
            "YOU DO NOT NEED TO\nRESEND YOUR MESSAGE",
        );
        assert!(delay.is_delay && delay.is_delay_subject && !delay.is_final);
        let away = Signs::of("Abwesenheitsnotiz: Angebot", "Ich bin im Urlaub");
        assert!(away.is_auto_subject && away.is_auto && !away.is_failure);
    }
}
