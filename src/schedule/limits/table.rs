//! The rows that cover an attempt, found by its scopes.
//!
//! Owns:       the limits in memory, by scope.
//! Promises:   a look-up costs by the kinds of scopes that rows have, never by the number of rows.
//! Knows not:  what has been used.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use parking_lot::Mutex;

use super::Cell;
use super::count::Rule;
use crate::model::*;

/// One limit, ready to be asked.
pub struct Row {
    pub limit: Limit,
    /// None for what is a property of a transaction or a connection.
    pub rule: Option<Rule>,
    /// The count, where the row has one for all whom it covers.
    pub cell: Option<Arc<Cell>>,
}

impl Row {
    pub fn is_for_each(&self) -> bool {
        self.limit.scope.from == FromScope::EachSource || self.limit.scope.to == ToScope::EachSite
    }

    /// Whom the row covers by class, and whether it stops him. A row for marketing counts the
    /// transactional mail that passes, and lets it pass.
    pub fn binds(&self, class: StreamClass) -> Option<bool> {
        match self.limit.scope.class {
            None => Some(true),
            Some(own) if own == class => Some(true),
            Some(StreamClass::Marketing) => Some(false),
            Some(StreamClass::Transactional) => None,
        }
    }
}

/// Kind and id of each of the three parts of a scope.
type Key = [i64; 3];
/// Which kinds of scopes occur.
type Shape = [u8; 3];

const INSTALLATION: u8 = 0;
const POOL: u8 = 1;
const SOURCE: u8 = 2;
const EACH_SOURCE: u8 = 3;
const ANYWHERE: u8 = 0;
const OPERATOR: u8 = 1;
const SITE: u8 = 2;
const DOMAIN: u8 = 3;
const EACH_SITE: u8 = 4;
const EVERYBODY: u8 = 0;
const ORGANIZATION: u8 = 1;
const STREAM: u8 = 2;
const CAMPAIGN: u8 = 3;
const SENDING_DOMAIN: u8 = 4;

/// Ids stay below 2^53, so the kind fits above them.
fn part(kind: u8, id: i64) -> i64 {
    (i64::from(kind) << 56) | id
}

#[derive(Default)]
pub struct Table {
    rows: DashMap<Key, Vec<Arc<Row>>>,
    by_id: DashMap<LimitId, Arc<Row>>,
    shapes: ArcSwap<Vec<Shape>>,
    /// How many rows each shape has, and the numbers that domains have in keys.
    known: Mutex<Known>,
    domains: DashMap<Domain, i64>,
    pools: ArcSwap<HashMap<SourceId, Vec<PoolId>>>,
}

#[derive(Default)]
struct Known {
    shapes: HashMap<Shape, usize>,
    domain_last: i64,
}

impl Table {
    pub fn set_pools(&self, pools: HashMap<SourceId, Vec<PoolId>>) {
        self.pools.store(Arc::new(pools));
    }

    pub fn pools(&self) -> HashMap<SourceId, Vec<PoolId>> {
        self.pools.load().as_ref().clone()
    }

    /// Takes the row in, in the place of an older one of its id.
    pub fn put(&self, row: Row) {
        self.remove(row.limit.id);
        let row = Arc::new(row);
        let mut known = self.known.lock();
        let (shape, key) = self.place(&row.limit.scope, &mut known);
        *known.shapes.entry(shape).or_default() += 1;
        self.by_id.insert(row.limit.id, row.clone());
        self.rows.entry(key).or_default().push(row);
        self.publish(&known);
    }

    pub fn remove(&self, id: LimitId) -> Option<Arc<Row>> {
        let (_, row) = self.by_id.remove(&id)?;
        let mut known = self.known.lock();
        let (shape, key) = self.place(&row.limit.scope, &mut known);
        if let Some(mut rows) = self.rows.get_mut(&key) {
            rows.retain(|one| one.limit.id != id);
        }
        self.rows.remove_if(&key, |_, rows| rows.is_empty());
        if let Some(count) = known.shapes.get_mut(&shape) {
            *count -= 1;
        }
        known.shapes.retain(|_, count| *count > 0);
        self.publish(&known);
        Some(row)
    }

    pub fn get(&self, id: LimitId) -> Option<Arc<Row>> {
        self.by_id.get(&id).map(|row| row.clone())
    }

