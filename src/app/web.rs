//! Puts the panel beside the API, where nobody else has something to say.

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;

use crate::api::ApiState;
use crate::feedback::leave::Leaving;
use crate::{api, panel};

/// The API, the pages of recipients and the panel.
pub(super) fn router(state: ApiState, leaving: Leaving) -> Router {
    let router = api::router(state).merge(panel::recipients::router(leaving));
    router.fallback(|request: Request| async move {
        panel::answer(&request).unwrap_or_else(|| api::nothing_here().into_response())
    })
}
