//! Why mail is still here, as people ask: for an organization, a lane, a campaign.

use postroad::model::*;
use postroad::world::manners::Manners;
use serde_json::{Value, json};

use crate::campaigns::Desk;
use crate::support::mx::FakeMx;
use crate::support::operator;
use crate::support::relay::{Database, TestRelay};

/// A day's limit of one mail, everywhere.
async fn one_a_day(relay: &TestRelay) -> LimitId {
    let limit = json!({"metric": "messages", "value": 1, "window": "1d", "reason": "a test"});
    let limit = relay.order("/v1/limits", limit).await;
    limit["id"].as_i64().map(LimitId).expect("an id")
}

async fn reasons(relay: &TestRelay, whom: &str) -> Vec<Value> {
    let told = relay.see(&format!("/v1/why?{whom}")).await;
    told["reasons"].as_array().expect("a list").clone()
}

fn texts(reasons: &[Value]) -> String {
    let text = |one: &Value| one["reason"]["text"].as_str().expect("a text").to_owned();
    reasons.iter().map(text).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_is_told_what_all_its_mail_waits_for() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let limit = one_a_day(&relay).await;
        for name in ["ann", "bob", "eve"] {
            relay.submit(&[&format!("{name}@example.test")]).await;
        }
        relay.rest().await;
        assert_eq!(mx.received().len(), 1);
        let told = reasons(&relay, "organization=1").await;
        let by_limit: Vec<_> = told
            .iter()
            .filter(|one| one["reason"]["limit"] == json!(limit.0))
            .map(|one| (one["deliveries"].as_u64(), one["reason"]["until"].is_i64()))
            .collect();
        assert_eq!(by_limit, [(Some(2), true)], "{told:?}");
        assert!(reasons(&relay, "organization=77").await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_is_told_what_is_passed_over_and_why_its_source_does_not_send() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let limit = one_a_day(&relay).await;
    relay.submit(&["ann@example.test"]).await;
    relay.submit(&["bob@example.test"]).await;
    relay.rest().await;
    let lanes = relay.see("/v1/lanes").await;
    let mut all = lanes["items"].as_array().expect("a list").iter();
    let lane = all.find(|lane| lane["limits"] == json!([limit.0])).expect("a lane");
    let site = lane["site"].to_string();
    // As `lane list` names a site that waits without a connection.
    let told = texts(&reasons(&relay, &format!("lane=-/{site}")).await);
    assert!(told.contains(&format!("is passed over: limit {limit}")), "{told}");
    let name = relay.settings().source[0].name.clone();
    let lane = format!("lane={name}/{site}");
    assert!(!texts(&reasons(&relay, &lane).await).contains("suspended"));
    relay.order(&format!("/v1/sources/{name}/state"), json!({"state": "suspended"})).await;
    let told = texts(&reasons(&relay, &lane).await);
    assert!(told.contains(&format!("{name} does not send: suspended")), "{told}");
    let socket = relay.settings().control_socket();
    let (status, _) = operator::ask(&socket, "GET", "/v1/why?lane=nobody/1", Value::Null).await;
    assert_eq!(status, 422);
}

#[tokio::test]
async fn a_campaign_of_which_nothing_is_mail_yet_says_why() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        for name in ["ann", "bob"] {
            desk.contact(&format!("{name}@a.test"), json!({})).await;
        }
        let (status, _) = desk.ask("GET", "/v1/why?campaign=99", Value::Null).await;
        assert_eq!(status, 404);
        // A minute of yesterday: it does not open today.
        let minute = desk.relay.clock().now().seconds().rem_euclid(86_400) / 60;
        let from = (minute + 1380) % 1439;
        let window = json!({"from_minute": from, "to_minute": from + 1, "zone": "UTC"});
        let starts_at = (desk.relay.clock().now() + std::time::Duration::from_secs(5)).0;
        let settings = json!({"window": window, "starts_at": starts_at});
        let id = desk.campaign("<p>Hello</p>", settings).await;
        let told = async |text: &str| {
            let told = reasons(&desk.relay, &format!("campaign={id}")).await;
            let one = told.iter().find(|one| texts(std::slice::from_ref(one)).contains(text));
            one.unwrap_or_else(|| panic!("{text}: {told:?}")).clone()
        };
        assert_eq!(told("it is a draft").await["reason"]["kind"], "held");
        desk.step(id, "schedule").await;
        let scheduled = told("is scheduled").await;
        assert_eq!(scheduled["reason"]["until"], json!(starts_at));
        desk.until(id, "sending").await;
        let closed = told("outside the campaign's sending window").await;
        assert_eq!(closed["deliveries"], json!(2));
        assert!(closed["reason"]["until"].as_i64() > Some(desk.relay.clock().now().0));
        desk.step(id, "pause").await;
        assert_eq!(told("the campaign is paused").await["deliveries"], json!(2));
    }
}
