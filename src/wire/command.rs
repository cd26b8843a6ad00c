//! One SMTP command line and its parameters.
//!
//! Owns:       the grammar of what a client may say (RFC 5321 §4.1, RFC 1870, 3030, 3461, 4954,
//!             6152, 6531), with our own answer to each mistake.
//! Promises:   never panics; no control character passes; addresses go through `model::Address`
//!             and nothing else, so permission, suppression and routing see the same domain (A8).
//! Knows not:  which command is in order now.
//!
//! The parser is our own: smtp-proto 0.2.5 takes `<postmaster>` for `<>`, drops the quotes of a
//! local part and lets bare LF pass, so every hot line would be read twice.

use crate::model::{Address, AddressError, Domain, DsnReturn, Notify, ReversePath};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Ehlo(&'a str),
    Helo(&'a str),
    Mail(MailFrom<'a>),
    Rcpt(RcptTo<'a>),
    Data,
    Bdat { octets: u64, last: bool },
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help,
    Auth { mechanism: Mechanism, initial: Option<&'a str> },
    StartTls,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailFrom<'a> {
    pub sender: ReversePath,
    /// SIZE, in octets (RFC 1870); beyond what 64 bits hold it is the largest number.
    pub size: Option<u64>,
    pub eight_bit: bool,
    pub smtputf8: bool,
    pub dsn_return: Option<DsnReturn>,
    /// ENVID as it was given, in xtext.
    pub envelope_id: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptTo<'a> {
    pub address: Address,
    pub notify: Notify,
    /// ORCPT as it was given: `rfc822;` and xtext.
    pub original: Option<&'a str>,
    /// Something in the line is not ASCII, which only SMTPUTF8 allows.
    pub utf8: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    Login,
}

/// `Display` is for the log; `reply` is what the client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("a control character, or octets that are not UTF-8")]
    Octets,
    #[error("no such command")]
    Unknown,
    #[error("a web client or another protocol's")]
    OtherProtocol,
    #[error("a command that is not offered")]
    NotOffered,
    #[error("arguments that the command does not take, or none where it needs one")]
    Arguments,
    #[error("a host name that cannot be one")]
    HostName,
    #[error("sender: {0}")]
    Sender(AddressError),
    #[error("recipient: {0}")]
    Recipient(AddressError),
    #[error("a parameter that was not announced")]
    ParameterUnknown,
    #[error("a parameter twice, or with a value that it cannot have")]
    ParameterValue,
    #[error("an address that is not ASCII, without SMTPUTF8")]
    NeedsSmtpUtf8,
    #[error("an unknown AUTH mechanism")]
    Mechanism,
    #[error("a BDAT size that cannot be read")]
    ChunkSize,
}

impl CommandError {
    pub const fn reply(&self) -> &'static str {
        match self {
            Self::Octets => "500 5.5.2 Control characters and broken UTF-8 are refused",
            Self::Unknown => "500 5.5.1 Command not recognized",
            Self::OtherProtocol => "521 5.5.1 This is an SMTP server",
            Self::NotOffered => "502 5.5.1 Command not implemented",
            Self::Arguments => "501 5.5.4 Syntax error in the arguments",
            Self::HostName => "501 5.5.4 Say your host name or address literal",
            Self::Sender(AddressError::Literal) => {
                "553 5.1.7 Address literals are not taken as senders"
            }
            Self::Sender(_) => "501 5.1.7 Bad sender address syntax",
            Self::Recipient(AddressError::Literal) => {
                "550 5.1.2 Mail to address literals is not taken"
            }
            Self::Recipient(AddressError::NoAt) => {
                "550 5.1.3 Say the whole address, with its domain"
            }
            Self::Recipient(_) => "501 5.1.3 Bad recipient address syntax",
            Self::ParameterUnknown => "555 5.5.4 Parameter not recognized",
            Self::ParameterValue => "501 5.5.4 Bad or repeated parameter",
            Self::NeedsSmtpUtf8 => "553 5.6.7 Addresses outside ASCII need SMTPUTF8",
            Self::Mechanism => "504 5.5.4 AUTH mechanism not recognized",
            Self::ChunkSize => "501 5.5.4 Bad BDAT size",
        }
    }

    /// What follows such a line cannot be told from commands, so the session ends.
    pub const fn ends_session(&self) -> bool {
        matches!(self, Self::ChunkSize | Self::OtherProtocol)
    }
}

type Result<T> = std::result::Result<T, CommandError>;

impl<'a> Command<'a> {
    /// `line` without its CRLF.
    pub fn parse(line: &'a [u8]) -> Result<Command<'a>> {
        if line.iter().any(u8::is_ascii_control) {
            return Err(CommandError::Octets);
        }
        let text = std::str::from_utf8(line).map_err(|_| CommandError::Octets)?;
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim_matches(' ');
        match verb.len() {
            4 => four_letters(verb, rest),
            8 if verb.eq_ignore_ascii_case("STARTTLS") => bare(rest, Command::StartTls),
            7 if verb.eq_ignore_ascii_case("CONNECT") => Err(CommandError::OtherProtocol),
            3 if verb.eq_ignore_ascii_case("GET") || verb.eq_ignore_ascii_case("PUT") => {
                Err(CommandError::OtherProtocol)
            }
            _ => Err(CommandError::Unknown),
        }
    }
}

fn four_letters<'a>(verb: &str, rest: &'a str) -> Result<Command<'a>> {
    let mut upper = [0u8; 4];
    upper.copy_from_slice(verb.as_bytes());
    upper.make_ascii_uppercase();
    match &upper {
        b"MAIL" => mail(rest).map(Command::Mail),
        b"RCPT" => rcpt(rest).map(Command::Rcpt),
        b"DATA" => bare(rest, Command::Data),
        b"BDAT" => bdat(rest),
        b"EHLO" => host_name(rest).map(Command::Ehlo),
        b"HELO" => host_name(rest).map(Command::Helo),
        b"RSET" => bare(rest, Command::Rset),
        b"QUIT" => bare(rest, Command::Quit),
        b"NOOP" => Ok(Command::Noop),
        b"HELP" => Ok(Command::Help),
        b"VRFY" if rest.is_empty() => Err(CommandError::Arguments),
        b"VRFY" => Ok(Command::Vrfy),
        b"AUTH" => auth(rest),
        b"EXPN" | b"TURN" | b"ETRN" | b"ATRN" | b"SEND" | b"SOML" | b"SAML" | b"BURL" => {
            Err(CommandError::NotOffered)
        }
        b"POST" | b"HEAD" => Err(CommandError::OtherProtocol),
        _ => Err(CommandError::Unknown),
    }
}

fn bare<'a>(rest: &str, command: Command<'a>) -> Result<Command<'a>> {
    if rest.is_empty() { Ok(command) } else { Err(CommandError::Arguments) }
}

