//! DKIM-Signature fields for one mail (RFC 6376 §3.5, §3.7, §5).
//!
//! Owns:       which fields are signed, the tags, the folding.
//! Promises:   one body hash and one pass over the header for all keys; a field added later to a
//!             signed mail breaks the signature where that matters (over-signing, A17).
//! Knows not:  files, threads, whose mail it is.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::canonical::{body_hash, relaxed, relaxed_field};
use super::{DkimError, PrivateKey};
use crate::model::Timestamp;
use crate::wire::header::HeaderSection;

/// Each named once more than it is there, so that nobody can add one.
const OVERSIGNED: [&str; 9] = [
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
];
/// Named as often as they are there (RFC 6376 §5.4.1).
const SIGNED: [&str; 4] = ["Sender", "In-Reply-To", "References", "Content-Transfer-Encoding"];
/// Signed when there, since mailing lists add them to what passes through; over-signed in
/// marketing streams, whose receivers act on them (RFC 8058 §4, RFC 9477 §3).
const LIST_FIELDS: [&str; 11] = [
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Feedback-ID",
    "CFBL-Address",
    "CFBL-Feedback-ID",
];
/// A stolen copy can be replayed no longer than this (`x=`). The longest that mail is retried is
/// four days by default, and a retry carries its first signature.
pub const VALID_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// RFC 5322 §2.1.1, line end left out.
const LINE_MAX: usize = 78;
const RSA_FIELD_BYTES: usize = 1024;

/// What to sign, and how.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Header section and body, CRLF lines only.
    pub mail: &'a [u8],
    /// By the wall clock (`t=`).
    pub at: Timestamp,
    /// Over-sign the fields of lists, too.
    pub marketing: bool,
}

/// The DKIM-Signature fields, one for each key in this order, to stand in front of the mail.
///
/// # Errors
/// `Header` when the mail's header section cannot be read, `Sign` when a key fails.
pub fn sign<'k>(
    order: Order<'_>,
    keys: impl Iterator<Item = &'k PrivateKey>,
) -> Result<Vec<u8>, DkimError> {
    let section = HeaderSection::scan(order.mail)?;
    let body_hash = STANDARD.encode(body_hash(section.body()));
    let chosen = Chosen::of(&section, order.marketing);
    let mut context = Context::new(&SHA256);
    context.update(&chosen.canonical);
    let mut fields = Vec::with_capacity(2 * RSA_FIELD_BYTES);
    for key in keys {
        let start = fields.len();
        write_field(&mut fields, key, order.at, &chosen.names, &body_hash);
        let digest = digest_with(context.clone(), &fields[start..]);
        write_signature(&mut fields, &STANDARD.encode(key.sign(&digest)?));
    }
    Ok(fields)
}

/// RFC 6376 §3.7: the signed fields, then this field with an empty `b=` and no line end.
fn digest_with(mut context: Context, field: &[u8]) -> aws_lc_rs::digest::Digest {
    let colon = field.iter().position(|b| *b == b':').unwrap_or(0);
    let mut canonical = Vec::with_capacity(field.len());
    relaxed_field(&field[..colon], &field[colon + 1..], &mut canonical);
    context.update(&canonical[..canonical.len() - 2]);
    context.finish()
}

/// The signed fields: their names as `h=` lists them, and their canonical form in that order.
struct Chosen {
    names: Vec<&'static str>,
    canonical: Vec<u8>,
}

impl Chosen {
    /// RFC 6376 §5.4.2: of fields with one name the last is taken first.
    fn of(section: &HeaderSection<'_>, marketing: bool) -> Chosen {
        let mut chosen =
            Chosen { names: Vec::with_capacity(32), canonical: Vec::with_capacity(2048) };
        for name in OVERSIGNED {
            chosen.take(section, name);
            chosen.names.push(name);
        }
        for name in SIGNED {
            chosen.take(section, name);
        }
        for name in LIST_FIELDS {
            chosen.take(section, name);
            if marketing {
                chosen.names.push(name);
            }
        }
        chosen
    }

    fn take(&mut self, section: &HeaderSection<'_>, name: &'static str) {
        for field in section.fields().rev().filter(|field| field.is(name)) {
            self.names.push(name);
            relaxed(&field, &mut self.canonical);
        }
    }
}

/// The field up to and with `b=`.
fn write_field(
    out: &mut Vec<u8>,
    key: &PrivateKey,
    at: Timestamp,
    names: &[&str],
    body_hash: &str,
) {
    let expires = (at + VALID_FOR).seconds();
    let mut line = Folded { start: out.len(), out };
    line.add("DKIM-Signature: v=1;");
    line.add(&format!(" a={};", key.algorithm()));
    line.add(" c=relaxed/relaxed;");
    line.add(&format!(" d={};", key.domain));
    line.add(&format!(" s={};", key.selector));
    line.add(&format!(" t={};", at.seconds()));
    line.add(&format!(" x={expires};"));
    for (index, name) in names.iter().enumerate() {
        let head = if index == 0 { " h=" } else { "" };
        let tail = if index + 1 == names.len() { ";" } else { ":" };
        line.add(&format!("{head}{name}{tail}"));
    }
    line.add(&format!(" bh={body_hash};"));
    line.fold();
    line.add("b=");
}

