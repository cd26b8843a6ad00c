//! /v1/inbound-routes: where mail for addresses of ours goes on to, and what is owed of it.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::extract::{Path, Query};
use super::narrow::narrowed;
use super::problem::Problem;
use crate::auth;
use crate::fetch::{Url, sign};
use crate::model::*;
use crate::store::{InboundCallRow, InboundRouteRow, RouteChange, Secret, StoreError};

const LIST_MAX: u32 = 1000;
const LIST_USUAL: u32 = 100;
const ADDRESSES_MAX: usize = 20;
const ATTACHMENT_BYTES_USUAL: u64 = 5 << 20;
const ATTACHMENT_BYTES_MAX: u64 = 25 << 20;

/// A route as it stands.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct InboundRouteView {
    pub id: InboundRouteId,
    pub organization: OrganizationId,
    pub pattern: String,
    pub action: RouteAction,
    pub target: String,
    pub format: RouteFormat,
    pub attachment_bytes_max: u64,
    pub created_at: Timestamp,
    /// What calls are signed with; told once, when the route is made.
    pub secret: Option<String>,
}

impl InboundRouteView {
    fn of(row: InboundRouteRow, with_secret: bool) -> InboundRouteView {
        InboundRouteView {
            id: row.id,
            organization: row.organization,
            pattern: row.pattern,
            action: row.action,
            target: row.target,
            format: row.format,
            attachment_bytes_max: row.attachment_bytes_max,
            created_at: row.created_at,
            secret: with_secret.then_some(row.secret.0),
        }
    }
}

/// List where mail that comes in goes on to.
#[utoipa::path(get, path = "/v1/inbound-routes", tag = "inbound",
    responses((status = 200, body = Page<InboundRouteView>)),
    security(("key" = ["domains_read"])))]
pub(super) async fn list(
    call: Call<needs::DomainsRead>,
) -> Result<axum::Json<Page<InboundRouteView>>, Problem> {
    let mut rows = call.store.inbound_routes().await?;
    rows.retain(|row| call.scope().covers(row.organization));
    Ok(Page::whole(rows.into_iter().map(|row| InboundRouteView::of(row, false)).collect()))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInboundRoute {
    /// An address, or `*@` and a domain; the domain lies in a sending domain of the organization
    /// and its MX is this host.
    pattern: String,
    action: RouteAction,
    /// For `http` a URL, for `smtp` a host with or without `:port`, for `forward` addresses divided
    /// by spaces; nothing for the others.
    #[serde(default)]
    target: String,
    /// How `http` posts: `parsed` when it is missing.
    #[serde(default)]
    format: Option<RouteFormat>,
    /// Attachments beyond it in all are left out of what is posted.
    #[serde(default)]
    attachment_bytes_max: Option<u64>,
    /// The caller's own, when it is missing.
    #[serde(default)]
    organization: Option<OrganizationId>,
}

/// Pass mail for an address on.
#[utoipa::path(post, path = "/v1/inbound-routes", tag = "inbound",
    responses((status = 200, body = InboundRouteView)), security(("key" = ["domains_write"])))]
pub(super) async fn add(
    call: Call<needs::DomainsWrite>,
    Json(new): Json<NewInboundRoute>,
) -> Result<axum::Json<InboundRouteView>, Problem> {
    let organization = call.organization_or(new.organization)?;
    let pattern = new.pattern.trim().to_lowercase();
    check_pattern(&call, organization, &pattern).await?;
    check_target(new.action, &new.target)?;
    let bytes_max = new.attachment_bytes_max.unwrap_or(ATTACHMENT_BYTES_USUAL);
    if bytes_max > ATTACHMENT_BYTES_MAX {
        let text = format!("must not be above {ATTACHMENT_BYTES_MAX}");
        return Err(Problem::of_field("attachment_bytes_max", text));
    }
    let mut row = InboundRouteRow {
        id: InboundRouteId(0),
        organization,
        pattern,
        action: new.action,
        target: new.target,
        format: new.format.unwrap_or(RouteFormat::Parsed),
        secret: match new.action {
            RouteAction::Http => sign::secret_of(auth::random_octets()),
            _ => Secret(String::new()),
        },
        attachment_bytes_max: bytes_max,
        created_at: call.clock.now(),
    };
    let action = ("inbound_route.added", row.pattern.as_str());
    let store = call.audited::<(), _>(Some(organization), action, None, Some(&row.target))?;
    let made = store.add_inbound_route(row.clone()).await;
    row.id = made.map_err(|error| match error {
        StoreError::Duplicate(_) => {
            let problem = Problem::conflict("the address has a route already");
            Problem { field: Some("pattern".into()), ..problem }
        }
        other => other.into(),
    })?;
    reload(&call).await?;
    let with_secret = row.action == RouteAction::Http;
    Ok(axum::Json(InboundRouteView::of(row, with_secret)))
}

