//! Which events go to which endpoint, in how many calls. Pure.

use super::postal;
use crate::model::{EventId, WebhookFormat};
use crate::store::{EventRow, NewCall, WebhookRow};

/// Events of one call.
pub const EVENTS_PER_CALL_MAX: usize = 100;

/// Calls for a run of events, in the order of the endpoints. What happened before an endpoint was
/// made it is told only by a replay.
pub fn calls_for(events: &[EventRow], webhooks: &[WebhookRow]) -> Vec<NewCall> {
    let calls = |webhook: &WebhookRow| {
        let first = events.partition_point(|event| event.id <= webhook.event_after);
        calls_of(&events[first..], webhook)
    };
    webhooks.iter().filter(|webhook| webhook.enabled).flat_map(calls).collect()
}

/// As if the endpoint were enabled: a replay asks for it by name.
pub fn calls_of(events: &[EventRow], webhook: &WebhookRow) -> Vec<NewCall> {
    let wanted: Vec<EventId> =
        events.iter().filter(|event| wants(webhook, event)).map(|event| event.id).collect();
    let call = |ids: &[EventId]| NewCall {
        webhook: webhook.id,
        organization: webhook.organization,
        events: ids.to_vec(),
    };
    let at_once = match webhook.format {
        WebhookFormat::Postroad => EVENTS_PER_CALL_MAX,
        WebhookFormat::Postal => 1,
    };
    wanted.chunks(at_once).map(call).collect()
}

fn wants(webhook: &WebhookRow, event: &EventRow) -> bool {
    let is_postal = webhook.format == WebhookFormat::Postal;
    let is_meant = webhook.kinds.is_empty() || !postal::is_for_all(event.kind);
    let is_named = !is_postal || (postal::is_told(event) && is_meant);
    is_named
        && event.organization == webhook.organization
        && (webhook.kinds.is_empty() || webhook.kinds.contains(&event.kind))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::model::*;
    use crate::store::Secret;

    pub fn webhook(id: i64, organization: i64, kinds: &[EventKind]) -> WebhookRow {
        WebhookRow {
            id: WebhookId(id),
            organization: OrganizationId(organization),
            name: format!("hook {id}"),
            url: "https://hooks.example/".into(),
            kinds: kinds.to_vec(),
            format: WebhookFormat::Postroad,
            secret: Secret(String::new()),
            secret_before: None,
            enabled: true,
            disabled_reason: None,
            created_at: Timestamp(0),
            failing_since: None,
            succeeded_at: None,
            failed_at: None,
            last_text: String::new(),
            event_after: EventId(0),
        }
    }

    pub fn event(id: i64, organization: i64, kind: EventKind) -> EventRow {
        EventRow {
            id: EventId(id),
            at: Timestamp::from_seconds(id),
            kind,
            organization: OrganizationId(organization),
            message: Some(MessageId(id)),
            delivery: None,
            fields: serde_json::json!({}),
        }
    }

    #[test]
    fn an_endpoint_is_told_of_its_organization_and_its_kinds_only() {
        let events = [
            event(1, 1, EventKind::Accepted),
            event(2, 2, EventKind::Delivered),
            event(3, 1, EventKind::Delivered),
        ];
        let mut off = webhook(3, 1, &[]);
        off.enabled = false;
        let hooks = [webhook(1, 1, &[EventKind::Delivered]), webhook(2, 1, &[]), off];
        let calls = calls_for(&events, &hooks);
        let told: Vec<_> = calls.iter().map(|call| (call.webhook.0, call.events.len())).collect();
        assert_eq!(told, [(1, 1), (2, 2)]);
        assert_eq!(calls[0].events, [EventId(3)]);
    }

    #[test]
    fn what_was_before_an_endpoint_is_told_by_a_replay_alone() {
        let events = [event(1, 1, EventKind::Accepted), event(2, 1, EventKind::Accepted)];
        let mut hook = webhook(1, 1, &[]);
        hook.event_after = EventId(1);
        assert_eq!(calls_for(&events, &[hook.clone()])[0].events, [EventId(2)]);
        assert_eq!(calls_of(&events, &hook)[0].events.len(), 2);
    }

    #[test]
    fn postals_format_tells_what_postal_knows_one_by_one() {
        let events = [
            event(1, 1, EventKind::Accepted),
            event(2, 1, EventKind::Delivered),
            event(3, 1, EventKind::Deferred),
        ];
        let mut hook = webhook(1, 1, &[]);
        hook.format = WebhookFormat::Postal;
        let told: Vec<_> = calls_of(&events, &hook).into_iter().map(|call| call.events).collect();
        assert_eq!(told, [[EventId(2)], [EventId(3)]]);
    }

    #[test]
    fn many_events_are_told_in_calls_of_a_hundred() {
        let events: Vec<EventRow> = (1..=250).map(|id| event(id, 1, EventKind::Accepted)).collect();
        let calls = calls_of(&events, &webhook(1, 1, &[]));
        let sizes: Vec<usize> = calls.iter().map(|call| call.events.len()).collect();
        assert_eq!(sizes, [100, 100, 50]);
    }
}
