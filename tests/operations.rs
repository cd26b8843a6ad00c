//! Every operation of the API succeeds once over a whole daemon, and every change that one of them
//! makes stands in the audit log.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::PATIENCE;
use crate::support::api::PASSWORD;
use crate::support::demo::Demo;
use crate::support::operator;

/// What no walk through a demo brings about: each has tests of its own.
const LEFT_OUT: [(&str, &str); 9] = [
    ("POST", "/v1/setup"),               // tests/setup.rs: once for an installation
    ("POST", "/v1/account/totp/remove"), // tests/people.rs: needs a clock that is moved
    ("POST", "/v1/decisions/{id}/pin"),  // tests/warmup.rs: a rule must have acted
    ("POST", "/v1/decisions/{id}/undo"),
    ("POST", "/v1/password-resets/take"), // tests/notices.rs: the token is in a mail
    ("POST", "/v1/campaigns/{id}/winner"), // tests/readers.rs: a test that waits for one
    ("POST", "/v1/reload"),               // tests/config.rs: the demo has no settings file
    ("POST", "/v1/sources/{name}/test"),  // tests/egress.rs: from an address of this host
    ("POST", "/v1/relays/ses"),           // src/feedback/sns/story.rs: signed by SNS
];

/// Operations that change nothing that stays, or are mail: as `api/trail.rs` has them.
const UNTOLD: [&str; 16] = [
    "POST /v1/campaigns/{id}/preview",
    "POST /v1/campaigns/{id}/test",
    "POST /v1/classification/rules/try",
    "POST /v1/domains/{name}/check",
    "POST /v1/forecast",
    "POST /v1/hold-rules/preview",
    "POST /v1/imports",
    "POST /v1/messages",
    "POST /v1/messages/batch",
    "POST /v1/messages/raw",
    "POST /v1/password-resets",
    "POST /v1/return-domains/{id}/check",
    "POST /v1/segments/count",
    "POST /v1/session",
    "DELETE /v1/session",
    "POST /v1/templates/preview",
];
const UNTOLD_OF_ONESELF: [&str; 2] = ["POST /v1/account/totp", "DELETE /v1/account/sessions/{id}"];

const AUTOMATIONS: &str = include_str!("automations.rs");
const CAMPAIGNS: &str = include_str!("campaigns.rs");
const IMPORTS: &str = include_str!("imports.rs");
const PROGRESS: &str = include_str!("progress.rs");
const ROUTES: &str = include_str!("routes.rs");

