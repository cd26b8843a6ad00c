//! `postroad trace list | add | remove`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::traces::Removed;
use crate::config::Settings;
use crate::model::Trace as Row;

#[derive(Subcommand)]
pub enum Trace {
    /// List the recipients that are traced.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Keep what is said in every attempt to a recipient, whatever becomes of it; `postroad message
    /// timeline` shows it.
    Add {
        /// An address, or a domain.
        recipient: String,
        /// For so long.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=720))]
        hours: u32,
        #[arg(long, default_value_t = 1, value_name = "ID")]
        organization: u64,
        #[arg(long)]
        json: bool,
    },
    /// Trace a recipient no longer; what was kept stays.
    Remove { id: i64 },
}

pub fn run(command: Trace, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Trace, desk: &Desk) -> Result<(), CliError> {
    match command {
        Trace::List { json } => {
            let page: Page<Row> = desk.ask(Method::GET, "/v1/traces", None).await?;
            if json {
                return screen::print_json(&page.items);
            }
            let row = |row: &Row| {
                vec![
                    row.id.to_string(),
                    row.recipient.as_str().to_owned(),
                    row.organization.to_string(),
                    row.created_at.to_string(),
                    row.expires_at.to_string(),
                ]
            };
            let rows: Vec<_> = page.items.iter().map(row).collect();
            let heads = ["id", "recipient", "organization", "since", "until"];
            screen::print(&screen::table(&heads, &rows))
        }
        Trace::Add { recipient, hours, organization, json } => {
            let order =
                json!({ "recipient": recipient, "hours": hours, "organization": organization });
            let row: Row = desk.ask(Method::POST, "/v1/traces", Some(order)).await?;
            if json {
                return screen::print_json(&row);
            }
            let (id, recipient, end) = (row.id, row.recipient.as_str(), row.expires_at);
            let text = format!("trace {id}: what is said to {recipient} is kept until {end}\n");
            screen::print(&screen::lines(&text))
        }
        Trace::Remove { id } => {
            let path = format!("/v1/traces/{id}");
            let removed: Removed = desk.ask(Method::DELETE, &path, None).await?;
            screen::print(&format!("trace {} was removed\n", removed.removed))
        }
    }
}
