//! Applications that were written for Postal: its API, its webhooks, its way to sign in.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use postroad::wire::network::Network;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::http::HttpSink;
use crate::support::mx::FakeMx;
use crate::support::relay::{CREDENTIAL, Database, SECRET, SENDER, TestRelay};
use crate::support::{PATIENCE, operator, until};

/// Status, and the answer's JSON.
async fn request(relay: &TestRelay, line: &str, headers: &[&str], body: &str) -> (u16, Value) {
    let address = relay.http();
    let mut request = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for header in headers {
        request += &format!("{header}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
    waiting(relay, reading).await.expect("in time").expect("read");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head[9..12].parse().expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|why| panic!("{why}: {answer}")))
}

/// Moves the clock on while the answer to something wrong is held back.
async fn waiting<T>(relay: &TestRelay, asking: impl Future<Output = T>) -> T {
    let mut asking = std::pin::pin!(asking);
    loop {
        let pause = tokio::time::sleep(std::time::Duration::from_millis(200));
        tokio::select! {
            answer = &mut asking => return answer,
            () = pause => relay.clock().advance(std::time::Duration::from_millis(300)),
        }
    }
}

fn key() -> String {
    format!("X-Server-API-Key: {CREDENTIAL}:{SECRET}")
}

/// As an application calls it; the HTTP status is 200 whatever happens.
async fn call(relay: &TestRelay, path: &str, parameters: Value) -> Value {
    let line = format!("POST /api/v1/{path}");
    let headers = [key(), "Content-Type: application/json".to_owned()];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let (status, answer) = request(relay, &line, &headers, &parameters.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["time"].is_number() && answer["flags"] == json!({}), "{answer}");
    answer
}

fn code(answer: &Value) -> &str {
    assert_eq!(answer["status"], "error", "{answer}");
    assert!(answer["data"]["message"].is_string(), "{answer}");
    answer["data"]["code"].as_str().expect("a code")
}

