//! What a long queue costs, and whether it stands in anybody's way: the daemon whole, in this
//! process, with a sink beside it. `benches/fairness` and `benches/depth` run it.
//!
//!   backlog fill DIRECTORY COUNT SITES RANK   puts mail of another organization into a ledger
//!   backlog wait DIRECTORY PROBES             mails one by one; from the `250` to MAIL FROM
//!   backlog hold DIRECTORY SECONDS            all of it is stopped by a limit: memory
//!   backlog drain DIRECTORY COUNT             all of it goes out: mails a second

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use postroad::app::App;
use postroad::clock::Clock;
use postroad::config::{Route, Settings, SourceSettings, Trusted};
use postroad::model::*;
use postroad::spool::{Spool, SpoolOptions};
use postroad::store::*;
use postroad::wire::network::Network;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the sink thinks about each mail, and how many connections it is given: its capacity.
const THINKS: Duration = Duration::from_millis(8);
const CONNECTIONS: u64 = 8;
/// The part of the sink's capacity that the backlog may use.
const LOAD: f64 = 0.7;
const BETWEEN_PROBES: Duration = Duration::from_millis(40);
const BATCH: usize = 2000;
/// One that no organization has: the installation's own stream has a limit of its own.
const BULK: StreamId = StreamId(1_000_000);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| -> u64 { text.parse().expect("a number") };
    match words[..] {
        ["fill", directory, count, sites, rank] => {
            fill(Path::new(directory), number(count), number(sites), number(rank)).await;
        }
        ["wait", directory, probes] => wait(Path::new(directory), number(probes)).await,
        ["hold", directory, seconds] => hold(Path::new(directory), number(seconds)).await,
        ["drain", directory, count] => drain(Path::new(directory), number(count)).await,
        _ => panic!("see the head of benches/backlog.rs"),
    }
}

// The queue.

async fn fill(directory: &Path, count: u64, sites: u64, rank: u64) {
    std::fs::create_dir_all(directory).expect("a directory");
    let options = SpoolOptions { segment_bytes: 64 << 20, free_bytes_min: 1 << 20 };
    let spool = Spool::open(&directory.join("spool"), options).expect("a spool");
    let text =
        format!("From: <sender@sender.test>\r\nSubject: bulk\r\n\r\n{}\r\n", "x".repeat(900));
    let body = spool.append(Bytes::from(text)).await.expect("a body");
    let clock = Clock::system();
    let location = Location::Sqlite(directory.to_owned());
    let store = Store::open(&location, 1, clock.clone()).await.expect("a ledger");
    let mut known = Vec::new();
    for number in 0..sites {
        // With one site it is the one of the route that `settings` has.
        let key = if sites == 1 { "route:sink".to_owned() } else { format!("mx:{number}.test") };
        let wish = OperatorWish { name: "tail".to_owned(), make: false };
        known.push(store.site(&key, &wish).await.expect("a site").site);
    }
    let mut left = count;
    while left > 0 {
        let part = left.min(BATCH as u64);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..part {
            let job = mail(&store, &clock, body, known[(number % sites) as usize], rank).await;
            let store = store.clone();
            tasks.spawn(async move { store.enqueue(job).await });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no panic").expect("accepted");
        }
        left -= part;
    }
    store.close().await;
    spool.close().await;
}

/// Of organization 2: marketing with rank 1, else another sender of the same kind.
async fn mail(store: &Store, clock: &Clock, body: BodyRef, site: SiteId, rank: u64) -> Enqueue {
    let id = store.message_id().await.expect("an id");
    let delivery = store.delivery_ids(1).await.expect("an id");
    let now = clock.now();
    let message = MessageRow {
        id,
        organization: OrganizationId(2),
        stream: BULK,
        credential: None,
        domain: None,
        sender: ReversePath::parse("bulk@sender.test").expect("lawful"),
        eight_bit: false,
        smtputf8: false,
        dsn_return: None,
        dsn_envelope_id: None,
        message_id_header: format!("{id}@sender.test"),
        subject: "bulk".to_owned(),
        tag: None,
        metadata: None,
        idempotency_key: None,
        body,
        body_node: 1,
        accepted_at: now,
        due_at: now,
        expires_at: now + Duration::from_secs(4 * 86_400),
        rank: rank as i64,
        tracking: None,
    };
    let recipient = Recipient::new(format!("r{delivery}@bulk.test").parse().expect("lawful"));
    let deliveries = vec![NewDelivery {
        id: delivery,
        recipient,
        site,
        claimed: false,
        contact: None,
        score: 0,
    }];
    Enqueue { message, deliveries, slice: None, line: None }
}

// The daemon.

