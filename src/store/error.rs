//! What can go wrong, and whether trying again can help.
//!
//! Owns:       the translation of both databases' errors by their codes, never by their texts.
//! Promises:   a duplicate has the same name on both databases: table and last column.
//! Knows not:  what the caller will do about it.

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another daemon holds the data directory.
    #[error("{0}")]
    Taken(String),
    /// Not now: gone, locked, disk full, too slow. Trying again can help.
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    /// It went away while it was writing: what was asked may have been written, and may not.
    #[error("the database went away in the middle: {0}")]
    Unsure(String),
    /// This row or statement can never work; trying again cannot help.
    #[error("the database refused: {0}")]
    Refused(String),
    /// A uniqueness constraint, by its name: `messages_idempotency_key`, `messages_id`.
    #[error("there is one already: {0}")]
    Duplicate(String),
}

impl StoreError {
    pub const fn is_transient(&self) -> bool {
        matches!(self, StoreError::Unavailable(_) | StoreError::Unsure(_))
    }

    /// Of a transaction that had begun.
    pub(super) fn in_the_middle(self) -> StoreError {
        match self {
            StoreError::Unavailable(why) => StoreError::Unsure(why),
            other => other,
        }
    }

    pub(super) fn too_slow(what: &str) -> StoreError {
        StoreError::Unavailable(format!("{what} took too long"))
    }

    pub(super) fn broken_row(what: impl std::fmt::Display) -> StoreError {
        StoreError::Refused(format!("a row cannot be read: {what}"))
    }
}

pub type Result<T> = std::result::Result<T, StoreError>;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        use sqlx::Error::{ColumnDecode, ColumnIndexOutOfBounds, ColumnNotFound, Decode, Encode};
        match &error {
            sqlx::Error::Database(inner) => from_database(inner.as_ref()),
            ColumnDecode { .. } | ColumnIndexOutOfBounds { .. } | ColumnNotFound(_) => {
                StoreError::broken_row(error)
            }
            Decode(_) | Encode(_) | sqlx::Error::RowNotFound => StoreError::broken_row(error),
            // Sockets, TLS, pools, a protocol cut short: the connection is what failed.
            _ => StoreError::Unavailable(error.to_string()),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> StoreError {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        match error {
            Execute(inner) | ExecuteMigration(inner, _) => inner.into(),
            other => StoreError::Refused(other.to_string()),
        }
    }
}

fn from_database(error: &(dyn sqlx::error::DatabaseError + 'static)) -> StoreError {
    let code = error.code().unwrap_or_default();
    let text = error.message().to_owned();
    if error.is_unique_violation() {
        return StoreError::Duplicate(match error.constraint() {
            Some(name) => name.to_owned(),
            None => name_from_columns(&text),
        });
    }
    let is_transient = match code.parse::<u32>() {
        // PostgreSQL's codes are five characters, SQLite's extended result codes are fewer.
        Ok(code) if text_is_sqlite(error) => is_transient_in_sqlite(code),
        _ => is_transient_in_postgres(&code),
    };
    if is_transient { StoreError::Unavailable(text) } else { StoreError::Refused(text) }
}

fn text_is_sqlite(error: &(dyn sqlx::error::DatabaseError + 'static)) -> bool {
    error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some()
}

/// <https://www.sqlite.org/rescode.html>; the primary code is in the low octet.
fn is_transient_in_sqlite(code: u32) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const OUT_OF_MEMORY: u32 = 7;
    const READ_ONLY: u32 = 8;
    const INTERRUPTED: u32 = 9;
    const IO: u32 = 10;
    const FULL: u32 = 13;
    const CANNOT_OPEN: u32 = 14;
    const PROTOCOL: u32 = 15;
    matches!(
        code & 0xff,
        BUSY | LOCKED
            | OUT_OF_MEMORY
            | READ_ONLY
            | INTERRUPTED
            | IO
            | FULL
            | CANNOT_OPEN
            | PROTOCOL
    )
}

/// <https://www.postgresql.org/docs/15/errcodes-appendix.html>; the class is the first two
/// characters.
fn is_transient_in_postgres(code: &str) -> bool {
    const CONNECTION: &str = "08";
    const ROLLBACK: &str = "40"; // Deadlocks and serialization failures.
    const RESOURCES: &str = "53"; // Disk full, out of memory, too many connections.
    const INTERVENTION: &str = "57"; // Shutting down, starting up, cancelled.
    const SYSTEM: &str = "58"; // Input and output errors.
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const READ_ONLY: &str = "25006"; // A standby that is not promoted yet.
    let class = code.get(..2).unwrap_or_default();
    matches!(class, CONNECTION | ROLLBACK | RESOURCES | INTERVENTION | SYSTEM)
        || matches!(code, LOCK_NOT_AVAILABLE | READ_ONLY)
}

/// SQLite names the columns instead of the constraint: `UNIQUE constraint failed:
/// messages.organization, messages.idempotency_key`. PostgreSQL's constraints are named so that
/// table and last column give the same word.
fn name_from_columns(text: &str) -> String {
    let columns = text.rsplit_once(": ").map_or(text, |(_, columns)| columns);
    columns.rsplit(", ").next().unwrap_or(columns).replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_is_named_by_table_and_last_column() {
        let text = "UNIQUE constraint failed: messages.organization, messages.idempotency_key";
        assert_eq!(name_from_columns(text), "messages_idempotency_key");
        assert_eq!(name_from_columns("UNIQUE constraint failed: messages.id"), "messages_id");
    }

    #[test]
    fn full_disks_locks_and_lost_servers_are_transient_and_broken_statements_are_not() {
        for code in [5, 13, 10 | (12 << 8), 261] {
            assert!(is_transient_in_sqlite(code), "{code}");
        }
        assert!(!is_transient_in_sqlite(1));
        assert!(!is_transient_in_sqlite(275));
        for code in ["08006", "53100", "57P01", "57P03", "40P01", "55P03"] {
            assert!(is_transient_in_postgres(code), "{code}");
        }
        for code in ["42601", "22P05", "23514", ""] {
            assert!(!is_transient_in_postgres(code), "{code}");
        }
    }
}
