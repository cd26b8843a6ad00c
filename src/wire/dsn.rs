//! Reports on delivery: the mail that tells a sender what became of his (RFC 3464, 3461, 6533).
//!
//! Owns:       the three parts of such a report and how texts of others are made harmless in it.
//! Promises:   no text of a remote host or submitter adds a field, a line or a part (A16); a report
//!             is never answered by a report (its sender is null, it says Auto-Submitted).
//! Knows not:  when a report is due, or whether one may be sent: never for a null sender.

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;
use memchr::memmem;

use super::date::rfc5322;
use super::header::HeaderSection;
use crate::model::*;

/// A mail larger than this comes back as its header section alone, whatever RET asked for
/// (RFC 3461 §4.3 leaves that to us): reports must not be good for flooding.
pub const RETURNED_BYTES_MAX: usize = 100 * 1024;
/// Of a header section sent back.
const RETURNED_HEADER_BYTES_MAX: usize = 32 * 1024;
const LINE_TARGET: usize = 76;
/// A word longer than this is cut in two, as no line may exceed 998 octets (RFC 5322 §2.1.1).
const WORD_BYTES_MAX: usize = 400;

/// RFC 3464 §2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Failed,
    Delayed,
    Delivered,
    /// To a host that does not report itself.
    Relayed,
    Expanded,
}

impl Action {
    pub const fn word(self) -> &'static str {
        match self {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
            Action::Expanded => "expanded",
        }
    }

    /// The status where no reply told one (RFC 3463).
    const fn status(self) -> Enhanced {
        match self {
            Action::Failed => Enhanced(5, 0, 0),
            Action::Delayed => Enhanced(4, 0, 0),
            Action::Delivered | Action::Relayed | Action::Expanded => Enhanced(2, 0, 0),
        }
    }
}

/// What became of one recipient.
#[derive(Clone, Debug)]
pub struct Fate {
    pub recipient: Recipient,
    pub action: Action,
    /// None: taken from the reply, or the general one of the action.
    pub status: Option<Enhanced>,
    /// The host that gave the reply.
    pub remote_host: Option<String>,
    pub reply: Option<Reply>,
    /// Why, where no reply says it.
    pub reason: String,
    pub attempted_at: Option<Timestamp>,
    /// Of a delayed recipient.
    pub retry_until: Option<Timestamp>,
}

impl Fate {
    fn status(&self) -> Enhanced {
        let usual = self.action.status();
        let told = self.status.or_else(|| self.reply.as_ref().and_then(Reply::enhanced));
        // RFC 3463 §2: the class must fit the action. What was given up after many a 4.x.x keeps
        // it (RFC 3464 appendix E.1), so that its reader does not take it for a bad address.
        told.map_or(usual, |told| match (self.action, told.0) {
            (Action::Failed, 4) => told,
            _ => Enhanced(usual.0, told.1, told.2),
        })
    }

    fn text(&self) -> String {
        self.reply.as_ref().map_or_else(|| self.reason.clone(), Reply::to_string)
    }
}

/// All that a report says.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// This report's own id; in its Message-ID and boundary.
    pub id: MessageId,
    /// Who reports.
    pub host_name: &'a str,
    /// What the report is from.
    pub domain: &'a str,
    /// To whom: the envelope sender of the reported mail.
    pub recipient: &'a Address,
    /// By the wall clock.
    pub made_at: Timestamp,
    /// The reported message.
    pub message: MessageId,
    pub arrived_at: Timestamp,
    /// ENVID in xtext.
    pub envelope_id: Option<&'a str>,
    /// RET.
    pub wanted: Option<DsnReturn>,
    /// The reported mail was SMTPUTF8.
    pub smtputf8: bool,
    /// The reported mail as it was to be sent.
    pub original: &'a [u8],
    /// At least one.
    pub fates: &'a [Fate],
}

/// A report as a mail, with what its envelope and row need. Its envelope sender is null.
#[derive(Clone, Debug)]
pub struct ReportMail {
    pub mail: Vec<u8>,
    pub eight_bit: bool,
    pub smtputf8: bool,
    /// Without angle brackets.
    pub message_id_header: String,
    pub subject: &'static str,
}

