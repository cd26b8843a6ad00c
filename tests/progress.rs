//! What a person watches of a campaign and of a list, over HTTP, on both databases.

use std::time::{Duration, Instant};

use postroad::world::manners::{Deed, Manners, Phase};
use serde_json::{Value, json};

use crate::campaigns::Desk;
use crate::support::PATIENCE;
use crate::support::relay::Database;
use crate::support::until_told;

#[tokio::test]
async fn progress_and_recipients_say_what_became_of_everybody() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        for number in 0..60 {
            desk.contact(&format!("p{number}@d{number}.test"), json!({})).await;
        }
        desk.mx.script(Phase::Rcpt, Deed::Reply("550 5.1.1 no such user".to_owned()), 1);
        let id = desk.campaign("<p>x</p>", json!({})).await;
        desk.step(id, "launch").await;
        desk.until(id, "sent").await;

        let path = format!("/v1/campaigns/{id}/progress");
        let counted = |progress: &Value, kind: &str| -> u64 {
            let rows = progress["operators"].as_array().expect("operators");
            rows.iter().filter_map(|row| row[kind].as_u64()).sum()
        };
        let progress = async || {
            desk.relay.clock().advance(std::time::Duration::from_secs(2));
            desk.done("GET", &path, Value::Null).await
        };
        let all = |progress: &Value| {
            counted(progress, "delivered") == 59 && counted(progress, "failed") == 1
        };
        let progress = until_told("all are counted", progress, all).await;
        assert_eq!(progress["state"], "sent");
        assert_eq!(counted(&progress, "delivered"), 59, "{progress}");
        assert_eq!(progress["sums"]["failed"], 1);

        let path = format!("/v1/campaigns/{id}/deliveries");
        let first = desk.done("GET", &path, Value::Null).await;
        let next = first["next"].as_str().expect("there is more").to_owned();
        let second = desk.done("GET", &format!("{path}?cursor={next}"), Value::Null).await;
        let seen = |page: &Value| -> Vec<String> {
            let rows = page["items"].as_array().expect("items");
            rows.iter().map(|row| row["recipient"].to_string()).collect()
        };
        let mut all = [seen(&first), seen(&second)].concat();
        all.sort();
        all.dedup();
        assert_eq!((all.len(), &second["next"]), (60, &Value::Null));
        let failed = desk.done("GET", &format!("{path}?state=failed"), Value::Null).await;
        assert_eq!(failed["items"][0]["answer"], "550 5.1.1 no such user");
        assert_eq!(failed["items"].as_array().map(Vec::len), Some(1));
        let clicked = desk.done("GET", &format!("{path}?reader=clicked"), Value::Null).await;
        assert_eq!(clicked["items"], json!([]));
        let (status, _) = desk.ask("GET", &format!("{path}?cursor=lost.1"), Value::Null).await;
        assert_eq!(status, 422);
    }
}

#[tokio::test]
async fn the_growth_of_a_list_counts_who_came_and_who_left() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        for name in ["ann", "bob", "carol"] {
            desk.contact(&format!("{name}@a.test"), json!({})).await;
        }
        let path = format!("/v1/lists/{}/growth", desk.list);
        let days = desk.done("GET", &format!("{path}?days=7"), Value::Null).await;
        let items = days["items"].as_array().expect("days");
        assert_eq!(items.len(), 7);
        assert_eq!(items[0]["subscribed"], 0);
        assert_eq!((&items[6]["joined"], &items[6]["subscribed"]), (&json!(3), &json!(3)));
        assert_eq!(desk.ask("GET", "/v1/lists/999999/growth", Value::Null).await.0, 404);
        assert_eq!(desk.ask("GET", &format!("{path}?days=0"), Value::Null).await.0, 422);
    }
}

/// Subscribed, unconfirmed, unsubscribed.
async fn sizes(desk: &Desk) -> (u64, u64, u64) {
    let page = desk.done("GET", "/v1/lists", Value::Null).await;
    let list = &page["items"][0];
    let of = |name: &str| list[name].as_u64().expect("a number");
    (of("subscribed"), of("unconfirmed"), of("unsubscribed"))
}

#[tokio::test]
async fn the_counts_of_a_list_follow_every_change_of_its_members() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let mut ids = Vec::new();
        for name in ["ann", "bob", "carol", "dave"] {
            ids.push(desk.contact(&format!("{name}@a.test"), json!({})).await);
        }
        assert_eq!(sizes(&desk).await, (4, 0, 0));
        let of = |id: i64| format!("/v1/contacts/{id}");
        desk.relay.clock().advance(std::time::Duration::from_secs(2 * 86_400));
        let leave = json!({"unsubscribe": [desk.list]});
        for _ in 0..2 {
            desk.done("PATCH", &of(ids[0]), leave.clone()).await;
        }
        desk.done("PATCH", &of(ids[1]), leave).await;
        assert_eq!(sizes(&desk).await, (2, 0, 2), "who leaves twice counts once");
        let back = |again: bool| {
            let consent = json!({"source": "form", "again": again});
            json!({"subscribe": [desk.list], "consent": consent})
        };
        desk.done("PATCH", &of(ids[0]), back(false)).await;
        assert_eq!(sizes(&desk).await, (2, 0, 2), "nobody comes back unasked");
        desk.relay.clock().advance(std::time::Duration::from_secs(86_400));
        desk.done("PATCH", &of(ids[0]), back(true)).await;
        assert_eq!(sizes(&desk).await, (3, 0, 1));
        for id in [ids[0], ids[1], ids[2]] {
            desk.done("DELETE", &of(id), Value::Null).await;
        }
        assert_eq!(sizes(&desk).await, (1, 0, 0), "who is removed counts no more");
        let path = format!("/v1/lists/{}/growth?days=7", desk.list);
        let days = desk.done("GET", &path, Value::Null).await;
        let sum = |of: &str| -> u64 {
            let items = days["items"].as_array().expect("days");
            items.iter().filter_map(|day| day[of].as_u64()).sum()
        };
        assert_eq!((sum("joined"), sum("left")), (1, 0));
        assert_eq!(days["items"][6]["subscribed"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_for_its_age_leaves_the_sums_of_campaigns_as_they_were() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        desk.contact("ann@a.test", json!({})).await;
        desk.contact("bob@b.test", json!({})).await;
        let id = desk.campaign("<p>x</p>", json!({})).await;
        desk.step(id, "launch").await;
        let before = desk.until(id, "sent").await["sums"].clone();
        assert_eq!((&before["delivered"], &before["removed"]), (&json!(2), &json!(0)));
        let other = desk.relay.submit(&["eve@example.test"]).await;
        desk.relay.run_until_idle().await;
        desk.done("PATCH", "/v1/organizations/1", json!({"keep_days": 1})).await;
        desk.relay.clock().advance(Duration::from_secs(3 * 86_400));
        let started = Instant::now();
        while desk.relay.store().message(other).await.expect("read").is_some() {
            assert!(started.elapsed() < PATIENCE, "it is not forgotten");
            desk.relay.clock().advance(Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(desk.show(id).await["sums"], before);
        desk.relay.adds_up().await;
    }
}
