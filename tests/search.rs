//! The log of mail: what is looked for is found, in its time and by its owner alone.

use std::time::Duration;

use postroad::model::{EventKind, OrganizationId};
use serde_json::Value;

use crate::support::api::{As, TestApi};
use crate::support::mx::FakeMx;
use crate::support::relay::{Database, SENDER, TestRelay};

const OWN: OrganizationId = OrganizationId::FIRST;

async fn subjects(api: &TestApi, who: &As, query: &str) -> Vec<String> {
    let answer = api.ask(who, "GET", &format!("/v1/messages?{query}"), None).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    let items = answer.body["items"].as_array().expect("a list");
    items.iter().map(|item| item["subject"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn mail_is_found_by_each_of_its_marks_newest_first() {
    let api = TestApi::new().await;
    let first = api.mail(OWN, "An offer", "bob@a.test").await;
    api.clock().advance(Duration::from_secs(5 * 3600));
    api.mail(OWN, "Another OFFER", "bob@a.test").await;
    api.mail(OWN, "100% sure_thing", "eve@b.test").await;
    let operator = &As::Operator;
    for (query, expected) in [
        ("recipient=bob@a.test", vec!["Another OFFER", "An offer"]),
        ("recipient=BOB@A.test", vec![]),
        ("recipient=eve@b.test&sender=ann@sender.test", vec!["100% sure_thing"]),
        ("sender=nobody@sender.test", vec![]),
        ("subject=offer", vec!["Another OFFER", "An offer"]),
        ("subject=0%25%20sure_", vec!["100% sure_thing"]),
        ("subject=%25", vec!["100% sure_thing"]),
        ("tag=tag-An%20offer", vec!["An offer"]),
        ("state=delivered", vec![]),
        ("state=waiting&limit=2", vec!["100% sure_thing", "Another OFFER"]),
        (&format!("message_id={first}@sender.test"), vec!["An offer"]),
    ] {
        assert_eq!(subjects(&api, operator, query).await, expected, "{query}");
    }
    let since = api.clock().now().0 - 3_600_000_000;
    let expected = ["100% sure_thing", "Another OFFER"];
    assert_eq!(subjects(&api, operator, &format!("from={since}")).await, expected);
    let until = format!("until={since}&sender=ann@sender.test");
    assert_eq!(subjects(&api, operator, &until).await, ["An offer"]);
}

#[tokio::test]
async fn a_list_goes_on_page_by_page_over_hours_without_gap_or_repeat() {
    let api = TestApi::new().await;
    let mut expected = Vec::new();
    for number in 0..23 {
        let subject = format!("mail {number}");
        api.mail(OWN, &subject, "bob@a.test").await;
        api.mail(OWN, "noise", "eve@a.test").await;
        expected.insert(0, subject);
        api.clock().advance(Duration::from_secs(1700));
    }
    for way in ["recipient=bob@a.test", "subject=mail"] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        for _ in 0..60 {
            let path = format!("/v1/messages?{way}&limit=2{cursor}");
            let page = api.ask(&As::Operator, "GET", &path, None).await.body;
            for item in page["items"].as_array().expect("a list") {
                found.push(item["subject"].as_str().expect("text").to_owned());
            }
            match &page["next"] {
                Value::Null => break,
                next => cursor = format!("&cursor={}", next.as_str().expect("a cursor")),
            }
        }
        assert_eq!(found, expected, "{way}");
    }
}

#[tokio::test]
async fn a_search_names_a_time_that_can_be_walked() {
    let api = TestApi::new().await;
    for (query, field) in [
        ("from=2&until=1", "from"),
        ("from=0", "from"),
        ("limit=501", "limit"),
        ("subject=", "subject"),
        ("recipient=bob", "recipient"),
    ] {
        let path = format!("/v1/messages?{query}");
        let answer = api.ask(&As::Operator, "GET", &path, None).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["field"]),
            (422, &field.into()),
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_found_by_what_its_attempts_met() {
    for database in Database::all().await {
        let mx = FakeMx::refusing("gone@example.test", "550 5.1.1 no such user").await;
        let relay = TestRelay::on(&database, &mx).await;
        relay.submit(&["gone@example.test", "bob@example.test"]).await;
        relay.run_until_idle().await;
        let gone = relay.delivery_to("gone@example.test").await;
        let events = relay.store().events_of_message(gone.message, 100).await.expect("read");
        let failed = events.iter().find(|event| event.kind == EventKind::Failed).expect("one");
        let word = |name: &str| failed.fields[name].as_str().expect("text").to_owned();
        let (class, source) = (word("class"), word("source"));
        let operator = relay.store().operator_of_site(gone.site).await.expect("read");
        let operators = relay.store().operators().await.expect("read");
        let operator = &operators.iter().find(|row| row.id == operator).expect("one").name;
        let both = ["bob@example.test", "gone@example.test"];
        for (query, expected) in [
            (format!("class={class}"), &both[1..]),
            (format!("source={source}&sender={SENDER}"), &both[..]),
            (format!("class={class}&source={source}"), &both[1..]),
            ("class=no_such_class".to_owned(), &[]),
            (format!("operator={operator}&sender={SENDER}"), &both[..]),
            (format!("operator={operator}&class={class}"), &both[1..]),
        ] {
            let path = format!("/v1/messages?{query}");
            let (status, _, found) = relay.ask("GET", &path, None).await;
            assert_eq!(status, 200, "{query}: {found}");
            let items = found["items"].as_array().expect("a list").iter();
            let mut found: Vec<&str> =
                items.map(|item| item["recipient"].as_str().expect("text")).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{query}");
        }
        let (status, _, wrong) = relay.ask("GET", "/v1/messages?operator=nobody", None).await;
        assert_eq!((status, wrong["field"].as_str()), (422, Some("operator")));
    }
}
