//! /v1/tracking: how long it is known who opened and clicked what.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::problem::Problem;

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
