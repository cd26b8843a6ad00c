//! Rows as the rest of the program sees them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::*;

/// A message: sender, where its body lies, what was asked for it.
#[derive(Clone, Debug)]
pub struct MessageRow {
    pub id: MessageId,
    pub organization: OrganizationId,
    pub stream: StreamId,
    /// None for the daemon's own mail.
    pub credential: Option<CredentialId>,
    /// The sending domain (of From), when it is one of ours.
    pub domain: Option<DomainId>,
    pub sender: ReversePath,
    pub eight_bit: bool,
    pub smtputf8: bool,
    pub dsn_return: Option<DsnReturn>,
    pub dsn_envelope_id: Option<String>,
    /// The Message-ID field without angle brackets.
    pub message_id_header: String,
    pub subject: String,
    pub tag: Option<String>,
    /// A JSON object given by the submitter.
    pub metadata: Option<String>,
    pub idempotency_key: Option<String>,
    pub body: BodyRef,
    /// The node whose spool holds the body.
    pub body_node: i64,
    pub accepted_at: Timestamp,
    /// Not sent before; the first due time of its deliveries.
    pub due_at: Timestamp,
    pub expires_at: Timestamp,
    /// 0 transactional, 1 marketing; smaller goes first.
    pub rank: i64,
    /// What it tells of its readers; None: nothing.
    pub tracking: Option<Tracking>,
}

impl MessageRow {
    /// Whose turns it takes.
    pub fn flow(&self) -> Flow {
        Flow { organization: self.organization, stream: self.stream, rank: self.rank }
    }

    /// Its first attempt waits for a moment that was asked for.
    pub fn is_scheduled(&self) -> bool {
        self.due_at > self.accepted_at
    }
}

/// A delivery joined with what an attempt needs of its message.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    pub id: DeliveryId,
    pub recipient: Recipient,
    pub campaign: Option<CampaignId>,
    /// Where a person has sent it; None: as the rules say.
    pub pool: Option<PoolId>,
    /// Where the row stands. In memory it may be at another site, where its domain belongs.
    pub site: SiteId,
    pub tries: u32,
    pub due_at: Timestamp,
    /// How engaged the recipient is, of a hundred; 0 where that is not known.
    pub score: i64,
    /// The report on delay was sent already.
    pub delay_reported: bool,
    /// The last answer or reason that was written down; empty before the first try.
    pub last_text: String,
    pub message: std::sync::Arc<MessageRow>,
}

/// A delivery as lists and `queue show` tell it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeliveryView {
    pub id: DeliveryId,
    pub message: MessageId,
    pub organization: OrganizationId,
    pub sender: ReversePath,
    pub recipient: Address,
    pub state: State,
    pub tries: u32,
    pub accepted_at: Timestamp,
    pub due_at: Timestamp,
    pub expires_at: Timestamp,
    pub text: String,
    pub blame: Option<Blame>,
    pub subject: String,
    pub bytes: u64,
    pub site: SiteId,
}

/// A delivery as the message log tells it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogRow {
    pub delivery: DeliveryId,
    pub message: MessageId,
    pub organization: OrganizationId,
    pub stream: StreamId,
    pub sender: ReversePath,
    pub recipient: Address,
    pub state: State,
    pub tries: u32,
    pub accepted_at: Timestamp,
    pub due_at: Timestamp,
    /// The last answer or reason.
    pub text: String,
    pub subject: String,
    pub message_id_header: String,
    pub tag: Option<String>,
    pub bytes: u64,
    pub site: SiteId,
}

/// One row of the event table.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventRow {
    pub id: EventId,
    pub at: Timestamp,
    pub kind: EventKind,
    pub organization: OrganizationId,
    pub message: Option<MessageId>,
    pub delivery: Option<DeliveryId>,
    pub fields: serde_json::Value,
}

/// Waiting mail of one (site, organization, stream, rank).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub site: SiteId,
    /// The earliest due time among them.
    pub due_at: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OrganizationRow {
    pub id: OrganizationId,
    pub name: String,
    pub created_at: Timestamp,
    /// Its mail is held while this stands here.
    pub suspended_at: Option<Timestamp>,
    pub suspended_reason: Option<String>,
    /// All its mail ends here: kept for two weeks to be looked at, and sent nowhere.
    pub capture: bool,
    /// Mail that is over is listed for so many days; null for good.
    #[serde(default)]
    pub keep_days: Option<u32>,
    /// Octets of mail that are listed: the oldest that is over goes first; null for any.
    #[serde(default)]
    pub keep_bytes: Option<u64>,
    /// The pool of its mail that no rule speaks of; null for the default one.
    #[serde(default)]
    pub pool: Option<PoolId>,
}

