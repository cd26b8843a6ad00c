//! /v1/check: is everything accepted accounted for, and every owed body whole.

use axum::extract::State;

use super::Api;
use super::caller::Operator;
use super::problem::Problem;
use crate::queue::check::Findings;

pub(super) async fn show(State(api): Api, _: Operator) -> Result<axum::Json<Findings>, Problem> {
    let audit = api.audit.as_ref().ok_or_else(|| Problem::conflict("no spool is open here"))?;
    Ok(axum::Json(audit.run().await?))
}
