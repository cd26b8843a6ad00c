//! /v1/contacts: whom an organization writes to.

use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::deliveries::Count;
use super::extract::{Path, Query};
use super::problem::Problem;
use super::streamed::{self, Pieces};
use super::{ApiState, Page, segments};
use crate::campaign::edit::{self, ContactInput};
use crate::campaign::{Schema, Unlawful, export};
use crate::contacts::{self, Contact};
use crate::model::{ContactId, Field, OrganizationId};
use crate::store::filter::Filter;
use crate::store::{
    ConsentRow, ContactBatch, ContactChange, ContactRow, ContactWrite, Store, UpsertMode, Written,
};
use crate::token::Sealer;

const LIST_MAX: u32 = 1000;
const LIST_USUAL: u32 = 100;
const EXPORT_PAGE: u32 = 500;

impl From<Unlawful> for Problem {
    fn from(unlawful: Unlawful) -> Problem {
        Problem::of_field(unlawful.field, unlawful.why)
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// An expression, as text or JSON tree; everybody when it is missing.
    segment: Option<String>,
    cursor: Option<ContactId>,
    /// At most 1000, usually 100.
    limit: Option<u32>,
}

/// List contacts, all or those of a segment, by id.
#[utoipa::path(get, path = "/v1/contacts", tag = "contacts", params(Asked),
    responses((status = 200, body = Page<Contact>)), security(("key" = ["contacts_read"])))]
pub(super) async fn list(
    call: Call<needs::ContactsRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<Contact>>, Problem> {
    let limit = asked.limit.unwrap_or(LIST_USUAL);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(Problem::of_field("limit", format!("must be between 1 and {LIST_MAX}")));
    }
    let organization = call.organization();
    let schema = Schema::read(&call.store, organization).await?;
    let filter = filter_of(&call, &schema, asked.segment.as_deref())?;
    let after = asked.cursor.unwrap_or(ContactId(0));
    let rows = call.store.contacts_after(organization, after, &filter, limit).await?;
    let sealer = call.sealer();
    let found = whole(&call.store, organization, &schema.fields, &rows, sealer.as_ref()).await?;
    let now = call.clock.now();
    let items: Vec<Contact> = found.into_iter().map(|contact| contact.scored(now)).collect();
    let full = items.len() >= limit as usize;
    let next = items.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items, next }))
}

/// As `contacts::whole`, with encrypted values for who may see them.
pub(super) async fn whole(
    store: &Store,
    organization: OrganizationId,
    fields: &[Field],
    rows: &[ContactRow],
    sealer: Option<&Sealer>,
) -> crate::store::Result<Vec<Contact>> {
    let mut found = contacts::whole(store, organization, fields, rows).await?;
    if let Some(sealer) = sealer {
        let both = found.into_iter().zip(rows);
        found = both.map(|(contact, row)| contacts::shown(contact, row, fields, sealer)).collect();
    }
    Ok(found)
}

fn filter_of(api: &ApiState, schema: &Schema, segment: Option<&str>) -> Result<Filter, Problem> {
    match segment {
        None => Ok(Filter::EVERYBODY),
        Some(text) => segments::read(text, "segment", schema, api.clock.now()),
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// An expression, as text or JSON tree; everybody when it is missing.
    segment: Option<String>,
}

/// Count contacts, all or those of a segment.
#[utoipa::path(get, path = "/v1/contacts/count", tag = "contacts", params(Wanted),
    responses((status = 200, body = Count)), security(("key" = ["contacts_read"])))]
pub(super) async fn count(
    call: Call<needs::ContactsRead>,
    Query(wanted): Query<Wanted>,
) -> Result<axum::Json<Count>, Problem> {
    let schema = Schema::read(&call.store, call.organization()).await?;
    let filter = filter_of(&call, &schema, wanted.segment.as_deref())?;
    let count = call.store.count_contacts(call.organization(), &filter).await?;
    Ok(axum::Json(Count { count }))
}

