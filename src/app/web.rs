//! Puts the panel beside the API, where nobody else has something to say.

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;

use crate::{api, panel};

pub(super) fn with_panel(router: Router) -> Router {
    router.fallback(|request: Request| async move {
        panel::answer(&request).unwrap_or_else(|| api::nothing_here().into_response())
    })
}
