//! The whole of what comes back for a campaign: refusals, reports now and a day later, complaints,
//! notes of absence, wishes to leave by every way, forged reports; every count, suppression,
//! timeline and webhook is right.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use postroad::config::Settings;
use postroad::wire::network::Network;
use postroad::world::manners::{Manners, Rule, Whom};
use serde_json::{Value, json};

use crate::campaigns::Desk;
use crate::readers::{path, visit};
use crate::support::PATIENCE;
use crate::support::http::{HttpSink, Request};
use crate::support::relay::Database;

const CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0 Safari/537.36";
const LOCALS: [&str; 10] = [
    "fine",
    "gone",
    "bounces",
    "bounces-tomorrow",
    "fills-up",
    "complains",
    "delays",
    "away",
    "leaves",
    "clicks",
];

fn address(local: &str) -> String {
    format!("{local}@example.test")
}

fn open(settings: &mut Settings) {
    settings.inbound.listen = vec![([127, 0, 0, 1], 0).into()];
    settings.inbound.return_domain = Some("bounce.sender.test".to_owned());
    settings.fetch.allowed_networks = vec![Network::parse("127.0.0.0/8").expect("one")];
}

fn manners() -> Manners {
    let gone = Whom::LocalStart("gone".to_owned());
    let rules = vec![Rule::mailbox(gone, "550 5.1.1 no such user here")];
    Manners { rules, ..Manners::default() }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain for {what}");
}

/// A bounce may be here before our own host's answer is written down: the order is not told.
async fn until_story(desk: &Desk, local: &str, event: &str) {
    let recipient = address(local);
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if desk.relay.story_of(&recipient).await.contains(&event) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let inbound = desk.relay.see("/v1/inbound").await;
    panic!("{recipient}: no {event}: {:?}, {inbound}", desk.relay.story_of(&recipient).await);
}

fn told(requests: &[Request]) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for request in requests {
        for event in request.json()["events"].as_array().expect("events") {
            *told.entry(event["kind"].as_str().expect("a kind").to_owned()).or_default() += 1;
        }
    }
    told
}

