//! Who may ask what, in whose organization: the first argument of every handler.
//!
//! Owns:       `Call`, without which no handler reaches the store.
//! Promises:   a handler names one need, as a type; it is checked before anything else of the
//!             request is read, and rows outside the caller's scope are as if they were not.
//! Knows not:  how a secret is checked (`auth`), what a handler does.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use super::ApiState;
use super::caller::{Caller, Peer};
use super::problem::Problem;
use crate::model::{OrganizationId, Permission, Scope, Timestamp};

/// Names the organization a call is about, for callers that belong to more than one.
pub const ORGANIZATION_HEADER: &str = "postroad-organization";

/// What the handlers share. Nothing of it can be reached but through a `Call`.
pub struct Shared {
    given: ApiState,
    /// When the deliveries were last counted for the metrics.
    counted_at: Mutex<Option<Timestamp>>,
    document: String,
}

impl Shared {
    pub fn new(given: ApiState, document: String) -> Shared {
        Shared { given, counted_at: Mutex::default(), document }
    }

    pub(super) fn auth(&self) -> Option<&crate::auth::Auth> {
        self.given.auth.as_ref()
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
    shared: Arc<Shared>,
    caller: Option<Caller>,
    scope: Scope,
    need: PhantomData<fn() -> N>,
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

    /// None where nobody has to sign in.
    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    pub(super) fn counted_at(&self) -> &Mutex<Option<Timestamp>> {
        &self.shared.counted_at
    }

    pub(super) fn document(&self) -> String {
        self.shared.document.clone()
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
        let scope = match &caller {
            Some(caller) => chosen(caller.scope(), named(&parts.headers)?)?,
            None => Scope::INSTALLATION,
        };
        if let (Need::Permission(permission), Some(caller)) = (N::NEED, &caller)
            && !caller.permits(permission)
        {
            let detail = format!("this needs the permission {permission}");
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        Ok(Call { shared: api.clone(), caller, scope, need: PhantomData })
    }
}

fn named(headers: &HeaderMap) -> Result<Option<OrganizationId>, Problem> {
    let Some(value) = headers.get(ORGANIZATION_HEADER) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| Problem::of_field(ORGANIZATION_HEADER, "must be an id"))
}

/// The caller's own scope, narrowed to the organization that he named.
fn chosen(own: Scope, named: Option<OrganizationId>) -> Result<Scope, Problem> {
    match named {
        None => Ok(own),
        Some(organization) if own.covers(organization) => Ok(Scope::of(organization)),
        // Not told apart from one that exists and is another's.
        Some(_) => {
            Err(Problem::new(StatusCode::FORBIDDEN, "you do not belong to this organization"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_narrows_his_scope_and_never_widens_it() {
        let (own, other) = (OrganizationId(2), OrganizationId(3));
        assert_eq!(chosen(Scope::INSTALLATION, Some(other)), Ok(Scope::of(other)));
        assert_eq!(chosen(Scope::of(own), None), Ok(Scope::of(own)));
        assert_eq!(chosen(Scope::of(own), Some(own)), Ok(Scope::of(own)));
        assert_eq!(chosen(Scope::of(own), Some(other)).expect_err("refused").status, 403);
    }
}
