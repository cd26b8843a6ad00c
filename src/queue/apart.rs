//! Whose mail does not go the usual way: of organizations that are suspended, of streams that are
//! held, mail that a rule holds, of organizations and credentials whose mail is captured; and whose
//! dialogues are kept.
//!
//! Owns:       the picture of them in memory.
//! Promises:   a lookup costs no read of the store.
//! Knows not:  who suspends, holds or captures, or why.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use super::{Queue, QueueError};
use crate::model::*;
use crate::store::{ClaimedDelivery, MessageRow, Store, StoreError};

#[derive(Default)]
pub struct Apart(Mutex<Sets>);

#[derive(Default)]
struct Sets {
    /// Their mail waits in the ledger, where a claim passes over it; with the reason.
    suspended: HashMap<OrganizationId, String>,
    held: HashMap<StreamId, String>,
    captured: HashSet<OrganizationId>,
    capturing: HashSet<CredentialId>,
    rules: Vec<HoldRule>,
    traces: Vec<Trace>,
}

/// Whose mail of a message waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldPart {
    Nobodys,
    /// That of some recipients, or of none: it depends on them.
    Somebodys,
    Everybodys,
}

impl Apart {
    pub async fn reread(&self, store: &Store) -> Result<(), StoreError> {
        let mut sets = Sets::default();
        for row in store.organizations().await? {
            if row.capture {
                sets.captured.insert(row.id);
            }
            if row.suspended_at.is_some() {
                sets.suspended.insert(row.id, row.suspended_reason.unwrap_or_default());
            }
        }
        for row in store.streams().await?.into_iter().filter(|row| row.held_at.is_some()) {
            sets.held.insert(row.id, row.held_reason.unwrap_or_default());
        }
        let credentials = store.credentials().await?;
        let capturing = credentials.iter().filter(|row| row.rules.capture);
        sets.capturing = capturing.map(|row| row.id).collect();
        sets.rules = store.hold_rules().await?;
        sets.traces = store.traces().await?;
        *self.0.lock() = sets;
        Ok(())
    }

    /// Whether a message must wait, before its recipients are looked at.
    pub fn part_held(&self, message: &MessageRow) -> HeldPart {
        let sets = self.0.lock();
        let mut caught = sets.rules.iter().filter(|rule| catches(&rule.matches, message, None));
        let is_out = sets.suspended.contains_key(&message.organization)
            || sets.held.contains_key(&message.stream);
        let is_for_all = |rule: &HoldRule| {
            rule.matches.campaign.is_none() && rule.matches.recipient_domain.is_none()
        };
        if is_out || caught.clone().any(is_for_all) {
            return HeldPart::Everybodys;
        }
        if caught.next().is_some() { HeldPart::Somebodys } else { HeldPart::Nobodys }
    }

    /// Why a mail to somebody waits, if it is held.
    pub fn holds(
        &self,
        message: &MessageRow,
        to: (&Address, Option<CampaignId>),
    ) -> Option<String> {
        let sets = self.0.lock();
        if let Some(reason) = sets.suspended.get(&message.organization) {
            return Some(format!("the organization is suspended: {reason}"));
        }
        if let Some(reason) = sets.held.get(&message.stream) {
            return Some(format!("the stream is held: {reason}"));
        }
        let rule = sets.rules.iter().find(|rule| catches(&rule.matches, message, Some(to)))?;
        Some(format!("held by rule {}: {}", rule.id, rule.reason))
    }

    /// What is said to this recipient is kept.
    pub fn is_traced(&self, owner: OrganizationId, to: &Address, now: Timestamp) -> bool {
        let sets = self.0.lock();
        let is_own = |one: &Trace| {
            one.organization == owner && one.expires_at > now && one.recipient.matches(to)
        };
        sets.traces.iter().any(is_own)
    }

    pub fn is_captured(
        &self,
        organization: OrganizationId,
        credential: Option<CredentialId>,
    ) -> bool {
        let sets = self.0.lock();
        sets.captured.contains(&organization)
            || credential.is_some_and(|id| sets.capturing.contains(&id))
    }
}

/// As `not_held` of the store has it. Without a recipient: whether it may catch one.
fn catches(
    rule: &HoldMatch,
    message: &MessageRow,
    to: Option<(&Address, Option<CampaignId>)>,
) -> bool {
    let of_recipient = to.is_none_or(|(address, campaign)| {
        rule.campaign.is_none_or(|id| Some(id) == campaign)
            && rule.recipient_domain.as_ref().is_none_or(|domain| domain == address.domain())
    });
    let sender = message.sender.0.as_ref();
    let is_from = |pattern: &Pattern| sender.is_some_and(|sender| pattern.matches(sender));
    of_recipient
        && rule.organization.is_none_or(|id| id == message.organization)
        && rule.stream.is_none_or(|id| id == message.stream)
        && rule.credential.is_none_or(|id| Some(id) == message.credential)
        && rule.tag.as_ref().is_none_or(|tag| Some(tag) == message.tag.as_ref())
        && rule.sender.as_ref().is_none_or(is_from)
}

impl Queue {
    /// Fresh mail that is held is not handed over (what waits is left by the claim), captured mail
    /// is kept. To be called at start and after such a change.
    pub async fn note_apart(&self) -> Result<(), QueueError> {
        Ok(self.0.apart.reread(&self.0.store).await?)
    }

    /// Why a suspension, a held stream or a rule keeps it waiting.
    pub fn held_by(&self, delivery: &ClaimedDelivery) -> Option<String> {
        let to = (&delivery.recipient.address, delivery.campaign);
        self.0.apart.holds(&delivery.message, to)
    }

    /// What is said to its recipient is kept, whatever becomes of it.
    pub fn is_traced(&self, delivery: &ClaimedDelivery) -> bool {
        let to = &delivery.recipient.address;
        self.0.apart.is_traced(delivery.message.organization, to, self.0.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;

    fn message(organization: i64, stream: i64) -> MessageRow {
        MessageRow {
            organization: OrganizationId(organization),
            stream: StreamId(stream),
            body: BodyRef::RECIPE,
            ..samples::message("news@shop.example")
        }
    }

    fn rule(matches: HoldMatch) -> HoldRule {
        let (id, reason) = (HoldRuleId(1), "odd".to_owned());
        HoldRule { id, matches, reason, created_at: Timestamp(0) }
    }

    #[test]
    fn a_message_waits_whole_where_its_recipients_make_no_difference() {
        let apart = Apart::default();
        let told = |apart: &Apart| {
            [message(1, 1), message(2, 1), message(1, 2)].map(|one| apart.part_held(&one))
        };
        use HeldPart::{Everybodys, Nobodys, Somebodys};
        assert_eq!(told(&apart), [Nobodys; 3]);
        apart.0.lock().suspended.insert(OrganizationId(2), "unpaid".to_owned());
        apart.0.lock().held.insert(StreamId(2), "looked at".to_owned());
        assert_eq!(told(&apart), [Nobodys, Everybodys, Everybodys]);
        let far = "far.example".parse().expect("a domain");
        let to_far = HoldMatch { recipient_domain: Some(far), ..HoldMatch::default() };
        apart.0.lock().rules.push(rule(to_far));
        assert_eq!(told(&apart), [Somebodys, Everybodys, Everybodys]);
        let shop = "shop.example".parse().expect("a pattern");
        let from_shop = HoldMatch { sender: Some(shop), ..HoldMatch::default() };
        apart.0.lock().rules.push(rule(from_shop));
        assert_eq!(told(&apart), [Everybodys; 3]);
    }
}
