//! Where mail for a domain goes: by a static route, else by its MX.
//!
//! Owns:       the table of static routes, the sites known for domains.
//! Promises:   the most exact route wins: the domain, its nearest parent, `*`; a domain without
//!             one goes by DNS.
//! Knows not:  who sends, connections.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::small::Small;
use crate::config;
use crate::deliver::{RelayAuth, Source, Target, TargetHost};
use crate::dns::{DnsFailure, MailHosts, MxHost, OperatorName, Resolver, operator_of, site_key};
use crate::model::*;
use crate::store::{OperatorWish, SiteAt, Store, StoreError};

/// Domains remembered with their site, and for how long before DNS is looked at again.
const KNOWN_MAX: u64 = 200_000;
const KNOWN_FOR: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    #[error("route '{route}': {why}")]
    Unlawful { route: String, why: String },
}

/// A route as the configuration gives it.
#[derive(Debug)]
struct Route {
    name: String,
    /// None: the MX of the domain, with what else this route sets.
    host: Option<(String, u16)>,
    tls: TlsMode,
    preference: IpPreference,
    auth: Option<Arc<RelayAuth>>,
}

/// Static routes, looked up by domain.
#[derive(Debug, Default)]
pub struct Routes {
    exact: HashMap<Domain, Arc<Route>>,
    /// `.example.com`: the domain and what lies below it.
    within: HashMap<Domain, Arc<Route>>,
    all: Option<Arc<Route>>,
}

impl Routes {
    /// Reads the files of domains that routes name. The first route that names a domain wins.
    pub fn read(
        settings: &[config::Route],
        preference: IpPreference,
    ) -> Result<Routes, RouteError> {
        let mut routes = Routes::default();
        for setting in settings {
            let refused = |why: String| RouteError::Unlawful { route: setting.name.clone(), why };
            let route = Arc::new(route_of(setting, preference));
            for name in &setting.domains {
                routes.add(name, &route).map_err(&refused)?;
            }
            let Some(path) = &setting.domains_file else { continue };
            let text = std::fs::read_to_string(path)
                .map_err(|error| refused(format!("{}: {error}", path.display())))?;
            for (number, line) in text.lines().enumerate() {
                let at = |why| refused(format!("{}:{}: {why}", path.display(), number + 1));
                routes.add_line(line, &route).map_err(at)?;
            }
        }
        Ok(routes)
    }

    fn add(&mut self, name: &str, route: &Arc<Route>) -> Result<(), String> {
        if name == "*" {
            self.all.get_or_insert_with(|| route.clone());
            return Ok(());
        }
        let (table, name) = match name.strip_prefix('.') {
            Some(name) => (&mut self.within, name),
            None => (&mut self.exact, name),
        };
        let domain = Domain::parse(name).map_err(|error| format!("'{name}': {error}"))?;
        table.entry(domain).or_insert_with(|| route.clone());
        Ok(())
    }

    /// `domain` or `domain host:port`; `#` begins a comment.
    fn add_line(&mut self, line: &str, route: &Arc<Route>) -> Result<(), String> {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else { return Ok(()) };
        let Some(place) = words.next() else { return self.add(name, route) };
        let (host, port) = place
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)))
            .ok_or_else(|| format!("'{place}' is not host:port"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let own = Route {
            name: format!("{}/{place}", route.name),
            host: Some((host, port)),
            tls: route.tls,
            preference: route.preference,
            auth: route.auth.clone(),
        };
        self.add(name, &Arc::new(own))
    }

    fn find(&self, domain: &Domain) -> Option<&Arc<Route>> {
        if let Some(route) = self.exact.get(domain) {
            return Some(route);
        }
        if !self.within.is_empty() {
            let mut name = Some(domain.as_str());
            while let Some(parent) = name {
                let parsed = Domain::parse(parent).ok()?;
                if let Some(route) = self.within.get(&parsed) {
                    return Some(route);
                }
                name = parent.split_once('.').map(|(_, rest)| rest);
            }
        }
        self.all.as_ref()
    }
}

fn route_of(setting: &config::Route, preference: IpPreference) -> Route {
    let auth = setting.auth.as_ref().map(|auth| {
        Arc::new(RelayAuth {
            mechanism: auth.mechanism,
            user: auth.user.clone(),
            secret: auth.secret.clone(),
        })
    });
    // A relay with AUTH is told a secret, so it must prove its name unless told otherwise.
    let port = setting.port.unwrap_or(if auth.is_some() { 587 } else { 25 });
    let tls = setting.tls.unwrap_or(match (&auth, port) {
        (Some(_), 465) => TlsMode::Implicit,
        (Some(_), _) => TlsMode::Verified,
        (None, _) => TlsMode::Opportunistic,
    });
    Route {
        name: setting.name.clone(),
        host: setting.host.clone().map(|host| (host, port)),
        tls,
        preference: setting.preference.unwrap_or(preference),
        auth,
    }
}

