//! The addresses in a From or Sender field.
//!
//! Owns:       as much of RFC 5322 §3.4 as a sender may use, and what is refused because readers
//!             disagree on it (A8: comments that hide addresses, encoded words inside them, …).
//! Promises:   every address that some reader could take for the sender is in the answer, or the
//!             field is refused.
//! Knows not:  who may send as whom.

use crate::model::Address;

/// Authors of one mail.
const ADDRESSES_MAX: usize = 50;
const COMMENT_DEPTH_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    #[error("it holds no address")]
    Empty,
    #[error("it holds an address that cannot be read")]
    Address,
    #[error("quotes, brackets or parentheses in it are not in order")]
    Unbalanced,
    #[error("it holds a character that must stand in quotes, or a group")]
    Special,
    #[error("a comment in it holds an address")]
    Comment,
    #[error("it names more than {ADDRESSES_MAX} addresses")]
    TooMany,
}

/// All addresses of an unfolded field value; at least one.
///
/// `a@b.example <c@d.example>` is not lawful but common: both addresses are returned, because
/// readers differ in which one they show.
pub fn addresses(value: &[u8]) -> Result<Vec<Address>, MailboxError> {
    let mut reader = Reader { text: value, at: 0 };
    let mut found = Vec::with_capacity(1);
    while reader.at < value.len() {
        reader.mailbox()?.finish(&mut found)?;
        if found.len() > ADDRESSES_MAX {
            return Err(MailboxError::TooMany);
        }
    }
    if found.is_empty() { Err(MailboxError::Empty) } else { Ok(found) }
}

/// What stands between two commas.
#[derive(Default)]
struct Mailbox {
    /// Outside angle brackets and comments.
    words: Vec<u8>,
    /// The same with a space in place of each quoted string.
    unquoted: Vec<u8>,
    angle: Option<Vec<u8>>,
}

impl Mailbox {
    fn finish(self, found: &mut Vec<Address>) -> Result<(), MailboxError> {
        let Some(angle) = self.angle else {
            let words = self.words.trim_ascii();
            if !words.is_empty() {
                found.push(read(words)?);
            }
            return Ok(());
        };
        found.push(read(angle.trim_ascii())?);
        for word in self.unquoted.split(u8::is_ascii_whitespace) {
            if word.contains(&b'@') {
                found.push(read(word)?);
            }
        }
        Ok(())
    }
}

/// An encoded word is not decoded inside an address; a reader that does so would see another one.
fn read(text: &[u8]) -> Result<Address, MailboxError> {
    let text = std::str::from_utf8(text).map_err(|_| MailboxError::Address)?;
    if text.contains("=?") {
        return Err(MailboxError::Address);
    }
    Address::parse(text).map_err(|_| MailboxError::Address)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let octet = self.text.get(self.at).copied();
        self.at += 1;
        octet
    }

    /// Up to the next comma outside quotes, brackets and comments, or the end.
    fn mailbox(&mut self) -> Result<Mailbox, MailboxError> {
        let mut mailbox = Mailbox::default();
        while let Some(octet) = self.next() {
            match octet {
                b',' => break,
                b' ' | b'\t' => mailbox.push(octet),
                // It parts words: `a@victim.example(x).b.example` is not one address.
                b'(' => {
                    self.comment()?;
                    mailbox.push(b' ');
                }
                // Only white space and comments may follow the closing bracket.
                _ if mailbox.angle.is_some() => return Err(MailboxError::Special),
                b'<' => mailbox.angle = Some(self.angle()?),
                b'"' => {
                    let start = self.at - 1;
                    self.quoted()?;
                    mailbox.words.extend_from_slice(&self.text[start..self.at]);
                    mailbox.unquoted.push(b' ');
                }
                b')' | b'>' => return Err(MailboxError::Unbalanced),
                b':' | b';' | b'\\' | 0..=31 | 127 => return Err(MailboxError::Special),
                _ => mailbox.push(octet),
            }
        }
        Ok(mailbox)
    }

    /// To the closing quote; the opening one has been read.
    fn quoted(&mut self) -> Result<(), MailboxError> {
        while let Some(octet) = self.next() {
            match octet {
                b'"' => return Ok(()),
                b'\\' if self.next().is_none() => return Err(MailboxError::Unbalanced),
                0..=8 | 10..=31 | 127 => return Err(MailboxError::Special),
                _ => {}
            }
        }
        Err(MailboxError::Unbalanced)
    }

    /// What stands between the brackets; the opening one has been read.
    fn angle(&mut self) -> Result<Vec<u8>, MailboxError> {
        let start = self.at;
        while let Some(octet) = self.next() {
            match octet {
                b'>' => return Ok(self.text[start..self.at - 1].to_vec()),
                b'"' => self.quoted()?,
                b'<' => return Err(MailboxError::Unbalanced),
                _ => {}
            }
        }
        Err(MailboxError::Unbalanced)
    }

    /// To the end of the comment; its first parenthesis has been read.
    fn comment(&mut self) -> Result<(), MailboxError> {
        let mut depth = 1;
        while let Some(octet) = self.next() {
            match octet {
                b'(' if depth == COMMENT_DEPTH_MAX => return Err(MailboxError::Unbalanced),
                b'(' => depth += 1,
                b')' if depth == 1 => return Ok(()),
                b')' => depth -= 1,
                b'@' | b'<' | b'>' | b'\\' | b'"' => return Err(MailboxError::Comment),
                _ => {}
            }
        }
        Err(MailboxError::Unbalanced)
    }
}

