//! What must hold between settings, and what they name: files, names, addresses.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::read::Reader;
use super::{Route, Settings};
use crate::model::operator::operator_named;
use crate::model::{Address, Domain};

/// A table of routes has a line a domain.
const DOMAINS_FILE_BYTES_MAX: u64 = 256 << 20;
/// Of one file; the rest is likely of the same kind.
const LINE_MISTAKES_MAX: usize = 20;
const STREAM_BYTES_MAX: usize = 100;

pub(super) fn verify(settings: &Settings, reader: &mut Reader<'_>) {
    numbers(settings, reader);
    names(settings, reader);
    authority(settings, reader);
    listeners(settings, reader);
    certificates(settings, reader);
    trusted(settings, reader);
    sources(settings, reader);
    routes(settings, reader);
    retry_profiles(settings, reader);
    inbound(settings, reader);
    own_mail(settings, reader);
}

fn own_mail(settings: &Settings, reader: &mut Reader<'_>) {
    let own = &settings.own_mail;
    if let Some(name) = &own.domain {
        domain("own_mail.domain", name, reader);
    }
    if own.stream.trim().is_empty() || own.stream.len() > STREAM_BYTES_MAX {
        let text = format!("must be a name of 1 to {STREAM_BYTES_MAX} octets");
        reader.wrong_at("own_mail.stream", text);
    }
}

fn inbound(settings: &Settings, reader: &mut Reader<'_>) {
    let inbound = &settings.inbound;
    if let Some(name) = &inbound.return_domain {
        domain("inbound.return_domain", name, reader);
    }
    for zone in &inbound.blocklists {
        domain("inbound.blocklists", zone, reader);
    }
    if inbound.postmaster.as_ref().is_some_and(|text| Address::parse(text).is_err()) {
        let text = "must be an address such as admin@example.com".to_owned();
        reader.wrong_at("inbound.postmaster", text);
    }
    if inbound.connections_per_client_max > inbound.connections_max {
        let text = "must not be above inbound.connections_max".to_owned();
        reader.wrong_at("inbound.connections_per_client_max", text);
    }
}

fn retry_profiles(settings: &Settings, reader: &mut Reader<'_>) {
    for (index, given) in settings.retry_profile.iter().enumerate() {
        let at = format!("retry_profile[{index}]");
        required(&at, &["profile"], reader);
        if given.wait_first > given.wait_max {
            let text = "must not be above its wait_max".to_owned();
            reader.wrong_at(&format!("{at}.wait_first"), text);
        }
        if let Some(name) = &given.domain {
            domain(&format!("{at}.domain"), name, reader);
        }
        if let Some(name) = &given.operator {
            operator(&format!("{at}.operator"), name, reader);
        }
    }
}

/// A small operator is called by the domain of its MX hosts.
fn operator(setting: &str, name: &str, reader: &mut Reader<'_>) {
    let is_domain = name.contains('.') && Domain::parse(name).is_ok();
    let listed = listed_operators();
    let is_known = listed.iter().any(|known| known == name) || operator_named(name).is_some();
    if !is_known && !is_domain && name != "tail" {
        let known = listed.join(", ");
        let text = format!(
            "must be an operator: the domain of its MX hosts, such as hoster.example, or one of \
             tail, {known}"
        );
        reader.wrong_at(setting, text);
    }
}

/// The names of the table that ships.
fn listed_operators() -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Listed {
        name: String,
    }
    #[derive(serde::Deserialize)]
    struct Table {
        operator: Vec<Listed>,
    }
    let table = toml::from_str(include_str!("../dns/operators.toml"));
    let names = |table: Table| table.operator.into_iter().map(|listed| listed.name).collect();
    table.map(names).unwrap_or_default()
}

fn numbers(settings: &Settings, reader: &mut Reader<'_>) {
    let Settings { smtp, delivery, retry, .. } = settings;
    if smtp.connections_per_client_max > smtp.connections_max {
        let text = "must not be above smtp.connections_max".to_owned();
        reader.wrong_at("smtp.connections_per_client_max", text);
    }
    if delivery.connections_per_site_max > delivery.connections_max {
        let text = "must not be above delivery.connections_max".to_owned();
        reader.wrong_at("delivery.connections_per_site_max", text);
    }
    if retry.wait_first > retry.wait_max {
        reader.wrong_at("retry.wait_first", "must not be above retry.wait_max".to_owned());
    }
    if retry.wait_max >= retry.expire_after {
        reader.wrong_at("retry.wait_max", "must be below retry.expire_after".to_owned());
    }
}

