//! /v1/organizations/{id}: one organization, its settings and what it may send.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::organizations::{line, note};
use super::problem::Problem;
use super::users::taken;
use super::{ApiState, credentials, limits, sources};
use crate::model::*;
use crate::store::{Keep, LimitRow, OrganizationRow};

const NAME_BYTES_MAX: usize = 100;
const KEEP_DAYS_MAX: u32 = 3650;
const KEEP_BYTES_MAX: u64 = 1 << 50;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// Recipients within any span of that length; null does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SendLimits {
    #[schema(maximum = 1_099_511_627_776_u64)]
    pub hour: Option<u64>,
    #[schema(maximum = 1_099_511_627_776_u64)]
    pub day: Option<u64>,
    /// Of 30 days.
    #[schema(maximum = 1_099_511_627_776_u64)]
    pub month: Option<u64>,
}

impl SendLimits {
    const fn spans(self) -> [(Option<u64>, Duration); 3] {
        [(self.hour, HOUR), (self.day, DAY), (self.month, MONTH)]
    }
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct OrganizationView {
    pub id: OrganizationId,
    pub name: String,
    pub created_at: Timestamp,
    pub suspended_at: Option<Timestamp>,
    pub suspended_reason: Option<String>,
    /// All its mail ends here: kept for two weeks to be looked at, and sent nowhere.
    pub capture: bool,
    /// Mail that is over is listed for so many days; null for good.
    pub keep_days: Option<u32>,
    /// Octets of mail that are listed: beyond it the oldest that is over goes; null for any.
    pub keep_bytes: Option<u64>,
    /// The pool of its mail that no rule speaks of; null for the default one.
    pub pool: Option<PoolId>,
    pub send_limits: SendLimits,
    /// Of each limit, what is used up.
    pub sent: SendLimits,
}

async fn found<N>(call: &Call<N>, id: OrganizationId) -> Result<OrganizationRow, Problem> {
    let rows = call.store.organizations().await?;
    let own = rows.into_iter().find(|row| row.id == id && call.scope().covers(id));
    own.ok_or_else(|| Problem::not_found("there is no such organization"))
}

/// The limits that stand for the send limits of an organization.
fn is_send_limit(row: &LimitRow, id: OrganizationId, span: Duration) -> bool {
    let Limit { scope, metric, window, origin, .. } = &row.limit;
    *origin == Origin::Quota
        && *metric == Metric::Messages
        && *window == Some(span)
        && *scope == scope_of(id)
}

const fn scope_of(id: OrganizationId) -> LimitScope {
    LimitScope {
        from: FromScope::Installation,
        to: ToScope::Anywhere,
        who: WhoScope::Organization(id),
        class: None,
    }
}

async fn view(api: &ApiState, row: OrganizationRow) -> Result<OrganizationView, Problem> {
    let rows = api.store.limits().await?;
    let of = |span| rows.iter().find(|limit| is_send_limit(limit, row.id, span));
    let value = |span| of(span).map(|row| row.limit.value);
    let sent = |span| {
        let (limit, schedule) = (of(span)?.limit.id, api.schedule.as_ref()?);
        let used = schedule.limits().usage(limit, api.clock.now());
        Some(used.iter().map(|(_, usage)| usage.used).sum())
    };
    Ok(OrganizationView {
        send_limits: SendLimits { hour: value(HOUR), day: value(DAY), month: value(MONTH) },
        sent: SendLimits { hour: sent(HOUR), day: sent(DAY), month: sent(MONTH) },
        id: row.id,
        name: row.name,
        created_at: row.created_at,
        suspended_at: row.suspended_at,
        suspended_reason: row.suspended_reason,
        capture: row.capture,
        keep_days: row.keep_days,
        keep_bytes: row.keep_bytes,
        pool: row.pool,
    })
}

/// Show an organization with its send limits and what is used of them.
#[utoipa::path(get, path = "/v1/organizations/{id}", tag = "organizations",
    params(("id" = OrganizationId, Path, description = "The organization")),
    responses((status = 200, body = OrganizationView)), security(("key" = ["settings_read"])))]
pub(super) async fn show(
    call: Call<needs::SettingsRead>,
    Path(id): Path<OrganizationId>,
) -> Result<axum::Json<OrganizationView>, Problem> {
    let row = found(&call, id).await?;
    Ok(axum::Json(view(&call, row).await?))
}

/// What changes; what is missing stays.
#[derive(Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrganizationPatch {
    name: Option<String>,
    /// Mail that comes from now on ends here, or goes out again; what was captured stays.
    capture: Option<bool>,
    /// Mail that is over goes after so many days: rows, events and all. 0 keeps it for good.
    #[schema(maximum = 3650)]
    keep_days: Option<u32>,
    /// Beyond so many octets of mail the oldest that is over goes; 0 keeps it for good.
    #[schema(maximum = 1_125_899_906_842_624_u64)]
    keep_bytes: Option<u64>,
}

/// Change an organization's name, whether its mail is captured, how long it is kept.
#[utoipa::path(patch, path = "/v1/organizations/{id}", tag = "organizations",
    params(("id" = OrganizationId, Path, description = "The organization")),
    responses((status = 200, body = OrganizationView)), security(("key" = ["settings_write"])))]
