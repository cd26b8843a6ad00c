//! Which source of a pool makes an attempt. Pure.
//!
//! Owns:       the order among the sources of a pool, and why one of them does not come into
//!             question.
//! Promises:   a source that is suspended, red, at its share or denied by a limit is not picked;
//!             mail divides by weight; a greylisted mail goes where it was greylisted, if it can.
//! Knows not:  limits (asked by a closure), rows, connections, the names of sources.
//! Lanes, the forecast and the simulation of warm-ups all pick by it.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::*;

/// Weights and shares hold over so long.
pub const WINDOW: Duration = Duration::from_secs(3600);
/// Of a pool's mail in a window a source may carry so many whatever its share is: else the first
/// mail of a window would already be above any share.
pub const SHARE_FLOOR: u64 = 20;
/// Mails by which a source with an open connection may be ahead of its turn: opening another one
/// for each mail would cost more than the division by weight is worth.
const AHEAD_MAX: u64 = 8;

/// One source of the pool, as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub source: SourceId,
    /// Lower ones are asked first, whatever the weights say: the warm-up's order.
    pub tier: u8,
    pub weight: u32,
    pub share_max: Option<u32>,
    /// Mails of the pool in this window.
    pub sent: u64,
    /// Of these, the marketing: shares are of it.
    pub shared: u64,
    /// None: it may send. Else why not, and until when, where that is known.
    pub bar: Option<Bar>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bar {
    Suspended,
    Red {
        findings: String,
    },
    Unchecked,
    /// A relay cannot carry mail that a static route sends elsewhere.
    NotForRoutes,
    /// It could not connect, and is left alone for a while.
    SetAside {
        until: Timestamp,
        reason: String,
    },
}

/// Why a source was not picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Barred(Bar),
    Share { share_max: u32, until: Timestamp },
    Limit(Box<Denial>),
}

impl Refusal {
    fn limit_until(&self) -> Option<Timestamp> {
        match self {
            Refusal::Limit(denial) => denial.until,
            _ => None,
        }
    }

    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Refusal::Barred(Bar::SetAside { until, .. }) | Refusal::Share { until, .. } => {
                Some(*until)
            }
            Refusal::Limit(denial) => denial.until,
            Refusal::Barred(_) => None,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Barred(Bar::Suspended) => f.write_str("suspended"),
            Refusal::Barred(Bar::Red { findings }) => write!(f, "red: {findings}"),
            Refusal::Barred(Bar::Unchecked) => f.write_str("not checked yet"),
            Refusal::Barred(Bar::NotForRoutes) => f.write_str("a relay, and a route is set"),
            Refusal::Barred(Bar::SetAside { until, reason }) => {
                write!(f, "set aside until {until}: {reason}")
            }
            Refusal::Share { share_max, until } => {
                write!(f, "at its share of {share_max} % until {until}")
            }
            Refusal::Limit(denial) => f.write_str(&denial.reason),
        }
    }
}

/// What speaks for one source beside weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Where the mail was greylisted: a host that knows the pair lets it in.
    pub last: Option<SourceId>,
    /// A connection to the site is open from there.
    pub open: Option<SourceId>,
    /// A limit that keeps `last` from sending is waited for, not gone around, if it opens by then.
    pub last_until: Timestamp,
}

/// No source may make the attempt now: each with its reason, in the order they were asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSource(pub Vec<(SourceId, Refusal)>);

impl NoSource {
    /// When the first of them may be free again, where that is known.
    pub fn until(&self) -> Option<Timestamp> {
        self.0.iter().filter_map(|(_, refusal)| refusal.until()).min()
    }
}

impl NoSource {
    /// Those who may not send because of limits alone.
    pub fn denials(&self) -> Vec<Denial> {
        let of = |refusal: &Refusal| match refusal {
            Refusal::Limit(denial) => Some((**denial).clone()),
            _ => None,
        };
        self.0.iter().filter_map(|(_, refusal)| of(refusal)).collect()
    }
}

/// The sources in the order in which they are to be asked: tier, then the mails sent for each
/// weight; those without weight last.
pub fn order(candidates: &[Candidate], wish: Wish) -> Vec<&Candidate> {
    let mut order: Vec<&Candidate> = candidates.iter().collect();
    let ahead = |one: &Candidate| if wish.open == Some(one.source) { AHEAD_MAX } else { 0 };
    // `sent / weight`, compared without division: a·w' < b·w.
    order.sort_by(|a, b| {
        let cost = |one: &Candidate, other: &Candidate| {
            u128::from(one.sent.saturating_sub(ahead(one)) + 1) * u128::from(other.weight.max(1))
        };
        let is_last = |one: &Candidate| wish.last != Some(one.source);
        is_last(a)
            .cmp(&is_last(b))
            .then(a.tier.cmp(&b.tier))
            .then((a.weight == 0).cmp(&(b.weight == 0)))
            .then(cost(a, b).cmp(&cost(b, a)))
            .then((wish.open != Some(a.source)).cmp(&(wish.open != Some(b.source))))
    });
    order
}

