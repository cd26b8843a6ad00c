//! What bounces say in words: phrases of mail systems, in a dozen languages, and their class.
//!
//! The answers of SMTP hosts have rules of their own (`classify`). This table is for what gateways
//! and old systems write about them, often without any code.

use std::sync::LazyLock;

use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::model::{Class, Enhanced};

/// So much of a text is looked at: reasons are short, and what follows them is boilerplate.
const TEXT_BYTES_MAX: usize = 4096;
/// Room of the compiled table.
const TABLE_BYTES_MAX: usize = 64 * 1024 * 1024;

struct Table {
    classes: Vec<Class>,
    patterns: RegexSet,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut class = Class::Unknown;
    let (mut classes, mut patterns) = (Vec::new(), Vec::new());
    let rows = include_str!("phrases.txt").lines();
    for row in rows.filter(|row| !row.is_empty() && !row.starts_with("# ")) {
        match row.strip_prefix('[').and_then(|row| row.strip_suffix(']')) {
            Some(name) => class = name.parse().unwrap_or(Class::Unknown),
            None => {
                classes.push(class);
                patterns.push(row);
            }
        }
    }
    // Octets, not characters: a gap of sixty octets costs sixty states and no more.
    let patterns = RegexSetBuilder::new(patterns)
        .unicode(false)
        .size_limit(TABLE_BYTES_MAX)
        .build()
        .expect("the table is a constant, and a test builds it");
    Table { classes, patterns }
});

/// The class that the words of a text name.
pub fn class_of(text: &str) -> Option<Class> {
    let text = squeezed(text);
    let hits = TABLE.patterns.matches(text.as_bytes());
    hits.iter().next().map(|row| TABLE.classes[row])
}

/// In lower case, white space as single spaces, cut.
pub fn squeezed(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_BYTES_MAX));
    for word in text.split_whitespace() {
        if out.len() + word.len() > TEXT_BYTES_MAX {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        // Curly apostrophes of localized texts are told apart by nobody.
        out.extend(word.chars().flat_map(char::to_lowercase).map(|c| match c {
            '\u{2019}' | '\u{2018}' | '`' => '\'',
            _ => c,
        }));
    }
    out
}

/// What a code says where no word does (RFC 3463 and the registry of IANA).
pub const fn class_of_code(code: Enhanced) -> Option<Class> {
    Some(match (code.1, code.2) {
        (1, 2) => Class::DomainInvalid,
        (1, 7 | 8) => Class::SenderRefused,
        (1, 9) => Class::Policy,
        (1, 0 | 1 | 3..=6 | 10) => Class::MailboxInvalid,
        (2, 1) => Class::MailboxInactive,
        (2, 2) => Class::MailboxFull,
        (2, 3) | (3, 4) => Class::TooBig,
        (2, 4) => Class::Policy,
        (3, _) => Class::System,
        (4, 4) => Class::DomainInvalid,
        (4, 3) => Class::Dns,
        (4, 7) => Class::Expired,
        (4, _) => Class::Network,
        (5, 3) => Class::RateMessages,
        (5, _) | (6, _) => Class::System,
        (7, 20..=27) => Class::Authentication,
        (7, 28) => Class::RateMessages,
        (7, _) => Class::Policy,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_has_a_known_class() {
        assert!(TABLE.classes.len() > 100);
        assert!(!TABLE.classes.contains(&Class::Unknown));
    }

    #[test]
    fn words_of_many_systems_and_languages_are_known() {
        let cases = [
            (Class::MailboxInvalid, "User foo (foo@b.example) not listed in Domino Directory"),
            (Class::MailboxInvalid, "This user doesn't have a yahoo.com account"),
            (Class::MailboxInvalid, "sorry, no mailbox here by that name. (#5.1.1)"),
            (Class::MailboxInvalid, "Der Empfänger wurde nicht gefunden"),
            (Class::MailboxInvalid, "Пользователь не найден"),
            (Class::MailboxInvalid, "アドレスが存在しません"),
            (Class::MailboxInvalid, "unknown or illegal alias: ann@b.example"),
            (Class::MailboxInvalid, "Delivered to: 550 <a@b.example>: invalid address"),
            (Class::MailboxFull, "User mailbox exceeds allowed size: a@b.example"),
            (Class::MailboxFull, "552 Quota violation for a@b.example"),
            (Class::MailboxFull, "la boîte de réception du destinataire est pleine"),
            (Class::MailboxFull, "あて先のメールボックスの容量を超えています"),
            (Class::MailboxFull, "As their mailbox is full."),
            (Class::MailboxInactive, "The user(s) account is disabled."),
            (Class::MailboxInactive, "550 5.2.1 mailbox disabled, not accepting messages"),
            (Class::DomainInvalid, "Host or domain name not found. Name service error for name=x"),
            (Class::DomainInvalid, "550 5.1.2 <a@b.example>... Host unknown"),
            (Class::DomainInvalid, "The domain b.example does not exist"),
            (Class::SenderRefused, "Domain of sender address a@b.example does not exist"),
            (Class::Network, "connect to mx.b.example[192.0.2.1]: Connection refused"),
            (Class::Network, "Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)"),
            (Class::Expired, "retry timeout exceeded"),
            (Class::TooBig, "552 5.3.4 Message size exceeds fixed limit"),
            (Class::Blocklisted, "554 Service unavailable; blocked using bl.spamcop.net"),
            (Class::Content, "550 this message scored high on the spam scale"),
            (Class::Authentication, "550 5.7.26 unauthenticated email from b.example (DMARC)"),
            (Class::RelayDenied, "550 5.7.1 Unable to relay for a@b.example"),
            (Class::System, "451 Insufficient system storage"),
            (Class::RateMessages, "450 4.2.1 user is receiving mail at a rate that prevents"),
            (Class::Policy, "550 Administrative prohibition"),
        ];
        for (class, text) in cases {
            assert_eq!(class_of(text), Some(class), "{text}");
        }
        assert_eq!(class_of("hello"), None);
    }
}
