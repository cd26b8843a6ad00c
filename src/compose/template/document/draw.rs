//! A document as MJML. What people wrote stands as a word in it while MJML becomes HTML, and comes
//! back afterwards: no text of theirs can break a tag, and Markdown is no business of MJML's.

use super::super::html::{Marked, WORD, markdown};
use super::super::{Part, TemplateError};
use super::{
    Align, Block, ButtonBlock, Column, Document, Font, HeadingBlock, ImageBlock, Network, Section,
    SocialBlock, Style, TextBlock, Wrong,
};

/// MJML, and the HTML that its words stand for.
pub struct Drawn {
    pub mjml: String,
    inner: Vec<String>,
}

impl Drawn {
    /// The HTML that the MJML became, with what people wrote in it again.
    pub fn filled(&self, html: &str) -> String {
        let mut filled = String::with_capacity(html.len() * 2);
        let mut rest = html;
        let open = format!("{WORD}up");
        while let Some(start) = rest.find(&open) {
            let (before, word) = rest.split_at(start);
            filled.push_str(before);
            let behind = &word[open.len()..];
            let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
            let inner = behind[..digits].parse().ok().and_then(|at: usize| self.inner.get(at));
            filled.push_str(inner.map_or("", String::as_str));
            // The word ends with an `x`.
            rest = behind.get(digits + 1..).unwrap_or_default();
        }
        filled.push_str(rest);
        filled
    }
}

pub fn draw(document: &Document, marked: &mut Marked) -> Result<Drawn, TemplateError> {
    let mut pen = Pen { marked, style: &document.style, mjml: String::new(), inner: Vec::new() };
    pen.document(document)?;
    Ok(Drawn { mjml: pen.mjml, inner: pen.inner })
}

struct Pen<'a> {
    marked: &'a mut Marked,
    style: &'a Style,
    mjml: String,
    inner: Vec<String>,
}

