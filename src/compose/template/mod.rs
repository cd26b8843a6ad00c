//! Templates: what a person wrote, checked and made ready, then rendered for one contact.
//!
//! Owns:       the language of templates, what HTML, Markdown, MJML and documents become, the text
//!             part.
//! Promises:   rendering ends, in bounded memory, without files or network; every value is escaped
//!             in HTML; no link leaves `http(s)`, `mailto` and `tel`; a mistake is told with part,
//!             line and column, or its path in a document, when it is saved.
//! Knows not:  contacts' rows, campaigns, mail.
//!
//! The language is Jinja's: `{{ name|default("friend") }}`, `{% if city == "Köln" %}`, `{% for item
//! in orders %}`. Its steps are counted (fuel), and so is what it puts out. What could make a value
//! grow without many steps is left out: repeating texts by `*`, macros, includes, lists made in
//! `set`; `~` and `+` are few in statements.

mod check; // what is looked at before a launch
pub mod document; // sections, columns, blocks
mod html; // Markdown, MJML, styles, links
mod language; // the environment: filters, limits
mod scan; // pieces of the language within a text
mod text; // the text part

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::Environment;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use check::{Check, Weight, checks};
use document::Document;

use crate::model::TemplateKind;
use crate::model::state::words;

pub const BODY_BYTES_MAX: usize = 256 * 1024;
const SUBJECT_BYTES_MAX: usize = 1000;

words! {
    /// The parts of a template, as errors name them.
    Part {
        Subject = "subject",
        Body = "body",
        Layout = "layout",
        Text = "text",
    }
}

/// What a person wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub subject: String,
    pub kind: TemplateKind,
    pub body: String,
    /// HTML with `{{ content }}` where the body goes. MJML and documents have none.
    pub layout: Option<String>,
    /// The text part; made from the body when it is missing.
    pub text: Option<String>,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{}: {why}", where_of(*part, *line, *column, path))]
pub struct TemplateError {
    pub part: Part,
    pub line: usize,
    pub column: usize,
    /// Within a document, such as `sections[0].columns[0].blocks[2].text`; empty in a text.
    #[serde(default)]
    pub path: String,
    pub why: String,
}

fn where_of(part: Part, line: usize, column: usize, path: &str) -> String {
    match path {
        "" => format!("{part}, line {line}, column {column}"),
        path => path.to_owned(),
    }
}

/// Words that stand for something besides the organization's own fields.
pub const NAMES: [&str; 10] = [
    "email",
    "name",
    "language",
    "time_zone",
    "tags",
    "unsubscribe_url",
    "preferences_url",
    // The mail itself, in a browser.
    "browser_url",
    // Where who was asked to confirm says yes.
    "confirm_url",
    // What an application gives with a mail, or a campaign to all its mails.
    "data",
];

/// A template that can be rendered. Cheap to clone.
#[derive(Clone)]
pub struct Template {
    environment: Arc<Environment<'static>>,
    has_unsubscribe: bool,
}

/// What one contact gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rendered {
    pub subject: String,
    pub html: String,
    pub text: String,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template").finish_non_exhaustive()
    }
}

impl Template {
    /// Checks all of it and makes it ready; `fields` are the names of the organization's own. This
    /// takes milliseconds: once for each version, not for each mail.
    pub fn make(source: &Source, fields: &BTreeSet<String>) -> Result<Template, TemplateError> {
        let document = match source.kind {
            TemplateKind::Document => Some(Document::of_text(&source.body)?),
            _ => None,
        };
        let mut parts = vec![(Part::Subject, source.subject.as_str())];
        match &document {
            Some(document) => document.check(fields)?,
            None => parts.push((Part::Body, source.body.as_str())),
        }
        parts.extend(source.layout.as_deref().map(|layout| (Part::Layout, layout)));
        parts.extend(source.text.as_deref().map(|text| (Part::Text, text)));
        for (part, text) in &parts {
            language::check(*part, text, fields)?;
        }
        let made = html::make(source, document.as_ref())?;
        let text = match &source.text {
            Some(text) => text.clone(),
            None => text::made(&made)?,
        };
        let has_unsubscribe = made.template().contains("unsubscribe_url");
        let environment = language::ready([
            ("subject.txt", source.subject.clone()),
            ("body.html", made.template()),
            ("body.txt", text),
        ])?;
        Ok(Template { environment: Arc::new(environment), has_unsubscribe })
    }

    /// For one contact; `values` is an object. The error says what could not be rendered.
    pub fn render(&self, values: &Value) -> Result<Rendered, TemplateError> {
        let values = minijinja::Value::from(minijinja::value::Serde(values));
        let subject = language::render(&self.environment, Part::Subject, "subject.txt", &values)?;
        Ok(Rendered {
            // A value with a line break must not become a header field of its own.
            subject: subject.split(char::is_control).collect::<Vec<_>>().join(" "),
            html: language::render(&self.environment, Part::Body, "body.html", &values)?,
            text: language::render(&self.environment, Part::Text, "body.txt", &values)?,
        })
    }
}

/// Line and column of an octet, counted from 1.
fn place(part: Part, text: &str, offset: usize, why: impl Into<String>) -> TemplateError {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    TemplateError { part, line, column, path: String::new(), why: why.into() }
}

#[cfg(test)]
mod tests;
