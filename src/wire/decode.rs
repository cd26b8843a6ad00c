//! What is written in another form: transfer encodings, charsets, encoded words, HTML.
//!
//! Owns:       base64 and quoted-printable as mails really carry them, RFC 2047 words, the text of
//!             an HTML part.
//! Promises:   linear time; damaged input is decoded as far as it goes and never an error; no more
//!             comes out than went in, but for the growth of a charset.
//! Knows not:  where a part begins or what its text means.

use std::borrow::Cow;

use encoding_rs::{Encoding, REPLACEMENT, WINDOWS_1252};

/// Octets that are no base64 are skipped, as RFC 2045 §6.8 asks; the end may be cut.
pub fn base64(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for octet in text {
        let value = match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                (bits, held) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    out
}

/// A `=` that begins no pair of digits stands for itself.
pub fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if text[at] != b'=' {
            out.push(text[at]);
            at += 1;
            continue;
        }
        let rest = &text[at + 1..];
        let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        match (&rest[blanks..], rest) {
            ([b'\r', b'\n', ..], _) => at += blanks + 3,
            ([b'\n', ..], _) => at += blanks + 2,
            (_, [high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                at += 3;
            }
            _ => {
                out.push(b'=');
                at += 1;
            }
        }
    }
    out
}

fn hex(digit: u8) -> u8 {
    (digit as char).to_digit(16).map_or(0, |value| value as u8)
}

/// Text of a charset; one that is unknown or wrong is read as UTF-8, else as Windows-1252.
pub fn text(octets: &[u8], charset: Option<&str>) -> String {
    read(octets, charset, |encoding, octets| {
        let (decoded, _, is_damaged) = encoding.decode(octets);
        (decoded, is_damaged)
    })
}

/// How octets are read by an encoding, and whether some could not be.
type Reading = for<'a> fn(&'static Encoding, &'a [u8]) -> (Cow<'a, str>, bool);

fn read(octets: &[u8], charset: Option<&str>, reading: Reading) -> String {
    let named = charset.and_then(|label| Encoding::for_label(label.trim().as_bytes()));
    // Labels that browsers refuse to read, such as ISO-2022-KR, become one replacement character.
    let Some(named) = named.filter(|encoding| *encoding != REPLACEMENT) else {
        return unlabelled(octets);
    };
    let (decoded, is_damaged) = reading(named, octets);
    if is_damaged { unlabelled(octets) } else { decoded.into_owned() }
}

fn unlabelled(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        // Escape sequences name ISO-2022-JP even where the label does not.
        Err(_) => WINDOWS_1252.decode_without_bom_handling(octets).0.into_owned(),
    }
}

/// RFC 2047 words of an unfolded value, white space between two of them dropped.
pub fn words(value: &str) -> Cow<'_, str> {
    if !value.contains("=?") {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    let mut is_after_word = false;
    while let Some(start) = rest.find("=?") {
        let (before, from) = rest.split_at(start);
        let Some((decoded, length)) = word(from) else {
            out.push_str(before);
            out.push_str("=?");
            rest = &from[2..];
            is_after_word = false;
            continue;
        };
        if !(is_after_word && before.trim().is_empty()) {
            out.push_str(before);
        }
        out.push_str(&decoded);
        rest = &from[length..];
        is_after_word = true;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The word at the start of `text`, decoded, and its length.
fn word(text: &str) -> Option<(String, usize)> {
    let inner = text.strip_prefix("=?")?;
    let (charset, after) = inner.split_once('?')?;
    let (encoding, after) = after.split_once('?')?;
    let end = after.find("?=")?;
    if charset.len() > 40 || encoding.len() != 1 || charset.contains(' ') {
        return None;
    }
    let octets = match encoding {
        "b" | "B" => base64(&after.as_bytes()[..end]),
        "q" | "Q" => quoted_printable(after[..end].replace('_', " ").as_bytes()),
        _ => return None,
    };
    let charset = charset.split('*').next();
    let length = 2 + charset_length(inner, after) + end + 2;
    // A word may be a later part of a value: U+FEFF at its beginning is a character of the text.
    Some((read(&octets, charset, Encoding::decode_without_bom_handling), length))
}

/// What stands in `inner` in front of `after`, which is its tail.
const fn charset_length(inner: &str, after: &str) -> usize {
    inner.len() - after.len()
}

/// The words of an HTML page, a line for each block; what scripts and styles hold is left out.
pub fn html(page: &str) -> String {
    let mut out = String::with_capacity(page.len() / 2);
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        push_unescaped(&mut out, &rest[..start]);
        let tag = &rest[start + 1..];
        let Some(end) = tag.find('>') else {
            return out;
        };
        let name: String = tag[..end]
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        rest = &tag[end + 1..];
        match name.as_str() {
            "br" | "p" | "div" | "tr" | "li" | "h1" | "h2" | "h3" | "table" | "pre" | "hr" => {
                out.push('\n');
            }
            "td" | "th" => out.push(' '),
            "script" | "style" | "head" if !tag.starts_with('/') => rest = after_close(rest, &name),
            // `<user@example.com>` written without escaping is an address, not a tag.
            _ if tag[..end].contains('@') && !tag[..end].contains(' ') => {
                out.push('<');
                out.push_str(&tag[..end]);
                out.push('>');
            }
            _ => {}
        }
    }
    push_unescaped(&mut out, rest);
    out
}

/// What follows the next `</name`, whose first place is found once for each element.
fn after_close<'a>(rest: &'a str, name: &str) -> &'a str {
    let mut from = 0;
    while let Some(found) = rest[from..].find("</") {
        let at = from + found + 2;
        if rest.as_bytes()[at..].len() >= name.len()
            && rest.as_bytes()[at..at + name.len()].eq_ignore_ascii_case(name.as_bytes())
        {
            return rest[at..].find('>').map_or("", |end| &rest[at + end + 1..]);
        }
        from = at;
    }
    ""
}