impl Report<'_> {
    pub fn build(&self) -> ReportMail {
        let global = self.is_global();
        let returned = self.returned();
        let message_id = format!("report.{}@{}", self.id, host_text(self.host_name));
        let from = format!("MAILER-DAEMON@{}", host_text(self.domain));
        let subject = self.subject();
        let boundary = self.boundary(returned);
        let mut message = MessageBuilder::new()
            .header("From", Mailbox::new_address(Some("Mail delivery"), from))
            .header("To", Raw::new(self.recipient.to_string()))
            .header("Subject", Raw::new(subject))
            .date(Date::new(self.made_at.seconds()))
            .message_id(message_id.as_str())
            .header("Auto-Submitted", Raw::new("auto-replied"));
        if let Some(original) = self.original_message_id() {
            message = message
                .header("In-Reply-To", Raw::new(original.clone()))
                .header("References", Raw::new(original));
        }
        let kind = if global { "global-delivery-status" } else { "delivery-status" };
        let parts = vec![
            MimePart::new("text/plain", self.human_part()),
            machine_part(kind, self.machine_part(global)),
            self.returned_part(returned, global),
        ];
        let multipart = ContentType::new("multipart/report")
            .attribute("report-type", kind)
            .attribute("boundary", boundary);
        let mut mail = Vec::with_capacity(4096 + returned.len());
        message.body(MimePart::new(multipart, parts)).serialize(&mut mail);
        let eight_bit = !mail.is_ascii();
        ReportMail { mail, eight_bit, smtputf8: global, message_id_header: message_id, subject }
    }

    /// RFC 6533 §3: needed where an address cannot be said in ASCII, or what comes back has a
    /// header section in UTF-8.
    fn is_global(&self) -> bool {
        self.recipient.needs_smtputf8()
            || self.fates.iter().any(|fate| fate.recipient.address.needs_smtputf8())
            || (self.smtputf8 && !header_of(self.original).is_ascii())
    }

    fn has(&self, action: Action) -> bool {
        self.fates.iter().any(|fate| fate.action == action)
    }

    fn subject(&self) -> &'static str {
        if self.has(Action::Failed) {
            "Undelivered mail: your message could not be delivered"
        } else if self.has(Action::Delayed) {
            "Delayed mail: your message is still being tried"
        } else {
            "Delivered mail: your message was handed over"
        }
    }

    /// RFC 3461 §4.3: RET=FULL is for failures; other reports carry the header section.
    fn returned(&self) -> &[u8] {
        let full = self.wanted == Some(DsnReturn::Full) && self.has(Action::Failed);
        if full && self.original.len() <= RETURNED_BYTES_MAX {
            return self.original;
        }
        let header = header_of(self.original);
        if header.len() <= RETURNED_HEADER_BYTES_MAX {
            return header;
        }
        let cut = memmem::rfind(&header[..RETURNED_HEADER_BYTES_MAX], b"\r\n");
        &header[..cut.map_or(0, |at| at + 2)]
    }

    fn is_full(&self, returned: &[u8]) -> bool {
        returned.len() == self.original.len() && header_of(self.original).len() != returned.len()
    }

    fn returned_part<'x>(&self, returned: &'x [u8], global: bool) -> MimePart<'x> {
        let kind = match (self.is_full(returned), global) {
            (true, false) => "message/rfc822",
            (true, true) => "message/global",
            (false, false) => "text/rfc822-headers",
            (false, true) => "message/global-headers",
        };
        let encoding = if returned.is_ascii() { "7bit" } else { "8bit" };
        MimePart::new(kind, returned).transfer_encoding(encoding)
    }

    /// Not found anywhere in what comes back, or the reported mail could add parts to the report.
    fn boundary(&self, returned: &[u8]) -> String {
        let mut boundary = format!("=_report_{}", self.id);
        while memmem::find(returned, boundary.as_bytes()).is_some() {
            boundary.push('_');
        }
        boundary
    }

    /// The Message-ID of the reported mail, where it is one.
    fn original_message_id(&self) -> Option<String> {
        let section = HeaderSection::scan(self.original).ok()?;
        let text = section.find("Message-ID")?.text().into_owned();
        let lawful = text.len() <= 250
            && text.starts_with('<')
            && text.ends_with('>')
            && text.bytes().all(|b| b.is_ascii_graphic());
        lawful.then_some(text)
    }

    fn human_part(&self) -> String {
        let mut text = format!("This is the mail system at {}.\r\n\r\n", host_text(self.host_name));
        for (action, sentence) in [
            (Action::Failed, "Your message could not be delivered to these recipients:"),
            (Action::Delayed, "Your message could not be delivered yet to these recipients:"),
            (Action::Delivered, "Your message was delivered to these recipients:"),
            (Action::Relayed, "Your message was handed to the host of these recipients:"),
            (Action::Expanded, "Your message was sent on to the members of these lists:"),
        ] {
            if self.has(action) {
                text.push_str(sentence);
                text.push_str("\r\n\r\n");
                self.fates.iter().filter(|f| f.action == action).for_each(|f| tell(f, &mut text));
            }
        }
        if self.has(Action::Delayed) {
            text.push_str("You need not send it again: it is being tried further.\r\n");
        }
        text
    }

    /// RFC 3464 §2: fields of the message, then a group of fields for each recipient.
    fn machine_part(&self, global: bool) -> String {
        let mut fields = Fields { text: String::with_capacity(1024), global };
        fields.add("Reporting-MTA", &format!("dns; {}", host_text(self.host_name)));
        if let Some(id) = self.envelope_id {
            fields.add("Original-Envelope-Id", &from_xtext(id));
        }
        fields.add("Arrival-Date", &rfc5322(self.arrived_at));
        fields.add("X-Postroad-Message", &self.message.to_string());
        for fate in self.fates {
            fields.text.push_str("\r\n");
            fields.add_fate(fate);
        }
        fields.text
    }
}

