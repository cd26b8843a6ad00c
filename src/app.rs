//! Builds store, listeners, workers, api; start order, drain order; notices dead tasks.
//!
//! Owns:       what is started when, and what is stopped when.
//! Promises:   a start that fails takes no mail; when it stops, every session got its answer and
//!             every outcome is written, within a limit; a task that serves everybody and dies
//!             ends the daemon.
//! Knows not:  what any of its parts does.

mod acme; // certificates of hosts
mod campaigns;
mod desk;
mod files;
mod inbound;
mod limits;
mod memory;
mod options;
mod own_mail;
mod owners;
mod rules;
mod signals;
mod sources;
mod web;

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::accept::Acceptance;
use crate::api::{self, ApiState, OperatorSocket, TcpOptions};
use crate::auth::Auth;
use crate::classify::LiveClassifier;
use crate::clock::Clock;
use crate::compose::returns::Returns;
use crate::compose::{ComposeError, Composer};
use crate::config::{self, Mistakes, Reload, Settings};
use crate::deliver::Dialer;
use crate::dns::{self, DnsFailure, Resolver};
use crate::listener::{CertificateError, Certificates, Listener, ListenerError};
use crate::queue::{Queue, QueueError, QueueOptions};
use crate::schedule::checks::Checker;
use crate::schedule::limits::budgets::BudgetError;
use crate::schedule::limits::pack::PackError;
use crate::schedule::route::RouteError;
use crate::schedule::sources::Sources;
use crate::schedule::{Schedule, Tasks};
use crate::spool::{Spool, SpoolError, SpoolOptions};
use crate::store::{self, Location, Store, StoreError};
use crate::telemetry::{Logs, metrics};
use options::{Sandbox, check_options, deliver_options, parts, resolver, schedule_options};

pub use signals::serve;

