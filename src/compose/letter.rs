//! A rendered template as a whole mail: header, text part, HTML part.
//!
//! Owns:       the form of what we write ourselves.
//! Promises:   seven bits, short lines; the same letter is the same octets.
//! Knows not:  who it is for, what else stands in its header.

use std::borrow::Cow;

use bytes::Bytes;

use super::shelf::Attached;
use super::template::Rendered;
use crate::model::*;
use crate::wire::{date, encode};

pub struct Letter<'a> {
    pub content: &'a CampaignContent,
    pub to_name: &'a str,
    pub to: &'a str,
    pub rendered: &'a Rendered,
    pub at: Timestamp,
    /// What stands before the `@` of its Message-ID; unique.
    pub id: &'a str,
    pub more: &'a [(&'static str, String)],
    pub attached: &'a [Attached],
}

impl Letter<'_> {
    pub fn message_id(&self) -> String {
        let domain = self.content.from.rsplit('@').next().unwrap_or_default();
        format!("{}@{domain}", self.id)
    }

    pub fn bytes(&self) -> Bytes {
        let Letter { content, rendered, .. } = self;
        let mut mail = String::with_capacity(rendered.html.len() * 2 + rendered.text.len() * 2);
        let mut put = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                mail.push_str(part);
            }
        };
        put("Date", &date::rfc5322(self.at));
        put("From", &mailbox(&content.from_name, &content.from));
        put("To", &mailbox(self.to_name, self.to));
        if let Some(reply_to) = &content.reply_to {
            put("Reply-To", &mailbox("", reply_to));
        }
        put("Subject", &encode::unstructured(&rendered.subject));
        put("Message-ID", &format!("<{}>", self.message_id()));
        for (name, value) in self.more {
            put(name, value);
        }
        put("MIME-Version", "1.0");
        let around = format!("=+{}", self.id);
        let (html, inline, files) = self.placed();
        let alternative = self.alternative(&html, &inline);
        if files.is_empty() {
            mail.push_str(&alternative);
        } else {
            put("Content-Type", &format!("multipart/mixed;\r\n boundary=\"{around}\""));
            mail.push_str(&format!("\r\n--{around}\r\n{alternative}"));
        }
        for one in &files {
            put_file(&mut mail, &around, one, "");
        }
        if !files.is_empty() {
            mail.push_str(&format!("--{around}--\r\n"));
        }
        Bytes::from(mail)
    }

    /// Text and HTML, with what is shown within it.
    fn alternative(&self, html: &str, inline: &[(&Attached, String)]) -> String {
        let boundary = format!("=_{}", self.id);
        let related = format!("=r{}", self.id);
        let text = text_part("plain", &self.rendered.text);
        let mut part = format!(
            "Content-Type: multipart/alternative;\r\n boundary=\"{boundary}\"\r\n\
             \r\n--{boundary}\r\n{text}\r\n--{boundary}\r\n"
        );
        let html = text_part("html", html);
        if inline.is_empty() {
            part.push_str(&html);
        } else {
            part.push_str(&format!(
                "Content-Type: multipart/related; type=\"text/html\";\r\n \
                 boundary=\"{related}\"\r\n\r\n--{related}\r\n{html}"
            ));
            for (one, id) in inline {
                put_file(&mut part, &related, one, id);
            }
            part.push_str(&format!("--{related}--\r\n"));
        }
        part.push_str(&format!("\r\n--{boundary}--\r\n"));
        part
    }

    /// Images that the HTML names as `cid:` and their name get an id and are shown within it; the
    /// other files are carried beside.
    fn placed(&self) -> (Cow<'_, str>, Vec<(&Attached, String)>, Vec<&Attached>) {
        let mut html = Cow::Borrowed(self.rendered.html.as_str());
        let (mut inline, mut files) = (Vec::new(), Vec::new());
        let domain = self.content.from.rsplit('@').next().unwrap_or_default();
        for (place, one) in self.attached.iter().enumerate() {
            let id = format!("{place}.{}@{domain}", self.id);
            match shown_within(&html, one, &format!("cid:{id}")) {
                Some(with) => {
                    html = Cow::Owned(with);
                    inline.push((one, id));
                }
                None => files.push(one),
            }
        }
        (html, inline, files)
    }
}

/// A browser has no other parts of the mail: images that are shown within it are in the page.
pub(super) fn in_browser(html: String, attached: &[Attached]) -> String {
    attached.iter().fold(html, |html, one| {
        let octets = one.lines.replace("\r\n", "");
        let data = format!("data:{};base64,{octets}", one.content_type);
        shown_within(&html, one, &data).unwrap_or(html)
    })
}

