//! /v1/campaigns/{id}/outlook: when a campaign will be done, where it stands still and why; and
//! campaigns side by side.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::campaigns::{found, sums};
use super::extract::{Path, Query};
use super::forecast::ruled;
use super::problem::Problem;
use super::warmups::controller;
use super::{ApiState, Page};
use crate::campaign::plan::Sums;
use crate::campaign::{Schema, launch, report};
use crate::model::*;
use crate::schedule::controller::Mailing;
use crate::schedule::forecast::{HORIZON, Whose};
use crate::store::{CampaignRow, OperatorRow};

/// How finely the hours in which it may be sent are looked at.
const WINDOW_STEP: Duration = Duration::from_secs(15 * 60);
const COMPARED_MAX: usize = 20;
/// Domains of a sample whose operators are looked up; the others count to the tail.
const DOMAINS_MAX: usize = 50;
/// Of an audience that is not cut into slices yet: from so many places so many contacts.
const SAMPLE_PARTS: i64 = 10;
const SAMPLE_PART: u32 = 100;

/// What is left at one operator.
#[derive(Serialize, utoipa::ToSchema)]
pub struct OutlookOperator {
    operator: String,
    recipients: u64,
    /// Null: not within 120 days.
    ends_at: Option<Timestamp>,
    /// What it waits for most.
    bottleneck: Option<String>,
}

