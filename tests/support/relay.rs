//! A whole daemon in this process, on a clock that is moved, sending to a `FakeMx`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use postroad::app::App;
use postroad::auth;
use postroad::clock::Clock;
use postroad::config::{Settings, SourceSettings, Trusted};
use postroad::model::{
    Address, CredentialRules, DeliveryId, Domain, Limit, LimitId, MessageId, Metric,
    OrganizationId, State, Timestamp,
};
use postroad::schedule::controller::Controller;
use postroad::schedule::limits::Usage;
use postroad::schedule::why::{Reason, ReasonKind};
use postroad::store::{DeliveryFilter, DeliveryView, EventRow, LimitRow, Location, Store};
use postroad::wire::network::Network;
use sqlx::{Connection, Executor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::PATIENCE;
use super::mx::FakeMx;
use super::talk::Talk;

pub const SENDER: &str = "sender@sender.test";
pub const HOST_NAME: &str = "relay.test";
pub const CREDENTIAL: &str = "tester";
pub const SECRET: &str = "a secret of the tests";
/// The source address, so that hosts see who comes.
pub const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 1);
/// Moves of the clock before a scenario is said never to come to rest: four days of retries.
const MOVES_MAX: u32 = 500;

/// Where a relay keeps its ledger.
#[derive(Clone, Debug)]
pub enum Database {
    Sqlite,
    /// A database of its own on the test server.
    Postgres(String),
}

impl Database {
    /// SQLite, and PostgreSQL where `POSTROAD_TEST_POSTGRES` names a server.
    pub async fn all() -> Vec<Database> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var("POSTROAD_TEST_POSTGRES") else {
            eprintln!("\n*** SKIPPED ON POSTGRESQL: POSTROAD_TEST_POSTGRES names no server ***\n");
            return vec![Database::Sqlite];
        };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("relay_{}_{number}", std::process::id());
        let mut connection = sqlx::PgConnection::connect(&server).await.expect("the test server");
        let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(sql).await.expect("the server obeys");
        connection.close().await.expect("closed");
        let (base, _) = server.rsplit_once('/').expect("a URL with a database");
        vec![Database::Sqlite, Database::Postgres(format!("{base}/{name}"))]
    }
}

pub struct TestRelay {
    /// None while it is stopped.
    app: Option<App>,
    settings: Settings,
    clock: Clock,
    reader: Store,
    _directory: tempfile::TempDir,
}

impl TestRelay {
    pub async fn sending_to(mx: &FakeMx) -> TestRelay {
        TestRelay::with(mx, |_| {}).await
    }

    pub async fn on(database: &Database, mx: &FakeMx) -> TestRelay {
        TestRelay::with(mx, |settings| {
            if let Database::Postgres(url) = database {
                settings.store.url = Some(url.clone());
            }
        })
        .await
    }

