//! The daemon is killed again and again while mail flows in and out, and nothing accepted is lost.
//!
//! What comes twice is bounded: between the arrivals there was a kill, and at that kill neither
//! the ledger nor the outcome log knew of the first.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::daemon::{Base, Daemon, SENDER};
use super::recorder::Recording;
use crate::support::ledger::{Delivered, Habits, Ledger, Manner, Reckoning, Sink, Submitter};

const SINKS: u64 = 4;
const SESSIONS: usize = 8;
/// On each database, unless `POSTROAD_CRASH_KILLS` names the sum for both.
const KILLS: usize = 17;
/// Where the daemon is stopped besides random moments. The first of a segment's removal comes with
/// the first sweep, ten seconds after a start.
const MOMENTS: [&str; 11] = [
    "spool_written",
    "spool_synced",
    "rows_writing",
    "rows_committed",
    "outcome_appended",
    "deliveries_moving",
    "settle_committed",
    "spool_segment_made",
    "spool_segment_sealed",
    "spool_segment_unlinked",
    "spool_segment_removed",
];
const MOMENT_WAIT: Duration = Duration::from_secs(14);
const DRAIN_WAIT: Duration = Duration::from_secs(120);

/// One in twenty mails and one in forty recipients are deferred; all answers take a while.
fn habits() -> Habits {
    let manner = |count: u64| if count % 20 == 7 { Manner::Defer } else { Manner::Accept };
    Habits {
        transaction: Arc::new(manner),
        recipients_deferred_every: 40,
        delay: Duration::from_millis(20),
    }
}

pub async fn sinks(ledger: &Ledger) -> Vec<Sink> {
    let mut sinks = Vec::new();
    for number in 1..=SINKS {
        let address = ([127, 0, 14, number as u8], 0).into();
        sinks.push(Sink::with(ledger, address, habits()).await.expect("binds"));
    }
    sinks
}

/// One recipient mostly; each seventh mail has several, in two domains, one of them refused.
pub fn recipients(number: u64) -> Vec<String> {
    let domain = |shift: u64| format!("d{}.test", (number + shift) % SINKS);
    if number % 7 != 3 {
        return vec![format!("r{number}@{}", domain(0))];
    }
    vec![
        format!("r{number}@{}", domain(0)),
        format!("s{number}@{}", domain(0)),
        format!("refused{number}@{}", domain(0)),
        format!("t{number}@{}", domain(1)),
    ]
}

pub fn submitter(ledger: &Ledger, daemon: &Daemon) -> Submitter {
    let mut submitter = Submitter::new(ledger, daemon.address, SENDER, "unused.test");
    submitter.recipients = Arc::new(recipients);
    submitter.long_bodies = Some((10, 40_000));
    submitter.pause = Duration::from_millis(10);
    submitter
}

/// What the kills of one story brought.
#[derive(Default)]
struct Toll {
    /// At the end of each life: what the daemon had noted as delivered.
    noted: Vec<HashSet<Delivered>>,
    at_moments: Vec<&'static str>,
    at_random: usize,
    /// Had arrived, and was not noted: what may come twice.
    unnoted: usize,
}

impl Toll {
    fn kills(&self) -> usize {
        self.at_random + self.at_moments.len()
    }

    /// Reads what the dead daemon has left, before the next one starts.
    async fn read(&mut self, daemon: &Daemon, ledger: &Ledger, sinks: &[Sink]) {
        for sink in sinks {
            sink.quiet().await;
        }
        let (noted, life) = (daemon.noted().await, self.noted.len());
        let arrived_now = ledger.lives().into_iter().filter(|(_, lives)| lives.contains(&life));
        self.unnoted += arrived_now.filter(|(delivered, _)| !noted.contains(delivered)).count();
        self.noted.push(noted);
        ledger.next_life();
    }

    /// How many rows' mail arrived more than once; each of them must be excused by a kill.
    fn doubled(&self, ledger: &Ledger) -> usize {
        let mut doubled = 0;
        for (delivered, lives) in ledger.lives() {
            for pair in lives.windows(2) {
                doubled += 1;
                assert!(pair[0] < pair[1], "{delivered:?} came twice in one life");
                let noted = &self.noted[pair[0]..pair[1]];
                assert!(
                    noted.iter().all(|noted| !noted.contains(&delivered)),
                    "{delivered:?} came again although its delivery was noted: {lives:?}"
                );
            }
        }
        doubled
    }
}

pub fn faultless(reckoning: &Reckoning) {
    assert!(reckoning.lost.is_empty(), "lost: {:?}", reckoning.lost);
    assert!(reckoning.damaged.is_empty(), "damaged: {:?}", reckoning.damaged);
    assert!(reckoning.arrived_refused.is_empty(), "refused: {:?}", reckoning.arrived_refused);
    assert!(reckoning.split.is_empty(), "two messages for one key: {:?}", reckoning.split);
    assert_eq!(reckoning.strangers, 0, "mail that nobody handed in");
}

