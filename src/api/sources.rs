//! /v1/sources: where mail leaves from.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::problem::Problem;
use super::source_kind::{NewRelay, SourceIs};
use super::{ApiState, Page, limits};
use crate::model::*;
use crate::store::{LimitRow, SourceChange, SourceGiven, SourceTables, StoreError};

const NAME_BYTES_MAX: usize = 64;
const QUOTA_WINDOW: Duration = Duration::from_secs(86_400);

/// A source, how it is, and the pools it stands in.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceView {
    #[serde(flatten)]
    pub source: SourceRow,
    pub health: Option<SourceHealth>,
    pub pools: Vec<String>,
}

fn views(tables: &SourceTables) -> Vec<SourceView> {
    let pool_name = |id: PoolId| {
        let row = tables.pools.iter().find(|row| row.id == id);
        row.map_or_else(|| id.to_string(), |row| row.name.clone())
    };
    let view = |row: &SourceRow| {
        let health = tables.health.iter().find(|(id, _)| *id == row.id);
        let own = tables.members.iter().filter(|member| member.source == row.id);
        SourceView {
            source: row.clone(),
            health: health.map(|(_, health)| health.clone()),
            pools: own.map(|member| pool_name(member.pool)).collect(),
        }
    };
    tables.sources.iter().map(view).collect()
}

/// List the sources with their health and pools.
#[utoipa::path(get, path = "/v1/sources", tag = "sources",
    responses((status = 200, body = Page<SourceView>)), security(("key" = ["installation"])))]
pub(super) async fn list(
    call: Call<needs::Installation>,
) -> Result<axum::Json<Page<SourceView>>, Problem> {
    Ok(Page::whole(views(&call.store.source_tables().await?)))
}

/// Show one source.
#[utoipa::path(get, path = "/v1/sources/{name}", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = SourceView)), security(("key" = ["installation"])))]
pub(super) async fn show(
    call: Call<needs::Installation>,
    Path(name): Path<String>,
) -> Result<axum::Json<SourceView>, Problem> {
    Ok(axum::Json(view_of(&call, &name).await?))
}

async fn view_of(api: &ApiState, name: &str) -> Result<SourceView, Problem> {
    let tables = api.store.source_tables().await?;
    let found = views(&tables).into_iter().find(|view| view.source.name == name);
    found.ok_or_else(|| Problem::not_found("there is no source of this name"))
}

/// An address, or a relay, its name and place.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSource {
    name: String,
    /// The name it gives in EHLO; it must resolve.
    ehlo: Domain,
    /// At most one of each family, of this host.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    address: Vec<IpAddr>,
    /// What the world sees instead of them, behind NAT.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    public_address: Vec<IpAddr>,
    #[serde(default)]
    relay: Option<NewRelay>,
    /// The pool it stands in from the beginning; `none` for no pool.
    #[serde(default = "default_pool")]
    pool: String,
    /// Recipients a day that it may send to at most; it becomes a limit.
    #[serde(default)]
    quota: Option<u64>,
}

fn default_pool() -> String {
    "default".to_owned()
}

/// Add a source. It is checked at once, and sends when nothing is definitely wrong with it.
#[utoipa::path(post, path = "/v1/sources", tag = "sources",
    responses((status = 200, body = SourceView)), security(("key" = ["installation"])))]
pub(super) async fn add(
    call: Call<needs::Installation>,
    Json(new): Json<NewSource>,
) -> Result<axum::Json<SourceView>, Problem> {
    lawful_name("name", &new.name)?;
    let tables = call.store.source_tables().await?;
    if tables.sources.iter().any(|row| row.name == new.name) {
        let problem = Problem::conflict("there is a source of this name");
        return Err(Problem { field: Some("name".into()), ..problem });
    }
    let pool = match new.pool.as_str() {
        "none" => None,
        name => Some(pool_named(&tables, name)?),
    };
    let NewSource { ehlo, address, public_address, relay, .. } = new;
    let is = SourceIs { ehlo, address, public_address, relay };
    let (ehlo, kind) = is.kind(&call, &new.name).await?;
    if new.quota == Some(0) {
        return Err(Problem::of_field(
            "quota",
            "at least 1; a source that is to rest is suspended",
        ));
    }
    let name = new.name;
    let given = SourceGiven { name: name.clone(), origin: SourceOrigin::Admin, ehlo, kind, pool };
    let id = SourceId(call.store.change_sources(SourceChange::Put(Box::new(given))).await?);
    if let Some(quota) = new.quota {
        let limit = quota_of(id, quota);
        let row = LimitRow { limit, name: None, created_at: call.clock.now() };
        call.store.put_limits(vec![row], &[]).await?;
        limits::reload(&call).await?;
    }
    taken_up(&call).await?;
    if let Some(checker) = &call.checker {
        checker.check_one(id).await?;
    }
    tracing::info!(source = name, "a source was added");
    Ok(axum::Json(view_of(&call, &name).await?))
}

