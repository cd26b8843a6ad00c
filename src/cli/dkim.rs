//! `postroad dkim new | list | remove`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::client::{Desk, percent_encode};
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::config::Settings;
use crate::dkim::keys::zone_line;
use crate::store::DkimKeyRow;

#[derive(Subcommand)]
pub enum Dkim {
    /// Make an RSA and an Ed25519 key for a domain and print the DNS records to publish.
    New {
        domain: String,
        /// The name under which the keys are published; without it, from the date.
        #[arg(long)]
        selector: Option<String>,
        /// They sign at once, without a look at DNS.
        #[arg(long)]
        trusted: bool,
        #[arg(long)]
        json: bool,
    },
    /// Remove a key that signs no more.
    Remove { domain: String, selector: String },
    /// List the keys and their DNS records.
    List {
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: Dkim, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Dkim, desk: &Desk) -> Result<(), CliError> {
    let (page, json): (Page<DkimKeyRow>, bool) = match command {
        Dkim::New { domain, selector, trusted, json } => {
            let order = json!({"domain": domain, "selector": selector, "trusted": trusted});
            (desk.ask(Method::POST, "/v1/dkim", Some(order)).await?, json)
        }
        Dkim::Remove { domain, selector } => {
            let (domain, selector) = (percent_encode(&domain), percent_encode(&selector));
            let path = format!("/v1/dkim/{domain}/{selector}");
            let key: DkimKeyRow = desk.ask(Method::DELETE, &path, None).await?;
            let told = format!("{}._domainkey.{} was removed\n", key.selector, key.domain);
            return screen::print(&screen::lines(&told));
        }
        Dkim::List { json } => (desk.ask(Method::GET, "/v1/dkim", None).await?, json),
    };
    if json {
        return screen::print_json(&page.items);
    }
    let line = |key: &DkimKeyRow| zone_line(&key.domain, &key.selector, &key.record) + "\n";
    let lines: String = page.items.iter().map(line).collect();
    screen::print(&screen::lines(&lines))
}