/// One life: it ends at the `count`-th `moment`, or by a kill after a random while.
fn live(daemon: &mut Daemon, moment: Option<(&'static str, u64)>, while_alive: Duration) -> bool {
    let Some((name, count)) = moment else {
        daemon.start();
        std::thread::sleep(while_alive);
        assert!(daemon.has_ended().is_none(), "it has died by itself: {}", daemon.last_words());
        daemon.kill();
        return false;
    };
    let recording = Recording::new();
    daemon.spawn(|command| {
        // What it records is an empty place: only the moments matter here.
        recording.equip(command);
        command.env("RECORDER_KILL_AT", format!("{name}:{count}"));
    });
    let started = Instant::now();
    let mut ended = None;
    while ended.is_none() && started.elapsed() < MOMENT_WAIT {
        std::thread::sleep(Duration::from_millis(10));
        ended = daemon.has_ended();
    }
    assert!(
        ended.is_none_or(|status| status.signal() == Some(libc::SIGKILL)),
        "it has died by itself: {}",
        daemon.last_words()
    );
    daemon.kill();
    ended.is_some()
}

/// Random enough for moments of death, without a promise to be anything else.
pub fn dice(bound: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(bound) % bound
}

/// Kills `kills` times, each moment at least once when there are enough of them.
async fn kills(daemon: &mut Daemon, ledger: &Ledger, sinks: &[Sink], kills: usize) -> Toll {
    let mut toll = Toll::default();
    let mut moments = MOMENTS.iter().cycle();
    for number in 0..kills {
        let count = 1 + dice(30);
        // Every third one at random; one whose moment is not reached counts as random, too.
        let moment = if number % 3 == 2 { None } else { moments.next() };
        // Segments come and go slowly.
        let moment = moment.map(|name| (*name, if name.contains("segment") { 1 } else { count }));
        let while_alive = Duration::from_millis(50 + dice(900));
        let hit = tokio::task::block_in_place(|| live(daemon, moment, while_alive));
        match moment {
            Some((name, _)) if hit => toll.at_moments.push(name),
            _ => toll.at_random += 1,
        }
        toll.read(daemon, ledger, sinks).await;
        if number % 4 == 3 {
            daemon.is_sound();
        }
    }
    toll
}

async fn kill_story(base: Base) {
    let asked = std::env::var("POSTROAD_CRASH_KILLS").ok().and_then(|kills| kills.parse().ok());
    let wanted = asked.map_or(KILLS, |kills: usize| kills.div_ceil(2).max(1));
    let ledger = Ledger::default();
    let sinks = sinks(&ledger).await;
    let Some(mut daemon) = Daemon::new(base, &sinks, None).await else { return };
    let mut keyed = submitter(&ledger, &daemon);
    keyed.keyed = true;
    // What has no key is not handed in again, so its fate shows what a 250 alone is worth.
    let mut plain = submitter(&ledger, &daemon);
    plain.stop = keyed.stop.clone();
    let stop = keyed.stop.clone();
    let started = Instant::now();
    let clients = [keyed, plain]
        .map(|one| tokio::spawn(async move { one.run(SESSIONS / 2, u64::MAX).await }));
    let mut toll = kills(&mut daemon, &ledger, &sinks, wanted).await;
    daemon.start();
    daemon.is_sound();
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no client panics");
    }
    daemon.drained_within(DRAIN_WAIT).await;
    let (status, _) = daemon.terminate();
    assert!(status.success(), "{status}: {}", daemon.last_words());
    toll.read(&daemon, &ledger, &sinks).await;
    daemon.is_sound();
    let (reckoning, doubled) = (ledger.reckon(), toll.doubled(&ledger));
    eprintln!(
        "{base:?}: {} kills ({} at random, the others at {:?}) in {:.0?}: {} deliveries \
         acknowledged, {} lost, {} damaged, {} reported as refused, {} arrived without an \
         acknowledgement, {doubled} came twice of {} that could",
        toll.kills(),
        toll.at_random,
        toll.at_moments,
        started.elapsed(),
        reckoning.acknowledged,
        reckoning.lost.len(),
        reckoning.damaged.len(),
        reckoning.reported,
        reckoning.arrived_unacknowledged.len(),
        toll.unnoted,
    );
    faultless(&reckoning);
    assert!(doubled <= toll.unnoted);
    assert!(reckoning.acknowledged > 20 * toll.kills().min(50), "too little mail to tell");
    assert!(daemon.outcomes_are_gone(), "an end in order leaves nothing to replay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_kill_loses_accepted_mail_or_doubles_what_was_noted_on_sqlite() {
    kill_story(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_kill_loses_accepted_mail_or_doubles_what_was_noted_on_postgres() {
    kill_story(Base::Postgres).await;
}
