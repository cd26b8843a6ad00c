//! `postroad decisions list | undo | pin | release`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::decisions::DecisionView;
use crate::config::Settings;

#[derive(Subcommand)]
pub enum Decisions {
    /// List what rules have changed by themselves, newest first.
    List {
        /// Only what is in force.
        #[arg(long)]
        active: bool,
        #[arg(long, default_value_t = 50)]
        limit: u32,
        #[arg(long)]
        json: bool,
    },
    /// Take one back: the value is again what it was before.
    Undo { id: i64 },
    /// No rule changes it, and it does not end, until it is released.
    Pin { id: i64 },
    /// Leave a pinned one to the rules again.
    Release { id: i64 },
}

pub fn run(command: Decisions, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = match &command {
            Decisions::List { .. } => Desk::daemon_or_store(&settings).await?,
            _ => Desk::daemon(&settings).await?,
        };
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Decisions, desk: &Desk) -> Result<(), CliError> {
    let (id, action, body) = match command {
        Decisions::List { active, limit, json } => {
            let path = format!("/v1/decisions?active={active}&limit={limit}");
            let page: Page<DecisionView> = desk.ask(Method::GET, &path, None).await?;
            return if json { screen::print_json(&page.items) } else { list(&page.items) };
        }
        Decisions::Undo { id } => (id, "undo", None),
        Decisions::Pin { id } => (id, "pin", Some(json!({"pinned": true}))),
        Decisions::Release { id } => (id, "pin", Some(json!({"pinned": false}))),
    };
    let path = format!("/v1/decisions/{id}/{action}");
    let view: DecisionView = desk.ask(Method::POST, &path, body).await?;
    list(std::slice::from_ref(&view))
}

fn list(views: &[DecisionView]) -> Result<(), CliError> {
    let value = |value: Option<u64>| value.map_or_else(|| "–".into(), |value| value.to_string());
    let row = |one: &DecisionView| {
        let pinned = if one.pinned { " (pinned)" } else { "" };
        let until = one.expires_at.filter(|_| !one.pinned);
        vec![
            one.id.to_string(),
            one.at.to_string(),
            one.rule.to_string(),
            format!("{} → {}, {}", one.from, one.to, one.who),
            format!("{} {} → {}", one.metric, value(one.before), value(one.after)),
            format!("{}{pinned}", one.state),
            until.map_or_else(|| "–".into(), |until| until.to_string()),
            one.cause.clone(),
            one.samples.first().cloned().unwrap_or_default(),
        ]
    };
    let heads = ["id", "at", "rule", "for", "limit", "state", "until", "cause", "sample"];
    screen::print(&screen::table(&heads, &views.iter().map(row).collect::<Vec<_>>()))
}
