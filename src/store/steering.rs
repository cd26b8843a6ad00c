//! Rules that hold mail, and recipients that are traced.
//!
//! Owns:       the tables `hold_rules` and `traces`, and what a rule means to a claim.
//! Promises:   what a rule catches is left by a claim, and no row is changed for it.
//! Knows not:  who makes a rule.

use crate::model::*;

use super::changes::RowWrite;
use super::database::{Row, Value};
use super::dialect::Statement;
use super::error::{Result, StoreError};
use super::{Store, collect};

/// A part of a WHERE over a rule `h` and `deliveries`: the rule catches the row. What is of the
/// message is asked only where a rule asks for it.
macro_rules! caught {
    () => {
        "(h.organization IS NULL OR h.organization = deliveries.organization) \
         AND (h.stream IS NULL OR h.stream = deliveries.stream) \
         AND (h.campaign IS NULL OR h.campaign = deliveries.campaign) \
         AND (h.recipient_domain IS NULL OR h.recipient_domain = deliveries.recipient_domain) \
         AND (h.credential IS NULL OR h.credential = \
           (SELECT m.credential FROM messages m WHERE m.id = deliveries.message)) \
         AND (h.tag IS NULL OR h.tag = \
           (SELECT m.tag FROM messages m WHERE m.id = deliveries.message)) \
         AND (h.sender IS NULL OR EXISTS (SELECT 1 FROM messages m \
           WHERE m.id = deliveries.message AND (LOWER(m.sender) = h.sender \
           OR h.sender LIKE '@%' AND LOWER(m.sender) LIKE \
             '%' || REPLACE(REPLACE(h.sender, '!', '!!'), '_', '!_') ESCAPE '!')))"
    };
}
pub(super) use caught;

/// A part of a WHERE over `deliveries`: no rule catches the row.
macro_rules! not_held {
    () => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM hold_rules h WHERE ",
            crate::store::steering::caught!(),
            ")"
        )
    };
}
pub(super) use not_held;

/// A rule that is not there yet, with what waits.
macro_rules! would_hold {
    ($columns:literal, $tail:literal) => {
        Statement::new(concat!(
            "SELECT ",
            $columns,
            " FROM (SELECT CAST($1 AS BIGINT) AS organization, CAST($2 AS BIGINT) AS stream, \
             CAST($3 AS BIGINT) AS campaign, CAST($4 AS BIGINT) AS credential, \
             CAST($5 AS TEXT) AS tag, CAST($6 AS TEXT) AS sender, \
             CAST($7 AS TEXT) AS recipient_domain) AS h CROSS JOIN deliveries \
             WHERE deliveries.state = 'waiting' AND ",
            caught!(),
            $tail
        ))
    };
}
pub static COUNT_WOULD_HOLD: Statement = would_hold!("COUNT(*)", "");
pub static SOME_WOULD_HOLD: Statement = would_hold!("deliveries.recipient", " LIMIT 5");

pub static HOLD_RULES: Statement = Statement::new(
    "SELECT id, organization, stream, campaign, credential, tag, sender, recipient_domain, \
     reason, created_at FROM hold_rules ORDER BY id",
);

pub static INSERT_HOLD_RULE: Statement = Statement::new(
    "INSERT INTO hold_rules (id, organization, stream, campaign, credential, tag, sender, \
     recipient_domain, reason, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
);

pub static DELETE_HOLD_RULE: Statement = Statement::new("DELETE FROM hold_rules WHERE id = $1");

pub static TRACES: Statement = Statement::new(
    "SELECT id, organization, recipient, created_at, expires_at FROM traces \
     WHERE expires_at > $1 ORDER BY id",
);

pub static INSERT_TRACE: Statement = Statement::new(
    "INSERT INTO traces (id, organization, recipient, created_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5)",
);

pub static DELETE_TRACE: Statement = Statement::new("DELETE FROM traces WHERE id = $1");

pub static FORGET_TRACES: Statement = Statement::new("DELETE FROM traces WHERE expires_at <= $1");

/// Another pool for what is not over yet.
pub static REROUTE: Statement = Statement::new(
    "UPDATE deliveries SET pool = $2 WHERE id IN (SELECT id FROM {ids:1} AS wanted) \
     AND state IN ('waiting', 'leased', 'held')",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &HOLD_RULES,
    &COUNT_WOULD_HOLD,
    &SOME_WOULD_HOLD,
    &INSERT_HOLD_RULE,
    &DELETE_HOLD_RULE,
    &TRACES,
    &INSERT_TRACE,
    &DELETE_TRACE,
    &FORGET_TRACES,
    &REROUTE,
];

