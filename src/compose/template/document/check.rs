//! What makes a document unlawful, each mistake with its path.

use std::collections::BTreeSet;

use super::super::html::WORD;
use super::super::language;
use super::super::{BODY_BYTES_MAX, Part};
use super::{Block, Document, Section, Style, Wrong};

const SECTIONS_MAX: usize = 100;
const COLUMNS_MAX: usize = 4;
const BLOCKS_MAX: usize = 500;
const SOCIAL_LINKS_MAX: usize = 20;
/// Loops and conditions within each other.
const NESTED_MAX: usize = 4;
const LINE_BYTES_MAX: usize = 2000;
const NAME_BYTES_MAX: usize = 60;

pub fn document(document: &Document, fields: &BTreeSet<String>) -> Result<(), Wrong> {
    let mut judge = Judge::new(fields);
    judge.line("preview", &document.preview)?;
    style(&document.style)?;
    if document.sections.is_empty() || document.sections.len() > SECTIONS_MAX {
        return Err(Wrong::at("sections", format!("must be 1 to {SECTIONS_MAX}")));
    }
    for (at, of) in document.sections.iter().enumerate() {
        judge.section(&format!("sections[{at}]"), of)?;
    }
    judge.finish("sections")
}

pub fn saved(blocks: &[Block], fields: &BTreeSet<String>) -> Result<(), Wrong> {
    let mut judge = Judge::new(fields);
    judge.has_saved = false;
    if blocks.is_empty() {
        return Err(Wrong::at("blocks", "there is none"));
    }
    judge.blocks("blocks", blocks, 0)?;
    judge.finish("blocks")
}

fn style(style: &Style) -> Result<(), Wrong> {
    between("style.width", style.width, 320, 900)?;
    for (name, value) in [
        ("background", &style.background),
        ("surface", &style.surface),
        ("color", &style.color),
        ("link_color", &style.link_color),
    ] {
        color(&format!("style.{name}"), value)?;
    }
    Ok(())
}

fn color(path: &str, value: &str) -> Result<(), Wrong> {
    let digits = value.strip_prefix('#').unwrap_or_default();
    let is_color =
        matches!(digits.len(), 3 | 6) && digits.bytes().all(|octet| octet.is_ascii_hexdigit());
    if is_color { Ok(()) } else { Err(Wrong::at(path, "is no colour such as #0b6b63")) }
}

fn maybe_color(path: String, value: Option<&String>) -> Result<(), Wrong> {
    value.map_or(Ok(()), |value| color(&path, value))
}

fn between(path: impl Into<String>, value: u16, least: u16, most: u16) -> Result<(), Wrong> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Wrong::at(path, format!("must be {least} to {most}")))
}

/// Walks through a document. The texts are gathered in the loops and conditions around them, since
/// what one of them sets counts in all of them.
struct Judge<'a> {
    fields: &'a BTreeSet<String>,
    /// Statements that stand around, with their ends.
    around: Vec<(String, &'static str)>,
    whole: String,
    count: usize,
    has_saved: bool,
}

