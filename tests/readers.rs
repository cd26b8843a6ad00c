//! Readers of campaigns: what they open, follow and want no more of, over HTTP, on both databases.

use std::time::{Duration, Instant};

use postroad::world::manners::Manners;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::campaigns::Desk;
use crate::support::relay::Database;
use crate::support::{PATIENCE, until_told};

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36";

/// Status, header section and body.
pub async fn visit(
    desk: &Desk,
    method: &str,
    path: &str,
    agent: &str,
    body: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(desk.relay.http()).await.expect("it listens");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: post.sender.test\r\nuser-agent: {agent}\r\n\
         connection: close\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, head.to_owned(), body.to_owned())
}

/// The path of the nth link of ours in a mail that begins so.
pub fn path(mail: &str, kind: &str, nth: usize) -> String {
    let start = format!("https://post.sender.test/{kind}/");
    let rest = mail.split(&start).nth(nth + 1).unwrap_or_else(|| panic!("no {kind} in {mail}"));
    let token = rest.split(['"', '>', '\r', ')']).next().expect("its end");
    format!("/{kind}/{token}")
}

async fn sent(desk: &Desk) -> i64 {
    desk.contact("ann@a.test", json!({"name": "Ann"})).await;
    desk.contact("bob@b.test", json!({"name": "Bob"})).await;
    let body = "<p><a href=\"https://shop.test/buy?who={{ name }}&amp;x=1\">buy</a>\
        <a href=\"https://shop.test/two\">two</a><a href=\"https://shop.test/three\">three</a></p>";
    let id = desk.campaign(body, json!({})).await;
    desk.step(id, "launch").await;
    desk.until(id, "sent").await;
    desk.relay.clock().advance(Duration::from_secs(60));
    id
}

async fn report(desk: &Desk, id: i64, holds: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/v1/campaigns/{id}/report");
    let started = Instant::now();
    loop {
        let report = desk.done("GET", &path, Value::Null).await;
        if holds(&report) {
            return report;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain: {report}");
        desk.relay.clock().advance(Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Until so many events of this kind are stored.
async fn told(desk: &Desk, kind: &str, count: usize) {
    let path = format!("/v1/events?kind={kind}");
    let ask = async || desk.done("GET", &path, Value::Null).await;
    until_told(kind, ask, |page| page["items"].as_array().map(Vec::len) == Some(count)).await;
}

#[tokio::test]
async fn a_link_leads_on_and_people_are_counted_apart_from_machines() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let id = sent(&desk).await;
        let (ann, bob) = (desk.text_to("ann@a.test"), desk.text_to("bob@b.test"));
        let buy = path(&ann, "c", 0);
        let (status, head, _) = visit(&desk, "GET", &buy, CHROME, "").await;
        assert_eq!(status, 302);
        assert!(head.contains("location: https://shop.test/buy?who=Ann&x=1\r\n"), "{head}");
        let pixel = path(&ann, "o", 0);
        let (status, head, body) = visit(&desk, "GET", &pixel, CHROME, "").await;
        assert_eq!(status, 200);
        assert!(head.contains("image/gif") && body.starts_with("GIF89a"), "{head}");
        // A filter follows all links of Bob's mail at once.
        for nth in 0..3 {
            visit(&desk, "GET", &path(&bob, "c", nth), CHROME, "").await;
        }
        let mut forged = buy.clone();
        forged.replace_range(20..21, if &buy[20..21] == "x" { "y" } else { "x" });
        let (status, head, _) = visit(&desk, "GET", &forged, CHROME, "").await;
        assert_eq!(status, 404, "no link is followed that was not signed");
        assert!(!head.contains("location"), "{head}");

        // All are stored before any is old enough to be judged.
        told(&desk, "opened", 1).await;
        told(&desk, "clicked", 4).await;
        let counted = |report: &Value| report["machines"]["clicks_by_robots"] == 3;
        let report = report(&desk, id, counted).await;
        let own = &report["variants"][0];
        assert_eq!(
            (&own["delivered"], &own["opened"], &own["clicked"]),
            (&json!(2), &json!(1), &json!(1))
        );
        assert_eq!(report["links"][0]["target"], "https://shop.test/buy");
        let found = "/v1/contacts?segment=clicked%20within%20last%201%20days";
        let found = desk.done("GET", found, Value::Null).await;
        assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
        assert_eq!(found["items"][0]["email"], "ann@a.test");
        let csv = desk.done("GET", &format!("/v1/campaigns/{id}/report"), Value::Null).await;
        assert_eq!(csv["sums"]["delivered"], 2);
    }
}

#[tokio::test]
async fn one_click_unsubscribes_once_and_the_page_lets_a_person_choose() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let id = sent(&desk).await;
        let leave = path(&desk.text_to("ann@a.test"), "u", 0);
        let (status, _, body) = visit(&desk, "GET", &leave, CHROME, "").await;
        assert!(status == 200 && body.contains("ann@a.test"), "{status} {body}");
        let seen = desk.done("GET", "/v1/contacts?segment=list%20News", Value::Null).await;
        assert_eq!(seen["items"].as_array().map(Vec::len), Some(2), "looking changes nothing");
        for _ in 0..2 {
            let form = "List-Unsubscribe=One-Click";
            assert_eq!(visit(&desk, "POST", &leave, CHROME, form).await.0, 200);
        }
        let left = desk.done("GET", "/v1/contacts?segment=list%20News", Value::Null).await;
        assert_eq!(left["items"][0]["email"], "bob@b.test");
        let gone = |report: &Value| report["variants"][0]["unsubscribed"] == 1;
        report(&desk, id, gone).await;
        let bob = path(&desk.text_to("bob@b.test"), "u", 0);
        let form = "wish=all&reason=too+much+%3Cmail%3E";
        assert_eq!(visit(&desk, "POST", &bob, CHROME, form).await.0, 200);
        let found = "/v1/contacts?segment=email%20%3D%20%22bob%40b.test%22";
        let found = desk.done("GET", found, Value::Null).await;
        let story = format!("/v1/contacts/{}", found["items"][0]["id"]);
        let story = desk.done("GET", &story, Value::Null).await;
        assert_eq!(story["status"], "blocked");
        assert_eq!(story["consents"][0]["wording"], "too much <mail>", "{story}");
        let (status, ..) = visit(&desk, "POST", "/u/nonsense", CHROME, form).await;
        assert_eq!(status, 404);
    }
}

