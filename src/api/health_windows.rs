//! /v1/health-windows: how much of what was offered bounced, was put off, refused or complained of.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::extract::Query;
use super::problem::Problem;
use crate::model::*;
use crate::store::{HealthFilter, HealthStanding, HealthSum};

const LIMIT: u32 = 100;
const LIMIT_MAX: u32 = 500;
const HOURS: u32 = 24;
const HOURS_MAX: u32 = 90 * 24;

/// A rate, where it lies with 95 % confidence, and what was told of it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RateView {
    pub count: u64,
    pub of: u64,
    pub rate: f64,
    pub low: f64,
    pub high: f64,
    /// What an alarm has told last: by the last day, for complaints by the last week.
    pub standing: WindowStanding,
    pub since: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HealthWindow {
    pub kind: WindowKind,
    pub id: i64,
    /// Missing for campaigns, and for what is gone.
    pub name: Option<String>,
    /// Null for all of them.
    pub operator: Option<String>,
    pub counts: WindowCounts,
    /// Lost addresses, of mail that was taken or refused for good.
    pub bounce: RateView,
    /// Of mail that was taken.
    pub complaint: RateView,
    /// Put off, of all answers.
    pub deferral: RateView,
    /// Put off or refused for reputation, of all answers.
    pub block: RateView,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WindowsQuery {
    /// Only of sources, sending domains, organizations, campaigns or credentials.
    kind: Option<WindowKind>,
    /// Only this one of the kind.
    id: Option<i64>,
    /// Only what was met at this operator.
    operator: Option<String>,
    /// A window for each operator, and not one for all.
    #[serde(default)]
    by_operator: bool,
    /// How far the windows reach back.
    #[param(minimum = 1, maximum = 2160, default = 24)]
    hours: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
}

/// What rows are named by.
struct Names {
    operators: HashMap<OperatorId, String>,
    subjects: HashMap<WindowSubject, String>,
    standings: Vec<HealthStanding>,
}

impl Names {
    async fn read<N>(call: &Call<N>) -> Result<Names, Problem> {
        let store = &call.store;
        let mut subjects = HashMap::new();
        let mut put = |kind, id: i64, name: String| {
            subjects.insert(WindowSubject::new(kind, id), name);
        };
        for row in store.domains().await? {
            put(WindowKind::Domain, row.id.0, row.name.to_string());
        }
        for row in store.organizations().await? {
            put(WindowKind::Organization, row.id.0, row.name);
        }
        for row in store.credentials().await? {
            put(WindowKind::Credential, row.id.0, row.name);
        }
        for row in store.source_tables().await?.sources {
            put(WindowKind::Source, row.id.0, row.name);
        }
        let operators = store.operators().await?.into_iter().map(|row| (row.id, row.name));
        let standings = store.health_standings().await?;
        Ok(Names { operators: operators.collect(), subjects, standings })
    }

    fn rate(&self, sum: &HealthSum, rate: WindowRate) -> RateView {
        let (count, of) = sum.week.of(rate);
        let Share { rate: share, low, high, .. } = Share::new(count, of);
        let is_it = |one: &&HealthStanding| {
            one.subject == sum.subject && one.operator == sum.operator && one.rate == rate
        };
        let told = self.standings.iter().find(is_it);
        RateView {
            count,
            of,
            rate: share,
            low,
            high,
            standing: told.map_or(WindowStanding::Good, |told| told.standing),
            since: told.map(|told| told.since),
        }
    }

    fn view(&self, sum: &HealthSum) -> HealthWindow {
        let operator = sum
            .operator
            .map(|id| self.operators.get(&id).cloned().unwrap_or_else(|| id.to_string()));
        HealthWindow {
            kind: sum.subject.kind,
            id: sum.subject.id,
            name: self.subjects.get(&sum.subject).cloned(),
            operator,
            counts: sum.week,
            bounce: self.rate(sum, WindowRate::Bounce),
            complaint: self.rate(sum, WindowRate::Complaint),
            deferral: self.rate(sum, WindowRate::Deferral),
            block: self.rate(sum, WindowRate::Block),
        }
    }
}

/// List rates of bounces, complaints, deferrals and blocks by source, sending domain, organization,
/// campaign and credential.
#[utoipa::path(get, path = "/v1/health-windows", tag = "health", params(WindowsQuery),
    responses((status = 200, body = Page<HealthWindow>)), security(("key" = ["delivery_read"])))]
pub(super) async fn list(
    call: Call<needs::DeliveryRead>,
    Query(query): Query<WindowsQuery>,
) -> Result<axum::Json<Page<HealthWindow>>, Problem> {
    let limit = between("limit", query.limit.unwrap_or(LIMIT), LIMIT_MAX)?;
    let hours = between("hours", query.hours.unwrap_or(HOURS), HOURS_MAX)?;
    let names = Names::read(&call).await?;
    let operator = match &query.operator {
        Some(name) => {
            let found = names.operators.iter().find(|(_, own)| *own == name);
            let none = || Problem::of_field("operator", "there is no such operator".to_owned());
            Some(*found.ok_or_else(none)?.0)
        }
        None => None,
    };
    let after = query.cursor.as_deref().map(place).transpose()?;
    let filter = HealthFilter {
        kind: query.kind,
        subject: query.id,
        operator,
        by_operator: query.by_operator,
        after,
    };
    let since = call.clock.now() - Duration::from_secs(u64::from(hours) * 3600);
    let rows = call.store.health_windows(call.scope(), &filter, (since, since), limit).await?;
    let is_full = rows.len() >= limit as usize;
    let next = rows.last().filter(|_| is_full).map(|last| {
        let (subject, operator) = (last.subject, last.operator.map_or(0, |id| id.0));
        format!("{}.{}.{operator}", subject.kind, subject.id)
    });
    let items = rows.iter().map(|sum| names.view(sum)).collect();
    Ok(axum::Json(Page { items, next }))
}

fn between(field: &'static str, value: u32, most: u32) -> Result<u32, Problem> {
    if (1..=most).contains(&value) {
        return Ok(value);
    }
    Err(Problem::of_field(field, format!("must be between 1 and {most}")))
}

fn place(cursor: &str) -> Result<(WindowKind, i64, i64), Problem> {
    let wrong = || Problem::of_field("cursor", "must be `next` of the page before".to_owned());
    let mut parts = cursor.splitn(3, '.');
    let mut part = || parts.next().ok_or_else(wrong);
    let kind = part()?.parse().map_err(|_| wrong())?;
    let subject = part()?.parse().map_err(|_| wrong())?;
    let operator = part()?.parse().map_err(|_| wrong())?;
    Ok((kind, subject, operator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_place_or_is_refused() {
        assert_eq!(place("campaign.7.3").ok(), Some((WindowKind::Campaign, 7, 3)));
        for wrong in ["", "campaign", "campaign.7", "x.7.3", "campaign.7.3.4", "campaign.a.3"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
