//! What several stories of faults need: time that runs, probing clients, things that break.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postroad::app;
use postroad::clock::Clock;
use postroad::config::{Route, Settings};
use postroad::queue::check::Audit;
use postroad::spool::Spool;
use postroad::store::Store;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::ports::free_port;

/// Lets a standing clock run with real time for as long as it lives.
pub struct Running(JoinHandle<()>);

impl Running {
    pub fn of(clock: &Clock) -> Running {
        let clock = clock.clone();
        Running(tokio::spawn(async move {
            let mut last = Instant::now();
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let now = Instant::now();
                clock.advance(now - last);
                last = now;
            }
        }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says so loudly: a story that was not told must not look like one that went well.
pub fn skipped(what: &str) {
    eprintln!("\n*** SKIPPED: {what} ***\n");
}

/// Of spans in any order: the middle one, and the one that one in a hundred is longer than.
pub fn middle_and_p99(spans: &mut [Duration]) -> (Duration, Duration) {
    spans.sort_unstable();
    let at = |part: f64| spans[((spans.len() - 1) as f64 * part) as usize];
    (at(0.5), at(0.99))
}

/// One mail by a connection of its own: the last reply, which is the first that refuses.
pub async fn submit(address: SocketAddr, recipient: &str, text: &str) -> std::io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let mail = format!(
        "From: <sender@sender.test>\r\nTo: <{recipient}>\r\nSubject: {text}\r\n\r\n{text}\r\n.\r\n"
    );
    let rcpt = format!("RCPT TO:<{recipient}>\r\n");
    let steps =
        ["", "EHLO probe.test\r\n", "MAIL FROM:<sender@sender.test>\r\n", &rcpt, "DATA\r\n", &mail];
    let mut reply = String::new();
    for step in steps {
        stream.get_mut().write_all(step.as_bytes()).await?;
        reply = reply_of(&mut stream).await?;
        if !reply.starts_with(['2', '3']) {
            break;
        }
    }
    Ok(reply)
}

async fn reply_of(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line.trim_end().to_owned());
        }
    }
}

/// What one probe saw.
#[derive(Clone, Debug)]
pub struct Probe {
    pub recipient: String,
    pub took: Duration,
    /// None: no reply at all.
    pub reply: Option<String>,
}

/// Clients that send a mail each and come again at once, until told to stop.
pub struct Probes {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<Probe>>>,
}

impl Probes {
    pub fn begin(address: SocketAddr, clients: usize, pause: Duration) -> Probes {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |number| tokio::spawn(probe(address, number, pause, stop.clone()));
        let tasks = (0..clients).map(client).collect();
        Probes { stop, tasks }
    }

    pub async fn end(self) -> Vec<Probe> {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = Vec::new();
        for task in self.tasks {
            seen.extend(task.await.expect("a probe does not panic"));
        }
        seen
    }
}

/// Nobody waits longer than this for a reply, whatever is broken behind the port.
const REPLY_WAIT: Duration = Duration::from_secs(60);

async fn probe(
    address: SocketAddr,
    client: usize,
    pause: Duration,
    stop: Arc<AtomicBool>,
) -> Vec<Probe> {
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let recipient = format!("c{client}n{}@d{client}.test", seen.len());
        let at = Instant::now();
        let text = format!("probe {client} {}", seen.len());
        let reply = tokio::time::timeout(REPLY_WAIT, submit(address, &recipient, &text)).await;
        let reply = reply.ok().and_then(Result::ok);
        seen.push(Probe { recipient, took: at.elapsed(), reply });
        tokio::time::sleep(pause).await;
    }
    seen
}

/// Who was promised delivery.
pub fn accepted(probes: &[Probe]) -> Vec<String> {
    let taken = |probe: &&Probe| probe.reply.as_ref().is_some_and(|reply| reply.starts_with('2'));
    probes.iter().filter(taken).map(|probe| probe.recipient.clone()).collect()
}

/// Everything goes to one host and port, without DNS.
pub fn route_all(settings: &mut Settings, to: SocketAddr) {
    settings.route = vec![Route {
        name: "all".into(),
        domains: vec!["*".into()],
        host: Some(to.ip().to_string()),
        port: Some(to.port()),
        ..Route::default()
    }];
}

/// Tries again within a second, and at least every two.
pub fn retry_soon(settings: &mut Settings) {
    settings.retry.wait_first = Duration::from_secs(1);
    settings.retry.wait_max = Duration::from_secs(2);
}

/// What `postroad check` says of these settings' stores.
pub async fn wrong_with(settings: &Settings) -> Vec<String> {
    let store = Store::open_to_read(&app::location(settings)).await.expect("a ledger");
    let spool = Spool::open_to_read(&settings.node.data_dir.join("spool")).expect("a spool");
    let findings = Audit::new(store.clone(), spool).run().await.expect("it can be checked");
    store.close().await;
    findings.wrong
}

