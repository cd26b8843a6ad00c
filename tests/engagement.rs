//! What people do with mails, and how mail to them fares, decides who is written to first, or at
//! all.

use std::time::{Duration, Instant};

use postroad::model::{DeliveryId, MessageId, OrganizationId};
use postroad::store::Tracked;
use postroad::store::filter::Filter;
use postroad::world::manners::Manners;
use serde_json::{Value, json};

use crate::campaigns::Desk;
use crate::support::PATIENCE;
use crate::support::relay::Database;

const CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0 Safari/537.36";

/// A reader's program follows a link of the mail, a minute after it was delivered.
async fn click(desk: &Desk, recipient: &str, agent: &str) {
    let delivery = desk.relay.delivery_to(recipient).await;
    let fields = json!({"agent": agent, "method": "GET", "place": 0, "link": "https://a.test/"});
    let clicked = Tracked {
        message: MessageId(delivery.message.0),
        delivery: DeliveryId(delivery.id.0),
        kind: postroad::model::EventKind::Clicked,
        fields,
        at: desk.relay.clock().now(),
    };
    desk.relay.app().store().track(vec![clicked]).await.expect("tracked");
}

async fn count(desk: &Desk, expression: &str) -> u64 {
    let asked = json!({"expression": expression});
    let counted = desk.done("POST", "/v1/segments/count", asked).await;
    counted["count"].as_u64().expect("a count")
}

