//! Addresses that are not written to: learnt from hosts, put there by people, taken out again.

use postroad::model::State;
use postroad::world::manners::Manners;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::campaigns::Desk;
use crate::support::api::{As, TestApi};
use crate::support::mx::FakeMx;
use crate::support::relay::{Database, SENDER, TestRelay};

/// Asks the running daemon over its operator's socket.
async fn ask(relay: &TestRelay, method: &str, path: &str, body: Option<Value>) -> Value {
    let mut stream =
        UnixStream::connect(relay.settings().control_socket()).await.expect("the daemon runs");
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: postroad\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let (start, end) = (body.find('{').expect("JSON"), body.rfind('}').expect("JSON"));
    serde_json::from_str(&body[start..=end]).expect("JSON")
}

async fn suppress(relay: &TestRelay, address: &str, scope: &str, stream: Option<i64>) {
    let entries = json!([{"address": address}]);
    let order = json!({"entries": entries, "scope": scope, "stream": stream});
    let added = ask(relay, "POST", "/v1/suppressions", Some(order)).await;
    assert_eq!(added, json!({"added": 1}));
}

fn sent_to(mx: &FakeMx, address: &str) -> usize {
    mx.received().iter().filter(|recipient| *recipient == address).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_a_host_calls_unknown_is_not_offered_again() {
    for database in Database::all().await {
        let mx = FakeMx::refusing("gone@example.test", "550 5.1.1 no such user here").await;
        let relay = TestRelay::on(&database, &mx).await;
        relay.submit(&["gone@example.test"]).await;
        relay.run_until_idle().await;
        assert_eq!(relay.story_of("gone@example.test").await, ["accepted", "failed"]);
        let list = ask(&relay, "GET", "/v1/suppressions", None).await;
        assert_eq!(list["items"][0]["address"], "gone@example.test");
        assert_eq!(list["items"][0]["reason"], "hard_bounce");
        assert_eq!(list["items"][0]["expires_at"], Value::Null);
        // Written in another case, the mailbox is the same to all that matter.
        relay.submit(&["Gone@example.test"]).await;
        relay.run_until_idle().await;
        assert_eq!(relay.story_of("Gone@example.test").await, ["accepted", "suppressed"]);
        let text = relay.text_of("Gone@example.test").await;
        assert!(text.starts_with("5.7.1 ") && text.contains("hard_bounce"), "{text}");
        // One report for each of the two mails.
        assert_eq!(sent_to(&mx, SENDER), 2);
        relay.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_are_sure_suppress_also_without_a_code_and_a_lost_domain_for_its_time() {
    let mx = FakeMx::refusing("gone@example.test", "550 No such user here").await;
    mx.refuse("ann@example.test", "550 5.1.2 Host unknown: no such domain");
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["gone@example.test"]).await;
    relay.run_until_idle().await;
    relay.submit(&["ann@example.test"]).await;
    relay.run_until_idle().await;
    let list = ask(&relay, "GET", "/v1/suppressions", None).await;
    let days = |place: usize| {
        let entry = &list["items"][place];
        let end = entry["expires_at"].as_i64();
        let days =
            end.map(|end| (end - entry["created_at"].as_i64().unwrap_or(0)) / 86_400_000_000);
        (entry["address"].as_str().unwrap_or("").to_owned(), days)
    };
    assert_eq!(days(0), ("ann@example.test".to_owned(), Some(90)), "{list}");
    assert_eq!(days(1), ("gone@example.test".to_owned(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_refusal_suppresses_nobody() {
    let replies = [
        "550 5.7.1 rejected by policy",
        "550 no",
        "554 5.7.1 blocked using list.example",
        "552 5.2.2 mailbox full",
        "550 5.7.1 user unknown",
        "550 5.4.1 Recipient address rejected: Access denied",
    ];
    for reply in replies {
        let mx = FakeMx::refusing("bob@example.test", reply).await;
        let relay = TestRelay::sending_to(&mx).await;
        relay.submit(&["bob@example.test"]).await;
        relay.run_until_idle().await;
        assert_eq!(relay.state_of("bob@example.test").await, State::Failed);
        let list = ask(&relay, "GET", "/v1/suppressions", None).await;
        assert_eq!(list["items"], json!([]), "{reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_suppressed_recipient_does_not_hold_up_the_other() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    suppress(&relay, "ann@example.test", "organization", None).await;
    relay.submit(&["ann@example.test", "bob@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(relay.story_of("ann@example.test").await, ["accepted", "suppressed"]);
    assert_eq!(relay.story_of("bob@example.test").await, ["accepted", "delivered"]);
    assert_eq!((sent_to(&mx, "ann@example.test"), sent_to(&mx, "bob@example.test")), (0, 1));
    relay.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_stops_its_own_stream_alone_and_all_where_it_says_so() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    // The credential of these tests sends in stream 1.
    suppress(&relay, "ann@example.test", "stream", Some(2)).await;
    suppress(&relay, "bob@example.test", "stream", Some(1)).await;
    suppress(&relay, "cid@example.test", "installation", None).await;
    relay.submit(&["ann@example.test", "bob@example.test", "cid@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(relay.state_of("ann@example.test").await, State::Delivered);
    assert_eq!(relay.state_of("bob@example.test").await, State::Suppressed);
    assert_eq!(relay.state_of("cid@example.test").await, State::Suppressed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_removed_lets_mail_pass_and_stays_with_its_note() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        suppress(&relay, "ann@example.test", "organization", None).await;
        let list = ask(&relay, "GET", "/v1/suppressions", None).await;
        let path = format!("/v1/suppressions/{}/remove", list["items"][0]["id"]);
        ask(&relay, "POST", &path, Some(json!({"note": "she asked for it"}))).await;
        let audit = ask(&relay, "GET", "/v1/audit", None).await.to_string();
        assert!(audit.contains("she asked for it"), "{audit}");
        relay.submit(&["ann@example.test"]).await;
        relay.run_until_idle().await;
        assert_eq!(relay.state_of("ann@example.test").await, State::Delivered);
        let kept = ask(&relay, "GET", "/v1/suppressions?removed=true", None).await;
        assert_eq!(kept["items"][0]["removal_note"], "she asked for it");
        assert_eq!(ask(&relay, "GET", "/v1/suppressions", None).await["items"], json!([]));
        // And may be made anew.
        suppress(&relay, "ann@example.test", "organization", None).await;
    }
}

#[tokio::test]
async fn a_test_and_a_list_know_an_address_of_which_only_the_hash_came() {
    let api = TestApi::new().await;
    // printf ann@alder.example | sha256sum
    let hash = "f9b701fed28dbedd390cdfbd9e7eb77ef46458714d041f8a60d19f1182f8923f";
    let order = json!({"entries": [{"sha256": hash}], "scope": "organization",
        "reason": "imported", "expires_at": 1_900_000_000_000_000i64});
    let added = api.ask(&As::Operator, "POST", "/v1/suppressions", Some(order.clone())).await;
    assert_eq!(added.body, json!({"added": 1}), "{added:?}");
    let path = "/v1/suppressions/test?address=Ann%40alder.example&stream=1";
    let answer = api.ask(&As::Operator, "GET", path, None).await;
    assert_eq!(answer.body["suppressed"], true, "{answer:?}");
    assert_eq!(answer.body["reason"], "imported");
    let path = "/v1/suppressions?address=ann%40alder.example";
    let list = api.ask(&As::Operator, "GET", path, None).await;
    assert_eq!(list.body["items"][0]["sha256"], hash);
    let path = "/v1/suppressions/test?address=bob%40alder.example&stream=1";
    assert_eq!(api.ask(&As::Operator, "GET", path, None).await.body["suppressed"], false);
}

#[tokio::test]
async fn an_entry_for_good_is_not_shortened_by_a_later_one() {
    let api = TestApi::new().await;
    let add = |end: Value| {
        let entries = json!([{"address": "ann@alder.example"}]);
        json!({"entries": entries, "scope": "organization", "expires_at": end})
    };
    let steps = [
        (json!(1_900_000_000_000_000i64), 1),
        (Value::Null, 1),
        (json!(1_850_000_000_000_000i64), 0),
    ];
    for (end, added) in steps {
        let order = Some(add(end));
        let answer = api.ask(&As::Operator, "POST", "/v1/suppressions", order).await;
        assert_eq!(answer.body, json!({"added": added}));
    }
    let list = api.ask(&As::Operator, "GET", "/v1/suppressions", None).await;
    assert_eq!(list.body["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(list.body["items"][0]["expires_at"], Value::Null);
}

#[tokio::test]
async fn a_weightier_reason_takes_an_entry_over_and_does_not_shorten_it() {
    let api = TestApi::new().await;
    let (late, early) = (1_900_000_000_000_000i64, 1_850_000_000_000_000i64);
    let add = async |reason: &str, end: i64, note: &str| {
        let entries = json!([{"address": "ann@alder.example"}]);
        let order = json!({"entries": entries, "scope": "organization", "expires_at": end,
            "reason": reason, "note": note});
        let answer = api.ask(&As::Operator, "POST", "/v1/suppressions", Some(order)).await;
        answer.body["added"].as_i64().unwrap_or_else(|| panic!("{answer:?}"))
    };
    assert_eq!(add("imported", late, "a").await, 1);
    assert_eq!(add("imported", early, "b").await, 0);
    assert_eq!(add("manual", early, "c").await, 1);
    let list = api.ask(&As::Operator, "GET", "/v1/suppressions", None).await;
    let entry = &list.body["items"][0];
    let told = (&entry["reason"], &entry["note"], &entry["expires_at"]);
    assert_eq!(told, (&json!("manual"), &json!("c"), &json!(late)));
}

#[tokio::test]
async fn an_organization_neither_sees_nor_stops_what_is_not_its_own() {
    let api = TestApi::new().await;
    let entries = json!([{"address": "ann@alder.example"}]);
    let order = json!({"entries": entries, "scope": "installation"});
    let narrowed = [("postroad-organization", "7")];
    let path = "/v1/suppressions";
    let who = As::Operator;
    let refused = api.ask_with(&who, "POST", path, &narrowed, Some(order.clone())).await;
    assert_eq!((refused.status.as_u16(), &refused.body["field"]), (422, &json!("scope")));
    api.ask(&who, "POST", path, Some(order)).await;
    let seen = api.ask_with(&who, "GET", path, &narrowed, None).await;
    assert_eq!(seen.body["items"], json!([]));
    let note = Some(json!({"note": "mine"}));
    let removed = api.ask_with(&who, "POST", "/v1/suppressions/1/remove", &narrowed, note).await;
    assert_eq!(removed.status.as_u16(), 404);
    let unknown = Some(json!({"entries": entries, "scope": "organization", "sope": 1}));
    assert_eq!(api.ask(&who, "POST", path, unknown).await.status.as_u16(), 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_refuses_reports_or_holds_mail_for_suppressed_addresses() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    suppress(&relay, "ann@example.test", "organization", None).await;
    let set = async |suppressed: &str| {
        let policy = json!({"suppressed": suppressed, "bounces": "asked"});
        ask(&relay, "PUT", "/v1/streams/1/policy", Some(policy)).await
    };
    set("refuse").await;
    let mail = b"From: <sender@sender.test>\r\nSubject: x\r\n\r\nx\r\n";
    let both = ["bob@example.test", "ann@example.test"];
    let answer = relay.try_submit(&format!("<{SENDER}>"), &both, mail).await;
    assert!(answer.starts_with("550 5.7.1") && answer.contains("ann@example.test"), "{answer}");
    assert!(relay.owed().await.is_empty(), "taken whole or not at all");
    set("hold").await;
    relay.submit(&["ann@example.test"]).await;
    relay.until_state("ann@example.test", State::Held).await;
    assert_eq!(mx.received(), [""; 0], "nothing leaves, and nobody is told");
    set("report").await;
    relay.submit(&["Ann@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(relay.state_of("Ann@example.test").await, State::Suppressed);
    assert_eq!(sent_to(&mx, SENDER), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_a_list_stops_campaigns_to_it_alone_and_an_entry_with_an_end_ends() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        for name in ["ann", "bob", "cid"] {
            desk.contact(&format!("{name}@a.test"), json!({"name": name})).await;
        }
        let list = desk.list;
        let order = json!({"entries": [{"address": "ann@a.test"}], "scope": "list", "list": list});
        desk.done("POST", "/v1/suppressions", order).await;
        let ends = desk.relay.clock().now().0 + 86_400_000_000;
        let order = json!({"entries": [{"address": "bob@a.test"}], "scope": "organization",
            "expires_at": ends});
        desk.done("POST", "/v1/suppressions", order).await;
        let tested = |list: i64| format!("address=ann%40a.test&stream=2&list={list}");
        let path = format!("/v1/suppressions/test?{}", tested(list));
        assert_eq!(desk.done("GET", &path, Value::Null).await["scope"], "list");
        let path = format!("/v1/suppressions/test?{}", tested(list + 1));
        assert_eq!(desk.done("GET", &path, Value::Null).await["suppressed"], false);
        let wrong = json!({"entries": [{"address": "x@a.test"}], "scope": "list", "list": 99});
        assert_eq!(desk.ask("POST", "/v1/suppressions", wrong).await.1["field"], "list");
        let first = desk.campaign("<p>x</p>", json!({})).await;
        desk.step(first, "launch").await;
        let shown = desk.until(first, "sent").await;
        assert_eq!(shown["sums"]["suppressed"], 2, "{shown}");
        assert_eq!(desk.mx.received(), ["cid@a.test"]);
        desk.relay.clock().advance(std::time::Duration::from_secs(90_000));
        let second = desk.campaign("<p>y</p>", json!({})).await;
        desk.step(second, "launch").await;
        let shown = desk.until(second, "sent").await;
        assert_eq!(shown["sums"]["suppressed"], 1, "{shown}");
        let all = desk.done("GET", "/v1/suppressions", Value::Null).await;
        assert_eq!(all["items"].as_array().map(Vec::len), Some(1), "what is over is not shown");
        let audit = desk.done("GET", "/v1/audit", Value::Null).await.to_string();
        assert!(audit.contains("suppressions.added"), "{audit}");
    }
}
