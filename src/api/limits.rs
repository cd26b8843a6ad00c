//! /v1/limits: what may be sent where, by whom, in which time, and who said so.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::extract::{Path, Query};
use super::problem::Problem;
use super::{ApiState, Page};
use crate::model::scope::span_of;
use crate::model::*;
use crate::schedule::limits::pack;
use crate::store::{LimitRow, OperatorRow, SourceTables};

const LIST_MAX: usize = 1000;
const LIST_USUAL: usize = 100;
/// Counts of one limit that are shown; one for each source and site may be many.
const COUNTS_MAX: usize = 20;

/// A limit, and what of it is used.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct LimitView {
    pub id: LimitId,
    /// Of a shipped one, or one that stands for a setting.
    pub name: Option<String>,
    /// `installation`, `pool:ID`, `source:ID`, `each_source`; a name is taken for an ID
    pub from: String,
    /// `anywhere`, `operator:NAME`, `site:ID`, `domain:NAME`, `each_site`
    pub to: String,
    /// `everybody`, `organization:ID`, `stream:ID`, `campaign:ID`, `sending_domain:ID`
    #[serde(rename = "for")]
    pub who: String,
    pub class: Option<StreamClass>,
    pub metric: Metric,
    pub value: u64,
    /// In seconds.
    pub window: Option<u64>,
    pub pace: String,
    pub origin: Origin,
    pub reason: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub pinned: bool,
    /// In the present window.
    pub used: Vec<Used>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Used {
    /// Where the limit counts them apart.
    pub source: Option<SourceId>,
    pub site: Option<SiteId>,
    pub count: u64,
    /// Of it, by mail that the limit does not bind, beyond its value.
    pub overdrawn: u64,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    origin: Option<Origin>,
    /// `next` of the page before.
    cursor: Option<LimitId>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// List limits, oldest first.
#[utoipa::path(get, path = "/v1/limits", tag = "limits", params(Asked),
    responses((status = 200, body = Page<LimitView>)), security(("key" = ["delivery_read"])))]
pub(super) async fn list(
    call: Call<needs::DeliveryRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<LimitView>>, Problem> {
    let count = asked.limit.unwrap_or(LIST_USUAL);
    if !(1..=LIST_MAX).contains(&count) {
        return Err(Problem::of_field("limit", format!("must be between 1 and {LIST_MAX}")));
    }
    let operators = call.store.operators().await?;
    let now = call.clock.now();
    let mut rows = call.store.limits().await?;
    rows.retain(|row| {
        let is_after = asked.cursor.is_none_or(|cursor| row.limit.id > cursor);
        let is_asked = asked.origin.is_none_or(|origin| row.limit.origin == origin);
        is_after && is_asked && row.limit.expires_at.is_none_or(|end| end > now)
    });
    let next = (rows.len() > count).then(|| rows[count - 1].limit.id.to_string());
    rows.truncate(count);
    let items = rows.into_iter().map(|row| view(&call, row, &operators)).collect();
    Ok(axum::Json(Page { items, next }))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLimit {
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default, rename = "for")]
    who: Option<String>,
    #[serde(default)]
    class: Option<StreamClass>,
    metric: String,
    value: i64,
    /// `1s`, `5m`, `6h`, `1d`
    #[serde(default)]
    window: Option<String>,
    /// `fixed`, `sliding`, `spread:8h-20h`
    #[serde(default)]
    pace: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    /// It ends by itself after this time, such as `2h`.
    #[serde(default)]
    expires_in: Option<String>,
    /// No rule may change or remove it.
    #[serde(default)]
    pinned: bool,
}

/// Set a limit. Every limit that covers a mail applies, so the smallest wins.
#[utoipa::path(post, path = "/v1/limits", tag = "limits",
    responses((status = 200, body = LimitView)), security(("key" = ["delivery_write"])))]
pub(super) async fn add(
    call: Call<needs::DeliveryWrite>,
    Json(new): Json<NewLimit>,
) -> Result<axum::Json<LimitView>, Problem> {
    let operators = call.store.operators().await?;
    let limit = limit_of(&call, new, &operators).await?;
    let row = LimitRow { limit, name: None, created_at: call.clock.now() };
    let row = call.store.put_limits(vec![row], &[]).await?.remove(0);
    reload(&call).await?;
    tracing::info!(limit = %row.limit.id, reason = row.limit.reason, "a limit was set");
    Ok(axum::Json(view(&call, row, &operators)))
}

/// Remove a limit. One that a decision, a warm-up or a campaign keeps is taken back there.
#[utoipa::path(delete, path = "/v1/limits/{id}", tag = "limits",
    params(("id" = LimitId, Path, description = "The limit")),
    responses((status = 200, body = LimitView)), security(("key" = ["delivery_write"])))]
