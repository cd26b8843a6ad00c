//! Reports that are written for people alone: which recipients they name, and why.

use std::collections::HashMap;

use super::address::{self, Found};
use super::view::View;

/// Lines of words that are read.
const LINES_MAX: usize = 1500;
/// Recipients of one report.
const RECIPIENTS_MAX: usize = 500;
/// Lines that tell the reason below a recipient.
const REASON_LINES_MAX: usize = 25;

/// A recipient and what was said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub recipient: Option<String>,
    pub reason: String,
}

/// How surely a place in the text names a recipient that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Named as the sender, or as whom to ask.
    Not,
    /// Anywhere else.
    Mentioned,
    /// After a word such as "to" or "recipient".
    Pointed,
    /// At the start of a line, or after `RCPT TO:`.
    Listed,
}

struct Place {
    address: String,
    rank: Rank,
    line: usize,
    /// What follows it on its line.
    rest: String,
}

/// The recipients that the words name, in order, each with its reason.
pub fn entries(view: &View) -> Vec<Entry> {
    let lines: Vec<&str> = view.words.lines().take(LINES_MAX).collect();
    let lower: Vec<String> = lines.iter().map(|line| line.to_lowercase()).collect();
    let places = places(&lines, view);
    let chosen = chosen(&places, view);
    if chosen.is_empty() {
        return fallback(view, &lines);
    }
    let starts: Vec<usize> = chosen.iter().map(|index| places[*index].line).collect();
    chosen
        .iter()
        .map(|index| {
            let place = &places[*index];
            let next = starts.iter().copied().find(|line| *line > place.line);
            let reason = reason(&lines, &lower, place, next);
            Entry { recipient: Some(place.address.clone()), reason }
        })
        .collect()
}

/// The lines that speak of one address, for a report that has fields of its own.
pub fn reason_for(entries: &[Entry], recipient: &str) -> String {
    let own = entries.iter().find(|entry| {
        entry.recipient.as_ref().is_some_and(|address| address::same(address, recipient))
    });
    own.map(|entry| entry.reason.clone()).unwrap_or_default()
}

fn places(lines: &[&str], view: &View) -> Vec<Place> {
    let senders = view.senders();
    let recipients = view.original_recipients();
    let mut places = Vec::new();
    let mut before = "";
    for (index, line) in lines.iter().enumerate() {
        for found in address::in_line(line).into_iter().take(20) {
            let is_recipient = recipients.iter().any(|own| address::same(own, &found.address));
            let is_sender = senders.iter().any(|own| address::same(own, &found.address));
            let is_daemon =
                address::is_daemon(&found.address) || address::same(&found.address, &view.from);
            let mut rank = rank(line, &found, before);
            // Whoever got the mail may be named in every way; its sender and the daemon may not.
            if (is_sender || is_daemon) && !is_recipient {
                rank = Rank::Not;
            }
            if is_recipient && rank == Rank::Mentioned {
                rank = Rank::Pointed;
            }
            let rest = line[found.end..].to_owned();
            places.push(Place { address: found.address, rank, line: index, rest });
        }
        before = if line.trim().is_empty() { before } else { line };
    }
    places
}

/// Words in front of an address that make it a recipient.
const POINTERS: &[&str] = &[
    "to",
    "to:",
    "recipient",
    "recipient:",
    "recipients:",
    "recipient(s):",
    "recipient address:",
    "address",
    "address:",
    "addresses:",
    "for",
    "for:",
    "user",
    "user:",
    "users:",
    "mailbox",
    "mailbox:",
    "account",
    "account:",
    "addressed to:",
    "alias:",
    "receiver:",
    "receiver address:",
    "destination:",
    "forward-to:",
    "failed:",
    "host:",
    "mail for",
    "size:",
    "quota:",
    "full:",
    "recipient's",
    "delivered to",
    "user unknown:",
    "was:",
    "address(es):",
    "an",
    "an:",
    "für",
    "empfänger",
    "empfänger:",
    "adresse",
    "à",
    "à:",
    "pour",
    "destinataire",
    "destinataire:",
    "para",
    "para:",
    "a:",
    "destinatario",
    "destinatario:",
    "destinatário:",
    "aan",
    "aan:",
    "кому:",
    "получатель:",
    "адрес:",
    "宛先",
    "宛先:",
    "宛先：",
    "收件人:",
];

/// Words in front of an address that make it somebody else.
const SENDERS: &[&str] = &[
    "from",
    "from:",
    "sender",
    "sender:",
    "by",
    "von",
    "von:",
    "de:",
    "de :",
    "contact",
    "mailto",
    "mail from:",
    "reply-to:",
    "postmaster:",
    "administrator",
    "at:",
    "email:",
    "e-mail:",
    "cc:",
    "originator:",
    "envelope-from:",
    "at",
    "return-path:",
    "errors-to:",
    "id",
    "or",
];

/// Lines that tell whom to ask.
const CONTACTS: &[&str] = &[
    "contact",
    "please send",
    "if you have",
    "question",
    "for assistance",
    "for help",
    "for further",
    "for more information",
    "message-id",
    "message id",
    "in-reply-to",
    "references:",
    "report this",
    "mts-id",
    "you can reach",
    "support",
];

