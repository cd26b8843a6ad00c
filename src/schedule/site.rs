//! One site: what of its mail is in memory, and who is working on it.
//!
//! Owns:       the ready mail of a site, the set of deliveries this node holds of it, its block,
//!             and what of its mail limits have parked.
//! Promises:   a delivery is in memory once at most; a delivery that left is not loaded again by a
//!             read that began before it left.
//! Knows not:  the store, connections, routes.

mod host; // what its host did

use std::collections::{BTreeMap, HashSet};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::outlook::{Block, Wanted};
use super::park::{Line, Park, Parks};
use super::ready::{Ready, line_of};
use crate::model::limits::READY_PER_SITE_MAX;
use crate::model::*;
use crate::queue::Claimed;

pub struct Site {
    pub id: SiteId,
    /// Deliveries that may be ready ahead of their turn.
    ready_max: usize,
    state: Mutex<Held>,
    /// Wakes lanes that keep an open connection and wait for mail.
    pub work: Notify,
    /// Wakes a lane that waits for a connection: there is transactional mail.
    pub urgent: Notify,
}

#[derive(Default)]
struct Held {
    /// Dropped from the registry: whoever still has a handle must fetch the new one.
    gone: bool,
    ready: Ready,
    /// Reserved, ready, under way or being settled.
    taken: HashSet<DeliveryId>,
    /// What left `taken` while a load was reading rows.
    left: HashSet<DeliveryId>,
    loading: bool,
    /// A person changed rows while a load was reading them.
    load_is_stale: bool,
    /// When the earliest waiting mail that is not in memory is due; None when there is none.
    backlog: Option<Timestamp>,
    /// Flows of which more is due in the ledger than is in memory; meaningless before `is_known`.
    behind: HashSet<Flow>,
    /// A load has told what is in the ledger.
    is_known: bool,
    /// What limits have parked.
    parks: Parks,
    /// No further connection before this moment; true: or before a release.
    opening: Option<(Timestamp, bool)>,
    lanes: usize,
    open: usize,
    /// Open connections by source.
    sources: BTreeMap<SourceId, usize>,
    idle: usize,
    /// Of those that idle, who may not take all that is ready.
    choosy: usize,
    /// What the host would bear when it last refused another connection, and until when.
    lanes_cap: Option<(usize, Timestamp)>,
    block: Option<Block>,
    /// Failures to connect since the last success.
    failures: u32,
    /// The last transaction was answered by the host.
    answers: bool,
}

impl Site {
    pub fn new(id: SiteId) -> Site {
        // Mail that waits for DNS is many domains at once.
        let unrouted = id == SiteId::UNROUTED;
        let ready_max = if unrouted { UNROUTED_MAX } else { READY_PER_SITE_MAX };
        Site { id, ready_max, state: Mutex::default(), work: Notify::new(), urgent: Notify::new() }
    }

    /// Notes fresh deliveries of a line as held here, if nothing older of it waits and there is
    /// room. With leases in the ledger a read under way frees what it does not know of, so nothing
    /// joins it then. None when the handle is stale.
    pub fn reserve(
        &self,
        deliveries: &[DeliveryId],
        line: &Line,
        leased: bool,
        now: Timestamp,
    ) -> Option<bool> {
        let mut held = self.state.lock();
        if held.gone {
            return None;
        }
        let is_due = held.backlog.is_some_and(|due| due <= now);
        let older = (held.loading && (leased || !held.is_known))
            || (is_due && !held.is_known)
            || held.behind.contains(&line.flow);
        let blocked = held.block.as_ref().is_some_and(|block| block.until > now);
        let stopped = blocked || held.is_stopped() || held.parks.cover(line);
        let room = held.ready.len_of_rank(line.flow.rank) + deliveries.len() <= self.ready_max;
        let fits = room && !older && !stopped;
        if fits {
            held.taken.extend(deliveries);
        }
        Some(fits)
    }

