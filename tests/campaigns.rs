//! Campaigns, from contacts to mailboxes, through a whole daemon on both databases.

use std::time::{Duration, Instant};

use postroad::config::Settings;
use postroad::model::{
    CampaignContent, CampaignId, CampaignSettings, CampaignState, ContactId, Limit, OrganizationId,
    StreamId,
};
use postroad::world::manners::{Deed, Manners, Phase};
use serde_json::{Value, json};

use crate::support::mx::FakeMx;
use crate::support::operator;
use crate::support::relay::{Database, TestRelay};
use crate::support::{PATIENCE, until_told};

/// A daemon with public links, its operator's socket, and one list.
pub struct Desk {
    pub relay: TestRelay,
    pub mx: FakeMx,
    pub list: i64,
}

impl Desk {
    pub async fn on(database: &Database, manners: Manners) -> Desk {
        Desk::with(database, manners, |_| {}).await
    }

    pub async fn with(
        database: &Database,
        manners: Manners,
        change: impl FnOnce(&mut Settings),
    ) -> Desk {
        let mx = FakeMx::with(manners).await;
        let relay = TestRelay::with(&mx, |settings| {
            change(settings);
            settings.http.public_url = Some("https://post.sender.test".to_owned());
            if let Database::Postgres(url) = database {
                settings.store.url = Some(url.clone());
            }
        })
        .await;
        let mut desk = Desk { relay, mx, list: 0 };
        desk.done("POST", "/v1/contact-fields", json!({"name": "city", "kind": "text"})).await;
        let list = json!({"name": "News", "opt_in": "single"});
        desk.list = desk.done("POST", "/v1/lists", list).await["id"].as_i64().expect("an id");
        desk
    }

    pub async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        operator::ask(&self.relay.settings().control_socket(), method, path, body).await
    }

    pub async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, body) = self.ask(method, path, body).await;
        assert_eq!(status, 200, "{method} {path}: {body}");
        body
    }

    pub async fn contact(&self, email: &str, contact: Value) -> i64 {
        let mut contact = contact;
        contact["subscribe"] = json!([self.list]);
        contact["consent"] = json!({"source": "a form"});
        let new = json!({"email": email, "contact": contact});
        self.done("POST", "/v1/contacts", new).await["id"].as_i64().expect("an id")
    }

    pub async fn campaign(&self, body: &str, settings: Value) -> i64 {
        let input = self.input(body, settings);
        let made = self.done("POST", "/v1/campaigns", input).await;
        assert_eq!(made["state"], "draft");
        made["id"].as_i64().expect("an id")
    }

    pub fn input(&self, body: &str, settings: Value) -> Value {
        let mut settings = settings;
        if settings.get("audience").is_none() {
            settings["audience"] = json!({"lists": [self.list]});
        }
        let body = format!("{body}<a href=\"{{{{ unsubscribe_url }}}}\">leave</a>");
        json!({"name": "C", "from": "news@sender.test", "from_name": "Jürgen & Co",
            "variants": [{"subject": "Hi {{ name }}", "body": body}], "settings": settings})
    }

    pub async fn step(&self, id: i64, step: &str) -> Value {
        let path = format!("/v1/campaigns/{id}/step");
        self.done("POST", &path, json!({"step": step})).await
    }

    pub async fn show(&self, id: i64) -> Value {
        let shown = self.done("GET", &format!("/v1/campaigns/{id}"), Value::Null).await;
        if let Some(audience) = shown["audience"].as_u64() {
            let sums = shown["sums"].as_object().expect("sums");
            let sum: u64 = sums.values().filter_map(Value::as_u64).sum();
            assert_eq!(sum, audience, "everybody is in one state: {shown}");
        }
        shown
    }

    /// Moves the clock by seconds until the campaign is in this state.
    pub async fn until(&self, id: i64, state: &str) -> Value {
        self.until_it(id, state, |shown| shown["state"] == state).await
    }

    pub async fn until_it(&self, id: i64, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let shown = self.show(id).await;
            if holds(&shown) {
                return shown;
            }
            assert!(started.elapsed() < PATIENCE, "{id} does not become {what}: {shown}");
            self.relay.clock().advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn text_to(&self, recipient: &str) -> String {
        let mail = self.mx.mail_to(recipient);
        String::from_utf8_lossy(&postroad::wire::decode::quoted_printable(&mail.body)).into_owned()
    }
}

