//! /v1/users and /v1/invites: who belongs to an organization, as what, and who is asked to.

use serde::{Deserialize, Serialize};

use super::Page;
use super::access::{Call, needs};
use super::body::Json;
use super::caller::{Caller, refusal};
use super::extract::{Path, Query};
use super::narrow::narrowed;
use super::problem::Problem;
use super::session::auth_of;
use crate::auth::hash_secret;
use crate::auth::people::{lawful_email, lawful_password};
use crate::model::{Address, InviteId, OrganizationId, Role, UserId};
use crate::store::{InviteRow, MemberRow, Narrowed, StoreError, UserRow};

const PAGE_ROWS: u32 = 100;
const NAME_BYTES_MAX: usize = 200;

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// `next` of the page before.
    cursor: Option<UserId>,
    /// Stands somewhere in address or name, in any case.
    find: Option<String>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Members {
    /// `next` of the page before.
    cursor: Option<UserId>,
    /// Stands somewhere in address or name, in any case.
    find: Option<String>,
    role: Option<Role>,
}

/// List who belongs to the organization.
#[utoipa::path(get, path = "/v1/users", tag = "users", params(Members),
    responses((status = 200, body = Page<MemberRow>)), security(("key" = ["people_read"])))]
pub(super) async fn list(
    call: Call<needs::PeopleRead>,
    Query(from): Query<Members>,
) -> Result<axum::Json<Page<MemberRow>>, Problem> {
    let after = from.cursor.unwrap_or(UserId(0));
    let narrowed = narrowed(from.find.as_deref(), from.role.map(|role| role.word()))?;
    let items = call.store.members(call.organization(), after, PAGE_ROWS, &narrowed).await?;
    let full = items.len() >= PAGE_ROWS as usize;
    let next = items.last().filter(|_| full).map(|last| last.user.to_string());
    Ok(axum::Json(Page { items, next }))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    email: String,
    #[serde(default)]
    name: String,
    password: String,
    /// May do everything in every organization.
    #[serde(default)]
    installation_admin: bool,
    /// What the user is in `organization`, if anything.
    #[serde(default)]
    role: Option<Role>,
    /// The caller's own, when it is missing.
    #[serde(default)]
    organization: Option<OrganizationId>,
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct UserView {
    pub id: UserId,
    pub email: String,
    pub name: String,
    pub installation_admin: bool,
    pub second_factor: bool,
    pub disabled: bool,
}

impl UserView {
    fn of(row: UserRow) -> UserView {
        UserView {
            id: row.id,
            email: row.email,
            name: row.name,
            installation_admin: row.installation_admin,
            second_factor: row.totp_secret.is_some(),
            disabled: row.disabled_at.is_some(),
        }
    }
}

/// List all users of the installation.
#[utoipa::path(get, path = "/v1/installation/users", tag = "installation", params(From),
    responses((status = 200, body = Page<UserView>)), security(("key" = ["installation"])))]
pub(super) async fn everybody(
    call: Call<needs::Installation>,
    Query(from): Query<From>,
) -> Result<axum::Json<Page<UserView>>, Problem> {
    let find = narrowed(from.find.as_deref(), None)?.find;
    let rows = call.store.users(from.cursor.unwrap_or(UserId(0)), PAGE_ROWS, &find).await?;
    let full = rows.len() >= PAGE_ROWS as usize;
    let next = rows.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items: rows.into_iter().map(UserView::of).collect(), next }))
}

/// Make a user with a password, without an invite.
#[utoipa::path(post, path = "/v1/installation/users", tag = "installation",
    responses((status = 200, body = UserView)), security(("key" = ["installation"])))]
