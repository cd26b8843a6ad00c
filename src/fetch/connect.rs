//! A connection to one of the addresses that a URL's host has.
//!
//! Owns:       the TLS settings of the client, the order in which addresses are tried.
//! Promises:   over https the certificate names the host and a root vouches for it.
//! Knows not:  HTTP.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{FetchError, Url};

pub trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}
pub type Wire = Pin<Box<dyn Stream>>;

/// Made when first used, since reading the system's roots takes a while.
pub struct Tls {
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
    extra_roots: Option<PathBuf>,
}

impl Tls {
    pub fn new(extra_roots: Option<PathBuf>) -> Tls {
        Tls { config: OnceLock::new(), extra_roots }
    }

    fn config(&self) -> Result<Arc<ClientConfig>, FetchError> {
        let made = self.config.get_or_init(|| client_config(self.extra_roots.as_ref()));
        made.clone().map_err(FetchError::Unlawful)
    }
}

fn client_config(extra_roots: Option<&PathBuf>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
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
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The first address that answers; each gets its share of the time.
pub async fn open(
    tls: &Tls,
    url: &Url,
    addresses: &[IpAddr],
    wait: Duration,
) -> Result<(Wire, IpAddr), FetchError> {
    let share = wait / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut failure = FetchError::NoAddress(url.host().to_owned());
    for address in addresses {
        match tokio::time::timeout(share, open_one(tls, url, *address)).await {
            Ok(Ok(wire)) => return Ok((wire, *address)),
            Ok(Err(error)) => failure = error,
            Err(_) => {
                failure = FetchError::TimedOut { host: url.host().to_owned(), wait: share };
            }
        }
    }
    Err(failure)
}

async fn open_one(tls: &Tls, url: &Url, address: IpAddr) -> Result<Wire, FetchError> {
    let host = || url.host().to_owned();
    let tcp = TcpStream::connect(SocketAddr::new(address, url.port())).await;
    let tcp = tcp.map_err(|why| FetchError::Connect { host: host(), why: why.to_string() })?;
    if !url.is_https() {
        return Ok(Box::pin(tcp));
    }
    let refused = |why: String| FetchError::Tls { host: host(), why };
    let name = ServerName::try_from(host()).map_err(|error| refused(error.to_string()))?;
    let connector = TlsConnector::from(tls.config()?);
    let stream = connector.connect(name, tcp).await.map_err(|error| refused(error.to_string()))?;
    Ok(Box::pin(stream))
}
