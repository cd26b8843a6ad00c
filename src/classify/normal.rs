//! A reply's text as words: lower case, without accents, punctuation and what changes each time.
//!
//! Owns:       how text is folded and what stands for ids, addresses, hosts, IPs and numbers.
//! Promises:   bounded in time and length whatever comes in; two replies of one kind give one text.
//! Knows not:  rules, classes.
//!
//! The text begins with `^` and ends with `$`, and each word stands between single spaces, so that
//! a phrase of whole words is found by a plain search. Characters of scripts without spaces are
//! words by themselves.

use std::net::IpAddr;

/// Of a reply's text; the rest teaches nothing.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Of the words together.
const WORDS_BYTES_MAX: usize = 2048;
const WORD_BYTES_MAX: usize = 64;

/// Hosts whose names say why, each by the end of its name.
const TELLING: [&str; 27] = [
    "spamhaus.org",
    "spamhaus.com",
    "spamhaus.net",
    "spamcop.net",
    "sorbs.net",
    "barracudacentral.org",
    "barracudanetworks.com",
    "surbl.org",
    "uribl.com",
    "uceprotect.net",
    "invaluement.com",
    "manitu.net",
    "mailspike.net",
    "psbl.org",
    "spamrats.com",
    "dronebl.org",
    "backscatterer.org",
    "abuseat.org",
    "njabl.org",
    "mail-abuse.com",
    "mail-abuse.org",
    "mail-abuse.net",
    "senderscore.com",
    "senderbase.org",
    "cloudmark.com",
    "openspf.org",
    "junkemailfilter.com",
];
/// Ends of names that nobody can register (RFC 2606, RFC 6762) and servers have nevertheless.
const PRIVATE: [&str; 8] =
    ["example", "test", "invalid", "local", "localdomain", "lan", "internal", "corp"];
/// Ends of names that are words of a language too: "denied.in", "full.it".
const WORDS_TOO: [&str; 22] = [
    "no", "it", "is", "to", "in", "me", "at", "be", "so", "my", "do", "as", "an", "am", "by", "us",
    "de", "la", "es", "id", "se", "et",
];

/// As it is matched and grouped: `^ user <email> unknown $`.
pub fn normal(text: &str) -> String {
    let text = clipped(text, TEXT_BYTES_MAX);
    let mut words = Words::new();
    // What mail servers write for a line's end when they quote.
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let broken = word.replace("\\r\\n", " ").replace("\\n", " ").replace("\\r", " ");
        broken.split(' ').for_each(|word| words.take(word));
        if words.is_full() {
            break;
        }
    }
    words.end()
}

/// As rules write it: the same folding, without stand-ins, since a rule names words. Stand-ins
/// such as `<email>` may be written.
pub fn plain(text: &str) -> String {
    let mut words = String::new();
    for word in text.split_whitespace() {
        let is_stand_in = STAND_INS.contains(&word);
        if is_stand_in || matches!(word, "^" | "$") {
            push(&mut words, word);
        } else {
            split(&fold(word)).for_each(|part| push(&mut words, part));
        }
    }
    words
}

const STAND_INS: [&str; 6] = ["<email>", "<ip>", "<url>", "<host>", "<id>", "<n>"];

fn push(words: &mut String, word: &str) {
    if !words.is_empty() {
        words.push(' ');
    }
    words.push_str(word);
}

struct Words {
    text: String,
}

impl Words {
    fn new() -> Words {
        Words { text: "^".to_owned() }
    }

    fn is_full(&self) -> bool {
        self.text.len() >= WORDS_BYTES_MAX
    }

    fn end(mut self) -> String {
        self.text.push_str(" $");
        self.text
    }

    /// A stand-in after the same stand-in says nothing new.
    fn stand_in(&mut self, what: &str) {
        if !self.text.ends_with(what) {
            push(&mut self.text, what);
        }
    }