/// Where mail for one domain goes now.
#[derive(Clone, Debug)]
pub enum Routed {
    To {
        key: String,
        operator: OperatorName,
        target: Target,
    },
    /// DNS says for good that there is nobody.
    Never(Outcome),
}

#[derive(Clone, Debug)]
pub struct RouterOptions {
    pub mx_port: u16,
    pub preference: IpPreference,
}

/// Finds targets and sites; one for the whole daemon.
pub struct Router {
    routes: ArcSwap<Routes>,
    resolver: Resolver,
    store: Store,
    options: RouterOptions,
    known: moka::sync::Cache<Domain, SiteId>,
    keys: moka::sync::Cache<String, SiteId>,
    operators: moka::sync::Cache<SiteId, OperatorId>,
    small: Small,
}

impl Router {
    pub fn new(routes: Routes, resolver: Resolver, store: Store, options: RouterOptions) -> Router {
        let known =
            moka::sync::Cache::builder().max_capacity(KNOWN_MAX).time_to_live(KNOWN_FOR).build();
        let keys = moka::sync::Cache::new(KNOWN_MAX);
        let operators = moka::sync::Cache::new(KNOWN_MAX);
        let (routes, small) = (ArcSwap::from_pointee(routes), Small::default());
        Router { routes, resolver, store, options, known, keys, operators, small }
    }

    /// Takes new static routes; sites are found anew.
    pub fn replace(&self, routes: Routes) {
        self.routes.store(Arc::new(routes));
        self.known.invalidate_all();
    }

    /// A static route leads the domain's mail to a host, whoever its MX is.
    pub fn is_static(&self, domain: &Domain) -> bool {
        self.routes.load().find(domain).is_some_and(|route| route.host.is_some())
    }

    /// Where a source goes with mail that has these hosts.
    pub async fn target_for(&self, source: &Source, hosts: Target) -> Result<Target, DnsFailure> {
        let addresses = match &source.relay {
            None => return Ok(hosts),
            Some(relay) => self.resolver.addresses(&relay.host).await?,
        };
        if addresses.is_empty() {
            return Err(DnsFailure(format!("the relay of {} has no address", source.name)));
        }
        Ok(source.target(hosts, &addresses))
    }

    /// Where a source would go with mail for a domain; a relay needs none.
    pub async fn target_of(&self, source: &Source, to: Option<&Domain>) -> Result<Target, String> {
        let nowhere = Target {
            hosts: Vec::new(),
            tls: TlsMode::Opportunistic,
            preference: self.options.preference,
            auth: None,
        };
        let hosts = match (to, &source.relay) {
            (_, Some(_)) => nowhere,
            (None, None) => return Err("name a domain to try it with".to_owned()),
            (Some(domain), None) => match self.route(domain).await {
                Ok(Routed::To { target, .. }) => target,
                Ok(Routed::Never(outcome)) => return Err(outcome.text()),
                Err(failure) => return Err(failure.to_string()),
            },
        };
        self.target_for(source, hosts).await.map_err(|failure| failure.to_string())
    }

    /// Without asking anybody.
    pub fn known_site(&self, domain: &Domain) -> Option<SiteId> {
        self.known.get(domain)
    }

    pub async fn route(&self, domain: &Domain) -> Result<Routed, DnsFailure> {
        let route = self.routes.load().find(domain).cloned();
        if let Some(route) = &route
            && let Some((host, port)) = &route.host
        {
            return self.to_host(route, host, *port).await;
        }
        let hosts = match self.resolver.mail_hosts(domain).await? {
            MailHosts::Hosts(hosts) => hosts,
            other => return Ok(Routed::Never(failure_of(other))),
        };
        let (mut key, operator) = (site_key(&hosts), operator_of(&hosts));
        if let Some(route) = &route {
            key = format!("{key};route={}", route.name);
        }
        let port = self.options.mx_port;
        let hosts = hosts.into_iter().map(|MxHost { name, addresses, .. }| TargetHost {
            name,
            addresses: addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(),
        });
        let target = Target {
            hosts: hosts.collect(),
            tls: route.as_ref().map_or(TlsMode::Opportunistic, |route| route.tls),
            preference: route.as_ref().map_or(self.options.preference, |route| route.preference),
            auth: None,
        };
        Ok(Routed::To { key, operator, target })
    }

