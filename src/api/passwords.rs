//! /v1/password-resets: who forgot his password chooses another one by a link that he is mailed.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::body::Json;
use super::caller::refusal;
use super::problem::Problem;
use super::session::auth_of;
use super::users::{checked, hashed};
use crate::auth::Auth;
use crate::auth::people::lawful_password;
use crate::model::Address;
use crate::notices::Notices;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Forgotten {
    email: String,
}

/// The same for an address that there is and one that there is not.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ResetAsked {
    /// The address that is written to, if somebody signs in with it.
    email: String,
}

/// Ask for a link by which another password is chosen; it is mailed to the address.
#[utoipa::path(post, path = "/v1/password-resets", tag = "account",
    responses((status = 200, body = ResetAsked)))]
pub(super) async fn ask_reset(
    call: Call<needs::Anybody>,
    Json(given): Json<Forgotten>,
) -> Result<axum::Json<ResetAsked>, Problem> {
    let (email, _) = checked(&given.email, "")?;
    let auth = auth_of(&call)?.clone();
    let stopped = || Problem::conflict("no daemon is running");
    let notices = call.notices.clone().ok_or_else(stopped)?;
    auth.take_reset_turn(&email, call.origin().address).map_err(|error| refusal(error.into()))?;
    let answer = ResetAsked { email: email.clone() };
    // How long it takes tells nobody whether there is such a user.
    tokio::spawn(async move { mail_link(auth, notices, email).await });
    Ok(axum::Json(answer))
}

async fn mail_link(auth: Auth, notices: Notices, email: String) {
    let token = match auth.add_reset(&email).await {
        Ok(Some(token)) => token,
        Ok(None) => return,
        Err(error) => return tracing::warn!(%error, "no link for a new password could be made"),
    };
    let Ok(to) = Address::parse(&email) else { return };
    let how = match notices.link(&format!("/reset?token={token}")) {
        Some(link) => format!("Choose it here:\n\n{link}\n"),
        None => format!("Choose it in the panel with this token:\n\n{token}\n"),
    };
    let text = format!(
        "Somebody, likely you, has asked for a new password for {email}.\n\n{how}\n\
         This holds for an hour. If it was not you, nothing has changed: do nothing.\n"
    );
    if let Err(error) = notices.send(&to, "A new password for Postroad", &text).await {
        tracing::warn!(%error, "a link for a new password could not be mailed");
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reset {
    token: String,
    password: String,
}

/// Whose password is another one now; he signs in with it, and with his second factor as before.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ResetDone {
    email: String,
}

/// Choose another password by the token of a link; all sessions of the user end.
#[utoipa::path(post, path = "/v1/password-resets/take", tag = "account",
    responses((status = 200, body = ResetDone)))]
pub(super) async fn take_reset(
    call: Call<needs::Anybody>,
    Json(given): Json<Reset>,
) -> Result<axum::Json<ResetDone>, Problem> {
    let gone = || Problem::of_field("token", "this link is over or was taken");
    let auth = auth_of(&call)?;
    lawful_password(&given.password).map_err(|why| Problem::of_field("password", why))?;
    let user = auth.reset(&given.token).await.map_err(refusal)?.ok_or_else(gone)?;
    let hash = hashed(given.password).await?;
    let target = user.id.to_string();
    let action = ("user.password_reset", target.as_str());
    let store = call.audited::<(), ()>(None, action, None, None)?;
    match auth.take_reset(&store, user.id, &given.token, &hash).await.map_err(refusal)? {
        true => Ok(axum::Json(ResetDone { email: user.email })),
        false => Err(gone()),
    }
}
