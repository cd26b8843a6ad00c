//! The power fails under the whole daemon: at each moment of its writes, and between them.
//!
//! Two lives are recorded, one ended in order and one by a kill. What a cut leaves is opened as the
//! next start would open it, and everything that was acknowledged before must be there.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad::app::App;
use postroad::clock::Clock;
use postroad::config::{Route, Settings};
use postroad::model::{BodyRef, SegmentId, TlsMode};
use postroad::queue::check::Audit;
use postroad::queue::{Queue, QueueOptions};
use postroad::spool::{Spool, SpoolOptions};
use postroad::store::{Location, Store};
use sqlx::{Connection as _, Row as _};

use super::daemon::{Base, Daemon};
use super::disk::Survivors;
use super::kill_story::{sinks, submitter};
use super::power_cut;
use super::recorder::Recording;
use super::trace::Trace;
use crate::support::PATIENCE;
use crate::support::ledger::{Ledger, Submitter};

/// The moments of the product that this story must have come to.
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
/// At how many of each the power fails.
const EACH_MOMENT: usize = 3;
/// And at how many points of no name.
const OTHERS: usize = 16;
const SEGMENT_BYTES: u64 = 1 << 20;
const SESSIONS: usize = 8;

/// Syncs that no promise stands on, each with its reason.
const UNMISSED: [(&str, &str); 4] = [
    // The keys of return paths and links: no mail of this story carries one.
    ("token-keys.new", "data and inode"),
    // Another sync of the data directory (SQLite's, for files of its own) follows before anything
    // is acknowledged.
    ("", "names made"),
    // A segment that comes back holds nothing that is owed, so the next sweep takes it again. That
    // its number is not given a second time is a promise of the spool, and its own story's.
    ("spool", "names removed"),
    // A sync for a new segment that by chance follows a removal; that for a new segment alone is
    // asked for above all.
    ("spool", "names made and removed"),
];

/// What the story tells, and what lay there before it began.
struct Story {
    ledger: Ledger,
    recording: Recording,
    image: tempfile::TempDir,
    trace: Trace,
    /// Places in the trace at which one mail alone was acknowledged: the first of a life, so that
    /// its segment has been synced once and not again.
    alone: Vec<u64>,
}

async fn recorded() -> Story {
    let (ledger, recording) = (Ledger::default(), Arc::new(Recording::new()));
    let sinks = sinks(&ledger).await;
    let daemon = Daemon::new(Base::Sqlite, &sinks, Some(recording.directory())).await;
    let mut daemon = daemon.expect("SQLite is always there");
    let image = tempfile::tempdir().expect("a directory");
    for entry in recording.directory().read_dir().expect("seeded") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        std::fs::copy(&path, image.path().join(name)).expect("copies");
    }
    let mut client: Submitter = submitter(&ledger, &daemon);
    client.long_bodies = Some((4, 60_000));
    let place = recording.clone();
    client.stamp = Arc::new(move || place.written());

    let mut alone = Vec::new();
    daemon.spawn(|command| recording.equip(command));
    daemon.wait_until_greeted();
    client.run(1, 1).await;
    alone.push(recording.written());
    client.run(SESSIONS, 320).await;
    first_segment_goes(&recording.directory().join("spool")).await;
    client.run(SESSIONS, 40).await;
    assert!(daemon.terminate().0.success(), "{}", daemon.last_words());

    daemon.spawn(|command| recording.equip(command));
    daemon.wait_until_greeted();
    client.run(1, 1).await;
    alone.push(recording.written());
    client.run(SESSIONS, 60).await;
    daemon.kill();
    let trace = recording.trace();
    drop((client, daemon));
    let recording = Arc::into_inner(recording).expect("nobody else holds it");
    Story { ledger, recording, image, trace, alone }
}

