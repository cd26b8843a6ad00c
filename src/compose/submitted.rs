//! A submitted mail that tells of its readers: links in its HTML and its text, and a pixel.
//!
//! Owns:       which parts are rewritten, and how they are encoded again.
//! Promises:   what is signed, encrypted or attached, and all that is neither HTML nor text, stays
//!             as it is, to the octet; a part that cannot be read or is too large does, too. The
//!             same delivery has the same octets at every try. Depth, parts and sizes have maxima.
//! Knows not:  who wants it; how links are made.

use std::borrow::Cow;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::{Encoding, UTF_8};
use memchr::memchr;

use super::links::Links;
use super::track::Telling;
use crate::model::*;
use crate::token::Claim;
use crate::wire::header::HeaderSection;
use crate::wire::{decode, encode, mime};

const DEPTH_MAX: usize = 20;
const PARTS_MAX: usize = 1000;
/// Encoded; receivers cut HTML at a tenth of it.
const TEXT_BYTES_MAX: usize = 1024 * 1024;
const LINE_OF_BASE64: usize = 76;

impl Links {
    /// The mail as this delivery gets it; None where nothing of it is rewritten.
    pub(super) fn in_mail(&self, mail: &[u8], claim: Claim, tracking: Tracking) -> Option<Vec<u8>> {
        let section = HeaderSection::scan(mail).ok()?;
        // Who has signed it has signed these links.
        if section.find("DKIM-Signature").is_some() {
            return None;
        }
        let (wanted, places) = (tracking.wanted(), Rc::default());
        let telling = Telling { links: self, claim, wanted, places };
        let mut rewriting = Rewriting { telling, kind: Text::Html, parts: 0, is_changed: false };
        let mut out = Vec::with_capacity(mail.len() + mail.len() / 4);
        rewriting.entity(mail, 0, &mut out);
        // The text has its links from the HTML, which mostly stands behind it.
        if rewriting.telling.wanted.clicks {
            (rewriting.kind, rewriting.parts) = (Text::Plain, 0);
            let mut both = Vec::with_capacity(out.len() + out.len() / 4);
            rewriting.entity(&out, 0, &mut both);
            out = both;
        }
        rewriting.is_changed.then_some(out)
    }
}

struct Rewriting<'l> {
    telling: Telling<'l>,
    /// What is rewritten this time.
    kind: Text,
    parts: usize,
    is_changed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Html,
    Plain,
}

/// What an entity is, by its header section.
enum Kind {
    /// With its boundary.
    Parts(String),
    /// With its charset.
    Text(Text, Option<String>),
    Other,
}

