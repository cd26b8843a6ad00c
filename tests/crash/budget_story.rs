//! A day budget over many kills: never exceeded, and hardly anything of it wasted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use postroad::clock::Clock;
use postroad::model::*;
use postroad::store::{LimitRow, Store};

use super::daemon::{Base, Daemon, SENDER};
use super::kill_story::dice;
use crate::support::ledger::{Habits, Ledger, Manner, Sink, Submitter};

/// On each database, unless `POSTROAD_BUDGET_KILLS` names another number.
const KILLS: usize = 4;
/// Recipients for each kill, so that all of them happen while there is something left.
const BUDGET_PER_KILL: u64 = 100;
/// The budget of which a hundredth at most may be wasted.
const BUDGET_MIN: u64 = 300;
const PATIENCE: Duration = Duration::from_secs(120);

fn limit(scope: LimitScope, metric: Metric, value: u64, window: Option<Duration>) -> LimitRow {
    let limit = Limit {
        id: LimitId(0),
        scope,
        metric,
        value,
        window,
        pace: Pace::Fixed,
        origin: Origin::WarmUp,
        reason: "a test".to_owned(),
        expires_at: None,
        pinned: false,
    };
    LimitRow { limit, name: None, created_at: Timestamp(0) }
}

/// One connection, so that one recipient at a time is under way; and a budget for a year, which no
/// midnight renews while the story runs.
async fn set_limits(daemon: &Daemon, budget: u64) {
    let store = Store::open(&daemon.location, 1, Clock::system()).await.expect("opens");
    let scope = LimitScope {
        from: FromScope::Installation,
        to: ToScope::Anywhere,
        who: WhoScope::Everybody,
        class: None,
    };
    let year = Some(Duration::from_secs(365 * 24 * 3600));
    let rows = vec![
        limit(scope.clone(), Metric::Messages, budget, year),
        limit(scope, Metric::Connections, 1, None),
    ];
    store.put_limits(rows, &[]).await.expect("written");
    store.close().await;
}

fn arrived(ledger: &Ledger) -> u64 {
    ledger.lives().values().map(|lives| lives.len() as u64).sum()
}

async fn budget_story(base: Base) {
    let asked = std::env::var("POSTROAD_BUDGET_KILLS").ok().and_then(|kills| kills.parse().ok());
    let kills: usize = asked.unwrap_or(KILLS);
    let budget = BUDGET_MIN.max(kills as u64 * BUDGET_PER_KILL);
    let ledger = Ledger::default();
    let habits = Habits {
        transaction: Arc::new(|_| Manner::Accept),
        recipients_deferred_every: 0,
        delay: Duration::from_millis(2),
    };
    let address = ([127, 0, 15, 1], 0).into();
    let sink = Sink::with(&ledger, address, habits).await.expect("binds");
    let Some(mut daemon) = Daemon::new(base, std::slice::from_ref(&sink), None).await else {
        return;
    };
    set_limits(&daemon, budget).await;
    let mut submitter = Submitter::new(&ledger, daemon.address, SENDER, "unused.test");
    submitter.recipients = Arc::new(|number| vec![format!("r{number}@d0.test")]);
    submitter.pause = Duration::from_millis(5);
    let stop = submitter.stop.clone();
    let client = tokio::spawn(async move { submitter.run(4, u64::MAX).await });
    for kill in 0..kills {
        let share = budget * (kill as u64 + 1) / (kills as u64 + 1);
        tokio::task::block_in_place(|| daemon.start());
        let started = Instant::now();
        // Somewhere within this life's share of the budget.
        let until = share.saturating_sub(dice(BUDGET_PER_KILL / 2));
        while arrived(&ledger) < until {
            assert!(started.elapsed() < PATIENCE, "{} of {until}", arrived(&ledger));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        daemon.kill();
        sink.quiet().await;
        ledger.next_life();
    }
    tokio::task::block_in_place(|| daemon.start());
    let started = Instant::now();
    // A start may take longer than the silence that tells that nothing more comes.
    while arrived(&ledger) < budget - kills as u64 {
        assert!(started.elapsed() < PATIENCE, "{} of {budget}", arrived(&ledger));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (mut last, mut since) = (arrived(&ledger), Instant::now());
    while since.elapsed() < Duration::from_secs(3) {
        assert!(started.elapsed() < PATIENCE, "it goes on and on");
        tokio::time::sleep(Duration::from_millis(20)).await;
        if arrived(&ledger) > last {
            (last, since) = (arrived(&ledger), Instant::now());
        }
    }
    stop.store(true, Ordering::Relaxed);
    daemon.kill();
    client.await.expect("no client panics");
    eprintln!("{base:?}: {kills} kills, {last} of {budget} arrived");
    assert!(last <= budget, "{last} of {budget}: a kill gave some of it anew");
    // What was under way at a kill may have been offered without an answer.
    let wasted = budget - last;
    assert!(wasted <= kills as u64, "{wasted} of {budget} were wasted by {kills} kills");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_kill_exceeds_a_budget_or_wastes_more_than_was_under_way_on_sqlite() {
    budget_story(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_kill_exceeds_a_budget_or_wastes_more_than_was_under_way_on_postgres() {
    budget_story(Base::Postgres).await;
}
