//! What a batch of jobs writes, decided before anything is written.
//!
//! Owns:       how jobs become rows: states and their events, what is still owed, the counters.
//! Promises:   pure: the same jobs on the same standings give the same rows. A state and the event
//!             that tells of it are in one plan, and so in one transaction.
//! Knows not:  connections, time.

use std::collections::BTreeMap;

use serde_json::json;

use crate::model::*;

use super::database::Value;
use super::dialect::{Dialect, Rows};
use super::jobs::{Enqueue, Settle, SettleGroup, Settled, SteerAction};
use super::ledger;
use super::rows::MessageRow;
use super::search::HOUR_MICROSECONDS;
use super::standings::{Change, Standing, Standings};

/// In whose name the writer writes.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    pub node: i64,
    /// How often this node has been started; a lease of an older epoch is nobody's.
    pub epoch: i64,
    /// Until when a lease taken now lasts.
    pub lease_until: Timestamp,
}

#[derive(Debug, Default)]
struct SegmentDifference {
    bytes: i64,
    bodies: i64,
    message_first: i64,
    message_last: i64,
}

/// The rows of one transaction.
#[derive(Debug)]
pub struct Plan {
    own: Own,
    dialect: Dialect,
    standings: Standings,
    messages: Rows,
    deliveries: Rows,
    events: Rows,
    fed: Rows,
    event_next: i64,
    accepted: i64,
    segments: BTreeMap<(i64, i64), SegmentDifference>,
}

impl Plan {
    /// `event_next`: the first of as many ids as the jobs can have events.
    pub fn new(dialect: Dialect, own: Own, standings: Standings, event_next: i64) -> Plan {
        Plan {
            own,
            dialect,
            standings,
            messages: Rows::new(dialect, ledger::MESSAGE_COLUMNS),
            deliveries: Rows::new(dialect, ledger::DELIVERY_COLUMNS),
            events: Rows::new(dialect, ledger::EVENT_COLUMNS),
            fed: Rows::new(dialect, ledger::FED_COLUMNS),
            event_next,
            accepted: 0,
            segments: BTreeMap::new(),
        }
    }

    pub fn accept(&mut self, job: &Enqueue) {
        let message = &job.message;
        self.put_message(job);
        for delivery in &job.deliveries {
            self.put_delivery(message, delivery, job.slice);
        }
        if let Some(slice) = job.slice {
            self.fed.int(slice.campaign.0).int(slice.slice).int(message.id.0);
            self.fed.int(slice.variant).unsigned(slice.count);
        }
        let subject =
            Subject { organization: message.organization, message: message.id, delivery: None };
        for (kind, fields) in job.told() {
            self.record(kind, message.accepted_at, &subject, &fields);
        }
        self.accepted += count(job.deliveries.len());
        let length = i64::try_from(message.body.length).unwrap_or(i64::MAX);
        self.count_body((message.body_node, message.body.segment.0), message.id, length, 1);
    }

    /// The group's settlements, and its report if at least one of them was news: a report whose
    /// cause the ledger knew already has been sent before.
    pub fn settle(&mut self, group: &SettleGroup) -> Vec<Settled> {
        let settled: Vec<Settled> =
            group.settlements.iter().map(|settle| self.settle_one(settle)).collect();
        let is_news = settled.iter().any(|settled| matches!(settled, Settled::Moved(_)));
        if let (Some(report), true) = (&group.report, is_news) {
            self.accept(report);
        }
        settled
    }

    fn settle_one(&mut self, settle: &Settle) -> Settled {
        let own = (self.own.node, self.own.epoch);
        let Some(standing) = self.standings.deliveries.get_mut(&settle.delivery) else {
            return Settled::Stale;
        };
        if standing.tries != settle.tries {
            return Settled::Stale;
        }
        let step = step_that_holds(standing.state, standing.lease == Some(own), settle.step);
        let Some(state) = step.and_then(|(from, step)| next(from, step)) else {
            return Settled::Stale;
        };
        let state_before = standing.state;
        standing.state = state;
        standing.lease = None;
        standing.tries += u32::from(settle.counted);
        let change = standing.change.get_or_insert_default();
        change.site = settle.site.or(change.site);
        change.due = (state == State::Waiting).then_some(settle.due);
        // What was given back untried keeps what the host answered last.
        change.text = (settle.step != Step::LoseLease).then(|| settle.text.clone());
        change.blame = settle.blame;
        change.answer_not_seen |= settle.answer_not_seen;
        change.delay_reported |= settle.delay_reported;
        change.pin = settle.pin.clone().or(change.pin.take());
        change.delivered_at = (state == State::Delivered).then_some(settle.at);
        let subject = Subject::of(standing, settle.delivery);
        if let Some(kind) = event_of(settle.step) {
            self.record(kind, settle.at, &subject, &settle.fields);
        }
        self.finish(state_before, state, subject.message);
        Settled::Moved(state)
    }

