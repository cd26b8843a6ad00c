//! Mail addresses and domains: one parser for listener, API, suppression and routing alike.
//!
//! Owns:       RFC 5321 §4.1.2 mailbox grammar with RFC 6531 UTF-8, and what of it we refuse.
//! Promises:   one domain for each address, taken after the last unquoted `@`; print and parse
//!             are inverse; no control character, bare CR, LF or NUL gets in.
//! Knows not:  whether an address exists.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// RFC 5321 §4.5.3.1.1.
const LOCAL_BYTES_MAX: usize = 64;
/// RFC 5321 §4.5.3.1.2.
const DOMAIN_BYTES_MAX: usize = 255;
/// RFC 1035 §2.3.4.
const LABEL_BYTES_MAX: usize = 63;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("no '@' in the address")]
    NoAt,
    #[error("the part before '@' is empty, too long or holds a character that is not allowed")]
    Local,
    #[error("the domain is empty, too long or not a domain name")]
    Domain,
    #[error("an address literal such as [192.0.2.1] is not a domain that mail can be sent to")]
    Literal,
}

/// A domain name in A-labels and lower case, without a final dot: `xn--bcher-kva.example`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Box<str>);

impl Domain {
    /// From A-labels or U-labels of any case (UTS 46, non-transitional).
    pub fn parse(text: &str) -> Result<Domain, AddressError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.starts_with('[') {
            return Err(AddressError::Literal);
        }
        if is_plain(text) {
            return lawful(text).then(|| Domain(text.into())).ok_or(AddressError::Domain);
        }
        let ascii = idna::domain_to_ascii(text).map_err(|_| AddressError::Domain)?;
        if lawful(&ascii) { Ok(Domain(ascii.into())) } else { Err(AddressError::Domain) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In U-labels, for people.
    pub fn to_unicode(&self) -> String {
        idna::domain_to_unicode(&self.0).0
    }

    /// This domain is `parent` or lies below it.
    pub fn is_within(&self, parent: &Domain) -> bool {
        let (own, parent) = (self.as_str(), parent.as_str());
        own == parent || own.strip_suffix(parent).is_some_and(|head| head.ends_with('.'))
    }
}

fn is_plain(text: &str) -> bool {
    !text.contains("xn--")
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_'))
}

/// RFC 1123 labels; `_` is allowed because real hosts carry it.
fn lawful(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= DOMAIN_BYTES_MAX
        && text.split('.').all(|label| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
        // An all-numeric last label would be an IPv4 address written bare.
        && !text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl std::fmt::Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Domain {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Domain, AddressError> {
        Domain::parse(text)
    }
}

/// `local@domain`. The local part is kept without its quotes and quoted again when printed.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    local: Box<str>,
    domain: Domain,
}

impl Address {
    /// `a@b.example`, `"a b"@b.example`, `ü@bücher.example`. No angle brackets, no route, no
    /// address literal.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let (local, domain) = split(text)?;
        let domain = Domain::parse(domain)?;
        let local = match local.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None if is_dot_atom(local) => local.to_owned(),
            None => return Err(AddressError::Local),
        };
        if local.is_empty() || local.len() > LOCAL_BYTES_MAX {
            return Err(AddressError::Local);
        }
        Ok(Address { local: local.into(), domain })
    }

    pub fn local(&self) -> &str {
        &self.local
    }

    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The local part as it may stand on the wire: quoted where it must be.
    fn quoted_local(&self) -> std::borrow::Cow<'_, str> {
        if is_dot_atom(&self.local) {
            return (&*self.local).into();
        }
        let mut quoted = String::with_capacity(self.local.len() + 4);
        quoted.push('"');
        for c in self.local.chars() {
            if matches!(c, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('"');
        quoted.into()
    }

    /// The local part cannot be said in ASCII, so the mail needs SMTPUTF8 (RFC 6531).
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }
}

