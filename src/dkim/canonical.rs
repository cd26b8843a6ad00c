//! The relaxed canonical form (RFC 6376 §3.4.2, §3.4.4).
//!
//! Owns:       what is hashed of a header field and of a body.
//! Promises:   one pass without a copy of the body; lines of white space alone at a body's end do
//!             not count, as §3.4.4 wants it and some signers get wrong.
//! Knows not:  keys, signatures.

use aws_lc_rs::digest::{Context, Digest, SHA256};

use crate::wire::header::Field;

/// `name:value` with the name in lower case, unfolded, white space reduced, and a line end.
pub fn relaxed_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let start = out.len();
    let mut gap = false;
    for octet in value {
        match octet {
            b'\r' | b'\n' => {}
            b' ' | b'\t' => gap = true,
            _ => {
                if gap && out.len() > start {
                    out.push(b' ');
                }
                gap = false;
                out.push(*octet);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The same for a field of a mail.
pub fn relaxed(field: &Field<'_>, out: &mut Vec<u8>) {
    relaxed_field(field.name, field.value, out);
}

/// SHA-256 over the relaxed form of a body of CRLF lines.
pub fn body_hash(body: &[u8]) -> Digest {
    let mut sink = Sink { context: Context::new(&SHA256), pending: [0; PENDING], used: 0 };
    write_relaxed(body, |piece| sink.write(piece));
    sink.finish()
}

/// Hands the relaxed form to `write` in pieces that are mostly slices of the body itself.
fn write_relaxed(body: &[u8], mut write: impl FnMut(&[u8])) {
    let text = without_blank_end(body);
    let mut done = 0;
    loop {
        let gap = next_gap(text, done);
        write(&text[done..gap]);
        if gap == text.len() {
            break;
        }
        let rest = &text[gap..];
        let width = rest.iter().position(|b| !is_white(*b)).unwrap_or(rest.len());
        done = gap + width;
        if !text[done..].starts_with(b"\r\n") {
            write(b" ");
        }
    }
    if !text.is_empty() {
        write(b"\r\n");
    }
}

const fn is_white(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// The body up to its last character that is neither white space nor line end.
fn without_blank_end(body: &[u8]) -> &[u8] {
    let mut text = body;
    loop {
        text = match text {
            [head @ .., b' ' | b'\t'] | [head @ .., b'\r', b'\n'] => head,
            _ => return text,
        };
    }
}

/// So many octets are looked at together; the compiler makes vector instructions of the loop.
const BLOCK: usize = 16;

/// The next place from `from` on where the relaxed form differs from the text: a tab, or a space
/// followed by white space or a line end. The length of the text when there is none.
fn next_gap(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let (Some(here), Some(next)) = (
        text.get(at..).and_then(<[u8]>::first_chunk),
        text.get(at + 1..).and_then(|t| t.first_chunk()),
    ) {
        if any_gap(here, next) {
            break;
        }
        at += BLOCK;
    }
    let tail = &text[at.min(text.len())..];
    (0..tail.len())
        .find(|i| is_gap(tail[*i], tail.get(i + 1).copied().unwrap_or(0)) != 0)
        .map_or(text.len(), |found| at + found)
}

fn any_gap(here: &[u8; BLOCK], next: &[u8; BLOCK]) -> bool {
    let mut found = 0;
    for (one, two) in here.iter().zip(next) {
        found |= is_gap(*one, *two);
    }
    found != 0
}

/// Without branches, for the loop above.
#[inline(always)]
const fn is_gap(one: u8, two: u8) -> u8 {
    let white = (two == b' ') as u8 | (two == b'\t') as u8 | (two == b'\r') as u8;
    (one == b'\t') as u8 | ((one == b' ') as u8 & white)
}

const PENDING: usize = 2048;
/// Pieces from this size on go to the digest directly; smaller ones are gathered, since each
/// update costs some 30 ns whatever its size.
const DIRECT: usize = 512;

struct Sink {
    context: Context,
    pending: [u8; PENDING],
    used: usize,
}

impl Sink {
    fn write(&mut self, piece: &[u8]) {
        if self.used + piece.len() > PENDING || piece.len() >= DIRECT {
            self.context.update(&self.pending[..self.used]);
            self.used = 0;
        }
        if piece.len() >= DIRECT {
            self.context.update(piece);
            return;
        }
        self.pending[self.used..self.used + piece.len()].copy_from_slice(piece);
        self.used += piece.len();
    }

    fn finish(mut self) -> Digest {
        self.context.update(&self.pending[..self.used]);
        self.context.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn canonical(body: &str) -> String {
        let mut out = Vec::new();
        write_relaxed(body.as_bytes(), |piece| out.extend_from_slice(piece));
        String::from_utf8(out).expect("text")
    }

    fn canonical_field(name: &str, value: &str) -> String {
        let mut out = Vec::new();
        relaxed_field(name.as_bytes(), value.as_bytes(), &mut out);
        String::from_utf8(out).expect("text")
    }

    /// RFC 6376 §3.4.4 word for word, line by line; slow and plain.
    fn reference(body: &str) -> String {
        let mut lines: Vec<String> = Vec::new();
        for line in body.split("\r\n") {
            let mut reduced = String::new();
            for c in line.chars() {
                if matches!(c, ' ' | '\t') {
                    if !reduced.ends_with(' ') {
                        reduced.push(' ');
                    }
                } else {
                    reduced.push(c);
                }
            }
            lines.push(reduced.trim_end_matches(' ').to_owned());
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect()
    }

    #[test]
    fn the_examples_of_rfc_6376_come_out_as_printed_there() {
        assert_eq!(canonical_field("A", " X\r\n"), "a:X\r\n");
        assert_eq!(canonical_field("B ", " Y\t\r\n\tZ  \r\n"), "b:Y Z\r\n");
        assert_eq!(canonical(" C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n");
    }

    #[test]
    fn the_body_hash_of_rfc_8463_comes_out() {
        let body = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
        let hash = STANDARD.encode(body_hash(body));
        assert_eq!(hash, "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    }

    #[test]
    fn an_empty_body_hashes_as_nothing() {
        let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        for body in ["", "\r\n", "\r\n\r\n", " \r\n", "\t \r\n \r\n\r\n", "  "] {
            assert_eq!(STANDARD.encode(body_hash(body.as_bytes())), empty, "{body:?}");
        }
    }

    #[test]
    fn white_space_lines_at_the_end_do_not_count() {
        for body in ["Hello", "Hello\r\n", "Hello\r\n \r\n", "Hello \t\r\n\t\r\n\r\n", "Hello  "] {
            assert_eq!(canonical(body), "Hello\r\n", "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_way_equals_the_plain_one(body in "([ax \t]|\r\n|[a-z]{20,40}){0,60}") {
            prop_assert_eq!(canonical(&body), reference(&body));
            let mut context = Context::new(&SHA256);
            context.update(reference(&body).as_bytes());
            let (one, two) = (body_hash(body.as_bytes()), context.finish());
            prop_assert_eq!(one.as_ref(), two.as_ref());
        }
    }
}
