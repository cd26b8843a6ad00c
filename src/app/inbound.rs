//! The door for mail from outside, and what mail carries so that it comes back to it.
//!
//! Owns:       which settings make them.
//! Promises:   strangers have places and limits of their own.
//! Knows not:  what becomes of a mail.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Addresses, AppError, Known, Live, Watched};
use crate::accept::{Received, Refusal, Submission};
use crate::auth::Identity;
use crate::clock::Clock;
use crate::compose::returns::{ReturnOptions, Returns};
use crate::config::{Settings, Smtp};
use crate::feedback::inbound::{Inbound, InboundOptions, InboundParts};
use crate::feedback::{Judge, soft_rule};
use crate::listener::{Door, Listener};
use crate::model::{Address, Domain, Enhanced, MessageId, ReversePath};
use crate::queue::Queue;
use crate::store::Store;
use crate::token::Keys;

const FORGET_EVERY: std::time::Duration = std::time::Duration::from_secs(3600);

/// Nobody submits here: what a listener for submission asks is refused.
struct Outside(Inbound);

impl Door for Outside {
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

/// Listens where the settings say; None where they say nothing.
pub(super) fn listener(
    settings: &Settings,
    queue: &Queue,
    known: &Known,
    clock: &Clock,
) -> Result<Option<Listener>, AppError> {
    if settings.inbound.listen.is_empty() {
        return Ok(None);
    }
    let parts = InboundParts {
        store: queue.store().clone(),
        queue: queue.clone(),
        returns: known.returns.clone(),
        resolver: known.resolver.clone(),
        judge: Judge::shipped()?,
    };
    let door = Outside(Inbound::new(parts, options(settings), clock.clone()));
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
        soft_bounces: soft_rule(inbound.soft_bounces_max, inbound.soft_bounces_span),
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

/// The task that shortens the list of what came in.
pub(super) fn upkeep(
    live: &Live,
    store: &Store,
    clock: &Clock,
    stop: &watch::Receiver<bool>,
) -> Watched {
    let settings = live.settings.load_full();
    let forget = forget(store.clone(), settings, clock.clone(), stop.clone());
    ("the upkeep of what came in", tokio::spawn(forget))
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
