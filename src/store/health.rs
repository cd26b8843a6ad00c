//! Health windows: counts by the hour, rates that are not good, what came back for mail taken.
//!
//! Owns:       the tables `health_hours`, `health_standings` and `health_heard`.
//! Promises:   what came back is counted once, also when the daemon is killed; a standing and the
//!             event that tells of it commit together.
//! Knows not:  which rate is too high.

use crate::model::*;

use super::changes::{Change, INSERT_EVENT};
use super::database::{Connection, Row};
use super::dialect::{Column, Rows, Statement, int, json_ids, text};
use super::error::{Result, StoreError};
use super::event_ids::Events;
use super::late_signals::TAKEN;
use super::{Store, collect};

/// Standings that are read at start; there are few, or nobody looks at them.
const STANDINGS_MAX: i64 = 100_000;

/// What is added to an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthHour {
    pub subject: WindowSubject,
    pub operator: OperatorId,
    pub hour: Timestamp,
    pub organization: OrganizationId,
    pub counts: WindowCounts,
}

/// One window: a day's counts, and a week's for what comes in late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSum {
    pub subject: WindowSubject,
    /// None for all of them.
    pub operator: Option<OperatorId>,
    pub organization: OrganizationId,
    pub day: WindowCounts,
    pub week: WindowCounts,
}

/// A rate that is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthStanding {
    pub subject: WindowSubject,
    pub operator: Option<OperatorId>,
    pub rate: WindowRate,
    pub organization: OrganizationId,
    pub standing: WindowStanding,
    pub since: Timestamp,
}

/// What a look at the windows has changed.
#[derive(Clone, Debug, Default)]
pub struct HealthNews {
    /// With the fields of the event that tells of it, where one does.
    pub worse: Vec<(HealthStanding, serde_json::Value)>,
    pub good_again: Vec<HealthStanding>,
    /// Events alone: what stops at one small host has no standing.
    pub told: Vec<(OrganizationId, serde_json::Value)>,
}

impl HealthNews {
    pub fn is_empty(&self) -> bool {
        self.worse.is_empty() && self.good_again.is_empty() && self.told.is_empty()
    }
}

#[derive(Clone, Debug)]
pub enum HealthChange {
    Add(Vec<HealthHour>),
    /// Those up to an event, if they were counted up to `from`.
    Heard {
        from: EventId,
        upto: EventId,
        hours: Vec<HealthHour>,
    },
    News {
        news: Box<HealthNews>,
        at: Timestamp,
    },
    Forget {
        before: Timestamp,
    },
}

/// Something that came back for mail that a host had taken.
#[derive(Clone, Debug)]
pub struct CameBack {
    pub event: EventId,
    pub is_complaint: bool,
    /// The address is lost.
    pub is_hard: bool,
    pub operator: OperatorId,
    pub site: SiteId,
    pub organization: OrganizationId,
    pub campaign: Option<CampaignId>,
    pub credential: Option<CredentialId>,
    pub domain: Option<DomainId>,
    pub taken_at: Timestamp,
    /// By name; None where it is not known any more.
    pub source: Option<String>,
}

const HOUR_COLUMNS: &[Column] = &[
    text("kind"),
    int("subject"),
    int("operator"),
    int("hour"),
    int("organization"),
    int("answered"),
    int("taken"),
    int("ended"),
    int("bounced"),
    int("deferred"),
    int("blocked"),
    int("complained"),
];

pub static ADD_HEALTH_HOURS: Statement = Statement::with_rows(
    HOUR_COLUMNS,
    "INSERT INTO health_hours (kind, subject, operator, hour, organization, answered, taken, \
     ended, bounced, deferred, blocked, complained) SELECT kind, subject, operator, hour, \
     organization, answered, taken, ended, bounced, deferred, blocked, complained \
     FROM {rows} AS r WHERE 1 = 1 ON CONFLICT (kind, subject, operator, hour) DO UPDATE SET \
     answered = health_hours.answered + excluded.answered, \
     taken = health_hours.taken + excluded.taken, \
     ended = health_hours.ended + excluded.ended, \
     bounced = health_hours.bounced + excluded.bounced, \
     deferred = health_hours.deferred + excluded.deferred, \
     blocked = health_hours.blocked + excluded.blocked, \
     complained = health_hours.complained + excluded.complained",
);
pub static FORGET_HEALTH_HOURS: Statement =
    Statement::new("DELETE FROM health_hours WHERE hour < $1");
