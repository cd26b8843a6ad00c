//! The daemon's own mail: alarms, invites, new passwords, reports.

use std::time::{Duration, Instant};

use postroad::model::*;
use postroad::store::NewEvent;
use postroad::world::dns::{Data, Says};
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::api::PASSWORD;
use crate::support::mx::{FIRST, FakeMx};
use crate::support::operator;
use crate::support::relay::{Database, TestRelay};

async fn with_links(database: &Database, mx: &FakeMx) -> TestRelay {
    TestRelay::with(mx, |settings| {
        settings.http.public_url = Some("https://post.sender.test".to_owned());
        if let Database::Postgres(url) = database {
            settings.store.url = Some(url.clone());
        }
    })
    .await
}

/// The text of the only mail to somebody, once it is there; the clock moves meanwhile.
async fn told(relay: &TestRelay, mx: &FakeMx, recipient: &str) -> String {
    let started = Instant::now();
    while !mx.received().iter().any(|one| one == recipient) {
        assert!(started.elapsed() < PATIENCE, "nothing came to {recipient}");
        relay.clock().advance(Duration::from_secs(31));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let text = String::from_utf8_lossy(&mx.mail_to(recipient).body).into_owned();
    text.replace("=\r\n", "").replace("=3D", "=")
}

async fn make(relay: &TestRelay, path: &str, body: Value) -> Value {
    let socket = relay.settings().control_socket();
    let (status, answer) = operator::ask(&socket, "POST", path, body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn user(relay: &TestRelay, email: &str, role: Option<&str>) {
    let body = json!({"email": email, "password": PASSWORD, "role": role,
        "installation_admin": role.is_none()});
    make(relay, "/v1/installation/users", body).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_mailed_once_to_whom_it_concerns() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = with_links(&database, &mx).await;
        user(&relay, "admin@people.test", None).await;
        user(&relay, "owner@people.test", Some("owner")).await;
        user(&relay, "reader@people.test", Some("read_only")).await;
        let store = relay.app().store();
        let event = |organization, kind, fields| NewEvent {
            at: relay.clock().now(),
            kind,
            organization,
            fields,
        };
        let text = json!({"text": "warm-up 7 is frozen"});
        for _ in 0..2 {
            let nobody = OrganizationId::NOBODY;
            let recorded = store.record_event(event(nobody, EventKind::Alarm, text.clone())).await;
            recorded.expect("recorded");
        }
        let broken = json!({"domain": "sender.test", "ready": false,
            "before": {"spf sender.test": "right"}, "records": {"spf sender.test": "missing"}});
        let own = event(OrganizationId::FIRST, EventKind::DomainChecked, broken);
        store.record_event(own).await.expect("recorded");
        let mail = told(&relay, &mx, "admin@people.test").await;
        assert_eq!(mail.matches("warm-up 7 is frozen").count(), 2, "subject and line: {mail}");
        assert!(mail.contains("From: Postroad <postroad@relay.test>"), "{mail}");
        assert!(mail.contains("Auto-Submitted: auto-generated"), "{mail}");
        let mail = told(&relay, &mx, "owner@people.test").await;
        assert!(mail.contains("spf sender.test is missing"), "{mail}");
        assert_eq!(mx.received().len(), 2, "{:?}", mx.received());
        relay.adds_up().await;
    }
}

/// Alarms there were, once there are so many; the clock moves meanwhile.
async fn alarms(relay: &TestRelay, count: usize) -> Vec<Value> {
    let started = Instant::now();
    loop {
        let page = relay.see("/v1/events?kind=alarm").await;
        let items = page["items"].as_array().expect("a list").clone();
        if items.len() >= count {
            return items;
        }
        assert!(started.elapsed() < PATIENCE, "{count} alarms: {page}");
        relay.clock().advance(Duration::from_secs(61));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Once the daemon has looked and found this.
async fn until_standing(relay: &TestRelay, standing: &str) {
    let started = Instant::now();
    loop {
        let page = relay.see("/v1/return-domains").await;
        if page["items"][0]["standing"] == standing {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{standing}: {page}");
        relay.clock().advance(Duration::from_secs(61));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_told_once_when_bounces_go_astray_and_again_when_they_do_again() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        settings.inbound.listen = vec![([127, 0, 0, 1], 0).into()];
        settings.inbound.return_domain = Some("bounce.sender.test".to_owned());
    })
    .await;
    user(&relay, "owner@people.test", Some("owner")).await;
    make(&relay, "/v1/return-domains", json!({"name": "mail.sender.test"})).await;
    until_standing(&relay, "right").await;
    let leads_to = |host: &str| {
        mx.name("mail.sender.test", Says::Records(vec![Data::Mx(10, host.to_owned())]));
    };
    mx.name("mx.far.test", Says::Records(vec![Data::Address([127, 0, 9, 9].into())]));
    leads_to("mx.far.test");
    let first = alarms(&relay, 1).await;
    let text = "bounces to mail.sender.test do not come back: its mail goes to mx.far.test";
    assert_eq!(first[0]["fields"]["text"], text);
    let mail = told(&relay, &mx, "owner@people.test").await;
    assert!(mail.contains(text), "{mail}");
    for _ in 0..3 {
        relay.clock().advance(Duration::from_secs(3700));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(alarms(&relay, 1).await.len(), 1, "what lasts is no news");
    leads_to(FIRST);
    until_standing(&relay, "right").await;
    leads_to("mx.far.test");
    assert_eq!(alarms(&relay, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_forgot_his_password_chooses_another_by_a_link_that_is_good_once() {
    let mx = FakeMx::accepting().await;
    let relay = with_links(&Database::Sqlite, &mx).await;
    user(&relay, "ann@people.test", Some("owner")).await;
    let ask = async |path: &str, body: Value| relay.ask("POST", path, Some(body)).await;
    let (status, _, known) = ask("/v1/password-resets", json!({"email": "ann@people.test"})).await;
    assert_eq!(status, 200, "{known}");
    let nobody = json!({"email": "nobody@people.test"});
    let (status, _, unknown) = ask("/v1/password-resets", nobody).await;
    assert_eq!((status, unknown["email"].as_str()), (200, Some("nobody@people.test")));
    let mail = told(&relay, &mx, "ann@people.test").await;
    let (_, link) = mail.split_once("https://post.sender.test/reset?token=").expect("a link");
    let token: String = link.chars().take_while(char::is_ascii_alphanumeric).collect();
    let new = "another horse battery";
    let short = json!({"token": token, "password": "short"});
    assert_eq!(ask("/v1/password-resets/take", short).await.2["field"], "password");
    let order = json!({"token": token, "password": new});
    let (status, _, done) = ask("/v1/password-resets/take", order.clone()).await;
    assert_eq!((status, &done["email"]), (200, &json!("ann@people.test")), "{done}");
    let (status, _, again) = ask("/v1/password-resets/take", order).await;
    assert_eq!((status, &again["field"]), (422, &json!("token")), "{again}");
    assert_eq!(mx.received(), ["ann@people.test"], "nobody else is written to");
    let audit = relay.see("/v1/audit").await;
    assert_eq!(audit["items"][0]["action"], "user.password_reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_is_mailed_to_who_is_asked() {
    let mx = FakeMx::accepting().await;
    let relay = with_links(&Database::Sqlite, &mx).await;
    let offer = json!({"email": "new@people.test", "role": "marketer"});
    let invited = make(&relay, "/v1/invites", offer).await;
    assert_eq!(invited["mailed"], true);
    let token = invited["token"].as_str().expect("a token");
    let mail = told(&relay, &mx, "new@people.test").await;
    assert!(mail.contains(&format!("https://post.sender.test/invite?token={token}")), "{mail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_leave_by_the_daemons_own_stream_signed_for_its_domain_within_its_limit() {
    let mx = FakeMx::refusing("gone@example.test", "550 5.1.1 no such user").await;
    let relay = TestRelay::with(&mx, |settings| {
        settings.own_mail.domain = Some("sender.test".to_owned());
        settings.own_mail.per_hour_max = 1;
    })
    .await;
    let keys = json!({"domain": "sender.test", "trusted": true});
    make(&relay, "/v1/dkim", keys).await;
    relay.submit(&["gone@example.test"]).await;
    relay.rest().await;
    let report = mx.mail_to("sender@sender.test");
    let text = String::from_utf8_lossy(&report.body).into_owned();
    assert!(text.contains("From: ") && text.contains("MAILER-DAEMON@sender.test"), "{text}");
    assert!(text.contains("d=sender.test"), "it is signed: {text}");
    let found = relay.see("/v1/messages?recipient=sender@sender.test").await;
    let streams = relay.see("/v1/streams").await;
    let own = streams["items"].as_array().expect("streams").iter();
    let own = own.clone().find(|row| row["name"] == "own mail").expect("made at the start");
    assert_eq!(found["items"][0]["stream"], own["id"]);
    relay.submit(&["gone@example.test"]).await;
    let second = relay.see("/v1/messages?recipient=sender@sender.test").await;
    assert!(second["items"].as_array().expect("a list").len() <= 2);
    relay.run_until_idle().await;
    assert_eq!(mx.received().len(), 2, "the second waited for its hour and went");
}