fn settings(directory: &Path, sink: SocketAddr) -> Settings {
    let loopback = Network::parse("127.0.0.0/8").expect("a network");
    let mut settings = Settings::default();
    settings.node.host_name = "relay.test".to_owned();
    settings.node.data_dir = directory.to_owned();
    settings.node.dkim_dir = directory.join("dkim-keys");
    settings.spool.free_bytes_min = 1 << 20;
    settings.smtp.submission = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    settings.smtp.submissions = Vec::new();
    settings.http.listen = Vec::new();
    settings.delivery.allowed_networks = vec![loopback];
    settings.trusted = vec![Trusted { network: loopback, credential: "bench".to_owned() }];
    settings.source = vec![SourceSettings {
        name: "only".to_owned(),
        address: vec!["127.0.0.1".parse().expect("an address")],
        ehlo: None,
        ..SourceSettings::default()
    }];
    settings.route = vec![Route {
        name: "sink".to_owned(),
        domains: vec!["*".to_owned()],
        host: Some(sink.ip().to_string()),
        port: Some(sink.port()),
        tls: Some(TlsMode::None),
        ..Route::default()
    }];
    settings
}

async fn seed(directory: &Path) {
    std::fs::create_dir_all(directory).expect("a directory");
    let location = Location::Sqlite(directory.to_owned());
    let store = Store::open(&location, 1, Clock::system()).await.expect("a ledger");
    let domain = Domain::parse("sender.test").expect("lawful");
    if store.domains().await.expect("read").is_empty() {
        store.add_domain(OrganizationId::FIRST, &domain).await.expect("a domain");
        let (_, hash) = postroad::auth::new_secret();
        let added = store.add_credential(OrganizationId::FIRST, "bench", &hash, StreamId(1)).await;
        added.expect("a credential");
    }
    store.close().await;
}

/// In the ledger before the daemon starts; in the place of those of an earlier run.
async fn limit(directory: &Path, rows: &[(Metric, u64, Option<Duration>, Option<StreamId>)]) {
    let location = Location::Sqlite(directory.to_owned());
    let store = Store::open(&location, 1, Clock::system()).await.expect("a ledger");
    let known = store.limits().await.expect("read");
    let own = |row: &&LimitRow| row.limit.reason == "backlog";
    let gone: Vec<LimitId> = known.iter().filter(own).map(|row| row.limit.id).collect();
    let row =
        |(metric, value, window, stream): &(Metric, u64, Option<Duration>, Option<StreamId>)| {
            let who = stream.map_or(WhoScope::Everybody, WhoScope::Stream);
            let (from, to) = (FromScope::Installation, ToScope::Anywhere);
            let limit = Limit {
                id: LimitId(0),
                scope: LimitScope { from, to, who, class: None },
                metric: *metric,
                value: *value,
                window: *window,
                pace: Pace::Fixed,
                origin: Origin::Admin,
                reason: "backlog".to_owned(),
                expires_at: None,
                pinned: false,
            };
            LimitRow { limit, name: None, created_at: Timestamp(0) }
        };
    store.put_limits(rows.iter().map(row).collect(), &gone).await.expect("written");
    store.close().await;
}

async fn daemon(directory: &Path, sink: &Sink) -> App {
    App::start(settings(directory, sink.address), Clock::system()).await.expect("it starts")
}

// The questions.

/// One mail after another, each from its `250` to the sink's MAIL FROM.
async fn wait(directory: &Path, probes: u64) {
    seed(directory).await;
    let capacity = CONNECTIONS as f64 / THINKS.as_secs_f64();
    let bulk = (capacity * LOAD) as u64;
    let second = Some(Duration::from_secs(1));
    limit(
        directory,
        &[
            (Metric::Connections, CONNECTIONS, None, None),
            (Metric::Messages, bulk, second, Some(BULK)),
        ],
    )
    .await;
    let sink = Sink::start(THINKS).await;
    let app = daemon(directory, &sink).await;
    let to = app.addresses().submission[0];
    let mut client = Client::to(to).await;
    // The first ones open the connections and warm the caches.
    for number in 0..20 {
        client.submit(&format!("warm{number}")).await;
        tokio::time::sleep(BETWEEN_PROBES).await;
    }
    let (before, started) = (sink.count(), Instant::now());
    let mut waits = Vec::new();
    for number in 0..probes {
        let name = format!("probe{number}");
        let accepted = client.submit(&name).await;
        let seen = sink.seen(&format!("{name}@sender.test")).await;
        waits.push(seen.saturating_duration_since(accepted));
        tokio::time::sleep(BETWEEN_PROBES).await;
    }
    let rate = (sink.count() - before) as f64 / started.elapsed().as_secs_f64();
    waits.sort();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "p50_ms {:.2} p99_ms {:.2} max_ms {:.2} sink_per_second {rate:.0} of {capacity:.0}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    app.stop().await.expect("it stops");
}

