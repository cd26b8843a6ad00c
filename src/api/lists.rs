//! /v1/lists and /v1/tags: what contacts subscribe to, and words on them.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::problem::Problem;
use crate::model::{ListId, ListVisibility, MembershipStatus, OptIn, Timestamp};
use crate::store::{ContactChange, ListRow, StoreError, TagRow};

const NAME_BYTES_MAX: usize = 200;
const DESCRIPTION_BYTES_MAX: usize = 2000;

/// A list, and how many stand how to it.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct ListView {
    #[serde(flatten)]
    pub list: ListRow,
    pub subscribed: u64,
    pub unconfirmed: u64,
    pub unsubscribed: u64,
}

/// List the lists, with their numbers.
#[utoipa::path(get, path = "/v1/lists", tag = "lists",
    responses((status = 200, body = Page<ListView>)), security(("key" = ["contacts_read"])))]
pub(super) async fn list(
    call: Call<needs::ContactsRead>,
) -> Result<axum::Json<Page<ListView>>, Problem> {
    let lists = call.store.lists(call.organization()).await?;
    let counts = call.store.member_counts(call.organization()).await?;
    let view = |list: ListRow| {
        let of = |status: MembershipStatus| {
            let found = counts.iter().find(|(id, s, _)| *id == list.id && *s == status);
            found.map_or(0, |(.., count)| *count)
        };
        ListView {
            subscribed: of(MembershipStatus::Subscribed),
            unconfirmed: of(MembershipStatus::Unconfirmed),
            unsubscribed: of(MembershipStatus::Unsubscribed),
            list,
        }
    };
    Ok(Page::whole(lists.into_iter().map(view).collect()))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListInput {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default = "private")]
    visibility: ListVisibility,
    /// With `double` a subscription counts once it was confirmed.
    #[serde(default = "double")]
    opt_in: OptIn,
}

const fn private() -> ListVisibility {
    ListVisibility::Private
}

const fn double() -> OptIn {
    OptIn::Double
}

/// Make a list.
#[utoipa::path(post, path = "/v1/lists", tag = "lists",
    responses((status = 200, body = ListRow)), security(("key" = ["contacts_write"])))]
pub(super) async fn add(
    call: Call<needs::ContactsWrite>,
    Json(input): Json<ListInput>,
) -> Result<axum::Json<ListRow>, Problem> {
    let mut list = row(input, ListId(0))?;
    (list.organization, list.created_at) = (call.organization(), call.clock.now());
    let made = call.store.change_contacts(ContactChange::AddList(list.clone())).await;
    list.id = ListId(made.map_err(taken)?);
    Ok(axum::Json(list))
}

fn row(input: ListInput, id: ListId) -> Result<ListRow, Problem> {
    let ListInput { name, description, visibility, opt_in } = input;
    let name = name.trim().to_owned();
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || name.contains(char::is_control) {
        return Err(Problem::of_field("name", "must be 1 to 200 octets of text"));
    }
    if description.len() > DESCRIPTION_BYTES_MAX || description.contains('\0') {
        return Err(Problem::of_field("description", "must be at most 2000 octets"));
    }
    let (organization, created_at) = (crate::model::OrganizationId::FIRST, Timestamp(0));
    Ok(ListRow { id, organization, name, description, visibility, opt_in, created_at })
}

fn taken(error: StoreError) -> Problem {
    match error {
        StoreError::Duplicate(_) => {
            let problem = Problem::conflict("there is a list of this name");
            Problem { field: Some("name".into()), ..problem }
        }
        other => other.into(),
    }
}

/// Change a list: all of it is given.
#[utoipa::path(put, path = "/v1/lists/{id}", tag = "lists",
    params(("id" = ListId, Path)),
    responses((status = 200, body = ListRow)), security(("key" = ["contacts_write"])))]
pub(super) async fn change(
    call: Call<needs::ContactsWrite>,
    Path(id): Path<ListId>,
    Json(input): Json<ListInput>,
) -> Result<axum::Json<ListRow>, Problem> {
    let none = || Problem::not_found("there is no such list");
    let lists = call.store.lists(call.organization()).await?;
    let old = lists.into_iter().find(|list| list.id == id).ok_or_else(none)?;
    let list = row(input, id)?;
    let list = ListRow { organization: old.organization, created_at: old.created_at, ..list };
    let changed = call.store.change_contacts(ContactChange::ChangeList(list.clone())).await;
    match changed.map_err(taken)? {
        0 => Err(none()),
        _ => Ok(axum::Json(list)),
    }
}

/// List the tags that contacts bear.
#[utoipa::path(get, path = "/v1/tags", tag = "lists",
    responses((status = 200, body = Page<TagRow>)), security(("key" = ["contacts_read"])))]
pub(super) async fn tags(
    call: Call<needs::ContactsRead>,
) -> Result<axum::Json<Page<TagRow>>, Problem> {
    Ok(Page::whole(call.store.tags(call.organization()).await?))
}
