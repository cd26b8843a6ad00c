//! Health windows: what was answered and what came back, by the hour, and what follows from it.
//!
//! Owns:       the counts between answers and the ledger, the task that judges them.
//! Promises:   to count an answer is a few additions under one lock; what came back counts once; a
//!             campaign or a sending domain that is surely complained of stops, at one operator or
//!             in all, and somebody is told; after a kill the answers of the last second are not
//!             counted.
//! Knows not:  how rates are judged (`rule`), who reads the windows.

pub mod rule; // when a rate is too high
mod small_hosts; // each of the tail for itself

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;

use super::Shared;
use super::adaptive::{Place, Stop};
use super::meaning::classified_in;
use crate::model::*;
use crate::queue::outcome_log::Record;
use crate::store::{
    CameBack, CampaignChange, ClaimedDelivery, HealthChange, HealthHour, HealthNews,
    HealthStanding, HealthSum, Store, StoreError,
};
use rule::{Judged, Thresholds};
use small_hosts::SmallHosts;

/// In wall time: what was counted is written, and what came back is read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks from one judgement to the next.
const JUDGE_EVERY: u32 = 4;
/// And to one that also looks at standings nobody sends for any more.
const REVIEW_EVERY: u32 = 60;
const FORGET_EVERY: u32 = 3600;
const DAY: Duration = Duration::from_secs(86_400);
pub const WEEK: Duration = Duration::from_secs(7 * 86_400);
const HOURS_KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Sums between two looks; what is beyond them is not counted, which is told.
const SUMS_MAX: usize = 100_000;
/// Subjects of one question.
const SUBJECTS_MAX: usize = 500;

type Key = (WindowSubject, OperatorId, Timestamp);
type StandingKey = (WindowSubject, Option<OperatorId>, WindowRate);

#[derive(Default)]
struct Sums {
    all: HashMap<Key, (OrganizationId, WindowCounts)>,
    lost: u64,
}

struct State {
    heard: EventId,
    standings: HashMap<StandingKey, HealthStanding>,
    touched: BTreeSet<WindowSubject>,
    looks: u32,
}

pub struct Windows {
    thresholds: Thresholds,
    sums: Mutex<Sums>,
    small: Mutex<SmallHosts>,
    state: tokio::sync::Mutex<State>,
}

/// Whose windows a mail counts for.
#[derive(Clone, Copy, Debug)]
struct Whose {
    source: Option<SourceId>,
    organization: OrganizationId,
    domain: Option<DomainId>,
    campaign: Option<CampaignId>,
    credential: Option<CredentialId>,
}

impl Whose {
    fn subjects(&self) -> impl Iterator<Item = WindowSubject> {
        let of = |kind| move |id| WindowSubject::new(kind, id);
        let all = [
            self.source.map(|id| of(WindowKind::Source)(id.0)),
            Some(of(WindowKind::Organization)(self.organization.0)),
            self.domain.map(|id| of(WindowKind::Domain)(id.0)),
            self.campaign.map(|id| of(WindowKind::Campaign)(id.0)),
            self.credential.map(|id| of(WindowKind::Credential)(id.0)),
        ];
        all.into_iter().flatten()
    }
}

fn hour_of(at: Timestamp) -> Timestamp {
    Timestamp::from_seconds(at.seconds().div_euclid(3600) * 3600)
}

/// What one answer counts for; None where no host said it.
fn counts_of(record: &Record) -> Option<WindowCounts> {
    let reply = record.outcome.reply()?;
    let told = classified_in(&record.fields);
    let mut counts = WindowCounts { answered: 1, ..WindowCounts::default() };
    match &record.outcome {
        Outcome::Delivered { .. } => (counts.taken, counts.ended) = (1, 1),
        Outcome::Failed { .. } => {
            counts.ended = 1;
            let is_lost = reply.is_permanent() && told.as_ref().is_some_and(|told| told.hard);
            counts.bounced = u64::from(is_lost);
        }
        _ => counts.deferred = 1,
    }
    let is_blocked = told.is_some_and(|told| told.signal == Signal::Reputation);
    counts.blocked = u64::from(is_blocked && counts.taken == 0);
    Some(counts)
}

impl Windows {
    pub async fn open(store: &Store, thresholds: Thresholds) -> Result<Windows, StoreError> {
        let key = |one: &HealthStanding| (one.subject, one.operator, one.rate);
        let rows = store.health_standings().await?.into_iter();
        let standings = rows.map(|one| (key(&one), one)).collect();
        let heard = store.health_heard().await?;
        let state = State { heard, standings, touched: BTreeSet::new(), looks: 0 };
        let (sums, small) = (Mutex::default(), Mutex::default());
        let state = tokio::sync::Mutex::new(state);
        Ok(Windows { thresholds, sums, small, state })
    }