/// Liberal, since clients say what their machine happens to be called, but of an alphabet that
/// can do no harm in a Received field or a log.
fn host_name(rest: &str) -> Result<&str> {
    let lawful = (1..=255).contains(&rest.len())
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
    if lawful { Ok(rest) } else { Err(CommandError::HostName) }
}

fn bdat(rest: &str) -> Result<Command<'_>> {
    let (size, last) = match rest.split_once(' ') {
        Some((size, word)) if word.trim_matches(' ').eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return Err(CommandError::ChunkSize),
        None => (rest, false),
    };
    let octets = number(size).ok_or(CommandError::ChunkSize)?;
    // A saturated number means that nobody knows how much follows.
    if octets == u64::MAX {
        Err(CommandError::ChunkSize)
    } else {
        Ok(Command::Bdat { octets, last })
    }
}

/// 1 to 20 digits (RFC 1870 §4); too large a number saturates.
fn number(text: &str) -> Option<u64> {
    let lawful = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    lawful.then(|| text.parse().unwrap_or(u64::MAX))
}

fn auth(rest: &str) -> Result<Command<'_>> {
    let (name, initial) = match rest.split_once(' ') {
        Some((name, initial)) => (name, Some(initial.trim_start_matches(' '))),
        None => (rest, None),
    };
    let mechanism = match name {
        "" => return Err(CommandError::Arguments),
        _ if name.eq_ignore_ascii_case("PLAIN") => Mechanism::Plain,
        _ if name.eq_ignore_ascii_case("LOGIN") => Mechanism::Login,
        _ => return Err(CommandError::Mechanism),
    };
    Ok(Command::Auth { mechanism, initial })
}

