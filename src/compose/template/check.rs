//! What is looked at before a launch: nothing here stops a template from being saved.

use serde::{Deserialize, Serialize};

use super::{Rendered, Template};
use crate::model::state::words;

/// Gmail shows no more of a mail's HTML.
const CLIP_BYTES: usize = 102 * 1024;
const SUBJECT_LETTERS_USUAL: usize = 70;

words! {
    Weight {
        /// A launch is refused.
        Wrong = "wrong",
        /// A launch is allowed.
        Doubtful = "doubtful",
    }
}

/// Something that a person should know before a launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Check {
    pub weight: Weight,
    pub why: String,
}

/// Of a template, and of one mail that it became.
pub fn checks(template: &Template, rendered: &Rendered) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut tell = |weight, why: String| checks.push(Check { weight, why });
    if !template.has_unsubscribe {
        let why = "nothing leads to unsubscribing: put {{ unsubscribe_url }} into a link";
        tell(Weight::Wrong, why.to_owned());
    }
    if rendered.subject.trim().is_empty() {
        tell(Weight::Wrong, "the subject is empty".to_owned());
    }
    let letters = rendered.subject.chars().count();
    if letters > SUBJECT_LETTERS_USUAL {
        tell(Weight::Doubtful, format!("the subject has {letters} letters; many are cut at 70"));
    }
    let bytes = rendered.html.len();
    if bytes > CLIP_BYTES {
        tell(Weight::Doubtful, format!("{bytes} octets of HTML; Gmail cuts it at 102 KiB"));
    }
    if rendered.text.trim().is_empty() {
        tell(Weight::Doubtful, "the text part is empty".to_owned());
    }
    let tags = tags(&rendered.html);
    let images = || tags.iter().filter(|tag| tag.starts_with("img"));
    let without_words = images().filter(|tag| !tag.contains("alt=")).count();
    if without_words > 0 {
        tell(Weight::Doubtful, format!("{without_words} images without words in alt"));
    }
    if images().count() > 0 && letters_outside_tags(&rendered.html) < 100 {
        let why = "hardly any text beside the images: many readers do not load them";
        tell(Weight::Doubtful, why.to_owned());
    }
    let is_plain = |tag: &&&str| tag.contains("href=\"http://") || tag.contains("src=\"http://");
    let plain = tags.iter().filter(is_plain).count();
    if plain > 0 {
        tell(Weight::Doubtful, format!("{plain} links without TLS (http://)"));
    }
    let nowhere = |tag: &&&str| tag.starts_with("a ") && tag.contains("href=\"\"");
    let empty = tags.iter().filter(nowhere).count();
    if empty > 0 {
        tell(Weight::Doubtful, format!("{empty} links lead nowhere for this contact"));
    }
    checks
}

/// What stands between `<` and `>`.
fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).filter_map(|rest| rest.split('>').next()).collect()
}

fn letters_outside_tags(html: &str) -> usize {
    let body = html.split("<body").nth(1).unwrap_or(html);
    let texts = body.split('<').skip(1).filter_map(|rest| rest.split('>').nth(1));
    texts.map(|text| text.trim().chars().count()).sum()
}
