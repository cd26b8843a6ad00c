//! The daemon as a process of its own, on either database, that can be killed and started again.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use postroad::auth;
use postroad::clock::Clock;
use postroad::model::{DeliveryId, Domain, OrganizationId, Outcome};
use postroad::queue::outcome_log::OutcomeLog;
use postroad::store::{Location, Store};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};

use crate::support::PATIENCE;
use crate::support::ledger::{Delivered, Sink};

pub const SENDER: &str = "sender@sender.test";
const CREDENTIAL: &str = "tester";
/// Where the daemon of a story listens: not where anything else takes a port for a moment.
const HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 13, 1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Sqlite,
    Postgres,
}

pub struct Daemon {
    pub address: SocketAddr,
    pub location: Location,
    pub data_dir: PathBuf,
    settings: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    _place: tempfile::TempDir,
}

/// A row of the ledger, as it lies there.
pub struct Row {
    pub delivered: Delivered,
    pub state: String,
}

impl Daemon {
    /// With its ledger seeded, not yet started; its data lie in `data_dir` or in a place of its
    /// own. Domain `d<N>.test` goes to sink N, and all else to the first. None, loudly, when the
    /// server for the database is missing.
    pub async fn new(base: Base, sinks: &[Sink], data_dir: Option<PathBuf>) -> Option<Daemon> {
        let place = tempfile::tempdir().expect("a directory");
        let data_dir = data_dir.unwrap_or_else(|| place.path().join("queue"));
        std::fs::create_dir_all(&data_dir).expect("a directory");
        let location = match base {
            Base::Sqlite => Location::Sqlite(data_dir.clone()),
            Base::Postgres => Location::Postgres(new_database().await?),
        };
        // Given back at once; nobody else takes ports of this address.
        let free = TcpListener::bind((HOST, 0)).expect("an address");
        let address = free.local_addr().expect("bound");
        let settings = place.path().join("postroad.toml");
        let text = settings_text(place.path(), &data_dir, &location, address, sinks);
        std::fs::write(&settings, text).expect("writes");
        let domains: Vec<String> = (0..sinks.len())
            .map(|sink| format!("d{sink}.test {}\n", sinks[sink].address))
            .collect();
        std::fs::write(place.path().join("domains"), domains.concat()).expect("writes");
        seed(&location).await;
        let log = place.path().join("daemon.log");
        let (child, _place) = (None, place);
        Some(Daemon { address, location, data_dir, settings, log, child, _place })
    }