fn counts(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

async fn suppressed(desk: &Desk) -> BTreeMap<String, String> {
    let list = desk.relay.see("/v1/suppressions").await;
    let items = list["items"].as_array().expect("a list").clone();
    let text = |item: &Value, name: &str| item[name].as_str().expect("text").to_owned();
    items.iter().map(|item| (text(item, "address"), text(item, "reason"))).collect()
}

/// Somebody makes up a report on who is fine, to the postmaster and to an address of his making.
async fn forge(desk: &Desk) {
    let forged =
        "From: MAILER-DAEMON@x.test\nSubject: failure\n\n<fine@example.test>: 550 5.1.1 gone\n";
    desk.relay.bring("", "postmaster@bounce.sender.test", forged).await;
    let made_up = format!("b-{}@bounce.sender.test", "a".repeat(45));
    let answer = desk.relay.bring("", &made_up, forged).await;
    assert!(answer.starts_with("550"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_back_for_a_campaign_every_count_suppression_and_timeline_is_right() {
    for database in Database::all().await {
        all_comes_back(&database).await;
    }
}

async fn all_comes_back(database: &Database) {
    let desk = Desk::with(database, manners(), open).await;
    desk.mx.send_back_to(desk.relay.inbound());
    let sink = HttpSink::taking().await;
    let kinds = ["bounced", "complained", "unsubscribed", "delayed", "auto_replied", "failed"];
    let order = json!({"name": "all", "url": sink.url("/hook"), "kinds": kinds});
    desk.relay.order("/v1/webhooks", order).await;
    for local in LOCALS {
        desk.contact(&address(local), json!({"name": local})).await;
    }
    let id = desk.campaign("<p>Hello</p>", json!({})).await;
    desk.step(id, "launch").await;
    let shown = desk.until(id, "sent").await;
    assert_eq!((&shown["sums"]["delivered"], &shown["sums"]["failed"]), (&json!(9), &json!(1)));
    let link = path(&desk.text_to(&address("clicks")), "u", 0);
    assert_eq!(visit(&desk, "GET", &link, CHROME, "").await.0, 200);
    assert_eq!(visit(&desk, "POST", &link, CHROME, "List-Unsubscribe=One-Click").await.0, 200);
    let now = [
        ("bounces", "bounced"),
        ("fills-up", "bounced"),
        ("complains", "complained"),
        ("delays", "delayed"),
        ("away", "auto_replied"),
        ("leaves", "unsubscribed"),
        ("clicks", "unsubscribed"),
    ];
    for (local, last) in now {
        until_story(&desk, local, last).await;
    }
    forge(&desk).await;
    until_story(&desk, "bounces-tomorrow", "delivered").await;
    desk.relay.clock().advance(Duration::from_secs(86_400 + 60));
    until_story(&desk, "bounces-tomorrow", "bounced").await;
    until_story(&desk, "fine", "delivered").await;
    until_story(&desk, "gone", "failed").await;
    let expected = [
        ("bounces-tomorrow", "hard_bounce"),
        ("bounces", "hard_bounce"),
        ("complains", "complaint"),
        ("gone", "hard_bounce"),
    ];
    let expected = expected.map(|(local, reason)| (address(local), reason.to_owned()));
    assert_eq!(suppressed(&desk).await, BTreeMap::from(expected), "lists are left, no stream");
    the_report_is_right(&desk, id).await;
    let all = counts(&[
        ("auto_replied", 1),
        ("bounced", 3),
        ("complained", 1),
        ("delayed", 1),
        ("failed", 1),
        ("unsubscribed", 2),
    ]);
    until("all calls", async || told(&sink.requests()).values().sum::<usize>() >= 9).await;
    assert_eq!(told(&sink.requests()), all);
    the_next_one_reaches_those_who_are_left(&desk).await;
    desk.relay.adds_up().await;
}

fn bounced(report: &Value) -> BTreeMap<String, u64> {
    let mut bounced = BTreeMap::new();
    for one in report["bounced"].as_array().expect("a list") {
        let class = one["class"].as_str().expect("a class");
        let key = format!("{} {class}", one["kind"].as_str().expect("a kind"));
        *bounced.entry(key).or_insert(0) += one["count"].as_u64().expect("a count");
    }
    bounced
}

async fn the_report_is_right(desk: &Desk, id: i64) {
    let path = format!("/v1/campaigns/{id}/report");
    let expected = [
        ("bounced mailbox_full", 1),
        ("bounced mailbox_invalid", 2),
        ("failed mailbox_invalid", 1),
    ];
    let expected = BTreeMap::from(expected.map(|(key, count)| (key.to_owned(), count)));
    until("the report", async || {
        desk.relay.clock().advance(Duration::from_secs(2));
        let report = desk.done("GET", &path, Value::Null).await;
        let own = &report["variants"][0];
        let people = (&own["delivered"], &own["complained"], &own["unsubscribed"]);
        people == (&json!(9), &json!(1), &json!(2)) && bounced(&report) == expected
    })
    .await;
    let path = format!("/v1/health-windows?kind=campaign&id={id}&hours=48");
    let mut window = Value::Null;
    until("the window", async || {
        window = desk.done("GET", &path, Value::Null).await["items"][0].clone();
        window["counts"]["bounced"] == 3
    })
    .await;
    let counts = json!({"answered": 10, "taken": 9, "ended": 10, "bounced": 3, "deferred": 0,
        "blocked": 0, "complained": 1});
    assert_eq!(window["counts"], counts);
    assert_eq!(window["complaint"]["standing"], "good", "one of nine is nobody");
}

async fn the_next_one_reaches_those_who_are_left(desk: &Desk) {
    let id = desk.campaign("<p>Again</p>", json!({})).await;
    desk.step(id, "launch").await;
    let shown = desk.until(id, "sent").await;
    assert_eq!(shown["audience"], 8, "two have left the list");
    let sums = &shown["sums"];
    assert_eq!((&sums["delivered"], &sums["suppressed"]), (&json!(4), &json!(4)), "{shown}");
}