fn machine_part(kind: &str, text: String) -> MimePart<'static> {
    let encoding = if text.is_ascii() { "7bit" } else { "8bit" };
    MimePart::new(format!("message/{kind}"), text.into_bytes()).transfer_encoding(encoding)
}

/// The header section, with its empty line; nothing when it cannot be read.
fn header_of(mail: &[u8]) -> &[u8] {
    HeaderSection::scan(mail).map_or(&[], |section| section.raw())
}

fn tell(fate: &Fate, text: &mut String) {
    text.push_str(&format!("  {}\r\n", fate.recipient.address));
    let said = harmless(&fate.text(), true);
    match (&fate.reply, &fate.remote_host) {
        (Some(_), Some(host)) => {
            text.push_str(&format!("    {} said: {said}\r\n", harmless(host, true)));
        }
        _ => text.push_str(&format!("    {said}\r\n")),
    }
    if let Some(until) = fate.retry_until {
        text.push_str(&format!("    It is tried until {}.\r\n", rfc5322(until)));
    }
    text.push_str("\r\n");
}

/// The fields of a message/delivery-status part.
struct Fields {
    text: String,
    global: bool,
}

impl Fields {
    fn add_fate(&mut self, fate: &Fate) {
        if let Some(original) = &fate.recipient.original {
            self.add("Original-Recipient", &original_recipient(original));
        }
        let address = &fate.recipient.address;
        let kind = if address.needs_smtputf8() { "utf-8" } else { "rfc822" };
        self.add("Final-Recipient", &format!("{kind}; {address}"));
        self.add("Action", fate.action.word());
        self.add("Status", &fate.status().to_string());
        if let Some(host) = &fate.remote_host {
            self.add("Remote-MTA", &format!("dns; {host}"));
        }
        match &fate.reply {
            Some(reply) => self.add("Diagnostic-Code", &format!("smtp; {reply}")),
            None if fate.reason.is_empty() => {}
            // RFC 3464 §2.3.6: what no SMTP host said has a type of its own.
            None => self.add("Diagnostic-Code", &format!("X-Postroad; {}", fate.reason)),
        }
        if let Some(at) = fate.attempted_at {
            self.add("Last-Attempt-Date", &rfc5322(at));
        }
        if let Some(until) = fate.retry_until.filter(|_| fate.action == Action::Delayed) {
            self.add("Will-Retry-Until", &rfc5322(until));
        }
    }

    /// `name: value`, harmless and folded.
    fn add(&mut self, name: &str, value: &str) {
        let value = harmless(value, self.global);
        self.text.push_str(name);
        self.text.push(':');
        let mut column = name.len() + 1;
        for word in value.split(' ').flat_map(pieces).filter(|word| !word.is_empty()) {
            if column + 1 + word.len() > LINE_TARGET && column > name.len() + 1 {
                self.text.push_str("\r\n");
                column = 0;
            }
            self.text.push(' ');
            self.text.push_str(word);
            column += 1 + word.len();
        }
        self.text.push_str("\r\n");
    }
}

