//! Whoever wants no more: by the link in a mail, from one list or from all.
//!
//! Owns:       what leaving means for memberships, and its record.
//! Promises:   it acts at once on all that was not sent; asked twice it is done once.
//! Knows not:  pages, who signed the link.

use crate::contacts::{self, Contact};
use crate::model::*;
use crate::store::{
    Consent, ContactBatch, ContactWrite, RecipeRow, Store, StoreError, Tracked, UpsertMode,
};
use crate::token::Claim;

const REASON_BYTES_MAX: usize = 500;

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The lists that the mail came from; all, where it came from none.
    TheseLists,
    /// No campaign at all.
    Everything,
    /// These of the public lists, and no other of them.
    Only(Vec<ListId>),
}

/// Where a request came from.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `one_click`, `page`, `preferences`.
    pub by: &'static str,
    pub address: Option<String>,
    pub reason: String,
}

/// Whom a link names: the mail it was in, and its contact. None when either is gone, or the mail
/// was of no campaign.
pub async fn person(
    store: &Store,
    claim: Claim,
) -> Result<Option<(RecipeRow, Contact)>, StoreError> {
    let Some(recipe) = store.recipe(claim.delivery).await? else { return Ok(None) };
    let Some(row) = recipe.contact.clone() else { return Ok(None) };
    let fields = store.fields(recipe.organization).await?;
    let whole = contacts::whole(store, recipe.organization, &fields, &[row]).await?;
    Ok(whole.into_iter().next().map(|contact| (recipe, contact)))
}

/// True when something was changed by it.
pub async fn leave(
    store: &Store,
    claim: Claim,
    wish: &Wish,
    asked: Asked,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let Some((recipe, contact)) = person(store, claim).await? else { return Ok(false) };
    let lists = store.lists(recipe.organization).await?;
    let public: Vec<ListId> = lists
        .iter()
        .filter(|list| list.visibility == ListVisibility::Public)
        .map(|list| list.id)
        .collect();
    let change = change(&recipe.settings.audience, &contact, &public, wish);
    if change == Change::default() {
        return Ok(false);
    }
    let left = change.memberships.iter().any(|(_, status)| is_left(*status)) || change.blocks;
    let mut reason = asked.reason;
    reason.retain(|letter| !letter.is_control());
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    let action = if left { ConsentAction::Unsubscribed } else { ConsentAction::Subscribed };
    let write = ContactWrite {
        status: change.blocks.then_some(ContactStatus::Blocked),
        memberships: change.memberships,
        ..ContactWrite::of(contact.id, contact.email)
    };
    let batch = ContactBatch {
        organization: recipe.organization,
        at,
        mode: UpsertMode::Update,
        consent: Consent::Each {
            action,
            source: format!("link in campaign {}: {}", recipe.campaign, asked.by),
            address: asked.address,
            wording: reason.clone(),
        },
        // Only the person has this link.
        resubscribe: true,
        rows: vec![write],
        progress: None,
    };
    store.write_contacts(batch).await?;
    if left {
        let fields = serde_json::json!({ "by": asked.by, "reason": reason });
        let (message, delivery) = (claim.message, claim.delivery);
        let kind = EventKind::Unsubscribed;
        store.track(vec![Tracked { message, delivery, kind, fields, at }]).await?;
    }
    Ok(true)
}

const fn is_left(status: MembershipStatus) -> bool {
    matches!(status, MembershipStatus::Unsubscribed)
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Change {
    memberships: Vec<(ListId, MembershipStatus)>,
    blocks: bool,
}

fn change(audience: &Audience, contact: &Contact, public: &[ListId], wish: &Wish) -> Change {
    let is_in = |list: ListId| {
        let own = contact.lists.iter().find(|own| own.list == list);
        own.is_some_and(|own| own.status != MembershipStatus::Unsubscribed)
    };
    let leaving = |lists: Vec<ListId>| -> Vec<(ListId, MembershipStatus)> {
        let own = lists.into_iter().filter(|list| is_in(*list));
        own.map(|list| (list, MembershipStatus::Unsubscribed)).collect()
    };
    let all = || contact.lists.iter().map(|own| own.list).collect();
    match wish {
        Wish::TheseLists if !audience.lists.is_empty() => {
            Change { memberships: leaving(audience.lists.clone()), blocks: false }
        }
        // It came by a segment: only a block keeps the next one from coming.
        Wish::TheseLists | Wish::Everything => {
            let blocks = contact.status != ContactStatus::Blocked;
            Change { memberships: leaving(all()), blocks }
        }
        Wish::Only(kept) => {
            let others = public.iter().copied().filter(|list| !kept.contains(list)).collect();
            let mut memberships = leaving(others);
            let joined = kept.iter().filter(|list| public.contains(list) && !is_in(**list));
            memberships.extend(joined.map(|list| (*list, MembershipStatus::Subscribed)));
            Change { memberships, blocks: false }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::templates;
    use crate::contacts::Membership;

    fn contact(lists: &[(i64, MembershipStatus)]) -> Contact {
        let since = Timestamp(0);
        let own = lists.iter().map(|(list, status)| Membership {
            list: ListId(*list),
            status: *status,
            since,
        });
        Contact { lists: own.collect(), ..templates::nobody() }
    }

    #[test]
    fn leaving_reaches_as_far_as_was_asked() {
        use MembershipStatus::{Subscribed, Unsubscribed};
        let ann = contact(&[(1, Subscribed), (2, Subscribed), (3, Unsubscribed)]);
        let of_list = Audience { lists: vec![ListId(1)], ..Audience::default() };
        let public = [ListId(2), ListId(3)];
        let left = |audience: &Audience, wish: Wish| {
            let change = change(audience, &ann, &public, &wish);
            let ids: Vec<(i64, bool)> = change
                .memberships
                .iter()
                .map(|(list, status)| (list.0, is_left(*status)))
                .collect();
            (ids, change.blocks)
        };
        assert_eq!(left(&of_list, Wish::TheseLists), (vec![(1, true)], false));
        let by_segment = Audience::default();
        assert_eq!(left(&by_segment, Wish::TheseLists), (vec![(1, true), (2, true)], true));
        assert_eq!(left(&of_list, Wish::Everything), (vec![(1, true), (2, true)], true));
        let only = Wish::Only(vec![ListId(3)]);
        assert_eq!(left(&of_list, only), (vec![(2, true), (3, false)], false), "private ones stay");
    }
}
