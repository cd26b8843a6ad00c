//! The API against its own document, by schemathesis (installed by `scripts/test-tools`): no
//! answer outside the schema, no 5xx, whoever asks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use postroad::model::Role;
use serde_json::{Value, json};

use crate::support::api::PASSWORD;
use crate::support::demo::Demo;
use crate::support::operator;

/// What would end the caller's own session, never ends, or counts as a guess at somebody's
/// password and so locks this address out.
const LEFT_OUT: &str = "^/v1/(session|account/.*|events/stream|invites/accept|reload|check|\
                        password-resets.*|installation/users/.id./disable)$";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance";

fn schemathesis() -> PathBuf {
    let tool = crate::sources::root().join("target/test-tools/schema/bin/schemathesis");
    let hint = "schemathesis is not installed: scripts/test-tools.d/schema";
    assert!(tool.exists(), "{hint}");
    tool
}

/// What one run has asked, and which operations gave it a good answer.
#[derive(Default)]
struct Tried {
    calls: usize,
    asked: BTreeSet<String>,
    succeeded: BTreeSet<String>,
}

impl Tried {
    /// From the report of a run: each request and its answer.
    fn read(report: &Path, templates: &[String]) -> Tried {
        let text = std::fs::read_to_string(report).expect("a report");
        let report: Value = serde_json::from_str(&text).expect("JSON");
        let mut tried = Tried::default();
        for entry in report["log"]["entries"].as_array().expect("entries") {
            let word = |value: &Value| value.as_str().expect("text").to_owned();
            let url = word(&entry["request"]["url"]);
            let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
            let path = path.map_or("", |(_, path)| path).split(['?', '#']).next();
            let Some(template) = template_of(templates, path.unwrap_or_default()) else { continue };
            let operation = format!("{} {template}", word(&entry["request"]["method"]));
            let status = entry["response"]["status"].as_i64().unwrap_or_default();
            tried.calls += 1;
            if (200..300).contains(&status) {
                tried.succeeded.insert(operation.clone());
            }
            tried.asked.insert(operation);
        }
        tried
    }
}

/// The path of the document that was asked; one without a parameter there goes before one with it.
fn template_of<'a>(templates: &'a [String], path: &str) -> Option<&'a str> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &&String| {
        let own: Vec<&str> = template.trim_start_matches('/').split('/').collect();
        let is_part = |(own, part): (&&str, &&str)| own.starts_with('{') || own == part;
        own.len() == parts.len() && own.iter().zip(&parts).all(is_part)
    };
    templates.iter().filter(fits).min_by_key(|one| one.matches('{').count()).map(String::as_str)
}

/// What is asked.
struct Order<'a> {
    phases: &'a str,
    /// Of each operation.
    examples: u32,
    /// The tool's settings.
    config: &'a str,
    arguments: &'a [&'a str],
}

/// Asks as whom the headers say.
fn run(http: &str, headers: &[String], order: &Order<'_>, document: &Value) -> Tried {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", "1500"]).arg(schemathesis());
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("schemathesis.toml");
    std::fs::write(&config, order.config).expect("written");
    command.arg("--config-file").arg(config);
    command.args(["run", &format!("{http}/v1/openapi.json")]);
    command.args(["--max-examples", &order.examples.to_string(), "--generation-deterministic"]);
    command.args(["--phases", order.phases, "--no-color", "--continue-on-failure"]);
    command.args(["--checks", CHECKS, "--exclude-path-regex", LEFT_OUT, "--warnings", "off"]);
    command.args(["--suppress-health-check", "all"]);
    command.args(["--report", "har", "--report-har-path", "report.har"]);
    command.args(order.arguments);
    for header in headers {
        command.args(["--header", header]);
    }
    let output = command.current_dir(directory.path()).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let end: Vec<&str> = told.lines().rev().take(150).collect();
    let end: Vec<&str> = end.into_iter().rev().collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors}", end.join("\n"));
    let templates: Vec<String> =
        document["paths"].as_object().expect("paths").keys().cloned().collect();
    Tried::read(&directory.path().join("report.har"), &templates)
}