    /// Where the operator asks.
    pub fn socket(&self) -> PathBuf {
        self.settings.with_file_name("control.sock")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
        command.arg("--config").arg(&self.settings).args(arguments).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POSTROAD_") {
                command.env_remove(name);
            }
        }
        command
    }

    pub fn spawn(&mut self, equip: impl FnOnce(&mut Command)) {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options().append(true).create(true).open(&self.log).expect("a log");
        let mut command = self.command(&["serve"]);
        command.stdout(Stdio::null()).stderr(log);
        equip(&mut command);
        self.child = Some(command.spawn().expect("the daemon starts"));
    }

    /// Returns once a client is greeted, or once the daemon has died before that.
    pub fn wait_until_greeted(&mut self) {
        let started = Instant::now();
        while !is_greeted(self.address) {
            if self.has_ended().is_some() {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "it takes no mail: {}", self.last_words());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn start(&mut self) {
        self.spawn(|_| {});
        self.wait_until_greeted();
        assert!(self.has_ended().is_none(), "it does not start: {}", self.last_words());
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().expect("asked"))
    }

    /// SIGKILL, unless it is dead already.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("ended");
    }

    /// SIGTERM; how it ended and how long it took.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        let mut child = self.child.take().expect("it runs");
        // SAFETY: the child is ours and not yet waited for, so its id is still its own.
        unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
        loop {
            if let Some(status) = child.try_wait().expect("asked") {
                return (status, started.elapsed());
            }
            assert!(started.elapsed() < PATIENCE, "it does not end: {}", self.last_words());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `postroad check` finds nothing wrong.
    pub fn is_sound(&self) {
        let output = self.command(&["check"]).output().expect("runs");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{told}{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.last_words()
        );
    }

    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    pub async fn rows(&self) -> HashMap<DeliveryId, Row> {
        let sql = "SELECT id, message, recipient, state FROM deliveries";
        let row = |id: i64, message: i64, recipient: String, state: String| {
            (DeliveryId(id), Row { delivered: (message, recipient), state })
        };
        match &self.location {
            Location::Sqlite(directory) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new()
                    .filename(directory.join("ledger.sqlite"))
                    .busy_timeout(PATIENCE)
                    .read_only(true);
                let connecting = sqlx::SqliteConnection::connect_with(&options).await;
                let mut connection = connecting.expect("a connection");
                let rows = sqlx::query(sql).fetch_all(&mut connection).await.expect("read");
                rows.iter().map(|r| row(r.get(0), r.get(1), r.get(2), r.get(3))).collect()
            }
            Location::Postgres(url) => {
                let mut connection = sqlx::PgConnection::connect(url).await.expect("connects");
                let rows = sqlx::query(sql).fetch_all(&mut connection).await.expect("read");
                rows.iter().map(|r| row(r.get(0), r.get(1), r.get(2), r.get(3))).collect()
            }
        }
    }

    /// The rows whose delivery a dead daemon has noted, in the ledger or in the outcome log: what
    /// must not arrive again.
    pub async fn noted(&self) -> std::collections::HashSet<Delivered> {
        let rows = self.rows().await;
        let in_ledger = rows.values().filter(|row| row.state == "delivered");
        let mut noted: std::collections::HashSet<Delivered> =
            in_ledger.map(|row| row.delivered.clone()).collect();
        let (_, records) = OutcomeLog::open(&self.data_dir.join("outcomes")).expect("readable");
        for record in records {
            let row = rows.get(&record.delivery).expect("an outcome belongs to a row");
            if matches!(record.outcome, Outcome::Delivered { .. }) {
                noted.insert(row.delivered.clone());
            }
        }
        noted
    }

    /// The outcome log of a stopped daemon is empty.
    pub fn outcomes_are_gone(&self) -> bool {
        self.data_dir.join("outcomes").read_dir().expect("readable").next().is_none()
    }

    /// How many rows are in each state.
    pub async fn states(&self) -> BTreeMap<String, usize> {
        let mut states = BTreeMap::new();
        for row in self.rows().await.into_values() {
            *states.entry(row.state).or_default() += 1;
        }
        states
    }

    /// Waits until nothing is owed any more.
    pub async fn drained_within(&mut self, patience: Duration) {
        let started = Instant::now();
        loop {
            let states = self.states().await;
            let owed = ["waiting", "leased"].iter().filter_map(|state| states.get(*state)).sum();
            let owed: usize = owed;
            if owed == 0 {
                return;
            }
            assert!(self.has_ended().is_none(), "it has died: {}", self.last_words());
            let last_words = || self.last_words();
            assert!(started.elapsed() < patience, "still owed: {states:?}\n{}", last_words());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

fn is_greeted(address: SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line);
    read.is_ok() && line.starts_with("220")
}

fn settings_text(
    place: &Path,
    data_dir: &Path,
    location: &Location,
    address: SocketAddr,
    sinks: &[Sink],
) -> String {
    let url = match location {
        Location::Sqlite(_) => String::new(),
        Location::Postgres(url) => format!("[store]\nurl = \"{url}\"\n"),
    };
    let (place, data_dir) = (place.display(), data_dir.display());
    let (rest, port) = (sinks[0].address.ip(), sinks[0].address.port());
    format!(
        "{url}\
         [node]\nhost_name = \"relay.test\"\ndata_dir = \"{data_dir}\"\n\
         dkim_dir = \"{place}/dkim-keys\"\ncontrol_socket = \"{place}/control.sock\"\n\
         [spool]\nsegment_bytes = \"1 MiB\"\nfree_bytes_min = \"1 MiB\"\n\
         [smtp]\nsubmission = [\"{address}\"]\nsubmissions = []\n\
         [http]\nlisten = []\npublic_url = \"https://post.test\"\n\
         [delivery]\nallowed_networks = [\"127.0.0.0/8\"]\nidle_wait = \"1 s\"\n\
         [retry]\nwait_first = \"1 s\"\nwait_max = \"2 s\"\n\
         [[trusted]]\nnetwork = \"127.0.0.0/8\"\ncredential = \"{CREDENTIAL}\"\n\
         [[route]]\nname = \"sinks\"\ndomains_file = \"{place}/domains\"\ntls = \"none\"\n\
         [[route]]\nname = \"rest\"\ndomains = [\"*\"]\nhost = \"{rest}\"\nport = {port}\n\
         tls = \"none\"\n"
    )
}

/// A database of its own on the server that the tests were told of.
/// An empty database on the tests' server; None, loudly, without one.
pub async fn new_database() -> Option<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = std::env::var("POSTROAD_TEST_POSTGRES") else {
        eprintln!("\n*** SKIPPED ON POSTGRESQL: POSTROAD_TEST_POSTGRES is not set ***\n");
        return None;
    };
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("crash_{}_{number}", std::process::id());
    let mut connection = sqlx::PgConnection::connect(&server).await.expect("a server");
    for sql in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
        connection.execute(AssertSqlSafe(sql)).await.expect("the server obeys");
    }
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    Some(format!("{base}/{name}"))
}

async fn seed(location: &Location) {
    let store = Store::open(location, 1, Clock::system()).await.expect("opens");
    let domain = Domain::parse("sender.test").expect("a domain");
    store.add_domain(OrganizationId::FIRST, &domain).await.expect("a domain");
    let stream = store.streams().await.expect("streams")[0].id;
    let (_, hash) = auth::new_secret();
    let added = store.add_credential(OrganizationId::FIRST, CREDENTIAL, &hash, stream).await;
    added.expect("a credential");
    store.close().await;
}
