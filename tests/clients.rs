//! Clients that people use submit to the daemon of a demo, over 587 (STARTTLS) and 465 (TLS), with
//! AUTH; what the recipient's host gets is what they sent, below what we put on top.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::demo::Demo;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Tls {
    Starttls,
    Implicit,
}

/// Where and as whom to submit, and what.
struct Job<'a> {
    port: &'a str,
    tls: Tls,
    user: &'a str,
    password: &'a str,
    from: &'a str,
    to: String,
    mail: Vec<u8>,
}

/// With dots, 8-bit text, trailing spaces and a long line: what clients and servers get wrong.
fn mail(from: &str, to: &str, subject: &str) -> Vec<u8> {
    let head = format!(
        "From: Shop <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\
         Date: Sun, 01 Feb 2026 10:00:00 +0000\r\nMessage-ID: <{subject}@shop.test>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n"
    );
    let body = "Grüße,\r\n.\r\n..two dots\r\n.one dot\r\n\r\ntrailing spaces  \r\n";
    format!("{head}{body}{}\r\nend.\r\n", "x".repeat(900)).into_bytes()
}

fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdin(Stdio::null()).output().is_ok();
    if !found {
        eprintln!("SKIPPED: {program} is not installed; `scripts/test-tools` installs it");
    }
    found
}

fn run(mut command: Command, input: &[u8]) {
    let name = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    // A client that reads no input closes its end early; what it says tells then.
    if let Err(error) = stdin.write_all(input) {
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{name}");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("ended");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{name}\n{}", String::from_utf8_lossy(&said));
}

fn swaks(job: &Job<'_>) {
    let mut command = Command::new("swaks");
    command.args(["--server", "127.0.0.1", "--port", job.port, "--timeout", "60"]);
    command.arg(if job.tls == Tls::Starttls { "--tls" } else { "--tls-on-connect" });
    command.args(["--auth", "PLAIN", "--auth-user", job.user, "--auth-password", job.password]);
    command.args(["--from", job.from, "--to", &job.to, "--data", "-"]);
    // Swaks ends lines with CRLF itself, and ends the last one, too.
    let lines = String::from_utf8(job.mail.clone()).expect("UTF-8").replace("\r\n", "\n");
    run(command, lines.trim_end_matches('\n').as_bytes());
}

fn msmtp(job: &Job<'_>) {
    let mut command = Command::new("msmtp");
    command.args(["--file=/dev/null", "--host=127.0.0.1", "--tls=on", "--tls-certcheck=off"]);
    command.arg(format!("--port={}", job.port));
    let starttls = if job.tls == Tls::Starttls { "on" } else { "off" };
    command.arg(format!("--tls-starttls={starttls}"));
    command.args(["--auth=login", "--timeout=60"]);
    command.arg(format!("--user={}", job.user));
    command.arg("--passwordeval=printf %s \"$SECRET\"").env("SECRET", job.password);
    command.arg(format!("--from={}", job.from)).arg(&job.to);
    let lines = String::from_utf8(job.mail.clone()).expect("UTF-8").replace("\r\n", "\n");
    run(command, lines.as_bytes());
}

const SMTPLIB: &str = r#"
import os, smtplib, ssl, sys
port, tls, user, sender, recipient = sys.argv[1:]
context = ssl._create_unverified_context()
if tls == "Starttls":
    client = smtplib.SMTP("127.0.0.1", int(port), timeout=60)
    client.starttls(context=context)
else:
    client = smtplib.SMTP_SSL("127.0.0.1", int(port), timeout=60, context=context)
client.login(user, os.environ["SECRET"])
client.sendmail(sender, [recipient], sys.stdin.buffer.read(), ["BODY=8BITMIME"])
client.quit()
"#;

fn smtplib(job: &Job<'_>) {
    let mut command = Command::new("python3");
    command.args(["-c", SMTPLIB, job.port, &format!("{:?}", job.tls), job.user, job.from, &job.to]);
    command.env("SECRET", job.password);
    run(command, &job.mail);
}

