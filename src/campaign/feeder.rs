//! The feeder: launches what is due, makes snapshots, turns slices into deliveries.
//!
//! Owns:       the task that moves campaigns on, and the limits that stand for their pauses,
//!             windows and throttles.
//! Promises:   a slice is fed once, whatever is killed when; what is not fed is counted and
//!             nothing else; a campaign that cannot go on says why and holds up no other.
//! Knows not:  what a mail looks like, who delivers it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};

use super::launch::{self, Cut};
use super::winner::{self, Trial};
use super::{Schema, Unlawful};
use crate::auth::Auth;
use crate::clock::Clock;
use crate::model::*;
use crate::queue::{NewRecipes, Queue, QueueError, RecipeFor};
use crate::schedule::Schedule;
use crate::store::{CampaignChange, CampaignRow, LimitRow, SliceRef, SliceRow, Store, StoreError};

/// Deliveries of one campaign that wait in the ledger; the rest of its audience is a count.
const OPEN_MAX: u64 = 20_000;
/// Slices of one transaction.
const SLICES_PER_CHANGE: usize = 8;
const TICK: Duration = Duration::from_secs(1);
/// A snapshot that takes longer is another node's to make.
const PREPARE_MAX: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Unlawful(#[from] Unlawful),
    #[error("{0}")]
    Content(String),
    /// A task of our own has ended before it was done.
    #[error("{0}")]
    Broken(String),
}

impl FeedError {
    pub fn is_transient(&self) -> bool {
        match self {
            FeedError::Store(error) => error.is_transient(),
            FeedError::Queue(error) => error.is_transient(),
            FeedError::Broken(_) => true,
            FeedError::Unlawful(_) | FeedError::Content(_) => false,
        }
    }
}

/// A cheap handle.
#[derive(Clone)]
pub struct Feeder(Arc<Inner>);

struct Inner {
    store: Store,
    queue: Queue,
    schedule: Schedule,
    auth: Auth,
    clock: Clock,
    wake: Notify,
    /// Whoever makes the limits say what campaigns say does it alone.
    keeping: Mutex<()>,
}

impl Feeder {
    pub fn new(store: Store, queue: Queue, schedule: Schedule, auth: Auth, clock: Clock) -> Feeder {
        let (wake, keeping) = (Notify::new(), Mutex::default());
        Feeder(Arc::new(Inner { store, queue, schedule, auth, clock, wake, keeping }))
    }

    /// Puts in force what a person has just asked of a campaign: a pause holds when this returns.
    pub async fn take_up(&self) -> Result<(), FeedError> {
        self.keep_limits().await.map(|_| ())
    }

