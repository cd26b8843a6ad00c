//! Every kind of event whose cause a demo can be brought to comes out of it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use postroad::events::table::EVENTS;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::demo::Demo;
use crate::support::operator;
use crate::support::talk::Talk;

const SEEN: [&str; 16] = [
    "accepted",
    "queued",
    "delivered",
    "deferred",
    "failed",
    "expired",
    "held",
    "released",
    "cancelled",
    "suppressed",
    "credential_used_first",
    "bounced",
    "delayed",
    "auto_replied",
    "inbound_received",
    "domain_checked",
];

/// What a demo does not come to within seconds: the test that sees it, and what stands there.
const SEEN_ELSEWHERE: [(&str, &str, &str); 6] = [
    // After two hours in which it was wrong, and the hour after.
    ("source_red", include_str!("upkeep.rs"), "until_told(&relay, \"source_red\")"),
    ("source_green", include_str!("upkeep.rs"), "until_told(&relay, \"source_green\")"),
    ("alarm", include_str!("acme.rs"), "\"/v1/events?kind=alarm\""),
    ("confirmed", include_str!("inbound.rs"), "[\"accepted\", \"delivered\", \"confirmed\"]"),
    ("replied", include_str!("engagement.rs"), "\"/v1/events?kind=replied\""),
    ("limit_approaching", include_str!("postal.rs"), "told(\"SendLimitApproaching\")"),
];

#[test]
fn every_kind_that_is_said_to_exist_is_seen_by_a_test() {
    let elsewhere = SEEN_ELSEWHERE.iter().map(|(kind, ..)| *kind);
    let seen: BTreeSet<&str> = SEEN.into_iter().chain(SEEN_OF_CAMPAIGNS).chain(elsewhere).collect();
    let existing = EVENTS.iter().filter(|declared| declared.exists);
    let existing: BTreeSet<&str> = existing.map(|declared| declared.name).collect();
    assert_eq!(seen, existing);
    for (kind, test, words) in SEEN_ELSEWHERE {
        assert!(test.contains(words), "{kind}: {words}");
    }
}

fn ask(demo: &Demo, method: &str, path: &str, body: &Value) -> Value {
    let address = demo.fact("http").trim_start_matches("http://").trim_start_matches("https://");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Authorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        demo.fact("api_key"),
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
    serde_json::from_str(body).expect("JSON")
}

fn letter(demo: &Demo, to: &str) -> Value {
    json!({"from": demo.fact("from"), "to": [to], "subject": "an event", "text": "hi"})
}

fn steer(demo: &Demo, action: &str, message: &Value) {
    let order = json!({"action": action, "filter": {"message": message}, "reason": "a test"});
    let steered = ask(demo, "POST", "/v1/deliveries/steer", &order);
    assert_eq!(steered["changed"], 1, "{action}: {steered}");
}

fn seen(demo: &Demo) -> BTreeSet<String> {
    let page = ask(demo, "GET", "/v1/events?limit=500", &Value::Null);
    let events = page["items"].as_array().expect("events").iter();
    events.map(|event| event["kind"].as_str().expect("a kind").to_owned()).collect()
}

/// A mail from outside for an address that a route takes, and another key for the demo's domain.
async fn from_outside(demo: &Demo) {
    let socket = std::path::PathBuf::from(demo.fact("data_dir")).join("control.sock");
    let (_, domain) = demo.fact("from").split_once('@').expect("an address");
    let route = json!({"pattern": format!("*@{domain}"), "action": "accept", "organization": 1});
    done(&socket, "POST", "/v1/inbound-routes", route).await;
    let address = demo.fact("inbound").parse().expect("an address");
    let mut talk = Talk::to(address).await;
    talk.expect("EHLO mx.far.test", "250").await;
    talk.expect("MAIL FROM:<ann@far.test>", "250").await;
    talk.expect(&format!("RCPT TO:<help@{domain}>"), "250").await;
    talk.expect("DATA", "354").await;
    talk.send(b"Subject: a question\r\n\r\nAre you there?\r\n.\r\n").await;
    assert!(talk.reply().await.starts_with("250"));
    let check = format!("/v1/domains/{domain}/check");
    done(&socket, "POST", &check, json!({})).await;
    let keys = json!({"domain": domain, "selector": "another"});
    done(&socket, "POST", "/v1/dkim", keys).await;
    done(&socket, "POST", &check, json!({})).await;
}

