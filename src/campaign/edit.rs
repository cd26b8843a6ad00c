//! What a person or a program says about a contact, made into what the store writes.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Schema, Unlawful};
use crate::contacts;
use crate::model::*;
use crate::store::{Consent, ContactWrite};

const NAME_BYTES_MAX: usize = 300;
const TAG_BYTES_MAX: usize = 100;
const WORDING_BYTES_MAX: usize = 2000;
/// Said of an address that its organization does not take.
pub const DOMAIN_REFUSED: &str = "addresses of this domain are not taken as contacts";
/// Names in one call.
const NAMES_MAX: usize = 100;

/// What may be said about a contact. What is missing stays as it is; an empty text or null takes
/// a value away.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContactInput {
    pub name: Option<String>,
    /// As in `de` or `pt-BR`.
    pub language: Option<String>,
    /// As in `Europe/Berlin`.
    pub time_zone: Option<String>,
    pub status: Option<ContactStatus>,
    /// Values by the names of their fields.
    pub fields: Map<String, Value>,
    /// Lists to subscribe to; this asks for `consent`.
    pub subscribe: Vec<ListId>,
    pub unsubscribe: Vec<ListId>,
    pub tags: Vec<String>,
    pub untag: Vec<String>,
    pub consent: Option<ConsentInput>,
}

/// How the person agreed.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentInput {
    /// Where: `checkout`, `form on /about`, `by telephone`.
    pub source: String,
    /// The address of the person's computer.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// The words that were agreed to, or the version of the form.
    #[serde(default)]
    pub wording: String,
    /// The person has confirmed from the mailbox: lists with double opt-in ask for that.
    #[serde(default)]
    pub confirmed: bool,
    /// The person asks anew after having unsubscribed.
    #[serde(default)]
    pub again: bool,
}

/// An address as contacts have it: lawful, in lower case.
pub fn email(text: &str) -> Result<String, Unlawful> {
    let address = Address::parse(text.trim());
    let address = address.map_err(|why| Unlawful::of("email", why.to_string()))?;
    Ok(address.to_string().to_lowercase())
}

pub fn name(text: &str) -> Result<String, Unlawful> {
    let text = text.trim();
    if text.len() > NAME_BYTES_MAX || text.contains(char::is_control) {
        return Err(Unlawful::of("name", "must be at most 300 octets, without control characters"));
    }
    Ok(text.to_owned())
}

/// None where the text is empty: the value is taken away.
pub fn language(text: &str) -> Result<Option<String>, Unlawful> {
    let text = text.trim();
    let is_tag = (2..=35).contains(&text.len())
        && text.split('-').all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        });
    match text {
        "" => Ok(None),
        _ if is_tag => Ok(Some(text.to_owned())),
        _ => Err(Unlawful::of("language", "must be a tag like de or pt-BR (BCP 47)")),
    }
}

/// None where the text is empty.
pub fn time_zone(text: &str) -> Result<Option<String>, Unlawful> {
    let text = text.trim();
    let is_name =
        text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b));
    let zones = jiff::tz::db();
    // A system without zones cannot tell which there are.
    let is_known = zones.get(text).is_ok() || zones.get("Europe/Berlin").is_err();
    match text {
        "" => Ok(None),
        _ if is_name && is_known => Ok(Some(text.to_owned())),
        _ => Err(Unlawful::of("time_zone", "must be a name like Europe/Berlin")),
    }
}

pub fn tag(text: &str) -> Result<String, Unlawful> {
    let text = text.trim();
    if !(1..=TAG_BYTES_MAX).contains(&text.len()) || text.contains(char::is_control) {
        return Err(Unlawful::of("tags", "a tag is 1 to 100 octets of text"));
    }
    Ok(text.to_owned())
}

