//! The recorder sees what SQLite does: rows that were committed are there after any power cut, and
//! not when one of SQLite's syncs is taken away.

use std::path::Path;
use std::process::Command;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};

use super::power_cut;
use super::recorder::{Recording, mark};

const ROWS: i64 = 60;

async fn open(directory: &Path) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(directory.join("ledger.sqlite"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "20")
        .connect()
        .await
}

/// Not a test of its own: the other one starts this binary again with the recorder loaded.
#[tokio::test]
#[ignore = "run by the other test of this file, in a process of its own"]
async fn the_recorded_life() {
    // The nightly run includes ignored tests; without the recorder there is nothing to live for.
    let Ok(directory) = std::env::var("RECORDER_DIRECTORY") else { return };
    assert!(mark("life"), "the recorder is loaded");
    let mut ledger = open(Path::new(&directory)).await.expect("opens");
    let table = "CREATE TABLE mails (id INTEGER PRIMARY KEY, body TEXT NOT NULL)";
    sqlx::query(table).execute(&mut ledger).await.expect("creates");
    for id in 0..ROWS {
        sqlx::query("INSERT INTO mails VALUES ($1, $2)")
            .bind(id)
            .bind("x".repeat(700))
            .execute(&mut ledger)
            .await
            .expect("commits");
        mark(&format!("acknowledged {id}"));
    }
}

async fn count(directory: &Path) -> sqlx::Result<i64> {
    let mut ledger = open(directory).await?;
    let whole: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut ledger).await?;
    if whole != "ok" {
        return Err(sqlx::Error::Protocol(whole));
    }
    sqlx::query_scalar("SELECT count(*) FROM mails").fetch_one(&mut ledger).await
}

#[test]
fn committed_rows_survive_every_power_cut_and_the_recorder_notices_each_missing_sync() {
    let recording = Recording::new();
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "crash::sqlite_story::the_recorded_life", "--ignored", "-q"]);
    recording.equip(&mut command);
    assert!(command.output().expect("starts").status.success());
    let trace = recording.trace();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut check = |directory: &Path, index: usize, _| {
        let promised = trace.marks().filter(|(at, name)| *at < index && name.starts_with("ack"));
        let promised = i64::try_from(promised.count()).expect("few");
        match runtime.block_on(count(directory)) {
            Ok(found) if found >= promised => Ok(()),
            Ok(found) => Err(format!("{found} of {promised} rows")),
            Err(error) if promised > 0 => Err(error.to_string()),
            Err(_) => Ok(()),
        }
    };
    let points = power_cut::points(&trace, 30, |name| name.ends_with('7'));
    // Both are of the empty file's change to WAL, and nothing was promised before.
    let unmissed = [("", "names made"), ("ledger.sqlite-journal", "data and inode")];
    let directory = recording.directory();
    power_cut::every_sync_is_needed(&trace, &directory, None, &points, &unmissed, &mut check);
}
