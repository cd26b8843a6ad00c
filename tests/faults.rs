//! Things that break around the whole daemon while mail flows: disk, database, clock, rows, and
//! ourselves.
//!
//! Each story counts what clients were promised and what arrived: nothing promised may be missing,
//! and the daemon heals by itself once the fault is over.

mod compaction;
pub mod means;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postroad::config::Settings;
use postroad::model::{State, TakeOrder, moment};
use postroad::store::Store;
use postroad::world::manners::{Deed, Phase};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::support::ledger::{Ledger, Manner, Sink, Submitter};
use crate::support::mx::FakeMx;
use crate::support::relay::{SENDER, TestRelay};
use crate::support::{until, until_told};
use means::*;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// That send at the same time.
const CLIENTS: usize = 4;
/// Time for everything to arrive once the fault is over.
const HEALING: Duration = Duration::from_secs(30);

/// A relay that sends everything to a sink with books, on a clock that runs.
struct Story {
    relay: TestRelay,
    ledger: Ledger,
    deferring: Arc<AtomicBool>,
    _sink: Sink,
    _running: Running,
    _mx: FakeMx,
}

impl Story {
    async fn begin(change: impl FnOnce(&mut Settings)) -> Story {
        let mx = FakeMx::accepting().await;
        let ledger = Ledger::default();
        let deferring = Arc::new(AtomicBool::new(false));
        let defers = deferring.clone();
        let sink = Sink::start(&ledger, LOOPBACK, move |count| {
            match defers.load(Ordering::Relaxed) || count % 20 == 19 {
                true => Manner::Defer,
                false => Manner::Accept,
            }
        });
        let sink = sink.await.expect("a sink");
        let relay = TestRelay::with(&mx, |settings| {
            route_all(settings, sink.address);
            retry_soon(settings);
            change(settings);
        })
        .await;
        let running = Running::of(mx.clock());
        Story { relay, ledger, deferring, _sink: sink, _running: running, _mx: mx }
    }

    fn clients(&self) -> Submitter {
        let mut clients =
            Submitter::new(&self.ledger, self.relay.submission(), SENDER, "books.test");
        clients.body_bytes = 8000;
        clients
    }

    /// Nothing promised is missing, damaged or doubled; the ledger adds up. `unsure`: mails that
    /// may arrive although their client was told to come again, since a database that goes away in
    /// the middle of a commit does not say whether it happened.
    async fn ends_well(&self, what: &str, unsure: usize) {
        let reckoning = self.ledger.settled_within(HEALING).await;
        println!(
            "{what}: {} acknowledged, {} arrived, {} refused, {} of them arrived all the same",
            reckoning.acknowledged,
            reckoning.arrived,
            reckoning.refused,
            reckoning.arrived_refused.len()
        );
        assert!(reckoning.acknowledged > 20, "{what}: {reckoning:#?}");
        assert_eq!(reckoning.lost, [], "{what}");
        assert_eq!(reckoning.damaged, [], "{what}");
        assert!(reckoning.doubled.is_empty(), "{what}: {:?}", reckoning.doubled);
        assert!(reckoning.arrived_refused.len() <= unsure, "{what}: {reckoning:#?}");
        self.relay.adds_up().await;
        assert_eq!(wrong_with(self.relay.settings()).await, Vec::<String>::new(), "{what}");
    }
}

/// A number below `bound` that differs from run to run, so that the fault comes at any point.
fn any_below(bound: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::from(now.expect("after 1970").subsec_nanos()).wrapping_mul(0x9E37_79B9) / 7 % bound
}

