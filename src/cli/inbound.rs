//! `postroad inbound list | owed | release | drop | routes | route | unroute | domains | check`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::inbound_routes::{CallRemoved, InboundRouteView, Released, Removed};
use crate::config::Settings;
use crate::model::{RouteAction, RouteFormat};
use crate::store::{InboundCallRow, InboundMailRow, ReturnDomainRow};

#[derive(Subcommand)]
pub enum Inbound {
    /// List what came in and what became of it, newest first.
    List {
        #[arg(long, default_value_t = 50)]
        limit: u32,
        #[arg(long)]
        json: bool,
    },
    /// List what routes owe, hold or have given up.
    Owed {
        #[arg(long)]
        json: bool,
    },
    /// Send held mail on to addresses; without any, try again what was given up.
    Release { id: i64, to: Vec<String> },
    /// Give up what is held or owed.
    Drop { id: i64 },
    /// List where mail for addresses goes on to.
    Routes {
        #[arg(long)]
        json: bool,
    },
    /// Pass on mail for an address, or for *@ a domain.
    Route {
        pattern: String,
        /// http, smtp, forward, accept, hold or refuse.
        action: RouteAction,
        /// A URL, host:port, or addresses divided by spaces.
        #[arg(default_value = "")]
        target: String,
        /// How http posts: parsed, raw or postal.
        #[arg(long, default_value = "parsed")]
        format: RouteFormat,
        #[arg(long, default_value_t = 1, value_name = "ID")]
        organization: i64,
    },
    /// Pass nothing on any more.
    Unroute { id: i64 },
    /// List the domains that bounces of organizations come back to.
    Domains {
        #[arg(long)]
        json: bool,
    },
    /// Look now whether mail to a return domain comes here.
    Check { id: i64 },
}

pub fn run(command: Inbound, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = match &command {
            Inbound::Release { .. } | Inbound::Check { .. } => Desk::daemon(&settings).await?,
            _ => Desk::daemon_or_store(&settings).await?,
        };
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Inbound, desk: &Desk) -> Result<(), CliError> {
    match command {
        Inbound::List { limit, json } => list(desk, limit, json).await,
        Inbound::Owed { json } => owed(desk, json).await,
        Inbound::Release { id, to } => {
            let path = format!("/v1/inbound-calls/{id}/release");
            let order = Some(json!({"to": to}));
            let done: Released = desk.ask(Method::POST, &path, order).await?;
            screen::print(&format!("{} goes on\n", done.released))
        }
        Inbound::Drop { id } => {
            let path = format!("/v1/inbound-calls/{id}");
            let done: CallRemoved = desk.ask(Method::DELETE, &path, None).await?;
            screen::print(&format!("{} was given up\n", done.removed))
        }
        Inbound::Routes { json } => {
            let page: Page<InboundRouteView> =
                desk.ask(Method::GET, "/v1/inbound-routes", None).await?;
            if json { screen::print_json(&page.items) } else { routes(&page.items) }
        }
        Inbound::Route { pattern, action, target, format, organization } => {
            let order = json!({
                "pattern": pattern, "action": action, "target": target, "format": format,
                "organization": organization,
            });
            let made: InboundRouteView =
                desk.ask(Method::POST, "/v1/inbound-routes", Some(order)).await?;
            routes(std::slice::from_ref(&made))?;
            match made.secret {
                Some(secret) => screen::print(&format!("its calls are signed with {secret}\n")),
                None => Ok(()),
            }
        }
        Inbound::Unroute { id } => {
            let path = format!("/v1/inbound-routes/{id}");
            let done: Removed = desk.ask(Method::DELETE, &path, None).await?;
            screen::print(&format!("route {} was removed\n", done.removed))
        }
        Inbound::Domains { json } => {
            let page: Page<ReturnDomainRow> =
                desk.ask(Method::GET, "/v1/return-domains", None).await?;
            if json { screen::print_json(&page.items) } else { domains(&page.items) }
        }
        Inbound::Check { id } => {
            let path = format!("/v1/return-domains/{id}/check");
            let row: ReturnDomainRow = desk.ask(Method::POST, &path, None).await?;
            domains(std::slice::from_ref(&row))
        }
    }
}

async fn list(desk: &Desk, limit: u32, json: bool) -> Result<(), CliError> {
    let path = format!("/v1/inbound?limit={limit}");
    let page: Page<InboundMailRow> = desk.ask(Method::GET, &path, None).await?;
    if json {
        return screen::print_json(&page.items);
    }
    let row = |one: &InboundMailRow| {
        vec![
            one.id.to_string(),
            one.at.to_string(),
            one.sender.clone(),
            one.recipient.clone(),
            one.kind.to_string(),
            one.fate.to_string(),
            one.dmarc.clone(),
            one.text.clone(),
        ]
    };
    let heads = ["id", "at", "from", "to", "kind", "fate", "dmarc", "text"];
    screen::print(&screen::table(&heads, &page.items.iter().map(row).collect::<Vec<_>>()))
}

async fn owed(desk: &Desk, json: bool) -> Result<(), CliError> {
    let path = "/v1/inbound-calls?limit=1000";
    let page: Page<InboundCallRow> = desk.ask(Method::GET, path, None).await?;
    if json {
        return screen::print_json(&page.items);
    }
    let row = |one: &InboundCallRow| {
        vec![
            one.id.to_string(),
            one.created_at.to_string(),
            one.sender.clone(),
            one.recipient.clone(),
            one.state.to_string(),
            one.tries.to_string(),
            one.text.clone(),
        ]
    };
    let heads = ["id", "at", "from", "to", "state", "tries", "last answer"];
    screen::print(&screen::table(&heads, &page.items.iter().map(row).collect::<Vec<_>>()))
}

fn routes(rows: &[InboundRouteView]) -> Result<(), CliError> {
    let row = |one: &InboundRouteView| {
        vec![
            one.id.to_string(),
            one.organization.to_string(),
            one.pattern.clone(),
            one.action.to_string(),
            one.target.clone(),
            one.format.to_string(),
        ]
    };
    let heads = ["id", "organization", "pattern", "action", "target", "format"];
    screen::print(&screen::table(&heads, &rows.iter().map(row).collect::<Vec<_>>()))
}

fn domains(rows: &[ReturnDomainRow]) -> Result<(), CliError> {
    let row = |one: &ReturnDomainRow| {
        vec![
            one.id.to_string(),
            one.organization.to_string(),
            one.name.to_string(),
            one.standing.map_or_else(|| "not looked at".to_owned(), |is| is.to_string()),
            one.found.clone(),
        ]
    };
    let heads = ["id", "organization", "domain", "standing", "found"];
    screen::print(&screen::table(&heads, &rows.iter().map(row).collect::<Vec<_>>()))
}