#[tokio::test]
async fn everybody_gets_a_mail_of_his_own_and_whoever_cannot_be_rendered_holds_up_nobody() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let city = |city: &str| json!({"name": city, "fields": {"city": city}});
        desk.contact("ann@a.test", json!({"name": "Ann", "fields": {"city": "Köln"}})).await;
        desk.contact("bob@b.test", city("Bonn")).await;
        desk.contact("bad@b.test", json!({"name": "Bad"})).await;
        desk.contact("left@b.test", city("Trier")).await;
        let blocked = json!({"name": "X", "status": "blocked", "fields": {"city": "Ulm"}});
        desk.contact("blocked@b.test", blocked).await;
        // Whoever has no city is told so by the template: a number is needed.
        let body = "<p>From {{ city }}{% if not city %}{{ name|date }}{% endif %}</p>";
        let id = desk.campaign(body, json!({})).await;
        let leaves = json!({"unsubscribe": [desk.list]});
        let found = desk
            .done("GET", "/v1/contacts?segment=email%20%3D%20%22left%40b.test%22", Value::Null)
            .await;
        let left = found["items"][0]["id"].as_i64();
        desk.step(id, "launch").await;
        let shown = desk.until_it(id, "audience", |shown| !shown["audience"].is_null()).await;
        assert_eq!(shown["audience"], 4);
        if let Some(left) = left {
            desk.done("PATCH", &format!("/v1/contacts/{left}"), leaves).await;
        }
        let shown = desk.until(id, "sent").await;
        assert_eq!((&shown["sums"]["failed"], &shown["sums"]["planned"]), (&json!(1), &json!(0)));
        let ann = desk.text_to("ann@a.test");
        assert!(ann.contains("From Köln"), "{ann}");
        assert!(ann.contains("Subject: Hi Ann\r\n"), "{ann}");
        assert!(ann.contains("From: =?UTF-8?B?"), "{ann}");
        assert!(ann.contains("List-Unsubscribe: <https://post.sender.test/u/"), "{ann}");
        assert!(!ann.contains("Bonn"));
        assert!(desk.text_to("bob@b.test").contains("From Bonn"));
        let failed = desk.relay.delivery_to("bad@b.test").await;
        assert!(failed.text.contains("date needs a date"), "{}", failed.text);
        desk.relay.adds_up().await;
    }
}

#[tokio::test]
async fn a_retry_sends_the_mail_that_the_host_has_seen_and_others_get_what_was_changed() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let ann = desk.contact("ann@a.test", json!({"name": "Ann"})).await;
        desk.mx.script(Phase::DataEnd, Deed::Reply("451 4.3.0 later".to_owned()), 1);
        let id = desk.campaign("<p>one {{ name }}</p>", json!({})).await;
        desk.step(id, "launch").await;
        desk.until_it(id, "fed", |shown| shown["sums"]["waiting"] == 1).await;
        let started = Instant::now();
        while desk.relay.text_of("ann@a.test").await.is_empty() {
            assert!(started.elapsed() < PATIENCE, "the first attempt is answered");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let changed = desk.input("<p>two {{ name }}</p>", json!({}));
        let path = format!("/v1/campaigns/{id}");
        assert_eq!(desk.done("PUT", &path, changed).await["revision"], 2);
        let path = format!("/v1/contacts/{ann}");
        desk.done("PATCH", &path, json!({"name": "Anna"})).await;
        // The retry is minutes ahead.
        desk.relay.run_until_idle().await;
        desk.until(id, "sent").await;
        assert!(desk.text_to("ann@a.test").contains("one Ann<"), "as the host saw it first");
    }
}

