//! The body of a mail as it comes in by DATA or BDAT.
//!
//! Owns:       the end of DATA, the removal of stuffed dots, what octets a body may hold.
//! Promises:   only CR LF . CR LF ends DATA (A1); a bare CR, a bare LF or NUL is a fault of the
//!             whole mail; a split of the input at any octet changes nothing; memory stays below
//!             the size limit and one read.
//! Knows not:  replies, envelopes.
//!
//! The body is decoded where it was read: the buffer's start holds what is decoded, its end what
//! is not. Without a stuffed dot nothing is moved, and the buffer itself becomes the mail.

use std::sync::LazyLock;

use bytes::{Buf, BytesMut};
use memchr::memmem::Finder;

/// What is wrong with a body; the worst thing that was met wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum BodyFault {
    #[error("longer than the limit")]
    TooLong,
    #[error("a NUL octet")]
    Nul,
    #[error("a CR or LF that stands alone")]
    BareLineEnd,
}

/// A body that has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyEnd {
    /// Octets of the mail at the buffer's start.
    pub kept: usize,
    /// Octets at the buffer's start that belong to this body, its end mark and all.
    pub used: usize,
    /// Some octet is above 127.
    pub eight_bit: bool,
    pub fault: Option<BodyFault>,
}

/// Which octets a body holds, read once from front to back.
#[derive(Clone, Copy, Debug)]
struct Octets {
    last: u8,
    eight_bit: bool,
    fault: Option<BodyFault>,
}

impl Octets {
    /// Before the first octet stands, in effect, a line end.
    const NONE: Octets = Octets { last: b'\n', eight_bit: false, fault: None };

    /// One pass without branches, which the compiler turns into vector instructions.
    fn read(&mut self, octets: &[u8]) {
        let (Some(&first), Some(&last)) = (octets.first(), octets.last()) else { return };
        let mut bare = u8::from((self.last == b'\r') != (first == b'\n'));
        let mut nul = u8::from(first == 0);
        let mut high = first;
        for (&one, &next) in octets.iter().zip(&octets[1..]) {
            bare |= u8::from(one == b'\r') ^ u8::from(next == b'\n');
            nul |= u8::from(next == 0);
            high |= next;
        }
        self.last = last;
        self.eight_bit |= high > 127;
        if bare != 0 {
            self.blame(BodyFault::BareLineEnd);
        } else if nul != 0 {
            self.blame(BodyFault::Nul);
        }
    }

    fn blame(&mut self, fault: BodyFault) {
        self.fault = self.fault.max(Some(fault));
    }
}

static DOT_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n."));

/// DATA, from after the `354` to the final dot.
#[derive(Debug)]
pub struct DataDecoder {
    /// Decoded octets at the buffer's start.
    kept: usize,
    /// Where the octets begin that were not looked at; between `kept` and this is rubbish.
    seen: usize,
    at_line_start: bool,
    octets: Octets,
    octets_max: u64,
    /// All octets taken so far, also those thrown away after a fault.
    received: u64,
}

enum Dot {
    None,
    /// A dot at a line's start, this far into what was not looked at.
    Stuffed(usize),
    End(usize),
    /// A dot of which the next octets will tell what it is.
    Unknown(usize),
}

impl BodyEnd {
    /// Takes the mail out of the buffer without copying it; what follows its end mark stays.
    pub fn split(&self, buffer: &mut BytesMut) -> BytesMut {
        let mut mail = take_front(buffer, self.used);
        mail.truncate(self.kept);
        mail
    }
}

impl DataDecoder {
    /// `octets_max`: the longest mail, without stuffed dots.
    pub const fn new(octets_max: u64) -> DataDecoder {
        DataDecoder {
            kept: 0,
            seen: 0,
            at_line_start: true,
            octets: Octets::NONE,
            octets_max,
            received: 0,
        }
    }

    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Looks at what was added to the buffer. After a fault the body is thrown away as it comes.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Option<BodyEnd> {
        loop {
            match self.next_dot(&buffer[self.seen..]) {
                Dot::None => {
                    let whole = buffer.len() - self.seen;
                    self.take(buffer, whole - held_back(&buffer[self.seen..]));
                    self.throw_away(buffer);
                    return None;
                }
                Dot::Unknown(at) => {
                    self.take(buffer, at);
                    self.at_line_start = true;
                    self.throw_away(buffer);
                    return None;
                }
                Dot::Stuffed(at) => {
                    self.take(buffer, at);
                    self.seen += 1;
                    self.octets.last = b'.';
                    self.at_line_start = false;
                }
                Dot::End(at) => {
                    self.take(buffer, at);
                    self.throw_away(buffer);
                    return Some(self.end());
                }
            }
        }
    }

