//! `postroad source add | change | list | show | test | suspend | resume | override | remove`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::client::{Desk, percent_encode};
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::sources::{Changed, SourceView, Tested};
use crate::config::Settings;
use crate::model::{SourceHealth, SourceKind, SourceState};

#[derive(Subcommand)]
pub enum Source {
    /// Add an address of this host, or a relay.
    Add(Box<Add>),
    /// Say anew what it is: its name in EHLO, its addresses, its relay; limits and warm-ups stay.
    Change(Box<Change>),
    /// List the sources: what they are, how they are, where they stand.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show what the checks of a source found.
    Show {
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// Check a source now and connect from it; no mail is sent.
    Test {
        name: String,
        /// A recipient domain to connect to; a relay needs none.
        #[arg(long, value_name = "DOMAIN")]
        to: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Let it send no more mail; what waits goes by the pool's other sources.
    Suspend { name: String },
    /// Let it send again.
    Resume { name: String },
    /// Let it send although it is red; `--off` takes that back.
    Override {
        name: String,
        #[arg(long)]
        off: bool,
    },
    /// Remove it.
    Remove { name: String },
}

#[derive(Args)]
pub struct What {
    /// The name it gives in EHLO; it must resolve.
    #[arg(long)]
    ehlo: String,
    /// An address of this host; one of each family.
    #[arg(long, value_name = "IP")]
    address: Vec<String>,
    /// What the world sees instead, behind NAT.
    #[arg(long, value_name = "IP")]
    public_address: Vec<String>,
    /// A relay: ses, sendgrid, mailgun, sparkpost, postmark, elastic_email or gmail.
    #[arg(long)]
    preset: Option<String>,
    /// The relay's region, where it has several.
    #[arg(long)]
    region: Option<String>,
    /// A relay's host.
    #[arg(long)]
    relay: Option<String>,
    #[arg(long)]
    port: Option<u16>,
    /// none, opportunistic, required, verified or implicit.
    #[arg(long)]
    tls: Option<String>,
    /// plain, login or xoauth2.
    #[arg(long)]
    mechanism: Option<String>,
    #[arg(long)]
    user: Option<String>,
    /// A file with the relay's password or token.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
}

#[derive(Args)]
pub struct Change {
    name: String,
    #[command(flatten)]
    what: What,
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Add {
    name: String,
    #[command(flatten)]
    what: What,
    /// The pool it stands in from the beginning, or `none`.
    #[arg(long, default_value = "default")]
    pool: String,
    /// Recipients a day at most, as a relay's service allows them; it becomes a limit.
    #[arg(long)]
    quota: Option<u64>,
    #[arg(long)]
    json: bool,
}

impl Add {
    fn order(&self) -> Value {
        let mut order = self.what.order();
        order["name"] = json!(self.name);
        order["pool"] = json!(self.pool);
        order["quota"] = json!(self.quota);
        order
    }
}

impl What {
    fn order(&self) -> Value {
        let mut order = json!({
            "ehlo": self.ehlo,
            "address": self.address,
            "public_address": self.public_address,
        });
        if self.preset.is_some() || self.relay.is_some() {
            order["relay"] = json!({
                "preset": self.preset,
                "region": self.region,
                "host": self.relay,
                "port": self.port,
                "tls": self.tls,
                "mechanism": self.mechanism,
                "user": self.user,
                "secret_file": self.secret_file,
            });
        }
        order
    }
}

pub fn run(command: Source, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

fn path(name: &str, rest: &str) -> String {
    format!("/v1/sources/{}{rest}", percent_encode(name))
}

async fn act(command: Source, desk: &Desk) -> Result<(), CliError> {
    match command {
        Source::Add(add) => {
            let made: SourceView = desk.ask(Method::POST, "/v1/sources", Some(add.order())).await?;
            if add.json { screen::print_json(&made) } else { screen::print(&shown(&made)) }
        }
        Source::Change(change) => {
            let order = Some(change.what.order());
            let made: SourceView = desk.ask(Method::PUT, &path(&change.name, ""), order).await?;
            if change.json { screen::print_json(&made) } else { screen::print(&shown(&made)) }
        }
        Source::List { json } => {
            let page: Page<SourceView> = desk.ask(Method::GET, "/v1/sources", None).await?;
            if json {
                return screen::print_json(&page.items);
            }
            let rows: Vec<_> = page.items.iter().map(row).collect();
            let heads = ["source", "from", "ehlo", "pools", "state", "health"];
            screen::print(&screen::table(&heads, &rows))
        }
        Source::Show { name, json } => {
            let view: SourceView = desk.ask(Method::GET, &path(&name, ""), None).await?;
            if json { screen::print_json(&view) } else { screen::print(&shown(&view)) }
        }
        Source::Test { name, to, json } => {
            let order = Some(json!({ "to": to }));
            let tested: Tested = desk.ask(Method::POST, &path(&name, "/test"), order).await?;
            if json {
                screen::print_json(&tested)?
            } else {
                screen::print(&told(&tested))?
            }
            let failed = tested.trial.is_some_and(|trial| !trial["failure"].is_null());
            if failed { Err(CliError::Found) } else { Ok(()) }
        }
        Source::Suspend { name } => set_state(desk, &name, SourceState::Suspended).await,
        Source::Resume { name } => set_state(desk, &name, SourceState::Active).await,
        Source::Override { name, off } => {
            let order = Some(json!({ "is_overridden": !off }));
            let changed: Changed = desk.ask(Method::POST, &path(&name, "/override"), order).await?;
            let what = if off { "heeds its checks again" } else { "sends whatever its checks say" };
            tell(&changed, what)
        }
        Source::Remove { name } => {
            let changed: Changed = desk.ask(Method::DELETE, &path(&name, ""), None).await?;
            tell(&changed, "was removed")
        }
    }
}

async fn set_state(desk: &Desk, name: &str, state: SourceState) -> Result<(), CliError> {
    let order = Some(json!({ "state": state }));
    let changed: Changed = desk.ask(Method::POST, &path(name, "/state"), order).await?;
    let what = match state {
        SourceState::Active => "sends again",
        SourceState::Suspended => "is suspended",
    };
    tell(&changed, what)
}

fn tell(changed: &Changed, what: &str) -> Result<(), CliError> {
    let mut text = format!("{} {what}\n", changed.name);
    for pool in &changed.pools_without_source {
        text.push_str(&format!("the pool {pool} has no source that sends: its mail waits\n"));
    }
    screen::print(&screen::lines(&text))
}

fn row(view: &SourceView) -> Vec<String> {
    let source = &view.source;
    let health = match (&view.health, source.is_overridden) {
        (Some(health), true) => format!("{} (overridden)", health.state),
        (Some(health), false) => health.state.to_string(),
        (None, _) => "not checked".to_owned(),
    };
    vec![
        source.name.clone(),
        from(&source.kind),
        source.ehlo.clone(),
        view.pools.join(" "),
        source.state.to_string(),
        health,
    ]
}

fn from(kind: &SourceKind) -> String {
    match kind {
        SourceKind::Relay(relay) => format!("relay {}:{}", relay.host, relay.port),
        SourceKind::Address { bind, public } => {
            let words = |all: &[std::net::IpAddr]| {
                all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            };
            match public.is_empty() {
                true => words(bind),
                false => format!("{} seen as {}", words(bind), words(public)),
            }
        }
    }
}

fn shown(view: &SourceView) -> String {
    let heads = ["source", "from", "ehlo", "pools", "state", "health"];
    let mut text = screen::table(&heads, &[row(view)]);
    text.push_str(&findings(view.health.as_ref()));
    text
}

fn findings(health: Option<&SourceHealth>) -> String {
    let Some(health) = health else { return String::new() };
    let row = |finding: &crate::model::Finding| {
        let since = finding.bad_since.map_or_else(String::new, |at| format!("bad since {at}"));
        let check = finding.check.to_string();
        vec![check, finding.verdict.to_string(), finding.text.clone(), since]
    };
    let rows: Vec<_> = health.findings.iter().map(row).collect();
    format!("\n{}", screen::table(&["check", "verdict", "found", ""], &rows))
}

fn told(tested: &Tested) -> String {
    let mut text = findings(tested.health.as_ref());
    let Some(trial) = &tested.trial else {
        text.push_str("\nname a recipient domain to connect to: --to DOMAIN\n");
        return text;
    };
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let words = |value: &Value| -> Vec<String> {
        value.as_array().map(|all| all.iter().filter_map(word).collect()).unwrap_or_default()
    };
    let fact = |name: &str| word(&trial["facts"][name]).unwrap_or_else(|| "-".to_owned());
    text.push_str(&format!(
        "\nhost          {} {}\nfrom          {}\nTLS           {}\nit announced  {}\n\n",
        fact("host"),
        fact("address"),
        fact("local_address"),
        fact("tls"),
        words(&trial["capabilities"]).join(", "),
    ));
    for line in words(&trial["dialogue"]) {
        text.push_str(&format!("  {line}\n"));
    }
    match word(&trial["failure"]) {
        Some(failure) => text.push_str(&format!("\nno connection: {failure}\n")),
        None => text.push_str("\nit is ready for mail\n"),
    }
    screen::lines(&text)
}