/// The sweep of the spool comes ten seconds after the start.
async fn first_segment_goes(spool: &Path) {
    let segments = || {
        let entries = spool.read_dir().expect("a spool").map(|entry| entry.expect("an entry"));
        entries.map(|entry| entry.file_name()).min()
    };
    let (started, first) = (Instant::now(), segments());
    while segments() == first {
        assert!(started.elapsed() < PATIENCE * 2, "nothing was swept: {first:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Some of each moment, and some of the rest.
fn points(trace: &Trace, alone: &[u64]) -> Vec<usize> {
    let behind = |stamp: &u64| trace.ends.partition_point(|end| end <= stamp);
    let mut chosen: BTreeSet<usize> = alone.iter().map(behind).collect();
    for moment in MOMENTS {
        let marks = trace.marks().filter(|(_, name)| *name == moment);
        let marks: Vec<usize> = marks.map(|(index, _)| index).collect();
        assert!(!marks.is_empty(), "the story never came to {moment}");
        let last = marks.len() - 1;
        chosen.extend((0..EACH_MOMENT).map(|at| marks[last * at / (EACH_MOMENT - 1)] + 1));
    }
    chosen.extend(power_cut::points(trace, OTHERS, |_| false));
    chosen.into_iter().collect()
}

/// A message as the ledger that was found has it.
#[derive(Default)]
struct Found {
    deliveries: usize,
    is_owed: bool,
    body: Option<BodyRef>,
}

async fn messages(directory: &Path) -> sqlx::Result<HashMap<String, Found>> {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(directory.join("ledger.sqlite"))
        .read_only(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
    let sql = "SELECT m.id, d.state, m.body_segment, m.body_offset, m.body_length \
               FROM messages m JOIN deliveries d ON d.message = m.id";
    let mut messages: HashMap<String, Found> = HashMap::new();
    for row in sqlx::query(sql).fetch_all(&mut connection).await? {
        let found = messages.entry(row.get::<i64, _>(0).to_string()).or_default();
        found.deliveries += 1;
        let state: String = row.get(1);
        found.is_owed |= matches!(state.as_str(), "waiting" | "leased" | "held");
        let number = |column: usize| row.get::<i64, _>(column).cast_unsigned();
        let segment = SegmentId(row.get(2));
        found.body = Some(BodyRef { segment, offset: number(3), length: number(4) });
    }
    connection.close().await?;
    Ok(messages)
}

/// Opens what was found as a start does, without sending anything.
async fn check(directory: &Path, story: &Story, stamp: u64) -> Result<(), String> {
    let clock = Clock::standing(1);
    let location = Location::Sqlite(directory.to_owned());
    let store = Store::open(&location, 1, clock.clone()).await.map_err(|e| e.to_string())?;
    let options = SpoolOptions { segment_bytes: SEGMENT_BYTES, free_bytes_min: 0 };
    let spool = Spool::open(&directory.join("spool"), options).map_err(|e| e.to_string())?;
    let options = QueueOptions {
        node: 1,
        memory_bytes: 1 << 20,
        expire_after: Duration::from_secs(60),
        keep_bodies: Duration::ZERO,
        keep_dialogues: Duration::from_secs(3600),
    };
    let queue = Queue::open(store.clone(), spool.clone(), directory, options, clock);
    let (queue, _) = queue.map_err(|e| e.to_string())?;
    let found = Audit::new(store.clone(), spool.clone()).run().await;
    let wrong = found.map_err(|e| e.to_string())?.wrong;
    if let Some(first) = wrong.first() {
        return Err(format!("{first} ({} in all)", wrong.len()));
    }
    let found = messages(directory).await.map_err(|e| e.to_string())?;
    for promise in story.ledger.promises_by(stamp) {
        let Some(message) = found.get(&promise.message) else {
            return Err(format!("acknowledged message {} is not there", promise.message));
        };
        if message.deliveries != promise.recipients {
            return Err(format!("message {} has lost a recipient", promise.message));
        }
        if let (true, Some(body)) = (message.is_owed, message.body) {
            let body = spool.read(body).await.map_err(|e| e.to_string())?;
            if !body.ends_with(&promise.body) {
                return Err(format!("message {} has another body", promise.message));
            }
        }
    }
    drop(queue);
    spool.close().await;
    store.close().await;
    Ok(())
}

/// The whole daemon starts on it, settles what the outcome log holds, and stops again. Its mail
/// finds no host.
async fn start(directory: &Path) -> Result<(), String> {
    let mut settings = Settings::default();
    settings.node.data_dir = directory.to_owned();
    settings.node.dkim_dir = directory.join("dkim-keys");
    settings.spool.segment_bytes = SEGMENT_BYTES;
    settings.spool.free_bytes_min = 0;
    settings.smtp.submission = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    settings.smtp.submissions = Vec::new();
    settings.http.listen = Vec::new();
    settings.route = vec![Route {
        name: "nowhere".to_owned(),
        domains: vec!["*".to_owned()],
        host: Some("127.0.14.99".to_owned()),
        port: Some(9),
        tls: Some(TlsMode::None),
        ..Route::default()
    }];
    let app = App::start(settings, Clock::standing(1)).await.map_err(|e| e.to_string())?;
    let found = Audit::new(app.store().clone(), app.spool().clone()).run().await;
    app.stop().await.map_err(|e| e.to_string())?;
    match found.map_err(|e| e.to_string())?.wrong.first() {
        Some(wrong) => Err(format!("after a start: {wrong}")),
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(debug_assertions), ignore = "a release build carries no moments")]
async fn no_power_cut_loses_mail_that_the_daemon_has_acknowledged_and_each_sync_is_needed_for_it() {
    let story = recorded().await;
    let trace = &story.trace;
    let points = points(trace, &story.alone);
    let runtime = tokio::runtime::Handle::current();
    let started = Instant::now();
    let mut checks = 0;
    let mut check = |directory: &Path, index: usize, survivors: Survivors| {
        checks += 1;
        let stamp = trace.stamp_before(index);
        runtime.block_on(async {
            check(directory, &story, stamp).await?;
            // A start costs much more than a look; every sixth cut gets one.
            if checks % 6 == 0 && survivors != Survivors::None {
                start(directory).await
            } else {
                Ok(())
            }
        })
    };
    tokio::task::block_in_place(|| {
        let directory = story.recording.directory();
        let image = Some(story.image.path());
        power_cut::every_sync_is_needed(trace, &directory, image, &points, &UNMISSED, &mut check);
    });
    eprintln!(
        "{} acknowledged deliveries, {} entries, {} points, {checks} cuts in {:.0?}",
        story.ledger.reckon().acknowledged,
        trace.entries.len(),
        points.len(),
        started.elapsed()
    );
}