    /// Counts an answer.
    pub fn note(
        &self,
        source: SourceId,
        (operator, site): (OperatorId, SiteId),
        delivery: &ClaimedDelivery,
        record: &Record,
    ) {
        let Some(counts) = counts_of(record) else { return };
        let message = &delivery.message;
        let whose = Whose {
            source: Some(source),
            organization: message.organization,
            domain: message.domain,
            campaign: delivery.campaign,
            credential: message.credential,
        };
        if operator == OperatorId::TAIL {
            self.note_small(&whose, site, &counts, record.at);
        }
        let hour = hour_of(record.at);
        let mut sums = self.sums.lock();
        if sums.all.len() >= SUMS_MAX {
            sums.lost += 1;
            return;
        }
        for subject in whose.subjects() {
            let empty = (owner(subject, whose.organization), WindowCounts::default());
            sums.all.entry((subject, operator, hour)).or_insert(empty).1.add(&counts);
        }
    }

    fn note_small(&self, whose: &Whose, site: SiteId, counts: &WindowCounts, at: Timestamp) {
        let mut small = self.small.lock();
        for subject in whose.subjects() {
            small.add(subject, (whose.organization, site), counts, at);
        }
    }

    /// Writes what was counted. What the ledger does not take is kept for the next time.
    ///
    /// # Errors
    /// The ledger did not take it.
    pub async fn flush(&self, store: &Store) -> Result<BTreeSet<WindowSubject>, StoreError> {
        let Sums { all, lost } = std::mem::take(&mut *self.sums.lock());
        if lost > 0 {
            tracing::warn!(lost, "answers that health windows do not count: too many subjects");
        }
        if all.is_empty() {
            return Ok(BTreeSet::new());
        }
        let touched = all.keys().map(|(subject, ..)| *subject).collect();
        let hours = all.iter().map(|(key, sum)| hour_row(*key, *sum)).collect();
        if let Err(error) = store.change_health(HealthChange::Add(hours)).await {
            let mut sums = self.sums.lock();
            for (key, (organization, counts)) in all {
                let empty = (organization, WindowCounts::default());
                sums.all.entry(key).or_insert(empty).1.add(&counts);
            }
            return Err(error);
        }
        Ok(touched)
    }
}

/// Sources belong to the installation.
fn owner(subject: WindowSubject, organization: OrganizationId) -> OrganizationId {
    match subject.kind {
        WindowKind::Source => OrganizationId::NOBODY,
        _ => organization,
    }
}

fn hour_row(
    (subject, operator, hour): Key,
    (organization, counts): (OrganizationId, WindowCounts),
) -> HealthHour {
    HealthHour { subject, operator, hour, organization, counts }
}

impl Shared {
    async fn look_at_windows(&self) -> Result<(), StoreError> {
        let store = self.queue.store();
        let mut state = self.windows.state.lock().await;
        state.looks = state.looks.wrapping_add(1);
        let touched = self.windows.flush(store).await?;
        state.touched.extend(touched);
        self.hear_what_came_back(&mut state).await?;
        if state.looks.is_multiple_of(REVIEW_EVERY) {
            let standing: Vec<WindowSubject> =
                state.standings.keys().map(|(subject, ..)| *subject).collect();
            state.touched.extend(standing);
        }
        if state.looks.is_multiple_of(JUDGE_EVERY) && !state.touched.is_empty() {
            self.judge_windows(&mut state).await?;
        }
        if state.looks % FORGET_EVERY == 1 {
            let before = self.clock.now() - HOURS_KEPT;
            store.change_health(HealthChange::Forget { before }).await?;
        }
        Ok(())
    }

