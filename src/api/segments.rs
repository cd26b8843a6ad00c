//! /v1/segments: questions about contacts, saved under a name.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::deliveries::Count;
use super::extract::Path;
use super::problem::Problem;
use crate::campaign::{Schema, segment};
use crate::model::{SavedSegmentId, Timestamp};
use crate::store::filter::Filter;
use crate::store::{ContactChange, SavedSegmentRow, StoreError};

const NAME_BYTES_MAX: usize = 200;

/// The filter of an expression; a mistake is told of `field` with its line and column, or with
/// its path in a tree.
pub(super) fn read(
    text: &str,
    field: &str,
    schema: &Schema,
    now: Timestamp,
) -> Result<Filter, Problem> {
    segment::filter(text, schema, now).map_err(|wrong| Problem::of_field(field, wrong.to_string()))
}

/// List the saved segments.
#[utoipa::path(get, path = "/v1/segments", tag = "segments",
    responses((status = 200, body = Page<SavedSegmentRow>)),
    security(("key" = ["contacts_read"])))]
pub(super) async fn list(
    call: Call<needs::ContactsRead>,
) -> Result<axum::Json<Page<SavedSegmentRow>>, Problem> {
    Ok(Page::whole(call.store.saved_segments(call.organization()).await?))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentInput {
    name: String,
    /// As text, `city = "Berlin" and opened within last 90 days`, or as a JSON tree in a text.
    expression: String,
}

async fn checked<N>(call: &Call<N>, input: &SegmentInput) -> Result<String, Problem> {
    let name = input.name.trim();
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || name.contains(char::is_control) {
        return Err(Problem::of_field("name", "must be 1 to 200 octets of text"));
    }
    let schema = Schema::read(&call.store, call.organization()).await?;
    read(&input.expression, "expression", &schema, call.clock.now())?;
    Ok(name.to_owned())
}

fn taken(error: StoreError) -> Problem {
    match error {
        StoreError::Duplicate(_) => {
            let problem = Problem::conflict("there is a segment of this name");
            Problem { field: Some("name".into()), ..problem }
        }
        other => other.into(),
    }
}

/// Save a segment.
#[utoipa::path(post, path = "/v1/segments", tag = "segments",
    responses((status = 200, body = SavedSegmentRow)), security(("key" = ["contacts_write"])))]
pub(super) async fn add(
    call: Call<needs::ContactsWrite>,
    Json(input): Json<SegmentInput>,
) -> Result<axum::Json<SavedSegmentRow>, Problem> {
    let name = checked(&call, &input).await?;
    let (organization, at) = (call.organization(), call.clock.now());
    let expression = input.expression;
    let change = ContactChange::SaveSegment {
        organization,
        name: name.clone(),
        expression: expression.clone(),
        at,
    };
    let id = SavedSegmentId(call.store.change_contacts(change).await.map_err(taken)?);
    let (created_at, updated_at) = (at, at);
    Ok(axum::Json(SavedSegmentRow { id, organization, name, expression, created_at, updated_at }))
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Done {
    id: SavedSegmentId,
}

fn done(id: SavedSegmentId, rows: i64) -> Result<axum::Json<Done>, Problem> {
    match rows {
        0 => Err(Problem::not_found("there is no such segment")),
        _ => Ok(axum::Json(Done { id })),
    }
}

/// Change a saved segment: name and expression are given.
#[utoipa::path(put, path = "/v1/segments/{id}", tag = "segments",
    params(("id" = SavedSegmentId, Path)),
    responses((status = 200, body = Done)), security(("key" = ["contacts_write"])))]
pub(super) async fn change(
    call: Call<needs::ContactsWrite>,
    Path(id): Path<SavedSegmentId>,
    Json(input): Json<SegmentInput>,
) -> Result<axum::Json<Done>, Problem> {
    let name = checked(&call, &input).await?;
    let (organization, at) = (call.organization(), call.clock.now());
    let expression = input.expression;
    let change = ContactChange::ChangeSegment { organization, id, name, expression, at };
    done(id, call.store.change_contacts(change).await.map_err(taken)?)
}

/// Remove a saved segment; its contacts stay.
#[utoipa::path(delete, path = "/v1/segments/{id}", tag = "segments",
    params(("id" = SavedSegmentId, Path)),
    responses((status = 200, body = Done)), security(("key" = ["contacts_write"])))]
pub(super) async fn remove(
    call: Call<needs::ContactsWrite>,
    Path(id): Path<SavedSegmentId>,
) -> Result<axum::Json<Done>, Problem> {
    let organization = call.organization();
    let change = ContactChange::RemoveSegment { organization, id };
    done(id, call.store.change_contacts(change).await?)
}

/// A segment that everybody has.
#[derive(Clone, Serialize, utoipa::ToSchema)]
pub(super) struct ReadySegment {
    name: &'static str,
    expression: &'static str,
}

/// List the segments that are there without being made: the warmest, the engaged, the cold.
#[utoipa::path(get, path = "/v1/segments/ready", tag = "segments",
    responses((status = 200, body = Page<ReadySegment>)),
    security(("key" = ["contacts_read"])))]
pub(super) async fn ready(
    _call: Call<needs::ContactsRead>,
) -> Result<axum::Json<Page<ReadySegment>>, Problem> {
    let ready = segment::READY.map(|(name, expression)| ReadySegment { name, expression });
    Ok(Page::whole(ready.to_vec()))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    expression: String,
}

/// Count the contacts of an expression, as it is being written.
#[utoipa::path(post, path = "/v1/segments/count", tag = "segments",
    responses((status = 200, body = Count)), security(("key" = ["contacts_read"])))]
pub(super) async fn count(
    call: Call<needs::ContactsRead>,
    Json(question): Json<Question>,
) -> Result<axum::Json<Count>, Problem> {
    let schema = Schema::read(&call.store, call.organization()).await?;
    let filter = read(&question.expression, "expression", &schema, call.clock.now())?;
    let count = call.store.count_contacts(call.organization(), &filter).await?;
    Ok(axum::Json(Count { count }))
}
