//! What became of campaigns, written: events counted, links, readers.
//!
//! Owns:       the tables `campaign_tallies`, `campaign_links`, `campaign_readers` and
//!             `campaign_counted`; events of readers.
//! Promises:   counts and the place up to which they count commit together, so that a crash counts
//!             nothing twice and leaves nothing out.
//! Knows not:  who is a person; it is told.

use crate::model::*;

use super::changes::Change;
use super::database::{Connection, Row};
use super::dialect::{Column, Rows, Statement, int, text};
use super::engagement::{self, FaredOf};
use super::error::{Result, StoreError};
use super::event_ids::Events;
use super::{Store, collect, readings};

/// A reader's request, on its way to be an event.
#[derive(Clone, Debug)]
pub struct Tracked {
    pub message: MessageId,
    pub delivery: DeliveryId,
    /// `Opened` or `Clicked`.
    pub kind: EventKind,
    pub fields: serde_json::Value,
    pub at: Timestamp,
}

/// What comes behind the last event that is counted.
#[derive(Clone, Debug)]
pub struct Uncounted {
    pub from: i64,
    pub upto: i64,
    /// Events between the two, those of other mail among them.
    pub count: u64,
    pub events: Vec<CountedEvent>,
}

/// An event of a campaign, with what it is counted by; of submitted mail the campaign is 0.
#[derive(Clone, Debug)]
pub struct CountedEvent {
    pub id: EventId,
    pub at: Timestamp,
    pub kind: String,
    pub fields: serde_json::Value,
    pub of: CountedOf,
}

#[derive(Clone, Copy, Debug)]
pub struct CountedOf {
    pub delivery: DeliveryId,
    pub organization: OrganizationId,
    pub campaign: CampaignId,
    pub contact: Option<ContactId>,
    pub variant: i64,
    pub operator: i64,
    pub delivered_at: Option<Timestamp>,
}

/// What a tally is counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TallyKey {
    pub campaign: CampaignId,
    pub variant: i64,
    pub hour: i64,
    pub kind: String,
    pub detail: String,
    pub operator: i64,
    pub source: String,
}

/// A person was at a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub campaign: CampaignId,
    pub delivery: DeliveryId,
    pub organization: OrganizationId,
    pub variant: i64,
    pub contact: Option<ContactId>,
    pub opened_at: Option<Timestamp>,
    pub clicked_at: Option<Timestamp>,
}

/// What a run of events adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The last event that it counts.
    pub upto: i64,
    pub counts: Vec<(TallyKey, u64)>,
    /// Campaign, variant, place, target.
    pub clicks: Vec<(CampaignId, i64, i64, String, u64)>,
    pub readings: Vec<Reading>,
    /// Who has answered, and when.
    pub replies: Vec<(OrganizationId, ContactId, Timestamp)>,
    /// How mail to contacts fared, each contact once.
    pub fared: Vec<FaredOf>,
    /// Fields of events of submitted mail that say now who it was.
    pub verdicts: Vec<(EventId, serde_json::Value)>,
}

