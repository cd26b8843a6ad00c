//! Whole stories: submitted over SMTP, delivered to hosts of the simulated internet.

use std::net::IpAddr;
use std::time::Duration;

use postroad::config::Route;
use postroad::model::{State, TlsMode};
use postroad::world::dns::{Data, Says};
use postroad::world::manners::{Deed, Extensions, Manners, Phase, Rule, TlsManner, Whom};

use crate::support::mx::FakeMx;
use crate::support::relay::{Database, HOST_NAME, SENDER, SOURCE, TestRelay};

const HEAD: &str = "From: <sender@sender.test>\r\nSubject: hello\r\n\r\n";

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// The time between the first and the second attempt, which must both have been made.
async fn first_wait(relay: &TestRelay, recipient: &str) -> Duration {
    relay.rest().await;
    let delivery = relay.delivery_to(recipient).await;
    assert_eq!((delivery.state, delivery.tries), (State::Waiting, 1));
    delivery.due_at.since(relay.clock().now())
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).replace("\r\n", "\n")
}

// Replies for each recipient.

#[tokio::test(flavor = "multi_thread")]
async fn refusing_one_recipient_leaves_the_other_delivered() {
    let mx = FakeMx::refusing("gone@example.test", "550 5.1.1 no such user").await;
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["gone@example.test", "bob@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test", SENDER]);
    assert_eq!(relay.story_of("gone@example.test").await, ["accepted", "failed"]);
    assert_eq!(relay.story_of("bob@example.test").await, ["accepted", "delivered"]);
    assert_eq!(relay.text_of("gone@example.test").await, "550 5.1.1 no such user");
    relay.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_of_one_domain_share_a_transaction_and_two_domains_do_not() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["a@one.test", "b@one.test", "c@two.test"]).await;
    relay.run_until_idle().await;
    let mut shared: Vec<Vec<String>> =
        mx.mails().iter().map(|mail| mail.envelope.recipients.clone()).collect();
    shared.sort();
    assert_eq!(shared, [vec!["a@one.test", "b@one.test"], vec!["c@two.test"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_deferred_recipient_does_not_hold_up_or_double_the_other() {
    let mx = FakeMx::accepting().await;
    let full = Rule::mailbox(Whom::Address("full@example.test".into()), "452 4.2.2 mailbox full");
    mx.first().script(full.times(2));
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["full@example.test", "bob@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test", "full@example.test"]);
    let story = relay.story_of("full@example.test").await;
    assert_eq!(story, ["accepted", "deferred", "deferred", "delivered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_deferred_refused_and_expired_end_alike_on_both_databases() {
    for database in Database::all().await {
        let mx = FakeMx::refusing("gone@example.test", "550 5.1.1 no such user").await;
        let later = "451 4.2.1 come back later";
        let never = Rule::mailbox(Whom::Address("never@example.test".into()), later);
        let once = Rule::mailbox(Whom::Address("once@example.test".into()), later).times(1);
        mx.first().script(never);
        mx.first().script(once);
        let mut relay = TestRelay::on(&database, &mx).await;
        let recipients = ["bob", "gone", "once", "never"].map(|l| format!("{l}@example.test"));
        relay.submit(&recipients.each_ref().map(String::as_str)).await;
        relay.rest().await;
        relay.stop().await;
        relay.start().await;
        relay.run_until_idle().await;
        for (recipient, state) in recipients.iter().zip([
            State::Delivered,
            State::Failed,
            State::Delivered,
            State::Expired,
        ]) {
            assert_eq!(relay.state_of(recipient).await, state, "{recipient} on {database:?}");
        }
        relay.adds_up().await;
    }
}

// Retry.

#[tokio::test(flavor = "multi_thread")]
async fn the_second_try_comes_after_five_minutes_and_at_most_a_quarter_more() {
    let mx = FakeMx::accepting().await;
    mx.script(Phase::DataEnd, Deed::Reply("451 4.3.0 not now".into()), 1);
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@example.test"]).await;
    let wait = first_wait(&relay, "bob@example.test").await;
    assert!((minutes(5)..=minutes(7)).contains(&wait), "{wait:?}");
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_says_when_to_come_back_is_heeded() {
    let mx = FakeMx::accepting().await;
    let reply = "451 4.7.1 Greylisted, please try again in 1800 seconds";
    mx.script(Phase::Rcpt, Deed::Reply(reply.into()), 1);
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@example.test"]).await;
    let wait = first_wait(&relay, "bob@example.test").await;
    assert!((minutes(30)..=minutes(40)).contains(&wait), "{wait:?}");
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greylisted_mail_arrives_at_its_second_try() {
    let mx = FakeMx::greylisting(minutes(3)).await;
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test"]);
    let story = relay.story_of("bob@example.test").await;
    assert_eq!(story, ["accepted", "deferred", "delivered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_deferred_for_four_days_expires_and_its_sender_is_told() {
    let mx = FakeMx::accepting().await;
    let always =
        Rule::mailbox(Whom::Address("bob@example.test".into()), "451 4.2.1 come back later");
    mx.first().script(always);
    let relay = TestRelay::sending_to(&mx).await;
    let started = relay.clock().now();
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(relay.state_of("bob@example.test").await, State::Expired);
    let spent = relay.clock().now().since(started);
    assert!((minutes(4 * 24 * 60)..minutes(5 * 24 * 60)).contains(&spent), "{spent:?}");
    let kept = relay.text_of("bob@example.test").await;
    assert!(kept.ends_with("451 4.2.1 come back later"), "the last answer stays: {kept}");
    let report = mx.mail_to(SENDER);
    assert_eq!(report.envelope.sender, "", "a report has the null sender");
    let report = text(&report.body);
    for part in [
        "multipart/report",
        "message/delivery-status",
        "Final-Recipient: rfc822;bob@example.test",
        "Action: failed",
        "Status: 4.4.7",
        "Diagnostic-Code: smtp; 451 4.2.1 come back later",
        "Auto-Submitted: auto-replied",
    ] {
        assert!(report.replace("rfc822; ", "rfc822;").contains(part), "no {part} in\n{report}");
    }
    relay.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_never_sent_for_a_report() {
    let mx = FakeMx::accepting().await;
    mx.always(Phase::Rcpt, Deed::Reply("550 5.1.1 nobody lives here".into()));
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    // The report to the sender was refused as well, and that is the end of it.
    assert_eq!(relay.story_of(SENDER).await, ["accepted", "failed"]);
    let all = postroad::store::DeliveryFilter::default();
    assert_eq!(relay.store().count_deliveries(&all).await.expect("counted"), 2);
    assert_eq!(mx.received(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_null_sender_is_told_nothing() {
    let mx = FakeMx::refusing("gone@example.test", "550 5.1.1 no such user").await;
    let relay = TestRelay::sending_to(&mx).await;
    let mail = format!("{HEAD}hello\r\n");
    relay.submit_mail("<>", &["gone@example.test"], mail.as_bytes()).await;
    relay.run_until_idle().await;
    assert_eq!(relay.state_of("gone@example.test").await, State::Failed);
    assert_eq!(mx.received(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn notify_never_is_obeyed() {
    let mx = FakeMx::refusing("gone@example.test", "550 5.1.1 no such user").await;
    let relay = TestRelay::sending_to(&mx).await;
    let mail = format!("{HEAD}hello\r\n");
    let recipients = ["<gone@example.test> NOTIFY=NEVER"];
    relay.submit_mail(&format!("<{SENDER}>"), &recipients, mail.as_bytes()).await;
    relay.run_until_idle().await;
    assert_eq!(mx.received(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wish_for_a_report_on_success_is_passed_on_to_a_host_that_knows_dsn() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let mail = format!("{HEAD}hello\r\n");
    let recipients = ["<bob@example.test> NOTIFY=SUCCESS ORCPT=rfc822;bob@old.test"];
    let sender = format!("<{SENDER}> RET=HDRS ENVID=QQ314");
    relay.submit_mail(&sender, &recipients, mail.as_bytes()).await;
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test"], "the report is the host's duty now");
    let envelope = mx.mail_to("bob@example.test").envelope.clone();
    let said = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert!(envelope.recipient_parameters[0].contains(&said("NOTIFY", "SUCCESS")));
    assert!(envelope.recipient_parameters[0].contains(&said("ORCPT", "rfc822;bob@old.test")));
    assert!(envelope.sender_parameters.contains(&said("ENVID", "QQ314")));
    assert!(envelope.sender_parameters.contains(&said("RET", "HDRS")));
}

#[tokio::test(flavor = "multi_thread")]
async fn success_at_a_host_that_knows_no_dsn_is_reported_as_relayed() {
    let extensions = Extensions { dsn: false, ..Extensions::default() };
    let mx = FakeMx::with(Manners { extensions, ..Manners::default() }).await;
    let relay = TestRelay::sending_to(&mx).await;
    let mail = format!("{HEAD}hello\r\n");
    let recipients = ["<bob@example.test> NOTIFY=SUCCESS"];
    relay.submit_mail(&format!("<{SENDER}>"), &recipients, mail.as_bytes()).await;
    relay.run_until_idle().await;
    let report = text(&mx.mail_to(SENDER).body);
    assert!(report.contains("Action: relayed"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_at_a_stop_is_delivered_after_the_next_start() {
    let mx = FakeMx::accepting().await;
    mx.script(Phase::Mail, Deed::Reply("451 4.3.0 not now".into()), 1);
    let mut relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@example.test"]).await;
    relay.rest().await;
    relay.stop().await;
    relay.start().await;
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test"]);
}

// DNS.

#[tokio::test(flavor = "multi_thread")]
async fn a_null_mx_fails_at_once_and_nobody_is_connected_to() {
    let mx = FakeMx::accepting().await;
    mx.name("null.test", Says::Records(vec![Data::Mx(0, ".".into())]));
    mx.name("sender.test", Says::Records(vec![Data::Mx(0, ".".into())]));
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@null.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(relay.story_of("bob@null.test").await, ["accepted", "failed"]);
    assert_eq!((mx.first().connections(), mx.second().connections()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_does_not_exist_fails_at_once() {
    let mx = FakeMx::accepting().await;
    mx.name("nowhere.test", Says::Missing);
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@nowhere.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(relay.story_of("bob@nowhere.test").await, ["accepted", "failed"]);
    let report = text(&mx.mail_to(SENDER).body);
    assert!(report.contains("Status: 5.1.2"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_that_fails_defers_and_the_mail_arrives_once_it_is_well() {
    let mx = FakeMx::accepting().await;
    mx.name("ill.test", Says::ServerFailure);
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@ill.test"]).await;
    relay.rest().await;
    assert_eq!(relay.state_of("bob@ill.test").await, State::Waiting);
    mx.dns().change(|zones| zones.remove("ill.test"));
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@ill.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_without_mx_gets_its_mail_at_its_own_address() {
    let mx = FakeMx::accepting().await;
    let own = Data::Address(IpAddr::from([127, 0, 9, 2]));
    mx.name("implicit.test", Says::Records(vec![own]));
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@implicit.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(mx.mail_to("bob@implicit.test").host, "mx2.test");
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_found_in_dns_are_not_connected_to() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| settings.delivery.allowed_networks.clear()).await;
    relay.submit(&["bob@example.test"]).await;
    relay.rest().await;
    assert_eq!((mx.first().connections(), mx.second().connections()), (0, 0));
    assert_ne!(relay.state_of("bob@example.test").await, State::Delivered);
}

// Hosts and connections.

#[tokio::test(flavor = "multi_thread")]
async fn when_the_first_host_will_not_serve_the_next_one_gets_the_mail() {
    for deed in [
        Deed::Close,
        Deed::Reset,
        Deed::Reply("421 4.3.2 closed".into()),
        Deed::Reply("554 5.3.2 no service here".into()),
    ] {
        let mx = FakeMx::accepting().await;
        mx.first().script(Rule::always(Phase::Connect, deed.clone()));
        let relay = TestRelay::sending_to(&mx).await;
        relay.submit(&["bob@example.test"]).await;
        relay.run_until_idle().await;
        assert_eq!(mx.mail_to("bob@example.test").host, "mx2.test", "{deed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_of_lower_preference_number_gets_the_mail_and_the_other_sees_nobody() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!((mx.first().connections(), mx.second().connections()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_for_the_next_mail() {
    let mx = FakeMx::accepting().await;
    // A slow machine may take long from one mail to the next.
    let relay = TestRelay::with(&mx, |settings| {
        settings.delivery.idle_wait = std::time::Duration::from_secs(60);
    })
    .await;
    for count in 1..=5 {
        relay.submit(&["bob@example.test"]).await;
        crate::support::until("it arrives", || mx.mails().len() == count).await;
        // The lane is back with its connection.
        relay.rest().await;
    }
    assert_eq!(mx.first().connections(), 1);
    assert_eq!(mx.mails().last().map(|mail| mail.of_connection), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_closes_in_the_middle_gets_the_mail_later_and_once() {
    for phase in [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Body] {
        let mx = FakeMx::accepting().await;
        mx.script(phase, Deed::Close, 1);
        let relay = TestRelay::sending_to(&mx).await;
        relay.submit(&["bob@example.test"]).await;
        relay.run_until_idle().await;
        assert_eq!(mx.received(), ["bob@example.test"], "{phase:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_not_seen_is_the_only_reason_to_send_twice() {
    let mx = FakeMx::accepting().await;
    mx.script(Phase::DataEnd, Deed::KeepThenReset, 1);
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test", "bob@example.test"]);
    assert_eq!(relay.state_of("bob@example.test").await, State::Delivered);
    let id =
        |mail: &[u8]| text(mail).lines().find(|l| l.starts_with("Message-ID")).map(str::to_owned);
    let mails = mx.mails();
    assert_eq!(id(&mails[0].body), id(&mails[1].body));
    assert!(id(&mails[0].body).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_address_and_its_name_are_what_the_host_sees() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    let mail = mx.mail_to("bob@example.test");
    assert!(mail.peer.starts_with(&format!("{SOURCE}:")), "{}", mail.peer);
    assert_eq!(mail.ehlo, HOST_NAME);
    assert_eq!(mail.envelope.sender, SENDER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_rfc_821_gets_its_mail() {
    let manners =
        Manners { extensions: Extensions::none(), tls: TlsManner::Absent, ..Manners::default() };
    let mx = FakeMx::with(manners).await;
    mx.always(Phase::Ehlo, Deed::Pause(Duration::from_millis(1)));
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@example.test", "carol@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test", "carol@example.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_larger_than_the_host_takes_fails_without_being_sent() {
    let extensions = Extensions { size_max: Some(2_000), ..Extensions::default() };
    let mx = FakeMx::with(Manners { extensions, ..Manners::default() }).await;
    let relay = TestRelay::sending_to(&mx).await;
    let mail = format!("{HEAD}{}", "x\r\n".repeat(2_000));
    let never = ["<bob@example.test> NOTIFY=NEVER"];
    relay.submit_mail(&format!("<{SENDER}>"), &never, mail.as_bytes()).await;
    relay.run_until_idle().await;
    assert_eq!(relay.state_of("bob@example.test").await, State::Failed);
    assert_eq!(mx.received(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_utf8_fails_at_a_host_that_cannot_take_it() {
    let extensions = Extensions { smtputf8: false, ..Extensions::default() };
    let mx = FakeMx::with(Manners { extensions, ..Manners::default() }).await;
    let relay = TestRelay::sending_to(&mx).await;
    let mail = format!("{HEAD}hello\r\n");
    let sender = format!("<{SENDER}> SMTPUTF8");
    relay.submit_mail(&sender, &["<jürgen@example.test> NOTIFY=NEVER"], mail.as_bytes()).await;
    relay.run_until_idle().await;
    assert_eq!(relay.state_of("jürgen@example.test").await, State::Failed);
    assert!(relay.text_of("jürgen@example.test").await.contains("5.6.7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_utf8_arrives_at_a_host_that_can() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let mail = format!("{HEAD}grüße\r\n");
    let sender = format!("<{SENDER}> SMTPUTF8 BODY=8BITMIME");
    relay.submit_mail(&sender, &["jürgen@example.test"], mail.as_bytes()).await;
    relay.run_until_idle().await;
    assert!(text(&mx.mail_to("jürgen@example.test").body).ends_with("\n\ngrüße\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_mail_waits_and_is_not_lost() {
    let mx = FakeMx::accepting().await;
    let reply = "421 4.7.28 rate limited, try again later";
    mx.script(Phase::Mail, Deed::Reply(reply.into()), 3);
    let relay = TestRelay::sending_to(&mx).await;
    for number in 0..6 {
        relay.submit(&[&format!("bob{number}@example.test")]).await;
    }
    relay.run_until_idle().await;
    let mut received = mx.received();
    received.sort();
    let expected: Vec<String> = (0..6).map(|n| format!("bob{n}@example.test")).collect();
    assert_eq!(received, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_at_the_greeting_defers_and_never_bounces() {
    let mx = FakeMx::accepting().await;
    mx.script(Phase::Connect, Deed::Reply("554 5.7.1 your address is listed".into()), 2);
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test"]);
}

// TLS.

#[tokio::test(flavor = "multi_thread")]
async fn starttls_is_used_wherever_it_is_offered_whatever_the_certificate() {
    for tls in [TlsManner::Good, TlsManner::Expired, TlsManner::WrongName, TlsManner::SelfSigned] {
        let mx = FakeMx::with(Manners { tls, ..Manners::default() }).await;
        let relay = TestRelay::sending_to(&mx).await;
        relay.submit(&["bob@example.test"]).await;
        relay.run_until_idle().await;
        assert!(mx.mail_to("bob@example.test").tls.is_some(), "{tls:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_handshake_the_mail_goes_in_the_clear_unless_tls_is_required() {
    for tls in [TlsManner::Absent, TlsManner::Broken, TlsManner::Weak] {
        let mx = FakeMx::with(Manners { tls, ..Manners::default() }).await;
        let relay = TestRelay::with(&mx, |settings| {
            settings.route = vec![Route {
                name: "strict".into(),
                domains: vec!["strict.test".into()],
                tls: Some(TlsMode::Required),
                ..Route::default()
            }];
        })
        .await;
        relay.submit(&["bob@example.test"]).await;
        relay.submit(&["bob@strict.test"]).await;
        relay.rest().await;
        assert_eq!(relay.state_of("bob@example.test").await, State::Delivered, "{tls:?}");
        if tls != TlsManner::Weak {
            assert_eq!(mx.received(), ["bob@example.test"], "{tls:?}");
            assert_eq!(relay.state_of("bob@strict.test").await, State::Waiting, "{tls:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_must_be_verified_gets_nothing_by_a_bad_certificate() {
    for tls in [TlsManner::Expired, TlsManner::WrongName, TlsManner::SelfSigned, TlsManner::Weak] {
        let mx = FakeMx::with(Manners { tls, ..Manners::default() }).await;
        let relay = TestRelay::with(&mx, |settings| {
            settings.route = vec![Route {
                name: "verified".into(),
                domains: vec!["example.test".into()],
                tls: Some(TlsMode::Verified),
                ..Route::default()
            }];
        })
        .await;
        relay.submit(&["bob@example.test"]).await;
        relay.rest().await;
        assert_eq!(relay.story_of("bob@example.test").await, ["accepted", "deferred"], "{tls:?}");
        assert_eq!(mx.received(), Vec::<String>::new());
    }
}

// Routes.

#[tokio::test(flavor = "multi_thread")]
async fn a_static_route_goes_to_its_host_without_asking_for_mx() {
    let mx = FakeMx::accepting().await;
    mx.name("routed.test", Says::Missing);
    let port = mx.port();
    let relay = TestRelay::with(&mx, |settings| {
        settings.route = vec![Route {
            name: "second".into(),
            domains: vec!["routed.test".into()],
            host: Some("127.0.9.2".into()),
            port: Some(port),
            ..Route::default()
        }];
    })
    .await;
    relay.submit(&["bob@routed.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(mx.mail_to("bob@routed.test").host, "mx2.test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_domains_routes_each_to_its_own_host() {
    let mx = FakeMx::accepting().await;
    let table = tempfile::NamedTempFile::new().expect("a file");
    let port = mx.port();
    let lines = format!("one.test 127.0.9.1:{port}\ntwo.test 127.0.9.2:{port}\n");
    std::fs::write(table.path(), lines).expect("written");
    let file = table.path().to_owned();
    let relay = TestRelay::with(&mx, |settings| {
        settings.route = vec![Route {
            name: "table".into(),
            domains_file: Some(file),
            host: Some("127.0.9.1".into()),
            port: Some(port),
            ..Route::default()
        }];
    })
    .await;
    relay.submit(&["a@one.test", "b@two.test"]).await;
    relay.run_until_idle().await;
    assert_eq!(mx.mail_to("a@one.test").host, "mx1.test");
    assert_eq!(mx.mail_to("b@two.test").host, "mx2.test");
}

// The mail itself.

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_arrives_octet_for_octet_below_what_we_put_on_top() {
    let mut mail = b"From: <sender@sender.test>\r\nDate: Sun, 01 Feb 2026 10:00:00 +0000\r\n\
        Message-ID: <1@sender.test>\r\nX-Odd:  two  spaces \r\n folded\r\n\r\n"
        .to_vec();
    mail.extend_from_slice(b".\r\n..\r\n.x\r\n\xff\xfe\x01\r\n");
    mail.extend_from_slice("y".repeat(5_000).as_bytes());
    mail.extend_from_slice(b"\r\n \r\n\r\n\r\n");
    // By BDAT as it is, and by DATA with its dots stuffed.
    for chunking in [true, false] {
        let extensions = Extensions { chunking, ..Extensions::default() };
        let mx = FakeMx::with(Manners { extensions, ..Manners::default() }).await;
        let relay = TestRelay::sending_to(&mx).await;
        let sender = format!("<{SENDER}> BODY=8BITMIME");
        relay.submit_mail(&sender, &["bob@example.test"], &mail).await;
        relay.run_until_idle().await;
        let received = mx.mail_to("bob@example.test");
        assert!(received.body.ends_with(&mail), "{:?}", received.body);
        let top = text(&received.body[..received.body.len() - mail.len()]);
        assert!(top.starts_with("Received: from client.test"), "{top}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_for_later_waits_for_its_moment() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let started = relay.clock().now();
    let moment = started.seconds() + 3600;
    let mail = format!("X-Postroad-Not-Before: {moment}\r\n{HEAD}hello\r\n");
    relay.submit_mail(&format!("<{SENDER}>"), &["bob@example.test"], mail.as_bytes()).await;
    relay.rest().await;
    assert_eq!(mx.received(), Vec::<String>::new());
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["bob@example.test"]);
    assert!(relay.clock().now().since(started) >= minutes(59));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_added_and_what_is_secret_is_taken_out() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let mail = b"From: <sender@sender.test>\r\nBcc: <secret@example.test>\r\n\
        X-Postroad-Tag: spring\r\n\r\nhello\r\n";
    relay.submit_mail(&format!("<{SENDER}>"), &["secret@example.test"], mail).await;
    relay.run_until_idle().await;
    let received = text(&mx.mail_to("secret@example.test").body);
    for field in ["\nDate: ", "\nMessage-ID: <", "Received: from client.test"] {
        assert!(received.contains(field), "no {field:?} in\n{received}");
    }
    assert!(!received.contains("Bcc") && !received.contains("X-Postroad-Tag"), "{received}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_from_somebody_elses_domain_is_refused() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let mail = b"From: <ceo@bank.test>\r\nSubject: hello\r\n\r\nhello\r\n";
    let sender = format!("<{SENDER}>");
    let reply = relay.try_submit(&sender, &["bob@example.test"], mail).await;
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
    assert_eq!(relay.owed().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_recipients_arrive_once_each() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let recipients: Vec<String> =
        (0..1000).map(|n| format!("bob{n}@domain{}.test", n % 20)).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    relay.submit(&recipients).await;
    relay.run_until_idle().await;
    let mut received = mx.received();
    received.sort();
    received.dedup();
    assert_eq!((received.len(), mx.received().len()), (1000, 1000));
    relay.adds_up().await;
}
