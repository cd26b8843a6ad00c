//! Automations: steps that a person goes through, across restarts, on both databases.

use std::time::{Duration, Instant};

use postroad::world::manners::Manners;
use serde_json::{Value, json};

use crate::campaigns::Desk;
use crate::support::relay::Database;
use crate::support::{PATIENCE, until_told};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn mail(subject: &str) -> Value {
    let body = "<p>Dear {{ name }}</p><a href=\"{{ unsubscribe_url }}\">leave</a>";
    json!({"kind": "send", "from": "news@sender.test",
        "mail": {"subject": subject, "body": body}})
}

fn wait(seconds: u64) -> Value {
    json!({"kind": "wait", "seconds": seconds})
}

async fn made(desk: &Desk, entry: Value, more: Value, steps: Vec<Value>) -> i64 {
    let mut input = json!({"name": format!("A {entry}"), "entry": entry, "steps": steps});
    for (name, value) in more.as_object().expect("an object") {
        input[name] = value.clone();
    }
    let made = desk.done("POST", "/v1/automations", input).await;
    assert_eq!(made["state"], "draft");
    let id = made["id"].as_i64().expect("an id");
    step(desk, id, "activate").await;
    id
}

async fn step(desk: &Desk, id: i64, step: &str) -> Value {
    desk.done("POST", &format!("/v1/automations/{id}/step"), json!({"step": step})).await
}

/// The subjects of what a person got, in order.
fn got(desk: &Desk, recipient: &str) -> Vec<String> {
    let mails = desk.mx.mails();
    let own = mails.iter().filter(|mail| mail.envelope.recipients.iter().any(|to| to == recipient));
    own.map(|mail| subject(&mail.body)).collect()
}

fn subject(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("Subject: "));
    line.unwrap_or_default().to_owned()
}

