//! People: users, what they are in which organization, invites, sessions.
//!
//! Owns:       the reads and writes of those tables.
//! Promises:   an address is one user; secrets are kept as their hashes only; an invite is taken
//!             once.
//! Knows not:  how a secret is checked, or who may change what.

use crate::model::*;

use super::changes::RowWrite;
use super::database::Row;
use super::dialect::Statement;
use super::error::Result;
use super::narrow::{Narrowed, escaped};
use super::rows::{InviteRow, MemberRow, SessionRow, UserRow};
use super::{Store, collect};

pub static USER_BY_EMAIL: Statement = Statement::new(
    "SELECT id, email, name, password_hash, installation_admin, totp_secret, totp_pending, \
     totp_step, created_at, disabled_at FROM users WHERE email = $1",
);

pub static USER_BY_ID: Statement = Statement::new(
    "SELECT id, email, name, password_hash, installation_admin, totp_secret, totp_pending, \
     totp_step, created_at, disabled_at FROM users WHERE id = $1",
);

pub static USERS: Statement = Statement::new(
    "SELECT id, email, name, password_hash, installation_admin, totp_secret, totp_pending, \
     totp_step, created_at, disabled_at FROM users WHERE id > $1 \
     AND LOWER(email || ' ' || name) LIKE $3 ESCAPE '!' ORDER BY id LIMIT $2",
);

pub static MEMBERS: Statement = Statement::new(
    "SELECT m.organization, m.member, u.email, u.name, m.role, m.created_at FROM members m \
     JOIN users u ON u.id = m.member WHERE m.organization = $1 AND m.member > $2 \
     AND LOWER(u.email || ' ' || u.name) LIKE $4 ESCAPE '!' AND ($5 = '' OR m.role = $5) \
     ORDER BY m.member LIMIT $3",
);

pub static ROLES_OF: Statement = Statement::new(
    "SELECT m.organization, m.member, u.email, u.name, m.role, m.created_at FROM members m \
     JOIN users u ON u.id = m.member WHERE m.member = $1 ORDER BY m.organization",
);

pub static SESSION_BY_TOKEN: Statement = Statement::new(
    "SELECT id, owner, address, agent, created_at, seen_at, expires_at FROM sessions \
     WHERE token_hash = $1 AND expires_at > $2",
);

pub static SESSIONS_OF: Statement = Statement::new(
    "SELECT id, owner, address, agent, created_at, seen_at, expires_at FROM sessions \
     WHERE owner = $1 AND expires_at > $2 ORDER BY id",
);

pub static INVITES: Statement = Statement::new(
    "SELECT id, organization, email, role, created_at, expires_at FROM invites \
     WHERE organization = $1 ORDER BY id",
);

pub static INVITE_BY_TOKEN: Statement = Statement::new(
    "SELECT id, organization, email, role, created_at, expires_at FROM invites \
     WHERE token_hash = $1 AND expires_at > $2",
);

pub static INSERT_USER: Statement = Statement::new(
    "INSERT INTO users (id, email, name, password_hash, installation_admin, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6)",
);

pub static SET_PASSWORD: Statement =
    Statement::new("UPDATE users SET password_hash = $2 WHERE id = $1");

pub static DISABLE_USER: Statement =
    Statement::new("UPDATE users SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL");

pub static SET_TOTP_PENDING: Statement =
    Statement::new("UPDATE users SET totp_pending = $2 WHERE id = $1");

pub static SET_TOTP: Statement = Statement::new(
    "UPDATE users SET totp_secret = $2, totp_pending = NULL, totp_step = $3 WHERE id = $1",
);

pub static TAKE_TOTP_STEP: Statement =
    Statement::new("UPDATE users SET totp_step = $2 WHERE id = $1 AND totp_step < $2");

pub static FORGET_RECOVERY: Statement =
    Statement::new("DELETE FROM recovery_codes WHERE owner = $1");

pub static INSERT_RECOVERY: Statement =
    Statement::new("INSERT INTO recovery_codes (owner, hash) VALUES ($1, $2)");

pub static TAKE_RECOVERY: Statement =
    Statement::new("DELETE FROM recovery_codes WHERE owner = $1 AND hash = $2");

