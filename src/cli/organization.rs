//! `postroad organization add | list | show | limit | keep | pool | capture | suspend | resume`.

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::tenants::OrganizationView;
use crate::config::{Settings, show_size};
use crate::store::OrganizationRow;

#[derive(Subcommand)]
pub enum Organization {
    /// Make an organization with its two streams.
    Add {
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// List organizations.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show an organization with its send limits and what is used of them.
    Show {
        #[arg(value_name = "ID")]
        organization: u64,
        #[arg(long)]
        json: bool,
    },
    /// Set how many recipients its mail may have; what is not named is not limited.
    Limit {
        #[arg(value_name = "ID")]
        organization: u64,
        /// In any hour.
        #[arg(long, value_name = "N")]
        hour: Option<u64>,
        /// In any 24 hours.
        #[arg(long, value_name = "N")]
        day: Option<u64>,
        /// In any 30 days.
        #[arg(long, value_name = "N")]
        month: Option<u64>,
    },
    /// Forget its mail so many days after its acceptance, once it is over; 0 keeps it.
    Keep {
        #[arg(value_name = "ID")]
        organization: u64,
        days: u32,
        /// Beyond so many octets of mail forget the oldest; 0 keeps it.
        #[arg(long, value_name = "OCTETS")]
        bytes: Option<u64>,
    },
    /// Send its mail, of which no rule speaks, by a pool of its own; by the default one without.
    Pool {
        #[arg(value_name = "ID")]
        organization: u64,
        pool: Option<String>,
    },
    /// Keep all its new mail here for two weeks and send nothing, or (`off`) send again.
    Capture {
        #[arg(value_name = "ID")]
        organization: u64,
        #[arg(value_enum)]
        switch: Switch,
    },
    /// Hold all its mail until it is resumed; nothing is lost.
    Suspend {
        #[arg(value_name = "ID")]
        organization: u64,
        /// Its people read it.
        #[arg(long)]
        reason: String,
    },
    /// Let its mail go on.
    Resume {
        #[arg(value_name = "ID")]
        organization: u64,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Switch {
    On,
    Off,
}

pub fn run(command: Organization, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Organization, desk: &Desk) -> Result<(), CliError> {
    match command {
        Organization::Add { name, json } => {
            let order = json!({"name": name});
            let row: OrganizationRow =
                desk.ask(Method::POST, "/v1/organizations", Some(order)).await?;
            match json {
                true => screen::print_json(&row),
                false => screen::print(&screen::lines(&format!("{} is {}\n", row.name, row.id))),
            }
        }
        Organization::List { json } => {
            let page: Page<OrganizationRow> =
                desk.ask(Method::GET, "/v1/organizations", None).await?;
            if json {
                return screen::print_json(&page.items);
            }
            let row = |row: &OrganizationRow| {
                let state = row.suspended_reason.as_ref().map(|why| format!("suspended: {why}"));
                vec![row.id.to_string(), row.name.clone(), state.unwrap_or_default()]
            };
            let rows: Vec<_> = page.items.iter().map(row).collect();
            screen::print(&screen::table(&["id", "name", "state"], &rows))
        }
        Organization::Show { organization, json } => {
            let path = format!("/v1/organizations/{organization}");
            let view: OrganizationView = desk.ask(Method::GET, &path, None).await?;
            match json {
                true => screen::print_json(&view),
                false => screen::print(&told(&view)),
            }
        }
        Organization::Limit { organization, hour, day, month } => {
            let order = json!({"hour": hour, "day": day, "month": month});
            put(desk, organization, "send-limits", order).await
        }
        Organization::Keep { organization, days, bytes } => {
            change(desk, organization, json!({"keep_days": days, "keep_bytes": bytes})).await
        }
        Organization::Pool { organization, pool } => {
            put(desk, organization, "pool", json!({"pool": pool})).await
        }
        Organization::Capture { organization, switch } => {
            change(desk, organization, json!({"capture": matches!(switch, Switch::On)})).await
        }
        Organization::Suspend { organization, reason } => {
            let path = format!("/v1/organizations/{organization}/suspend");
            let order = json!({"reason": reason});
            let row: OrganizationRow = desk.ask(Method::POST, &path, Some(order)).await?;
            screen::print(&screen::lines(&format!("the mail of {} is held\n", row.name)))
        }
        Organization::Resume { organization } => {
            let path = format!("/v1/organizations/{organization}/resume");
            let row: OrganizationRow = desk.ask(Method::POST, &path, None).await?;
            screen::print(&screen::lines(&format!("the mail of {} goes on\n", row.name)))
        }
    }
}

async fn put(desk: &Desk, organization: u64, what: &str, order: Value) -> Result<(), CliError> {
    let path = format!("/v1/organizations/{organization}/{what}");
    let view: OrganizationView = desk.ask(Method::PUT, &path, Some(order)).await?;
    screen::print(&told(&view))
}

async fn change(desk: &Desk, organization: u64, order: Value) -> Result<(), CliError> {
    let path = format!("/v1/organizations/{organization}");
    let view: OrganizationView = desk.ask(Method::PATCH, &path, Some(order)).await?;
    screen::print(&told(&view))
}

fn told(view: &OrganizationView) -> String {
    let mut text = format!("{} is {}\n", view.name, view.id);
    if let Some(reason) = &view.suspended_reason {
        text += &format!("suspended: {reason}\n");
    }
    if view.capture {
        text += "its mail is captured and sent nowhere\n";
    }
    if let Some(days) = view.keep_days {
        text += &format!("its mail is forgotten after {days} days\n");
    }
    if let Some(bytes) = view.keep_bytes {
        text += &format!("of its mail {} are kept\n", show_size(bytes));
    }
    if let Some(pool) = view.pool {
        text += &format!("its mail goes by pool {pool}\n");
    }
    let (limits, sent) = (view.send_limits, view.sent);
    let spans = [
        ("hour", limits.hour, sent.hour),
        ("day", limits.day, sent.day),
        ("month", limits.month, sent.month),
    ];
    for (span, limit, sent) in spans {
        if let Some(limit) = limit {
            text += &format!("{span:<6} {} of {limit} recipients\n", sent.unwrap_or(0));
        }
    }
    screen::lines(&text)
}
