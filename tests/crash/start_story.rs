//! A start after a kill does not grow with the queue (G6): it takes mail and sends mail at once.

use std::path::Path;
use std::time::{Duration, Instant};

use postroad::clock::Clock;
use postroad::model::{Envelope, OrganizationId, Recipient, ReversePath, StreamId};
use postroad::queue::{NewMessage, Queue, QueueOptions};
use postroad::spool::{Spool, SpoolOptions};
use postroad::store::Store;

use super::daemon::{Base, Daemon, SENDER};
use super::kill_story::{sinks, submitter};
use crate::support::PATIENCE;
use crate::support::ledger::Ledger;

/// Nightly ten times as many.
const WAITING: usize = 100_000;
const RECIPIENTS: usize = 1000;
/// The aims are 1 s and 5 s on an idle machine with a release build; this one is neither.
const ACCEPT_MAX: Duration = Duration::from_secs(5);
const DELIVER_MAX: Duration = Duration::from_secs(15);

fn mail(first: usize) -> NewMessage {
    let recipient = |number: usize| {
        let address = format!("w{number}@d{}.test", number % 4).parse().expect("an address");
        Recipient::new(address)
    };
    let head = format!("From: <{SENDER}>\r\nSubject: waits\r\n\r\n");
    let body = format!("{head}{}", "a line of a mail that waits\r\n".repeat(70));
    NewMessage {
        organization: OrganizationId::FIRST,
        stream: StreamId(1),
        credential: None,
        domain: None,
        envelope: Envelope {
            sender: ReversePath::parse(SENDER).expect("a path"),
            recipients: (first..first + RECIPIENTS).map(recipient).collect(),
            eight_bit: false,
            smtputf8: false,
            dsn_return: None,
            dsn_envelope_id: None,
        },
        message_id_header: format!("{first}@sender.test"),
        subject: "waits".to_owned(),
        tag: None,
        metadata: None,
        idempotency_key: None,
        rank: 0,
        tracking: None,
        not_before: None,
        not_after: None,
        line: None,
        body: body.into(),
    }
}

async fn fill(daemon: &Daemon, directory: &Path, waiting: usize) {
    let clock = Clock::system();
    let store = Store::open(&daemon.location, 1, clock.clone()).await.expect("opens");
    let options = SpoolOptions { segment_bytes: 1 << 20, free_bytes_min: 0 };
    let spool = Spool::open(&directory.join("spool"), options).expect("opens");
    let expire_after = Duration::from_secs(4 * 86_400);
    let options = QueueOptions {
        node: 1,
        memory_bytes: 0,
        expire_after,
        keep_bodies: Duration::ZERO,
        keep_dialogues: expire_after,
    };
    let queue = Queue::open(store.clone(), spool.clone(), directory, options, clock);
    let (queue, _) = queue.expect("opens");
    for first in (0..waiting).step_by(RECIPIENTS) {
        let id = queue.message_id().await.expect("an id");
        queue.enqueue(id, mail(first)).await.expect("enqueued");
    }
    drop(queue);
    spool.close().await;
    store.close().await;
}

async fn start_story(base: Base) {
    let waiting = if std::env::var_os("POSTROAD_NIGHTLY").is_some() { 10 } else { 1 } * WAITING;
    let ledger = Ledger::default();
    let sinks = sinks(&ledger).await;
    let Some(mut daemon) = Daemon::new(base, &sinks, None).await else { return };
    let data_dir = daemon.data_dir.clone();
    fill(&daemon, &data_dir, waiting).await;
    let client = submitter(&ledger, &daemon);
    for life in ["routed for the first time", "after a kill", "after another kill"] {
        let before = ledger.reckon().strangers;
        let started = Instant::now();
        daemon.start();
        client.run(1, 1).await;
        let accepted = started.elapsed();
        while ledger.reckon().strangers == before {
            assert!(started.elapsed() < PATIENCE, "nothing arrives: {}", daemon.last_words());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let delivered = started.elapsed();
        tokio::time::sleep(Duration::from_secs(3)).await;
        eprintln!(
            "{base:?}, {waiting} waiting, {life}: the first mail accepted after {accepted:.0?}, \
             the first delivered after {delivered:.0?}"
        );
        assert!(accepted < ACCEPT_MAX && delivered < DELIVER_MAX, "{}", daemon.last_words());
        daemon.kill();
        for sink in &sinks {
            sink.quiet().await;
        }
        ledger.next_life();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "nightly: a long queue is made first"]
async fn a_start_after_a_kill_with_a_long_queue_takes_and_sends_mail_at_once_on_sqlite() {
    start_story(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "nightly: a long queue is made first"]
async fn a_start_after_a_kill_with_a_long_queue_takes_and_sends_mail_at_once_on_postgres() {
    start_story(Base::Postgres).await;
}
