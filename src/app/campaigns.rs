//! What the daemon does for campaigns beside its mail.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::AppError;
use crate::campaign::import::Imports;
use crate::clock::Clock;
use crate::compose::{Composer, Links};
use crate::config::Settings;
use crate::store::Store;
use crate::token::Keys;

/// The imports, and the task that runs them until `stop` turns true.
pub fn start(
    settings: &Settings,
    store: &Store,
    clock: &Clock,
    stop: &watch::Receiver<bool>,
) -> Result<(Imports, JoinHandle<()>), AppError> {
    let imports = Imports::open(store.clone(), &settings.node.data_dir, clock.clone());
    let imports =
        imports.map_err(|why| AppError::Io { what: "the directory of imports".to_owned(), why })?;
    let running = tokio::spawn(imports.clone().run(stop.clone()));
    Ok((imports, running))
}

/// Tells the composer where links in mails lead, if anywhere.
pub fn link(settings: &Settings, composer: &Composer, clock: &Clock) -> Result<(), AppError> {
    let Some(base) = &settings.http.public_url else { return Ok(()) };
    let keys = Keys::open(&settings.node.data_dir.join("token-keys"), clock.now())?;
    composer.link_to(Links::new(base, Arc::new(keys)));
    Ok(())
}
