//! Imports: how far each has come.
//!
//! Owns:       the table `imports`.
//! Promises:   progress commits with the contacts it tells of, so that a crash repeats no row and
//!             leaves none out; one that was cancelled writes nothing more.
//! Knows not:  files.

use crate::model::*;

use super::changes::{Change, insert_with_id, rows};
use super::contact_batch::Written;
use super::database::{Connection, Row};
use super::dialect::Statement;
use super::error::{Result, StoreError};
use super::narrow::Narrowed;
use super::{Store, collect};

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct ImportRow {
    pub id: ImportId,
    pub organization: OrganizationId,
    pub state: ImportState,
    pub file_name: String,
    pub file_bytes: u64,
    /// As JSON; empty until it was started.
    #[serde(skip)]
    pub options: String,
    pub done_bytes: u64,
    #[serde(skip)]
    pub error_bytes: u64,
    /// Rows read, of which so many made or changed a contact, were passed over, or failed.
    pub read_count: u64,
    pub added_count: u64,
    pub updated_count: u64,
    pub skipped_count: u64,
    pub failed_count: u64,
    /// Why it failed as a whole.
    pub trouble: Option<String>,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// How far an import is once a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportProgress {
    pub import: ImportId,
    pub done_bytes: u64,
    pub error_bytes: u64,
    pub read: u64,
    pub failed: u64,
}

#[derive(Clone, Debug)]
pub enum ImportChange {
    Add {
        organization: OrganizationId,
        file_name: String,
        at: Timestamp,
    },
    /// The file is whole.
    Uploaded {
        id: ImportId,
        file_bytes: u64,
    },
    Start {
        id: ImportId,
        options: String,
    },
    End {
        id: ImportId,
        state: ImportState,
        trouble: Option<String>,
        at: Timestamp,
    },
    Remove {
        id: ImportId,
    },
}

macro_rules! imports {
    ($where:literal) => {
        Statement::new(concat!(
            "SELECT id, organization, state, file_name, file_bytes, options, done_bytes, \
             error_bytes, read_count, added_count, updated_count, skipped_count, failed_count, \
             trouble, created_at, ended_at FROM imports WHERE ",
            $where
        ))
    };
}

pub static IMPORTS: Statement = imports!(
    "organization = $1 AND node = $2 AND (id < $3 OR $3 = 0) AND file_bytes >= 0 \
     AND LOWER(file_name) LIKE $5 ESCAPE '!' AND ($6 = '' OR state = $6) \
     ORDER BY id DESC LIMIT $4"
);
pub static IMPORT_BY_ID: Statement = imports!("organization = $1 AND node = $2 AND id = $3");
pub static NEXT_IMPORT: Statement = imports!("node = $1 AND state = 'running' ORDER BY id LIMIT 1");
pub static UNFINISHED_UPLOADS: Statement =
    imports!("node = $1 AND state = 'uploaded' AND file_bytes < 0 ORDER BY id LIMIT 1000");

pub static INSERT_IMPORT: Statement = Statement::new(
    "INSERT INTO imports (id, organization, node, state, file_name, file_bytes, options, \
     done_bytes, error_bytes, read_count, added_count, updated_count, skipped_count, \
     failed_count, created_at) \
     VALUES ($1, $2, $3, 'uploaded', $4, -1, '', 0, 0, 0, 0, 0, 0, 0, $5)",
);
pub static IMPORT_UPLOADED: Statement = Statement::new(
    "UPDATE imports SET file_bytes = $2 WHERE id = $1 AND state = 'uploaded' AND file_bytes < 0",
);
pub static START_IMPORT: Statement = Statement::new(
    "UPDATE imports SET state = 'running', options = $2 \
     WHERE id = $1 AND state = 'uploaded' AND file_bytes >= 0",
);
pub static END_IMPORT: Statement = Statement::new(
    "UPDATE imports SET state = $2, trouble = $3, ended_at = $4 \
     WHERE id = $1 AND state IN ('uploaded', 'running')",
);
pub static DELETE_IMPORT: Statement =
    Statement::new("DELETE FROM imports WHERE id = $1 AND state <> 'running'");
pub static ADVANCE_IMPORT: Statement = Statement::new(
    "UPDATE imports SET done_bytes = $2, error_bytes = $3, read_count = read_count + $4, \
     failed_count = failed_count + $5, added_count = added_count + $6, \
     updated_count = updated_count + $7, skipped_count = skipped_count + $8 \
     WHERE id = $1 AND state = 'running'",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &IMPORTS,
    &IMPORT_BY_ID,
    &NEXT_IMPORT,
    &UNFINISHED_UPLOADS,
    &INSERT_IMPORT,
    &IMPORT_UPLOADED,
    &START_IMPORT,
    &END_IMPORT,
    &DELETE_IMPORT,
    &ADVANCE_IMPORT,
];

