//! From settings to the options of each part.
//!
//! Owns:       which setting goes where.
//! Promises:   pure but for the files that settings name.
//! Knows not:  what is started when.

use std::net::{IpAddr, SocketAddr};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{AppError, Kept, Known};
use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::deliver::DeliverOptions;
use crate::dns::{DnsFailure, DnsOptions, Resolver};
use crate::fetch::FetchOptions;
use crate::model::TlsMode;
use crate::sandbox;
use crate::schedule::checks::CheckOptions;
use crate::schedule::limits::Limits;
use crate::schedule::limits::budgets::Budgets;
use crate::schedule::profiles::RetryProfiles;
use crate::schedule::route::{RouteError, Router, RouterOptions, Routes};
use crate::schedule::sources::Sources;
use crate::schedule::windows::rule::{Threshold, Thresholds};
use crate::schedule::{Parts, ScheduleOptions};
use crate::store::SoftBounceRule;

pub(super) fn resolver(
    settings: &Settings,
    sources: &Sources,
    clock: &Clock,
) -> Result<Resolver, DnsFailure> {
    let rows = sources.rows();
    let mut own_names: Vec<String> = rows.iter().map(|(row, ..)| row.ehlo.clone()).collect();
    own_names.push(settings.node.host_name.clone());
    let addresses = rows.iter().flat_map(|(row, ..)| row.kind.own_addresses());
    let own_addresses: Vec<IpAddr> = addresses.collect();
    let options = DnsOptions {
        servers: settings.dns.servers.clone(),
        allowed_networks: settings.delivery.allowed_networks.clone(),
        own_names,
        own_addresses,
    };
    Resolver::new(options, clock.clone())
}

pub(super) fn fetch_options(settings: &Settings) -> FetchOptions {
    FetchOptions {
        allowed_networks: settings.fetch.allowed_networks.clone(),
        extra_roots: settings.fetch.extra_roots.clone(),
    }
}

pub(super) async fn start_sandbox(
    settings: &Settings,
    stopped: &watch::Receiver<bool>,
) -> Result<(SocketAddr, JoinHandle<()>), AppError> {
    let started = sandbox::start(&settings.node.host_name, stopped.clone()).await;
    started.map_err(|why| AppError::Io { what: "the sandbox has no port".into(), why })
}

/// Those of the settings behind our own: mail for the sandbox stays here whatever they say.
pub(super) fn routes(settings: &Settings, sandbox: SocketAddr) -> Result<Routes, RouteError> {
    let own = config::Route {
        name: sandbox::LABEL.to_owned(),
        domains: vec![format!("{}.{}", sandbox::LABEL, settings.node.host_name)],
        host: Some(sandbox.ip().to_string()),
        port: Some(sandbox.port()),
        tls: Some(TlsMode::None),
        ..config::Route::default()
    };
    let routes: Vec<_> = [own].into_iter().chain(settings.route.iter().cloned()).collect();
    Routes::read(&routes, settings.delivery.preference)
}

pub(super) fn parts(
    settings: &Settings,
    kept: &Kept,
    known: &Known,
    (limits, budgets): (Limits, Budgets),
    sandbox: SocketAddr,
) -> Result<Parts, AppError> {
    let preference = settings.delivery.preference;
    let routes = routes(settings, sandbox)?;
    let options = RouterOptions { mx_port: settings.delivery.mx_port, preference };
    Ok(Parts {
        queue: kept.queue.clone(),
        router: Router::new(routes, known.resolver.clone(), kept.store.clone(), options),
        dialer: known.dialer.clone(),
        composer: known.composer.clone(),
        classifier: known.classifier.clone(),
        sources: known.sources.clone(),
        limits,
        budgets,
    })
}

pub(super) fn check_options(settings: &Settings) -> CheckOptions {
    CheckOptions {
        blocklists: settings.checks.blocklists.clone(),
        probes: settings.checks.probes.clone(),
        preference: settings.delivery.preference,
    }
}

pub(super) fn deliver_options(settings: &Settings) -> DeliverOptions {
    let delivery = &settings.delivery;
    DeliverOptions {
        connect_wait: delivery.connect_wait,
        greeting_wait: delivery.greeting_wait,
        command_wait: delivery.command_wait,
        data_start_wait: delivery.data_start_wait,
        data_block_wait: delivery.data_block_wait,
        data_end_wait: delivery.data_end_wait,
        recipients_per_transaction_max: delivery.recipients_per_transaction_max,
        chunking: true,
        extra_roots: None,
    }
}

/// When a mailbox has bounced too often.
pub(super) fn soft_bounces(settings: &Settings) -> SoftBounceRule {
    let inbound = &settings.inbound;
    SoftBounceRule { bounces: inbound.soft_bounces_max, span: inbound.soft_bounces_span }
}

/// Which rates are too high.
fn thresholds(settings: &Settings) -> Thresholds {
    let health = &settings.health;
    let share = |per_mille: u32| f64::from(per_mille) / 1000.0;
    let stop = |per_mille: u32| (per_mille < 1000).then_some(share(per_mille));
    let threshold = |warn, stop| Threshold { warn: share(warn), stop };
    Thresholds {
        bounce: threshold(health.bounces_warn, stop(health.bounces_stop)),
        complaint: threshold(health.complaints_warn, stop(health.complaints_stop)),
        deferral: threshold(health.deferrals_warn, None),
        block: threshold(health.blocks_warn, None),
    }
}

pub(super) fn schedule_options(settings: &Settings) -> ScheduleOptions {
    let delivery = &settings.delivery;
    ScheduleOptions {
        host_name: settings.node.host_name.clone(),
        connections_max: delivery.connections_max,
        recipients_per_transaction_max: delivery.recipients_per_transaction_max,
        idle_wait: delivery.idle_wait,
        retries: RetryProfiles::of(settings),
        soft_bounces: soft_bounces(settings),
        health: thresholds(settings),
    }
}
