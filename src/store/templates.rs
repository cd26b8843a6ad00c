//! Templates, layouts and saved blocks, as people wrote them.
//!
//! Owns:       the tables `templates`, `layouts` and `saved_blocks`.
//! Promises:   a change names the revision it was made from, so that two people do not overwrite
//!             each other unseen; a layout or block in use is not removed.
//! Knows not:  what a template becomes.

use crate::model::*;

use super::changes::{Change, insert_with_id, rows};
use super::database::{Connection, Row, Value};
use super::dialect::Statement;
use super::error::Result;
use super::narrow::Narrowed;
use super::{Store, collect};

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct TemplateRow {
    pub id: TemplateId,
    pub organization: OrganizationId,
    pub name: String,
    pub kind: TemplateKind,
    pub subject: String,
    pub body: String,
    /// The text part; made from the body when it is null.
    pub text: Option<String>,
    pub layout: Option<LayoutId>,
    /// To be given with a change.
    pub revision: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct LayoutRow {
    pub id: LayoutId,
    pub organization: OrganizationId,
    pub name: String,
    pub body: String,
    pub updated_at: Timestamp,
}

/// Blocks that stand in the documents which name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedBlockRow {
    pub id: SavedBlockId,
    pub organization: OrganizationId,
    pub name: String,
    /// A JSON array.
    pub blocks: String,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug)]
pub enum TemplateChange {
    Add(TemplateRow),
    /// Of the revision that the row names, which is counted up.
    Change(TemplateRow),
    Remove {
        organization: OrganizationId,
        id: TemplateId,
    },
    AddLayout(LayoutRow),
    ChangeLayout(LayoutRow),
    RemoveLayout {
        organization: OrganizationId,
        id: LayoutId,
    },
    AddBlock(SavedBlockRow),
    ChangeBlock(SavedBlockRow),
    RemoveBlock {
        organization: OrganizationId,
        id: SavedBlockId,
    },
}

macro_rules! templates {
    ($where:literal) => {
        Statement::new(concat!(
            "SELECT id, organization, name, kind, subject, body, text, layout, revision, \
             created_at, updated_at FROM templates WHERE ",
            $where
        ))
    };
}

pub static TEMPLATES: Statement = templates!(
    "organization = $1 AND id > $2 AND LOWER(name || ' ' || subject) LIKE $4 ESCAPE '!' \
         AND ($5 = '' OR kind = $5) ORDER BY id LIMIT $3"
);
pub static TEMPLATE_BY_ID: Statement = templates!("organization = $1 AND id = $2");
pub static TEMPLATES_OF_LAYOUT: Statement =
    templates!("organization = $1 AND layout = $2 ORDER BY id LIMIT 1000");
pub static INSERT_TEMPLATE: Statement = Statement::new(
    "INSERT INTO templates (id, organization, name, kind, subject, body, text, layout, \
     revision, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9)",
);
pub static UPDATE_TEMPLATE: Statement = Statement::new(
    "UPDATE templates SET name = $3, kind = $4, subject = $5, body = $6, text = $7, layout = $8, \
     updated_at = $9, revision = revision + 1 \
     WHERE organization = $2 AND id = $1 AND revision = $10",
);
pub static DELETE_TEMPLATE: Statement =
    Statement::new("DELETE FROM templates WHERE organization = $1 AND id = $2");
pub static LAYOUTS: Statement = Statement::new(
    "SELECT id, organization, name, body, updated_at FROM layouts WHERE organization = $1 \
     ORDER BY id",
);
pub static INSERT_LAYOUT: Statement = Statement::new(
    "INSERT INTO layouts (id, organization, name, body, updated_at) VALUES ($1, $2, $3, $4, $5)",
);
pub static UPDATE_LAYOUT: Statement = Statement::new(
    "UPDATE layouts SET name = $3, body = $4, updated_at = $5 WHERE organization = $2 AND id = $1",
);
pub static DELETE_LAYOUT: Statement = Statement::new(
    "DELETE FROM layouts WHERE organization = $1 AND id = $2 \
     AND NOT EXISTS (SELECT 1 FROM templates WHERE layout = $2)",
);
pub static SAVED_BLOCKS: Statement = Statement::new(
    "SELECT id, organization, name, blocks, updated_at FROM saved_blocks WHERE organization = $1 \
     ORDER BY id LIMIT 1000",
);
pub static INSERT_BLOCK: Statement = Statement::new(
    "INSERT INTO saved_blocks (id, organization, name, blocks, updated_at) \
     VALUES ($1, $2, $3, $4, $5)",
);
pub static UPDATE_BLOCK: Statement = Statement::new(
    "UPDATE saved_blocks SET name = $3, blocks = $4, updated_at = $5 \
     WHERE organization = $2 AND id = $1",
);
/// $3 finds its mark in the text of a document, which is always written the same way.
pub static DELETE_BLOCK: Statement = Statement::new(
    "DELETE FROM saved_blocks WHERE organization = $1 AND id = $2 AND NOT EXISTS \
     (SELECT 1 FROM templates WHERE organization = $1 AND kind = 'document' AND body LIKE $3)",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &TEMPLATES,
    &TEMPLATE_BY_ID,
    &TEMPLATES_OF_LAYOUT,
    &INSERT_TEMPLATE,
    &UPDATE_TEMPLATE,
    &DELETE_TEMPLATE,
    &LAYOUTS,
    &INSERT_LAYOUT,
    &UPDATE_LAYOUT,
    &DELETE_LAYOUT,
    &SAVED_BLOCKS,
    &INSERT_BLOCK,
    &UPDATE_BLOCK,
    &DELETE_BLOCK,
];

