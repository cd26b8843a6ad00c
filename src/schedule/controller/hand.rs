//! What a person does to warm-ups and decisions, and that a source is no more.
//!
//! Owns:       the commands on the governor while the daemon runs.
//! Promises:   a command comes between two looks, never into one; it is in force before it is
//!             written.
//! Knows not:  who may.

use super::{Controller, Thoughts};
use crate::model::*;
use crate::schedule::governor::{Numbers as _, PersonError};
use crate::schedule::warmup::course::Course;
use crate::schedule::warmup::{Pair, Warmup};
use crate::store::{AuditLine, SourceChange, Store, StoreError};

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steer {
    Pause,
    Resume,
    /// On by so many days of the plan; back where it is negative.
    Skip(i32),
    Restart,
    Stop,
}

#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    #[error("there is no warm-up {0}")]
    NoWarmup(WarmupId),
    #[error("{0} is warmed up at this operator already: warm-up {1}")]
    Running(String, WarmupId),
    #[error("the forecast ended in a fault of our own")]
    Fault,
    #[error(transparent)]
    Person(#[from] PersonError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// By hand.
impl Controller {
    pub async fn warmups(&self) -> Vec<Warmup> {
        self.0.state.lock().await.governor.planner.all().cloned().collect()
    }

    /// Begins these courses; those that were stopped or finished begin anew. `line`, here and
    /// below: of the audit log, written in one transaction with what was ordered.
    pub async fn start(
        &self,
        courses: Vec<(Pair, Course)>,
        line: Option<AuditLine>,
    ) -> Result<Vec<WarmupId>, ControllerError> {
        let mut state = self.0.state.lock().await;
        state.numbers.fill(&self.0.store).await?;
        let mut thoughts = Thoughts::default();
        let mut ids = Vec::new();
        for (pair, _) in &courses {
            let known = state.governor.planner.get(*pair);
            let is_over = |state| matches!(state, WarmupState::Finished | WarmupState::Stopped);
            if let Some(known) = known.filter(|known| !is_over(known.course.state)) {
                let what = match pair.0 {
                    WarmSubject::Source(source) => format!("source {source}"),
                    WarmSubject::Domain(domain) => format!("domain {domain}"),
                };
                return Err(ControllerError::Running(what, known.id));
            }
        }
        let now = self.0.clock.now();
        let day = self.0.limits.calendar().day(now);
        for (pair, mut course) in courses {
            course.roll(now, (day.begin, day.end));
            let known = state.governor.planner.get(pair).map(|known| (known.id, known.limit));
            let (id, limit) =
                known.unwrap_or_else(|| (state.numbers.warmup(), state.numbers.limit()));
            let (subject, operator) = pair;
            state.governor.planner.put(Warmup { id, subject, operator, limit, course });
            thoughts.touched.push(pair);
            ids.push(id);
        }
        state.unwritten.learnt.lines.extend(line);
        self.carry_out(&mut state, thoughts).await?;
        Ok(ids)
    }

    pub async fn steer(
        &self,
        id: WarmupId,
        steer: Steer,
        line: Option<AuditLine>,
    ) -> Result<(), ControllerError> {
        let mut state = self.0.state.lock().await;
        let found = state.governor.planner.all().find(|one| one.id == id);
        let found = found.map(|one| ((one.subject, one.operator), one.limit));
        let (pair, limit) = found.ok_or(ControllerError::NoWarmup(id))?;
        let mut thoughts = Thoughts::default();
        if matches!(steer, Steer::Resume | Steer::Restart | Steer::Stop) {
            thoughts = state.governor.let_go(limit);
        }
        if let Some(warmup) = state.governor.planner.get_mut(pair) {
            let course = &mut warmup.course;
            match steer {
                Steer::Pause => course.pause(),
                Steer::Resume => course.resume(),
                Steer::Skip(stages) => course.skip(stages),
                Steer::Restart => course.restart(),
                Steer::Stop => course.stop(),
            }
        }
        thoughts.touched.push(pair);
        state.unwritten.learnt.lines.extend(line);
        Ok(self.carry_out(&mut state, thoughts).await?)
    }

    pub async fn undo(
        &self,
        id: DecisionId,
        line: Option<AuditLine>,
    ) -> Result<(), ControllerError> {
        let mut state = self.0.state.lock().await;
        let thoughts = state.governor.undo(id, self.0.clock.now())?;
        state.unwritten.learnt.lines.extend(line);
        Ok(self.carry_out(&mut state, thoughts).await?)
    }

    pub async fn pin(
        &self,
        id: DecisionId,
        pinned: bool,
        line: Option<AuditLine>,
    ) -> Result<(), ControllerError> {
        let mut state = self.0.state.lock().await;
        let thoughts = state.governor.pin(id, pinned, self.0.clock.now())?;
        state.unwritten.learnt.lines.extend(line);
        Ok(self.carry_out(&mut state, thoughts).await?)
    }

    /// Removes a source with its warm-ups, its limits and what was decided of it; `store` may be
    /// one that tells the audit log. False when there was none.
    pub async fn remove_source(&self, id: SourceId, store: &Store) -> Result<bool, StoreError> {
        let mut state = self.0.state.lock().await;
        let removed = store.change_sources(SourceChange::Remove(id)).await?;
        self.0.book.lock().forget(id);
        let limits = state.governor.forget(id);
        state.unwritten.forget(id, &limits);
        for limit in self.0.limits.all() {
            if limit.scope.from == FromScope::Source(id) || limits.contains(&limit.id) {
                self.0.limits.remove(limit.id);
            }
        }
        self.publish(&state.governor, self.0.clock.now());
        Ok(removed > 0)
    }
}
