//! /v1/dkim: signing keys. The private halves are files and never pass through here.

use serde::Deserialize;

use super::access::{Call, needs};
use super::body::Json;
use super::caller::Caller;
use super::extract::Path;
use super::problem::Problem;
use super::{ApiState, Page};
use crate::dkim::{Algorithm, keys, signer};
use crate::model::{Domain, Timestamp};
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
    /// By the operator's word they sign at once: where nobody here can ask the domain's DNS.
    #[serde(default)]
    trusted: bool,
}

/// Make an RSA and an Ed25519 key for a domain; they sign once their records are in DNS.
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
    let trusted = new.trusted;
    if trusted && !call.caller().is_some_and(Caller::is_trusted) {
        return Err(Problem::of_field("trusted", "only the operator can say so"));
    }
    let (directory, at) = (call.dkim_dir.clone(), call.clock.wall());
    let make = move || keys::create(&directory, &new.domain, new.selector.as_deref(), at);
    let made = tokio::task::spawn_blocking(make)
        .await
        .map_err(Problem::ours)?
        .map_err(|why| Problem::conflict(why.to_string()))?;
    let mut rows: Vec<DkimKeyRow> = made.into_iter().map(DkimKeyRow::from).collect();
    for row in rows.iter_mut().filter(|_| trusted) {
        row.proved_at = Some(row.created_at);
    }
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

/// Remove a key that signs no more; its record may go from DNS then.
#[utoipa::path(delete, path = "/v1/dkim/{domain}/{selector}", tag = "dkim",
    params(("domain" = String, Path, description = "The domain"),
        ("selector" = String, Path, description = "The key's selector")),
    responses((status = 200, body = DkimKeyRow)), security(("key" = ["domains_write"])))]
pub(super) async fn remove(
    call: Call<needs::DomainsWrite>,
    Path((domain, selector)): Path<(Domain, String)>,
) -> Result<axum::Json<DkimKeyRow>, Problem> {
    let none = || Problem::not_found("there is no such key");
    let domains = call.store.domains().await?;
    let own = |row: &&DomainRow| row.name == domain && call.scope().covers(row.organization);
    let organization = domains.iter().find(own).ok_or_else(none)?.organization;
    let mut keys = call.store.dkim_keys().await?;
    keys.retain(|key| key.domain == domain);
    let key = keys.iter().find(|key| key.selector == selector).ok_or_else(none)?;
    removable(key, &keys, call.clock.now()).map_err(Problem::conflict)?;
    let action = ("dkim_key.removed", domain.as_str());
    let store = call.audited::<_, ()>(Some(organization), action, Some(key), None)?;
    store.remove_dkim_key(&domain, &selector).await?;
    if let Some(composer) = &call.composer {
        composer.reload().await.map_err(Problem::ours)?;
    }
    remove_file(&call, key.clone()).await?;
    tracing::info!(%domain, selector, "a DKIM key was removed");
    Ok(axum::Json(key.clone()))
}

/// Its private half.
pub(super) async fn remove_file(api: &ApiState, key: DkimKeyRow) -> Result<(), Problem> {
    let directory = api.dkim_dir.clone();
    let removing = tokio::task::spawn_blocking(move || {
        let removed = key
            .algorithm
            .parse::<Algorithm>()
            .and_then(|algorithm| keys::remove(&directory, &key.domain, &key.selector, algorithm));
        if let Err(error) = removed {
            let (domain, selector) = (&key.domain, &key.selector);
            tracing::warn!(%domain, selector, %error, "the file of a removed key is still there");
        }
    });
    removing.await.map_err(Problem::ours)
}

/// Mail that it signed may be under way for as long as a signature is valid.
fn removable(key: &DkimKeyRow, keys: &[DkimKeyRow], now: Timestamp) -> Result<(), String> {
    if key.proved_at.is_none() {
        return Ok(());
    }
    let newer =
        |other: &&DkimKeyRow| other.algorithm == key.algorithm && other.created_at > key.created_at;
    let relieved = keys.iter().filter(newer).filter_map(|other| other.proved_at).min();
    match relieved {
        None => Err("this key signs: make another one first, and publish it".to_owned()),
        Some(at) if at + signer::VALID_FOR > now => {
            let until = at + signer::VALID_FOR;
            Err(format!("mail that it signed may be under way until {until}"))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_key_goes_in_steps() {
        let key = |selector: &str, made: i64, proved: Option<i64>| DkimKeyRow {
            domain: Domain::parse("a.example").expect("lawful"),
            selector: selector.to_owned(),
            algorithm: "rsa-sha256".to_owned(),
            record: String::new(),
            created_at: Timestamp(made),
            proved_at: proved.map(Timestamp),
        };
        let (old, new) = (key("old", 1, Some(1)), key("new", 2, None));
        let now = Timestamp(10);
        assert!(removable(&new, &[old.clone(), new.clone()], now).is_ok(), "it signs nothing yet");
        assert!(removable(&old, &[old.clone(), new], now).is_err(), "nothing else signs");
        let keys = [old.clone(), key("new", 2, Some(9))];
        assert!(removable(&old, &keys, now).is_err(), "what it signed is under way");
        let later = now + signer::VALID_FOR + Duration::from_secs(1);
        assert!(removable(&old, &keys, later).is_ok());
        assert!(removable(&keys[1], &keys, later).is_err(), "it signs");
    }
}