fn mail(rest: &str) -> Result<MailFrom<'_>> {
    let (path, parameters) = path(rest, "FROM:").ok_or(CommandError::Arguments)?;
    let sender = ReversePath::parse(without_route(path)).map_err(CommandError::Sender)?;
    let mut mail = MailFrom { sender, ..MailFrom::default() };
    let mut seen = 0;
    for parameter in words(parameters) {
        let (bit, keyword, value) = known(parameter, MAIL_KEYWORDS)?;
        once(&mut seen, bit)?;
        match (keyword, value) {
            ("SIZE", Some(value)) => mail.size = Some(number(value).ok_or(BAD)?),
            ("BODY", Some(value)) => mail.eight_bit = eight_bit(value)?,
            ("SMTPUTF8", None) => mail.smtputf8 = true,
            ("RET", Some(value)) => mail.dsn_return = Some(dsn_return(value)?),
            ("ENVID", Some(value)) => mail.envelope_id = Some(xtext(value, 100)?),
            // RFC 4954 §5: a client that is not trusted to say so counts as having said `<>`.
            ("AUTH", Some(value)) => xtext(value, 500).map(|_| ())?,
            _ => return Err(BAD),
        }
    }
    if !mail.smtputf8 && !rest.is_ascii() {
        return Err(CommandError::NeedsSmtpUtf8);
    }
    Ok(mail)
}

fn rcpt(rest: &str) -> Result<RcptTo<'_>> {
    let (path, parameters) = path(rest, "TO:").ok_or(CommandError::Arguments)?;
    if path.is_empty() {
        return Err(CommandError::Recipient(AddressError::Local));
    }
    let address = Address::parse(without_route(path)).map_err(CommandError::Recipient)?;
    let mut rcpt =
        RcptTo { address, notify: Notify::default(), original: None, utf8: !rest.is_ascii() };
    let mut seen = 0;
    for parameter in words(parameters) {
        let (bit, keyword, value) = known(parameter, RCPT_KEYWORDS)?;
        once(&mut seen, bit)?;
        match (keyword, value) {
            ("NOTIFY", Some(value)) => rcpt.notify = notify(value)?,
            ("ORCPT", Some(value)) => rcpt.original = Some(original(value)?),
            _ => return Err(BAD),
        }
    }
    Ok(rcpt)
}

const BAD: CommandError = CommandError::ParameterValue;
const MAIL_KEYWORDS: &[&str] = &["SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"];
const RCPT_KEYWORDS: &[&str] = &["NOTIFY", "ORCPT"];

/// What stands in the angle brackets after `prefix`, and what follows them. A space after the
/// colon is taken, as every server does since many clients send one.
fn path<'a>(rest: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    let (head, tail) = rest.split_at_checked(prefix.len())?;
    let inside = tail.trim_start_matches(' ').strip_prefix('<')?;
    let end = closing_bracket(inside.as_bytes())?;
    let after = &inside[end + 1..];
    let lawful = head.eq_ignore_ascii_case(prefix) && (after.is_empty() || after.starts_with(' '));
    lawful.then(|| (&inside[..end], after))
}

/// The first `>` that does not stand in a quoted local part.
fn closing_bracket(text: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.iter().position(|&b| {
        let found = b == b'>' && !quoted;
        if b == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && b == b'\\' && !escaped;
        found
    })
}

/// RFC 5321 §4.1.2: a source route is taken and forgotten. What is no lawful route is left as it
/// is, so that the address parser refuses it.
fn without_route(path: &str) -> &str {
    let Some((route, address)) = path.split_once(':').filter(|_| path.starts_with('@')) else {
        return path;
    };
    let lawful = |hop: &str| hop.strip_prefix('@').is_some_and(|name| Domain::parse(name).is_ok());
    if route.split(',').all(lawful) { address } else { path }
}

fn words(parameters: &str) -> impl Iterator<Item = &str> {
    parameters.split(' ').filter(|word| !word.is_empty())
}

/// The keyword's place in the list, its name, and its value.
fn known<'a>(
    parameter: &'a str,
    keywords: &'static [&'static str],
) -> Result<(usize, &'static str, Option<&'a str>)> {
    let (name, value) = match parameter.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (parameter, None),
    };
    let place = keywords.iter().position(|keyword| keyword.eq_ignore_ascii_case(name));
    let place = place.ok_or(CommandError::ParameterUnknown)?;
    Ok((place, keywords[place], value))
}

fn once(seen: &mut u8, place: usize) -> Result<()> {
    let bit = 1 << place;
    if *seen & bit != 0 {
        return Err(BAD);
    }
    *seen |= bit;
    Ok(())
}

/// BINARYMIME is not announced, so it is a parameter that we do not know.
fn eight_bit(value: &str) -> Result<bool> {
    match value {
        _ if value.eq_ignore_ascii_case("7BIT") => Ok(false),
        _ if value.eq_ignore_ascii_case("8BITMIME") => Ok(true),
        _ => Err(CommandError::ParameterUnknown),
    }
}

