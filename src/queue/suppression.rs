//! May this address be written to? Asked for every transaction, so mostly answered from memory.
//!
//! Owns:       the short hashes of all suppressed addresses, the policies of streams.
//! Promises:   an entry that this process made counts from its commit on, one of another node
//!             within a second; a hash in memory only leads to the question, the ledger answers.
//! Knows not:  what becomes of mail that is stopped.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::RwLock;

use crate::clock::Clock;
use crate::model::*;
use crate::store::{AddressHash, ClaimedDelivery, Stop, Store, StoreError, StreamPolicy};

/// How long entries of other nodes may stay unseen.
const OTHERS_AFTER: Duration = Duration::from_secs(1);
/// Some 100 MiB; with more entries every transaction asks the ledger.
const KNOWN_MAX: usize = 5_000_000;

/// What is known of the table.
#[derive(Debug, Default)]
struct Known {
    hashes: HashSet<u64>,
    /// The newest entry that was read.
    last: i64,
    /// `Store::suppressions_made` when it was read.
    made: Option<u64>,
    read_at: Timestamp,
    is_overfull: bool,
}

pub struct Suppressions {
    store: Store,
    clock: Clock,
    known: RwLock<Known>,
    policies: RwLock<HashMap<StreamId, StreamPolicy>>,
    reading: tokio::sync::Mutex<()>,
}

impl Suppressions {
    pub fn new(store: Store, clock: Clock) -> Suppressions {
        let (known, policies) = (RwLock::default(), RwLock::default());
        Suppressions { store, clock, known, policies, reading: tokio::sync::Mutex::default() }
    }

    /// To be called at start and when one was changed.
    ///
    /// # Errors
    /// The ledger does not answer; the policies read before stay in use.
    pub async fn reload_policies(&self) -> Result<(), StoreError> {
        let policies = self.store.stream_policies().await?;
        *self.policies.write() = policies.into_iter().collect();
        Ok(())
    }

    pub fn policy(&self, stream: StreamId) -> StreamPolicy {
        self.policies.read().get(&stream).copied().unwrap_or_default()
    }

    /// Nothing is suppressed at all, so nobody need be asked.
    pub fn is_clear(&self) -> bool {
        let known = self.known.read();
        self.is_fresh(&known) && known.hashes.is_empty() && !known.is_overfull
    }

    fn is_fresh(&self, known: &Known) -> bool {
        let is_read = known.made == Some(self.store.suppressions_made());
        let is_alone = !self.store.leases_claims();
        is_read && (is_alone || self.clock.now().since(known.read_at) < OTHERS_AFTER)
    }

    /// For each address the entry that stops it.
    ///
    /// # Errors
    /// The ledger does not answer: nobody may be written to then.
    pub async fn stops(
        &self,
        organization: OrganizationId,
        stream: StreamId,
        addresses: &[&Address],
    ) -> Result<Vec<Option<Stop>>, StoreError> {
        self.read_news().await?;
        let hashes: Vec<AddressHash> = addresses.iter().map(|one| AddressHash::of(one)).collect();
        let is_possible = {
            let known = self.known.read();
            known.is_overfull || hashes.iter().any(|hash| known.hashes.contains(&hash.short()))
        };
        if !is_possible {
            return Ok(vec![None; addresses.len()]);
        }
        self.store.stopping(organization, stream, &hashes, self.clock.now()).await
    }

    /// The entry that stops mail of a campaign: for each list by which it could reach him.
    ///
    /// # Errors
    /// The ledger does not answer: he may not be written to then.
    pub async fn stops_list(&self, one: &ClaimedDelivery) -> Result<Option<Stop>, StoreError> {
        let hash = AddressHash::of(&one.recipient.address);
        let is_possible = {
            let known = self.known.read();
            known.is_overfull || known.hashes.contains(&hash.short())
        };
        if !is_possible {
            return Ok(None);
        }
        let organization = one.message.organization;
        let stopped = self.store.stopped_lists(organization, &hash, self.clock.now()).await?;
        if stopped.is_empty() {
            return Ok(None);
        }
        let Some(recipe) = self.store.recipe(one.id).await? else { return Ok(None) };
        Ok(stop_of(&recipe.settings.audience.lists, &recipe.memberships, &stopped))
    }

    async fn read_news(&self) -> Result<(), StoreError> {
        if self.is_fresh(&self.known.read()) {
            return Ok(());
        }
        let _reading = self.reading.lock().await;
        if self.is_fresh(&self.known.read()) {
            return Ok(());
        }
        // Counted before the rows are read: an entry made in between is read once more.
        let (made, now) = (self.store.suppressions_made(), self.clock.now());
        loop {
            let last = self.known.read().last;
            let news = self.store.new_suppressions(SuppressionId(last)).await?;
            let mut known = self.known.write();
            let Some((newest, _)) = news.last() else {
                known.made = Some(made);
                known.read_at = now;
                return Ok(());
            };
            known.last = newest.0;
            if known.hashes.len() + news.len() > KNOWN_MAX {
                known.is_overfull = true;
                known.hashes = HashSet::new();
            }
            if !known.is_overfull {
                known.hashes.extend(news.iter().map(|(_, hash)| hash.short()));
            }
        }
    }
}

/// As with a membership that has ended: whoever is on another of the lists gets the mail by it.
fn stop_of(
    audience: &[ListId],
    memberships: &[(ListId, MembershipStatus)],
    stopped: &[(ListId, Stop)],
) -> Option<Stop> {
    let is_stopped = |list: &ListId| stopped.iter().any(|(own, _)| own == list);
    let reaches = |list: &&ListId| {
        let is_on = |(own, status): &_| own == *list && *status == MembershipStatus::Subscribed;
        memberships.iter().any(is_on) && !is_stopped(list)
    };
    if audience.iter().any(|list| reaches(&list)) {
        return None;
    }
    stopped.iter().find(|(list, _)| audience.contains(list)).map(|(_, stop)| *stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_stops_a_campaign_unless_another_of_its_lists_reaches_the_contact() {
        use MembershipStatus::{Subscribed, Unsubscribed};
        let stop = Stop {
            suppression: SuppressionId(1),
            reason: SuppressionReason::Manual,
            scope: SuppressionScope::List,
        };
        let lists = |ids: &[i64]| ids.iter().map(|id| ListId(*id)).collect::<Vec<_>>();
        let told = |audience: &[i64], members: &[(i64, MembershipStatus)]| {
            let members: Vec<_> =
                members.iter().map(|(list, status)| (ListId(*list), *status)).collect();
            stop_of(&lists(audience), &members, &[(ListId(1), stop)]).is_some()
        };
        assert!(told(&[1], &[(1, Subscribed)]));
        assert!(told(&[1, 2], &[(1, Subscribed), (2, Unsubscribed)]));
        assert!(!told(&[1, 2], &[(1, Subscribed), (2, Subscribed)]));
        assert!(!told(&[2], &[(1, Subscribed), (2, Subscribed)]));
        assert!(!told(&[], &[(1, Subscribed)]), "by a segment, no list is asked");
    }
}
