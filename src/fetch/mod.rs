//! An HTTP client that reaches only whom it may: webhooks, inbound routes, policies.
//!
//! Owns:       URLs, name look-up, connection, one request and its answer.
//! Promises:   no connection is opened to an address that is not global, unless its network is
//!             allowed; the address that was looked at is the one connected to, so that a name
//!             that changes in between gains nothing; redirects are answers, never followed; time
//!             and size have an end; no proxy variable of the environment is read.
//! Knows not:  what is sent, who asked for it, when to try again.

mod answer;
mod connect;
pub mod pace; // when a call is tried again
pub mod sign; // how a call is signed
mod url;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::dns::Resolver;
use crate::wire::network::{Network, is_global};
pub use answer::Answer;
use connect::Tls;
pub use url::{Url, UrlError};

/// A whole call: look-up, connection, request, answer.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// Of an answer's body; what is longer is cut, and that is noted.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 3;

#[derive(Clone, Debug, Default)]
pub struct FetchOptions {
    /// Private and loopback addresses that may be called all the same.
    pub allowed_networks: Vec<Network>,
    /// Certificates trusted beside the system's.
    pub extra_roots: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub url: Url,
    /// Names and values; a value with a control character is refused.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub wait: Duration,
    /// Of the answer's body.
    pub answer_bytes_max: usize,
}

impl Call {
    pub fn post(url: Url, content_type: &str, body: impl Into<Bytes>) -> Call {
        Call {
            method: Method::Post,
            url,
            headers: vec![("content-type".into(), content_type.into())],
            body: body.into(),
            wait: WAIT_DEFAULT,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }

    pub fn get(url: Url) -> Call {
        Call {
            method: Method::Get,
            url,
            headers: Vec::new(),
            body: Bytes::new(),
            wait: WAIT_DEFAULT,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("{host} is at {address}, which is not on the public internet and not allowed")]
    AddressRefused { host: String, address: IpAddr },
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("{0}")]
    Dns(String),
    #[error("no connection to {host}: {why}")]
    Connect { host: String, why: String },
    #[error("TLS with {host}: {why}")]
    Tls { host: String, why: String },
    #[error("{host} did not answer within {} s", .wait.as_secs())]
    TimedOut { host: String, wait: Duration },
    #[error("{host} answered what is not HTTP: {why}")]
    Protocol { host: String, why: String },
    /// Our own: a header that cannot be sent, a certificate file that cannot be read.
    #[error("{0}")]
    Unlawful(String),
}

impl FetchError {
    /// Whether trying again can help without a change by a person.
    pub fn is_transient(&self) -> bool {
        !matches!(self, FetchError::AddressRefused { .. } | FetchError::Unlawful(_))
    }
}

/// A cheap handle.
#[derive(Clone)]
pub struct Fetcher(Arc<Inner>);

struct Inner {
    resolver: Resolver,
    options: FetchOptions,
    tls: Tls,
}

impl Fetcher {
    pub fn new(resolver: Resolver, options: FetchOptions) -> Fetcher {
        let tls = Tls::new(options.extra_roots.clone());
        Fetcher(Arc::new(Inner { resolver, options, tls }))
    }

    /// One request, one answer, on a connection of its own. Any status is an answer.
    pub async fn call(&self, call: &Call) -> Result<Answer, FetchError> {
        let host = call.url.host().to_owned();
        match tokio::time::timeout(call.wait, self.call_now(call)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::TimedOut { host, wait: call.wait }),
        }
    }

    async fn call_now(&self, call: &Call) -> Result<Answer, FetchError> {
        let addresses = self.addresses(&call.url).await?;
        let (stream, address) =
            connect::open(&self.0.tls, &call.url, &addresses, call.wait).await?;
        answer::exchange(stream, call, address).await
    }

    /// Where a URL's host is, all of them allowed: one that is not refuses the whole name, since
    /// a name with one foot inside is an attack or a mistake.
    async fn addresses(&self, url: &Url) -> Result<Vec<IpAddr>, FetchError> {
        let host = url.host();
        let found = self.0.resolver.addresses(host).await;
        let found = found.map_err(|error| FetchError::Dns(error.to_string()))?;
        for address in &found {
            if !self.allows(*address) {
                let host = host.to_owned();
                return Err(FetchError::AddressRefused { host, address: *address });
            }
        }
        if found.is_empty() {
            return Err(FetchError::NoAddress(host.to_owned()));
        }
        Ok(found.into_iter().take(ADDRESSES_MAX).collect())
    }

    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_global(address) || self.0.options.allowed_networks.iter().any(|n| n.contains(address))
    }
}
