//! Real receivers get our mail: servers by others, which do not share our reading of the RFCs.
//!
//! Owns:       a daemon with one route for each test, and the peers of `scripts/peers`.
//! Promises:   a mail submitted to the daemon stands whole in the peer's maildir.
//! Knows not:  the simulated internet.

use crate::support::ports::free_port;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_WAIT: Duration = Duration::from_secs(60);
const ARRIVAL_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// What a peer's script says when this machine cannot run it.
const EXIT_CANNOT: i32 = 77;

#[test]
fn postfix_receives_our_mail_whole_and_encrypted() {
    receives("postfix", "(using TLSv1.");
}

#[test]
fn exim_receives_our_mail_whole_and_encrypted() {
    receives("exim", "with esmtps");
}

#[test]
fn haraka_receives_our_mail_whole_and_encrypted() {
    receives("haraka", "with ESMTPS");
}

/// Debian's OpenSMTPD offers STARTTLS and fails each handshake, so that only the fall back to
/// clear text of opportunistic TLS reaches it.
#[test]
fn opensmtpd_whose_handshake_fails_receives_our_mail_in_the_clear() {
    receives("opensmtpd", "with ESMTP id");
}

/// Sends several mails to the peer and finds each of them in its maildir, received `how`.
fn receives(name: &str, how: &str) {
    let Some(peer) = Peer::start(name) else { return };
    let daemon = Daemon::start(&peer);
    let mails: Vec<(String, Vec<u8>)> = [plain(), dots(), eight_bit(), large()]
        .into_iter()
        .enumerate()
        .map(|(number, body)| mail(name, number, &body))
        .collect();
    let mut session = Session::open(daemon.port);
    for (_, mail) in &mails {
        session.submit(&format!("someone@{name}.example"), mail);
    }
    for (subject, sent) in &mails {
        let got = peer.wait_for(subject);
        assert!(got.ends_with(&unix(sent)), "{name} has {subject} changed:\n{}", text(&got));
        assert!(text(&got).contains(how), "{name} got {subject} otherwise:\n{}", text(&got));
    }
}

fn plain() -> Vec<u8> {
    b"Good morning.\r\n".to_vec()
}

/// What dot-stuffing is for, and an end without a word.
fn dots() -> Vec<u8> {
    b".\r\n..\r\n.hidden\r\nfrom here\r\n\r\n.\r\n".to_vec()
}

fn eight_bit() -> Vec<u8> {
    "Grüße aus Köln, 東京 and Αθήνα.\r\nTrailing blanks  \t\r\n".into()
}

/// More than any buffer holds at once.
fn large() -> Vec<u8> {
    (0..20_000).flat_map(|line| format!("line {line} of a long mail\r\n").into_bytes()).collect()
}

fn mail(peer: &str, number: usize, body: &[u8]) -> (String, Vec<u8>) {
    let subject = format!("mail-{number}-for-{peer}");
    let mut mail = format!(
        "From: Sender <bench@sender.example>\r\nTo: someone@{peer}.example\r\n\
         Subject: {subject}\r\nDate: Sun, 01 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <{subject}@sender.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    .into_bytes();
    mail.extend_from_slice(body);
    (subject, mail)
}

/// A maildir holds lines as Unix ends them; so does this.
fn unix(mail: &[u8]) -> Vec<u8> {
    mail.iter().copied().filter(|octet| *octet != b'\r').collect()
}

fn text(mail: &[u8]) -> String {
    String::from_utf8_lossy(&mail[..mail.len().min(4000)]).into_owned()
}

/// A server started by its script and stopped with this value.
struct Peer {
    script: PathBuf,
    name: String,
    port: u16,
    maildir: PathBuf,
}

impl Peer {
    /// None: this machine cannot run it, which is said aloud.
    fn start(name: &str) -> Option<Peer> {
        let script = crate::sources::root().join("scripts/peers").join(name);
        let started = Command::new(&script)
            .arg("start")
            .stdin(Stdio::null())
            .output()
            .expect("the peer's script can be run");
        if started.status.code() == Some(EXIT_CANNOT) {
            let reason = String::from_utf8_lossy(&started.stderr).into_owned();
            println!("SKIPPED: {name} cannot run here: {reason}");
            return None;
        }
        let said = String::from_utf8_lossy(&started.stdout).into_owned();
        assert!(
            started.status.success(),
            "{name} did not start: {said}{}",
            String::from_utf8_lossy(&started.stderr)
        );
        let (port, maildir) = said
            .lines()
            .last()
            .and_then(|line| line.split_once(' '))
            .expect("the script prints PORT MAILDIR");
        Some(Peer {
            name: name.to_owned(),
            port: port.parse().expect("a port is a number"),
            maildir: maildir.into(),
            script,
        })
    }

    fn wait_for(&self, subject: &str) -> Vec<u8> {
        let wanted = format!("Subject: {subject}\n");
        let until = Instant::now() + ARRIVAL_WAIT;
        while Instant::now() < until {
            for entry in std::fs::read_dir(self.maildir.join("new")).expect("a maildir") {
                let path = entry.expect("an entry of the maildir").path();
                let mail = unix(&std::fs::read(path).expect("a mail in the maildir"));
                if text(&mail).contains(&wanted) {
                    return mail;
                }
            }
            std::thread::sleep(PAUSE);
        }
        panic!("{} has not received {subject} within {ARRIVAL_WAIT:?}", self.name);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let stopped = Command::new(&self.script).arg("stop").stdin(Stdio::null()).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("{} was not stopped", self.name);
        }
    }
}

