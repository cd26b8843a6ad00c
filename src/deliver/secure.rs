//! TLS towards receiving hosts.
//!
//! Owns:       the TLS configurations, their sessions for resumption, and what a stream is.
//! Promises:   opportunistic TLS takes any certificate, verified TLS only one that a root vouches
//!             for and that names the host; sessions of the one never serve the other.
//! Knows not:  SMTP.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::socket::{self, Waiting};
use crate::model::TlsMode;

/// Hosts whose sessions are remembered, for each of the two configurations.
const SESSIONS_MAX: usize = 4096;

/// Both configurations; made when first used, since reading the system's roots takes a while.
pub(super) struct TlsConfigs {
    any: OnceLock<Result<Arc<ClientConfig>, String>>,
    verified: OnceLock<Result<Arc<ClientConfig>, String>>,
    extra_roots: Option<PathBuf>,
}

impl TlsConfigs {
    pub(super) fn new(extra_roots: Option<PathBuf>) -> TlsConfigs {
        TlsConfigs { any: OnceLock::new(), verified: OnceLock::new(), extra_roots }
    }

    fn config_for(&self, mode: TlsMode) -> io::Result<Arc<ClientConfig>> {
        let made = match mode {
            TlsMode::Verified | TlsMode::Implicit => {
                self.verified.get_or_init(|| verified_config(self.extra_roots.as_ref()))
            }
            TlsMode::None | TlsMode::Opportunistic | TlsMode::Required => {
                self.any.get_or_init(any_config)
            }
        };
        made.clone().map_err(io::Error::other)
    }

    /// The handshake; `host` is what the certificate must name when `mode` asks for that.
    pub(super) async fn handshake(
        &self,
        tcp: TcpStream,
        host: &str,
        mode: TlsMode,
    ) -> io::Result<Wire> {
        let name = match (ServerName::try_from(host.to_owned()), mode) {
            (Ok(name), _) => name,
            (Err(_), TlsMode::Verified | TlsMode::Implicit) => {
                let reason = format!("'{host}' cannot stand in a certificate");
                return Err(io::Error::other(reason));
            }
            // No name is checked, so an odd one is no reason to go in the clear.
            (Err(_), _) => ServerName::from(tcp.peer_addr()?.ip()),
        };
        let connector = TlsConnector::from(self.config_for(mode)?);
        let stream = connector.connect(name, tcp).await?;
        Ok(Wire::Tls(Box::new(stream)))
    }
}

fn any_config() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    Ok(Arc::new(config))
}

fn verified_config(extra_roots: Option<&PathBuf>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in native.errors {
        tracing::warn!(reason = %error, "a root certificate of the system cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra_roots {
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| format!("the roots in {} cannot be read: {error}", path.display()))?;
        roots.add_parsable_certificates(certificates);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    Ok(Arc::new(config))
}

/// Accepts every certificate and signature. Without a name to trust, an attacker in the middle
/// could show a certificate of his own, so checking the signature would protect nothing; not
/// checking it keeps the mail encrypted towards hosts with expired, short or odd keys (RFC 7435).
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        use SignatureScheme::*;
        vec![
            ECDSA_NISTP256_SHA256,
            ECDSA_NISTP384_SHA384,
            ECDSA_NISTP521_SHA512,
            ED25519,
            ED448,
            RSA_PSS_SHA256,
            RSA_PSS_SHA384,
            RSA_PSS_SHA512,
            RSA_PKCS1_SHA256,
            RSA_PKCS1_SHA384,
            RSA_PKCS1_SHA512,
            ECDSA_SHA1_Legacy,
            RSA_PKCS1_SHA1,
        ]
    }
}

/// A stream to a host, in the clear or not.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(tcp) => tcp,
            Wire::Tls(tls) => tls.get_ref().0,
        }
    }

    /// `TLSv1.3 TLS13_AES_256_GCM_SHA384`; None in the clear.
    pub(super) fn tls_facts(&self) -> Option<String> {
        let Wire::Tls(tls) = self else { return None };
        let session = tls.get_ref().1;
        let version = match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLS",
        };
        let suite = session.negotiated_cipher_suite();
        Some(suite.map_or_else(|| version.into(), |s| format!("{version} {:?}", s.suite())))
    }

    /// Nothing waits to be read and the host has not closed. Under TLS a waiting octet may be a
    /// session ticket, so there only the end of the stream counts.
    pub(super) fn is_quiet(&self) -> bool {
        match socket::waiting(self.tcp()) {
            Ok(Waiting::Nothing) => true,
            Ok(Waiting::Octets) => matches!(self, Wire::Tls(_)),
            Ok(Waiting::End) | Err(_) => false,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(tcp) => Pin::new(tcp).poll_read(cx, into),
            Wire::Tls(tls) => Pin::new(tls).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(tcp) => Pin::new(tcp).poll_write(cx, octets),
            Wire::Tls(tls) => Pin::new(tls).poll_write(cx, octets),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Wire::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Wire::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Wire::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