/// The HTML that leads to the image there; None where it does not name it.
fn shown_within(html: &str, one: &Attached, target: &str) -> Option<String> {
    if !one.content_type.starts_with("image/") || !html.contains("cid:") {
        return None;
    }
    let encoded: String = one.name.bytes().map(encode::percent).collect();
    let mut told = html.to_owned();
    for name in [one.name.as_str(), encoded.as_str()] {
        for quote in ['"', '\''] {
            told = told
                .replace(&format!("{quote}cid:{name}{quote}"), &format!("{quote}{target}{quote}"));
        }
    }
    (told != html).then_some(told)
}

fn text_part(kind: &str, text: &str) -> String {
    format!(
        "Content-Type: text/{kind}; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n{}",
        encode::quoted_printable(text)
    )
}

/// Shown within the HTML where it has an id.
fn put_file(out: &mut String, boundary: &str, file: &Attached, id: &str) {
    let Attached { name, content_type, lines } = file;
    let name = encode::file_name(name);
    let (disposition, id) = match id {
        "" => ("attachment", String::new()),
        id => ("inline", format!("Content-ID: <{id}>\r\n")),
    };
    out.push_str(&format!(
        "\r\n--{boundary}\r\nContent-Type: {content_type}\r\n\
         Content-Transfer-Encoding: base64\r\n{id}\
         Content-Disposition: {disposition};{name}\r\n\r\n{lines}"
    ));
}

fn mailbox(name: &str, address: &str) -> String {
    match name {
        "" => format!("<{address}>"),
        name => format!("{} <{address}>", encode::phrase(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mime::Mime;

    fn letter(html: &str, names: &[(&str, &str)]) -> String {
        let attached: Vec<Attached> =
            names.iter().map(|(name, kind)| Attached::of(name, kind, b"octets")).collect();
        let content = CampaignContent {
            attachments: Vec::new(),
            data: serde_json::Map::new(),
            from: "news@shop.test".to_owned(),
            from_name: "Shop".to_owned(),
            reply_to: None,
            variants: Vec::new(),
        };
        let rendered =
            Rendered { subject: "Hi".to_owned(), html: html.to_owned(), text: "text".to_owned() };
        let letter = Letter {
            content: &content,
            to_name: "",
            to: "ann@a.test",
            rendered: &rendered,
            at: Timestamp(0),
            id: "7.8",
            more: &[],
            attached: &attached,
        };
        String::from_utf8(letter.bytes().to_vec()).expect("ASCII")
    }

    #[test]
    fn an_image_that_is_named_stands_within_the_html_and_other_files_beside_it() {
        let html = "<img src=\"cid:my logo.png\"><img src='cid:my%20logo.png'>";
        let files = [("my logo.png", "image/png"), ("terms.pdf", "application/pdf")];
        let mail = letter(html, &files);
        let mime = Mime::read(mail.as_bytes());
        let medias: Vec<&str> = mime.parts.iter().map(|part| part.media.as_str()).collect();
        assert_eq!(medias, ["text/plain", "text/html", "image/png", "application/pdf"], "{mail}");
        let shown = String::from_utf8_lossy(&mime.parts[1].content()).into_owned();
        assert_eq!(shown.matches("cid:0.7.8@shop.test").count(), 2, "{shown}");
        let id = mime.parts[2].fields.get("content-id");
        assert_eq!(id, Some("<0.7.8@shop.test>"));
        assert!(mail.contains("Content-Type: multipart/mixed;"));
        assert!(mail.contains("Content-Type: multipart/related; type=\"text/html\";"));
    }

    #[test]
    fn without_files_there_are_text_and_html_and_what_is_no_image_is_not_shown() {
        let medias = |mail: &str| -> Vec<String> {
            Mime::read(mail.as_bytes()).parts.into_iter().map(|part| part.media).collect()
        };
        let plain = letter("<p>x</p>", &[]);
        assert_eq!(medias(&plain), ["text/plain", "text/html"], "{plain}");
        assert!(!plain.contains("multipart/mixed") && !plain.contains("multipart/related"));
        let script = letter("<img src=\"cid:a.js\">", &[("a.js", "text/javascript")]);
        assert_eq!(medias(&script), ["text/plain", "text/html", "text/javascript"]);
        assert!(!script.contains("Content-ID"));
    }
}