/// Export contacts as CSV, all or those of a segment. What a spreadsheet would run is guarded.
#[utoipa::path(get, path = "/v1/contacts/export", tag = "contacts", params(Wanted),
    responses((status = 200, body = String, content_type = "text/csv")),
    security(("key" = ["contacts_read"])))]
pub(super) async fn export(
    call: Call<needs::ContactsRead>,
    Query(wanted): Query<Wanted>,
) -> Result<impl IntoResponse, Problem> {
    let organization = call.organization();
    let schema = Schema::read(&call.store, organization).await?;
    let filter = filter_of(&call, &schema, wanted.segment.as_deref())?;
    let (pieces, body) = streamed::body();
    let (store, sealer) = (call.store.clone(), call.sealer());
    tokio::spawn(async move {
        let heads = export::heads(&schema.fields);
        if pieces.send(Ok(Bytes::from(heads))).await.is_err() {
            return;
        }
        let sight = (&schema, sealer.as_ref());
        if let Err(error) = write_out(&store, organization, sight, &filter, &pieces).await {
            tracing::warn!(%error, "an export ended before its end");
            let cut = std::io::Error::other("the export could not be finished");
            if pieces.send(Err(cut)).await.is_err() {
                tracing::debug!("nobody waits for the export any more");
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"contacts.csv\""),
    ];
    Ok((headers, body))
}

/// Page by page, until the end or until the client has left.
async fn write_out(
    store: &Store,
    organization: OrganizationId,
    (schema, sealer): (&Schema, Option<&Sealer>),
    filter: &Filter,
    pieces: &Pieces,
) -> crate::store::Result<()> {
    let list_name = |id| schema.list(id).map_or_else(String::new, |list| list.name.clone());
    let mut after = ContactId(0);
    loop {
        let rows = store.contacts_after(organization, after, filter, EXPORT_PAGE).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id;
        let named = contacts::whole(store, organization, &schema.fields, &rows).await?;
        let mut piece = Vec::new();
        for (row, contact) in rows.iter().zip(&named) {
            piece.extend(export::row(row, contact, &schema.fields, list_name, sealer));
        }
        if pieces.send(Ok(Bytes::from(piece))).await.is_err() {
            return Ok(());
        }
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewContact {
    email: String,
    /// Whether one that is there already is changed.
    #[serde(default = "add_or_update")]
    mode: UpsertMode,
    #[serde(default)]
    contact: ContactInput,
}

const fn add_or_update() -> UpsertMode {
    UpsertMode::AddOrUpdate
}

/// Add a contact, or change the one of this address.
#[utoipa::path(post, path = "/v1/contacts", tag = "contacts",
    responses((status = 200, body = Contact)), security(("key" = ["contacts_write"])))]
pub(super) async fn add(
    call: Call<needs::ContactsWrite>,
    Json(new): Json<NewContact>,
) -> Result<axum::Json<Contact>, Problem> {
    let organization = call.organization();
    let email = edit::email(&new.email)?;
    let is_taken = call.store.contact_domains(organization).await?.takes(&email);
    if !is_taken && call.store.contact_by_email(organization, &email).await?.is_none() {
        return Err(Problem::of_field("email", edit::DOMAIN_REFUSED));
    }
    let id = call.store.contact_ids(1).await?;
    let write = ContactWrite::of(id, email);
    let written = put(&call, organization, write, new.mode, &new.contact).await?;
    let id = match written {
        Written::Added(id) | Written::Updated(id) => id,
        Written::Skipped if new.mode == UpsertMode::Add => {
            let problem = Problem::conflict("there is a contact of this address");
            return Err(Problem { field: Some("email".into()), ..problem });
        }
        Written::Skipped => return Err(none()),
    };
    one(&call, organization, id).await.map(axum::Json)
}

fn none() -> Problem {
    Problem::not_found("there is no such contact")
}

/// Tags are made first, so that the rows can name them.
async fn put<N>(
    call: &Call<N>,
    organization: OrganizationId,
    write: ContactWrite,
    mode: UpsertMode,
    input: &ContactInput,
) -> Result<Written, Problem> {
    let mut schema = Schema::read(&call.store, organization).await?;
    // All of it is looked at before anything is made.
    let consent = edit::consent(input)?;
    edit::applied(&schema, write.clone(), input)?;
    let tags = edit::new_tags(&schema, input)?;
    if !tags.is_empty() {
        for name in tags {
            call.store.change_contacts(ContactChange::Tag { organization, name }).await?;
        }
        schema.tags = call.store.tags(organization).await?;
    }
    let rows = vec![edit::applied(&schema, write, input)?];
    let resubscribe = input.consent.as_ref().is_some_and(|consent| consent.again);
    let at = call.clock.now();
    let batch = ContactBatch { organization, at, mode, consent, resubscribe, rows, progress: None };
    let written = call.store.write_contacts(batch).await?;
    Ok(written.first().copied().unwrap_or(Written::Skipped))
}

pub(super) async fn one<N>(
    call: &Call<N>,
    organization: OrganizationId,
    id: ContactId,
) -> Result<Contact, Problem> {
    let row = row_of(call, organization, id).await?;
    let fields = call.store.fields(organization).await?;
    let sealer = call.sealer();
    let found = whole(&call.store, organization, &fields, &[row], sealer.as_ref()).await?;
    let contact = found.into_iter().next().ok_or_else(none)?;
    Ok(contact.scored(call.clock.now()))
}

async fn row_of(
    api: &ApiState,
    organization: OrganizationId,
    id: ContactId,
) -> Result<ContactRow, Problem> {
    api.store.contact(organization, id).await?.ok_or_else(none)
}

/// A contact, and how its memberships came about.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct ContactStory {
    #[serde(flatten)]
    pub contact: Contact,
    /// Newest first.
    pub consents: Vec<ConsentRow>,
}

/// Show a contact with the record of its consents.
#[utoipa::path(get, path = "/v1/contacts/{id}", tag = "contacts",
    params(("id" = ContactId, Path)),
    responses((status = 200, body = ContactStory)), security(("key" = ["contacts_read"])))]
