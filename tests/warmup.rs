//! Warm-up in whole stories: what a cold source carries each day, and who does not wait for it.

use std::time::Duration;

use postroad::config::Settings;
use postroad::model::*;
use postroad::schedule::warmup::Warmup;
use postroad::schedule::warmup::calendar::Window;
use postroad::schedule::warmup::course::Course;
use postroad::schedule::warmup::gates::Trouble;
use postroad::schedule::warmup::plan::Plan;
use postroad::store::{Learnt, SourceChange};
use postroad::world::manners::{Deed, Phase};

use crate::support::mx::FakeMx;
use crate::support::relay::{Database, SENDER, TestRelay};

const HOUR: Duration = Duration::from_secs(3600);
const COLD: SourceId = SourceId(1);
const LISTED: &str = "550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using \
                      zen.spamhaus.org";

async fn submit(relay: &TestRelay, stream: &str, count: usize) {
    for number in 0..count {
        let mail = format!(
            "From: <sender@sender.test>\r\nSubject: hello\r\n\
             X-Postroad-Stream: {stream}\r\n\r\nhello\r\n"
        );
        let recipient = format!("{stream}{number}@example.test");
        relay.submit_mail(&format!("<{SENDER}>"), &[&recipient], mail.as_bytes()).await;
    }
}

/// From the next midnight on the source is cold; its whole day may be sent in the first hour.
async fn begin(relay: &TestRelay, curve: &[u64]) {
    begin_with(relay, WarmSubject::Source(COLD), curve).await;
}

async fn begin_with(relay: &TestRelay, subject: WarmSubject, curve: &[u64]) {
    relay.clock().advance(relay.next_midnight().since(relay.clock().now()));
    let plan = Plan::of_curve(curve.to_vec()).expect("lawful");
    let target = curve.last().copied().unwrap_or(1) * 2;
    let window = Window { hour_first: 0, hour_end: 1 };
    let course = Course::new(plan, "tail", target, window).expect("lawful");
    let pair = (subject, OperatorId::TAIL);
    relay.controller().start(vec![(pair, course)], None).await.expect("begun");
    relay.clock().advance(HOUR);
}

/// The next day, an hour after it began.
async fn sleep_over_night(relay: &TestRelay) {
    relay.look().await;
    relay.clock().advance(relay.next_midnight().since(relay.clock().now()));
    relay.look().await;
    relay.clock().advance(HOUR);
    relay.look().await;
}

