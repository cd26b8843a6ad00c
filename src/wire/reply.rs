//! Replies of a remote host, read as they come in.
//!
//! Owns:       the buffer between socket and reply, and the grammar of RFC 5321 §4.2.
//! Promises:   the same replies however the octets are cut; bounded memory whatever comes; all
//!             lines of a reply carry one code; text without control characters.
//! Knows not:  sockets, which command a reply answers.

use crate::model::Reply;
use crate::model::limits::{REPLY_LINE_BYTES_MAX, REPLY_LINES_MAX, REPLY_TEXT_BYTES_MAX};

/// Room made for one read.
const READ_BYTES: usize = 1024;
/// Text kept of one reply, all lines together; a long EHLO answer fits.
const TEXT_BYTES_MAX: usize = 8192;
/// Octets that may wait here unread while we still write.
const UNREAD_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    #[error("a reply line of more than {REPLY_LINE_BYTES_MAX} octets")]
    LineTooLong,
    #[error("a reply of more than {REPLY_LINES_MAX} lines")]
    TooManyLines,
    #[error("the lines of one reply carry the codes {0} and {1}")]
    CodesDiffer(u16, u16),
    #[error("not an SMTP reply: {0}")]
    NoCode(String),
}

/// Octets go in by `space`, replies come out by `next_reply`.
#[derive(Debug, Default)]
pub struct ReplyReader {
    octets: Vec<u8>,
    /// Where the first line that was not yet read starts.
    start: usize,
    /// Octets after `start` that hold no end of line.
    scanned: usize,
    code: u16,
    lines: Vec<String>,
    line_count: usize,
    text_bytes: usize,
}

impl ReplyReader {
    /// Where the next octets from the host belong: room for them after what is there.
    pub fn space(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.octets.drain(..self.start);
            self.start = 0;
        }
        self.octets.reserve(READ_BYTES);
        &mut self.octets
    }

    /// Whether more octets may be taken in before some are read.
    pub fn has_space(&self) -> bool {
        self.octets.len() - self.start < UNREAD_BYTES_MAX
    }

    /// Nothing came that was not asked for.
    pub fn is_empty(&self) -> bool {
        self.start == self.octets.len() && self.line_count == 0
    }

    /// A whole reply, or None until more octets have come. After an error there is no way on.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        loop {
            let unread = &self.octets[self.start..];
            let Some(found) = memchr::memchr(b'\n', &unread[self.scanned..]) else {
                self.scanned = unread.len();
                let too_long = self.scanned > REPLY_LINE_BYTES_MAX;
                return if too_long { Err(ReplyError::LineTooLong) } else { Ok(None) };
            };
            let end = self.scanned + found;
            if end > REPLY_LINE_BYTES_MAX {
                return Err(ReplyError::LineTooLong);
            }
            let line = Line::read(&unread[..end])?;
            let (code, is_last) = (line.code, line.is_last);
            if self.line_count > 0 && code != self.code {
                return Err(ReplyError::CodesDiffer(self.code, code));
            }
            let text = clean(line.text, TEXT_BYTES_MAX - self.text_bytes);
            self.start += end + 1;
            self.scanned = 0;
            self.take_line(code, text)?;
            if is_last {
                return Ok(Some(self.finish()));
            }
        }
    }

    fn take_line(&mut self, code: u16, text: String) -> Result<(), ReplyError> {
        self.code = code;
        self.line_count += 1;
        if self.line_count > REPLY_LINES_MAX {
            return Err(ReplyError::TooManyLines);
        }
        self.text_bytes += text.len();
        self.lines.push(text);
        Ok(())
    }

    fn finish(&mut self) -> Reply {
        if self.start == self.octets.len() {
            self.octets.clear();
            self.start = 0;
        }
        self.line_count = 0;
        self.text_bytes = 0;
        Reply { code: self.code, lines: std::mem::take(&mut self.lines) }
    }
}

struct Line<'a> {
    code: u16,
    is_last: bool,
    text: &'a [u8],
}

impl Line<'_> {
    /// `line` without its LF. A lone LF as the end is tolerated, as real hosts send it.
    fn read(line: &[u8]) -> Result<Line<'_>, ReplyError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let refused = || ReplyError::NoCode(clean(line, 80));
        let (digits, rest) = line.split_at_checked(3).ok_or_else(refused)?;
        if !matches!(digits, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
            return Err(refused());
        }
        let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        match rest {
            [] => Ok(Line { code, is_last: true, text: rest }),
            [b' ', text @ ..] => Ok(Line { code, is_last: true, text }),
            [b'-', text @ ..] => Ok(Line { code, is_last: false, text }),
            _ => Err(refused()),
        }
    }
}

/// Text that is harmless in a terminal, a log and a page: without control characters and without
/// characters that turn the direction of what follows. At most `bytes_max` octets.
fn clean(octets: &[u8], bytes_max: usize) -> String {
    if octets.len() <= bytes_max && octets.iter().all(|octet| matches!(octet, 0x20..=0x7e)) {
        return octets.iter().map(|octet| char::from(*octet)).collect();
    }
    let mut text = String::new();
    for c in String::from_utf8_lossy(octets).chars() {
        let c = match c {
            '\t' => ' ',
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                '\u{fffd}'
            }
            c if c.is_control() => '\u{fffd}',
            c => c,
        };
        if text.len() + c.len_utf8() > bytes_max {
            break;
        }
        text.push(c);
    }
    text
}