pub(super) async fn change(
    call: Call<needs::SettingsWrite>,
    Path(id): Path<OrganizationId>,
    Json(patch): Json<OrganizationPatch>,
) -> Result<axum::Json<OrganizationView>, Problem> {
    let row = found(&call, id).await?;
    let name = patch.name.as_deref().map(|name| line("name", name, NAME_BYTES_MAX)).transpose()?;
    let name = name.unwrap_or_else(|| row.name.clone());
    let capture = patch.capture.unwrap_or(row.capture);
    let keep_days = match patch.keep_days {
        None => row.keep_days,
        Some(0) => None,
        Some(days @ 1..=KEEP_DAYS_MAX) => Some(days),
        Some(_) => {
            let detail = format!("must be at most {KEEP_DAYS_MAX} days");
            return Err(Problem::of_field("keep_days", detail));
        }
    };
    let keep_bytes = match patch.keep_bytes {
        None => row.keep_bytes,
        Some(0) => None,
        Some(bytes @ 1..=KEEP_BYTES_MAX) => Some(bytes),
        Some(_) => {
            let detail = format!("must be at most {KEEP_BYTES_MAX} octets");
            return Err(Problem::of_field("keep_bytes", detail));
        }
    };
    let keep = Keep { days: keep_days, bytes: keep_bytes };
    let target = id.to_string();
    let action = ("organization.changed", target.as_str());
    let store = call.audited(Some(id), action, Some(&row), Some(&patch))?;
    let changed = store.change_organization(id, &name, capture, keep).await;
    changed.map_err(|error| taken(error, "name"))?;
    credentials::reload(&call).await?;
    note(&call).await?;
    let row = found(&call, id).await?;
    Ok(axum::Json(view(&call, row).await?))
}

/// Set what an organization may send; what is over it waits and goes by itself when it may.
#[utoipa::path(put, path = "/v1/organizations/{id}/send-limits", tag = "organizations",
    params(("id" = OrganizationId, Path, description = "The organization")),
    responses((status = 200, body = OrganizationView)), security(("key" = ["installation"])))]
pub(super) async fn set_send_limits(
    call: Call<needs::Installation>,
    Path(id): Path<OrganizationId>,
    Json(wanted): Json<SendLimits>,
) -> Result<axum::Json<OrganizationView>, Problem> {
    let row = found(&call, id).await?;
    let known = call.store.limits().await?;
    let (mut put, mut gone) = (Vec::new(), Vec::new());
    for (value, span) in wanted.spans() {
        let old = known.iter().find(|row| is_send_limit(row, id, span));
        match (old, value) {
            (Some(old), None) => gone.push(old.limit.id),
            (_, Some(value)) => put.push(limit_row(old, id, (value, span), call.clock.now())?),
            (None, None) => {}
        }
    }
    call.store.put_limits(put, &gone).await?;
    limits::reload(&call).await?;
    let target = id.to_string();
    call.told(Some(id), ("organization.send_limits", target.as_str()), &wanted).await?;
    tracing::info!(organization = %id, limits = ?wanted, "send limits were set");
    Ok(axum::Json(view(&call, row).await?))
}

/// A pool by its name; null is the default one.
#[derive(Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnPool {
    pool: Option<String>,
}

/// Give an organization a pool of its own: by it goes its mail of which no rule speaks.
#[utoipa::path(put, path = "/v1/organizations/{id}/pool", tag = "organizations",
    params(("id" = OrganizationId, Path, description = "The organization")),
    responses((status = 200, body = OrganizationView)), security(("key" = ["installation"])))]
pub(super) async fn set_pool(
    call: Call<needs::Installation>,
    Path(id): Path<OrganizationId>,
    Json(wanted): Json<OwnPool>,
) -> Result<axum::Json<OrganizationView>, Problem> {
    let row = found(&call, id).await?;
    let pool = match &wanted.pool {
        None => None,
        Some(name) => {
            let tables = call.store.source_tables().await?;
            let named = tables.pools.iter().find(|pool| pool.name == *name);
            let none = || Problem::of_field("pool", "there is no such pool");
            Some(named.ok_or_else(none)?.id)
        }
    };
    let target = id.to_string();
    let action = ("organization.pool", target.as_str());
    let store = call.audited(Some(id), action, Some(&row.pool), Some(&pool))?;
    store.set_organization_pool(id, pool).await?;
    sources::taken_up(&call).await?;
    let row = found(&call, id).await?;
    Ok(axum::Json(view(&call, row).await?))
}

fn limit_row(
    old: Option<&LimitRow>,
    id: OrganizationId,
    (value, span): (u64, Duration),
    now: Timestamp,
) -> Result<LimitRow, Problem> {
    let limit = Limit {
        id: old.map_or(LimitId(0), |old| old.limit.id),
        scope: scope_of(id),
        metric: Metric::Messages,
        value,
        window: Some(span),
        pace: Pace::Sliding,
        origin: Origin::Quota,
        reason: "send limit of the organization".to_owned(),
        expires_at: None,
        pinned: false,
    };
    crate::schedule::limits::pack::check(&limit).map_err(Problem::unprocessable)?;
    Ok(LimitRow { limit, name: None, created_at: old.map_or(now, |old| old.created_at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_limit_is_known_again_by_its_scope_and_span() {
        let id = OrganizationId(3);
        let row = limit_row(None, id, (5, DAY), Timestamp(1)).expect("lawful");
        assert!(is_send_limit(&row, id, DAY));
        assert!(!is_send_limit(&row, id, HOUR) && !is_send_limit(&row, OrganizationId(4), DAY));
        assert!(limit_row(None, id, (1 << 41, DAY), Timestamp(1)).is_err());
    }
}
