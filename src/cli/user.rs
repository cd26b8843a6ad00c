//! `postroad user add | list | disable`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::users::UserView;
use crate::auth;
use crate::config::Settings;
use crate::model::Role;

#[derive(Subcommand)]
pub enum User {
    /// Make a user; the password is shown once and kept nowhere.
    Add {
        email: String,
        #[arg(long, default_value = "")]
        name: String,
        /// May do everything in every organization.
        #[arg(long)]
        admin: bool,
        /// What the user is in the organization.
        #[arg(long)]
        role: Option<Role>,
        #[arg(long, default_value_t = 1, value_name = "ID")]
        organization: i64,
        #[arg(long)]
        json: bool,
    },
    /// List all users.
    List {
        /// Go on where an earlier list ended.
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<u64>,
        #[arg(long)]
        json: bool,
    },
    /// Let a user sign in no longer.
    Disable {
        #[arg(value_name = "ID")]
        user: u64,
    },
}

pub fn run(command: User, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: User, desk: &Desk) -> Result<(), CliError> {
    match command {
        User::Add { email, name, admin, role, organization, json } => {
            let password = auth::new_token();
            let order = json!({
                "email": email, "name": name, "password": password, "role": role,
                "installation_admin": admin, "organization": organization,
            });
            let made: UserView =
                desk.ask(Method::POST, "/v1/installation/users", Some(order)).await?;
            if json {
                return screen::print_json(&json!({"user": made, "password": password}));
            }
            screen::print(&format!(
                "user      {}\npassword  {password}\nThe password is shown only now.\n",
                made.email
            ))
        }
        User::List { cursor, json } => {
            let cursor = cursor.map(|id| format!("?cursor={id}")).unwrap_or_default();
            let path = format!("/v1/installation/users{cursor}");
            let page: Page<UserView> = desk.ask(Method::GET, &path, None).await?;
            if json {
                return screen::print_json(&page);
            }
            let row = |row: &UserView| {
                let may = if row.installation_admin { "admin" } else { "" };
                let state = if row.disabled { "disabled" } else { "" };
                let (may, state) = (may.to_owned(), state.to_owned());
                vec![row.id.to_string(), row.email.clone(), row.name.clone(), may, state]
            };
            let rows: Vec<_> = page.items.iter().map(row).collect();
            screen::print(&screen::table(&["id", "email", "name", "may", "state"], &rows))
        }
        User::Disable { user } => {
            let path = format!("/v1/installation/users/{user}/disable");
            let user: UserView = desk.ask(Method::POST, &path, None).await?;
            screen::print(&screen::lines(&format!("{} may sign in no longer\n", user.email)))
        }
    }
}
