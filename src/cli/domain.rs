//! `postroad domain add | list`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::config::Settings;
use crate::store::DomainRow;

#[derive(Subcommand)]
pub enum Domain {
    /// Let an organization send from a domain and what lies below it.
    Add {
        name: String,
        #[arg(long, default_value_t = 1, value_name = "ID")]
        organization: i64,
        #[arg(long)]
        json: bool,
    },
    /// List the domains that may be sent from.
    List {
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: Domain, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Domain, desk: &Desk) -> Result<(), CliError> {
    match command {
        Domain::Add { name, organization, json } => {
            let order = json!({"name": name, "organization": organization});
            let row: DomainRow = desk.ask(Method::POST, "/v1/domains", Some(order)).await?;
            if json {
                return screen::print_json(&row);
            }
            screen::print(&format!(
                "{0} was added; sign its mail: postroad dkim new {0}\n",
                row.name
            ))
        }
        Domain::List { json } => {
            let page: Page<DomainRow> = desk.ask(Method::GET, "/v1/domains", None).await?;
            if json {
                return screen::print_json(&page.items);
            }
            let row = |row: &DomainRow| {
                vec![row.name.to_string(), row.organization.to_string(), row.created_at.to_string()]
            };
            let rows: Vec<_> = page.items.iter().map(row).collect();
            screen::print(&screen::table(&["domain", "organization", "added"], &rows))
        }
    }
}
