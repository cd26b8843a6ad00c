//! What was forecast, beside what then happened in the simulation.

use super::*;
use crate::clock::Clock;
use crate::schedule::governor::Numbers as _;
use crate::schedule::limits::calendar::Calendar;
use crate::schedule::warmup::course::Course;
use crate::schedule::warmup::plan::Plan;
use crate::world::tolerance::{Model, Offer, Trust};

const START: i64 = 1_800_057_600 / 86_400 * 86_400;

fn member(source: i64) -> PoolMember {
    PoolMember { pool: PoolId::DEFAULT, source: SourceId(source), weight: 1, share_max: None }
}

/// One source that was never warmed up.
fn warm(limits: Limits) -> Standing {
    let (governor, pool, pools) = (Governor::default(), vec![member(1)], BTreeMap::new());
    Standing { governor, limits, pool, pools }
}

/// Messages a day, for somebody.
fn daily(to: ToScope, who: WhoScope, value: u64) -> Limit {
    Limit {
        id: LimitId(1),
        scope: LimitScope { from: FromScope::Installation, to, who, class: None },
        metric: Metric::Messages,
        value,
        window: Some(Duration::from_secs(86_400)),
        pace: Pace::Fixed,
        origin: Origin::Admin,
        reason: "a quota".into(),
        expires_at: None,
        pinned: true,
    }
}

/// Two cold sources, and the operators of a model who answer them.
struct Simulation {
    model: Model,
    dice: Clock,
    trusts: Vec<Vec<Trust>>,
    run: DryRun,
    left: BTreeMap<OperatorId, u64>,
    ended: BTreeMap<OperatorId, Timestamp>,
    now: Timestamp,
}

impl Simulation {
    fn new(seed: u64, audience: &[u64]) -> Simulation {
        let text = include_str!("../../../benches/warmup-models/common.toml");
        Simulation::of(text, seed, audience)
    }

    /// With a model of how operators answer.
    fn of(text: &str, seed: u64, audience: &[u64]) -> Simulation {
        let model = Model::read(text).expect("lawful");
        let dice = Clock::standing(seed);
        let trusts = (0..2)
            .map(|_| model.operator.iter().map(|one| Trust::new(one, &dice)).collect())
            .collect();
        let pool = vec![member(1), member(2)];
        let limits = Limits::new(Calendar::utc());
        let mut run = DryRun::new(Governor::default(), limits, pool).expect("a dry run");
        for source in 1..=2 {
            for operator in 1..=audience.len() {
                let plan = Plan::named("standard").expect("it ships");
                let course = Course::new(plan, "", 50_000, Default::default()).expect("lawful");
                let (id, limit) = (run.numbers.warmup(), run.numbers.limit());
                let subject = WarmSubject::Source(SourceId(source));
                let operator = OperatorId(operator as i64);
                run.governor.planner.put(Warmup { id, subject, operator, limit, course });
            }
        }
        let left = (1..).map(OperatorId).zip(audience.iter().copied()).collect();
        let now = Timestamp::from_seconds(START);
        Simulation { model, dice, trusts, run, left, ended: BTreeMap::new(), now }
    }

    fn forecast(&self) -> Forecast {
        let standing = Standing {
            governor: self.run.governor.clone(),
            limits: self.run.limits.copied(),
            pool: self.run.pool.clone(),
            pools: BTreeMap::new(),
        };
        let open = self.left.iter().filter(|(_, count)| **count > 0);
        let question = Question {
            audience: open.map(|(id, count)| (*id, *count)).collect(),
            accepted: self.left.keys().map(|id| (*id, 0.98)).collect(),
            begins_at: self.now,
            ..Question::default()
        };
        forecast(&question, standing).expect("there are sources")
    }

    /// Until then, or until all is sent.
    fn go_on(&mut self, until: Timestamp) {
        self.run.begin(self.now);
        while self.now < until && self.left.values().any(|count| *count > 0) {
            self.run.look(self.now);
            for operator in self.left.keys().copied().collect::<Vec<_>>() {
                self.send(operator);
            }
            self.now = self.now + TICK;
        }
    }

