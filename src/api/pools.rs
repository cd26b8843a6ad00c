//! /v1/pools and /v1/pool-rules: which sources carry which mail.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::problem::Problem;
use super::sources::{duplicate, lawful_name, pool_named, taken_up};
use super::{Page, limits, sources};
use crate::model::*;
use crate::store::{SourceChange, SourceTables};

const WEIGHT_MAX: u32 = 10_000;
const POSITION_MAX: i64 = 1_000_000;
const PATTERN_BYTES_MAX: usize = 320;

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct PoolView {
    #[serde(flatten)]
    pub pool: PoolRow,
    pub sources: Vec<MemberView>,
    /// One of them may send; else mail of the pool waits.
    pub sends: bool,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct MemberView {
    pub source: String,
    pub weight: u32,
    /// Of a hundred marketing mails of the pool at most so many.
    pub share_max: Option<u32>,
}

fn view(tables: &SourceTables, pool: &PoolRow) -> PoolView {
    let member = |member: &PoolMember| {
        let source = tables.sources.iter().find(|row| row.id == member.source)?;
        Some(MemberView {
            source: source.name.clone(),
            weight: member.weight,
            share_max: member.share_max,
        })
    };
    let own = tables.members.iter().filter(|one| one.pool == pool.id);
    let sends = sources::sends(tables, pool.id);
    PoolView { pool: pool.clone(), sources: own.filter_map(member).collect(), sends }
}

/// List the pools with their sources.
#[utoipa::path(get, path = "/v1/pools", tag = "pools",
    responses((status = 200, body = Page<PoolView>)), security(("key" = ["installation"])))]
pub(super) async fn list(
    call: Call<needs::Installation>,
) -> Result<axum::Json<Page<PoolView>>, Problem> {
    let tables = call.store.source_tables().await?;
    Ok(Page::whole(tables.pools.iter().map(|pool| view(&tables, pool)).collect()))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPool {
    name: String,
}

/// Make a pool; it has no sources yet.
#[utoipa::path(post, path = "/v1/pools", tag = "pools",
    responses((status = 200, body = PoolView)), security(("key" = ["installation"])))]
pub(super) async fn add(
    call: Call<needs::Installation>,
    Json(new): Json<NewPool>,
) -> Result<axum::Json<PoolView>, Problem> {
    lawful_name("name", &new.name)?;
    let made = call.store.change_sources(SourceChange::AddPool(new.name.clone())).await;
    let id = made.map_err(|error| duplicate("name", "there is a pool of this name", error))?;
    taken_up(&call).await?;
    shown(&call.store.source_tables().await?, PoolId(id))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PoolDone)]
pub struct Done {
    pub name: String,
}

/// Remove a pool that no rule leads to, with its limits.
#[utoipa::path(delete, path = "/v1/pools/{name}", tag = "pools",
    params(("name" = String, Path, description = "The pool's name")),
    responses((status = 200, body = Done)), security(("key" = ["installation"])))]
pub(super) async fn remove(
    call: Call<needs::Installation>,
    Path(name): Path<String>,
) -> Result<axum::Json<Done>, Problem> {
    let tables = call.store.source_tables().await?;
    let pool = found(&tables, &name)?;
    if pool == PoolId::DEFAULT {
        return Err(Problem::conflict("mail that no rule speaks of needs the default pool"));
    }
    if tables.rules.iter().any(|rule| rule.pool == pool) {
        return Err(Problem::conflict("rules lead to this pool: remove them first"));
    }
    let store = call.audited::<(), ()>(None, ("pool.removed", &name), None, None)?;
    store.change_sources(SourceChange::RemovePool(pool)).await?;
    limits::reload(&call).await?;
    taken_up(&call).await?;
    Ok(axum::Json(Done { name }))
}

fn found(tables: &SourceTables, name: &str) -> Result<PoolId, Problem> {
    let row = tables.pools.iter().find(|row| row.name == name);
    row.map(|row| row.id).ok_or_else(|| Problem::not_found("there is no pool of this name"))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    source: String,
    /// Its part of the pool's mail beside the others; 0: only what they cannot carry.
    #[serde(default = "one")]
    weight: u32,
    #[serde(default)]
    share_max: Option<u32>,
}

const fn one() -> u32 {
    1
}

