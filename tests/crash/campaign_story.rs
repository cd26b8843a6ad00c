//! The daemon is killed again and again while a campaign is prepared, fed and sent: everybody of
//! its audience ends in one final state, nobody is missing, and nobody gets it twice but whose
//! first answer no log knew of.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad::clock::Clock;
use postroad::model::*;
use postroad::queue::outcome_log::OutcomeLog;
use postroad::store::{Consent, ContactBatch, ContactWrite, Store, UpsertMode};
use serde_json::{Value, json};

use super::daemon::{Base, Daemon};
use super::kill_story::dice;
use crate::support::ledger::{Delivered, Habits, Ledger, Manner, Sink};
use crate::support::operator;

const SINKS: u64 = 4;
/// On each database, unless `POSTROAD_CAMPAIGN_KILLS` names another number; `make nightly` kills
/// fifty times amid a hundred thousand contacts (`POSTROAD_CAMPAIGN_CONTACTS`).
const KILLS: usize = 10;
/// So that most kills happen while there is something left.
const CONTACTS_PER_KILL: usize = 200;
const PATIENCE: Duration = Duration::from_secs(120);
/// And for each contact: a daemon that was not built for speed sends some hundred a second.
const PATIENCE_EACH: Duration = Duration::from_millis(20);

async fn sinks(ledger: &Ledger) -> Vec<Sink> {
    let manner = |count: u64| if count % 20 == 7 { Manner::Defer } else { Manner::Accept };
    let mut sinks = Vec::new();
    for number in 1..=SINKS {
        let habits = Habits {
            transaction: Arc::new(manner),
            recipients_deferred_every: 0,
            delay: Duration::from_millis(60),
        };
        let address = ([127, 0, 16, u8::try_from(number).expect("few")], 0).into();
        sinks.push(Sink::with(ledger, address, habits).await.expect("binds"));
    }
    sinks
}

fn email(number: usize) -> String {
    format!("c{number}@d{}.test", number as u64 % SINKS)
}

/// Everybody subscribes while the daemon is down.
async fn fill(daemon: &Daemon, list: i64, count: usize) {
    let store = Store::open(&daemon.location, 1, Clock::system()).await.expect("opens");
    for numbers in (0..count).collect::<Vec<_>>().chunks(500) {
        let first = store.contact_ids(numbers.len()).await.expect("ids");
        let row = |(number, id): (&usize, i64)| ContactWrite {
            memberships: vec![(ListId(list), MembershipStatus::Subscribed)],
            ..ContactWrite::of(ContactId(id), email(*number))
        };
        let batch = ContactBatch {
            organization: OrganizationId::FIRST,
            at: Clock::system().now(),
            mode: UpsertMode::AddOrUpdate,
            consent: Consent::Each {
                action: ConsentAction::Subscribed,
                source: "a test".to_owned(),
                address: None,
                wording: String::new(),
            },
            resubscribe: false,
            rows: numbers.iter().zip(first.0..).map(row).collect(),
            progress: None,
        };
        store.write_contacts(batch).await.expect("written");
    }
    store.close().await;
}

async fn done(daemon: &Daemon, method: &str, path: &str, body: Value) -> Value {
    let (status, body) = operator::ask(&daemon.socket(), method, path, body).await;
    assert_eq!(status, 200, "{method} {path}: {body}");
    body
}

/// What a dead daemon has noted as delivered, by delivery and recipient.
async fn noted(daemon: &Daemon) -> HashSet<Delivered> {
    let rows = daemon.rows().await;
    let delivered = rows.iter().filter(|(_, row)| row.state == "delivered");
    let mut noted: HashSet<Delivered> =
        delivered.map(|(id, row)| (id.0, row.delivered.1.clone())).collect();
    let (_, records) = OutcomeLog::open(&daemon.data_dir.join("outcomes")).expect("readable");
    for record in records {
        let row = rows.get(&record.delivery).expect("an outcome belongs to a row");
        if matches!(record.outcome, Outcome::Delivered { .. }) {
            noted.insert((record.delivery.0, row.delivered.1.clone()));
        }
    }
    noted
}

