//! Segments in which nothing is owed go, at once or after a while.
//!
//! Owns:       when the source of mail that is over can be read no longer.
//! Promises:   what is owed stays; while disk is scarce nothing else does, oldest first.
//! Knows not:  which mail is over.

use std::collections::HashMap;

use super::{Queue, QueueError};
use crate::model::*;
use crate::store::SegmentRow;

/// Mail must be taken before old sources are kept.
const ROOM_FOR_MAIL: u64 = 256 * 1024 * 1024;

impl Queue {
    /// Removes sealed segments in which nothing is owed. Returns how many went.
    pub async fn sweep(&self) -> Result<usize, QueueError> {
        let mut sealed = self.0.spool.sealed();
        sealed.sort_unstable();
        let rows: HashMap<SegmentId, SegmentRow> =
            self.0.store.segments().await?.into_iter().map(|row| (row.id, row)).collect();
        let mut removed = 0;
        for segment in sealed {
            let row = rows.get(&segment);
            let owed = row.is_some_and(|row| row.live_bodies > 0);
            if owed || self.0.uncommitted.lock().contains_key(&segment) {
                continue;
            }
            if let Some(row) = row
                && self.keeps(row).await?
            {
                // Those behind it are younger.
                break;
            }
            // The ledger's row goes last: a crash between leaves a row without file, which holds
            // nothing, and not a file that nobody would ever look at again.
            self.0.spool.remove(segment).await?;
            self.0.store.remove_segment(segment).await?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Its sources are young enough to be read still, and there is room for them.
    async fn keeps(&self, row: &SegmentRow) -> Result<bool, QueueError> {
        let keep = self.0.options.keep_bodies;
        if keep.is_zero() || !self.has_room(ROOM_FOR_MAIL) {
            return Ok(false);
        }
        // A message that was forgotten has no source to read.
        let newest = self.0.store.message(row.message_last).await?;
        Ok(newest.is_some_and(|message| message.accepted_at > self.0.clock.now() - keep))
    }
}
