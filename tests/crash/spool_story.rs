//! The spool and the outcome log, cut off at every step of their order of writes.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use postroad::model::{Blame, BodyRef, DeliveryId, Outcome, SegmentId, Timestamp};
use postroad::queue::outcome_log::{OutcomeLog, Record};
use postroad::spool::{Spool, SpoolError, SpoolOptions};

use super::disk::{Disk, Survivors};
use super::power_cut;
use super::recorder::{Recording, mark};
use super::trace::Trace;
use crate::support::PATIENCE;

const OPTIONS: SpoolOptions = SpoolOptions { segment_bytes: 48 * 1024, free_bytes_min: 0 };
const CALLERS: u64 = 6;
const TURNS: u64 = 25;
/// The moments of the product that this story must have come to.
const MOMENTS: [&str; 7] = [
    "spool_written",
    "spool_synced",
    "spool_segment_made",
    "spool_segment_sealed",
    "spool_segment_unlinked",
    "spool_segment_removed",
    "outcome_appended",
];

fn body(seed: u64) -> Bytes {
    let length = (seed * 7919 % 9000) as usize;
    let octet = |at: usize| (seed.wrapping_mul(0x9E37_79B9) >> (at % 24)) as u8 ^ (at % 253) as u8;
    (0..length).map(octet).collect::<Vec<u8>>().into()
}

fn outcome(delivery: u64) -> Record {
    Record {
        delivery: DeliveryId(delivery.cast_signed()),
        tries: 1,
        outcome: Outcome::Deferred { reply: None, blame: Blame::Host, reason: "x".repeat(900) },
        fields: serde_json::json!({"delivery": delivery}),
        pin: None,
        at: Timestamp(0),
    }
}

// ---- the process that is recorded ----

/// Not a test of its own: the others start this binary again with the recorder loaded and run it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the other tests of this file, in a process of its own"]
async fn the_recorded_life() {
    // The nightly run includes ignored tests; without the recorder there is nothing to live for.
    let Ok(directory) = std::env::var("RECORDER_DIRECTORY") else { return };
    let directory = Path::new(&directory);
    assert!(mark("life"), "the recorder is loaded");
    let spool = Spool::open(&directory.join("spool"), OPTIONS).expect("opens");
    let (log, _) = OutcomeLog::open(&directory.join("outcomes")).expect("opens");
    let log = std::sync::Arc::new(log);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (spool, log) = (spool.clone(), log.clone());
        callers.spawn(async move {
            for seed in caller * TURNS..(caller + 1) * TURNS {
                submit(&spool, seed).await;
                if seed % 3 == 0 {
                    let ticket = log.append(&[outcome(seed)]).expect("appends");
                    mark(&format!("outcome {seed}"));
                    log.settled(ticket);
                }
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.expect("no caller panics");
    }
    for segment in spool.sealed().into_iter().take(3) {
        mark(&format!("removing {segment}"));
        spool.remove(segment).await.expect("removes");
        mark(&format!("removed {segment}"));
    }
    submit(&spool, 1_000_000).await;
    // An end in order would remove the outcomes, and nothing could be asked of them.
    std::mem::forget(log);
    spool.close().await;
}

/// A mail that is refused for now comes again, as a client's would.
async fn submit(spool: &Spool, seed: u64) {
    let started = std::time::Instant::now();
    while started.elapsed() < PATIENCE {
        match spool.append(body(seed)).await {
            Ok(BodyRef { segment, offset, length }) => {
                mark(&format!("acknowledged {segment} {offset} {length} {seed}"));
                return;
            }
            Err(SpoolError::Io(_) | SpoolError::Full(_)) => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the spool never took the body again");
}

fn live(recording: &Recording, variables: &[(&str, &str)]) -> std::process::ExitStatus {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "crash::spool_story::the_recorded_life", "--ignored", "-q"]);
    command.envs(variables.iter().copied());
    recording.equip(&mut command);
    let output = command.output().expect("starts");
    if !output.status.success() && output.status.signal().is_none() {
        panic!("{}", String::from_utf8_lossy(&output.stdout));
    }
    output.status
}

// ---- what was promised by when ----

#[derive(Default)]
struct Promises {
    acknowledged: Vec<(BodyRef, u64)>,
    removing: BTreeSet<SegmentId>,
    removed: BTreeSet<SegmentId>,
    outcomes: Vec<u64>,
}

/// Those whose mark stands before the entry `index`.
fn promised(trace: &Trace, index: usize) -> Promises {
    let mut promises = Promises::default();
    for (_, name) in trace.marks().take_while(|(at, _)| *at < index) {
        let words: Vec<&str> = name.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        let segment = |at: usize| SegmentId(number(at).cast_signed());
        match words[0] {
            "acknowledged" => {
                let place = BodyRef { segment: segment(1), offset: number(2), length: number(3) };
                promises.acknowledged.push((place, number(4)));
            }
            "removing" => drop(promises.removing.insert(segment(1))),
            "removed" => drop(promises.removed.insert(segment(1))),
            "outcome" => promises.outcomes.push(number(1)),
            _ => {}
        }
    }
    promises
}

async fn check(directory: &Path, promises: &Promises, survivors: Survivors) -> Result<(), String> {
    let spool = Spool::open(&directory.join("spool"), OPTIONS).map_err(|e| e.to_string())?;
    for (place, seed) in &promises.acknowledged {
        if promises.removing.contains(&place.segment) {
            continue;
        }
        match spool.read(*place).await {
            Ok(read) if read == body(*seed) => {}
            Ok(_) => return Err(format!("another body stands at {place:?}")),
            Err(error) => return Err(format!("an acknowledged body is lost: {error}")),
        }
    }
    if let Some(back) = promises.removed.iter().find(|segment| spool.path_of(**segment).exists()) {
        return Err(format!("segment {back} came back"));
    }
    let next = spool.append(body(1)).await.map_err(|e| format!("no mail is taken: {e}"))?;
    if promises.acknowledged.iter().any(|(place, _)| place.segment >= next.segment) {
        return Err(format!("segment number {} is given a second time", next.segment));
    }
    spool.close().await;
    check_outcomes(directory, promises, survivors)
}

/// Nothing is synced there: a kill loses nothing, a power cut may, and neither makes anything up.
fn check_outcomes(
    directory: &Path,
    promises: &Promises,
    survivors: Survivors,
) -> Result<(), String> {
    let opened = OutcomeLog::open(&directory.join("outcomes")).map_err(|e| e.to_string())?;
    let found: BTreeSet<i64> = opened.1.iter().map(|record| record.delivery.0).collect();
    if opened.1.iter().any(|record| *record != outcome(record.delivery.0.cast_unsigned())) {
        return Err("an outcome is not what was written".into());
    }
    let lost = promises.outcomes.iter().find(|at| !found.contains(&at.cast_signed()));
    match (survivors, lost) {
        (Survivors::All, Some(lost)) => Err(format!("outcome {lost} did not survive a kill")),
        _ => Ok(()),
    }
}

fn checked(trace: &Trace) -> impl FnMut(&Path, usize, Survivors) -> Result<(), String> + '_ {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    move |directory, index, survivors| {
        runtime.block_on(check(directory, &promised(trace, index), survivors))
    }
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "a release build carries no moments")]
fn no_acknowledged_body_is_lost_at_any_power_cut_and_each_sync_is_needed_for_it() {
    let recording = Recording::new();
    assert!(live(&recording, &[]).success());
    let trace = recording.trace();
    for moment in MOMENTS {
        let hit = trace.marks().filter(|(_, name)| *name == moment).count();
        assert!(hit > 0, "the story never came to {moment}");
    }
    let points = power_cut::points(&trace, 25, |name| {
        name.starts_with("removed") || (MOMENTS.contains(&name) && name != "outcome_appended")
    });
    let kinds = power_cut::sync_kinds(&trace, &recording.directory(), None);
    let of_spool = ["data", "data and inode", "names made", "names removed"];
    for of in of_spool {
        assert!(kinds.keys().any(|kind| kind.of == of && kind.path.starts_with("spool")), "{of}");
    }
    assert_eq!(kinds.len(), of_spool.len() + 1, "and the name of the spool itself: {kinds:?}");
    let mut check = checked(&trace);
    power_cut::every_sync_is_needed(&trace, &recording.directory(), None, &points, &[], &mut check);
}

