//! Warm-up in whole stories: what a cold source carries each day, and who does not wait for it.

use std::time::Duration;

use postroad::config::Settings;
use postroad::model::*;
use postroad::schedule::governor::book::{Answered, Lesson};
use postroad::schedule::warmup::Warmup;
use postroad::schedule::warmup::calendar::Window;
use postroad::schedule::warmup::course::Course;
use postroad::schedule::warmup::gates::Trouble;
use postroad::schedule::warmup::plan::Plan;
use postroad::store::{Learnt, SourceChange, SourceHour};
use postroad::world::manners::{Deed, Phase};

use serde_json::json;

use crate::support::mx::FakeMx;
use crate::support::operator;
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

fn refused(signal: Signal, count: u64) -> Lesson<'static> {
    Lesson {
        source: COLD,
        operator: OperatorId::TAIL,
        site: None,
        class: StreamClass::Marketing,
        campaign: None,
        sending_domain: None,
        answer: Answered::Refused { signal, for_good: false },
        count,
        sample: Some("421 4.7.0 unusual"),
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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_warm_source_held_is_known_after_a_restart() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let mut relay = TestRelay::on(&database, &mx).await;
        let day = relay.next_midnight() - HOUR * 72;
        let hour = |hours: u32, accepted: u64| SourceHour {
            source: COLD,
            operator: OperatorId::TAIL,
            hour: day + HOUR * hours,
            marks: Marks { offered: accepted, accepted, ..Marks::default() },
        };
        let hours = vec![hour(1, 5000), hour(2, 3000), hour(26, 6000)];
        let learnt = Learnt { hours, ..Learnt::default() };
        relay.app().store().write_learnt(learnt).await.expect("written");
        relay.stop().await;
        relay.start().await;
        relay.controller().note(&refused(Signal::Reputation, 3));
        relay.look().await;
        assert_eq!(warmup(&relay).await.course.target, 8000, "its best day");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_with_a_factor_of_an_operator_that_nobody_knows_is_refused() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let plan = |operator: &str| {
        let text =
            format!("name = 'x'\nfirst = 9\ndoubling_days = 2.0\nfactors = {{ {operator} = 0.5 }}");
        json!({"source": relay.settings().source[0].name, "target": 100, "plan_text": text})
    };
    let socket = relay.settings().control_socket();
    let (status, said) = operator::ask(&socket, "POST", "/v1/warmups", plan("gogle")).await;
    let said = said.to_string();
    assert_eq!(status, 422, "{said}");
    assert!(said.contains("no operator 'gogle'") && said.contains("google, "), "{said}");
    let (status, said) = operator::ask(&socket, "POST", "/v1/warmups", plan("orange")).await;
    assert_eq!(status, 200, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_has_set_is_held_and_taken_back_where_the_rule_stands() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    begin(&relay, &[4, 6]).await;
    relay.controller().note(&refused(Signal::Rate, 1));
    relay.look().await;
    let store = relay.app().store();
    let decision = store.active_decisions().await.expect("read").remove(0);
    let warmup = warmup(&relay).await;
    let socket = relay.settings().control_socket();
    for (limit, pinned, said) in [
        (decision.limit, true, format!("postroad decisions pin {}", decision.id)),
        (decision.limit, false, format!("postroad decisions release {}", decision.id)),
        (Some(warmup.limit), true, format!("postroad warmup pause {}", warmup.id)),
    ] {
        let path = format!("/v1/limits/{}/pin", limit.expect("a limit"));
        let (status, answer) =
            operator::ask(&socket, "POST", &path, json!({"pinned": pinned})).await;
        assert!(status == 409 && answer.to_string().contains(&said), "{said}: {answer}");
    }
    for (limit, said) in [
        (decision.limit, format!("postroad decisions undo {}", decision.id)),
        (Some(warmup.limit), format!("postroad warmup stop {}", warmup.id)),
    ] {
        let path = format!("/v1/limits/{}", limit.expect("a limit"));
        let (status, answer) = operator::ask(&socket, "DELETE", &path, json!(null)).await;
        assert!(status == 409 && answer.to_string().contains(&said), "{said}: {answer}");
    }
}

/// What the decisions of the governor are, as a person pins and undoes them.
#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_pinned_released_and_undone_by_hand() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let mut relay = TestRelay::on(&database, &mx).await;
        relay.controller().note(&refused(Signal::Rate, 1));
        relay.look().await;
        let id = relay.see("/v1/decisions?active=true").await["items"][0]["id"].clone();
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        let path = format!("/v1/decisions/{id}");
        let pinned = relay.order(&format!("{path}/pin"), json!({"pinned": true})).await;
        assert_eq!((&pinned["pinned"], &pinned["state"]), (&json!(true), &json!("active")));
        relay.stop().await;
        relay.start().await;
        relay.clock().advance(HOUR * 12);
        relay.look().await;
        let limits = relay.store().limits().await.expect("read");
        let held = limits.iter().filter(|row| row.limit.origin == Origin::Adaptive);
        let held: Vec<_> = held.map(|row| (row.limit.pinned, row.limit.expires_at)).collect();
        assert_eq!(held, [(true, None)], "it outlives its end and a restart");
        let released = relay.order(&format!("{path}/pin"), json!({"pinned": false})).await;
        assert_eq!(released["pinned"], json!(false));
        let undone = relay.order(&format!("{path}/undo"), json!({})).await;
        assert_eq!(undone["state"], json!("undone"));
        let limits = relay.store().limits().await.expect("read");
        assert!(limits.iter().all(|row| row.limit.origin != Origin::Adaptive));
        let socket = relay.settings().control_socket();
        let (status, answer) =
            operator::ask(&socket, "POST", &format!("{path}/undo"), json!({})).await;
        assert_eq!(status, 409, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn complaints_close_the_gate_of_a_sending_domain_too() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::with(&mx, |settings: &mut Settings| {
            if let Database::Postgres(url) = &database {
                settings.store.url = Some(url.clone());
            }
            settings.inbound.listen = vec![([127, 0, 0, 1], 0).into()];
            settings.inbound.return_domain = Some("bounce.sender.test".to_owned());
        })
        .await;
        let domain = relay.store().domains().await.expect("read")[0].id;
        begin_with(&relay, WarmSubject::Domain(domain), &[60, 120]).await;
        submit(&relay, "marketing", 60).await;
        relay.rest().await;
        relay.look().await;
        for number in 0..6 {
            let mail = mx.mail_to(&format!("marketing{number}@example.test")).body.to_vec();
            let report = crate::inbound::complaint(&String::from_utf8(mail).expect("text"));
            let answer = relay.bring("fbl@far.test", "abuse@bounce.sender.test", &report).await;
            assert!(answer.starts_with("250"), "{answer}");
        }
        relay.look().await;
        let today = warmup(&relay).await.course.today.expect("a day");
        assert_eq!((today.marks.accepted, today.marks.complaints), (60, 6));
        assert_eq!(today.stop, Some(Trouble::Complaints));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_block_in_a_week_freezes_and_a_paused_freeze_opens_when_it_is_resumed() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    begin(&relay, &[40, 80, 160]).await;
    for _ in 0..3 {
        let answer = Answered::Refused { signal: Signal::Reputation, for_good: true };
        relay.controller().note(&Lesson { answer, ..refused(Signal::Reputation, 3) });
        sleep_over_night(&relay).await;
    }
    let shown = async || relay.see("/v1/warmups").await["items"][0].clone();
    let frozen = shown().await;
    assert_eq!((&frozen["state"], &frozen["budget"]), (&json!("frozen"), &json!(0)), "{frozen}");
    let active = relay.see("/v1/decisions?active=true").await.to_string();
    assert!(active.contains("warmup_freeze") && !active.contains("warmup_stop"), "{active}");
    let steer = format!("/v1/warmups/{}/steer", frozen["id"]);
    let paused = relay.order(&steer, json!({"action": "pause"})).await;
    assert_eq!((&paused["state"], &paused["budget"]), (&json!("frozen"), &json!(0)), "{paused}");
    relay.clock().advance(HOUR * 24 * 5);
    relay.look().await;
    assert_eq!(shown().await["state"], json!("frozen"), "it does not thaw any more");
    let resumed = relay.order(&steer, json!({"action": "resume"})).await;
    assert_eq!(resumed["state"], json!("running"));
    assert!(resumed["budget"].as_u64() > Some(0), "{resumed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_source_that_slept_for_weeks_is_warmed_up_again() {
    let mx = FakeMx::accepting().await;
    let mut relay = TestRelay::sending_to(&mx).await;
    let marks = Marks { offered: 8000, accepted: 8000, ..Marks::default() };
    let hour = relay.next_midnight() - HOUR * 24 * 23;
    let operator = OperatorId::TAIL;
    let hours = vec![SourceHour { source: COLD, operator, hour, marks }];
    relay.app().store().write_learnt(Learnt { hours, ..Learnt::default() }).await.expect("written");
    relay.stop().await;
    relay.start().await;
    relay.look().await;
    let course = warmup(&relay).await.course;
    assert_eq!((course.state, course.target), (WarmupState::Running, 8000));
    assert!((3000..=4000).contains(&course.cap()), "{}", course.cap());
    let decisions = relay.store().active_decisions().await.expect("read");
    assert_eq!(decisions[0].rule, DecisionRule::Rewarm);
    assert!(decisions[0].expires_at.is_some());
    submit(&relay, "marketing", 2).await;
    relay.run_until_idle().await;
    assert_eq!(mx.received().len(), 2);
}
