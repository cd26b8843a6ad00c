//! Lists by pages are narrowed by what somebody types and by a state, on both databases.

use postroad::world::manners::Manners;
use serde_json::{Value, json};

use crate::campaigns::Desk;
use crate::support::relay::Database;

/// What a field of each row says, in the order of the list.
async fn listed(desk: &Desk, path: &str, field: &str) -> Vec<String> {
    let page = desk.done("GET", path, Value::Null).await;
    let rows = page["items"].as_array().expect("a list");
    rows.iter().map(|row| row[field].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_narrowed_by_what_is_typed_and_by_a_state() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        for (name, kind) in [("Tea 50 %", "html"), ("Tea 50_x", "markdown"), ("Coffee", "html")] {
            let new = json!({"name": name, "kind": kind, "subject": "Hello", "body": "<p>x</p>"});
            desk.done("POST", "/v1/templates", new).await;
            let mut new = desk.input("<p>Hello</p>", json!({}));
            new["name"] = json!(name);
            desk.done("POST", "/v1/campaigns", new).await;
        }
        let templates = |query: &str| format!("/v1/templates?{query}");
        assert_eq!(listed(&desk, &templates("find=tEA"), "name").await.len(), 2);
        assert_eq!(listed(&desk, &templates("find=50%20%25"), "name").await, ["Tea 50 %"]);
        assert_eq!(listed(&desk, &templates("find=0_x"), "name").await, ["Tea 50_x"]);
        let both = templates("find=tea&kind=html");
        assert_eq!(listed(&desk, &both, "name").await, ["Tea 50 %"]);
        let drafts = "/v1/campaigns?find=coff&state=draft";
        assert_eq!(listed(&desk, drafts, "name").await, ["Coffee"]);
        assert!(listed(&desk, "/v1/campaigns?state=sent", "name").await.is_empty());
        let (status, refused) = desk.ask("GET", "/v1/campaigns?state=nowhere", Value::Null).await;
        assert!((400..500).contains(&status), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_narrowed_by_words_and_by_time() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        for name in ["one.test", "two.test"] {
            desk.done("POST", "/v1/domains", json!({"name": name})).await;
        }
        let found = listed(&desk, "/v1/audit?find=ONE.test", "target").await;
        assert_eq!(found, ["one.test"]);
        let all = desk.done("GET", "/v1/audit?find=domain.added", Value::Null).await;
        let at = |place: usize| all["items"][place]["at"].as_i64().expect("a moment");
        let since = format!("/v1/audit?find=two.test&from={}", at(0));
        assert_eq!(listed(&desk, &since, "target").await, ["two.test"]);
        let before = format!("/v1/audit?find=two.test&until={}", at(0));
        assert!(listed(&desk, &before, "target").await.is_empty());
        let long = format!("/v1/audit?find={}", "x".repeat(201));
        assert_eq!(desk.ask("GET", &long, Value::Null).await.1["field"], "find");
    }
}
