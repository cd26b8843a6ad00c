//! Connections to either database, and rows read from it.
//!
//! Owns:       the options both are opened with, the pools, every wait on a database.
//! Promises:   no call waits without a deadline; a lost server heals without a restart.
//! Knows not:  tables.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, PgConnection, Row as _, SqlStr, SqliteConnection};

use super::Location;
use super::checkpoint::LOG_PAGES_MAX;
use super::dialect::{Dialect, Statement};
use super::error::{Result, StoreError};

/// Another process (a backup, a shell) may hold SQLite's write lock this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(4);
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// Lists over many rows; the hot reads take milliseconds.
const READ_DEADLINE: Duration = Duration::from_secs(30);
const READERS_MAX: u32 = 4;
/// Of a new ledger: a commit writes each page it touches whole, and a lone mail touches nine, of
/// which it fills a small part. With 2048 it writes some 3 KiB more for a mail at the same CPU time
/// and rate.
const PAGE_BYTES: u32 = 1024;
/// The writer's page cache: what it touches again and again at a million rows, in KiB.
const WRITER_CACHE_KIB: u32 = 3072;
/// A reader's page cache, in KiB: it is thrown away with each commit of the writer, so it serves
/// one statement's walk and no more.
const READER_CACHE_KIB: u32 = 512;