async fn until_count(desk: &Desk, expression: &str, wanted: u64) {
    let started = Instant::now();
    while count(desk, expression).await != wanted {
        let found = count(desk, expression).await;
        assert!(started.elapsed() < PATIENCE, "{expression}: {found}, not {wanted}");
        desk.relay.clock().advance(Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn who_clicks_is_warm_goes_first_and_his_story_tells_every_answer() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        desk.mx.refuse("gone@c.test", "550 5.1.1 no such user here");
        let mut ids = Vec::new();
        for email in ["ann@a.test", "bob@b.test", "gone@c.test"] {
            ids.push(desk.contact(email, json!({})).await);
        }
        let body = "<p><a href=\"https://a.test/\">read</a></p>";
        let first = desk.campaign(body, json!({})).await;
        desk.step(first, "launch").await;
        desk.until(first, "sent").await;
        desk.relay.clock().advance(Duration::from_secs(60));
        click(&desk, "ann@a.test", CHROME).await;
        until_count(&desk, "clicked within last 1 day", 1).await;
        assert_eq!(count(&desk, "score >= 30").await, 1, "an open is not seen, a click is 4");
        assert_eq!(count(&desk, "score = 0").await, 2);
        assert_eq!(count(&desk, "score top 10").await, 1);
        until_count(&desk, "delivered within last 1 day", 2).await;
        let silent = format!("campaign {first} is delivered and not campaign {first} is opened");
        assert_eq!(count(&desk, &silent).await, 1, "bob, who may be asked again");
        assert_eq!(count(&desk, &format!("campaign {first} is clicked")).await, 1);
        assert_eq!(count(&desk, &format!("campaign {first} is failed")).await, 1);
        assert_eq!(count(&desk, "bounced is not empty").await, 1);
        assert_eq!(count(&desk, "bounce_class = mailbox_invalid").await, 1);
        let path = format!("/v1/contacts/{}/story", ids[2]);
        let story = desk.done("GET", &path, Value::Null).await;
        assert_eq!(story["contact"]["fared"]["bounce_class"], "mailbox_invalid", "{story}");
        let events = story["mails"][0]["events"].as_array().expect("events");
        let failed = events.iter().find(|event| event["kind"] == "failed").expect("one");
        let reply = failed["fields"]["reply"].as_str().unwrap_or_default();
        assert!(reply.contains("no such user here"), "{failed}");
        assert_eq!(story["consents"].as_array().map(Vec::len), Some(1));
        let path = format!("/v1/contacts/{}", ids[0]);
        assert_eq!(desk.done("GET", &path, Value::Null).await["score"], 33);
        // Who has done something is in front of those who came later.
        desk.contact("new@d.test", json!({})).await;
        let again = desk.campaign(body, json!({})).await;
        desk.step(again, "launch").await;
        desk.until(again, "sent").await;
        let store = desk.relay.store();
        let (first, everybody) = (OrganizationId::FIRST, Filter::EVERYBODY);
        let order = store.audience(first, &everybody).await.expect("read");
        assert_eq!(order[0].0.0, ids[0]);
    }
}

#[tokio::test]
async fn a_robots_click_warms_nobody_and_who_sleeps_is_left_out() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    desk.contact("ann@a.test", json!({})).await;
    desk.contact("bob@b.test", json!({})).await;
    let body = "<p><a href=\"https://a.test/\">read</a></p>";
    let first = desk.campaign(body, json!({})).await;
    desk.step(first, "launch").await;
    desk.until(first, "sent").await;
    desk.relay.clock().advance(Duration::from_secs(60));
    click(&desk, "ann@a.test", CHROME).await;
    click(&desk, "bob@b.test", "curl/8.0 security scanner bot").await;
    until_count(&desk, "clicked is not empty", 1).await;
    assert_eq!(count(&desk, "score > 0").await, 1);
    let audience = async |id: &Value| {
        let checks = desk.done("GET", &format!("/v1/campaigns/{id}/checks"), Value::Null).await;
        checks["audience"].clone()
    };
    for (again, expected) in [("", 2), ("?again=unopened", 1), ("?again=unclicked", 1)] {
        let path = format!("/v1/campaigns/{first}/copy{again}");
        let copied = desk.done("POST", &path, Value::Null).await;
        assert_eq!(audience(&copied["id"]).await, expected, "{again}");
        let settings = &copied["settings"]["audience"];
        assert_eq!(settings["lists"], json!([desk.list]), "who leaves the list is left out");
    }
    let draft = desk.campaign(body, json!({})).await;
    let path = format!("/v1/campaigns/{draft}/copy?again=unopened");
    assert_eq!(desk.ask("POST", &path, Value::Null).await.0, 422);
    desk.contact("cid@c.test", json!({})).await;
    let rested = desk.campaign(body, json!({"rest_days": 1})).await;
    assert_eq!(audience(&json!(rested)).await, 1, "the other two had mail today");
    for days in [100, 100] {
        desk.relay.clock().advance(Duration::from_secs(days * 86_400));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rested = desk.campaign(body, json!({"rest_days": 1})).await;
    assert_eq!(audience(&json!(rested)).await, 3, "that is long ago");
    desk.contact("new@c.test", json!({})).await;
    let ready = desk.done("GET", "/v1/segments/ready", Value::Null).await;
    let cold = ready["items"][2]["expression"].as_str().expect("an expression").to_owned();
    assert_eq!(count(&desk, &cold).await, 3);
    let settings = json!({"sunset_days": 250});
    for (settings, expected) in [(json!({}), 4), (json!({"sunset_days": 150}), 1), (settings, 4)] {
        let id = desk.campaign(body, settings.clone()).await;
        assert_eq!(audience(&json!(id)).await, expected, "{settings}");
    }
}

async fn audit(desk: &Desk) -> Vec<Value> {
    let page = desk.done("GET", "/v1/audit", Value::Null).await;
    page["items"].as_array().expect("lines").clone()
}

#[tokio::test]
async fn an_erased_person_is_named_nowhere_and_every_count_stays() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        desk.mx.refuse("ann@c.test", "550 5.1.1 <ann@c.test> no such user here");
        let ann = desk.contact("ann@c.test", json!({"name": "Ann"})).await;
        desk.contact("bob@b.test", json!({"name": "Bob"})).await;
        let path = format!("/v1/contacts/{ann}");
        desk.done("PATCH", &path, json!({"name": "Ann Smith"})).await;
        desk.contact("joann@c.test", json!({"name": "Jo"})).await;
        let entries = json!([{"address": "Ann@c.test"}]);
        let entries = json!({"entries": entries, "scope": "organization"});
        desk.done("POST", "/v1/suppressions", entries).await;
        let found = desk.done("GET", "/v1/suppressions?address=ann@c.test", Value::Null).await;
        let path = format!("/v1/suppressions/{}/remove", found["items"][0]["id"]);
        desk.done("POST", &path, json!({"note": "ann@c.test asked"})).await;
        let lines = audit(&desk).await;
        let id = desk.campaign("<p>{{ name }}</p>", json!({})).await;
        desk.step(id, "launch").await;
        let before = desk.until(id, "sent").await["sums"].clone();
        let exported = desk.done("GET", &format!("/v1/contacts/{ann}/export"), Value::Null).await;
        assert_eq!(exported["contact"]["name"], "Ann Smith");
        assert_eq!(exported["mails"].as_array().map(Vec::len), Some(1), "{exported}");
        let path = format!("/v1/contacts/{ann}/erase");
        assert_eq!(desk.done("POST", &path, Value::Null).await["mails"], 1);
        assert_eq!(desk.show(id).await["sums"], before);
        let (status, _) = desk.ask("GET", &format!("/v1/contacts/{ann}"), Value::Null).await;
        assert_eq!(status, 404);
        let erased = desk.relay.delivery_to("erased@c.test").await;
        assert_eq!(erased.text, "");
        let path = format!("/v1/messages/{}", erased.message);
        let told = desk.done("GET", &path, Value::Null).await.to_string();
        assert!(!told.contains("\"ann@c.test"), "{told}");
        assert!(told.contains("mailbox_invalid") && told.contains("bob@b.test"), "{told}");
        let left = audit(&desk).await;
        let text = json!(left).to_string().to_lowercase();
        assert!(!text.contains("\"ann@c.test") && !text.contains("ann smith"), "{text}");
        assert!(text.contains("joann@c.test") && text.contains("bob@b.test"), "{text}");
        let who = |line: &Value| {
            (line["id"].clone(), line["at"].clone(), line["actor"].clone(), line["action"].clone())
        };
        for line in &lines {
            assert!(left.iter().any(|one| who(one) == who(line)), "{line} is gone");
        }
        desk.relay.adds_up().await;
    }
}

