//! What HTML, Markdown, MJML and documents become: HTML with its styles inlined and its links
//! looked at.
//!
//! The pieces of the template language would not survive these steps (a parser moves text out of
//! tables and escapes quotes), so each stands as a mark while they run: within a tag and for
//! outputs a word, for statements a comment, which may stand anywhere.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use css_inline::CSSInliner;
use lol_html::{HtmlRewriter, Settings, element};

use super::document::{self, Document};
use super::language::is_link;
use super::scan::{PieceKind, pieces};
use super::{Part, Source, TemplateError, place};
use crate::model::TemplateKind;

/// Longer than any HTML that a template of 256 KiB reasonably makes.
const HTML_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Deeper is no mail, and a parser that recurses would fall.
const DEPTH_MAX: usize = 200;

/// HTML with marks, and what they stand for.
#[derive(Clone, Debug)]
pub struct Made {
    pub html: String,
    pieces: Vec<String>,
}

impl Made {
    /// The HTML as a template again.
    pub fn template(&self) -> String {
        self.restored(&self.html)
    }

    /// Any text with marks as a template again.
    pub fn restored(&self, text: &str) -> String {
        let mut restored = String::with_capacity(text.len() * 2);
        let mut rest = text;
        while let Some((before, mark, after)) = next_mark(rest) {
            restored.push_str(before);
            if let Some(piece) = self.pieces.get(mark.number) {
                if mark.is_link {
                    restored.push_str(&as_link(piece));
                } else {
                    restored.push_str(piece);
                }
            }
            rest = after;
        }
        restored.push_str(rest);
        restored
    }
}

struct Mark {
    number: usize,
    is_link: bool,
}

pub const WORD: &str = "zq7mark";

fn word_of(number: usize) -> String {
    format!("{WORD}{number}x")
}

fn comment_of(number: usize) -> String {
    format!("<!--{WORD}{number}x-->")
}

/// What stands before the next mark, the mark, and what stands behind it.
fn next_mark(text: &str) -> Option<(&str, Mark, &str)> {
    let mut from = 0;
    loop {
        let start = from + text[from..].find(WORD)?;
        let after = &text[start + WORD.len()..];
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let sign = after.as_bytes().get(digits).copied();
        let number = after[..digits].parse().ok();
        let (Some(number), Some(b'x' | b'l')) = (number, sign) else {
            from = start + WORD.len();
            continue;
        };
        let (before, behind) = (&text[..start], &after[digits + 1..]);
        // A statement goes back without its comment.
        let (before, behind) = match (before.strip_suffix("<!--"), behind.strip_prefix("-->")) {
            (Some(before), Some(behind)) => (before, behind),
            _ => (before, behind),
        };
        return Some((before, Mark { number, is_link: sign == Some(b'l') }, behind));
    }
}

/// `{{ url }}` at the beginning of a link keeps to the schemes that mail may link to.
fn as_link(piece: &str) -> String {
    let inner = piece.trim_start_matches("{{").trim_end_matches("}}").trim_matches('-');
    format!("{{{{ ({})|link }}}}", inner.trim())
}

/// `document` is the body, where it is one.
pub fn make(source: &Source, document: Option<&Document>) -> Result<Made, TemplateError> {
    let mut marked = Marked::default();
    let body = match document {
        Some(document) => of_document(document, &mut marked)?,
        None => marked.mark(Part::Body, &source.body)?,
    };
    let html = match source.kind {
        TemplateKind::Html | TemplateKind::Document => body,
        TemplateKind::Markdown => markdown(&body),
        TemplateKind::Mjml => mjml(&body, &source.body)?,
    };
    let html = match (&source.layout, source.kind) {
        (Some(_), TemplateKind::Mjml | TemplateKind::Document) => {
            return Err(place(Part::Layout, "", 0, "a body of this kind has no layout"));
        }
        (Some(layout), _) => laid_out(&mut marked, layout, &html)?,
        (None, _) => html,
    };
    let wrong = |why: String| place(Part::Body, "", 0, why);
    if html.len() > HTML_BYTES_MAX || depth(&html) > DEPTH_MAX {
        return Err(wrong("the HTML is too long or nested too deeply".to_owned()));
    }
    let inliner = CSSInliner::options()
        .load_remote_stylesheets(false)
        .keep_at_rules(true)
        .resolver(Arc::new(NoSheets))
        .build();
    let html = inliner.inline(&html).map_err(|why| wrong(format!("styles: {why}")))?;
    let mut made = Made { html, pieces: marked.pieces };
    made.html = with_links(&made, source, document)?;
    Ok(made)
}

