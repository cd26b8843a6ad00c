//! Mail that a route owes: brought to an HTTP endpoint or an SMTP host, again until it is taken.
//!
//! Owns:       the task that brings it, how it is signed, when it is given up.
//! Promises:   what was answered `250` is tried for 72 hours; no host inside this house is reached
//!             unless the settings allow its network.
//! Knows not:  how mail came in.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::deliver::{Dialer, Source, Target, TargetHost, Transaction};
use crate::dns::Resolver;
use crate::fetch::pace::{self, Tried};
use crate::fetch::{Call, Fetcher, Url, sign};
use crate::model::*;
use crate::store::{InboundCallRow, InboundRouteRow, RouteChange, Store, StoreError};
use crate::wire::network::{Network, is_global};

const POLL_EVERY: Duration = Duration::from_secs(1);
const AT_ONCE_MAX: u32 = 16;
const WAIT_MAX: Duration = Duration::from_secs(30);
const PORT_USUAL: u16 = 25;
const TEXT_CHARS_MAX: usize = 500;

/// What the task works with.
pub struct Routing {
    pub store: Store,
    pub fetcher: Fetcher,
    pub dialer: Dialer,
    pub resolver: Resolver,
    /// The name in EHLO.
    pub source: Source,
    pub allowed_networks: Vec<Network>,
    pub wake: Arc<Notify>,
    pub clock: Clock,
}

/// How one try ended.
enum Tryout {
    Done,
    Again(Timestamp, String),
    GiveUp(String),
}

