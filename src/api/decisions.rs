//! /v1/decisions: what rules have changed by themselves, and why.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::extract::{Path, Query};
use super::problem::Problem;
use super::warmups::controller;
use crate::model::*;

const LIMIT: u32 = 100;
const LIMIT_MAX: u32 = 500;

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct DecisionView {
    pub id: DecisionId,
    pub at: Timestamp,
    pub rule: DecisionRule,
    pub cause: String,
    /// What was answered, at most three.
    pub samples: Vec<String>,
    /// From where, whereto, for whom.
    pub from: String,
    pub to: String,
    pub who: String,
    pub metric: Metric,
    pub before: Option<u64>,
    pub after: Option<u64>,
    pub expires_at: Option<Timestamp>,
    pub state: DecisionState,
    pub pinned: bool,
}

fn view(one: Decision) -> DecisionView {
    DecisionView {
        id: one.id,
        at: one.at,
        rule: one.rule,
        cause: one.cause,
        samples: one.samples,
        from: one.scope.from.to_string(),
        to: one.scope.to.to_string(),
        who: one.scope.who.to_string(),
        metric: one.metric,
        before: one.before,
        after: one.after,
        expires_at: one.expires_at,
        state: one.state,
        pinned: one.pinned,
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DecisionsQuery {
    /// Only those in force.
    #[serde(default)]
    active: bool,
    cursor: Option<DecisionId>,
    limit: Option<u32>,
}

/// List decisions from new to old, or those in force.
#[utoipa::path(get, path = "/v1/decisions", tag = "decisions", params(DecisionsQuery),
    responses((status = 200, body = Page<DecisionView>)), security(("key" = ["installation"])))]
pub(super) async fn list(
    call: Call<needs::Installation>,
    Query(query): Query<DecisionsQuery>,
) -> Result<axum::Json<Page<DecisionView>>, Problem> {
    if query.active {
        let rows = call.store.active_decisions().await?;
        return Ok(Page::whole(rows.into_iter().rev().map(view).collect()));
    }
    let limit = query.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::of_field("limit", format!("it must be 1 to {LIMIT_MAX}")));
    }
    let rows = call.store.decisions(query.cursor, limit).await?;
    let whole = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| whole).map(|row| row.id.to_string());
    Ok(axum::Json(Page { items: rows.into_iter().map(view).collect(), next }))
}

/// Take one back: the value is again what it was before.
#[utoipa::path(post, path = "/v1/decisions/{id}/undo", tag = "decisions",
    params(("id" = DecisionId, Path)),
    responses((status = 200, body = DecisionView)), security(("key" = ["installation"])))]
pub(super) async fn undo(
    call: Call<needs::Installation>,
    Path(id): Path<DecisionId>,
) -> Result<axum::Json<DecisionView>, Problem> {
    exists(&call, id).await?;
    controller(&call)?.undo(id, call.store.line()).await?;
    exists(&call, id).await.map(axum::Json)
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PinOrder {
    pinned: bool,
}

/// Pin one, so that no rule changes it and it does not end; or release it.
#[utoipa::path(post, path = "/v1/decisions/{id}/pin", tag = "decisions",
    params(("id" = DecisionId, Path)),
    responses((status = 200, body = DecisionView)), security(("key" = ["installation"])))]
pub(super) async fn pin(
    call: Call<needs::Installation>,
    Path(id): Path<DecisionId>,
    Json(order): Json<PinOrder>,
) -> Result<axum::Json<DecisionView>, Problem> {
    exists(&call, id).await?;
    controller(&call)?.pin(id, order.pinned, call.store.line()).await?;
    exists(&call, id).await.map(axum::Json)
}

async fn exists<N>(call: &Call<N>, id: DecisionId) -> Result<DecisionView, Problem> {
    let unknown = || Problem::not_found(format!("there is no decision {id}"));
    call.store.decision(id).await?.map(view).ok_or_else(unknown)
}
