use std::time::Duration;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MONDAY: Timestamp = Timestamp::from_seconds(1_767_571_200);

fn everywhere() -> LimitScope {
    LimitScope {
        from: FromScope::Installation,
        to: ToScope::Anywhere,
        who: WhoScope::Everybody,
        class: None,
    }
}

fn limit(id: i64, scope: LimitScope, metric: Metric, value: u64, window: Duration) -> Limit {
    Limit {
        id: LimitId(id),
        scope,
        metric,
        value,
        window: Some(window).filter(|window| !window.is_zero()),
        pace: Pace::Fixed,
        origin: Origin::Admin,
        reason: format!("row {id}"),
        expires_at: None,
        pinned: false,
    }
}

fn attempt(source: i64, class: StreamClass) -> Attempt {
    Attempt {
        source: SourceId(source),
        operator: OperatorId(7),
        site: SiteId(70),
        domain: Domain::parse("example.com").expect("lawful"),
        organization: OrganizationId(1),
        stream: StreamId(2),
        class,
        campaign: None,
        sending_domain: None,
    }
}

fn of(rows: Vec<Limit>) -> Limits {
    let limits = Limits::new(Calendar::utc());
    limits.replace(rows);
    limits
}

/// Offers until it is denied; how many went out, and what stopped them.
fn exhaust(limits: &Limits, attempt: &Attempt, now: Timestamp) -> (u64, Denial) {
    let mut sent = 0;
    loop {
        match limits.reserve(attempt, 10, now) {
            Ok(mut permit) => {
                permit.offer();
                sent += permit.count();
            }
            Err(denial) => return (sent, *denial),
        }
        assert!(sent < 1_000_000, "nothing stops it");
    }
}

#[test]
fn of_all_limits_that_cover_an_attempt_the_smallest_wins() {
    let scope = everywhere();
    let to = ToScope::Operator(OperatorId(7));
    let rows = vec![
        limit(1, scope.clone(), Metric::Messages, 1000, DAY),
        limit(2, LimitScope { to, ..scope.clone() }, Metric::Messages, 30, DAY),
        limit(
            3,
            LimitScope { to: ToScope::Operator(OperatorId(8)), ..scope.clone() },
            Metric::Messages,
            1,
            DAY,
        ),
        limit(
            4,
            LimitScope { from: FromScope::Source(SourceId(2)), ..scope.clone() },
            Metric::Messages,
            25,
            DAY,
        ),
    ];
    let limits = of(rows);
    let (sent, denial) = exhaust(&limits, &attempt(2, StreamClass::Marketing), MONDAY);
    assert_eq!((sent, denial.limit, denial.until), (25, LimitId(4), Some(MONDAY + DAY)));
    let (sent, denial) = exhaust(&limits, &attempt(1, StreamClass::Marketing), MONDAY);
    assert_eq!((sent, denial.limit), (5, LimitId(2)), "both count at the operator");
    assert_eq!(limits.usage(LimitId(1), MONDAY)[0].1.used, 30, "a denied one gives all back");
}

#[test]
fn a_row_for_each_source_counts_them_apart() {
    let to = ToScope::Operator(OperatorId(7));
    let scope = LimitScope { from: FromScope::EachSource, to, ..everywhere() };
    let limits = of(vec![limit(1, scope, Metric::Messages, 10, DAY)]);
    for source in 1..=3 {
        assert_eq!(exhaust(&limits, &attempt(source, StreamClass::Marketing), MONDAY).0, 10);
    }
    assert_eq!(limits.usage(LimitId(1), MONDAY).len(), 3);
}

