//! All integration tests, in one binary: scenarios whose names are claims.

mod clients;
mod scenarios;
mod support;
mod world;
