//! Who may ask what, in whose organization: the first argument of every handler.
//!
//! Owns:       `Call`, without which no handler reaches the store.
//! Promises:   a handler names one need, as a type; it is checked before anything else of the
//!             request is read, and rows outside the caller's scope are as if they were not.
//! Knows not:  how a secret is checked (`auth`), what a handler does.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use moka::sync::Cache;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Semaphore;

use super::ApiState;
use super::caller::{Caller, Peer, address_of, may_change};
use super::problem::Problem;
use super::trail::Trail;
use crate::auth::people::Person;
use crate::campaign::subscribe::Doorman;
use crate::compose::template::Template;
use crate::model::{OrganizationId, Permission, Scope, TemplateId, Timestamp};
use crate::store::{AuditEntry, AuditLine, Store};
use crate::token::Sealer;

/// Names the organization a call is about, for callers that belong to more than one.
pub const ORGANIZATION_HEADER: &str = "postroad-organization";

/// What the handlers share. Nothing of it can be reached but through a `Call`.
pub struct Shared {
    given: ApiState,
    /// When the deliveries were last counted for the metrics.
    counted_at: Mutex<Option<Timestamp>>,
    document: String,
    /// By method and path.
    operations: HashMap<(String, String), String>,
    /// Streams of events that may be open at once.
    stream_places: Arc<Semaphore>,
    /// Requests of readers that wait for the database.
    public_places: Arc<Semaphore>,
    doorman: Doorman,
    made_templates: MadeTemplates,
    /// The first administrator is made once.
    setting_up: tokio::sync::Mutex<()>,
}

/// Templates made ready for mail of applications, by revision and by the moment of their layout.
pub(super) type MadeTemplates = Cache<(TemplateId, u64, Timestamp), Template>;

const STREAMS_MAX: usize = 100;
const TEMPLATES_MAX: u64 = 200;
const READERS_WAITING_MAX: usize = 4096;

