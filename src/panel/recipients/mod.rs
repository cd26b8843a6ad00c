//! Pages that anybody may open who has a link from a mail of ours.
//!
//! Owns:       HTML, and the forms in it.
//! Promises:   a GET changes nothing, so that a scanner that follows links does no harm; text is
//!             shown as text; no script, no cookie, nothing from elsewhere.
//! Knows not:  what a token says, SQL.

mod page;
mod unsubscribe;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;

use crate::feedback::leave::Leaving;

/// A form has a few fields; some programs send the one of RFC 8058 as multipart.
const FORM_BYTES_MAX: usize = 16 * 1024;

pub fn router(leaving: Leaving) -> Router {
    let leave = get(unsubscribe::show).post(unsubscribe::leave);
    let choose = get(unsubscribe::choices).post(unsubscribe::choose);
    Router::new()
        .route("/u/{token}", leave)
        .route("/p/{token}", choose)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(leaving)
}
