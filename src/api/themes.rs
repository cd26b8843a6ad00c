//! /v1/public-theme: how an organization's public pages look; and the pages that look so.

use axum::response::Html;
use serde::{Deserialize, Serialize};

use super::ApiState;
use super::access::{Call, needs};
use super::body::Json;
use super::problem::Problem;
use super::public::{self, Page, escaped};
use super::public_words::Words;
use crate::model::{MediaId, OrganizationId};
use crate::store::ThemeRow;

const FOOTER_BYTES_MAX: usize = 1000;

/// Color, logo and footer of the pages that anybody sees: forms, preferences, archive.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PublicTheme {
    /// Of buttons and links: `#0a7f5a`.
    color: Option<String>,
    /// An image among the organization's files.
    logo: Option<MediaId>,
    /// Text at the end of each page: who sends, and from where.
    footer: String,
}

impl From<ThemeRow> for PublicTheme {
    fn from(row: ThemeRow) -> PublicTheme {
        PublicTheme { color: row.color, logo: row.logo, footer: row.footer }
    }
}

/// Show how the public pages look.
#[utoipa::path(get, path = "/v1/public-theme", tag = "lists",
    responses((status = 200, body = PublicTheme)), security(("key" = ["campaigns_read"])))]
pub(super) async fn show(
    call: Call<needs::CampaignsRead>,
) -> Result<axum::Json<PublicTheme>, Problem> {
    let row = call.store.theme(call.organization()).await?;
    Ok(axum::Json(row.into()))
}

/// Say how the public pages look.
#[utoipa::path(put, path = "/v1/public-theme", tag = "lists",
    responses((status = 200, body = PublicTheme)), security(("key" = ["campaigns_write"])))]
pub(super) async fn set(
    call: Call<needs::CampaignsWrite>,
    Json(wanted): Json<PublicTheme>,
) -> Result<axum::Json<PublicTheme>, Problem> {
    let organization = call.organization();
    if wanted.color.as_deref().is_some_and(|color| !is_color(color)) {
        return Err(Problem::of_field("color", "must be like #0a7f5a"));
    }
    let is_text = |c: char| !c.is_control() || c == '\n';
    if wanted.footer.len() > FOOTER_BYTES_MAX || !wanted.footer.chars().all(is_text) {
        return Err(Problem::of_field("footer", "must be at most 1000 octets of text"));
    }
    if let Some(logo) = wanted.logo {
        let rows = call.store.media_by_ids(organization, &[logo]).await?;
        if !rows.first().is_some_and(|row| row.content_type.starts_with("image/")) {
            return Err(Problem::of_field("logo", "there is no such image"));
        }
    }
    let before = PublicTheme::from(call.store.theme(organization).await?);
    let action = ("public_theme.set", "public-theme");
    let store = call.audited(Some(organization), action, Some(&before), Some(&wanted))?;
    let PublicTheme { color, logo, footer } = wanted.clone();
    store.set_theme(organization, ThemeRow { color, logo, logo_key: None, footer }).await?;
    Ok(axum::Json(wanted))
}

fn is_color(color: &str) -> bool {
    let digits = color.strip_prefix('#').unwrap_or_default();
    digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// A page in the organization's look; in the usual one when that cannot be read.
pub(super) async fn page(
    api: &ApiState,
    organization: OrganizationId,
    words: &Words,
    (title, body): (&str, &str),
) -> Page {
    let theme = api.store.theme(organization).await.unwrap_or_else(|error| {
        tracing::warn!(%error, %organization, "a page has the usual look");
        ThemeRow::default()
    });
    dressed(public::page(words, title, body), &theme)
}

fn dressed((headers, Html(html)): Page, theme: &ThemeRow) -> Page {
    let mut html = html;
    if let Some(color) = theme.color.as_deref().filter(|color| is_color(color)) {
        let style = format!(
            "<style>a{{color:{color}}}button{{background:{color};color:#fff;border:0;\
             border-radius:4px}}h1{{border-bottom:3px solid {color}}}</style></head>"
        );
        html = html.replacen("</head>", &style, 1);
    }
    if let Some(key) = &theme.logo_key {
        let logo = format!(
            "<body><p><img src=\"/m/{}\" alt=\"\" style=\"max-height:80px;max-width:100%\"></p>",
            escaped(key)
        );
        html = html.replacen("<body>", &logo, 1);
    }
    if !theme.footer.is_empty() {
        let text = escaped(&theme.footer).replace('\n', "<br>");
        let footer = format!("<footer><hr><small>{text}</small></footer></body>");
        html = html.replacen("</body>", &footer, 1);
    }
    (headers, Html(html))
}

#[cfg(test)]
mod tests {
    use super::super::public_words::ENGLISH;
    use super::*;

    #[test]
    fn a_page_has_color_logo_and_footer_and_no_text_of_them_becomes_html() {
        let theme = ThemeRow {
            color: Some("#0A7f5a".to_owned()),
            logo: Some(MediaId(1)),
            logo_key: Some("abc".to_owned()),
            footer: "Shop <b>\nStreet 1".to_owned(),
        };
        let (_, Html(html)) = dressed(public::page(&ENGLISH, "News", "<p>x</p>"), &theme);
        assert!(html.contains("background:#0A7f5a"), "{html}");
        assert!(html.contains("<img src=\"/m/abc\""), "{html}");
        assert!(html.contains("Shop &lt;b&gt;<br>Street 1</small></footer></body>"), "{html}");
        let (_, Html(plain)) =
            dressed(public::page(&ENGLISH, "News", "<p>x</p>"), &ThemeRow::default());
        let (_, Html(usual)) = public::page(&ENGLISH, "News", "<p>x</p>");
        assert_eq!(plain, usual);
    }

    #[test]
    fn a_color_is_six_digits_and_nothing_that_ends_a_style() {
        assert!(is_color("#0a7f5a"));
        for wrong in ["", "0a7f5a", "#fff", "#0a7f5g", "red", "#0a7f5a;}", "#0a7f5a\n"] {
            assert!(!is_color(wrong), "{wrong:?}");
        }
    }
}