fn of_document(document: &Document, marked: &mut Marked) -> Result<String, TemplateError> {
    let drawn = document::draw(document, marked)?;
    let wrong = |why: String| place(Part::Body, "", 0, why);
    let parsed = parsed(&drawn.mjml).map_err(|why| wrong(why.to_string()))?;
    Ok(drawn.filled(&parsed.render(&options()).map_err(|why| wrong(why.to_string()))?))
}

/// A `<link>` to a style sheet brings nothing in.
#[derive(Debug)]
struct NoSheets;

impl css_inline::StylesheetResolver for NoSheets {
    fn retrieve(&self, _location: &str) -> css_inline::Result<String> {
        Ok(String::new())
    }
}

#[derive(Default)]
pub struct Marked {
    pieces: Vec<String>,
}

impl Marked {
    pub fn mark(&mut self, part: Part, text: &str) -> Result<String, TemplateError> {
        self.marked(part, text, true)
    }

    /// For what stands within a tag, or in text where a statement needs no comment.
    pub fn mark_words(&mut self, part: Part, text: &str) -> Result<String, TemplateError> {
        self.marked(part, text, false)
    }

    /// A statement of our own, which may stand wherever a comment may.
    pub fn statement(&mut self, statement: String) -> String {
        self.pieces.push(statement);
        comment_of(self.pieces.len() - 1)
    }

    fn marked(&mut self, part: Part, text: &str, comments: bool) -> Result<String, TemplateError> {
        if let Some(at) = text.find(WORD) {
            return Err(place(part, text, at, format!("'{WORD}' is a word of ours")));
        }
        let found = pieces(text).map_err(|at| place(part, text, at, "this has no end"))?;
        let mut marked = String::with_capacity(text.len());
        let mut at = 0;
        for piece in found {
            marked.push_str(&text[at..piece.start]);
            at = piece.start + piece.text.len();
            if piece.kind == PieceKind::Comment {
                continue;
            }
            let number = self.pieces.len();
            let is_statement =
                comments && piece.kind == PieceKind::Statement && !is_within_tag(&marked);
            marked.push_str(&if is_statement { comment_of(number) } else { word_of(number) });
            self.pieces.push(piece.text.to_owned());
        }
        marked.push_str(&text[at..]);
        Ok(marked)
    }
}

/// What comes next stands in a tag, or among styles.
fn is_within_tag(before: &str) -> bool {
    let in_tag = match (before.rfind('<'), before.rfind('>')) {
        (Some(open), Some(close)) => open > close,
        (open, _) => open.is_some(),
    };
    let style = |tag: &str| before.to_ascii_lowercase().rfind(tag);
    let in_style = match (style("<style"), style("</style")) {
        (Some(open), Some(close)) => open > close,
        (open, _) => open.is_some(),
    };
    in_tag || in_style
}

pub fn markdown(text: &str) -> String {
    use pulldown_cmark::{Options, Parser};

    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, Parser::new_ext(text, options));
    html
}

/// Includes find nothing: the usual loader has no file to give.
fn parsed(mjml: &str) -> Result<mrml::mjml::Mjml, mrml::prelude::parser::Error> {
    let options = mrml::prelude::parser::ParserOptions::default();
    Ok(mrml::parse_with_options(mjml, &options)?.element)
}

