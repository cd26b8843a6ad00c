//! The settings: each declared once with name, type, default, unit and a sentence.
//!
//! Owns:       `postroad.toml`, `POSTROAD_…` overrides, secrets from files.
//! Promises:   every mistake is named in one run, with file and line; an unknown key is a mistake.
//! Knows not:  what a setting does.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::wire::network::Network;

#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub node: Node,
    pub store: StoreSettings,
    pub spool: SpoolSettings,
    pub smtp: Smtp,
    pub tls: Tls,
    pub http: Http,
    pub delivery: Delivery,
    pub retry: Retry,
    pub dns: Dns,
    pub log: Log,
    /// `[[trusted]]`
    pub trusted: Vec<Trusted>,
    /// `[[source]]`
    pub source: Vec<SourceSettings>,
    /// `[[route]]`
    pub route: Vec<Route>,
}

/// `[node]`
#[derive(Clone, Debug)]
pub struct Node {
    /// The host's name: greeting, EHLO, Received, sender of reports.
    pub host_name: String,
    pub id: i64,
    pub data_dir: PathBuf,
    pub dkim_dir: PathBuf,
    /// The operator's Unix socket; empty: `control.sock` in the data directory.
    pub control_socket: Option<PathBuf>,
    /// How long SIGTERM waits for sessions and attempts under way.
    pub stop_wait: Duration,
}

/// `[store]`
#[derive(Clone, Debug, Default)]
pub struct StoreSettings {
    /// `postgres://…`; None: SQLite in the data directory. A secret: may come from a file.
    pub url: Option<String>,
}

/// `[spool]`
#[derive(Clone, Debug)]
pub struct SpoolSettings {
    pub segment_bytes: u64,
    /// Mail is refused while less is free on the spool's disk.
    pub free_bytes_min: u64,
    /// Bodies just accepted that are kept in memory for their first attempt.
    pub memory_bytes: u64,
}

/// `[smtp]`
#[derive(Clone, Debug)]
pub struct Smtp {
    /// STARTTLS before AUTH.
    pub submission: Vec<SocketAddr>,
    /// TLS from the first octet.
    pub submissions: Vec<SocketAddr>,
    pub connections_max: usize,
    pub connections_per_client_max: usize,
    pub message_bytes_max: u64,
    pub recipients_max: usize,
    pub command_wait: Duration,
    pub session_max: Duration,
    /// Errors before a session is cut.
    pub errors_max: u32,
    /// Commands a minute before a session is cut.
    pub commands_per_minute_max: u32,
    /// Networks that must speak PROXY v1 or v2 first.
    pub proxies: Vec<Network>,
}

/// `[tls]`
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// `[[tls.certificate]]`: chain and key in PEM; chosen by SNI, the first is the default.
    pub certificate: Vec<Certificate>,
}

#[derive(Clone, Debug)]
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// `[http]`
#[derive(Clone, Debug)]
pub struct Http {
    pub listen: Vec<SocketAddr>,
    /// Plain HTTP is answered on loopback and to these proxies; everybody else gets TLS.
    pub proxies: Vec<Network>,
}

/// `[delivery]`
#[derive(Clone, Debug)]
pub struct Delivery {
    pub mx_port: u16,
    pub connections_per_site_max: usize,
    pub connections_max: usize,
    pub messages_per_connection_max: u32,
    pub recipients_per_transaction_max: usize,
    pub idle_wait: Duration,
    pub connect_wait: Duration,
    pub greeting_wait: Duration,
    pub command_wait: Duration,
    pub data_start_wait: Duration,
    pub data_block_wait: Duration,
    pub data_end_wait: Duration,
    pub preference: crate::model::IpPreference,
    /// Non-global addresses found in DNS that may be delivered to nevertheless.
    pub allowed_networks: Vec<Network>,
}

/// `[retry]`
#[derive(Clone, Debug)]
pub struct Retry {
    pub wait_first: Duration,
    pub wait_max: Duration,
    pub expire_after: Duration,
}

/// `[dns]`
#[derive(Clone, Debug, Default)]
pub struct Dns {
    /// Empty: as in /etc/resolv.conf.
    pub servers: Vec<SocketAddr>,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct Log {
    /// "text" or "json".
    pub format: String,
    /// As in `info` or `info,postroad::deliver=debug`.
    pub level: String,
}

/// `[[trusted]]`: clients of this network need no AUTH and stand for the credential.
#[derive(Clone, Debug)]
pub struct Trusted {
    pub network: Network,
    pub credential: String,
}

/// `[[source]]`
#[derive(Clone, Debug)]
pub struct SourceSettings {
    pub name: String,
    pub address: Vec<IpAddr>,
    /// None: the host name.
    pub ehlo: Option<String>,
}

/// `[[route]]`: where mail for some domains goes instead of their MX.
#[derive(Clone, Debug, Default)]
pub struct Route {
    pub name: String,
    /// `*` is all mail; `.example.com` a domain with what lies below it.
    pub domains: Vec<String>,
    /// A file with a domain a line, optionally followed by `host:port` of its own.
    pub domains_file: Option<PathBuf>,
    /// None: the domain's MX (to set TLS or IP preference alone).
    pub host: Option<String>,
    pub port: Option<u16>,
    pub tls: Option<crate::model::TlsMode>,
    pub preference: Option<crate::model::IpPreference>,
    pub auth: Option<RouteAuth>,
}

#[derive(Clone)]
pub struct RouteAuth {
    pub mechanism: crate::model::RelayMechanism,
    pub user: String,
    pub secret: String,
}

impl std::fmt::Debug for RouteAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteAuth").field("user", &self.user).finish_non_exhaustive()
    }
}

macro_rules! defaults {
    ($($name:ident { $($field:ident: $value:expr,)* })*) => {$(
        impl Default for $name {
            fn default() -> Self { $name { $($field: $value,)* } }
        }
    )*};
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

defaults! {
    Node {
        host_name: "localhost".into(), id: 1, data_dir: "queue".into(), dkim_dir: "dkim-keys".into(),
        control_socket: None, stop_wait: Duration::from_secs(30),
    }
    SpoolSettings {
        segment_bytes: 64 << 20, free_bytes_min: 256 << 20, memory_bytes: 64 << 20,
    }
    Smtp {
        submission: vec![any(587)], submissions: vec![any(465)],
        connections_max: 2000, connections_per_client_max: 100,
        message_bytes_max: crate::model::limits::BODY_BYTES_MAX,
        recipients_max: crate::model::limits::RECIPIENTS_MAX,
        command_wait: minutes(5), session_max: minutes(60), errors_max: 20,
        commands_per_minute_max: 100_000, proxies: Vec::new(),
    }
    Http { listen: vec![SocketAddr::from(([127, 0, 0, 1], 8025))], proxies: Vec::new(), }
    Delivery {
        mx_port: 25, connections_per_site_max: 20, connections_max: 2000,
        messages_per_connection_max: 1000, recipients_per_transaction_max: 100,
        idle_wait: Duration::from_secs(10), connect_wait: Duration::from_secs(30),
        greeting_wait: minutes(5), command_wait: minutes(5), data_start_wait: minutes(2),
        data_block_wait: minutes(3), data_end_wait: minutes(10),
        preference: crate::model::IpPreference::Ipv6First, allowed_networks: Vec::new(),
    }
    Retry { wait_first: minutes(5), wait_max: minutes(240), expire_after: minutes(4 * 24 * 60), }
    Log { format: "text".into(), level: "info".into(), }
}
