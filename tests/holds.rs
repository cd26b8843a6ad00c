//! Mail that people hold by rules, send by another pool, and read the story of.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use postroad::config::{Settings, SourceSettings};
use postroad::model::*;
use postroad::schedule::why::ReasonKind;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::mx::FakeMx;
use crate::support::operator;
use crate::support::relay::{Database, HOST_NAME, TestRelay};

async fn ask(relay: &TestRelay, method: &str, path: &str, body: Value) -> Value {
    let socket = relay.settings().control_socket();
    let (status, answer) = operator::ask(&socket, method, path, body).await;
    assert_eq!(status, 200, "{method} {path}: {answer}");
    answer
}

async fn until_received(mx: &FakeMx, wanted: &[&str]) {
    let started = Instant::now();
    while mx.received() != wanted {
        assert!(started.elapsed() < PATIENCE, "{:?}", mx.received());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_holds_what_waits_and_what_comes_and_nothing_else_until_it_is_removed() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let later = relay.clock().now() + Duration::from_secs(600);
        let mail = format!(
            "From: <sender@sender.test>\r\nX-Postroad-Not-Before: {}\r\n\r\nhello\r\n",
            later.seconds()
        );
        relay.submit_mail("<sender@sender.test>", &["was@held.test"], mail.as_bytes()).await;
        let rule = json!({"sender": "sender.test", "recipient_domain": "held.test",
            "reason": "looks odd"});
        let preview = ask(&relay, "POST", "/v1/hold-rules/preview", rule.clone()).await;
        assert_eq!(preview, json!({"count": 1, "recipients": ["was@held.test"]}));
        let other = json!({"sender": "other.test", "reason": "none"});
        let preview = ask(&relay, "POST", "/v1/hold-rules/preview", other).await;
        assert_eq!(preview["count"], 0, "it catches nothing that waits");
        let rule = ask(&relay, "POST", "/v1/hold-rules", rule).await;
        relay.submit(&["ann@held.test", "bob@free.test"]).await;
        relay.submit(&["eve@held.test"]).await;
        until_received(&mx, &["bob@free.test"]).await;
        relay.clock().advance(Duration::from_secs(700));
        for recipient in ["ann@held.test", "eve@held.test", "was@held.test"] {
            let delivery = relay.delivery_to(recipient).await;
            assert_eq!((delivery.state, delivery.tries), (State::Waiting, 0), "{recipient}");
            let why = relay.why(delivery.id).await;
            let held = why.iter().find(|reason| reason.kind == ReasonKind::Held);
            assert!(held.is_some_and(|reason| reason.text.contains("looks odd")), "{why:?}");
        }
        let path = format!("/v1/hold-rules/{}", rule["id"]);
        ask(&relay, "DELETE", &path, Value::Null).await;
        relay.run_until_idle().await;
        assert_eq!(mx.received().len(), 4);
        relay.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_holds_ends_at_its_time_and_is_reported() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let rule = json!({"recipient_domain": "held.test", "reason": "looks odd"});
    ask(&relay, "POST", "/v1/hold-rules", rule).await;
    relay.submit(&["ann@held.test"]).await;
    relay.clock().advance(Duration::from_secs(5 * 24 * 3600));
    // A change of rules has all that waits looked at, as every minute does.
    let other = json!({"recipient_domain": "other.test", "reason": "another"});
    ask(&relay, "POST", "/v1/hold-rules", other).await;
    relay.until_state("ann@held.test", State::Expired).await;
    let started = Instant::now();
    while !mx.received().contains(&"sender@sender.test".to_owned()) {
        assert!(started.elapsed() < PATIENCE, "{:?}", mx.received());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn source(name: &str, number: u8) -> SourceSettings {
    SourceSettings {
        name: name.to_owned(),
        address: vec![Ipv4Addr::new(127, 0, 2, number).into()],
        ehlo: Some(HOST_NAME.to_owned()),
        ..SourceSettings::default()
    }
}

fn two_sources(settings: &mut Settings) {
    settings.source = vec![source("first", 1), source("second", 2)];
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_by_another_pool_after_a_look_at_what_is_meant() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::with(&mx, |settings| {
            two_sources(settings);
            if let Database::Postgres(url) = &database {
                settings.store.url = Some(url.clone());
            }
        })
        .await;
        ask(&relay, "POST", "/v1/pools", json!({"name": "aside"})).await;
        let member = json!({"source": "second"});
        ask(&relay, "POST", "/v1/pools/aside/sources", member).await;
        ask(&relay, "DELETE", "/v1/pools/default/sources/second", Value::Null).await;
        let stream = json!({"reason": "a look first"});
        ask(&relay, "POST", "/v1/streams/1/hold", stream).await;
        relay.submit(&["ann@moved.test", "bob@moved.test", "eve@stays.test"]).await;
        let order = |preview: bool| {
            json!({"action": "reroute", "pool": "aside", "filter": {"domain": "moved.test"},
                "preview": preview})
        };
        let seen = ask(&relay, "POST", "/v1/deliveries/steer", order(true)).await;
        assert_eq!((&seen["count"], &seen["changed"]), (&json!(2), &json!(0)), "{seen}");
        assert_eq!(seen["sample"].as_array().expect("a sample").len(), 2);
        let done = ask(&relay, "POST", "/v1/deliveries/steer", order(false)).await;
        assert_eq!((&done["changed"], &done["more"]), (&json!(2), &json!(false)), "{done}");
        ask(&relay, "POST", "/v1/streams/1/release", Value::Null).await;
        relay.run_until_idle().await;
        for (recipient, source) in [
            ("ann@moved.test", "second"),
            ("bob@moved.test", "second"),
            ("eve@stays.test", "first"),
        ] {
            let delivery = relay.delivery_to(recipient).await;
            let path =
                format!("/v1/messages/{}/timeline?delivery={}", delivery.message, delivery.id);
            let timeline = ask(&relay, "GET", &path, Value::Null).await;
            let items = timeline["items"].as_array().expect("items");
            let attempt = &items.last().expect("an attempt")["attempt"];
            assert_eq!(attempt["source"], source, "{recipient}: {timeline}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_sends_by_a_pool_of_its_own() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, two_sources).await;
    ask(&relay, "POST", "/v1/pools", json!({"name": "own"})).await;
    ask(&relay, "POST", "/v1/pools/own/sources", json!({"source": "second"})).await;
    let view = ask(&relay, "PUT", "/v1/organizations/1/pool", json!({"pool": "own"})).await;
    assert!(view["pool"].is_i64(), "{view}");
    for number in 0..4 {
        relay.submit(&[&format!("r{number}@example.test")]).await;
    }
    relay.run_until_idle().await;
    let found = ask(&relay, "GET", "/v1/messages?source=second", Value::Null).await;
    assert_eq!(found["items"].as_array().expect("a list").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_tells_each_attempt_with_what_was_said_and_when_it_comes_again() {
    let mx = FakeMx::greylisting(Duration::from_secs(60)).await;
    let relay = TestRelay::sending_to(&mx).await;
    let id = relay.submit(&["ann@example.test"]).await;
    relay.rest().await;
    let path = format!("/v1/messages/{id}/timeline");
    let timeline = ask(&relay, "GET", &path, Value::Null).await;
    assert_eq!(timeline["source"], "kept");
    let items = timeline["items"].as_array().expect("items").clone();
    let kinds: Vec<&str> = items.iter().filter_map(|one| one["kind"].as_str()).collect();
    assert_eq!(kinds, ["accepted", "deferred"]);
    let deferred = &items[1];
    assert_eq!(deferred["recipient"], "ann@example.test");
    let attempt = &deferred["attempt"];
    assert_eq!((&attempt["code"], &attempt["class"]), (&json!(451), &json!("greylist")));
    assert_eq!(attempt["source"], "only");
    let due = relay.delivery_to("ann@example.test").await.due_at;
    assert_eq!(attempt["next"], json!(due));
    let lines = deferred["dialogue"]["lines"].as_array().expect("what was said");
    let said = |text: &str| lines.iter().any(|line| line.as_str().expect("text").contains(text));
    assert!(said("> RCPT TO:<ann@example.test>") && said("< 451 4.7.1 Greylisted"), "{lines:?}");
    relay.run_until_idle().await;
    let timeline = ask(&relay, "GET", &path, Value::Null).await;
    let last = timeline["items"].as_array().expect("items").last().cloned().expect("one");
    assert_eq!((&last["kind"], &last["dialogue"]), (&json!("delivered"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_traced_recipient_what_was_said_is_kept_whatever_becomes_of_it() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let trace = json!({"recipient": "@traced.test", "hours": 1});
    ask(&relay, "POST", "/v1/traces", trace).await;
    let id = relay.submit(&["ann@traced.test", "bob@other.test"]).await;
    relay.run_until_idle().await;
    let timeline = ask(&relay, "GET", &format!("/v1/messages/{id}/timeline"), Value::Null).await;
    for item in timeline["items"].as_array().expect("items") {
        if item["kind"] == "delivered" {
            let is_traced = item["recipient"] == "ann@traced.test";
            assert_eq!(item["dialogue"].is_object(), is_traced, "{item}");
            let text = item["dialogue"].to_string();
            assert!(!is_traced || text.contains("> DATA") || text.contains("> BDAT"), "{text}");
            assert!(!text.contains("Subject: hello"), "the mail is left out: {text}");
        }
    }
    relay.clock().advance(Duration::from_secs(3601));
    let late = relay.submit(&["eve@traced.test"]).await;
    relay.run_until_idle().await;
    let timeline = ask(&relay, "GET", &format!("/v1/messages/{late}/timeline"), Value::Null).await;
    assert!(!timeline.to_string().contains("\"lines\""), "the trace is over: {timeline}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_read_after_delivery_as_long_as_it_is_kept() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        settings.spool.keep_for = Duration::from_secs(3600);
    })
    .await;
    let large = "x".repeat(700);
    let mail = format!("From: <sender@sender.test>\r\nSubject: kept\r\n\r\n{large}\r\n");
    let filler = format!("{mail}{}", "y\r\n".repeat(200_000));
    let id =
        relay.submit_mail("<sender@sender.test>", &["ann@example.test"], mail.as_bytes()).await;
    for _ in 0..4 {
        let to = ["bob@example.test"];
        relay.submit_mail("<sender@sender.test>", &to, filler.as_bytes()).await;
    }
    relay.run_until_idle().await;
    relay.sweep().await;
    let path = format!("/v1/messages/{id}/raw");
    let (status, head, _) = relay.ask("GET", &path, None).await;
    assert_eq!(status, 200, "{head}");
    assert!(head.contains("postroad-source: kept"), "{head}");
    relay.clock().advance(Duration::from_secs(3601));
    relay.sweep().await;
    let (status, _, gone) = relay.ask("GET", &path, None).await;
    assert_eq!(status, 404, "{gone}");
    let timeline = relay.see(&format!("/v1/messages/{id}/timeline")).await;
    assert_eq!(timeline["source"], "gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_limit_that_comes_to_its_end_is_told_once() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    ask(&relay, "PUT", "/v1/organizations/1/send-limits", json!({"day": 10})).await;
    let kinds = async || {
        let page = relay.see("/v1/events?limit=500").await;
        let events = page["items"].as_array().expect("events").clone();
        let kinds = events.iter().filter_map(|event| event["kind"].as_str().map(str::to_owned));
        kinds.filter(|kind| kind.starts_with("limit_")).collect::<Vec<String>>()
    };
    for number in 0..11 {
        relay.submit(&[&format!("r{number}@example.test")]).await;
    }
    let started = Instant::now();
    while !kinds().await.contains(&"limit_reached".to_owned()) {
        assert!(started.elapsed() < PATIENCE, "not told: {:?}", kinds().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let told = kinds().await;
    assert_eq!(told.iter().filter(|kind| *kind == "limit_reached").count(), 1, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_in_a_sample_of_what_goes_well_is_kept_for_its_time() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        settings.delivery.dialogues_sampled = 1;
        settings.delivery.dialogues_kept = Duration::from_secs(24 * 3600);
    })
    .await;
    let id = relay.submit(&["ann@example.test"]).await;
    relay.run_until_idle().await;
    let delivered = async || {
        let path = format!("/v1/messages/{id}/timeline");
        let timeline = ask(&relay, "GET", &path, Value::Null).await;
        let items = timeline["items"].as_array().expect("items").clone();
        items.into_iter().find(|item| item["kind"] == "delivered").expect("delivered")
    };
    let said = delivered().await["dialogue"]["lines"].to_string();
    assert!(said.contains("> RCPT TO:<ann@example.test>"), "{said}");
    assert!(!said.contains("Subject: hello"), "the mail is left out: {said}");
    relay.clock().advance(Duration::from_secs(23 * 3600));
    assert!(delivered().await["dialogue"].is_object());
    relay.clock().advance(Duration::from_secs(2 * 3600));
    let later = delivered().await;
    assert!(later["dialogue"]["lines"].is_null(), "{later}");
    assert_eq!(later["attempt"]["code"], 250, "the attempt itself stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_sent_once_more_arrives_once_more() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::with(&mx, |settings| {
            settings.spool.keep_for = Duration::from_secs(24 * 3600);
            if let Database::Postgres(url) = &database {
                settings.store.url = Some(url.clone());
            }
        })
        .await;
        relay.submit(&["ann@example.test", "bob@example.test"]).await;
        relay.run_until_idle().await;
        let old = relay.delivery_to("ann@example.test").await;
        let path = format!("/v1/deliveries/{}/resend", old.id);
        let made = ask(&relay, "POST", &path, Value::Null).await;
        assert_ne!(made["message"], json!(old.message), "a message of its own");
        relay.run_until_idle().await;
        let mut received = mx.received();
        received.sort();
        assert_eq!(received, ["ann@example.test", "ann@example.test", "bob@example.test"]);
        let last = mx.mails().last().cloned().expect("one");
        assert!(String::from_utf8_lossy(&last.body).contains("Subject: hello"));
        assert_eq!(
            ask(&relay, "GET", "/v1/audit", Value::Null).await["items"][0]["action"],
            "delivery.resent"
        );
        relay.adds_up().await;
    }
}