/// At the last `@` that does not stand in a quoted local part.
fn split(text: &str) -> Result<(&str, &str), AddressError> {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.rsplit_once('@').ok_or(AddressError::NoAt);
    };
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let (local, rest) = text.split_at(at + 2);
                return match rest.strip_prefix('@') {
                    Some(domain) => Ok((local, domain)),
                    None => Err(AddressError::Local),
                };
            }
            _ => {}
        }
    }
    Err(AddressError::Local)
}

/// `quoted` follows the opening quote and ends with the closing one.
fn unquote(quoted: &str) -> Result<String, AddressError> {
    let inner = quoted.strip_suffix('"').ok_or(AddressError::Local)?;
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' { chars.next().ok_or(AddressError::Local)? } else { c };
        if c.is_control() {
            return Err(AddressError::Local);
        }
        plain.push(c);
    }
    Ok(plain)
}

/// RFC 5321 Dot-string, with the UTF-8 of RFC 6531 as atom text.
fn is_dot_atom(text: &str) -> bool {
    !text.is_empty() && text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.quoted_local(), self.domain)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Address, AddressError> {
        Address::parse(text)
    }
}

/// The envelope sender: `None` is `<>`, to which nothing is ever reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReversePath(pub Option<Address>);

impl ReversePath {
    pub const NULL: ReversePath = ReversePath(None);

    /// The empty text is the null sender.
    pub fn parse(text: &str) -> Result<ReversePath, AddressError> {
        if text.is_empty() {
            return Ok(ReversePath::NULL);
        }
        Address::parse(text).map(|address| ReversePath(Some(address)))
    }
}

/// Without angle brackets; the null sender prints as nothing.
impl std::fmt::Display for ReversePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |address| address.fmt(f))
    }
}

macro_rules! serde_as_text {
    ($($name:ident)*) => {$(
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                String::schema()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                $name::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(Domain Address ReversePath);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_domain_is_what_follows_the_last_unquoted_at() {
        let address = Address::parse("\"a@evil.example\"@good.example").expect("lawful");
        assert_eq!(address.domain().as_str(), "good.example");
        assert_eq!(address.local(), "a@evil.example");
        assert_eq!(address.to_string(), "\"a@evil.example\"@good.example");
    }

    #[test]
    fn unlawful_addresses_are_refused() {
        for text in [
            "",
            "a",
            "@",
            "a@",
            "@b.example",
            "a b@c.example",
            "a@b..example",
            "a@-b.example",
            "a@b.example\r\nRCPT TO:<x@y.example>",
            "a@b.example\0",
            "\"a\rb\"@c.example",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@@b.example",
            "\"a\"b@c.example",
            ".a@b.example",
            "@relay.example:a@b.example",
            "<a@b.example>",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_domain_is_the_same_in_u_labels_a_labels_and_any_case() {
        let one = Domain::parse("Bücher.EXAMPLE.").expect("lawful");
        assert_eq!(one, Domain::parse("xn--bcher-kva.example").expect("lawful"));
        assert_eq!(one.to_unicode(), "bücher.example");
    }

    #[test]
    fn a_domain_is_within_itself_and_its_parents_only() {
        let parent = Domain::parse("b.example").expect("lawful");
        assert!(Domain::parse("a.b.example").is_ok_and(|d| d.is_within(&parent)));
        assert!(!Domain::parse("ab.example").is_ok_and(|d| d.is_within(&parent)));
    }

    proptest! {
        #[test]
        fn what_parses_prints_and_parses_the_same(text in "[a-z\"\\\\@. ü]{1,12}@[a-z.]{1,9}") {
            if let Ok(address) = Address::parse(&text) {
                let printed = address.to_string();
                prop_assert_eq!(Address::parse(&printed), Ok(address));
            }
        }

        #[test]
        fn no_input_panics_and_no_control_character_passes(text in "\\PC*|[\\x00-\\x40@]{0,40}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert!(!address.to_string().chars().any(char::is_control));
            }
        }
    }
}
