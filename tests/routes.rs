//! Mail for our own addresses goes on: to an endpoint, to a host, to other addresses.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use postroad::config::Settings;
use postroad::wire::network::Network;
use serde_json::{Value, json};

use crate::support::http::{HttpSink, status};
use crate::support::mx::FakeMx;
use crate::support::operator;
use crate::support::relay::TestRelay;
use crate::support::{until, until_told};

const MAIL: &str = "From: Ann <ann@far.test>\nTo: help@sender.test\nSubject: a question\n\
    Message-ID: <q@far.test>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\
    --b\nContent-Type: text/plain\n\nYes, please.\n\n\
    On Mon, 1 Jun 2026 Shop wrote:\n> old words\n\n\
    --b\nContent-Type: text/csv; name=\"a.csv\"\nContent-Disposition: attachment\n\n1,2\n\n--b--\n";

fn listening(settings: &mut Settings) {
    settings.inbound.listen = vec![([127, 0, 0, 1], 0).into()];
    settings.fetch.allowed_networks = vec![Network::parse("127.0.0.0/8").expect("one")];
}

async fn route(relay: &TestRelay, pattern: &str, action: &str, more: Value) -> Value {
    let mut order = json!({"pattern": pattern, "action": action, "organization": 1});
    let fields = more.as_object().expect("an object").clone();
    order.as_object_mut().expect("an object").extend(fields);
    relay.order("/v1/inbound-routes", order).await
}

async fn owed(relay: &TestRelay) -> Vec<Value> {
    let list = relay.see("/v1/inbound-calls").await;
    list["items"].as_array().expect("a list").clone()
}

async fn until_owed(relay: &TestRelay, what: &str, holds: impl Fn(&Vec<Value>) -> bool) {
    until_told(what, async || owed(relay).await, holds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_posted_parsed_and_signed_and_again_until_it_is_taken() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, listening).await;
    let answer = |number| Some(status(if number == 0 { 500 } else { 204 }));
    let sink = HttpSink::answering(answer).await;
    let target = json!({"target": sink.url("/mail")});
    let made = route(&relay, "*@sender.test", "http", target).await;
    let answer = relay.bring("ann@far.test", "Help+7@sender.test", MAIL).await;
    assert!(answer.starts_with("250"), "{answer}");
    let told = relay.see("/v1/events?kind=inbound_received").await;
    let told = &told["items"][0]["fields"];
    assert_eq!(
        (&told["recipient"], &told["fate"]),
        (&json!("Help+7@sender.test"), &json!("routed"))
    );
    sink.until(1).await;
    // The first answer was no yes: what is owed waits for its time.
    let tried = |calls: &Vec<Value>| calls.first().is_some_and(|call| call["tries"] == 1);
    until_owed(&relay, "the first try is booked", tried).await;
    relay.clock().advance(std::time::Duration::from_secs(20));
    let requests = sink.until(2).await;
    let body = requests[1].json();
    assert_eq!(body["recipient"], "Help+7@sender.test");
    assert_eq!((&body["reply"], &body["subject"]), (&json!("Yes, please."), &json!("a question")));
    assert_eq!(body["attachments"][0]["name"], "a.csv");
    assert_eq!(body["spf"], "none");
    let request = &requests[1];
    let header = |name| request.header(name).expect("a header");
    let secret = made["secret"].as_str().expect("a secret");
    let key = BASE64.decode(&secret["whsec_".len()..]).expect("base64");
    let mut text =
        format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).into_bytes();
    text.extend_from_slice(&request.body);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &text);
    assert_eq!(header("webhook-signature"), format!("v1,{}", BASE64.encode(tag)));
    until_owed(&relay, "nothing is owed any more", Vec::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_exact_route_counts_and_each_action_does_what_it_says() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, listening).await;
    route(&relay, "*@sender.test", "refuse", json!({})).await;
    route(&relay, "hold@sender.test", "hold", json!({})).await;
    route(&relay, "drop@sender.test", "accept", json!({})).await;
    let target = json!({"target": "eve@example.test dan@example.test"});
    route(&relay, "team@sender.test", "forward", target).await;
    let target = json!({"target": mx.first().address().to_string()});
    route(&relay, "box@sender.test", "smtp", target).await;
    for (local, expected) in
        [("any", "550 5.1.1"), ("hold", "250"), ("DROP", "250"), ("team", "250"), ("box", "250")]
    {
        let answer = relay.bring("ann@far.test", &format!("{local}@sender.test"), MAIL).await;
        assert!(answer.starts_with(expected), "{local}: {answer}");
    }
    let answer = relay.bring("ann@far.test", "any@elsewhere.test", MAIL).await;
    assert!(answer.starts_with("550 5.7.1"), "{answer}");
    relay.run_until_idle().await;
    until("three mails", || mx.received().len() >= 3).await;
    let mut received = mx.received();
    received.sort();
    assert_eq!(received, ["box@sender.test", "dan@example.test", "eve@example.test"]);
    assert_eq!(mx.mail_to("eve@example.test").envelope.sender, "");
    until_owed(&relay, "the host's answer is booked", |calls| calls.len() == 1).await;
    let held = owed(&relay).await;
    assert_eq!(held[0]["state"], "held");
    let one = relay.see(&format!("/v1/inbound-calls/{}", held[0]["id"])).await;
    let mail = BASE64.decode(one["payload"].as_str().expect("text")).expect("base64");
    assert!(String::from_utf8(mail).expect("text").contains("Yes, please."));
    release(&relay, &mx, &held[0]["id"]).await;
    let answer = relay.bring("ann@far.test", "hold@sender.test", MAIL).await;
    assert!(answer.starts_with("250"), "{answer}");
    let held = owed(&relay).await;
    relay.remove(&format!("/v1/inbound-calls/{}", held[0]["id"])).await;
    assert_eq!(owed(&relay).await, [Value::Null; 0], "a person has dropped it");
}