pub(super) async fn add(
    call: Call<needs::Installation>,
    Json(new): Json<NewUser>,
) -> Result<axum::Json<UserView>, Problem> {
    let (email, name) = checked(&new.email, &new.name)?;
    lawful_password(&new.password).map_err(|why| Problem::of_field("password", why))?;
    let organization = call.organization_or(new.organization)?;
    if new.role.is_some() && !exists(&call, organization).await? {
        return Err(Problem::of_field("organization", "there is no such organization"));
    }
    let admin = new.installation_admin;
    let hash = hashed(new.password).await?;
    let after = serde_json::json!({"name": name, "installation_admin": admin});
    let store = call.audited::<(), _>(None, ("user.added", &email), None, Some(&after))?;
    let added = store.add_user(&email, &name, &hash, admin).await;
    let id = added.map_err(|error| taken(error, "email"))?;
    if let Some(role) = new.role {
        let target = id.to_string();
        let action = ("user.role_changed", target.as_str());
        let store = call.audited::<(), _>(Some(organization), action, None, Some(&role))?;
        store.set_member(organization, id, role).await?;
    }
    user(&call, id).await.map(axum::Json)
}

async fn exists(
    call: &Call<needs::Installation>,
    organization: OrganizationId,
) -> Result<bool, Problem> {
    Ok(call.store.organizations().await?.iter().any(|row| row.id == organization))
}

async fn user(call: &Call<needs::Installation>, id: UserId) -> Result<UserView, Problem> {
    let found = call.store.user(id).await?;
    found.map(UserView::of).ok_or_else(|| Problem::not_found("there is no such user"))
}

/// Let a user sign in no longer; his sessions end.
#[utoipa::path(post, path = "/v1/installation/users/{id}/disable", tag = "installation",
    params(("id" = UserId, Path, description = "The user")),
    responses((status = 200, body = UserView)), security(("key" = ["installation"])))]
pub(super) async fn disable(
    call: Call<needs::Installation>,
    Path(id): Path<UserId>,
) -> Result<axum::Json<UserView>, Problem> {
    let before = user(&call, id).await?;
    let target = id.to_string();
    let action = ("user.disabled", target.as_str());
    let store = call.audited::<_, ()>(None, action, Some(&before), None)?;
    store.disable_user(id).await?;
    user(&call, id).await.map(axum::Json)
}

pub(super) fn checked(email: &str, name: &str) -> Result<(String, String), Problem> {
    let email = lawful_email(email)
        .ok_or_else(|| Problem::of_field("email", "must be an address like ann@example.com"))?;
    if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let detail = format!("must be a line of at most {NAME_BYTES_MAX} octets");
        return Err(Problem::of_field("name", detail));
    }
    Ok((email, name.trim().to_owned()))
}

pub(super) fn taken(error: StoreError, field: &str) -> Problem {
    match error {
        StoreError::Duplicate(_) => {
            let problem = Problem::conflict("there is one already");
            Problem { field: Some(field.to_owned()), ..problem }
        }
        other => other.into(),
    }
}

/// Slow by intent, so it must not stand in the way of others.
pub(super) async fn hashed(password: String) -> Result<String, Problem> {
    tokio::task::spawn_blocking(move || hash_secret(&password)).await.map_err(Problem::ours)
}

#[derive(Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleChange {
    role: Role,
}

async fn member(
    call: &Call<needs::PeopleWrite>,
    user: UserId,
) -> Result<(OrganizationId, MemberRow), Problem> {
    let organization = call.organization();
    let members = call.store.roles_of(user).await?;
    let found = members.into_iter().find(|member| member.organization == organization);
    let found = found.ok_or_else(|| Problem::not_found("nobody of this id belongs to it"))?;
    Ok((organization, found))
}

/// Owners are made and unmade by owners, and by who stands above all organizations.
fn may_decide(call: &Call<needs::PeopleWrite>, roles: &[Role]) -> Result<(), Problem> {
    let is_admin = match call.caller() {
        Some(Caller::User(person)) if !person.user.installation_admin => {
            person.role_in(call.organization()) == Some(Role::Admin)
        }
        _ => false,
    };
    if is_admin && roles.contains(&Role::Owner) {
        return Err(Problem::new(axum::http::StatusCode::FORBIDDEN, "only an owner may do this"));
    }
    Ok(())
}

