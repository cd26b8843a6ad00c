//! The operator's commands, as the binary runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory to run commands in, without settings of the surrounding machine.
pub(crate) struct Desk {
    pub(crate) directory: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk { directory: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POSTROAD_") {
                command.env_remove(name);
            }
        }
        command.output().expect("postroad runs")
    }
}

pub(crate) fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[test]
fn the_printed_sample_checks_clean() {
    let desk = Desk::new();
    let sample = desk.run(&["config", "sample"]);
    assert!(sample.status.success());
    desk.write("postroad.toml", &told(&sample));
    let checked = desk.run(&["config", "check"]);
    assert!(checked.status.success(), "{}", told(&checked));
    assert_eq!(told(&checked), "postroad.toml: no mistakes\n");
}

#[test]
fn wrong_settings_end_every_command_with_all_mistakes_and_exit_code_78() {
    let desk = Desk::new();
    let file = desk.write("other.toml", "[smtp]\nerors_max = 1\n[nod]\n[retry]\nwait_max = 3\n");
    let file = file.to_str().expect("UTF-8");
    for command in [&["config", "check"][..], &["serve"], &["queue", "list"]] {
        let mut arguments = vec!["--config", file];
        arguments.extend(command);
        let output = desk.run(&arguments);
        assert_eq!(output.status.code(), Some(78), "{command:?}");
        let text = told(&output);
        for place in ["other.toml:2: ", "other.toml:3: ", "other.toml:5: "] {
            assert!(text.contains(place), "{command:?}: {text}");
        }
    }
}

#[test]
fn a_command_for_the_daemon_says_how_to_start_it() {
    let desk = Desk::new();
    let output = desk.run(&["queue", "list"]);
    assert_eq!(output.status.code(), Some(1));
    let text = told(&output);
    assert!(text.contains("not running") && text.contains("postroad serve"), "{text}");
    assert!(!desk.path().join("queue").exists(), "looking must not make anything");
}

#[test]
fn a_check_without_a_store_says_so() {
    let desk = Desk::new();
    let output = desk.run(&["check", "--data-dir", "nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("there is no store in nowhere"), "{}", told(&output));
}

#[test]
fn what_stands_in_arguments_and_files_reaches_the_terminal_harmless() {
    let desk = Desk::new();
    desk.write("postroad.toml", "[smtp]\n\"\\u001b[2J\" = 1\n");
    let text = told(&desk.run(&["config", "check"]));
    assert!(text.contains("\\x1b[2J") && !text.contains('\x1b'), "{text:?}");
}

#[test]
fn wrong_arguments_have_an_exit_code_of_their_own() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["queue", "explode"]).status.code(), Some(2));
    assert_eq!(desk.run(&["queue", "list", "--state", "lost"]).status.code(), Some(2));
    assert_eq!(desk.run(&["--help"]).status.code(), Some(0));
    let version = desk.run(&["version"]);
    assert_eq!(told(&version), concat!("postroad ", env!("CARGO_PKG_VERSION"), "\n"));
}

mod stopped_store {
    //! What works while no daemon runs.

    use super::*;