    /// Returns whether the delivery was in a state that the action changes.
    pub fn steer(
        &mut self,
        delivery: DeliveryId,
        action: SteerAction,
        reason: &str,
        (at, due): (Timestamp, Timestamp),
    ) -> bool {
        let Some(standing) = self.standings.deliveries.get_mut(&delivery) else {
            return false;
        };
        let step = match action {
            SteerAction::Hold => Step::Hold,
            SteerAction::Release => Step::Release,
            SteerAction::Cancel => Step::Cancel,
            SteerAction::Retry => {
                let is_waiting = standing.state == State::Waiting;
                if is_waiting {
                    standing.change.get_or_insert_default().due = Some(due);
                }
                return is_waiting;
            }
            SteerAction::Reroute(_) => return false, // No step: `Store::steer` writes it.
        };
        let Some(state) = next(standing.state, step) else {
            return false;
        };
        let state_before = standing.state;
        standing.state = state;
        let change = standing.change.get_or_insert_default();
        if step == Step::Release {
            change.due = Some(due);
        } else {
            change.text = Some(reason.to_owned());
        }
        let subject = Subject::of(standing, delivery);
        if let Some(kind) = event_of(step) {
            self.record(kind, at, &subject, &json!({ "reason": reason }));
        }
        self.finish(state_before, state, subject.message);
        true
    }

    /// The parameters of `ledger::BATCH`, and how many rows each brings.
    pub fn parameters(self) -> [(String, usize); ledger::BATCH_STATEMENTS] {
        let dialect = self.dialect;
        let mut moves = Rows::new(dialect, ledger::MOVE_COLUMNS);
        for (id, standing) in &self.standings.deliveries {
            if let Some(change) = &standing.change {
                put_move(&mut moves, *id, standing, change);
            }
        }
        let mut owed = Rows::new(dialect, ledger::OWED_COLUMNS);
        for (id, owing) in &self.standings.messages {
            if owing.is_changed && owing.is_shared {
                owed.int(id.0).int(owing.owed);
            }
        }
        let mut segments = Rows::new(dialect, ledger::SEGMENT_COLUMNS);
        for ((node, id), difference) in &self.segments {
            segments.int(*node).int(*id).int(difference.bytes).int(difference.bodies);
            segments.int(difference.message_first).int(difference.message_last);
        }
        let mut totals = Rows::new(dialect, ledger::TOTAL_COLUMNS);
        if self.accepted > 0 {
            totals.text("accepted").int(self.own.node).int(self.accepted);
        }
        let all =
            [self.messages, self.deliveries, moves, owed, self.events, segments, totals, self.fed];
        all.map(|rows| {
            let count = rows.count();
            (rows.finish(), count)
        })
    }

    fn put_message(&mut self, job: &Enqueue) {
        let message = &job.message;
        let ids = || job.deliveries.iter().map(|delivery| delivery.id.0);
        self.messages
            .int(message.id.0)
            .int(message.organization.0)
            .int(message.stream.0)
            .maybe_int(message.credential.map(|id| id.0))
            .maybe_int(message.domain.map(|id| id.0))
            .text(&message.sender.to_string())
            .flag(message.eight_bit)
            .flag(message.smtputf8)
            .maybe_text(message.dsn_return.map(DsnReturn::word))
            .maybe_text(message.dsn_envelope_id.as_deref())
            .text(&message.message_id_header)
            .text(&message.subject)
            .maybe_text(message.tag.as_deref())
            .maybe_text(message.metadata.as_deref())
            .maybe_text(message.idempotency_key.as_deref())
            .int(message.body.segment.0)
            .unsigned(message.body.offset)
            .unsigned(message.body.length)
            .int(message.body_node)
            .int(message.accepted_at.0)
            .int(message.due_at.0)
            .int(message.expires_at.0)
            .int(message.rank)
            .maybe_text(message.tracking.map(Tracking::word))
            .int(ids().min().unwrap_or(0))
            .int(ids().max().unwrap_or(0))
            .int(count(job.deliveries.len()))
            .int(hour_of(message));
    }

    fn put_delivery(
        &mut self,
        message: &MessageRow,
        delivery: &super::jobs::NewDelivery,
        slice: Option<super::jobs::SliceRef>,
    ) {
        // On SQLite a claim lives in memory alone: the lock on the directory is the lease.
        let is_leased = delivery.claimed && self.dialect == Dialect::Postgres;
        let (state, text) = delivery.begins(is_leased);
        let site = if delivery.claimed { SiteId::UNROUTED } else { delivery.site };
        let lease = is_leased.then_some(self.own);
        let address = &delivery.recipient.address;
        self.deliveries
            .int(delivery.id.0)
            .int(message.id.0)
            .int(message.organization.0)
            .int(message.stream.0)
            .maybe_int(message.domain.map(|id| id.0))
            .int(message.rank)
            .int(site.0)
            .text(state.word())
            .int(message.due_at.0)
            .int(message.expires_at.0)
            .int(message.body_node)
            .text(&address.to_string())
            .text(address.domain().as_str())
            .int(delivery.recipient.notify.bits())
            .maybe_text(delivery.recipient.original.as_deref())
            .text(text)
            .maybe_int(lease.map(|own| own.node))
            .maybe_int(lease.map(|own| own.epoch))
            .maybe_int(lease.map(|own| own.lease_until.0))
            .int(hour_of(message))
            .maybe_int(slice.map(|slice| slice.campaign.0))
            .maybe_int(delivery.contact.map(|id| id.0))
            .int(delivery.score);
    }

