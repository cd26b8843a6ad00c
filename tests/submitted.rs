//! Submitted mail that tells of its readers: from SMTP and HTTP through a daemon to the sink, and
//! back over the links in it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use postroad::wire::{decode, mime};
use postroad::world::manners::Manners;
use serde_json::{Value, json};

use crate::campaigns::Desk;
use crate::dkim::MailAuth;
use crate::readers::{path, visit};
use crate::support::PATIENCE;
use crate::support::relay::Database;

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36";
const LINK: &str = "https://shop.test/buy?a=1&b=2";

/// An HTML mail with this field.
fn mail(field: &str) -> String {
    format!(
        "From: <sender@sender.test>\r\nSubject: hello\r\n{field}MIME-Version: 1.0\r\n\
         Content-Type: multipart/alternative; boundary=\"b\"\r\n\r\n--b\r\n\
         Content-Type: text/plain\r\n\r\n{LINK}\r\n--b\r\n\
         Content-Type: text/html; charset=utf-8\r\n\r\n\
         <p>Grüße <a href=\"https://shop.test/buy?a=1&amp;b=2\">buy</a></p>\r\n--b--\r\n"
    )
}

async fn send(desk: &Desk, field: &str, recipients: &[&str]) {
    let mail = mail(field);
    desk.relay.submit_mail("<sender@sender.test> BODY=8BITMIME", recipients, mail.as_bytes()).await;
    desk.relay.run_until_idle().await;
}

/// What a mail program shows.
fn html(desk: &Desk, recipient: &str) -> String {
    let mail = desk.mx.mail_to(recipient);
    let mime = mime::Mime::read(&mail.body);
    let part = mime.parts.iter().find(|part| part.media == "text/html").expect("HTML");
    decode::text(&part.content(), Some("utf-8"))
}

fn is_tracked(desk: &Desk, recipient: &str) -> (bool, bool) {
    let html = html(desk, recipient);
    let has = |kind: &str| html.contains(&format!("https://post.sender.test/{kind}/"));
    (has("o"), has("c"))
}

