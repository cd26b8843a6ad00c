//! What a campaign or an automation sends, as a person gives it: written here, or of templates.
//!
//! Owns:       variants, their translations, the files that they carry.
//! Promises:   templates and layouts are copied; what is kept was made ready once.
//! Knows not:  who gets it.

use serde::Deserialize;

use super::ApiState;
use super::access::Call;
use super::problem::Problem;
use crate::campaign::{edit, templates};
use crate::compose::template::Template;
use crate::model::*;
use crate::store::TemplateRow;

const ATTACHMENTS_MAX: usize = 10;
const ATTACHMENT_BYTES_MAX: u64 = 10 << 20;
const TRANSLATIONS_MAX: usize = 20;

/// A layout by its id, or its text as a campaign has copied it.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = CampaignLayoutInput)]
pub(super) enum LayoutInput {
    Id(LayoutId),
    Text(String),
}

/// One version of the mail: a template that is copied, or written here.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VariantInput {
    #[serde(default)]
    template: Option<TemplateId>,
    /// Instead of the template's.
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    kind: Option<TemplateKind>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    layout: Option<LayoutInput>,
    /// The same mail for those who read another language; at most 20.
    #[serde(default)]
    translations: Vec<TranslationInput>,
}

/// A mail instead of the variant's own, for contacts of a language.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignTranslationInput)]
pub(super) struct TranslationInput {
    /// As in `de` or `pt-BR`.
    language: String,
    #[serde(default)]
    template: Option<TemplateId>,
    /// Instead of the template's.
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    kind: Option<TemplateKind>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    layout: Option<LayoutInput>,
}

pub(super) async fn own_domains(
    api: &ApiState,
    organization: OrganizationId,
) -> Result<Vec<crate::store::DomainRow>, Problem> {
    let mut domains = api.store.domains().await?;
    domains.retain(|row| row.organization == organization);
    Ok(domains)
}

/// Files that there are, and that a mail can carry.
pub(super) async fn attachable<N>(
    call: &Call<N>,
    ids: Vec<MediaId>,
) -> Result<Vec<MediaId>, Problem> {
    if ids.len() > ATTACHMENTS_MAX {
        return Err(Problem::of_field("attachments", format!("at most {ATTACHMENTS_MAX} files")));
    }
    let rows = call.store.media_by_ids(call.organization(), &ids).await?;
    if let Some(id) = ids.iter().find(|id| rows.iter().all(|row| row.id != **id)) {
        return Err(Problem::of_field("attachments", format!("there is no file {id}")));
    }
    if rows.iter().map(|row| row.bytes).sum::<u64>() > ATTACHMENT_BYTES_MAX {
        return Err(Problem::of_field("attachments", "they have more than 10 MiB in all"));
    }
    Ok(ids)
}

/// With its translations.
pub(super) async fn written<N>(
    call: &Call<N>,
    mut input: VariantInput,
    fields: &[Field],
) -> Result<CampaignVariant, Problem> {
    let wrong = |why: &str| Problem::of_field("variants.translations", why);
    let inputs = std::mem::take(&mut input.translations);
    if inputs.len() > TRANSLATIONS_MAX {
        return Err(wrong("at most 20 languages"));
    }
    let mut variant = written_once(call, input, fields).await?;
    for input in inputs {
        let language = edit::language(&input.language)?.ok_or_else(|| wrong("of no language"))?;
        let is_it = |one: &CampaignTranslation| one.language.eq_ignore_ascii_case(&language);
        if variant.translations.iter().any(is_it) {
            return Err(wrong(&format!("there are two of {language}")));
        }
        let TranslationInput { template, subject, kind, body, text, layout, .. } = input;
        let translations = Vec::new();
        let mail = VariantInput { template, subject, kind, body, text, layout, translations };
        let mail = written_once(call, mail, fields).await?;
        let CampaignVariant { subject, kind, body, layout, text, .. } = mail;
        let translation = CampaignTranslation { language, subject, kind, body, layout, text };
        variant.translations.push(translation);
    }
    Ok(variant)
}

/// With its template and layout copied into it, and made ready once to see that it can be.
async fn written_once<N>(
    call: &Call<N>,
    input: VariantInput,
    fields: &[Field],
) -> Result<CampaignVariant, Problem> {
    let organization = call.organization();
    let template = match input.template {
        None => None,
        Some(id) => {
            let no_template = || Problem::of_field("variants", "there is no such template");
            Some(call.store.template(organization, id).await?.ok_or_else(no_template)?)
        }
    };
    let of = |field: fn(&TemplateRow) -> &str| template.as_ref().map(|row| field(row).to_owned());
    let missing = |what: &str| Problem::of_field("variants", format!("{what} is missing"));
    let of_template = || template.as_ref().and_then(|row| row.layout).map(LayoutInput::Id);
    let layout = match input.layout.or_else(of_template) {
        None => None,
        Some(LayoutInput::Text(text)) => Some(text),
        Some(LayoutInput::Id(id)) => {
            let layouts = call.store.layouts(organization).await?;
            let found = layouts.into_iter().find(|layout| layout.id == id);
            let no_layout = || Problem::of_field("variants", "there is no such layout");
            Some(found.ok_or_else(no_layout)?.body)
        }
    };
    let kind = input.kind.or(template.as_ref().map(|row| row.kind)).unwrap_or(TemplateKind::Html);
    let body = input.body.or_else(|| of(|row| &row.body)).ok_or_else(|| missing("body"))?;
    let saved = super::templates::saved_for(call, organization, kind).await?;
    let variant = CampaignVariant {
        subject: input
            .subject
            .or_else(|| of(|row| &row.subject))
            .ok_or_else(|| missing("subject"))?,
        kind,
        body: templates::expanded(kind, &body, &saved)?,
        layout,
        text: input.text.or_else(|| template.as_ref().and_then(|row| row.text.clone())),
        translations: Vec::new(),
    };
    ready(&variant, fields).await?;
    Ok(variant)
}

/// Milliseconds of work: others are not kept waiting for them.
pub(super) async fn ready(
    variant: &CampaignVariant,
    fields: &[Field],
) -> Result<Template, Problem> {
    let source = crate::compose::source(variant);
    let names = fields.iter().map(|field| field.name.clone()).collect();
    let making = tokio::task::spawn_blocking(move || Template::make(&source, &names));
    Ok(making.await.map_err(Problem::ours)??)
}