    fn take(&mut self, raw: &str) {
        let word = raw.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '@' | ':'));
        if word.is_empty() || self.is_full() {
            return;
        }
        let folded = fold(word);
        if let Some((before, url)) = url_in(&folded) {
            self.parts(before);
            return self.url(url);
        }
        match at_in(&folded) {
            Some((before, rest)) => {
                self.parts(before);
                self.stand_in("<email>");
                self.parts(rest);
            }
            None => self.pieces(&folded),
        }
    }

    /// Told apart by what no name, address or code has in it.
    fn pieces(&mut self, word: &str) {
        if is_ip(word) {
            return self.stand_in("<ip>");
        }
        if is_host(word) {
            return self.host(word);
        }
        if is_id(word) {
            return self.stand_in("<id>");
        }
        let apart =
            |c: char| matches!(c, '/' | '=' | '(' | ')' | '[' | ']' | '<' | '>' | ',' | ';');
        word.split(apart).for_each(|piece| self.piece(piece));
    }

    fn piece(&mut self, piece: &str) {
        let piece = piece.trim_matches(|c: char| !c.is_alphanumeric());
        let named = piece.strip_prefix("ip:").or(piece.strip_prefix("ipv6:")).unwrap_or(piece);
        if named.is_empty() {
        } else if is_ip(named) || is_ip(named.split(':').next().unwrap_or(named)) {
            self.stand_in("<ip>");
        } else if is_host(named) {
            self.host(named);
        } else {
            self.parts(named);
        }
    }

    fn parts(&mut self, word: &str) {
        if is_id(word) {
            return self.stand_in("<id>");
        }
        for part in split(word) {
            if self.is_full() {
                return;
            }
            if part.len() > 3 && part.bytes().all(|b| b.is_ascii_digit()) {
                self.stand_in("<n>");
            } else if is_id(part) {
                self.stand_in("<id>");
            } else {
                push(&mut self.text, clipped(part, WORD_BYTES_MAX));
            }
        }
    }

    fn host(&mut self, host: &str) {
        let telling = TELLING.iter().find(|end| {
            host.strip_suffix(**end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        });
        match telling {
            Some(known) => split(known).for_each(|part| push(&mut self.text, part)),
            None => self.stand_in("<host>"),
        }
    }

    /// The words of its path say why ("?p=NoSuchUser"), its host only when it is a telling one.
    fn url(&mut self, url: &str) {
        self.stand_in("<url>");
        let (host, path) = url.split_once('/').unwrap_or((url, ""));
        if is_telling(host) {
            self.host(host);
        }
        for part in path.split(|c: char| !c.is_ascii_alphanumeric()) {
            let shows =
                (3..=24).contains(&part.len()) && part.bytes().any(|b| b.is_ascii_alphabetic());
            if shows && !is_id(part) && !matches!(part, "html" | "htm" | "php" | "aspx" | "www") {
                push(&mut self.text, part);
            }
        }
    }
}

fn is_telling(host: &str) -> bool {
    TELLING.iter().any(|end| host.ends_with(end))
}

/// `http://host/path`, also `see:https://…` and `www.host/path`: what is before it, and it.
fn url_in(word: &str) -> Option<(&str, &str)> {
    let starts = ["http://", "https://", "www."];
    starts.iter().find_map(|start| {
        let (before, url) = word.split_once(start)?;
        Some((before, url.trim_matches(|c: char| !c.is_ascii_alphanumeric())))
    })
}

/// `rcpt:<a@b.example>:rest`: what is before the address, and what is after it.
fn at_in(word: &str) -> Option<(&str, &str)> {
    let (local, rest) = word.split_once('@')?;
    let domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '[' | ']' | '_');
    let end = rest.find(|c: char| !domain(c)).unwrap_or(rest.len());
    // sendmail: "bob@example.com...User unknown".
    let end = rest.find("..").map_or(end, |dots| dots.min(end));
    let apart = |c: char| matches!(c, '<' | '(' | '[' | ':' | ';' | ',' | '"' | '\'');
    let start = local.rfind(apart).map_or(0, |at| at + 1);
    (start < local.len() || end > 0).then(|| (&local[..start], &rest[end..]))
}

fn is_ip(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != ':');
    word.len() >= 3 && (word.contains('.') || word.contains(':')) && word.parse::<IpAddr>().is_ok()
}

/// `mx1.example.com`, not `rejected.please` and not `5.7.1`.
fn is_host(word: &str) -> bool {
    let lawful = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !word.contains('.') || !word.chars().all(lawful) {
        return false;
    }
    let labels: Vec<&str> = word.split('.').collect();
    let Some(last) = labels.last() else { return false };
    let shaped = labels.iter().all(|label| !label.is_empty());
    if !shaped || !last.bytes().all(|b| b.is_ascii_alphabetic()) || last.len() < 2 {
        return false;
    }
    // Servers forget the space behind a full stop.
    let doubtful = labels.len() == 2 && WORDS_TOO.contains(last);
    let known = || psl::suffix(word.as_bytes()).is_some_and(|suffix| suffix.is_known());
    !doubtful && (PRIVATE.contains(last) || known())
}

/// A queue id, a hash, a session: letters and digits mixed as no word is.
fn is_id(word: &str) -> bool {
    let length = word.len();
    let lawful = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+');
    if length < 6 || !word.bytes().all(lawful) {
        return false;
    }
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
    let hex = word.bytes().all(|b| b.is_ascii_hexdigit());
    let mixed = word.as_bytes().windows(2).filter(|two| {
        two[0].is_ascii_digit() != two[1].is_ascii_digit()
            && two.iter().all(u8::is_ascii_alphanumeric)
    });
    let mixes = mixed.count();
    digits > 0
        && letters > 0
        && (mixes >= 3 || (hex && length >= 8) || (mixes >= 1 && length >= 16))
}

