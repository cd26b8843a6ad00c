//! The daemon's own certificates, for SMTP and HTTP alike.
//!
//! Owns:       chains and keys in files, the self-signed one when there are none, the choice by
//!             SNI.
//! Promises:   files that change on disk are taken within `LOOK_EVERY`; while they cannot be used
//!             the old ones serve on.
//! Knows not:  what is said under TLS.

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};

use crate::config;

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{path} cannot be read: {why}")]
    Unreadable { path: PathBuf, why: String },
    #[error("{chain} and {key} cannot be used: {why}")]
    Unusable { chain: PathBuf, key: PathBuf, why: String },
    #[error("no certificate could be made: {0}")]
    NotMade(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A cheap handle; all clones share the certificates.
#[derive(Clone)]
pub struct Certificates(Arc<Inner>);

struct Inner {
    provider: Arc<CryptoProvider>,
    /// What the files looked like when they were read last.
    files: Mutex<Files>,
    chosen: Arc<Chosen>,
    /// Used where no file is named.
    own: Option<Arc<CertifiedKey>>,
    self_signed: Option<String>,
}

struct Files {
    settings: Vec<config::Certificate>,
    /// Of files with chain and key each, beside those of the settings.
    folder: Option<PathBuf>,
    marks: Vec<Option<Mark>>,
}

impl Files {
    /// By name, so that the same files are the same list.
    fn in_folder(&self) -> Vec<config::Certificate> {
        let entries = self.folder.as_ref().and_then(|folder| std::fs::read_dir(folder).ok());
        let paths = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let is_pair = |path: &PathBuf| path.extension().is_some_and(|end| end == "pem");
        let mut paths: Vec<PathBuf> = paths.filter(is_pair).collect();
        paths.sort();
        let pair = |path: PathBuf| config::Certificate { chain: path.clone(), key: path };
        paths.into_iter().map(pair).collect()
    }

    fn seen(&self) -> Vec<Option<Mark>> {
        let mut seen = marks(&self.settings);
        seen.extend(marks(&self.in_folder()));
        seen
    }
}

/// Enough of a file's metadata to see that it is another one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

#[derive(Debug)]
struct Chosen(ArcSwap<Keys>);

#[derive(Debug, Default)]
struct Keys {
    /// Of the settings, or our own.
    named: Vec<Arc<CertifiedKey>>,
    /// Of the folder: there may be thousands, and a handshake looks at one.
    by_host: HashMap<String, Arc<CertifiedKey>>,
}

impl Keys {
    fn fitting(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = ServerName::try_from(name).ok()?;
        self.named.iter().find(|key| {
            let certificate = key.end_entity_cert().ok();
            let parsed = certificate.and_then(|der| ParsedCertificate::try_from(der).ok());
            parsed.is_some_and(|parsed| rustls::client::verify_server_name(&parsed, &name).is_ok())
        })
    }
}

impl ResolvesServerCert for Chosen {
    /// The first of the settings whose certificate is valid for the name, then the host's of the
    /// folder; without one the first of all, since a client that cares checks for itself.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.0.load();
        let has_choice = keys.named.len() > 1 || !keys.by_host.is_empty();
        let fitting = hello.server_name().filter(|_| has_choice).and_then(|name| {
            let of_folder = || keys.by_host.get(&name.to_ascii_lowercase());
            keys.fitting(name).or_else(of_folder)
        });
        fitting.or_else(|| keys.named.first()).cloned()
    }
}

