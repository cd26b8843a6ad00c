//! /v1/hold-rules: rules by which mail waits until somebody has looked at it.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::organizations::{line, note};
use super::problem::Problem;
use crate::model::*;

/// Each is asked for every mail that waits.
const RULES_MAX: usize = 100;
const REASON_BYTES_MAX: usize = 500;
const TAG_BYTES_MAX: usize = 128;

/// List the rules that hold mail.
#[utoipa::path(get, path = "/v1/hold-rules", tag = "hold_rules",
    responses((status = 200, body = Page<HoldRule>)), security(("key" = ["messages_read"])))]
pub(super) async fn list(
    call: Call<needs::MessagesRead>,
) -> Result<axum::Json<Page<HoldRule>>, Problem> {
    let mut rules = call.store.hold_rules().await?;
    rules.retain(|rule| is_own(&call, rule));
    Ok(Page::whole(rules))
}

/// Who is confined sees and changes the rules of his organization alone.
fn is_own<N>(call: &Call<N>, rule: &HoldRule) -> bool {
    let confined = call.scope().organization();
    confined.is_none() || rule.matches.organization == confined
}

/// All that is given must hold.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewHoldRule {
    /// The caller's own for who is confined to one; for others all, when it is missing.
    #[serde(default)]
    organization: Option<OrganizationId>,
    #[serde(default)]
    stream: Option<StreamId>,
    #[serde(default)]
    campaign: Option<CampaignId>,
    #[serde(default)]
    credential: Option<CredentialId>,
    #[serde(default)]
    tag: Option<String>,
    /// Of the envelope: an address, or a domain.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    sender: Option<Pattern>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    recipient_domain: Option<Domain>,
    /// Who looks at the mail reads it.
    reason: String,
}

impl NewHoldRule {
    /// What it catches; who is confined makes rules for his organization alone.
    fn matches<N>(&self, call: &Call<N>) -> Result<HoldMatch, Problem> {
        let tag = self.tag.as_deref().map(|tag| line("tag", tag, TAG_BYTES_MAX)).transpose()?;
        let organization = match call.scope().organization() {
            Some(own) if self.organization.is_some_and(|named| named != own) => {
                return Err(Problem::of_field("organization", "there is no such organization"));
            }
            Some(own) => Some(own),
            None => self.organization,
        };
        let matches = HoldMatch {
            organization,
            stream: self.stream,
            campaign: self.campaign,
            credential: self.credential,
            tag,
            sender: self.sender.clone(),
            recipient_domain: self.recipient_domain.clone(),
        };
        if matches == HoldMatch::default() {
            let detail = "a rule for all mail there is must name something";
            return Err(Problem::unprocessable(detail));
        }
        Ok(matches)
    }
}

/// What a rule would hold now.
#[derive(Serialize, utoipa::ToSchema)]
pub struct HoldPreview {
    /// Deliveries that wait.
    count: u64,
    /// Whom some of them are to.
    recipients: Vec<String>,
}

/// Tell what a rule would hold of what waits, and change nothing.
#[utoipa::path(post, path = "/v1/hold-rules/preview", tag = "hold_rules",
    responses((status = 200, body = HoldPreview)), security(("key" = ["messages_read"])))]
pub(super) async fn preview(
    call: Call<needs::MessagesRead>,
    Json(new): Json<NewHoldRule>,
) -> Result<axum::Json<HoldPreview>, Problem> {
    let matches = new.matches(&call)?;
    let (count, recipients) = call.store.would_hold(&matches).await?;
    Ok(axum::Json(HoldPreview { count, recipients }))
}

/// Hold all mail that a rule catches, what waits and what comes, until the rule is removed.
#[utoipa::path(post, path = "/v1/hold-rules", tag = "hold_rules",
    responses((status = 200, body = HoldRule)), security(("key" = ["messages_steer"])))]
pub(super) async fn add(
    call: Call<needs::MessagesSteer>,
    Json(new): Json<NewHoldRule>,
) -> Result<axum::Json<HoldRule>, Problem> {
    let reason = line("reason", &new.reason, REASON_BYTES_MAX)?;
    let matches = new.matches(&call)?;
    let known = call.store.hold_rules().await?;
    if known.len() >= RULES_MAX {
        return Err(Problem::conflict(format!("there are {RULES_MAX} rules; remove one first")));
    }
    let action = ("hold_rule.added", "");
    let after = serde_json::json!({"matches": matches, "reason": reason});
    let store = call.audited::<(), _>(matches.organization, action, None, Some(&after))?;
    let rule = store.add_hold_rule(matches, &reason).await?;
    tracing::info!(rule = %rule.id, reason, "mail is held by a rule");
    note(&call).await?;
    Ok(axum::Json(rule))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = HoldRuleRemoved)]
pub struct Removed {
    pub removed: HoldRuleId,
}

/// Remove a rule: what it held goes on by itself.
#[utoipa::path(delete, path = "/v1/hold-rules/{id}", tag = "hold_rules",
    params(("id" = HoldRuleId, Path, description = "The rule")),
    responses((status = 200, body = Removed)), security(("key" = ["messages_steer"])))]
pub(super) async fn remove(
    call: Call<needs::MessagesSteer>,
    Path(id): Path<HoldRuleId>,
) -> Result<axum::Json<Removed>, Problem> {
    let none = || Problem::not_found("there is no such rule");
    let known = call.store.hold_rules().await?;
    let rule = known.into_iter().find(|rule| rule.id == id && is_own(&call, rule));
    let rule = rule.ok_or_else(none)?;
    let target = id.to_string();
    let action = ("hold_rule.removed", target.as_str());
    let store = call.audited::<_, ()>(rule.matches.organization, action, Some(&rule), None)?;
    if !store.remove_hold_rule(id).await? {
        return Err(none());
    }
    note(&call).await?;
    Ok(axum::Json(Removed { removed: id }))
}
