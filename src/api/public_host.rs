//! /v1/public-host: where links in an organization's mail lead.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::problem::Problem;
use crate::model::{Domain, OrganizationId};
use crate::store::{HostCertificate, StoreError};

/// A host of the organization's that leads here; null: links lead to the installation's host.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicHost {
    #[schema(value_type = Option<String>)]
    host: Option<Domain>,
}

/// A host that leads here, as it stands.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PublicHostView {
    #[schema(value_type = Option<String>)]
    pub host: Option<Domain>,
    /// How its certificate stands; null while nobody has looked, which is done every half minute.
    pub certificate: Option<HostCertificate>,
}

/// Show where links in mail lead, and how that host's certificate stands.
#[utoipa::path(get, path = "/v1/public-host", tag = "tracking",
    responses((status = 200, body = PublicHostView)), security(("key" = ["domains_read"])))]
pub(super) async fn show(
    call: Call<needs::DomainsRead>,
) -> Result<axum::Json<PublicHostView>, Problem> {
    let organization = call.organization();
    let host = of(&call, organization).await?.host;
    Ok(axum::Json(view(&call, organization, host).await?))
}

async fn view<N>(
    call: &Call<N>,
    organization: OrganizationId,
    host: Option<Domain>,
) -> Result<PublicHostView, Problem> {
    let certificate = match &host {
        Some(host) => call.store.host_certificate(organization, host).await?,
        None => None,
    };
    Ok(PublicHostView { host, certificate })
}

async fn of<N>(call: &Call<N>, organization: OrganizationId) -> Result<PublicHost, Problem> {
    let hosts = call.store.public_hosts().await?;
    let own = hosts.into_iter().find(|(own, _)| *own == organization);
    Ok(PublicHost { host: own.map(|(_, host)| host) })
}

/// Let links in mail lead to a host within a sending domain. Links of mail that went out before go
/// on leading to the host that they name. Its certificate is asked for at once, also where the last
/// try has failed.
#[utoipa::path(put, path = "/v1/public-host", tag = "tracking",
    responses((status = 200, body = PublicHostView)), security(("key" = ["domains_write"])))]
pub(super) async fn set(
    call: Call<needs::DomainsWrite>,
    Json(wanted): Json<PublicHost>,
) -> Result<axum::Json<PublicHostView>, Problem> {
    let organization = call.organization();
    if let Some(host) = &wanted.host {
        let domains = call.store.domains().await?;
        let is_own = domains.iter().any(|row| {
            row.organization == organization
                && row.verified_at.is_some()
                && host.is_within(&row.name)
        });
        if !is_own {
            let why = "must lie within a verified sending domain of the organization";
            return Err(Problem::of_field("host", why));
        }
    }
    let before = of(&call, organization).await?;
    let action = ("public_host.set", "public-host");
    let store = call.audited(Some(organization), action, Some(&before), Some(&wanted))?;
    let set = store.set_public_host(organization, wanted.host.as_ref(), call.clock.now()).await;
    set.map_err(|error| match error {
        StoreError::Duplicate(_) => Problem::conflict("this host is another organization's"),
        other => other.into(),
    })?;
    if let Some(composer) = &call.composer {
        composer.reload().await.map_err(Problem::ours)?;
    }
    Ok(axum::Json(view(&call, organization, wanted.host).await?))
}
