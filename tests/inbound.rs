//! Mail from outside: what comes back is known by its token, and nobody is relayed for.

use postroad::config::Settings;
use postroad::model::{Class, EventId, EventKind, State};
use postroad::world::dns::{Data, Says};
use serde_json::{Value, json};

use crate::support::mx::FakeMx;
use crate::support::operator;
use crate::support::relay::{Database, SENDER, TestRelay};
use crate::support::talk::Talk;

const RETURN: &str = "bounce.sender.test";

fn listening(settings: &mut Settings) {
    settings.inbound.listen = vec![([127, 0, 0, 1], 0).into()];
    settings.inbound.return_domain = Some(RETURN.to_owned());
}

async fn relay(mx: &FakeMx) -> TestRelay {
    TestRelay::with(mx, listening).await
}

/// The envelope sender under which the only mail to a recipient left.
fn path_to(mx: &FakeMx, recipient: &str) -> String {
    mx.mail_to(recipient).envelope.sender.clone()
}

pub fn bounce(recipient: &str, status: &str, words: &str) -> String {
    format!(
        "From: MAILER-DAEMON@far.test\nTo: x@y.test\nSubject: Undelivered Mail\n\
         MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; \
         boundary=b\n\n--b\nContent-Type: text/plain\n\nThis is the mail system at host far.test. \
         Your mail could not be delivered.\n\n--b\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; far.test\n\nFinal-Recipient: rfc822; {recipient}\nAction: failed\n\
         Status: {status}\nDiagnostic-Code: smtp; 550 {status} {words}\n\n--b--\n"
    )
}

pub fn complaint(original: &str) -> String {
    format!(
        "From: fbl@far.test\nTo: abuse@y.test\nSubject: FW: hello\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\
         Content-Type: text/plain\n\nAn email abuse report.\n\n--b\n\
         Content-Type: message/feedback-report\n\nFeedback-Type: abuse\n\
         User-Agent: Far/1.0\nVersion: 1\n\n--b\nContent-Type: message/rfc822\n\n\
         {original}\n--b--\n"
    )
}

async fn suppressed(relay: &TestRelay) -> Vec<Value> {
    let list = relay.see("/v1/suppressions").await;
    list["items"].as_array().expect("a list").clone()
}

async fn fates(relay: &TestRelay) -> Vec<String> {
    let list = relay.see("/v1/inbound").await;
    let word = |item: &Value| item["fate"].as_str().expect("a word").to_owned();
    list["items"].as_array().expect("a list").iter().rev().map(word).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounce_comes_back_to_its_delivery_and_a_second_one_changes_nothing() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = on(&database, &mx).await;
        relay.submit(&["bob@example.test"]).await;
        relay.run_until_idle().await;
        let path = path_to(&mx, "bob@example.test");
        assert!(path.starts_with("b-") && path.ends_with("@bounce.sender.test"), "{path}");
        let report = bounce("bob@example.test", "5.1.1", "no such user here");
        for _ in 0..2 {
            let answer = relay.bring("", &path.to_uppercase(), &report).await;
            assert!(answer.starts_with("250 2.0.0"), "{answer}");
        }
        let story = relay.story_of("bob@example.test").await;
        assert_eq!(story, ["accepted", "delivered", "bounced"]);
        let bounces = relay.store().bounces_after(EventId(0)).await.expect("read");
        assert_eq!(bounces.len(), 1, "it counts once: {bounces:?}");
        assert_eq!(bounces[0].source.as_deref(), Some("only"));
        assert_eq!(bounces[0].told, Some(Class::MailboxInvalid));
        let entries = suppressed(&relay).await;
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0]["address"], "bob@example.test");
        assert_eq!(entries[0]["reason"], "hard_bounce");
        assert_eq!(fates(&relay).await, ["attributed", "repeated"]);
        let list = relay.see("/v1/inbound").await;
        assert_eq!(list["items"][1]["kind"], "bounce");
        assert_eq!(list["items"][1]["dkim"], "none");
        // What was removed by a person stays so, whoever repeats the report.
        let path_of_entry = format!("/v1/suppressions/{}/remove", entries[0]["id"]);
        relay.order(&path_of_entry, json!({"note": "works again"})).await;
        relay.bring("", &path, &report).await;
        assert!(suppressed(&relay).await.is_empty());
        relay.adds_up().await;
    }
}

