//! /v1/credentials: what applications sign in with.

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use super::body::Json;
use super::caller::Operator;
use super::problem::Problem;
use super::{Api, ApiState, Page};
use crate::auth;
use crate::model::OrganizationId;
use crate::store::CredentialRow;

const NAME_BYTES_MAX: usize = 64;

pub(super) async fn list(
    State(api): Api,
    _: Operator,
) -> Result<axum::Json<Page<CredentialRow>>, Problem> {
    Ok(Page::whole(api.store.credentials().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCredential {
    name: String,
    #[serde(default = "first_organization")]
    organization: OrganizationId,
    #[serde(default = "transactional")]
    stream: String,
}

const fn first_organization() -> OrganizationId {
    OrganizationId::FIRST
}

fn transactional() -> String {
    "transactional".to_owned()
}

/// The only answer that ever holds the secret.
#[derive(Serialize, Deserialize)]
pub struct Made {
    pub credential: CredentialRow,
    pub secret: String,
}

pub(super) async fn add(
    State(api): Api,
    _: Operator,
    Json(new): Json<NewCredential>,
) -> Result<axum::Json<Made>, Problem> {
    lawful_name(&new.name)?;
    let streams = api.store.streams().await?;
    let stream = streams
        .iter()
        .find(|stream| stream.organization == new.organization && stream.name == new.stream)
        .ok_or_else(|| Problem::of_field("stream", "the organization has no such stream"))?;
    // Hashing is slow by intent, so it must not stand in the way of others.
    let (secret, hash) =
        tokio::task::spawn_blocking(auth::new_secret).await.map_err(Problem::ours)?;
    let made = api.store.add_credential(new.organization, &new.name, &hash, stream.id).await;
    let credential = made.map_err(|error| match error {
        crate::store::StoreError::Duplicate(_) => {
            let problem = Problem::conflict("there is a credential of this name");
            Problem { field: Some("name".into()), ..problem }
        }
        other => other.into(),
    })?;
    reload(&api).await?;
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

#[derive(Serialize)]
pub struct Revoked {
    name: String,
}

pub(super) async fn revoke(
    State(api): Api,
    _: Operator,
    Path(name): Path<String>,
) -> Result<axum::Json<Revoked>, Problem> {
    if !api.store.revoke_credential(&name).await? {
        return Err(Problem::not_found("there is no such credential, or it was revoked before"));
    }
    reload(&api).await?;
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