fn dsn_return(value: &str) -> Result<DsnReturn> {
    match value {
        _ if value.eq_ignore_ascii_case("FULL") => Ok(DsnReturn::Full),
        _ if value.eq_ignore_ascii_case("HDRS") => Ok(DsnReturn::Headers),
        _ => Err(BAD),
    }
}

/// RFC 3461 §4.1: `NEVER` alone, or a list without it.
fn notify(value: &str) -> Result<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(Notify::NEVER);
    }
    let mut notify = Notify::NEVER;
    for word in value.split(',') {
        let flag = match word {
            _ if word.eq_ignore_ascii_case("SUCCESS") => &mut notify.success,
            _ if word.eq_ignore_ascii_case("FAILURE") => &mut notify.failure,
            _ if word.eq_ignore_ascii_case("DELAY") => &mut notify.delay,
            _ => return Err(BAD),
        };
        *flag = true;
    }
    Ok(notify)
}

/// RFC 3461 §4: printable ASCII without `+` and `=`, or `+` and two upper-case hex digits. What
/// the digits stand for must be printable too: it is written into reports.
fn xtext(value: &str, length_max: usize) -> Result<&str> {
    let bytes = value.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        at += match bytes[at] {
            b'+' => {
                let digits = bytes.get(at + 1..at + 3).ok_or(BAD)?;
                let decoded = hex(digits[0]).zip(hex(digits[1])).ok_or(BAD)?;
                if !matches!(decoded.0 << 4 | decoded.1, b' '..=b'~') {
                    return Err(BAD);
                }
                3
            }
            b'!'..=b'~' if bytes[at] != b'=' => 1,
            _ => return Err(BAD),
        };
    }
    if at == 0 || at > length_max { Err(BAD) } else { Ok(value) }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// `rfc822;` and xtext, or `utf-8;` and the text of RFC 6533 §3.
