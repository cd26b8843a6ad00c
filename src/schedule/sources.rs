//! The sources as they are now: what is declared, what their checks said, what they have carried.
//!
//! Owns:       the tables of sources and pools in memory, the counts of a window, who is set aside.
//! Promises:   the first rule that matches a mail says its pool; a pool without sources gives a
//!             reason and no mail; reading anew loses no counts.
//! Knows not:  limits, SQL, sockets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

pub use super::asked::Asked;
use super::asked::{Planned, matches, would_match};
use super::pick::{Bar, Candidate, Counts};
use crate::deliver::{Relay, RelayAuth, Source, SourceFault};
use crate::model::*;
use crate::store::SourceTables;

/// How long a source that could not connect is left alone.
pub const SET_ASIDE: Duration = Duration::from_secs(60);
/// Pairs of source and site set aside at the same time; beyond it the list begins anew.
const SET_ASIDE_MAX: usize = 50_000;
/// How long a connection shows that the way out is open.
const REACH_WINDOW: Duration = Duration::from_secs(2 * 3600);
/// Failures in a row without any success that say it is not: single sites are often down.
const FAILURES_MIN: u32 = 10;
const REACH_MAX: usize = 10_000;
/// Of a relay's password.
const SECRET_BYTES_MAX: usize = 16 * 1024;

/// The tables, ready to be asked.
#[derive(Debug)]
struct Known {
    tables: SourceTables,
    sources: HashMap<SourceId, Entry>,
    names: HashMap<String, SourceId>,
    members: HashMap<PoolId, Vec<PoolMember>>,
}

#[derive(Clone, Debug)]
struct Entry {
    row: SourceRow,
    source: Arc<Source>,
    health: Option<SourceHealth>,
    /// Its secret cannot be read.
    fault: Option<String>,
}

/// What the source's own connections say of the way out.
#[derive(Clone, Debug, Default)]
struct Reach {
    reached_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    /// In a row.
    failures: u32,
}

/// Who is left alone, at a site or anywhere; until when and why.
type Aside = HashMap<(SourceId, Option<SiteId>), (Timestamp, String)>;

/// One for the whole daemon.
pub struct Sources {
    known: ArcSwap<Known>,
    counts: Mutex<Counts>,
    reach: Mutex<HashMap<SourceId, Reach>>,
    aside: Mutex<Aside>,
    /// What is used while nothing is declared.
    system: Arc<Source>,
    /// A source must be checked before it sends.
    is_checked: bool,
    has_rerouted: AtomicBool,
    /// Secrets of sources that the settings declare, by name.
    secrets: HashMap<String, String>,
}

impl Sources {
    pub fn new(
        tables: SourceTables,
        host_name: &str,
        secrets: HashMap<String, String>,
        is_checked: bool,
    ) -> Sources {
        let system = Arc::new(Source {
            id: SourceId::SYSTEM,
            name: "default".to_owned(),
            ehlo: host_name.to_owned(),
            ..Source::default()
        });
        let known = ArcSwap::from_pointee(Known::of(tables, &secrets));
        let (counts, reach, aside, has_rerouted) = Default::default();
        Sources { known, counts, reach, aside, system, is_checked, has_rerouted, secrets }
    }

    /// Takes what the ledger holds now.
    pub fn replace(&self, tables: SourceTables) {
        self.known.store(Arc::new(Known::of(tables, &self.secrets)));
    }

    /// A file with a relay's secret may hold another one by now, as a token that expires: taken as
    /// it is. True when this source's is another.
    pub fn renew_secret(&self, id: SourceId) -> bool {
        let now = |known: &Known| known.sources.get(&id).map(|entry| entry.source.clone());
        let before = now(&self.known.load());
        self.known.rcu(|known| Known::of(known.tables.clone(), &self.secrets));
        before != now(&self.known.load())
    }

    /// Whoever was set aside is tried again.
    pub fn forget_set_aside(&self) {
        self.aside.lock().clear();
    }

    /// As an attempt needs it; None when it was removed meanwhile.
    pub fn source(&self, id: SourceId) -> Option<Arc<Source>> {
        if id == SourceId::SYSTEM {
            return Some(self.system());
        }
        self.known.load().sources.get(&id).map(|entry| entry.source.clone())
    }

    pub fn by_name(&self, name: &str) -> Option<SourceId> {
        self.known.load().names.get(name).copied()
    }

