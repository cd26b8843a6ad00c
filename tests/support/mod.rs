//! What the scenarios stand on: hosts that receive, a relay in this process, a clock that is moved.
//!
//! Owns:       the set-up of every scenario, so that its body can be a short story.
//! Promises:   every wait ends; a client that breaks SMTP fails the scenario it did it in.
//! Knows not:  what a scenario claims.

pub mod acme;
pub mod api;
pub mod demo;
#[allow(dead_code, reason = "each story uses a part of it")]
pub mod http;
#[allow(dead_code, reason = "each story uses a part of it")]
pub mod ledger;
pub mod mail;
pub mod mx;
pub mod operator;
pub mod ports;
pub mod relay;
pub mod talk;

use std::time::Duration;

/// The longest a scenario waits for anything, in wall time.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks every few milliseconds until it holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Asks every few milliseconds until what is told holds; what was told then.
pub async fn until_told<T: std::fmt::Debug>(
    what: &str,
    mut ask: impl AsyncFnMut() -> T,
    holds: impl Fn(&T) -> bool,
) -> T {
    let started = std::time::Instant::now();
    loop {
        let told = ask().await;
        if holds(&told) {
            return told;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}; at last {told:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
