//! The checks of sources: before first use, and every hour.
//!
//! Owns:       what is looked at, and the task that does it.
//! Promises:   each round ends within `ROUND_WAIT`; what does not answer is "not known"; a state
//!             and the event that tells of it are written together.
//! Knows not:  what a finding means for the source (`health`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::health::{self, Found};
use super::sources::Sources;
use crate::clock::Clock;
use crate::deliver::{Dialer, Source, Target, TargetHost};
use crate::dns::{Covered, DnsFailure, Resolver};
use crate::model::*;
use crate::store::{SourceChange, Store, StoreError};
use crate::wire::network::is_global;

const EVERY: Duration = Duration::from_secs(3600);
/// All sources together.
const ROUND_WAIT: Duration = Duration::from_secs(120);
/// The first round stands before the first mail.
const FIRST_ROUND_WAIT: Duration = Duration::from_secs(15);
/// Sending domains whose SPF is asked for, and lists.
const DOMAINS_MAX: usize = 50;
const LISTS_MAX: usize = 20;
const PROBES_MAX: usize = 10;

#[derive(Clone, Debug)]
pub struct CheckOptions {
    pub blocklists: Vec<String>,
    /// `host:port`.
    pub probes: Vec<String>,
    pub preference: IpPreference,
}

/// A cheap handle.
#[derive(Clone)]
pub struct Checker(Arc<Inner>);

struct Inner {
    store: Store,
    resolver: Resolver,
    dialer: Dialer,
    sources: Arc<Sources>,
    options: CheckOptions,
    clock: Clock,
}

impl Checker {
    pub fn new(
        store: Store,
        resolver: Resolver,
        dialer: Dialer,
        sources: Arc<Sources>,
        options: CheckOptions,
        clock: Clock,
    ) -> Checker {
        Checker(Arc::new(Inner { store, resolver, dialer, sources, options, clock }))
    }

    /// Before first use: those that were never checked are, and what is slow counts as not known.
    pub async fn first_round(&self) -> Result<(), StoreError> {
        let is_new = |health: Option<&SourceHealth>| health.is_none();
        self.round(FIRST_ROUND_WAIT, is_new).await
    }

    /// Every hour, for ever.
    pub async fn run(self) {
        loop {
            if let Err(error) = self.round(ROUND_WAIT, |_| true).await {
                tracing::warn!(%error, "what the checks of sources found cannot be written now");
            }
            self.0.clock.sleep(EVERY).await;
        }
    }

    async fn round(
        &self,
        wait: Duration,
        wanted: impl Fn(Option<&SourceHealth>) -> bool,
    ) -> Result<(), StoreError> {
        let rows = self.0.sources.rows();
        let wanted: Vec<_> =
            rows.into_iter().filter(|(_, _, health)| wanted(health.as_ref())).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let domains: Arc<[Domain]> =
            self.0.store.domains().await?.into_iter().map(|row| row.name).collect();
        let mut under_way = JoinSet::new();
        for (row, source, health) in wanted {
            let (inner, domains) = (self.0.clone(), domains.clone());
            under_way.spawn(async move {
                let checking = inner.check(&row, &source, &domains);
                let found = match tokio::time::timeout(wait, checking).await {
                    Ok(found) => found,
                    Err(_) => vec![not_known(Check::Names, "the checks took too long".to_owned())],
                };
                (row, health, found)
            });
        }
        while let Some(checked) = under_way.join_next().await {
            match checked {
                Ok((row, old, found)) => self.0.settle(&row, old.as_ref(), found).await?,
                Err(error) => {
                    tracing::error!(%error, "a check of a source ended in a fault of our own");
                }
            }
        }
        self.0.sources.replace(self.0.store.source_tables().await?);
        Ok(())
    }

    /// Whether DNS has an address for a name; an error says that nobody answered.
    pub async fn resolves(&self, name: &str) -> Result<bool, DnsFailure> {
        Ok(!self.0.resolver.addresses_of_name(name).await?.is_empty())
    }

