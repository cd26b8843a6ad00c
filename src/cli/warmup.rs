//! `postroad warmup plans | start | list | show | pause | resume | skip | restart | stop`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::warmups::{PlanView, WarmupStory, WarmupView};
use crate::config::Settings;

/// A plan is a few lines.
const PLAN_BYTES_MAX: u64 = 32 * 1024;
const CALENDAR_COLUMNS: usize = 7;

#[derive(Subcommand)]
pub enum Warmup {
    /// Show the plans that ship, day by day.
    Plans {
        /// Mails a day in the end.
        #[arg(long, default_value_t = 100_000)]
        target: u64,
        #[arg(long)]
        json: bool,
    },
    /// Begin to warm up a source, or a new sending domain.
    Start(Start),
    /// List the warm-ups.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show one: its calendar, and what each day came to.
    Show {
        id: i64,
        #[arg(long)]
        json: bool,
    },
    /// Stay at today's volume, whatever the results.
    Pause { id: i64 },
    /// Go on after a pause or a freeze.
    Resume { id: i64 },
    /// Go on by some days of the plan without waiting for results.
    Skip {
        id: i64,
        /// Back where it is negative.
        #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
        days: i32,
    },
    /// Begin again with the first day.
    Restart { id: i64 },
    /// End it: nothing is limited any more.
    Stop { id: i64 },
}

#[derive(Args)]
pub struct Start {
    /// The name of a source.
    #[arg(long, required_unless_present = "domain", conflicts_with = "domain")]
    source: Option<String>,
    /// A sending domain.
    #[arg(long)]
    domain: Option<String>,
    /// An operator; may be given more than once. All, when it is missing.
    #[arg(long)]
    operator: Vec<String>,
    /// Mails a day at each operator in the end.
    #[arg(long)]
    target: u64,
    /// One of `postroad warmup plans`.
    #[arg(long, conflicts_with_all = ["curve", "plan_file"])]
    plan: Option<String>,
    /// Mails on each day, such as 50,100,200,400.
    #[arg(long, value_delimiter = ',', conflicts_with = "plan_file")]
    curve: Option<Vec<u64>>,
    /// A plan of your own, in the form of the shipped ones.
    #[arg(long, value_name = "FILE")]
    plan_file: Option<PathBuf>,
    /// The hours that marketing is sent in, such as 8-20.
    #[arg(long)]
    window: Option<String>,
    #[arg(long)]
    json: bool,
}

pub fn run(command: Warmup, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = match &command {
            Warmup::Plans { .. } => Desk::daemon_or_store(&settings).await?,
            _ => Desk::daemon(&settings).await?,
        };
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Warmup, desk: &Desk) -> Result<(), CliError> {
    let (id, order) = match command {
        Warmup::Plans { target, json } => return plans(desk, target, json).await,
        Warmup::Start(start) => return begin(desk, start).await,
        Warmup::List { json } => {
            let page: Page<WarmupView> = desk.ask(Method::GET, "/v1/warmups", None).await?;
            return list(&page.items, json);
        }
        Warmup::Show { id, json } => return show(desk, id, json).await,
        Warmup::Pause { id } => (id, json!({"action": "pause"})),
        Warmup::Resume { id } => (id, json!({"action": "resume"})),
        Warmup::Skip { id, days } => (id, json!({"action": "skip", "days": days})),
        Warmup::Restart { id } => (id, json!({"action": "restart"})),
        Warmup::Stop { id } => (id, json!({"action": "stop"})),
    };
    let path = format!("/v1/warmups/{id}/steer");
    let view: WarmupView = desk.ask(Method::POST, &path, Some(order)).await?;
    list(std::slice::from_ref(&view), false)
}

async fn plans(desk: &Desk, target: u64, json: bool) -> Result<(), CliError> {
    let path = format!("/v1/warmup-plans?target={target}");
    let page: Page<PlanView> = desk.ask(Method::GET, &path, None).await?;
    if json {
        return screen::print_json(&page.items);
    }
    for plan in &page.items {
        let days = plan.calendar.len();
        screen::print(&format!("{} ({days} days): {}\n", plan.name, plan.summary))?;
        screen::print(&calendar(&plan.calendar, 1))?;
    }
    Ok(())
}

