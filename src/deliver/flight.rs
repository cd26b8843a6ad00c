//! The commands of one transaction, as they leave.
//!
//! Owns:       how MAIL, RCPT, DATA and BDAT are written, and with which parameters.
//! Promises:   a parameter is given only to a host that announced it; nothing from a client can end
//!             a line or a word.
//! Knows not:  sockets, replies.

use std::io::Write;

use super::Transaction;
use super::capabilities::Capabilities;
use crate::model::{DsnReturn, Notify, Recipient};

/// How the mail itself follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Data,
    /// With the commands, in the same write, with this many octets (RFC 3030).
    Chunk(usize),
}

/// Commands one after another: perhaps RSET, then MAIL, each RCPT, and DATA or BDAT.
#[derive(Debug)]
pub(super) struct Flight {
    octets: Vec<u8>,
    /// Where each command ends.
    ends: Vec<usize>,
    pub with_reset: bool,
    pub form: Form,
}

/// What a flight is made of.
pub(super) struct Plan<'a> {
    pub transaction: &'a Transaction,
    /// Which recipients of the transaction.
    pub picked: &'a [usize],
    pub length: usize,
    pub with_reset: bool,
    pub form: Form,
}

impl Flight {
    pub(super) fn new(plan: &Plan<'_>, host: &Capabilities) -> Flight {
        let count = plan.picked.len() + 3;
        let mut flight = Flight {
            octets: Vec::with_capacity(count * 64),
            ends: Vec::with_capacity(count),
            with_reset: plan.with_reset,
            form: plan.form,
        };
        if plan.with_reset {
            flight.octets.extend_from_slice(b"RSET");
            flight.end();
        }
        flight.mail(plan, host);
        for at in plan.picked {
            flight.recipient(&plan.transaction.recipients[*at], host);
        }
        match plan.form {
            Form::Data => flight.put(format_args!("DATA")),
            Form::Chunk(length) => flight.put(format_args!("BDAT {length} LAST")),
        }
        flight.end();
        flight
    }

    fn mail(&mut self, plan: &Plan<'_>, host: &Capabilities) {
        let transaction = plan.transaction;
        self.put(format_args!("MAIL FROM:<{}>", transaction.sender));
        if host.size {
            self.put(format_args!(" SIZE={}", plan.length));
        }
        if transaction.eight_bit && host.eight_bit {
            self.put(format_args!(" BODY=8BITMIME"));
        }
        if host.smtputf8 && needs_smtputf8(transaction) {
            self.put(format_args!(" SMTPUTF8"));
        }
        if host.dsn {
            match transaction.dsn_return {
                Some(DsnReturn::Full) => self.put(format_args!(" RET=FULL")),
                Some(DsnReturn::Headers) => self.put(format_args!(" RET=HDRS")),
                None => {}
            }
            if let Some(id) = lawful_xtext(transaction.dsn_envelope_id.as_deref()) {
                self.put(format_args!(" ENVID={id}"));
            }
        }
        self.end();
    }

    fn recipient(&mut self, recipient: &Recipient, host: &Capabilities) {
        self.put(format_args!("RCPT TO:<{}>", recipient.address));
        if host.dsn {
            if recipient.notify.asked {
                self.put(format_args!(" NOTIFY={}", notify_words(recipient.notify)));
            }
            if let Some(original) = lawful_xtext(recipient.original.as_deref()) {
                self.put(format_args!(" ORCPT={original}"));
            }
        }
        self.end();
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to memory cannot fail.
        self.octets.write_fmt(text).expect("memory takes every write");
    }