/// Operations that need a world of their own: the test that gets a good answer from each, and what
/// stands there where it is asked.
const ELSEWHERE: [(&str, &str, &str, &str); 26] = [
    ("POST", "/v1/automation-events", AUTOMATIONS, "\"POST\", \"/v1/automation-events\""),
    ("GET", "/v1/automations/{id}/runs", AUTOMATIONS, "\"/v1/automations/{id}/runs\""),
    ("POST", "/v1/automations/{id}/step", AUTOMATIONS, "\"/v1/automations/{id}/step\""),
    ("DELETE", "/v1/automations/{id}/runs/{run}", AUTOMATIONS, "/v1/automations/{id}/runs/{run}"),
    ("GET", "/v1/campaigns/compare", CAMPAIGNS, "/v1/campaigns/compare?ids={second},{first}"),
    (
        "POST",
        "/v1/campaigns/{id}/copy",
        CAMPAIGNS,
        "\"POST\", &format!(\"/v1/campaigns/{second}/copy",
    ),
    ("GET", "/v1/campaigns/{id}/outlook", CAMPAIGNS, "/v1/campaigns/{second}/outlook"),
    ("POST", "/v1/campaigns/{id}/go-on", include_str!("windows.rs"), "/v1/campaigns/{id}/go-on"),
    ("GET", "/v1/campaigns/{id}/progress", PROGRESS, "/v1/campaigns/{id}/progress"),
    ("GET", "/v1/campaigns/{id}/deliveries", PROGRESS, "/v1/campaigns/{id}/deliveries"),
    ("POST", "/v1/contacts/{id}/erase", include_str!("engagement.rs"), "/v1/contacts/{ann}/erase"),
    ("GET", "/v1/contacts/{id}/export", include_str!("engagement.rs"), "/v1/contacts/{ann}/export"),
    ("GET", "/v1/contacts/{id}/story", include_str!("engagement.rs"), "/v1/contacts/{}/story"),
    ("GET", "/v1/events/stream", include_str!("send.rs"), "follow(\"/v1/events/stream"),
    ("POST", "/v1/imports", IMPORTS, "api.upload(&format!(\"/v1/imports{query}\")"),
    ("GET", "/v1/imports/{id}", IMPORTS, "done(api, \"GET\", path"),
    ("DELETE", "/v1/imports/{id}", IMPORTS, "done(&api, \"DELETE\", &path"),
    ("POST", "/v1/imports/{id}/start", IMPORTS, "\"POST\", &format!(\"{path}/start\")"),
    ("POST", "/v1/imports/{id}/cancel", IMPORTS, "\"POST\", &format!(\"{path}/cancel\")"),
    ("GET", "/v1/imports/{id}/failed", IMPORTS, "/v1/imports/{}/failed"),
    ("GET", "/v1/inbound-calls/{id}", ROUTES, "relay.see(&format!(\"/v1/inbound-calls/{}\""),
    ("DELETE", "/v1/inbound-calls/{id}", ROUTES, "relay.remove(&format!(\"/v1/inbound-calls/{}\""),
    ("POST", "/v1/inbound-calls/{id}/release", ROUTES, "/v1/inbound-calls/{id}/release"),
    ("POST", "/v1/media", CAMPAIGNS, "POST /v1/media?name={name}"),
    ("DELETE", "/v1/media/{id}", CAMPAIGNS, "desk.done(\"DELETE\", &path"),
    ("POST", "/v1/messages/template", CAMPAIGNS, "\"POST\", \"/v1/messages/template\""),
];

fn is_asked_elsewhere(method: &str, path: &str) -> bool {
    ELSEWHERE.iter().any(|(other, own, ..)| (*other, *own) == (method, path))
}

#[test]
fn who_is_said_to_ask_an_operation_asks_it() {
    for (method, path, test, words) in ELSEWHERE {
        assert!(test.contains(words), "{method} {path}: {words}");
    }
}

struct Walk {
    demo: Demo,
    socket: PathBuf,
    done: BTreeSet<(String, String)>,
    /// What changed something and left no line.
    silent: Vec<String>,
    cookie: String,
}

impl Walk {
    fn begin() -> Walk {
        let demo = Demo::start();
        let socket = PathBuf::from(demo.fact("data_dir")).join("control.sock");
        let (done, silent, cookie) = Default::default();
        Walk { demo, socket, done, silent, cookie }
    }

    async fn newest_line(&self) -> i64 {
        let (_, page) = operator::ask(&self.socket, "GET", "/v1/audit", Value::Null).await;
        page["items"][0]["id"].as_i64().unwrap_or(0)
    }

    /// As the operator: `path` with its parameters filled from `with`, in order.
    async fn go(&mut self, method: &str, path: &str, with: &[&str], body: Value) -> Value {
        let before = self.newest_line().await;
        let asked = filled(path, with);
        let (status, answer) = operator::ask(&self.socket, method, &asked, body).await;
        assert!((200..300).contains(&status), "{method} {asked}: {status} {answer}");
        self.note(method, path, before).await;
        answer
    }

    async fn note(&mut self, method: &str, path: &str, before: i64) {
        let template = path.split('?').next().expect("a path");
        self.done.insert((method.to_owned(), template.to_owned()));
        let name = format!("{method} {template}");
        let is_told = method != "GET"
            && !UNTOLD.contains(&name.as_str())
            && !UNTOLD_OF_ONESELF.contains(&name.as_str());
        if is_told && self.newest_line().await == before {
            self.silent.push(name);
        }
    }

    async fn get(&mut self, path: &str, with: &[&str]) -> Value {
        self.go("GET", path, with, Value::Null).await
    }