pub static SET_MEMBER: Statement = Statement::new(
    "INSERT INTO members (organization, member, role, created_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (organization, member) DO UPDATE SET role = excluded.role",
);

pub static REMOVE_MEMBER: Statement =
    Statement::new("DELETE FROM members WHERE organization = $1 AND member = $2");

pub static INSERT_INVITE: Statement = Statement::new(
    "INSERT INTO invites (id, organization, email, role, token_hash, created_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)",
);

pub static REMOVE_INVITE: Statement =
    Statement::new("DELETE FROM invites WHERE organization = $1 AND id = $2");

pub static INSERT_SESSION: Statement = Statement::new(
    "INSERT INTO sessions (id, owner, token_hash, address, agent, created_at, seen_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $6, $7)",
);

pub static SEE_SESSION: Statement =
    Statement::new("UPDATE sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2");

pub static REMOVE_SESSION: Statement =
    Statement::new("DELETE FROM sessions WHERE owner = $1 AND id = $2");

/// All but one: after a new password only the session that chose it goes on.
pub static REMOVE_OTHER_SESSIONS: Statement =
    Statement::new("DELETE FROM sessions WHERE owner = $1 AND id <> $2");

pub static REMOVE_OLD_SESSIONS: Statement =
    Statement::new("DELETE FROM sessions WHERE owner = $1 AND expires_at <= $2");

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &USER_BY_EMAIL,
    &USER_BY_ID,
    &USERS,
    &MEMBERS,
    &ROLES_OF,
    &SESSION_BY_TOKEN,
    &SESSIONS_OF,
    &INVITES,
    &INVITE_BY_TOKEN,
    &INSERT_USER,
    &SET_PASSWORD,
    &DISABLE_USER,
    &SET_TOTP_PENDING,
    &SET_TOTP,
    &TAKE_TOTP_STEP,
    &FORGET_RECOVERY,
    &INSERT_RECOVERY,
    &TAKE_RECOVERY,
    &SET_MEMBER,
    &REMOVE_MEMBER,
    &INSERT_INVITE,
    &REMOVE_INVITE,
    &INSERT_SESSION,
    &SEE_SESSION,
    &REMOVE_SESSION,
    &REMOVE_OTHER_SESSIONS,
    &REMOVE_OLD_SESSIONS,
];

/// A session to be kept.
pub struct NewSession<'a> {
    pub owner: UserId,
    pub token_hash: &'a str,
    pub address: &'a str,
    pub agent: &'a str,
    pub expires_at: Timestamp,
}

/// An invite to be kept.
pub struct NewInvite<'a> {
    pub organization: OrganizationId,
    pub email: &'a str,
    pub role: Role,
    pub token_hash: &'a str,
    pub expires_at: Timestamp,
}

