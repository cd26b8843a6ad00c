//! /v1/contacts/{id}/story: all that happened between an organization and one person, down to each
//! server's answer.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::contacts::one;
use super::extract::{Path, Query};
use super::problem::Problem;
use crate::contacts::Contact;
use crate::model::*;
use crate::store::{ConsentRow, EventRow, RunRow, Search};

const DAYS_USUAL: u32 = 90;
const DAYS_MAX: u32 = 366;
/// Mails, newest first.
const MAILS_MAX: u32 = 50;
const EVENTS_MAX: u32 = 1000;
const RUNS_MAX: u32 = 50;

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

/// Tell a person's whole story: consents, each mail with every answer of a server, what was opened
/// and clicked, automations.
#[utoipa::path(get, path = "/v1/contacts/{id}/story", tag = "contacts",
    params(("id" = ContactId, Path), Asked),
    responses((status = 200, body = PersonStory)), security(("key" = ["contacts_read"])))]
pub(super) async fn show(
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
    let until = call.clock.now();
    let search = Search {
        scope: Scope::of(organization),
        from: until - Duration::from_secs(u64::from(days) * 86_400),
        until,
        recipient: Address::parse(&contact.email).ok(),
        sender: None,
        message_id: None,
        tag: None,
        state: None,
        subject: None,
        operator: None,
        class: None,
        source: None,
        before: asked.cursor,
        limit: MAILS_MAX,
    };
    let found = call.store.search(&search).await?;
    let messages: Vec<MessageId> = found.rows.iter().map(|row| row.message).collect();
    let deliveries: Vec<DeliveryId> = found.rows.iter().map(|row| row.delivery).collect();
    let mut events: HashMap<DeliveryId, Vec<EventRow>> = HashMap::new();
    for event in call.store.events_of_deliveries(&messages, &deliveries, EVENTS_MAX).await? {
        if let Some(delivery) = event.delivery {
            events.entry(delivery).or_default().push(event);
        }
    }
    let mail = |row: crate::store::LogRow| StoryMail {
        delivery: row.delivery,
        message: row.message,
        sender: row.sender,
        subject: row.subject,
        state: row.state,
        tries: row.tries,
        accepted_at: row.accepted_at,
        text: row.text,
        events: events.remove(&row.delivery).unwrap_or_default(),
    };
    Ok(axum::Json(PersonStory {
        consents: call.store.consents(organization, id).await?,
        next: found.next,
        mails: found.rows.into_iter().map(mail).collect(),
        runs: call.store.runs_of_contact(id, RUNS_MAX).await?,
        contact,
    }))
}
