//! Links and a pixel that tell of a reader, put into a mail just before it is sent.
//!
//! Owns:       which links are rewritten, and to what, in HTML and in plain text alike.
//! Promises:   a link leads on to where it led, without anything being looked up; links of ours,
//!             to addresses and within the mail stay as they are.
//! Knows not:  who follows them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use lol_html::{HtmlRewriter, Settings, element};

use super::links::Links;
use super::text_links;
use crate::model::*;
use crate::token::{Claim, Use};

/// Of one mail; further ones are left as they are.
const LINKS_MAX: u8 = 250;
/// A link that is longer would be cut by some readers once it is wrapped.
const TARGET_BYTES_MAX: usize = 1500;
/// What is signed within the text is not changed (RFC 4880 §7).
const SIGNED: &str = "-----BEGIN PGP ";

/// The links of a mail that have had their place.
#[derive(Default)]
pub(super) struct Places {
    next: u8,
    /// The first place of each target.
    first: HashMap<String, u8>,
}

impl Places {
    /// Each link of the HTML has its own, which is what a map of the mail shows.
    fn own(&mut self, target: &str) -> Option<u8> {
        let place = self.next;
        if place >= LINKS_MAX {
            return None;
        }
        self.next += 1;
        self.first.entry(target.to_owned()).or_insert(place);
        Some(place)
    }

    /// A link of the text is the same as that of the HTML which leads there.
    fn shared(&mut self, target: &str) -> Option<u8> {
        self.first.get(target).copied().or_else(|| self.own(target))
    }
}

/// What is put into the links of one mail.
pub(super) struct Telling<'l> {
    pub links: &'l Links,
    pub claim: Claim,
    pub wanted: CampaignTracking,
    pub places: Rc<RefCell<Places>>,
}

impl Links {
    /// HTML and text with their links led through us, and with the pixel, as far as it is wanted.
    /// What cannot be read stays as it is.
    pub fn tracked(
        &self,
        (html, text): (String, String),
        claim: Claim,
        wanted: &CampaignTracking,
    ) -> (String, String) {
        let (wanted, places) = (wanted.clone(), Rc::default());
        let telling = Telling { links: self, claim, wanted, places };
        let html = telling.html(html);
        let text = telling.text(&text).unwrap_or(text);
        (html, text)
    }
}

impl Telling<'_> {
    pub fn html(&self, html: String) -> String {
        let html = match self.changes_links() {
            true => self.with_links(&html).unwrap_or(html),
            false => html,
        };
        if !self.wanted.opens {
            return html;
        }
        let token = self.links.keys().link(Use::Open, self.claim, 0, "");
        let pixel = format!(
            "<img src=\"{}/o/{token}.gif\" width=\"1\" height=\"1\" alt=\"\" \
             style=\"display:block;border:0\">",
            self.links.base()
        );
        let end = html.to_ascii_lowercase().rfind("</body");
        let mut html = html;
        html.insert_str(end.unwrap_or(html.len()), &pixel);
        html
    }

    /// The text; None where no link of it is another now.
    pub fn text(&self, text: &str) -> Option<String> {
        if !self.changes_links() || text.contains(SIGNED) {
            return None;
        }
        let mut told = String::new();
        let mut copied = 0;
        for place in text_links::links(text) {
            let shared = |places: &mut Places, target: &str| places.shared(target);
            let Some(led) = self.led(&text[place.clone()], shared) else { continue };
            told.push_str(&text[copied..place.start]);
            told.push_str(&led);
            copied = place.end;
        }
        if copied == 0 {
            return None;
        }
        told.push_str(&text[copied..]);
        Some(told)
    }

    fn changes_links(&self) -> bool {
        self.wanted.clicks || self.wanted.utm.is_some()
    }

    /// What stands in place of a link that leads there; None: it stays as it is.
    fn led(
        &self,
        target: &str,
        place: impl FnOnce(&mut Places, &str) -> Option<u8>,
    ) -> Option<String> {
        let scheme = target.split(':').next().unwrap_or_default();
        let is_web = ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web));
        let own = format!("{}/", self.links.base());
        if !is_web || target.starts_with(&own) || target.len() > TARGET_BYTES_MAX {
            return None;
        }
        let place = place(&mut self.places.borrow_mut(), target)?;
        let target = tagged(target.to_owned(), self.wanted.utm.as_ref());
        Some(match self.wanted.clicks {
            true => {
                let token = self.links.keys().link(Use::Click, self.claim, place, &target);
                format!("{own}c/{token}")
            }
            false => target,
        })
    }

    fn with_links(&self, html: &str) -> Option<String> {
        let handler = element!("a[href], area[href]", |element| {
            let Some(target) = element.get_attribute("href") else { return Ok(()) };
            let own = |places: &mut Places, target: &str| places.own(target);
            if let Some(led) = self.led(&unescaped(&target), own) {
                // Within an attribute.
                element.set_attribute("href", &led.replace('&', "&amp;"))?;
            }
            Ok(())
        });
        let mut output = Vec::with_capacity(html.len() * 2);
        let settings = Settings::new().append_element_content_handler(handler);
        let mut rewriter =
            HtmlRewriter::new(settings, |octets: &[u8]| output.extend_from_slice(octets));
        rewriter.write(html.as_bytes()).ok()?;
        rewriter.end().ok()?;
        String::from_utf8(output).ok()
    }
}

