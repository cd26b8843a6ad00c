//! `postroad campaign list | show | check | launch | schedule | unschedule | pause | resume |
//! cancel | report`.

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::campaign_links::LinkChecks;
use crate::api::campaign_looks::CampaignChecks;
use crate::api::campaigns::CampaignView;
use crate::campaign::report::Report;
use crate::config::Settings;

#[derive(Subcommand)]
pub enum Campaign {
    /// List campaigns, newest first.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show where everybody of a campaign's audience is.
    Show {
        id: i64,
        #[arg(long)]
        json: bool,
    },
    /// Look at a campaign as a launch would.
    Check {
        id: i64,
        /// Ask for every link and image, too.
        #[arg(long)]
        links: bool,
    },
    /// Launch it now.
    Launch { id: i64 },
    /// Launch it at the moment that its settings name.
    Schedule { id: i64 },
    /// Make it a draft again.
    Unschedule { id: i64 },
    /// Send nothing more of it for now.
    Pause { id: i64 },
    /// Go on with it.
    Resume { id: i64 },
    /// Never send what is not sent by now.
    Cancel { id: i64 },
    /// Tell what became of it: delivered, bounced, deferred, opens and clicks of people.
    Report {
        id: i64,
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: Campaign, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Campaign, desk: &Desk) -> Result<(), CliError> {
    match command {
        Campaign::List { json } => list(desk, json).await,
        Campaign::Show { id, json } => {
            let path = format!("/v1/campaigns/{id}");
            let view: CampaignView = desk.ask(Method::GET, &path, None).await?;
            if json { screen::print_json(&view) } else { print(&[view]) }
        }
        Campaign::Check { id, links } => check(desk, id, links).await,
        Campaign::Launch { id } => step(desk, id, "launch").await,
        Campaign::Schedule { id } => step(desk, id, "schedule").await,
        Campaign::Unschedule { id } => step(desk, id, "unschedule").await,
        Campaign::Pause { id } => step(desk, id, "pause").await,
        Campaign::Resume { id } => step(desk, id, "resume").await,
        Campaign::Cancel { id } => step(desk, id, "cancel").await,
        Campaign::Report { id, json } => report(desk, id, json).await,
    }
}

async fn list(desk: &Desk, json: bool) -> Result<(), CliError> {
    let page: Page<CampaignView> = desk.ask(Method::GET, "/v1/campaigns", None).await?;
    if json { screen::print_json(&page.items) } else { print(&page.items) }
}

fn print(views: &[CampaignView]) -> Result<(), CliError> {
    let heads =
        ["id", "name", "state", "audience", "planned", "waiting", "delivered", "failed", "others"];
    let row = |view: &CampaignView| {
        let (campaign, sums) = (&view.campaign, &view.sums);
        let others = sums.held + sums.expired + sums.cancelled + sums.suppressed + sums.removed;
        vec![
            campaign.id.to_string(),
            campaign.name.clone(),
            campaign.state.to_string(),
            campaign.audience.map_or_else(String::new, |count| count.to_string()),
            sums.planned.to_string(),
            sums.waiting.to_string(),
            sums.delivered.to_string(),
            sums.failed.to_string(),
            others.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = views.iter().map(row).collect();
    screen::print(&screen::table(&heads, &rows))?;
    for view in views {
        if let Some(trouble) = &view.campaign.trouble {
            let line = format!("{}: {trouble}\n", view.campaign.id);
            screen::print(&screen::lines(&line))?;
        }
    }
    Ok(())
}

async fn check(desk: &Desk, id: i64, links: bool) -> Result<(), CliError> {
    let path = format!("/v1/campaigns/{id}/checks");
    let found: CampaignChecks = desk.ask(Method::GET, &path, None).await?;
    let mut text = format!("{} contacts would get it now\n", found.audience);
    for check in &found.checks {
        text.push_str(&format!("{}: {}\n", check.weight, check.why));
    }
    if links {
        let path = format!("/v1/campaigns/{id}/links");
        let asked: LinkChecks = desk.ask(Method::GET, &path, None).await?;
        text.push_str(&told(&asked));
    }
    screen::print(&screen::lines(&text))
}

/// What is wrong with links, or that nothing is.
fn told(asked: &LinkChecks) -> String {
    let wrong = asked.links.iter().filter_map(|one| Some((one, one.trouble.as_deref()?)));
    let mut text: String = wrong.map(|(one, why)| format!("{}: {why}\n", one.link)).collect();
    if text.is_empty() {
        text = format!("{} links and images are there\n", asked.links.len());
    }
    if asked.left_out > 0 {
        text += &format!("{} more were not asked for\n", asked.left_out);
    }
    text
}

async fn step(desk: &Desk, id: i64, step: &str) -> Result<(), CliError> {
    let path = format!("/v1/campaigns/{id}/step");
    let body: Value = json!({ "step": step });
    let view: CampaignView = desk.ask(Method::POST, &path, Some(body)).await?;
    screen::print(&format!("campaign {id} is {}\n", view.campaign.state))
}

async fn report(desk: &Desk, id: i64, json: bool) -> Result<(), CliError> {
    let path = format!("/v1/campaigns/{id}/report");
    let report: Report = desk.ask(Method::GET, &path, None).await?;
    if json {
        return screen::print_json(&report);
    }
    let heads = ["variant", "delivered", "opened", "clicked", "unsubscribed", "complained"];
    let row = |one: &crate::campaign::report::VariantReport| {
        [one.variant, one.delivered, one.opened, one.clicked, one.unsubscribed, one.complained]
            .map(|count| count.to_string())
            .to_vec()
    };
    let rows: Vec<Vec<String>> = report.variants.iter().map(row).collect();
    let mut text = screen::table(&heads, &rows);
    for one in &report.bounced {
        let operator = one.operator.as_deref().unwrap_or("others");
        text.push_str(&format!("{} {} at {operator}: {}\n", one.kind, one.class, one.count));
    }
    for one in &report.deferred_now {
        text.push_str(&format!("{} wait until {}: {}\n", one.count, one.due_at, one.text));
    }
    screen::print(&screen::lines(&text))
}
