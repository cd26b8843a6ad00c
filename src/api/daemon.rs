//! /v1/check and /v1/reload: is everything accepted accounted for; read the settings again.

use super::access::{Call, needs};
use super::problem::Problem;
use crate::config::Reload;
use crate::queue::check::Findings;

/// Read every body that is owed and count every delivery: what does not add up is named.
#[utoipa::path(get, path = "/v1/check", tag = "daemon",
    responses((status = 200, body = Findings)), security(("key" = ["installation"])))]
pub(super) async fn check(
    call: Call<needs::Installation>,
) -> Result<axum::Json<Findings>, Problem> {
    let audit = call.audit.as_ref().ok_or_else(|| Problem::conflict("no spool is open here"))?;
    Ok(axum::Json(audit.run().await?))
}

/// Read the settings again and take up what can change live.
#[utoipa::path(post, path = "/v1/reload", tag = "daemon",
    responses((status = 200, body = Reload)), security(("key" = ["installation"])))]
pub(super) async fn reload(call: Call<needs::Installation>) -> Result<axum::Json<Reload>, Problem> {
    let reload = call.reload.as_ref().ok_or_else(|| Problem::conflict("no daemon is running"))?;
    let taken = reload().await.map_err(|mistakes| Problem::unprocessable(mistakes.to_string()))?;
    Ok(axum::Json(taken))
}
