//! Who is it, and what may he send as; for SMTP and HTTP alike.
//!
//! Owns:       password hashing, the cache of checked secrets, the directory of who owns what.
//! Promises:   one answer and one duration for unknown user, wrong password and revoked (A11).
//! Knows not:  SMTP, HTTP.

use std::net::IpAddr;

use crate::clock::Clock;
use crate::model::*;
use crate::store::Store;
use crate::wire::network::Network;

/// Somebody who may submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub credential: CredentialId,
    /// The credential's name, for logs.
    pub name: String,
    pub organization: OrganizationId,
    pub stream: StreamId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("unknown user or wrong password")]
    Refused,
    /// Too many failures of this account or address prefix; asked again too early.
    #[error("too many failures; wait")]
    Locked,
    #[error("credentials cannot be checked now")]
    Unavailable,
}

/// A cheap handle. Holds domains, streams and credentials in memory; `reload` after a change.
#[derive(Clone)]
pub struct Auth {}

impl Auth {
    /// `trusted`: networks that need no AUTH, each standing for a credential by name.
    pub async fn open(
        store: Store,
        trusted: Vec<(Network, String)>,
        clock: Clock,
    ) -> Result<Auth, crate::store::StoreError> {
        todo!()
    }
    pub async fn reload(&self) -> Result<(), crate::store::StoreError> {
        todo!()
    }
    /// Constant work whoever asks; argon2 runs off the async threads, once for each secret.
    pub async fn verify(
        &self,
        user: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<Identity, AuthError> {
        todo!()
    }
    pub fn trusted(&self, peer: IpAddr) -> Option<Identity> {
        todo!()
    }
    /// The organization's own domain that covers `domain` (itself or a parent), if any.
    pub fn sending_domain(
        &self,
        organization: OrganizationId,
        domain: &Domain,
    ) -> Option<DomainId> {
        todo!()
    }
    /// A stream of the organization by name: `X-Postroad-Stream`.
    pub fn stream(&self, organization: OrganizationId, name: &str) -> Option<StreamId> {
        todo!()
    }
    /// 0 transactional, 1 marketing.
    pub fn rank(&self, stream: StreamId) -> i64 {
        todo!()
    }
}

/// A new secret (URL-safe, 160 bits) and its argon2 hash as a PHC string.
pub fn new_secret() -> (String, String) {
    todo!()
}
/// The argon2 hash of a secret somebody chose.
pub fn hash_secret(secret: &str) -> String {
    todo!()
}
