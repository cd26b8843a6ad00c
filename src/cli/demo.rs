//! `postroad demo`.

use std::path::PathBuf;

use super::{CliError, on_all_cores};
use crate::clock::Clock;
use crate::telemetry::{Format, metrics, start_logs};
use crate::world::demo::{DemoOptions, demo};

/// Beyond, a day passes within a second and nothing can be seen.
fn speeds() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=100_000)
}

#[derive(clap::Args)]
pub struct Demo {
    /// Write JSON with addresses and logins there once all is up.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// How many times as fast as the wall clock retries and days run.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = speeds())]
    speed: u32,
    /// The first of the demo's ports; without it, free ones.
    #[arg(long, value_name = "N")]
    port_base: Option<u16>,
    /// Begin as a new installation does: nobody can sign in, and nothing is set up.
    #[arg(long)]
    first_run: bool,
    /// Sample mails a minute; without it a few, or none with --ready-file.
    #[arg(long, value_name = "N")]
    traffic: Option<u32>,
    /// From which level on the log is told.
    #[arg(long, default_value = "warn", value_name = "LEVEL")]
    log: String,
}

pub fn run(arguments: Demo, data_dir: Option<PathBuf>) -> Result<(), CliError> {
    let Demo { ready_file, speed, port_base, first_run, traffic, log } = arguments;
    start_logs(Format::Text, &log, Clock::system())?;
    metrics();
    let options = DemoOptions { ready_file, speed, data_dir, port_base, first_run, traffic };
    Ok(on_all_cores(demo(options))??)
}
