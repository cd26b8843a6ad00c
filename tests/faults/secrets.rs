//! No line of the log holds a password or a body, however much is logged (P7).

use std::process::Command;
use std::time::{Duration, Instant};

use crate::cli::running_daemon::Daemon;

const BODY: &str = "a-body-that-is-nobodys-business";
const GUESS: &str = "a-guess-that-was-nearly-right";

const SUBMIT: &str = r#"
import os, smtplib, ssl, sys
port, secret, guess, body = sys.argv[1:]
client = smtplib.SMTP("127.0.0.1", int(port), timeout=20)
client.starttls(context=ssl._create_unverified_context())
client.ehlo()
client.user, client.password = "reader", guess
for method in ("PLAIN", "LOGIN"):
    try:
        client.auth(method, getattr(client, "auth_" + method.lower()))
        sys.exit("a wrong password was taken")
    except smtplib.SMTPAuthenticationError:
        pass
client.password = secret
client.auth("PLAIN", client.auth_plain)
client.sendmail("a@shop.example", ["one@a.example"],
                f"From: a@shop.example\r\nSubject: hello\r\n\r\n{body}\r\n")
client.quit()
"#;

fn encoded(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn no_log_line_holds_a_password_or_a_body_at_any_level() {
    let mut daemon = Daemon::start_with("[log]\nlevel = \"trace\"\n", &[]);
    let made = daemon.json(&["credential", "add", "reader", "--json"]);
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    let port = daemon.submission.port().to_string();
    let output = Command::new("python3")
        .args(["-c", SUBMIT, &port, &secret, GUESS, BODY])
        .output()
        .expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let begun = Instant::now();
    while !daemon.told(&["queue", "list"]).contains("refused") {
        assert!(begun.elapsed() < Duration::from_secs(30), "no attempt was made");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(daemon.stop(), Some(0));
    let log = daemon.log();
    assert!(log.contains("reader"), "the refused sign-in is logged:\n{log}");
    let plain = |password: &str| encoded(&format!("\0reader\0{password}"));
    let (signed_in, guessed) = (plain(&secret), plain(GUESS));
    for hidden in
        [secret.as_str(), GUESS, &encoded(&secret), &encoded(GUESS), &signed_in, &guessed, BODY]
    {
        assert!(!log.contains(hidden), "the log holds {hidden}");
    }
}
