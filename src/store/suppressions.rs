//! Addresses that are not written to.
//!
//! Owns:       the table `suppressions`.
//! Promises:   one living entry for each address and reach, of the weightiest reason; it is never
//!             shortened;
//!             what is removed stays readable, with the note that says why.
//! Knows not:  what happens to mail for such an address.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::model::*;

use super::changes::Change;
use super::database::{Connection, Row};
use super::dialect::{Column, Rows, Statement, int, text};
use super::error::{Result, StoreError};
use super::{Store, collect, ids};

/// Rows of one transaction.
pub const SUPPRESSIONS_PER_CHANGE_MAX: usize = 1000;
/// Rows of one read of what is new.
const NEWS_MAX: i64 = 10_000;

/// SHA-256 of an address in lower case: what entries are found by, and what hashed lists hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct AddressHash(String);

impl AddressHash {
    pub fn of(address: &Address) -> AddressHash {
        let lower = address.to_string().to_lowercase();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, lower.as_bytes());
        let mut digits = String::with_capacity(64);
        for octet in digest.as_ref() {
            // Writing into a String cannot fail.
            write!(digits, "{octet:02x}").unwrap_or_default();
        }
        AddressHash(digits)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough of it to tell apart all that one installation holds in memory.
    pub fn short(&self) -> u64 {
        u64::from_str_radix(self.0.get(..16).unwrap_or_default(), 16).unwrap_or_default()
    }
}

impl TryFrom<String> for AddressHash {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<AddressHash, String> {
        let is_hash = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let refused = || format!("'{text}' is no SHA-256 in hexadecimal digits");
        is_hash.then(|| AddressHash(text.to_ascii_lowercase())).ok_or_else(refused)
    }
}

impl From<AddressHash> for String {
    fn from(hash: AddressHash) -> String {
        hash.0
    }
}

/// An entry to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSuppression {
    pub scope: SuppressionScope,
    /// None for the whole installation.
    pub organization: Option<OrganizationId>,
    pub stream: Option<StreamId>,
    pub list: Option<ListId>,
    pub hash: AddressHash,
    pub address: Option<String>,
    pub reason: SuppressionReason,
    pub evidence: Option<DeliveryId>,
    pub note: String,
    pub expires_at: Option<Timestamp>,
    pub at: Timestamp,
}