    fn send(&mut self, operator: OperatorId) {
        while let Some(count) = self.left.get(&operator).copied().filter(|count| *count > 0) {
            let class = StreamClass::Marketing;
            let wish = Wish { class, operator, count, now: self.now, within: TICK };
            let Some(placed) = self.run.place(&wish) else { return };
            let at = (operator.0 - 1) as usize;
            let trust = &mut self.trusts[(placed.source.0 - 1) as usize][at];
            let offer = Offer { count: placed.count, invalid: 0.02, complaint: 0.0005 };
            let answer = trust.offer(&self.model.operator[at], self.now, offer, &self.dice);
            let again = answer.deferred_volume + answer.deferred_rate + answer.blocked;
            let refused = |signal, for_good| Answered::Refused { signal, for_good };
            for (answer, count) in [
                (Answered::Accepted, answer.accepted),
                (refused(Signal::InvalidRecipient, true), answer.invalid),
                (refused(Signal::Reputation, false), answer.deferred_volume),
                (refused(Signal::Rate, false), answer.deferred_rate),
                (refused(Signal::Reputation, true), answer.blocked),
            ] {
                if count > 0 {
                    self.run.tell(&Lesson {
                        source: placed.source,
                        operator,
                        site: None,
                        class,
                        campaign: None,
                        sending_domain: None,
                        answer,
                        count,
                        sample: None,
                    });
                }
            }
            if again > 0 {
                self.run.look(self.now);
            }
            let left = self.left.entry(operator).or_default();
            *left -= placed.count - again;
            if *left == 0 {
                self.ended.insert(operator, self.now + TICK);
            }
        }
    }
}

fn assert_near(forecast: &Forecast, ended: &BTreeMap<OperatorId, Timestamp>, now: Timestamp) {
    for one in &forecast.operators {
        let told = one.ends_at.expect("within the horizon").since(now).as_secs_f64();
        let took = ended[&one.operator].since(now).as_secs_f64();
        let off = (told - took).abs() / took;
        assert!(off <= 0.1, "operator {}: told {told} s, took {took} s", one.operator);
    }
}

#[test]
fn a_forecast_is_within_a_tenth_of_what_then_happens_at_the_start_and_half_way() {
    let common = include_str!("../../../benches/warmup-models/common.toml");
    let uneven = include_str!("../../../benches/warmup-models/uneven.toml");
    for (model, seed) in [(common, 1), (common, 2), (common, 3), (uneven, 1), (uneven, 2)] {
        let mut simulation = Simulation::of(model, seed, &[40_000, 20_000, 10_000]);
        let begun = simulation.now;
        let at_start = simulation.forecast();
        assert!(at_start.bottleneck.as_ref().is_some_and(|text| text.contains("warm-up")));
        let half = at_start.ends_at.expect("an end").since(begun) / 2;
        simulation.go_on(begun + half);
        let (middle, half_way) = (simulation.now, simulation.forecast());
        simulation.go_on(begun + HORIZON);
        assert_near(&at_start, &simulation.ended, begun);
        assert_near(&half_way, &simulation.ended, middle);
    }
}

#[test]
fn one_more_source_ends_it_sooner_and_a_warm_one_is_bound_by_its_pace_alone() {
    let simulation = Simulation::new(1, &[40_000]);
    let standing = || Standing {
        governor: simulation.run.governor.clone(),
        limits: simulation.run.limits.copied(),
        pool: simulation.run.pool.clone(),
        pools: BTreeMap::new(),
    };
    let question = Question {
        audience: BTreeMap::from([(OperatorId(1), 40_000)]),
        begins_at: simulation.now,
        ..Question::default()
    };
    let ends = |standing| forecast(&question, standing).and_then(|told| told.ends_at);
    let (two, three) =
        (ends(standing()), ends(standing().with_one_more([OperatorId(1)].into_iter())));
    assert!(three < two && three.is_some(), "{three:?} {two:?}");
    let limits = Limits::new(Calendar::utc());
    let warm = Standing { governor: Governor::default(), limits, ..standing() };
    let end = ends(warm).expect("an end").since(simulation.now);
    assert!(end <= Duration::from_secs(2 * 3600), "{end:?}");
}

