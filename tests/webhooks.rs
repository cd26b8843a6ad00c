//! What customers' servers are told, and what happens when they do not listen.

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use postroad::wire::network::Network;
use postroad::world::dns::Data;
use serde_json::{Value, json};

use crate::support::http::{HttpSink, Request, status};
use crate::support::mx::FakeMx;
use crate::support::relay::{Database, TestRelay};
use crate::support::{PATIENCE, operator, until, until_told};

async fn relay_on(database: &Database, mx: &FakeMx) -> TestRelay {
    let url = match database {
        Database::Sqlite => None,
        Database::Postgres(url) => Some(url.clone()),
    };
    TestRelay::with(mx, |settings| {
        settings.store.url = url;
        settings.fetch.allowed_networks = vec![Network::parse("127.0.0.0/8").expect("one")];
    })
    .await
}

async fn ask(relay: &TestRelay, method: &str, path: &str, body: Value) -> (u16, Value) {
    operator::ask(&relay.settings().control_socket(), method, path, body).await
}

/// Id and secret.
async fn add(relay: &TestRelay, sink: &HttpSink, kinds: &[&str]) -> (i64, String) {
    let url = sink.url("/hook");
    let order = json!({"name": url, "url": url, "kinds": kinds});
    let (status, made) = ask(relay, "POST", "/v1/webhooks", order).await;
    assert_eq!(status, 200, "{made}");
    let id = made["webhook"]["id"].as_i64().expect("an id");
    // Endpoints are read anew within a round of the feed.
    (id, made["secret"].as_str().expect("a secret").to_owned())
}

fn events(requests: &[Request]) -> Vec<Value> {
    let told = requests.iter().map(Request::json);
    told.flat_map(|body| body["events"].as_array().cloned().unwrap_or_default()).collect()
}

fn kinds(requests: &[Request]) -> Vec<String> {
    let kind = |event: &Value| event["kind"].as_str().expect("a kind").to_owned();
    let mut kinds: Vec<String> = events(requests).iter().map(kind).collect();
    kinds.sort();
    kinds
}

async fn calls(relay: &TestRelay, id: i64) -> Vec<Value> {
    let (_, page) = ask(relay, "GET", &format!("/v1/webhooks/{id}/calls"), Value::Null).await;
    page["items"].as_array().expect("items").clone()
}

