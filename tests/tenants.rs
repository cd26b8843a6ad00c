//! Who belongs to one organization sees and changes nothing of another, on any route.

use postroad::model::{OrganizationId, Permission, Role};
use serde_json::{Value, json};

use crate::support::api::{As, PASSWORD, TestApi, filled};

/// Stands in all that belongs to the organization that is spied upon.
const MARK: &str = "secretshop";

/// An organization full of things, and the paths that name them.
async fn furnished(api: &TestApi) {
    let operator = &As::Operator;
    let domain = json!({"name": format!("{MARK}.test")});
    let credential = json!({"name": format!("{MARK}-key")});
    let stream = json!({"name": format!("{MARK}-news"), "class": "marketing"});
    let invite = json!({"email": format!("{MARK}@invited.test"), "role": "admin"});
    let user = json!({"email": format!("{MARK}@example.test"), "password": PASSWORD,
        "role": "owner"});
    for (path, body) in [
        ("/v1/domains", domain),
        ("/v1/credentials", credential),
        ("/v1/streams", stream),
        ("/v1/invites", invite),
        ("/v1/installation/users", user),
    ] {
        let made = api.ask(operator, "POST", path, Some(body)).await;
        assert_eq!(made.status, 200, "{path}: {made:?}");
    }
    api.mail(OrganizationId::FIRST, &format!("the {MARK} sale"), "bob@secretshop.test").await;
}

/// A second organization with a user of this role, or its most powerful key.
async fn stranger(api: &TestApi, role: Option<Role>) -> As {
    let organizations = api.ask(&As::Operator, "GET", "/v1/organizations", None).await.body;
    let name = format!("other {}", organizations["items"].as_array().expect("a list").len());
    let order = json!({"name": name});
    let made = api.ask(&As::Operator, "POST", "/v1/organizations", Some(order)).await.body;
    let own = made["id"].to_string();
    let Some(role) = role else {
        let scopes: Vec<_> =
            Permission::ALL.iter().filter(|one| one.is_for_credentials()).collect();
        let order = json!({"name": format!("spy-{own}"), "organization": made["id"],
            "rules": {"scopes": scopes}});
        let key = api.ask(&As::Operator, "POST", "/v1/credentials", Some(order)).await.body;
        return As::Key(format!("spy-{own}:{}", key["secret"].as_str().expect("a secret")));
    };
    let email = format!("{role}-{own}@example.test");
    let order = json!({"email": email, "password": PASSWORD, "role": role,
        "organization": made["id"]});
    let user = api.ask(&As::Operator, "POST", "/v1/installation/users", Some(order)).await;
    assert_eq!(user.status, 200, "{user:?}");
    let given = json!({"email": email, "password": PASSWORD});
    api.ask(&As::Nobody, "POST", "/v1/session", Some(given)).await.session()
}

/// What would work, if it were one's own.
fn body(method: &str, path: &str) -> Option<Value> {
    match (method, path) {
        ("post", "/v1/dkim") => Some(json!({"domain": format!("{MARK}.test")})),
        ("post", "/v1/deliveries/steer") => {
            Some(json!({"action": "cancel", "filter": {"organization": 1}}))
        }
        ("patch", "/v1/credentials/{name}") => Some(json!({"scopes": []})),
        ("patch", "/v1/users/{id}") => Some(json!({"role": "read_only"})),
        ("post" | "put" | "patch", _) => Some(json!({})),
        _ => None,
    }
}

