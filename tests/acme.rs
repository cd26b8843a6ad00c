//! Certificates for hosts of organizations: asked of an authority, answered, used, renewed.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad::config::Settings;
use postroad::wire::network::Network;
use postroad::world::dns::{Data, Says};
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
use crate::support::relay::{Database, TestRelay};

const HOST: &str = "click.sender.test";

/// A daemon that answers the authority there, and a host whose name leads to it.
async fn desk(database: &Database, authority: &FakeAuthority, questions: SocketAddr) -> Desk {
    desk_with(database, authority, questions, |_| {}).await
}

async fn desk_with(
    database: &Database,
    authority: &FakeAuthority,
    questions: SocketAddr,
    change: impl FnOnce(&mut Settings),
) -> Desk {
    let directory = authority.directory();
    let desk = Desk::with(database, Manners::default(), |settings| {
        settings.acme.directory = Some(directory);
        settings.acme.listen = vec![questions];
        settings.acme.port = questions.port();
        settings.fetch.allowed_networks = vec![Network::parse("127.0.0.0/8").expect("one")];
        change(settings);
    })
    .await;
    let here = Data::Address(questions.ip());
    desk.mx.name(HOST, Says::Records(vec![here]));
    desk
}

async fn lead(desk: &Desk) {
    desk.done("PUT", "/v1/public-host", json!({ "host": HOST })).await;
}

