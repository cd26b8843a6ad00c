//! Campaigns' side of the house: what an organization knows of its contacts, and whom it asks for.
//!
//! Owns:       what may be said of a contact, fields and their columns, segments.
//! Promises:   what reaches the store is lawful for its field; each refusal names its field.
//! Knows not:  HTTP, SMTP, SQL.

pub mod automation; // steps that each person goes through
pub mod edit; // what is said about a contact
pub mod export; // contacts as CSV
pub mod feeder; // audiences become deliveries, slice by slice
pub mod fields; // making fields, giving them columns
pub mod forget; // who opened and clicked, after a while
pub mod geography; // where people read
pub mod import; // files of contacts
pub mod launch; // who is written to, in which order
pub mod plan; // what is lawful, checks, sums
pub mod progress; // how far it is, at whom; how lists grow
pub mod reader; // people and machines
pub mod report; // what became of a campaign
pub mod segment; // an expression becomes a filter
pub mod subscribe; // whoever wants mail of a public list
pub mod tally; // events are counted
pub mod templates; // templates with an organization's fields

mod machines; // where machines asked from
mod winner; // of an A/B test

use crate::model::*;
use crate::store::{ContactDomains, ListRow, Result, Store, TagRow};
use crate::token::Sealer;

/// What an organization has made for its contacts: what names are looked up in.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    pub fields: Vec<Field>,
    pub lists: Vec<ListRow>,
    pub tags: Vec<TagRow>,
    /// What seals values of encrypted fields.
    pub sealer: Sealer,
    /// Whose addresses become contacts.
    pub domains: ContactDomains,
}

impl Schema {
    pub async fn read(store: &Store, organization: OrganizationId) -> Result<Schema> {
        Ok(Schema {
            fields: store.fields(organization).await?,
            lists: store.lists(organization).await?,
            tags: store.tags(organization).await?,
            sealer: store.sealer(),
            domains: store.contact_domains(organization).await?,
        })
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub fn list(&self, id: ListId) -> Option<&ListRow> {
        self.lists.iter().find(|list| list.id == id)
    }

    /// Whatever the case of A to Z.
    pub fn list_named(&self, name: &str) -> Option<&ListRow> {
        self.lists.iter().find(|list| list.name.eq_ignore_ascii_case(name))
    }

    pub fn tag(&self, name: &str) -> Option<&TagRow> {
        self.tags.iter().find(|tag| tag.name == name)
    }
}

/// What is not lawful, and in which field it was said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Unlawful {
    pub field: String,
    pub why: String,
}

impl Unlawful {
    pub fn of(field: impl Into<String>, why: impl Into<String>) -> Unlawful {
        Unlawful { field: field.into(), why: why.into() }
    }
}