/// A share is of what overflows: other mail has none to keep.
pub fn bind_by_share(class: StreamClass, candidates: &mut [Candidate]) {
    if class == StreamClass::Transactional {
        candidates.iter_mut().for_each(|one| one.share_max = None);
    }
}

/// The first in order that may send; `window_end` is when shares are counted anew.
pub fn pick(
    candidates: &[Candidate],
    wish: Wish,
    window_end: Timestamp,
    mut would_grant: impl FnMut(SourceId) -> Result<(), Box<Denial>>,
) -> Result<SourceId, NoSource> {
    let total: u64 = candidates.iter().map(|one| one.shared).sum();
    let mut refused = Vec::new();
    for one in order(candidates, wish) {
        let refusal = match refusal(one, total, window_end) {
            Some(refusal) => refusal,
            None => match would_grant(one.source) {
                Ok(()) => return Ok(one.source),
                Err(denial) => Refusal::Limit(denial),
            },
        };
        if wish.last == Some(one.source)
            && refusal.limit_until().is_some_and(|until| until <= wish.last_until)
        {
            return Err(NoSource(vec![(one.source, refusal)]));
        }
        refused.push((one.source, refusal));
    }
    Err(NoSource(refused))
}

fn refusal(one: &Candidate, total: u64, window_end: Timestamp) -> Option<Refusal> {
    if let Some(bar) = &one.bar {
        return Some(Refusal::Barred(bar.clone()));
    }
    let share_max = one.share_max?;
    let room = (total + 1).saturating_mul(u64::from(share_max)) / 100;
    let is_full = one.shared >= room.max(SHARE_FLOOR);
    is_full.then_some(Refusal::Share { share_max, until: window_end })
}

/// What the sources of each pool have carried in the present window.
#[derive(Debug, Default)]
pub struct Counts {
    window: i64,
    sent: HashMap<(PoolId, SourceId, StreamClass), u64>,
}

impl Counts {
    /// A new window begins with nothing.
    pub fn turn(&mut self, now: Timestamp) {
        let window = window_of(now);
        if window != self.window {
            self.window = window;
            self.sent.clear();
        }
    }

    pub fn of(&self, pool: PoolId, source: SourceId, class: StreamClass) -> u64 {
        self.sent.get(&(pool, source, class)).copied().unwrap_or_default()
    }

    pub fn of_all(&self, pool: PoolId, source: SourceId) -> u64 {
        [StreamClass::Transactional, StreamClass::Marketing]
            .map(|class| self.of(pool, source, class))
            .iter()
            .sum()
    }

    pub fn add(&mut self, pool: PoolId, (source, class): (SourceId, StreamClass), mails: u64) {
        *self.sent.entry((pool, source, class)).or_default() += mails;
    }
}

/// When weights and shares are counted anew.
pub fn window_end(now: Timestamp) -> Timestamp {
    Timestamp((window_of(now) + 1).saturating_mul(window_length()))
}

fn window_length() -> i64 {
    i64::try_from(WINDOW.as_micros()).unwrap_or(i64::MAX)
}

