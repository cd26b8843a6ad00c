//! Starts what asks for certificates, where an authority is named.

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{AppError, Watched};
use crate::acme::{self, Acme, AcmeOptions, Questions};
use crate::clock::Clock;
use crate::config::Settings;
use crate::fetch::Fetcher;
use crate::listener::Certificates;
use crate::store::Store;

pub(super) async fn start(
    settings: &Settings,
    (store, fetcher): (&Store, Fetcher),
    certificates: &Certificates,
    clock: &Clock,
    stop: &watch::Receiver<bool>,
) -> Result<Vec<Watched>, AppError> {
    let Some(directory_url) = settings.acme.directory.clone() else { return Ok(Vec::new()) };
    let questions = Questions::default();
    let folder = settings.node.data_dir.join("certificates");
    let options = AcmeOptions {
        directory_url,
        contact: settings.acme.contact.clone(),
        folder: folder.clone(),
        account: folder.join("account.json"),
    };
    let acme = Acme::open(store.clone(), fetcher, questions.clone(), options, clock.clone());
    let acme =
        acme.map_err(|why| AppError::Io { what: "the folder of certificates".to_owned(), why })?;
    certificates.also_from(folder);
    let mut watched = vec![("the certificates of hosts", tokio::spawn(acme.run(stop.clone())))];
    for address in &settings.acme.listen {
        let listener = TcpListener::bind(address).await.map_err(|why| AppError::Io {
            what: format!("cannot listen on {address} for the questions of the authority"),
            why,
        })?;
        let serving = acme::serve(listener, questions.clone(), stop.clone());
        watched.push(("the answers to the authority", tokio::spawn(serving)));
    }
    Ok(watched)
}