    /// With settings of its own.
    pub async fn with(mx: &FakeMx, change: impl FnOnce(&mut Settings)) -> TestRelay {
        let directory = tempfile::tempdir().expect("a directory");
        let mut settings = settings(mx, directory.path());
        change(&mut settings);
        let clock = mx.clock().clone();
        let location = match &settings.store.url {
            Some(url) => Location::Postgres(url.clone()),
            None => Location::Sqlite(settings.node.data_dir.clone()),
        };
        seed(&location, &settings, &clock).await;
        let app = App::start(settings.clone(), clock.clone()).await.expect("starts");
        let reader = Store::open_to_read(&location).await.expect("reads");
        TestRelay { app: Some(app), settings, clock, reader, _directory: directory }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn app(&self) -> &App {
        self.app.as_ref().expect("runs")
    }

    pub fn store(&self) -> &Store {
        &self.reader
    }

    pub fn submission(&self) -> SocketAddr {
        self.app.as_ref().expect("runs").addresses().submission[0]
    }

    /// Where mail from outside comes in.
    pub fn inbound(&self) -> SocketAddr {
        self.app.as_ref().expect("runs").addresses().inbound[0]
    }

    /// A mail from outside; the last reply.
    pub async fn bring(&self, sender: &str, recipient: &str, mail: &str) -> String {
        let mut talk = Talk::to(self.inbound()).await;
        talk.expect("EHLO mx.far.test", "250").await;
        talk.expect(&format!("MAIL FROM:<{sender}>"), "250").await;
        let answer = talk.say(&format!("RCPT TO:<{recipient}>")).await;
        if !answer.starts_with("250") {
            return answer;
        }
        talk.expect("DATA", "354").await;
        talk.send(&stuffed(mail.replace("\r\n", "\n").replace('\n', "\r\n").as_bytes())).await;
        talk.send(b".\r\n").await;
        let reply = talk.reply().await;
        talk.expect("QUIT", "221").await;
        reply
    }

    pub fn http(&self) -> SocketAddr {
        self.app.as_ref().expect("runs").addresses().http[0]
    }

    /// What the credential may do from now on.
    pub async fn set_rules(&self, rules: serde_json::Value) {
        let rules: CredentialRules = serde_json::from_value(rules).expect("rules");
        let app = self.app.as_ref().expect("runs");
        let rows = app.store().credentials().await.expect("listed");
        let id = rows.iter().find(|row| row.name == CREDENTIAL).expect("seeded").id;
        assert!(app.store().set_credential_rules(id, &rules).await.expect("set"));
        app.reload_rows().await.expect("reloaded");
    }

    /// As the operator does, while the daemon runs.
    pub async fn order(&self, path: &str, body: serde_json::Value) -> serde_json::Value {
        self.operate("POST", path, &body.to_string()).await
    }

    /// As the operator puts something in the place of what was there.
    pub async fn put(&self, path: &str, body: serde_json::Value) -> serde_json::Value {
        self.operate("PUT", path, &body.to_string()).await
    }

    /// As the operator removes something.
    pub async fn remove(&self, path: &str) -> serde_json::Value {
        self.operate("DELETE", path, "").await
    }

    /// What the operator sees.
    pub async fn see(&self, path: &str) -> serde_json::Value {
        self.operate("GET", path, "").await
    }

    async fn operate(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: postroad\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let socket = self.settings.control_socket();
        let mut stream = tokio::net::UnixStream::connect(socket).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
        reading.await.expect("in time").expect("read");
        let answer = String::from_utf8(answer).expect("text");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
        serde_json::from_str(body).expect("JSON")
    }

    /// Reads an answer that does not end.
    pub async fn follow(&self, path: &str) -> Following {
        let address = self.app.as_ref().expect("runs").addresses().http[0];
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\n\
             Authorization: Bearer {CREDENTIAL}:{SECRET}\r\n\r\n"
        );
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("sent");
        Following { stream, read: String::new() }
    }