async fn warmup(relay: &TestRelay) -> Warmup {
    relay.controller().warmups().await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_source_carries_more_each_day_and_transactional_mail_never_waits_for_it() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        begin(&relay, &[4, 6, 9]).await;
        submit(&relay, "marketing", 25).await;
        relay.rest().await;
        assert_eq!(mx.received().len(), 4);
        submit(&relay, "transactional", 3).await;
        relay.rest().await;
        assert_eq!(mx.received().len(), 7, "transactional mail overdraws the day");
        let owed = relay.owed().await;
        let reasons = relay.why(owed[0].id).await;
        assert!(reasons.iter().any(|reason| reason.text.contains("warm-up day 1")), "{reasons:?}");
        sleep_over_night(&relay).await;
        relay.rest().await;
        assert_eq!(mx.received().len(), 13);
        sleep_over_night(&relay).await;
        relay.rest().await;
        assert_eq!(mx.received().len(), 22);
        relay.run_until_idle().await;
        relay.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sending_domain_is_warmed_up_whatever_source_sends_its_mail() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let domain = relay.store().domains().await.expect("read")[0].id;
        begin_with(&relay, WarmSubject::Domain(domain), &[4, 6]).await;
        submit(&relay, "marketing", 9).await;
        relay.rest().await;
        assert_eq!(mx.received().len(), 4);
        let owed = relay.owed().await;
        let reasons = relay.why(owed[0].id).await;
        assert!(reasons.iter().any(|reason| reason.text.contains("warm-up day 1")), "{reasons:?}");
        submit(&relay, "transactional", 2).await;
        relay.rest().await;
        assert_eq!(mx.received().len(), 6, "transactional mail does not wait for it");
        sleep_over_night(&relay).await;
        relay.run_until_idle().await;
        assert_eq!(mx.received().len(), 11);
        relay.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_stops_the_day_and_steps_the_volume_back() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        begin(&relay, &[10, 20, 40]).await;
        submit(&relay, "marketing", 60).await;
        relay.rest().await;
        assert_eq!(mx.received().len(), 10);
        mx.script(Phase::Rcpt, Deed::Reply(LISTED.into()), 20);
        sleep_over_night(&relay).await;
        let stopped = async |relay: &TestRelay| {
            relay.look().await;
            warmup(relay).await.course.today.is_some_and(|today| today.stop.is_some())
        };
        let started = std::time::Instant::now();
        while !stopped(&relay).await {
            assert!(started.elapsed() < crate::support::PATIENCE, "it is not stopped");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let decisions = relay.store().active_decisions().await.expect("read");
        let stop = decisions.iter().find(|one| one.rule == DecisionRule::WarmupStop);
        let stop = stop.expect("a decision");
        assert!(stop.samples[0].contains("zen.spamhaus.org"), "{stop:?}");
        // What was under way has its answer before the day ends.
        relay.rest().await;
        sleep_over_night(&relay).await;
        let course = warmup(&relay).await.course;
        assert!(course.cap() <= 10, "{}", course.cap());
        assert_eq!(course.backs.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bounces_after_it_was_taken_closes_the_gate_too() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings: &mut Settings| {
        settings.inbound.listen = vec![([127, 0, 0, 1], 0).into()];
        settings.inbound.return_domain = Some("bounce.sender.test".to_owned());
    })
    .await;
    begin(&relay, &[60, 120]).await;
    submit(&relay, "marketing", 60).await;
    relay.rest().await;
    relay.look().await;
    assert_eq!(mx.received().len(), 60);
    for number in 0..12 {
        let recipient = format!("marketing{number}@example.test");
        let path = mx.mail_to(&recipient).envelope.sender.clone();
        let report = crate::inbound::bounce(&recipient, "5.1.1", "no such user here");
        let answer = relay.bring("", &path, &report).await;
        assert!(answer.starts_with("250"), "{answer}");
    }
    relay.look().await;
    let today = warmup(&relay).await.course.today.expect("a day");
    assert_eq!((today.marks.offered, today.marks.invalid), (60, 12));
    assert_eq!(today.stop, Some(Trouble::Invalid), "{:?}", today.marks);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_should_look_at_now_stays_in_the_log_of_events() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::on(&database, &mx).await;
        let learnt = Learnt { alarms: vec!["warm-up 1: frozen".into()], ..Learnt::default() };
        let store = relay.app().store();
        store.write_learnt(learnt).await.expect("written");
        let (events, _) = store.events_after(EventId(0), 100).await.expect("read");
        let alarm = events.iter().find(|event| event.kind == EventKind::Alarm);
        assert_eq!(alarm.expect("an event").fields["text"], "warm-up 1: frozen");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cold_source_may_not_carry_goes_to_the_warm_one() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings: &mut Settings| {
        let mut second = settings.source[0].clone();
        second.name = "warm".into();
        settings.source.push(second);
    })
    .await;
    begin(&relay, &[3, 6]).await;
    submit(&relay, "marketing", 9).await;
    relay.run_until_idle().await;
    relay.look().await;
    assert_eq!(mx.received().len(), 9);
    let today = warmup(&relay).await.course.today.expect("a day");
    assert_eq!(today.marks.accepted, 3, "the cold one first, and no more than its day");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_overflows_has_its_share_of_a_warm_source_and_transactional_mail_passes_both() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings: &mut Settings| {
        let mut second = settings.source[0].clone();
        second.name = "warm".into();
        settings.source.push(second);
    })
    .await;
    let tables = relay.store().source_tables().await.expect("read");
    let warm = tables.sources.iter().find(|row| row.name == "warm").expect("declared").id;
    let member = PoolMember { pool: PoolId::DEFAULT, source: warm, weight: 1, share_max: Some(10) };
    let app = relay.app();
    app.store().change_sources(SourceChange::PutMember(member)).await.expect("written");
    app.schedule().reread_sources().await.expect("taken");
    begin(&relay, &[3, 6]).await;
    submit(&relay, "marketing", 40).await;
    relay.rest().await;
    // The day of the cold one, and the share of the warm one, which lanes side by side may pass by
    // a mail each.
    let sent = mx.received().len();
    assert!((23..=35).contains(&sent), "{sent}");
    let owed = relay.owed().await;
    let reasons = relay.why(owed[0].id).await;
    assert!(reasons.iter().any(|one| one.text.contains("its share of 10 %")), "{reasons:?}");
    submit(&relay, "transactional", 2).await;
    relay.rest().await;
    assert_eq!(mx.received().len(), sent + 2, "transactional mail waits for neither");
    relay.run_until_idle().await;
    relay.adds_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_up_goes_on_where_it_was_after_a_restart() {
    let mx = FakeMx::accepting().await;
    let mut relay = TestRelay::sending_to(&mx).await;
    begin(&relay, &[4, 6, 9]).await;
    submit(&relay, "marketing", 12).await;
    relay.rest().await;
    relay.look().await;
    let before = warmup(&relay).await;
    relay.stop().await;
    relay.start().await;
    relay.rest().await;
    assert_eq!(mx.received().len(), 4, "what today has carried is not forgotten");
    let after = warmup(&relay).await;
    assert_eq!((after.id, after.limit), (before.id, before.limit));
    assert_eq!(after.course.today.map(|today| today.marks), before.course.today.map(|d| d.marks));
}
