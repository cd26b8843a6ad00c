//! From answers to limits and decisions.

use super::book::{Answered, Lesson};
use super::person::what_of;
use super::*;
use crate::schedule::warmup::Warmup;
use crate::schedule::warmup::course::Course;
use crate::schedule::warmup::plan::Plan;
use crate::store::SourcePeak;

const HERE: SourcePair = (SourceId(1), OperatorId(2));
const DAY: i64 = 86_400;

#[derive(Default)]
struct Counter(i64);

impl Counter {
    fn next(&mut self) -> i64 {
        self.0 += 1;
        self.0
    }
}

impl Numbers for Counter {
    fn limit(&mut self) -> LimitId {
        LimitId(self.next())
    }
    fn warmup(&mut self) -> WarmupId {
        WarmupId(self.next())
    }
    fn decision(&mut self) -> DecisionId {
        DecisionId(self.next())
    }
}

#[derive(Default)]
struct Story {
    governor: Governor,
    numbers: Counter,
    now: i64,
}

impl Story {
    fn cold(plan: &str) -> Story {
        let mut story = Story::default();
        let plan = Plan::named(plan).expect("it ships");
        let course = Course::new(plan, "google", 50_000, Default::default()).expect("lawful");
        let limit = story.numbers.limit();
        story.governor.planner.put(Warmup {
            id: WarmupId(1),
            subject: WarmSubject::Source(HERE.0),
            operator: HERE.1,
            limit,
            course,
        });
        story.think(Book::default());
        story
    }

    fn think(&mut self, book: Book) -> Thoughts {
        let now = Timestamp::from_seconds(self.now);
        let start = self.now.div_euclid(DAY) * DAY;
        let bounds = (Timestamp::from_seconds(start), Timestamp::from_seconds(start + DAY));
        self.governor.think(book, now, bounds, &mut self.numbers)
    }

    fn active(&self, rule: DecisionRule) -> Option<DecisionId> {
        self.governor.active().find(|one| one.rule == rule).map(|one| one.id)
    }

    /// Of the only warm-up.
    fn budget(&self) -> Option<u64> {
        self.governor.planner.all().next().expect("one").course.budget()
    }

    fn told(&mut self, answers: &[(Answered, u64)]) -> Thoughts {
        let mut book = Book::default();
        for (answer, count) in answers {
            book.note(&lesson(*answer, *count));
        }
        self.think(book)
    }
}

fn lesson(answer: Answered, count: u64) -> Lesson<'static> {
    Lesson {
        source: HERE.0,
        operator: HERE.1,
        site: None,
        class: StreamClass::Marketing,
        campaign: Some(CampaignId(3)),
        sending_domain: None,
        answer,
        count,
        sample: Some("421 4.7.28 unusual rate"),
    }
}

const fn refused(signal: Signal, for_good: bool) -> Answered {
    Answered::Refused { signal, for_good }
}

#[test]
fn reputation_goes_to_the_warm_up_and_every_change_is_a_decision() {
    let mut story = Story::cold("standard");
    let thoughts = story.told(&[(Answered::Accepted, 30), (refused(Signal::Reputation, false), 3)]);
    let rules: Vec<_> = thoughts.decisions.iter().map(|one| one.rule).collect();
    assert_eq!(rules, [DecisionRule::WarmupStop]);
    let decision = &thoughts.decisions[0];
    assert_eq!((decision.before, decision.after), (Some(50), Some(0)));
    assert_eq!(decision.samples, ["421 4.7.28 unusual rate"]);
    assert!(thoughts.put.is_empty(), "no adaptive row: {:?}", thoughts.put);
    let warmup = story.governor.planner.all().next().expect("one");
    assert_eq!(warmup.limit().expect("a limit").value, 33);
    story.now = DAY;
    let thoughts = story.think(Book::default());
    assert_eq!(thoughts.days.len(), 1);
    assert_eq!(thoughts.changed[0].state, DecisionState::Past);
}

