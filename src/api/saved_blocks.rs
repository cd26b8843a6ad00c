//! /v1/saved-blocks: blocks that may stand in many documents, such as a footer.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::extract::Path;
use super::problem::Problem;
use super::templates::{lawful_name, taken};
use crate::compose::template::BODY_BYTES_MAX;
use crate::compose::template::document::{self, Block};
use crate::model::{SavedBlockId, Timestamp};
use crate::store::{SavedBlockRow, TemplateChange};

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SavedBlocksView)]
pub struct View {
    pub id: SavedBlockId,
    pub name: String,
    pub blocks: Vec<Block>,
    pub updated_at: Timestamp,
}

fn view(row: SavedBlockRow) -> Result<View, Problem> {
    let blocks = serde_json::from_str(&row.blocks).map_err(Problem::ours)?;
    Ok(View { id: row.id, name: row.name, blocks, updated_at: row.updated_at })
}

/// List the saved blocks.
#[utoipa::path(get, path = "/v1/saved-blocks", tag = "saved_blocks",
    responses((status = 200, body = Page<View>)), security(("key" = ["campaigns_read"])))]
pub(super) async fn list(
    call: Call<needs::CampaignsRead>,
) -> Result<axum::Json<Page<View>>, Problem> {
    let rows = call.store.saved_blocks(call.organization()).await?;
    Ok(Page::whole(rows.into_iter().map(view).collect::<Result<_, _>>()?))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SavedBlocksInput)]
pub(super) struct Input {
    name: String,
    #[schema(value_type = Vec<Block>)]
    blocks: serde_json::Value,
}

async fn checked<N>(
    call: &Call<N>,
    id: SavedBlockId,
    input: Input,
) -> Result<SavedBlockRow, Problem> {
    let wrong = |wrong: document::Wrong| Problem::of_field(wrong.path, wrong.why);
    let name = lawful_name(&input.name)?;
    let blocks = document::blocks_of_value(&input.blocks).map_err(wrong)?;
    let organization = call.organization();
    let fields = call.store.fields(organization).await?;
    let names = fields.iter().map(|field| field.name.clone()).collect();
    document::check_saved(&blocks, &names).map_err(wrong)?;
    let blocks = serde_json::to_string(&blocks).map_err(Problem::ours)?;
    if blocks.len() > BODY_BYTES_MAX {
        return Err(Problem::of_field("blocks", format!("at most {BODY_BYTES_MAX} octets")));
    }
    Ok(SavedBlockRow { id, organization, name, blocks, updated_at: call.clock.now() })
}

/// Save blocks under a name.
#[utoipa::path(post, path = "/v1/saved-blocks", tag = "saved_blocks",
    responses((status = 200, body = View)), security(("key" = ["campaigns_write"])))]
pub(super) async fn add(
    call: Call<needs::CampaignsWrite>,
    Json(input): Json<Input>,
) -> Result<axum::Json<View>, Problem> {
    let mut row = checked(&call, SavedBlockId(0), input).await?;
    let made = call.store.change_template(TemplateChange::AddBlock(row.clone())).await;
    row.id = SavedBlockId(made.map_err(taken)?);
    Ok(axum::Json(view(row)?))
}

/// Change saved blocks: every template that names them has the new ones from now on, a campaign
/// what it was saved with.
#[utoipa::path(put, path = "/v1/saved-blocks/{id}", tag = "saved_blocks",
    params(("id" = SavedBlockId, Path)),
    responses((status = 200, body = View)), security(("key" = ["campaigns_write"])))]
pub(super) async fn change(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<SavedBlockId>,
    Json(input): Json<Input>,
) -> Result<axum::Json<View>, Problem> {
    let row = checked(&call, id, input).await?;
    let changed = call.store.change_template(TemplateChange::ChangeBlock(row.clone())).await;
    match changed.map_err(taken)? {
        0 => Err(Problem::not_found("there are no such saved blocks")),
        _ => Ok(axum::Json(view(row)?)),
    }
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = SavedBlocksRemoved)]
pub(super) struct Removed {
    id: SavedBlockId,
}

/// Remove saved blocks that no template names.
#[utoipa::path(delete, path = "/v1/saved-blocks/{id}", tag = "saved_blocks",
    params(("id" = SavedBlockId, Path)),
    responses((status = 200, body = Removed)), security(("key" = ["campaigns_write"])))]
pub(super) async fn remove(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<SavedBlockId>,
) -> Result<axum::Json<Removed>, Problem> {
    let organization = call.organization();
    let change = TemplateChange::RemoveBlock { organization, id };
    if call.store.change_template(change).await? > 0 {
        return Ok(axum::Json(Removed { id }));
    }
    let rows = call.store.saved_blocks(organization).await?;
    match rows.iter().any(|row| row.id == id) {
        true => Err(Problem::conflict("templates use these blocks")),
        false => Err(Problem::not_found("there are no such saved blocks")),
    }
}