    /// Notes as held what another site sends while its row stands here. With leases in the ledger
    /// a read under way frees what it does not know of, so nothing joins it then. None when the
    /// handle is stale.
    pub fn hold(&self, deliveries: &[DeliveryId], leased: bool) -> Option<bool> {
        let mut held = self.state.lock();
        if held.gone {
            return None;
        }
        let free = !(leased && held.loading);
        if free {
            held.taken.extend(deliveries);
        }
        Some(free)
    }

    /// What was reserved is here.
    pub fn fill(&self, claimed: Vec<Claimed>) {
        let mut held = self.state.lock();
        for one in claimed {
            held.ready.push(one);
        }
    }

    /// Notes mail as held here that another site brings; `fill` follows. True for each that fits
    /// and is not here already. None when the handle is stale.
    pub fn adopt(&self, claimed: &[Claimed], now: Timestamp) -> Option<Vec<bool>> {
        let mut held = self.state.lock();
        if held.gone {
            return None;
        }
        let blocked = held.block.as_ref().is_some_and(|block| block.until > now);
        let blocked = blocked || held.is_stopped();
        let mut room = self.ready_max.saturating_sub(held.ready.len());
        let mut adopted = Vec::with_capacity(claimed.len());
        for one in claimed {
            let free = !blocked && room > 0 && !held.parks.cover(&line_of(one));
            let fits = free && held.taken.insert(one.delivery.id);
            room -= usize::from(fits);
            adopted.push(fits);
        }
        Some(adopted)
    }

    /// These are held no longer; `due` is when the earliest of them waits again.
    pub fn leave(&self, deliveries: &[DeliveryId], due: Option<Timestamp>) {
        let mut held = self.state.lock();
        for delivery in deliveries {
            held.taken.remove(delivery);
            if held.loading {
                held.left.insert(*delivery);
            }
        }
        held.note_backlog(due);
    }

    /// Mail waits in the ledger from `due` on. False when the handle is stale.
    pub fn note(&self, due: Timestamp) -> bool {
        let mut held = self.state.lock();
        if !held.gone {
            held.note_backlog(Some(due));
        }
        !held.gone
    }

    /// As `note`, of a flow. What is parked is looked for when its park ends.
    pub fn note_flow(&self, due: Timestamp, flow: Flow) -> bool {
        let mut held = self.state.lock();
        if !held.gone && !held.parks.cover_flow(&flow) {
            held.note_backlog(Some(due));
            held.behind.insert(flow);
        }
        !held.gone
    }

    /// A moment has come. A site that was dropped meanwhile does not know what for. False when the
    /// handle is stale.
    pub fn wake(&self, now: Timestamp) -> bool {
        let mut held = self.state.lock();
        if !held.gone && !held.is_known {
            held.note_backlog(Some(now));
        }
        !held.gone
    }

    /// What is to be done for this site now; counts the wanted lanes and the load as begun.
    pub fn look(&self, now: Timestamp, lanes_max: usize) -> Wanted {
        let mut held = self.state.lock();
        if held.gone {
            return Wanted::default();
        }
        if let Some(block) = &held.block {
            if block.until > now {
                return Wanted { look_at: Some(block.until), ..Wanted::default() };
            }
            held.block = None;
        }
        if held.opening.is_some_and(|(until, _)| until <= now) {
            held.opening = None;
        }
        if held.parks.expire(now) {
            held.note_backlog(Some(now));
        }
        let mut wanted = Wanted { look_at: held.next_opening(), ..Wanted::default() };
        if held.is_stopped() {
            return wanted;
        }
        match held.backlog {
            Some(due) if due > now => {
                wanted.look_at = wanted.look_at.into_iter().chain([due]).min()
            }
            Some(_) if !held.loading && held.ready.len() <= self.ready_max / 2 => {
                held.loading = true;
                held.backlog = None;
                wanted.load = true;
            }
            _ => {}
        }
        let free = held.ready.free(&held.parks);
        wanted.wakes = held.idle.min(free);
        if held.choosy > 0 && free > 0 {
            // The one that is woken may be one that must not take it.
            wanted.wakes = held.idle;
        }
        wanted.lanes = held.lanes_wanted(now, lanes_max);
        held.lanes += wanted.lanes;
        wanted.is_urgent = held.lanes > held.open && held.has_urgent();
        wanted
    }

