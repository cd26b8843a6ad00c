//! /v1/streams/{id}/policy: what a stream does with suppressed recipients and with bounces.

use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::problem::Problem;
use crate::model::{OrganizationId, StreamId};
use crate::store::StreamPolicy;

/// The policy of a stream.
#[utoipa::path(get, path = "/v1/streams/{id}/policy", tag = "suppressions",
    params(("id" = StreamId, Path, description = "The stream")),
    responses((status = 200, body = StreamPolicy)), security(("key" = ["suppressions_read"])))]
pub(super) async fn show(
    call: Call<needs::SuppressionsRead>,
    Path(id): Path<StreamId>,
) -> Result<axum::Json<StreamPolicy>, Problem> {
    owner(&call, id).await?;
    let policies = call.store.stream_policies().await?;
    let own = policies.into_iter().find(|(stream, _)| *stream == id);
    Ok(axum::Json(own.map(|(_, policy)| policy).unwrap_or_default()))
}

/// Refuse mail for suppressed addresses at submission, accept and report it, or hold it; return
/// bounces to who asked, or to every sender.
#[utoipa::path(put, path = "/v1/streams/{id}/policy", tag = "suppressions",
    params(("id" = StreamId, Path, description = "The stream")),
    responses((status = 200, body = StreamPolicy)), security(("key" = ["suppressions_write"])))]
pub(super) async fn set(
    call: Call<needs::SuppressionsWrite>,
    Path(id): Path<StreamId>,
    Json(policy): Json<StreamPolicy>,
) -> Result<axum::Json<StreamPolicy>, Problem> {
    let organization = owner(&call, id).await?;
    let target = id.to_string();
    let action = ("stream.policy_set", target.as_str());
    let store = call.audited::<(), _>(Some(organization), action, None, Some(&policy))?;
    store.set_stream_policy(id, policy).await?;
    if let Some(queue) = &call.queue {
        queue.suppressions().reload_policies().await?;
    }
    Ok(axum::Json(policy))
}

/// Whose stream it is; another's is as if it were not.
async fn owner<N>(call: &Call<N>, id: StreamId) -> Result<OrganizationId, Problem> {
    let rows = call.store.streams().await?;
    let row = rows.into_iter().find(|row| row.id == id && call.scope().covers(row.organization));
    row.map(|row| row.organization).ok_or_else(|| Problem::not_found("there is no such stream"))
}
