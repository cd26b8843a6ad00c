//! The body spool and the outcome log on a disk that really fills up.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use postroad::model::{Blame, BodyRef, DeliveryId, Outcome, Timestamp};
use postroad::queue::outcome_log::{OutcomeLog, Record};
use postroad::spool::{Spool, SpoolError, SpoolOptions};

use crate::support::PATIENCE;

/// A tmpfs of its own; unmounted when dropped.
struct SmallDisk(PathBuf, Option<tempfile::TempDir>);

impl SmallDisk {
    /// None, said aloud, where this process may not mount.
    fn of(mebibytes: u32) -> Option<SmallDisk> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_owned();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "postroad-test"])
            .arg(&path)
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(path, Some(directory)));
        }
        eprintln!("SKIPPED: no right to mount a tmpfs, so a full disk was NOT tested");
        None
    }

    /// What somebody else writes, until nothing more goes in.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("somebody-else");
        let mut chunk = 1 << 20;
        let mut file = std::fs::File::create(&path).expect("makes");
        while chunk > 0 {
            if std::io::Write::write_all(&mut file, &vec![1; chunk]).is_err() {
                chunk /= 4;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(done.is_ok_and(|status| status.success()), "umount {}", self.0.display());
        drop(self.1.take());
    }
}

fn body(seed: u8, length: usize) -> Bytes {
    (0..length).map(|at| seed ^ (at % 251) as u8).collect::<Vec<u8>>().into()
}

fn open(directory: &Path, free_bytes_min: u64) -> Spool {
    let options = SpoolOptions { segment_bytes: 4 << 20, free_bytes_min };
    Spool::open(&directory.join("spool"), options).expect("opens")
}

/// Appends until the spool refuses; the places and the refusal.
async fn until_refused(spool: &Spool, length: usize) -> (Vec<BodyRef>, SpoolError) {
    let mut places = Vec::new();
    for _ in 0..100_000 {
        match spool.append(body(7, length)).await {
            Ok(place) => places.push(place),
            Err(error) => return (places, error),
        }
    }
    panic!("a small disk takes no 100,000 bodies");
}

async fn until_taken(spool: &Spool, length: usize) {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if spool.has_room(length as u64) && spool.append(body(8, length)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("mail is not taken again although there is room");
}

async fn all_whole(spool: &Spool, places: &[BodyRef], length: usize) {
    for place in places {
        assert_eq!(spool.read(*place).await.expect("reads"), body(7, length));
    }
}

#[tokio::test]
async fn the_spool_stops_at_the_reserve_and_goes_on_by_itself_when_there_is_room() {
    let Some(disk) = SmallDisk::of(32) else { return };
    let spool = open(&disk.0, 8 << 20);
    let (places, refusal) = until_refused(&spool, 10_000).await;
    assert!(matches!(refusal, SpoolError::Full(_)), "{refusal}");
    assert!(places.len() > 1800, "22 MiB take more than {} bodies", places.len());
    assert!(!spool.has_room(10_000));
    all_whole(&spool, &places, 10_000).await;

    for segment in spool.sealed().into_iter().take(2) {
        spool.remove(segment).await.expect("removal needs no room");
    }
    until_taken(&spool, 10_000).await;
}

#[tokio::test]
async fn without_a_reserve_the_disks_own_refusal_damages_nothing() {
    let Some(disk) = SmallDisk::of(16) else { return };
    for length in [10_000, 100] {
        let spool = open(&disk.0, 0);
        let (places, refusal) = until_refused(&spool, length).await;
        assert!(matches!(refusal, SpoolError::Full(_)), "{refusal}");
        all_whole(&spool, &places, length).await;
        spool.close().await;
        let spool = open(&disk.0, 0);
        all_whole(&spool, &places, length).await;
        spool.close().await;
    }
}

#[tokio::test]
async fn on_a_disk_that_others_fill_to_the_brim_outcomes_are_still_recorded() {
    let Some(disk) = SmallDisk::of(32) else { return };
    let spool = open(&disk.0, 16 << 20);
    let place = spool.append(body(7, 10_000)).await.expect("appends");
    let outcomes = disk.0.join("outcomes");
    let (log, _) = OutcomeLog::open(&outcomes).expect("opens");
    let record = |delivery| Record {
        delivery: DeliveryId(delivery),
        tries: 1,
        outcome: Outcome::Deferred { reply: None, blame: Blame::Host, reason: "gone".into() },
        fields: serde_json::json!({}),
        pin: None,
        at: Timestamp(0),
    };
    let mut tickets = vec![log.append(&[record(0)]).expect("appends")];
    let filled = disk.fill();
    for delivery in 1..2000 {
        tickets.push(log.append(&[record(delivery)]).expect("its room was set aside"));
    }
    let until = Instant::now() + PATIENCE;
    while std::fs::write(disk.0.join("ledger"), vec![1; 1 << 20]).is_err() {
        assert!(Instant::now() < until, "the reserve is given back for the ledger");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(spool.append(body(7, 10)).await, Err(SpoolError::Full(_))));
    all_whole(&spool, &[place], 10_000).await;
    std::fs::remove_file(filled).expect("removes");
    until_taken(&spool, 10_000).await;

    std::mem::forget(log);
    let (_log, found) = OutcomeLog::open(&outcomes).expect("opens");
    assert_eq!(found.len(), tickets.len());
}

#[tokio::test]
async fn an_outcome_that_found_no_room_leaves_the_ones_before_and_after_it_whole() {
    let Some(disk) = SmallDisk::of(4) else { return };
    let (log, _) = OutcomeLog::open(&disk.0.join("outcomes")).expect("opens");
    let record = |delivery| Record {
        delivery: DeliveryId(delivery),
        tries: 1,
        outcome: Outcome::AnswerNotSeen { reason: "x".repeat(9000) },
        fields: serde_json::Value::Null,
        pin: None,
        at: Timestamp(0),
    };
    let mut written = Vec::new();
    for delivery in 0..2000 {
        match log.append(&[record(delivery)]) {
            Ok(_ticket) => written.push(delivery),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::StorageFull),
        }
        if delivery == 1000 {
            assert!(written.len() < 900, "the disk was full");
            let first = std::fs::read_dir(disk.0.join("outcomes")).expect("lists");
            let first = first.map(|entry| entry.expect("lists").path()).min().expect("a file");
            std::fs::remove_file(first).expect("removes");
        }
    }
    std::mem::forget(log);
    let (_log, found) = OutcomeLog::open(&disk.0.join("outcomes")).expect("opens");
    let found: Vec<i64> = found.iter().map(|record| record.delivery.0).collect();
    assert!(found.len() > 200 && written.ends_with(&found), "whole and in order");
}
