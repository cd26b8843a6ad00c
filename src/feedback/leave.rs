//! Whoever wants no more: by a link, by a mail program, by mail, by a complaint that says so.
//!
//! Owns:       what leaving means: memberships that end, streams that are not sent to him.
//! Promises:   looking changes nothing; leaving twice is leaving once; it acts at once on all that
//!             was not sent; who has left can come back and leave again.
//! Knows not:  pages, SMTP, who signed the token.
//!
//! A mail of a campaign to lists is left by leaving these lists; one that came by a segment, and
//! mail that was submitted, by leaving its stream.

use serde_json::json;

use super::lesson::unsubscribed;
use crate::contacts::{self, Contact};
use crate::model::*;
use crate::store::{
    AddressHash, Consent, ContactBatch, ContactWrite, ListRow, MessageRow, NewSuppression,
    RecipeRow, ReturnSubject, Returned, Store, StoreError, StreamRow, SuppressionFilter, Tracked,
    UpsertMode,
};
use crate::token::Claim;

/// Entries of one address in one organization that are looked at.
const ENTRIES_MAX: u32 = 1000;
const REASON_BYTES_MAX: usize = 500;
const STAYS_NOTE: &str = "the recipient chose to get it again";

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// No more of what this mail was: the lists it came from, or its stream.
    These,
    /// No news at all.
    Everything,
    /// These of what a page offered, and nothing else of it.
    Only { lists: Vec<ListId>, streams: Vec<StreamId>, offered: Vec<StreamId> },
}

/// Where a request came from.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `one_click`, `page`, `preferences`, `mail`, `feedback`.
    pub by: &'static str,
    pub address: Option<String>,
    pub reason: String,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub organization: OrganizationId,
    /// That he is known to read.
    pub language: Option<String>,
    /// False: it had been so before.
    pub is_news: bool,
}

/// Whom a claim names, and all that he may choose from.
struct Person {
    message: MessageRow,
    subject: ReturnSubject,
    /// Of a campaign's mail.
    recipe: Option<RecipeRow>,
    contact: Option<Contact>,
    lists: Vec<ListRow>,
    /// Those with marketing, and the one of this mail.
    streams: Vec<StreamRow>,
    /// The streams that he has left, with their entries.
    left: Vec<(StreamId, SuppressionId)>,
}

/// None when the mail of the claim is not known any more.
async fn person(store: &Store, claim: Claim) -> Result<Option<Person>, StoreError> {
    let Some(message) = store.message(claim.message).await? else { return Ok(None) };
    let group = store.return_group(claim.message, claim.delivery).await?;
    let subject = group.into_iter().find(|one| one.delivery == claim.delivery);
    let Some(subject) = subject else { return Ok(None) };
    let organization = message.organization;
    let recipe = match message.body.is_recipe() {
        true => store.recipe(claim.delivery).await?,
        false => None,
    };
    let row = match &recipe {
        Some(recipe) => recipe.contact.clone(),
        None => {
            let email = subject.recipient.to_string();
            store.contact_by_email(organization, &email).await?
        }
    };
    let contact = match row {
        Some(row) => {
            let fields = store.fields(organization).await?;
            contacts::whole(store, organization, &fields, &[row]).await?.into_iter().next()
        }
        None => None,
    };
    let own = message.stream;
    let mut streams = store.streams().await?;
    streams.retain(|row| {
        let is_offered = row.class == StreamClass::Marketing.word() || row.id == own;
        row.organization == organization && is_offered
    });
    let left = left(store, organization, &subject.recipient).await?;
    let lists = store.lists(organization).await?;
    Ok(Some(Person { message, subject, recipe, contact, lists, streams, left }))
}

async fn left(
    store: &Store,
    organization: OrganizationId,
    recipient: &Address,
) -> Result<Vec<(StreamId, SuppressionId)>, StoreError> {
    let filter = SuppressionFilter {
        organization: Some(organization),
        hash: Some(AddressHash::of(recipient)),
        ..SuppressionFilter::default()
    };
    let rows = store.suppressions(&filter, ENTRIES_MAX).await?;
    let left = rows.into_iter().filter(|row| {
        row.reason == SuppressionReason::Unsubscribe && row.scope == SuppressionScope::Stream
    });
    Ok(left.filter_map(|row| Some((row.stream?, row.id))).collect())
}

impl Person {
    fn audience(&self) -> &[ListId] {
        self.recipe.as_ref().map_or(&[], |recipe| &recipe.settings.audience.lists)
    }

    fn language(&self) -> Option<String> {
        self.contact.as_ref()?.language.clone()
    }

