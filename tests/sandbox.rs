//! Mail that shall go nowhere (sandbox addresses, capture), and mail that waits for a send limit.

use std::time::Duration;

use postroad::model::{EventKind, State};
use serde_json::{Value, json};

use crate::support::mx::FakeMx;
use crate::support::relay::{CREDENTIAL, Database, HOST_NAME, TestRelay};
use crate::support::{operator, until_told};

async fn ask(relay: &TestRelay, method: &str, path: &str, body: Value) -> (u16, Value) {
    operator::ask(&relay.settings().control_socket(), method, path, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sandbox_addresses_run_the_whole_way_and_end_on_this_host() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let at = |local: &str| format!("{local}@sandbox.{HOST_NAME}");
    let to = ["deliver", "deliver+7", "bounce", "defer"].map(at);
    relay.submit(&to.each_ref().map(String::as_str)).await;
    relay.rest().await;
    for (recipient, state, text) in [
        (&to[0], State::Delivered, "the sandbox takes it"),
        (&to[1], State::Delivered, "kept nowhere"),
        (&to[2], State::Failed, "there is no such user"),
        (&to[3], State::Waiting, "try again later"),
    ] {
        let delivery = relay.delivery_to(recipient).await;
        assert_eq!(delivery.state, state, "{recipient}: {}", delivery.text);
        assert!(delivery.text.contains(text) || state == State::Delivered, "{}", delivery.text);
    }
    // What is refused is reported to its sender, as all mail is.
    assert!(!mx.received().iter().any(|recipient| recipient.contains("sandbox")));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_mail_of_an_organization_that_is_captured_can_be_read_and_goes_nowhere() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let (status, view) =
            ask(&relay, "PATCH", "/v1/organizations/1", json!({"capture": true})).await;
        assert_eq!((status, &view["capture"]), (200, &json!(true)), "{view}");
        let id = relay.submit(&["bob@example.test", "eve@example.test"]).await;
        let delivery = relay.delivery_to("bob@example.test").await;
        assert_eq!(delivery.state, State::Held);
        let (_, found) =
            ask(&relay, "GET", "/v1/messages?recipient=bob@example.test", Value::Null).await;
        assert_eq!(found["items"][0]["state"], "held", "{found}");
        let (_, head, _) = relay.ask("GET", &format!("/v1/messages/{id}/raw"), None).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let order = json!({"action": "release", "filter": {"message": id}});
        let (status, steered) = ask(&relay, "POST", "/v1/deliveries/steer", order).await;
        assert_eq!((status, &steered["changed"]), (200, &json!(0)), "{steered}");
        let path = format!("/v1/deliveries/{}/resend", delivery.id);
        assert_eq!(ask(&relay, "POST", &path, Value::Null).await.0, 409);
        relay.clock().advance(Duration::from_secs(15 * 24 * 3600));
        relay.until_state("bob@example.test", State::Expired).await;
        relay.rest().await;
        assert!(mx.received().is_empty(), "neither the mail nor a report: {:?}", mx.received());
        ask(&relay, "PATCH", "/v1/organizations/1", json!({"capture": false})).await;
        relay.submit(&["ann@example.test"]).await;
        relay.run_until_idle().await;
        assert_eq!(mx.received(), ["ann@example.test"]);
        relay.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_alone_can_be_captured() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let rules = json!({"scopes": ["send", "messages_read"], "capture": true});
    let path = format!("/v1/credentials/{CREDENTIAL}");
    let (status, view) = ask(&relay, "PATCH", &path, rules).await;
    assert_eq!(status, 200, "{view}");
    relay.submit(&["bob@example.test"]).await;
    let delivery = relay.delivery_to("bob@example.test").await;
    assert_eq!(delivery.state, State::Held);
    let events = relay.store().events_of_message(delivery.message, 10).await.expect("read");
    assert_eq!(events[0].kind, EventKind::Accepted);
    assert_eq!(events[0].fields["captured"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_of_a_held_stream_waits_with_the_reason_until_it_is_released() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let (_, streams) = ask(&relay, "GET", "/v1/streams", Value::Null).await;
        let streams = streams["items"].as_array().expect("streams").clone();
        let own = streams.iter().find(|row| row["class"] == "transactional").expect("one");
        let path = |verb: &str| format!("/v1/streams/{}/{verb}", own["id"]);
        let reason = json!({"reason": "a wrong template"});
        let (status, row) = ask(&relay, "POST", &path("hold"), reason.clone()).await;
        assert_eq!((status, &row["held_reason"]), (200, &json!("a wrong template")), "{row}");
        assert_eq!(ask(&relay, "POST", &path("hold"), reason).await.0, 409);
        relay.submit(&["bob@example.test"]).await;
        relay.clock().advance(Duration::from_secs(3600));
        let delivery = relay.delivery_to("bob@example.test").await;
        assert_eq!((delivery.state, delivery.tries), (State::Waiting, 0));
        let reasons = relay.why(delivery.id).await;
        assert!(reasons.iter().any(|one| one.text.contains("a wrong template")), "{reasons:?}");
        assert_eq!(ask(&relay, "POST", &path("release"), Value::Null).await.0, 200);
        relay.run_until_idle().await;
        assert_eq!(mx.received(), ["bob@example.test"]);
        assert_eq!(ask(&relay, "POST", "/v1/streams/99/release", Value::Null).await.0, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_is_over_and_old_is_forgotten_and_the_sums_still_add_up() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let first = relay.submit(&["bob@example.test", "eve@example.test"]).await;
        relay.run_until_idle().await;
        ask(&relay, "PATCH", "/v1/organizations/1", json!({"capture": true})).await;
        let owed = relay.submit(&["held@example.test"]).await;
        let (status, view) =
            ask(&relay, "PATCH", "/v1/organizations/1", json!({"keep_days": 7})).await;
        assert_eq!((status, &view["keep_days"]), (200, &json!(7)), "{view}");
        relay.clock().advance(Duration::from_secs(8 * 24 * 3600));
        let left = async || {
            relay.clock().advance(Duration::from_secs(60));
            relay.store().messages(&[first, owed]).await.expect("read").len()
        };
        assert_eq!(until_told("one is forgotten", left, |left| *left < 2).await, 1);
        assert!(relay.store().message(owed).await.expect("read").is_some(), "it is owed");
        assert!(relay.store().events_of_message(first, 10).await.expect("read").is_empty());
        relay.adds_up().await;
        let wrong = json!({"keep_days": 9999});
        let (status, problem) = ask(&relay, "PATCH", "/v1/organizations/1", wrong).await;
        assert_eq!((status, problem["field"].as_str()), (422, Some("keep_days")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_by_the_hour_lets_mail_go_a_share_at_a_time() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    ask(&relay, "POST", "/v1/organizations/1/suspend", json!({"reason": "a look"})).await;
    for n in 0..4 {
        relay.submit(&[&format!("n{n}@example.test")]).await;
    }
    let all = |action: &str| json!({"action": action, "all": true, "reason": "slowly"});
    let (_, held) = ask(&relay, "POST", "/v1/deliveries/steer", all("hold")).await;
    assert_eq!(held["changed"], 4, "{held}");
    ask(&relay, "POST", "/v1/organizations/1/resume", Value::Null).await;
    let mut order = all("release");
    order["per_hour"] = json!(2);
    let (status, released) = ask(&relay, "POST", "/v1/deliveries/steer", order).await;
    assert_eq!((status, &released["changed"]), (200, &json!(4)), "{released}");
    relay.rest().await;
    assert_eq!(mx.received().len(), 1);
    relay.clock().advance(Duration::from_secs(1801));
    relay.rest().await;
    assert_eq!(mx.received().len(), 2);
    relay.run_until_idle().await;
    assert_eq!(mx.received().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_over_a_send_limit_waits_and_drains_by_itself() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let path = "/v1/organizations/1/send-limits";
        let (status, view) = ask(&relay, "PUT", path, json!({"hour": 2, "month": 100})).await;
        assert_eq!((status, &view["send_limits"]["hour"]), (200, &json!(2)), "{view}");
        for recipient in ["a@example.test", "b@example.test", "c@example.test"] {
            relay.submit(&[recipient]).await;
        }
        relay.rest().await;
        assert_eq!(mx.received().len(), 2);
        let (_, view) = ask(&relay, "GET", "/v1/organizations/1", Value::Null).await;
        assert_eq!(view["sent"], json!({"hour": 2, "day": null, "month": 2}), "{view}");
        relay.run_until_idle().await;
        assert_eq!(mx.received().len(), 3);
        let (_, view) = ask(&relay, "PUT", path, json!({})).await;
        assert_eq!(view["send_limits"], json!({"hour": null, "day": null, "month": null}));
        let (status, _) = ask(&relay, "PUT", "/v1/organizations/9/send-limits", json!({})).await;
        assert_eq!(status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_send_limits_of_a_day_and_of_a_month_hold_as_long_as_they_say() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let path = "/v1/organizations/1/send-limits";
    let sent =
        async || ask(&relay, "GET", "/v1/organizations/1", Value::Null).await.1["sent"].clone();
    ask(&relay, "PUT", path, json!({"day": 2})).await;
    for recipient in ["a@example.test", "b@example.test", "c@example.test"] {
        relay.submit(&[recipient]).await;
    }
    relay.rest().await;
    assert_eq!(sent().await, json!({"hour": null, "day": 2, "month": null}));
    relay.clock().advance(Duration::from_secs(23 * 3600));
    relay.rest().await;
    assert_eq!(mx.received().len(), 2, "a day is not over");
    relay.run_until_idle().await;
    assert_eq!(mx.received().len(), 3);
    ask(&relay, "PUT", path, json!({"month": 2})).await;
    for recipient in ["d@example.test", "e@example.test", "f@example.test"] {
        relay.submit(&[recipient]).await;
    }
    relay.rest().await;
    assert_eq!(mx.received().len(), 5);
    relay.clock().advance(Duration::from_secs(3 * 24 * 3600));
    relay.rest().await;
    assert_eq!(mx.received().len(), 5, "a month is not over");
    assert_eq!(sent().await["month"], 2);
    ask(&relay, "PUT", path, json!({"month": 3})).await;
    relay.run_until_idle().await;
    assert_eq!(mx.received().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_octets_that_are_kept_the_oldest_mail_that_is_over_goes() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let text = "x".repeat(40_000);
        let mail = format!(
            "From: <sender@sender.test>\r\n\r\n{}\r\n",
            text.replace("xxxxxxxx", "xxxxxx\r\n")
        );
        let mut ids = Vec::new();
        for number in 0..4 {
            let to = format!("r{number}@example.test");
            ids.push(relay.submit_mail("<sender@sender.test>", &[&to], mail.as_bytes()).await);
        }
        relay.run_until_idle().await;
        let keep = json!({"keep_bytes": 100_000});
        let (status, view) = ask(&relay, "PATCH", "/v1/organizations/1", keep).await;
        assert_eq!((status, &view["keep_bytes"]), (200, &json!(100_000)), "{view}");
        let mut left = Vec::new();
        for _ in 0..500 {
            let rows = relay.store().messages(&ids).await.expect("read");
            left = ids.iter().filter(|id| rows.iter().any(|row| row.id == **id)).collect();
            if left.len() < 3 {
                break;
            }
            relay.clock().advance(Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(left, [&ids[2], &ids[3]], "two have room, and they are the newest");
        relay.adds_up().await;
    }
}