    pub fn by_name_or_system(&self, name: &str) -> Option<SourceId> {
        let known = self.known.load();
        if known.sources.is_empty() {
            return (self.system.name == name).then_some(SourceId::SYSTEM);
        }
        known.names.get(name).copied()
    }

    pub fn name_of(&self, id: SourceId) -> String {
        self.source(id).map_or_else(|| id.to_string(), |source| source.name.clone())
    }

    /// Everything declared, for those who check and show it.
    pub fn rows(&self) -> Vec<(SourceRow, Arc<Source>, Option<SourceHealth>)> {
        let known = self.known.load();
        let one = |entry: &Entry| (entry.row.clone(), entry.source.clone(), entry.health.clone());
        let mut rows: Vec<_> = known.sources.values().map(one).collect();
        rows.sort_by_key(|(row, ..)| row.id);
        rows
    }

    /// Mail goes by other pools than the default one.
    pub fn has_pools(&self) -> bool {
        let tables = &self.known.load().tables;
        !tables.rules.is_empty() || !tables.own.is_empty() || self.is_rerouted()
    }

    /// Since the start mail was met that a person had sent to another pool.
    fn is_rerouted(&self) -> bool {
        self.has_rerouted.load(Ordering::Relaxed)
    }

    /// Mails of one flow may have different pools.
    pub fn divides_flows(&self) -> bool {
        let known = self.known.load();
        let divides = |rule: &PoolRule| {
            let PoolMatch { sender, recipient, tag, credential, .. } = &rule.matches;
            sender.is_some() || recipient.is_some() || tag.is_some() || credential.is_some()
        };
        self.is_rerouted() || known.tables.rules.iter().any(divides)
    }

    /// All that is declared, or what is used while nothing is.
    pub fn all(&self) -> Vec<Arc<Source>> {
        let known = self.known.load();
        if known.sources.is_empty() {
            return vec![self.system()];
        }
        let mut all: Vec<_> = known.sources.values().map(|entry| entry.source.clone()).collect();
        all.sort_by_key(|source| source.id);
        all
    }

    /// All that a person lets send: id, name, and whether it is another's service.
    pub fn senders(&self) -> Vec<(SourceId, String, bool)> {
        let known = self.known.load();
        let sends = |source: &Arc<Source>| {
            let row = known.sources.get(&source.id).map(|entry| entry.row.state);
            row.is_none_or(|state| state == SourceState::Active)
        };
        let sender = |source: Arc<Source>| (source.id, source.name.clone(), source.relay.is_some());
        self.all().into_iter().filter(sends).map(sender).collect()
    }

    /// In which pools each source stands.
    pub fn pools(&self) -> HashMap<SourceId, Vec<PoolId>> {
        let mut pools = HashMap::from([(SourceId::SYSTEM, vec![PoolId::DEFAULT])]);
        for member in &self.known.load().tables.members {
            pools.entry(member.source).or_default().push(member.pool);
        }
        pools
    }

    /// The pool that carries the mail.
    pub fn pool_of(&self, asked: &Asked<'_>) -> PoolId {
        let known = self.known.load();
        let tables = &known.tables;
        let named = |pool: PoolId| tables.pools.iter().find(|row| row.id == pool);
        // A pool that was removed since leaves the mail to the rules.
        let told = asked.delivery.pool.filter(|pool| named(*pool).is_some());
        if told.is_some() {
            self.has_rerouted.store(true, Ordering::Relaxed);
        }
        let owner = asked.delivery.message.organization;
        told.unwrap_or_else(|| known.pool_by(owner, |rule| matches(rule, asked)))
    }

    /// The pool that would carry mail that is only planned.
    pub fn pool_for(&self, planned: &Planned<'_>) -> PoolId {
        let known = self.known.load();
        known.pool_by(planned.organization, |rule| would_match(rule, planned))
    }

    pub fn pool_name(&self, pool: PoolId) -> String {
        let known = self.known.load();
        let row = known.tables.pools.iter().find(|row| row.id == pool);
        row.map_or_else(|| pool.to_string(), |row| row.name.clone())
    }

