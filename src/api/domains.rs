//! /v1/domains: the domains an organization may send from.

use axum::extract::State;
use serde::Deserialize;

use super::body::Json;
use super::caller::Operator;
use super::problem::Problem;
use super::{Api, Page, credentials};
use crate::model::{Domain, OrganizationId};
use crate::store::{DomainRow, StoreError};

pub(super) async fn list(
    State(api): Api,
    _: Operator,
) -> Result<axum::Json<Page<DomainRow>>, Problem> {
    Ok(Page::whole(api.store.domains().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDomain {
    name: Domain,
    #[serde(default = "first_organization")]
    organization: OrganizationId,
}

const fn first_organization() -> OrganizationId {
    OrganizationId::FIRST
}

pub(super) async fn add(
    State(api): Api,
    _: Operator,
    Json(new): Json<NewDomain>,
) -> Result<axum::Json<DomainRow>, Problem> {
    let made = api.store.add_domain(new.organization, &new.name).await;
    let row = made.map_err(|error| match error {
        StoreError::Duplicate(_) => {
            let problem = Problem::conflict("this domain belongs to an organization already");
            Problem { field: Some("name".into()), ..problem }
        }
        other => other.into(),
    })?;
    credentials::reload(&api).await?;
    tracing::info!(domain = %row.name, "a sending domain was added");
    Ok(axum::Json(row))
}
