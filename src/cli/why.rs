//! `postroad why` and `postroad lane list`.

use clap::{Args, Subcommand};
use hyper::Method;

use super::client::{Desk, percent_encode};
use super::{CliError, on_one_thread, screen};
use crate::api::{LaneView, Page, Why};
use crate::config::Settings;
use crate::schedule::why::ReasonCount;

#[derive(Args)]
#[group(required = true, multiple = false, id = "whom")]
pub struct WhyCommand {
    /// A delivery.
    #[arg(group = "whom")]
    delivery: Option<i64>,
    /// All that waits of an organization.
    #[arg(long, group = "whom", value_name = "ID")]
    organization: Option<i64>,
    /// All that waits of a campaign.
    #[arg(long, group = "whom", value_name = "ID")]
    campaign: Option<i64>,
    /// A lane, as `postroad lane list` names it.
    #[arg(long, group = "whom", value_name = "SOURCE/SITE")]
    lane: Option<String>,
}

#[derive(Subcommand)]
pub enum Lane {
    /// List the lanes in use, and the sites whose mail waits.
    List {
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: WhyCommand, json: bool, settings: Settings) -> Result<(), CliError> {
    let path = match &command {
        WhyCommand { delivery: Some(id), .. } => format!("/v1/why?delivery={id}"),
        WhyCommand { organization: Some(id), .. } => format!("/v1/why?organization={id}"),
        WhyCommand { campaign: Some(id), .. } => format!("/v1/why?campaign={id}"),
        WhyCommand { lane, .. } => {
            format!("/v1/why?lane={}", percent_encode(lane.as_deref().unwrap_or_default()))
        }
    };
    on_one_thread(async {
        let desk = Desk::daemon(&settings).await?;
        let why: Result<Why, CliError> = desk.ask(Method::GET, &path, None).await;
        desk.close().await;
        let why = why?;
        if json {
            return screen::print_json(&why.reasons);
        }
        if why.reasons.is_empty() {
            return screen::print("nothing is in the way\n");
        }
        let rows: Vec<Vec<String>> = why.reasons.iter().map(row).collect();
        screen::print(&screen::table(&["mails", "kind", "opens", "source", "reason"], &rows))
    })
}

fn row(one: &ReasonCount) -> Vec<String> {
    let reason = &one.reason;
    vec![
        one.deliveries.to_string(),
        reason.kind.to_string(),
        reason.until.map_or(String::new(), |until| until.to_string()),
        reason.source.clone().unwrap_or_default(),
        reason.text.clone(),
    ]
}

pub fn run_lane(command: Lane, settings: Settings) -> Result<(), CliError> {
    let Lane::List { json } = command;
    on_one_thread(async {
        let desk = Desk::daemon(&settings).await?;
        let page: Result<Page<LaneView>, CliError> = desk.ask(Method::GET, "/v1/lanes", None).await;
        desk.close().await;
        let page = page?;
        if json {
            return screen::print_json(&page.items);
        }
        let row = |lane: &LaneView| {
            let limits: Vec<String> = lane.limits.iter().map(ToString::to_string).collect();
            vec![
                format!("{}/{}", lane.source.as_deref().unwrap_or("-"), lane.site),
                lane.operator.map_or(String::new(), |operator| operator.to_string()),
                lane.connections.to_string(),
                lane.ready.to_string(),
                limits.join(" "),
                lane.blocked_until.map_or(String::new(), |until| until.to_string()),
                lane.reason.clone().unwrap_or_default(),
            ]
        };
        let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
        let heads = ["lane", "operator", "connections", "ready", "limits", "blocked until", "why"];
        screen::print(&screen::table(&heads, &rows))
    })
}
