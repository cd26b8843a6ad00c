//! The message log: who wrote what to whom, when.
//!
//! Owns:       the searches over messages and deliveries of a time.
//! Promises:   each search walks an index that is led by the hour, hour by hour from the newest
//!             back, or the ids themselves; a page looks at a bounded number of rows.
//! Knows not:  who may see what: the caller gives the scope.

use crate::model::*;

use super::database::{Row, Value};
use super::dialect::{Statement, json_ids};
use super::error::{Result, StoreError};
use super::rows::LogRow;
use super::{Store, collect};

/// What the indexes are led by.
pub const HOUR_MICROSECONDS: i64 = 3_600_000_000;
/// Hours of one statement: few at first, since most searches end in the newest.
const HOURS_FIRST: usize = 2;
const HOURS_MAX: usize = 64;
/// Messages that a walk without an index looks at in one statement, and its statements.
const WALK_ROWS: i64 = 5_000;
const WALKS_MAX: usize = 20;

macro_rules! found {
    ($($part:literal),*) => {
        Statement::new(concat!(
            "SELECT d.id, d.message, m.organization, m.stream, m.sender, d.recipient, d.state, \
             d.tries, m.accepted_at, d.due_at, d.text, m.subject, m.message_id_header, m.tag, \
             m.body_length, d.site ",
            $($part),*
        ))
    };
}

/// $2 value, $3 from, $4 until, $5 organization, $6 below this delivery, $7 state, $8 pattern of
/// the subject, $9 limit, $10 operator, $11 and $12 patterns of class and source in the fields of
/// one event. The joins are crossed and the ids summed so that SQLite goes the way that
/// is written, from the hours on, and not down all deliveries for the sake of their order.
macro_rules! of_messages {
    ($($condition:literal),*) => {
        found!(
            "FROM {ids:1} AS h CROSS JOIN messages m CROSS JOIN deliveries d \
             WHERE m.hour = h.id ",
            $($condition,)*
            " AND d.id BETWEEN m.delivery_first AND m.delivery_last \
             AND m.accepted_at BETWEEN $3 AND $4 AND (m.organization = $5 OR $5 IS NULL) \
             AND d.message + 0 = m.id AND d.id + 0 < $6 AND (d.state = $7 OR $7 IS NULL) \
             AND (LOWER(m.subject) LIKE $8 ESCAPE '!' OR $8 IS NULL) \
             AND (CAST($10 AS BIGINT) IS NULL \
               OR d.site + 0 IN (SELECT s.id FROM sites s WHERE s.operator = $10)) \
             AND (COALESCE($11, $12, '') = '' OR EXISTS (SELECT 1 FROM events e \
               WHERE e.message = m.id AND e.delivery = d.id \
               AND (e.fields LIKE $11 ESCAPE '!' OR $11 IS NULL) \
               AND (e.fields LIKE $12 ESCAPE '!' OR $12 IS NULL))) \
             ORDER BY d.id + 0 DESC LIMIT $9"
        )
    };
}

pub static BY_SENDER: Statement = of_messages!("AND m.sender = $2");
pub static BY_MESSAGE_ID: Statement = of_messages!("AND m.message_id_header = $2");
pub static BY_TAG: Statement = of_messages!("AND m.tag = $2 AND m.tag IS NOT NULL");

pub static BY_RECIPIENT: Statement = found!(
    "FROM {ids:1} AS h CROSS JOIN deliveries d CROSS JOIN messages m \
     WHERE d.hour = h.id AND d.recipient = $2 AND m.id = d.message \
     AND m.accepted_at BETWEEN $3 AND $4 AND (m.organization = $5 OR $5 IS NULL) \
     AND d.id + 0 < $6 AND (d.state = $7 OR $7 IS NULL) \
     AND (LOWER(m.subject) LIKE $8 ESCAPE '!' OR $8 IS NULL) \
     AND (CAST($10 AS BIGINT) IS NULL \
       OR d.site + 0 IN (SELECT s.id FROM sites s WHERE s.operator = $10)) \
     AND (COALESCE($11, $12, '') = '' OR EXISTS (SELECT 1 FROM events e \
       WHERE e.message = m.id AND e.delivery = d.id \
       AND (e.fields LIKE $11 ESCAPE '!' OR $11 IS NULL) \
       AND (e.fields LIKE $12 ESCAPE '!' OR $12 IS NULL))) \
     ORDER BY d.id + 0 DESC LIMIT $9"
);

