//! The simulated internet's certification authority, and what its hosts show in a handshake.
//!
//! Owns:       one CA for each world, made at its start and kept nowhere.
//! Promises:   a `Good` certificate verifies against `root_pem` and nothing else does.
//! Knows not:  who connects.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_ecdsa_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::manners::TlsManner;
use super::weak_key::WeakKey;

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("a certificate of the simulated internet cannot be made: {0}")]
    Making(#[from] rcgen::Error),
    #[error("a certificate of the simulated internet cannot be used: {0}")]
    Using(#[from] rustls::Error),
}

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: rcgen::Certificate,
}

impl Authority {
    pub fn new() -> Result<Authority, CertificateError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = named("Simulated internet root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key)?;
        Ok(Authority { issuer: Issuer::new(params, key), root })
    }

    /// The root in PEM, for whoever should trust the simulated internet.
    pub fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// How the host `name` shakes hands. `Absent`, `Broken` and `Mute` never come to it, and get
    /// what `Good` gets.
    pub(super) fn server_config(
        &self,
        name: &str,
        manner: TlsManner,
    ) -> Result<Arc<ServerConfig>, CertificateError> {
        let certified = match manner {
            TlsManner::Weak => self.weak(name)?,
            _ => self.strong(name, manner)?,
        };
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Only(Arc::new(certified))));
        Ok(Arc::new(config))
    }

    fn strong(&self, name: &str, manner: TlsManner) -> Result<CertifiedKey, CertificateError> {
        let key = KeyPair::generate()?;
        let shown = if manner == TlsManner::WrongName { "another-host.test" } else { name };
        let mut params = leaf(shown)?;
        if manner == TlsManner::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let certificate = match manner {
            TlsManner::SelfSigned => params.self_signed(&key)?,
            _ => params.signed_by(&key, &self.issuer)?,
        };
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(CertifiedKey::new(self.chain(&certificate), any_ecdsa_type(&private)?))
    }

    fn weak(&self, name: &str) -> Result<CertifiedKey, CertificateError> {
        let certificate = leaf(name)?.signed_by(&WeakKey, &self.issuer)?;
        Ok(CertifiedKey::new(self.chain(&certificate), Arc::new(WeakKey)))
    }

    fn chain(&self, leaf: &rcgen::Certificate) -> Vec<CertificateDer<'static>> {
        vec![leaf.der().clone(), self.root.der().clone()]
    }
}

fn leaf(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = named(name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// The same certificate whatever name the client asks for, as a mail host with one name does.
#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