    /// For a load: how many rows fit, which are here already, and what is passed over.
    pub fn to_load(&self) -> (usize, Vec<DeliveryId>, Parks) {
        let held = self.state.lock();
        let room = self.ready_max.saturating_sub(held.ready.len());
        (room, held.taken.iter().copied().collect(), held.parks.clone())
    }

    /// A load has ended with these rows; `leased` when the ledger itself notes them as ours. What
    /// cannot be used, because the ready mail was emptied meanwhile, is returned.
    pub fn loaded(
        &self,
        claimed: Vec<Claimed>,
        backlog: Option<Timestamp>,
        behind: Option<Vec<Flow>>,
        leased: bool,
    ) -> Vec<Claimed> {
        let mut held = self.state.lock();
        held.loading = false;
        held.is_known = behind.is_some();
        held.behind = behind.unwrap_or_default().into_iter().collect();
        let left = std::mem::take(&mut held.left);
        held.note_backlog(backlog);
        if std::mem::take(&mut held.load_is_stale) {
            held.note_backlog(Some(Timestamp(0)));
            return claimed;
        }
        let mut unused = Vec::new();
        for one in claimed {
            let id = one.delivery.id;
            if held.parks.cover_flow(&line_of(&one).flow) {
                // Parked while it was read.
                unused.push(one);
            } else if !leased && left.contains(&id) {
                // The row was read before its outcome was written: read it again.
                held.note_backlog(Some(one.delivery.due_at));
            } else if held.taken.insert(id) {
                held.ready.push(one);
            }
        }
        unused
    }

    /// The next transaction for a lane that has parked some itself; a blocked site has none.
    pub fn next(
        &self,
        order: TakeOrder,
        recipients_max: usize,
        own: &Parks,
        now: Timestamp,
    ) -> Vec<Claimed> {
        let mut held = self.state.lock();
        if held.block.as_ref().is_some_and(|block| block.until > now) {
            return Vec::new();
        }
        let Held { ready, parks, .. } = &mut *held;
        ready.next(order, recipients_max, parks, own)
    }

    /// A limit stops some of the mail. Unless it is kept in memory, what is ready of it is
    /// returned.
    pub fn park(&self, park: Park, keeps: bool) -> Vec<Claimed> {
        let mut held = self.state.lock();
        let drained = if keeps { Vec::new() } else { held.ready.drain(|line| park.covers(line)) };
        held.parks.add(park);
        drained
    }

    /// Takes out what is ready and matches.
    pub fn drain_each(&self, matches: impl Fn(&Claimed) -> bool) -> Vec<Claimed> {
        self.state.lock().ready.drain_each(matches)
    }

    /// A limit allows no further connection. Without one that is open, what is ready is returned.
    pub fn stop_opening(&self, until: Timestamp, is_open_ended: bool) -> Vec<Claimed> {
        let mut held = self.state.lock();
        held.opening = Some((until, is_open_ended));
        if held.open > 0 {
            return Vec::new();
        }
        held.load_is_stale = held.loading;
        held.ready.drain(|_| true)
    }

    /// Somewhere a connection was closed: what waited for that is asked again.
    pub fn release(&self, now: Timestamp) {
        let mut held = self.state.lock();
        let opens = held.opening.is_some_and(|(_, is_open_ended)| is_open_ended);
        if opens {
            held.opening = None;
        }
        if held.parks.release() || opens {
            held.note_backlog(Some(now));
        }
    }

    /// The limits themselves have changed: all of them are asked again.
    pub fn unpark(&self, now: Timestamp) {
        let mut held = self.state.lock();
        let opens = held.opening.take().is_some();
        if held.parks.clear() || opens {
            held.note_backlog(Some(now));
        }
    }

