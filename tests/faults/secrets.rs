//! G23, B15: secrets given to the daemon stand nowhere but where they must.

use crate::support::ports::free_port;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::means::{Server, skipped};
use crate::support::PATIENCE;

const STORE_PASSWORD: &str = "canary-store-7f3a91";
const RELAY_PASSWORD: &str = "canary-relay-55d0c2";
const WRONG_PASSWORD: &str = "canary-wrong-0b9e17";
const BODY: &str = "canary-body-c41d08";

/// Signs in with the right and with a wrong password, sends two mails, reads the metrics.
const CLIENT: &str = r#"
import smtplib, ssl, sys, time, urllib.request
port, http, user, password, wrong, body = sys.argv[1:]
context = ssl._create_unverified_context()
def client():
    for _ in range(200):
        try:
            return smtplib.SMTP_SSL("127.0.0.1", int(port), timeout=60, context=context)
        except OSError:
            time.sleep(0.1)
    raise SystemExit("nobody listens")
one = client()
try:
    one.login(user, wrong)
    raise SystemExit("a wrong password was taken")
except smtplib.SMTPAuthenticationError:
    pass
one.close()
two = client()
two.login(user, password)
mail = "From: <a@sender.test>\r\nSubject: x\r\n\r\n" + body + "\r\n"
two.sendmail("a@sender.test", ["bob@relayed.test"], mail)
try:
    two.sendmail("a@stranger.test", ["bob@relayed.test"], mail)
except smtplib.SMTPException:
    pass
try:
    two.sendmail("a@sender.test", ["bob@relayed.test"], "From: " + body + "\r\n\r\n" + body)
except smtplib.SMTPException:
    pass
two.quit()
time.sleep(2)
for path in ("/metrics", "/health/ready", "/v1/credentials", "/v1/check"):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:%s%s" % (http, path)).read().decode())
    except urllib.error.HTTPError as error:
        print(error.read().decode())
"#;

/// A relay that asks for TLS, offers AUTH and takes nobody.
async fn unfriendly_relay(listener: TcpListener) {
    let made = rcgen::generate_simple_self_signed(["relay.test".to_owned()]).expect("made");
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a certificate");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    while let Ok((mut stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            stream.write_all(b"220 relay.test ESMTP\r\n").await?;
            let mut clear = BufReader::new(stream);
            converse(&mut clear, b"250-relay.test\r\n250 STARTTLS\r\n").await?;
            let mut secured = BufReader::new(acceptor.accept(clear.into_inner()).await?);
            converse(&mut secured, b"250-relay.test\r\n250 AUTH PLAIN LOGIN\r\n").await
        });
    }
}

/// Answers until STARTTLS or the end.
async fn converse<S: AsyncBufRead + AsyncWrite + Unpin>(
    stream: &mut S,
    hello: &[u8],
) -> std::io::Result<()> {
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let verb = line.get(..4).unwrap_or_default();
        let answer: &[u8] = match verb {
            "EHLO" => hello,
            "STAR" => b"220 2.0.0 go\r\n",
            "AUTH" => b"535 5.7.8 not you\r\n",
            _ => b"250 2.0.0 ok\r\n",
        };
        stream.write_all(answer).await?;
        stream.flush().await?;
        if verb == "STAR" {
            break;
        }
        line.clear();
    }
    Ok(())
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // SAFETY: the child is ours and not yet waited for.
        unsafe { libc::kill(self.0.id() as libc::pid_t, libc::SIGTERM) };
        self.0.wait().expect("it ends");
    }
}

fn settings(desk: &Path, ports: [u16; 3], relay: u16, store: &str) -> String {
    let desk = desk.display();
    let [submission, submissions, http] = ports;
    format!(
        "[node]\nhost_name = \"relay.test\"\ndata_dir = \"{desk}/queue\"\n\
         dkim_dir = \"{desk}/keys\"\n[store]\nurl = \"{store}\"\n\
         [smtp]\nsubmission = [\"127.0.0.1:{submission}\"]\n\
         submissions = [\"127.0.0.1:{submissions}\"]\n\
         [http]\nlisten = [\"127.0.0.1:{http}\"]\n[log]\nlevel = \"trace\"\n\
         [[route]]\nname = \"relay\"\ndomains = [\"*\"]\nhost = \"127.0.0.1\"\nport = {relay}\n\
         tls = \"required\"\n[route.auth]\nuser = \"we\"\nsecret = \"{RELAY_PASSWORD}\"\n"
    )
}

fn run(config: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_postroad"))
        .arg("--config")
        .arg(config)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// All files below, with their names.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.display().to_string();
        match std::fs::symlink_metadata(&path).expect("is there").file_type() {
            kind if kind.is_dir() => found.extend(files(&path)),
            kind if kind.is_file() => found.push((name, std::fs::read(&path).expect("read"))),
            _ => {}
        }
    }
    found
}