/// `postroad serve` with a route to one peer; clients on loopback need no AUTH.
struct Daemon {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Daemon {
    fn start(peer: &Peer) -> Daemon {
        let folder = tempfile::tempdir().expect("a folder for the daemon");
        let port = free_port();
        let settings = folder.path().join("postroad.toml");
        std::fs::write(&settings, settings_for(peer, folder.path(), port)).expect("settings");
        for arguments in [["domain", "add", "sender.example"], ["credential", "add", "bench"]] {
            let done = postroad(&settings).args(arguments).output().expect("postroad runs");
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.status.success(), "postroad {arguments:?}: {said}");
        }
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let child = postroad(&settings)
            .arg("serve")
            .stderr(log.try_clone().expect("a second handle"))
            .stdout(log)
            .spawn()
            .expect("postroad serve starts");
        let mut daemon = Daemon { child, port, folder };
        daemon.wait_until_it_listens();
        daemon
    }

    fn wait_until_it_listens(&mut self) {
        let until = Instant::now() + START_WAIT;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().expect("its state can be asked");
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "postroad serve ended: {log}");
            assert!(Instant::now() < until, "postroad serve does not listen: {log}");
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("the daemon's log:\n{log}");
        }
        // Its own folder goes with it: nothing needs an orderly end here.
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            eprintln!("the daemon was not stopped");
        }
    }
}

fn postroad(settings: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
    command.arg("--config").arg(settings).stdin(Stdio::null());
    command
}

fn settings_for(peer: &Peer, folder: &Path, port: u16) -> String {
    let (folder, name, peer_port) = (folder.display(), &peer.name, peer.port);
    let http = free_port();
    format!(
        r#"
        [node]
        host_name = "postroad.example"
        data_dir = "{folder}/queue"
        dkim_dir = "{folder}/dkim-keys"
        control_socket = "{folder}/control.sock"
        [smtp]
        submission = ["127.0.0.1:{port}"]
        submissions = []
        [http]
        listen = ["127.0.0.1:{http}"]
        [delivery]
        allowed_networks = ["127.0.0.0/8"]
        [[trusted]]
        network = "127.0.0.0/8"
        credential = "bench"
        [[route]]
        name = "peer"
        domains = ["{name}.example"]
        host = "127.0.0.1"
        port = {peer_port}
        tls = "opportunistic"
        "#
    )
}

/// A plain SMTP client, one command at a time.
struct Session {
    replies: BufReader<TcpStream>,
}

impl Session {
    fn open(port: u16) -> Session {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the daemon listens");
        stream.set_read_timeout(Some(START_WAIT)).expect("a deadline");
        let mut session = Session { replies: BufReader::new(stream) };
        session.expect("220");
        session.command(b"EHLO client.example\r\n", "250");
        session
    }

    fn submit(&mut self, recipient: &str, mail: &[u8]) {
        self.command(b"MAIL FROM:<bench@sender.example> BODY=8BITMIME\r\n", "250");
        self.command(format!("RCPT TO:<{recipient}>\r\n").as_bytes(), "250");
        self.command(b"DATA\r\n", "354");
        let mut stuffed = Vec::with_capacity(mail.len() + 16);
        for line in mail.split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        stuffed.extend_from_slice(b".\r\n");
        self.command(&stuffed, "250");
    }

    fn command(&mut self, octets: &[u8], code: &str) {
        self.replies.get_mut().write_all(octets).expect("the daemon reads");
        self.expect(code);
    }

    fn expect(&mut self, code: &str) {
        loop {
            let mut line = String::new();
            self.replies.read_line(&mut line).expect("the daemon answers");
            assert!(line.starts_with(code), "wanted {code}, got {line:?}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return;
            }
        }
    }
}
