//! What a power cut leaves, and whether every promise still holds on it.
//!
//! A kill does not show a missing sync: the page cache outlives the process. So `recorder.c` logs
//! what the process writes, syncs and names below one directory, `disk.rs` rebuilds from the log
//! the directory as a power cut at any point of it would have left it, and a story opens what was
//! rebuilt and checks its promises. Each story is told once more for each kind of sync with that
//! one taken away, and must fail then: a sync that nobody would miss proves nothing.
//!
//! `kill_story` kills the whole daemon under load and compares what clients and hosts have seen,
//! `stop_story` ends it in order, `daemon_story` lets the power fail under it, `start_story` starts
//! it with a long queue.
//!
//! How to tell a story of another process (the whole daemon, say):
//! 1. `Recording::new()`, give `recording.equip(&mut command)` the command, its data below
//!    `recording.directory()`; kill it when enough was done.
//! 2. Know what was promised by when: marks in the trace (`recorder::mark` in the process itself,
//!    `model::moment::reached` in the product) carry their place; what a client outside sees is
//!    stamped with `recording.written()` after it was seen.
//! 3. `power_cut::survey(&trace, …)` with a check over the rebuilt directory.

mod budget_story;
mod campaign_story;
mod daemon;
mod daemon_story;
mod disk;
mod kill_story;
mod power_cut;
mod recorder;
mod spool_story;
mod sqlite_story;
mod start_story;
mod stop_story;
mod trace;

pub use daemon::new_database;