    /// Bounces and complaints count for the hour in which their mail was taken.
    async fn hear_what_came_back(&self, state: &mut State) -> Result<(), StoreError> {
        let store = self.queue.store();
        let all = store.came_back_after(state.heard).await?;
        let Some(last) = all.last() else { return Ok(()) };
        let (from, upto) = (state.heard, last.event);
        let mut sums: BTreeMap<Key, (OrganizationId, WindowCounts)> = BTreeMap::new();
        for one in &all {
            let counts = WindowCounts {
                complained: u64::from(one.is_complaint),
                bounced: u64::from(!one.is_complaint && one.is_hard),
                ..WindowCounts::default()
            };
            if counts == WindowCounts::default() {
                continue;
            }
            let whose = self.whose(one);
            if one.operator == OperatorId::TAIL {
                self.windows.note_small(&whose, one.site, &counts, self.clock.now());
            }
            for subject in whose.subjects() {
                let empty = (owner(subject, one.organization), WindowCounts::default());
                let key = (subject, one.operator, hour_of(one.taken_at));
                sums.entry(key).or_insert(empty).1.add(&counts);
            }
        }
        state.touched.extend(sums.keys().map(|(subject, ..)| *subject));
        let hours = sums.into_iter().map(|(key, sum)| hour_row(key, sum)).collect();
        let is_first = store.change_health(HealthChange::Heard { from, upto, hours }).await? > 0;
        // Another node may have heard it already.
        state.heard = if is_first { upto } else { store.health_heard().await? };
        Ok(())
    }

    fn whose(&self, one: &CameBack) -> Whose {
        let source = one.source.as_deref();
        Whose {
            source: source.and_then(|name| self.sources.by_name_or_system(name)),
            organization: one.organization,
            domain: one.domain,
            campaign: one.campaign,
            credential: one.credential,
        }
    }

    async fn judge_windows(&self, state: &mut State) -> Result<(), StoreError> {
        let (store, now) = (self.queue.store(), self.clock.now());
        let since = (hour_of(now - DAY), hour_of(now - WEEK));
        let mut sums = Vec::new();
        for kind in WindowKind::ALL.iter().copied() {
            let own = state.touched.iter().filter(|subject| subject.kind == kind);
            let ids: Vec<i64> = own.map(|subject| subject.id).collect();
            for some in ids.chunks(SUBJECTS_MAX) {
                sums.extend(store.health_of(kind, some, since).await?);
            }
        }
        let mut news = self.news_of(state, &sums, now).await?;
        let bad = self.windows.small.lock().bad(&self.windows.thresholds, now);
        for (judged, site) in bad {
            self.stop_for_health(&judged, Some(Place::Site(site)), now).await?;
            news.told.push((judged.organization, self.tell(&judged, Some(site)).await?));
        }
        if !news.is_empty() {
            let change = HealthChange::News { news: Box::new(news.clone()), at: now };
            store.change_health(change).await?;
        }
        for one in &news.good_again {
            state.standings.remove(&(one.subject, one.operator, one.rate));
        }
        for (one, _) in news.worse {
            state.standings.insert((one.subject, one.operator, one.rate), one);
        }
        state.touched.clear();
        Ok(())
    }

    /// What stops is in force before it is written: after a kill between the two it is done again.
    async fn news_of(
        &self,
        state: &State,
        sums: &[HealthSum],
        now: Timestamp,
    ) -> Result<HealthNews, StoreError> {
        let mut news = HealthNews { good_again: emptied(state, sums), ..HealthNews::default() };
        for judged in rule::judge(sums, &self.windows.thresholds) {
            let before = state.standings.get(&(judged.subject, judged.operator, judged.rate));
            let known = before.map(|one| (one.standing, one.since));
            let turned = rule::turn(known, &judged, &self.windows.thresholds, now);
            match (turned, before) {
                (None, _) => {}
                (Some(WindowStanding::Good), before) => news.good_again.extend(before.cloned()),
                (Some(standing), _) => {
                    if standing == WindowStanding::Stop {
                        let place = judged.operator.map(Place::Operator);
                        self.stop_for_health(&judged, place, now).await?;
                    }
                    let fields = self.tell(&judged, None).await?;
                    let row = HealthStanding {
                        subject: judged.subject,
                        operator: judged.operator,
                        rate: judged.rate,
                        organization: judged.organization,
                        standing,
                        since: now,
                    };
                    news.worse.push((row, fields));
                }
            }
        }
        Ok(news)
    }

    /// The fields of the event, and a line in the log. `site`: which small host it is.
    async fn tell(
        &self,
        judged: &Judged,
        site: Option<SiteId>,
    ) -> Result<serde_json::Value, StoreError> {
        let subject = judged.subject;
        let who = match subject.kind {
            WindowKind::Source => format!("source {}", self.sources.name_of(SourceId(subject.id))),
            kind => format!("{kind} {}", subject.id),
        };
        let operators = match judged.operator {
            Some(_) => self.queue.store().operators().await?,
            None => Vec::new(),
        };
        let named = operators.into_iter().find(|row| Some(row.id) == judged.operator);
        let operator = named.map(|row| row.name);
        let place = site.map(|site| format!("site {site}")).or(operator.clone());
        let mut text = rule::sentence(judged, &who, place.as_deref());
        if judged.standing == WindowStanding::Stop {
            text.push_str(consequence(judged));
        }
        tracing::error!(alarm = text, "a health window is not good; see postroad health");
        let Share { count, of, rate, low, high } = judged.share;
        Ok(json!({
            "text": text, "kind": subject.kind, "id": subject.id, "operator": operator,
            "site": site,
            "rate": judged.rate, "standing": judged.standing,
            "count": count, "of": of, "share": rate, "low": low, "high": high,
        }))
    }