impl Store {
    /// An id where one was made, else the number of rows changed.
    pub async fn change_template(&self, change: TemplateChange) -> Result<i64> {
        self.change(Change::Template(change)).await
    }

    /// By id, those behind `after`.
    pub async fn templates(
        &self,
        organization: OrganizationId,
        after: TemplateId,
        limit: u32,
        narrowed: &Narrowed,
    ) -> Result<Vec<TemplateRow>> {
        let mut values = vec![organization.0.into(), after.0.into(), i64::from(limit).into()];
        narrowed.put_to(&mut values);
        collect(self.read(&TEMPLATES, values).await?, template)
    }

    pub async fn template(
        &self,
        organization: OrganizationId,
        id: TemplateId,
    ) -> Result<Option<TemplateRow>> {
        let values = vec![organization.0.into(), id.0.into()];
        self.read(&TEMPLATE_BY_ID, values).await?.first().map(template).transpose()
    }

    pub async fn templates_of_layout(
        &self,
        organization: OrganizationId,
        layout: LayoutId,
    ) -> Result<Vec<TemplateRow>> {
        let values = vec![organization.0.into(), layout.0.into()];
        collect(self.read(&TEMPLATES_OF_LAYOUT, values).await?, template)
    }

    pub async fn layouts(&self, organization: OrganizationId) -> Result<Vec<LayoutRow>> {
        collect(self.read(&LAYOUTS, vec![organization.0.into()]).await?, |row| {
            Ok(LayoutRow {
                id: LayoutId(row.int(0)?),
                organization: OrganizationId(row.int(1)?),
                name: row.text(2)?,
                body: row.text(3)?,
                updated_at: Timestamp(row.int(4)?),
            })
        })
    }

    pub async fn saved_blocks(&self, organization: OrganizationId) -> Result<Vec<SavedBlockRow>> {
        collect(self.read(&SAVED_BLOCKS, vec![organization.0.into()]).await?, |row| {
            Ok(SavedBlockRow {
                id: SavedBlockId(row.int(0)?),
                organization: OrganizationId(row.int(1)?),
                name: row.text(2)?,
                blocks: row.text(3)?,
                updated_at: Timestamp(row.int(4)?),
            })
        })
    }
}

fn template(row: &Row) -> Result<TemplateRow> {
    Ok(TemplateRow {
        id: TemplateId(row.int(0)?),
        organization: OrganizationId(row.int(1)?),
        name: row.text(2)?,
        kind: row.parsed(3)?,
        subject: row.text(4)?,
        body: row.text(5)?,
        text: row.maybe_text(6)?,
        layout: row.maybe_int(7)?.map(LayoutId),
        revision: row.unsigned(8)?,
        created_at: Timestamp(row.int(9)?),
        updated_at: Timestamp(row.int(10)?),
    })
}

pub async fn write(connection: &mut Connection, change: &TemplateChange) -> Result<i64> {
    match change {
        TemplateChange::Add(row) => {
            insert_with_id(connection, "template", &INSERT_TEMPLATE, template_values(row)).await
        }
        TemplateChange::Change(row) => {
            let mut values = template_values(row);
            values.insert(0, row.id.0.into());
            values.push(i64::try_from(row.revision).unwrap_or(i64::MAX).into());
            rows(connection.execute(&UPDATE_TEMPLATE, values).await?)
        }
        TemplateChange::Remove { organization, id } => {
            let values = vec![organization.0.into(), id.0.into()];
            rows(connection.execute(&DELETE_TEMPLATE, values).await?)
        }
        TemplateChange::AddLayout(row) => {
            insert_with_id(connection, "layout", &INSERT_LAYOUT, layout_values(row)).await
        }
        TemplateChange::ChangeLayout(row) => {
            let mut values = layout_values(row);
            values.insert(0, row.id.0.into());
            rows(connection.execute(&UPDATE_LAYOUT, values).await?)
        }
        TemplateChange::RemoveLayout { organization, id } => {
            let values = vec![organization.0.into(), id.0.into()];
            rows(connection.execute(&DELETE_LAYOUT, values).await?)
        }
        TemplateChange::AddBlock(row) => {
            insert_with_id(connection, "saved_block", &INSERT_BLOCK, block_values(row)).await
        }
        TemplateChange::ChangeBlock(row) => {
            let mut values = block_values(row);
            values.insert(0, row.id.0.into());
            rows(connection.execute(&UPDATE_BLOCK, values).await?)
        }
        TemplateChange::RemoveBlock { organization, id } => {
            let mark = format!("%{{\"type\":\"saved\",\"block\":{id}}}%");
            let values = vec![organization.0.into(), id.0.into(), mark.into()];
            rows(connection.execute(&DELETE_BLOCK, values).await?)
        }
    }
}

fn template_values(row: &TemplateRow) -> Vec<Value> {
    vec![
        row.organization.0.into(),
        row.name.as_str().into(),
        row.kind.word().into(),
        row.subject.as_str().into(),
        row.body.as_str().into(),
        row.text.clone().into(),
        row.layout.map(|id| id.0).into(),
        row.updated_at.0.into(),
    ]
}

fn layout_values(row: &LayoutRow) -> Vec<Value> {
    vec![
        row.organization.0.into(),
        row.name.as_str().into(),
        row.body.as_str().into(),
        row.updated_at.0.into(),
    ]
}

fn block_values(row: &SavedBlockRow) -> Vec<Value> {
    vec![
        row.organization.0.into(),
        row.name.as_str().into(),
        row.blocks.as_str().into(),
        row.updated_at.0.into(),
    ]
}
