//! A mail as it stands on the wire: CRLF lines only, dot-stuffed after DATA, plain after BDAT.
//!
//! Owns:       RFC 5321 §4.5.2 transparency, and the last check before octets leave (A2).
//! Promises:   no bare CR or LF; one end of data, which is ours; a lawful mail without a line that
//!             starts with a dot is never copied, and nothing is added to a mail that ends a line.
//! Knows not:  sockets, commands.

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

/// Above this many stuffed lines a chunk, one copy costs less than a list of slices.
const SLICES_MAX: usize = 16;

/// The octets of a mail, made lawful.
#[derive(Clone, Debug)]
pub struct WireBody {
    pieces: Vec<Bytes>,
    length: usize,
    /// Some line starts with a dot.
    dotted: bool,
}

impl WireBody {
    /// A bare CR or bare LF becomes CRLF; a last line without its end is ended.
    pub fn new(chunks: &[Bytes]) -> WireBody {
        let found = survey(chunks);
        let mut pieces = Vec::with_capacity(chunks.len() + 2);
        let mut dotted = found.dotted;
        if found.lawful {
            pieces.extend(chunks.iter().filter(|chunk| !chunk.is_empty()).cloned());
            if !found.ends_line {
                pieces.push(Bytes::from_static(b"\r\n"));
            }
        } else {
            pieces.push(with_lawful_lines(chunks));
            dotted = survey(&pieces).dotted;
        }
        let length = pieces.iter().map(Bytes::len).sum();
        WireBody { pieces, length, dotted }
    }

    /// Octets before stuffing: what SIZE= and BDAT count.
    pub fn length(&self) -> usize {
        self.length
    }

    /// What follows `BDAT n LAST`.
    pub fn plain(&self) -> &[Bytes] {
        &self.pieces
    }

    /// What follows the 354 to DATA, the line with the dot included.
    pub fn stuffed(&self) -> Vec<Bytes> {
        let mut out = Vec::with_capacity(self.pieces.len() + 1);
        if self.dotted {
            let mut at_line_start = true;
            for piece in &self.pieces {
                stuff_piece(piece, at_line_start, &mut out);
                at_line_start = piece.last() == Some(&b'\n');
            }
        } else {
            out.extend_from_slice(&self.pieces);
        }
        out.push(Bytes::from_static(b".\r\n"));
        out
    }
}

struct Survey {
    lawful: bool,
    dotted: bool,
    ends_line: bool,
}

/// One look at each octet. The start of a mail counts as the start of a line.
fn survey(chunks: &[Bytes]) -> Survey {
    let (mut stray, mut dotted, mut last) = (false, false, b'\n');
    for chunk in chunks {
        let Some(&first) = chunk.first() else { continue };
        let seam = pairs(&[last, first]);
        let inner = pairs(chunk);
        stray |= seam.0 | inner.0;
        dotted |= seam.1 | inner.1;
        last = chunk[chunk.len() - 1];
    }
    Survey { lawful: !stray && last != b'\r', dotted, ends_line: last == b'\n' }
}

/// Whether a CR stands without its LF or an LF without its CR, and whether a dot follows an LF.
/// Without branches, so that the compiler makes vector instructions of it.
fn pairs(octets: &[u8]) -> (bool, bool) {
    let (mut stray, mut dotted) = (0u8, 0u8);
    for (a, b) in octets.iter().zip(octets.iter().skip(1)) {
        stray |= u8::from(*a == b'\r') ^ u8::from(*b == b'\n');
        dotted |= u8::from(*a == b'\n') & u8::from(*b == b'.');
    }
    (stray != 0, dotted != 0)
}

/// The rare way: one copy of everything.
fn with_lawful_lines(chunks: &[Bytes]) -> Bytes {
    let length: usize = chunks.iter().map(Bytes::len).sum();
    let mut out = BytesMut::with_capacity(length + length / 16 + 2);
    let mut last = b'\n';
    for octet in chunks.iter().flat_map(|chunk| chunk.iter().copied()) {
        match (last, octet) {
            (b'\r', b'\n') => {}
            (_, b'\r' | b'\n') => out.put_slice(b"\r\n"),
            _ => out.put_u8(octet),
        }
        last = octet;
    }
    if !matches!(last, b'\r' | b'\n') {
        out.put_slice(b"\r\n");
    }
    out.freeze()
}