pub(super) async fn show(
    call: Call<needs::ContactsRead>,
    Path(id): Path<ContactId>,
) -> Result<axum::Json<ContactStory>, Problem> {
    let organization = call.organization();
    let contact = one(&call, organization, id).await?;
    let consents = call.store.consents(organization, id).await?;
    Ok(axum::Json(ContactStory { contact, consents }))
}

/// Change a contact. What is not named stays as it is.
#[utoipa::path(patch, path = "/v1/contacts/{id}", tag = "contacts",
    params(("id" = ContactId, Path)),
    responses((status = 200, body = Contact)), security(("key" = ["contacts_write"])))]
pub(super) async fn change(
    call: Call<needs::ContactsWrite>,
    Path(id): Path<ContactId>,
    Json(input): Json<ContactInput>,
) -> Result<axum::Json<Contact>, Problem> {
    let organization = call.organization();
    let row = row_of(&call, organization, id).await?;
    let write = ContactWrite::of(id, row.email);
    match put(&call, organization, write, UpsertMode::Update, &input).await? {
        Written::Skipped => Err(none()),
        Written::Added(_) | Written::Updated(_) => {
            one(&call, organization, id).await.map(axum::Json)
        }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ContactRemoved)]
pub(super) struct Removed {
    id: ContactId,
}

/// Remove a contact with all its values, memberships and consents.
#[utoipa::path(delete, path = "/v1/contacts/{id}", tag = "contacts",
    params(("id" = ContactId, Path)),
    responses((status = 200, body = Removed)), security(("key" = ["contacts_write"])))]
pub(super) async fn remove(
    call: Call<needs::ContactsWrite>,
    Path(id): Path<ContactId>,
) -> Result<axum::Json<Removed>, Problem> {
    let organization = call.organization();
    let change = ContactChange::RemoveContacts { organization, ids: vec![id] };
    match call.store.change_contacts(change).await? {
        0 => Err(none()),
        _ => Ok(axum::Json(Removed { id })),
    }
}
