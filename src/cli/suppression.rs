//! `postroad suppression list | add | remove | test | import | export`.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::suppressions::{Added, Answer, Removed};
use crate::clock::Clock;
use crate::config::Settings;
use crate::store::SuppressionRow;

/// Of a list to be read.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Addresses of one request.
const ENTRIES_MAX: usize = 500;
const PAGE: usize = 1000;
/// Pages of an export: a hundred million rows.
const PAGES_MAX: usize = 100_000;

#[derive(Subcommand)]
pub enum Suppression {
    /// List addresses that are not written to, newest first.
    List {
        /// Only this address, also where it is known by its hash alone.
        #[arg(long)]
        address: Option<String>,
        /// Also those that were removed, or whose time is over.
        #[arg(long)]
        removed: bool,
        #[arg(long)]
        json: bool,
    },
    /// Write no more to an address.
    Add {
        address: String,
        #[command(flatten)]
        reach: Reach,
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Write to an address again; the entry stays readable, with the note.
    Remove {
        id: i64,
        /// Why.
        #[arg(long)]
        note: String,
    },
    /// Would mail to this address be stopped?
    Test {
        address: String,
        #[arg(long, default_value_t = 1, value_name = "ID")]
        organization: i64,
        #[arg(long, default_value_t = 1, value_name = "ID")]
        stream: i64,
        /// Mail of a campaign to this list.
        #[arg(long, value_name = "ID")]
        list: Option<i64>,
        #[arg(long)]
        json: bool,
    },
    /// Add all addresses of a file: one a line (or the first column of a CSV), or the SHA-256 of
    /// one in lower case.
    Import {
        /// `-` reads the standard input.
        file: PathBuf,
        #[command(flatten)]
        reach: Reach,
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Write all addresses to the standard output, one a line, oldest last.
    Export {
        /// Their SHA-256 instead, for those who are not to learn addresses.
        #[arg(long)]
        hashed: bool,
    },
}

/// Whose mail an entry stops.
#[derive(clap::Args)]
pub struct Reach {
    /// All mail of the installation.
    #[arg(long, conflicts_with_all = ["organization", "stream", "list"])]
    installation: bool,
    #[arg(long, default_value_t = 1, value_name = "ID")]
    organization: i64,
    /// Only mail of this stream.
    #[arg(long, value_name = "ID")]
    stream: Option<i64>,
    /// Only campaigns to this list.
    #[arg(long, value_name = "ID", conflicts_with = "stream")]
    list: Option<i64>,
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// It ends after so many days; else it stays for good.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: Option<u16>,
}

impl Reach {
    fn order(&self, entries: &[Value], reason: &str, note: &str) -> Value {
        let scope = match (self.installation, self.stream, self.list) {
            (true, ..) => "installation",
            (false, Some(_), _) => "stream",
            (false, None, Some(_)) => "list",
            (false, None, None) => "organization",
        };
        let span = self.days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
        let expires_at = span.map(|span| Clock::system().wall() + span);
        let organization = (!self.installation).then_some(self.organization);
        let reason = self.reason.as_deref().unwrap_or(reason);
        json!({
            "entries": entries, "scope": scope, "organization": organization,
            "stream": self.stream, "list": self.list, "reason": reason, "note": note,
            "expires_at": expires_at,
        })
    }
}

pub fn run(command: Suppression, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Suppression, desk: &Desk) -> Result<(), CliError> {
    match command {
        Suppression::List { address, removed, json } => list(desk, address, removed, json).await,
        Suppression::Add { address, reach, note } => {
            let order = reach.order(&[json!({"address": address})], "manual", &note);
            let added: Added = desk.ask(Method::POST, "/v1/suppressions", Some(order)).await?;
            let text =
                if added.added > 0 { "is not written to any more" } else { "was there already" };
            screen::print(&screen::lines(&format!("{address} {text}\n")))
        }
        Suppression::Remove { id, note } => {
            let path = format!("/v1/suppressions/{id}/remove");
            let order = json!({"note": note});
            let removed: Removed = desk.ask(Method::POST, &path, Some(order)).await?;
            screen::print(&format!("entry {} was removed\n", removed.removed))
        }
        Suppression::Test { address, organization, stream, list, json } => {
            let address = encoded(&address);
            let list = list.map_or(String::new(), |list| format!("&list={list}"));
            let path = format!(
                "/v1/suppressions/test?address={address}&organization={organization}\
                 &stream={stream}{list}"
            );
            let answer: Answer = desk.ask(Method::GET, &path, None).await?;
            if json {
                return screen::print_json(&answer);
            }
            match (answer.suppression, answer.reason, answer.scope) {
                (Some(id), Some(reason), Some(scope)) => {
                    screen::print(&format!("stopped by entry {id}: {reason}, for this {scope}\n"))
                }
                _ => screen::print("not stopped\n"),
            }
        }
        Suppression::Import { file, reach, note } => import(desk, file, &reach, &note).await,
        Suppression::Export { hashed } => export(desk, hashed).await,
    }
}

async fn list(
    desk: &Desk,
    address: Option<String>,
    removed: bool,
    json: bool,
) -> Result<(), CliError> {
    let mut path = format!("/v1/suppressions?limit={PAGE}&removed={removed}");
    if let Some(address) = address {
        path.push_str("&address=");
        path.push_str(&encoded(&address));
    }
    let page: Page<SuppressionRow> = desk.ask(Method::GET, &path, None).await?;
    if json {
        return screen::print_json(&page.items);
    }
    let row = |row: &SuppressionRow| {
        let end = match (row.removed_at, row.expires_at) {
            (Some(at), _) => format!("removed {at}"),
            (None, Some(at)) => format!("until {at}"),
            (None, None) => "for good".to_owned(),
        };
        vec![
            row.id.to_string(),
            row.address.clone().unwrap_or_else(|| row.sha256.as_str().to_owned()),
            row.scope.to_string(),
            row.reason.to_string(),
            row.created_at.to_string(),
            end,
            row.removal_note.clone().unwrap_or_else(|| row.note.clone()),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let heads = ["id", "address", "scope", "reason", "since", "end", "note"];
    screen::print(&screen::table(&heads, &rows))
}

async fn import(desk: &Desk, file: PathBuf, reach: &Reach, note: &str) -> Result<(), CliError> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(&file)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    }
    let (entries, unread) = entries(&text);
    let (mut added, all) = (0, entries.len());
    for part in entries.chunks(ENTRIES_MAX) {
        let order = reach.order(part, "imported", note);
        let answer: Added = desk.ask(Method::POST, "/v1/suppressions", Some(order)).await?;
        added += answer.added;
    }
    for line in unread.iter().take(20) {
        eprintln!("postroad: line {line} is neither an address nor a SHA-256; it was left out");
    }
    let (known, bad) = (all as u64 - added.min(all as u64), unread.len());
    screen::print(&format!("{added} added, {known} there already, {bad} lines left out\n"))
}

/// What the lines of a list name, and the numbers of those that name nothing.
fn entries(text: &str) -> (Vec<Value>, Vec<usize>) {
    let (mut entries, mut unread) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let word = line.split([',', ';', '\t']).next().unwrap_or_default();
        let word = word.trim().trim_matches('"');
        let is_hash = word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
        // The first line of a table names its columns.
        let is_head = index == 0 && !word.contains('@');
        if is_hash {
            entries.push(json!({"sha256": word}));
        } else if crate::model::Address::parse(word).is_ok() {
            entries.push(json!({"address": word}));
        } else if !word.is_empty() && !is_head {
            unread.push(index + 1);
        }
    }
    (entries, unread)
}

async fn export(desk: &Desk, hashed: bool) -> Result<(), CliError> {
    let mut cursor = String::new();
    for _ in 0..PAGES_MAX {
        let path = format!("/v1/suppressions?limit={PAGE}{cursor}");
        let page: Page<SuppressionRow> = desk.ask(Method::GET, &path, None).await?;
        let mut text = String::new();
        for row in &page.items {
            match &row.address {
                Some(address) if !hashed => text.push_str(&screen::lines(address)),
                _ => text.push_str(row.sha256.as_str()),
            }
            text.push('\n');
        }
        screen::print(&text)?;
        match page.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(()),
        }
    }
    Ok(())
}

/// As a value of a query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(octet as char);
            }
            _ => out.push_str(&format!("%{octet:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_with_heads_columns_and_hashes() {
        let hash = "AB".repeat(32);
        let text =
            format!("email,since\nann@alder.example,2026\n\"bob@alder.example\"\n{hash}\nx\n");
        let (entries, unread) = entries(&text);
        let expected = [
            json!({"address": "ann@alder.example"}),
            json!({"address": "bob@alder.example"}),
            json!({"sha256": hash}),
        ];
        assert_eq!(entries, expected);
        assert_eq!(unread, [5]);
    }

    #[test]
    fn a_plus_survives_a_query() {
        assert_eq!(encoded("a+b@c.example"), "a%2Bb%40c.example");
    }
}
