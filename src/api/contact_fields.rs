//! /v1/contact-fields: the typed fields of an organization's contacts.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::problem::Problem;
use super::sealing::not_made;
use crate::campaign::Schema;
use crate::campaign::fields::{self, NewField};
use crate::model::{Field, FieldId, FieldKind};
use crate::store::{ContactChange, StoreError};

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldView {
    pub id: FieldId,
    pub name: String,
    pub label: String,
    pub kind: FieldKind,
    pub choices: Vec<String>,
    /// Segments find its values in the table they walk; else beside it, which is slower.
    pub fast: bool,
    /// Its values are sealed at rest, and only who has `contacts_reveal` sees them.
    pub encrypted: bool,
}

impl From<Field> for FieldView {
    fn from(field: Field) -> FieldView {
        let fast = field.slot.is_some();
        let Field { id, name, label, kind, choices, encrypted, .. } = field;
        FieldView { id, name, label, kind, choices, fast, encrypted }
    }
}

/// List the fields of contacts.
#[utoipa::path(get, path = "/v1/contact-fields", tag = "contact_fields",
    responses((status = 200, body = Page<FieldView>)), security(("key" = ["contacts_read"])))]
pub(super) async fn list(
    call: Call<needs::ContactsRead>,
) -> Result<axum::Json<Page<FieldView>>, Problem> {
    let fields = call.store.fields(call.organization()).await?;
    Ok(Page::whole(fields.into_iter().map(FieldView::from).collect()))
}

/// Give contacts a field.
#[utoipa::path(post, path = "/v1/contact-fields", tag = "contact_fields",
    responses((status = 200, body = FieldView)), security(("key" = ["contacts_write"])))]
pub(super) async fn add(
    call: Call<needs::ContactsWrite>,
    Json(new): Json<NewField>,
) -> Result<axum::Json<FieldView>, Problem> {
    let schema = Schema::read(&call.store, call.organization()).await?;
    let mut field = fields::made(&schema, call.organization(), new)?;
    let sealer = schema.sealer.clone();
    if field.encrypted && sealer.newest().is_none() {
        let at = call.clock.now();
        let making = tokio::task::spawn_blocking(move || sealer.rotate(at));
        making.await.map_err(Problem::ours)?.map_err(not_made)?;
    }
    let change = ContactChange::AddField(field.clone(), call.clock.now());
    // Another made one of this name, or of this column, at the same moment.
    let made = call.store.change_contacts(change).await.map_err(|error| match error {
        StoreError::Duplicate(_) => Problem::conflict("another field was made just now; try again"),
        other => other.into(),
    })?;
    field.id = FieldId(made);
    Ok(axum::Json(field.into()))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldChange {
    #[serde(default)]
    label: Option<String>,
    /// All of them; they keep their places, new ones stand behind.
    #[serde(default)]
    choices: Option<Vec<String>>,
}

/// Rename a field's label or its choices, or add choices.
#[utoipa::path(patch, path = "/v1/contact-fields/{name}", tag = "contact_fields",
    params(("name" = String, Path)),
    responses((status = 200, body = FieldView)), security(("key" = ["contacts_write"])))]
pub(super) async fn change(
    call: Call<needs::ContactsWrite>,
    Path(name): Path<String>,
    Json(change): Json<FieldChange>,
) -> Result<axum::Json<FieldView>, Problem> {
    let organization = call.organization();
    let schema = Schema::read(&call.store, organization).await?;
    let field = schema.field(&name).ok_or_else(|| Problem::not_found("there is no such field"))?;
    let field = fields::changed(field, change.label, change.choices)?;
    let (id, label, choices) = (field.id, field.label.clone(), field.choices.clone());
    let change = ContactChange::ChangeField { organization, id, label, choices };
    call.store.change_contacts(change).await?;
    Ok(axum::Json(field.into()))
}
