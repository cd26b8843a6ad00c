//! /v1/why and /v1/lanes: why mail is still here, and who works on what.

mod campaign; // those who are planned

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::extract::Query;
use super::problem::Problem;
use crate::model::{
    CampaignId, DeliveryId, LimitId, OperatorId, OrganizationId, SiteId, Timestamp,
};
use crate::schedule::Schedule;
use crate::schedule::why::ReasonCount;

/// About whom: one of them.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    delivery: Option<DeliveryId>,
    organization: Option<OrganizationId>,
    campaign: Option<CampaignId>,
    /// `SOURCE/SITE`: the name of a source and the number of a site; `-/SITE` without a source.
    lane: Option<String>,
}

/// All reasons stand in the way; with none nothing is owed any more.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Why {
    pub reasons: Vec<ReasonCount>,
}

/// Tell why mail is still here: which limit, who set it, when it opens.
#[utoipa::path(get, path = "/v1/why", tag = "why", params(Asked),
    responses((status = 200, body = Why)), security(("key" = ["messages_read"])))]
pub(super) async fn show(
    call: Call<needs::MessagesRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Why>, Problem> {
    let schedule = running(call.schedule.as_ref())?;
    let once = |reason| ReasonCount { deliveries: 1, reason };
    let reasons = match asked {
        Asked { delivery: Some(id), organization: None, campaign: None, lane: None } => {
            let gone = || Problem::not_found(format!("there is no delivery {id}"));
            let (organization, reasons) =
                schedule.why(id).await.map_err(Problem::ours)?.ok_or_else(gone)?;
            if !call.scope().covers(organization) {
                return Err(gone());
            }
            reasons.into_iter().map(once).collect()
        }
        Asked { delivery: None, organization: Some(id), campaign: None, lane: None } => {
            if !call.scope().covers(id) {
                return Err(Problem::not_found(format!("there is no organization {id}")));
            }
            schedule.why_organization(id).await.map_err(Problem::ours)?
        }
        Asked { delivery: None, organization: None, campaign: None, lane: Some(lane) } => {
            let wrong = || Problem::of_field("lane", "a lane is SOURCE/SITE: postroad lane list");
            let (source, site) = lane.rsplit_once('/').ok_or_else(wrong)?;
            let site = SiteId(site.parse().map_err(|_| wrong())?);
            let found = schedule.why_lane(source, site).await.map_err(Problem::ours)?;
            found.ok_or_else(wrong)?.into_iter().map(once).collect()
        }
        Asked { delivery: None, organization: None, campaign: Some(id), lane: None } => {
            of_campaign(&call, schedule, id).await?
        }
        _ => {
            let detail = "ask for one: delivery, organization, campaign or lane";
            return Err(Problem::unprocessable(detail));
        }
    };
    Ok(axum::Json(Why { reasons }))
}

/// What waits in the ledger, and those who are planned.
async fn of_campaign<N>(
    call: &Call<N>,
    schedule: &Schedule,
    id: CampaignId,
) -> Result<Vec<ReasonCount>, Problem> {
    let covers = |organization: &OrganizationId| call.scope().covers(*organization);
    let waiting = schedule.why_campaign(id).await.map_err(Problem::ours)?;
    let waiting = waiting.filter(|(organization, _)| covers(organization));
    let owner = call.store.campaign_owner(id).await?.filter(covers);
    let row = match owner {
        Some(owner) => call.store.campaign(owner, id).await?,
        None => None,
    };
    let mut reasons = match (&row, waiting) {
        (_, Some((_, reasons))) => reasons,
        (Some(_), None) => Vec::new(),
        (None, None) => return Err(Problem::not_found(format!("there is no campaign {id}"))),
    };
    if let Some(row) = row {
        let unfed = call.store.unfed(id).await?;
        reasons.extend(campaign::reasons(&row, unfed, call.clock.now()));
    }
    Ok(reasons)
}

/// A source at a site, or a site whose mail waits without one.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct LaneView {
    pub site: SiteId,
    /// The hosts that take its mail, or the route that leads there.
    #[serde(default)]
    pub hosts: String,
    pub operator: Option<OperatorId>,
    /// None: no connection is open.
    pub source: Option<String>,
    pub connections: usize,
    /// Mails of the site in memory, next in turn.
    pub ready: usize,
    /// Limits that stop some of its mail.
    pub limits: Vec<LimitId>,
    /// Nobody connects before.
    pub blocked_until: Option<Timestamp>,
    pub reason: Option<String>,
}

/// List the lanes in use, and the sites whose mail waits.
#[utoipa::path(get, path = "/v1/lanes", tag = "why",
    responses((status = 200, body = Page<LaneView>)), security(("key" = ["delivery_read"])))]
pub(super) async fn lanes(
    call: Call<needs::DeliveryRead>,
) -> Result<axum::Json<Page<LaneView>>, Problem> {
    let schedule = running(call.schedule.as_ref())?;
    let mut items = Vec::new();
    let sites = schedule.sites();
    let ids: Vec<SiteId> = sites.iter().map(|site| site.site).collect();
    let keys = call.store.site_keys(&ids).await?;
    for site in sites {
        let key = keys.get(&site.site).map_or("", String::as_str);
        let lane = |source: Option<String>, connections| LaneView {
            site: site.site,
            hosts: key.strip_prefix("mx:").unwrap_or(key).to_owned(),
            operator: site.operator,
            source,
            connections,
            ready: site.ready,
            limits: site.limits.clone(),
            blocked_until: site.blocked_until,
            reason: site.reason.clone(),
        };
        if site.sources.is_empty() {
            items.push(lane(None, 0));
        }
        items.extend(site.sources.iter().map(|(name, count)| lane(Some(name.clone()), *count)));
    }
    items.sort_by(|a, b| (a.site, &a.source).cmp(&(b.site, &b.source)));
    Ok(Page::whole(items))
}

fn running(schedule: Option<&Schedule>) -> Result<&Schedule, Problem> {
    schedule.ok_or_else(|| Problem::unavailable("only a running daemon knows"))
}