fn authority(settings: &Settings, reader: &mut Reader<'_>) {
    let acme = &settings.acme;
    let directory = acme.directory.as_deref().unwrap_or("https://");
    if !directory.starts_with("https://") && !directory.starts_with("http://") {
        reader.wrong_at("acme.directory", "must be an https:// or http:// URL".to_owned());
    }
    match (&acme.eab_key_id, &acme.eab_key) {
        (Some(_), None) => {
            reader.wrong_at("acme.eab_key_id", "needs acme.eab_key beside it".to_owned());
        }
        (None, Some(_)) => {
            reader.wrong_at("acme.eab_key", "needs acme.eab_key_id beside it".to_owned());
        }
        (Some(_), Some(_)) if acme.binding().is_none() => {
            reader.wrong_at("acme.eab_key", "must be base64url, without blanks".to_owned());
        }
        _ => {}
    }
}

fn names(settings: &Settings, reader: &mut Reader<'_>) {
    let public = settings.http.public_url.as_deref().unwrap_or("https://");
    let has_scheme = public.starts_with("https://") || public.starts_with("http://");
    if !has_scheme || public.contains(|c: char| c.is_whitespace() || c.is_control()) {
        reader.wrong_at("http.public_url", "must be an https:// or http:// URL".to_owned());
    }
    domain("node.host_name", &settings.node.host_name, reader);
    if jiff::tz::TimeZone::get(&settings.limits.day_zone).is_err() {
        let text = "must be a time zone, such as UTC or Europe/Berlin".to_owned();
        reader.wrong_at("limits.day_zone", text);
    }
    if !matches!(settings.log.format.as_str(), "text" | "json") {
        reader.wrong_at("log.format", "must be \"text\" or \"json\"".to_owned());
    }
    if let Err(text) = level(&settings.log.level) {
        reader.wrong_at("log.level", text);
    }
    let url = settings.store.url.as_deref().unwrap_or("postgres://");
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        reader.wrong_at("store.url", "must begin with postgres://".to_owned());
    }
}

fn domain(setting: &str, text: &str, reader: &mut Reader<'_>) {
    if Domain::parse(text).is_err() {
        reader.wrong_at(setting, "must be a host name such as mail.example.com".to_owned());
    }
}

/// `info,postroad::deliver=debug`.
fn level(text: &str) -> Result<(), String> {
    for part in text.split(',') {
        let (module, word) = part.rsplit_once('=').unwrap_or(("postroad", part));
        if !matches!(word, "off" | "error" | "warn" | "info" | "debug" | "trace") {
            return Err(format!("'{word}' is none of: off, error, warn, info, debug, trace"));
        }
        if !module.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':')) {
            return Err(format!("'{module}' is not the name of a module"));
        }
    }
    Ok(())
}

fn listeners(settings: &Settings, reader: &mut Reader<'_>) {
    let of = |setting: &'static str, addresses: &[SocketAddr]| {
        addresses.iter().map(|address| (setting, *address)).collect::<Vec<_>>()
    };
    let mut all = of("smtp.submission", &settings.smtp.submission);
    all.extend(of("smtp.submissions", &settings.smtp.submissions));
    all.extend(of("inbound.listen", &settings.inbound.listen));
    all.extend(of("http.listen", &settings.http.listen));
    for (index, (setting, address)) in all.iter().enumerate() {
        if let Some((other, _)) = all[..index].iter().find(|(_, other)| overlap(*address, *other)) {
            reader.wrong_at(setting, format!("{address} is taken already by {other}"));
        }
    }
}

/// Both cannot be listened on. Port 0 is a free port, another one each time.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

