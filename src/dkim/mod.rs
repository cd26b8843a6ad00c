//! DKIM keys and signatures (RFC 6376, RFC 8463).
//!
//! Owns:       the files in `dkim-keys/` (mode 0600), the signer and its canonicalization.
//! Promises:   both signatures share one body hash; relaxed/relaxed, no `l=`, over-signed; what it
//!             signs, two independent verifiers accept.
//! Knows not:  whose mail it is.

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DkimError(String);

pub mod keys {
    use std::path::Path;

    use super::DkimError;
    use crate::model::{Domain, Timestamp};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Algorithm {
        RsaSha256,
        Ed25519Sha256,
    }

    impl Algorithm {
        pub const fn word(self) -> &'static str {
            match self {
                Algorithm::RsaSha256 => "rsa-sha256",
                Algorithm::Ed25519Sha256 => "ed25519-sha256",
            }
        }
    }

    pub struct NewKey {
        pub domain: Domain,
        pub selector: String,
        pub algorithm: Algorithm,
        pub record: String,
        pub created_at: Timestamp,
    }

    pub fn create(
        directory: &Path,
        domain: &Domain,
        selector: Option<&str>,
        at: Timestamp,
    ) -> Result<[NewKey; 2], DkimError> {
        todo!()
    }
}
