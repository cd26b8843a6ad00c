//! Is it alive, can it take mail, how much of what.

use std::time::Duration;

use axum::http::header;
use axum::response::IntoResponse;

use super::access::{Call, needs};
use super::problem::Problem;
use crate::model::State as DeliveryState;
use crate::telemetry::{metrics as exposition, names};

/// A database that needs longer for a `ping` cannot take mail at a useful rate.
const PING_WAIT: Duration = Duration::from_secs(2);
/// Mail of the usual size must find room.
const ROOM_BYTES: u64 = 1 << 20;
const COUNT_AGE: Duration = Duration::from_secs(60);
/// A count of a large ledger takes its time.
const COUNT_WAIT: Duration = Duration::from_secs(10);

#[derive(serde::Serialize, utoipa::ToSchema)]
pub struct Health {
    status: &'static str,
}

/// The process answers.
#[utoipa::path(get, path = "/health/live", tag = "health",
    responses((status = 200, body = Health)))]
pub(super) async fn live(_: Call<needs::Onlooking>) -> axum::Json<Health> {
    axum::Json(Health { status: "live" })
}

/// Mail can be taken: the database answers and the disk has room.
#[utoipa::path(get, path = "/health/ready", tag = "health",
    responses((status = 200, body = Health)))]
pub(super) async fn ready(call: Call<needs::Onlooking>) -> Result<axum::Json<Health>, Problem> {
    match tokio::time::timeout(PING_WAIT, call.store.ping()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(Problem::unavailable("the database does not answer")),
    }
    if call.queue.as_ref().is_some_and(|queue| !queue.has_room(ROOM_BYTES)) {
        return Err(Problem::unavailable("the spool's disk has no room"));
    }
    Ok(axum::Json(Health { status: "ready" }))
}

/// All metrics, as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(call: Call<needs::Onlooking>) -> impl IntoResponse {
    if is_count_due(&call) {
        count_deliveries(&call).await;
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], exposition().render())
}

/// Counting reads every row of the deliveries, so it is not done for each scrape.
fn is_count_due(api: &Call<needs::Onlooking>) -> bool {
    let now = api.clock.wall();
    let mut counted_at = api.counted_at().lock();
    let due = counted_at.is_none_or(|at| now.since(at) >= COUNT_AGE);
    if due {
        *counted_at = Some(now);
    }
    due
}

async fn count_deliveries(api: &Call<needs::Onlooking>) {
    match tokio::time::timeout(COUNT_WAIT, api.store.census()).await {
        Ok(Ok(census)) => {
            for state in DeliveryState::ALL {
                let count = census.by_state.get(state).copied().unwrap_or(0);
                names::DELIVERIES.set_with(&[("state", state.word())], count as f64);
            }
        }
        Ok(Err(error)) => tracing::warn!(reason = %error, "deliveries cannot be counted"),
        Err(_) => tracing::warn!("deliveries cannot be counted in time"),
    }
}
