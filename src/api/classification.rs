//! /v1/classification: answers that no rule knows, and the installation's own rules.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::extract::{Path, Query};
use super::narrow::narrowed;
use super::problem::Problem;
use super::{ApiState, Page};
use crate::classify::{Answer, Classifier, Past, Rule, RuleError, Trial, is_unknown_text, trial};
use crate::model::{Timestamp, UnclassifiedReplyId};
use crate::store::{PastReply, StoreError, StoredRule, UnclassifiedReply};

const LIMIT_MAX: u32 = 1000;
const DAYS_MAX: u32 = 30;
/// Replies of the past that a rule is tried on.
const PAST_MAX: u32 = 20_000;
/// Groups that are looked through when a rule is added.
const GROUPS_MAX: u32 = 10_000;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// At most so many; 100 when it is missing.
    limit: Option<u32>,
    /// Where an earlier list ended.
    cursor: Option<String>,
    /// Stands somewhere in the operator's name or the answer, in any case.
    find: Option<String>,
}

/// List answers that no text of a rule knew, grouped, the most frequent first.
#[utoipa::path(get, path = "/v1/classification/unclassified", tag = "classification",
    params(Asked), responses((status = 200, body = Page<UnclassifiedReply>)),
    security(("key" = ["installation"])))]
pub(super) async fn unclassified(
    call: Call<needs::Installation>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<UnclassifiedReply>>, Problem> {
    let limit = asked.limit.unwrap_or(100);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::of_field("limit", format!("must be 1 to {LIMIT_MAX}")));
    }
    let after = asked.cursor.as_deref().map(place).transpose()?;
    let find = narrowed(asked.find.as_deref(), None)?.find;
    let items = call.store.unclassified_replies(after, limit, &find).await?;
    let more = items.len() == limit as usize;
    let next = items.last().filter(|_| more).map(|last| format!("{}.{}", last.count, last.id));
    Ok(axum::Json(Page { items, next }))
}

fn place(cursor: &str) -> Result<(u64, UnclassifiedReplyId), Problem> {
    let read = || {
        let (count, id) = cursor.split_once('.')?;
        Some((count.parse().ok()?, id.parse().ok()?))
    };
    read().ok_or_else(|| Problem::of_field("cursor", "is none that a list ended with"))
}

/// An own rule and since when it holds.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct OwnRule {
    pub rule: Rule,
    pub created_at: Timestamp,
}

/// List the installation's own rules, in the order in which they are tried.
#[utoipa::path(get, path = "/v1/classification/rules", tag = "classification",
    responses((status = 200, body = Page<OwnRule>)), security(("key" = ["installation"])))]
pub(super) async fn rules(
    call: Call<needs::Installation>,
) -> Result<axum::Json<Page<OwnRule>>, Problem> {
    let stored = call.store.classification_rules().await?;
    let own = |row: StoredRule| -> Result<OwnRule, Problem> {
        let rule = serde_json::from_value(row.rule).map_err(Problem::ours)?;
        Ok(OwnRule { rule, created_at: row.created_at })
    };
    Ok(Page::whole(stored.into_iter().map(own).collect::<Result<_, _>>()?))
}

/// Add a rule; it holds from the next answer on.
#[utoipa::path(post, path = "/v1/classification/rules", tag = "classification",
    responses((status = 200, body = OwnRule)), security(("key" = ["installation"])))]
pub(super) async fn add(
    call: Call<needs::Installation>,
    Json(rule): Json<Rule>,
) -> Result<axum::Json<OwnRule>, Problem> {
    let mut own = own_rules(&call).await?;
    own.push(rule.clone());
    let classifier = built(own).await?;
    let created_at = call.clock.now();
    let json = serde_json::to_value(&rule).map_err(Problem::ours)?;
    let row = StoredRule { name: rule.id.clone(), rule: json, created_at };
    call.store.add_classification_rule(row).await.map_err(|error| match error {
        StoreError::Duplicate(_) => Problem::conflict("there is a rule of this id"),
        other => other.into(),
    })?;
    forget_known(&call, &classifier).await?;
    take_up(&call, classifier);
    tracing::info!(rule = %rule.id, "a rule of classification was added");
    Ok(axum::Json(OwnRule { rule, created_at }))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = RuleRemoved)]
