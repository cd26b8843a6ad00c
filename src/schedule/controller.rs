//! The governor at work: answers in, limits and rows out, in a task of its own.
//!
//! Owns:       the book that lanes write into, the order of the writes.
//! Promises:   to note an answer never waits; what is decided is in force before it is written and
//!             is written until the ledger takes it; lanes read standings without a lock.
//! Knows not:  what is decided, and why.

mod forecast;
mod hand; // by a person

pub use forecast::Mailing;
pub use hand::{ControllerError, Steer};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::adaptive::{Facts, Stop};
use super::governor::book::{Book, Complained, Lesson};
use super::governor::{Governor, Numbers, Thoughts};
use super::limits::Limits;
use super::warmup::Warmup;
use super::warmup::course::Course;
use super::warmup::overflow;
use crate::clock::Clock;
use crate::model::*;
use crate::store::{Learnt, LimitRow, Store, StoreError, WarmupRow};

/// Ids are taken in blocks; the half of one is far more than one look uses.
const IDS: i64 = 20_000;
const HOURS_KEPT: Duration = Duration::from_secs(90 * 86_400);
/// After so long no stop and no block is the longer for an earlier one.
const STOPS_RECALLED: Duration = Duration::from_secs(7 * 86_400);
const FORGET_EVERY: u32 = 7200;

/// Ids in memory.
#[derive(Default)]
struct Blocks {
    limit: std::ops::Range<i64>,
    warmup: std::ops::Range<i64>,
    decision: std::ops::Range<i64>,
}

impl Numbers for Blocks {
    fn limit(&mut self) -> LimitId {
        LimitId(self.limit.next().unwrap_or(0))
    }
    fn warmup(&mut self) -> WarmupId {
        WarmupId(self.warmup.next().unwrap_or(0))
    }
    fn decision(&mut self) -> DecisionId {
        DecisionId(self.decision.next().unwrap_or(0))
    }
}

impl Blocks {
    async fn fill(&mut self, store: &Store) -> Result<(), StoreError> {
        for (name, block) in [
            ("limit", &mut self.limit),
            ("warmup", &mut self.warmup),
            ("decision", &mut self.decision),
        ] {
            if block.end - block.start < IDS / 2 {
                let first = store.reserve_ids(name, IDS).await?;
                *block = first..first + IDS;
            }
        }
        Ok(())
    }
}

struct Inner {
    store: Store,
    limits: Limits,
    clock: Clock,
    book: Mutex<Book>,
    standings: ArcSwap<HashMap<(SourceId, OperatorId), overflow::Standing>>,
    /// Operators at which some source is being warmed up.
    warming: ArcSwap<HashSet<OperatorId>>,
    relays: ArcSwap<HashSet<SourceId>>,
    /// All that may send.
    sources: ArcSwap<Vec<(SourceId, String, bool)>>,
    opened: AtomicBool,
    /// One look, or one command of a person, at a time.
    state: tokio::sync::Mutex<State>,
}

struct State {
    governor: Governor,
    numbers: Blocks,
    /// Not written yet: the ledger could not take it.
    unwritten: Unwritten,
    looks: u32,
}

#[derive(Default)]
struct Unwritten {
    learnt: Learnt,
    put: HashMap<LimitId, Limit>,
    gone: HashSet<LimitId>,
}

impl Unwritten {
    /// Of a source that is no more, and of its limits.
    fn forget(&mut self, source: SourceId, limits: &[LimitId]) {
        let is_own = |limit: Option<LimitId>| limit.is_some_and(|id| limits.contains(&id));
        self.learnt.warmups.retain(|row| row.subject != WarmSubject::Source(source));
        self.learnt.hours.retain(|hour| hour.source != source);
        for decision in self.learnt.decisions.iter_mut().filter(|one| is_own(one.limit)) {
            decision.state = DecisionState::Past;
        }
        self.put.retain(|id, limit| {
            !limits.contains(id) && limit.scope.from != FromScope::Source(source)
        });
    }
}

/// A cheap handle; all clones share one governor.
#[derive(Clone)]
pub struct Controller(Arc<Inner>);

