//! Mail whose rows wait by themselves because a limit said so, until that limit is another.
//!
//! Owns:       which rows were put off, until when, and for which limit's sake.
//! Promises:   when a limit goes or changes, what it put off is asked again at once; what another
//!             limit put off is left alone, and so is a row that was changed since.
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
    /// As it was; None where it was no limit's doing, or that of several.
    pub limit: Option<Limit>,
}

impl Late {
    fn still_waits_for(&self, limits: &Limits) -> bool {
        self.limit.as_ref().is_some_and(|limit| limits.get(limit.id).as_ref() == Some(limit))
    }
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

    /// Takes out those whose limit is another now; those whose time has come are forgotten.
    pub fn take_opened(&self, limits: &Limits, now: Timestamp) -> Vec<Late> {
        let mut all = self.0.lock();
        let is_open = |one: &mut Late| one.due <= now || !one.still_waits_for(limits);
        let mut opened: Vec<Late> = all.extract_if(.., is_open).collect();
        opened.retain(|one| one.due > now);
        opened
    }
}

impl Shared {
    /// What a limit put off that is gone, or another by now, is due.
    pub(super) async fn hasten(self: &Arc<Shared>) {
        let now = self.clock.now();
        for late in self.put_off.take_opened(&self.limits, now) {
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

    fn late(first: i64, count: i64, limit: Option<Limit>) -> Late {
        let deliveries = (first..first + count).map(DeliveryId).collect();
        Late { site: SiteId(3), deliveries, due: NOW + Duration::from_secs(60), limit }
    }

    #[test]
    fn a_limit_that_goes_or_changes_opens_what_it_put_off_and_no_more() {
        let limits = Limits::new(Calendar::utc());
        let rows = [limit(1, 5), limit(2, 5), limit(3, 5)];
        limits.replace(rows.to_vec());
        let put_off = PutOff::default();
        for (first, row) in [(10, Some(&rows[0])), (20, Some(&rows[1])), (30, Some(&rows[2]))] {
            put_off.add(late(first, 2, row.cloned()), NOW);
        }
        put_off.add(late(40, 2, None), NOW);
        limits.replace(vec![limit(2, 9), limit(3, 5)]);
        let opened = put_off.take_opened(&limits, NOW);
        let first = |late: &Late| late.deliveries[0].0;
        assert_eq!(opened.iter().map(first).collect::<Vec<_>>(), [10, 20, 40]);
        assert_eq!(put_off.take_opened(&limits, NOW), []);
        limits.replace(vec![]);
        let later = NOW + Duration::from_secs(61);
        assert_eq!(put_off.take_opened(&limits, later), [], "the row is due by itself");
    }

    #[test]
    fn what_finds_no_room_is_not_kept_in_mind() {
        let limits = Limits::new(Calendar::utc());
        let put_off = PutOff::default();
        put_off.add(late(1, ROWS_MAX as i64, None), NOW);
        put_off.add(late(-5, 1, None), NOW);
        assert_eq!(put_off.take_opened(&limits, NOW).len(), 1);
        put_off.add(late(-5, 1, None), NOW);
        assert_eq!(put_off.take_opened(&limits, NOW).len(), 1);
    }
}