async fn hold(directory: &Path, seconds: u64) {
    seed(directory).await;
    let day = Some(Duration::from_secs(86_400));
    limit(directory, &[(Metric::Messages, 0, day, None)]).await;
    let sink = Sink::start(Duration::ZERO).await;
    let app = daemon(directory, &sink).await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let cpu = cpu_time();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = (cpu_time() - cpu).as_secs_f64() / 5.0;
    let (now, peak) = memory();
    println!("memory_mib {now} peak_mib {peak} idle_cpu_seconds_per_second {idle:.3}");
    assert_eq!(sink.count(), 0, "a limit stops all of it");
    app.stop().await.expect("it stops");
}

/// Mails a second, from the first to the `count`-th that the sink sees.
async fn drain(directory: &Path, count: u64) {
    seed(directory).await;
    limit(directory, &[]).await;
    let sink = Sink::start(Duration::ZERO).await;
    let cpu = cpu_time();
    let app = daemon(directory, &sink).await;
    while sink.count() < count / 10 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (first, started, cpu_before) = (sink.count(), Instant::now(), cpu_time());
    while sink.count() < count {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mails = (sink.count() - first) as f64;
    let rate = mails / started.elapsed().as_secs_f64();
    let spent = (cpu_time() - cpu_before).as_secs_f64() * 1e6 / mails;
    let start = (cpu_before - cpu).as_secs_f64();
    println!("per_second {rate:.0} cpu_us_per_mail {spent:.0} cpu_seconds_to_begin {start:.2}");
    app.stop().await.expect("it stops");
}

// Who hands in, and who takes.

struct Client(BufReader<TcpStream>);

impl Client {
    async fn to(server: SocketAddr) -> Client {
        let stream = TcpStream::connect(server).await.expect("it listens");
        stream.set_nodelay(true).expect("set");
        let mut client = Client(BufReader::new(stream));
        client.expect(2).await;
        client.say("EHLO client.test\r\n", 2).await;
        client
    }

    /// From `NAME@sender.test`; when it was accepted.
    async fn submit(&mut self, name: &str) -> Instant {
        self.say(&format!("MAIL FROM:<{name}@sender.test>\r\n"), 2).await;
        self.say(&format!("RCPT TO:<{name}@probe.test>\r\n"), 2).await;
        self.say("DATA\r\n", 3).await;
        let mail = "From: <sender@sender.test>\r\nSubject: probe\r\n\r\nprobe\r\n.\r\n";
        self.say(mail, 2).await;
        Instant::now()
    }

    async fn say(&mut self, text: &str, kind: u8) {
        self.0.get_mut().write_all(text.as_bytes()).await.expect("written");
        self.expect(kind).await;
    }

    async fn expect(&mut self, kind: u8) {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.expect("an answer");
            assert_eq!(line.as_bytes().first().copied(), Some(b'0' + kind), "{line}");
            if line.as_bytes().get(3) == Some(&b' ') {
                return;
            }
        }
    }
}

#[derive(Clone)]
struct Sink {
    address: SocketAddr,
    count: Arc<AtomicU64>,
    /// MAIL FROM of probes.
    seen: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Sink {
    async fn start(thinks: Duration) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let sink = Sink { address, count: Arc::default(), seen: Arc::default() };
        let own = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(own.clone(), stream, thinks));
            }
        });
        sink
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    async fn seen(&self, sender: &str) -> Instant {
        let started = Instant::now();
        loop {
            if let Some(at) = self.seen.lock().expect("no panic").remove(sender) {
                return at;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{sender} does not come");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn serve(sink: Sink, stream: TcpStream, thinks: Duration) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    let mut line = String::new();
    stream.get_mut().write_all(b"220 sink.test\r\n").await.ok()?;
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let answer: &[u8] = match line.get(..4)?.to_ascii_uppercase().as_str() {
            "EHLO" => b"250-sink.test\r\n250 PIPELINING\r\n",
            "MAIL" => {
                let sender = line.split(['<', '>']).nth(1)?.to_owned();
                if sender.starts_with("probe") {
                    sink.seen.lock().expect("no panic").insert(sender, Instant::now());
                }
                b"250 2.1.0 ok\r\n"
            }
            "DATA" => {
                stream.get_mut().write_all(b"354 go on\r\n").await.ok()?;
                while line != ".\r\n" {
                    line.clear();
                    if stream.read_line(&mut line).await.ok()? == 0 {
                        return None;
                    }
                }
                if !thinks.is_zero() {
                    tokio::time::sleep(thinks).await;
                }
                sink.count.fetch_add(1, Ordering::Relaxed);
                b"250 2.0.0 ok\r\n"
            }
            "QUIT" => {
                stream.get_mut().write_all(b"221 2.0.0 bye\r\n").await.ok()?;
                return Some(());
            }
            _ => b"250 2.0.0 ok\r\n",
        };
        stream.get_mut().write_all(answer).await.ok()?;
    }
}

/// Resident now and at most, in MiB: the daemon, its SQLite cache and the sink.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string(PathBuf::from("/proc/self/status")).expect("Linux");
    let of = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).expect("is there");
        line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0) / 1024
    };
    (of("VmRSS"), of("VmHWM"))
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec to a place that holds one.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(answer, 0);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
