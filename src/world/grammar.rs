//! The arguments of MAIL, RCPT and BDAT as a strict host reads them.
//!
//! Owns:       paths and parameters (RFC 5321 §4.1.2, 1870, 6152, 6531, 3461, 3030).
//! Promises:   what is not lawful, or was not announced, is an error with its reply.
//! Knows not:  sessions. Kept apart from `wire`, whose reading of the same RFCs it checks.

use super::manners::Extensions;

type Parameters = Vec<(String, String)>;

pub(super) struct Mail {
    pub(super) address: String,
    pub(super) parameters: Parameters,
    pub(super) eight_bit: bool,
    pub(super) smtputf8: bool,
    pub(super) size: Option<u64>,
}

const SYNTAX: &str = "501 5.5.4 Syntax error in parameters";
const NOT_ANNOUNCED: &str = "555 5.5.4 A parameter that was not announced";
const NEEDS_UTF8: &str = "553 5.6.7 An address that needs SMTPUTF8";

pub(super) fn mail(argument: &str, told: &Extensions) -> Result<Mail, &'static str> {
    let (address, parameters) = path(argument, "FROM:")?;
    let (mut eight_bit, mut smtputf8, mut size) = (false, false, None);
    for (name, value) in &parameters {
        let lawful = match name.as_str() {
            "SIZE" if told.size_max.is_some() => {
                size = value.parse().ok();
                size.is_some() && value.bytes().all(|b| b.is_ascii_digit())
            }
            "BODY" if told.eight_bit => {
                eight_bit = value.eq_ignore_ascii_case("8BITMIME");
                eight_bit || value.eq_ignore_ascii_case("7BIT")
            }
            "SMTPUTF8" if told.smtputf8 => {
                smtputf8 = true;
                value.is_empty()
            }
            "RET" if told.dsn => {
                ["FULL", "HDRS"].iter().any(|word| value.eq_ignore_ascii_case(word))
            }
            "ENVID" if told.dsn => is_xtext(value) && value.len() <= 100,
            _ => return Err(NOT_ANNOUNCED),
        };
        if !lawful {
            return Err(SYNTAX);
        }
    }
    check_address(&address, smtputf8)?;
    Ok(Mail { address, parameters, eight_bit, smtputf8, size })
}

pub(super) fn rcpt(
    argument: &str,
    smtputf8: bool,
    told: &Extensions,
) -> Result<(String, Parameters), &'static str> {
    let (address, parameters) = path(argument, "TO:")?;
    if address.is_empty() {
        return Err(SYNTAX);
    }
    for (name, value) in &parameters {
        let lawful = match name.as_str() {
            "NOTIFY" if told.dsn => is_notify(value),
            "ORCPT" if told.dsn => value.split_once(';').is_some_and(|(kind, text)| {
                kind.eq_ignore_ascii_case("utf-8") || is_xtext(text) && !kind.is_empty()
            }),
            _ => return Err(NOT_ANNOUNCED),
        };
        if !lawful {
            return Err(SYNTAX);
        }
    }
    check_address(&address, smtputf8)?;
    Ok((address, parameters))
}

/// `123 LAST` or `123`.
pub(super) fn chunk(argument: &str) -> Option<(u64, bool)> {
    let (size, last) = match argument.split_once(' ') {
        Some((size, last)) if last.eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return None,
        None => (argument, false),
    };
    let digits = !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit());
    if digits { size.parse().ok().map(|size| (size, last)) } else { None }
}

/// `FROM:<a@b.test> SIZE=3`: no space after the colon (RFC 5321 §3.3), one before each parameter.
fn path(argument: &str, word: &str) -> Result<(String, Parameters), &'static str> {
    let head = argument.get(..word.len()).filter(|head| head.eq_ignore_ascii_case(word));
    let rest = head.and_then(|_| argument[word.len()..].strip_prefix('<')).ok_or(SYNTAX)?;
    let end = end_of_path(rest).ok_or(SYNTAX)?;
    let address = rest[..end].to_owned();
    let rest = &rest[end + 1..];
    let mut parameters = Parameters::new();
    if rest.is_empty() {
        return Ok((address, parameters));
    }
    for word in rest.strip_prefix(' ').ok_or(SYNTAX)?.split(' ') {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let name = name.to_ascii_uppercase();
        let twice = parameters.iter().any(|(other, _)| *other == name);
        let lawful = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if name.is_empty() || twice || !lawful || word.ends_with('=') {
            return Err(SYNTAX);
        }
        parameters.push((name, value.to_owned()));
    }
    Ok((address, parameters))
}