#[tokio::test]
async fn a_paused_campaign_sends_nothing_until_it_is_resumed_and_a_cancelled_one_never() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        for number in 0..30 {
            desk.contact(&format!("p{number}@d{number}.test"), json!({})).await;
        }
        let slow = json!({"throttle": {"messages": 1, "seconds": 60}});
        let id = desk.campaign("<p>x</p>", slow).await;
        desk.step(id, "launch").await;
        desk.until_it(id, "begun", |shown| shown["sums"]["delivered"] != 0).await;
        desk.step(id, "pause").await;
        let is_stopped = |limits: &Vec<Limit>| {
            let stops = |limit: &Limit| limit.reason == "the campaign is paused";
            limits.iter().any(|limit| stops(limit) && limit.value == 0)
        };
        let limits = async || {
            desk.relay.clock().advance(Duration::from_secs(1));
            desk.relay.app().schedule().limits().all()
        };
        until_told("the pause is in force", limits, is_stopped).await;
        // What was under way ends.
        desk.relay.rest().await;
        let before = desk.show(id).await["sums"]["delivered"].as_u64();
        for _ in 0..5 {
            desk.relay.clock().advance(Duration::from_secs(60));
            desk.relay.rest().await;
        }
        let paused = desk.show(id).await["sums"]["delivered"].as_u64();
        assert_eq!(paused, before, "nothing while it is paused");
        desk.step(id, "resume").await;
        let more = |shown: &Value| shown["sums"]["delivered"].as_u64() > paused;
        desk.until_it(id, "going on", more).await;
        desk.step(id, "cancel").await;
        let over = |shown: &Value| shown["sums"]["waiting"] == 0;
        let shown = desk.until_it(id, "cancelled", over).await;
        assert_eq!(shown["state"], "cancelled");
        assert_eq!(shown["sums"]["planned"], 0);
        assert!(shown["sums"]["cancelled"].as_u64() > Some(10), "{shown}");
        let (status, _) =
            desk.ask("POST", &format!("/v1/campaigns/{id}/step"), json!({"step": "resume"})).await;
        assert_eq!(status, 409, "a cancelled campaign stays so");
    }
}

#[tokio::test]
async fn a_launch_is_refused_for_what_is_wrong() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    let id = desk.campaign("<p>x</p>", json!({})).await;
    let path = format!("/v1/campaigns/{id}");
    let (status, body) = desk.ask("POST", &format!("{path}/step"), json!({"step": "launch"})).await;
    assert_eq!((status, &body["detail"]), (409, &json!("nobody is in the audience")));
    desk.contact("ann@a.test", json!({})).await;
    let mut input = desk.input("<p>x</p>", json!({}));
    input["variants"][0]["body"] = json!("<p>no way out</p>");
    desk.done("PUT", &path, input.clone()).await;
    let (status, body) = desk.ask("POST", &format!("{path}/step"), json!({"step": "launch"})).await;
    assert_eq!(status, 409, "{body}");
    assert!(body["detail"].as_str().is_some_and(|why| why.contains("unsubscrib")), "{body}");
    input["from"] = json!("news@other.test");
    let (status, body) = desk.ask("PUT", &path, input.clone()).await;
    assert_eq!((status, &body["field"]), (422, &json!("from")));
    input["from"] = json!("news@sender.test");
    input["variants"][0]["body"] = json!("{{ nonsense }}");
    let (status, body) = desk.ask("PUT", &path, input).await;
    assert_eq!((status, &body["field"]), (422, &json!("body")), "{body}");
    desk.done("DELETE", &path, Value::Null).await;
}

