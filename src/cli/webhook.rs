//! `postroad webhook add | list | change | remove | rotate | test | calls | replay`.

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::webhooks::{CallView, MadeWebhook, Replayed, WebhookView};
use crate::config::Settings;
use crate::model::{CallState, Timestamp};

/// How long `test` waits for the end of its call; a call takes at most ten seconds.
const TEST_POLLS: usize = 60;
const TEST_POLL: std::time::Duration = std::time::Duration::from_millis(250);

#[derive(Subcommand)]
pub enum Webhook {
    /// Tell an endpoint of events; the secret that signs the calls is shown once.
    Add {
        name: String,
        /// http:// or https://; private addresses need `fetch.allowed_networks`.
        url: String,
        /// Kinds of events, such as delivered,failed; without it all.
        #[arg(long, value_delimiter = ',')]
        kinds: Vec<String>,
        /// How calls are written: postroad (batches, Standard Webhooks signature) or
        /// postal (one event a call, Postal's names and signatures).
        #[arg(long, default_value = "postroad")]
        format: String,
        #[arg(long, default_value_t = 1, value_name = "ID")]
        organization: i64,
        #[arg(long)]
        json: bool,
    },
    /// List endpoints and how they fare.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Change an endpoint.
    Change {
        id: i64,
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        url: Option<String>,
        #[arg(long, value_delimiter = ',')]
        kinds: Option<Vec<String>>,
        #[arg(long)]
        enabled: Option<bool>,
    },
    /// Remove an endpoint; calls that wait for it are given up.
    Remove { id: i64 },
    /// Make a new secret; the one before signs beside it for a day.
    Rotate { id: i64 },
    /// Call an endpoint without events and show what it answers.
    Test { id: i64 },
    /// Show the log of calls, newest first.
    Calls {
        id: i64,
        #[arg(long, default_value_t = 50)]
        limit: u32,
        #[arg(long)]
        json: bool,
    },
    /// Tell events of a time once more: 2026-01-31T00:00:00Z.
    Replay {
        id: i64,
        #[arg(long, value_parser = moment)]
        from: Timestamp,
        /// Now, when it is missing.
        #[arg(long, value_parser = moment)]
        to: Option<Timestamp>,
    },
}

pub fn run(command: Webhook, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Webhook, desk: &Desk) -> Result<(), CliError> {
    match command {
        Webhook::Add { name, url, kinds, format, organization, json } => {
            let order = json!({
                "name": name, "url": url, "kinds": kinds, "format": format,
                "organization": organization,
            });
            let made: MadeWebhook = desk.ask(Method::POST, "/v1/webhooks", Some(order)).await?;
            if json { screen::print_json(&made) } else { show_secret(&made) }
        }
        Webhook::List { json } => list(desk, json).await,
        Webhook::Change { id, name, url, kinds, enabled } => {
            let mut order = json!({});
            for (field, value) in [
                ("name", name.map(Value::from)),
                ("url", url.map(Value::from)),
                ("kinds", kinds.map(Value::from)),
                ("enabled", enabled.map(Value::from)),
            ] {
                if let Some(value) = value {
                    order[field] = value;
                }
            }
            let path = format!("/v1/webhooks/{id}");
            let view: WebhookView = desk.ask(Method::PATCH, &path, Some(order)).await?;
            screen::print(&screen::lines(&format!("{} now calls {}\n", view.name, view.url)))
        }
        Webhook::Remove { id } => {
            let path = format!("/v1/webhooks/{id}");
            let view: WebhookView = desk.ask(Method::DELETE, &path, None).await?;
            screen::print(&screen::lines(&format!("{} is removed\n", view.name)))
        }
        Webhook::Rotate { id } => {
            let path = format!("/v1/webhooks/{id}/rotate");
            show_secret(&desk.ask(Method::POST, &path, None).await?)
        }
        Webhook::Test { id } => test(desk, id).await,
        Webhook::Calls { id, limit, json } => calls(desk, id, limit, json).await,
        Webhook::Replay { id, from, to } => {
            let mut order = json!({ "from": from });
            if let Some(to) = to {
                order["to"] = to.0.into();
            }
            let path = format!("/v1/webhooks/{id}/replay");
            let done: Replayed = desk.ask(Method::POST, &path, Some(order)).await?;
            let more = if done.more { "; there are more: ask for a later `--from`" } else { "" };
            screen::print(&format!("{} events are told once more{more}\n", done.events))
        }
    }
}

