//! Who asks: the operator on his socket, or the holder of a credential.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::access::Shared;
use super::problem::Problem;
use crate::auth::Identity;
use crate::auth::people::{Person, SignInError};
use crate::model::{OrganizationId, Permission, Scope};
use crate::store::MemberRow;

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
    /// May do what its scopes say, in its organization. The secret of an application that sends
    /// mail is not enough to steer the queue or to make further credentials.
    Credential(Identity),
    User(Box<Person>),
}

impl Caller {
    /// The organization to whose rows the caller is confined, if he `named` this one.
    pub fn scope(&self, named: Option<OrganizationId>) -> Result<Scope, Problem> {
        let own = match self {
            Caller::Operator => Scope::INSTALLATION,
            Caller::Credential(identity) => Scope::of(identity.organization),
            Caller::User(person) if person.user.installation_admin => Scope::INSTALLATION,
            Caller::User(person) => return belonging(person, named),
        };
        match named {
            None => Ok(own),
            Some(organization) if own.covers(organization) => Ok(Scope::of(organization)),
            Some(_) => Err(stranger()),
        }
    }

    /// What he may do there.
    pub fn permits(&self, permission: Permission, scope: Scope) -> bool {
        match self {
            Caller::Operator => true,
            Caller::Credential(identity) => {
                permission.is_for_credentials() && identity.rules.permits(permission)
            }
            Caller::User(person) if person.user.installation_admin => true,
            Caller::User(person) => {
                let role = scope.organization().and_then(|id| person.role_in(id));
                role.is_some_and(|role| role.permits(permission))
            }
        }
    }

    /// Stands above all organizations.
    pub fn is_trusted(&self) -> bool {
        match self {
            Caller::Operator => true,
            Caller::Credential(_) => false,
            Caller::User(person) => person.user.installation_admin,
        }
    }

    /// As the audit log names him.
    pub fn name(&self) -> String {
        match self {
            Caller::Operator => "operator".to_owned(),
            Caller::Credential(identity) => format!("credential {}", identity.name),
            Caller::User(person) => format!("user {} {}", person.user.id, person.user.email),
        }
    }
}

/// Who belongs to several organizations and named none may still ask what is his own.
fn belonging(person: &Person, named: Option<OrganizationId>) -> Result<Scope, Problem> {
    let of = |member: &MemberRow| Scope::of(member.organization);
    match (named, person.memberships.as_slice()) {
        (Some(named), of_all) => {
            of_all.iter().find(|member| member.organization == named).map(of).ok_or_else(stranger)
        }
        (None, [only]) => Ok(of(only)),
        (None, _) => Ok(Scope::NOTHING),
    }
}

/// Not told apart: an organization that is another's, and one that does not exist.
fn stranger() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "you do not belong to this organization")
}

/// The address that a request comes from, as far as it can be believed.
pub(super) fn address_of(parts: &Parts) -> Option<IpAddr> {
    match parts.extensions.get::<Peer>()? {
        Peer::Operator => Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
        Peer::Network { address, proxy: false } => Some(*address),
        Peer::Network { address, proxy: true } => {
            Some(forwarded_for(&parts.headers).unwrap_or(*address))
        }
    }
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Shared>) -> Result<Caller, Problem> {
        if parts.extensions.get::<Peer>() == Some(&Peer::Operator) {
            return Ok(Caller::Operator);
        }
        let address = address_of(parts).ok_or_else(unknown_caller)?;
        let auth = api.auth().ok_or_else(unknown_caller)?;
        if let Some((user, secret)) = credentials(&parts.headers) {
            return match auth.verify(&user, &secret, address).await {
                Ok(identity) => Ok(Caller::Credential(identity)),
                Err(error) => Err(refusal(error.into())),
            };
        }
        let token = session_token(&parts.headers).ok_or_else(unknown_caller)?;
        may_change(parts)?;
        let person = auth.person(token).await.map_err(refusal)?;
        person.map(|person| Caller::User(Box::new(person))).ok_or_else(unknown_caller)
    }
}

/// What a person or application is told that was not let in.
pub(super) fn refusal(error: SignInError) -> Problem {
    match error {
        SignInError::Refused => unknown_caller(),
        SignInError::CodeNeeded => {
            let problem = Problem::new(StatusCode::UNAUTHORIZED, error.to_string());
            Problem { field: Some("code".to_owned()), ..problem }
        }
        SignInError::Locked => {
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many failures");
            Problem { retry_after: Some(60), ..problem }
        }
        SignInError::Unavailable => {
            Problem::unavailable("credentials cannot be checked now; try again")
        }
        SignInError::Store(error) => error.into(),
    }
}

pub(super) const SESSION_COOKIE: &str = "postroad_session";

fn session_token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    let (_, token) = pairs.into_iter().find(|(name, _)| name.trim() == SESSION_COOKIE)?;
    Some(token.trim())
}

/// A browser sends a cookie along whoever made it ask. So what changes something must come from
/// our own pages, by the browser's word: Sec-Fetch-Site, or Origin in older ones.
pub(super) fn may_change(parts: &Parts) -> Result<(), Problem> {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let own = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == text("host")
        }
        (None, None) => false,
    };
    match own {
        true => Ok(()),
        false => Err(Problem::new(StatusCode::FORBIDDEN, "another site has asked for this")),
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

    fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = axum::http::Request::builder().method(method).uri("/v1/things");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn what_changes_something_must_come_from_our_own_pages() {
        let host = ("host", "mail.example");
        let may =
            |method: &str, headers: &[(&str, &str)]| may_change(&request(method, headers)).is_ok();
        assert!(may("GET", &[host]));
        assert!(may("POST", &[host, ("sec-fetch-site", "same-origin")]));
        assert!(may("POST", &[host, ("origin", "https://mail.example")]));
        assert!(!may("POST", &[host]));
        assert!(!may("POST", &[host, ("origin", "null")]));
        assert!(!may("DELETE", &[host, ("origin", "https://evil.example")]));
        for site in ["cross-site", "same-site", "none"] {
            let own = ("origin", "https://mail.example");
            assert!(!may("POST", &[host, own, ("sec-fetch-site", site)]), "{site}");
        }
    }

    #[test]
    fn a_session_is_read_from_among_other_cookies() {
        let cookies = with("cookie", "theme=dark; postroad_session=abc; x=y");
        assert_eq!(session_token(&cookies), Some("abc"));
        assert_eq!(session_token(&with("cookie", "xpostroad_session=abc")), None);
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
