//! /v1/relays/ses: what Amazon SES tells by SNS of mail that left through it.

use axum::http::StatusCode;
use bytes::Bytes;

use super::access::{Call, needs};
use super::problem::Problem;
use crate::feedback::sns::SnsError;

/// Take a notification of SNS; whether it is believed follows from its signature and topic.
#[utoipa::path(post, path = "/v1/relays/ses", tag = "inbound",
    request_body(content = String, content_type = "text/plain"),
    responses((status = 204)))]
pub(super) async fn ses(call: Call<needs::Anybody>, body: Bytes) -> Result<StatusCode, Problem> {
    let sns = call.sns.as_ref().ok_or_else(|| Problem::conflict("no daemon is running"))?;
    match sns.take(&body).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(SnsError::Store(error)) => Err(error.into()),
        Err(SnsError::Away(why)) => Err(Problem::unavailable(why)),
        Err(error) => {
            tracing::warn!(%error, "a call of SNS is not believed");
            Err(Problem::new(StatusCode::FORBIDDEN, error.to_string()))
        }
    }
}
