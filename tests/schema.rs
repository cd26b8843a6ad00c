//! The API against its own document, by schemathesis (installed by `scripts/test-tools`): no
//! answer outside the schema, no 5xx, whoever asks.

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

/// `examples` of each operation, as whom the headers say.
fn run(http: &str, headers: &[String], phases: &str, examples: u32) {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", "1500"]).arg(schemathesis());
    command.args(["run", &format!("{http}/v1/openapi.json")]);
    command.args(["--max-examples", &examples.to_string(), "--generation-deterministic"]);
    command.args(["--phases", phases, "--no-color", "--continue-on-failure"]);
    command.args(["--checks", CHECKS, "--exclude-path-regex", LEFT_OUT, "--warnings", "off"]);
    command.args(["--suppress-health-check", "all"]);
    for header in headers {
        command.args(["--header", header]);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let output = command.current_dir(directory.path()).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let end: Vec<&str> = told.lines().rev().take(150).collect();
    let end: Vec<&str> = end.into_iter().rev().collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors}", end.join("\n"));
}

fn is_nightly() -> bool {
    std::env::var_os("POSTROAD_NIGHTLY").is_some()
}

#[test]
fn every_answer_to_a_key_is_as_the_document_says() {
    let demo = Demo::start();
    let key = format!("Authorization: Bearer {}", demo.fact("api_key"));
    let examples = if is_nightly() { 200 } else { 4 };
    run(demo.fact("http"), &[key], "coverage,fuzzing", examples);
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (phases, examples) = if is_nightly() { ("coverage,fuzzing", 50) } else { ("fuzzing", 1) };
    let roles = Role::ALL.iter().map(|role| role.word()).chain(["installation"]);
    let callers: Vec<Vec<String>> =
        roles.map(|role| runtime.block_on(signed_in(&demo, role))).collect();
    let http = demo.fact("http");
    for pair in callers.chunks(2) {
        std::thread::scope(|scope| {
            for headers in pair {
                scope.spawn(move || run(http, headers, phases, examples));
            }
        });
    }
}
