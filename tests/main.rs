//! All integration tests, in one binary: scenarios whose names are claims.

mod benches;
mod layers;
mod peers;
mod sources;
mod tidy;