/// The longest name of an entity that is looked for.
const ENTITY_BYTES_MAX: usize = 10;

fn push_unescaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        let tail = &rest[start + 1..];
        let end = tail.bytes().take(ENTITY_BYTES_MAX).position(|b| b == b';');
        match end.and_then(|end| Some((entity(&tail[..end])?, end))) {
            Some((character, end)) => {
                out.push(character);
                rest = &tail[end + 1..];
            }
            None => {
                out.push('&');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let value = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(value);
    }
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "szlig" => 'ß',
        "eacute" => 'é',
        "egrave" => 'è',
        "agrave" => 'à',
        "ccedil" => 'ç',
        "ntilde" => 'ñ',
        "oacute" => 'ó',
        "atilde" => 'ã',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base64_is_read_with_line_ends_and_without_its_end() {
        assert_eq!(base64(b"aGVs\r\nbG8=\r\n"), b"hello");
        assert_eq!(base64(b"aGVsbG8"), b"hello");
        assert_eq!(base64(b"aGk=aGk="), b"hihi");
    }

    #[test]
    fn quoted_printable_joins_soft_lines_and_keeps_what_is_no_pair() {
        assert_eq!(quoted_printable(b"a=3Db=\r\nc= \nd=ZZ=4"), b"a=bcd=ZZ=4");
    }

    #[test]
    fn words_of_several_charsets_are_read() {
        assert_eq!(words("=?utf-8?Q?Nicht_zustellbar=3A?= x"), "Nicht zustellbar: x");
        assert_eq!(words("=?iso-8859-1?Q?=FC?= =?utf-8?b?w6Q=?="), "üä");
        assert_eq!(words("=?ISO-2022-JP?B?GyRCJUYlOSVIGyhC?="), "テスト");
        assert_eq!(words("=?utf-8?Q?a?= =?utf-8?Q?=EF=BB=BFb?="), "a\u{feff}b");
        assert_eq!(words("a =?broken b"), "a =?broken b");
    }

    #[test]
    fn wrong_labels_do_not_hide_the_text() {
        assert_eq!(text("für".as_bytes(), Some("us-ascii")), "fÃ¼r");
        assert_eq!(text("für".as_bytes(), Some("x-unknown")), "für");
        assert_eq!(text(b"user unknown", Some("iso-2022-kr")), "user unknown");
    }

    #[test]
    fn a_page_is_read_as_lines() {
        let page = "<html><head><style>p {}</style></head><p>To &lt;a@b.example&gt;:<br>full&#33;";
        assert_eq!(html(page).trim(), "To <a@b.example>:\nfull!");
        assert_eq!(html("mail to <a@b.example> failed"), "mail to <a@b.example> failed");
    }

    proptest! {
        #[test]
        fn no_input_panics(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let lossy = String::from_utf8_lossy(&octets);
            prop_assert!(base64(&octets).len() <= octets.len());
            prop_assert!(quoted_printable(&octets).len() <= octets.len());
            prop_assert!(html(&lossy).len() <= lossy.len() * 2 + 8);
            prop_assert!(words(&lossy).len() <= lossy.len() * 3);
        }

        #[test]
        fn no_encoded_word_panics(value in "(=\\?|\\?=|\\?|utf-8|q|b|=41|QQ==| |é){0,30}") {
            prop_assert!(words(&value).len() <= value.len() * 3);
        }
    }
}
