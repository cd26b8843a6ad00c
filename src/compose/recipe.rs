//! A recipe becomes a mail: a campaign's newest revision for one contact, as both stand now.
//!
//! Owns:       whether the contact still gets it, the header, the pin.
//! Promises:   what a host may have seen is sent again as it was: made from the pin, it is the
//!             same but for the moment of its signatures.
//! Knows not:  limits, connections, who fed it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;
use tokio::sync::OnceCell;

use super::feedback_id::{FeedbackId, Subject};
use super::letter::{self, Letter};
use super::links::{Confirmation, Links, Person};
use super::template::{Rendered, Source, Template};
use super::{Attached, ComposeError, Composer, person_of, values, with_data};
use crate::contacts::{self, Contact};
use crate::model::*;
use crate::store::{ClaimedDelivery, ContactRow, RecipeRow, Store};
use crate::token::Claim;

/// How long a link that asks for confirmation holds.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30 * 86_400);
/// Revisions made ready: a campaign has few that are still sent.
const READY_MAX: u64 = 256;

/// Why there is no mail.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    #[error("5.7.1 {0}")]
    Unwanted(&'static str),
    #[error("5.6.0 the mail cannot be made for this contact: {0}")]
    Unrenderable(String),
    #[error("the campaign was cancelled")]
    Cancelled,
    /// The campaign is paused.
    #[error("the campaign stands still")]
    Still,
    #[error(transparent)]
    Ours(#[from] ComposeError),
}

impl From<crate::store::StoreError> for RecipeError {
    fn from(error: crate::store::StoreError) -> RecipeError {
        RecipeError::Ours(error.into())
    }
}

/// A variant of a revision, ready to be rendered.
pub struct Ready {
    content: CampaignContent,
    template: Template,
    fields: Vec<Field>,
    attached: Vec<Attached>,
}

impl Ready {
    /// The last one where there is none at this place.
    fn variant(&self, place: usize) -> Option<&CampaignVariant> {
        let variants = &self.content.variants;
        variants.get(place.min(variants.len().saturating_sub(1)))
    }
}

/// What one contact gets of it.
struct Filled {
    ready: Arc<Ready>,
    rendered: Rendered,
    pin: Pin,
}

/// Campaign, revision, variant, and the place of its translation.
type Key = (CampaignId, u64, usize, Option<usize>);

/// What was made ready before; the newest stay.
pub struct Recipes(Cache<Key, Arc<OnceCell<Arc<Ready>>>>);

impl Default for Recipes {
    fn default() -> Recipes {
        Recipes(Cache::builder().max_capacity(READY_MAX).build())
    }
}

impl Composer {
    /// The signed mail of a delivery of a campaign, and its pin as JSON.
    ///
    /// # Errors
    /// Nobody wants it any more, it cannot be made, or not now.
    pub async fn compose_recipe(
        &self,
        delivery: &ClaimedDelivery,
    ) -> Result<(Mail, String), RecipeError> {
        let (store, recipe) = self.recipe_of(delivery).await?;
        may_get(&recipe)?;
        let (bytes, pin) = self.made(store, &recipe, delivery, Sight::Open).await?;
        let mail = self.signed(&delivery.message, bytes).await?;
        let pin = serde_json::to_string(&pin);
        Ok((mail, pin.map_err(|error| RecipeError::Unrenderable(error.to_string()))?))
    }

    /// The mail of a delivery of a campaign before it is signed, whoever may get it; true when it
    /// is made of what was pinned, else it is made of the contact as it is now.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn recipe_source(
        &self,
        delivery: &ClaimedDelivery,
    ) -> Result<(Bytes, bool), RecipeError> {
        let (store, recipe) = self.recipe_of(delivery).await?;
        let (bytes, pin) = self.made(store, &recipe, delivery, Sight::Sealed).await?;
        // Whoever looks at a mail sees no encrypted field in it.
        let is_whole = pin.person.is_none_or(|person| person.sealed.is_empty());
        Ok((bytes, recipe.pin.is_some() && is_whole))
    }

    /// What the mail of a delivery of a campaign shows in a browser, without encrypted fields.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn recipe_page(&self, delivery: &ClaimedDelivery) -> Result<String, RecipeError> {
        let (store, recipe) = self.recipe_of(delivery).await?;
        let filled = self.filled(store, &recipe, delivery, Sight::Sealed).await?;
        if filled.pin.person.is_none() && filled.pin.values.is_none() {
            let why = "whom it was made for is erased".to_owned();
            return Err(RecipeError::Unrenderable(why));
        }
        Ok(letter::in_browser(filled.rendered.html, &filled.ready.attached))
    }

    async fn recipe_of(
        &self,
        delivery: &ClaimedDelivery,
    ) -> Result<(&Store, RecipeRow), RecipeError> {
        let Some((store, _)) = &self.0.origin else {
            return Err(ComposeError::Unsigned("no store holds recipes here".into()).into());
        };
        let none = || ComposeError::Unsigned("there is no recipe for this delivery".into());
        Ok((store, store.recipe(delivery.id).await?.ok_or_else(none)?))
    }

    async fn made(
        &self,
        store: &Store,
        recipe: &RecipeRow,
        delivery: &ClaimedDelivery,
        sight: Sight,
    ) -> Result<(Bytes, Pin), RecipeError> {
        let Filled { ready, rendered, pin } = self.filled(store, recipe, delivery, sight).await?;
        let ways = self.ways(delivery, pin.at, domain_of(&ready.content.from));
        let bytes = assembled(&ready, &rendered, recipe, &pin, delivery, ways);
        Ok((bytes, pin))
    }

    async fn filled(
        &self,
        store: &Store,
        recipe: &RecipeRow,
        delivery: &ClaimedDelivery,
        sight: Sight,
    ) -> Result<Filled, RecipeError> {
        let (revision, variant) = match &recipe.pin {
            Some(pin) => (pin.revision, pin.variant),
            None => (recipe.revision, usize::try_from(recipe.variant).unwrap_or(0)),
        };
        let organization = delivery.message.organization;
        let key = (recipe.campaign, revision, variant);
        let mut ready = self.ready(store, organization, (key.0, key.1, key.2, None)).await?;
        let links = self.links_of(organization);
        let links = links.as_ref();
        let pin = match recipe.pin.clone() {
            Some(pin) => pin,
            None => self.pinned(recipe, &ready, (revision, variant)),
        };
        // Whom it was pinned for reads the same language at each try.
        let language = pin.person.as_ref().and_then(|person| person.language.as_deref());
        if let Some(place) = ready.variant(variant).and_then(|own| own.translation_for(language)) {
            let key = (key.0, key.1, key.2, Some(place));
            ready = self.ready(store, organization, key).await?;
        }
        let claim = Claim { message: delivery.message.id, delivery: delivery.id };
        let mut person = links.map(|links| links.person(claim, pin.at)).unwrap_or_default();
        person.confirm_url = confirmation(links, organization, recipe, pin.at).unwrap_or_default();
        let opened = match sight {
            Sight::Open => opened(&pin, &ready, store),
            Sight::Sealed => None,
        };
        let values = filling(&pin, opened.as_ref(), &person);
        let rendered = ready.template.render(&with_data(values, &ready.content.data));
        let mut rendered =
            rendered.map_err(|error| RecipeError::Unrenderable(error.to_string()))?;
        if let Some(links) = links {
            let parts = (std::mem::take(&mut rendered.html), std::mem::take(&mut rendered.text));
            (rendered.html, rendered.text) = links.tracked(parts, claim, &recipe.settings.tracking);
        }
        Ok(Filled { ready, rendered, pin })
    }

    /// The fields that tell how to leave, and where complaints are brought.
    fn ways(
        &self,
        delivery: &ClaimedDelivery,
        at: Timestamp,
        from: &str,
    ) -> Vec<(&'static str, String)> {
        let claim = crate::token::Claim { message: delivery.message.id, delivery: delivery.id };
        let links = self.links_of(delivery.message.organization);
        let person = links.map(|links| links.person(claim, at));
        let link = person.as_ref().map(|person| person.unsubscribe_url.as_str());
        let ways = match self.0.returns.get() {
            Some(returns) => returns.ways(&delivery.message, delivery.id, link),
            None => link.map(|link| format!("<{link}>")),
        };
        let mut fields: Vec<_> = ways.map(|ways| ("List-Unsubscribe", ways)).into_iter().collect();
        if link.is_some() {
            fields.push(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
        }
        if let Some(returns) = self.0.returns.get() {
            fields.extend(returns.complaint_fields(&delivery.message, delivery.id, from));
        }
        fields
    }

    fn pinned(&self, recipe: &RecipeRow, ready: &Ready, (revision, variant): (u64, usize)) -> Pin {
        let at = self.0.clock.wall();
        let contact = recipe.contact.as_ref().map(|row| Contact {
            tags: recipe.tags.clone(),
            ..contacts::named(row, &ready.fields)
        });
        let sealed = recipe.contact.as_ref().map(|row| sealed(row, ready)).unwrap_or_default();
        let person = contact.map(|contact| PinnedPerson { sealed, ..person_of(contact) });
        Pin { revision, variant, at, person, values: None }
    }

    async fn ready(
        &self,
        store: &Store,
        organization: OrganizationId,
        key: Key,
    ) -> Result<Arc<Ready>, RecipeError> {
        let cell = self.0.recipes.0.get_with(key, Arc::default);
        let making = async {
            let none = || ComposeError::Unsigned("there is no such revision".into());
            let content = store.campaign_content(key.0, key.1).await?.ok_or_else(none)?;
            let fields = store.fields(organization).await?;
            let (variants, place) = (content.variants.len(), key.2);
            let variant = content.variants.get(place.min(variants.saturating_sub(1)));
            let variant = variant.ok_or_else(none)?;
            let source = match key.3 {
                Some(place) => source(&variant.translations.get(place).ok_or_else(none)?.mail()),
                None => source(variant),
            };
            let names: BTreeSet<String> = fields.iter().map(|field| field.name.clone()).collect();
            // Milliseconds of work: others are not kept waiting for them.
            let made = tokio::task::spawn_blocking(move || Template::make(&source, &names)).await;
            let template = made
                .map_err(|error| ComposeError::Unsigned(error.to_string()))?
                .map_err(|error| RecipeError::Unrenderable(error.to_string()))?;
            let attached = self.attached(store, organization, &content.attachments).await?;
            Ok::<_, RecipeError>(Arc::new(Ready { content, template, fields, attached }))
        };
        Ok(cell.get_or_try_init(|| making).await?.clone())
    }
}

