//! /v1/contacts/{id}/story: all that happened between an organization and one person, down to each
//! server's answer.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use super::ApiState;
use super::access::{Call, needs};
use super::contacts::one;
use super::extract::{Path, Query};
use super::problem::Problem;
use crate::contacts::Contact;
use crate::model::*;
use crate::store::{ConsentRow, Erasure, EventRow, LogRow, RunRow, Search, SteerAction};

const DAYS_USUAL: u32 = 90;
const DAYS_MAX: u32 = 366;
/// Mails, newest first.
const MAILS_MAX: u32 = 50;
const EVENTS_MAX: u32 = 1000;
const RUNS_MAX: u32 = 50;
/// Pages of mails that one erasure goes through; it may be asked for again.
const ERASURES_MAX: usize = 200;
/// Of what is sent by mail.
pub(super) const PAGES_MAILED_MAX: usize = 20;

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// How far back, in days; usually 90, at most 366.
    days: Option<u32>,
    /// Goes on behind this mail.
    cursor: Option<DeliveryId>,
}

/// One mail to the person.
#[derive(Serialize, utoipa::ToSchema)]
pub struct StoryMail {
    delivery: DeliveryId,
    message: MessageId,
    sender: ReversePath,
    subject: String,
    state: State,
    tries: u32,
    accepted_at: Timestamp,
    /// The last answer or reason.
    text: String,
    /// Attempts with the host's answers, opens and clicks, reports; oldest first.
    events: Vec<EventRow>,
}

/// A person's story.
#[derive(Serialize, utoipa::ToSchema)]
pub struct PersonStory {
    contact: Contact,
    /// Who agreed to what, and how; newest first.
    consents: Vec<ConsentRow>,
    /// Newest first.
    mails: Vec<StoryMail>,
    /// To be given as `cursor` for older mails; null at the end.
    next: Option<DeliveryId>,
    /// Ways through automations, newest first.
    runs: Vec<RunRow>,
}

type Found = (Vec<LogRow>, Option<DeliveryId>, HashMap<DeliveryId, Vec<EventRow>>);

/// A page of mails to an address, newest first, and the events of each.
async fn mails(
    api: &ApiState,
    (organization, email): (OrganizationId, &str),
    days: u32,
    before: Option<DeliveryId>,
) -> Result<Found, Problem> {
    // Without an address everybody's mail would be found.
    let Ok(recipient) = Address::parse(email) else { return Ok(Default::default()) };
    let until = api.clock.now();
    let search = Search {
        scope: Scope::of(organization),
        from: until - Duration::from_secs(u64::from(days) * 86_400),
        until,
        recipient: Some(recipient),
        sender: None,
        message_id: None,
        tag: None,
        state: None,
        subject: None,
        operator: None,
        class: None,
        source: None,
        before,
        limit: MAILS_MAX,
    };
    let found = api.store.search(&search).await?;
    let messages: Vec<MessageId> = found.rows.iter().map(|row| row.message).collect();
    let deliveries: Vec<DeliveryId> = found.rows.iter().map(|row| row.delivery).collect();
    let mut events: HashMap<DeliveryId, Vec<EventRow>> = HashMap::new();
    for event in api.store.events_of_deliveries(&messages, &deliveries, EVENTS_MAX).await? {
        if let Some(delivery) = event.delivery {
            events.entry(delivery).or_default().push(event);
        }
    }
    Ok((found.rows, found.next, events))
}

/// Tell a person's whole story: consents, each mail with every answer of a server, what was opened
/// and clicked, automations.
#[utoipa::path(get, path = "/v1/contacts/{id}/story", tag = "contacts",
    params(("id" = ContactId, Path), Asked),
    responses((status = 200, body = PersonStory)), security(("key" = ["contacts_read"])))]
pub(super) async fn story(
    call: Call<needs::ContactsRead>,
    Path(id): Path<ContactId>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<PersonStory>, Problem> {
    let days = asked.days.unwrap_or(DAYS_USUAL);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(Problem::of_field("days", format!("must be between 1 and {DAYS_MAX}")));
    }
    let organization = call.organization();
    let contact = one(&call, organization, id).await?;
    let (rows, next, mut events) =
        mails(&call, (organization, &contact.email), days, asked.cursor).await?;
    Ok(axum::Json(PersonStory {
        consents: call.store.consents(organization, id).await?,
        next,
        mails: rows.into_iter().map(|row| story_mail(row, &mut events)).collect(),
        runs: call.store.runs_of_contact(id, RUNS_MAX).await?,
        contact,
    }))
}

