//! DKIM keys and signatures (RFC 6376, RFC 8463).
//!
//! Owns:       the files in `dkim-keys/` (mode 0600), the signer and its canonicalization.
//! Promises:   both signatures share one body hash; relaxed/relaxed, no `l=`, over-signed; what it
//!             signs, two independent verifiers accept.
//! Knows not:  whose mail it is.