    /// A person changed a campaign; losing this costs a second.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "campaigns cannot be read now; tried again in a second");
            }
            tokio::select! {
                () = self.0.wake.notified() => {}
                () = self.0.clock.sleep(TICK) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// One look at all that are under way.
    async fn look(&self) -> Result<(), FeedError> {
        let now = self.0.clock.now();
        for row in self.keep_limits().await? {
            if let Err(error) = self.advance(&row, now).await {
                self.told(&row, &error).await;
            }
        }
        Ok(())
    }

    /// What can be mended by nobody but a person stands on the campaign.
    async fn told(&self, row: &CampaignRow, error: &FeedError) {
        tracing::warn!(%error, campaign = %row.id, "a campaign does not go on now");
        if error.is_transient() {
            return;
        }
        let to = match row.state {
            CampaignState::Preparing => CampaignState::Draft,
            state => state,
        };
        let trouble = Some(error.to_string());
        if row.trouble == trouble && to == row.state {
            return;
        }
        let (id, from, at) = (row.id, row.state, self.0.clock.now());
        let change = CampaignChange::Step { id, from, to, trouble, at };
        if let Err(error) = self.0.store.change_campaign(change).await {
            tracing::warn!(%error, campaign = %row.id, "its trouble cannot be written now");
        }
    }

    async fn advance(&self, row: &CampaignRow, now: Timestamp) -> Result<(), FeedError> {
        match row.state {
            CampaignState::Scheduled if launch_at(row).is_some_and(|at| at <= now) => {
                self.step(row, CampaignStep::Launch).await?;
                self.wake();
            }
            CampaignState::Preparing => self.prepare(row, now).await?,
            CampaignState::Sending if row.automation.is_none() => {
                let decided = self.decide(row, now).await?;
                self.feed(row, decided, now).await?;
            }
            CampaignState::Cancelled => {
                self.0.store.cancel_campaign(row.id, now).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn step(&self, row: &CampaignRow, step: CampaignStep) -> Result<bool, FeedError> {
        let Some(to) = row.state.next(step) else { return Ok(false) };
        let (id, from, at) = (row.id, row.state, self.0.clock.now());
        let change = CampaignChange::Step { id, from, to, trouble: None, at };
        let moved = self.0.store.change_campaign(change).await? > 0;
        if moved {
            tracing::info!(campaign = %row.id, state = %to, "a campaign has moved on");
        }
        Ok(moved)
    }

    /// The snapshot, by one node. One that was cut off is made again from the beginning: nothing
    /// of it was fed.
    async fn prepare(&self, row: &CampaignRow, now: Timestamp) -> Result<(), FeedError> {
        let store = &self.0.store;
        let (id, until) = (row.id, now + PREPARE_MAX);
        if store.change_campaign(CampaignChange::Prepare { id, at: now, until }).await? == 0 {
            return Ok(());
        }
        store.change_campaign(CampaignChange::ClearSlices(row.id)).await?;
        let schema = Schema::read(store, row.organization).await?;
        let saved = store.saved_segments(row.organization).await?;
        let filter = launch::filter(&row.settings, &schema, &saved, now)?;
        let audience = store.audience(row.organization, &filter).await?;
        if audience.is_empty() {
            return Err(FeedError::Content("its audience is empty".to_owned()));
        }
        let starts_at = row.settings.starts_at.unwrap_or(now);
        let variants = row.content.variants.len() as u64;
        let cut = Cut { campaign: row.id, settings: &row.settings, variants, starts_at };
        let slices = launch::slices(&audience, &cut);
        for part in slices.chunks(SLICES_PER_CHANGE) {
            let added = CampaignChange::AddSlices(row.id, part.to_vec());
            if store.change_campaign(added).await? < part.len() as i64 {
                // It took so long that another node began anew, or somebody cancelled it.
                return Ok(());
            }
        }
        let (id, at) = (row.id, self.0.clock.now());
        let (audience, slices) = (audience.len() as u64, slices.len() as u64);
        let begin = CampaignChange::Begin { id, audience, slices, at };
        if store.change_campaign(begin).await? > 0 {
            tracing::info!(campaign = %id, audience, "a campaign is launched");
            self.wake();
        }
        Ok(())
    }

    /// The winner of a test, when it is known or its time has come.
    async fn decide(&self, row: &CampaignRow, now: Timestamp) -> Result<Option<u64>, FeedError> {
        let Some(test) = &row.settings.test else { return Ok(Some(0)) };
        let is_due = |seconds: u64| {
            row.launched_at.is_some_and(|at| at + Duration::from_secs(seconds) <= now)
        };
        if row.winner.is_some() || !test.decide_after.is_some_and(is_due) || row.trouble.is_some() {
            return Ok(row.winner);
        }
        let variants = row.content.variants.len();
        let mut trials = vec![Trial { delivered: 0, clicked: 0 }; variants];
        let place = |variant: u64| usize::try_from(variant).ok().filter(|at| *at < variants);
        for tally in self.0.store.tallies(row.id).await? {
            if let (Some(at), true) = (place(tally.variant), tally.kind == "delivered") {
                trials[at].delivered += tally.count;
            }
        }
        for readers in self.0.store.campaign_readers(row.id).await? {
            if let Some(at) = place(readers.variant) {
                trials[at].clicked = readers.clicked;
            }
        }
        let won = winner::winner(&trials, test.delivered_min).map(|at| at as u64);
        let variant = won.or(test.otherwise);
        let trouble = match variant {
            Some(_) => None,
            None => Some("no variant is clearly better: choose a winner".to_owned()),
        };
        tracing::info!(campaign = %row.id, ?won, ?variant, "a test was decided");
        let change = CampaignChange::Winner { id: row.id, variant, trouble };
        self.0.store.change_campaign(change).await?;
        Ok(variant)
    }

    async fn feed(
        &self,
        row: &CampaignRow,
        winner: Option<u64>,
        now: Timestamp,
    ) -> Result<(), FeedError> {
        let mut open = self.0.store.campaign_open(row.id).await?;
        let is_late = row.settings.deadline.is_some_and(|deadline| deadline <= now);
        let closed = row.settings.window.as_ref().and_then(|w| launch::closed_until(w, now));
        let may_feed = !is_late && closed.is_none();
        while may_feed && open < OPEN_MAX {
            let next =
                self.0.store.next_slice(row.id, self.0.clock.now(), winner.is_some()).await?;
            let Some(slice) = next else { break };
            open += self.feed_slice(row, winner, slice).await?;
        }
        let (waiting, rest) = self.0.store.unfed(row.id).await?;
        if open == 0 && (is_late || waiting + rest == 0) {
            self.step(row, CampaignStep::Finish).await?;
        }
        Ok(())
    }

    /// Returns how many deliveries it became.
    async fn feed_slice(
        &self,
        row: &CampaignRow,
        winner: Option<u64>,
        slice: SliceRow,
    ) -> Result<u64, FeedError> {
        let variant = slice.variant.or(winner).unwrap_or(0);
        let place = usize::try_from(variant).unwrap_or(0);
        let content = &row.content;
        let sender = ReversePath::parse(&content.from)
            .map_err(|_| FeedError::Content("its From address is not lawful".to_owned()))?;
        let domain = sender.0.as_ref().map(|address| address.domain().clone());
        let domain = domain.and_then(|name| self.0.auth.sending_domain(row.organization, &name));
        let found = self.0.store.emails(row.organization, &slice.contacts).await?;
        let mut found: HashMap<ContactId, (String, Option<i64>)> =
            found.into_iter().map(|(id, email, heat)| (id, (email, heat))).collect();
        let now = self.0.clock.now();
        // In the order of the slice. Who is gone is counted as removed.
        let recipient = |contact: &ContactId| {
            let (email, heat) = found.remove(contact)?;
            let (address, score) = (Address::parse(&email).ok()?, engagement::score(heat, now));
            Some(RecipeFor { contact: *contact, address, score })
        };
        let recipients: Vec<RecipeFor> = slice.contacts.iter().filter_map(recipient).collect();
        let slice = SliceRef {
            campaign: row.id,
            slice: slice.slice,
            variant: i64::try_from(variant).unwrap_or(0),
            count: slice.contacts.len() as u64,
        };
        if recipients.is_empty() {
            self.0.store.change_campaign(CampaignChange::PassOver(slice)).await?;
            return Ok(0);
        }
        let subject = content.variants.get(place).map(|variant| variant.subject.clone());
        let new = NewRecipes {
            organization: row.organization,
            stream: row.stream,
            domain,
            sender,
            subject: subject.unwrap_or_default(),
            rank: self.0.auth.rank(row.stream),
            slice,
            not_after: row.settings.deadline,
            recipients,
        };
        Ok(self.0.queue.feed(new).await? as u64)
    }

    /// The rows of limits are made to say what the campaigns say, which are returned.
    async fn keep_limits(&self) -> Result<Vec<CampaignRow>, FeedError> {
        let _alone = self.0.keeping.lock().await;
        let active = self.0.store.active_campaigns().await?;
        let now = self.0.clock.now();
        let known = self.0.store.limits().await?;
        let (put, gone) = limit_changes(&active, &known, now);
        if put.is_empty() && gone.is_empty() {
            return Ok(active);
        }
        let opened = opened(&active, &known, &gone);
        self.0.store.put_limits(put, &gone).await?;
        self.0.schedule.reload_limits().await?;
        for id in opened {
            // What was put off for the sake of a limit that is gone need not wait any longer.
            if self.0.store.hasten_campaign(id, now).await? > 0 {
                self.0.schedule.reread().await;
            }
        }
        Ok(active)
    }
}

/// When a scheduled campaign must be prepared: by local time some get it long before.
fn launch_at(row: &CampaignRow) -> Option<Timestamp> {
    let at = row.settings.starts_at?;
    let is_local = row.settings.local_time.is_some();
    Some(if is_local { at - launch::ZONES_APART } else { at })
}

/// Those that are not over and were stopped by a row that goes.
fn opened(active: &[CampaignRow], known: &[LimitRow], gone: &[LimitId]) -> Vec<CampaignId> {
    let rows = known.iter().filter(|row| gone.contains(&row.limit.id));
    let campaigns = rows.filter_map(|row| match row.limit.scope.who {
        WhoScope::Campaign(id) => Some(id),
        _ => None,
    });
    let is_active = |id: &CampaignId| active.iter().any(|row| row.id == *id);
    campaigns.filter(is_active).collect()
}

/// A limit that a campaign's own settings ask for: how many in how many seconds, why, until when.
type Wanted = (u64, u64, &'static str, Option<Timestamp>);

fn wanted(row: &CampaignRow, now: Timestamp) -> Vec<Wanted> {
    const HOUR: u64 = 3600;
    let mut wanted = Vec::new();
    if row.state == CampaignState::Paused {
        wanted.push((0, HOUR, "the campaign is paused", None));
    }
    if row.state == CampaignState::Sending {
        let closed = row.settings.window.as_ref().and_then(|w| launch::closed_until(w, now));
        if let Some(until) = closed {
            wanted.push((0, HOUR, "outside the campaign's sending window", Some(until)));
        }
    }
    if matches!(row.state, CampaignState::Sending | CampaignState::Paused)
        && let Some(throttle) = &row.settings.throttle
    {
        wanted.push((throttle.messages, throttle.seconds, "the campaign's throttle", None));
    }
    wanted
}

/// Rows to put, and rows that no campaign asks for any more. A person's own rows are let alone.
fn limit_changes(
    active: &[CampaignRow],
    known: &[LimitRow],
    now: Timestamp,
) -> (Vec<LimitRow>, Vec<LimitId>) {
    let is_ours = |row: &&LimitRow| {
        row.limit.origin == Origin::Quota && matches!(row.limit.scope.who, WhoScope::Campaign(_))
    };
    let mut left: Vec<&LimitRow> = known.iter().filter(is_ours).collect();
    let mut put = Vec::new();
    for row in active {
        for wanted in wanted(row, now) {
            let limit = limit_of(row.id, wanted);
            let same = |known: &&LimitRow| Limit { id: LimitId(0), ..known.limit.clone() } == limit;
            match left.iter().position(same) {
                Some(at) => {
                    left.swap_remove(at);
                }
                None => put.push(LimitRow { limit, name: None, created_at: now }),
            }
        }
    }
    (put, left.into_iter().map(|row| row.limit.id).collect())
}

fn limit_of(campaign: CampaignId, (value, seconds, reason, expires_at): Wanted) -> Limit {
    Limit {
        id: LimitId(0),
        scope: LimitScope {
            from: FromScope::Installation,
            to: ToScope::Anywhere,
            who: WhoScope::Campaign(campaign),
            class: None,
        },
        metric: Metric::Messages,
        value,
        window: Some(Duration::from_secs(seconds)),
        pace: Pace::Fixed,
        origin: Origin::Quota,
        reason: reason.to_owned(),
        expires_at,
        pinned: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign(id: i64, state: CampaignState) -> CampaignRow {
        CampaignRow {
            id: CampaignId(id),
            organization: OrganizationId::FIRST,
            name: String::new(),
            state,
            stream: StreamId(2),
            revision: 1,
            settings: CampaignSettings {
                throttle: Some(Throttle { messages: 50, seconds: 60 }),
                ..CampaignSettings::default()
            },
            content: CampaignContent {
                attachments: Vec::new(),
                data: serde_json::Map::new(),
                from: "news@shop.example".to_owned(),
                from_name: String::new(),
                reply_to: None,
                variants: Vec::new(),
            },
            winner: None,
            audience: None,
            slices: None,
            trouble: None,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
            launched_at: None,
            ended_at: None,
            automation: None,
        }
    }

    #[test]
    fn limits_follow_a_campaign_and_those_of_people_stay() {
        let now = Timestamp::from_seconds(1000);
        let mut person = limit_of(CampaignId(7), (5, 60, "by hand", None));
        (person.origin, person.id) = (Origin::Admin, LimitId(1));
        let mut known = vec![LimitRow { limit: person, name: None, created_at: now }];
        let mut ids = 100..;
        for (state, values) in [
            (CampaignState::Sending, vec![50]),
            (CampaignState::Paused, vec![50, 0]),
            (CampaignState::Sending, vec![50]),
        ] {
            let active = [campaign(7, state)];
            let (put, gone) = limit_changes(&active, &known, now);
            known.retain(|row| !gone.contains(&row.limit.id));
            for (row, id) in put.into_iter().zip(ids.by_ref()) {
                known.push(LimitRow { limit: Limit { id: LimitId(id), ..row.limit }, ..row });
            }
            assert_eq!(known[0].limit.origin, Origin::Admin);
            let ours: Vec<u64> = known[1..].iter().map(|row| row.limit.value).collect();
            assert_eq!(ours, values, "{state}");
            assert_eq!(limit_changes(&active, &known, now), (vec![], vec![]), "settled");
        }
        let (_, gone) = limit_changes(&[], &known, now);
        assert_eq!(gone, [LimitId(100)], "nothing of a campaign that is over is left");
    }

    #[test]
    fn by_local_time_a_campaign_is_prepared_before_the_first_clock_shows_its_hour() {
        let mut row = campaign(1, CampaignState::Scheduled);
        assert_eq!(launch_at(&row), None);
        row.settings.starts_at = Some(Timestamp::from_seconds(200_000));
        assert_eq!(launch_at(&row), Some(Timestamp::from_seconds(200_000)));
        row.settings.local_time = Some("Europe/Berlin".to_owned());
        assert_eq!(launch_at(&row), Some(Timestamp::from_seconds(200_000 - 26 * 3600)));
    }
}
