//! People and what they may do: signing in, second factor, sessions, invites, roles.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::support::api::{As, PASSWORD, TestApi};

async fn user(api: &TestApi, email: &str, role: Option<&str>) {
    let order = json!({"email": email, "password": PASSWORD, "role": role});
    let made = api.ask(&As::Operator, "POST", "/v1/installation/users", Some(order)).await;
    assert_eq!(made.status, 200, "{made:?}");
}

async fn sign_in(api: &TestApi, email: &str) -> As {
    let given = json!({"email": email, "password": PASSWORD});
    let answer = api.ask(&As::Nobody, "POST", "/v1/session", Some(given)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.session()
}

#[tokio::test]
async fn a_user_signs_in_is_told_what_he_may_do_and_signs_out() {
    let api = TestApi::new().await;
    user(&api, "Ann@Example.com", Some("marketer")).await;
    let given = json!({"email": "ann@example.com", "password": PASSWORD});
    let answer = api.ask(&As::Nobody, "POST", "/v1/session", Some(given)).await;
    let cookie = answer.headers["set-cookie"].to_str().expect("text").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let ann = answer.session();
    let who = api.ask(&ann, "GET", "/v1/session", None).await.body;
    assert_eq!(who["organizations"][0]["role"], "marketer");
    let listed = api.ask(&ann, "GET", "/v1/account/sessions", None).await.body;
    assert_eq!(listed["items"].as_array().expect("a list").len(), 1);
    assert_eq!(api.ask(&ann, "DELETE", "/v1/session", None).await.status, 200);
    assert_eq!(api.ask(&ann, "GET", "/v1/session", None).await.status, 401);
}

#[tokio::test]
async fn what_another_site_asks_for_with_our_cookie_is_refused() {
    let api = TestApi::new().await;
    user(&api, "ann@example.com", Some("owner")).await;
    let ann = sign_in(&api, "ann@example.com").await;
    let order = json!({"name": "own", "class": "marketing"});
    for site in ["cross-site", "same-site", "none"] {
        let from = [("sec-fetch-site", site)];
        let asked = api.ask_with(&ann, "POST", "/v1/streams", &from, Some(order.clone())).await;
        assert_eq!(asked.status, 403, "{site}");
    }
    assert_eq!(api.ask(&ann, "POST", "/v1/streams", Some(order)).await.status, 200);
}

#[tokio::test]
async fn wrong_passwords_lock_the_address_out_of_the_panel_and_of_smtp_alike() {
    let api = Arc::new(TestApi::new().await);
    user(&api, "ann@example.com", None).await;
    let key = api.key("app").await;
    let mut guesses = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let api = api.clone();
        guesses.spawn(async move {
            let given = json!({"email": "ann@example.com", "password": "wrong wrong"});
            api.ask(&As::Nobody, "POST", "/v1/session", Some(given)).await.status.as_u16()
        });
    }
    let answers = api.waiting(guesses.join_all()).await;
    let wrong = answers.iter().filter(|status| **status == 401).count();
    assert!((10..=12).contains(&wrong), "{answers:?}");
    let given = json!({"email": "ann@example.com", "password": PASSWORD});
    let asking = async {
        let panel = api.ask(&As::Nobody, "POST", "/v1/session", Some(given)).await;
        (panel, api.ask(&key, "GET", "/v1/deliveries", None).await)
    };
    let (panel, key) = api.waiting(asking).await;
    assert_eq!((panel.status.as_u16(), key.status.as_u16()), (429, 429));
    assert!(panel.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_each_code_is_good_once() {
    let api = TestApi::new().await;
    user(&api, "ann@example.com", None).await;
    let ann = sign_in(&api, "ann@example.com").await;
    let factor = api.ask(&ann, "POST", "/v1/account/totp", None).await.body;
    let secret = factor["secret"].as_str().expect("a secret").to_owned();
    let code = api.code_of(&secret, 0);
    let confirm = json!({"code": code});
    let confirmed = api.ask(&ann, "POST", "/v1/account/totp/confirm", Some(confirm)).await;
    let recovery = confirmed.body["recovery_codes"][0].as_str().expect("a code").to_owned();
    let attempt = |code: Option<String>| {
        let given = json!({"email": "ann@example.com", "password": PASSWORD, "code": code});
        api.waiting(api.ask(&As::Nobody, "POST", "/v1/session", Some(given)))
    };
    let asked = attempt(None).await;
    assert_eq!((asked.status.as_u16(), &asked.body["field"]), (401, &json!("code")));
    assert_eq!(attempt(Some(code)).await.status, 401, "it confirmed the factor");
    assert_eq!(attempt(Some(recovery.clone())).await.status, 200);
    assert_eq!(attempt(Some(recovery)).await.status, 401, "it was used");
    assert_eq!(attempt(Some(api.code_of(&secret, 30))).await.status, 200);
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let api = TestApi::new().await;
    user(&api, "ann@example.com", None).await;
    let (here, there) =
        (sign_in(&api, "ann@example.com").await, sign_in(&api, "ann@example.com").await);
    let wrong = json!({"current": "not this one", "new": "another long one"});
    let refused = api.waiting(api.ask(&here, "POST", "/v1/account/password", Some(wrong))).await;
    assert_eq!((refused.status.as_u16(), &refused.body["field"]), (422, &json!("password")));
    let right = json!({"current": PASSWORD, "new": "another long one"});
    assert_eq!(api.ask(&here, "POST", "/v1/account/password", Some(right)).await.status, 200);
    assert_eq!(api.ask(&here, "GET", "/v1/session", None).await.status, 200);
    assert_eq!(api.ask(&there, "GET", "/v1/session", None).await.status, 401);
}

#[tokio::test]
async fn a_session_that_was_ended_from_another_lets_nobody_in() {
    let api = TestApi::new().await;
    user(&api, "ann@example.com", Some("owner")).await;
    let there = sign_in(&api, "ann@example.com").await;
    let own = api.ask(&there, "GET", "/v1/account/sessions", None).await.body;
    let here = sign_in(&api, "ann@example.com").await;
    let path = format!("/v1/account/sessions/{}", own["items"][0]["id"]);
    assert_eq!(api.ask(&there, "GET", "/v1/streams", None).await.status, 200);
    assert_eq!(api.ask(&here, "DELETE", &path, None).await.status, 200);
    assert_eq!(api.ask(&there, "GET", "/v1/streams", None).await.status, 401);
    let order = json!({"name": "own", "class": "marketing"});
    assert_eq!(api.ask(&there, "POST", "/v1/streams", Some(order)).await.status, 401);
    assert_eq!(api.ask(&here, "DELETE", &path, None).await.status, 404, "it is over");
    let left = api.ask(&here, "GET", "/v1/account/sessions", None).await.body;
    assert_eq!(left["items"].as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn who_is_invited_joins_once_in_the_role_that_was_offered() {
    let api = TestApi::new().await;
    user(&api, "owner@example.com", Some("owner")).await;
    let owner = sign_in(&api, "owner@example.com").await;
    let offer = json!({"email": "bob@example.com", "role": "developer"});
    let invited = api.ask(&owner, "POST", "/v1/invites", Some(offer)).await.body;
    let join = json!({"token": invited["token"], "name": "Bob", "password": PASSWORD});
    let joined = api.ask(&As::Nobody, "POST", "/v1/invites/accept", Some(join.clone())).await;
    assert_eq!((joined.status.as_u16(), &joined.body["role"]), (200, &json!("developer")));
    let again = api.ask(&As::Nobody, "POST", "/v1/invites/accept", Some(join)).await;
    assert_eq!((again.status.as_u16(), &again.body["field"]), (422, &json!("token")));
    let bob = sign_in(&api, "bob@example.com").await;
    assert_eq!(api.ask(&bob, "GET", "/v1/users", None).await.status, 200);
    let offer = json!({"email": "eve@example.com", "role": "owner"});
    assert_eq!(api.ask(&bob, "POST", "/v1/invites", Some(offer)).await.status, 403);
}

#[tokio::test]
async fn an_admin_makes_no_owner_and_the_last_owner_stays() {
    let api = TestApi::new().await;
    user(&api, "owner@example.com", Some("owner")).await;
    user(&api, "admin@example.com", Some("admin")).await;
    let admin = sign_in(&api, "admin@example.com").await;
    let users = api.ask(&admin, "GET", "/v1/users", None).await.body;
    let path = |of: usize| format!("/v1/users/{}", users["items"][of]["user"]);
    let raise = Some(json!({"role": "owner"}));
    assert_eq!(api.ask(&admin, "PATCH", &path(1), raise.clone()).await.status, 403);
    assert_eq!(api.ask(&admin, "DELETE", &path(0), None).await.status, 403);
    let owner = sign_in(&api, "owner@example.com").await;
    assert_eq!(api.ask(&owner, "DELETE", &path(0), None).await.status, 409);
    assert_eq!(api.ask(&owner, "PATCH", &path(1), raise).await.status, 200);
    assert_eq!(api.ask(&owner, "DELETE", &path(0), None).await.status, 200);
}

#[tokio::test]
async fn every_change_stands_in_the_audit_log_with_before_and_after() {
    let api = TestApi::new().await;
    user(&api, "owner@example.com", Some("owner")).await;
    let owner = sign_in(&api, "owner@example.com").await;
    let order = json!({"name": "shop", "rules": {"scopes": ["send"], "rate_hour": 10}});
    assert_eq!(api.ask(&owner, "POST", "/v1/credentials", Some(order)).await.status, 200);
    let rules = json!({"scopes": ["messages_read"]});
    let path = "/v1/credentials/shop";
    assert_eq!(api.ask(&owner, "PATCH", path, Some(rules)).await.status, 200);
    let log = api.ask(&owner, "GET", "/v1/audit", None).await.body;
    let last = &log["items"][0];
    assert_eq!((&last["action"], &last["target"]), (&json!("credential.changed"), &json!("shop")));
    assert_eq!(last["before"]["scopes"], json!(["send"]));
    assert_eq!(last["after"]["scopes"], json!(["messages_read"]));
    assert!(last["actor"].as_str().expect("text").ends_with("owner@example.com"));
    assert_eq!(api.ask(&owner, "DELETE", "/v1/credentials/none", None).await.status, 404);
    let again = api.ask(&owner, "GET", "/v1/audit", None).await.body;
    assert_eq!(again["items"][0], *last, "what changed nothing leaves no line");
}

#[tokio::test]
async fn what_was_refused_halfway_is_told_with_what_was_asked_for() {
    let api = TestApi::new().await;
    let add =
        |tag: &str| json!({"email": "c@there.test", "mode": "add", "contact": {"tags": [tag]}});
    let made = api.ask(&As::Operator, "POST", "/v1/contacts", Some(add("first"))).await;
    assert_eq!(made.status, 200, "{made:?}");
    let again = api.ask(&As::Operator, "POST", "/v1/contacts", Some(add("second"))).await;
    assert_eq!(again.status, 409, "the contact is there, and the tag was made before");
    let log = api.ask(&As::Operator, "GET", "/v1/audit", None).await.body;
    let lines = log["items"].as_array().expect("a list");
    let told: Vec<_> = lines.iter().map(|line| (&line["action"], &line["actor"])).collect();
    assert_eq!(told, [(&json!("contacts_add"), &json!("operator")); 2]);
    assert_eq!(lines[0]["after"], add("second"));
    assert_eq!(lines[1]["after"]["email"], "c@there.test");
    assert_eq!(lines[1]["after"]["tags"], json!(["first"]), "what was answered");
}

#[tokio::test]
async fn two_secrets_are_valid_until_a_rotation_is_finished() {
    let api = TestApi::new().await;
    let old = api.key("app").await;
    let path = "/v1/credentials/app/rotate";
    let made = api.ask(&As::Operator, "POST", path, None).await.body;
    let new = As::Key(format!("app:{}", made["secret"].as_str().expect("a secret")));
    for key in [&old, &new] {
        assert_eq!(api.ask(key, "GET", "/v1/deliveries", None).await.status, 200);
    }
    let path = "/v1/credentials/app/previous-secret";
    assert_eq!(api.ask(&As::Operator, "DELETE", path, None).await.status, 200);
    assert_eq!(api.waiting(api.ask(&old, "GET", "/v1/deliveries", None)).await.status, 401);
    assert_eq!(api.ask(&new, "GET", "/v1/deliveries", None).await.status, 200);
}

#[tokio::test]
async fn a_credential_is_refused_from_other_networks_and_after_its_end() {
    let api = TestApi::new().await;
    let key = api.key("app").await;
    let set = |rules: serde_json::Value| async {
        let set = api.ask(&As::Operator, "PATCH", "/v1/credentials/app", Some(rules)).await;
        assert_eq!(set.status, 200, "{set:?}");
        api.waiting(api.ask(&key, "GET", "/v1/deliveries", None)).await.status.as_u16()
    };
    assert_eq!(set(json!({"networks": ["192.0.2.0/24"]})).await, 200);
    assert_eq!(set(json!({"networks": ["198.51.100.0/24"]})).await, 401);
    let end = api.clock().now().0 + 60_000_000;
    assert_eq!(set(json!({"expires_at": end})).await, 200);
    api.clock().advance(Duration::from_secs(61));
    assert_eq!(set(json!({"expires_at": end})).await, 401);
    let refused = json!({"scopes": ["people_write"]});
    let refused = api.ask(&As::Operator, "PATCH", "/v1/credentials/app", Some(refused)).await;
    assert_eq!(refused.body["field"], "rules.scopes");
}