pub static HEARD: Statement = Statement::new("SELECT event FROM health_heard WHERE id = 1");
pub static SET_HEARD: Statement =
    Statement::new("UPDATE health_heard SET event = $2 WHERE id = 1 AND event = $1");

macro_rules! sums {
    ($head:literal, $tail:literal) => {
        Statement::new(concat!(
            "SELECT kind, subject, ",
            $head,
            " MAX(organization), \
             CAST(SUM(CASE WHEN hour >= $1 THEN answered ELSE 0 END) AS BIGINT), \
             CAST(SUM(CASE WHEN hour >= $1 THEN taken ELSE 0 END) AS BIGINT), \
             CAST(SUM(CASE WHEN hour >= $1 THEN ended ELSE 0 END) AS BIGINT), \
             CAST(SUM(CASE WHEN hour >= $1 THEN bounced ELSE 0 END) AS BIGINT), \
             CAST(SUM(CASE WHEN hour >= $1 THEN deferred ELSE 0 END) AS BIGINT), \
             CAST(SUM(CASE WHEN hour >= $1 THEN blocked ELSE 0 END) AS BIGINT), \
             CAST(SUM(CASE WHEN hour >= $1 THEN complained ELSE 0 END) AS BIGINT), \
             CAST(SUM(answered) AS BIGINT), CAST(SUM(taken) AS BIGINT), \
             CAST(SUM(ended) AS BIGINT), CAST(SUM(bounced) AS BIGINT), \
             CAST(SUM(deferred) AS BIGINT), CAST(SUM(blocked) AS BIGINT), \
             CAST(SUM(complained) AS BIGINT) FROM health_hours WHERE hour >= $2 ",
            $tail
        ))
    };
}

/// Of some subjects of one kind, by operator.
pub static HEALTH_OF: Statement = sums!(
    "operator,",
    "AND kind = $3 AND subject IN (SELECT id FROM {ids:4} AS wanted) \
     GROUP BY kind, subject, operator"
);
/// In the order of kind, subject and operator, behind a place.
pub static HEALTH_BY_OPERATOR: Statement = sums!(
    "operator,",
    "AND ($3 = '' OR kind = $3) AND ($4 = 0 OR subject = $4) AND ($5 = 0 OR organization = $5) \
     AND ($6 = 0 OR operator = $6) AND (kind > $7 OR (kind = $7 AND (subject > $8 \
     OR (subject = $8 AND operator > $9)))) \
     GROUP BY kind, subject, operator ORDER BY kind, subject, operator LIMIT $10"
);
pub static HEALTH_IN_ALL: Statement = sums!(
    "CAST(0 AS BIGINT),",
    "AND ($3 = '' OR kind = $3) AND ($4 = 0 OR subject = $4) AND ($5 = 0 OR organization = $5) \
     AND ($6 = 0 OR operator = $6) AND (kind > $7 OR (kind = $7 AND subject > $8)) \
     GROUP BY kind, subject ORDER BY kind, subject LIMIT $9"
);

const STANDING_COLUMNS: &[Column] = &[
    text("kind"),
    int("subject"),
    int("operator"),
    text("rate"),
    int("organization"),
    text("standing"),
    int("since"),
];
pub static PUT_STANDINGS: Statement = Statement::with_rows(
    STANDING_COLUMNS,
    "INSERT INTO health_standings (kind, subject, operator, rate, organization, standing, since) \
     SELECT kind, subject, operator, rate, organization, standing, since FROM {rows} AS r \
     WHERE 1 = 1 ON CONFLICT (kind, subject, operator, rate) DO UPDATE SET \
     standing = excluded.standing, since = excluded.since",
);
pub static END_STANDING: Statement = Statement::new(
    "DELETE FROM health_standings \
     WHERE kind = $1 AND subject = $2 AND operator = $3 AND rate = $4",
);
pub static STANDINGS: Statement = Statement::new(
    "SELECT kind, subject, operator, rate, organization, standing, since FROM health_standings \
     LIMIT $1",
);