impl Controller {
    /// Takes up warm-ups and decisions where earlier lives left them. The limits that they have
    /// written must be in `limits` already.
    pub async fn open(
        store: Store,
        limits: Limits,
        clock: Clock,
    ) -> Result<Controller, StoreError> {
        let mut governor = Governor::default();
        for row in store.warmups().await? {
            match serde_json::from_str::<Course>(&row.course) {
                Ok(course) => governor.planner.put(Warmup {
                    id: row.id,
                    subject: row.subject,
                    operator: row.operator,
                    limit: row.limit,
                    course,
                }),
                Err(error) => {
                    tracing::error!(%error, warmup = %row.id, "a warm-up cannot be read; its last \
                        limit stays in force");
                }
            }
        }
        governor.recall(&store.stops_since(clock.now() - STOPS_RECALLED).await?);
        governor.restore(store.active_decisions().await?);
        let today = limits.calendar().day(clock.now()).begin;
        let peaks = store.source_peaks(today - HOURS_KEPT).await?;
        governor.remember(&peaks, today, &store.source_hours(today).await?);
        let numbers = Blocks::default();
        let unwritten = Unwritten::default();
        let state = State { governor, numbers, unwritten, looks: 0 };
        let controller = Controller(Arc::new(Inner {
            store,
            limits,
            clock,
            book: Mutex::default(),
            standings: ArcSwap::default(),
            warming: ArcSwap::default(),
            relays: ArcSwap::default(),
            sources: ArcSwap::default(),
            opened: AtomicBool::new(false),
            state: tokio::sync::Mutex::new(state),
        }));
        controller.look().await?;
        Ok(controller)
    }

    /// Takes a lesson in; a few additions.
    pub fn note(&self, lesson: &Lesson<'_>) {
        self.0.book.lock().note(lesson);
    }

    /// A mail that was taken came back.
    pub fn returned(&self, lesson: &Lesson<'_>) {
        self.0.book.lock().returned(lesson);
    }

    /// A complaint came in for mail that was taken.
    pub fn complain(&self, told: &Complained) {
        self.0.book.lock().complain(told);
    }

    /// All that may send: id, name, and whether it is another's service.
    pub fn set_sources(&self, sources: Vec<(SourceId, String, bool)>) {
        let relays = sources.iter().filter(|(.., relay)| *relay).map(|(id, ..)| *id).collect();
        self.0.relays.store(Arc::new(relays));
        self.0.sources.store(Arc::new(sources));
    }

    /// A source of ours by its name or id; Err says what is wrong with it.
    pub fn source_named(&self, name: &str) -> Result<SourceId, String> {
        let sources = self.0.sources.load();
        let named =
            |(id, own, _): &&(SourceId, String, bool)| *own == name || id.to_string() == name;
        match sources.iter().find(named) {
            None => Err(format!("there is no source '{name}'")),
            Some((.., true)) => Err(format!("{name} is a relay, which is warm")),
            Some((id, ..)) => Ok(*id),
        }
    }

    /// How a source stands with an operator.
    pub fn standing(&self, source: SourceId, operator: OperatorId) -> overflow::Standing {
        let standing = self.0.standings.load().get(&(source, operator)).copied();
        let is_relay = || self.0.relays.load().contains(&source);
        standing.unwrap_or_else(|| match is_relay() {
            true => overflow::Standing::Relay,
            false => overflow::Standing::Warm,
        })
    }

    /// Whether some source is being warmed up at an operator: most mail need not ask further.
    pub fn is_warming(&self, operator: OperatorId) -> bool {
        self.0.warming.load().contains(&operator)
    }

    /// Limits were raised or taken away since the last call: who waits for them is to ask again.
    pub fn has_opened(&self) -> bool {
        self.0.opened.swap(false, Ordering::Relaxed)
    }

    /// What the ledger holds is in force, with what it could not take yet. No look comes between,
    /// which would write what was just read as missing.
    pub async fn reload_limits(&self) -> Result<(), StoreError> {
        let state = self.0.state.lock().await;
        let rows = self.0.store.limits().await?;
        let Unwritten { put, gone, .. } = &state.unwritten;
        let is_kept = |limit: &Limit| !gone.contains(&limit.id) && !put.contains_key(&limit.id);
        let known = rows.into_iter().map(|row| row.limit).filter(is_kept);
        self.0.limits.replace(known.chain(put.values().cloned()).collect());
        Ok(())
    }

    /// Connections that are open now.
    pub async fn set_facts(&self, facts: HashMap<(SourceId, OperatorId), Facts>) {
        self.0.state.lock().await.governor.set_facts(facts);
    }

    /// One look: what was answered since the last one, and what time brings.
    pub async fn look(&self) -> Result<(), StoreError> {
        let mut state = self.0.state.lock().await;
        let state = &mut *state;
        state.numbers.fill(&self.0.store).await?;
        let book = std::mem::take(&mut *self.0.book.lock());
        if book.lost > 0 {
            tracing::warn!(count = book.lost, "answers that were not learnt from: too many pairs");
        }
        let now = self.0.clock.now();
        let day = self.0.limits.calendar().day(now);
        state.governor.set_relays(self.0.relays.load().as_ref().clone());
        let sources = self.0.sources.load();
        let own = sources.iter().filter(|(.., relay)| !relay).map(|(id, ..)| *id).collect();
        state.governor.set_own(own);
        let bounds = (day.begin, day.end);
        let thoughts = state.governor.think(book, now, bounds, &mut state.numbers);
        state.looks += 1;
        if state.looks % FORGET_EVERY == 1 {
            self.0.store.forget_source_hours(now - HOURS_KEPT).await?;
        }
        self.carry_out(state, thoughts).await
    }

