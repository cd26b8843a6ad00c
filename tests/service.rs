//! `postroad serve` as a service: what systemd is told, what a reload takes up, who may not start,
//! where its state lies, what it counts and what it tells of an attempt.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::running_daemon::Daemon;
use crate::cli::{Desk, told};
use crate::support::ports::free_address;

const WAIT: Duration = Duration::from_secs(30);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < WAIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn systemd_is_told_when_mail_is_taken_and_when_it_no_longer_is() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(WAIT)).expect("a deadline");
    let hear = || {
        let mut octets = [0; 512];
        let length = socket.recv(&mut octets).expect("told in time");
        String::from_utf8_lossy(&octets[..length]).into_owned()
    };
    let path = path.to_str().expect("UTF-8");
    let mut daemon = Daemon::start_with("", &[("NOTIFY_SOCKET", path)]);
    assert!(hear().lines().any(|line| line == "READY=1"));
    assert_eq!(daemon.stop(), Some(0));
    assert!(hear().lines().any(|line| line == "STOPPING=1"));
}

/// A host that greets each client with one reply and closes.
fn host_saying(reply: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for client in listener.incoming().take(100) {
            let mut client = client.expect("a client");
            client.write_all(reply.as_bytes()).expect("written");
            client.shutdown(std::net::Shutdown::Write).expect("shut");
            client.set_read_timeout(Some(Duration::from_secs(1))).expect("a deadline");
            // Until the other side has seen the end; what it says does not matter.
            std::io::copy(&mut client.take(10_000), &mut std::io::sink()).ok();
        }
    });
    address
}

/// The port of the only route becomes this one, and a setting changes that needs a restart.
fn change_settings(daemon: &Daemon, host: SocketAddr) {
    let path = daemon.desk.path().join("postroad.toml");
    let old = std::fs::read_to_string(&path).expect("readable");
    let (head, _) = old.rsplit_once("port = ").expect("the route's port");
    let head = head.replace("segment_bytes = \"1 MiB\"", "segment_bytes = \"2 MiB\"");
    std::fs::write(&path, format!("{head}port = {}\n", host.port())).expect("written");
}

#[test]
fn a_reload_takes_a_new_route_at_once_and_says_what_needs_a_restart() {
    let daemon = Daemon::start();
    daemon.submit(&["one@a.example"]);
    until("a first attempt", || daemon.told(&["queue", "list"]).contains("refused"));
    change_settings(&daemon, host_saying("421 4.3.2 come \x1b[2Jlater\r\n"));
    let pid = i32::try_from(daemon.child.id()).expect("a pid");
    assert_eq!(unsafe { libc::kill(pid, libc::SIGHUP) }, 0);
    until("the reload", || daemon.log().contains("settings were read again"));
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("settings were read again"));
    let line = line.expect("just seen");
    let (taken, restart) = line.split_once("needs_restart").expect("what needs a restart");
    assert!(restart.contains("spool.segment_bytes"), "{line}");
    assert!(taken.contains("route"), "{line}");

    // What its old host had refused is due later; the operator wants it tried now.
    daemon.told(&["queue", "retry", "--all", "--yes"]);
    until("the new host's answer", || daemon.told(&["queue", "list"]).contains("421 4.3.2"));
    let list = daemon.json(&["queue", "list", "--json"]);
    let id = list["items"][0]["id"].to_string();
    let text = daemon.told(&["queue", "show", &id]);
    assert!(text.contains("\n  < 421 4.3.2 come "), "the dialogue is shown:\n{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
    let story = daemon.json(&["queue", "show", &id, "--json"]);
    let dialogues = story["dialogues"].as_array().expect("dialogues");
    let last = dialogues.last().expect("one of the last attempt");
    let place = &story["events"].as_array().expect("events").last().expect("one")["fields"];
    assert_eq!(last["place"], place["dialogue"]);
    assert!(last["lines"].to_string().contains("421 4.3.2 come"), "{last}");
}

#[test]
fn attempts_are_counted_by_outcome_and_measured() {
    let daemon = Daemon::start();
    daemon.submit(&["one@a.example"]);
    // The outcome is counted when the attempt ends, the step when it is written.
    for line in [
        "postroad_attempts_total{outcome=\"deferred\"} 1",
        "# TYPE postroad_attempt_seconds histogram",
        "postroad_connections_out 0",
        "postroad_panics_total 0",
        "postroad_deliveries_total{step=\"defer\"} ",
    ] {
        until(line, || daemon.get("/metrics", "").contains(line));
    }
}

#[test]
fn a_second_daemon_on_the_same_directory_says_who_holds_it_and_ends() {
    let daemon = Daemon::start();
    second_is_refused(&daemon.desk, &daemon.child.id().to_string());
}

/// With ports of its own, so that nothing but the directory stands against it.
fn second_is_refused(desk: &Desk, holder: &str) {
    let ports = [free_address(), free_address()].map(|port| format!("[\"{port}\"]"));
    let output = Command::new(env!("CARGO_BIN_EXE_postroad"))
        .arg("serve")
        .current_dir(desk.path())
        .env("POSTROAD_SMTP_SUBMISSION", &ports[0])
        .env("POSTROAD_HTTP_LISTEN", &ports[1])
        .stdin(Stdio::null())
        .output()
        .expect("postroad runs");
    let text = told(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("another postroad") && text.contains("stop it first"), "{text}");
    assert!(text.contains(holder), "{text}");
}

#[test]
fn all_state_lies_under_queue_and_dkim_keys_and_nowhere_else() {
    let mut daemon = Daemon::start();
    daemon.told(&["dkim", "new", "shop.example", "--selector", "s1", "--trusted"]);
    daemon.submit(&["one@a.example", "two@b.example"]);
    daemon.told(&["queue", "list"]);
    daemon.told(&["check"]);
    assert_eq!(daemon.stop(), Some(0));
    let entries = std::fs::read_dir(daemon.desk.path()).expect("readable");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let names: BTreeSet<String> =
        entries.map(|entry| name(entry).into_string().expect("UTF-8")).collect();
    // The settings and the log are the test's.
    let lawful = ["dkim-keys", "log", "postroad.toml", "queue"].map(str::to_owned);
    assert_eq!(names, BTreeSet::from(lawful));
}

mod on_postgresql {
    use super::*;
    use crate::crash::new_database;

    #[tokio::test]
    async fn a_second_daemon_on_the_same_directory_is_refused_before_it_touches_the_ledger() {
        let Some(url) = new_database().await else { return };
        let settings = format!("[store]\nurl = \"{url}\"\n");
        let refused = tokio::task::spawn_blocking(move || {
            let daemon = Daemon::start_with(&settings, &[]);
            second_is_refused(&daemon.desk, &daemon.child.id().to_string());
        });
        refused.await.expect("no panic");
    }
}