    /// Over HTTP, with the cookie of a session; the answer's head and body.
    async fn as_person(&mut self, method: &str, path: &str, with: &[&str], body: Value) -> Value {
        let before = self.newest_line().await;
        let address = self.demo.fact("http").trim_start_matches("http://").to_owned();
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Sec-Fetch-Site: same-origin\r\nCookie: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{text}",
            filled(path, with),
            self.cookie,
            text.len()
        );
        let mut stream = TcpStream::connect(&address).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let reading = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer));
        reading.await.expect("in time").expect("read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        if let Some((_, rest)) = head.split_once("set-cookie: ") {
            self.cookie = rest.split(';').next().expect("a cookie").to_owned();
        }
        self.note(method, path, before).await;
        serde_json::from_str(body).unwrap_or_default()
    }
}

fn filled(path: &str, with: &[&str]) -> String {
    let mut with = with.iter();
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        filled.push_str(with.next().expect("a value for each parameter"));
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    filled + rest
}

fn id(answer: &Value) -> String {
    answer["id"].to_string()
}

async fn mail(walk: &mut Walk) {
    let from = walk.demo.fact("from").to_owned();
    let domain = walk.demo.fact("accepting_domain").to_owned();
    let to = |local: &str| format!("{local}@{domain}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    let in_hours = |hours: u64| (now.as_secs() + hours * 3600) * 1_000_000;
    let letter = |local: &str| {
        json!({"from": from, "to": [to(local)], "subject": "walk", "text": "hi",
            "scheduled_at": in_hours(24), "expires_at": in_hours(48)})
    };
    let sent = walk.go("POST", "/v1/messages", &[], letter("one")).await;
    let message = id(&sent);
    walk.go("POST", "/v1/messages/batch", &[], json!({"messages": [letter("two")]})).await;
    let raw = "RnJvbTogaGVsbG9Ac2hvcC50ZXN0DQpTdWJqZWN0OiByYXcNCg0KaGkNCg==";
    let order = json!({"from": from, "to": [to("three")], "raw": raw});
    walk.go("POST", "/v1/messages/raw", &[], order).await;
    walk.get("/v1/messages", &[]).await;
    walk.get("/v1/messages/{id}", &[&message]).await;
    walk.get("/v1/messages/{id}/raw", &[&message]).await;
    let timeline = walk.get("/v1/messages/{id}/timeline", &[&message]).await;
    assert_eq!(timeline["source"], "kept");
    let page = walk.get("/v1/deliveries", &[]).await;
    assert!(!page["items"].as_array().expect("a list").is_empty());
    let found = walk.get(&format!("/v1/deliveries?message={message}"), &[]).await;
    let delivery = id(&found["items"][0]);
    walk.get("/v1/deliveries/count", &[]).await;
    walk.get("/v1/deliveries/{id}", &[&delivery]).await;
    walk.get(&format!("/v1/why?delivery={delivery}"), &[]).await;
    walk.go("POST", "/v1/deliveries/{id}/resend", &[&delivery], Value::Null).await;
    let order = json!({"action": "cancel", "filter": {"message": sent["id"]}});
    walk.go("POST", "/v1/deliveries/steer", &[], order).await;
    let rule = json!({"tag": "no such tag", "reason": "a walk"});
    walk.go("POST", "/v1/hold-rules/preview", &[], rule.clone()).await;
    let rule = walk.go("POST", "/v1/hold-rules", &[], rule).await;
    walk.get("/v1/hold-rules", &[]).await;
    walk.go("DELETE", "/v1/hold-rules/{id}", &[&id(&rule)], Value::Null).await;
    let trace = json!({"recipient": to("one"), "hours": 1});
    let trace = walk.go("POST", "/v1/traces", &[], trace).await;
    walk.get("/v1/traces", &[]).await;
    walk.go("DELETE", "/v1/traces/{id}", &[&id(&trace)], Value::Null).await;
    for path in ["/v1/events", "/v1/events/kinds", "/v1/lanes", "/v1/inbound", "/v1/check"] {
        walk.get(path, &[]).await;
    }
    let names = walk.get("/v1/host-names", &[]).await;
    let state = |at: usize| names["items"][at]["record"]["state"].as_str().map(ToOwned::to_owned);
    assert_eq!([state(0), state(1), state(2)], [(); 3].map(|()| Some("right".to_owned())));
    for path in ["/health/live", "/health/ready", "/metrics", "/v1/openapi.json", "/v1/setup"] {
        walk.get(path, &[]).await;
    }
}

async fn tenants(walk: &mut Walk) {
    let none = Value::Null;
    let made = walk.go("POST", "/v1/organizations", &[], json!({"name": "walked"})).await;
    let own = id(&made);
    walk.get("/v1/organizations", &[]).await;
    walk.get("/v1/organizations/{id}", &[&own]).await;
    walk.go("PATCH", "/v1/organizations/{id}", &[&own], json!({"keep_days": 9})).await;
    walk.go("PUT", "/v1/organizations/{id}/send-limits", &[&own], json!({"day": 9})).await;
    walk.go("PUT", "/v1/organizations/{id}/pool", &[&own], json!({"pool": "default"})).await;
    let order = json!({"reason": "a walk"});
    walk.go("POST", "/v1/organizations/{id}/suspend", &[&own], order.clone()).await;
    walk.go("POST", "/v1/organizations/{id}/resume", &[&own], none.clone()).await;
    let stream = json!({"name": "walked", "class": "marketing"});
    let stream = id(&walk.go("POST", "/v1/streams", &[], stream).await);
    walk.get("/v1/streams", &[]).await;
    walk.get("/v1/streams/{id}/policy", &[&stream]).await;
    let policy = json!({"suppressed": "hold", "bounces": "asked"});
    walk.go("PUT", "/v1/streams/{id}/policy", &[&stream], policy).await;
    walk.go("POST", "/v1/streams/{id}/hold", &[&stream], order).await;
    walk.go("POST", "/v1/streams/{id}/release", &[&stream], none.clone()).await;
    walk.go("POST", "/v1/credentials", &[], json!({"name": "walked"})).await;
    walk.get("/v1/credentials", &[]).await;
    let rules = json!({"scopes": ["send"]});
    walk.go("PATCH", "/v1/credentials/{name}", &["walked"], rules).await;
    walk.go("POST", "/v1/credentials/{name}/rotate", &["walked"], none.clone()).await;
    let path = "/v1/credentials/{name}/previous-secret";
    walk.go("DELETE", path, &["walked"], none.clone()).await;
    walk.go("DELETE", "/v1/credentials/{name}", &["walked"], none.clone()).await;
    walk.go("POST", "/v1/domains", &[], json!({"name": "walked.test"})).await;
    walk.get("/v1/domains", &[]).await;
    tracked(walk, &stream).await;
    walk.go("POST", "/v1/domains/{name}/check", &["shop.test"], none.clone()).await;
    let keys = walk.go("POST", "/v1/dkim", &[], json!({"domain": "walked.test"})).await;
    walk.get("/v1/dkim", &[]).await;
    let selector = keys["items"][0]["selector"].as_str().expect("a selector").to_owned();
    let path = "/v1/dkim/{domain}/{selector}";
    walk.go("DELETE", path, &["walked.test", &selector], none.clone()).await;
    let named = json!({"name": "back.walked.test"});
    let back = walk.go("POST", "/v1/return-domains", &[], named).await;
    walk.get("/v1/return-domains", &[]).await;
    let path = "/v1/return-domains/{id}/check";
    walk.go("POST", path, &[&id(&back)], none.clone()).await;
    walk.go("DELETE", "/v1/return-domains/{id}", &[&id(&back)], none.clone()).await;
    walk.go("DELETE", "/v1/domains/{name}", &["walked.test"], none).await;
    walk.get("/v1/audit", &[]).await;
}

/// What comes in, what is kept for mails, and what goes by itself.
async fn other_things(walk: &mut Walk) {
    let none = Value::Null;
    for path in [
        "/v1/automations",
        "/v1/health-windows",
        "/v1/imports",
        "/v1/inbound-calls",
        "/v1/media",
        "/v1/segments/ready",
        "/v1/tracking",
    ] {
        walk.get(path, &[]).await;
    }
    walk.go("PUT", "/v1/tracking", &[], json!({"keep_days": 400})).await;
    let route = json!({"pattern": "walked@shop.test", "action": "refuse", "organization": 1});
    let route = id(&walk.go("POST", "/v1/inbound-routes", &[], route).await);
    walk.get("/v1/inbound-routes", &[]).await;
    walk.go("DELETE", "/v1/inbound-routes/{id}", &[&route], none.clone()).await;
    let blocks = json!({"name": "walked", "blocks": [{"type": "text", "text": "words"}]});
    let saved = id(&walk.go("POST", "/v1/saved-blocks", &[], blocks.clone()).await);
    walk.get("/v1/saved-blocks", &[]).await;
    walk.go("PUT", "/v1/saved-blocks/{id}", &[&saved], blocks).await;
    walk.go("DELETE", "/v1/saved-blocks/{id}", &[&saved], none.clone()).await;
    let steps = json!([{"kind": "wait", "seconds": 60}]);
    let input = json!({"name": "walked", "entry": {"kind": "tag", "tag": "walked"},
        "steps": steps});
    let made = id(&walk.go("POST", "/v1/automations", &[], input.clone()).await);
    walk.get("/v1/automations/{id}", &[&made]).await;
    walk.go("PUT", "/v1/automations/{id}", &[&made], input).await;
    walk.go("DELETE", "/v1/automations/{id}", &[&made], none).await;
}

/// What links of a stream and of a domain do, and where they lead.
async fn tracked(walk: &mut Walk, stream: &str) {
    let (path, both) = ("/v1/streams/{id}/tracking", json!({"tracking": "both"}));
    walk.go("PUT", path, &[stream], both.clone()).await;
    walk.get(path, &[stream]).await;
    let path = "/v1/domains/{name}/tracking";
    walk.go("PUT", path, &["walked.test"], both).await;
    walk.get(path, &["walked.test"]).await;
    let path = "/v1/public-host";
    walk.go("PUT", path, &[], json!({"host": "click.walked.test"})).await;
    walk.get(path, &[]).await;
    walk.go("PUT", path, &[], json!({"host": null})).await;
    let path = "/v1/public-theme";
    walk.go("PUT", path, &[], json!({"color": "#0a7f5a"})).await;
    walk.get(path, &[]).await;
}

async fn people(walk: &mut Walk) {
    let none = Value::Null;
    let email = walk.demo.fact("admin_email").to_owned();
    let password = walk.demo.fact("admin_password").to_owned();
    let user = |email: &str| json!({"email": email, "password": PASSWORD, "role": "read_only"});
    let one = walk.go("POST", "/v1/installation/users", &[], user("w1@shop.test")).await;
    let two = walk.go("POST", "/v1/installation/users", &[], user("w2@shop.test")).await;
    walk.get("/v1/installation/users", &[]).await;
    let path = "/v1/installation/users/{id}/disable";
    walk.go("POST", path, &[&id(&two)], none.clone()).await;
    walk.get("/v1/users", &[]).await;
    walk.go("PATCH", "/v1/users/{id}", &[&id(&one)], json!({"role": "marketer"})).await;
    walk.go("DELETE", "/v1/users/{id}", &[&id(&one)], none.clone()).await;
    let offer = |email: &str| json!({"email": email, "role": "developer"});
    let first = walk.go("POST", "/v1/invites", &[], offer("w3@shop.test")).await;
    walk.get("/v1/invites", &[]).await;
    let join = json!({"token": first["token"], "password": PASSWORD});
    walk.go("POST", "/v1/invites/accept", &[], join).await;
    let second = walk.go("POST", "/v1/invites", &[], offer("w4@shop.test")).await;
    walk.go("DELETE", "/v1/invites/{id}", &[&id(&second["invite"])], none.clone()).await;
    walk.go("POST", "/v1/password-resets", &[], json!({"email": "w3@shop.test"})).await;
    let given = json!({"email": email, "password": password});
    walk.as_person("POST", "/v1/session", &[], given.clone()).await;
    let first = walk.cookie.clone();
    walk.as_person("POST", "/v1/session", &[], given).await;
    walk.as_person("GET", "/v1/session", &[], none.clone()).await;
    let sessions = walk.as_person("GET", "/v1/account/sessions", &[], none.clone()).await;
    let other = id(&sessions["items"][0]);
    assert_ne!(first, walk.cookie);
    walk.as_person("DELETE", "/v1/account/sessions/{id}", &[&other], none.clone()).await;
    let change = json!({"current": password, "new": PASSWORD});
    walk.as_person("POST", "/v1/account/password", &[], change).await;
    let factor = walk.as_person("POST", "/v1/account/totp", &[], none.clone()).await;
    let code = code_of(factor["secret"].as_str().expect("a secret"));
    walk.as_person("POST", "/v1/account/totp/confirm", &[], json!({"code": code})).await;
    walk.as_person("DELETE", "/v1/session", &[], none).await;
}

fn code_of(secret: &str) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).expect("base32");
    let totp = totp_rs::Builder::new().with_secret(secret).with_account_name("a").build();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    totp.expect("lawful").generate(now.expect("after 1970").as_secs()).to_string()
}