fn write_signature(out: &mut Vec<u8>, signature: &str) {
    let width = LINE_MAX - "\t".len();
    let (mut rest, mut room) = (signature, width - "b=".len());
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(rest.len().min(room));
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(if tail.is_empty() { b"\r\n" } else { b"\r\n\t" });
        (rest, room) = (tail, width);
    }
}

/// Lines of at most 78 octets; only a piece that is longer alone stands over.
struct Folded<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl Folded<'_> {
    /// Adds a piece that may stand on a line of its own; its leading space becomes the fold.
    fn add(&mut self, piece: &str) {
        let piece = if self.out.len() - self.start + piece.len() > LINE_MAX {
            self.fold();
            piece.trim_start()
        } else {
            piece
        };
        self.out.extend_from_slice(piece.as_bytes());
    }

    fn fold(&mut self) {
        self.out.extend_from_slice(b"\r\n\t");
        self.start = self.out.len() - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::Algorithm;
    use crate::model::Domain;

    const MAIL: &str = "From: Joe SixPack <joe@football.example.com>\r\n\
        To: Suzie Q <suzie@shopping.example.net>\r\n\
        Subject: Is dinner ready?\r\n\
        Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
        Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\n\
        Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";

    fn key(algorithm: Algorithm) -> PrivateKey {
        let domain = Domain::parse("football.example.com").expect("lawful");
        PrivateKey::generate(&domain, "test", algorithm).expect("a key")
    }

    fn signed(mail: &str, marketing: bool) -> String {
        let key = key(Algorithm::Ed25519Sha256);
        let order = Order { mail: mail.as_bytes(), at: Timestamp(0), marketing };
        let fields = sign(order, std::iter::once(&key)).expect("signed");
        String::from_utf8(fields).expect("text")
    }

    fn names_in(field: &str) -> Vec<String> {
        let flat: String = field.split_ascii_whitespace().collect();
        let list = flat.split(";h=").nth(1).and_then(|rest| rest.split(';').next());
        list.expect("h=").split(':').map(str::to_owned).collect()
    }

    /// RFC 8463 appendix A, whose private key stands in A.2.
    #[test]
    fn the_ed25519_signature_of_rfc_8463_comes_out() {
        let seed = STANDARD.decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").expect("base64");
        let domain = Domain::parse("football.example.com").expect("lawful");
        let key = PrivateKey::of_seed(&domain, "brisbane", &seed);
        assert_eq!(
            key.record().expect("a record"),
            "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
        );
        let section = HeaderSection::scan(MAIL.as_bytes()).expect("lawful");
        let mut chosen = Chosen { names: Vec::new(), canonical: Vec::new() };
        for name in ["from", "to", "subject", "date", "message-id"] {
            chosen.take(&section, name);
        }
        let mut context = Context::new(&SHA256);
        context.update(&chosen.canonical);
        let field = b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n \
            d=football.example.com; i=@football.example.com;\r\n \
            q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n \
            subject : date : message-id : from : subject : date;\r\n \
            bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=";
        let signature = key.sign(&digest_with(context, field)).expect("signed");
        assert_eq!(
            STANDARD.encode(signature),
            "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\
             Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
        );
    }

    #[test]
    fn nine_fields_are_named_once_more_than_they_are_there() {
        let names = names_in(&signed(MAIL, false));
        let count = |name: &str| names.iter().filter(|n| n.as_str() == name).count();
        for name in ["From", "To", "Subject", "Date", "Message-ID"] {
            assert_eq!(count(name), 2, "{name}");
        }
        for name in ["Cc", "Reply-To", "MIME-Version", "Content-Type"] {
            assert_eq!(count(name), 1, "{name}");
        }
        assert_eq!(names.len(), 14);
    }

    #[test]
    fn fields_of_lists_are_signed_when_there_and_oversigned_in_marketing() {
        let mail =
            format!("List-Unsubscribe: <https://a.example>\r\nSender: a@b.example\r\n{MAIL}");
        let count = |marketing: bool, name: &str| {
            let names = names_in(&signed(&mail, marketing));
            names.iter().filter(|n| n.as_str() == name).count()
        };
        assert_eq!(count(false, "List-Unsubscribe"), 1);
        assert_eq!(count(false, "Feedback-ID"), 0);
        assert_eq!(count(true, "List-Unsubscribe"), 2);
        assert_eq!(count(true, "Feedback-ID"), 1);
        assert_eq!(count(true, "Sender"), 1);
    }

    #[test]
    fn lines_are_short_and_the_tags_are_those_we_promise() {
        let rsa = key(Algorithm::RsaSha256);
        let mail = format!("{}{MAIL}", "Subject: again\r\n".repeat(40));
        let order =
            Order { mail: mail.as_bytes(), at: Timestamp::from_seconds(1000), marketing: true };
        let field = sign(order, std::iter::once(&rsa)).expect("signed");
        let field = String::from_utf8(field).expect("text");
        assert!(field.ends_with("\r\n") && !field.ends_with("\r\n\r\n"));
        assert!(field.lines().all(|line| line.len() <= LINE_MAX), "{field}");
        assert!(field.lines().skip(1).all(|line| line.starts_with('\t') && line.len() > 1));
        assert!(field.contains("x=605800;") && field.contains("t=1000;"), "{field}");
        assert!(!field.contains("l="), "{field}");
    }
}