async fn launched(daemon: &mut Daemon, count: usize) {
    tokio::task::block_in_place(|| daemon.start());
    let list = done(daemon, "POST", "/v1/lists", json!({"name": "N", "opt_in": "single"})).await;
    daemon.kill();
    let list = list["id"].as_i64().expect("an id");
    fill(daemon, list, count).await;
    tokio::task::block_in_place(|| daemon.start());
    let campaign = json!({"name": "C", "from": "news@sender.test", "variants": [{
        "subject": "Hi", "body": "<p>{{ email }}</p><a href=\"{{ unsubscribe_url }}\">leave</a>"}],
        "settings": {"audience": {"lists": [list]}}});
    let made = done(daemon, "POST", "/v1/campaigns", campaign).await;
    assert_eq!(made["id"], 1, "its mails are known by it");
    done(daemon, "POST", "/v1/campaigns/1/step", json!({"step": "launch"})).await;
}

async fn campaign_story(base: Base) {
    let asked = std::env::var("POSTROAD_CAMPAIGN_KILLS").ok().and_then(|text| text.parse().ok());
    let kills: usize = asked.unwrap_or(KILLS);
    let asked = std::env::var("POSTROAD_CAMPAIGN_CONTACTS").ok().and_then(|text| text.parse().ok());
    let count: usize = asked.unwrap_or(kills * CONTACTS_PER_KILL);
    let patience = PATIENCE + PATIENCE_EACH * u32::try_from(count).expect("so many");
    let ledger = Ledger::default();
    let sinks = sinks(&ledger).await;
    let Some(mut daemon) = Daemon::new(base, &sinks, None).await else { return };
    launched(&mut daemon, count).await;
    let mut ends: Vec<HashSet<Delivered>> = Vec::new();
    for kill in 0..kills {
        std::thread::sleep(Duration::from_millis(30 + dice(500)));
        daemon.kill();
        for sink in &sinks {
            sink.quiet().await;
        }
        ends.push(noted(&daemon).await);
        ledger.next_life();
        if kill % 4 == 3 {
            daemon.is_sound();
        }
        tokio::task::block_in_place(|| daemon.start());
    }
    let started = Instant::now();
    let shown = loop {
        let shown = done(&daemon, "GET", "/v1/campaigns/1", Value::Null).await;
        if shown["state"] == "sent" {
            break shown;
        }
        assert!(started.elapsed() < patience, "{shown}\n{}", daemon.last_words());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let (status, _) = daemon.terminate();
    assert!(status.success(), "{status}: {}", daemon.last_words());
    daemon.is_sound();
    reckon(base, &shown, &daemon, &ledger.lives(), &ends, count).await;
}

async fn reckon(
    base: Base,
    shown: &Value,
    daemon: &Daemon,
    lives: &BTreeMap<Delivered, Vec<usize>>,
    ends: &[HashSet<Delivered>],
    count: usize,
) {
    assert_eq!((&shown["audience"], &shown["sums"]["delivered"]), (&json!(count), &json!(count)));
    let rows = daemon.rows().await;
    let owed: HashSet<&String> = rows.values().map(|row| &row.delivered.1).collect();
    assert_eq!((rows.len(), owed.len()), (count, count), "each contact is owed one mail");
    let arrived: HashSet<&String> = lives.keys().map(|(_, recipient)| recipient).collect();
    assert_eq!(arrived.len(), count, "nobody is missing");
    let mut doubled = 0;
    for (delivered, lives) in lives {
        for pair in lives.windows(2) {
            doubled += 1;
            assert!(pair[0] < pair[1], "{delivered:?} came twice in one life");
            let was_noted = ends[pair[0]..pair[1]].iter().any(|noted| noted.contains(delivered));
            assert!(!was_noted, "{delivered:?} came again although it was noted: {lives:?}");
        }
    }
    eprintln!("{base:?}: {} kills, {count} contacts, {doubled} came twice", ends.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_kill_loses_or_doubles_anybody_of_a_campaign_on_sqlite() {
    campaign_story(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_kill_loses_or_doubles_anybody_of_a_campaign_on_postgres() {
    campaign_story(Base::Postgres).await;
}