/// Where somebody says yes to the list of a campaign that asks for it.
fn confirmation(
    links: Option<&Links>,
    organization: OrganizationId,
    recipe: &RecipeRow,
    at: Timestamp,
) -> Option<String> {
    let audience = &recipe.settings.audience;
    let list = audience.lists.first().filter(|_| audience.unconfirmed)?;
    let contact = recipe.contact.as_ref()?.id;
    let asked = Confirmation { organization, contact, list: *list, given: String::new() };
    Some(links?.confirmation(&asked, at + CONFIRM_WITHIN))
}

/// Whether encrypted values are filled in.
#[derive(Clone, Copy)]
enum Sight {
    Open,
    Sealed,
}

/// A contact's encrypted values, as they are kept.
fn sealed(row: &ContactRow, ready: &Ready) -> serde_json::Map<String, serde_json::Value> {
    let sealed = |field: &Field| Some((field.name.clone(), contacts::sealed(row, field)?.into()));
    ready.fields.iter().filter_map(sealed).collect()
}

/// Whom a pin was made for, with his encrypted values opened; None where he has none.
fn opened(pin: &Pin, ready: &Ready, store: &Store) -> Option<PinnedPerson> {
    let person = pin.person.as_ref().filter(|person| !person.sealed.is_empty())?;
    let (sealer, mut whole) = (store.sealer(), person.clone());
    for (name, sealed) in &person.sealed {
        let field = ready.fields.iter().find(|field| field.name == *name);
        let opened = field.zip(sealed.as_str()).and_then(|(field, sealed)| {
            contacts::opened(field, sealed, &sealer).map(|value| value.to_json(field))
        });
        match opened {
            Some(value) => drop(whole.fields.insert(name.clone(), value)),
            None => tracing::error!(field = %name, "a sealed value has a key that is not known"),
        }
    }
    Some(whole)
}

