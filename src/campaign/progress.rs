//! How far a campaign is at each operator, and how a list grows: rows become counts with names.
//!
//! Owns:       the table of progress, the days of growth.
//! Promises:   every operator that has anything of the campaign has one row.
//! Knows not:  SQL, HTTP.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::*;
use crate::store::{DAY, EndsRow, GrowthRow, OpenRow, OperatorRow, Result, Store};

/// What an operator has of a campaign, and what is still owed there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OperatorProgress {
    /// Null: not known to be a large one, or not asked yet.
    pub operator: Option<String>,
    pub delivered: u64,
    /// Refused for good.
    pub failed: u64,
    /// Came back by a report after it was taken.
    pub bounced: u64,
    pub complained: u64,
    pub waiting: u64,
    /// Of what waits: put off by a host.
    pub deferred: u64,
    pub held: u64,
    /// When the first of what waits is tried.
    pub due_at: Option<Timestamp>,
}

pub async fn by_operator(store: &Store, campaign: CampaignId) -> Result<Vec<OperatorProgress>> {
    let ends = store.ends_by_operator(campaign).await?;
    let open = store.open_by_operator(campaign).await?;
    Ok(rows(&ends, &open, &store.operators().await?))
}

/// Those with the most mail first.
fn rows(ends: &[EndsRow], open: &[OpenRow], operators: &[OperatorRow]) -> Vec<OperatorProgress> {
    let mut found: BTreeMap<OperatorId, OperatorProgress> = BTreeMap::new();
    for row in ends {
        let of = found.entry(row.operator).or_default();
        match row.kind.as_str() {
            "delivered" => of.delivered += row.count,
            "failed" => of.failed += row.count,
            "bounced" => of.bounced += row.count,
            "complained" => of.complained += row.count,
            _ => {}
        }
    }
    for row in open {
        let of = found.entry(row.operator).or_default();
        if row.state == State::Held {
            of.held += row.count;
            continue;
        }
        of.waiting += row.count;
        of.deferred += row.deferred;
        if row.state == State::Waiting {
            of.due_at = Some(of.due_at.map_or(row.due_at, |before| before.min(row.due_at)));
        }
    }
    let named = |(id, row): (OperatorId, OperatorProgress)| {
        let operator = operators.iter().find(|operator| operator.id == id);
        OperatorProgress { operator: operator.map(|operator| operator.name.clone()), ..row }
    };
    let mut rows: Vec<OperatorProgress> = found.into_iter().map(named).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.delivered + row.failed + row.waiting + row.held));
    rows
}

/// Who came to a list on one day and is on it, who left it that day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GrowthDay {
    pub begins_at: Timestamp,
    pub joined: u64,
    pub left: u64,
    /// All who are on it and had come by the end of the day.
    pub subscribed: u64,
}

/// As many days as asked for, the last one unfinished.
pub async fn growth(
    store: &Store,
    list: ListId,
    days: u32,
    now: Timestamp,
) -> Result<Vec<GrowthDay>> {
    let today = now.0.div_euclid(DAY);
    let from = Timestamp((today - i64::from(days) + 1) * DAY);
    Ok(grown(&store.list_growth(list, from).await?, from, days))
}

fn grown(rows: &[GrowthRow], from: Timestamp, days: u32) -> Vec<GrowthDay> {
    let count = |step: i64, status: MembershipStatus| -> u64 {
        let found = rows.iter().filter(|row| row.step == step && row.status == status);
        found.map(|row| row.count).sum()
    };
    let mut subscribed = count(-1, MembershipStatus::Subscribed);
    let day = |step: u32| {
        let joined = count(i64::from(step), MembershipStatus::Subscribed);
        subscribed += joined;
        GrowthDay {
            begins_at: Timestamp(from.0 + i64::from(step) * DAY),
            joined,
            left: count(i64::from(step), MembershipStatus::Unsubscribed),
            subscribed,
        }
    };
    (0..days).map(day).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(operator: i64, state: State, count: u64, deferred: u64, due: i64) -> OpenRow {
        let (operator, due_at) = (OperatorId(operator), Timestamp(due));
        OpenRow { operator, state, count, deferred, due_at }
    }

    #[test]
    fn every_operator_has_one_row_with_what_ended_and_what_is_open() {
        let end = |operator, kind: &str, count| EndsRow {
            operator: OperatorId(operator),
            kind: kind.to_owned(),
            count,
        };
        let ends = [end(1, "delivered", 5), end(1, "failed", 1), end(0, "bounced", 2)];
        let open = [
            open(1, State::Waiting, 4, 3, 90),
            open(1, State::Leased, 1, 0, 10),
            open(1, State::Held, 2, 0, 5),
            open(0, State::Waiting, 1, 0, 70),
        ];
        let rows = rows(&ends, &open, &[]);
        let first = OperatorProgress {
            delivered: 5,
            failed: 1,
            waiting: 5,
            deferred: 3,
            held: 2,
            due_at: Some(Timestamp(90)),
            ..OperatorProgress::default()
        };
        let other = OperatorProgress {
            bounced: 2,
            waiting: 1,
            due_at: Some(Timestamp(70)),
            ..OperatorProgress::default()
        };
        assert_eq!(rows, [first, other]);
    }

    #[test]
    fn growth_adds_up_from_those_who_were_there_before() {
        let row = |step, status, count| GrowthRow { step, status, count };
        let rows = [
            row(-1, MembershipStatus::Subscribed, 10),
            row(-1, MembershipStatus::Unsubscribed, 7),
            row(1, MembershipStatus::Subscribed, 3),
            row(1, MembershipStatus::Unsubscribed, 1),
        ];
        let days = grown(&rows, Timestamp(0), 2);
        let seen: Vec<_> = days
            .iter()
            .map(|day| (day.begins_at.0, day.joined, day.left, day.subscribed))
            .collect();
        assert_eq!(seen, [(0, 0, 0, 10), (DAY, 3, 1, 13)]);
    }
}