fn window_of(now: Timestamp) -> i64 {
    now.0.div_euclid(window_length())
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp(1000);

    fn candidate(id: i64, weight: u32, sent: u64) -> Candidate {
        let (tier, share_max, shared) = (0, None, sent);
        Candidate { source: SourceId(id), tier, weight, share_max, sent, shared, bar: None }
    }

    fn picked(candidates: &[Candidate], wish: Wish) -> Option<i64> {
        pick(candidates, wish, END, |_| Ok(())).ok().map(|id| id.0)
    }

    fn denial(until: i64) -> Box<Denial> {
        let scope = LimitScope {
            from: FromScope::Source(SourceId(1)),
            to: ToScope::Anywhere,
            who: WhoScope::Everybody,
            class: None,
        };
        Box::new(Denial {
            limit: LimitId(1),
            scope,
            metric: Metric::Messages,
            value: 1,
            origin: Origin::Admin,
            reason: "by limit".into(),
            until: Some(Timestamp(until)),
        })
    }

    #[test]
    fn mail_divides_by_weight() {
        let mut all = [candidate(1, 1, 0), candidate(2, 3, 0), candidate(3, 0, 0)];
        for _ in 0..400 {
            let id = picked(&all, Wish::default()).expect("one may send");
            let one = all.iter_mut().find(|one| one.source.0 == id).expect("of the pool");
            one.sent += 1;
        }
        assert_eq!(all.map(|one| one.sent), [100, 300, 0]);
    }

    #[test]
    fn a_source_without_weight_carries_what_is_left_over_and_tiers_come_before_weights() {
        let suspended = Candidate { bar: Some(Bar::Suspended), ..candidate(1, 1, 0) };
        assert_eq!(picked(&[suspended, candidate(2, 0, 9)], Wish::default()), Some(2));
        let second = Candidate { tier: 1, ..candidate(1, 100, 0) };
        assert_eq!(picked(&[second, candidate(2, 1, 5000)], Wish::default()), Some(2));
    }

    #[test]
    fn an_open_connection_is_used_until_it_is_too_far_ahead() {
        let open = Wish { open: Some(SourceId(2)), ..Wish::default() };
        assert_eq!(picked(&[candidate(1, 1, 0), candidate(2, 1, AHEAD_MAX)], open), Some(2));
        assert_eq!(picked(&[candidate(1, 1, 0), candidate(2, 1, AHEAD_MAX + 1)], open), Some(1));
    }

    #[test]
    fn a_greylisted_mail_goes_where_it_was_greylisted_unless_that_source_may_not_send() {
        let (last, open) = (Some(SourceId(2)), Some(SourceId(1)));
        let wish = Wish { last, open, last_until: Timestamp(50) };
        let mut all = [candidate(1, 1, 0), candidate(2, 1, 700)];
        assert_eq!(picked(&all, wish), Some(2));
        let denied_until = |until: i64| {
            pick(&all, wish, END, |source| match source {
                SourceId(2) => Err(denial(until)),
                _ => Ok(()),
            })
        };
        let waits = denied_until(50).expect_err("it waits for a moment");
        assert_eq!((waits.0.len(), waits.until()), (1, Some(Timestamp(50))));
        assert_eq!(denied_until(51), Ok(SourceId(1)));
        all[1].bar = Some(Bar::Red { findings: "listed".into() });
        assert_eq!(picked(&all, wish), Some(1));
    }

    #[test]
    fn a_share_holds_as_soon_as_the_floor_is_passed() {
        let capped = |sent| Candidate { share_max: Some(10), tier: 0, ..candidate(1, 1, sent) };
        let other = |sent| Candidate { tier: 1, ..candidate(2, 1, sent) };
        assert_eq!(picked(&[capped(SHARE_FLOOR - 1), other(0)], Wish::default()), Some(1));
        assert_eq!(picked(&[capped(SHARE_FLOOR), other(100)], Wish::default()), Some(2));
        assert_eq!(picked(&[capped(99), other(890)], Wish::default()), Some(2));
        assert_eq!(picked(&[capped(99), other(900)], Wish::default()), Some(1));
        let mut full = [capped(SHARE_FLOOR)];
        bind_by_share(StreamClass::Marketing, &mut full);
        let none = pick(&full, Wish::default(), END, |_| Ok(()));
        assert_eq!(none.expect_err("at its share").until(), Some(END));
        bind_by_share(StreamClass::Transactional, &mut full);
        assert_eq!(picked(&full, Wish::default()), Some(1), "it overflows nowhere");
        // Transactional mail uses up nobody's share.
        let busy = Candidate { shared: 0, ..capped(900) };
        assert_eq!(picked(&[busy, other(0)], Wish::default()), Some(1));
    }

    #[test]
    fn who_may_not_send_is_told_with_the_reason_and_the_first_to_be_free_says_when() {
        let all = [
            Candidate { bar: Some(Bar::Suspended), ..candidate(1, 1, 0) },
            Candidate { bar: Some(Bar::Unchecked), ..candidate(2, 1, 0) },
            candidate(3, 1, 0),
            candidate(4, 1, 0),
        ];
        let none = pick(&all, Wish::default(), END, |source| Err(denial(source.0 * 10)));
        let none = none.expect_err("nobody may");
        assert_eq!(none.until(), Some(Timestamp(30)));
        let told: Vec<String> = none.0.iter().map(|(id, why)| format!("{id} {why}")).collect();
        assert_eq!(told, ["1 suspended", "2 not checked yet", "3 by limit", "4 by limit"]);
        let third_denied = |source| if source == SourceId(3) { Err(denial(1)) } else { Ok(()) };
        let one = pick(&all, Wish::default(), END, third_denied);
        assert_eq!(one, Ok(SourceId(4)));
        assert_eq!(pick(&[], Wish::default(), END, |_| Ok(())), Err(NoSource(Vec::new())));
    }
}