    fn next_dot(&self, raw: &[u8]) -> Dot {
        let at = if self.at_line_start && raw.first() == Some(&b'.') {
            0
        } else {
            match DOT_LINE.find(raw) {
                Some(at) => at + 2,
                None => return Dot::None,
            }
        };
        match &raw[at + 1..] {
            [b'\r', b'\n', ..] => Dot::End(at),
            [] | [b'\r'] => Dot::Unknown(at),
            _ => Dot::Stuffed(at),
        }
    }

    /// Keeps the next `count` octets.
    fn take(&mut self, buffer: &mut BytesMut, count: usize) {
        if count == 0 {
            return;
        }
        let (from, to) = (self.seen, self.seen + count);
        self.octets.read(&buffer[from..to]);
        self.received += count as u64;
        if self.octets.fault.is_none() {
            if self.kept != from {
                buffer.copy_within(from..to, self.kept);
            }
            self.kept += count;
            if self.kept as u64 > self.octets_max {
                self.octets.blame(BodyFault::TooLong);
            }
        }
        self.seen = to;
        self.at_line_start = false;
    }

    /// Of a mail that is refused anyway, nothing is kept.
    fn throw_away(&mut self, buffer: &mut BytesMut) {
        if self.octets.fault.is_some() {
            buffer.advance(self.seen);
            self.seen = 0;
            self.kept = 0;
        }
    }

    fn end(&self) -> BodyEnd {
        BodyEnd {
            kept: self.kept,
            used: self.seen + b".\r\n".len(),
            eight_bit: self.octets.eight_bit,
            fault: self.octets.fault,
        }
    }
}

/// The first `kept` octets with the buffer they lie in; what follows them (a few commands, if
/// anything) moves to a new buffer, so that the mail alone owns its memory.
fn take_front(buffer: &mut BytesMut, kept: usize) -> BytesMut {
    let rest = BytesMut::from(&buffer[kept..]);
    let mut front = std::mem::replace(buffer, rest);
    front.truncate(kept);
    front
}

/// The octets at the end that may be the first of CR LF and a dot.
fn held_back(raw: &[u8]) -> usize {
    match raw {
        [.., b'\r', b'\n'] => 2,
        [.., b'\r'] => 1,
        _ => 0,
    }
}

/// The chunks of one mail (RFC 3030), from the first BDAT to the last.
#[derive(Debug)]
pub struct ChunkDecoder {
    body: BytesMut,
    octets: Octets,
    octets_max: u64,
    /// Octets of the present chunk that were not taken from the buffer yet.
    left: u64,
    /// Of these, how many at the buffer's start were looked at.
    looked: usize,
    received: u64,
}

impl ChunkDecoder {
    pub fn new(octets_max: u64) -> ChunkDecoder {
        ChunkDecoder {
            body: BytesMut::new(),
            octets: Octets::NONE,
            octets_max,
            left: 0,
            looked: 0,
            received: 0,
        }
    }

    /// All octets so far, of this chunk and those before.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// How many of the present chunk have not come yet.
    pub const fn missing(&self) -> u64 {
        self.left.saturating_sub(self.looked as u64)
    }

    pub const fn fault(&self) -> Option<BodyFault> {
        self.octets.fault
    }

    /// A chunk of this many octets follows.
    pub fn start(&mut self, octets: u64) {
        self.left = octets;
        if self.received.saturating_add(octets) > self.octets_max {
            self.octets.blame(BodyFault::TooLong);
        }
    }