fn certificates(settings: &Settings, reader: &mut Reader<'_>) {
    for (index, certificate) in settings.tls.certificate.iter().enumerate() {
        let at = format!("tls.certificate[{index}]");
        required(&at, &["chain", "key"], reader);
        if reader.was_given(&format!("{at}.chain")) {
            let found = CertificateDer::pem_file_iter(&certificate.chain)
                .map_err(|why| why.to_string())
                .and_then(|mut all| all.next().ok_or("holds no certificate".to_owned()))
                .and_then(|first| first.map_err(|why| why.to_string()));
            file_verdict(&format!("{at}.chain"), &certificate.chain, found.err(), reader);
        }
        if reader.was_given(&format!("{at}.key")) {
            let found = PrivateKeyDer::from_pem_file(&certificate.key);
            let wrong = found.err().map(|why| why.to_string());
            let wrong = wrong.or_else(|| open_to_strangers(&certificate.key));
            file_verdict(&format!("{at}.key"), &certificate.key, wrong, reader);
        }
    }
}

fn open_to_strangers(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o007 != 0).then(|| format!("has mode {mode:04o}: everybody may read it; chmod 600"))
}

fn file_verdict(setting: &str, path: &Path, wrong: Option<String>, reader: &mut Reader<'_>) {
    if let Some(why) = wrong {
        reader.wrong_at(setting, format!("{}: {why}", path.display()));
    }
}

fn required(at: &str, names: &[&str], reader: &mut Reader<'_>) {
    for name in names {
        let setting = format!("{at}.{name}");
        if !reader.was_given(&setting) {
            reader.wrong_at(&setting, "is missing".to_owned());
        }
    }
}

fn trusted(settings: &Settings, reader: &mut Reader<'_>) {
    for (index, trusted) in settings.trusted.iter().enumerate() {
        let at = format!("trusted[{index}]");
        required(&at, &["network", "credential"], reader);
        if trusted.credential.is_empty() {
            reader.wrong_at(&format!("{at}.credential"), "must name a credential".to_owned());
        }
        if matches!(trusted.network.to_string().as_str(), "0.0.0.0/0" | "::/0") {
            let text = "the whole internet may not send without AUTH: an open relay".to_owned();
            reader.wrong_at(&format!("{at}.network"), text);
        }
        if settings.trusted[..index].iter().any(|other| other.network == trusted.network) {
            let text = format!("{} is trusted already, above", trusted.network);
            reader.wrong_at(&format!("{at}.network"), text);
        }
    }
}

fn sources(settings: &Settings, reader: &mut Reader<'_>) {
    let mut owners: HashMap<IpAddr, usize> = HashMap::new();
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (index, source) in settings.source.iter().enumerate() {
        let at = format!("source[{index}]");
        required(&at, &["name"], reader);
        unique_name(&at, &source.name, names.insert(&source.name, index), reader);
        match &source.relay {
            None => required(&at, &["address"], reader),
            Some(relay) if source.address.is_empty() => {
                domain(&format!("{at}.relay.host"), &relay.host, reader);
            }
            Some(_) => {
                let text = "a source is an address or a relay, not both".to_owned();
                reader.wrong_at(&format!("{at}.relay"), text);
            }
        }
        let of_v4 = source.address.iter().filter(|address| address.is_ipv4()).count();
        if of_v4 > 1 || source.address.len() - of_v4 > 1 {
            let text = "at most one address of each family; make a source for each".to_owned();
            reader.wrong_at(&format!("{at}.address"), text);
        }
        for address in &source.address {
            if owners.insert(*address, index).is_some() {
                let text = format!("{address} belongs to a source above already");
                reader.wrong_at(&format!("{at}.address"), text);
            }
        }
        if let Some(ehlo) = &source.ehlo {
            domain(&format!("{at}.ehlo"), ehlo, reader);
        }
    }
}

fn unique_name(at: &str, name: &str, earlier: Option<usize>, reader: &mut Reader<'_>) {
    let setting = format!("{at}.name");
    if reader.was_given(&setting) && name.is_empty() {
        reader.wrong_at(&setting, "must not be empty".to_owned());
    }
    if earlier.is_some() && !name.is_empty() {
        reader.wrong_at(&setting, format!("'{name}' is the name of another one above"));
    }
}