async fn delivery(walk: &mut Walk) {
    let none = Value::Null;
    let source = json!({"name": "walked", "address": ["127.0.9.9"], "ehlo": "mx.museum.test"});
    walk.go("POST", "/v1/sources", &[], source).await;
    let source = json!({"address": ["127.0.9.8"], "ehlo": "mx.museum.test"});
    walk.go("PUT", "/v1/sources/{name}", &["walked"], source).await;
    walk.get("/v1/sources", &[]).await;
    walk.get("/v1/sources/{name}", &["walked"]).await;
    let path = "/v1/sources/{name}/state";
    walk.go("POST", path, &["walked"], json!({"state": "suspended"})).await;
    let path = "/v1/sources/{name}/override";
    walk.go("POST", path, &["walked"], json!({"is_overridden": true})).await;
    walk.go("POST", "/v1/pools", &[], json!({"name": "walked"})).await;
    walk.get("/v1/pools", &[]).await;
    let path = "/v1/pools/{name}/sources";
    walk.go("POST", path, &["walked"], json!({"source": "walked"})).await;
    let rule = json!({"pool": "walked", "position": 999, "tag": "walked"});
    let rule = walk.go("POST", "/v1/pool-rules", &[], rule).await;
    walk.get("/v1/pool-rules", &[]).await;
    walk.go("DELETE", "/v1/pool-rules/{id}", &[&id(&rule)], none.clone()).await;
    let path = "/v1/pools/{name}/sources/{source}";
    walk.go("DELETE", path, &["walked", "walked"], none.clone()).await;
    walk.go("DELETE", "/v1/pools/{name}", &["walked"], none.clone()).await;
    walk.go("DELETE", "/v1/sources/{name}", &["walked"], none.clone()).await;
    let limit = json!({"metric": "messages", "value": 100_000, "window": "1h"});
    let limit = walk.go("POST", "/v1/limits", &[], limit).await;
    walk.get("/v1/limits", &[]).await;
    walk.go("POST", "/v1/limits/{id}/pin", &[&id(&limit)], json!({"pinned": true})).await;
    walk.go("DELETE", "/v1/limits/{id}", &[&id(&limit)], none.clone()).await;
    walk.get("/v1/warmup-plans?target=1000", &[]).await;
    let order = json!({"source": "demo", "target": 1000});
    walk.go("POST", "/v1/warmups", &[], order).await;
    let warmups = walk.get("/v1/warmups", &[]).await;
    let warmup = id(&warmups["items"][0]);
    walk.get("/v1/warmups/{id}", &[&warmup]).await;
    walk.go("POST", "/v1/warmups/{id}/steer", &[&warmup], json!({"action": "pause"})).await;
    walk.get("/v1/decisions", &[]).await;
    walk.get("/v1/forecast", &[]).await;
    walk.go("POST", "/v1/forecast", &[], json!({"operators": {"google": 100}})).await;
    let rule = json!({"id": "walked", "class": "policy", "confidence": 0.9,
        "phrases": ["a walk is not taken"], "samples": ["550 5.7.1 a walk is not taken"]});
    let tried = json!({"rule": rule});
    walk.go("POST", "/v1/classification/rules/try", &[], tried).await;
    walk.go("POST", "/v1/classification/rules", &[], rule).await;
    walk.get("/v1/classification/rules", &[]).await;
    walk.go("DELETE", "/v1/classification/rules/{id}", &["walked"], none.clone()).await;
    walk.get("/v1/classification/unclassified", &[]).await;
    let entry = json!({"entries": [{"address": "walked@example.test"}], "scope": "organization"});
    walk.go("POST", "/v1/suppressions", &[], entry).await;
    let found = walk.get("/v1/suppressions?address=walked@example.test", &[]).await;
    let path = "/v1/suppressions/{id}/remove";
    walk.go("POST", path, &[&id(&found["items"][0])], json!({"note": "a walk"})).await;
    walk.get("/v1/suppressions/test?address=a@example.test&stream=1", &[]).await;
    let hook = json!({"name": "walked", "url": "https://hooks.example.test/"});
    let hook = id(&walk.go("POST", "/v1/webhooks", &[], hook).await["webhook"]);
    walk.get("/v1/webhooks", &[]).await;
    walk.get("/v1/webhooks/{id}", &[&hook]).await;
    walk.go("POST", "/v1/webhooks/{id}/test", &[&hook], none.clone()).await;
    walk.go("PATCH", "/v1/webhooks/{id}", &[&hook], json!({"enabled": false})).await;
    walk.go("POST", "/v1/webhooks/{id}/rotate", &[&hook], none.clone()).await;
    walk.go("POST", "/v1/webhooks/{id}/replay", &[&hook], json!({"from": 0, "to": 1})).await;
    walk.get("/v1/webhooks/{id}/calls", &[&hook]).await;
    walk.go("DELETE", "/v1/webhooks/{id}", &[&hook], none).await;
}