pub struct Removed {
    pub id: String,
}

/// Remove an own rule.
#[utoipa::path(delete, path = "/v1/classification/rules/{id}", tag = "classification",
    params(("id" = String, Path, description = "The rule's id")),
    responses((status = 200, body = Removed)), security(("key" = ["installation"])))]
pub(super) async fn remove(
    call: Call<needs::Installation>,
    Path(id): Path<String>,
) -> Result<axum::Json<Removed>, Problem> {
    if !call.store.remove_classification_rule(&id).await? {
        return Err(Problem::not_found("there is no own rule of this id"));
    }
    let classifier = built(own_rules(&call).await?).await?;
    take_up(&call, classifier);
    tracing::info!(rule = %id, "a rule of classification was removed");
    Ok(axum::Json(Removed { id }))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    rule: Rule,
    /// How far back; 7 when it is missing, 30 at most.
    days: Option<u32>,
}

/// Try a rule on the replies of the last days; nothing is changed.
#[utoipa::path(post, path = "/v1/classification/rules/try", tag = "classification",
    responses((status = 200, body = Trial)), security(("key" = ["installation"])))]
pub(super) async fn try_out(
    call: Call<needs::Installation>,
    Json(tried): Json<Tried>,
) -> Result<axum::Json<Trial>, Problem> {
    let days = tried.days.unwrap_or(7);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(Problem::of_field("days", format!("must be 1 to {DAYS_MAX}")));
    }
    let own = own_rules(&call).await?;
    let mut with = own.clone();
    with.push(tried.rule.clone());
    let (now, with) = (built(own).await?, built(with).await?);
    let since = call.clock.now().0.saturating_sub(i64::from(days) * 86_400 * 1_000_000);
    let past = call.store.past_replies(Timestamp(since), PAST_MAX).await?;
    let past: Vec<Past> = past.iter().filter_map(past_of).collect();
    let id = tried.rule.id;
    // Thousands of texts: not on a thread that others wait for.
    let trial = tokio::task::spawn_blocking(move || trial(&now, &with, &id, &past)).await;
    Ok(axum::Json(trial.map_err(Problem::ours)?))
}

fn past_of(reply: &PastReply) -> Option<Past> {
    let text = |name| reply.fields.get(name).and_then(serde_json::Value::as_str);
    let code = reply.fields.get("code").and_then(serde_json::Value::as_u64);
    Some(Past {
        operator: text("operator").map(str::to_owned),
        code: code.and_then(|code| u16::try_from(code).ok()),
        text: text("reply").or(text("reason"))?.to_owned(),
    })
}

async fn own_rules(api: &ApiState) -> Result<Vec<Rule>, Problem> {
    let stored = api.store.classification_rules().await?;
    stored.into_iter().map(|row| serde_json::from_value(row.rule).map_err(Problem::ours)).collect()
}

/// Reading all packs takes tens of milliseconds.
async fn built(own: Vec<Rule>) -> Result<Classifier, Problem> {
    let built = tokio::task::spawn_blocking(move || Classifier::with_own(own)).await;
    built
        .map_err(Problem::ours)?
        .map_err(|why: RuleError| Problem::of_field("rule", why.to_string()))
}

/// The running daemon takes it up; on a stopped store nobody classifies.
fn take_up(api: &ApiState, classifier: Classifier) {
    if let Some(live) = &api.classifier {
        live.replace(classifier);
    }
}

/// Groups that are known now need no rule any more.
async fn forget_known(api: &ApiState, classifier: &Classifier) -> Result<(), Problem> {
    let groups = api.store.unclassified_replies(None, GROUPS_MAX, "").await?;
    let is_known = |group: &&UnclassifiedReply| {
        let operator = (!group.operator.is_empty()).then_some(group.operator.as_str());
        !is_unknown_text(&classifier.classify(operator, &Answer::read(&group.sample)))
    };
    let known: Vec<_> = groups.iter().filter(is_known).map(|group| group.id).collect();
    if !known.is_empty() {
        api.store.forget_unclassified(known).await?;
    }
    Ok(())
}
