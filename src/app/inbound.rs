//! The door for mail from outside, and what mail carries so that it comes back to it.
//!
//! Owns:       which settings make them.
//! Promises:   strangers have places and limits of their own.
//! Knows not:  what becomes of a mail.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::options::{fetch_options, soft_bounces};
use super::{Addresses, AppError, Known, Live, Watched};
use crate::accept::{Received, Refusal, Submission};
use crate::api::ApiState;
use crate::auth::Identity;
use crate::clock::Clock;
use crate::compose::returns::{ReturnOptions, Returns};
use crate::config::{Settings, Smtp};
use crate::deliver::Source;
use crate::feedback::Judge;
use crate::feedback::inbound::{Inbound, InboundOptions, InboundParts};
use crate::feedback::return_domains::ReturnDomains;
use crate::feedback::routing::Routing;
use crate::feedback::sns::{Sns, SnsParts};
use crate::fetch::Fetcher;
use crate::listener::{Door, Listener};
use crate::model::{Address, Domain, Enhanced, MessageId, ReversePath, SourceId};
use crate::queue::Queue;
use crate::store::Store;
use crate::token::Keys;

const FORGET_EVERY: std::time::Duration = std::time::Duration::from_secs(3600);

/// Nobody submits here: what a listener for submission asks is refused.
struct Stranger(Inbound);

impl Door for Stranger {
    fn check_sender(
        &self,
        _identity: &Identity,
        _sender: &ReversePath,
        _declared_bytes: Option<u64>,
    ) -> Result<(), Refusal> {
        Err(Refusal::new(550, Enhanced(5, 7, 1), "mail is submitted elsewhere"))
    }

    async fn submit(&self, _submission: Submission) -> Result<MessageId, Refusal> {
        Err(Refusal::new(550, Enhanced(5, 7, 1), "mail is submitted elsewhere"))
    }

    async fn check_client(&self, peer: IpAddr, declared: Option<u64>) -> Result<(), Refusal> {
        self.0.check_client(peer, declared).await
    }

    fn check_recipient(&self, recipient: &Address) -> Result<(), Refusal> {
        self.0.check_recipient(recipient)
    }

    async fn receive(&self, received: Received) -> Result<(), Refusal> {
        self.0.receive(received).await
    }
}

/// The return paths of all mail that leaves.
pub(super) async fn returns(
    settings: &Settings,
    store: &Store,
    clock: &Clock,
) -> Result<Returns, AppError> {
    let keys = Keys::open(&settings.node.data_dir.join("token-keys"), clock.now())?;
    let domain = settings.inbound.return_domain.as_deref();
    let options = ReturnOptions {
        // `config check` has looked at it.
        domain: domain.and_then(|name| Domain::parse(name).ok()),
        valid: settings.inbound.return_wait,
    };
    Ok(Returns::open(keys, options, store.clone(), clock.clone()).await?)
}

/// What serves those outside.
pub(super) struct Outside {
    pub listener: Option<Listener>,
    pub door: Inbound,
    pub routing: Arc<Routing>,
    return_domains: ReturnDomains,
    sns: Sns,
}

impl Outside {
    /// The API with what those outside have to say to it.
    pub fn told(&self, state: ApiState) -> ApiState {
        ApiState {
            inbound: Some(self.door.clone()),
            return_domains: Some(self.return_domains.clone()),
            sns: Some(self.sns.clone()),
            fetcher: Some(self.routing.fetcher.clone()),
            ..state
        }
    }
}

pub(super) async fn outside(
    settings: &Settings,
    queue: &Queue,
    known: &Known,
    clock: &Clock,
) -> Result<Outside, AppError> {
    let door = door(settings, queue, known, clock).await?;
    let store = queue.store().clone();
    let routing = Routing {
        store: store.clone(),
        fetcher: Fetcher::new(known.resolver.clone(), fetch_options(settings)),
        dialer: known.dialer.clone(),
        resolver: known.resolver.clone(),
        source: Source {
            id: SourceId(0),
            name: "inbound".into(),
            bind_v4: None,
            bind_v6: None,
            ehlo: settings.node.host_name.clone(),
            relay: None,
        },
        allowed_networks: settings.fetch.allowed_networks.clone(),
        wake: door.owed(),
        clock: clock.clone(),
    };
    Ok(Outside {
        listener: listener(settings, &door, known)?,
        door,
        routing: Arc::new(routing),
        return_domains: return_domains(settings, &store, known, clock),
        sns: sns(settings, store, known, clock),
    })
}

