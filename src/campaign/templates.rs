//! Templates of an organization: made ready with its fields, and what a contact fills them with.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::compose::template::document::{Block, Document};
use crate::compose::template::{Source, Template, TemplateError};
use crate::compose::{self, Person};
use crate::contacts::Contact;
use crate::model::*;
use crate::store::{Fared, LayoutRow, SavedBlockRow, TemplateRow};

/// What stands in a preview where a mail has the person's own links.
pub const PREVIEW_LINK: &str = "https://preview.invalid/";

/// Checks a template with its layout and makes it ready.
pub fn made(
    row: &TemplateRow,
    layout: Option<&LayoutRow>,
    saved: &[SavedBlockRow],
    fields: &[Field],
) -> Result<Template, TemplateError> {
    let names: BTreeSet<String> = fields.iter().map(|field| field.name.clone()).collect();
    let source = Source {
        subject: row.subject.clone(),
        kind: row.kind,
        body: expanded(row.kind, &row.body, saved)?,
        layout: layout.map(|layout| layout.body.clone()),
        text: row.text.clone(),
    };
    Template::make(&source, &names)
}

/// A body in which nothing refers to what may change: of a document, with its saved blocks in it.
pub fn expanded(
    kind: TemplateKind,
    body: &str,
    saved: &[SavedBlockRow],
) -> Result<String, TemplateError> {
    if kind != TemplateKind::Document {
        return Ok(body.to_owned());
    }
    let mut document = Document::of_text(body)?;
    document.expand(&|id| {
        let row = saved.iter().find(|row| row.id == id)?;
        let blocks: Result<Vec<Block>, _> = serde_json::from_str(&row.blocks);
        // What was checked when it was saved can be read; a damaged row is told as a missing one.
        blocks.ok()
    });
    Ok(document.to_text())
}

/// A contact's values as templates name them, with what a campaign gives and with links that lead
/// nowhere.
pub fn preview_values(contact: &Contact, data: &serde_json::Map<String, Value>) -> Value {
    let person = Person {
        unsubscribe_url: format!("{PREVIEW_LINK}unsubscribe"),
        preferences_url: format!("{PREVIEW_LINK}preferences"),
        browser_url: format!("{PREVIEW_LINK}browser"),
        confirm_url: format!("{PREVIEW_LINK}confirm"),
    };
    compose::with_data(compose::values(&compose::person_of(contact.clone()), &person), data)
}

/// A contact without any value, for what is looked at before there is anybody.
pub fn nobody() -> Contact {
    Contact {
        id: ContactId(0),
        email: "somebody@example.com".to_owned(),
        name: String::new(),
        status: ContactStatus::Active,
        language: None,
        time_zone: None,
        fields: serde_json::Map::new(),
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
        last_open_at: None,
        last_click_at: None,
        fared: Fared::default(),
        heat: None,
        score: None,
        lists: Vec::new(),
        tags: Vec::new(),
        sealed: Vec::new(),
    }
}