/// The `>` outside of quotes.
fn end_of_path(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Some(at),
            ' ' | '<' if !quoted => return None,
            letter if letter.is_control() => return None,
            _ => {}
        }
    }
    None
}

/// Empty (the null sender), or one local part and a domain.
fn check_address(address: &str, smtputf8: bool) -> Result<(), &'static str> {
    if address.is_empty() {
        return Ok(());
    }
    if !smtputf8 && !address.is_ascii() {
        return Err(NEEDS_UTF8);
    }
    let lawful = address.rsplit_once('@').is_some_and(|(local, domain)| {
        (1..=66).contains(&local.len()) && (1..=255).contains(&domain.len())
    });
    if lawful { Ok(()) } else { Err("553 5.1.3 Not an address") }
}

/// RFC 3461 §4.
fn is_xtext(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let lawful = match byte {
            b'+' => {
                let hex = |b: Option<u8>| {
                    b.is_some_and(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
                };
                hex(bytes.next()) && hex(bytes.next())
            }
            byte => (b'!'..=b'~').contains(&byte) && byte != b'=',
        };
        if !lawful {
            return false;
        }
    }
    true
}

fn is_notify(value: &str) -> bool {
    value == "NEVER" || value.split(',').all(|word| matches!(word, "SUCCESS" | "FAILURE" | "DELAY"))
}

/// `550 5.1.1 no` becomes `550 no`: what a host says that knows no enhanced codes.
pub(super) fn without_enhanced(line: &str) -> String {
    let (Some(head), Some(rest)) = (line.get(..4), line.get(4..)) else { return line.to_owned() };
    match rest.split_once(' ') {
        Some((code, text)) if is_enhanced(code) => format!("{head}{text}"),
        _ => line.to_owned(),
    }
}

fn is_enhanced(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lawful_commands_are_read_with_their_parameters() {
        let told = Extensions::default();
        let read = mail("FROM:<a@b.test> SIZE=12 BODY=8BITMIME ENVID=a+2Bb", &told);
        let read = read.unwrap_or_else(|reply| panic!("{reply}"));
        assert_eq!(
            (read.address.as_str(), read.size, read.eight_bit),
            ("a@b.test", Some(12), true)
        );
        assert!(mail("from:<>", &told).is_ok());
        let quoted = rcpt("TO:<\"a> b\"@c.test> NOTIFY=SUCCESS,DELAY", false, &told);
        assert_eq!(quoted.map(|(address, _)| address), Ok("\"a> b\"@c.test".to_owned()));
        assert!(rcpt("TO:<ü@c.test>", true, &told).is_ok());
    }

    #[test]
    fn unlawful_commands_are_refused() {
        let told = Extensions::default();
        for argument in [
            "FROM: <a@b.test>",
            "FROM:a@b.test",
            "FROM:<a@b.test",
            "FROM:<a@b.test>SIZE=1",
            "FROM:<a@b.test>  SIZE=1",
            "FROM:<a@b.test> SIZE=+1",
            "FROM:<a@b.test> SIZE=1 SIZE=1",
            "FROM:<a@b.test> BODY=BINARYMIME",
            "FROM:<a@b.test> AUTH=<>",
            "FROM:<a@b.test> ENVID=a=b",
            "FROM:<ü@b.test>",
            "FROM:<a>",
            "TO:<a@b.test>",
        ] {
            assert!(mail(argument, &told).is_err(), "{argument}");
        }
        assert!(mail("FROM:<a@b.test> SIZE=1", &Extensions::none()).is_err());
        assert!(rcpt("TO:<>", false, &told).is_err());
        assert!(rcpt("TO:<a@b.test> NOTIFY=NEVER,DELAY", false, &told).is_err());
    }

    #[test]
    fn chunks_have_a_size_and_nothing_else() {
        assert_eq!(chunk("0 LAST"), Some((0, true)));
        assert_eq!(chunk("86"), Some((86, false)));
        for argument in ["", "LAST", "-1", "+1", "1 LAST ", "1  LAST", "99999999999999999999"] {
            assert_eq!(chunk(argument), None, "{argument}");
        }
    }

    #[test]
    fn enhanced_codes_are_taken_off_and_version_numbers_are_not() {
        assert_eq!(without_enhanced("250-2.1.0 Ok"), "250-Ok");
        assert_eq!(without_enhanced("220 mx.test ESMTP"), "220 mx.test ESMTP");
        assert_eq!(without_enhanced("250 2.1.0"), "250 2.1.0");
    }
}
