//! Stories of courses, day by day, without network, rows or sleep.

use super::course::Course;
use super::gates::Trouble;
use super::overflow::Standing;
use super::plan::Plan;
use super::*;

const HOURS: i64 = 3600;
const DAY_SECONDS: i64 = 86_400;

fn bounds(day: i64) -> (Timestamp, Timestamp) {
    let at = |day: i64| Timestamp::from_seconds(day * DAY_SECONDS);
    (at(day), at(day + 1))
}

fn course(plan: &str, target: u64) -> Course {
    let plan = Plan::named(plan).expect("it ships");
    Course::new(plan, "google", target, Default::default()).expect("lawful")
}

struct Results {
    course: Course,
    day: i64,
}

impl Results {
    fn of(course: Course) -> Results {
        let mut results = Results { course, day: 0 };
        results.roll();
        results
    }

    fn roll(&mut self) -> Vec<Turn> {
        let (start, _) = bounds(self.day);
        self.course.roll(start, bounds(self.day))
    }

    fn learn(&mut self, marks: Marks) -> Option<Turn> {
        let now = Timestamp::from_seconds(self.day * DAY_SECONDS + 6 * HOURS);
        self.course.learn(&marks, &["550 5.7.1 no".to_owned()], now)
    }

    /// A day with these results, ended; its verdict.
    fn day(&mut self, marks: Marks) -> Option<WarmupVerdict> {
        self.learn(marks);
        self.day += 1;
        self.roll().into_iter().find_map(|turn| turn.verdict)
    }

    /// All that today may carry, accepted.
    fn clean(&mut self) -> Option<WarmupVerdict> {
        let cap = self.course.budget().unwrap_or(self.course.target);
        self.day(accepted(cap))
    }
}

fn accepted(count: u64) -> Marks {
    Marks { offered: count, accepted: count, ..Marks::default() }
}

#[test]
fn clean_days_lead_to_the_target_and_then_nothing_is_limited() {
    let mut results = Results::of(course("standard", 20_000));
    let plan_days = results.course.plan.days(1.0, 20_000);
    for _ in 1..plan_days {
        assert_eq!(results.clean(), Some(WarmupVerdict::Advance));
    }
    assert_eq!(results.course.cap(), 20_000);
    for _ in 0..3 {
        results.clean();
    }
    assert_eq!(results.course.state, WarmupState::Finished);
    assert_eq!(results.course.budget(), None);
}

#[test]
fn days_without_mail_or_with_too_little_do_not_count() {
    let mut results = Results::of(course("standard", 20_000));
    assert_eq!(results.day(Marks::default()), None);
    assert_eq!(results.day(accepted(20)), Some(WarmupVerdict::Hold));
    assert_eq!((results.course.send_days, results.course.cap()), (0, 50));
    assert_eq!(results.day(accepted(48)), Some(WarmupVerdict::Advance));
    assert_eq!(results.course.send_days, 1);
}

#[test]
fn what_was_put_off_is_not_offered_again_today_and_tomorrow_holds_what_was_accepted() {
    let mut results = Results::of(course("fast", 50_000));
    while results.course.cap() < 1000 {
        results.clean();
    }
    let cap = results.course.cap();
    let marks = Marks { offered: 705, accepted: 700, deferred: 5, ..Marks::default() };
    let turn = results.learn(marks).expect("a stop");
    assert_eq!((turn.rule, turn.after), (DecisionRule::WarmupStop, 0));
    assert_eq!(turn.samples, ["550 5.7.1 no"]);
    assert_eq!(results.course.budget(), Some(0));
    assert_eq!(
        results.course.standing(Timestamp::from_seconds(results.day * DAY_SECONDS)),
        Standing::Strained
    );
    assert_eq!(results.day(Marks::default()), Some(WarmupVerdict::Hold));
    assert!(results.course.cap().abs_diff(700) <= 1, "{} of {cap}", results.course.cap());
    assert_eq!(results.clean(), Some(WarmupVerdict::Advance));
    assert!(results.course.cap() < 900, "the pace is halved: {}", results.course.cap());
}

#[test]
fn a_block_steps_back_and_the_third_in_a_week_freezes_until_it_thaws() {
    let mut results = Results::of(course("fast", 50_000));
    while results.course.cap() < 4000 {
        results.clean();
    }
    let cap = results.course.cap();
    let blocked =
        |of: u64| Marks { offered: of + 20, accepted: of, blocked: 20, ..Marks::default() };
    assert_eq!(results.day(blocked(cap / 2)), Some(WarmupVerdict::StepBack));
    let back = results.course.cap();
    assert!(back <= cap / 3, "{back} of {cap}");
    assert_eq!(results.day(blocked(back / 2)), Some(WarmupVerdict::StepBack));
    let back = results.course.cap();
    assert_eq!(results.day(blocked(back / 2)), Some(WarmupVerdict::Freeze));
    assert_eq!((results.course.state, results.course.budget()), (WarmupState::Frozen, Some(0)));
    results.day += 1;
    results.roll();
    assert_eq!(results.course.state, WarmupState::Frozen);
    results.day += 1;
    results.roll();
    assert_eq!(results.course.state, WarmupState::Running);
}