    async fn stop_for_health(
        &self,
        judged: &Judged,
        place: Option<Place>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let who = match (judged.subject.campaign(), judged.subject.domain()) {
            (Some(campaign), _) => WhoScope::Campaign(campaign),
            (_, Some(domain)) => WhoScope::SendingDomain(domain),
            _ => return Ok(()),
        };
        let cause = rule::sentence(judged, &judged.subject.kind.to_string(), None);
        match (place, who) {
            (Some(place), who) => {
                let until = now + rule::STOPPED_FOR;
                let stop = Stop { who, place, until, cause, samples: Vec::new() };
                self.controller.stop_for_health(stop).await
            }
            (None, WhoScope::Campaign(id)) => {
                let (from, to) = (CampaignState::Sending, CampaignState::Paused);
                let change = CampaignChange::Step { id, from, to, trouble: Some(cause), at: now };
                self.queue.store().change_campaign(change).await?;
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }
}

/// Standings of touched subjects whose windows hold nothing any more.
fn emptied(state: &State, sums: &[HealthSum]) -> Vec<HealthStanding> {
    let has_window = |one: &&HealthStanding| {
        sums.iter().any(|sum| {
            let is_same = sum.subject == one.subject;
            is_same && (one.operator.is_none() || sum.operator == one.operator)
        })
    };
    let own = state.standings.values().filter(|one| state.touched.contains(&one.subject));
    own.filter(|one| !has_window(one)).cloned().collect()
}

/// What follows, in words.
const fn consequence(judged: &Judged) -> &'static str {
    match (judged.subject.kind, judged.operator.is_some()) {
        (WindowKind::Campaign, true) => "; it stops there for a day",
        (WindowKind::Campaign, false) => "; it is paused",
        (WindowKind::Domain, true) => "; its marketing mail stops there for a day",
        _ => "",
    }
}

/// Until the end of the daemon.
pub async fn run(shared: Arc<Shared>) {
    // What lasts is told once.
    let mut is_failing = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match shared.look_at_windows().await {
            Ok(()) => is_failing = false,
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(%error, "health windows wait for the ledger");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Answer, Classifier};

    fn record(text: &str, outcome: impl Fn(Reply) -> Outcome) -> Record {
        let rules = Classifier::shipped().expect("the shipped rules load");
        let told = rules.classify(None, &Answer::read(text));
        Record {
            delivery: DeliveryId(1),
            tries: 0,
            outcome: outcome(Reply::read(text).expect("a reply")),
            fields: serde_json::to_value(told.as_ref()).expect("JSON"),
            pin: None,
            at: Timestamp(0),
        }
    }

    fn failed(reply: Reply) -> Outcome {
        let reason = String::new();
        Outcome::Failed { reply: Some(reply), blame: Blame::Recipient, reason }
    }

    fn deferred(reply: Reply) -> Outcome {
        let reason = String::new();
        Outcome::Deferred { reply: Some(reply), blame: Blame::Host, reason }
    }

    #[test]
    fn an_answer_counts_as_what_it_says() {
        let told = |record: Record| {
            let counts = counts_of(&record).expect("an answer");
            (counts.taken, counts.ended, counts.bounced, counts.deferred, counts.blocked)
        };
        let taken = |reply| Outcome::Delivered { reply };
        assert_eq!(told(record("250 2.0.0 OK", taken)), (1, 1, 0, 0, 0));
        assert_eq!(told(record("550 5.1.1 User unknown", failed)), (0, 1, 1, 0, 0));
        assert_eq!(told(record("550 5.7.1 rejected by policy", failed)), (0, 1, 0, 0, 0));
        assert_eq!(told(record("451 4.3.0 try again later", deferred)), (0, 0, 0, 1, 0));
        let listed = "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using \
                      zen.spamhaus.org";
        assert_eq!(told(record(listed, failed)), (0, 1, 0, 0, 1));
        let silent = |_| Outcome::AnswerNotSeen { reason: String::new() };
        assert!(counts_of(&record("250 2.0.0 OK", silent)).is_none(), "no host said anything");
    }
}
