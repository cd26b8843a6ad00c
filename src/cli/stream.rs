//! `postroad stream list | policy | tracking | hold | release`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::client::Desk;
use super::tracking::{self, Said};
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::config::Settings;
use crate::model::{BouncePolicy, SuppressedPolicy};
use crate::store::{StreamPolicy, StreamRow};

#[derive(Subcommand)]
pub enum Stream {
    /// List streams.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show what a stream does with mail for suppressed addresses and with bounces, or change what
    /// is named.
    Policy {
        #[arg(value_name = "ID")]
        stream: u64,
        /// refuse the submission, take it and report, or hold it.
        #[arg(long, value_name = "refuse|report|hold")]
        suppressed: Option<SuppressedPolicy>,
        /// Bounces that come back by mail go on to who asked for them, or always to the sender.
        #[arg(long, value_name = "asked|always")]
        bounces: Option<BouncePolicy>,
        #[arg(long)]
        json: bool,
    },
    /// Show what submitted mail of a stream tells of its readers, or say it.
    Tracking {
        #[arg(value_name = "ID")]
        stream: u64,
        #[arg(long, value_enum)]
        set: Option<Said>,
        #[arg(long)]
        json: bool,
    },
    /// Hold the mail of a stream until it is released; nothing is lost.
    Hold {
        #[arg(value_name = "ID")]
        stream: u64,
        /// Who looks at the mail reads it.
        #[arg(long)]
        reason: String,
    },
    /// Let the mail of a held stream go on.
    Release {
        #[arg(value_name = "ID")]
        stream: u64,
    },
}

pub fn run(command: Stream, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Stream, desk: &Desk) -> Result<(), CliError> {
    match command {
        Stream::List { json } => list(desk, json).await,
        Stream::Policy { stream, suppressed, bounces, json } => {
            let path = format!("/v1/streams/{stream}/policy");
            let mut policy: StreamPolicy = desk.ask(Method::GET, &path, None).await?;
            if suppressed.is_some() || bounces.is_some() {
                policy.suppressed = suppressed.unwrap_or(policy.suppressed);
                policy.bounces = bounces.unwrap_or(policy.bounces);
                policy = desk.ask(Method::PUT, &path, Some(json!(policy))).await?;
            }
            if json {
                return screen::print_json(&policy);
            }
            screen::print(&format!("{}\n{}\n", about_suppressed(&policy), about_bounces(&policy)))
        }
        Stream::Tracking { stream, set, json } => {
            tracking::run(desk, &format!("/v1/streams/{stream}/tracking"), set, json).await
        }
        Stream::Hold { stream, reason } => {
            let path = format!("/v1/streams/{stream}/hold");
            let order = json!({ "reason": reason });
            let row: StreamRow = desk.ask(Method::POST, &path, Some(order)).await?;
            screen::print(&screen::lines(&format!("the mail of {} is held\n", row.name)))
        }
        Stream::Release { stream } => {
            let path = format!("/v1/streams/{stream}/release");
            let row: StreamRow = desk.ask(Method::POST, &path, None).await?;
            screen::print(&screen::lines(&format!("the mail of {} goes on\n", row.name)))
        }
    }
}

async fn list(desk: &Desk, json: bool) -> Result<(), CliError> {
    let page: Page<StreamRow> = desk.ask(Method::GET, "/v1/streams", None).await?;
    if json {
        return screen::print_json(&page.items);
    }
    let row = |row: &StreamRow| {
        let held = row.held_reason.as_ref().map(|reason| format!("held: {reason}"));
        vec![
            row.id.to_string(),
            row.organization.to_string(),
            row.name.clone(),
            row.class.clone(),
            held.unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen::print(&screen::table(&["id", "organization", "name", "class", "state"], &rows))
}

const fn about_suppressed(policy: &StreamPolicy) -> &'static str {
    match policy.suppressed {
        SuppressedPolicy::Refuse => "refuse: a submission for a suppressed address is refused",
        SuppressedPolicy::Report => {
            "report: mail for a suppressed address is taken and its sender told"
        }
        SuppressedPolicy::Hold => "hold: mail for a suppressed address is held for a person",
    }
}

const fn about_bounces(policy: &StreamPolicy) -> &'static str {
    match policy.bounces {
        BouncePolicy::Asked => "asked: bounces that come back go on to senders who asked for them",
        BouncePolicy::Always => "always: bounces that come back go on to their senders",
    }
}
