//! /v1/deliveries: what is owed, its story, and how a person steers it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::extract::{Path, Query};
use super::problem::Problem;
use super::{ApiState, Page};
use crate::events;
use crate::model::{
    DeliveryId, Domain, MessageId, OrganizationId, PoolId, Scope, State as DeliveryState, Timestamp,
};
use crate::queue::dialogue_log::Dialogue;
use crate::store::{DeliveryFilter, DeliveryView, EventRow, Steer, SteerAction};

const LIST_MAX: u32 = 1000;
const LIST_USUAL: u32 = 100;
const SAMPLE: u32 = 10;
const EVENTS_MAX: u32 = 1000;
/// Dialogues of one story; each has at most 100 lines.
const DIALOGUES_MAX: usize = 5;
/// Rows a statement may change, and statements a request may run: a bulk change stays far below
/// the time an answer may take, and its caller asks again while there is `more`.
const STEER_ROWS: u32 = 1000;
const STEER_ROUNDS: u32 = 50;
const REASON_BYTES_MAX: usize = 500;

/// Which deliveries: all that is given must hold.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    organization: Option<OrganizationId>,
    message: Option<MessageId>,
    delivery: Option<DeliveryId>,
    state: Option<DeliveryState>,
    /// The recipient's domain.
    #[param(value_type = Option<String>)]
    domain: Option<Domain>,
    /// The envelope sender: a whole address, or a domain when it holds no `@`.
    sender: Option<String>,
    /// `next` of the page before.
    cursor: Option<DeliveryId>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

impl Asked {
    /// Who is confined sees his own rows, whatever he asks for.
    fn filter(self, scope: Scope) -> Result<(DeliveryFilter, u32), Problem> {
        let limit = self.limit.unwrap_or(LIST_USUAL);
        if !(1..=LIST_MAX).contains(&limit) {
            return Err(Problem::of_field("limit", format!("must be between 1 and {LIST_MAX}")));
        }
        let filter = DeliveryFilter {
            organization: scope.organization().or(self.organization),
            message: self.message,
            delivery: self.delivery,
            state: self.state,
            domain: self.domain,
            sender: self.sender,
            before: self.cursor,
        };
        Ok((filter, limit))
    }
}

/// List deliveries, newest first.
#[utoipa::path(get, path = "/v1/deliveries", tag = "deliveries", params(Asked),
    responses((status = 200, body = Page<DeliveryView>)),
    security(("key" = ["messages_read"])))]
pub(super) async fn list(
    call: Call<needs::MessagesRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<DeliveryView>>, Problem> {
    let (filter, limit) = asked.filter(call.scope())?;
    let items = call.store.list_deliveries(&filter, limit).await?;
    let full = items.len() >= limit as usize;
    let next = items.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items, next }))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Count {
    pub count: u64,
}

/// Count deliveries; of final states the newest million is looked at.
#[utoipa::path(get, path = "/v1/deliveries/count", tag = "deliveries", params(Asked),
    responses((status = 200, body = Count)), security(("key" = ["messages_read"])))]
pub(super) async fn count(
    call: Call<needs::MessagesRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Count>, Problem> {
    let (filter, _) = asked.filter(call.scope())?;
    Ok(axum::Json(Count { count: call.store.count_deliveries(&filter).await? }))
}

/// A delivery with its story, oldest event first.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Story {
    #[serde(flatten)]
    pub delivery: DeliveryView,
    pub events: Vec<EventRow>,
    /// What was said in the last attempts that did not succeed, oldest first, by the place that
    /// stands in their events.
    pub dialogues: Vec<Said>,
}

/// The dialogue of one attempt.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct Said {
    pub place: String,
    #[serde(flatten)]
    pub dialogue: Dialogue,
}

/// A delivery with its whole story.
#[utoipa::path(get, path = "/v1/deliveries/{id}", tag = "deliveries",
    params(("id" = DeliveryId, Path, description = "The delivery")),
    responses((status = 200, body = Story)), security(("key" = ["messages_read"])))]
