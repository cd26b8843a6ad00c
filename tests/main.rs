//! All integration tests, in one binary: scenarios whose names are claims.

mod deliver;
mod dns;
