//! /v1/imports: files of contacts, uploaded, looked at, started, followed.

use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use super::access::{Call, needs};
use super::body::Json;
use super::extract::{Path, Query};
use super::narrow::narrowed;
use super::problem::Problem;
use super::{ApiState, Page, streamed};
use crate::campaign::import::{ImportError, Imports, Options, Preview, Upload};
use crate::model::{ImportId, ImportState};
use crate::store::ImportRow;

const LIST_MAX: u32 = 100;
/// The longest silence of a client that uploads.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const PIECE_BYTES: usize = 64 * 1024;

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Problem {
        match error {
            ImportError::Unlawful(unlawful) => unlawful.into(),
            ImportError::Store(error) => error.into(),
            ImportError::None => Problem::not_found("there is no such import"),
            ImportError::State(_) => Problem::conflict(error.to_string()),
            ImportError::File(why) if why.kind() == std::io::ErrorKind::StorageFull => {
                Problem::new(StatusCode::INSUFFICIENT_STORAGE, "the disk is full")
            }
            ImportError::File(_) => Problem::ours(error),
        }
    }
}

fn imports(api: &ApiState) -> Result<&Imports, Problem> {
    api.imports.as_ref().ok_or_else(|| Problem::conflict("no daemon is running"))
}

/// An import, and before it was started what its file looks like.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImportView {
    #[serde(flatten)]
    pub import: ImportRow,
    pub preview: Option<Preview>,
}

async fn view(imports: &Imports, import: ImportRow) -> Result<axum::Json<ImportView>, Problem> {
    let preview = match import.state {
        ImportState::Uploaded => Some(imports.preview(&import).await?),
        _ => None,
    };
    Ok(axum::Json(ImportView { import, preview }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Given {
    /// What people call the file.
    file_name: Option<String>,
    /// As in `windows-1252`; UTF-8, or what a byte order mark says, when it is missing.
    encoding: Option<String>,
    /// The file that is meant, where a zip has several.
    entry: Option<String>,
}

/// Upload a file of separated values, or a zip with one, as the body. Nothing is imported before it
/// is started.
#[utoipa::path(post, path = "/v1/imports", tag = "imports", params(Given),
    request_body(content = String, content_type = "text/csv"),
    responses((status = 200, body = ImportView)), security(("key" = ["contacts_write"])))]
pub(super) async fn upload(
    call: Call<needs::ContactsWrite>,
    Query(given): Query<Given>,
    body: Body,
) -> Result<axum::Json<ImportView>, Problem> {
    let imports = imports(&call)?;
    let name = given.file_name.as_deref().unwrap_or("contacts.csv");
    let how = (given.encoding.as_deref(), given.entry.as_deref());
    let mut upload = imports.upload(call.organization(), name, how).await?;
    match take_in(&mut upload, body).await {
        Ok(()) => view(imports, upload.finish().await?).await,
        Err(problem) => {
            upload.give_up().await;
            Err(problem)
        }
    }
}

async fn take_in(upload: &mut Upload, mut body: Body) -> Result<(), Problem> {
    loop {
        let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await;
        let silent = || Problem::new(StatusCode::REQUEST_TIMEOUT, "the upload stood still");
        let Some(frame) = frame.map_err(|_| silent())? else { return Ok(()) };
        let cut = |_| Problem::new(StatusCode::BAD_REQUEST, "the upload was cut off");
        if let Ok(octets) = frame.map_err(cut)?.into_data() {
            upload.write(&octets).await?;
        }
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    cursor: Option<ImportId>,
    /// Stands somewhere in the name of the file, in any case.
    find: Option<String>,
    state: Option<ImportState>,
}

/// List imports, newest first.
#[utoipa::path(get, path = "/v1/imports", tag = "imports", params(Asked),
    responses((status = 200, body = Page<ImportRow>)), security(("key" = ["contacts_read"])))]