impl Shared {
    pub fn new(
        given: ApiState,
        document: String,
        operations: HashMap<(String, String), String>,
    ) -> Shared {
        let stream_places = Arc::new(Semaphore::new(STREAMS_MAX));
        let public_places = Arc::new(Semaphore::new(READERS_WAITING_MAX));
        Shared {
            given,
            counted_at: Mutex::default(),
            document,
            operations,
            stream_places,
            public_places,
            doorman: Doorman::default(),
            made_templates: MadeTemplates::new(TEMPLATES_MAX),
            setting_up: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn auth(&self) -> Option<&crate::auth::Auth> {
        self.given.auth.as_ref()
    }

    pub(super) fn store(&self) -> &Store {
        &self.given.store
    }

    /// The name of the operation at a path, as the document has it.
    pub(super) fn operation(&self, method: &Method, path: &str) -> Option<&str> {
        let key = (method.as_str().to_lowercase(), path.to_owned());
        self.operations.get(&key).map(String::as_str)
    }

    pub(super) fn clock(&self) -> &crate::clock::Clock {
        &self.given.clock
    }
}

/// What a handler needs of its caller.
pub enum Need {
    /// Nobody has to sign in.
    Nothing,
    /// On this host everybody may ask; from elsewhere one signs in.
    Nearness,
    /// To be signed in, as whomever.
    Name,
    Permission(Permission),
}

pub trait Needs {
    const NEED: Need;
}

/// One type for each need; `Call<needs::MessagesRead>` is the whole check of a handler.
pub mod needs {
    use super::{Need, Needs, Permission};

    macro_rules! needs {
        ($($name:ident)*) => {$(
            pub struct $name;
            impl Needs for $name {
                const NEED: Need = Need::Permission(Permission::$name);
            }
        )*};
    }

    needs! {
        Send MessagesRead MessagesSteer DomainsRead DomainsWrite CredentialsRead CredentialsWrite
        DeliveryRead DeliveryWrite SuppressionsRead SuppressionsWrite ContactsRead ContactsWrite
        CampaignsRead CampaignsWrite WebhooksRead WebhooksWrite PeopleRead PeopleWrite
        SettingsRead SettingsWrite AuditRead Installation
    }

    pub struct Anybody;
    impl Needs for Anybody {
        const NEED: Need = Need::Nothing;
    }

    pub struct Onlooking;
    impl Needs for Onlooking {
        const NEED: Need = Need::Nearness;
    }

    pub struct SignedIn;
    impl Needs for SignedIn {
        const NEED: Need = Need::Name;
    }
}

/// A request whose caller was let in for `N`. It is the store, the queue and so on
/// (`call.store`), and says whose rows it may touch (`call.scope()`, `call.organization()`).
pub struct Call<N> {
    /// What is changed through it is told in the audit log: the first change of an operation takes
    /// the line along, in its own transaction.
    pub store: Store,
    shared: Arc<Shared>,
    caller: Option<Caller>,
    scope: Scope,
    origin: Origin,
    trail: Trail,
    need: PhantomData<fn() -> N>,
}

/// Where a request came from.
pub struct Origin {
    pub address: IpAddr,
    /// The User-Agent, as it says itself.
    pub agent: String,
    /// The languages that the browser asks for (Accept-Language).
    pub languages: String,
    /// On this very host, so that cookies may do without TLS.
    pub is_local: bool,
    /// By the browser's word one of our own pages has asked, or it is no browser.
    pub is_own_page: bool,
    /// Of a stream of events that was broken off.
    pub last_event_id: Option<i64>,
}

impl Origin {
    fn of(parts: &Parts) -> Origin {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let peer = parts.extensions.get::<Peer>();
        let is_browser = text("sec-fetch-site").is_some() || text("origin").is_some();
        Origin {
            address: address_of(parts).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            agent: text("user-agent").unwrap_or_default().to_owned(),
            languages: text("accept-language").unwrap_or_default().to_owned(),
            is_local: peer.is_some_and(|peer| peer.is_local(&parts.headers)),
            is_own_page: !is_browser || may_change(parts).is_ok(),
            last_event_id: text("last-event-id").and_then(|text| text.parse().ok()),
        }
    }
}

impl<N> Deref for Call<N> {
    type Target = ApiState;
    fn deref(&self) -> &ApiState {
        &self.shared.given
    }
}

impl<N> Call<N> {
    /// Whose rows may be read or changed. The operator and installation admins see all, unless
    /// they named an organization.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// In which organization something is made. Who sees all and named none acts in the first.
    pub fn organization(&self) -> OrganizationId {
        self.scope.organization().unwrap_or(OrganizationId::FIRST)
    }

    /// The organization that a body names, if the caller may act there.
    pub fn organization_or(
        &self,
        named: Option<OrganizationId>,
    ) -> Result<OrganizationId, Problem> {
        match named {
            Some(other) if !self.scope.covers(other) => {
                Err(Problem::of_field("organization", "there is no such organization"))
            }
            Some(named) => Ok(named),
            None => Ok(self.organization()),
        }
    }

    /// The person who is signed in; not a credential, not the operator.
    pub fn person(&self) -> Result<&Person, Problem> {
        match &self.caller {
            Some(Caller::User(person)) => Ok(person),
            _ => Err(Problem::new(StatusCode::FORBIDDEN, "only a user who is signed in has this")),
        }
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The store, and what the line in the audit log says in words of the handler's own. An empty
    /// `target` stands for the id that the change gives.
    pub fn audited<B: Serialize, A: Serialize>(
        &self,
        organization: Option<OrganizationId>,
        (action, target): (&'static str, &str),
        before: Option<&B>,
        after: Option<&A>,
    ) -> Result<Store, Problem> {
        let entry = self.entry(organization, (action, target), before, after)?;
        Ok(match self.trail.say(entry.clone()) {
            Some(_) => self.store.clone(),
            None => self.store.audited(entry),
        })
    }

    /// What the line in the audit log says, now that all is done.
    pub async fn told<A: Serialize>(
        &self,
        organization: Option<OrganizationId>,
        what: (&'static str, &str),
        after: &A,
    ) -> Result<(), Problem> {
        let entry = self.entry::<(), _>(organization, what, None, Some(after))?;
        let line = self.trail.say_at_last(entry.clone()).unwrap_or_else(|| AuditLine::new(entry));
        Ok(self.store.tell(&line).await?)
    }

    fn entry<B: Serialize, A: Serialize>(
        &self,
        organization: Option<OrganizationId>,
        (action, target): (&'static str, &str),
        before: Option<&B>,
        after: Option<&A>,
    ) -> Result<AuditEntry, Problem> {
        let actor = self.caller.as_ref().map_or_else(|| "nobody".to_owned(), Caller::name);
        Ok(AuditEntry {
            organization,
            actor,
            action: action.to_owned(),
            target: target.to_owned(),
            before: before.map(serde_json::to_value).transpose().map_err(Problem::ours)?,
            after: after.map(serde_json::to_value).transpose().map_err(Problem::ours)?,
        })
    }

    /// What opens encrypted fields, if the caller may see them.
    pub fn sealer(&self) -> Option<Sealer> {
        let may = |caller: &Caller| caller.permits(Permission::ContactsReveal, self.scope);
        self.caller.as_ref().filter(|caller| may(caller)).map(|_| self.store.sealer())
    }

    /// None where nobody has to sign in.
    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    pub(super) fn counted_at(&self) -> &Mutex<Option<Timestamp>> {
        &self.shared.counted_at
    }

    pub(super) fn made_templates(&self) -> &MadeTemplates {
        &self.shared.made_templates
    }

    pub(super) fn doorman(&self) -> &Doorman {
        &self.shared.doorman
    }

    pub(super) fn public_places(&self) -> &Arc<Semaphore> {
        &self.shared.public_places
    }

    pub(super) fn setting_up(&self) -> &tokio::sync::Mutex<()> {
        &self.shared.setting_up
    }

    pub(super) fn stream_places(&self) -> &Arc<Semaphore> {
        &self.shared.stream_places
    }

    pub(super) fn document(&self) -> String {
        self.shared.document.clone()
    }
}

impl<N: Needs> Call<N> {
    /// For a caller who signed in otherwise than /v1 asks it; he is checked as everybody is.
    pub(super) fn let_in(
        api: &Arc<Shared>,
        parts: &Parts,
        caller: Caller,
    ) -> Result<Call<N>, Problem> {
        Call::checked(api, parts, Some(caller))
    }

    fn checked(
        api: &Arc<Shared>,
        parts: &Parts,
        caller: Option<Caller>,
    ) -> Result<Call<N>, Problem> {
        let scope = match &caller {
            Some(caller) => caller.scope(named(&parts.headers)?)?,
            None => Scope::INSTALLATION,
        };
        if let (Need::Permission(permission), Some(caller)) = (N::NEED, &caller) {
            check(caller, permission, scope)?;
        }
        let origin = Origin::of(parts);
        let trail = parts.extensions.get::<Trail>().cloned().unwrap_or_default();
        let actor = caller.as_ref().map_or_else(|| "nobody".to_owned(), Caller::name);
        let store = match trail.came(actor, scope.organization()) {
            Some(line) => api.store().telling(line),
            None => api.store().clone(),
        };
        Ok(Call { store, shared: api.clone(), caller, scope, origin, trail, need: PhantomData })
    }
}

impl<N: Needs> FromRequestParts<Arc<Shared>> for Call<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Shared>) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<Peer>().copied();
        let local = peer.is_some_and(|peer| peer.is_local(&parts.headers));
        let caller = match N::NEED {
            Need::Nothing => None,
            Need::Nearness if local => None,
            _ => Some(Caller::from_request_parts(parts, api).await?),
        };
        Call::checked(api, parts, caller)
    }
}

fn named(headers: &HeaderMap) -> Result<Option<OrganizationId>, Problem> {
    let Some(value) = headers.get(ORGANIZATION_HEADER) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| Problem::of_field(ORGANIZATION_HEADER, "must be an id"))
}

fn check(caller: &Caller, permission: Permission, scope: Scope) -> Result<(), Problem> {
    if scope == Scope::NOTHING {
        let detail = format!("name the organization in the header {ORGANIZATION_HEADER}");
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    match caller.permits(permission, scope) {
        true => Ok(()),
        false => {
            let detail = format!("this needs the permission {permission}");
            Err(Problem::new(StatusCode::FORBIDDEN, detail))
        }
    }
}