/// An organization that nobody owns could never be given to anybody again.
async fn keeps_an_owner(
    call: &Call<needs::PeopleWrite>,
    organization: OrganizationId,
    leaves: &MemberRow,
) -> Result<(), Problem> {
    if leaves.role != Role::Owner {
        return Ok(());
    }
    let mut after = UserId(0);
    loop {
        let page = call.store.members(organization, after, PAGE_ROWS, &Narrowed::default()).await?;
        if page.iter().any(|one| one.role == Role::Owner && one.user != leaves.user) {
            return Ok(());
        }
        match page.last() {
            Some(last) if page.len() >= PAGE_ROWS as usize => after = last.user,
            _ => return Err(Problem::conflict("the last owner stays; name another one first")),
        }
    }
}

/// Change what a user is in the organization.
#[utoipa::path(patch, path = "/v1/users/{id}", tag = "users",
    params(("id" = UserId, Path, description = "The user")),
    responses((status = 200, body = MemberRow)), security(("key" = ["people_write"])))]
pub(super) async fn change(
    call: Call<needs::PeopleWrite>,
    Path(id): Path<UserId>,
    Json(change): Json<RoleChange>,
) -> Result<axum::Json<MemberRow>, Problem> {
    let (organization, before) = member(&call, id).await?;
    may_decide(&call, &[before.role, change.role])?;
    if change.role != Role::Owner {
        keeps_an_owner(&call, organization, &before).await?;
    }
    let after = MemberRow { role: change.role, ..before.clone() };
    let target = id.to_string();
    let action = ("user.role_changed", target.as_str());
    let store = call.audited(Some(organization), action, Some(&before.role), Some(&change.role))?;
    store.set_member(organization, id, change.role).await?;
    Ok(axum::Json(after))
}

/// Let a user belong to the organization no longer.
#[utoipa::path(delete, path = "/v1/users/{id}", tag = "users",
    params(("id" = UserId, Path, description = "The user")),
    responses((status = 200, body = MemberRow)), security(("key" = ["people_write"])))]
pub(super) async fn remove(
    call: Call<needs::PeopleWrite>,
    Path(id): Path<UserId>,
) -> Result<axum::Json<MemberRow>, Problem> {
    let (organization, before) = member(&call, id).await?;
    may_decide(&call, &[before.role])?;
    keeps_an_owner(&call, organization, &before).await?;
    let target = id.to_string();
    let action = ("user.removed", target.as_str());
    let store = call.audited::<_, ()>(Some(organization), action, Some(&before), None)?;
    store.remove_member(organization, id).await?;
    Ok(axum::Json(before))
}

/// List the invites that nobody has taken yet.
#[utoipa::path(get, path = "/v1/invites", tag = "invites",
    responses((status = 200, body = Page<InviteRow>)), security(("key" = ["people_read"])))]
pub(super) async fn invites(
    call: Call<needs::PeopleRead>,
) -> Result<axum::Json<Page<InviteRow>>, Problem> {
    Ok(Page::whole(call.store.invites(call.organization()).await?))
}

#[derive(Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewInvite {
    email: String,
    role: Role,
}

/// The token is in this answer and nowhere else.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Invited {
    invite: InviteRow,
    token: String,
    /// The link was mailed to the address.
    mailed: bool,
}

/// Ask somebody to join; the token is for who is asked.
#[utoipa::path(post, path = "/v1/invites", tag = "invites",
    responses((status = 200, body = Invited)), security(("key" = ["people_write"])))]
