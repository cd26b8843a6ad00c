//! `postroad demo` as a process of its own, with a ready file.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::PATIENCE;

pub struct Demo {
    child: Child,
    ready: serde_json::Value,
    _directory: tempfile::TempDir,
}

impl Demo {
    pub fn start() -> Demo {
        let directory = tempfile::tempdir().expect("a directory");
        let ready_file = directory.path().join("ready.json");
        let data_dir = directory.path().join("data");
        let mut child = Command::new(env!("CARGO_BIN_EXE_postroad"))
            .arg("demo")
            .arg("--ready-file")
            .arg(&ready_file)
            .arg("--data-dir")
            .arg(&data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the demo starts");
        let ready = wait_for(&ready_file, &mut child);
        Demo { child, ready, _directory: directory }
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
        let started = Instant::now();
        loop {
            if let Some(found) = find(Path::new(self.fact("sink_dir")), line.as_bytes()) {
                return found;
            }
            assert!(started.elapsed() < PATIENCE, "no mail with the subject {subject}");
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

fn find(sink: &Path, line: &[u8]) -> Option<(Vec<u8>, serde_json::Value)> {
    for entry in std::fs::read_dir(sink).expect("a sink") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let body = std::fs::read(path.with_extension("eml")).expect("stands beside its sidecar");
        if body.windows(line.len()).any(|window| window == line) {
            let sidecar = std::fs::read(&path).expect("a sidecar");
            return Some((body, serde_json::from_slice(&sidecar).expect("JSON")));
        }
    }
    None
}
