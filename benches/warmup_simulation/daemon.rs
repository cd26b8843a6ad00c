//! The same sender at a hundredth of his volume, through the whole daemon: submission, ledger,
//! lanes, SMTP to hosts that answer as the model says, the controller, the ledger again.
//!
//! Owns:       the run's clock, the mails of each day, and what is counted of them.
//! Promises:   what the daemon decides by, it learnt from the hosts' replies; but for complaints,
//!             which are handed to its controller as its reader of reports would do it.
//! Knows not:  what the hosts tolerate.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad::app::App;
use postroad::clock::Clock;
use postroad::config::{RelaySettings, Settings, SourceSettings, Trusted};
use postroad::model::*;
use postroad::schedule::controller::Mailing;
use postroad::schedule::forecast::Forecast;
use postroad::schedule::governor::book::Complained;
use postroad::schedule::warmup::course::Course;
use postroad::schedule::warmup::plan::Plan;
use postroad::store::{LimitRow, Location, SourceChange, Store};
use postroad::wire::network::Network;
use postroad::world::dns::DnsServer;
use postroad::world::tolerance::Model;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::hosts::{Ends, Hosts, Tally, domain_of, name_of, relay_address, source_address};

const STEP: Duration = Duration::from_secs(60);
const STEPS_A_DAY: u32 = 1440;
/// Mail comes in every so many steps.
const SUBMITS_EVERY: u32 = 10;
/// The day's campaign comes evenly over its first twenty hours, as in `run`.
const SUBMITS_UNTIL: u32 = STEPS_A_DAY * 20 / 24;
const DAYS_MAX: u32 = 40;
const FULL_SHARE: f64 = 0.97;
const HEADROOM: f64 = 1.3;
const KEPT_FREE: f64 = 1.2;
/// Of one mail.
const RECIPIENTS_MAX: usize = 500;
const RELAY: &str = "relay";
/// In wall time, before a step is over although something goes on.
const RESTS_WITHIN: Duration = Duration::from_secs(2);

struct Run {
    app: App,
    hosts: Arc<Hosts>,
    clock: Clock,
    client: Client,
    operators: Vec<OperatorId>,
    sources: Vec<SourceId>,
    mails: u64,
    /// What comes in parts of a mail, by operator: transactional, keen, other.
    due: Vec<[f64; 3]>,
    bad: f64,
    _dns: DnsServer,
    _directory: tempfile::TempDir,
}

/// Days to the full volume, and what one bad list costs; then one mailing beside its forecasts.
pub fn run(model: &Model, seed: u64, plan: &str) -> Result<(), String> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = threads.worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|why| why.to_string())?;
    let mut small = model.clone();
    small.sender.wanted /= 100;
    small.sender.relay_quota /= 100;
    runtime.block_on(async {
        println!("model {}, seed {seed}, 1:100, through the daemon, plan {plan}", small.name);
        warm_up(&small, seed, plan).await;
        mailing(&small, seed, plan).await;
    });
    Ok(())
}

