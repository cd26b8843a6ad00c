//! Whose mail the daemon's own is.

use super::address::Domain;
use super::ids::{OrganizationId, StreamId};

/// Of reports to senders, and of what it writes to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub organization: OrganizationId,
    pub stream: StreamId,
    /// What it is from, and whose key signs it.
    pub domain: Domain,
}
