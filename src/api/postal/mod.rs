//! /api/v1: Postal's own API, for applications that were written for Postal.
//!
//! Owns:       its envelope, its error codes, how its key and parameters are read.
//! Promises:   an application works with only its host and key changed; every answer that Postal
//!             has comes with status 200, as there. What Postal has no word for (no room, too
//!             many failures, our own trouble) is told by the HTTP status as well.
//! Knows not:  how mail is built or kept: it works by the handlers' own means.
//!
//! Postal's message is our delivery: it has one for each recipient. Its key is `NAME:SECRET` of a
//! credential. Parameters it does not know are passed over, as Postal does.

mod read;
mod send;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::{Map, Value, json};

use super::access::{Call, Needs, Shared, needs};
use super::caller::{Caller, address_of, refusal};
use super::problem::Problem;
use super::send::SEND_BYTES_MAX;
use crate::auth::AuthError;

const KEY_HEADER: &str = "x-server-api-key";

/// What stands in `data` when a call cannot be done.
#[derive(Debug)]
enum Failure {
    /// By one of Postal's codes.
    Error {
        code: &'static str,
        message: String,
        about: Map<String, Value>,
    },
    Parameter(String),
    /// Postal has no word for it.
    Trouble(Problem),
}

impl Failure {
    fn code(code: &'static str, message: impl Into<String>) -> Failure {
        Failure::Error { code, message: message.into(), about: Map::new() }
    }

    fn with(self, name: &str, value: impl Into<Value>) -> Failure {
        match self {
            Failure::Error { code, message, mut about } => {
                about.insert(name.to_owned(), value.into());
                Failure::Error { code, message, about }
            }
            other => other,
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        match (problem.status, &problem.field) {
            (400 | 413 | 422, Some(field)) => {
                Failure::Parameter(format!("{field}: {}", problem.detail))
            }
            (400 | 413 | 422, None) => Failure::Parameter(problem.detail),
            _ => Failure::Trouble(problem),
        }
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Failure {
        Failure::Trouble(error.into())
    }
}

type Fields = Map<String, Value>;
type Answer = Result<Value, Failure>;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/send/message", any(message))
        .route("/api/v1/send/raw", any(raw))
        .route("/api/v1/messages/message", any(show))
        .route("/api/v1/messages/deliveries", any(deliveries))
        .route("/.well-known/jwks.json", get(keys))
}

async fn message(State(api): State<Arc<Shared>>, request: Request) -> Response {
    answered::<needs::Send, _>(api, request, send::message).await
}

async fn raw(State(api): State<Arc<Shared>>, request: Request) -> Response {
    answered::<needs::Send, _>(api, request, send::raw).await
}

async fn show(State(api): State<Arc<Shared>>, request: Request) -> Response {
    answered::<needs::MessagesRead, _>(api, request, read::message).await
}

async fn deliveries(State(api): State<Arc<Shared>>, request: Request) -> Response {
    answered::<needs::MessagesRead, _>(api, request, read::deliveries).await
}

/// The keys that verify X-Postal-Signature, as RFC 7517 writes them. Public by their nature.
async fn keys(call: Call<needs::Anybody>) -> Result<axum::Json<Value>, Problem> {
    let stopped = || Problem::conflict("no daemon is running");
    let webhooks = call.webhooks.as_ref().ok_or_else(stopped)?;
    Ok(axum::Json(webhooks.postal_keys().await.map_err(Problem::ours)?))
}

/// Who asks is known before his parameters are read.
async fn answered<N: Needs, F: Future<Output = Answer>>(
    api: Arc<Shared>,
    request: Request,
    work: impl FnOnce(Call<N>, Fields) -> F,
) -> Response {
    let begun = api.clock().now();
    let (parts, body) = request.into_parts();
    let answer = async {
        let call = enter::<N>(&api, &parts).await?;
        let fields = fields(&parts, body).await?;
        work(call, fields).await
    };
    let answer = answer.await;
    let time = api.clock().now().since(begun).as_secs_f64();
    envelope(answer, time)
}

fn envelope(answer: Answer, time: f64) -> Response {
    let mut http = StatusCode::OK;
    let mut retry_after = None;
    let (status, data) = match answer {
        Ok(data) => ("success", data),
        Err(Failure::Error { code, message, mut about }) => {
            about.insert("code".to_owned(), code.into());
            about.insert("message".to_owned(), message.into());
            ("error", Value::from(about))
        }
        Err(Failure::Parameter(message)) => ("parameter-error", json!({ "message": message })),
        Err(Failure::Trouble(problem)) => {
            http = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
            retry_after = problem.retry_after;
            ("error", json!({ "code": problem.title.replace(' ', ""), "message": problem.detail }))
        }
    };
    // Three digits are what anybody reads.
    let time = (time * 1000.0).round() / 1000.0;
    let body = json!({ "status": status, "time": time, "flags": {}, "data": data });
    let mut response = (http, axum::Json(body)).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn enter<N: Needs>(api: &Arc<Shared>, parts: &Parts) -> Result<Call<N>, Failure> {
    let denied = |text: &str| Failure::code("AccessDenied", text);
    let key = parts.headers.get(KEY_HEADER).and_then(|value| value.to_str().ok());
    let key = key.map(str::trim).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| denied("the header X-Server-API-Key holds no key"))?;
    let known = address_of(parts).zip(api.auth());
    let (address, auth) = known.ok_or_else(|| denied("no key can be checked here"))?;
    let identity = match auth.verify_key(key, address).await {
        Ok(identity) => identity,
        Err(AuthError::Refused) => {
            let text = "the key in X-Server-API-Key is not valid";
            return Err(Failure::code("InvalidServerAPIKey", text).with("token", key));
        }
        Err(error) => return Err(Failure::Trouble(refusal(error.into()))),
    };
    let organization = identity.organization;
    let call =
        Call::<N>::let_in(api, parts, Caller::Credential(identity)).map_err(
            |problem| match problem.status {
                403 => denied(&problem.detail),
                _ => Failure::Trouble(problem),
            },
        )?;
    let organizations = call.store.organizations().await?;
    let suspended = organizations.iter().find(|row| row.id == organization);
    match suspended.is_some_and(|row| row.suspended_at.is_some()) {
        true => Err(Failure::code("ServerSuspended", "the organization of this key is suspended")),
        false => Ok(call),
    }
}

/// A JSON body; else JSON in the field `params` of a form or of the query.
async fn fields(parts: &Parts, body: Body) -> Result<Fields, Failure> {
    let bytes = axum::body::to_bytes(body, SEND_BYTES_MAX)
        .await
        .map_err(|_| Failure::Parameter(format!("the body is above {SEND_BYTES_MAX} octets")))?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let text = match kind.eq_ignore_ascii_case("application/json") {
        true => Some(bytes.to_vec()),
        false => params_of(&bytes)
            .or_else(|| params_of(parts.uri.query().unwrap_or_default().as_bytes())),
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Fields::new()) };
    serde_json::from_slice(&text)
        .map_err(|why| Failure::Parameter(format!("the parameters are no JSON object: {why}")))
}