/// Put a source into a pool, or change its weight and share there.
#[utoipa::path(post, path = "/v1/pools/{name}/sources", tag = "pools",
    params(("name" = String, Path, description = "The pool's name")),
    responses((status = 200, body = PoolView)), security(("key" = ["installation"])))]
pub(super) async fn put_member(
    call: Call<needs::Installation>,
    Path(name): Path<String>,
    Json(new): Json<NewMember>,
) -> Result<axum::Json<PoolView>, Problem> {
    let tables = call.store.source_tables().await?;
    let pool = found(&tables, &name)?;
    let source = tables.sources.iter().find(|row| row.name == new.source);
    let source = source.ok_or_else(|| Problem::of_field("source", "there is no such source"))?.id;
    if new.weight > WEIGHT_MAX {
        return Err(Problem::of_field("weight", format!("must be at most {WEIGHT_MAX}")));
    }
    if new.share_max.is_some_and(|share| !(1..=100).contains(&share)) {
        return Err(Problem::of_field("share_max", "must be a percentage from 1 to 100"));
    }
    let NewMember { weight, share_max, .. } = new;
    let member = PoolMember { pool, source, weight, share_max };
    call.store.change_sources(SourceChange::PutMember(member)).await?;
    taken_up(&call).await?;
    shown(&call.store.source_tables().await?, pool)
}

fn shown(tables: &SourceTables, pool: PoolId) -> Result<axum::Json<PoolView>, Problem> {
    let row = tables.pools.iter().find(|row| row.id == pool);
    let row = row.ok_or_else(|| Problem::not_found("there is no pool of this name"))?;
    Ok(axum::Json(view(tables, row)))
}

/// Take a source out of a pool.
#[utoipa::path(delete, path = "/v1/pools/{name}/sources/{source}", tag = "pools",
    params(("name" = String, Path, description = "The pool's name"),
        ("source" = String, Path, description = "The source's name")),
    responses((status = 200, body = PoolView)), security(("key" = ["installation"])))]
pub(super) async fn remove_member(
    call: Call<needs::Installation>,
    Path((name, source)): Path<(String, String)>,
) -> Result<axum::Json<PoolView>, Problem> {
    let tables = call.store.source_tables().await?;
    let pool = found(&tables, &name)?;
    let row = tables.sources.iter().find(|row| row.name == source);
    let removed = match row {
        Some(row) => call.store.change_sources(SourceChange::RemoveMember(pool, row.id)).await?,
        None => 0,
    };
    if removed == 0 {
        return Err(Problem::not_found("this source does not stand in the pool"));
    }
    taken_up(&call).await?;
    shown(&call.store.source_tables().await?, pool)
}

/// A rule, its names beside its ids.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct RuleView {
    #[serde(flatten)]
    pub rule: PoolRule,
    pub pool_name: String,
    pub operator_name: Option<String>,
}

/// List the rules in the order in which they are asked.
#[utoipa::path(get, path = "/v1/pool-rules", tag = "pools",
    responses((status = 200, body = Page<RuleView>)), security(("key" = ["installation"])))]
pub(super) async fn rules(
    call: Call<needs::Installation>,
) -> Result<axum::Json<Page<RuleView>>, Problem> {
    let tables = call.store.source_tables().await?;
    let operators = call.store.operators().await?;
    let view = |rule: PoolRule| {
        let pool = tables.pools.iter().find(|row| row.id == rule.pool);
        let operator = operators.iter().find(|row| Some(row.id) == rule.matches.operator);
        RuleView {
            pool_name: pool.map_or_else(String::new, |row| row.name.clone()),
            operator_name: operator.map(|row| row.name.clone()),
            rule,
        }
    };
    Ok(Page::whole(tables.rules.iter().cloned().map(view).collect()))
}

/// What is missing matches all; something must be there.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// The first rule that matches counts; a rule at the same position is replaced.
    position: i64,
    pool: String,
    #[serde(default)]
    organization: Option<OrganizationId>,
    #[serde(default)]
    stream: Option<StreamId>,
    /// An address or a domain of the envelope.
    #[serde(default)]
    sender: Option<String>,
    /// The same of the recipient.
    #[serde(default)]
    recipient: Option<String>,
    /// By name.
    #[serde(default)]
    operator: Option<String>,
    #[serde(default)]
    tag: Option<String>,
    /// By name.
    #[serde(default)]
    credential: Option<String>,
}

