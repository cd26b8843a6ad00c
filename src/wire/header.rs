//! The header section of a mail, scanned over its raw bytes.
//!
//! Owns:       where fields begin and end, folding, what is taken out and put in.
//! Promises:   linear time; only the header section is touched; no octet of the mail is lost unless
//!             a caller drops its field.
//! Knows not:  what the fields mean.
//!
//! The section ends at the first empty line. It also ends in front of a line that is neither a
//! field nor the continuation of one: that line and all below it is body, as Postfix and sendmail
//! read it. `copy_kept` and the empty line its caller writes then make every later reader see the
//! same split that we checked. A mail whose first line is no field has no fields at all.

use std::borrow::Cow;

use memchr::memchr;

use crate::model::limits::HEADER_BYTES_MAX;

/// More fields than this is an attack (A13); real mails have some thirty.
pub const FIELDS_MAX: usize = 1000;
/// So many fields fit without growing the list.
const FIELDS_USUAL: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("the header section is longer than {HEADER_BYTES_MAX} octets")]
    TooLong,
    #[error("the header section has more than {FIELDS_MAX} fields")]
    TooMany,
    #[error("the header section holds a NUL octet")]
    Nul,
}

/// The fields of a mail, as places in its bytes.
#[derive(Clone, Debug)]
pub struct HeaderSection<'a> {
    mail: &'a [u8],
    fields: Vec<Span>,
    body: usize,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    /// The end of the name, without white space in front of the colon.
    name_end: usize,
    /// What follows the colon.
    value: usize,
    end: usize,
    /// White space before the colon, a continuation of white space alone, or no line end: readers
    /// disagree on these, so they are put right when the field is copied.
    irregular: bool,
}

/// One field, as it stands.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub name: &'a [u8],
    /// After the colon, folded, with its final line end.
    pub value: &'a [u8],
}

impl<'a> Field<'a> {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value on one line, without white space around it.
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        let value = self.value.trim_ascii();
        if memchr(b'\n', value).is_none() {
            return Cow::Borrowed(value);
        }
        let kept = value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n'));
        Cow::Owned(kept.collect())
    }

    /// The unfolded value as text; octets that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> Cow<'a, str> {
        match self.unfolded() {
            Cow::Borrowed(value) => String::from_utf8_lossy(value),
            Cow::Owned(value) => Cow::Owned(String::from_utf8_lossy(&value).into_owned()),
        }
    }

    /// Writes the field as every reader understands it.
    fn write_regular(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name);
        out.push(b':');
        for (index, line) in self.value.split_inclusive(|b| *b == b'\n').enumerate() {
            let bare = line.trim_ascii_end();
            if index == 0 || !bare.is_empty() {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
                out.extend_from_slice(b"\r\n");
            }
        }
        if self.value.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl<'a> HeaderSection<'a> {
    /// Reads no further than the header section goes.
    pub fn scan(mail: &'a [u8]) -> Result<HeaderSection<'a>, HeaderError> {
        let window = &mail[..mail.len().min(HEADER_BYTES_MAX + 1)];
        let mut fields: Vec<Span> = Vec::with_capacity(FIELDS_USUAL);
        let mut at = 0;
        let body = loop {
            let end = memchr(b'\n', &window[at..]).map_or(window.len(), |found| at + found + 1);
            let line = &window[at..end];
            match (line, fields.last_mut()) {
                ([], _) => break at,
                (b"\r\n" | b"\n", _) => break end,
                ([b' ' | b'\t', ..], Some(last)) => {
                    last.irregular |= line.trim_ascii().is_empty() || !line.ends_with(b"\n");
                    last.end = end;
                }
                _ => match Span::of(line, at) {
                    Some(field) => fields.push(field),
                    None => break at,
                },
            }
            if fields.len() > FIELDS_MAX {
                return Err(HeaderError::TooMany);
            }
            at = end;
        };
        if body > HEADER_BYTES_MAX {
            return Err(HeaderError::TooLong);
        }
        match memchr(0, &mail[..body]) {
            Some(_) => Err(HeaderError::Nul),
            None => Ok(HeaderSection { mail, fields, body }),
        }
    }

    /// From the top down.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'a>> + '_ {
        self.fields.iter().map(|span| self.field(span))
    }

    fn field(&self, span: &Span) -> Field<'a> {
        Field {
            name: &self.mail[span.start..span.name_end],
            value: &self.mail[span.value..span.end],
        }
    }

    /// The first field of this name.
    pub fn find(&self, name: &str) -> Option<Field<'a>> {
        self.fields().find(|field| field.is(name))
    }

    pub fn count(&self, name: &str) -> usize {
        self.fields().filter(|field| field.is(name)).count()
    }

    /// The section as it stands, with the empty line that ends it.
    pub fn raw(&self) -> &'a [u8] {
        &self.mail[..self.body]
    }

    /// What follows the empty line.
    pub fn body(&self) -> &'a [u8] {
        &self.mail[self.body..]
    }

    /// Appends the fields that `keep` keeps, each a whole number of CRLF lines, without the empty
    /// line. Neighbours are copied in one piece.
    pub fn copy_kept(&self, out: &mut Vec<u8>, mut keep: impl FnMut(&Field<'a>) -> bool) {
        let mut run: Option<(usize, usize)> = None;
        for span in &self.fields {
            let field = self.field(span);
            let kept = keep(&field);
            if kept && !span.irregular {
                run = Some((run.map_or(span.start, |(start, _)| start), span.end));
                continue;
            }
            if let Some((start, end)) = run.take() {
                out.extend_from_slice(&self.mail[start..end]);
            }
            if kept {
                field.write_regular(out);
            }
        }
        if let Some((start, end)) = run {
            out.extend_from_slice(&self.mail[start..end]);
        }
    }
}

