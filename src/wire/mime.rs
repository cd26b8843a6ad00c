//! The parts of a mail, for reading and never for rewriting.
//!
//! Owns:       where parts begin and end (RFC 2046), their fields and decoded contents.
//! Promises:   any input costs bounded time and memory: depth, parts, fields and text have maxima,
//!             and what lies beyond them is left out and told by `is_cut`. Nothing is refused.
//! Knows not:  what a part means; who asks.

use std::borrow::Cow;

use memchr::memchr;

use super::decode;

/// Multiparts within multiparts; what is deeper is one opaque part.
const DEPTH_MAX: usize = 20;
/// Reliability A14: real mails have some tens.
const PARTS_MAX: usize = 1000;
/// Fields of one header section.
const FIELDS_MAX: usize = 1000;
/// Octets of one header section that are looked at.
const HEADER_BYTES_MAX: usize = 256 * 1024;
/// Decoded octets of one part.
const CONTENT_BYTES_MAX: usize = 1024 * 1024;

/// A header section read leniently: unfolded, encoded words decoded.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The fields at the top of `text`, and where what follows them begins. Lines that are no
    /// field are skipped up to the first empty line, as old gateways wrote such.
    pub fn read(text: &[u8]) -> (Fields, usize) {
        let window = &text[..text.len().min(HEADER_BYTES_MAX)];
        let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
        let mut at = 0;
        while at < window.len() {
            let end = memchr(b'\n', &window[at..]).map_or(window.len(), |found| at + found + 1);
            let line = window[at..end].trim_ascii_end();
            if fields.is_empty() && !may_begin_header(line) {
                break;
            }
            at = end;
            if line.is_empty() {
                break;
            }
            let is_folded = matches!(line[0], b' ' | b'\t');
            if let Some((_, value)) = fields.last_mut().filter(|_| is_folded) {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii_start());
            } else if fields.len() < FIELDS_MAX {
                fields.extend(field(line));
            }
        }
        let decoded = fields.into_iter().map(|(name, value)| {
            let value = decode::text(&value, Some("utf-8"));
            (name, decode::words(&value).into_owned())
        });
        (Fields(decoded.collect()), at)
    }

    /// The first field of this name (in lower case).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The media type in lower case, `text/plain` where none is given.
    fn media(&self) -> String {
        let value = self.get("content-type").unwrap_or("text/plain");
        let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media.contains('/') { media } else { "text/plain".to_owned() }
    }
}

/// A field, the end of a section, or the line that mailbox files put in front of a mail. A part
/// that begins otherwise has lost the empty line that should stand before its text.
fn may_begin_header(line: &[u8]) -> bool {
    let is_mailbox_line = line.starts_with(b"From ") || line.starts_with(b">From ");
    line.is_empty() || is_mailbox_line || field(line).is_some()
}

/// A line as a field; its name in lower case.
fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    if name.is_empty() || !name.iter().all(|b| matches!(b, 33..=126)) {
        return None;
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    Some((name, line[colon + 1..].trim_ascii().to_vec()))
}

/// A parameter of a structured field, without its quotes.
pub fn parameter(value: &str, name: &str) -> Option<String> {
    parameters(value).skip(1).find_map(|parameter| {
        let (own, value) = parameter.split_once('=')?;
        let own = own.trim().trim_end_matches("*0").trim_end_matches('*');
        own.eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// What stands between semicolons outside quotes.
fn parameters(value: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    value.split(move |c| {
        is_quoted ^= c == '"';
        c == ';' && !is_quoted
    })
}

/// A part that is no multipart.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    pub fields: Fields,
    /// In lower case: `text/plain`.
    pub media: String,
    /// As it stands, still encoded.
    pub raw: &'a [u8],
    /// It stood inside a `multipart/report`.
    pub is_of_report: bool,
}

impl<'a> Part<'a> {
    /// Decoded from its transfer encoding, cut at a megabyte.
    pub fn content(&self) -> Cow<'a, [u8]> {
        let encoding = self.fields.get("content-transfer-encoding").unwrap_or_default();
        let encoding = encoding.trim().to_ascii_lowercase();
        let raw = &self.raw[..self.raw.len().min(CONTENT_BYTES_MAX)];
        match encoding.as_str() {
            "base64" => Cow::Owned(decode::base64(raw)),
            "quoted-printable" => Cow::Owned(decode::quoted_printable(raw)),
            _ => Cow::Borrowed(raw),
        }
    }

    /// The content as text, HTML reduced to its words.
    pub fn text(&self) -> String {
        let kind = self.fields.get("content-type").unwrap_or_default();
        let charset = parameter(kind, "charset");
        let content = self.content();
        // Seven-bit Japanese is known by its escapes, whatever the label says.
        let is_japanese = content.windows(3).any(|w| w == b"\x1b$B" || w == b"\x1b$@");
        let charset = if is_japanese { Some("iso-2022-jp") } else { charset.as_deref() };
        let text = decode::text(&content, charset);
        if self.media == "text/html" { decode::html(&text) } else { text }
    }
}

/// A mail taken apart.
#[derive(Clone, Debug)]
pub struct Mime<'a> {
    pub fields: Fields,
    /// From the top down.
    pub parts: Vec<Part<'a>>,
    /// Something was too deep or too much and was left out.
    pub is_cut: bool,
}

struct Entity<'a> {
    text: &'a [u8],
    depth: usize,
    is_of_report: bool,
    /// `multipart/digest` makes messages of what has no type.
    media: &'static str,
}

