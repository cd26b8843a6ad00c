//! Limits in whole stories: what they stop waits for them, with a reason, and nothing else does.

use std::time::Duration;

use postroad::model::*;
use postroad::schedule::why::{Reason, ReasonKind};
use postroad::store::LimitRow;
use postroad::world::manners::{Deed, Manners, Pace as HostPace, Phase, Throttle};

use serde_json::json;

use crate::support::api::{As, TestApi};
use crate::support::mx::FakeMx;
use crate::support::relay::{Database, SENDER, TestRelay};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const TRANSACTIONAL: StreamId = StreamId(1);
const MARKETING: StreamId = StreamId(2);

fn everywhere() -> LimitScope {
    LimitScope {
        from: FromScope::Installation,
        to: ToScope::Anywhere,
        who: WhoScope::Everybody,
        class: None,
    }
}

fn of_stream(stream: StreamId) -> LimitScope {
    LimitScope { who: WhoScope::Stream(stream), ..everywhere() }
}

fn limit(scope: LimitScope, metric: Metric, value: u64, window: Duration) -> Limit {
    Limit {
        id: LimitId(0),
        scope,
        metric,
        value,
        window: Some(window).filter(|window| !window.is_zero()),
        pace: Pace::Fixed,
        origin: Origin::Admin,
        reason: "a test".to_owned(),
        expires_at: None,
        pinned: false,
    }
}

/// `stream` is "transactional" or "marketing".
async fn submit(relay: &TestRelay, stream: &str, recipient: &str) {
    let mail = format!(
        "From: <sender@sender.test>\r\nSubject: hello\r\n\
         X-Postroad-Stream: {stream}\r\n\r\nhello\r\n"
    );
    relay.submit_mail(&format!("<{SENDER}>"), &[recipient], mail.as_bytes()).await;
}

async fn submit_many(relay: &TestRelay, stream: &str, count: usize) {
    for number in 0..count {
        submit(relay, stream, &format!("{stream}{number}@example.test")).await;
    }
}

