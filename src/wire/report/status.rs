//! Status codes: RFC 3463 in fields and in the middle of texts, SMTP codes in front of them.

use std::sync::LazyLock;

use regex::Regex;

use crate::model::Enhanced;

/// `5.1.1` that is no piece of an IP address or a version.
static ENHANCED: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?:^|[^0-9A-Za-z.])([245])\.(\d{1,3})\.(\d{1,3})(?:$|[^0-9.]|\.(?:$|[^0-9]))";
    Regex::new(pattern).expect("the pattern is a constant")
});

/// An SMTP code of refusal at the start of a line or after what announces one.
static REPLY: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?m)(?:^|[\s:;\[(<>'#,=])([45][0-5]\d|571)(?:$|[\s:;,.#)\]-])";
    Regex::new(pattern).expect("the pattern is a constant")
});

/// What announces a version: `sendmail 8.5.1` has the form of a code.
const VERSIONS: [&str; 6] = ["version", "ver", "exim", "postfix", "release", "v"];

/// The first code of refusal in a text; one that says something (`5.1.1`) before one that does
/// not (`5.0.0`).
pub fn in_text(text: &str) -> Option<Enhanced> {
    let mut vague = None;
    let mut at = 0;
    while let Some(hit) = ENHANCED.captures_at(text, at) {
        let class = hit.get(1)?;
        // The separator of one hit may begin the next.
        at = hit.get(3)?.end();
        let word = text[..class.start()].trim_end_matches(['#', '(', '[', '<', ' ']);
        let word = word.rsplit(char::is_whitespace).next().unwrap_or_default();
        if VERSIONS.contains(&word.to_ascii_lowercase().as_str()) || class.as_str() == "2" {
            continue;
        }
        let digits = |index: usize| hit.get(index).and_then(|m| m.as_str().parse::<u16>().ok());
        let code = Enhanced(u8::try_from(digits(1)?).ok()?, digits(2)?, digits(3)?);
        if !is_vague(code) {
            return Some(code);
        }
        vague = vague.or(Some(code));
    }
    vague
}

/// `5.0.0`: the class and nothing else.
pub const fn is_vague(code: Enhanced) -> bool {
    code.1 == 0 && code.2 == 0
}

/// The code of a Status field: `5.1.1 (no such user)`.
pub fn of_field(value: &str) -> Option<Enhanced> {
    let word = value.trim().trim_start_matches(['#', '(']);
    let end = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    Enhanced::read(word[..end].trim_end_matches('.'))
}

/// The last SMTP code of refusal: hosts are quoted in order, and the last word counts.
pub fn reply_in_text(text: &str) -> Option<u16> {
    let last = REPLY.captures_iter(text).last()?;
    last.get(1)?.as_str().parse().ok()
}

/// A text from its first SMTP code of refusal on.
pub fn from_reply(text: &str) -> Option<&str> {
    let first = REPLY.captures(text)?.get(1)?;
    Some(&text[first.start()..])
}

/// The code that a report gives, refined by its texts where it says nothing.
pub fn refined(given: Option<Enhanced>, texts: &[&str]) -> Option<Enhanced> {
    match given {
        Some(code) if !is_vague(code) && code.0 != 2 => Some(code),
        _ => {
            let found = texts.iter().filter_map(|text| in_text(text));
            let told = found.clone().find(|code| !is_vague(*code));
            told.or(given.filter(|code| code.0 != 2)).or_else(|| found.clone().next())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_where_texts_hide_them() {
        let cases = [
            ("550 5.1.1 <a@b.example>... User unknown", Some(Enhanced(5, 1, 1))),
            ("sorry, no mailbox here by that name. (#5.1.1)", Some(Enhanced(5, 1, 1))),
            ("550-5.7.26 unauthenticated", Some(Enhanced(5, 7, 26))),
            ("<mx.example #5.2.2 smtp;552 full>", Some(Enhanced(5, 2, 2))),
            ("host 192.5.1.1 said: no", None),
            ("Microsoft SMTPSVC(5.0.2195.6713)", None),
            ("exim 4.8.1 says no", None),
            ("550 5.0.0 then 5.7.1: no", Some(Enhanced(5, 7, 1))),
            ("550 5.0.0 no", Some(Enhanced(5, 0, 0))),
            ("mailbox full 5.2.2.", Some(Enhanced(5, 2, 2))),
        ];
        for (text, expected) in cases {
            assert_eq!(in_text(text), expected, "{text}");
        }
    }

    #[test]
    fn a_vague_status_is_refined_and_a_clear_one_kept() {
        let vague = of_field("5.0.0 (permanent)");
        assert_eq!(refined(vague, &["550 5.1.1 x"]), Some(Enhanced(5, 1, 1)));
        assert_eq!(refined(of_field("5.2.1"), &["550 5.1.1 x"]), Some(Enhanced(5, 2, 1)));
        assert_eq!(refined(vague, &["550 no"]), vague);
        assert_eq!(refined(of_field("2.0.0"), &["550 no"]), None);
        assert_eq!(of_field("5.1"), None);
    }

    #[test]
    fn the_last_reply_counts() {
        assert_eq!(reply_in_text("<<< 452 later\n<<< 550 no"), Some(550));
        assert_eq!(reply_in_text("SMTP:550, no"), Some(550));
        assert_eq!(reply_in_text("port 5501, 550x"), None);
    }
}