/// Each wait for a reply, however it ended, was short; refusals are temporary.
fn all_heard_soon(what: &str, probes: &[Probe]) -> BTreeMap<String, usize> {
    let mut replies: BTreeMap<String, usize> = BTreeMap::new();
    for probe in probes {
        let reply = probe.reply.clone().unwrap_or_else(|| panic!("{what}: no reply: {probe:?}"));
        assert!(probe.took < Duration::from_secs(20), "{what}: {probe:?}");
        assert!(reply.starts_with("250") || reply.starts_with('4'), "{what}: {probe:?}");
        *replies.entry(reply.chars().take(9).collect()).or_default() += 1;
    }
    let longest = probes.iter().map(|probe| probe.took).max().unwrap_or_default();
    println!("{what}: the longest wait for a reply was {longest:?}; {replies:?}");
    replies
}

// The disk.

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_clients_delivers_what_is_owed_and_heals_by_itself() {
    let Some(disk) = SmallDisk::mount(48) else {
        return skipped("a small disk cannot be mounted: root may");
    };
    let story = Story::begin(|settings| {
        settings.node.data_dir = disk.path.join("queue");
        settings.spool.free_bytes_min = 8 << 20;
    })
    .await;
    let clients = story.clients();
    let flow = tokio::spawn({
        let clients = clients.clone();
        async move { clients.run(CLIENTS, u64::MAX).await }
    });
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(300 + any_below(700))).await;
        story.deferring.store(true, Ordering::Relaxed);
        until("mails that wait", || story.ledger.reckon().lost.len() > 20).await;
        let arrived = story.ledger.reckon().arrived;
        let ballast = disk.fill();
        assert!(disk.free_bytes() < 4096, "{}", disk.free_bytes());
        story.deferring.store(false, Ordering::Relaxed);
        let try_one = async || {
            let reply = submit(story.relay.submission(), "full@books.test", "full").await;
            let reply = reply.expect("a reply");
            assert!(!reply.starts_with('5'), "{reply}");
            reply
        };
        let is_refused = |reply: &String| reply.starts_with("452 4.3.1");
        let refused = until_told("mail is refused", try_one, is_refused).await;
        let before = Instant::now();
        // What was deferred before goes on being delivered although the disk is full.
        until("deliveries while the disk is full", || story.ledger.reckon().arrived > arrived + 10)
            .await;
        println!("round {round}: {refused}; deliveries went on after {:?}", before.elapsed());
        tokio::time::sleep(Duration::from_millis(1000)).await;
        std::fs::remove_file(ballast).expect("room again");
        let room = Instant::now();
        loop {
            let reply = submit(story.relay.submission(), "room@books.test", "room").await;
            if reply.expect("a reply").starts_with("250") {
                break;
            }
            assert!(room.elapsed() < crate::support::PATIENCE, "it does not recover");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("round {round}: mail is taken again after {:?}", room.elapsed());
    }
    clients.stop.store(true, Ordering::Relaxed);
    flow.await.expect("the clients end");
    story.ends_well("disk full", 0).await;
    drop(story);
}

// The database.

async fn postgres_fault(what: &str, server: &Server, fault: impl AsyncFnOnce(&Server)) {
    let url = server.database(&what.to_lowercase().replace(' ', "_"), "none");
    let story = Story::begin(|settings| settings.store.url = Some(url)).await;
    let clients = story.clients();
    let flow = tokio::spawn({
        let clients = clients.clone();
        async move { clients.run(CLIENTS, u64::MAX).await }
    });
    tokio::time::sleep(Duration::from_millis(500 + any_below(500))).await;
    let probes = Probes::begin(story.relay.submission(), 12, Duration::from_millis(50));
    tokio::time::sleep(Duration::from_millis(500)).await;
    fault(server).await;
    let over = Instant::now();
    let mut healed = None;
    while healed.is_none() {
        let reply = submit(story.relay.submission(), "again@books.test", "again").await;
        healed = reply.expect("a reply").starts_with("250").then(|| over.elapsed());
        assert!(over.elapsed() < HEALING, "{what}: it does not heal");
    }
    println!("{what}: mail is taken again {healed:?} after the fault");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let probes = probes.end().await;
    clients.stop.store(true, Ordering::Relaxed);
    flow.await.expect("the clients end");
    let replies = all_heard_soon(what, &probes);
    assert!(replies.keys().any(|reply| reply.starts_with("451")), "{what}: {replies:?}");
    story.ends_well(what, CLIENTS).await;
    story.relay.rest().await;
    for recipient in accepted(&probes).iter().take(50) {
        until_delivered(&story.relay, recipient).await;
    }
}