pub(super) async fn show(
    call: Call<needs::MessagesRead>,
    Path(id): Path<DeliveryId>,
) -> Result<axum::Json<Story>, Problem> {
    let none = || Problem::not_found("there is no such delivery");
    let (organization, delivery) = (call.scope().organization(), Some(id));
    let filter = DeliveryFilter { organization, delivery, ..DeliveryFilter::default() };
    let delivery = call.store.list_deliveries(&filter, 1).await?.pop().ok_or_else(none)?;
    let events =
        events::of_delivery(&call.store, delivery.message, delivery.id, EVENTS_MAX).await?;
    let dialogues = dialogues(&call, &events).await;
    Ok(axum::Json(Story { delivery, events, dialogues }))
}

/// Those of the last attempts; one that is gone for its age, or cannot be read, is left out.
async fn dialogues(api: &ApiState, events: &[EventRow]) -> Vec<Said> {
    let Some(queue) = &api.queue else { return Vec::new() };
    let place = |event: &EventRow| Some(event.fields.get("dialogue")?.as_str()?.to_owned());
    let places: Vec<String> = events.iter().rev().filter_map(place).take(DIALOGUES_MAX).collect();
    let mut said = Vec::with_capacity(places.len());
    for place in places.into_iter().rev() {
        let Ok(wanted) = place.parse() else { continue };
        match queue.dialogue(wanted).await {
            Ok(Some(dialogue)) => said.push(Said { place, dialogue }),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, place, "a dialogue cannot be read"),
        }
    }
    said
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    Hold,
    Release,
    Retry,
    Cancel,
    /// To another pool.
    Reroute,
}

impl Action {
    const fn for_store(self, pool: Option<PoolId>) -> SteerAction {
        match self {
            Action::Hold => SteerAction::Hold,
            Action::Release => SteerAction::Release,
            Action::Retry => SteerAction::Retry,
            Action::Cancel => SteerAction::Cancel,
            Action::Reroute => SteerAction::Reroute(pool),
        }
    }

    const fn told(self) -> &'static str {
        match self {
            Action::Hold => "deliveries.held",
            Action::Release => "deliveries.released",
            Action::Retry => "deliveries.retried",
            Action::Cancel => "deliveries.cancelled",
            Action::Reroute => "deliveries.rerouted",
        }
    }

    /// The states in which it changes anything; as `model::next` has it.
    const fn applies_to(self) -> &'static [DeliveryState] {
        match self {
            Action::Hold | Action::Retry => &[DeliveryState::Waiting],
            Action::Release => &[DeliveryState::Held],
            Action::Cancel | Action::Reroute => {
                &[DeliveryState::Waiting, DeliveryState::Leased, DeliveryState::Held]
            }
        }
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SteerOrder {
    action: Action,
    #[serde(default)]
    filter: DeliveryFilter,
    /// An empty filter is every delivery there is; it must be meant.
    #[serde(default)]
    all: bool,
    #[serde(default)]
    reason: String,
    /// Counts and shows, and changes nothing.
    #[serde(default)]
    preview: bool,
    /// Of a release: so many begin in an hour, a minute's share at a time; without it all at once.
    #[serde(default)]
    #[schema(minimum = 1)]
    per_hour: Option<u32>,
    /// Of the next part of such a release: `continues_at` of the part before.
    #[serde(default)]
    from: Option<Timestamp>,
    /// Of a reroute: the pool that carries the mail, by its name; without it the rules say it.
    #[serde(default)]
    pool: Option<String>,
}

#[derive(Serialize, Deserialize, Default, utoipa::ToSchema)]
pub struct Steered {
    /// Deliveries the order applied to before it ran.
    pub count: u64,
    /// Some of them.
    pub sample: Vec<DeliveryView>,
    /// Deliveries that were changed.
    pub changed: u64,
    /// The order stopped at its bound; give it again for the rest.
    pub more: bool,
    /// Of a release by the hour: when the first of the rest may begin.
    pub continues_at: Option<Timestamp>,
}

/// How many are changed at a time, and how far apart in time they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    rows: u32,
    apart: Duration,
}