impl Routing {
    /// Until it is told to stop.
    pub async fn run(self: Arc<Routing>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let is_more = match self.round().await {
                Ok(count) => count >= AT_ONCE_MAX as usize,
                Err(error) => {
                    tracing::warn!(%error, "routes wait for the ledger; tried again in a second");
                    false
                }
            };
            if is_more {
                continue;
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(POLL_EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
    }

    async fn round(self: &Arc<Routing>) -> Result<usize, StoreError> {
        let calls = self.store.inbound_calls_due(self.clock.now(), AT_ONCE_MAX).await?;
        if calls.is_empty() {
            return Ok(0);
        }
        let routes = self.store.inbound_routes().await?;
        let (count, mut tries) = (calls.len(), JoinSet::new());
        for call in calls {
            let route = routes.iter().find(|route| route.id == call.route).cloned();
            let own = self.clone();
            tries.spawn(async move { own.bring(&call, route).await });
        }
        while let Some(tried) = tries.join_next().await {
            match tried {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "what became of a route's mail is lost"),
                Err(error) => tracing::error!(%error, "a try of a route ended in a fault of ours"),
            }
        }
        Ok(count)
    }

    async fn bring(
        &self,
        call: &InboundCallRow,
        route: Option<InboundRouteRow>,
    ) -> Result<(), StoreError> {
        let tried = match &route {
            Some(route) if route.action == RouteAction::Smtp => self.by_smtp(call, route).await,
            Some(route) => self.by_http(call, route).await,
            None => Tryout::GiveUp("its route was removed".to_owned()),
        };
        let id = call.id;
        let change = match tried {
            Tryout::Done => RouteChange::Done(id),
            Tryout::Again(due_at, text) => RouteChange::Again { id, due_at, text },
            Tryout::GiveUp(text) => {
                tracing::warn!(call = %id, route = %call.route, text, "a route's mail is given up");
                RouteChange::GiveUp { id, text }
            }
        };
        self.store.change_route(change).await?;
        Ok(())
    }

    async fn by_http(&self, call: &InboundCallRow, route: &InboundRouteRow) -> Tryout {
        let Ok(url) = Url::parse(&route.target) else {
            return Tryout::GiveUp("the route's target is no URL".to_owned());
        };
        let (kind, body) = match route.format {
            RouteFormat::Raw => {
                ("message/rfc822", BASE64.decode(&call.payload).unwrap_or_default())
            }
            RouteFormat::Parsed | RouteFormat::Postal => {
                ("application/json", call.payload.clone().into_bytes())
            }
        };
        let id = format!("inbound_{}", call.id);
        let signed = sign::headers(&id, self.clock.wall(), &body, &[&route.secret]);
        let mut request = Call::post(url, kind, body);
        request.wait = WAIT_MAX;
        request.headers.extend(signed);
        request.headers.push(("x-postroad-recipient".into(), call.recipient.clone()));
        request.headers.push(("x-postroad-sender".into(), call.sender.clone()));
        let answer = self.fetcher.call(&request).await;
        let (created_at, tries) = (call.created_at, call.tries);
        let tried = Tried { created_at, tries, now: self.clock.now(), stretch: self.clock.dice() };
        let verdict = pace::verdict(&tried, &answer);
        match verdict.state {
            CallState::Delivered => Tryout::Done,
            CallState::Waiting => Tryout::Again(verdict.due_at, verdict.text),
            CallState::Failed => Tryout::GiveUp(verdict.text),
        }
    }

    async fn by_smtp(&self, call: &InboundCallRow, route: &InboundRouteRow) -> Tryout {
        let target = match self.target(&route.target).await {
            Ok(target) => target,
            Err(why) => return self.again(call, why),
        };
        let (Ok(mail), Ok(recipient)) =
            (BASE64.decode(&call.payload), Address::parse(&call.recipient))
        else {
            return Tryout::GiveUp("the mail cannot be read any more".to_owned());
        };
        let mut connection = match self.dialer.open(&target, &self.source).await {
            Ok(connection) => connection,
            Err(failure) => return self.again(call, failure.outcome.text()),
        };
        let smtputf8 = recipient.needs_smtputf8();
        let mut recipient = Recipient::new(recipient);
        recipient.notify = crate::model::Notify::NEVER;
        let transaction = Transaction {
            sender: ReversePath::parse(&call.sender).unwrap_or(ReversePath::NULL),
            recipients: vec![recipient],
            smtputf8,
            eight_bit: !mail.is_ascii(),
            dsn_return: None,
            dsn_envelope_id: None,
        };
        let answer = connection.send(&transaction, &Mail { chunks: vec![mail.into()] }).await;
        connection.quit().await;
        match answer.outcomes.into_iter().next() {
            Some(Outcome::Delivered { .. }) => Tryout::Done,
            Some(outcome @ Outcome::Failed { .. }) => Tryout::GiveUp(clipped(&outcome.text())),
            Some(outcome) => self.again(call, outcome.text()),
            None => self.again(call, "no answer".to_owned()),
        }
    }

    fn again(&self, call: &InboundCallRow, why: String) -> Tryout {
        let due_at = self.clock.now() + pace::gap(call.tries, self.clock.dice());
        let text = clipped(&why);
        match due_at > call.created_at + pace::GIVE_UP_AFTER {
            true => Tryout::GiveUp(text),
            false => Tryout::Again(due_at, text),
        }
    }

    /// `host` or `host:port`.
    async fn target(&self, text: &str) -> Result<Target, String> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() => {
                (name, port.parse().map_err(|_| format!("'{port}' is no port"))?)
            }
            _ => (text, PORT_USUAL),
        };
        let found = self.resolver.addresses(name).await.map_err(|error| error.to_string())?;
        let mut addresses = Vec::new();
        for address in found {
            let is_allowed = self.allowed_networks.iter().any(|network| network.contains(address));
            if !is_global(address) && !is_allowed {
                return Err(format!("{name} is at {address}, which is not allowed"));
            }
            addresses.push((address, port).into());
        }
        if addresses.is_empty() {
            return Err(format!("{name} has no address"));
        }
        let hosts = vec![TargetHost { name: name.to_owned(), addresses }];
        let (tls, preference) = (TlsMode::Opportunistic, IpPreference::Ipv6First);
        Ok(Target { hosts, tls, preference, auth: None })
    }
}

fn clipped(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_CHARS_MAX).collect()
}