/// The deliveries of these messages, by the same conditions; $2 is not asked.
pub static BY_IDS: Statement = found!(
    "FROM {ids:1} AS w CROSS JOIN messages m CROSS JOIN deliveries d \
     WHERE m.id = w.id AND d.id BETWEEN m.delivery_first AND m.delivery_last \
     AND m.accepted_at BETWEEN $3 AND $4 AND (m.organization = $5 OR $5 IS NULL) \
     AND COALESCE($2, '') IS NOT NULL AND d.message + 0 = m.id AND d.id + 0 < $6 \
     AND (d.state = $7 OR $7 IS NULL) \
     AND (LOWER(m.subject) LIKE $8 ESCAPE '!' OR $8 IS NULL) \
     AND (CAST($10 AS BIGINT) IS NULL \
       OR d.site + 0 IN (SELECT s.id FROM sites s WHERE s.operator = $10)) \
     AND (COALESCE($11, $12, '') = '' OR EXISTS (SELECT 1 FROM events e \
       WHERE e.message = m.id AND e.delivery = d.id \
       AND (e.fields LIKE $11 ESCAPE '!' OR $11 IS NULL) \
       AND (e.fields LIKE $12 ESCAPE '!' OR $12 IS NULL))) \
     ORDER BY d.id + 0 DESC LIMIT $9"
);

/// Messages from new to old; ids are given in the order in which mail comes.
pub static WALK: Statement =
    Statement::new("SELECT id, accepted_at FROM messages WHERE id <= $1 ORDER BY id DESC LIMIT $2");

pub static LAST_OF_HOURS: Statement = Statement::new(
    "SELECT COALESCE(MAX(id), 0) FROM messages \
     WHERE hour = (SELECT MAX(hour) FROM messages WHERE hour <= $1)",
);

pub static MESSAGE_OF_DELIVERY: Statement =
    Statement::new("SELECT message FROM deliveries WHERE id = $1");

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &BY_SENDER,
    &BY_MESSAGE_ID,
    &BY_TAG,
    &BY_RECIPIENT,
    &BY_IDS,
    &WALK,
    &LAST_OF_HOURS,
    &MESSAGE_OF_DELIVERY,
];

/// What is looked for; all that is given must hold.
#[derive(Clone, Debug)]
pub struct Search {
    pub scope: Scope,
    pub from: Timestamp,
    pub until: Timestamp,
    pub recipient: Option<Address>,
    /// An envelope sender.
    pub sender: Option<Address>,
    pub message_id: Option<String>,
    pub tag: Option<String>,
    pub state: Option<State>,
    /// Words within the subject, in any case.
    pub subject: Option<String>,
    /// Who runs the host that the mail goes to.
    pub operator: Option<OperatorId>,
    /// What the answer of one of its attempts meant.
    pub class: Option<String>,
    /// Where one of its attempts left from; with a class, the same attempt.
    pub source: Option<String>,
    /// Only deliveries with a smaller id.
    pub before: Option<DeliveryId>,
    pub limit: u32,
}

/// What was found, and where to go on.
#[derive(Clone, Debug, Default)]
pub struct FoundPage {
    pub rows: Vec<LogRow>,
    /// None at the end.
    pub next: Option<DeliveryId>,
}

impl Search {
    fn key(&self) -> Option<(&'static Statement, String)> {
        let text = |address: &Option<Address>| address.as_ref().map(ToString::to_string);
        if let Some(id) = &self.message_id {
            return Some((&BY_MESSAGE_ID, id.clone()));
        }
        if let Some(recipient) = text(&self.recipient) {
            return Some((&BY_RECIPIENT, recipient));
        }
        if let Some(tag) = &self.tag {
            return Some((&BY_TAG, tag.clone()));
        }
        text(&self.sender).map(|sender| (&BY_SENDER, sender))
    }

    /// What the index does not ask. Few rows are left by then.
    fn admits(&self, row: &LogRow) -> bool {
        let sender = self.sender.as_ref().is_none_or(|one| row.sender.0.as_ref() == Some(one));
        let recipient = self.recipient.as_ref().is_none_or(|one| *one == row.recipient);
        let tag = self.tag.is_none() || self.tag == row.tag;
        sender && recipient && tag
    }

    fn values(&self, ids: String, value: Option<String>) -> Vec<Value> {
        let pattern = self.subject.as_ref().map(|words| {
            let words = words.to_lowercase();
            let words = words.replace('!', "!!").replace('%', "!%").replace('_', "!_");
            format!("%{words}%")
        });
        vec![
            ids.into(),
            value.into(),
            self.from.0.into(),
            self.until.0.into(),
            self.scope.organization().map(|id| id.0).into(),
            self.before.map_or(i64::MAX, |id| id.0).into(),
            self.state.map(|state| state.word().to_owned()).into(),
            pattern.into(),
            i64::from(self.limit).into(),
            self.operator.map(|id| id.0).into(),
            self.class.as_ref().map(|class| pattern_of("class", class)).into(),
            self.source.as_ref().map(|source| pattern_of("source", source)).into(),
        ]
    }
}

