//! All integration tests, in one binary: scenarios whose names are claims.

mod accept;
mod dkim;
mod dsn;