/// A week a line.
fn calendar(volumes: &[u64], first: usize) -> String {
    let mut text = String::new();
    for (week, days) in volumes.chunks(CALENDAR_COLUMNS).enumerate() {
        let day = first + week * CALENDAR_COLUMNS;
        let volumes: Vec<String> = days.iter().map(|volume| format!("{volume:>9}")).collect();
        text += &format!("  day {day:>3} {}\n", volumes.join(""));
    }
    text
}

async fn begin(desk: &Desk, start: Start) -> Result<(), CliError> {
    let mut order = json!({"target": start.target});
    let mut put = |name: &str, value: Option<Value>| {
        if let (Some(map), Some(value)) = (order.as_object_mut(), value) {
            map.insert(name.to_owned(), value);
        }
    };
    put("source", start.source.map(Value::from));
    put("domain", start.domain.map(Value::from));
    put("operators", (!start.operator.is_empty()).then(|| start.operator.into()));
    put("plan", start.plan.map(Value::from));
    put("curve", start.curve.map(Value::from));
    put("window", start.window.map(Value::from));
    if let Some(path) = start.plan_file {
        let bytes = std::fs::metadata(&path)?.len();
        if bytes > PLAN_BYTES_MAX {
            let path = path.display();
            return Err(CliError::Refused(format!("{path}: {bytes} octets are no plan")));
        }
        put("plan_text", Some(std::fs::read_to_string(&path)?.into()));
    }
    let page: Page<WarmupView> = desk.ask(Method::POST, "/v1/warmups", Some(order)).await?;
    list(&page.items, start.json)
}

fn list(views: &[WarmupView], json: bool) -> Result<(), CliError> {
    if json {
        return screen::print_json(&views);
    }
    let row = |one: &WarmupView| {
        let budget = one.budget.map_or_else(|| "–".into(), |budget| budget.to_string());
        vec![
            one.id.to_string(),
            subject(one),
            one.operator.clone(),
            format!("{} {}/{}", one.plan, one.day, one.days),
            one.state.to_string(),
            format!("{}/{budget}", one.offered_today),
            one.target.to_string(),
            one.note.clone(),
        ]
    };
    let heads = ["id", "what", "operator", "plan day", "state", "today", "target", "note"];
    screen::print(&screen::table(&heads, &views.iter().map(row).collect::<Vec<_>>()))
}

fn subject(one: &WarmupView) -> String {
    match (one.source, one.domain) {
        (Some(source), _) => format!("source {source}"),
        (None, Some(domain)) => format!("domain {domain}"),
        (None, None) => String::new(),
    }
}

async fn show(desk: &Desk, id: i64, json: bool) -> Result<(), CliError> {
    let path = format!("/v1/warmups/{id}");
    let story: WarmupStory = desk.ask(Method::GET, &path, None).await?;
    if json {
        return screen::print_json(&story);
    }
    list(std::slice::from_ref(&story.warmup), false)?;
    if !story.days.is_empty() {
        screen::print("\nwhat its days came to:\n")?;
        let row = |day: &crate::api::warmups::DayView| {
            vec![
                day.day.to_string(),
                day.volume.to_string(),
                day.accepted.to_string(),
                day.deferred.to_string(),
                day.blocked.to_string(),
                day.invalid.to_string(),
                day.complaints.to_string(),
                day.verdict.to_string(),
                day.next_volume.to_string(),
                day.cause.clone(),
            ]
        };
        let heads = [
            "day",
            "volume",
            "accepted",
            "deferred",
            "blocked",
            "invalid",
            "complaints",
            "verdict",
            "next",
            "cause",
        ];
        screen::print(&screen::table(&heads, &story.days.iter().map(row).collect::<Vec<_>>()))?;
    }
    screen::print("\nwhat is to come, if each day advances:\n")?;
    screen::print(&calendar(&story.warmup.calendar, story.warmup.day as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_has_a_week_a_line() {
        let text = calendar(&[50, 66, 87, 115, 152, 200, 264, 348], 1);
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().nth(1).is_some_and(|line| line.contains("day   8")));
    }
}
