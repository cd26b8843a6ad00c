//! `postroad config sample | check`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{CliError, loaded, screen};

#[derive(Subcommand)]
pub enum Config {
    /// Print a file with every setting, its default and a sentence.
    Sample,
    /// Name every mistake in the settings, with file and line.
    Check,
}

pub fn run(
    command: Config,
    config: Option<PathBuf>,
    data_dir: Option<PathBuf>,
) -> Result<(), CliError> {
    match command {
        Config::Sample => screen::print(&crate::config::sample()),
        Config::Check => {
            let found = match loaded(config, data_dir)?.file {
                Some(file) => format!("{}: no mistakes\n", file.display()),
                None => "no settings file was found; the defaults have no mistakes\n".to_owned(),
            };
            screen::print(&screen::lines(&found))
        }
    }
}
