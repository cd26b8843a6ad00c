//! /v1/return-domains and /v1/inbound: where bounces come back to, and what came in.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::extract::{Path, Query};
use super::narrow::narrowed;
use super::problem::Problem;
use super::{ApiState, Page};
use crate::model::{Domain, InboundMailId, OrganizationId, ReportKind, ReturnDomainId};
use crate::store::{InboundMailRow, ReturnDomainRow, StoreError};

const LIST_MAX: u32 = 1000;
const LIST_USUAL: u32 = 100;

/// List the domains that bounces of organizations come back to.
#[utoipa::path(get, path = "/v1/return-domains", tag = "inbound",
    responses((status = 200, body = Page<ReturnDomainRow>)),
    security(("key" = ["domains_read"])))]
pub(super) async fn domains(
    call: Call<needs::DomainsRead>,
) -> Result<axum::Json<Page<ReturnDomainRow>>, Problem> {
    let mut rows = call.store.return_domains().await?;
    rows.retain(|row| call.scope().covers(row.organization));
    Ok(Page::whole(rows))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReturnDomain {
    /// A sending domain of the organization, or below one; its MX is this host.
    name: Domain,
    /// The caller's own, when it is missing.
    #[serde(default)]
    organization: Option<OrganizationId>,
}

/// Let bounces of an organization come back to a domain of its own.
#[utoipa::path(post, path = "/v1/return-domains", tag = "inbound",
    responses((status = 200, body = ReturnDomainRow)), security(("key" = ["domains_write"])))]
pub(super) async fn add_domain(
    call: Call<needs::DomainsWrite>,
    Json(new): Json<NewReturnDomain>,
) -> Result<axum::Json<ReturnDomainRow>, Problem> {
    let organization = call.organization_or(new.organization)?;
    let domains = call.store.domains().await?;
    let is_own =
        domains.iter().any(|row| row.organization == organization && new.name.is_within(&row.name));
    if !is_own {
        let text = "must lie in a sending domain of the organization";
        return Err(Problem::of_field("name", text));
    }
    let action = ("return_domain.added", new.name.as_str());
    let store = call.audited::<(), _>(Some(organization), action, None, Some(&new.name))?;
    let made = store.add_return_domain(organization, &new.name).await;
    let row = made.map_err(|error| match error {
        StoreError::Duplicate(name) if name == "return_domains_organization" => {
            Problem::conflict("the organization has one already; remove it first")
        }
        StoreError::Duplicate(_) => Problem::conflict("the domain belongs to somebody already"),
        other => other.into(),
    })?;
    reload(&call).await?;
    Ok(axum::Json(row))
}

/// Mail that leaves from now on knows of it.
async fn reload(api: &ApiState) -> Result<(), Problem> {
    match &api.composer {
        Some(composer) => composer.reload().await.map_err(Problem::ours),
        None => Ok(()),
    }
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ReturnDomainRemoved)]
pub struct Removed {
    pub removed: ReturnDomainId,
}

/// Look now whether mail to a return domain comes here: by a CNAME to the installation's, or by its
/// own MX.
#[utoipa::path(post, path = "/v1/return-domains/{id}/check", tag = "inbound",
    params(("id" = ReturnDomainId, Path, description = "The domain")),
    responses((status = 200, body = ReturnDomainRow)), security(("key" = ["domains_read"])))]
pub(super) async fn check_domain(
    call: Call<needs::DomainsRead>,
    Path(id): Path<ReturnDomainId>,
) -> Result<axum::Json<ReturnDomainRow>, Problem> {
    let rows = call.store.return_domains().await?;
    let own = rows.into_iter().find(|row| row.id == id && call.scope().covers(row.organization));
    let row = own.ok_or_else(|| Problem::not_found("there is no such domain"))?;
    let stopped = || Problem::conflict("no daemon is running");
    let looker = call.return_domains.as_ref().ok_or_else(stopped)?;
    Ok(axum::Json(looker.look(&row).await?))
}

/// Bounces come back to the installation's domain from now on; what is under way is lost.
#[utoipa::path(delete, path = "/v1/return-domains/{id}", tag = "inbound",
    params(("id" = ReturnDomainId, Path, description = "The domain")),
    responses((status = 200, body = Removed)), security(("key" = ["domains_write"])))]
pub(super) async fn remove_domain(
    call: Call<needs::DomainsWrite>,
    Path(id): Path<ReturnDomainId>,
) -> Result<axum::Json<Removed>, Problem> {
    let organization = call.scope().organization();
    let target = id.to_string();
    let action = ("return_domain.removed", target.as_str());
    let store = call.audited::<(), ()>(organization, action, None, None)?;
    if !store.remove_return_domain(id, organization).await? {
        return Err(Problem::not_found("there is no such domain"));
    }
    reload(&call).await?;
    Ok(axum::Json(Removed { removed: id }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// `next` of the page before.
    cursor: Option<InboundMailId>,
    /// Stands somewhere in sender, recipient or subject, in any case.
    find: Option<String>,
    /// What it was taken for.
    kind: Option<ReportKind>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// List mail that came in, newest first, with what became of it.
#[utoipa::path(get, path = "/v1/inbound", tag = "inbound", params(Asked),
    responses((status = 200, body = Page<InboundMailRow>)),
    security(("key" = ["messages_read"])))]
pub(super) async fn mails(
    call: Call<needs::MessagesRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<InboundMailRow>>, Problem> {
    let limit = asked.limit.unwrap_or(LIST_USUAL);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(Problem::of_field("limit", format!("must be between 1 and {LIST_MAX}")));
    }
    let narrowed = narrowed(asked.find.as_deref(), asked.kind.map(|kind| kind.word()))?;
    let items = call.store.inbound_mails(call.scope(), asked.cursor, limit, &narrowed).await?;
    let full = items.len() >= limit as usize;
    let next = items.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items, next }))
}