/// The door knows of it from now on.
async fn reload<N>(call: &Call<N>) -> Result<(), Problem> {
    match &call.inbound {
        Some(inbound) => Ok(inbound.reload().await?),
        None => Ok(()),
    }
}

async fn check_pattern<N>(
    call: &Call<N>,
    organization: OrganizationId,
    pattern: &str,
) -> Result<(), Problem> {
    let refused = |text: &str| Problem::of_field("pattern", text.to_owned());
    let domain = match pattern.strip_prefix("*@") {
        Some(domain) => Domain::parse(domain).ok(),
        None => Address::parse(pattern).ok().map(|address| address.domain().clone()),
    };
    let domain = domain.ok_or_else(|| refused("must be an address, or *@ and a domain"))?;
    let domains = call.store.domains().await?;
    let is_own =
        domains.iter().any(|row| row.organization == organization && domain.is_within(&row.name));
    if is_own { Ok(()) } else { Err(refused("must lie in a sending domain of the organization")) }
}

fn check_target(action: RouteAction, target: &str) -> Result<(), Problem> {
    let refused = |text: String| Err(Problem::of_field("target", text));
    match action {
        RouteAction::Http => match Url::parse(target) {
            Ok(_) => Ok(()),
            Err(error) => refused(error.to_string()),
        },
        RouteAction::Smtp if target.trim().is_empty() || target.contains(char::is_whitespace) => {
            refused("must be a host, with or without :port".to_owned())
        }
        RouteAction::Forward => {
            let addresses: Vec<&str> = target.split_whitespace().collect();
            let wrong = addresses.iter().find(|one| Address::parse(one).is_err());
            match wrong {
                Some(wrong) => refused(format!("'{wrong}' is no address")),
                None if (1..=ADDRESSES_MAX).contains(&addresses.len()) => Ok(()),
                None => refused(format!("must be 1 to {ADDRESSES_MAX} addresses")),
            }
        }
        RouteAction::Smtp => Ok(()),
        RouteAction::Accept | RouteAction::Hold | RouteAction::Refuse => match target {
            "" => Ok(()),
            _ => refused("nothing is sent by this action".to_owned()),
        },
    }
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = InboundRouteRemoved)]
pub struct Removed {
    pub removed: InboundRouteId,
}

/// Pass nothing on any more; what is owed is given up.
#[utoipa::path(delete, path = "/v1/inbound-routes/{id}", tag = "inbound",
    params(("id" = InboundRouteId, Path, description = "The route")),
    responses((status = 200, body = Removed)), security(("key" = ["domains_write"])))]
pub(super) async fn remove(
    call: Call<needs::DomainsWrite>,
    Path(id): Path<InboundRouteId>,
) -> Result<axum::Json<Removed>, Problem> {
    let organization = call.scope().organization();
    let target = id.to_string();
    let action = ("inbound_route.removed", target.as_str());
    let store = call.audited::<(), ()>(organization, action, None, None)?;
    if !store.remove_inbound_route(id, organization).await? {
        return Err(Problem::not_found("there is no such route"));
    }
    reload(&call).await?;
    Ok(axum::Json(Removed { removed: id }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedCalls {
    /// `next` of the page before.
    cursor: Option<InboundCallId>,
    /// Stands somewhere in sender or recipient, in any case.
    find: Option<String>,
    state: Option<InboundCallState>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// List mail that routes owe, hold, or have given up, newest first.
#[utoipa::path(get, path = "/v1/inbound-calls", tag = "inbound", params(AskedCalls),
    responses((status = 200, body = Page<InboundCallRow>)),
    security(("key" = ["messages_read"])))]
pub(super) async fn calls(
    call: Call<needs::MessagesRead>,
    Query(asked): Query<AskedCalls>,
) -> Result<axum::Json<Page<InboundCallRow>>, Problem> {
    let limit = asked.limit.unwrap_or(LIST_USUAL);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(Problem::of_field("limit", format!("must be between 1 and {LIST_MAX}")));
    }
    let narrowed = narrowed(asked.find.as_deref(), asked.state.map(|state| state.word()))?;
    let items = call.store.inbound_calls(call.scope(), asked.cursor, limit, &narrowed).await?;
    let full = items.len() >= limit as usize;
    let next = items.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items, next }))
}