/// A limit like any other: it is seen, changed and removed among them.
fn quota_of(source: SourceId, quota: u64) -> Limit {
    Limit {
        id: LimitId(0),
        scope: LimitScope {
            from: FromScope::Source(source),
            to: ToScope::Anywhere,
            who: WhoScope::Everybody,
            class: None,
        },
        metric: Metric::Messages,
        value: quota,
        window: Some(QUOTA_WINDOW),
        pace: Pace::Fixed,
        origin: Origin::Admin,
        reason: "the source's quota".to_owned(),
        expires_at: None,
        pinned: true,
    }
}

/// Change what a source is: its name in EHLO, its addresses, its relay. Its pools, limits and
/// warm-ups stay. It is checked at once.
#[utoipa::path(put, path = "/v1/sources/{name}", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = SourceView)), security(("key" = ["installation"])))]
pub(super) async fn change(
    call: Call<needs::Installation>,
    Path(name): Path<String>,
    Json(is): Json<SourceIs>,
) -> Result<axum::Json<SourceView>, Problem> {
    let old = view_of(&call, &name).await?.source;
    if old.origin == SourceOrigin::Config {
        let why = "it is declared in the settings: change it there and restart";
        return Err(Problem::conflict(why));
    }
    let (ehlo, kind) = is.kind(&call, &name).await?;
    if kind.is_relay() != old.kind.is_relay() {
        let why = "an address does not become a relay, nor a relay an address: add a source";
        return Err(Problem::of_field("relay", why));
    }
    let (origin, pool) = (SourceOrigin::Admin, None);
    let given = SourceGiven { name: name.clone(), origin, ehlo, kind, pool };
    call.store.change_sources(SourceChange::Put(Box::new(given))).await?;
    taken_up(&call).await?;
    if let Some(checker) = &call.checker {
        checker.check_one(old.id).await?;
    }
    tracing::info!(source = name, "a source was changed");
    Ok(axum::Json(view_of(&call, &name).await?))
}

pub(super) fn pool_named(tables: &SourceTables, name: &str) -> Result<PoolId, Problem> {
    let row = tables.pools.iter().find(|row| row.name == name);
    row.map(|row| row.id).ok_or_else(|| Problem::of_field("pool", "there is no such pool"))
}

/// It stands in paths and is typed by people.
pub(super) fn lawful_name(field: &str, name: &str) -> Result<(), Problem> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let lawful = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(word);
    if lawful && name != "none" {
        return Ok(());
    }
    Err(Problem::of_field(field, "must be 1 to 64 letters, digits or any of - _ ."))
}

/// The running daemon takes up what was changed.
pub(super) async fn taken_up(api: &ApiState) -> Result<(), Problem> {
    if let Some(schedule) = &api.schedule {
        schedule.reread_sources().await.map_err(Problem::ours)?;
        (api.nudge)();
    }
    Ok(())
}

/// What became of a source, and which pools have none any more.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SourceChanged)]
pub struct Changed {
    pub name: String,
    /// Mail of these pools waits, with this as its reason.
    pub pools_without_source: Vec<String>,
}

/// Whether mail of a pool leaves: one of its sources is active, and not red. Without any source the
/// system's own choice of an address sends.
pub(super) fn sends(tables: &SourceTables, pool: PoolId) -> bool {
    let is_red = |row: &SourceRow| {
        let found = tables.health.iter().find(|(source, _)| *source == row.id);
        !row.is_overridden && found.is_some_and(|(_, one)| one.state == HealthState::Red)
    };
    let is_able = |member: &PoolMember| {
        let row = tables.sources.iter().find(|row| row.id == member.source);
        row.is_some_and(|row| row.state == SourceState::Active && !is_red(row))
    };
    tables.sources.is_empty() || tables.members.iter().any(|one| one.pool == pool && is_able(one))
}

/// Pools that mail goes by, in which nobody may send.
fn pools_without_source(tables: &SourceTables) -> Vec<String> {
    let is_used = |row: &&PoolRow| {
        row.id == PoolId::DEFAULT
            || tables.rules.iter().any(|rule| rule.pool == row.id)
            || tables.own.iter().any(|(_, pool)| *pool == row.id)
    };
    let empty = tables.pools.iter().filter(is_used).filter(|row| !sends(tables, row.id));
    empty.map(|row| row.name.clone()).collect()
}