pub(super) async fn invite(
    call: Call<needs::PeopleWrite>,
    Json(new): Json<NewInvite>,
) -> Result<axum::Json<Invited>, Problem> {
    let (email, _) = checked(&new.email, "")?;
    may_decide(&call, &[new.role])?;
    let organization = call.organization();
    let auth = auth_of(&call)?;
    let action = ("invite.added", email.as_str());
    let store = call.audited::<(), _>(Some(organization), action, None, Some(&new))?;
    let made = auth.add_invite(&store, organization, &email, new.role).await;
    let (token, invite) = made.map_err(refusal)?;
    let mailed = mail_invite(&call, &email, &token).await;
    Ok(axum::Json(Invited { invite, token, mailed }))
}

/// What cannot be mailed is told to who invites, and he passes the token on.
async fn mail_invite(call: &Call<needs::PeopleWrite>, email: &str, token: &str) -> bool {
    let Some(notices) = &call.notices else { return false };
    let link = notices.link(&format!("/invite?token={token}"));
    let (Some(link), Ok(to)) = (link, Address::parse(email)) else { return false };
    let text = format!(
        "You are invited to Postroad.\n\nJoin here within seven days:\n\n{link}\n\n\
         If you do not know what this is about, do nothing.\n"
    );
    match notices.send(&to, "You are invited to Postroad", &text).await {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(%error, "an invite could not be mailed");
            false
        }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Withdrawn {
    id: InviteId,
}

/// Withdraw an invite.
#[utoipa::path(delete, path = "/v1/invites/{id}", tag = "invites",
    params(("id" = InviteId, Path, description = "The invite")),
    responses((status = 200, body = Withdrawn)), security(("key" = ["people_write"])))]
pub(super) async fn withdraw(
    call: Call<needs::PeopleWrite>,
    Path(id): Path<InviteId>,
) -> Result<axum::Json<Withdrawn>, Problem> {
    let organization = call.organization();
    let target = id.to_string();
    let action = ("invite.withdrawn", target.as_str());
    let store = call.audited::<(), ()>(Some(organization), action, None, None)?;
    match store.remove_invite(organization, id).await? {
        true => Ok(axum::Json(Withdrawn { id })),
        false => Err(Problem::not_found("there is no such invite")),
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acceptance {
    token: String,
    #[serde(default)]
    name: String,
    /// A new one; or, for who has an account of this address, his own.
    password: String,
    /// For who has an account with a second factor.
    #[serde(default)]
    code: Option<String>,
}

/// Join an organization by the token of an invite.
#[utoipa::path(post, path = "/v1/invites/accept", tag = "invites",
    responses((status = 200, body = MemberRow), (status = 401, body = Problem,
        content_type = "application/problem+json",
        description = "There is an account of this address, and this is not its password")))]
pub(super) async fn accept(
    call: Call<needs::Anybody>,
    Json(given): Json<Acceptance>,
) -> Result<axum::Json<MemberRow>, Problem> {
    let gone = || Problem::of_field("token", "this invite is over or was taken");
    let auth = auth_of(&call)?;
    let invite = auth.invite(&given.token).await.map_err(refusal)?.ok_or_else(gone)?;
    let (_, name) = checked(&invite.email, &given.name)?;
    let user = match call.store.user_by_email(&invite.email).await? {
        Some(user) => {
            let (address, code) = (call.origin().address, given.code.as_deref());
            let proved = auth.check_password(&user.email, &given.password, code, address).await;
            proved.map_err(refusal)?.id
        }
        None => {
            lawful_password(&given.password).map_err(|why| Problem::of_field("password", why))?;
            let hash = hashed(given.password).await?;
            let added = call.store.add_user(&invite.email, &name, &hash, false).await;
            added.map_err(|error| taken(error, "token"))?
        }
    };
    let action = ("invite.taken", invite.email.as_str());
    let store =
        call.audited::<(), _>(Some(invite.organization), action, None, Some(&invite.role))?;
    if !store.take_invite(&invite, user).await? {
        return Err(gone());
    }
    let members = call.store.roles_of(user).await?;
    let joined = members.into_iter().find(|member| member.organization == invite.organization);
    joined.map(axum::Json).ok_or_else(gone)
}
