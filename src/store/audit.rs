//! Who changed what, from what to what.
//!
//! Owns:       the table `audit`, and the lines that go with changes.
//! Promises:   a line goes with the first change that is made through its handle: both are
//!             committed in one transaction, or neither is.
//! Knows not:  who may change what.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

use crate::model::*;

use super::changes::{Change, RowWrite, insert_with_id};
use super::database::{Connection, Value};
use super::dialect::Statement;
use super::error::{Result, StoreError};
use super::narrow::escaped;
use super::rows::AuditRow;
use super::{Store, collect};

pub static INSERT_AUDIT: Statement = Statement::new(
    "INSERT INTO audit (id, at, organization, actor, action, target, was, becomes) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
);

/// What came of a change, once that is known.
pub static REWRITE_AUDIT: Statement = Statement::new(
    "UPDATE audit SET organization = $2, actor = $3, action = $4, target = $5, was = $6, \
     becomes = $7 WHERE id = $1",
);

pub static AUDIT: Statement = Statement::new(
    "SELECT id, at, organization, actor, action, target, was, becomes FROM audit \
     WHERE id < $1 AND LOWER(actor || ' ' || action || ' ' || target) LIKE $3 ESCAPE '!' \
     AND at >= $4 AND at < $5 ORDER BY id DESC LIMIT $2",
);

pub static AUDIT_OF: Statement = Statement::new(
    "SELECT id, at, organization, actor, action, target, was, becomes FROM audit \
     WHERE organization = $6 AND id < $1 \
     AND LOWER(actor || ' ' || action || ' ' || target) LIKE $3 ESCAPE '!' \
     AND at >= $4 AND at < $5 ORDER BY id DESC LIMIT $2",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&INSERT_AUDIT, &REWRITE_AUDIT, &AUDIT, &AUDIT_OF];

/// The line of one change.
#[derive(Clone, Debug, Default)]
pub struct AuditEntry {
    /// None: it concerns the installation.
    pub organization: Option<OrganizationId>,
    /// `operator`, `user 3 ann@example.com`, `credential shop`.
    pub actor: String,
    /// `domain.added`, `user.role_changed`.
    pub action: String,
    /// What was changed; empty: the id that the change gives.
    pub target: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

/// Which lines: all that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only lines with an id below.
    pub before: Option<AuditId>,
    /// Stands somewhere in who, what was done or to what, in any case.
    pub find: String,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl AuditEntry {
    /// Behind the id, and the time where that is written: as the statements have them.
    fn values(&self, answer: i64) -> Vec<Value> {
        let json = |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string);
        let target = match self.target.is_empty() {
            true => answer.to_string(),
            false => self.target.clone(),
        };
        vec![
            self.organization.map(|id| id.0).into(),
            self.actor.as_str().into(),
            self.action.as_str().into(),
            target.into(),
            json(&self.before).into(),
            json(&self.after).into(),
        ]
    }
}

/// A line that goes with the first change that is made through a handle of the store.
#[derive(Clone, Debug)]
pub struct AuditLine(Arc<Line>);

#[derive(Debug)]
struct Line {
    said: Mutex<Said>,
    /// 0: it is not written.
    id: AtomicI64,
}

#[derive(Debug)]
struct Said {
    entry: AuditEntry,
    /// The row, if there is one, says the same.
    is_written: bool,
}

impl AuditLine {
    pub fn new(entry: AuditEntry) -> AuditLine {
        let said = Mutex::new(Said { entry, is_written: false });
        AuditLine(Arc::new(Line { said, id: AtomicI64::new(0) }))
    }

    /// What it says from now on; a row that is written says so after `Store::tell`.
    pub fn say(&self, words: impl FnOnce(&mut AuditEntry)) {
        let mut said = self.0.said.lock();
        words(&mut said.entry);
        said.is_written = false;
    }

    /// A change took it along.
    pub fn is_written(&self) -> bool {
        self.id() > 0
    }

    fn id(&self) -> i64 {
        self.0.id.load(Ordering::Acquire)
    }
}

/// The very same line.
impl PartialEq for AuditLine {
    fn eq(&self, other: &AuditLine) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for AuditLine {}

/// The lines that one transaction takes along.
#[derive(Debug, Default)]
pub struct Lines(Vec<(AuditLine, i64)>);

impl Lines {
    /// In the transaction that is open, unless it went with an earlier change; `answer` is the id
    /// of what was made, where the entry does not name its target.
    pub async fn write(
        &mut self,
        connection: &mut Connection,
        line: &AuditLine,
        (at, answer): (Timestamp, i64),
    ) -> Result<()> {
        if line.is_written() || self.0.iter().any(|(other, _)| other == line) {
            return Ok(());
        }
        let mut values = line.0.said.lock().entry.values(answer);
        values.insert(0, at.0.into());
        let id = insert_with_id(connection, "audit", &INSERT_AUDIT, values).await?;
        self.0.push((line.clone(), id));
        Ok(())
    }

    /// The transaction is committed.
    pub fn stand(self) {
        for (line, id) in self.0 {
            line.0.said.lock().is_written = true;
            line.0.id.store(id, Ordering::Release);
        }
    }
}

impl Store {
    /// The same store; the first change that is made through this handle takes the line along.
    pub fn telling(&self, line: AuditLine) -> Store {
        Store(self.0.clone(), Some(line))
    }

    /// As `telling`, with a line of its own.
    pub fn audited(&self, entry: AuditEntry) -> Store {
        self.telling(AuditLine::new(entry))
    }

    /// What the next change through this handle has to take along.
    pub fn line(&self) -> Option<AuditLine> {
        self.1.as_ref().filter(|line| !line.is_written()).cloned()
    }

    /// The row of the line says what the line says: it is made, if no change has taken it along.
    pub async fn tell(&self, line: &AuditLine) -> Result<()> {
        let plain = Store(self.0.clone(), None);
        if !line.is_written() {
            plain.change(Change::Line(line.clone(), self.now())).await?;
            return Ok(());
        }
        let id = line.id();
        let values = {
            let said = line.0.said.lock();
            if said.is_written {
                return Ok(());
            }
            let mut values = said.entry.values(id);
            values.insert(0, id.into());
            values
        };
        plain.write(vec![RowWrite::new(&REWRITE_AUDIT, values)]).await?;
        line.0.said.lock().is_written = true;
        Ok(())
    }

    /// Newest first.
    pub async fn audit(
        &self,
        scope: Scope,
        asked: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditRow>> {
        let mut values = vec![
            asked.before.map_or(i64::MAX, |id| id.0).into(),
            i64::from(limit).into(),
            format!("%{}%", escaped(&asked.find)).into(),
            asked.from.map_or(0, |at| at.0).into(),
            asked.until.map_or(i64::MAX, |at| at.0).into(),
        ];
        let rows = match scope.organization() {
            Some(organization) => {
                values.push(organization.0.into());
                self.read(&AUDIT_OF, values).await?
            }
            None => self.read(&AUDIT, values).await?,
        };
        let json = |text: Option<String>| {
            text.map(|text| serde_json::from_str(&text).map_err(StoreError::broken_row)).transpose()
        };
        collect(rows, |row| {
            Ok(AuditRow {
                id: AuditId(row.int(0)?),
                at: Timestamp(row.int(1)?),
                organization: row.maybe_int(2)?.map(OrganizationId),
                actor: row.text(3)?,
                action: row.text(4)?,
                target: row.text(5)?,
                before: json(row.maybe_text(6)?)?,
                after: json(row.maybe_text(7)?)?,
            })
        })
    }
}
