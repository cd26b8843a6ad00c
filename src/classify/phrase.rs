//! Phrases of rules, and one search that finds all of them in a text at once.
//!
//! Owns:       how a phrase is written: words; `(a|b)` for either; ` * ` for a gap of some words;
//!             ` ~ ` between parts that touch; a word with `*` at its end for any ending; `^` and
//!             `$` for the text's ends.
//! Promises:   one pass over the text whatever the number of phrases; no phrase can make it slow.
//! Knows not:  what a phrase means.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, MatchKind};

use super::normal::plain;

/// Of a gap: about ten words.
const GAP_BYTES_MAX: usize = 64;
/// Texts that one phrase may stand for.
const EXPANDED_MAX: usize = 400;
const PIECES_MAX: usize = 4;
/// Of matches in one text; a text that is one word over and over must not cost more.
const FOUND_MAX: usize = 4096;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    #[error("phrase '{0}' has no words")]
    Empty(String),
    #[error("phrase '{0}': '(' and ')' must enclose words with '|' between them")]
    Group(String),
    #[error("phrase '{0}': '*' ends a word only where the phrase or its part ends")]
    Prefix(String),
    #[error("phrase '{0}' stands for more than {EXPANDED_MAX} texts")]
    Many(String),
    #[error("phrase '{0}' has more than {PIECES_MAX} parts")]
    Parts(String),
    #[error("the phrases are too many together")]
    Size,
}

/// Texts of which each one will do.
#[derive(Debug)]
struct Piece {
    /// Where each stands in the list of all texts.
    texts: Vec<u32>,
    /// Between the piece before and this one.
    gap_bytes_max: usize,
}

/// Collects phrases before the search is built.
#[derive(Default)]
pub struct Phrases {
    texts: HashMap<String, u32>,
    order: Vec<String>,
    phrases: Vec<Vec<Piece>>,
}

impl Phrases {
    /// The number under which the search tells of it.
    pub fn add(&mut self, phrase: &str) -> Result<usize, PhraseError> {
        let mut pieces = Vec::new();
        for apart in phrase.split(" * ") {
            let mut gap_bytes_max = GAP_BYTES_MAX;
            for part in apart.split(" ~ ") {
                let texts = expanded(part).map_err(|make| make(phrase.to_owned()))?;
                let mut texts: Vec<u32> =
                    texts.iter().map(|text| self.text(text, phrase)).collect::<Result<_, _>>()?;
                texts.sort_unstable();
                texts.dedup();
                pieces.push(Piece { texts, gap_bytes_max });
                gap_bytes_max = 0;
            }
        }
        if pieces.len() > PIECES_MAX {
            return Err(PhraseError::Parts(phrase.to_owned()));
        }
        self.phrases.push(pieces);
        Ok(self.phrases.len() - 1)
    }

    fn text(&mut self, text: &str, phrase: &str) -> Result<u32, PhraseError> {
        let (text, open) = match text.trim_end().strip_suffix('*') {
            Some(text) => (text, true),
            None => (text, false),
        };
        if text.contains('*') {
            return Err(PhraseError::Prefix(phrase.to_owned()));
        }
        let words = plain(text);
        if words.is_empty() {
            return Err(PhraseError::Empty(phrase.to_owned()));
        }
        // `^` begins a text and `$` ends it, so they have no space around them.
        let before = if words.starts_with('^') { "" } else { " " };
        let after = if open || words.ends_with('$') { "" } else { " " };
        let needle = format!("{before}{words}{after}");
        let next = u32::try_from(self.order.len()).map_err(|_| PhraseError::Size)?;
        let number = *self.texts.entry(needle.clone()).or_insert(next);
        if number == next {
            self.order.push(needle);
        }
        Ok(number)
    }

    pub fn build(self) -> Result<Search, PhraseError> {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&self.order)
            .map_err(|_| PhraseError::Size)?;
        let mut begun = vec![Vec::new(); self.order.len()];
        for (number, pieces) in self.phrases.iter().enumerate() {
            for text in pieces.first().into_iter().flat_map(|piece| &piece.texts) {
                begun[*text as usize].push(number);
            }
        }
        Ok(Search { automaton, phrases: self.phrases, begun })
    }
}