async fn warm_up(model: &Model, seed: u64, plan: &str) {
    let mut run = Run::start(model, seed, plan, true).await;
    let (mut full_on, mut unwelcome, mut delayed) = (None, 0, 0);
    let mut day = 0;
    while day < DAYS_MAX && full_on.is_none_or(|full| day < full + 7) {
        day += 1;
        let told = run.day(model.sender.invalid, false).await;
        unwelcome += told.tally.unwelcome;
        delayed += told.delayed;
        if told.is_full(model) && full_on.is_none() {
            full_on = Some(day);
        }
    }
    let lost = match full_on {
        Some(_) => Some(run.recovery(model).await),
        None => None,
    };
    println!(
        "| way | days to full volume | put off or refused for reputation | \
              transactional mails delayed | days lost after a bad list |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let days = |days: Option<u32>| days.map_or("never".to_owned(), |days| days.to_string());
    println!("| the daemon | {} | {unwelcome} | {delayed} | {} |", days(full_on), days(lost));
    run.app.stop().await.expect("it stops");
}

/// One mailing on cold sources, without a relay: when it is told to be done, and when it is.
async fn mailing(model: &Model, seed: u64, plan: &str) {
    let mut run = Run::start(model, seed, plan, false).await;
    let count = model.sender.wanted as f64 * 2.0;
    let audience: Vec<u64> = model.operator.iter().map(|one| (count * one.share) as u64).collect();
    let begun = run.clock.now();
    let at_start = run.forecast(&audience).await;
    run.submit_mailing(&audience).await;
    let left: HashMap<usize, u64> = audience.iter().copied().enumerate().collect();
    let all: u64 = audience.iter().sum();
    let mut ends = Ends::of(left);
    let mut half_way = None;
    for _ in 0..STEPS_A_DAY * DAYS_MAX {
        let tally = run.step().await;
        ends.note(&tally, run.clock.now());
        if ends.left() <= all / 2 && half_way.is_none() {
            let waiting = run.waiting().await;
            half_way = Some((run.clock.now(), run.forecast(&waiting).await));
        }
        if ends.are_all() {
            break;
        }
    }
    println!("a mailing of {all} on cold sources: hours until it was done at each operator");
    println!(
        "| operator | recipients | told at the start | took | off | told half way | \
              took from there | off |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (at, one) in model.operator.iter().enumerate() {
        let took = |from: Timestamp| ends.at.get(&at).map(|end| end.since(from));
        let start = beside(&at_start, run.operators[at], begun, took(begun));
        let half = match &half_way {
            Some((from, told)) if took(*from).is_some_and(|left| !left.is_zero()) => {
                beside(told, run.operators[at], *from, took(*from))
            }
            _ => "done | done | –".to_owned(),
        };
        println!("| {} | {} | {start} | {half} |", one.name, audience[at]);
    }
    run.app.stop().await.expect("it stops");
}

fn beside(
    told: &Forecast,
    operator: OperatorId,
    from: Timestamp,
    took: Option<Duration>,
) -> String {
    let one = told.operators.iter().find(|one| one.operator == operator);
    let told = one.and_then(|one| one.ends_at).map(|end| end.since(from));
    let hours = |span: Option<Duration>| {
        span.map_or("never".to_owned(), |span| format!("{:.1}", span.as_secs_f64() / 3600.0))
    };
    let off = told.zip(took).map_or("–".to_owned(), |(told, took)| {
        let (told, took) = (told.as_secs_f64(), took.as_secs_f64());
        format!("{:+.1} %", 100.0 * (told - took) / took.max(1.0))
    });
    format!("{} | {} | {off}", hours(told), hours(took))
}

/// What a day came to.
struct Day {
    tally: Tally,
    delayed: u64,
    invalid: f64,
}

impl Day {
    fn is_full(&self, model: &Model) -> bool {
        let marketing = 1.0 - model.sender.transactional_share;
        let good = model.sender.wanted as f64 * (1.0 - self.invalid * marketing);
        self.tally.accepted as f64 >= FULL_SHARE * good
    }
}

impl Run {
    async fn start(model: &Model, seed: u64, plan: &str, has_relay: bool) -> Run {
        let directory = tempfile::tempdir().expect("a directory");
        let clock = Clock::standing(seed);
        let (hosts, zones) = Hosts::start(model.clone(), seed, clock.clone()).await;
        let dns = DnsServer::start(zones, 0).await.expect("a name server");
        let settings = settings(directory.path(), model, &hosts, &dns, has_relay);
        seed_ledger(&settings, &clock).await;
        // Days are those of the calendar, from midnight on.
        let passed = u64::try_from(clock.now().seconds().rem_euclid(86_400)).unwrap_or(0);
        clock.advance(Duration::from_secs(86_400 - passed));
        let app = App::start(settings, clock.clone()).await.expect("it starts");
        let client = Client::to(app.addresses().submission[0]).await;
        let (operators, due) = (Vec::new(), vec![[0.0; 3]; model.operator.len()]);
        let mut run = Run {
            app,
            hosts,
            clock,
            client,
            operators,
            sources: Vec::new(),
            mails: 0,
            due,
            bad: 0.0,
            _dns: dns,
            _directory: directory,
        };
        run.prepare(model, plan, has_relay).await;
        run
    }

    /// Sources that send although nobody has given them names, a relay with its quota, warm-ups;
    /// none of the shipped rates, which are kept in seconds while the run's time goes in minutes.
    async fn prepare(&mut self, model: &Model, plan: &str, has_relay: bool) {
        let (store, now) = (self.app.store().clone(), self.clock.now());
        for row in store.source_tables().await.expect("read").sources {
            store.change_sources(SourceChange::Override(row.id, true)).await.expect("written");
            if row.name == RELAY && has_relay {
                let usual = model.sender.wanted as f64 * model.sender.transactional_share;
                let quota = model.sender.relay_quota;
                let share = quota.saturating_sub((usual * KEPT_FREE) as u64);
                let rows = [(None, quota), (Some(StreamClass::Marketing), share)];
                let rows = rows.map(|(class, value)| relay_limit(row.id, class, value, now));
                store.put_limits(rows.to_vec(), &[]).await.expect("written");
            } else {
                self.sources.push(row.id);
            }
        }
        let mut shipped = store.limits().await.expect("read");
        shipped.retain(|row| row.limit.origin == Origin::Pack && row.name.is_some());
        shipped.retain(|row| matches!(row.limit.scope.to, ToScope::Operator(_)));
        shipped.iter_mut().for_each(|row| row.limit.expires_at = Some(now));
        store.put_limits(shipped, &[]).await.expect("written");
        self.app.schedule().reread_sources().await.expect("taken");
        let known = store.operators().await.expect("read");
        let id = |name: &str| known.iter().find(|row| row.name == name).expect("it ships").id;
        self.operators = model.operator.iter().map(|one| id(name_of(&one.name))).collect();
        let mut courses = Vec::new();
        for source in &self.sources {
            for (operator, one) in self.operators.iter().zip(&model.operator) {
                let even = model.sender.wanted as f64 * one.share / self.sources.len() as f64;
                let target = ((even * HEADROOM) as u64).max(1);
                let plan = Plan::named(plan).expect("it ships");
                let course = Course::new(plan, &one.name, target, Default::default());
                courses.push(((WarmSubject::Source(*source), *operator), course.expect("lawful")));
            }
        }
        self.app.schedule().controller().start(courses, None).await.expect("begun");
        self.look().await;
    }

    async fn look(&self) {
        let schedule = self.app.schedule();
        schedule.controller().look().await.expect("written");
        if schedule.controller().has_opened() {
            schedule.reload_limits().await.expect("in force");
        }
    }

    /// A minute passes, and all that may be sent in it is.
    async fn step(&mut self) -> Tally {
        self.clock.advance(STEP);
        self.look().await;
        self.rest().await;
        let tally = self.hosts.take();
        for (source, operator, count) in &tally.complaints {
            let (source, operator) = (self.sources[*source], self.operators[*operator]);
            self.app.schedule().controller().complain(&Complained {
                source: Some(source),
                operator,
                campaign: None,
                sending_domain: None,
                count: *count,
            });
        }
        tally
    }

    async fn rest(&self) {
        let (started, mut quiet) = (Instant::now(), 0);
        while quiet < 3 && started.elapsed() < RESTS_WITHIN {
            tokio::time::sleep(Duration::from_micros(700)).await;
            quiet = if self.app.schedule().is_idle() { quiet + 1 } else { 0 };
        }
    }

    async fn day(&mut self, invalid: f64, is_angry: bool) -> Day {
        let end = self.clock.now() + STEP * STEPS_A_DAY;
        let mut day = Day { tally: Tally::default(), delayed: 0, invalid };
        for step in 0..STEPS_A_DAY {
            let mut urgent = Vec::new();
            if step.is_multiple_of(SUBMITS_EVERY) {
                urgent = self.submit(step, invalid, is_angry, end).await;
            }
            let tally = self.step().await;
            // What is not taken in the minute in which it came in is delayed.
            day.delayed += urgent.iter().filter(|one| !tally.urgent.contains(*one)).count() as u64;
            day.tally.accepted += tally.accepted;
            day.tally.invalid += tally.invalid;
            day.tally.unwelcome += tally.unwelcome;
            day.tally.slowed += tally.slowed;
        }
        if std::env::var_os("POSTROAD_WARMUP_DAYS").is_some() {
            let Tally { accepted, invalid, unwelcome, slowed, .. } = &day.tally;
            eprintln!(
                "  accepted {accepted} invalid {invalid} put off {unwelcome} slowed {slowed} \
                       delayed {}",
                day.delayed
            );
        }
        day
    }

    /// The day of a bad list, and the days until one is full again.
    async fn recovery(&mut self, model: &Model) -> u32 {
        self.day(model.incident.invalid, true).await;
        for days in 1..DAYS_MAX {
            if self.day(model.sender.invalid, false).await.is_full(model) {
                return days;
            }
        }
        DAYS_MAX
    }

    /// The mails of ten minutes. Returns the transactional ones.
    async fn submit(
        &mut self,
        step: u32,
        invalid: f64,
        is_angry: bool,
        end: Timestamp,
    ) -> Vec<String> {
        let sender = self.hosts.model.sender.clone();
        let (mut urgent, mut bulk) = (Vec::new(), Vec::new());
        for (at, one) in self.hosts.model.operator.clone().iter().enumerate() {
            let domain = domain_of(&one.name);
            let wanted = sender.wanted as f64 * one.share;
            let parts = f64::from(STEPS_A_DAY / SUBMITS_EVERY);
            let of_day = wanted * (1.0 - sender.transactional_share)
                / f64::from(SUBMITS_UNTIL / SUBMITS_EVERY);
            let of_day = if step < SUBMITS_UNTIL { of_day } else { 0.0 };
            let shares = [
                ("urgent", wanted * sender.transactional_share / parts),
                ("keen", of_day * sender.engaged_share),
                ("some", of_day * (1.0 - sender.engaged_share)),
            ];
            for (kind, (name, more)) in shares.into_iter().enumerate() {
                self.due[at][kind] += more;
                while self.due[at][kind] >= 1.0 {
                    self.due[at][kind] -= 1.0;
                    self.mails += 1;
                    let name = if kind > 0 { self.kind(name, invalid, is_angry) } else { name };
                    let to = format!("{name}-{}@{domain}", self.mails);
                    if kind == 0 { urgent.push(to) } else { bulk.push(to) }
                }
            }
        }
        self.client.submit("transactional", &urgent, None).await;
        self.client.submit("marketing", &bulk, Some(end)).await;
        urgent
    }

    fn kind(&mut self, name: &'static str, invalid: f64, is_angry: bool) -> &'static str {
        self.bad += invalid;
        if self.bad >= 1.0 {
            self.bad -= 1.0;
            return "bad";
        }
        if is_angry { "angry" } else { name }
    }

    async fn submit_mailing(&mut self, audience: &[u64]) {
        let invalid = self.hosts.model.sender.invalid;
        for (at, one) in self.hosts.model.operator.clone().iter().enumerate() {
            let mut recipients = Vec::new();
            for _ in 0..audience[at] {
                self.mails += 1;
                let kind = self.kind("some", invalid, false);
                recipients.push(format!("{kind}-{}@{}", self.mails, domain_of(&one.name)));
            }
            for part in recipients.chunks(RECIPIENTS_MAX) {
                self.client.submit("marketing", part, None).await;
            }
        }
    }

    async fn waiting(&self) -> Vec<u64> {
        let rows = self.app.store().waiting_by_operator().await.expect("counted");
        let rows: HashMap<OperatorId, u64> = rows.into_iter().collect();
        self.operators.iter().map(|id| rows.get(id).copied().unwrap_or(0)).collect()
    }

    async fn forecast(&self, audience: &[u64]) -> Forecast {
        let schedule = self.app.schedule();
        let audience: BTreeMap<OperatorId, u64> =
            self.operators.iter().copied().zip(audience.iter().copied()).collect();
        let pool = schedule.sources().able(None);
        let mailing = Mailing { audience, pool, ..Mailing::default() };
        let told = schedule.controller().forecast(mailing).await;
        told.expect("no fault").expect("there are sources").0
    }
}

fn relay_limit(
    relay: SourceId,
    class: Option<StreamClass>,
    value: u64,
    created_at: Timestamp,
) -> LimitRow {
    let (from, to) = (FromScope::Source(relay), ToScope::Anywhere);
    let limit = Limit {
        id: LimitId(0),
        scope: LimitScope { from, to, who: WhoScope::Everybody, class },
        metric: Metric::Messages,
        value,
        window: Some(Duration::from_secs(86_400)),
        pace: Pace::Fixed,
        origin: Origin::Admin,
        reason: "the relay's quota".into(),
        expires_at: None,
        pinned: true,
    };
    LimitRow { limit, name: None, created_at }
}

fn settings(
    directory: &Path,
    model: &Model,
    hosts: &Hosts,
    dns: &DnsServer,
    has_relay: bool,
) -> Settings {
    let loopback = Network::parse("127.0.0.0/8").expect("a network");
    let mut settings = Settings::default();
    settings.node.host_name = "sender.test".to_owned();
    settings.node.data_dir = directory.join("queue");
    settings.node.dkim_dir = directory.join("dkim-keys");
    settings.spool.free_bytes_min = 1 << 20;
    settings.smtp.submission = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    settings.smtp.submissions = Vec::new();
    settings.http.listen = Vec::new();
    settings.delivery.mx_port = hosts.port;
    settings.delivery.allowed_networks = vec![loopback];
    settings.dns.servers = vec![dns.address()];
    settings.trusted = vec![Trusted { network: loopback, credential: "bench".to_owned() }];
    let own = |number: usize| SourceSettings {
        name: format!("ip-{}", number + 1),
        address: vec![source_address(number).into()],
        ..SourceSettings::default()
    };
    settings.source = (0..model.sender.sources).map(own).collect();
    if has_relay {
        let host = relay_address().to_string();
        let relay = RelaySettings { host, port: hosts.port, tls: TlsMode::None, auth: None };
        settings.source.push(SourceSettings {
            name: RELAY.to_owned(),
            relay: Some(relay),
            ..SourceSettings::default()
        });
    }
    settings
}

async fn seed_ledger(settings: &Settings, clock: &Clock) {
    std::fs::create_dir_all(&settings.node.data_dir).expect("a directory");
    let location = Location::Sqlite(settings.node.data_dir.clone());
    let store = Store::open(&location, 1, clock.clone()).await.expect("a ledger");
    let domain = Domain::parse("sender.test").expect("lawful");
    store.add_domain(OrganizationId::FIRST, &domain).await.expect("a domain");
    let (_, hash) = postroad::auth::new_secret();
    let added = store.add_credential(OrganizationId::FIRST, "bench", &hash, StreamId(1)).await;
    added.expect("a credential");
    store.close().await;
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn to(server: SocketAddr) -> Client {
        let stream = TcpStream::connect(server).await.expect("it listens");
        stream.set_nodelay(true).expect("set");
        let mut client = Client(BufReader::new(stream));
        client.expect(1).await;
        client.say("EHLO client.test\r\n", 1).await;
        client
    }

    /// One mail to all of them.
    async fn submit(&mut self, stream: &str, recipients: &[String], not_after: Option<Timestamp>) {
        if recipients.is_empty() {
            return;
        }
        let mut commands = "MAIL FROM:<sender@sender.test>\r\n".to_owned();
        for recipient in recipients {
            commands += &format!("RCPT TO:<{recipient}>\r\n");
        }
        self.say(&(commands + "DATA\r\n"), recipients.len() + 2).await;
        let end = not_after.map(|end| format!("X-Postroad-Not-After: {end}\r\n"));
        let mail = format!(
            "From: <sender@sender.test>\r\nSubject: news\r\nX-Postroad-Stream: {stream}\r\n{}\r\n\
             hello\r\n.\r\n",
            end.unwrap_or_default()
        );
        self.say(&mail, 1).await;
    }

    async fn say(&mut self, text: &str, answers: usize) {
        self.0.get_mut().write_all(text.as_bytes()).await.expect("written");
        self.expect(answers).await;
    }

    async fn expect(&mut self, answers: usize) {
        for _ in 0..answers {
            let mut line = String::new();
            while line.as_bytes().get(3) != Some(&b' ') {
                line.clear();
                self.0.read_line(&mut line).await.expect("an answer");
                assert!(line.starts_with(['2', '3']), "{line}");
            }
        }
    }
}
