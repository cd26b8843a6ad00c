//! DKIM keys and signatures (RFC 6376, RFC 8463).
//!
//! Owns:       the files in `dkim-keys/` (mode 0600), the signer and its canonicalization.
//! Promises:   both signatures share one body hash; relaxed/relaxed, no `l=`, over-signed; what it
//!             signs, two independent verifiers accept.
//! Knows not:  whose mail it is.

pub mod canonical; // relaxed header fields and body hash
pub mod keys; // private keys as files
pub mod probe; // a mail that proves a key
pub mod signer; // DKIM-Signature fields

pub use keys::{Algorithm, NewKey, PrivateKey};
pub use signer::{Order, sign};

use std::path::PathBuf;

use crate::wire::header::HeaderError;

#[derive(Debug, thiserror::Error)]
pub enum DkimError {
    #[error("'{0}' is not a selector: letters, digits and hyphens, parted by dots, 60 at most are")]
    Selector(String),
    #[error("there is a key already in {}: choose another selector", .0.display())]
    Exists(PathBuf),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// Others on this machine could read or replace the key.
    #[error(
        "{} has mode {mode:04o}, so others than its owner can reach it: run chmod {wanted:o} on it",
        path.display()
    )]
    Mode { path: PathBuf, mode: u32, wanted: u32 },
    #[error("{} holds no {algorithm} key: {why}", path.display())]
    Unreadable { path: PathBuf, algorithm: Algorithm, why: String },
    #[error("'{0}' is not an algorithm that we sign with")]
    Algorithm(String),
    #[error("a key could not be made")]
    Generate,
    #[error("the key of selector {0} does not sign")]
    Sign(String),
    #[error(transparent)]
    Header(#[from] HeaderError),
}
