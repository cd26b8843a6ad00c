//! `postroad credential add | list | revoke`.

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::client::{Desk, percent_encode};
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::credentials::Made;
use crate::config::Settings;
use crate::store::CredentialRow;

#[derive(Subcommand)]
pub enum Credential {
    /// Make a credential; its secret is shown once and kept nowhere.
    Add {
        /// The user name for SMTP and HTTP.
        name: String,
        /// The stream its mail belongs to: transactional or marketing.
        #[arg(long, default_value = "transactional")]
        stream: String,
        #[arg(long, default_value_t = 1, value_name = "ID")]
        organization: i64,
        #[arg(long)]
        json: bool,
    },
    /// List credentials, revoked ones too.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Refuse a credential from now on.
    Revoke { name: String },
}

pub fn run(command: Credential, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Credential, desk: &Desk) -> Result<(), CliError> {
    match command {
        Credential::Add { name, stream, organization, json } => {
            let order = json!({"name": name, "stream": stream, "organization": organization});
            let made: Made = desk.ask(Method::POST, "/v1/credentials", Some(order)).await?;
            if json {
                return screen::print_json(&made);
            }
            screen::print(&format!(
                "user    {}\nsecret  {}\nThe secret is shown only now.\n",
                made.credential.name, made.secret
            ))
        }
        Credential::List { json } => {
            let page: Page<CredentialRow> = desk.ask(Method::GET, "/v1/credentials", None).await?;
            if json {
                return screen::print_json(&page.items);
            }
            let row = |row: &CredentialRow| {
                let state = match row.revoked_at {
                    Some(at) => format!("revoked {at}"),
                    None => "valid".to_owned(),
                };
                let made = row.created_at.to_string();
                vec![
                    row.name.clone(),
                    row.organization.to_string(),
                    row.stream.to_string(),
                    made,
                    state,
                ]
            };
            let rows: Vec<_> = page.items.iter().map(row).collect();
            let heads = ["name", "organization", "stream", "made", "state"];
            screen::print(&screen::table(&heads, &rows))
        }
        Credential::Revoke { name } => {
            let path = format!("/v1/credentials/{}", percent_encode(&name));
            let answer: Value = desk.ask(Method::DELETE, &path, None).await?;
            let revoked = answer["name"].as_str().unwrap_or(&name);
            screen::print(&screen::lines(&format!("{revoked} is refused from now on\n")))
        }
    }
}
