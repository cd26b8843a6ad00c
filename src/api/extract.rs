//! Paths and queries: refused with the name of the parameter that is wrong.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The parameters of a path. What cannot be one names nothing that there is.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(read)) => Ok(Path(read)),
            Err(_) => Err(Problem::not_found("nothing has such a name or id")),
        }
    }
}

/// The parameters of a query as `T`, whose unknown fields are to be denied.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(parts.uri.query().unwrap_or_default()).map(Query)
    }
}

fn read<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let why = match attempt::<T>(query) {
        Ok(read) => return Ok(read),
        Err(why) => why,
    };
    // The one without which the complaint changes.
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    let without = |left_out: usize| {
        let rest = pairs.iter().enumerate().filter(|(place, _)| *place != left_out);
        let rest: Vec<&str> = rest.map(|(_, pair)| *pair).collect();
        attempt::<T>(&rest.join("&")).err()
    };
    let culprit = (0..pairs.len()).find(|place| without(*place).as_ref() != Some(&why));
    match culprit.map(|place| pairs[place].split('=').next().unwrap_or_default()) {
        Some(name) => Err(Problem::of_field(name, why)),
        None => Err(Problem::unprocessable(why)),
    }
}

fn attempt<T: DeserializeOwned>(query: &str) -> Result<T, String> {
    let uri = format!("/?{query}").parse::<Uri>().map_err(|why| why.to_string())?;
    match axum::extract::Query::<T>::try_from_uri(&uri) {
        Ok(axum::extract::Query(read)) => Ok(read),
        Err(why) => Err(why.body_text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Asked {
        name: Option<String>,
        limit: Option<u8>,
    }

    fn field_of(query: &str) -> Option<String> {
        read::<Asked>(query).expect_err("refused").field
    }

    #[test]
    fn the_parameter_that_is_wrong_is_named() {
        assert_eq!(field_of("nmae=a").as_deref(), Some("nmae"));
        assert_eq!(field_of("name=a&limit=300").as_deref(), Some("limit"));
        assert_eq!(field_of("limit=1&limit=2").as_deref(), Some("limit"));
        assert_eq!(field_of("name=%ff&name=b").as_deref(), Some("name"));
        assert_eq!(read::<Asked>("name=a%20b").expect("lawful").name.as_deref(), Some("a b"));
    }
}
