//! /v1/dkim: signing keys. The private halves are files and never pass through here.

use axum::extract::State;
use serde::Deserialize;

use super::body::Json;
use super::caller::Operator;
use super::problem::Problem;
use super::{Api, Page};
use crate::dkim::keys;
use crate::model::Domain;
use crate::store::DkimKeyRow;

pub(super) async fn list(
    State(api): Api,
    _: Operator,
) -> Result<axum::Json<Page<DkimKeyRow>>, Problem> {
    Ok(Page::whole(api.store.dkim_keys().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKeys {
    domain: Domain,
    #[serde(default)]
    selector: Option<String>,
}

/// The key files are on disk before their rows are: a row without its file would make every mail
/// of the domain wait.
pub(super) async fn create(
    State(api): Api,
    _: Operator,
    Json(new): Json<NewKeys>,
) -> Result<axum::Json<Page<DkimKeyRow>>, Problem> {
    let domains = api.store.domains().await?;
    if !domains.iter().any(|row| row.name == new.domain) {
        let detail = format!("{0} is not one of our domains: postroad domain add {0}", new.domain);
        return Err(Problem::of_field("domain", detail));
    }
    let (directory, at) = (api.dkim_dir.clone(), api.clock.wall());
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
        api.store.add_dkim_key(row).await?;
        tracing::info!(domain = %row.domain, selector = %row.selector, "a DKIM key was made");
    }
    if let Some(composer) = &api.composer {
        composer.reload().await.map_err(Problem::ours)?;
    }
    Ok(Page::whole(rows))
}