/// With the parameters, unless the link has such of its own. What stands behind `#` stays there.
fn tagged(target: String, utm: Option<&Utm>) -> String {
    let Some(utm) = utm.filter(|_| !target.contains("utm_source=")) else { return target };
    let (link, rest) = match target.split_once('#') {
        Some((link, rest)) => (link, format!("#{rest}")),
        None => (target.as_str(), String::new()),
    };
    let mut link = link.to_owned();
    for (name, value) in [
        ("utm_source", Some(&utm.source)),
        ("utm_medium", utm.medium.as_ref()),
        ("utm_campaign", utm.campaign.as_ref()),
    ] {
        let Some(value) = value else { continue };
        let mark = if link.contains('?') { '&' } else { '?' };
        link.push(mark);
        link.push_str(name);
        link.push('=');
        for octet in value.bytes() {
            match octet {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    link.push(char::from(octet));
                }
                _ => link.push_str(&format!("%{octet:02X}")),
            }
        }
    }
    link + &rest
}

/// What stands in an attribute is escaped: `&amp;` between the parts of a query.
fn unescaped(value: &str) -> String {
    let mut text = value.to_owned();
    for (escaped, plain) in
        [("&quot;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")]
    {
        text = text.replace(escaped, plain);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Keys;
    use std::sync::Arc;

    const CLAIM: Claim = Claim { message: MessageId(7), delivery: DeliveryId(8) };
    const HTML: &str = "<html><body><a href=\"https://shop.test/?a=1&amp;b=2\">x</a>\
        <a href=\"mailto:a@b.test\">m</a><a href=\"#top\">t</a>\
        <a href=\"https://post.test/u/token\">leave</a></body></html>";

    fn links() -> Links {
        Links::new("https://post.test/", Arc::new(Keys::standing(1)))
    }

    fn tracked(opens: bool, clicks: bool) -> String {
        let wanted = CampaignTracking { opens, clicks, anonymous: false, utm: None };
        links().tracked((HTML.to_owned(), String::new()), CLAIM, &wanted).0
    }

    #[test]
    fn a_link_leads_through_us_to_where_it_led() {
        let html = tracked(false, true);
        let (_, rest) = html.split_once("https://post.test/c/").expect("a tracked link");
        let (token, _) = rest.split_once('"').expect("its end");
        let target = links().clicked(token).expect("signed");
        assert_eq!(target, (CLAIM, 0, "https://shop.test/?a=1&b=2".to_owned()));
        assert_eq!(html.matches("/c/").count(), 1, "{html}");
        for kept in ["mailto:a@b.test", "#top", "https://post.test/u/token"] {
            assert!(html.contains(&format!("href=\"{kept}\"")), "{html}");
        }
    }

    #[test]
    fn links_say_where_their_reader_comes_from() {
        let utm = Utm {
            source: "news letter".to_owned(),
            medium: Some("email".to_owned()),
            campaign: None,
        };
        for (link, expected) in [
            ("https://a.test/x", "https://a.test/x?utm_source=news%20letter&utm_medium=email"),
            (
                "https://a.test/?b=1#top",
                "https://a.test/?b=1&utm_source=news%20letter&utm_medium=email#top",
            ),
            ("https://a.test/?utm_source=own", "https://a.test/?utm_source=own"),
        ] {
            assert_eq!(tagged(link.to_owned(), Some(&utm)), expected);
            assert_eq!(tagged(link.to_owned(), None), link);
        }
        let wanted =
            CampaignTracking { opens: false, clicks: false, anonymous: false, utm: Some(utm) };
        let both = (HTML.to_owned(), String::new());
        let (html, _) = links().tracked(both, CLAIM, &wanted);
        assert!(html.contains("?a=1&amp;b=2&amp;utm_source=news%20letter"), "{html}");
        assert!(html.contains("https://post.test/u/token\""), "ours stay as they are: {html}");
    }

    #[test]
    fn the_pixel_stands_before_the_end_and_only_where_it_is_wanted() {
        assert_eq!(tracked(false, false), HTML);
        let html = tracked(true, false);
        assert!(html.ends_with("border:0\"></body></html>"), "{html}");
        let (_, rest) = html.split_once("https://post.test/o/").expect("a pixel");
        let (token, _) = rest.split_once(".gif").expect("its end");
        assert_eq!(links().opened(token), Some(CLAIM));
        assert_eq!(links().clicked(token), None, "a pixel leads nowhere");
    }
    /// Place and target of each link of ours, in order.
    fn told(text: &str) -> Vec<(u8, String)> {
        let tokens = text.split("https://post.test/c/").skip(1).map(|rest| {
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && !"-_".contains(letter));
            let clicked = links().clicked(&rest[..end.unwrap_or(rest.len())]);
            let (_, place, target) = clicked.expect("signed");
            (place, target)
        });
        tokens.collect()
    }

    #[test]
    fn links_of_the_text_lead_as_those_of_the_html_and_have_their_places() {
        let html = "<a href=\"https://a.test/\">a</a><a href=\"https://b.test/?x=1&amp;y=2\">b</a>\
            <a href=\"https://a.test/\">again</a>";
        let text = "B (https://b.test/?x=1&y=2), <https://a.test/>; https://c.test/.\r\n\
            Leave: https://post.test/u/token\r\nhttps://c.test/\r\n";
        let wanted = CampaignTracking { opens: true, clicks: true, anonymous: false, utm: None };
        let both = (html.to_owned(), text.to_owned());
        let (html, told_text) = links().tracked(both, CLAIM, &wanted);
        let at = |place, target: &str| (place, target.to_owned());
        let (a, b, c) = ("https://a.test/", "https://b.test/?x=1&y=2", "https://c.test/");
        assert_eq!(told(&html), [at(0, a), at(1, b), at(2, a)]);
        assert_eq!(told(&told_text), [at(1, b), at(0, a), at(3, c), at(3, c)]);
        assert!(told_text.starts_with("B (https://post.test/c/"), "{told_text}");
        assert!(told_text.contains(">; https://post.test/c/") && told_text.contains(".\r\nLeave"));
        assert!(told_text.contains("https://post.test/u/token\r\n"), "ours stay: {told_text}");
        assert_eq!(told_text.matches("/o/").count(), 0, "text shows no pixel");
    }

    #[test]
    fn text_that_is_signed_or_has_nothing_to_tell_stays_as_it_is() {
        let telling = |opens, clicks| {
            let wanted = CampaignTracking { opens, clicks, anonymous: false, utm: None };
            let both = (String::new(), "https://a.test/".to_owned());
            links().tracked(both, CLAIM, &wanted).1
        };
        assert_eq!(telling(true, false), "https://a.test/");
        assert_ne!(telling(false, true), "https://a.test/");
        let wanted = CampaignTracking { opens: false, clicks: true, anonymous: false, utm: None };
        let signed = "-----BEGIN PGP SIGNED MESSAGE-----\n\nhttps://a.test/\n";
        let both = (String::new(), signed.to_owned());
        assert_eq!(links().tracked(both, CLAIM, &wanted).1, signed);
        let utm = Utm { source: "n".to_owned(), medium: None, campaign: None };
        let tagged = CampaignTracking { clicks: false, utm: Some(utm), ..wanted };
        let both = (String::new(), "https://a.test/?b=1.".to_owned());
        assert_eq!(links().tracked(both, CLAIM, &tagged).1, "https://a.test/?b=1&utm_source=n.");
    }
}