    fn record(
        &mut self,
        kind: EventKind,
        at: Timestamp,
        subject: &Subject,
        fields: &serde_json::Value,
    ) {
        self.events
            .int(self.event_next)
            .int(at.0)
            .text(kind.word())
            .int(subject.organization.0)
            .int(subject.message.0)
            .maybe_int(subject.delivery.map(|id| id.0))
            .json(fields);
        self.event_next += 1;
    }

    /// A delivery that became final is owed no more; the message's last one frees its body.
    fn finish(&mut self, before: State, after: State, message: MessageId) {
        if before.is_final() || !after.is_final() {
            return;
        }
        let Some(owing) = self.standings.messages.get_mut(&message) else {
            return;
        };
        owing.owed -= 1;
        owing.is_changed = true;
        if owing.owed == 0 {
            let (segment, length) = (owing.segment, owing.length);
            self.count_body(segment, message, -length, -1);
        }
    }

    fn count_body(&mut self, segment: (i64, i64), message: MessageId, bytes: i64, bodies: i64) {
        if segment.1 == BodyRef::RECIPE.segment.0 {
            return;
        }
        let difference = self.segments.entry(segment).or_insert(SegmentDifference {
            message_first: message.0,
            message_last: message.0,
            ..SegmentDifference::default()
        });
        difference.bytes += bytes;
        difference.bodies += bodies;
        difference.message_first = difference.message_first.min(message.0);
        difference.message_last = difference.message_last.max(message.0);
    }
}

struct Subject {
    organization: OrganizationId,
    message: MessageId,
    delivery: Option<DeliveryId>,
}

impl Subject {
    fn of(standing: &Standing, delivery: DeliveryId) -> Subject {
        Subject {
            organization: standing.organization,
            message: standing.message,
            delivery: Some(delivery),
        }
    }
}

fn hour_of(message: &MessageRow) -> i64 {
    message.accepted_at.0.div_euclid(HOUR_MICROSECONDS)
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn put_move(moves: &mut Rows, id: DeliveryId, standing: &Standing, change: &Change) {
    moves
        .int(id.0)
        .text(standing.state_before.word())
        .int(i64::from(standing.tries_before))
        .text(standing.state.word())
        .int(i64::from(standing.tries))
        .maybe_int(change.site.map(|site| site.0))
        .maybe_int(change.due.map(|due| due.0))
        .maybe_text(change.text.as_deref())
        .maybe_text(change.blame.map(Blame::word))
        .flag(change.answer_not_seen)
        .flag(change.delay_reported)
        .maybe_text(change.pin.as_deref())
        .maybe_int(change.delivered_at.map(|at| at.0));
}

/// The state and step that `next` is asked for, in the light of where claims live.
///
/// On one node they live in memory and the row says `waiting` all the time; so a person may have
/// cancelled or held what was under way, and a `250` for it counts. On PostgreSQL another node may
/// hold the lease by now: its `250` counts all the same, anything else it may not say.
fn step_that_holds(state: State, lease_is_ours: bool, step: Step) -> Option<(State, Step)> {
    let is_attempt = matches!(step, Step::Deliver | Step::Fail | Step::Defer | Step::LoseLease);
    Some(match (state, step) {
        (State::Waiting, _) if is_attempt => (State::Leased, step),
        (State::Leased, Step::Fail | Step::Defer | Step::LoseLease) if !lease_is_ours => {
            return None;
        }
        // The claim is given back in the same breath.
        (State::Leased, Step::Expire | Step::Hold) if lease_is_ours => (State::Waiting, step),
        (State::Cancelled | State::Expired | State::Held, Step::Deliver) => {
            (state, Step::DeliverLate)
        }
        _ => (state, step),
    })
}

/// None for steps that change nothing a person would ask about.
fn event_of(step: Step) -> Option<EventKind> {
    Some(match step {
        Step::Hold => EventKind::Held,
        Step::Release => EventKind::Released,
        Step::Cancel => EventKind::Cancelled,
        Step::Suppress => EventKind::Suppressed,
        Step::Expire => EventKind::Expired,
        Step::Deliver | Step::DeliverLate => EventKind::Delivered,
        Step::Fail => EventKind::Failed,
        Step::Defer => EventKind::Deferred,
        Step::Claim | Step::LoseLease => return None,
    })
}

/// As values to bind.
pub fn values(parameters: [(String, usize); ledger::BATCH_STATEMENTS]) -> Vec<Value> {
    parameters.into_iter().map(|(json, _)| Value::Text(json)).collect()
}
