//! What people say of mail that waits: rules that hold it, recipients that are traced.

use serde::{Deserialize, Serialize};

use super::address::{Address, Domain};
use super::ids::*;
use super::time::Timestamp;

/// An address, or all addresses of a domain; written `ann@example.com` or `@example.com`, in
/// lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// Also takes a domain without `@`. None for what is neither.
    pub fn parse(text: &str) -> Option<Pattern> {
        let text = text.trim();
        let pattern = match text.strip_prefix('@').or((!text.contains('@')).then_some(text)) {
            Some(domain) => format!("@{}", Domain::parse(domain).ok()?),
            None => Address::parse(text).ok()?.to_string(),
        };
        Some(Pattern(pattern.to_lowercase()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, address: &Address) -> bool {
        match self.0.strip_prefix('@') {
            Some(domain) => address.domain().as_str().eq_ignore_ascii_case(domain),
            None => address.to_string().to_lowercase() == self.0,
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Pattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Pattern, String> {
        Pattern::parse(text).ok_or_else(|| "must be an address or a domain".to_owned())
    }
}

impl Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which mail a rule holds: all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct HoldMatch {
    pub organization: Option<OrganizationId>,
    pub stream: Option<StreamId>,
    pub campaign: Option<CampaignId>,
    pub credential: Option<CredentialId>,
    pub tag: Option<String>,
    /// Of the envelope: an address, or a domain.
    #[schema(value_type = Option<String>)]
    pub sender: Option<Pattern>,
    #[schema(value_type = Option<String>)]
    pub recipient_domain: Option<Domain>,
}

/// Keeps mail waiting while it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HoldRule {
    pub id: HoldRuleId,
    #[serde(flatten)]
    pub matches: HoldMatch,
    /// Who looks at the mail reads it.
    pub reason: String,
    pub created_at: Timestamp,
}

/// To this recipient everything that is said is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trace {
    pub id: TraceId,
    pub organization: OrganizationId,
    #[schema(value_type = String)]
    pub recipient: Pattern,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_an_address_or_a_domain_in_any_case() {
        let matches = |pattern: &str, address: &str| {
            let address = Address::parse(address).expect("lawful");
            Pattern::parse(pattern).expect("lawful").matches(&address)
        };
        assert!(matches("Ann@Example.com", "ann@example.com"));
        assert!(
            matches("@example.com", "Ann@EXAMPLE.com") && matches("example.com", "b@example.com")
        );
        assert!(!matches("example.com", "b@sub.example.com"));
        assert!(!matches("ann@example.com", "bob@example.com"));
        for wrong in ["", "@", "a b", "ann@", "@a@b"] {
            assert_eq!(Pattern::parse(wrong), None, "{wrong}");
        }
    }
}