/// RFC 3339 with a zone.
fn moment(text: &str) -> Result<Timestamp, String> {
    let parsed: jiff::Timestamp = text.parse().map_err(|error| format!("{error}"))?;
    Ok(Timestamp(parsed.as_microsecond()))
}

fn show_secret(made: &MadeWebhook) -> Result<(), CliError> {
    let WebhookView { id, name, .. } = &made.webhook;
    let text = format!("webhook {id} ({name})\nsecret  {}\n", made.secret);
    screen::print(&screen::lines(&text))?;
    screen::print("The secret is shown only now.\n")
}

async fn list(desk: &Desk, json: bool) -> Result<(), CliError> {
    let page: Page<WebhookView> = desk.ask(Method::GET, "/v1/webhooks", None).await?;
    if json {
        return screen::print_json(&page.items);
    }
    let row = |view: &WebhookView| {
        let state = match (&view.disabled_reason, view.enabled, view.failing_since) {
            (Some(reason), false, _) => format!("off: {reason}"),
            (None, false, _) => "off".to_owned(),
            (_, true, Some(since)) => format!("failing since {since}: {}", view.last_text),
            (_, true, None) => "well".to_owned(),
        };
        let kinds: Vec<&str> = view.kinds.iter().map(|kind| kind.word()).collect();
        let kinds = if kinds.is_empty() { "all".to_owned() } else { kinds.join(",") };
        vec![view.id.to_string(), view.name.clone(), view.url.clone(), kinds, state]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen::print(&screen::table(&["id", "name", "url", "kinds", "state"], &rows))
}

async fn test(desk: &Desk, id: i64) -> Result<(), CliError> {
    let path = format!("/v1/webhooks/{id}/test");
    let made: CallView = desk.ask(Method::POST, &path, None).await?;
    let path = format!("/v1/webhooks/{id}/calls?limit=20");
    for _ in 0..TEST_POLLS {
        let page: Page<CallView> = desk.ask(Method::GET, &path, None).await?;
        let tried = page.items.into_iter().find(|call| call.id == made.id && call.tries > 0);
        if let Some(call) = tried {
            let status = call.status.map_or("no answer".to_owned(), |status| status.to_string());
            let text = format!("{status} after {} ms: {}\n", call.milliseconds, call.text);
            screen::print(&screen::lines(&text))?;
            let well = call.state == CallState::Delivered;
            return if well { Ok(()) } else { Err(CliError::Found) };
        }
        tokio::time::sleep(TEST_POLL).await;
    }
    Err(CliError::Refused("the call has not ended; see `postroad webhook calls`".to_owned()))
}

async fn calls(desk: &Desk, id: i64, limit: u32, json: bool) -> Result<(), CliError> {
    let path = format!("/v1/webhooks/{id}/calls?limit={limit}");
    let page: Page<CallView> = desk.ask(Method::GET, &path, None).await?;
    if json {
        return screen::print_json(&page.items);
    }
    let row = |call: &CallView| {
        let next = match call.state {
            CallState::Waiting => format!("waiting, next try {}", call.due_at),
            other => other.to_string(),
        };
        vec![
            call.id.to_string(),
            call.created_at.to_string(),
            call.events.len().to_string(),
            call.tries.to_string(),
            call.status.map_or("-".to_owned(), |status| status.to_string()),
            next,
            call.text.clone(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let heads = ["id", "made", "events", "tries", "status", "state", "answer"];
    screen::print(&screen::table(&heads, &rows))
}
