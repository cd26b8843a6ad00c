//! Segments that hold little but bodies long gone: what is still owed in them moves on.
//!
//! Owns:       which segments are worth it, and how much is copied at a time.
//! Promises:   a body is synced at its new place before its row points there; a segment whose last
//!             owed body has moved is removed by the next sweep.
//! Knows not:  what is said in a body.
//!
//! Without it a mail that is tried for four days keeps the whole segment in which it was accepted.

use std::time::Duration;

use super::{Queue, QueueError, Uncommitted};
use crate::model::*;
use crate::store::BodyMove;

/// Most mail is gone within an hour, and needs no second place.
const OLD_AFTER: Duration = Duration::from_secs(3600);
/// A segment is worth it when no more than a quarter of it is owed.
const LIVE_SHARE: u64 = 4;
/// Of one look.
const BODIES_MAX: usize = 500;
const BYTES_MAX: u64 = 16 * 1024 * 1024;

impl Queue {
    /// Returns how many bodies were moved.
    pub async fn compact(&self) -> Result<usize, QueueError> {
        let mut moved = 0;
        let mut bytes_left = BYTES_MAX;
        for segment in self.sparse().await? {
            let room = BODIES_MAX - moved;
            if room == 0 || bytes_left == 0 {
                break;
            }
            // A segment that stays for its sources need not be emptied.
            let old = self.0.clock.now() - OLD_AFTER.max(self.0.options.keep_bodies);
            let bodies = self.0.store.old_bodies(segment, old, room).await?;
            moved += self.move_bodies(bodies, &mut bytes_left).await?;
        }
        Ok(moved)
    }

    /// Sealed segments of which little is owed, oldest first.
    async fn sparse(&self) -> Result<Vec<SegmentId>, QueueError> {
        let sealed = self.0.spool.sealed();
        let mut sparse = Vec::new();
        for row in self.0.store.segments().await? {
            if row.live_bodies == 0 || !sealed.contains(&row.id) {
                continue;
            }
            let size = self.0.spool.size_of(row.id).await?;
            if row.live_bytes.saturating_mul(LIVE_SHARE) <= size {
                sparse.push(row.id);
            }
        }
        Ok(sparse)
    }

    async fn move_bodies(
        &self,
        bodies: Vec<(MessageId, BodyRef)>,
        bytes_left: &mut u64,
    ) -> Result<usize, QueueError> {
        let mut moves = Vec::new();
        // Nothing in the ledger points at the copies before the rows have moved.
        let mut copies: Vec<Uncommitted> = Vec::new();
        for (message, from) in bodies {
            if *bytes_left == 0 {
                break;
            }
            let body = match self.0.spool.read(from).await {
                Ok(body) => body,
                Err(error) => {
                    // Its attempt will say so too, and hold it.
                    tracing::warn!(%error, %message, "a body stays where it is");
                    continue;
                }
            };
            let copy = self.append(body).await?;
            *bytes_left = bytes_left.saturating_sub(from.length);
            moves.push(BodyMove { message, from, to: copy.body });
            copies.push(copy);
        }
        if moves.is_empty() {
            return Ok(0);
        }
        let count = moves.len();
        self.0.store.move_bodies(moves).await?;
        drop(copies);
        Ok(count)
    }
}
