//! The whole of what comes back: refusals, reports now and a day later, complaints, notes of
//! absence, wishes to leave, forged reports; every count, suppression and timeline is right.

use std::collections::BTreeMap;
use std::time::Duration;

use postroad::wire::network::Network;
use serde_json::{Value, json};

use crate::support::http::{HttpSink, Request};
use crate::support::mx::FakeMx;
use crate::support::relay::TestRelay;

const MAIL: &[u8] =
    b"From: <sender@sender.test>\r\nSubject: news\r\nX-Postroad-Stream: marketing\r\n\
                      \r\nhello\r\n";
const RECIPIENTS: [&str; 9] = [
    "fine@example.test",
    "gone@example.test",
    "bounces@example.test",
    "bounces-tomorrow@example.test",
    "fills-up@example.test",
    "complains@example.test",
    "delays@example.test",
    "away@example.test",
    "leaves@example.test",
];

async fn until_story(relay: &TestRelay, recipient: &str, last: &str) {
    for _ in 0..1000 {
        if relay.story_of(recipient).await.last() == Some(&last) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{recipient}: {:?}, and no {last}", relay.story_of(recipient).await);
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

async fn suppressed(relay: &TestRelay) -> BTreeMap<String, String> {
    let list = relay.see("/v1/suppressions").await;
    let items = list["items"].as_array().expect("a list").clone();
    let text = |item: &Value, name: &str| item[name].as_str().expect("text").to_owned();
    items.iter().map(|item| (text(item, "address"), text(item, "reason"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_back_for_a_campaign_every_count_suppression_and_timeline_is_right() {
    let mx = FakeMx::refusing("gone@example.test", "550 5.1.1 no such user here").await;
    let relay = TestRelay::with(&mx, |settings| {
        settings.inbound.listen = vec![([127, 0, 0, 1], 0).into()];
        settings.inbound.return_domain = Some("bounce.sender.test".to_owned());
        settings.http.public_url = Some("https://mail.sender.test".to_owned());
        settings.fetch.allowed_networks = vec![Network::parse("127.0.0.0/8").expect("one")];
    })
    .await;
    mx.send_back_to(relay.inbound());
    let sink = HttpSink::taking().await;
    let url = sink.url("/hook");
    let kinds = ["bounced", "complained", "unsubscribed", "delayed", "auto_replied", "failed"];
    let order = json!({"name": "all", "url": url, "kinds": kinds});
    relay.order("/v1/webhooks", order).await;
    for recipient in RECIPIENTS {
        relay.submit_mail("<sender@sender.test>", &[recipient], MAIL).await;
    }
    relay.run_until_idle().await;
    let now = [
        ("bounces@example.test", "bounced"),
        ("fills-up@example.test", "bounced"),
        ("complains@example.test", "complained"),
        ("delays@example.test", "delayed"),
        ("away@example.test", "auto_replied"),
        ("leaves@example.test", "unsubscribed"),
    ];
    for (recipient, last) in now {
        until_story(&relay, recipient, last).await;
    }
    // Somebody makes up a report on who is fine.
    let forged =
        "From: MAILER-DAEMON@x.test\nSubject: failure\n\n<fine@example.test>: 550 5.1.1 gone\n";
    relay.bring("", "postmaster@bounce.sender.test", forged).await;
    let later = "bounces-tomorrow@example.test";
    assert_eq!(relay.story_of(later).await, ["accepted", "delivered"]);
    relay.clock().advance(Duration::from_secs(86_400 + 60));
    until_story(&relay, later, "bounced").await;
    assert_eq!(relay.story_of("fine@example.test").await, ["accepted", "delivered"]);
    assert_eq!(relay.story_of("gone@example.test").await, ["accepted", "failed"]);
    let expected = [
        ("bounces-tomorrow@example.test", "hard_bounce"),
        ("bounces@example.test", "hard_bounce"),
        ("complains@example.test", "complaint"),
        ("gone@example.test", "hard_bounce"),
        ("leaves@example.test", "unsubscribe"),
    ];
    let expected = expected.map(|(address, reason)| (address.to_owned(), reason.to_owned()));
    assert_eq!(suppressed(&relay).await, BTreeMap::from(expected));
    let counts = [
        ("auto_replied", 1),
        ("bounced", 3),
        ("complained", 1),
        ("delayed", 1),
        ("failed", 1),
        ("unsubscribed", 1),
    ];
    let counts = BTreeMap::from(counts.map(|(kind, count)| (kind.to_owned(), count)));
    for _ in 0..1000 {
        if told(&sink.requests()).values().sum::<usize>() >= 8 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(told(&sink.requests()), counts);
    relay.adds_up().await;
}