/// Tags that are put on, as they are to be made first.
pub fn new_tags(schema: &Schema, input: &ContactInput) -> Result<Vec<String>, Unlawful> {
    let mut names = Vec::new();
    for text in &input.tags {
        let name = tag(text)?;
        if schema.tag(&name).is_none() && !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// `row` with all that `input` says. The schema has the tags that are put on.
pub fn applied(
    schema: &Schema,
    mut row: ContactWrite,
    input: &ContactInput,
) -> Result<ContactWrite, Unlawful> {
    let names = [input.subscribe.len(), input.unsubscribe.len(), input.tags.len()];
    if names.iter().sum::<usize>() > NAMES_MAX || input.untag.len() > NAMES_MAX {
        return Err(Unlawful::of("subscribe", format!("at most {NAMES_MAX} lists and tags")));
    }
    row.name = input.name.as_deref().map(name).transpose()?;
    row.language = input.language.as_deref().map(language).transpose()?;
    row.time_zone = input.time_zone.as_deref().map(time_zone).transpose()?;
    row.status = input.status;
    for (name, value) in &input.fields {
        let at = format!("fields.{name}");
        let field = schema.field(name);
        let field = field.ok_or_else(|| Unlawful::of(at.clone(), "there is no such field"))?;
        let value = match value {
            Value::Null => None,
            value => {
                let wrong = |why: String| Unlawful::of(at.clone(), why);
                let value = FieldValue::from_json(field, value).map_err(wrong)?;
                let kept = contacts::kept(field, &value, &schema.sealer);
                Some(kept.map_err(|why| wrong(why.to_string()))?)
            }
        };
        row.values.push((field.id, field.slot, value));
    }
    for list in &input.subscribe {
        let none = || Unlawful::of("subscribe", format!("there is no list {list}"));
        let list = schema.list(*list).ok_or_else(none)?;
        let consent = input.consent.as_ref();
        let consent = consent.ok_or_else(|| Unlawful::of("consent", "how did he agree?"))?;
        row.memberships.push((list.id, subscribed_status(list.opt_in, consent.confirmed)));
    }
    for list in &input.unsubscribe {
        let none = || Unlawful::of("unsubscribe", format!("there is no list {list}"));
        let list = schema.list(*list).ok_or_else(none)?;
        row.memberships.push((list.id, MembershipStatus::Unsubscribed));
    }
    for (names, on) in [(&input.tags, true), (&input.untag, false)] {
        let known = names.iter().filter_map(|name| schema.tag(name.trim()));
        row.tags.extend(known.map(|tag| (tag.id, on)));
    }
    Ok(row)
}

/// What a subscription is worth before it was confirmed.
pub const fn subscribed_status(opt_in: OptIn, confirmed: bool) -> MembershipStatus {
    match (opt_in, confirmed) {
        (OptIn::Double, false) => MembershipStatus::Unconfirmed,
        _ => MembershipStatus::Subscribed,
    }
}

/// The record of how the statuses came about.
pub fn consent(input: &ContactInput) -> Result<Consent, Unlawful> {
    let Some(consent) = &input.consent else {
        let source = "by hand".to_owned();
        let action = ConsentAction::Unsubscribed;
        return Ok(Consent::Each { action, source, address: None, wording: String::new() });
    };
    if consent.source.trim().is_empty() || consent.source.len() > NAME_BYTES_MAX {
        return Err(Unlawful::of("consent.source", "must be 1 to 300 octets"));
    }
    if consent.wording.len() > WORDING_BYTES_MAX || consent.wording.contains('\0') {
        return Err(Unlawful::of("consent.wording", "must be at most 2000 octets"));
    }
    let action =
        if consent.confirmed { ConsentAction::Confirmed } else { ConsentAction::Subscribed };
    Ok(Consent::Each {
        action,
        source: consent.source.trim().to_owned(),
        address: consent.address.map(|address| address.to_string()),
        wording: consent.wording.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_in_lower_case_and_an_unlawful_one_is_refused() {
        assert_eq!(email(" Ann.O@Example.COM ").as_deref(), Ok("ann.o@example.com"));
        for wrong in ["", "ann", "ann@", "a b@example.com", "ann@example.com\r\nBcc: x@y.z"] {
            assert!(email(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn languages_and_zones_are_names_that_there_are() {
        assert_eq!(language("pt-BR"), Ok(Some("pt-BR".to_owned())));
        assert_eq!(language(""), Ok(None));
        assert!(language("<b>").is_err() && language("d").is_err());
        assert_eq!(time_zone("Europe/Berlin"), Ok(Some("Europe/Berlin".to_owned())));
        assert!(time_zone("../../etc/passwd").is_err());
    }

    #[test]
    fn double_opt_in_waits_for_the_mailbox() {
        let status = subscribed_status;
        assert_eq!(status(OptIn::Double, false), MembershipStatus::Unconfirmed);
        assert_eq!(status(OptIn::Double, true), MembershipStatus::Subscribed);
        assert_eq!(status(OptIn::Single, false), MembershipStatus::Subscribed);
    }
}
