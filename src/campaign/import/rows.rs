//! A record of the file becomes what is written about a contact, or a reason why not.

use std::collections::HashMap;

use super::recognise::Target;
use super::{Options, Schema, Unlawful};
use crate::campaign::{edit, export};
use crate::contacts;
use crate::model::*;
use crate::store::{ContactDomains, ContactWrite};
use crate::token::Sealer;

/// Every cell by what it is to become, with all names looked up.
pub struct Reader {
    columns: Vec<Column>,
    email: usize,
    memberships: Vec<(ListId, MembershipStatus)>,
    tags: Vec<(TagId, bool)>,
    /// By name; those of the file's own cells were made before.
    tag_ids: HashMap<String, TagId>,
    status: Option<ContactStatus>,
    order: DateOrder,
    sealer: Sealer,
    /// Of rows that may make contacts.
    domains: ContactDomains,
}

enum Column {
    Ignore,
    Name,
    Language,
    TimeZone,
    Status,
    Tags,
    Field(Field),
}

/// Why a row was not taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Counted from 0; None: the row as a whole.
    pub column: Option<usize>,
    pub why: String,
}

impl Reader {
    /// The schema has the fields, lists and tags that the options name.
    pub fn new(schema: &Schema, options: &Options) -> Result<Reader, Unlawful> {
        let columns = &options.columns;
        let email = columns.iter().position(|target| *target == Target::Email {});
        let email = email.ok_or_else(|| Unlawful::of("columns", "no column is the address"))?;
        let column = |target: &Target| match target {
            Target::Ignore {} | Target::Email {} => Ok(Column::Ignore),
            Target::Name {} => Ok(Column::Name),
            Target::Language {} => Ok(Column::Language),
            Target::TimeZone {} => Ok(Column::TimeZone),
            Target::Status {} => Ok(Column::Status),
            Target::Tags {} => Ok(Column::Tags),
            Target::Field { name } | Target::NewField { name, .. } => schema
                .field(name)
                .map(|field| Column::Field(field.clone()))
                .ok_or_else(|| Unlawful::of("columns", format!("there is no field '{name}'"))),
        };
        let status = match options.mode {
            ImportMode::Unsubscribe => MembershipStatus::Unsubscribed,
            _ => MembershipStatus::Subscribed,
        };
        let tag_ids: HashMap<String, TagId> =
            schema.tags.iter().map(|tag| (tag.name.clone(), tag.id)).collect();
        let tags = options.tags.iter().filter_map(|name| tag_ids.get(name.trim()));
        Ok(Reader {
            columns: columns.iter().map(column).collect::<Result<_, _>>()?,
            email,
            memberships: options.lists.iter().map(|list| (*list, status)).collect(),
            tags: tags.map(|tag| (*tag, true)).collect(),
            tag_ids,
            status: (options.mode == ImportMode::Suppress).then_some(ContactStatus::Blocked),
            order: options.date_order,
            sealer: schema.sealer.clone(),
            domains: match options.mode {
                ImportMode::Add | ImportMode::Subscribe => schema.domains.clone(),
                _ => ContactDomains::default(),
            },
        })
    }

    /// An empty cell says nothing: what was there stays.
    pub fn read(&self, id: ContactId, cells: &[String]) -> Result<ContactWrite, Refused> {
        let whole = |why: &str| Refused { column: None, why: why.to_owned() };
        let email = cells.get(self.email).map_or("", String::as_str);
        if email.trim().is_empty() {
            return Err(whole("there is no address"));
        }
        if cells.len() > self.columns.len() {
            return Err(whole("the row has more cells than there are columns"));
        }
        let email = edit::email(email)
            .map_err(|unlawful| Refused { column: Some(self.email), why: unlawful.why })?;
        if !self.domains.takes(&email) {
            let why = edit::DOMAIN_REFUSED.to_owned();
            return Err(Refused { column: Some(self.email), why });
        }
        let mut write = ContactWrite::of(id, email);
        write.memberships.clone_from(&self.memberships);
        write.tags.clone_from(&self.tags);
        write.values.reserve(self.columns.len());
        for (place, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            let cell = export::unguarded(cell.trim());
            if !cell.is_empty() {
                self.cell(&mut write, column, cell)
                    .map_err(|why| Refused { column: Some(place), why })?;
            }
        }
        write.status = self.status.or(write.status);
        Ok(write)
    }

    fn cell(&self, write: &mut ContactWrite, column: &Column, cell: &str) -> Result<(), String> {
        let why = |unlawful: Unlawful| unlawful.why;
        match column {
            Column::Ignore => {}
            Column::Name => write.name = Some(edit::name(cell).map_err(why)?),
            Column::Language => write.language = Some(edit::language(cell).map_err(why)?),
            Column::TimeZone => write.time_zone = Some(edit::time_zone(cell).map_err(why)?),
            Column::Status => write.status = Some(status(cell)?),
            Column::Tags => {
                for name in cell.split([',', ';']).map(|name| name.trim().trim_matches('"')) {
                    if name.is_empty() {
                        continue;
                    }
                    let tag = self.tag_ids.get(name).ok_or_else(|| unmade(name))?;
                    write.tags.push((*tag, true));
                }
            }
            Column::Field(field) => {
                let value = FieldValue::read(field, cell, self.order)?;
                let kept = contacts::kept(field, &value, &self.sealer);
                let kept = kept.map_err(|why| why.to_string())?;
                write.values.push((field.id, field.slot, Some(kept)));
            }
        }
        Ok(())
    }

    /// The tags that a row names, and there are not yet.
    pub fn unknown_tags(&self, cells: &[String]) -> Vec<String> {
        let of_tags = self.columns.iter().zip(cells);
        let of_tags = of_tags.filter(|(column, _)| matches!(column, Column::Tags));
        of_tags
            .flat_map(|(_, cell)| cell.split([',', ';']))
            .filter_map(|name| edit::tag(name.trim().trim_matches('"')).ok())
            .filter(|name| !self.tag_ids.contains_key(name))
            .collect()
    }

    pub fn learn_tag(&mut self, name: String, tag: TagId) {
        self.tag_ids.insert(name, tag);
    }
}

/// All lawful tags were made before the row was read, as many as there may be.
fn unmade(name: &str) -> String {
    match edit::tag(name) {
        Ok(_) => "there are too many tags".to_owned(),
        Err(unlawful) => unlawful.why,
    }
}

fn status(cell: &str) -> Result<ContactStatus, String> {
    match cell.to_ascii_lowercase().as_str() {
        "active" | "enabled" | "subscribed" => Ok(ContactStatus::Active),
        "blocked" | "blocklisted" | "disabled" | "cleaned" => Ok(ContactStatus::Blocked),
        _ => Err("is neither active nor blocked".to_owned()),
    }
}