#[tokio::test]
async fn an_anonymous_campaign_counts_clicks_and_keeps_nobody() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        desk.contact("ann@a.test", json!({})).await;
        let body = "<p><a href=\"https://a.test/\">read</a></p>";
        let id = desk.campaign(body, json!({"tracking": {"anonymous": true}})).await;
        desk.step(id, "launch").await;
        desk.until(id, "sent").await;
        desk.relay.clock().advance(Duration::from_secs(60));
        click(&desk, "ann@a.test", CHROME).await;
        let path = format!("/v1/campaigns/{id}/report");
        let started = Instant::now();
        let report = loop {
            let report = desk.done("GET", &path, Value::Null).await;
            if report["links"][0]["clicks"] == 1 && report["devices"][0]["clicks"] == 1 {
                break report;
            }
            assert!(started.elapsed() < PATIENCE, "{report}");
            desk.relay.clock().advance(Duration::from_secs(2));
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(report["devices"][0]["device"], "desktop", "{report}");
        assert_eq!(report["variants"][0]["clicked"], 0, "nobody is known to have clicked");
        assert_eq!(count(&desk, "clicked is not empty").await, 0);
        let delivery = desk.relay.delivery_to("ann@a.test").await;
        let path = format!("/v1/messages/{}", delivery.message);
        let told = desk.done("GET", &path, Value::Null).await;
        let kinds: Vec<&Value> =
            told["events"].as_array().expect("events").iter().map(|event| &event["kind"]).collect();
        assert!(!kinds.contains(&&json!("clicked")), "{kinds:?}");
    }
}