/// A campaign was stopped at an operator, because what it says was refused there.
#[derive(Serialize, utoipa::ToSchema)]
pub struct OutlookStop {
    operator: String,
    /// The site that has refused it, where only that one is meant: among the small hosts.
    host: Option<String>,
    cause: String,
    /// What was answered, at most three.
    samples: Vec<String>,
    since: Timestamp,
    /// When it goes on by itself.
    until: Option<Timestamp>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct CampaignOutlook {
    /// Those who wait or are planned.
    remaining: u64,
    /// Null: not within 120 days, or nothing remains, or nobody could send.
    ends_at: Option<Timestamp>,
    bottleneck: Option<String>,
    operators: Vec<OutlookOperator>,
    stops: Vec<OutlookStop>,
}

/// Tell when a campaign will be done, as the limits, warm-ups and answers of these days have it,
/// and at which operators it stands still; before its launch, when it would be. Where those who
/// are planned go is told by a sample.
#[utoipa::path(get, path = "/v1/campaigns/{id}/outlook", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignOutlook)), security(("key" = ["campaigns_read"])))]
pub(super) async fn outlook(
    call: Call<needs::CampaignsRead>,
    Path(id): Path<CampaignId>,
) -> Result<axum::Json<CampaignOutlook>, Problem> {
    let row = found(&call, id).await?;
    let operators = call.store.operators().await?;
    let left = remaining(&call, &row).await?;
    let remaining = left.values().sum();
    let stops = stops(&call, id).await?;
    let sites: Vec<SiteId> = stops.iter().filter_map(|(_, decision)| site_of(decision)).collect();
    let hosts = call.store.site_keys(&sites).await?;
    let stops = stops.into_iter().map(|(operator, decision)| OutlookStop {
        operator: name_of(&operators, operator),
        host: site_of(&decision).and_then(|site| hosts.get(&site).cloned()),
        cause: decision.cause,
        samples: decision.samples,
        since: decision.at,
        until: decision.expires_at,
    });
    let mut outlook = CampaignOutlook {
        remaining,
        ends_at: None,
        bottleneck: None,
        operators: Vec::new(),
        stops: stops.collect(),
    };
    if remaining == 0 || row.state.is_over() {
        return Ok(axum::Json(outlook));
    }
    let mut before: BTreeMap<OperatorId, u64> =
        call.store.waiting_by_operator().await?.into_iter().collect();
    // Its own waiting mail is not before itself.
    for (operator, count) in call.store.campaign_waiting(id).await? {
        let waiting = before.entry(operator).or_default();
        *waiting = waiting.saturating_sub(count);
    }
    let mailing = mailing(&call, &row, (left, before))?;
    if let Some((forecast, _)) = controller(&call)?.forecast(mailing).await? {
        (outlook.ends_at, outlook.bottleneck) = (forecast.ends_at, forecast.bottleneck);
        let of = forecast.operators.into_iter().map(|one| OutlookOperator {
            operator: name_of(&operators, one.operator),
            recipients: one.recipients,
            ends_at: one.ends_at,
            bottleneck: one.bottleneck,
        });
        outlook.operators = of.collect();
    }
    Ok(axum::Json(outlook))
}

/// The campaign's mail as limits, pools and its own hours will meet it.
fn mailing<N>(
    call: &Call<N>,
    row: &CampaignRow,
    (audience, backlog): (BTreeMap<OperatorId, u64>, BTreeMap<OperatorId, u64>),
) -> Result<Mailing, Problem> {
    let schedule =
        call.schedule.as_ref().ok_or_else(|| Problem::conflict("no daemon is running"))?;
    let sender = ReversePath::parse(&row.content.from).ok().and_then(|path| path.0);
    let sending_domain = sender
        .as_ref()
        .zip(call.auth.as_ref())
        .and_then(|(sender, auth)| auth.sending_domain(row.organization, sender.domain()));
    let whose = Whose {
        organization: row.organization,
        stream: row.stream,
        campaign: Some(row.id),
        sending_domain,
    };
    let (pool, pools) = ruled(schedule, whose, sender.as_ref(), audience.keys().copied());
    let closed = closed(row, call.clock.now());
    let limits = own_throttle(row).into_iter().collect();
    Ok(Mailing { audience, backlog, pool, pools, whose, closed, limits })
}

/// Before its time, and outside its window.
fn closed(row: &CampaignRow, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let mut closed = Vec::new();
    let starts_at = row.settings.starts_at.filter(|at| row.state.is_before_launch() && *at > now);
    closed.extend(starts_at.map(|at| (now, at)));
    let Some(window) = &row.settings.window else { return closed };
    let mut at = starts_at.unwrap_or(now);
    while at < now + HORIZON {
        match launch::closed_until(window, at).filter(|until| *until > at) {
            Some(until) => {
                closed.push((at, until));
                at = until;
            }
            None => at = at + WINDOW_STEP,
        }
    }
    closed
}

/// A limit of its own it has from its launch on; before, as it will be.
fn own_throttle(row: &CampaignRow) -> Option<Limit> {
    let is_before = row.state.is_before_launch() || row.state == CampaignState::Preparing;
    let throttle = row.settings.throttle.as_ref().filter(|_| is_before)?;
    Some(Limit {
        // No other of a dry run has it: they count up from there.
        id: LimitId(1 << 52),
        scope: LimitScope {
            from: FromScope::Installation,
            to: ToScope::Anywhere,
            who: WhoScope::Campaign(row.id),
            class: None,
        },
        metric: Metric::Messages,
        value: throttle.messages,
        window: Some(Duration::from_secs(throttle.seconds)),
        pace: Pace::Fixed,
        origin: Origin::Quota,
        reason: "the campaign's throttle".to_owned(),
        expires_at: None,
        pinned: false,
    })
}

fn name_of(operators: &[OperatorRow], id: OperatorId) -> String {
    let row = operators.iter().find(|row| row.id == id);
    row.map_or_else(|| format!("operator {id}"), |row| row.name.clone())
}

const fn site_of(decision: &Decision) -> Option<SiteId> {
    match decision.scope.to {
        ToScope::Site(site) => Some(site),
        _ => None,
    }
}

/// Decisions that stop this campaign somewhere, with the operator.
async fn stops(api: &ApiState, id: CampaignId) -> Result<Vec<(OperatorId, Decision)>, Problem> {
    let mut all = api.store.active_decisions().await?;
    all.retain(|decision| decision.scope.who == WhoScope::Campaign(id));
    let of = all.into_iter().filter_map(|decision| match decision.scope.to {
        ToScope::Operator(operator) => Some((operator, decision)),
        // A large operator is stopped as a whole.
        ToScope::Site(_) => Some((OperatorId::TAIL, decision)),
        _ => None,
    });
    Ok(of.collect())
}

/// Who waits, and who is planned, by operator.
async fn remaining(
    api: &ApiState,
    row: &CampaignRow,
) -> Result<BTreeMap<OperatorId, u64>, Problem> {
    let mut left: BTreeMap<OperatorId, u64> =
        api.store.campaign_waiting(row.id).await?.into_iter().collect();
    let (planned, sample) = planned(api, row).await?;
    if planned == 0 {
        return Ok(left);
    }
    let mut counts: BTreeMap<OperatorId, u64> = BTreeMap::new();
    let mut domains: HashMap<String, u64> = HashMap::new();
    for (operator, email) in api.store.contact_operators(row.organization, &sample).await? {
        match operator {
            Some(operator) => *counts.entry(operator).or_default() += 1,
            None => {
                let domain = email.rsplit('@').next().unwrap_or_default().to_owned();
                *domains.entry(domain).or_default() += 1;
            }
        }
    }
    for (operator, count) in operators_of(api, domains).await? {
        *counts.entry(operator).or_default() += count;
    }
    let seen: u64 = counts.values().sum();
    if seen == 0 {
        *left.entry(OperatorId::TAIL).or_default() += planned;
    }
    for (operator, count) in counts {
        *left.entry(operator).or_default() += planned * count / seen.max(1);
    }
    Ok(left)
}

/// How many are planned, and some of them: before the launch the audience as it is now.
async fn planned(api: &ApiState, row: &CampaignRow) -> Result<(u64, Vec<ContactId>), Problem> {
    let is_before = matches!(row.state, CampaignState::Draft | CampaignState::Scheduled);
    if !is_before {
        let (for_winner, others) = api.store.unfed(row.id).await?;
        return Ok((for_winner + others, api.store.unfed_sample(row.id).await?));
    }
    if row.settings.audience.is_empty() {
        return Ok((0, Vec::new()));
    }
    let organization = row.organization;
    let schema = Schema::read(&api.store, organization).await?;
    let saved = api.store.saved_segments(organization).await?;
    let filter = launch::filter(&row.settings, &schema, &saved, api.clock.now())?;
    let count = api.store.count_contacts(organization, &filter).await?;
    let last = api.store.last_contact(organization).await?;
    let mut sample = BTreeSet::new();
    for part in 0..SAMPLE_PARTS {
        let after = ContactId(last.0 / SAMPLE_PARTS * part);
        let rows = api.store.contacts_after(organization, after, &filter, SAMPLE_PART).await?;
        let is_last = rows.len() < SAMPLE_PART as usize;
        sample.extend(rows.into_iter().map(|contact| contact.id));
        if is_last {
            break;
        }
    }
    Ok((count, sample.into_iter().collect()))
}

/// Of contacts that got nothing yet: by their domains, the most frequent ones looked up.
async fn operators_of(
    api: &ApiState,
    domains: HashMap<String, u64>,
) -> Result<BTreeMap<OperatorId, u64>, Problem> {
    let rows = api.store.operators().await?;
    let mut domains: Vec<(String, u64)> = domains.into_iter().collect();
    domains.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut counts: BTreeMap<OperatorId, u64> = BTreeMap::new();
    for (place, (domain, count)) in domains.into_iter().enumerate() {
        let name = match (&api.schedule, Domain::parse(&domain)) {
            (Some(schedule), Ok(domain)) if place < DOMAINS_MAX => {
                schedule.operator_of(&domain).await
            }
            _ => None,
        };
        let row = name.and_then(|name| rows.iter().find(|row| row.name == name));
        *counts.entry(row.map_or(OperatorId::TAIL, |row| row.id)).or_default() += count;
    }
    Ok(counts)
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignGoOn)]
pub(super) struct GoOn {
    /// The name of the operator where it was stopped; `tail`: at all small hosts that stopped it.
    operator: String,
}

