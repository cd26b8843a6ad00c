//! Sending over the API: what is answered 202 is on disk, what is refused is named.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postroad::model::State;
use postroad::world::dns::Data;
use serde_json::{Value, json};

use crate::support::mx::FakeMx;
use crate::support::relay::{Database, SENDER, TestRelay};
use crate::support::talk::Talk;
use crate::support::{until, until_told};

fn letter(to: &str) -> Value {
    json!({"from": format!("Shop <{SENDER}>"), "to": [to], "subject": "hello", "text": "hi"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_accepted_delivered_and_told_of() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let mut order = letter("bob@example.test");
    order["html"] = json!("<p>hi</p>");
    order["bcc"] = json!(["eve@example.test"]);
    order["tag"] = json!("welcome");
    order["metadata"] = json!({"order": 7});
    let (status, _, answer) = relay.ask("POST", "/v1/messages", Some(order)).await;
    assert_eq!((status, &answer["recipients"]), (202, &json!(2)), "{answer}");
    relay.run_until_idle().await;
    assert_eq!(relay.story_of("bob@example.test").await, ["accepted", "delivered"]);
    assert_eq!(relay.story_of("eve@example.test").await, ["accepted", "delivered"]);
    let path = format!("/v1/messages/{}", answer["id"]);
    let (_, _, message) = relay.ask("GET", &path, None).await;
    assert_eq!((&message["tag"], &message["metadata"]["order"]), (&json!("welcome"), &json!(7)));
    relay.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_letter_of_a_batch_has_its_own_result() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let mut letters: Vec<Value> = (0..50).map(|n| letter(&format!("n{n}@example.test"))).collect();
    letters[7]["from"] = json!("somebody@elsewhere.test");
    letters[8]["subject"] = json!("two\r\nlines");
    letters[9]["colour"] = json!("red");
    letters[10]["stream"] = json!("none");
    letters[11] = json!("no object");
    let order = json!({"messages": letters});
    let (status, _, answer) = relay.ask("POST", "/v1/messages/batch", Some(order)).await;
    assert_eq!(status, 202, "{answer}");
    let results = answer["results"].as_array().expect("results");
    for (place, result) in results.iter().enumerate() {
        let field = match place {
            7 => "from",
            8 => "subject",
            9 => "colour",
            10 => "stream",
            11 => "",
            _ => {
                assert_eq!(result["accepted"]["recipients"], 1, "{place}: {result}");
                continue;
            }
        };
        assert_eq!(result["problem"]["status"], 422, "{place}: {result}");
        assert_eq!(result["problem"]["field"].as_str().unwrap_or_default(), field, "{result}");
    }
    relay.run_until_idle().await;
    assert_eq!(mx.received().len(), 45);
    let many: Vec<Value> = (0..1001).map(|_| json!({})).collect();
    let order = json!({"messages": many});
    let (status, _, answer) = relay.ask("POST", "/v1/messages/batch", Some(order)).await;
    assert_eq!((status, &answer["field"]), (422, &json!("messages")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_again_is_the_same_message() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let mut order = letter("bob@example.test");
    order["idempotency_key"] = json!("order-7");
    let (_, _, first) = relay.ask("POST", "/v1/messages", Some(order.clone())).await;
    let (status, _, second) = relay.ask("POST", "/v1/messages", Some(order)).await;
    assert_eq!((status, &second["id"]), (202, &first["id"]));
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_mail_is_taken_as_it_is_and_waits_for_its_time() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let mail = format!("From: {SENDER}\nTo: bob@example.test\nSubject: raw\n\nhi\n");
    let at = relay.clock().now().0 + 3_600_000_000;
    let order = json!({
        "from": SENDER, "to": ["bob@example.test"], "raw": STANDARD.encode(mail),
        "scheduled_at": at,
    });
    let (status, _, answer) = relay.ask("POST", "/v1/messages/raw", Some(order)).await;
    assert_eq!(status, 202, "{answer}");
    let delivery = relay.delivery_to("bob@example.test").await;
    assert_eq!((delivery.due_at.0, delivery.subject.as_str()), (at, "raw"));
    assert!(mx.received().is_empty());
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test"]);
    let past = json!({
        "from": SENDER, "to": ["bob@example.test"], "raw": STANDARD.encode("From: x\n\n"),
        "expires_at": 1,
    });
    let (status, _, answer) = relay.ask("POST", "/v1/messages/raw", Some(past)).await;
    assert_eq!((status, &answer["field"]), (422, &json!("expires_at")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_over_its_rate_is_told_when_to_come_again() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    relay.set_rules(json!({"scopes": ["send"], "rate_hour": 2})).await;
    let send = || relay.ask("POST", "/v1/messages", Some(letter("bob@example.test")));
    let (status, head, _) = send().await;
    assert_eq!(status, 202);
    assert!(
        head.contains("ratelimit-limit: 2") && head.contains("ratelimit-remaining: 1"),
        "{head}"
    );
    assert_eq!(send().await.0, 202);
    let (status, head, _) = send().await;
    assert_eq!(status, 429);
    assert!(head.contains("retry-after: "), "{head}");
    relay.clock().advance(std::time::Duration::from_secs(1801));
    assert_eq!(send().await.0, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_sends_only_as_whom_its_rules_name() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    relay.set_rules(json!({"scopes": ["send"], "senders": ["shop@sender.test"]})).await;
    let (status, _, answer) = relay.ask("POST", "/v1/messages", Some(letter("b@x.test"))).await;
    assert_eq!((status, &answer["field"]), (422, &json!("from")));
    let hello = || async {
        let mut talk = Talk::to(relay.submission()).await;
        talk.expect("EHLO client.test", "250").await;
        talk
    };
    hello().await.expect(&format!("MAIL FROM:<{SENDER}>"), "550").await;
    relay.set_rules(json!({"scopes": ["messages_read"]})).await;
    hello().await.expect("MAIL FROM:<shop@sender.test>", "550").await;
    let (status, _, _) = relay.ask("POST", "/v1/messages", Some(letter("b@x.test"))).await;
    assert_eq!(status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_read_by_cursor_and_followed_as_they_happen() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    // The first use of the credential is an event too, and written beside what it asks for.
    let first = async || relay.ask("GET", "/v1/events", None).await.2;
    let is_told = |page: &Value| page["items"].as_array().is_some_and(|all| !all.is_empty());
    let first = until_told("the first use", first, is_told).await;
    assert_eq!(first["items"][0]["kind"], "credential_used_first", "{first}");
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    let path = format!("/v1/events?limit=1&cursor={}", first["next"].as_str().expect("a cursor"));
    let (_, _, page) = relay.ask("GET", &path, None).await;
    assert_eq!((&page["items"][0]["kind"], &page["more"]), (&json!("accepted"), &json!(true)));
    let path = format!("/v1/events?cursor={}", page["next"].as_str().expect("a cursor"));
    let (_, _, rest) = relay.ask("GET", &path, None).await;
    assert_eq!((&rest["items"][0]["kind"], &rest["more"]), (&json!("delivered"), &json!(false)));
    assert_eq!(rest["items"][0]["fields"]["code"], 250);
    let path = format!("/v1/events?cursor={}", rest["next"].as_str().expect("a cursor"));
    let (_, _, end) = relay.ask("GET", &path, None).await;
    assert_eq!((&end["items"], &end["next"]), (&json!([]), &rest["next"]));
    let mut following = relay.follow("/v1/events/stream?cursor=0").await;
    assert!(following.until("event: delivered").await.contains("event: accepted"));
    relay.submit(&["eve@example.test"]).await;
    let told = following.until("event: accepted").await;
    assert!(told.contains("\"recipients\":1"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_of_a_suspended_organization_waits_and_goes_on_when_it_is_resumed() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let mut relay = TestRelay::on(&database, &mx).await;
        let other = relay.order("/v1/organizations", json!({"name": "other"})).await;
        let own = &other["id"];
        relay.order("/v1/domains", json!({"name": "other.test", "organization": own})).await;
        let key = json!({"name": "other", "organization": own});
        let key = relay.order("/v1/credentials", key).await;
        let key = format!("other:{}", key["secret"].as_str().expect("a secret"));
        relay.order("/v1/organizations/1/suspend", json!({"reason": "spam"})).await;
        relay.submit(&["held@example.test"]).await;
        // It is remembered by the ledger, not by the daemon alone.
        relay.stop().await;
        relay.start().await;
        relay.submit(&["held2@example.test"]).await;
        let order = json!({"from": "a@other.test", "to": ["bob@example.test"], "text": "hi"});
        let (status, _, answer) = relay.ask_as(&key, "POST", "/v1/messages", Some(order)).await;
        assert_eq!(status, 202, "{answer}");
        until("the other's mail", || mx.received() == ["bob@example.test"]).await;
        relay.clock().advance(std::time::Duration::from_secs(3600));
        assert_eq!(relay.state_of("held@example.test").await, State::Waiting);
        assert_eq!(relay.delivery_to("held2@example.test").await.tries, 0);
        relay.order("/v1/organizations/1/resume", json!({})).await;
        relay.run_until_idle().await;
        assert_eq!(mx.received().len(), 3);
        relay.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_by_smtp_goes_by_the_stream_and_at_the_rate_of_its_credential() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        settings.trusted[0].credential = "news".to_owned();
    })
    .await;
    let rules = json!({"scopes": ["send"], "rate_hour": 2});
    let order = json!({"name": "news", "stream": "marketing", "rules": rules});
    let made = relay.order("/v1/credentials", order).await;
    let id = relay.submit(&["a@example.test"]).await;
    let row = relay.store().message(id).await.expect("read").expect("there is one");
    assert_eq!(json!(row.stream), made["credential"]["stream"]);
    assert_ne!(row.stream, postroad::model::StreamId(1));
    relay.submit(&["b@example.test"]).await;
    let mail = b"From: <sender@sender.test>\r\n\r\nhello\r\n";
    let sender = "<sender@sender.test>";
    let over = relay.try_submit(sender, &["c@example.test"], mail).await;
    assert!(over.starts_with("45"), "it may come again: {over}");
    // Half an hour is the share of one mail.
    relay.clock().advance(std::time::Duration::from_secs(1801));
    let later = relay.try_submit(sender, &["c@example.test"], mail).await;
    assert!(later.starts_with("250"), "{later}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domains_records_are_looked_for_at_its_own_name_servers() {
    let mx = FakeMx::accepting().await;
    let port = mx.dns().address().port();
    let relay = TestRelay::with(&mx, |settings| settings.dns.authority_port = port).await;
    let check = || relay.order("/v1/domains/sender.test/check", json!({}));
    let states = |check: &Value| -> Vec<(String, String)> {
        let records = check["records"].as_array().expect("records").iter();
        let text = |record: &Value, name: &str| record[name].as_str().expect("text").to_owned();
        records.map(|record| (text(record, "purpose"), text(record, "state"))).collect()
    };
    let told = |states: &[(&str, &str)]| -> Vec<(String, String)> {
        states.iter().map(|(purpose, state)| ((*purpose).into(), (*state).into())).collect()
    };
    let nobody = check().await;
    let expected = told(&[
        ("spf", "unknown"),
        ("dkim", "missing"),
        ("dmarc", "unknown"),
        ("verification", "right"),
    ]);
    assert_eq!(states(&nobody), expected, "{nobody}");
    mx.dns().change(|zones| {
        zones.add("sender.test", Data::NameServer("ns.sender.test".into()));
        zones.add("ns.sender.test", Data::Address([127, 0, 0, 1].into()));
        zones.add("sender.test", Data::Text("v=spf1 include:spf.other.test -all".into()));
        zones.add("spf.other.test", Data::Text("v=spf1 ip4:192.0.2.1 a:x.test -all".into()));
    });
    let key = relay.order("/v1/dkim", json!({"domain": "sender.test"})).await;
    let found = check().await;
    assert_eq!(
        (&found["servers"], &found["spf_lookups"]),
        (&json!(["ns.sender.test."]), &json!(2))
    );
    let note = found["records"][0]["note"].as_str().expect("a note");
    assert!(note.contains("127.0.2.1"), "{note}");
    mx.dns().change(|zones| {
        zones.add("x.test", Data::Address([127, 0, 2, 1].into()));
        zones.add("_dmarc.sender.test", Data::Text("v=DMARC1; p=reject".into()));
        for row in key["items"].as_array().expect("keys") {
            let text = |name: &str| row[name].as_str().expect("text").to_owned();
            let name = format!("{}._domainkey.sender.test", text("selector"));
            zones.add(&name, Data::Text(text("record")));
        }
    });
    let signers = async || {
        let mail = b"From: <sender@sender.test>\r\nSubject: signed\r\n\r\nhi\r\n";
        relay.submit_mail("<sender@sender.test>", &["bob@example.test"], mail).await;
        relay.run_until_idle().await;
        let mails = mx.mails();
        let last = String::from_utf8_lossy(&mails.last().expect("one").body).into_owned();
        last.matches("DKIM-Signature:").count()
    };
    assert_eq!(signers().await, 0, "a key signs nothing before it is proved");
    let ready = check().await;
    assert_eq!(ready["ready"], true, "{ready}");
    assert_eq!(signers().await, 2);
}
