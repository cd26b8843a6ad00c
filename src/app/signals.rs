//! `postroad serve`: runs until SIGTERM or SIGINT, reloads at SIGHUP, tells systemd.
//!
//! Owns:       signals and the notify socket.
//! Promises:   READY only once mail is taken; STOPPING before the first session is turned away.
//! Knows not:  what is started.

use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{App, AppError, Reread, memory};
use crate::clock::Clock;
use crate::config::Settings;
use crate::telemetry::Logs;

/// Runs the daemon. `reread` reads the settings again.
pub async fn serve(settings: Settings, logs: Logs, reread: Reread) -> Result<(), AppError> {
    // From the start, so that an early SIGTERM is not the sudden kind.
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let starting = App::start_with(settings, Clock::system(), Some(logs), Some(reread.clone()));
    let mut app = tokio::select! {
        app = starting => app?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let addresses = app.addresses();
    tracing::info!(submission = ?addresses.submission, submissions = ?addresses.submissions,
        http = ?addresses.http, version = env!("CARGO_PKG_VERSION"), "postroad takes mail");
    tell(&[NotifyState::Ready]);
    memory::leave_start();
    let died = loop {
        tokio::select! {
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            _ = hangup.recv() => reload(&app, &reread).await,
            error = app.died() => break Some(error),
        }
    };
    tell(&[NotifyState::Stopping]);
    tracing::info!("postroad stops: sessions and attempts under way are finished first");
    app.stop().await?;
    died.map_or(Ok(()), Err)
}

fn listen(kind: SignalKind) -> Result<Signal, AppError> {
    signal(kind).map_err(|why| AppError::Io { what: "signals cannot be caught".into(), why })
}

async fn reload(app: &App, reread: &Reread) {
    let live = Arc::clone(&app.live);
    tell(&[NotifyState::Reloading]);
    if let Err(mistakes) = live.reload(reread).await {
        tracing::error!(%mistakes, "the settings have mistakes; the old ones stay");
    }
    tell(&[NotifyState::Ready]);
}

/// Nobody listens outside systemd, and that is no fault.
fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}
