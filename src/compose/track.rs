//! Links and a pixel that tell of a reader, put into a mail just before it is sent.
//!
//! Owns:       which links are rewritten.
//! Promises:   a link leads on to where it led, without anything being looked up; links of ours,
//!             to addresses and within the mail stay as they are.
//! Knows not:  who follows them.

use std::cell::Cell;
use std::rc::Rc;

use lol_html::{HtmlRewriter, Settings, element};

use super::links::Links;
use crate::model::*;
use crate::token::{Claim, Use};

/// Of one mail; further ones are left as they are.
const LINKS_MAX: u8 = 250;
/// A link that is longer would be cut by some readers once it is wrapped.
const TARGET_BYTES_MAX: usize = 1500;

/// How many links of a mail have had their place.
pub(super) type Places = Rc<Cell<u8>>;

impl Links {
    /// The HTML with its links led through us, and with the pixel, as far as it is wanted. What
    /// cannot be read stays as it is.
    pub fn tracked(&self, html: String, claim: Claim, wanted: &CampaignTracking) -> String {
        self.tracked_from(html, claim, wanted, &Rc::default())
    }

    /// As `tracked`, for a part of a mail whose earlier parts have had their links counted.
    pub(super) fn tracked_from(
        &self,
        html: String,
        claim: Claim,
        wanted: &CampaignTracking,
        next: &Places,
    ) -> String {
        let html = match wanted.clicks || wanted.utm.is_some() {
            true => self.with_links(&html, claim, wanted, next).unwrap_or(html),
            false => html,
        };
        if !wanted.opens {
            return html;
        }
        let token = self.keys().link(Use::Open, claim, 0, "");
        let pixel = format!(
            "<img src=\"{}/o/{token}.gif\" width=\"1\" height=\"1\" alt=\"\" \
             style=\"display:block;border:0\">",
            self.base()
        );
        let end = html.to_ascii_lowercase().rfind("</body");
        let mut html = html;
        html.insert_str(end.unwrap_or(html.len()), &pixel);
        html
    }

    fn with_links(
        &self,
        html: &str,
        claim: Claim,
        wanted: &CampaignTracking,
        next: &Places,
    ) -> Option<String> {
        let own = format!("{}/", self.base());
        let handler = element!("a[href], area[href]", |element| {
            let Some(target) = element.get_attribute("href") else { return Ok(()) };
            let target = unescaped(&target);
            let scheme = target.split(':').next().unwrap_or_default().to_ascii_lowercase();
            let is_web = matches!(scheme.as_str(), "http" | "https");
            let is_ours = target.starts_with(&own);
            if !is_web || is_ours || target.len() > TARGET_BYTES_MAX || next.get() >= LINKS_MAX {
                return Ok(());
            }
            let target = tagged(target, wanted.utm.as_ref());
            let place = next.replace(next.get() + 1);
            let led = match wanted.clicks {
                true => format!("{own}c/{}", self.keys().link(Use::Click, claim, place, &target)),
                // Within an attribute.
                false => target.replace('&', "&amp;"),
            };
            element.set_attribute("href", &led)?;
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
        links().tracked(HTML.to_owned(), CLAIM, &wanted)
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
        let html = links().tracked(HTML.to_owned(), CLAIM, &wanted);
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
}