/// A small disk of its own in memory; gone with the value.
pub struct SmallDisk {
    pub path: PathBuf,
    _directory: tempfile::TempDir,
}

impl SmallDisk {
    /// None where we may not mount.
    pub fn mount(mebibytes: u32) -> Option<SmallDisk> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("disk");
        std::fs::create_dir(&path).expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(&path)
            .stderr(std::process::Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(SmallDisk { path, _directory: directory })
    }

    /// Takes all that is free, to the last octet.
    pub fn fill(&self) -> PathBuf {
        use std::io::Write;
        let ballast = self.path.join("ballast");
        let mut file = std::fs::File::create(&ballast).expect("a file");
        for size in [1 << 20, 4096, 1] {
            let block = vec![7u8; size];
            while file.write_all(&block).is_ok() {}
        }
        ballast
    }

    pub fn free_bytes(&self) -> u64 {
        let path = std::ffi::CString::new(self.path.to_str().expect("UTF-8")).expect("no zero");
        // SAFETY: all-zero is a value of this plain structure, which statvfs then fills.
        let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: a C string and a structure of ours.
        assert_eq!(unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) }, 0);
        stat.f_bavail * stat.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a thread of the daemon may still hold a file for a moment.
        let unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// A PostgreSQL server of its own, which a story may stop and stall.
pub struct Server {
    tools: PathBuf,
    directory: tempfile::TempDir,
    port: u16,
}

impl Server {
    /// None, loudly, where PostgreSQL is not installed.
    pub fn start() -> Option<Server> {
        let tools = PathBuf::from("/usr/lib/postgresql/15/bin");
        if !tools.join("initdb").exists() {
            skipped("PostgreSQL 15 is not installed (scripts/postgres start installs it)");
            return None;
        }
        let directory = tempfile::Builder::new().prefix("postroad-pg").tempdir().expect("made");
        let server = Server { tools, directory, port: free_port() };
        own(server.directory.path());
        let data = server.data();
        let data = data.to_str().expect("UTF-8");
        server.tool("initdb", &["-D", data, "-U", "postgres", "-A", "trust", "--locale=C"]);
        server.begin();
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// As the user that Debian made for it, since it refuses to run as root.
    fn tool(&self, name: &str, arguments: &[&str]) {
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(self.tools.join(name));
            command
        } else {
            Command::new(self.tools.join(name))
        };
        let log = self.directory.path().join("tools.log");
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a log");
        let status = command
            .args(arguments)
            .current_dir(self.directory.path())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .stdin(std::process::Stdio::null())
            .status()
            .expect("it runs");
        assert!(status.success(), "{name} {arguments:?}");
    }

    pub fn begin(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={}",
            self.port,
            self.directory.path().display()
        );
        let (data, log) = (self.data(), self.directory.path().join("data/server.log"));
        let (data, log) = (data.to_str().expect("UTF-8"), log.to_str().expect("UTF-8"));
        self.tool("pg_ctl", &["-D", data, "-l", log, "-w", "-o", &options, "start"]);
    }

    pub fn stop(&self) {
        let data = self.data();
        let data = data.to_str().expect("UTF-8");
        self.tool("pg_ctl", &["-D", data, "-m", "immediate", "-w", "stop"]);
    }

    /// The URL of a new database.
    pub fn database(&self, name: &str, password: &str) -> String {
        let (port, place) = (self.port.to_string(), self.directory.path().to_str());
        let place = place.expect("UTF-8");
        self.tool("createdb", &["-h", place, "-p", &port, "-U", "postgres", name]);
        format!("postgres://postgres:{password}@127.0.0.1:{port}/{name}")
    }

    /// All rows of a database as text, on its standard output.
    pub fn dump(&self, name: &str) -> std::process::Child {
        Command::new(self.tools.join("pg_dump"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string(), name])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("it runs")
    }

    /// Sends a signal to the postmaster and all its children.
    pub fn signal(&self, signal: libc::c_int) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).expect("runs");
        let postmaster = pid.lines().next().expect("a line").trim().to_owned();
        let children = Command::new("pgrep").args(["-P", &postmaster]).output().expect("pgrep");
        let children = String::from_utf8(children.stdout).expect("numbers");
        for pid in std::iter::once(postmaster.as_str()).chain(children.split_whitespace()) {
            let pid: libc::pid_t = pid.parse().expect("a number");
            // SAFETY: the server and its children are ours; one that has gone gets nothing.
            unsafe { libc::kill(pid, signal) };
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(libc::SIGCONT);
        self.stop();
    }
}

fn is_root() -> bool {
    // SAFETY: it reads a number and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

fn own(directory: &Path) {
    if is_root() {
        let owned = Command::new("chown").arg("postgres:").arg(directory).status();
        assert!(owned.is_ok_and(|status| status.success()));
    }
}
