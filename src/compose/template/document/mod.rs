//! A mail as a document: sections, columns and blocks, put together in a visual editor or by a
//! program, and drawn as MJML here, so that what an editor shows is what is sent.
//!
//! Owns:       the words of the document, which values are lawful.
//! Promises:   a mistake names its place, such as `sections[0].columns[1].blocks[2].link`; the
//!             same document always becomes the same mail.
//! Knows not:  who keeps documents and saved blocks.

mod check; // values and language, each with its path
mod draw; // the document as MJML
mod read; // JSON, with the path of what cannot be read

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use draw::{Drawn, draw};

use super::{BODY_BYTES_MAX, Part, TemplateError, place};
use crate::model::SavedBlockId;
use crate::model::state::words;

/// What is wrong, and with which part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub path: String,
    pub why: String,
}

impl Wrong {
    fn at(path: impl Into<String>, why: impl Into<String>) -> Wrong {
        Wrong { path: path.into(), why: why.into() }
    }
}

impl From<Wrong> for TemplateError {
    fn from(wrong: Wrong) -> TemplateError {
        let Wrong { path, why } = wrong;
        TemplateError { part: Part::Body, line: 1, column: 1, path, why }
    }
}

/// A whole mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MailDocument)]
pub struct Document {
    /// What mail programs show beside the subject before the mail is opened.
    #[serde(default)]
    pub preview: String,
    #[serde(default)]
    pub style: Style,
    pub sections: Vec<Section>,
}

/// What holds for all of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = DocumentStyle)]
pub struct Style {
    /// In pixels.
    #[schema(minimum = 320, maximum = 900)]
    pub width: u16,
    /// Around the mail: `#rgb` or `#rrggbb`, as every colour.
    pub background: String,
    /// Beneath the sections that have no colour of their own.
    pub surface: String,
    pub color: String,
    pub link_color: String,
    pub font: Font,
}

impl Default for Style {
    fn default() -> Style {
        Style {
            width: 600,
            background: "#f3f5f6".to_owned(),
            surface: "#ffffff".to_owned(),
            color: "#1d2327".to_owned(),
            link_color: "#0b6b63".to_owned(),
            font: Font::Sans,
        }
    }
}

words! {
    /// Fonts that every computer has.
    Font {
        Sans = "sans",
        Serif = "serif",
        Rounded = "rounded",
        Mono = "mono",
    }
}

words! {
    Align {
        Left = "left",
        Center = "center",
        Right = "right",
    }
}

const fn left() -> Align {
    Align::Left
}

const fn center() -> Align {
    Align::Center
}

/// A stripe of the mail with one to four columns side by side; on a phone they stand below each
/// other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DocumentSection)]
pub struct Section {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<String>,
    /// Above and below, in pixels.
    #[serde(default = "section_padding")]
    #[schema(maximum = 200)]
    pub padding: u16,
    /// Only for contacts of whom this is true, such as `city == "Köln"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    pub columns: Vec<Column>,
}

