//! A flow: the mail of one stream of one organization, which takes its turns together.

use serde::{Deserialize, Serialize};

use super::ids::{OrganizationId, StreamId};
use super::limit::StreamClass;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Flow {
    pub organization: OrganizationId,
    pub stream: StreamId,
    /// 0 transactional, 1 marketing; smaller goes first.
    pub rank: i64,
}

impl Flow {
    pub const fn class(&self) -> StreamClass {
        if self.rank == 0 { StreamClass::Transactional } else { StreamClass::Marketing }
    }
}
