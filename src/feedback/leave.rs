//! A recipient wants no more mail of a stream.

use serde_json::json;

use super::lesson::unsubscribed;
use crate::model::*;
use crate::store::{Returned, Store, StoreError};
use crate::token::Claim;

/// Writes it down: whose mail it was, and whether it was news. None when the mail of the claim is
/// not known any more. `by` says how: `mail`, `one_click`, `page`.
///
/// # Errors
/// The ledger cannot be read or written.
pub async fn leave(
    store: &Store,
    claim: Claim,
    by: &'static str,
    at: Timestamp,
) -> Result<Option<(OrganizationId, bool)>, StoreError> {
    let Some(message) = store.message(claim.message).await? else { return Ok(None) };
    let group = store.return_group(claim.message, claim.delivery).await?;
    let Some(subject) = group.iter().find(|one| one.delivery == claim.delivery) else {
        return Ok(None);
    };
    let entry = unsubscribed(&message, subject, at);
    let returned = Returned {
        organization: message.organization,
        message: message.id,
        delivery: claim.delivery,
        kind: EventKind::Unsubscribed,
        fields: json!({ "by": by }),
        suppression: Some(entry.clone()),
        soft: None,
        at,
    };
    let is_news = store.came_back(returned).await?;
    Ok(Some((message.organization, is_news)))
}
