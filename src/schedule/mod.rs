//! What is due is sent: sites, their lanes, retries.
//!
//! Owns:       which waiting mail is in memory, who works on it, when a site is looked at again.
//! Promises:   what is due is tried; what cannot be tried now has a moment at which it will be;
//!             memory does not grow with the queue.
//! Knows not:  who calls for it, HTTP, SQL.

pub mod adaptive; // what a host says about the pace
mod alarm;
mod answered; // what an attempt brought
pub mod asked; // what rules about pools ask
pub mod checks;
mod choose;
mod composed; // a body or a recipe becomes a mail
mod conclude;
pub mod controller; // the governor at work
mod custody;
mod flushes; // what is written now and then
pub mod forecast; // when will it be done?
pub mod governor; // from what was answered to limits, with a decision for each change
mod grant; // limits are asked
mod hand;
pub mod health;
mod lane;
mod lessons; // what answers teach
pub mod limits; // what may be sent, by whom, in which time
mod load;
mod meaning;
mod meters;
mod orders; // what a person changes while it runs
mod outlook; // what a look at a site says
mod overdue;
mod park; // what limits stop
pub mod pick;
pub mod presets;
pub mod profiles;
mod put_off; // whose rows wait for a limit's sake
mod quotas; // send limits that come to their end
mod ready;
mod replay;
mod report;
pub mod retry;
pub mod route;
mod seat; // a lane's place
mod settler;
mod site;
mod small;
pub mod sources;
mod status; // for lists and metrics
mod suppressed;
mod tasks; // those that serve everybody
mod unknown;
mod unrouted;
mod verdict;
pub mod warmup; // plans and results write day limits
pub mod why; // why mail is still here
pub mod windows; // how much bounced, was put off, refused or complained of

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::classify::LiveClassifier;
use crate::clock::Clock;
use crate::compose::Composer;
use crate::deliver::Dialer;
use crate::model::*;
use crate::queue::outcome_log::Record;
use crate::queue::suppression::Suppressions;
use crate::queue::{Queue, QueueError};
use crate::store::SoftBounceRule;
use alarm::Alarm;
use controller::Controller;
use hand::Hand;
use limits::Limits;
use limits::budgets::Budgets;
use meters::Meters;
use profiles::RetryProfiles;
use route::Router;
use seat::Connections;
use settler::Settlement;
use site::Site;
use sources::Sources;
pub use status::SiteStatus;
pub use tasks::Tasks;
use unknown::Unknown;
use windows::Windows;
use windows::rule::Thresholds;

#[derive(Clone, Debug)]
pub struct ScheduleOptions {
    /// Of reports: their Reporting-MTA.
    pub host_name: String,
    /// Whose mail reports are.
    pub own: Own,
    pub connections_max: usize,
    pub recipients_per_transaction_max: usize,
    /// Of deliveries that succeed, the dialogue of one in so many is kept; 0: of none.
    pub dialogues_sampled: u32,
    pub idle_wait: Duration,
    pub retries: RetryProfiles,
    /// How often a mailbox may refuse mail before it is suppressed.
    pub soft_bounces: SoftBounceRule,
    /// Which rates are too high.
    pub health: Thresholds,
}

/// How often the ledger is asked for waiting mail that no wake-up told of.
const POLL_EVERY: Duration = Duration::from_secs(60);
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Messages whose faults are counted; beyond it the counts begin anew.
const PANICS_KEPT_MAX: usize = 10_000;

/// Everything the tasks of the schedule share.
pub struct Shared {
    queue: Queue,
    suppressions: Arc<Suppressions>,
    router: Router,
    dialer: Dialer,
    composer: Composer,
    classifier: LiveClassifier,
    clock: Clock,
    options: ScheduleOptions,
    sources: Arc<Sources>,
    limits: Limits,
    budgets: Budgets,
    sites: DashMap<SiteId, Arc<Site>>,
    alarm: Alarm,
    connections: Connections,
    /// Reads of the ledger into memory at the same time.
    loads: Semaphore,
    /// A site waits for a connection that limits count.
    crowded: Notify,
    /// Deliveries in memory, of all sites.
    held: AtomicUsize,
    settlements: Mutex<Option<mpsc::Sender<Settlement>>>,
    /// Faults of our own in attempts of a message, in this life.
    panics: Mutex<HashMap<MessageId, u32>>,
    stopping: AtomicBool,
    cut: AtomicBool,
    meters: Meters,
    unknown: Unknown,
    controller: Controller,
    windows: Windows,
    put_off: put_off::PutOff,
    /// Complaints and bounces that the controller was told of.
    heard: tokio::sync::Mutex<Option<lessons::Heard>>,
}

