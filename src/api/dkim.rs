//! /v1/dkim: signing keys. The private halves are files and never pass through here.

use serde::Deserialize;

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::problem::Problem;
use crate::dkim::keys;
use crate::model::Domain;
use crate::store::{DkimKeyRow, DomainRow};

/// List the keys of all our domains, with the DNS records to publish.
#[utoipa::path(get, path = "/v1/dkim", tag = "dkim",
    responses((status = 200, body = Page<DkimKeyRow>)), security(("key" = ["domains_read"])))]
pub(super) async fn list(
    call: Call<needs::DomainsRead>,
) -> Result<axum::Json<Page<DkimKeyRow>>, Problem> {
    let mut keys = call.store.dkim_keys().await?;
    let domains = call.store.domains().await?;
    let own = |key: &DkimKeyRow| {
        domains.iter().any(|row| row.name == key.domain && call.scope().covers(row.organization))
    };
    keys.retain(own);
    Ok(Page::whole(keys))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKeys {
    domain: Domain,
    #[serde(default)]
    selector: Option<String>,
}

/// Make an RSA and an Ed25519 key for a domain.
// The key files are on disk before their rows are: a row without its file would make every mail
// of the domain wait.
#[utoipa::path(post, path = "/v1/dkim", tag = "dkim",
    responses((status = 200, body = Page<DkimKeyRow>)), security(("key" = ["domains_write"])))]
pub(super) async fn create(
    call: Call<needs::DomainsWrite>,
    Json(new): Json<NewKeys>,
) -> Result<axum::Json<Page<DkimKeyRow>>, Problem> {
    let domains = call.store.domains().await?;
    let own = |row: &DomainRow| row.name == new.domain && call.scope().covers(row.organization);
    if !domains.iter().any(own) {
        let detail = format!("{0} is not one of our domains: postroad domain add {0}", new.domain);
        return Err(Problem::of_field("domain", detail));
    }
    let (directory, at) = (call.dkim_dir.clone(), call.clock.wall());
    let make = move || keys::create(&directory, &new.domain, new.selector.as_deref(), at);
    let made = tokio::task::spawn_blocking(make)
        .await
        .map_err(Problem::ours)?
        .map_err(|why| Problem::conflict(why.to_string()))?;
    let row = |key: keys::NewKey| DkimKeyRow {
        domain: key.domain,
        selector: key.selector,
        algorithm: key.algorithm.to_string(),
        record: key.record,
        created_at: key.created_at,
    };
    let rows: Vec<DkimKeyRow> = made.into_iter().map(row).collect();
    for row in &rows {
        let action = ("dkim_key.added", row.domain.as_str());
        let owner = domains.iter().find(|own| own.name == row.domain).map(|own| own.organization);
        let store = call.audited::<(), _>(owner, action, None, Some(row))?;
        store.add_dkim_key(row).await?;
        tracing::info!(domain = %row.domain, selector = %row.selector, "a DKIM key was made");
    }
    if let Some(composer) = &call.composer {
        composer.reload().await.map_err(Problem::ours)?;
    }
    Ok(Page::whole(rows))
}