    /// Those of a pool whom a person and their checks let send, or of all pools, alike.
    pub fn able(&self, pool: Option<PoolId>) -> Vec<PoolMember> {
        let known = self.known.load();
        let alike =
            |source| PoolMember { pool: PoolId::DEFAULT, source, weight: 1, share_max: None };
        if known.sources.is_empty() {
            return vec![alike(SourceId::SYSTEM)];
        }
        let mut members: Vec<PoolMember> = match pool {
            Some(pool) => known.members.get(&pool).cloned().unwrap_or_default(),
            None => known.sources.keys().copied().map(alike).collect(),
        };
        let is_able = |source| {
            let entry = known.sources.get(&source);
            entry.is_some_and(|entry| matches!(self.bar(entry, false), None | Some(Bar::Unchecked)))
        };
        members.retain(|member| is_able(member.source));
        members.sort_by_key(|member| member.source);
        members
    }

    /// The sources of a pool as they stand now; `is_routed`: a static route leads the mail.
    pub fn candidates(
        &self,
        pool: PoolId,
        site: SiteId,
        is_routed: bool,
        now: Timestamp,
    ) -> Vec<Candidate> {
        let known = self.known.load();
        if known.sources.is_empty() {
            return vec![self.system_candidate(pool, now)];
        }
        let members = known.members.get(&pool).into_iter().flatten();
        let mut counts = self.counts.lock();
        counts.turn(now);
        let aside = self.aside.lock();
        let candidate = |member: &PoolMember| {
            let entry = known.sources.get(&member.source)?;
            let bar = self.bar_at(entry, (site, is_routed, now), &aside);
            Some(Candidate {
                source: member.source,
                tier: 0,
                weight: member.weight,
                share_max: member.share_max,
                sent: counts.of_all(pool, member.source),
                shared: counts.of(pool, member.source, StreamClass::Marketing),
                bar,
            })
        };
        members.filter_map(candidate).collect()
    }

    fn system_candidate(&self, pool: PoolId, now: Timestamp) -> Candidate {
        let mut counts = self.counts.lock();
        counts.turn(now);
        Candidate {
            source: SourceId::SYSTEM,
            tier: 0,
            weight: 1,
            share_max: None,
            sent: counts.of_all(pool, SourceId::SYSTEM),
            shared: 0,
            bar: None,
        }
    }

    /// Why a source may not send to a site, whatever limits say.
    pub fn barred(&self, source: SourceId, at: (SiteId, bool, Timestamp)) -> Option<Bar> {
        let known = self.known.load();
        let entry = known.sources.get(&source)?;
        self.bar_at(entry, at, &self.aside.lock())
    }

    fn bar_at(
        &self,
        entry: &Entry,
        (site, is_routed, now): (SiteId, bool, Timestamp),
        aside: &Aside,
    ) -> Option<Bar> {
        let set_aside = |site| aside.get(&(entry.row.id, site)).filter(|(until, _)| *until > now);
        match set_aside(Some(site)).or_else(|| set_aside(None)) {
            Some((until, reason)) => Some(Bar::SetAside { until: *until, reason: reason.clone() }),
            None => self.bar(entry, is_routed),
        }
    }

    /// Why a source may not send as long as nobody does anything about it.
    fn bar(&self, entry: &Entry, is_routed: bool) -> Option<Bar> {
        if entry.row.state == SourceState::Suspended {
            return Some(Bar::Suspended);
        }
        if let Some(fault) = &entry.fault {
            return Some(Bar::Red { findings: fault.clone() });
        }
        if is_routed && entry.row.kind.is_relay() {
            return Some(Bar::NotForRoutes);
        }
        if entry.row.is_overridden || !self.is_checked {
            return None;
        }
        match &entry.health {
            None => Some(Bar::Unchecked),
            Some(health) => match health.state {
                HealthState::Unknown => Some(Bar::Unchecked),
                HealthState::Red => Some(Bar::Red { findings: bad_findings(health) }),
                HealthState::Green | HealthState::Yellow => None,
            },
        }
    }

    /// A source carries so many mails of a pool.
    pub fn count(
        &self,
        pool: PoolId,
        carried: (SourceId, StreamClass),
        mails: u64,
        now: Timestamp,
    ) {
        let mut counts = self.counts.lock();
        counts.turn(now);
        counts.add(pool, carried, mails);
    }

    /// The source is not asked for a while: at this site, or anywhere.
    pub fn set_aside(&self, source: SourceId, site: Option<SiteId>, now: Timestamp, reason: &str) {
        let mut aside = self.aside.lock();
        if aside.len() >= SET_ASIDE_MAX {
            aside.clear();
        }
        aside.insert((source, site), (now + SET_ASIDE, reason.to_owned()));
    }

