//! A mail as a reader of reports sees it: its words, its machine-readable parts, what it returns.

use super::address;
use crate::wire::mime::{Fields, Mime, Part};

/// Machine-readable parts that are read, each kind.
const PARTS_MAX: usize = 50;
/// Octets of words that are read.
const WORDS_BYTES_MAX: usize = 64 * 1024;

/// A mail sorted by what its parts are for.
#[derive(Debug, Default)]
pub struct View {
    pub fields: Fields,
    /// What a person would read, above the returned mail.
    pub words: String,
    /// Contents of `message/delivery-status` and of what has its form.
    pub statuses: Vec<String>,
    pub feedback: Option<String>,
    pub disposition: Option<String>,
    /// The header section of the returned mail.
    pub original: Fields,
    /// The attached mail, whole.
    pub attached: Option<Vec<u8>>,
    pub subject: String,
    pub from: String,
    pub is_cut: bool,
}

impl View {
    pub fn of(mime: &Mime<'_>) -> View {
        let fields = mime.fields.clone();
        let from = fields.get("from").or_else(|| fields.get("sender")).unwrap_or_default();
        let mut view = View {
            subject: fields.get("subject").unwrap_or_default().to_owned(),
            from: address::listed(from).pop().unwrap_or_else(|| from.trim().to_owned()),
            is_cut: mime.is_cut,
            ..View::default()
        };
        view.fields = fields;
        let mut pages = String::new();
        for part in &mime.parts {
            view.take(part, &mut pages);
        }
        if view.words.trim().is_empty() {
            view.words = pages;
        }
        view.cut_words();
        view
    }

    fn take(&mut self, part: &Part<'_>, pages: &mut String) {
        match part.media.as_str() {
            "message/delivery-status" | "message/global-delivery-status" => {
                self.add_status(part.text());
            }
            "message/feedback-report" => self.feedback = self.feedback.take().or(Some(part.text())),
            "message/disposition-notification" | "message/global-disposition-notification" => {
                self.disposition = self.disposition.take().or(Some(part.text()));
            }
            "message/rfc822"
            | "message/global"
            | "message/rfc822-headers"
            | "text/rfc822-headers"
            | "text/rfc822-header"
            | "message/global-headers"
            | "text/rfc822" => {
                self.add_original(part);
            }
            "text/html" => push_cut(pages, &part.text()),
            media if media.starts_with("text/") => self.add_text(part.text()),
            _ => {}
        }
    }

    /// Some systems send the fields of a report as plain text.
    fn add_text(&mut self, text: String) {
        if is_status(&text) && self.statuses.is_empty() {
            self.add_status(text.clone());
        }
        if self.feedback.is_none() && is_feedback(&text) {
            self.feedback = Some(text.clone());
        }
        push_cut(&mut self.words, &text);
    }

    fn add_status(&mut self, text: String) {
        if self.statuses.len() < PARTS_MAX && !text.trim().is_empty() {
            self.statuses.push(text);
        }
    }

    fn add_original(&mut self, part: &Part<'_>) {
        if !self.original.is_empty() {
            return;
        }
        let content = part.content();
        let start = content.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
        let (fields, _) = Fields::read(&content[start..]);
        self.original = fields;
        self.attached = Some(content[start..].to_vec());
    }

    /// Parts the words of the report from the mail that is written below them.
    fn cut_words(&mut self) {
        let Some(place) = returned_mail(&self.words) else {
            return;
        };
        if self.original.is_empty() {
            self.original = header_in(&self.words[place..]);
        }
        match reason_below(&self.words[place..]) {
            Some(skipped) => self.words.replace_range(place..place + skipped, ""),
            None => self.words.truncate(place),
        }
    }

