//! Rules that stop a campaign by themselves, and a person who lets it go on.

use std::time::{Duration, Instant};

use postroad::world::operators::operators;
use serde_json::{Value, json};

use crate::campaigns::Desk;
use crate::support::PATIENCE;
use crate::support::relay::Database;

/// The decision in force that stops this campaign somewhere.
async fn stop_of(desk: &Desk, campaign: i64) -> Value {
    let started = Instant::now();
    loop {
        let page = desk.done("GET", "/v1/decisions?active=true", Value::Null).await;
        let items = page["items"].as_array().expect("a list");
        let own = |one: &&Value| one["who"] == format!("campaign:{campaign}");
        if let Some(stop) = items.iter().find(own) {
            return stop.clone();
        }
        assert!(started.elapsed() < PATIENCE, "nothing stops it: {page}");
        // The throttle lets one go after another, and each answer is learnt from before the next.
        desk.relay.clock().advance(Duration::from_secs(6));
        tokio::time::sleep(Duration::from_millis(20)).await;
        desk.relay.rest().await;
        desk.relay.look().await;
    }
}

async fn minutes(desk: &Desk, count: u32) {
    for _ in 0..count {
        desk.relay.clock().advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(50)).await;
        desk.relay.rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_whose_content_a_host_does_not_want_stops_there_until_a_person_undoes_it() {
    // The words of the host that the demo's users meet.
    let filtering = operators().into_iter().find(|one| one.name == "Filtering").expect("there");
    let manners = filtering.hosts[0].manners.clone();
    for database in Database::all().await {
        let desk = Desk::on(&database, manners.clone()).await;
        for number in 0..40 {
            desk.contact(&format!("p{number}@filtering.test"), json!({})).await;
        }
        let throttle = json!({"throttle": {"messages": 10, "seconds": 60}});
        let id = desk.campaign("<p>x</p>", throttle).await;
        desk.step(id, "launch").await;
        let stop = stop_of(&desk, id).await;
        assert_eq!(stop["rule"], "campaign_content", "{stop}");
        let said = stop["samples"][0].as_str().expect("what was answered");
        assert!(said.contains("not wanted here"), "{said}");
        // What was under way is answered still, and its outcome written.
        minutes(&desk, 2).await;
        desk.relay.rest().await;
        let refused = desk.show(id).await["sums"]["failed"].as_u64().expect("a number");
        minutes(&desk, 10).await;
        desk.relay.rest().await;
        let shown = desk.show(id).await;
        assert_eq!(
            (&shown["state"], &shown["sums"]["failed"]),
            (&json!("sending"), &json!(refused))
        );
        assert!(refused < 40, "it stopped in time");
        let outlook = desk.done("GET", &format!("/v1/campaigns/{id}/outlook"), Value::Null).await;
        assert_eq!(outlook["stops"][0]["cause"], stop["cause"], "{outlook}");
        let (place, host) = (&stop["to"], &outlook["stops"][0]["host"]);
        let is_site = place.as_str().is_some_and(|place| place.starts_with("site:"));
        assert!(is_site && host.is_string(), "a small host stops itself alone: {place} {host}");
        let undo = format!("/v1/decisions/{}/undo", stop["id"]);
        desk.done("POST", &undo, Value::Null).await;
        let more = |shown: &Value| shown["sums"]["failed"].as_u64() > Some(refused);
        desk.until_it(id, "going on", more).await;
    }
}