impl NewSuppression {
    /// As far, and from its own moment as long, as a rule says.
    pub fn reaching(self, suppress: Suppress, stream: StreamId) -> NewSuppression {
        let own = self.organization;
        let (scope, organization, stream) = match suppress.scope {
            SuppressScope::Installation => (SuppressionScope::Installation, None, None),
            SuppressScope::Organization => (SuppressionScope::Organization, own, None),
            SuppressScope::Stream => (SuppressionScope::Stream, own, Some(stream)),
        };
        let expires_at = suppress.duration().map(|span| self.at + span);
        NewSuppression { scope, organization, stream, expires_at, ..self }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SuppressionRow {
    pub id: SuppressionId,
    pub scope: SuppressionScope,
    pub organization: Option<OrganizationId>,
    pub stream: Option<StreamId>,
    #[serde(default)]
    pub list: Option<ListId>,
    /// Null where only the hash is known.
    pub address: Option<String>,
    pub sha256: AddressHash,
    pub reason: SuppressionReason,
    /// The delivery that taught us.
    pub evidence: Option<DeliveryId>,
    /// The event of it that did, as long as it is kept.
    #[serde(default)]
    pub event: Option<EventId>,
    pub note: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub removed_at: Option<Timestamp>,
    pub removal_note: Option<String>,
}

/// Which entries: all that is given must hold. Removed ones only where they are asked for.
#[derive(Clone, Debug, Default)]
pub struct SuppressionFilter {
    pub organization: Option<OrganizationId>,
    pub hash: Option<AddressHash>,
    pub removed: bool,
    /// Only rows with an id below.
    pub before: Option<SuppressionId>,
}

/// Writes of this table, one transaction each.
#[derive(Clone, Debug)]
pub enum SuppressionChange {
    Add(Vec<NewSuppression>),
    Remove {
        id: SuppressionId,
        /// Another's entry is not there.
        organization: Option<OrganizationId>,
        note: String,
        at: Timestamp,
    },
}

const COLUMNS: &[Column] = &[
    int("id"),
    text("scope"),
    int("organization"),
    int("stream"),
    int("list"),
    text("address_hash"),
    text("address"),
    text("reason"),
    int("evidence"),
    text("note"),
    int("created_at"),
    int("expires_at"),
];

/// `SuppressionReason::weight`.
macro_rules! weight {
    ($reason:literal) => {
        concat!(
            "CASE ",
            $reason,
            " WHEN 'complaint' THEN 5 WHEN 'unsubscribe' THEN 4 WHEN 'manual' THEN 3 \
             WHEN 'hard_bounce' THEN 2 WHEN 'soft_bounces' THEN 1 ELSE 0 END"
        )
    };
}

/// A weightier reason takes an entry over with its evidence, and so does what lasts as long or
/// longer than an entry with an end; of the two ends the later holds.
pub static ADD: Statement = Statement::with_rows(
    COLUMNS,
    concat!(
        "INSERT INTO suppressions (id, scope, organization, stream, list, address_hash, address, \
         reason, evidence, note, created_at, expires_at) SELECT id, scope, organization, stream, \
         list, address_hash, address, reason, evidence, note, created_at, expires_at \
         FROM {rows} AS r WHERE true \
         ON CONFLICT (address_hash, scope, organization, stream, list) \
         WHERE removed_at IS NULL DO UPDATE SET reason = excluded.reason, \
         evidence = excluded.evidence, note = excluded.note, created_at = excluded.created_at, \
         expires_at = CASE WHEN suppressions.expires_at > excluded.expires_at \
         THEN suppressions.expires_at WHEN suppressions.expires_at IS NULL THEN NULL \
         ELSE excluded.expires_at END, \
         address = COALESCE(suppressions.address, excluded.address) WHERE ",
        weight!("excluded.reason"),
        " > ",
        weight!("suppressions.reason"),
        " OR (suppressions.expires_at IS NOT NULL AND (excluded.expires_at IS NULL \
         OR excluded.expires_at >= suppressions.expires_at))"
    ),
);

pub static REMOVE: Statement = Statement::new(
    "UPDATE suppressions SET removed_at = $2, removal_note = $3 \
     WHERE id = $1 AND removed_at IS NULL AND ($4 = 0 OR organization = $4)",
);

/// What stops mail of organization $2 and stream $3 at moment $4, by the place of each address.
pub static STOPPING: Statement = Statement::with_rows(
    &[int("place"), text("address_hash")],
    "SELECT r.place, s.reason, s.scope, s.id FROM {rows} AS r \
     JOIN suppressions s ON s.address_hash = r.address_hash AND s.removed_at IS NULL \
     WHERE (s.expires_at IS NULL OR s.expires_at > $4) AND (s.scope = 'installation' \
     OR s.organization = $2 AND (s.scope = 'organization' \
     OR (s.scope = 'stream' AND s.stream = $3))) \
     ORDER BY r.place, s.id",
);

/// The lists of an organization whose campaigns do not go to an address.
pub static STOPPED_LISTS: Statement = Statement::new(
    "SELECT id, reason, list FROM suppressions WHERE address_hash = $1 AND organization = $2 \
     AND scope = 'list' AND removed_at IS NULL AND (expires_at IS NULL OR expires_at > $3) \
     ORDER BY id",
);

pub static NEWS: Statement = Statement::new(
    "SELECT id, address_hash FROM suppressions WHERE id > $1 AND removed_at IS NULL \
     ORDER BY id LIMIT $2",
);

/// What taught us is the event of its delivery of that moment, where it is not forgotten yet.
macro_rules! entries {
    ($where:literal) => {
        Statement::new(concat!(
            "SELECT id, scope, organization, stream, address, address_hash, reason, evidence, \
             note, created_at, expires_at, removed_at, removal_note, list, \
             COALESCE((SELECT MAX(e.id) FROM deliveries d JOIN events e \
             ON e.message = d.message AND e.delivery = d.id WHERE d.id = suppressions.evidence \
             AND ((suppressions.reason = 'complaint' AND e.kind = 'complained') \
             OR (suppressions.reason = 'unsubscribe' AND e.kind = 'unsubscribed') \
             OR (suppressions.reason IN ('hard_bounce', 'soft_bounces') \
             AND e.kind IN ('failed', 'bounced', 'expired'))) \
             AND e.at <= suppressions.created_at), \
             (SELECT MAX(e.id) FROM deliveries d JOIN events e \
             ON e.message = d.message AND e.delivery = d.id WHERE d.id = suppressions.evidence \
             AND ((suppressions.reason = 'complaint' AND e.kind = 'complained') \
             OR (suppressions.reason = 'unsubscribe' AND e.kind = 'unsubscribed') \
             OR (suppressions.reason IN ('hard_bounce', 'soft_bounces') \
             AND e.kind IN ('failed', 'bounced', 'expired'))))) FROM suppressions WHERE ",
            $where,
            " AND id < $1 AND ($2 = 0 OR organization = $2) AND ($3 = 1 OR (removed_at IS NULL \
             AND (expires_at IS NULL OR expires_at > $5))) ORDER BY id DESC LIMIT $4"
        ))
    };
}

pub static LIST: Statement = entries!("true");
pub static LIST_OF_ADDRESS: Statement = entries!("address_hash = $6");

#[cfg(test)]
pub static ALL: &[&Statement] =
    &[&ADD, &REMOVE, &STOPPING, &STOPPED_LISTS, &NEWS, &LIST, &LIST_OF_ADDRESS];

/// An entry that stops mail to one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    pub suppression: SuppressionId,
    pub reason: SuppressionReason,
    pub scope: SuppressionScope,
}

impl Store {
    /// Makes entries, at most a thousand; the number of those that are new or changed.
    pub async fn suppress(&self, new: Vec<NewSuppression>) -> Result<u64> {
        if new.len() > SUPPRESSIONS_PER_CHANGE_MAX {
            return Err(StoreError::Refused("too many suppressions at once".to_owned()));
        }
        if new.is_empty() {
            return Ok(0);
        }
        let changed = self.change(Change::Suppressions(SuppressionChange::Add(new))).await?;
        self.0.suppressions.fetch_add(1, Ordering::Release);
        Ok(changed.unsigned_abs())
    }