pub static COUNTED: Statement = Statement::new("SELECT event FROM campaign_counted WHERE id = 1");
/// The last event of those that come next, and how many they are.
pub static SPAN: Statement = Statement::new(
    "SELECT COALESCE(MAX(id), $1), COUNT(*) FROM \
     (SELECT id FROM events WHERE id > $1 AND id < $3 ORDER BY id LIMIT $2) AS span",
);
/// In this order of tables the walk follows the events; those of other mail cost a look each.
pub static EVENTS_TO_COUNT: Statement = Statement::new(
    "SELECT e.id, e.at, e.kind, e.fields, d.id, d.organization, d.campaign, d.contact, \
     COALESCE(f.variant, 0), COALESCE(s.operator, 0), d.delivered_at \
     FROM events AS e CROSS JOIN deliveries AS d \
     LEFT JOIN campaign_fed AS f ON f.message = d.message \
     LEFT JOIN sites AS s ON s.id = d.site \
     WHERE e.id > $1 AND e.id <= $2 AND d.id = e.delivery AND d.campaign IS NOT NULL \
     ORDER BY e.id",
);
pub static INSERT_TRACKED: Statement = Statement::new(
    "INSERT INTO events (id, at, kind, organization, message, delivery, fields) \
     SELECT $1, $2, $3, organization, message, id, $4 FROM deliveries \
     WHERE id = $5 AND message = $6",
);
/// Of a campaign that keeps no readers: what counts is told with the event, which names nobody.
pub static ANONYMOUS_OF: Statement = Statement::new(
    "SELECT d.organization, d.campaign, COALESCE(f.variant, 0), COALESCE(s.operator, 0), \
     d.delivered_at FROM deliveries AS d JOIN campaigns AS c ON c.id = d.campaign \
     LEFT JOIN campaign_fed AS f ON f.message = d.message LEFT JOIN sites AS s ON s.id = d.site \
     WHERE d.id = $1 AND d.message = $2 AND c.settings LIKE '%\"anonymous\":true%'",
);
pub static ANONYMOUS_TO_COUNT: Statement = Statement::new(
    "SELECT id, at, kind, fields, organization FROM events WHERE id > $1 AND id <= $2 \
     AND message IS NULL AND kind IN ('opened', 'clicked') ORDER BY id",
);
pub static SET_COUNTED: Statement =
    Statement::new("UPDATE campaign_counted SET event = $2 WHERE id = 1 AND event = $1");
const TALLY_COLUMNS: &[Column] = &[
    int("campaign"),
    int("variant"),
    int("hour"),
    text("kind"),
    text("detail"),
    int("operator"),
    text("source"),
    int("count"),
];
pub static ADD_TALLIES: Statement = Statement::with_rows(
    TALLY_COLUMNS,
    "INSERT INTO campaign_tallies (campaign, variant, hour, kind, detail, operator, source, count) \
     SELECT campaign, variant, hour, kind, detail, operator, source, count FROM {rows} AS r \
     WHERE true ON CONFLICT (campaign, variant, hour, kind, detail, operator, source) \
     DO UPDATE SET count = campaign_tallies.count + excluded.count",
);
const LINK_COLUMNS: &[Column] =
    &[int("campaign"), int("variant"), int("place"), text("target"), int("clicks")];
pub static ADD_LINKS: Statement = Statement::with_rows(
    LINK_COLUMNS,
    "INSERT INTO campaign_links (campaign, variant, place, target, clicks) \
     SELECT campaign, variant, place, target, clicks FROM {rows} AS r \
     WHERE true ON CONFLICT (campaign, variant, place, target) \
     DO UPDATE SET clicks = campaign_links.clicks + excluded.clicks",
);
const READER_COLUMNS: &[Column] = &[
    int("campaign"),
    int("delivery"),
    int("organization"),
    int("variant"),
    int("contact"),
    int("opened_at"),
    int("clicked_at"),
];
pub static ADD_READERS: Statement = Statement::with_rows(
    READER_COLUMNS,
    "INSERT INTO campaign_readers (campaign, delivery, variant, contact, first_open_at, \
     first_click_at) SELECT campaign, delivery, variant, contact, opened_at, clicked_at \
     FROM {rows} AS r WHERE true ON CONFLICT (campaign, delivery) DO UPDATE SET \
     first_open_at = COALESCE(campaign_readers.first_open_at, excluded.first_open_at), \
     first_click_at = COALESCE(campaign_readers.first_click_at, excluded.first_click_at)",
);
/// What segments ask for. Who clicks has opened.
pub static NOTE_READERS: Statement = Statement::with_rows(
    READER_COLUMNS,
    "UPDATE contact_facts SET \
     last_open_at = CASE WHEN COALESCE(last_open_at, 0) < COALESCE(r.opened_at, r.clicked_at, 0) \
       THEN COALESCE(r.opened_at, r.clicked_at) ELSE last_open_at END, \
     last_click_at = CASE WHEN COALESCE(last_click_at, 0) < COALESCE(r.clicked_at, 0) \
       THEN r.clicked_at ELSE last_click_at END \
     FROM {rows} AS r WHERE contact_facts.organization = r.organization \
     AND contact_facts.contact = r.contact",
);
#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &COUNTED,
    &SPAN,
    &EVENTS_TO_COUNT,
    &INSERT_TRACKED,
    &ANONYMOUS_OF,
    &ANONYMOUS_TO_COUNT,
    &SET_COUNTED,
    &ADD_TALLIES,
    &ADD_LINKS,
    &ADD_READERS,
    &NOTE_READERS,
];