    fn status(&self, list: ListId) -> Option<MembershipStatus> {
        let contact = self.contact.as_ref()?;
        contact.lists.iter().find(|own| own.list == list).map(|own| own.status)
    }

    fn is_on(&self, list: ListId) -> bool {
        self.status(list).is_some_and(|status| status != MembershipStatus::Unsubscribed)
    }

    fn gets(&self, stream: StreamId) -> bool {
        self.left.iter().all(|(own, _)| *own != stream)
    }

    fn public_lists(&self) -> impl Iterator<Item = &ListRow> {
        self.lists.iter().filter(|list| list.visibility == ListVisibility::Public)
    }
}

/// A list or a stream as its recipient sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice<Id> {
    pub id: Id,
    pub name: String,
    pub description: String,
    pub gets: bool,
}

/// What a page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub organization: OrganizationId,
    pub recipient: String,
    pub contact: Option<ContactId>,
    /// That he is known to read.
    pub language: Option<String>,
    /// The public lists, of a contact.
    pub lists: Vec<Choice<ListId>>,
    /// Those with marketing where the mail came from no list, else those that he has left.
    pub streams: Vec<Choice<StreamId>>,
}

/// What there is to choose. None when the mail of the claim is not known any more.
///
/// # Errors
/// The ledger cannot be read.
pub async fn offer(store: &Store, claim: Claim) -> Result<Option<Offer>, StoreError> {
    let Some(person) = person(store, claim).await? else { return Ok(None) };
    let of_list = |list: &ListRow| Choice {
        id: list.id,
        name: list.name.clone(),
        description: list.description.clone(),
        gets: person.is_on(list.id),
    };
    let of_stream = |stream: &StreamRow| Choice {
        id: stream.id,
        name: stream.name.clone(),
        description: String::new(),
        gets: person.gets(stream.id),
    };
    let has_lists = !person.audience().is_empty();
    let lists = person.public_lists().filter(|_| person.contact.is_some()).map(of_list);
    let streams = person.streams.iter().map(of_stream);
    Ok(Some(Offer {
        organization: person.message.organization,
        recipient: person.subject.recipient.to_string(),
        contact: person.contact.as_ref().map(|contact| contact.id),
        language: person.language(),
        lists: lists.collect(),
        streams: streams.filter(|choice| !has_lists || !choice.gets).collect(),
    }))
}

/// What a wish comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Change {
    memberships: Vec<(ListId, MembershipStatus)>,
    blocks: bool,
    leaves: Vec<StreamId>,
    comes_back: Vec<SuppressionId>,
}

impl Change {
    fn is_leaving(&self) -> bool {
        let is_left = |status: MembershipStatus| status == MembershipStatus::Unsubscribed;
        let has_left = self.memberships.iter().any(|(_, status)| is_left(*status));
        self.blocks || has_left || !self.leaves.is_empty()
    }
}

fn change(person: &Person, wish: &Wish) -> Change {
    let leaving = |lists: Vec<ListId>| -> Vec<(ListId, MembershipStatus)> {
        let own = lists.into_iter().filter(|list| person.is_on(*list));
        own.map(|list| (list, MembershipStatus::Unsubscribed)).collect()
    };
    let leaves = |streams: Vec<StreamId>| -> Vec<StreamId> {
        streams.into_iter().filter(|stream| person.gets(*stream)).collect()
    };
    match wish {
        // Whoever is on none of the lists came by a segment.
        Wish::These if person.audience().iter().any(|list| person.status(*list).is_some()) => {
            Change { memberships: leaving(person.audience().to_vec()), ..Change::default() }
        }
        Wish::These => Change { leaves: leaves(vec![person.message.stream]), ..Change::default() },
        Wish::Everything => {
            let contact = person.contact.as_ref();
            let own = contact.map(|contact| contact.lists.iter().map(|own| own.list).collect());
            Change {
                memberships: leaving(own.unwrap_or_default()),
                blocks: contact.is_some_and(|own| own.status != ContactStatus::Blocked),
                leaves: leaves(person.streams.iter().map(|row| row.id).collect()),
                comes_back: Vec::new(),
            }
        }
        Wish::Only { lists, streams, offered } => {
            let public: Vec<ListId> = person.public_lists().map(|list| list.id).collect();
            let others = public.iter().copied().filter(|list| !lists.contains(list)).collect();
            let mut memberships = leaving(others);
            let joined = lists.iter().filter(|list| public.contains(list) && !person.is_on(**list));
            let is_contact = person.contact.is_some();
            let joined = joined.filter(|_| is_contact);
            memberships.extend(joined.map(|list| (*list, MembershipStatus::Subscribed)));
            let is_offered = |stream: &StreamId| person.streams.iter().any(|own| own.id == *stream);
            let dropped = offered.iter().copied().filter(|stream| !streams.contains(stream));
            let back = person.left.iter().filter(|(stream, _)| streams.contains(stream));
            Change {
                memberships,
                blocks: false,
                leaves: leaves(dropped.filter(is_offered).collect()),
                comes_back: back.map(|(_, entry)| *entry).collect(),
            }
        }
    }
}