/// A word in pieces that fit on a line.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_at(rest.floor_char_boundary(WORD_BYTES_MAX));
        rest = tail;
        (!head.is_empty()).then_some(head)
    })
}

/// Clipped, without control characters; without what is not ASCII unless it may stand there.
fn harmless(text: &str, global: bool) -> String {
    let clipped = &text[..text.floor_char_boundary(limits::REPLY_TEXT_BYTES_MAX)];
    let replaced = clipped.chars().map(|c| match c {
        _ if c.is_control() => ' ',
        _ if !global && !c.is_ascii() => '?',
        _ => c,
    });
    replaced.collect()
}

/// A host name from settings, so that a mistake in them cannot break a report.
fn host_text(name: &str) -> &str {
    let lawful = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if !name.is_empty() && name.bytes().all(lawful) { name } else { "localhost" }
}

/// ORCPT `rfc822;xtext` as it stands in Original-Recipient (RFC 3464 §2.3.1).
fn original_recipient(original: &str) -> String {
    match original.split_once(';') {
        Some((kind, value)) => format!("{kind}; {}", from_xtext(value)),
        None => format!("rfc822; {}", from_xtext(original)),
    }
}

/// Decodes RFC 3461 §4 xtext; what would put a control character there is left as it stands.
fn from_xtext(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once('+') {
        plain.push_str(head);
        let code = tail.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code.filter(|code| matches!(code, 32..=126)) {
            Some(code) => {
                plain.push(char::from(code));
                rest = &tail[2..];
            }
            None => {
                plain.push('+');
                rest = tail;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::{MessageParser, MimeHeaders};

    const ORIGINAL: &str = "From: ann@shop.example\r\nTo: bob@mx.example\r\n\
        Message-ID: <1@shop.example>\r\nSubject: Hello\r\n\r\nThe body.\r\n";

    fn address(text: &str) -> Address {
        Address::parse(text).expect("lawful")
    }

    fn fate(text: &str, action: Action) -> Fate {
        Fate {
            recipient: Recipient::new(address(text)),
            action,
            status: None,
            remote_host: Some("mx.example".into()),
            reply: Reply::read("550 5.1.1 no such user"),
            reason: String::new(),
            attempted_at: Some(Timestamp::from_seconds(100)),
            retry_until: None,
        }
    }

    fn report<'a>(fates: &'a [Fate], recipient: &'a Address, original: &'a str) -> Report<'a> {
        Report {
            id: MessageId(9),
            host_name: "mail.shop.example",
            domain: "mail.shop.example",
            recipient,
            made_at: Timestamp::from_seconds(200),
            message: MessageId(7),
            arrived_at: Timestamp::from_seconds(50),
            envelope_id: Some("QQ+2B1"),
            wanted: None,
            smtputf8: false,
            original: original.as_bytes(),
            fates,
        }
    }

    /// Content type and text of each part of a multipart.
    fn parts(mail: &[u8]) -> Vec<(String, String)> {
        let message = MessageParser::default().parse(mail).expect("a mail");
        let kind = |part: &mail_parser::MessagePart<'_>| {
            let kind = part.content_type().expect("a type");
            format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default())
        };
        message.parts[1..4]
            .iter()
            .map(|part| {
                let (from, to) = (part.offset_body as usize, part.offset_end as usize);
                (kind(part), String::from_utf8_lossy(&mail[from..to]).into_owned())
            })
            .collect()
    }

    #[test]
    fn a_failure_is_told_to_people_and_to_programs() {
        let mut failed = fate("bob@mx.example", Action::Failed);
        failed.recipient.original = Some("rfc822;b+2Bob@mx.example".into());
        let ann = address("ann@shop.example");
        let built = report(&[failed], &ann, ORIGINAL).build();
        let text = String::from_utf8(built.mail.clone()).expect("text");
        assert!(text.contains("Auto-Submitted: auto-replied\r\n"), "{text}");
        assert!(text.contains("In-Reply-To: <1@shop.example>\r\n"), "{text}");
        assert!(text.contains("report-type"), "{text}");
        let parts = parts(&built.mail);
        assert!(parts[0].1.contains("mx.example said: 550 5.1.1 no such user"), "{parts:?}");
        assert_eq!(parts[1].0, "message/delivery-status");
        let expected = "Reporting-MTA: dns; mail.shop.example\r\n\
            Original-Envelope-Id: QQ+1\r\n\
            Arrival-Date: Thu, 01 Jan 1970 00:00:50 +0000\r\n\
            X-Postroad-Message: 7\r\n\r\n\
            Original-Recipient: rfc822; b+ob@mx.example\r\n\
            Final-Recipient: rfc822; bob@mx.example\r\n\
            Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.example\r\n\
            Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
            Last-Attempt-Date: Thu, 01 Jan 1970 00:01:40 +0000\r\n";
        assert_eq!(parts[1].1.trim_end(), expected.trim_end());
        assert_eq!(parts[2].0, "text/rfc822-headers");
        assert!(!parts[2].1.contains("The body."));
        assert!(!built.smtputf8 && !built.eight_bit);
    }

    #[test]
    fn the_whole_mail_comes_back_only_when_asked_for_and_small() {
        let (ann, fates) = (address("ann@shop.example"), [fate("b@mx.example", Action::Failed)]);
        let mut full = report(&fates, &ann, ORIGINAL);
        full.wanted = Some(DsnReturn::Full);
        let returned = &parts(&full.build().mail)[2];
        assert_eq!(returned.0, "message/rfc822");
        assert!(returned.1.contains("The body."));
        let large = format!("{ORIGINAL}{}", "x".repeat(RETURNED_BYTES_MAX));
        full.original = large.as_bytes();
        assert_eq!(parts(&full.build().mail)[2].0, "text/rfc822-headers");
        let delayed = [fate("b@mx.example", Action::Delayed)];
        let mut waiting = report(&delayed, &ann, ORIGINAL);
        waiting.wanted = Some(DsnReturn::Full);
        assert_eq!(parts(&waiting.build().mail)[2].0, "text/rfc822-headers");
    }

    #[test]
    fn an_expired_mail_keeps_the_transient_status_it_had() {
        let mut expired = fate("b@mx.example", Action::Failed);
        expired.reply = Reply::read("451 4.7.1 greylisted");
        assert_eq!(expired.status(), Enhanced(4, 7, 1));
        expired.reply = None;
        assert_eq!(expired.status(), Enhanced(5, 0, 0));
    }

    #[test]
    fn no_text_of_others_adds_a_line_or_a_part() {
        let mut hostile = fate("b@mx.example", Action::Failed);
        hostile.reply = Some(Reply {
            code: 550,
            lines: vec!["x\r\n\r\nFinal-Recipient: rfc822; c@evil.example\r\n\x1b[2J ü".into()],
        });
        hostile.remote_host = Some("mx\r\nAction: delivered".into());
        hostile.recipient.original = Some("rfc822;a+0D+0AAction: relayed".into());
        let original = ORIGINAL.replace("The body.", "--=_report_9--\r\n\r\n--=_report_9\r\n");
        let ann = address("ann@shop.example");
        let (fates, word) = ([hostile], "x".repeat(2000));
        let mut report = report(&fates, &ann, &original);
        report.wanted = Some(DsnReturn::Full);
        report.envelope_id = Some(&word);
        report.host_name = "bad\r\nname";
        let built = report.build();
        let message = MessageParser::default().parse(&built.mail).expect("a mail");
        assert_eq!(message.parts[0].sub_parts().map(<[u32]>::len), Some(3));
        let machine = &parts(&built.mail)[1].1;
        assert!(machine.is_ascii() && machine.lines().all(|line| line.len() < 998));
        let starts = |name: &str| machine.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!((starts("Final-Recipient"), starts("Action")), (1, 1), "{machine}");
        assert_eq!(machine.matches("\r\n\r\n").count(), 1, "{machine}");
        assert!(!machine.contains('\x1b'));
    }

    #[test]
    fn an_address_in_utf_8_makes_the_report_global() {
        let ann = address("änn@shop.example");
        let fates = [fate("bøb@mx.example", Action::Failed)];
        let mut report = report(&fates, &ann, ORIGINAL);
        report.smtputf8 = true;
        let built = report.build();
        assert!(built.smtputf8 && built.eight_bit);
        let parts = parts(&built.mail);
        assert_eq!(parts[1].0, "message/global-delivery-status");
        assert!(parts[1].1.contains("Final-Recipient: utf-8; bøb@mx.example\r\n"));
        assert_eq!(parts[2].0, "message/global-headers");
    }
}