/// A field of an event as its JSON text has it: written by us, without white space.
fn pattern_of(field: &str, value: &str) -> String {
    let member = format!("\"{field}\":{}", serde_json::Value::from(value));
    let member = member.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{member}%")
}

impl Store {
    /// Newest first.
    pub async fn search(&self, search: &Search) -> Result<FoundPage> {
        match search.key() {
            Some((statement, value)) => self.search_hours(search, statement, value).await,
            None => self.search_walk(search).await,
        }
    }

    async fn search_hours(
        &self,
        search: &Search,
        statement: &'static Statement,
        value: String,
    ) -> Result<FoundPage> {
        let (first, last) = (search.from.0, search.until.0);
        let (first, last) =
            (first.div_euclid(HOUR_MICROSECONDS), last.div_euclid(HOUR_MICROSECONDS));
        let wanted = search.limit as usize;
        let mut found = FoundPage::default();
        let (mut newest, mut count) = (last, HOURS_FIRST);
        while newest >= first {
            let oldest = first.max(newest.saturating_sub(count as i64 - 1));
            let values = search.values(json_ids(oldest..=newest), Some(value.clone()));
            let rows = collect(self.read(statement, values).await?, log_row)?;
            let is_full = rows.len() >= wanted;
            let last = rows.last().map(|row| row.delivery);
            found.rows.extend(rows.into_iter().filter(|row| search.admits(row)));
            // Within one statement the newest stand first, so what it left out is older.
            if is_full || found.rows.len() >= wanted {
                found.next = last;
                if found.rows.len() > wanted {
                    found.rows.truncate(wanted);
                    found.next = found.rows.last().map(|row| row.delivery);
                }
                return Ok(found);
            }
            newest = oldest - 1;
            count = (count * 2).min(HOURS_MAX);
        }
        Ok(found)
    }

    async fn search_walk(&self, search: &Search) -> Result<FoundPage> {
        let wanted = search.limit as usize;
        let mut found = FoundPage::default();
        let Some(mut newest) = self.walk_from(search).await? else { return Ok(found) };
        for _ in 0..WALKS_MAX {
            let values = vec![newest.into(), WALK_ROWS.min(4 * i64::from(search.limit)).into()];
            let walked = collect(self.read(&WALK, values).await?, |row| {
                Ok((row.int(0)?, Timestamp(row.int(1)?)))
            })?;
            let Some((oldest, at)) = walked.last().copied() else { return Ok(found) };
            let ids = json_ids(walked.iter().map(|(id, _)| *id));
            let rows = collect(self.read(&BY_IDS, search.values(ids, None)).await?, log_row)?;
            let is_full = rows.len() >= wanted;
            found.rows.extend(rows);
            if is_full || found.rows.len() >= wanted {
                found.rows.truncate(wanted);
                found.next = found.rows.last().map(|row| row.delivery);
                return Ok(found);
            }
            if at < search.from {
                return Ok(found);
            }
            newest = oldest - 1;
        }
        // Enough for one page; it may be empty, and the next one goes on here.
        found.next = self.first_delivery(MessageId(newest + 1)).await?;
        Ok(found)
    }

    /// The newest message of the time that is asked for.
    async fn walk_from(&self, search: &Search) -> Result<Option<i64>> {
        if let Some(before) = search.before {
            let rows = self.read(&MESSAGE_OF_DELIVERY, vec![before.0.into()]).await?;
            return rows.first().map(|row| row.int(0)).transpose();
        }
        let hour = search.until.0.div_euclid(HOUR_MICROSECONDS);
        let rows = self.read(&LAST_OF_HOURS, vec![hour.into()]).await?;
        rows.first().map(|row| row.int(0)).transpose()
    }

    async fn first_delivery(&self, message: MessageId) -> Result<Option<DeliveryId>> {
        let rows = self.read(&super::lists::DELIVERIES_OF_MESSAGE, vec![message.0.into()]).await?;
        rows.first().map(|row| Ok(DeliveryId(row.int(0)?))).transpose()
    }
}

fn log_row(row: &Row) -> Result<LogRow> {
    Ok(LogRow {
        delivery: DeliveryId(row.int(0)?),
        message: MessageId(row.int(1)?),
        organization: OrganizationId(row.int(2)?),
        stream: StreamId(row.int(3)?),
        sender: ReversePath::parse(&row.text(4)?).map_err(StoreError::broken_row)?,
        recipient: row.parsed(5)?,
        state: row.parsed(6)?,
        tries: u32::try_from(row.int(7)?).map_err(StoreError::broken_row)?,
        accepted_at: Timestamp(row.int(8)?),
        due_at: Timestamp(row.int(9)?),
        text: row.text(10)?,
        subject: row.text(11)?,
        message_id_header: row.text(12)?,
        tag: row.maybe_text(13)?,
        bytes: row.unsigned(14)?,
        site: SiteId(row.int(15)?),
    })
}