    /// One source, now.
    pub async fn check_one(&self, id: SourceId) -> Result<(), StoreError> {
        let rows = self.0.sources.rows();
        let Some((row, source, health)) = rows.into_iter().find(|(row, ..)| row.id == id) else {
            return Ok(());
        };
        let domains: Vec<Domain> =
            self.0.store.domains().await?.into_iter().map(|row| row.name).collect();
        let checking = self.0.check(&row, &source, &domains);
        let found = match tokio::time::timeout(FIRST_ROUND_WAIT, checking).await {
            Ok(found) => found,
            Err(_) => vec![not_known(Check::Names, "the checks took too long".to_owned())],
        };
        self.0.settle(&row, health.as_ref(), found).await?;
        self.0.sources.replace(self.0.store.source_tables().await?);
        Ok(())
    }
}

fn not_known(check: Check, text: String) -> Found {
    Found { check, verdict: Verdict::NotKnown, text }
}

fn fine(check: Check, text: &str) -> Found {
    Found { check, verdict: Verdict::Fine, text: text.to_owned() }
}

impl Inner {
    async fn settle(
        &self,
        row: &SourceRow,
        old: Option<&SourceHealth>,
        found: Vec<Found>,
    ) -> Result<(), StoreError> {
        let health = health::judge(old, found, self.clock.now());
        let event = health::event_of(old.map(|old| old.state), health.state);
        let (state, source) = (health.state, &row.name);
        match event {
            Some(EventKind::SourceRed) => {
                let findings = super::sources::bad_findings(&health);
                tracing::error!(source, findings, "a source is red: it sends no more");
            }
            Some(_) => tracing::info!(source, %state, "a source may send again"),
            None => tracing::debug!(source, %state, "a source was checked"),
        }
        let source = row.id;
        self.store.change_sources(SourceChange::Health { source, health, event }).await?;
        Ok(())
    }

    async fn check(&self, row: &SourceRow, source: &Arc<Source>, domains: &[Domain]) -> Vec<Found> {
        let plumbed = match source.validate() {
            Ok(()) => fine(Check::Plumbed, "can be sent from"),
            Err(fault) => {
                Found { check: Check::Plumbed, verdict: Verdict::Bad, text: fault.to_string() }
            }
        };
        let seen: Vec<IpAddr> =
            row.kind.seen_as().iter().copied().filter(|address| is_global(*address)).collect();
        let (names, spf, lists, reach) = tokio::join!(
            self.names(row, &seen),
            self.spf(row, &seen, domains),
            self.lists(&seen),
            self.reach(source),
        );
        vec![plumbed, names, spf, lists, reach]
    }

    /// FCrDNS: many operators defer or refuse what has no PTR record that leads back.
    async fn names(&self, row: &SourceRow, seen: &[IpAddr]) -> Found {
        if row.kind.is_relay() {
            return fine(Check::Names, "the relay's own");
        }
        if seen.is_empty() {
            return fine(Check::Names, "not compared: no address of it is of the internet");
        }
        let forward = match self.resolver.addresses_of_name(&row.ehlo).await {
            Ok(addresses) => addresses,
            Err(failure) => return not_known(Check::Names, failure.to_string()),
        };
        if forward.is_empty() {
            let text = format!("the EHLO name {} does not resolve", row.ehlo);
            return Found { check: Check::Names, verdict: Verdict::Bad, text };
        }
        let mut all = Vec::new();
        for address in seen {
            all.push(match self.resolver.names_of(*address).await {
                Err(failure) => (Verdict::NotKnown, failure.to_string()),
                Ok(names) => names_agree(*address, &row.ehlo, &forward, &names),
            });
        }
        health::worst(Check::Names, all)
    }

    async fn spf(&self, row: &SourceRow, seen: &[IpAddr], domains: &[Domain]) -> Found {
        if seen.is_empty() {
            return fine(Check::Spf, "not compared: no address of it is of the internet");
        }
        let mut all = Vec::new();
        for domain in domains.iter().take(DOMAINS_MAX) {
            for address in seen {
                let answer = self.resolver.spf_covers(*address, &row.ehlo, domain).await;
                all.push(match answer {
                    Ok(Covered::Yes) => (Verdict::Fine, "covered".to_owned()),
                    Ok(Covered::No) => {
                        (Verdict::Weak, format!("the SPF of {domain} does not cover {address}"))
                    }
                    Ok(Covered::NoRecord) => (Verdict::Weak, format!("{domain} has no SPF record")),
                    Err(failure) => (Verdict::NotKnown, failure.to_string()),
                });
            }
        }
        all.dedup();
        health::worst(Check::Spf, all)
    }

