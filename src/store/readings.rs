//! Opens and clicks of submitted mail, and who it was each time.
//!
//! Owns:       the word `reader` in the fields of such events.
//! Promises:   an event of a campaign is none of these.
//! Knows not:  how a person is told from a machine.

use crate::model::*;

use super::database::{Connection, Row};
use super::dialect::{Column, Rows, Statement, int, text};
use super::error::{Result, StoreError};
use super::tallies::{CountedEvent, CountedOf};
use super::{Store, collect};

/// When it was taken; no row where it is a campaign's.
pub static SUBMITTED: Statement = Statement::new(
    "SELECT delivered_at FROM deliveries WHERE id = $1 AND message = $2 AND campaign IS NULL",
);
/// In this order of tables the walk follows the events, as that of campaigns does.
pub static READINGS: Statement = Statement::new(
    "SELECT e.id, e.at, e.kind, e.fields, d.id, d.organization, d.delivered_at \
     FROM events AS e CROSS JOIN deliveries AS d \
     WHERE e.id > $1 AND e.id <= $2 AND e.kind IN ('opened', 'clicked') \
     AND d.id = e.delivery AND d.campaign IS NULL ORDER BY e.id",
);
const VERDICT_COLUMNS: &[Column] = &[int("id"), text("fields")];
pub static SET_VERDICTS: Statement = Statement::with_rows(
    VERDICT_COLUMNS,
    "UPDATE events SET fields = CAST(r.fields AS TEXT) FROM {rows} AS r WHERE events.id = r.id",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&SUBMITTED, &READINGS, &SET_VERDICTS];

impl Store {
    /// When a submitted mail was taken by a host, as far as it was; None for a campaign's.
    pub async fn submitted_at(
        &self,
        message: MessageId,
        delivery: DeliveryId,
    ) -> Result<Option<Option<Timestamp>>> {
        let rows = self.read(&SUBMITTED, vec![delivery.0.into(), message.0.into()]).await?;
        let found = collect(rows, |row| Ok(row.maybe_int(0)?.map(Timestamp)))?;
        Ok(found.into_iter().next())
    }

    /// Of submitted mail among these events.
    pub(super) async fn readings(&self, from: i64, upto: i64) -> Result<Vec<CountedEvent>> {
        collect(self.read(&READINGS, vec![from.into(), upto.into()]).await?, reading)
    }
}

fn reading(row: &Row) -> Result<CountedEvent> {
    Ok(CountedEvent {
        id: EventId(row.int(0)?),
        at: Timestamp(row.int(1)?),
        kind: row.text(2)?,
        fields: serde_json::from_str(&row.text(3)?).map_err(StoreError::broken_row)?,
        of: CountedOf {
            delivery: DeliveryId(row.int(4)?),
            organization: OrganizationId(row.int(5)?),
            campaign: CampaignId(0),
            contact: None,
            variant: 0,
            operator: 0,
            delivered_at: row.maybe_int(6)?.map(Timestamp),
        },
    })
}

pub async fn write_verdicts(
    connection: &mut Connection,
    verdicts: &[(EventId, serde_json::Value)],
) -> Result<()> {
    if verdicts.is_empty() {
        return Ok(());
    }
    let mut rows = Rows::new(connection.dialect(), VERDICT_COLUMNS);
    for (event, fields) in verdicts {
        rows.int(event.0).text(&fields.to_string());
    }
    connection.execute(&SET_VERDICTS, vec![rows.finish().into()]).await?;
    Ok(())
}