#[test]
fn a_second_power_cut_after_a_recovery_loses_nothing_either() {
    for (cut, survivors) in [(3, Survivors::None), (2, Survivors::Some { seed: 9 })] {
        let first = Recording::new();
        assert!(live(&first, &[]).success());
        let trace = first.trace();
        let point = trace.entries.len() * (cut - 1) / cut;
        let kept = promised(&trace, point);
        let image = tempfile::tempdir().expect("a directory");
        let mut disk = Disk::new(&trace, &first.directory(), None);
        disk.advance(point);
        disk.rebuild(image.path(), survivors);

        let second = Recording::new();
        disk.rebuild(&second.directory(), survivors);
        assert!(live(&second, &[]).success());
        let trace = second.trace();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut check = |directory: &Path, index, survivors| {
            let mut promises = promised(&trace, index);
            promises.acknowledged.extend(&kept.acknowledged);
            promises.removing.extend(&kept.removing);
            runtime.block_on(check(directory, &promises, survivors))
        };
        let points = power_cut::points(&trace, 20, |name| name.starts_with("spool_segment"));
        let start = Some(image.path());
        power_cut::survey(&trace, &second.directory(), start, &points, None, &mut check)
            .unwrap_or_else(|broken| panic!("{survivors:?}, then {broken}"));
    }
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "a release build carries no moments")]
fn a_kill_at_each_moment_loses_nothing_that_was_acknowledged() {
    for moment in MOMENTS {
        for count in [1, 2, 20] {
            let recording = Recording::new();
            let at = format!("{moment}:{count}");
            let status = live(&recording, &[("RECORDER_KILL_AT", &at)]);
            let killed = status.signal() == Some(libc::SIGKILL);
            assert!(killed || count > 1, "the life never came to {moment}");
            let trace = recording.trace();
            let index = trace.entries.len();
            let checked = checked(&trace)(&recording.directory(), index, Survivors::All);
            checked.unwrap_or_else(|broken| panic!("killed at {at}: {broken}"));
        }
    }
}

#[test]
fn after_a_sync_or_write_that_failed_nothing_acknowledged_stands_on_it() {
    let faults = [("RECORDER_FAIL_SYNC", ".segment:7:12"), ("RECORDER_FAIL_WRITE", ".segment:5:9")];
    for fault in faults {
        let recording = Recording::new();
        assert!(live(&recording, &[fault]).success());
        let trace = recording.trace();
        let points = power_cut::points(&trace, 20, |name| name == "spool_synced");
        let mut check = checked(&trace);
        power_cut::survey(&trace, &recording.directory(), None, &points, None, &mut check)
            .unwrap_or_else(|broken| panic!("{fault:?}: {broken}"));
    }
}
