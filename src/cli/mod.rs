//! The operator's commands, a file each.
//!
//! Owns:       arguments, tables, questions, exit codes: 0 done, 1 not done, 2 wrong arguments,
//!             78 wrong settings.
//! Promises:   nothing is changed in bulk without a count and a yes; what a stranger wrote reaches
//!             no terminal as it was; a command says what to do when the daemon is not there.
//! Knows not:  rows, sockets of mail, how anything is decided.

mod automation;
mod campaign;
mod check;
mod classify;
mod client;
mod config;
mod credential;
mod decisions;
mod demo;
mod dkim;
mod domain;
mod forecast;
mod health;
mod hold_rule;
mod host;
mod inbound;
mod limit;
mod message;
mod migrate;
mod organization;
mod pool;
mod queue;
mod report;
mod screen;
mod sealing;
mod serve;
mod source;
mod stream;
mod suppression;
mod trace;
mod tracking;
mod user;
mod warmup;
mod webhook;
mod why;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Loaded, Mistakes, Settings};

#[derive(Parser)]
#[command(name = "postroad", version, about = "A self-hosted MTA with a campaign engine inside")]
struct Arguments {
    /// The settings; else POSTROAD_CONFIG, ./postroad.toml or /etc/postroad/postroad.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory, instead of the one in the settings.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon.
    Serve,
    /// Run the daemon amid a simulated internet, on this machine alone.
    Demo(demo::Demo),
    /// Look whether everything accepted is accounted for and every owed body is whole.
    Check(check::Check),
    /// Look at deliveries and steer them.
    #[command(subcommand)]
    Queue(queue::Queue),
    /// What applications sign in with.
    #[command(subcommand)]
    Credential(credential::Credential),
    /// Domains that may be sent from.
    #[command(subcommand)]
    Domain(domain::Domain),
    /// Where mail leaves from.
    #[command(subcommand)]
    Source(source::Source),
    /// Which sources carry which mail.
    #[command(subcommand)]
    Pool(pool::Pool),
    /// Mail to many, launched and steered.
    #[command(subcommand)]
    Campaign(campaign::Campaign),
    /// Mail that a person gets by what has happened to him.
    #[command(subcommand)]
    Automation(automation::Automation),
    /// Where links in mail lead, and that host's certificate.
    #[command(subcommand)]
    Host(host::Host),
    /// The keys of encrypted fields of contacts.
    #[command(subcommand)]
    Sealing(sealing::Sealing),
    /// People who sign in.
    #[command(subcommand)]
    User(user::User),
    /// Tenants.
    #[command(subcommand)]
    Organization(organization::Organization),
    /// What streams do with suppressed addresses and bounces.
    #[command(subcommand)]
    Stream(stream::Stream),
    /// What may be sent where, by whom, in which time.
    #[command(subcommand)]
    Limit(limit::Limit),
    /// Mail that waits until somebody has looked at it.
    #[command(subcommand)]
    HoldRule(hold_rule::Rule),
    /// Recipients to whom everything that is said is kept.
    #[command(subcommand)]
    Trace(trace::Trace),
    /// What happened to a message.
    #[command(subcommand)]
    Message(message::Message),
    /// Tell why mail is still here: which limit, who set it, when it opens.
    Why {
        #[command(flatten)]
        whom: why::WhyCommand,
        #[arg(long)]
        json: bool,
    },
    /// Who works on what.
    #[command(subcommand)]
    Lane(why::Lane),
    /// Signing keys.
    #[command(subcommand)]
    Dkim(dkim::Dkim),
    /// Endpoints that are told of events.
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// Addresses that are not written to.
    #[command(subcommand)]
    Suppression(suppression::Suppression),
    /// Mail that comes in: what became of it, where it goes on to.
    #[command(subcommand)]
    Inbound(inbound::Inbound),
    /// Read mails that came back: bounces, auto-replies, complaints.
    #[command(subcommand)]
    Report(report::Report),
    /// Warm up sources and sending domains.
    #[command(subcommand)]
    Warmup(warmup::Warmup),
    /// What rules have changed by themselves.
    #[command(subcommand)]
    Decisions(decisions::Decisions),
    /// How much bounced, was put off, refused or complained of.
    Health(health::Health),
    /// Say when a mailing would be done.
    Forecast(forecast::Forecast),
    /// The settings file.
    #[command(subcommand)]
    Config(config::Config),
    /// Bring the database to this version's form.
    Migrate,
    /// Say what replies of mail hosts mean.
    Classify(classify::Classify),
    /// Print the version.
    Version,
}

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("{0}")]
    Settings(#[from] Mistakes),
    #[error("the daemon is not running (nobody answers at {0}); start it: postroad serve")]
    NotRunning(String),
    #[error("{0}")]
    Refused(String),
    #[error("the daemon's answer could not be read: {0}")]
    Answer(String),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error(transparent)]
    Spool(#[from] crate::spool::SpoolError),
    #[error(transparent)]
    Telemetry(#[from] crate::telemetry::TelemetryError),
    #[error(transparent)]
    App(#[from] crate::app::AppError),
    #[error(transparent)]
    Demo(#[from] crate::world::demo::DemoError),
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// It ran, and what it found is bad; that was printed already.
    #[error("")]
    Found,
}

/// sysexits.h EX_CONFIG: the service unit does not restart on it.
const EXIT_CONFIG: u8 = 78;

/// Runs the command that the arguments name.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        // Help and version are "errors" of clap's with exit code 0.
        Err(answer) => {
            let code = u8::try_from(answer.exit_code()).unwrap_or(2);
            return match answer.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Found) => ExitCode::FAILURE,
        // The reader of our output went away, as `head` does: nothing is wrong.
        Err(CliError::System(why)) if why.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("postroad: {}", screen::lines(&error.to_string()));
            let is_config = matches!(error, CliError::Settings(_));
            if is_config { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<(), CliError> {
    let Arguments { config, data_dir, command } = arguments;
    let load =
        || -> Result<Settings, CliError> { Ok(loaded(config.clone(), data_dir.clone())?.settings) };
    match command {
        Command::Serve => {
            let settings = load()?;
            let reread = move || Ok(loaded(config.clone(), data_dir.clone())?.settings);
            serve::run(settings, std::sync::Arc::new(reread))
        }
        Command::Demo(demo) => demo::run(demo, data_dir),
        Command::Check(check) => check::run(check, load()?),
        Command::Queue(queue) => queue::run(queue, load()?),
        Command::Credential(credential) => credential::run(credential, load()?),
        Command::Domain(domain) => domain::run(domain, load()?),
        Command::Source(source) => source::run(source, load()?),
        Command::Pool(pool) => pool::run(pool, load()?),
        Command::Automation(automation) => automation::run(automation, load()?),
        Command::Campaign(campaign) => campaign::run(campaign, load()?),
        Command::Host(host) => host::run(host, load()?),
        Command::Sealing(sealing) => sealing::run(sealing, load()?),
        Command::User(user) => user::run(user, load()?),
        Command::Organization(organization) => organization::run(organization, load()?),
        Command::Stream(stream) => stream::run(stream, load()?),
        Command::Limit(limit) => limit::run(limit, load()?),
        Command::HoldRule(rule) => hold_rule::run(rule, load()?),
        Command::Trace(trace) => trace::run(trace, load()?),
        Command::Message(message) => message::run(message, load()?),
        Command::Why { whom, json } => why::run(whom, json, load()?),
        Command::Lane(lane) => why::run_lane(lane, load()?),
        Command::Dkim(dkim) => dkim::run(dkim, load()?),
        Command::Webhook(webhook) => webhook::run(webhook, load()?),
        Command::Suppression(suppression) => suppression::run(suppression, load()?),
        Command::Inbound(inbound) => inbound::run(inbound, load()?),
        Command::Report(report) => report::run(report, load),
        Command::Warmup(warmup) => warmup::run(warmup, load()?),
        Command::Decisions(decisions) => decisions::run(decisions, load()?),
        Command::Health(health) => health::run(health, load()?),
        Command::Forecast(forecast) => forecast::run(forecast, load()?),
        Command::Config(settings) => config::run(settings, config, data_dir),
        Command::Migrate => migrate::run(load()?),
        Command::Classify(classify) => classify::run(classify, load),
        Command::Version => screen::print(concat!("postroad ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn loaded(config: Option<PathBuf>, data_dir: Option<PathBuf>) -> Result<Loaded, Mistakes> {
    // A variable that is not UTF-8 cannot be one of ours.
    let text = |value: OsString| value.into_string().ok();
    let environment: Vec<(String, String)> =
        std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
    let mut loaded = crate::config::load(config.as_deref(), &environment)?;
    if let Some(data_dir) = data_dir {
        // A directory that holds everything, as the demo's does, holds the keys too.
        let keys = data_dir.join("dkim-keys");
        if keys.is_dir() {
            loaded.settings.node.dkim_dir = keys;
        }
        loaded.settings.node.data_dir = data_dir;
        loaded.settings.node.control_socket = None;
    }
    Ok(loaded)
}

/// A runtime with a thread a core, for the daemon.
fn on_all_cores<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}

/// A runtime for one question.
fn on_one_thread<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }

    /// What each verb asks the API for; none where it needs no daemon.
    const VERBS: [(&str, &[&str]); 135] = [
        ("serve", &[]),
        ("demo", &[]),
        ("check", &["daemon_check"]),
        ("queue list", &["deliveries_list", "deliveries_count"]),
        ("queue show", &["deliveries_show"]),
        ("queue hold", &["deliveries_steer"]),
        ("queue release", &["deliveries_steer"]),
        ("queue retry", &["deliveries_steer"]),
        ("queue cancel", &["deliveries_steer"]),
        ("queue reroute", &["deliveries_steer"]),
        ("credential add", &["credentials_add"]),
        ("credential list", &["credentials_list"]),
        ("credential revoke", &["credentials_revoke"]),
        ("domain add", &["domains_add"]),
        ("domain list", &["domains_list"]),
        ("domain remove", &["domains_remove"]),
        ("user add", &["installation_add"]),
        ("user list", &["installation_everybody"]),
        ("user disable", &["installation_disable"]),
        ("organization add", &["organizations_add"]),
        ("organization list", &["organizations_list"]),
        ("organization show", &["organizations_show"]),
        ("organization limit", &["organizations_set_send_limits"]),
        ("organization keep", &["organizations_change"]),
        ("organization pool", &["organizations_set_pool"]),
        ("organization capture", &["organizations_change"]),
        ("organization suspend", &["organizations_suspend"]),
        ("organization resume", &["organizations_resume"]),
        ("domain check", &["domains_check"]),
        ("dkim remove", &["dkim_remove"]),
        ("source add", &["sources_add"]),
        ("source change", &["sources_change"]),
        ("source list", &["sources_list"]),
        ("source show", &["sources_show"]),
        ("source test", &["sources_test"]),
        ("source suspend", &["sources_set_state"]),
        ("source resume", &["sources_set_state"]),
        ("source override", &["sources_set_override"]),
        ("source remove", &["sources_remove"]),
        ("pool add", &["pools_add", "pools_put_member"]),
        ("pool list", &["pools_list"]),
        ("pool show", &["pools_list"]),
        ("pool put", &["pools_put_member"]),
        ("pool take", &["pools_remove_member"]),
        ("pool remove", &["pools_remove"]),
        ("pool rule", &["pools_rules", "pools_put_rule", "pools_remove_rule"]),
        ("campaign list", &["campaigns_list"]),
        ("campaign show", &["campaigns_show"]),
        ("campaign check", &["campaigns_look"]),
        ("campaign launch", &["campaigns_step"]),
        ("campaign schedule", &["campaigns_step"]),
        ("campaign unschedule", &["campaigns_step"]),
        ("campaign pause", &["campaigns_step"]),
        ("campaign resume", &["campaigns_step"]),
        ("campaign cancel", &["campaigns_step"]),
        ("campaign report", &["campaigns_report"]),
        ("host show", &["public_host_show"]),
        ("host set", &["tracking_set"]),
        ("host unset", &["tracking_set"]),
        ("sealing show", &["contact_fields_show"]),
        ("sealing rotate", &["contact_fields_rotate", "contact_fields_reseal"]),
        ("automation list", &["automations_list"]),
        ("automation show", &["automations_show"]),
        ("automation activate", &["automations_step"]),
        ("automation pause", &["automations_step"]),
        ("automation end", &["automations_step"]),
        ("automation runs", &["automations_runs"]),
        ("automation stop", &["automations_stop_run"]),
        ("automation tell", &["automations_tell"]),
        ("warmup plans", &["warmups_plans"]),
        ("warmup start", &["warmups_start"]),
        ("warmup list", &["warmups_list"]),
        ("warmup show", &["warmups_show"]),
        ("warmup pause", &["warmups_steer"]),
        ("warmup resume", &["warmups_steer"]),
        ("warmup skip", &["warmups_steer"]),
        ("warmup restart", &["warmups_steer"]),
        ("warmup stop", &["warmups_steer"]),
        ("decisions list", &["decisions_list"]),
        ("decisions undo", &["decisions_undo"]),
        ("decisions pin", &["decisions_pin"]),
        ("decisions release", &["decisions_pin"]),
        ("forecast", &["forecast_show", "forecast_ask"]),
        ("health", &["health_list"]),
        ("inbound list", &["inbound_mails"]),
        ("inbound owed", &["inbound_calls"]),
        ("inbound release", &["inbound_release"]),
        ("inbound drop", &["inbound_remove_call"]),
        ("inbound routes", &["inbound_list"]),
        ("inbound route", &["inbound_add"]),
        ("inbound unroute", &["inbound_remove"]),
        ("inbound domains", &["inbound_domains"]),
        ("inbound check", &["inbound_check_domain"]),
        ("dkim new", &["dkim_create"]),
        ("dkim list", &["dkim_list"]),
        ("config sample", &[]),
        ("config check", &[]),
        ("migrate", &[]),
        ("version", &[]),
        ("report parse", &[]),
        (
            "classify rule",
            &[
                "classification_rules",
                "classification_add",
                "classification_try_out",
                "classification_remove",
            ],
        ),
        ("classify unclassified", &["classification_unclassified"]),
        ("limit list", &["limits_list"]),
        ("limit add", &["limits_add"]),
        ("limit remove", &["limits_remove"]),
        ("limit pin", &["limits_pin"]),
        ("stream list", &["streams_streams"]),
        ("stream policy", &["suppressions_show", "suppressions_set"]),
        ("stream hold", &["streams_hold_stream"]),
        ("stream release", &["streams_release_stream"]),
        ("hold-rule list", &["hold_rules_list"]),
        ("hold-rule add", &["hold_rules_add"]),
        ("hold-rule remove", &["hold_rules_remove"]),
        ("stream tracking", &["tracking_of_stream", "tracking_set_of_stream"]),
        ("domain tracking", &["tracking_of_domain", "tracking_set_of_domain"]),
        ("trace list", &["traces_list"]),
        ("trace add", &["traces_add"]),
        ("trace remove", &["traces_remove"]),
        ("message timeline", &["messages_timeline"]),
        ("why", &["why_show"]),
        ("lane list", &["why_lanes"]),
        ("webhook add", &["webhooks_add"]),
        ("webhook list", &["webhooks_list"]),
        ("webhook change", &["webhooks_update"]),
        ("webhook remove", &["webhooks_remove"]),
        ("webhook rotate", &["webhooks_rotate"]),
        ("webhook test", &["webhooks_test"]),
        ("webhook calls", &["webhooks_calls"]),
        ("webhook replay", &["webhooks_replay"]),
        ("suppression list", &["suppressions_list"]),
        ("suppression add", &["suppressions_add"]),
        ("suppression remove", &["suppressions_remove"]),
        ("suppression test", &["suppressions_test"]),
        ("suppression import", &["suppressions_add"]),
        ("suppression export", &["suppressions_list"]),
    ];

    #[test]
    fn every_verb_is_an_operation_of_the_api_or_needs_no_daemon() {
        let operations = crate::api::operation_names();
        for (verb, asks) in VERBS {
            for operation in asks {
                assert!(operations.iter().any(|name| name == operation), "{verb}: {operation}");
            }
        }
        for command in Arguments::command().get_subcommands() {
            let name = command.get_name();
            let below: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
            let verbs = match below.is_empty() {
                true => vec![name.to_owned()],
                false => below.iter().map(|verb| format!("{name} {verb}")).collect(),
            };
            for verb in verbs {
                let known = VERBS.iter().any(|(known, _)| *known == verb);
                assert!(known, "`postroad {verb}`: name the operation it asks in VERBS");
            }
        }
    }
}