/// A contact, and the list that it is on.
async fn contacts(walk: &mut Walk) -> (String, Value) {
    let none = Value::Null;
    let field = json!({"name": "walked", "kind": "text"});
    walk.go("POST", "/v1/contact-fields", &[], field).await;
    walk.get("/v1/contact-fields", &[]).await;
    let path = "/v1/contact-fields/{name}";
    walk.go("PATCH", path, &["walked"], json!({"label": "Walked"})).await;
    walk.go("PUT", "/v1/contact-domains", &[], json!({"blocked": ["*.spam.test"]})).await;
    walk.get("/v1/contact-domains", &[]).await;
    walk.get("/v1/sealing", &[]).await;
    walk.go("POST", "/v1/sealing/rotate", &[], none.clone()).await;
    walk.go("POST", "/v1/sealing/reseal", &[], json!({"organization": 1})).await;
    let list = json!({"name": "walked", "opt_in": "single"});
    let list = walk.go("POST", "/v1/lists", &[], list).await;
    walk.get("/v1/lists", &[]).await;
    walk.get("/v1/tags", &[]).await;
    let change = json!({"name": "walked on", "opt_in": "single"});
    walk.go("PUT", "/v1/lists/{id}", &[&id(&list)], change).await;
    let form = json!({"fields": ["walked"], "wording": "I agree"});
    walk.go("PUT", "/v1/lists/{id}/form", &[&id(&list)], form).await;
    walk.get("/v1/lists/{id}/form", &[&id(&list)]).await;
    let contact = json!({"email": "c@accepting.test", "contact": {"name": "C",
        "subscribe": [list["id"]], "consent": {"source": "a walk"}}});
    let contact = id(&walk.go("POST", "/v1/contacts", &[], contact).await);
    for path in ["/v1/contacts", "/v1/contacts/count", "/v1/contacts/export"] {
        walk.get(path, &[]).await;
    }
    walk.get("/v1/contacts/{id}", &[&contact]).await;
    walk.go("PATCH", "/v1/contacts/{id}", &[&contact], json!({"name": "D"})).await;
    walk.get("/v1/lists/{id}/growth", &[&id(&list)]).await;
    let bulk = json!({"segment": "name = \"D\"", "change": {"tags": ["walked"]}});
    walk.go("POST", "/v1/contacts/bulk", &[], bulk).await;
    let segment = json!({"name": "walked", "expression": "name = \"D\""});
    walk.go("POST", "/v1/segments/count", &[], json!({"expression": "name = \"D\""})).await;
    let made = id(&walk.go("POST", "/v1/segments", &[], segment.clone()).await);
    walk.get("/v1/segments", &[]).await;
    walk.go("PUT", "/v1/segments/{id}", &[&made], segment).await;
    walk.go("DELETE", "/v1/segments/{id}", &[&made], none).await;
    (contact, list["id"].clone())
}