impl<'a> Judge<'a> {
    fn new(fields: &'a BTreeSet<String>) -> Judge<'a> {
        Judge { fields, around: Vec::new(), whole: String::new(), count: 0, has_saved: true }
    }

    fn finish(&self, path: &str) -> Result<(), Wrong> {
        let checked = language::check(Part::Body, &self.whole, self.fields);
        checked.map_err(|error| Wrong::at(path, error.why))
    }

    fn text(&mut self, path: &str, text: &str) -> Result<(), Wrong> {
        if text.contains(WORD) {
            return Err(Wrong::at(path, format!("'{WORD}' is a word of ours")));
        }
        let mut wrapped: String = self.around.iter().map(|(open, _)| open.as_str()).collect();
        wrapped.push_str(text);
        wrapped.extend(self.around.iter().rev().map(|(_, close)| *close));
        language::check(Part::Body, &wrapped, self.fields)
            .map_err(|error| Wrong::at(path, error.why))?;
        self.whole.push_str(text);
        match self.whole.len() > BODY_BYTES_MAX {
            true => Err(Wrong::at(path, format!("at most {BODY_BYTES_MAX} octets in all"))),
            false => Ok(()),
        }
    }

    fn line(&mut self, path: &str, text: &str) -> Result<(), Wrong> {
        if text.len() > LINE_BYTES_MAX || text.contains(char::is_control) {
            let why = format!("must be one line of at most {LINE_BYTES_MAX} octets");
            return Err(Wrong::at(path, why));
        }
        self.text(path, text)
    }

    fn link(&mut self, path: &str, link: &str) -> Result<(), Wrong> {
        self.line(path, link)?;
        let begin = link.trim().split("{{").next().unwrap_or_default();
        // What begins with a value is kept to lawful links when it is rendered.
        let is_lawful = (begin.is_empty() && !link.trim().is_empty())
            || begin.starts_with('#')
            || language::is_link(begin);
        match is_lawful {
            true => Ok(()),
            false => Err(Wrong::at(path, "a link goes to http, https, mailto or tel")),
        }
    }

    /// What stands around the rest until `leave`.
    fn enter(&mut self, path: &str, open: String, close: &'static str) -> Result<(), Wrong> {
        let alone = format!("{open}{close}");
        let mut wrapped: String = self.around.iter().map(|(open, _)| open.as_str()).collect();
        wrapped.push_str(&alone);
        wrapped.extend(self.around.iter().rev().map(|(_, close)| *close));
        language::check(Part::Body, &wrapped, self.fields)
            .map_err(|error| Wrong::at(path, error.why))?;
        self.whole.push_str(&open);
        self.around.push((open, close));
        Ok(())
    }

    fn leave(&mut self) {
        if let Some((_, close)) = self.around.pop() {
            self.whole.push_str(close);
        }
    }

    fn condition(&mut self, path: &str, when: &str) -> Result<(), Wrong> {
        let has_marks = ["{%", "%}", "{{", "}}", "{#", "#}"].iter().any(|mark| when.contains(mark));
        if when.trim().is_empty() || when.len() > LINE_BYTES_MAX || has_marks {
            return Err(Wrong::at(path, "must be a condition, such as city == \"Köln\""));
        }
        self.enter(path, format!("{{% if {when} %}}"), "{% endif %}")
    }

    fn section(&mut self, path: &str, section: &Section) -> Result<(), Wrong> {
        maybe_color(format!("{path}.background"), section.background.as_ref())?;
        between(format!("{path}.padding"), section.padding, 0, 200)?;
        if section.columns.is_empty() || section.columns.len() > COLUMNS_MAX {
            return Err(Wrong::at(format!("{path}.columns"), "must be 1 to 4"));
        }
        let widths: Vec<u16> = section.columns.iter().filter_map(|column| column.width).collect();
        for (at, column) in section.columns.iter().enumerate() {
            if let Some(width) = column.width {
                between(format!("{path}.columns[{at}].width"), width, 5, 100)?;
            }
        }
        let is_whole = widths.len() == section.columns.len() && widths.iter().sum::<u16>() == 100;
        if !widths.is_empty() && !is_whole {
            let why = "the widths of all columns must make 100 percent, or none has one";
            return Err(Wrong::at(format!("{path}.columns"), why));
        }
        if let Some(when) = &section.when {
            self.condition(&format!("{path}.when"), when)?;
        }
        for (at, column) in section.columns.iter().enumerate() {
            self.blocks(&format!("{path}.columns[{at}].blocks"), &column.blocks, 0)?;
        }
        if section.when.is_some() {
            self.leave();
        }
        Ok(())
    }

    fn blocks(&mut self, path: &str, blocks: &[Block], depth: usize) -> Result<(), Wrong> {
        if depth > NESTED_MAX {
            let why = format!("loops and conditions nest {NESTED_MAX} deep at most");
            return Err(Wrong::at(path, why));
        }
        for (at, block) in blocks.iter().enumerate() {
            self.count += 1;
            if self.count > BLOCKS_MAX {
                return Err(Wrong::at(path, format!("at most {BLOCKS_MAX} blocks in all")));
            }
            self.block(&format!("{path}[{at}]"), block, depth)?;
        }
        Ok(())
    }

    fn block(&mut self, path: &str, block: &Block, depth: usize) -> Result<(), Wrong> {
        let of = |name: &str| format!("{path}.{name}");
        match block {
            Block::Text(text) => {
                between(of("size"), text.size, 8, 60)?;
                maybe_color(of("color"), text.color.as_ref())?;
                self.text(&of("text"), &text.text)
            }
            Block::Heading(heading) => {
                between(of("level"), u16::from(heading.level), 1, 3)?;
                maybe_color(of("color"), heading.color.as_ref())?;
                self.line(&of("text"), &heading.text)
            }
            Block::Image(image) => {
                between(of("radius"), image.radius, 0, 200)?;
                between(of("width"), image.width.unwrap_or(1), 1, 900)?;
                self.link(&of("src"), &image.src)?;
                self.line(&of("alt"), &image.alt)?;
                image.link.as_ref().map_or(Ok(()), |link| self.link(&of("link"), link))
            }
            Block::Button(button) => {
                between(of("radius"), button.radius, 0, 200)?;
                maybe_color(of("background"), button.background.as_ref())?;
                maybe_color(of("color"), button.color.as_ref())?;
                self.line(&of("text"), &button.text)?;
                self.link(&of("link"), &button.link)
            }
            Block::Divider(divider) => {
                between(of("thickness"), divider.thickness, 1, 20)?;
                maybe_color(of("color"), divider.color.as_ref())
            }
            Block::Spacer(spacer) => between(of("height"), spacer.height, 1, 400),
            Block::Html(html) => self.text(&of("html"), &html.html),
            Block::Social(_) | Block::Loop(_) | Block::Condition(_) | Block::Saved(_) => {
                self.more(path, block, depth)
            }
        }
    }

    /// Blocks that hold others, or stand for them.
    fn more(&mut self, path: &str, block: &Block, depth: usize) -> Result<(), Wrong> {
        let of = |name: &str| format!("{path}.{name}");
        match block {
            Block::Social(social) => {
                if social.links.len() > SOCIAL_LINKS_MAX {
                    return Err(Wrong::at(of("links"), format!("at most {SOCIAL_LINKS_MAX}")));
                }
                let mut links = social.links.iter().enumerate();
                links.try_for_each(|(at, one)| {
                    self.link(&of(&format!("links[{at}].link")), &one.link)
                })
            }
            Block::Loop(inner) => {
                name(of("of"), &inner.of, true)?;
                name(of("item"), &inner.item, false)?;
                let open = format!("{{% for {} in {} %}}", inner.item, inner.of);
                self.enter(&of("of"), open, "{% endfor %}")?;
                self.blocks(&of("blocks"), &inner.blocks, depth + 1)?;
                self.leave();
                Ok(())
            }
            Block::Condition(inner) => {
                self.condition(&of("when"), &inner.when)?;
                self.blocks(&of("blocks"), &inner.blocks, depth + 1)?;
                self.blocks(&of("otherwise"), &inner.otherwise, depth + 1)?;
                self.leave();
                Ok(())
            }
            Block::Saved(_) if !self.has_saved => {
                Err(Wrong::at(of("block"), "a saved block holds no other saved block"))
            }
            Block::Saved(saved) => {
                Err(Wrong::at(of("block"), format!("there is no saved block {}", saved.block)))
            }
            _ => Ok(()),
        }
    }
}

/// A name as the language of templates has it; of a list also one with dots.
fn name(path: String, name: &str, has_dots: bool) -> Result<(), Wrong> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
    };
    let mut words = name.split('.');
    let is_name =
        name.len() <= NAME_BYTES_MAX && if has_dots { words.all(is_word) } else { is_word(name) };
    if is_name { Ok(()) } else { Err(Wrong::at(path, "must be a name, such as orders")) }
}