#[test]
fn transactional_mail_has_no_more_of_a_cold_source_than_an_hour_of_it_has_held() {
    let mut results = Results::of(course("fast", 50_000));
    while results.course.cap() < 2400 {
        results.clean();
    }
    let at = |hour: i64| Timestamp::from_seconds(results.day * DAY_SECONDS + hour * HOURS + 60);
    let safe = |course: &Course, hour| match course.standing(at(hour)) {
        Standing::Cold { safe, .. } => safe,
        other => panic!("{other:?}"),
    };
    let mut course = results.course.clone();
    let held = course.proven;
    // Nothing was sent all day: that is no leave for a burst in the evening.
    assert_eq!(safe(&course, 20), (held as f64 * 0.6 / 24.0) as u64);
    course.learn(&accepted(safe(&course, 20)), &[], at(20));
    assert_eq!(safe(&course, 20), 0);
    assert!(safe(&course, 21) > 0, "the next hour has its own");
    // Marketing that goes out evenly leaves none.
    course.learn(&accepted(held), &[], at(21));
    assert_eq!((safe(&course, 21), safe(&course, 22)), (0, 0));
}

#[test]
fn a_bad_list_stops_the_day_and_costs_no_more_than_half_the_volume() {
    let mut results = Results::of(course("fast", 50_000));
    while results.course.cap() < 4000 {
        results.clean();
    }
    let cap = results.course.cap();
    let marks = Marks { offered: 60, accepted: 49, invalid: 11, ..Marks::default() };
    let turn = results.learn(marks).expect("a stop");
    assert!(turn.cause.contains("do not exist"), "{}", turn.cause);
    assert_eq!(results.course.today.as_ref().and_then(|day| day.stop), Some(Trouble::Invalid));
    assert!(matches!(
        results.course.standing(Timestamp::from_seconds(results.day * DAY_SECONDS)),
        Standing::Cold { left: 0, .. }
    ));
    results.day(Marks::default());
    assert!(results.course.cap() >= cap / 2 - 1, "{} of {cap}", results.course.cap());
}

#[test]
fn a_source_that_slept_is_warmed_up_again() {
    let mut results = Results::of(course("fast", 5_000));
    while results.course.state != WarmupState::Finished {
        results.clean();
    }
    results.day += 30;
    let turns = results.roll();
    let turn = turns.iter().find(|turn| turn.rule == DecisionRule::Rewarm).expect("a turn");
    assert!(turn.cause.contains("days"), "{}", turn.cause);
    let cap = results.course.cap();
    assert!((800..2500).contains(&cap), "{cap}");
    assert_eq!(results.course.state, WarmupState::Running);
}

#[test]
fn a_warm_source_that_loses_its_standing_is_warmed_up_again_but_not_for_bad_recipients() {
    let mut results = Results::of(course("fast", 5_000));
    while results.course.state != WarmupState::Finished {
        results.clean();
    }
    let list = Marks { offered: 500, accepted: 400, invalid: 100, ..Marks::default() };
    assert!(results.learn(list).is_some_and(|turn| turn.rule == DecisionRule::WarmupStop));
    assert_eq!(results.course.budget(), Some(0));
    results.day += 1;
    results.roll();
    assert_eq!((results.course.state, results.course.budget()), (WarmupState::Finished, None));
    let marks = Marks { offered: 2000, accepted: 1900, blocked: 100, ..Marks::default() };
    let turn = results.learn(marks).expect("a turn");
    assert_eq!(turn.rule, DecisionRule::Rewarm);
    results.day(Marks::default());
    assert!(results.course.cap() < 2500, "{}", results.course.cap());
}

#[test]
fn a_person_pauses_resumes_skips_and_restarts() {
    let mut results = Results::of(course("standard", 50_000));
    results.course.skip(10);
    assert_eq!(results.course.cap(), 800);
    results.course.pause();
    assert_eq!(results.clean(), Some(WarmupVerdict::Hold));
    assert_eq!(results.course.cap(), 800);
    results.course.resume();
    assert_eq!(results.clean(), Some(WarmupVerdict::Advance));
    results.course.freeze();
    results.course.pause();
    assert_eq!(results.course.budget(), Some(0), "to pause what is frozen opens nothing");
    results.course.resume();
    assert!(results.course.budget() > Some(0));
    results.course.restart();
    assert_eq!(results.course.cap(), 50);
    results.course.stop();
    assert_eq!(results.course.budget(), None);
}

#[test]
fn the_limit_binds_marketing_alone_and_says_which_day_of_which_plan_it_is() {
    let warmup = Warmup {
        id: WarmupId(1),
        subject: WarmSubject::Source(SourceId(4)),
        operator: OperatorId(2),
        limit: LimitId(9),
        course: Results::of(course("standard", 100_000)).course,
    };
    let limit = warmup.limit().expect("a limit");
    assert_eq!(limit.scope.class, Some(StreamClass::Marketing));
    assert_eq!((limit.value, limit.origin), (50, Origin::WarmUp));
    assert_eq!(limit.reason, "warm-up day 1 of 29, plan standard");
    let domain = Warmup { subject: WarmSubject::Domain(DomainId(3)), ..warmup };
    let limit = domain.limit().expect("a limit");
    assert_eq!(limit.scope.from, FromScope::Installation);
    assert_eq!(limit.scope.who, WhoScope::SendingDomain(DomainId(3)));
}
