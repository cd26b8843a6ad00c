//! The planner, the order of sources and the limits, without mail.
//!
//! Owns:       the wiring that in the daemon lanes and tasks are.
//! Promises:   nothing is decided here: what is placed was granted by `Limits::reserve`, in the
//!             order of `overflow::rank` and `pick`, as a lane asks, and every limit was written by
//!             `Governor::think`.
//! Knows not:  what becomes of what was placed; who asks says that.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::*;
use crate::schedule::governor::book::{Book, Complained, Lesson};
use crate::schedule::governor::{Governor, Numbers};
use crate::schedule::limits::Limits;
use crate::schedule::pick::{self, Candidate, Counts};
use crate::schedule::warmup::overflow;

/// Waits for a limit that opens soon, in one call.
const WAITS_MAX: u32 = 600;
/// So many at once, or this part of a day's volume: what is learnt from them comes before the next.
const PART_MIN: u64 = 10;
const PART_OF_DAY: u64 = 100;

/// Beyond the ids of the ledger.
const NOWHERE: i64 = 1 << 52;

/// Ids that nobody else sees.
#[derive(Clone, Debug)]
pub struct Counter(pub i64);

impl Counter {
    fn next(&mut self) -> i64 {
        self.0 += 1;
        self.0
    }
}

impl Numbers for Counter {
    fn limit(&mut self) -> LimitId {
        LimitId(self.next())
    }
    fn warmup(&mut self) -> WarmupId {
        WarmupId(self.next())
    }
    fn decision(&mut self) -> DecisionId {
        DecisionId(self.next())
    }
}

/// Whose mail it is, as far as limits ask; nobody's where nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    pub organization: OrganizationId,
    pub stream: StreamId,
    pub campaign: Option<CampaignId>,
    pub sending_domain: Option<DomainId>,
}

impl Default for Whose {
    fn default() -> Whose {
        let (organization, stream) = (OrganizationId::NOBODY, StreamId(0));
        Whose { organization, stream, campaign: None, sending_domain: None }
    }
}

/// Some mails of one kind, on their way to a source.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub class: StreamClass,
    pub operator: OperatorId,
    pub count: u64,
    pub now: Timestamp,
    /// A limit that opens within it is waited for.
    pub within: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub source: SourceId,
    pub count: u64,
}

pub struct DryRun {
    pub governor: Governor,
    pub limits: Limits,
    pub numbers: Counter,
    pub pool: Vec<PoolMember>,
    /// Where rules lead mail to an operator elsewhere.
    pub pools: BTreeMap<OperatorId, Vec<PoolMember>>,
    /// Of what is placed from now on.
    pub whose: Whose,
    book: Book,
    counts: Counts,
    domain: Domain,
    /// Why the last wish found no source.
    pub denied: Vec<Denial>,
}

impl DryRun {
    /// None where no domain could be named, which a test would notice.
    pub fn new(governor: Governor, limits: Limits, pool: Vec<PoolMember>) -> Option<DryRun> {
        Some(DryRun {
            governor,
            limits,
            // Far above those of the ledger, so that no id is met twice.
            numbers: Counter(NOWHERE),
            pool,
            pools: BTreeMap::new(),
            whose: Whose::default(),
            book: Book::default(),
            counts: Counts::default(),
            domain: Domain::parse("example.com").ok()?,
            denied: Vec::new(),
        })
    }

    /// Puts the limits of all courses in force; afterwards `look` keeps them up.
    pub fn begin(&mut self, now: Timestamp) {
        self.look(now);
        let limits: Vec<Limit> =
            self.governor.planner.all().filter_map(|warmup| warmup.limit()).collect();
        limits.into_iter().for_each(|limit| self.limits.put(limit));
    }

    /// What the controller's task does twice a second.
    pub fn look(&mut self, now: Timestamp) {
        let day = self.limits.calendar().day(now);
        let book = std::mem::take(&mut self.book);
        let bounds = (day.begin, day.end);
        let mut thoughts = self.governor.think(book, now, bounds, &mut self.numbers);
        for pair in thoughts.touched_once() {
            let Some(warmup) = self.governor.planner.get(pair) else { continue };
            match warmup.limit() {
                Some(limit) => thoughts.put.push(limit),
                None => thoughts.removed.push(warmup.limit),
            }
        }
        thoughts.removed.into_iter().for_each(|id| self.limits.remove(id));
        for limit in thoughts.put {
            if self.limits.get(limit.id).as_ref() != Some(&limit) {
                self.limits.put(limit);
            }
        }
        self.limits.sweep(now);
    }

