//! Of the rows that a claim found, by flow: which of them it takes. Pure.
//!
//! Owns:       the turns of the flows within a rank, and marketing's part.
//! Promises:   a small flow is not behind a large one; nothing that fits is left unused.
//! Knows not:  SQL.

use crate::model::Flow;
use crate::store::database::Row;
use crate::store::error::Result;

/// While both ranks wait, marketing gets one in so many.
const MARKETING_PART: usize = 8;

/// Due time and id of what could be claimed, by flow.
#[derive(Default)]
pub(super) struct Candidates(Vec<Found>);

struct Found {
    flow: Flow,
    rows: std::collections::VecDeque<i64>,
    /// There may be more than these rows.
    is_cut: bool,
}

impl Candidates {
    pub(super) fn add(&mut self, flow: Flow, rows: Vec<Row>, limit: usize) -> Result<()> {
        let is_cut = rows.len() >= limit;
        let ids: Result<_> = rows.iter().map(|row| row.int(0)).collect();
        self.0.push(Found { flow, rows: ids?, is_cut });
        Ok(())
    }

    /// The flows of a rank in turns. Marketing is sure of its part, and has what the others leave.
    pub(super) fn choose(mut self, limit: usize, mut behind: Vec<Flow>) -> (Vec<i64>, Vec<Flow>) {
        let count = |rank_is_first: bool| -> usize {
            let of_rank = self.0.iter().filter(|one| (one.flow.rank == 0) == rank_is_first);
            of_rank.map(|one| one.rows.len()).sum()
        };
        let kept_free = count(false).min(limit / MARKETING_PART);
        let first = count(true).min(limit - kept_free);
        let mut ids = Vec::with_capacity(limit);
        for (is_first, share) in [(true, first), (false, limit - first)] {
            let end = ids.len() + share;
            let mut goes_on = true;
            while goes_on && ids.len() < end {
                goes_on = false;
                for one in self.0.iter_mut().filter(|one| (one.flow.rank == 0) == is_first) {
                    if let (true, Some(id)) = (ids.len() < end, one.rows.front().copied()) {
                        one.rows.pop_front();
                        ids.push(id);
                        goes_on = true;
                    }
                }
            }
        }
        let more = self.0.iter().filter(|one| one.is_cut || !one.rows.is_empty());
        behind.extend(more.map(|one| one.flow));
        (ids, behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{OrganizationId, StreamId};

    fn found(organization: i64, rank: i64, ids: std::ops::Range<i64>, is_cut: bool) -> Found {
        let (organization, stream) = (OrganizationId(organization), StreamId(rank + 1));
        Found { flow: Flow { organization, stream, rank }, rows: ids.collect(), is_cut }
    }

    fn organizations(behind: &[Flow]) -> Vec<i64> {
        behind.iter().map(|flow| flow.organization.0).collect()
    }

    #[test]
    fn a_small_flow_is_claimed_whole_beside_a_large_one() {
        let candidates = Candidates(vec![found(1, 1, 0..100, true), found(2, 1, 200..203, false)]);
        let (ids, behind) = candidates.choose(10, Vec::new());
        assert_eq!(ids, [0, 200, 1, 201, 2, 202, 3, 4, 5, 6]);
        assert_eq!(organizations(&behind), [1]);
    }

    #[test]
    fn transactional_mail_goes_first_and_marketing_is_sure_of_its_part() {
        let both = || Candidates(vec![found(1, 0, 0..90, true), found(1, 1, 100..190, true)]);
        let (ids, _) = both().choose(64, Vec::new());
        assert_eq!(ids.iter().filter(|id| **id >= 100).count(), 8);
        assert_eq!(ids[..56], (0..56).collect::<Vec<i64>>());
        let few = Candidates(vec![found(1, 0, 0..3, false), found(1, 1, 100..190, true)]);
        let (ids, behind) = few.choose(64, Vec::new());
        assert_eq!(ids.iter().filter(|id| **id >= 100).count(), 61, "nothing is left unused");
        assert_eq!(behind.len(), 1);
    }

    #[test]
    fn what_was_not_looked_into_is_behind() {
        let left = vec![found(9, 0, 0..0, false).flow];
        let (ids, behind) = Candidates(vec![found(1, 0, 0..2, false)]).choose(64, left);
        assert_eq!((ids.len(), organizations(&behind)), (2, vec![9]));
    }
}
