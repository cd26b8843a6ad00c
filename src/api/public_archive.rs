//! Campaigns that anybody may read again, and their feed; mails that their readers look at here.
//!
//! Owns:       `/a/ORGANIZATION` and what lies below it, `/b/TOKEN`.
//! Promises:   a mail is shown to whoever has its link, without encrypted fields; only campaigns
//!             whose settings say so are shown, once they were launched, as somebody without any
//!             values gets them; nothing in them runs.
//! Knows not:  who has got them.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::access::{Call, Shared, needs};
use super::campaign_mails::ready;
use super::extract::Path;
use super::problem::Problem;
use super::public::{escaped, links, not_ours, trouble, words};
use super::themes::page;
use crate::campaign::templates;
use crate::compose::template::Rendered;
use crate::model::*;
use crate::store::{CampaignRow, Narrowed};
use crate::wire::date;

type Anybody = Call<needs::Anybody>;

const SHOWN_MAX: u32 = 50;
/// Images and styles are shown; nothing runs, nothing is sent.
const POLICY: &str = "default-src 'none'; img-src https: http: data:; \
    style-src 'unsafe-inline'; sandbox allow-popups";

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/a/{organization}", get(list))
        .route("/a/{organization}/feed.xml", get(feed))
        .route("/a/{organization}/{campaign}", get(show))
        .route("/b/{token}", get(browsed))
}

fn is_shown(row: &CampaignRow) -> bool {
    row.settings.archive && row.launched_at.is_some()
}

async fn shown(call: &Anybody, organization: OrganizationId) -> Result<Vec<CampaignRow>, Problem> {
    let mut rows =
        call.store.campaigns(organization, CampaignId(0), SHOWN_MAX, &Narrowed::default()).await?;
    rows.retain(is_shown);
    Ok(rows)
}

/// As whoever the template knows nothing about.
async fn rendered(call: &Anybody, row: &CampaignRow) -> Result<Rendered, Problem> {
    let fields = call.store.fields(row.organization).await?;
    let place = row.winner.and_then(|winner| usize::try_from(winner).ok()).unwrap_or(0);
    let none = || Problem::not_found("there is no such mail");
    let variant = row.content.variants.get(place).ok_or_else(none)?;
    let template = ready(variant, &fields).await?;
    let mut nobody = templates::nobody();
    nobody.email.clear();
    let data = row.content.data.clone();
    let rendering = tokio::task::spawn_blocking(move || {
        template.render(&templates::preview_values(&nobody, &data))
    });
    Ok(rendering.await.map_err(Problem::ours)??)
}

async fn list(call: Anybody, Path(organization): Path<OrganizationId>) -> Response {
    let Ok(rows) = shown(&call, organization).await else { return trouble(&call) };
    if rows.is_empty() {
        return not_ours(&call);
    }
    let mut body = String::from("<ul>");
    for row in &rows {
        let day = row.launched_at.map_or_else(String::new, date::rfc5322);
        body.push_str(&format!(
            "<li><a href=\"{}/{}\">{}</a> <small>{day}</small></li>",
            row.organization,
            row.id,
            escaped(&row.name)
        ));
    }
    body.push_str("</ul>");
    let words = words(&call);
    page(&call, organization, words, (words.archive, &body)).await.into_response()
}

async fn show(
    call: Anybody,
    Path((organization, id)): Path<(OrganizationId, CampaignId)>,
) -> Response {
    let found = match call.store.campaign(organization, id).await {
        Ok(found) => found.filter(is_shown),
        Err(_) => return trouble(&call),
    };
    let Some(row) = found else { return not_ours(&call) };
    // What cannot be made without values has no page.
    let Ok(rendered) = rendered(&call, &row).await else { return not_ours(&call) };
    shown_here(rendered.html)
}

fn shown_here(html: String) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, Html(html)).into_response()
}

/// The mail of whoever follows the link in it.
async fn browsed(call: Anybody, Path(token): Path<String>) -> Response {
    let claim = links(&call).and_then(|links| links.browsed(&token, call.clock.now()));
    let (Some(claim), Some(composer)) = (claim, &call.composer) else { return not_ours(&call) };
    let found = match call.store.deliveries_by_id(&[claim.delivery]).await {
        Ok(mut found) => found.pop(),
        Err(_) => return trouble(&call),
    };
    let found = found.filter(|(_, found)| found.message.id == claim.message);
    let Some((_, found)) = found else { return not_ours(&call) };
    match composer.recipe_page(&found).await {
        Ok(html) => shown_here(html),
        // Its campaign, its contact or what it was made from is gone.
        Err(error) => {
            tracing::debug!(%error, "a mail is not shown in a browser");
            not_ours(&call)
        }
    }
}

async fn feed(call: Anybody, Path(organization): Path<OrganizationId>) -> Response {
    let Ok(rows) = shown(&call, organization).await else { return trouble(&call) };
    let Some(links) = links(&call).filter(|_| !rows.is_empty()) else { return not_ours(&call) };
    let base = format!("{}/a/{organization}", links.of(organization).base());
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><rss version=\"2.0\"><channel>\
         <title>Archive</title><link>{0}</link><description>Mail sent</description>",
        escaped(&base)
    );
    for row in &rows {
        let url = escaped(&format!("{base}/{}", row.id));
        let day = row.launched_at.map_or_else(String::new, date::rfc5322);
        xml.push_str(&format!(
            "<item><title>{}</title><link>{url}</link><guid>{url}</guid>\
             <pubDate>{day}</pubDate></item>",
            escaped(&row.name)
        ));
    }
    xml.push_str("</channel></rss>");
    let kind = HeaderValue::from_static("application/rss+xml; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], xml).into_response()
}
