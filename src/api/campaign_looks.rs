//! /v1/campaigns/{id}: a campaign looked at before it is launched: preview, checks, test mail.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::campaign_mails::{own_domains, ready};
use super::campaigns::found;
use super::contacts::whole;
use super::extract::Path;
use super::problem::Problem;
use crate::campaign::{Schema, launch, plan, templates};
use crate::compose::Letter;
use crate::compose::template::{Check, Rendered, Template, TemplateError, Weight, checks};
use crate::contacts::Contact;
use crate::model::*;
use crate::queue::NewMessage;
use crate::store::CampaignRow;

const TEST_ADDRESSES_MAX: usize = 10;

/// As whom a campaign is seen.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignSeenAs)]
pub(super) struct SeenAs {
    contact: ContactId,
    /// From 0.
    #[serde(default)]
    variant: usize,
}

/// What a contact would get, and what should be known before a launch.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct CampaignPreview {
    #[serde(flatten)]
    pub rendered: Rendered,
    pub checks: Vec<Check>,
}

async fn rendered<N>(
    call: &Call<N>,
    row: &CampaignRow,
    seen: &SeenAs,
) -> Result<(Template, Rendered, Contact), Problem> {
    let organization = row.organization;
    let no_contact = || Problem::of_field("contact", "there is no such contact");
    let contact = call.store.contact(organization, seen.contact).await?.ok_or_else(no_contact)?;
    let fields = call.store.fields(organization).await?;
    let no_variant = || Problem::of_field("variant", "there is no such variant");
    let variant = row.content.variants.get(seen.variant).ok_or_else(no_variant)?;
    let template = ready(&variant.mail_for(contact.language.as_deref()), &fields).await?;
    let sealer = call.sealer();
    let whole = whole(&call.store, organization, &fields, &[contact], sealer.as_ref()).await?;
    let contact = whole.into_iter().next().ok_or_else(no_contact)?;
    let data = row.content.data.clone();
    let rendering = tokio::task::spawn_blocking(move || {
        let rendered = template.render(&templates::preview_values(&contact, &data))?;
        Ok::<_, TemplateError>((template, rendered, contact))
    });
    Ok(rendering.await.map_err(Problem::ours)??)
}

/// Show a campaign as a contact would get it.
#[utoipa::path(post, path = "/v1/campaigns/{id}/preview", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignPreview)), security(("key" = ["campaigns_read"])))]
pub(super) async fn preview(
    call: Call<needs::CampaignsRead>,
    Path(id): Path<CampaignId>,
    Json(seen): Json<SeenAs>,
) -> Result<axum::Json<CampaignPreview>, Problem> {
    let row = found(&call, id).await?;
    let (template, rendered, _) = rendered(&call, &row, &seen).await?;
    let mut all = checks(&template, &rendered);
    all.extend(launch_checks(&call, &row).await?.1);
    Ok(axum::Json(CampaignPreview { rendered, checks: all }))
}

/// Contacts in the audience now, and what is wrong beside the templates.
async fn launch_checks<N>(call: &Call<N>, row: &CampaignRow) -> Result<(u64, Vec<Check>), Problem> {
    let organization = row.organization;
    let schema = Schema::read(&call.store, organization).await?;
    let saved = call.store.saved_segments(organization).await?;
    let now = call.clock.now();
    let audience = match row.settings.audience.is_empty() {
        true => 0,
        false => {
            let filter = launch::filter(&row.settings, &schema, &saved, now)?;
            call.store.count_contacts(organization, &filter).await?
        }
    };
    let known = plan::Known {
        domains: &own_domains(call, organization).await?,
        keys: &call.store.dkim_keys().await?,
        has_links: call.composer.as_ref().is_some_and(|composer| composer.links().is_some()),
        audience,
        now,
    };
    let files = call.store.media_by_ids(organization, &row.content.attachments).await?;
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let mut all = plan::checks(row, &known);
    all.extend(plan::missing_images(&row.content, &names));
    Ok((audience, all))
}

/// How many would get it now, and what is wrong or doubtful.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct CampaignChecks {
    pub audience: u64,
    pub checks: Vec<Check>,
}

/// Look at a campaign as a launch would.
#[utoipa::path(get, path = "/v1/campaigns/{id}/checks", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignChecks)), security(("key" = ["campaigns_read"])))]
pub(super) async fn look(
    call: Call<needs::CampaignsRead>,
    Path(id): Path<CampaignId>,
) -> Result<axum::Json<CampaignChecks>, Problem> {
    let row = found(&call, id).await?;
    Ok(axum::Json(all_checks(&call, &row).await?))
}

