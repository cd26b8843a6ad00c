//! /v1/messages as the log of mail: searched by who, what and when; its source; sent once more.

use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::Page;
use super::access::{Call, needs};
use super::extract::{Path, Query};
use super::problem::Problem;
use crate::accept::{Arrival, Request, Submission};
use crate::auth::Identity;
use crate::model::*;
use crate::store::{DeliveryFilter, DeliveryView, LogRow, MessageRow, Search};

const LIST_MAX: u32 = 500;
const LIST_USUAL: u32 = 100;
const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
const DAYS_MAX: u32 = 93;
const WORDS_BYTES_MAX: usize = 200;

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Accepted from this moment on; a day before `until`, when it is missing.
    from: Option<Timestamp>,
    /// Accepted up to this moment; now, when it is missing. At most 93 days after `from`.
    until: Option<Timestamp>,
    #[param(value_type = Option<String>)]
    recipient: Option<Address>,
    /// The envelope sender.
    #[param(value_type = Option<String>)]
    sender: Option<Address>,
    /// The Message-ID field, without angle brackets.
    message_id: Option<String>,
    tag: Option<String>,
    state: Option<State>,
    /// Words within the subject, in any case.
    subject: Option<String>,
    /// The name of who runs the recipients' hosts: `google`.
    operator: Option<String>,
    /// The class of an answer: `mailbox_full`.
    class: Option<String>,
    /// The name of the source that an attempt left from.
    source: Option<String>,
    /// `next` of the page before.
    cursor: Option<DeliveryId>,
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
}

impl Asked {
    fn search(
        self,
        scope: Scope,
        operator: Option<OperatorId>,
        now: Timestamp,
    ) -> Result<Search, Problem> {
        let until = self.until.unwrap_or(now);
        let from = self.from.unwrap_or(until - DAY);
        if from > until || until.since(from) > DAY * DAYS_MAX {
            let detail = format!("must lie before until, and at most {DAYS_MAX} days");
            return Err(Problem::of_field("from", detail));
        }
        let limit = self.limit.unwrap_or(LIST_USUAL);
        if !(1..=LIST_MAX).contains(&limit) {
            return Err(Problem::of_field("limit", format!("must be between 1 and {LIST_MAX}")));
        }
        let texts = [
            ("message_id", &self.message_id),
            ("tag", &self.tag),
            ("subject", &self.subject),
            ("class", &self.class),
            ("source", &self.source),
        ];
        for (field, text) in texts {
            let Some(text) = text else { continue };
            if !(1..=WORDS_BYTES_MAX).contains(&text.len()) || text.chars().any(char::is_control) {
                let detail = format!("must be a line of 1 to {WORDS_BYTES_MAX} octets");
                return Err(Problem::of_field(field, detail));
            }
        }
        Ok(Search {
            scope,
            from,
            until,
            recipient: self.recipient,
            sender: self.sender,
            message_id: self.message_id,
            tag: self.tag,
            state: self.state,
            subject: self.subject,
            operator,
            class: self.class,
            source: self.source,
            before: self.cursor,
            limit,
        })
    }
}

/// Search the log of mail, newest first; a page may be empty and yet have a next one.
#[utoipa::path(get, path = "/v1/messages", tag = "messages", params(Asked),
    responses((status = 200, body = Page<LogRow>)), security(("key" = ["messages_read"])))]
