//! What an organization has made for its contacts: fields, lists, tags, saved segments.
//!
//! Owns:       the reads and writes of those tables, and the removal of contacts.
//! Promises:   a name is unique in its organization; two fields never share a column.
//! Knows not:  values.

use crate::model::*;

use super::changes::{Change, RowWrite, insert_with_id, rows};
use super::database::{Connection, Row};
use super::dialect::{Statement, json_ids};
use super::error::{Result, StoreError};
use super::{Store, collect, ids, membership_days};

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct ListRow {
    pub id: ListId,
    pub organization: OrganizationId,
    pub name: String,
    pub description: String,
    pub visibility: ListVisibility,
    pub opt_in: OptIn,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct TagRow {
    pub id: TagId,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct SavedSegmentRow {
    pub id: SavedSegmentId,
    pub organization: OrganizationId,
    pub name: String,
    /// As its writer wrote it.
    pub expression: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One small transaction each.
#[derive(Clone, Debug)]
pub enum ContactChange {
    /// Its id is given here.
    AddField(Field, Timestamp),
    /// A new label, and choices behind those there are.
    ChangeField {
        organization: OrganizationId,
        id: FieldId,
        label: String,
        choices: Vec<String>,
    },
    AddList(ListRow),
    ChangeList(ListRow),
    /// The answer is its id, be it new or not.
    Tag {
        organization: OrganizationId,
        name: String,
    },
    SaveSegment {
        organization: OrganizationId,
        name: String,
        expression: String,
        at: Timestamp,
    },
    ChangeSegment {
        organization: OrganizationId,
        id: SavedSegmentId,
        name: String,
        expression: String,
        at: Timestamp,
    },
    RemoveSegment {
        organization: OrganizationId,
        id: SavedSegmentId,
    },
    /// What an import or a form stands on.
    AddConsent {
        organization: OrganizationId,
        list: Option<ListId>,
        action: ConsentAction,
        at: Timestamp,
        source: String,
        wording: String,
    },
    /// With their values, memberships, tags and consents.
    RemoveContacts {
        organization: OrganizationId,
        ids: Vec<ContactId>,
    },
}

pub static FIELDS: Statement = Statement::new(
    "SELECT id, organization, name, label, kind, choices, slot, encrypted FROM contact_fields \
     WHERE organization = $1 ORDER BY id",
);
pub static INSERT_FIELD: Statement = Statement::new(
    "INSERT INTO contact_fields (id, organization, name, label, kind, choices, slot, created_at, \
     encrypted) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
);
pub static UPDATE_FIELD: Statement = Statement::new(
    "UPDATE contact_fields SET label = $3, choices = $4 WHERE organization = $1 AND id = $2",
);
/// Unless the contact was written since.
pub static RESEAL: Statement = Statement::new(
    "UPDATE contacts SET more = $4 WHERE id = $1 AND organization = $2 AND updated_at = $3",
);
pub static LISTS: Statement = Statement::new(
    "SELECT id, organization, name, description, visibility, opt_in, created_at FROM lists \
     WHERE organization = $1 ORDER BY id",
);
pub static INSERT_LIST: Statement = Statement::new(
    "INSERT INTO lists (id, organization, name, description, visibility, opt_in, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)",
);
pub static UPDATE_LIST: Statement = Statement::new(
    "UPDATE lists SET name = $3, description = $4, visibility = $5, opt_in = $6 \
     WHERE organization = $1 AND id = $2",
);
pub static TAGS: Statement =
    Statement::new("SELECT id, name FROM tags WHERE organization = $1 ORDER BY name");
pub static TAG_BY_NAME: Statement =
    Statement::new("SELECT id FROM tags WHERE organization = $1 AND name = $2");
pub static INSERT_TAG: Statement = Statement::new(
    "INSERT INTO tags (id, organization, name) VALUES ($1, $2, $3) \
     ON CONFLICT (organization, name) DO NOTHING",
);
pub static SEGMENTS: Statement = Statement::new(
    "SELECT id, organization, name, expression, created_at, updated_at FROM contact_segments \
     WHERE organization = $1 ORDER BY id",
);
pub static INSERT_SEGMENT: Statement = Statement::new(
    "INSERT INTO contact_segments (id, organization, name, expression, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $5)",
);
pub static UPDATE_SEGMENT: Statement = Statement::new(
    "UPDATE contact_segments SET name = $3, expression = $4, updated_at = $5 \
     WHERE organization = $1 AND id = $2",
);
pub static DELETE_SEGMENT: Statement =
    Statement::new("DELETE FROM contact_segments WHERE organization = $1 AND id = $2");
pub static INSERT_CONSENT: Statement = Statement::new(
    "INSERT INTO consents (id, organization, list, action, at, source, wording) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)",
);

/// Before their memberships are counted and go, so that none is put meanwhile.
pub static LOCK_CONTACTS: Statement = Statement::new(
    "SELECT c.id FROM contacts AS c WHERE c.organization = $1 \
     AND c.id IN (SELECT id FROM {ids:2} AS wanted) ORDER BY c.id {lock:c}",
);

/// $1 organization, $2 ids. Contacts go last, since whose the others are is asked of them.
macro_rules! remove_of {
    ($table:literal) => {
        Statement::new(concat!(
            "DELETE FROM ",
            $table,
            " WHERE contact IN (SELECT c.id FROM contacts AS c WHERE c.organization = $1 \
             AND c.id IN (SELECT id FROM {ids:2} AS wanted))"
        ))
    };
}
pub static DELETE_MEMBERSHIPS: Statement = remove_of!("memberships");
pub static DELETE_TAGS: Statement = remove_of!("contact_tags");
pub static DELETE_CONSENTS: Statement = remove_of!("consents");
pub static DELETE_ARRIVALS: Statement = remove_of!("automation_arrivals");
pub static DELETE_MOVES: Statement = Statement::new(
    "DELETE FROM automation_moves WHERE run IN (SELECT u.id FROM automation_runs AS u \
     WHERE u.organization = $1 AND u.contact IN (SELECT id FROM {ids:2} AS wanted))",
);
pub static DELETE_RUNS: Statement = remove_of!("automation_runs");
pub static DELETE_FACTS: Statement = Statement::new(
    "DELETE FROM contact_facts WHERE organization = $1 \
     AND contact IN (SELECT id FROM {ids:2} AS wanted)",
);
pub static DELETE_CONTACTS: Statement = Statement::new(
    "DELETE FROM contacts WHERE organization = $1 AND id IN (SELECT id FROM {ids:2} AS wanted)",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &FIELDS,
    &INSERT_FIELD,
    &UPDATE_FIELD,
    &LISTS,
    &INSERT_LIST,
    &UPDATE_LIST,
    &TAGS,
    &TAG_BY_NAME,
    &INSERT_TAG,
    &SEGMENTS,
    &INSERT_SEGMENT,
    &UPDATE_SEGMENT,
    &DELETE_SEGMENT,
    &RESEAL,
    &INSERT_CONSENT,
    &LOCK_CONTACTS,
    &DELETE_MEMBERSHIPS,
    &DELETE_TAGS,
    &DELETE_CONSENTS,
    &DELETE_ARRIVALS,
    &DELETE_MOVES,
    &DELETE_RUNS,
    &DELETE_FACTS,
    &DELETE_CONTACTS,
];

impl Store {
    /// An id where something was made, else the number of rows changed.
    pub async fn change_contacts(&self, change: ContactChange) -> Result<i64> {
        self.change(Change::Contacts(change)).await
    }

    pub async fn fields(&self, organization: OrganizationId) -> Result<Vec<Field>> {
        collect(self.read(&FIELDS, vec![organization.0.into()]).await?, |row| {
            Ok(Field {
                id: FieldId(row.int(0)?),
                organization: OrganizationId(row.int(1)?),
                name: row.text(2)?,
                label: row.text(3)?,
                kind: row.parsed(4)?,
                choices: serde_json::from_str(&row.text(5)?).map_err(StoreError::broken_row)?,
                slot: row.maybe_parsed(6)?,
                encrypted: row.flag(7)?,
            })
        })
    }

    /// Values that stand beside are replaced, as long as nobody wrote to the contact since it was
    /// read.
    pub async fn reseal(
        &self,
        organization: OrganizationId,
        resealed: Vec<(ContactId, Timestamp, serde_json::Map<String, serde_json::Value>)>,
    ) -> Result<()> {
        let write = |(id, updated_at, more): (ContactId, Timestamp, _)| {
            let more = serde_json::Value::Object(more).to_string();
            let values = vec![id.0.into(), organization.0.into(), updated_at.0.into(), more.into()];
            RowWrite::new(&RESEAL, values)
        };
        self.write(resealed.into_iter().map(write).collect()).await?;
        Ok(())
    }

    pub async fn lists(&self, organization: OrganizationId) -> Result<Vec<ListRow>> {
        collect(self.read(&LISTS, vec![organization.0.into()]).await?, list)
    }

    pub async fn tags(&self, organization: OrganizationId) -> Result<Vec<TagRow>> {
        collect(self.read(&TAGS, vec![organization.0.into()]).await?, |row| {
            Ok(TagRow { id: TagId(row.int(0)?), name: row.text(1)? })
        })
    }

    pub async fn saved_segments(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<SavedSegmentRow>> {
        collect(self.read(&SEGMENTS, vec![organization.0.into()]).await?, |row| {
            Ok(SavedSegmentRow {
                id: SavedSegmentId(row.int(0)?),
                organization: OrganizationId(row.int(1)?),
                name: row.text(2)?,
                expression: row.text(3)?,
                created_at: Timestamp(row.int(4)?),
                updated_at: Timestamp(row.int(5)?),
            })
        })
    }
}

fn list(row: &Row) -> Result<ListRow> {
    Ok(ListRow {
        id: ListId(row.int(0)?),
        organization: OrganizationId(row.int(1)?),
        name: row.text(2)?,
        description: row.text(3)?,
        visibility: row.parsed(4)?,
        opt_in: row.parsed(5)?,
        created_at: Timestamp(row.int(6)?),
    })
}

pub async fn write(connection: &mut Connection, change: &ContactChange) -> Result<i64> {
    match change {
        ContactChange::AddField(field, at) => add_field(connection, field, *at).await,
        ContactChange::ChangeField { organization, id, label, choices } => {
            let choices = serde_json::json!(choices).to_string();
            let values =
                vec![organization.0.into(), id.0.into(), label.as_str().into(), choices.into()];
            rows(connection.execute(&UPDATE_FIELD, values).await?)
        }
        ContactChange::AddList(list) => {
            let mut values = list_values(list);
            values.insert(0, list.organization.0.into());
            values.push(list.created_at.0.into());
            insert_with_id(connection, "list", &INSERT_LIST, values).await
        }
        ContactChange::ChangeList(list) => {
            let mut values = vec![list.organization.0.into(), list.id.0.into()];
            values.extend(list_values(list));
            rows(connection.execute(&UPDATE_LIST, values).await?)
        }
        ContactChange::Tag { organization, name } => tag(connection, *organization, name).await,
        ContactChange::AddConsent { organization, list, action, at, source, wording } => {
            let values = vec![
                organization.0.into(),
                list.map(|id| id.0).into(),
                action.word().into(),
                at.0.into(),
                source.as_str().into(),
                wording.as_str().into(),
            ];
            insert_with_id(connection, "consent", &INSERT_CONSENT, values).await
        }
        ContactChange::RemoveContacts { organization, ids } => {
            remove_contacts(connection, *organization, ids).await
        }
        segment => write_segment(connection, segment).await,
    }
}

async fn write_segment(connection: &mut Connection, change: &ContactChange) -> Result<i64> {
    match change {
        ContactChange::SaveSegment { organization, name, expression, at } => {
            let values = vec![
                organization.0.into(),
                name.as_str().into(),
                expression.as_str().into(),
                at.0.into(),
            ];
            insert_with_id(connection, "segment", &INSERT_SEGMENT, values).await
        }
        ContactChange::ChangeSegment { organization, id, name, expression, at } => {
            let values = vec![
                organization.0.into(),
                id.0.into(),
                name.as_str().into(),
                expression.as_str().into(),
                at.0.into(),
            ];
            rows(connection.execute(&UPDATE_SEGMENT, values).await?)
        }
        ContactChange::RemoveSegment { organization, id } => {
            let values = vec![organization.0.into(), id.0.into()];
            rows(connection.execute(&DELETE_SEGMENT, values).await?)
        }
        _ => Ok(0),
    }
}

async fn add_field(connection: &mut Connection, field: &Field, at: Timestamp) -> Result<i64> {
    let values = vec![
        field.organization.0.into(),
        field.name.as_str().into(),
        field.label.as_str().into(),
        field.kind.word().into(),
        serde_json::json!(field.choices).to_string().into(),
        field.slot.map(|slot| slot.to_string()).into(),
        at.0.into(),
        i64::from(field.encrypted).into(),
    ];
    insert_with_id(connection, "contact_field", &INSERT_FIELD, values).await
}

fn list_values(list: &ListRow) -> Vec<super::database::Value> {
    vec![
        list.name.as_str().into(),
        list.description.as_str().into(),
        list.visibility.word().into(),
        list.opt_in.word().into(),
    ]
}

async fn tag(connection: &mut Connection, owner: OrganizationId, name: &str) -> Result<i64> {
    let known = || vec![owner.0.into(), name.into()];
    if let Some(row) = connection.fetch(&TAG_BY_NAME, known()).await?.first() {
        return row.int(0);
    }
    let id = ids::reserve(connection, "tag", 1).await?;
    connection.execute(&INSERT_TAG, vec![id.into(), owner.0.into(), name.into()]).await?;
    // Another node may have made it at the same moment.
    let made = connection.fetch(&TAG_BY_NAME, known()).await?;
    made.first().map_or(Ok(id), |row| row.int(0))
}

async fn remove_contacts(
    connection: &mut Connection,
    organization: OrganizationId,
    contacts: &[ContactId],
) -> Result<i64> {
    let ids = json_ids(contacts.iter().map(|id| id.0));
    let values = vec![organization.0.into(), ids.into()];
    connection.fetch(&LOCK_CONTACTS, values.clone()).await?;
    membership_days::count_removed(connection, values.clone()).await?;
    let mut removed = 0;
    for statement in [
        &DELETE_MEMBERSHIPS,
        &DELETE_TAGS,
        &DELETE_CONSENTS,
        &DELETE_ARRIVALS,
        &DELETE_MOVES,
        &DELETE_RUNS,
        &DELETE_FACTS,
        &DELETE_CONTACTS,
    ] {
        removed = connection.execute(statement, values.clone()).await?;
    }
    rows(removed)
}
