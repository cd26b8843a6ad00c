//! What the daemon does for campaigns beside its mail.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{AppError, Live, Watched};
use crate::campaign::automation::Automations;
use crate::campaign::feeder::Feeder;
use crate::campaign::geography::Geography;
use crate::campaign::import::Imports;
use crate::campaign::{forget, tally};
use crate::clock::Clock;
use crate::compose::{Composer, Links, Shelf};
use crate::config::Settings;
use crate::queue::Queue;
use crate::store::Store;
use crate::token::{Keys, Sealer};

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

/// Where people read, if there is a database that tells it.
fn geography(settings: &Settings) -> Result<Option<Geography>, AppError> {
    let open = |path: &PathBuf| {
        Geography::open(path).map_err(|why| AppError::Io { what: path.display().to_string(), why })
    };
    settings.http.geography.as_ref().map(open).transpose()
}

/// Tells the store what seals encrypted fields, and the composer where files lie and where links in
/// mails lead, if anywhere.
pub async fn link(
    settings: &Settings,
    store: &Store,
    composer: &Composer,
    clock: &Clock,
) -> Result<(), AppError> {
    store.seal_by(Sealer::open(&settings.node.dkim_dir.join("field-keys"))?);
    let shelf = Shelf::open(&settings.node.data_dir);
    composer.keep_in(shelf.map_err(|why| AppError::Io { what: "the media".to_owned(), why })?);
    let Some(base) = &settings.http.public_url else { return Ok(()) };
    let keys = Keys::open(&settings.node.data_dir.join("token-keys"), clock.now())?;
    composer.link_to(Links::new(base, Arc::new(keys)));
    composer.reload_hosts().await?;
    Ok(())
}

/// What moves campaigns and automations on.
pub(super) struct Movers {
    feeder: Feeder,
    automations: Automations,
}

impl Movers {
    pub(super) fn feeder(&self) -> Feeder {
        self.feeder.clone()
    }

    /// A person changed something of them.
    pub(super) fn wake(&self) {
        self.feeder.wake();
        self.automations.wake();
    }
}

/// What moves campaigns on, and what counts their events.
pub(super) fn feed(
    live: &Arc<Live>,
    store: &Store,
    queue: &Queue,
    clock: &Clock,
    stop: &watch::Receiver<bool>,
) -> Result<(Movers, [Watched; 4]), AppError> {
    let geography = geography(&live.settings.load())?;
    let (schedule, auth) = (live.schedule.clone(), live.auth.clone());
    let automations = Automations::new(store.clone(), queue.clone(), auth.clone(), clock.clone());
    let feeder = Feeder::new(store.clone(), queue.clone(), schedule, auth, clock.clone());
    let feeding = tokio::spawn(feeder.clone().run(stop.clone()));
    let counting = tally::run(store.clone(), geography, clock.clone(), stop.clone());
    let counting = tokio::spawn(counting);
    let forgetting = tokio::spawn(forget::run(store.clone(), clock.clone(), stop.clone()));
    let moving = tokio::spawn(automations.clone().run(stop.clone()));
    let tasks = [
        ("the feeder of campaigns", feeding),
        ("the count of campaigns' events", counting),
        ("the automations", moving),
        ("the end of old readers", forgetting),
    ];
    Ok((Movers { feeder, automations }, tasks))
}
