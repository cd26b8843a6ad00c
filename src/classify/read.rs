//! A line from a log or a report taken apart: the reply's code, its enhanced code, its text.
//!
//! Owns:       where in a line a code may stand.
//! Promises:   a line without a code is all text; a number inside a text is not taken for a code.
//! Knows not:  what codes mean.

use super::normal::TEXT_BYTES_MAX;
use crate::model::{Enhanced, Outcome, Reply};

/// A host's answer, or our own word for what went wrong, as the classifier takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub code: Option<u16>,
    pub enhanced: Option<Enhanced>,
    /// All lines joined by spaces; may hold the codes as well.
    pub text: &'a str,
}

impl<'a> Answer<'a> {
    /// From `550-5.1.1 …`, `host mx[192.0.2.1] said: 550 …`, `smtp; 550 …` or a bare text.
    pub fn read(line: &'a str) -> Answer<'a> {
        let text = spoken(head(line.trim()));
        let code = code_at_start(text).or_else(|| code_inside(text).map(|(_, code)| code));
        Answer { code, enhanced: enhanced_in(text), text }
    }

    /// With a code known otherwise.
    pub fn with_code(code: u16, text: &'a str) -> Answer<'a> {
        let text = spoken(head(text));
        Answer { code: Some(code), enhanced: enhanced_in(text), text }
    }

    /// Whether trying again is senseless: by the code, else by the enhanced code.
    pub fn is_permanent(&self) -> Option<bool> {
        match (self.code, self.enhanced) {
            (Some(code), _) => Some(code >= 500),
            (None, Some(enhanced)) => Some(enhanced.0 == 5),
            (None, None) => None,
        }
    }
}

/// What an outcome says, for the classifier: the code and the text of its reply, or the reason.
pub fn said_by(outcome: &Outcome) -> (Option<u16>, String) {
    match outcome {
        Outcome::Deferred { reply: Some(reply), .. }
        | Outcome::Failed { reply: Some(reply), .. }
        | Outcome::Delivered { reply } => (Some(reply.code), reply.text()),
        Outcome::Deferred { reason, .. } | Outcome::Failed { reason, .. } => {
            (Reply::read(reason).map(|reply| reply.code), reason.clone())
        }
        Outcome::AnswerNotSeen { reason } => (None, reason.clone()),
    }
}

fn head(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// How logs and reports lead over to what a host said.
const LEADS: [&str; 8] = [
    " said",
    "refused to talk to me",
    "smtp error from remote",
    "smtp;",
    "respon",
    "replied",
    "returned",
    "answered",
];

/// Without what logs and reports put around a host's words: `host mx[192.0.2.1] said: `,
/// `(in reply to RCPT TO command)`. Their own words are not about the mail.
fn spoken(text: &str) -> &str {
    let text = text.split_once(" (in reply to ").map_or(text, |(spoken, _)| spoken);
    if code_at_start(text).is_some() {
        return text;
    }
    let Some((at, _)) = code_inside(text) else { return text };
    let before = text[..at].to_ascii_lowercase();
    if LEADS.iter().any(|lead| before.contains(lead)) { &text[at..] } else { text }
}

fn code_at_start(text: &str) -> Option<u16> {
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    code_of(text)
}

/// `550 `, `550-`, `550#`, `550` at the end, `550HL:IFC`; not `5501`, `5.5`.
fn code_of(text: &str) -> Option<u16> {
    let digits = text.get(..3)?;
    let code = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    let next = text.as_bytes().get(3);
    let ends = next.is_none_or(|next| !next.is_ascii_digit() && *next != b'.');
    (ends && (400..=599).contains(&code)).then_some(code)
}

/// Behind a mark: `said: 550 `, `smtp;550 `, `(550 `, `-> 421 `; and where it stands.
fn code_inside(text: &str) -> Option<(usize, u16)> {
    const MARKS: [char; 9] = [':', ';', '(', '<', '>', '\'', '"', '[', '='];
    text.match_indices(MARKS).find_map(|(at, mark)| {
        let behind = text[at + mark.len()..].trim_start_matches([' ', '\t', '#', '<']);
        // "[550" may open an address of an IP, and "x:550:" a port; a code has text behind it.
        let code = code_of(behind)?;
        let ends = matches!(behind.as_bytes().get(3), None | Some(b' ' | b'-' | b'#'));
        ends.then_some((text.len() - behind.len(), code))
    })
}

/// The first word that is an enhanced code: `5.1.1`, `(#5.1.1)`, `550-5.1.1`.
fn enhanced_in(text: &str) -> Option<Enhanced> {
    let numeric = |c: char| c.is_ascii_digit() || c == '.';
    let mut before = ' ';
    let mut rest = text;
    while let Some(start) = rest.find(numeric) {
        let last = rest[..start].chars().next_back().unwrap_or(before);
        let run = &rest[start..];
        let end = run.find(|c| !numeric(c)).unwrap_or(run.len());
        let (word, after) = run.split_at(end);
        let joined = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '=');
        let apart = !joined(last) && !after.chars().next().is_some_and(char::is_alphabetic);
        let code = Enhanced::read(word.trim_matches('.'));
        if let Some(code) = code.filter(|code| apart && code.0 != 2 && code.1 <= 7) {
            return Some(code);
        }
        before = word.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_logs_and_reports_around_an_answer_are_taken_off() {
        for (line, text) in [
            ("host mx.example[192.0.2.1] said: 550 no (in reply to RCPT TO command)", "550 no"),
            ("host mx[192.0.2.1] refused to talk to me: 421 later", "421 later"),
            ("SMTP error from remote mail server after RCPT TO:<a@b.example>: 550 no", "550 no"),
            ("Remote host said: 554 no (#5.1.1)", "554 no (#5.1.1)"),
            ("smtp; 550 5.1.1 no", "550 5.1.1 no"),
            ("550 host mx said: 550 no", "550 host mx said: 550 no"),
            ("5.4.7 message expired '421 too many'", "5.4.7 message expired '421 too many'"),
            ("host mx said: no", "host mx said: no"),
        ] {
            assert_eq!(Answer::read(line).text, text);
        }
    }

    #[test]
    fn codes_are_found_where_servers_put_them() {
        let enhanced = |a, b, c| Some(Enhanced(a, b, c));
        for (line, code, expected) in [
            ("550 5.1.1 no such user", Some(550), enhanced(5, 1, 1)),
            ("550-5.1.1 no such 550 5.1.1 user", Some(550), enhanced(5, 1, 1)),
            ("421HL:IFC 163 smtp", Some(421), None),
            ("host mx.example[192.0.2.1] said: 554 5.7.1 <x@y>: no", Some(554), enhanced(5, 7, 1)),
            ("smtp;550 gone", Some(550), None),
            ("552 #5.3.4 too big", Some(552), enhanced(5, 3, 4)),
            ("553 sorry (#5.7.1)", Some(553), enhanced(5, 7, 1)),
            ("5.1.3 bad address syntax", None, enhanced(5, 1, 3)),
            ("message size 24123456 exceeds size limit 550 of server", None, None),
            ("connect to mx[192.0.2.1]:25: Connection timed out", None, None),
            ("Your IP 5.1.1.9 is bad", None, None),
            ("version 5.1.1b", None, None),
            ("", None, None),
        ] {
            let read = Answer::read(line);
            assert_eq!((read.code, read.enhanced), (code, expected), "{line}");
        }
    }
}
