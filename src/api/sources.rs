//! /v1/sources: where mail leaves from.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::problem::Problem;
use super::{ApiState, Page, limits};
use crate::model::*;
use crate::schedule::{presets, sources};
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

/// An address, or a relay.
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

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRelay {
    /// ses, sendgrid, mailgun, sparkpost, postmark, elastic_email or gmail.
    #[serde(default)]
    preset: Option<String>,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    tls: Option<TlsMode>,
    #[serde(default)]
    mechanism: Option<RelayMechanism>,
    #[serde(default)]
    user: Option<String>,
    /// A file of the daemon's host with the password or token on one line.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    secret_file: Option<PathBuf>,
}

impl NewRelay {
    fn kind(self) -> Result<RelayKind, Problem> {
        let mut kind = match &self.preset {
            Some(name) => presets::relay(name, self.region.as_deref())
                .map_err(|why| Problem::of_field("relay.preset", why))?,
            None => RelayKind {
                host: String::new(),
                port: 587,
                tls: TlsMode::Verified,
                mechanism: self.user.as_ref().map(|_| RelayMechanism::Plain),
                user: String::new(),
                secret_file: None,
            },
        };
        if let Some(host) = self.host {
            kind.host = host;
        }
        kind.port = self.port.unwrap_or(kind.port);
        kind.tls = self.tls.unwrap_or(kind.tls);
        kind.mechanism = self.mechanism.or(kind.mechanism);
        kind.user = self.user.unwrap_or(kind.user);
        kind.secret_file = self.secret_file;
        if kind.host.parse::<IpAddr>().is_err() && Domain::parse(&kind.host).is_err() {
            return Err(Problem::of_field("relay.host", "must be a host name or an address"));
        }
        if kind.mechanism.is_some() && kind.tls == TlsMode::None && !is_loopback(&kind.host) {
            let why = "a password is not sent in the clear to another host";
            return Err(Problem::of_field("relay.tls", why));
        }
        match (kind.mechanism, &kind.secret_file) {
            (Some(_), None) => Err(Problem::of_field("relay.secret_file", "is missing")),
            (Some(_), Some(file)) => match sources::secret_of(file) {
                Ok(_) => Ok(kind),
                Err(why) => Err(Problem::of_field("relay.secret_file", why)),
            },
            (None, _) => Ok(kind),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
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
    let kind = match new.relay {
        Some(_) if !new.address.is_empty() => {
            return Err(Problem::of_field("relay", "a source is an address or a relay, not both"));
        }
        Some(relay) => SourceKind::Relay(relay.kind()?),
        None => address_kind(&tables, new.address, new.public_address)?,
    };
    sources::validate(new.ehlo.as_str(), &kind)
        .map_err(|fault| Problem::of_field(fault.field, fault.why))?;
    if let Some(checker) = &call.checker
        && matches!(checker.resolves(new.ehlo.as_str()).await, Ok(false))
    {
        return Err(Problem::of_field("ehlo", format!("the name {} does not resolve", new.ehlo)));
    }
    if new.quota == Some(0) {
        return Err(Problem::of_field(
            "quota",
            "at least 1; a source that is to rest is suspended",
        ));
    }
    let given = SourceGiven {
        name: new.name,
        origin: SourceOrigin::Admin,
        ehlo: new.ehlo.as_str().to_owned(),
        kind,
        pool,
    };
    let name = given.name.clone();
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

fn address_kind(
    tables: &SourceTables,
    bind: Vec<IpAddr>,
    public: Vec<IpAddr>,
) -> Result<SourceKind, Problem> {
    if bind.is_empty() {
        return Err(Problem::of_field("address", "is missing, as is a relay"));
    }
    for (field, all) in [("address", &bind), ("public_address", &public)] {
        let of_v4 = all.iter().filter(|address| address.is_ipv4()).count();
        if of_v4 > 1 || all.len() - of_v4 > 1 {
            return Err(Problem::of_field(field, "at most one address of each family"));
        }
    }
    let taken = |address: &IpAddr| {
        let has_it = |row: &&SourceRow| row.kind.own_addresses().contains(address);
        tables.sources.iter().find(has_it).map(|row| row.name.clone())
    };
    if let Some(name) = bind.iter().find_map(taken) {
        return Err(Problem::of_field("address", format!("the source {name} has it already")));
    }
    Ok(SourceKind::Address { bind, public })
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

/// Pools of rules, and the default pool, in which nobody may send.
fn pools_without_source(tables: &SourceTables) -> Vec<String> {
    let sends = |member: &PoolMember| {
        let row = tables.sources.iter().find(|row| row.id == member.source);
        row.is_some_and(|row| row.state == SourceState::Active)
    };
    let has_source = |pool: PoolId| tables.members.iter().any(|one| one.pool == pool && sends(one));
    let is_used = |row: &&PoolRow| {
        row.id == PoolId::DEFAULT || tables.rules.iter().any(|rule| rule.pool == row.id)
    };
    if tables.sources.is_empty() {
        return Vec::new();
    }
    let empty = tables.pools.iter().filter(is_used).filter(|row| !has_source(row.id));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(json: serde_json::Value) -> Result<RelayKind, Problem> {
        serde_json::from_value::<NewRelay>(json).expect("its form is right").kind()
    }

    #[test]
    fn a_relay_that_could_not_sign_in_is_refused_with_the_field() {
        let field = |json| relay(json).expect_err("refused").field;
        let none = serde_json::json!({ "host": "relay.example", "user": "u" });
        assert_eq!(field(none).as_deref(), Some("relay.secret_file"));
        let absent = serde_json::json!({ "preset": "ses", "user": "u", "secret_file": "/absent" });
        assert_eq!(field(absent).as_deref(), Some("relay.secret_file"));
        let clear = serde_json::json!({ "host": "relay.example", "user": "u", "tls": "none" });
        assert_eq!(field(clear).as_deref(), Some("relay.tls"));
        let odd = serde_json::json!({ "host": "not a host" });
        assert_eq!(field(odd).as_deref(), Some("relay.host"));
        let open = relay(serde_json::json!({ "host": "10.0.0.7", "port": 25 })).expect("lawful");
        assert_eq!((open.port, open.mechanism), (25, None));
    }
}