/// A value to bind.
#[derive(Clone, Debug)]
pub enum Value {
    Int(i64),
    MaybeInt(Option<i64>),
    Text(String),
    MaybeText(Option<String>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Value {
        Value::MaybeInt(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(value.to_owned())
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Value {
        Value::MaybeText(value)
    }
}

/// Where statements run: pools for readers, options for the writer's own connection.
#[derive(Clone, Debug)]
pub enum Database {
    Sqlite { options: Box<SqliteConnectOptions>, readers: SqlitePool },
    Postgres { options: Box<PgConnectOptions>, pool: PgPool },
}

/// The writer's own connection.
#[derive(Debug)]
pub enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

#[derive(Debug)]
pub enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Database {
    /// Opens nothing yet but what reading needs; a server that is away now may come later.
    pub fn new(location: &Location, read_only: bool) -> Result<Database> {
        match location {
            Location::Sqlite(directory) => Ok(Database::sqlite(directory, read_only)),
            Location::Postgres(url) => Database::postgres(url),
        }
    }

    fn sqlite(directory: &Path, read_only: bool) -> Database {
        let options = SqliteConnectOptions::new()
            .filename(directory.join("ledger.sqlite"))
            .busy_timeout(BUSY_TIMEOUT)
            .row_buffer_size(256)
            .disable_statement_logging();
        let reading =
            options.clone().read_only(true).pragma("cache_size", format!("-{READER_CACHE_KIB}"));
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(READ_DEADLINE)
            .test_before_acquire(false)
            .connect_lazy_with(reading);
        let options = options
            .create_if_missing(!read_only)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("wal_autocheckpoint", LOG_PAGES_MAX.to_string())
            .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"));
        Database::Sqlite { options: Box::new(options), readers }
    }

    fn postgres(url: &str) -> Result<Database> {
        let options = PgConnectOptions::from_str(url)
            // The URL holds a password, so the error's own text is not told.
            .map_err(|_| StoreError::Refused("the PostgreSQL URL cannot be read".to_owned()))?
            .application_name("postroad")
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(READERS_MAX * 2)
            .acquire_timeout(CONNECT_DEADLINE)
            .connect_lazy_with(options.clone());
        Ok(Database::Postgres { options: Box::new(options), pool })
    }

    pub fn dialect(&self) -> Dialect {
        match self {
            Database::Sqlite { .. } => Dialect::Sqlite,
            Database::Postgres { .. } => Dialect::Postgres,
        }
    }

    pub async fn connect(&self) -> Result<Connection> {
        let connecting = async {
            match self {
                Database::Sqlite { options, .. } => {
                    let connection = SqliteConnection::connect_with(options).await;
                    let mut connection = connection.map_err(unreachable)?;
                    mark_moves(&mut connection).await?;
                    Ok(Connection::Sqlite(connection))
                }
                Database::Postgres { options, .. } => {
                    let connection = PgConnection::connect_with(options).await;
                    Ok(Connection::Postgres(connection.map_err(unreachable)?))
                }
            }
        };
        within(CONNECT_DEADLINE + BUSY_TIMEOUT, "connecting", connecting).await
    }

    /// Reads on a pooled connection.
    pub async fn fetch(&self, statement: &Statement, values: Vec<Value>) -> Result<Vec<Row>> {
        self.fetch_text(statement.sql(self.dialect()), values).await
    }

    /// As `fetch`, of a text made at run time.
    pub async fn fetch_text(&self, sql: SqlStr, values: Vec<Value>) -> Result<Vec<Row>> {
        let reading = async {
            match self {
                Database::Sqlite { readers, .. } => {
                    let mut connection = readers.acquire().await.map_err(unreachable)?;
                    let rows = sqlite_query(sql, values).fetch_all(&mut *connection).await?;
                    Ok(rows.into_iter().map(Row::Sqlite).collect())
                }
                Database::Postgres { pool, .. } => {
                    let mut connection = pool.acquire().await.map_err(unreachable)?;
                    let rows = postgres_query(sql, values).fetch_all(&mut *connection).await?;
                    Ok(rows.into_iter().map(Row::Postgres).collect())
                }
            }
        };
        within(READ_DEADLINE, "reading", reading).await
    }

    pub async fn fetch_one(&self, statement: &Statement, values: Vec<Value>) -> Result<Row> {
        let rows = self.fetch(statement, values).await?;
        rows.into_iter().next().ok_or_else(|| StoreError::broken_row("there is none"))
    }

    pub async fn close(&self) {
        match self {
            Database::Sqlite { readers, .. } => readers.close().await,
            Database::Postgres { pool, .. } => pool.close().await,
        }
    }
}

impl Connection {
    pub fn dialect(&self) -> Dialect {
        match self {
            Connection::Sqlite(_) => Dialect::Sqlite,
            Connection::Postgres(_) => Dialect::Postgres,
        }
    }

    pub async fn fetch(&mut self, statement: &Statement, values: Vec<Value>) -> Result<Vec<Row>> {
        let sql = statement.sql(self.dialect());
        match self {
            Connection::Sqlite(connection) => {
                let rows = sqlite_query(sql, values).fetch_all(connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Connection::Postgres(connection) => {
                let rows = postgres_query(sql, values).fetch_all(connection).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Returns the number of rows changed.
    pub async fn execute(&mut self, statement: &Statement, values: Vec<Value>) -> Result<u64> {
        let sql = statement.sql(self.dialect());
        self.execute_sql(sql, values).await
    }

    /// As `execute`; on SQLite the text may hold several statements that share the values, and
    /// costs one round trip to the connection's thread for all of them.
    pub async fn execute_sql(&mut self, sql: SqlStr, values: Vec<Value>) -> Result<u64> {
        Ok(match self {
            Connection::Sqlite(connection) => {
                sqlite_query(sql, values).execute(connection).await?.rows_affected()
            }
            Connection::Postgres(connection) => {
                postgres_query(sql, values).execute(connection).await?.rows_affected()
            }
        })
    }

    pub async fn close(self) {
        let closed = match self {
            Connection::Sqlite(connection) => connection.close().await,
            Connection::Postgres(connection) => connection.close().await,
        };
        if let Err(error) = closed {
            tracing::debug!(reason = %error, "the database connection was not closed in order");
        }
    }
}

/// Marks each delivery that a transaction moves, for the crash tests: SQLite takes the whole
/// transaction as one text, so nothing of ours runs in the middle of it but this.
#[cfg(debug_assertions)]
async fn mark_moves(connection: &mut SqliteConnection) -> Result<()> {
    use sqlx::sqlite::SqliteOperation::Update;

    let mut handle = connection.lock_handle().await.map_err(unreachable)?;
    handle.set_update_hook(|change| {
        if change.operation == Update && change.table == "deliveries" {
            crate::model::moment::reached(c"deliveries_moving");
        }
    });
    Ok(())
}

#[cfg(not(debug_assertions))]
async fn mark_moves(_connection: &mut SqliteConnection) -> Result<()> {
    Ok(())
}

/// A server that lets nobody in, for whatever reason, may do so again after a hand at the server.
pub fn unreachable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// Waits no longer than `deadline`. What is cut off may or may not have happened, so a connection
/// that was cut off must not be used again.
pub async fn within<T>(
    deadline: Duration,
    what: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(deadline, work).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::too_slow(what)),
    }
}

macro_rules! bind_all {
    ($sql:expr, $values:expr) => {{
        let mut query = sqlx::query($sql);
        for value in $values {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::MaybeInt(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::MaybeText(value) => query.bind(value),
            };
        }
        query
    }};
}

type SqliteQuery = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;
type PostgresQuery = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn sqlite_query(sql: SqlStr, values: Vec<Value>) -> SqliteQuery {
    bind_all!(sql, values)
}

fn postgres_query(sql: SqlStr, values: Vec<Value>) -> PostgresQuery {
    bind_all!(sql, values)
}

/// Within a transaction of the caller's own, which only PostgreSQL has.
pub async fn postgres_fetch(
    connection: &mut PgConnection,
    statement: &Statement,
    values: Vec<Value>,
) -> Result<Vec<Row>> {
    let sql = statement.sql(Dialect::Postgres);
    let rows = postgres_query(sql, values).fetch_all(connection).await?;
    Ok(rows.into_iter().map(Row::Postgres).collect())
}

pub async fn postgres_execute(
    connection: &mut PgConnection,
    statement: &Statement,
    values: Vec<Value>,
) -> Result<u64> {
    let sql = statement.sql(Dialect::Postgres);
    Ok(postgres_query(sql, values).execute(connection).await?.rows_affected())
}

macro_rules! column_of_either {
    ($row:expr, $position:expr) => {
        match $row {
            Row::Sqlite(row) => row.try_get_unchecked($position).map_err(StoreError::from),
            Row::Postgres(row) => row.try_get_unchecked($position).map_err(StoreError::from),
        }
    };
}

impl Row {
    pub fn int(&self, position: usize) -> Result<i64> {
        column_of_either!(self, position)
    }

    pub fn maybe_int(&self, position: usize) -> Result<Option<i64>> {
        column_of_either!(self, position)
    }

    pub fn text(&self, position: usize) -> Result<String> {
        column_of_either!(self, position)
    }

    pub fn maybe_text(&self, position: usize) -> Result<Option<String>> {
        column_of_either!(self, position)
    }

    pub fn flag(&self, position: usize) -> Result<bool> {
        Ok(self.int(position)? != 0)
    }

    pub fn unsigned(&self, position: usize) -> Result<u64> {
        u64::try_from(self.int(position)?).map_err(StoreError::broken_row)
    }

    /// A value with a text form of its own: a state, a domain, an address.
    pub fn parsed<T: FromStr>(&self, position: usize) -> Result<T>
    where
        T::Err: std::fmt::Display,
    {
        self.text(position)?.parse().map_err(StoreError::broken_row)
    }

    pub fn maybe_parsed<T: FromStr>(&self, position: usize) -> Result<Option<T>>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.maybe_text(position)?;
        text.map(|text| text.parse().map_err(StoreError::broken_row)).transpose()
    }
}