fn routes(settings: &Settings, reader: &mut Reader<'_>) {
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut owners: HashMap<String, String> = HashMap::new();
    for (index, route) in settings.route.iter().enumerate() {
        let at = format!("route[{index}]");
        required(&at, &["name"], reader);
        unique_name(&at, &route.name, names.insert(&route.name, index), reader);
        route_target(&at, route, reader);
        let own_target = !route.domains.is_empty() || route.domains_file.is_some();
        if !own_target {
            let text = "names no domains; \"*\" is all mail".to_owned();
            reader.wrong_at(&format!("{at}.domains"), text);
        }
        for pattern in &route.domains {
            let setting = format!("{at}.domains");
            let Some(pattern) = lawful_pattern(pattern) else {
                reader.wrong_at(&setting, not_a_domain(pattern));
                continue;
            };
            if let Some(other) = owners.insert(pattern.clone(), route.name.clone()) {
                let text = format!("{pattern} belongs to the route '{other}' already");
                reader.wrong_at(&setting, text);
            }
        }
        if let Some(path) = &route.domains_file {
            domains_file(&format!("{at}.domains_file"), path, reader);
        }
    }
}

fn route_target(at: &str, route: &Route, reader: &mut Reader<'_>) {
    let manner = route.tls.is_some() || route.preference.is_some();
    if route.host.is_none() && route.domains_file.is_none() && !manner {
        let text = "without a host, tls or preference the route changes nothing".to_owned();
        reader.wrong_at(&format!("{at}.host"), text);
    }
    if route.host.is_none() && route.port.is_some() {
        reader.wrong_at(&format!("{at}.port"), "needs a host".to_owned());
    }
    if let Some(host) = &route.host
        && Domain::parse(host).is_err()
        && host.parse::<IpAddr>().is_err()
    {
        let text = "must be a host name or an IP address, without a port".to_owned();
        reader.wrong_at(&format!("{at}.host"), text);
    }
    if route.auth.is_none() {
        return;
    }
    required(&format!("{at}.auth"), &["user", "secret"], reader);
    if route.host.is_none() {
        reader.wrong_at(&format!("{at}.auth"), "needs a host to sign in at".to_owned());
    }
    if route.tls == Some(crate::model::TlsMode::None) {
        let text = "must not be none where a password is sent".to_owned();
        reader.wrong_at(&format!("{at}.tls"), text);
    }
}

/// `*`, `.example.com` or a domain; in A-labels.
fn lawful_pattern(text: &str) -> Option<String> {
    if text == "*" {
        return Some(text.to_owned());
    }
    let domain = Domain::parse(text.strip_prefix('.').unwrap_or(text)).ok()?;
    let dot = if text.starts_with('.') { "." } else { "" };
    Some(format!("{dot}{domain}"))
}

fn not_a_domain(text: &str) -> String {
    format!("'{}' is not a domain, .domain or *", text.escape_debug())
}

/// Each line that cannot be read is named by its own place.
fn domains_file(setting: &str, path: &Path, reader: &mut Reader<'_>) {
    let read = std::fs::metadata(path).and_then(|found| match found.len() {
        0..=DOMAINS_FILE_BYTES_MAX => std::fs::read_to_string(path),
        _ => Err(std::io::Error::other("too large")),
    });
    let text = match read {
        Ok(text) => text,
        Err(why) => return reader.wrong_at(setting, format!("{}: {why}", path.display())),
    };
    let wrong = text
        .lines()
        .enumerate()
        .filter_map(|(index, line)| line_mistake(line).map(|why| (index + 1, why)));
    for (line, why) in wrong.take(LINE_MISTAKES_MAX) {
        reader.wrong_in(path, line, setting, why);
    }
}

/// `domain` or `domain host:port`; `#` begins a comment.
fn line_mistake(line: &str) -> Option<String> {
    let mut words = line.split('#').next()?.split_whitespace();
    let domain = words.next()?;
    if lawful_pattern(domain).is_none() {
        return Some(not_a_domain(domain));
    }
    let target = words.next()?;
    if words.next().is_some() {
        return Some("more than a domain and a host:port".to_owned());
    }
    let lawful = target.rsplit_once(':').is_some_and(|(host, port)| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let named = Domain::parse(host).is_ok() || host.parse::<IpAddr>().is_ok();
        named && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    (!lawful).then(|| format!("'{}' is not host:port", target.escape_debug()))
}