#[tokio::test]
async fn an_endpoint_is_told_of_what_it_chose_with_a_signature() {
    for database in Database::all().await {
        let mx = FakeMx::refusing("gone@example.test", "550 5.1.1 no such user").await;
        let relay = relay_on(&database, &mx).await;
        let sink = HttpSink::taking().await;
        let (_, secret) = add(&relay, &sink, &["delivered", "failed"]).await;
        relay.submit(&["gone@example.test", "bob@example.test"]).await;
        relay.run_until_idle().await;
        until("all is told", || events(&sink.requests()).len() >= 3).await;
        let requests = sink.requests();
        // The report to the sender is a mail too.
        assert_eq!(kinds(&requests), ["delivered", "delivered", "failed"]);
        let told = events(&requests);
        let failed = told.iter().find(|event| event["kind"] == "failed").expect("told");
        assert_eq!(failed["delivery"]["recipient"], "gone@example.test");
        assert_eq!(failed["message"]["subject"], "hello");
        assert_eq!(failed["fields"]["code"], 550);
        for request in &requests {
            let header = |name| request.header(name).expect("a header");
            let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
            let key = BASE64.decode(&secret["whsec_".len()..]).expect("base64");
            let mut text = format!("{id}.{time}.").into_bytes();
            text.extend_from_slice(&request.body);
            let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
            let expected = format!("v1,{}", BASE64.encode(hmac::sign(&key, &text)));
            assert_eq!(header("webhook-signature"), expected);
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_is_called_again_and_delays_no_other() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = relay_on(&database, &mx).await;
        let failing =
            HttpSink::answering(|nth| Some(status(if nth < 2 { 500 } else { 200 }))).await;
        let well = HttpSink::taking().await;
        let (id, _) = add(&relay, &failing, &["delivered"]).await;
        add(&relay, &well, &["delivered"]).await;
        relay.submit(&["bob@example.test"]).await;
        relay.run_until_idle().await;
        well.until(1).await;
        let started = Instant::now();
        // The next try is some seconds after the answer to the one before was read.
        while failing.requests().len() < 3 {
            assert!(started.elapsed() < PATIENCE, "{} tries", failing.requests().len());
            relay.clock().advance(Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let requests = failing.requests();
        assert_eq!(requests.len(), 3);
        let ids: Vec<_> = requests.iter().map(|request| request.header("webhook-id")).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "one call keeps its id: {ids:?}");
        let state = async || calls(&relay, id).await[0]["state"].clone();
        until_told("the answer is booked", state, |state| state == "delivered").await;
        let (_, view) = ask(&relay, "GET", &format!("/v1/webhooks/{id}"), Value::Null).await;
        assert_eq!(view["failing_since"], Value::Null);
    }
}

#[tokio::test]
async fn what_is_owed_to_an_endpoint_survives_a_restart() {
    let mx = FakeMx::accepting().await;
    let mut relay = relay_on(&Database::Sqlite, &mx).await;
    let sink = HttpSink::answering(|nth| Some(status(if nth == 0 { 503 } else { 200 }))).await;
    add(&relay, &sink, &["delivered"]).await;
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    sink.until(1).await;
    relay.stop().await;
    relay.clock().advance(Duration::from_secs(60));
    relay.start().await;
    let requests = sink.until(2).await;
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    assert_eq!(kinds(&requests), ["delivered", "delivered"]);
}

#[tokio::test]
async fn a_private_target_is_not_called_unless_allowed() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let sink = HttpSink::taking().await;
    let (id, _) = add(&relay, &sink, &[]).await;
    let (status, call) = ask(&relay, "POST", &format!("/v1/webhooks/{id}/test"), json!({})).await;
    assert_eq!(status, 200, "{call}");
    let text = async || calls(&relay, id).await[0]["text"].as_str().expect("a text").to_owned();
    let text = until_told("it says why", text, |text| !text.is_empty()).await;
    assert!(text.contains("not on the public internet"), "{text}");
    assert!(sink.requests().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_into_this_house_is_not_called() {
    let mx = FakeMx::accepting().await;
    for address in [[127, 0, 0, 1], [10, 0, 0, 7], [169, 254, 169, 254]] {
        mx.dns().change(|zones| zones.add("hooks.public.test", Data::Address(address.into())));
    }
    let relay = TestRelay::sending_to(&mx).await;
    let sink = HttpSink::taking().await;
    let url = format!("http://hooks.public.test:{}/hook", sink.address.port());
    let order = json!({"name": "inside", "url": url, "kinds": []});
    let (status, made) = ask(&relay, "POST", "/v1/webhooks", order).await;
    assert_eq!(status, 200, "{made}");
    let id = made["webhook"]["id"].as_i64().expect("an id");
    let (status, call) = ask(&relay, "POST", &format!("/v1/webhooks/{id}/test"), json!({})).await;
    assert_eq!(status, 200, "{call}");
    let mut text = String::new();
    for _ in 0..500 {
        text = calls(&relay, id).await[0]["text"].as_str().expect("a text").to_owned();
        if !text.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(text.contains("not on the public internet"), "{text}");
    assert!(sink.requests().is_empty());
}

#[tokio::test]
async fn a_time_is_told_once_more_and_an_endpoint_that_is_gone_is_switched_off() {
    let mx = FakeMx::accepting().await;
    let relay = relay_on(&Database::Sqlite, &mx).await;
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    let sink = HttpSink::answering(|nth| Some(status(if nth == 0 { 200 } else { 410 }))).await;
    let (id, _) = add(&relay, &sink, &["delivered"]).await;
    let order = json!({"from": 0, "to": relay.clock().now().0 + 1});
    let path = format!("/v1/webhooks/{id}/replay");
    let (status, done) = ask(&relay, "POST", &path, order.clone()).await;
    assert_eq!((status, &done["events"]), (200, &json!(1)), "{done}");
    assert_eq!(kinds(&sink.until(1).await), ["delivered"]);
    ask(&relay, "POST", &path, order).await;
    sink.until(2).await;
    let view = async || ask(&relay, "GET", &format!("/v1/webhooks/{id}"), Value::Null).await.1;
    let view = until_told("it is switched off", view, |view| view["enabled"] == false).await;
    assert_eq!(view["disabled_reason"], "the endpoint answered 410 Gone");
}

#[tokio::test]
async fn a_webhook_that_cannot_be_one_is_refused_by_field() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    for (order, field) in [
        (json!({"name": "", "url": "https://a.example/"}), "name"),
        (json!({"name": "a", "url": "ftp://a.example/"}), "url"),
        (json!({"name": "a", "url": "https://u:p@a.example/"}), "url"),
        (json!({"name": "a", "url": "https://a.example/", "kinds": ["eaten"]}), "kinds"),
        (json!({"name": "a", "url": "https://a.example/", "colour": "red"}), "colour"),
    ] {
        let (status, problem) = ask(&relay, "POST", "/v1/webhooks", order.clone()).await;
        assert_eq!((status, problem["field"].as_str()), (422, Some(field)), "{order}: {problem}");
    }
    let order = json!({"name": "a", "url": "https://a.example/"});
    assert_eq!(ask(&relay, "POST", "/v1/webhooks", order.clone()).await.0, 200);
    assert_eq!(ask(&relay, "POST", "/v1/webhooks", order).await.0, 409);
    assert_eq!(ask(&relay, "GET", "/v1/webhooks/99", Value::Null).await.0, 404);
}
