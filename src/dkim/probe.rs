//! A mail that goes nowhere, signed with one key: whether receivers could verify what it signs.
//!
//! Promises:   the signature does not run out, so that a clock that stands proves nothing wrong.
//! Knows not:  DNS.

use super::{DkimError, Order, PrivateKey, sign};
use crate::model::Timestamp;

/// In the year 2096; a verifier asks whether the signature is over, not whether it has begun.
const SIGNED_AT: Timestamp = Timestamp::from_seconds(4_000_000_000);

/// The probe with its signature.
///
/// # Errors
/// `Sign` when the key fails.
pub fn signed(key: &PrivateKey) -> Result<Vec<u8>, DkimError> {
    let domain = &key.domain;
    let mail = format!(
        "From: <probe@{domain}>\r\nTo: <probe@{domain}>\r\nSubject: probe of {}\r\n\
         Message-ID: <probe@{domain}>\r\n\r\nIs this key in DNS?\r\n",
        key.selector
    );
    let order = Order { mail: mail.as_bytes(), at: SIGNED_AT, marketing: false };
    let mut signed = sign(order, std::iter::once(key))?;
    signed.extend_from_slice(mail.as_bytes());
    Ok(signed)
}
