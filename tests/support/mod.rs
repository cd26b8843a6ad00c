//! What several stories need: the other ends of the wire, and the books kept over them.

#[allow(dead_code, reason = "each story uses a part of it")]
pub mod ledger;