/// Moves the clock by `each` until it holds.
async fn until(desk: &Desk, what: &str, each: u64, holds: impl Fn(&Desk) -> bool) {
    let started = Instant::now();
    while !holds(desk) {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        desk.relay.clock().advance(Duration::from_secs(each));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn runs(desk: &Desk, id: i64) -> Vec<Value> {
    let page = desk.done("GET", &format!("/v1/automations/{id}/runs"), Value::Null).await;
    page["items"].as_array().expect("a list").clone()
}

/// Until as many runs are in this state.
async fn until_runs(desk: &Desk, id: i64, state: &str, count: usize) {
    let started = Instant::now();
    loop {
        let runs = runs(desk, id).await;
        if runs.iter().filter(|run| run["state"] == state).count() == count {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "not {count} {state}: {runs:?}");
        a_second_goes_by(desk).await;
    }
}

/// Automations are looked after every second.
async fn a_second_goes_by(desk: &Desk) {
    desk.relay.clock().advance(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Until as many runs wait for their time before this step: a wait counts from its step on.
async fn until_before(desk: &Desk, id: i64, step: u64, count: usize) {
    let stands = |run: &&Value| run["state"] == "waiting" && run["step"] == step;
    let ask = async || {
        a_second_goes_by(desk).await;
        runs(desk, id).await
    };
    let what = format!("{count} before step {step}");
    until_told(&what, ask, |runs| runs.iter().filter(stands).count() == count).await;
}

#[tokio::test]
async fn everybody_goes_through_the_steps_once_though_the_daemon_stops_in_the_middle() {
    for database in Database::all().await {
        let mut desk = Desk::on(&database, Manners::default()).await;
        desk.contact("before@a.test", json!({"name": "Before"})).await;
        let condition = json!({"kind": "condition", "expression": "city = \"Bonn\""});
        let exit = json!({"kind": "exit"});
        let steps = vec![mail("welcome"), wait(DAY), condition, mail("second"), wait(DAY), exit];
        let entry = json!({"kind": "subscription", "list": desk.list});
        let id = made(&desk, entry, json!({}), steps).await;
        desk.contact("ann@a.test", json!({"name": "Ann", "fields": {"city": "Bonn"}})).await;
        desk.contact("bob@b.test", json!({"name": "Bob", "fields": {"city": "Ulm"}})).await;
        let left = desk.contact("left@b.test", json!({"fields": {"city": "Bonn"}})).await;
        for to in ["ann@a.test", "bob@b.test", "left@b.test"] {
            until(&desk, "a welcome", 1, |desk| got(desk, to) == ["welcome"]).await;
        }
        until_before(&desk, id, 2, 3).await;
        let leaving = json!({"unsubscribe": [desk.list]});
        desk.done("PATCH", &format!("/v1/contacts/{left}"), leaving).await;
        // Once more the same: nobody comes in twice.
        desk.contact("ann@a.test", json!({"name": "Ann"})).await;
        desk.relay.stop().await;
        desk.relay.clock().advance(Duration::from_secs(DAY));
        desk.relay.start().await;
        until(&desk, "the second mail", 1, |desk| got(desk, "ann@a.test").len() > 1).await;
        until_before(&desk, id, 5, 1).await;
        desk.relay.stop().await;
        desk.relay.start().await;
        desk.relay.clock().advance(Duration::from_secs(DAY + 60));
        until_runs(&desk, id, "ended", 3).await;
        assert_eq!(got(&desk, "ann@a.test"), ["welcome", "second"]);
        assert_eq!(got(&desk, "bob@b.test"), ["welcome"]);
        assert_eq!(got(&desk, "left@b.test"), ["welcome"]);
        assert!(got(&desk, "before@a.test").is_empty(), "he was there before");
        let reasons: Vec<Value> =
            runs(&desk, id).await.iter().map(|run| run["reason"].clone()).collect();
        assert_eq!(reasons, ["left", "condition", "exited"], "newest first");
        let shown = desk.done("GET", &format!("/v1/automations/{id}"), Value::Null).await;
        assert_eq!(shown["standing"], json!([]));
        assert_eq!(shown["done"][0], json!({"version": 1, "step": 0, "did": "sent", "count": 3}));
        desk.relay.adds_up().await;
    }
}

#[tokio::test]
async fn an_event_told_twice_by_the_same_key_sends_once() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        desk.contact("ann@a.test", json!({"name": "Ann"})).await;
        let entry = json!({"kind": "event", "event": "order.shipped"});
        let id = made(&desk, entry, json!({"again": true}), vec![mail("shipped")]).await;
        let tell = async |key: &str| {
            let told = json!({"email": "Ann@A.test", "event": "order.shipped", "key": key});
            let told = desk.done("POST", "/v1/automation-events", told).await;
            assert_eq!(told["automations"], 1);
        };
        for key in ["1", "1", "2"] {
            tell(key).await;
        }
        until_runs(&desk, id, "ended", 2).await;
        tell("1").await;
        desk.relay.clock().advance(Duration::from_secs(60));
        tell("3").await;
        until_runs(&desk, id, "ended", 3).await;
        until(&desk, "three", 1, |desk| got(desk, "ann@a.test").len() >= 3).await;
        assert_eq!(got(&desk, "ann@a.test"), ["shipped"; 3], "three orders");
        let unknown = json!({"email": "nobody@a.test", "event": "order.shipped"});
        let (status, body) = desk.ask("POST", "/v1/automation-events", unknown).await;
        assert_eq!((status, &body["field"]), (422, &json!("email")));
    }
}

#[tokio::test]
async fn whoever_is_in_it_ends_in_the_version_that_he_began_in() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    let entry = json!({"kind": "tag", "tag": "vip"});
    let id = made(&desk, entry.clone(), json!({}), vec![wait(HOUR), mail("old")]).await;
    desk.contact("ann@a.test", json!({"tags": ["vip"]})).await;
    until_before(&desk, id, 1, 1).await;
    let path = format!("/v1/automations/{id}");
    let steps = json!([{"kind": "wait", "seconds": HOUR}, mail("new")]);
    let input = json!({"name": "A vip", "entry": entry, "steps": steps});
    assert_eq!(desk.done("PUT", &path, input.clone()).await["version"], 2);
    assert_eq!(desk.done("PUT", &path, input).await["version"], 2, "nothing is new");
    desk.contact("bob@b.test", json!({"tags": ["vip"]})).await;
    until_before(&desk, id, 1, 2).await;
    desk.relay.clock().advance(Duration::from_secs(HOUR));
    until_runs(&desk, id, "ended", 2).await;
    let both =
        |desk: &Desk| !got(desk, "ann@a.test").is_empty() && !got(desk, "bob@b.test").is_empty();
    until(&desk, "both", 1, both).await;
    assert_eq!(got(&desk, "ann@a.test"), ["old"]);
    assert_eq!(got(&desk, "bob@b.test"), ["new"]);
    let campaigns = desk.done("GET", "/v1/campaigns", Value::Null).await;
    assert_eq!(campaigns["items"], json!([]), "its mails are no campaigns of their own");
}

#[tokio::test]
async fn a_paused_automation_moves_nobody_and_an_ended_one_lets_everybody_go() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    let entry = json!({"kind": "subscription", "list": desk.list});
    let id = made(&desk, entry, json!({}), vec![wait(HOUR), mail("a"), wait(DAY), mail("b")]).await;
    desk.contact("ann@a.test", json!({})).await;
    until_before(&desk, id, 1, 1).await;
    step(&desk, id, "pause").await;
    desk.contact("bob@b.test", json!({})).await;
    for _ in 0..10 {
        desk.relay.clock().advance(Duration::from_secs(HOUR));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(got(&desk, "ann@a.test").is_empty());
    assert_eq!(runs(&desk, id).await.len(), 1, "who comes in waits before the door");
    step(&desk, id, "activate").await;
    until(&desk, "both", 60, |desk| {
        got(desk, "ann@a.test") == ["a"] && got(desk, "bob@b.test") == ["a"]
    })
    .await;
    step(&desk, id, "end").await;
    until_runs(&desk, id, "ended", 2).await;
    assert!(runs(&desk, id).await.iter().all(|run| run["reason"] == "stopped"));
    let path = format!("/v1/automations/{id}/step");
    let (status, _) = desk.ask("POST", &path, json!({"step": "activate"})).await;
    assert_eq!(status, 409, "it has ended for good");
}

#[tokio::test]
async fn whoever_is_taken_out_of_it_gets_nothing_more() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    let entry = json!({"kind": "subscription", "list": desk.list});
    let id = made(&desk, entry, json!({}), vec![wait(HOUR), mail("a")]).await;
    desk.contact("ann@a.test", json!({})).await;
    desk.contact("bob@b.test", json!({})).await;
    until_before(&desk, id, 1, 2).await;
    let all = runs(&desk, id).await;
    let own = all.iter().find(|run| run["email"] == "ann@a.test").unwrap_or(&all[0]);
    let run = own["id"].clone();
    let path = format!("/v1/automations/{id}/runs/{run}");
    desk.done("DELETE", &path, Value::Null).await;
    until_runs(&desk, id, "ended", 1).await;
    desk.relay.clock().advance(Duration::from_secs(HOUR));
    until_runs(&desk, id, "ended", 2).await;
    until(&desk, "the other's", 1, |desk| !desk.mx.received().is_empty()).await;
    assert_eq!(desk.mx.received().len(), 1);
}