    async fn lists(&self, seen: &[IpAddr]) -> Found {
        let mut all = Vec::new();
        for list in self.options.blocklists.iter().take(LISTS_MAX) {
            for address in seen {
                all.push(match self.resolver.is_listed(*address, list).await {
                    Ok(false) => (Verdict::Fine, "not listed".to_owned()),
                    Ok(true) => (Verdict::Bad, format!("{list} lists {address}")),
                    Err(failure) => (Verdict::NotKnown, failure.to_string()),
                });
            }
        }
        all.dedup();
        health::worst(Check::Blocklists, all)
    }

    /// By its own last connections; where there are none, by the probe hosts, or by its relay.
    async fn reach(&self, source: &Arc<Source>) -> Found {
        let now = self.clock.now();
        if let Some(reached) = self.sources.reached(source.id, now) {
            let verdict = if reached { Verdict::Fine } else { Verdict::Bad };
            let text = if reached { "mail was sent" } else { "none of its last sites was reached" };
            return Found { check: Check::Reach, verdict, text: text.to_owned() };
        }
        let probes: Vec<(String, u16)> = match &source.relay {
            Some(relay) => vec![(relay.host.clone(), relay.port)],
            None => self.options.probes.iter().filter_map(|probe| place(probe)).collect(),
        };
        let mut all = Vec::new();
        for (host, port) in probes.iter().take(PROBES_MAX) {
            all.push(self.probe(source, host, *port).await);
        }
        if let Some(good) = all.iter().position(|(verdict, _)| *verdict == Verdict::Fine) {
            // One that answers shows that the way is open.
            all = vec![all.swap_remove(good)];
        }
        health::worst(Check::Reach, all)
    }

    async fn probe(&self, source: &Arc<Source>, host: &str, port: u16) -> (Verdict, String) {
        let addresses = match self.resolver.addresses(host).await {
            Ok(addresses) => addresses,
            Err(failure) => return (Verdict::NotKnown, failure.to_string()),
        };
        let place = TargetHost {
            name: host.to_owned(),
            addresses: addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
        };
        let hosts = Target {
            hosts: vec![place],
            tls: TlsMode::Opportunistic,
            preference: self.options.preference,
            auth: None,
        };
        let target = source.target(hosts, &addresses);
        let trial = self.dialer.status(&target, source).await;
        match trial.failure {
            None => (Verdict::Fine, format!("{host} answers")),
            Some(failure) => (Verdict::Bad, format!("{host}: {failure}")),
        }
    }
}

/// `host:port`, or a host of port 25.
fn place(probe: &str) -> Option<(String, u16)> {
    match probe.rsplit_once(':') {
        Some((host, port)) => Some((host.to_owned(), port.parse().ok()?)),
        None => Some((probe.to_owned(), 25)),
    }
}

fn names_agree(
    address: IpAddr,
    ehlo: &str,
    forward: &[IpAddr],
    names: &[String],
) -> (Verdict, String) {
    if names.is_empty() {
        return (Verdict::Bad, format!("{address} has no PTR record"));
    }
    if !names.iter().any(|name| name.eq_ignore_ascii_case(ehlo)) {
        let text = format!("the PTR record of {address} says {}, EHLO says {ehlo}", names[0]);
        return (Verdict::Weak, text);
    }
    if !forward.contains(&address) {
        return (Verdict::Weak, format!("{ehlo} does not resolve to {address}"));
    }
    (Verdict::Fine, "agree".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_agree_when_each_leads_to_the_other() {
        let address: IpAddr = [192, 0, 2, 1].into();
        let other: IpAddr = [192, 0, 2, 2].into();
        let verdict = |forward: &[IpAddr], names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            names_agree(address, "a.example", forward, &names).0
        };
        assert_eq!(verdict(&[other, address], &["x.example", "A.example"]), Verdict::Fine);
        assert_eq!(verdict(&[address], &["x.example"]), Verdict::Weak);
        assert_eq!(verdict(&[other], &["a.example"]), Verdict::Weak);
        assert_eq!(verdict(&[address], &[]), Verdict::Bad);
    }

    #[test]
    fn a_probe_is_a_host_with_or_without_a_port() {
        assert_eq!(place("mx.example"), Some(("mx.example".into(), 25)));
        assert_eq!(place("mx.example:2525"), Some(("mx.example".into(), 2525)));
        assert_eq!(place("mx.example:x"), None);
    }
}
