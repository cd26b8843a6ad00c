//! A recipient wants no more mail of a stream, or chooses which.
//!
//! Owns:       what the pages and addresses for unsubscribing do.
//! Promises:   looking changes nothing; leaving twice is leaving once; who has left can come back
//!             and leave again.
//! Knows not:  HTTP, SMTP.

use serde_json::json;

use super::lesson::unsubscribed;
use crate::clock::Clock;
use crate::compose::returns::Returns;
use crate::model::*;
use crate::store::{
    AddressHash, MessageRow, NewSuppression, ReturnSubject, Returned, Store, StoreError,
    SuppressionFilter,
};
use crate::token::{Claim, Use};

/// Entries of one address in one organization that are looked at.
const ENTRIES_MAX: u32 = 1000;
const STAYS_NOTE: &str = "the recipient chose to get it again";

/// The ledger cannot be read or written; nothing has changed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LeaveError(#[from] StoreError);

/// A cheap handle.
#[derive(Clone)]
pub struct Leaving {
    store: Store,
    returns: Returns,
    clock: Clock,
}

/// A stream as its recipient sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub stream: StreamId,
    pub name: String,
    pub gets: bool,
}

/// What a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub organization: String,
    pub recipient: String,
    /// The stream of the mail that the token came with.
    pub stream: StreamId,
    pub stream_name: String,
    /// The marketing streams of the organization, and this one.
    pub choices: Vec<Choice>,
}

struct Opened {
    claim: Claim,
    message: MessageRow,
    subject: ReturnSubject,
}

impl Leaving {
    pub fn new(store: Store, returns: Returns, clock: Clock) -> Leaving {
        Leaving { store, returns, clock }
    }

    /// None when the text is no token of ours, its time is over, or its mail is not known.
    async fn open(&self, token: &str) -> Result<Option<Opened>, StoreError> {
        let Some(claim) = self.returns.read_token(Use::Unsubscribe, token) else {
            return Ok(None);
        };
        opened(&self.store, claim).await
    }

    /// What there is to choose. Changes nothing.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn look(&self, token: &str) -> Result<Option<Subscription>, LeaveError> {
        let Some(opened) = self.open(token).await? else { return Ok(None) };
        let (organization, own) = (opened.message.organization, opened.message.stream);
        let organizations = self.store.organizations().await?;
        let named = organizations.into_iter().find(|row| row.id == organization);
        let left = self.left(organization, &opened.subject.recipient).await?;
        let mut choices = Vec::new();
        for row in self.store.streams().await? {
            let is_offered = row.class == StreamClass::Marketing.word() || row.id == own;
            if row.organization == organization && is_offered {
                let gets = !left.iter().any(|(stream, _)| *stream == Some(row.id));
                choices.push(Choice { stream: row.id, name: row.name, gets });
            }
        }
        let own_name = choices.iter().find(|choice| choice.stream == own);
        Ok(Some(Subscription {
            organization: named.map(|row| row.name).unwrap_or_default(),
            recipient: opened.subject.recipient.to_string(),
            stream: own,
            stream_name: own_name.map(|choice| choice.name.clone()).unwrap_or_default(),
            choices,
        }))
    }

    /// Ends the stream of the token's mail. False when the token opens nothing.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub async fn leave(&self, token: &str, by: &'static str) -> Result<bool, LeaveError> {
        let Some(opened) = self.open(token).await? else { return Ok(false) };
        leave(&self.store, opened.claim, by, self.clock.now()).await?;
        Ok(true)
    }

    /// The recipient gets these of the streams on offer, and no others. False when the token opens
    /// nothing.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub async fn choose(&self, token: &str, wanted: &[StreamId]) -> Result<bool, LeaveError> {
        let Some(offer) = self.look(token).await? else { return Ok(false) };
        let Some(opened) = self.open(token).await? else { return Ok(false) };
        let (organization, recipient) = (opened.message.organization, &opened.subject.recipient);
        let left = self.left(organization, recipient).await?;
        let mut new = Vec::new();
        for choice in &offer.choices {
            match (wanted.contains(&choice.stream), choice.gets) {
                (false, true) if choice.stream == offer.stream => {
                    leave(&self.store, opened.claim, "page", self.clock.now()).await?;
                }
                (false, true) => new.push(NewSuppression {
                    stream: Some(choice.stream),
                    ..unsubscribed(&opened.message, &opened.subject, self.clock.now())
                }),
                (true, false) => {
                    let own = left.iter().filter(|(stream, _)| *stream == Some(choice.stream));
                    for (_, entry) in own {
                        let organization = Some(organization);
                        self.store.remove_suppression(*entry, organization, STAYS_NOTE).await?;
                    }
                }
                _ => {}
            }
        }
        self.store.suppress(new).await?;
        Ok(true)
    }

    /// The streams that he left, with their entries.
    async fn left(
        &self,
        organization: OrganizationId,
        recipient: &Address,
    ) -> Result<Vec<(Option<StreamId>, SuppressionId)>, StoreError> {
        let filter = SuppressionFilter {
            organization: Some(organization),
            hash: Some(AddressHash::of(recipient)),
            ..SuppressionFilter::default()
        };
        let rows = self.store.suppressions(&filter, ENTRIES_MAX).await?;
        let left = rows.into_iter().filter(|row| {
            row.reason == SuppressionReason::Unsubscribe && row.scope == SuppressionScope::Stream
        });
        Ok(left.map(|row| (row.stream, row.id)).collect())
    }
}

async fn opened(store: &Store, claim: Claim) -> Result<Option<Opened>, StoreError> {
    let Some(message) = store.message(claim.message).await? else { return Ok(None) };
    let group = store.return_group(claim.message, claim.delivery).await?;
    let subject = group.into_iter().find(|one| one.delivery == claim.delivery);
    Ok(subject.map(|subject| Opened { claim, message, subject }))
}

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
    let Some(opened) = opened(store, claim).await? else { return Ok(None) };
    let message = &opened.message;
    let entry = unsubscribed(message, &opened.subject, at);
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
    if !is_news {
        // He may have come back since, and means it again.
        store.suppress(vec![entry]).await?;
    }
    Ok(Some((message.organization, is_news)))
}
