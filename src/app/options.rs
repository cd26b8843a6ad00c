//! From settings to the options of each part.
//!
//! Owns:       which setting goes where.
//! Promises:   pure but for the files that settings name.
//! Knows not:  what is started when.

use std::net::IpAddr;

use super::{AppError, Kept, Known};
use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::deliver::{DeliverOptions, Dialer, Source};
use crate::dns::{DnsFailure, DnsOptions, Resolver};
use crate::fetch::FetchOptions;
use crate::schedule::limits::Limits;
use crate::schedule::limits::budgets::Budgets;
use crate::schedule::profiles::RetryProfiles;
use crate::schedule::route::{Router, RouterOptions, Routes};
use crate::schedule::{Parts, ScheduleOptions};

pub(super) fn resolver(settings: &Settings, clock: &Clock) -> Result<Resolver, DnsFailure> {
    let sources = sources(settings);
    let mut own_names: Vec<String> = sources.iter().map(|source| source.ehlo.clone()).collect();
    own_names.push(settings.node.host_name.clone());
    let addresses = settings.source.iter().flat_map(|source| source.address.iter().copied());
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

pub(super) fn parts(
    settings: &Settings,
    kept: &Kept,
    known: &Known,
    (limits, budgets): (Limits, Budgets),
    clock: &Clock,
) -> Result<Parts, AppError> {
    let preference = settings.delivery.preference;
    let routes = Routes::read(&settings.route, preference)?;
    let options = RouterOptions { mx_port: settings.delivery.mx_port, preference };
    Ok(Parts {
        queue: kept.queue.clone(),
        router: Router::new(routes, known.resolver.clone(), kept.store.clone(), options),
        dialer: Dialer::new(deliver_options(settings), clock.clone()),
        composer: known.composer.clone(),
        classifier: known.classifier.clone(),
        limits,
        budgets,
        sources: sources(settings),
    })
}

/// Without any in the settings mail leaves from whatever address the system picks.
pub(super) fn sources(settings: &Settings) -> Vec<Source> {
    let host_name = &settings.node.host_name;
    if settings.source.is_empty() {
        return vec![Source {
            name: "default".into(),
            bind_v4: None,
            bind_v6: None,
            ehlo: host_name.clone(),
        }];
    }
    let source = |setting: &config::SourceSettings| Source {
        name: setting.name.clone(),
        bind_v4: setting.address.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        }),
        bind_v6: setting.address.iter().find_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        }),
        ehlo: setting.ehlo.clone().unwrap_or_else(|| host_name.clone()),
    };
    settings.source.iter().map(source).collect()
}

fn deliver_options(settings: &Settings) -> DeliverOptions {
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

pub(super) fn schedule_options(settings: &Settings) -> ScheduleOptions {
    let delivery = &settings.delivery;
    ScheduleOptions {
        host_name: settings.node.host_name.clone(),
        connections_max: delivery.connections_max,
        recipients_per_transaction_max: delivery.recipients_per_transaction_max,
        idle_wait: delivery.idle_wait,
        retries: RetryProfiles::of(settings),
    }
}