impl Pen<'_> {
    fn put(&mut self, mjml: &str) {
        self.mjml.push_str(mjml);
    }

    /// HTML that MJML is not to look into.
    fn put_inner(&mut self, html: String) {
        let word = format!("{WORD}up{}x", self.inner.len());
        self.inner.push(html);
        self.put(&word);
    }

    /// For an attribute, or text without any tag.
    fn plain(&mut self, text: &str) -> Result<String, TemplateError> {
        Ok(escaped(&self.marked.mark_words(Part::Body, text)?))
    }

    fn statement(&mut self, statement: String) {
        let mark = self.marked.statement(statement);
        self.put(&mark);
    }

    fn document(&mut self, document: &Document) -> Result<(), TemplateError> {
        let Style { width, background, color, link_color, font, .. } = self.style;
        let preview = self.plain(&document.preview)?;
        let family = family(*font);
        self.put("<mjml><mj-head>");
        if !preview.is_empty() {
            self.put(&format!("<mj-preview>{preview}</mj-preview>"));
        }
        let head = format!(
            "<mj-attributes><mj-all font-family=\"{family}\" /><mj-text color=\"{color}\" \
             line-height=\"1.5\" padding=\"6px 16px\" /></mj-attributes><mj-style>\
             a {{ color: {link_color}; }} p {{ margin: 0 0 12px 0; }} \
             ul, ol {{ margin: 0 0 12px 0; padding-left: 24px; }}</mj-style></mj-head>\
             <mj-body width=\"{width}px\" background-color=\"{background}\">"
        );
        self.put(&head);
        for section in &document.sections {
            self.section(section)?;
        }
        self.put("</mj-body></mjml>");
        Ok(())
    }

    fn section(&mut self, section: &Section) -> Result<(), TemplateError> {
        if let Some(when) = &section.when {
            self.statement(format!("{{% if {when} %}}"));
        }
        let background = section.background.as_ref().unwrap_or(&self.style.surface);
        let padding = section.padding;
        let open =
            format!("<mj-section background-color=\"{background}\" padding=\"{padding}px 0\">");
        self.put(&open);
        for column in &section.columns {
            self.column(column)?;
        }
        self.put("</mj-section>");
        if section.when.is_some() {
            self.statement("{% endif %}".to_owned());
        }
        Ok(())
    }

    fn column(&mut self, column: &Column) -> Result<(), TemplateError> {
        match column.width {
            Some(width) => self.put(&format!("<mj-column width=\"{width}%\">")),
            None => self.put("<mj-column>"),
        }
        self.blocks(&column.blocks)?;
        self.put("</mj-column>");
        Ok(())
    }

    fn blocks(&mut self, blocks: &[Block]) -> Result<(), TemplateError> {
        blocks.iter().try_for_each(|block| self.block(block))
    }

    fn block(&mut self, block: &Block) -> Result<(), TemplateError> {
        match block {
            Block::Text(text) => self.text(text)?,
            Block::Heading(heading) => self.heading(heading)?,
            Block::Image(image) => self.image(image)?,
            Block::Button(button) => self.button(button)?,
            Block::Divider(divider) => {
                let color = divider.color.as_deref().unwrap_or("#d5dbe0");
                let thickness = divider.thickness;
                self.put(&format!(
                    "<mj-divider border-color=\"{color}\" border-width=\"{thickness}px\" \
                     padding=\"10px 16px\" />"
                ));
            }
            Block::Spacer(spacer) => {
                self.put(&format!("<mj-spacer height=\"{}px\" />", spacer.height));
            }
            Block::Social(social) => self.social(social)?,
            Block::Html(html) => {
                let html = self.marked.mark(Part::Body, &html.html)?;
                self.put("<mj-text>");
                self.put_inner(html);
                self.put("</mj-text>");
            }
            Block::Loop(inner) => {
                self.statement(format!("{{% for {} in {} %}}", inner.item, inner.of));
                self.blocks(&inner.blocks)?;
                self.statement("{% endfor %}".to_owned());
            }
            Block::Condition(inner) => {
                self.statement(format!("{{% if {} %}}", inner.when));
                self.blocks(&inner.blocks)?;
                if !inner.otherwise.is_empty() {
                    self.statement("{% else %}".to_owned());
                    self.blocks(&inner.otherwise)?;
                }
                self.statement("{% endif %}".to_owned());
            }
            Block::Saved(saved) => {
                let why = format!("there is no saved block {}", saved.block);
                return Err(Wrong { path: "sections".to_owned(), why }.into());
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &TextBlock) -> Result<(), TemplateError> {
        let html = markdown(&self.marked.mark(Part::Body, &text.text)?);
        let color = text.color.as_ref().unwrap_or(&self.style.color).clone();
        let (align, size) = (text.align, text.size);
        self.put(&format!("<mj-text align=\"{align}\" font-size=\"{size}px\" color=\"{color}\">"));
        self.put_inner(html);
        self.put("</mj-text>");
        Ok(())
    }

    fn heading(&mut self, heading: &HeadingBlock) -> Result<(), TemplateError> {
        let text = self.plain(&heading.text)?;
        let color = heading.color.as_ref().unwrap_or(&self.style.color).clone();
        let size = match heading.level {
            1 => 28,
            2 => 22,
            _ => 18,
        };
        let (align, level) = (heading.align, heading.level);
        self.put(&format!("<mj-text align=\"{align}\" color=\"{color}\">"));
        self.put_inner(format!(
            "<h{level} style=\"margin:0;font-size:{size}px;line-height:1.25\">{text}</h{level}>"
        ));
        self.put("</mj-text>");
        Ok(())
    }

    fn image(&mut self, image: &ImageBlock) -> Result<(), TemplateError> {
        let (src, alt) = (self.plain(image.src.trim())?, self.plain(&image.alt)?);
        let (align, radius) = (image.align, image.radius);
        let mut attributes = format!(
            "src=\"{src}\" alt=\"{alt}\" align=\"{align}\" border-radius=\"{radius}px\" \
             padding=\"8px 16px\""
        );
        if let Some(width) = image.width {
            attributes.push_str(&format!(" width=\"{width}px\""));
        }
        if let Some(link) = image.link.as_deref().filter(|link| !link.trim().is_empty()) {
            let link = self.plain(link.trim())?;
            attributes.push_str(&format!(" href=\"{link}\""));
        }
        self.put(&format!("<mj-image {attributes} />"));
        Ok(())
    }

    fn button(&mut self, button: &ButtonBlock) -> Result<(), TemplateError> {
        let (text, link) = (self.plain(&button.text)?, self.plain(button.link.trim())?);
        let background = button.background.as_ref().unwrap_or(&self.style.link_color).clone();
        let color = button.color.clone().unwrap_or_else(|| readable_on(&background).to_owned());
        let (align, radius) = (button.align, button.radius);
        self.put(&format!(
            "<mj-button href=\"{link}\" background-color=\"{background}\" color=\"{color}\" \
             align=\"{align}\" border-radius=\"{radius}px\" font-size=\"16px\" \
             font-weight=\"600\" inner-padding=\"12px 24px\" padding=\"10px 16px\">"
        ));
        self.put_inner(text);
        self.put("</mj-button>");
        Ok(())
    }

    fn social(&mut self, social: &SocialBlock) -> Result<(), TemplateError> {
        let mut words = Vec::new();
        for one in &social.links {
            let link = self.plain(one.link.trim())?;
            let (name, color) = of_network(one.network);
            words.push(format!(
                "<a href=\"{link}\" style=\"display:inline-block;margin:3px;padding:5px 14px;\
                 border-radius:99px;background-color:{color};color:#ffffff;font-size:14px;\
                 text-decoration:none\">{name}</a>"
            ));
        }
        let align: Align = social.align;
        self.put(&format!("<mj-text align=\"{align}\">"));
        self.put_inner(words.join(" "));
        self.put("</mj-text>");
        Ok(())
    }
}

const fn family(font: Font) -> &'static str {
    match font {
        Font::Sans => "Arial, Helvetica, sans-serif",
        Font::Serif => "Georgia, 'Times New Roman', serif",
        Font::Rounded => "Verdana, 'Trebuchet MS', sans-serif",
        Font::Mono => "'Courier New', Courier, monospace",
    }
}

