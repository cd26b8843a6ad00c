//! All integration tests, in one binary: scenarios whose names are claims.

mod accept;
mod api;
mod benches;
mod cli;
mod clients;
mod config;
mod crash;
mod deliver;
mod demo;
mod dkim;
mod dns;
mod dsn;
mod faults;
mod fetch;
mod layers;
mod listener;
mod peers;
mod scenarios;
mod service;
mod sources;
mod spool;
mod store;
mod support;
mod tidy;
mod webhooks;
mod world;