#[tokio::test]
async fn a_subscription_counts_once_the_mailbox_has_said_yes_and_bombing_is_held_off() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    let list = json!({"name": "Open <b>", "opt_in": "double", "visibility": "public"});
    let list = desk.done("POST", "/v1/lists", list).await["id"].as_i64().expect("an id");
    let page = format!("/s/1/{list}");
    let (status, _, body) = visit(&desk, "GET", &page, CHROME, "").await;
    assert!(status == 200 && body.contains("Open &lt;b&gt;"), "{body}");
    for _ in 0..5 {
        assert_eq!(visit(&desk, "POST", &page, CHROME, "email=eve%40e.test").await.0, 200);
    }
    assert_eq!(visit(&desk, "POST", &page, CHROME, "email=nobody").await.0, 422);
    let private = format!("/s/1/{}", desk.list);
    assert_eq!(visit(&desk, "GET", &private, CHROME, "").await.0, 404, "private lists have none");
    desk.relay.run_until_idle().await;
    let yes = path(&desk.text_to("eve@e.test"), "y", 0);
    let yes = yes.split_whitespace().next().expect("a link").to_owned();
    let members = "/v1/contacts?segment=list%20%22Open%20%3Cb%3E%22";
    visit(&desk, "GET", &yes, CHROME, "").await;
    let before = desk.done("GET", members, Value::Null).await;
    assert_eq!(before["items"], json!([]), "looking at the link confirms nothing");
    assert_eq!(visit(&desk, "POST", &yes, CHROME, "").await.0, 200);
    let after = desk.done("GET", members, Value::Null).await;
    assert_eq!(after["items"][0]["email"], "eve@e.test");
    assert_eq!(visit(&desk, "POST", &page, CHROME, "email=eve%40e.test").await.0, 200);
    desk.relay.run_until_idle().await;
    desk.text_to("eve@e.test");
    for _ in 0..40 {
        visit(&desk, "POST", &page, CHROME, "email=x%40e.test").await;
    }
    assert_eq!(visit(&desk, "POST", &page, CHROME, "email=y%40e.test").await.0, 429);
}