pub(super) async fn search(
    call: Call<needs::MessagesRead>,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<LogRow>>, Problem> {
    let operator = match &asked.operator {
        None => None,
        Some(name) => {
            let known = call.store.operators().await?;
            let named = known.iter().find(|row| row.name == *name);
            let none = || Problem::of_field("operator", "there is no such operator");
            Some(named.ok_or_else(none)?.id)
        }
    };
    let search = asked.search(call.scope(), operator, call.clock.now())?;
    let found = call.store.search(&search).await?;
    let next = found.next.map(|delivery| delivery.to_string());
    Ok(axum::Json(Page { items: found.rows, next }))
}

/// The caller's message of this id.
async fn message<N>(call: &Call<N>, id: MessageId) -> Result<MessageRow, Problem> {
    let row = call.store.message(id).await?;
    let own = row.filter(|row| call.scope().covers(row.organization));
    own.ok_or_else(|| Problem::not_found("there is no such message"))
}

/// A campaign's mails have no source that lies anywhere; of what kind one is, its own answer says.
pub(super) async fn source_state<N>(call: &Call<N>, row: &MessageRow) -> MailSource {
    if row.body.is_recipe() {
        return MailSource::RenderedAnew;
    }
    let Some(queue) = &call.queue else { return MailSource::Gone };
    match queue.spool().size_of(row.body.segment).await {
        Ok(size) if size > row.body.offset => MailSource::Kept,
        _ => MailSource::Gone,
    }
}

async fn body<N>(call: &Call<N>, row: &MessageRow) -> Result<bytes::Bytes, Problem> {
    let stopped = || Problem::conflict("no daemon is running");
    let queue = call.queue.as_ref().ok_or_else(stopped)?;
    if row.body.is_recipe() {
        let detail = "mail of a campaign has a source for each delivery";
        return Err(Problem::of_field("delivery", detail));
    }
    queue.spool().read(row.body).await.map_err(|error| {
        // Its segment goes once nothing in it is owed and it is old enough.
        tracing::debug!(message = %row.id, reason = %error, "a source cannot be read");
        Problem::not_found("the mail is over, and its source is no longer kept (spool.keep_for)")
    })
}

/// The mail of one delivery of a campaign, made again.
async fn rendered<N>(
    call: &Call<N>,
    row: &MessageRow,
    delivery: Option<DeliveryId>,
) -> Result<(bytes::Bytes, MailSource), Problem> {
    let named = delivery.ok_or_else(|| {
        Problem::of_field("delivery", "name one: mail of a campaign is made for each")
    })?;
    let found = call.store.deliveries_by_id(&[named]).await?.pop();
    let (_, found) = found
        .filter(|(_, found)| found.message.id == row.id)
        .ok_or_else(|| Problem::of_field("delivery", "it is not of this message"))?;
    let stopped = || Problem::conflict("no daemon is running");
    let composer = call.composer.as_ref().ok_or_else(stopped)?;
    let made = composer.recipe_source(&found).await;
    let (mail, is_pinned) = made
        .map_err(|error| Problem::not_found(format!("the mail cannot be made again: {error}")))?;
    let state = if is_pinned { MailSource::RenderedFromPin } else { MailSource::RenderedAnew };
    Ok((mail, state))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of a campaign: whose mail.
    delivery: Option<DeliveryId>,
}

/// The mail before it is signed: as it lies on disk, while a delivery of it is owed and as long as
/// `spool.keep_for` says; mail of a campaign is made again. The header `Postroad-Source` says it.
#[utoipa::path(get, path = "/v1/messages/{id}/raw", tag = "messages",
    params(("id" = MessageId, Path, description = "The message"), Which),
    responses((status = 200, body = String, content_type = "message/rfc822",
        headers(("Postroad-Source" = String, description = "How it was had")))),
    security(("key" = ["messages_read"])))]
pub(super) async fn raw(
    call: Call<needs::MessagesRead>,
    Path(id): Path<MessageId>,
    Query(which): Query<Which>,
) -> Result<impl IntoResponse, Problem> {
    let row = message(&call, id).await?;
    let (body, state) = match row.body.is_recipe() {
        true => rendered(&call, &row, which.delivery).await?,
        false => (body(&call, &row).await?, MailSource::Kept),
    };
    let headers = [
        (HeaderName::from_static("postroad-source"), state.word()),
        (header::CONTENT_TYPE, "message/rfc822"),
        // What a stranger wrote is no page of ours.
        (header::CONTENT_DISPOSITION, "attachment; filename=\"message.eml\""),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
    ];
    Ok((headers, body))
}

/// Send the mail of a delivery once more to its recipient, as a message of its own.
#[utoipa::path(post, path = "/v1/deliveries/{id}/resend", tag = "deliveries",
    params(("id" = DeliveryId, Path, description = "The delivery")),
    responses((status = 200, body = DeliveryView)), security(("key" = ["messages_steer"])))]
pub(super) async fn resend(
    call: Call<needs::MessagesSteer>,
    Path(id): Path<DeliveryId>,
) -> Result<axum::Json<DeliveryView>, Problem> {
    let none = || Problem::not_found("there is no such delivery");
    let (organization, delivery) = (call.scope().organization(), Some(id));
    let filter = DeliveryFilter { organization, delivery, ..DeliveryFilter::default() };
    let old = call.store.list_deliveries(&filter, 1).await?.pop().ok_or_else(none)?;
    if old.site == SiteId::CAPTURED {
        return Err(Problem::conflict("captured mail is sent nowhere"));
    }
    let row = message(&call, old.message).await?;
    let mail = body(&call, &row).await?;
    let door = call.door.as_ref().ok_or_else(|| Problem::conflict("no daemon is running"))?;
    let identity = Identity {
        credential: None,
        name: call.caller().map(super::caller::Caller::name).unwrap_or_default(),
        organization: row.organization,
        stream: row.stream,
        rules: Default::default(),
    };
    let envelope = Envelope {
        sender: row.sender.clone(),
        recipients: vec![Recipient::new(old.recipient.clone())],
        eight_bit: row.eight_bit,
        smtputf8: row.smtputf8,
        dsn_return: None,
        dsn_envelope_id: None,
    };
    let peer = call.origin().address;
    let arrival = Arrival { peer, ehlo: "api".to_owned(), protocol: "HTTP", tls: None };
    let submission = Submission { identity, envelope, mail, arrival };
    let track = Some(row.tracking.unwrap_or(Tracking::None));
    let (tag, metadata, line) = (row.tag, row.metadata, call.store.line());
    let request = Request { tag, metadata, track, line, ..Request::default() };
    let sent = door.submit_with(submission, request).await.map_err(super::send::refused)?;
    let target = id.to_string();
    let action = ("delivery.resent", target.as_str());
    call.told(Some(row.organization), action, &sent).await?;
    let filter = DeliveryFilter { message: Some(sent), ..DeliveryFilter::default() };
    let made = call.store.list_deliveries(&filter, 1).await?.pop().ok_or_else(none)?;
    Ok(axum::Json(made))
}
