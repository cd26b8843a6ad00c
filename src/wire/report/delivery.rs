//! The fields of `message/delivery-status` (RFC 3464), as strictly as they are found in the wild.

use super::address;
use super::status;
use crate::model::Enhanced;
use crate::wire::mime::Fields;

/// Recipients of one report.
const RECIPIENTS_MAX: usize = 500;
/// RFC 1035 §2.3.4.
const HOST_BYTES_MAX: usize = 255;

/// What happened, as the reporting host says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Failed,
    Delayed,
    /// Delivered, relayed or expanded.
    Delivered,
}

impl Action {
    fn read(value: &str) -> Option<Action> {
        let value = value.trim().to_ascii_lowercase();
        let starts = |words: &[&str]| words.iter().any(|word| value.starts_with(word));
        if starts(&["fail", "expired", "bounce", "undeliver", "reject", "deny", "denied"]) {
            Some(Action::Failed)
        } else if starts(&["delay", "defer"]) {
            Some(Action::Delayed)
        } else if starts(&["deliver", "relay", "expand"]) {
            Some(Action::Delivered)
        } else {
            None
        }
    }
}

/// One recipient's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    pub address: Option<String>,
    pub action: Option<Action>,
    pub status: Option<Enhanced>,
    /// The text of Diagnostic-Code, without its type.
    pub diagnostic: String,
    pub will_retry: bool,
    /// Who refused, and who reports it, as far as they are named.
    pub hosts: Vec<String>,
}

/// All recipients of the delivery-status parts.
pub fn recipients(parts: &[String]) -> Vec<Recipient> {
    let mut reporter = None;
    let mut all = Vec::new();
    for block in parts.iter().flat_map(|part| blocks(part)) {
        // It stands above the recipients that it tells of.
        reporter = block.get("reporting-mta").and_then(host).or(reporter);
        let Some(mut recipient) = recipient(&block) else { continue };
        recipient.hosts.extend(reporter.clone());
        all.push(recipient);
        if all.len() >= RECIPIENTS_MAX {
            break;
        }
    }
    all
}

/// `dns; mx.b.example (192.0.2.1)` without all but the name.
fn host(value: &str) -> Option<String> {
    let name = untyped(value);
    let name = name.split([' ', '(', '[']).next()?.trim_end_matches('.');
    let is_name = name.contains('.') && name.len() <= HOST_BYTES_MAX;
    is_name.then(|| name.to_ascii_lowercase())
}

/// Groups between empty lines; a second Final-Recipient begins a group of its own, since some
/// hosts forget the line.
fn blocks(part: &str) -> Vec<Fields> {
    let mut blocks: Vec<String> = Vec::new();
    let mut block = String::new();
    let mut has_recipient = false;
    for line in part.lines() {
        let is_final = starts_with(line, "final-recipient:");
        let is_blank = line.trim().is_empty();
        if is_blank || (is_final && has_recipient) {
            blocks.push(std::mem::take(&mut block));
            has_recipient = false;
        }
        if !is_blank {
            has_recipient |= is_final;
            block.push_str(line.trim_end());
            block.push('\n');
        }
        if blocks.len() > RECIPIENTS_MAX {
            break;
        }
    }
    blocks.push(block);
    blocks.iter().map(|block| Fields::read(block.as_bytes()).0).collect()
}

fn starts_with(line: &str, name: &str) -> bool {
    line.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name))
}

fn recipient(fields: &Fields) -> Option<Recipient> {
    let is_one = ["final-recipient", "original-recipient", "action", "status"];
    if !is_one.iter().any(|name| fields.has(name)) {
        return None;
    }
    let names =
        ["final-recipient", "original-recipient", "x-actual-recipient", "x-original-recipient"];
    let address = names.iter().flat_map(|name| fields.all(name)).find_map(address::typed);
    let diagnostic = fields.all("diagnostic-code").map(untyped).collect::<Vec<_>>().join("\n");
    let extra = ["x-display-name", "x-supplementary-info", "x-postfix-diagnostic"];
    let extra = extra.iter().filter_map(|name| fields.get(name)).map(untyped);
    let diagnostic = std::iter::once(diagnostic).chain(extra).filter(|text| !text.is_empty());
    Some(Recipient {
        address,
        action: fields.get("action").and_then(Action::read),
        status: fields.all("status").find_map(status::of_field),
        diagnostic: diagnostic.collect::<Vec<_>>().join("\n"),
        will_retry: fields.has("will-retry-until"),
        hosts: fields.get("remote-mta").and_then(host).into_iter().collect(),
    })
}

/// `smtp; 550 no` without its type. A text with no type is taken whole.
fn untyped(value: &str) -> String {
    let text = match value.split_once(';') {
        Some((kind, text)) if kind.len() <= 20 && !kind.trim().contains(' ') => text,
        _ => value,
    };
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_told_apart_with_and_without_empty_lines() {
        let part = "Reporting-MTA: dns; mx.b.example\n\nFinal-Recipient: rfc822; a@b.example\n\
            Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1\n  no such user\n\
            Original-Recipient: rfc822; c@b.example\nFinal-Recipient: x-local; carol\n\
            Action: delayed (warning)\nStatus: 4.4.1 (no answer)\n";
        let found = recipients(&[part.to_owned()]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].address.as_deref(), Some("a@b.example"));
        assert_eq!(found[0].diagnostic, "550 5.1.1 no such user");
        assert_eq!(found[1].action, Some(Action::Delayed));
        assert_eq!(found[1].status, Some(Enhanced(4, 4, 1)));
        assert_eq!(found[1].hosts, ["mx.b.example"]);
    }

    #[test]
    fn an_original_recipient_stands_in_for_an_unusable_final_one() {
        let part = "Original-Recipient: rfc822;a@b.example\nFinal-Recipient: rfc822; |/bin/x\n\
            Action: failed\nStatus: 5.0.0\n";
        assert_eq!(recipients(&[part.to_owned()])[0].address.as_deref(), Some("a@b.example"));
    }

    #[test]
    fn the_host_that_refused_is_named_before_the_one_that_reports_it() {
        let part = "Reporting-MTA: dns; Relay.a.example (192.0.2.1)\n\n\
            Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\
            Remote-MTA: dns;mx.b.example.\n\nFinal-Recipient: rfc822; c@b.example\n\
            Action: failed\nStatus: 5.1.1\nRemote-MTA: x-unknown; nobody\n";
        let hosts: Vec<_> =
            recipients(&[part.to_owned()]).into_iter().map(|one| one.hosts).collect();
        assert_eq!(hosts, [vec!["mx.b.example", "relay.a.example"], vec!["relay.a.example"]]);
    }
}