/// What a variant is made from.
pub fn source(variant: &CampaignVariant) -> Source {
    Source {
        subject: variant.subject.clone(),
        kind: variant.kind,
        body: variant.body.clone(),
        layout: variant.layout.clone(),
        text: variant.text.clone(),
    }
}

/// Asked at the last moment: whoever left, was blocked or erased meanwhile gets nothing more.
fn may_get(recipe: &RecipeRow) -> Result<(), RecipeError> {
    match recipe.state {
        CampaignState::Cancelled => return Err(RecipeError::Cancelled),
        CampaignState::Paused | CampaignState::Preparing => return Err(RecipeError::Still),
        _ => {}
    }
    let Some(contact) = &recipe.contact else {
        return Err(RecipeError::Unwanted("the contact was removed"));
    };
    if contact.status != ContactStatus::Active {
        return Err(RecipeError::Unwanted("the contact is blocked"));
    }
    let audience = &recipe.settings.audience;
    let status = |list: &ListId| {
        let found = recipe.memberships.iter().find(|(of, _)| of == list);
        found.map(|(_, status)| *status)
    };
    let is_in = |list: &ListId| status(list) == Some(MembershipStatus::Subscribed);
    let has_left = |list: &ListId| status(list) == Some(MembershipStatus::Unsubscribed);
    if audience.unconfirmed {
        let is_asked = |list: &ListId| status(list) == Some(MembershipStatus::Unconfirmed);
        if !audience.lists.iter().any(is_asked) {
            return Err(RecipeError::Unwanted("the contact has answered already"));
        }
    }
    // Who came by a segment is on none of the lists and has left none.
    if audience.lists.iter().any(has_left) && !audience.lists.iter().any(is_in) {
        return Err(RecipeError::Unwanted("the contact has unsubscribed"));
    }
    if audience.exclude_lists.iter().any(is_in) {
        return Err(RecipeError::Unwanted("the contact is on an excluded list"));
    }
    Ok(())
}

