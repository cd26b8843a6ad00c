//! People: signing in with password and second factor, sessions, invites.
//!
//! Owns:       how long a session lives, the second factor and its recovery codes.
//! Promises:   known and unknown addresses are answered alike and in the same time; a code is
//!             good once; tokens are kept as their hashes only.
//! Knows not:  cookies, roles.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest;
use totp_rs::{Builder, Secret, Totp};

use super::patience::Visitor;
use super::{Auth, AuthError, secrets};
use crate::model::*;
use crate::store::{
    InviteRow, MemberRow, NewInvite, NewSession, SessionRow, Store, StoreError, UserRow,
};

/// From the sign-in, however often it is used.
pub const SESSION_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// A session that nobody used for so long ends before that.
const SESSION_IDLE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Its last use is written down no more often.
const SEEN_EVERY: Duration = Duration::from_secs(5 * 60);
const RESET_LIFE: Duration = Duration::from_secs(3600);
const INVITE_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
const TOTP_STEP_SECONDS: u64 = 30;
/// As many as RFC 4226 §4 recommends.
const TOTP_OCTETS: usize = 20;
const RECOVERY_CODES: usize = 10;
const PASSWORD_LETTERS_MIN: usize = 10;
const PASSWORD_BYTES_MAX: usize = 1024;
const AGENT_BYTES_MAX: usize = 200;

#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Address, password, or second factor: which of them is not told.
    #[error("the address or the password is wrong")]
    Refused,
    /// The password was right, and the account has a second factor.
    #[error("a code of the second factor is needed")]
    CodeNeeded,
    #[error("too many failures; wait")]
    Locked,
    #[error("this cannot be checked now; try again")]
    Unavailable,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AuthError> for SignInError {
    fn from(error: AuthError) -> SignInError {
        match error {
            AuthError::Refused => SignInError::Refused,
            AuthError::Locked => SignInError::Locked,
            AuthError::Unavailable => SignInError::Unavailable,
        }
    }
}

/// Somebody who signed in.
#[derive(Clone, Debug)]
pub struct Person {
    pub user: UserRow,
    pub session: SessionId,
    pub memberships: Vec<MemberRow>,
}

impl Person {
    pub fn role_in(&self, organization: OrganizationId) -> Option<Role> {
        let found = self.memberships.iter().find(|member| member.organization == organization);
        found.map(|member| member.role)
    }
}

/// Where somebody signs in from.
#[derive(Clone, Copy, Debug)]
pub struct Browser<'a> {
    pub address: IpAddr,
    pub agent: &'a str,
}

/// What an authenticator is told once.
pub struct NewFactor {
    pub secret: String,
    /// `otpauth://…`, for a QR code.
    pub url: String,
}

/// As it is kept and compared.
pub fn lawful_email(text: &str) -> Option<String> {
    let address = Address::parse(text.trim()).ok()?;
    Some(address.to_string().to_lowercase())
}

pub fn lawful_password(text: &str) -> Result<(), String> {
    if text.chars().count() < PASSWORD_LETTERS_MIN {
        return Err(format!("must have at least {PASSWORD_LETTERS_MIN} letters"));
    }
    if text.len() > PASSWORD_BYTES_MAX {
        return Err(format!("must not be longer than {PASSWORD_BYTES_MAX} octets"));
    }
    Ok(())
}

