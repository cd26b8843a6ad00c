//! What a reservation costs: 100,000 rows, 1,000 sources at 50 operators.
//!
//! `cargo bench --bench limits`. Each source has a day budget and a rate at each operator (100,000
//! rows), and wider rows stand above them: 20 messages a second for each source at each site,
//! connections for each site, a quota of the organization, a budget of the installation. Prints
//! nanoseconds of wall time for one `reserve` that is granted and offered, and for one that is
//! denied, at 1 and 2 threads, seven rounds. The aim is 2,000.

use std::time::{Duration, Instant};

use postroad::model::*;
use postroad::schedule::limits::Limits;
use postroad::schedule::limits::calendar::Calendar;

const SOURCES: i64 = 1_000;
const OPERATORS: i64 = 50;
const RESERVATIONS: i64 = 400_000;
const DAY: Duration = Duration::from_secs(24 * 3600);
const NOW: Timestamp = Timestamp::from_seconds(1_767_600_000);

fn main() {
    let limits = table();
    println!("{} rows", limits.all().len());
    println!("{:>8} {:>12} {:>12}", "threads", "granted ns", "denied ns");
    for threads in [1, 2] {
        for _ in 0..7 {
            let granted = measure(&limits, threads, OrganizationId(1));
            let denied = measure(&limits, threads, OrganizationId(2));
            println!("{threads:>8} {granted:>12} {denied:>12}");
        }
    }
}

fn table() -> Limits {
    let limits = Limits::new(Calendar::utc());
    let mut id = 0;
    let mut add = |from, to, who, metric, value, window: Duration| {
        id += 1;
        let class = (metric == Metric::Messages && window == DAY).then_some(StreamClass::Marketing);
        limits.put(Limit {
            id: LimitId(id),
            scope: LimitScope { from, to, who, class },
            metric,
            value,
            window: Some(window).filter(|window| !window.is_zero()),
            pace: Pace::Fixed,
            origin: Origin::WarmUp,
            reason: "warm-up day 6 of 30, plan standard".to_owned(),
            expires_at: None,
            pinned: false,
        });
    };
    let (second, plenty) = (Duration::from_secs(1), 1 << 40);
    for source in 1..=SOURCES {
        for operator in 1..=OPERATORS {
            let from = FromScope::Source(SourceId(source));
            let to = ToScope::Operator(OperatorId(operator));
            add(from, to.clone(), WhoScope::Everybody, Metric::Messages, plenty, DAY);
            add(from, to, WhoScope::Everybody, Metric::Messages, 1 << 28, second);
        }
    }
    let (all, any) = (FromScope::Installation, ToScope::Anywhere);
    let organization = |id| WhoScope::Organization(OrganizationId(id));
    add(
        FromScope::EachSource,
        ToScope::EachSite,
        WhoScope::Everybody,
        Metric::Messages,
        1 << 28,
        second,
    );
    add(all, ToScope::EachSite, WhoScope::Everybody, Metric::Connections, 20, Duration::ZERO);
    add(all, any.clone(), organization(1), Metric::Messages, plenty, DAY);
    add(all, any.clone(), organization(2), Metric::Messages, 0, DAY);
    add(all, any, WhoScope::Everybody, Metric::Messages, plenty, DAY);
    limits
}

/// Nanoseconds of one thread for one reservation.
fn measure(limits: &Limits, threads: i64, organization: OrganizationId) -> u128 {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || reserve(limits, thread, organization));
        }
    });
    started.elapsed().as_nanos() / RESERVATIONS.unsigned_abs() as u128
}

fn reserve(limits: &Limits, thread: i64, organization: OrganizationId) {
    let domain = Domain::parse("example.com").expect("lawful");
    let mut attempt = Attempt {
        source: SourceId(1),
        operator: OperatorId(1),
        site: SiteId(1),
        domain,
        organization,
        stream: StreamId(1),
        class: StreamClass::Marketing,
        campaign: Some(CampaignId(4)),
        sending_domain: Some(DomainId(5)),
    };
    for turn in 0..RESERVATIONS {
        // A stride that is prime to both walks over all pairs in no order that a cache likes.
        let pair = (turn * 7919 + thread * 31) % (SOURCES * OPERATORS);
        attempt.source = SourceId(1 + pair / OPERATORS);
        attempt.operator = OperatorId(1 + pair % OPERATORS);
        attempt.site = SiteId(attempt.operator.0);
        if let Ok(mut permit) = limits.reserve(std::hint::black_box(&attempt), 1, NOW) {
            permit.offer();
        }
    }
}