fn opens(reasons: &[Reason]) -> Option<Timestamp> {
    reasons.iter().find(|reason| reason.kind == ReasonKind::Limit)?.until
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_budget_sends_its_part_each_day_and_the_rest_waits_with_its_reason() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let id = relay.set_limit(limit(everywhere(), Metric::Messages, 3, DAY)).await;
        submit_many(&relay, "transactional", 8).await;
        relay.rest().await;
        assert_eq!(mx.received().len(), 3);
        let tomorrow = relay.next_midnight();
        for owed in relay.owed().await {
            let reasons = relay.why(owed.id).await;
            assert_eq!((opens(&reasons), reasons[0].limit), (Some(tomorrow), Some(id)));
        }
        relay.clock().advance(tomorrow.since(relay.clock().now()) - SECOND);
        relay.rest().await;
        assert_eq!(mx.received().len(), 3, "it opens when it says, not before");
        relay.clock().advance(SECOND);
        relay.rest().await;
        assert_eq!(mx.received().len(), 6);
        relay.run_until_idle().await;
        assert_eq!(mx.received().len(), 8);
        relay.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_stream_hides_no_other_and_goes_on_when_its_limit_is_removed() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let id = relay.set_limit(limit(of_stream(MARKETING), Metric::Messages, 0, DAY)).await;
        // More than a site has in memory ahead of its turn.
        submit_many(&relay, "marketing", 150).await;
        submit_many(&relay, "transactional", 5).await;
        relay.rest().await;
        assert_eq!(mx.received().len(), 5);
        let owed = relay.owed().await;
        assert_eq!(owed.len(), 150);
        assert_eq!(opens(&relay.why(owed[0].id).await), None, "only a person opens it");
        relay.remove_limit(id).await;
        relay.run_until_idle().await;
        assert_eq!(mx.received().len(), 155);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_no_limit_ever_lets_go_expires() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    relay.set_limit(limit(of_stream(TRANSACTIONAL), Metric::Messages, 0, DAY)).await;
    submit(&relay, "transactional", "bob@example.test").await;
    relay.rest().await;
    relay.clock().advance(relay.settings().retry.expire_after);
    relay.until_state("bob@example.test", State::Expired).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_second_by_second() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    relay.set_limit(limit(everywhere(), Metric::Messages, 6, MINUTE)).await;
    submit_many(&relay, "marketing", 10).await;
    relay.rest().await;
    assert_eq!(mx.received().len(), 1);
    submit(&relay, "transactional", "urgent@example.test").await;
    relay.rest().await;
    assert_eq!(mx.received(), ["marketing0@example.test", "urgent@example.test"]);
    // Marketing waits for both.
    relay.clock().advance(10 * SECOND);
    relay.rest().await;
    for sent in 3..=11 {
        relay.clock().advance(10 * SECOND);
        relay.rest().await;
        assert_eq!(mx.received().len(), sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactional_mail_overdraws_a_limit_for_marketing() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let scope = LimitScope { class: Some(StreamClass::Marketing), ..everywhere() };
    let id = relay.set_limit(limit(scope, Metric::Messages, 4, DAY)).await;
    submit_many(&relay, "marketing", 6).await;
    relay.rest().await;
    submit_many(&relay, "transactional", 3).await;
    relay.rest().await;
    assert_eq!(mx.received().len(), 7);
    let usage = relay.usage(id);
    assert_eq!((usage.used, usage.overdrawn), (7, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_and_what_they_carry_stay_within_their_limits() {
    let throttle = Throttle {
        connections_max: 2,
        connections_reply: "421 4.7.0 too many connections".to_owned(),
        messages_max: u32::MAX,
        window: DAY,
        messages_reply: "451 4.7.0 too much".to_owned(),
    };
    let pace = HostPace { data_end: Duration::from_millis(30), ..HostPace::default() };
    let manners = Manners { throttle: Some(throttle), pace, ..Manners::default() };
    let mx = FakeMx::with(manners).await;
    let relay = TestRelay::sending_to(&mx).await;
    let each = LimitScope { to: ToScope::EachSite, ..everywhere() };
    relay.set_limit(limit(each.clone(), Metric::Connections, 2, Duration::ZERO)).await;
    relay.set_limit(limit(everywhere(), Metric::MessagesPerConnection, 3, Duration::ZERO)).await;
    submit_many(&relay, "transactional", 12).await;
    relay.rest().await;
    let received = mx.mails();
    assert_eq!(received.len(), 12, "two connections at a time, or the host would have refused");
    assert!(received.iter().all(|mail| mail.of_connection <= 3), "three mails over each");
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_beyond_the_limit_of_a_transaction_go_in_the_next() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    relay.set_limit(limit(everywhere(), Metric::RecipientsPerMessage, 2, Duration::ZERO)).await;
    relay.submit(&["a@one.test", "b@one.test", "c@one.test", "d@one.test", "e@one.test"]).await;
    relay.run_until_idle().await;
    let sizes: Vec<usize> = mx.mails().iter().map(|mail| mail.envelope.recipients.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 5);
    assert!(sizes.iter().all(|size| *size <= 2), "{sizes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_one_recipient_domain_stops_that_domain_alone() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let slow = Domain::parse("slow.test").expect("lawful");
        let scope = LimitScope { to: ToScope::Domain(slow), ..everywhere() };
        relay.set_limit(limit(scope, Metric::Messages, 1, DAY)).await;
        for number in 0..5 {
            submit(&relay, "transactional", &format!("{number}@slow.test")).await;
            submit(&relay, "transactional", &format!("{number}@fast.test")).await;
        }
        relay.rest().await;
        assert_eq!(mx.received().len(), 6);
        relay.run_until_idle().await;
        assert_eq!(mx.received().len(), 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_narrow_limit_put_off_goes_at_once_when_that_limit_goes_or_is_raised() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let of = |domain: &str| {
            let domain = Domain::parse(domain).expect("lawful");
            let scope = LimitScope { to: ToScope::Domain(domain), ..everywhere() };
            limit(scope, Metric::Messages, 1, DAY)
        };
        let gone = relay.set_limit(of("gone.test")).await;
        let raised = relay.set_limit(of("raised.test")).await;
        relay.set_limit(of("stays.test")).await;
        for number in 0..4 {
            for domain in ["gone", "raised", "stays"] {
                submit(&relay, "transactional", &format!("{number}@{domain}.test")).await;
            }
        }
        relay.rest().await;
        assert_eq!(mx.received().len(), 3);
        relay.remove_limit(gone).await;
        relay.rest().await;
        assert_eq!(mx.received().len(), 6, "no clock was moved");
        relay.set_limit(Limit { id: raised, value: 3, ..of("raised.test") }).await;
        relay.rest().await;
        assert_eq!(mx.received().len(), 8, "two more are allowed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_goes_on_where_it_was_after_a_restart() {
    // Of the longer one the window began long ago.
    for window in [DAY, 700 * DAY] {
        for database in Database::all().await {
            let mx = FakeMx::accepting().await;
            let mut relay = TestRelay::on(&database, &mx).await;
            let id = relay.set_limit(limit(everywhere(), Metric::Messages, 5, window)).await;
            submit_many(&relay, "transactional", 3).await;
            relay.rest().await;
            relay.stop().await;
            relay.start().await;
            assert_eq!(relay.usage(id).used, 3);
            for number in 0..9 {
                submit(&relay, "transactional", &format!("later{number}@example.test")).await;
            }
            relay.rest().await;
            assert_eq!(mx.received().len(), 5);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_of_a_host_that_gives_no_connection_are_not_charged() {
    let mx = FakeMx::accepting().await;
    mx.always(Phase::Connect, Deed::Reply("421 4.3.2 not now".to_owned()));
    let relay = TestRelay::sending_to(&mx).await;
    let id = relay.set_limit(limit(everywhere(), Metric::Messages, 100, DAY)).await;
    relay.submit(&["bob@example.test"]).await;
    relay.rest().await;
    assert_eq!(relay.delivery_to("bob@example.test").await.tries, 1);
    assert_eq!(relay.usage(id).used, 0);
}

#[tokio::test]
async fn a_limit_that_could_never_act_is_refused_with_the_field_that_is_wrong() {
    let api = TestApi::new().await;
    let good = json!({"metric": "messages", "value": 100, "window": "1d", "to": "operator:tail"});
    for (change, field) in [
        (json!({"to": "operator:nobody"}), Some("to")),
        (json!({"to": "site:77"}), Some("to")),
        (json!({"value": -1}), Some("value")),
        (json!({"metric": "mails"}), Some("metric")),
        (json!({"metric": "connections"}), None),
        (json!({"window": null}), None),
        (json!({"window": "1 fortnight"}), Some("window")),
        (json!({"from": "source:0"}), Some("from")),
        (json!({"from": "source:nobody"}), Some("from")),
        (json!({"from": "pool:nowhere"}), Some("from")),
        (json!({"from": "pool:77"}), Some("from")),
        (json!({"for": "organization:9"}), Some("for")),
        (json!({"for": "campaign:77"}), Some("for")),
        (json!({"pace": "spread:20h-8h"}), Some("pace")),
        (json!({"pace": "spread:8h-30h"}), None),
        (json!({"metric": "recipients_per_message", "window": null, "value": 0}), None),
    ] {
        let mut order = good.clone();
        for (name, value) in change.as_object().expect("an object") {
            order[name] = value.clone();
        }
        let answer = api.ask(&As::Operator, "POST", "/v1/limits", Some(order)).await;
        let told = format!("{change}: {answer:?}");
        assert_eq!(answer.status, 422, "{told}");
        assert_eq!(answer.body["field"].as_str(), field, "{told}");
        assert!(answer.body["detail"].as_str().is_some_and(|text| text.len() > 10), "{told}");
    }
    assert!(api.store.limits().await.expect("read").is_empty());
}

#[tokio::test]
async fn limits_are_set_listed_pinned_and_removed() {
    let api = TestApi::new().await;
    let order = json!({
        "metric": "messages", "value": 100, "window": "6h", "to": "operator:tail",
        "for": "organization:1", "class": "marketing", "pace": "sliding", "expires_in": "2d",
        "from": "pool:default",
    });
    let made = api.ask(&As::Operator, "POST", "/v1/limits", Some(order)).await.body;
    assert_eq!(made["from"], json!(FromScope::Pool(PoolId::DEFAULT).to_string()));
    assert_eq!(
        (made["to"].as_str(), made["window"].as_u64()),
        (Some("operator:tail"), Some(21600))
    );
    let path = format!("/v1/limits/{}", made["id"]);
    let (pin, order) = (format!("{path}/pin"), json!({"pinned": true}));
    let pinned = api.ask(&As::Operator, "POST", &pin, Some(order)).await.body;
    assert_eq!(pinned["pinned"], true);
    let listed = api.ask(&As::Operator, "GET", "/v1/limits?origin=admin&limit=1", None).await.body;
    assert_eq!((&listed["items"][0]["id"], &listed["next"]), (&made["id"], &json!(null)));
    assert_eq!(listed["items"][0]["pinned"], true);
    assert_eq!(api.ask(&As::Operator, "DELETE", &path, None).await.status, 200);
    assert_eq!(api.ask(&As::Operator, "DELETE", &path, None).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_reads_back_from_either_ledger_as_it_was_written() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let spread = Pace::Spread { begins: 8 * 60 * MINUTE, ends: 20 * 60 * MINUTE };
        let scope = LimitScope {
            from: FromScope::Source(SourceId(3)),
            to: ToScope::Domain(Domain::parse("a.example").expect("lawful")),
            who: WhoScope::SendingDomain(DomainId(4)),
            class: Some(StreamClass::Marketing),
        };
        let mut whole = limit(scope, Metric::NewConnections, 12, DAY);
        (whole.pace, whole.pinned, whole.origin) = (spread, true, Origin::WarmUp);
        whole.expires_at = Some(Timestamp::from_seconds(4_000_000_000));
        whole.id = relay.set_limit(whole.clone()).await;
        let rows = relay.store().limits().await.expect("read");
        assert!(rows.iter().any(|row| row.limit == whole), "{rows:?}");
        let shipped = rows.iter().filter(|row| row.limit.origin == Origin::Pack).count();
        assert!(shipped > 15, "{shipped} of the pack");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipped_limit_that_was_removed_does_not_come_back() {
    let mx = FakeMx::accepting().await;
    let mut relay = TestRelay::sending_to(&mx).await;
    let of_google = |row: &LimitRow| row.name.as_deref() == Some("google/connections");
    let mut rows = relay.store().limits().await.expect("read");
    rows.retain(of_google);
    relay.end_limit(rows.remove(0)).await;
    relay.stop().await;
    relay.start().await;
    let rows = relay.store().limits().await.expect("read");
    let now = relay.clock().now();
    assert!(
        rows.iter()
            .find(|row| of_google(row))
            .is_some_and(|row| { row.limit.expires_at.is_some_and(|end| end <= now) })
    );
}