    /// Where some of these mails go; None when they are to wait.
    pub fn place(&mut self, wish: &Wish) -> Option<Placed> {
        self.denied.clear();
        self.counts.turn(wish.now);
        let standing = |source| self.governor.standing(source, wish.operator, wish.now);
        let mut candidates: Vec<Candidate> =
            self.members(wish.operator).iter().map(|member| self.candidate(member)).collect();
        overflow::rank(wish.class, &mut candidates, standing);
        pick::bind_by_share(wish.class, &mut candidates);
        let mut granted = 0;
        let end = pick::window_end(wish.now);
        let picked = pick::pick(&candidates, pick::Wish::default(), end, |source| {
            let part = overflow::part(wish.class, standing(source), self.part_of(source, wish));
            granted = self.ask(source, wish, part)?;
            Ok(())
        });
        match picked {
            Ok(source) => {
                let first = self.members(wish.operator).first();
                let pool = first.map_or(PoolId::DEFAULT, |member| member.pool);
                self.counts.add(pool, (source, wish.class), granted);
                Some(Placed { source, count: granted })
            }
            Err(none) => {
                self.denied = none.denials();
                None
            }
        }
    }

    /// Those who carry mail to an operator.
    pub fn members(&self, operator: OperatorId) -> &[PoolMember] {
        self.pools.get(&operator).unwrap_or(&self.pool)
    }

    fn candidate(&self, member: &PoolMember) -> Candidate {
        Candidate {
            source: member.source,
            tier: 0,
            weight: member.weight,
            share_max: member.share_max,
            sent: self.counts.of_all(member.pool, member.source),
            shared: self.counts.of(member.pool, member.source, StreamClass::Marketing),
            bar: None,
        }
    }

    /// How many a lane would send before somebody else's turn, or before something is learnt.
    fn part_of(&self, source: SourceId, wish: &Wish) -> u64 {
        let pair = (WarmSubject::Source(source), wish.operator);
        let course = self.governor.planner.get(pair).map(|warmup| &warmup.course);
        let day = course.map_or(u64::MAX, |course| course.cap() / PART_OF_DAY);
        let sources = self.members(wish.operator).len().max(1) as u64;
        let turns = (wish.count / sources).max(PART_MIN);
        wish.count.min(turns).min(day.max(PART_MIN))
    }

    /// Returns how many of them the limits grant, waiting for what opens soon.
    fn ask(&self, source: SourceId, wish: &Wish, count: u64) -> Result<u64, Box<Denial>> {
        let whose = self.whose;
        let attempt = Attempt {
            source,
            operator: wish.operator,
            // One site for each operator, and none that a row could name.
            site: SiteId(NOWHERE + wish.operator.0),
            domain: self.domain.clone(),
            organization: whose.organization,
            stream: whose.stream,
            class: wish.class,
            campaign: whose.campaign,
            sending_domain: whose.sending_domain,
        };
        let end = wish.now + wish.within;
        let (mut at, mut waits) = (wish.now, 0);
        loop {
            let denial = match self.limits.reserve(&attempt, count, at) {
                Ok(mut permit) => {
                    permit.offer();
                    return Ok(permit.count());
                }
                Err(denial) => denial,
            };
            waits += 1;
            // What stops all of it may end with other rules than it began with: that is for a look.
            let opens = denial.until.filter(|_| denial.value > 0);
            match opens.filter(|until| *until > at && *until < end) {
                Some(until) if waits < WAITS_MAX => at = until,
                _ => return Err(denial),
            }
        }
    }

    pub fn tell(&mut self, lesson: &Lesson<'_>) {
        self.book.note(lesson);
    }

    pub fn complain(&mut self, source: SourceId, operator: OperatorId, count: u64) {
        let source = Some(source);
        let (campaign, sending_domain) = (None, None);
        self.book.complain(&Complained { source, operator, campaign, sending_domain, count });
    }
}