async fn until_story(desk: &Desk, recipient: &str, story: &[&str]) {
    let started = Instant::now();
    while desk.relay.story_of(recipient).await != story {
        let found = desk.relay.story_of(recipient).await;
        assert!(started.elapsed() < PATIENCE, "{recipient}: {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_stored(desk: &Desk, kind: &str, count: usize) {
    let started = Instant::now();
    loop {
        let events = desk.done("GET", &format!("/v1/events?kind={kind}"), Value::Null).await;
        let found = events["items"].as_array().expect("events").len();
        if found == count {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{found} events {kind}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_mail_has_links_of_its_reader_valid_signatures_and_tells_who_read_it() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let keys =
            desk.done("POST", "/v1/dkim", json!({"domain": "sender.test", "trusted": true})).await;
        let keys = keys["items"].as_array().expect("keys").iter();
        let text = |key: &Value, name: &str| key[name].as_str().expect("text").to_owned();
        let zone: HashMap<String, String> = keys
            .map(|key| {
                let name = format!("{}._domainkey.sender.test", text(key, "selector"));
                (name, text(key, "record"))
            })
            .collect();
        let both = ["ann@a.test", "bob@a.test"];
        send(&desk, "X-Postroad-Track: both\r\n", &both).await;
        let verifier = MailAuth::new(&zone);
        for recipient in both {
            let body = desk.mx.mail_to(recipient).body.clone();
            assert_eq!(verifier.passes(&body).await, 2, "{recipient}");
            assert!(!String::from_utf8_lossy(&body).contains("X-Postroad"), "{recipient}");
            let mime = mime::Mime::read(&body);
            let plain = mime.parts.iter().find(|part| part.media == "text/plain").expect("text");
            let plain = decode::text(&plain.content(), None);
            assert_eq!(
                path(&plain, "c", 0),
                path(&html(&desk, recipient), "c", 0),
                "the same link"
            );
            assert!(html(&desk, recipient).contains("<p>Grüße <a href=\"https://post.sender."));
        }
        let (ann, bob) = (html(&desk, "ann@a.test"), html(&desk, "bob@a.test"));
        assert_ne!(path(&ann, "c", 0), path(&bob, "c", 0), "each has his own");
        let (status, head, _) = visit(&desk, "GET", &path(&ann, "c", 0), CHROME, "").await;
        assert_eq!(status, 302);
        assert!(head.contains(&format!("location: {LINK}\r\n")), "{head}");
        until_story(&desk, "ann@a.test", &["accepted", "delivered", "clicked"]).await;
        let pixel = path(&ann, "o", 0);
        assert_eq!(visit(&desk, "GET", &pixel, CHROME, "").await.0, 200);
        until_story(&desk, "ann@a.test", &["accepted", "delivered", "clicked", "opened"]).await;
        assert_eq!(desk.relay.story_of("bob@a.test").await, ["accepted", "delivered"]);
        let delivery = desk.relay.delivery_to("ann@a.test").await;
        let events = desk.done("GET", "/v1/events?kind=clicked", Value::Null).await;
        let event = &events["items"][0];
        assert_eq!(
            (&event["delivery"], &event["message"]),
            (&json!(delivery.id), &json!(delivery.message)),
            "{events}"
        );
        assert_eq!(event["fields"]["link"], LINK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mail_says_goes_before_its_stream_and_that_before_its_domain() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    send(&desk, "", &["nothing@a.test"]).await;
    assert_eq!(is_tracked(&desk, "nothing@a.test"), (false, false));
    let whole = mail("");
    let sent = desk.mx.mail_to("nothing@a.test").body.clone();
    let (_, body) = whole.split_once("\r\n\r\n").expect("a body");
    assert!(sent.ends_with(body.as_bytes()), "it stays as it is, to the octet");

    let say = async |path: &str, tracking: Value| {
        let said = desk.done("PUT", path, json!({ "tracking": tracking })).await;
        assert_eq!(desk.done("GET", path, Value::Null).await, said);
    };
    say("/v1/domains/sender.test/tracking", json!("opens")).await;
    send(&desk, "", &["domain@a.test"]).await;
    assert_eq!(is_tracked(&desk, "domain@a.test"), (true, false));
    say("/v1/streams/1/tracking", json!("clicks")).await;
    send(&desk, "", &["stream@a.test"]).await;
    assert_eq!(is_tracked(&desk, "stream@a.test"), (false, true));
    send(&desk, "X-Postroad-Track: none\r\n", &["mail@a.test"]).await;
    assert_eq!(is_tracked(&desk, "mail@a.test"), (false, false));
    say("/v1/streams/1/tracking", Value::Null).await;
    let letter = json!({"from": "sender@sender.test", "to": ["api@a.test"], "subject": "x",
        "html": "<a href=\"https://shop.test/\">x</a>", "track": "both"});
    let (status, _, answer) = desk.relay.ask("POST", "/v1/messages", Some(letter)).await;
    assert_eq!(status, 202, "{answer}");
    desk.relay.run_until_idle().await;
    assert_eq!(is_tracked(&desk, "api@a.test"), (true, true));

    let wrong = mail("X-Postroad-Track: yes\r\n");
    let reply = desk.relay.try_submit(
        "<sender@sender.test> BODY=8BITMIME",
        &["x@a.test"],
        wrong.as_bytes(),
    );
    let reply = reply.await;
    assert!(reply.contains("X-Postroad-Track must hold none, opens, clicks or both"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_to_the_host_of_the_organization_and_those_sent_before_go_on() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        send(&desk, "X-Postroad-Track: clicks\r\n", &["before@a.test"]).await;
        let before = path(&html(&desk, "before@a.test"), "c", 0);
        let host = json!({"host": "click.sender.test"});
        let set = desk.done("PUT", "/v1/public-host", host.clone()).await;
        let shown = desk.done("GET", "/v1/public-host", Value::Null).await;
        assert_eq!((&set["host"], &shown["host"]), (&host["host"], &host["host"]));
        send(&desk, "X-Postroad-Track: clicks\r\n", &["after@a.test"]).await;
        let after = html(&desk, "after@a.test");
        let (_, rest) = after.split_once("\"https://click.sender.test").expect("its host");
        let after = rest.split('"').next().expect("its end").to_owned();
        for link in [before, after] {
            let (status, head, _) = visit(&desk, "GET", &link, CHROME, "").await;
            assert_eq!(status, 302);
            assert!(head.contains(&format!("location: {LINK}\r\n")), "{head}");
        }
        let foreign = json!({"host": "click.other.test"});
        let (status, body) = desk.ask("PUT", "/v1/public-host", foreign).await;
        assert_eq!((status, &body["field"]), (422, &json!("host")), "{body}");
        desk.done("PUT", "/v1/public-host", json!({"host": null})).await;
        send(&desk, "X-Postroad-Track: clicks\r\n", &["again@a.test"]).await;
        assert_eq!(is_tracked(&desk, "again@a.test"), (false, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opened_and_clicked_a_submitted_mail_is_told_as_of_a_campaign() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let part = |place: u8| format!("<a href=\"https://shop.test/{place}\">{place}</a>");
        let links: String = (0..4).map(part).collect();
        let mail = format!(
            "From: <sender@sender.test>\r\nX-Postroad-Track: both\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/html\r\n\r\n{links}\r\n"
        );
        desk.relay.submit_mail("<sender@sender.test>", &["ann@a.test"], mail.as_bytes()).await;
        desk.relay.run_until_idle().await;
        let html = html(&desk, "ann@a.test");
        let go = async |method: &str, path: &str, agent: &str| {
            visit(&desk, method, path, agent, "").await;
        };
        go("GET", &path(&html, "c", 3), CHROME).await;
        desk.relay.clock().advance(Duration::from_secs(60));
        go("GET", &path(&html, "o", 0), CHROME).await;
        go("GET", &path(&html, "o", 0), "curl/8.5.0").await;
        desk.relay.clock().advance(Duration::from_secs(60));
        go("GET", &path(&html, "c", 3), CHROME).await;
        // Three links at once are followed by nobody.
        desk.relay.clock().advance(Duration::from_secs(60));
        for nth in 0..3 {
            go("GET", &path(&html, "c", nth), CHROME).await;
        }
        until_stored(&desk, "clicked", 5).await;
        let delivery = desk.relay.delivery_to("ann@a.test").await;
        let told = async || {
            let timeline = format!("/v1/messages/{}/timeline", delivery.message);
            let shown = desk.done("GET", &timeline, Value::Null).await;
            let items = shown["items"].as_array().expect("entries").iter();
            let mut told: Vec<(i64, String, String)> = items
                .filter(|item| item["fields"]["agent"].is_string())
                .map(|item| {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    let at = item["at"].as_i64().expect("a moment");
                    (at, text(&item["kind"]), text(&item["fields"]["reader"]))
                })
                .collect();
            told.sort();
            told.into_iter().map(|(_, kind, reader)| format!("{kind} {reader}")).collect::<Vec<_>>()
        };
        let expected = [
            "clicked robot",
            "opened person",
            "opened robot",
            "clicked person",
            "clicked robot",
            "clicked robot",
            "clicked robot",
        ];
        let started = Instant::now();
        while told().await != expected {
            assert!(started.elapsed() < PATIENCE, "{:?}", told().await);
            desk.relay.clock().advance(Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