/// A quota of the source, of which the morning has used the most.
#[test]
fn what_today_has_used_of_a_limit_is_not_there_any_more() {
    let limits = Limits::new(Calendar::utc());
    let from = FromScope::Source(SourceId(1));
    let (to, who, class) = (ToScope::Anywhere, WhoScope::Everybody, None);
    limits.put(Limit {
        id: LimitId(1),
        scope: LimitScope { from, to, who, class },
        metric: Metric::Messages,
        value: 1000,
        window: Some(Duration::from_secs(86_400)),
        pace: Pace::Fixed,
        origin: Origin::Admin,
        reason: "the source's quota".into(),
        expires_at: None,
        pinned: true,
    });
    let now = Timestamp::from_seconds(START + 12 * 3600);
    let ends = |limits: &Limits| {
        let standing = Standing {
            governor: Governor::default(),
            limits: limits.copied(),
            pool: vec![member(1)],
            pools: BTreeMap::new(),
        };
        let audience = BTreeMap::from([(OperatorId(1), 500)]);
        let question = Question { audience, begins_at: now, ..Question::default() };
        forecast(&question, standing).and_then(|told| told.ends_at).expect("an end").since(now)
    };
    assert!(ends(&limits) < Duration::from_secs(3600));
    let mut run = DryRun::new(Governor::default(), limits.copied(), vec![member(1)]);
    let run = run.as_mut().expect("a dry run");
    let (class, operator) = (StreamClass::Transactional, OperatorId(2));
    let wish = Wish { class, operator, count: 900, now, within: TICK };
    assert_eq!(run.place(&wish).map(|placed| placed.count), Some(900));
    assert!(ends(&run.limits) > Duration::from_secs(11 * 3600), "it goes on tomorrow");
    assert!(ends(&limits) < Duration::from_secs(3600), "a copy changes nothing of the first");
}

#[test]
fn what_never_ends_is_said_to_and_nothing_to_send_ends_at_once() {
    let stopped = Limit {
        id: LimitId(1),
        scope: LimitScope {
            from: FromScope::Installation,
            to: ToScope::Operator(OperatorId(1)),
            who: WhoScope::Everybody,
            class: None,
        },
        metric: Metric::Messages,
        value: 0,
        window: None,
        pace: Pace::Fixed,
        origin: Origin::Admin,
        reason: "closed by hand".into(),
        expires_at: None,
        pinned: true,
    };
    let standing = |rows: Vec<Limit>| {
        let limits = Limits::new(Calendar::utc());
        rows.into_iter().for_each(|limit| limits.put(limit));
        warm(limits)
    };
    let question = Question {
        audience: BTreeMap::from([(OperatorId(1), 10), (OperatorId(2), 0)]),
        begins_at: Timestamp::from_seconds(START),
        ..Question::default()
    };
    let told = forecast(&question, standing(vec![stopped])).expect("a source");
    assert_eq!((told.ends_at, told.operators[0].ends_at), (None, None));
    assert_eq!(told.operators[0].bottleneck.as_deref(), Some("closed by hand"));
    assert_eq!(told.operators[1].ends_at, Some(question.begins_at));
    let none = Standing { pool: Vec::new(), ..standing(Vec::new()) };
    assert_eq!(forecast(&question, none), None);
}

#[test]
fn a_quota_counts_for_whose_it_is_and_a_row_for_one_site_for_nobody() {
    let whose = Whose {
        organization: OrganizationId(3),
        stream: StreamId(5),
        campaign: Some(CampaignId(7)),
        sending_domain: Some(DomainId(9)),
    };
    let days = |limit: Limit, whose: Whose| {
        let limits = Limits::new(Calendar::utc());
        limits.put(limit);
        let question = Question {
            audience: BTreeMap::from([(OperatorId(1), 1000)]),
            whose,
            begins_at: Timestamp::from_seconds(START),
            ..Question::default()
        };
        let told = forecast(&question, warm(limits)).and_then(|told| told.ends_at);
        told.expect("an end").since(question.begins_at).as_secs() / 86_400
    };
    let anywhere = ToScope::Anywhere;
    for who in [
        WhoScope::Organization(OrganizationId(3)),
        WhoScope::Stream(StreamId(5)),
        WhoScope::Campaign(CampaignId(7)),
        WhoScope::SendingDomain(DomainId(9)),
    ] {
        let limit = daily(anywhere.clone(), who, 300);
        assert_eq!(days(limit.clone(), whose), 3, "{who}");
        assert_eq!(days(limit, Whose::default()), 0, "{who} is not nobody");
    }
    let first = daily(anywhere, WhoScope::Organization(OrganizationId::FIRST), 300);
    assert_eq!(days(first, whose), 0);
    let site = daily(ToScope::Site(SiteId(1)), WhoScope::Everybody, 300);
    assert_eq!(days(site, whose), 0, "operator 1 is not site 1");
}

