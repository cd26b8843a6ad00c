//! Who asks: the operator on his socket, or the holder of a credential.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::access::Shared;
use super::problem::Problem;
use crate::auth::{AuthError, Identity};
use crate::model::{Permission, Scope};

/// Where a request came from; put beside it by what accepted the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The Unix socket, whose other end is root or the daemon's own user; or the operator's
    /// command itself, on a stopped store.
    Operator,
    Network {
        address: IpAddr,
        /// One of `http.proxies`, whose X-Forwarded-For is believed.
        proxy: bool,
    },
}

impl Peer {
    /// A request of this very host. What a proxy passed on is not.
    pub fn is_local(&self, headers: &HeaderMap) -> bool {
        match self {
            Peer::Operator => true,
            Peer::Network { address, .. } => {
                let passed_on = headers.contains_key("x-forwarded-for")
                    || headers.contains_key(header::FORWARDED);
                address.to_canonical().is_loopback() && !passed_on
            }
        }
    }
}

/// Somebody who was let in.
#[derive(Clone, Debug)]
pub enum Caller {
    Operator,
    /// May read what belongs to its organization, and nothing else: the secret of an application
    /// that sends mail must not be enough to steer the queue or to make further credentials.
    Credential(Identity),
}

impl Caller {
    /// The organization to whose rows the caller is confined.
    pub fn scope(&self) -> Scope {
        match self {
            Caller::Operator => Scope::INSTALLATION,
            Caller::Credential(identity) => Scope::of(identity.organization),
        }
    }

    pub fn permits(&self, permission: Permission) -> bool {
        match self {
            Caller::Operator => true,
            Caller::Credential(_) => permission == Permission::MessagesRead,
        }
    }
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Shared>) -> Result<Caller, Problem> {
        let address = match parts.extensions.get::<Peer>() {
            Some(Peer::Operator) => return Ok(Caller::Operator),
            Some(Peer::Network { address, proxy: false }) => *address,
            Some(Peer::Network { address, proxy: true }) => {
                forwarded_for(&parts.headers).unwrap_or(*address)
            }
            None => return Err(unknown_caller()),
        };
        let (user, secret) = credentials(&parts.headers).ok_or_else(unknown_caller)?;
        let auth = api.auth().ok_or_else(unknown_caller)?;
        match auth.verify(&user, &secret, address).await {
            Ok(identity) => Ok(Caller::Credential(identity)),
            Err(AuthError::Refused) => Err(unknown_caller()),
            Err(AuthError::Locked) => {
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many failures");
                Err(Problem { retry_after: Some(60), ..problem })
            }
            Err(AuthError::Unavailable) => {
                Err(Problem::unavailable("credentials cannot be checked now; try again"))
            }
        }
    }
}

fn unknown_caller() -> Problem {
    let detail = "sign in with a credential: Basic NAME and SECRET, or Bearer NAME:SECRET";
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

/// `Basic` (RFC 7617), or `Bearer` with the same pair in the clear for clients that know only it.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let pair = if scheme.eq_ignore_ascii_case("basic") {
        String::from_utf8(STANDARD.decode(token).ok()?).ok()?
    } else if scheme.eq_ignore_ascii_case("bearer") {
        token.to_owned()
    } else {
        return None;
    };
    let (user, secret) = pair.split_once(':')?;
    Some((user.to_owned(), secret.to_owned()))
}

/// The last address is the one the proxy itself has seen; those before it anybody can write.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let value = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let value = HeaderValue::from_str(value).expect("a header");
        HeaderMap::from_iter([(header::HeaderName::from_static(name), value)])
    }

    #[test]
    fn basic_and_bearer_carry_the_same_pair() {
        let pair = Some(("app".to_owned(), "s:e".to_owned()));
        assert_eq!(credentials(&with("authorization", "Basic YXBwOnM6ZQ==")), pair);
        assert_eq!(credentials(&with("authorization", "bearer app:s:e")), pair);
        for wrong in ["Basic app:s", "Bearer app", "Digest x", "YXBwOnM6ZQ=="] {
            assert_eq!(credentials(&with("authorization", wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn what_a_proxy_passed_on_is_not_local() {
        let peer = Peer::Network { address: "127.0.0.1".parse().expect("one"), proxy: true };
        assert!(peer.is_local(&HeaderMap::new()));
        assert!(!peer.is_local(&with("x-forwarded-for", "127.0.0.1")));
        let mapped = "::ffff:127.0.0.1".parse().expect("one");
        assert!(Peer::Network { address: mapped, proxy: false }.is_local(&HeaderMap::new()));
    }

    #[test]
    fn of_forwarded_addresses_only_the_last_counts() {
        let headers = with("x-forwarded-for", "1.1.1.1, 192.0.2.7");
        assert_eq!(forwarded_for(&headers), "192.0.2.7".parse().ok());
    }
}
