//! The first administrator of a new installation, made in the browser.

use serde_json::{Value, json};

use crate::support::api::{Answer, As, PASSWORD, TestApi};

fn first() -> Value {
    json!({"email": "ann@example.com", "password": PASSWORD, "organization": "Shop"})
}

async fn begin(api: &TestApi, who: &As, host: &str) -> Answer {
    api.ask_with(who, "POST", "/v1/setup", &[("host", host)], Some(first())).await
}

#[tokio::test]
async fn the_first_administrator_is_made_once_and_owns_the_first_organization() {
    let api = TestApi::new().await;
    let near = [("host", "localhost:8025")];
    let asked = api.ask_with(&As::Operator, "GET", "/v1/setup", &near, None).await.body;
    assert_eq!(asked, json!({"needed": true, "allowed": true}));
    let made = begin(&api, &As::Operator, "localhost:8025").await;
    assert_eq!(made.status, 200, "{made:?}");
    let given = json!({"email": "ann@example.com", "password": PASSWORD});
    let ann = api.ask(&As::Nobody, "POST", "/v1/session", Some(given)).await.session();
    let who = api.ask(&ann, "GET", "/v1/session", None).await.body;
    assert_eq!(who["installation_admin"], true);
    assert_eq!(who["organizations"][0]["role"], "owner");
    let organizations = api.ask(&ann, "GET", "/v1/organizations", None).await.body;
    assert_eq!(organizations["items"][0]["name"], "Shop");
    assert_eq!(begin(&api, &As::Operator, "localhost:8025").await.status, 409);
}

#[tokio::test]
async fn a_browser_is_not_asked_for_a_password_by_its_own_dialog() {
    let api = TestApi::new().await;
    let from = [("sec-fetch-site", "same-origin")];
    let asked = api.ask_with(&As::Nobody, "GET", "/v1/session", &from, None).await;
    assert_eq!(asked.status, 401);
    assert!(asked.headers["www-authenticate"].as_bytes().starts_with(b"Bearer"));
    let asked = api.ask(&As::Nobody, "GET", "/v1/session", None).await;
    assert!(asked.headers["www-authenticate"].as_bytes().starts_with(b"Basic"));
}

#[tokio::test]
async fn nobody_from_afar_makes_the_first_administrator() {
    let api = TestApi::new().await;
    assert_eq!(begin(&api, &As::Nobody, "localhost:8025").await.status, 403);
    // A strange site whose name was made to point to this host.
    assert_eq!(begin(&api, &As::Operator, "evil.example").await.status, 403);
    let asked = api.ask(&As::Nobody, "GET", "/v1/setup", None).await.body;
    assert_eq!(asked, json!({"needed": true, "allowed": false}));
}
