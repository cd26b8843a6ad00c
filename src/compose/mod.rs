//! A body becomes the bytes for one transaction: stamped and signed just before it is sent.
//!
//! Owns:       the signing pool and the signatures remembered for retries.
//! Promises:   the same message is sent with the same content at every try.
//! Knows not:  sockets.

use bytes::Bytes;

use crate::clock::Clock;
use crate::model::*;
use crate::store::{MessageRow, Store};

#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A key that should sign cannot be read or used: deferred, blame ourselves.
    #[error("the DKIM key of {domain} cannot be used: {why}")]
    Key { domain: String, why: String },
}

/// A cheap handle; all clones share keys and pool.
#[derive(Clone)]
pub struct Composer {}

impl Composer {
    /// Reads the private keys in `dkim_directory` of every key the store knows.
    pub async fn open(
        store: Store,
        dkim_directory: &std::path::Path,
        clock: Clock,
    ) -> Result<Composer, ComposeError> {
        todo!()
    }
    /// Domains or keys were added, or SIGHUP: reads them again.
    pub async fn reload(&self) -> Result<(), ComposeError> {
        todo!()
    }
    /// The body with its signatures in front; remembered, so that a retry or another recipient
    /// domain of the same message pays nothing. Signs on threads of its own.
    pub async fn compose(&self, message: &MessageRow, body: Bytes) -> Result<Mail, ComposeError> {
        todo!()
    }
}
