//! What a host announced in its answer to EHLO.
//!
//! Owns:       the keywords we make use of.
//! Promises:   a keyword that is odd or doubled harms nothing: it is read as not there.
//! Knows not:  sockets.

use crate::model::Reply;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub pipelining: bool,
    pub chunking: bool,
    pub eight_bit: bool,
    pub smtputf8: bool,
    pub dsn: bool,
    pub starttls: bool,
    /// SIZE was announced, so it may be a parameter of MAIL.
    pub size: bool,
    /// The largest mail in octets, if a limit was named (RFC 1870).
    pub size_max: Option<u64>,
    /// RFC 9422: recipients in one transaction.
    pub recipients_max: Option<usize>,
    /// RFC 9422: transactions over one connection.
    pub mails_max: Option<u32>,
}

impl Capabilities {
    /// The first line greets; each other one is a keyword with its parameters (RFC 5321 §4.1.1.1).
    pub(super) fn read(reply: &Reply) -> Capabilities {
        let mut found = Capabilities::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => found.pipelining = true,
                "CHUNKING" => found.chunking = true,
                "8BITMIME" => found.eight_bit = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "DSN" => found.dsn = true,
                "STARTTLS" => found.starttls = true,
                "SIZE" => {
                    found.size = true;
                    let limit = words.next().and_then(|word| word.parse().ok());
                    found.size_max = limit.filter(|limit| *limit > 0);
                }
                "LIMITS" => words.for_each(|word| found.read_limit(word)),
                _ => {}
            }
        }
        found
    }

    /// The keywords, as the host could have said them.
    pub(super) fn words(&self) -> Vec<String> {
        let plain = [
            (self.pipelining, "PIPELINING"),
            (self.chunking, "CHUNKING"),
            (self.eight_bit, "8BITMIME"),
            (self.smtputf8, "SMTPUTF8"),
            (self.dsn, "DSN"),
            (self.starttls, "STARTTLS"),
        ];
        let mut words: Vec<String> = plain
            .iter()
            .filter(|(is_there, _)| *is_there)
            .map(|(_, word)| (*word).to_owned())
            .collect();
        words.extend(self.size_max.map(|max| format!("SIZE {max}")));
        words.extend(self.recipients_max.map(|max| format!("LIMITS RCPTMAX={max}")));
        words.extend(self.mails_max.map(|max| format!("LIMITS MAILMAX={max}")));
        words
    }

    fn read_limit(&mut self, word: &str) {
        let Some((name, value)) = word.split_once('=') else { return };
        match name.to_ascii_uppercase().as_str() {
            "RCPTMAX" => self.recipients_max = value.parse().ok().filter(|max| *max > 0),
            "MAILMAX" => self.mails_max = value.parse().ok().filter(|max| *max > 0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Capabilities {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Capabilities::read(&Reply { code: 250, lines })
    }

    #[test]
    fn keywords_are_known_in_any_case_and_not_on_the_first_line() {
        let found = read(&["PIPELINING", "pipelining", "Size 1000", "LIMITS rcptmax=5 MAILMAX=2"]);
        assert!(found.pipelining && found.size);
        assert_eq!(found.size_max, Some(1000));
        assert_eq!((found.recipients_max, found.mails_max), (Some(5), Some(2)));
        assert!(!read(&["PIPELINING"]).pipelining);
    }

    #[test]
    fn odd_values_count_as_none() {
        let found = read(&["x", "SIZE", "LIMITS RCPTMAX=0 MAILMAX=-1 =", "", " "]);
        assert!(found.size);
        assert_eq!((found.size_max, found.recipients_max, found.mails_max), (None, None, None));
        assert_eq!(read(&["x", "SIZE 0"]).size_max, None);
        assert_eq!(read(&["x", "SIZE 99999999999999999999999"]).size_max, None);
    }
}
