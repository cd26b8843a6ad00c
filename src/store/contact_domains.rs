//! Which domains' addresses an organization takes as contacts.
//!
//! Owns:       the table `contact_domains`, what a pattern means.
//! Promises:   an organization without a row takes all; what is blocked goes before what is
//!             allowed.
//! Knows not:  who asks to become a contact.

use serde::{Deserialize, Serialize};

use crate::model::*;

use super::changes::RowWrite;
use super::dialect::Statement;
use super::error::{Result, StoreError};
use super::{Store, collect};

/// Domains as `example.com`, or `*.example.com` for all below it; `*.shop` is a whole top level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContactDomains {
    /// If there are any, no others are taken.
    #[schema(max_items = 1000)]
    pub allowed: Vec<String>,
    #[schema(max_items = 1000)]
    pub blocked: Vec<String>,
}

impl ContactDomains {
    /// The address is in lower case.
    pub fn takes(&self, email: &str) -> bool {
        let domain = email.rsplit('@').next().unwrap_or_default();
        let is_among = |patterns: &[String]| patterns.iter().any(|one| matches(one, domain));
        !is_among(&self.blocked) && (self.allowed.is_empty() || is_among(&self.allowed))
    }
}

fn matches(pattern: &str, domain: &str) -> bool {
    match pattern.strip_prefix('*') {
        // With its dot, so that it is below and not only alike.
        Some(end) => domain.len() > end.len() && domain.ends_with(end),
        None => domain == pattern,
    }
}

pub static DOMAINS_OF_CONTACTS: Statement =
    Statement::new("SELECT allowed, blocked FROM contact_domains WHERE organization = $1");
pub static SET_DOMAINS_OF_CONTACTS: Statement = Statement::new(
    "INSERT INTO contact_domains (organization, allowed, blocked) VALUES ($1, $2, $3) \
     ON CONFLICT (organization) DO UPDATE SET allowed = excluded.allowed, \
     blocked = excluded.blocked",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&DOMAINS_OF_CONTACTS, &SET_DOMAINS_OF_CONTACTS];

impl Store {
    pub async fn contact_domains(&self, organization: OrganizationId) -> Result<ContactDomains> {
        let rows = self.read(&DOMAINS_OF_CONTACTS, vec![organization.0.into()]).await?;
        let found = collect(rows, |row| {
            let names = |text: String| serde_json::from_str(&text).map_err(StoreError::broken_row);
            Ok(ContactDomains { allowed: names(row.text(0)?)?, blocked: names(row.text(1)?)? })
        })?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    pub async fn set_contact_domains(
        &self,
        organization: OrganizationId,
        domains: &ContactDomains,
    ) -> Result<()> {
        let text = |names: &[String]| serde_json::json!(names).to_string().into();
        let values = vec![organization.0.into(), text(&domains.allowed), text(&domains.blocked)];
        self.write(vec![RowWrite::new(&SET_DOMAINS_OF_CONTACTS, values)]).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_blocked_goes_before_what_is_allowed() {
        let names = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        let of = |allowed: &[&str], blocked: &[&str]| ContactDomains {
            allowed: names(allowed),
            blocked: names(blocked),
        };
        for (domains, email, taken) in [
            (of(&[], &[]), "a@any.test", true),
            (of(&[], &["spam.test"]), "a@spam.test", false),
            (of(&[], &["spam.test"]), "a@mail.spam.test", true),
            (of(&[], &["*.spam.test"]), "a@mail.spam.test", false),
            (of(&[], &["*.spam.test"]), "a@spam.test", true),
            (of(&[], &["*.spam.test"]), "a@notspam.test", true),
            (of(&[], &["*.shop"]), "a@any.shop", false),
            (of(&["own.test"], &[]), "a@own.test", true),
            (of(&["own.test"], &[]), "a@any.test", false),
            (of(&["*.own.test"], &["bad.own.test"]), "a@bad.own.test", false),
            (of(&["own.test"], &[]), "\"own.test@x\"@any.test", false),
        ] {
            assert_eq!(domains.takes(email), taken, "{domains:?} {email}");
        }
    }
}
