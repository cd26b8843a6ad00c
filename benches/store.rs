//! What a mail costs in the ledger: CPU of the whole process for accept and settle.
//!
//!   cargo run --release --example store_bench [-- WAITING [POSTGRES_URL]]
//!
//! Prints microseconds of user and system time a mail, at 50 and 1,000 submitters at once, and
//! the octets the process wrote to disk; with WAITING deliveries lying in 1,000 sites before.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postroad::clock::Clock;
use postroad::model::*;
use postroad::store::*;

const MAILS: usize = 40_000;
const WINDOW: usize = 2_000;
const CLAIMED: usize = 8;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let waiting = std::env::args().nth(1).map_or(0, |text| text.parse().expect("a number"));
    let location = match std::env::args().nth(2) {
        Some(url) => Location::Postgres(url),
        None => Location::Sqlite(directory.path().to_owned()),
    };
    let clock = Clock::system();
    let store = Store::open(&location, 1, clock.clone()).await.expect("the store opens");
    fill(&store, &clock, waiting).await;
    lone_accepts(&store, &clock).await;
    queue_reads(&store, &clock).await;
    for submitters in [50, 1000] {
        steady(&store, &clock, submitters).await;
    }
    let census = store.census().await.expect("a census");
    println!("{census:?}");
    store.close().await;
}

/// Mail that comes and goes: a window of it waits at any time.
async fn steady(store: &Store, clock: &Clock, at_once: usize) {
    let (mut accepting, mut settling) = (Usage::default(), Usage::default());
    for _ in 0..MAILS / WINDOW {
        let mut mails = Vec::with_capacity(WINDOW);
        for _ in 0..WINDOW {
            mails.push(mail(store, clock).await);
        }
        let ids: Vec<DeliveryId> = mails.iter().map(|mail| mail.deliveries[0].id).collect();
        let before = Usage::now();
        accept(store, mails, at_once).await;
        accepting.add(&before);
        let before = Usage::now();
        settle(store, clock, ids, at_once).await;
        settling.add(&before);
    }
    accepting.print(&format!("accept, {at_once} at once"));
    settling.print(&format!("settle, {at_once} at once"));
}

async fn fill(store: &Store, clock: &Clock, waiting: usize) {
    for _ in 0..waiting / WINDOW {
        let mut mails = Vec::with_capacity(WINDOW);
        for _ in 0..WINDOW {
            let mut mail = mail(store, clock).await;
            mail.deliveries[0].claimed = false;
            mails.push(mail);
        }
        accept(store, mails, 1000).await;
    }
    println!("{waiting} deliveries wait before it begins");
}

async fn queue_reads(store: &Store, clock: &Clock) {
    let started = Instant::now();
    let backlogs = store.backlogs().await.expect("backlogs");
    println!("backlogs of {} sites: {:?}", backlogs.len(), started.elapsed());
    // As many at each site, however many wait there; none twice.
    let (mut claims, mut moments) = (Vec::new(), Vec::new());
    for site in (1..=1000).map(SiteId) {
        let (started, wanted) = (Instant::now(), (clock.now(), CLAIMED));
        let claimed = store.claim(site, TakeOrder::Due, wanted, &[], &|_| false).await;
        let claimed = claimed.expect("a claim").deliveries;
        claims.push(started.elapsed());
        let taken: Vec<DeliveryId> = claimed.iter().map(|delivery| delivery.id).collect();
        let started = Instant::now();
        store.next_due(site, &taken, &|_| false).await.expect("a time");
        moments.push(started.elapsed());
    }
    claims.sort();
    moments.sort();
    println!("a claim of {CLAIMED}: p50 {:?}, p90 {:?}", claims[500], claims[900]);
    println!("the next due time: p50 {:?}, p90 {:?}", moments[500], moments[900]);
}

/// The latency of one client alone.
async fn lone_accepts(store: &Store, clock: &Clock) {
    let mut times = Vec::new();
    for _ in 0..200 {
        let mail = mail(store, clock).await;
        let started = Instant::now();
        store.enqueue(mail).await.expect("accepted");
        times.push(started.elapsed());
    }
    times.sort();
    println!("a lone accept: p50 {:?}, p99 {:?}", times[100], times[197]);
}

