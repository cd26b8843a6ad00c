//! /v1/setup: the first person of a new installation, made in the browser.

use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::access::{Call, Needs, needs};
use super::body::Json;
use super::organizations::line;
use super::problem::Problem;
use super::users::{checked, taken};
use crate::auth::hash_secret;
use crate::auth::people::lawful_password;
use crate::model::{OrganizationId, Role, UserId};

const ORGANIZATION_BYTES_MAX: usize = 100;

/// Whether somebody must still be made who may sign in.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Setup {
    /// Nobody can sign in yet.
    needed: bool,
    /// This browser may make the first administrator: it runs on the server, or comes through a
    /// tunnel.
    allowed: bool,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstUser {
    email: String,
    #[serde(default)]
    name: String,
    password: String,
    /// What the first organization is called from now on.
    organization: String,
}

/// Tell whether the installation still waits for its first administrator.
#[utoipa::path(get, path = "/v1/setup", tag = "setup",
    responses((status = 200, body = Setup)))]
pub(super) async fn show(
    call: Call<needs::Anybody>,
    headers: HeaderMap,
) -> Result<axum::Json<Setup>, Problem> {
    let needed = is_needed(&call).await?;
    Ok(axum::Json(Setup { needed, allowed: needed && is_near(&call, &headers) }))
}

/// Make the first administrator. Once, and from the server itself.
#[utoipa::path(post, path = "/v1/setup", tag = "setup",
    responses((status = 200, body = Setup), (status = 403, body = Problem,
        content_type = "application/problem+json",
        description = "The request does not come from the server itself"),
        (status = 409, body = Problem, content_type = "application/problem+json",
        description = "There is somebody who can sign in")))]
pub(super) async fn begin(
    call: Call<needs::Anybody>,
    headers: HeaderMap,
    Json(first): Json<FirstUser>,
) -> Result<axum::Json<Setup>, Problem> {
    if !is_near(&call, &headers) {
        let detail = "ask from the server itself (ssh -L), or use `postroad user add` there";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let _one_at_a_time = call.setting_up().lock().await;
    if !is_needed(&call).await? {
        return Err(Problem::conflict("there is somebody who can sign in"));
    }
    let (email, name) = checked(&first.email, &first.name)?;
    lawful_password(&first.password).map_err(|why| Problem::of_field("password", why))?;
    let organization = line("organization", &first.organization, ORGANIZATION_BYTES_MAX)?;
    let password = first.password;
    let hash = tokio::task::spawn_blocking(move || hash_secret(&password)).await;
    let hash = hash.map_err(Problem::ours)?;
    let renamed = call.store.rename_organization(OrganizationId::FIRST, &organization).await;
    renamed.map_err(|error| taken(error, "organization"))?;
    let after = serde_json::json!({"name": name, "installation_admin": true});
    let store = call.audited::<(), _>(None, ("user.added", &email), None, Some(&after))?;
    let id = store.add_user(&email, &name, &hash, true).await?;
    call.store.set_member(OrganizationId::FIRST, id, Role::Owner).await?;
    tracing::warn!(user = %id, "the first administrator was made");
    Ok(axum::Json(Setup { needed: false, allowed: false }))
}

async fn is_needed<N: Needs>(call: &Call<N>) -> Result<bool, Problem> {
    Ok(call.store.users(UserId(0), 1, "").await?.is_empty())
}

/// On this host by the connection, and by the name the browser was given: a strange site whose
/// name was made to point here (DNS rebinding) still calls itself by that name.
fn is_near<N>(call: &Call<N>, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let origin = call.origin();
    origin.is_local && origin.is_own_page && is_own_name(host)
}

fn is_own_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|one| one.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_host_are_its_own() {
        for host in ["localhost", "localhost:8025", "127.0.0.1:8025", "[::1]:8025", "[::1]"] {
            assert!(is_own_name(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "192.0.2.1:8025", "127.evil"] {
            assert!(!is_own_name(host), "{host}");
        }
    }
}
