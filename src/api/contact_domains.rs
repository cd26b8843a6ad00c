//! /v1/contact-domains: whose addresses become contacts.

use super::access::{Call, needs};
use super::body::Json;
use super::problem::Problem;
use crate::model::Domain;
use crate::store::ContactDomains;

const PATTERNS_MAX: usize = 1000;

/// Show which domains' addresses are taken as contacts.
#[utoipa::path(get, path = "/v1/contact-domains", tag = "contacts",
    responses((status = 200, body = ContactDomains)), security(("key" = ["contacts_read"])))]
pub(super) async fn show(
    call: Call<needs::ContactsRead>,
) -> Result<axum::Json<ContactDomains>, Problem> {
    Ok(axum::Json(call.store.contact_domains(call.organization()).await?))
}

/// Say which domains' addresses are taken as contacts: all of it is given. Imports, forms and the
/// API take no others; contacts that there are stay.
#[utoipa::path(put, path = "/v1/contact-domains", tag = "contacts",
    responses((status = 200, body = ContactDomains)), security(("key" = ["contacts_write"])))]
pub(super) async fn set(
    call: Call<needs::ContactsWrite>,
    Json(wanted): Json<ContactDomains>,
) -> Result<axum::Json<ContactDomains>, Problem> {
    let organization = call.organization();
    let wanted = ContactDomains {
        allowed: lawful("allowed", wanted.allowed)?,
        blocked: lawful("blocked", wanted.blocked)?,
    };
    let before = call.store.contact_domains(organization).await?;
    let action = ("contact_domains.set", "contact-domains");
    let store = call.audited(Some(organization), action, Some(&before), Some(&wanted))?;
    store.set_contact_domains(organization, &wanted).await?;
    Ok(axum::Json(wanted))
}

/// As addresses of contacts have them: in lower case, A-labels.
fn lawful(field: &str, patterns: Vec<String>) -> Result<Vec<String>, Problem> {
    if patterns.len() > PATTERNS_MAX {
        return Err(Problem::of_field(field, format!("at most {PATTERNS_MAX} domains")));
    }
    let one = |pattern: String| {
        let (mark, name) = match pattern.trim().strip_prefix("*.") {
            Some(name) => ("*.", name),
            None => ("", pattern.trim()),
        };
        let wrong = || {
            let why = format!("'{pattern}' is no domain such as example.com or *.example.com");
            Problem::of_field(field, why)
        };
        let domain = Domain::parse(name).map_err(|_| wrong())?;
        Ok(format!("{mark}{}", domain.as_str().to_lowercase()))
    };
    patterns.into_iter().map(one).collect()
}
