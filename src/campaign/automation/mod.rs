//! Automations: what has happened to a person decides what he gets, step by step.
//!
//! Owns:       the task that lets people in and moves their cursors on.
//! Promises:   a step is done once for a run, whatever is killed when: what is sent carries the
//!             key of run and visit, and the cursor moves from where it was seen alone.
//! Knows not:  what a mail looks like, who delivers it, how contacts are written.

pub mod define; // what is lawful
mod rule; // which step does what

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::edit::{self, ConsentInput, ContactInput};
use super::feeder::FeedError;
use super::{Schema, segment};
use crate::auth::Auth;
use crate::clock::Clock;
use crate::model::*;
use crate::queue::{NewRecipes, Queue, QueueError, RecipeFor};
use crate::store::filter::{Filter, Place, Test, TextCompare};
use crate::store::{
    Arrival, AutomationChange, AutomationRow, ContactBatch, ContactWrite, DueRun, NewRun,
    RunChange, RunContact, RunMove, SliceRef, Store, UpsertMode,
};
use rule::{Turn, VISITS_MAX};

const TICK: Duration = Duration::from_secs(1);
/// Runs of one transaction.
const RUNS_MAX: u32 = 200;
const ARRIVALS_MAX: u32 = 500;
/// Looks at one automation before others have their turn.
const TURNS_MAX: usize = 20;
/// Mails that are made at the same time.
const SENDS_AT_ONCE: usize = 50;
/// Mails of one step that wait in the ledger; who comes later waits before the step.
const OPEN_MAX: u64 = 20_000;
const PUT_OFF: Duration = Duration::from_secs(30);

/// A cheap handle.
#[derive(Clone)]
pub struct Automations(Arc<Inner>);

struct Inner {
    store: Store,
    queue: Queue,
    auth: Auth,
    clock: Clock,
    wake: Notify,
}

impl Automations {
    pub fn new(store: Store, queue: Queue, auth: Auth, clock: Clock) -> Automations {
        Automations(Arc::new(Inner { store, queue, auth, clock, wake: Notify::new() }))
    }