impl Share {
    fn of(order: &SteerOrder) -> Result<Share, Problem> {
        let Some(per_hour) = order.per_hour else {
            return Ok(Share { rows: STEER_ROWS, apart: Duration::ZERO });
        };
        if order.action != Action::Release {
            return Err(Problem::of_field("per_hour", "only a release goes by the hour"));
        }
        if per_hour == 0 {
            return Err(Problem::of_field("per_hour", "must be one at least"));
        }
        let rows = per_hour.div_ceil(60).min(STEER_ROWS);
        Ok(Share { rows, apart: Duration::from_secs(3600) * rows / per_hour })
    }
}

/// The filter for each state in which the action changes something.
fn filters(order: &SteerOrder) -> Result<Vec<DeliveryFilter>, Problem> {
    if order.filter == DeliveryFilter::default() && !order.all {
        let detail = "without a filter every delivery is meant; say so by \"all\": true";
        return Err(Problem::of_field("filter", detail));
    }
    if order.reason.len() > REASON_BYTES_MAX {
        let detail = format!("must not be longer than {REASON_BYTES_MAX} octets");
        return Err(Problem::of_field("reason", detail));
    }
    let states = order.action.applies_to();
    match order.filter.state {
        Some(state) if !states.contains(&state) => {
            let detail = format!("this changes nothing for deliveries that are {state}");
            Err(Problem::of_field("filter.state", detail))
        }
        Some(_) => Ok(vec![order.filter.clone()]),
        None => {
            let with = |state| DeliveryFilter { state: Some(state), ..order.filter.clone() };
            Ok(states.iter().copied().map(with).collect())
        }
    }
}

/// The pool that a reroute names. Who is confined to an organization sends by its own pool.
async fn pool_of(
    call: &Call<needs::MessagesSteer>,
    order: &SteerOrder,
) -> Result<Option<PoolId>, Problem> {
    let Some(name) = &order.pool else { return Ok(None) };
    if order.action != Action::Reroute {
        return Err(Problem::of_field("pool", "only a reroute names a pool"));
    }
    let none = || Problem::of_field("pool", "there is no such pool");
    let tables = call.store.source_tables().await?;
    let pool = tables.pools.iter().find(|row| row.name == *name).ok_or_else(none)?.id;
    let is_open = match call.scope().organization() {
        None => true,
        Some(own) => pool == PoolId::DEFAULT || tables.own.contains(&(own, pool)),
    };
    is_open.then_some(Some(pool)).ok_or_else(none)
}

/// Hold, release, retry, cancel or reroute all deliveries of a filter; `preview` only counts and
/// shows.
#[utoipa::path(post, path = "/v1/deliveries/steer", tag = "deliveries",
    responses((status = 200, body = Steered)), security(("key" = ["messages_steer"])))]
pub(super) async fn steer(
    call: Call<needs::MessagesSteer>,
    Json(order): Json<SteerOrder>,
) -> Result<axum::Json<Steered>, Problem> {
    let confined = call.scope().organization();
    let share = Share::of(&order)?;
    let pool = pool_of(&call, &order).await?;
    let mut steered = Steered::default();
    let mut due = order.from.map_or(call.clock.now(), |from| from.max(call.clock.now()));
    for mut filter in filters(&order)? {
        filter.organization = confined.or(filter.organization);
        let count = call.store.count_deliveries(&filter).await?;
        steered.count += count;
        if order.preview {
            let sample = call.store.list_deliveries(&filter, SAMPLE).await?;
            steered.sample.extend(sample);
        } else if count > 0 {
            let (changed, more) =
                apply(&call, (&order, pool), filter, (count, share, &mut due)).await?;
            steered.changed += changed;
            steered.more |= more;
        }
    }
    steered.sample.truncate(SAMPLE as usize);
    steered.continues_at = order.per_hour.filter(|_| steered.more).map(|_| due);
    if steered.changed > 0 {
        tracing::info!(action = ?order.action, count = steered.changed, reason = %order.reason,
            "deliveries were steered");
        let after = serde_json::json!({"filter": order.filter, "reason": order.reason,
            "pool": order.pool, "count": steered.changed});
        let action = (order.action.told(), "deliveries");
        call.told(confined.or(order.filter.organization), action, &after).await?;
        (call.nudge)();
    }
    Ok(axum::Json(steered))
}

