//! All integration tests, in one binary: scenarios whose names are claims.
mod listener;

mod cli;
mod config;

mod accept;
mod dkim;

mod store;

mod crash;
mod spool;
mod support;

mod clients;
mod scenarios;
mod support;
mod world;

mod benches;
mod layers;
mod peers;
mod sources;
mod tidy;