/// Each is dark enough for white letters on it.
const fn of_network(network: Network) -> (&'static str, &'static str) {
    match network {
        Network::Bluesky => ("Bluesky", "#0a6ad6"),
        Network::Facebook => ("Facebook", "#1877c9"),
        Network::Github => ("GitHub", "#24292f"),
        Network::Instagram => ("Instagram", "#b0326f"),
        Network::Linkedin => ("LinkedIn", "#0a66c2"),
        Network::Mastodon => ("Mastodon", "#563acc"),
        Network::Pinterest => ("Pinterest", "#bd081c"),
        Network::Tiktok => ("TikTok", "#161823"),
        Network::Web => ("Web", "#4a5560"),
        Network::X => ("X", "#0f1419"),
        Network::Youtube => ("YouTube", "#c4302b"),
    }
}

/// Black or white, whichever stands out more (WCAG's luminance).
fn readable_on(background: &str) -> &'static str {
    let digits = background.trim_start_matches('#');
    let of = |at: usize| -> f64 {
        let text = match digits.len() {
            3 => digits.get(at..=at).map(str::to_owned).map(|one| one.repeat(2)),
            _ => digits.get(at * 2..at * 2 + 2).map(str::to_owned),
        };
        let value = text.and_then(|text| u8::from_str_radix(&text, 16).ok()).unwrap_or(0);
        let part = f64::from(value) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = 0.2126 * of(0) + 0.7152 * of(1) + 0.0722 * of(2);
    // Above this, black has more contrast than white.
    if luminance > 0.179 { "#111111" } else { "#ffffff" }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