#[test]
fn every_scope_covers_what_lies_in_it() {
    let mut sent = attempt(1, StreamClass::Marketing);
    sent.campaign = Some(CampaignId(5));
    sent.sending_domain = Some(DomainId(6));
    let from = [
        FromScope::Installation,
        FromScope::Pool(PoolId(9)),
        FromScope::Source(SourceId(1)),
        FromScope::EachSource,
    ];
    let to = [
        ToScope::Anywhere,
        ToScope::Operator(OperatorId(7)),
        ToScope::Site(SiteId(70)),
        ToScope::Domain(Domain::parse("example.com").expect("lawful")),
        ToScope::EachSite,
    ];
    let who = [
        WhoScope::Everybody,
        WhoScope::Organization(OrganizationId(1)),
        WhoScope::Stream(StreamId(2)),
        WhoScope::Campaign(CampaignId(5)),
        WhoScope::SendingDomain(DomainId(6)),
    ];
    let mut other = attempt(2, StreamClass::Marketing);
    (other.operator, other.site) = (OperatorId(8), SiteId(80));
    other.domain = Domain::parse("example.net").expect("lawful");
    (other.organization, other.stream) = (OrganizationId(2), StreamId(3));
    for from in from {
        for (to, who) in to.iter().flat_map(|to| who.iter().map(move |who| (to, who))) {
            let scope = LimitScope { from, to: to.clone(), who: *who, class: None };
            let limits = of(vec![limit(1, scope.clone(), Metric::Messages, 0, DAY)]);
            limits.set_pools(HashMap::from([(SourceId(1), vec![PoolId(4), PoolId(9)])]));
            assert!(limits.reserve(&sent, 1, MONDAY).is_err(), "{scope:?}");
            let (wide, each) = (everywhere(), scope.from == FromScope::EachSource);
            let all = (each || scope.from == wide.from)
                && (scope.to == wide.to || scope.to == ToScope::EachSite)
                && scope.who == wide.who;
            assert_eq!(limits.reserve(&other, 1, MONDAY).is_err(), all, "{scope:?}");
        }
    }
}

#[test]
fn transactional_mail_overdraws_a_row_for_marketing_and_that_is_recorded() {
    let scope = LimitScope { class: Some(StreamClass::Marketing), ..everywhere() };
    let limits = of(vec![limit(1, scope, Metric::Messages, 50, DAY)]);
    let (sent, _) = exhaust(&limits, &attempt(1, StreamClass::Marketing), MONDAY);
    assert_eq!(sent, 50);
    for _ in 0..7 {
        let mut permit = limits.reserve(&attempt(1, StreamClass::Transactional), 1, MONDAY);
        permit.as_mut().expect("it never waits for a warm-up").offer();
    }
    assert_eq!(limits.usage(LimitId(1), MONDAY)[0].1, Usage { used: 57, overdrawn: 7 });
    assert!(limits.explain(&attempt(1, StreamClass::Transactional), MONDAY).is_empty());
}

#[test]
fn what_was_not_offered_comes_back() {
    let limits = of(vec![limit(1, everywhere(), Metric::Messages, 5, DAY)]);
    let sent = attempt(1, StreamClass::Marketing);
    let permit = limits.reserve(&sent, 100, MONDAY).expect("there is room");
    assert_eq!(permit.count(), 5);
    assert!(limits.would_grant(&sent, MONDAY).is_err());
    drop(permit);
    let mut permit = limits.reserve(&sent, 3, MONDAY).expect("all came back");
    permit.offer();
    permit.take_back();
    drop(permit);
    let mut permit = limits.reserve(&sent, 3, MONDAY).expect("nothing had been offered");
    permit.shrink(2);
    permit.offer();
    drop(permit);
    assert_eq!(limits.usage(LimitId(1), MONDAY)[0].1.used, 2);
}

#[tokio::test]
async fn a_closed_connection_is_handed_to_who_waits_for_it() {
    let scope = LimitScope { to: ToScope::Operator(OperatorId(7)), ..everywhere() };
    let limits = of(vec![limit(1, scope, Metric::Connections, 2, Duration::ZERO)]);
    let sent = attempt(1, StreamClass::Marketing);
    let open: Vec<Permit> = (0..2).map(|_| limits.open(&sent, MONDAY).expect("room")).collect();
    let denial = limits.open(&sent, MONDAY).map(|_| ()).expect_err("it is full");
    assert_eq!((denial.metric, denial.until), (Metric::Connections, None));
    assert!(limits.wait_for_release(&sent, &denial, MONDAY));
    drop(open);
    assert_eq!(limits.released().await, [SiteId(70)]);
    assert!(!limits.wait_for_release(&sent, &denial, MONDAY), "it has opened meanwhile");
}