/// Each half walks an index of its own: these are few among all events.
pub static CAME_BACK_AFTER: Statement = Statement::new(
    "SELECT c.id, c.kind, c.fields, c.message, c.delivery, COALESCE(s.operator, 1), \
     d.organization, d.campaign, m.credential, d.domain, COALESCE(d.delivered_at, c.at), \
     d.site \
     FROM (SELECT id, kind, fields, message, delivery, at FROM events \
       WHERE kind = 'complained' AND id > $1 AND id < $2 \
       UNION ALL SELECT id, kind, fields, message, delivery, at FROM events \
       WHERE kind = 'bounced' AND id > $1 AND id < $2) AS c \
     JOIN deliveries AS d ON d.id = c.delivery \
     JOIN messages AS m ON m.id = d.message LEFT JOIN sites AS s ON s.id = d.site \
     ORDER BY c.id LIMIT 1000",
);
#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &ADD_HEALTH_HOURS,
    &FORGET_HEALTH_HOURS,
    &HEARD,
    &SET_HEARD,
    &HEALTH_OF,
    &HEALTH_BY_OPERATOR,
    &HEALTH_IN_ALL,
    &PUT_STANDINGS,
    &END_STANDING,
    &STANDINGS,
    &CAME_BACK_AFTER,
];

/// Which windows are asked for.
#[derive(Clone, Debug, Default)]
pub struct HealthFilter {
    pub kind: Option<WindowKind>,
    pub subject: Option<i64>,
    pub operator: Option<OperatorId>,
    pub by_operator: bool,
    /// Those behind it.
    pub after: Option<(WindowKind, i64, i64)>,
}

impl Store {
    pub async fn change_health(&self, change: HealthChange) -> Result<i64> {
        self.change(Change::Health(Box::new(change))).await
    }

    /// The last event that is counted.
    pub async fn health_heard(&self) -> Result<EventId> {
        Ok(EventId(self.database().fetch_one(&HEARD, vec![]).await?.int(0)?))
    }

    /// What came back after that event; at most a thousand.
    pub async fn came_back_after(&self, after: EventId) -> Result<Vec<CameBack>> {
        let mut all = Vec::new();
        let values = vec![after.0.into(), self.settled_before().await?.into()];
        for row in self.read(&CAME_BACK_AFTER, values).await? {
            let taken = self.read(&TAKEN, vec![row.int(3)?.into(), row.int(4)?.into()]).await?;
            let fields = |text: String| -> Result<serde_json::Value> {
                serde_json::from_str(&text).map_err(StoreError::broken_row)
            };
            let source = match taken.first() {
                Some(row) => fields(row.text(0)?)?["source"].as_str().map(str::to_owned),
                None => None,
            };
            all.push(CameBack {
                event: EventId(row.int(0)?),
                is_complaint: row.text(1)? == EventKind::Complained.word(),
                is_hard: fields(row.text(2)?)?["hard"] == true,
                operator: OperatorId(row.int(5)?),
                organization: OrganizationId(row.int(6)?),
                campaign: row.maybe_int(7)?.map(CampaignId),
                credential: row.maybe_int(8)?.map(CredentialId),
                domain: row.maybe_int(9)?.map(DomainId),
                taken_at: Timestamp(row.int(10)?),
                site: SiteId(row.int(11)?),
                source,
            });
        }
        Ok(all)
    }

    /// By operator, of some subjects of one kind.
    pub async fn health_of(
        &self,
        kind: WindowKind,
        subjects: &[i64],
        (day, week): (Timestamp, Timestamp),
    ) -> Result<Vec<HealthSum>> {
        let ids = json_ids(subjects.iter().copied());
        let values = vec![day.0.into(), week.0.into(), kind.word().into(), ids.into()];
        collect(self.read(&HEALTH_OF, values).await?, sum)
    }

