//! One try of one call.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::payload::{self, Facts};
use super::{PostalKeyError, Shared, postal};
use crate::fetch::pace::{self, Tried};
use crate::fetch::{Answer, Call, FetchError, Url, sign};
use crate::model::*;
use crate::store::{CallEnd, CallRow, EventRow, Secret, StoreError, WebhookChange, WebhookRow};

/// Before a ledger that would not be read or written is asked again.
const LEDGER_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

pub async fn call(
    shared: Arc<Shared>,
    webhook: WebhookRow,
    call: CallRow,
    seat: OwnedSemaphorePermit,
) {
    let look_at = match tried(&shared, &webhook, &call).await {
        Ok(()) => shared.clock.now(),
        Err(error) => {
            tracing::warn!(%error, webhook = %webhook.id, "a call waits for the ledger");
            shared.clock.now() + LEDGER_AGAIN
        }
    };
    shared.leave(webhook.id, call.id, look_at);
    drop(seat);
}

async fn tried(shared: &Shared, webhook: &WebhookRow, call: &CallRow) -> Result<(), StoreError> {
    let body = body(shared, webhook, call).await?;
    let begun = shared.clock.wall();
    let answer = send(shared, webhook, call, body).await;
    let milliseconds = shared.clock.wall().since(begun).as_millis();
    let now = shared.clock.now();
    let (created_at, tries) = (call.created_at, call.tries);
    let facts = Tried { created_at, tries, now, stretch: shared.clock.dice() };
    let verdict = pace::verdict(&facts, &answer);
    if verdict.state != CallState::Delivered && webhook.failing_since.is_none() {
        let (status, text) = (verdict.status, &verdict.text);
        tracing::warn!(webhook = %webhook.id, url = webhook.url, ?status, text, "a webhook fails");
    }
    let turned = webhook.failing_since.is_some() == (verdict.state == CallState::Delivered);
    let changed = turned || verdict.disable.is_some();
    let end = CallEnd {
        call: call.id,
        webhook: webhook.id,
        state: verdict.state,
        due_at: verdict.due_at,
        status: verdict.status,
        text: verdict.text,
        milliseconds: u64::try_from(milliseconds).unwrap_or(u64::MAX),
        at: now,
        disable: verdict.disable,
    };
    shared.store.change_webhook(WebhookChange::End(end)).await?;
    if changed {
        // Whether it fails decides how many calls it gets at once.
        shared.is_stale.store(true, std::sync::atomic::Ordering::Relaxed);
    }
    Ok(())
}

async fn body(
    shared: &Shared,
    webhook: &WebhookRow,
    call: &CallRow,
) -> Result<Vec<u8>, StoreError> {
    if call.events.is_empty() {
        return Ok(match webhook.format {
            WebhookFormat::Postroad => payload::test_body(&webhook.name),
            WebhookFormat::Postal => postal::test_body(&webhook.name, call.created_at),
        });
    }
    let events = shared.store.events_by_id(&call.events).await?;
    let facts = facts(shared, &events).await?;
    Ok(match (webhook.format, events.first()) {
        (WebhookFormat::Postal, Some(event)) => postal::body(event, &facts),
        _ => payload::body(&events, &facts),
    })
}

async fn facts(shared: &Shared, events: &[EventRow]) -> Result<Facts, StoreError> {
    let mut messages: Vec<MessageId> = events.iter().filter_map(|event| event.message).collect();
    messages.sort_unstable();
    messages.dedup();
    let deliveries: Vec<DeliveryId> = events.iter().filter_map(|event| event.delivery).collect();
    let messages = shared.store.messages(&messages).await?;
    let recipients = shared.store.recipients_of(&deliveries).await?;
    Ok(Facts {
        messages: messages.into_iter().map(|message| (message.id, message)).collect(),
        recipients: recipients.into_iter().collect(),
    })
}

async fn send(
    shared: &Shared,
    webhook: &WebhookRow,
    call: &CallRow,
    body: Vec<u8>,
) -> Result<Answer, FetchError> {
    let url = Url::parse(&webhook.url).map_err(|error| FetchError::Unlawful(error.to_string()))?;
    let at = shared.clock.wall();
    let mut secrets: Vec<&Secret> = vec![&webhook.secret];
    if let Some((before, until)) = &webhook.secret_before
        && *until > shared.clock.now()
    {
        secrets.push(before);
    }
    let mut headers = Vec::from(sign::headers(&format!("call_{}", call.id), at, &body, &secrets));
    if webhook.format == WebhookFormat::Postal {
        let signed = async { shared.postal_keys.key().await?.headers(&body) };
        let signed: Result<_, PostalKeyError> = signed.await;
        // Nothing is called unsigned: the call waits, and its log says for what.
        headers.extend(signed.map_err(|error| FetchError::Unlawful(error.to_string()))?);
    }
    let mut request = Call::post(url, "application/json", body);
    request.headers.extend(headers);
    shared.fetcher.call(&request).await
}
