//! What a credential may do, beside having the right secret.

use serde::{Deserialize, Serialize};

use super::address::{Address, Domain};
use super::permission::Permission;
use super::time::Timestamp;

/// Kept as JSON; what is missing does not limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CredentialRules {
    /// What its holder may do over the API; `send` is also what SMTP needs.
    pub scopes: Vec<Permission>,
    /// Addresses and domains it may send as; empty: all of the organization's.
    pub senders: Vec<SenderRule>,
    /// Networks it may be used from, like `192.0.2.0/24`; empty: from everywhere.
    pub networks: Vec<String>,
    /// All its mail ends here: kept for two weeks to be looked at, and sent nowhere.
    pub capture: bool,
    /// Messages in an hour.
    pub rate_hour: Option<u32>,
    pub expires_at: Option<Timestamp>,
}

impl Default for CredentialRules {
    fn default() -> CredentialRules {
        CredentialRules {
            scopes: vec![Permission::Send, Permission::MessagesRead],
            senders: Vec::new(),
            networks: Vec::new(),
            capture: false,
            rate_hour: None,
            expires_at: None,
        }
    }
}

impl CredentialRules {
    pub fn permits(&self, permission: Permission) -> bool {
        self.scopes.contains(&permission)
    }

    pub fn may_send_as(&self, address: &Address) -> bool {
        self.senders.is_empty() || self.senders.iter().any(|rule| rule.covers(address))
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// `ann@shop.example`, or `shop.example` for every address of this very domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderRule {
    Address(Address),
    Domain(Domain),
}

impl SenderRule {
    fn covers(&self, address: &Address) -> bool {
        match self {
            SenderRule::Address(own) => own == address,
            SenderRule::Domain(own) => own == address.domain(),
        }
    }
}

impl std::fmt::Display for SenderRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SenderRule::Address(address) => address.fmt(f),
            SenderRule::Domain(domain) => domain.fmt(f),
        }
    }
}

impl std::str::FromStr for SenderRule {
    type Err = super::AddressError;
    fn from_str(text: &str) -> Result<SenderRule, Self::Err> {
        match text.contains('@') {
            true => Address::parse(text).map(SenderRule::Address),
            false => Domain::parse(text).map(SenderRule::Domain),
        }
    }
}

impl Serialize for SenderRule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SenderRule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for SenderRule {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

impl utoipa::ToSchema for SenderRule {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> CredentialRules {
        serde_json::from_str(text).expect("lawful")
    }

    #[test]
    fn rules_that_say_nothing_let_a_credential_send_and_read() {
        assert_eq!(rules("{}"), CredentialRules::default());
        assert!(rules("{}").permits(Permission::Send));
        assert!(!rules(r#"{"scopes": []}"#).permits(Permission::Send));
    }

    #[test]
    fn a_sender_is_an_address_or_all_of_a_domain_itself() {
        let rules = rules(r#"{"senders": ["ann@a.example", "b.example"]}"#);
        let may = |text: &str| rules.may_send_as(&Address::parse(text).expect("lawful"));
        assert!(may("ann@a.example") && may("anybody@b.example"));
        assert!(!may("bob@a.example") && !may("ann@sub.b.example"));
    }
}
