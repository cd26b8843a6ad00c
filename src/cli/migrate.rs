//! `postroad migrate`: what every start of the daemon does first, alone.

use super::client::become_owner;
use super::{CliError, on_one_thread, screen};
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::store::Store;

pub fn run(settings: Settings) -> Result<(), CliError> {
    become_owner(&settings.node.data_dir)?;
    on_one_thread(async {
        let store =
            Store::open(&app::location(&settings), settings.node.id, Clock::system()).await?;
        store.close().await;
        Ok(())
    })?;
    screen::print("the database has the form of this version\n")
}
