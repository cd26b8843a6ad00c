//! /v1/campaigns/{id}/links: whether what a mail's links and images lead to is there.
//!
//! Owns:       which links are asked for, and what is said of their answers.
//! Promises:   each is asked for once, as anybody without a name would; private addresses are not
//!             called; all of it has an end before the answer is due.
//! Knows not:  whether a link leads to the right page.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::access::{Call, needs};
use super::campaign_mails::ready;
use super::campaigns::found;
use super::extract::Path;
use super::problem::Problem;
use crate::campaign::templates::{self, PREVIEW_LINK};
use crate::fetch::{self, Fetcher, Url};
use crate::model::*;

const LINKS_MAX: usize = 50;
const AT_ONCE: usize = 10;
const LINK_WAIT: Duration = Duration::from_secs(4);
/// The page itself is not read.
const ANSWER_BYTES_MAX: usize = 1024;
// All of them are over before an answer of ours is.
const _: () = assert!(LINKS_MAX / AT_ONCE * LINK_WAIT.as_secs() as usize <= 25);

/// What a link was answered with.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct LinkCheck {
    pub link: String,
    pub status: Option<u16>,
    /// Null where it is there.
    pub trouble: Option<String>,
}

/// Links and images of all mails of a campaign.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct LinkChecks {
    pub links: Vec<LinkCheck>,
    /// So many beyond the first 50 were not asked for.
    pub left_out: u64,
}

/// Ask for every link and image of a campaign, as it is made for a contact without values, once.
#[utoipa::path(get, path = "/v1/campaigns/{id}/links", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = LinkChecks)), security(("key" = ["campaigns_write"])))]
pub(super) async fn links(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<CampaignId>,
) -> Result<axum::Json<LinkChecks>, Problem> {
    let row = found(&call, id).await?;
    let fetcher = call.fetcher.clone();
    let fetcher = fetcher.ok_or_else(|| Problem::conflict("no daemon is running"))?;
    let fields = call.store.fields(row.organization).await?;
    let own = call.composer.as_ref().and_then(|composer| composer.links());
    let own = own.map(|links| links.of(row.organization).base().to_owned());
    let mut all = BTreeSet::new();
    for mail in row.content.variants.iter().flat_map(CampaignVariant::mails) {
        let template = ready(&mail, &fields).await?;
        let data = row.content.data.clone();
        let rendering = tokio::task::spawn_blocking(move || {
            template.render(&templates::preview_values(&templates::nobody(), &data))
        });
        // What cannot be made without values is told among the checks.
        if let Ok(rendered) = rendering.await.map_err(Problem::ours)? {
            all.extend(web_links(&rendered.html));
        }
    }
    let is_ours = |link: &String| own.as_ref().is_some_and(|own| link.starts_with(own.as_str()));
    all.retain(|link| !link.starts_with(PREVIEW_LINK) && !is_ours(link));
    let left_out = all.len().saturating_sub(LINKS_MAX) as u64;
    let all: Vec<String> = all.into_iter().take(LINKS_MAX).collect();
    let mut links = Vec::with_capacity(all.len());
    for part in all.chunks(AT_ONCE) {
        let mut asking: JoinSet<LinkCheck> = JoinSet::new();
        for link in part {
            asking.spawn(asked(fetcher.clone(), link.clone()));
        }
        links.extend(asking.join_all().await);
    }
    links.sort_by(|one: &LinkCheck, other| one.link.cmp(&other.link));
    Ok(axum::Json(LinkChecks { links, left_out }))
}

async fn asked(fetcher: Fetcher, link: String) -> LinkCheck {
    let url = match Url::parse(&link) {
        Ok(url) => url,
        Err(error) => return LinkCheck { link, status: None, trouble: Some(error.to_string()) },
    };
    let mut call = fetch::Call::get(url);
    (call.wait, call.answer_bytes_max) = (LINK_WAIT, ANSWER_BYTES_MAX);
    match fetcher.call(&call).await {
        Ok(answer) => {
            let status = answer.status;
            let trouble = (status >= 400).then(|| format!("it is answered with {status}"));
            LinkCheck { link, status: Some(status), trouble }
        }
        Err(error) => LinkCheck { link, status: None, trouble: Some(error.to_string()) },
    }
}

/// What `href` and `src` name in rendered HTML, where it is of the web.
fn web_links(html: &str) -> BTreeSet<String> {
    let mut links = BTreeSet::new();
    for name in ["href=\"", "src=\""] {
        for rest in html.split(name).skip(1) {
            let value = rest.split('"').next().unwrap_or_default().replace("&amp;", "&");
            if value.starts_with("https://") || value.starts_with("http://") {
                links.insert(value);
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_images_of_the_web_are_found_once_each() {
        let html = "<a href=\"https://a.test/?x=1&amp;y=2\">a</a><img src=\"http://b.test/i.png\">\
            <a href=\"mailto:x@a.test\">m</a><a href=\"#top\">t</a><img src=\"cid:logo\">\
            <a href=\"https://a.test/?x=1&amp;y=2\">again</a>";
        let found: Vec<String> = web_links(html).into_iter().collect();
        assert_eq!(found, ["http://b.test/i.png", "https://a.test/?x=1&y=2"]);
    }
}