/// As the organization sees it.
async fn shown(desk: &Desk) -> Value {
    desk.done("GET", "/v1/public-host", Value::Null).await["certificate"].clone()
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

/// So that a daemon that would ask too early does.
async fn pass(desk: &Desk, minutes: u64) {
    for _ in 0..minutes {
        desk.relay.clock().advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn modes(folder: &Path) -> Vec<(String, u32)> {
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    let mut modes = vec![(".".to_owned(), mode(folder))];
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("one").path();
        let name = path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_owned();
        modes.push((name, mode(&path)));
    }
    modes.sort();
    modes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_given_a_certificate_and_another_before_the_first_is_over() {
    for database in Database::all().await {
        let questions = free_address();
        let authority = FakeAuthority::asking(questions).await;
        authority.give_nearly_over(1);
        let desk = desk(&database, &authority, questions).await;
        lead(&desk).await;
        let is_given = async || shown(&desk).await["valid_until"].is_number();
        until(&desk, "there is one", is_given).await;
        let first = shown(&desk).await;
        assert_eq!((&first["origin"], &first["failures"]), (&json!("authority"), &json!(0)));
        until(&desk, "it is trusted", async || is_trusted(&desk, &authority.root).await).await;
        pass(&desk, 30).await;
        assert_eq!(authority.orders(), 1, "the next one is not asked for within the hour");
        pass(&desk, 31).await;
        until(&desk, "its time runs out, so there is a second", async || authority.orders() >= 2)
            .await;
        let is_newer = async || shown(&desk).await["valid_until"] != first["valid_until"];
        until(&desk, "it is told", is_newer).await;
        pass(&desk, 120).await;
        assert_eq!(authority.orders(), 2, "one that holds is not asked for again");
        let folder = desk.relay.settings().node.data_dir.join("certificates");
        let expected = [(".", 0o700), ("json", 0o600), ("pem", 0o600)];
        assert_eq!(modes(&folder), expected.map(|(name, mode)| (name.to_owned(), mode)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_lead_here_is_told_of_and_the_authority_is_not_troubled() {
    let questions = free_address();
    let authority = FakeAuthority::asking(questions).await;
    let desk = desk(&Database::Sqlite, &authority, questions).await;
    desk.mx.name(HOST, Says::Missing);
    lead(&desk).await;
    until(&desk, "it is told", async || shown(&desk).await["last_error"].is_string()).await;
    let standing = shown(&desk).await;
    let text = standing["last_error"].as_str().expect("text");
    assert!(text.starts_with("it does not lead here"), "{text}");
    assert_eq!((&standing["failures"], &standing["valid_until"]), (&json!(1), &Value::Null));
    assert!(standing["again_at"].as_i64() > standing["tried_at"].as_i64(), "{standing}");
    assert_eq!(authority.orders(), 0);
    desk.mx.name(HOST, Says::Records(vec![Data::Address(questions.ip())]));
    // Whoever sets it again has mended it, and does not wait.
    desk.relay.clock().advance(Duration::from_secs(301));
    lead(&desk).await;
    until(&desk, "there is one", async || shown(&desk).await["valid_until"].is_number()).await;
    assert_eq!(shown(&desk).await["last_error"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_authority_refuses_is_an_alarm_and_tried_later_also_after_a_restart() {
    let (questions, elsewhere) = (free_address(), free_address());
    let authority = FakeAuthority::asking(elsewhere).await;
    let mut desk = desk(&Database::Sqlite, &authority, questions).await;
    lead(&desk).await;
    let told = async |desk: &Desk| {
        let alarms = desk.done("GET", "/v1/events?kind=alarm", Value::Null).await;
        let texts = alarms["items"].as_array().expect("a list").iter();
        let texts = texts.filter_map(|alarm| alarm["fields"]["text"].as_str().map(str::to_owned));
        texts.collect::<Vec<String>>()
    };
    until(&desk, "it is told", async || !told(&desk).await.is_empty()).await;
    let text = told(&desk).await.remove(0);
    assert!(text.contains(HOST) && text.contains("did not answer with the key"), "{text}");
    until(&desk, "it stands at the host", async || {
        shown(&desk).await["last_error"].as_str().is_some_and(|why| why.contains("did not answer"))
    })
    .await;
    assert_eq!(authority.orders(), 1);
    desk.relay.stop().await;
    desk.relay.start().await;
    pass(&desk, 3).await;
    assert_eq!(authority.orders(), 1, "a restart is no reason to ask again");
    desk.relay.clock().advance(Duration::from_secs(660));
    until(&desk, "it is tried again", async || authority.orders() >= 2).await;
    assert!(!is_trusted(&desk, &authority.root).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_asks_for_an_account_elsewhere_gives_to_who_has_its_key() {
    for key in [None, Some("d3Jvbmc"), Some("c2VjcmV0IG9mIG91cnM")] {
        let questions = free_address();
        let authority = FakeAuthority::asking(questions).await;
        authority.ask_for_binding("key-7", b"secret of ours");
        let desk = desk_with(&Database::Sqlite, &authority, questions, |settings| {
            settings.acme.eab_key_id = key.map(|_| "key-7".to_owned());
            settings.acme.eab_key = key.map(str::to_owned);
        })
        .await;
        lead(&desk).await;
        let is_right = key.is_some_and(|key| key.starts_with("c2"));
        let what = if is_right { "valid_until" } else { "last_error" };
        until(&desk, what, async || !shown(&desk).await[what].is_null()).await;
        let standing = shown(&desk).await;
        assert_eq!(authority.orders(), usize::from(is_right), "{key:?}: {standing}");
        if !is_right {
            let why = standing["last_error"].as_str().expect("text");
            assert!(why.contains("an account elsewhere is needed"), "{why}");
            assert!(standing["again_at"].as_i64() > standing["tried_at"].as_i64(), "{standing}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_asked_so_often_a_day_and_no_more() {
    let (questions, elsewhere) = (free_address(), free_address());
    let authority = FakeAuthority::asking(elsewhere).await;
    let few = |settings: &mut Settings| settings.acme.orders_per_day_max = 2;
    let desk = desk_with(&Database::Sqlite, &authority, questions, few).await;
    for tries in 1..=3 {
        lead(&desk).await;
        let has_tried = async || shown(&desk).await["failures"] == json!(tries);
        until(&desk, "it is tried", has_tried).await;
    }
    let why = shown(&desk).await["last_error"].as_str().expect("text").to_owned();
    assert_eq!(why, "2 orders were made within a day, and more are not");
    assert_eq!(authority.orders(), 2);
    desk.relay.clock().advance(Duration::from_secs(24 * 3600));
    until(&desk, "the day is over", async || authority.orders() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_settings_is_told_of_and_none_is_asked_for() {
    let questions = free_address();
    let authority = FakeAuthority::asking(questions).await;
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["*.sender.test".to_owned()]).expect("made");
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let directory = authority.directory();
    let desk = Desk::with(&Database::Sqlite, Manners::default(), |settings| {
        settings.acme.directory = Some(directory);
        settings.acme.listen = vec![questions];
        settings.tls.certificate = vec![postroad::config::Certificate { chain, key }];
    })
    .await;
    lead(&desk).await;
    until(&desk, "it is told", async || shown(&desk).await["origin"] == "settings").await;
    assert!(shown(&desk).await["valid_until"].is_number());
    pass(&desk, 5).await;
    assert_eq!(authority.orders(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_authority_nobody_is_asked_and_it_is_said_so() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    lead(&desk).await;
    until(&desk, "it is told", async || shown(&desk).await["origin"] == "none").await;
    let folder = |relay: &TestRelay| relay.settings().node.data_dir.join("certificates");
    assert!(!folder(&desk.relay).exists());
}