fn return_domains(
    settings: &Settings,
    store: &Store,
    known: &Known,
    clock: &Clock,
) -> ReturnDomains {
    let common = settings.inbound.return_domain.as_deref();
    let common = common.and_then(|name| Domain::parse(name).ok());
    ReturnDomains::new(store.clone(), known.resolver.clone(), common, clock.clone())
}

fn sns(settings: &Settings, store: Store, known: &Known, clock: &Clock) -> Sns {
    let fetcher = Fetcher::new(known.resolver.clone(), fetch_options(settings));
    let (returns, judge) = (known.returns.clone(), Judge::new(known.classifier.clone()));
    let parts = SnsParts { store, returns, judge, fetcher };
    let topics = &settings.inbound.sns_topics;
    Sns::new(parts, topics, soft_bounces(settings), clock.clone())
}

/// What becomes of mail from outside.
async fn door(
    settings: &Settings,
    queue: &Queue,
    known: &Known,
    clock: &Clock,
) -> Result<Inbound, AppError> {
    let parts = InboundParts {
        store: queue.store().clone(),
        queue: queue.clone(),
        returns: known.returns.clone(),
        resolver: known.resolver.clone(),
        judge: Judge::new(known.classifier.clone()),
    };
    let inbound = Inbound::new(parts, options(settings), clock.clone());
    inbound.reload().await?;
    Ok(inbound)
}

/// Listens where the settings say; None where they say nothing.
fn listener(
    settings: &Settings,
    inbound: &Inbound,
    known: &Known,
) -> Result<Option<Listener>, AppError> {
    if settings.inbound.listen.is_empty() {
        return Ok(None);
    }
    let door = Stranger(inbound.clone());
    let (smtp, auth) = (smtp(settings), known.auth.clone());
    let host_name = &settings.node.host_name;
    Ok(Some(Listener::start_inbound(&smtp, host_name, auth, door, &known.certificates)?))
}

fn options(settings: &Settings) -> InboundOptions {
    let inbound = &settings.inbound;
    InboundOptions {
        host_name: settings.node.host_name.clone(),
        postmaster: inbound.postmaster.as_deref().and_then(|text| Address::parse(text).ok()),
        mails_per_network_max: inbound.mails_per_network_max,
        blocklists: inbound.blocklists.clone(),
        soft_bounces: soft_bounces(settings),
    }
}

fn smtp(settings: &Settings) -> Smtp {
    let inbound = &settings.inbound;
    Smtp {
        submission: inbound.listen.clone(),
        submissions: Vec::new(),
        connections_max: inbound.connections_max,
        connections_per_client_max: inbound.connections_per_client_max,
        message_bytes_max: inbound.message_bytes_max,
        errors_max: inbound.errors_max,
        commands_per_minute_max: inbound.commands_per_minute_max,
        proxies: inbound.proxies.clone(),
        ..settings.smtp.clone()
    }
}

/// Where both listen, as bound.
pub(super) fn addresses(listener: &Listener, inbound: Option<&Listener>) -> Addresses {
    Addresses {
        submission: listener.submission().to_vec(),
        submissions: listener.submissions().to_vec(),
        inbound: inbound.map_or(Vec::new(), |inbound| inbound.submission().to_vec()),
        http: Vec::new(),
    }
}

/// The tasks that shorten the list of what came in, and bring what routes owe.
pub(super) fn upkeep(
    live: &Live,
    store: &Store,
    clock: &Clock,
    stop: &watch::Receiver<bool>,
    outside: Outside,
) -> [Watched; 3] {
    let settings = live.settings.load_full();
    let forget = forget(store.clone(), settings, clock.clone(), stop.clone());
    let bringing = tokio::spawn(outside.routing.run(stop.clone()));
    let looking = tokio::spawn(outside.return_domains.run(stop.clone()));
    [
        ("the upkeep of what came in", tokio::spawn(forget)),
        ("the bringer of routes' mail", bringing),
        ("the looks at return domains", looking),
    ]
}

/// Until the end: rows of what came in go when they are old.
async fn forget(
    store: Store,
    settings: Arc<Settings>,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) {
    while tokio::time::timeout(FORGET_EVERY, stop.wait_for(|stop| *stop)).await.is_err() {
        let before = clock.now() - settings.inbound.list_kept;
        match store.forget_inbound(before).await {
            Ok(count) => tracing::debug!(count, "rows of old mail that came in have gone"),
            Err(error) => tracing::warn!(%error, "the list of what came in was not shortened"),
        }
    }
}