fn original(value: &str) -> Result<&str> {
    let (kind, address) = value.split_once(';').ok_or(BAD)?;
    let kind_lawful =
        !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !kind_lawful || value.len() > 500 {
        return Err(BAD);
    }
    if kind.eq_ignore_ascii_case("utf-8") {
        let harmless = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '+' | '=');
        return if !address.is_empty() && address.chars().all(harmless) {
            Ok(value)
        } else {
            Err(BAD)
        };
    }
    xtext(address, 500).map(|_| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Command<'_>> {
        Command::parse(line.as_bytes())
    }

    fn recipient(line: &str) -> Result<String> {
        match parse(line)? {
            Command::Rcpt(rcpt) => Ok(rcpt.address.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sender_comes_with_all_that_was_asked_for_it() {
        let line = "mail from:<a@b.example> SIZE=1234 body=8bitmime RET=HDRS ENVID=QQ+2B1 SMTPUTF8";
        let Ok(Command::Mail(mail)) = parse(line) else { panic!("refused") };
        assert_eq!(mail.sender.to_string(), "a@b.example");
        assert_eq!(mail.size, Some(1234));
        assert!(mail.eight_bit && mail.smtputf8);
        assert_eq!(mail.dsn_return, Some(DsnReturn::Headers));
        assert_eq!(mail.envelope_id, Some("QQ+2B1"));
        assert!(matches!(parse("MAIL FROM:<>"), Ok(Command::Mail(m)) if m.sender.0.is_none()));
    }

    #[test]
    fn a_recipient_comes_with_its_wishes_for_reports() {
        let line = "RCPT TO:<a@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bx@c.example";
        let Ok(Command::Rcpt(rcpt)) = parse(line) else { panic!("refused") };
        assert!(rcpt.notify.success && rcpt.notify.delay && !rcpt.notify.failure);
        assert!(rcpt.notify.asked);
        assert_eq!(rcpt.original, Some("rfc822;a+2Bx@c.example"));
    }

    #[test]
    fn quotes_and_routes_do_not_move_the_domain() {
        let quoted = "RCPT TO:<\"a@evil.example> x\"@good.example>";
        assert_eq!(recipient(quoted), Ok("\"a@evil.example> x\"@good.example".into()));
        assert_eq!(
            recipient("RCPT TO:<@a.example,@b.example:c@d.example>"),
            Ok("c@d.example".into())
        );
        assert!(recipient("RCPT TO:<@a.example,b.example:c@d.example>").is_err());
    }

    #[test]
    fn each_mistake_has_its_answer() {
        for (line, code) in [
            ("FOO", "500 5.5.1"),
            ("", "500 5.5.1"),
            ("NOOP\0", "500 5.5.2"),
            ("NOOP\rQUIT", "500 5.5.2"),
            ("EXPN staff", "502 5.5.1"),
            ("GET / HTTP/1.1", "521 5.5.1"),
            ("EHLO", "501 5.5.4"),
            ("EHLO a b", "501 5.5.4"),
            ("EHLO (comment", "501 5.5.4"),
            ("DATA now", "501 5.5.4"),
            ("MAIL", "501 5.5.4"),
            ("MAIL FROM:a@b.example", "501 5.5.4"),
            ("MAIL FROM <a@b.example>", "501 5.5.4"),
            ("MAIL FROM:<a@b.example", "501 5.5.4"),
            ("MAIL FROM:<a@b.example>SIZE=1", "501 5.5.4"),
            ("MAIL FROM:<a b@c.example>", "501 5.1.7"),
            ("MAIL FROM:<a@[127.0.0.1]>", "553 5.1.7"),
            ("MAIL FROM:<a@b.example> SIZE=", "501 5.5.4"),
            ("MAIL FROM:<a@b.example> SIZE=-1", "501 5.5.4"),
            ("MAIL FROM:<a@b.example> SIZE=1 SIZE=1", "501 5.5.4"),
            ("MAIL FROM:<a@b.example> SMTPUTF8=yes", "501 5.5.4"),
            ("MAIL FROM:<a@b.example> BODY=BINARYMIME", "555 5.5.4"),
            ("MAIL FROM:<a@b.example> HOLDFOR=5", "555 5.5.4"),
            ("MAIL FROM:<a@b.example> ENVID=a+0D+0Ab", "501 5.5.4"),
            ("MAIL FROM:<a@b.example> RET=SOME", "501 5.5.4"),
            ("MAIL FROM:<ü@b.example>", "553 5.6.7"),
            ("RCPT TO:<>", "501 5.1.3"),
            ("RCPT TO:<postmaster>", "550 5.1.3"),
            ("RCPT TO:<a@[127.0.0.1]>", "550 5.1.2"),
            ("RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY", "501 5.5.4"),
            ("RCPT TO:<a@b.example> NOTIFY=", "501 5.5.4"),
            ("RCPT TO:<a@b.example> ORCPT=a@b.example", "501 5.5.4"),
            ("RCPT TO:<a@b.example> ORCPT=rfc822;a+0A", "501 5.5.4"),
            ("RCPT TO:<a@b.example> SIZE=3", "555 5.5.4"),
            ("AUTH", "501 5.5.4"),
            ("AUTH CRAM-MD5", "504 5.5.4"),
            ("BDAT", "501 5.5.4"),
            ("BDAT 5 FIRST", "501 5.5.4"),
            ("BDAT 99999999999999999999", "501 5.5.4"),
            ("BDAT -5", "501 5.5.4"),
            ("BDAT 0x10", "501 5.5.4"),
        ] {
            let answer = parse(line).map(|_| ()).expect_err(line);
            assert!(answer.reply().starts_with(code), "{line}: {}", answer.reply());
        }
        assert!(Command::parse(b"NOOP \xff").is_err());
    }

    #[test]
    fn sizes_beyond_64_bits_saturate() {
        let line = "MAIL FROM:<a@b.example> SIZE=99999999999999999999";
        assert!(matches!(parse(line), Ok(Command::Mail(m)) if m.size == Some(u64::MAX)));
        let line = "BDAT 7 last";
        assert_eq!(parse(line), Ok(Command::Bdat { octets: 7, last: true }));
    }

    const VERBS: &str = "(MAIL FROM:|RCPT TO:|BDAT |AUTH |EHLO )?<?[ -~ü\"\\\\@=+;,.:<>]{0,60}>?";

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            drop(Command::parse(&line));
        }

        #[test]
        fn what_is_taken_holds_no_control_character(line in VERBS) {
            match parse(&line) {
                Ok(Command::Rcpt(rcpt)) => {
                    prop_assert!(!rcpt.address.to_string().chars().any(char::is_control));
                    prop_assert_eq!(Address::parse(&rcpt.address.to_string()), Ok(rcpt.address));
                }
                Ok(Command::Ehlo(name)) => prop_assert!(name.is_ascii() && !name.contains(' ')),
                _ => {}
            }
        }
    }
}
