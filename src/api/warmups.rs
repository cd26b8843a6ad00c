//! /v1/warmups: sources and sending domains on their way to full volume.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::extract::{Path, Query};
use super::problem::Problem;
use crate::dns::listed_operators;
use crate::model::*;
use crate::schedule::controller::{Controller, ControllerError, Steer};
use crate::schedule::warmup::calendar::Window;
use crate::schedule::warmup::course::Course;
use crate::schedule::warmup::plan::{self, Plan, PlanError};
use crate::schedule::warmup::{Pair, Warmup};
use crate::store::OperatorRow;

/// Operators named in one order.
const OPERATORS_MAX: usize = 200;

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct WarmupView {
    pub id: WarmupId,
    pub source: Option<SourceId>,
    pub domain: Option<DomainId>,
    pub operator: String,
    pub plan: String,
    pub state: WarmupState,
    /// Of the plan, and how many it has.
    pub day: u32,
    pub days: u32,
    /// Days that counted.
    pub send_days: u32,
    /// Mails of marketing a day at this stage, and in the end.
    pub volume: u64,
    pub target: u64,
    /// What today may carry; null where nothing is limited.
    pub budget: Option<u64>,
    pub offered_today: u64,
    pub accepted_today: u64,
    /// Why today was stopped, or how long it is frozen.
    pub note: String,
    /// The volumes of the days to come, when each of them advances.
    pub calendar: Vec<u64>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct DayView {
    /// Its beginning.
    pub day: Timestamp,
    pub volume: u64,
    pub next_volume: u64,
    pub offered: u64,
    pub accepted: u64,
    pub transactional: u64,
    pub deferred: u64,
    pub blocked: u64,
    pub invalid: u64,
    pub complaints: u64,
    pub verdict: WarmupVerdict,
    pub cause: String,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct WarmupStory {
    pub warmup: WarmupView,
    /// Newest first.
    pub days: Vec<DayView>,
    /// Before the next step this share of the day's volume must be accepted.
    #[serde(default)]
    pub accepted_min: f64,
    #[serde(default)]
    pub gates: Vec<GateView>,
}

/// What a day must not come to, and what today has come to so far.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct GateView {
    /// `deferred`, `blocked`, `complaints`, `invalid`: as of a day.
    pub name: String,
    pub count: u64,
    /// Out of so many.
    pub of: u64,
    /// Above this share the day is no progress; few attempts say nothing yet.
    pub hold: f64,
    /// Above this one the volume goes back.
    pub back: f64,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanView {
    pub name: String,
    pub summary: String,
    /// Mails on each day, up to the target that was asked for.
    pub calendar: Vec<u64>,
}

pub(super) fn controller<N>(call: &Call<N>) -> Result<&Controller, Problem> {
    let stopped = || Problem::conflict("no daemon is running");
    Ok(call.schedule.as_ref().ok_or_else(stopped)?.controller())
}

impl From<ControllerError> for Problem {
    fn from(error: ControllerError) -> Problem {
        match error {
            ControllerError::NoWarmup(_) => Problem::not_found(error.to_string()),
            ControllerError::Store(error) => error.into(),
            other => Problem::conflict(other.to_string()),
        }
    }
}

fn view(warmup: &Warmup, operators: &[OperatorRow]) -> WarmupView {
    let course = &warmup.course;
    let days = course.plan.days(course.factor, course.target);
    let today = course.today.as_ref();
    let marks = today.map(|today| today.marks).unwrap_or_default();
    let (source, domain) = match warmup.subject {
        WarmSubject::Source(source) => (Some(source), None),
        WarmSubject::Domain(domain) => (None, Some(domain)),
    };
    let note = match (course.frozen_until, today.and_then(|today| today.stop)) {
        (Some(until), _) => format!("frozen until {until}"),
        (None, _) if course.state == WarmupState::Frozen => "frozen until it is resumed".into(),
        (None, Some(trouble)) => trouble.text().to_owned(),
        (None, None) => String::new(),
    };
    let volume =
        |day: u32| course.plan.cap_at(course.stage + f64::from(day), course.factor, course.target);
    let first = course.stage as u32;
    WarmupView {
        id: warmup.id,
        source,
        domain,
        operator: name_of(warmup.operator, operators),
        plan: course.plan.name.clone(),
        state: course.state,
        day: (first + 1).min(days),
        days,
        send_days: course.send_days,
        volume: course.cap(),
        target: course.target,
        budget: course.budget(),
        offered_today: marks.offered,
        accepted_today: marks.accepted,
        note,
        calendar: (0..days.saturating_sub(first).min(366)).map(volume).collect(),
    }
}

fn gates(warmup: &Warmup) -> Vec<GateView> {
    let gates = &warmup.course.plan.gates;
    let marks = warmup.course.today.as_ref().map(|today| today.marks).unwrap_or_default();
    let (offered, accepted) = (marks.offered, marks.accepted);
    let all = [
        ("deferred", marks.deferred, offered, gates.deferral_hold, gates.deferral_back),
        ("blocked", marks.blocked, offered, gates.block_hold, gates.block_back),
        ("complaints", marks.complaints, accepted, gates.complaint_hold, gates.complaint_back),
        ("invalid", marks.invalid, offered, gates.invalid_hold, gates.invalid_back),
    ];
    let view = |(name, count, of, hold, back): (&str, u64, u64, f64, f64)| GateView {
        name: name.to_owned(),
        count,
        of,
        hold,
        back,
    };
    all.map(view).into()
}

fn name_of(operator: OperatorId, operators: &[OperatorRow]) -> String {
    let found = operators.iter().find(|row| row.id == operator);
    found.map_or_else(|| format!("operator {operator}"), |row| row.name.clone())
}

/// List the warm-ups.
#[utoipa::path(get, path = "/v1/warmups", tag = "warmups",
    responses((status = 200, body = Page<WarmupView>)), security(("key" = ["installation"])))]