impl Certificates {
    /// Reads the files, or makes a self-signed certificate for `host_name` when there are none.
    pub fn open(tls: &config::Tls, host_name: &str) -> Result<Certificates, CertificateError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let settings = tls.certificate.clone();
        let marks = marks(&settings);
        let (keys, own, self_signed) = if settings.is_empty() {
            let (key, pem) = make(&provider, host_name)?;
            tracing::warn!(
                host = host_name,
                "no certificate is configured: a self-signed one is used; name your own under \
                 [[tls.certificate]]"
            );
            (vec![key.clone()], Some(key), Some(pem))
        } else {
            (load(&provider, &settings)?, None, None)
        };
        Ok(Certificates(Arc::new(Inner {
            provider,
            files: Mutex::new(Files { settings, folder: None, marks }),
            chosen: Arc::new(Chosen(ArcSwap::from_pointee(Keys {
                named: keys,
                by_host: HashMap::new(),
            }))),
            own,
            self_signed,
        })))
    }

    /// The self-signed certificate in PEM, for those who want to trust it.
    pub fn self_signed_pem(&self) -> Option<&str> {
        self.0.self_signed.as_deref()
    }

    /// TLS 1.2 and 1.3 with these certificates; later changes of them reach it too.
    /// `protocols` are ALPN names; SMTP has none.
    pub fn server_config(&self, protocols: &[&str]) -> Result<Arc<ServerConfig>, CertificateError> {
        let mut config = ServerConfig::builder_with_provider(self.0.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.0.chosen.clone());
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        // Stateless tickets: a client that comes back saves the signature, and nothing is kept.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }

    /// What stands in this folder, `HOST.pem` for each host, is used, too, from the next look on; a
    /// file there that cannot be used is left out.
    pub fn also_from(&self, folder: PathBuf) {
        self.0.files.lock().folder = Some(folder);
    }

    /// Reads the files again if one of them has changed. True when others are in use now.
    pub fn look(&self) -> Result<bool, CertificateError> {
        let mut files = self.0.files.lock();
        let seen = files.seen();
        if seen == files.marks {
            return Ok(false);
        }
        // Remembered first: files that cannot be used are complained of once, not every time.
        files.marks = seen;
        let keys = self.keys(&files)?;
        self.0.chosen.0.store(Arc::new(keys));
        Ok(true)
    }

    fn keys(&self, files: &Files) -> Result<Keys, CertificateError> {
        let named = match &self.0.own {
            Some(own) if files.settings.is_empty() => vec![own.clone()],
            _ => load(&self.0.provider, &files.settings)?,
        };
        let mut by_host = HashMap::new();
        for pair in files.in_folder() {
            let host = pair.chain.file_stem().and_then(|host| host.to_str()).map(str::to_owned);
            match load_one(&self.0.provider, &pair) {
                Ok(key) => {
                    by_host.extend(host.map(|host| (host, Arc::new(key))));
                }
                Err(error) => tracing::error!(reason = %error, "a certificate is left out"),
            }
        }
        Ok(Keys { named, by_host })
    }

    /// The certificate that a person has named and that holds for the host.
    pub fn of_settings(&self, host: &str) -> Option<CertificateDer<'static>> {
        if self.0.files.lock().settings.is_empty() {
            return None;
        }
        let keys = self.0.chosen.0.load();
        let certificate = keys.fitting(host)?.cert.first()?;
        Some(certificate.clone().into_owned())
    }

    /// Other files from now on (the settings were reloaded). With none the present ones stay.
    pub fn replace(&self, tls: &config::Tls) -> Result<(), CertificateError> {
        if tls.certificate.is_empty() {
            return Ok(());
        }
        let mut files = self.0.files.lock();
        let folder = files.folder.clone();
        let new = Files { settings: tls.certificate.clone(), folder, marks: Vec::new() };
        let keys = self.keys(&new)?;
        *files = Files { marks: new.seen(), ..new };
        self.0.chosen.0.store(Arc::new(keys));
        Ok(())
    }

    /// Looks at the files for ever; ends when the task is dropped.
    pub async fn watch(self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            match self.look() {
                Ok(false) => {}
                Ok(true) => tracing::info!("the certificates have changed and are in use"),
                Err(error) => tracing::error!(
                    reason = %error,
                    "changed certificates cannot be used; the old ones serve on"
                ),
            }
        }
    }
}

fn marks(settings: &[config::Certificate]) -> Vec<Option<Mark>> {
    let paths = settings.iter().flat_map(|files| [&files.chain, &files.key]);
    paths.map(|path| std::fs::metadata(path).ok().map(|data| mark(&data))).collect()
}