    fn end(&mut self) {
        self.octets.extend_from_slice(b"\r\n");
        self.ends.push(self.octets.len());
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The number of MAIL; each RCPT follows.
    pub(super) fn mail_at(&self) -> usize {
        usize::from(self.with_reset)
    }

    /// The number of DATA or BDAT.
    pub(super) fn last_at(&self) -> usize {
        self.ends.len() - 1
    }

    /// One command with its end of line.
    pub(super) fn command(&self, number: usize) -> &[u8] {
        let from = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.octets[from..self.ends[number]]
    }
}

/// RFC 6531 §3.4: asked for by the client, or an address cannot be said without it.
pub(super) fn needs_smtputf8(transaction: &Transaction) -> bool {
    let sender = transaction.sender.0.as_ref();
    transaction.smtputf8
        || sender.is_some_and(|address| address.needs_smtputf8())
        || transaction.recipients.iter().any(|one| one.address.needs_smtputf8())
}

/// Somebody asked for a report in his own way, so it matters whether the next host sends it.
pub(super) fn asks_for_reports(transaction: &Transaction) -> bool {
    transaction.dsn_return.is_some()
        || transaction.dsn_envelope_id.is_some()
        || transaction.recipients.iter().any(|one| one.notify.asked || one.original.is_some())
}

fn notify_words(notify: Notify) -> String {
    let words: Vec<&str> =
        [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")]
            .iter()
            .filter_map(|(asked, word)| asked.then_some(*word))
            .collect();
    if words.is_empty() { "NEVER".into() } else { words.join(",") }
}

/// Printable ASCII without spaces, as RFC 3461 §4 has it; anything else is left out rather than
/// put on a command line.
fn lawful_xtext(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Address, ReversePath};

    fn transaction(recipients: &[&str]) -> Transaction {
        let address = |text: &&str| Address::parse(text).expect("lawful");
        Transaction {
            sender: ReversePath::parse("a@example.com").expect("lawful"),
            recipients: recipients.iter().map(address).map(Recipient::new).collect(),
            smtputf8: false,
            eight_bit: true,
            dsn_return: Some(DsnReturn::Headers),
            dsn_envelope_id: Some("id+2B".into()),
            recorded: false,
        }
    }

    fn text_of(transaction: &Transaction, host: &Capabilities, form: Form) -> String {
        let picked: Vec<usize> = (0..transaction.recipients.len()).collect();
        let plan = Plan { transaction, picked: &picked, length: 7, with_reset: false, form };
        let flight = Flight::new(&plan, host);
        String::from_utf8(flight.octets().to_vec()).expect("text")
    }

    #[test]
    fn a_host_that_announced_nothing_is_given_no_parameter() {
        let mut one = transaction(&["b@example.net"]);
        one.recipients[0].notify = Notify::NEVER;
        one.recipients[0].original = Some("rfc822;b@example.net".into());
        let said = text_of(&one, &Capabilities::default(), Form::Data);
        assert_eq!(said, "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
    }

    #[test]
    fn what_was_announced_is_made_use_of() {
        let host = Capabilities {
            size: true,
            eight_bit: true,
            smtputf8: true,
            dsn: true,
            ..Capabilities::default()
        };
        let mut both = transaction(&["\"b c\"@example.net", "ü@example.net"]);
        both.recipients[0].notify =
            Notify { success: true, failure: true, delay: false, asked: true };
        both.recipients[0].original = Some("rfc822;b@example.net".into());
        assert_eq!(
            text_of(&both, &host, Form::Chunk(7)),
            "MAIL FROM:<a@example.com> SIZE=7 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+2B\r\n\
             RCPT TO:<\"b c\"@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@example.net\r\n\
             RCPT TO:<ü@example.net>\r\n\
             BDAT 7 LAST\r\n"
        );
    }

    #[test]
    fn a_parameter_cannot_carry_a_command() {
        let host = Capabilities { dsn: true, ..Capabilities::default() };
        let mut one = transaction(&["b@example.net"]);
        one.dsn_envelope_id = Some("x\r\nRCPT TO:<evil@example.org>".into());
        one.recipients[0].original = Some("rfc822;b SIZE=1".into());
        let said = text_of(&one, &host, Form::Data);
        assert!(!said.contains("evil") && !said.contains("ORCPT"), "{said}");
    }
}
