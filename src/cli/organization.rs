//! `postroad organization add | list | suspend | resume`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::config::Settings;
use crate::store::OrganizationRow;

#[derive(Subcommand)]
pub enum Organization {
    /// Make an organization with its two streams.
    Add {
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// List organizations.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Hold all its mail until it is resumed; nothing is lost.
    Suspend {
        #[arg(value_name = "ID")]
        organization: u64,
        /// Its people read it.
        #[arg(long)]
        reason: String,
    },
    /// Let its mail go on.
    Resume {
        #[arg(value_name = "ID")]
        organization: u64,
    },
}

pub fn run(command: Organization, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Organization, desk: &Desk) -> Result<(), CliError> {
    match command {
        Organization::Add { name, json } => {
            let order = json!({"name": name});
            let row: OrganizationRow =
                desk.ask(Method::POST, "/v1/organizations", Some(order)).await?;
            match json {
                true => screen::print_json(&row),
                false => screen::print(&screen::lines(&format!("{} is {}\n", row.name, row.id))),
            }
        }
        Organization::List { json } => {
            let page: Page<OrganizationRow> =
                desk.ask(Method::GET, "/v1/organizations", None).await?;
            if json {
                return screen::print_json(&page.items);
            }
            let row = |row: &OrganizationRow| {
                let state = row.suspended_reason.as_ref().map(|why| format!("suspended: {why}"));
                vec![row.id.to_string(), row.name.clone(), state.unwrap_or_default()]
            };
            let rows: Vec<_> = page.items.iter().map(row).collect();
            screen::print(&screen::table(&["id", "name", "state"], &rows))
        }
        Organization::Suspend { organization, reason } => {
            let path = format!("/v1/organizations/{organization}/suspend");
            let order = json!({"reason": reason});
            let row: OrganizationRow = desk.ask(Method::POST, &path, Some(order)).await?;
            screen::print(&screen::lines(&format!("the mail of {} is held\n", row.name)))
        }
        Organization::Resume { organization } => {
            let path = format!("/v1/organizations/{organization}/resume");
            let row: OrganizationRow = desk.ask(Method::POST, &path, None).await?;
            screen::print(&screen::lines(&format!("the mail of {} goes on\n", row.name)))
        }
    }
}