/// Tokens have 160 bits, so a plain hash of them tells nothing.
fn hash_token(token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

impl Auth {
    fn people(&self) -> Result<&Store, SignInError> {
        self.0.store.as_ref().ok_or(SignInError::Unavailable)
    }

    /// The answer to what is wrong comes the later the more often it was wrong; failures count
    /// together with those of SMTP and of API keys from the same addresses.
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        code: Option<&str>,
        browser: Browser<'_>,
    ) -> Result<(String, Person), SignInError> {
        let user = self.check_password(email, password, code, browser.address).await?;
        let token = secrets::new_token();
        let store = self.people()?;
        let agent = &browser.agent[..browser.agent.floor_char_boundary(AGENT_BYTES_MAX)];
        let session = store
            .add_session(NewSession {
                owner: user.id,
                token_hash: &hash_token(&token),
                address: &browser.address.to_canonical().to_string(),
                agent,
                expires_at: self.0.clock.now() + SESSION_LIFE,
            })
            .await?;
        let memberships = store.roles_of(user.id).await?;
        tracing::info!(user = %user.id, address = %browser.address, "a user signed in");
        Ok((token, Person { user, session, memberships }))
    }

    /// For signing in, and again before what is dangerous.
    pub async fn check_password(
        &self,
        email: &str,
        password: &str,
        code: Option<&str>,
        peer: IpAddr,
    ) -> Result<UserRow, SignInError> {
        let inner = &*self.0;
        let asked = inner.clock.now();
        let email = email.trim().to_lowercase();
        // No credential has a name with a space in it.
        let visitor = inner.patience.visitor(&format!("user {email}"), peer);
        let judged = match inner.patience.is_locked(visitor) {
            true => Err(SignInError::Locked),
            false => self.judge_user(&email, password, code, visitor).await,
        };
        match &judged {
            Ok(_) => inner.patience.welcome(visitor),
            Err(SignInError::Refused) => inner.patience.wrong(visitor),
            Err(_) => {}
        }
        if matches!(judged, Err(SignInError::Refused | SignInError::Locked)) {
            inner.clock.sleep_until(asked + inner.patience.delay(visitor)).await;
        }
        judged
    }

    async fn judge_user(
        &self,
        email: &str,
        password: &str,
        code: Option<&str>,
        visitor: Visitor,
    ) -> Result<UserRow, SignInError> {
        let found = self.people()?.user_by_email(email).await?;
        let found = found.filter(|user| user.disabled_at.is_none());
        let hash = found.as_ref().map_or(secrets::NOBODY, |user| &user.password_hash).to_owned();
        let password = password.to_owned();
        let _turn = self.0.turn().await?;
        // Of many that guess at once, no more than the hashers hold get past the lock.
        if self.0.patience.is_locked(visitor) {
            return Err(SignInError::Locked);
        }
        let right = tokio::task::spawn_blocking(move || secrets::matches(&password, &hash)).await;
        let right = right.map_err(|_| SignInError::Unavailable)?;
        let user = found.filter(|_| right).ok_or(SignInError::Refused)?;
        match (&user.totp_secret, code) {
            (None, _) => Ok(user),
            (Some(_), None) => Err(SignInError::CodeNeeded),
            (Some(secret), Some(code)) => self
                .take_code(&user, secret, code)
                .await?
                .then_some(user)
                .ok_or(SignInError::Refused),
        }
    }

    /// A code of the authenticator, or one of the recovery codes; either is good once.
    async fn take_code(
        &self,
        user: &UserRow,
        secret: &str,
        code: &str,
    ) -> Result<bool, SignInError> {
        let store = self.people()?;
        let code: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if let Some(step) = self.step_of(user, secret, &code) {
            return Ok(store.take_totp_step(user.id, step).await?);
        }
        Ok(store.take_recovery_code(user.id, &hash_token(&code)).await?)
    }

    fn step_of(&self, user: &UserRow, secret: &str, code: &str) -> Option<i64> {
        let totp = totp_of(user, secret)?;
        let now = u64::try_from(self.0.clock.wall().seconds()).ok()?;
        i64::try_from(totp.check(code, now)?).ok()
    }

    /// The session of this token, if it has not ended.
    pub async fn person(&self, token: &str) -> Result<Option<Person>, SignInError> {
        let store = self.people()?;
        let Some(session) = store.session_by_token(&hash_token(token)).await? else {
            return Ok(None);
        };
        let now = self.0.clock.now();
        let idle = now.since(session.seen_at);
        let user = store.user(session.user).await?.filter(|user| user.disabled_at.is_none());
        let Some(user) = user.filter(|_| idle < SESSION_IDLE) else { return Ok(None) };
        if idle > SEEN_EVERY {
            store.see_session(session.id).await?;
        }
        let memberships = store.roles_of(user.id).await?;
        Ok(Some(Person { user, session: session.id, memberships }))
    }

    pub async fn sign_out(&self, person: &Person, session: SessionId) -> Result<bool, SignInError> {
        Ok(self.people()?.remove_session(person.user.id, session).await?)
    }

    pub async fn sessions(&self, person: &Person) -> Result<Vec<SessionRow>, SignInError> {
        Ok(self.people()?.sessions(person.user.id).await?)
    }

    /// A secret for an authenticator; it counts once `confirm_factor` has seen a code of it.
    pub async fn begin_factor(&self, person: &Person) -> Result<NewFactor, SignInError> {
        let secret = Secret::from(&secrets::random_octets()[..TOTP_OCTETS]).to_base32();
        self.people()?.set_totp_pending(person.user.id, &secret).await?;
        let url = totp_of(&person.user, &secret).and_then(|totp| totp.to_url().ok());
        let url = url.ok_or(SignInError::Unavailable)?;
        Ok(NewFactor { secret, url })
    }

    /// The recovery codes, shown once; None when the code is not of the secret that was given.
    /// Through `store`, so that it stands in the audit log.
    pub async fn confirm_factor(
        &self,
        store: &Store,
        person: &Person,
        code: &str,
    ) -> Result<Option<Vec<String>>, SignInError> {
        let user = &person.user;
        let Some(secret) = &user.totp_pending else { return Ok(None) };
        let Some(step) = self.step_of(user, secret, code.trim()) else { return Ok(None) };
        let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| secrets::new_token()).collect();
        let codes: Vec<String> = codes.iter().map(|code| code[..12].to_owned()).collect();
        let hashes: Vec<String> = codes.iter().map(|code| hash_token(code)).collect();
        store.set_totp(user.id, Some(secret), step, &hashes).await?;
        Ok(Some(codes))
    }

    /// The invite of this token, unless it is over.
    pub async fn invite(&self, token: &str) -> Result<Option<InviteRow>, SignInError> {
        Ok(self.people()?.invite_by_token(&hash_token(token)).await?)
    }

    /// Each ask counts as a wrong guess does: nobody fills another's mailbox.
    pub fn take_reset_turn(&self, email: &str, peer: IpAddr) -> Result<(), AuthError> {
        let patience = &self.0.patience;
        let visitor = patience.visitor(&format!("reset {email}"), peer);
        if patience.is_locked(visitor) {
            return Err(AuthError::Locked);
        }
        patience.wrong(visitor);
        Ok(())
    }

    /// A token by which the user of this address chooses another password; None without one.
    pub async fn add_reset(&self, email: &str) -> Result<Option<String>, SignInError> {
        let store = self.people()?;
        let user = store.user_by_email(email).await?.filter(|user| user.disabled_at.is_none());
        let Some(user) = user else { return Ok(None) };
        let token = secrets::new_token();
        let end = self.0.clock.now() + RESET_LIFE;
        store.add_password_reset(user.id, &hash_token(&token), end).await?;
        Ok(Some(token))
    }

    /// Whose password the token may change.
    pub async fn reset(&self, token: &str) -> Result<Option<UserRow>, SignInError> {
        let store = self.people()?;
        let Some(owner) = store.password_reset(&hash_token(token)).await? else { return Ok(None) };
        Ok(store.user(owner).await?.filter(|user| user.disabled_at.is_none()))
    }

    /// Through `store`, so that it stands in the audit log; false when it was taken meanwhile.
    pub async fn take_reset(
        &self,
        store: &Store,
        owner: UserId,
        token: &str,
        password_hash: &str,
    ) -> Result<bool, SignInError> {
        Ok(store.take_password_reset(owner, &hash_token(token), password_hash).await?)
    }

    /// Through `store`, so that it stands in the audit log. The token is known to nobody else.
    pub async fn add_invite(
        &self,
        store: &Store,
        organization: OrganizationId,
        email: &str,
        role: Role,
    ) -> Result<(String, InviteRow), SignInError> {
        let token = secrets::new_token();
        let created_at = self.0.clock.now();
        let expires_at = created_at + INVITE_LIFE;
        let token_hash = &hash_token(&token);
        let new = NewInvite { organization, email, role, token_hash, expires_at };
        let id = store.add_invite(new).await?;
        let email = email.to_owned();
        Ok((token, InviteRow { id, organization, email, role, created_at, expires_at }))
    }
}

fn totp_of(user: &UserRow, secret: &str) -> Option<Totp> {
    let secret = Secret::try_from_base32(secret).ok()?;
    Builder::new()
        .with_secret(secret)
        .with_step_duration(TOTP_STEP_SECONDS)
        // A colon would divide the issuer from the account.
        .with_account_name(user.email.replace(':', "_"))
        .with_issuer(Some("Postroad"))
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_in_one_form() {
        assert_eq!(lawful_email(" Ann@Example.COM ").as_deref(), Some("ann@example.com"));
        assert_eq!(lawful_email("ann"), None);
        assert_eq!(lawful_email("ann@example.com\r\nBcc: x@y.example"), None);
    }

    #[test]
    fn a_password_is_long_and_not_endless() {
        assert!(lawful_password("ten letter").is_ok());
        assert!(lawful_password("nine lett").is_err());
        assert!(lawful_password(&"x".repeat(1025)).is_err());
    }
}