impl<'a> Mime<'a> {
    pub fn read(mail: &'a [u8]) -> Mime<'a> {
        let (fields, _) = Fields::read(mail);
        let mut mime = Mime { fields, parts: Vec::new(), is_cut: false };
        let mut waiting =
            vec![Entity { text: mail, depth: 0, is_of_report: false, media: "text/plain" }];
        let mut seen = 0;
        while let Some(entity) = waiting.pop() {
            seen += 1;
            if seen > PARTS_MAX {
                mime.is_cut = true;
                break;
            }
            mime.take(entity, &mut waiting);
        }
        mime
    }

    /// An entity becomes a part, or its parts wait in its place.
    fn take(&mut self, entity: Entity<'a>, waiting: &mut Vec<Entity<'a>>) {
        let (fields, body) = Fields::read(entity.text);
        let raw = &entity.text[body..];
        let kind = fields.get("content-type");
        let media = kind.map_or(entity.media.to_owned(), |_| fields.media());
        let boundary = kind.and_then(|kind| parameter(kind, "boundary"));
        let is_multipart = media.starts_with("multipart/");
        let Some(boundary) = boundary.filter(|b| is_multipart && !b.is_empty()) else {
            let media = if is_multipart { "text/plain".to_owned() } else { media };
            self.parts.push(Part { fields, media, raw, is_of_report: entity.is_of_report });
            return;
        };
        if entity.depth >= DEPTH_MAX {
            self.is_cut = true;
            return;
        }
        let is_of_report = entity.is_of_report || media == "multipart/report";
        let inner = if media == "multipart/digest" { "message/rfc822" } else { "text/plain" };
        let mut found = split(raw, boundary.as_bytes());
        if found.len() > PARTS_MAX {
            found.truncate(PARTS_MAX);
            self.is_cut = true;
        }
        if found.is_empty() {
            // The boundary never comes: what is there is text.
            let media = "text/plain".to_owned();
            self.parts.push(Part { fields, media, raw, is_of_report });
            return;
        }
        let depth = entity.depth + 1;
        let parts = found.into_iter().rev();
        waiting.extend(parts.map(|text| Entity { text, depth, is_of_report, media: inner }));
    }
}

/// The parts between boundaries; the last one may lack its end.
fn split<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut start = None;
    let mut at = 0;
    while at < body.len() && parts.len() <= PARTS_MAX {
        let end = memchr(b'\n', &body[at..]).map_or(body.len(), |found| at + found + 1);
        let line = body[at..end].trim_ascii_end();
        let mark = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
        if let Some(tail @ (b"" | b"--")) = mark {
            if let Some(start) = start {
                parts.push(&body[start..at]);
            }
            start = tail.is_empty().then_some(end);
            if start.is_none() {
                return parts;
            }
        }
        at = end;
    }
    parts.extend(start.filter(|start| *start < body.len()).map(|start| &body[start..]));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn medias(mail: &str) -> Vec<String> {
        Mime::read(mail.as_bytes()).parts.into_iter().map(|part| part.media).collect()
    }

    #[test]
    fn parts_are_found_in_order_and_to_any_sane_depth() {
        let mail = "Content-Type: multipart/report; boundary=\"a b\"\r\n\r\npreamble\r\n--a b\r\n\
             Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\none\r\n--c\r\n\
             Content-Type: text/html\r\n\r\n<p>two\r\n--c--\r\n--a b\r\n\
             Content-Type: Message/Delivery-Status\r\n\r\nStatus: 5.1.1\r\n--a b--\r\nepilogue";
        assert_eq!(medias(mail), ["text/plain", "text/html", "message/delivery-status"]);
    }

    #[test]
    fn a_boundary_may_hold_what_parts_parameters() {
        let kind = "multipart/mixed; charset=x; boundary=\"a;b=c\"; x=y";
        assert_eq!(parameter(kind, "boundary").as_deref(), Some("a;b=c"));
        assert_eq!(parameter(kind, "x").as_deref(), Some("y"));
    }

    #[test]
    fn a_cut_mail_keeps_what_came() {
        let mail = "Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\n\ntw";
        let mime = Mime::read(mail.as_bytes());
        assert_eq!(mime.parts.iter().map(Part::text).collect::<Vec<_>>(), ["one\n", "tw"]);
        assert_eq!(medias("Content-Type: multipart/mixed; boundary=x\n\nno parts"), ["text/plain"]);
    }

    #[test]
    fn ten_thousand_parts_and_a_deep_nest_are_cut_and_say_so() {
        let many =
            format!("Content-Type: multipart/mixed; boundary=x\n\n{}", "--x\n\na\n".repeat(10_000));
        let mime = Mime::read(many.as_bytes());
        assert!(mime.is_cut && mime.parts.len() <= PARTS_MAX);
        let mut deep = String::new();
        for level in 0..2000 {
            deep += &format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n");
        }
        let mime = Mime::read(deep.as_bytes());
        assert!(mime.is_cut && mime.parts.is_empty());
    }

    #[test]
    fn endless_headers_are_read_to_a_maximum() {
        let mail = format!("A: 1\n{}\n\nbody", "B: 2\n".repeat(200_000));
        let (fields, _) = Fields::read(mail.as_bytes());
        assert_eq!(fields.iter().count(), FIELDS_MAX);
    }

    #[test]
    fn japanese_is_read_whatever_its_label() {
        let mail = b"Content-Type: text/plain; charset=us-ascii\n\n\x1b$B%F%9%H\x1b(B\n";
        assert_eq!(Mime::read(mail).parts[0].text(), "テスト\n");
    }

    proptest! {
        #[test]
        fn no_input_panics(
            mail in "(Content-Type: |multipart/|report|;|boundary=|x|--x|--|\r\n|\n|a: b| |é){0,60}"
        ) {
            let mime = Mime::read(mail.as_bytes());
            let octets: usize = mime.parts.iter().map(|part| part.text().len()).sum();
            prop_assert!(octets <= mail.len() * 2);
        }
    }
}
