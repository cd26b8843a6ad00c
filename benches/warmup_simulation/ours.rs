//! Ours: the governor, the order of sources and the limits that the daemon runs with.
//!
//! Owns:       the courses that are begun, the relay's quota, answers turned into lessons.
//! Promises:   nothing is decided here: `DryRun` wires the shipped parts together.
//! Knows not:  what operators tolerate.

use std::collections::HashSet;

use postroad::model::*;
use postroad::schedule::forecast::{DryRun, Wish};
use postroad::schedule::governor::book::{Answered, Lesson};
use postroad::schedule::governor::{Governor, Numbers as _};
use postroad::schedule::limits::Limits;
use postroad::schedule::limits::calendar::Calendar;
use postroad::schedule::warmup::Warmup;
use postroad::schedule::warmup::course::Course;
use postroad::schedule::warmup::plan::Plan;
use postroad::world::tolerance::{Answer, Model};

use crate::run::{Placed, Scheme, TICK};

/// What a pair is to carry in the end, beside an even share of what is wanted.
const HEADROOM: f64 = 1.3;
/// Of the relay's quota, what stays free for transactional mail: what is usual, and a fifth more.
const KEPT_FREE: f64 = 1.2;

pub struct Ours {
    run: DryRun,
}

impl Ours {
    pub fn new(model: &Model, plan: &str) -> Ours {
        let sources = model.sender.sources;
        let mut governor = Governor::default();
        governor.set_relays(HashSet::from([source_id(sources)]));
        let pool = (0..=sources).map(|at| member(source_id(at))).collect();
        let limits = Limits::new(Calendar::utc());
        let mut run = DryRun::new(governor, limits, pool).expect("a dry run");
        for source in 0..sources {
            for (operator, one) in model.operator.iter().enumerate() {
                let even = model.sender.wanted as f64 * one.share / sources as f64;
                let plan = Plan::named(plan).expect("it ships");
                let target = (even * HEADROOM) as u64;
                let course = Course::new(plan, &one.name, target, Default::default());
                let (id, limit) = (run.numbers.warmup(), run.numbers.limit());
                run.governor.planner.put(Warmup {
                    id,
                    subject: WarmSubject::Source(source_id(source)),
                    operator: operator_id(operator),
                    limit,
                    course: course.expect("lawful"),
                });
            }
        }
        let quota = model.sender.relay_quota;
        let relay = source_id(sources);
        put_relay_limit(&mut run, relay, None, quota);
        let usual = model.sender.wanted as f64 * model.sender.transactional_share;
        let share = quota.saturating_sub((usual * KEPT_FREE) as u64);
        put_relay_limit(&mut run, relay, Some(StreamClass::Marketing), share);
        Ours { run }
    }
}

fn member(source: SourceId) -> PoolMember {
    PoolMember { pool: PoolId::DEFAULT, source, weight: 1, share_max: None }
}

fn put_relay_limit(run: &mut DryRun, relay: SourceId, class: Option<StreamClass>, value: u64) {
    let from = FromScope::Source(relay);
    let (to, who) = (ToScope::Anywhere, WhoScope::Everybody);
    run.limits.put(Limit {
        id: run.numbers.limit(),
        scope: LimitScope { from, to, who, class },
        metric: Metric::Messages,
        value,
        window: Some(std::time::Duration::from_secs(86_400)),
        pace: Pace::Fixed,
        origin: Origin::Admin,
        reason: "the relay's quota".into(),
        expires_at: None,
        pinned: true,
    });
}

fn source_id(at: usize) -> SourceId {
    SourceId(at as i64 + 1)
}

fn operator_id(at: usize) -> OperatorId {
    OperatorId(at as i64 + 1)
}

impl Scheme for Ours {
    fn begin_day(&mut self, now: Timestamp) {
        self.run.begin(now);
    }

    fn tick(&mut self, now: Timestamp) {
        self.run.look(now);
    }

    fn place(
        &mut self,
        class: StreamClass,
        operator: usize,
        count: u64,
        now: Timestamp,
    ) -> Option<Placed> {
        let wish = Wish { class, operator: operator_id(operator), count, now, within: TICK };
        let placed = self.run.place(&wish)?;
        Some(Placed { source: (placed.source.0 - 1) as usize, count: placed.count })
    }

    fn told(
        &mut self,
        placed: &Placed,
        operator: usize,
        class: StreamClass,
        answer: &Answer,
        now: Timestamp,
    ) {
        let refused = |signal, for_good| Answered::Refused { signal, for_good };
        let unknown = "451 4.7.1 more than we want from a source of this reputation";
        let counts = [
            (Answered::Accepted, answer.accepted, None),
            (refused(Signal::InvalidRecipient, true), answer.invalid, Some("550 5.1.1 unknown")),
            (refused(Signal::Reputation, false), answer.deferred_volume, Some(unknown)),
            (refused(Signal::Rate, false), answer.deferred_rate, Some("421 4.7.28 unusual rate")),
            (refused(Signal::Reputation, true), answer.blocked, Some("550 5.7.1 blocked")),
        ];
        for (answer, count, sample) in counts.into_iter().filter(|(_, count, _)| *count > 0) {
            self.run.tell(&Lesson {
                source: source_id(placed.source),
                operator: operator_id(operator),
                site: None,
                class,
                campaign: None,
                sending_domain: None,
                answer,
                count,
                sample,
            });
        }
        // The daemon looks twice a second: what a source has left for transactional mail is known.
        if answer.accepted < placed.count || class == StreamClass::Transactional {
            self.run.look(now);
        }
    }

    fn complained(&mut self, source: usize, operator: usize, count: u64, _: Timestamp) {
        self.run.complain(source_id(source), operator_id(operator), count);
    }

    fn picks_engaged(&self) -> bool {
        true
    }

    fn note(&self) -> String {
        let mut line = String::new();
        for warmup in self.run.governor.planner.all() {
            if warmup.subject == WarmSubject::Source(SourceId(1)) {
                let course = &warmup.course;
                let state = &course.state.word()[..1];
                line += &format!(" {}:{}{state}", warmup.operator, course.cap());
            }
        }
        line
    }
}
