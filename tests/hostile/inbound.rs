//! Mails from outside made to cost much: each has a clear answer, and the next one comes through.

use postroad::wire::network::Network;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::clients::resident_bytes;
use crate::support::PATIENCE;
use crate::support::http::HttpSink;
use crate::support::mx::FakeMx;
use crate::support::relay::TestRelay;

/// gzip of a gzip of 200 MiB of zeros, in base64.
const BOMB: &str = "\
    H4sIAAAAAAACA+3cPS5EURzG4TMfkomIj0KlYBkaiYlES4J6MguwAoWbTFQaC7AHlQWIxg58VBYg\
    CoVKXO5dxnmfpzr1v3xz8tu+npTOcPTxMBj8P5qb37vPyXIBAAAAKte8LkbdGFB22ufD4zMAAACg\
    dvO11XE/CvzMtqbOAQAAANW72ttd738IfF2ej50DAAAAqrf5/b7fbwFP7f3GqXsAAABA9V4EAwAA\
    ACCKYAAAAABkEQwAAACALIIBAAAAEEYwAAAAALIIBgAAAEAWwQAAAADIIhgAAAAAYQQDAAAAIItg\
    AAAAAGQRDAAAAIAsggEAAAAQRjAAAAAAsggGAAAAQBbBAAAAAMgiGAAAAABhBAMAAAAgi2AAAAAA\
    ZBEMAAAAgCyCAQAAABBGMAAAAACyCAYAAABAFsEAAAAAyCIYAAAAAGEEAwAAACCLYAAAAABkEQwA\
    AACALIIBAAAAEEYwAAAAALIIBgAAAEAWwQAAAADIIhgAAAAAYQQDAAAAIItgAAAAAGQRDAAAAIAs\
    ggEAAAAQRjAAAAAAsggGAAAAQBbBAAAAAMgiGAAAAABhBAMAAAAgi2AAAAAAZBEMAAAAgCyCAQAA\
    ABDmbXEw7LaAaTu7eCwAAFTidmk+OToppVn5A22ESVhUHAMA";
const HEAD: &str = "From: Ann <ann@far.test>\nTo: help@sender.test\nMIME-Version: 1.0\n";
const MIXED: &str = "Content-Type: multipart/mixed; boundary=b\n\n";

/// One name for each, and what it is.
fn mails() -> Vec<(&'static str, String)> {
    let file = "--b\nContent-Type: text/plain\nContent-Disposition: attachment; \
                filename=a.txt\n\nx\n";
    let nested: String = (0..3000)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n"))
        .collect();
    let letters = "Content-Type: message/rfc822\n\n".repeat(5000);
    let bomb = format!(
        "--b\nContent-Type: application/gzip; name=\"logs.gz\"\nContent-Encoding: gzip\n\
         Content-Transfer-Encoding: base64\n\n{BOMB}\n--b--\n"
    );
    vec![
        ("parts", format!("{HEAD}Subject: parts\n{MIXED}{}--b--\n", file.repeat(10_000))),
        ("nested", format!("{HEAD}Subject: nested\n{nested}")),
        ("letters", format!("{HEAD}Subject: letters\n{letters}")),
        (
            "truncated",
            format!(
                "{HEAD}Subject: truncated\n{MIXED}--b\nContent-Type: application/pdf\n\
                 Content-Transfer-Encoding: base64\n\nAAA\n"
            ),
        ),
        (
            "charsets",
            format!(
                "{HEAD}Subject: charsets =?no-such?B?////?= =?utf-7?Q?+2AA-?= =?utf-8?B?gICA?=\n\
                 Content-Type: text/plain; charset=\"utf-16le\"\n\
                 Content-Transfer-Encoding: quoted-printable\n\n=FF=FE=00=D8 caf=E9\n"
            ),
        ),
        ("bomb", format!("{HEAD}Subject: bomb\n{MIXED}{bomb}")),
    ]
}

/// A header without an end; what is said about it before the connection goes.
async fn endless_header(relay: &TestRelay, mebibytes: usize) -> String {
    let mut stream = TcpStream::connect(relay.inbound()).await.expect("connected");
    let commands = [
        "",
        "EHLO mx.far.test\r\n",
        "MAIL FROM:<ann@far.test>\r\n",
        "RCPT TO:<help@sender.test>\r\n",
        "DATA\r\n",
    ];
    let mut said = String::new();
    for command in commands {
        stream.write_all(command.as_bytes()).await.expect("written");
        let mut answer = [0; 1024];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await;
        let read = read.expect("in time").expect("an answer");
        said = String::from_utf8_lossy(&answer[..read]).into_owned();
    }
    assert!(said.starts_with("354"), "{said}");
    let line = format!("X-Flood: {}\r\n", "y".repeat(900));
    let piece = line.repeat((1 << 20) / line.len() + 1);
    for _ in 0..mebibytes {
        if stream.write_all(piece.as_bytes()).await.is_err() {
            break;
        }
    }
    // It may be gone: then that was the answer.
    if stream.write_all(b"\r\n.\r\n").await.is_err() {
        return String::new();
    }
    let mut answer = Vec::new();
    let reading = async {
        let mut part = [0; 1024];
        while !answer.contains(&b'\n') {
            match stream.read(&mut part).await {
                Ok(length) if length > 0 => answer.extend_from_slice(&part[..length]),
                _ => break,
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_to_cost_much_is_answered_kept_small_and_holds_up_nothing() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        settings.inbound.listen = vec![([127, 0, 0, 1], 0).into()];
        settings.inbound.mails_per_network_max = 1000;
        settings.fetch.allowed_networks = vec![Network::parse("127.0.0.0/8").expect("one")];
    })
    .await;
    let sink = HttpSink::taking().await;
    let order = json!({"pattern": "*@sender.test", "action": "http", "organization": 1,
        "target": sink.url("/mail")});
    relay.order("/v1/inbound-routes", order).await;
    let mut taken = 0;
    for (name, mail) in mails() {
        let answer = relay.bring("ann@far.test", "help@sender.test", &mail).await;
        println!("{name}: {answer}");
        assert!(answer.starts_with("250") || answer.starts_with("55"), "{name}: {answer}");
        taken += usize::from(answer.starts_with("250"));
    }
    let before = resident_bytes();
    // Far more than other scenarios of this process may take meanwhile.
    let answer = endless_header(&relay, 600).await;
    assert!(answer.is_empty() || answer.starts_with('5'), "{answer}");
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 450 << 20, "a header of 600 MB costs {grown} octets");
    let last = format!("{HEAD}Subject: the next one\n\nhello\n");
    let answer = relay.bring("ann@far.test", "help@sender.test", &last).await;
    assert!(answer.starts_with("250"), "{answer}");
    let posted: Vec<Value> =
        sink.until(taken + 1).await.iter().map(|request| request.json()).collect();
    let of = |subject: &str| {
        let own = posted.iter().find(|mail| mail["subject"] == subject);
        own.unwrap_or_else(|| panic!("{subject} was not posted"))
    };
    assert!(of("the next one")["text"].as_str().is_some_and(|text| text.starts_with("hello")));
    let bomb = &of("bomb")["attachments"][0];
    assert_eq!((&bomb["name"], &bomb["content"]), (&json!("logs.gz"), &json!(BOMB)));
    for mail in &posted {
        let files = mail["attachments"].as_array().expect("a list").len();
        assert!(files <= 100, "{files} attachments");
    }
}
