//! /v1/campaigns/{id}/progress and /deliveries, /v1/lists/{id}/growth: what a person watches.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::campaigns::{found, sums};
use super::extract::{Path, Query};
use super::problem::Problem;
use crate::campaign::plan::Sums;
use crate::campaign::progress as counts;
use crate::campaign::progress::{GrowthDay, OperatorProgress};
use crate::model::*;
use crate::store::{CampaignRecipient, Recipients};

const PAGE: u32 = 50;
const DAYS_MAX: u32 = 366;

/// Where a campaign is, in all and at each operator.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct CampaignProgress {
    pub state: CampaignState,
    pub sums: Sums,
    /// Most mail first.
    pub operators: Vec<OperatorProgress>,
}

/// Show how far a campaign is, at each operator.
#[utoipa::path(get, path = "/v1/campaigns/{id}/progress", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignProgress)), security(("key" = ["campaigns_read"])))]
pub(super) async fn progress(
    call: Call<needs::CampaignsRead>,
    Path(id): Path<CampaignId>,
) -> Result<axum::Json<CampaignProgress>, Problem> {
    let row = found(&call, id).await?;
    let operators = counts::by_operator(&call.store, id).await?;
    let sums = sums(&call, &row).await?;
    Ok(axum::Json(CampaignProgress { state: row.state, sums, operators }))
}

/// What a person has done with a mail.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CampaignReader {
    Opened,
    Clicked,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    state: Option<State>,
    /// Only those who have; it stands for itself, without `state`.
    #[param(inline)]
    reader: Option<CampaignReader>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Where a page begins: a state and the delivery before it.
fn begin(asked: &Asked) -> Result<(usize, DeliveryId), Problem> {
    let of = |wanted: State| State::ALL.iter().position(|state| *state == wanted).unwrap_or(0);
    let Some(cursor) = &asked.cursor else {
        return Ok((asked.state.map_or(0, of), DeliveryId(0)));
    };
    let wrong = || Problem::of_field("cursor", "is none that a page has named");
    let (state, after) = cursor.split_once('.').ok_or_else(wrong)?;
    let state: State = state.parse().map_err(|_| wrong())?;
    let after: DeliveryId = after.parse().map_err(|_| wrong())?;
    if after.0 < 0 || asked.state.is_some_and(|wanted| wanted != state) {
        return Err(wrong());
    }
    Ok((of(state), after))
}

/// List a campaign's recipients, with what became of each.
#[utoipa::path(get, path = "/v1/campaigns/{id}/deliveries", tag = "campaigns",
    params(("id" = CampaignId, Path), Asked),
    responses((status = 200, body = Page<CampaignRecipient>)),
    security(("key" = ["campaigns_read"])))]
pub(super) async fn deliveries(
    call: Call<needs::CampaignsRead>,
    Path(id): Path<CampaignId>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<CampaignRecipient>>, Problem> {
    found(&call, id).await?;
    let (first, mut after) = begin(&asked)?;
    let which: Vec<Recipients> = match (asked.reader, asked.state) {
        (Some(_), Some(_)) => {
            return Err(Problem::of_field("reader", "is not asked together with 'state'"));
        }
        (Some(CampaignReader::Opened), None) => vec![Recipients::Opened],
        (Some(CampaignReader::Clicked), None) => vec![Recipients::Clicked],
        (None, Some(state)) => vec![Recipients::Of(state)],
        (None, None) => State::ALL[first..].iter().copied().map(Recipients::Of).collect(),
    };
    let mut items: Vec<CampaignRecipient> = Vec::new();
    for which in which {
        let room = PAGE - u32::try_from(items.len()).unwrap_or(PAGE);
        if room == 0 {
            break;
        }
        items.extend(call.store.campaign_page(id, which, after, room).await?);
        after = DeliveryId(0);
    }
    let full = items.len() >= PAGE as usize;
    let last = items.last().filter(|_| full);
    let next = last.map(|last| format!("{}.{}", last.state, last.delivery));
    Ok(axum::Json(Page { items, next }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// How many days back, today among them; 90 when it is missing.
    #[param(minimum = 1, maximum = 366)]
    days: Option<u32>,
}

/// Show how a list has grown: who came each day and is still on it, and who left.
#[utoipa::path(get, path = "/v1/lists/{id}/growth", tag = "lists",
    params(("id" = ListId, Path), Span),
    responses((status = 200, body = Page<GrowthDay>)), security(("key" = ["contacts_read"])))]
pub(super) async fn growth(
    call: Call<needs::ContactsRead>,
    Path(id): Path<ListId>,
    Query(span): Query<Span>,
) -> Result<axum::Json<Page<GrowthDay>>, Problem> {
    let days = span.days.unwrap_or(90);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(Problem::of_field("days", format!("must be 1 to {DAYS_MAX}")));
    }
    let lists = call.store.lists(call.organization()).await?;
    if !lists.iter().any(|list| list.id == id) {
        return Err(Problem::not_found("there is no such list"));
    }
    Ok(Page::whole(counts::growth(&call.store, id, days, call.clock.now()).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(state: Option<State>, cursor: Option<&str>) -> Asked {
        Asked { state, reader: None, cursor: cursor.map(str::to_owned) }
    }

    #[test]
    fn a_page_goes_on_where_its_cursor_says_and_refuses_any_other() {
        let waiting = begin(&asked(None, None)).expect("lawful");
        assert_eq!(waiting, (0, DeliveryId(0)));
        let held = State::ALL.iter().position(|state| *state == State::Held);
        let (state, after) = begin(&asked(None, Some("held.7"))).expect("lawful");
        assert_eq!((Some(state), after), (held, DeliveryId(7)));
        for wrong in ["", "7", "held.", "held.-1", "lost.1", "held.7.8"] {
            assert!(begin(&asked(None, Some(wrong))).is_err(), "{wrong}");
        }
        assert!(begin(&asked(Some(State::Failed), Some("held.7"))).is_err());
    }
}