    /// Something was changed; losing this costs a second.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let more = self.look().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "automations cannot be read now; tried again in a second");
                false
            });
            if more {
                continue;
            }
            tokio::select! {
                () = self.0.wake.notified() => {}
                () = self.0.clock.sleep(TICK) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// True when there is more to be done at once.
    async fn look(&self) -> Result<bool, FeedError> {
        let mut more = self.let_in().await?;
        self.look_at_dates().await?;
        let now = self.0.clock.now();
        for row in self.0.store.busy_automations(now).await? {
            match self.advance(&row).await {
                Ok(is_unfinished) => more |= is_unfinished,
                Err(error) => self.told(&row, &error).await,
            }
        }
        Ok(more)
    }

    /// What can be mended by nobody but a person pauses the automation and stands on it.
    async fn told(&self, row: &AutomationRow, error: &FeedError) {
        tracing::warn!(%error, automation = %row.id, "an automation does not go on now");
        if error.is_transient() || row.state != AutomationState::Active {
            return;
        }
        let change = AutomationChange::Step {
            id: row.id,
            from: row.state,
            to: AutomationState::Paused,
            target: self.target(row).await,
            trouble: Some(error.to_string()),
            at: self.0.clock.now(),
        };
        if let Err(error) = self.0.store.change_automation(change).await {
            tracing::warn!(%error, automation = %row.id, "its trouble cannot be written now");
        }
    }

    async fn target(&self, row: &AutomationRow) -> Option<String> {
        let schema = Schema::read(&self.0.store, row.organization).await.ok()?;
        define::target(&row.definition.entry, &schema)
    }

    /// Arrivals become runs.
    async fn let_in(&self) -> Result<bool, FeedError> {
        let arrivals = self.0.store.arrivals(ARRIVALS_MAX).await?;
        if arrivals.is_empty() {
            return Ok(false);
        }
        let mut known: HashMap<AutomationId, Option<AutomationRow>> = HashMap::new();
        let mut runs = Vec::new();
        for arrival in &arrivals {
            let id = arrival.automation;
            if let Entry::Vacant(place) = known.entry(id) {
                place.insert(self.0.store.automation_of_anybody(id).await?);
            }
            if let Some(Some(row)) = known.get(&id) {
                runs.push(new_run(row, arrival.clone(), self.0.clock.now()));
            }
        }
        let is_full = arrivals.len() >= ARRIVALS_MAX as usize;
        self.0.store.change_runs(RunChange::Begin { runs, handled: arrivals }).await?;
        Ok(is_full)
    }

    /// Those whose day it is come in, day by day.
    async fn look_at_dates(&self) -> Result<(), FeedError> {
        let now = self.0.clock.now();
        for row in self.0.store.dated_automations().await? {
            let Some(today) = rule::day_begun(&row.definition.entry, now) else { continue };
            let days = rule::days_to_look_at(row.dated_until, today);
            if let Err(error) = self.let_in_by_date(&row, days, today).await {
                self.told(&row, &error).await;
            }
        }
        Ok(())
    }

    async fn let_in_by_date(
        &self,
        row: &AutomationRow,
        days: std::ops::RangeInclusive<i64>,
        today: i64,
    ) -> Result<(), FeedError> {
        if row.dated_until == Some(today) {
            return Ok(());
        }
        let schema = Schema::read(&self.0.store, row.organization).await?;
        for day in days {
            let on_day = define::dated_filter(&row.definition.entry, day, &schema)?;
            let mut all = vec![is_active(), on_day];
            if let Some(list) = row.definition.list {
                let status = MembershipStatus::Subscribed;
                all.push(Filter::Test(Test::Member { list, status }));
            }
            let found = self.0.store.audience(row.organization, &Filter::All(all)).await?;
            for part in found.chunks(ARRIVALS_MAX as usize) {
                let at = self.0.clock.now();
                let arrival = |contact: ContactId| Arrival {
                    automation: row.id,
                    contact,
                    key: day.to_string(),
                    at,
                };
                let run = |(contact, _): &(ContactId, _)| new_run(row, arrival(*contact), at);
                let runs = part.iter().map(run).collect();
                let change = RunChange::Begin { runs, handled: Vec::new() };
                self.0.store.change_runs(change).await?;
            }
        }
        self.0.store.change_automation(AutomationChange::Dated(row.id, today)).await?;
        Ok(())
    }

    /// Moves those whose time has come. True when it broke off before all were moved.
    async fn advance(&self, row: &AutomationRow) -> Result<bool, FeedError> {
        let is_over = row.state == AutomationState::Ended;
        for _ in 0..TURNS_MAX {
            let now = self.0.clock.now();
            let until = if is_over { Timestamp(i64::MAX) } else { now };
            let due = self.0.store.due_runs(row.id, until, RUNS_MAX).await?;
            if due.is_empty() {
                return Ok(false);
            }
            let moves = match is_over {
                true => due.iter().map(|run| rule::ended(*run, RunEnd::Stopped, now)).collect(),
                false => self.turns(row, due, now).await?,
            };
            let change = RunChange::Move { automation: row.id, moves, at: now };
            self.0.store.change_runs(change).await?;
        }
        Ok(true)
    }

    /// What becomes of these runs, with their mails in the queue already.
    async fn turns(
        &self,
        row: &AutomationRow,
        due: Vec<DueRun>,
        now: Timestamp,
    ) -> Result<Vec<RunMove>, FeedError> {
        let mut groups: BTreeMap<(u64, u32), Vec<DueRun>> = BTreeMap::new();
        for run in due {
            groups.entry((run.version, run.step)).or_default().push(run);
        }
        let mut moves = Vec::new();
        for ((version, step), runs) in groups {
            let found = self.0.store.automation_version(row.id, version).await?;
            let Some(definition) = found else {
                moves.extend(runs.iter().map(|run| rule::ended(*run, RunEnd::Gone, now)));
                continue;
            };
            let ids: Vec<ContactId> = runs.iter().map(|run| run.contact).collect();
            let contacts =
                self.0.store.run_contacts(row.organization, &ids, definition.list).await?;
            let contacts: HashMap<ContactId, RunContact> =
                contacts.into_iter().map(|contact| (contact.id, contact)).collect();
            let (staying, leaving): (Vec<DueRun>, Vec<DueRun>) = runs
                .into_iter()
                .partition(|run| rule::reason_to_leave(contacts.get(&run.contact)).is_none());
            for run in leaving {
                let why = rule::reason_to_leave(contacts.get(&run.contact));
                moves.push(rule::ended(run, why.unwrap_or(RunEnd::Gone), now));
            }
            let arrived = match &definition.goal {
                Some(goal) => self.matching(row, goal, &staying).await?,
                None => HashSet::new(),
            };
            let (arrived, staying): (Vec<DueRun>, Vec<DueRun>) =
                staying.into_iter().partition(|run| arrived.contains(&run.contact));
            moves.extend(arrived.into_iter().map(|run| rule::ended(run, RunEnd::Goal, now)));
            let step = definition.steps.get(step as usize);
            let turns = self.step(row, &definition, step, &staying, &contacts).await?;
            let turn = |(run, turn)| rule::moved(&definition.steps, run, turn, now);
            moves.extend(turns.into_iter().map(turn));
        }
        Ok(moves)
    }

    async fn step(
        &self,
        row: &AutomationRow,
        definition: &AutomationDefinition,
        step: Option<&AutomationStep>,
        runs: &[DueRun],
        contacts: &HashMap<ContactId, RunContact>,
    ) -> Result<Vec<(DueRun, Turn)>, FeedError> {
        let all = |turn: Turn| runs.iter().map(|run| (*run, turn)).collect();
        Ok(match step {
            _ if runs.is_empty() => Vec::new(),
            Some(AutomationStep::Wait { .. }) => all(Turn::Wait),
            Some(AutomationStep::Exit) => all(Turn::Exit),
            None => all(Turn::Finish),
            Some(AutomationStep::Condition { expression, .. }) => {
                let holds = self.matching(row, expression, runs).await?;
                let turn = |run: &DueRun| (*run, Turn::Asked(holds.contains(&run.contact)));
                runs.iter().map(turn).collect()
            }
            Some(change @ AutomationStep::Change { .. }) => {
                self.change(row, change, runs, contacts).await?;
                all(Turn::Changed)
            }
            Some(AutomationStep::Send { campaign, content }) => {
                let mail = Mailing { row, definition, campaign: *campaign, content };
                match self.0.store.campaign_open(*campaign).await? {
                    open if open >= OPEN_MAX => all(Turn::PutOff),
                    _ => {
                        self.send(&mail, runs, contacts).await?;
                        all(Turn::Sent)
                    }
                }
            }
        })
    }

    /// Who of them is in the segment now.
    async fn matching(
        &self,
        row: &AutomationRow,
        expression: &str,
        runs: &[DueRun],
    ) -> Result<HashSet<ContactId>, FeedError> {
        let schema = Schema::read(&self.0.store, row.organization).await?;
        let filter = segment::filter(expression, &schema, self.0.clock.now())
            .map_err(|wrong| FeedError::Content(format!("a condition: {wrong}")))?;
        let ids: Vec<ContactId> = runs.iter().map(|run| run.contact).collect();
        let holds = self.0.store.matching(row.organization, &ids, &filter).await?;
        Ok(holds.into_iter().collect())
    }

    /// Done again it changes nothing.
    async fn change(
        &self,
        row: &AutomationRow,
        step: &AutomationStep,
        runs: &[DueRun],
        contacts: &HashMap<ContactId, RunContact>,
    ) -> Result<(), FeedError> {
        let AutomationStep::Change { tags, fields, subscribe, unsubscribe } = step else {
            return Ok(());
        };
        let schema = Schema::read(&self.0.store, row.organization).await?;
        let consent = ConsentInput {
            source: format!("automation {}", row.id),
            address: None,
            wording: String::new(),
            confirmed: false,
            again: false,
        };
        let input = ContactInput {
            tags: tags.clone(),
            fields: fields.clone(),
            subscribe: subscribe.clone(),
            unsubscribe: unsubscribe.clone(),
            consent: Some(consent),
            ..ContactInput::default()
        };
        let mut rows = Vec::with_capacity(runs.len());
        for contact in runs.iter().filter_map(|run| contacts.get(&run.contact)) {
            let write = ContactWrite::of(contact.id, contact.email.clone());
            rows.push(edit::applied(&schema, write, &input)?);
        }
        let batch = ContactBatch {
            organization: row.organization,
            at: self.0.clock.now(),
            mode: UpsertMode::Update,
            consent: edit::consent(&input)?,
            resubscribe: false,
            rows,
            progress: None,
        };
        self.0.store.write_contacts(batch).await?;
        Ok(())
    }

    /// A mail for each, as a delivery of its campaign. One that was made before is not made again.
    async fn send(
        &self,
        mail: &Mailing<'_>,
        runs: &[DueRun],
        contacts: &HashMap<ContactId, RunContact>,
    ) -> Result<(), FeedError> {
        for part in runs.chunks(SENDS_AT_ONCE) {
            let mut feeding: JoinSet<Result<usize, QueueError>> = JoinSet::new();
            for run in part {
                let Some(contact) = contacts.get(&run.contact) else { continue };
                let Some(new) = self.recipes(mail, run, contact)? else { continue };
                let queue = self.0.queue.clone();
                feeding.spawn(async move { queue.feed(new).await });
            }
            while let Some(fed) = feeding.join_next().await {
                fed.map_err(|error| FeedError::Broken(error.to_string()))??;
            }
        }
        Ok(())
    }

    /// None for an address that is none.
    fn recipes(
        &self,
        mail: &Mailing<'_>,
        run: &DueRun,
        contact: &RunContact,
    ) -> Result<Option<NewRecipes>, FeedError> {
        let organization = mail.row.organization;
        let sender = ReversePath::parse(&mail.content.from)
            .map_err(|_| FeedError::Content("its From address is not lawful".to_owned()))?;
        let domain = sender.0.as_ref().map(|address| address.domain().clone());
        let domain = domain.and_then(|name| self.0.auth.sending_domain(organization, &name));
        let Ok(address) = Address::parse(&contact.email) else { return Ok(None) };
        let slice = SliceRef {
            campaign: mail.campaign,
            // The step is the campaign's; a run comes by once with each of its visits.
            slice: run.id.0.saturating_mul(VISITS_MAX) + i64::from(run.visit),
            variant: 0,
            count: 1,
        };
        let subject = mail.content.variants.first().map(|variant| variant.subject.clone());
        let stream = mail.definition.stream;
        let score = engagement::score(contact.heat, self.0.clock.now());
        Ok(Some(NewRecipes {
            organization,
            stream,
            domain,
            sender,
            subject: subject.unwrap_or_default(),
            rank: self.0.auth.rank(stream),
            slice,
            not_after: None,
            recipients: vec![RecipeFor { contact: run.contact, address, score }],
        }))
    }
}

/// What one step sends.
struct Mailing<'a> {
    row: &'a AutomationRow,
    definition: &'a AutomationDefinition,
    campaign: CampaignId,
    content: &'a CampaignContent,
}

fn new_run(row: &AutomationRow, arrival: Arrival, now: Timestamp) -> NewRun {
    let key = rule::key_of(&row.definition, &arrival.key);
    let alone = row.definition.entry.kind() != EntryKind::Event;
    // Who waited while it was paused begins now.
    let arrival = Arrival { at: now, ..arrival };
    NewRun { arrival, version: row.version, key, alone }
}

fn is_active() -> Filter {
    Filter::Test(Test::Text {
        place: Place::Status,
        compare: TextCompare::Equal,
        value: ContactStatus::Active.word().to_owned(),
    })
}