    /// Asks the API over its port, as the credential that submits.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> (u16, String, serde_json::Value) {
        self.ask_as(&format!("{CREDENTIAL}:{SECRET}"), method, path, body).await
    }

    /// With another key.
    pub async fn ask_as(
        &self,
        key: &str,
        method: &str,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> (u16, String, serde_json::Value) {
        let (status, head, body) = self.text_as(key, method, path, body).await;
        (status, head, serde_json::from_str(&body).unwrap_or_default())
    }

    /// What is no JSON, as text, to the credential that submits.
    pub async fn text(&self, path: &str) -> (u16, String, String) {
        self.text_as(&format!("{CREDENTIAL}:{SECRET}"), "GET", path, None).await
    }

    async fn text_as(
        &self,
        key: &str,
        method: &str,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> (u16, String, String) {
        let address = self.app.as_ref().expect("runs").addresses().http[0];
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Authorization: Bearer {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
        reading.await.expect("in time").expect("read");
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let status = head[9..12].parse().expect("a status");
        (status, head.to_lowercase(), body.to_owned())
    }

    pub async fn stop(&mut self) {
        let app = self.app.take().expect("runs");
        app.stop().await.expect("stops");
    }

    /// Again on the same directory, at the same time.
    pub async fn start(&mut self) {
        let app = App::start(self.settings.clone(), self.clock.clone()).await;
        self.app = Some(app.expect("starts again"));
    }

    /// A small mail to these recipients, accepted.
    pub async fn submit(&self, recipients: &[&str]) -> MessageId {
        let mail = b"From: <sender@sender.test>\r\nSubject: hello\r\n\r\nhello\r\n";
        self.submit_mail(&format!("<{SENDER}>"), recipients, mail).await
    }

    /// `sender` with its angle brackets and parameters, recipients likewise or bare; the mail is
    /// dot-stuffed here.
    pub async fn submit_mail(&self, sender: &str, recipients: &[&str], mail: &[u8]) -> MessageId {
        let reply = self.try_submit(sender, recipients, mail).await;
        let id = reply.strip_prefix("250 2.0.0 queued as ").unwrap_or_else(|| panic!("{reply}"));
        MessageId(id.trim().parse().expect("an id"))
    }

    /// The last reply.
    pub async fn try_submit(&self, sender: &str, recipients: &[&str], mail: &[u8]) -> String {
        let mut talk = Talk::to(self.submission()).await;
        talk.expect("EHLO client.test", "250").await;
        talk.expect(&format!("MAIL FROM:{sender}"), "250").await;
        for recipient in recipients {
            let path = if recipient.starts_with('<') {
                format!("RCPT TO:{recipient}")
            } else {
                format!("RCPT TO:<{recipient}>")
            };
            talk.expect(&path, "250").await;
        }
        talk.expect("DATA", "354").await;
        talk.send(&stuffed(mail)).await;
        talk.send(b".\r\n").await;
        let reply = talk.reply().await;
        talk.expect("QUIT", "221").await;
        reply
    }

    /// Moves the clock from one moment at which something opens to the next, until nothing is owed
    /// any more.
    pub async fn run_until_idle(&self) {
        for _ in 0..MOVES_MAX {
            let Some(opens) = self.rest_until().await else {
                return;
            };
            self.clock.advance(opens.since(self.clock.now()));
        }
        panic!("still owed: {:#?}", self.owed().await);
    }

    /// Returns once nothing can be tried at the present time. What waits then has a reason, and
    /// a reason that names a moment names one ahead.
    pub async fn rest(&self) {
        self.rest_until().await;
    }

    /// When the first of what waits opens; None when nothing waits for a moment.
    async fn rest_until(&self) -> Option<Timestamp> {
        let started = Instant::now();
        loop {
            let mut owed = self.owed().await;
            if owed.is_empty() {
                // What went from leased to waiting between the two lists stood in neither.
                owed = self.owed().await;
            }
            if let Some(opens) = self.rests(&owed).await {
                return opens.into_iter().min();
            }
            if started.elapsed() >= PATIENCE {
                let mut reasons = Vec::new();
                for delivery in owed.iter().take(3) {
                    reasons.push(self.why(delivery.id).await);
                }
                panic!("still due: {owed:#?}, because of {reasons:#?}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// When each opens, as far as it is known; None while one of them is about to be tried.
    async fn rests(&self, owed: &[DeliveryView]) -> Option<Vec<Timestamp>> {
        let mut moments = Vec::new();
        for delivery in owed {
            if delivery.due_at > self.clock.now() {
                moments.push(delivery.due_at);
                if self.app.is_none() {
                    continue;
                }
            }
            let reasons = self.why(delivery.id).await;
            let rests = |reason: &Reason| {
                let waits = matches!(
                    reason.kind,
                    ReasonKind::Limit
                        | ReasonKind::Host
                        | ReasonKind::Retry
                        | ReasonKind::NotBefore
                );
                // Without a source it is looked at again and again: the moment is what tells it
                // from one that is about to be looked at.
                let is_parked = reason.kind == ReasonKind::Source && reason.until.is_some();
                let ahead = reason.until.is_none_or(|until| until > self.clock.now());
                (waits || is_parked) && ahead && !self.is_released(reason)
            };
            if !reasons.iter().any(rests) {
                return None;
            }
            // All of them stand in the way: the last to open counts.
            moments.extend(reasons.iter().filter_map(|reason| reason.until).max());
        }
        Some(moments)
    }

    /// The limit is of open connections: when one of them ends, this is tried without any clock.
    fn is_released(&self, reason: &Reason) -> bool {
        let limits = self.app().schedule().limits();
        let limit = reason.limit.and_then(|id| limits.get(id));
        limit.is_some_and(|limit| limit.metric == Metric::Connections && limit.value > 0)
    }

    /// Why it is still here. What waits always has a reason.
    pub async fn why(&self, delivery: DeliveryId) -> Vec<Reason> {
        let schedule = self.app.as_ref().expect("runs").schedule();
        let (_, reasons) = schedule.why(delivery).await.expect("told").expect("there is one");
        let state = self.reader.deliveries_by_id(&[delivery]).await.expect("read");
        let waits = matches!(state[0].0, State::Waiting | State::Leased);
        assert!(!waits || !reasons.is_empty(), "{delivery} waits without a reason");
        reasons
    }

    pub fn controller(&self) -> &Controller {
        self.app.as_ref().expect("runs").schedule().controller()
    }

    /// What was answered is learnt from now, and what time brings is in force.
    pub async fn look(&self) {
        let schedule = self.app.as_ref().expect("runs").schedule();
        schedule.look().await.expect("written");
        schedule.reload_limits().await.expect("in force");
    }

    /// A new limit, in force.
    pub async fn set_limit(&self, limit: Limit) -> LimitId {
        let app = self.app.as_ref().expect("runs");
        let row = LimitRow { limit, name: None, created_at: self.clock.now() };
        let rows = app.store().put_limits(vec![row], &[]).await.expect("written");
        app.schedule().reload_limits().await.expect("in force");
        rows[0].limit.id
    }

    /// As the API removes a shipped one.
    pub async fn end_limit(&self, mut row: LimitRow) {
        row.limit.expires_at = Some(self.clock.now());
        let app = self.app.as_ref().expect("runs");
        app.store().put_limits(vec![row], &[]).await.expect("written");
        app.schedule().reload_limits().await.expect("in force");
    }

    pub async fn remove_limit(&self, id: LimitId) {
        let app = self.app.as_ref().expect("runs");
        app.store().put_limits(Vec::new(), &[id]).await.expect("written");
        app.schedule().reload_limits().await.expect("in force");
    }

    /// Of a limit that has one count for all.
    pub fn usage(&self, id: LimitId) -> Usage {
        let limits = self.app.as_ref().expect("runs").schedule().limits().clone();
        limits.usage(id, self.clock.now()).first().map_or(Usage::default(), |(_, usage)| *usage)
    }

    /// When the next day begins, in UTC.
    pub fn next_midnight(&self) -> Timestamp {
        const DAY: i64 = 24 * 3600;
        Timestamp::from_seconds((self.clock.now().seconds() / DAY + 1) * DAY)
    }

    pub async fn until_state(&self, recipient: &str, state: State) {
        let started = Instant::now();
        while self.state_of(recipient).await != state {
            assert!(started.elapsed() < PATIENCE, "{recipient} does not become {state}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// What waits or is under way.
    pub async fn owed(&self) -> Vec<DeliveryView> {
        let mut owed = Vec::new();
        for state in [State::Waiting, State::Leased] {
            let filter = DeliveryFilter { state: Some(state), ..DeliveryFilter::default() };
            owed.extend(self.reader.list_deliveries(&filter, 1000).await.expect("listed"));
        }
        owed
    }

    /// The only delivery to this recipient.
    pub async fn delivery_to(&self, recipient: &str) -> DeliveryView {
        let address = Address::parse(recipient).expect("an address");
        let domain: Domain = address.domain().clone();
        let filter = DeliveryFilter { domain: Some(domain), ..DeliveryFilter::default() };
        let mut found = self.reader.list_deliveries(&filter, 1000).await.expect("listed");
        found.retain(|delivery| delivery.recipient == address);
        assert_eq!(found.len(), 1, "deliveries to {recipient}: {found:#?}");
        found.remove(0)
    }

    pub async fn state_of(&self, recipient: &str) -> State {
        self.delivery_to(recipient).await.state
    }

    /// The reply or reason that stands at the delivery.
    pub async fn text_of(&self, recipient: &str) -> String {
        self.delivery_to(recipient).await.text
    }

    /// The kinds of its events, in order: `accepted`, `deferred`, `delivered` …
    pub async fn story_of(&self, recipient: &str) -> Vec<&'static str> {
        let delivery = self.delivery_to(recipient).await;
        let own = |event: &EventRow| event.delivery.is_none_or(|id: DeliveryId| id == delivery.id);
        let events = self.reader.events_of_message(delivery.message, 1000).await.expect("listed");
        events.iter().filter(|event| own(event)).map(|event| event.kind.word()).collect()
    }

    /// What the sweep does now and then.
    pub async fn sweep(&self) {
        self.app.as_ref().expect("runs").schedule().sweep().await;
    }

    /// Accepted is the sum over all states (P6).
    pub async fn adds_up(&self) {
        let census = self.reader.census().await.expect("counted");
        assert_eq!(census.accepted, census.by_state.values().sum::<u64>(), "{census:?}");
    }
}

/// Whatever still waits at the end of a scenario has a reason.
impl Drop for TestRelay {
    fn drop(&mut self) {
        let (Some(app), Ok(runtime)) = (self.app.take(), Handle::try_current()) else { return };
        let is_shared = runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
        if std::thread::panicking() || !is_shared {
            return;
        }
        let asking = tokio::time::timeout(PATIENCE, without_reason(&app, &self.reader));
        let silent = tokio::task::block_in_place(|| runtime.block_on(asking));
        assert_eq!(silent.unwrap_or_default(), [], "these wait without a reason");
    }
}

/// A scenario may have taken the ledger away: then nobody can be asked.
async fn without_reason(app: &App, reader: &Store) -> Vec<DeliveryId> {
    let mut silent = Vec::new();
    for state in [State::Waiting, State::Leased] {
        let filter = DeliveryFilter { state: Some(state), ..DeliveryFilter::default() };
        for delivery in reader.list_deliveries(&filter, 1000).await.unwrap_or_default() {
            let told = app.schedule().why(delivery.id).await;
            let Ok(Some((_, reasons))) = told else { continue };
            let now = reader.deliveries_by_id(&[delivery.id]).await.unwrap_or_default();
            let waits = |(state, _): &(State, _)| matches!(state, State::Waiting | State::Leased);
            if reasons.is_empty() && now.first().is_some_and(waits) {
                silent.push(delivery.id);
            }
        }
    }
    silent
}

/// An answer that does not end.
pub struct Following {
    stream: tokio::net::TcpStream,
    read: String,
}

impl Following {
    /// What came up to these words and with them.
    pub async fn until(&mut self, words: &str) -> String {
        let mut part = [0; 4096];
        while !self.read.contains(words) {
            let reading = tokio::time::timeout(PATIENCE, self.stream.read(&mut part));
            let length = reading.await.expect("in time").expect("read");
            assert!(length > 0, "it ended: {}", self.read);
            self.read.push_str(&String::from_utf8_lossy(&part[..length]));
        }
        std::mem::take(&mut self.read)
    }
}

fn settings(mx: &FakeMx, directory: &std::path::Path) -> Settings {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let loopback = Network::parse("127.0.0.0/8").expect("a network");
    let mut settings = Settings::default();
    settings.node.host_name = HOST_NAME.to_owned();
    settings.node.data_dir = directory.join("queue");
    settings.node.dkim_dir = directory.join("dkim-keys");
    settings.spool.segment_bytes = 1 << 20;
    settings.spool.free_bytes_min = 1 << 20;
    settings.smtp.submission = vec![free];
    settings.smtp.submissions = vec![free];
    settings.http.listen = vec![free];
    settings.delivery.mx_port = mx.port();
    settings.delivery.allowed_networks = vec![loopback];
    settings.dns.servers = vec![mx.dns().address()];
    settings.trusted = vec![Trusted { network: loopback, credential: CREDENTIAL.to_owned() }];
    settings.source = vec![SourceSettings {
        name: "only".to_owned(),
        address: vec![SOURCE.into()],
        ehlo: Some(HOST_NAME.to_owned()),
        ..SourceSettings::default()
    }];
    settings
}

async fn seed(location: &Location, settings: &Settings, clock: &Clock) {
    std::fs::create_dir_all(&settings.node.data_dir).expect("a directory");
    let store = Store::open(location, settings.node.id, clock.clone()).await.expect("opens");
    let domain = Domain::parse("sender.test").expect("a domain");
    store.add_domain(OrganizationId::FIRST, &domain).await.expect("a domain");
    let stream = store.streams().await.expect("streams")[0].id;
    let hash = auth::hash_secret(SECRET);
    let added = store.add_credential(OrganizationId::FIRST, CREDENTIAL, &hash, stream).await;
    added.expect("a credential");
    store.close().await;
}

fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(mail.len() + 16);
    for line in mail.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    stuffed
}
