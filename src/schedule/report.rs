//! What the sender is told: delivery status notifications (RFC 3464) for what failed or waits.
//!
//! Owns:       when a report is made and what mail of ours carries it.
//! Promises:   never for the null sender, so never a report on a report.
//! Knows not:  how a report is laid out.
use super::Shared;
use super::verdict::Notice;
use crate::model::*;
use crate::queue::{Claimed, Prepared};

/// What is told of one delivery: the outcome, and when it is tried next.
pub type Told<'a> = (Notice, &'a Claimed, &'a Outcome, Timestamp);

impl Shared {
    pub(super) async fn report(&self, told: &[Told<'_>]) -> Option<Prepared> {
        todo!()
    }
}