#[test]
fn a_sending_domain_that_is_warmed_up_grows_in_a_forecast_as_it_would() {
    let domain = DomainId(9);
    let mut standing = warm(Limits::new(Calendar::utc()));
    let plan = Plan::of_curve(vec![100, 200, 400]).expect("lawful");
    let course = Course::new(plan, "", 400, Default::default()).expect("lawful");
    let (id, limit, operator) = (WarmupId(1), LimitId(1), OperatorId(1));
    let subject = WarmSubject::Domain(domain);
    standing.governor.planner.put(Warmup { id, subject, operator, limit, course });
    let whose = Whose { sending_domain: Some(domain), ..Whose::default() };
    let question = Question {
        audience: BTreeMap::from([(operator, 600)]),
        whose,
        begins_at: Timestamp::from_seconds(START),
        ..Question::default()
    };
    let end = forecast(&question, standing).and_then(|told| told.ends_at).expect("an end");
    assert_eq!(
        end.since(question.begins_at).as_secs() / 86_400,
        2,
        "100, 200, and the most of 400"
    );
}

#[test]
fn closed_hours_and_pools_by_operator_are_kept_and_what_waits_before_is_nobodys() {
    let begins_at = Timestamp::from_seconds(START);
    let hour = |hours: i64| Timestamp::from_seconds(START + hours * 3600);
    let mut standing = warm(Limits::new(Calendar::utc()));
    standing.pools.insert(OperatorId(2), Vec::new());
    // What waits before it is not the campaign's, and is not held to its throttle.
    standing.limits.put(daily(ToScope::Anywhere, WhoScope::Campaign(CampaignId(7)), 5000));
    let question = Question {
        audience: BTreeMap::from([(OperatorId(1), 1000), (OperatorId(2), 10)]),
        backlog: BTreeMap::from([(OperatorId(1), 20_000)]),
        whose: Whose { campaign: Some(CampaignId(7)), ..Whose::default() },
        closed: vec![(begins_at, hour(7))],
        begins_at,
        ..Question::default()
    };
    let told = forecast(&question, standing).expect("a source");
    let first = &told.operators[0];
    let end = first.ends_at.expect("an end");
    assert!(end > hour(7) && end < hour(9), "{first:?}");
    assert_eq!(first.bottleneck.as_deref(), Some("the hours in which it is sent"));
    let second = &told.operators[1];
    assert_eq!(second.ends_at, None, "nobody of its pool may send");
    assert_eq!(second.bottleneck.as_deref(), Some("no source of its pool may send"));
}

#[test]
fn one_more_source_beside_warm_ones_is_cold_all_the_same() {
    let question = Question {
        audience: BTreeMap::from([(OperatorId(1), 200_000)]),
        begins_at: Timestamp::from_seconds(START),
        ..Question::default()
    };
    let ends = |standing: Standing| {
        let told = forecast(&question, standing).and_then(|told| told.operators[0].ends_at);
        told.expect("an end").since(question.begins_at)
    };
    let limits = || Limits::new(Calendar::utc());
    let (one, more) =
        (ends(warm(limits())), ends(warm(limits()).with_one_more([OperatorId(1)].into_iter())));
    assert!(one > Duration::from_secs(5 * 3600), "{one:?}");
    assert!(more + Duration::from_secs(3600) >= one, "50 mails are not half of it: {more:?}");
}