    /// Takes the present chunk's octets from the buffer; true once it is complete. A first chunk
    /// stays in the buffer until it is whole, and then the buffer becomes the mail.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> bool {
        let count = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.octets.read(&buffer[self.looked..count]);
        self.received += (count - self.looked) as u64;
        self.looked = count;
        let whole = count as u64 == self.left;
        if self.octets.fault.is_some() {
            self.body = BytesMut::new();
            buffer.advance(count);
        } else if !self.body.is_empty() {
            self.body.extend_from_slice(&buffer[..count]);
            buffer.advance(count);
        } else if whole {
            self.body = take_front(buffer, count);
        } else {
            return false;
        }
        self.left -= count as u64;
        self.looked = 0;
        whole
    }

    /// After the last chunk. A body that does not end in a line end gets one, since on the way out
    /// every mail does (RFC 5321 §4.1.1.4), and signatures count it in (RFC 6376 §3.4.3).
    pub fn finish(mut self) -> (BytesMut, BodyEnd) {
        if self.octets.last == b'\r' {
            self.octets.blame(BodyFault::BareLineEnd);
        }
        if self.octets.fault.is_some() {
            self.body = BytesMut::new();
        } else if self.octets.last != b'\n' {
            self.body.extend_from_slice(b"\r\n");
        }
        let kept = self.body.len();
        let Octets { eight_bit, fault, .. } = self.octets;
        (self.body, BodyEnd { kept, used: kept, eight_bit, fault })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OCTETS_MAX: u64 = 1000;

    #[derive(Debug, PartialEq)]
    struct Seen {
        mail: Option<Vec<u8>>,
        fault: Option<BodyFault>,
        rest: Vec<u8>,
    }

    /// What comes of `wire`, fed in pieces of these sizes.
    fn decode(wire: &[u8], pieces: &[usize], octets_max: u64) -> Option<Seen> {
        let mut decoder = DataDecoder::new(octets_max);
        let mut buffer = BytesMut::new();
        let mut pieces = pieces.iter().copied().cycle();
        let mut wire = wire;
        while !wire.is_empty() {
            let size = pieces.next().unwrap_or(1).clamp(1, wire.len());
            buffer.extend_from_slice(&wire[..size]);
            wire = &wire[size..];
            if let Some(end) = decoder.decode(&mut buffer) {
                let body = end.split(&mut buffer).to_vec();
                let rest = [&buffer, wire].concat();
                let mail = end.fault.is_none().then_some(body);
                return Some(Seen { mail, fault: end.fault, rest });
            }
            assert!(buffer.len() as u64 <= octets_max + 100);
        }
        None
    }

    /// The slow model: an octet at a time over the whole text.
    fn model(wire: &[u8], octets_max: u64) -> Option<Seen> {
        let mut start = 0;
        let mut mail = Vec::new();
        let mut raw = Vec::new();
        let rest = loop {
            let length = wire[start..].windows(2).position(|pair| pair == b"\r\n")? + 2;
            let line = &wire[start..start + length];
            start += length;
            if line == b".\r\n" {
                break wire[start..].to_vec();
            }
            raw.extend_from_slice(line);
            mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        };
        let bare = |at: usize| match raw[at] {
            b'\r' => raw.get(at + 1) != Some(&b'\n'),
            b'\n' => at == 0 || raw[at - 1] != b'\r',
            _ => false,
        };
        let fault = if (0..raw.len()).any(bare) {
            Some(BodyFault::BareLineEnd)
        } else if raw.contains(&0) {
            Some(BodyFault::Nul)
        } else {
            (mail.len() as u64 > octets_max).then_some(BodyFault::TooLong)
        };
        Some(Seen { mail: fault.is_none().then_some(mail), fault, rest })
    }

    #[test]
    fn a_plain_body_is_not_moved() {
        let mut buffer = BytesMut::from(&b"a: b\r\n\r\nhello\r\n.\r\nQUIT\r\n"[..]);
        let before = buffer.as_ptr();
        let end = DataDecoder::new(99).decode(&mut buffer).expect("an end");
        assert_eq!(&buffer[..end.kept], b"a: b\r\n\r\nhello\r\n");
        assert_eq!(&buffer[end.used..], b"QUIT\r\n");
        assert_eq!(buffer.as_ptr(), before);
    }

    #[test]
    fn nothing_but_crlf_dot_crlf_ends_a_mail() {
        for end in [
            "\n.\n",
            "\n.\r\n",
            "\r\n.\n",
            "\r.\r",
            "\r.\r\n",
            "\r\n.\r",
            "\n.\r",
            "\r.\n",
            "\r\n.\r\r\n",
            "\r\n.\0\r\n",
            "\r\n\0.\r\n",
            "\r\r\n.\r\r\n",
            "\r\n.\n\r\n",
            "\n\r\n.\n\r\n.",
            "\r\n. \r\n",
            "\r\n..\r\n",
            "\n.\n\r\n",
            "\r\n.\r.\r\n",
        ] {
            let wire = format!("one{end}MAIL FROM:<a@b.example>\r\n.\r\nrest");
            let seen = decode(wire.as_bytes(), &[4096], OCTETS_MAX).expect("an end");
            assert_eq!(seen.rest, b"rest", "{end:?}");
            let harmless = matches!(end, "\r\n. \r\n" | "\r\n..\r\n");
            assert_eq!(seen.fault.is_none(), harmless, "{end:?}");
        }
    }

    #[test]
    fn one_chunk_becomes_the_mail_without_a_copy() {
        let mut buffer = BytesMut::from(&b"hello\r\nQUIT\r\n"[..]);
        let before = buffer.as_ptr();
        let mut decoder = ChunkDecoder::new(99);
        decoder.start(7);
        assert!(decoder.decode(&mut buffer));
        let (body, end) = decoder.finish();
        assert_eq!((&body[..], end.fault), (&b"hello\r\n"[..], None));
        assert_eq!(body.as_ptr(), before);
        assert_eq!(&buffer[..], b"QUIT\r\n");
    }

    #[test]
    fn an_empty_mail_and_a_first_dot_are_understood() {
        let seen = decode(b".\r\n", &[1], OCTETS_MAX).expect("an end");
        assert_eq!(seen.mail.as_deref(), Some(&b""[..]));
        let seen = decode(b"..a\r\n...\r\n.\r\n", &[1], OCTETS_MAX).expect("an end");
        assert_eq!(seen.mail.as_deref(), Some(&b".a\r\n..\r\n"[..]));
    }

    #[test]
    fn chunks_join_to_one_mail_and_faults_reach_over_their_seams() {
        let chunked = |chunks: &[&[u8]]| {
            let mut decoder = ChunkDecoder::new(OCTETS_MAX);
            for chunk in chunks {
                let mut buffer = BytesMut::from(*chunk);
                decoder.start(chunk.len() as u64);
                assert!(decoder.decode(&mut buffer));
                assert!(buffer.is_empty());
            }
            let (body, end) = decoder.finish();
            (body.to_vec(), end.fault)
        };
        assert_eq!(chunked(&[b"a\r", b"\nb\r\n"]), (b"a\r\nb\r\n".to_vec(), None));
        assert_eq!(chunked(&[b"a"]), (b"a\r\n".to_vec(), None));
        assert_eq!(chunked(&[b""]), (b"".to_vec(), None));
        assert_eq!(chunked(&[b"a\r", b"b"]).1, Some(BodyFault::BareLineEnd));
        assert_eq!(chunked(&[b"a\r"]).1, Some(BodyFault::BareLineEnd));
        assert_eq!(chunked(&[b"a\n"]).1, Some(BodyFault::BareLineEnd));
        assert_eq!(chunked(&[&[b'x'; 600], &[b'x'; 600]]).1, Some(BodyFault::TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
        #[test]
        fn chunks_in_any_pieces_give_the_same_mail(
            text in "[ab\r\n]{0,20}",
            cut in 0usize..20,
            piece in 1usize..9,
        ) {
            let cut = cut.min(text.len());
            let mut decoder = ChunkDecoder::new(15);
            for chunk in [&text[..cut], &text[cut..]] {
                decoder.start(chunk.len() as u64);
                let mut buffer = BytesMut::new();
                let mut done = chunk.is_empty() && decoder.decode(&mut buffer);
                for part in chunk.as_bytes().chunks(piece) {
                    prop_assert!(!done);
                    buffer.extend_from_slice(part);
                    done = decoder.decode(&mut buffer);
                }
                prop_assert!(done && buffer.is_empty());
            }
            let ended = text.is_empty() || text.ends_with('\n');
            let whole = text.clone() + if ended { "" } else { "\r\n" };
            let bare = text.replace("\r\n", "").contains(['\r', '\n']);
            let (body, end) = decoder.finish();
            let fits = text.len() <= 15;
            prop_assert_eq!(end.fault.is_none(), !bare && fits);
            if end.fault.is_none() {
                prop_assert_eq!(&body[..], whole.as_bytes());
            }
        }

        #[test]
        fn any_split_gives_what_the_slow_model_gives(
            tokens in proptest::collection::vec(
                prop_oneof![
                    4 => Just("\r\n"), 4 => Just("."), 3 => Just("a"), 1 => Just("\r"),
                    1 => Just("\n"), 1 => Just("ü"), 1 => Just("\0"), 1 => Just("\r\n.\r\n"),
                    1 => Just("\r\n.."),
                ],
                0..30,
            ),
            pieces in proptest::collection::vec(1usize..9, 1..5),
            octets_max in 4u64..40,
        ) {
            let mut wire = tokens.concat().into_bytes();
            wire.extend_from_slice(b"\r\n.\r\n");
            prop_assert_eq!(decode(&wire, &pieces, octets_max), model(&wire, octets_max));
            prop_assert_eq!(decode(&wire, &[4096], octets_max), model(&wire, octets_max));
        }
    }
}
