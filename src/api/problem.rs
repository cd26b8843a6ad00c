//! What went wrong with a request, as RFC 9457 writes it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::store::StoreError;

/// An `application/problem+json` answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    pub status: u16,
    pub title: String,
    /// A sentence for the person who asked.
    pub detail: String,
    /// The field or parameter that is to blame, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Seconds after which trying again can help.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        let detail = detail.into();
        Problem { status: status.as_u16(), title, detail, field: None, retry_after: None }
    }

    pub fn of_field(field: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem { field: Some(field.into()), ..Problem::unprocessable(detail) }
    }

    pub fn unprocessable(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    pub fn conflict(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, detail)
    }

    pub fn unavailable(detail: impl Into<String>) -> Problem {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        Problem { retry_after: Some(5), ..problem }
    }

    /// Our own fault: the cause goes to the log, the client learns that it was not his.
    pub fn ours(cause: impl std::fmt::Display) -> Problem {
        tracing::error!(reason = %cause, "a request could not be answered");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "this is our fault; the log tells more")
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match &error {
            StoreError::Duplicate(_) => Problem::conflict(error.to_string()),
            StoreError::Unavailable(_) | StoreError::Unsure(_) | StoreError::Taken(_) => {
                tracing::warn!(reason = %error, "a request met a database that is away");
                Problem::unavailable("the database does not answer; try again")
            }
            StoreError::Refused(_) => Problem::ours(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Basic realm=\"postroad\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
