//! The words of the trade, as types: what every other module speaks in.
//!
//! Owns:       identifiers, addresses, envelopes, replies, classes, outcomes, states, limits,
//!             events.
//! Promises:   each type can only hold a lawful value; printing and parsing are inverse.
//! Knows not:  time sources, files, sockets, SQL.

pub mod address;
pub mod automation;
pub mod campaign;
pub mod certificate;
pub mod class;
pub mod contact;
pub mod credential;
pub mod engagement;
pub mod envelope;
pub mod event;
pub mod flow;
pub mod health;
pub mod ids;
pub mod inbound;
pub mod limit;
pub mod limits;
pub mod moment;
pub mod operator;
pub mod outcome;
pub mod own;
pub mod permission;
pub mod reply;
pub mod report;
pub mod scope;
pub mod source;
pub mod state;
pub mod steering;
pub mod suppression;
pub mod text;
pub mod time;
pub mod tracking;
pub mod transport;
pub mod warmup;
pub mod webhook;

pub use address::{Address, AddressError, Domain, ReversePath};
pub use automation::{
    AutomationDefinition, AutomationEntry, AutomationState, AutomationStep, AutomationStepping,
    EntryKind, RunEnd, RunState, StepDone,
};
pub use campaign::{
    AbTest, Audience, CampaignAgain, CampaignContent, CampaignSettings, CampaignState,
    CampaignStep, CampaignTracking, CampaignTranslation, CampaignVariant, Pin, PinnedPerson,
    SendingWindow, Throttle, Utm,
};
pub use certificate::{CertificateOrigin, HostLook};
pub use class::{
    Category, Class, Classification, Disposition, RetryProfile, Signal, Suppress, SuppressScope,
};
pub use contact::{
    ConsentAction, ContactStatus, DateOrder, Field, FieldKind, FieldValue, ImportMode, ImportState,
    ListVisibility, MembershipStatus, OptIn, Slot, Stored, TemplateKind,
};
pub use credential::{CredentialRules, SenderRule};
pub use envelope::{BodyRef, DsnReturn, Envelope, Mail, MailSource, Notify, Recipient};
pub use event::EventKind;
pub use flow::{Flow, TakeOrder};
pub use health::{Share, WindowCounts, WindowKind, WindowRate, WindowStanding, WindowSubject};
pub use ids::*;
pub use inbound::{InboundCallState, InboundFate, ReturnStanding, RouteAction, RouteFormat};
pub use limit::{
    Attempt, Denial, FromScope, Limit, LimitScope, Metric, Origin, Pace, StreamClass, ToScope,
    WhoScope,
};
pub use outcome::{Blame, Outcome};
pub use own::Own;
pub use permission::{Permission, Role, Scope};
pub use reply::{Enhanced, Reply};
pub use report::{FeedbackType, ReportKind};
pub use source::{
    Check, Finding, HealthState, PoolMatch, PoolMember, PoolRow, PoolRule, RelayKind, SourceHealth,
    SourceKind, SourceOrigin, SourceRow, SourceState, Verdict,
};
pub use state::{State, Step, next};
pub use steering::{HoldMatch, HoldRule, Pattern, Trace};
pub use suppression::{BouncePolicy, SuppressedPolicy, SuppressionReason, SuppressionScope};
pub use text::clipped_to;
pub use time::Timestamp;
pub use tracking::Tracking;
pub use transport::{IpPreference, RelayMechanism, TlsMode};
pub use warmup::{
    DECISION_SAMPLES_MAX, Decision, DecisionRule, DecisionState, Marks, WarmSubject, WarmupState,
    WarmupVerdict,
};
pub use webhook::{CallState, WebhookFormat};
