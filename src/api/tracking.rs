//! /v1/tracking: how long it is known who opened and clicked what; and what submitted mail tells.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::credentials;
use super::extract::Path;
use super::problem::Problem;
use crate::model::{Domain, StreamId, Tracking};
use crate::store::{DomainRow, StreamRow};

const DAYS_MAX: u32 = 3650;

/// For how many days; null for good.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackingRetention {
    #[schema(minimum = 1, maximum = 3650)]
    keep_days: Option<u32>,
}

/// Show for how long it is known who opened and clicked what.
#[utoipa::path(get, path = "/v1/tracking", tag = "tracking",
    responses((status = 200, body = TrackingRetention)),
    security(("key" = ["campaigns_read"])))]
pub(super) async fn show(
    call: Call<needs::CampaignsRead>,
) -> Result<axum::Json<TrackingRetention>, Problem> {
    let keep_days = call.store.tracking_days(call.organization()).await?;
    Ok(axum::Json(TrackingRetention { keep_days }))
}

/// Say for how long it is known who opened and clicked what. After it counts stay, without names.
#[utoipa::path(put, path = "/v1/tracking", tag = "tracking",
    responses((status = 200, body = TrackingRetention)),
    security(("key" = ["campaigns_write"])))]
pub(super) async fn change(
    call: Call<needs::CampaignsWrite>,
    Json(wanted): Json<TrackingRetention>,
) -> Result<axum::Json<TrackingRetention>, Problem> {
    if wanted.keep_days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
        return Err(Problem::of_field("keep_days", format!("must be between 1 and {DAYS_MAX}")));
    }
    let organization = call.organization();
    let before = TrackingRetention { keep_days: call.store.tracking_days(organization).await? };
    let action = ("tracking.changed", "tracking");
    let store = call.audited(Some(organization), action, Some(&before), Some(&wanted))?;
    store.set_tracking_days(organization, wanted.keep_days).await?;
    Ok(axum::Json(wanted))
}

/// What submitted mail tells of its readers that does not say so itself; null: not said here.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackingSwitch {
    pub tracking: Option<Tracking>,
}

/// Show what submitted mail of a stream tells of its readers.
#[utoipa::path(get, path = "/v1/streams/{id}/tracking", tag = "tracking",
    params(("id" = StreamId, Path, description = "The stream")),
    responses((status = 200, body = TrackingSwitch)), security(("key" = ["settings_read"])))]
pub(super) async fn of_stream(
    call: Call<needs::SettingsRead>,
    Path(id): Path<StreamId>,
) -> Result<axum::Json<TrackingSwitch>, Problem> {
    let row = stream(&call, id).await?;
    Ok(axum::Json(said_of_stream(&call, row.id).await?))
}

/// Say what submitted mail of a stream tells of its readers; it goes before what its domain says.
#[utoipa::path(put, path = "/v1/streams/{id}/tracking", tag = "tracking",
    params(("id" = StreamId, Path, description = "The stream")),
    responses((status = 200, body = TrackingSwitch)), security(("key" = ["settings_write"])))]
pub(super) async fn set_of_stream(
    call: Call<needs::SettingsWrite>,
    Path(id): Path<StreamId>,
    Json(wanted): Json<TrackingSwitch>,
) -> Result<axum::Json<TrackingSwitch>, Problem> {
    let row = stream(&call, id).await?;
    let before = said_of_stream(&call, id).await?;
    let target = id.to_string();
    let action = ("stream.tracking_set", target.as_str());
    let store = call.audited(Some(row.organization), action, Some(&before), Some(&wanted))?;
    store.set_stream_tracking(id, wanted.tracking).await?;
    credentials::reload(&call).await?;
    Ok(axum::Json(wanted))
}

/// Show what submitted mail from a domain tells of its readers.
#[utoipa::path(get, path = "/v1/domains/{name}/tracking", tag = "tracking",
    params(("name" = String, Path, description = "The domain")),
    responses((status = 200, body = TrackingSwitch)), security(("key" = ["domains_read"])))]
pub(super) async fn of_domain(
    call: Call<needs::DomainsRead>,
    Path(name): Path<Domain>,
) -> Result<axum::Json<TrackingSwitch>, Problem> {
    let row = domain(&call, &name).await?;
    Ok(axum::Json(said_of_domain(&call, &row).await?))
}

/// Say what submitted mail from a domain tells of its readers.
#[utoipa::path(put, path = "/v1/domains/{name}/tracking", tag = "tracking",
    params(("name" = String, Path, description = "The domain")),
    responses((status = 200, body = TrackingSwitch)), security(("key" = ["domains_write"])))]
pub(super) async fn set_of_domain(
    call: Call<needs::DomainsWrite>,
    Path(name): Path<Domain>,
    Json(wanted): Json<TrackingSwitch>,
) -> Result<axum::Json<TrackingSwitch>, Problem> {
    let row = domain(&call, &name).await?;
    let before = said_of_domain(&call, &row).await?;
    let action = ("domain.tracking_set", name.as_str());
    let store = call.audited(Some(row.organization), action, Some(&before), Some(&wanted))?;
    store.set_domain_tracking(row.id, wanted.tracking).await?;
    credentials::reload(&call).await?;
    Ok(axum::Json(wanted))
}

async fn stream<N>(call: &Call<N>, id: StreamId) -> Result<StreamRow, Problem> {
    let rows = call.store.streams().await?;
    let row = rows.into_iter().find(|row| row.id == id && call.scope().covers(row.organization));
    row.ok_or_else(|| Problem::not_found("there is no such stream"))
}

async fn domain<N>(call: &Call<N>, name: &Domain) -> Result<DomainRow, Problem> {
    let rows = call.store.domains().await?;
    let own = |row: &DomainRow| row.name == *name && call.scope().covers(row.organization);
    rows.into_iter().find(own).ok_or_else(|| Problem::not_found("there is no such domain"))
}

async fn said_of_stream<N>(call: &Call<N>, id: StreamId) -> Result<TrackingSwitch, Problem> {
    let said = call.store.stream_tracking().await?;
    let tracking = said.into_iter().find(|(own, _)| *own == id).map(|(_, tracking)| tracking);
    Ok(TrackingSwitch { tracking })
}

async fn said_of_domain<N>(call: &Call<N>, row: &DomainRow) -> Result<TrackingSwitch, Problem> {
    let said = call.store.domain_tracking().await?;
    let tracking = said.into_iter().find(|(own, _)| *own == row.id).map(|(_, tracking)| tracking);
    Ok(TrackingSwitch { tracking })
}