/// Days since 1970.
fn today(desk: &Desk) -> i64 {
    desk.relay.clock().now().seconds().div_euclid(DAY as i64)
}

/// Until whoever's day it is has come in.
async fn until_dated(desk: &Desk, day: Option<i64>) {
    let ask = async || {
        a_second_goes_by(desk).await;
        let dated = desk.relay.store().dated_automations().await.expect("read");
        dated.first().and_then(|row| row.dated_until)
    };
    let holds = |until: &Option<i64>| until.is_some() && day.is_none_or(|day| *until == Some(day));
    until_told("the day is looked at", ask, holds).await;
}

/// The next nine o'clock, and everybody whose day it is has come in.
async fn next_morning(desk: &Desk) -> i64 {
    const NINE: i64 = 9 * HOUR as i64;
    let now = desk.relay.clock().now().seconds();
    let day = (now - NINE).div_euclid(DAY as i64) + 1;
    let wait = day * DAY as i64 + NINE - now;
    desk.relay.clock().advance(Duration::from_secs(wait.unsigned_abs()));
    until_dated(desk, Some(day)).await;
    day
}

#[tokio::test]
async fn a_birthday_brings_one_mail_in_each_year() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    desk.done("POST", "/v1/contact-fields", json!({"name": "born", "kind": "birthday"})).await;
    let entry = json!({"kind": "date", "field": "born", "minute": 540, "zone": "UTC"});
    let id = made(&desk, entry, json!({}), vec![mail("happy")]).await;
    let day = |later: i64| {
        let seconds = (today(&desk) + later) * DAY as i64;
        let date = jiff::Timestamp::from_second(seconds).expect("a moment");
        date.to_zoned(jiff::tz::TimeZone::UTC).strftime("%m-%d").to_string()
    };
    let birthday = today(&desk) + 2;
    desk.contact("ann@a.test", json!({"fields": {"born": day(2)}})).await;
    desk.contact("bob@b.test", json!({"fields": {"born": day(9)}})).await;
    // It lets in from the day on that follows the first look, and of missed days the last two.
    until_dated(&desk, None).await;
    while next_morning(&desk).await < birthday {
        assert!(runs(&desk, id).await.is_empty(), "nobody's day");
    }
    until(&desk, "the birthday", 1, |desk| !got(desk, "ann@a.test").is_empty()).await;
    assert!(got(&desk, "bob@b.test").is_empty());
    for _ in 0..2 {
        next_morning(&desk).await;
    }
    desk.relay.rest().await;
    assert_eq!(got(&desk, "ann@a.test"), ["happy"], "once");
    assert_eq!(runs(&desk, id).await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_its_place() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    let entry = json!({"kind": "subscription", "list": desk.list});
    for (entry, steps, field) in [
        (json!({"kind": "subscription", "list": 99}), json!([{"kind": "exit"}]), "entry.list"),
        (entry.clone(), json!([]), "steps"),
        (entry.clone(), json!([{"kind": "wait", "seconds": 0}]), "steps[0].seconds"),
        (
            entry.clone(),
            json!([{"kind": "condition", "expression": "nonsense = 1"}]),
            "steps[0].expression",
        ),
        (
            entry.clone(),
            json!([{"kind": "send", "from": "a@other.test",
            "mail": {"subject": "x", "body": "x"}}]),
            "from",
        ),
    ] {
        let input = json!({"name": "A", "entry": entry, "steps": steps});
        let (status, body) = desk.ask("POST", "/v1/automations", input).await;
        assert_eq!((status, &body["field"]), (422, &json!(field)), "{body}");
    }
}

#[tokio::test]
async fn a_step_puts_tags_on_and_joins_and_leaves_lists() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let other = json!({"name": "Other", "opt_in": "single"});
        let other = desk.done("POST", "/v1/lists", other).await["id"].as_i64().expect("an id");
        let change = json!({"kind": "change", "tags": ["seen"], "subscribe": [other],
            "unsubscribe": [desk.list]});
        let entry = json!({"kind": "tag", "tag": "vip"});
        let id = made(&desk, entry, json!({}), vec![change, wait(HOUR), mail("later")]).await;
        desk.contact("ann@a.test", json!({"tags": ["vip"]})).await;
        until_runs(&desk, id, "waiting", 1).await;
        let started = Instant::now();
        loop {
            let asked = json!({"expression": "tag seen and list Other and not list News"});
            if desk.done("POST", "/v1/segments/count", asked).await["count"] == 1 {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "it was not changed");
            desk.relay.clock().advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        until(&desk, "the mail", 60, |desk| got(desk, "ann@a.test") == ["later"]).await;
    }
}
