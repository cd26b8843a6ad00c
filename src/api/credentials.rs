//! /v1/credentials: what applications sign in with.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::problem::Problem;
use super::{ApiState, Page};
use crate::auth;
use crate::model::{CredentialRules, OrganizationId};
use crate::store::CredentialRow;
use crate::wire::network::Network;

const NAME_BYTES_MAX: usize = 64;
const RULES_MAX: usize = 100;

/// List credentials, revoked ones too.
#[utoipa::path(get, path = "/v1/credentials", tag = "credentials",
    responses((status = 200, body = Page<CredentialRow>)),
    security(("key" = ["credentials_read"])))]
pub(super) async fn list(
    call: Call<needs::CredentialsRead>,
) -> Result<axum::Json<Page<CredentialRow>>, Problem> {
    let mut rows = call.store.credentials().await?;
    rows.retain(|row| call.scope().covers(row.organization));
    Ok(Page::whole(rows))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCredential {
    name: String,
    /// The caller's own, when it is missing.
    #[serde(default)]
    organization: Option<OrganizationId>,
    #[serde(default = "transactional")]
    stream: String,
    #[serde(default)]
    rules: CredentialRules,
}

fn transactional() -> String {
    "transactional".to_owned()
}

/// The only answer that ever holds the secret.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Made {
    pub credential: CredentialRow,
    pub secret: String,
}

/// Make a credential; its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/credentials", tag = "credentials",
    responses((status = 200, body = Made)), security(("key" = ["credentials_write"])))]
pub(super) async fn add(
    call: Call<needs::CredentialsWrite>,
    Json(new): Json<NewCredential>,
) -> Result<axum::Json<Made>, Problem> {
    lawful_name(&new.name)?;
    lawful_rules(&new.rules)?;
    let organization = call.organization_or(new.organization)?;
    let streams = call.store.streams().await?;
    let stream = streams
        .iter()
        .find(|stream| stream.organization == organization && stream.name == new.stream)
        .ok_or_else(|| Problem::of_field("stream", "the organization has no such stream"))?;
    // Hashing is slow by intent, so it must not stand in the way of others.
    let (secret, hash) =
        tokio::task::spawn_blocking(auth::new_secret).await.map_err(Problem::ours)?;
    let action = ("credential.added", new.name.as_str());
    let store = call.audited::<(), _>(Some(organization), action, None, Some(&new.rules))?;
    let NewCredential { name, rules, .. } = new;
    let made = store.add_credential_with(organization, &name, &hash, stream.id, rules).await;
    let credential = made.map_err(|error| match error {
        crate::store::StoreError::Duplicate(_) => {
            let problem = Problem::conflict("there is a credential of this name");
            Problem { field: Some("name".into()), ..problem }
        }
        other => other.into(),
    })?;
    reload(&call).await?;
    tracing::info!(credential = %credential.name, "a credential was made");
    Ok(axum::Json(Made { credential, secret }))
}

/// It is typed into configuration files and stands in `Basic NAME:SECRET` and in paths.
fn lawful_name(name: &str) -> Result<(), Problem> {
    let lawful = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.@+".contains(&b));
    if lawful {
        return Ok(());
    }
    Err(Problem::of_field("name", "must be 1 to 64 letters, digits or any of - _ . @ +"))
}

fn lawful_rules(rules: &CredentialRules) -> Result<(), Problem> {
    if let Some(scope) = rules.scopes.iter().find(|scope| !scope.is_for_credentials()) {
        let detail = format!("a credential cannot have {scope}: that takes a person");
        return Err(Problem::of_field("rules.scopes", detail));
    }
    if rules.senders.len().max(rules.networks.len()).max(rules.scopes.len()) > RULES_MAX {
        let detail = format!("at most {RULES_MAX} scopes, senders and networks");
        return Err(Problem::of_field("rules", detail));
    }
    match rules.networks.iter().find_map(|text| Network::parse(text).err()) {
        Some(why) => Err(Problem::of_field("rules.networks", why.to_string())),
        None => Ok(()),
    }
}

/// The running daemon takes up what was changed; on a stopped store nobody needs to.
pub(super) async fn reload(api: &ApiState) -> Result<(), Problem> {
    if let Some(queue) = &api.queue {
        queue.note_apart().await.map_err(Problem::ours)?;
    }
    match &api.auth {
        Some(auth) => Ok(auth.reload().await?),
        None => Ok(()),
    }
}

