//! Certificates for hosts of organizations: asked of an authority, answered, used, renewed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad::wire::network::Network;
use postroad::world::manners::Manners;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::campaigns::Desk;
use crate::support::PATIENCE;
use crate::support::acme::FakeAuthority;
use crate::support::ports::free_address;
use crate::support::relay::Database;

const HOST: &str = "click.sender.test";

async fn desk(authority: &FakeAuthority, questions: SocketAddr) -> Desk {
    let directory = authority.directory();
    let desk = Desk::with(&Database::Sqlite, Manners::default(), |settings| {
        settings.acme.directory = Some(directory);
        settings.acme.listen = vec![questions];
        settings.fetch.allowed_networks = vec![Network::parse("127.0.0.0/8").expect("one")];
    })
    .await;
    desk.done("PUT", "/v1/public-host", json!({ "host": HOST })).await;
    desk
}

/// Whether a client that trusts the authority alone may speak with the host.
async fn is_trusted(desk: &Desk, root: &str) -> bool {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(root.as_bytes()).expect("a root");
    roots.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(desk.relay.http()).await.expect("it listens");
    let name = ServerName::try_from(HOST).expect("a name");
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.is_ok()
}

async fn until(desk: &Desk, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        desk.relay.clock().advance(Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_given_a_certificate_and_another_before_the_first_is_over() {
    let questions = free_address();
    let authority = FakeAuthority::asking(questions).await;
    authority.give_stale(1);
    let desk = desk(&authority, questions).await;
    until(&desk, "the first is over, so there is a second", async || authority.orders() >= 2).await;
    until(&desk, "it is trusted", async || is_trusted(&desk, &authority.root).await).await;
    for _ in 0..20 {
        desk.relay.clock().advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(authority.orders(), 2, "one that holds is not asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_answer_is_an_alarm_and_tried_later() {
    let (questions, elsewhere) = (free_address(), free_address());
    let authority = FakeAuthority::asking(elsewhere).await;
    let desk = desk(&authority, questions).await;
    let told = async || {
        let alarms = desk.done("GET", "/v1/events?kind=alarm", Value::Null).await;
        let texts = alarms["items"].as_array().expect("a list").iter();
        let texts = texts.filter_map(|alarm| alarm["fields"]["text"].as_str().map(str::to_owned));
        texts.collect::<Vec<String>>()
    };
    let is_told = async || !told().await.is_empty();
    until(&desk, "it is told", is_told).await;
    let text = told().await.remove(0);
    assert!(text.contains(HOST) && text.contains("did not answer with the key"), "{text}");
    assert_eq!(authority.orders(), 1);
    desk.relay.clock().advance(Duration::from_secs(660));
    until(&desk, "it is tried again", async || authority.orders() >= 2).await;
    assert!(!is_trusted(&desk, &authority.root).await);
}
