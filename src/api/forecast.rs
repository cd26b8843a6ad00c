//! /v1/forecast: when a mailing would be done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::extract::Query;
use super::problem::Problem;
use super::sources::pool_named;
use super::warmups::controller;
use crate::model::*;
use crate::schedule::Schedule;
use crate::schedule::asked::Planned;
use crate::schedule::controller::Mailing;
use crate::schedule::forecast::{Forecast, Whose};
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
    /// With one more source of ours, which is new to the operator.
    #[serde(default)]
    pub ends_at_with_one_more: Option<Timestamp>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct ForecastView {
    pub begins_at: Timestamp,
    pub ends_at: Option<Timestamp>,
    pub bottleneck: Option<String>,
    pub operators: Vec<OperatorForecastView>,
    /// When it would end with one more source of ours, which is new everywhere.
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
    /// The name of the pool that would carry it, by weight and share; else the one that rules lead
    /// an organization's mail to; else all sources alike.
    #[serde(default)]
    pool: Option<String>,
    /// Whose mail it is: their limits count …
    #[serde(default)]
    organization: Option<OrganizationId>,
    #[serde(default)]
    stream: Option<StreamId>,
    /// … and the warm-up of its sending domain.
    #[serde(default)]
    sending_domain: Option<Domain>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// The name of the pool that would carry it; all sources when it is missing.
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
    let whose = whose_of(&call, &audience).await?;
    let (pool, pools) = match &audience.pool {
        Some(_) => (members(&call, audience.pool.as_deref()).await?, BTreeMap::new()),
        None => ruled(schedule, whose, None, counts.keys().copied()),
    };
    let backlog = call.store.waiting_by_operator().await?.into_iter().collect();
    let mailing = Mailing { audience: counts, backlog, pool, pools, whose, ..Mailing::default() };
    answer(&call, mailing, &rows).await
}

async fn whose_of<N>(call: &Call<N>, audience: &ForecastAudience) -> Result<Whose, Problem> {
    let mut whose = Whose::default();
    let unknown =
        |field: &str, what: String| Problem::of_field(field, format!("there is no {what}"));
    if let Some(id) = audience.stream {
        let streams = call.store.streams().await?;
        let row = streams.iter().find(|row| row.id == id);
        let row = row.ok_or_else(|| unknown("stream", format!("stream {id}")))?;
        (whose.stream, whose.organization) = (id, row.organization);
    }
    if let Some(id) = audience.organization {
        if !call.store.organizations().await?.iter().any(|row| row.id == id) {
            return Err(unknown("organization", format!("organization {id}")));
        }
        if audience.stream.is_some() && whose.organization != id {
            return Err(Problem::of_field("stream", "it is another organization's"));
        }
        whose.organization = id;
    }
    if let Some(name) = &audience.sending_domain {
        let domains = call.store.domains().await?;
        let row = domains.iter().find(|row| row.name == *name);
        let row = row.ok_or_else(|| unknown("sending_domain", format!("sending domain {name}")))?;
        whose.sending_domain = Some(row.id);
    }
    Ok(whose)
}

/// Say when what waits now will be sent.
#[utoipa::path(get, path = "/v1/forecast", tag = "forecast",
    params(Asked), responses((status = 200, body = ForecastView)),
    security(("key" = ["installation"])))]
pub(super) async fn show(
    call: Call<needs::Installation>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<ForecastView>, Problem> {
    let rows = call.store.operators().await?;
    let audience = call.store.waiting_by_operator().await?.into_iter().collect();
    let pool = members(&call, asked.pool.as_deref()).await?;
    answer(&call, Mailing { audience, pool, ..Mailing::default() }, &rows).await
}

/// Those of a pool by its name that may send, or all.
async fn members<N>(call: &Call<N>, pool: Option<&str>) -> Result<Vec<PoolMember>, Problem> {
    let pool = match pool {
        Some(name) => Some(pool_named(&call.store.source_tables().await?, name)?),
        None => None,
    };
    let able = |schedule: &Schedule| schedule.sources().able(pool);
    Ok(call.schedule.as_ref().map(able).unwrap_or_default())
}

/// The sources to which rules lead somebody's mail, and where it is others for an operator.
/// Nobody's mail goes by all of them alike.
pub(super) fn ruled(
    schedule: &Schedule,
    whose: Whose,
    sender: Option<&Address>,
    operators: impl Iterator<Item = OperatorId>,
) -> (Vec<PoolMember>, BTreeMap<OperatorId, Vec<PoolMember>>) {
    let sources = schedule.sources();
    let Whose { organization, stream, .. } = whose;
    if organization == OrganizationId::NOBODY {
        return (sources.able(None), BTreeMap::new());
    }
    let pool_of = |operator| {
        let planned = Planned { organization, stream, sender, operator };
        sources.able(Some(sources.pool_for(&planned)))
    };
    let pools: BTreeMap<_, _> = operators.map(|operator| (operator, pool_of(operator))).collect();
    (pool_of(OperatorId::TAIL), pools)
}

async fn answer<N>(
    call: &Call<N>,
    mailing: Mailing,
    rows: &[OperatorRow],
) -> Result<axum::Json<ForecastView>, Problem> {
    let told = controller(call)?.forecast(mailing).await?;
    let Some((forecast, one_more)) = told else {
        return Err(Problem::conflict("there is no source that could send"));
    };
    Ok(axum::Json(view(forecast, one_more, call.clock.now(), rows)))
}

fn view(
    forecast: Forecast,
    one_more: Option<Forecast>,
    begins_at: Timestamp,
    rows: &[OperatorRow],
) -> ForecastView {
    let name = |id: OperatorId| {
        let row = rows.iter().find(|row| row.id == id);
        row.map_or_else(|| format!("operator {id}"), |row| row.name.clone())
    };
    let with_one_more = |operator: OperatorId| {
        let told = one_more.as_ref()?.operators.iter().find(|one| one.operator == operator)?;
        told.ends_at
    };
    let operators = forecast.operators.into_iter().map(|one| OperatorForecastView {
        ends_at_with_one_more: with_one_more(one.operator),
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
        ends_at_with_one_more: one_more.as_ref().and_then(|told| told.ends_at),
    }
}
