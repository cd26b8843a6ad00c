//! /v1/domains: the domains an organization may send from.

use serde::Deserialize;

use super::access::{Call, needs};
use super::body::Json;
use super::caller::Caller;
use super::problem::Problem;
use super::{Page, credentials};
use crate::model::{Domain, OrganizationId};
use crate::store::{DomainRow, StoreError};

/// List the domains that may be sent from.
#[utoipa::path(get, path = "/v1/domains", tag = "domains",
    responses((status = 200, body = Page<DomainRow>)), security(("key" = ["domains_read"])))]
pub(super) async fn list(
    call: Call<needs::DomainsRead>,
) -> Result<axum::Json<Page<DomainRow>>, Problem> {
    let mut rows = call.store.domains().await?;
    rows.retain(|row| call.scope().covers(row.organization));
    Ok(Page::whole(rows))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDomain {
    name: Domain,
    /// The caller's own, when it is missing.
    #[serde(default)]
    organization: Option<OrganizationId>,
}

/// Let an organization send from a domain and what lies below it, once it is verified.
#[utoipa::path(post, path = "/v1/domains", tag = "domains",
    responses((status = 200, body = DomainRow)), security(("key" = ["domains_write"])))]
pub(super) async fn add(
    call: Call<needs::DomainsWrite>,
    Json(new): Json<NewDomain>,
) -> Result<axum::Json<DomainRow>, Problem> {
    let organization = call.organization_or(new.organization)?;
    let action = ("domain.added", new.name.as_str());
    let store = call.audited::<(), _>(Some(organization), action, None, Some(&new.name))?;
    // Whom others trust with all domains need not show that this one is his.
    let is_verified = call.caller().is_some_and(Caller::is_trusted);
    let made = store.add_domain_as(organization, &new.name, is_verified).await;
    let row = made.map_err(|error| match error {
        StoreError::Duplicate(_) => {
            let problem = Problem::conflict("this domain belongs to an organization already");
            Problem { field: Some("name".into()), ..problem }
        }
        other => other.into(),
    })?;
    credentials::reload(&call).await?;
    tracing::info!(domain = %row.name, "a sending domain was added");
    Ok(axum::Json(row))
}