/// The field `params` of a form (application/x-www-form-urlencoded).
fn params_of(form: &[u8]) -> Option<Vec<u8>> {
    let mut fields = form.split(|octet| *octet == b'&');
    let value = fields.find_map(|field| field.strip_prefix(b"params="))?;
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.iter();
    while let Some(octet) = rest.next() {
        decoded.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digits = [*rest.next()?, *rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => *other,
        });
    }
    Some(decoded)
}

/// A text that says something.
fn text(fields: &Fields, name: &str) -> Option<String> {
    let text = match fields.get(name)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.trim().is_empty()).then_some(text)
}

/// Texts of an array, or of one text between commas.
fn texts(fields: &Fields, name: &str) -> Result<Vec<String>, Failure> {
    let wrong = || Failure::Parameter(format!("{name}: must be an array of texts"));
    match fields.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(parts.map(str::to_owned).collect())
        }
        Some(Value::Array(values)) => {
            let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
            values.iter().map(text).collect()
        }
        Some(_) => Err(wrong()),
    }
}

fn is_true(fields: &Fields, name: &str) -> bool {
    match fields.get(name) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => matches!(text.as_str(), "true" | "1"),
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_a_form_are_read_back() {
        let form = b"a=1&params=%7B%22a%22%3A+%22b%26%22%7D&b=2";
        assert_eq!(params_of(form).as_deref(), Some(br#"{"a": "b&"}"#.as_slice()));
        assert_eq!(params_of(b"params=%7"), None);
        assert_eq!(params_of(b"xparams=1"), None);
    }

    #[test]
    fn a_list_is_an_array_or_a_text_with_commas() {
        let fields = |text: &str| serde_json::from_str::<Fields>(text).expect("an object");
        let to = |text: &str| texts(&fields(text), "to");
        assert_eq!(to(r#"{"to": ["a@b.c", "d@e.f"]}"#).expect("read").len(), 2);
        assert_eq!(to(r#"{"to": "a@b.c, d@e.f"}"#).expect("read"), ["a@b.c", "d@e.f"]);
        assert!(to("{}").expect("read").is_empty() && to(r#"{"to": null}"#).expect("r").is_empty());
        assert!(to(r#"{"to": 7}"#).is_err() && to(r#"{"to": [7]}"#).is_err());
    }

    #[test]
    fn a_text_of_blanks_says_nothing() {
        let fields = serde_json::from_str::<Fields>(r#"{"a": " ", "b": "x"}"#).expect("an object");
        assert_eq!((text(&fields, "a"), text(&fields, "b")), (None, Some("x".to_owned())));
    }
}