fn letter() -> Value {
    json!({"from": format!("Shop <{SENDER}>"), "to": ["Bob <bob@example.test>"],
        "subject": "hello", "plain_body": "hi"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_sent_and_read_back_by_all_four_calls() {
    for database in Database::all().await {
        let mx = FakeMx::refusing("gone@example.test", "550 5.1.1 no such user").await;
        let relay = TestRelay::on(&database, &mx).await;
        let mut order = letter();
        order["cc"] = json!(["gone@example.test"]);
        order["tag"] = json!("welcome");
        order["html_body"] = json!("<p>hi</p>");
        order["headers"] = json!({"X-Shop": "7", "Message-ID": "<forged@x.test>"});
        order["attachments"] =
            json!([{"name": "a.csv", "content_type": "text/csv", "data": STANDARD.encode("1,2")}]);
        let sent = call(&relay, "send/message", order).await;
        assert_eq!(sent["status"], "success", "{sent}");
        let messages = &sent["data"]["messages"];
        let (bob, gone) = (&messages["bob@example.test"], &messages["gone@example.test"]);
        let all = json!({"id": bob["id"], "_expansions": true});
        let waiting = call(&relay, "messages/message", all.clone()).await["data"].clone();
        assert_eq!(waiting["token"], bob["token"]);
        assert_eq!(waiting["details"]["rcpt_to"], "bob@example.test");
        assert_eq!(waiting["details"]["tag"], "welcome");
        assert_eq!(waiting["details"]["message_id"], sent["data"]["message_id"]);
        assert_eq!(waiting["plain_body"].as_str().map(str::trim), Some("hi"));
        assert_eq!(waiting["html_body"].as_str().map(str::trim), Some("<p>hi</p>"));
        assert_eq!(waiting["headers"]["x-shop"], json!(["7"]));
        assert_eq!(waiting["attachments"][0]["data"], STANDARD.encode("1,2"));
        assert!(waiting["raw_message"].is_string() && waiting["inspection"]["spam"] == false);
        assert!(waiting["activity_entries"]["loads"].is_array());
        relay.run_until_idle().await;
        let after = call(&relay, "messages/message", all).await;
        assert_eq!(after["data"]["status"]["status"], "Sent", "{after}");
        let last = &after["data"]["status"]["last_delivery_attempt"];
        assert!(last.is_number(), "{after}");
        let deliveries = call(&relay, "messages/deliveries", json!({"id": gone["id"]})).await;
        assert_eq!(deliveries["data"][0]["status"], "HardFail", "{deliveries}");
        assert_eq!(deliveries["data"][0]["output"], "550 5.1.1 no such user");
        let bare = call(&relay, "messages/message", json!({"id": gone["id"]})).await;
        assert_eq!(bare["data"], json!({"id": gone["id"], "token": gone["token"]}));
        relay.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_mail_is_sent_raw_with_its_tag() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let mail = format!("From: {SENDER}\nX-Postal-Tag: raw-tag\nSubject: raw\n\nhi\n");
    let order = json!({"mail_from": SENDER, "rcpt_to": ["bob@example.test"],
        "data": STANDARD.encode(&mail), "bounce": true});
    let sent = call(&relay, "send/raw", order.clone()).await;
    assert_eq!(sent["status"], "success", "{sent}");
    let id = &sent["data"]["messages"]["bob@example.test"]["id"];
    let asked = json!({"id": id, "_expansions": ["details", "headers"]});
    let told = call(&relay, "messages/message", asked).await["data"].clone();
    let details = &told["details"];
    assert_eq!((&details["tag"], &details["subject"]), (&json!("raw-tag"), &json!("raw")));
    assert_eq!((&details["bounce"], &details["mail_from"]), (&json!(true), &json!("")));
    assert_eq!(told["headers"]["x-postal-tag"], Value::Null, "it does not leave the house");
    for missing in ["mail_from", "rcpt_to", "data"] {
        let mut order = order.clone();
        order.as_object_mut().expect("an object").remove(missing);
        let answer = call(&relay, "send/raw", order).await;
        assert_eq!(answer["status"], "parameter-error", "{missing}: {answer}");
    }
    for foreign in [
        json!({"mail_from": "a@elsewhere.test"}),
        json!({"data": STANDARD.encode("From: a@elsewhere.test\n\nhi\n")}),
    ] {
        let mut order = order.clone();
        for (name, value) in foreign.as_object().expect("an object") {
            order[name] = value.clone();
        }
        assert_eq!(code(&call(&relay, "send/raw", order).await), "UnauthenticatedFromAddress");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_has_postals_code() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let many: Vec<String> = (0..51).map(|n| format!("n{n}@example.test")).collect();
    for (field, value, expected) in [
        ("to", json!([]), "NoRecipients"),
        ("to", json!(many), "TooManyToAddresses"),
        ("cc", json!(many), "TooManyCCAddresses"),
        ("bcc", json!(many), "TooManyBCCAddresses"),
        ("plain_body", json!(""), "NoContent"),
        ("from", Value::Null, "FromAddressMissing"),
        ("from", json!("a@elsewhere.test"), "UnauthenticatedFromAddress"),
        ("sender", json!("a@elsewhere.test"), "UnauthenticatedFromAddress"),
        ("attachments", json!([{"data": "aGk="}]), "AttachmentMissingName"),
        ("attachments", json!([{"name": "a"}]), "AttachmentMissingData"),
    ] {
        let mut order = letter();
        order[field] = value;
        assert_eq!(code(&call(&relay, "send/message", order).await), expected, "{field}");
    }
    let unknown = call(&relay, "messages/message", json!({"id": 999_999})).await;
    assert_eq!((code(&unknown), &unknown["data"]["id"]), ("MessageNotFound", &json!(999_999)));
    assert_eq!(
        code(&call(&relay, "messages/deliveries", json!({"id": "x"})).await),
        "MessageNotFound"
    );
    let mut forged = letter();
    forged["subject"] = json!("a\r\nBcc: eve@x.test");
    for (path, order) in [("messages/message", json!({})), ("send/message", forged)] {
        let answer = call(&relay, path, order).await;
        assert_eq!(answer["status"], "parameter-error", "{answer}");
    }
    let ask = async |headers: &[&str]| {
        let (status, answer) = request(&relay, "POST /api/v1/send/message", headers, "{}").await;
        assert_eq!(status, 200);
        answer
    };
    assert_eq!(code(&ask(&[]).await), "AccessDenied");
    let refused = ask(&["X-Server-API-Key: abc"]).await;
    assert_eq!((code(&refused), &refused["data"]["token"]), ("InvalidServerAPIKey", &json!("abc")));
    relay.set_rules(json!({"scopes": ["messages_read"]})).await;
    assert_eq!(code(&call(&relay, "send/message", letter()).await), "AccessDenied");
    relay.set_rules(json!({})).await;
    relay.order("/v1/organizations/1/suspend", json!({"reason": "unpaid"})).await;
    assert_eq!(code(&call(&relay, "send/message", letter()).await), "ServerSuspended");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_come_as_json_or_in_a_form_by_any_method() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let text: String = letter().to_string().bytes().map(|octet| format!("%{octet:02X}")).collect();
    let (path, key) = ("/api/v1/send/message", key());
    let form = "Content-Type: application/x-www-form-urlencoded";
    for (line, headers, body) in [
        (format!("POST {path}"), vec![key.as_str(), form], format!("params={text}")),
        (format!("GET {path}?params={text}"), vec![key.as_str()], String::new()),
        (
            format!("PUT {path}"),
            vec![key.as_str(), "Content-Type: application/json"],
            letter().to_string(),
        ),
    ] {
        let (status, answer) = request(&relay, &line, &headers, &body).await;
        assert_eq!((status, answer["status"].as_str()), (200, Some("success")), "{answer}");
    }
    let json = "Content-Type: application/json";
    let (_, answer) = request(&relay, &format!("POST {path}"), &[&key, json], "[1]").await;
    assert_eq!(answer["status"], "parameter-error", "{answer}");
}

fn tool(name: &str) -> PathBuf {
    let path = crate::sources::root().join("target/test-tools/postal").join(name);
    assert!(path.exists(), "{name} is not installed: scripts/test-tools.d/postal");
    path
}

/// What anymail's view makes of calls that were made in Postal's format.
const ANYMAIL_HOOK: &str = include_str!("postal/hook.py");

fn anymail_reads(calls: &Value) -> Value {
    let mut child = Command::new("python3")
        .args(["-c", ANYMAIL_HOOK])
        .env("PYTHONPATH", tool("python"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut stdin = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut stdin, calls.to_string().as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_in_postals_format_are_believed_by_who_was_written_for_postal() {
    for database in Database::all().await {
        let mx = FakeMx::refusing("gone@example.test", "550 5.1.1 no such user").await;
        let relay = TestRelay::with(&mx, |settings| {
            if let Database::Postgres(url) = &database {
                settings.store.url = Some(url.clone());
            }
            settings.fetch.allowed_networks = vec![Network::parse("127.0.0.0/8").expect("one")];
        })
        .await;
        let sink = HttpSink::taking().await;
        let url = sink.url("/hook");
        let order = json!({"name": "postal", "url": url, "format": "postal"});
        let socket = relay.settings().control_socket();
        let (status, made) = operator::ask(&socket, "POST", "/v1/webhooks", order).await;
        assert_eq!(status, 200, "{made}");
        let mut order = letter();
        order["to"] = json!(["bob@example.test", "gone@example.test"]);
        order["tag"] = json!("welcome");
        let sent = call(&relay, "send/message", order).await;
        assert_eq!(sent["status"], "success", "{sent}");
        relay.run_until_idle().await;
        // Two deliveries, and the report to the sender.
        until("all is told", || sink.requests().len() >= 3).await;
        let (_, keys) = request(&relay, "GET /.well-known/jwks.json", &[], "").await;
        let header = |request: &crate::support::http::Request, name: &str| {
            request.header(name).unwrap_or_else(|| panic!("no {name}")).to_owned()
        };
        let calls: Vec<Value> = sink
            .requests()
            .iter()
            .map(|request| {
                assert_eq!(keys["keys"][0]["kid"], header(request, "x-postal-signature-kid"));
                json!({
                    "body": STANDARD.encode(&request.body),
                    "signature": header(request, "x-postal-signature"),
                    "signature256": header(request, "x-postal-signature-256"),
                })
            })
            .collect();
        let octets = |name: &str| {
            let text = keys["keys"][0][name].as_str().expect("text");
            STANDARD.encode(URL_SAFE_NO_PAD.decode(text).expect("base64url"))
        };
        let read = anymail_reads(&json!({"n": octets("n"), "e": octets("e"), "calls": calls}));
        let events = read.as_array().expect("events");
        let of = |recipient: &str| {
            let found = events.iter().find(|event| event["recipient"] == recipient);
            found.unwrap_or_else(|| panic!("nothing of {recipient}: {read}"))
        };
        let (bob, gone) = (of("bob@example.test"), of("gone@example.test"));
        assert_eq!((&bob["type"], &gone["type"]), (&json!("delivered"), &json!("failed")));
        assert_eq!(gone["response"], "550 5.1.1 no such user");
        assert_eq!(bob["id"], sent["data"]["messages"]["bob@example.test"]["id"]);
        assert_eq!(bob["tags"], json!(["welcome"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_and_what_a_limit_stops_is_told_in_postals_words() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        settings.fetch.allowed_networks = vec![Network::parse("127.0.0.0/8").expect("one")];
    })
    .await;
    let sink = HttpSink::taking().await;
    let socket = relay.settings().control_socket();
    let order = json!({"name": "postal", "url": sink.url("/hook"), "format": "postal"});
    let (status, made) = operator::ask(&socket, "POST", "/v1/webhooks", order).await;
    assert_eq!(status, 200, "{made}");
    let told = |event: &str| {
        let requests = sink.requests();
        let mut bodies = requests.iter().map(|request| request.json());
        bodies.find(|body| body["event"] == event)
    };
    let path = "/v1/streams/1/hold";
    relay.order(path, json!({"reason": "a look first"})).await;
    let mut letter = letter();
    letter["tag"] = json!("welcome");
    let sent = call(&relay, "send/message", letter).await;
    let own = sent["data"]["messages"]["bob@example.test"].clone();
    let hold = json!({"action": "hold", "all": true, "reason": "it looks odd"});
    assert_eq!(relay.order("/v1/deliveries/steer", hold).await["changed"], 1);
    until("the hold is told", || told("MessageHeld").is_some()).await;
    let held = told("MessageHeld").expect("told");
    assert!(held["timestamp"].is_number() && held["uuid"].is_string(), "{held}");
    let payload = &held["payload"];
    assert_eq!(
        (&payload["status"], &payload["details"]),
        (&json!("Held"), &json!("it looks odd")),
        "{held}"
    );
    let message = &payload["message"];
    assert_eq!((&message["id"], &message["token"]), (&own["id"], &own["token"]), "{held}");
    assert_eq!(
        (&message["to"], &message["tag"]),
        (&json!("bob@example.test"), &json!("welcome")),
        "{held}"
    );
    relay.order("/v1/streams/1/release", json!({})).await;
    relay.put("/v1/organizations/1/send-limits", json!({"day": 10})).await;
    for number in 0..9 {
        relay.submit(&[&format!("r{number}@example.test")]).await;
    }
    until("the limit is near", || told("SendLimitApproaching").is_some()).await;
    let near = told("SendLimitApproaching").expect("told");
    let payload = &near["payload"];
    assert_eq!((&payload["volume"], &payload["limit"]), (&json!(9), &json!(10)), "{near}");
    assert_eq!(payload["server"]["permalink"], "1", "{near}");
    relay.submit(&["r9@example.test"]).await;
    relay.submit(&["over@example.test"]).await;
    until("the limit is reached", || told("SendLimitExceeded").is_some()).await;
    let over = told("SendLimitExceeded").expect("told");
    let payload = &over["payload"];
    assert_eq!((&payload["volume"], &payload["limit"]), (&json!(10), &json!(10)), "{over}");
}

/// A demo in a network of its own, so that its HTTP port can be 443; a name leads to it, and its
/// certificate is trusted. Both clients know nothing but host and key.
const IN_A_NETWORK: &str = include_str!("postal/network.sh");

fn run_clients(directory: &Path) -> std::process::Output {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "bash", "-euc", IN_A_NETWORK]);
    command.current_dir(directory).stdin(Stdio::null());
    command.env("POSTROAD", env!("CARGO_BIN_EXE_postroad"));
    command.env("NODE_PATH", tool("node_modules")).env("PYTHONPATH", tool("python"));
    command.env("NODE_CLIENT", include_str!("postal/client.js"));
    command.env("PYTHON_CLIENT", include_str!("postal/client.py"));
    command.output().expect("unshare runs")
}

#[test]
fn postals_own_clients_work_with_only_host_and_key_changed() {
    let is_allowed = Command::new("unshare").args(["--net", "true"]).output();
    if !is_allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: a network of its own needs root");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let output = run_clients(directory.path());
    let (told, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    for line in
        ["npm message Sent", "npm raw Sent", "npm error NoContent", "anymail queued", "smtp taken"]
    {
        assert!(told.lines().any(|told| told == line), "no '{line}':\n{told}\n{errors}");
    }
}