fn story_mail(row: LogRow, events: &mut HashMap<DeliveryId, Vec<EventRow>>) -> StoryMail {
    StoryMail {
        delivery: row.delivery,
        message: row.message,
        sender: row.sender,
        subject: row.subject,
        state: row.state,
        tries: row.tries,
        accepted_at: row.accepted_at,
        text: row.text,
        events: events.remove(&row.delivery).unwrap_or_default(),
    }
}

/// All that is kept about a person, for the person.
#[derive(Serialize, utoipa::ToSchema)]
pub struct PersonExport {
    exported_at: Timestamp,
    contact: Contact,
    consents: Vec<ConsentRow>,
    /// Of the last year, newest first; at most ten thousand.
    mails: Vec<StoryMail>,
    runs: Vec<RunRow>,
}

/// Export all that is kept about a person, as one JSON document to hand over.
#[utoipa::path(get, path = "/v1/contacts/{id}/export", tag = "contacts",
    params(("id" = ContactId, Path)),
    responses((status = 200, body = PersonExport)), security(("key" = ["contacts_read"])))]
pub(super) async fn hand_over(
    call: Call<needs::ContactsRead>,
    Path(id): Path<ContactId>,
) -> Result<impl IntoResponse, Problem> {
    let organization = call.organization();
    let contact = one(&call, organization, id).await?;
    let export = told(&call, organization, contact, ERASURES_MAX).await?;
    let disposition = HeaderValue::from_static("attachment; filename=\"person.json\"");
    Ok(([(header::CONTENT_DISPOSITION, disposition)], axum::Json(export)))
}

/// With the newest mails, so many pages of them.
pub(super) async fn told(
    api: &ApiState,
    organization: OrganizationId,
    contact: Contact,
    pages_max: usize,
) -> Result<PersonExport, Problem> {
    let (mut all, mut before) = (Vec::new(), None);
    for _ in 0..pages_max {
        let (rows, next, mut events) =
            mails(api, (organization, &contact.email), DAYS_MAX, before).await?;
        all.extend(rows.into_iter().map(|row| story_mail(row, &mut events)));
        before = next;
        if before.is_none() {
            break;
        }
    }
    Ok(PersonExport {
        exported_at: api.clock.now(),
        consents: api.store.consents(organization, contact.id).await?,
        mails: all,
        runs: api.store.runs_of_contact(contact.id, RUNS_MAX).await?,
        contact,
    })
}

/// How much was erased.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct PersonErased {
    /// Mails that name nobody now.
    pub mails: u64,
}

/// Erase a person: contact, values, memberships and consents go, and mails of the last year name
/// nobody any more, while every count stays as it is. What the audit log said of the person goes in
/// the same transaction as the contact; who did what stays. What was still owed is cancelled.
/// Bodies end with their retention; suppressions of the address stay, so that nobody writes to it
/// again.
#[utoipa::path(post, path = "/v1/contacts/{id}/erase", tag = "contacts",
    params(("id" = ContactId, Path)),
    responses((status = 200, body = PersonErased)), security(("key" = ["contacts_write"])))]
pub(super) async fn erase(
    call: Call<needs::ContactsWrite>,
    Path(id): Path<ContactId>,
) -> Result<axum::Json<PersonErased>, Problem> {
    let organization = call.organization();
    let contact = one(&call, organization, id).await?;
    let mails = erase_all(&call, organization, &contact).await?;
    Ok(axum::Json(PersonErased { mails }))
}

/// Returns how many mails name nobody now.
pub(super) async fn erase_all<N>(
    call: &Call<N>,
    organization: OrganizationId,
    contact: &Contact,
) -> Result<u64, Problem> {
    let id = contact.id;
    let target = id.to_string();
    let action = ("contact.erased", target.as_str());
    let store = call.audited::<(), ()>(Some(organization), action, None, None)?;
    // Nothing more is made for a contact that is gone.
    let person = call.store.person(organization, id, &contact.email).await?;
    store.erase_person(person).await?;
    let (mut erased, mut before) = (0, None);
    for _ in 0..ERASURES_MAX {
        let (rows, next, events) =
            mails(call, (organization, &contact.email), DAYS_MAX, before).await?;
        let deliveries: Vec<DeliveryId> = rows.iter().map(|row| row.delivery).collect();
        let owed: Vec<DeliveryId> =
            rows.iter().filter(|row| !row.state.is_final()).map(|row| row.delivery).collect();
        if !owed.is_empty() {
            let reason = "the person was erased";
            let at = call.clock.now();
            call.store.steer_these(owed, SteerAction::Cancel, reason, at).await?;
        }
        let messages = rows.iter().map(|row| row.message).collect();
        let events = events.into_values().flatten().collect();
        let erasure = Erasure { organization, deliveries, messages, events };
        erased += call.store.erase_mails(erasure).await?.unsigned_abs();
        before = next;
        if before.is_none() {
            break;
        }
    }
    (call.nudge)();
    Ok(erased)
}