#[tokio::test]
async fn a_campaign_begins_at_its_time_and_what_its_deadline_leaves_expires() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    for number in 0..3 {
        desk.contact(&format!("p{number}@d.test"), json!({})).await;
    }
    let now = desk.relay.clock().now();
    let hour = Duration::from_secs(3600);
    let settings = json!({"starts_at": (now + hour).0, "deadline": (now + hour * 3).0,
        "throttle": {"messages": 1, "seconds": 86400}});
    let id = desk.campaign("<p>x</p>", settings).await;
    desk.step(id, "schedule").await;
    desk.relay.clock().advance(Duration::from_secs(3000));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(desk.show(id).await["state"], "scheduled");
    desk.relay.clock().advance(Duration::from_secs(700));
    desk.until_it(id, "one delivered", |shown| shown["sums"]["delivered"] == 1).await;
    desk.relay.clock().advance(hour * 3);
    let shown = desk.until(id, "sent").await;
    assert_eq!((&shown["sums"]["delivered"], &shown["sums"]["expired"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_test_mail_goes_the_whole_way_to_the_addresses_that_are_named() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    let ann = desk.contact("ann@a.test", json!({"name": "Ann"})).await;
    let id = desk.campaign("<p>Dear {{ name }}</p>", json!({})).await;
    let test = json!({"to": ["me@office.test"], "contact": ann});
    desk.done("POST", &format!("/v1/campaigns/{id}/test"), test).await;
    desk.relay.run_until_idle().await;
    let mail = desk.text_to("me@office.test");
    assert!(mail.contains("Subject: [test] Hi Ann") && mail.contains("Dear Ann"), "{mail}");
    let seen = json!({"contact": ann});
    let seen = desk.done("POST", &format!("/v1/campaigns/{id}/preview"), seen).await;
    assert_eq!(seen["subject"], "Hi Ann");
}

#[tokio::test]
async fn the_rest_of_a_test_gets_the_variant_that_has_won() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    for number in 0..40 {
        desk.contact(&format!("p{number}@d.test"), json!({})).await;
    }
    let by_hand = json!({"test": {"sample_percent": 50}});
    let by_clock = json!({"test": {"sample_percent": 50, "decide_after": 3600, "otherwise": 1}});
    for (settings, is_by_hand) in [(by_hand, true), (by_clock, false)] {
        let before = desk.mx.mails().len();
        let mut input = desk.input("<p>x</p>", settings);
        let mut second = input["variants"][0].clone();
        second["subject"] = json!("second");
        input["variants"].as_array_mut().expect("variants").push(second);
        let id = desk.done("POST", "/v1/campaigns", input).await["id"].as_i64().expect("an id");
        desk.step(id, "launch").await;
        let subjects = |from: usize| -> usize {
            let mails = desk.mx.mails().split_off(from);
            let second = mails
                .iter()
                .filter(|mail| String::from_utf8_lossy(&mail.body).contains("Subject: second\r\n"));
            second.count()
        };
        // One variant after the other is fed.
        let both = |_: &Value| (1..desk.mx.mails().len() - before).contains(&subjects(before));
        desk.until_it(id, "tried with both variants", both).await;
        let shown = desk.until_it(id, "sampled", |shown| shown["sums"]["waiting"] == 0).await;
        let rest = shown["sums"]["planned"].as_u64().expect("a count");
        assert!((5..35).contains(&rest), "{shown}");
        let sampled = desk.mx.mails().len();
        if is_by_hand {
            let path = format!("/v1/campaigns/{id}/winner");
            desk.done("POST", &path, json!({"variant": 1})).await;
        } else {
            desk.relay.clock().advance(Duration::from_secs(3600));
        }
        desk.until(id, "sent").await;
        assert_eq!(subjects(sampled) as u64, rest, "the rest got the second");
    }
}

#[tokio::test]
async fn one_node_makes_the_snapshot_and_another_takes_over_when_it_takes_too_long() {
    use postroad::clock::Clock;
    use postroad::store::{CampaignChange, Location, SliceRow, Store};

    for database in Database::all().await {
        let Database::Postgres(url) = database else { continue };
        let location = Location::Postgres(url.clone());
        let clock = Clock::standing(1);
        let first = Store::open(&location, 1, clock.clone()).await.expect("opened");
        let second = Store::open(&location, 2, clock.clone()).await.expect("opened");
        let id = draft(&first, &clock).await;
        let at = clock.now();
        let step = |from, to| CampaignChange::Step { id, from, to, trouble: None, at };
        let (draft, preparing) = (CampaignState::Draft, CampaignState::Preparing);
        assert_eq!(first.change_campaign(step(draft, preparing)).await.expect("asked"), 1);
        let until = at + Duration::from_secs(600);
        let prepare = |at| CampaignChange::Prepare { id, at, until };
        let slice = |slice| SliceRow {
            slice,
            variant: Some(0),
            not_before: at,
            contacts: vec![ContactId(slice)],
        };
        let add = |place| CampaignChange::AddSlices(id, vec![slice(place)]);
        let begin = CampaignChange::Begin { id, audience: 1, slices: 1, at };
        assert_eq!(first.change_campaign(prepare(at)).await.expect("asked"), 1);
        assert_eq!(
            second.change_campaign(prepare(at)).await.expect("asked"),
            0,
            "it is being made"
        );
        assert_eq!(second.change_campaign(add(1)).await.expect("asked"), 0);
        assert_eq!(first.change_campaign(add(1)).await.expect("asked"), 1);
        let later = until + Duration::from_secs(1);
        assert_eq!(
            second.change_campaign(prepare(later)).await.expect("asked"),
            1,
            "it takes too long"
        );
        assert_eq!(first.change_campaign(add(2)).await.expect("asked"), 0);
        assert_eq!(first.change_campaign(begin.clone()).await.expect("asked"), 0);
        assert_eq!(
            second.change_campaign(CampaignChange::ClearSlices(id)).await.expect("asked"),
            1
        );
        assert_eq!(second.change_campaign(add(1)).await.expect("asked"), 1);
        assert_eq!(second.change_campaign(begin).await.expect("asked"), 1);
        first.close().await;
        second.close().await;
    }
}

async fn draft(store: &postroad::store::Store, clock: &postroad::clock::Clock) -> CampaignId {
    let content = CampaignContent {
        from: "news@sender.test".to_owned(),
        from_name: String::new(),
        reply_to: None,
        variants: Vec::new(),
        attachments: Vec::new(),
        data: serde_json::Map::new(),
    };
    let row = postroad::store::CampaignRow {
        id: CampaignId(0),
        organization: OrganizationId::FIRST,
        name: "C".to_owned(),
        state: CampaignState::Draft,
        stream: StreamId(2),
        revision: 1,
        settings: CampaignSettings::default(),
        content,
        winner: None,
        audience: None,
        slices: None,
        trouble: None,
        created_at: clock.now(),
        updated_at: clock.now(),
        launched_at: None,
        ended_at: None,
        automation: None,
    };
    let add = postroad::store::CampaignChange::Add(Box::new(row));
    CampaignId(store.change_campaign(add).await.expect("added"))
}

#[tokio::test]
async fn campaigns_are_set_side_by_side_and_tell_when_they_will_be_done() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    for number in 0..30 {
        desk.contact(&format!("p{number}@d{number}.test"), json!({})).await;
    }
    let first = desk.campaign("<p>x</p>", json!({})).await;
    desk.step(first, "launch").await;
    desk.until(first, "sent").await;
    let slow = json!({"throttle": {"messages": 1, "seconds": 3600}});
    let second = desk.campaign("<p>x</p>", slow).await;
    desk.step(second, "launch").await;
    desk.until_it(second, "begun", |shown| shown["sums"]["delivered"] != 0).await;
    let started = Instant::now();
    let compared = loop {
        let path = format!("/v1/campaigns/compare?ids={second},{first}");
        let compared = desk.done("GET", &path, Value::Null).await;
        if compared["items"][1]["delivered"] == 30 {
            break compared;
        }
        assert!(started.elapsed() < PATIENCE, "{compared}");
        desk.relay.clock().advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(compared["items"][0]["id"], second);
    let copied = desk.done("POST", &format!("/v1/campaigns/{second}/copy"), Value::Null).await;
    assert_eq!((&copied["state"], &copied["name"]), (&json!("draft"), &json!("C (copy)")));
    assert_eq!(copied["settings"]["throttle"]["seconds"], 3600);
    assert_eq!(copied["audience"], Value::Null, "it was never launched");
    let outlook = format!("/v1/campaigns/{}/outlook", copied["id"]);
    let outlook = desk.done("GET", &outlook, Value::Null).await;
    assert_eq!(outlook["remaining"], 30, "as many as a launch would find: {outlook}");
    let operators = outlook["operators"].as_array().expect("a list");
    let of: u64 = operators.iter().filter_map(|one| one["recipients"].as_u64()).sum();
    assert_eq!(of, 30, "{outlook}");
    let outlook = desk.done("GET", &format!("/v1/campaigns/{second}/outlook"), Value::Null).await;
    assert!(
        outlook["remaining"].as_u64().is_some_and(|left| (20..30).contains(&left)),
        "{outlook}"
    );
    assert_eq!(outlook["stops"], json!([]));
    let go_on = json!({"operator": "google"});
    let (status, _) = desk.ask("POST", &format!("/v1/campaigns/{second}/go-on"), go_on).await;
    assert_eq!(status, 422, "it was not stopped there");
    let (status, body) = desk.ask("GET", "/v1/campaigns/compare?ids=1,x", Value::Null).await;
    assert_eq!((status, &body["field"]), (422, &json!("ids")));
}

#[tokio::test]
async fn an_application_sends_a_template_with_its_own_values() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        desk.contact("ann@a.test", json!({"name": "Ann", "fields": {"city": "Bonn"}})).await;
        let template = json!({"name": "Code", "kind": "html", "subject": "Code {{ data.code }}",
            "body": "<p>{{ name }} of {{ city }}: \
                {% for one in data.parts %}{{ one }}-{% endfor %}</p>"});
        let template = desk.done("POST", "/v1/templates", template).await["id"].clone();
        let send = async |to: &str, data: Value| {
            let mail = json!({"template": template, "data": data,
                "message": {"from": "shop@sender.test", "to": [to], "tag": "code"}});
            desk.ask("POST", "/v1/messages/template", mail).await
        };
        let (status, body) =
            send("ann@a.test", json!({"code": "<17>", "parts": ["a", "<b>"]})).await;
        assert_eq!(status, 202, "{body}");
        let (status, _) = send("Bob <bob@b.test>", json!({"code": 4})).await;
        assert_eq!(status, 202);
        desk.relay.until_state("ann@a.test", postroad::model::State::Delivered).await;
        desk.relay.until_state("bob@b.test", postroad::model::State::Delivered).await;
        let ann = desk.text_to("ann@a.test");
        assert!(ann.contains("Subject: Code <17>\r\n"), "{ann}");
        assert!(ann.contains("Ann of Bonn: a-&lt;b&gt;-"), "{ann}");
        assert!(desk.text_to("bob@b.test").contains("Bob of :"));
        let many = json!({"template": template,
            "message": {"from": "shop@sender.test", "to": ["a@a.test", "b@b.test"]}});
        let (status, body) = desk.ask("POST", "/v1/messages/template", many).await;
        assert_eq!((status, &body["field"]), (422, &json!("message.to")));
    }
}

