//! Just before it is sent: a body is signed, or a recipe is made for its recipient.
//!
//! Owns:       what becomes of a delivery whose mail cannot be made, or is not wanted any more.
//! Promises:   whoever may not get it is settled with the reason, and nobody else is held up.
//! Knows not:  templates, contacts, connections.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::Shared;
use super::settler::Settlement;
use super::site::Site;
use super::verdict;
use crate::compose::RecipeError;
use crate::deliver::Transaction;
use crate::model::*;
use crate::queue::Claimed;
use crate::store::{ClaimedDelivery, Settle};

/// Before mail of a campaign that stands still is looked at again.
const STILL_WAIT: Duration = Duration::from_secs(60);

pub enum NotComposed {
    Settled(Box<Settlement>),
    /// It is tried again.
    Ourselves(String),
}

impl Shared {
    /// The mail, and what it was made of when it was made for this recipient alone.
    pub(super) async fn composed(
        &self,
        site: &Arc<Site>,
        claimed: &Claimed,
        body: Bytes,
    ) -> Result<(Mail, Option<String>), NotComposed> {
        let message = &claimed.delivery.message;
        if !message.body.is_recipe() {
            let mail = self.composer.compose(message, claimed.delivery.id, body).await;
            return Ok((mail.map_err(|error| NotComposed::Ourselves(error.to_string()))?, None));
        }
        // On the heap while it runs: most lanes only send what is there.
        let made = Box::pin(self.composer.compose_recipe(&claimed.delivery)).await;
        let settle = match made {
            Ok((mail, pin)) => return Ok((mail, Some(pin))),
            Err(RecipeError::Ours(error)) => return Err(NotComposed::Ourselves(error.to_string())),
            Err(error) => settle(&claimed.delivery, &error, self.clock.now()),
        };
        let claimed = std::slice::from_ref(claimed);
        let settlement = Settlement::new(site.clone(), claimed, vec![settle], None, None);
        Err(NotComposed::Settled(Box::new(settlement)))
    }
}

fn settle(delivery: &ClaimedDelivery, error: &RecipeError, now: Timestamp) -> Settle {
    let step = match error {
        RecipeError::Unwanted(_) => Step::Suppress,
        RecipeError::Unrenderable(_) => Step::Fail,
        RecipeError::Cancelled => Step::Cancel,
        RecipeError::Still | RecipeError::Ours(_) => {
            return verdict::put_off(delivery, delivery.site, now + STILL_WAIT, now);
        }
    };
    let blame = match step {
        Step::Suppress => Some(Blame::Recipient),
        Step::Fail => Some(Blame::Message),
        _ => None,
    };
    let reason = error.to_string();
    Settle {
        site: None,
        step,
        text: verdict::clipped_to(reason.clone(), crate::model::limits::REPLY_TEXT_BYTES_MAX),
        blame,
        fields: json!({ "reason": reason }),
        ..verdict::give_back(delivery, delivery.site, now)
    }
}

/// Deliveries that the ready mail put together: one message, one recipient domain.
pub(super) fn transaction_of(claimed: &[Claimed], sender: ReversePath) -> Transaction {
    let message = &claimed[0].delivery.message;
    Transaction {
        sender,
        recipients: claimed.iter().map(|one| one.delivery.recipient.clone()).collect(),
        // A mail made for one recipient asks for it only where his own address does.
        smtputf8: message.smtputf8
            || (message.body.is_recipe() && claimed[0].delivery.recipient.address.needs_smtputf8()),
        eight_bit: message.eight_bit,
        dsn_return: message.dsn_return,
        dsn_envelope_id: message.dsn_envelope_id.clone(),
    }
}
