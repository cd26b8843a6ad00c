//! What the API's handlers work with, taken from the running parts.

use std::sync::Arc;

use super::{Live, Reread};
use crate::accept::Acceptance;
use crate::api::domain_check::Looker;
use crate::api::{self, ApiState};
use crate::campaign::feeder::Feeder;
use crate::clock::Clock;
use crate::config::{Reload, Settings};
use crate::dns::{DnsOptions, Resolver};
use crate::queue::Queue;
use crate::queue::check::Audit;
use crate::store::Store;
use crate::webhooks::Webhooks;

pub(super) fn api_state(
    live: &Arc<Live>,
    store: &Store,
    (queue, audit, webhooks, feeder): (Queue, Audit, Webhooks, Feeder),
    clock: &Clock,
    reread: Option<Reread>,
) -> ApiState {
    let schedule = live.schedule.clone();
    let nudge = Arc::new(move || {
        feeder.wake();
        let schedule = schedule.clone();
        tokio::spawn(async move { schedule.reread().await });
    });
    // Not an owner: the daemon's end must not wait for a handler that is never called again.
    let owner = Arc::downgrade(live);
    let reload = reread.map(|reread| -> api::Reloading {
        Arc::new(move || {
            let (owner, reread) = (owner.clone(), reread.clone());
            Box::pin(async move {
                match owner.upgrade() {
                    Some(live) => live.reload(&reread).await,
                    None => Ok(Reload::default()),
                }
            })
        })
    });
    let settings = live.settings.load();
    let (auth, host_name) = (live.auth.clone(), &settings.node.host_name);
    let door = Acceptance::new(queue.clone(), auth, host_name, clock.clone());
    ApiState {
        store: store.clone(),
        auth: Some(live.auth.clone()),
        composer: Some(live.composer.clone()),
        queue: Some(queue),
        door: Some(door),
        audit: Some(audit),
        imports: None,
        inbound: None,
        sns: None,
        schedule: Some(live.schedule.clone()),
        looker: looker(&settings, clock),
        reload,
        webhooks: Some(webhooks),
        classifier: Some(live.schedule.classifier()),
        checker: Some(live.checker.clone()),
        clock: clock.clone(),
        dkim_dir: settings.node.dkim_dir.clone(),
        nudge,
    }
}

/// Without a resolver, which had to be there when the daemon started, nobody looks.
fn looker(settings: &Settings, clock: &Clock) -> Option<Looker> {
    let options = DnsOptions {
        servers: settings.dns.servers.clone(),
        allowed_networks: settings.delivery.allowed_networks.clone(),
        own_names: Vec::new(),
        own_addresses: Vec::new(),
    };
    let addresses = settings.source.iter().flat_map(|source| source.address.iter().copied());
    Some(Looker {
        resolver: Resolver::new(options, clock.clone()).ok()?,
        addresses: addresses.collect(),
        port: settings.dns.authority_port,
    })
}