impl Store {
    /// Each becomes an event, unless there is no such delivery (any more).
    pub async fn track(&self, tracked: Vec<Tracked>) -> Result<i64> {
        self.change(Change::Tracked(tracked)).await
    }

    /// Those of campaigns, and of readers of submitted mail, among the next `limit` events.
    pub async fn events_to_count(&self, limit: u32) -> Result<Uncounted> {
        let from = self.database().fetch_one(&COUNTED, vec![]).await?.int(0)?;
        let before = self.settled_before().await?;
        let values = vec![from.into(), i64::from(limit).into(), before.into()];
        let span = self.database().fetch_one(&SPAN, values).await?;
        let (upto, count) = (span.int(0)?, span.unsigned(1)?);
        let values = vec![from.into(), upto.into()];
        let mut events = collect(self.read(&EVENTS_TO_COUNT, values.clone()).await?, event)?;
        let anonymous = self.read(&ANONYMOUS_TO_COUNT, values).await?;
        events.extend(collect(anonymous, anonymous_event)?);
        events.extend(self.readings(from, upto).await?);
        events.sort_by_key(|event| event.id);
        Ok(Uncounted { from, upto, count, events })
    }

    /// Nothing is added when another has counted since `from`.
    pub async fn count_events(&self, from: i64, tally: Tally) -> Result<bool> {
        Ok(self.change(Change::Tally(from, Box::new(tally))).await? > 0)
    }
}

fn event(row: &Row) -> Result<CountedEvent> {
    Ok(CountedEvent {
        id: EventId(row.int(0)?),
        at: Timestamp(row.int(1)?),
        kind: row.text(2)?,
        fields: serde_json::from_str(&row.text(3)?).map_err(StoreError::broken_row)?,
        of: CountedOf {
            delivery: DeliveryId(row.int(4)?),
            organization: OrganizationId(row.int(5)?),
            campaign: CampaignId(row.int(6)?),
            contact: row.maybe_int(7)?.map(ContactId),
            variant: row.int(8)?,
            operator: row.int(9)?,
            delivered_at: row.maybe_int(10)?.map(Timestamp),
        },
    })
}

/// It says itself what it is counted by.
fn anonymous_event(row: &Row) -> Result<CountedEvent> {
    let fields: serde_json::Value =
        serde_json::from_str(&row.text(3)?).map_err(StoreError::broken_row)?;
    let number = |name: &str| fields[name].as_i64();
    let at = Timestamp(row.int(1)?);
    let since = number("since_delivery").map(|since| since.unsigned_abs());
    Ok(CountedEvent {
        id: EventId(row.int(0)?),
        at,
        kind: row.text(2)?,
        of: CountedOf {
            delivery: DeliveryId(0),
            organization: OrganizationId(row.int(4)?),
            campaign: CampaignId(number("campaign").unwrap_or(0)),
            contact: None,
            variant: number("variant").unwrap_or(0),
            operator: number("operator").unwrap_or(0),
            delivered_at: since.map(|since| at - std::time::Duration::from_micros(since)),
        },
        fields,
    })
}

