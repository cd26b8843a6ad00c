//! /v1/media: files of an organization, for mails to show or to carry; and `/m/KEY`, where images
//! are shown to everybody.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::access::{Call, Shared, needs};
use super::extract::{Path, Query};
use super::narrow::{lawful, narrowed};
use super::problem::Problem;
use super::public::{not_ours, trouble};
use super::{ApiState, Page};
use crate::auth::new_token;
use crate::compose::Shelf;
use crate::model::*;
use crate::store::MediaRow;

pub(super) const FILE_BYTES_MAX: usize = 10 << 20;
const LIST_MAX: u32 = 100;
const FILES_MAX: u64 = 10_000;
const NAME_BYTES_MAX: usize = 200;
/// The first octets of what browsers show and cannot run.
const IMAGES: [(&[u8], &str); 4] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
];

type Anybody = Call<needs::Anybody>;

/// A file, and where it is shown.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct MediaView {
    #[serde(flatten)]
    pub media: MediaRow,
    /// Where everybody sees it; images alone, and null without `http.public_url`.
    pub url: Option<String>,
}

fn shelf(api: &ApiState) -> Result<&Shelf, Problem> {
    let stopped = || Problem::conflict("no daemon is running");
    api.composer.as_ref().and_then(|composer| composer.shelf()).ok_or_else(stopped)
}

fn view(api: &ApiState, media: MediaRow) -> MediaView {
    let links = api.composer.as_ref().and_then(|composer| composer.links());
    let is_image = media.content_type.starts_with("image/");
    let links = links.filter(|_| is_image).map(|links| links.of(media.organization));
    let url = links.map(|links| format!("{}/m/{}", links.base(), media.key));
    MediaView { media, url }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    cursor: Option<MediaId>,
    /// Stands somewhere in the name, in any case.
    find: Option<String>,
    /// The first part of the type, such as `image`.
    content_type: Option<String>,
}

/// List files, newest first.
#[utoipa::path(get, path = "/v1/media", tag = "media", params(Asked),
    responses((status = 200, body = Page<MediaView>)), security(("key" = ["campaigns_read"])))]
pub(super) async fn list(
    call: Call<needs::CampaignsRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<MediaView>>, Problem> {
    let before = asked.cursor.unwrap_or(MediaId(0));
    let narrowed =
        narrowed(asked.find.as_deref(), lawful("content_type", asked.content_type.as_deref())?)?;
    let rows = call.store.media(call.organization(), before, LIST_MAX, &narrowed).await?;
    let full = rows.len() >= LIST_MAX as usize;
    let next = rows.last().filter(|_| full).map(|last| last.id.to_string());
    let items = rows.into_iter().map(|row| view(&call, row)).collect();
    Ok(axum::Json(Page { items, next }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Given {
    /// What people call it: `logo.png`.
    name: String,
}

/// Upload a file, as the body; at most 10 MiB. PNG, JPEG, GIF and WebP can be shown in mails,
/// everything can be attached.
#[utoipa::path(post, path = "/v1/media", tag = "media", params(Given),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = MediaView)), security(("key" = ["campaigns_write"])))]
pub(super) async fn upload(
    call: Call<needs::CampaignsWrite>,
    Query(given): Query<Given>,
    body: Bytes,
) -> Result<axum::Json<MediaView>, Problem> {
    let name = given.name.trim();
    let is_lawful = |letter: char| !letter.is_control() && !"/\\\"<>".contains(letter);
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.chars().all(is_lawful) {
        let why = "must be 1 to 200 octets without / \\ \" < >";
        return Err(Problem::of_field("name", why));
    }
    if body.is_empty() {
        return Err(Problem::unprocessable("the file is empty"));
    }
    let organization = call.organization();
    if call.store.count_media(organization).await? >= FILES_MAX {
        return Err(Problem::conflict(format!("at most {FILES_MAX} files: remove some")));
    }
    let key = new_token();
    shelf(&call)?.put(&key, &body).await.map_err(Problem::ours)?;
    let mut row = MediaRow {
        id: MediaId(0),
        organization,
        name: name.to_owned(),
        content_type: type_of(name, &body).to_owned(),
        bytes: body.len() as u64,
        key,
        created_at: call.clock.now(),
    };
    let store = call.audited(Some(organization), ("media.added", ""), None::<&()>, Some(&row))?;
    row.id = store.add_media(&row).await?;
    Ok(axum::Json(view(&call, row)))
}

/// By its first octets if it is an image, else by the end of its name.
fn type_of(name: &str, octets: &[u8]) -> &'static str {
    let image = IMAGES.iter().find(|(first, _)| octets.starts_with(first));
    if let Some((_, image)) = image
        && (*image != "image/webp" || octets.get(8..12) == Some(b"WEBP"))
    {
        return image;
    }
    match name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "txt" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "ics" => "text/calendar; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MediaRemoved)]
pub(super) struct Removed {
    id: MediaId,
}

/// Remove a file. Mails that were sent show its image no more.
#[utoipa::path(delete, path = "/v1/media/{id}", tag = "media", params(("id" = MediaId, Path)),
    responses((status = 200, body = Removed)), security(("key" = ["campaigns_write"])))]
pub(super) async fn remove(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<MediaId>,
) -> Result<axum::Json<Removed>, Problem> {
    let organization = call.organization();
    let none = || Problem::not_found("there is no such file");
    let rows = call.store.media_by_ids(organization, &[id]).await?;
    let row = rows.first().ok_or_else(none)?;
    if call.store.is_attached(organization, id).await? {
        return Err(Problem::conflict("a campaign that is not over has it attached"));
    }
    let target = id.to_string();
    let action = ("media.removed", target.as_str());
    let store = call.audited::<_, ()>(Some(organization), action, Some(row), None)?;
    if !store.remove_media(organization, id).await? {
        return Err(none());
    }
    if let Err(error) = shelf(&call)?.remove(&row.key).await {
        tracing::warn!(%error, media = %id, "a file without a row is left");
    }
    Ok(axum::Json(Removed { id }))
}

/// Not in the document: mails lead here.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/m/{key}", get(show))
}

async fn show(call: Anybody, Path(key): Path<String>) -> Response {
    let row = match call.store.media_by_key(&key).await {
        Ok(Some(row)) if row.content_type.starts_with("image/") => row,
        Ok(_) => return not_ours(&call),
        Err(_) => return trouble(&call),
    };
    let Ok(shelf) = shelf(&call) else { return trouble(&call) };
    let Ok(octets) = shelf.read(&row.key).await else { return not_ours(&call) };
    let Ok(kind) = HeaderValue::from_str(&row.content_type) else { return not_ours(&call) };
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
    ];
    (StatusCode::OK, headers, octets).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_its_octets_and_a_page_is_none() {
        for (name, octets, expected) in [
            ("x.html", b"\x89PNG\r\n\x1a\n...".as_slice(), "image/png"),
            ("x.png", b"<script>".as_slice(), "application/octet-stream"),
            ("x.svg", b"<svg onload=\"\">".as_slice(), "application/octet-stream"),
            ("x.webp", b"RIFF....WEBPVP8 ".as_slice(), "image/webp"),
            ("x.wav", b"RIFF....WAVEfmt ".as_slice(), "application/octet-stream"),
            ("a.PDF", b"%PDF-1.7".as_slice(), "application/pdf"),
        ] {
            assert_eq!(type_of(name, octets), expected, "{name}");
        }
    }
}
