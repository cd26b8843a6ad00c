//! What the API's handlers work with, taken from the running parts.

use std::sync::Arc;

use tokio::sync::watch;

use super::campaigns::Movers;
use super::options::fetch_options;
use super::{AppError, Known, Live, Reread, Watched, acme};
use crate::accept::Acceptance;
use crate::api::domain_check::Looker;
use crate::api::domain_hosts::Hosts;
use crate::api::domain_upkeep::Upkeep;
use crate::api::{self, ApiState};
use crate::clock::Clock;
use crate::config::{Reload, Settings};
use crate::dns::{DnsOptions, Resolver};
use crate::fetch::Fetcher;
use crate::model::Domain;
use crate::notices::{Notices, tell_alarms};
use crate::queue::Queue;
use crate::queue::check::Audit;
use crate::queue::retention;
use crate::schedule::sources::Sources;
use crate::store::Store;
use crate::webhooks::{PostalKeys, Webhooks};

pub(super) fn api_state(
    live: &Arc<Live>,
    store: &Store,
    (queue, webhooks, movers, notices): (Queue, Webhooks, Movers, Notices),
    clock: &Clock,
    reread: Option<Reread>,
) -> ApiState {
    let schedule = live.schedule.clone();
    let feeder = movers.feeder();
    let nudge = Arc::new(move || {
        movers.wake();
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
        audit: Some(Audit::new(store.clone(), queue.spool().clone())),
        queue: Some(queue),
        door: Some(door),
        imports: None,
        inbound: None,
        return_domains: None,
        sns: None,
        fetcher: None,
        schedule: Some(live.schedule.clone()),
        looker: looker(&settings, live.schedule.sources(), clock),
        reload,
        webhooks: Some(webhooks),
        notices: Some(notices),
        classifier: Some(live.schedule.classifier()),
        checker: Some(live.checker.clone()),
        clock: clock.clone(),
        dkim_dir: settings.node.dkim_dir.clone(),
        feeder: Some(feeder),
        nudge,
    }
}

/// The hourly look at sending domains, the end of old mail, alarms by mail.
pub(super) fn start_upkeep(state: &ApiState, stopped: &watch::Receiver<bool>) -> Vec<Watched> {
    let (store, clock) = (state.store.clone(), state.clock.clone());
    let forgetting = tokio::spawn(retention::run(store, clock, stopped.clone()));
    let mut tasks = vec![("the end of old mail", forgetting)];
    if let Some(notices) = state.notices.clone() {
        let telling = tokio::spawn(tell_alarms(notices, stopped.clone()));
        tasks.push(("the alarms by mail", telling));
    }
    if let Some(upkeep) = Upkeep::of(state) {
        tasks.push(("the checks of domains", tokio::spawn(upkeep.run(stopped.clone()))));
    }
    tasks
}

/// Without a resolver, which had to be there when the daemon started, nobody looks.
fn looker(settings: &Settings, sources: &Arc<Sources>, clock: &Clock) -> Option<Looker> {
    let options = DnsOptions {
        servers: settings.dns.servers.clone(),
        allowed_networks: settings.delivery.allowed_networks.clone(),
        own_names: Vec::new(),
        own_addresses: Vec::new(),
    };
    Some(Looker {
        resolver: Resolver::new(options, clock.clone()).ok()?,
        sources: sources.clone(),
        hosts: hosts(settings),
        port: settings.dns.authority_port,
    })
}

/// What `config check` has looked at.
fn hosts(settings: &Settings) -> Hosts {
    let domain = |name: &str| Domain::parse(name).ok();
    let url = settings.http.public_url.as_deref().and_then(|url| url.split_once("://"));
    let host = url.map(|(_, rest)| rest.split(['/', ':']).next().unwrap_or_default());
    Hosts {
        host_name: settings.node.host_name.clone(),
        return_domain: settings.inbound.return_domain.as_deref().and_then(domain),
        public_url: settings.http.public_url.clone(),
        link_host: host.and_then(domain),
        takes_mail: !settings.inbound.listen.is_empty(),
    }
}

impl Known {
    /// What calls others: webhooks, and who asks for certificates.
    pub(super) async fn callers(
        &self,
        settings: &Settings,
        store: &Store,
        clock: &Clock,
        stopped: &watch::Receiver<bool>,
    ) -> Result<(Webhooks, Vec<Watched>), AppError> {
        let keys = PostalKeys::at(settings.node.data_dir.join("postal-webhooks.pem"));
        let fetcher = Fetcher::new(self.resolver.clone(), fetch_options(settings));
        let asking = (store, fetcher.clone());
        let mut watched = acme::start(settings, asking, &self.certificates, clock, stopped).await?;
        let (webhooks, feed) =
            Webhooks::start(store.clone(), fetcher, keys, clock.clone(), stopped.clone());
        watched.push(("the feed of webhooks", feed));
        Ok((webhooks, watched))
    }
}