    /// A campaign or a sending domain whose health is too bad at an operator.
    pub async fn stop_for_health(&self, stop: Stop) -> Result<(), StoreError> {
        let mut state = self.0.state.lock().await;
        let state = &mut *state;
        state.numbers.fill(&self.0.store).await?;
        let now = self.0.clock.now();
        let thoughts = state.governor.stop_for_health(stop, now, &mut state.numbers);
        self.carry_out(state, thoughts).await
    }

    /// In force first, then written.
    async fn carry_out(&self, state: &mut State, mut thoughts: Thoughts) -> Result<(), StoreError> {
        for alarm in &thoughts.alarms {
            tracing::error!(alarm, "a rule has acted; see postroad decisions list");
        }
        let touched = thoughts.touched_once();
        let unwritten = &mut state.unwritten;
        for pair in touched {
            let Some(warmup) = state.governor.planner.get(pair) else { continue };
            match warmup.limit() {
                Some(limit) => thoughts.put.push(limit),
                None => thoughts.removed.push(warmup.limit),
            }
            let row = row_of(warmup)?;
            unwritten.learnt.warmups.retain(|known| known.id != row.id);
            unwritten.learnt.warmups.push(row);
        }
        let mut opened = !thoughts.removed.is_empty();
        for id in thoughts.removed {
            self.0.limits.remove(id);
            unwritten.put.remove(&id);
            unwritten.gone.insert(id);
        }
        for limit in thoughts.put {
            let old = self.0.limits.get(limit.id);
            if old.as_ref() != Some(&limit) {
                opened |= old.is_some_and(|old| limit.value > old.value || limit.pace != old.pace);
                self.0.limits.put(limit.clone());
                unwritten.gone.remove(&limit.id);
                unwritten.put.insert(limit.id, limit);
            }
        }
        unwritten.learnt.alarms.append(&mut thoughts.alarms);
        unwritten.learnt.days.append(&mut thoughts.days);
        unwritten.learnt.hours.append(&mut thoughts.hours);
        unwritten.learnt.decisions.append(&mut thoughts.decisions);
        unwritten.learnt.changed.append(&mut thoughts.changed);
        if opened {
            self.0.opened.store(true, Ordering::Relaxed);
        }
        self.publish(&state.governor, self.0.clock.now());
        self.write(&mut state.unwritten).await
    }

    fn publish(&self, governor: &Governor, now: Timestamp) {
        let source = |warmup: &Warmup| match warmup.subject {
            WarmSubject::Source(source) => {
                let standing = governor.standing(source, warmup.operator, now);
                Some(((source, warmup.operator), standing))
            }
            WarmSubject::Domain(_) => None,
        };
        let standings: HashMap<_, _> = governor.planner.all().filter_map(source).collect();
        let warming = standings.iter().filter(|(_, standing)| standing.is_warming());
        self.0.warming.store(Arc::new(warming.map(|((_, operator), _)| *operator).collect()));
        self.0.standings.store(Arc::new(standings));
    }

    async fn write(&self, unwritten: &mut Unwritten) -> Result<(), StoreError> {
        if !unwritten.put.is_empty() || !unwritten.gone.is_empty() {
            let created_at = self.0.clock.now();
            let row = |limit: &Limit| LimitRow { limit: limit.clone(), name: None, created_at };
            let rows: Vec<LimitRow> = unwritten.put.values().map(row).collect();
            let gone: Vec<LimitId> = unwritten.gone.iter().copied().collect();
            self.0.store.put_limits(rows, &gone).await?;
            unwritten.put.clear();
            unwritten.gone.clear();
        }
        if !unwritten.learnt.is_empty() {
            self.0.store.write_learnt(unwritten.learnt.clone()).await?;
            unwritten.learnt = Learnt::default();
        }
        Ok(())
    }
}

fn row_of(warmup: &Warmup) -> Result<WarmupRow, StoreError> {
    let course = serde_json::to_string(&warmup.course)
        .map_err(|why| StoreError::Refused(format!("a course cannot be written: {why}")))?;
    Ok(WarmupRow {
        id: warmup.id,
        subject: warmup.subject,
        operator: warmup.operator,
        plan: warmup.course.plan.name.clone(),
        target: warmup.course.target,
        state: warmup.course.state,
        limit: warmup.limit,
        course,
    })
}