pub(super) async fn remove(
    call: Call<needs::DeliveryWrite>,
    Path(id): Path<LimitId>,
) -> Result<axum::Json<LimitView>, Problem> {
    let mut row = found(&call, id).await?;
    if pack::is_setting(&row) {
        return Err(Problem::conflict("this limit stands in the settings: change it there"));
    }
    kept_by_none(&call, &row.limit, Hand::Remove).await?;
    if row.limit.origin == Origin::Pack {
        // Without a row the next start would ship it again.
        row.limit.expires_at = Some(call.clock.now());
        call.store.put_limits(vec![row.clone()], &[]).await?;
    } else {
        call.store.put_limits(Vec::new(), &[id]).await?;
    }
    reload(&call).await?;
    tracing::info!(limit = %id, "a limit was removed");
    let operators = call.store.operators().await?;
    Ok(axum::Json(view(&call, row, &operators)))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pinned: bool,
}

/// Keep rules and new versions from changing a limit, or let them again. One that a decision, a
/// warm-up or a campaign keeps is held there.
#[utoipa::path(post, path = "/v1/limits/{id}/pin", tag = "limits",
    params(("id" = LimitId, Path, description = "The limit")),
    responses((status = 200, body = LimitView)), security(("key" = ["delivery_write"])))]
pub(super) async fn pin(
    call: Call<needs::DeliveryWrite>,
    Path(id): Path<LimitId>,
    Json(pin): Json<Pin>,
) -> Result<axum::Json<LimitView>, Problem> {
    let mut row = found(&call, id).await?;
    let hand = if pin.pinned { Hand::Pin } else { Hand::Release };
    kept_by_none(&call, &row.limit, hand).await?;
    row.limit.pinned = pin.pinned;
    call.store.put_limits(vec![row.clone()], &[]).await?;
    reload(&call).await?;
    let operators = call.store.operators().await?;
    Ok(axum::Json(view(&call, row, &operators)))
}

#[derive(Clone, Copy)]
enum Hand {
    Pin,
    Release,
    Remove,
}

/// What a decision, a warm-up or a campaign has set comes back as it was with its next change:
/// there it is held, or taken back.
async fn kept_by_none(call: &ApiState, limit: &Limit, hand: Hand) -> Result<(), Problem> {
    let said = match (limit.origin, limit.scope.who) {
        (Origin::Adaptive, _) => {
            let active = call.store.active_decisions().await?;
            let word = match hand {
                Hand::Pin => "pin",
                Hand::Release => "release",
                Hand::Remove => "undo",
            };
            let made = active.iter().find(|one| one.limit == Some(limit.id)).map(|one| one.id);
            made.map(|id| format!("decision {id} made this limit: postroad decisions {word} {id}"))
        }
        (Origin::WarmUp, _) => {
            let warmups = call.store.warmups().await?;
            let word = match hand {
                Hand::Pin => "pause",
                Hand::Release => "resume",
                Hand::Remove => "stop",
            };
            let made = warmups.iter().find(|one| one.limit == limit.id).map(|one| one.id);
            made.map(|id| format!("warm-up {id} keeps this limit: postroad warmup {word} {id}"))
        }
        (Origin::Quota, WhoScope::Campaign(id)) => {
            Some(format!("campaign {id} keeps this limit: change its throttle or window there"))
        }
        _ => None,
    };
    said.map_or(Ok(()), |said| Err(Problem::conflict(said)))
}

async fn found(call: &ApiState, id: LimitId) -> Result<LimitRow, Problem> {
    let rows = call.store.limits().await?;
    let found = rows.into_iter().find(|row| row.limit.id == id);
    found.ok_or_else(|| Problem::not_found(format!("there is no limit {id}")))
}

pub(super) async fn reload(call: &ApiState) -> Result<(), Problem> {
    match &call.schedule {
        Some(schedule) => schedule.reload_limits().await.map_err(Problem::ours),
        None => Ok(()),
    }
}

async fn limit_of(
    call: &ApiState,
    new: NewLimit,
    operators: &[OperatorRow],
) -> Result<Limit, Problem> {
    let field = |name: &'static str| move |why: String| Problem::of_field(name, why);
    let value = u64::try_from(new.value)
        .map_err(|_| Problem::of_field("value", "a limit is not negative; 0 stops all"))?;
    let window = new.window.as_deref().map(|text| span(text, "window")).transpose()?;
    let lasts = new.expires_in.as_deref().map(|text| span(text, "expires_in")).transpose()?;
    let tables = call.store.source_tables().await?;
    let from = from_scope(new.from.as_deref().unwrap_or("installation"), &tables)?;
    let who = new.who.as_deref().unwrap_or("everybody").parse().map_err(field("for"))?;
    let to = to_scope(new.to.as_deref().unwrap_or("anywhere"), operators)?;
    let limit = Limit {
        id: LimitId(0),
        scope: LimitScope { from, to, who, class: new.class },
        metric: new.metric.parse().map_err(field("metric"))?,
        value,
        window,
        pace: new.pace.as_deref().unwrap_or("fixed").parse().map_err(field("pace"))?,
        origin: Origin::Admin,
        reason: new.reason.unwrap_or_else(|| "set by hand".to_owned()),
        expires_at: lasts.map(|lasts| call.clock.now() + lasts),
        pinned: new.pinned,
    };
    pack::check(&limit).map_err(Problem::unprocessable)?;
    known(call, &limit.scope).await?;
    Ok(limit)
}