    fn json(output: &Output) -> serde_json::Value {
        assert!(output.status.success(), "{}", told(output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    #[test]
    fn a_credential_is_made_listed_without_its_secret_and_revoked() {
        let desk = Desk::new();
        let made = json(&desk.run(&["credential", "add", "app", "--json"]));
        let secret = made["secret"].as_str().expect("a secret").to_owned();
        assert!(secret.len() >= 20, "{secret}");
        let listed = desk.run(&["credential", "list", "--json"]);
        assert!(!told(&listed).contains(&secret) && !told(&listed).contains("argon2"));
        assert_eq!(json(&listed)[0]["name"], "app");
        let again = desk.run(&["credential", "add", "app"]);
        assert_eq!(again.status.code(), Some(1));
        assert!(told(&again).contains("there is a credential of this name"), "{}", told(&again));
        assert!(desk.run(&["credential", "revoke", "app"]).status.success());
        assert!(!desk.run(&["credential", "revoke", "app"]).status.success());
        assert!(told(&desk.run(&["credential", "list"])).contains("revoked"));
    }

    #[test]
    fn a_name_that_is_not_lawful_is_refused_with_its_field() {
        let desk = Desk::new();
        let refused = desk.run(&["credential", "add", "a:b"]);
        assert!(told(&refused).contains("name: "), "{}", told(&refused));
        let refused = desk.run(&["domain", "add", "not a domain"]);
        assert!(told(&refused).contains("name: "), "{}", told(&refused));
        let refused = desk.run(&["credential", "add", "a", "--stream", "none"]);
        assert!(told(&refused).contains("stream: "), "{}", told(&refused));
    }

    #[test]
    fn keys_are_made_for_our_own_domains_alone() {
        let desk = Desk::new();
        let refused = desk.run(&["dkim", "new", "shop.example"]);
        assert!(told(&refused).contains("postroad domain add shop.example"), "{}", told(&refused));
        assert!(desk.run(&["domain", "add", "Shop.Example"]).status.success());
        let made = desk.run(&["dkim", "new", "shop.example", "--selector", "s1"]);
        assert!(made.status.success(), "{}", told(&made));
        assert_eq!(told(&made).matches("._domainkey.shop.example. ").count(), 2);
        assert!(!told(&made).contains("PRIVATE"));
        let listed = json(&desk.run(&["dkim", "list", "--json"]));
        assert_eq!(listed.as_array().map(Vec::len), Some(2));
        assert!(desk.path().join("dkim-keys").is_dir());
        assert!(!desk.run(&["dkim", "new", "shop.example", "--selector", "s1"]).status.success());
    }

    #[test]
    fn an_empty_store_checks_clean() {
        let desk = Desk::new();
        assert!(desk.run(&["migrate"]).status.success());
        assert!(desk.run(&["migrate"]).status.success());
        let checked = desk.run(&["check"]);
        assert!(checked.status.success(), "{}", told(&checked));
        assert!(told(&checked).ends_with("all is well\n"), "{}", told(&checked));
        assert_eq!(json(&desk.run(&["check", "--json"]))["census"]["accepted"], 0);
    }
}

mod service {
    //! The files under `systemd/`.

    use super::*;

    fn file(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
        std::fs::read_to_string(path).expect("a file of the checkout")
    }

    #[test]
    fn systemd_finds_nothing_to_say_about_the_unit() {
        let desk = Desk::new();
        // The binary is not installed where the unit expects it.
        let unit = file("postroad.service").replace("/usr/bin/postroad", "/bin/true");
        let unit = desk.write("postroad.service", &unit);
        let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&unit).output() else {
            eprintln!("SKIPPED: systemd-analyze is missing, so the unit was not verified");
            return;
        };
        assert!(output.status.success() && told(&output).is_empty(), "{}", told(&output));
    }

    #[test]
    fn the_settings_of_an_installed_host_check_clean() {
        let text = file("postroad.toml");
        let settings = postroad::config::read("postroad.toml", &text, &[]);
        let settings = settings.expect("no mistakes");
        assert!(settings.node.data_dir.is_absolute() && settings.node.dkim_dir.is_absolute());
    }

    #[test]
    fn stopping_may_take_as_long_as_the_settings_allow_by_default() {
        let wait = postroad::config::Settings::default().node.stop_wait.as_secs();
        assert!(file("postroad.service").contains("TimeoutStopSec=90s") && wait < 90);
    }
}

pub(crate) mod running_daemon {
    //! What the commands and the HTTP port say beside `postroad serve`.

    use crate::support::ports::free_address;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::process::Child;
    use std::time::{Duration, Instant};

    use super::*;

    const WAIT: Duration = Duration::from_secs(30);

    /// A daemon with one trusted client and a relay that nobody runs, so that all mail waits.
    pub(crate) struct Daemon {
        pub(crate) desk: Desk,
        pub(crate) child: Child,
        pub(crate) submission: SocketAddr,
        http: SocketAddr,
    }

    pub(crate) fn serve(desk: &Desk, environment: &[(&str, &str)]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
        command.arg("serve").current_dir(desk.path()).stdin(Stdio::null());
        command.envs(environment.iter().copied());
        command.stdout(Stdio::null());
        let log = std::fs::File::create(desk.path().join("log")).expect("a log");
        command.stderr(log).spawn().expect("postroad runs")
    }

    impl Daemon {
        pub(crate) fn start() -> Daemon {
            Daemon::start_with("", &[])
        }

        pub(crate) fn start_with(settings: &str, environment: &[(&str, &str)]) -> Daemon {
            let desk = Desk::new();
            let (submission, http, nobody) = (free_address(), free_address(), free_address());
            desk.write(
                "postroad.toml",
                &format!(
                    "{settings}[smtp]\nsubmission = [\"{submission}\"]\nsubmissions = []\n\
                     [http]\nlisten = [\"{http}\"]\n\
                     [spool]\nsegment_bytes = \"1 MiB\"\nfree_bytes_min = \"1 MiB\"\n\
                     [[trusted]]\nnetwork = \"127.0.0.0/8\"\ncredential = \"app\"\n\
                     [[route]]\nname = \"nobody\"\ndomains = [\"*\"]\nhost = \"127.0.0.1\"\n\
                     port = {}\n",
                    nobody.port()
                ),
            );
            assert!(desk.run(&["credential", "add", "app"]).status.success());
            assert!(desk.run(&["domain", "add", "shop.example"]).status.success());
            let child = serve(&desk, environment);
            let mut daemon = Daemon { desk, child, submission, http };
            daemon.wait_until_up();
            daemon
        }

        pub(crate) fn log(&self) -> String {
            std::fs::read_to_string(self.desk.path().join("log")).unwrap_or_default()
        }

        pub(crate) fn wait_until_up(&mut self) {
            let begun = Instant::now();
            while TcpStream::connect(self.http).is_err()
                || TcpStream::connect(self.submission).is_err()
            {
                let ended = self.child.try_wait().expect("a child");
                assert!(ended.is_none() && begun.elapsed() < WAIT, "{ended:?}: {}", self.log());
                std::thread::sleep(Duration::from_millis(20));
            }
        }

        pub(crate) fn told(&self, arguments: &[&str]) -> String {
            let output = self.desk.run(arguments);
            assert!(output.status.success(), "{arguments:?}: {}{}", told(&output), self.log());
            told(&output)
        }

        pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
            serde_json::from_str(&self.told(arguments)).expect("JSON")
        }

        /// Status, headers and body of a GET.
        pub(crate) fn get(&self, path: &str, header: &str) -> String {
            let mut stream = TcpStream::connect(self.http).expect("connected");
            stream.set_read_timeout(Some(WAIT)).expect("a deadline");
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{header}\r\n");
            stream.write_all(request.as_bytes()).expect("written");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            answer
        }

        /// Submits a mail to each recipient, as the trusted client.
        pub(crate) fn submit(&self, recipients: &[&str]) {
            let mut stream = TcpStream::connect(self.submission).expect("connected");
            stream.set_read_timeout(Some(WAIT)).expect("a deadline");
            let mut replies = BufReader::new(stream.try_clone().expect("cloned"));
            let mut say = |line: &str, code: &str| {
                stream.write_all(line.as_bytes()).expect("written");
                let mut reply = String::new();
                while !reply.starts_with(&format!("{code} ")) {
                    assert!(reply.is_empty() || reply.starts_with(&format!("{code}-")), "{reply}");
                    reply.clear();
                    assert!(replies.read_line(&mut reply).expect("a reply") > 0, "closed");
                }
            };
            say("", "220");
            say("EHLO client.example\r\n", "250");
            for recipient in recipients {
                say("MAIL FROM:<a@shop.example>\r\n", "250");
                say(&format!("RCPT TO:<{recipient}>\r\n"), "250");
                say("DATA\r\n", "354");
                say("From: a@shop.example\r\nSubject: hello\r\n\r\nbody\r\n.\r\n", "250");
            }
            say("QUIT\r\n", "221");
        }

        pub(crate) fn count(&self, filter: &[&str]) -> u64 {
            let mut arguments = vec!["queue", "list", "--count", "--json"];
            arguments.extend(filter);
            self.json(&arguments)["count"].as_u64().expect("a count")
        }

        pub(crate) fn stop(&mut self) -> Option<i32> {
            let pid = i32::try_from(self.child.id()).expect("a pid");
            assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
            let begun = Instant::now();
            while begun.elapsed() < WAIT {
                if let Some(status) = self.child.try_wait().expect("a child") {
                    return status.code();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            None
        }
    }

    impl Drop for Daemon {
        fn drop(&mut self) {
            if matches!(self.child.try_wait(), Ok(None)) {
                self.child.kill().expect("killed");
                self.child.wait().expect("ended");
            }
        }
    }

    #[test]
    fn streams_hold_rules_and_traces_are_set_and_a_timeline_is_told() {
        let daemon = Daemon::start();
        assert!(daemon.told(&["stream", "list"]).contains("transactional"));
        let policy = daemon.json(&["stream", "policy", "1", "--suppressed", "hold", "--json"]);
        assert_eq!((&policy["suppressed"], &policy["bounces"]), (&"hold".into(), &"asked".into()));
        let policy = daemon.told(&["stream", "policy", "1", "--bounces", "always"]);
        assert!(policy.contains("hold: ") && policy.contains("always: "), "{policy}");
        assert_eq!(
            daemon.desk.run(&["stream", "policy", "1", "--bounces", "x"]).status.code(),
            Some(2)
        );
        assert!(daemon.told(&["stream", "tracking", "1"]).starts_with("unsaid: "));
        let said = daemon.json(&["stream", "tracking", "1", "--set", "both", "--json"]);
        assert_eq!(said["tracking"], "both");
        assert!(daemon.told(&["stream", "tracking", "1"]).starts_with("both: "));
        let unsaid = daemon.json(&["stream", "tracking", "1", "--set", "unsaid", "--json"]);
        assert!(unsaid["tracking"].is_null());
        assert!(daemon.told(&["stream", "hold", "1", "--reason", "a look"]).contains("is held"));
        assert!(daemon.told(&["stream", "list"]).contains("held: a look"));
        assert!(daemon.told(&["stream", "release", "1"]).contains("goes on"));
        let add = ["hold-rule", "add", "--recipient-domain", "far.example", "--reason", "odd"];
        assert!(daemon.told(&add).contains("recipient_domain:far.example"));
        let rules = daemon.json(&["hold-rule", "list", "--json"]);
        let id = rules[0]["id"].to_string();
        daemon.submit(&["ann@far.example"]);
        let why = daemon.json(&["why", "1", "--json"]).to_string();
        assert!(why.contains("odd"), "{why}");
        assert!(daemon.told(&["hold-rule", "remove", &id]).contains("was removed"));
        let trace = daemon.json(&["trace", "add", "ann@far.example", "--hours", "2", "--json"]);
        assert!(daemon.told(&["trace", "list"]).contains("ann@far.example"));
        assert!(daemon.told(&["trace", "remove", &trace["id"].to_string()]).contains("removed"));
        let told = daemon.told(&["message", "timeline", "1"]);
        assert!(told.contains(" accepted "), "{told}");
    }

    #[test]
    fn suppressed_addresses_go_in_from_a_file_and_out_in_the_clear_or_hashed() {
        let daemon = Daemon::start();
        let hash = "ab".repeat(32);
        daemon.desk.write("list.csv", &format!("email\nann@far.example\n{hash}\nnobody\n"));
        let told = daemon.told(&["suppression", "import", "list.csv"]);
        assert!(told.contains("2 added, 0 there already, 1 lines left out"), "{told}");
        let told = daemon.told(&["suppression", "import", "list.csv"]);
        assert!(told.contains("0 added, 2 there already"), "{told}");
        assert_eq!(daemon.told(&["suppression", "export"]), format!("{hash}\nann@far.example\n"));
        let hashed = daemon.told(&["suppression", "export", "--hashed"]);
        assert!(hashed.starts_with(&hash) && !hashed.contains('@'), "{hashed}");
        let told = daemon.told(&["suppression", "test", "Ann@FAR.example"]);
        assert!(told.contains("stopped by entry"), "{told}");
        let rows = daemon.json(&["suppression", "list", "--address", "ann@far.example", "--json"]);
        let id = rows[0]["id"].to_string();
        daemon.told(&["suppression", "remove", &id, "--note", "a mistake"]);
        assert_eq!(daemon.told(&["suppression", "test", "ann@far.example"]), "not stopped\n");
    }

    #[test]
    fn health_and_metrics_are_open_on_this_host_and_v1_asks_who_it_is() {
        let daemon = Daemon::start();
        assert!(daemon.get("/health/live", "").starts_with("HTTP/1.1 200 OK"));
        assert!(daemon.get("/health/ready", "").contains("{\"status\":\"ready\"}"));
        let metrics = daemon.get("/metrics", "");
        assert!(metrics.contains("postroad_deliveries{state=\"waiting\"} 0"), "{metrics}");
        let passed_on = daemon.get("/metrics", "X-Forwarded-For: 127.0.0.1\r\n");
        assert!(passed_on.starts_with("HTTP/1.1 401"), "{passed_on}");
        let refused = daemon.get("/v1/deliveries", "");
        assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
        assert!(refused.contains("application/problem+json"), "{refused}");

        let made = daemon.json(&["credential", "add", "reader", "--json"]);
        let bearer = |secret: &str| format!("Authorization: Bearer reader:{secret}\r\n");
        let header = bearer(made["secret"].as_str().expect("a secret"));
        assert!(daemon.get("/v1/deliveries", &header).starts_with("HTTP/1.1 200 OK"));
        assert!(daemon.get("/v1/credentials", &header).starts_with("HTTP/1.1 403"));
        assert!(daemon.get("/v1/deliveries", &bearer("wrong")).starts_with("HTTP/1.1 401"));
        let unknown = daemon.get("/v1/deliveries?colour=red", &header);
        assert!(unknown.starts_with("HTTP/1.1 422") && unknown.contains("\"colour\""), "{unknown}");
        daemon.told(&["credential", "revoke", "reader"]);
        assert!(daemon.get("/v1/deliveries", &header).starts_with("HTTP/1.1 401"));
    }

    #[test]
    fn waiting_mail_is_listed_told_held_released_retried_and_cancelled() {
        let daemon = Daemon::start();
        daemon.submit(&["one@a.example", "two@a.example", "three@b.example"]);
        assert_eq!(daemon.count(&[]), 3);
        assert_eq!(daemon.count(&["--domain", "a.example"]), 2);
        assert_eq!(daemon.count(&["--sender", "a@shop.example"]), 3);
        assert_eq!(daemon.count(&["--sender", "other.example"]), 0);
        let first = daemon.json(&["queue", "list", "--limit", "2", "--json"]);
        let cursor = first["next"].as_str().expect("there is more");
        let rest = daemon.json(&["queue", "list", "--cursor", cursor, "--json"]);
        assert_eq!(rest["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(rest["items"][0]["recipient"], "one@a.example");

        let unasked = daemon.desk.run(&["queue", "hold", "--domain", "a.example"]);
        assert!(!unasked.status.success());
        assert!(told(&unasked).contains("--yes"), "{}", told(&unasked));
        assert_eq!(daemon.count(&["--state", "held"]), 0);
        let unmeant = daemon.desk.run(&["queue", "cancel", "--yes"]);
        assert!(!unmeant.status.success() && told(&unmeant).contains("filter"));

        let hold = ["queue", "hold", "--domain", "a.example", "--reason", "look", "--yes"];
        assert_eq!(daemon.told(&hold), "hold: 2 deliveries\n");
        assert_eq!(daemon.count(&["--state", "held"]), 2);
        let delivery = rest["items"][0]["id"].to_string();
        let story = daemon.told(&["queue", "show", &delivery]);
        assert!(story.contains(" accepted") && story.contains(" held"), "{story}");
        daemon.told(&["queue", "release", "--delivery", &delivery, "--yes"]);
        assert_eq!(daemon.count(&["--state", "held"]), 1);
        daemon.told(&["queue", "retry", "--delivery", &delivery, "--yes"]);
        let cancel = ["queue", "cancel", "--all", "--yes", "--json"];
        assert_eq!(daemon.json(&cancel)["changed"], 3);
        assert_eq!(daemon.count(&["--state", "cancelled"]), 3);
        assert!(daemon.told(&["check"]).ends_with("all is well\n"));
    }

    #[test]
    fn a_store_is_checked_beside_its_daemon_and_after_it() {
        let mut daemon = Daemon::start();
        daemon.submit(&["one@a.example"; 20]);
        let beside = daemon.told(&["check"]);
        assert!(beside.contains("accepted  20 deliveries = "), "{beside}");
        let second = daemon.desk.run(&["migrate"]);
        assert!(!second.status.success(), "a second owner of the directory");
        let desk = Desk { directory: tempfile::tempdir().expect("a directory") };
        let data = daemon.desk.path().join("queue");
        let elsewhere = desk.run(&["check", "--data-dir", data.to_str().expect("UTF-8")]);
        assert!(told(&elsewhere).ends_with("all is well\n"), "{}", told(&elsewhere));
        let socket = data.join("control.sock");
        assert!(socket.exists());
        assert_eq!(daemon.stop(), Some(0));
        assert!(!socket.exists());
        assert!(daemon.told(&["check"]).ends_with("all is well\n"));
    }

    #[test]
    fn a_damaged_body_is_found() {
        let daemon = Daemon::start();
        daemon.submit(&["one@a.example", "two@a.example"]);
        let spool = daemon.desk.path().join("queue/spool");
        let mut damaged = 0;
        for entry in std::fs::read_dir(&spool).expect("a spool") {
            let path = entry.expect("an entry").path();
            let mut bytes = std::fs::read(&path).expect("a segment");
            let found = bytes.windows(4).position(|window| window == b"body");
            if let Some(at) = found {
                bytes[at] ^= 0x20;
                std::fs::write(&path, &bytes).expect("written");
                damaged += 1;
            }
        }
        assert_eq!(damaged, 1, "both bodies lie in one segment");
        let checked = daemon.desk.run(&["check"]);
        assert_eq!(checked.status.code(), Some(1));
        assert_eq!(told(&checked).matches("WRONG").count(), 1, "{}", told(&checked));
    }
}