/// The usual fonts would be fetched from Google by every reader.
fn options() -> mrml::prelude::render::RenderOptions {
    use mrml::prelude::render::RenderOptions;

    RenderOptions { fonts: std::collections::HashMap::new(), ..RenderOptions::default() }
}

fn mjml(marked: &str, source: &str) -> Result<String, TemplateError> {
    let wrong = |why: String| place(Part::Body, source, 0, format!("MJML: {why}"));
    if depth(marked) > DEPTH_MAX {
        return Err(wrong("it is nested too deeply".to_owned()));
    }
    if let Some((at, name)) = unknown_component(source) {
        return Err(place(Part::Body, source, at, format!("MJML: there is no <{name}>")));
    }
    let parsed = parsed(marked).map_err(|why| {
        let (line, column) = position_in(&why.to_string(), marked).unwrap_or((1, 1));
        let why = format!("MJML: {why}");
        TemplateError { part: Part::Body, line, column, path: String::new(), why }
    })?;
    parsed.render(&options()).map_err(|why| wrong(why.to_string()))
}

/// The parser takes what it does not know for HTML, and an include for nothing.
fn unknown_component(source: &str) -> Option<(usize, String)> {
    const COMPONENTS: [&str; 32] = [
        "accordion",
        "accordion-element",
        "accordion-text",
        "accordion-title",
        "all",
        "attributes",
        "body",
        "breakpoint",
        "button",
        "carousel",
        "carousel-image",
        "class",
        "column",
        "divider",
        "font",
        "group",
        "head",
        "hero",
        "image",
        "navbar",
        "navbar-link",
        "preview",
        "raw",
        "section",
        "social",
        "social-element",
        "spacer",
        "style",
        "table",
        "text",
        "title",
        "wrapper",
    ];
    source.match_indices("<mj-").find_map(|(at, open)| {
        let rest = &source[at + open.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let name = &rest[..end.unwrap_or(rest.len())];
        (!COMPONENTS.contains(&name)).then(|| (at, format!("mj-{name}")))
    })
}

/// The parser names a span of octets, `12..34`, of the marked text. Marks do not change lines.
fn position_in(why: &str, marked: &str) -> Option<(usize, usize)> {
    let numbers = why.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let offset: usize = numbers.filter_map(|number| number.parse().ok()).next()?;
    let found = place(Part::Body, marked, offset, "");
    Some((found.line, found.column))
}

fn laid_out(marked: &mut Marked, layout: &str, body: &str) -> Result<String, TemplateError> {
    let before = marked.pieces.len();
    let text = marked.mark(Part::Layout, layout)?;
    let is_content = |piece: &String| {
        piece.trim_start_matches(['{', '-', ' ']).trim_end_matches(['}', '-', ' ']) == "content"
    };
    let of_layout = marked.pieces[before..].iter();
    let places: Vec<usize> = of_layout
        .enumerate()
        .filter(|(_, piece)| is_content(piece))
        .map(|(place, _)| before + place)
        .collect();
    match places.as_slice() {
        [number] => Ok(text.replacen(&word_of(*number), body, 1)),
        _ => Err(place(Part::Layout, layout, 0, "a layout holds {{ content }} once")),
    }
}

/// How deep tags may at most be nested, counted without knowing which close themselves.
fn depth(html: &str) -> usize {
    const VOID: [&str; 12] = [
        "br", "img", "hr", "meta", "link", "input", "col", "wbr", "area", "base", "source", "embed",
    ];
    let (mut depth, mut deepest) = (0usize, 0);
    for tag in html.split('<').skip(1) {
        let name: String =
            tag.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let closes_itself = tag.split('>').next().is_some_and(|inner| inner.ends_with('/'));
        if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else if !name.is_empty()
            && !closes_itself
            && !VOID.contains(&name.to_lowercase().as_str())
        {
            depth += 1;
            deepest = deepest.max(depth);
        }
    }
    deepest
}

/// Looks at every link, marks those that begin with a value, refuses what runs.
fn with_links(
    made: &Made,
    source: &Source,
    document: Option<&Document>,
) -> Result<String, TemplateError> {
    let html = made.html.as_str();
    let wrong: Rc<RefCell<Option<(String, String)>>> = Rc::default();
    let told = wrong.clone();
    let handler = element!("*", move |element| {
        let name = element.tag_name();
        let tell = |what: String, why: &str| {
            told.borrow_mut().get_or_insert((what, why.to_owned()));
        };
        if matches!(name.as_str(), "script" | "iframe" | "object" | "embed" | "form" | "base") {
            tell(format!("<{name}"), "has no place in a mail");
        }
        for attribute in element.attributes() {
            if attribute.name().starts_with("on") {
                tell(attribute.name(), "no script runs in a mail");
            }
        }
        for attribute in ["href", "src", "background", "action", "xlink:href"] {
            let Some(value) = element.get_attribute(attribute) else { continue };
            let value = value.trim().to_owned();
            match judged(&name, attribute, &value) {
                Judged::Lawful => {}
                Judged::Marked(marked) => element.set_attribute(attribute, &marked)?,
                Judged::Wrong(why) => tell(value, why),
            }
        }
        Ok(())
    });
    let mut output = Vec::with_capacity(html.len());
    let settings = Settings::new().append_element_content_handler(handler);
    let mut rewriter =
        HtmlRewriter::new(settings, |octets: &[u8]| output.extend_from_slice(octets));
    let unread = |why: lol_html::errors::RewritingError| place(Part::Body, "", 0, why.to_string());
    rewriter.write(html.as_bytes()).map_err(unread)?;
    rewriter.end().map_err(unread)?;
    if let Some((what, why)) = wrong.borrow_mut().take() {
        let what = made.restored(&what);
        if let Some(document) = document {
            let path = document.path_of(&what).unwrap_or_else(|| "sections".to_owned());
            return Err(document::Wrong { path, why }.into());
        }
        let found =
            source.body.find(&what).map(|at| place(Part::Body, &source.body, at, why.as_str()));
        let layout = source.layout.as_deref().unwrap_or_default();
        let in_layout =
            || layout.find(&what).map(|at| place(Part::Layout, layout, at, why.as_str()));
        let shown: String = what.chars().take(60).collect();
        let nowhere = || place(Part::Body, &source.body, 0, format!("'{shown}': {why}"));
        return Err(found.or_else(in_layout).unwrap_or_else(nowhere));
    }
    String::from_utf8(output).map_err(|why| place(Part::Body, "", 0, why.to_string()))
}

enum Judged {
    Lawful,
    /// With the mark that keeps its value to lawful links.
    Marked(String),
    Wrong(&'static str),
}

fn judged(tag: &str, attribute: &str, value: &str) -> Judged {
    if let Some((before, mark, behind)) = next_mark(value) {
        // The value may be empty: then what stands behind it must not be a scheme.
        if before.is_empty() && !(behind.is_empty() || behind.starts_with(['/', '?', '#', '&'])) {
            return Judged::Wrong("behind a value at its beginning a link goes on with / ? # or &");
        }
        if before.is_empty() {
            let plain = word_of(mark.number);
            let guarded = format!("{WORD}{}l", mark.number);
            return Judged::Marked(value.replacen(&plain, &guarded, 1));
        }
        return match before.contains(':') && is_link(before) {
            true => Judged::Lawful,
            false => Judged::Wrong("a link begins with its scheme or with one value"),
        };
    }
    let is_here = value.is_empty() || value.starts_with('#');
    let is_inner = attribute == "src" && value.starts_with("cid:");
    if is_here || is_inner || is_link(value) || tag == "link" {
        return Judged::Lawful;
    }
    Judged::Wrong("a link goes to http, https, mailto or tel")
}
