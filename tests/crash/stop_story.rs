//! SIGTERM under load (G21): nobody is cut off without a word, nothing is lost, nothing doubled.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::daemon::{Base, Daemon};
use super::kill_story::{faultless, sinks, submitter};
use crate::support::ledger::Ledger;
use crate::support::{PATIENCE, until};

/// From the signal to the end of the process: below the limit of 30 s that a stop has.
const STOP_MAX: Duration = Duration::from_secs(25);
const LIVES: usize = 3;
/// Taken in each life before it is ended.
const MAILS: usize = 120;

async fn stop_story(base: Base) {
    let ledger = Ledger::default();
    let sinks = sinks(&ledger).await;
    let Some(mut daemon) = Daemon::new(base, &sinks, None).await else { return };
    let client = submitter(&ledger, &daemon);
    let stop = client.stop.clone();
    let clients = tokio::spawn(async move { client.run(12, u64::MAX).await });
    for life in 0..LIVES {
        daemon.start();
        let enough = ledger.acknowledged() + MAILS;
        until("mail is taken", || ledger.acknowledged() >= enough).await;
        let (status, took) = tokio::task::block_in_place(|| daemon.terminate());
        eprintln!("{base:?}, life {life}: {status} after {took:.0?}");
        assert!(status.success(), "{status}: {}", daemon.last_words());
        assert!(took < STOP_MAX, "{took:?}: {}", daemon.last_words());
        assert!(daemon.outcomes_are_gone(), "an end in order leaves nothing to replay");
        assert_eq!(daemon.states().await.get("leased"), None, "an end in order leases nothing");
        daemon.is_sound();
    }
    daemon.start();
    stop.store(true, Ordering::Relaxed);
    clients.await.expect("no client panics");
    daemon.drained_within(PATIENCE * 4).await;
    assert!(daemon.terminate().0.success());
    let reckoning = ledger.reckon();
    eprintln!("{base:?}: {} deliveries acknowledged", reckoning.acknowledged);
    faultless(&reckoning);
    let doubled: Vec<_> = ledger.lives().into_iter().filter(|(_, lives)| lives.len() > 1).collect();
    assert!(doubled.is_empty(), "came twice: {doubled:?}");
    assert!(reckoning.arrived_unacknowledged.is_empty(), "taken without an answer");
    let cut_off = &reckoning.cut_off;
    assert!(cut_off.is_empty(), "sessions ended without a word: {cut_off:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sigterm_under_load_loses_and_doubles_nothing_and_every_session_hears_of_it_on_sqlite() {
    stop_story(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sigterm_under_load_loses_and_doubles_nothing_and_every_session_hears_of_it_on_postgres() {
    stop_story(Base::Postgres).await;
}