    /// In order, those of the hours since `since`; `day` is a shorter window within.
    pub async fn health_windows(
        &self,
        scope: Scope,
        filter: &HealthFilter,
        (day, since): (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<HealthSum>> {
        let (kind, subject, operator) = match filter.after {
            Some((kind, subject, operator)) => (kind.word(), subject, operator),
            None => ("", 0, 0),
        };
        let mut values = vec![
            day.0.into(),
            since.0.into(),
            filter.kind.map_or("", WindowKind::word).into(),
            filter.subject.unwrap_or(0).into(),
            scope.organization().map_or(0, |id| id.0).into(),
            filter.operator.map_or(0, |id| id.0).into(),
            kind.into(),
            subject.into(),
        ];
        let statement = match filter.by_operator {
            true => {
                values.push(operator.into());
                &HEALTH_BY_OPERATOR
            }
            false => &HEALTH_IN_ALL,
        };
        values.push(i64::from(limit).into());
        collect(self.read(statement, values).await?, sum)
    }

    pub async fn health_standings(&self) -> Result<Vec<HealthStanding>> {
        collect(self.read(&STANDINGS, vec![STANDINGS_MAX.into()]).await?, |row| {
            Ok(HealthStanding {
                subject: WindowSubject::new(row.parsed(0)?, row.int(1)?),
                operator: Some(row.int(2)?).filter(|id| *id != 0).map(OperatorId),
                rate: row.parsed(3)?,
                organization: OrganizationId(row.int(4)?),
                standing: row.parsed(5)?,
                since: Timestamp(row.int(6)?),
            })
        })
    }
}

fn sum(row: &Row) -> Result<HealthSum> {
    let counts = |first: usize| -> Result<WindowCounts> {
        Ok(WindowCounts {
            answered: row.unsigned(first)?,
            taken: row.unsigned(first + 1)?,
            ended: row.unsigned(first + 2)?,
            bounced: row.unsigned(first + 3)?,
            deferred: row.unsigned(first + 4)?,
            blocked: row.unsigned(first + 5)?,
            complained: row.unsigned(first + 6)?,
        })
    };
    Ok(HealthSum {
        subject: WindowSubject::new(row.parsed(0)?, row.int(1)?),
        operator: Some(row.int(2)?).filter(|id| *id != 0).map(OperatorId),
        organization: OrganizationId(row.int(3)?),
        day: counts(4)?,
        week: counts(11)?,
    })
}

pub(super) async fn write(
    connection: &mut Connection,
    change: &HealthChange,
    events: &mut Events,
) -> Result<i64> {
    let rows = match change {
        HealthChange::Add(hours) => add(connection, hours).await?,
        HealthChange::Heard { from, upto, hours } => {
            let moved = connection.execute(&SET_HEARD, vec![from.0.into(), upto.0.into()]).await?;
            if moved > 0 {
                add(connection, hours).await?;
            }
            moved
        }
        HealthChange::News { news, at } => {
            write_news(connection, news, *at, events).await?;
            1
        }
        HealthChange::Forget { before } => {
            connection.execute(&FORGET_HEALTH_HOURS, vec![before.0.into()]).await?
        }
    };
    super::changes::rows(rows)
}

async fn add(connection: &mut Connection, hours: &[HealthHour]) -> Result<u64> {
    if hours.is_empty() {
        return Ok(0);
    }
    let mut rows = Rows::new(connection.dialect(), HOUR_COLUMNS);
    for one in hours {
        rows.text(one.subject.kind.word()).int(one.subject.id).int(one.operator.0);
        rows.int(one.hour.0).int(one.organization.0);
        let counts = &one.counts;
        rows.unsigned(counts.answered).unsigned(counts.taken).unsigned(counts.ended);
        rows.unsigned(counts.bounced).unsigned(counts.deferred).unsigned(counts.blocked);
        rows.unsigned(counts.complained);
    }
    connection.execute(&ADD_HEALTH_HOURS, vec![rows.finish().into()]).await
}

async fn write_news(
    connection: &mut Connection,
    news: &HealthNews,
    at: Timestamp,
    events: &mut Events,
) -> Result<()> {
    let mut rows = Rows::new(connection.dialect(), STANDING_COLUMNS);
    for (one, _) in &news.worse {
        rows.text(one.subject.kind.word()).int(one.subject.id);
        rows.int(one.operator.map_or(0, |id| id.0)).text(one.rate.word());
        rows.int(one.organization.0).text(one.standing.word()).int(one.since.0);
    }
    if rows.count() > 0 {
        connection.execute(&PUT_STANDINGS, vec![rows.finish().into()]).await?;
    }
    let worse = news.worse.iter().map(|(one, fields)| (&one.organization, fields));
    let told = news.told.iter().map(|(organization, fields)| (organization, fields));
    for (organization, fields) in worse.chain(told) {
        let values = vec![
            events.take(connection, 1).await?.into(),
            at.0.into(),
            EventKind::Alarm.word().into(),
            organization.0.into(),
            fields.to_string().into(),
        ];
        connection.execute(&INSERT_EVENT, values).await?;
    }
    for one in &news.good_again {
        let values = vec![
            one.subject.kind.word().into(),
            one.subject.id.into(),
            one.operator.map_or(0, |id| id.0).into(),
            one.rate.word().into(),
        ];
        connection.execute(&END_STANDING, values).await?;
    }
    Ok(())
}