    /// It left the ready mail, and nobody has said how its attempt ended.
    pub fn is_under_way(&self, delivery: DeliveryId) -> bool {
        let held = self.state.lock();
        held.taken.contains(&delivery) && !held.ready.holds(delivery)
    }

    pub fn parks(&self) -> Vec<Park> {
        self.state.lock().parks.all().to_vec()
    }

    /// Open connections, by source.
    pub fn sources(&self) -> Vec<(SourceId, usize)> {
        self.state.lock().sources.iter().map(|(source, count)| (*source, *count)).collect()
    }

    /// Transactional mail is ready and not parked.
    pub fn has_urgent(&self) -> bool {
        self.state.lock().has_urgent()
    }

    /// Not tried after all: first again.
    pub fn untried(&self, transaction: Vec<Claimed>) {
        self.state.lock().ready.push_front(transaction);
    }

    /// `choosy`: it has parked some of the mail for itself.
    pub fn lane_idles(&self, idles: bool, choosy: bool) {
        let mut held = self.state.lock();
        if idles {
            held.idle += 1;
            held.choosy += usize::from(choosy);
        } else {
            held.idle = held.idle.saturating_sub(1);
            held.choosy = held.choosy.saturating_sub(usize::from(choosy));
        }
    }

    pub fn lane_ends(&self) {
        let mut held = self.state.lock();
        held.lanes = held.lanes.saturating_sub(1);
    }

    /// All that is ready and not under way; a load under way is told to bring nothing.
    pub fn drain_ready(&self) -> Vec<Claimed> {
        let mut held = self.state.lock();
        held.load_is_stale = held.loading;
        held.ready.drain(|_| true)
    }

    /// Nothing is held and nobody works: the handle becomes stale and may be dropped.
    /// Mail that is due later is the alarm's to remember.
    pub fn retire(&self, now: Timestamp) -> bool {
        let mut held = self.state.lock();
        let due = held.backlog.is_some_and(|due| due <= now);
        let busy = held.loading || held.lanes > 0 || !held.taken.is_empty();
        let waits = held.block.is_some() || held.opening.is_some() || !held.parks.is_empty();
        held.gone = !busy && !due && !waits && held.failures == 0;
        held.gone
    }

    pub fn is_busy(&self) -> bool {
        let held = self.state.lock();
        held.loading || held.lanes > held.idle || !held.taken.is_empty()
    }

    /// Lanes, ready mail and mail held, for metrics and people.
    pub fn counts(&self) -> (usize, usize, usize) {
        let held = self.state.lock();
        (held.lanes, held.ready.len(), held.taken.len())
    }
}

const UNROUTED_MAX: usize = 1024;

impl Held {
    fn note_backlog(&mut self, due: Option<Timestamp>) {
        self.backlog = match (self.backlog, due) {
            (Some(known), Some(due)) => Some(known.min(due)),
            (known, due) => known.or(due),
        };
    }

    fn has_urgent(&self) -> bool {
        self.ready.has_urgent(&self.parks)
    }

    /// Nothing can be sent at all until a limit opens.
    fn is_stopped(&self) -> bool {
        self.parks.cover_all() || (self.opening.is_some() && self.open == 0)
    }

    fn next_opening(&self) -> Option<Timestamp> {
        self.parks.next_end().into_iter().chain(self.opening.map(|(until, _)| until)).min()
    }