    /// Who the returned mail was written to.
    pub fn original_recipients(&self) -> Vec<String> {
        let names = ["to", "cc", "bcc", "resent-to", "apparently-to"];
        let values = names.iter().flat_map(|name| self.original.all(name));
        let mut found = Vec::new();
        for address in values.flat_map(address::listed).take(100) {
            if !found.iter().any(|known: &String| address::same(known, &address)) {
                found.push(address);
            }
        }
        found
    }

    /// Who wrote the returned mail, and so whom this report is for.
    pub fn senders(&self) -> Vec<String> {
        let own = ["to", "cc", "delivered-to", "x-original-to", "envelope-to"];
        let theirs = ["from", "sender", "reply-to", "return-path", "errors-to"];
        let own = own.iter().flat_map(|name| self.fields.all(name));
        let theirs = theirs.iter().flat_map(|name| self.original.all(name));
        own.chain(theirs).flat_map(address::listed).take(100).collect()
    }

    pub fn is_from_daemon(&self) -> bool {
        let is_empty_path = self.fields.get("return-path").is_some_and(|path| path.trim() == "<>");
        let name = self.fields.get("from").unwrap_or_default().to_ascii_lowercase();
        let names = ["mail delivery", "mailer", "daemon", "mail system", "delivery subsystem"];
        let is_named = names.iter().any(|word| name.contains(word))
            || name.contains("postmaster")
            || name.contains("system administrator")
            || name.contains("mail administrator");
        address::is_daemon(&self.from) || is_named || (is_empty_path && !name.contains('@'))
    }

    pub fn message_id(&self) -> Option<String> {
        let own = self.original.get("message-id").map(str::to_owned);
        let of_answer = || {
            let named = self.fields.get("x-original-message-id");
            named.or_else(|| self.fields.get("in-reply-to")).map(str::to_owned)
        };
        let value = own.or_else(of_answer)?;
        let inner = value.trim().trim_matches(['<', '>']).trim();
        let first = inner.split([' ', '>', '<']).next().unwrap_or_default();
        (!first.is_empty()).then(|| first.to_owned())
    }
}

fn push_cut(words: &mut String, text: &str) {
    if words.len() < WORDS_BYTES_MAX {
        let mut room = (WORDS_BYTES_MAX - words.len()).min(text.len());
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        // One form of line end, so that an empty line is found whatever brought the mail.
        words.extend(text[..room].chars().filter(|c| *c != '\r'));
        words.push('\n');
    }
}

/// The fields of a delivery status, as plain text.
fn is_status(text: &str) -> bool {
    let (mut has_recipient, mut has_status) = (false, false);
    for line in text.lines().take(500) {
        let lower = line.trim_end().to_ascii_lowercase();
        has_recipient |= lower.starts_with("final-recipient:");
        has_status |= lower.starts_with("status:") || lower.starts_with("action:");
    }
    has_recipient && has_status
}

fn is_feedback(text: &str) -> bool {
    let mut lines = text.lines().take(50).map(|line| line.trim_end().to_ascii_lowercase());
    lines.any(|line| line.starts_with("feedback-type:"))
}

/// Lines below which a mail is returned, in lower case.
const MARKS: &[&str] = &[
    "--- below this line is a copy of the message",
    "--- below the next line is a copy of the message",
    "--- original message follows",
    "---original message follows",
    "original message follows",
    "the original message follows",
    "--- undelivered message follows",
    "--- unsent message follows",
    "--- message text follows",
    "--- message header follows",
    "--- original message ---",
    "----original message----",
    "---- original message",
    "--- original message",
    "-----original message",
    "--- returned message",
    "--- returned mail follows",
    "--- message headers follow",
    "--- header of the original message",
    "--- the header of the original message",
    "--- start of message",
    "--- the following is a copy",
    "------ this is a copy of",
    "--- this is a copy of",
    "--- this is a copy",
    "--- copy of the message",
    "message header follows",
    "message headers follow",
    "included is a copy of the message header",
    "a copy of the original message",
    "your original message follows",
    "your message follows",
    "your message reads",
    "the first lines of your message",
    "text of the message",
    "===== original message",
    "=== original message",
    "-------original message",
    "start of returned message",
    "original mail as follows",
];