fn span(text: &str, field: &'static str) -> Result<Duration, Problem> {
    let wrong = || Problem::of_field(field, format!("'{text}' is no time such as 30s, 5m, 6h, 1d"));
    span_of(text).filter(|span| !span.is_zero()).ok_or_else(wrong)
}

/// Operators are given by name.
fn to_scope(text: &str, operators: &[OperatorRow]) -> Result<ToScope, Problem> {
    let Some(name) = text.strip_prefix("operator:") else {
        return text.parse().map_err(|why| Problem::of_field("to", why));
    };
    let named = |row: &&OperatorRow| row.name == name || row.id.to_string() == name;
    let found = operators.iter().find(named);
    found.map(|row| ToScope::Operator(row.id)).ok_or_else(|| {
        let alike = |row: &&OperatorRow| row.name.chars().next() == name.chars().next();
        let names: Vec<&str> =
            operators.iter().filter(alike).map(|row| row.name.as_str()).collect();
        let alike = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        let why = format!("there is no operator '{name}'; with the same letter begins: {alike}");
        Problem::of_field("to", why)
    })
}

/// Pools and sources are given by name, or by id.
fn from_scope(text: &str, tables: &SourceTables) -> Result<FromScope, Problem> {
    let wrong = |why: String| Problem::of_field("from", why);
    let none = |what: &str, name: &str| wrong(format!("there is no {what} '{name}'"));
    if let Some(name) = text.strip_prefix("pool:") {
        let named = |row: &&PoolRow| row.name == name || row.id.to_string() == name;
        let found = tables.pools.iter().find(named).map(|row| FromScope::Pool(row.id));
        return found.ok_or_else(|| none("pool", name));
    }
    if let Some(name) = text.strip_prefix("source:") {
        let named = |row: &&SourceRow| row.name == name || row.id.to_string() == name;
        let found = tables.sources.iter().find(named).map(|row| FromScope::Source(row.id));
        return found.ok_or_else(|| none("source", name));
    }
    text.parse().map_err(wrong)
}

async fn is_campaign(call: &ApiState, id: CampaignId) -> Result<bool, Problem> {
    for organization in call.store.organizations().await? {
        if call.store.campaign(organization.id, id).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A limit for nobody would never act.
async fn known(call: &ApiState, scope: &LimitScope) -> Result<(), Problem> {
    let is_known = match scope.who {
        WhoScope::Organization(id) => {
            call.store.organizations().await?.iter().any(|row| row.id == id)
        }
        WhoScope::Stream(id) => call.store.streams().await?.iter().any(|row| row.id == id),
        WhoScope::SendingDomain(id) => call.store.domains().await?.iter().any(|row| row.id == id),
        WhoScope::Campaign(id) => is_campaign(call, id).await?,
        WhoScope::Everybody => true,
    };
    if !is_known {
        return Err(Problem::of_field("for", format!("there is no {}", scope.who)));
    }
    if let ToScope::Site(id) = scope.to
        && !call.store.sites().await?.iter().any(|row| row.id == id)
    {
        return Err(Problem::of_field("to", format!("there is no {}", scope.to)));
    }
    Ok(())
}

fn view(call: &ApiState, row: LimitRow, operators: &[OperatorRow]) -> LimitView {
    let LimitRow { limit, name, created_at } = row;
    let to = match &limit.scope.to {
        ToScope::Operator(id) => operators
            .iter()
            .find(|row| row.id == *id)
            .map_or_else(|| limit.scope.to.to_string(), |row| format!("operator:{}", row.name)),
        other => other.to_string(),
    };
    let usage = call.schedule.as_ref().map(|schedule| {
        schedule.limits().usage(limit.id, call.clock.now()).into_iter().take(COUNTS_MAX)
    });
    let used = usage.into_iter().flatten().map(|(key, usage)| Used {
        source: Some(key.source).filter(|id| id.0 != 0),
        site: Some(key.site).filter(|id| id.0 != 0),
        count: usage.used,
        overdrawn: usage.overdrawn,
    });
    LimitView {
        id: limit.id,
        name,
        from: limit.scope.from.to_string(),
        to,
        who: limit.scope.who.to_string(),
        class: limit.scope.class,
        metric: limit.metric,
        value: limit.value,
        window: limit.window.map(|window| window.as_secs()),
        pace: limit.pace.to_string(),
        origin: limit.origin,
        reason: limit.reason,
        created_at,
        expires_at: limit.expires_at,
        pinned: limit.pinned,
        used: used.collect(),
    }
}