/// Each client takes the next mail when its last one is accepted, as clients do.
async fn accept(store: &Store, mails: Vec<Enqueue>, submitters: usize) {
    let mails = Arc::new(Mutex::new(VecDeque::from(mails)));
    let mut tasks = Vec::new();
    for _ in 0..submitters {
        let (mails, store) = (Arc::clone(&mails), store.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                let next = mails.lock().expect("no panic").pop_front();
                let Some(mail) = next else { break };
                store.enqueue(mail).await.expect("accepted");
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
}

async fn settle(store: &Store, clock: &Clock, ids: Vec<DeliveryId>, at_once: usize) {
    let ids = Arc::new(Mutex::new(VecDeque::from(ids)));
    let mut tasks = Vec::new();
    for _ in 0..at_once {
        let (ids, store, at) = (Arc::clone(&ids), store.clone(), clock.now());
        tasks.push(tokio::spawn(async move {
            loop {
                let next = ids.lock().expect("no panic").pop_front();
                let Some(delivery) = next else { break };
                let group = SettleGroup { settlements: vec![step(delivery, at)], report: None };
                store.settle(group).await.expect("settled");
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
}

fn step(delivery: DeliveryId, at: Timestamp) -> Settle {
    Settle {
        delivery,
        site: None,
        step: Step::Deliver,
        tries: 0,
        counted: true,
        due: at,
        text: "250 2.0.0 Ok: queued as 4Fz3Hk1qWzz9sXk".to_owned(),
        blame: None,
        answer_not_seen: false,
        delay_reported: false,
        fields: serde_json::json!({
            "source": "192.0.2.1", "host": "mx1.example.org", "address": "198.51.100.7",
            "tls": "TLSv1.3", "milliseconds": 113,
        }),
        pin: None,
        at,
    }
}

async fn mail(store: &Store, clock: &Clock) -> Enqueue {
    let id = store.message_id().await.expect("an id");
    let delivery = store.delivery_ids(1).await.expect("an id");
    let now = clock.now();
    let recipient = format!("someone{}@recipient{}.example", delivery.0, delivery.0 % 1000);
    let message = MessageRow {
        id,
        organization: OrganizationId::FIRST,
        stream: StreamId(1),
        credential: Some(CredentialId(1)),
        domain: Some(DomainId(1)),
        sender: ReversePath::parse("news@sender.example").expect("lawful"),
        eight_bit: false,
        smtputf8: false,
        dsn_return: None,
        dsn_envelope_id: None,
        message_id_header: format!("{id}.1763791200@mail.sender.example"),
        subject: "Your order has been shipped and will arrive soon".to_owned(),
        tag: None,
        metadata: None,
        idempotency_key: None,
        body: BodyRef { segment: SegmentId(1 + id.0 / 6000), offset: 4096, length: 10_240 },
        body_node: 1,
        accepted_at: now,
        due_at: now,
        expires_at: now + Duration::from_secs(4 * 86_400),
        rank: 0,
        tracking: None,
    };
    let delivery = NewDelivery {
        id: delivery,
        recipient: Recipient::new(recipient.parse().expect("lawful")),
        site: SiteId(1 + delivery.0 % 1000),
        claimed: true,
        contact: None,
        score: 0,
    };
    Enqueue { message, deliveries: vec![delivery], slice: None, line: None }
}

#[derive(Default)]
struct Usage {
    cpu: Duration,
    time: Duration,
    written: u64,
}

impl Usage {
    fn now() -> Usage {
        static STARTED: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let time = STARTED.get_or_init(Instant::now).elapsed();
        Usage { cpu: cpu_time(), time, written: octets_written() }
    }

    /// What was used since `before`.
    fn add(&mut self, before: &Usage) {
        let now = Usage::now();
        self.cpu += now.cpu - before.cpu;
        self.time += now.time - before.time;
        self.written += now.written - before.written;
    }

    fn print(&self, what: &str) {
        let mails = MAILS as f64;
        let cpu = self.cpu.as_secs_f64() * 1e6 / mails;
        let rate = mails / self.time.as_secs_f64();
        let kib = self.written as f64 / 1024.0 / mails;
        println!("{what}: {cpu:.1} µs CPU a mail, {rate:.0}/s, {kib:.2} KiB written a mail");
    }
}

/// User and system time of the process, threads that have ended included.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec to a place that holds one.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(answer, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn octets_written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").expect("/proc");
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).expect("write_bytes")
}