async fn campaigns(walk: &mut Walk, (contact, list): (&str, Value)) {
    let none = Value::Null;
    let seen: i64 = contact.parse().expect("an id");
    let layout = json!({"name": "walked", "body": "<div>{{ content }}</div>"});
    let made = id(&walk.go("POST", "/v1/layouts", &[], layout.clone()).await);
    walk.get("/v1/layouts", &[]).await;
    walk.go("PUT", "/v1/layouts/{id}", &[&made], layout).await;
    walk.go("DELETE", "/v1/layouts/{id}", &[&made], none.clone()).await;
    let template = json!({"name": "walked", "kind": "html", "subject": "Hi", "body": "<p>Hi</p>"});
    let made = walk.go("POST", "/v1/templates", &[], template.clone()).await;
    walk.get("/v1/templates", &[]).await;
    walk.get("/v1/templates/{id}", &[&id(&made)]).await;
    let mut change = template.clone();
    change["revision"] = made["revision"].clone();
    walk.go("PUT", "/v1/templates/{id}", &[&id(&made)], change).await;
    let wanted = json!({"contact": seen, "template": template});
    walk.go("POST", "/v1/templates/preview", &[], wanted).await;
    walk.go("DELETE", "/v1/templates/{id}", &[&id(&made)], none.clone()).await;
    let from = walk.demo.fact("from").to_owned();
    let body = "<p>Hi <a href=\"{{ unsubscribe_url }}\">leave</a></p>";
    let variant = json!({"subject": "Hi", "kind": "html", "body": body});
    let input = json!({"name": "walked", "from": from, "variants": [variant],
        "settings": {"audience": {"lists": [list]}}});
    let made = walk.go("POST", "/v1/campaigns", &[], input.clone()).await;
    let campaign = id(&made);
    walk.get("/v1/campaigns", &[]).await;
    walk.get("/v1/campaigns/{id}", &[&campaign]).await;
    walk.get("/v1/campaigns/{id}/checks", &[&campaign]).await;
    walk.get("/v1/campaigns/{id}/links", &[&campaign]).await;
    walk.go("PUT", "/v1/campaigns/{id}", &[&campaign], input.clone()).await;
    let path = "/v1/campaigns/{id}/preview";
    walk.go("POST", path, &[&campaign], json!({"contact": seen})).await;
    let domain = walk.demo.fact("accepting_domain").to_owned();
    let order = json!({"contact": seen, "to": [format!("proof@{domain}")]});
    walk.go("POST", "/v1/campaigns/{id}/test", &[&campaign], order).await;
    walk.go("POST", "/v1/campaigns/{id}/copy", &[&campaign], none.clone()).await;
    walk.get("/v1/campaigns/{id}/report", &[&campaign]).await;
    walk.get("/v1/campaigns/{id}/recipients", &[&campaign]).await;
    let mut later = input;
    later["settings"]["starts_at"] = json!(4_000_000_000_000_000_i64);
    walk.go("PUT", "/v1/campaigns/{id}", &[&campaign], later).await;
    walk.go("POST", "/v1/campaigns/{id}/step", &[&campaign], json!({"step": "schedule"})).await;
    walk.go("POST", "/v1/campaigns/{id}/step", &[&campaign], json!({"step": "unschedule"})).await;
    walk.go("DELETE", "/v1/campaigns/{id}", &[&campaign], none.clone()).await;
    walk.go("DELETE", "/v1/contacts/{id}", &[contact], none).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_succeeds_once_and_every_change_is_in_the_audit_log() {
    let mut walk = Walk::begin();
    mail(&mut walk).await;
    tenants(&mut walk).await;
    delivery(&mut walk).await;
    let (contact, list) = contacts(&mut walk).await;
    campaigns(&mut walk, (&contact, list)).await;
    other_things(&mut walk).await;
    people(&mut walk).await;
    assert!(walk.silent.is_empty(), "changes that left no line: {:#?}", walk.silent);
    let document = walk.get("/v1/openapi.json", &[]).await;
    let mut missing = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("an item").keys() {
            let method = method.to_uppercase();
            let is_left_out = LEFT_OUT.contains(&(method.as_str(), path.as_str()));
            let is_done = walk.done.contains(&(method.clone(), path.clone()));
            if !is_done && !is_left_out && !is_asked_elsewhere(&method, path) {
                missing.push(format!("{method} {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "operations that nobody asked: {missing:#?}");
}