/// The places in which a secret stands, plain or in base64 as AUTH PLAIN has it.
fn places(texts: &[(String, Vec<u8>)], secret: &str) -> Vec<String> {
    let encoded = base64::prelude::BASE64_STANDARD.encode(format!("\0we\0{secret}"));
    let alone = base64::prelude::BASE64_STANDARD.encode(secret);
    let stands = |octets: &[u8]| {
        [secret, &encoded, &alone]
            .iter()
            .any(|text| memchr::memmem::find(octets, text.as_bytes()).is_some())
    };
    texts.iter().filter(|(_, octets)| stands(octets)).map(|(name, _)| name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stands_in_logs_answers_ledger_or_dialogues() {
    let Some(server) = Server::start() else {
        return skipped("no PostgreSQL: secrets in its URL are not looked for");
    };
    let desk = tempfile::tempdir().expect("a directory");
    let relay = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let relay_port = relay.local_addr().expect("an address").port();
    let relay = tokio::spawn(unfriendly_relay(relay));
    let ports = [free_port(), free_port(), free_port()];
    let url = server.database("secrets", STORE_PASSWORD);
    let config = desk.path().join("postroad.toml");
    let text = settings(desk.path(), ports, relay_port, &url);
    std::fs::write(&config, text).expect("written");
    let mut texts: Vec<(String, Vec<u8>)> = Vec::new();
    let mut told = |name: &str, text: String| texts.push((name.to_owned(), text.into_bytes()));
    told("config check", run(&config, &["config", "check"]));
    told("migrate", run(&config, &["migrate"]));
    told("domain add", run(&config, &["domain", "add", "sender.test"]));
    let added = run(&config, &["credential", "add", "app", "--json"]);
    let start = added.find('{').unwrap_or_else(|| panic!("{added}"));
    let added: serde_json::Value = serde_json::from_str(added[start..].trim()).expect("JSON");
    let password = added["password"].as_str().or(added["secret"].as_str()).expect("a password");
    let log = desk.path().join("daemon.log");
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_postroad"));
    daemon.arg("--config").arg(&config).arg("serve").stdin(Stdio::null());
    let file = std::fs::File::create(&log).expect("a log");
    daemon.stdout(file.try_clone().expect("a handle")).stderr(file);
    let daemon = Daemon(daemon.spawn().expect("it starts"));
    let client = tokio::process::Command::new("python3")
        .args(["-c", CLIENT, &ports[1].to_string(), &ports[2].to_string(), "app", password])
        .args([WRONG_PASSWORD, BODY])
        .output()
        .await
        .expect("python3 runs");
    let log_text = || std::fs::read_to_string(&log).expect("a log");
    let output = String::from_utf8_lossy(&client.stderr).into_owned();
    assert!(client.status.success(), "{output}\n{}", log_text());
    told("answers over HTTP", String::from_utf8_lossy(&client.stdout).into_owned());
    let began = Instant::now();
    while !run(&config, &["queue", "list"]).contains("535") {
        assert!(began.elapsed() < PATIENCE, "{}", log_text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for arguments in [&["queue", "list"][..], &["queue", "show", "1"], &["credential", "list"]] {
        told(&arguments.join(" "), run(&config, arguments));
    }
    // The wrong password of the ledger's URL, too, must not be told by an error.
    server.stop();
    tokio::time::sleep(Duration::from_millis(500)).await;
    told("check without a database", run(&config, &["check"]));
    server.begin();
    told("dump", dump(&server));
    drop(daemon);
    texts.extend(files(&desk.path().join("queue")));
    texts.push(("log".into(), log_text().into_bytes()));
    assert!(log_text().len() > 1000, "the log tells nothing");
    for secret in [STORE_PASSWORD, RELAY_PASSWORD, WRONG_PASSWORD, password] {
        assert_eq!(places(&texts, secret), Vec::<String>::new(), "{secret}");
    }
    let mut bodies = places(&texts, BODY);
    assert!(!bodies.is_empty(), "the body stands in the spool; else nothing was looked at");
    bodies.retain(|place| !place.contains("/queue/spool/"));
    assert_eq!(bodies, Vec::<String>::new(), "the body of a mail");
    relay.abort();
}

/// The rows of the ledger, all of them.
fn dump(server: &Server) -> String {
    let mut text = String::new();
    let mut child = server.dump("secrets");
    let mut output = child.stdout.take().expect("piped");
    output.read_to_string(&mut text).expect("UTF-8");
    assert!(child.wait().expect("it ends").success() && text.contains("COPY public.deliveries"));
    text
}