fn rank(line: &str, found: &Found, before: &str) -> Rank {
    let lower = line.to_lowercase();
    let head = line[..found.start].to_lowercase();
    let head = head.trim_end_matches(['<', '"', '\'', '(', '[', '`', '«', '*', '\t', ' ', '=']);
    let head = head.trim_end_matches("smtp:").trim_end_matches("mailto:");
    let bare = head.trim_start_matches(['>', '<', '*', '-', '|', '"', '\'', '.', ' ', '\t']);
    let bare = bare.trim_end_matches(['<', '"', '\'', '(', '[', ' ']);
    if CONTACTS.iter().any(|word| lower.contains(word)) {
        return Rank::Not;
    }
    if bare.is_empty() || bare.chars().all(|c| c.is_ascii_digit() || ".)#".contains(c)) {
        let asks = before.to_lowercase();
        let is_contact = ["contact", "questions", "please write", "send mail to", "e-mail to"];
        return if is_contact.iter().any(|word| asks.contains(word)) {
            Rank::Not
        } else {
            Rank::Listed
        };
    }
    if bare.ends_with("rcpt to:") || bare.ends_with("rcpt to") || bare.contains("addressed to:") {
        return Rank::Listed;
    }
    let ends_with = |word: &&&str| {
        bare.strip_suffix(**word)
            .is_some_and(|rest| rest.is_empty() || !rest.ends_with(|c: char| c.is_alphanumeric()))
    };
    if SENDERS.iter().any(|word| ends_with(&word)) {
        return Rank::Not;
    }
    if POINTERS.iter().any(|word| ends_with(&word)) { Rank::Pointed } else { Rank::Mentioned }
}

/// The first place of each address that counts, in the order of the text.
fn chosen(places: &[Place], view: &View) -> Vec<usize> {
    let recipients = view.original_recipients();
    let is_own = |place: &Place| recipients.iter().any(|own| address::same(own, &place.address));
    let best = places.iter().map(|place| place.rank).max().unwrap_or(Rank::Not);
    if best == Rank::Not {
        return Vec::new();
    }
    // Where the text names people that the mail was written to, nobody else is meant unless he is
    // listed in the same way.
    let own_best = places.iter().filter(|p| is_own(p)).map(|p| p.rank).max();
    let least = own_best.filter(|rank| *rank > Rank::Not).unwrap_or(best);
    let mut first: HashMap<String, usize> = HashMap::new();
    let mut order: Vec<usize> = Vec::new();
    for (index, place) in places.iter().enumerate() {
        let counts = if is_own(place) {
            place.rank > Rank::Not
        } else {
            place.rank >= least && (own_best.is_none() || place.rank == Rank::Listed)
        };
        let key = place.address.to_lowercase();
        if !counts || order.len() >= RECIPIENTS_MAX {
            continue;
        }
        match first.get(&key) {
            // A listed place tells the reason better than a mention above it.
            Some(known) if place.rank > places[order[*known]].rank => order[*known] = index,
            Some(_) => {}
            None => {
                first.insert(key, order.len());
                order.push(index);
            }
        }
    }
    order.sort_unstable();
    order
}

/// What the text says about one recipient: its line and those below it, and every other line that
/// names it.
fn reason(lines: &[&str], lower: &[String], place: &Place, next: Option<usize>) -> String {
    let mut reason = lines[place.line].to_owned();
    let last = next.unwrap_or(lines.len()).min(place.line + 1 + REASON_LINES_MAX);
    let mut is_told = place.rest.chars().filter(|c| c.is_alphanumeric()).count() > 8;
    for line in &lines[(place.line + 1).min(last)..last] {
        if line.trim().is_empty() {
            if is_told {
                break;
            }
            continue;
        }
        is_told = true;
        reason.push('\n');
        reason.push_str(line);
    }
    let address = place.address.to_lowercase();
    for (index, line) in lines.iter().enumerate() {
        let is_near = index >= place.line && index < last;
        if !is_near && reason.len() < 8192 && lower[index].contains(&address) {
            reason.push('\n');
            reason.push_str(line);
        }
    }
    reason
}

/// Nobody is named in the words: the fields of the report or of the returned mail tell.
fn fallback(view: &View, lines: &[&str]) -> Vec<Entry> {
    let reason = lines.join("\n");
    let failed = failed_recipients(view);
    let recipients = if failed.is_empty() { view.original_recipients() } else { failed };
    match recipients.len() {
        0 => vec![Entry { recipient: None, reason }],
        _ => recipients
            .into_iter()
            .take(RECIPIENTS_MAX)
            .map(|recipient| Entry { recipient: Some(recipient), reason: reason.clone() })
            .collect(),
    }
}

/// Exim and its heirs name them in a field.
pub fn failed_recipients(view: &View) -> Vec<String> {
    let values = view.fields.all("x-failed-recipients");
    let mut found: Vec<String> = Vec::new();
    for address in values.flat_map(|value| value.split(',')).filter_map(address::plain) {
        if !found.iter().any(|known| address::same(known, &address)) {
            found.push(address);
        }
    }
    found.truncate(RECIPIENTS_MAX);
    found
}
