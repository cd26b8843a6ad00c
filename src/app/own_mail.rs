//! The daemon's own mail: whose it is, by which stream it leaves, and how much of it.
//!
//! Owns:       what a start makes of `[own_mail]`.
//! Promises:   the stream is there, and the row that limits it.
//! Knows not:  what is written to whom.

use std::time::Duration;

use super::AppError;
use crate::clock::Clock;
use crate::compose::Composer;
use crate::config::Settings;
use crate::model::*;
use crate::notices::Notices;
use crate::queue::Queue;
use crate::store::{LimitRow, Store};

const HOUR: Duration = Duration::from_secs(3600);

/// Finds its organization and stream, or makes the stream.
pub async fn open(
    settings: &Settings,
    store: &Store,
    composer: &Composer,
) -> Result<Own, AppError> {
    let wanted = &settings.own_mail;
    let rows = store.organizations().await?;
    let found = match &wanted.organization {
        Some(name) => rows.iter().find(|row| row.name == *name),
        None => rows.first(),
    };
    let missing = || AppError::OwnMail(wanted.organization.clone().unwrap_or_default());
    let organization = found.ok_or_else(missing)?.id;
    let name = wanted.stream.trim();
    let streams = store.streams().await?;
    let known = streams.iter().find(|row| row.organization == organization && row.name == name);
    let stream = match known {
        Some(row) => row.id,
        None => store.add_stream(organization, name, StreamClass::Transactional).await?.id,
    };
    let name = wanted.domain.as_deref().unwrap_or(&settings.node.host_name);
    // `config check` has looked at both.
    let domain = Domain::parse(name).map_err(|_| AppError::OwnMail(name.to_owned()))?;
    composer.own(stream, domain.clone());
    Ok(Own { organization, stream, domain })
}

/// What is over it waits, and goes by itself.
pub fn limit(settings: &Settings, own: &Own) -> LimitRow {
    let scope = LimitScope {
        from: FromScope::Installation,
        to: ToScope::Anywhere,
        who: WhoScope::Stream(own.stream),
        class: None,
    };
    let limit = Limit {
        id: LimitId(0),
        scope,
        metric: Metric::Messages,
        value: settings.own_mail.per_hour_max,
        window: Some(HOUR),
        pace: Pace::Sliding,
        origin: Origin::Admin,
        reason: "own_mail.per_hour_max in the settings".to_owned(),
        expires_at: None,
        pinned: false,
    };
    let name = Some("settings/own_mail_per_hour_max".to_owned());
    LimitRow { limit, name, created_at: Timestamp(0) }
}

/// Who writes to people.
pub fn notices(settings: &Settings, queue: &Queue, own: Own, clock: &Clock) -> Notices {
    let public_url = settings.http.public_url.clone();
    Notices::new(queue.clone(), own, public_url, clock.clone())
}
