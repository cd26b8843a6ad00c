//! `postroad serve`.

use super::{CliError, on_all_cores};
use crate::app;
use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::telemetry::{Format, metrics, start_logs};

/// `again` reads the settings anew, from where they came, when the daemon is asked to reload.
pub fn run(settings: Settings, again: config::Again) -> Result<(), CliError> {
    let format = Format::named(&settings.log.format);
    start_logs(format, &settings.log.level, Clock::system())?;
    // Installed before anything counts, or the first counts would be lost.
    metrics();
    Ok(on_all_cores(app::serve(settings, again))??)
}