/// Words between what is no letter, digit or dot inside of a number.
fn split(word: &str) -> impl Iterator<Item = &str> {
    word.split(|c: char| !c.is_alphanumeric() && c != '.').flat_map(|part| {
        let part = part.trim_matches('.');
        let numeric = part.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        part.split(move |c: char| c == '.' && !numeric).flat_map(scripts)
    })
}

/// Each character of a script without spaces by itself, the rest together.
fn scripts(part: &str) -> impl Iterator<Item = &str> {
    let mut rest = part;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = if is_apart(first) {
            first.len_utf8()
        } else {
            rest.find(is_apart).unwrap_or(rest.len())
        };
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// Thai, Kana, Han, Hangul.
const fn is_apart(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{e7f}' | '\u{2e80}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}')
}

/// Lower case and without accents: half of the servers of a language write without them.
fn fold(word: &str) -> String {
    let mut folded = String::with_capacity(word.len());
    for c in word.chars().flat_map(char::to_lowercase) {
        match c {
            'à'..='å' | 'ā' | 'ă' | 'ą' | 'ạ'..='ặ' => folded.push('a'),
            'æ' => folded.push_str("ae"),
            'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => folded.push('c'),
            'ď' | 'đ' | 'ð' => folded.push('d'),
            'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' | 'ẹ'..='ệ' => folded.push('e'),
            'ĝ' | 'ğ' | 'ġ' | 'ģ' => folded.push('g'),
            'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ỉ'..='ị' => folded.push('i'),
            'ĺ' | 'ļ' | 'ľ' | 'ł' => folded.push('l'),
            'ñ' | 'ń' | 'ņ' | 'ň' => folded.push('n'),
            'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'ơ' | 'ọ'..='ợ' => folded.push('o'),
            'œ' => folded.push_str("oe"),
            'ŕ' | 'ŗ' | 'ř' => folded.push('r'),
            'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => folded.push('s'),
            'ß' => folded.push_str("ss"),
            'ţ' | 'ť' | 'ț' => folded.push('t'),
            'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ư' | 'ụ'..='ự' => {
                folded.push('u')
            }
            'ý' | 'ÿ' | 'ỳ'..='ỹ' => folded.push('y'),
            'ź' | 'ż' | 'ž' => folded.push('z'),
            'ё' => folded.push('е'),
            // A combining mark, and the typographic apostrophe.
            '\u{300}'..='\u{36f}' => {}
            '’' | '‘' | '`' | '´' => folded.push('\''),
            c => folded.push(c),
        }
    }
    folded
}

fn clipped(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let mut end = bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_each_time_is_replaced_and_what_says_why_stays() {
        for (text, expected) in [
            ("<bob@example.com>: User unknown.", "^ <email> user unknown $"),
            ("User's mailbox is full!", "^ user s mailbox is full $"),
            ("host mx1.example.com[192.0.2.1] said", "^ host <host> <ip> said $"),
            ("blocked using zen.spamhaus.org; see", "^ blocked using spamhaus org see $"),
            (
                "see https://support.google.com/mail/?p=NoSuchUser 98e67ed59e1d1-2f54a1csi12.52",
                "^ see <url> mail nosuchuser <id> $",
            ),
            ("message rejected.Please try (#5.7.1)", "^ message rejected please try 5.7.1 $"),
            ("[TSS04] (S3140) OU-002 AUP#In-1310", "^ tss04 s3140 ou 002 aup in <n> $"),
            ("Empfänger unbekannt", "^ empfanger unbekannt $"),
            ("Skrzynka pełna", "^ skrzynka pelna $"),
            ("Người dùng không tồn tại", "^ nguoi dung khong ton tai $"),
            ("邮箱已满 full", "^ 邮 箱 已 满 full $"),
            ("[2001:db8::1] ip=192.0.2.7", "^ <ip> ip <ip> $"),
            ("line one\\r\\nline two", "^ line one line two $"),
            ("bob@example.com...User unknown", "^ <email> user unknown $"),
            ("denied.in", "^ denied in $"),
            ("RCPT TO:<bob@example.com> refused", "^ rcpt to <email> refused $"),
        ] {
            assert_eq!(normal(text), expected, "{text}");
        }
    }

    #[test]
    fn a_phrase_of_a_rule_folds_to_the_words_of_a_text() {
        assert_eq!(plain("Boîte aux lettres <email> d'un"), "boite aux lettres <email> d un");
        assert_eq!(plain("用户不存在"), "用 户 不 存 在");
    }

    #[test]
    fn a_text_is_cut_and_never_grows() {
        let long = "word ".repeat(100_000);
        assert!(normal(&long).len() < WORDS_BYTES_MAX + 2 * WORD_BYTES_MAX);
        let one = "a".repeat(1_000_000);
        assert!(normal(&one).len() < WORDS_BYTES_MAX);
    }
}
