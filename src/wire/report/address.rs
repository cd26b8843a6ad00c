//! Addresses as reports write them: typed, bracketed, encapsulated, in the middle of a sentence.
//!
//! What is found is text: an old gateway's recipient need not be lawful in RFC 5321.

use std::sync::LazyLock;

use regex::Regex;

/// An address in running text. It may not begin or end with what sentences put around it.
static IN_TEXT: LazyLock<Regex> = LazyLock::new(|| {
    let local = r#"(?:"[^"\s@]{1,64}"|[\p{L}\p{N}!#$%&'*+/=?^_`{|}~.-]{1,128})"#;
    let domain = r"[\p{L}\p{N}_](?:[\p{L}\p{N}_-]*[\p{L}\p{N}])?";
    let pattern = format!(r"{local}@{domain}(?:\.{domain})+");
    Regex::new(&pattern).expect("the pattern is a constant")
});

/// An address and where it stands in its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub address: String,
    pub start: usize,
    pub end: usize,
}

/// All addresses of a line, from left to right.
pub fn in_line(line: &str) -> Vec<Found> {
    if !line.contains('@') {
        return Vec::new();
    }
    let found = IN_TEXT.find_iter(line).filter_map(|hit| {
        let start = hit.start() + skipped(hit.as_str());
        let address = line[start..hit.end()].to_owned();
        let is_whole = !address.starts_with('@');
        is_whole.then_some(Found { address, start, end: hit.end() })
    });
    found.collect()
}

/// Octets at the front of a hit that belong to the sentence: quotes, `to=`, an escape.
fn skipped(hit: &str) -> usize {
    let local = hit.rfind('@').map_or("", |at| &hit[..at]);
    if local.starts_with('"') {
        return 0;
    }
    let quoted = local.len() - local.trim_start_matches(['\'', '`', '*', '.', '-', '/', '|']).len();
    let lower = local[quoted..].to_ascii_lowercase();
    let assigned = ["to=", "rcpt=", "recipient=", "orcpt=", "address=", "="];
    quoted + assigned.iter().find(|word| lower.starts_with(**word)).map_or(0, |word| word.len())
}

/// The address of a typed field (`rfc822; <a@b.example>`), where it is one that mail can go to.
pub fn typed(value: &str) -> Option<String> {
    let value = match value.split_once(';') {
        Some((kind, rest)) if !kind.contains('@') => rest,
        _ => value,
    };
    plain(value)
}

/// One address alone, with or without brackets, quotes, a route or a comment.
pub fn plain(value: &str) -> Option<String> {
    let value = value.trim();
    let inner = match (value.rfind('<'), value.rfind('>')) {
        (Some(start), Some(end)) if start < end => &value[start + 1..end],
        _ => value.split(" (").next().unwrap_or(value),
    };
    let trimmed = inner.trim_matches(|c: char| c.is_whitespace() || "<>[]()'`,;".contains(c));
    let trimmed = trimmed.trim_end_matches('.');
    let lower = trimmed.to_ascii_lowercase();
    let bare = match ["smtp:", "mailto:", "rfc822:", "internet:"]
        .iter()
        .find(|scheme| lower.starts_with(**scheme))
    {
        Some(scheme) => &trimmed[scheme.len()..],
        None => trimmed,
    };
    let bare = match (bare.starts_with('@'), bare.split_once(':')) {
        (true, Some((_, routed))) => routed,
        _ => bare,
    };
    let bare = decapsulated(bare).unwrap_or_else(|| bare.to_owned());
    let (local, domain) = bare.rsplit_once('@')?;
    let is_quoted = local.starts_with('"') && local.ends_with('"');
    let is_clean = |text: &str| !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let is_domain = !domain.is_empty() && is_clean(domain) && !domain.contains(['/', '=', '<']);
    (is_domain && !local.is_empty() && (is_quoted || is_clean(local))).then_some(bare)
}