    async fn to_host(&self, route: &Route, host: &str, port: u16) -> Result<Routed, DnsFailure> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.addresses(host).await?,
        };
        if addresses.is_empty() {
            return Err(DnsFailure(format!("the route's host {host} has no address")));
        }
        let named = MxHost { name: host.to_owned(), preference: 0, addresses: Vec::new() };
        let operator = operator_of(&[named]);
        let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        let target = Target {
            hosts: vec![TargetHost { name: host.to_owned(), addresses }],
            tls: route.tls,
            preference: route.preference,
            auth: route.auth.clone(),
        };
        Ok(Routed::To { key: format!("route:{}", route.name), operator, target })
    }

    /// The site with this key, which the domain belongs to from now on.
    pub async fn site(
        &self,
        domain: &Domain,
        key: &str,
        operator: &OperatorName,
    ) -> Result<SiteId, StoreError> {
        let small = self.small.judge(operator, domain);
        if small.has_grown {
            // Its other sites leave the tail when they are routed to again.
            self.keys.invalidate_all();
        }
        let site = match self.keys.get(key) {
            Some(site) => site,
            None => {
                let name = operator.as_str().to_owned();
                let wish = OperatorWish { name, make: !small.is_small };
                let SiteAt { site, operator } = self.store.site(key, &wish).await?;
                self.operators.insert(site, operator);
                self.keys.insert(key.to_owned(), site);
                site
            }
        };
        self.known.insert(domain.clone(), site);
        Ok(site)
    }

    /// Who runs a site; from memory in the usual case.
    pub async fn operator(&self, site: SiteId) -> Result<OperatorId, StoreError> {
        if let Some(operator) = self.operators.get(&site) {
            return Ok(operator);
        }
        let operator = self.store.operator_of_site(site).await?;
        self.operators.insert(site, operator);
        Ok(operator)
    }

    /// Without asking the ledger; None while nobody has asked for the site in this life.
    pub fn known_operator(&self, site: SiteId) -> Option<OperatorId> {
        self.operators.get(&site)
    }
}

/// RFC 7505 §4, RFC 3463 §3.2 and §3.5.
fn failure_of(hosts: MailHosts) -> Outcome {
    let (code, text) = match hosts {
        MailHosts::NullMx => (556, "5.1.10 the recipient's domain takes no mail (null MX)".into()),
        MailHosts::NoSuchDomain => (550, "5.1.2 the recipient's domain does not exist".into()),
        MailHosts::NoUsableAddress { why } => (550, format!("5.4.4 no host to send to: {why}")),
        MailHosts::Ourselves => (554, "5.4.6 the recipient's mail host is this one: a loop".into()),
        // The caller has taken these already.
        MailHosts::Hosts(_) => (550, "5.4.4 no host to send to".into()),
    };
    let reason = format!("{code} {text}");
    Outcome::Failed { reply: None, blame: Blame::Recipient, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, domains: &[&str]) -> config::Route {
        config::Route {
            name: name.into(),
            domains: domains.iter().map(|domain| (*domain).into()).collect(),
            host: Some("127.0.0.1".into()),
            ..config::Route::default()
        }
    }

    fn found(routes: &Routes, domain: &str) -> Option<String> {
        routes.find(&Domain::parse(domain).expect("lawful")).map(|route| route.name.clone())
    }

    #[test]
    fn the_most_exact_route_wins() {
        let settings = [
            route("all", &["*"]),
            route("within", &[".b.example"]),
            route("exact", &["a.b.example"]),
        ];
        let routes = Routes::read(&settings, IpPreference::Ipv4First).expect("lawful routes");
        assert_eq!(found(&routes, "a.b.example").as_deref(), Some("exact"));
        assert_eq!(found(&routes, "b.example").as_deref(), Some("within"));
        assert_eq!(found(&routes, "x.y.b.example").as_deref(), Some("within"));
        assert_eq!(found(&routes, "ab.example").as_deref(), Some("all"));
        let none = Routes::read(&[], IpPreference::Ipv4First).expect("no routes");
        assert_eq!(found(&none, "ab.example"), None);
    }

    #[test]
    fn a_file_of_domains_may_name_a_host_for_each() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let lines = "# hosts\na.example 127.0.0.5:2525\nb.example\n\n.c.example [::1]:25\n";
        std::fs::write(file.path(), lines).expect("written");
        let mut setting = route("table", &[]);
        setting.domains_file = Some(file.path().into());
        let routes = Routes::read(std::slice::from_ref(&setting), IpPreference::Ipv4First)
            .expect("lawful routes");
        assert_eq!(found(&routes, "a.example").as_deref(), Some("table/127.0.0.5:2525"));
        assert_eq!(found(&routes, "b.example").as_deref(), Some("table"));
        assert_eq!(found(&routes, "x.c.example").as_deref(), Some("table/[::1]:25"));
        std::fs::write(file.path(), "a.example nonsense\n").expect("written");
        let error = Routes::read(&[setting], IpPreference::Ipv4First).expect_err("unlawful");
        assert!(error.to_string().contains(":1: 'nonsense' is not host:port"), "{error}");
    }

    #[test]
    fn a_relay_with_auth_must_prove_its_name_unless_told_otherwise() {
        let auth = config::RouteAuth {
            mechanism: RelayMechanism::Plain,
            user: "u".into(),
            secret: "s".into(),
        };
        let mut setting = route("relay", &["*"]);
        setting.auth = Some(auth);
        assert_eq!(route_of(&setting, IpPreference::Ipv4First).tls, TlsMode::Verified);
        setting.port = Some(465);
        assert_eq!(route_of(&setting, IpPreference::Ipv4First).tls, TlsMode::Implicit);
        setting.tls = Some(TlsMode::Required);
        assert_eq!(route_of(&setting, IpPreference::Ipv4First).tls, TlsMode::Required);
    }
}
