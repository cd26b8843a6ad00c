//! `postroad pool add | list | show | remove | put | take` and `postroad pool rule …`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::json;

use super::client::{Desk, percent_encode};
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::pools::{Done, PoolView, RuleView};
use crate::config::Settings;

#[derive(Subcommand)]
pub enum Pool {
    /// Make a pool, with sources if you name some.
    Add {
        name: String,
        #[arg(long, value_name = "SOURCE")]
        source: Vec<String>,
    },
    /// List the pools with their sources.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show a pool's sources, their weights and shares.
    Show {
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// Put a source into a pool, or change its weight and share there.
    Put {
        name: String,
        source: String,
        /// Its part of the mail beside the others; 0: only what they cannot carry.
        #[arg(long, default_value_t = 1)]
        weight: u32,
        /// Of a hundred marketing mails of the pool at most so many.
        #[arg(long, value_name = "PERCENT")]
        share_max: Option<u32>,
    },
    /// Take a source out of a pool.
    Take { name: String, source: String },
    /// Remove a pool.
    Remove { name: String },
    /// Which mail goes by which pool.
    #[command(subcommand)]
    Rule(Rule),
}

#[derive(Subcommand)]
pub enum Rule {
    /// Put a rule at a position; the first that matches counts.
    Add(Box<RuleAdd>),
    /// List the rules in the order in which they are asked.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Remove a rule by its id.
    Remove { id: i64 },
}

#[derive(Args)]
pub struct RuleAdd {
    position: i64,
    pool: String,
    #[arg(long, value_name = "ID")]
    organization: Option<i64>,
    #[arg(long, value_name = "ID")]
    stream: Option<i64>,
    /// An address or a domain.
    #[arg(long)]
    sender: Option<String>,
    /// An address or a domain.
    #[arg(long)]
    recipient: Option<String>,
    /// By name, such as google.
    #[arg(long)]
    operator: Option<String>,
    #[arg(long)]
    tag: Option<String>,
    /// By name.
    #[arg(long)]
    credential: Option<String>,
}

pub fn run(command: Pool, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

fn path(name: &str) -> String {
    format!("/v1/pools/{}", percent_encode(name))
}

async fn act(command: Pool, desk: &Desk) -> Result<(), CliError> {
    match command {
        Pool::Add { name, source } => add(desk, &name, &source).await,
        Pool::List { json } => {
            let pools = pools(desk).await?;
            if json { screen::print_json(&pools) } else { print_pools(&pools) }
        }
        Pool::Show { name, json } => {
            let mut pools = pools(desk).await?;
            pools.retain(|view| view.pool.name == name);
            match pools.first() {
                None => Err(CliError::Refused("there is no pool of this name".to_owned())),
                Some(view) if json => screen::print_json(view),
                Some(_) => print_pools(&pools),
            }
        }
        Pool::Put { name, source, weight, share_max } => {
            let order = json!({ "source": source, "weight": weight, "share_max": share_max });
            let path = format!("{}/sources", path(&name));
            print_pools(&[desk.ask(Method::POST, &path, Some(order)).await?])
        }
        Pool::Take { name, source } => {
            let path = format!("{}/sources/{}", path(&name), percent_encode(&source));
            print_pools(&[desk.ask(Method::DELETE, &path, None).await?])
        }
        Pool::Remove { name } => {
            let done: Done = desk.ask(Method::DELETE, &path(&name), None).await?;
            screen::print(&screen::lines(&format!("{} was removed\n", done.name)))
        }
        Pool::Rule(rule) => act_on_rule(rule, desk).await,
    }
}

async fn add(desk: &Desk, name: &str, sources: &[String]) -> Result<(), CliError> {
    let mut view: PoolView =
        desk.ask(Method::POST, "/v1/pools", Some(json!({ "name": name }))).await?;
    for source in sources {
        let at = format!("{}/sources", path(name));
        view = desk.ask(Method::POST, &at, Some(json!({ "source": source }))).await?;
    }
    print_pools(&[view])
}

async fn pools(desk: &Desk) -> Result<Vec<PoolView>, CliError> {
    let page: Page<PoolView> = desk.ask(Method::GET, "/v1/pools", None).await?;
    Ok(page.items)
}

fn print_pools(pools: &[PoolView]) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for view in pools {
        if view.sources.is_empty() {
            rows.push(vec![view.pool.name.clone(), "(no source)".into(), "".into(), "".into()]);
        }
        for member in &view.sources {
            let share = member.share_max.map_or_else(String::new, |share| format!("{share} %"));
            let weight = member.weight.to_string();
            rows.push(vec![view.pool.name.clone(), member.source.clone(), weight, share]);
        }
    }
    let mut text = screen::table(&["pool", "source", "weight", "share at most"], &rows);
    for view in pools.iter().filter(|view| !view.sends) {
        text.push_str(&format!(
            "the pool {} has no source that sends: its mail waits\n",
            view.pool.name
        ));
    }
    screen::print(&text)
}

async fn act_on_rule(rule: Rule, desk: &Desk) -> Result<(), CliError> {
    match rule {
        Rule::Add(add) => {
            let order = json!({
                "position": add.position,
                "pool": add.pool,
                "organization": add.organization,
                "stream": add.stream,
                "sender": add.sender,
                "recipient": add.recipient,
                "operator": add.operator,
                "tag": add.tag,
                "credential": add.credential,
            });
            let view: RuleView = desk.ask(Method::POST, "/v1/pool-rules", Some(order)).await?;
            print_rules(&[view])
        }
        Rule::List { json } => {
            let page: Page<RuleView> = desk.ask(Method::GET, "/v1/pool-rules", None).await?;
            if json { screen::print_json(&page.items) } else { print_rules(&page.items) }
        }
        Rule::Remove { id } => {
            let path = format!("/v1/pool-rules/{id}");
            let done: Done = desk.ask(Method::DELETE, &path, None).await?;
            screen::print(&format!("rule {} was removed\n", done.name))
        }
    }
}

fn print_rules(rules: &[RuleView]) -> Result<(), CliError> {
    let row = |view: &RuleView| {
        let matches = &view.rule.matches;
        let number = |name: &str, id: Option<i64>| id.map(|id| format!("{name}={id}"));
        let text = |name: &str, text: Option<&str>| text.map(|text| format!("{name}={text}"));
        let parts = [
            number("organization", matches.organization.map(|id| id.0)),
            number("stream", matches.stream.map(|id| id.0)),
            text("sender", matches.sender.as_deref()),
            text("recipient", matches.recipient.as_deref()),
            text("operator", view.operator_name.as_deref()),
            text("tag", matches.tag.as_deref()),
            number("credential", matches.credential.map(|id| id.0)),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let position = view.rule.position.to_string();
        vec![position, view.pool_name.clone(), parts.join(" "), view.rule.id.to_string()]
    };
    let rows: Vec<_> = rules.iter().map(row).collect();
    screen::print(&screen::table(&["position", "pool", "matches", "id"], &rows))
}