fn curl(job: &Job<'_>) {
    let mut command = Command::new("curl");
    let scheme = if job.tls == Tls::Starttls { "smtp" } else { "smtps" };
    command.arg(format!("{scheme}://127.0.0.1:{}/client.test", job.port));
    command.args(["--ssl-reqd", "--insecure", "--silent", "--show-error", "--max-time", "20"]);
    command.args(["--mail-from", job.from, "--mail-rcpt", &job.to, "--upload-file", "-"]);
    // From a file: a password among the arguments could be seen by everybody.
    let mut settings = tempfile::NamedTempFile::new().expect("a file");
    writeln!(settings, "user = \"{}:{}\"", job.user, job.password).expect("written");
    command.arg("--config").arg(settings.path());
    run(command, &job.mail);
}

const AIOSMTPLIB: &str = r#"
import aiosmtplib, asyncio, os, ssl, sys
port, tls, user, sender, recipient = sys.argv[1:]
context = ssl._create_unverified_context()
mail = sys.stdin.buffer.read()
sending = aiosmtplib.send(
    mail, sender=sender, recipients=[recipient], hostname="127.0.0.1", port=int(port),
    username=user, password=os.environ["SECRET"], tls_context=context, timeout=60,
    start_tls=tls == "Starttls", use_tls=tls != "Starttls", mail_options=["BODY=8BITMIME"])
asyncio.run(sending)
"#;

fn aiosmtplib(job: &Job<'_>) {
    let mut command = Command::new("python3");
    command.args(["-c", AIOSMTPLIB, job.port, &format!("{:?}", job.tls)]);
    command.args([job.user, job.from, &job.to]);
    command.env("SECRET", job.password).env("PYTHONPATH", installed_below("python"));
    run(command, &job.mail);
}

const NODEMAILER: &str = r#"
const [port, tls, user, from, to] = process.argv.slice(1);
const transport = require("nodemailer").createTransport({
    host: "127.0.0.1", port: Number(port), secure: tls === "Implicit", requireTLS: true,
    auth: { user, pass: process.env.SECRET }, tls: { rejectUnauthorized: false },
});
const raw = require("fs").readFileSync(0);
transport.sendMail({ envelope: { from, to }, raw }).then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
});
"#;

/// A folder of what `scripts/test-tools` has installed for these tests.
fn installed_below(folder: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let target = root.join(target.unwrap_or_else(|| "target".into()));
    target.join("test-tools/clients").join(folder)
}

fn nodemailer(job: &Job<'_>) {
    let mut command = Command::new("node");
    command.args(["-e", NODEMAILER, "--", job.port, &format!("{:?}", job.tls), job.user]);
    command.args([job.from, &job.to]).env("NODE_PATH", installed_below("node_modules"));
    command.env("SECRET", job.password);
    run(command, &job.mail);
}

