//! What the daemon's own mail needs: whom to tell, how far alarms were told, new passwords.
//!
//! Owns:       the tables `alarm_feed` and `password_resets`.
//! Promises:   a link for a new password is good once; a new password ends every session and every
//!             other link of its user.
//! Knows not:  what is told, or how a token is made.

use crate::model::*;

use super::changes::RowWrite;
use super::dialect::Statement;
use super::error::Result;
use super::people::{REMOVE_OTHER_SESSIONS, SET_PASSWORD};
use super::{Store, collect};

/// Of one audience; more people are not told.
pub static ADMIN_EMAILS: Statement = Statement::new(
    "SELECT email FROM users WHERE installation_admin = 1 AND disabled_at IS NULL \
     ORDER BY id LIMIT 100",
);

pub static OWNER_EMAILS: Statement = Statement::new(
    "SELECT u.email FROM members m JOIN users u ON u.id = m.member \
     WHERE m.organization = $1 AND m.role = 'owner' AND u.disabled_at IS NULL \
     ORDER BY u.id LIMIT 100",
);

pub static ALARM_FEED: Statement = Statement::new("SELECT event FROM alarm_feed WHERE id = 1");

pub static MOVE_ALARM_FEED: Statement =
    Statement::new("UPDATE alarm_feed SET event = $1 WHERE id = 1 AND event < $1");

pub static INSERT_RESET: Statement = Statement::new(
    "INSERT INTO password_resets (owner, token_hash, expires_at) VALUES ($1, $2, $3)",
);

pub static FORGET_RESETS: Statement =
    Statement::new("DELETE FROM password_resets WHERE owner = $1");

pub static RESET_BY_TOKEN: Statement =
    Statement::new("SELECT owner FROM password_resets WHERE token_hash = $1 AND expires_at > $2");

pub static TAKE_RESET: Statement =
    Statement::new("DELETE FROM password_resets WHERE owner = $1 AND token_hash = $2");

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &ADMIN_EMAILS,
    &OWNER_EMAILS,
    &ALARM_FEED,
    &MOVE_ALARM_FEED,
    &INSERT_RESET,
    &FORGET_RESETS,
    &RESET_BY_TOKEN,
    &TAKE_RESET,
];

impl Store {
    /// Of those who stand above all organizations.
    pub async fn admin_emails(&self) -> Result<Vec<String>> {
        collect(self.read(&ADMIN_EMAILS, vec![]).await?, |row| row.text(0))
    }

    pub async fn owner_emails(&self, organization: OrganizationId) -> Result<Vec<String>> {
        let values = vec![organization.0.into()];
        collect(self.read(&OWNER_EMAILS, values).await?, |row| row.text(0))
    }

    /// Up to where alarms were told.
    pub async fn alarm_feed(&self) -> Result<EventId> {
        let rows = self.read(&ALARM_FEED, vec![]).await?;
        Ok(EventId(rows.first().map_or(Ok(0), |row| row.int(0))?))
    }

    pub async fn move_alarm_feed(&self, to: EventId) -> Result<()> {
        self.write(vec![RowWrite::new(&MOVE_ALARM_FEED, vec![to.0.into()])]).await?;
        Ok(())
    }

    /// A link for a new password; those before it are good no longer.
    pub async fn add_password_reset(
        &self,
        owner: UserId,
        token_hash: &str,
        expires_at: Timestamp,
    ) -> Result<()> {
        let values = vec![owner.0.into(), token_hash.into(), expires_at.0.into()];
        // What is first in a change decides whether the rest is written.
        self.write(vec![RowWrite::new(&FORGET_RESETS, vec![owner.0.into()])]).await?;
        self.write(vec![RowWrite::new(&INSERT_RESET, values)]).await?;
        Ok(())
    }

    pub async fn password_reset(&self, token_hash: &str) -> Result<Option<UserId>> {
        let values = vec![token_hash.into(), self.now().0.into()];
        let rows = self.read(&RESET_BY_TOKEN, values).await?;
        rows.first().map(|row| Ok(UserId(row.int(0)?))).transpose()
    }

    /// False when the link was taken meanwhile. All sessions of the user end.
    pub async fn take_password_reset(
        &self,
        owner: UserId,
        token_hash: &str,
        password_hash: &str,
    ) -> Result<bool> {
        let writes = vec![
            RowWrite::new(&TAKE_RESET, vec![owner.0.into(), token_hash.into()]),
            RowWrite::new(&SET_PASSWORD, vec![owner.0.into(), password_hash.into()]),
            RowWrite::new(&REMOVE_OTHER_SESSIONS, vec![owner.0.into(), 0.into()]),
            RowWrite::new(&FORGET_RESETS, vec![owner.0.into()]),
        ];
        Ok(self.write(writes).await? > 0)
    }
}