    /// A connection was made, or a host that was named did not let itself be connected to.
    pub fn connected(&self, source: SourceId, has_connected: bool, now: Timestamp) {
        let mut reach = self.reach.lock();
        if reach.len() >= REACH_MAX && !reach.contains_key(&source) {
            reach.clear();
        }
        let own = reach.entry(source).or_default();
        if has_connected {
            (own.reached_at, own.failures) = (Some(now), 0);
        } else {
            own.failures = own.failures.saturating_add(1);
            own.failed_at = Some(now);
        }
    }

    /// Whether the source gets out, by its own connections of the last two hours; None where these
    /// do not say it.
    pub fn reached(&self, source: SourceId, now: Timestamp) -> Option<bool> {
        let own = self.reach.lock().get(&source).cloned()?;
        let is_fresh = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) < REACH_WINDOW);
        if is_fresh(own.reached_at) {
            return Some(true);
        }
        (is_fresh(own.failed_at) && own.failures >= FAILURES_MIN).then_some(false)
    }

    pub fn take_back(&self, source: SourceId, site: Option<SiteId>) {
        self.aside.lock().remove(&(source, site));
    }

    pub fn system(&self) -> Arc<Source> {
        self.system.clone()
    }
}

/// What is definitely wrong, in a few words.
pub fn bad_findings(health: &SourceHealth) -> String {
    let bad = health.findings.iter().filter(|finding| finding.verdict == Verdict::Bad);
    bad.map(|finding| finding.text.as_str()).collect::<Vec<_>>().join("; ")
}

impl Known {
    /// By the first rule that matches, or else the organization's own.
    fn pool_by(&self, owner: OrganizationId, matches: impl Fn(&PoolMatch) -> bool) -> PoolId {
        let ruled = self.tables.rules.iter().find(|rule| matches(&rule.matches));
        let own = || self.tables.own.iter().find(|(id, _)| *id == owner).map(|(_, pool)| *pool);
        ruled.map(|rule| rule.pool).or_else(own).unwrap_or(PoolId::DEFAULT)
    }

    fn of(tables: SourceTables, secrets: &HashMap<String, String>) -> Known {
        let health: HashMap<SourceId, SourceHealth> = tables.health.iter().cloned().collect();
        let entry = |row: &SourceRow| {
            let (source, fault) = built(row, secrets);
            let health = health.get(&row.id).cloned();
            (row.id, Entry { row: row.clone(), source: Arc::new(source), health, fault })
        };
        let sources = tables.sources.iter().map(entry).collect();
        let names = tables.sources.iter().map(|row| (row.name.clone(), row.id)).collect();
        let mut members: HashMap<PoolId, Vec<PoolMember>> = HashMap::new();
        for member in &tables.members {
            members.entry(member.pool).or_default().push(*member);
        }
        Known { tables, sources, names, members }
    }
}

/// A source as `deliver` wants it, and what keeps it from being one.
fn built(row: &SourceRow, secrets: &HashMap<String, String>) -> (Source, Option<String>) {
    let mut source =
        Source { id: row.id, name: row.name.clone(), ehlo: row.ehlo.clone(), ..Source::default() };
    let mut fault = None;
    match &row.kind {
        SourceKind::Address { bind, .. } => {
            source.bind_v4 = bind.iter().find_map(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            });
            source.bind_v6 = bind.iter().find_map(|address| match address {
                IpAddr::V6(address) => Some(*address),
                IpAddr::V4(_) => None,
            });
        }
        SourceKind::Relay(relay) => {
            let auth = auth_of(relay, secrets.get(&row.name)).unwrap_or_else(|why| {
                fault = Some(why);
                None
            });
            let (host, port, tls) = (relay.host.clone(), relay.port, relay.tls);
            source.relay = Some(Arc::new(Relay { host, port, tls, auth }));
        }
    }
    (source, fault)
}

/// How to sign in at a relay; `given`: the secret that stands in the settings.
fn auth_of(relay: &RelayKind, given: Option<&String>) -> Result<Option<Arc<RelayAuth>>, String> {
    let Some(mechanism) = relay.mechanism else { return Ok(None) };
    let secret = match (&relay.secret_file, given) {
        (Some(file), _) => secret_of(file)?,
        (None, Some(secret)) => secret.clone(),
        (None, None) => return Err("no secret is given for the relay".to_owned()),
    };
    Ok(Some(Arc::new(RelayAuth { mechanism, user: relay.user.clone(), secret })))
}

/// What of a source that is to be declared is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub field: &'static str,
    pub why: String,
}

