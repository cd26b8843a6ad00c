//! What mail of a stream or of a sending domain tells of its readers.
//!
//! Owns:       the column `tracking` of streams and domains.
//! Promises:   what was not said is not there.
//! Knows not:  which of the two goes before the other.

use crate::model::*;

use super::changes::RowWrite;
use super::dialect::Statement;
use super::error::Result;
use super::{Store, collect};

pub static STREAM_TRACKING: Statement =
    Statement::new("SELECT id, tracking FROM streams WHERE tracking IS NOT NULL");
pub static DOMAIN_TRACKING: Statement =
    Statement::new("SELECT id, tracking FROM domains WHERE tracking IS NOT NULL");
pub static SET_STREAM_TRACKING: Statement =
    Statement::new("UPDATE streams SET tracking = $2 WHERE id = $1");
pub static SET_DOMAIN_TRACKING: Statement =
    Statement::new("UPDATE domains SET tracking = $2 WHERE id = $1");

#[cfg(test)]
pub static ALL: &[&Statement] =
    &[&STREAM_TRACKING, &DOMAIN_TRACKING, &SET_STREAM_TRACKING, &SET_DOMAIN_TRACKING];

impl Store {
    pub async fn stream_tracking(&self) -> Result<Vec<(StreamId, Tracking)>> {
        collect(self.read(&STREAM_TRACKING, vec![]).await?, |row| {
            Ok((StreamId(row.int(0)?), row.parsed(1)?))
        })
    }

    pub async fn domain_tracking(&self) -> Result<Vec<(DomainId, Tracking)>> {
        collect(self.read(&DOMAIN_TRACKING, vec![]).await?, |row| {
            Ok((DomainId(row.int(0)?), row.parsed(1)?))
        })
    }

    /// None: it is not said.
    pub async fn set_stream_tracking(
        &self,
        stream: StreamId,
        tracking: Option<Tracking>,
    ) -> Result<()> {
        let values =
            vec![stream.0.into(), tracking.map(|tracking| tracking.word().to_owned()).into()];
        self.write(vec![RowWrite::new(&SET_STREAM_TRACKING, values)]).await?;
        Ok(())
    }

    /// None: it is not said.
    pub async fn set_domain_tracking(
        &self,
        domain: DomainId,
        tracking: Option<Tracking>,
    ) -> Result<()> {
        let values =
            vec![domain.0.into(), tracking.map(|tracking| tracking.word().to_owned()).into()];
        self.write(vec![RowWrite::new(&SET_DOMAIN_TRACKING, values)]).await?;
        Ok(())
    }
}