pub(super) async fn all_checks<N>(
    call: &Call<N>,
    row: &CampaignRow,
) -> Result<CampaignChecks, Problem> {
    let (audience, mut all) = launch_checks(call, row).await?;
    let fields = call.store.fields(row.organization).await?;
    for mail in row.content.variants.iter().flat_map(CampaignVariant::mails) {
        let template = ready(&mail, &fields).await?;
        // Nobody in particular: what depends on a contact is told by a preview.
        let data = row.content.data.clone();
        let rendering = tokio::task::spawn_blocking(move || {
            let values = templates::preview_values(&templates::nobody(), &data);
            match template.render(&values) {
                Ok(rendered) => checks(&template, &rendered),
                Err(error) => {
                    let why = format!("it cannot be made for a contact without values: {error}");
                    vec![Check { weight: Weight::Doubtful, why }]
                }
            }
        });
        all.extend(rendering.await.map_err(Problem::ours)?);
    }
    Ok(CampaignChecks { audience, checks: all })
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CampaignTest)]
pub(super) struct Test {
    /// At most ten addresses.
    to: Vec<Address>,
    /// As whom it is made.
    contact: ContactId,
    #[serde(default)]
    variant: usize,
}

/// The messages that were accepted.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct CampaignTested {
    pub messages: Vec<MessageId>,
}

/// Send a campaign as a contact would get it to a few addresses, through the whole way of mail.
#[utoipa::path(post, path = "/v1/campaigns/{id}/test", tag = "campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignTested)), security(("key" = ["campaigns_write"])))]
pub(super) async fn test(
    call: Call<needs::CampaignsWrite>,
    Path(id): Path<CampaignId>,
    Json(test): Json<Test>,
) -> Result<axum::Json<CampaignTested>, Problem> {
    if !(1..=TEST_ADDRESSES_MAX).contains(&test.to.len()) {
        return Err(Problem::of_field("to", "one to ten addresses"));
    }
    let row = found(&call, id).await?;
    let Some(queue) = &call.queue else {
        return Err(Problem::unavailable("mail is sent by the running daemon alone"));
    };
    let seen = SeenAs { contact: test.contact, variant: test.variant };
    let (_, mut rendered, _) = rendered(&call, &row, &seen).await?;
    rendered.subject = format!("[test] {}", rendered.subject);
    let mut messages = Vec::new();
    for to in test.to {
        let id = queue.message_id().await.map_err(Problem::ours)?;
        let new = test_mail(&call, &row, &rendered, to, id).await?;
        messages.push(queue.enqueue(id, new).await.map_err(Problem::ours)?);
    }
    Ok(axum::Json(CampaignTested { messages }))
}

async fn test_mail<N>(
    call: &Call<N>,
    row: &CampaignRow,
    rendered: &Rendered,
    to: Address,
    id: MessageId,
) -> Result<NewMessage, Problem> {
    let sender = ReversePath::parse(&row.content.from).map_err(Problem::ours)?;
    let from = sender.0.as_ref().map(Address::domain);
    let domains = own_domains(call, row.organization).await?;
    let owned = domains.iter().filter(|one| from.is_some_and(|name| name.is_within(&one.name)));
    let domain = owned.max_by_key(|one| one.name.as_str().len()).map(|one| one.id);
    let attached = match &call.composer {
        Some(composer) => {
            let ids = &row.content.attachments;
            composer.attached(&call.store, row.organization, ids).await.map_err(Problem::ours)?
        }
        None => Vec::new(),
    };
    let letter = Letter {
        content: &row.content,
        to_name: "",
        to: &to.to_string(),
        rendered,
        at: call.clock.wall(),
        id: &format!("test.{id}"),
        more: &[],
        attached: &attached,
    };
    let smtputf8 = to.needs_smtputf8();
    let recipient = Recipient { notify: Notify::NEVER, ..Recipient::new(to.clone()) };
    Ok(NewMessage {
        organization: row.organization,
        stream: row.stream,
        credential: None,
        domain,
        envelope: Envelope {
            sender,
            recipients: vec![recipient],
            eight_bit: false,
            smtputf8,
            dsn_return: None,
            dsn_envelope_id: None,
        },
        message_id_header: letter.message_id(),
        subject: rendered.subject.clone(),
        tag: Some("campaign-test".to_owned()),
        metadata: None,
        idempotency_key: None,
        // Somebody waits for it.
        rank: 0,
        tracking: None,
        not_before: None,
        not_after: None,
        line: None,
        body: letter.bytes(),
    })
}