    /// All rows, by id.
    pub fn all(&self) -> Vec<Arc<Row>> {
        let mut rows: Vec<Arc<Row>> = self.by_id.iter().map(|row| row.clone()).collect();
        rows.sort_by_key(|row| row.limit.id);
        rows
    }

    fn publish(&self, known: &Known) {
        let changed = known.shapes.len() != self.shapes.load().len()
            || self.shapes.load().iter().any(|shape| !known.shapes.contains_key(shape));
        if changed {
            let mut shapes: Vec<Shape> = known.shapes.keys().copied().collect();
            shapes.sort_unstable();
            self.shapes.store(Arc::new(shapes));
        }
    }

    fn place(&self, scope: &LimitScope, known: &mut Known) -> (Shape, Key) {
        let (from, from_id) = match scope.from {
            FromScope::Installation => (INSTALLATION, 0),
            FromScope::Pool(pool) => (POOL, pool.0),
            FromScope::Source(source) => (SOURCE, source.0),
            FromScope::EachSource => (EACH_SOURCE, 0),
        };
        let (to, to_id) = match &scope.to {
            ToScope::Anywhere => (ANYWHERE, 0),
            ToScope::Operator(operator) => (OPERATOR, operator.0),
            ToScope::Site(site) => (SITE, site.0),
            ToScope::EachSite => (EACH_SITE, 0),
            ToScope::Domain(domain) => {
                let next = known.domain_last + 1;
                let number = *self.domains.entry(domain.clone()).or_insert(next);
                known.domain_last = known.domain_last.max(number);
                (DOMAIN, number)
            }
        };
        let (who, who_id) = match scope.who {
            WhoScope::Everybody => (EVERYBODY, 0),
            WhoScope::Organization(organization) => (ORGANIZATION, organization.0),
            WhoScope::Stream(stream) => (STREAM, stream.0),
            WhoScope::Campaign(campaign) => (CAMPAIGN, campaign.0),
            WhoScope::SendingDomain(domain) => (SENDING_DOMAIN, domain.0),
        };
        ([from, to, who], [part(from, from_id), part(to, to_id), part(who, who_id)])
    }

    /// Hands over each row that covers the attempt, until one call breaks.
    pub fn covering<B>(
        &self,
        attempt: &Attempt,
        mut each: impl FnMut(&Arc<Row>) -> ControlFlow<B>,
    ) -> Option<B> {
        let shapes = self.shapes.load();
        let pools = self.pools.load();
        let pools = pools.get(&attempt.source).map_or(&[][..], Vec::as_slice);
        for [from, to, who] in shapes.iter() {
            let Some(to_id) = self.to_id(*to, attempt) else { continue };
            let Some(who_id) = who_id(*who, attempt) else { continue };
            let (to, who) = (part(*to, to_id), part(*who, who_id));
            if *from == POOL {
                for pool in pools {
                    if let Some(value) = self.visit([part(POOL, pool.0), to, who], &mut each) {
                        return Some(value);
                    }
                }
                continue;
            }
            let from_id = if *from == SOURCE { attempt.source.0 } else { 0 };
            if let Some(value) = self.visit([part(*from, from_id), to, who], &mut each) {
                return Some(value);
            }
        }
        None
    }

    fn visit<B>(&self, key: Key, each: &mut impl FnMut(&Arc<Row>) -> ControlFlow<B>) -> Option<B> {
        let rows = self.rows.get(&key)?;
        for row in rows.iter() {
            if let ControlFlow::Break(value) = each(row) {
                return Some(value);
            }
        }
        None
    }

    fn to_id(&self, kind: u8, attempt: &Attempt) -> Option<i64> {
        match kind {
            OPERATOR => Some(attempt.operator.0),
            SITE => Some(attempt.site.0),
            DOMAIN => self.domains.get(&attempt.domain).map(|number| *number),
            _ => Some(0),
        }
    }
}

fn who_id(kind: u8, attempt: &Attempt) -> Option<i64> {
    match kind {
        ORGANIZATION => Some(attempt.organization.0),
        STREAM => Some(attempt.stream.0),
        CAMPAIGN => attempt.campaign.map(|campaign| campaign.0),
        SENDING_DOMAIN => attempt.sending_domain.map(|domain| domain.0),
        _ => Some(0),
    }
}