#[tokio::test]
async fn another_tenant_sees_and_changes_nothing_on_any_route() {
    let api = TestApi::new().await;
    furnished(&api).await;
    let spies = [stranger(&api, None).await, stranger(&api, Some(Role::Owner)).await];
    for (method, path, need) in api.operations().await {
        // What is one's own session, and what needs nobody, has nothing of a tenant.
        if need.as_deref().unwrap_or_default().is_empty() {
            continue;
        }
        let name = if path.contains("{name}") { format!("{MARK}-key") } else { "1".to_owned() };
        for spy in &spies {
            let body = body(&method, &path);
            // A refusal may say back what was asked for.
            let echo = body.as_ref().is_some_and(|body| body.to_string().contains(MARK));
            let answer = api.ask(spy, &method, &filled(&path, &name), body).await;
            let told = format!("{method} {path}: {answer:?}");
            let silent = !answer.body.to_string().contains(MARK);
            assert!(silent || echo && answer.status.is_client_error(), "{told}");
            // Some things only a running daemon knows.
            assert!(!answer.status.is_server_error() || answer.status == 503, "{told}");
            // The spy has made an import of his own on this walk, and it has this id.
            if path.contains('{') && !path.starts_with("/v1/imports") {
                assert!(answer.status.is_client_error(), "{told}");
            }
        }
    }
    let waiting = api.ask(&As::Operator, "GET", "/v1/deliveries?state=waiting", None).await.body;
    assert_eq!(waiting["items"].as_array().expect("a list").len(), 1, "nothing was steered");
    let credentials = api.ask(&As::Operator, "GET", "/v1/credentials", None).await.body;
    assert_eq!(credentials["items"][0]["rules"]["scopes"], json!(["send", "messages_read"]));
    assert_eq!(credentials["items"][0]["revoked_at"], Value::Null);
}

#[tokio::test]
async fn each_role_may_do_what_its_permissions_say_and_nothing_else() {
    let api = TestApi::new().await;
    for role in Role::ALL {
        let user = stranger(&api, Some(*role)).await;
        for (method, path, need) in api.operations().await {
            let Some(need) = need.filter(|need| !need.is_empty()) else { continue };
            let permission: Permission = need.parse().expect("a permission");
            // Nothing has such an id or name, and an empty body is no order.
            let body = matches!(method.as_str(), "post" | "put" | "patch").then(|| json!({}));
            let answer = api.ask(&user, &method, &filled(&path, "999999"), body).await;
            let told = format!("{role}: {method} {path}: {answer:?}");
            assert_eq!(answer.status == 403, !role.permits(permission), "{told}");
        }
    }
}

#[tokio::test]
async fn who_belongs_to_two_organizations_names_the_one_he_means() {
    let api = TestApi::new().await;
    let ann = json!({"email": "ann@example.test", "password": PASSWORD, "role": "owner"});
    let made = api.ask(&As::Operator, "POST", "/v1/installation/users", Some(ann)).await.body;
    let order = json!({"name": "second"});
    let second = api.ask(&As::Operator, "POST", "/v1/organizations", Some(order)).await.body;
    let second = second["id"].to_string();
    let given = json!({"email": "ann@example.test", "password": PASSWORD});
    let ann = api.ask(&As::Nobody, "POST", "/v1/session", Some(given)).await.session();
    let there = [("postroad-organization", second.as_str())];
    let asked = api.ask_with(&ann, "GET", "/v1/streams", &there, None).await;
    assert_eq!(asked.status, 403, "she does not belong there yet");
    let offer = json!({"email": "ann@example.test", "role": "read_only"});
    let invited = api.ask_with(&As::Operator, "POST", "/v1/invites", &there, Some(offer)).await;
    let join = json!({"token": invited.body["token"], "password": PASSWORD});
    let joined = api.ask(&As::Nobody, "POST", "/v1/invites/accept", Some(join)).await.body;
    assert_eq!(joined["user"], made["id"]);
    assert_eq!(api.ask(&ann, "GET", "/v1/streams", None).await.status, 403, "which one?");
    let streams = api.ask_with(&ann, "GET", "/v1/streams", &there, None).await.body;
    assert_eq!(streams["items"][0]["organization"].to_string(), second);
    let order = json!({"name": "own", "class": "marketing"});
    let made = api.ask_with(&ann, "POST", "/v1/streams", &there, Some(order)).await;
    assert_eq!(made.status, 403, "she only reads there");
}