#[test]
fn pace_connections_and_content_each_have_a_row_of_their_own() {
    let mut story = Story::default();
    let thoughts = story.told(&[
        (refused(Signal::Rate, false), 1),
        (refused(Signal::Capacity, false), 1),
        (refused(Signal::Content, true), 8),
        (refused(Signal::InvalidRecipient, true), 40),
    ]);
    let mut metrics: Vec<_> =
        thoughts.put.iter().map(|row| (row.metric, row.scope.who, row.value)).collect();
    metrics.sort();
    let campaign = WhoScope::Campaign(CampaignId(3));
    assert_eq!(
        metrics,
        [
            (Metric::Connections, WhoScope::Everybody, 1),
            (Metric::Messages, WhoScope::Everybody, 1),
            (Metric::Messages, campaign, 0),
        ]
    );
    assert!(thoughts.put.iter().all(|row| row.expires_at.is_some()));
    story.now = 2 * 3600 + 1;
    let thoughts = story.think(Book::default());
    assert!(thoughts.removed.len() >= 3, "{:?}", thoughts.removed);
}

#[test]
fn a_campaign_that_one_small_host_does_not_want_goes_on_at_the_others() {
    let mut story = Story::default();
    let mut book = Book::default();
    for (site, answer) in [(7, refused(Signal::Content, true)), (8, Answered::Accepted)] {
        let (operator, site) = (OperatorId::TAIL, Some(SiteId(site)));
        book.note(&Lesson { operator, site, ..lesson(answer, 8) });
    }
    let thoughts = story.think(book);
    let stopped: Vec<_> = thoughts.put.iter().map(|row| (&row.scope.to, row.value)).collect();
    assert_eq!(stopped, [(&ToScope::Site(SiteId(7)), 0)]);
    let decision = thoughts.decisions[0].clone();
    let mut after_a_start = Story::default();
    after_a_start.governor.restore(vec![decision.clone()]);
    for story in [&mut story, &mut after_a_start] {
        let undone = story.governor.undo(decision.id, Timestamp(0)).expect("in force");
        assert_eq!(undone.removed, decision.limit.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_decision_is_undone_and_pinned_by_hand() {
    let mut story = Story::default();
    let thoughts = story.told(&[(refused(Signal::Rate, false), 1)]);
    let id = thoughts.decisions[0].id;
    let pinned = story.governor.pin(id, true, Timestamp(0)).expect("it is in force");
    assert!(pinned.put[0].pinned && pinned.put[0].expires_at.is_none());
    story.now = 40 * 3600;
    assert!(story.think(Book::default()).removed.is_empty());
    story.governor.pin(id, false, Timestamp(0)).expect("it is in force");
    let undone = story.governor.undo(id, Timestamp::from_seconds(story.now)).expect("in force");
    assert_eq!(undone.removed.len(), 1);
    assert_eq!(undone.changed[0].state, DecisionState::Undone);
    assert!(story.told(&[(refused(Signal::Rate, false), 1)]).put.is_empty());
    assert!(story.governor.undo(id, Timestamp(0)).is_err());
}

#[test]
fn undoing_a_stop_of_the_warm_up_opens_the_day_again() {
    let mut story = Story::cold("standard");
    let thoughts = story.told(&[(refused(Signal::Reputation, false), 3)]);
    let id = thoughts.decisions[0].id;
    let undone = story.governor.undo(id, Timestamp(0)).expect("in force");
    assert_eq!(undone.touched.len(), 1);
    let warmup = story.governor.planner.all().next().expect("one");
    assert_eq!(warmup.limit().expect("a limit").value, 50);
}

#[test]
fn a_warm_source_that_loses_its_standing_gets_a_warm_up() {
    let mut story = Story::default();
    story.told(&[(Answered::Accepted, 8000)]);
    story.now = DAY;
    let answers = [(Answered::Accepted, 2000), (refused(Signal::Reputation, true), 100)];
    let thoughts = story.told(&answers);
    assert!(thoughts.decisions.iter().any(|one| one.rule == DecisionRule::Rewarm));
    let warmup = story.governor.planner.all().next().expect("a warm-up");
    assert_eq!((warmup.course.target, warmup.course.budget()), (8000, Some(0)));
    assert!(!thoughts.alarms.is_empty());
}

#[test]
fn what_was_in_force_is_again_after_a_start() {
    let mut story = Story::default();
    let before = story.told(&[(refused(Signal::Rate, false), 1)]);
    let mut again = Story { numbers: Counter(100), ..Story::default() };
    again.governor.restore(before.decisions.clone());
    again.now = 3600;
    let thoughts = again.think(Book::default());
    assert_eq!(thoughts.put[0].id, before.put[0].id);
    assert_eq!(thoughts.put[0].value, before.put[0].value + 1);
}

#[test]
fn what_a_warm_source_held_before_a_start_is_where_it_is_warmed_up_again() {
    let mut story = Story { now: 9 * DAY, ..Story::default() };
    let hour = Timestamp::from_seconds(8 * DAY);
    let peak = SourcePeak { source: HERE.0, operator: HERE.1, accepted: 500_000, last_hour: hour };
    story.governor.remember(&[peak], Timestamp::from_seconds(9 * DAY), &[]);
    story.told(&[(Answered::Accepted, 20), (refused(Signal::Reputation, false), 3)]);
    let warmup = story.governor.planner.all().next().expect("a warm-up");
    assert_eq!((warmup.course.target, warmup.course.cap()), (500_000, 500_000));
}

#[test]
fn a_warm_source_that_slept_is_warmed_up_again_and_neither_a_relay_nor_a_stranger() {
    let held = |source| SourcePeak {
        source: SourceId(source),
        operator: HERE.1,
        accepted: if source == 4 { 20 } else { 8000 },
        last_hour: Timestamp::from_seconds(DAY),
    };
    let mut story = Story { now: 21 * DAY, ..Story::default() };
    let peaks: Vec<SourcePeak> = (1..=4).map(held).collect();
    story.governor.remember(&peaks, Timestamp::from_seconds(21 * DAY), &[]);
    story.governor.set_relays(HashSet::from([SourceId(2)]));
    // The third was removed.
    story.governor.set_own(HashSet::from([SourceId(1), SourceId(4)]));
    assert!(story.think(Book::default()).decisions.is_empty(), "three weeks are not over");
    story.now = 23 * DAY;
    let thoughts = story.think(Book::default());
    let rules: Vec<_> = thoughts.decisions.iter().map(|one| one.rule).collect();
    assert_eq!(rules, [DecisionRule::Rewarm]);
    assert!(thoughts.alarms.is_empty(), "nobody need look at it: {:?}", thoughts.alarms);
    let warmups: Vec<_> = story.governor.planner.all().collect();
    assert_eq!((warmups.len(), warmups[0].subject), (1, WarmSubject::Source(SourceId(1))));
    let cap = warmups[0].course.cap();
    assert!((3000..=4000).contains(&cap), "half of what it held: {cap}");
}

/// Frozen at the third block within a week, a day before now.
fn frozen() -> (Story, DecisionId) {
    let mut story = Story::cold("standard");
    for day in 1..=3 {
        story.told(&[(refused(Signal::Reputation, true), 3)]);
        story.now = day * DAY;
        story.think(Book::default());
    }
    let freeze = story.active(DecisionRule::WarmupFreeze).expect("three steps back");
    (story, freeze)
}

#[test]
fn a_pinned_freeze_stays_a_freeze_until_it_is_released() {
    let (mut story, freeze) = frozen();
    story.governor.pin(freeze, true, Timestamp::from_seconds(story.now)).expect("in force");
    assert_eq!(story.budget(), Some(0));
    story.now += 9 * DAY;
    story.think(Book::default());
    assert_eq!(story.budget(), Some(0), "it would have thawed after two days");
    let pinned = story.governor.pin(freeze, false, Timestamp::from_seconds(story.now));
    assert_eq!(pinned.expect("still in force").touched.len(), 1);
    assert!(story.budget() > Some(0));
    let (mut story, freeze) = frozen();
    let now = Timestamp::from_seconds(story.now);
    story.governor.pin(freeze, true, now).expect("in force");
    story.governor.pin(freeze, false, now).expect("in force");
    assert_eq!(story.budget(), Some(0), "what is left of the freeze is left");
}

#[test]
fn a_pinned_stop_outlives_its_day_and_can_be_released_after_it() {
    let mut story = Story::cold("standard");
    story.told(&[(Answered::Accepted, 30), (refused(Signal::Reputation, false), 3)]);
    let stop = story.active(DecisionRule::WarmupStop).expect("a stop");
    story.governor.pin(stop, true, Timestamp(0)).expect("in force");
    story.now = 3 * DAY;
    story.think(Book::default());
    assert_eq!(story.budget(), Some(0));
    assert_eq!(story.active(DecisionRule::WarmupStop), Some(stop));
    story.governor.undo(stop, Timestamp::from_seconds(story.now)).expect("in force");
    assert!(story.budget() > Some(0));
}

#[test]
fn a_pinned_day_is_not_replaced_by_later_days_until_the_warm_up_is_resumed() {
    let mut story = Story::cold("standard");
    story.told(&[(Answered::Accepted, 50)]);
    story.now = DAY;
    story.think(Book::default());
    let day = story.active(DecisionRule::WarmupDay).expect("the verdict of the first day");
    story.governor.pin(day, true, Timestamp::from_seconds(DAY)).expect("in force");
    let held = story.budget();
    for days in 2..5 {
        story.told(&[(Answered::Accepted, held.unwrap_or(0))]);
        story.now = days * DAY;
        let thoughts = story.think(Book::default());
        assert!(thoughts.decisions.is_empty(), "{:?}", thoughts.decisions);
    }
    assert_eq!((story.active(DecisionRule::WarmupDay), story.budget()), (Some(day), held));
    let limit = story.governor.planner.all().next().expect("one").limit;
    let thoughts = story.governor.let_go(limit);
    assert_eq!(thoughts.changed[0].state, DecisionState::Past);
    assert_eq!(story.active(DecisionRule::WarmupDay), None);
}

#[test]
fn what_a_warm_up_decides_has_an_end_and_a_thaw_is_no_alarm() {
    let mut story = Story::cold("standard");
    let at = |days: i64| Some(Timestamp::from_seconds(days * DAY));
    let mut ends = Vec::new();
    for day in 1..=3 {
        let thoughts = story.told(&[(refused(Signal::Reputation, true), 3)]);
        let stop = thoughts.decisions.iter().find(|one| one.rule == DecisionRule::WarmupStop);
        assert_eq!(stop.expect("a stop").expires_at, at(day), "the end of its day");
        story.now = day * DAY;
        let thoughts = story.think(Book::default());
        assert_eq!(story.active(DecisionRule::WarmupStop), None, "not after day {day}");
        // A probe after the block of the source, too.
        let of_it = thoughts.decisions.iter().filter(|one| what_of(one.rule).is_none());
        ends.extend(of_it.map(|one| (one.rule, one.expires_at)));
    }
    use DecisionRule::{WarmupDay, WarmupFreeze, WarmupThaw};
    assert_eq!(ends, [(WarmupDay, at(2)), (WarmupDay, at(3)), (WarmupFreeze, at(5))]);
    story.now = 5 * DAY;
    let thoughts = story.think(Book::default());
    let rules: Vec<_> = thoughts.decisions.iter().map(|one| one.rule).collect();
    assert!(rules.contains(&WarmupThaw), "{rules:?}");
    assert!(thoughts.alarms.is_empty(), "{:?}", thoughts.alarms);
    assert_eq!(story.active(WarmupFreeze), None);
}

#[test]
fn what_was_undone_is_not_done_again_within_the_hour_of_whatever_kind_it_is() {
    let mut story = Story::cold("standard");
    let words = [(refused(Signal::Content, true), 8), (refused(Signal::Reputation, true), 3)];
    let thoughts = story.told(&words);
    let mut rules: Vec<_> = thoughts.decisions.iter().map(|one| one.rule).collect();
    rules.sort_unstable();
    use DecisionRule::{Block, CampaignContent, WarmupStop};
    assert_eq!(rules, [WarmupStop, Block, CampaignContent]);
    for decision in thoughts.decisions {
        story.governor.undo(decision.id, Timestamp(0)).expect("in force");
    }
    story.now = 3000;
    assert!(story.told(&words).decisions.is_empty());
    story.now = 3601;
    assert_eq!(story.told(&words).decisions.len(), 3);
}

#[test]
fn a_stop_that_a_person_has_pinned_is_not_replaced_by_a_rule() {
    let mut story = Story::default();
    let words = [(refused(Signal::Content, true), 8)];
    let thoughts = story.told(&words);
    let (id, limit) = (thoughts.decisions[0].id, thoughts.decisions[0].limit);
    story.governor.pin(id, true, Timestamp(0)).expect("in force");
    story.now = 5 * 3600;
    let thoughts = story.told(&words);
    assert!(thoughts.decisions.is_empty() && thoughts.removed.is_empty(), "{thoughts:?}");
    assert_eq!(story.governor.active().next().and_then(|one| one.limit), limit);
}
