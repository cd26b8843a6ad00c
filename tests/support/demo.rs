//! `postroad demo` as a process of its own, with a ready file.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::PATIENCE;

const SUBMIT: &str = r#"
import os, smtplib, ssl, sys
port, user, sender, recipient, mail = sys.argv[1:]
context = ssl._create_unverified_context()
client = smtplib.SMTP_SSL("127.0.0.1", int(port), timeout=60, context=context)
client.login(user, os.environ["SECRET"])
client.sendmail(sender, [recipient], mail.encode())
client.quit()
"#;

pub struct Demo {
    child: Child,
    ready: serde_json::Value,
    /// None: the test's own, which lives on.
    _directory: Option<tempfile::TempDir>,
}

impl Demo {
    pub fn start() -> Demo {
        let directory = tempfile::tempdir().expect("a directory");
        let mut demo = Demo::start_in(directory.path(), &[]);
        demo._directory = Some(directory);
        demo
    }

    /// `ready.json` and `data/` lie in this directory.
    pub fn start_in(directory: &Path, arguments: &[&str]) -> Demo {
        let ready_file = directory.join("ready.json");
        let data_dir = directory.join("data");
        let mut child = Command::new(env!("CARGO_BIN_EXE_postroad"))
            .arg("demo")
            .arg("--ready-file")
            .arg(&ready_file)
            .arg("--data-dir")
            .arg(&data_dir)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the demo starts");
        let ready = wait_for(&ready_file, &mut child);
        Demo { child, ready, _directory: None }
    }

    /// A mail from `from` over TLS with AUTH, by Python's smtplib; panics when it is refused.
    pub fn submit(&self, to: &str, subject: &str) {
        let from = self.fact("from");
        let mail = format!("From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\r\nhello\r\n");
        let output = Command::new("python3")
            .args(["-c", SUBMIT, self.port("submissions"), self.fact("smtp_user"), from, to, &mail])
            .env("SECRET", self.fact("smtp_password"))
            .output()
            .expect("python3 runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A text of the ready file.
    pub fn fact(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap_or_else(|| panic!("no {key} in the ready file"))
    }

    pub fn ready(&self) -> &serde_json::Value {
        &self.ready
    }

    /// The port at the end of an address of the ready file.
    pub fn port(&self, key: &str) -> &str {
        self.fact(key).rsplit(':').next().expect("a port")
    }

    /// Mail whose subject is this, once it is in the sink: body and sidecar.
    pub fn captured(&self, subject: &str) -> (Vec<u8>, serde_json::Value) {
        let line = format!("\r\nSubject: {subject}\r\n");
        let line = line.as_bytes();
        self.captured_where(|body, _| body.windows(line.len()).any(|window| window == line))
    }

    /// The first mail in the sink of which this holds, once there is one.
    pub fn captured_where(
        &self,
        holds: impl Fn(&[u8], &serde_json::Value) -> bool,
    ) -> (Vec<u8>, serde_json::Value) {
        let started = Instant::now();
        loop {
            if let Some(found) = find(Path::new(self.fact("sink_dir")), &holds) {
                return found;
            }
            assert!(started.elapsed() < PATIENCE, "no such mail in the sink");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGTERM; true when it ended by itself with success.
    pub fn stop(mut self) -> bool {
        terminate(&mut self.child)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if !terminate(&mut self.child) {
            self.child.kill().expect("killed");
            self.child.wait().expect("ended");
        }
    }
}

fn terminate(child: &mut Child) -> bool {
    if let Some(status) = child.try_wait().expect("asked") {
        return status.success();
    }
    // The child is ours and not yet waited for, so its id cannot have passed to another process.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("asked") {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn wait_for(file: &PathBuf, child: &mut Child) -> serde_json::Value {
    let started = Instant::now();
    loop {
        if let Ok(text) = std::fs::read(file) {
            return serde_json::from_slice(&text).expect("whole JSON");
        }
        let ended = child.try_wait().expect("asked");
        assert!(ended.is_none(), "the demo ended: {ended:?}");
        assert!(started.elapsed() < PATIENCE, "the demo does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn find(
    sink: &Path,
    holds: impl Fn(&[u8], &serde_json::Value) -> bool,
) -> Option<(Vec<u8>, serde_json::Value)> {
    for entry in std::fs::read_dir(sink).expect("a sink") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let body = std::fs::read(path.with_extension("eml")).expect("stands beside its sidecar");
        let sidecar = std::fs::read(&path).expect("a sidecar");
        let sidecar = serde_json::from_slice(&sidecar).expect("whole JSON");
        if holds(&body, &sidecar) {
            return Some((body, sidecar));
        }
    }
    None
}
