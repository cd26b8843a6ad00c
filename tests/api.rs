//! The API as strangers meet it: who is let in, and what the document promises.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::api::{As, PASSWORD, TestApi, filled};

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
async fn a_body_that_is_too_large_is_refused() {
    let api = TestApi::new().await;
    let long = json!({"name": "x".repeat(70_000), "class": "marketing"});
    let refused = api.ask(&As::Operator, "POST", "/v1/streams", Some(long)).await;
    assert_eq!(refused.status, 413, "{refused:?}");
    let mail = json!({"text": "x".repeat(70_000)});
    let taken = api.ask(&As::Operator, "POST", "/v1/messages", Some(mail)).await;
    assert_ne!(taken.status, 413, "mail may be longer: {taken:?}");
}

/// Objects of a request's schema that say nothing against fields that nobody knows.
fn open_objects(document: &Value, schema: &Value, path: &str, open: &mut BTreeSet<String>) {
    let name = schema["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
    if let Some(name) = name {
        let of = document.pointer(name).unwrap_or_else(|| panic!("{name} is nowhere"));
        // A tree of filters holds itself.
        if path.matches(name).count() < 2 {
            open_objects(document, of, &format!("{path} {name}"), open);
        }
        return;
    }
    if schema["properties"].is_object() && schema["additionalProperties"] != json!(false) {
        open.insert(path.rsplit(' ').next().unwrap_or_default().to_owned());
    }
    for part in ["properties", "oneOf", "anyOf", "allOf"] {
        let parts = schema[part].as_object().map(|parts| parts.values().collect::<Vec<_>>());
        let parts = parts.or_else(|| schema[part].as_array().map(|parts| parts.iter().collect()));
        for schema in parts.unwrap_or_default() {
            open_objects(document, schema, path, open);
        }
    }
    for part in ["items", "additionalProperties"] {
        if schema[part].is_object() {
            open_objects(document, &schema[part], path, open);
        }
    }
}

#[tokio::test]
async fn a_field_that_nobody_knows_is_refused_by_every_operation_with_a_body() {
    let api = TestApi::new().await;
    let user = json!({"email": "ann@example.com", "password": PASSWORD, "role": "owner"});
    let made = api.ask(&As::Operator, "POST", "/v1/installation/users", Some(user.clone())).await;
    assert_eq!(made.status, 200, "{made:?}");
    let given = json!({"email": "ann@example.com", "password": PASSWORD});
    let ann = api.ask(&As::Nobody, "POST", "/v1/session", Some(given)).await.session();
    let document = api.ask(&As::Nobody, "GET", "/v1/openapi.json", None).await.body;
    let (mut asked, mut taken, mut open) = (0, Vec::new(), BTreeSet::new());
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            let body = operation.pointer("/requestBody/content/application~1json/schema");
            let Some(schema) = body else { continue };
            asked += 1;
            let own = operation["security"][0]["key"].as_array().is_some_and(Vec::is_empty);
            let who = if own { &ann } else { &As::Operator };
            let order = json!({"no_such_field": 1});
            let name = if path.starts_with("/v1/domains/{name}") { "example.com" } else { "1" };
            let answer = api.ask(who, method, &filled(path, name), Some(order)).await;
            if (answer.status.as_u16(), &answer.body["field"]) != (422, &json!("no_such_field")) {
                taken.push(format!("{method} {path}: {} {}", answer.status, answer.body));
            }
            open_objects(&document, schema, &format!(" {method} {path}"), &mut open);
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
    open.retain(|name| !TAGGED.iter().any(|known| name.ends_with(known)));
    assert!(open.is_empty(), "further down they are taken: {open:#?}");
    assert!(asked > 80, "{asked}");
    let entry = |more: Value| with(json!({"kind": "tag", "tag": "x"}), more);
    let exit = |more: Value| with(json!({"kind": "exit"}), more);
    let column = |more: Value| with(json!({"to": "email"}), more);
    let block = |more: Value| with(json!({"type": "text", "text": "x"}), more);
    let (none, unknown) = (json!({}), json!({"no_such_field": 1}));
    let automation =
        |entry: Value, step: Value| json!({"name": "a", "entry": entry, "steps": [step]});
    let import = api.upload("/v1/imports", b"email\na@b.test\n".to_vec()).await;
    let start = format!("/v1/imports/{}/start", import.body["id"]);
    for (path, order) in [
        ("/v1/automations", automation(entry(unknown.clone()), exit(none.clone()))),
        ("/v1/automations", automation(entry(none.clone()), exit(unknown.clone()))),
        (&start, json!({"mode": "add", "columns": [column(unknown.clone())]})),
        ("/v1/saved-blocks", json!({"name": "a", "blocks": [block(unknown)]})),
    ] {
        let answer = api.ask(&As::Operator, "POST", path, Some(order.clone())).await;
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        assert!(answer.status == 422 && detail.contains("no_such_field"), "{order}: {answer:?}");
    }
    for (path, order) in [
        ("/v1/automations", automation(entry(none.clone()), exit(none.clone()))),
        ("/v1/saved-blocks", json!({"name": "a", "blocks": [block(none)]})),
    ] {
        let answer = api.ask(&As::Operator, "POST", path, Some(order.clone())).await;
        assert_eq!(answer.status, 200, "{order}: {answer:?}");
    }
}

/// Of what a word tells apart, the schema does not say that there is nothing else.
const TAGGED: [&str; 4] =
    ["/AutomationEntry", "/AutomationStepInput", "/DocumentBlock", "/schemas/Target"];

fn with(mut object: Value, more: Value) -> Value {
    let fields = more.as_object().expect("an object").clone();
    object.as_object_mut().expect("an object").extend(fields);
    object
}

#[tokio::test]
async fn the_least_cursor_there_can_be_is_an_empty_page() {
    let api = TestApi::new().await;
    let path = format!("/v1/deliveries?cursor={}", i64::MIN);
    let page = api.ask(&As::Operator, "GET", &path, None).await;
    assert_eq!((page.status.as_u16(), &page.body["items"]), (200, &serde_json::json!([])));
}