impl Span {
    /// RFC 5322 §2.2: a name of printable ASCII and a colon. White space before the colon is the
    /// obsolete form of §4.5.8, which must be understood.
    fn of(line: &[u8], start: usize) -> Option<Span> {
        let colon = memchr(b':', line)?;
        let name = line[..colon].trim_ascii_end();
        if name.is_empty() || !name.iter().all(|b| matches!(b, 33..=126)) {
            return None;
        }
        Some(Span {
            start,
            name_end: start + name.len(),
            value: start + colon + 1,
            end: start + line.len(),
            irregular: name.len() != colon || !line.ends_with(b"\n"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(mail: &str) -> Vec<String> {
        let section = HeaderSection::scan(mail.as_bytes()).expect("lawful");
        section.fields().map(|f| String::from_utf8_lossy(f.name).into_owned()).collect()
    }

    fn kept(mail: &str, without: &str) -> String {
        let section = HeaderSection::scan(mail.as_bytes()).expect("lawful");
        let mut out = Vec::new();
        section.copy_kept(&mut out, |field| !field.is(without));
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(section.body());
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn fields_are_found_whatever_their_case_and_read_unfolded() {
        let mail = b"FROM: a@b.example\r\nSubject: one\r\n two\r\n\tthree\r\n\r\nbody\r\n";
        let section = HeaderSection::scan(mail).expect("lawful");
        assert_eq!(section.find("from").map(|f| f.text()), Some("a@b.example".into()));
        assert_eq!(section.find("subject").map(|f| f.text()), Some("one two\tthree".into()));
        assert_eq!(section.body(), b"body\r\n");
        assert!(section.find("Date").is_none());
    }

    #[test]
    fn a_line_that_is_no_field_begins_the_body() {
        assert_eq!(kept("A: 1\r\nno field\r\nB: 2\r\n\r\nx\r\n", "-"), {
            "A: 1\r\n\r\nno field\r\nB: 2\r\n\r\nx\r\n"
        });
        assert_eq!(names("just text\r\nFrom: a@b.example\r\n\r\n"), [""; 0]);
        assert_eq!(kept("just text\r\n", "-"), "\r\njust text\r\n");
        assert_eq!(kept(" folded first\r\nA: 1\r\n\r\n", "-"), "\r\n folded first\r\nA: 1\r\n\r\n");
    }

    #[test]
    fn a_mail_without_an_empty_line_is_all_header() {
        assert_eq!(kept("A: 1\r\nB: 2\r\n", "-"), "A: 1\r\nB: 2\r\n\r\n");
        assert_eq!(kept("A: 1\r\nB: 2", "-"), "A: 1\r\nB: 2\r\n\r\n");
        assert_eq!(kept("", "-"), "\r\n");
    }

    #[test]
    fn what_readers_disagree_on_is_put_right_when_copied() {
        assert_eq!(kept("From : a\r\nB: 2\r\n\r\n", "-"), "From: a\r\nB: 2\r\n\r\n");
        assert_eq!(kept("A: 1\r\n \r\n 2\r\nB: 3\r\n\r\n", "-"), "A: 1\r\n 2\r\nB: 3\r\n\r\n");
    }

    #[test]
    fn a_dropped_field_goes_with_its_continuations() {
        let mail = "A: 1\r\nBcc: x@y.example,\r\n z@y.example\r\nC: 3\r\n\r\nbody\r\n";
        assert_eq!(kept(mail, "bcc"), "A: 1\r\nC: 3\r\n\r\nbody\r\n");
    }

    #[test]
    fn endless_header_sections_are_refused() {
        let many = "A: 1\r\n".repeat(FIELDS_MAX + 1);
        assert_eq!(HeaderSection::scan(many.as_bytes()).err(), Some(HeaderError::TooMany));
        let long = format!("A: 1\r\n{}", " x\r\n".repeat(HEADER_BYTES_MAX / 4));
        assert_eq!(HeaderSection::scan(long.as_bytes()).err(), Some(HeaderError::TooLong));
        let wide = format!("A: {}", "x".repeat(HEADER_BYTES_MAX));
        assert_eq!(HeaderSection::scan(wide.as_bytes()).err(), Some(HeaderError::TooLong));
        assert_eq!(HeaderSection::scan(b"A: \0\r\n\r\n").err(), Some(HeaderError::Nul));
        assert!(HeaderSection::scan(b"A: 1\r\n\r\n\0\r\n").is_ok());
    }

    proptest! {
        /// Copying is idempotent, and the second reading sees the same fields and body.
        #[test]
        fn a_copied_mail_reads_the_same(mail in "([A-Ca-c: \t]|\r\n|x){0,60}") {
            let section = HeaderSection::scan(mail.as_bytes()).expect("short");
            let mut copy = Vec::new();
            section.copy_kept(&mut copy, |_| true);
            copy.extend_from_slice(b"\r\n");
            copy.extend_from_slice(section.body());
            let again = HeaderSection::scan(&copy).expect("short");
            let words = |s: &HeaderSection<'_>| -> Vec<(Vec<u8>, Vec<u8>)> {
                s.fields().map(|f| (f.name.to_vec(), f.unfolded().trim_ascii().to_vec())).collect()
            };
            prop_assert_eq!(words(&section), words(&again));
            prop_assert_eq!(section.body(), again.body());
        }

        #[test]
        fn no_input_panics(mail in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(section) = HeaderSection::scan(&mail) {
                let mut out = Vec::new();
                section.copy_kept(&mut out, |_| true);
                prop_assert!(section.fields().all(|f| !f.name.is_empty()));
            }
        }
    }
}