impl Store {
    /// `email` in lower case.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<UserRow>> {
        self.read(&USER_BY_EMAIL, vec![email.into()]).await?.first().map(user).transpose()
    }

    pub async fn user(&self, id: UserId) -> Result<Option<UserRow>> {
        self.read(&USER_BY_ID, vec![id.0.into()]).await?.first().map(user).transpose()
    }

    /// `find`: a part of address or name, in any case.
    pub async fn users(&self, after: UserId, limit: u32, find: &str) -> Result<Vec<UserRow>> {
        let pattern = format!("%{}%", escaped(find));
        let values = vec![after.0.into(), i64::from(limit).into(), pattern.into()];
        collect(self.read(&USERS, values).await?, user)
    }

    pub async fn members(
        &self,
        organization: OrganizationId,
        after: UserId,
        limit: u32,
        narrowed: &Narrowed,
    ) -> Result<Vec<MemberRow>> {
        let mut values = vec![organization.0.into(), after.0.into(), i64::from(limit).into()];
        narrowed.put_to(&mut values);
        collect(self.read(&MEMBERS, values).await?, member)
    }

    pub async fn roles_of(&self, user: UserId) -> Result<Vec<MemberRow>> {
        collect(self.read(&ROLES_OF, vec![user.0.into()]).await?, member)
    }

    /// `Duplicate("users_email")` when the address is taken.
    pub async fn add_user(
        &self,
        email: &str,
        name: &str,
        password_hash: &str,
        installation_admin: bool,
    ) -> Result<UserId> {
        let id = self.reserve_id("user").await?;
        let values = vec![
            id.into(),
            email.into(),
            name.into(),
            password_hash.into(),
            i64::from(installation_admin).into(),
            self.now().0.into(),
        ];
        self.write(vec![RowWrite::new(&INSERT_USER, values)]).await?;
        Ok(UserId(id))
    }

    /// Every other session of the user ends.
    pub async fn set_password(&self, id: UserId, hash: &str, stays: SessionId) -> Result<bool> {
        let writes = vec![
            RowWrite::new(&SET_PASSWORD, vec![id.0.into(), hash.into()]),
            RowWrite::new(&REMOVE_OTHER_SESSIONS, vec![id.0.into(), stays.0.into()]),
        ];
        Ok(self.write(writes).await? > 0)
    }

    /// His sessions end.
    pub async fn disable_user(&self, id: UserId) -> Result<bool> {
        let writes = vec![
            RowWrite::new(&DISABLE_USER, vec![id.0.into(), self.now().0.into()]),
            RowWrite::new(&REMOVE_OTHER_SESSIONS, vec![id.0.into(), 0.into()]),
        ];
        Ok(self.write(writes).await? > 0)
    }

    pub async fn set_totp_pending(&self, id: UserId, secret: &str) -> Result<()> {
        let values = vec![id.0.into(), secret.into()];
        self.write(vec![RowWrite::new(&SET_TOTP_PENDING, values)]).await?;
        Ok(())
    }

    /// With None the second factor is gone, and its recovery codes with it.
    pub async fn set_totp(
        &self,
        id: UserId,
        secret: Option<&str>,
        step: i64,
        recovery_hashes: &[String],
    ) -> Result<()> {
        let secret = secret.map(str::to_owned);
        let mut writes = vec![
            RowWrite::new(&SET_TOTP, vec![id.0.into(), secret.into(), step.into()]),
            RowWrite::new(&FORGET_RECOVERY, vec![id.0.into()]),
        ];
        for hash in recovery_hashes {
            let values = vec![id.0.into(), hash.as_str().into()];
            writes.push(RowWrite::new(&INSERT_RECOVERY, values));
        }
        self.write(writes).await?;
        Ok(())
    }

    /// False when this step or a later one was taken before.
    pub async fn take_totp_step(&self, id: UserId, step: i64) -> Result<bool> {
        let values = vec![id.0.into(), step.into()];
        Ok(self.write(vec![RowWrite::new(&TAKE_TOTP_STEP, values)]).await? > 0)
    }

    /// False when there is no such code, or it was used.
    pub async fn take_recovery_code(&self, id: UserId, hash: &str) -> Result<bool> {
        let values = vec![id.0.into(), hash.into()];
        Ok(self.write(vec![RowWrite::new(&TAKE_RECOVERY, values)]).await? > 0)
    }

    pub async fn set_member(
        &self,
        organization: OrganizationId,
        user: UserId,
        role: Role,
    ) -> Result<()> {
        self.write(vec![self.member_write(organization, user, role)]).await?;
        Ok(())
    }

    fn member_write(&self, organization: OrganizationId, user: UserId, role: Role) -> RowWrite {
        let at = self.now().0.into();
        let values = vec![organization.0.into(), user.0.into(), role.word().into(), at];
        RowWrite::new(&SET_MEMBER, values)
    }

    pub async fn remove_member(&self, organization: OrganizationId, user: UserId) -> Result<bool> {
        let values = vec![organization.0.into(), user.0.into()];
        Ok(self.write(vec![RowWrite::new(&REMOVE_MEMBER, values)]).await? > 0)
    }

    pub async fn add_invite(&self, new: NewInvite<'_>) -> Result<InviteId> {
        let id = self.reserve_id("invite").await?;
        let values = vec![
            id.into(),
            new.organization.0.into(),
            new.email.into(),
            new.role.word().into(),
            new.token_hash.into(),
            self.now().0.into(),
            new.expires_at.0.into(),
        ];
        self.write(vec![RowWrite::new(&INSERT_INVITE, values)]).await?;
        Ok(InviteId(id))
    }

    pub async fn invites(&self, organization: OrganizationId) -> Result<Vec<InviteRow>> {
        collect(self.read(&INVITES, vec![organization.0.into()]).await?, invite)
    }

    pub async fn invite_by_token(&self, token_hash: &str) -> Result<Option<InviteRow>> {
        let values = vec![token_hash.into(), self.now().0.into()];
        self.read(&INVITE_BY_TOKEN, values).await?.first().map(invite).transpose()
    }

    pub async fn remove_invite(&self, organization: OrganizationId, id: InviteId) -> Result<bool> {
        let values = vec![organization.0.into(), id.0.into()];
        Ok(self.write(vec![RowWrite::new(&REMOVE_INVITE, values)]).await? > 0)
    }

    /// The invite goes and the membership comes; false when somebody took it before.
    pub async fn take_invite(&self, invite: &InviteRow, user: UserId) -> Result<bool> {
        let values = vec![invite.organization.0.into(), invite.id.0.into()];
        let writes = vec![
            RowWrite::new(&REMOVE_INVITE, values),
            self.member_write(invite.organization, user, invite.role),
        ];
        Ok(self.write(writes).await? > 0)
    }

    pub async fn add_session(&self, new: NewSession<'_>) -> Result<SessionId> {
        let id = self.reserve_id("session").await?;
        let now = self.now().0;
        let values = vec![
            id.into(),
            new.owner.0.into(),
            new.token_hash.into(),
            new.address.into(),
            new.agent.into(),
            now.into(),
            new.expires_at.0.into(),
        ];
        let old = vec![new.owner.0.into(), now.into()];
        let writes =
            vec![RowWrite::new(&INSERT_SESSION, values), RowWrite::new(&REMOVE_OLD_SESSIONS, old)];
        self.write(writes).await?;
        Ok(SessionId(id))
    }

    pub async fn session_by_token(&self, token_hash: &str) -> Result<Option<SessionRow>> {
        let values = vec![token_hash.into(), self.now().0.into()];
        self.read(&SESSION_BY_TOKEN, values).await?.first().map(session).transpose()
    }

    pub async fn sessions(&self, user: UserId) -> Result<Vec<SessionRow>> {
        let values = vec![user.0.into(), self.now().0.into()];
        collect(self.read(&SESSIONS_OF, values).await?, session)
    }

    pub async fn see_session(&self, id: SessionId) -> Result<()> {
        let values = vec![id.0.into(), self.now().0.into()];
        self.write(vec![RowWrite::new(&SEE_SESSION, values)]).await?;
        Ok(())
    }

    pub async fn remove_session(&self, owner: UserId, id: SessionId) -> Result<bool> {
        let values = vec![owner.0.into(), id.0.into()];
        Ok(self.write(vec![RowWrite::new(&REMOVE_SESSION, values)]).await? > 0)
    }
}

