//! The only door: identity, size, loops, sender; the mail is stamped and enqueued.
//!
//! Owns:       the rules by which a submission becomes a message.
//! Promises:   accepted whole or not at all; when it answers with an id, the mail is on disk.
//! Knows not:  SMTP sessions, HTTP requests.

use std::net::IpAddr;

use bytes::Bytes;

use crate::auth::Identity;
use crate::model::*;

/// How the mail came in; for the Received field (RFC 5321 §4.4, RFC 3848).
#[derive(Clone, Debug)]
pub struct Arrival {
    pub peer: IpAddr,
    /// What the client called itself in EHLO or HELO.
    pub ehlo: String,
    /// ESMTPSA, ESMTPS, ESMTPA, ESMTP, UTF8SMTPSA …, HTTP.
    pub protocol: &'static str,
    /// `TLSv1.3 TLS13_AES_256_GCM_SHA384`.
    pub tls: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Submission {
    pub identity: Identity,
    pub envelope: Envelope,
    /// As received, dots unstuffed, CRLF lines only.
    pub mail: Bytes,
    pub arrival: Arrival,
}

/// What a client is told; `Display` is `code enhanced text`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} {} {text}", enhanced)]
pub struct Refusal {
    pub code: u16,
    pub enhanced: Enhanced,
    pub text: String,
}

#[derive(Clone)]
pub struct Acceptance {}

impl Acceptance {
    /// Before the body is taken: is there room for it, may this identity send as this envelope
    /// sender? (P5: 452 4.3.1 where it is known early.)
    pub fn check_sender(
        &self,
        identity: &Identity,
        sender: &ReversePath,
        declared_bytes: Option<u64>,
    ) -> Result<(), Refusal> {
        todo!()
    }
    pub async fn submit(&self, submission: Submission) -> Result<MessageId, Refusal> {
        todo!()
    }
}
