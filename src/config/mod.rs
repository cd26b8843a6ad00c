//! The settings: each declared once with name, type, default, unit and a sentence.
//!
//! Owns:       `postroad.toml`, `POSTROAD_…` overrides, secrets from files.
//! Promises:   every mistake is named in one run, with file and line; an unknown key is a mistake.
//! Knows not:  what a setting does.

mod declare;
mod read;
mod sample;
mod value;
mod verify;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use declare::{Change, Declaration, Difference, Section, Unit};
pub use read::{Loaded, Mistake, Mistakes, Place, load, read};
pub use sample::sample;
pub use value::{parse_size, parse_time, show_size, show_time};

use crate::model::limits::{BODY_BYTES_MAX, RECIPIENTS_MAX};
use crate::model::{HostLook, IpPreference, RelayMechanism, RetryProfile, TlsMode};
use crate::wire::network::Network;
use declare::{Setting, settings};
use read::Reader;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = minutes(1);
const HOUR: Duration = minutes(60);
const DAY: Duration = minutes(24 * 60);
const MIB: u64 = 1 << 20;

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Lists that may be asked without a contract and that large operators heed.
fn default_blocklists() -> Vec<String> {
    ["zen.spamhaus.org", "b.barracudacentral.org", "bl.spamcop.net"].map(str::to_owned).into()
}

/// The example that stands in the sample.
fn example_network() -> Network {
    let loopback = Network::parse("127.0.0.0/8");
    loopback.expect("the example is a network by its form")
}

