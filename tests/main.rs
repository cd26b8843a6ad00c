//! All integration tests, in one binary: scenarios whose names are claims.

mod crash;
mod spool;
mod support;
