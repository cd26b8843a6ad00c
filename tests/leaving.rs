//! Who wants no more mail: by a link, by a mail program, by mail.

use postroad::config::Settings;
use postroad::model::State;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::mx::FakeMx;
use crate::support::relay::{Database, TestRelay};

const MAIL: &[u8] =
    b"From: <sender@sender.test>\r\nSubject: news\r\nX-Postroad-Stream: marketing\r\n\
                      \r\nhello\r\n";

fn open(settings: &mut Settings) {
    settings.inbound.listen = vec![([127, 0, 0, 1], 0).into()];
    settings.inbound.return_domain = Some("bounce.sender.test".to_owned());
    settings.http.public_url = Some("https://mail.sender.test".to_owned());
}

async fn relay(mx: &FakeMx) -> TestRelay {
    on(&Database::Sqlite, mx).await
}

async fn on(database: &Database, mx: &FakeMx) -> TestRelay {
    let relay = TestRelay::with(mx, |settings| {
        open(settings);
        if let Database::Postgres(url) = database {
            settings.store.url = Some(url.clone());
        }
    })
    .await;
    relay
        .submit_mail("<sender@sender.test>", &["ann@example.test", "bob@example.test"], MAIL)
        .await;
    relay.run_until_idle().await;
    relay
}

fn text_to(mx: &FakeMx, recipient: &str) -> String {
    String::from_utf8(mx.mail_to(recipient).body.to_vec()).expect("text")
}

/// What stands between two marks.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}"));
    rest.split_once(end).expect("an end").0
}

/// As anybody on the internet; status and body.
async fn ask(relay: &TestRelay, method: &str, path: &str, form: &str) -> (u16, String) {
    let address = relay.http();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    (answer[9..12].parse().expect("a status"), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_program_leaves_with_one_click_and_a_scanner_that_looks_does_not() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    let (ann, bob) = (text_to(&mx, "ann@example.test"), text_to(&mx, "bob@example.test"));
    assert!(ann.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"), "{ann}");
    let path = between(&ann, "<https://mail.sender.test", ">");
    assert_ne!(path, between(&bob, "<https://mail.sender.test", ">"), "each has his own");
    for _ in 0..2 {
        let (status, page) = ask(&relay, "GET", path, "").await;
        assert_eq!(status, 200, "{page}");
        assert!(page.contains("ann@example.test") && page.contains("<form method=\"post\""));
    }
    assert_eq!(relay.story_of("ann@example.test").await, ["accepted", "delivered"]);
    let (status, page) = ask(&relay, "POST", path, "List-Unsubscribe=One-Click").await;
    assert_eq!(status, 200, "{page}");
    let story = relay.story_of("ann@example.test").await;
    assert_eq!(story, ["accepted", "delivered", "unsubscribed"]);
    let list = relay.see("/v1/suppressions").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    let entry = &list["items"][0];
    assert_eq!((&entry["reason"], &entry["scope"]), (&json!("unsubscribe"), &json!("stream")));
    // Other mail goes on, more news does not.
    relay.submit_mail("<sender@sender.test>", &["Ann@example.test"], MAIL).await;
    relay.run_until_idle().await;
    assert_eq!(relay.state_of("Ann@example.test").await, State::Suppressed);
    relay.submit(&["ANN@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(relay.state_of("ANN@example.test").await, State::Delivered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_to_the_address_of_the_field_leaves_too_and_a_made_up_link_leads_nowhere() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    let bob = text_to(&mx, "bob@example.test");
    let address = between(&bob, "<mailto:", "?subject");
    let answer = relay.bring("bob@example.test", address, "Subject: unsubscribe\n\n\n").await;
    assert!(answer.starts_with("250"), "{answer}");
    let story = relay.story_of("bob@example.test").await;
    assert_eq!(story, ["accepted", "delivered", "unsubscribed"]);
    let forged = format!("/u/{}", "a".repeat(45));
    assert_eq!(ask(&relay, "POST", &forged, "List-Unsubscribe=One-Click").await.0, 404);
    let list = relay.see("/v1/suppressions").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_on_the_page_of_preferences_holds_and_can_be_taken_back() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    let ann = text_to(&mx, "ann@example.test");
    let path = between(&ann, "<https://mail.sender.test", ">").replacen("/u/", "/p/", 1);
    let (status, page) = ask(&relay, "GET", &path, "").await;
    assert!(status == 200 && page.contains("name=\"stream\" value=\"2\" checked"), "{page}");
    assert_eq!(ask(&relay, "POST", &path, "offered=2").await.0, 200);
    let list = relay.see("/v1/suppressions").await;
    assert_eq!(list["items"][0]["address"], "ann@example.test");
    assert!(!ask(&relay, "GET", &path, "").await.1.contains(" checked"));
    assert_eq!(ask(&relay, "POST", &path, "stream=2&offered=2").await.0, 200);
    let list = relay.see("/v1/suppressions").await;
    assert_eq!(list["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn transactional_mail_carries_no_list_fields() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    relay.submit(&["cid@example.test"]).await;
    relay.run_until_idle().await;
    assert!(!text_to(&mx, "cid@example.test").contains("List-Unsubscribe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complaint_that_is_an_opt_out_leaves_the_stream_and_is_no_complaint() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = on(&database, &mx).await;
        leaves_by_opt_out(&mx, &relay).await;
    }
}

async fn leaves_by_opt_out(mx: &FakeMx, relay: &TestRelay) {
    let original = text_to(mx, "ann@example.test");
    let report = format!(
        "From: fbl@far.test\nSubject: FW: news\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\
         Content-Type: text/plain\n\nAn email report.\n\n--b\n\
         Content-Type: message/feedback-report\n\nFeedback-Type: opt-out\nVersion: 1\n\n\
         --b\nContent-Type: message/rfc822\n\n{original}\n--b--\n"
    );
    for fate in ["unsubscribed", "repeated"] {
        relay.bring("fbl@far.test", "abuse@bounce.sender.test", &report).await;
        let list = relay.see("/v1/inbound").await;
        assert_eq!(list["items"][0]["fate"], fate, "{list}");
    }
    let story = relay.story_of("ann@example.test").await;
    assert_eq!(story, ["accepted", "delivered", "unsubscribed"]);
    let list = relay.see("/v1/suppressions").await;
    let entry = &list["items"][0];
    assert_eq!((&entry["reason"], &entry["scope"]), (&json!("unsubscribe"), &json!("stream")));
    assert!(entry["event"].is_i64(), "{entry}");
    assert_eq!(relay.story_of("bob@example.test").await, ["accepted", "delivered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn submitted_news_names_whose_they_are_for_the_statistics_of_operators() {
    let mx = FakeMx::accepting().await;
    let _relay = relay(&mx).await;
    let ann = text_to(&mx, "ann@example.test");
    assert!(ann.contains("Feedback-ID: s2:o1:submitted:sender.test\r\n"), "{ann}");
}
