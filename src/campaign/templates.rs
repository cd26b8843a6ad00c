//! Templates of an organization: made ready with its fields, and what a contact fills them with.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::compose::template::{Source, Template, TemplateError};
use crate::contacts::Contact;
use crate::model::*;
use crate::store::{LayoutRow, TemplateRow};

/// What stands in a preview where a mail has the person's own links.
const PREVIEW_LINK: &str = "https://preview.invalid/";

/// Checks a template with its layout and makes it ready.
pub fn made(
    row: &TemplateRow,
    layout: Option<&LayoutRow>,
    fields: &[Field],
) -> Result<Template, TemplateError> {
    let names: BTreeSet<String> = fields.iter().map(|field| field.name.clone()).collect();
    let source = Source {
        subject: row.subject.clone(),
        kind: row.kind,
        body: row.body.clone(),
        layout: layout.map(|layout| layout.body.clone()),
        text: row.text.clone(),
    };
    Template::make(&source, &names)
}

/// A contact's values as templates name them, with links that lead nowhere.
pub fn preview_values(contact: &Contact) -> Value {
    let mut values = contact.fields.clone();
    let own = [
        ("email", json!(contact.email)),
        ("name", json!(contact.name)),
        ("language", json!(contact.language)),
        ("time_zone", json!(contact.time_zone)),
        ("tags", json!(contact.tags)),
        ("unsubscribe_url", json!(format!("{PREVIEW_LINK}unsubscribe"))),
        ("preferences_url", json!(format!("{PREVIEW_LINK}preferences"))),
    ];
    let mut person: serde_json::Map<String, Value> =
        own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    person.insert("fields".to_owned(), Value::Object(contact.fields.clone()));
    values.extend(own.map(|(name, value)| (name.to_owned(), value)));
    values.insert("contact".to_owned(), Value::Object(person));
    Value::Object(values)
}