impl Rewriting<'_> {
    /// Appends the entity, rewritten as far as it is wanted.
    fn entity(&mut self, text: &[u8], depth: usize, out: &mut Vec<u8>) {
        self.parts += 1;
        let section = HeaderSection::scan(text).ok();
        let section = section.filter(|_| depth <= DEPTH_MAX && self.parts <= PARTS_MAX);
        let Some(section) = section else { return out.extend_from_slice(text) };
        match kind_of(&section, depth) {
            Kind::Parts(boundary) => {
                out.extend_from_slice(section.raw());
                self.parts_of(section.body(), boundary.as_bytes(), depth, out);
            }
            Kind::Text(kind, charset) if kind == self.kind => {
                match self.text(&section, charset.as_deref(), depth) {
                    Some(part) => {
                        self.is_changed = true;
                        out.extend_from_slice(&part);
                    }
                    None => out.extend_from_slice(text),
                }
            }
            Kind::Text(..) | Kind::Other => out.extend_from_slice(text),
        }
    }

    /// Lines of the boundary, and what stands before the first and behind the last, are copied.
    fn parts_of(&mut self, body: &[u8], boundary: &[u8], depth: usize, out: &mut Vec<u8>) {
        let mut part: Option<usize> = None;
        let mut copied = 0;
        let mut at = 0;
        while at < body.len() {
            let end = memchr(b'\n', &body[at..]).map_or(body.len(), |found| at + found + 1);
            let line = body[at..end].trim_ascii_end();
            let mark = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
            if let Some(tail @ (b"" | b"--")) = mark {
                if let Some(start) = part {
                    self.entity(&body[start..at], depth + 1, out);
                    copied = at;
                }
                out.extend_from_slice(&body[copied..end]);
                copied = end;
                part = tail.is_empty().then_some(end);
                if part.is_none() {
                    break;
                }
            }
            at = end;
        }
        match part {
            Some(start) => self.entity(&body[start..], depth + 1, out),
            None => out.extend_from_slice(&body[copied..]),
        }
    }

    /// None: it stays as it is.
    fn text(
        &mut self,
        section: &HeaderSection<'_>,
        charset: Option<&str>,
        depth: usize,
    ) -> Option<Vec<u8>> {
        let body = section.body();
        let encoding = section.find("Content-Transfer-Encoding");
        let encoding = encoding.map(|field| field.text().trim().to_ascii_lowercase());
        let encoding = encoding.unwrap_or_default();
        if body.len() > TEXT_BYTES_MAX {
            return None;
        }
        let octets = match encoding.as_str() {
            "base64" => Cow::Owned(decode::base64(body)),
            "quoted-printable" => Cow::Owned(decode::quoted_printable(body)),
            "" | "7bit" | "8bit" | "binary" => Cow::Borrowed(body),
            _ => return None,
        };
        let charset = charset_of(charset)?;
        let text = charset.decode_without_bom_handling_and_without_replacement(&octets)?;
        let told = self.told(&text)?;
        let (octets, _, is_lost) = charset.encode(&told);
        if is_lost {
            return None;
        }
        let mut out = Vec::with_capacity(octets.len() * 2);
        section.copy_kept(&mut out, |field| !field.is("Content-Transfer-Encoding"));
        // Without them nobody knows that it is encoded, nor how (RFC 2045 §4).
        if depth == 0 && section.find("MIME-Version").is_none() {
            out.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        if section.find("Content-Type").is_none() {
            out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
        }
        put(&mut out, encoding == "base64", &octets);
        Some(out)
    }

    /// None: nothing of it is another now.
    fn told(&mut self, text: &str) -> Option<String> {
        match self.kind {
            Text::Plain => self.telling.text(text),
            Text::Html => {
                let told = self.telling.html(text.to_owned());
                // One pixel for a mail.
                self.telling.wanted.opens = false;
                (told != text).then_some(told)
            }
        }
    }
}

/// The encoding and the body: links are longer than a line of a mail may be.
fn put(out: &mut Vec<u8>, is_base64: bool, octets: &[u8]) {
    if !is_base64 {
        out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        out.extend_from_slice(encode::quoted_printable_octets(octets).as_bytes());
        return;
    }
    out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
    for line in STANDARD.encode(octets).as_bytes().chunks(LINE_OF_BASE64) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
}

/// None where text does not come back as it was (UTF-16), or the label is unknown.
fn charset_of(label: Option<&str>) -> Option<&'static Encoding> {
    let Some(label) = label else { return Some(UTF_8) };
    let label = label.trim();
    // By the standard of browsers it would be Windows-1252; what is written as ASCII is UTF-8, too.
    if label.eq_ignore_ascii_case("us-ascii") {
        return Some(UTF_8);
    }
    Encoding::for_label(label.as_bytes()).filter(|encoding| encoding.output_encoding() == *encoding)
}

