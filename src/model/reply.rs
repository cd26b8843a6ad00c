//! An SMTP reply as it was on the wire, with the enhanced code read but never cut from the text.

use serde::{Deserialize, Serialize};

/// RFC 3463 `class.subject.detail`. Microsoft uses details above 255, so none is a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl Enhanced {
    /// Reads `5.7.511` from the start of a reply's text; the code must end at a space or the end.
    pub fn read(text: &str) -> Option<Enhanced> {
        let word = text.split_ascii_whitespace().next()?;
        let mut parts = word.split('.');
        let class = digits(parts.next()?, 1)?;
        let code = Enhanced(
            u8::try_from(class).ok()?,
            digits(parts.next()?, 3)?,
            digits(parts.next()?, 3)?,
        );
        (parts.next().is_none() && matches!(code.0, 2 | 4 | 5)).then_some(code)
    }
}

fn digits(text: &str, length_max: usize) -> Option<u16> {
    let lawful = (1..=length_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if lawful { text.parse().ok() } else { None }
}

impl std::fmt::Display for Enhanced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// One reply: its code and the text of each line after the code and separator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub code: u16,
    pub lines: Vec<String>,
}

impl Reply {
    pub fn new(code: u16, text: impl Into<String>) -> Reply {
        Reply { code, lines: vec![text.into()] }
    }

    /// From text such as `550 5.1.1 no such user`; for tests and scripted hosts.
    pub fn read(text: &str) -> Option<Reply> {
        let (code, rest) = text.split_at_checked(3)?;
        Some(Reply::new(code.parse().ok()?, rest.trim_start()))
    }

    pub fn enhanced(&self) -> Option<Enhanced> {
        self.lines.iter().find_map(|line| Enhanced::read(line))
    }

    pub const fn is_positive(&self) -> bool {
        matches!(self.code, 200..=299)
    }

    pub const fn is_transient(&self) -> bool {
        matches!(self.code, 400..=499)
    }

    pub const fn is_permanent(&self) -> bool {
        matches!(self.code, 500..=599)
    }

    /// All lines joined by a space, without the code.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }
}

/// `550 5.1.1 no such user`, several lines joined by a space.
impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:03}", self.code)?;
        self.lines.iter().try_for_each(|line| write!(f, " {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_codes_above_255_stay_whole() {
        let reply = Reply::read("550 5.7.511 Access denied").expect("a reply");
        assert_eq!(reply.enhanced(), Some(Enhanced(5, 7, 511)));
        assert_eq!(reply.to_string(), "550 5.7.511 Access denied");
    }

    #[test]
    fn a_version_number_is_not_an_enhanced_code() {
        assert_eq!(Enhanced::read("1.2.3 hello"), None);
        assert_eq!(Enhanced::read("5.1.1.1 hello"), None);
        assert_eq!(Enhanced::read("5.1 hello"), None);
    }
}
