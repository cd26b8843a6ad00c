//! `postroad limit list | add | remove | pin`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::client::{Desk, percent_encode};
use super::{CliError, on_one_thread, screen};
use crate::api::{LimitView, Page};
use crate::config::Settings;

#[derive(Subcommand)]
pub enum Limit {
    /// List limits and what of them is used.
    List {
        /// Only those of pack, admin, quota, warm_up or adaptive.
        #[arg(long)]
        origin: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Set a limit. Of all that cover a mail the smallest wins.
    Add(Box<Add>),
    /// Remove a limit.
    Remove { id: i64 },
    /// Keep rules from changing a limit.
    Pin {
        id: i64,
        /// Let them again.
        #[arg(long)]
        off: bool,
    },
}

#[derive(clap::Args)]
pub struct Add {
    /// connections, new_connections, messages, messages_per_connection or recipients_per_message.
    metric: String,
    /// How many; 0 stops all.
    #[arg(allow_negative_numbers = true)]
    value: i64,
    /// Of messages and new connections: for which time, such as 1s, 5m, 6h, 1d.
    #[arg(long)]
    window: Option<String>,
    /// installation, pool:ID, source:ID or each_source.
    #[arg(long)]
    from: Option<String>,
    /// anywhere, operator:NAME, site:ID, domain:NAME or each_site.
    #[arg(long)]
    to: Option<String>,
    /// everybody, organization:ID, stream:ID, campaign:ID or sending_domain:ID.
    #[arg(long = "for")]
    who: Option<String>,
    /// Binds transactional or marketing mail alone.
    #[arg(long)]
    class: Option<String>,
    /// fixed, sliding or spread:8h-20h.
    #[arg(long)]
    pace: Option<String>,
    #[arg(long)]
    reason: Option<String>,
    /// It ends by itself after this time.
    #[arg(long, value_name = "TIME")]
    expires_in: Option<String>,
    #[arg(long)]
    pinned: bool,
    #[arg(long)]
    json: bool,
}

pub fn run(command: Limit, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Limit, desk: &Desk) -> Result<(), CliError> {
    match command {
        Limit::List { origin, json } => list(origin, json, desk).await,
        Limit::Add(add) => {
            let json = add.json;
            let view: LimitView = desk.ask(Method::POST, "/v1/limits", Some(order(*add))).await?;
            if json {
                return screen::print_json(&view);
            }
            screen::print(&format!("limit {} was set\n", view.id))
        }
        Limit::Remove { id } => {
            let view: LimitView =
                desk.ask(Method::DELETE, &format!("/v1/limits/{id}"), None).await?;
            screen::print(&format!("limit {} was removed\n", view.id))
        }
        Limit::Pin { id, off } => {
            let path = format!("/v1/limits/{id}/pin");
            let order = json!({"pinned": !off});
            let view: LimitView = desk.ask(Method::POST, &path, Some(order)).await?;
            let word = if view.pinned { "is pinned" } else { "is not pinned any more" };
            screen::print(&format!("limit {} {word}\n", view.id))
        }
    }
}

fn order(add: Add) -> serde_json::Value {
    json!({
        "metric": add.metric, "value": add.value, "window": add.window, "from": add.from,
        "to": add.to, "for": add.who, "class": add.class, "pace": add.pace,
        "reason": add.reason, "expires_in": add.expires_in, "pinned": add.pinned,
    })
}

async fn list(origin: Option<String>, json: bool, desk: &Desk) -> Result<(), CliError> {
    let mut items: Vec<LimitView> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut path = "/v1/limits?limit=1000".to_owned();
        for (name, value) in [("origin", &origin), ("cursor", &cursor)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", percent_encode(value)));
            }
        }
        let page: Page<LimitView> = desk.ask(Method::GET, &path, None).await?;
        items.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if json {
        return screen::print_json(&items);
    }
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    let heads = ["id", "from", "to", "for", "limit", "used", "origin", "ends", "reason"];
    screen::print(&screen::table(&heads, &rows))
}

fn row(limit: &LimitView) -> Vec<String> {
    let window = limit.window.map_or(String::new(), |seconds| match seconds {
        86_400 => " a day".to_owned(),
        3600 => " an hour".to_owned(),
        60 => " a minute".to_owned(),
        1 => " a second".to_owned(),
        other => format!(" in {other} s"),
    });
    let pace = if limit.pace == "fixed" { String::new() } else { format!(", {}", limit.pace) };
    let class = limit.class.map_or(String::new(), |class| format!(", {class}"));
    let pinned = if limit.pinned { ", pinned" } else { "" };
    vec![
        limit.id.to_string(),
        limit.from.clone(),
        limit.to.clone(),
        format!("{}{class}", limit.who),
        format!("{} {}{window}{pace}", limit.value, limit.metric),
        limit.used.iter().map(|used| used.count).sum::<u64>().to_string(),
        format!("{}{pinned}", limit.origin),
        limit.expires_at.map_or(String::new(), |end| end.to_string()),
        limit.reason.clone(),
    ]
}
