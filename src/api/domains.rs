//! /v1/domains: the domains an organization may send from.

use serde::Deserialize;

use super::access::{Call, needs};
use super::body::Json;
use super::caller::Caller;
use super::extract::Path;
use super::problem::Problem;
use super::{Page, credentials, dkim};
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

/// Let nobody send from a domain any more; its keys go with it.
#[utoipa::path(delete, path = "/v1/domains/{name}", tag = "domains",
    params(("name" = String, Path, description = "The domain")),
    responses((status = 200, body = DomainRow)), security(("key" = ["domains_write"])))]
pub(super) async fn remove(
    call: Call<needs::DomainsWrite>,
    Path(name): Path<Domain>,
) -> Result<axum::Json<DomainRow>, Problem> {
    let none = || Problem::not_found("there is no such domain");
    let rows = call.store.domains().await?;
    let own = |row: &DomainRow| row.name == name && call.scope().covers(row.organization);
    let row = rows.into_iter().find(own).ok_or_else(none)?;
    if call.store.domain_is_owed(row.id).await? {
        let detail = "mail from it waits or is held: it would go without signatures";
        return Err(Problem::conflict(detail));
    }
    let mut keys = call.store.dkim_keys().await?;
    keys.retain(|key| key.domain == name);
    let action = ("domain.removed", name.as_str());
    let store = call.audited::<_, ()>(Some(row.organization), action, Some(&row), None)?;
    if !store.remove_domain(&row).await? {
        return Err(none());
    }
    credentials::reload(&call).await?;
    if let Some(composer) = &call.composer {
        composer.reload().await.map_err(Problem::ours)?;
    }
    for key in keys {
        dkim::remove_file(&call, key).await?;
    }
    tracing::info!(domain = %row.name, "a sending domain was removed");
    Ok(axum::Json(row))
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
