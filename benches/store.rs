//! What a mail costs in the ledger: CPU of the whole process for accept and settle.
//!
//!   cargo run --release --example store_bench [-- POSTGRES_URL]
//!
//! Prints microseconds of user and system time a mail, at 50 and 1,000 submitters at once, and
//! the octets the process wrote to disk.

use std::time::{Duration, Instant};

use postroad::clock::Clock;
use postroad::model::*;
use postroad::store::*;

const MAILS: usize = 40_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let location = match std::env::args().nth(1) {
        Some(url) => Location::Postgres(url),
        None => Location::Sqlite(directory.path().to_owned()),
    };
    let clock = Clock::system();
    let store = Store::open(&location, 1, clock.clone()).await.expect("the store opens");
    lone_accepts(&store, &clock).await;
    for submitters in [50, 1000] {
        let mut mails = Vec::with_capacity(MAILS);
        for _ in 0..MAILS {
            mails.push(mail(&store, &clock).await);
        }
        let ids: Vec<DeliveryId> = mails.iter().map(|mail| mail.deliveries[0].id).collect();
        let before = Usage::now();
        accept(&store, mails, submitters).await;
        before.print(&format!("accept, {submitters} at once"), MAILS);
        let before = Usage::now();
        settle(&store, &clock, ids, submitters).await;
        before.print(&format!("settle, {submitters} at once"), MAILS);
    }
    let before = Usage::now();
    let census = store.census().await.expect("a census");
    println!("{census:?}");
    before.print("census", census.accepted as usize);
    store.close().await;
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

async fn accept(store: &Store, mut mails: Vec<Enqueue>, submitters: usize) {
    let mut tasks = Vec::new();
    while !mails.is_empty() {
        let rest = mails.len().saturating_sub(MAILS / submitters);
        let (part, store) = (mails.split_off(rest), store.clone());
        tasks.push(tokio::spawn(async move {
            for mail in part {
                store.enqueue(mail).await.expect("accepted");
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
}

async fn settle(store: &Store, clock: &Clock, ids: Vec<DeliveryId>, at_once: usize) {
    let mut tasks = Vec::new();
    for part in ids.chunks(MAILS / at_once) {
        let (part, store, at) = (part.to_vec(), store.clone(), clock.now());
        tasks.push(tokio::spawn(async move {
            for delivery in part {
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
    };
    let delivery = NewDelivery {
        id: delivery,
        recipient: Recipient::new(recipient.parse().expect("lawful")),
        site: SiteId(1 + delivery.0 % 1000),
        claimed: true,
    };
    Enqueue { message, deliveries: vec![delivery] }
}

struct Usage {
    cpu: Duration,
    started: Instant,
    written: u64,
}

impl Usage {
    fn now() -> Usage {
        Usage { cpu: cpu_time(), started: Instant::now(), written: octets_written() }
    }

    fn print(&self, what: &str, mails: usize) {
        let cpu = (cpu_time() - self.cpu).as_secs_f64() * 1e6 / mails as f64;
        let rate = mails as f64 / self.started.elapsed().as_secs_f64();
        let kib = (octets_written() - self.written) as f64 / 1024.0 / mails as f64;
        println!("{what}: {cpu:.1} µs CPU a mail, {rate:.0}/s, {kib:.2} KiB written a mail");
    }
}

fn cpu_time() -> Duration {
    // utime and stime of the process, threads that have ended included, in ticks of 10 ms.
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

fn octets_written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").expect("/proc");
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).expect("write_bytes")
}