/// Operations that are asked at all.
fn operations(document: &Value) -> BTreeSet<String> {
    let left_out = regex::Regex::new(LEFT_OUT).expect("lawful");
    let paths = document["paths"].as_object().expect("paths").iter();
    let paths = paths.filter(|(path, _)| !left_out.is_match(path));
    paths
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("an item").keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

async fn document(demo: &Demo) -> Value {
    let socket = Path::new(demo.fact("data_dir")).join("control.sock");
    operator::ask(&socket, "GET", "/v1/openapi.json", Value::Null).await.1
}

fn is_nightly() -> bool {
    std::env::var_os("POSTROAD_NIGHTLY").is_some()
}

#[test]
fn every_answer_to_a_key_is_as_the_document_says() {
    let demo = Demo::start();
    let key = format!("Authorization: Bearer {}", demo.fact("api_key"));
    let (examples, wanted) = if is_nightly() { (200, 10_000) } else { (4, 1_000) };
    let document = runtime().block_on(document(&demo));
    let order = Order { phases: "coverage,fuzzing", examples, config: "", arguments: &[] };
    let tried = run(demo.fact("http"), &[key], &order, &document);
    assert!(tried.calls >= wanted, "{} calls", tried.calls);
    let all = operations(&document);
    let mut left = missing(&all, &tried.asked);
    // It is asked for before all others.
    left.retain(|name| *name != "GET /v1/openapi.json");
    assert_eq!(left, Vec::<&String>::new(), "never asked");
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

fn missing<'a>(all: &'a BTreeSet<String>, of: &BTreeSet<String>) -> Vec<&'a String> {
    all.iter().filter(|name| !of.contains(*name)).collect()
}

/// The headers of somebody who is signed in as this.
async fn signed_in(demo: &Demo, role: &str) -> Vec<String> {
    let socket = Path::new(demo.fact("data_dir")).join("control.sock");
    let email = format!("{role}@schema.test");
    let order = json!({"email": email, "password": PASSWORD,
        "installation_admin": role == "installation",
        "role": if role == "installation" { Value::Null } else { role.into() }});
    let made = operator::ask(&socket, "POST", "/v1/installation/users", order).await;
    assert_eq!(made.0, 200, "{made:?}");
    let given = json!({"email": email, "password": PASSWORD});
    let cookie = operator::cookie(&socket, "/v1/session", given).await;
    vec![format!("Cookie: {cookie}"), "Sec-Fetch-Site: same-origin".to_owned()]
}

/// Ten thousand calls for each role in the nightly run, a thousand in all in the usual one.
#[test]
fn every_answer_to_every_role_is_as_the_document_says() {
    let demo = Demo::start();
    let runtime = runtime();
    let (phases, examples, wanted) =
        if is_nightly() { ("coverage,fuzzing", 50, 10_000) } else { ("fuzzing", 1, 150) };
    let roles = Role::ALL.iter().map(|role| role.word()).chain(["installation"]);
    let callers: Vec<Vec<String>> =
        roles.map(|role| runtime.block_on(signed_in(&demo, role))).collect();
    let (http, document) = (demo.fact("http"), runtime.block_on(document(&demo)));
    let order = Order { phases, examples, config: "", arguments: &[] };
    let (order, document) = (&order, &document);
    for pair in callers.chunks(2) {
        std::thread::scope(|scope| {
            for headers in pair {
                scope.spawn(move || {
                    let tried = run(http, headers, order, document);
                    assert!(tried.calls >= wanted, "{} calls of {headers:?}", tried.calls);
                });
            }
        });
    }
}

/// Reads of what nothing in this test brings about: each has a test of its own.
const NOT_THERE: [&str; 5] = [
    "GET /v1/why",                 // tests/why.rs: a mail that waits
    "GET /v1/campaigns/compare",   // tests/campaigns.rs: two campaigns that were sent
    "GET /v1/imports/{id}",        // tests/imports.rs
    "GET /v1/imports/{id}/failed", // tests/imports.rs
    "GET /v1/inbound-calls/{id}",  // tests/routes.rs: a mail that came in
];

fn in_a_month() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.expect("after 1970").as_secs() + 30 * 86_400;
    i64::try_from(seconds).expect("in range") * 1_000_000
}

