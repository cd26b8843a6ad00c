//! The ids of events, and up to which of them a reader may go.
//!
//! Owns:       the ids that the writer gives to events; the sequence `event_ids` of PostgreSQL.
//! Promises:   an id is given once, also across restarts and nodes; below `settled_before` no event
//!             comes any more, so a reader that goes on behind the last id it saw misses nothing.
//! Knows not:  who reads.
//!
//! SQLite has one writer, whose ids rise in the order of commits. On PostgreSQL the transactions of
//! several nodes overlap, and one with smaller ids may commit later than one with greater ids. So
//! each transaction takes ids of its own there, after it has locked (shared: nobody waits for
//! another) a number that is not above any of them; the lock ends with the commit. A reader stops
//! before the smallest number that is locked. A node that hangs in a transaction holds readers
//! back, and no other writer.

use std::ops::Range;

use super::Store;
use super::database::Connection;
use super::dialect::{Dialect, Statement};
use super::error::{Result, StoreError};
use super::ids;

/// What SQLite's writer reserves at once.
const BLOCK_IDS: i64 = 100_000;
/// What one transaction on PostgreSQL takes at once: the increment of the sequence. What it does
/// not need becomes a gap. Half a million million transactions come before 2^53.
const CHUNK_IDS: i64 = 16_384;
/// Tells our locks from other advisory locks of the database: the bits above the 53 of an id.
const LOCK_TAG: i64 = 0x2D1;
const LOCK_SHIFT: u32 = 53;
const _: () = assert!(LOCK_TAG < 1 << 10, "a lock's number is not negative");

/// The lock comes before the ids: a reader who does not see it yet has read how many ids were
/// handed out before that.
pub static NEXT_CHUNK: Statement = Statement::pair(
    "SELECT next FROM id_blocks WHERE name = 'event' AND next > $1",
    "WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared($1) AS lock) \
     SELECT nextval('event_ids') FROM held",
);

/// All ids that were handed out are below it.
pub static HANDED_OUT: Statement = Statement::pair(
    "SELECT next FROM id_blocks WHERE name = 'event'",
    "SELECT last_value + 16384 FROM event_ids",
);

/// The smallest number that a transaction under way has locked. A lock of a bigint is shown in two
/// halves, and with `objsubid` 1.
pub static LOCKED: Statement = Statement::pair(
    "SELECT NULL WHERE $1 > 0",
    "SELECT MIN((classid::bigint << 32 | objid::bigint) & 9007199254740991) FROM pg_locks \
     WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 21 = $1 \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&NEXT_CHUNK, &HANDED_OUT, &LOCKED];

/// The writer's own; nobody else takes ids for events.
#[derive(Debug, Default)]
pub struct Events {
    left: Range<i64>,
    /// None that is taken from now on is below.
    from: i64,
}

impl Events {
    /// A transaction begins: what the one before has left may be below what others have committed.
    pub fn begin(&mut self, dialect: Dialect) {
        if dialect == Dialect::Postgres {
            self.forget();
        }
    }

    /// What is left is given to nobody. To be called when a transaction has failed: the block may
    /// have been reserved in it, and then it is reserved no more.
    pub fn forget(&mut self) {
        self.left = 0..0;
    }

    /// The first of `count` ids; on PostgreSQL in a transaction. A block left over becomes a gap.
    pub async fn take(&mut self, connection: &mut Connection, count: usize) -> Result<i64> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if self.left.end - self.left.start < count {
            self.left = match connection.dialect() {
                Dialect::Sqlite => {
                    let block = BLOCK_IDS.max(count);
                    let first = ids::reserve(connection, "event", block).await?;
                    first..first + block
                }
                Dialect::Postgres => self.chunk(connection, count).await?,
            };
            self.from = self.left.end;
        }
        let first = self.left.start;
        self.left.start += count;
        Ok(first)
    }

    async fn chunk(&self, connection: &mut Connection, count: i64) -> Result<Range<i64>> {
        if count > CHUNK_IDS {
            return Err(StoreError::Refused(format!("{count} events in one transaction")));
        }
        let lock = LOCK_TAG << LOCK_SHIFT | self.from;
        let rows = connection.fetch(&NEXT_CHUNK, vec![lock.into()]).await?;
        let row = rows.first().ok_or_else(|| StoreError::broken_row("no ids for events"))?;
        let first = row.int(0)?;
        Ok(first..first + CHUNK_IDS)
    }
}

impl Store {
    /// Events with ids below it are all there; what comes later has this id or a greater one.
    pub(super) async fn settled_before(&self) -> Result<i64> {
        let database = self.database();
        if database.dialect() == Dialect::Sqlite {
            return Ok(i64::MAX);
        }
        // In this order: ids handed out after the first look are not below what it says, and those
        // handed out before are of transactions that hold their lock in the second, or have ended.
        let handed_out = database.fetch_one(&HANDED_OUT, vec![]).await?.int(0)?;
        let locked = database.fetch_one(&LOCKED, vec![LOCK_TAG.into()]).await?.maybe_int(0)?;
        Ok(locked.map_or(handed_out, |locked| locked.min(handed_out)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_know_how_many_ids_a_chunk_has() {
        let handed_out = HANDED_OUT.render(Dialect::Postgres, 1);
        assert!(handed_out.contains(&format!("+ {CHUNK_IDS} ")), "{handed_out}");
        let migration = include_str!("../../migrations/postgres/0026_event_ids.sql");
        assert!(migration.contains(&format!("INCREMENT BY {CHUNK_IDS} ")), "{migration}");
        assert!(migration.contains(&format!("/ {CHUNK_IDS} ")), "{migration}");
        let locked = LOCKED.render(Dialect::Postgres, 1);
        assert!(locked.contains(&format!("& {})", (1_i64 << LOCK_SHIFT) - 1)), "{locked}");
        assert!(locked.contains(&format!(">> {} = $1", LOCK_SHIFT - 32)), "{locked}");
    }
}
