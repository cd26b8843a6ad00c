//! A flow: the mail of one stream of one organization, which takes its turns together.

use serde::{Deserialize, Serialize};

use super::ids::{OrganizationId, StreamId};
use super::limit::StreamClass;

/// Which mail of a flow is taken first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOrder {
    /// What has been due for the longest time.
    Due,
    /// Whose recipient opens and clicks: a source that is new to an operator is judged by its first
    /// mails. Transactional mail is taken as it is due all the same.
    Engaged,
}

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