fn gone() -> Problem {
    Problem::not_found("there is no such credential, or it was revoked before")
}

/// The caller's credential of this name, unless it was revoked.
async fn valid(call: &Call<needs::CredentialsWrite>, name: &str) -> Result<CredentialRow, Problem> {
    let rows = call.store.credentials().await?;
    let own = |row: &CredentialRow| {
        row.name == name && row.revoked_at.is_none() && call.scope().covers(row.organization)
    };
    rows.into_iter().find(own).ok_or_else(gone)
}

/// Change what a credential may do; its secret stays.
#[utoipa::path(patch, path = "/v1/credentials/{name}", tag = "credentials",
    params(("name" = String, Path, description = "The credential's name")),
    responses((status = 200, body = CredentialRow)), security(("key" = ["credentials_write"])))]
pub(super) async fn change(
    call: Call<needs::CredentialsWrite>,
    Path(name): Path<String>,
    Json(rules): Json<CredentialRules>,
) -> Result<axum::Json<CredentialRow>, Problem> {
    lawful_rules(&rules)?;
    let row = valid(&call, &name).await?;
    let action = ("credential.changed", name.as_str());
    let store = call.audited(Some(row.organization), action, Some(&row.rules), Some(&rules))?;
    store.set_credential_rules(row.id, &rules).await?;
    reload(&call).await?;
    Ok(axum::Json(CredentialRow { rules, ..row }))
}

/// Make a new secret; the one so far stays valid beside it until the rotation is finished.
#[utoipa::path(post, path = "/v1/credentials/{name}/rotate", tag = "credentials",
    params(("name" = String, Path, description = "The credential's name")),
    responses((status = 200, body = Made)), security(("key" = ["credentials_write"])))]
pub(super) async fn rotate(
    call: Call<needs::CredentialsWrite>,
    Path(name): Path<String>,
) -> Result<axum::Json<Made>, Problem> {
    let credential = valid(&call, &name).await?;
    let (secret, hash) =
        tokio::task::spawn_blocking(auth::new_secret).await.map_err(Problem::ours)?;
    let action = ("credential.rotated", name.as_str());
    let store = call.audited::<(), ()>(Some(credential.organization), action, None, None)?;
    store.rotate_credential(credential.id, &hash).await?;
    reload(&call).await?;
    Ok(axum::Json(Made { credential, secret }))
}

/// Finish a rotation: the secret from before is refused from now on.
#[utoipa::path(delete, path = "/v1/credentials/{name}/previous-secret", tag = "credentials",
    params(("name" = String, Path, description = "The credential's name")),
    responses((status = 200, body = CredentialRow)), security(("key" = ["credentials_write"])))]
pub(super) async fn finish_rotation(
    call: Call<needs::CredentialsWrite>,
    Path(name): Path<String>,
) -> Result<axum::Json<CredentialRow>, Problem> {
    let row = valid(&call, &name).await?;
    let action = ("credential.rotation_finished", name.as_str());
    let store = call.audited::<(), ()>(Some(row.organization), action, None, None)?;
    if !store.drop_secret_before(row.id).await? {
        return Err(Problem::conflict("only one secret is valid"));
    }
    reload(&call).await?;
    Ok(axum::Json(row))
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Revoked {
    name: String,
}

/// Refuse a credential from now on.
#[utoipa::path(delete, path = "/v1/credentials/{name}", tag = "credentials",
    params(("name" = String, Path, description = "The credential's name")),
    responses((status = 200, body = Revoked)), security(("key" = ["credentials_write"])))]
pub(super) async fn revoke(
    call: Call<needs::CredentialsWrite>,
    Path(name): Path<String>,
) -> Result<axum::Json<Revoked>, Problem> {
    let row = valid(&call, &name).await?;
    let action = ("credential.revoked", name.as_str());
    let store = call.audited::<_, ()>(Some(row.organization), action, Some(&row.rules), None)?;
    if !store.revoke_credential(&name).await? {
        return Err(gone());
    }
    reload(&call).await?;
    tracing::info!(credential = %name, "a credential was revoked");
    Ok(axum::Json(Revoked { name }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_path_and_before_a_colon() {
        assert!(lawful_name("app-1_x.y@example.com").is_ok());
        for name in ["", "a b", "a:b", "a/b", "ü", "a\r\n", &"x".repeat(65)] {
            assert!(lawful_name(name).is_err(), "{name:?}");
        }
    }
}