settings! {
    /// All tables of the file.
    Settings {
        /// `[node]`
        node: Node = Node::default(), Table, Restart;
        /// `[store]`
        store: StoreSettings = StoreSettings::default(), Table, Restart;
        /// `[spool]`
        spool: SpoolSettings = SpoolSettings::default(), Table, Restart;
        /// `[smtp]`
        smtp: Smtp = Smtp::default(), Table, Restart;
        /// `[inbound]`
        inbound: Inbound = Inbound::default(), Table, Restart;
        /// `[tls]`
        tls: Tls = Tls::default(), Table, Restart;
        /// `[http]`
        http: Http = Http::default(), Table, Restart;
        /// `[acme]`
        acme: Acme = Acme::default(), Table, Restart;
        /// `[fetch]`
        fetch: Fetch = Fetch::default(), Table, Restart;
        /// `[delivery]`
        delivery: Delivery = Delivery::default(), Table, Restart;
        /// `[own_mail]`
        own_mail: OwnMail = OwnMail::default(), Table, Restart;
        /// `[retry]`
        retry: Retry = Retry::default(), Table, Restart;
        /// `[limits]`
        limits: LimitSettings = LimitSettings::default(), Table, Restart;
        /// `[health]`
        health: Health = Health::default(), Table, Restart;
        /// `[dns]`
        dns: Dns = Dns::default(), Table, Restart;
        /// `[log]`
        log: Log = Log::default(), Table, Restart;
        /// `[[trusted]]`
        trusted: Vec<Trusted> = Vec::new(), Items, Restart;
        /// `[checks]`
        checks: Checks = Checks::default(), Table, Restart;
        /// `[[source]]`
        source: Vec<SourceSettings> = Vec::new(), Items, Restart;
        /// `[[route]]`
        route: Vec<Route> = Vec::new(), Items, Live;
        /// `[[retry_profile]]`
        retry_profile: Vec<RetryProfileSettings> = Vec::new(), Items, Restart;
    }

    /// Who this daemon is, where it keeps its state, how it stops.
    Node {
        /// The host's name: greeting, EHLO, Received, sender of reports.
        host_name: String = "localhost".into(), Name, Restart;
        /// The number of this node; each daemon on one database has its own.
        id: i64 = 1, Count, Restart, 1..=1023;
        /// Where spool, outcome log and ledger lie.
        data_dir: PathBuf = "queue".into(), Path, Restart;
        /// Where private DKIM keys lie, and nowhere else.
        dkim_dir: PathBuf = "dkim-keys".into(), Path, Restart;
        /// The operator's Unix socket; empty: `control.sock` in the data directory.
        control_socket: Option<PathBuf> = None, Path, Restart;
        /// How long SIGTERM waits for sessions and attempts under way.
        stop_wait: Duration = Duration::from_secs(30), Time, Restart, SECOND..=HOUR;
    }

    /// The ledger.
    StoreSettings {
        /// A `postgres://` URL; empty: SQLite in the data directory.
        url: Option<String> = None, Secret, Restart;
    }

    /// Bodies on disk and in memory.
    SpoolSettings {
        /// A segment file is sealed at this size.
        segment_bytes: u64 = 64 * MIB, Bytes, Restart, MIB..=(16 << 30);
        /// Mail is refused while less is free on the spool's disk.
        free_bytes_min: u64 = 256 * MIB, Bytes, Restart, 0..=(1 << 50);
        /// How long a source can be read after nothing is owed of it; shorter while disk is scarce.
        keep_for: Duration = Duration::ZERO, Time, Restart, Duration::ZERO..=(DAY * 3650);
        /// Bodies just accepted that are kept in memory for their first attempt.
        memory_bytes: u64 = 64 * MIB, Bytes, Restart, 0..=(1 << 40);
    }

    /// Submission by SMTP.
    Smtp {
        /// Where STARTTLS is required before AUTH.
        submission: Vec<SocketAddr> = vec![any(587)], Address, Restart;
        /// Where TLS begins with the first octet.
        submissions: Vec<SocketAddr> = vec![any(465)], Address, Restart;
        /// Connections in all.
        connections_max: usize = 10_000, Count, Live, 1..=1_000_000;
        /// Connections of one client.
        connections_per_client_max: usize = 200, Count, Live, 1..=1_000_000;
        /// The size of a mail.
        message_bytes_max: u64 = BODY_BYTES_MAX, Bytes, Live, (64 << 10)..=(1 << 30);
        /// Recipients of a mail; RFC 5321 asks for 100 at least.
        recipients_max: usize = RECIPIENTS_MAX, Count, Live, 100..=100_000;
        /// How long a client may take for a command or a part of a mail.
        command_wait: Duration = minutes(5), Time, Live, SECOND..=HOUR;
        /// How long a session may last.
        session_max: Duration = minutes(60), Time, Live, SECOND..=DAY;
        /// Errors before a session is cut.
        errors_max: u32 = 20, Count, Live, 1..=10_000;
        /// Commands a minute before a session is cut.
        commands_per_minute_max: u32 = 100_000, Count, Live, 10..=100_000_000;
        /// Networks that must speak PROXY v1 or v2 first.
        proxies: Vec<Network> = Vec::new(), Network, Live;
    }

    /// Mail from outside, and what comes back for mail that left.
    Inbound {
        /// Where other hosts bring mail, such as "0.0.0.0:25"; empty: nowhere.
        listen: Vec<SocketAddr> = Vec::new(), Address, Restart;
        /// Bounces come back to signed addresses of this domain, whose MX is this host.
        return_domain: Option<String> = None, Name, Restart;
        /// How long after the end of a mail's time something may come back for it.
        return_wait: Duration = DAY * 60, Time, Restart, DAY..=(DAY * 400);
        /// Where mail to postmaster and abuse of served domains goes; empty: it is only listed.
        postmaster: Option<String> = None, Text, Restart;
        /// Connections in all.
        connections_max: usize = 1000, Count, Restart, 1..=1_000_000;
        /// Connections of one client.
        connections_per_client_max: usize = 20, Count, Restart, 1..=1_000_000;
        /// Mails a minute from one network (an IPv4 /24, an IPv6 /48).
        mails_per_network_max: u32 = 600, Count, Restart, 1..=100_000_000;
        /// The size of a mail.
        message_bytes_max: u64 = 10 * MIB, Bytes, Restart, (64 << 10)..=(1 << 30);
        /// Errors before a session is cut.
        errors_max: u32 = 10, Count, Restart, 1..=10_000;
        /// Commands a minute before a session is cut.
        commands_per_minute_max: u32 = 1000, Count, Restart, 10..=100_000_000;
        /// Networks that must speak PROXY v1 or v2 first.
        proxies: Vec<Network> = Vec::new(), Network, Restart;
        /// Lists in DNS, such as "zen.example.org"; whom one names is refused.
        blocklists: Vec<String> = Vec::new(), Name, Restart;
        /// Bounces of one mailbox without a delivery between, before it is suppressed.
        soft_bounces_max: u32 = 5, Count, Restart, 2..=1000;
        /// From the first of them to the last, at least.
        soft_bounces_span: Duration = DAY * 10, Time, Restart, HOUR..=(DAY * 365);
        /// Topics of Amazon SNS whose news of SES are believed, by their ARN.
        sns_topics: Vec<String> = Vec::new(), Text, Restart;
        /// How long the list of what came in reaches back.
        list_kept: Duration = DAY * 30, Time, Restart, DAY..=(DAY * 3650);
    }

    /// Certificates; without any the daemon makes one that signs itself.
    Tls {
        /// `[[tls.certificate]]`: chosen by the name a client asks for, the first is the default.
        certificate: Vec<Certificate> = Vec::new(), Items, Live;
    }

    /// A certificate; its files are read again when they change.
    Certificate {
        /// The chain in PEM, the host's own certificate first.
        chain: PathBuf = "/etc/postroad/tls/chain.pem".into(), Path, Live;
        /// The private key in PEM.
        key: PathBuf = "/etc/postroad/tls/key.pem".into(), Path, Live;
    }

    /// The API, health and metrics by HTTP.
    Http {
        /// Where to listen.
        listen: Vec<SocketAddr> = vec![loopback(8025)], Address, Restart;
        /// Where the world reaches this daemon's public pages, such as https://mail.example.com:
        /// what links in mails lead to. Empty: campaigns are not sent.
        public_url: Option<String> = None, Text, Restart;
        /// A database of countries in MaxMind's format (GeoLite2-Country.mmdb): reports of
        /// campaigns tell where people read.
        geography: Option<PathBuf> = None, Path, Restart;
        /// Plain HTTP is answered on loopback and to these proxies; everybody else gets TLS.
        proxies: Vec<Network> = Vec::new(), Network, Restart;
    }

    /// Certificates for the hosts of organizations, asked of an authority.
    Acme {
        /// The authority's directory (RFC 8555), such as
        /// https://acme-v02.api.letsencrypt.org/directory; to name it is to agree to its terms.
        /// Empty: no certificate is asked for.
        directory: Option<String> = None, Text, Restart;
        /// Whom the authority may write to, such as mailto:admin@example.com.
        contact: Option<String> = None, Text, Restart;
        /// The id of the account that one has with the authority already, where it asks for one
        /// (external account binding, RFC 8555 §7.3.4).
        eab_key_id: Option<String> = None, Text, Restart;
        /// The key to that account, in base64url as the authority shows it.
        eab_key: Option<String> = None, Secret, Restart;
        /// Where the authority's questions come in by plain HTTP.
        listen: Vec<SocketAddr> = vec![any(80)], Address, Restart;
        /// The port of these hosts at which the authority asks, and which must lead to `listen`;
        /// every public one asks at 80.
        port: u16 = 80, Port, Restart, 1..=65_535;
        /// first: it is looked if a host leads here before the authority is asked. never: it is
        /// not, for machines that cannot reach their own public address.
        look: HostLook = HostLook::First, Word, Restart;
        /// Orders of all organizations in a day, since authorities count them.
        orders_per_day_max: u32 = 200, Count, Restart, 1..=1_000_000;
    }

    /// URLs of customers that the daemon calls: webhooks.
    Fetch {
        /// Private and loopback addresses that may be called nevertheless.
        allowed_networks: Vec<Network> = Vec::new(), Network, Restart;
        /// Certificates in PEM that are trusted beside the system's.
        extra_roots: Option<PathBuf> = None, Path, Restart;
    }

    /// Delivery to receiving hosts.
    Delivery {
        /// The port of MX hosts; another one only for tests.
        mx_port: u16 = 25, Port, Restart, 1..=65535;
        /// Connections to one site (the MX hosts that several domains share).
        connections_per_site_max: usize = 20, Count, Restart, 1..=10_000;
        /// Connections to all sites.
        connections_max: usize = 2000, Count, Restart, 1..=1_000_000;
        /// Mails over one connection before it is closed.
        messages_per_connection_max: u32 = 1000, Count, Restart, 1..=1_000_000;
        /// Recipients in one transaction; more are sent in several.
        recipients_per_transaction_max: usize = 100, Count, Restart, 1..=10_000;
        /// How long an unused connection is kept.
        idle_wait: Duration = Duration::from_secs(2), Time, Restart, Duration::ZERO..=HOUR;
        /// How long connecting may take.
        connect_wait: Duration = Duration::from_secs(30), Time, Restart, SECOND..=minutes(10);
        /// How long the greeting may take.
        greeting_wait: Duration = minutes(5), Time, Restart, SECOND..=minutes(10);
        /// How long the answer to a command may take.
        command_wait: Duration = minutes(5), Time, Restart, SECOND..=minutes(10);
        /// How long the answer to DATA may take.
        data_start_wait: Duration = minutes(2), Time, Restart, SECOND..=minutes(10);
        /// How long a part of the mail may take to be written.
        data_block_wait: Duration = minutes(3), Time, Restart, SECOND..=minutes(10);
        /// How long the answer to the end of the mail may take.
        data_end_wait: Duration = minutes(10), Time, Restart, SECOND..=minutes(15);
        /// IPv4 or IPv6, alone or first: ipv4_only, ipv6_only, ipv4_first, ipv6_first.
        preference: IpPreference = IpPreference::Ipv6First, Word, Restart;
        /// How long it is kept what was said in attempts that did not succeed.
        dialogues_kept: Duration = DAY * 14, Time, Restart, HOUR..=(DAY * 365);
        /// Of deliveries that succeed, what was said is kept of one in so many; 0: of none.
        dialogues_sampled: u32 = 0, Count, Restart, 0..=1_000_000_000;
        /// Private and loopback addresses found in DNS that may be delivered to nevertheless.
        allowed_networks: Vec<Network> = Vec::new(), Network, Restart;
    }

    /// Mail that the daemon itself writes: reports to senders, invites, new passwords, alarms.
    OwnMail {
        /// The organization that it belongs to, by its name; empty: the first one.
        organization: Option<String> = None, Text, Restart;
        /// The stream that it leaves by; made at the start when there is none of this name.
        stream: String = "own mail".into(), Text, Restart;
        /// What it is from, signed by this domain's key where there is one; empty: the host name.
        domain: Option<String> = None, Name, Restart;
        /// Mails in any hour; what is over waits.
        per_hour_max: u64 = 10_000, Count, Restart, 1..=1_000_000_000;
    }

    /// When a deferred delivery is tried again.
    Retry {
        /// The first wait; each further one is longer.
        wait_first: Duration = minutes(5), Time, Restart, SECOND..=DAY;
        /// The longest wait.
        wait_max: Duration = minutes(240), Time, Restart, SECOND..=DAY;
        /// A delivery that is not done after this expires and is reported to its sender.
        expire_after: Duration = minutes(4 * 24 * 60), Time, Restart, MINUTE..=(DAY * 60);
    }

    /// Other waits for deferrals of one kind, everywhere, at an operator or for a domain.
    RetryProfileSettings {
        /// default, greylist, rate, reputation, mailbox_full, dns, network or tls.
        profile: RetryProfile = RetryProfile::Default, Word, Restart;
        /// The operator whose hosts answered, such as google; empty: all.
        operator: Option<String> = None, Text, Restart;
        /// The recipient's domain; empty: all.
        domain: Option<String> = None, Name, Restart;
        /// The first wait; each further one is longer.
        wait_first: Duration = minutes(5), Time, Restart, SECOND..=DAY;
        /// The longest wait.
        wait_max: Duration = minutes(240), Time, Restart, SECOND..=DAY;
    }

    /// What the limits of a day go by; the limits themselves are rows (`postroad limit`).
    LimitSettings {
        /// The time zone in which a day begins, such as Europe/Berlin.
        day_zone: String = "UTC".into(), Name, Restart;
        /// How long after midnight it begins.
        day_begins: Duration = Duration::ZERO, Time, Restart, Duration::ZERO..=(HOUR * 23);
    }

    /// Which rates of the last day (complaints: of the last week) are too high, in thousandths.
    Health {
        /// Lost addresses, of mail that was taken or refused for good: from here on a warning.
        bounces_warn: u32 = 20, Count, Restart, 1..=1000;
        /// From here on a campaign or domain stops; 1000: never.
        bounces_stop: u32 = 100, Count, Restart, 1..=1000;
        /// Complaints, of mail that was taken: from here on a warning.
        complaints_warn: u32 = 1, Count, Restart, 1..=1000;
        /// From here on a campaign or domain stops; 1000: never.
        complaints_stop: u32 = 3, Count, Restart, 1..=1000;
        /// Put off, of all answers: from here on a warning.
        deferrals_warn: u32 = 300, Count, Restart, 1..=1000;
        /// Put off or refused for reputation, of all answers: from here on a warning.
        blocks_warn: u32 = 20, Count, Restart, 1..=1000;
    }

    /// Where names are looked up.
    Dns {
        /// Servers with ports; empty: as in /etc/resolv.conf.
        servers: Vec<SocketAddr> = Vec::new(), Address, Restart;
        /// The port of domains' own name servers; another one only for tests.
        authority_port: u16 = 53, Port, Restart, 1..=65535;
    }

    /// What the daemon tells on standard error.
    Log {
        /// How a line is written: "text" or "json".
        format: String = "text".into(), Word, Restart;
        /// From which level on, for all or for a module: `info` or `info,postroad::deliver=debug`.
        level: String = "info".into(), Text, Live;
    }

    /// Clients of a network that need no AUTH.
    Trusted {
        /// The clients.
        network: Network = example_network(), Network, Restart;
        /// The credential they stand for, by its name.
        credential: String = "newsletter".into(), Text, Restart;
    }

    /// Where mail leaves from: one of our addresses, or one of each family, or a relay.
    SourceSettings {
        /// What it is called in lists and logs.
        name: String = "first".into(), Text, Restart;
        /// At most one IPv4 and one IPv6 address of this host.
        address: Vec<IpAddr> = Vec::new(), Address, Restart;
        /// What the world sees instead of them, behind NAT.
        public_address: Vec<IpAddr> = Vec::new(), Address, Restart;
        /// The name it gives in EHLO; empty: the host name.
        ehlo: Option<String> = None, Name, Restart;
        /// Instead of an address: a service that takes our mail.
        relay: Option<RelaySettings> = None, Table, Restart;
    }

    /// A service that takes mail from us.
    RelaySettings {
        /// The service's host.
        host: String = String::new(), Name, Restart;
        /// The host's port.
        port: u16 = 587, Port, Restart, 1..=65535;
        /// none, opportunistic, required, verified or implicit.
        tls: TlsMode = TlsMode::Verified, Word, Restart;
        /// How to sign in.
        auth: Option<RouteAuth> = None, Table, Restart;
    }

    /// The checks of sources, on start and every hour.
    Checks {
        /// DNSBL zones that are asked for our addresses.
        blocklists: Vec<String> = default_blocklists(), Text, Restart;
        /// Hosts with ports that each source must reach while no mail of its own shows that it can.
        probes: Vec<String> = Vec::new(), Text, Restart;
    }

    /// Where mail for some domains goes instead of their MX, or how it must go there.
    Route {
        /// What it is called in lists and logs.
        name: String = String::new(), Text, Live;
        /// `*` is all mail; `.example.com` a domain with what lies below it.
        domains: Vec<String> = Vec::new(), Text, Live;
        /// A file with a domain a line, optionally followed by a `host:port` of its own.
        domains_file: Option<PathBuf> = None, Path, Live;
        /// The host to connect to; empty: the domain's MX, to set TLS or IP preference alone.
        host: Option<String> = None, Name, Live;
        /// The host's port; empty: 25, or 465 with TLS from the first octet.
        port: Option<u16> = None, Port, Live, Some(1)..=Some(65535);
        /// none, opportunistic, required, verified or implicit; empty: opportunistic.
        tls: Option<TlsMode> = None, Word, Live;
        /// ipv4_only, ipv6_only, ipv4_first or ipv6_first; empty: as for all delivery.
        preference: Option<IpPreference> = None, Word, Live;
        /// How to sign in at the host.
        auth: Option<RouteAuth> = None, Table, Live;
    }

    /// How to sign in at a relay.
    RouteAuth {
        /// plain, login or xoauth2.
        mechanism: RelayMechanism = RelayMechanism::Plain, Word, Live;
        /// The user name.
        user: String = String::new(), Text, Live;
        /// The password, or the token of XOAUTH2.
        secret: String = String::new(), Secret, Live;
    }
}

