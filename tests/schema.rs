//! The API against its own document, by schemathesis (installed by `scripts/test-tools`): no
//! answer outside the schema, no 5xx, whoever asks.

use std::path::PathBuf;
use std::process::Command;

use crate::support::demo::Demo;

/// What would end the caller's own session, never ends, or counts as a guess at somebody's
/// password and so locks this address out.
const LEFT_OUT: &str = "^/v1/(session|account/.*|events/stream|invites/accept|reload|check|\
                        installation/users/.id./disable)$";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance";

fn schemathesis() -> PathBuf {
    let tool = crate::sources::root().join("target/test-tools/schema/bin/schemathesis");
    let hint = "schemathesis is not installed: scripts/test-tools.d/schema";
    assert!(tool.exists(), "{hint}");
    tool
}

/// `examples` of each operation, as whom the headers say.
fn run(demo: &Demo, headers: &[String], examples: u32) {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", "1500"]).arg(schemathesis());
    command.args(["run", &format!("{}/v1/openapi.json", demo.fact("http"))]);
    command.args(["--max-examples", &examples.to_string(), "--generation-deterministic"]);
    command.args(["--phases", "coverage,fuzzing", "--no-color", "--continue-on-failure"]);
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

fn examples() -> u32 {
    if std::env::var_os("POSTROAD_NIGHTLY").is_some() { 200 } else { 4 }
}

#[test]
fn every_answer_to_a_key_is_as_the_document_says() {
    let demo = Demo::start();
    run(&demo, &[format!("Authorization: Bearer {}", demo.fact("api_key"))], examples());
}