    /// Takes an entry out; false when there is none of this id (for this organization).
    pub async fn remove_suppression(
        &self,
        id: SuppressionId,
        organization: Option<OrganizationId>,
        note: &str,
    ) -> Result<bool> {
        let (note, at) = (note.to_owned(), self.now());
        let change = SuppressionChange::Remove { id, organization, note, at };
        Ok(self.change(Change::Suppressions(change)).await? > 0)
    }

    /// Entries may have been made along with something else.
    pub(super) fn suppressions_changed(&self) {
        self.0.suppressions.fetch_add(1, Ordering::Release);
    }

    /// Grows with every `suppress` of this process.
    pub fn suppressions_made(&self) -> u64 {
        self.0.suppressions.load(Ordering::Acquire)
    }

    /// Entries above an id, in order: at most ten thousand.
    pub async fn new_suppressions(
        &self,
        above: SuppressionId,
    ) -> Result<Vec<(SuppressionId, AddressHash)>> {
        let rows = self.read(&NEWS, vec![above.0.into(), NEWS_MAX.into()]).await?;
        collect(rows, |row| Ok((SuppressionId(row.int(0)?), hash(row, 1)?)))
    }

    /// For each address the first entry that stops it now.
    pub async fn stopping(
        &self,
        organization: OrganizationId,
        stream: StreamId,
        hashes: &[AddressHash],
        now: Timestamp,
    ) -> Result<Vec<Option<Stop>>> {
        let mut given = Rows::new(self.database().dialect(), STOPPING.rows);
        for (place, hash) in (0i64..).zip(hashes) {
            given.int(place).text(hash.as_str());
        }
        let given = given.finish();
        let values = vec![given.into(), organization.0.into(), stream.0.into(), now.0.into()];
        let mut stops = vec![None; hashes.len()];
        for row in self.read(&STOPPING, values).await? {
            let place = usize::try_from(row.int(0)?).map_err(StoreError::broken_row)?;
            let stop = Stop {
                suppression: SuppressionId(row.int(3)?),
                reason: word(&row, 1)?,
                scope: word(&row, 2)?,
            };
            if let Some(slot) = stops.get_mut(place) {
                slot.get_or_insert(stop);
            }
        }
        Ok(stops)
    }

    /// The lists whose campaigns do not go to an address now.
    pub async fn stopped_lists(
        &self,
        organization: OrganizationId,
        hash: &AddressHash,
        now: Timestamp,
    ) -> Result<Vec<(ListId, Stop)>> {
        let values = vec![hash.as_str().into(), organization.0.into(), now.0.into()];
        collect(self.read(&STOPPED_LISTS, values).await?, |row| {
            let scope = SuppressionScope::List;
            let stop =
                Stop { suppression: SuppressionId(row.int(0)?), reason: word(row, 1)?, scope };
            Ok((ListId(row.int(2)?), stop))
        })
    }

