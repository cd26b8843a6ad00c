//! A rendered template as a whole mail: header, text part, HTML part.
//!
//! Owns:       the form of what we write ourselves.
//! Promises:   seven bits, short lines; the same letter is the same octets.
//! Knows not:  who it is for, what else stands in its header.

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
        let boundary = format!("=_{}", self.id);
        let around = format!("=+{}", self.id);
        let alternative = format!("multipart/alternative;\r\n boundary=\"{boundary}\"");
        if self.attached.is_empty() {
            put("Content-Type", &alternative);
        } else {
            put("Content-Type", &format!("multipart/mixed;\r\n boundary=\"{around}\""));
            mail.push_str(&format!("\r\n--{around}\r\nContent-Type: {alternative}\r\n"));
        }
        for (kind, text) in [("plain", &rendered.text), ("html", &rendered.html)] {
            mail.push_str(&format!(
                "\r\n--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\n\
                 Content-Transfer-Encoding: quoted-printable\r\n\r\n"
            ));
            mail.push_str(&encode::quoted_printable(text));
        }
        mail.push_str(&format!("\r\n--{boundary}--\r\n"));
        for one in self.attached {
            let Attached { name, content_type, lines } = one;
            let disposition = encode::file_name(name);
            mail.push_str(&format!(
                "\r\n--{around}\r\nContent-Type: {content_type}\r\n\
                 Content-Transfer-Encoding: base64\r\n\
                 Content-Disposition: attachment;{disposition}\r\n\r\n{lines}"
            ));
        }
        if !self.attached.is_empty() {
            mail.push_str(&format!("--{around}--\r\n"));
        }
        Bytes::from(mail)
    }
}

fn mailbox(name: &str, address: &str) -> String {
    match name {
        "" => format!("<{address}>"),
        name => format!("{} <{address}>", encode::phrase(name)),
    }
}