impl Acme {
    /// The account that one has with the authority already: its id, and the octets of its key.
    pub fn binding(&self) -> Option<(String, Vec<u8>)> {
        let key = self.eab_key.as_deref()?.trim_end_matches('=');
        let key = URL_SAFE_NO_PAD.decode(key).ok().filter(|key| !key.is_empty())?;
        Some((self.eab_key_id.clone()?, key))
    }
}

/// What a reload changes.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
pub struct Reload {
    /// Settings whose new value takes effect now.
    pub taken: Vec<String>,
    /// Settings whose new value waits for a restart.
    pub needs_restart: Vec<String>,
}

/// Tells which settings differ, and which of them can change while the daemon runs.
pub fn reload(old: &Settings, new: &Settings) -> Reload {
    let mut found = Vec::new();
    Section::differences(old, new, "", &mut found);
    let (live, rest): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|difference| difference.change == Change::Live);
    let names = |found: Vec<Difference>| found.into_iter().map(|found| found.setting).collect();
    Reload { taken: names(live), needs_restart: names(rest) }
}

impl Settings {
    /// Where the operator's commands find the daemon.
    pub fn control_socket(&self) -> PathBuf {
        let usual = || self.node.data_dir.join("control.sock");
        self.node.control_socket.clone().unwrap_or_else(usual)
    }
}
