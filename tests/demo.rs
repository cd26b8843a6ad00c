//! `postroad demo` as a script sees it: the ready file, the sink, the state between runs.

use std::process::Command;

use crate::support::demo::Demo;

/// The keys are a promise to scripts; a new part fills in a null and takes nothing away.
const KEYS: [&str; 17] = [
    "accepting_domain",
    "admin_email",
    "admin_password",
    "api_key",
    "data_dir",
    "dns",
    "from",
    "greylisting_domain",
    "http",
    "inbound",
    "pid",
    "refused_recipient",
    "sink_dir",
    "smtp_password",
    "smtp_user",
    "submission",
    "submissions",
];

#[test]
fn the_ready_file_holds_the_promised_keys_and_no_others() {
    let demo = Demo::start();
    let object = demo.ready().as_object().expect("an object");
    let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, KEYS);
    for key in ["submission", "submissions", "dns"] {
        assert!(demo.fact(key).starts_with("127.0.0.1:"), "{key}");
    }
    assert!(demo.fact("http").starts_with("http://127.0.0.1:"));
    assert!(object["pid"].is_u64() && demo.fact("from").contains('@'));
    assert!(demo.stop(), "SIGTERM ends it with success");
}

/// As README writes them, with what it leaves to be filled in.
#[test]
fn what_readme_asks_over_http_the_demos_key_may_do() {
    let demo = Demo::start();
    let readme = include_str!("../README.md");
    let start = readme.find("curl -s localhost:8025").expect("an example");
    let example = readme[start..].split("\n```").next().expect("its end");
    let to = format!("bob@{}", demo.fact("accepting_domain"));
    let from = demo.fact("from");
    let example = example.replace("shop@example.com", from).replace("ann@example.org", &to);
    let sent = asked(&demo, &example);
    assert!(sent["id"].is_i64(), "{sent}");
    let (_, domain) = from.split_once('@').expect("an address");
    let tracked = r#"{"tracking": "both"}"#;
    assert!(readme.contains(tracked), "README names the body");
    for path in ["streams/1/tracking".to_owned(), format!("domains/{domain}/tracking")] {
        let thing = path.split('/').next().expect("a word").to_owned();
        let named = readme.contains(&format!("/v1/{thing}/ID/tracking"))
            || readme.contains(&format!("/v1/{thing}/NAME/tracking"));
        assert!(named, "README names {thing}");
        let line = format!(
            "curl -s -X PUT localhost:8025/v1/{path} -H 'Authorization: Bearer NAME:PASSWORD' \
             -H 'Content-Type: application/json' -d '{tracked}'"
        );
        let set = asked(&demo, &line);
        assert_eq!(set["tracking"], "both", "{set}");
    }
}

fn asked(demo: &Demo, line: &str) -> serde_json::Value {
    let address = demo.fact("http").trim_start_matches("http://");
    let line =
        line.replace("localhost:8025", address).replace("NAME:PASSWORD", demo.fact("api_key"));
    let output = Command::new("sh").args(["-c", &line]).output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_refused_recipient_brings_a_report_to_the_sender() {
    let demo = Demo::start();
    demo.submit(demo.fact("refused_recipient"), "to nobody");
    let (report, sidecar) = demo.captured_where(|_, sidecar| {
        sidecar["envelope"]["recipients"] == serde_json::json!([demo.fact("from")])
    });
    assert_eq!(sidecar["envelope"]["sender"], "");
    let report = String::from_utf8_lossy(&report);
    assert!(report.contains("multipart/report") && report.contains("550"), "{report}");
}

#[test]
fn speed_shortens_the_wait_of_a_greylisted_mail() {
    let directory = tempfile::tempdir().expect("a directory");
    let demo = Demo::start_in(directory.path(), &["--speed", "120"]);
    demo.submit(&format!("bob@{}", demo.fact("greylisting_domain")), "grey");
    // The retry is five minutes ahead, and nobody waits so long here.
    demo.captured("grey");
}

#[test]
fn a_mail_of_the_demo_carries_both_signatures() {
    let demo = Demo::start();
    demo.submit(&format!("bob@{}", demo.fact("accepting_domain")), "signed");
    let (mail, _) = demo.captured("signed");
    let mail = String::from_utf8_lossy(&mail).into_owned();
    for algorithm in ["a=rsa-sha256", "a=ed25519-sha256"] {
        assert!(mail.contains(algorithm), "no {algorithm} in\n{mail}");
    }
}

#[test]
fn with_a_data_dir_the_next_run_goes_on_where_this_one_stopped() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = Demo::start_in(directory.path(), &[]);
    let password = first.fact("smtp_password").to_owned();
    let greylisted = format!("bob@{}", first.fact("greylisting_domain"));
    first.submit(&greylisted, "over two runs");
    assert!(first.stop(), "it ends with success");
    check(directory.path());
    let second = Demo::start_in(directory.path(), &["--speed", "600"]);
    assert_eq!(second.fact("smtp_password"), password);
    second.captured("over two runs");
    assert!(second.stop(), "it ends with success");
    check(directory.path());
}

/// `postroad check` finds nothing wrong.
fn check(directory: &std::path::Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_postroad"))
        .arg("check")
        .arg("--data-dir")
        .arg(directory.join("data"))
        .output()
        .expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn a_base_port_fixes_all_ports_in_their_order() {
    let directory = tempfile::tempdir().expect("a directory");
    // A port that was free a moment ago, above those of `free_port` and below the range that the
    // system hands out by itself.
    let base = (30_100..32_700u16)
        .step_by(97)
        .find(|base| (*base..base + 6).all(free))
        .expect("six free ports in a row");
    let demo = Demo::start_in(directory.path(), &["--port-base", &base.to_string()]);
    let ports = [("submission", 0), ("submissions", 1), ("http", 3), ("dns", 4)];
    for (key, offset) in ports {
        assert_eq!(demo.port(key), (base + offset).to_string(), "{key}");
    }
}

fn free(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
        && std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok()
}
