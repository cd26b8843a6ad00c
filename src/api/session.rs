//! /v1/session and /v1/account: signing in and out, one's own sessions, password, second factor.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, Origin, needs};
use super::body::Json;
use super::caller::{Caller, SESSION_COOKIE, refusal};
use super::extract::Path;
use super::problem::Problem;
use crate::auth::people::{Browser, Person, SESSION_LIFE, lawful_password};
use crate::auth::{Auth, hash_secret};
use crate::model::{OrganizationId, Permission, Role, Scope, SessionId, UserId};
use crate::store::SessionRow;

/// Nobody is signed in on a stopped store.
pub(super) fn auth_of<N>(call: &Call<N>) -> Result<&Auth, Problem> {
    call.auth.as_ref().ok_or_else(|| Problem::conflict("no daemon is running"))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    email: String,
    password: String,
    /// Of the authenticator, or a recovery code; for who has a second factor.
    #[serde(default)]
    code: Option<String>,
}

/// Who is asking, and what he may do where.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Who {
    /// `operator`, `credential` or `user`.
    kind: &'static str,
    user: Option<UserId>,
    email: Option<String>,
    name: String,
    installation_admin: bool,
    second_factor: bool,
    organizations: Vec<Belonging>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Belonging {
    organization: OrganizationId,
    /// None for a credential.
    role: Option<Role>,
    permissions: Vec<Permission>,
}

impl Who {
    fn of_person(person: &Person) -> Who {
        let belonging = |member: &crate::store::MemberRow| Belonging {
            organization: member.organization,
            role: Some(member.role),
            permissions: of_role(member.role),
        };
        Who {
            kind: "user",
            user: Some(person.user.id),
            email: Some(person.user.email.clone()),
            name: person.user.name.clone(),
            installation_admin: person.user.installation_admin,
            second_factor: person.user.totp_secret.is_some(),
            organizations: person.memberships.iter().map(belonging).collect(),
        }
    }

    fn of(caller: &Caller) -> Who {
        let nobody = |kind, name: &str, organizations| Who {
            kind,
            user: None,
            email: None,
            name: name.to_owned(),
            installation_admin: kind == "operator",
            second_factor: false,
            organizations,
        };
        match caller {
            Caller::User(person) => Who::of_person(person),
            Caller::Operator => nobody("operator", "operator", Vec::new()),
            Caller::Credential(identity) => {
                let scope = Scope::of(identity.organization);
                let may = |permission: &Permission| caller.permits(*permission, scope);
                let own = Belonging {
                    organization: identity.organization,
                    role: None,
                    permissions: Permission::ALL.iter().copied().filter(may).collect(),
                };
                nobody("credential", &identity.name, vec![own])
            }
        }
    }
}

fn of_role(role: Role) -> Vec<Permission> {
    Permission::ALL.iter().copied().filter(|permission| role.permits(*permission)).collect()
}

/// The cookie that a browser keeps; an empty token takes it away.
fn cookie(token: &str, origin: &Origin) -> Result<HeaderMap, Problem> {
    let age = if token.is_empty() { 0 } else { SESSION_LIFE.as_secs() };
    let secure = if origin.is_local { "" } else { "; Secure" };
    let text = format!(
        "{SESSION_COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}"
    );
    let value = HeaderValue::from_str(&text).map_err(Problem::ours)?;
    Ok(HeaderMap::from_iter([(header::SET_COOKIE, value)]))
}

/// Sign in; the answer sets the cookie of the session.
#[utoipa::path(post, path = "/v1/session", tag = "session",
    responses((status = 200, body = Who), (status = 401, body = Problem,
        content_type = "application/problem+json",
        description = "The address, the password or the code is wrong; or `code` is needed")))]
pub(super) async fn sign_in(
    call: Call<needs::Anybody>,
    Json(given): Json<SignIn>,
) -> Result<(HeaderMap, axum::Json<Who>), Problem> {
    let origin = call.origin();
    if !origin.is_own_page {
        return Err(Problem::new(StatusCode::FORBIDDEN, "another site has asked for this"));
    }
    let browser = Browser { address: origin.address, agent: &origin.agent };
    let SignIn { email, password, code } = given;
    let auth = auth_of(&call)?;
    let signed_in = auth.sign_in(&email, &password, code.as_deref(), browser).await;
    let (token, person) = signed_in.map_err(refusal)?;
    Ok((cookie(&token, origin)?, axum::Json(Who::of_person(&person))))
}

/// Tell who is signed in, and what he may do.
#[utoipa::path(get, path = "/v1/session", tag = "session",
    responses((status = 200, body = Who)), security(("key" = [])))]
pub(super) async fn who(call: Call<needs::SignedIn>) -> Result<axum::Json<Who>, Problem> {
    let caller = call.caller().ok_or_else(|| Problem::not_found("nobody is signed in"))?;
    Ok(axum::Json(Who::of(caller)))
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Ended {
    session: SessionId,
}

/// Sign out.
#[utoipa::path(delete, path = "/v1/session", tag = "session",
    responses((status = 200, body = Ended)), security(("key" = [])))]
pub(super) async fn sign_out(
    call: Call<needs::SignedIn>,
) -> Result<(HeaderMap, axum::Json<Ended>), Problem> {
    let person = call.person()?;
    let session = person.session;
    auth_of(&call)?.sign_out(person, session).await.map_err(refusal)?;
    Ok((cookie("", call.origin())?, axum::Json(Ended { session })))
}