async fn on(database: &Database, mx: &FakeMx) -> TestRelay {
    TestRelay::with(mx, |settings| {
        listening(settings);
        if let Database::Postgres(url) = database {
            settings.store.url = Some(url.clone());
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_report_that_the_address_is_lost_counts_and_no_report_counts_twice() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = on(&database, &mx).await;
        relay.submit(&["bob@example.test"]).await;
        relay.run_until_idle().await;
        let path = path_to(&mx, "bob@example.test");
        let soft = bounce("bob@example.test", "5.2.2", "mailbox full");
        let hard = bounce("bob@example.test", "5.1.1", "no such user here");
        for report in [&soft, &soft, &hard, &hard, &soft] {
            relay.bring("", &path, report).await;
        }
        let told = ["attributed", "repeated", "attributed", "repeated", "repeated"];
        assert_eq!(fates(&relay).await, told);
        let story = relay.story_of("bob@example.test").await;
        assert_eq!(story, ["accepted", "delivered", "bounced", "bounced"]);
        let message = relay.delivery_to("bob@example.test").await.message;
        let events = relay.store().events_of_message(message, 10).await.expect("read");
        let hard: Vec<_> = events
            .iter()
            .filter(|event| event.kind == EventKind::Bounced)
            .map(|event| (event.fields["hard"] == true, event.fields["again"] == true))
            .collect();
        assert_eq!(hard, [(false, false), (true, true)]);
        let entries = suppressed(&relay).await;
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!(entries[0]["reason"], "hard_bounce");
        let last = events.last().expect("an event");
        assert_eq!(entries[0]["event"], json!(last.id), "the event is the evidence");
        relay.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complaint_takes_over_the_entry_that_a_bounce_has_made_and_gives_it_to_nobody() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = on(&database, &mx).await;
        relay.submit(&["bob@example.test"]).await;
        relay.run_until_idle().await;
        let original = String::from_utf8(mx.mail_to("bob@example.test").body.to_vec());
        let complaint = complaint(&original.expect("text"));
        let path = path_to(&mx, "bob@example.test");
        let lost = bounce("bob@example.test", "5.1.1", "no such user here");
        relay.bring("", &path, &lost).await;
        let before = suppressed(&relay).await;
        assert_eq!(before[0]["reason"], "hard_bounce");
        relay.bring("fbl@far.test", "abuse@bounce.sender.test", &complaint).await;
        let after = suppressed(&relay).await;
        assert_eq!((after.len(), &after[0]["id"]), (1, &before[0]["id"]));
        let told = (&after[0]["reason"], &after[0]["expires_at"]);
        assert_eq!(told, (&json!("complaint"), &Value::Null));
        assert_ne!(after[0]["event"], before[0]["event"], "with its own evidence");
        // Another mail's bounce, under way since before, is lighter.
        let entries = json!([{"address": "bob@example.test"}]);
        let order = json!({"entries": entries, "scope": "organization", "reason": "imported"});
        assert_eq!(relay.order("/v1/suppressions", order).await["added"], 0);
        assert_eq!(suppressed(&relay).await, after);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_rule_decides_a_report_and_for_whom_its_address_is_lost() {
    let mx = FakeMx::refusing("cid@example.test", "550 5.7.1 has left the house of zork").await;
    let relay = relay(&mx).await;
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    let path = path_to(&mx, "bob@example.test");
    let rule = json!({
        "id": "own.left", "class": "policy", "confidence": 0.9, "phrases": ["house of zork"],
        "samples": ["550 5.7.1 has left the house of zork"],
        "suppress": {"scope": "stream", "days": 30},
    });
    relay.order("/v1/classification/rules", rule).await;
    let report = bounce("bob@example.test", "5.7.1", "has left the house of zork");
    relay.bring("", &path, &report).await;
    relay.submit(&["cid@example.test"]).await;
    relay.run_until_idle().await;
    let entries = suppressed(&relay).await;
    let names: Vec<&Value> = entries.iter().map(|entry| &entry["address"]).collect();
    assert_eq!(names, ["cid@example.test", "bob@example.test"], "by dialogue and by report");
    for entry in &entries {
        assert_eq!((&entry["scope"], &entry["stream"]), (&json!("stream"), &json!(1)));
        let days = entry["expires_at"].as_i64().expect("an end");
        let days = (days - entry["created_at"].as_i64().expect("a time")) / 86_400_000_000;
        assert_eq!((days, &entry["reason"]), (30, &json!("hard_bounce")));
        assert!(entry["event"].is_i64(), "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complaint_that_names_its_stream_alone_is_shown_to_whose_it_is_and_ends_nothing() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    let named = |id: &str| {
        complaint(&format!("From: <sender@sender.test>\nFeedback-ID: {id}\nSubject: x\n\nx\n"))
    };
    let texts = async || {
        let list = relay.see("/v1/inbound").await;
        let first = &list["items"][0];
        (first["organization"].clone(), first["text"].as_str().expect("text").to_owned())
    };
    let abuse = "abuse@bounce.sender.test";
    relay.bring("fbl@far.test", abuse, &named("s1:o1:submitted:sender.test")).await;
    let (organization, text) = texts().await;
    assert_eq!(organization, 1);
    assert!(text.contains("stream 1 (Feedback-ID)"), "{text}");
    relay.bring("fbl@far.test", abuse, &named("s1:o1:submitted:others.test")).await;
    let (organization, text) = texts().await;
    assert!(organization.is_null() && !text.contains("Feedback-ID"), "{text}");
    assert!(suppressed(&relay).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_relayed_for_and_no_unknown_address_is_taken() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    let mail = "Subject: x\n\nx\n";
    let cases = [
        ("bob@example.test", "550 5.7.1"),
        (SENDER, "550 5.7.1"),
        ("bob%example.test@bounce.sender.test", "550 5.1.1"),
        ("b-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@bounce.sender.test", "550 5.1.1"),
        ("anybody@bounce.sender.test", "550 5.1.1"),
        ("Postmaster@bounce.sender.test", "250"),
        ("abuse@BOUNCE.sender.test", "250"),
    ];
    for (recipient, expected) in cases {
        let answer = relay.bring("spammer@far.test", recipient, mail).await;
        assert!(answer.starts_with(expected), "{recipient}: {answer}");
    }
    let mut talk = Talk::to(relay.inbound()).await;
    assert!(!talk.say("EHLO x").await.contains("AUTH"));
    talk.expect("AUTH PLAIN AGFwcAByaWdodA==", "50").await;
    relay.run_until_idle().await;
    assert_eq!(mx.received(), [""; 0], "nothing leaves");
    assert_eq!(fates(&relay).await, ["kept", "kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_report_teaches_nothing() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    relay.submit(&["ann@example.test", "bob@example.test"]).await;
    relay.submit(&["cid@other.test"]).await;
    relay.run_until_idle().await;
    // Whoever knows address and Message-ID knows no token.
    let report = bounce("ann@example.test", "5.1.1", "no such user here");
    relay.bring("", "postmaster@bounce.sender.test", &report).await;
    // A true token of another mail names nobody of this one.
    let path = path_to(&mx, "cid@other.test");
    relay.bring("", &path, &report).await;
    assert_eq!(relay.story_of("ann@example.test").await, ["accepted", "delivered"]);
    let story = relay.story_of("cid@other.test").await;
    assert_eq!(story, ["accepted", "delivered", "bounced"]);
    assert!(suppressed(&relay).await.is_empty(), "another address than ours is never lost by it");
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_of_one_transaction_are_told_apart_by_the_report() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    relay.submit(&["ann@example.test", "bob@example.test"]).await;
    relay.run_until_idle().await;
    let path = path_to(&mx, "bob@example.test");
    assert_eq!(path, path_to(&mx, "ann@example.test"));
    relay.bring("", &path, &bounce("bob@example.test", "5.1.1", "no such user here")).await;
    assert_eq!(relay.story_of("ann@example.test").await, ["accepted", "delivered"]);
    let story = relay.story_of("bob@example.test").await;
    assert_eq!(story, ["accepted", "delivered", "bounced"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complaint_is_known_by_the_mail_that_it_returns_and_ends_all_mail() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    let original = String::from_utf8(mx.mail_to("bob@example.test").body.to_vec()).expect("text");
    assert!(original.starts_with("Delivery-Token: b-"), "{original}");
    let answer =
        relay.bring("fbl@far.test", "abuse@bounce.sender.test", &complaint(&original)).await;
    assert!(answer.starts_with("250"), "{answer}");
    let story = relay.story_of("bob@example.test").await;
    assert_eq!(story, ["accepted", "delivered", "complained"]);
    let complaints = relay.store().complaints_after(EventId(0)).await.expect("read");
    let source = complaints[0].source.as_deref();
    assert!(complaints.len() == 1 && source.is_some(), "{complaints:?}");
    let later = relay.store().complaints_after(complaints[0].event).await.expect("read");
    assert!(later.is_empty(), "it counts once");
    let entries = suppressed(&relay).await;
    assert_eq!(
        (&entries[0]["reason"], &entries[0]["expires_at"]),
        (&json!("complaint"), &Value::Null)
    );
    relay.submit(&["Bob@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(relay.state_of("Bob@example.test").await, State::Suppressed);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_to_be_told_gets_the_bounce_and_who_did_not_gets_none() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    let mail = b"From: <sender@sender.test>\r\nSubject: hello\r\n\r\nhello\r\n";
    relay.submit_mail(&format!("<{SENDER}>"), &["<ann@example.test> NOTIFY=FAILURE"], mail).await;
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    for recipient in ["ann@example.test", "bob@example.test"] {
        let path = path_to(&mx, recipient);
        let report = bounce(recipient, "5.2.2", "mailbox full");
        for _ in 0..2 {
            relay.bring("", &path, &report).await;
        }
    }
    relay.run_until_idle().await;
    let told = mx.mail_to(SENDER);
    assert_eq!(told.envelope.sender, "");
    let text = String::from_utf8(told.body.to_vec()).expect("text");
    assert!(text.contains("Final-Recipient: rfc822; ann@example.test"), "{text}");
    // A stream may tell all its senders.
    let policy = json!({"suppressed": "report", "bounces": "always"});
    let socket = relay.settings().control_socket();
    let (status, _) = operator::ask(&socket, "PUT", "/v1/streams/1/policy", policy).await;
    assert_eq!(status, 200);
    relay.submit(&["cid@example.test"]).await;
    relay.run_until_idle().await;
    let path = path_to(&mx, "cid@example.test");
    relay.bring("", &path, &bounce("cid@example.test", "5.2.2", "mailbox full")).await;
    relay.run_until_idle().await;
    let told = mx.mails().into_iter().filter(|mail| mail.envelope.recipients == [SENDER]);
    let last = told.last().expect("a report");
    let text = String::from_utf8_lossy(&last.body).into_owned();
    assert!(text.contains("Final-Recipient: rfc822; cid@example.test"), "{text}");
}

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

/// Mails on these days; `true` bounces after its host has taken it.
async fn bounce_softly(relay: &TestRelay, mx: &FakeMx, recipient: &str, days: &[(u32, bool)]) {
    for (days, bounces) in days {
        relay.clock().advance(DAY * *days);
        relay.submit(&[recipient]).await;
        relay.run_until_idle().await;
        let path = mx.mails().last().expect("a mail").envelope.sender.clone();
        if *bounces {
            relay.bring("", &path, &bounce(recipient, "5.2.2", "mailbox full")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_soft_bounces_in_ten_days_suppress_and_a_delivery_between_begins_anew() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    let often = [(0, true), (3, true), (3, true), (3, false), (3, true), (3, true)];
    bounce_softly(&relay, &mx, "often@example.test", &often).await;
    assert!(suppressed(&relay).await.is_empty());
    let full = [(0, true), (3, true), (3, true), (3, true), (1, true)];
    bounce_softly(&relay, &mx, "full@example.test", &full).await;
    let entries = suppressed(&relay).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0]["address"], "full@example.test");
    assert_eq!(entries[0]["reason"], "soft_bounces");
}

#[tokio::test(flavor = "multi_thread")]
async fn soft_refusals_in_the_dialogue_count_as_soft_bounces_do() {
    let mx = FakeMx::refusing("full@example.test", "552 5.2.2 mailbox full").await;
    let relay = relay(&mx).await;
    for days in [0, 3, 3, 3, 1] {
        assert!(suppressed(&relay).await.is_empty());
        relay.clock().advance(DAY * days);
        relay.submit(&["full@example.test"]).await;
        relay.run_until_idle().await;
    }
    assert_eq!(suppressed(&relay).await[0]["reason"], "soft_bounces");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_stays_full_until_the_end_of_each_mail_is_suppressed() {
    let mx = FakeMx::refusing("full@example.test", "452 4.2.2 mailbox full").await;
    let relay = relay(&mx).await;
    for _ in 0..5 {
        assert!(suppressed(&relay).await.is_empty());
        relay.submit(&["full@example.test"]).await;
        relay.run_until_idle().await;
    }
    assert_eq!(suppressed(&relay).await[0]["reason"], "soft_bounces");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_has_return_paths_of_its_own_and_a_token_ends() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    let refused = relay.ask("POST", "/v1/return-domains", Some(json!({"name": "x.test"}))).await;
    assert_ne!(refused.0, 200);
    let order = json!({"name": "mail.sender.test", "organization": 1});
    let made = relay.order("/v1/return-domains", order).await;
    let check = format!("/v1/return-domains/{}/check", made["id"]);
    let looked = relay.order(&check, json!({})).await;
    assert_eq!(
        (&looked["standing"], &looked["found"]),
        (&json!("right"), &json!("its mail comes here"))
    );
    let alarms = relay.see("/v1/events?kind=alarm").await;
    assert_eq!(alarms["items"], json!([]), "what is right alarms nobody");
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    let path = path_to(&mx, "bob@example.test");
    assert!(path.ends_with("@mail.sender.test"), "{path}");
    let report = bounce("bob@example.test", "5.1.1", "no such user here");
    relay.clock().advance(std::time::Duration::from_secs(70 * 86_400));
    let answer = relay.bring("", &path, &report).await;
    assert!(answer.starts_with("550 5.1.1"), "{answer}");
    assert!(suppressed(&relay).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_brings_too_much_is_told_to_come_again() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        listening(settings);
        settings.inbound.mails_per_network_max = 2;
    })
    .await;
    let mut talk = Talk::to(relay.inbound()).await;
    talk.expect("EHLO x", "250").await;
    for _ in 0..2 {
        talk.expect("MAIL FROM:<a@far.test>", "250").await;
        talk.expect("RSET", "250").await;
    }
    talk.expect("MAIL FROM:<a@far.test>", "451 4.7.1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_spf_dkim_and_dmarc_say_of_a_mail_is_written_down() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    let text = |name: &str, value: &str| {
        mx.name(name, Says::Records(vec![Data::Text(value.to_owned())]));
    };
    text("far.test", "v=spf1 ip4:127.0.0.1 -all");
    text("_dmarc.far.test", "v=DMARC1; p=reject");
    text("thief.test", "v=spf1 -all");
    text("_dmarc.thief.test", "v=DMARC1; p=reject");
    let mail = |from: &str| format!("From: {from}\nTo: postmaster@{RETURN}\nSubject: x\n\nx\n");
    let to = format!("postmaster@{RETURN}");
    for from in ["ann@far.test", "eve@thief.test"] {
        relay.bring(from, &to, &mail(from)).await;
    }
    // A mail of our own, signed, comes back as it left.
    let order = json!({"domain": "sender.test", "trusted": true});
    let keys = relay.order("/v1/dkim", order).await;
    for key in keys["items"].as_array().expect("keys") {
        let name = format!("{}._domainkey.sender.test", key["selector"].as_str().expect("text"));
        text(&name, key["record"].as_str().expect("text"));
    }
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    let signed = String::from_utf8(mx.mail_to("bob@example.test").body.to_vec()).expect("text");
    relay.bring("ann@far.test", &to, &signed).await;
    relay.bring("ann@far.test", &to, &signed.replace("Subject: ", "Subject: not ")).await;
    let list = relay.see("/v1/inbound").await;
    let told: Vec<[&str; 3]> = list["items"]
        .as_array()
        .expect("a list")
        .iter()
        .rev()
        .map(|item| ["spf", "dkim", "dmarc"].map(|name| item[name].as_str().expect("a word")))
        .collect();
    assert_eq!(told[..2], [["pass", "none", "pass"], ["fail", "none", "fail"]], "{list}");
    assert_eq!((told[2][1], told[3][1]), ("pass", "fail"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_a_blocklist_names_brings_nothing() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        listening(settings);
        settings.inbound.blocklists = vec!["dnsbl.test".to_owned()];
    })
    .await;
    let entry = Says::Records(vec![Data::Address([127, 0, 0, 2].into())]);
    mx.name("1.0.0.127.dnsbl.test", entry);
    let mut talk = Talk::to(relay.inbound()).await;
    talk.expect("EHLO mx.far.test", "250").await;
    let answer = talk.say("MAIL FROM:<ann@far.test>").await;
    assert_eq!(answer, "550 5.7.1 the client is listed at dnsbl.test");
    mx.name("1.0.0.127.dnsbl.test", Says::Missing);
    relay.clock().advance(std::time::Duration::from_secs(3600));
    let mut talk = Talk::to(relay.inbound()).await;
    talk.expect("EHLO mx.far.test", "250").await;
    talk.expect("MAIL FROM:<ann@far.test>", "250").await;
}

const PYTHON: &str = r#"
import smtplib, ssl, sys
client = smtplib.SMTP("localhost", int(sys.argv[1]))
client.ehlo("mx.far.test")
assert client.has_extn("starttls") and not client.has_extn("auth")
client.starttls(context=ssl._create_unverified_context())
client.ehlo("mx.far.test")
assert not client.has_extn("auth") and not client.has_extn("starttls")
client.sendmail("ann@far.test", ["postmaster@bounce.sender.test"], b"Subject: x\r\n\r\nx\r\n")
try:
    client.sendmail("ann@far.test", ["bob@example.test"], b"x")
    raise SystemExit("relayed")
except smtplib.SMTPRecipientsRefused as refused:
    assert refused.recipients["bob@example.test"][0] == 550, refused
client.quit()
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_comes_by_tls_is_written_down_with_it_and_may_do_no_more_than_others() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    let port = relay.inbound().port().to_string();
    let python = tokio::process::Command::new("python3").args(["-c", PYTHON, &port]).output().await;
    let output = python.expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = relay.see("/v1/inbound").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    let tls = list["items"][0]["tls"].as_str().unwrap_or_default();
    assert!(tls.starts_with("TLSv1.3 "), "{list}");
    // What is sent along with the command is never carried out.
    let mut talk = Talk::to(relay.inbound()).await;
    talk.expect("EHLO x", "250").await;
    talk.send(b"STARTTLS\r\nEHLO injected\r\nMAIL FROM:<a@far.test>\r\n").await;
    let heard = String::from_utf8_lossy(&talk.rest().await).into_owned();
    assert!(heard.starts_with("554 5.5.1") && heard.lines().count() == 1, "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_makes_mistakes_or_lines_without_end_is_sent_away() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        listening(settings);
        settings.inbound.errors_max = 3;
        settings.inbound.message_bytes_max = 100_000;
    })
    .await;
    let mut talk = Talk::to(relay.inbound()).await;
    talk.expect("EHLO x", "250").await;
    talk.send(b"NOPE\r\nNOPE\r\nNOPE\r\nNOPE\r\nNOPE\r\nNOPE\r\n").await;
    let heard = String::from_utf8_lossy(&talk.rest().await).into_owned();
    assert!(heard.lines().last().is_some_and(|line| line.starts_with("421")), "{heard}");
    let mut talk = Talk::to(relay.inbound()).await;
    talk.send("x".repeat(100_000).as_bytes()).await;
    let heard = String::from_utf8_lossy(&talk.rest().await).into_owned();
    assert!(heard.starts_with("500"), "{heard}");
    let mut talk = Talk::to(relay.inbound()).await;
    talk.expect("EHLO x", "250").await;
    talk.expect("MAIL FROM:<ann@far.test> SIZE=100001", "552").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_for_the_postmaster_goes_on_to_whom_the_settings_name() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        listening(settings);
        settings.inbound.postmaster = Some("root@example.test".to_owned());
    })
    .await;
    let mail = "From: <ann@far.test>\nSubject: a word\n\nYour host is odd.\n";
    let answer = relay.bring("ann@far.test", "abuse@bounce.sender.test", mail).await;
    assert!(answer.starts_with("250"), "{answer}");
    relay.run_until_idle().await;
    let sent = mx.mail_to("root@example.test");
    assert_eq!(sent.envelope.sender, "", "what comes back for it ends here");
    assert!(String::from_utf8_lossy(&sent.body).contains("Your host is odd."));
    assert_eq!(fates(&relay).await, ["routed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_domain_leads_here_by_its_cname_and_somebody_is_told_when_it_goes() {
    let mx = FakeMx::accepting().await;
    let relay = relay(&mx).await;
    let alias = Data::Alias(RETURN.to_owned());
    mx.name("back.sender.test", Says::Records(vec![alias]));
    let order = json!({"name": "back.sender.test", "organization": 1});
    let made = relay.order("/v1/return-domains", order).await;
    let check = format!("/v1/return-domains/{}/check", made["id"]);
    let looked = relay.order(&check, json!({})).await;
    assert_eq!(looked["standing"], "right", "{looked}");
    mx.name("back.sender.test", Says::Missing);
    relay.clock().advance(DAY);
    for _ in 0..2 {
        let looked = relay.order(&check, json!({})).await;
        assert_eq!(looked["standing"], "missing", "{looked}");
    }
    let alarms = relay.see("/v1/events?kind=alarm").await;
    let alarms = alarms["items"].as_array().expect("a list").clone();
    assert_eq!(alarms.len(), 1, "told once: {alarms:?}");
    assert_eq!(alarms[0]["fields"]["domain"], "back.sender.test");
    assert_eq!(alarms[0]["fields"]["standing"], "missing");
}