#[tokio::test]
async fn who_clicked_is_forgotten_after_the_days_that_were_said_and_counts_stay() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        desk.contact("ann@a.test", json!({})).await;
        let body = "<p><a href=\"https://a.test/\">read</a></p>";
        let id = desk.campaign(body, json!({})).await;
        desk.step(id, "launch").await;
        desk.until(id, "sent").await;
        desk.relay.clock().advance(Duration::from_secs(60));
        click(&desk, "ann@a.test", CHROME).await;
        until_count(&desk, "clicked is not empty", 1).await;
        desk.done("PUT", "/v1/tracking", json!({"keep_days": 30})).await;
        let message = desk.relay.delivery_to("ann@a.test").await.message;
        let path = format!("/v1/messages/{message}");
        let started = Instant::now();
        loop {
            desk.relay.clock().advance(Duration::from_secs(11 * 86_400));
            tokio::time::sleep(Duration::from_millis(50)).await;
            let told = desk.done("GET", &path, Value::Null).await.to_string();
            if !told.contains("\"clicked\"") {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "{told}");
        }
        let path = format!("/v1/campaigns/{id}/report");
        let report = desk.done("GET", &path, Value::Null).await;
        assert_eq!(report["variants"][0]["clicked"], 1, "{report}");
    }
}

#[tokio::test]
async fn everybody_of_a_segment_is_changed_at_once() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        for number in 0..7 {
            let city = if number < 4 { "Bonn" } else { "Ulm" };
            let contact = json!({"fields": {"city": city}});
            desk.contact(&format!("p{number}@a.test"), contact).await;
        }
        let bulk = json!({"segment": "city = Bonn", "change": {"tags": ["rhine"]}});
        let done = desk.done("POST", "/v1/contacts/bulk", bulk).await;
        assert_eq!(done, json!({"changed": 4, "next": null}));
        assert_eq!(count(&desk, "tag rhine").await, 4);
        let bulk = json!({"segment": "tag rhine", "remove": true});
        desk.done("POST", "/v1/contacts/bulk", bulk).await;
        assert_eq!(count(&desk, "city is not empty").await, 3);
        let neither = json!({"segment": "city = Ulm"});
        let (status, _) = desk.ask("POST", "/v1/contacts/bulk", neither).await;
        assert_eq!(status, 422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_a_campaign_is_warm_and_nobody_answers_for_another() {
    for database in Database::all().await {
        let desk = Desk::with(&database, Manners::default(), |settings| {
            settings.inbound.listen = vec![([127, 0, 0, 1], 0).into()];
        })
        .await;
        let route = json!({"pattern": "*@sender.test", "action": "accept", "organization": 1});
        desk.done("POST", "/v1/inbound-routes", route).await;
        for email in ["ann@a.test", "bob@b.test"] {
            desk.contact(email, json!({})).await;
        }
        let id = desk.campaign("<p>x</p>", json!({})).await;
        desk.step(id, "launch").await;
        desk.until(id, "sent").await;
        let answer = |recipient: &str, from: &str, more: &str| {
            let mail = desk.text_to(recipient);
            let (_, rest) = mail.split_once("Message-ID: ").expect("one");
            let (id, _) = rest.split_once("\r\n").expect("its end");
            format!("From: <{from}>\nSubject: Re: Hi\nIn-Reply-To: {id}\n{more}\nYes.\n")
        };
        for (recipient, from, more) in [
            ("ann@a.test", "Ann@a.test", ""),
            ("bob@b.test", "mallory@b.test", ""),
            ("bob@b.test", "bob@b.test", "Auto-Submitted: auto-replied\n"),
        ] {
            let mail = answer(recipient, from, more);
            let reply = desk.relay.bring(from, "news@sender.test", &mail).await;
            assert!(reply.starts_with("250"), "{reply}");
        }
        until_count(&desk, "score >= 45", 1).await;
        assert_eq!(count(&desk, "score = 0").await, 1, "bob has not answered");
        let events = desk.done("GET", "/v1/events?kind=replied", Value::Null).await;
        assert_eq!(events["items"].as_array().map(Vec::len), Some(1), "{events}");
        let report = desk.done("GET", &format!("/v1/campaigns/{id}/report"), Value::Null).await;
        assert_eq!(report["variants"][0]["replied"], 1, "{report}");
    }
}