impl Mailbox {
    fn push(&mut self, octet: u8) {
        self.words.push(octet);
        self.unquoted.push(octet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(text: &str) -> Result<Vec<String>, MailboxError> {
        addresses(text.as_bytes()).map(|all| all.iter().map(Address::to_string).collect())
    }

    #[test]
    fn what_mail_programs_write_is_read() {
        for (text, expected) in [
            ("a@b.example", vec!["a@b.example"]),
            ("<a@b.example>", vec!["a@b.example"]),
            ("Ann Lee <a@b.example>", vec!["a@b.example"]),
            ("\"Lee, Ann\" <a@b.example>", vec!["a@b.example"]),
            ("\"x@evil.example <y@evil.example>\" <a@b.example>", vec!["a@b.example"]),
            ("=?utf-8?Q?B=C3=BCcher?= <a@b.example>", vec!["a@b.example"]),
            ("[Shop] J. Q. Public <a@b.example>", vec!["a@b.example"]),
            ("a@b.example (Ann Lee)", vec!["a@b.example"]),
            ("Ann <a@b.example>, c@d.example", vec!["a@b.example", "c@d.example"]),
            ("\"a b\"@c.example", vec!["\"a b\"@c.example"]),
            ("Bücher <ü@bücher.example>", vec!["ü@xn--bcher-kva.example"]),
            ("a@b.example <c@d.example>", vec!["c@d.example", "a@b.example"]),
        ] {
            assert_eq!(read_all(text), Ok(expected.iter().map(ToString::to_string).collect()));
        }
    }

    #[test]
    fn what_readers_disagree_on_is_refused() {
        for text in [
            "",
            " , ",
            "Ann Lee",
            "Ann <>",
            "<a@b.example><c@d.example>",
            "<a@b.example> c@d.example",
            "<a@b.example",
            "a@b.example>",
            "\"a@b.example",
            "group: a@b.example;",
            "Undisclosed:;",
            "=?utf-8?q?x=40evil.example?=@b.example",
            "a@b.example (<x@evil.example>)",
            "(a@b.example) x@c.example",
            "a@victim.example(x).b.example",
            "((((((((((a))))))))))",
            "x@evil.example Ann x@ <a@b.example>",
            "\"x\"@evil.example@ <a@b.example>",
            "<@relay.example:a@b.example>",
            "a@b.example\0",
            "a@b.example\r\nBcc: x@y.example",
            "a@[127.0.0.1]",
            "Doe, John <a@b.example>",
        ] {
            assert!(read_all(text).is_err(), "{text:?}: {:?}", read_all(text));
        }
        let many = vec!["a@b.example"; ADDRESSES_MAX + 1].join(",");
        assert_eq!(read_all(&many), Err(MailboxError::TooMany));
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "[a-c@<>()\",;:\\\\ .]{0,30}") {
            let answer = addresses(text.as_bytes());
            prop_assert!(answer.is_err() || text.contains('@'));
        }
    }
}
