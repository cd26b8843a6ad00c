//! listener
pub mod sasl;
pub mod session;
mod verbs;
