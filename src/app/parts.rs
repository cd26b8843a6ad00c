//! What the schedule is built from, made of the settings and the ledger.
//!
//! Owns:       which setting becomes which option of delivery.
//! Promises:   every source was checked once before the first mail.
//! Knows not:  the order of the start.

use std::net::IpAddr;
use std::sync::Arc;

use super::{AppError, Kept, sources};
use crate::clock::Clock;
use crate::compose::Composer;
use crate::config::Settings;
use crate::deliver::{DeliverOptions, Dialer};
use crate::dns::{DnsOptions, Resolver};
use crate::schedule::checks::{CheckOptions, Checker};
use crate::schedule::retry::RetryPolicy;
use crate::schedule::route::{Router, RouterOptions, Routes};
use crate::schedule::{Parts, ScheduleOptions};

pub async fn open(
    settings: &Settings,
    kept: &Kept,
    composer: &Composer,
    clock: &Clock,
) -> Result<(Parts, Checker), AppError> {
    let sources = Arc::new(sources::open(settings, &kept.store).await?);
    let rows = sources.rows();
    let mut own_names: Vec<String> = rows.iter().map(|(row, ..)| row.ehlo.clone()).collect();
    own_names.push(settings.node.host_name.clone());
    let addresses = rows.iter().flat_map(|(row, ..)| row.kind.own_addresses());
    let own_addresses: Vec<IpAddr> = addresses.collect();
    let resolver = Resolver::new(
        DnsOptions {
            servers: settings.dns.servers.clone(),
            allowed_networks: settings.delivery.allowed_networks.clone(),
            own_names,
            own_addresses,
        },
        clock.clone(),
    )?;
    let preference = settings.delivery.preference;
    let routes = Routes::read(&settings.route, preference)?;
    let options = RouterOptions { mx_port: settings.delivery.mx_port, preference };
    let dialer = Dialer::new(deliver_options(settings), clock.clone());
    let check_options = CheckOptions {
        blocklists: settings.checks.blocklists.clone(),
        probes: settings.checks.probes.clone(),
        preference,
    };
    let checker = Checker::new(
        kept.store.clone(),
        resolver.clone(),
        dialer.clone(),
        sources.clone(),
        check_options,
        clock.clone(),
    );
    let parts = Parts {
        queue: kept.queue.clone(),
        router: Router::new(routes, resolver, kept.store.clone(), options),
        dialer,
        composer: composer.clone(),
        sources,
    };
    checker.first_round().await?;
    Ok((parts, checker))
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

pub fn schedule_options(settings: &Settings) -> ScheduleOptions {
    let delivery = &settings.delivery;
    ScheduleOptions {
        host_name: settings.node.host_name.clone(),
        connections_per_site_max: delivery.connections_per_site_max,
        connections_max: delivery.connections_max,
        messages_per_connection_max: delivery.messages_per_connection_max,
        recipients_per_transaction_max: delivery.recipients_per_transaction_max,
        idle_wait: delivery.idle_wait,
        retry: RetryPolicy {
            wait_first: settings.retry.wait_first,
            wait_max: settings.retry.wait_max,
        },
    }
}
