//! The reports we send are read by programs: Python's email package stands for them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use postroad::model::*;
use postroad::wire::dsn::{Action, Fate, Report};
use serde_json::{Value, json};

const ORIGINAL: &[u8] = b"From: ann@shop.example\r\nMessage-ID: <1@shop.example>\r\n\
    Subject: Hello\r\n\r\nThe body.\r\n";

fn address(text: &str) -> Address {
    Address::parse(text).expect("lawful")
}

fn fate(recipient: &str, action: Action, reply: &str) -> Fate {
    let until = (action == Action::Delayed).then(|| Timestamp::from_seconds(345_600));
    Fate {
        recipient: Recipient::new(address(recipient)),
        action,
        status: None,
        remote_host: Some("mx.example".into()),
        reply: Reply::read(reply),
        reason: String::new(),
        attempted_at: Some(Timestamp::from_seconds(100)),
        retry_until: until,
    }
}

fn read(fates: &[Fate], recipient: &str, wanted: DsnReturn) -> Value {
    let recipient = address(recipient);
    let report = Report {
        id: MessageId(9),
        host_name: "mail.shop.example",
        domain: "mail.shop.example",
        recipient: &recipient,
        made_at: Timestamp::from_seconds(200),
        message: MessageId(7),
        arrived_at: Timestamp::from_seconds(50),
        envelope_id: None,
        wanted: Some(wanted),
        smtputf8: false,
        original: ORIGINAL,
        fates,
    };
    let mail = report.build().mail;
    assert!(!mail.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r'), "a lone LF");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dsn/read.py");
    let mut python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    python.stdin.take().expect("piped").write_all(&mail).expect("written");
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&mail));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn python_reads_every_recipient_of_a_report() {
    let long = format!("451 4.7.1 {}", "greylisted, try again later ".repeat(20));
    let fates = [
        fate("gone@mx.example", Action::Failed, "550 5.1.1 no such user"),
        fate("slow@mx.example", Action::Delayed, &long),
        fate("bob@mx.example", Action::Delivered, "250 2.0.0 queued"),
    ];
    let read = read(&fates, "ann@shop.example", DsnReturn::Full);
    assert_eq!(read["defects"], json!([]));
    assert_eq!(read["type"], "multipart/report");
    assert_eq!(read["report_type"], "delivery-status");
    assert_eq!(read["to"], "ann@shop.example");
    assert_eq!(read["auto_submitted"], "auto-replied");
    assert_eq!(read["machine_type"], "message/delivery-status");
    assert_eq!(read["returned_type"], "message/rfc822");
    let groups = read["groups"].as_array().expect("groups");
    let words = |name: &str| -> Vec<&str> {
        groups.iter().skip(1).filter_map(|group| group[name].as_str()).collect()
    };
    assert_eq!(groups[0]["Reporting-MTA"], "dns; mail.shop.example");
    assert_eq!(words("Action"), ["failed", "delayed", "delivered"]);
    assert_eq!(words("Status"), ["5.1.1", "4.7.1", "2.0.0"]);
    assert_eq!(words("Final-Recipient"), {
        ["rfc822; gone@mx.example", "rfc822; slow@mx.example", "rfc822; bob@mx.example"]
    });
    assert_eq!(words("Will-Retry-Until"), ["Mon, 05 Jan 1970 00:00:00 +0000"]);
    let human = read["human"].as_str().expect("text");
    assert!(human.contains("gone@mx.example") && human.contains("550 5.1.1 no such user"));
}

#[test]
fn a_delay_alone_returns_the_header_section() {
    let fates = [fate("slow@mx.example", Action::Delayed, "451 4.7.1 later")];
    let read = read(&fates, "ann@shop.example", DsnReturn::Full);
    assert_eq!(read["returned_type"], "text/rfc822-headers");
    assert_eq!(read["defects"], json!([]));
}

#[test]
fn an_address_beyond_ascii_makes_a_report_that_python_still_reads() {
    let fates = [fate("bøb@mx.example", Action::Failed, "550 5.1.1 no such user")];
    let read = read(&fates, "änn@shop.example", DsnReturn::Headers);
    assert_eq!(read["machine_type"], "message/global-delivery-status");
    assert_eq!(read["returned_type"], "message/global-headers");
}
