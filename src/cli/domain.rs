//! `postroad domain add | list | check | tracking | remove`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::client::{Desk, percent_encode};
use super::tracking::{self, Said};
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::domain_check::{DomainCheck, RecordState};
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
    /// Look at a domain's records at its own name servers: what is there, what should be.
    Check {
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// Show what submitted mail from a domain tells of its readers, or say it; what its stream says
    /// goes before.
    Tracking {
        name: String,
        #[arg(long, value_enum)]
        set: Option<Said>,
        #[arg(long)]
        json: bool,
    },
    /// Let nobody send from a domain any more; its keys go with it.
    Remove { name: String },
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
        Domain::Remove { name } => {
            let path = format!("/v1/domains/{}", percent_encode(&name));
            let row: DomainRow = desk.ask(Method::DELETE, &path, None).await?;
            screen::print(&screen::lines(&format!("{} was removed\n", row.name)))
        }
        Domain::Tracking { name, set, json } => {
            let path = format!("/v1/domains/{}/tracking", percent_encode(&name));
            tracking::run(desk, &path, set, json).await
        }
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
        Domain::Check { name, json } => {
            let path = format!("/v1/domains/{}/check", percent_encode(&name));
            let check: DomainCheck = desk.ask(Method::POST, &path, None).await?;
            match json {
                true => screen::print_json(&check),
                false => screen::print(&told(&check)),
            }
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

fn told(check: &DomainCheck) -> String {
    let mut text = String::new();
    for record in &check.records {
        text += &format!("{} {} {}: {}\n", record.purpose, record.kind, record.name, record.state);
        if record.state != RecordState::Right {
            text += &format!("  expected  {}\n", record.expected);
            for found in &record.found {
                text += &format!("  found     {found}\n");
            }
            text += &format!("  {}\n", record.note);
        }
    }
    if !check.verified {
        text += "It is not verified yet: nobody sends from it before.\n";
    }
    screen::lines(&text)
}