fn mark(data: &Metadata) -> Mark {
    use std::os::unix::fs::MetadataExt;
    Mark { inode: data.ino(), length: data.size(), changed: (data.mtime(), data.mtime_nsec()) }
}

fn load(
    provider: &CryptoProvider,
    settings: &[config::Certificate],
) -> Result<Vec<Arc<CertifiedKey>>, CertificateError> {
    settings.iter().map(|files| load_one(provider, files).map(Arc::new)).collect()
}

fn load_one(
    provider: &CryptoProvider,
    files: &config::Certificate,
) -> Result<CertifiedKey, CertificateError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| CertificateError::Unreadable {
            path: path.clone(),
            why: error.to_string(),
        })
    };
    let unusable = |why: String| CertificateError::Unusable {
        chain: files.chain.clone(),
        key: files.key.clone(),
        why,
    };
    let (chain, key) = (read(&files.chain)?, read(&files.key)?);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(error.to_string()))?;
    if chain.is_empty() {
        return Err(unusable("no certificate in the chain's file".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| unusable(error.to_string()))?;
    let key = CertifiedKey::from_der(chain, key, provider);
    let key = key.map_err(|error| unusable(error.to_string()))?;
    key.keys_match().map_err(|error| unusable(error.to_string()))?;
    Ok(key)
}

/// P-256, for the host's name and, so that the demo and local tests can check it, for localhost.
fn make(
    provider: &CryptoProvider,
    host_name: &str,
) -> Result<(Arc<CertifiedKey>, String), CertificateError> {
    let not_made = |error: rcgen::Error| CertificateError::NotMade(error.to_string());
    let mut names = vec![host_name.to_owned(), "localhost".into(), "127.0.0.1".into()];
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names).map_err(not_made)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let key = CertifiedKey::from_der(vec![made.cert.der().clone()], key, provider)?;
    Ok((Arc::new(key), made.cert.pem()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn write(directory: &Path, name: &str, host: &str) -> config::Certificate {
        let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).expect("made");
        let (chain, key) = (directory.join(format!("{name}.crt")), directory.join(name));
        std::fs::write(&chain, made.cert.pem()).expect("written");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        config::Certificate { chain, key }
    }

    /// Takes any certificate and writes it down.
    #[derive(Debug)]
    struct Witness(Mutex<Vec<u8>>, Arc<CryptoProvider>);

    impl rustls::client::danger::ServerCertVerifier for Witness {
        fn verify_server_cert(
            &self,
            certificate: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: rustls_pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            *self.0.lock() = certificate.to_vec();
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.1.signature_verification_algorithms.supported_schemes()
        }
    }

    /// The certificate that a client which asks for `name` is shown.
    fn shown(certificates: &Certificates, name: &str) -> Vec<u8> {
        let provider = certificates.0.provider.clone();
        let witness = Arc::new(Witness(Mutex::default(), provider.clone()));
        let server = certificates.server_config(&[]).expect("a configuration");
        let mut server = rustls::ServerConnection::new(server).expect("a connection");
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(witness.clone())
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut client = rustls::ClientConnection::new(Arc::new(client), name).expect("client");
        for _ in 0..4 {
            let (mut there, mut back) = (vec![], vec![]);
            while client.wants_write() {
                client.write_tls(&mut there).expect("in memory");
            }
            server.read_tls(&mut &there[..]).expect("in memory");
            server.process_new_packets().expect("lawful");
            while server.wants_write() {
                server.write_tls(&mut back).expect("in memory");
            }
            client.read_tls(&mut &back[..]).expect("in memory");
            client.process_new_packets().expect("lawful");
        }
        witness.0.lock().clone()
    }

    fn der(files: &config::Certificate) -> Vec<u8> {
        CertificateDer::from_pem_file(&files.chain).expect("a certificate").to_vec()
    }

    #[test]
    fn the_name_a_client_asks_for_chooses_the_certificate() {
        let directory = tempfile::tempdir().expect("a directory");
        let one = write(directory.path(), "one", "one.example");
        let two = write(directory.path(), "two", "*.two.example");
        let tls = config::Tls { certificate: vec![one.clone(), two.clone()] };
        let certificates = Certificates::open(&tls, "x.example").expect("opened");
        assert_eq!(shown(&certificates, "one.example"), der(&one));
        assert_eq!(shown(&certificates, "mail.two.example"), der(&two));
        assert_eq!(shown(&certificates, "elsewhere.example"), der(&one));
        assert_eq!(shown(&certificates, "127.0.0.1"), der(&one));
    }

    #[test]
    fn changed_files_are_taken_and_broken_ones_are_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = write(directory.path(), "one", "one.example");
        let tls = config::Tls { certificate: vec![files.clone()] };
        let certificates = Certificates::open(&tls, "x.example").expect("opened");
        assert!(matches!(certificates.look(), Ok(false)));
        let files = write(directory.path(), "one", "longer-name.example");
        assert!(matches!(certificates.look(), Ok(true)));
        let renewed = der(&files);
        assert_eq!(shown(&certificates, "x.example"), renewed);
        std::fs::write(&files.key, "rubbish").expect("written");
        assert!(certificates.look().is_err());
        assert!(matches!(certificates.look(), Ok(false)), "complained of once");
        assert_eq!(shown(&certificates, "x.example"), renewed);
    }

    #[test]
    fn certificates_of_a_folder_stand_beside_the_own_one_and_a_broken_one_is_left_out() {
        let directory = tempfile::tempdir().expect("a directory");
        let certificates = Certificates::open(&config::Tls::default(), "mx.example").expect("made");
        certificates.also_from(directory.path().to_owned());
        let own = shown(&certificates, "mx.example");
        assert!(matches!(certificates.look(), Ok(false)), "there is none yet");
        let pair = write(directory.path(), "x", "click.shop.example");
        let text = |path: &PathBuf| std::fs::read_to_string(path).expect("text");
        let both = format!("{}{}", text(&pair.chain), text(&pair.key));
        std::fs::write(directory.path().join("click.shop.example.pem"), both).expect("written");
        std::fs::write(directory.path().join("broken.pem"), "rubbish").expect("written");
        assert!(matches!(certificates.look(), Ok(true)));
        assert_eq!(shown(&certificates, "click.shop.example"), der(&pair));
        assert_eq!(shown(&certificates, "mx.example"), own);
        assert!(certificates.of_settings("mx.example").is_none(), "no person has named it");
        assert!(matches!(certificates.look(), Ok(false)));
    }

    #[test]
    fn without_files_a_certificate_is_made_for_the_host() {
        let certificates = Certificates::open(&config::Tls::default(), "mx.example").expect("made");
        let made = certificates.self_signed_pem().expect("self-signed");
        let made = CertificateDer::from_pem_slice(made.as_bytes()).expect("PEM");
        assert_eq!(shown(&certificates, "mx.example"), made.to_vec());
        let parsed = ParsedCertificate::try_from(&made).expect("a certificate");
        for name in ["mx.example", "localhost", "127.0.0.1"] {
            let name = ServerName::try_from(name).expect("a name");
            assert!(rustls::client::verify_server_name(&parsed, &name).is_ok());
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let one = write(directory.path(), "one", "one.example");
        let two = write(directory.path(), "two", "two.example");
        let mixed = config::Certificate { chain: one.chain, key: two.key };
        let opened = Certificates::open(&config::Tls { certificate: vec![mixed] }, "x.example");
        assert!(matches!(opened, Err(CertificateError::Unusable { .. })));
        let missing = config::Certificate { chain: "none".into(), key: "none".into() };
        let opened = Certificates::open(&config::Tls { certificate: vec![missing] }, "x.example");
        assert!(matches!(opened, Err(CertificateError::Unreadable { .. })));
    }
}
