//! All integration tests, in one binary: scenarios whose names are claims.

mod support;

mod accept;
mod cli;
mod clients;
mod config;
mod demo;
mod dkim;
mod listener;
mod scenarios;
mod world;