/// What is held goes on to whom a person names, once.
async fn release(relay: &TestRelay, mx: &FakeMx, id: &Value) {
    let path = format!("/v1/inbound-calls/{id}/release");
    let (status, body) =
        operator::ask(&relay.settings().control_socket(), "POST", &path, json!({})).await;
    assert_eq!((status, &body["field"]), (422, &json!("to")), "{body}");
    relay.order(&path, json!({"to": ["finn@example.test"]})).await;
    relay.run_until_idle().await;
    let mail = mx.mail_to("finn@example.test");
    assert!(String::from_utf8_lossy(&mail.body).contains("Yes, please."));
    until_owed(relay, "nothing is held", Vec::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_lies_in_the_organizations_own_domains_and_reaches_no_inner_host() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        listening(settings);
        settings.fetch.allowed_networks = Vec::new();
    })
    .await;
    relay.set_rules(json!({"scopes": ["domains_write", "domains_read"]})).await;
    let order = json!({"pattern": "*@other.test", "action": "accept"});
    let (status, _, body) = relay.ask("POST", "/v1/inbound-routes", Some(order)).await;
    assert_eq!((status, &body["field"]), (422, &json!("pattern")), "{body}");
    let target = json!({"target": "127.0.0.1:25"});
    route(&relay, "box@sender.test", "smtp", target).await;
    relay.bring("ann@far.test", "box@sender.test", MAIL).await;
    let refused = |calls: &Vec<Value>| {
        let text = calls.first().and_then(|call| call["text"].as_str());
        text.is_some_and(|text| text.contains("not allowed"))
    };
    until_owed(&relay, "it is refused", refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_gets_the_mail_itself_or_as_postal_posts_it_and_no_more_files_than_it_wants() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, listening).await;
    let sink = HttpSink::taking().await;
    let forms = [
        ("raw", json!({"target": sink.url("/raw"), "format": "raw"})),
        ("postal", json!({"target": sink.url("/postal"), "format": "postal"})),
        ("few", json!({"target": sink.url("/few"), "attachment_bytes_max": 2})),
    ];
    for (local, more) in forms {
        route(&relay, &format!("{local}@sender.test"), "http", more).await;
        let answer = relay.bring("ann@far.test", &format!("{local}@sender.test"), MAIL).await;
        assert!(answer.starts_with("250"), "{local}: {answer}");
    }
    let requests = sink.until(3).await;
    let of = |path: &str| {
        let own = requests.iter().find(|request| request.line.contains(path));
        own.unwrap_or_else(|| panic!("nothing came to {path}"))
    };
    assert_eq!(of("/raw").header("content-type"), Some("message/rfc822"));
    let raw = String::from_utf8_lossy(&of("/raw").body).into_owned();
    assert!(raw.contains("Subject: a question\r\n") && raw.ends_with("--b--\r\n"), "{raw}");
    let postal = of("/postal").json();
    assert_eq!(
        (&postal["rcpt_to"], &postal["mail_from"]),
        (&json!("postal@sender.test"), &json!("ann@far.test"))
    );
    assert_eq!(postal["attachments"][0]["filename"], "a.csv");
    let few = of("/few").json();
    assert_eq!((&few["attachments"], &few["attachments_left_out"]), (&json!([]), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_or_a_host_does_not_take_is_brought_again_and_given_up_after_three_days() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, listening).await;
    let sink = HttpSink::answering(|_| Some(status(500))).await;
    route(&relay, "post@sender.test", "http", json!({"target": sink.url("/mail")})).await;
    mx.refuse("box@sender.test", "451 4.3.0 not now");
    let target = json!({"target": mx.first().address().to_string()});
    route(&relay, "box@sender.test", "smtp", target).await;
    for local in ["post", "box"] {
        let answer = relay.bring("ann@far.test", &format!("{local}@sender.test"), MAIL).await;
        assert!(answer.starts_with("250"), "{answer}");
    }
    let tried = |tries: u64| {
        move |all: &Vec<Value>| {
            all.len() == 2 && all.iter().all(|call| call["tries"].as_u64() >= Some(tries))
        }
    };
    until_owed(&relay, "the first try", tried(1)).await;
    relay.clock().advance(std::time::Duration::from_secs(60));
    until_owed(&relay, "the second try", tried(2)).await;
    assert!(owed(&relay).await.iter().all(|call| call["state"] == "waiting"));
    relay.clock().advance(std::time::Duration::from_secs(73 * 3600));
    let is_over = |call: &Value| call["state"] == "failed";
    until_owed(&relay, "the end", |all| all.len() == 2 && all.iter().all(is_over)).await;
    let texts = owed(&relay).await.iter().map(|call| call["text"].to_string()).collect::<String>();
    assert!(texts.contains("not now"), "{texts}");
    assert_eq!(mx.received(), [""; 0]);
}