    fn lanes_wanted(&mut self, now: Timestamp, lanes_max: usize) -> usize {
        if self.lanes_cap.is_some_and(|(_, until)| until <= now) {
            self.lanes_cap = None;
        }
        let cap = self.lanes_cap.map_or(lanes_max, |(cap, _)| cap.min(lanes_max));
        // One lane finds out whether the host answers; each connection that is open may bring
        // another one, so a few mails do not open as many connections.
        let opening = self.lanes.saturating_sub(self.open);
        let more = self.open.max(1).saturating_sub(opening);
        // After a failure one lane asks whether the host is back; and a host that takes connections
        // and then stalls must not take those of all the others too.
        let cap = if self.failures > 0 || !self.answers { cap.min(1) } else { cap };
        if self.opening.is_some() {
            return 0;
        }
        let hungry = self.ready.free(&self.parks).saturating_sub(self.idle - self.choosy);
        hungry.min(more).min(cap.saturating_sub(self.lanes))
    }
}

#[cfg(test)]
mod tests {
    use super::host::BLOCK_FIRST;
    use super::*;
    use crate::schedule::ready::tests::{claimed, message};

    fn reserve(site: &Site, ids: &[DeliveryId], now: Timestamp) -> Option<bool> {
        let line = line_of(&claimed(&message(1, 1, 0), "a@b.example"));
        site.reserve(ids, &line, false, now)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn fresh_mail_waits_behind_mail_that_is_due_in_the_ledger() {
        let site = Site::new(SiteId(1));
        assert_eq!(reserve(&site, &[DeliveryId(1)], at(10)), Some(true));
        site.note(at(5));
        assert_eq!(reserve(&site, &[DeliveryId(2)], at(10)), Some(false));
        site.leave(&[DeliveryId(1)], None);
        assert!(site.look(at(10), 5).load);
        site.loaded(Vec::new(), Some(at(90)), Some(Vec::new()), false);
        assert_eq!(reserve(&site, &[DeliveryId(3)], at(10)), Some(true));
    }

    #[test]
    fn a_block_doubles_with_each_failure_in_a_row_and_ends() {
        let site = Site::new(SiteId(1));
        let mut now = at(0);
        let mut minutes = Vec::new();
        for _ in 0..9 {
            let until = site.refused(now, "refused");
            assert_eq!(site.refused(now, "another lane"), until);
            minutes.push(until.since(now).as_secs_f64() / 60.0);
            assert_eq!(site.look(now, 5).look_at, Some(until));
            now = until;
        }
        assert_eq!(minutes, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(site.look(now, 5), Wanted::default());
        site.connected(SourceId(1));
        assert_eq!(site.refused(now, "refused"), now + BLOCK_FIRST);
    }

    #[test]
    fn a_refusal_beside_open_connections_only_caps_them() {
        let site = Site::new(SiteId(1));
        assert!(!site.is_open_elsewhere(at(0)));
        site.connected(SourceId(1));
        assert!(site.is_open_elsewhere(at(0)));
        assert!(site.block().is_none());
    }

    #[test]
    fn one_lane_tries_a_host_before_many_do() {
        let site = Site::new(SiteId(1));
        let ids: Vec<DeliveryId> = (1..=9).map(DeliveryId).collect();
        assert_eq!(reserve(&site, &ids, at(0)), Some(true));
        let mail = message(1, 1, 0);
        site.fill(ids.iter().map(|_| claimed(&mail, "a@b.example")).collect());
        assert_eq!(site.look(at(0), 5).lanes, 1);
        assert_eq!(site.look(at(0), 5).lanes, 0);
        site.connected(SourceId(1));
        assert_eq!(site.look(at(0), 9).lanes, 0, "it greets and has answered nothing yet");
        site.answered(true);
        assert_eq!(site.look(at(0), 9).lanes, 1, "one connection is open and brings another");
        site.connected(SourceId(1));
        assert_eq!(site.look(at(0), 9).lanes, 2);
    }

    #[test]
    fn a_site_that_holds_something_is_not_retired() {
        let site = Site::new(SiteId(1));
        assert_eq!(reserve(&site, &[DeliveryId(1)], at(0)), Some(true));
        assert!(!site.retire(at(0)));
        site.leave(&[DeliveryId(1)], None);
        assert!(site.retire(at(0)));
        assert_eq!(reserve(&site, &[DeliveryId(1)], at(0)), None);
    }
}
