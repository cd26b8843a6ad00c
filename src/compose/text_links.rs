//! Where links stand in plain text.
//!
//! Owns:       where a link begins and ends among words, brackets and punctuation.
//! Promises:   places lie on characters, in order and apart; any text is read in linear time.
//! Knows not:  what is done with them.

use std::ops::Range;

use memchr::memmem;

const SCHEMES: [&str; 2] = ["https://", "http://"];
/// They end a sentence, not a link (RFC 3986 appendix C speaks of it).
const BEHIND: &[char] = &['.', ',', ';', ':', '!', '?', '\'', '*', '_', '~', '…'];
/// No link holds them unescaped.
const AROUND: &[char] = &[
    '<', '>', '"', '`', '|', '“', '”', '„', '‘', '’', '«', '»', '。', '、', '，', '；', '：', '！',
    '？', '（', '）', '「', '」', '『', '』', '【', '】', '《', '》',
];

/// In the order of the text.
pub fn links(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut behind = 0;
    for colon in memmem::find_iter(text.as_bytes(), b"://") {
        let Some(start) = start_of(text, colon).filter(|start| *start >= behind) else { continue };
        let head = colon + "://".len();
        let gap = text[head..].find(is_outside).unwrap_or(text.len() - head);
        // What looks like a link within it is a part of it.
        behind = head + gap;
        let end = head + bare(&text[head..behind]);
        let host = text[head..end].chars().next();
        if host.is_some_and(|letter| letter.is_alphanumeric() || letter == '[') {
            found.push(start..end);
        }
    }
    found
}

/// Of the scheme in front of the colon, unless it is the end of a longer word.
fn start_of(text: &str, colon: usize) -> Option<usize> {
    SCHEMES.iter().find_map(|scheme| {
        let start = (colon + "://".len()).checked_sub(scheme.len())?;
        let is_scheme = text.get(start..colon)?.eq_ignore_ascii_case(&scheme[..scheme.len() - 3]);
        let before = text[..start].chars().next_back();
        let is_word =
            before.is_some_and(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
        (is_scheme && !is_word).then_some(start)
    })
}

fn is_outside(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control() || AROUND.contains(&letter)
}

/// How long the link is without the punctuation at its end and without a bracket that was opened
/// before it.
fn bare(mut link: &str) -> usize {
    let mut open = [('(', ')'), ('[', ']'), ('{', '}')].map(|(open, close)| {
        let count = |letter: char| link.matches(letter).count();
        (close, count(close).saturating_sub(count(open)))
    });
    while let Some(last) = link.chars().next_back() {
        let bracket = open.iter_mut().find(|(close, surplus)| *close == last && *surplus > 0);
        match bracket {
            Some((_, surplus)) => *surplus -= 1,
            None if BEHIND.contains(&last) => {}
            None => break,
        }
        link = &link[..link.len() - last.len_utf8()];
    }
    link.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_link_ends_where_a_reader_sees_its_end() {
        let cases: [(&str, &[&str]); 22] = [
            ("See https://a.test/x.", &["https://a.test/x"]),
            ("https://a.test/x, https://b.test/y!", &["https://a.test/x", "https://b.test/y"]),
            ("<https://a.test/x>", &["https://a.test/x"]),
            ("<https://a.test/x.>.", &["https://a.test/x"]),
            ("(https://a.test/x)", &["https://a.test/x"]),
            ("(see https://a.test/x_(y)).", &["https://a.test/x_(y)"]),
            ("[shop](https://a.test/?a=1&b=[2])", &["https://a.test/?a=1&b=[2]"]),
            ("\"https://a.test/x\"", &["https://a.test/x"]),
            ("“https://a.test/x”", &["https://a.test/x"]),
            ("HTTPS://A.test/X?y=1;z=2;", &["HTTPS://A.test/X?y=1;z=2"]),
            ("https://a.test/%C3%BC/ü?x=日#top)", &["https://a.test/%C3%BC/ü?x=日#top"]),
            ("見てhttps://a.test/x。次", &["https://a.test/x"]),
            ("*https://a.test/x* and _http://b.test_", &["https://a.test/x", "http://b.test"]),
            ("https://a.test/x\r\nhttp://[::1]:80/", &["https://a.test/x", "http://[::1]:80/"]),
            ("http://a.test/?to=https://b.test/", &["http://a.test/?to=https://b.test/"]),
            ("xhttp://a.test/ git+https://a.test/", &[]),
            ("ftp://a.test/ mailto:a@b.test www.a.test", &[]),
            ("https:// https://. https://)", &[]),
            ("https://a.test", &["https://a.test"]),
            ("https://a.test/...", &["https://a.test/"]),
            ("https://a.test/}}])", &["https://a.test/"]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            let found: Vec<&str> = links(text).into_iter().map(|place| &text[place]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn places_lie_apart_and_on_characters(
            text in "(https?://|HTTP://|a\\.test|/|\\)|\\(|[.,;]|<|>| |\r\n|ü|日|://){0,40}"
        ) {
            let mut before = 0;
            for place in links(&text) {
                prop_assert!(place.start >= before && place.end > place.start);
                let link = text.get(place.clone());
                prop_assert!(link.is_some_and(|link| !link.contains(char::is_whitespace)));
                before = place.end;
            }
        }
    }
}
