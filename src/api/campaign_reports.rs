//! /v1/campaigns/{id}/report: what became of a campaign, in counts and for each recipient.

use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;

use super::access::{Call, needs};
use super::campaigns::{found, sums};
use super::extract::Path;
use super::problem::Problem;
use super::streamed::{self, Pieces};
use crate::campaign::report::{self as reports, Report};
use crate::model::*;
use crate::store::{RecipientRow, Store};

const PAGE: u32 = 1000;

/// Show what became of a campaign: delivered, bounced, deferred and why, opens and clicks of
/// people, over time.
#[utoipa::path(get, path = "/v1/campaigns/{id}/report", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = Report)), security(("key" = ["campaigns_read"])))]
pub(super) async fn report(
    call: Call<needs::CampaignsRead>,
    Path(id): Path<CampaignId>,
) -> Result<axum::Json<Report>, Problem> {
    let row = found(&call, id).await?;
    let sums = sums(&call, &row).await?;
    Ok(axum::Json(reports::read(&call.store, &row, sums).await?))
}

/// Export a campaign's recipients as CSV: the state of each, the last answer, when it was
/// delivered, opened and clicked.
#[utoipa::path(get, path = "/v1/campaigns/{id}/recipients", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = String, content_type = "text/csv")),
    security(("key" = ["campaigns_read"])))]
pub(super) async fn recipients(
    call: Call<needs::CampaignsRead>,
    Path(id): Path<CampaignId>,
) -> Result<impl IntoResponse, Problem> {
    let row = found(&call, id).await?;
    let store = call.store.clone();
    let (pieces, body) = streamed::body();
    tokio::spawn(async move {
        if let Err(error) = write_out(&store, row.id, &pieces).await {
            tracing::warn!(%error, "an export of recipients was cut off");
            if pieces.send(Err(std::io::Error::other(error))).await.is_err() {
                tracing::debug!("its client had left before");
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"recipients.csv\""),
    ];
    Ok((headers, body))
}

async fn write_out(store: &Store, id: CampaignId, pieces: &Pieces) -> crate::store::Result<()> {
    let head = "email,state,tries,answer,delivered_at,opened_at,clicked_at\r\n";
    let mut is_there = pieces.send(Ok(Bytes::from_static(head.as_bytes()))).await.is_ok();
    for state in State::ALL {
        let mut after = DeliveryId(0);
        while is_there {
            let rows = store.campaign_recipients(id, *state, after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.delivery;
            let piece: String = rows.iter().map(|row| line(row, *state)).collect();
            is_there = pieces.send(Ok(Bytes::from(piece))).await.is_ok();
        }
    }
    Ok(())
}

fn line(row: &RecipientRow, state: State) -> String {
    let moment = |at: Option<Timestamp>| at.map_or_else(String::new, |at| at.to_string());
    let cells = [
        row.recipient.clone(),
        state.word().to_owned(),
        row.tries.to_string(),
        row.text.clone(),
        moment(row.delivered_at),
        moment(row.opened_at),
        moment(row.clicked_at),
    ];
    cells.map(|cell| quoted(&cell)).join(",") + "\r\n"
}

/// A cell that begins like a formula would be run by spreadsheets.
fn quoted(cell: &str) -> String {
    let guard = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_breaks_its_row() {
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
        assert_eq!(quoted("say \"no\", please"), "\"say \"\"no\"\", please\"");
    }
}