/// Go on at an operator that has refused what the campaign says, before the stop ends by itself.
#[utoipa::path(post, path = "/v1/campaigns/{id}/go-on", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignOutlook)), security(("key" = ["campaigns_write"])))]
pub(super) async fn go_on(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<CampaignId>,
    Json(asked): Json<GoOn>,
) -> Result<axum::Json<CampaignOutlook>, Problem> {
    let row = found(&call, id).await?;
    let operators = call.store.operators().await?;
    let named = operators.iter().find(|row| row.name == asked.operator).map(|row| row.id);
    let here = |(operator, _): &&(OperatorId, Decision)| Some(*operator) == named;
    let mut stops = stops(&call, id).await?;
    stops.retain(|stop| here(&stop));
    if stops.is_empty() {
        return Err(Problem::of_field("operator", "the campaign is not stopped there"));
    }
    let target = id.to_string();
    let action = ("campaign.went_on", target.as_str());
    let organization = Some(row.organization);
    let store = call.audited::<(), _>(organization, action, None, Some(&asked.operator))?;
    for (_, decision) in stops {
        controller(&call)?.undo(decision.id, store.line()).await?;
    }
    store.hasten_campaign(id, call.clock.now()).await?;
    (call.nudge)();
    let left = remaining(&call, &row).await?;
    Ok(axum::Json(CampaignOutlook {
        remaining: left.values().sum(),
        ends_at: None,
        bottleneck: None,
        operators: Vec::new(),
        stops: Vec::new(),
    }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Compared {
    /// Up to twenty ids, with commas between them.
    ids: String,
}

/// One of several campaigns side by side. Rates are for each thousand delivered.
#[derive(Serialize, utoipa::ToSchema)]
pub struct CampaignCompared {
    id: CampaignId,
    name: String,
    state: CampaignState,
    launched_at: Option<Timestamp>,
    audience: Option<u64>,
    sums: Sums,
    delivered: u64,
    /// At once or by a report.
    bounced: u64,
    /// People, as far as can be told.
    opened: u64,
    clicked: u64,
    unsubscribed: u64,
    complained: u64,
    opened_rate: u64,
    clicked_rate: u64,
    unsubscribed_rate: u64,
    complained_rate: u64,
}

/// Show campaigns side by side, in the order in which they are named.
#[utoipa::path(get, path = "/v1/campaigns/compare", tag = "campaigns", params(Compared),
    responses((status = 200, body = Page<CampaignCompared>)),
    security(("key" = ["campaigns_read"])))]
pub(super) async fn compare(
    call: Call<needs::CampaignsRead>,
    Query(asked): Query<Compared>,
) -> Result<axum::Json<Page<CampaignCompared>>, Problem> {
    let wrong = |_| Problem::of_field("ids", "must be numbers with commas between them");
    let ids: Vec<CampaignId> = asked
        .ids
        .split(',')
        .map(|id| id.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    if ids.len() > COMPARED_MAX {
        return Err(Problem::of_field("ids", format!("at most {COMPARED_MAX}")));
    }
    let mut items = Vec::with_capacity(ids.len());
    for id in ids {
        let row = found(&call, id).await?;
        let sums = sums(&call, &row).await?;
        let report = report::read(&call.store, &row, sums).await?;
        items.push(compared(row, &report));
    }
    Ok(Page::whole(items))
}

fn compared(row: CampaignRow, report: &report::Report) -> CampaignCompared {
    let sum = |count: fn(&report::VariantReport) -> u64| report.variants.iter().map(count).sum();
    let delivered: u64 = sum(|one| one.delivered);
    let rate = |count: u64| (count * 1000).checked_div(delivered).unwrap_or(0);
    let (opened, clicked) = (sum(|one| one.opened), sum(|one| one.clicked));
    let (unsubscribed, complained) = (sum(|one| one.unsubscribed), sum(|one| one.complained));
    CampaignCompared {
        id: row.id,
        name: row.name,
        state: row.state,
        launched_at: row.launched_at,
        audience: row.audience,
        sums: report.sums.clone(),
        delivered,
        bounced: report.bounced.iter().map(|one| one.count).sum(),
        opened,
        clicked,
        unsubscribed,
        complained,
        opened_rate: rate(opened),
        clicked_rate: rate(clicked),
        unsubscribed_rate: rate(unsubscribed),
        complained_rate: rate(complained),
    }
}
