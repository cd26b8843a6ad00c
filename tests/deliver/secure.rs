//! STARTTLS: good, bad and missing.

use std::path::PathBuf;
use std::sync::Arc;

use postroad::clock::Clock;
use postroad::deliver::*;
use postroad::model::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::host::Host;
use super::{BODY, mail, options, source, stories, story, target, to};

/// A certificate authority of the test's own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let root = params.self_signed(&key).expect("a root");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("root.pem"), root.pem()).expect("a file");
        Authority { issuer: Issuer::new(params, key), directory }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("root.pem")
    }

    pub fn server(&self, name: &str) -> Arc<rustls::ServerConfig> {
        self.server_with(name, |_| {})
    }

    pub fn server_with(
        &self,
        name: &str,
        change: impl Fn(&mut CertificateParams),
    ) -> Arc<rustls::ServerConfig> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a configuration");
        Arc::new(config)
    }
}

fn dialer(authority: &Authority) -> Dialer {
    let options = DeliverOptions { extra_roots: Some(authority.path()), ..options() };
    Dialer::new(options, Clock::system())
}

fn target_with(host: &Host, tls: TlsMode) -> Target {
    Target { tls, ..target(&[host]) }
}

/// Offers STARTTLS with this configuration and takes mails over it.
async fn secured(config: Arc<rustls::ServerConfig>) -> Host {
    Host::start(move |mut talk| {
        let config = Arc::clone(&config);
        async move {
            talk.greet(&["STARTTLS", "PIPELINING"]).await;
            if talk.start_tls(config).await {
                talk.hello(&["PIPELINING"]).await;
                talk.take_mails(|_| None).await;
            }
        }
    })
    .await
}

async fn told(dialer: &Dialer, target: &Target) -> (String, Option<String>) {
    match dialer.open(target, &source()).await {
        Ok(mut connection) => {
            let answer = connection.send(&to(&["b@x.example"]), &mail(BODY)).await;
            (stories(&answer).remove(0), connection.facts().tls.clone())
        }
        Err(failure) => (story(&failure.outcome), None),
    }
}

#[tokio::test]
async fn bad_certificates_are_good_enough_for_opportunistic_tls_and_for_nothing_more() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let dialer = dialer(&authority);
    for (name, config) in [
        ("wrong name", authority.server("other.example")),
        (
            "expired",
            authority.server_with("mx.example", |params| {
                params.not_before = date_time_ymd(2019, 1, 1);
                params.not_after = date_time_ymd(2020, 1, 1);
            }),
        ),
        ("unknown root", stranger.server("mx.example")),
    ] {
        let host = secured(config).await;
        for tls in [TlsMode::Opportunistic, TlsMode::Required] {
            let (outcome, facts) = told(&dialer, &target_with(&host, tls)).await;
            assert_eq!(outcome, "delivered 250 2.0.0 ok", "{name}");
            assert!(facts.is_some_and(|facts| facts.starts_with("TLSv1.3 TLS13_")), "{name}");
        }
        let (outcome, _) = told(&dialer, &target_with(&host, TlsMode::Verified)).await;
        assert!(outcome.starts_with("deferred host: 4.7.5"), "{name}: {outcome}");
        assert_eq!(host.connections(), 3, "{name}: nothing went in the clear");
    }
}

#[tokio::test]
async fn a_good_certificate_is_verified() {
    let authority = Authority::new();
    let host = secured(authority.server("mx.example")).await;
    let (outcome, facts) = told(&dialer(&authority), &target_with(&host, TlsMode::Verified)).await;
    assert_eq!(outcome, "delivered 250 2.0.0 ok");
    assert!(facts.is_some());
}

#[tokio::test]
async fn sessions_are_resumed_within_the_same_demand_alone() {
    let authority = Authority::new();
    let config = authority.server("mx.example");
    let host = secured(Arc::clone(&config)).await;
    let dialer = dialer(&authority);
    for resumed in [0, 1] {
        let (outcome, _) = told(&dialer, &target_with(&host, TlsMode::Opportunistic)).await;
        assert_eq!(outcome, "delivered 250 2.0.0 ok");
        assert_eq!(host.resumed(), resumed);
    }
    // A session that nobody vouched for does not open the door of verified TLS.
    told(&dialer, &target_with(&host, TlsMode::Verified)).await;
    assert_eq!(host.resumed(), 1);
}

#[tokio::test]
async fn words_injected_behind_the_220_end_the_connection_and_open_no_other() {
    for tls in [TlsMode::Opportunistic, TlsMode::Required, TlsMode::Verified] {
        let host = Host::start(|mut talk| async move {
            talk.greet(&["STARTTLS"]).await;
            talk.line().await;
            talk.say("220 go\r\n250-fake\r\n250 PIPELINING\r\n").await;
            talk.take_mails(|_| None).await;
        })
        .await;
        let (outcome, _) = told(&super::dialer(), &target_with(&host, tls)).await;
        assert_eq!(outcome, "deferred host: the host sent more than was asked for");
        assert_eq!((host.connections(), host.heard().matches("MAIL").count()), (1, 0));
    }
}