pub(super) async fn list(
    call: Call<needs::ContactsRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<ImportRow>>, Problem> {
    let before = asked.cursor.unwrap_or(ImportId(0));
    let narrowed = narrowed(asked.find.as_deref(), asked.state.map(|state| state.word()))?;
    let items = imports(&call)?.list(call.organization(), before, LIST_MAX, &narrowed).await?;
    let full = items.len() >= LIST_MAX as usize;
    let next = items.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items, next }))
}

/// Show how far an import is, or what its file looks like before it was started.
#[utoipa::path(get, path = "/v1/imports/{id}", tag = "imports",
    params(("id" = ImportId, Path)),
    responses((status = 200, body = ImportView)), security(("key" = ["contacts_read"])))]
pub(super) async fn show(
    call: Call<needs::ContactsRead>,
    Path(id): Path<ImportId>,
) -> Result<axum::Json<ImportView>, Problem> {
    let imports = imports(&call)?;
    let import = imports.show(call.organization(), id).await?;
    view(imports, import).await
}

/// Start an import: say what becomes of each column, and what is done with the contacts.
#[utoipa::path(post, path = "/v1/imports/{id}/start", tag = "imports",
    params(("id" = ImportId, Path)),
    responses((status = 200, body = ImportRow)), security(("key" = ["contacts_write"])))]
pub(super) async fn start(
    call: Call<needs::ContactsWrite>,
    Path(id): Path<ImportId>,
    Json(options): Json<Options>,
) -> Result<axum::Json<ImportRow>, Problem> {
    Ok(axum::Json(imports(&call)?.start(call.organization(), id, (options, &call.store)).await?))
}

/// Cancel an import. What was written until then stays.
#[utoipa::path(post, path = "/v1/imports/{id}/cancel", tag = "imports",
    params(("id" = ImportId, Path)),
    responses((status = 200, body = ImportRow)), security(("key" = ["contacts_write"])))]
pub(super) async fn cancel(
    call: Call<needs::ContactsWrite>,
    Path(id): Path<ImportId>,
) -> Result<axum::Json<ImportRow>, Problem> {
    Ok(axum::Json(imports(&call)?.cancel(call.organization(), id, &call.store).await?))
}

/// The rows that failed, as CSV: row, column, reason, and the row itself.
#[utoipa::path(get, path = "/v1/imports/{id}/failed", tag = "imports",
    params(("id" = ImportId, Path)),
    responses((status = 200, body = String, content_type = "text/csv")),
    security(("key" = ["contacts_read"])))]
pub(super) async fn failed(
    call: Call<needs::ContactsRead>,
    Path(id): Path<ImportId>,
) -> Result<Response, Problem> {
    let imports = imports(&call)?;
    let import = imports.show(call.organization(), id).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"failed.csv\""),
    ];
    let Some(mut file) = imports.failed(&import).await? else {
        return Ok((headers, Body::empty()).into_response());
    };
    let (pieces, body) = streamed::body();
    tokio::spawn(async move {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = file.read(&mut piece).await.map(|length| {
                piece.truncate(length);
                Bytes::from(piece)
            });
            let is_last = read.as_ref().map_or(true, Bytes::is_empty);
            if pieces.send(read).await.is_err() || is_last {
                return;
            }
        }
    });
    Ok((headers, body).into_response())
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ImportRemoved)]
pub(super) struct Removed {
    id: ImportId,
}

/// Remove an import that does not run, with its file. Its contacts stay.
#[utoipa::path(delete, path = "/v1/imports/{id}", tag = "imports",
    params(("id" = ImportId, Path)),
    responses((status = 200, body = Removed)), security(("key" = ["contacts_write"])))]
pub(super) async fn remove(
    call: Call<needs::ContactsWrite>,
    Path(id): Path<ImportId>,
) -> Result<axum::Json<Removed>, Problem> {
    imports(&call)?.remove(call.organization(), id, &call.store).await?;
    Ok(axum::Json(Removed { id }))
}