/// Put a rule at a position.
#[utoipa::path(post, path = "/v1/pool-rules", tag = "pools",
    responses((status = 200, body = RuleView)), security(("key" = ["installation"])))]
pub(super) async fn put_rule(
    call: Call<needs::Installation>,
    Json(new): Json<NewRule>,
) -> Result<axum::Json<RuleView>, Problem> {
    if !(1..=POSITION_MAX).contains(&new.position) {
        return Err(Problem::of_field("position", format!("must be from 1 to {POSITION_MAX}")));
    }
    let tables = call.store.source_tables().await?;
    let pool = pool_named(&tables, &new.pool)?;
    let operator = match &new.operator {
        None => None,
        Some(name) => {
            let operators = call.store.operators().await?;
            let row = operators.into_iter().find(|row| row.name == *name);
            Some(row.ok_or_else(|| Problem::of_field("operator", "there is no such operator"))?.id)
        }
    };
    let credential = match &new.credential {
        None => None,
        Some(name) => {
            let rows = call.store.credentials().await?;
            let row = rows.into_iter().find(|row| row.name == *name);
            let missing = || Problem::of_field("credential", "there is no such credential");
            Some(row.ok_or_else(missing)?.id)
        }
    };
    if let Some(stream) = new.stream
        && !call.store.streams().await?.iter().any(|row| row.id == stream)
    {
        return Err(Problem::of_field("stream", "there is no such stream"));
    }
    let matches = PoolMatch {
        organization: new.organization,
        stream: new.stream,
        sender: meant("sender", new.sender)?,
        recipient: meant("recipient", new.recipient)?,
        operator,
        tag: pattern("tag", new.tag)?,
        credential,
    };
    if matches == PoolMatch::default() {
        let why = "a rule without anything to match would be the default pool under another name";
        return Err(Problem::unprocessable(why));
    }
    let change =
        SourceChange::PutRule { position: new.position, pool, matches: Box::new(matches.clone()) };
    let id = PoolRuleId(call.store.change_sources(change).await?);
    taken_up(&call).await?;
    let rule = PoolRule { id, position: new.position, pool, matches };
    Ok(axum::Json(RuleView { rule, pool_name: new.pool, operator_name: new.operator }))
}

fn pattern(field: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.is_empty() || text.len() > PATTERN_BYTES_MAX => {
            Err(Problem::of_field(field, format!("must have 1 to {PATTERN_BYTES_MAX} octets")))
        }
        text => Ok(text),
    }
}

/// An address or a domain, as envelopes write them.
fn meant(field: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let text = text.strip_prefix('@').unwrap_or(&text);
    let meant = if text.contains('@') {
        Address::parse(text).ok().map(|address| address.to_string())
    } else {
        Domain::parse(text).ok().map(|domain| domain.as_str().to_owned())
    };
    let wrong = || Problem::of_field(field, "must be an address or a domain");
    meant.map(Some).ok_or_else(wrong)
}

/// Remove a rule.
#[utoipa::path(delete, path = "/v1/pool-rules/{id}", tag = "pools",
    params(("id" = i64, Path, description = "The rule's id")),
    responses((status = 200, body = Done)), security(("key" = ["installation"])))]
pub(super) async fn remove_rule(
    call: Call<needs::Installation>,
    Path(id): Path<PoolRuleId>,
) -> Result<axum::Json<Done>, Problem> {
    if call.store.change_sources(SourceChange::RemoveRule(id)).await? == 0 {
        return Err(Problem::not_found("there is no such rule"));
    }
    taken_up(&call).await?;
    Ok(axum::Json(Done { name: id.to_string() }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_rule_names_people_as_envelopes_do_or_is_refused_by_the_fields_name() {
        let meant = |text: &str| super::meant("recipient", Some(text.to_owned()));
        assert_eq!(meant("@News.Example").ok().flatten().as_deref(), Some("news.example"));
        assert_eq!(
            meant("b\u{fc}cher.example").ok().flatten().as_deref(),
            Some("xn--bcher-kva.example")
        );
        assert_eq!(meant("A.b@News.Example").ok().flatten().as_deref(), Some("A.b@news.example"));
        for wrong in ["", "@", "two words", "a@", "a@b@c.example"] {
            let problem = meant(wrong).expect_err(wrong);
            assert!(format!("{problem:?}").contains("recipient"), "{wrong}");
        }
    }
}
