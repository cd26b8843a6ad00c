//! `postroad automation list | show | activate | pause | end | runs | stop | tell`.

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::automation_runs::AutomationEventTold;
use crate::api::automations::AutomationView;
use crate::config::Settings;
use crate::model::AutomationStep;
use crate::store::RunRow;

#[derive(Subcommand)]
pub enum Automation {
    /// List automations, newest first.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show its steps, who waits before them and what they have done.
    Show {
        id: i64,
        #[arg(long)]
        json: bool,
    },
    /// Let people in, or go on.
    Activate { id: i64 },
    /// Move nobody on for now; who comes in waits.
    Pause { id: i64 },
    /// Let everybody go, for good.
    End { id: i64 },
    /// List who is and was in it, newest first.
    Runs {
        id: i64,
        #[arg(long)]
        json: bool,
    },
    /// Let somebody go.
    Stop { id: i64, run: i64 },
    /// Tell that something has happened to a contact.
    Tell {
        email: String,
        event: String,
        /// Told again with the same key it has no effect.
        #[arg(long)]
        key: Option<String>,
    },
}

pub fn run(command: Automation, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Automation, desk: &Desk) -> Result<(), CliError> {
    match command {
        Automation::List { json } => list(desk, json).await,
        Automation::Show { id, json } => show(desk, id, json).await,
        Automation::Activate { id } => step(desk, id, "activate").await,
        Automation::Pause { id } => step(desk, id, "pause").await,
        Automation::End { id } => step(desk, id, "end").await,
        Automation::Runs { id, json } => runs(desk, id, json).await,
        Automation::Stop { id, run } => {
            let path = format!("/v1/automations/{id}/runs/{run}");
            let _: Value = desk.ask(Method::DELETE, &path, None).await?;
            screen::print(&format!("run {run} has ended\n"))
        }
        Automation::Tell { email, event, key } => {
            let body = json!({ "email": email, "event": event, "key": key });
            let told: AutomationEventTold =
                desk.ask(Method::POST, "/v1/automation-events", Some(body)).await?;
            screen::print(&format!("{} automations wait for it\n", told.automations))
        }
    }
}

async fn list(desk: &Desk, json: bool) -> Result<(), CliError> {
    let page: Page<AutomationView> = desk.ask(Method::GET, "/v1/automations", None).await?;
    if json {
        return screen::print_json(&page.items);
    }
    let row = |view: &AutomationView| {
        let automation = &view.automation;
        let inside: u64 = view.standing.iter().map(|one| one.count).sum();
        vec![
            automation.id.to_string(),
            automation.name.clone(),
            automation.state.to_string(),
            automation.version.to_string(),
            automation.definition.entry.kind().to_string(),
            inside.to_string(),
            automation.trouble.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
    let heads = ["id", "name", "state", "version", "entry", "inside", "trouble"];
    screen::print(&screen::table(&heads, &rows))
}

async fn show(desk: &Desk, id: i64, json: bool) -> Result<(), CliError> {
    let path = format!("/v1/automations/{id}");
    let view: AutomationView = desk.ask(Method::GET, &path, None).await?;
    if json {
        return screen::print_json(&view);
    }
    let automation = &view.automation;
    let of_version = |version: u64| version == automation.version;
    let row = |(place, step): (usize, &AutomationStep)| {
        let is_here = |at: u32| at as usize == place;
        let standing = view.standing.iter();
        let standing = standing.filter(|one| of_version(one.version) && is_here(one.step));
        let waiting: u64 = standing.map(|one| one.count).sum();
        let done = view.done.iter().filter(|one| of_version(one.version) && is_here(one.step));
        let done: Vec<String> = done.map(|one| format!("{} {}", one.count, one.did)).collect();
        vec![(place + 1).to_string(), told(step), waiting.to_string(), done.join(", ")]
    };
    let rows: Vec<Vec<String>> = automation.definition.steps.iter().enumerate().map(row).collect();
    let mut text = screen::table(&["step", "what", "waiting", "done"], &rows);
    text.push_str(&format!("{} is {}\n", automation.name, automation.state));
    if let Some(trouble) = &automation.trouble {
        text.push_str(&format!("{trouble}\n"));
    }
    screen::print(&screen::lines(&text))
}

fn told(step: &AutomationStep) -> String {
    match step {
        AutomationStep::Wait { seconds, .. } => format!("wait {seconds} seconds"),
        AutomationStep::Send { campaign, content } => {
            let subject = content.variants.first().map(|variant| variant.subject.as_str());
            format!("send campaign {campaign}: {}", subject.unwrap_or_default())
        }
        AutomationStep::Condition { expression, skip: None } => format!("only if {expression}"),
        AutomationStep::Condition { expression, skip: Some(skip) } => {
            format!("unless {expression} pass over {skip}")
        }
        AutomationStep::Change { tags, fields, subscribe, unsubscribe } => format!(
            "put {} tags on, give {} values, join {} lists, leave {}",
            tags.len(),
            fields.len(),
            subscribe.len(),
            unsubscribe.len()
        ),
        AutomationStep::Exit => "exit".to_owned(),
    }
}

async fn step(desk: &Desk, id: i64, step: &str) -> Result<(), CliError> {
    let path = format!("/v1/automations/{id}/step");
    let body: Value = json!({ "step": step });
    let view: AutomationView = desk.ask(Method::POST, &path, Some(body)).await?;
    screen::print(&format!("automation {id} is {}\n", view.automation.state))
}

async fn runs(desk: &Desk, id: i64, json: bool) -> Result<(), CliError> {
    let path = format!("/v1/automations/{id}/runs");
    let page: Page<RunRow> = desk.ask(Method::GET, &path, None).await?;
    if json {
        return screen::print_json(&page.items);
    }
    let row = |run: &RunRow| {
        vec![
            run.id.to_string(),
            run.email.clone().unwrap_or_default(),
            run.version.to_string(),
            run.state.to_string(),
            (run.step + 1).to_string(),
            run.reason.map_or_else(|| run.wake_at.to_string(), |reason| reason.to_string()),
        ]
    };
    let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
    let heads = ["run", "contact", "version", "state", "step", "until"];
    screen::print(&screen::table(&heads, &rows))
}
