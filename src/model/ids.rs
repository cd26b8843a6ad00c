//! Identifiers: one type for each thing, all positive and below 2^53 so that JSON keeps them whole.

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
            utoipa::ToSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// A tenant.
    OrganizationId
    /// Transactional or marketing mail of one organization.
    StreamId
    /// A sending domain.
    DomainId
    /// What an application signs in with.
    CredentialId
    /// Sender, headers and body; what `250 2.0.0 queued as …` names.
    MessageId
    /// The debt to one recipient; the unit of the queue.
    DeliveryId
    /// The MX hosts that several domains share.
    SiteId
    /// Who runs a site.
    OperatorId
    /// Where mail leaves from: one of our addresses with its EHLO name, or a relay.
    SourceId
    /// Sources chosen together.
    PoolId
    /// Which mail goes by which pool.
    PoolRuleId
    /// An address that is not written to.
    SuppressionId
    /// One row of the table of limits.
    LimitId
    /// One source at one operator, or one sending domain there, on its way to full volume.
    WarmupId
    /// One automatic change of a limit.
    DecisionId
    /// Mail to many contacts, planned and reported together.
    CampaignId
    /// Mail that a person gets by what has happened to him.
    AutomationId
    /// One contact in one automation.
    RunId
    /// A person whom an organization writes to.
    ContactId
    /// A field that an organization gave its contacts.
    FieldId
    /// Contacts who subscribe to the same thing.
    ListId
    /// A word on contacts.
    TagId
    /// A saved question about contacts.
    SavedSegmentId
    /// A file of contacts on its way in.
    ImportId
    /// A file: an image that mails show, an attachment.
    MediaId
    /// What mails are made of.
    TemplateId
    /// What stands around the bodies of templates.
    LayoutId
    /// Blocks that may stand in many documents.
    SavedBlockId
    /// A row of the record of who agreed to what.
    ConsentId
    /// A customer's endpoint that is told of events.
    WebhookId
    /// One call to such an endpoint, with all its tries.
    WebhookCallId
    /// A person who signs in.
    UserId
    /// One browser in which a person is signed in.
    SessionId
    /// An offer to join an organization.
    InviteId
    /// One line of the audit log.
    AuditId
    /// Answers of one kind that no rule knew.
    UnclassifiedReplyId
    /// A domain that bounces of an organization come back to.
    ReturnDomainId
    /// Where mail for an address of ours goes on to.
    InboundRouteId
    /// A mail that a route owes.
    InboundCallId
    /// A mail that came in, for one recipient.
    InboundMailId
    /// One row of the event table.
    EventId
    /// One file of the body spool.
    SegmentId
}

impl SiteId {
    /// Where the row of a delivery stands until a settlement names its site: its domain has not
    /// been routed yet, or it was taken into memory when it was accepted.
    pub const UNROUTED: SiteId = SiteId(0);
    /// Where captured mail stands: it is held there, and nobody sends from there.
    pub const CAPTURED: SiteId = SiteId(-1);
}

impl OperatorId {
    /// Everybody without a name of his own.
    pub const TAIL: OperatorId = OperatorId(1);
}

impl SourceId {
    /// What is used while no source is declared: the address that the system picks.
    pub const SYSTEM: SourceId = SourceId(0);
}

impl PoolId {
    /// For mail that no rule speaks of.
    pub const DEFAULT: PoolId = PoolId(1);
}

impl OrganizationId {
    /// In events that are about no organization.
    pub const NOBODY: OrganizationId = OrganizationId(0);
    /// The organization that the first migration seeds.
    pub const FIRST: OrganizationId = OrganizationId(1);
}

impl StreamId {
    /// The transactional stream of the first organization: what the daemon itself passes on.
    pub const FIRST: StreamId = StreamId(1);
}