/// One of each thing that is read by its id or name; the settings of schemathesis that name them.
async fn seeded(demo: &Demo) -> String {
    let socket = Path::new(demo.fact("data_dir")).join("control.sock");
    let done = async |path: &str, body: Value| {
        let (status, made) = operator::ask(&socket, "POST", path, body).await;
        assert!((200..300).contains(&status), "{path}: {made}");
        made
    };
    let from = demo.fact("from");
    let list = done("/v1/lists", json!({"name": "seeded"})).await["id"].clone();
    let body = "<p>Hi <a href=\"{{ unsubscribe_url }}\">leave</a></p>";
    let campaign = json!({"name": "seeded", "from": from,
        "variants": [{"subject": "Hi", "kind": "html", "body": body}],
        "settings": {"audience": {"lists": [list]}}});
    let automation = json!({"name": "seeded", "entry": {"kind": "tag", "tag": "seeded"},
        "steps": [{"kind": "wait", "seconds": 60}]});
    let template = json!({"name": "seeded", "kind": "html", "subject": "Hi", "body": "<p>Hi</p>"});
    let mail = json!({"from": from, "to": [format!("a@{}", demo.fact("accepting_domain"))],
        "subject": "seeded", "text": "hi", "scheduled_at": in_a_month()});
    let warmup = json!({"source": "news-1", "target": 1000});
    let hook = json!({"name": "seeded", "url": "https://hooks.example.test/"});
    let message = done("/v1/messages", mail).await["id"].clone();
    let found = format!("/v1/deliveries?message={message}");
    let deliveries = operator::ask(&socket, "GET", &found, Value::Null).await.1;
    done("/v1/warmups", warmup).await;
    let warmups = operator::ask(&socket, "GET", "/v1/warmups", Value::Null).await.1;
    let (_, domain) = from.split_once('@').expect("an address");
    let names = [
        ("automations", "id", done("/v1/automations", automation).await["id"].clone()),
        ("campaigns", "id", done("/v1/campaigns", campaign).await["id"].clone()),
        ("contacts", "id", done("/v1/contacts", json!({"email": "c@d.test"})).await["id"].clone()),
        ("deliveries", "id", deliveries["items"][0]["id"].clone()),
        ("domains", "name", domain.into()),
        ("lists", "id", list),
        ("messages", "id", message),
        ("organizations", "id", 1.into()),
        ("sources", "name", "news-1".into()),
        ("streams", "id", 1.into()),
        ("templates", "id", done("/v1/templates", template).await["id"].clone()),
        ("warmups", "id", warmups["items"][0]["id"].clone()),
        ("webhooks", "id", done("/v1/webhooks", hook).await["webhook"]["id"].clone()),
    ];
    let mut config = String::new();
    for (resource, name, value) in names {
        assert!(!value.is_null(), "{resource}");
        config += &format!("[[operations]]\ninclude-path-regex = \"^/v1/{resource}/\"\n");
        config += &format!("[operations.parameters]\n\"path.{name}\" = {value}\n");
    }
    config
        + "[[operations]]\ninclude-path = \"/v1/suppressions/test\"\n\
              [operations.parameters]\n\"query.address\" = \"a@b.test\"\n\"query.stream\" = 1\n"
}

#[test]
fn every_read_succeeds_with_what_the_document_says() {
    let demo = Demo::start();
    let runtime = runtime();
    let (document, config) = (runtime.block_on(document(&demo)), runtime.block_on(seeded(&demo)));
    let headers = runtime.block_on(signed_in(&demo, "installation"));
    let headers = [headers, vec!["Postroad-Organization: 1".to_owned()]].concat();
    let arguments = ["--include-method", "GET", "--mode", "positive"];
    let order = Order { phases: "fuzzing", examples: 3, config: &config, arguments: &arguments };
    let tried = run(demo.fact("http"), &headers, &order, &document);
    let mut wanted = operations(&document);
    wanted.retain(|name| name.starts_with("GET ") && !NOT_THERE.contains(&name.as_str()));
    assert_eq!(missing(&wanted, &tried.succeeded), Vec::<&String>::new(), "never succeeded");
}