/// One of them, with what is sent.
#[utoipa::path(get, path = "/v1/inbound-calls/{id}", tag = "inbound",
    params(("id" = InboundCallId, Path, description = "The call")),
    responses((status = 200, body = InboundCallRow)), security(("key" = ["messages_read"])))]
pub(super) async fn one(
    call: Call<needs::MessagesRead>,
    Path(id): Path<InboundCallId>,
) -> Result<axum::Json<InboundCallRow>, Problem> {
    Ok(axum::Json(own(&call, id).await?))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// For one that is held: whom it goes on to. Nothing for one that was given up, which is tried
    /// again.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    to: Vec<Address>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Released {
    pub released: InboundCallId,
}

/// Send held mail on to addresses, or try again what was given up.
#[utoipa::path(post, path = "/v1/inbound-calls/{id}/release", tag = "inbound",
    params(("id" = InboundCallId, Path, description = "The call")),
    responses((status = 200, body = Released)), security(("key" = ["messages_steer"])))]
pub(super) async fn release(
    call: Call<needs::MessagesSteer>,
    Path(id): Path<InboundCallId>,
    Json(order): Json<Release>,
) -> Result<axum::Json<Released>, Problem> {
    let row = own(&call, id).await?;
    let inbound = call.inbound.as_ref().ok_or_else(|| Problem::conflict("no daemon is running"))?;
    let is_held = row.state == InboundCallState::Held;
    if is_held && !(1..=ADDRESSES_MAX).contains(&order.to.len()) {
        return Err(Problem::of_field("to", format!("must be 1 to {ADDRESSES_MAX} addresses")));
    }
    if !is_held && !order.to.is_empty() {
        return Err(Problem::of_field("to", "only held mail goes on to addresses"));
    }
    match row.state {
        InboundCallState::Held => {
            let to: Vec<String> = order.to.iter().map(Address::to_string).collect();
            inbound.release(&row, order.to, &call.store).await.map_err(Problem::ours)?;
            note(&call, &row, ("inbound_call.released", &to)).await?;
        }
        InboundCallState::Failed => {
            inbound.retry(&row, &call.store).await?;
            note(&call, &row, ("inbound_call.retried", &row.text)).await?;
        }
        InboundCallState::Waiting => {
            return Err(Problem::conflict("it waits for its next try already"));
        }
    }
    Ok(axum::Json(Released { released: id }))
}

/// Give up what is held or owed.
#[utoipa::path(delete, path = "/v1/inbound-calls/{id}", tag = "inbound",
    params(("id" = InboundCallId, Path, description = "The call")),
    responses((status = 200, body = CallRemoved)), security(("key" = ["messages_steer"])))]
pub(super) async fn remove_call(
    call: Call<needs::MessagesSteer>,
    Path(id): Path<InboundCallId>,
) -> Result<axum::Json<CallRemoved>, Problem> {
    let row = own(&call, id).await?;
    call.store.change_route(RouteChange::Done(id)).await?;
    note(&call, &row, ("inbound_call.removed", &row.recipient)).await?;
    Ok(axum::Json(CallRemoved { removed: id }))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = InboundCallRemoved)]
pub struct CallRemoved {
    pub removed: InboundCallId,
}

async fn own<N>(call: &Call<N>, id: InboundCallId) -> Result<InboundCallRow, Problem> {
    let row = call.store.inbound_call(id).await?;
    let row = row.filter(|row| call.scope().covers(row.organization));
    row.ok_or_else(|| Problem::not_found("there is no such call"))
}

/// In the audit log.
async fn note<N, A: Serialize>(
    call: &Call<N>,
    row: &InboundCallRow,
    (action, what): (&'static str, &A),
) -> Result<(), Problem> {
    call.told(Some(row.organization), (action, &row.id.to_string()), what).await
}