fn user(row: &Row) -> Result<UserRow> {
    Ok(UserRow {
        id: UserId(row.int(0)?),
        email: row.text(1)?,
        name: row.text(2)?,
        password_hash: row.text(3)?,
        installation_admin: row.flag(4)?,
        totp_secret: row.maybe_text(5)?,
        totp_pending: row.maybe_text(6)?,
        totp_step: row.int(7)?,
        created_at: Timestamp(row.int(8)?),
        disabled_at: row.maybe_int(9)?.map(Timestamp),
    })
}

fn member(row: &Row) -> Result<MemberRow> {
    Ok(MemberRow {
        organization: OrganizationId(row.int(0)?),
        user: UserId(row.int(1)?),
        email: row.text(2)?,
        name: row.text(3)?,
        role: row.parsed(4)?,
        created_at: Timestamp(row.int(5)?),
    })
}

fn invite(row: &Row) -> Result<InviteRow> {
    Ok(InviteRow {
        id: InviteId(row.int(0)?),
        organization: OrganizationId(row.int(1)?),
        email: row.text(2)?,
        role: row.parsed(3)?,
        created_at: Timestamp(row.int(4)?),
        expires_at: Timestamp(row.int(5)?),
    })
}

fn session(row: &Row) -> Result<SessionRow> {
    Ok(SessionRow {
        id: SessionId(row.int(0)?),
        user: UserId(row.int(1)?),
        address: row.text(2)?,
        agent: row.text(3)?,
        created_at: Timestamp(row.int(4)?),
        seen_at: Timestamp(row.int(5)?),
        expires_at: Timestamp(row.int(6)?),
    })
}
