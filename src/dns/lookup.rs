//! Questions to name servers, and what their answers plainly say.
//!
//! Owns:       the resolver library and its settings.
//! Promises:   random ports and random case in each question (A21); TCP when UDP does not suffice;
//!             an end after `LOOKUP_WAIT`; no more than `LOOKUPS_MAX` at once.
//! Knows not:  mail.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::sync::Semaphore;

use super::DnsFailure;

/// One question, all servers and repetitions together.
const LOOKUP_WAIT: Duration = Duration::from_secs(10);
/// One try with one server.
const TRY_WAIT: Duration = Duration::from_secs(3);
const LOOKUPS_MAX: usize = 1024;
/// Records of one answer that are looked at.
const RECORDS_MAX: usize = 1000;

/// What a name server answered to a question for one type of record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    Found {
        records: Vec<T>,
        ttl: u32,
    },
    /// The name is there, but has no record of this type.
    NoneOfType {
        ttl: Option<u32>,
    },
    NoSuchName {
        ttl: Option<u32>,
    },
}

pub(super) struct Asker {
    resolver: TokioResolver,
    slots: Semaphore,
}

impl Asker {
    /// For a library that asks in its own way.
    pub(super) fn library(&self) -> &TokioResolver {
        &self.resolver
    }

    /// `servers` empty: those of /etc/resolv.conf.
    pub(super) fn new(servers: &[SocketAddr]) -> Result<Asker, DnsFailure> {
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio()
                .map_err(|error| DnsFailure(format!("/etc/resolv.conf cannot be used: {error}")))?
        } else {
            let servers = servers.iter().map(server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = TRY_WAIT;
        options.attempts = 1;
        // Our own cache, above, knows the clock, negative answers and stale ones.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.case_randomization = true;
        options.try_tcp_on_error = true;
        options.edns0 = true;
        options.server_ordering_strategy = ServerOrderingStrategy::QueryStatistics;
        options.max_active_requests = LOOKUPS_MAX;
        let resolver = builder
            .with_tls_config(unused_tls()?)
            .build()
            .map_err(|error| DnsFailure(format!("no resolver: {error}")))?;
        Ok(Asker { resolver, slots: Semaphore::new(LOOKUPS_MAX) })
    }

    /// Host names and preferences.
    pub(super) async fn mx(&self, name: &str) -> Result<Answer<(u16, String)>, DnsFailure> {
        self.ask(name, RecordType::MX, |data| match data {
            RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii().to_ascii_lowercase())),
            _ => None,
        })
        .await
    }

    pub(super) async fn v4(&self, name: &str) -> Result<Answer<IpAddr>, DnsFailure> {
        self.ask(name, RecordType::A, |data| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            _ => None,
        })
        .await
    }

    pub(super) async fn v6(&self, name: &str) -> Result<Answer<IpAddr>, DnsFailure> {
        self.ask(name, RecordType::AAAA, |data| match data {
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        })
        .await
    }

    pub(super) fn resolver(&self) -> &TokioResolver {
        &self.resolver
    }

    /// Names, lower-cased, without their last dot.
    pub(super) async fn ptr(&self, name: &str) -> Result<Answer<String>, DnsFailure> {
        self.ask(name, RecordType::PTR, |data| match data {
            RData::PTR(ptr) => {
                let name = ptr.0.to_ascii().to_ascii_lowercase();
                Some(name.trim_end_matches('.').to_owned())
            }
            _ => None,
        })
        .await
    }

    /// What a name is another name of, as the servers say themselves; nobody follows it.
    pub(super) async fn alias(&self, name: &str) -> Result<Answer<String>, DnsFailure> {
        self.ask(name, RecordType::CNAME, |data| match data {
            RData::CNAME(alias) => {
                let name = alias.0.to_ascii().to_ascii_lowercase();
                Some(name.trim_end_matches('.').to_owned())
            }
            _ => None,
        })
        .await
    }

    pub(super) async fn name_servers(&self, name: &str) -> Result<Answer<String>, DnsFailure> {
        self.ask(name, RecordType::NS, |data| match data {
            RData::NS(ns) => Some(ns.0.to_ascii().to_ascii_lowercase()),
            _ => None,
        })
        .await
    }

    /// The strings of a record belong together (RFC 7208 §3.3).
    pub(super) async fn texts(&self, name: &str) -> Result<Answer<String>, DnsFailure> {
        self.ask(name, RecordType::TXT, |data| match data {
            RData::TXT(txt) => {
                let octets: Vec<u8> =
                    txt.txt_data.iter().flat_map(|part| part.iter().copied()).collect();
                Some(String::from_utf8_lossy(&octets).into_owned())
            }
            _ => None,
        })
        .await
    }

    async fn ask<T: Clone + std::hash::Hash + Eq>(
        &self,
        name: &str,
        kind: RecordType,
        pick: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DnsFailure> {
        let failure = |what: &str| DnsFailure(format!("{kind} of {name}: {what}"));
        let mut fqdn = Name::from_ascii(name).map_err(|error| failure(&error.to_string()))?;
        fqdn.set_fqdn(true);
        let asking = async {
            // The semaphore is never closed; if it were, asking without a slot does no harm.
            let _slot = self.slots.acquire().await.ok();
            self.resolver.lookup(fqdn, kind).await
        };
        match tokio::time::timeout(LOOKUP_WAIT, asking).await {
            Ok(Ok(lookup)) => Ok(picked(&lookup, pick)),
            Ok(Err(error)) => negative(&error).ok_or_else(|| failure(&error.to_string())),
            Err(_) => Err(failure("no answer in time")),
        }
    }
}

/// Records of the type asked for, each once, in the order of the answer; CNAMEs between are left
/// out, but their time to live counts.
fn picked<T: Clone + std::hash::Hash + Eq>(
    lookup: &Lookup,
    pick: fn(&RData) -> Option<T>,
) -> Answer<T> {
    let answers = lookup.answers().iter().take(RECORDS_MAX);
    let ttl = answers.clone().map(|record| record.ttl).min();
    let mut seen = HashSet::new();
    let records: Vec<T> = answers
        .filter_map(|record| pick(&record.data))
        .filter(|record| seen.insert(record.clone()))
        .collect();
    match ttl {
        Some(ttl) if !records.is_empty() => Answer::Found { records, ttl },
        ttl => Answer::NoneOfType { ttl },
    }
}

/// A definite no, as far as the error is one.
fn negative<T>(error: &NetError) -> Option<Answer<T>> {
    let NetError::Dns(DnsError::NoRecordsFound(NoRecords {
        response_code, negative_ttl: ttl, ..
    })) = error
    else {
        return None;
    };
    match *response_code {
        ResponseCode::NXDomain => Some(Answer::NoSuchName { ttl: *ttl }),
        ResponseCode::NoError => Some(Answer::NoneOfType { ttl: *ttl }),
        _ => None,
    }
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
    udp.port = address.port();
    tcp.port = address.port();
    NameServerConfig::new(address.ip(), true, vec![udp, tcp])
}

/// The library wants a TLS configuration even when no server is asked over TLS, and would read the
/// system's roots for it, and fail where there are none.
fn unused_tls() -> Result<rustls::ClientConfig, DnsFailure> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DnsFailure(format!("no resolver: {error}")))?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}