impl Store {
    pub async fn hold_rules(&self) -> Result<Vec<HoldRule>> {
        collect(self.read(&HOLD_RULES, vec![]).await?, hold_rule)
    }

    pub async fn add_hold_rule(&self, matches: HoldMatch, reason: &str) -> Result<HoldRule> {
        let id = self.reserve_id("hold_rule").await?;
        let created_at = self.now();
        let mut values = vec![id.into()];
        values.extend(values_of(&matches));
        values.extend([reason.into(), created_at.0.into()]);
        self.write(vec![RowWrite::new(&INSERT_HOLD_RULE, values)]).await?;
        Ok(HoldRule { id: HoldRuleId(id), matches, reason: reason.to_owned(), created_at })
    }

    /// How many deliveries that wait a rule would catch, and the recipients of some of them.
    pub async fn would_hold(&self, matches: &HoldMatch) -> Result<(u64, Vec<String>)> {
        let rows = self.read(&COUNT_WOULD_HOLD, values_of(matches).to_vec()).await?;
        let count = rows.first().map_or(Ok(0), |row| row.unsigned(0))?;
        let rows = self.read(&SOME_WOULD_HOLD, values_of(matches).to_vec()).await?;
        Ok((count, collect(rows, |row| row.text(0))?))
    }

    /// False when there is no such rule.
    pub async fn remove_hold_rule(&self, id: HoldRuleId) -> Result<bool> {
        let write = RowWrite::new(&DELETE_HOLD_RULE, vec![id.0.into()]);
        Ok(self.write(vec![write]).await? > 0)
    }

    /// Those that are not over.
    pub async fn traces(&self) -> Result<Vec<Trace>> {
        collect(self.read(&TRACES, vec![self.now().0.into()]).await?, |row| {
            Ok(Trace {
                id: TraceId(row.int(0)?),
                organization: OrganizationId(row.int(1)?),
                recipient: row.text(2)?.parse().map_err(StoreError::broken_row)?,
                created_at: Timestamp(row.int(3)?),
                expires_at: Timestamp(row.int(4)?),
            })
        })
    }

    pub async fn add_trace(
        &self,
        organization: OrganizationId,
        recipient: Pattern,
        expires_at: Timestamp,
    ) -> Result<Trace> {
        let id = self.reserve_id("trace").await?;
        let created_at = self.now();
        let values = vec![
            id.into(),
            organization.0.into(),
            recipient.as_str().into(),
            created_at.0.into(),
            expires_at.0.into(),
        ];
        self.write(vec![
            RowWrite::new(&INSERT_TRACE, values),
            RowWrite::new(&FORGET_TRACES, vec![created_at.0.into()]),
        ])
        .await?;
        Ok(Trace { id: TraceId(id), organization, recipient, created_at, expires_at })
    }

    /// False when there is no such trace.
    pub async fn remove_trace(&self, id: TraceId) -> Result<bool> {
        Ok(self.write(vec![RowWrite::new(&DELETE_TRACE, vec![id.0.into()])]).await? > 0)
    }
}

/// In the order of the columns of `hold_rules`.
fn values_of(matches: &HoldMatch) -> [Value; 7] {
    [
        matches.organization.map(|id| id.0).into(),
        matches.stream.map(|id| id.0).into(),
        matches.campaign.map(|id| id.0).into(),
        matches.credential.map(|id| id.0).into(),
        matches.tag.clone().into(),
        matches.sender.as_ref().map(ToString::to_string).into(),
        matches.recipient_domain.as_ref().map(ToString::to_string).into(),
    ]
}

fn hold_rule(row: &Row) -> Result<HoldRule> {
    let pattern = |text: Option<String>| {
        text.map(|text| text.parse().map_err(StoreError::broken_row)).transpose()
    };
    Ok(HoldRule {
        id: HoldRuleId(row.int(0)?),
        matches: HoldMatch {
            organization: row.maybe_int(1)?.map(OrganizationId),
            stream: row.maybe_int(2)?.map(StreamId),
            campaign: row.maybe_int(3)?.map(CampaignId),
            credential: row.maybe_int(4)?.map(CredentialId),
            tag: row.maybe_text(5)?,
            sender: pattern(row.maybe_text(6)?)?,
            recipient_domain: row.maybe_parsed(7)?,
        },
        reason: row.text(8)?,
        created_at: Timestamp(row.int(9)?),
    })
}
