//! /v1/credentials: what applications sign in with.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::problem::Problem;
use super::{ApiState, Page};
use crate::auth;
use crate::model::OrganizationId;
use crate::store::CredentialRow;

const NAME_BYTES_MAX: usize = 64;

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
    let organization = call.organization_or(new.organization)?;
    let streams = call.store.streams().await?;
    let stream = streams
        .iter()
        .find(|stream| stream.organization == organization && stream.name == new.stream)
        .ok_or_else(|| Problem::of_field("stream", "the organization has no such stream"))?;
    // Hashing is slow by intent, so it must not stand in the way of others.
    let (secret, hash) =
        tokio::task::spawn_blocking(auth::new_secret).await.map_err(Problem::ours)?;
    let made = call.store.add_credential(organization, &new.name, &hash, stream.id).await;
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

/// The running daemon takes up what was changed; on a stopped store nobody needs to.
pub(super) async fn reload(api: &ApiState) -> Result<(), Problem> {
    match &api.auth {
        Some(auth) => Ok(auth.reload().await?),
        None => Ok(()),
    }
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
    let rows = call.store.credentials().await?;
    let own = rows.iter().any(|row| row.name == name && call.scope().covers(row.organization));
    if !own || !call.store.revoke_credential(&name).await? {
        return Err(Problem::not_found("there is no such credential, or it was revoked before"));
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