/// Does what is asked. None when the mail of the claim is not known any more.
///
/// # Errors
/// The ledger cannot be read or written; what is asked again is done then.
pub async fn leave(
    store: &Store,
    claim: Claim,
    wish: &Wish,
    asked: Asked,
    at: Timestamp,
) -> Result<Option<Left>, StoreError> {
    let Some(person) = person(store, claim).await? else { return Ok(None) };
    let organization = person.message.organization;
    let language = person.language();
    let change = change(&person, wish);
    if change == Change::default() {
        return Ok(Some(Left { organization, language, is_news: false }));
    }
    let mut reason = asked.reason.clone();
    reason.retain(|letter| !letter.is_control());
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    let asked = Asked { reason, ..asked };
    end_memberships(store, &person, &change, &asked, at).await?;
    for entry in &change.comes_back {
        store.remove_suppression(*entry, Some(organization), STAYS_NOTE).await?;
    }
    if change.is_leaving() {
        write_down(store, &person, &change.leaves, &asked, at).await?;
    }
    Ok(Some(Left { organization, language, is_news: true }))
}

/// Writes down what came back; a complaint that is a wish to leave is done as one. False: there was
/// nothing new in it.
///
/// # Errors
/// The ledger cannot be read or written.
pub async fn came_back(store: &Store, returned: Returned) -> Result<bool, StoreError> {
    if returned.kind != EventKind::Unsubscribed {
        return store.came_back(returned).await;
    }
    let claim = Claim { message: returned.message, delivery: returned.delivery };
    let asked = Asked { by: "feedback", ..Asked::default() };
    let left = leave(store, claim, &Wish::These, asked, returned.at).await?;
    Ok(left.is_some_and(|left| left.is_news))
}

async fn end_memberships(
    store: &Store,
    person: &Person,
    change: &Change,
    asked: &Asked,
    at: Timestamp,
) -> Result<(), StoreError> {
    let Some(contact) = &person.contact else { return Ok(()) };
    if change.memberships.is_empty() && !change.blocks {
        return Ok(());
    }
    let is_leaving = change.is_leaving();
    let action = if is_leaving { ConsentAction::Unsubscribed } else { ConsentAction::Subscribed };
    let origin = match &person.recipe {
        Some(recipe) => format!("campaign {}", recipe.campaign),
        None => format!("message {}", person.message.id),
    };
    let write = ContactWrite {
        status: change.blocks.then_some(ContactStatus::Blocked),
        memberships: change.memberships.clone(),
        ..ContactWrite::of(contact.id, contact.email.clone())
    };
    let batch = ContactBatch {
        organization: person.message.organization,
        at,
        mode: UpsertMode::Update,
        consent: Consent::Each {
            action,
            source: format!("link in {origin}: {}", asked.by),
            address: asked.address.clone(),
            wording: asked.reason.clone(),
        },
        // Only the person has this link.
        resubscribe: true,
        rows: vec![write],
        progress: None,
    };
    store.write_contacts(batch).await?;
    Ok(())
}

/// The entries of the streams, and the event; the first time both commit together.
async fn write_down(
    store: &Store,
    person: &Person,
    streams: &[StreamId],
    asked: &Asked,
    at: Timestamp,
) -> Result<(), StoreError> {
    let (message, delivery) = (&person.message, person.subject.delivery);
    let entry = |stream: &StreamId| NewSuppression {
        stream: Some(*stream),
        ..unsubscribed(message, &person.subject, at)
    };
    let mut entries: Vec<NewSuppression> = streams.iter().map(entry).collect();
    let fields = json!({ "by": asked.by, "reason": asked.reason });
    let kind = EventKind::Unsubscribed;
    let returned = Returned {
        organization: message.organization,
        message: message.id,
        delivery,
        kind,
        fields: fields.clone(),
        suppression: entries.pop(),
        soft: None,
        at,
    };
    let last = returned.suppression.clone();
    store.suppress(entries).await?;
    if !store.came_back(returned).await? {
        // He has come back since, and means it again.
        store.suppress(last.into_iter().collect()).await?;
        let tracked = Tracked { message: message.id, delivery, kind, fields, at };
        store.track(vec![tracked]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