/// List one's own sessions.
#[utoipa::path(get, path = "/v1/account/sessions", tag = "account",
    responses((status = 200, body = Page<SessionRow>)), security(("key" = [])))]
pub(super) async fn sessions(
    call: Call<needs::SignedIn>,
) -> Result<axum::Json<Page<SessionRow>>, Problem> {
    let sessions = auth_of(&call)?.sessions(call.person()?).await.map_err(refusal)?;
    Ok(Page::whole(sessions))
}

/// End one of one's own sessions.
#[utoipa::path(delete, path = "/v1/account/sessions/{id}", tag = "account",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 200, body = Ended)), security(("key" = [])))]
pub(super) async fn end_session(
    call: Call<needs::SignedIn>,
    Path(id): Path<SessionId>,
) -> Result<axum::Json<Ended>, Problem> {
    let person = call.person()?;
    match auth_of(&call)?.sign_out(person, id).await.map_err(refusal)? {
        true => Ok(axum::Json(Ended { session: id })),
        false => Err(Problem::not_found("there is no such session")),
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    current: String,
    new: String,
    /// For who has a second factor.
    #[serde(default)]
    code: Option<String>,
}

/// Choose another password; all other sessions end.
#[utoipa::path(post, path = "/v1/account/password", tag = "account",
    responses((status = 200, body = Who)), security(("key" = [])))]
pub(super) async fn set_password(
    call: Call<needs::SignedIn>,
    Json(given): Json<NewPassword>,
) -> Result<axum::Json<Who>, Problem> {
    let person = call.person()?;
    lawful_password(&given.new).map_err(|why| Problem::of_field("new", why))?;
    prove(&call, person, &given.current, given.code.as_deref()).await?;
    let new = given.new;
    let hash = tokio::task::spawn_blocking(move || hash_secret(&new)).await;
    let hash = hash.map_err(Problem::ours)?;
    let user = person.user.id;
    let action = ("user.password_changed", user.to_string());
    let store = call.audited::<(), ()>(None, (action.0, &action.1), None, None)?;
    store.set_password(user, &hash, person.session).await?;
    Ok(axum::Json(Who::of_person(person)))
}

/// The one who sits at the browser knows the password, too.
async fn prove<N>(
    call: &Call<N>,
    person: &Person,
    password: &str,
    code: Option<&str>,
) -> Result<(), Problem> {
    let address = call.origin().address;
    let email = &person.user.email;
    let proved = auth_of(call)?.check_password(email, password, code, address).await;
    proved.map(drop).map_err(|error| match refusal(error) {
        // Who asks is known: what is wrong is what he typed.
        problem if problem.status == 401 => {
            Problem::of_field(problem.field.as_deref().unwrap_or("password"), "this is wrong")
        }
        problem => problem,
    })
}

/// What the authenticator is told; it counts once a code of it was confirmed.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Factor {
    secret: String,
    /// `otpauth://…`, for a QR code.
    url: String,
}

/// Begin a second factor (TOTP, RFC 6238).
#[utoipa::path(post, path = "/v1/account/totp", tag = "account",
    responses((status = 200, body = Factor)), security(("key" = [])))]
pub(super) async fn begin_totp(call: Call<needs::SignedIn>) -> Result<axum::Json<Factor>, Problem> {
    let person = call.person()?;
    if person.user.totp_secret.is_some() {
        return Err(Problem::conflict("there is a second factor; remove it first"));
    }
    let new = auth_of(&call)?.begin_factor(person).await.map_err(refusal)?;
    Ok(axum::Json(Factor { secret: new.secret, url: new.url }))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    code: String,
}

/// Each is good once; shown only now.
#[derive(Serialize, utoipa::ToSchema)]
pub struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

/// Confirm the second factor by its first code; the answer holds the recovery codes.
#[utoipa::path(post, path = "/v1/account/totp/confirm", tag = "account",
    responses((status = 200, body = RecoveryCodes)), security(("key" = [])))]
pub(super) async fn confirm_totp(
    call: Call<needs::SignedIn>,
    Json(given): Json<Code>,
) -> Result<axum::Json<RecoveryCodes>, Problem> {
    let person = call.person()?;
    let confirmed = auth_of(&call)?.confirm_factor(&call.store, person, &given.code).await;
    let confirmed = confirmed.map_err(refusal)?;
    let recovery_codes = confirmed
        .ok_or_else(|| Problem::of_field("code", "is not of the secret that was given"))?;
    tracing::info!(user = %person.user.id, "a second factor was set up");
    Ok(axum::Json(RecoveryCodes { recovery_codes }))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Proof {
    password: String,
    code: String,
}

/// Remove the second factor.
#[utoipa::path(post, path = "/v1/account/totp/remove", tag = "account",
    responses((status = 200, body = Who)), security(("key" = [])))]
pub(super) async fn remove_totp(
    call: Call<needs::SignedIn>,
    Json(given): Json<Proof>,
) -> Result<axum::Json<Who>, Problem> {
    let person = call.person()?;
    prove(&call, person, &given.password, Some(&given.code)).await?;
    let user = person.user.id;
    let target = user.to_string();
    let store = call.audited::<(), ()>(None, ("user.totp_removed", &target), None, None)?;
    store.set_totp(user, None, 0, &[]).await?;
    Ok(axum::Json(Who { second_factor: false, ..Who::of_person(person) }))
}