async fn until_delivered(relay: &TestRelay, recipient: &str) {
    let started = Instant::now();
    while relay.state_of(recipient).await != State::Delivered {
        assert!(started.elapsed() < HEALING, "{recipient}: {}", relay.text_of(recipient).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_server_that_is_stopped_or_stalls_costs_clients_seconds_and_no_mail() {
    let Some(server) = Server::start() else { return };
    let long = std::env::var_os("POSTROAD_NIGHTLY").is_some();
    let gone = Duration::from_secs(if long { 60 } else { 5 });
    postgres_fault("PostgreSQL stopped", &server, async |server| {
        server.stop();
        tokio::time::sleep(gone).await;
        server.begin();
    })
    .await;
    // Another ledger: the first story's domain and credential stand in the old one.
    drop(server);
    let Some(server) = Server::start() else { return };
    let stalled = Duration::from_secs(if long { 60 } else { 12 });
    postgres_fault("PostgreSQL stalled", &server, async |server| {
        server.signal(libc::SIGSTOP);
        tokio::time::sleep(stalled).await;
        server.signal(libc::SIGCONT);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_locked_by_another_process_costs_clients_seconds_and_no_mail() {
    let story = Story::begin(|_| {}).await;
    let clients = story.clients();
    let flow = tokio::spawn({
        let clients = clients.clone();
        async move { clients.run(CLIENTS, u64::MAX).await }
    });
    tokio::time::sleep(Duration::from_millis(300 + any_below(500))).await;
    let probes = Probes::begin(story.relay.submission(), 12, Duration::from_millis(50));
    let ledger = story.relay.settings().node.data_dir.join("ledger.sqlite");
    let script = "import sqlite3, sys, time\n\
                  ledger = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n\
                  ledger.execute('BEGIN EXCLUSIVE')\n\
                  time.sleep(float(sys.argv[2]))\n\
                  ledger.execute('ROLLBACK')\n";
    let locked = tokio::process::Command::new("python3")
        .args(["-c", script])
        .arg(ledger)
        .arg("9")
        .status()
        .await;
    assert!(locked.expect("python3").success());
    let over = Instant::now();
    loop {
        let reply = submit(story.relay.submission(), "again@books.test", "again").await;
        if reply.expect("a reply").starts_with("250") {
            break;
        }
        assert!(over.elapsed() < HEALING, "it does not heal");
    }
    println!("ledger locked: mail is taken again {:?} after the lock", over.elapsed());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let probes = probes.end().await;
    clients.stop.store(true, Ordering::Relaxed);
    flow.await.expect("the clients end");
    let replies = all_heard_soon("ledger locked", &probes);
    assert!(replies.keys().any(|reply| reply.starts_with("451")), "{replies:?}");
    story.ends_well("ledger locked", 0).await;
}

// Rows and bodies.

async fn change_rows(relay: &TestRelay, sql: &str) {
    let ledger = relay.settings().node.data_dir.join("ledger.sqlite");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(ledger);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.expect("opens");
    connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("a lawful statement");
    connection.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_is_held_and_named_while_the_mail_beside_it_flows() {
    let mx = FakeMx::accepting().await;
    mx.script(Phase::Rcpt, Deed::Reply("451 4.7.1 later".into()), 6);
    let relay = TestRelay::sending_to(&mx).await;
    for number in 0..6 {
        relay.submit(&[&format!("r{number}@example.test")]).await;
    }
    relay.rest().await;
    let mut owed = relay.owed().await;
    owed.sort_by_key(|delivery| delivery.recipient.to_string());
    assert_eq!(owed.len(), 6);
    let (first, third) = (owed[1].id, owed[3].message);
    change_rows(&relay, &format!("UPDATE deliveries SET recipient = '@' WHERE id = {first}")).await;
    change_rows(&relay, &format!("UPDATE messages SET sender = 'x y' WHERE id = {third}")).await;
    let wrong = wrong_with(relay.settings()).await;
    assert_eq!(wrong.len(), 2, "{wrong:#?}");
    assert!(wrong.iter().any(|line| line.contains(&format!("delivery {first} "))), "{wrong:?}");
    relay.clock().advance(Duration::from_secs(3600));
    for number in [0, 2, 4, 5] {
        until_delivered(&relay, &format!("r{number}@example.test")).await;
    }
    let started = Instant::now();
    while relay.store().census().await.expect("counted").by_state.get(&State::Held) != Some(&2) {
        assert!(started.elapsed() < HEALING);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(mx.received().len(), 4);
    // Fresh mail for the same site is not behind the damage.
    relay.submit(&["fresh@example.test"]).await;
    until_delivered(&relay, "fresh@example.test").await;
    relay.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_in_a_state_that_there_is_not_is_named_and_counted() {
    let mx = FakeMx::accepting().await;
    mx.script(Phase::Rcpt, Deed::Reply("451 4.7.1 later".into()), 2);
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bad@example.test"]).await;
    relay.submit(&["good@example.test"]).await;
    relay.rest().await;
    let bad = relay.delivery_to("bad@example.test").await.id;
    change_rows(&relay, &format!("UPDATE deliveries SET state = 'wai\u{1}ing' WHERE id = {bad}"))
        .await;
    let wrong = wrong_with(relay.settings()).await;
    assert_eq!(wrong.len(), 2, "{wrong:#?}");
    let named = format!("delivery {bad} cannot be sent: there is no state 'wai\\u{{1}}ing'");
    assert!(wrong.contains(&named), "{wrong:#?}");
    let census = relay.store().census().await.expect("counted all the same");
    assert_eq!((census.accepted, census.damaged), (2, 1));
    relay.clock().advance(Duration::from_secs(3600));
    until_delivered(&relay, "good@example.test").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_expires_at_its_end_and_its_sender_is_told() {
    let mx = FakeMx::accepting().await;
    mx.script(Phase::Rcpt, Deed::Reply("451 4.7.1 later".into()), 1);
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["held@example.test"]).await;
    relay.rest().await;
    let id = relay.delivery_to("held@example.test").await.id;
    change_rows(&relay, &format!("UPDATE deliveries SET state = 'held' WHERE id = {id}")).await;
    relay.sweep().await;
    assert_eq!(relay.state_of("held@example.test").await, State::Held, "its time is not over");
    relay.clock().advance(relay.settings().retry.expire_after + Duration::from_secs(1));
    relay.sweep().await;
    let delivery = relay.delivery_to("held@example.test").await;
    assert_eq!(delivery.state, State::Expired);
    assert!(delivery.text.starts_with("4.4.7 held until its time was over"), "{}", delivery.text);
    relay.run_until_idle().await;
    assert_eq!(mx.received(), [SENDER], "the report");
    relay.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_even_be_held_is_left_out_and_read_once() {
    let mx = FakeMx::accepting().await;
    mx.script(Phase::Rcpt, Deed::Reply("451 4.7.1 later".into()), 2);
    let mut relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bad@example.test"]).await;
    relay.submit(&["good@example.test"]).await;
    relay.rest().await;
    let bad = relay.delivery_to("bad@example.test").await;
    change_rows(&relay, &format!("DELETE FROM messages WHERE id = {}", bad.message)).await;
    relay.clock().advance(Duration::from_secs(3600));
    until_delivered(&relay, "good@example.test").await;
    let wrong = wrong_with(relay.settings()).await;
    assert!(wrong.iter().any(|line| line.contains("its message is missing")), "{wrong:#?}");
    // The site's next look is for its next mail, and not at once for this row again.
    relay.stop().await;
    let location = postroad::app::location(relay.settings());
    let store = Store::open(&location, 1, relay.clock().clone()).await.expect("opens");
    assert!(
        store
            .claim(bad.site, TakeOrder::Due, (relay.clock().now(), 9), &[], &|_| false)
            .await
            .expect("read")
            .deliveries
            .is_empty()
    );
    assert_eq!(store.next_due(bad.site, &[], &|_| false).await.expect("read"), None);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_the_ledger_refuses_harms_no_other_and_is_not_sent_again() {
    let mx = FakeMx::accepting().await;
    let mut relay = TestRelay::sending_to(&mx).await;
    change_rows(
        &relay,
        "CREATE TRIGGER refusing BEFORE UPDATE ON deliveries \
         WHEN OLD.recipient LIKE 'poison%' AND OLD.state <> NEW.state \
         BEGIN SELECT RAISE(ABORT, 'poison'); END",
    )
    .await;
    let recipients: Vec<String> = (0..20).map(|number| format!("r{number}@example.test")).collect();
    relay.submit(&["poison@poison.test"]).await;
    let mut all: Vec<&str> = recipients.iter().map(String::as_str).collect();
    all.insert(7, "poison2@example.test");
    for recipient in &all {
        relay.submit(&[recipient]).await;
    }
    for recipient in &recipients {
        until_delivered(&relay, recipient).await;
    }
    until("all 22", || mx.received().len() >= 22).await;
    assert_eq!(mx.received().len(), 22);
    for _ in 0..2 {
        relay.stop().await;
        relay.start().await;
        relay.submit(&["again@example.test"]).await;
        relay.clock().advance(Duration::from_secs(60));
        until("the fresh mail", || mx.received().iter().any(|to| to == "again@example.test")).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let poisoned = mx.received().iter().filter(|to| to.starts_with("poison")).count();
        assert_eq!(poisoned, 2, "a mail that is out was sent again");
    }
    // Once the ledger takes it, the outcome that was kept counts.
    change_rows(&relay, "DROP TRIGGER refusing").await;
    relay.stop().await;
    relay.start().await;
    until_delivered(&relay, "poison@poison.test").await;
    relay.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_body_is_held_and_named_while_the_mail_beside_it_flows() {
    let mx = FakeMx::accepting().await;
    mx.script(Phase::Mail, Deed::Reply("451 4.7.1 later".into()), 3);
    let relay = TestRelay::with(&mx, |settings| settings.spool.memory_bytes = 0).await;
    for name in ["one", "two", "three"] {
        let mail = format!("From: <{SENDER}>\r\nSubject: {name}\r\n\r\nbody of {name}\r\n");
        let recipient = format!("{name}@example.test");
        relay.submit_mail(&format!("<{SENDER}>"), &[&recipient], mail.as_bytes()).await;
    }
    relay.rest().await;
    let spool = relay.settings().node.data_dir.join("spool");
    let mut damaged = 0;
    for entry in std::fs::read_dir(spool).expect("a spool") {
        let path = entry.expect("an entry").path();
        let mut octets = std::fs::read(&path).expect("read");
        if let Some(at) = memchr::memmem::find(&octets, b"body of two") {
            octets[at] ^= 1;
            std::os::unix::fs::FileExt::write_all_at(
                &std::fs::File::options().write(true).open(&path).expect("opens"),
                &octets[at..=at],
                at as u64,
            )
            .expect("written");
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    let id = relay.delivery_to("two@example.test").await.message;
    let wrong = wrong_with(relay.settings()).await;
    assert!(wrong.iter().any(|line| line.contains(&format!("message {id} "))), "{wrong:#?}");
    relay.clock().advance(Duration::from_secs(3600));
    until_delivered(&relay, "one@example.test").await;
    until_delivered(&relay, "three@example.test").await;
    relay.rest().await;
    assert_eq!(relay.state_of("two@example.test").await, State::Held);
    assert!(relay.text_of("two@example.test").await.contains("damaged"));
    assert_eq!(mx.received().len(), 2);
}

// Ourselves.

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_our_own_defers_and_is_held_at_the_third_while_others_flow() {
    let faulty = |subject: &str| assert_ne!(subject, "let the attempt panic", "as the test wants");
    moment::ATTEMPTED.get_or_init(|| faulty);
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let mail = format!("From: <{SENDER}>\r\nSubject: let the attempt panic\r\n\r\nx\r\n");
    relay.submit_mail(&format!("<{SENDER}>"), &["bad@example.test"], mail.as_bytes()).await;
    relay.submit(&["good@example.test"]).await;
    relay.rest().await;
    assert_eq!(relay.state_of("good@example.test").await, State::Delivered);
    let deferred = relay.delivery_to("bad@example.test").await;
    assert_eq!((deferred.state, deferred.tries), (State::Waiting, 1));
    assert_eq!(deferred.blame.map(|blame| blame.word()), Some("ourselves"));
    relay.run_until_idle().await;
    assert_eq!(relay.state_of("bad@example.test").await, State::Held);
    let story = relay.story_of("bad@example.test").await;
    assert_eq!(story, ["accepted", "deferred", "deferred", "held"]);
    assert_eq!(mx.received(), ["good@example.test"]);
    relay.adds_up().await;
}

// The clock.

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_causes_no_storm_loses_nothing_and_expires_nothing_early() {
    const HOUR: Duration = Duration::from_secs(3600);
    let mx = FakeMx::accepting().await;
    mx.always(Phase::Rcpt, Deed::Reply("451 4.7.1 not yet".into()));
    let relay = TestRelay::sending_to(&mx).await;
    let recipients: Vec<String> = (0..100).map(|n| format!("r{n}@d{}.test", n % 10)).collect();
    for recipient in &recipients {
        relay.submit(&[recipient]).await;
    }
    relay.rest().await;
    let tries = async || -> u64 {
        relay.owed().await.iter().map(|delivery| u64::from(delivery.tries)).sum()
    };
    assert_eq!(tries().await, 100);
    // Forth: what was due within the hour is tried once, not once for each wait that has passed.
    relay.clock().advance(HOUR);
    relay.rest().await;
    assert_eq!(tries().await, 200);
    // Back: nothing is due, nothing is tried, and nothing is further away than the jump.
    let due_last = relay.owed().await.iter().map(|one| one.due_at).max().expect("owed");
    relay.clock().set_back(HOUR);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(tries().await, 200);
    assert_eq!(relay.owed().await.iter().map(|one| one.due_at).max(), Some(due_last));
    // Fresh mail is sent at once even so.
    relay.submit(&["fresh@fresh.test"]).await;
    relay.rest().await;
    assert_eq!(relay.delivery_to("fresh@fresh.test").await.tries, 1);
    // Its own hours go by: each is tried again in its usual time.
    relay.clock().advance(HOUR + Duration::from_secs(1800));
    relay.rest().await;
    assert_eq!(tries().await, 301 + 1);
    // Thirty days at once: the time of all is over by that clock, and each sender is told once.
    relay.clock().advance(30 * 24 * HOUR);
    relay.rest().await;
    let census = relay.store().census().await.expect("counted");
    assert_eq!(census.by_state.get(&State::Expired), Some(&101), "{census:?}");
    relay.adds_up().await;
    let senders: BTreeSet<String> = mx.received().into_iter().collect();
    assert!(senders.is_empty(), "nothing was delivered, so nothing arrived: {senders:?}");
}
