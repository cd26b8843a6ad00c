//! The API as strangers meet it: who is let in, and what the document promises.

use crate::support::api::{As, TestApi, filled};

#[tokio::test]
async fn every_operation_of_the_document_is_served_and_asks_who_it_is() {
    let api = TestApi::new().await;
    let mut open = Vec::new();
    for (method, path, need) in api.operations().await {
        let answer = api.ask(&As::Nobody, &method, &filled(&path, "1"), None).await;
        let told = format!("{method} {path}: {answer:?}");
        match need {
            Some(_) => assert_eq!(answer.status, 401, "{told}"),
            None => open.push((path, answer.status.as_u16())),
        }
        assert_ne!(answer.status, 405, "{told}");
    }
    // Health is for this host alone; from afar one signs in.
    let expected = [
        ("/health/live", 401),
        ("/health/ready", 401),
        ("/metrics", 401),
        ("/v1/invites/accept", 415),
        ("/v1/openapi.json", 200),
        ("/v1/password-resets", 415),
        ("/v1/password-resets/take", 415),
        // A relay's news are believed by their signature, and asked for in the settings.
        ("/v1/relays/ses", 409),
        ("/v1/session", 415),
        ("/v1/setup", 200),
        ("/v1/setup", 415),
    ];
    assert_eq!(open, expected.map(|(path, status)| (path.to_owned(), status)));
}

#[tokio::test]
async fn a_caller_without_the_permission_that_the_document_names_is_refused() {
    let api = TestApi::new().await;
    let key = api.key("app").await;
    for (method, path, need) in api.operations().await {
        let Some(need) = need else { continue };
        let answer = api.ask(&key, &method, &filled(&path, "1"), None).await;
        let told = format!("{method} {path}: {answer:?}");
        let has = ["send", "messages_read", ""].contains(&need.as_str());
        // What is a user's own is refused to a credential, too.
        let own = need.is_empty()
            && answer.body["detail"].as_str().is_some_and(|text| text.starts_with("only a user"));
        assert_eq!(answer.status == 403, !has || own, "{told}");
    }
}

#[tokio::test]
async fn an_operator_who_names_an_organization_sees_its_rows_alone() {
    let api = TestApi::new().await;
    api.key("app").await;
    let here = api.ask(&As::Operator, "GET", "/v1/credentials", None).await;
    assert_eq!(here.body["items"][0]["name"], "app");
    assert_eq!(here.headers["cache-control"], "no-store");
    let other = [("postroad-organization", "7")];
    let there = api.ask_with(&As::Operator, "GET", "/v1/credentials", &other, None).await;
    assert_eq!(there.body["items"], serde_json::json!([]));
    let wrong = [("postroad-organization", "mine")];
    let refused = api.ask_with(&As::Operator, "GET", "/v1/credentials", &wrong, None).await;
    assert_eq!((refused.status.as_u16(), &refused.body["field"]), (422, &wrong[0].0.into()));
}

#[tokio::test]
async fn the_least_cursor_there_can_be_is_an_empty_page() {
    let api = TestApi::new().await;
    let path = format!("/v1/deliveries?cursor={}", i64::MIN);
    let page = api.ask(&As::Operator, "GET", &path, None).await;
    assert_eq!((page.status.as_u16(), &page.body["items"]), (200, &serde_json::json!([])));
}