pub(super) async fn list(
    call: Call<needs::Installation>,
) -> Result<axum::Json<Page<WarmupView>>, Problem> {
    let operators = call.store.operators().await?;
    let all = controller(&call)?.warmups().await;
    Ok(Page::whole(all.iter().map(|one| view(one, &operators)).collect()))
}

/// Show one warm-up and what its days came to.
#[utoipa::path(get, path = "/v1/warmups/{id}", tag = "warmups", params(("id" = WarmupId, Path)),
    responses((status = 200, body = WarmupStory)), security(("key" = ["installation"])))]
pub(super) async fn show(
    call: Call<needs::Installation>,
    Path(id): Path<WarmupId>,
) -> Result<axum::Json<WarmupStory>, Problem> {
    let operators = call.store.operators().await?;
    let all = controller(&call)?.warmups().await;
    let one = all.iter().find(|one| one.id == id).ok_or(ControllerError::NoWarmup(id))?;
    let days = call.store.warmup_days(id).await?.into_iter().map(|row| DayView {
        day: row.day,
        volume: row.volume,
        next_volume: row.next_volume,
        offered: row.marks.offered,
        accepted: row.marks.accepted,
        transactional: row.marks.transactional,
        deferred: row.marks.deferred,
        blocked: row.marks.blocked,
        invalid: row.marks.invalid,
        complaints: row.marks.complaints,
        verdict: row.verdict,
        cause: row.cause,
    });
    Ok(axum::Json(WarmupStory {
        warmup: view(one, &operators),
        days: days.collect(),
        accepted_min: one.course.plan.gates.volume,
        gates: gates(one),
    }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlansQuery {
    /// Mails a day at the end; 100,000 when it is missing.
    target: Option<u64>,
}

/// List the plans that ship, with their days.
#[utoipa::path(get, path = "/v1/warmup-plans", tag = "warmups", params(PlansQuery),
    responses((status = 200, body = Page<PlanView>)), security(("key" = ["installation"])))]
pub(super) async fn plans(
    _call: Call<needs::Installation>,
    Query(query): Query<PlansQuery>,
) -> Result<axum::Json<Page<PlanView>>, Problem> {
    let target = query.target.unwrap_or(100_000).max(1);
    let view = |plan: Plan| PlanView {
        calendar: plan.calendar(1.0, target),
        name: plan.name,
        summary: plan.summary,
    };
    Ok(Page::whole(plan::shipped().into_iter().map(view).collect()))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWarmup {
    /// A source of ours, by its id or its name …
    #[serde(default)]
    source: Option<String>,
    /// … or a new sending domain.
    #[serde(default)]
    domain: Option<Domain>,
    /// By name; all that are known when it is missing.
    #[serde(default)]
    operators: Option<Vec<String>>,
    /// One that ships; `standard` when it and the others are missing.
    #[serde(default)]
    plan: Option<String>,
    /// Instead: mails on each day.
    #[serde(default)]
    curve: Option<Vec<u64>>,
    /// Instead: a plan of one's own, as TOML in the form of the shipped ones.
    #[serde(default)]
    plan_text: Option<String>,
    /// Mails a day at each operator in the end.
    target: u64,
    /// The hours of the day that marketing is sent in, such as `8-20`.
    #[serde(default)]
    window: Option<String>,
}

/// Begin to warm up a source or a sending domain at operators.
#[utoipa::path(post, path = "/v1/warmups", tag = "warmups",
    responses((status = 200, body = Page<WarmupView>)), security(("key" = ["installation"])))]