/// True: it is of a campaign that keeps no readers, and was written as such.
async fn write_anonymous(connection: &mut Connection, one: &Tracked, id: i64) -> Result<bool> {
    if !matches!(one.kind, EventKind::Opened | EventKind::Clicked) {
        return Ok(false);
    }
    let values = vec![one.delivery.0.into(), one.message.0.into()];
    let found = connection.fetch(&ANONYMOUS_OF, values).await?;
    let Some(row) = found.first() else { return Ok(false) };
    let mut fields = one.fields.clone();
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("address");
        // A query may name its reader.
        let link = fields.get("link").and_then(|link| link.as_str()).unwrap_or_default();
        let link = link.split(['?', '#']).next().unwrap_or_default().to_owned();
        if fields.contains_key("link") {
            fields.insert("link".to_owned(), link.into());
        }
        fields.insert("campaign".to_owned(), row.int(1)?.into());
        fields.insert("variant".to_owned(), row.int(2)?.into());
        fields.insert("operator".to_owned(), row.int(3)?.into());
        if let Some(delivered_at) = row.maybe_int(4)? {
            fields.insert("since_delivery".to_owned(), (one.at.0 - delivered_at).into());
        }
    }
    let values = vec![
        id.into(),
        one.at.0.into(),
        one.kind.word().into(),
        row.int(0)?.into(),
        fields.to_string().into(),
    ];
    connection.execute(&super::changes::INSERT_EVENT, values).await?;
    Ok(true)
}

pub async fn write_tracked(
    connection: &mut Connection,
    tracked: &[Tracked],
    events: &mut Events,
) -> Result<i64> {
    let first = events.take(connection, tracked.len()).await?;
    let mut written = 0;
    for (one, id) in tracked.iter().zip(first..) {
        if write_anonymous(connection, one, id).await? {
            written += 1;
            continue;
        }
        let values = vec![
            id.into(),
            one.at.0.into(),
            one.kind.word().into(),
            one.fields.to_string().into(),
            one.delivery.0.into(),
            one.message.0.into(),
        ];
        written += connection.execute(&INSERT_TRACKED, values).await?;
    }
    super::changes::rows(written)
}

pub async fn write_tally(connection: &mut Connection, from: i64, tally: &Tally) -> Result<i64> {
    let moved = connection.execute(&SET_COUNTED, vec![from.into(), tally.upto.into()]).await?;
    if moved == 0 {
        return Ok(0);
    }
    let dialect = connection.dialect();
    let mut counts = Rows::new(dialect, TALLY_COLUMNS);
    for (key, count) in &tally.counts {
        counts.int(key.campaign.0).int(key.variant).int(key.hour).text(&key.kind);
        counts.text(&key.detail).int(key.operator).text(&key.source).unsigned(*count);
    }
    let mut links = Rows::new(dialect, LINK_COLUMNS);
    for (campaign, variant, place, target, clicks) in &tally.clicks {
        links.int(campaign.0).int(*variant).int(*place).text(target).unsigned(*clicks);
    }
    for (rows, statement) in [(counts, &ADD_TALLIES), (links, &ADD_LINKS)] {
        if rows.count() > 0 {
            connection.execute(statement, vec![rows.finish().into()]).await?;
        }
    }
    readings::write_verdicts(connection, &tally.verdicts).await?;
    engagement::note_fared(connection, &tally.fared).await?;
    engagement::warm_by_replies(connection, &tally.replies).await?;
    if !tally.readings.is_empty() {
        engagement::warm(connection, &tally.readings).await?;
        for statement in [&ADD_READERS, &NOTE_READERS] {
            let mut readers = Rows::new(dialect, READER_COLUMNS);
            tally.readings.iter().for_each(|reading| put_reading(&mut readers, reading));
            connection.execute(statement, vec![readers.finish().into()]).await?;
        }
    }
    Ok(1)
}

fn put_reading(readers: &mut Rows, reading: &Reading) {
    readers.int(reading.campaign.0).int(reading.delivery.0).int(reading.organization.0);
    readers.int(reading.variant).maybe_int(reading.contact.map(|id| id.0));
    readers.maybe_int(reading.opened_at.map(|at| at.0));
    readers.maybe_int(reading.clicked_at.map(|at| at.0));
}