/// What the template is filled with.
fn filling(pin: &Pin, opened: Option<&PinnedPerson>, links: &Person) -> serde_json::Value {
    match (opened.or(pin.person.as_ref()), &pin.values) {
        (Some(person), _) => values(person, links),
        (None, Some(values)) => values.clone(),
        (None, None) => serde_json::Value::Null,
    }
}

/// How the mail addresses its reader.
fn name_in(pin: &Pin) -> &str {
    let before = || pin.values.as_ref()?.get("name")?.as_str();
    pin.person.as_ref().map(|person| person.name.as_str()).or_else(before).unwrap_or_default()
}

fn domain_of(from: &str) -> &str {
    from.rsplit('@').next().unwrap_or_default()
}

/// Nothing in it depends on the moment but by way of the pin.
fn assembled(
    ready: &Ready,
    rendered: &Rendered,
    recipe: &RecipeRow,
    pin: &Pin,
    delivery: &ClaimedDelivery,
    ways: Vec<(&'static str, String)>,
) -> Bytes {
    let (content, id, campaign) = (&ready.content, delivery.id, recipe.campaign);
    let organization = delivery.message.organization;
    let from_domain = domain_of(&content.from);
    let list = recipe.settings.audience.lists.first();
    let list = list.map_or_else(|| format!("c{campaign}"), |list| format!("l{list}"));
    let subject = Subject::Campaign(campaign);
    let feedback_id = FeedbackId { subject, organization, domain: from_domain.to_owned() };
    let mut more =
        vec![("List-ID", format!("<{list}.o{organization}.{from_domain}>")), feedback_id.field()];
    more.extend(ways);
    let letter = Letter {
        content,
        to_name: name_in(pin),
        to: &delivery.recipient.address.to_string(),
        rendered,
        at: pin.at,
        id: &format!("{campaign}.{id}.{}", pin.at.seconds()),
        more: &more,
        attached: &ready.attached,
    };
    letter.bytes()
}

impl Default for Person {
    /// Without a public address there are no links to give.
    fn default() -> Person {
        Person {
            unsubscribe_url: String::new(),
            preferences_url: String::new(),
            browser_url: String::new(),
            confirm_url: String::new(),
        }
    }
}
