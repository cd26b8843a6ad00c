//! What callers hand to the writer: data, never closures.

use crate::model::*;

use super::audit::AuditLine;
use super::rows::MessageRow;

/// A message with its deliveries, as one unit: all rows commit or none.
#[derive(Clone, Debug)]
pub struct Enqueue {
    pub message: MessageRow,
    pub deliveries: Vec<NewDelivery>,
    /// The part of a campaign's audience that these deliveries are for.
    pub slice: Option<SliceRef>,
    /// Of the audit log, where a person ordered the mail.
    pub line: Option<AuditLine>,
}

/// Which part of whose audience. A part that has been enqueued before is `Duplicate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceRef {
    pub campaign: CampaignId,
    pub slice: i64,
    pub variant: i64,
    /// How many contacts it had at the launch.
    pub count: u64,
}

#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub id: DeliveryId,
    pub recipient: Recipient,
    /// `SiteId::UNROUTED` until routing has answered.
    pub site: SiteId,
    /// Taken into memory by this node in the same breath, so it starts as claimed; and its row
    /// stands among the unrouted, whatever its site, until a settlement names one. Most mail is
    /// delivered at once: its place in the index of what waits would be written for nothing, on
    /// pages as many as there are sites, while all that is fresh shares a few.
    pub claimed: bool,
    /// Whom the mail is made for, of a campaign.
    pub contact: Option<ContactId>,
    /// How warm that contact is, from 0 to 100.
    pub score: i64,
}

/// What lists say of a delivery that was captured.
const CAPTURED: &str = "captured: kept here for a while, and sent nowhere";

impl NewDelivery {
    /// Of a mail that was made for nobody in particular.
    pub fn of(id: DeliveryId, recipient: Recipient, site: SiteId) -> NewDelivery {
        NewDelivery { id, recipient, site, claimed: false, contact: None, score: 0 }
    }

    /// Its first state, and the text beside it.
    pub fn begins(&self, is_leased: bool) -> (State, &'static str) {
        match (is_leased, self.site == SiteId::CAPTURED) {
            (true, _) => (State::Leased, ""),
            (_, true) => (State::Held, CAPTURED),
            _ => (State::Waiting, ""),
        }
    }
}

impl Enqueue {
    /// The events of its acceptance, with their fields.
    pub fn told(&self) -> Vec<(EventKind, serde_json::Value)> {
        let (recipients, bytes) = (self.deliveries.len(), self.message.body.length);
        let mut fields = serde_json::json!({ "recipients": recipients, "bytes": bytes });
        if self.deliveries.iter().all(|delivery| delivery.site == SiteId::CAPTURED) {
            fields["captured"] = true.into();
        }
        let mut told = vec![(EventKind::Accepted, fields)];
        if self.message.is_scheduled() {
            let fields = serde_json::json!({ "until": self.message.due_at });
            told.push((EventKind::Queued, fields));
        }
        told
    }
}

/// One step of one delivery, decided by the caller and guarded by `tries`: it is applied only
/// while the row still counts as many tries as when it was claimed.
#[derive(Clone, Debug)]
pub struct Settle {
    pub delivery: DeliveryId,
    /// Where the row stands from now on; None leaves it where it is.
    pub site: Option<SiteId>,
    pub step: Step,
    /// The number of tries the row had when it was claimed.
    pub tries: u32,
    /// This step was an attempt and counts as one.
    pub counted: bool,
    /// When it is next due; only for steps that lead back to waiting.
    pub due: Timestamp,
    /// Last reply or reason, clipped, and its blame, kept in the row for lists.
    pub text: String,
    pub blame: Option<Blame>,
    /// A final answer may have been given and lost: a later delivery may double the mail.
    pub answer_not_seen: bool,
    pub delay_reported: bool,
    /// The event's fields as a JSON object (source, host, TLS, reply, times …).
    pub fields: serde_json::Value,
    /// What the mail was made of, as JSON, once a host has seen it; None leaves it as it is.
    pub pin: Option<String>,
    pub at: Timestamp,
}

/// Settlements that belong together with the report they cause, in one transaction.
#[derive(Clone, Debug, Default)]
pub struct SettleGroup {
    pub settlements: Vec<Settle>,
    /// A delivery status notification to the sender, enqueued in the same transaction.
    pub report: Option<Box<Enqueue>>,
}

/// What became of one settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The row moved to this state.
    Moved(State),
    /// The row had moved on already (another try count, or gone): nothing was written.
    Stale,
}

/// A bulk change by a person: applied to at most `limit` matching rows a call.
#[derive(Clone, Debug)]
pub struct Steer {
    pub filter: DeliveryFilter,
    pub action: SteerAction,
    pub reason: String,
    pub at: Timestamp,
    /// When what is released or tried again is due.
    pub due: Timestamp,
    pub limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteerAction {
    Hold,
    Release,
    /// Due now.
    Retry,
    Cancel,
    /// By this pool from now on; None: as the rules say.
    Reroute(Option<PoolId>),
}

/// Which deliveries: all conditions must hold; `None` does not limit.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryFilter {
    pub organization: Option<OrganizationId>,
    pub message: Option<MessageId>,
    pub delivery: Option<DeliveryId>,
    pub state: Option<State>,
    /// The recipient's domain.
    pub domain: Option<Domain>,
    /// The envelope sender: a whole address, or a domain when it holds no `@`.
    pub sender: Option<String>,
    /// Only rows with an id below: the cursor of a list that runs from new to old.
    pub before: Option<DeliveryId>,
}