/// Whether it could send from this host, as far as nobody else has to be asked.
pub fn validate(ehlo: &str, kind: &SourceKind) -> Result<(), Fault> {
    let row = SourceRow {
        id: SourceId::SYSTEM,
        name: String::new(),
        origin: SourceOrigin::Admin,
        state: SourceState::Active,
        ehlo: ehlo.to_owned(),
        kind: kind.clone(),
        is_overridden: false,
        created_at: Timestamp(0),
    };
    let (source, _) = built(&row, &HashMap::new());
    source.validate().map_err(|fault| Fault {
        field: match fault {
            SourceFault::NotPlumbed(..) => "address",
            SourceFault::NoName(_) => "ehlo",
            SourceFault::NoHost => "relay.host",
        },
        why: fault.to_string(),
    })
}

/// One line of a file.
pub fn secret_of(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|why| format!("{}: {why}", file.display()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || secret.len() > SECRET_BYTES_MAX || secret.contains(['\r', '\n', '\0']) {
        return Err(format!("{}: holds no secret of one line", file.display()));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::ready::tests::{claimed, message};

    fn row(id: i64) -> SourceRow {
        SourceRow {
            id: SourceId(id),
            name: format!("s{id}"),
            origin: SourceOrigin::Admin,
            state: SourceState::Active,
            ehlo: "mail.example".into(),
            kind: SourceKind::Address {
                bind: vec!["127.0.0.9".parse().expect("lawful")],
                public: vec![],
            },
            is_overridden: false,
            created_at: Timestamp(0),
        }
    }

    fn tables() -> SourceTables {
        let pool = |id, name: &str| PoolRow {
            id: PoolId(id),
            name: name.into(),
            created_at: Timestamp(0),
        };
        let member = |pool, source| PoolMember {
            pool: PoolId(pool),
            source: SourceId(source),
            weight: 1,
            share_max: None,
        };
        let health = |id, state| {
            let findings = vec![Finding {
                check: Check::Plumbed,
                verdict: Verdict::Bad,
                text: "not of this host".into(),
                bad_since: None,
            }];
            let at = Timestamp(0);
            (SourceId(id), SourceHealth { state, since: at, checked_at: at, findings })
        };
        SourceTables {
            sources: (1..=4).map(row).collect(),
            health: vec![health(1, HealthState::Green), health(2, HealthState::Red)],
            pools: vec![pool(1, "default"), pool(2, "marketing"), pool(3, "empty")],
            members: vec![member(1, 1), member(1, 2), member(1, 3), member(2, 3)],
            rules: Vec::new(),
            own: Vec::new(),
        }
    }

    fn sources(tables: SourceTables, is_checked: bool) -> Sources {
        Sources::new(tables, "host.example", HashMap::new(), is_checked)
    }

    fn bars(sources: &Sources, pool: i64) -> Vec<Option<Bar>> {
        let candidates = sources.candidates(PoolId(pool), SiteId(5), false, Timestamp(0));
        candidates.into_iter().map(|one| one.bar).collect()
    }

    #[test]
    fn a_source_sends_once_its_checks_let_it_or_a_person_does() {
        let red = || Some(Bar::Red { findings: "not of this host".into() });
        assert_eq!(bars(&sources(tables(), true), 1), [None, red(), Some(Bar::Unchecked)]);
        let mut changed = tables();
        changed.sources[1].is_overridden = true;
        changed.sources[2].is_overridden = true;
        changed.sources[2].state = SourceState::Suspended;
        assert_eq!(bars(&sources(changed, true), 1), [None, None, Some(Bar::Suspended)]);
        assert_eq!(bars(&sources(tables(), false), 1), [None, None, None]);
    }

    #[test]
    fn a_pool_without_sources_has_no_candidates_and_without_any_source_there_is_the_system() {
        assert!(bars(&sources(tables(), true), 3).is_empty());
        let none = sources(SourceTables::default(), true);
        let all = none.candidates(PoolId::DEFAULT, SiteId(5), true, Timestamp(0));
        assert_eq!(all.iter().map(|one| one.source).collect::<Vec<_>>(), [SourceId::SYSTEM]);
        let source = none.source(SourceId::SYSTEM).expect("is there");
        assert_eq!((source.name.as_str(), source.ehlo.as_str()), ("default", "host.example"));
    }

    #[test]
    fn who_could_not_connect_is_left_alone_there_and_nowhere_else() {
        let sources = sources(tables(), false);
        let now = Timestamp(0);
        sources.set_aside(SourceId(1), Some(SiteId(5)), now, "no route");
        sources.set_aside(SourceId(2), None, now, "relay is down");
        let barred = |site, now| -> Vec<bool> {
            let all = sources.candidates(PoolId(1), SiteId(site), false, now);
            all.iter().map(|one| one.bar.is_some()).collect()
        };
        assert_eq!(barred(5, now), [true, true, false]);
        assert_eq!(barred(6, now), [false, true, false]);
        assert_eq!(barred(5, now + SET_ASIDE), [false, false, false]);
    }

    #[test]
    fn the_way_out_is_open_after_a_connection_and_shut_after_many_failures() {
        let sources = sources(tables(), false);
        let (source, at) = (SourceId(1), |minutes: i64| Timestamp::from_seconds(minutes * 60));
        assert_eq!(sources.reached(source, at(0)), None);
        for _ in 1..FAILURES_MIN {
            sources.connected(source, false, at(1));
        }
        assert_eq!(sources.reached(source, at(2)), None);
        sources.connected(source, false, at(3));
        assert_eq!(sources.reached(source, at(4)), Some(false));
        sources.connected(source, true, at(5));
        assert_eq!(sources.reached(source, at(124)), Some(true));
        assert_eq!(sources.reached(source, at(126)), None);
    }

    #[test]
    fn counts_begin_anew_each_hour_and_survive_a_change_of_the_tables() {
        let sources = sources(tables(), false);
        let at = |minutes: i64| Timestamp::from_seconds(minutes * 60);
        let carried = (SourceId(1), StreamClass::Marketing);
        sources.count(PoolId(1), carried, 7, at(10));
        sources.replace(tables());
        let sent = |now| sources.candidates(PoolId(1), SiteId(5), false, now)[0].sent;
        assert_eq!((sent(at(59)), sent(at(60))), (7, 0));
        assert_eq!(crate::schedule::pick::window_end(at(59)), at(60));
    }

    #[test]
    fn the_first_rule_that_matches_says_the_pool() {
        let mut tables = tables();
        let rule = |position, pool, matches| PoolRule {
            id: PoolRuleId(position),
            position,
            pool: PoolId(pool),
            matches,
        };
        let marketing = PoolMatch {
            stream: Some(StreamId(2)),
            operator: Some(OperatorId(9)),
            ..PoolMatch::default()
        };
        let to = PoolMatch { recipient: Some("x.example".into()), ..PoolMatch::default() };
        let from = PoolMatch { sender: Some("Sender.Example".into()), ..PoolMatch::default() };
        let person = PoolMatch { recipient: Some("vip@w.example".into()), ..PoolMatch::default() };
        tables.rules =
            vec![rule(1, 2, marketing), rule(2, 3, to), rule(3, 2, from), rule(4, 3, person)];
        let sources = sources(tables, false);
        let pool = |rank, recipient: &str, operator| {
            let mail = claimed(&message(1, 1, rank), recipient);
            let asked = Asked { delivery: &mail.delivery, operator: OperatorId(operator) };
            sources.pool_name(sources.pool_of(&asked))
        };
        assert_eq!(pool(1, "a@x.example", 9), "marketing");
        assert_eq!(pool(1, "a@x.example", 8), "empty");
        assert_eq!(pool(0, "a@y.example", 9), "default");
        assert_eq!(
            (pool(0, "vip@w.example", 9), pool(0, "a@w.example", 9)),
            ("empty".into(), "default".into())
        );
    }

    #[test]
    fn a_persons_word_comes_before_rules_and_the_pool_of_an_organization_after_them() {
        let own = vec![(OrganizationId(1), PoolId(2))];
        let sources = sources(SourceTables { own, ..tables() }, false);
        let mut mail = claimed(&message(1, 1, 0), "a@y.example");
        let name = |mail: &crate::queue::Claimed| {
            sources.pool_of(&Asked { delivery: &mail.delivery, operator: OperatorId(9) }).0
        };
        assert_eq!(name(&mail), 2);
        mail.delivery.pool = Some(PoolId(3));
        assert!(!sources.divides_flows());
        assert_eq!(name(&mail), 3);
        assert!(sources.divides_flows() && sources.has_pools());
        mail.delivery.pool = Some(PoolId(77));
        assert_eq!(name(&mail), 2, "a pool that is gone is no word");
    }
}