#[tokio::test]
async fn a_mail_carries_its_files_and_shows_its_images() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    desk.contact("ann@a.test", json!({})).await;
    let upload = async |name: &str, octets: &[u8]| {
        let head = format!(
            "POST /v1/media?name={name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            octets.len()
        );
        let socket = desk.relay.settings().control_socket();
        let stream = tokio::net::UnixStream::connect(socket).await.expect("connected");
        fetch(stream, &[head.as_bytes(), octets].concat()).await
    };
    let (status, made) = upload("logo.png", b"\x89PNG\r\n\x1a\n-pixels-").await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&made));
    let image: Value = serde_json::from_slice(&made).expect("JSON");
    let url = image["url"].as_str().expect("an address").to_owned();
    let path = url.strip_prefix("https://post.sender.test").expect("ours");
    let shown = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let stream = tokio::net::TcpStream::connect(desk.relay.http()).await.expect("connected");
    let (status, octets) = fetch(stream, shown.as_bytes()).await;
    assert_eq!((status, octets.as_slice()), (200, b"\x89PNG\r\n\x1a\n-pixels-".as_slice()));
    let (_, made) = upload("plan.pdf", b"%PDF-1.7 the plan").await;
    let plan: Value = serde_json::from_slice(&made).expect("JSON");
    assert_eq!(plan["url"], Value::Null, "what is no image is shown to nobody");
    let mut input = desk.input(&format!("<img src=\"{url}\" alt=\"\">"), json!({}));
    input["attachments"] = json!([plan["id"]]);
    let id = desk.done("POST", "/v1/campaigns", input).await["id"].as_i64().expect("an id");
    let path = format!("/v1/media/{}", plan["id"]);
    let (status, _) = desk.ask("DELETE", &path, Value::Null).await;
    assert_eq!(status, 409, "a campaign needs it");
    desk.step(id, "launch").await;
    desk.until(id, "sent").await;
    let mail = desk.mx.mail_to("ann@a.test");
    let mail = mail_parser::MessageParser::default().parse(&mail.body).expect("a mail");
    assert_eq!(mail.attachment_count(), 1);
    let attached = mail.attachment(0).expect("one");
    assert_eq!(attached.contents(), b"%PDF-1.7 the plan");
    assert!(mail.body_html(0).is_some_and(|html| html.contains(&url)));
    desk.done("DELETE", &path, Value::Null).await;
}