#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StreamRow {
    pub id: StreamId,
    pub organization: OrganizationId,
    pub name: String,
    /// "transactional" or "marketing".
    pub class: String,
    /// Its mail waits while this stands here.
    #[serde(default)]
    pub held_at: Option<Timestamp>,
    #[serde(default)]
    pub held_reason: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DomainRow {
    pub id: DomainId,
    pub organization: OrganizationId,
    pub name: Domain,
    pub created_at: Timestamp,
    /// When it was shown to be the organization's; nobody sends from it before.
    #[serde(default)]
    pub verified_at: Option<Timestamp>,
    /// When its records were last looked at.
    #[serde(default)]
    pub checked_at: Option<Timestamp>,
    /// What was found then: each record by purpose and name.
    #[serde(default)]
    pub checked: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CredentialRow {
    pub id: CredentialId,
    pub organization: OrganizationId,
    /// The SMTP user name; unique in the installation.
    pub name: String,
    /// argon2 PHC string; never serialized.
    #[serde(skip)]
    pub secret_hash: String,
    /// The one before the last rotation, while it is still valid; never serialized.
    #[serde(skip)]
    pub secret_hash_before: Option<String>,
    pub stream: StreamId,
    pub rules: CredentialRules,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    /// The last use that was written down, to within some minutes.
    pub used_at: Option<Timestamp>,
}

/// A person who may sign in.
#[derive(Clone, Debug)]
pub struct UserRow {
    pub id: UserId,
    /// In lower case; unique.
    pub email: String,
    pub name: String,
    /// argon2 PHC string.
    pub password_hash: String,
    pub installation_admin: bool,
    /// Base32.
    pub totp_secret: Option<String>,
    /// One whose first code has not been seen yet.
    pub totp_pending: Option<String>,
    /// The last step whose code was taken.
    pub totp_step: i64,
    pub created_at: Timestamp,
    pub disabled_at: Option<Timestamp>,
}

/// What a user is in one organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MemberRow {
    pub organization: OrganizationId,
    pub user: UserId,
    pub email: String,
    pub name: String,
    pub role: Role,
    pub created_at: Timestamp,
}

/// An offer to join; its token is known to who was invited.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InviteRow {
    pub id: InviteId,
    pub organization: OrganizationId,
    pub email: String,
    pub role: Role,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A browser in which a user is signed in.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SessionRow {
    pub id: SessionId,
    pub user: UserId,
    pub address: String,
    pub agent: String,
    pub created_at: Timestamp,
    /// To within some minutes.
    pub seen_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A change, by whom, from what to what.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditRow {
    pub id: AuditId,
    pub at: Timestamp,
    pub organization: Option<OrganizationId>,
    pub actor: String,
    pub action: String,
    pub target: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

/// The public half of a DKIM key; the private half is a file.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DkimKeyRow {
    pub domain: Domain,
    pub selector: String,
    /// "rsa-sha256" or "ed25519-sha256".
    pub algorithm: String,
    /// The TXT record to publish at `selector._domainkey.domain`.
    pub record: String,
    pub created_at: Timestamp,
    /// When a mail that it signed was verified through DNS; it signs from then on.
    #[serde(default)]
    pub proved_at: Option<Timestamp>,
}

/// MX hosts that domains share, or a static route.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SiteRow {
    pub id: SiteId,
    /// Unique; `mx:` and the sorted host names, or `route:` and the route's name.
    pub key: String,
    pub operator: Option<OperatorId>,
}

/// A spool segment as the ledger counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    pub id: SegmentId,
    pub live_bytes: u64,
    /// Bodies in it that some delivery still owes.
    pub live_bodies: u64,
    pub message_last: MessageId,
}

/// How many deliveries stand where; the left side of `postroad check`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Census {
    pub accepted: u64,
    /// Rows whose state is no word that there is.
    #[serde(default)]
    pub damaged: u64,
    pub by_state: std::collections::BTreeMap<State, u64>,
}
