//! Starts what asks for certificates and tells how they stand.

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{AppError, Watched};
use crate::acme::{self, Acme, AcmeOptions, Binding, Questions};
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
    let questions = Questions::default();
    let options = options(settings);
    if let Some(options) = &options {
        certificates.also_from(options.folder.clone());
    }
    let listens = options.is_some();
    let own = certificates.clone();
    let named: acme::Named = Box::new(move |host| own.of_settings(host.as_str()));
    let asking = (options, questions.clone());
    let acme = Acme::open(store.clone(), named, fetcher, asking, clock.clone());
    let acme =
        acme.map_err(|why| AppError::Io { what: "the folder of certificates".to_owned(), why })?;
    let mut watched = vec![("the certificates of hosts", tokio::spawn(acme.run(stop.clone())))];
    for address in settings.acme.listen.iter().filter(|_| listens) {
        let listener = TcpListener::bind(address).await.map_err(|why| AppError::Io {
            what: format!("acme.listen: {address} cannot be listened on"),
            why,
        })?;
        let serving = acme::serve(listener, questions.clone(), stop.clone());
        watched.push(("the answers to the authority", tokio::spawn(serving)));
    }
    Ok(watched)
}

fn options(settings: &Settings) -> Option<AcmeOptions> {
    let acme = &settings.acme;
    Some(AcmeOptions {
        directory_url: acme.directory.clone()?,
        contact: acme.contact.clone(),
        binding: acme.binding().map(|(id, key)| Binding { id, key }),
        folder: settings.node.data_dir.join("certificates"),
        port: acme.port,
        look: acme.look,
        orders_per_day_max: u64::from(acme.orders_per_day_max),
    })
}
