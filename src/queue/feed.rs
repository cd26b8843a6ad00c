//! Mail without a body: what is owed to each recipient is made just before it is sent.
//!
//! Owns:       how a part of an audience becomes deliveries.
//! Promises:   all rows of a part are committed in one transaction with the mark that it was
//!             taken, so that none is taken twice.
//! Knows not:  what will be sent.

use std::sync::Arc;

use super::{CAPTURED_FOR, Queue, QueueError};
use crate::model::*;
use crate::store::{Enqueue, MessageRow, NewDelivery, SliceRef, StoreError};

/// One of an audience.
#[derive(Clone, Debug)]
pub struct RecipeFor {
    pub contact: ContactId,
    pub address: Address,
    /// From 0 to 100.
    pub score: i64,
}

/// A part of an audience.
#[derive(Clone, Debug)]
pub struct NewRecipes {
    pub organization: OrganizationId,
    pub stream: StreamId,
    pub domain: Option<DomainId>,
    pub sender: ReversePath,
    /// For lists of mail; each recipient's own may differ.
    pub subject: String,
    pub rank: i64,
    pub slice: SliceRef,
    pub not_after: Option<Timestamp>,
    pub recipients: Vec<RecipeFor>,
}

impl Queue {
    /// Returns how many deliveries were made; none when this part had been taken before.
    pub async fn feed(&self, new: NewRecipes) -> Result<usize, QueueError> {
        let id = self.message_id().await?;
        let first = self.0.store.delivery_ids(new.recipients.len()).await?;
        let job = self.recipes(id, first, &new);
        let count = job.deliveries.len();
        let places = self.places(&job);
        let job = places.mark(job);
        let (message, fresh) = (Arc::new(job.message.clone()), places.fresh(&job));
        match self.0.store.enqueue(job).await {
            Ok(()) => {}
            Err(StoreError::Duplicate(_)) => return Ok(0),
            Err(StoreError::Unsure(why)) if !self.0.store.was_committed(id).await => {
                return Err(StoreError::Unavailable(why).into());
            }
            Err(StoreError::Unsure(_)) => {}
            Err(error) => return Err(error.into()),
        }
        places.fill(&message, fresh, || None);
        Ok(count)
    }

    fn recipes(&self, id: MessageId, first: DeliveryId, new: &NewRecipes) -> Enqueue {
        let now = self.0.clock.now();
        let is_captured = self.0.apart.is_captured(new.organization, None);
        let last = now + if is_captured { CAPTURED_FOR } else { self.0.options.expire_after };
        let deliveries = new.recipients.iter().zip(first.0..).map(|(new, id)| {
            let address = &new.address;
            let recipient = Recipient { notify: Notify::NEVER, ..Recipient::new(address.clone()) };
            NewDelivery {
                id: DeliveryId(id),
                site: match is_captured {
                    true => SiteId::CAPTURED,
                    false => self.site_of(address.domain()),
                },
                recipient,
                claimed: false,
                contact: Some(new.contact),
                score: new.score,
            }
        });
        let deliveries = deliveries.collect();
        let message = MessageRow {
            id,
            organization: new.organization,
            stream: new.stream,
            credential: None,
            domain: new.domain,
            sender: new.sender.clone(),
            eight_bit: false,
            smtputf8: false,
            dsn_return: None,
            dsn_envelope_id: None,
            message_id_header: String::new(),
            subject: new.subject.clone(),
            tag: None,
            metadata: None,
            idempotency_key: None,
            body: BodyRef::RECIPE,
            body_node: self.0.options.node,
            accepted_at: now,
            due_at: now,
            expires_at: new.not_after.map_or(last, |moment| moment.min(last)),
            rank: new.rank,
            tracking: None,
        };
        Enqueue { message, deliveries, slice: Some(new.slice), line: None }
    }
}
