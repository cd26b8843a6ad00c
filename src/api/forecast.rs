//! /v1/forecast: when a mailing would be done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::problem::Problem;
use super::sources::pool_named;
use super::warmups::controller;
use crate::model::*;
use crate::schedule::Schedule;
use crate::schedule::forecast::Forecast;
use crate::store::OperatorRow;

/// Names in one question, and recipients in all.
const NAMES_MAX: usize = 1000;
const RECIPIENTS_MAX: u64 = 1_000_000_000;

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct OperatorForecastView {
    pub operator: String,
    pub recipients: u64,
    /// Null: not within 120 days.
    pub ends_at: Option<Timestamp>,
    /// What it waits for most.
    pub bottleneck: Option<String>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct ForecastView {
    pub begins_at: Timestamp,
    pub ends_at: Option<Timestamp>,
    pub bottleneck: Option<String>,
    pub operators: Vec<OperatorForecastView>,
    /// When it would end with one more source of ours, as new as the others were.
    pub ends_at_with_one_more: Option<Timestamp>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForecastAudience {
    /// Recipients by the name of an operator …
    #[serde(default)]
    operators: BTreeMap<String, u64>,
    /// … and by domain; the operators of these are looked up.
    #[serde(default)]
    domains: BTreeMap<Domain, u64>,
    /// The name of the pool that would carry it, by weight and share; else all sources alike.
    #[serde(default)]
    pool: Option<String>,
}

/// Say when mail to this audience would be sent.
#[utoipa::path(post, path = "/v1/forecast", tag = "forecast",
    responses((status = 200, body = ForecastView)), security(("key" = ["installation"])))]
pub(super) async fn ask(
    call: Call<needs::Installation>,
    Json(audience): Json<ForecastAudience>,
) -> Result<axum::Json<ForecastView>, Problem> {
    if audience.operators.len() + audience.domains.len() > NAMES_MAX {
        let detail = format!("at most {NAMES_MAX} names; leave small domains to 'tail'");
        return Err(Problem::of_field("domains", detail));
    }
    let rows = call.store.operators().await?;
    let mut counts: BTreeMap<OperatorId, u64> = BTreeMap::new();
    for (name, count) in &audience.operators {
        let unknown = || Problem::of_field("operators", format!("there is no operator '{name}'"));
        let row = rows.iter().find(|row| row.name == *name).ok_or_else(unknown)?;
        *counts.entry(row.id).or_default() += count;
    }
    let schedule =
        call.schedule.as_ref().ok_or_else(|| Problem::conflict("no daemon is running"))?;
    for (domain, count) in &audience.domains {
        let name = schedule.operator_of(domain).await;
        let row = name.and_then(|name| rows.iter().find(|row| row.name == name));
        *counts.entry(row.map_or(OperatorId::TAIL, |row| row.id)).or_default() += count;
    }
    let sum = counts.values().fold(0u64, |sum, count| sum.saturating_add(*count));
    if sum > RECIPIENTS_MAX {
        let detail = format!("{sum} recipients are more than {RECIPIENTS_MAX}");
        return Err(Problem::of_field("operators", detail));
    }
    let waits = call.store.waiting_by_operator().await?.into_iter().collect();
    let pool = match &audience.pool {
        Some(name) => Some(pool_named(&call.store.source_tables().await?, name)?),
        None => None,
    };
    answer(&call, (counts, waits), pool, &rows).await
}

/// Say when what waits now will be sent.
#[utoipa::path(get, path = "/v1/forecast", tag = "forecast",
    responses((status = 200, body = ForecastView)), security(("key" = ["installation"])))]
pub(super) async fn show(
    call: Call<needs::Installation>,
) -> Result<axum::Json<ForecastView>, Problem> {
    let rows = call.store.operators().await?;
    let waiting = call.store.waiting_by_operator().await?;
    answer(&call, (waiting.into_iter().collect(), BTreeMap::new()), None, &rows).await
}

/// Those of a pool that may send, or all.
pub(super) fn able<N>(call: &Call<N>, pool: Option<PoolId>) -> Vec<PoolMember> {
    let able = |schedule: &Schedule| schedule.sources().able(pool);
    call.schedule.as_ref().map(able).unwrap_or_default()
}

async fn answer<N>(
    call: &Call<N>,
    (audience, waits): (BTreeMap<OperatorId, u64>, BTreeMap<OperatorId, u64>),
    pool: Option<PoolId>,
    rows: &[OperatorRow],
) -> Result<axum::Json<ForecastView>, Problem> {
    let told = controller(call)?.forecast(audience, waits, able(call, pool)).await?;
    let Some((forecast, one_more)) = told else {
        return Err(Problem::conflict("there is no source that could send"));
    };
    Ok(axum::Json(view(forecast, one_more, call.clock.now(), rows)))
}

fn view(
    forecast: Forecast,
    one_more: Option<Timestamp>,
    begins_at: Timestamp,
    rows: &[OperatorRow],
) -> ForecastView {
    let name = |id: OperatorId| {
        let row = rows.iter().find(|row| row.id == id);
        row.map_or_else(|| format!("operator {id}"), |row| row.name.clone())
    };
    let operators = forecast.operators.into_iter().map(|one| OperatorForecastView {
        operator: name(one.operator),
        recipients: one.recipients,
        ends_at: one.ends_at,
        bottleneck: one.bottleneck,
    });
    ForecastView {
        begins_at,
        ends_at: forecast.ends_at,
        bottleneck: forecast.bottleneck,
        operators: operators.collect(),
        ends_at_with_one_more: one_more,
    }
}
