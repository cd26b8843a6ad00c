//! Files of an organization: what they are called and where they lie.
//!
//! Owns:       the table `media`.
//! Promises:   a row names a file that was on disk before it.
//! Knows not:  octets, who shows them.

use crate::model::*;

use super::changes::RowWrite;
use super::database::Row;
use super::dialect::{Statement, json_ids};
use super::error::{Result, StoreError};
use super::narrow::Narrowed;
use super::{Store, collect};

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct MediaRow {
    pub id: MediaId,
    pub organization: OrganizationId,
    pub name: String,
    pub content_type: String,
    pub bytes: u64,
    #[serde(skip)]
    pub key: String,
    pub created_at: Timestamp,
}

macro_rules! media {
    ($where:literal) => {
        Statement::new(concat!(
            "SELECT id, organization, name, content_type, bytes, key, created_at FROM media WHERE ",
            $where
        ))
    };
}
pub static MEDIA: Statement = media!(
    "organization = $1 AND (id < $2 OR $2 = 0) AND LOWER(name) LIKE $4 ESCAPE '!' \
         AND ($5 = '' OR content_type LIKE $5 || '/%') ORDER BY id DESC LIMIT $3"
);
pub static MEDIA_BY_IDS: Statement =
    media!("organization = $1 AND id IN (SELECT id FROM {ids:2} AS wanted)");
pub static MEDIA_BY_KEY: Statement = media!("key = $1");
pub static COUNT_MEDIA: Statement =
    Statement::new("SELECT COUNT(*) FROM media WHERE organization = $1");
pub static INSERT_MEDIA: Statement = Statement::new(
    "INSERT INTO media (id, organization, name, content_type, bytes, key, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)",
);
pub static DELETE_MEDIA: Statement =
    Statement::new("DELETE FROM media WHERE organization = $1 AND id = $2");
/// What campaigns say that are not over.
pub static LIVE_CONTENTS: Statement = Statement::new(
    "SELECT r.content FROM campaigns AS c JOIN campaign_revisions AS r ON r.campaign = c.id \
     WHERE c.organization = $1 AND c.state NOT IN ('sent', 'cancelled') \
     AND r.content LIKE '%\"attachments\":[%' LIMIT 1000",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &MEDIA,
    &MEDIA_BY_IDS,
    &MEDIA_BY_KEY,
    &COUNT_MEDIA,
    &INSERT_MEDIA,
    &DELETE_MEDIA,
    &LIVE_CONTENTS,
];

impl Store {
    /// Newest first, older than `before` (0: all).
    pub async fn media(
        &self,
        organization: OrganizationId,
        before: MediaId,
        limit: u32,
        narrowed: &Narrowed,
    ) -> Result<Vec<MediaRow>> {
        let mut values = vec![organization.0.into(), before.0.into(), i64::from(limit).into()];
        narrowed.put_to(&mut values);
        collect(self.read(&MEDIA, values).await?, media)
    }

    /// Those that there are, in no order.
    pub async fn media_by_ids(
        &self,
        organization: OrganizationId,
        ids: &[MediaId],
    ) -> Result<Vec<MediaRow>> {
        let ids = json_ids(ids.iter().map(|id| id.0));
        collect(self.read(&MEDIA_BY_IDS, vec![organization.0.into(), ids.into()]).await?, media)
    }

    pub async fn media_by_key(&self, key: &str) -> Result<Option<MediaRow>> {
        self.read(&MEDIA_BY_KEY, vec![key.into()]).await?.first().map(media).transpose()
    }

    pub async fn count_media(&self, organization: OrganizationId) -> Result<u64> {
        self.database().fetch_one(&COUNT_MEDIA, vec![organization.0.into()]).await?.unsigned(0)
    }

    /// Its file is there already. Returns its id.
    pub async fn add_media(&self, row: &MediaRow) -> Result<MediaId> {
        let id = self.reserve_id("media").await?;
        let bytes = i64::try_from(row.bytes).map_err(StoreError::broken_row)?;
        let values = vec![
            id.into(),
            row.organization.0.into(),
            row.name.as_str().into(),
            row.content_type.as_str().into(),
            bytes.into(),
            row.key.as_str().into(),
            row.created_at.0.into(),
        ];
        self.write(vec![RowWrite::new(&INSERT_MEDIA, values)]).await?;
        Ok(MediaId(id))
    }

    /// False: there is none. The file may go after it.
    pub async fn remove_media(&self, organization: OrganizationId, id: MediaId) -> Result<bool> {
        let values = vec![organization.0.into(), id.0.into()];
        Ok(self.write(vec![RowWrite::new(&DELETE_MEDIA, values)]).await? > 0)
    }

    /// A campaign that is not over has it attached.
    pub async fn is_attached(&self, organization: OrganizationId, id: MediaId) -> Result<bool> {
        for row in self.read(&LIVE_CONTENTS, vec![organization.0.into()]).await? {
            let content: CampaignContent =
                serde_json::from_str(&row.text(0)?).map_err(StoreError::broken_row)?;
            if content.attachments.contains(&id) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn media(row: &Row) -> Result<MediaRow> {
    Ok(MediaRow {
        id: MediaId(row.int(0)?),
        organization: OrganizationId(row.int(1)?),
        name: row.text(2)?,
        content_type: row.text(3)?,
        bytes: row.unsigned(4)?,
        key: row.text(5)?,
        created_at: Timestamp(row.int(6)?),
    })
}