/// Where the returned mail begins in the words of a report: at a line that announces it, or at
/// lines that can only be its header section.
fn returned_mail(words: &str) -> Option<usize> {
    let mut at = 0;
    let mut header_lines: usize = 0;
    let mut header_start = 0;
    for line in words.split_inclusive('\n') {
        let lower = line.trim().trim_start_matches(['>', '|', '*', '#', ' ']).to_lowercase();
        if at > 0 && is_mark(&lower) {
            return Some(at);
        }
        match (is_header_line(&lower), header_lines) {
            (true, 0) => (header_lines, header_start) = (1, at),
            (true, _) => header_lines += 1,
            // Folded lines continue what came before.
            (false, 1..) if line.starts_with([' ', '\t']) && !lower.is_empty() => {}
            (false, _) => header_lines = 0,
        }
        if header_lines >= 4 || (header_lines >= 2 && lower.starts_with("received: from")) {
            return Some(header_start);
        }
        at += line.len();
    }
    None
}

/// Some systems first repeat a few fields of the mail and tell the reason below them: how much
/// stands in front of that.
fn reason_below(returned: &str) -> Option<usize> {
    const REASONS: &[&str] = &[
        "cannot be delivered to the following",
        "could not be delivered to the following",
        "did not reach the following",
        "recipient address:",
        "following recipients were affected",
        "following recipient",
        "error message:",
        "could not be delivered because",
        "was not delivered to",
    ];
    let end = returned.find("\n\n").or_else(|| returned.find("\n\r\n"))?;
    let (block, rest) = (returned[..end].to_lowercase(), returned[end..].to_lowercase());
    let is_whole_mail = block.contains("received:") || block.contains("mime-version:");
    let has_reason = REASONS.iter().any(|reason| rest.contains(reason));
    (!is_whole_mail && has_reason).then_some(end)
}

fn is_mark(line: &str) -> bool {
    MARKS.iter().any(|mark| {
        let dashed = line.trim_start_matches(['-', '=', '_', '[', ' ']);
        let mark = mark.trim_start_matches(['-', '=', '_', '[', ' ']);
        dashed.starts_with(mark) && (line.len() > dashed.len() || line.ends_with([':', '.', '-']))
    })
}

fn is_header_line(line: &str) -> bool {
    const NAMES: &[&str] = &[
        "received:",
        "return-path:",
        "message-id:",
        "date:",
        "from:",
        "to:",
        "subject:",
        "mime-version:",
        "content-type:",
        "reply-to:",
        "x-mailer:",
        "content-transfer-encoding:",
        "delivered-to:",
        "x-originating-ip:",
        "in-reply-to:",
        "references:",
        "dkim-signature:",
        "sender:",
    ];
    NAMES.iter().any(|name| line.starts_with(name))
}

/// The header section that begins somewhere in the first lines of what is returned.
fn header_in(returned: &str) -> Fields {
    let mut lines = returned.lines().skip_while(|line| {
        let bare = line.trim_start_matches(['>', '|', ' ', '\t']).to_lowercase();
        !is_header_line(&bare) && !bare.starts_with("x-")
    });
    let mut section = String::new();
    let Some(first) = lines.next() else {
        return Fields::default();
    };
    // Quoted or indented as a whole.
    let indent = first.len() - first.trim_start_matches(['>', '|', ' ', '\t']).len();
    for line in std::iter::once(first).chain(lines).take(500) {
        let prefix = line.len() - line.trim_start_matches(['>', '|', ' ', '\t']).len();
        let line = line.get(indent.min(prefix)..).unwrap_or_default();
        if line.trim().is_empty() {
            break;
        }
        section.push_str(line);
        section.push('\n');
    }
    Fields::read(section.as_bytes()).0
}