#[tokio::test]
async fn what_was_announced_in_the_clear_does_not_count_under_tls() {
    let authority = Authority::new();
    let config = authority.server("mx.example");
    let host = Host::start(move |mut talk| {
        let config = Arc::clone(&config);
        async move {
            talk.greet(&["STARTTLS", "PIPELINING", "DSN", "SIZE 1"]).await;
            assert!(talk.start_tls(config).await);
            talk.hello(&[]).await;
            talk.take_mails(|_| None).await;
        }
    })
    .await;
    let (outcome, _) = told(&dialer(&authority), &target_with(&host, TlsMode::Opportunistic)).await;
    assert_eq!(outcome, "delivered 250 2.0.0 ok");
    assert!(host.heard().contains("MAIL FROM:<from@sender.example>\r\n"));
}

/// Says 220 to STARTTLS and then does not shake hands; takes mails in the clear.
async fn broken_tls() -> Host {
    Host::start(|mut talk| async move {
        talk.greet(&["STARTTLS"]).await;
        if talk.hears("STARTTLS").await {
            talk.line().await;
            talk.say("220 go\r\n").await;
            // As soon as TLS speaks; a whole line of it may never come.
            talk.octets(1).await;
            talk.say("500 what is that\r\n").await;
        }
        talk.take_mails(|_| None).await;
    })
    .await
}

#[tokio::test]
async fn a_host_that_fails_at_tls_gets_the_mail_in_the_clear_and_is_remembered() {
    let host = broken_tls().await;
    let clock = Clock::standing(1);
    let dialer = Dialer::new(options(), clock.clone());
    let target = target_with(&host, TlsMode::Opportunistic);
    for connections in [2, 3] {
        assert_eq!(told(&dialer, &target).await, ("delivered 250 2.0.0 ok".into(), None));
        assert_eq!(host.connections(), connections);
    }
    assert_eq!(host.heard().matches("STARTTLS\r\n").count(), 1);
    // Repairs are noticed.
    clock.advance(std::time::Duration::from_secs(3700));
    assert_eq!(told(&dialer, &target).await.0, "delivered 250 2.0.0 ok");
    assert_eq!(host.heard().matches("STARTTLS\r\n").count(), 2);
}

#[tokio::test]
async fn where_tls_is_asked_for_nothing_goes_in_the_clear() {
    let broken = broken_tls().await;
    let stripped = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.take_mails(|_| None).await;
    })
    .await;
    for tls in [TlsMode::Required, TlsMode::Verified, TlsMode::Implicit] {
        let (outcome, _) = told(&super::dialer(), &target_with(&broken, tls)).await;
        assert!(outcome.starts_with("deferred host: 4.7.5"), "{outcome}");
        let (outcome, _) = told(&super::dialer(), &target_with(&stripped, tls)).await;
        assert!(outcome.starts_with("deferred host: 4.7."), "{outcome}");
    }
    assert!(!broken.heard().contains("MAIL") && !stripped.heard().contains("MAIL"));
}

#[tokio::test]
async fn a_host_that_takes_starttls_back_is_spoken_to_in_the_clear() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["STARTTLS"]).await;
        talk.take_mails(|line| {
            line.starts_with("STARTTLS").then_some("454 4.7.0 not available\r\n")
        })
        .await;
    })
    .await;
    let (outcome, facts) =
        told(&super::dialer(), &target_with(&host, TlsMode::Opportunistic)).await;
    assert_eq!((outcome.as_str(), facts), ("delivered 250 2.0.0 ok", None));
    let (outcome, _) = told(&super::dialer(), &target_with(&host, TlsMode::Required)).await;
    assert_eq!(outcome, "deferred host 454 4.7.0 not available");
    assert_eq!(host.connections(), 2);
}

#[tokio::test]
async fn a_mail_of_megabytes_goes_over_tls_whole() {
    let authority = Authority::new();
    let host = secured(authority.server("mx.example")).await;
    let dialer = dialer(&authority);
    let target = target_with(&host, TlsMode::Required);
    let mut connection = dialer.open(&target, &source()).await.expect("a connection");
    let text = "0123456789abcdef\r\n.dotted\r\n".repeat(100_000);
    let answer = connection.send(&to(&["b@x.example"]), &mail(text.clone())).await;
    assert_eq!(stories(&answer), ["delivered 250 2.0.0 ok"]);
    let heard = host.heard();
    let (_, data) = heard.split_once("DATA\r\n").expect("DATA");
    assert!(data == format!("{}.\r\n", text.replace("\r\n.", "\r\n..")));
}