#[test]
fn a_row_that_is_over_stops_nobody_and_a_denial_ends_with_its_row() {
    let mut row = limit(1, everywhere(), Metric::Messages, 0, DAY);
    row.expires_at = Some(MONDAY + HOUR);
    let limits = of(vec![row]);
    let sent = attempt(1, StreamClass::Marketing);
    let denial = limits.would_grant(&sent, MONDAY).expect_err("it stops all");
    assert_eq!(denial.until, Some(MONDAY + HOUR));
    assert!(limits.would_grant(&sent, MONDAY + HOUR).is_ok());
    assert_eq!(limits.sweep(MONDAY + HOUR), [LimitId(1)]);
    assert!(limits.all().is_empty());
}

#[test]
fn a_row_that_is_changed_keeps_what_was_used() {
    let limits = of(vec![limit(1, everywhere(), Metric::Messages, 50, DAY)]);
    let sent = attempt(1, StreamClass::Marketing);
    assert_eq!(exhaust(&limits, &sent, MONDAY).0, 50);
    limits.put(limit(1, everywhere(), Metric::Messages, 70, DAY));
    assert_eq!(exhaust(&limits, &sent, MONDAY).0, 20);
    limits.put(limit(1, everywhere(), Metric::Messages, 70, HOUR));
    assert_eq!(exhaust(&limits, &sent, MONDAY).0, 70, "another window is another count");
}

#[test]
fn explain_names_every_limit_that_stands_in_the_way() {
    let organization = WhoScope::Organization(OrganizationId(1));
    let rows = vec![
        limit(1, everywhere(), Metric::Messages, 3, DAY),
        limit(2, LimitScope { who: organization, ..everywhere() }, Metric::Messages, 3, HOUR),
        limit(3, everywhere(), Metric::Messages, 100, DAY),
        limit(4, everywhere(), Metric::Connections, 0, Duration::ZERO),
    ];
    let limits = of(rows);
    let sent = attempt(1, StreamClass::Marketing);
    let (count, _) = exhaust(&limits, &sent, MONDAY);
    assert_eq!(count, 3);
    let mut ids: Vec<i64> =
        limits.explain(&sent, MONDAY).iter().map(|denial| denial.limit.0).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 4]);
}

#[test]
fn many_threads_together_never_take_more_than_there_is() {
    let to = ToScope::Operator(OperatorId(7));
    let scope = LimitScope { from: FromScope::EachSource, to, ..everywhere() };
    let limits = of(vec![
        limit(1, scope, Metric::Messages, 10_000, DAY),
        limit(2, everywhere(), Metric::Messages, 15_000, DAY),
    ]);
    let total = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let (limits, total) = (&limits, &total);
            threads.spawn(move || {
                let sent = attempt(thread % 2, StreamClass::Marketing);
                let (count, _) = exhaust(limits, &sent, MONDAY);
                total.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
            });
        }
    });
    let total = total.into_inner();
    assert_eq!(limits.usage(LimitId(2), MONDAY)[0].1.used, total);
    assert!(total <= 15_000, "{total}");
}

#[test]
fn counts_at_rest_are_forgotten() {
    let scope = LimitScope { from: FromScope::EachSource, ..everywhere() };
    let limits = of(vec![limit(1, scope, Metric::Messages, 10, DAY)]);
    for source in 0..100 {
        exhaust(&limits, &attempt(source, StreamClass::Marketing), MONDAY);
    }
    limits.sweep(MONDAY + HOUR);
    assert_eq!(limits.usage(LimitId(1), MONDAY + HOUR).len(), 100);
    limits.sweep(MONDAY + DAY);
    assert!(limits.usage(LimitId(1), MONDAY + DAY).is_empty());
}
