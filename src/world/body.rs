//! How a simulated host takes a mail's octets off the wire.
//!
//! Owns:       the end of DATA, dot-unstuffing, and what is unlawful inside.
//! Promises:   only CRLF.CRLF ends a mail; a mail that is too big is read to its end and dropped.
//! Knows not:  envelopes and answers.

use std::io;

use bytes::{Buf, Bytes, BytesMut};

use super::stream::Stream;

/// What is read of a mail when SIZE is not announced.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// The end of a mail but for its first CRLF, which ends the mail's last line.
const END: &[u8] = b"\r\n.\r\n";

pub(super) enum Ending {
    /// Dots unstuffed.
    Whole(Bytes),
    TooBig,
    /// A CR or LF stands alone.
    Bare,
    /// A line starts with one dot and goes on (RFC 5321 §4.5.2 wants it doubled).
    SingleDot,
    /// The client went away.
    Closed,
}

/// Reads to the dot that stands alone.
pub(super) async fn read(stream: &mut Stream, size_max: Option<u64>) -> io::Result<Ending> {
    let most = size_max.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX) as usize;
    let mut dropped = false;
    let mut searched = 0usize;
    loop {
        if !dropped && stream.input.starts_with(&END[2..]) {
            stream.input.advance(3);
            return Ok(Ending::Whole(Bytes::new()));
        }
        let from = searched.saturating_sub(END.len() - 1);
        if let Some(at) = memchr::memmem::find(&stream.input[from..], END) {
            let body = stream.input.split_to(from + at + 2);
            stream.input.advance(3);
            return Ok(if dropped || body.len() > most { Ending::TooBig } else { judge(body) });
        }
        searched = stream.input.len();
        // Stuffing at most doubles a mail; beyond that it is read for its end alone.
        if searched > most.saturating_mul(2) + END.len() {
            stream.input.advance(searched - (END.len() - 1));
            searched = END.len() - 1;
            dropped = true;
        }
        if !stream.fill().await? {
            return Ok(Ending::Closed);
        }
    }
}

/// Exactly `length` octets; None when the client goes away before.
pub(super) async fn take(stream: &mut Stream, length: usize) -> io::Result<Option<Bytes>> {
    while stream.input.len() < length {
        if !stream.fill().await? {
            return Ok(None);
        }
    }
    Ok(Some(stream.input.split_to(length).freeze()))
}

fn judge(body: BytesMut) -> Ending {
    if has_bare_end(&body) {
        return Ending::Bare;
    }
    let is_stuffed = body.starts_with(b".") || memchr::memmem::find(&body, b"\r\n.").is_some();
    if !is_stuffed {
        return Ending::Whole(body.freeze());
    }
    let mut plain = BytesMut::with_capacity(body.len());
    let mut rest = &body[..];
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        let line = match line {
            [b'.', b'.', ..] => &line[1..],
            [b'.', ..] => return Ending::SingleDot,
            _ => line,
        };
        plain.extend_from_slice(line);
        rest = after;
    }
    Ending::Whole(plain.freeze())
}

/// Some CR is not followed by LF, or some LF does not follow CR.
pub(super) fn has_bare_end(body: &[u8]) -> bool {
    memchr::memchr2_iter(b'\r', b'\n', body).any(|at| match body[at] {
        b'\r' => body.get(at + 1) != Some(&b'\n'),
        _ => at == 0 || body[at - 1] != b'\r',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_ends_are_seen_wherever_they_stand() {
        for body in ["\n", "\r", "a\nb\r\n", "a\rb\r\n", "a\r\n\r", "\r\r\n", "a\r\n\n"] {
            assert!(has_bare_end(body.as_bytes()), "{body:?}");
        }
        assert!(!has_bare_end(b"") && !has_bare_end(b"a\r\n\r\nb\r\n"));
    }

    #[test]
    fn one_dot_is_taken_off_each_stuffed_line() {
        let body = BytesMut::from(&b"..\r\n...a\r\nb.\r\n..c\r\n"[..]);
        assert!(matches!(judge(body), Ending::Whole(plain) if plain == ".\r\n..a\r\nb.\r\n.c\r\n"));
        let body = BytesMut::from(&b"a\r\n.b\r\n"[..]);
        assert!(matches!(judge(body), Ending::SingleDot));
    }
}