/// What `(a|b) c` stands for: `a c`, `b c`.
fn expanded(part: &str) -> Result<Vec<String>, fn(String) -> PhraseError> {
    let mut texts = vec![String::new()];
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('(') {
        let (group, behind) = after.split_once(')').ok_or(PhraseError::Group as fn(_) -> _)?;
        if before.contains(')') || group.contains('(') {
            return Err(PhraseError::Group);
        }
        texts = texts
            .iter()
            .flat_map(|text| group.split('|').map(move |one| format!("{text}{before}{one}")))
            .collect();
        if texts.len() > EXPANDED_MAX {
            return Err(PhraseError::Many);
        }
        rest = behind;
    }
    if rest.contains(')') {
        return Err(PhraseError::Group);
    }
    Ok(texts.into_iter().map(|text| format!("{text}{rest}")).collect())
}

/// The search over all phrases.
#[derive(Debug)]
pub struct Search {
    automaton: AhoCorasick,
    phrases: Vec<Vec<Piece>>,
    /// For each text, the phrases that begin with it.
    begun: Vec<Vec<usize>>,
}

impl Search {
    /// The phrases in a normal text, each once, in ascending order.
    pub fn find(&self, text: &str) -> Vec<usize> {
        let mut places: HashMap<u32, Vec<(usize, usize)>> = HashMap::new();
        for found in self.automaton.find_overlapping_iter(text).take(FOUND_MAX) {
            places.entry(found.pattern().as_u32()).or_default().push((found.start(), found.end()));
        }
        let begun = places.keys().flat_map(|text| &self.begun[*text as usize]);
        let mut phrases: Vec<usize> = begun.copied().collect();
        phrases.sort_unstable();
        phrases.dedup();
        phrases.retain(|phrase| stands(&self.phrases[*phrase], &places));
        phrases
    }
}

/// Whether all pieces stand in order, with no more than a gap between them.
fn stands(pieces: &[Piece], places: &HashMap<u32, Vec<(usize, usize)>>) -> bool {
    let of = |piece: &Piece| -> Vec<(usize, usize)> {
        piece.texts.iter().filter_map(|text| places.get(text)).flatten().copied().collect()
    };
    let mut pieces = pieces.iter();
    let Some(first) = pieces.next() else { return false };
    let mut ends: Vec<usize> = of(first).into_iter().map(|(_, end)| end).collect();
    for piece in pieces {
        ends.sort_unstable();
        // The space at the end of one text is the space at the start of the next.
        let follows = |&(start, _): &(usize, usize)| {
            let first = ends.partition_point(|end| end + piece.gap_bytes_max < start);
            ends.get(first).is_some_and(|end| *end <= start + 1)
        };
        ends = of(piece).into_iter().filter(follows).map(|(_, end)| end).collect();
    }
    !ends.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::normal::normal;

    fn finds(phrase: &str, text: &str) -> bool {
        let mut phrases = Phrases::default();
        phrases.add(phrase).expect("a phrase");
        !phrases.build().expect("a search").find(&normal(text)).is_empty()
    }

    #[test]
    fn a_phrase_is_words_groups_gaps_endings_and_ends() {
        for (phrase, text, found) in [
            ("user unknown", "550 User unknown.", true),
            ("user unknown", "multiuser unknown", false),
            ("suspend*", "account suspended", true),
            ("(user|mailbox) (unknown|not found)", "Mailbox not found", true),
            ("mailbox * full", "the mailbox of bob is full", true),
            ("(mailbox|inbox) ~ (is|was) full", "the inbox is full", true),
            ("mailbox ~ full", "the mailbox is full", false),
            ("mailbox * full", &format!("mailbox {} full", "word ".repeat(40)), false),
            ("user unknown * user", "user unknown user", true),
            ("user * user", "user unknown", false),
            ("^ access denied $", "Access denied", true),
            ("^ access denied $", "Access denied, sorry", false),
            ("邮箱 * 满", "收件人邮箱已满", true),
        ] {
            assert_eq!(finds(phrase, text), found, "{phrase}: {text}");
        }
    }

    #[test]
    fn a_phrase_that_cannot_be_meant_is_an_error() {
        let add = |phrase: &str| Phrases::default().add(phrase).expect_err(phrase);
        assert!(matches!(add("..."), PhraseError::Empty(_)));
        assert!(matches!(add("(a|b"), PhraseError::Group(_)));
        assert!(matches!(add("a|b)"), PhraseError::Group(_)));
        assert!(matches!(add("sus* account"), PhraseError::Prefix(_)));
        assert!(matches!(add("a * b * c * d * e"), PhraseError::Parts(_)));
        let group = format!("({})", vec!["a"; 30].join("|"));
        assert!(matches!(add(&format!("{group} {group}")), PhraseError::Many(_)));
    }
}