async fn changed(api: &ApiState, name: String) -> Result<axum::Json<Changed>, Problem> {
    taken_up(api).await?;
    let pools_without_source = pools_without_source(&api.store.source_tables().await?);
    Ok(axum::Json(Changed { name, pools_without_source }))
}

/// Remove a source, with its warm-ups, its limits and what was decided of it.
#[utoipa::path(delete, path = "/v1/sources/{name}", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = Changed)), security(("key" = ["installation"])))]
pub(super) async fn remove(
    call: Call<needs::Installation>,
    Path(name): Path<String>,
) -> Result<axum::Json<Changed>, Problem> {
    let source = view_of(&call, &name).await?.source;
    if source.origin == SourceOrigin::Config {
        let why = "it is declared in the settings: remove it there and restart";
        return Err(Problem::conflict(why));
    }
    let store = call.audited::<_, ()>(None, ("source.removed", &name), Some(&source), None)?;
    match &call.schedule {
        Some(schedule) => schedule.controller().remove_source(source.id, &store).await?,
        None => store.change_sources(SourceChange::Remove(source.id)).await? > 0,
    };
    limits::reload(&call).await?;
    tracing::info!(source = name, "a source was removed with its warm-ups and limits");
    changed(&call, name).await
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewState {
    state: SourceState,
}

/// Suspend a source, or let it send again.
#[utoipa::path(post, path = "/v1/sources/{name}/state", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = Changed)), security(("key" = ["installation"])))]
pub(super) async fn set_state(
    call: Call<needs::Installation>,
    Path(name): Path<String>,
    Json(new): Json<NewState>,
) -> Result<axum::Json<Changed>, Problem> {
    let source = view_of(&call, &name).await?.source;
    call.store.change_sources(SourceChange::SetState(source.id, new.state)).await?;
    tracing::info!(source = name, state = %new.state, "a person changed the state of a source");
    changed(&call, name).await
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOverride {
    is_overridden: bool,
}

/// Let a source send although it is red, or no longer.
#[utoipa::path(post, path = "/v1/sources/{name}/override", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = Changed)), security(("key" = ["installation"])))]
pub(super) async fn set_override(
    call: Call<needs::Installation>,
    Path(name): Path<String>,
    Json(new): Json<NewOverride>,
) -> Result<axum::Json<Changed>, Problem> {
    let source = view_of(&call, &name).await?.source;
    let change = SourceChange::Override(source.id, new.is_overridden);
    call.store.change_sources(change).await?;
    tracing::info!(source = name, is_overridden = new.is_overridden, "health is overridden");
    changed(&call, name).await
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// A recipient domain; a relay needs none.
    #[serde(default)]
    to: Option<Domain>,
}

/// How a source is, and what a connection from it saw.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tested {
    pub health: Option<SourceHealth>,
    /// Facts, what the host announced, the dialogue; null where there was nobody to connect to.
    #[schema(value_type = Option<serde_json::Value>)]
    pub trial: Option<serde_json::Value>,
}

/// Check a source and connect from it; no mail is sent.
#[utoipa::path(post, path = "/v1/sources/{name}/test", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = Tested)), security(("key" = ["installation"])))]
pub(super) async fn test(
    call: Call<needs::Installation>,
    Path(name): Path<String>,
    Json(test): Json<Test>,
) -> Result<axum::Json<Tested>, Problem> {
    let view = view_of(&call, &name).await?;
    let (Some(schedule), Some(checker)) = (&call.schedule, &call.checker) else {
        return Err(Problem::conflict("the daemon does not run: it is the one that sends"));
    };
    checker.check_one(view.source.id).await?;
    let trial = match (&test.to, view.source.kind.is_relay()) {
        (None, false) => None,
        _ => {
            let tried = schedule.try_source(view.source.id, test.to.as_ref()).await;
            let trial = tried.map_err(Problem::unprocessable)?;
            Some(serde_json::to_value(trial).map_err(Problem::ours)?)
        }
    };
    let health = view_of(&call, &name).await?.health;
    Ok(axum::Json(Tested { health, trial }))
}

pub(super) fn duplicate(field: &str, detail: &str, error: StoreError) -> Problem {
    match error {
        StoreError::Duplicate(_) => {
            Problem { field: Some(field.into()), ..Problem::conflict(detail) }
        }
        other => other.into(),
    }
}