const fn section_padding() -> u16 {
    16
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DocumentColumn)]
pub struct Column {
    /// In percent; all columns of a section have one, or none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 5, maximum = 100)]
    pub width: Option<u16>,
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = DocumentBlock)]
pub enum Block {
    Text(TextBlock),
    Heading(HeadingBlock),
    Image(ImageBlock),
    Button(ButtonBlock),
    Divider(DividerBlock),
    Spacer(SpacerBlock),
    Social(SocialBlock),
    Html(HtmlBlock),
    Loop(LoopBlock),
    Condition(ConditionBlock),
    Saved(SavedBlock),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TextBlock {
    /// Markdown, with the language of templates.
    pub text: String,
    #[serde(default = "left")]
    pub align: Align,
    /// In pixels.
    #[serde(default = "text_size")]
    #[schema(minimum = 8, maximum = 60)]
    pub size: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
}

const fn text_size() -> u16 {
    16
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeadingBlock {
    pub text: String,
    #[serde(default = "first_level")]
    #[schema(minimum = 1, maximum = 3)]
    pub level: u8,
    #[serde(default = "left")]
    pub align: Align,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
}

const fn first_level() -> u8 {
    1
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageBlock {
    /// Where readers fetch it from.
    pub src: String,
    /// What it shows, for those who do not see it; empty when it only decorates.
    #[serde(default)]
    pub alt: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// In pixels; without one it is as wide as its column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 900)]
    pub width: Option<u16>,
    #[serde(default = "center")]
    pub align: Align,
    /// Of its corners, in pixels.
    #[serde(default)]
    #[schema(maximum = 200)]
    pub radius: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ButtonBlock {
    pub text: String,
    pub link: String,
    /// The document's colour of links when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    #[serde(default = "center")]
    pub align: Align,
    #[serde(default = "button_radius")]
    #[schema(maximum = 200)]
    pub radius: u16,
}

const fn button_radius() -> u16 {
    6
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DividerBlock {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// In pixels.
    #[serde(default = "divider_thickness")]
    #[schema(minimum = 1, maximum = 20)]
    pub thickness: u16,
}

const fn divider_thickness() -> u16 {
    1
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpacerBlock {
    /// In pixels.
    #[schema(minimum = 1, maximum = 400)]
    pub height: u16,
}

words! {
    Network {
        Bluesky = "bluesky",
        Facebook = "facebook",
        Github = "github",
        Instagram = "instagram",
        Linkedin = "linkedin",
        Mastodon = "mastodon",
        Pinterest = "pinterest",
        Tiktok = "tiktok",
        Web = "web",
        X = "x",
        Youtube = "youtube",
    }
}

/// Links to pages of networks, as words in their colours: no picture has to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SocialBlock {
    pub links: Vec<SocialLink>,
    #[serde(default = "center")]
    pub align: Align,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SocialLink {
    pub network: Network,
    pub link: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HtmlBlock {
    pub html: String,
}

/// Its blocks once for each item of a list that is a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoopBlock {
    /// The list, such as `orders`.
    pub of: String,
    /// What an item is called within: `{{ item.price }}`.
    #[serde(default = "item_name")]
    pub item: String,
    #[schema(no_recursion)]
    pub blocks: Vec<Block>,
}

fn item_name() -> String {
    "item".to_owned()
}

/// Its blocks only for contacts of whom it is true, others for everybody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionBlock {
    /// Such as `points > 100`.
    pub when: String,
    #[schema(no_recursion)]
    pub blocks: Vec<Block>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub otherwise: Vec<Block>,
}

/// Blocks that are kept beside the templates and may stand in many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SavedBlock {
    pub block: SavedBlockId,
}

/// Blocks of their own, as saved ones are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    pub blocks: Vec<Block>,
}

impl Document {
    /// Of JSON, as an object or as the text of one.
    pub fn of_value(value: &serde_json::Value) -> Result<Document, Wrong> {
        read::document(value)
    }

    pub fn of_text(text: &str) -> Result<Document, TemplateError> {
        if text.len() > BODY_BYTES_MAX {
            let why = format!("at most {BODY_BYTES_MAX} octets");
            return Err(place(Part::Body, "", 0, why));
        }
        let value: serde_json::Value = serde_json::from_str(text).map_err(|why| {
            let (line, column) = (why.line().max(1), why.column().max(1));
            let why = format!("no document: {why}");
            TemplateError { part: Part::Body, line, column, path: String::new(), why }
        })?;
        Ok(Document::of_value(&value)?)
    }

    /// As it is kept: the same document is the same text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Every value is lawful, and every text can be rendered with these fields.
    pub fn check(&self, fields: &BTreeSet<String>) -> Result<(), Wrong> {
        check::document(self, fields)
    }

    /// With what is saved in the place of each `saved` block; one that is not found stays.
    pub fn expand(&mut self, find: &dyn Fn(SavedBlockId) -> Option<Vec<Block>>) {
        for column in self.sections.iter_mut().flat_map(|section| &mut section.columns) {
            expand(&mut column.blocks, find);
        }
    }

    /// Where a text stands that holds this.
    pub fn path_of(&self, part: &str) -> Option<String> {
        let mut texts = vec![("preview".to_owned(), self.preview.as_str())];
        for (path, blocks) in self.places() {
            texts_of(&path, blocks, &mut texts);
        }
        texts.into_iter().find(|(_, text)| text.contains(part)).map(|(path, _)| path)
    }

    /// Every list of blocks of a column, with its path.
    fn places(&self) -> impl Iterator<Item = (String, &[Block])> {
        self.sections.iter().enumerate().flat_map(|(section, of)| {
            let columns = of.columns.iter().enumerate();
            columns.map(move |(column, of)| {
                (format!("sections[{section}].columns[{column}].blocks"), of.blocks.as_slice())
            })
        })
    }
}

/// Blocks as they are kept by themselves.
pub fn blocks_of_value(value: &serde_json::Value) -> Result<Vec<Block>, Wrong> {
    read::blocks(value)
}

/// Saved blocks hold no saved blocks, so that none is its own part.
pub fn check_saved(blocks: &[Block], fields: &BTreeSet<String>) -> Result<(), Wrong> {
    check::saved(blocks, fields)
}

fn expand(blocks: &mut Vec<Block>, find: &dyn Fn(SavedBlockId) -> Option<Vec<Block>>) {
    let mut expanded = Vec::with_capacity(blocks.len());
    for mut block in std::mem::take(blocks) {
        match &mut block {
            Block::Saved(saved) => match find(saved.block) {
                Some(found) => expanded.extend(found),
                None => expanded.push(block),
            },
            Block::Loop(inner) => {
                expand(&mut inner.blocks, find);
                expanded.push(block);
            }
            Block::Condition(inner) => {
                expand(&mut inner.blocks, find);
                expand(&mut inner.otherwise, find);
                expanded.push(block);
            }
            _ => expanded.push(block),
        }
    }
    *blocks = expanded;
}

fn texts_of<'a>(path: &str, blocks: &'a [Block], texts: &mut Vec<(String, &'a str)>) {
    for (at, block) in blocks.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let mut text = |name: &str, text: &'a str| texts.push((format!("{path}.{name}"), text));
        match block {
            Block::Text(of) => text("text", &of.text),
            Block::Heading(of) => text("text", &of.text),
            Block::Image(of) => {
                text("src", &of.src);
                text("link", of.link.as_deref().unwrap_or_default());
            }
            Block::Button(of) => {
                text("link", &of.link);
                text("text", &of.text);
            }
            Block::Html(of) => text("html", &of.html),
            Block::Social(of) => {
                for (at, link) in of.links.iter().enumerate() {
                    text(&format!("links[{at}].link"), &link.link);
                }
            }
            Block::Loop(of) => texts_of(&format!("{path}.blocks"), &of.blocks, texts),
            Block::Condition(of) => {
                texts_of(&format!("{path}.blocks"), &of.blocks, texts);
                texts_of(&format!("{path}.otherwise"), &of.otherwise, texts);
            }
            Block::Divider(_) | Block::Spacer(_) | Block::Saved(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