/// The status and the octets of the answer.
async fn fetch<S>(mut stream: S, request: &[u8]) -> (u16, Vec<u8>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
    reading.await.expect("in time").expect("read");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer");
    let status = String::from_utf8_lossy(&answer[9..12]).parse().expect("a status");
    (status, answer[end + 4..].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_of_a_mail_is_what_arrived_whatever_its_reader_is_called_by_now() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let city = |name: &str, city: &str| json!({"name": name, "fields": {"city": city}});
        let ann = desk.contact("ann@a.test", city("Ann", "Köln")).await;
        let id = desk.campaign("<p>{{ name }} of {{ city }}</p>", json!({})).await;
        desk.step(id, "launch").await;
        desk.until(id, "sent").await;
        desk.done("PATCH", &format!("/v1/contacts/{ann}"), city("Bea", "Bonn")).await;
        let delivery = desk.relay.delivery_to("ann@a.test").await;
        let path = format!("/v1/messages/{}/raw?delivery={}", delivery.message, delivery.id);
        let (status, head, source) = desk.relay.text(&path).await;
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("postroad-source: rendered_from_pin"), "{head}");
        let arrived = desk.mx.mail_to("ann@a.test");
        let arrived = String::from_utf8_lossy(&arrived.body).into_owned();
        assert!(source.contains("Ann") && arrived.ends_with(&source), "{source}\n{arrived}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_campaign_gives_to_all_its_mails_stands_in_each() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    let ann = desk.contact("ann@a.test", json!({"name": "Ann"})).await;
    let body = "<p>{{ name }}: {{ data.offer.percent }} % on {% for item in data.items %}\
        [{{ item }}]{% endfor %}</p>";
    let mut input = desk.input(body, json!({}));
    input["data"] = json!({"offer": {"percent": 20}, "items": ["<tea>", "cups"]});
    let made = desk.done("POST", "/v1/campaigns", input.clone()).await;
    assert_eq!(made["content"]["data"], input["data"]);
    let id = made["id"].as_i64().expect("an id");
    let path = format!("/v1/campaigns/{id}/preview");
    let shown = desk.done("POST", &path, json!({"contact": ann})).await;
    let expected = "Ann: 20 % on [&lt;tea&gt;][cups]";
    assert!(shown["html"].as_str().is_some_and(|html| html.contains(expected)), "{shown}");
    desk.step(id, "launch").await;
    desk.until(id, "sent").await;
    let mail = desk.mx.mail_to("ann@a.test");
    let mime = postroad::wire::mime::Mime::read(&mail.body);
    let part = mime.parts.iter().find(|part| part.media == "text/html").expect("HTML");
    let html = postroad::wire::decode::text(&part.content(), Some("utf-8"));
    assert!(html.contains(expected), "{html}");
    input["data"] = json!({"long": "x".repeat(65_536)});
    let (status, body) = desk.ask("POST", "/v1/campaigns", input).await;
    assert_eq!((status, &body["field"]), (422, &json!("data")), "{body}");
}
