//! What streams do with mail for suppressed addresses, and with bounces that come back.
//!
//! Owns:       the table `stream_policies`.
//! Promises:   a stream without a row has the usual policy.
//! Knows not:  what follows from a policy.

use serde::{Deserialize, Serialize};

use crate::model::*;

use super::Store;
use super::changes::RowWrite;
use super::collect;
use super::dialect::Statement;
use super::error::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamPolicy {
    /// Mail for an address that is not written to.
    pub suppressed: SuppressedPolicy,
    /// Who gets bounces that come back by mail.
    pub bounces: BouncePolicy,
}

impl Default for StreamPolicy {
    fn default() -> StreamPolicy {
        let (suppressed, bounces) = (SuppressedPolicy::Report, BouncePolicy::Asked);
        StreamPolicy { suppressed, bounces }
    }
}

pub static POLICIES: Statement =
    Statement::new("SELECT stream, suppressed, bounces FROM stream_policies");
pub static SET_POLICY: Statement = Statement::new(
    "INSERT INTO stream_policies (stream, suppressed, bounces) VALUES ($1, $2, $3) \
     ON CONFLICT (stream) DO UPDATE SET suppressed = excluded.suppressed, \
     bounces = excluded.bounces",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&POLICIES, &SET_POLICY];

impl Store {
    /// Those that are not the usual one.
    pub async fn stream_policies(&self) -> Result<Vec<(StreamId, StreamPolicy)>> {
        collect(self.read(&POLICIES, vec![]).await?, |row| {
            let policy = StreamPolicy { suppressed: row.parsed(1)?, bounces: row.parsed(2)? };
            Ok((StreamId(row.int(0)?), policy))
        })
    }

    pub async fn set_stream_policy(&self, stream: StreamId, policy: StreamPolicy) -> Result<()> {
        let values =
            vec![stream.0.into(), policy.suppressed.word().into(), policy.bounces.word().into()];
        self.write(vec![RowWrite::new(&SET_POLICY, values)]).await?;
        Ok(())
    }
}
