//! `postroad sealing show | rotate`.

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::sealing::{Resealed, Sealing as View};
use crate::config::Settings;

#[derive(Subcommand)]
pub enum Sealing {
    /// Show which key seals encrypted fields of contacts.
    Show,
    /// Make a new key and seal all values by it; old keys stay in the file.
    Rotate,
}

pub fn run(command: Sealing, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Sealing, desk: &Desk) -> Result<(), CliError> {
    let view: View = match command {
        Sealing::Show => desk.ask(Method::GET, "/v1/sealing", None).await?,
        Sealing::Rotate => desk.ask(Method::POST, "/v1/sealing/rotate", None).await?,
    };
    let Some(newest) = view.newest else {
        return screen::print("no field is encrypted yet, and there is no key\n");
    };
    let since = view.since.map(|since| since.to_string()).unwrap_or_default();
    screen::print(&format!("key {newest} seals since {since}; {} are known\n", view.keys))?;
    match command {
        Sealing::Show => Ok(()),
        Sealing::Rotate => reseal(desk).await,
    }
}

/// What breaks off here goes on when it is asked for again.
async fn reseal(desk: &Desk) -> Result<(), CliError> {
    let organizations: Page<Value> = desk.ask(Method::GET, "/v1/organizations", None).await?;
    let (mut resealed, mut lost) = (0, 0);
    for organization in &organizations.items {
        let mut cursor = None;
        loop {
            let body = json!({ "organization": organization["id"], "cursor": cursor });
            let part: Resealed = desk.ask(Method::POST, "/v1/sealing/reseal", Some(body)).await?;
            resealed += part.resealed;
            lost += part.lost;
            cursor = part.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    screen::print(&format!("{resealed} contacts were sealed anew\n"))?;
    match lost {
        0 => Ok(()),
        _ => Err(CliError::Refused(format!("{lost} values have a key that is not in the file"))),
    }
}