fn kind_of(section: &HeaderSection<'_>, depth: usize) -> Kind {
    let Some(value) = section.find("Content-Type").map(|field| field.text().into_owned()) else {
        // A mail without is text (RFC 2045 §5.2); of a part it depends on what it is a part of.
        return if depth == 0 { Kind::Text(Text::Plain, None) } else { Kind::Other };
    };
    let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = match media.as_str() {
        "multipart/signed" | "multipart/encrypted" => return Kind::Other,
        "text/html" => Text::Html,
        "text/plain" => Text::Plain,
        _ if media.starts_with("multipart/") => {
            let boundary = mime::parameter(&value, "boundary").filter(|name| !name.is_empty());
            return boundary.map_or(Kind::Other, Kind::Parts);
        }
        _ => return Kind::Other,
    };
    let disposition = section.find("Content-Disposition").map(|field| field.text());
    let word = disposition.as_deref().unwrap_or_default().trim_start();
    let is_file = word.get(..10).is_some_and(|word| word.eq_ignore_ascii_case("attachment"));
    // Lines that are to be joined without a space may break within a link (RFC 3676 §4.1).
    let joins = mime::parameter(&value, "delsp").is_some_and(|yes| yes.eq_ignore_ascii_case("yes"));
    match is_file || (text == Text::Plain && joins) {
        true => Kind::Other,
        false => Kind::Text(text, mime::parameter(&value, "charset")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Keys;
    use proptest::prelude::*;
    use std::sync::Arc;

    const CLAIM: Claim = Claim { message: MessageId(7), delivery: DeliveryId(8) };
    const HTML: &str = "<p><a href=\"https://shop.test/?a=1&amp;b=ü\">Grüße</a></p>\r\n";
    const FILE: &str = "--o\r\nContent-Type: text/html; name=\"a.html\"\r\n\
        Content-Disposition: attachment\r\n\r\n<a href=\"https://shop.test/file\">f</a>\r\n";

    fn links() -> Links {
        Links::new("https://post.test", Arc::new(Keys::standing(1)))
    }

    fn told(mail: &[u8]) -> Option<Vec<u8>> {
        links().in_mail(mail, CLAIM, Tracking::Both)
    }

    /// As a mail program shows it.
    fn read(mail: &[u8]) -> String {
        shown(mail, "text/html")
    }

    fn shown(mail: &[u8], media: &str) -> String {
        let mime = mime::Mime::read(mail);
        let part = mime.parts.iter().find(|part| part.media == media).expect("such a part");
        let kind = part.fields.get("content-type").expect("a type");
        let charset = mime::parameter(kind, "charset");
        decode::text(&part.content(), charset.as_deref())
    }

    fn leads_to(html: &str) -> String {
        let (_, rest) = html.split_once("https://post.test/c/").expect("a tracked link");
        let end = rest.find(['"', '>', '\r']).expect("its end");
        let (claim, place, target) = links().clicked(&rest[..end]).expect("signed");
        assert_eq!((claim, place), (CLAIM, 0));
        target
    }

    #[test]
    fn html_of_every_encoding_and_charset_leads_through_us_to_where_it_led() {
        let latin = encoding_rs::WINDOWS_1252.encode(HTML).0.into_owned();
        let quoted = encode::quoted_printable(HTML).into_bytes();
        let based = format!("{}\r\n", STANDARD.encode(HTML)).into_bytes();
        let japanese = HTML.replace('ü', "日").replace('ß', "本");
        let shifted = encoding_rs::ISO_2022_JP.encode(&japanese).0.into_owned();
        for (charset, encoding, body) in [
            ("utf-8", "8bit", HTML.as_bytes().to_vec()),
            ("utf-8", "quoted-printable", quoted),
            ("UTF-8", "Base64", based),
            ("iso-8859-1", "8bit", latin),
            ("iso-2022-jp", "7bit", shifted),
        ] {
            let head = format!(
                "Subject: x\r\nContent-Type: text/html; charset={charset}\r\n\
                 Content-Transfer-Encoding: {encoding}\r\n\r\n"
            );
            let mail = [head.into_bytes(), body].concat();
            let told = told(&mail).expect("rewritten");
            assert!(told.is_ascii(), "{charset}");
            assert!(told.split(|octet| *octet == b'\n').all(|line| line.len() < 80));
            let html = read(&told);
            let expected = if charset == "iso-2022-jp" { "日" } else { "ü" };
            assert_eq!(leads_to(&html), format!("https://shop.test/?a=1&b={expected}"));
            assert!(html.contains(&format!(">Gr{expected}")), "{charset}: {html}");
            assert_eq!(html.matches("https://post.test/o/").count(), 1, "{html}");
            assert!(told.starts_with(b"Subject: x\r\nContent-Type: text/html"));
        }
    }

    #[test]
    fn of_several_parts_only_what_is_shown_is_rewritten() {
        let plain = "Content-Type: text/plain\r\n\r\n<https://shop.test/?a=1&b=ü>\r\n";
        let inner = format!(
            "Content-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\n{plain}\r\n--i\r\n\
             Content-Type: text/html; charset=utf-8\r\n\r\n{HTML}\r\n--i--\r\n"
        );
        let head = "Subject: x\r\nContent-Type: multipart/mixed; boundary=\"o\"\r\n\r\nbefore\r\n";
        let mail = format!("{head}--o\r\n{inner}{FILE}\r\n--o--\r\nbehind\r\n");
        let text = String::from_utf8(told(mail.as_bytes()).expect("rewritten")).expect("text");
        for kept in [head, FILE, "\r\n--i--\r\n", "--o--\r\nbehind\r\n"] {
            assert!(text.contains(kept), "{kept:?} in {text}");
        }
        assert_eq!(leads_to(&read(text.as_bytes())), "https://shop.test/?a=1&b=ü");
        let plain = shown(text.as_bytes(), "text/plain");
        assert_eq!(leads_to(&plain), "https://shop.test/?a=1&b=ü", "the same place, too");
        assert!(plain.starts_with("<https://post.test/c/") && plain.contains(">\r\n"), "{plain}");
    }

    #[test]
    fn what_is_signed_attached_or_no_text_stays_as_it_is() {
        let html = format!("Content-Type: text/html\r\n\r\n{HTML}");
        for mail in [
            format!("DKIM-Signature: v=1\r\n{html}"),
            format!("Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n{html}\r\n--s--\r\n"),
            format!("Content-Type: multipart/mixed; boundary=o\r\n\r\n{FILE}\r\n--o--\r\n"),
            "Content-Type: text/plain; format=flowed; DelSp=Yes\r\n\r\nhttps://shop.test/ \r\nx"
                .to_owned(),
            "Content-Type: text/plain\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\n\
             https://shop.test/\r\n"
                .to_owned(),
            "Content-Type: text/calendar\r\n\r\nhttps://shop.test/\r\n".to_owned(),
            "Subject: x\r\n\r\nno link\r\n".to_owned(),
            format!("Content-Type: text/html; charset=utf-16\r\n\r\n{HTML}"),
            format!("Content-Type: text/html\r\nContent-Transfer-Encoding: uuencode\r\n\r\n{HTML}"),
            format!("Content-Type: message/rfc822\r\n\r\n{html}"),
        ] {
            assert_eq!(told(mail.as_bytes()), None, "{mail}");
        }
        let clicks = |mail: &str| links().in_mail(mail.as_bytes(), CLAIM, Tracking::Clicks);
        assert_eq!(clicks("Content-Type: text/html\r\n\r\n<p>no link</p>\r\n"), None);
        let plain = b"Content-Type: text/plain\r\n\r\nhttps://shop.test/\r\n";
        assert_eq!(links().in_mail(plain, CLAIM, Tracking::Opens), None, "text shows no pixel");
    }

    #[test]
    fn a_mail_without_any_type_is_text_and_says_so_once_it_is_encoded() {
        for (body, expected) in [
            ("See https://shop.test/x.\r\n", "https://shop.test/x"),
            ("Grüße: https://shop.test/ü\r\n", "https://shop.test/ü"),
        ] {
            let mail = format!("Subject: x\r\n\r\n{body}");
            let told = told(mail.as_bytes()).expect("rewritten");
            let text = String::from_utf8(told.clone()).expect("ASCII");
            assert!(
                text.starts_with("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; ")
            );
            let shown = shown(&told, "text/plain");
            assert!(shown.starts_with(&body[..4]), "{shown}");
            let (_, rest) = shown.split_once("/c/").expect("a tracked link");
            let end = rest.find(['.', '\r']).expect("its end");
            assert_eq!(links().clicked(&rest[..end]).expect("signed").2, expected);
        }
    }

    #[test]
    fn a_mail_of_a_thousand_levels_is_read_to_a_depth() {
        let mut deep = String::new();
        for level in 0..1000 {
            deep += &format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n");
            deep += &format!("--b{level}\r\n");
        }
        deep += &format!("Content-Type: text/html\r\n\r\n{HTML}");
        assert_eq!(told(deep.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_mail_panics_and_only_what_has_links_grows(
            mail in "(Content-Type: |multipart/mixed|text/html|text/plain|;|boundary=|x|--x|--|\
                \r\n|<a href=\"https://a.test\">|http://b.test | |é){0,60}"
        ) {
            let told = told(mail.as_bytes());
            let may_tell = mail.contains("text/html") || mail.contains("http");
            prop_assert!(told.is_none() || may_tell);
        }
    }
}