/// What the schedule is built from.
pub struct Parts {
    pub queue: Queue,
    pub router: Router,
    pub dialer: Dialer,
    pub composer: Composer,
    pub classifier: LiveClassifier,
    pub sources: Arc<Sources>,
    pub limits: Limits,
    pub budgets: Budgets,
}

/// A handle on the running schedule.
#[derive(Clone)]
pub struct Schedule(Arc<Shared>);

impl Schedule {
    /// Settles what earlier lives left in the outcome log, then begins to send.
    pub async fn start(
        parts: Parts,
        options: ScheduleOptions,
        left_over: Vec<Record>,
        clock: Clock,
    ) -> Result<(Schedule, Tasks), QueueError> {
        let (sender, receiver) = mpsc::channel(settler::SETTLEMENTS_MAX);
        parts.limits.set_pools(parts.sources.pools());
        let (store, limits) = (parts.queue.store().clone(), parts.limits.clone());
        let controller = Controller::open(store, limits, clock.clone()).await?;
        let windows = Windows::open(parts.queue.store(), options.health).await?;
        let suppressions = parts.queue.suppressions().clone();
        let shared = Arc::new(Shared {
            queue: parts.queue,
            suppressions,
            router: parts.router,
            dialer: parts.dialer,
            composer: parts.composer,
            classifier: parts.classifier,
            clock,
            sources: parts.sources,
            limits: parts.limits,
            budgets: parts.budgets,
            sites: DashMap::new(),
            alarm: Alarm::default(),
            connections: Connections::new(options.connections_max),
            loads: Semaphore::new(load::LOADS_MAX),
            crowded: Notify::new(),
            options,
            held: AtomicUsize::new(0),
            settlements: Mutex::new(Some(sender)),
            panics: Mutex::default(),
            stopping: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            meters: Meters::new(),
            unknown: Unknown::default(),
            controller,
            windows,
            put_off: put_off::PutOff::default(),
            heard: tokio::sync::Mutex::default(),
        });
        shared.controller.set_sources(shared.sources.senders());
        shared.queue.store().free_own_leases().await?;
        replay::replay(&shared, left_over).await?;
        shared.queue.hand_to(Arc::new(Hand(Arc::downgrade(&shared))));
        shared.poll().await?;
        let tasks = Tasks {
            alarm: tokio::spawn(run_alarm(shared.clone())),
            polls: tokio::spawn(run_polls(shared.clone())),
            sweeps: tokio::spawn(run_sweeps(shared.clone())),
            settler: tokio::spawn(settler::run(shared.clone(), receiver)),
            controller: tokio::spawn(lessons::run(shared.clone())),
            releases: tokio::spawn(run_releases(shared.clone())),
            budgets: tokio::spawn(flushes::run(shared.clone())),
            windows: tokio::spawn(windows::run(shared.clone())),
        };
        Ok((Schedule(shared), tasks))
    }

    /// What says what answers mean; who replaces it changes what holds from then on.
    pub fn classifier(&self) -> LiveClassifier {
        self.0.classifier.clone()
    }

    /// What is done now and then by itself: held mail expires, segments are emptied and removed.
    pub async fn sweep(&self) {
        self.0.sweep().await;
    }

