//! Domains met for the first time: their sites, their connections, where their rows stand.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use postroad::config::{Route, Settings};
use postroad::model::{SiteId, State};
use postroad::store::{DeliveryFilter, DeliveryView};
use postroad::world::manners::{Deed, Manners, Phase};
use serde_json::json;
use sqlx::{Connection, Executor, Row};

use crate::campaigns::Desk;
use crate::support::PATIENCE;
use crate::support::mx::FakeMx;
use crate::support::relay::{Database, TestRelay};

/// Each of these domains is a site of its own, all on the first host.
fn own_sites(settings: &mut Settings, mx: &FakeMx, domains: usize) {
    let route = |number| Route {
        name: format!("route{number}"),
        domains: vec![domain(number)],
        host: Some("127.0.9.1".into()),
        port: Some(mx.port()),
        ..Route::default()
    };
    settings.route = (0..domains).map(route).collect();
}

fn domain(number: usize) -> String {
    format!("d{number}.test")
}

/// A mail for each name, to all of the domains.
async fn submit_to_each(relay: &TestRelay, domains: usize, names: &[&str]) {
    for name in names {
        let recipients: Vec<String> =
            (0..domains).map(|number| format!("{name}@{}", domain(number))).collect();
        relay.submit(&recipients.iter().map(String::as_str).collect::<Vec<&str>>()).await;
    }
}

/// The daemon's own ledger, beside it.
async fn ledger(relay: &TestRelay) -> sqlx::SqliteConnection {
    let file = relay.settings().node.data_dir.join("ledger.sqlite");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    sqlx::SqliteConnection::connect_with(&options).await.expect("connected")
}

async fn all(relay: &TestRelay) -> Vec<DeliveryView> {
    relay.store().list_deliveries(&DeliveryFilter::default(), 1000).await.expect("listed")
}

async fn all_are_delivered(relay: &TestRelay, count: usize) {
    relay.run_until_idle().await;
    let deliveries = all(relay).await;
    assert_eq!(deliveries.len(), count);
    assert!(deliveries.iter().all(|delivery| delivery.state == State::Delivered), "{deliveries:?}");
    relay.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_to_new_domains_makes_each_site_once_and_writes_each_row_once() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| own_sites(settings, &mx, 50)).await;
    let mut ledger = ledger(&relay).await;
    let noting = "CREATE TABLE moves (delivery INTEGER); CREATE TRIGGER note_moves \
        AFTER UPDATE ON deliveries BEGIN INSERT INTO moves VALUES (old.id); END";
    ledger.execute(noting).await.expect("noting");
    submit_to_each(&relay, 50, &["a", "b", "c", "d"]).await;
    all_are_delivered(&relay, 200).await;
    let sites: BTreeSet<SiteId> = all(&relay).await.iter().map(|delivery| delivery.site).collect();
    assert!(!sites.contains(&SiteId::UNROUTED), "a row says where its mail went");
    assert_eq!((sites.len(), relay.store().sites().await.expect("sites").len()), (50, 51));
    let counted = ledger.fetch_one("SELECT COUNT(*) FROM moves").await.expect("counted");
    assert_eq!(counted.get::<i64, _>(0), 200, "by its settlement alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_handed_to_its_sites_and_writes_each_row_once() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    for number in 0..40 {
        desk.contact(&format!("reader{number}@known.test"), json!({"name": "A"})).await;
    }
    desk.relay.submit(&["first@known.test"]).await;
    desk.relay.run_until_idle().await;
    let mut ledger = ledger(&desk.relay).await;
    let noting = "CREATE TABLE fed (site INTEGER); CREATE TRIGGER note_fed \
        AFTER INSERT ON deliveries BEGIN INSERT INTO fed VALUES (new.site); END; \
        CREATE TABLE moves (delivery INTEGER); CREATE TRIGGER note_moves \
        AFTER UPDATE ON deliveries BEGIN INSERT INTO moves VALUES (old.id); END";
    ledger.execute(noting).await.expect("noting");
    let id = desk.campaign("<p>x</p>", json!({})).await;
    desk.step(id, "launch").await;
    let shown = desk.until(id, "sent").await;
    assert_eq!(shown["sums"]["delivered"], 40);
    let fed = "SELECT COUNT(*), SUM(site), (SELECT COUNT(*) FROM moves) FROM fed";
    let counted = ledger.fetch_one(fed).await.expect("counted");
    let counted: [i64; 3] = [0, 1, 2].map(|at| counted.get(at));
    assert_eq!(counted, [40, SiteId::UNROUTED.0, 40], "as fresh mail, and by its settlement alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_that_idle_give_their_connections_to_domains_that_wait_for_one() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        own_sites(settings, &mx, 60);
        settings.delivery.connections_max = 3;
        settings.delivery.connections_per_site_max = 3;
        settings.delivery.idle_wait = Duration::from_secs(3600);
    })
    .await;
    submit_to_each(&relay, 60, &["a", "b"]).await;
    all_are_delivered(&relay, 120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactional_mail_waits_for_no_marketing_that_has_all_connections() {
    const SITES: usize = 12;
    let mx = FakeMx::accepting().await;
    mx.always(Phase::DataEnd, Deed::Pause(Duration::from_millis(500)));
    let relay = TestRelay::with(&mx, |settings| {
        own_sites(settings, &mx, SITES + 1);
        settings.delivery.connections_max = 10;
        settings.delivery.connections_per_site_max = 10;
    })
    .await;
    let mail = b"From: <sender@sender.test>\r\nX-Postroad-Stream: marketing\r\n\r\nhello\r\n";
    for number in 0..40 {
        let recipients: Vec<String> =
            (0..SITES).map(|site| format!("m{number}@{}", domain(site))).collect();
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
        relay.submit_mail("<sender@sender.test>", &recipients, mail).await;
    }
    let arrived = async |is_there: &dyn Fn(&[String]) -> bool| {
        let started = Instant::now();
        while !is_there(&mx.received()) {
            assert!(started.elapsed() < PATIENCE, "{:?}", mx.received());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    arrived(&|received| received.len() > 9).await;
    let before = mx.received().len();
    let urgent = format!("urgent@{}", domain(SITES));
    relay.submit(&[&urgent]).await;
    arrived(&|received| received.contains(&urgent)).await;
    // Nine at a time, twice a second: without a connection of its own it would come after 180.
    let between = mx.received().len() - before;
    assert!(between < 150, "{between}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_mail_to_a_new_domain_than_its_site_has_room_for_waits_in_the_ledger() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let recipients: Vec<String> =
            (0..300).map(|number| format!("r{number}@new.test")).collect();
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
        relay.submit(&recipients).await;
        all_are_delivered(&relay, 300).await;
        let received: BTreeSet<String> = mx.received().into_iter().collect();
        assert_eq!((received.len(), mx.received().len()), (300, 300), "{database:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_in_memory_of_a_site_that_is_blocked_survives_a_restart() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        mx.script(Phase::Connect, Deed::Reply("421 4.3.2 not now".into()), 1);
        let mut relay = TestRelay::on(&database, &mx).await;
        for name in ["a", "b", "c"] {
            relay.submit(&[&format!("{name}@one.test"), &format!("{name}@two.test")]).await;
        }
        relay.stop().await;
        relay.start().await;
        all_are_delivered(&relay, 6).await;
        assert_eq!(mx.received().len(), 6, "{database:?}");
    }
}
