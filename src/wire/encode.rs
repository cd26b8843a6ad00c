//! Text as it travels in mail of seven bits.
//!
//! Owns:       quoted-printable (RFC 2045 §6.7), encoded words (RFC 2047), folded fields.
//! Promises:   lines of at most 76 octets, CRLF alone; the same text gives the same octets.
//! Knows not:  which field or part it is for.

use std::fmt::Write as _;

const LINE_MAX: usize = 76;
/// Of the text in one encoded word, so that it is at most 75 octets with what stands around it.
const WORD_BYTES: usize = 42;

/// The parameter that names an attached file, on a line of its own (RFC 2231 §4 where it is not
/// plain).
pub fn file_name(name: &str) -> String {
    let is_plain =
        name.bytes().all(|octet| matches!(octet, b' '..=b'~') && !b"\"\\".contains(&octet));
    if is_plain && name.len() <= 60 {
        return format!("\r\n filename=\"{name}\"");
    }
    let mut encoded = String::new();
    let mut lines = Vec::new();
    for letter in name.chars() {
        let mut octets = [0; 4];
        let part: String = letter.encode_utf8(&mut octets).bytes().map(percent).collect();
        if encoded.len() + part.len() > 50 {
            lines.push(std::mem::take(&mut encoded));
        }
        encoded.push_str(&part);
    }
    lines.push(encoded);
    let line = |(place, text): (usize, &String)| {
        let charset = if place == 0 { "utf-8''" } else { "" };
        format!("\r\n filename*{place}*={charset}{text}")
    };
    lines.iter().enumerate().map(line).collect::<Vec<_>>().join(";")
}

/// As in a URL.
pub fn percent(octet: u8) -> String {
    match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
            char::from(octet).to_string()
        }
        _ => format!("%{octet:02X}"),
    }
}

/// Text of a part, its lines ended by LF or CRLF.
pub fn quoted_printable(text: &str) -> String {
    quoted_printable_octets(text.as_bytes())
}

/// Text of whatever charset, its lines ended by LF or CRLF.
pub fn quoted_printable_octets(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() + octets.len() / 8);
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        encode_line(bare.strip_suffix(b"\r").unwrap_or(bare), &mut out);
        out.push_str("\r\n");
    }
    out
}

fn encode_line(octets: &[u8], out: &mut String) {
    let mut length = 0;
    for (at, octet) in octets.iter().enumerate() {
        let is_last = at + 1 == octets.len();
        let plain = match octet {
            b'=' => false,
            // A dot or "From " at the beginning of a line is changed by some hosts.
            b'.' | b'F' if length == 0 => false,
            b' ' | b'\t' => !is_last,
            0x21..=0x7e => true,
            _ => false,
        };
        let width = if plain { 1 } else { 3 };
        // One place is kept for the soft break.
        if length + width > LINE_MAX - usize::from(!is_last) {
            out.push_str("=\r\n");
            length = 0;
        }
        length += width;
        if plain {
            out.push(char::from(*octet));
        } else {
            put_hex(out, *octet);
        }
    }
}

fn put_hex(out: &mut String, octet: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('=');
    out.push(char::from(DIGITS[usize::from(octet >> 4)]));
    out.push(char::from(DIGITS[usize::from(octet & 15)]));
}

/// An unstructured value, such as a subject: as it is where it can be, else as encoded words.
pub fn unstructured(text: &str) -> String {
    let is_plain = text.bytes().all(|octet| matches!(octet, 0x20..=0x7e)) && !text.contains("=?");
    if is_plain { folded(text) } else { words(text) }
}

/// The words before an address: an atom, a quoted string, or encoded words.
pub fn phrase(text: &str) -> String {
    if text.contains(|c: char| !c.is_ascii() || c.is_control()) || text.contains("=?") {
        return words(text);
    }
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

/// Broken at spaces where it would be too long; the name of the field is not counted exactly.
fn folded(text: &str) -> String {
    const FIRST_MAX: usize = 60;
    let mut out = String::with_capacity(text.len() + 8);
    let (mut length, mut max) = (0, FIRST_MAX);
    for (place, word) in text.split(' ').enumerate() {
        let is_fold = place > 0 && length + word.len() + 1 > max && !word.is_empty();
        if place > 0 {
            out.push_str(if is_fold { "\r\n " } else { " " });
        }
        if is_fold {
            (length, max) = (0, LINE_MAX);
        }
        out.push_str(word);
        length += word.len() + 1;
    }
    out
}

fn words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let cut = rest.floor_char_boundary(WORD_BYTES.min(rest.len()));
        let (word, behind) = rest.split_at(cut.max(1));
        out.push_str(if out.is_empty() { "" } else { "\r\n " });
        let written = write!(out, "=?UTF-8?B?{}?=", base64(word.as_bytes()));
        debug_assert!(written.is_ok(), "a String takes all that is written");
        rest = behind;
    }
    out
}

/// Without line breaks.
pub fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(octets.len().div_ceil(3) * 4);
    for chunk in octets.chunks(3) {
        let octet = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let value = octet(0) << 16 | octet(1) << 8 | octet(2);
        for place in 0..4u32 {
            let is_padding = place as usize > chunk.len();
            let letter = LETTERS[(value >> (18 - 6 * place) & 63) as usize];
            out.push(if is_padding { '=' } else { char::from(letter) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decode;
    use proptest::prelude::*;

    #[test]
    fn a_file_is_named_in_lines_that_are_short() {
        assert_eq!(file_name("plan.pdf"), "\r\n filename=\"plan.pdf\"");
        assert_eq!(
            file_name("Preis \"ü\".pdf"),
            "\r\n filename*0*=utf-8''Preis%20%22%C3%BC%22.pdf"
        );
        let long = file_name(&"ö".repeat(40));
        assert!(long.split("\r\n").all(|line| line.len() <= 78), "{long}");
        assert!(long.contains(" filename*1*=%C3"), "{long}");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_short_lines(
            text in "[^\\x00-\\x1f]{0,300}(\n[^\\x00-\\x1f]{0,90}){0,3}",
        ) {
            let encoded = quoted_printable(&text);
            prop_assert!(encoded.split("\r\n").all(|line| line.len() <= 76 && line.is_ascii()));
            let back = decode::quoted_printable(encoded.as_bytes());
            let back = String::from_utf8(back).expect("UTF-8").replace("\r\n", "\n");
            let lines: Vec<&str> = text.lines().collect();
            prop_assert_eq!(back.lines().collect::<Vec<_>>(), lines);
        }

        #[test]
        fn any_subject_comes_back_from_its_field(
            // A byte order mark at the beginning of a word is none of its letters.
            text in "[^\\x00-\\x1f\\x7f-\\x9f\\u{feff}]{1,200}",
        ) {
            let encoded = unstructured(&text);
            let shown = encoded.replace("\r\n", "");
            if !shown.starts_with("=?") {
                prop_assert_eq!(shown, text);
            } else {
                prop_assert_eq!(decode::words(&shown).into_owned(), text);
            }
        }
    }

    #[test]
    fn names_are_quoted_or_encoded() {
        assert_eq!(phrase("Ann \"A\" Bo"), r#""Ann \"A\" Bo""#);
        assert_eq!(phrase("Jürgen"), "=?UTF-8?B?SsO8cmdlbg==?=");
        assert_eq!(base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
    }
}