pub(super) async fn start(
    call: Call<needs::Installation>,
    Json(new): Json<NewWarmup>,
) -> Result<axum::Json<Page<WarmupView>>, Problem> {
    let plan = plan_of(&new)?;
    let window = new.window.as_deref().map_or(Ok(Window::default()), Window::read);
    let window = window.map_err(|why| Problem::of_field("window", why))?;
    let subject = subject_of(&call, &new).await?;
    let operators = call.store.operators().await?;
    factors_known(&plan, &operators)?;
    let mut courses: Vec<(Pair, Course)> = Vec::new();
    for operator in chosen(&new, &operators)? {
        let course = Course::new(plan.clone(), &operator.name, new.target, window);
        let course = course.map_err(|why| Problem::of_field("target", why.to_string()))?;
        courses.push(((subject, operator.id), course));
    }
    let controller = controller(&call)?;
    let ids = controller.start(courses, call.store.line()).await?;
    tracing::info!(count = ids.len(), plan = plan.name, "warm-ups were begun");
    let all = controller.warmups().await;
    let begun = all.iter().filter(|one| ids.contains(&one.id));
    Ok(Page::whole(begun.map(|one| view(one, &operators)).collect()))
}

fn plan_of(new: &NewWarmup) -> Result<Plan, Problem> {
    let (field, plan) = match (&new.plan, &new.curve, &new.plan_text) {
        (name, None, None) => ("plan", Plan::named(name.as_deref().unwrap_or("standard"))),
        (None, Some(curve), None) => ("curve", Plan::of_curve(curve.clone())),
        (None, None, Some(text)) => ("plan_text", Plan::read(text)),
        _ => {
            let detail = "give one of plan, curve and plan_text";
            return Err(Problem::of_field("plan", detail));
        }
    };
    plan.map_err(|why: PlanError| Problem::of_field(field, why.to_string()))
}

/// A factor of an operator that nobody knows would never act.
fn factors_known(plan: &Plan, operators: &[OperatorRow]) -> Result<(), Problem> {
    let mut known: Vec<&str> = operators.iter().map(|row| row.name.as_str()).collect();
    known.extend(listed_operators().iter().map(|listed| listed.name.as_str()));
    known.sort_unstable();
    known.dedup();
    match plan.factors.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            let known = known.join(", ");
            let detail = format!("factors: there is no operator '{name}'; there are: {known}");
            Err(Problem::of_field("plan_text", detail))
        }
        None => Ok(()),
    }
}

async fn subject_of<N>(call: &Call<N>, new: &NewWarmup) -> Result<WarmSubject, Problem> {
    match (&new.source, &new.domain) {
        (Some(source), None) => {
            let id = controller(call)?.source_named(source);
            id.map(WarmSubject::Source).map_err(|why| Problem::of_field("source", why))
        }
        (None, Some(domain)) => {
            let rows = call.store.domains().await?;
            let row = rows.iter().find(|row| row.name == *domain);
            let unknown = || Problem::of_field("domain", format!("{domain} is no sending domain"));
            Ok(WarmSubject::Domain(row.ok_or_else(unknown)?.id))
        }
        _ => Err(Problem::of_field("source", "give a source or a domain, one of them")),
    }
}

fn chosen<'a>(
    new: &NewWarmup,
    operators: &'a [OperatorRow],
) -> Result<Vec<&'a OperatorRow>, Problem> {
    let Some(names) = &new.operators else { return Ok(operators.iter().collect()) };
    if names.is_empty() || names.len() > OPERATORS_MAX {
        let detail = format!("name 1 to {OPERATORS_MAX} operators, or none for all");
        return Err(Problem::of_field("operators", detail));
    }
    let find = |name: &String| {
        let unknown = || Problem::of_field("operators", format!("there is no operator '{name}'"));
        operators.iter().find(|row| row.name == *name).ok_or_else(unknown)
    };
    names.iter().map(find).collect()
}

#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarmupAction {
    Pause,
    Resume,
    Skip,
    Restart,
    Stop,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WarmupOrder {
    action: WarmupAction,
    /// For `skip`: days of the plan, back where it is negative; 1 when it is missing.
    #[serde(default)]
    days: Option<i32>,
}

/// Pause, resume, skip days, restart or stop.
#[utoipa::path(post, path = "/v1/warmups/{id}/steer", tag = "warmups",
    params(("id" = WarmupId, Path)),
    responses((status = 200, body = WarmupView)), security(("key" = ["installation"])))]
pub(super) async fn steer(
    call: Call<needs::Installation>,
    Path(id): Path<WarmupId>,
    Json(order): Json<WarmupOrder>,
) -> Result<axum::Json<WarmupView>, Problem> {
    let days = order.days.unwrap_or(1);
    if !(-366..=366).contains(&days) || days == 0 {
        return Err(Problem::of_field("days", "it must be -366 to 366, and not 0"));
    }
    let action = match order.action {
        WarmupAction::Pause => Steer::Pause,
        WarmupAction::Resume => Steer::Resume,
        WarmupAction::Skip => Steer::Skip(days),
        WarmupAction::Restart => Steer::Restart,
        WarmupAction::Stop => Steer::Stop,
    };
    let controller = controller(&call)?;
    controller.steer(id, action, call.store.line()).await?;
    let operators = call.store.operators().await?;
    let all = controller.warmups().await;
    let one = all.iter().find(|one| one.id == id).ok_or(ControllerError::NoWarmup(id))?;
    Ok(axum::Json(view(one, &operators)))
}