    pub fn sources(&self) -> &Arc<Sources> {
        &self.0.sources
    }

    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Lets attempts under way end, for at most `wait`, and writes all outcomes.
    pub async fn stop(&self, tasks: Tasks, wait: Duration) {
        let shared = &self.0;
        shared.stopping.store(true, Ordering::Relaxed);
        tasks.alarm.abort();
        tasks.polls.abort();
        tasks.sweeps.abort();
        tasks.controller.abort();
        tasks.releases.abort();
        tasks.budgets.abort();
        tasks.windows.abort();
        for site in shared.sites.iter() {
            site.work.notify_waiters();
        }
        let lanes_end = async {
            while shared.sites.iter().any(|site| site.counts().0 > 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(wait, lanes_end).await.is_err() {
            tracing::warn!("attempts under way were cut off; they are tried again");
        }
        let sites: Vec<Arc<Site>> = shared.sites.iter().map(|entry| entry.clone()).collect();
        for site in sites {
            shared.empty(&site, shared.clock.now()).await;
        }
        if let Err(error) = shared.budgets.close().await {
            tracing::warn!(%error, "budgets are not closed; their journal keeps them");
        }
        if let Err(error) = shared.windows.flush(shared.queue.store()).await {
            tracing::warn!(%error, "the last answers are not in the health windows");
        }
        shared.settlements.lock().take();
        let settler = tasks.settler;
        if settler.is_finished() {
            return;
        }
        tokio::pin!(settler);
        if tokio::time::timeout(wait, &mut settler).await.is_err() {
            shared.cut.store(true, Ordering::Relaxed);
            tracing::warn!("outcomes could not be written; the outcome log keeps them");
            settler.abort();
        }
    }
}

async fn run_alarm(shared: Arc<Shared>) {
    loop {
        for id in shared.alarm.next(&shared.clock).await {
            // A site that was dropped meanwhile does not know what it was woken for.
            let now = shared.clock.now();
            let site = shared.at_site(id, |site| site.wake(now));
            Shared::look(&shared, &site);
        }
    }
}

async fn run_polls(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(POLL_EVERY).await;
        // The server may have committed what a life that was killed had sent it only after this
        // life had freed that one's leases.
        let freed = shared.queue.store().free_own_leases().await;
        if let Err(error) = freed.map_err(QueueError::from).and(shared.poll().await) {
            tracing::warn!(%error, "waiting mail cannot be read now; tried again in a minute");
        }
        let now = shared.clock.now();
        shared.sites.retain(|_, site| !site.retire(now));
    }
}

/// A connection that limits count was closed: who waits for it is looked at.
async fn run_releases(shared: Arc<Shared>) {
    loop {
        for id in shared.limits.released().await {
            let site = shared.site(id);
            site.release(shared.clock.now());
            Shared::look(&shared, &site);
        }
    }
}

async fn run_sweeps(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        shared.sweep().await;
    }
}

impl Shared {
    async fn sweep(self: &Arc<Shared>) {
        self.write_unknown().await;
        match overdue::expire_held(self).await {
            Ok(0) => {}
            Ok(expired) => tracing::info!(expired, "held deliveries have expired"),
            Err(error) => tracing::warn!(%error, "held deliveries cannot expire now"),
        }
        match self.queue.compact().await {
            Ok(0) => {}
            Ok(moved) => tracing::debug!(moved, "bodies moved out of segments nearly empty"),
            Err(error) => tracing::warn!(%error, "segments nearly empty stay as they are now"),
        }
        match self.queue.sweep().await {
            Ok(0) => {}
            Ok(removed) => tracing::debug!(removed, "spool segments removed"),
            Err(error) => tracing::warn!(%error, "the spool cannot be swept now"),
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// For ever, when there is nothing to wait for.
    async fn sleep_until(&self, until: Option<Timestamp>) {
        match until {
            Some(until) => self.clock.sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    fn site(&self, id: SiteId) -> Arc<Site> {
        if let Some(site) = self.sites.get(&id) {
            return site.clone();
        }
        self.sites.entry(id).or_insert_with(|| Arc::new(Site::new(id))).clone()
    }

    /// Does something at a site; `act` says false when the handle was stale, and is tried again.
    fn at_site(&self, id: SiteId, mut act: impl FnMut(&Site) -> bool) -> Arc<Site> {
        loop {
            let site = self.site(id);
            if act(&site) {
                return site;
            }
            // The registry drops a stale site under the same lock that made it stale.
            std::thread::yield_now();
        }
    }

    /// Does what a site wants now: reads rows, begins lanes, sets the alarm.
    fn look(shared: &Arc<Shared>, site: &Arc<Site>) {
        if shared.is_stopping() {
            return;
        }
        let routing = site.id == SiteId::UNROUTED;
        let lanes_max = if routing { 1 } else { shared.options.connections_max };
        let wanted = site.look(shared.clock.now(), lanes_max);
        if let Some(at) = wanted.look_at {
            shared.alarm.set(site.id, at);
        }
        if wanted.load {
            tokio::spawn(load::load(shared.clone(), site.clone()));
        }
        for _ in 0..wanted.lanes {
            if routing {
                tokio::spawn(unrouted::run(shared.clone(), site.clone()));
            } else {
                tokio::spawn(lane::run(shared.clone(), site.clone()));
            }
        }
        for _ in 0..wanted.wakes {
            site.work.notify_one();
        }
        if wanted.is_urgent {
            site.urgent.notify_one();
        }
    }

    /// Asks the ledger which sites have waiting mail.
    async fn poll(self: &Arc<Shared>) -> Result<(), QueueError> {
        for backlog in self.queue.store().backlogs().await? {
            let site = self.at_site(backlog.site, |site| site.note(backlog.due_at));
            Shared::look(self, &site);
        }
        Ok(())
    }
}
