//! Ids, handed out from blocks that the database has reserved.
//!
//! Owns:       the blocks in memory and the table `id_blocks`.
//! Promises:   an id is given once, also across restarts and nodes; gaps are fine; all stay below
//!             2^53, which the table's constraint keeps.
//! Knows not:  what is numbered.

use std::ops::Range;

use parking_lot::Mutex;

use super::database::Connection;
use super::dialect::Statement;
use super::error::{Result, StoreError};

/// Two seconds of mail at five thousand a second.
pub const BLOCK_IDS: i64 = 10_000;

pub static RESERVE: Statement =
    Statement::new("UPDATE id_blocks SET next = next + $2 WHERE name = $1 RETURNING next - $2");

/// The first of `count` ids that are now the caller's.
pub async fn reserve(connection: &mut Connection, name: &str, count: i64) -> Result<i64> {
    let rows = connection.fetch(&RESERVE, vec![name.into(), count.into()]).await?;
    match rows.first() {
        Some(row) => row.int(0),
        None => Err(StoreError::Refused(format!("there are no ids for a {name}"))),
    }
}

/// What is left of the current block. The lock is held for two additions.
#[derive(Debug, Default)]
pub struct Block(Mutex<Range<i64>>);

impl Block {
    /// The first of `count` consecutive ids, if the block still holds as many.
    pub fn take(&self, count: i64) -> Option<i64> {
        let mut left = self.0.lock();
        let first = left.start;
        if left.end - first < count {
            return None;
        }
        left.start = first + count;
        Some(first)
    }

    /// The rest of the old block becomes a gap, unless the new one follows it.
    pub fn refill(&self, first: i64, count: i64) {
        let mut left = self.0.lock();
        if left.end == first {
            left.end = first + count;
        } else {
            *left = first..first + count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_gives_each_id_once_and_consecutive_ones_together() {
        let block = Block::default();
        assert_eq!(block.take(1), None);
        block.refill(1, 10);
        assert_eq!(block.take(4), Some(1));
        assert_eq!(block.take(7), None);
        assert_eq!(block.take(6), Some(5));
        block.refill(11, 5);
        block.refill(16, 5);
        assert_eq!(block.take(10), Some(11));
    }
}