/// Submits over both ports and compares what the host took with what was sent.
fn submits_over_both_ports(name: &str, client: fn(&Job<'_>)) {
    let demo = Demo::start();
    for (key, tls) in [("submission", Tls::Starttls), ("submissions", Tls::Implicit)] {
        let subject = format!("{name}-{key}");
        let to = format!("{name}@{}", demo.fact("accepting_domain"));
        let from = demo.fact("from");
        let job = Job {
            port: demo.port(key),
            tls,
            user: demo.fact("smtp_user"),
            password: demo.fact("smtp_password"),
            from,
            mail: mail(from, &to, &subject),
            to,
        };
        client(&job);
        let (captured, sidecar) = demo.captured(&subject);
        assert!(
            captured.ends_with(&job.mail),
            "{subject}: sent\n{}\ncaptured\n{}",
            String::from_utf8_lossy(&job.mail),
            String::from_utf8_lossy(&captured)
        );
        let sender = sidecar["envelope"]["sender"].as_str().expect("an address");
        assert!(is_return_path(sender), "{subject}: {sender}");
        assert_eq!(sidecar["envelope"]["recipients"], serde_json::json!([job.to]), "{subject}");
    }
    assert!(demo.stop(), "SIGTERM ends the demo with success");
}

/// One of ours, which names the delivery.
fn is_return_path(sender: &str) -> bool {
    sender.starts_with("b-") && sender.ends_with("@bounce.shop.test")
}

#[test]
fn swaks_cannot_relay_through_the_port_for_mail_from_outside() {
    if !installed("swaks") {
        return;
    }
    let demo = Demo::start();
    let relayed = |to: &str, more: &[&str]| {
        let mut command = Command::new("swaks");
        command.args(["--server", "127.0.0.1", "--port", demo.port("inbound"), "--timeout", "60"]);
        command.args(["--from", "spammer@far.test", "--to", to]).args(more);
        let output = command.stdin(Stdio::null()).output().expect("swaks runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let stranger = format!("someone@{}", demo.fact("accepting_domain"));
    for more in [&[][..], &["--tls"]] {
        let (is_taken, said) = relayed(&stranger, more);
        assert!(!is_taken && said.contains("550 5.7.1"), "{said}");
    }
    let (is_taken, said) = relayed("anybody@bounce.shop.test", &[]);
    assert!(!is_taken && said.contains("550 5.1.1"), "{said}");
    let (user, password) = (demo.fact("smtp_user"), demo.fact("smtp_password"));
    let auth = ["--tls", "--auth", "PLAIN", "--auth-user", user, "--auth-password", password];
    let (is_taken, said) = relayed(&stranger, &auth);
    assert!(!is_taken, "not even with a credential: {said}");
    let (is_taken, said) = relayed("postmaster@bounce.shop.test", &["--tls"]);
    assert!(is_taken, "{said}");
    assert!(demo.stop(), "SIGTERM ends the demo with success");
}

#[test]
fn swaks_submits_over_both_ports() {
    if installed("swaks") {
        submits_over_both_ports("swaks", swaks);
    }
}

#[test]
fn msmtp_submits_over_both_ports() {
    if installed("msmtp") {
        submits_over_both_ports("msmtp", msmtp);
    }
}

#[test]
fn smtplib_submits_over_both_ports() {
    if installed("python3") {
        submits_over_both_ports("smtplib", smtplib);
    }
}

#[test]
fn nodemailer_submits_over_both_ports() {
    let modules = installed_below("node_modules");
    if !modules.join("nodemailer").is_dir() {
        eprintln!("SKIPPED: no nodemailer in {}", modules.display());
        return;
    }
    if installed("node") {
        submits_over_both_ports("nodemailer", nodemailer);
    }
}

#[test]
fn curl_submits_over_both_ports() {
    if installed("curl") {
        submits_over_both_ports("curl", curl);
    }
}

#[test]
fn aiosmtplib_submits_over_both_ports() {
    let modules = installed_below("python");
    if !modules.join("aiosmtplib").is_dir() {
        eprintln!("SKIPPED: no aiosmtplib in {}", modules.display());
        return;
    }
    if installed("python3") {
        submits_over_both_ports("aiosmtplib", aiosmtplib);
    }
}

/// It composes its mail itself, so what is compared is what a person typed.
fn s_nail(job: &Job<'_>, subject: &str) {
    let scheme = if job.tls == Tls::Starttls { "smtp" } else { "smtps" };
    let place = format!("{scheme}://{}:{}@127.0.0.1:{}", job.user, job.password, job.port);
    // From a file: a password among the arguments could be seen by everybody.
    let mut settings = tempfile::NamedTempFile::new().expect("a file");
    let flags = "sendwait smtp-auth=login smtp-use-starttls tls-verify=ignore";
    let words = "hostname=client.test sendcharsets=utf-8 ttycharset=utf-8";
    writeln!(settings, "set v15-compat mta={place} {flags} {words}").expect("written");
    let mut command = Command::new("s-nail");
    command.args(["-:", "u", "-r", job.from, "-s", subject, &job.to]);
    command.env("MAILRC", settings.path()).env("DEAD", "/dev/null");
    run(command, "Grüße,\n.one dot\n\nend.\n".as_bytes());
}

#[test]
fn s_nail_submits_over_both_ports() {
    if !installed("s-nail") {
        return;
    }
    let demo = Demo::start();
    for (key, tls) in [("submission", Tls::Starttls), ("submissions", Tls::Implicit)] {
        let subject = format!("s-nail-{key}");
        let job = Job {
            port: demo.port(key),
            tls,
            user: demo.fact("smtp_user"),
            password: demo.fact("smtp_password"),
            from: demo.fact("from"),
            to: format!("s-nail@{}", demo.fact("accepting_domain")),
            mail: Vec::new(),
        };
        s_nail(&job, &subject);
        let (captured, sidecar) = demo.captured(&subject);
        let captured = String::from_utf8_lossy(&captured);
        assert!(captured.contains("\r\n.one dot\r\n\r\nend.\r\n"), "{captured}");
        let sender = sidecar["envelope"]["sender"].as_str().expect("an address");
        assert!(is_return_path(sender), "{subject}: {sender}");
        assert_eq!(sidecar["envelope"]["recipients"], serde_json::json!([job.to]), "{subject}");
    }
    assert!(demo.stop(), "SIGTERM ends the demo with success");
}

/// Postfix as an office has it, with the daemon as its smarthost; stopped with the value.
struct Office {
    script: PathBuf,
    port: u16,
}

impl Office {
    /// None: this machine cannot run it, which is said aloud.
    fn start(demo: &Demo) -> Option<Office> {
        let script = crate::sources::root().join("scripts/peers/smarthost");
        let started = Command::new(&script)
            .arg("start")
            .env("SMARTHOST_PORT", demo.port("submission"))
            .env("SMARTHOST_USER", demo.fact("smtp_user"))
            .env("SMARTHOST_PASSWORD", demo.fact("smtp_password"))
            .stdin(Stdio::null())
            .output()
            .expect("the script can be run");
        let said = String::from_utf8_lossy(&started.stdout).into_owned();
        let reason = String::from_utf8_lossy(&started.stderr);
        if started.status.code() == Some(77) {
            eprintln!("SKIPPED: Postfix cannot run here: {reason}");
            return None;
        }
        assert!(started.status.success(), "{said}{reason}");
        let port = said.lines().last().and_then(|line| line.split(' ').next());
        let port = port.and_then(|port| port.parse().ok()).expect("the script prints PORT MAILDIR");
        Some(Office { script, port })
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let stopped = Command::new(&self.script).arg("stop").stdin(Stdio::null()).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("Postfix was not stopped");
        }
    }
}

const HAND_IN: &str = r#"
import smtplib, sys
port, sender, recipient = sys.argv[1:]
with smtplib.SMTP("127.0.0.1", int(port), timeout=60) as client:
    client.sendmail(sender, [recipient], sys.stdin.buffer.read(), ["BODY=8BITMIME"])
"#;

#[test]
fn postfix_relays_through_us_as_its_smarthost_with_sasl_over_starttls() {
    let demo = Demo::start();
    let Some(office) = Office::start(&demo) else { return };
    for subject in ["smarthost-1", "smarthost-2"] {
        let (from, to) = (demo.fact("from"), format!("office@{}", demo.fact("accepting_domain")));
        let mail = mail(from, &to, subject);
        let mut command = Command::new("python3");
        command.args(["-c", HAND_IN, &office.port.to_string(), from, &to]);
        run(command, &mail);
        let (captured, sidecar) = demo.captured(subject);
        assert!(captured.ends_with(&mail), "{}", String::from_utf8_lossy(&captured));
        assert_eq!(sidecar["envelope"]["recipients"], serde_json::json!([to]));
        let received = String::from_utf8_lossy(&captured);
        assert!(received.contains("with ESMTPSA"), "signed in, over TLS: {received}");
    }
    drop(office);
    assert!(demo.stop(), "SIGTERM ends the demo with success");
}