/// Statement after statement, until no row is left or the bound is reached.
async fn apply<N>(
    call: &Call<N>,
    (order, pool): (&SteerOrder, Option<PoolId>),
    filter: DeliveryFilter,
    (count, share, due): (u64, Share, &mut Timestamp),
) -> Result<(u64, bool), Problem> {
    let rounds_needed = count / u64::from(share.rows) + 1;
    let mut job = Steer {
        filter,
        action: order.action.for_store(pool),
        reason: order.reason.clone(),
        at: call.clock.now(),
        due: *due,
        limit: share.rows,
    };
    let mut changed = 0;
    for _ in 0..rounds_needed.min(u64::from(STEER_ROUNDS)) {
        job.due = *due;
        let rows = call.store.steer(job.clone()).await?;
        *due = *due + share.apart;
        changed += rows;
        if rows < u64::from(share.rows) {
            return Ok((changed, false));
        }
    }
    Ok((changed, rounds_needed > u64::from(STEER_ROUNDS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> SteerOrder {
        serde_json::from_str(text).expect("an order")
    }

    #[test]
    fn an_order_for_all_deliveries_must_say_so() {
        let refused = filters(&order(r#"{"action": "cancel"}"#)).expect_err("refused");
        assert_eq!(refused.field.as_deref(), Some("filter"));
        let all = filters(&order(r#"{"action": "cancel", "all": true}"#)).expect("lawful");
        let states: Vec<_> = all.iter().filter_map(|filter| filter.state).collect();
        assert_eq!(states, Action::Cancel.applies_to());
    }

    #[test]
    fn a_release_by_the_hour_goes_a_minutes_share_at_a_time() {
        let share = |per_hour: u32| {
            let text = format!(r#"{{"action": "release", "all": true, "per_hour": {per_hour}}}"#);
            Share::of(&order(&text)).map(|share| (share.rows, share.apart.as_secs()))
        };
        assert_eq!(share(600).expect("lawful"), (10, 60));
        assert_eq!(share(1).expect("lawful"), (1, 3600));
        assert_eq!(share(3_600_000).expect("lawful"), (1000, 1));
        assert!(share(0).is_err());
        let other = order(r#"{"action": "cancel", "all": true, "per_hour": 1}"#);
        assert_eq!(Share::of(&other).expect_err("refused").field.as_deref(), Some("per_hour"));
    }

    #[test]
    fn an_order_that_can_change_nothing_is_refused() {
        let text = r#"{"action": "release", "filter": {"state": "delivered"}}"#;
        let refused = filters(&order(text)).expect_err("refused");
        assert_eq!(refused.field.as_deref(), Some("filter.state"));
    }

    #[test]
    fn an_action_applies_where_the_life_of_a_delivery_has_its_step() {
        use crate::model::{Step, next};
        let steps = [
            (Action::Hold, Step::Hold),
            (Action::Release, Step::Release),
            (Action::Cancel, Step::Cancel),
        ];
        for (action, step) in steps {
            for state in DeliveryState::ALL {
                let applies = action.applies_to().contains(state);
                // What is under way is held by who tries it, never by a person.
                let by_person = (action, *state) != (Action::Hold, DeliveryState::Leased);
                let lawful = next(*state, step).is_some() && by_person;
                assert_eq!(applies, lawful, "{action:?} of {state}");
            }
        }
    }

    #[test]
    fn who_is_confined_asks_for_his_own_rows_whatever_he_names() {
        let asked = |organization| Asked {
            organization: Some(OrganizationId(organization)),
            message: None,
            delivery: None,
            state: None,
            domain: None,
            sender: None,
            cursor: None,
            limit: None,
        };
        let own = Scope::of(OrganizationId(2));
        let (filter, _) = asked(3).filter(own).expect("lawful");
        assert_eq!(filter.organization, Some(OrganizationId(2)));
        let (filter, _) = asked(3).filter(Scope::INSTALLATION).expect("lawful");
        assert_eq!(filter.organization, Some(OrganizationId(3)));
    }
}
