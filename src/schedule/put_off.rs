//! Mail whose rows wait by themselves because a limit said so, until that limit is another.
//!
//! Owns:       which rows were put off, until when, and for which limit's sake.
//! Promises:   when a limit goes or changes, or a person changes the sources, what it put off is
//!             asked again at once; what others put off is left alone, and so is a row that was
//!             changed since.
//! Knows not:  what the limit counts, who changed it.
//!
//! It is kept in memory alone: no limit puts off for longer than `park::PARK_MAX`, so what a
//! restart forgets, or what finds no room here, waits that long at most.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Shared;
use super::limits::Limits;
use crate::model::*;

/// Of more rows than these nobody keeps in mind that they were put off: 8 octets each.
const ROWS_MAX: usize = 200_000;

/// Rows of one site that were put off together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    pub site: SiteId,
    pub deliveries: Vec<DeliveryId>,
    pub due: Timestamp,
    /// As they were: each stopped a source, and any of them may open it. None where no source may
    /// send for other reasons.
    pub limits: Vec<Limit>,
}

impl Late {
    pub fn waits_for(&self, limits: &Limits) -> bool {
        self.limits.iter().all(|limit| limits.get(limit.id).as_ref() == Some(limit))
    }
}

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    Limits,
    /// Sources or pools, and with them perhaps who is bound by which limit.
    Sources,
}

#[derive(Default)]
pub struct PutOff(Mutex<Vec<Late>>);

impl PutOff {
    pub fn add(&self, late: Late, now: Timestamp) {
        let mut all = self.0.lock();
        all.retain(|one| one.due > now);
        let rows: usize = all.iter().map(|one| one.deliveries.len()).sum();
        if rows + late.deliveries.len() <= ROWS_MAX {
            all.push(late);
        }
    }

    /// Takes out what may go on now; those whose time has come are forgotten.
    pub fn take_opened(&self, limits: &Limits, changed: Changed, now: Timestamp) -> Vec<Late> {
        let mut all = self.0.lock();
        let is_open = |one: &mut Late| {
            one.due <= now || changed == Changed::Sources || !one.waits_for(limits)
        };
        let mut opened: Vec<Late> = all.extract_if(.., is_open).collect();
        opened.retain(|one| one.due > now);
        opened
    }
}

impl Shared {
    /// What was put off for the sake of what has changed is due.
    pub(super) async fn hasten(self: &Arc<Shared>, changed: Changed) {
        let now = self.clock.now();
        for late in self.put_off.take_opened(&self.limits, changed, now) {
            match self.queue.store().hasten(&late.deliveries, late.due, now).await {
                Ok(0) => {}
                Ok(_) => {
                    let site = self.at_site(late.site, |site| site.note(now));
                    Shared::look(self, &site);
                }
                Err(error) => {
                    tracing::warn!(%error, due = %late.due, "mail whose limit has gone cannot be \
                        made due now; it waits until its old moment");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::schedule::limits::calendar::Calendar;

    const NOW: Timestamp = Timestamp::from_seconds(1000);

    fn limit(id: i64, value: u64) -> Limit {
        Limit {
            id: LimitId(id),
            scope: LimitScope {
                from: FromScope::Installation,
                to: ToScope::Anywhere,
                who: WhoScope::Campaign(CampaignId(7)),
                class: None,
            },
            metric: Metric::Messages,
            value,
            window: Some(Duration::from_secs(60)),
            pace: Pace::Sliding,
            origin: Origin::Admin,
            reason: "a test".to_owned(),
            expires_at: None,
            pinned: false,
        }
    }

    fn late(first: i64, count: i64, of: &[&Limit]) -> Late {
        let deliveries = (first..first + count).map(DeliveryId).collect();
        let limits = of.iter().map(|limit| (*limit).clone()).collect();
        Late { site: SiteId(3), deliveries, due: NOW + Duration::from_secs(60), limits }
    }

    fn opened(put_off: &PutOff, limits: &Limits, changed: Changed) -> Vec<i64> {
        let opened = put_off.take_opened(limits, changed, NOW);
        opened.iter().map(|late| late.deliveries[0].0).collect()
    }

    #[test]
    fn a_limit_that_goes_or_changes_opens_what_it_put_off_and_no_more() {
        let limits = Limits::new(Calendar::utc());
        let rows = [limit(1, 5), limit(2, 5), limit(3, 5)];
        limits.replace(rows.to_vec());
        let put_off = PutOff::default();
        let [first, second, third] = [0, 1, 2].map(|place| &rows[place]);
        for (id, of) in [
            (10, vec![first]),
            (20, vec![second]),
            (30, vec![third]),
            (40, vec![third, first]),
            (50, vec![]),
        ] {
            put_off.add(late(id, 2, &of), NOW);
        }
        limits.replace(vec![limit(2, 9), limit(3, 5)]);
        assert_eq!(opened(&put_off, &limits, Changed::Limits), [10, 20, 40]);
        assert_eq!(opened(&put_off, &limits, Changed::Limits), [0; 0]);
        assert_eq!(opened(&put_off, &limits, Changed::Sources), [30, 50]);
        put_off.add(late(60, 2, &[third]), NOW);
        let later = NOW + Duration::from_secs(61);
        let due = put_off.take_opened(&limits, Changed::Sources, later);
        assert_eq!(due, [], "the row is due by itself");
    }

    #[test]
    fn what_finds_no_room_is_not_kept_in_mind() {
        let limits = Limits::new(Calendar::utc());
        let put_off = PutOff::default();
        put_off.add(late(1, ROWS_MAX as i64, &[]), NOW);
        put_off.add(late(-5, 1, &[]), NOW);
        assert_eq!(opened(&put_off, &limits, Changed::Sources), [1]);
        put_off.add(late(-5, 1, &[]), NOW);
        assert_eq!(opened(&put_off, &limits, Changed::Sources), [-5]);
    }
}