#[test]
fn the_demo_tells_of_everything_that_is_done_with_mail() {
    let directory = tempfile::tempdir().expect("a directory");
    // A wait of five minutes for the next try is one of five seconds.
    let demo = Demo::start_in(directory.path(), &["--speed", "60"]);
    let accepting = |local: &str| format!("{local}@{}", demo.fact("accepting_domain"));
    let greylisting = |local: &str| format!("{local}@{}", demo.fact("greylisting_domain"));
    let send = |letter: &Value| ask(&demo, "POST", "/v1/messages", letter)["id"].clone();
    let first = send(&letter(&demo, &accepting("bob")));
    // The demo's own time: later than it is by now, and before a host that greylists looks at a
    // mail again.
    let message = ask(&demo, "GET", &format!("/v1/messages/{first}"), &Value::Null);
    let now = message["accepted_at"].as_i64().expect("a time");
    let mut short = letter(&demo, &greylisting("short"));
    short["expires_at"] = json!(now + 50_000_000);
    send(&short);
    send(&letter(&demo, demo.fact("refused_recipient")));
    let mut later = letter(&demo, &accepting("later"));
    later["scheduled_at"] = json!(now + 86_400_000_000_i64);
    let (first, second) = (send(&later), send(&later));
    steer(&demo, "hold", &first);
    steer(&demo, "release", &first);
    steer(&demo, "cancel", &second);
    let address = accepting("never");
    let entry = json!({"entries": [{"address": address}], "scope": "organization"});
    ask(&demo, "POST", "/v1/suppressions", &entry);
    send(&letter(&demo, &address));
    for local in ["bounces", "delays", "away"] {
        send(&letter(&demo, &accepting(local)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(from_outside(&demo));
    let started = Instant::now();
    let wanted: BTreeSet<String> = SEEN.map(str::to_owned).into();
    loop {
        let seen = seen(&demo);
        let missing: Vec<_> = wanted.difference(&seen).collect();
        if missing.is_empty() {
            break;
        }
        assert!(started.elapsed() < PATIENCE * 2, "not told: {missing:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(demo.stop(), "SIGTERM ends the demo with success");
}

const SEEN_OF_CAMPAIGNS: [&str; 8] = [
    "campaign_state",
    "opened",
    "clicked",
    "complained",
    "unsubscribed",
    "automation_entered",
    "automation_ended",
    "limit_reached",
];

async fn done(socket: &std::path::Path, method: &str, path: &str, body: Value) -> Value {
    let (status, answer) = operator::ask(socket, method, path, body).await;
    assert_eq!(status, 200, "{method} {path}: {answer}");
    answer
}

/// To mailboxes of the sandbox, whose owners open, follow and complain, and to one who leaves.
async fn campaign(demo: &Demo, socket: &std::path::Path) {
    let list = json!({"name": "owners", "opt_in": "single"});
    let list = done(socket, "POST", "/v1/lists", list).await["id"].clone();
    let automation = json!({"name": "owners", "steps": [{"kind": "exit"}],
        "entry": {"kind": "subscription", "list": list}});
    let made = done(socket, "POST", "/v1/automations", automation).await;
    let path = format!("/v1/automations/{}/step", made["id"]);
    done(socket, "POST", &path, json!({"step": "activate"})).await;
    let leaves = format!("leaves@{}", demo.fact("accepting_domain"));
    let sandbox =
        ["open", "click", "complain"].map(|local| format!("{local}@sandbox.mail.shop.test"));
    for email in sandbox.into_iter().chain([leaves]) {
        let contact = json!({"email": email,
            "contact": {"subscribe": [list], "consent": {"source": "a test"}}});
        done(socket, "POST", "/v1/contacts", contact).await;
    }
    let body = "<p><a href=\"https://shop.test/buy\">buy</a> \
        <a href=\"{{ unsubscribe_url }}\">leave</a></p>";
    let input = json!({"name": "owners", "from": demo.fact("from"),
        "variants": [{"subject": "Hi", "kind": "html", "body": body}],
        "settings": {"audience": {"lists": [list]}, "tracking": {"opens": true, "clicks": true}}});
    let made = done(socket, "POST", "/v1/campaigns", input).await;
    let path = format!("/v1/campaigns/{}/step", made["id"]);
    done(socket, "POST", &path, json!({"step": "launch"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_of_campaigns_their_readers_and_limits() {
    let directory = tempfile::tempdir().expect("a directory");
    let demo = Demo::start_in(directory.path(), &["--speed", "60"]);
    let socket = std::path::PathBuf::from(demo.fact("data_dir")).join("control.sock");
    campaign(&demo, &socket).await;
    let started = Instant::now();
    let mut wanted: BTreeSet<&str> = SEEN_OF_CAMPAIGNS.into();
    let mut is_limited = false;
    while !wanted.is_empty() {
        let page = done(&socket, "GET", "/v1/events?limit=500", Value::Null).await;
        for event in page["items"].as_array().expect("events") {
            wanted.remove(event["kind"].as_str().expect("a kind"));
        }
        if wanted.len() == 1 && !is_limited {
            is_limited = true;
            done(&socket, "PUT", "/v1/organizations/1/send-limits", json!({"day": 1})).await;
            let over = format!("over@{}", demo.fact("accepting_domain"));
            ask(&demo, "POST", "/v1/messages", &letter(&demo, &over));
        }
        assert!(started.elapsed() < PATIENCE * 2, "not told: {wanted:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(demo.stop(), "SIGTERM ends the demo with success");
}