/// The reply as it is kept and shown: at most `REPLY_TEXT_BYTES_MAX` octets of text.
pub fn clipped(mut reply: Reply) -> Reply {
    let mut left = REPLY_TEXT_BYTES_MAX;
    let mut keep = 0;
    for line in &mut reply.lines {
        let end = line.floor_char_boundary(left);
        line.truncate(end);
        left -= end;
        keep += 1;
        if left == 0 {
            break;
        }
    }
    reply.lines.truncate(keep);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(parts: &[&[u8]]) -> Result<Vec<Reply>, ReplyError> {
        let mut reader = ReplyReader::default();
        let mut replies = Vec::new();
        for part in parts {
            reader.space().extend_from_slice(part);
            while let Some(reply) = reader.next_reply()? {
                replies.push(reply);
            }
        }
        Ok(replies)
    }

    fn read_one(octets: &[u8]) -> Result<Reply, ReplyError> {
        read_all(&[octets]).map(|mut replies| replies.pop().expect("a reply"))
    }

    #[test]
    fn lines_keep_their_text_and_enhanced_codes_stay_in_it() {
        let reply = read_one(b"550-5.7.511 Access denied\r\n550 5.7.511 see\thttp://x\r\n");
        let reply = reply.expect("a reply");
        assert_eq!(reply.code, 550);
        assert_eq!(reply.lines, ["5.7.511 Access denied", "5.7.511 see http://x"]);
    }

    #[test]
    fn a_bare_code_and_a_bare_line_feed_are_tolerated() {
        assert_eq!(read_one(b"250\r\n"), Ok(Reply::new(250, "")));
        assert_eq!(read_one(b"250 ok\n"), Ok(Reply::new(250, "ok")));
    }

    #[test]
    fn rubbish_is_an_error_and_not_a_reply() {
        for octets in
            [&b"hello\r\n"[..], b"\r\n", b"25\r\n", b"1x0 a\r\n", b"250x\r\n", b"999 a\r\n"]
        {
            assert!(matches!(read_one(octets), Err(ReplyError::NoCode(_))), "{octets:?}");
        }
        let differ = read_one(b"250-a\r\n550 b\r\n");
        assert_eq!(differ, Err(ReplyError::CodesDiffer(250, 550)));
        assert_eq!(read_one(&[b'2'; 9000]), Err(ReplyError::LineTooLong));
        let endless = b"250-more\r\n".repeat(200);
        assert_eq!(read_one(&endless), Err(ReplyError::TooManyLines));
    }

    #[test]
    fn escape_sequences_and_turned_text_do_not_reach_a_terminal() {
        let reply = read_one("550 \x1b[2J\u{7}\u{202e}boo <b>\r\n".as_bytes()).expect("a reply");
        assert_eq!(reply.lines, ["\u{fffd}[2J\u{fffd}\u{fffd}boo <b>"]);
    }

    #[test]
    fn a_long_text_is_clipped_when_kept() {
        let long = format!("550-{}\r\n550 {}\r\n", "ü".repeat(400), "x".repeat(4000));
        let reply = clipped(read_one(long.as_bytes()).expect("a reply"));
        assert_eq!(reply.lines.iter().map(String::len).sum::<usize>(), REPLY_TEXT_BYTES_MAX);
        assert_eq!(reply.lines[0].len(), 800);
    }

    #[test]
    fn what_was_not_asked_for_is_noticed() {
        let mut reader = ReplyReader::default();
        reader.space().extend_from_slice(b"220 go\r\n250 fake\r\n");
        assert_eq!(reader.next_reply(), Ok(Some(Reply::new(220, "go"))));
        assert!(!reader.is_empty());
    }

    proptest! {
        #[test]
        fn replies_do_not_depend_on_how_octets_are_cut(
            texts in prop::collection::vec("[ -~]{0,20}", 1..8),
            cut in 1usize..9,
        ) {
            let mut wire = Vec::new();
            for (number, text) in texts.iter().enumerate() {
                let separator = if number % 3 == 1 { '-' } else { ' ' };
                let code = if number % 3 == 2 { 250 } else { 200 + number / 3 * 50 + 50 };
                let code = if number % 3 == 1 { 250 } else { code.min(599) };
                wire.extend_from_slice(format!("{code}{separator}{text}\r\n").as_bytes());
            }
            let whole = read_all(&[&wire]);
            let parts: Vec<&[u8]> = wire.chunks(cut).collect();
            prop_assert_eq!(read_all(&parts), whole);
        }

        #[test]
        fn no_octets_make_the_reader_panic_or_grow(
            octets in prop::collection::vec(any::<u8>(), 0..4000),
        ) {
            let mut reader = ReplyReader::default();
            reader.space().extend_from_slice(&octets);
            while let Ok(Some(_)) = reader.next_reply() {}
        }
    }
}
