//! `postroad serve`.

use super::{CliError, on_all_cores};
use crate::app::{self, Reread};
use crate::clock::Clock;
use crate::config::Settings;
use crate::telemetry::{Format, metrics, start_logs};

pub fn run(settings: Settings, reread: Reread) -> Result<(), CliError> {
    let format = Format::named(&settings.log.format);
    let logs = start_logs(format, &settings.log.level, Clock::system())?;
    // Installed before anything counts, or the first counts would be lost.
    metrics();
    Ok(on_all_cores(app::serve(settings, logs, reread))??)
}