/// `piece` holds CRLF lines only; `at_line_start` tells of the octet before it.
fn stuff_piece(piece: &Bytes, at_line_start: bool, out: &mut Vec<Bytes>) {
    let leading = at_line_start && piece.first() == Some(&b'.');
    let inner = || memmem::find_iter(piece, b"\n.").map(|at| at + 1);
    let dots = || leading.then_some(0).into_iter().chain(inner());
    let count = dots().take(SLICES_MAX + 1).count();
    if count <= SLICES_MAX {
        let mut from = 0;
        for at in dots() {
            if at > from {
                out.push(piece.slice(from..at));
            }
            out.push(Bytes::from_static(b"."));
            from = at;
        }
        out.push(piece.slice(from..));
        return;
    }
    let mut copy = BytesMut::with_capacity(piece.len() + piece.len() / 8);
    let mut from = 0;
    for at in dots() {
        copy.put_slice(&piece[from..at]);
        copy.put_u8(b'.');
        from = at;
    }
    copy.put_slice(&piece[from..]);
    out.push(copy.freeze());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunked(texts: &[&'static str]) -> WireBody {
        let chunks: Vec<Bytes> =
            texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
        WireBody::new(&chunks)
    }

    fn joined(pieces: &[Bytes]) -> String {
        String::from_utf8(pieces.concat()).expect("text")
    }

    #[test]
    fn dots_are_stuffed_wherever_a_line_starts_and_nothing_else_is_added() {
        for (chunks, wire) in [
            (&[][..], ".\r\n"),
            (&["A: b\r\n\r\nhello\r\n"], "A: b\r\n\r\nhello\r\n.\r\n"),
            (&["A: b\r\n.\r\n"], "A: b\r\n..\r\n.\r\n"),
            (&[".A\r\n"], "..A\r\n.\r\n"),
            (&["A\r\n", ".\r\n"], "A\r\n..\r\n.\r\n"),
            (&["A\r", "\n", "", ".", "\r\n"], "A\r\n..\r\n.\r\n"),
            (&["A\r\n..B\r\n"], "A\r\n...B\r\n.\r\n"),
            (&["A.\r\nB. .\r\n"], "A.\r\nB. .\r\n.\r\n"),
            (&["no end of line"], "no end of line\r\n.\r\n"),
        ] {
            assert_eq!(joined(&chunked(chunks).stuffed()), wire, "{chunks:?}");
        }
    }

    #[test]
    fn the_sequences_of_smuggling_reach_the_wire_as_stuffed_text() {
        for (chunks, wire) in [
            (&["a\n.\nMAIL"][..], "a\r\n..\r\nMAIL\r\n.\r\n"),
            (&["a\r.\rMAIL"], "a\r\n..\r\nMAIL\r\n.\r\n"),
            (&["a\n.\r\nMAIL"], "a\r\n..\r\nMAIL\r\n.\r\n"),
            (&["a\r\n.\rMAIL"], "a\r\n..\r\nMAIL\r\n.\r\n"),
            (&["a\r\n.\nMAIL"], "a\r\n..\r\nMAIL\r\n.\r\n"),
            (&["a\r", ".\r\nMAIL"], "a\r\n..\r\nMAIL\r\n.\r\n"),
            (&["a\r\r\n.\r\r\nMAIL"], "a\r\n\r\n..\r\n\r\nMAIL\r\n.\r\n"),
            (&["a\r"], "a\r\n.\r\n"),
            (&["\n"], "\r\n.\r\n"),
        ] {
            assert_eq!(joined(&chunked(chunks).stuffed()), wire, "{chunks:?}");
        }
    }

    #[test]
    fn a_lawful_mail_is_not_copied() {
        let chunk = Bytes::from("A: b\r\n\r\nhello\r\n".repeat(100));
        let stuffed = WireBody::new(std::slice::from_ref(&chunk)).stuffed();
        assert_eq!(stuffed[0].as_ptr(), chunk.as_ptr());
        assert_eq!(stuffed.len(), 2);
    }

    /// What a receiver does: RFC 5321 §4.5.2, on CRLF alone.
    fn received(wire: &str) -> String {
        let data = wire.strip_suffix(".\r\n").expect("the end of data");
        data.split_inclusive("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line)).collect()
    }

    proptest! {
        #[test]
        fn a_receiver_gets_the_lawful_octets_back(
            chunks in prop::collection::vec("[a.\r\n]{0,12}", 0..6),
            repeat in prop::sample::select(vec![1usize, 30]),
        ) {
            let chunks: Vec<Bytes> =
                chunks.iter().map(|text| Bytes::from(text.repeat(repeat))).collect();
            let body = WireBody::new(&chunks);
            let plain = joined(body.plain());
            let wire = joined(&body.stuffed());
            let without = plain.replace("\r\n", "");
            prop_assert!(!without.contains(['\r', '\n']));
            prop_assert_eq!(body.length(), plain.len());
            prop_assert_eq!(received(&wire), plain);
            // The end of data stands once, and last.
            prop_assert_eq!(format!("\r\n{wire}").find("\r\n.\r\n"), Some(wire.len() - 3));
        }
    }
}