    /// Newest first.
    pub async fn suppressions(
        &self,
        filter: &SuppressionFilter,
        limit: u32,
    ) -> Result<Vec<SuppressionRow>> {
        let mut values = vec![
            filter.before.map_or(i64::MAX, |id| id.0).into(),
            filter.organization.map_or(0, |id| id.0).into(),
            i64::from(filter.removed).into(),
            i64::from(limit).into(),
            self.now().0.into(),
        ];
        let statement = match &filter.hash {
            Some(hash) => {
                values.push(hash.as_str().into());
                &LIST_OF_ADDRESS
            }
            None => &LIST,
        };
        collect(self.read(statement, values).await?, row_of)
    }
}

fn row_of(row: &Row) -> Result<SuppressionRow> {
    let given = |id: i64| (id != 0).then_some(id);
    Ok(SuppressionRow {
        id: SuppressionId(row.int(0)?),
        scope: word(row, 1)?,
        organization: given(row.int(2)?).map(OrganizationId),
        stream: given(row.int(3)?).map(StreamId),
        address: row.maybe_text(4)?,
        sha256: hash(row, 5)?,
        reason: word(row, 6)?,
        evidence: row.maybe_int(7)?.map(DeliveryId),
        event: row.maybe_int(14)?.map(EventId),
        note: row.text(8)?,
        created_at: Timestamp(row.int(9)?),
        expires_at: row.maybe_int(10)?.map(Timestamp),
        removed_at: row.maybe_int(11)?.map(Timestamp),
        removal_note: row.maybe_text(12)?,
        list: given(row.int(13)?).map(ListId),
    })
}

fn word<T: std::str::FromStr<Err = String>>(row: &Row, column: usize) -> Result<T> {
    row.text(column)?.parse().map_err(StoreError::broken_row)
}

fn hash(row: &Row, column: usize) -> Result<AddressHash> {
    AddressHash::try_from(row.text(column)?).map_err(StoreError::broken_row)
}

/// The number of rows made or changed.
pub(super) async fn write(connection: &mut Connection, change: &SuppressionChange) -> Result<u64> {
    match change {
        SuppressionChange::Add(new) => add(connection, new).await,
        SuppressionChange::Remove { id, organization, note, at } => {
            let values = vec![
                id.0.into(),
                at.0.into(),
                note.as_str().into(),
                organization.map_or(0, |id| id.0).into(),
            ];
            connection.execute(&REMOVE, values).await
        }
    }
}

/// PostgreSQL refuses to touch a row twice in one statement, so an address counts once.
pub(super) async fn add(connection: &mut Connection, new: &[NewSuppression]) -> Result<u64> {
    let mut seen = std::collections::HashSet::new();
    let place = |one: &NewSuppression| {
        (one.hash.clone(), one.scope, one.organization, one.stream, one.list)
    };
    let new: Vec<&NewSuppression> = new.iter().filter(|one| seen.insert(place(one))).collect();
    let count = i64::try_from(new.len()).map_err(StoreError::broken_row)?;
    let first = ids::reserve(connection, "suppression", count).await?;
    let mut rows = Rows::new(connection.dialect(), COLUMNS);
    for (id, one) in (first..).zip(&new) {
        rows.int(id)
            .text(one.scope.word())
            .int(one.organization.map_or(0, |id| id.0))
            .int(one.stream.map_or(0, |id| id.0))
            .int(one.list.map_or(0, |id| id.0))
            .text(one.hash.as_str())
            .maybe_text(one.address.as_deref())
            .text(one.reason.word())
            .maybe_int(one.evidence.map(|id| id.0))
            .text(&one.note)
            .int(one.at.0)
            .maybe_int(one.expires_at.map(|at| at.0));
    }
    connection.execute(&ADD, vec![rows.finish().into()]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_weigh_the_same_in_sql_and_in_the_model() {
        for reason in SuppressionReason::ALL {
            let known = format!("WHEN '{reason}' THEN {}", reason.weight());
            let is_known = weight!("r").contains(&known) || reason.weight() == 0;
            assert!(is_known, "{known}");
        }
    }

    #[test]
    fn a_hash_knows_an_address_in_any_case() {
        let hash = |text: &str| AddressHash::of(&Address::parse(text).expect("lawful"));
        assert_eq!(hash("Ann@Alder.example"), hash("ann@alder.example"));
        assert_ne!(hash("ann@alder.example"), hash("bob@alder.example"));
        // `printf ann@alder.example | sha256sum`
        let text = "f9b701fed28dbedd390cdfbd9e7eb77ef46458714d041f8a60d19f1182f8923f";
        assert_eq!(hash("ann@alder.example").as_str(), text);
        assert!(AddressHash::try_from("abc".to_owned()).is_err());
    }
}
