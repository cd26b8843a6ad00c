//! JSON bodies: refused with the name of the field that is wrong.

use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::Problem;
use super::trail::Trail;

/// A JSON object read as `T`.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        // A form of a strange web site cannot send this type without being asked first (B4).
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "the body must be application/json"));
        }
        let trail = request.extensions().get::<Trail>().cloned();
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|refused| Problem::new(refused.status(), refused.body_text()))?;
        let value = value(&bytes)?;
        if let Some(trail) = trail {
            trail.asked(&value);
        }
        of_value(value).map(Json)
    }
}

fn value(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|why| Problem::new(StatusCode::BAD_REQUEST, format!("not JSON: {why}")))
}

/// A part of a body that is an object in itself.
pub(super) fn of_value<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    let Value::Object(object) = value else {
        return Err(Problem::unprocessable("the body must be a JSON object"));
    };
    match serde_json::from_value(Value::Object(object.clone())) {
        Ok(read) => Ok(read),
        Err(why) => {
            let detail = why.to_string();
            match culprit::<T>(&object, &detail) {
                Some(field) => Err(Problem::of_field(field, detail)),
                None => Err(Problem::unprocessable(detail)),
            }
        }
    }
}

/// The field named by serde (unknown, missing, given twice), or the one without which the
/// complaint changes.
fn culprit<T: DeserializeOwned>(object: &Map<String, Value>, detail: &str) -> Option<String> {
    let mut quoted = detail.split('`');
    let (first, name) = (quoted.next()?, quoted.next());
    if first.ends_with("field ") {
        return name.map(str::to_owned);
    }
    let without = |left_out: &String| {
        let mut rest = object.clone();
        rest.remove(left_out);
        serde_json::from_value::<T>(Value::Object(rest)).err().map(|why| why.to_string())
    };
    object.keys().find(|name| without(name).as_deref() != Some(detail)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Order {
        name: String,
        #[serde(default)]
        count: u8,
    }

    fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
        value(bytes).and_then(of_value)
    }

    fn field_of(text: &str) -> Option<String> {
        read::<Order>(text.as_bytes()).expect_err("refused").field
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        assert_eq!(field_of(r#"{"name": "a", "cuont": 1}"#).as_deref(), Some("cuont"));
        assert_eq!(field_of(r#"{"name": "a", "count": 300}"#).as_deref(), Some("count"));
        assert_eq!(field_of(r#"{"name": 7}"#).as_deref(), Some("name"));
        assert_eq!(field_of(r#"{"count": 1}"#).as_deref(), Some("name"));
        assert_eq!(field_of("[]"), None);
    }

    #[test]
    fn deep_nesting_is_refused_without_a_fall() {
        let deep = "[".repeat(100_000);
        assert_eq!(read::<Order>(deep.as_bytes()).expect_err("refused").status, 400);
    }
}