const METRICS_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Compose(#[from] ComposeError),
    #[error(transparent)]
    Dns(#[from] DnsFailure),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Rules(#[from] rules::RulesError),
    #[error(transparent)]
    Rule(#[from] crate::classify::RuleError),
    #[error(transparent)]
    Tokens(#[from] crate::token::KeyError),
    #[error(transparent)]
    Limit(#[from] PackError),
    #[error(transparent)]
    Budget(#[from] BudgetError),
    #[error("limits.day_zone '{0}' is no time zone: use a name such as Europe/Berlin")]
    Zone(String),
    #[error("own_mail: there is no organization or domain of the name '{0}'")]
    OwnMail(String),
    #[error(transparent)]
    Listener(#[from] ListenerError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Serve(#[from] api::ServeError),
    #[error("{what}: {why}")]
    Io { what: String, why: std::io::Error },
    /// A task that serves everybody is gone: better no daemon than half of one.
    #[error("{0} has ended; the daemon stops so that it can be started anew")]
    TaskDied(&'static str),
}

/// Where the daemon listens, as bound.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    pub submission: Vec<SocketAddr>,
    pub submissions: Vec<SocketAddr>,
    /// Where other hosts bring mail.
    pub inbound: Vec<SocketAddr>,
    pub http: Vec<SocketAddr>,
}

/// What can change while the daemon runs, and what changes it.
struct Live {
    settings: ArcSwap<Settings>,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
    schedule: Schedule,
    checker: Checker,
    auth: Auth,
    composer: Composer,
    certificates: Certificates,
    listener: Listener,
    sandbox: Sandbox,
    inbound: Option<Listener>,
    logs: Option<Logs>,
}

/// Reads the settings anew, wherever they come from.
pub type Reread = Arc<dyn Fn() -> Result<Settings, Mistakes> + Send + Sync>;

/// A task that serves everybody, with its name; it ends by itself once it is told to stop.
type Watched = (&'static str, JoinHandle<()>);

/// A whole daemon, running.
pub struct App {
    live: Arc<Live>,
    store: Store,
    spool: Spool,
    addresses: Addresses,
    stop_wait: Duration,
    tasks: Tasks,
    watched: Vec<Watched>,
    /// Ends what is watched.
    stop_tasks: watch::Sender<bool>,
    _lock: Option<File>,
}

impl App {
    /// Starts all of it in this order: what keeps, what looks up, what sends, what takes in.
    pub async fn start(settings: Settings, clock: Clock) -> Result<App, AppError> {
        App::start_with(settings, clock, None, None).await
    }

    /// `reread` serves the operator's reload; `logs` lets it change the log level. The operator's
    /// socket is there before the first mail is taken.
    pub async fn start_with(
        settings: Settings,
        clock: Clock,
        logs: Option<Logs>,
        reread: Option<Reread>,
    ) -> Result<App, AppError> {
        files::allow_for(&settings);
        memory::keep_little();
        let http = bind_http(&settings).await?;
        let kept = Kept::open(&settings, &clock).await?;
        let (store, spool, queue) = (kept.store.clone(), kept.spool.clone(), kept.queue.clone());
        queue.note_apart().await?;
        let known = Known::open(&settings, &store, &clock).await?;
        let (stop_tasks, stopped) = watch::channel(false);
        let (webhooks, calling) = known.callers(&settings, &store, &clock, &stopped).await?;
        let (own, limits) = limits::open(&settings, &store, &known.composer, &clock).await?;
        let (sandbox, sandbox_task) = options::start_sandbox(&settings, &clock, &stopped).await?;
        campaigns::link(&settings, &store, &known.composer, &clock).await?;
        let parts = parts(&settings, &kept, &known, limits, sandbox.address)?;
        let options = schedule_options(&settings, &own);
        let (schedule, tasks) =
            Schedule::start(parts, options, kept.left_over, clock.clone()).await?;
        let socket = OperatorSocket::bind(&settings.control_socket())?;
        let listener = known.listener(&settings, &queue, &clock)?;
        let mut outside = inbound::outside(&settings, &queue, &known, &clock).await?;
        let mut addresses = inbound::addresses(&listener, outside.listener.as_ref());
        let stop_wait = settings.node.stop_wait;
        let live = Arc::new(Live {
            settings: ArcSwap::from_pointee(settings),
            reloading: tokio::sync::Mutex::new(()),
            schedule,
            checker: known.checker,
            auth: known.auth,
            composer: known.composer,
            certificates: known.certificates,
            listener,
            sandbox,
            inbound: outside.listener.take(),
            logs,
        });
        let (imports, importing) =
            campaigns::start(&live.settings.load(), &store, &clock, &stopped)?;
        let (movers, campaigning) = campaigns::feed(&live, &store, &queue, &clock, &stopped)?;
        let notices = own_mail::notices(&live.settings.load(), &queue, own, &clock);
        let used = (queue, webhooks, movers, notices);
        let state = desk::api_state(&live, &store, used, &clock, reread);
        let mut watched = vec![
            ("the imports", importing),
            ("the sandbox", sandbox_task),
            sources::watch(&live.checker, &stopped),
        ];
        watched.extend(calling);
        watched.extend(campaigning.into_iter().chain(desk::start_upkeep(&state, &stopped)));
        let state = ApiState { imports: Some(imports), ..outside.told(state) };
        let router = web::with_panel(api::router(state));
        watched.extend(inbound::upkeep(&live, &store, &clock, &stopped, outside));
        watched.extend(serve_http(&live, router, socket, http, &mut addresses, &stopped)?);
        let _lock = kept.lock;
        Ok(App { live, store, spool, addresses, stop_wait, tasks, watched, stop_tasks, _lock })
    }

    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub fn schedule(&self) -> &Schedule {
        &self.live.schedule
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Domains, credentials or keys were changed behind the daemon's back.
    pub async fn reload_rows(&self) -> Result<(), AppError> {
        self.live.reload_rows().await
    }

    /// Returns when a task that serves everybody has ended.
    pub async fn died(&mut self) -> AppError {
        let what = tokio::select! {
            ended = self.tasks.died() => ended,
            ended = any_ended(&mut self.watched) => ended,
            () = self.spool.ended() => "the thread that writes bodies",
            () = self.store.writer_ended() => "the writer of the ledger",
        };
        AppError::TaskDied(what)
    }

    /// Stops in the order of the mail: no new sessions, attempts end, outcomes are written.
    pub async fn stop(self) -> Result<(), AppError> {
        let outside = async {
            if let Some(inbound) = &self.live.inbound {
                inbound.drain(self.stop_wait).await;
            }
        };
        tokio::join!(self.live.listener.drain(self.stop_wait), outside);
        self.live.schedule.stop(self.tasks, self.stop_wait).await;
        self.stop_tasks.send_replace(true);
        // One that has ended was noticed by `died`, and must not be asked twice.
        for (what, task) in self.watched.into_iter().filter(|(_, task)| !task.is_finished()) {
            if let Err(error) = task.await {
                tracing::error!(%error, "{what} ended in a fault of our own");
            }
        }
        self.spool.close().await;
        self.store.close().await;
        Ok(())
    }
}

async fn any_ended(watched: &mut [Watched]) -> &'static str {
    std::future::poll_fn(|context| {
        let is_ended = |task: &mut JoinHandle<()>| std::pin::Pin::new(task).poll(context);
        let mut is_ended = is_ended;
        let ended =
            watched.iter_mut().find_map(|(what, task)| is_ended(task).is_ready().then_some(*what));
        ended.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
}

/// What keeps: ledger, spool, queue.
struct Kept {
    store: Store,
    spool: Spool,
    queue: Queue,
    left_over: Vec<crate::queue::outcome_log::Record>,
    /// Of the data directory, where the store has none of its own.
    lock: Option<File>,
}

impl Kept {
    async fn open(settings: &Settings, clock: &Clock) -> Result<Kept, AppError> {
        let directory = &settings.node.data_dir;
        let location = location(settings);
        // On SQLite opening the ledger takes this lock. On PostgreSQL a second daemon of this
        // directory would count up the node's epoch, and take the first one's leases from it.
        let lock = match &location {
            Location::Postgres(_) => Some(store::lock(directory)?),
            Location::Sqlite(_) => None,
        };
        let store = Store::open(&location, settings.node.id, clock.clone()).await?;
        let listed = dns::listed_operators().iter();
        store.ensure_operators(listed.map(|operator| operator.name.as_str())).await?;
        let options = SpoolOptions {
            segment_bytes: settings.spool.segment_bytes,
            free_bytes_min: settings.spool.free_bytes_min,
        };
        let spool = Spool::open(&directory.join("spool"), options)?;
        let options = QueueOptions {
            node: settings.node.id,
            memory_bytes: settings.spool.memory_bytes,
            expire_after: settings.retry.expire_after,
            keep_bodies: settings.spool.keep_for,
            keep_dialogues: settings.delivery.dialogues_kept,
        };
        let (queue, left_over) =
            Queue::open(store.clone(), spool.clone(), directory, options, clock.clone())?;
        queue.suppressions().reload_policies().await?;
        store.look_for_soft_bounces().await?;
        Ok(Kept { store, spool, queue, left_over, lock })
    }
}

/// What looks up: who is it, which key signs, which certificate is shown, where is a name.
struct Known {
    auth: Auth,
    composer: Composer,
    certificates: Certificates,
    resolver: Resolver,
    classifier: LiveClassifier,
    returns: Returns,
    sources: Arc<Sources>,
    dialer: Dialer,
    checker: Checker,
}

impl Known {
    async fn open(settings: &Settings, store: &Store, clock: &Clock) -> Result<Known, AppError> {
        let trusted = settings.trusted.iter().map(|one| (one.network, one.credential.clone()));
        let composer = Composer::open(store.clone(), &settings.node.dkim_dir, clock.clone());
        let composer = composer.await?;
        let returns = inbound::returns(settings, store, clock).await?;
        composer.return_to(returns.clone());
        let sources = Arc::new(sources::open(settings, store).await?);
        let resolver = resolver(settings, &sources, clock)?;
        let dialer = Dialer::new(deliver_options(settings), clock.clone());
        let checker = Checker::new(
            store.clone(),
            resolver.clone(),
            dialer.clone(),
            sources.clone(),
            check_options(settings),
            clock.clone(),
        );
        // Before the first mail, every source was checked once.
        checker.first_round().await?;
        Ok(Known {
            auth: Auth::open(store.clone(), trusted.collect(), clock.clone()).await?,
            composer,
            certificates: Certificates::open(&settings.tls, &settings.node.host_name)?,
            classifier: rules::classifier(store).await?,
            returns,
            resolver,
            sources,
            dialer,
            checker,
        })
    }

    fn listener(
        &self,
        settings: &Settings,
        queue: &Queue,
        clock: &Clock,
    ) -> Result<Listener, AppError> {
        let (auth, host_name) = (self.auth.clone(), &settings.node.host_name);
        let door = Acceptance::new(queue.clone(), auth.clone(), host_name, clock.clone());
        Ok(Listener::start(&settings.smtp, host_name, auth, door, &self.certificates)?)
    }
}

/// Where the ledger of these settings lies.
pub fn location(settings: &Settings) -> Location {
    match &settings.store.url {
        Some(url) => Location::Postgres(url.clone()),
        None => Location::Sqlite(settings.node.data_dir.clone()),
    }
}

async fn bind_http(settings: &Settings) -> Result<Vec<TcpListener>, AppError> {
    let mut listeners = Vec::new();
    for address in &settings.http.listen {
        let listener = TcpListener::bind(address).await.map_err(|why| AppError::Io {
            what: format!("cannot listen on {address} for HTTP"),
            why,
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn serve_http(
    live: &Arc<Live>,
    router: axum::Router,
    socket: OperatorSocket,
    listeners: Vec<TcpListener>,
    addresses: &mut Addresses,
    stop: &watch::Receiver<bool>,
) -> Result<Vec<Watched>, AppError> {
    let options = TcpOptions {
        tls: Some(live.certificates.server_config(&["http/1.1"])?),
        proxies: live.settings.load().http.proxies.clone(),
    };
    let inbound = addresses.inbound.first().copied();
    let house = owners::House { pages: router.clone(), inbound };
    live.sandbox.house.store(Some(Arc::new(house)));
    let mut servers = vec![
        (
            "the operator's socket",
            tokio::spawn(api::serve_unix(socket, router.clone(), stop.clone())),
        ),
        ("the upkeep of metrics", tokio::spawn(keep_up_metrics(stop.clone()))),
    ];
    for listener in listeners {
        let address = listener
            .local_addr()
            .map_err(|why| AppError::Io { what: "the HTTP port has no address".into(), why })?;
        addresses.http.push(address);
        let serve = api::serve_tcp(listener, router.clone(), options.clone(), stop.clone());
        servers.push(("a server of HTTP", tokio::spawn(serve)));
    }
    Ok(servers)
}

/// Until the end: what histograms gather is folded together, scraped or not.
async fn keep_up_metrics(mut stop: watch::Receiver<bool>) {
    let exposition = metrics();
    while tokio::time::timeout(METRICS_EVERY, stop.wait_for(|stop| *stop)).await.is_err() {
        exposition.keep_up();
    }
}

impl Live {
    async fn reload_rows(&self) -> Result<(), AppError> {
        self.auth.reload().await?;
        self.composer.reload().await?;
        Ok(())
    }

    /// Takes up what can change live, and says what waits for a restart.
    async fn reload(&self, reread: &Reread) -> Result<Reload, Mistakes> {
        let _one_at_a_time = self.reloading.lock().await;
        let new = reread()?;
        let old = self.settings.load_full();
        let mut change = config::reload(&old, &new);
        let mut failed = Vec::new();
        let mut note = |setting: &str, result: Result<(), String>| {
            if let Err(reason) = result {
                tracing::error!(setting, reason, "a changed setting cannot be taken up");
                failed.push(setting.to_owned());
            }
        };
        let routes = options::routes(&new, self.sandbox.address);
        note("route", routes.map(|routes| self.schedule.replace_routes(routes)).map_err(text));
        note("tls", self.certificates.replace(&new.tls).map_err(text));
        note(
            "log.level",
            match &self.logs {
                Some(logs) => logs.set_level(&new.log.level).map_err(text),
                None => Ok(()),
            },
        );
        note("rows", self.reload_rows().await.map_err(text));
        self.listener.retune(&new.smtp);
        self.settings.store(Arc::new(new));
        // What waits because its old route was dead goes the new one at once.
        self.schedule.reread().await;
        change.taken.retain(|taken| !failed.iter().any(|failed| taken.starts_with(failed)));
        tracing::info!(
            taken = change.taken.join(","),
            needs_restart = change.needs_restart.join(","),
            "settings were read again"
        );
        Ok(change)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