/// Exchange wraps foreign addresses: `IMCEASMTP-a+40b+2Eexample@gateway.example`.
fn decapsulated(text: &str) -> Option<String> {
    let (local, _) = text.rsplit_once('@')?;
    let lower = local.to_ascii_lowercase();
    let wrapped = lower.strip_prefix("imceasmtp-")?;
    let wrapped = &local[local.len() - wrapped.len()..];
    let mut out = Vec::with_capacity(wrapped.len());
    let mut rest = wrapped.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let pair = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match pair.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(octet) if *first == b'+' => {
                out.push(octet);
                rest = &tail[2..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).ok().filter(|address| address.contains('@'))
}

/// The addresses of a To, Cc or From field.
pub fn listed(value: &str) -> Vec<String> {
    let mut found: Vec<String> = in_line(value).into_iter().map(|found| found.address).collect();
    // `"a@b.example" <a@b.example>` names one address twice.
    found.dedup_by(|one, other| same(one, other));
    found
}

/// The same mailbox to all that operators tell apart.
pub fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// A mailbox that tells of mail and is not written to: `MAILER-DAEMON@…`.
pub fn is_daemon(address: &str) -> bool {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    let local: String =
        local.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    const NAMES: &[&str] = &[
        "mailerdaemon",
        "postmaster",
        "maildaemon",
        "mdaemon",
        "maildeliverysystem",
        "maildeliverysubsystem",
        "systemadministrator",
        "mailadmin",
        "mailsystem",
        "postoffice",
        "bounce",
        "mailmaster",
        "mailerdeamon",
        "smtpgateway",
        "bouncehandler",
    ];
    NAMES.iter().any(|name| local.starts_with(name))
}

/// What operators put in place of a recipient whom they do not tell.
pub fn is_redacted(address: &str) -> bool {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    let lower = local.to_ascii_lowercase();
    let is_blank = local.chars().all(|c| matches!(c, 'x' | 'X' | '*' | '?' | '-' | '.'));
    lower.contains("redacted") || lower.contains("hidden") || lower == "undisclosed" || is_blank
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_addresses_are_read_however_they_are_dressed() {
        let cases = [
            ("rfc822; a@b.example", Some("a@b.example")),
            ("RFC822;<a@b.example> (gone)", Some("a@b.example")),
            ("a@b.example", Some("a@b.example")),
            ("rfc822; @hub.example:a@b.example", Some("a@b.example")),
            ("rfc822; IMCEASMTP-a+2Ec+40b+2Eexample@gateway.example", Some("a.c@b.example")),
            ("rfc822; \"a b\"@c.example", Some("\"a b\"@c.example")),
            ("X-Local; alice", None),
            ("rfc822; /dev/null", None),
            ("x400; /G=Ann/S=Ex/@gw.example", Some("/G=Ann/S=Ex/@gw.example")),
            ("rfc822; ", None),
        ];
        for (value, expected) in cases {
            assert_eq!(typed(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn addresses_of_a_sentence_lose_what_is_around_them() {
        let texts = |line: &str| -> Vec<String> {
            in_line(line).into_iter().map(|found| found.address).collect()
        };
        assert_eq!(texts("<a.b@c.example>: to 'd@e.example'."), ["a.b@c.example", "d@e.example"]);
        assert_eq!(texts("RCPT TO:<x+y=z@c-d.example>... no"), ["x+y=z@c-d.example"]);
        assert_eq!(texts("rcpt=<a@b.example> to=a@b.example"), ["a@b.example"; 2]);
        assert_eq!(texts("no address @ all, a@localhost"), [""; 0]);
    }

    #[test]
    fn daemons_and_redactions_are_known() {
        assert!(is_daemon("Mailer-Daemon@b.example") && is_daemon("POSTMASTER"));
        assert!(!is_daemon("post@b.example"));
        assert!(is_redacted("redacted-a1b2@yahoo.example") && is_redacted("xxxx@b.example"));
        assert!(!is_redacted("xaver@b.example"));
    }
}