impl Store {
    /// An id where one was made, else the number of rows changed.
    pub async fn change_import(&self, change: ImportChange) -> Result<i64> {
        self.change(Change::Import(change)).await
    }

    /// Newest first, older than `before` (0: all), of this node.
    pub async fn imports(
        &self,
        organization: OrganizationId,
        before: ImportId,
        limit: u32,
        narrowed: &Narrowed,
    ) -> Result<Vec<ImportRow>> {
        let mut values = vec![
            organization.0.into(),
            self.node().into(),
            before.0.into(),
            i64::from(limit).into(),
        ];
        narrowed.put_to(&mut values);
        collect(self.read(&IMPORTS, values).await?, import)
    }

    pub async fn import(
        &self,
        organization: OrganizationId,
        id: ImportId,
    ) -> Result<Option<ImportRow>> {
        let values = vec![organization.0.into(), self.node().into(), id.0.into()];
        self.read(&IMPORT_BY_ID, values).await?.first().map(import).transpose()
    }

    /// The oldest that runs on this node.
    pub async fn next_import(&self) -> Result<Option<ImportRow>> {
        let rows = self.read(&NEXT_IMPORT, vec![self.node().into()]).await?;
        rows.first().map(import).transpose()
    }

    /// Uploads of this node that were cut off.
    pub async fn unfinished_uploads(&self) -> Result<Vec<ImportRow>> {
        collect(self.read(&UNFINISHED_UPLOADS, vec![self.node().into()]).await?, import)
    }
}

fn import(row: &Row) -> Result<ImportRow> {
    Ok(ImportRow {
        id: ImportId(row.int(0)?),
        organization: OrganizationId(row.int(1)?),
        state: row.parsed(2)?,
        file_name: row.text(3)?,
        file_bytes: u64::try_from(row.int(4)?).unwrap_or(0),
        options: row.text(5)?,
        done_bytes: row.unsigned(6)?,
        error_bytes: row.unsigned(7)?,
        read_count: row.unsigned(8)?,
        added_count: row.unsigned(9)?,
        updated_count: row.unsigned(10)?,
        skipped_count: row.unsigned(11)?,
        failed_count: row.unsigned(12)?,
        trouble: row.maybe_text(13)?,
        created_at: Timestamp(row.int(14)?),
        ended_at: row.maybe_int(15)?.map(Timestamp),
    })
}

pub async fn write(connection: &mut Connection, change: &ImportChange, node: i64) -> Result<i64> {
    match change {
        ImportChange::Add { organization, file_name, at } => {
            let values =
                vec![organization.0.into(), node.into(), file_name.as_str().into(), at.0.into()];
            insert_with_id(connection, "import", &INSERT_IMPORT, values).await
        }
        ImportChange::Uploaded { id, file_bytes } => {
            let values = vec![id.0.into(), signed(*file_bytes).into()];
            rows(connection.execute(&IMPORT_UPLOADED, values).await?)
        }
        ImportChange::Start { id, options } => {
            let values = vec![id.0.into(), options.as_str().into()];
            rows(connection.execute(&START_IMPORT, values).await?)
        }
        ImportChange::End { id, state, trouble, at } => {
            let values =
                vec![id.0.into(), state.word().into(), trouble.clone().into(), at.0.into()];
            rows(connection.execute(&END_IMPORT, values).await?)
        }
        ImportChange::Remove { id } => {
            rows(connection.execute(&DELETE_IMPORT, vec![id.0.into()]).await?)
        }
    }
}

/// Within the transaction of a batch.
pub async fn advance(
    connection: &mut Connection,
    progress: &ImportProgress,
    written: &[Written],
) -> Result<()> {
    let count = |is: fn(&Written) -> bool| signed(written.iter().filter(|w| is(w)).count() as u64);
    let values = vec![
        progress.import.0.into(),
        signed(progress.done_bytes).into(),
        signed(progress.error_bytes).into(),
        signed(progress.read).into(),
        signed(progress.failed).into(),
        count(|written| matches!(written, Written::Added(_))).into(),
        count(|written| matches!(written, Written::Updated(_))).into(),
        count(|written| matches!(written, Written::Skipped)).into(),
    ];
    match connection.execute(&ADVANCE_IMPORT, values).await? {
        0 => Err(StoreError::Refused("the import was cancelled".to_owned())),
        _ => Ok(()),
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
